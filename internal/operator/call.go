package operator

import (
	"context"
	"errors"
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/deadletter"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/expr"
	"github.com/gorge-stream/gorge/internal/udf"
)

// OnFailure is what happens to rows for which a function failed.
type OnFailure uint8

// The policies.
const (
	FailJob OnFailure = iota
	DeadLetterRow
	UseDefault
)

// CallConfig is what a Call is built from.
type CallConfig struct {
	// Place is where the step stands in the pipeline file, for errors.
	Place   diag.Place
	Context context.Context //nolint:containedctx // the lifetime of the job: Operator has no context of its own
	Step    string
	Func    udf.Func
	// Args make the argument columns, ArgSchema their batch.
	Args    []*expr.Program
	ArgPool *batch.Pool
	// Out has the columns of the input in their order, then the results; Inputs
	// is the index in the input of each passed-on column.
	Out       *batch.Pool
	Inputs    []int
	OnFailure OnFailure
	// Default is the result of failed rows under UseDefault; NaN stands for null.
	Default float64
	// Rows encodes the input row of a dead letter.
	Rows codec.Encoder
	// Failed counts the rows for which the function failed.
	Failed *Counter
}

// maxPending bounds the calls of one task that are under way: enough to keep a
// worker busy while the task fills the next batch.
const maxPending = 4

// Call adds the results of a user-defined function to each row. Calls overlap
// with the work of the task; results leave in the order of the input.
type Call struct {
	CallConfig
	pending []pending
	row     []byte
}

type pending struct {
	in, args *batch.Batch
	call     udf.Call
}

var _ Operator = (*Call)(nil)

// NewCall makes the operator.
func NewCall(c CallConfig) *Call { return &Call{CallConfig: c} }

// ProcessBatch starts the call and emits the results of the oldest one when too many are under way.
func (c *Call) ProcessBatch(b *batch.Batch, out Output) error {
	if b.Len() == 0 {
		b.Release()
		return nil
	}
	if len(c.pending) == maxPending {
		if err := c.finish(out); err != nil {
			b.Release()
			return err
		}
	}
	args := c.ArgPool.Get()
	for i, p := range c.Args {
		col, err := p.Eval(b)
		if err != nil {
			args.Release()
			b.Release()
			return err
		}
		args.Col(i).CopyFrom(col, b.Len())
	}
	args.SetLen(b.Len())
	call, err := c.Func.Start(c.Context, args)
	if err != nil {
		args.Release()
		b.Release()
		return err
	}
	c.pending = append(c.pending, pending{b, args, call})
	return nil
}

// finish waits for the oldest call and emits its rows.
func (c *Call) finish(out Output) error {
	p := c.pending[0]
	c.pending = append(c.pending[:0], c.pending[1:]...)
	res, err := p.call.Wait(c.Context)
	p.args.Release()
	defer p.in.Release()
	if err != nil {
		return err
	}
	defer res.Batch.Release()
	if err := c.check(res, p.in); err != nil {
		return err
	}
	c.Failed.Add(int64(len(res.Failures)))
	if len(res.Failures) == 0 || c.OnFailure != DeadLetterRow {
		return c.emitAll(p.in, res, out)
	}
	return c.emitGood(p.in, res, out)
}

func (c *Call) check(res udf.Result, in *batch.Batch) error {
	if res.Batch.Len() != in.Len() {
		return fmt.Errorf("step %s: function returned %d rows for %d", c.Step, res.Batch.Len(), in.Len())
	}
	if len(res.Failures) > 0 && c.OnFailure == FailJob {
		return c.refuse(res.Failures)
	}
	return nil
}

