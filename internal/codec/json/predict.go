package json

// predictor is what the decoder knows of the lines so far, and the memory to use it.
type predictor struct {
	shapes  []*shape // none until a line was accepted
	current int      // shape that the next group is tried with
	credit  int      // what may be spent on learning; every line earns 1
	price   int      // of learning a line
	pause   int      // groups that are not tried because prediction failed
	backoff int      // length of the next pause
	mixed   bool     // the last group had lines of several shapes

	scan   scanner
	group  group              // the next lines
	second group              // those of them that the current shape did not prove
	rows   [groupLines]int32  // of the lines of group: the row that holds it, or none or untried
	origin [groupLines]uint8  // of the lines of second: the line of group
	before [groupLines]uint32 // places before a step
	ints   [groupLines]int64
	floats [groupLines]float64
}

const (
	minPrice   = 128
	maxPrice   = 1 << 16 // when shapes are learned and not seen again
	maxCredit  = 1 << 16
	maxBackoff = 32
	minSpare   = 32 // see ahead
)

// Instead of the row of a line.
const (
	none    = -1 // no shape proved it
	untried = -2 // there was no room to try other shapes
)

// ahead returns how many lines to gather when there is room for so many rows.
// Lines of several shapes need rows to spare: each shape decodes into rows of its own.
func (d *decoder) ahead(room int) int {
	switch {
	case len(d.shapes) == 0 && d.credit >= d.price:
		return 1 // to learn from
	case d.mixed && room > minSpare:
		room = max(room/2, minSpare)
	}
	return min(room, groupLines)
}

// decodeGroup decodes the first n lines of d.group; there is room for n rows.
func (d *decoder) decodeGroup(n int) error {
	g := &d.group
	d.credit = min(d.credit+n, maxCredit)
	if len(d.shapes) == 0 || d.pause > 0 {
		d.pause = max(0, d.pause-1)
		for i := range n {
			if err := d.general(int(g.start[i]), int(g.end[i]), true); err != nil {
				return err
			}
		}
		return nil
	}
	s := d.shapes[d.current]
	d.predict(s, g, n, d.row)
	if g.allProven(n) {
		d.row += n
		s.weight += uint64(n)
		d.mixed, d.price = false, minPrice
		return nil
	}
	return d.settle(s, n)
}

// predict decodes n lines of g by the shape into the rows from row on; g.proven tells which are good.
func (d *decoder) predict(s *shape, g *group, n, row int) {
	d.present(row, n)
	d.run(s, g, n, row)
	if d.longest > 0 {
		d.refuseLong(g, n)
	}
}

// refuseLong fails lines over the limit: the general parser is to report them.
func (d *decoder) refuseLong(g *group, n int) {
	for i := range n {
		if int(g.end[i]-g.start[i]) > d.longest {
			g.failed[i] = true
		}
	}
}

// settle takes care of the lines of d.group that s did not prove: other shapes, then
// the general parser, and chooses the shape for the next group.
func (d *decoder) settle(s *shape, n int) error {
	g := &d.group
	for _, o := range d.shapes {
		o.hits = 0
	}
	for i := range n {
		d.rows[i] = none
		if g.proven(i) {
			d.rows[i] = int32(d.row + i)
			s.hits++
		}
	}
	if len(d.shapes) > 1 {
		d.others(s, n, d.row+n)
	}
	// Rows move down only: the row of line i is d.row+i or behind those of the group.
	from, count := 0, 0 // rows that are to be moved to those before d.row
	for i := range n {
		row := int(d.rows[i])
		if row >= 0 && row == from+count {
			count++
			d.row++
			continue
		}
		d.move(from, d.row-count, count)
		if row >= 0 {
			from, count = row, 1
			d.row++
			continue
		}
		from, count = 0, 0
		if err := d.general(int(g.start[i]), int(g.end[i]), row == none); err != nil {
			return err
		}
	}
	d.move(from, d.row-count, count)
	d.choose(n)
	return nil
}

// others decodes lines of d.group without a row by the shapes other than s, into
// the rows from row on as far as the batch reaches.
func (d *decoder) others(s *shape, n, row int) {
	g, second := &d.group, &d.second
	second.clean = g.clean
	for _, o := range d.shapes {
		if o == s {
			continue
		}
		k := 0
		for i := range n {
			if d.rows[i] >= 0 || !o.begins(d.block[g.start[i]:g.end[i]]) {
				continue
			}
			if row+k == d.batch.Cap() {
				d.rows[i] = untried
			} else {
				second.start[k], second.end[k] = g.start[i], g.end[i]
				d.origin[k] = uint8(i)
				k++
			}
		}
		if k == 0 {
			continue
		}
		d.predict(o, second, k, row)
		for j := range k {
			if second.proven(j) {
				d.rows[d.origin[j]] = int32(row + j)
				o.hits++
			}
		}
		if o.hits > 0 {
			row += k
		}
	}
}

// choose makes the shape of most lines of a group the next to be tried, and
// pauses the prediction when no shape is any good.
func (d *decoder) choose(n int) {
	hits := 0
	for i, o := range d.shapes {
		o.weight += uint64(o.hits)
		hits += o.hits
		if o.hits > d.shapes[d.current].hits {
			d.current = i
		}
	}
	d.mixed = hits > d.shapes[d.current].hits
	if hits >= n*3/4 {
		d.price = minPrice
	}
	if n >= minSpare && hits < n/4 {
		d.backoff = min(2*d.backoff+1, maxBackoff)
	} else {
		d.backoff = 0
	}
	d.pause = d.backoff
}

// begins reports whether the line begins like the shape.
func (s *shape) begins(line []byte) bool {
	l := s.steps[0].literal
	if s.steps[0].quoted {
		l = l[:len(l)-1]
	}
	return len(line) >= len(l) && string(line[:len(l)]) == string(l)
}

// general decodes the line by the general parser. A strange line is one that
// fits no shape: its own is learned if there is credit.
func (d *decoder) general(from, to int, strange bool) error {
	line := d.block[from:to]
	if space(line, 0) == len(line) {
		return nil
	}
	if !d.object(line, d.row) {
		return d.report(from, to)
	}
	d.row++
	if strange && d.credit >= d.price {
		d.credit -= d.price
		d.learn(line)
	}
	return nil
}
