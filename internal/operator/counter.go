package operator

import "sync/atomic"

// Counter is a number that one goroutine raises and others read. It is padded
// so that the counters of two tasks never share a cache line.
type Counter struct {
	n atomic.Int64
	_ [120]byte
}

// Add raises the counter by n.
func (c *Counter) Add(n int64) {
	if n != 0 {
		c.n.Add(n)
	}
}

// Load returns the number.
func (c *Counter) Load() int64 { return c.n.Load() }
