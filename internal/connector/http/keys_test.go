package httpio

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func TestARepetitionIsTakenOnce(t *testing.T) {
	fs := vfs.NewCrashableMem()
	e := start(t, fs, nil, nil)
	const key, producer, sequence = "Idempotency-Key", "Gorge-Producer-Id", "Gorge-Sequence"
	e.send(202, lines(0, 3), key, "a")
	e.send(202, lines(0, 3), key, "a")
	e.send(202, lines(0, 3), key, "b")
	e.send(422, lines(0, 2), key, "a")
	e.send(202, reading(3), producer, "p", sequence, "7")
	e.send(202, reading(3), producer, "p", sequence, "007")
	e.send(202, reading(4), producer, "p", sequence, "8")
	e.send(202, reading(5), producer, "q", sequence, "8")
	e.send(202, reading(6))
	e.send(202, reading(6))
	e.send(400, reading(7), producer, "p")
	e.send(400, reading(7), sequence, "7")
	e.send(400, reading(7), producer, "p", sequence, "-1")
	e.send(400, reading(7), producer, "p", sequence, "1", key, "c")
	e.send(400, reading(7), key, strings.Repeat("k", 256))
	all := append(append(devices(0, 3), devices(0, 3)...), devices(3, 7)...)
	all = append(all, "dev-0000006")
	e.want("at first", all...)
	// Also after a crash, when the requests were let go of, and after another start.
	e.fs = fs.CrashClone(vfs.CrashCloneCfg{})
	for i := range 2 {
		e = start(t, e.fs, e.position, nil)
		e.release()
		e.send(202, lines(0, 3), key, "a")
		e.send(202, reading(4), producer, "p", sequence, "8")
		e.send(422, reading(9), producer, "p", sequence, "8")
		e.want("repeated")
		e.send(202, reading(7), key, fmt.Sprint("new ", i))
		e.want("new", "dev-0000007")
		e.stop()
	}
}

// TestRepetitionsAtTheSameTimeWaitForTheFirst sends one request many times at
// once while the disk is slow: nobody is answered before it is durable.
func TestRepetitionsAtTheSameTimeWaitForTheFirst(t *testing.T) {
	var answered, early atomic.Int64
	gate := make(chan struct{})
	var once sync.Once
	armed := atomic.Bool{}
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && armed.Load() {
			once.Do(func() { <-gate; early.Store(answered.Load()) })
		}
		return nil
	}))
	e := start(t, fs, nil, nil)
	armed.Store(true)
	const n = 20
	placed := make(chan struct{}, n)
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			placed <- struct{}{}
			e.send(202, lines(0, 3), "Idempotency-Key", "same")
			answered.Add(1)
		})
	}
	for range n {
		<-placed
	}
	close(gate)
	group.Wait()
	if early.Load() != 0 {
		t.Errorf("%d were answered before the sync", early.Load())
	}
	e.want("all of them", devices(0, 3)...)
}

func TestKeysAreRequiredWhereTheFileSaysSo(t *testing.T) {
	e := start(t, vfs.NewMem(), nil, map[string]any{"require_key": true})
	e.send(400, reading(1))
	e.send(202, reading(1), "Idempotency-Key", "a")
	e.want("one", "dev-0000001")
}

func TestTheHorizonBoundsTheKeys(t *testing.T) {
	table := newKeyTable(100, time.Minute)
	now := time.UnixMicro(1_760_000_000_000_000)
	seq := uint64(0)
	take := func(i int) (uint64, bool) {
		k := digest("key", fmt.Sprint(i))
		got, repeated, err := table.take(journalKey(k, []byte("x")), now, func() (uint64, error) { seq++; return seq, nil })
		if err != nil {
			t.Fatal(err)
		}
		return got, repeated
	}
	for i := range 5000 {
		if _, repeated := take(i); repeated {
			t.Fatalf("key %d is new", i)
		}
		if i >= 99 {
			if got, repeated := take(i - 99); !repeated || got != uint64(i-98) {
				t.Fatalf("key %d is the last but 99: %d %v", i-99, got, repeated)
			}
		}
	}
	if n := len(table.index); n != 100 || len(table.entries) > 3000 {
		t.Errorf("%d keys, %d entries", n, len(table.entries))
	}
	if o := table.oldest(now); o != 4901 {
		t.Errorf("the oldest is %d", o)
	}
	if got, repeated := take(10); repeated || got != 5001 {
		t.Errorf("a key beyond the count is known: %d", got)
	}
	now = now.Add(time.Minute)
	if _, repeated := take(4999); !repeated {
		t.Error("a key is forgotten too early")
	}
	now = now.Add(time.Microsecond)
	if _, repeated := take(4999); repeated {
		t.Error("a key is known for too long")
	}
	now = now.Add(time.Hour)
	if o := table.oldest(now); o != 1<<64-1 {
		t.Errorf("the oldest is %d, want none", o)
	}
	failed := errors.New("full")
	k := journalKey(digest("key", "f"), []byte("x"))
	if _, _, err := table.take(k, now, func() (uint64, error) { return 0, failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	if _, repeated, _ := table.take(k, now, func() (uint64, error) { return 1, nil }); repeated {
		t.Error("a request that was refused is known")
	}
}
