package batch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"
)

func TestViewsHoldTheirBytes(t *testing.T) {
	for n := range 40 {
		want := []byte(strings.Repeat("xyzäöü", 8))[:n]
		c := NewColumn(Binary, 2)
		c.SetBytes(0, []byte("another long value in the arena"))
		c.SetBytes(1, want)
		v := c.Views()[1]
		if v.Len() != n || v.Inline() != (n <= InlineMax) || !bytes.Equal(c.Bytes(1), want) {
			t.Errorf("%d bytes: len %d inline %v bytes %q", n, v.Len(), v.Inline(), c.Bytes(1))
		}
		if n <= InlineMax {
			// The unused bytes are 0, so that equal values have equal words.
			raw := unsafe.Slice((*byte)(unsafe.Pointer(&v)), 16)
			if !bytes.Equal(raw[4:4+n], want) || !bytes.Equal(raw[4+n:], make([]byte, 12-n)) {
				t.Errorf("%d bytes: words %x", n, raw)
			}
		}
	}
}

func TestHashBytesDependsOnEveryByteAndAgreesWithTheView(t *testing.T) {
	for n := 1; n < 70; n++ {
		b := bytes.Repeat([]byte{'a'}, n)
		h := HashBytes(b)
		if n <= InlineMax {
			if v := InlineView(b); Hash(v.W0, v.W1) != h {
				t.Fatalf("%d bytes: the view hashes differently", n)
			}
		}
		for i := range b {
			b[i]++
			if HashBytes(b) == h {
				t.Errorf("%d bytes: byte %d does not matter", n, i)
			}
			b[i]--
		}
	}
}

func TestHashSpreadsOverTheTopBits(t *testing.T) {
	const keys, groups = 100_000, 1024
	for name, format := range map[string]string{"short": "dev-%07d", "long": "a sensor somewhere in the city %07d"} {
		var count [groups]int
		for i := range keys {
			count[HashBytes(fmt.Appendf(nil, format, i))>>54]++
		}
		for g, n := range count {
			if n < 50 || n > 160 {
				t.Errorf("%s keys: group %d has %d of about 98", name, g, n)
			}
		}
	}
}

var everyKind = &Schema{Time: 6, Fields: []Field{
	{Name: "b", Kind: Bool, Nullable: true}, {Name: "i", Kind: Int32, Nullable: true}, {Name: "l", Kind: Int64, Nullable: true},
	{Name: "f", Kind: Float32, Nullable: true}, {Name: "d", Kind: Float64, Nullable: true}, {Name: "s", Kind: String, Nullable: true},
	{Name: "t", Kind: Timestamp}, {Name: "x", Kind: Binary, Nullable: true},
}}

// fillRandom sets row i of every column.
func fillRandom(b *Batch, i int, r *rand.Rand) {
	for c := range b.cols {
		col := b.Col(c)
		n := r.IntN(100)
		if n < 20 && b.schema.Fields[c].Nullable {
			col.SetNull(i)
			continue
		}
		switch col.Kind() {
		case Bool:
			col.SetBool(i, n%2 == 0)
		case Int32:
			col.Int32s()[i] = int32(n)
		case Float32:
			col.Float32s()[i] = float32(n)
		case Float64:
			col.Float64s()[i] = float64(n) / 3
		case String, Binary:
			col.SetText(i, strings.Repeat("ab", n%15))
		default:
			col.Int64s()[i] = int64(n) << 33
		}
	}
}

func text(b *Batch, i int) string {
	var out []string
	for c := range b.cols {
		col := b.Col(c)
		switch {
		case col.IsNull(i):
			out = append(out, "null")
		case col.Kind() == Bool:
			out = append(out, fmt.Sprint(col.Bool(i)))
		case col.Kind() == Int32:
			out = append(out, fmt.Sprint(col.Int32s()[i]))
		case col.Kind() == Float32:
			out = append(out, fmt.Sprint(col.Float32s()[i]))
		case col.Kind() == Float64:
			out = append(out, fmt.Sprint(col.Float64s()[i]))
		case col.Kind().Views():
			out = append(out, col.Text(i))
		default:
			out = append(out, fmt.Sprint(col.Int64s()[i]))
		}
	}
	return strings.Join(out, "|")
}

