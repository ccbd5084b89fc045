package snapshot

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
)

// ahead is how many objects are read beside the one that is decoded.
const ahead = 4

// Restore calls load with what a checkpoint holds for the key groups of a task, of
// whatever tasks wrote it. words is the length of a record.
func Restore(ctx context.Context, store checkpoint.Store, step checkpoint.Step, groups keygroup.Range, words int, load func(*state.Chunk) error) error {
	for _, s := range step.Shards {
		part := s.Groups.Overlap(groups)
		if part.Len() == 0 {
			continue
		}
		born := func(pane int64) (uint64, bool) {
			i, ok := slices.BinarySearchFunc(s.Panes, pane, func(p checkpoint.Pane, id int64) int {
				switch {
				case p.ID < id:
					return -1
				case p.ID > id:
					return 1
				}
				return 0
			})
			if !ok {
				return 0, false
			}
			return s.Panes[i].Born, true
		}
		if err := Read(ctx, store, s.Segments, part, born, words, load); err != nil {
			return fmt.Errorf("restore the state of step %s: %w", step.Name, err)
		}
	}
	return nil
}

// Read calls f with the records and deletions of some key groups that the segments,
// oldest first, hold: for each group from the latest cut on that has all of it, in the
// order of the cuts. Panes for which born says no, and what was cut before they were
// born, are left out. A chunk is valid until f returns.
func Read(ctx context.Context, store checkpoint.Store, segs []checkpoint.Segment, groups keygroup.Range,
	born func(pane int64) (epoch uint64, ok bool), words int, f func(*state.Chunk) error,
) error {
	from := bases(segs)
	segs = slices.DeleteFunc(slices.Clone(segs), func(s checkpoint.Segment) bool { return !from.need(s, groups) })
	objects, stop := prefetch(ctx, store, segs)
	defer stop()
	d := decoder{words: words}
	for i, s := range segs {
		o := <-objects[i]
		if o.err != nil {
			return o.err
		}
		seg, err := open(o.data)
		if err == nil {
			err = seg.fits(s, words)
		}
		if err != nil {
			return checkpoint.DamagedObject(s.Object, err)
		}
		for j := range seg.groups() {
			g, chunks := seg.at(j)
			if !groups.Contains(g) || s.Epoch < from[g] {
				continue
			}
			if err := d.group(s, g, chunks, born, f); err != nil {
				return err
			}
		}
		<-o.slot
	}
	return nil
}

// group reads the chunks of one key group of a segment.
func (d *decoder) group(s checkpoint.Segment, g keygroup.Group, chunks []byte,
	born func(pane int64) (epoch uint64, ok bool), f func(*state.Chunk) error,
) error {
	for len(chunks) > 0 {
		chunk, rest, err := next(chunks)
		if err != nil {
			return damagedGroup(s.Object, g, err)
		}
		chunks = rest
		if since, ok := born(pane(chunk)); !ok || s.Epoch < since && !failpoint.Bug("snapshot-pane-of-another-life") {
			continue
		}
		c, err := d.decode(chunk)
		if err != nil {
			return damagedGroup(s.Object, g, err)
		}
		c.Group = g
		if err := f(c); err != nil {
			return err
		}
	}
	return nil
}

// floor is, for each key group, the epoch of the latest cut that has all of it.
type floor [keygroup.Count]uint64

// bases returns the floor of a list of segments.
func bases(segs []checkpoint.Segment) *floor {
	var f floor
	for _, s := range segs {
		for g := s.Base.First; g < s.Base.End; g++ {
			f[g] = max(f[g], s.Epoch)
		}
	}
	return &f
}

// need reports whether the segment counts for any of the key groups.
func (f *floor) need(s checkpoint.Segment, groups keygroup.Range) bool {
	r := s.Groups.Overlap(groups)
	for g := r.First; g < r.End; g++ {
		if s.Epoch >= f[g] {
			return true
		}
	}
	return false
}

// fits holds a segment against what the manifest says of it.
func (s *segment) fits(want checkpoint.Segment, words int) error {
	h := &s.header
	if h.Epoch != want.Epoch || h.Groups != want.Groups || h.Base != want.Base {
		return fmt.Errorf("it is of epoch %d and key groups %d to %d, not of epoch %d and %d to %d",
			h.Epoch, h.Groups.First, h.Groups.End, want.Epoch, want.Groups.First, want.Groups.End)
	}
	if h.Words != words {
		return fmt.Errorf("its records have %d words, but the step has records of %d", h.Words, words)
	}
	return nil
}

func damagedGroup(object string, g keygroup.Group, cause error) error {
	return checkpoint.DamagedObject(object, fmt.Errorf("key group %d: %w", g, cause))
}

// fetched is an object, or why it could not be read.
type fetched struct {
	data []byte
	err  error
	slot <-chan struct{} // to be received from when the data is used no more
}

// prefetch reads objects ahead of their use, in order. stop ends it and waits until it has ended.
func prefetch(ctx context.Context, store checkpoint.Store, segs []checkpoint.Segment) (objects []chan fetched, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	slots := make(chan struct{}, ahead)
	for range segs {
		objects = append(objects, make(chan fetched, 1))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		defer wg.Wait()
		for i, s := range segs {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				for _, o := range objects[i:] {
					o <- fetched{err: ctx.Err()}
				}
				return
			}
			wg.Go(func() {
				data, err := checkpoint.GetSegment(ctx, store, s)
				objects[i] <- fetched{data, err, slots}
			})
		}
	}()
	return objects, func() { cancel(); <-done }
}
