package generate

import (
	"fmt"
	"slices"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/workload"
)

// maker turns events into the content of a block.
type maker interface {
	// fill puts the events into b, which the reader got from the runtime.
	fill(b *connector.Block, e *workload.Events)
}

// newMaker chooses columns or bytes and returns how many events a block has.
func newMaker(env connector.SourceEnv, labels bool) (maker, int, error) {
	if env.Format == nil {
		m, err := newColumnMaker(env)
		return m, max(env.BatchRows, 1), err
	}
	m, err := newByteMaker(env, labels)
	return m, max(env.BlockBytes/workload.LineBytes, 1), err
}

// columnMaker fills the columns that the plan needs and no others.
type columnMaker struct {
	pool    *batch.Pool
	writers []func(c *batch.Column, e *workload.Events) // one a column
}

func newColumnMaker(env connector.SourceEnv) (*columnMaker, error) {
	if len(env.Columns) != len(env.Batch.Fields) {
		return nil, fmt.Errorf("generate: %d columns for a batch of %d", len(env.Columns), len(env.Batch.Fields))
	}
	m := &columnMaker{pool: batch.NewPool(env.Batch, max(env.BatchRows, 1))}
	for i, c := range env.Columns {
		w := writers[c.Name]
		if w == nil || c.Kind != env.Batch.Fields[i].Kind || c.Kind != kindOf(c.Name) {
			return nil, diag.New("generate/unknown-column", "the generate source makes no column %s of type %s", c.Name, c.Kind).
				WithHint("it makes device_id, ts, temperature, humidity, air_quality, site and anomaly")
		}
		m.writers = append(m.writers, w)
	}
	return m, nil
}

func kindOf(name string) batch.Kind {
	for _, c := range columns {
		if c.Name == name {
			return c.Kind
		}
	}
	return batch.Invalid
}

func (m *columnMaker) fill(b *connector.Block, e *workload.Events) {
	rows := m.pool.Get()
	for i, w := range m.writers {
		w(rows.Col(i), e)
	}
	rows.SetLen(e.N)
	b.Data, b.Rows = b.Data[:0], rows
	b.Place, b.Offset = place(e.First), -1
}

func place(first int64) string { return fmt.Sprintf("event %d", first) }

// writers fill a column of the batch, by its name.
var writers = map[string]func(c *batch.Column, e *workload.Events){
	"device_id": func(c *batch.Column, e *workload.Events) {
		v := c.Views()
		var text [16]byte
		for i, d := range e.Device[:e.N] {
			v[i] = batch.InlineView(workload.AppendDevice(text[:0], d)) // at most 12 bytes: 8 digits
		}
	},
	"ts": func(c *batch.Column, e *workload.Events) {
		v := c.Int64s()
		for i, ms := range e.Millis[:e.N] {
			v[i] = micros(ms)
		}
	},
	"temperature": func(c *batch.Column, e *workload.Events) { hundredths(c, e.Temperature[:e.N]) },
	"humidity":    func(c *batch.Column, e *workload.Events) { hundredths(c, e.Humidity[:e.N]) },
	"air_quality": func(c *batch.Column, e *workload.Events) {
		v := c.Int64s()
		for i, q := range e.AirQuality[:e.N] {
			v[i] = int64(q)
		}
	},
	"site": func(c *batch.Column, e *workload.Events) {
		v := c.Views()
		var text [8]byte
		for i, d := range e.Device[:e.N] {
			v[i] = batch.InlineView(workload.AppendSite(text[:0], d))
		}
	},
	"anomaly": func(c *batch.Column, e *workload.Events) {
		w := c.Bits()
		for i, m := range e.Marks[:e.N] {
			if i&63 == 0 {
				w[i>>6] = 0
			}
			w[i>>6] |= uint64(m&workload.Anomaly/workload.Anomaly) << (i & 63)
		}
	},
}

// hundredths writes fixed-point values as the floats that parsing them would give (W4 of package workload).
func hundredths(c *batch.Column, from []int32) {
	v := c.Float64s()
	for i, h := range from {
		v[i] = float64(h) / 100
	}
}

// byteMaker writes lines.
type byteMaker struct {
	append   func(dst []byte, e *workload.Events, labels bool) []byte
	labels   bool
	preamble []byte
}

func newByteMaker(env connector.SourceEnv, labels bool) (*byteMaker, error) {
	m := &byteMaker{labels: labels}
	switch name := env.Format.Decl.Name; name {
	case "json":
		m.append = workload.AppendJSON
	case "csv":
		m.append = workload.AppendCSV
	default:
		return nil, diag.New("generate/format", "the generate source cannot write %s", name).
			WithHint("name the format json or csv, or none")
	}
	if f := env.Format.Frame; f != nil {
		if p := f(env.FormatValues, env.Limits.WithDefaults()).Preamble; p != nil {
			header := workload.CSVHeader(labels)
			if n := p([]byte(header)); n > 0 {
				m.preamble = []byte(header[:n])
			}
		}
	}
	return m, nil
}

func (m *byteMaker) fill(b *connector.Block, e *workload.Events) {
	b.Data = slices.Grow(m.append(b.Data[:0], e, m.labels), codec.Pad)
	b.Preamble = m.preamble
	b.Rows = nil
	b.Place, b.Line = place(e.First), e.First+1
}
