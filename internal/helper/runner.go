package helper

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/internal/proto"
	"netbraid/rtnl"
)

// Options of a Runner.
type Options struct {
	NSFD   int    // network namespace of the programs; < 0: that of the process
	RunDir string // where it is written down what runs
	Socket string // of ubus: NETBRAID_UBUS_SOCKET of the programs; empty for none
	Env    []string
	Log    *slog.Logger
	// Deliver takes what happens, from any goroutine; it may block.
	Deliver func(core.Event)
}

// DefaultAddons is where protocol scripts are (in proto/*.sh).
const DefaultAddons = "/lib/netifd"

// Path is what programs get as PATH (netifd's).
const Path = "/usr/sbin:/usr/bin:/sbin:/bin"

const (
	grace = time.Second     // between TERM and KILL of what nobody waits for
	late  = 2 * time.Second // after KILL a program counts as ended
)

// Runner starts and ends programs.
type Runner struct {
	o        Options
	instance string

	mu      sync.Mutex
	running map[string]map[proto.Slot]*program // by interface
	closed  bool
	stopped chan struct{}
	wg      sync.WaitGroup
}

// program is one program that runs.
type program struct {
	id    core.Program
	pid   int
	start uint64
	ended chan struct{} // closed when the process itself has ended
	once  sync.Once     // of telling the end
}

// Open makes a runner, and ends what programs of an earlier daemon with the
// same run directory have left.
func Open(o Options) (*Runner, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	self, ok := readStat(os.Getpid())
	if !ok {
		return nil, fmt.Errorf("helper: cannot read /proc: programs of protocol handlers cannot be watched")
	}
	dir := filepath.Join(o.RunDir, "helpers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("helper: %w", err)
	}
	r := &Runner{o: o, running: map[string]map[proto.Slot]*program{}, stopped: make(chan struct{}),
		instance: runName(o.RunDir) + "." + strconv.Itoa(self.pid) + "." + strconv.FormatUint(self.start, 10)}
	r.endLeftovers()
	return r, nil
}

// runName names a run directory in a mark.
func runName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return strings.NewReplacer(":", "_", ".", "_").Replace(dir)
}

func (r *Runner) mark(p core.Program) string {
	return fmt.Sprintf("%s:%d:%s", r.instance, p.Generation, p.Interface)
}

// parseMark takes a mark apart.
func parseMark(m string) (instance string, generation uint64, iface string, ok bool) {
	f := strings.SplitN(m, ":", 3)
	if len(f) != 3 {
		return "", 0, "", false
	}
	generation, err := strconv.ParseUint(f[1], 10, 64)
	return f[0], generation, f[2], err == nil
}

// Spawn starts a program; its end is delivered as core.Exited. It does not wait
// for anything but the kernel.
func (r *Runner) Spawn(s core.Spawn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if old := r.running[s.Interface][s.Slot]; old != nil {
		r.endLater(map[int]uint64{old.pid: old.start}, nil) // it is replaced
	}
	p, err := r.start(s)
	if err != nil {
		r.o.Log.Error("cannot start a program of a protocol handler", "interface", s.Interface, "program", first(s.Args), "error", err)
		r.later(func() {
			r.o.Deliver(core.Exited{Program: s.Program, Exit: proto.Exit{Slot: s.Slot, Code: -1, Reason: err.Error()}})
		})
		return
	}
	if r.running[s.Interface] == nil {
		r.running[s.Interface] = map[proto.Slot]*program{}
	}
	r.running[s.Interface][s.Slot] = p
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// later runs f on a goroutine that Close waits for.
func (r *Runner) later(f func()) {
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		f()
	}()
}

