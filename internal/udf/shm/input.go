package shm

import (
	"encoding/binary"
	"math"
	"time"
	"unsafe"

	"github.com/gorge-stream/gorge/internal/batch"
)

// Write puts rows of args, from row from up to before row to, into the slot of
// the batch with the given sequence number. It returns how many of them fitted:
// fewer when the slot is full of rows or of text, 0 when not even the first did.
// The worker may take about timeout for them. The caller publishes.
func (in *Input) Write(sequence uint64, args *batch.Batch, from, to int, timeout time.Duration) int {
	n := min(to-from, in.layout.Rows)
	for i, c := range in.layout.Input.Columns {
		if c.Kind.Views() {
			n = fitting(args.Col(i), from, n, c.BytesCap)
		}
	}
	if n == 0 {
		return 0
	}
	slot := in.slot(int(sequence % uint64(in.layout.Slots)))
	var nulls uint64
	for i := range in.layout.Input.Columns {
		if writeColumn(slot, &in.layout.Input.Columns[i], args.Col(i), from, n) {
			nulls |= 1 << uint(i)
		}
	}
	binary.LittleEndian.PutUint64(slot, sequence)
	binary.LittleEndian.PutUint32(slot[8:], uint32(n))
	binary.LittleEndian.PutUint32(slot[12:], uint32(min(timeout.Milliseconds(), math.MaxUint32)))
	binary.LittleEndian.PutUint64(slot[16:], nulls)
	return n
}

// fitting returns how many of n rows have texts that fit into room bytes.
func fitting(col *batch.Column, from, n, room int) int {
	views := col.Views()[from : from+n]
	for i := range views {
		if room -= views[i].Len(); room < 0 {
			return i
		}
	}
	return n
}

// writeColumn writes n rows of one column and reports whether some are null.
func writeColumn(slot []byte, c *Column, col *batch.Column, from, n int) bool {
	switch {
	case c.Kind == batch.Bool:
		bitsToBytes(slot[c.Values:c.Values+n], col.Bits(), from, n)
	case c.Kind.Views():
		writeTexts(slot, c, col, from, n)
	default:
		w := c.Kind.Width()
		copy(slot[c.Values:c.Values+n*w], col.Data()[from*w:(from+n)*w])
	}
	if !col.HasNulls() {
		return false
	}
	copyBits(slot[c.Validity:c.Validity+(n+7)/8], col.Validity(), from, n)
	return true
}

func writeTexts(slot []byte, c *Column, col *batch.Column, from, n int) {
	ends := unsafe.Slice((*int32)(unsafe.Pointer(&slot[c.Values])), n+1)
	room := slot[c.Bytes : c.Bytes+c.BytesCap]
	views, arena := col.Views(), col.Arena()
	at := 0
	ends[0] = 0
	for i := range n {
		at += copy(room[at:], views[from+i].Bytes(arena))
		ends[i+1] = int32(at)
	}
}
