package disk

import (
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// Load adds the records of a chunk. See state.Durable.
func (s *Backend) Load(c *state.Chunk) error {
	if !s.groups.Contains(c.Group) {
		return nil
	}
	var err error
	if s.hashes, err = c.Check(len(s.layout.Init), s.hashes); err != nil {
		return err
	}
	p, err := s.pane(c.Pane)
	if err != nil {
		return err
	}
	p.endScan()
	p.fresh, p.listed = true, groups{}
	if err := p.remove(&c.Gone); err != nil {
		return s.fail(err)
	}
	for from := 0; from < len(c.Keys.Views); from += windowRows {
		if err := p.loadRows(c, from, min(from+windowRows, len(c.Keys.Views))); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the rows of keys of one group.
func (p *pane) remove(k *state.Keys) error {
	if len(k.Views) == 0 {
		return nil
	}
	w := p.owner.writer()
	defer w.close()
	found := false
	for i := range k.Views {
		v := &k.Views[i]
		hash := state.HashKey(v, k.Arena)
		if row, ok := p.find(v, k.Arena, hash); ok {
			p.flags[row] = deleted
			found = true
		}
		if p.stored.has(keygroup.Of(hash)) {
			w.key = hashed(rowPrefix(w.key[:0], p.id), hash, v, k.Arena)
			if err := w.delete(); err != nil {
				return err
			}
		}
	}
	if found {
		p.table.keep(&p.owner.layout, func(row int) bool { return p.flags[row] != deleted })
	}
	return w.commit()
}

// loadRows makes the records from to to-1 of a chunk that was checked.
func (p *pane) loadRows(c *state.Chunk, from, to int) error {
	s, w := p.owner, len(p.owner.layout.Init)
	k := state.Keys{Views: c.Keys.Views[from:to], Hashes: s.hashes[from:to], Arena: c.Keys.Arena, Long: len(c.Keys.Arena) > 0}
	var refs [windowRows]record.Ref
	if err := p.Locate(&k, refs[:]); err != nil {
		return err
	}
	// In a copy: the chunk is not the backend's.
	s.words = append(s.words[:0], c.Words[from*w:to*w]...)
	if move := s.layout.MoveTexts; move != nil {
		own := s.own[:to-from]
		for i := range own {
			own[i] = uint32(i * w)
		}
		p.texts = move(record.Block{Base: wordsOf(s.words), Arena: &c.Texts}, own, p.texts)
	}
	for i, r := range refs[:to-from] {
		copy(p.record(p.row(r)), s.words[i*w:(i+1)*w])
	}
	return nil
}
