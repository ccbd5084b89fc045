package json

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/spec"
)

// keep is a sink that holds its batches for comparison.
type keep struct {
	pool    *batch.Pool
	batches []*batch.Batch
	bad     []codec.BadRecord
}

func (k *keep) Next() *batch.Batch { return k.pool.Get() }
func (k *keep) Done(b *batch.Batch) error {
	k.batches = append(k.batches, b)
	return nil
}

func (k *keep) Bad(r *codec.BadRecord) error {
	k.bad = append(k.bad, *r)
	return nil
}

func (k *keep) reset() {
	for _, b := range k.batches {
		b.Release()
	}
	k.batches, k.bad = k.batches[:0], k.bad[:0]
}

// sameColumns compares the rows of two batches bit by bit and returns the first that differs, or -1.
func sameColumns(a, b *batch.Batch) int {
	for j := range a.Schema().Fields {
		x, y := a.Col(j), b.Col(j)
		w := x.Kind().Width()
		for i := range min(a.Len(), b.Len()) {
			same := x.IsNull(i) == y.IsNull(i)
			switch {
			case !same || x.IsNull(i):
			case x.Kind() == batch.Bool:
				same = x.Bool(i) == y.Bool(i)
			case x.Kind().Views():
				same = bytes.Equal(x.Bytes(i), y.Bytes(i))
			default:
				same = bytes.Equal(x.Data()[i*w:i*w+w], y.Data()[i*w:i*w+w])
			}
			if !same {
				return i
			}
		}
	}
	if a.Len() != b.Len() {
		return min(a.Len(), b.Len())
	}
	return -1
}

// templates are lines of which the marks in braces are replaced by values.
var templates = []string{
	`{"s":"<s>","t":<t>,"f":<f>,"x":<f>,"i":<i>,"y":"<s>"}`,
	`{"s":"<s>","t":<t>,"f":<f>,"x":<f>,"i":<i>,"y":"<s>"}`,
	`{"t":<t>,"f":<f>,"s":"<s>","i":<i>,"y":"<s>","x":<f>}`,
	`{"s": "<s>", "t": <t>, "n": <n>, "b": <b>, "j": <j>, "e": <e>}`,
	`{"s":"<s>","t":<t>,"f":<n>,"b":<b>,"q":{"a":[<n>,<b>],"b":"<s>"},"z":<b>}`,
	`{"s":"<s>","t":<t>,"a_name_of_more_than_sixteen_bytes":<f>,"another_name_of_more_than_sixteen_bytes":"<s>","g":<e>}`,
	`{"w":"2026-<m>-<m>T1<m>:00Z","s":"<s>","t":<t>,"s":"<s>"}`,
	`{"t":<t>,"s":"<s>"}`,
}

