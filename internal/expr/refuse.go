package expr

import (
	"fmt"
	"strings"

	"github.com/gorge-stream/gorge/internal/batch"
)

// arityError words the refusal of a wrong number of arguments.
func arityError(e *Expr, overloads []*function, have int) *Error {
	least, most := overloads[0].arity()
	for _, f := range overloads[1:] {
		l, m := f.arity()
		least = min(least, l)
		if most >= 0 {
			most = max(most, m)
		}
		if m < 0 {
			most = -1
		}
	}
	want := fmt.Sprintf("%d", least)
	switch {
	case most < 0:
		want = fmt.Sprintf("at least %d", least)
	case most > least:
		want = fmt.Sprintf("%d to %d", least, most)
	}
	noun := "arguments"
	if want == "1" || want == "at least 1" {
		noun = "argument"
	}
	return e.errorf(CodeArguments, "%s takes %s %s, not %d", e.name, want, noun, have).hint("%s", usage(overloads))
}

// typeError words the refusal of arguments of the wrong types.
func typeError(e *Expr, fits []*function, args []operand) *Error {
	hint := typeHint(args)
	if hint == "" {
		hint = usage(fits)
	}
	if len(fits) > 1 || e.form == formOperator && e.name != "in" && e.name != "if" {
		have := make([]string, len(args))
		for i, a := range args {
			have[i] = kindName(a.typ.Kind)
		}
		return e.errorf(CodeType, "%s is not defined for %s", e.name, strings.Join(have, " and ")).hint("%s", hint)
	}
	f := fits[0]
	_, _, bad := f.match(args)
	a, p := args[bad], f.param(bad)
	for i, other := range args[:bad] {
		if _, generic := classes[p.kind]; generic && f.param(i).kind == p.kind && other.typ.Kind != batch.Invalid {
			return a.e.errorf(CodeType, "%s cannot take %s and %s together", e.name, kindName(other.typ.Kind), kindName(a.typ.Kind)).hint("%s", hint)
		}
	}
	want := classWord(p.kind)
	return a.e.errorf(CodeType, "%s needs %s %s as %s, not %s", e.name, article(want), want, p.name, kindName(a.typ.Kind)).hint("%s", hint)
}

// classWord names a kind of a signature for a person.
func classWord(kind string) string {
	if kind == "ordered" {
		return "number, string or timestamp"
	}
	return kind
}

func article(word string) string {
	if strings.ContainsRune("aeio", rune(word[0])) {
		return "an"
	}
	return "a"
}

// kindName is the name of a kind in messages.
func kindName(k batch.Kind) string {
	if k == batch.Invalid {
		return "null"
	}
	return k.String()
}

// typeHint finds the likely cause of a refusal.
func typeHint(args []operand) string {
	has := func(k batch.Kind) bool {
		for _, a := range args {
			if a.typ.Kind == k {
				return true
			}
		}
		return false
	}
	switch {
	case has(batch.Timestamp) && has(batch.String):
		return `a time is written timestamp("2026-01-31T12:00:00Z"), a length of time duration("5m")`
	case has(batch.Timestamp) && (has(batch.Int64) || has(batch.Float64)):
		return `from_epoch_ms makes a timestamp of a number; a length of time is written duration("5m")`
	case has(batch.String) && (has(batch.Int64) || has(batch.Float64)):
		return "convert one of them: float(text), int(text) or string(number)"
	case has(batch.Binary):
		return "string(x) makes text of binary"
	}
	return ""
}

// usage lists what a function or operator is defined for.
func usage(fs []*function) string {
	s := make([]string, len(fs))
	for i, f := range fs {
		s[i] = f.name + f.sig
		if _, between := infix[f.name]; !between || len(f.params) != 2 {
			continue
		}
		left, right := classWord(f.params[0].kind), classWord(f.params[1].kind)
		if s[i] = f.name + " stands between " + left + " and " + right; left == right {
			s[i] = f.name + " needs " + left + " on both sides"
		}
	}
	return strings.Join(s, "; ")
}
