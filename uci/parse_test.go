package uci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestErrors holds reason, line and byte of each syntax error; positions that
// the recorded runs do not have follow from the grammar's description.
func TestErrors(t *testing.T) {
	tests := []struct {
		in          string
		reason      string
		line, start int
		byte        int
	}{
		{"foo bar\n", "invalid command", 1, 1, 0},
		{"config s n\n  foo\n", "invalid command", 2, 2, 2},
		{"config\n", "invalid command", 1, 1, 0},
		{"option\r\n", "invalid command", 1, 1, 0},
		{"config", "config without name", 1, 1, 0},
		{"config s\noption", "option without name", 2, 2, 0},
		{"config s\nlist", "option without name", 2, 2, 0},
		{"package", "package without name", 1, 1, 0},
		{"config ", "insufficient arguments", 1, 1, 7},
		{"config \n", "insufficient arguments", 1, 1, 8},
		{"config s\noption '' b\n", "insufficient arguments", 2, 2, 10},
		{"config s n x\n", "too many arguments", 1, 1, 13},
		{"config s ;option a b\n", "too many arguments", 1, 1, 17},
		{"config s n\noption a b c\n", "too many arguments", 2, 2, 13},
		{"config s n\n\toption a \\\n b\n", "too many arguments", 3, 2, 14},
		{"config 'a b' n\n", "invalid character in type field", 1, 1, 13},
		{"config s a-b\n", "invalid character in name field", 1, 1, 13},
		{"package a.b\n", "invalid character in name field", 1, 1, 12},
		{"option a b\n", "option/list command found before the first section", 1, 1, 0},
		{"\tlist a b\n", "option/list command found before the first section", 1, 1, 1},
		{"config s n\noption a 'b\nc\n", "EOF with unterminated '", 3, 2, 14},
		{"config s n\noption a 'b\nc' \"d\ne\n\n", "EOF with unterminated \"", 5, 3, 21},
		{"config s n\noption a \"b\\\n", "EOF with unterminated \"", 2, 2, 12},
		{"config s 'n';\n", "invalid command", 1, 1, 13},
		{"config s 'n'; foo\n", "invalid command", 1, 1, 13},
		{"config s n\nconfig t n\n", "section of different type overwrites prior section with same name", 2, 2, 11},
		{"config s n\noption a 'b\x00c'\n", "NUL byte in line", 2, 2, 0},
	}
	for _, tt := range tests {
		_, err := Parse("t", []byte(tt.in), Options{File: "/etc/config/t"})
		want := ParseError{"/etc/config/t", tt.line, tt.start, tt.byte, tt.reason}
		var pe *ParseError
		if !errors.As(err, &pe) || *pe != want {
			t.Errorf("%q: %+v, want %+v", tt.in, err, want)
			continue
		}
		if text := fmt.Sprintf("uci: Parse error (%s) at line %d, byte %d", tt.reason, tt.line, tt.byte); err.Error() != text {
			t.Errorf("%q: %s, want %s", tt.in, err, text)
		}
		if pos := fmt.Sprintf("/etc/config/t:%d", tt.start); pe.Position() != pos || !errors.Is(err, ErrParse) {
			t.Errorf("%q: position %s, want %s", tt.in, pe.Position(), pos)
		}
	}
}

