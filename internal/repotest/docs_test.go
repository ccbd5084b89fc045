package repotest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

func packageDocRule(t *tree) []finding {
	var out []finding
	for _, p := range t.packages {
		code := p.code()
		if len(code) == 0 {
			continue
		}
		var docs []*goFile
		for _, f := range code {
			if f.ast.Doc != nil {
				docs = append(docs, f)
			}
		}
		switch {
		case len(docs) == 0:
			out = append(out, finding{p.dir, "the package has no doc: say in front of the package clause what it is, what it does not know, and its invariants"})
		case len(docs) > 1:
			out = append(out, finding{docs[1].name, fmt.Sprintf("a second package doc beside %s: keep one", docs[0].name)})
		default:
			want := "Package " + docs[0].ast.Name.Name
			if docs[0].ast.Name.Name == "main" {
				want = "Command "
			}
			if text := docs[0].ast.Doc.Text(); !strings.HasPrefix(text, want) {
				out = append(out, finding{docs[0].name, fmt.Sprintf("the package doc begins with %q", want)})
			}
		}
	}
	return out
}

func exportedDocRule(t *tree) []finding {
	var out []finding
	for _, p := range t.packages {
		for _, f := range p.code() {
			if f.generated {
				continue
			}
			for _, d := range f.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					out = append(out, t.funcDoc(d)...)
				case *ast.GenDecl:
					out = append(out, t.genDoc(d)...)
				}
			}
		}
	}
	return out
}

func (t *tree) funcDoc(d *ast.FuncDecl) []finding {
	if !d.Name.IsExported() || d.Recv != nil && !ast.IsExported(receiver(d)) {
		return nil
	}
	return t.named(d.Name, d.Doc)
}

// receiver returns the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func (t *tree) genDoc(d *ast.GenDecl) []finding {
	var out []finding
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if !s.Name.IsExported() {
				continue
			}
			doc := s.Doc
			if doc == nil {
				doc = d.Doc
			}
			out = append(out, t.named(s.Name, doc)...)
			if i, ok := s.Type.(*ast.InterfaceType); ok {
				out = append(out, t.methodDocs(s.Name.Name, i)...)
			}
		case *ast.ValueSpec:
			// One comment may stand for a group of constants or variables.
			if d.Doc == nil && s.Doc == nil && s.Comment == nil && s.Names[0].IsExported() {
				out = append(out, finding{t.at(s.Pos()), s.Names[0].Name + " has no doc comment: say what it is for"})
			}
		}
	}
	return out
}

func (t *tree) methodDocs(name string, i *ast.InterfaceType) []finding {
	var out []finding
	for _, m := range i.Methods.List {
		if len(m.Names) == 1 && m.Names[0].IsExported() && m.Doc == nil && m.Comment == nil {
			out = append(out, finding{t.at(m.Pos()), fmt.Sprintf("%s.%s has no doc comment: say who calls it, whether it may block and who owns its arguments afterwards", name, m.Names[0].Name)})
		}
	}
	return out
}

// named checks that a comment is there and is about the name, as godoc shows it.
func (t *tree) named(name *ast.Ident, doc *ast.CommentGroup) []finding {
	if doc == nil {
		return []finding{{t.at(name.Pos()), name.Name + " has no doc comment: begin it with the name"}}
	}
	text := doc.Text()
	for _, article := range []string{"A ", "An ", "The "} {
		text = strings.TrimPrefix(text, article)
	}
	if !strings.HasPrefix(text, name.Name) {
		return []finding{{t.at(name.Pos()), fmt.Sprintf("the doc comment of %s does not begin with its name", name.Name)}}
	}
	return nil
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeFence    = regexp.MustCompile("(?ms)^```.*?^```")
	codeSpan     = regexp.MustCompile("`[^`\n]*`")
	heading      = regexp.MustCompile(`(?m)^#+\s+(.+?)\s*$`)
	notInAnchor  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// linkRule holds that links in Markdown to files and headings of the tree lead somewhere.
func linkRule(t *tree) []finding {
	var out []finding
	for name, text := range t.texts {
		if path.Ext(name) != ".md" {
			continue
		}
		prose := codeSpan.ReplaceAllString(codeFence.ReplaceAllString(string(text), ""), "")
		for _, m := range markdownLink.FindAllStringSubmatch(prose, -1) {
			if why := t.broken(name, m[1]); why != "" {
				out = append(out, finding{name, fmt.Sprintf("the link to %s %s: correct or remove it", m[1], why)})
			}
		}
	}
	return out
}

// broken returns what is wrong with a link of a Markdown file, or "".
func (t *tree) broken(from, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	file, anchor, _ := strings.Cut(link, "#")
	target := from
	if file != "" {
		target = path.Join(path.Dir(from), file)
	}
	if !t.exists(target) {
		return "leads nowhere"
	}
	if anchor == "" || path.Ext(target) != ".md" {
		return ""
	}
	body := codeFence.ReplaceAllString(string(t.texts[target]), "")
	for _, h := range heading.FindAllStringSubmatch(body, -1) {
		if slug(h[1]) == anchor {
			return ""
		}
	}
	return "names a heading that is not there"
}

// slug makes the anchor of a heading as the usual renderers do.
func slug(h string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(h), ""), " ", "-")
}

// exists reports whether a path is a text file or a folder of the tree.
func (t *tree) exists(name string) bool {
	if _, ok := t.texts[name]; ok || name == "." {
		return true
	}
	for have := range t.texts {
		if strings.HasPrefix(have, name+"/") {
			return true
		}
	}
	return false
}

// interfaceRule keeps interfaces small: who needs more passes what is used.
func interfaceRule(t *tree) []finding {
	const most = 5
	var out []finding
	for _, p := range t.packages {
		for _, f := range p.code() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if s, ok := n.(*ast.TypeSpec); ok {
					if i, ok := s.Type.(*ast.InterfaceType); ok {
						if n := p.methods(i); n > most {
							out = append(out, finding{t.at(s.Pos()), fmt.Sprintf("interface %s has %d methods, at most %d: split it by who calls it", s.Name.Name, n, most)})
						}
					}
				}
				return true
			})
		}
	}
	return out
}

// methods counts the methods of an interface with those that it embeds from the same package.
func (p *goPackage) methods(i *ast.InterfaceType) int {
	n := 0
	for _, m := range i.Methods.List {
		switch e := m.Type.(type) {
		case *ast.FuncType:
			n++
		case *ast.Ident:
			if in := p.interfaceNamed(e.Name); in != nil {
				n += p.methods(in)
			}
		}
	}
	return n
}

func (p *goPackage) interfaceNamed(name string) *ast.InterfaceType {
	for _, f := range p.code() {
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, s := range g.Specs {
				if ts := s.(*ast.TypeSpec); ts.Name.Name == name {
					i, _ := ts.Type.(*ast.InterfaceType)
					return i
				}
			}
		}
	}
	return nil
}

func TestPackagesAreDocumented(t *testing.T)      { check(t, packageDocRule) }
func TestExportedNamesAreDocumented(t *testing.T) { check(t, exportedDocRule) }
func TestMarkdownLinksResolve(t *testing.T)       { check(t, linkRule) }
func TestInterfacesAreSmall(t *testing.T)         { check(t, interfaceRule) }
