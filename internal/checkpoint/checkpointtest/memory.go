package checkpointtest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/checkpoint"
)

// Op is one method of a store.
type Op string

// The methods.
const (
	Put    Op = "put"
	Claim  Op = "claim"
	Get    Op = "get"
	List   Op = "list"
	Delete Op = "delete"
)

// Call is one call of a store: the name of the object, the prefix of a list, the first name of a deletion.
type Call struct {
	Op   Op
	Name string
}

// Fault is the fate of one call. The zero Fault lets it succeed.
type Fault struct {
	// Err is returned by the call.
	Err error
	// Done: the effect happens although Err is returned, as when the answer gets lost.
	Done bool
}

// Memory is a store in memory whose calls can be made to fail.
type Memory struct {
	mu      sync.Mutex
	objects map[string]object
	calls   []Call
	fault   func(Call) Fault // nil: all calls succeed
}

type object struct {
	data    []byte
	written time.Time
}

var _ checkpoint.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{objects: map[string]object{}} }

// Faults makes f decide the fate of each later call, nil for no faults. f may
// block, to hold a call back; it runs without locks.
func (m *Memory) Faults(f func(Call) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// Calls returns all calls so far, in order.
func (m *Memory) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// do notes a call and runs effect under the lock, unless the call's fate forbids it.
func (m *Memory) do(ctx context.Context, c Call, effect func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	m.calls = append(m.calls, c)
	f := m.fault
	m.mu.Unlock()
	var fate Fault
	if f != nil {
		fate = f(c)
	}
	if fate.Err != nil && !fate.Done {
		return fate.Err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := effect(); fate.Err == nil {
		return err
	}
	return fate.Err
}

// Put implements checkpoint.Store.
func (m *Memory) Put(ctx context.Context, name string, data []byte) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	return m.do(ctx, Call{Put, name}, func() error {
		if o, ok := m.objects[name]; ok && !bytes.Equal(o.data, data) {
			return fmt.Errorf("%s is there already, with other bytes", name)
		}
		m.objects[name] = object{bytes.Clone(data), time.Now()}
		return nil
	})
}

// Claim implements checkpoint.Store.
func (m *Memory) Claim(ctx context.Context, name string, data []byte) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	return m.do(ctx, Call{Claim, name}, func() error {
		if _, ok := m.objects[name]; ok {
			return fmt.Errorf("%s: %w", name, checkpoint.ErrExists)
		}
		m.objects[name] = object{bytes.Clone(data), time.Now()}
		return nil
	})
}

// Get implements checkpoint.Store.
func (m *Memory) Get(ctx context.Context, name string) (data []byte, err error) {
	if err := checkpoint.CheckName(name); err != nil {
		return nil, err
	}
	err = m.do(ctx, Call{Get, name}, func() error {
		o, ok := m.objects[name]
		if !ok {
			return fmt.Errorf("%s: %w", name, checkpoint.ErrNotFound)
		}
		data = bytes.Clone(o.data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// List implements checkpoint.Store.
func (m *Memory) List(ctx context.Context, prefix string) (out []checkpoint.Object, err error) {
	err = m.do(ctx, Call{List, prefix}, func() error {
		for name, o := range m.objects {
			if strings.HasPrefix(name, prefix) {
				out = append(out, checkpoint.Object{Name: name, Size: int64(len(o.data)), Written: o.written})
			}
		}
		slices.SortFunc(out, func(a, b checkpoint.Object) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Delete implements checkpoint.Store.
func (m *Memory) Delete(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return ctx.Err()
	}
	for _, name := range names {
		if err := checkpoint.CheckName(name); err != nil {
			return err
		}
	}
	return m.do(ctx, Call{Delete, names[0]}, func() error {
		for _, name := range names {
			delete(m.objects, name)
		}
		return nil
	})
}

// Flip inverts one bit of an object, as a bad disk does, and reports whether the object is there and not empty.
func (m *Memory) Flip(name string, bit int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	if !ok || len(o.data) == 0 {
		return false
	}
	o.data[bit/8%len(o.data)] ^= 1 << (bit % 8)
	return true
}
