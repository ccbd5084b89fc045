package dataset

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strconv"
	"testing"
)

// TestEveryStyleSaysTheSame reads each style with encoding/json and recounts the oracle.
func TestEveryStyleSaysTheSame(t *testing.T) {
	for _, style := range []Style{Plain, AnyOrder, LongKeys, LongNums, Escapes, NullsBool} {
		t.Run(string(style), func(t *testing.T) {
			files, err := Make(t.TempDir(), Set{Style: style, Events: 20_000, Devices: 50})
			if err != nil {
				t.Fatal(err)
			}
			want, err := Load(files.Oracle)
			if err != nil {
				t.Fatal(err)
			}
			got := recount(t, files.Input, want)
			if len(got.Windows) != len(want.Windows) {
				t.Fatalf("%d windows, want %d", len(got.Windows), len(want.Windows))
			}
			for w := range want.Windows {
				for d := range want.Windows[w] {
					if got.Windows[w][d] != want.Windows[w][d] {
						t.Fatalf("window %d device %d: %+v, want %+v", w, d, got.Windows[w][d], want.Windows[w][d])
					}
				}
			}
		})
	}
}

func recount(t *testing.T, input string, like *Oracle) *Oracle {
	f, err := os.Open(input)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := &Oracle{Start: like.Start, Devices: like.Devices}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e struct {
			Device      string   `json:"device_id"`
			TS          int64    `json:"ts"`
			Temperature *float64 `json:"temperature"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		d, err := strconv.Atoi(e.Device[len(e.Device)-7:])
		if err != nil {
			t.Fatal(err)
		}
		var centi int32
		if e.Temperature != nil {
			centi = int32(math.Round(*e.Temperature * 100))
		}
		o.Add(e.TS, uint32(d), centi, e.Temperature == nil)
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	return o
}

func TestAnyOrderHasManyOrders(t *testing.T) {
	seen := map[[6]int]bool{}
	for i := range uint64(100_000) {
		order := [6]int{0, 1, 2, 3, 4, 5}
		shuffle(&order, i)
		seen[order] = true
	}
	if len(seen) < 600 {
		t.Errorf("%d orders of 720", len(seen))
	}
}

func TestMakeFindsAnEarlierSet(t *testing.T) {
	dir := t.TempDir()
	set := Set{Style: Plain, Events: 100, Devices: 5}
	a, err := Make(dir, set)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Make(dir, set)
	if err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Errorf("%+v, want %+v", b, a)
	}
}

func TestTimes(t *testing.T) {
	one, two := Oracle{Devices: 2}, Oracle{Devices: 2}
	for n := range int64(20) {
		one.Add(n*1000, uint32(n%2), int32(n), n == 7)
		two.Add(n*1000, uint32(n%2), int32(n), n == 7)
		two.Add(n*1000, uint32(n%2), int32(n), n == 7)
	}
	if got := one.Times(2); !reflect.DeepEqual(*got, two) {
		t.Errorf("%+v, want %+v", *got, two)
	}
}
