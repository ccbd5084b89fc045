package checkpoint

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/keygroup"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func object(n int) string { return fmt.Sprintf("chunks/%064x", n) }

// sample is a manifest with something of everything.
func sample() *Manifest {
	low, high := keygroup.Range{First: 0, End: 512}, keygroup.Range{First: 512, End: 1024}
	return &Manifest{
		Version: 1, Engine: "0.4.0", Pipeline: "sensors", Epoch: 42, Kind: Periodic, Line: 1, Before: []Reference{{39, 0xfeedf00d}, {41, 1}},
		Taken: time.Date(2026, 11, 23, 10, 0, 5, 0, time.UTC), Parallelism: 2,
		Steps: []Step{{
			Name: "per_minute", Layout: []string{"window_aggregate: tumbling 1m0s", "key device_id string", "count: count of rows"},
			Shards: []Shard{
				{Groups: low, Panes: []Pane{{ID: -60_000_000, Born: 40}, {ID: 0, Born: 42}}, Segments: []Segment{
					{Object: object(1), Size: 4096, CRC: 0xdeadbeef, Epoch: 41, Groups: low, Base: low, Rows: 100, BaseRows: 100},
					{Object: object(2), Size: 512, CRC: 7, Epoch: 42, Groups: low, Base: keygroup.Range{First: 13, End: 26}, Rows: 5, BaseRows: 2},
				}},
				{Groups: high},
			},
		}},
		Sources: []Source{{
			Name: "readings", Connector: "file", Watermark: 1_700_000_000_000_000, Blocks: 9, Recent: []RecentBlock{{"a.ndjson", 17}},
			Splits: []Split{{ID: "a.ndjson", Position: []byte("\x00\x01\xff"), Blocks: 9, Largest: 17, Newest: 16}, {ID: "b \"odd\", {[name\\", Ended: true}},
		}},
		Sinks: []Sink{{Name: "out", Connector: "file", Committables: [][]byte{[]byte("part-0-42-1"), []byte(strings.Repeat("long ", 60))}}, {Name: "table", Connector: "table"}},
	}
}

func TestManifestsOnDiskDoNotChange(t *testing.T) {
	const path = "testdata/manifest.golden"
	got := sample().Encode()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./internal/checkpoint -update writes it)", err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("the format has changed, so that Version must:\n%s", d)
	}
	m, err := DecodeManifest(want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), m); d != "" {
		t.Error(d)
	}
}

func TestEveryChangedOrMissingByteOfAManifestIsFound(t *testing.T) {
	good := sample().Encode()
	for i := range good {
		for _, bit := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= bit
			if _, err := DecodeManifest(bad); err == nil {
				t.Fatalf("byte %d with bit %#x changed was taken", i, bit)
			}
		}
		if _, err := DecodeManifest(good[:i]); err == nil {
			t.Fatalf("the first %d bytes were taken", i)
		}
	}
	if _, err := DecodeManifest(append(bytes.Clone(good), '\n')); err == nil {
		t.Error("one byte more was taken")
	}
}

// sealed gives any text the checksum of a manifest.
func sealed(text string) []byte {
	return appendChecksum([]byte(text), Checksum([]byte(text)))
}

