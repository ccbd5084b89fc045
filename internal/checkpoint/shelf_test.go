package checkpoint

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// shelf is a store in memory in which deletions come back after a power cut, until
// something was written durably to the same folder: as on a disk.
type shelf struct {
	mu      sync.Mutex
	now     time.Time // when objects are written
	objects map[string]shelved
	deleted map[string]shelved // not durably
	get     func(name string) error
}

type shelved struct {
	data    []byte
	written time.Time
}

func newShelf() *shelf {
	return &shelf{now: time.Unix(1_700_000_000, 0), objects: map[string]shelved{}, deleted: map[string]shelved{}}
}

func (s *shelf) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(name, data)
	return nil
}

func (s *shelf) put(name string, data []byte) {
	if _, ok := s.objects[name]; !ok {
		s.objects[name] = shelved{bytes.Clone(data), s.now}
	}
	for d := range s.deleted {
		if path.Dir(d) == path.Dir(name) {
			delete(s.deleted, d)
		}
	}
}

func (s *shelf) Claim(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[name]; ok {
		return ErrExists
	}
	s.put(name, data)
	return nil
}

func (s *shelf) Get(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.get != nil {
		if err := s.get(name); err != nil {
			return nil, err
		}
	}
	o, ok := s.objects[name]
	if !ok {
		return nil, ErrNotFound
	}
	return bytes.Clone(o.data), nil
}

func (s *shelf) List(_ context.Context, prefix string) ([]Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Object
	for name, o := range s.objects {
		if strings.HasPrefix(name, prefix) {
			out = append(out, Object{name, int64(len(o.data)), o.written})
		}
	}
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *shelf) Delete(_ context.Context, names []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range names {
		if o, ok := s.objects[n]; ok {
			s.deleted[n] = o
			delete(s.objects, n)
		}
	}
	return nil
}

// cut cuts the power: each deletion for which back is true comes back.
func (s *shelf) cut(back func(name string) bool) {
	names := make([]string, 0, len(s.deleted))
	for n := range s.deleted {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if back(n) {
			s.objects[n] = s.deleted[n]
		}
	}
	clear(s.deleted)
}

func (s *shelf) names(prefix string) []string {
	objects, _ := s.List(context.Background(), prefix)
	var out []string
	for _, o := range objects {
		out = append(out, o.Name)
	}
	return out
}
