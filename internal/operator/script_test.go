package operator_test

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/agg"
	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/expr"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
	"github.com/gorge-stream/gorge/internal/testkit"
	"github.com/gorge-stream/gorge/internal/window"
)

// TestScripts runs the scripts of testdata: verbs "operator KIND ..." with the
// schema below it, "push before=TIME" with rows, "watermark TIME", "counters".
func TestScripts(t *testing.T) {
	testkit.Scripts(t, "testdata/*.txt", func(t *testing.T) func(*testkit.Step) string {
		testkit.CheckLive(t)
		r := &runner{t: t}
		t.Cleanup(func() {
			if r.op != nil {
				r.op.Close()
			}
		})
		return r.step
	})
}

type runner struct {
	t       *testing.T
	op      operator.Operator
	in      *batch.Pool
	rec     testkit.Recorder
	counter operator.Counter
}

func (r *runner) step(s *testkit.Step) string {
	switch s.Verb {
	case "operator":
		r.make(s)
	case "push":
		for rows := range slices.Chunk(s.Lines, 8) {
			b := r.in.Get()
			b.Before = r.time(s.Arg("before", "min"))
			testkit.Fill(r.t, b, rows)
			if err := r.op.ProcessBatch(b, &r.rec); err != nil {
				return "error: " + err.Error()
			}
		}
	case "watermark":
		if err := r.op.OnWatermark(r.time(s.Arg("to", "max")), &r.rec); err != nil {
			return "error: " + err.Error()
		}
	case "counter":
		return fmt.Sprint(r.counter.Load())
	default:
		r.t.Fatalf("%s: no verb %s", s.Place, s.Verb)
	}
	// Within a pane results come in hash order, which is not for people.
	if s.Arg("order", "sorted") == "sorted" {
		sort.Strings(r.rec.Lines)
	}
	return r.rec.Take()
}

func (r *runner) time(text string) batch.Time {
	switch text {
	case "min":
		return batch.MinTime
	case "max":
		return batch.MaxTime
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		r.t.Fatal(err)
	}
	return d.Microseconds()
}

func (r *runner) micros(text string) int64 { return r.time(text) }

// make builds the operator "operator kind=... ..." over the schema in its first
// line, to the schema in its second.
func (r *runner) make(s *testkit.Step) {
	t := r.t
	in := testkit.Schema(t, s.Lines[0])
	out := in
	if len(s.Lines) > 1 {
		out = testkit.Schema(t, s.Lines[1])
	}
	r.in = batch.NewPool(in, 8)
	pool := batch.NewPool(out, 8)
	var keys []int
	if k := s.Arg("key", ""); k != "" {
		for _, name := range strings.Split(k, "+") {
			keys = append(keys, in.Index(name))
		}
	}
	switch kind := s.Arg("kind", ""); kind {
	case "window", "combine":
		aggs := r.aggregates(s.Arg("agg", ""), in)
		cfg := operator.WindowConfig{
			Keys: state.NewKeyEncoder(in, keys), KeyCount: len(keys),
			Assigner: window.Tumbling{Size: r.micros(s.Arg("size", "10s")), Offset: r.micros(s.Arg("offset", "0s"))},
			Trigger:  window.AtEnd{}, Aggregates: aggs, Out: pool, In: r.in, Partial: -1,
			LateOutput: s.Arg("late", "drop") == "side", Late: &r.counter,
			State: memory.New(state.Layout{Init: aggs.Set.Init()}, keygroup.All),
		}
		if kind == "window" {
			r.op = operator.NewWindowAggregate(cfg)
			return
		}
		r.op = r.twoHalves(cfg, in, keys, pool)
	case "running":
		aggs := r.aggregates(s.Arg("agg", ""), in)
		ttl := r.micros(s.Arg("ttl", "0s"))
		var inputs []int
		for i := range in.Fields {
			inputs = append(inputs, i)
		}
		r.op = operator.NewRunning(operator.RunningConfig{
			Keys: state.NewKeyEncoder(in, keys), Aggregates: aggs, Out: pool, Inputs: inputs, TTL: ttl,
			State: memory.New(state.Layout{Init: operator.RunningInit(aggs, ttl)}, keygroup.All),
		})
	case "filter":
		r.op = operator.NewFilter(r.program(s.Arg("where", ""), in), pool, &r.counter)
	default:
		t.Fatalf("%s: no operator %s", s.Place, kind)
	}
}

func (r *runner) program(src string, in *batch.Schema) *expr.Program {
	e, err := expr.Parse(src)
	if err != nil {
		r.t.Fatal(err)
	}
	p, err := expr.Compile(e, in)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *runner) aggregates(text string, in *batch.Schema) *operator.Aggregates {
	var calls []operator.AggregateCall
	var texts []string
	for _, src := range strings.Split(text, ";") {
		e, err := expr.Parse(src)
		if err != nil {
			r.t.Fatal(err)
		}
		name, args, _ := e.Call()
		f, ok := agg.Lookup(name)
		if !ok {
			r.t.Fatalf("no aggregate %s", name)
		}
		c := operator.AggregateCall{Function: f}
		for _, a := range args {
			if v, ok := a.Literal(); ok {
				c.Params = append(c.Params, v.(float64))
				continue
			}
			c.Args = append(c.Args, r.program(a.Source(), in))
			texts = append(texts, a.Source())
		}
		calls = append(calls, c)
	}
	return operator.NewAggregates(calls, texts)
}

// twoHalves is a Combine whose output goes into a WindowAggregate.
func (r *runner) twoHalves(cfg operator.WindowConfig, in *batch.Schema, keys []int, out *batch.Pool) operator.Operator {
	mid := batch.NewPool(operator.CombineSchema(in, keys), 8)
	first := cfg
	first.Out = mid
	second := cfg
	second.In = mid
	second.Partial = len(keys) + 1
	second.Out = out
	second.State = memory.New(state.Layout{Init: cfg.Aggregates.Set.Init()}, keygroup.All)
	var at []int
	for i := range keys {
		at = append(at, i)
	}
	second.Keys = state.NewKeyEncoder(mid.Schema(), at)
	second.Late = &operator.Counter{}
	return &halves{operator.NewCombine(first), operator.NewWindowAggregate(second)}
}

type halves struct{ first, second operator.Operator }

type into struct {
	op  operator.Operator
	out operator.Output
}

func (i into) Emit(port operator.Port, b *batch.Batch) error {
	if port != operator.Main {
		return i.out.Emit(port, b)
	}
	return i.op.ProcessBatch(b, i.out)
}

func (h *halves) ProcessBatch(b *batch.Batch, out operator.Output) error {
	return h.first.ProcessBatch(b, into{h.second, out})
}

func (h *halves) OnWatermark(t batch.Time, out operator.Output) error {
	if err := h.first.OnWatermark(t, into{h.second, out}); err != nil {
		return err
	}
	return h.second.OnWatermark(t, out)
}

func (h *halves) Close() {
	h.first.Close()
	h.second.Close()
}
