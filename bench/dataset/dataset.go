// Package dataset writes the input files of the benchmarks: the sensor events of
// package workload as lines of JSON in several styles, beside an oracle of what
// a 10-second tumbling count and average per device must find in them.
//
// The same settings give the same bytes. The package measures nothing.
package dataset

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gorge-stream/gorge/internal/workload"
)

// WindowMillis is the size of the windows that the oracle counts.
const WindowMillis = 10_000

// Style is how an event is written.
type Style string

// The styles. Every line is strict JSON and carries device_id, ts and temperature.
const (
	Plain     Style = "plain"       // the fixed shape of gorge generate
	AnyOrder  Style = "any-order"   // every line has another order of fields
	LongKeys  Style = "long-keys"   // 36-byte keys
	LongNums  Style = "long-nums"   // 17-digit numbers, exponents
	Escapes   Style = "escapes"     // an escape in every key, UTF-8 text
	NullsBool Style = "nulls-bools" // every 16th temperature is null; booleans and nulls between the fields
)

// Set is one dataset.
type Set struct {
	Style   Style
	Events  int64
	Devices int
}

// Name is the file name of the set without extension.
func (s Set) Name() string { return fmt.Sprintf("%s-%d-%d", s.Style, s.Events, s.Devices) }

// Files are a dataset on disk.
type Files struct {
	Set    Set
	Input  string
	Oracle string
	Bytes  int64
}

// Make writes the set into dir, or finds it there from an earlier run.
func Make(dir string, s Set) (Files, error) {
	f := Files{Set: s, Input: filepath.Join(dir, s.Name()+".ndjson"), Oracle: filepath.Join(dir, s.Name()+".oracle")}
	if info, err := os.Stat(f.Input); err == nil {
		if _, err := os.Stat(f.Oracle); err == nil {
			f.Bytes = info.Size()
			return f, nil
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return f, err
	}
	if err := write(&f); err != nil {
		return f, fmt.Errorf("dataset %s: %w", s.Name(), err)
	}
	return f, nil
}

// write fills both files; the oracle comes last and tells that the set is whole.
func write(f *Files) error {
	g, err := workload.New(workload.Config{
		Seed: 1, Devices: f.Set.Devices, Rate: 1_000_000, Start: workload.DefaultStart, Disorder: 500,
	})
	if err != nil {
		return err
	}
	out, err := os.Create(f.Input)
	if err != nil {
		return err
	}
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	o := Oracle{Start: workload.DefaultStart, Devices: f.Set.Devices}
	e := workload.NewEvents(4096)
	var buf []byte
	for i := int64(0); i < f.Set.Events; i += int64(e.N) {
		g.Fill(e, i, int(min(int64(e.Cap()), f.Set.Events-i)))
		buf = f.Set.Style.append(buf[:0], e)
		if _, err := w.Write(buf); err != nil {
			return err
		}
		f.Bytes += int64(len(buf))
		for k := range e.N {
			o.Add(e.Millis[k], e.Device[k], e.Temperature[k], f.Set.Style == NullsBool && isNull(e.First+int64(k)))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return o.save(f.Oracle)
}

func isNull(event int64) bool { return event%16 == 5 }

func (s Style) append(dst []byte, e *workload.Events) []byte {
	if s == Plain {
		return workload.AppendJSON(dst, e, false)
	}
	for i := range e.N {
		dst = s.line(dst, e, i)
	}
	return dst
}

// line appends one event in a style other than Plain.
func (s Style) line(dst []byte, e *workload.Events, i int) []byte {
	fields := [6][]byte{
		workload.AppendDevice(nil, e.Device[i]),
		strconv.AppendInt(nil, e.Millis[i], 10),
		hundredths(e.Temperature[i]),
		hundredths(e.Humidity[i]),
		strconv.AppendInt(nil, int64(e.AirQuality[i]), 10),
		workload.AppendSite(nil, e.Device[i]),
	}
	order := [6]int{0, 1, 2, 3, 4, 5}
	switch s {
	case AnyOrder:
		shuffle(&order, uint64(e.First)+uint64(i))
	case LongKeys:
		fields[0] = append([]byte("sensor-7f3a9c52-11ee-4b8d-9a-"), fields[0][len("dev-"):]...) // 29 + 7 digits
	case LongNums:
		// The same number with as many digits as a float64 prints, or with an exponent.
		fields[2] = append(fields[2], "00000000000000"...)
		fields[3] = append(fields[3], "e0"...)
	case Escapes:
		fields[0] = append([]byte(`dev\/`), fields[0][len("dev-"):]...)
		fields[5] = append([]byte("Straße "), fields[5]...)
	case NullsBool:
		if isNull(e.First + int64(i)) {
			fields[2] = []byte("null")
		}
	}
	dst = append(dst, '{')
	for n, f := range order {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), fieldNames[f]...), '"', ':')
		if f == 0 || f == 5 {
			dst = append(append(append(dst, '"'), fields[f]...), '"')
		} else {
			dst = append(dst, fields[f]...)
		}
		if s == NullsBool && n == 1 {
			dst = append(dst, `,"online":`...)
			dst = strconv.AppendBool(dst, e.AirQuality[i]&1 == 0)
			dst = append(dst, `,"fault":null`...)
		}
	}
	return append(dst, '}', '\n')
}

