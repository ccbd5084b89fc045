package expr

import (
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

// TestEveryFunctionHasDocsAndItsExampleIsTrue runs the examples of the reference.
func TestEveryFunctionHasDocsAndItsExampleIsTrue(t *testing.T) {
	s := &batch.Schema{Time: -1}
	for _, f := range Functions() {
		if f.Doc == "" || !strings.HasSuffix(f.Doc, ".") || len(f.Signatures) == 0 || f.Group == "" {
			t.Errorf("%s: incomplete: %+v", f.Name, f)
		}
		if costOf(f.Name) <= 0 || costOf(f.Name) > unknownCost {
			t.Errorf("%s: cost %d", f.Name, costOf(f.Name))
		}
		e, err := Parse(f.Example)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		found := false
		e.walk(map[*Expr]bool{}, func(x *Expr) { found = found || x.name == f.Name })
		if !found {
			t.Errorf("%s: the example %s does not use it", f.Name, f.Example)
		}
		p, err := Compile(e, s)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		if got := display(p); got != f.Result {
			t.Errorf("%s: %s gives %s, the reference says %s", f.Name, f.Example, got, f.Result)
		}
	}
}

// display writes the value of a constant program as the reference does.
func display(p *Program) string {
	if !p.root.konst {
		return "not a constant"
	}
	var b strings.Builder
	switch v := p.root.value.(type) {
	case string:
		return v
	case float64:
		return string(formatFloat(nil, v))
	case int64:
		if p.root.typ.Kind == batch.Timestamp {
			return string(formatTimestamp(nil, v))
		}
	}
	printLiteral(&b, p.root.value)
	return b.String()
}

func TestSignaturesNameKnownKinds(t *testing.T) {
	for _, g := range groups {
		for _, f := range g.functions {
			fs := registry[f.name]
			for _, r := range fs {
				if r.build == nil {
					t.Errorf("%s%s: no build", r.name, r.sig)
				}
				for _, kind := range append(kindsOf(r), r.ret) {
					if _, single := kinds[kind]; !single && classes[kind] == nil {
						t.Errorf("%s%s: unknown kind %q", r.name, r.sig, kind)
					}
				}
			}
		}
	}
}

func kindsOf(f *function) []string {
	var out []string
	for _, p := range f.params {
		out = append(out, p.kind)
	}
	return out
}
