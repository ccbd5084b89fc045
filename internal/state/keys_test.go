package state_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/testkit"
)

var kinds = []batch.Kind{
	batch.Bool, batch.Int32, batch.Int64, batch.Float32, batch.Float64, batch.String, batch.Binary, batch.Timestamp,
}

// bytesOf hands out the bytes of a fuzz input, zeros behind its end.
type bytesOf struct{ rest []byte }

func (s *bytesOf) next(n int) []byte {
	out := make([]byte, n)
	s.rest = s.rest[copy(out, s.rest):]
	return out
}

func (s *bytesOf) byte() byte { return s.next(1)[0] }

// cell writes a value made of the input to a row.
func (s *bytesOf) cell(c *batch.Column, row int) {
	how := s.byte()
	if how%5 == 4 {
		c.SetNull(row)
		return
	}
	switch c.Kind() {
	case batch.Bool:
		c.SetBool(row, how&1 != 0)
	case batch.Int32:
		c.Int32s()[row] = int32(binary.LittleEndian.Uint32(s.next(4)))
	case batch.Float32:
		c.Float32s()[row] = math.Float32frombits(binary.LittleEndian.Uint32(s.next(4)))
	case batch.Float64:
		c.Float64s()[row] = math.Float64frombits(binary.LittleEndian.Uint64(s.next(8)))
	case batch.String, batch.Binary:
		c.SetBytes(row, bytes.Repeat(s.next(int(how)%17), 1+int(how)/128))
	default:
		c.Int64s()[row] = int64(binary.LittleEndian.Uint64(s.next(8)))
	}
	if c.HasNulls() {
		c.MakeNullable()[row>>6] |= 1 << (row & 63)
	}
}

// canonical writes a row as text such that equal texts are equal keys.
func canonical(cols []*batch.Column, row int) string {
	var out []string
	for _, c := range cols {
		switch {
		case c.IsNull(row):
			out = append(out, "null")
		case c.Kind() == batch.Bool:
			out = append(out, fmt.Sprint(c.Bool(row)))
		case c.Kind() == batch.Int32:
			out = append(out, fmt.Sprint(c.Int32s()[row]))
		case c.Kind() == batch.Float32:
			out = append(out, fmt.Sprint(float64(c.Float32s()[row])+0)) // -0 + 0 is 0
		case c.Kind() == batch.Float64:
			out = append(out, fmt.Sprint(c.Float64s()[row]+0))
		case c.Kind().Views():
			out = append(out, fmt.Sprintf("%q", c.Bytes(row)))
		default:
			out = append(out, fmt.Sprint(c.Int64s()[row]))
		}
	}
	return fmt.Sprintf("%q", out)
}

// FuzzKeys makes rows of any kinds: two keys are equal exactly when the rows are,
// equal keys have equal hashes, and a key decodes to its row.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("\x00\x05ab"))
	f.Add([]byte("\x02\x05\x05\x05\x02ab\x00\x01c\x00\x00\x03abc"))
	f.Add([]byte("\x01\x04\x04\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x05\x90sixteen bytes and more than that, much more"))
	f.Add([]byte("\x03\x06\x01\x07\x00\x10aaaaaaaaaaaaaaaaaaaaaaa\x04\x04\x04\x04\x04\x04\x04\x04"))
	f.Fuzz(func(t *testing.T, in []byte) {
		testkit.CheckLive(t)
		s := &bytesOf{in}
		schema := &batch.Schema{Time: -1}
		var cols []int
		for i := range 1 + int(s.byte())%4 {
			schema.Fields = append(schema.Fields, batch.Field{Name: fmt.Sprint("k", i), Kind: kinds[int(s.byte())%len(kinds)], Nullable: true})
			cols = append(cols, i)
		}
		const rows = 6
		pool := batch.NewPool(schema, rows)
		b, back := pool.Get(), pool.Get()
		defer b.Release()
		defer back.Release()
		for row := range rows {
			for i := range cols {
				s.cell(b.Col(i), row)
			}
		}
		b.SetLen(rows)
		k := state.NewKeyEncoder(schema, cols).Encode(b)
		var from, to []*batch.Column
		for i := range cols {
			from, to = append(from, b.Col(i)), append(to, back.Col(i))
		}
		state.NewKeyEncoder(schema, cols).Decode(k, to, 0)
		for i := range rows {
			if got, want := canonical(to, i), canonical(from, i); got != want {
				t.Errorf("row %d of %s decodes to %s, want %s", i, schema, got, want)
			}
			if h := state.HashKey(&k.Views[i], k.Arena); h != k.Hashes[i] {
				t.Errorf("row %d: hash %x of the batch, %x of the key", i, k.Hashes[i], h)
			}
			for j := range i {
				same := canonical(from, i) == canonical(from, j)
				if sameKey(k, i, j) != same || same && k.Hashes[i] != k.Hashes[j] {
					t.Errorf("rows %s and %s: the keys are equal: %v", canonical(from, i), canonical(from, j), !same)
				}
			}
		}
	})
}