// start makes the process.
func (r *Runner) start(s core.Spawn) (*program, error) {
	if len(s.Args) == 0 {
		return nil, fmt.Errorf("no program")
	}
	path, err := find(s.Args[0], s.Dir, searchPath(r.o.RunDir))
	if err != nil {
		return nil, err
	}
	in, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	log := r.o.Log.With("interface", s.Interface, "program", filepath.Base(s.Args[0]))
	out, w, err := r.output(s)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := &exec.Cmd{Path: path, Args: s.Args, Dir: s.Dir, Stdin: in, Stdout: w, Stderr: w,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	cmd.Env = r.env(s)
	if err := rtnl.WithNS(r.o.NSFD, cmd.Start); err != nil {
		out.Close()
		return nil, err
	}
	p := &program{id: s.Program, pid: cmd.Process.Pid, ended: make(chan struct{})}
	if st, ok := readStat(p.pid); ok {
		p.start = st.start
	}
	r.record(p)
	r.later(func() { r.wait(p, cmd) })
	r.later(func() { r.read(out, log) })
	return p, nil
}

// output makes the two ends of what a program prints.
func (r *Runner) output(core.Spawn) (out, w *os.File, err error) { return os.Pipe() }

// read follows the output until it ends or the runner does.
func (r *Runner) read(out *os.File, log *slog.Logger) {
	done := make(chan struct{})
	go func() {
		select {
		case <-r.stopped:
			out.Close()
		case <-done:
		}
	}()
	follow(out, log)
	close(done)
}

// env is the environment of a program.
func (r *Runner) env(s core.Spawn) []string {
	env := []string{"PATH=" + searchPath(r.o.RunDir), "HOME=/", markName + "=" + r.mark(s.Program)}
	for _, n := range []string{"LANG", "TZ"} {
		if v, ok := os.LookupEnv(n); ok {
			env = append(env, n+"="+v)
		}
	}
	if r.o.Socket != "" {
		env = append(env, "NETBRAID_UBUS_SOCKET="+r.o.Socket)
	}
	env = append(env, r.o.Env...)
	return append(env, s.Env...)
}

// find looks a program up as execvp(3) does, in the path of programs; one with
// a slash in its name is taken from the directory.
func find(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	for _, d := range filepath.SplitList(path) {
		if p := filepath.Join(d, name); executable(p) == nil {
			return p, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

func executable(path string) error {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case st.IsDir():
		return &os.PathError{Op: "run", Path: path, Err: syscall.EISDIR}
	}
	return unix.Access(path, unix.X_OK)
}

// wait waits for the process, and tells its end.
func (r *Runner) wait(p *program, cmd *exec.Cmd) {
	err := cmd.Wait()
	close(p.ended)
	e := proto.Exit{Slot: p.id.Slot, Code: -1}
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		if st.Signaled() {
			e.Signal = int(st.Signal())
		} else {
			e.Code = st.ExitStatus()
		}
	} else if err != nil {
		r.o.Log.Warn("cannot tell how a program has ended", "interface", p.id.Interface, "error", err)
	}
	r.tell(p, e)
}

// tell delivers the end of a program, once.
func (r *Runner) tell(p *program, e proto.Exit) {
	p.once.Do(func() {
		r.mu.Lock()
		if r.running[p.id.Interface][p.id.Slot] == p {
			delete(r.running[p.id.Interface], p.id.Slot)
			if len(r.running[p.id.Interface]) == 0 {
				delete(r.running, p.id.Interface)
			}
		}
		closed := r.closed
		if !closed {
			r.unrecord(p)
		}
		r.mu.Unlock()
		if !closed {
			r.o.Deliver(core.Exited{Program: p.id, Exit: e})
		}
	})
}

// Kill sends a signal. SIGKILL goes to all that has descended from the program,
// and its end is told within bounded time whatever the kernel does; another
// signal goes to its process group.
func (r *Runner) Kill(k core.Kill) {
	r.mu.Lock()
	p := r.running[k.Interface][k.Slot]
	r.mu.Unlock()
	if p == nil || p.id.Generation != k.Generation {
		return
	}
	if k.Signal != int(unix.SIGKILL) {
		if k.Slot == proto.Task && k.Signal != int(unix.SIGTERM) {
			// What tells a task to do something is for itself alone.
			process{pid: p.pid, start: p.start}.signal(k.Signal)
			return
		}
		_ = unix.Kill(-p.pid, unix.Signal(k.Signal))
		return
	}
	_ = unix.Kill(-p.pid, unix.SIGKILL)
	r.later(func() {
		mark := r.mark(p.id)
		r.endAll(map[int]uint64{p.pid: p.start}, func(m string) bool { return m == mark }, int(unix.SIGKILL))
		select {
		case <-p.ended:
		case <-r.stopped:
		case <-time.After(late):
			r.o.Log.Error("a program does not end though it was killed; it is left alone",
				"interface", p.id.Interface, "pid", p.pid)
			r.tell(p, proto.Exit{Slot: p.id.Slot, Code: -1})
		}
	})
}

// Sweep ends all that programs of an interface have left behind.
func (r *Runner) Sweep(s core.Sweep) {
	r.endLater(nil, func(m string) bool {
		inst, g, iface, ok := parseMark(m)
		return ok && inst == r.instance && iface == s.Interface && g <= s.Generation
	})
}

// endLater ends processes with TERM, and with KILL what is still there after a
// while.
func (r *Runner) endLater(roots map[int]uint64, marked func(string) bool) {
	r.later(func() {
		if len(r.endAll(roots, marked, int(unix.SIGTERM))) == 0 {
			return
		}
		select {
		case <-time.After(grace):
		case <-r.stopped:
		}
		r.endAll(roots, marked, int(unix.SIGKILL))
	})
}

// endAll sends a signal to a family of processes. With KILL it looks again
// until there is none left: one may have forked meanwhile.
func (r *Runner) endAll(roots map[int]uint64, marked func(string) bool, sig int) []process {
	var found []process
	for range 10 {
		found = family(all(), roots, marked)
		for _, p := range found {
			p.signal(sig)
		}
		if len(found) == 0 || sig != int(unix.SIGKILL) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return found
}

// Close ends all programs, and the watching.
func (r *Runner) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	r.mu.Unlock()
	prefix := r.instance + ":"
	ours := func(m string) bool { return strings.HasPrefix(m, prefix) }
	r.end(nil, ours)
	close(r.stopped)
	r.wg.Wait()
	r.forget()
}
