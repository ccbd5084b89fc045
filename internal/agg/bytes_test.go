package agg

import (
	"math"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/record"
)

// TestKeptBytesTakeTheRoomOfTheLongestValue replaces a text over and over, long
// and short in turn: the arena must not grow with the number of updates.
func TestKeptBytesTakeTheRoomOfTheLongestValue(t *testing.T) {
	c := call("last", batch.String, false)
	tab := newTable(NewSet([]Call{c}), 1)
	values := []string{"short", strings.Repeat("long ", 20), "", strings.Repeat("longer ", 14), "twelve bytes"}
	for i := range 1000 {
		col := batch.NewColumn(batch.String, 1)
		v := values[i%len(values)]
		col.SetText(0, v)
		tab.set.Update(tab.block(), make([]record.Ref, 1), []*batch.Column{col}, []batch.Time{batch.Time(i)}, 0)
		if got := tab.results(c, 0, 1)[0]; got != v {
			t.Fatalf("update %d: got %q, want %q", i, got, v)
		}
	}
	if n := len(tab.arena); n > 200 {
		t.Errorf("the arena has %d bytes after 1000 updates by texts of at most 100", n)
	}
}

// TestMomentsMergeIntoNothing merges into an empty accumulator: the result is
// that of the rows, to the last bit, also where squares overflow.
func TestMomentsMergeIntoNothing(t *testing.T) {
	for _, in := range [][]any{{1e200, 1e200}, {0.1, 0.2, 0.7}, {1e308, 1e308, 1e308}, {3.0}} {
		col, times := floats(in)
		c := call("variance", batch.Float64, true)
		set := NewSet([]Call{c})
		rows, sum := newTable(set, 1), newTable(set, 1)
		set.Update(rows.block(), make([]record.Ref, len(in)), []*batch.Column{col}, times, 0)
		set.Merge(sum.block(), 0, rows.block(), 0)
		got, want := sum.results(c, 0, 1)[0].(float64), rows.results(c, 0, 1)[0].(float64)
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("variance of %v: %v after a merge, %v without", in, got, want)
		}
	}
}
