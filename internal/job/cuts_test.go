package job_test

import (
	"sync"
	"sync/atomic"

	"github.com/gorge-stream/gorge/internal/keygroup"
	"github.com/gorge-stream/gorge/internal/state"
	"github.com/gorge-stream/gorge/internal/state/memory"
)

// cutsOut is the number of cuts that have not been released.
var cutsOut atomic.Int64

// countedState counts the cuts that are out.
type countedState struct{ *memory.Backend }

func (s countedState) Cut(base keygroup.Range) (state.Cut, error) {
	c, err := s.Backend.Cut(base)
	if err == nil {
		cutsOut.Add(1)
		c = &countedCut{Cut: c}
	}
	return c, err
}

type countedCut struct {
	state.Cut
	once sync.Once
}

func (c *countedCut) Release() {
	c.Cut.Release()
	c.once.Do(func() { cutsOut.Add(-1) })
}
