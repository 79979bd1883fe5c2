package uci

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vector is one recorded run of the uci command.
type vector struct {
	Name        string
	Input       *string // file t; nil is no file
	Cmd         []string
	Stdout      string
	Stderr      string
	RC          int
	Stdin       string
	Steps       []step
	DeltaBefore map[string]string `json:"delta_before"`
	OtherFiles  map[string]string `json:"other_files"`
}

type step struct {
	Cmd    []string
	Stdout string
	Stderr string
	RC     int
	Stdin  string
	Files  map[string]string
	Delta  map[string]string
}

func readVectors(t testing.TB) []vector {
	f, err := os.Open("testdata/uci-vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []vector
	for d := json.NewDecoder(f); ; {
		var v vector
		if err := d.Decode(&v); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
}

// command is a vector's command line taken apart.
type cli struct {
	verb, arg string
	hasArg    bool
	format    Format
	opts      Options
	dir       string
}

// parseCLI returns ok=false, with the reason, for what is the uci command's own
// business: usage texts and delta directories.
func parseCLI(dir string, args []string) (c cli, skip string) {
	c.dir = dir
	args = args[1:]
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-S":
			c.opts.NonStrict = true
		case "-n":
			c.format.Named = true
		case "-N":
			c.format.Named = false
		case "-X":
			c.format.Plain = true
		case "-d":
			c.format.Delimiter = args[1]
			args = args[1:]
		case "-c":
			c.dir = args[1]
			args = args[1:]
		default:
			return c, "option " + args[0]
		}
		args = args[1:]
	}
	if len(args) == 0 {
		return c, "usage"
	}
	c.verb = strings.ToLower(args[0])
	if len(args) > 1 {
		c.arg, c.hasArg = args[1], true
	}
	switch c.verb {
	case "show", "export":
		return c, ""
	case "get":
		if !c.hasArg {
			return c, "usage"
		}
		return c, ""
	}
	return c, "verb " + c.verb
}

// runCLI is the thin wrapper that the uci command is going to be.
func runCLI(c cli) (stdout, stderr string, rc int) {
	var out, errs strings.Builder
	complain := func(err error) {
		rc = 1
		if m := Message(err); m != "" {
			errs.WriteString("uci: " + m + "\n")
		}
	}
	one := func(arg string) {
		t, err := ParseTuple(arg)
		if err != nil {
			complain(err)
			return
		}
		p, err := Load(c.dir, t.Package, c.opts)
		if err != nil {
			complain(err)
			return
		}
		for _, e := range p.Errors {
			errs.WriteString(Message(e) + "\n")
		}
		switch c.verb {
		case "show":
			err = Show(&out, p, t, c.format)
		case "get":
			err = Get(&out, p, t, c.format)
		case "export":
			err = Export(&out, p, c.format)
		}
		if err != nil {
			complain(err)
		}
	}
	if c.hasArg {
		one(c.arg)
		return out.String(), errs.String(), rc
	}
	names, err := List(c.dir)
	if err != nil {
		complain(err)
	}
	for _, name := range names {
		one(name)
	}
	if err == nil {
		rc = 0
	}
	return out.String(), errs.String(), rc
}

// vectorSkips are the recorded commands that TestVectors does not run, and why.
var vectorSkips = map[string]string{
	"verb add": inEditVectors, "verb add_list": inEditVectors, "verb del": inEditVectors,
	"verb del_list": inEditVectors, "verb delete": inEditVectors, "verb rename": inEditVectors,
	"verb reorder": inEditVectors, "verb set": inEditVectors,
	"verb commit": "moves delta files into the package",
	"verb revert": "edits delta files",
	"verb batch":  "runs other commands, most of them on delta files",
	"verb help":   "a text of the uci command",
	"usage":       "a text of the uci command",
	"option -h":   "a text of the uci command",
	"option -P":   "a folder of delta files",
	"option -p":   "a folder of delta files",
	"delta":       "begins with a delta file",
}

const inEditVectors = "its result is held by TestEditVectors, its delta file is the uci command's"

