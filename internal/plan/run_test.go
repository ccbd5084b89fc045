package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
)

func TestCheckpointSettings(t *testing.T) {
	const file = "name: p\nsources: {a: {generate: {}}}\nsinks: {out: {from: a, stdout: {}}}\n"
	standard := Checkpoint{Interval: 5 * time.Second, Timeout: 10 * time.Minute, Retain: 3}
	with := func(change func(c *Checkpoint)) Checkpoint {
		c := standard
		change(&c)
		return c
	}
	off := with(func(c *Checkpoint) { c.Off, c.Interval = true, 0 })
	for _, c := range []struct {
		name, section, flag string
		set                 []string
		want                Checkpoint
	}{
		{name: "absent", want: standard},
		{name: "empty", section: "checkpoint:", want: standard},
		{name: "null", section: "checkpoint: ~", want: standard},
		{name: "no settings", section: "checkpoint: {}", want: standard},
		{name: "off", section: "checkpoint: off", want: off},
		{name: "short", section: "checkpoint: 50ms", want: with(func(c *Checkpoint) { c.Interval = 50 * time.Millisecond })},
		{name: "mapping", section: "checkpoint: {timeout: 1s, retain: 100, store: ./state}",
			want: with(func(c *Checkpoint) { c.Timeout, c.Retain, c.Store = time.Second, 100, "./state" })},
		{name: "bucket", section: `checkpoint: {store: "s3://b"}`, want: with(func(c *Checkpoint) { c.Store = "s3://b" })},
		{name: "flag alone", flag: "1s", want: with(func(c *Checkpoint) { c.Interval = time.Second })},
		{name: "flag off", flag: "off", section: "checkpoint: {interval: 2s, retain: 7}", want: with(func(c *Checkpoint) { c.Off, c.Interval, c.Retain = true, 0, 7 })},
		{name: "flag on", flag: "1s", section: "checkpoint: off", want: with(func(c *Checkpoint) { c.Interval = time.Second })},
		{name: "flag beside settings", flag: "1s", section: "checkpoint: {retain: 7}", want: with(func(c *Checkpoint) { c.Interval, c.Retain = time.Second, 7 })},
		{name: "set", set: []string{"checkpoint.interval=3s"}, section: "checkpoint:", want: with(func(c *Checkpoint) { c.Interval = 3 * time.Second })},
		{name: "set off", set: []string{"checkpoint=off"}, want: off},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _, err := Compile("p.yaml", []byte(file+c.section), testCatalog(), Options{Checkpoint: c.flag, Set: c.set})
			if err != nil {
				t.Fatal(diag.Format(err))
			}
			if p.Checkpoint != c.want {
				t.Errorf("got %+v, want %+v", p.Checkpoint, c.want)
			}
			if (State{MemoryLimit: 256 << 20}) != p.State {
				t.Errorf("state %+v", p.State)
			}
		})
	}
	p, _, err := Compile("p.yaml", []byte(file+"state: disk"), testCatalog(), Options{})
	if err != nil || !p.State.Disk {
		t.Errorf("state: disk is %+v, %v", p, err)
	}
	_, _, err = Compile("p.yaml", []byte(file), testCatalog(), Options{Checkpoint: "now and then"})
	if s := diag.Format(err); !strings.Contains(s, "--checkpoint") || !strings.Contains(s, "or write off") {
		t.Errorf("a wrong flag: %s", s)
	}
}
