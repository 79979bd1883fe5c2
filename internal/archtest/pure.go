package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"unicode"
)

// isCore tells whether a package is of the functional core.
func isCore(dir string) bool {
	l, _, ok := place(dir)
	return ok && (l == values || l == pure || l == center)
}

// coreImports are the packages that the core may use besides the module's own,
// with the members that it may name; nil for all. What is not here is not
// used: a list of what is forbidden would never be complete.
var coreImports = map[string]func(name string) bool{
	"bytes": nil, "cmp": nil, "encoding/binary": nil, "encoding/hex": nil, "encoding/json": oneOf("Marshal", "Unmarshal", "RawMessage"), "errors": nil, "hash/fnv": nil, "iter": nil,
	"maps": nil, "math": nil, "math/bits": nil, "net/netip": nil, "slices": nil, "sort": nil, "strconv": nil, "strings": nil,
	"unicode": nil, "unicode/utf8": nil,
	"fmt": func(n string) bool { return !strings.HasPrefix(n, "Print") && !strings.Contains(n, "can") },
	// The errors that a result may carry.
	"io/fs": func(n string) bool { return strings.HasPrefix(n, "Err") },
	// Only what makes and joins paths.
	"path": nil, "path/filepath": oneOf("Join", "Base", "Dir", "Clean"),
	// Time is an argument.
	"time": oneOf("Time", "Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour", "Unix", "UnixMilli"),
	// Randomness too: a seeded source.
	"math/rand/v2": oneOf("Rand", "New", "NewPCG", "PCG", "Source"),
	// Numbers of the kernel, no calls into it.
	"golang.org/x/sys/unix": number, "syscall": number,
}

func oneOf(names ...string) func(string) bool {
	return func(n string) bool { return slices.Contains(names, n) }
}

// number tells whether a member of unix or syscall is a constant, or the type
// of error numbers.
func number(name string) bool {
	return name == "Errno" || !strings.ContainsFunc(name, unicode.IsLower)
}

// checkCore holds that the functional core has no concurrency, clock, global
// randomness or I/O.
func checkCore(t *tree) (out []violation) {
	for _, p := range t.pkgs {
		for _, f := range p.files {
			if isCore(p.dir) && !f.test {
				c := &coreCheck{t: t, f: f, names: f.names()}
				c.file()
				out = append(out, c.out...)
			}
		}
	}
	return out
}

type coreCheck struct {
	t     *tree
	f     *file
	names map[string]string // package name → import path
	out   []violation
}

func (c *coreCheck) add(p token.Pos, text string) {
	c.out = append(c.out, violation{c.f.path, c.t.line(p), text})
}

func (c *coreCheck) file() {
	c.f.imports(func(s *ast.ImportSpec, p string) {
		_, known := coreImports[p]
		switch {
		case !known && !strings.HasPrefix(p, c.t.module+"/"):
			c.add(s.Pos(), "the core imports "+p)
		case s.Name != nil && (s.Name.Name == "." || s.Name.Name == "_"):
			c.add(s.Pos(), "the core imports "+p+" as "+s.Name.Name)
		}
	})
	ast.Inspect(c.f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			c.add(n.Pos(), "the core starts a goroutine")
		case *ast.ChanType:
			c.add(n.Pos(), "the core has a channel")
		case *ast.SelectStmt:
			c.add(n.Pos(), "the core waits in a select")
		case *ast.SendStmt:
			c.add(n.Pos(), "the core sends on a channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				c.add(n.Pos(), "the core receives from a channel")
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
				c.add(n.Pos(), "the core prints")
			}
		case *ast.SelectorExpr:
			c.member(n)
		}
		return true
	})
}

// member checks a name that is taken from a package.
func (c *coreCheck) member(n *ast.SelectorExpr) {
	id, ok := n.X.(*ast.Ident)
	if !ok {
		return
	}
	from := c.names[id.Name]
	if may := coreImports[from]; may != nil && !may(n.Sel.Name) {
		c.add(n.Pos(), "the core uses "+from+"."+n.Sel.Name)
	}
}

// checkSockets holds that only the shell and tests use the half of rtnl that
// opens sockets and enters namespaces.
func checkSockets(t *tree) (out []violation) {
	impure := socketNames(t)
	for _, p := range t.pkgs {
		l, name, ok := place(p.dir)
		if !ok || l == public || l >= shell && name != "sim" {
			continue
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			names := f.names()
			ast.Inspect(f.ast, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if id, ok := sel.X.(*ast.Ident); ok && names[id.Name] == t.module+"/rtnl" && impure[sel.Sel.Name] {
					out = append(out, violation{f.path, t.line(sel.Pos()), "uses rtnl." + sel.Sel.Name + ", which is for the shell"})
				}
				return true
			})
		}
	}
	return out
}

// ioImports mark a file of rtnl as one that does I/O.
var ioImports = []string{"os", "net", "context", "runtime", "sync", "sync/atomic", "syscall", "time"}

// socketNames are the functions and types that rtnl declares in files that do
// I/O. Error is a value that anybody may look at.
func socketNames(t *tree) map[string]bool {
	set := map[string]bool{}
	for _, p := range t.pkgs {
		if p.dir != "rtnl" {
			continue
		}
		for _, f := range p.files {
			io := false
			f.imports(func(_ *ast.ImportSpec, path string) { io = io || slices.Contains(ioImports, path) })
			if !io || f.test {
				continue
			}
			for _, d := range f.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil && d.Name.IsExported() {
						set[d.Name.Name] = true
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Name.Name != "Error" {
							set[ts.Name.Name] = true
						}
					}
				}
			}
		}
	}
	return set
}