func TestSemicolonAndJoins(t *testing.T) {
	tests := []struct{ in, want string }{
		{"config s n\noption a b ; option c d\n", "\nconfig s 'n'\n\toption a 'b'\n\toption c 'd'\n\n"},
		{"config s n\noption a b;option c d\n", "\nconfig s 'n'\n\toption a 'b'\n\n"},
		{"config s n\noption a \\b;option c d\n", "\nconfig s 'n'\n\toption a 'b'\n\toption c 'd'\n\n"},
		{"config s n\noption a b ; # c\n", "\nconfig s 'n'\n\toption a 'b'\n\n"},
		{"config s n\r\noption a b\\\r\nc\r\n", "\nconfig s 'n'\n\toption a 'bc'\n\n"},
		{"config s n\noption a b#c ; option d e\n", "\nconfig s 'n'\n\toption a 'b'\n\n"},
		{"\v\fconfig s n\n", "\nconfig s 'n'\n\n"},
		{"config s n\noption a b", "\nconfig s 'n'\n\toption a 'b'\n\n"},
		{"config 'a#b;c' n\n", "\nconfig 'a#b;c' 'n'\n\n"},
	}
	for _, tt := range tests {
		p, err := Parse("t", []byte(tt.in), Options{})
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if got := string(p.Canonical()); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestLines(t *testing.T) {
	in := "# c\nconfig s n\n\toption a 'x\ny'\n\toption b 1\n\tlist l 1\nconfig s m\nconfig s n\n\toption b 2\n\n\tlist l 2\n\tlist b 3\n"
	p, err := Parse("t", []byte(in), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := p.Section("n")
	if s.Line != 2 || p.Section("m").Line != 7 || p.Section("x") != nil {
		t.Errorf("sections at %d, %d", s.Line, p.Section("m").Line)
	}
	want := []Option{
		{Name: "a", Values: []string{"x\ny"}, Line: 3},
		{Name: "b", Values: []string{"2", "3"}, List: true, Line: 9, Lines: []int{9, 12}},
		{Name: "l", Values: []string{"1", "2"}, List: true, Line: 6, Lines: []int{6, 11}},
	}
	same := func(a, b Option) bool {
		return a.Name == b.Name && a.List == b.List && a.Line == b.Line &&
			slices.Equal(a.Values, b.Values) && slices.Equal(a.Lines, b.Lines)
	}
	if !slices.EqualFunc(s.Options, want, same) {
		t.Errorf("%+v", s.Options)
	}
	if o := s.Get("l"); o.ValueLine(1) != 11 || o.ValueLine(7) != 6 || o.Value() != "1" {
		t.Errorf("list %+v", o)
	}
	if v, ok := s.Value("nope"); v != "" || ok || s.Values("nope") != nil || s.Get("nope").Value() != "" {
		t.Error("found what is not there")
	}
}

func TestNonStrict(t *testing.T) {
	in := "option x y\nconfig s n\n\toption a 1 2\nfoo\n\toption b 2\nconfig s bad-name\n\toption c \"3\n"
	p, err := Parse("t", []byte(in), Options{NonStrict: true, File: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(p.Canonical()); got != "\nconfig s 'n'\n\toption a '1'\n\toption b '2'\n\n" {
		t.Errorf("%q", got)
	}
	var got []string
	for _, e := range p.Errors {
		got = append(got, fmt.Sprintf("%d %s", e.Line, e.Reason))
	}
	want := []string{"1 option/list command found before the first section", "4 invalid command",
		"6 invalid character in name field", "7 EOF with unterminated \""}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestManyOptions keeps a section's index right through edits.
func TestManyOptions(t *testing.T) {
	p := &Package{Name: "t"}
	s, err := p.SetSection("n", "s")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := p.Set("n", fmt.Sprint("o", i), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.DeleteOption("n", "o10"); err != nil {
		t.Fatal(err)
	}
	if err := p.RenameOption("n", "o11", "z"); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		v, ok := s.Value(fmt.Sprint("o", i))
		if want := i != 10 && i != 11; ok != want || ok && v != fmt.Sprint(i) {
			t.Errorf("o%d: %q %v", i, v, ok)
		}
	}
	if v, _ := s.Value("z"); v != "11" {
		t.Errorf("z is %q", v)
	}
}

func TestImportTwice(t *testing.T) {
	if _, err := ParseImport([]byte("package a\npackage b\npackage a\n"), Options{}); !errors.Is(err, ErrDuplicate) {
		t.Errorf("%v", err)
	}
}

func TestTuples(t *testing.T) {
	tests := []struct {
		in   string
		want Tuple
		ok   bool
	}{
		{"t", Tuple{Package: "t"}, true},
		{"t.@a[-1].o=x.y=z", Tuple{"t", "@a[-1]", "o", "x.y=z", true, true}, true},
		{"t.", Tuple{Package: "t", HasSection: true}, true},
		{"t.s.", Tuple{}, false},
		{"t.s.o.x", Tuple{}, false},
		{"", Tuple{}, false},
		{"t.s=a\x01", Tuple{}, false},
		{"t.s=a\tb\r\n", Tuple{"t", "s", "", "a\tb\r\n", true, true}, true},
	}
	for _, tt := range tests {
		got, err := ParseTuple(tt.in)
		if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrParse) {
			t.Errorf("%q: %+v %v", tt.in, got, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "network")
	if err := os.WriteFile(path, []byte("config s n\n\toption a b c\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		opts Options
		kind error
	}{
		{"network", Options{}, ErrParse},
		{path, Options{NonStrict: true}, nil},
		{"network", Options{MaxSize: 10}, ErrTooLarge},
		{"network", Options{MaxSize: -1, NonStrict: true}, nil},
		{"nope", Options{}, ErrNotFound},
		{"fifo", Options{}, ErrNotFound},
		{".", Options{}, ErrNotFound},
		{"..", Options{}, ErrNotFound},
		{"a/../../x", Options{}, ErrInvalid},
		{"", Options{}, ErrInvalid},
	}
	for _, tt := range tests {
		p, err := Load(dir, tt.name, tt.opts)
		if tt.kind == nil {
			if err != nil || p.Name != "network" || p.File != path {
				t.Errorf("%q: %+v %v", tt.name, p, err)
			}
			continue
		}
		if !errors.Is(err, tt.kind) || p != nil {
			t.Errorf("%q: %v, want %v", tt.name, err, tt.kind)
		}
	}
	_, err := Load(dir, "network", Options{MaxSize: 10})
	if want := "uci: load " + path + ": file too large: 25 bytes, limit 10"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := Parse("t", make([]byte, DefaultMaxSize+1), Options{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.b"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := List(dir); err != nil || !slices.Equal(got, []string{"fifo", "network"}) {
		t.Errorf("%q %v", got, err)
	}
	if _, err := List(filepath.Join(dir, "none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("f", link); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	st, err := os.Lstat(path)
	if err != nil || string(data) != "new" || st.Mode() != 0o640 {
		t.Errorf("%q %v %v", data, st.Mode(), err)
	}
	if target, err := os.Readlink(link); err != nil || target != "f" {
		t.Errorf("link %q %v", target, err)
	}
	if err := WriteFile(filepath.Join(dir, "g"), nil); err != nil {
		t.Error(err)
	}
	if err := WriteFile(dir, nil); !errors.Is(err, ErrIO) {
		t.Errorf("a folder: %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "none", "f"), nil); !errors.Is(err, ErrIO) {
		t.Errorf("no folder: %v", err)
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := "f g link"; strings.Join(names, " ") != want {
		t.Errorf("left behind: %q", names)
	}
}
