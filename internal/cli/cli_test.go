package cli

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// run runs a command line inside this process.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// TestHelp: every command explains itself, with an example and every option.
func TestHelp(t *testing.T) {
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	all := append(a.root().Commands(), a.byName("ifup"), a.byName("ifdown"), a.byName("ifstatus"), a.root())
	for _, c := range all {
		if c.Name() != "netbraid" {
			all = append(all, c.Commands()...)
		}
	}
	if len(all) < 25 {
		t.Fatalf("only %d commands", len(all))
	}
	for _, c := range all {
		if c.Hidden {
			continue
		}
		if c.Short == "" || c.Example == "" || !strings.Contains(c.Example, c.Name()) {
			t.Errorf("%s: no short text, or no example of it", c.Name())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s says nothing", c.Name(), f.Name)
			}
		})
		args := append(strings.Fields(c.CommandPath()), "--help")
		switch c.Name() {
		case "ifup", "ifdown", "ifstatus":
			args = []string{"/usr/sbin/" + c.Name(), "--help"}
		case "netbraid":
			args = []string{"netbraid", "--help"}
		}
		code, out, errs := run(t, args...)
		if code != 0 || errs != "" || !strings.Contains(out, "Usage:") || !strings.Contains(out, "Examples:") {
			t.Errorf("%q: exit code %d, %q, prints:\n%s", args, code, errs, out)
		}
	}
}

// TestDaemonFlags: the options that scripts give netifd are there, with its
// letters.
func TestDaemonFlags(t *testing.T) {
	c := (&app{}).daemonCmd()
	if err := c.ParseFlags(strings.Fields("-d 3 -s /s -p /p -c /c -h /h -r /r -l 4 -S")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"debug": "3", "socket": "/s", "addons": "/p", "config": "/c", "hotplug": "/h", "resolv-conf": "/r", "log-level": "4", "stderr": "true",
	} {
		if got := c.Flags().Lookup(name).Value.String(); got != want {
			t.Errorf("--%s is %q, not %q", name, got, want)
		}
	}
}

// TestManual holds that docs/netbraid.8.md is what the commands say of
// themselves, and that the page for man(1) has every command and no line that
// troff would take for a request of its own.
func TestManual(t *testing.T) {
	code, out, errs := run(t, "netbraid", "man", "--format", "markdown")
	if code != 0 {
		t.Fatal(errs)
	}
	golden(t, filepath.Join("..", "..", "docs", "netbraid.8.md"), out)

	_, page, _ := run(t, "netbraid", "man")
	for _, c := range (&app{}).root().Commands() {
		if !c.Hidden && !strings.Contains(page, "\n.SS netbraid "+c.Name()+" ") && !strings.Contains(page, "\n.SS netbraid "+c.Name()+"\n") {
			t.Errorf("the page lacks %s", c.Name())
		}
	}
	requests := []string{".TH", ".SH", ".SS", ".PP", ".RS", ".RE", ".nf", ".fi", ".TP", ".B"}
	for _, l := range strings.Split(page, "\n") {
		if word, _, _ := strings.Cut(l, " "); strings.HasPrefix(l, ".") && !slices.Contains(requests, word) || strings.HasPrefix(l, "'") {
			t.Errorf("troff would stumble over %q", l)
		}
	}
	if got := roffText(".x\n'y\\-z"); got != "\\&.x\n\\&'y\\e\\-z" {
		t.Errorf("roffText: %q", got)
	}
}

// TestNotify: the service manager hears of us on a socket with a path and on
// an abstract one.
func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@netbraid-test-" + filepath.Base(t.TempDir()) + time.Now().Format("150405.000000")} {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		t.Setenv("NOTIFY_SOCKET", name)
		if err := sdNotify("READY=1"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil || string(b[:n]) != "READY=1" {
			t.Errorf("%s: heard %q, %v", name, b[:n], err)
		}
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if sdNotify("READY=1") == nil {
		t.Error("no error without a listener")
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := sdNotify("READY=1"); err != nil {
		t.Error(err)
	}
}

type said []string

func (s *said) Err(m string) error     { *s = append(*s, "err "+m); return nil }
func (s *said) Warning(m string) error { *s = append(*s, "warning "+m); return nil }
func (s *said) Info(m string) error    { *s = append(*s, "info "+m); return nil }
func (s *said) Debug(m string) error   { *s = append(*s, "debug "+m); return nil }

// TestSyslog: each record has its severity, and no second time or level.
func TestSyslog(t *testing.T) {
	var s said
	log := slog.New(newSyslogHandler(&s, "text", &slog.HandlerOptions{Level: slog.LevelDebug}))
	log.Error("a", "k", 1)
	log.Warn("b")
	log.With("x", "y").Info("c")
	log.WithGroup("g").Debug("d", "level", "mine")
	want := []string{"err msg=a k=1\n", "warning msg=b\n", "info msg=c x=y\n", "debug msg=d g.level=mine\n"}
	if !slices.Equal(s, want) {
		t.Errorf("%q, not %q", s, want)
	}
}
