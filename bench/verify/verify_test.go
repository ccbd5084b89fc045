package verify

import (
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/bench/dataset"
)

func oracle() *dataset.Oracle {
	o := &dataset.Oracle{Start: 1_760_000_000_000, Devices: 3}
	o.Add(1_760_000_000_001, 0, 2000, false)
	o.Add(1_760_000_000_002, 0, 2001, false)
	o.Add(1_760_000_012_000, 2, 150, true)
	return o
}

func TestReader(t *testing.T) {
	const head = "device_id,window_start,avg,count\n"
	const good = head + "dev-0000000,1760000000000,20.005,2\n"
	for _, c := range []struct {
		name, csv string
		want      Result
	}{
		{"exact", good + "dev-0000002,2025-10-09T08:53:30Z,,1\n", Result{Rows: 2, Events: 3}},
		{"other order, quotes, one more column", "count,x,\"avg\",window_start,device_id\n2,,20.005,1760000000000,\"dev-0000000\"\n1,,,1760000010000,dev-0000002", Result{Rows: 2, Events: 3}},
		{"missing", good, Result{Rows: 1, Events: 2, Missing: 1}},
		{"double", good + "dev-0000000,1760000000000,20.005,2\ndev-0000002,1760000010000,,1\n", Result{Rows: 3, Events: 5, Duplicates: 1}},
		{"wrong count", good + "dev-0000002,1760000010000,,2\n", Result{Rows: 2, Events: 4, Wrong: 1}},
		{"sum off by a hundredth", head + "dev-0000000,1760000000000,20.01,2\ndev-0000002,1760000010000,,1\n", Result{Rows: 2, Events: 3, Wrong: 1}},
		{"null where a value is due", head + "dev-0000000,1760000000000,,2\ndev-0000002,1760000010000,,1\n", Result{Rows: 2, Events: 3, Wrong: 1}},
		{"unknown device and window", good + "dev-0000003,1760000010000,,1\ndev-0000002,1760000010001,,1\n", Result{Rows: 3, Events: 2, Wrong: 2, Missing: 1}},
		{"torn row", good + "dev-0000002,17600\n", Result{Rows: 2, Events: 2, Wrong: 1, Missing: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Reader(strings.NewReader(c.csv), oracle())
			if err != nil {
				t.Fatal(err)
			}
			exact := got.Wrong+got.Missing+got.Duplicates == 0
			if (got.Err() == nil) != exact {
				t.Errorf("Err is %v", got.Err())
			}
			got.First = ""
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestReaderWantsItsColumns(t *testing.T) {
	for _, csv := range []string{"", "device_id,avg,count\n"} {
		if _, err := Reader(strings.NewReader(csv), oracle()); err == nil {
			t.Errorf("%q: no error", csv)
		}
	}
}
