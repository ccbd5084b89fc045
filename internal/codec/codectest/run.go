package codectest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// Case is one format with settings, a schema and records.
type Case struct {
	Format codec.Format
	// Set are the settings; nil means the defaults of the declaration.
	Set *spec.Values
	// Preamble is what stands before the records of a split, for formats with one.
	Preamble []byte
	// Schema are the columns of the source.
	Schema []codec.Column
	// Records are good records as they stand in a block, terminators included.
	Records [][]byte
	// Rows are what the records mean, column by column of Schema; see Rows for the Go types.
	Rows [][]any
	// Bad are records that must be refused.
	Bad []BadCase
	// Join makes a block of records; nil puts them one behind the other.
	Join func(records [][]byte) []byte
	// NoRoundTrip leaves out the test that the encoder's output decodes to the same rows.
	NoRoundTrip bool
}

// BadCase is a record that must be refused.
type BadCase struct {
	Name   string
	Record []byte // terminator included
	Code   string // of the BadRecord
	Column string // of the BadRecord; "" means none
	Reason string // must be contained in the reason
	// Limits are the limits to decode with; zero fields take the defaults.
	Limits codec.Limits
	// Ends says that the format cannot find the next record behind this one, so
	// that the rest of the block is lost with it.
	Ends bool
}

func (c *Case) set() *spec.Values {
	if c.Set != nil {
		return c.Set
	}
	return spec.NewValues(c.Format.Decl, diag.Place{}, nil)
}

func (c *Case) join(records ...[]byte) []byte {
	if c.Join != nil {
		return c.Join(records)
	}
	return bytes.Join(records, nil)
}

// Decoder makes a decoder of the columns with default limits.
func (c *Case) Decoder(t testing.TB, columns []codec.Column, limits codec.Limits) codec.Decoder {
	t.Helper()
	d, err := c.Format.NewDecoder(c.set(), c.Schema, columns, limits.WithDefaults())
	if err != nil {
		t.Fatalf("NewDecoder: %v", err)
	}
	c.begin(t, d, c.Preamble)
	return d
}

// begin hands a preamble to decoders that take one.
func (c *Case) begin(t testing.TB, d codec.Decoder, preamble []byte) {
	t.Helper()
	if p, ok := d.(codec.PreambleDecoder); ok {
		if err := p.Begin(preamble); err != nil {
			t.Fatalf("Begin(%q): %v", preamble, err)
		}
	} else if c.frame().Preamble != nil {
		t.Fatal("the format has a preamble and its decoder is no codec.PreambleDecoder")
	}
}

func (c *Case) frame() codec.Frame {
	if c.Format.Frame == nil {
		return codec.Frame{}
	}
	return c.Format.Frame(c.set(), codec.Limits{}.WithDefaults())
}

// Decode decodes a block into batches of the capacity and returns rows and bad
// records. The block is scribbled over before the rows are read.
func Decode(t testing.TB, d codec.Decoder, columns []codec.Column, block []byte, capacity int, pad byte) ([][]any, []codec.BadRecord) {
	t.Helper()
	b := Block(block, pad)
	s := NewCollect(Schema(columns), capacity)
	if err := d.Decode(b, s); err != nil {
		t.Fatalf("Decode: %v", err)
	}
	if s.held != nil {
		t.Fatal("Decode returned without handing over its batch")
	}
	if !bytes.Equal(b, block) {
		t.Fatal("Decode wrote into the block")
	}
	for i := range b {
		b[i] = 0xA5
	}
	return s.Rows(), s.BadRecords
}

// Run runs the suite.
func Run(t *testing.T, c Case) {
	t.Helper()
	if len(c.Records) != len(c.Rows) {
		t.Fatalf("case has %d records and %d rows", len(c.Records), len(c.Rows))
	}
	before := batch.Live()
	if c.Format.NewDecoder != nil {
		t.Run("good records come back as rows", c.good)
		t.Run("capacity and repetition change nothing", c.capacities)
		t.Run("cutting between records changes nothing", c.halves)
		t.Run("projections return the same values", c.projections)
		t.Run("null where none may be is bad", c.nulls)
		for _, b := range c.Bad {
			t.Run("bad record/"+b.Name, func(t *testing.T) { c.bad(t, b) })
		}
		t.Run("errors of the sink end the decoding", c.sinkErrors)
		t.Run("mutated blocks decode alike", c.mutations)
	}
	if c.Format.NewEncoder != nil {
		t.Run("encoded rows are appended", c.encoder)
	}
	if c.Format.NewDecoder != nil && c.Format.NewEncoder != nil && !c.NoRoundTrip {
		t.Run("encoded rows decode to themselves", c.roundTrip)
	}
	if after := batch.Live(); after != before {
		t.Errorf("%d batches leaked", after-before)
	}
}

func mustEqual(t testing.TB, what string, got, want [][]any, bad []codec.BadRecord) {
	t.Helper()
	if len(bad) > 0 {
		t.Errorf("%s: bad records: %s", what, reasons(bad))
	}
	if d := EqualRows(got, want); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}

