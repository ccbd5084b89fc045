package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"

	"github.com/gorge-stream/gorge/internal/diag"
)

// maxPage is the most rows that a page of the API holds.
const maxPage = 100_000

// Options say what to read and how to write it.
type Options struct {
	// Base is the address of the engine: "http://127.0.0.1:8080".
	Base   string
	Client *http.Client
	Table  string
	// Params are the conditions, order and columns, as the API takes them.
	Params url.Values
	// Limit is the most rows to write; 0 means all.
	Limit int
	// Format is one of Formats.
	Format string
}

// Formats are the values of Options.Format: text for people, one JSON object a
// line, CSV, and a stream of Arrow.
var Formats = []string{"table", "json", "csv", "arrow"}

// Result tells what Rows wrote.
type Result struct {
	Rows int
	More bool // rows are left behind the limit
}

// sink writes the pages of one answer.
type sink interface {
	// page writes the rows of a page and returns how many and the cursor of the next.
	page(res *http.Response) (rows int, cursor string, err error)
	// end writes what is left.
	end() error
}

// Rows reads rows of a table, page after page, and writes them to out.
func Rows(ctx context.Context, o Options, out io.Writer) (Result, error) {
	s, accept := newSink(o.Format, out)
	if s == nil {
		return Result{}, diag.New("query/format", "there is no format %q", o.Format).WithHint("use table, json, csv or arrow")
	}
	var r Result
	params := url.Values{}
	for k, v := range o.Params {
		params[k] = v
	}
	params.Set("format", accept)
	for {
		want := maxPage
		if o.Limit > 0 {
			want = min(want, o.Limit-r.Rows)
		}
		params.Set("limit", strconv.Itoa(want))
		n, cursor, err := page(ctx, o, params, s)
		r.Rows += n
		if err != nil {
			return r, err
		}
		r.More = cursor != ""
		if !r.More || o.Limit > 0 && r.Rows >= o.Limit {
			return r, s.end()
		}
		params.Set("cursor", cursor)
	}
}

func page(ctx context.Context, o Options, params url.Values, s sink) (int, string, error) {
	res, err := get(ctx, o, "/v1/tables/"+url.PathEscape(o.Table)+"?"+params.Encode())
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	n, cursor, err := s.page(res)
	if err != nil {
		var e *diag.Error
		if !errors.As(err, &e) {
			err = fmt.Errorf("read rows of %s: %w", o.Table, err)
		}
	}
	return n, cursor, err
}

// get asks for a path and turns everything but success into an error.
func get(ctx context.Context, o Options, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.Base+path, nil)
	if err == nil && req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		err = fmt.Errorf("the scheme is %q", req.URL.Scheme)
	}
	if err != nil {
		return nil, diag.New("query/address", "%q is not the address of an engine", o.Base).WithCause(err).
			WithHint("write it like http://127.0.0.1:8080")
	}
	res, err := o.Client.Do(req)
	if err != nil {
		return nil, noEngine(o.Base, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	const most = 64 << 10
	var e struct {
		Code    diag.Code
		Message string
		Hint    string
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil || json.Unmarshal(body, &e) != nil || e.Code == "" {
		return nil, diag.New("query/no-engine", "what answers at %s is no Gorge engine (status %d)", o.Base, res.StatusCode).
			WithHint("give the address of the engine with --addr; gorge run prints it")
	}
	return nil, diag.New(e.Code, "%s", e.Message).WithHint("%s", e.Hint)
}

// Unreachable is the code of the error when nothing listens at the address.
const Unreachable = diag.Code("query/unreachable")

func noEngine(base string, err error) error {
	var op *net.OpError
	if errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &op) && op.Op == "dial" {
		return diag.New(Unreachable, "no engine answers at %s", base).WithCause(err).
			WithHint("start one with gorge run FILE, name its address with --addr, or read the tables of a stopped one with --data DIR")
	}
	return fmt.Errorf("ask the engine at %s: %w", base, err)
}

// Tables writes the list of tables: for people, or as the API gives it when the format is not "table".
func Tables(ctx context.Context, o Options, out io.Writer) error {
	res, err := get(ctx, o, "/v1/tables")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if o.Format != "table" {
		_, err = io.Copy(out, res.Body)
		return err
	}
	var list struct {
		Tables []struct {
			Name   string
			Key    []string
			Retain string
			Rows   int64 `json:"rows_estimate"`
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return fmt.Errorf("read the list of tables: %w", err)
	}
	t := &text{out: out}
	t.header([]string{"table", "key", "retain", "rows (about)"})
	for _, x := range list.Tables {
		key := ""
		for i, k := range x.Key {
			if i > 0 {
				key += ", "
			}
			key += k
		}
		if err := t.row([]string{x.Name, key, x.Retain, strconv.FormatInt(x.Rows, 10)}); err != nil {
			return err
		}
	}
	return t.end()
}
