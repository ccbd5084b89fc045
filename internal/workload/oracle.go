package workload

import (
	"slices"
	"strconv"

	"github.com/gorge-stream/gorge/internal/diag"
)

// MaxOracleBytes bounds the memory of an oracle.
const MaxOracleBytes = 4 << 30

// Row is what the oracle knows about one device in one tumbling window.
type Row struct {
	Window int64 // start of the window, milliseconds
	Device uint32
	Count  int32 // events, the late ones included
	Late   int32 // late events among them: an engine may have dropped those
	Sum    int64 // of the temperatures, in hundredths
}

// OracleHeader is the first line of the oracle as CSV.
const OracleHeader = "window_start_ms,device_id,count,sum_centi,late\n"

// AppendCSV appends the row as a line of CSV.
func (r *Row) AppendCSV(dst []byte) []byte {
	dst = append(strconv.AppendInt(dst, r.Window, 10), ',')
	dst = append(AppendDevice(dst, r.Device), ',')
	dst = append(strconv.AppendInt(dst, int64(r.Count), 10), ',')
	dst = append(strconv.AppendInt(dst, r.Sum, 10), ',')
	return append(strconv.AppendInt(dst, int64(r.Late), 10), '\n')
}

type cell struct {
	sum         int64
	count, late int32
}

// Oracle counts the events per device and tumbling window, so that the result
// of a run can be verified. Lateness is bounded (W3), so that a window is
// handed out, and its memory freed, as soon as no event can fall into it.
type Oracle struct {
	c      Config
	window int64
	out    func(*Row) error
	panes  map[int64][]cell // by start of the window
	spare  [][]cell
	last   int64 // window of the last event, which is mostly that of the next one
	pane   []cell
	done   int64 // windows before this start were handed out
}

// NewOracle makes an oracle for windows of the given milliseconds; out takes the
// rows, ordered by window and device. out keeps nothing of what it is given.
func NewOracle(c Config, window int64, out func(*Row) error) (*Oracle, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if window < 1 {
		return nil, diag.New("generate/out-of-range", "the window of the oracle is %d ms, but must be at least 1 ms", window)
	}
	open := c.Disorder/window + 2
	if c.Late > 0 {
		open = (c.Disorder+c.LateBy)/window + 2
	}
	if bytes := float64(open) * float64(c.Devices) * 16; bytes > MaxOracleBytes {
		return nil, diag.New("generate/oracle-too-large", "the oracle needs %.0f GiB of memory for %d open windows of %d devices", bytes/(1<<30), open, c.Devices).
			WithHint("take fewer devices, larger windows or less lateness")
	}
	return &Oracle{c: c, window: window, out: out, panes: map[int64][]cell{}, done: -1 << 62}, nil
}

// floor returns the largest multiple of w that is not above t.
func floor(t, w int64) int64 {
	r := t % w
	if r < 0 {
		r += w
	}
	return t - r
}

// Add counts the events, which follow those of the last call.
func (o *Oracle) Add(e *Events) error {
	for i := range e.N {
		t := e.Millis[i]
		if o.pane == nil || t < o.last || t >= o.last+o.window {
			o.last = floor(t, o.window)
			o.pane = o.panes[o.last]
			if o.pane == nil {
				o.pane = o.newPane()
				o.panes[o.last] = o.pane
			}
		}
		c := &o.pane[e.Device[i]]
		c.count++
		c.sum += int64(e.Temperature[i])
		if e.Marks[i]&Late != 0 {
			c.late++
		}
	}
	back := o.c.Disorder
	if o.c.Late > 0 {
		back += o.c.LateBy
	}
	next := e.First + int64(e.N)
	return o.flush(o.c.Start + Offset(next, o.c.Rate).Milliseconds() - back)
}

func (o *Oracle) newPane() []cell {
	if n := len(o.spare); n > 0 {
		p := o.spare[n-1]
		o.spare = o.spare[:n-1]
		return p
	}
	return make([]cell, o.c.Devices)
}

// Close hands out what is left.
func (o *Oracle) Close() error { return o.flush(1 << 62) }

// flush hands out the windows that end at or before t.
func (o *Oracle) flush(t int64) error {
	if floor(t, o.window) <= o.done {
		return nil
	}
	o.done = floor(t, o.window)
	var ended []int64
	for start := range o.panes {
		if start+o.window <= t {
			ended = append(ended, start)
		}
	}
	slices.Sort(ended)
	for _, start := range ended {
		pane := o.panes[start]
		for d, c := range pane {
			if c.count == 0 {
				continue
			}
			if err := o.out(&Row{Window: start, Device: uint32(d), Count: c.count, Late: c.late, Sum: c.sum}); err != nil {
				return err
			}
		}
		clear(pane)
		delete(o.panes, start)
		o.spare = append(o.spare, pane)
		o.pane = nil
	}
	return nil
}