// reasons tells of the first few bad records.
func reasons(bad []codec.BadRecord) string {
	var b strings.Builder
	for i := range bad[:min(len(bad), 5)] {
		fmt.Fprintf(&b, "\n  %v (%s) %.200q", &bad[i], bad[i].Code, bad[i].Bytes)
	}
	if len(bad) > 5 {
		fmt.Fprintf(&b, "\n  and %d more", len(bad)-5)
	}
	return b.String()
}

func (c *Case) good(t *testing.T) {
	d := c.Decoder(t, c.Schema, codec.Limits{})
	for i, r := range c.Records {
		rows, bad := Decode(t, d, c.Schema, c.join(r), 16, 0)
		mustEqual(t, fmt.Sprintf("record %d alone", i), rows, c.Rows[i:i+1], bad)
	}
	rows, bad := Decode(t, d, c.Schema, c.join(c.Records...), 4096, 0)
	mustEqual(t, "all records", rows, c.Rows, bad)
	rows, bad = Decode(t, d, c.Schema, c.join(), 4096, 0)
	mustEqual(t, "no record", rows, nil, bad)
}

// repeat returns the records and rows in n orders, one behind the other.
func (c *Case) repeat(n int) ([][]byte, [][]any) {
	var records [][]byte
	var rows [][]any
	for k := range n {
		for i := range c.Records {
			// runs of one record, then changing ones: both what a decoder expects and what it does not
			j := i
			if k%2 == 1 {
				j = (i*7 + k) % len(c.Records)
			}
			records, rows = append(records, c.Records[j]), append(rows, c.Rows[j])
		}
	}
	for i, r := range c.Records {
		for range n {
			records, rows = append(records, r), append(rows, c.Rows[i])
		}
	}
	return records, rows
}

func (c *Case) capacities(t *testing.T) {
	records, want := c.repeat(40)
	block := c.join(records...)
	for _, capacity := range []int{1, 7, 4096} {
		d := c.Decoder(t, c.Schema, codec.Limits{})
		for _, pad := range []byte{0, '\n', '"', 0xFF} {
			rows, bad := Decode(t, d, c.Schema, block, capacity, pad)
			mustEqual(t, fmt.Sprintf("capacity %d, pad %#x", capacity, pad), rows, want, bad)
		}
	}
}

func (c *Case) halves(t *testing.T) {
	d := c.Decoder(t, c.Schema, codec.Limits{})
	for i := range len(c.Records) + 1 {
		a, bad1 := Decode(t, d, c.Schema, c.join(c.Records[:i]...), 7, 0)
		b, bad2 := Decode(t, d, c.Schema, c.join(c.Records[i:]...), 7, 0)
		mustEqual(t, fmt.Sprintf("cut at %d", i), append(a, b...), c.Rows, append(bad1, bad2...))
	}
}

func project(rows [][]any, columns []int) [][]any {
	out := make([][]any, len(rows))
	for i := range rows {
		out[i] = make([]any, len(columns))
		for j, k := range columns {
			out[i][j] = rows[i][k]
		}
	}
	return out
}

func (c *Case) projections(t *testing.T) {
	lists := [][]int{{}}
	var back []int
	for i := range c.Schema {
		lists = append(lists, []int{i})
		back = append([]int{i}, back...)
	}
	for _, list := range append(lists, back) {
		columns := make([]codec.Column, len(list))
		for j, k := range list {
			columns[j] = c.Schema[k]
		}
		d := c.Decoder(t, columns, codec.Limits{})
		records, want := c.repeat(2)
		rows, bad := Decode(t, d, columns, c.join(records...), 64, 0)
		mustEqual(t, fmt.Sprintf("columns %v", list), rows, project(want, list), bad)
	}
}

// nulls decodes with no column nullable: rows with a null must be bad, or hold
// an empty string where the format cannot tell the two apart.
func (c *Case) nulls(t *testing.T) {
	strict := *c
	strict.Schema = slices.Clone(c.Schema)
	for i := range strict.Schema {
		strict.Schema[i].Nullable = false
	}
	d := strict.Decoder(t, strict.Schema, codec.Limits{})
	for i, r := range c.Records {
		rows, bad := Decode(t, d, strict.Schema, c.join(r), 4, 0)
		want := slices.Clone(c.Rows[i])
		null := slices.Contains(want, nil)
		switch {
		case !null:
			mustEqual(t, fmt.Sprintf("record %d", i), rows, [][]any{want}, bad)
		case len(rows) == 1:
			for j := range want {
				if want[j] == nil && c.Schema[j].Kind == batch.String {
					want[j] = ""
				}
			}
			mustEqual(t, fmt.Sprintf("record %d", i), rows, [][]any{want}, bad)
		case len(bad) != 1 || bad[0].Column == "" || bad[0].Code != "missing":
			t.Errorf("record %d: want one bad record with code missing and a column, got: %s", i, reasons(bad))
		}
	}
}

