package json

import (
	"bytes"

	"github.com/gorge-stream/gorge/internal/batch"
)

// groupLines is the number of lines that are decoded together, column by column.
const groupLines = 256

// group is some consecutive lines and how far each of them has been decoded.
// Places count from the start of the block.
type group struct {
	start, end [groupLines]uint32 // end is the newline
	cur        [groupLines]uint32
	elements   [groupLines]uint32 // within skipped values
	failed     [groupLines]bool   // by a step
	left       [groupLines]uint8  // lines that a kernel left to repair
	failures   int                // lines that failed
	absences   int                // members that lines did not have
	repaired   int                // values that the last step repaired
	sample     byte               // the first byte of the last of them
	clean      bool               // only newlines and printable ASCII without backslashes
}

// run decodes the first n lines of g by the shape into the rows from row on. A
// line is proven if then it has not failed and its cur is its end.
//
// Lines may lack members, which costs little for one and more than the general
// parser for most of them: a shape of which lines have less than a third becomes
// rigid and leaves them to other shapes.
func (d *decoder) run(s *shape, g *group, n, row int) {
	g.failures, g.absences = 0, 0
	copy(g.cur[:n], g.start[:n])
	clear(g.failed[:n])
	clear(g.elements[:n])
	for i := range s.steps {
		st := &s.steps[i]
		if st.head > 0 {
			g.heads(d.scan.base, st, n, d.before[:n])
		}
		left := d.kernel(st, g, n, row)
		if st.head > 0 {
			for _, i := range g.left[:left] {
				g.cur[i] = d.before[i]
			}
		}
		if left > 0 {
			if d.repair(s, st, g, left, row); g.failures == n {
				return
			}
			if st.col < 0 && g.repaired > n/2 && n >= minSpare {
				st.adapt(g.sample)
			}
		}
	}
	if 3*g.absences > 2*s.members*n {
		s.rigid = true
	}
	for _, c := range s.absent {
		for i := range n {
			d.dst[c].SetNull(row + i)
		}
	}
}

// kernel runs the kernel of a step. It moves cur behind the value for the lines
// that it decoded and puts the others into g.left, their cur unchanged; it returns how many.
func (d *decoder) kernel(st *step, g *group, n, row int) (left int) {
	base := d.scan.base
	switch st.kind {
	case stepEnd:
		return g.literals(base, st, n)
	case stepSkipString:
		if g.clean {
			left = g.skipStrings(base, st, n)
		} else {
			left = g.skipStringsCarefully(base, st, n)
		}
		if left > 0 {
			left = d.skipAnyStrings(g, st, left)
		}
		return left
	case stepSkipNumber:
		if left = g.skipNumbers(base, st, n); left > 0 {
			left = g.skipLongNumbers(base, st, left)
		}
		return left
	case stepString:
		if g.clean {
			left = g.strings(base, st, n, d.dst[st.col].Views()[row:row+n])
		} else {
			left = g.stringsCarefully(base, st, n, d.dst[st.col].Views()[row:row+n])
		}
		if left > 0 {
			left = d.longStrings(g, st, left, row)
		}
		return left
	case stepBool:
		return g.bools(base, st, n, d.dst[st.col].Bits(), row)
	case stepInt:
		return d.intKernel(st, g, n, row)
	case stepFloat:
		return d.floatKernel(st, g, n, row)
	case stepTime:
		return g.times(base, st, n, d.dst[st.col].Int64s()[row:row+n], &d.days)
	}
	for i := range n {
		g.left[i] = uint8(i)
	}
	return n
}

func (d *decoder) intKernel(st *step, g *group, n, row int) (left int) {
	c := d.dst[st.col]
	small := c.Kind() == batch.Int32
	out := d.ints[:n]
	if !small {
		out = c.Int64s()[row : row+n]
	}
	if left = g.ints(d.scan.base, st, n, out); left > 0 {
		left = g.longInts(d.scan.base, st, left, out)
	}
	if small {
		narrowInts(c.Int32s()[row:row+n], out)
	}
	return left
}

func (d *decoder) floatKernel(st *step, g *group, n, row int) (left int) {
	c := d.dst[st.col]
	small := c.Kind() == batch.Float32
	out := d.floats[:n]
	if !small {
		out = c.Float64s()[row : row+n]
	} else if st.head == 0 {
		copy(d.before[:n], g.cur[:n])
	}
	if left = g.floats(d.scan.base, st, n, out); left > 0 {
		left = g.longFloats(d.scan.base, st, left, out)
	}
	if small {
		left = d.narrowFloats(g, left, c.Float32s()[row:row+n])
	}
	return left
}

// repair takes one step for the lines in g.left by the general parser's means.
func (d *decoder) repair(s *shape, st *step, g *group, left, row int) {
	g.repaired = 0
	for _, i := range g.left[:left] {
		if g.failed[i] {
			continue
		}
		start := g.start[i]
		line := d.block[start:g.end[i]]
		end := int(g.cur[i] - start)
		switch rest := line[end:]; {
		case st.kind == stepEnd:
			end = -1
		case bytes.HasPrefix(rest, st.literal):
			end += len(st.literal)
			if st.quoted {
				end--
			}
			end = d.step(s, st, g, line, end, int(i), row)
		case st.quoted && bytes.HasPrefix(rest, st.literal[:len(st.literal)-1]):
			end = d.step(s, st, g, line, end+len(st.literal)-1, int(i), row)
		case st.optional && !s.rigid:
			g.absences++
			if st.col >= 0 {
				d.dst[st.col].SetNull(row + int(i))
			}
		default:
			end = -1
		}
		if end < 0 {
			g.failed[i] = true
			g.failures++
		} else {
			g.cur[i] = start + uint32(end)
		}
	}
}

// step reads the value at i of one line and returns where it ends.
func (d *decoder) step(s *shape, st *step, g *group, line []byte, i, index, row int) int {
	if i < len(line) {
		g.sample = line[i]
		g.repaired++
	}
	d.elements = s.members + int(g.elements[index])
	if st.col >= 0 {
		i = d.value(line, i, st.col, row+index)
	} else {
		i = d.skip(line, i, 1)
	}
	g.elements[index] = uint32(d.elements - s.members)
	return i
}

// proven reports whether line i was decoded.
func (g *group) proven(i int) bool { return !g.failed[i] && g.cur[i] == g.end[i] }

// allProven reports whether the first n lines were decoded.
func (g *group) allProven(n int) bool {
	wrong := uint32(0)
	failed := false
	for i := range n {
		wrong |= g.cur[i] ^ g.end[i]
		failed = failed || g.failed[i]
	}
	return wrong == 0 && !failed
}
