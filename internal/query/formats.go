package query

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/gorge-stream/gorge/internal/diag"
)

// newSink returns the writer of a format and the format to ask the engine for.
func newSink(format string, out io.Writer) (s sink, ask string) {
	switch format {
	case "table":
		return &text{out: out}, "csv"
	case "json":
		return &lines{out: bufio.NewWriter(out)}, "json"
	case "csv":
		return &table{out: bufio.NewWriter(out)}, "csv"
	case "arrow":
		return &stream{out: out}, "arrow"
	}
	return nil, ""
}

// cursorTrailer is where the engine puts the cursor of CSV and Arrow.
const cursorTrailer = "Gorge-Cursor"

// lines writes one JSON object a line.
type lines struct {
	out *bufio.Writer
	buf bytes.Buffer
}

func (l *lines) page(res *http.Response) (rows int, cursor string, err error) {
	dec := json.NewDecoder(res.Body)
	if err := open(dec, '{'); err != nil {
		return 0, "", err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return rows, "", err
		}
		switch name {
		case "rows":
			if rows, err = l.rows(dec); err != nil {
				return rows, "", err
			}
		case "cursor":
			if err := dec.Decode(&cursor); err != nil {
				return rows, "", err
			}
		case "error":
			var e struct {
				Code          diag.Code
				Message, Hint string
			}
			if err := dec.Decode(&e); err != nil {
				return rows, "", err
			}
			return rows, "", errors.Join(l.out.Flush(), diag.New(e.Code, "%s", e.Message).WithHint("%s", e.Hint))
		default:
			return rows, "", fmt.Errorf("unexpected %v in the answer", name)
		}
	}
	return rows, cursor, open(dec, '}')
}

func (l *lines) rows(dec *json.Decoder) (n int, err error) {
	if err := open(dec, '['); err != nil {
		return 0, err
	}
	for ; dec.More(); n++ {
		var row json.RawMessage
		if err := dec.Decode(&row); err != nil {
			return n, err
		}
		l.buf.Reset()
		if err := json.Compact(&l.buf, row); err != nil {
			return n, err
		}
		l.buf.WriteByte('\n')
		if _, err := l.out.Write(l.buf.Bytes()); err != nil {
			return n, err
		}
	}
	return n, open(dec, ']')
}

// open takes one delimiter.
func open(dec *json.Decoder, want json.Delim) error {
	got, err := dec.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the answer has %v where %v should be", got, want)
	}
	return nil
}

func (l *lines) end() error { return l.out.Flush() }

// table writes CSV with one header.
type table struct {
	out *bufio.Writer
	any bool
}

func (t *table) page(res *http.Response) (rows int, cursor string, err error) {
	r := csv.NewReader(res.Body)
	r.ReuseRecord = true
	w := csv.NewWriter(t.out)
	for first := true; ; first = false {
		record, err := r.Read()
		if err == io.EOF {
			w.Flush()
			t.any = true
			return rows, res.Trailer.Get(cursorTrailer), w.Error()
		}
		if err != nil {
			return rows, "", err
		}
		if first && t.any {
			continue
		}
		if err := w.Write(record); err != nil {
			return rows, "", err
		}
		if !first {
			rows++
		}
	}
}

func (t *table) end() error { return t.out.Flush() }

// stream writes one Arrow stream.
type stream struct {
	out io.Writer
	w   *ipc.Writer
}

func (s *stream) page(res *http.Response) (rows int, cursor string, err error) {
	r, err := ipc.NewReader(res.Body)
	if err != nil {
		return 0, "", err
	}
	defer r.Release()
	if s.w == nil {
		s.w = ipc.NewWriter(s.out, ipc.WithSchema(r.Schema()))
	}
	for r.Next() {
		rec := r.RecordBatch()
		if err := s.w.Write(rec); err != nil {
			return rows, "", err
		}
		rows += int(rec.NumRows())
	}
	if err := r.Err(); err != nil {
		return rows, "", err
	}
	// The trailer comes behind the end of the body.
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return rows, "", err
	}
	return rows, res.Trailer.Get(cursorTrailer), nil
}

func (s *stream) end() error {
	if s.w == nil {
		return nil
	}
	return s.w.Close()
}