// TestVectors holds every recorded show, get and export, also where they are a
// step of a longer story before anything was changed.
func TestVectors(t *testing.T) {
	ran, skipped := 0, map[string]int{}
	for _, v := range readVectors(t) {
		if v.DeltaBefore != nil {
			skipped["delta"]++
			continue
		}
		dir := t.TempDir()
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if v.Input != nil {
			write("t", *v.Input)
		}
		for name, text := range v.OtherFiles {
			write(name, text)
		}
		steps := v.Steps
		if len(steps) == 0 {
			steps = []step{{Cmd: v.Cmd, Stdout: v.Stdout, Stderr: v.Stderr, RC: v.RC}}
		}
		for _, s := range steps {
			if len(s.Cmd) > 1 && s.Cmd[1] == "import" {
				testImport(t, v.Name, dir, s)
				ran++
				continue
			}
			c, skip := parseCLI(dir, s.Cmd)
			if skip != "" {
				skipped[skip]++
				if strings.HasPrefix(skip, "verb") {
					break // what follows is about the change
				}
				continue
			}
			ran++
			stdout, stderr, rc := runCLI(c)
			if stdout != s.Stdout || stderr != s.Stderr || rc != s.RC {
				t.Errorf("%s: %q on %q:\n got %q %q %d\nwant %q %q %d", v.Name, s.Cmd, deref(v.Input),
					stdout, stderr, rc, s.Stdout, s.Stderr, s.RC)
			}
		}
	}
	for what, n := range skipped {
		t.Logf("skipped %2d × %s: %s", n, what, vectorSkips[what])
		if vectorSkips[what] == "" {
			t.Errorf("%s skipped without a reason", what)
		}
	}
	t.Logf("%d commands ran", ran)
	const atLeast = 109
	if ran < atLeast {
		t.Errorf("%d commands ran, want at least %d", ran, atLeast)
	}
}

func deref(s *string) string {
	if s == nil {
		return "(no file)"
	}
	return *s
}

// testImport does what "uci import [PACKAGE]" does and compares the files.
func testImport(t *testing.T, name, dir string, s step) {
	var list []*Package
	var err error
	if len(s.Cmd) > 2 {
		var p *Package
		p, err = Parse(s.Cmd[2], []byte(s.Stdin), Options{})
		list = append(list, p)
	} else {
		list, err = ParseImport([]byte(s.Stdin), Options{})
	}
	stderr := ""
	if err != nil {
		list, stderr = nil, "uci: "+Message(err)+"\n"
	}
	if stderr != s.Stderr || (err != nil) != (s.RC != 0) {
		t.Errorf("%s: %q, want %q", name, stderr, s.Stderr)
	}
	for _, p := range list {
		if got := string(p.Canonical()); got != s.Files[p.Name] {
			t.Errorf("%s: file %s is %q, want %q", name, p.Name, got, s.Files[p.Name])
		}
		if err := WriteFile(filepath.Join(dir, p.Name), p.Canonical()); err != nil {
			t.Error(err)
		}
	}
	if err == nil && len(list) != len(s.Files) {
		t.Errorf("%s: %d packages, want %d", name, len(list), len(s.Files))
	}
}

// editSkips are the recorded edits that this package does otherwise, and why.
var editSkips = map[string]string{
	"edit: add t":               "a wrong argument count is the uci command's business",
	"edit: add zz s":            "no such file: Load's business, in TestVectors",
	"edit: set zz.n=s":          "no such file: Load's business, in TestVectors",
	"edit: rename t.n=m":        "a taken name: tested on Package only, Document refuses it",
	"edit: rename t.n=bad-name": "uci writes it to the delta file and ignores it later; here an error",
}

