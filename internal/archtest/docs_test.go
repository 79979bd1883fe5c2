package archtest

import (
	"flag"
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"netbraid/internal/config"
	"netbraid/uci"
)

var update = flag.Bool("update", false, "write the generated parts of the documentation anew")

const (
	root       = "../.."
	configDoc  = root + "/docs/CONFIGURATION.md"
	refBegin   = "<!-- reference: generated, see docs/HACKING.md -->\n"
	refEnd     = "<!-- end of reference -->\n"
	codesBegin = "<!-- codes -->\n"
	codesEnd   = "<!-- end of codes -->\n"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// between cuts a text at two markers.
func between(t *testing.T, text, begin, end string) (before, part, after string) {
	t.Helper()
	before, rest, ok1 := strings.Cut(text, begin)
	part, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("the text lacks %q or %q", begin, end)
	}
	return before + begin, part, end + after
}

// TestReference keeps docs/CONFIGURATION.md equal to the table that the parser
// works from. -update writes it.
func TestReference(t *testing.T) {
	text := readDoc(t, configDoc)
	before, got, after := between(t, text, refBegin, refEnd)
	want := "\n" + strings.ReplaceAll(config.Reference(), "## ", "### ") + "\n"
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(configDoc, []byte(before+want+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("the reference in docs/CONFIGURATION.md is not the code's: go test ./internal/archtest -run TestReference -update")
}

// code is what an error code looks like where it stands alone.
var code = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+$`)

// codesIn collects the codes of errors[] that packages use: what is given to
// a member Code, and every word in capitals with an underscore.
func codesIn(tr *tree, dirs ...string) map[string]bool {
	set := map[string]bool{}
	add := func(e ast.Expr, always bool) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && s != "" && (always || code.MatchString(s)) {
				set[s] = true
			}
		}
	}
	for _, p := range tr.pkgs {
		if !slices.Contains(dirs, p.dir) {
			continue
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.KeyValueExpr:
					if id, ok := n.Key.(*ast.Ident); ok && id.Name == "Code" {
						add(n.Value, true)
					}
				case *ast.BasicLit:
					add(n, false)
				}
				return true
			})
		}
	}
	return set
}

// TestCodes keeps the table of codes complete and without any that do not
// occur.
func TestCodes(t *testing.T) {
	have := codesIn(source(t), "internal/config", "internal/iface", "internal/device", "internal/plan", "internal/core", "internal/proto")
	for c := range codesIn(source(t), "internal/api") {
		if c == "NO_DEVICE" || c == "DEVICE_CLAIM_FAILED" {
			have[c] = true
		}
	}
	_, table, _ := between(t, readDoc(t, configDoc), codesBegin, codesEnd)
	said := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		said[m[1]] = true
	}
	if h, s := slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(said)); !slices.Equal(h, s) || len(h) < 10 {
		t.Errorf("codes in the code:\n%q\nin docs/CONFIGURATION.md:\n%q", h, s)
	}
}

// docs lists the pages that are ours.
func docs(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(list) < 3 {
		t.Fatalf("docs: %v %v", list, err)
	}
	return append(list, root+"/README.md")
}

// fence is a fenced block of a page: its language and the text.
var fence = regexp.MustCompile("(?ms)^```([a-z -]*)\n(.*?)^```$")

// TestSamples: every sample configuration of the documentation is right; one
// that is wrong on purpose ("uci-bad") gives the problems in the block after it.
func TestSamples(t *testing.T) {
	good, bad := 0, 0
	for _, page := range docs(t) {
		blocks := fence.FindAllStringSubmatch(readDoc(t, page), -1)
		for i, b := range blocks {
			if b[1] != "uci" && b[1] != "uci-bad" {
				continue
			}
			const file = "/etc/config/network"
			pkg, err := uci.Parse("network", []byte(b[2]), uci.Options{File: file})
			if err != nil {
				t.Errorf("%s: %v in\n%s", page, err, b[2])
				continue
			}
			_, problems := config.Parse(pkg, file, config.Options{})
			var got strings.Builder
			for _, p := range problems {
				got.WriteString(p.String() + "\n")
			}
			switch {
			case b[1] == "uci":
				good++
				if got.Len() > 0 {
					t.Errorf("%s: a sample has problems:\n%s", page, got.String())
				}
			case i+1 == len(blocks) || blocks[i+1][2] != got.String():
				t.Errorf("%s: after a wrong sample should stand\n%s", page, got.String())
			default:
				bad++
			}
		}
	}
	if good < 3 || bad == 0 {
		t.Errorf("%d right and %d wrong samples found", good, bad)
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	named    = regexp.MustCompile("`((?:internal|docs|rtnl|ubus|uci|cmd|scripts|testdata)/[A-Za-z0-9_./-]*)`")
	testName = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*\b`)
	target   = regexp.MustCompile("`make ([a-z-]+)")
)

// TestWhatTheDocsName: links, files, tests and make targets that the pages
// name are there.
func TestWhatTheDocsName(t *testing.T) {
	tests := map[string]bool{}
	for _, p := range source(t).pkgs {
		for _, f := range p.files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && f.test {
					tests[fn.Name.Name] = true
				}
			}
		}
	}
	makefile, err := os.ReadFile(root + "/Makefile")
	if err != nil {
		t.Error(err)
	}
	for _, page := range docs(t) {
		text := readDoc(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			}
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !there(m[1]) {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
		for _, name := range testName.FindAllString(text, -1) {
			if !tests[name] && name != "TestXxx" && name != "FuzzXxx" {
				t.Errorf("%s: there is no test %s", page, name)
			}
		}
		for _, m := range target.FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^([a-z-]+ )*` + m[1] + `( [a-z-]+)*:`).Match(makefile) {
				t.Errorf("%s: the Makefile has no target %s", page, m[1])
			}
		}
	}
}

// there tells whether a name is a file, a folder, or an identifier of one
// ("internal/core.Step").
func there(name string) bool {
	if _, err := fs.Stat(os.DirFS(root), strings.TrimSuffix(name, "/")); err == nil {
		return true
	}
	dir, _, ok := strings.Cut(filepath.Base(name), ".")
	if !ok {
		return false
	}
	info, err := os.Stat(filepath.Join(root, filepath.Dir(name), dir))
	return err == nil && info.IsDir()
}

// TestArchitectureIsOnePage: what does not fit belongs into the doc.go of a
// package.
func TestArchitectureIsOnePage(t *testing.T) {
	if n := strings.Count(readDoc(t, root+"/docs/ARCHITECTURE.md"), "\n"); n > 150 {
		t.Errorf("docs/ARCHITECTURE.md has %d lines", n)
	}
}
