package codectest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gorge-stream/gorge/internal/codec"
)

// fragments are bytes that formats give a meaning to.
var fragments = []string{`"`, `""`, `\`, `\"`, `\n`, `\u00e9`, `\ud83d`, "é", "\x80", "\xff", "\x00", "\x1f", "\t", "\n", "\r\n", ".", "-", "0", "00", "1e3", ",", ";", "}", "{", "[", "]", "null", " ", "9999999999999999999", "日本", "\xed\xa0\x80"}

// Mutate returns a copy of b with one random change.
func Mutate(r *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return []byte(fragments[r.IntN(len(fragments))])
	}
	p := r.IntN(len(b))
	switch r.IntN(4) {
	case 0:
		b = bytes.Clone(b)
		b[p] = byte(r.IntN(256))
		return b
	case 1:
		return slices.Concat(b[:p], b[p+1:])
	case 2:
		return slices.Concat(b[:p], []byte(fragments[r.IntN(len(fragments))]), b[p:])
	}
	return slices.Concat(b[:p], []byte(fragments[r.IntN(len(fragments))]), b[min(len(b), p+1+r.IntN(8)):])
}

// mutations checks that damaged blocks neither break the decoder nor decode
// differently at another capacity, with other bytes behind, or in a decoder
// that has seen other records before.
func (c *Case) mutations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	used := c.Decoder(t, c.Schema, codec.Limits{})
	for range 300 {
		var records [][]byte
		for range 1 + r.IntN(30) {
			rec := c.Records[r.IntN(len(c.Records))]
			if r.IntN(4) == 0 {
				rec = Mutate(r, rec)
			}
			records = append(records, rec)
		}
		c.CheckAlike(t, used, c.join(records...))
	}
}

// CheckAlike decodes a block of any bytes by used and by fresh decoders and fails
// when they differ or a bad record lies outside the block. Blocks that do not
// hold whole records are cut as the runtime would cut them.
func (c *Case) CheckAlike(t testing.TB, used codec.Decoder, block []byte) {
	t.Helper()
	if f := c.frame(); !f.Whole {
		if f.Cut != nil {
			block = block[:f.Cut(block)]
		} else {
			block = block[:bytes.LastIndexByte(block, '\n')+1]
		}
	}
	rows, bad := Decode(t, used, c.Schema, block, 1, '"')
	rows2, bad2 := Decode(t, c.Decoder(t, c.Schema, codec.Limits{}), c.Schema, block, 4096, 0)
	if d := EqualRows(rows, rows2); d != "" {
		t.Fatalf("%s\nblock %q\nbad records: %s", d, block, reasons(bad))
	}
	if len(bad) != len(bad2) {
		t.Fatalf("%d bad records against %d\nblock %q", len(bad), len(bad2), block)
	}
	for i := range bad {
		a, b := bad[i], bad2[i]
		if a.Code != b.Code || a.Column != b.Column || a.Reason != b.Reason || a.Offset != b.Offset || a.Line != b.Line || !bytes.Equal(a.Bytes, b.Bytes) {
			t.Fatalf("bad record %+v against %+v\nblock %q", a, b, block)
		}
		if a.Offset < 0 || a.Offset > int64(len(block)) || a.Code == "" || a.Reason == "" {
			t.Fatalf("bad record %+v of a block of %d bytes", a, len(block))
		}
	}
}

// Fuzz is a fuzz target over blocks, seeded with the records of the case.
func Fuzz(f *testing.F, c Case) {
	f.Add(c.join(c.Records...))
	for _, b := range c.Bad {
		f.Add(c.join(c.Records[0], b.Record, c.Records[0]))
	}
	used := c.Decoder(f, c.Schema, codec.Limits{})
	f.Fuzz(func(t *testing.T, block []byte) { c.CheckAlike(t, used, block) })
}