func (c *Case) bad(t *testing.T, b BadCase) {
	// alone, between two records, and within many
	for _, n := range []int{0, 1, 600} {
		var before, after [][]byte
		var want [][]any
		for k := range n {
			before = append(before, c.Records[k%len(c.Records)])
			want = append(want, c.Rows[k%len(c.Rows)])
		}
		if len(before) > 0 && !b.Ends {
			after = before
			want = append(want, want...)
		}
		d := c.Decoder(t, c.Schema, b.Limits)
		block := c.join(slices.Concat(before, [][]byte{b.Record}, after)...)
		rows, bad := Decode(t, d, c.Schema, block, 100, 0)
		if diff := EqualRows(rows, want); diff != "" {
			t.Fatalf("with %d good records on each side: %s%s", n, diff, reasons(bad))
		}
		if len(bad) != 1 {
			t.Fatalf("with %d good records on each side: got %d bad records, want 1: %s", n, len(bad), reasons(bad))
		}
		offset := len(c.join(before...))
		if c.Join == nil {
			c.checkPlace(t, b, &bad[0], offset, n)
		}
		if g := bad[0]; g.Code != b.Code || g.Column != b.Column || !strings.Contains(g.Reason, b.Reason) || g.Reason == "" {
			t.Errorf("got code %q column %q reason %q, want %q %q %q", g.Code, g.Column, g.Reason, b.Code, b.Column, b.Reason)
		}
	}
}

func (c *Case) checkPlace(t *testing.T, b BadCase, got *codec.BadRecord, offset, n int) {
	t.Helper()
	if got.Offset != int64(offset) {
		t.Errorf("offset %d, want %d", got.Offset, offset)
	}
	line := int64(1)
	for k := range n {
		line += int64(bytes.Count(c.Records[k%len(c.Records)], []byte{'\n'}))
	}
	if got.Line != 0 && got.Line != line {
		t.Errorf("line %d, want %d", got.Line, line)
	}
	limit := b.Limits.WithDefaults().RecordBytes
	if len(got.Bytes) > limit {
		t.Errorf("%d bytes of the record, limit %d", len(got.Bytes), limit)
	}
	if !bytes.HasPrefix(b.Record, got.Bytes) || len(got.Bytes) < min(limit, len(bytes.TrimRight(b.Record, "\r\n"))) {
		t.Errorf("bytes %.60q, want %.60q", got.Bytes, b.Record)
	}
}

func (c *Case) sinkErrors(t *testing.T) {
	stop := errors.New("stop")
	d := c.Decoder(t, c.Schema, codec.Limits{})
	records, want := c.repeat(2)
	s := NewCollect(Schema(c.Schema), 1)
	s.FailDone = stop
	if err := d.Decode(Block(c.join(records...), 0), s); !errors.Is(err, stop) {
		t.Errorf("Done failed, Decode returned %v", err)
	}
	s.Rows()
	for _, b := range c.Bad {
		d := c.Decoder(t, c.Schema, b.Limits)
		s := NewCollect(Schema(c.Schema), 100)
		s.FailBad = stop
		if err := d.Decode(Block(c.join(c.Records[0], b.Record, c.Records[0]), 0), s); !errors.Is(err, stop) {
			t.Errorf("Bad failed, Decode returned %v", err)
		}
		s.Rows()
	}
	rows, bad := Decode(t, d, c.Schema, c.join(records...), 16, 0)
	mustEqual(t, "after an error", rows, want, bad)
}

func (c *Case) encode(t *testing.T, capacity, step int) []byte {
	t.Helper()
	schema := Schema(c.Schema)
	e, err := c.Format.NewEncoder(c.set(), schema)
	if err != nil {
		t.Fatalf("NewEncoder: %v", err)
	}
	pool := batch.NewPool(schema, capacity)
	out := slices.Clone(e.Header())
	for rows := c.Rows; len(rows) > 0; {
		b := pool.Get()
		n := min(len(rows), capacity)
		for i, r := range rows[:n] {
			SetRow(b, i, r)
		}
		b.SetLen(n)
		rows = rows[n:]
		for i := 0; i < n; i += step {
			if out, err = e.Encode(out, b, i, min(i+step, n)); err != nil {
				t.Fatalf("Encode: %v", err)
			}
		}
		b.Release()
	}
	return append(out, e.Footer()...)
}

func (c *Case) encoder(t *testing.T) {
	want := c.encode(t, max(len(c.Rows), 1), max(len(c.Rows), 1))
	for _, n := range []int{1, 3} {
		if got := c.encode(t, n+1, n); !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d rows:\n%q\nat once:\n%q", n, got, want)
		}
	}
}

func (c *Case) roundTrip(t *testing.T) {
	block := c.encode(t, 5, 2)
	d := c.Decoder(t, c.Schema, codec.Limits{})
	if f := c.frame(); f.Preamble != nil {
		n := f.Preamble(block)
		if n < 0 {
			n = len(block)
		}
		c.begin(t, d, block[:n])
		block = block[n:]
	}
	rows, bad := Decode(t, d, c.Schema, block, 16, 0)
	mustEqual(t, "round trip", rows, c.Rows, bad)
}
