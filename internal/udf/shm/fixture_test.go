package shm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/udf"
)

// The fixtures are read by the tests of the worker as well (python/tests): both
// sides of the wire are held to the same bytes.
const fixtures = "../../../api/fixtures/udf"

var update = flag.Bool("update", false, "write the fixtures anew")

var allKinds = []batch.Kind{batch.Bool, batch.Int32, batch.Int64, batch.Float32, batch.Float64, batch.String, batch.Binary, batch.Timestamp}

func fixtureLayout(t *testing.T) *Layout {
	t.Helper()
	l, err := layout(allKinds, allKinds, 64, 2, 256, 512)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fixtureBatch has a null in every column, at row 3 of column 0, row 4 of column 1, ...
// but none in the last, and texts of every length class.
func fixtureBatch() *batch.Batch {
	s := &batch.Schema{Time: -1}
	for _, k := range allKinds {
		s.Fields = append(s.Fields, batch.Field{Name: k.String(), Kind: k, Nullable: true})
	}
	b := batch.NewPool(s, 128).Get()
	texts := []string{"", "a", "twelve bytes", "thirteen bytes", "größer", "日本語のテキスト", "x", "", "tab\there", "end"}
	for i := range 10 {
		b.Col(0).SetBool(i, i%3 == 0)
		b.Col(1).Int32s()[i] = int32(-5 + 1000*i)
		b.Col(2).Int64s()[i] = -5 + 1e15*int64(i)
		b.Col(3).Float32s()[i] = float32(i) / 4
		b.Col(4).Float64s()[i] = float64(i) / 8
		b.Col(5).SetText(i, texts[i])
		b.Col(6).SetBytes(i, append([]byte{0xff, 0}, texts[9-i]...))
		b.Col(7).Int64s()[i] = 1_700_000_000_000_000 + int64(i)
	}
	for c := range 7 {
		b.Col(c).SetNull(3 + c)
	}
	b.SetLen(10)
	return b
}

// fixture compares got with a file, or writes it.
func fixture(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join(fixtures, name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs from what this engine writes; run go test -update if the change is meant and the protocol has a new version", name)
	}
	return want
}

func TestLayoutIsTheOneOfTheContract(t *testing.T) {
	l := fixtureLayout(t)
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	fixture(t, "layout.json", append(b, '\n'))
	for _, a := range []Area{l.Input, l.Output} {
		for _, c := range a.Columns {
			if c.Validity%lineBytes != 0 || c.Values%lineBytes != 0 || c.Bytes%lineBytes != 0 {
				t.Errorf("column %+v is not aligned", c)
			}
		}
	}
}

func TestInputSlotIsTheOneOfTheContract(t *testing.T) {
	l := fixtureLayout(t)
	in, err := NewInput(l)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b := fixtureBatch()
	defer b.Release()
	if n := in.Write(7, b, 0, 10, 2*time.Second); n != 10 {
		t.Fatalf("%d rows written", n)
	}
	fixture(t, "input_slot.bin", in.slot(1))
}

// resultSlot writes a result by code of its own: the values of the fixture batch,
// row 8 failed by the first error, row 9 by the second.
func resultSlot(l *Layout, b *batch.Batch, n int) []byte {
	slot := make([]byte, l.Output.Stride)
	errs := `[{"code": "exception", "message": "ValueError: no", "traceback": "Traceback"},{"code": "wrong_dtype", "message": "not so"}]`
	binary.LittleEndian.PutUint64(slot, 7)
	binary.LittleEndian.PutUint32(slot[8:], uint32(n))
	binary.LittleEndian.PutUint32(slot[12:], statusSomeFailed)
	binary.LittleEndian.PutUint64(slot[16:], 0b01111111)
	binary.LittleEndian.PutUint32(slot[24:], uint32(len(errs)))
	copy(slot[l.Errors:], errs)
	binary.LittleEndian.PutUint16(slot[l.RowErrors+16:], 1)
	binary.LittleEndian.PutUint16(slot[l.RowErrors+18:], 2)
	for i, c := range l.Output.Columns {
		col, end := b.Col(i), 0
		for r := range n {
			if !col.IsNull(r) && i < 7 {
				slot[c.Validity+r/8] |= 1 << (r % 8)
			}
			switch {
			case c.Kind == batch.Bool:
				if col.Bool(r) {
					slot[c.Values+r] = 1
				}
			case c.Kind.Views():
				end += copy(slot[c.Bytes+end:], col.Bytes(r))
				binary.LittleEndian.PutUint32(slot[c.Values+4*r+4:], uint32(end))
			default:
				w := c.Kind.Width()
				copy(slot[c.Values+r*w:], col.Data()[r*w:(r+1)*w])
			}
		}
	}
	return slot
}

func TestResultSlotIsTheOneOfTheContract(t *testing.T) {
	l := fixtureLayout(t)
	want := fixtureBatch()
	defer want.Release()
	slot := fixture(t, "result_slot.bin", resultSlot(l, want, 10))
	for _, at := range []int{0, 3, 64, 100} { // rows of the destination
		got := batch.NewPool(want.Schema(), 128).Get()
		failed, err := readSlot(slot, l, 7, 10, got, at, nil, new(Scratch))
		if err != nil {
			t.Fatal(err)
		}
		wantFailed := []udf.Failure{
			{Row: at + 8, Code: "exception", Message: "ValueError: no", Traceback: "Traceback"},
			{Row: at + 9, Code: "wrong_dtype", Message: "not so"},
		}
		if d := cmp.Diff(wantFailed, failed); d != "" {
			t.Error(d)
		}
		for c := range allKinds {
			for r := range 10 {
				null := want.Col(c).IsNull(r) || r >= 8
				if got.Col(c).IsNull(at+r) != null {
					t.Errorf("at %d: column %d row %d: null is not %v", at, c, r, null)
				} else if !null && !same(got.Col(c), at+r, want.Col(c), r) {
					t.Errorf("at %d: column %d row %d differs", at, c, r)
				}
			}
		}
		got.Release()
	}
}

// same compares two values of columns of one kind.
func same(a *batch.Column, i int, b *batch.Column, j int) bool {
	switch k := a.Kind(); {
	case k == batch.Bool:
		return a.Bool(i) == b.Bool(j)
	case k.Views():
		return bytes.Equal(a.Bytes(i), b.Bytes(j))
	default:
		w := k.Width()
		return bytes.Equal(a.Data()[i*w:(i+1)*w], b.Data()[j*w:(j+1)*w])
	}
}
