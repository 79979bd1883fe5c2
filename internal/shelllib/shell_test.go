package shelllib

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/jshn"
	"netbraid/internal/ucicmd"
)

// TestMain lets this program be the commands that the library calls: jshn is
// ours; uci is ours for export; ubus is one that writes down its arguments.
func TestMain(m *testing.M) {
	args := os.Args[1:]
	switch filepath.Base(os.Args[0]) {
	case "jshn":
		os.Exit(jshn.Main("jshn", args, os.Environ(), os.Stdout, os.Stderr))
	case "uci":
		os.Exit(fakeUCI(args))
	case "ubus":
		os.Exit(fakeUbus(args))
	case "install-shelllib":
		if _, err := Install("/"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fakeUCI is the real one for export, without the changes that wait on this
// machine. What else it is asked for it writes down in UCI_LOG.
func fakeUCI(args []string) int {
	if len(args) > 1 && args[len(args)-2] == "export" {
		args = append([]string{"-t", os.Getenv("UCI_CONFIG_DIR") + "/none"}, args...)
		return ucicmd.Main("uci", args, os.Stdin, os.Stdout, os.Stderr)
	}
	record(os.Getenv("UCI_LOG"), args)
	for _, a := range args {
		switch {
		case a == "add":
			fmt.Println("cfg0a1b2c")
		case strings.HasPrefix(a, "missing"):
			return 1
		}
	}
	return 0
}

// fakeUbus writes its arguments down in UBUS_LOG, prints the file UBUS_REPLY and
// exits with UBUS_RC.
func fakeUbus(args []string) int {
	record(os.Getenv("UBUS_LOG"), args)
	if name := os.Getenv("UBUS_REPLY"); name != "" {
		b, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 99
		}
		os.Stdout.Write(b)
	}
	rc := 0
	fmt.Sscan(os.Getenv("UBUS_RC"), &rc)
	return rc
}

// record appends args as a line of JSON.
func record(name string, args []string) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	defer f.Close()
	json.NewEncoder(f).Encode(args)
}

// The shells that every test runs under.
var shells = map[string][]string{
	"dash": {"dash"},
	"ash":  {"busybox", "ash"},
}

// world is where the scripts of one test run: the library in place, the commands
// in a folder of its PATH.
type world struct {
	dir   string   // of the test
	lib   string   // root of the library
	shell []string // how to start it
	env   []string
}

// eachShell runs f once per shell, as subtests.
func eachShell(t *testing.T, f func(t *testing.T, w *world)) {
	for name, argv := range shells {
		t.Run(name, func(t *testing.T) { f(t, newWorld(t, argv)) })
	}
}

func newWorld(t testing.TB, shell []string) *world {
	t.Helper()
	if _, err := exec.LookPath(shell[0]); err != nil {
		t.Skipf("%s is not installed", shell[0])
	}
	lib, err := filepath.Abs("../../share/netifd")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: t.TempDir(), lib: lib, shell: shell}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(w.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"jshn", "uci", "ubus"} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.env = []string{
		"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"LIB=" + lib,
		"NETIFD_MAIN_DIR=" + filepath.Join(lib, "lib/netifd"),
		"UBUS_LOG=" + filepath.Join(w.dir, "ubus.log"),
		"UCI_LOG=" + filepath.Join(w.dir, "uci.log"),
		"UCI_CONFIG_DIR=" + w.dir,
		"PROTO_SHELL=this",
	}
	if testing.CoverMode() != "" { // the commands are this program
		w.env = append(w.env, "GOCOVERDIR="+t.TempDir())
	}
	return w
}

// result is what a script has left.
type result struct {
	stdout, stderr string
	rc             int
}

// run runs the text of a script with arguments.
func (w *world) run(t testing.TB, script string, args ...string) result {
	t.Helper()
	argv := append(append([]string{}, w.shell[1:]...), append([]string{"-c", script, "script"}, args...)...)
	return w.exec(t, exec.Command(w.shell[0], argv...))
}

func (w *world) exec(t testing.TB, c *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Env, c.Stdout, c.Stderr = w.env, &stdout, &stderr
	if c.Dir == "" {
		c.Dir = w.dir
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// want checks a whole result; stderr must be as said, empty if nothing is said.
func (r result) want(t testing.TB, stdout, stderr string, rc int) {
	t.Helper()
	if r.stdout != stdout || r.stderr != stderr || r.rc != rc {
		t.Errorf("stdout %q\n  want %q\nstderr %q\n  want %q\nrc %d want %d", r.stdout, stdout, r.stderr, stderr, r.rc, rc)
	}
}

func (w *world) write(t testing.TB, name, text string) string {
	t.Helper()
	p := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

// calls returns what ubus or uci was called with, and forgets it.
func (w *world) calls(t testing.TB, log string) (out [][]string) {
	t.Helper()
	p := filepath.Join(w.dir, log)
	b, err := os.ReadFile(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	os.Remove(p)
	for line := range strings.Lines(string(b)) {
		var args []string
		if err := json.Unmarshal([]byte(line), &args); err != nil {
			t.Fatal(err)
		}
		out = append(out, args)
	}
	return out
}
