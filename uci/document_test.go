package uci

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `# managed by hand

# the loopback
config interface 'loopback'
	option device lo      # the kernel's
	option proto "static"
	# two of them
	list ipaddr 127.0.0.1/8
	list ipaddr '127.0.0.2/8' # second

config interface lan   # local
  option proto 'static'
  option mtu 1500;  # hm
	# option off 1
  list dns 1.1.1.1

# ---- devices ----

# the bridge
config device
	option name 'br-lan'; list ports 'a' ; list ports 'b' # both

config interface 'lan'
	option metric ''
	option proto dhcp
`

// TestDocumentEdits shows each edit as the lines that it removes and adds.
func TestDocumentEdits(t *testing.T) {
	tests := []struct {
		name string
		edit func(d *Document) error
		diff string
	}{
		{"set keeps the comment", func(d *Document) error { return d.Set("loopback", "device", "lo0") },
			"-\toption device lo      # the kernel's\n+\toption device 'lo0'      # the kernel's\n"},
		{"set the same value", func(d *Document) error { return d.Set("loopback", "device", "lo") }, ""},
		{"set a new option", func(d *Document) error { return d.Set("loopback", "mtu", "it's") },
			"+\toption mtu 'it'\\''s'\n"},
		{"set over a list", func(d *Document) error { return d.Set("loopback", "ipaddr", "::1") },
			"-\tlist ipaddr 127.0.0.1/8\n+\toption ipaddr '::1'\n-\tlist ipaddr '127.0.0.2/8' # second\n"},
		{"set where several lines stand", func(d *Document) error { return d.Set("lan", "proto", "none") },
			"-  option proto 'static'\n+  option proto 'none'\n-\toption proto dhcp\n"},
		{"set before a comment behind ;", func(d *Document) error { return d.Set("lan", "mtu", "9000") },
			"-  option mtu 1500;  # hm\n+  option mtu '9000' # hm\n"},
		{"set where an empty line stands", func(d *Document) error { return d.Set("lan", "metric", "5") },
			"-\toption metric ''\n+\toption metric '5'\n"},
		{"delete an option", func(d *Document) error { return d.DeleteOption("loopback", "proto") },
			"-\toption proto \"static\"\n"},
		{"set to nothing", func(d *Document) error { return d.Set("loopback", "proto", "") },
			"-\toption proto \"static\"\n"},
		{"add_list", func(d *Document) error { return d.AddList("loopback", "ipaddr", "x") },
			"+\tlist ipaddr 'x'\n"},
		{"add_list to an option", func(d *Document) error { return d.AddList("loopback", "device", "x") },
			"-\toption device lo      # the kernel's\n+\tlist device lo      # the kernel's\n+\tlist device 'x'\n"},
		{"add_list over a joined line", func(d *Document) error { return d.AddList("@device[0]", "ports", "c") },
			"-\toption name 'br-lan'; list ports 'a' ; list ports 'b' # both\n" +
				"+\toption name 'br-lan'\n+\tlist ports 'a'\n+\tlist ports 'b' # both\n+\tlist ports 'c'\n"},
		{"del_list", func(d *Document) error { return d.DelList("loopback", "ipaddr", "127.0.0.2/8") },
			"-\tlist ipaddr '127.0.0.2/8' # second\n"},
		{"del_list of the first", func(d *Document) error { return d.DeleteValue("loopback", "ipaddr", 0) },
			"-\tlist ipaddr 127.0.0.1/8\n"},
		{"rename an option", func(d *Document) error { return d.RenameOption("loopback", "device", "ifname") },
			"-\toption device lo      # the kernel's\n+\toption ifname lo      # the kernel's\n"},
		{"rename a section", func(d *Document) error { return d.Rename("lan", "home") },
			"-config interface lan   # local\n+config interface 'home'   # local\n-config interface 'lan'\n+config interface 'home'\n"},
		{"name an anonymous section", func(d *Document) error { return d.Rename("@device[0]", "br") },
			"-config device\n+config device 'br'\n"},
		{"change a type", func(d *Document) error { _, err := d.SetSection("loopback", "x"); return err },
			"-config interface 'loopback'\n+config x 'loopback'\n"},
		{"add a section", func(d *Document) error { _, err := d.Add("route"); return err },
			"+\n+config route\n"},
		{"add a named section", func(d *Document) error { _, err := d.SetSection("r", "route"); return err },
			"+\n+config route 'r'\n"},
		{"delete a section", func(d *Document) error { return d.Delete("loopback") },
			"-# the loopback\n-config interface 'loopback'\n-\toption device lo      # the kernel's\n" +
				"-\toption proto \"static\"\n-\t# two of them\n-\tlist ipaddr 127.0.0.1/8\n" +
				"-\tlist ipaddr '127.0.0.2/8' # second\n-\n"},
	}
	for _, tt := range tests {
		d := mustDocument(t, sample)
		if err := tt.edit(d); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if err := d.Check(); err != nil {
			t.Errorf("%s: %v\n%s", tt.name, err, d.Bytes())
		}
		if got := diff(sample, string(d.Bytes())); got != sortRuns(tt.diff) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.diff)
		}
	}
}

