package json

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
	"github.com/gorge-stream/gorge/internal/spec"
)

// oracle decodes a line by encoding/json and says what the codec must make of it.
func oracle(line []byte, columns []codec.Column) ([]any, bool) {
	if !utf8.Valid(line) || !json.Valid(line) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, false
	}
	row := make([]any, len(columns))
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, false
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, false
		}
		for i, c := range columns {
			if c.Name != name {
				continue
			}
			var ok bool
			if row[i], ok = oracleValue(v, c); !ok {
				return nil, false
			}
		}
	}
	for i, c := range columns {
		if row[i] == nil && !c.Nullable {
			return nil, false
		}
	}
	return row, true
}

func oracleValue(v any, c codec.Column) (any, bool) {
	switch v := v.(type) {
	case nil:
		return nil, c.Nullable
	case bool:
		return v, c.Kind == batch.Bool
	case string:
		switch {
		case c.Kind == batch.String:
			return v, true
		case c.Kind == batch.Binary:
			b, err := base64.StdEncoding.DecodeString(v)
			return append([]byte{}, b...), err == nil
		case c.Kind == batch.Timestamp && c.Wire == spec.WireDefault:
			return oracleTime(v)
		}
	case json.Number:
		return oracleNumber(string(v), c)
	}
	return nil, false
}

func oracleTime(s string) (any, bool) {
	if len(s) < 20 || !strings.Contains("Tt ", s[10:11]) || s[13] != ':' || s[16] != ':' || strings.Contains(s, ",") {
		return nil, false // what package time lets pass
	}
	if n := len(s); (s[n-6] == '+' || s[n-6] == '-') && (s[n-5:n-3] > "23" || s[n-2:] > "59") {
		return nil, false
	}
	t, err := time.Parse(time.RFC3339Nano, s[:10]+"T"+strings.ToUpper(s[11:]))
	if err != nil {
		return nil, false
	}
	micros := new(big.Int).Add(new(big.Int).Mul(big.NewInt(t.Unix()), big.NewInt(1e6)), big.NewInt(int64(t.Nanosecond()/1000))).Int64()
	return micros, micros >= minTime && micros <= maxTime
}

func oracleNumber(s string, c codec.Column) (any, bool) {
	switch c.Kind {
	case batch.Float64:
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	case batch.Float32:
		f, err := strconv.ParseFloat(s, 32)
		return float32(f), err == nil
	case batch.Int32, batch.Int64, batch.Timestamp:
		if _, e, ok := strings.Cut(strings.ToLower(s), "e"); ok && len(e) > 5 {
			return nil, false // the oracle cannot take it; the inputs of the tests have none such that are good
		}
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			return nil, false
		}
		if c.Kind == batch.Timestamp {
			if c.Wire == spec.WireDefault {
				return nil, false
			}
			r.Mul(r, big.NewRat(map[spec.WireKind]int64{spec.WireSeconds: 1e9, spec.WireMillis: 1e6, spec.WireMicros: 1e3, spec.WireNanos: 1}[c.Wire], 1000))
			micros := new(big.Int).Div(r.Num(), r.Denom()) // Euclidean: floor, as the denominator is positive
			return micros.Int64(), micros.IsInt64() && micros.Int64() >= minTime && micros.Int64() <= maxTime
		}
		if !r.IsInt() || !r.Num().IsInt64() {
			return nil, false
		}
		n := r.Num().Int64()
		if c.Kind == batch.Int32 {
			return int32(n), n == int64(int32(n))
		}
		return n, true
	}
	return nil, false
}

