package batch

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

func arrowSample(n int) *Batch {
	schema := &Schema{Time: 0, Fields: []Field{
		{Kind: Timestamp}, // hidden: carried for the engine, not seen by the user
		{Name: "flag", Kind: Bool, Nullable: true},
		{Name: "small", Kind: Int32, Nullable: true},
		{Name: "big", Kind: Int64},
		{Name: "half", Kind: Float32, Nullable: true},
		{Name: "full", Kind: Float64, Nullable: true},
		{Name: "text", Kind: String, Nullable: true},
		{Name: "raw", Kind: Binary, Nullable: true},
		{Name: "ts", Kind: Timestamp, Nullable: true},
	}}
	b := NewPool(schema, 200).Get()
	for i := range n {
		b.Col(0).Int64s()[i] = int64(i)
		b.Col(1).SetBool(i, i%3 == 0)
		b.Col(2).Int32s()[i] = int32(-i)
		b.Col(3).Int64s()[i] = math.MinInt64 + int64(i)
		b.Col(4).Float32s()[i] = float32(i) / 2
		b.Col(5).Float64s()[i] = float64(i) / 4
		b.Col(6).SetText(i, strings.Repeat("ä", i%20))
		b.Col(7).SetBytes(i, bytes.Repeat([]byte{byte(i)}, i%30))
		b.Col(8).Int64s()[i] = int64(i) * 1_000_000
		if i%5 == 4 {
			for _, c := range []int{1, 2, 4, 5, 6, 7, 8} {
				b.Col(c).SetNull(i)
			}
		}
	}
	b.SetLen(n)
	return b
}

func TestArrowRoundTripKeepsEveryValueAndLeaksNothing(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 200} {
		before := Live()
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		b := arrowSample(n)
		schema := ArrowSchema(b.Schema())
		rec, err := ToArrow(mem, schema, b)
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
		var wire bytes.Buffer
		w := ipc.NewWriter(&wire, ipc.WithSchema(schema), ipc.WithAllocator(mem))
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		rec.Release()
		mem.AssertSize(t, 0)
		if Live() != before {
			t.Fatalf("n=%d: %d batches live, want %d", n, Live(), before)
		}
		compareSample(t, &wire, n)
	}
}

func compareSample(t *testing.T, wire *bytes.Buffer, n int) {
	t.Helper()
	want := arrowSample(n)
	defer want.Release()
	r, err := ipc.NewReader(wire)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatal("no record batch on the wire")
	}
	rec := r.RecordBatch()
	if int(rec.NumRows()) != n || rec.NumCols() != 8 {
		t.Fatalf("%d rows, %d columns", rec.NumRows(), rec.NumCols())
	}
	for i := range n {
		for c := range 8 {
			if got, w := rec.Column(c).IsNull(i), want.Col(c+1).IsNull(i); got != w {
				t.Fatalf("row %d column %d: null %v, want %v", i, c, got, w)
			}
		}
		if want.Col(1).IsNull(i) {
			continue
		}
		same := rec.Column(0).(*array.Boolean).Value(i) == want.Col(1).Bool(i) &&
			rec.Column(1).(*array.Int32).Value(i) == want.Col(2).Int32s()[i] &&
			rec.Column(2).(*array.Int64).Value(i) == want.Col(3).Int64s()[i] &&
			rec.Column(3).(*array.Float32).Value(i) == want.Col(4).Float32s()[i] &&
			rec.Column(4).(*array.Float64).Value(i) == want.Col(5).Float64s()[i] &&
			rec.Column(5).(*array.String).Value(i) == want.Col(6).Text(i) &&
			bytes.Equal(rec.Column(6).(*array.Binary).Value(i), want.Col(7).Bytes(i)) &&
			int64(rec.Column(7).(*array.Timestamp).Value(i)) == want.Col(8).Int64s()[i]
		if !same {
			t.Fatalf("row %d differs: %v", i, rec)
		}
	}
}

func TestArrowBatchStaysAliveUntilTheRecordBatchIsReleased(t *testing.T) {
	before := Live()
	b := arrowSample(10)
	rec, err := ToArrow(memory.NewGoAllocator(), ArrowSchema(b.Schema()), b)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	if Live() != before+1 {
		t.Fatal("the batch was given back while its memory is on loan")
	}
	if rec.Column(2).(*array.Int64).Value(9) != math.MinInt64+9 {
		t.Fatal("lent memory changed")
	}
	rec.Release()
	if Live() != before {
		t.Fatal("the batch leaked")
	}
}