var equivalenceColumns = []codec.Column{
	{Name: "s", Kind: batch.String},
	{Name: "t", Kind: batch.Timestamp, Wire: spec.WireMillis},
	{Name: "f", Kind: batch.Float64, Nullable: true},
	{Name: "i", Kind: batch.Int64, Nullable: true},
	{Name: "j", Kind: batch.Int32, Nullable: true},
	{Name: "b", Kind: batch.Bool, Nullable: true},
	{Name: "e", Kind: batch.Float32, Nullable: true},
	{Name: "g", Kind: batch.Float64, Nullable: true},
	{Name: "w", Kind: batch.Timestamp, Nullable: true},
	{Name: "a_name_of_more_than_sixteen_bytes", Kind: batch.Float64, Nullable: true},
	{Name: "another_name_of_more_than_sixteen_bytes", Kind: batch.String, Nullable: true},
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// digits writes up to n random digits, at least one.
func randomDigits(r *rand.Rand, n int) string {
	b := make([]byte, 1+r.IntN(n))
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	return string(b)
}

// fill replaces the marks of a template. dirty allows bytes that make a segment unclean.
func fill(r *rand.Rand, template string, dirty bool) []byte {
	var out []byte
	for len(template) > 0 {
		if template[0] != '<' {
			out = append(out, template[0])
			template = template[1:]
			continue
		}
		v := ""
		switch template[1] {
		case 's':
			v = strings.Repeat(pick(r, "a", "dev-", "}", " ,:"), r.IntN(9)) + randomDigits(r, 7)
			if dirty && r.IntN(4) == 0 {
				v += pick(r, "é", "日本", `\n`, `\"`, `\\`, `\u0041`, `\ud83d\ude00`, `\ud83d`, "\u007f")
			}
		case 't':
			v = pick(r, "17", "-", "", "1", "9") + randomDigits(r, 13)
		case 'i', 'j':
			v = pick(r, "", "-", "1", "21474836", "92233720368547") + randomDigits(r, 1+r.IntN(6))
		case 'f', 'e':
			v = pick(r, "", "-", "1", "2") + randomDigits(r, 1+r.IntN(3))
			if r.IntN(4) > 0 {
				v += "." + randomDigits(r, pickInt(r, 2, 2, 2, 5, 8, 17))
			}
			if r.IntN(20) == 0 {
				v += pick(r, "e3", "E-7", "e+38", "e400", "e")
			}
		case 'b':
			v = pick(r, "true", "false", "true", "false", "null", "tru", "falsey")
		case 'n':
			v = pick(r, "null", "1", "1.5", "-0", "0", `"x"`, "[]", "{}", "nul")
		case 'm':
			v = pick(r, "01", "02", "11", "12", "13", "29", "31", "0")
		}
		out = append(out, v...)
		template = template[3:]
	}
	return out
}

func pickInt(r *rand.Rand, from ...int) int { return from[r.IntN(len(from))] }

// damage changes a line, without making it unclean unless dirty allows that.
func damage(r *rand.Rand, line []byte, dirty bool) []byte {
	for range 1 + r.IntN(2) {
		line = codectest.Mutate(r, line)
	}
	for i, c := range line {
		if c == '\n' {
			line[i] = ' '
		} else if !dirty && (c < ' ' || c >= 0x80 || c == '\\') {
			line[i] = '"'
		}
	}
	return line
}

func randomBlock(r *rand.Rand, lines int, dirty bool) []byte {
	var b []byte
	few := 1 + r.IntN(len(templates)) // streams of few shapes and of many
	for range lines {
		line := fill(r, templates[r.IntN(few)], dirty)
		switch r.IntN(30) {
		case 0, 1, 2, 3, 4, 5:
			line = damage(r, line, dirty)
		case 6:
			line = line[:r.IntN(len(line)+1)] // torn: must not be glued to the next
		case 7:
			line = append(line, pick(r, " ", "}", "\r", "{}", "x")...)
			if !dirty {
				line = bytes.ReplaceAll(line, []byte{'\r'}, []byte{' '})
			}
		}
		b = append(append(b, line...), '\n')
	}
	return b
}

// The prediction must accept the same lines with the same values as the general
// parser, on clean segments as well as on others. Random damage makes nearly
// every segment unclean, so half of the blocks are kept clean on purpose.
func TestPredictionEqualsTheGeneralParser(t *testing.T) {
	before := batch.Live()
	rounds := 1000
	if testing.Short() {
		rounds = 150
	}
	const perBlock = 1000
	pool := batch.NewPool(codectest.Schema(equivalenceColumns), 700)
	fast, slow := &keep{pool: pool}, &keep{pool: pool}
	r := rand.New(rand.NewPCG(5, 6))
	clean, total, predicted := 0, 0, uint64(0)
	for round := range rounds {
		dirty := round%2 == 1
		block := codectest.Block(randomBlock(r, perBlock, dirty), '"')
		limits := codec.Limits{}
		if round%10 > 7 {
			limits = codec.Limits{RecordBytes: 110, Elements: 9, Depth: 2}
		}
		d := newDecoder("lines", equivalenceColumns, limits)
		if round%8 == 7 {
			d.padded = nil
			block = bytes.Clone(block)[:len(block):len(block)] // no room behind
		}
		g := newDecoder("lines", equivalenceColumns, limits)
		g.pause = 1 << 40
		if err := d.Decode(block, fast); err != nil {
			t.Fatal(err)
		}
		if err := g.Decode(block, slow); err != nil {
			t.Fatal(err)
		}
		compare(t, fast, slow, block)
		for _, s := range d.shapes {
			predicted += s.weight
		}
		total += perBlock
		if !dirty && stage1Clean(block) {
			clean++
		}
		fast.reset()
		slow.reset()
	}
	t.Logf("%d lines, %d predicted, %d of %d blocks clean", total, predicted, clean, rounds)
	if clean < rounds/3 || predicted < uint64(total/3) {
		t.Errorf("the fast path was hardly tested: %d of %d lines predicted, %d of %d blocks clean", predicted, total, clean, rounds)
	}
	if batch.Live() != before {
		t.Errorf("%d batches leaked", batch.Live()-before)
	}
}

func stage1Clean(block []byte) bool {
	var s scanner
	s.start(codectest.Block(block, ' '))
	for s.segment() {
		if s.unclean {
			return false
		}
	}
	return true
}

func compare(t *testing.T, fast, slow *keep, block []byte) {
	t.Helper()
	for i := range min(len(fast.batches), len(slow.batches)) {
		if row := sameColumns(fast.batches[i], slow.batches[i]); row >= 0 {
			a, b := codectest.Rows(fast.batches[i]), codectest.Rows(slow.batches[i])
			t.Fatalf("batch %d row %d of %d and %d:\npredicted %v\ngeneral   %v\nin %s", i, row, len(a), len(b), a[min(row, len(a)-1)], b[min(row, len(b)-1)], block[:min(len(block), 3000)])
		}
	}
	if len(fast.batches) != len(slow.batches) || len(fast.bad) != len(slow.bad) {
		t.Fatalf("%d batches and %d bad records, want %d and %d", len(fast.batches), len(fast.bad), len(slow.batches), len(slow.bad))
	}
	for i, a := range fast.bad {
		b := slow.bad[i]
		if a.Offset != b.Offset || a.Line != b.Line || a.Code != b.Code || a.Column != b.Column || a.Reason != b.Reason || !bytes.Equal(a.Bytes, b.Bytes) {
			t.Fatalf("bad record %+v, want %+v", a, b)
		}
	}
}

func TestStage1OfEveryProcessorIsTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		n := 1 + r.IntN(5)
		text := make([]byte, n*64)
		for i := range text {
			text[i] = byte(' ' + r.IntN(0x5F))
			if text[i] == '\\' || r.IntN(100) == 0 {
				text[i] = '\n'
			}
		}
		if r.IntN(2) == 0 {
			text[r.IntN(len(text))] = byte(r.IntN(256))
		}
		want, dirty := make([]uint64, n), false
		for i, c := range text {
			if c == '\n' {
				want[i/64] |= 1 << (i % 64)
			}
			dirty = dirty || c != '\n' && (c < ' ' || c >= 0x80 || c == '\\')
		}
		for name, f := range stage1Variants() {
			got := make([]uint64, n)
			if unclean := f(&text[0], n, &got[0]); unclean != dirty {
				t.Fatalf("%s: unclean %v, want %v of %q", name, unclean, dirty, text)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%s: word %d is %064b, want %064b", name, i, got[i], want[i])
				}
			}
		}
	}
}