func mustDocument(t testing.TB, text string) *Document {
	d, err := ParseDocument("t", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Bytes()) != text {
		t.Fatalf("unedited text differs:\n%s", d.Bytes())
	}
	return d
}

// diff is a line difference by longest common subsequence.
func diff(a, b string) string {
	x, y := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	n := make([][]int, len(x)+1)
	for i := range n {
		n[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if n[i][j] = max(n[i+1][j], n[i][j+1]); x[i] == y[j] {
				n[i][j] = n[i+1][j+1] + 1
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			i, j = i+1, j+1
		case i < len(x) && (j == len(y) || n[i+1][j] >= n[i][j+1]):
			out.WriteString("-" + x[i])
			i++
		default:
			out.WriteString("+" + y[j])
			j++
		}
	}
	return sortRuns(out.String())
}

// sortRuns puts all removed lines first, so that the order of equal
// differences does not matter.
func sortRuns(d string) string {
	var minus, plus string
	for _, l := range strings.SplitAfter(d, "\n") {
		if strings.HasPrefix(l, "-") {
			minus += l
		} else {
			plus += l
		}
	}
	return minus + plus
}

func TestDocumentText(t *testing.T) {
	tests := []struct {
		name, in string
		edit     func(d *Document) error
		want     string
	}{
		{"reorder to the front",
			"# top\n\nconfig a 'x'\n\toption o 1\n\n# about y\nconfig b 'y'\n\toption p 2\n",
			func(d *Document) error { return d.Reorder("y", 0) },
			"# top\n\n# about y\nconfig b 'y'\n\toption p 2\n\nconfig a 'x'\n\toption o 1\n\n"},
		{"reorder to the end",
			"config a 'x'\nconfig b 'y'",
			func(d *Document) error { return d.Reorder("x", 9) },
			"config b 'y'\n\nconfig a 'x'\n"},
		{"reorder joined lines",
			"config a 'x';option o '1' ;config b 'y'; option p '2' # c\n",
			func(d *Document) error { return d.Reorder("y", 0) },
			"config b 'y'\n\toption p '2' # c\n\nconfig a 'x'\n\toption o '1'\n"},
		{"reorder a section in parts",
			"config a 'x'\n\toption o 1\nconfig b 'y'\nconfig a 'x'\n\toption p 2\n",
			func(d *Document) error { return d.Reorder("x", 1) },
			"config b 'y'\n\nconfig a 'x'\n\toption o 1\n\toption p 2\n"},
		{"no newline at the end",
			"config a 'x'\n\toption o 1",
			func(d *Document) error { return d.Set("x", "p", "2") },
			"config a 'x'\n\toption o 1\n\toption p '2'\n"},
		{"; at the end of the file",
			"config a 'x'\n\toption o '1'; ",
			func(d *Document) error { return d.Set("x", "p", "2") },
			"config a 'x'\n\toption o '1'\n\toption p '2'\n"},
		{"backslash at the end",
			"config a 'x'\n\toption o 1\\\n",
			func(d *Document) error { return d.Set("x", "p", "2") },
			"config a 'x'\n\toption o '1'\n\toption p '2'\n"},
		{"text lost behind ;",
			"config a 'x'\n\toption o 1;option q 3\n",
			func(d *Document) error { return d.Set("x", "o", "2") },
			"config a 'x'\n\toption o '2'\n"},
		{"overridden lines",
			"config a 'x'\n\tlist l 1\n\toption m 5\n\toption l 2\n\tlist l 3 # three\n",
			func(d *Document) error { return d.AddList("x", "l", "4") },
			"config a 'x'\n\tlist l '2'\n\tlist l '3'\n\tlist l '4'\n\toption m 5\n"},
		{"first of a scattered list",
			"config a 'x'\n\tlist l 1\n\toption m 5\n\tlist l 3 # three\n",
			func(d *Document) error { return d.DelList("x", "l", "1") },
			"config a 'x'\n\tlist l 3 # three\n\toption m 5\n"},
		{"foreign comments stay",
			"config a 'x'\n\toption o 1\n\t# of x\n\n# ---- group ----\n\nconfig b 'y'\n",
			func(d *Document) error { return d.Delete("x") },
			"# ---- group ----\n\nconfig b 'y'\n"},
		{"CR LF",
			"config a 'x'\r\n\toption o '1'\r\n",
			func(d *Document) error { return d.Set("x", "p", "2") },
			"config a 'x'\r\n\toption o '1'\r\n\toption p '2'\r\n"},
		{"empty text", "",
			func(d *Document) error { _, err := d.SetSection("x", "a"); return err },
			"config a 'x'\n"},
		{"several lines in a value",
			"config a 'x'\n\toption o 'a\nb' # c\n\toption p 1\n",
			func(d *Document) error { return d.Set("x", "o", "d") },
			"config a 'x'\n\toption o 'd' # c\n\toption p 1\n"},
		{"anonymous section with a part by its computed name",
			"config a 'y'\nconfig s\n\toption o 1\nconfig s 'cfg02b618'\n\toption p 2\n",
			func(d *Document) error { return d.Delete("y") },
			"config s\n\toption o 1\n\toption p 2\n"},
	}
	for _, tt := range tests {
		d := mustDocument(t, tt.in)
		if err := tt.edit(d); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := string(d.Bytes()); got != tt.want {
			t.Errorf("%s:\n%q\nwant\n%q", tt.name, got, tt.want)
		}
		if err := d.Check(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestDocumentRefuses(t *testing.T) {
	d := mustDocument(t, sample)
	for name, err := range map[string]error{
		"a taken name":         d.Rename("lan", "loopback"),
		"a bad name":           d.Rename("lan", "a-b"),
		"a bad option":         d.Set("lan", "a-b", "c"),
		"a NUL byte":           d.Set("lan", "a", "\x00"),
		"a missing section":    d.Set("wan", "a", "b"),
		"a taken option":       d.RenameOption("loopback", "device", "proto"),
		"a bad type":           func() error { _, err := d.Add("a b"); return err }(),
		"a malformed selector": d.AddList("@interface", "a", "b"),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"delete":        d.Delete("wan"),
		"delete option": d.DeleteOption("lan", "nope"),
		"delete value":  d.DeleteValue("lan", "nope", 0),
		"reorder":       d.Reorder("wan", 1),
		"rename":        d.Rename("wan", "x"),
		"rename option": d.RenameOption("lan", "nope", "x"),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if string(d.Bytes()) != sample {
		t.Errorf("changed:\n%s", d.Bytes())
	}
	if _, err := ParseDocument("t", []byte("foo\n"), Options{NonStrict: true}); !errors.Is(err, ErrParse) {
		t.Errorf("a document of a broken file: %v", err)
	}
}

func TestDocumentSave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "network")
	if err := os.WriteFile(path, []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := LoadDocument(dir, "network", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Set("lan", "proto", "none"); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	p, err := Load(dir, "network", Options{})
	if err != nil || !p.Equal(d.Package()) {
		t.Errorf("read back: %v", err)
	}
	// A named section whose name becomes that of an anonymous one.
	d = mustDocument(t, "config s\nconfig s\nconfig s 'cfg01b618x'\nconfig t 'cfg05b618'\n")
	d.file = path
	if _, err := d.Add("s"); err != nil {
		t.Fatal(err)
	}
	if err := d.Rename("cfg01b618x", "cfg01b618y"); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(); err != nil {
		t.Errorf("a harmless clash: %v", err)
	}
	d = mustDocument(t, "config a 'y'\nconfig s\nconfig s 'cfg01b618'\n")
	d.file = path
	if err := d.Delete("y"); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := d.Save(); !errors.Is(err, ErrMeaning) {
		t.Errorf("a clash of names: %v\n%s", err, d.Bytes())
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("a refused document was written")
	}
}
