package cli

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestMain makes the test binary, called by one of these names, the command of
// that name, so that the stories run it as a process of its own.
func TestMain(m *testing.M) {
	run := func() { os.Exit(Main(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
	programs := map[string]func(){"netbraid": run}
	for _, name := range Names() {
		programs[name] = run
	}
	testscript.Main(m, programs)
}

// TestScripts plays the stories in testdata/script, each in a network
// namespace of its own: the thread that starts the story's programs is moved
// into it, and ends with the story.
func TestScripts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: every story has a network namespace of its own")
	}
	testscript.Run(t, testscript.Params{
		Dir:                "../../testdata/script",
		RequireUniqueNames: true,
		UpdateScripts:      os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			runtime.LockOSThread()
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			env.Setenv("NETBRAID_UBUS_SOCKET", env.WorkDir+"/ubus.sock")
			env.Setenv("LC_ALL", "C")
			return serviceManager(env)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"cmpstatus":  cmpStatus,
			"eventually": eventually,
			"exits":      exits,
			"heard":      heard,
			"veth":       veth,
			"replace":    replace,
			"signal":     signalTo,
		},
	})
}

// exits is `exits CODE COMMAND…`: like exec, with the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s: exit code %d, not %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// eventually is `eventually REGEXP COMMAND…`: the command is run again and
// again until it succeeds and its output matches, for at most 10 s. With ! it
// waits until it does not.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: eventually REGEXP COMMAND…")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	late := time.Now().Add(10 * time.Second)
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if neg != (err == nil && re.MatchString(out)) {
			return
		}
		if time.Now().After(late) {
			ts.Fatalf("not within 10 s: %q in what %q prints; last (%v): %s", args[0], strings.Join(args[1:], " "), err, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// notifyKey is where a story keeps the socket of its service manager.
type notifyKey struct{}

// serviceManager listens where a daemon of the story says how it is
// (sd_notify(3)).
func serviceManager(env *testscript.Env) error {
	path := env.WorkDir + "/notify"
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	env.Defer(func() { conn.Close() })
	env.Values[notifyKey{}] = conn
	env.Setenv("NOTIFY_SOCKET", path)
	return nil
}

// heard is `heard REGEXP…`: what the service manager hears next, one message
// for each, within 10 s.
func heard(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: heard REGEXP…")
	}
	conn := ts.Value(notifyKey{}).(*net.UnixConn)
	b := make([]byte, 4096)
	for _, a := range args {
		ts.Check(conn.SetReadDeadline(time.Now().Add(10 * time.Second)))
		n, err := conn.Read(b)
		ts.Check(err)
		if !regexp.MustCompile(a).Match(b[:n]) {
			ts.Fatalf("the service manager hears %q, not %q", b[:n], a)
		}
	}
}

// cmpStatus is `cmpstatus GOT WANT`: like cmp, with every uptime as 0s.
func cmpStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmpstatus GOT WANT")
	}
	uptime := regexp.MustCompile(`(?m)\d+s$`)
	got, want := uptime.ReplaceAllString(ts.ReadFile(args[0]), "0s"), ts.ReadFile(args[1])
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
		ts.Fatalf("(-want +got):\n%s", d)
	}
}

// veth is `veth NAME PEER`: a virtual cable inside the namespace, PEER up.
func veth(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: veth NAME PEER")
	}
	ts.Check(ts.Exec("ip", "link", "add", args[0], "type", "veth", "peer", "name", args[1]))
	ts.Check(ts.Exec("ip", "link", "set", args[1], "up"))
}

// signalTo is `signal NAME WORDS`: the signal goes to the command that runs in
// the background and has WORDS in its command line.
func signalTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || unix.SignalNum("SIG"+args[0]) == 0 {
		ts.Fatalf("usage: signal NAME WORDS")
	}
	for _, c := range ts.BackgroundCmds() {
		if strings.Contains(strings.Join(c.Args, " "), args[1]) {
			ts.Check(c.Process.Signal(unix.SignalNum("SIG" + args[0])))
			return
		}
	}
	ts.Fatalf("nothing with %q runs in the background", args[1])
}

// replace is `replace OLD NEW FILE`.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace OLD NEW FILE")
	}
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s does not have %q", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.ReplaceAll(text, args[0], args[1])), 0o644))
}
