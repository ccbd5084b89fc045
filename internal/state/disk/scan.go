package disk

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// scan is a walk through a pane: through the table, when all rows are there, or
// else through the store, to which the rows in memory are written first.
type scan struct {
	order []uint32         // of the table
	iter  *pebble.Iterator // of the store, or nil
	ended bool             // of the store: all was shown
	keys  state.Keys       // of the rows in the window
	texts int              // length of the arena without those of the window
}

// endScan takes back what a scan has left in the window.
func (p *pane) endScan() {
	if p.scan.iter == nil {
		return
	}
	_ = p.scan.iter.Close() // an error of it was met before
	p.scan.iter = nil
	p.texts = p.texts[:p.scan.texts]
}

// Scan walks the records in the order of the hashes. Those that it shows from the
// store are valid until the next Scan, and for reading.
func (p *pane) Scan(cursor uint64, refs []record.Ref) (int, uint64) {
	s := p.owner
	if s.err != nil || len(refs) == 0 {
		return 0, cursor
	}
	if cursor == 0 {
		if err := p.startScan(); err != nil {
			_ = s.fail(err)
			return 0, 0
		}
	}
	n := 0
	if p.complete() {
		for ; n < len(refs) && int(cursor)+n < len(p.scan.order); n++ {
			refs[n] = p.ref(int(p.scan.order[int(cursor)+n]))
		}
		return n, cursor + uint64(n)
	}
	if err := p.goOn(cursor); err != nil {
		_ = s.fail(err)
		return 0, cursor
	}
	n, err := p.show(refs)
	if err != nil {
		_ = s.fail(err)
		return 0, cursor
	}
	return n, cursor + uint64(n)
}

// startScan sorts the rows, or brings them to where they are sorted.
func (p *pane) startScan() error {
	p.endScan()
	p.scan.ended = false
	if p.complete() {
		p.scan.order = p.ordered(p.scan.order)
		return nil
	}
	w := p.owner.writer()
	defer w.close()
	if err := p.writeBack(w); err != nil {
		return err
	}
	if err := w.commit(); err != nil {
		return err
	}
	prefix := rowPrefix(nil, p.id)
	iter, err := p.owner.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	iter.First()
	p.scan.iter, p.scan.texts = iter, len(p.texts)
	return nil
}

// goOn makes a scan that began in memory, and whose rows had to make room in the
// meantime, go on in the store at the same place: the order is the same.
func (p *pane) goOn(cursor uint64) error {
	if p.scan.iter != nil || p.scan.ended || cursor == 0 {
		return nil
	}
	if err := p.startScan(); err != nil {
		return err
	}
	for ; cursor > 0; cursor-- {
		p.scan.iter.Next()
	}
	return p.scan.iter.Error()
}

// show brings the next rows of the store into the window.
func (p *pane) show(refs []record.Ref) (int, error) {
	sc := &p.scan
	if sc.iter == nil {
		return 0, nil
	}
	sc.keys.Reset()
	p.texts = p.texts[:sc.texts]
	n := 0
	for ; n < min(len(refs), windowRows) && sc.iter.Valid(); sc.iter.Next() {
		row := n - windowRows
		if err := decodeKey(&sc.keys, sc.iter.Key()[hashAt:]); err != nil {
			return 0, err
		}
		if err := p.decode(row, sc.iter); err != nil {
			return 0, err
		}
		refs[n] = p.ref(row)
		n++
	}
	if err := sc.iter.Error(); err != nil {
		return 0, err
	}
	if n == 0 {
		sc.ended = true
		p.endScan()
	}
	return n, nil
}

// Keys appends the keys of the records.
func (p *pane) Keys(refs []record.Ref, k *state.Keys) {
	for _, r := range refs {
		row, from := p.row(r), &state.Keys{Views: p.views, Arena: p.keys}
		if row < 0 {
			row, from = row+windowRows, &p.scan.keys
		}
		v := from.Views[row]
		k.Arena = from.Arena
		k.Long = k.Long || !v.Inline() && !state.IsNullKey(v)
		k.Views = append(k.Views, v)
	}
}
