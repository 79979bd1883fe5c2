package hotplug

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The defaults of Options.
const (
	DefaultProgram = "/sbin/hotplug-call"
	DefaultDir     = "/etc/hotplug.d/iface"
	DefaultLimit   = 60 * time.Second
)

// grace is the time between SIGTERM and SIGKILL.
const grace = 2 * time.Second

// Options of a Runner.
type Options struct {
	// Program is called with the argument "iface" for each event; default
	// DefaultProgram. Where it does not exist the scripts in Dir are run.
	Program string
	// Dir has the scripts for machines without Program; default DefaultDir.
	Dir string
	// Limit is how long one program may take before it is ended with its
	// process group; default DefaultLimit.
	Limit time.Duration
	Log   *slog.Logger // default slog.Default()
}

// Runner calls programs for events, one at a time, in the order in which the
// interfaces first had something to tell.
type Runner struct {
	o    Options
	mu   sync.Mutex
	q    queue
	wake chan struct{}
	ctx  context.Context
	stop context.CancelFunc
	done chan struct{}
}

// New starts a runner. Close ends it.
func New(o Options) *Runner {
	if o.Program == "" {
		o.Program = DefaultProgram
	}
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &Runner{o: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	r.ctx, r.stop = context.WithCancel(context.Background())
	go r.run()
	return r
}

// Post hands an event over. It never blocks; after Close it does nothing.
func (r *Runner) Post(e Event) {
	r.mu.Lock()
	r.q.push(e)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close ends the program that runs, with its process group, and waits for it.
// What still waits is not told any more.
func (r *Runner) Close() {
	r.stop()
	<-r.done
}

func (r *Runner) run() {
	defer close(r.done)
	// A program is to end with this process however that ends; the kernel
	// looks at the thread that started it (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	for {
		r.mu.Lock()
		e, ok := r.q.pop()
		r.mu.Unlock()
		if ok && r.ctx.Err() == nil {
			r.tell(e)
			continue
		}
		select {
		case <-r.wake:
		case <-r.ctx.Done():
			return
		}
	}
}

// tell runs everything that one event is for.
func (r *Runner) tell(e Event) {
	cmds, err := commands(r.o.Program, r.o.Dir)
	if err != nil {
		r.o.Log.Warn("hotplug: cannot list the scripts", "error", err)
	}
	for _, argv := range cmds {
		if r.ctx.Err() != nil {
			return
		}
		start := time.Now()
		err := r.call(argv, environment(&e, argv[0] == r.o.Program))
		log := r.o.Log.With("action", e.Action, "interface", e.Interface, "program", name(argv), "took", time.Since(start).Round(time.Millisecond))
		switch {
		case err != nil && r.ctx.Err() != nil:
			log.Info("hotplug: ended with the daemon")
		case err != nil:
			log.Warn("hotplug: failed", "error", err)
		default:
			log.Debug("hotplug: done")
		}
	}
}

// call runs one program to its end, or to the end of its time. Its output goes
// where the daemon's standard error goes. What it has left in the background
// stays, unless it had to be ended.
func (r *Runner) call(argv, env []string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	pid := cmd.Process.Pid
	ended := make(chan struct{})
	go func() { // WNOWAIT: the pid, and with it the group, stays ours until it is reaped below
		defer close(ended)
		for unix.Waitid(unix.P_PID, pid, &unix.Siginfo{}, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	limit := time.NewTimer(r.o.Limit)
	defer limit.Stop()
	var late error
	select {
	case <-ended:
	case <-limit.C:
		late = fmt.Errorf("took longer than %s and was ended", r.o.Limit)
	case <-r.ctx.Done():
		late = context.Canceled
	}
	if late != nil {
		end(pid, ended)
	}
	return errors.Join(late, notKilled(cmd.Wait(), late != nil))
}

// end ends a process group: those who do not heed SIGTERM by SIGKILL.
func end(pid int, ended <-chan struct{}) {
	_ = unix.Kill(-pid, unix.SIGTERM)
	select {
	case <-ended:
	case <-time.After(grace):
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	<-ended
}

// notKilled drops what is only the consequence of having ended a program.
func notKilled(err error, killed bool) error {
	if killed {
		return nil
	}
	return err
}

// name is the program or script of a command, for the log.
func name(argv []string) string {
	if argv[0] == shell {
		return argv[3]
	}
	return argv[0]
}

// environment is what a program runs with: that of the daemon with the event
// in it; for scripts that are run without hotplug-call with what that adds.
func environment(e *Event, program bool) []string {
	own := e.Env()
	if !program {
		own = append(own, "HOTPLUG_TYPE=iface", "DEVICENAME=", "USER=root", "LOGNAME=root")
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "ACTION", "INTERFACE", "DEVICE", "HOTPLUG_TYPE", "DEVICENAME", "USER", "LOGNAME", "NOTIFY_SOCKET":
			return true
		}
		return strings.HasPrefix(name, "IFUPDATE_")
	})
	if os.Getenv("PATH") == "" {
		env = append(env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return append(env, own...)
}
