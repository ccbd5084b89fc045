package job

import (
	"context"
	"sync"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/deadletter"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/operator"
	"github.com/gorge-stream/gorge/internal/spec"
)

// deadLetters takes the dead letters that no step reads, from every task and
// from sinks, into one sink. All its methods may be called by any goroutine. As
// a SinkWriter of many tasks it ignores their Close; the job closes it.
type deadLetters struct {
	ctx     context.Context //nolint:containedctx // of the job: bounds the letters of sinks, which have none
	mu      sync.Mutex
	open    func() (connector.SinkWriter, error)
	sink    connector.SinkWriter // nil until the first letter; guarded by mu
	encoder codec.Encoder        // nil when the sink takes rows
	buf     []byte
	chunks  *batch.Pool
	count   operator.Counter
	err     error
}

// openDeadLetters prepares the sink that the file names, or the default one.
func (b *builder) openDeadLetters() error {
	d := &deadLetters{ctx: b.ctx, open: b.parts.DeadLetters, chunks: batch.NewPool(operator.ChunkSchema, 1)}
	b.dead = d
	if s := b.plan.DeadLetters; s != nil {
		reg := b.parts.Connectors[s.Connector]
		env := connector.SinkEnv{Name: "dead_letters", Schema: deadletter.Schema, FormatValues: s.FormatSet, DataDir: b.opts.DataDir,
			HTTP: b.opts.HTTP, Log: b.opts.Log.With("sink", "dead_letters"), Terminal: b.opts.Terminal,
			Dead: func(_, _, _ string, _ []byte) {}}
		if f, ok := b.parts.Formats[s.Format]; ok {
			env.Format = &f
		}
		if reg.Bytes {
			enc, err := env.Format.NewEncoder(s.FormatSet, deadletter.Schema)
			if err != nil {
				return err
			}
			d.encoder = enc
			env.Encoded, env.Schema, env.Header, env.Footer = true, operator.ChunkSchema, enc.Header(), enc.Footer()
		}
		// A sink that the file names is opened at once, so that a wrong setting shows at the start.
		sink, err := reg.NewSink(s.Set, env)
		d.sink = sink
		return err
	}
	f := b.parts.Formats["json"]
	enc, err := f.NewEncoder(spec.NewValues(f.Decl, diag.Place{}, nil), deadletter.Schema)
	d.encoder = enc
	return err
}

// Write takes a batch of dead letters.
func (d *deadLetters) Write(ctx context.Context, b *batch.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sink == nil {
		if d.sink, d.err = d.open(); d.err != nil {
			b.Release()
			d.err = diag.New("run/dead-letters", "dead letters cannot be written").WithCause(d.err).
				WithHint("choose another data directory with --data, or name a sink under dead_letters:")
			return d.err
		}
	}
	n := int64(b.Len())
	if err := d.write(ctx, b); err != nil {
		return err
	}
	d.count.Add(n)
	return nil
}

// write gives the letters to the sink, encoded if it takes bytes.
func (d *deadLetters) write(ctx context.Context, b *batch.Batch) error {
	if d.encoder == nil {
		return d.sink.Write(ctx, b)
	}
	buf, err := d.encoder.Encode(d.buf[:0], b, 0, b.Len())
	b.Release()
	if err != nil {
		return err
	}
	d.buf = buf
	c := d.chunks.Get()
	c.Col(0).SetBytes(0, buf)
	c.SetLen(1)
	return d.sink.Write(ctx, c)
}

// letter takes one dead letter of a sink. An error shows at the end of the job:
// the sink that refused the row has no use for it.
func (d *deadLetters) letter(step, code, reason, detail string, row []byte) {
	b := deadletter.Pool.Get()
	deadletter.Append(b, &deadletter.Letter{Step: step, Code: code, Reason: reason, Detail: detail, Payload: row})
	if err := d.Write(d.ctx, b); err != nil {
		d.mu.Lock()
		d.err = err
		d.mu.Unlock()
	}
}

// Flush brings out what was written.
func (d *deadLetters) Flush(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sink == nil {
		return nil
	}
	return d.sink.Flush(ctx)
}

// Prepare prepares nothing: there are no epochs yet.
func (d *deadLetters) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, nil
}

// Close does nothing; see close.
func (d *deadLetters) Close(context.Context, bool) error { return nil }

func (d *deadLetters) close(ctx context.Context, complete bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sink == nil {
		return d.err
	}
	err := d.sink.Close(ctx, complete)
	d.sink = nil
	if d.err != nil {
		return diag.New("run/dead-letters", "a dead letter could not be written").WithCause(d.err)
	}
	return err
}
