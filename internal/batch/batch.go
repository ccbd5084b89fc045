package batch

import (
	"sync"
	"sync/atomic"
)

// Batch is up to Cap rows of one schema. See the package doc for who may touch it.
type Batch struct {
	schema *Schema
	cols   []Column
	n      int
	// Before is the watermark that was in force before the block that these
	// rows came from: a row is late for a window exactly when the window ends at
	// or before it. It depends on the input alone, never on scheduling.
	Before Time

	refs atomic.Int32
	pool *Pool
}

// Schema returns the schema; read-only.
func (b *Batch) Schema() *Schema { return b.schema }

// Len returns the number of rows.
func (b *Batch) Len() int { return b.n }

// Cap returns the number of rows that fit.
func (b *Batch) Cap() int { return b.pool.capacity }

// SetLen sets the number of rows; the caller has filled every column up to n.
func (b *Batch) SetLen(n int) {
	if n < 0 || n > b.pool.capacity {
		panic("batch: length out of range")
	}
	b.n = n
}

// Col returns column i.
func (b *Batch) Col(i int) *Column { return &b.cols[i] }

// Times returns the event times of the rows, or nil when the schema has none.
func (b *Batch) Times() []Time {
	if b.schema.Time < 0 {
		return nil
	}
	return b.cols[b.schema.Time].Int64s()[:b.n]
}

// Bytes returns the memory that the rows take, for the accounting of queues.
func (b *Batch) Bytes() int {
	n := 0
	for i := range b.cols {
		c := &b.cols[i]
		n += b.n*c.kind.Width() + len(c.arena)
	}
	return n
}

// Retain adds a holder. From now on the batch is read-only for ever.
func (b *Batch) Retain() { b.refs.Add(1) }

// Sole reports whether the caller is the only holder and may take the batch apart.
func (b *Batch) Sole() bool { return b.refs.Load() == 1 }

// Release gives up one reference; the last one returns the memory to the pool.
func (b *Batch) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.pool.put(b)
	case n < 0:
		panic("batch: released more often than held")
	}
}

// Pool makes and reuses batches of one schema and capacity. It may be used by any goroutine.
type Pool struct {
	schema   *Schema
	capacity int
	mu       sync.Mutex
	free     []*Batch // guarded by mu
}

// maxFree bounds the batches that a pool keeps for reuse; more are left to the collector.
const maxFree = 256

// maxKeptArena is the largest arena in bytes that survives a trip through the pool.
const maxKeptArena = 1 << 20

// NewPool makes a pool of batches with room for capacity rows.
func NewPool(schema *Schema, capacity int) *Pool {
	return &Pool{schema: schema, capacity: capacity}
}

// Schema returns the schema of the pool's batches.
func (p *Pool) Schema() *Schema { return p.schema }

// Cap returns the rows that a batch of the pool has room for.
func (p *Pool) Cap() int { return p.capacity }

var live atomic.Int64

// Live returns the number of batches in the process that have a holder. Tests
// compare it before and after: a difference is a leak.
func Live() int64 { return live.Load() }

// Get returns an empty batch with one reference.
func (p *Pool) Get() *Batch {
	live.Add(1)
	p.mu.Lock()
	var b *Batch
	if n := len(p.free); n > 0 {
		b = p.free[n-1]
		p.free = p.free[:n-1]
	}
	p.mu.Unlock()
	if b == nil {
		b = &Batch{schema: p.schema, pool: p, cols: make([]Column, len(p.schema.Fields))}
		for i, f := range p.schema.Fields {
			b.cols[i] = newColumn(f.Kind, p.capacity)
		}
	}
	b.n = 0
	b.Before = MinTime
	b.refs.Store(1)
	return b
}

func (p *Pool) put(b *Batch) {
	live.Add(-1)
	for i := range b.cols {
		c := &b.cols[i]
		c.Reset()
		if cap(c.arena) > maxKeptArena {
			c.arena = nil
		}
	}
	p.mu.Lock()
	if len(p.free) < maxFree {
		p.free = append(p.free, b)
	}
	p.mu.Unlock()
}