// emitAll emits every row; failed ones have the default.
func (c *Call) emitAll(in *batch.Batch, res udf.Result, out Output) error {
	o := c.Out.Get()
	o.Before = in.Before
	n := in.Len()
	for i := range res.Batch.Schema().Fields {
		o.Col(len(c.Inputs)+i).CopyFrom(res.Batch.Col(i), n)
	}
	if len(res.Failures) > 0 {
		for i := range res.Batch.Schema().Fields {
			setDefault(o.Col(len(c.Inputs)+i), res.Failures, c.Default)
		}
	}
	for i, from := range c.Inputs {
		passOn(o, i, in, from, true)
	}
	o.SetLen(n)
	return out.Emit(Main, o)
}

// setDefault gives failed rows the default value; NaN leaves them null.
func setDefault(col *batch.Column, failures []udf.Failure, v float64) {
	for _, f := range failures {
		i := f.Row
		if v != v {
			col.SetNull(i)
			continue
		}
		valid := col.MakeNullable()
		valid[i>>6] |= 1 << (uint(i) & 63)
		switch col.Kind() {
		case batch.Float64:
			col.Float64s()[i] = v
		case batch.Int64:
			col.Int64s()[i] = int64(v)
		case batch.Bool:
			col.SetBool(i, v != 0)
		default:
			col.SetNull(i)
		}
	}
}

// emitGood emits the rows that did not fail, and a dead letter for each that did.
func (c *Call) emitGood(in *batch.Batch, res udf.Result, out Output) error {
	if err := c.emitDead(in, res.Failures, out); err != nil {
		return err
	}
	sel := make([]uint32, 0, in.Len())
	k := 0
	for i := range in.Len() {
		if k < len(res.Failures) && res.Failures[k].Row == i {
			k++
			continue
		}
		sel = append(sel, uint32(i))
	}
	if len(sel) == 0 {
		return nil
	}
	o := c.Out.Get()
	o.Before = in.Before
	for i, from := range c.Inputs {
		o.Col(i).Gather(0, in.Col(from), sel)
	}
	for i := range res.Batch.Schema().Fields {
		o.Col(len(c.Inputs)+i).Gather(0, res.Batch.Col(i), sel)
	}
	o.SetLen(len(sel))
	return out.Emit(Main, o)
}

func (c *Call) emitDead(in *batch.Batch, failures []udf.Failure, out Output) error {
	for len(failures) > 0 {
		d := deadletter.Pool.Get()
		d.Before = in.Before
		for len(failures) > 0 && d.Len() < d.Cap() {
			f := failures[0]
			failures = failures[1:]
			row, err := c.Rows.Encode(c.row[:0], in, f.Row, f.Row+1)
			if err != nil {
				d.Release()
				return err
			}
			c.row = row
			deadletter.Append(d, &deadletter.Letter{Step: c.Step, Code: f.Code, Reason: f.Message, Detail: f.Traceback, Payload: row})
		}
		if err := out.Emit(Dead, d); err != nil {
			return err
		}
	}
	return nil
}

// OnWatermark waits for every call under way.
func (c *Call) OnWatermark(_ batch.Time, out Output) error {
	for len(c.pending) > 0 {
		if err := c.finish(out); err != nil {
			return err
		}
	}
	return nil
}

// Close gives up the calls under way.
func (c *Call) Close() {
	for _, p := range c.pending {
		// The result is not wanted any more: whatever comes back is dropped.
		if res, err := p.call.Wait(c.Context); err == nil {
			res.Batch.Release()
		}
		p.args.Release()
		p.in.Release()
	}
	c.pending = nil
}

// refuse makes the error of a function that failed under FailJob.
func (c *Call) refuse(failures []udf.Failure) error {
	f, rows := failures[0], "a row"
	if len(failures) > 1 {
		rows = fmt.Sprintf("%d rows of a batch, the first", len(failures))
	}
	e := diag.New("run/function-failed", "step %s: the function %s failed for %s: %s (%s)", c.Step, c.Func.Signature().Name, rows, f.Message, f.Code).
		At(c.Place).WithHint("set on_error: dead_letter for the function to keep going and collect such rows, or default to give them a value")
	if f.Traceback != "" {
		e.Cause = errors.New(f.Traceback)
	}
	return e
}