// TestAppendRowsCopiesTheChosenRows compares with rows written as text, for
// every kind, over batches that come out of the pool again and again.
func TestAppendRowsCopiesTheChosenRows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := NewPool(everyKind, 100)
	for range 200 {
		src, dst := p.Get(), p.Get()
		for i := range 100 {
			fillRandom(src, i, r)
		}
		src.SetLen(100)
		var want []string
		for len(want) < 100 {
			var sel []uint32
			for range r.IntN(40) {
				sel = append(sel, uint32(r.IntN(100)))
			}
			room := 100 - dst.Len()
			n := dst.AppendRows(src, sel)
			if n != min(room, len(sel)) {
				t.Fatalf("%d of %d rows fitted into %d", n, len(sel), room)
			}
			for _, i := range sel[:n] {
				want = append(want, text(src, int(i)))
			}
		}
		for i, w := range want {
			if got := text(dst, i); got != w {
				t.Fatalf("row %d: got %s, want %s", i, got, w)
			}
		}
		src.Release()
		dst.Release()
	}
	if Live() != 0 {
		t.Errorf("%d batches leaked", Live())
	}
}

func TestCopyAndSwapKeepValuesNullsAndArena(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	p := NewPool(everyKind, 70)
	a, b, c := p.Get(), p.Get(), p.Get()
	for i := range 70 {
		fillRandom(a, i, r)
		fillRandom(b, i, r)
	}
	a.SetLen(70)
	c.SetLen(70)
	var want []string
	for i := range 70 {
		want = append(want, text(a, i))
	}
	for i := range a.cols {
		b.Col(i).CopyFrom(a.Col(i), 70)
		c.Col(i).Swap(a.Col(i))
	}
	for i := range 70 {
		if text(b, i) != want[i] || text(c, i) != want[i] {
			t.Fatalf("row %d: copied %s, swapped %s, want %s", i, text(b, i), text(c, i), want[i])
		}
	}
	for _, x := range []*Batch{a, b, c} {
		x.Release()
	}
}

func TestABatchFromThePoolIsClean(t *testing.T) {
	p := NewPool(everyKind, 10)
	b := p.Get()
	b.Col(5).SetText(0, "a text that is long enough for the arena")
	b.Col(0).SetNull(3)
	b.Before = 5
	b.SetLen(10)
	b.Release()
	b = p.Get()
	defer b.Release()
	if b.Len() != 0 || b.Before != MinTime || b.Col(0).HasNulls() || len(b.Col(5).Arena()) != 0 || !b.Sole() {
		t.Errorf("len %d before %d nulls %v arena %d", b.Len(), b.Before, b.Col(0).HasNulls(), len(b.Col(5).Arena()))
	}
}

func TestReferencesAreCounted(t *testing.T) {
	p := NewPool(everyKind, 4)
	b := p.Get()
	b.Retain()
	if b.Sole() {
		t.Error("two holders are not a sole one")
	}
	b.Release()
	if Live() != 1 || !b.Sole() {
		t.Errorf("live %d", Live())
	}
	b.Release()
	if Live() != 0 {
		t.Errorf("live %d", Live())
	}
	defer func() {
		if recover() == nil {
			t.Error("a release too many was not noticed")
		}
		live.Store(0)
	}()
	b.Release()
}

func TestCountNulls(t *testing.T) {
	c := NewColumn(Int64, 200)
	for i := 0; i < 200; i += 3 {
		c.SetNull(i)
	}
	for _, n := range []int{0, 1, 63, 64, 65, 128, 199, 200} {
		want := (n + 2) / 3
		if got := c.CountNulls(n); got != want {
			t.Errorf("first %d: %d nulls, want %d", n, got, want)
		}
	}
}

