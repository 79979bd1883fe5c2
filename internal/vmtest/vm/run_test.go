package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/vmtest"
)

// runner builds the runner, or skips: these tests boot a machine each.
func runner(t *testing.T) string {
	t.Helper()
	if vmtest.InVM() {
		t.Skip("runs on the host: a machine inside the machine would take minutes")
	}
	if os.Getenv("NETBRAID_VMTEST") == "" {
		t.Skip("boots the test kernel: run make vmtest (it sets NETBRAID_VMTEST=1)")
	}
	bin := filepath.Join(t.TempDir(), "vm")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// result is what a run of the runner gave.
type result struct {
	code           int
	stdout, stderr string
}

// vmCommand is a run whose temporary files go to a directory of the test's.
func vmCommand(t *testing.T, bin string, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	tmp = t.TempDir()
	cmd = exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd, tmp
}

func wait(t *testing.T, cmd *exec.Cmd, start bool) result {
	t.Helper()
	var out, errOut bytes.Buffer
	if start {
		cmd.Stdout, cmd.Stderr = &out, &errOut
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

func TestRunProgram(t *testing.T) {
	bin := runner(t)
	dir := t.TempDir()
	cmd, tmp := vmCommand(t, bin, "-out", "back", "--", "sh", "-c",
		`echo "out $0 $1"; echo err >&2; printf %s "$NETBRAID_PROBE" >back; touch not-back; sleep 1000 & pwd; exit 41`,
		"a b", `c'"$d`)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "NETBRAID_PROBE=x y\nz", "PWD="+dir)
	r := wait(t, cmd, true)
	if want := "out a b c'\"$d\n" + dir + "\n"; r.code != 41 || r.stdout != want || !strings.HasPrefix(r.stderr, "err\n") {
		t.Errorf("got %+v, want 41 and %q", r, want)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "back")); err != nil || string(b) != "x y\nz" {
		t.Errorf("collected file: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "not-back")); err == nil {
		t.Error("the guest wrote to the host's files")
	}
	if logs := files(t, tmp); len(logs) != 1 || !strings.Contains(r.stderr, logs[0]) {
		t.Errorf("kept files %q, standard error %q", logs, r.stderr)
	}
}

// TestRunOutput holds that a lot of output arrives whole and in order.
func TestRunOutput(t *testing.T) {
	const lines = 200_000
	cmd, tmp := vmCommand(t, runner(t), "--", "seq", fmt.Sprint(lines))
	r := wait(t, cmd, true)
	var want strings.Builder
	for i := range lines {
		fmt.Fprintln(&want, i+1)
	}
	if r.code != 0 || r.stdout != want.String() || r.stderr != "" || len(files(t, tmp)) != 0 {
		t.Errorf("code %d, %d bytes of %d, standard error %q, files %q",
			r.code, len(r.stdout), want.Len(), r.stderr, files(t, tmp))
	}
}

func TestRunFailures(t *testing.T) {
	bin := runner(t)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"panic":         {[]string{"--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 100"}, 125, "Kernel panic - not syncing"},
		"power off":     {[]string{"--", "sh", "-c", "echo o >/proc/sysrq-trigger; sleep 100"}, 125, "without an exit status"},
		"hang":          {[]string{"-timeout", "2s", "--", "sh", "-c", "exec sleep 100"}, 125, "did not end within 2s"},
		"signal":        {[]string{"--", "sh", "-c", "kill -9 $$"}, 137, ""},
		"not found":     {[]string{"--", "no-such-program"}, 127, "not found"},
		"not a program": {[]string{"--", "/etc/passwd"}, 126, "/etc/passwd"},
		"usage":         {nil, 2, "usage: vm"},
		"bad QEMU flag": {[]string{"-qemu=-nonsense", "--", "true"}, 125, "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, _ := vmCommand(t, bin, c.args...)
			if r := wait(t, cmd, true); r.code != c.code || !strings.Contains(r.stderr, c.says) {
				t.Errorf("got %+v, want %d and %q", r, c.code, c.says)
			}
		})
	}
}

// TestMissingEmulator holds that a machine without QEMU or kernel is an error.
func TestMissingEmulator(t *testing.T) {
	bin := runner(t)
	cmd, _ := vmCommand(t, bin, "--", "true")
	// A cache that cannot be made: its parent is a file.
	cmd.Env = append(cmd.Env, "NETBRAID_VM_CACHE="+filepath.Join(bin, "cache"))
	if r := wait(t, cmd, true); r.code != 125 || !strings.Contains(r.stderr, "make the cache folder") {
		t.Errorf("got %+v, want 125", r)
	}
}

// TestRunSignal holds that the end of the runner, even a violent one, ends QEMU
// and leaves no file.
func TestRunSignal(t *testing.T) {
	bin := runner(t)
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGKILL: -1} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd, tmp := vmCommand(t, bin, "--", "sh", "-c", "echo started; exec sleep 1000")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 7)); err != nil {
				t.Fatalf("no output: %v", err)
			}
			qemu := child(t, cmd.Process.Pid)
			_ = cmd.Process.Signal(sig)
			if r := wait(t, cmd, false); r.code != code {
				t.Errorf("exit code %d, want %d", r.code, code)
			}
			for deadline := time.Now().Add(5 * time.Second); alive(qemu); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("QEMU (process %d) lives on", qemu)
				}
			}
			if f := files(t, tmp); len(f) != 0 {
				t.Errorf("left files %q", f)
			}
		})
	}
}

// child gives the process id of QEMU, the only child of the runner.
func child(t *testing.T, pid int) int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lists {
		b, _ := os.ReadFile(l)
		var c int
		if _, err := fmt.Sscan(string(b), &c); err == nil {
			return c
		}
	}
	t.Fatalf("process %d has no child", pid)
	return 0
}

// alive reports whether the process runs; a zombie that nobody reaps does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names
}
