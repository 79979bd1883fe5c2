package nstest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program is a program that runs in a namespace beside a test.
type Program struct {
	t   testing.TB
	cmd *exec.Cmd // nil once it was killed
	out Output
}

// Output keeps what is written to it; it may be read meanwhile.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Start starts a program inside the namespace, in a process group of its own,
// with env ("NAME=value") beside the environment of the test. It ends with the
// test, which logs what it has said when it fails; it outlives a test binary
// that is killed by ten minutes at most.
func (n *NS) Start(env []string, args ...string) *Program {
	n.t.Helper()
	p := &Program{t: n.t, cmd: exec.Command("timeout", append([]string{"--foreground", "-k", "1", "600"}, args...)...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second // for what holds its output and has left the group
	if err := n.Do(p.cmd.Start); err != nil {
		n.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	n.t.Cleanup(func() {
		p.Kill()
		if n.t.Failed() {
			n.t.Logf("%s said:\n%s", args[0], p.Output())
		}
	})
	return p
}

// Output is what the program has said so far, on standard output and error.
func (p *Program) Output() string { return p.out.String() }

// Signal sends a signal to the program and all that it has started.
func (p *Program) Signal(sig syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		p.t.Fatalf("send %v: the program was killed before", sig)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		p.t.Fatalf("send %v to %v: %v", sig, p.cmd.Args, err)
	}
}

// Kill ends the program as a crash would, with all that it has started. One
// that was killed already stays so.
func (p *Program) Kill() {
	if p.cmd == nil {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Wait() // it says "killed"
	p.cmd = nil
}

// Need skips the test, saying what is missing, unless all programs are there.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		t.Skipf("not installed: %s (scripts/deps installs them)", strings.Join(missing, ", "))
	}
}
