package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// tree is the source of one module, parsed.
type tree struct {
	module string
	fset   *token.FileSet
	pkgs   []*pkg // sorted by folder
}

// pkg is one folder with Go files.
type pkg struct {
	dir   string // from the root of the module: "internal/plan"
	files []*file
}

// file is one Go file.
type file struct {
	path  string // from the root of the module
	test  bool   // *_test.go
	lines int
	ast   *ast.File
}

// violation is one broken rule, in the form of a compiler's message.
type violation struct {
	path string
	line int // 0: the file or folder as a whole
	text string
}

func (v violation) String() string {
	if v.line == 0 {
		return v.path + ": " + v.text
	}
	return v.path + ":" + strconv.Itoa(v.line) + ": " + v.text
}

// load parses every Go file of a module but those in testdata and in hidden
// folders.
func load(fsys fs.FS) (*tree, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, err
	}
	t := &tree{fset: token.NewFileSet()}
	for line := range strings.Lines(string(mod)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			t.module = strings.TrimSpace(name)
		}
	}
	if t.module == "" {
		return nil, fmt.Errorf("go.mod names no module")
	}
	byDir := map[string]*pkg{}
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != "." && (base == "testdata" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || base[0] == '.' || base[0] == '_' {
			return nil
		}
		f, err := t.parse(fsys, name)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
			t.pkgs = append(t.pkgs, byDir[dir])
		}
		byDir[dir].files = append(byDir[dir].files, f)
		return nil
	})
	slices.SortFunc(t.pkgs, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return t, err
}

func (t *tree) parse(fsys fs.FS, name string) (*file, error) {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	f := &file{path: name, test: strings.HasSuffix(name, "_test.go"), lines: bytes.Count(src, []byte("\n"))}
	f.ast, err = parser.ParseFile(t.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	return f, err
}

func (t *tree) line(p token.Pos) int { return t.fset.Position(p).Line }

// imports calls fn for each import of a file.
func (f *file) imports(fn func(spec *ast.ImportSpec, path string)) {
	for _, s := range f.ast.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err == nil {
			fn(s, p)
		}
	}
}

// names maps what a package is called in this file to its import path.
func (f *file) names() map[string]string {
	m := map[string]string{}
	f.imports(func(s *ast.ImportSpec, p string) {
		name := path.Base(p)
		if isVersion(name) {
			name = path.Base(path.Dir(p))
		}
		if s.Name != nil {
			name = s.Name.Name
		}
		m[name] = p
	})
	return m
}

// isVersion tells whether the last element of an import path is v2, v3, ….
func isVersion(s string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "v"))
	return err == nil && n > 1 && s[0] == 'v'
}

// inCode tells whether a file is part of a program, not of its tests.
func (p *pkg) inCode() bool {
	return slices.ContainsFunc(p.files, func(f *file) bool { return !f.test })
}
