package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gorge-stream/gorge/internal/connector/file"
	"github.com/gorge-stream/gorge/internal/connector/table"
	"github.com/gorge-stream/gorge/internal/delivery"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/query"
)

// written is what one sink wrote.
type written struct {
	rows []string
	keys []string // columns by which rows keep their order, nil where they need not
	// again: rows may be there more often than they should.
	again bool
}

// collect reads what a trial wrote, by sink.
func (t *crashTest) collect(d trialDir) (map[string]written, error) {
	out := map[string]written{}
	for _, n := range t.plan.Nodes {
		op, ok := n.Op.(*plan.Sink)
		if !ok {
			continue
		}
		o := written{again: t.holds(n) <= delivery.AtLeastOnce}
		name := n.Name
		var err error
		switch op.Connector {
		case "file":
			o.keys = orderedBy(n, op)
			o.rows, err = readOutput(filepath.Join(d.outputs(), n.Name))
		case deadLetters:
			o.rows, err = readOutput(filepath.Join(d.data(), file.DeadLettersDir))
		case "table":
			o.rows, err = readTable(filepath.Join(d.data(), table.Dir), n.Name)
		case "stdout":
			name = "standard output"
			o.rows, err = readOutput(d.stdout())
		case "http":
			o.rows = t.http.rows("/" + d.name + "/" + n.Name)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read what the sink %s wrote: %w", n.Name, err)
		}
		out[name] = o
	}
	return out, nil
}

// holds returns the weakest guarantee of the paths to a sink.
func (t *crashTest) holds(sink *plan.Node) delivery.Guarantee {
	weakest := delivery.ExactlyOnce
	for _, p := range t.plan.Paths {
		if p.Nodes[len(p.Nodes)-1] == sink.Name {
			weakest = min(weakest, p.Guarantee)
		}
	}
	return weakest
}

// orderedBy returns the columns by which the rows of a file keep their order: the
// key of the last step with state, if it is still there under its name.
func orderedBy(n *plan.Node, sink *plan.Sink) []string {
	for n = n.Inputs[0].Node; sink.Format == "json"; n = n.Inputs[0].Node {
		switch op := n.Op.(type) {
		case *plan.WindowAggregate:
			return op.Keys
		case *plan.Running:
			return op.Keys
		case *plan.Encode, *plan.Filter, *plan.Call:
		default:
			return nil
		}
		if n.Inputs[0].Port != plan.Main {
			return nil
		}
	}
	return nil
}

// readOutput returns the lines of a file, or of all files in a folder whose names
// do not begin with a point; none when there is nothing.
func readOutput(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "[^.]*")); err != nil {
			return nil, err
		}
	}
	var rows []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		rows = append(rows, linesOf(string(text))...)
	}
	return rows, nil
}

// readTable returns the rows of a table as JSON.
func readTable(dir, name string) (rows []string, err error) {
	mux := http.NewServeMux()
	store, err := table.ServeStored(dir, mux)
	if err != nil {
		return nil, err
	}
	client, stop := query.Local(mux)
	defer func() { err = errors.Join(err, stop(), store.Close()) }()
	var text bytes.Buffer
	o := query.Options{Base: query.LocalBase, Client: client, Table: name, Format: "json"}
	if _, err := query.Rows(context.Background(), o, &text); err != nil {
		return nil, err
	}
	return linesOf(text.String()), nil
}

// linesOf splits text into its lines, without their ends.
func linesOf(text string) (out []string) {
	for line := range strings.Lines(text) {
		out = append(out, strings.TrimSuffix(line, "\n"))
	}
	return out
}

// difference compares outputs with those of the undisturbed run and returns the first
// difference, "" when there is none.
func (t *crashTest) difference(got map[string]written) string {
	for _, name := range slices.Sorted(maps.Keys(t.want)) {
		if d := differ(t.want[name], got[name]); d != "" {
			return name + ": " + d
		}
	}
	return ""
}

func differ(want, got written) string {
	left := map[string]int{}
	for _, row := range want.rows {
		left[row]++
	}
	known := maps.Clone(left)
	for _, row := range got.rows {
		left[row]--
		if left[row] >= 0 || want.again && known[row] > 0 {
			continue
		}
		if known[row] == 0 {
			return "a row that should not be there: " + clipRow(row)
		}
		return "a row twice: " + clipRow(row)
	}
	for _, row := range want.rows {
		if left[row] > 0 {
			return "a row is missing: " + clipRow(row)
		}
	}
	if want.keys == nil || want.again {
		return ""
	}
	order := byKey(got)
	for key, rows := range byKey(want) {
		if i := firstDifference(rows, order[key]); i >= 0 {
			return "in another order: " + clipRow(rows[i])
		}
	}
	return ""
}

// byKey returns the rows of each key in their order.
func byKey(o written) map[string][]string {
	out := map[string][]string{}
	for _, row := range o.rows {
		var columns map[string]json.RawMessage
		if json.Unmarshal([]byte(row), &columns) != nil {
			continue
		}
		var key strings.Builder
		for _, k := range o.keys {
			fmt.Fprintf(&key, "%s,", columns[k])
		}
		out[key.String()] = append(out[key.String()], row)
	}
	return out
}

// firstDifference returns the first index at which two lists of one length differ, or -1.
func firstDifference(a, b []string) int {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

func clipRow(row string) string {
	const most = 200
	if len(row) > most {
		row = row[:most] + "..."
	}
	return legible(row)
}

// receivers keeps what http sinks send, by the path of the request. It drops
// requests that come again under their key, as gorge receive does.
type receivers struct {
	mu     sync.Mutex
	bySink map[string]*received // guarded by mu
}

// received is the rows of one sink.
type received struct {
	receiver
	text bytes.Buffer // guarded by mu of receiver
}

// ServeHTTP takes a request.
func (r *receivers) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.at(req.URL.Path).ServeHTTP(w, req)
}

func (r *receivers) at(path string) *received {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.bySink[path]
	if s == nil {
		s = &received{}
		s.out, s.seen = &s.text, map[string]struct{}{}
		r.bySink[path] = s
	}
	return s
}

// rows returns the rows that came to a path.
func (r *receivers) rows(path string) []string {
	s := r.at(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	return linesOf(s.text.String())
}
