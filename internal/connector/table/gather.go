package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/gorge-stream/gorge/internal/batch"
)

// The bounds of what a writer gathers before it sorts and writes: the rows of a
// closed window fit, and the more rows are sorted together the better.
const (
	gatherBytes = 32 << 20
	gatherRows  = 1 << 20
)

// ahead is how many rows before its turn a row is touched: in order of keys the
// arena is read all over, and misses that overlap cost a fraction.
const ahead = 16

// gathered are rows on their way into a table: in the order they came, and behind
// sort in the order of their keys.
type gathered struct {
	arena   []byte
	items   []item // of the rows in the arena
	newest  uint64 // latest bucket among them
	sorter  sorter
	chunk   []byte // scratch: the staged record under way
	touched byte   // keeps the touching of rows ahead from being optimised away
}

// full reports whether it is time to write the rows.
func (g *gathered) full(bytes int) bool { return len(g.arena) >= bytes || len(g.items) >= gatherRows }

func (g *gathered) reset() { g.arena, g.items, g.newest = g.arena[:0], g.items[:0], 0 }

// sort puts the rows in order and lets go of those in buckets before first, whose number it returns.
func (g *gathered) sort(first uint64) (old int) {
	g.sorter.sort(g.arena, g.items)
	old = sort.Search(len(g.items), func(i int) bool { return bucketIn(g.sorter.key(g.items[i])) >= first })
	g.items = g.items[old:]
	return old
}

// each calls fn for the rows in order, of equal keys for the last (T1).
func (g *gathered) each(fn func(key, value []byte) error) error {
	touched := byte(0)
	for n, i := range g.items {
		if n+ahead < len(g.items) {
			touched |= g.arena[g.items[n+ahead].off]
		}
		key, value := rowAt(g.arena, i.off)
		if n+1 < len(g.items) && bytes.Equal(key, g.sorter.key(g.items[n+1])) {
			continue
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
	g.touched = touched
	return nil
}

// bucketIn returns the bucket in the key of a row.
func bucketIn(key []byte) uint64 { return binary.BigEndian.Uint64(key[4:]) }

// encoder makes keys and values of the rows in batches. It belongs to one writer.
type encoder struct {
	table *table
	dead  func(code, reason string, row []byte)

	keyCols []int           // positions in the batch, in order of the key
	valCols []int           // positions in the batch in order of the definition, -1: not made any more
	timeCol int             // position in the batch of the time of the buckets, -1: one bucket
	cols    []*batch.Column // scratch: valCols of the current batch
}

func newEncoder(t *table, schema *batch.Schema, dead func(code, reason string, row []byte)) *encoder {
	e := &encoder{table: t, dead: dead, timeCol: -1}
	for _, k := range t.def.Key {
		e.keyCols = append(e.keyCols, schema.Index(k))
	}
	for _, v := range t.vals {
		e.valCols = append(e.valCols, schema.Index(t.def.Columns[v].Name))
	}
	e.cols = make([]*batch.Column, len(e.valCols))
	if t.def.Width > 0 {
		e.timeCol = e.keyCols[t.def.timeKey()]
	}
	return e
}

// begin turns to another batch.
func (e *encoder) begin(b *batch.Batch) {
	for k, c := range e.valCols {
		e.cols[k] = nil
		if c >= 0 {
			e.cols[k] = b.Col(c)
		}
	}
}

// add puts row i of the batch into g.
func (e *encoder) add(g *gathered, b *batch.Batch, i int) {
	off := len(g.arena)
	start := off + rowHead
	bucket := uint64(0)
	if e.timeCol >= 0 {
		if c := b.Col(e.timeCol); c.IsNull(i) {
			bucket = noTime
		} else {
			bucket = bucketOf(c.Int64s()[i], e.table.def.Width)
			g.newest = max(g.newest, bucket)
		}
	}
	a := binary.LittleEndian.AppendUint64(g.arena, 0) // rowHead
	a = appendPrefix(a, e.table.def.ID, bucket)
	for _, c := range e.keyCols {
		a = appendKeyColumn(a, b.Col(c), i)
	}
	key := len(a) - start
	a = appendRow(a, e.cols, i)
	value := len(a) - start - key
	if key-prefixLen > maxKeyBytes || value > maxRowBytes {
		g.arena = a[:off]
		e.dead("too_long", fmt.Sprintf("key of %d and values of %d bytes: a table takes %d and %d", key-prefixLen, value, maxKeyBytes, maxRowBytes),
			appendJSONRow(nil, b, i))
		return
	}
	binary.LittleEndian.PutUint32(a[off:], uint32(key))
	binary.LittleEndian.PutUint32(a[off+4:], uint32(value))
	g.arena = a
	g.items = append(g.items, item{off: uint32(off)})
}
