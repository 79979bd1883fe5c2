package ucicmd

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"netbraid/uci"
)

const base = "config s 'n'\n\toption a '1'\n\tlist l 'x'\n\tlist l 'y z'\n\nconfig s\n\toption b '2'\n\nconfig t 'm'\n"

// TestCommands are runs that no recording has, in order on the same folders.
func TestCommands(t *testing.T) {
	const line = "\n"
	type run struct {
		args, stdin    string // args are words; a "_" in one is a space
		stdout, stderr string
		rc             int
		delta          string // file t after it
	}
	for name, runs := range map[string][]run{
		"an empty list shows until commit": {
			{args: "del_list t.n.l=x", delta: "~t.n.l='x'\n"},
			{args: "del_list t.n.l=y_z", delta: "~t.n.l='x'\n~t.n.l='y z'\n"},
			{args: "show t.n.l", stdout: "t.n.l=\n", delta: "~t.n.l='x'\n~t.n.l='y z'\n"},
			{args: "get t.n.l", stdout: line, delta: "~t.n.l='x'\n~t.n.l='y z'\n"},
			{args: "commit t"},
			{args: "get t.n.l", stderr: "uci: Entry not found\n", rc: 1},
		},
		"silence and numbers": {
			{args: "-q get t.zz", rc: 1},
			{args: "add zz s", stderr: "uci: Entry not found\n", rc: 3},
			{args: "delete t.n.l=abc", rc: 1},
			{args: "delete t.n.l=-1"},
			{args: "revert t.n=1", rc: 1},
			{args: "add t bad_type", stdout: "cfg0469ce\n", delta: "+t.cfg0469ce='bad type'\n"},
			{args: "export t", stdout: "package t\n\n" + base + "\n", delta: "+t.cfg0469ce='bad type'\n"},
		},
		"options": {
			{args: "get t.n.a -X", stdout: "1\n"},
			{args: "-L", stderr: "USAGE"},
			{args: "-c", stderr: "uci: option requires an argument -- 'c'\nUSAGE"},
			{args: "-f /nonexistent batch", stderr: "uci: No such file or directory", rc: 1},
			{args: "-f /dev/null -f /dev/null batch", stderr: "Too many input files.\n", rc: 1},
			{args: "-q -f /nonexistent batch", rc: 1},
			{args: "import -m", stderr: "USAGE", rc: 255},
			{args: "import a b", stderr: "USAGE", rc: 255},
			{args: "show a b", stderr: "USAGE", rc: 255},
			{args: "get a b", stderr: "USAGE", rc: 255},
		},
		"sections by selector": {
			{args: "rename t.@s[1]=named", delta: "@t.cfg02b618='named'\n"},
			{args: "set t.@s[1].b=3", delta: "@t.cfg02b618='named'\nt.named.b='3'\n"},
			{args: "set t.@s[9].b=3", stderr: "uci: Invalid argument\n", rc: 1, delta: "@t.cfg02b618='named'\nt.named.b='3'\n"},
			{args: "revert t.@s[1]", delta: "@t.cfg02b618='named'\n"},
			{args: "reorder t.@t[0].x=1", delta: "@t.cfg02b618='named'\n^t.m='1'\n"},
			{args: "ren t.m=m2", delta: "@t.cfg02b618='named'\n^t.m='1'\n@t.m='m2'\n"},
			{args: "commit"},
			{args: "show t", stdout: "t.n=s\nt.n.a='1'\nt.n.l='x' 'y z'\nt.m2=t\nt.named=s\nt.named.b='2'\n"},
		},
		"merge": {
			{args: "-m import t", stdin: "config s n\n\toption a 1\n\toption a 2\n\tlist l w\n\toption e ''\nconfig s\n\toption k v\nconfig t o\n",
				delta: "t.n='s'\nt.n.a='2'\n|t.n.l='w'\n+t.cfg04b618='s'\nt.cfg04b618.k='v'\nt.o='t'\n"},
			{args: "-m import t", stdin: "config x n\n", rc: 1,
				stderr: "uci: Parse error (section of different type overwrites prior section with same name) at line 1, byte 11\n",
				delta:  "t.n='s'\nt.n.a='2'\n|t.n.l='w'\n+t.cfg04b618='s'\nt.cfg04b618.k='v'\nt.o='t'\n"},
			{args: "revert t"},
			{args: "-m import t", stdin: "config s n\n\toption a '\x01'\n", rc: 1,
				stderr: "uci: Invalid argument\nuci: a delta file cannot hold this value\n"},
			{args: "-m import fresh", stdin: "config s n\n"},
			{args: "export fresh", stdout: "package fresh\n\nconfig s 'n'\n\n"},
			{args: "import", stdin: "package a\npackage a\n", stderr: "uci: Duplicate entry\n", rc: 1},
			{args: "-S import b", stdin: "config s n\nfoo\n", stderr: "Parse error (invalid command) at line 2, byte 0\n"},
			{args: "import", stdin: ""},
		},
		"a broken line at commit": {
			{args: "set t.n.a=2", delta: "t.n.a='2'\n"},
			{args: "-m import t", stdin: "config s n\n\toption a 3\n", delta: "t.n.a='2'\nt.n='s'\nt.n.a='3'\n"},
			{args: "rename t.n=no-name", delta: "t.n.a='2'\nt.n='s'\nt.n.a='3'\n@t.n='no-name'\n"},
			{args: "commit t", stderr: "uci: DELTA/t:4: invalid new name, skipped: \"@t.n='no-name'\\n\"\n", delta: "@t.n='no-name'\n"},
			{args: "get t.n.a", stdout: "3\n", delta: "@t.n='no-name'\n"},
			{args: "revert t"},
		},
		"batch counts lines as the original": {
			{args: "batch", stdin: "nosuch\nget t.n.a-b\nget t.n.a\nget t.n.a.b.c\nbatch\nHELP\nEXIT\nget t.n.a\n",
				stdout: "1\n", stderr: "Unknown command\nuci: Parse error (unknown) at line 2, byte 0\n" +
					"uci: Parse error (unknown) at line 1, byte 0\nUnknown command\nUSAGE"},
			{args: "batch", stdin: "get t.n.a\nget 't.n\n", stdout: "1\n", stderr: "uci: Parse error (EOF with unterminated ') at line 1, byte 9\n"},
			{args: "batch", stdin: "import n\nconfig s x\n\toption a 'get t'\n"},
			{args: "get n.x.a", stdout: "get t\n"},
		},
		"-d": {
			{args: "-d + get t.n.l", stdout: "x+'y z'\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write("config", "t", base)
			for _, r := range runs {
				var args []string
				for _, a := range strings.Fields(r.args) {
					if !strings.Contains(a, "list") {
						a = strings.ReplaceAll(a, "_", " ")
					}
					args = append(args, a)
				}
				stdout, stderr, rc := w.uci(r.stdin, args...)
				stderr = strings.ReplaceAll(stderr, usageText(), "USAGE")
				stderr = strings.ReplaceAll(stderr, w.path("delta"), "DELTA")
				if stdout != r.stdout || stderr != r.stderr || rc != r.rc {
					t.Errorf("%q:\n got %q %q %d\nwant %q %q %d", args, stdout, stderr, rc, r.stdout, r.stderr, r.rc)
				}
				if got := w.files("delta")["t"]; got != r.delta {
					t.Errorf("%q leaves %q, want %q", args, got, r.delta)
				}
			}
		})
	}
}