func sameKey(k *state.Keys, i, j int) bool {
	a, b := &k.Views[i], &k.Views[j]
	if state.IsNullKey(*a) || state.IsNullKey(*b) {
		return *a == *b
	}
	return bytes.Equal(a.Bytes(k.Arena), b.Bytes(k.Arena))
}

// TestAKeyDoesNotDependOnItsBatch: whether neighbours are null or long decides
// how a batch is encoded, never the key or its hash.
func TestAKeyDoesNotDependOnItsBatch(t *testing.T) {
	schema := testkit.Schema(t, "k string?")
	pool := batch.NewPool(schema, 4)
	for _, key := range []string{`""`, "a", "twelve_bytes", "thirteen_byte", "a-key-of-thirty-bytes-or-so-is-long", "null"} {
		var hashes []uint64
		var texts []string
		for _, neighbours := range [][]string{{}, {"null"}, {"another-key-that-is-long"}, {"null", "another-key-that-is-long"}} {
			b := pool.Get()
			testkit.Fill(t, b, append(neighbours, key))
			k := state.NewKeyEncoder(schema, []int{0}).Encode(b)
			at := len(neighbours)
			hashes = append(hashes, k.Hashes[at])
			if state.IsNullKey(k.Views[at]) {
				texts = append(texts, "null")
			} else {
				texts = append(texts, fmt.Sprintf("%q", k.Views[at].Bytes(k.Arena)))
			}
			b.Release()
		}
		for i := range hashes {
			if hashes[i] != hashes[0] || texts[i] != texts[0] {
				t.Errorf("key %s: %s with hash %x alone, %s with hash %x beside others", key, texts[0], hashes[0], texts[i], hashes[i])
			}
		}
	}
}

// FuzzFits holds that whatever Fits lets pass can be decoded, and that what was
// decoded is encoded to a key again that fits.
func FuzzFits(f *testing.F) {
	f.Add([]byte{3, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0x25, 1, 3, 'a', 'b', 'c', 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		src := &bytesOf{in}
		s := &batch.Schema{Time: -1}
		var cols []int
		for i := range int(src.byte())%3 + 1 {
			k := kinds[int(src.byte())%len(kinds)]
			s.Fields = append(s.Fields, batch.Field{Name: fmt.Sprint(i), Kind: k, Nullable: true})
			cols = append(cols, i)
		}
		enc := state.NewKeyEncoder(s, cols)
		k := state.Keys{}
		view := batch.InlineView
		if len(src.rest) > batch.InlineMax {
			view = func(b []byte) batch.View { return batch.LongView(b, 0) }
			k.Arena, k.Long = src.rest, true
		}
		k.Views = []batch.View{view(src.rest)}
		if !enc.Fits(k.Views[0], k.Arena) {
			return
		}
		b := batch.NewPool(s, 1).Get()
		defer b.Release()
		var to []*batch.Column
		for i := range cols {
			to = append(to, b.Col(i))
		}
		enc.Decode(&k, to, 0)
		b.SetLen(1)
		if again := enc.Encode(b); !enc.Fits(again.Views[0], again.Arena) {
			t.Errorf("%x does not fit", again.Views[0].Bytes(again.Arena))
		}
	})
}
