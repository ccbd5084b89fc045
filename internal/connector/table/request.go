package table

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/gorge-stream/gorge/internal/diag"
)

// The bounds of a page.
const (
	defaultLimit = 1000
	maxLimit     = 100_000
)

// request is a parsed read of one table.
type request struct {
	conditions *conditions
	after      []byte // key to go on behind, nil for the beginning
	limit      int
	columns    []int // positions in the definition, in order of the answer
	format     string
}

// reserved are the parameters that are no conditions.
var reserved = []string{"from", "to", "limit", "cursor", "order", "columns", "format"}

// formats are the values of format with their media types.
var formats = []struct{ name, media string }{
	{"json", "application/json"}, {"csv", "text/csv"}, {"arrow", "application/vnd.apache.arrow.stream"},
}

// errNotAcceptable has a status of its own.
var errNotAcceptable = diag.New("table/not-acceptable", "none of the formats in the header Accept can be made").
	WithHint("accept application/json, text/csv or application/vnd.apache.arrow.stream")

// parse reads the parameters of a request.
func (t *table) parse(values url.Values, accept []string) (*request, *diag.Error) {
	r := &request{limit: defaultLimit}
	desc := false
	limits := make([]limits, len(t.keys))
	cursor := ""
	for _, name := range sortedKeys(values) {
		given := values[name]
		if len(given) > 1 {
			return nil, diag.New("table/repeated-parameter", "the parameter %q is given twice", clip(name))
		}
		value := given[0]
		var err *diag.Error
		switch name {
		case "from", "to":
			err = t.parseTimeRange(limits, name, value)
		case "limit":
			r.limit, err = parseLimit(value)
		case "cursor":
			cursor = value
		case "order":
			desc = value == "desc"
			if value != "asc" && value != "desc" {
				err = diag.New("table/bad-value", "order is asc or desc, not %q", clip(value)).WithHint("desc begins with the greatest key")
			}
		case "columns":
			r.columns, err = t.parseColumns(value)
		case "format":
			r.format = value
			if !slices.ContainsFunc(formats, func(f struct{ name, media string }) bool { return f.name == value }) {
				err = diag.New("table/bad-format", "there is no format %q", clip(value)).WithHint("use json, csv or arrow")
			}
		default:
			err = t.parseCondition(limits, name, value)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.format == "" {
		var ok bool
		if r.format, ok = negotiate(accept); !ok {
			return nil, errNotAcceptable
		}
	}
	return t.finish(r, limits, desc, cursor)
}

// finish fills in what needs all parameters.
func (t *table) finish(r *request, limits []limits, desc bool, cursor string) (*request, *diag.Error) {
	var err *diag.Error
	if r.conditions, err = t.bind(limits, desc); err != nil {
		return nil, err
	}
	if cursor != "" {
		if r.after, err = t.parseCursor(r.conditions, cursor); err != nil {
			return nil, err
		}
	}
	if r.columns == nil {
		for i := range t.def.Columns {
			r.columns = append(r.columns, i)
		}
	}
	return r, nil
}

func sortedKeys(values url.Values) []string {
	out := make([]string, 0, len(values))
	for k := range values {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func parseLimit(value string) (int, *diag.Error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxLimit {
		return 0, diag.New("table/bad-value", "limit is a whole number from 1 to %d, not %q", maxLimit, clip(value)).
			WithHint("ask for more rows page by page, with the cursor")
	}
	return n, nil
}

func (t *table) parseColumns(value string) ([]int, *diag.Error) {
	var out []int
	for name := range strings.SplitSeq(value, ",") {
		i := t.def.index(name)
		if i < 0 {
			return nil, diag.New("table/unknown-column", "table %s has no column %q", t.def.Name, clip(name)).
				WithHint("%s", nearest(name, t.def.names()))
		}
		if slices.Contains(out, i) {
			return nil, diag.New("table/bad-value", "columns names %s twice", name)
		}
		out = append(out, i)
	}
	return out, nil
}

// parseTimeRange reads from and to, the short names for conditions on the time of the key.
func (t *table) parseTimeRange(limits []limits, op, value string) *diag.Error {
	i := t.def.timeKey()
	if i < 0 {
		return diag.New("table/no-time", "table %s has no timestamp in its key, so %s means nothing", t.def.Name, op).
			WithHint("its key is [%s]", strings.Join(t.def.Key, ", "))
	}
	return limits[i].set(op, op, value)
}

// parseCondition reads COLUMN=value and COLUMN.op=value.
func (t *table) parseCondition(limits []limits, name, value string) *diag.Error {
	column, op := name, "eq"
	if i := slices.Index(t.def.Key, column); i >= 0 {
		return limits[i].set(name, op, value)
	}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		column, op = name[:dot], name[dot+1:]
	}
	i := slices.Index(t.def.Key, column)
	switch {
	case i >= 0 && slices.Contains(operators, op):
		return limits[i].set(name, op, value)
	case i >= 0:
		return diag.New("table/unknown-parameter", "there is no condition %q", clip(op)).
			WithHint("%s; there are %s", nearest(op, operators), strings.Join(operators, ", "))
	case t.def.index(column) >= 0:
		return diag.New("table/not-in-key", "%s is not in the key of table %s, so rows cannot be found by it", column, t.def.Name).
			WithHint("conditions are possible on %s", strings.Join(t.def.Key, ", "))
	}
	return diag.New("table/unknown-parameter", "there is no parameter or key column %q", clip(name)).
		WithHint("%s", nearest(column, slices.Concat(t.def.Key, reserved)))
}

// nearest says which of the words was most likely meant.
func nearest(word string, words []string) string {
	word = clip(word)
	best, least := "", len(word)/2+2
	for _, w := range words {
		if n := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(w)); n < least {
			best, least = w, n
		}
	}
	if best == "" {
		const most = 20
		if len(words) > most {
			words = append(slices.Clone(words[:most]), "...")
		}
		return "there are " + strings.Join(words, ", ")
	}
	return "did you mean " + best + "?"
}

// negotiate picks the format that the header Accept likes best. Of equals the
// first in formats wins, and without a header json.
func negotiate(accept []string) (format string, ok bool) {
	if len(accept) == 0 {
		return formats[0].name, true
	}
	best := 0.0
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, has := params["q"]; has {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		for _, f := range formats {
			if major, _, _ := strings.Cut(f.media, "/"); q > best && (media == f.media || media == "*/*" || media == major+"/*") {
				format, best = f.name, q
			}
		}
	}
	return format, best > 0
}

// status returns the HTTP status of a refusal by this package.
func status(e *diag.Error) int {
	switch e.Code {
	case "table/not-acceptable":
		return http.StatusNotAcceptable
	case "table/not-found":
		return http.StatusNotFound
	case "table/read":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
