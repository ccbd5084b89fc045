package json

// predictor is what the decoder knows of the lines so far, and the memory to use it.
type predictor struct {
	shapes  []*shape // none until a line was accepted
	current int      // shape that the next group is tried with
	credit  int      // lines that may be learned now, in shares of a line
	pause   int      // groups that are not tried because prediction failed
	backoff int      // length of the next pause
	scan    scanner
	group   group
	single  group              // of one line
	before  [groupLines]uint32 // places before a step
	ints    [groupLines]int64
	floats  [groupLines]float64
}

const (
	learnCost   = 128            // lines that must pass for one to be learned
	maxCredit   = 32 * learnCost // so many may be learned at once
	maxBackoff  = 32
	maxShapeTry = 4 // shapes that one line is tried with
)

// decodeGroup decodes the first n lines of d.group; there is room for n rows.
func (d *decoder) decodeGroup(n int) error {
	g := &d.group
	d.credit = min(d.credit+n, maxCredit)
	if len(d.shapes) == 0 || d.pause > 0 {
		d.pause = max(0, d.pause-1)
		for i := range n {
			if err := d.general(int(g.start[i]), int(g.end[i])); err != nil {
				return err
			}
		}
		return nil
	}
	s := d.shapes[d.current]
	row := d.row
	d.present(row, n)
	d.run(s, g, n, row)
	if d.longest > 0 {
		d.refuseLong(g, n)
	}
	if g.allProven(n) {
		d.row += n
		s.weight += uint64(n)
		return nil
	}
	return d.settle(s, g, n, row)
}

// refuseLong fails lines over the limit: the general parser is to report them.
func (d *decoder) refuseLong(g *group, n int) {
	for i := range n {
		if int(g.end[i]-g.start[i]) > d.longest {
			g.failed[i] = true
		}
	}
}

// settle keeps the proven lines of a group, decodes the others in order, and
// chooses the shape for the next group.
func (d *decoder) settle(s *shape, g *group, n, row int) error {
	good := 0
	for _, o := range d.shapes {
		o.hits = 0
	}
	for i := range n {
		if g.proven(i) {
			good++
			if d.row != row+i {
				d.move(row+i, d.row)
			}
			d.row++
			continue
		}
		from, to := int(g.start[i]), int(g.end[i])
		if o := d.other(s, from, to); o != nil {
			o.hits++
			d.row++
			continue
		}
		if err := d.general(from, to); err != nil {
			return err
		}
	}
	s.hits = good
	best, hits := d.current, 0
	for i, o := range d.shapes {
		o.weight += uint64(o.hits)
		hits += o.hits
		if o.hits > d.shapes[best].hits {
			best = i
		}
	}
	d.current = best
	if n >= groupLines/4 && hits < n/4 {
		d.backoff = min(2*d.backoff+1, maxBackoff)
		d.pause = d.backoff
	} else {
		d.backoff = 0
	}
	return nil
}

// other decodes one line into the next row by a shape other than s, and returns that shape or nil.
func (d *decoder) other(s *shape, from, to int) *shape {
	if d.longest > 0 && to-from > d.longest {
		return nil
	}
	g := &d.single
	g.start[0], g.end[0] = uint32(from), uint32(to)
	tried := 0
	for _, o := range d.shapes {
		if o == s || !o.begins(d.block[from:to]) {
			continue
		}
		d.present(d.row, 1)
		d.run(o, g, 1, d.row)
		if g.proven(0) {
			return o
		}
		if tried++; tried == maxShapeTry {
			break
		}
	}
	return nil
}

// begins reports whether the line begins like the shape.
func (s *shape) begins(line []byte) bool {
	l := s.steps[0].literal
	if s.steps[0].quoted {
		l = l[:len(l)-1]
	}
	return len(line) >= len(l) && string(line[:len(l)]) == string(l)
}

// general decodes the line by the general parser and learns its shape if it may.
func (d *decoder) general(from, to int) error {
	line := d.block[from:to]
	if space(line, 0) == len(line) {
		return nil
	}
	if !d.object(line, d.row) {
		return d.report(from, to)
	}
	d.row++
	if d.credit >= learnCost || len(d.shapes) == 0 {
		d.credit -= learnCost
		d.learn(line)
	}
	return nil
}