// usageText is what every wrong use prints.
func usageText() string {
	var b bytes.Buffer
	(&command{prog: "uci", err: &b}).usage()
	return b.String()
}

// TestFolders: -p, -P and -t add folders of changes; -C holds files that are
// used instead.
func TestFolders(t *testing.T) {
	w := newWorld(t)
	w.write("config", "t", base)
	w.write("usual", "t", "t.n.a='usual'\nt.n.u='1'\n")
	w.write("more", "t", "t.n.a='more'\nt.n.p='1'\n")
	expect := func(want string, args ...string) {
		t.Helper()
		if stdout, stderr, rc := w.uci("", args...); stdout != want || stderr != "" || rc != 0 {
			t.Errorf("%q: %q %q %d, want %q", args, stdout, stderr, rc, want)
		}
	}
	expect("usual\n", "get", "t.n.a")
	expect("more\n", "-p", w.path("more"), "get", "t.n.a") // before the folder saved to, behind the usual one
	expect("", "set", "t.n.a=saved")
	expect("saved\n", "-p", w.path("more"), "-p", w.path("more"), "get", "t.n.a")
	expect("t.n.a='usual'\nt.n.u='1'\nt.n.a='more'\nt.n.p='1'\nt.n.a='saved'\n", "-p", w.path("more"), "changes", "t")

	// -P saves there, and commits nothing.
	expect("", "-P", w.path("own"), "set", "t.n.a=own")
	expect("", "-P", w.path("own"), "commit")
	if got := w.files("own")["t"]; got != "t.n.a='own'\n" {
		t.Errorf("own: %q", got)
	}
	if got := w.files("config")["t"]; got != base {
		t.Errorf("%q", got)
	}
	// A commit takes all that it reads, and empties only the folder saved to.
	expect("", "-p", w.path("more"), "commit", "t")
	if got := w.files("config")["t"]; !strings.Contains(got, "option a 'saved'") || !strings.Contains(got, "option u") || !strings.Contains(got, "option p") {
		t.Errorf("%q", got)
	}
	if got := w.files("delta")["t"]; got != "" {
		t.Errorf("delta: %q", got)
	}
	if got := w.files("more")["t"]; got == "" {
		t.Error("the folder of -p was emptied")
	}

	w.write("over", "t", "config o 'only'\n")
	w.write("over", "extra", "config o 'e'\n")
	expect("", "-C", w.path("over"), "-t", w.path("od"), "set", "t.only.x=1")
	if got := w.files("od")["t"]; got != "t.only.x='1'\n" {
		t.Errorf("od: %q", got)
	}
	expect("extra.e=o\nt.only=o\n", "-C", w.path("over"), "show")
}

