package connectortest

import (
	"context"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
)

// words is the smallest source that there is: a block for each word of a text.
type words struct{ text map[string]string }

func (w words) Splits(context.Context) ([]connector.Split, error) {
	return []connector.Split{{ID: "a", Bounded: true}, {ID: "b", Bounded: true}}, nil
}

func (w words) Open(_ context.Context, s connector.Split, at connector.Position) (connector.SplitReader, error) {
	r := &wordReader{rest: w.text[s.ID]}
	if at != nil {
		r.at = int(binary.BigEndian.Uint64(at))
		r.rest = r.rest[r.at:]
	}
	return r, nil
}

func (w words) Wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
func (w words) Close() error                   { return nil }

type wordReader struct {
	rest string
	at   int
}

func (r *wordReader) Poll(ctx context.Context, b *connector.Block) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.rest == "":
		return io.EOF
	}
	word, _, _ := strings.Cut(r.rest, " ")
	n := min(len(word)+1, len(r.rest))
	b.Data = append(append(b.Data[:0], r.rest[:n]...), make([]byte, codec.Pad)...)[:n]
	r.rest, r.at = r.rest[n:], r.at+n
	return nil
}

func (r *wordReader) Position() connector.Position {
	return binary.BigEndian.AppendUint64(nil, uint64(r.at))
}
func (r *wordReader) Close() error { return nil }

func TestSuitePassesACorrectSource(t *testing.T) {
	text := map[string]string{"a": "the quick brown fox", "b": ""}
	Source(t, SourceCase{New: func(testing.TB) connector.Source { return words{text} }, Want: text})
}

// bag is the smallest sink that there is.
type bag struct {
	strings.Builder
	closed bool
}

func (g *bag) Write(_ context.Context, b *batch.Batch) error {
	for i := range b.Len() {
		g.Builder.Write(b.Col(0).Bytes(i))
	}
	b.Release()
	return nil
}
func (g *bag) Flush(context.Context) error { return nil }
func (g *bag) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, nil
}
func (g *bag) Close(context.Context, bool) error { g.closed = true; return nil }

func TestSuitePassesACorrectSink(t *testing.T) {
	Sink(t, SinkCase{
		New: func(testing.TB) (connector.SinkWriter, func() string) {
			g := &bag{}
			return g, g.String
		},
		Want: func(n int) string {
			var b strings.Builder
			for i := range n {
				b.WriteString(Line(i))
			}
			return b.String()
		},
	})
}

func TestEqualBlocksToldApart(t *testing.T) {
	one := []Read{{Data: []byte("x"), Place: "a"}}
	equalBlocks(t, "the same", one, one)
	for _, other := range [][]Read{nil, {{Data: []byte("y"), Place: "a"}}, {{Data: []byte("x"), Place: "b"}}, {{Data: []byte("x"), Place: "a", Line: 1}}} {
		if try(t, func(t testing.TB) { equalBlocks(t, "another", other, one) }) == "" {
			t.Errorf("%v counts as equal to %v", other, one)
		}
	}
}
