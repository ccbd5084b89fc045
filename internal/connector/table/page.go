package table

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
)

// The bounds of what an answer holds in memory.
const (
	pageRows     = 1024
	pageBytes    = 1 << 20
	answerBytes  = 64 << 10
	writeTimeout = 30 * time.Second
)

// cursorTrailer carries the cursor of formats that have no place for it.
const cursorTrailer = "Gorge-Cursor"

// answer buffers what goes to a client. Until the buffer was full once, an error
// can still become a proper refusal.
type answer struct {
	w    http.ResponseWriter
	buf  []byte
	sent bool
}

// Write makes answer an io.Writer for encoders.
func (a *answer) Write(p []byte) (int, error) {
	a.buf = append(a.buf, p...)
	return len(p), a.spill(answerBytes)
}

// spill sends the buffer when it holds at least n bytes.
func (a *answer) spill(n int) error {
	if len(a.buf) < n || len(a.buf) == 0 {
		return nil
	}
	// A client that reads slowly holds a state of the store: each piece has its time.
	err := http.NewResponseController(a.w).SetWriteDeadline(time.Now().Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	a.sent = true
	_, err = a.w.Write(a.buf)
	a.buf = a.buf[:0]
	return err
}

// page writes batches of rows in one format.
type page interface {
	rows(b *batch.Batch) error
	// end writes what follows the last row. failure is set when reading broke off.
	end(cursor string, failure *diag.Error) error
}

// newPage starts an answer in the format.
func newPage(a *answer, format string, schema *batch.Schema) page {
	h := a.w.Header()
	for _, f := range formats {
		if f.name == format {
			h.Set("Content-Type", f.media)
		}
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch format {
	case "csv":
		h.Set("Trailer", cursorTrailer)
		return newCSVPage(a, schema)
	case "arrow":
		h.Set("Trailer", cursorTrailer)
		s := batch.ArrowSchema(schema)
		mem := memory.NewGoAllocator()
		return &arrowPage{a, s, mem, ipc.NewWriter(a, ipc.WithSchema(s), ipc.WithAllocator(mem))}
	}
	a.buf = append(a.buf, `{"rows":[`...)
	return &jsonPage{answer: a}
}

type jsonPage struct {
	*answer
	some bool
}

func (p *jsonPage) rows(b *batch.Batch) error {
	for i := range b.Len() {
		if p.some {
			p.buf = append(p.buf, ',')
		}
		p.some = true
		p.buf = appendJSONRow(append(p.buf, '\n'), b, i)
		if err := p.spill(answerBytes); err != nil {
			return err
		}
	}
	return nil
}

func (p *jsonPage) end(cursor string, failure *diag.Error) error {
	p.buf = append(p.buf, "\n]"...)
	if cursor != "" {
		p.buf = append(p.buf, `,"cursor":"`...)
		p.buf = append(append(p.buf, cursor...), '"')
	}
	if failure != nil {
		p.buf = append(p.buf, `,"error":{"code":`...)
		p.buf = append(appendJSONText(p.buf, string(failure.Code)), `,"message":`...)
		p.buf = append(appendJSONText(p.buf, failure.Sentence), `,"hint":`...)
		p.buf = append(appendJSONText(p.buf, failure.Hint), '}')
	}
	p.buf = append(p.buf, "}\n"...)
	return p.spill(0)
}

type csvPage struct{ *answer }

func newCSVPage(a *answer, schema *batch.Schema) csvPage {
	for i, f := range schema.Fields {
		if i > 0 {
			a.buf = append(a.buf, ',')
		}
		a.buf = appendCSVText(a.buf, f.Name)
	}
	a.buf = append(a.buf, '\r', '\n')
	return csvPage{a}
}

func (p csvPage) rows(b *batch.Batch) error {
	for i := range b.Len() {
		p.buf = appendCSVRow(p.buf, b, i)
		if err := p.spill(answerBytes); err != nil {
			return err
		}
	}
	return nil
}

func (p csvPage) end(cursor string, failure *diag.Error) error {
	if failure != nil {
		return failure
	}
	p.w.Header().Set(cursorTrailer, cursor)
	return p.spill(0)
}

type arrowPage struct {
	*answer
	schema *arrow.Schema
	mem    memory.Allocator
	out    *ipc.Writer
}

func (p *arrowPage) rows(b *batch.Batch) error {
	rec, err := batch.ToArrow(p.mem, p.schema, b)
	if err != nil {
		return err
	}
	defer rec.Release()
	return p.out.Write(rec)
}

func (p *arrowPage) end(cursor string, failure *diag.Error) error {
	if failure != nil {
		return failure
	}
	p.w.Header().Set(cursorTrailer, cursor)
	if err := p.out.Close(); err != nil {
		return err
	}
	return p.spill(0)
}

// serve answers a request. The error says that the connection is of no use any more.
func (t *table) serve(w http.ResponseWriter, r *request) error {
	a := &answer{w: w}
	s, err := newScan(t, r.conditions, r.after)
	if err != nil {
		return a.refuse(err)
	}
	schema := t.def.schema(r.columns)
	out := newPage(a, r.format, schema)
	cursor, err := t.fill(s, r, schema, out)
	err = errors.Join(err, s.close())
	var failure *diag.Error
	switch {
	case err == nil:
	case !errors.As(err, &failure):
		return err
	case !a.sent:
		return a.refuse(err)
	}
	return out.end(cursor, failure)
}

// refuse drops what was buffered and answers with the error alone.
func (a *answer) refuse(err error) error {
	var e *diag.Error
	if !errors.As(err, &e) {
		return err
	}
	clear(a.w.Header())
	connector.Refuse(a.w, status(e), e)
	return nil
}

// fill writes the rows of one page and returns the cursor of the next, "" at the end.
func (t *table) fill(s *scan, r *request, schema *batch.Schema, out page) (string, error) {
	reader := t.reader(s, r.columns)
	pool := batch.NewPool(schema, min(r.limit, pageRows))
	var last []byte // key of the last row, once the page is full
	for done := 0; done < r.limit; {
		b := pool.Get()
		n, spent, err := reader.batch(b, min(r.limit-done, b.Cap()))
		done += n
		if done == r.limit {
			last = bytes.Clone(reader.last)
		}
		if e := out.rows(b); e != nil {
			err = errors.Join(fmt.Errorf("write rows: %w", e), err)
		}
		full := b.Len() > 0
		b.Release()
		switch {
		case err != nil:
			return "", err
		case spent:
			return t.cursorAt(r.conditions, s.it.Key()), nil
		case !full:
			return "", nil
		}
	}
	found, spent, err := s.row()
	if err != nil || !found && !spent {
		return "", err
	}
	return t.cursorAt(r.conditions, last), nil
}

// rowReader puts the rows of a scan into batches.
type rowReader struct {
	scan         *scan
	kinds        []batch.Kind // of the columns outside the key
	keyTo, valTo []int
	last         []byte // key of the last row read
}

// reader makes a reader of the columns at the given positions of the definition.
func (t *table) reader(s *scan, columns []int) *rowReader {
	to := make([]int, len(t.def.Columns))
	for i := range to {
		to[i] = -1
	}
	for at, c := range columns {
		to[c] = at
	}
	r := &rowReader{scan: s}
	for _, k := range t.def.Key {
		r.keyTo = append(r.keyTo, to[t.def.index(k)])
	}
	for _, v := range t.vals {
		r.kinds = append(r.kinds, t.def.Columns[v].kind)
		r.valTo = append(r.valTo, to[v])
	}
	return r
}

// batch reads up to most rows into b, fewer when they are long, at the end, or when the steps are spent.
func (r *rowReader) batch(b *batch.Batch, most int) (n int, spent bool, err error) {
	for size := 0; n < most && size < pageBytes; n++ {
		found, spent, err := r.scan.row()
		if err != nil || !found {
			b.SetLen(n)
			return n, spent, err
		}
		used, err := r.scan.read(b, n, r.kinds, r.keyTo, r.valTo)
		if err != nil {
			b.SetLen(n)
			return n, false, err
		}
		size += used
		r.last = append(r.last[:0], r.scan.it.Key()...)
		r.scan.next()
	}
	b.SetLen(n)
	return n, false, nil
}