// TestPath: a package that is a path is changed at once.
func TestPath(t *testing.T) {
	w := newWorld(t)
	w.write("elsewhere", "t", "# c\nconfig s n\n\toption a 1\n")
	path := w.path("elsewhere", "t")
	for _, args := range [][]string{
		{"set", path + ".n.a=2"}, {"add_list", path + ".n.l=x"}, {"set", path + ".m=q"}, {"rename", path + ".m=o"},
		{"reorder", path + ".o=0"}, {"add", path, "z"}, {"commit", path}, {"revert", path}, {"changes", path},
	} {
		stdout, stderr, rc := w.uci("", args...)
		if rc != 0 || stderr != "" || stdout != "" && args[0] != "add" {
			t.Errorf("%q: %q %q %d", args, stdout, stderr, rc)
		}
	}
	want := "\nconfig q 'o'\n\nconfig s 'n'\n\toption a '2'\n\tlist l 'x'\n\nconfig z\n\n"
	if got := w.files("elsewhere"); len(got) != 1 || got["t"] != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := w.files("delta"); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if _, stderr, rc := w.uci("", "add", path, "bad type"); rc != 2 || stderr != "uci: Invalid argument\n" {
		t.Errorf("%q %d", stderr, rc)
	}
}

// TestBroken: a package that cannot be read is not changed, and says where.
func TestBroken(t *testing.T) {
	const text = "config s n\nfoo\n"
	const where = "uci: Parse error (invalid command) at line 2, byte 0\n"
	w := newWorld(t)
	w.write("config", "t", text)
	w.write("delta", "t", "t.n.a='1'\n")
	for args, rc := range map[string]int{"set t.n.a=1": 1, "add t s": 5, "commit t": 1, "revert t": 1, "changes t": 1, "commit": 0, "export": 0} {
		if _, stderr, got := w.uci("", strings.Fields(args)...); got != rc || stderr != where {
			t.Errorf("%s: %q %d", args, stderr, got)
		}
	}
	if c, d := w.files("config")["t"], w.files("delta")["t"]; c != text || d != "t.n.a='1'\n" {
		t.Errorf("%q %q", c, d)
	}
}

// TestIOErrors are told with what lies behind them.
func TestIOErrors(t *testing.T) {
	w := newWorld(t)
	w.write("config", "t", base)
	if err := os.WriteFile(w.path("delta"), nil, 0o600); err != nil { // no folder
		t.Fatal(err)
	}
	_, stderr, rc := w.uci("", "set", "t.n.a=2")
	if rc != 1 || !strings.HasPrefix(stderr, "uci: I/O error\nuci: ") || !strings.Contains(stderr, "not a directory") {
		t.Errorf("%q %d", stderr, rc)
	}
	var e bytes.Buffer
	c := &command{prog: "uci", in: strings.NewReader(""), err: &e, store: uci.Store{ConfigDir: w.path("config")}}
	if rc := c.main([]string{"export", "t"}, closed{}); rc != 1 || e.String() != "uci: closed\n" {
		t.Errorf("%q %d", e.String(), rc)
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("closed") }

// TestUsage: the texts have the name that the program was called by.
func TestUsage(t *testing.T) {
	var o, e bytes.Buffer
	if rc := Main("x/uci", []string{"help"}, strings.NewReader(""), &o, &e); rc != 0 || o.Len() > 0 || !strings.HasPrefix(e.String(), "Usage: x/uci [<opt") {
		t.Errorf("%d %q %q", rc, o.String(), e.String())
	}
}

// FuzzBatch: no line of a batch panics or ends the run; the file always reads
// back, and what was said to be changed is.
func FuzzBatch(f *testing.F) {
	for _, v := range readVectors(f) {
		if v.Stdin != "" {
			f.Add(v.Stdin)
		}
		for _, s := range append(slices.Clone(v.Steps), v.step) {
			if len(s.Cmd) > 1 {
				f.Add(strings.Join(s.Cmd[1:], " ") + "\ncommit t\n")
			}
		}
	}
	f.Add("set t.n='x'\nrename t.n=m\nreorder t.@s[-1]=0\ndelete t.@[0]\nimport t\nconfig s\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "/") {
			return // a path: outside the test's folders
		}
		w := newWorld(t)
		w.write("config", "t", base)
		if _, _, rc := w.uci(text, "batch"); rc != 0 {
			t.Fatalf("%q: exit code %d", text, rc)
		}
		stdout, stderr, rc := w.uci("", "-S", "export", "t")
		if rc != 0 {
			t.Fatalf("%q: %q %q", text, stdout, stderr)
		}
	})
}