// checkAgainstOracle decodes the lines as one block and compares rows and bad records with the oracle.
func checkAgainstOracle(t *testing.T, d codec.Decoder, columns []codec.Column, block []byte) (good int) {
	t.Helper()
	rows, bad := codectest.Decode(t, d, columns, block, 100, '"')
	var want [][]any
	var offsets []int64
	offset := int64(0)
	for line := range bytes.Lines(block) {
		if row, ok := oracle(bytes.TrimSuffix(line, []byte{'\n'}), columns); ok {
			want = append(want, row)
		} else if len(bytes.Trim(line, " \t\r\n")) > 0 {
			offsets = append(offsets, offset)
		}
		offset += int64(len(line))
	}
	for i := range min(len(bad), len(offsets)) {
		if bad[i].Offset != offsets[i] {
			t.Fatalf("bad record at %d (%v), encoding/json refuses the one at %d: %.200q", bad[i].Offset, &bad[i], offsets[i], block[offsets[i]:])
		}
	}
	if len(bad) != len(offsets) {
		t.Fatalf("%d bad records, encoding/json refuses %d", len(bad), len(offsets))
	}
	if diff := codectest.EqualRows(rows, want); diff != "" {
		t.Fatalf("%s\nblock %.2000q", diff, block)
	}
	return len(rows)
}

func TestDecoderEqualsEncodingJSON(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	r := rand.New(rand.NewPCG(7, 8))
	good, all := 0, 0
	for round := range rounds {
		columns := equivalenceColumns
		block := randomBlock(r, 500, round%2 == 1)
		if round%4 > 1 {
			columns = everyKind
			block = nil
			for range 300 {
				line := []byte(everyRecord[r.IntN(len(everyRecord))])
				if r.IntN(2) == 0 {
					line = damage(r, line, true)
				}
				block = append(append(block, line...), '\n')
			}
		}
		all += bytes.Count(block, []byte{'\n'})
		good += checkAgainstOracle(t, newDecoder("lines", columns, codec.Limits{}), columns, block)
	}
	if good < all/3 {
		t.Errorf("only %d of %d lines were good", good, all)
	}
}

var oracleColumns = []codec.Column{
	{Name: "s", Kind: batch.String},
	{Name: "f", Kind: batch.Float64, Nullable: true},
	{Name: "e", Kind: batch.Float32, Nullable: true},
	{Name: "i", Kind: batch.Int64, Nullable: true},
	{Name: "j", Kind: batch.Int32, Nullable: true},
	{Name: "b", Kind: batch.Bool, Nullable: true},
	{Name: "x", Kind: batch.Binary, Nullable: true},
	{Name: "ts", Kind: batch.Timestamp, Wire: spec.WireSeconds, Nullable: true},
	{Name: "tm", Kind: batch.Timestamp, Wire: spec.WireMillis, Nullable: true},
	{Name: "tu", Kind: batch.Timestamp, Wire: spec.WireMicros, Nullable: true},
	{Name: "tn", Kind: batch.Timestamp, Wire: spec.WireNanos, Nullable: true},
	{Name: "t", Kind: batch.Timestamp, Nullable: true},
}

const oracleLine = `{"s":"a","f":1.5,"e":2.25,"i":7,"j":8,"b":true,"x":"AAEC","ts":1760000000.5,"tm":1760000000000,"tu":1760000000000000,"tn":1760000000000000000,"t":"2026-01-31T09:30:00.5Z"}`

