package agg

import "github.com/gorge-stream/gorge/internal/record"

// textKeeper is a part that may keep a text in its words 0 and 1 (see keepBytes).
type textKeeper interface{ keepsText() bool }

func (extremeBytes) keepsText() bool { return true }

func (p endOf) keepsText() bool { return p.bytes }

// KeepsTexts reports whether records refer to bytes of the arena.
func (s *Set) KeepsTexts() bool { return len(s.texts) > 0 }

// MoveTexts appends the texts of the records refs to an arena and makes the
// records refer to them there. When this was done with every record the new arena
// takes the place of the old one, and with it goes what deleted records had kept.
func (s *Set) MoveTexts(b record.Block, refs []record.Ref, to []byte) []byte {
	for _, w := range s.texts {
		at := b.From(w)
		for _, r := range refs {
			if *at.Word(r, 0) == unset || *at.Word(r, 0)&inArena == 0 {
				continue
			}
			entry := *at.Word(r, 1)
			from, room := entry>>32*8, entry&(1<<32-1)
			*at.Word(r, 1) = uint64(len(to))/8<<32 | room
			to = append(to, (*b.Arena)[from:from+room*8]...)
		}
	}
	return to
}
