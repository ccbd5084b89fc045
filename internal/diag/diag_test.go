package diag

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"nothing", nil, ""},
		{"any error", errors.New("boom"), "error: boom\n"},
		{"sentence only", New("a/b", "it is %s", "wrong"), "error[a/b]: it is wrong\n"},
		{"all parts", New("plan/unknown-column", "there is no column %q", "temp").
			At(Place{File: "p.yaml", Line: 12, Column: 9, Width: 4, Source: "\twhere: temp > 3"}).
			WithCause(fmt.Errorf("open x: %w", fs.ErrNotExist)).WithHint("did you mean temperature?"),
			"error[plan/unknown-column]: there is no column \"temp\"\n  --> p.yaml:12:9\n    |\n 12 | \twhere: temp > 3\n    | \t       ^^^^\n  because: open x: file does not exist\n  hint: did you mean temperature?\n"},
		{"wrapped", fmt.Errorf("task a/0: %w", New("a/b", "bad")), "error[a/b]: bad\n  in: task a/0\n"},
		{"list", List{New("a/b", "one"), New("c/d", "two")}, "error[a/b]: one\n\nerror[c/d]: two\n"},
	} {
		if got := Format(c.err); got != c.want {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	e := New("a/b", "bad").WithCause(fs.ErrExist)
	if !errors.Is(e, fs.ErrExist) || !errors.Is(List{New("x", "y"), e}, fs.ErrExist) {
		t.Error("the cause is lost")
	}
	if (List{}).Err() != nil {
		t.Error("an empty list is no error")
	}
	if got := e.At(Place{File: "f", Line: 1, Column: 2}).Error(); got != "f:1:2: bad [a/b]: file already exists" {
		t.Errorf("got %s", got)
	}
}
