package checkpoint

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/gorge-stream/gorge/internal/keygroup"
)

// Origin returns the epoch whose content the manifest holds: its own, or the one
// that it repeats.
func (m *Manifest) Origin() uint64 {
	if m.Repeats != 0 {
		return m.Repeats
	}
	return m.Epoch
}

// Segments returns the segments that the manifest names, each object once.
func (m *Manifest) Segments() []Segment {
	seen := map[string]bool{}
	var out []Segment
	for i := range m.Steps {
		for j := range m.Steps[i].Shards {
			for _, s := range m.Steps[i].Shards[j].Segments {
				if !seen[s.Object] {
					seen[s.Object] = true
					out = append(out, s)
				}
			}
		}
	}
	return out
}

var kinds = []Kind{Opening, Periodic, Savepoint, Stopping, Ending, Abandoned}

// check returns what does not fit together in a manifest.
func (m *Manifest) check() error {
	switch {
	case m.Version != Version:
		return fmt.Errorf("its version is %d", m.Version)
	case m.Epoch == 0:
		return errors.New("it has no epoch")
	case m.Repeats >= m.Epoch || m.Repeats != 0 && m.Kind != Opening && m.Kind != Abandoned:
		return fmt.Errorf("epoch %d, %s, repeats epoch %d", m.Epoch, m.Kind, m.Repeats)
	case !slices.Contains(kinds, m.Kind):
		return fmt.Errorf("there is no kind %q", m.Kind)
	case m.Parallelism < 0 || m.Parallelism > keygroup.Count:
		return fmt.Errorf("its parallelism is %d", m.Parallelism)
	}
	for i, r := range m.Before {
		if r.Epoch >= m.Epoch || i > 0 && r.Epoch <= m.Before[i-1].Epoch {
			return fmt.Errorf("epoch %d is behind the epochs %v", m.Epoch, m.Before)
		}
	}
	if err := eachOnce("step", m.Steps, func(s *Step) (string, error) { return s.Name, s.check() }); err != nil {
		return err
	}
	if err := eachOnce("source", m.Sources, func(s *Source) (string, error) { return s.Name, s.check() }); err != nil {
		return err
	}
	return eachOnce("sink", m.Sinks, func(s *Sink) (string, error) { return s.Name, nil })
}

// eachOnce checks a list whose elements have names of their own.
func eachOnce[T any](what string, list []T, check func(*T) (string, error)) error {
	seen := map[string]bool{}
	for i := range list {
		name, err := check(&list[i])
		switch {
		case name == "":
			return fmt.Errorf("a %s has no name", what)
		case seen[name]:
			return fmt.Errorf("the %s %s is there twice", what, name)
		case err != nil:
			return fmt.Errorf("%s %s: %w", what, name, err)
		}
		seen[name] = true
	}
	return nil
}

func (s *Source) check() error {
	return eachOnce("split", s.Splits, func(p *Split) (string, error) { return p.ID, nil })
}

// check holds that the shards have every key group once: a restore that misses one
// would lose its records silently.
func (s *Step) check() error {
	next := keygroup.Group(0)
	for i := range s.Shards {
		h := &s.Shards[i]
		if h.Groups.First != next || !valid(h.Groups) || h.Groups.Len() == 0 {
			return fmt.Errorf("shard %d has the key groups %d to %d, and the ones before end at %d", i, h.Groups.First, h.Groups.End, next)
		}
		next = h.Groups.End
		if err := h.check(); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
	}
	if len(s.Shards) > 0 && next != keygroup.Count {
		return fmt.Errorf("its shards have the key groups up to %d of %d", next, keygroup.Count)
	}
	return nil
}

func (h *Shard) check() error {
	for i, p := range h.Panes {
		if i > 0 && p.ID <= h.Panes[i-1].ID || p.Born == 0 {
			return fmt.Errorf("pane %d, born in epoch %d, is out of order", p.ID, p.Born)
		}
	}
	for i, s := range h.Segments {
		if err := s.check(h.Groups); err != nil {
			return fmt.Errorf("segment %s: %w", s.Object, err)
		}
		if i > 0 && s.Epoch < h.Segments[i-1].Epoch {
			return fmt.Errorf("segment %s of epoch %d is behind one of epoch %d", s.Object, s.Epoch, h.Segments[i-1].Epoch)
		}
	}
	return nil
}

var chunkName = regexp.MustCompile(`^chunks/[0-9a-f]{64}$`)

func (s *Segment) check(shard keygroup.Range) error {
	switch {
	case !chunkName.MatchString(s.Object):
		return errors.New("that is no name of a segment")
	case s.Size <= 0 || s.Epoch == 0 || s.BaseRows < 0 || s.Rows < s.BaseRows:
		return fmt.Errorf("it has %d bytes, epoch %d and %d of %d rows in its base", s.Size, s.Epoch, s.BaseRows, s.Rows)
	case !valid(s.Groups) || s.Groups.Overlap(shard) != s.Groups:
		return fmt.Errorf("it has the key groups %d to %d of a shard with %d to %d", s.Groups.First, s.Groups.End, shard.First, shard.End)
	case !valid(s.Base) || s.Base.Len() > 0 && s.Base.Overlap(s.Groups) != s.Base:
		return fmt.Errorf("it is the base of the key groups %d to %d and has %d to %d", s.Base.First, s.Base.End, s.Groups.First, s.Groups.End)
	}
	return nil
}

// valid reports whether the range names key groups that there are, or none.
func valid(r keygroup.Range) bool { return r.First <= r.End && r.End <= keygroup.Count }
