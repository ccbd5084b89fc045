package table

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gorge-stream/gorge/internal/batch"
)

// wide has a column of every kind.
var wide = &batch.Schema{Time: -1, Fields: []batch.Field{
	{Name: "flag", Kind: batch.Bool, Nullable: true}, {Name: "small", Kind: batch.Int32, Nullable: true},
	{Name: "big", Kind: batch.Int64, Nullable: true}, {Name: "half", Kind: batch.Float32, Nullable: true},
	{Name: "full", Kind: batch.Float64, Nullable: true}, {Name: "text", Kind: batch.String, Nullable: true},
	{Name: "raw", Kind: batch.Binary, Nullable: true}, {Name: "ts", Kind: batch.Timestamp, Nullable: true},
}}

func wideKinds() (kinds []batch.Kind, to []int) {
	for i, f := range wide.Fields {
		kinds, to = append(kinds, f.Kind), append(to, i)
	}
	return kinds, to
}

func columns(b *batch.Batch) []*batch.Column {
	var out []*batch.Column
	for i := range b.Schema().Fields {
		out = append(out, b.Col(i))
	}
	return out
}

// setWide fills row 0 of a wide batch.
func setWide(b *batch.Batch, flag bool, small int32, big int64, half float32, full float64, text, raw []byte, ts int64) {
	b.Col(0).SetBool(0, flag)
	b.Col(1).Int32s()[0] = small
	b.Col(2).Int64s()[0] = big
	b.Col(3).Float32s()[0] = half
	b.Col(4).Float64s()[0] = full
	b.Col(5).SetBytes(0, text)
	b.Col(6).SetBytes(0, raw)
	b.Col(7).Int64s()[0] = ts
	b.SetLen(1)
}

// TestRowsOnDiskDoNotChange holds the layout of docs/formats/table.md.
func TestRowsOnDiskDoNotChange(t *testing.T) {
	pool := batch.NewPool(wide, 1)
	var got strings.Builder
	row := func(name string, b *batch.Batch) {
		fmt.Fprintf(&got, "%s value %s\n", name, hex.EncodeToString(appendRow(nil, columns(b), 0)))
		key := appendPrefix(nil, 7, bucketOf(b.Col(7).Int64s()[0], 86_400*second))
		for _, c := range []int{0, 1, 2, 5, 6, 7} {
			key = appendKeyColumn(key, b.Col(c), 0)
		}
		fmt.Fprintf(&got, "%s key %s\n", name, hex.EncodeToString(key))
		b.Release()
	}
	b := pool.Get()
	setWide(b, true, -2, 1<<40, 1.5, -0.25, []byte("größe\x00!"), []byte{0, 0xFF, 1}, 1_700_000_000_000_001)
	row("full", b)
	b = pool.Get()
	b.SetLen(1)
	for i := range wide.Fields {
		b.Col(i).SetNull(0)
	}
	row("nulls", b)
	b = pool.Get()
	setWide(b, false, math.MinInt32, math.MinInt64, 0, math.Inf(1), nil, nil, -1)
	row("ends", b)
	const file = "testdata/rows.golden"
	want, err := os.ReadFile(file)
	if os.Getenv("REWRITE") != "" {
		err = os.WriteFile(file, []byte(got.String()), 0o600)
		want = []byte(got.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the layout changed: raise rowVersion or definitionVersion and keep reading the old one\ngot\n%s\nwant\n%s", got.String(), want)
	}
}

func TestRowsReadBackAsWritten(t *testing.T) {
	pool := batch.NewPool(wide, 1)
	kinds, to := wideKinds()
	rapid.Check(t, func(t *rapid.T) {
		b, c := pool.Get(), pool.Get()
		defer b.Release()
		defer c.Release()
		setWide(b, rapid.Bool().Draw(t, "flag"), rapid.Int32().Draw(t, "small"), rapid.Int64().Draw(t, "big"),
			rapid.Float32().Draw(t, "half"), rapid.Float64().Draw(t, "full"),
			rapid.SliceOf(rapid.Byte()).Draw(t, "text"), rapid.SliceOf(rapid.Byte()).Draw(t, "raw"), rapid.Int64().Draw(t, "ts"))
		for i := range wide.Fields {
			if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
				b.Col(i).SetNull(0)
			}
		}
		value := appendRow(nil, columns(b), 0)
		if err := readRow(c, 0, value, kinds, to); err != nil {
			t.Fatal(err)
		}
		c.SetLen(1)
		if again := appendRow(nil, columns(c), 0); !bytes.Equal(value, again) {
			t.Fatalf("%x became %x", value, again)
		}
	})
}

