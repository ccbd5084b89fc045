package operator_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/expr"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/testkit"
	"github.com/gorge-stream/gorge/internal/udf"
)

// double is a function that doubles its argument and fails for negative ones.
// Calls are answered in Wait, so that several are under way.
type double struct {
	pool  *batch.Pool
	under int
	most  int
	fail  error
}

type doubleCall struct {
	f    *double
	args *batch.Batch
}

func (d *double) Signature() udf.Signature {
	return udf.Signature{Name: "double", Args: 1, Results: []batch.Kind{batch.Float64}}
}

func (d *double) Start(_ context.Context, args *batch.Batch) (udf.Call, error) {
	d.under++
	d.most = max(d.most, d.under)
	return doubleCall{d, args}, nil
}

func (c doubleCall) Wait(context.Context) (udf.Result, error) {
	c.f.under--
	if c.f.fail != nil {
		return udf.Result{}, c.f.fail
	}
	out := c.f.pool.Get()
	res := udf.Result{Batch: out}
	for i := range c.args.Len() {
		v := c.args.Col(0).Float64s()[i]
		if v < 0 {
			out.Col(0).SetNull(i)
			res.Failures = append(res.Failures, udf.Failure{Row: i, Code: "exception", Message: "ValueError: negative", Traceback: "line 3"})
			continue
		}
		out.Col(0).Float64s()[i] = 2 * v
	}
	out.SetLen(c.args.Len())
	return res, nil
}

// rows encodes a row as its values, for dead letters.
type rows struct{}

func (rows) Header() []byte { return nil }
func (rows) Footer() []byte { return nil }
func (rows) Encode(dst []byte, b *batch.Batch, from, to int) ([]byte, error) {
	return append(dst, strings.Join(testkit.Rows(b)[from:to], ";")...), nil
}

var _ codec.Encoder = rows{}

func newCall(t *testing.T, policy operator.OnFailure, def float64) (*operator.Call, *double, *batch.Pool, *operator.Counter) {
	t.Helper()
	in := testkit.Schema(t, "k string, v float64")
	out := testkit.Schema(t, "k string, v float64, w float64?")
	f := &double{pool: batch.NewPool(testkit.Schema(t, "r float64?"), 8)}
	r := &runner{t: t}
	failed := &operator.Counter{}
	return operator.NewCall(operator.CallConfig{
		Context: t.Context(), Step: "scored", Func: f, OnFailure: policy, Default: def, Rows: rows{}, Failed: failed,
		Args: []*expr.Program{r.program("v", in)}, ArgPool: batch.NewPool(testkit.Schema(t, "a float64"), 8),
		Out: batch.NewPool(out, 8), Inputs: []int{0, 1},
	}), f, batch.NewPool(in, 8), failed
}

func TestCallPolicies(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy operator.OnFailure
		def    float64
		want   []string
	}{
		{"dead letter", operator.DeadLetterRow, 0, []string{"dead: scored exception ValueError:_negative null null line_3 YiAtMQ==", "main: a 1 2", "main: c 3 6"}},
		{"default", operator.UseDefault, 9, []string{"main: a 1 2", "main: b -1 9", "main: c 3 6"}},
		{"default null", operator.UseDefault, math.NaN(), []string{"main: a 1 2", "main: b -1 null", "main: c 3 6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.CheckLive(t)
			op, _, in, failed := newCall(t, c.policy, c.def)
			defer op.Close()
			var rec testkit.Recorder
			b := in.Get()
			testkit.Fill(t, b, []string{"a 1", "b -1", "c 3"})
			if err := op.ProcessBatch(b, &rec); err != nil {
				t.Fatal(err)
			}
			if err := op.OnWatermark(0, &rec); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(strings.ReplaceAll(rec.Take(), "ValueError: negative", "ValueError:_negative"), "line 3", "line_3")
			if got != strings.Join(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(c.want, "\n"))
			}
			if failed.Load() != 1 {
				t.Errorf("%d failed rows counted", failed.Load())
			}
		})
	}
}

func TestAFailureEndsTheJobUnderFail(t *testing.T) {
	testkit.CheckLive(t)
	op, _, in, _ := newCall(t, operator.FailJob, 0)
	defer op.Close()
	b := in.Get()
	testkit.Fill(t, b, []string{"a 1", "b -1"})
	var rec testkit.Recorder
	if err := op.ProcessBatch(b, &rec); err != nil {
		t.Fatal(err)
	}
	err := op.OnWatermark(0, &rec)
	want := "error[run/function-failed]: step scored: the function double failed for a row: ValueError: negative (exception)\n  because: line 3\n  hint: set on_error"
	if got := diag.Format(err); !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestCallsOverlapAndResultsKeepTheirOrder(t *testing.T) {
	testkit.CheckLive(t)
	op, f, in, _ := newCall(t, operator.FailJob, 0)
	var rec testkit.Recorder
	var want []string
	for i := range 10 {
		b := in.Get()
		b.Col(0).SetText(0, "k")
		b.Col(1).Float64s()[0] = float64(i)
		b.SetLen(1)
		if err := op.ProcessBatch(b, &rec); err != nil {
			t.Fatal(err)
		}
		want = append(want, "main: k "+testkit.Number(float64(i))+" "+testkit.Number(float64(2*i)))
	}
	if f.most < 2 || f.most > 4 {
		t.Errorf("%d calls were under way at most, want 2 to 4", f.most)
	}
	if err := op.OnWatermark(batch.MaxTime, &rec); err != nil {
		t.Fatal(err)
	}
	if got := rec.Take(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	op.Close()
}

func TestALostPoolEndsTheJobAndLeaksNothing(t *testing.T) {
	testkit.CheckLive(t)
	op, f, in, _ := newCall(t, operator.DeadLetterRow, 0)
	var rec testkit.Recorder
	for range 3 {
		b := in.Get()
		testkit.Fill(t, b, []string{"a 1"})
		if err := op.ProcessBatch(b, &rec); err != nil {
			t.Fatal(err)
		}
	}
	f.fail = errors.New("the pool is gone")
	if err := op.OnWatermark(0, &rec); !errors.Is(err, f.fail) {
		t.Errorf("got %v", err)
	}
	op.Close()
}

// parts writes down the Before of what is emitted, by port.
type parts map[operator.Port][]batch.Time

func (p parts) Emit(port operator.Port, b *batch.Batch) error {
	p[port] = append(p[port], b.Before)
	b.Release()
	return nil
}

// TestDeadLettersBelongToThePartOfTheirRows: where tasks tell each other how far
// they are in a block, a letter without its part would make them wait for one another.
func TestDeadLettersBelongToThePartOfTheirRows(t *testing.T) {
	testkit.CheckLive(t)
	op, _, in, _ := newCall(t, operator.DeadLetterRow, 0)
	defer op.Close()
	got := parts{}
	for _, before := range []batch.Time{10, 20} {
		b := in.Get()
		b.Before = before
		testkit.Fill(t, b, []string{"a 1", "b -1"})
		if err := op.ProcessBatch(b, got); err != nil {
			t.Fatal(err)
		}
	}
	if err := op.OnWatermark(0, got); err != nil {
		t.Fatal(err)
	}
	for _, port := range []operator.Port{operator.Main, operator.Dead} {
		if !slices.Equal(got[port], []batch.Time{10, 20}) {
			t.Errorf("port %d: parts %v", port, got[port])
		}
	}
}
