package httpio

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/url"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// request is a group of rows on its way. Whoever holds it owns it: the task
// while it is filled, then one sender.
type request struct {
	text []byte // the encoded rows
	ends []int  // where each of them ends
	body []byte // what is sent; sealed before the first attempt
	at   []int  // where each row begins in the body
	key  string // for Idempotency-Key
	// contentType of the body when it is not that of the sink now.
	contentType string
}

// shape is how rows make requests. One goroutine uses it.
type shape struct {
	encoder codec.Encoder
	body    string // object, array or lines
	rows    int    // of a request
}

// newShape settles how rows make bodies, and their media type where the headers name none.
func newShape(set *spec.Values, env *connector.SinkEnv, header http.Header) (*shape, error) {
	f := env.Format
	if f == nil || f.NewEncoder == nil {
		return nil, diag.New("http/format", "sink %s has no format that can be written", env.Name).WithHint("write format: json")
	}
	p := &shape{body: set.String("body"), rows: int(set.Int("batch"))}
	json := f.Decl.Name == "json"
	switch {
	case !json && p.body != "" && p.body != "lines":
		return nil, diag.New("http/body", "body: %s works with the format json, not with %s", p.body, f.Decl.Name)
	case !json:
		p.body = "lines"
	case p.body == "" && p.rows == 1:
		p.body = "object"
	case p.body == "":
		p.body = "array"
	}
	switch {
	case header.Get("Content-Type") != "":
	case json && p.body != "lines":
		header.Set("Content-Type", "application/json")
	case len(f.ContentTypes) > 0:
		header.Set("Content-Type", f.ContentTypes[0])
	}
	var err error
	p.encoder, err = f.NewEncoder(env.FormatValues, env.Schema)
	return p, err
}

// keptText is the largest buffer that a request keeps for the next rows.
const keptText = 1 << 20

// add appends row i of b.
func (r *request) add(e codec.Encoder, b *batch.Batch, i int) error {
	text, err := e.Encode(r.text, b, i, i+1)
	if err != nil {
		return err
	}
	r.text = text
	r.ends = append(r.ends, len(text))
	return nil
}

// row returns row i without its line end.
func (r *request) row(i int) []byte {
	from := 0
	if i > 0 {
		from = r.ends[i-1]
	}
	return bytes.TrimRight(r.text[from:r.ends[i]], "\r\n")
}

// seal makes the body.
func (r *request) seal(p *shape) {
	r.body, r.at = r.body[:0], r.at[:0]
	if p.body == "lines" {
		r.body = append(r.body, p.encoder.Header()...)
		from := len(r.body)
		for _, end := range r.ends {
			r.at = append(r.at, from)
			from = len(r.body) + end
		}
		r.body = append(r.body, r.text...)
		r.body = append(r.body, p.encoder.Footer()...)
		return
	}
	between := byte('[')
	for i := range r.ends {
		if p.body == "array" {
			r.body = append(r.body, between)
			between = ','
		}
		r.at = append(r.at, len(r.body))
		r.body = append(r.body, r.row(i)...)
	}
	if p.body == "array" {
		r.body = append(r.body, ']')
	}
}

// keyOf is the Idempotency-Key: 128 bits of a hash of the sink's name and the
// rows. The length of the name goes first, so that no two pairs run together.
func keyOf(name string, rows []byte) string {
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(name)))
	h.Write(n[:])
	h.Write([]byte(name))
	h.Write(rows)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// reset forgets the rows.
func (r *request) reset() {
	r.text, r.body, r.ends, r.at, r.key = r.text[:0], r.body[:0], r.ends[:0], r.at[:0], ""
	if cap(r.text) > keptText {
		r.text, r.body = nil, nil
	}
}

// parseURL checks the address of a sink and returns it with the part that may be printed.
func parseURL(s string) (address, shown string, _ *diag.Error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return "", "", diag.New("http/url", "the url of the sink is no address of a web server").WithHint("write it like http://localhost:9000/alerts")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "", diag.New("http/url", "the url of the sink has the scheme %q", u.Scheme).WithHint("it must be http or https")
	}
	u.Fragment = ""
	return u.String(), u.Scheme + "://" + u.Host, nil
}
