package connectortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/connector"
)

// SourceCase is a source under test.
type SourceCase struct {
	// New makes a source over the same input each time; the suite closes it.
	New func(t testing.TB) connector.Source
	// Feed, when set, brings input to a source that waits for it, after the
	// splits were opened; it must not wait for the input to be read.
	Feed func(t testing.TB, s connector.Source)
	// Once tells that the input cannot be read again (standard input, requests)
	// and arrives in pieces: S2 and S3 do not hold then.
	Once bool
	// Want is the payload of each split, preamble included, by id; nil: not compared.
	Want map[string]string
	// Blocks bounds what is read of a split without an end; default 100.
	Blocks int
}

// Read is one block as it was read, copied.
type Read struct {
	Data, Preamble []byte
	Rows           [][]any
	Place          string
	Offset         int64
	Line           int64
	Behind         connector.Position // where the split stood behind the block
}

// Source runs the suite.
func Source(t *testing.T, c SourceCase) {
	t.Helper()
	if c.Blocks == 0 {
		c.Blocks = 100
	}
	leaks := goleak.IgnoreCurrent()
	before := batch.Live()
	t.Run("splits are stable", c.splits)
	t.Run("a split reads as it should", c.reads)
	if !c.Once {
		t.Run("two readings are equal", c.twice)
		t.Run("every position resumes", c.resumes)
	}
	t.Run("a cancelled context ends the call", c.cancelled)
	t.Run("closing early and twice", c.closes)
	if after := batch.Live(); after != before {
		t.Errorf("%d batches leaked", after-before)
	}
	goleak.VerifyNone(t, leaks)
}

// open makes a source and closes it at the end of the test.
func (c *SourceCase) open(t testing.TB) (connector.Source, []connector.Split) {
	t.Helper()
	s := c.New(t)
	t.Cleanup(func() { closeTwice(t, "source", s.Close) })
	splits, err := s.Splits(t.Context())
	if err != nil {
		t.Fatalf("Splits: %v", err)
	}
	return s, splits
}

func closeTwice(t testing.TB, what string, end func() error) {
	t.Helper()
	for range 2 {
		if err := end(); err != nil {
			t.Errorf("Close of the %s: %v", what, err)
		}
	}
}

func (c *SourceCase) splits(t *testing.T) {
	s, first := c.open(t)
	again, err := s.Splits(t.Context())
	if err != nil || !slices.Equal(first, again) {
		t.Errorf("the splits were %v and then %v (%v)", first, again, err)
	}
	if _, fresh := c.open(t); !slices.Equal(first, fresh) {
		t.Errorf("the splits were %v and in another source %v", first, fresh)
	}
	seen := map[string]bool{}
	for _, split := range first {
		if split.ID == "" || seen[split.ID] {
			t.Errorf("split id %q is empty or there twice", split.ID)
		}
		seen[split.ID] = true
	}
}

// ReadAll reads a split from a position to its end, or at most n blocks, and
// checks each block by itself. feed may be nil.
func ReadAll(t testing.TB, s connector.Source, split connector.Split, at connector.Position, n int, feed func()) []Read {
	t.Helper()
	r, err := s.Open(t.Context(), split, at)
	if err != nil {
		t.Fatalf("Open of %s: %v", split.ID, err)
	}
	defer closeTwice(t, "reader", r.Close)
	if feed != nil {
		feed()
	}
	var out []Read
	var reused connector.Block
	for len(out) < n {
		b := &connector.Block{}
		if len(out)%2 == 1 {
			b = &reused
		}
		err := r.Poll(t.Context(), b)
		switch {
		case errors.Is(err, io.EOF):
			checkEnd(t, split, r)
			return out
		case errors.Is(err, connector.ErrNoData):
			if err := s.Wait(t.Context()); err != nil {
				t.Fatalf("Wait: %v", err)
			}
		case err != nil:
			t.Fatalf("Poll of %s: %v", split.ID, err)
		default:
			out = append(out, take(t, b, r.Position()))
		}
	}
	return out
}

// take copies a block and then spoils its memory, which the reader must not need.
func take(t testing.TB, b *connector.Block, behind connector.Position) Read {
	t.Helper()
	got := Read{Data: bytes.Clone(b.Data), Preamble: bytes.Clone(b.Preamble), Place: b.Place, Offset: b.Offset, Line: b.Line, Behind: slices.Clone(behind)}
	switch {
	case b.Rows != nil:
		got.Rows = codectest.Rows(b.Rows)
		b.Rows.Release()
		b.Rows = nil
	case len(b.Data) == 0:
		t.Error("a block holds neither data nor rows")
	case cap(b.Data)-len(b.Data) < codec.Pad:
		t.Errorf("%d bytes of capacity behind the block, want %d", cap(b.Data)-len(b.Data), codec.Pad)
	}
	for i := range b.Data {
		b.Data[i] = 0xA5
	}
	return got
}

