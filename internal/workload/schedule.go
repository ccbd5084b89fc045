package workload

import (
	"math"
	"math/bits"
	"time"
)

// Offset is when event i is due on an open-loop schedule, counted from event 0:
// i/rate seconds, cut to nanoseconds, and no more than a Duration can hold. The
// schedule never waits for the receiver.
func Offset(i, rate int64) time.Duration {
	if i/rate > int64(math.MaxInt64/time.Second)-1 {
		return math.MaxInt64
	}
	return time.Duration(i/rate)*time.Second + time.Duration(i%rate*int64(time.Second)/rate)
}

// Due returns how many events are due when elapsed has gone by: the smallest n
// whose Offset lies behind elapsed.
func Due(elapsed time.Duration, rate int64) int64 {
	if elapsed < 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(elapsed)+1, uint64(rate))
	n, rest := bits.Div64(hi, lo, uint64(time.Second))
	if rest > 0 {
		n++
	}
	return int64(n)
}

// Lag counts how far behind its schedule a generator was. The zero Lag is ready.
type Lag struct {
	buckets [64 * lagParts]int64
	n       int64
	max     time.Duration
}

// lagParts divides each power of two, so that a quantile is at most 1/8 too high.
const lagParts = 8

// Add counts n events that were late by d; a negative d counts as none.
func (l *Lag) Add(d time.Duration, n int64) {
	d = max(d, 0)
	l.max = max(l.max, d)
	l.n += n
	l.buckets[lagBucket(uint64(d))] += n
}

// lagBucket returns the bucket of v: its power of two and the three bits below it.
func lagBucket(v uint64) int {
	if v < lagParts {
		return int(v)
	}
	e := bits.Len64(v) - 4
	return (e+1)*lagParts + int(v>>e)&(lagParts-1)
}

// Merge adds the counts of o.
func (l *Lag) Merge(o *Lag) {
	for i, n := range o.buckets {
		l.buckets[i] += n
	}
	l.n += o.n
	l.max = max(l.max, o.max)
}

// Max returns the largest lag.
func (l *Lag) Max() time.Duration { return l.max }

// Quantile returns the lag that the share q of the events did not exceed, at
// most one eighth too high; 0 when there were none.
func (l *Lag) Quantile(q float64) time.Duration {
	rank := int64(q * float64(l.n))
	var seen int64
	for i, n := range l.buckets {
		if seen += n; n > 0 && seen >= rank {
			upper := uint64(i)
			if i >= lagParts {
				e := i/lagParts - 1
				upper = (uint64(i%lagParts)+lagParts+1)<<e - 1
			}
			return min(time.Duration(upper), l.max)
		}
	}
	return l.max
}
