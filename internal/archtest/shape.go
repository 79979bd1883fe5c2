package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"strings"
)

// The longest that files and functions may be, in lines. The aim is 500 and
// 60; this is where it stops.
const (
	maxFile = 800
	maxFunc = 120
)

// checkDocs holds that every package says in a doc.go what it is. A command of
// one file may say it there.
func checkDocs(t *tree) (out []violation) {
	for _, p := range t.pkgs {
		if !p.inCode() {
			continue
		}
		var doc *file
		sources := 0
		for _, f := range p.files {
			if f.test {
				continue
			}
			sources++
			if path.Base(f.path) == "doc.go" {
				doc = f
			}
		}
		if doc == nil && sources == 1 && p.dir != "." && strings.HasPrefix(p.dir, "cmd/") {
			doc = p.files[0]
		}
		if doc == nil {
			out = append(out, violation{p.dir, 0, "no doc.go"})
			continue
		}
		name := doc.ast.Name.Name
		want := "Package " + name + " "
		if name == "main" {
			want = "Command " + path.Base(p.dir) + " "
		}
		if !strings.HasPrefix(doc.ast.Doc.Text(), want) {
			out = append(out, violation{doc.path, 0, fmt.Sprintf("the package comment does not begin with %q", want)})
		}
	}
	return out
}

// ratchet is what was too long when the rule was made, with its lines: a file
// by its path, a function by its path and name. It may only shrink.
type ratchet map[string]int

// checkSizes holds the limits. What the ratchet lists may be as long as it
// says, not longer, and not shorter either: then the number has to come down.
func checkSizes(t *tree, allowed ratchet) (out []violation) {
	left := ratchet{}
	for k, n := range allowed {
		left[k] = n
	}
	check := func(key, name string, line, lines, limit int) {
		n, listed := left[key]
		delete(left, key)
		file, _, _ := strings.Cut(key, " ")
		switch {
		case listed && lines > n:
			out = append(out, violation{file, line, fmt.Sprintf("%s has grown to %d lines; the ratchet has %d", name, lines, n)})
		case listed && lines <= limit:
			out = append(out, violation{file, line, fmt.Sprintf("%s has %d lines: take it off the ratchet", name, lines)})
		case listed && lines < n:
			out = append(out, violation{file, line, fmt.Sprintf("%s has %d lines: bring the ratchet down from %d", name, lines, n)})
		case !listed && lines > limit:
			out = append(out, violation{file, line, fmt.Sprintf("%s has %d lines, the limit is %d", name, lines, limit)})
		}
	}
	for _, p := range t.pkgs {
		for _, f := range p.files {
			if f.test {
				continue
			}
			check(f.path, "the file", 0, f.lines, maxFile)
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					from := t.line(fn.Pos())
					check(f.path+" "+funcName(fn), "func "+funcName(fn), from, t.line(fn.End())-from+1, maxFunc)
				}
			}
		}
	}
	for key := range left {
		file, _, _ := strings.Cut(key, " ")
		out = append(out, violation{file, 0, "the ratchet lists " + key + ", which is not there"})
	}
	return out
}

// funcName is "Name", or "Type.Name" for a method.
func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	typ := fn.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}
