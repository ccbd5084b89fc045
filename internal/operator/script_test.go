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
// schema below it, "push before=TIME" with rows, "watermark TIME", "counters",
// "checkpoint", and "crash", which goes back to the last checkpoint.
func TestScripts(t *testing.T) { runScripts(t, false) }

// TestScriptsCrashing runs every script with a checkpoint and a crash behind each
// step: nothing that an operator needs may be anywhere but in its state.
func TestScriptsCrashing(t *testing.T) { runScripts(t, true) }

func runScripts(t *testing.T, crashing bool) {
	testkit.Scripts(t, "testdata/*.txt", func(t *testing.T) func(*testkit.Step) string {
		testkit.CheckLive(t)
		r := &runner{t: t, mark: batch.MinTime}
		t.Cleanup(func() {
			if r.op != nil {
				r.op.Close()
			}
		})
		return func(s *testkit.Step) string {
			if crashing && (s.Verb == "checkpoint" || s.Verb == "crash") {
				t.Skip("the script has crashes of its own")
			}
			out := r.step(s)
			if crashing && r.remake != nil {
				// A barrier comes behind a whole block, so that a watermark has been told.
				if err := r.op.OnWatermark(r.mark, &r.rec); err != nil {
					t.Fatal(err)
				}
				r.kept.checkpoint(t)
				r.crash()
			}
			return out
		}
	})
}

type runner struct {
	t       *testing.T
	op      operator.Operator
	in      *batch.Pool
	rec     testkit.Recorder
	counter operator.Counter
	mark    batch.Time // the last watermark
	// kept is the state of the operator, and remake makes the operator over another
	// backend with the same records; nil when it has no state.
	kept   *kept
	remake func(state.Backend) operator.Operator
}

// lasting makes the operator and notes how to make it again.
func (r *runner) lasting(layout state.Layout, remake func(state.Backend) operator.Operator) {
	r.kept, r.remake = newKept(layout), remake
	r.op = remake(r.kept.backend)
}

// crash makes the operator anew with what the last checkpoint has.
func (r *runner) crash() {
	r.op.Close()
	r.kept.restore(r.t)
	r.op = r.remake(r.kept.backend)
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
		r.mark = r.time(s.Arg("to", "max"))
		if err := r.op.OnWatermark(r.mark, &r.rec); err != nil {
			return "error: " + err.Error()
		}
	case "checkpoint":
		r.kept.checkpoint(r.t)
		return ""
	case "crash":
		r.crash()
		return ""
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
		}
		r.lasting(layout(aggs, aggs.Set.Init()), func(b state.Backend) operator.Operator {
			if kind == "combine" {
				return r.twoHalves(cfg, in, keys, pool, b)
			}
			cfg.State = b
			return operator.NewWindowAggregate(cfg)
		})
	case "running":
		aggs := r.aggregates(s.Arg("agg", ""), in)
		ttl := r.micros(s.Arg("ttl", "0s"))
		var inputs []int
		for i := range in.Fields {
			inputs = append(inputs, i)
		}
		r.lasting(layout(aggs, operator.RunningInit(aggs, ttl)), func(b state.Backend) operator.Operator {
			return operator.NewRunning(operator.RunningConfig{
				Keys: state.NewKeyEncoder(in, keys), Aggregates: aggs, Out: pool, Inputs: inputs, TTL: ttl, State: b,
			})
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
func (r *runner) twoHalves(cfg operator.WindowConfig, in *batch.Schema, keys []int, out *batch.Pool, kept state.Backend) operator.Operator {
	mid := batch.NewPool(operator.CombineSchema(in, keys), 8)
	first := cfg
	first.Out = mid
	first.State = memory.New(state.Layout{Init: cfg.Aggregates.Set.Init()}, keygroup.All) // holds nothing between blocks
	second := cfg
	second.In = mid
	second.Partial = len(keys) + 1
	second.Out = out
	second.State = kept
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
