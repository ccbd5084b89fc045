package json

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/spec"
)

// shape is how the lines of a stream are written: which members in which order,
// with the exact bytes between their values.
type shape struct {
	steps   []step
	absent  []int  // columns that have no member; all nullable
	members int    // of the record itself
	rigid   bool   // no member may be missing, see run
	hits    int    // lines of the current group
	weight  uint64 // lines so far, older ones count less
}

// stepKind is the kernel of a step.
type stepKind uint8

const (
	stepEnd        stepKind = iota // the bytes behind the last value
	stepSkip                       // a value of any kind that no column takes
	stepSkipString                 // usually a string
	stepSkipNumber                 // usually a number
	stepValue                      // a value of a column without a kernel of its own
	stepString
	stepBool
	stepInt // also numeric timestamps
	stepFloat
	stepTime // RFC 3339 text
)

// step is one member: the bytes before its value, and what to do with the value.
// A kernel compares the last 16 bytes of the literal at most; see group.heads for the others.
type step struct {
	w0, w1   masked // the literal without its head
	size     uint32 // of that in bytes
	head     int    // bytes of the literal that the kernel does not compare
	next     byte   // the first byte of the next literal
	kind     stepKind
	quoted   bool // the literal includes the opening quote of the value
	optional bool // a record of this shape may lack the member
	col      int  // or -1
	literal  []byte

	headWords []masked // the head

	// of stepInt: the value must be in [low, low+span]; it is multiplied by factor
	low    int64
	span   uint64
	factor int64
	nanos  bool // the value is divided by 1000 instead
}

// masked is 8 bytes of which only those under the mask count.
type masked struct{ word, mask uint64 }

// differs returns 0 if the 8 bytes are these.
func (m masked) differs(x uint64) uint64 { return (x ^ m.word) & m.mask }

const (
	maxShapes       = 8
	maxShapeMembers = 1024
)

// learn remembers the shape of a line that the general parser accepted.
func (d *decoder) learn(line []byte) {
	s := d.shapeOf(line)
	if s == nil {
		d.price = min(2*d.price, maxPrice)
	}
	if s == nil || slices.ContainsFunc(d.shapes, s.equal) {
		return // the latter when it was learned from a line of the same group
	}
	if len(d.shapes) < maxShapes {
		d.shapes = append(d.shapes, s)
		return
	}
	d.price = min(2*d.price, maxPrice)
	least := 0
	for i, o := range d.shapes {
		o.weight /= 2
		if o.weight < d.shapes[least].weight {
			least = i
		}
	}
	d.shapes[least] = s
}

// equal reports whether o has the same literals.
func (s *shape) equal(o *shape) bool {
	return slices.EqualFunc(s.steps, o.steps, func(a, b step) bool { return bytes.Equal(a.literal, b.literal) })
}

// shapeOf returns the shape of a good line, or nil if it cannot serve others.
func (d *decoder) shapeOf(line []byte) *shape {
	s := &shape{}
	has := make([]bool, len(d.columns))
	d.elements = 0
	i := space(line, space(line, 0)+1)
	from := 0 // where the literal begins
	for line[i] != '}' {
		value, col := d.name(line, i)
		if s.members++; s.members > maxShapeMembers || col >= 0 && has[col] {
			return nil // of two members with one name the kernels would not see the order
		}
		st := step{col: col}
		st.setKernel(d.kernelOf(line[value], col), line[from:value])
		if st.kind == stepInt {
			st.setRange(&d.columns[col])
		}
		if col >= 0 {
			has[col] = true
		}
		// A literal that begins with the comma can be left out, and what remains is a record.
		st.optional = s.members > 1 && (col < 0 || d.columns[col].Nullable)
		s.steps = append(s.steps, st)
		from = d.skip(line, value, 0)
		if i = space(line, from); line[i] == ',' {
			i = space(line, i+1)
		}
	}
	end := step{kind: stepEnd, col: -1}
	end.setLiteral(bytes.Clone(line[from:]))
	s.steps = append(s.steps, end)
	for i := range s.steps[:s.members] {
		s.steps[i].next = s.steps[i+1].literal[0]
	}
	for c, ok := range has {
		if !ok {
			s.absent = append(s.absent, c)
		}
	}
	return s
}

// setKernel sets the kernel and the literal, given without a quote of the value.
func (s *step) setKernel(kind stepKind, literal []byte) {
	s.kind = kind
	s.quoted = kind == stepString || kind == stepSkipString || kind == stepTime
	literal = bytes.Clone(literal)
	if s.quoted {
		literal = append(literal, '"')
	}
	s.setLiteral(literal)
}

// adapt changes the kernel of a skipped value after most lines had values of
// another type, which begin with c: the line that was learned was an exception.
func (s *step) adapt(c byte) {
	kind := skipKernel(c)
	if s.col >= 0 || s.kind == stepEnd || kind == s.kind {
		return
	}
	literal := s.literal
	if s.quoted {
		literal = literal[:len(literal)-1]
	}
	s.setKernel(kind, literal)
}

func skipKernel(c byte) stepKind {
	switch {
	case c == '"':
		return stepSkipString
	case c == '-' || c-'0' <= 9:
		return stepSkipNumber
	}
	return stepSkip
}

// kernelOf chooses the kernel for a column's value that begins with c.
func (d *decoder) kernelOf(c byte, col int) stepKind {
	if col < 0 {
		return skipKernel(c)
	}
	switch t := &d.columns[col]; t.Kind {
	case batch.String:
		return stepString
	case batch.Bool:
		return stepBool
	case batch.Int32, batch.Int64:
		return stepInt
	case batch.Float32, batch.Float64:
		return stepFloat
	case batch.Timestamp:
		if t.Wire == spec.WireDefault {
			return stepTime
		}
		return stepInt
	}
	return stepValue
}

func (s *step) setLiteral(l []byte) {
	s.literal, s.headWords = l, nil
	s.head = max(0, len(l)-16)
	for h := l[:s.head]; len(h) > 0; h = h[min(len(h), 8):] {
		s.headWords = append(s.headWords, newMasked(h[:min(len(h), 8)]))
	}
	l = l[s.head:]
	s.size = uint32(len(l))
	s.w0, s.w1 = newMasked(l[:min(len(l), 8)]), newMasked(l[min(len(l), 8):])
}

func newMasked(b []byte) masked {
	var t [8]byte
	copy(t[:], b)
	return masked{binary.LittleEndian.Uint64(t[:]), 1<<(uint(len(b))*8) - 1} // for 8 bytes all bits: 1<<64 is 0
}

// setRange sets bounds and factor for whole numbers of a column.
func (s *step) setRange(c *column) {
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	s.factor = 1
	switch {
	case c.Kind == batch.Int32:
		low, high = math.MinInt32, math.MaxInt32
	case c.Wire == spec.WireNanos:
		s.nanos = true
		low = high // no number of few digits is in range: see longInts
	case c.Kind == batch.Timestamp:
		s.factor = int64(tens[c.scale])
		low, high = minTime/s.factor, maxTime/s.factor
	}
	s.low, s.span = low, uint64(high-low)
}