func FuzzReadRow(f *testing.F) {
	pool := batch.NewPool(wide, 1)
	kinds, to := wideKinds()
	b := pool.Get()
	setWide(b, true, -2, 1<<40, 1.5, -0.25, []byte("text"), []byte{0, 1}, 5)
	f.Add(appendRow(nil, columns(b), 0))
	b.Col(5).SetNull(0)
	f.Add(appendRow(nil, columns(b)[:6], 0))
	b.Release()
	f.Add([]byte{rowVersion, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		b := pool.Get()
		defer b.Release()
		if readRow(b, 0, value, kinds, to) != nil {
			return
		}
		b.SetLen(1)
		first := appendRow(nil, columns(b), 0)
		c := pool.Get()
		defer c.Release()
		if err := readRow(c, 0, first, kinds, to); err != nil {
			t.Fatalf("%x was accepted, written again as %x and refused", value, first)
		}
		c.SetLen(1)
		if second := appendRow(nil, columns(c), 0); !bytes.Equal(first, second) {
			t.Fatalf("%x became %x", first, second)
		}
	})
}

// someBytes draws text in which prefixes and zero bytes are common.
func someBytes(t *rapid.T, label string) []byte {
	return rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 1, 2, 'a', 'a', 'b', 0xFE, 0xFF}), 0, 12).Draw(t, label)
}

// TestKeysSortLikeTheirValues is the property that every range scan rests on:
// nulls first, then the values in their order, column by column.
func TestKeysSortLikeTheirValues(t *testing.T) {
	fields := []int{0, 1, 2, 5, 6, 7}
	pool := batch.NewPool(wide, 1)
	key := func(b *batch.Batch) []byte {
		var k []byte
		for _, c := range fields {
			k = appendKeyColumn(k, b.Col(c), 0)
		}
		return k
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := func() *batch.Batch {
			b := pool.Get()
			setWide(b, rapid.Bool().Draw(t, "flag"), rapid.Int32Range(-2, 2).Draw(t, "small"), rapid.Int64().Draw(t, "big"), 0, 0,
				someBytes(t, "text"), someBytes(t, "raw"), rapid.Int64Range(-3, 3).Draw(t, "ts"))
			for _, c := range fields {
				if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
					b.Col(c).SetNull(0)
				}
			}
			return b
		}
		a, b := draw(), draw()
		defer a.Release()
		defer b.Release()
		// Half of the pairs differ late, so that later columns decide.
		for _, c := range fields[:rapid.IntRange(0, len(fields)).Draw(t, "same")] {
			b.Col(c).CopyFrom(a.Col(c), 1)
		}
		want := 0
		for _, c := range fields {
			if want = compareValues(a.Col(c), b.Col(c)); want != 0 {
				break
			}
		}
		ka, kb := key(a), key(b)
		if got := bytes.Compare(ka, kb); got != want {
			t.Fatalf("%x against %x: %d, want %d", ka, kb, got, want)
		}
		if want != 0 && (bytes.HasPrefix(ka, kb) || bytes.HasPrefix(kb, ka)) {
			t.Fatalf("%x and %x: one begins with the other", ka, kb)
		}
		back := pool.Get()
		defer back.Release()
		at := 0
		for _, c := range fields {
			n := keyColumnLen(ka[at:], wide.Fields[c].Kind)
			if n < 0 {
				t.Fatalf("%x does not parse", ka)
			}
			readKeyColumn(back.Col(c), 0, ka[at:at+n])
			at += n
			if compareValues(a.Col(c), back.Col(c)) != 0 {
				t.Fatalf("column %d of %x reads back as another value", c, ka)
			}
		}
		if at != len(ka) {
			t.Fatalf("%d of %d bytes read", at, len(ka))
		}
	})
}

// compareValues orders row 0 of two columns of a kind.
func compareValues(a, b *batch.Column) int {
	switch {
	case a.IsNull(0) || b.IsNull(0):
		return int(b2i(b.IsNull(0)) - b2i(a.IsNull(0)))
	case a.Kind() == batch.Bool:
		return int(b2i(a.Bool(0)) - b2i(b.Bool(0)))
	case a.Kind() == batch.Int32:
		return compare(a.Int32s()[0], b.Int32s()[0])
	case a.Kind().Views():
		return bytes.Compare(a.Bytes(0), b.Bytes(0))
	}
	return compare(a.Int64s()[0], b.Int64s()[0])
}