func checkEnd(t testing.TB, split connector.Split, r connector.SplitReader) {
	t.Helper()
	if !split.Bounded {
		t.Errorf("split %s ended and is not bounded", split.ID)
	}
	var b connector.Block
	if err := r.Poll(t.Context(), &b); !errors.Is(err, io.EOF) {
		t.Errorf("Poll behind the end of %s: %v", split.ID, err)
	}
}

func (c *SourceCase) feeder(t testing.TB, s connector.Source) func() {
	if c.Feed == nil {
		return nil
	}
	return func() { c.Feed(t, s) }
}

func (c *SourceCase) reads(t *testing.T) {
	s, splits := c.open(t)
	feed := c.feeder(t, s)
	for _, split := range splits {
		blocks := ReadAll(t, s, split, nil, c.Blocks, feed)
		if c.Want == nil {
			continue
		}
		got := payload(blocks)
		if want := c.Want[split.ID]; string(got) != want {
			t.Errorf("split %s gives %d bytes, want %d\ngot  %.300q\nwant %.300q", split.ID, len(got), len(want), got, want)
		}
	}
	if c.Want != nil && len(splits) != len(c.Want) {
		t.Errorf("%d splits, want %d: %v", len(splits), len(c.Want), splits)
	}
}

// payload puts the blocks of a split together again.
func payload(blocks []Read) []byte {
	var out []byte
	for i, b := range blocks {
		if i == 0 {
			out = append(out, b.Preamble...)
		}
		out = append(out, b.Data...)
	}
	return out
}

func (c *SourceCase) twice(t *testing.T) {
	a, splits := c.open(t)
	b, _ := c.open(t)
	for _, split := range splits {
		first := ReadAll(t, a, split, nil, c.Blocks, nil)
		equalBlocks(t, "read again by the same source", ReadAll(t, a, split, nil, c.Blocks, nil), first)
		equalBlocks(t, "read by another source", ReadAll(t, b, split, nil, c.Blocks, nil), first)
	}
}

func equalBlocks(t testing.TB, what string, got, want []Read) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d blocks, want %d", what, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		diff := codectest.EqualRows(g.Rows, w.Rows)
		if !bytes.Equal(g.Data, w.Data) || !bytes.Equal(g.Preamble, w.Preamble) || !bytes.Equal(g.Behind, w.Behind) || g.Place != w.Place || g.Line != w.Line || diff != "" {
			t.Fatalf("%s: block %d differs %s\ngot  %s\nwant %s", what, i, diff, g, w)
		}
	}
}

// String describes a block.
func (r Read) String() string {
	return fmt.Sprintf("%s line %d, %d rows, preamble %.60q, data %.120q, behind it %x", r.Place, r.Line, len(r.Rows), r.Preamble, r.Data, []byte(r.Behind))
}

func (c *SourceCase) resumes(t *testing.T) {
	s, splits := c.open(t)
	for _, split := range splits {
		all := ReadAll(t, s, split, nil, c.Blocks, nil)
		for k := range all {
			n := 2 // of the blocks behind most positions the next two will do
			if k%16 == 0 || k == len(all)-1 {
				n = len(all)
			}
			want := all[k+1 : min(k+1+n, len(all))]
			read := len(want)
			if read < n && len(all) < c.Blocks {
				read = n // there is an end behind them, and it must be found
			}
			got := ReadAll(t, s, split, all[k].Behind, read, nil)
			equalBlocks(t, fmt.Sprintf("split %s resumed behind block %d", split.ID, k), got, want)
		}
	}
}

func (c *SourceCase) cancelled(t *testing.T) {
	s, splits := c.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
	for _, split := range splits {
		r, err := s.Open(t.Context(), split, nil)
		if err != nil {
			t.Fatalf("Open of %s: %v", split.ID, err)
		}
		var b connector.Block
		switch err := r.Poll(ctx, &b); {
		case err == nil:
			take(t, &b, nil)
		case !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) && !errors.Is(err, connector.ErrNoData):
			t.Errorf("Poll of %s: %v", split.ID, err)
		}
		closeTwice(t, "reader", r.Close)
	}
}

func (c *SourceCase) closes(t *testing.T) {
	s, splits := c.open(t)
	for _, split := range splits {
		r, err := s.Open(t.Context(), split, nil)
		if err != nil {
			t.Fatalf("Open of %s: %v", split.ID, err)
		}
		closeTwice(t, "reader that was not read", r.Close)
		if c.Feed == nil && !c.Once {
			ReadAll(t, s, split, nil, 1, nil)
		}
	}
}
