//go:build !linux

package json

import "time"

var started = time.Now()

// cpuTime returns the time since the test began.
func cpuTime() time.Duration { return time.Since(started) }
