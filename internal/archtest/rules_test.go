package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// tooLong is what is longer than the limits of shape.go: nothing.
var tooLong = ratchet{}

// rule is one check of the whole tree.
type rule struct {
	name  string
	check func(*tree) []violation
}

var rules = []rule{
	{"imports", checkImports},
	{"core", checkCore},
	{"sockets", checkSockets},
	{"docs", checkDocs},
	{"sizes", func(t *tree) []violation { return checkSizes(t, tooLong) }},
}

// source is this module.
func source(t *testing.T) *tree {
	t.Helper()
	tr, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.pkgs) < 15 {
		t.Fatalf("only %d packages found", len(tr.pkgs))
	}
	return tr
}

// TestRules holds the rules of the house.
func TestRules(t *testing.T) {
	tr := source(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, v := range r.check(tr) {
				t.Error(v)
			}
		})
	}
	for _, pair := range unusedSideways(tr, sideways) {
		t.Errorf("nobody needs the import %q: take it off sideways", pair)
	}
}

// TestSocketNames keeps checkSockets from holding nothing, should the files of
// rtnl be cut differently.
func TestSocketNames(t *testing.T) {
	set := socketNames(source(t))
	for _, n := range []string{"Dial", "DialNS", "Subscribe", "NewNS", "OpenNS", "WithNS", "Conn", "Notifier", "NS"} {
		if !set[n] {
			t.Errorf("rtnl.%s does not count as part of the sockets", n)
		}
	}
	for _, n := range []string{"Error", "Link", "AppendLink", "DecodeLink", "NextMessage", "FormatMessage", "AppendDumpRequest"} {
		if set[n] {
			t.Errorf("rtnl.%s counts as part of the sockets", n)
		}
	}
}

// TestRulesFail proves that each rule fails when it is broken: the archives
// have a module, and in their comment every violation that is to be found.
func TestRulesFail(t *testing.T) {
	files, err := filepath.Glob("testdata/rules/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	broken := map[string]bool{}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			for _, f := range ar.Files {
				files[f.Name] = string(f.Data)
			}
			tr := mustLoad(t, module(files))
			var got []string
			for _, r := range rules {
				for _, v := range r.check(tr) {
					got = append(got, r.name+": "+v.String())
					broken[r.name] = true
				}
			}
			var want []string
			for line := range strings.Lines(string(ar.Comment)) {
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
					want = append(want, line)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
	for _, r := range rules {
		if !broken[r.name] && r.name != "sizes" { // TestSizes breaks that one
			t.Errorf("no archive breaks the rule %s", r.name)
		}
	}
}

func mustLoad(t *testing.T, fsys fs.FS) *tree {
	t.Helper()
	tr, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestUnusedSideways(t *testing.T) {
	tr := mustLoad(t, module(map[string]string{
		"internal/iface/a.go": "package iface\n\nimport _ \"m/internal/plan\"\n",
		"internal/plan/a.go":  "package plan\n",
		"internal/proto/a.go": "package proto\n",
	}))
	got := unusedSideways(tr, map[string]string{"iface plan": "used", "iface proto": "not used", "iface pair": "not there yet"})
	if !slices.Equal(got, []string{"iface proto"}) {
		t.Errorf("got %q", got)
	}
}

// TestSizes breaks the limits in every way.
func TestSizes(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\t_ = 0\n", n) }
	fsys := module(map[string]string{
		"a.go":      "package p\n" + strings.Repeat("\n", maxFile),
		"b.go":      "package p\n\nfunc (b *B[T]) long() {\n" + lines(maxFunc-1) + "}\n\nfunc just() {\n" + lines(maxFunc-2) + "}\n",
		"b_test.go": "package p\n" + strings.Repeat("\n", maxFile) + "func long() {\n" + lines(maxFunc) + "}\n",
	})
	for _, c := range []struct {
		allowed ratchet
		want    string
	}{
		{nil, "a.go: the file has 801 lines, the limit is 800\nb.go:3: func B.long has 121 lines, the limit is 120"},
		{ratchet{"a.go": 801, "b.go B.long": 121}, ""},
		{ratchet{"a.go": 900, "b.go B.long": 120}, "a.go: the file has 801 lines: bring the ratchet down from 900\nb.go:3: func B.long has grown to 121 lines; the ratchet has 120"},
		{ratchet{"a.go": 801, "b.go B.long": 121, "b.go just": 130, "c.go": 900},
			"b.go:125: func just has 120 lines: take it off the ratchet\nc.go: the ratchet lists c.go, which is not there"},
	} {
		var got []string
		for _, v := range checkSizes(mustLoad(t, fsys), c.allowed) {
			got = append(got, v.String())
		}
		slices.Sort(got)
		if s := strings.Join(got, "\n"); s != c.want {
			t.Errorf("ratchet %v: got\n%s\nwant\n%s", c.allowed, s, c.want)
		}
	}
}
