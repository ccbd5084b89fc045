package table

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/diag"
)

// conditions are what a read asks of the key.
type conditions struct {
	spans                   []span // by key column
	firstBucket, lastBucket uint64 // both included
	desc                    bool
}

// limits collects what parameters say of one key column.
type limits struct {
	eq, prefix, from, to *string
	null                 bool
}

// operators are what may stand behind "COLUMN." in a parameter.
var operators = []string{"eq", "prefix", "from", "to", "null"}

// set notes one parameter; op is one of operators.
func (l *limits) set(param, op, value string) *diag.Error {
	once := func(p **string) *diag.Error {
		if *p != nil {
			return diag.New("table/repeated-parameter", "the parameter %q is given twice", param)
		}
		*p = &value
		return nil
	}
	switch op {
	case "eq":
		return once(&l.eq)
	case "prefix":
		return once(&l.prefix)
	case "from":
		return once(&l.from)
	case "to":
		return once(&l.to)
	}
	switch value {
	case "true":
		l.null = true
		return nil
	}
	return diag.New("table/bad-value", "%s takes true only", param)
}

// bind turns the limits of all key columns into conditions.
func (t *table) bind(limits []limits, desc bool) (*conditions, *diag.Error) {
	c := &conditions{spans: make([]span, len(t.keys)), lastBucket: math.MaxUint64, desc: desc}
	clock := t.def.timeKey()
	for i, l := range limits {
		s, err := l.span(t.def.Key[i], t.keys[i])
		if err != nil {
			return nil, err
		}
		c.spans[i] = s
		if i == clock && t.def.Width > 0 {
			c.firstBucket, c.lastBucket = buckets(s, t.def.Width)
		}
	}
	return c, nil
}

// span returns the range of a column in the bytes of its encoding.
func (l *limits) span(name string, kind batch.Kind) (span, *diag.Error) {
	kinds := 0
	for _, set := range []bool{l.eq != nil, l.prefix != nil, l.null, l.from != nil || l.to != nil} {
		kinds += int(b2i(set))
	}
	if kinds > 1 {
		return span{}, diag.New("table/conflicting-conditions", "the column %s has conditions that do not go together", name).
			WithHint("give one of %[1]s, %[1]s.prefix, %[1]s.null, or %[1]s.from with %[1]s.to", name)
	}
	switch {
	case l.null:
		return span{[]byte{tagNull}, []byte{tagValue}}, nil
	case l.prefix != nil:
		if !kind.Views() {
			return span{}, diag.New("table/bad-condition", "%s.prefix needs text, %s is %s", name, name, kind).
				WithHint("use %[1]s.from and %[1]s.to", name)
		}
		lo := appendEscaped([]byte{tagValue}, []byte(*l.prefix))
		return span{lo, successor(lo)}, nil
	case l.eq != nil:
		v, err := appendParsed(nil, name, kind, *l.eq)
		return span{v, append(v[:len(v):len(v)], keyAfter)}, err
	case l.from == nil && l.to == nil:
		return span{}, nil
	}
	s := span{lo: []byte{tagValue}}
	var err *diag.Error
	if l.from != nil {
		if s.lo, err = appendParsed(nil, name, kind, *l.from); err != nil {
			return s, err
		}
	}
	if l.to != nil {
		s.hi, err = appendParsed(nil, name, kind, *l.to)
	}
	return s, err
}

// successor returns the least bytes behind everything that begins with p, which begins with a tag.
func successor(p []byte) []byte {
	s := append([]byte(nil), p...)
	for i := len(s) - 1; ; i-- {
		if s[i] != 0xFF {
			s[i]++
			return s[:i+1]
		}
	}
}

// buckets returns the first and the last bucket that rows with a time in s can lie in.
func buckets(s span, width int64) (first, last uint64) {
	decode := func(p []byte) (int64, bool) {
		if len(p) < 9 || p[0] != tagValue {
			return 0, false
		}
		return int64(binary.BigEndian.Uint64(p[1:]) ^ 1<<63), true
	}
	last = math.MaxUint64
	if t, ok := decode(s.lo); ok {
		first = bucketOf(t, width)
	}
	if len(s.lo) > 0 && s.lo[0] == tagNull {
		return noTime, noTime
	}
	if t, ok := decode(s.hi); ok {
		last = bucketOf(t, width)
	} else if s.lo != nil {
		last = noTime - 1
	}
	return first, last
}

// appendParsed appends a value as people write it in the encoding of a key column.
func appendParsed(dst []byte, name string, kind batch.Kind, text string) ([]byte, *diag.Error) {
	bad := func(want string) ([]byte, *diag.Error) {
		return nil, diag.New("table/bad-value", "%q is no value of the column %s", clip(text), name).WithHint("%s is %s: write %s", name, kind, want)
	}
	switch kind {
	case batch.Bool:
		switch text {
		case "true", "false":
			return appendKeyInt(dst, kind, b2i(text == "true")), nil
		}
		return bad("true or false")
	case batch.Int32, batch.Int64:
		bits := 64
		if kind == batch.Int32 {
			bits = 32
		}
		v, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return bad("a whole number of " + strconv.Itoa(bits) + " bits")
		}
		return appendKeyInt(dst, kind, v), nil
	case batch.Timestamp:
		v, ok := parseTime(text)
		if !ok {
			return bad("RFC 3339 (2006-01-02T15:04:05Z) or milliseconds since 1970")
		}
		return appendKeyInt(dst, kind, v), nil
	case batch.Binary:
		p, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return bad("base64")
		}
		return append(appendEscaped(append(dst, tagValue), p), 0), nil
	}
	return append(appendEscaped(append(dst, tagValue), []byte(text)), 0), nil
}

// parseTime reads RFC 3339 or milliseconds since 1970. A time between two
// microseconds counts as the later one, so that [from, to) holds exactly the
// rows that lie in the range as written.
func parseTime(text string) (batch.Time, bool) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return ms * 1000, ms <= math.MaxInt64/1000 && ms >= math.MinInt64/1000
	}
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "+", 1)) // a bare + in a URL is a space
	if err != nil {
		return 0, false
	}
	us := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		us++
	}
	return us, true
}

// fingerprint identifies conditions, so that a cursor is used with its own only.
func (c *conditions) fingerprint(table uint32) uint64 {
	h := fnv.New64a()
	put := func(p []byte) {
		var n [5]byte
		if p != nil {
			n = [5]byte{1, byte(len(p)), byte(len(p) >> 8), byte(len(p) >> 16), byte(len(p) >> 24)}
		}
		_, _ = h.Write(n[:]) // a hash never fails
		_, _ = h.Write(p)
	}
	put([]byte{byte(table), byte(table >> 8), byte(table >> 16), byte(table >> 24), byte(b2i(c.desc))})
	for _, s := range c.spans {
		put(s.lo)
		put(s.hi)
	}
	return h.Sum64()
}

// clip bounds what of a request is repeated in an answer.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
