package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/state"
)

// Verify reads every object that a manifest names, to the last byte, and returns
// what is wrong, each with the name of the object.
func Verify(ctx context.Context, store checkpoint.Store, m *checkpoint.Manifest) []error {
	var problems []error
	seen := map[string]bool{}
	for _, step := range m.Steps {
		for _, shard := range step.Shards {
			for _, s := range shard.Segments {
				if seen[s.Object] {
					continue
				}
				seen[s.Object] = true
				if err := verify(ctx, store, s, step.Name); err != nil {
					problems = append(problems, fmt.Errorf("step %s, epoch %d: %w", step.Name, s.Epoch, err))
				}
			}
		}
	}
	return problems
}

// verify reads one segment.
func verify(ctx context.Context, store checkpoint.Store, s checkpoint.Segment, step string) error {
	data, err := checkpoint.GetSegment(ctx, store, s)
	if err != nil {
		return err
	}
	if checkpoint.ChunkName(sha256.Sum256(data)) != s.Object {
		return checkpoint.DamagedObject(s.Object, errors.New("its name is not the SHA-256 of its bytes"))
	}
	seg, err := open(data)
	if err != nil {
		return checkpoint.DamagedObject(s.Object, err)
	}
	if err := seg.fits(s, seg.header.Words); err != nil {
		return checkpoint.DamagedObject(s.Object, err)
	}
	if seg.header.Step != step {
		return checkpoint.DamagedObject(s.Object, fmt.Errorf("it is of step %s", seg.header.Step))
	}
	all, base, err := seg.walk(func(*state.Chunk) error { return nil })
	if err != nil {
		return checkpoint.DamagedObject(s.Object, err)
	}
	if all != s.Rows || base != s.BaseRows {
		return checkpoint.DamagedObject(s.Object, fmt.Errorf("it has %d rows, %d of them in its base, not %d and %d", all, base, s.Rows, s.BaseRows))
	}
	return nil
}

// walk decodes every chunk of a segment and returns the numbers of rows in all and in the base.
func (s *segment) walk(f func(*state.Chunk) error) (all, base int64, err error) {
	d := decoder{words: s.header.Words}
	var hashes []uint64
	for i := range s.groups() {
		g, chunks := s.at(i)
		for len(chunks) > 0 {
			chunk, rest, err := next(chunks)
			if err != nil {
				return 0, 0, fmt.Errorf("key group %d: %w", g, err)
			}
			chunks = rest
			c, err := d.decode(chunk)
			if err != nil {
				return 0, 0, fmt.Errorf("key group %d: %w", g, err)
			}
			c.Group = g
			n := int64(len(c.Keys.Views) + len(c.Gone.Views))
			all += n
			if s.header.Base.Contains(g) {
				base += n
			}
			if hashes, err = c.Check(d.words, hashes); err != nil {
				return 0, 0, err
			}
			if err := f(c); err != nil {
				return 0, 0, err
			}
		}
	}
	return all, base, nil
}