func compare[T int32 | int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func FuzzKeyColumn(f *testing.F) {
	f.Add([]byte{tagValue, 'a', 0, 0xFF, 'b', 0, tagNull}, byte(batch.String))
	f.Add([]byte{tagValue, 1}, byte(batch.Bool))
	pool := batch.NewPool(wide, 1)
	f.Fuzz(func(t *testing.T, key []byte, k byte) {
		for i, field := range wide.Fields {
			if !keyKind(field.Kind) || field.Kind != batch.Kind(k) {
				continue
			}
			n := keyColumnLen(key, field.Kind)
			if n < 0 {
				continue
			}
			b := pool.Get()
			readKeyColumn(b.Col(i), 0, key[:n])
			if again := appendKeyColumn(nil, b.Col(i), 0); !bytes.Equal(again, key[:n]) {
				t.Errorf("%x reads and writes back as %x", key[:n], again)
			}
			b.Release()
		}
	})
}

func TestBucketsCoverAllTimesInOrder(t *testing.T) {
	for _, width := range []int64{2, 7, second, 86_400 * second, math.MaxInt64 / 2} {
		times := []int64{math.MinInt64, math.MinInt64 + 1, -width - 1, -width, -width + 1, -1, 0, 1, width - 1, width, math.MaxInt64}
		slices.Sort(times)
		for i, at := range times {
			b := bucketOf(at, width)
			if i > 0 && b < bucketOf(times[i-1], width) {
				t.Errorf("width %d: the bucket of %d is before that of %d", width, at, times[i-1])
			}
			if b == noTime {
				t.Errorf("width %d: %d is in the bucket of nulls", width, at)
			}
			n := int64(b ^ 1<<63)
			if at > math.MinInt64+width && (at < n*width || at-n*width >= width) {
				t.Errorf("width %d: %d is not in its bucket %d", width, at, n)
			}
		}
	}
}

// keyShapes make keys that stress the sorter in different ways.
var keyShapes = map[string]func(r *rand.Rand) []byte{
	"devices":   func(r *rand.Rand) []byte { return fmt.Appendf(nil, "table dev-%08d\x00", r.IntN(1<<20)) },
	"few keys":  func(r *rand.Rand) []byte { return fmt.Appendf(nil, "k%d\x00", r.IntN(5)) },
	"one key":   func(*rand.Rand) []byte { return []byte("the same\x00") },
	"short":     func(r *rand.Rand) []byte { return make([]byte, r.IntN(4)) },
	"random":    func(r *rand.Rand) []byte { return randomBytes(r, r.IntN(40)) },
	"few bytes": func(r *rand.Rand) []byte { return bytes.Repeat([]byte{byte(r.IntN(2))}, r.IntN(20)) },
	"long and tied": func(r *rand.Rand) []byte {
		return append(bytes.Repeat([]byte("x"), 16*r.IntN(4)), randomBytes(r, 3)...)
	},
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func TestSortingEqualsAStableComparison(t *testing.T) {
	for name, shape := range keyShapes {
		for _, n := range []int{0, 1, 2, few - 1, few, 5000} {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			var arena []byte
			var items []item
			for range n {
				key := shape(r)
				items = append(items, item{off: uint32(len(arena))})
				arena = append(arena, byte(len(key)), 0, 0, 0, 0, 0, 0, 0)
				arena = append(arena, key...)
			}
			want := slices.Clone(items)
			slices.SortStableFunc(want, func(a, b item) int {
				ka, _ := rowAt(arena, a.off)
				kb, _ := rowAt(arena, b.off)
				return bytes.Compare(ka, kb)
			})
			new(sorter).sort(arena, items)
			for i := range items {
				if items[i].off != want[i].off {
					t.Fatalf("%s, %d keys: place %d differs", name, n, i)
				}
			}
		}
	}
}

func TestWritingARowAllocatesNothing(t *testing.T) {
	w := sink(t, t.TempDir(), "averages", settings(byDevice, 0), readings, nil)
	defer finish(t, w)
	pool := batch.NewPool(readings, 1000)
	rows := make([]reading, 1000)
	for i := range rows {
		rows[i] = reading{fmt.Sprintf("device-%08d", i), int64(i), 1, 1}
	}
	b := fill(pool.Get(), rows)
	defer b.Release()
	w.rows.arena, w.rows.items = make([]byte, 0, 1<<20), make([]item, 0, 4000)
	n := testing.AllocsPerRun(20, func() {
		w.rows.reset()
		b.Retain()
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		w.rows.sort(0)
	})
	if n > 2 { // per batch of 1,000 rows: the closure of the sorter
		t.Errorf("%v allocations per batch", n)
	}
}