var fieldNames = [6]string{"device_id", "ts", "temperature", "humidity", "air_quality", "site"}

func hundredths(v int32) []byte { return strconv.AppendFloat(nil, float64(v)/100, 'f', 2, 64) }

// shuffle permutes the fields by the number of the event.
func shuffle(order *[6]int, event uint64) {
	hi, lo := bits.Mul64(event^0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
	r := hi ^ lo
	for i := uint64(5); i > 0; i-- {
		k := r % (i + 1)
		r /= i + 1
		order[i], order[k] = order[k], order[i]
	}
}

// Cell is what the oracle knows about one device in one window.
type Cell struct {
	Count int32 // rows
	Valid int32 // rows whose temperature is not null
	Sum   int64 // of the temperatures, in hundredths
}

// Oracle is the exact result of the job: a cell per window and device. The zero
// Oracle with Start and Devices set is ready for Add.
type Oracle struct {
	Start   int64 // first window, in milliseconds
	Devices int
	Windows [][]Cell
}

// Add counts one event, which is not before Start.
func (o *Oracle) Add(millis int64, device uint32, centi int32, null bool) {
	w := int((millis - o.Start) / WindowMillis)
	for len(o.Windows) <= w {
		o.Windows = append(o.Windows, make([]Cell, o.Devices))
	}
	c := &o.Windows[w][device]
	c.Count++
	if !null {
		c.Valid++
		c.Sum += int64(centi)
	}
}

// Cells returns the number of rows of the result.
func (o *Oracle) Cells() int {
	n := 0
	for _, cells := range o.Windows {
		for _, c := range cells {
			if c.Count > 0 {
				n++
			}
		}
	}
	return n
}

// Times returns the oracle of n copies of the events.
func (o *Oracle) Times(n int) *Oracle {
	out := &Oracle{Start: o.Start, Devices: o.Devices}
	for _, cells := range o.Windows {
		more := make([]Cell, len(cells))
		for i, c := range cells {
			more[i] = Cell{Count: c.Count * int32(n), Valid: c.Valid * int32(n), Sum: c.Sum * int64(n)}
		}
		out.Windows = append(out.Windows, more)
	}
	return out
}

func (o *Oracle) save(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	head := []int64{o.Start, int64(o.Devices), int64(len(o.Windows))}
	if err := binary.Write(w, binary.LittleEndian, head); err != nil {
		return err
	}
	for _, cells := range o.Windows {
		if err := binary.Write(w, binary.LittleEndian, cells); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// Load reads the oracle of a dataset.
func Load(name string) (*Oracle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var head [3]int64
	if err := binary.Read(r, binary.LittleEndian, &head); err != nil {
		return nil, fmt.Errorf("oracle %s: %w", name, err)
	}
	o := &Oracle{Start: head[0], Devices: int(head[1])}
	for range head[2] {
		cells := make([]Cell, o.Devices)
		if err := binary.Read(r, binary.LittleEndian, cells); err != nil {
			return nil, fmt.Errorf("oracle %s: %w", name, err)
		}
		o.Windows = append(o.Windows, cells)
	}
	return o, nil
}
