package python

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
)

// FuzzMessage reads messages of a worker that hold anything: each becomes an
// error for a person, whatever places and names it claims.
func FuzzMessage(f *testing.F) {
	for _, code := range []string{"syntax", "import", "module_missing", "function_missing", "version", "arity", "returns", "numpy_missing", "file_missing", "protocol", "?"} {
		f.Add([]byte(`{"type": "refused", "code": "` + code + `", "message": "m", "file": "a.py", "line": 3, "column": -7, "source": "x =", "names": ["g", ""], "traceback": "t"}`))
	}
	f.Add([]byte(`{"type": "hello", "version": 3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m message
		if json.Unmarshal(data, &m) != nil {
			return
		}
		m.File = strings.TrimLeft(m.File, "/") // no real file of the machine
		p := &Pool{spec: Spec{Name: "f", File: "functions.py", Interpreter: "python3"}}
		if err := p.refusal(&m); diag.Format(err) == "" {
			t.Errorf("%s says nothing", data)
		}
		if p.checkHello(&m) == nil && m.Type != "hello" {
			t.Errorf("%s passes as a hello", data)
		}
		_ = m.FunctionVersion()
	})
}

func TestPausesBetweenStartsGrowUpToALimit(t *testing.T) {
	l := limits{backoff: 5 * time.Millisecond, maxDelay: time.Second}
	for failures, want := range map[int]time.Duration{-3: 0, 0: 0, 1: 5 * time.Millisecond, 3: 20 * time.Millisecond, 9: time.Second, 1000: time.Second} {
		if got := l.delay(failures); got != want {
			t.Errorf("%d failures: %v, expected %v", failures, got, want)
		}
	}
}

func TestPrintingIsRationed(t *testing.T) {
	var q quota
	now := time.Unix(1000, 0)
	for i := range 2 * linesPerSecond {
		if left, ok := q.allow(now); ok != (i < linesPerSecond) || left != 0 {
			t.Fatalf("line %d: %v, %d left out", i, ok, left)
		}
	}
	if left, ok := q.allow(now.Add(time.Second)); !ok || left != linesPerSecond {
		t.Errorf("a second later: %v, %d left out", ok, left)
	}
}