func TestWhatDoesNotFitTogetherIsRefused(t *testing.T) {
	for want, change := range map[string]func(m *Manifest){
		"version 2":                          func(m *Manifest) { m.Version = 2 },
		"no epoch":                           func(m *Manifest) { m.Epoch = 0 },
		"repeats epoch 42":                   func(m *Manifest) { m.Repeats, m.Kind = 42, Opening },
		"periodic, repeats epoch 41":         func(m *Manifest) { m.Repeats = 41 },
		"42 is behind the epochs":            func(m *Manifest) { m.Before[1].Epoch = 42 },
		`no kind "often"`:                    func(m *Manifest) { m.Kind = "often" },
		"parallelism is 1025":                func(m *Manifest) { m.Parallelism = 1025 },
		"step per_minute is there twice":     func(m *Manifest) { m.Steps = append(m.Steps, m.Steps[0]) },
		"a step has no name":                 func(m *Manifest) { m.Steps[0].Name = "" },
		"up to 512 of 1024":                  func(m *Manifest) { m.Steps[0].Shards = m.Steps[0].Shards[:1] },
		"shard 0 has the key groups 512":     func(m *Manifest) { m.Steps[0].Shards = m.Steps[0].Shards[1:] },
		"pane -60000000, born in epoch 40":   func(m *Manifest) { p := m.Steps[0].Shards[0].Panes; p[0], p[1] = p[1], p[0] },
		"pane 0, born in epoch 0":            func(m *Manifest) { m.Steps[0].Shards[0].Panes[1].Born = 0 },
		"that is no name of a segment":       func(m *Manifest) { m.Steps[0].Shards[0].Segments[0].Object = "manifests/1" },
		"it has 0 bytes":                     func(m *Manifest) { m.Steps[0].Shards[0].Segments[0].Size = 0 },
		"of epoch 40 is behind one of":       func(m *Manifest) { m.Steps[0].Shards[0].Segments[1].Epoch = 40 },
		"0 to 600 of a shard with 0 to 512":  func(m *Manifest) { m.Steps[0].Shards[0].Segments[1].Groups.End = 600 },
		"the key groups 13 to 600 and has":   func(m *Manifest) { m.Steps[0].Shards[0].Segments[1].Base.End = 600 },
		"101 of 100 rows":                    func(m *Manifest) { m.Steps[0].Shards[0].Segments[0].BaseRows = 101 },
		"source readings is there twice":     func(m *Manifest) { m.Sources = append(m.Sources, m.Sources[0]) },
		"the split a.ndjson is there twice":  func(m *Manifest) { s := &m.Sources[0]; s.Splits = append(s.Splits, s.Splits[0]) },
		"the sink out is there twice":        func(m *Manifest) { m.Sinks = append(m.Sinks, m.Sinks[0]) },
		"shard 1 has the key groups 512 to ": func(m *Manifest) { m.Steps[0].Shards[1].Groups.End = 2000 },
	} {
		m := sample()
		change(m)
		if _, err := DecodeManifest(m.Encode()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for text, want := range map[string]string{
		"":                                 "unexpected end",
		"{}\n":                             "version 0",
		`{"version":1,"colour":"blue"}`:    "colour",
		`{"version":1,"epoch":-1}`:         "number -1",
		`{"version":7,"epoch":"new idea"}`: "version 7",
	} {
		if _, err := DecodeManifest(sealed(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want %q, got %v", text, want, err)
		}
	}
}

// TestPrettyJSONIsTheSameJSON holds that white space alone is added.
func TestPrettyJSONIsTheSameJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flat, err := json.Marshal(drawJSON(t, 4))
		if err != nil {
			t.Fatal(err)
		}
		pretty := appendPretty(nil, flat, "")
		var back bytes.Buffer
		if err := json.Compact(&back, pretty); err != nil || !bytes.Equal(back.Bytes(), flat) {
			t.Fatalf("%v:\n%s\nbecame\n%s", err, flat, pretty)
		}
	})
}

// drawJSON draws a value of JSON.
func drawJSON(t *rapid.T, depth int) any {
	switch rapid.IntRange(0, 2+2*min(depth, 1)).Draw(t, "kind") {
	case 0:
		return rapid.Int().Draw(t, "number")
	case 1:
		return rapid.StringMatching(`[a-z"\\\[\]{},: ]{0,60}`).Draw(t, "text")
	case 2:
		return nil
	case 3:
		list := []any{}
		for range rapid.IntRange(0, 5).Draw(t, "length") {
			list = append(list, drawJSON(t, depth-1))
		}
		return list
	}
	m := map[string]any{}
	for range rapid.IntRange(0, 5).Draw(t, "size") {
		m[rapid.StringMatching(`[a-z"\\{},: ]{0,9}`).Draw(t, "name")] = drawJSON(t, depth-1)
	}
	return m
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add(sample().Encode())
	f.Add([]byte(`{"version":1,"epoch":1,"kind":"opening"}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range [][]byte{data, sealed(string(data))} {
			m, err := DecodeManifest(d)
			if err != nil {
				continue
			}
			again, err := DecodeManifest(m.Encode())
			if err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
			if !bytes.Equal(again.Encode(), m.Encode()) {
				t.Fatal("it changes when it is written again")
			}
		}
	})
}