// Each value of a kind, in a line of its own and often enough to be predicted.
func TestValuesEqualEncodingJSON(t *testing.T) {
	values := []string{`null`, `true`, `false`, `"x"`, `""`, `"A"`, `"AA=="`, `"AA"`, `"AB=="`, `{}`, `[]`, `[1,[2,{"a":null}]]`,
		`0`, `-0`, `1`, `-1`, `7.0`, `-7.00`, `7.5`, `0.5`, `-0.5`, `1e2`, `1E+2`, `100e-2`, `15e-1`, `1e-400`, `1e308`, `1e309`, `3.4e38`, `3.5e38`, `-3.5e38`,
		`2147483647`, `2147483648`, `-2147483648`, `-2147483649`, `999999999999999`, `9007199254740993`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `-9223372036854775809`,
		`12345678901234567890`, `0.1`, `0.12345678`, `1234567.5`, `123456789.125`, `17.000000000000004`, `0.1000000000000000055511151231257827`, `16777217`, `16777216.999999999999`, `1.00000006`,
		`253402300799`, `253402300800`, `253402300799999`, `253402300800000`, `253402300799999999`, `253402300800000000`, `-62167219200`, `-62167219201`, `-62167219200000`, `-62167219200001`,
		`1760000000123456789`, `-1`, `-999`, `-1000`, `-1001`, `1760000000.1234567`, `01`, `1.`, `.5`, `-`, `+1`, `1e`, `0x1`, `NaN`, `1_0`, `--1`, `1.5.5`, `1-`, `12345678.`, `123456789012345678901`,
		`"2026-01-31T09:30:00Z"`, `"2026-01-31t09:30:00z"`, `"2026-01-31 09:30:00Z"`, `"2026-01-31T09:30:00.1Z"`, `"2026-01-31T09:30:00.123456Z"`, `"2026-01-31T09:30:00.1234567Z"`, `"2026-01-31T09:30:00.999999999Z"`,
		`"2026-01-31T09:30:00+05:30"`, `"2026-01-31T09:30:00-23:59"`, `"2026-01-31T09:30:00"`, `"2026-01-31"`, `"2026-01-31T24:00:00Z"`, `"2026-01-31T09:60:00Z"`, `"2026-01-31T09:30:60Z"`, `"2026-13-01T00:00:00Z"`,
		`"2026-00-01T00:00:00Z"`, `"2026-02-29T00:00:00Z"`, `"2024-02-29T00:00:00Z"`, `"2026-01-31T09:30:00.Z"`, `"2026-01-31T09:30:00.5"`, `"2026-01-31T09-30-00Z"`, `"2026-01-31T09:3:000Z"`, `"0000-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.999999Z"`,
		`"9999-12-31T23:59:59-00:01"`, `"1969-12-31T23:59:59.5Z"`, `"\u0032026-01-31T09:30:00Z"`, `"2026-01-31T09:30:00ZZ"`, `"2026-01-31T09:30:00é"`,
		`"twelve bytes"`, `"thirteen byte"`, `"exactly 8"`, `"a text of more than sixteen bytes"`, `"é"`, `"日本語のテキスト"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`, `"\"\\\/\b\f\n\r\t"`, `"\u0000"`,
		"\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\x1f\"", "\"\x7f\"", `"\x"`, `"\u00g0"`, `"\u00"`, `"unclosed`, `tru`, `nulll`, `True`}
	for _, c := range oracleColumns {
		t.Run(c.Name, func(t *testing.T) {
			columns := []codec.Column{c}
			d := newDecoder("lines", columns, codec.Limits{})
			for _, v := range values {
				i := strings.Index(oracleLine, `"`+c.Name+`":`) + len(c.Name) + 3
				rest := oracleLine[i:]
				if rest[0] == '"' {
					rest = rest[2+strings.IndexByte(rest[1:], '"'):]
				} else {
					rest = rest[strings.IndexAny(rest, ",}"):]
				}
				changed := oracleLine[:i] + v + rest + "\n"
				checkAgainstOracle(t, d, columns, []byte(strings.Repeat(oracleLine+"\n", 3)+changed+oracleLine+"\n"+strings.Repeat(changed, 5)))
			}
		})
	}
}

func FuzzDecodeAgainstEncodingJSON(f *testing.F) {
	f.Add([]byte(oracleLine))
	for _, r := range everyRecord {
		f.Add([]byte(r))
	}
	for _, b := range badLines {
		f.Add(bytes.TrimSuffix(b.Record, []byte{'\n'}))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		// limits are no matter of encoding/json, and the oracle cannot take huge exponents
		if len(line) > 10_000 || bytes.Count(line, []byte{'['})+bytes.Count(line, []byte{'{'}) > 60 || hugeExponent(line) {
			return
		}
		d := newDecoder("lines", oracleColumns, codec.Limits{})
		block := bytes.Join([][]byte{[]byte(oracleLine), line, []byte(oracleLine), line, nil}, []byte{'\n'})
		checkAgainstOracle(t, d, oracleColumns, block)
	})
}

func hugeExponent(line []byte) bool {
	for i, c := range line {
		if c|0x20 == 'e' && i+4 < len(line) && bytes.ContainsAny(line[i+1:min(len(line), i+3)], "+-0123456789") {
			n := 0
			for _, c := range line[i+1:] {
				if c-'0' > 9 && c != '-' && c != '+' {
					break
				}
				n++
			}
			if n > 4 {
				return true
			}
		}
	}
	return false
}
