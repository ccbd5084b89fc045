package csv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/diag"
)

// target is a field that a column wants.
type target struct {
	field  int // index in the record
	column int // index in decoder.columns
}

// decoder decodes blocks of one split after the other.
type decoder struct {
	dialect
	columns []codec.Column
	ready   bool     // targets are known
	targets []target // by field
	absent  []int    // columns that the header does not have: null in every row
	fields  int      // of every record

	// of the Decode under way
	sink    codec.Sink
	block   []byte
	full    []byte // the block and the bytes behind it
	batch   *batch.Batch
	row     int   // rows of the batch
	at      int   // start of the record
	counted int   // offset up to which lines is right
	lines   int64 // number of the line there

	// scratch
	text   []byte // of a field with escaped quotes
	binary []byte // of a field in base64
	days   dayMemo
	bad    codec.BadRecord
}

var _ codec.PreambleDecoder = (*decoder)(nil)

func newDecoder(d dialect, schema, columns []codec.Column) *decoder {
	dec := &decoder{dialect: d, columns: columns}
	if !d.header {
		names := make([]string, len(schema))
		for i, c := range schema {
			names[i] = c.Name
		}
		dec.ready = dec.aim(names) == nil // columns are some of the schema
	}
	return dec
}

// aim finds the columns among the names of the fields.
func (d *decoder) aim(names []string) error {
	d.targets, d.absent, d.fields = nil, nil, len(names)
	for i := range d.columns {
		c := &d.columns[i]
		f := slices.Index(names, c.Name)
		switch {
		case f < 0 && c.Nullable:
			d.absent = append(d.absent, i)
			continue
		case f < 0:
			e := diag.New("csv/no-column", "the header has no column %q; it has %s", c.Name, list(names))
			if len(names) == 1 {
				return e.WithHint("is the delimiter right? It is %q", d.delimiter)
			}
			return e.WithHint("name the columns of the schema as the header does, or write %s: %s? in the schema if it may be missing", c.Name, c.Kind)
		case slices.Contains(names[f+1:], c.Name):
			return diag.New("csv/column-twice", "the header has the column %q twice", c.Name)
		}
		d.targets = append(d.targets, target{f, i})
	}
	slices.SortFunc(d.targets, func(a, b target) int { return a.field - b.field })
	return nil
}

// list writes names for a message.
func list(names []string) string {
	const most = 20
	more := ""
	if len(names) > most {
		names, more = names[:most], fmt.Sprintf(" and %d more", len(names)-most)
	}
	return fmt.Sprintf("%q", names) + more
}

// Begin reads the header; see codec.PreambleDecoder.
func (d *decoder) Begin(preamble []byte) error {
	if !d.header {
		return nil
	}
	d.ready = false
	b := bytes.TrimPrefix(preamble, byteOrderMark)
	for {
		e := d.extent(b, 0)
		switch {
		case e.code != "":
			return diag.New("csv/bad-header", "the header cannot be read: %s", e.reason).
				WithHint("check the delimiter, which is %q; a file without a header needs header: false", d.delimiter)
		case !utf8.Valid(b):
			return diag.New("csv/bad-header", "the header is not valid UTF-8").WithHint("convert the file: iconv -f LATIN1 -t UTF-8 FILE")
		case e.end > 0:
			names := d.split(b[:e.end])
			err := d.aim(names)
			d.ready = err == nil
			return err
		case e.next >= len(b):
			return diag.New("csv/bad-header", "there is no header").WithHint("a file without a header needs header: false")
		}
		b = b[e.next:]
	}
}

// split returns the fields of a record whose quotes are right.
func (d *decoder) split(text []byte) []string {
	var out []string
	full := append(bytes.Clone(text), make([]byte, codec.Pad)...)
	for i := 0; i <= len(text); {
		c := d.cell(full, i, len(text))
		out = append(out, strings.Clone(string(d.value(full, c))))
		i = c.next
	}
	return out
}

// Decode decodes a block; see codec.Decoder.
func (d *decoder) Decode(block []byte, sink codec.Sink) error {
	if !d.ready {
		return diag.New("csv/no-header", "the records came without their header").WithHint("a source without a header needs header: false")
	}
	d.sink, d.block, d.full = sink, block, block[:len(block)+codec.Pad]
	d.batch, d.row, d.counted, d.lines = sink.Next(), 0, 0, 1
	err := d.records()
	b := d.batch
	d.sink, d.block, d.full, d.batch = nil, nil, nil, nil
	if err != nil {
		if b != nil {
			b.Release()
		}
		return err
	}
	b.SetLen(d.row)
	return sink.Done(b)
}

func (d *decoder) records() error {
	b := d.block
	quotes := bytes.IndexByte(b, '"') >= 0
	foreign := !ascii(b)
	for i := 0; i < len(b); {
		var e extent
		if quotes {
			e = d.extent(b, i)
		} else {
			e = d.line(b, i)
		}
		d.at, i = i, e.next
		if e.end == d.at && e.code == "" {
			continue
		}
		if d.row == d.batch.Cap() {
			full := d.batch
			full.SetLen(d.row)
			d.batch = nil
			if err := d.sink.Done(full); err != nil {
				return err
			}
			d.batch, d.row = d.sink.Next(), 0
		}
		switch {
		case e.code != "":
			d.fault(e.code, -1, e.reason)
		case foreign && !utf8.Valid(b[d.at:e.end]):
			d.fault("utf8", -1, "the record is not valid UTF-8")
		case d.record(e):
			d.row++
			continue
		}
		if err := d.report(e); err != nil {
			return err
		}
	}
	return nil
}

