package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
)

// Each side of a comparison is a process of its own in the world's namespace. It
// reads commands, one a line, does each, and answers with a line of JSON. It
// ends when its standard input does, so that nothing outlives the benchmark,
// and the namespace goes with its last process.

const (
	roleVariable = "NETBRAID_BENCH_ROLE"
	answerTime   = 3 * time.Minute  // for one command
	settleTime   = 60 * time.Second // for the mirror to become live
	endTime      = 10 * time.Second // for a process to end
)

// reply answers a command.
type reply struct {
	Error  string             `json:"error,omitempty"`
	CPU    int64              `json:"cpu"`  // ns, user and system
	Wall   int64              `json:"wall"` // ns
	N      int64              `json:"n"`    // objects
	Values map[string]float64 `json:"values,omitempty"`
	Seen   map[string]int64   `json:"seen,omitempty"` // monotonic ns
}

// handler does one command of a role.
type handler func(verb string, args []string) (reply, error)

// serve is the life of a Go child.
func serve(h handler) int {
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		if len(words) == 0 {
			continue
		}
		r, err := h(words[0], words[1:])
		if err != nil {
			r.Error = words[0] + ": " + err.Error()
		}
		if out.Encode(r) != nil {
			return 1
		}
	}
	return 0
}

// quiesce makes a Go process what it is after a while of rest, as between two
// rare events: collected, with the free memory given back to the system. Every
// Go side does it before it is measured.
func quiesce() { debug.FreeOSMemory() }

// measure runs fn and gives its CPU time, with all threads of the process, and
// its wall time.
func measure(fn func() error) (r reply, err error) {
	cpu, at := cpuTime(), time.Now()
	err = fn()
	r.Wall = time.Since(at).Nanoseconds()
	r.CPU = cpuTime() - cpu
	return r, err
}

// cpuTime is the user and system time of this process in ns.
func cpuTime() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // there is no way for it to fail
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// child is such a process, seen from the benchmark.
type child struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// startRole starts this test binary in a role.
func startRole(t testing.TB, ns *nstest.NS, role string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return start(t, ns, role, cmd)
}

func start(t testing.TB, ns *nstest.NS, name string, cmd *exec.Cmd) *child {
	t.Helper()
	c := &child{t: t, name: name, cmd: cmd}
	cmd.Stderr = &c.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	// A child inherits the namespace of the thread that starts it.
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(c.end)
	return c
}

// end closes the child's input and waits for its end.
func (c *child) end() {
	if c.cmd.ProcessState != nil {
		return
	}
	c.in.Close()
	late := time.AfterFunc(endTime, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	_ = c.cmd.Wait() // what it has to say is in its answers
}

// tell sends a command; hear reads its answer.
func (c *child) tell(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		c.t.Fatalf("%s: %v: %s", c.name, err, c.stderr.String())
	}
}

// try is ask for a caller that can do without.
func (c *child) try(format string, args ...any) (reply, error) {
	c.t.Helper()
	c.tell(format, args...)
	late := time.AfterFunc(answerTime, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	var r reply
	line, err := c.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

// ask sends a command and returns its answer.
func (c *child) ask(format string, args ...any) reply {
	c.t.Helper()
	r, err := c.try(format, args...)
	if err != nil {
		c.t.Fatalf("%s: %s: %v: %s", c.name, fmt.Sprintf(format, args...), err, tail(c.stderr.String()))
	}
	return r
}

// tail is the end of a long text.
func tail(s string) string { return s[max(0, len(s)-2000):] }