// TestEditVectors replays the recorded set, add, delete, … on a Package and on
// a Document, and compares what export and commit showed afterwards. Delta
// files, "changes" and "revert" are the uci command's.
func TestEditVectors(t *testing.T) {
	ran := 0
	for _, v := range readVectors(t) {
		if !strings.HasPrefix(v.Name, "edit: ") || editSkips[v.Name] != "" && v.Name != "edit: rename t.n=m" {
			continue
		}
		ran++
		p, err := Parse("t", []byte(*v.Input), Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := ParseDocument("t", []byte(*v.Input), Options{})
		if err != nil {
			t.Fatal(err)
		}
		first := v.Steps[0]
		out, err := applyEdit(p, first.Cmd[1:])
		stderr := ""
		if err != nil {
			stderr = "uci: " + Message(err) + "\n"
		}
		if stderr != first.Stderr || out != first.Stdout {
			t.Errorf("%s: %q %q, want %q %q", v.Name, out, stderr, first.Stdout, first.Stderr)
		}
		compareSteps(t, v, p)
		if editSkips[v.Name] != "" {
			continue
		}
		if _, err := applyEdit(d, first.Cmd[1:]); (err != nil) != (stderr != "") {
			t.Errorf("%s: document: %v", v.Name, err)
		}
		if err := d.Check(); err != nil || !d.Package().Equal(p) {
			t.Errorf("%s: document: %v\n%s", v.Name, err, d.Bytes())
		}
		if stderr != "" && string(d.Bytes()) != *v.Input {
			t.Errorf("%s: a refused edit changed the document:\n%s", v.Name, d.Bytes())
		}
	}
	if want := 38; ran < want {
		t.Errorf("%d vectors ran, want at least %d", ran, want)
	}
}

// compareSteps compares p with the export before commit, and with the file
// after it where commit wrote one.
func compareSteps(t *testing.T, v vector, p *Package) {
	for i, s := range v.Steps {
		switch {
		case s.Cmd[1] == "export" && i == 2:
			var b strings.Builder
			if err := Export(&b, p, Format{}); err != nil || b.String() != s.Stdout {
				t.Errorf("%s: export %v\n got %q\nwant %q", v.Name, err, b.String(), s.Stdout)
			}
		case s.Cmd[1] == "commit" && s.Files["t"] != *v.Input:
			if got := string(p.Canonical()); got != s.Files["t"] {
				t.Errorf("%s: commit\n got %q\nwant %q", v.Name, got, s.Files["t"])
			}
		}
	}
}

// editor is what Package and Document have in common.
type editor interface {
	Add(string) (*Section, error)
	SetSection(string, string) (*Section, error)
	Set(string, string, string) error
	AddList(string, string, string) error
	DelList(string, string, string) error
	Delete(string) error
	DeleteOption(string, string) error
	DeleteValue(string, string, int) error
	Rename(string, string) error
	RenameOption(string, string, string) error
	Reorder(string, int) error
}

var (
	_ editor = (*Package)(nil)
	_ editor = (*Document)(nil)
)

// applyEdit does one command of the uci command line.
func applyEdit(e editor, args []string) (stdout string, err error) {
	if args[0] == "add" {
		s, err := e.Add(args[2])
		if err != nil {
			return "", err
		}
		return s.Name + "\n", nil
	}
	t, err := ParseTuple(args[1])
	if err != nil {
		return "", err
	}
	bad := func(kind error) error { return fail(args[0], t.String(), kind) }
	position := 0
	for i := 0; i < len(t.Value) && t.Value[i] >= '0' && t.Value[i] <= '9'; i++ {
		position = position*10 + int(t.Value[i]-'0')
	}
	switch args[0] {
	case "set":
		switch {
		case !t.HasValue, !t.HasSection:
			return "", bad(ErrInvalid)
		case t.Option != "":
			return "", e.Set(t.Section, t.Option, t.Value)
		}
		_, err = e.SetSection(t.Section, t.Value)
	case "add_list", "del_list":
		if !t.HasValue {
			return "", bad(ErrInvalid)
		}
		if args[0] == "add_list" {
			return "", e.AddList(t.Section, t.Option, t.Value)
		}
		err = e.DelList(t.Section, t.Option, t.Value)
	case "delete", "del":
		switch {
		case !t.HasSection:
			return "", bad(ErrInvalid)
		case t.Option == "":
			err = e.Delete(t.Section)
		case t.HasValue:
			err = e.DeleteValue(t.Section, t.Option, position)
		default:
			err = e.DeleteOption(t.Section, t.Option)
		}
	case "rename":
		if t.Option != "" {
			return "", e.RenameOption(t.Section, t.Option, t.Value)
		}
		err = e.Rename(t.Section, t.Value)
	case "reorder":
		if !t.HasValue {
			return "", bad(ErrNotFound)
		}
		err = e.Reorder(t.Section, position)
	default:
		err = errors.New("unknown command " + args[0])
	}
	return "", err
}