func TestBuffersAreAligned(t *testing.T) {
	for k := Bool; k <= Timestamp; k++ {
		c := NewColumn(k, 33)
		if uintptr(c.ptr())%64 != 0 {
			t.Errorf("%s: not at a multiple of 64", k)
		}
	}
}

func TestGatherAllocatesNothing(t *testing.T) {
	p := NewPool(everyKind, 1024)
	src, dst := p.Get(), p.Get()
	defer src.Release()
	defer dst.Release()
	sel := make([]uint32, 1024)
	for i := range sel {
		sel[i] = uint32(1023 - i)
		src.Col(5).SetText(i, "short")
	}
	src.SetLen(1024)
	if n := testing.AllocsPerRun(10, func() {
		dst.SetLen(0)
		dst.AppendRows(src, sel)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestKindNames(t *testing.T) {
	for k := Bool; k <= Timestamp; k++ {
		if ParseKind(k.String()) != k {
			t.Errorf("%s does not come back", k)
		}
	}
	if ParseKind("invalid") != Invalid || ParseKind("nothing") != Invalid {
		t.Error("a wrong name must be Invalid")
	}
}

// TestGatherLeavesWhatIsUnderANullAlone gathers rows whose nulls stand on views
// of another arena, as expressions leave them.
func TestGatherLeavesWhatIsUnderANullAlone(t *testing.T) {
	src, dst := NewColumn(String, 4), NewColumn(String, 4)
	long := "a text that lies in the arena"
	src.SetText(0, long)
	src.SetNull(1)
	src.Views()[1] = LongView([]byte(long), 1<<30)
	src.SetNull(2)
	src.SetText(3, "short")
	dst.Gather(0, src, []uint32{3, 1, 0, 2})
	if dst.Text(0) != "short" || !dst.IsNull(1) || dst.Text(2) != long || !dst.IsNull(3) {
		t.Errorf("got %q null=%v %q null=%v", dst.Text(0), dst.IsNull(1), dst.Text(2), dst.IsNull(3))
	}
	if dst.Views()[1] != (View{}) {
		t.Error("a null row keeps a view of another arena")
	}
}

// TestRowsBehindACopyAreNotNull appends rows without nulls to a batch whose
// column was copied with undefined bits behind its last row.
func TestRowsBehindACopyAreNotNull(t *testing.T) {
	from, to, more := NewColumn(Int64, 8), NewColumn(Int64, 8), NewColumn(Int64, 8)
	from.MakeNullable()[0] = 1 // row 0 is there, what is behind it means nothing
	to.CopyFrom(from, 1)
	to.Gather(1, more, []uint32{0, 1, 2})
	if n := to.CountNulls(4); n != 0 {
		t.Errorf("%d of 4 rows are null", n)
	}
}

// TestCopyZeroesTextsUnderNulls: expressions leave anything there, and readers
// of a batch (workers, encoders) may look at every view.
func TestCopyZeroesTextsUnderNulls(t *testing.T) {
	const n = 70
	src, dst := NewColumn(String, n), NewColumn(String, n)
	long := "a text that lies in the arena"
	for i := range n {
		src.SetText(i, long)
		if i%3 == 0 {
			src.SetNull(i)
			src.Views()[i] = LongView([]byte(long), 1<<30)
		}
	}
	dst.CopyFrom(src, n)
	for i := range n {
		switch null := i%3 == 0; {
		case dst.IsNull(i) != null:
			t.Fatalf("row %d: null is %v", i, !null)
		case null && dst.Views()[i] != (View{}), !null && dst.Text(i) != long:
			t.Fatalf("row %d: %q", i, dst.Views()[i].Bytes(dst.Arena()))
		}
	}
}
