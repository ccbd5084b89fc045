package python

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/udf"
	"github.com/gorge-stream/gorge/internal/udf/shm"
	gorgepy "github.com/gorge-stream/gorge/python"
)

// Spec says which function to run and how.
type Spec struct {
	Name    string
	File    string        // the Python file that has it
	Version int           // 0: the newest
	Workers int           // 0: half of the cores, at least one
	Timeout time.Duration // for one batch; 0: 10 s
	Args    []batch.Kind
	Returns []batch.Kind // none: one Float64
	// Interpreter is the path of the Python executable; empty: FindInterpreter.
	Interpreter string
}

// Options are what a pool needs from its surroundings.
type Options struct {
	Log *slog.Logger // nil: slog.Default
	// MaxRows is the most rows that a function gets at once, rounded up to 64;
	// larger batches are cut. 0: 8192.
	MaxRows      int
	StartTimeout time.Duration // for a worker to be ready, imports included; 0: 30 s
	Env          []string      // of the engine, as os.Environ returns it; nil: that
	// Observe is told of every answer of a worker, from any goroutine; may be nil.
	Observe func(rows int, latency time.Duration)
}

// Stats are the counts of a pool since it was opened.
type Stats struct {
	Batches, Rows, Failures, Deaths, Timeouts uint64
	Workers, Ready                            int
}

// Pool is the workers of one function. Its methods may be called from any goroutine.
type Pool struct {
	// constant after Open
	spec      Spec
	options   Options
	log       *slog.Logger
	env       []string
	layout    *shm.Layout
	source    *os.File
	workers   []*worker
	signature udf.Signature
	schema    *batch.Schema
	limits    limits
	cancel    context.CancelFunc

	wg     sync.WaitGroup // keepers
	next   atomic.Uint32
	calls  sync.Pool
	closed sync.Once

	mu      sync.Mutex
	results map[int]*batch.Pool // guarded by mu, by capacity

	stats struct{ batches, rows, failures, deaths, timeouts atomic.Uint64 }
}

var _ udf.Func = (*Pool)(nil)

// Open starts the workers of a function and waits until all are ready; ctx bounds
// the start only. What is wrong with the function comes back as a *diag.Error.
func Open(ctx context.Context, spec Spec, options Options) (*Pool, error) {
	return open(ctx, spec, options, defaultLimits)
}

func open(ctx context.Context, spec Spec, options Options, limits limits) (*Pool, error) {
	p := &Pool{spec: spec, options: options, limits: limits, results: map[int]*batch.Pool{}}
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	alive, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	started := make(chan startup, len(p.workers))
	for _, w := range p.workers {
		p.wg.Go(func() { w.keep(alive, started) })
	}
	for range p.workers {
		var s startup
		select {
		case s = <-started:
		case <-ctx.Done():
			s.err = fmt.Errorf("start workers of function %s: %w", p.spec.Name, ctx.Err())
		}
		if s.err != nil {
			_ = p.Close() // ends the other starts; the first error is the answer
			return nil, s.err
		}
		p.signature.Version = s.version
	}
	return p, nil
}

