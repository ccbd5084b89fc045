package disk

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/record"
	"github.com/gorge-stream/gorge/internal/state"
)

// reader is what Chunks reads with.
type reader struct {
	rows, changes *pebble.Iterator
	chunk         state.Chunk
	one           state.Keys // of the row at an iterator
	key           []byte
	ref           [1]record.Ref
}

func (r *reader) bytes() int {
	c := &r.chunk
	return keyBytes(&c.Keys) + keyBytes(&c.Gone) + 8*cap(c.Words) + cap(c.Texts)
}

// Chunks calls f with the records of the cut, by group and pane.
func (c *cut) Chunks(f func(c *state.Chunk) error) (err error) {
	if c.rows, err = c.snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{rowsOf}, UpperBound: []byte{rowsOf + 1}}); err != nil {
		return err
	}
	defer func() { err = firstOf(err, c.rows.Close()) }()
	if c.changes, err = c.snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{changesOf}, UpperBound: []byte{changesOf + 1}}); err != nil {
		return err
	}
	defer func() { err = firstOf(err, c.changes.Close()) }()
	panes := c.panes[:len(c.infos)]
	for i := range panes {
		panes[i].sort()
	}
	owned := c.owner.groups
	for g := owned.First; g < owned.End; g++ {
		for i := range panes {
			if err := c.read(&panes[i], c.infos[i], g); err != nil {
				return err
			}
			if len(c.chunk.Keys.Views)+len(c.chunk.Gone.Views) == 0 {
				continue
			}
			if err := f(&c.chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

// read makes the chunk of a pane and group.
func (c *cut) read(p *cutPane, info state.PaneInfo, g keygroup.Group) error {
	out := &c.chunk
	out.Pane, out.Group = info.ID, g
	out.Keys.Reset()
	out.Gone.Reset()
	out.Words, out.Texts = out.Words[:0], out.Texts[:0]
	copied := p.in(g)
	w := len(c.owner.layout.Init)
	for _, row := range copied {
		out.Keys.Append(p.keys.Views[row], p.keys.Arena)
		out.Words = append(out.Words, p.words[int(row)*w:][:w]...)
		c.moveTexts(&p.texts)
	}
	if failpoint.Bug("disk-stored-row-beside-copy") {
		copied = nil
	}
	whole := info.New || c.base.Contains(g)
	if whole && p.stored.has(g) {
		return c.readStored(p, info.ID, g, copied)
	}
	if !whole && p.listed.has(g) {
		return c.readChanges(p, info.ID, g, copied)
	}
	return nil
}

// moveTexts moves the texts of the last record of the chunk to its arena.
func (c *cut) moveTexts(from *[]byte) {
	move, out := c.owner.layout.MoveTexts, &c.chunk
	if move == nil {
		return
	}
	c.ref[0] = uint32((len(out.Keys.Views) - 1) * len(c.owner.layout.Init))
	out.Texts = move(record.Block{Base: wordsOf(out.Words), Arena: from}, c.ref[:], out.Texts)
}

// readStored adds all rows of the group but those that were copied from memory.
func (c *cut) readStored(p *cutPane, id int64, g keygroup.Group, copied []uint32) error {
	// With bounds, or it would walk through all that was deleted behind an empty group.
	c.rows.SetBounds(groupBounds(rowPrefix(nil, id), g))
	for c.rows.First(); c.rows.Valid(); c.rows.Next() {
		if err := c.decodeKey(c.rows.Key()[hashAt:]); err != nil {
			return err
		}
		if p.has(copied, &c.one) {
			continue
		}
		if err := c.addStored(); err != nil {
			return err
		}
	}
	return c.rows.Error()
}

func (c *cut) decodeKey(key []byte) error {
	c.one.Reset()
	return decodeKey(&c.one, key)
}

// addStored adds the row at the iterator, whose key is in one.
func (c *cut) addStored() error {
	value, err := c.rows.ValueAndErr()
	if err != nil {
		return err
	}
	out, w := &c.chunk, len(c.owner.layout.Init)
	for range w {
		out.Words = append(out.Words, 0)
	}
	texts, err := decodeWords(out.Words[len(out.Words)-w:], value)
	if err != nil {
		return err
	}
	out.Keys.Append(c.one.Views[0], c.one.Arena)
	c.moveTexts(&texts)
	return nil
}

// readChanges adds the listed rows of the group but those that were copied from
// memory; those that are not there any more are gone.
func (c *cut) readChanges(p *cutPane, id int64, g keygroup.Group, copied []uint32) error {
	prefix := changePrefix(nil, c.number, id)
	c.changes.SetBounds(groupBounds(prefix, g))
	c.rows.SetBounds(groupBounds(rowPrefix(nil, id), g))
	for c.changes.First(); c.changes.Valid(); c.changes.Next() {
		key := c.changes.Key()[len(prefix):]
		if err := c.decodeKey(key); err != nil {
			return err
		}
		if p.has(copied, &c.one) {
			continue
		}
		c.key = append(rowPrefix(c.key[:0], id), key...)
		if p.stored.has(g) && c.rows.SeekPrefixGE(c.key) && bytes.Equal(c.rows.Key(), c.key) {
			if err := c.addStored(); err != nil {
				return err
			}
			continue
		}
		if err := c.rows.Error(); err != nil {
			return err
		}
		c.chunk.Gone.Append(c.one.Views[0], c.one.Arena)
	}
	return c.changes.Error()
}