// ascii reports whether every byte of b is below 0x80.
func ascii(b []byte) bool {
	for ; len(b) >= 32; b = b[32:] {
		x := binary.LittleEndian.Uint64(b) | binary.LittleEndian.Uint64(b[8:]) | binary.LittleEndian.Uint64(b[16:]) | binary.LittleEndian.Uint64(b[24:])
		if x&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// fault notes why the record at d.at is bad.
func (d *decoder) fault(code string, column int, reason string) {
	d.bad = codec.BadRecord{Code: code, Reason: reason}
	if column >= 0 {
		d.bad.Column = d.columns[column].Name
		d.bad.Reason = "column " + d.bad.Column + ": " + reason
	}
}

// report hands the bad record to the sink.
func (d *decoder) report(e extent) error {
	d.lines += int64(bytes.Count(d.block[d.counted:d.at], []byte{'\n'}))
	d.counted = d.at
	d.bad.Offset, d.bad.Line = int64(d.at), d.lines
	d.bad.Bytes = d.block[d.at:min(e.end, d.at+d.limit)]
	return d.sink.Bad(&d.bad)
}

// record decodes the record at d.at into row d.row and reports whether it is good.
func (d *decoder) record(e extent) bool {
	i, field := d.at, 0
	for _, t := range d.targets {
		if e.quoted {
			for ; field < t.field && i <= e.end; field++ {
				i = d.cell(d.full, i, e.end).next
			}
		} else {
			for ; field < t.field && i <= e.end; field++ {
				i = d.delimited(d.full, i, e.end) + 1
			}
		}
		if i > e.end {
			return d.miscounted(e)
		}
		var c cell
		if e.quoted {
			c = d.cell(d.full, i, e.end)
		} else {
			c.start, c.end = i, d.delimited(d.full, i, e.end)
			c.next = c.end + 1
		}
		if !d.store(t.column, c) {
			d.miscounted(e) // fields are shifted then, and that explains more
			return false
		}
		i, field = c.next, field+1
	}
	if field+d.count(i, e) != d.fields {
		return d.miscounted(e)
	}
	for _, col := range d.absent {
		d.batch.Col(col).SetNull(d.row)
	}
	return true
}

// count returns how many fields there are from i to the end of the record.
func (d *decoder) count(i int, e extent) int {
	switch {
	case i > e.end:
		return 0
	case !e.quoted:
		return bytes.Count(d.block[i:e.end], []byte{d.delimiter}) + 1
	}
	n := 0
	for ; i <= e.end; n++ {
		i = d.cell(d.full, i, e.end).next
	}
	return n
}

// miscounted notes a wrong number of fields, if it is wrong, and returns false.
func (d *decoder) miscounted(e extent) bool {
	if n := d.count(d.at, e); n != d.fields {
		what := "header"
		if !d.header {
			what = "schema"
		}
		d.fault("syntax", -1, fmt.Sprintf("the record has %s, and the %s has %d", plural(n), what, d.fields))
	}
	return false
}

func plural(n int) string {
	if n == 1 {
		return "1 field"
	}
	return fmt.Sprintf("%d fields", n)
}

// cell is one field: its text without the quotes around it, and where the next field begins.
type cell struct {
	start, end, next int
	quoted, escaped  bool // escaped: "" stands for a quote in the text
}

// cell returns the field at i of a record that ends at end and whose quotes are right.
func (d *decoder) cell(full []byte, i, end int) cell {
	if i == end || full[i] != '"' {
		j := d.delimited(full, i, end)
		return cell{start: i, end: j, next: j + 1}
	}
	j := closing(full[:end], i+1)
	return cell{start: i + 1, end: j - 1, next: j + 1, quoted: true, escaped: bytes.IndexByte(full[i+1:j-1], '"') >= 0}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// delimited returns the index of the first delimiter from i on, at most end. It
// reads up to 7 bytes behind end.
func (d *decoder) delimited(full []byte, i, end int) int {
	mask := uint64(d.delimiter) * ones
	for ; i < end; i += 8 {
		x := binary.LittleEndian.Uint64(full[i:]) ^ mask
		if x = (x - ones) &^ x & highs; x != 0 {
			return min(i+bits.TrailingZeros64(x)/8, end)
		}
	}
	return end
}

// value returns the text of a field, valid until the next call.
func (d *decoder) value(full []byte, c cell) []byte {
	s := full[c.start:c.end]
	if !c.escaped {
		return s
	}
	d.text = d.text[:0]
	for {
		q := bytes.IndexByte(s, '"')
		if q < 0 {
			d.text = append(d.text, s...)
			return d.text
		}
		d.text = append(d.text, s[:q+1]...)
		s = s[q+2:]
	}
}