// prepare checks the spec and makes everything but processes.
func (p *Pool) prepare(ctx context.Context) error {
	s, o := &p.spec, &p.options
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if s.Workers <= 0 {
		s.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if s.Timeout <= 0 {
		s.Timeout = 10 * time.Second
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = 30 * time.Second
	}
	if o.MaxRows <= 0 {
		o.MaxRows = 8192
	}
	if len(s.Returns) == 0 {
		s.Returns = []batch.Kind{batch.Float64}
	}
	path, err := filepath.Abs(s.File)
	if err != nil {
		return fmt.Errorf("path of function %s: %w", s.Name, err)
	}
	s.File = path
	if info, err := os.Stat(s.File); err != nil || info.IsDir() {
		return p.fileMissing()
	}
	if s.Interpreter == "" {
		found, err := FindInterpreter(ctx, o.Env)
		if err != nil {
			return err
		}
		s.Interpreter = found.Path
		o.Log.Info("Python interpreter found", "function", s.Name, "interpreter", found.String())
	}
	p.log = o.Log.With("function", s.Name)
	p.env = environment(o.Env)
	return p.build()
}

func (p *Pool) build() error {
	s := &p.spec
	rows := min((p.options.MaxRows+63)&^63, shm.MaxRows)
	var err error
	if p.layout, err = shm.NewLayout(s.Args, s.Returns, rows, slots); err != nil {
		return diag.New("udf/signature", "function %s cannot be called: %v", s.Name, err)
	}
	p.schema = &batch.Schema{Time: -1}
	for i, k := range s.Returns {
		p.schema.Fields = append(p.schema.Fields, batch.Field{Name: fmt.Sprintf("result%d", i), Kind: k, Nullable: true})
	}
	p.signature = udf.Signature{Name: s.Name, Args: len(s.Args), Results: s.Returns}
	if p.source, err = archive(); err != nil {
		return err
	}
	for i := range s.Workers {
		w, err := newWorker(p, i)
		if err != nil {
			p.free()
			return fmt.Errorf("memory for function %s: %w", s.Name, err)
		}
		p.workers = append(p.workers, w)
	}
	return nil
}

func (p *Pool) openMessage() *openMessage {
	return &openMessage{
		Type: "open", Protocol: protocol, Version: gorgepy.Version(),
		File: p.spec.File, Function: p.spec.Name, FunctionVersion: p.spec.Version, Layout: p.layout,
	}
}

// Signature returns what the function takes and gives.
func (p *Pool) Signature() udf.Signature { return p.signature }

// Stats returns the counts so far.
func (p *Pool) Stats() Stats {
	s := Stats{
		Batches: p.stats.batches.Load(), Rows: p.stats.rows.Load(), Failures: p.stats.failures.Load(),
		Deaths: p.stats.deaths.Load(), Timeouts: p.stats.timeouts.Load(), Workers: len(p.workers),
	}
	for _, w := range p.workers {
		if !w.down.Load() {
			s.Ready++
		}
	}
	return s
}

// Start hands a batch to the workers; see udf.Func. The first columns of args are
// the arguments, of the kinds of the spec; further columns are not read.
func (p *Pool) Start(ctx context.Context, args *batch.Batch) (udf.Call, error) {
	fields := args.Schema().Fields
	if len(fields) < len(p.spec.Args) {
		return nil, fmt.Errorf("function %s: %d columns given, %d arguments needed", p.spec.Name, len(fields), len(p.spec.Args))
	}
	for i, k := range p.spec.Args {
		if fields[i].Kind != k {
			return nil, fmt.Errorf("function %s: argument %d is %s, expected %s", p.spec.Name, i+1, fields[i].Kind, k)
		}
	}
	c := p.newCall(args)
	n := args.Len()
	for i, from := 0, 0; from < n; i, from = i+1, from+p.layout.Rows {
		w := p.pick()
		c.parts[i].w = w
		if err := w.give(ctx, &c.parts[i], from, min(from+p.layout.Rows, n)); err != nil {
			c.parts = c.parts[:i]
			c.drop()
			return nil, fmt.Errorf("function %s: %w", p.spec.Name, err)
		}
	}
	return c, nil
}

// pick returns the worker with the least work; equals take turns.
func (p *Pool) pick() *worker {
	first := int(p.next.Add(1))
	var best *worker
	var least int64
	for i := range p.workers {
		w := p.workers[(first+i)%len(p.workers)]
		load := w.rows.Load()
		if w.down.Load() {
			load += 1 << 40
		}
		if best == nil || load < least {
			best, least = w, load
		}
	}
	return best
}

func (p *Pool) newCall(args *batch.Batch) *call {
	c, ok := p.calls.Get().(*call)
	if !ok {
		c = &call{pool: p}
	}
	c.args = args
	c.result = p.resultPool(args.Cap()).Get()
	n := (args.Len() + p.layout.Rows - 1) / p.layout.Rows
	if cap(c.parts) < n {
		c.parts = make([]part, n)
	}
	c.parts = c.parts[:n]
	for i := range c.parts {
		c.parts[i] = part{call: c}
	}
	return c
}

// recycle keeps a call whose rows have all been answered for the next one.
func (p *Pool) recycle(c *call) {
	c.args, c.result, c.failed = nil, nil, nil
	p.calls.Put(c)
}

// resultPool returns the pool of results with the capacity of a caller's batches,
// so that the caller can swap the columns into a batch of its own.
func (p *Pool) resultPool(capacity int) *batch.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.results[capacity]
	if r == nil {
		r = batch.NewPool(p.schema, capacity)
		p.results[capacity] = r
	}
	return r
}

func (p *Pool) observe(c *chunk, now time.Time, failures int) {
	p.stats.batches.Add(1)
	p.stats.rows.Add(uint64(c.rows()))
	p.stats.failures.Add(uint64(failures))
	if p.options.Observe != nil {
		p.options.Observe(c.rows(), now.Sub(c.given))
	}
}

// lose ends the pool because of an error; the callers get it.
func (p *Pool) lose(err error) {
	p.cancel()
	for _, w := range p.workers {
		w.stop(err)
	}
	for _, w := range p.workers {
		w.kill()
	}
}

// Close ends the workers: they may finish the batch that they are at, for a
// moment. Calls under way end with an error. It may be called more than once.
func (p *Pool) Close() error {
	p.closed.Do(func() {
		p.cancel()
		for _, w := range p.workers {
			w.stop(errClosed)
		}
		force := time.AfterFunc(p.limits.grace, func() {
			for _, w := range p.workers {
				w.kill()
			}
		})
		p.wg.Wait()
		force.Stop()
		p.free()
	})
	return nil
}

func (p *Pool) free() {
	for _, w := range p.workers {
		w.release()
	}
	_ = p.source.Close() // read-only, in memory
}
