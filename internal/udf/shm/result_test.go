package shm

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
)

// aligned returns a slot in memory that is aligned as a mapping is.
func aligned(b []byte) []byte {
	words := make([]uint64, (len(b)+7)/8)
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
	return raw[:copy(raw, b)]
}

func TestResultsThatNoSaneWorkerWritesAreViolations(t *testing.T) {
	l := fixtureLayout(t)
	b := fixtureBatch()
	defer b.Release()
	text := l.Output.Columns[5]
	put32 := func(at int, v uint32) func([]byte) {
		return func(s []byte) { binary.LittleEndian.PutUint32(s[at:], v) }
	}
	tests := map[string]struct {
		spoil func(slot []byte)
		says  string
	}{
		"sequence":           {func(s []byte) { s[0]++ }, "number 8, expected 7"},
		"rows":               {put32(8, 11), "11 rows, expected 10"},
		"many rows":          {put32(8, 1<<31), "rows, expected 10"},
		"status":             {put32(12, 9), "unknown status 9"},
		"null columns":       {func(s []byte) { s[17] = 1 }, "columns that it does not have"},
		"first offset":       {put32(text.Values, 1), "texts begin at 1"},
		"negative first":     {put32(text.Values, 1<<31), "texts begin at"},
		"offset back":        {put32(text.Values+12, 0), "go back"},
		"negative offset":    {put32(text.Values+8, 1<<31), "go back"},
		"texts too long":     {put32(text.Values+40, 257), "texts of 257 bytes in room for 256"},
		"not UTF-8":          {func(s []byte) { s[text.Bytes] = 0xff }, "not UTF-8"},
		"cut in a character": {func(s []byte) { s[text.Values+6*4]-- }, "not UTF-8"},
		"failures too long":  {put32(24, 513), "513 bytes of errors"},
		"failures not JSON":  {put32(24, 5), "not JSON"},
		"failures of no kind": {func(s []byte) {
			copy(s[l.Errors:], strings.Replace(string(s[l.Errors:l.Errors+40]), "exception", "exceptiom", 1))
		}, "unknown error code"},
		"failure out of range": {func(s []byte) { s[l.RowErrors] = 3 }, "row 0 failed by error 3 of 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			slot := resultSlot(l, b, 10)
			test.spoil(slot)
			dst := batch.NewPool(b.Schema(), 64).Get()
			defer dst.Release()
			_, err := readSlot(slot, l, 7, 10, dst, 0, nil, new(Scratch))
			var v *ViolationError
			if !errors.As(err, &v) || !strings.Contains(v.What, test.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAResultThatDoesNotFitIsReported(t *testing.T) {
	l := fixtureLayout(t)
	b := fixtureBatch()
	defer b.Release()
	slot := resultSlot(l, b, 10)
	slot[12] = statusTooLarge
	if _, err := readSlot(slot, l, 7, 10, b, 0, nil, new(Scratch)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestRowsThatAreReadAgainAreNotNullFromTheFirstTime(t *testing.T) {
	l := fixtureLayout(t)
	b := fixtureBatch()
	defer b.Release()
	dst := batch.NewPool(b.Schema(), 128).Get()
	defer dst.Release()
	slot := resultSlot(l, b, 10)
	if _, err := readSlot(slot, l, 7, 10, dst, 5, nil, new(Scratch)); err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(slot[12:], statusDone)
	binary.LittleEndian.PutUint64(slot[16:], 0)
	if _, err := readSlot(slot, l, 7, 10, dst, 5, nil, new(Scratch)); err != nil {
		t.Fatal(err)
	}
	for c := range allKinds {
		if n := dst.Col(c).CountNulls(20); n != 0 {
			t.Errorf("column %d has %d nulls", c, n)
		}
	}
}

// FuzzResult reads slots that hold anything: the answer is a result inside its
// rows or an error, never a panic and never a byte outside.
func FuzzResult(f *testing.F) {
	l, err := layout(allKinds, allKinds, 64, 2, 256, 512)
	if err != nil {
		f.Fatal(err)
	}
	b := fixtureBatch()
	good, schema := resultSlot(l, b, 10), b.Schema()
	b.Release()
	f.Add(good, 10, 0)
	f.Add(good[:100], 10, 3)
	f.Add([]byte{}, 1, 0)
	f.Fuzz(func(t *testing.T, data []byte, n, at int) {
		if n < 1 || n > 64 || at < 0 || at > 64 {
			return
		}
		slot := aligned(make([]byte, l.Output.Stride))
		copy(slot, data)
		copy(slot, good[:8])
		binary.LittleEndian.PutUint32(slot[8:], uint32(n))
		dst := batch.NewPool(schema, 128).Get()
		defer dst.Release()
		failures, err := readSlot(slot, l, 7, n, dst, at, nil, new(Scratch))
		if err != nil {
			return
		}
		for _, x := range failures {
			if x.Row < at || x.Row >= at+n || !dst.Col(0).IsNull(x.Row) {
				t.Errorf("row %d failed, of %d at %d", x.Row, n, at)
			}
		}
		for c := range allKinds {
			for i := range 128 {
				if (i < at || i >= at+n) && dst.Col(c).IsNull(i) {
					t.Errorf("column %d row %d was touched", c, i)
				}
				if allKinds[c].Views() && i >= at && i < at+n {
					_ = dst.Col(c).Bytes(i)
				}
			}
		}
	})
}

func TestBitsMoveToAnyPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		src := []uint64{r.Uint64(), r.Uint64(), r.Uint64()}
		from, n := r.IntN(100), 1+r.IntN(92)
		bit := func(w []uint64, i int) bool { return w[i>>6]>>(uint(i)&63)&1 == 1 }
		packed := make([]byte, (n+7)/8)
		copyBits(packed, src, from, n)
		bytes := make([]byte, n)
		bitsToBytes(bytes, src, from, n)
		at, k := r.IntN(120), 1+r.IntN(64)
		dst := []uint64{r.Uint64(), r.Uint64(), r.Uint64()}
		before := [3]uint64(dst)
		v := r.Uint64()
		putBits(dst, at, v, k)
		for i := range n {
			if got := packed[i>>3]>>(i&7)&1 == 1; got != bit(src, from+i) || got != (bytes[i] == 1) {
				t.Fatalf("bit %d of %d from %d", i, n, from)
			}
		}
		for i := range 192 {
			want := bit(before[:], i)
			if i >= at && i < at+k {
				want = v>>uint(i-at)&1 == 1
			}
			if bit(dst, i) != want {
				t.Fatalf("bit %d after %d bits at %d", i, k, at)
			}
		}
	}
}

func TestArgumentsAreCutWhereTheSlotIsFull(t *testing.T) {
	l := fixtureLayout(t)
	in, err := NewInput(l)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := fixtureBatch()
	schema := s.Schema()
	s.Release()
	b := batch.NewPool(schema, 200).Get()
	defer b.Release()
	for i := range 200 {
		b.Col(5).SetText(i, strings.Repeat("x", 10))
		b.Col(6).SetBytes(i, nil)
	}
	b.Col(5).SetText(100, strings.Repeat("y", 300))
	b.SetLen(200)
	for _, test := range []struct{ from, to, want int }{{0, 200, 25}, {0, 10, 10}, {90, 200, 10}, {100, 101, 0}, {101, 200, 25}} {
		if n := in.Write(0, b, test.from, test.to, time.Second); n != test.want {
			t.Errorf("rows %d to %d: %d written, expected %d", test.from, test.to, n, test.want)
		}
	}
}

func TestOnlyTheEngineCanWriteTheInput(t *testing.T) {
	l := fixtureLayout(t)
	in, err := NewInput(l)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := NewOutput(l)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := writable(in.FD(), l.Input.Size); err == nil {
		t.Error("the input can be mapped for writing")
	}
	if err := writable(out.FD(), l.Output.Size); err != nil {
		t.Errorf("the worker cannot map its output: %v", err)
	}
	in.Publish(3)
	if out.Completed() != 0 || out.WorkerParked() {
		t.Error("a fresh output is not empty")
	}
}

func TestLayoutsOutOfRangeAreRefused(t *testing.T) {
	many := make([]batch.Kind, MaxColumns+1)
	for i := range many {
		many[i] = batch.Int32
	}
	f := []batch.Kind{batch.Float64}
	for _, test := range []struct {
		args, results []batch.Kind
		rows, slots   int
	}{{many, f, 64, 4}, {f, many, 64, 4}, {nil, f, 64, 4}, {f, nil, 64, 4}, {f, f, 0, 4}, {f, f, MaxRows + 1, 4}, {f, f, 64, 0}, {[]batch.Kind{batch.Invalid}, f, 64, 4}} {
		if _, err := NewLayout(test.args, test.results, test.rows, test.slots); err == nil {
			t.Errorf("%+v was taken", test)
		}
	}
	if _, err := NewLayout(many[1:], many[1:], MaxRows, 4); err != nil {
		t.Error(err)
	}
}
