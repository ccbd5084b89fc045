package window

import (
	"math"
	"math/big"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

func TestTumblingPanes(t *testing.T) {
	const s = 1_000_000
	for _, c := range []struct {
		name         string
		w            Tumbling
		at, from, to batch.Time
	}{
		{"start is in", Tumbling{Size: 10 * s}, 20 * s, 20 * s, 30 * s},
		{"end is out", Tumbling{Size: 10 * s}, 30*s - 1, 20 * s, 30 * s},
		{"before 1970", Tumbling{Size: 10 * s}, -1, -10 * s, 0},
		{"before 1970 at a start", Tumbling{Size: 10 * s}, -10 * s, -10 * s, 0},
		{"offset", Tumbling{Size: 10 * s, Offset: 3 * s}, 2 * s, -7 * s, 3 * s},
		{"offset start", Tumbling{Size: 10 * s, Offset: 3 * s}, 3 * s, 3 * s, 13 * s},
		{"size not a power", Tumbling{Size: 7}, 13, 7, 14},
		{"last of all is cut", Tumbling{Size: 1 << 62}, math.MaxInt64 - 1, 1 << 62, math.MaxInt64},
	} {
		got := c.w.Pane(c.at)
		if got != (Window{c.from, c.to}) {
			t.Errorf("%s: got %v, want [%d, %d)", c.name, got, c.from, c.to)
		}
	}
}

// TestTumblingAgainstBigIntegers compares with arithmetic that cannot overflow.
func TestTumblingAgainstBigIntegers(t *testing.T) {
	times := []batch.Time{math.MinInt64, math.MinInt64 + 1, -1 << 40, -7, -1, 0, 1, 6, 7, 1 << 40, math.MaxInt64 - 1, math.MaxInt64}
	for _, size := range []int64{1, 2, 7, 1_000_000, 86_400_000_000, 1 << 62} {
		for _, offset := range []int64{0, 1, size / 2, size - 1} {
			if offset >= size {
				continue
			}
			for _, at := range times {
				w := Tumbling{size, offset}.Pane(at)
				if !w.Holds(at) || w.Start > batch.MinTime && w.Holds(w.Start-1) || w.End < batch.MaxTime && w.Holds(w.End) {
					t.Errorf("size %d offset %d: %v does not begin, hold %d, or end", size, offset, w, at)
				}
				at = min(at, math.MaxInt64-1) // the last instant belongs to the window before it
				d := new(big.Int).Sub(big.NewInt(at), big.NewInt(offset))
				m := new(big.Int).Mod(d, big.NewInt(size)) // Euclidean
				start := new(big.Int).Sub(big.NewInt(at), m)
				end := new(big.Int).Add(start, big.NewInt(size))
				if want := clamp(start); w.Start != want {
					t.Errorf("size %d offset %d at %d: start %d, want %d", size, offset, at, w.Start, want)
				}
				if want := clamp(end); w.End != want {
					t.Errorf("size %d offset %d at %d: end %d, want %d", size, offset, at, w.End, want)
				}
			}
		}
	}
}

func clamp(x *big.Int) int64 {
	if x.IsInt64() {
		return x.Int64()
	}
	if x.Sign() < 0 {
		return math.MinInt64
	}
	return math.MaxInt64
}

func TestAtEndFiresAtTheEnd(t *testing.T) {
	w := Window{10, 20}
	for mark, want := range map[batch.Time]Decision{batch.MinTime: Wait, 19: Wait, 20: FirePurge, batch.MaxTime: FirePurge} {
		if got := (AtEnd{}).OnWatermark(w, mark); got != want {
			t.Errorf("watermark %d: %v, want %v", mark, got, want)
		}
	}
}
