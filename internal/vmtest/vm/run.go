package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Times that bound a run apart from the user's own limit.
const (
	bootLimit  = 3 * time.Minute  // from QEMU's start to the program's; warm it is 2-3 s
	quitGrace  = 30 * time.Second // for goroutine traces after SIGQUIT
	drainLimit = 5 * time.Second  // for the console after QEMU's end
)

// run boots the guest, runs the job and gives the program's exit status. An
// error means that there is no status.
func run(c *config, img *image) (code int, err error) {
	initrd, boot, err := buildInitramfs(c, img)
	if err != nil {
		return 0, err
	}
	defer initrd.Close()
	ctl, ctlGuest, err := socketPair("control")
	if err != nil {
		return 0, err
	}
	defer ctl.Close()
	console, consoleGuest, err := socketPair("console")
	if err != nil {
		return 0, err
	}
	defer console.Close()

	m := &machine{
		kernel: img.kernel, cpus: c.cpus, memoryMiB: c.memoryMiB, kvm: haveKVM(), verbose: c.verbose,
		ctlFD: 3, consoleFD: 4, initrd: "/proc/self/fd/5", extra: c.qemuArgs,
	}
	cmd := exec.Command(img.qemu, m.args()...)
	cmd.ExtraFiles = []*os.File{ctlGuest, consoleGuest, initrd}
	var qemuErr bytes.Buffer
	cmd.Stderr = &qemuErr
	// A group of its own: Ctrl-C reaches only us. The kernel kills QEMU when this
	// thread ends, whatever way that is, so the thread is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.debugf("%s; boot modules %s", strings.Join(cmd.Args, " "), strings.Join(boot, " "))
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", img.qemu, err)
	}
	ctlGuest.Close()
	consoleGuest.Close()

	log := &consoleLog{}
	logDone := make(chan struct{})
	go func() {
		defer close(logDone)
		w := io.Writer(log)
		if c.verbose {
			w = io.MultiWriter(log, os.Stderr)
		}
		_, _ = io.Copy(w, console)
	}()
	st, runErr := supervise(c, ctl)
	if errors.Is(runErr, errLost) { // QEMU is ending by itself: let it say why
		time.AfterFunc(drainLimit, func() { _ = cmd.Process.Kill() })
	} else {
		_ = cmd.Process.Kill()
	}
	waitErr := cmd.Wait()
	select {
	case <-logDone:
	case <-time.After(drainLimit):
		console.Close()
		<-logDone
	}
	if runErr == nil && st.shell() == 0 {
		return 0, nil
	}
	return st.shell(), explain(c, runErr, waitErr, log, qemuErr.String())
}

// explain adds to a failed run what is known, and keeps the kernel's messages.
func explain(c *config, runErr, waitErr error, log *consoleLog, qemuErr string) error {
	var sig interrupted
	if errors.As(runErr, &sig) {
		return runErr
	}
	if errors.Is(runErr, errLost) {
		if why := log.reason(); why != "" {
			runErr = fmt.Errorf("%w: %s", runErr, why)
		} else if waitErr != nil {
			runErr = fmt.Errorf("%w: qemu: %w", runErr, waitErr)
		}
		if qemuErr = strings.TrimSpace(qemuErr); qemuErr != "" {
			runErr = fmt.Errorf("%w\n%s", runErr, qemuErr)
		}
	}
	if text := log.bytes(); len(text) > 0 {
		if name, err := saveLog(c.logFile, text); err != nil {
			c.printf("keep the kernel's messages: %v", err)
		} else {
			c.printf("kernel messages: %s", name)
		}
	}
	return runErr
}

// saveLog writes the kernel's messages to name, or to a new file when it is "".
func saveLog(name string, text []byte) (string, error) {
	if name != "" {
		return name, os.WriteFile(name, text, 0o644)
	}
	f, err := os.CreateTemp("", "netbraid-vm-*.log")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	return f.Name(), errors.Join(err, f.Close())
}

// interrupted is the signal that ended the run from outside.
type interrupted struct{ sig syscall.Signal }

// Error implements error.
func (i interrupted) Error() string { return "ended by signal: " + i.sig.String() }

// supervise serves the guest until the exit status, a time limit or a signal.
func supervise(c *config, ctl *os.File) (exitStatus, error) {
	type result struct {
		st  exitStatus
		err error
	}
	started := time.Now()
	readyOnce := make(chan struct{})
	markReady := sync.OnceFunc(func() { close(readyOnce) })
	ready := readyOnce // nil once that was seen
	done := make(chan result, 1)
	files := &collector{names: c.collect}
	var said atomic.Bool // the program has printed something
	go func() {
		st, err := consume(ctl, sink{
			stdout: spy{os.Stdout, &said}, stderr: spy{os.Stderr, &said}, files: len(c.collect), file: files.part,
			ready: func(release string) {
				c.debugf("kernel %s ready after %v", release, time.Since(started).Round(time.Millisecond))
				markReady()
			},
		})
		if errors.Is(err, errLost) && !said.Load() {
			err = fmt.Errorf("%w (%w)", err, errSilent)
		}
		done <- result{st, errors.Join(err, files.close())}
	}()
	what, limit := "did not boot", bootLimit
	timer := time.NewTimer(limit)
	defer timer.Stop()
	quitting := false
	for {
		select {
		case r := <-done:
			if quitting && r.err == nil {
				r.err = fmt.Errorf("the program %s within %v", what, limit)
			}
			return r.st, r.err
		case <-ready:
			ready = nil
			what, limit = "did not end", c.timeout
			timer.Stop()
			if limit > 0 {
				timer.Reset(limit)
			}
		case <-timer.C:
			if ready != nil || quitting {
				return exitStatus{}, fmt.Errorf("the guest %s within %v", what, limit)
			}
			quitting = true
			c.printf("no end within %v: sending SIGQUIT", limit)
			sendSignal(ctl, syscall.SIGQUIT)
			timer.Reset(quitGrace)
		case s := <-c.signals:
			if s != syscall.SIGQUIT || ready != nil {
				return exitStatus{}, interrupted{s.(syscall.Signal)}
			}
			sendSignal(ctl, syscall.SIGQUIT) // go test asks for traces this way
		}
	}
}

// errSilent says that the guest went away before the program had printed
// anything: an emulated kernel sometimes panics while it boots.
var errSilent = errors.New("before the program said anything")

// spy notes that something was written.
type spy struct {
	io.Writer
	said *atomic.Bool
}

func (s spy) Write(b []byte) (int, error) {
	s.said.Store(true)
	return s.Writer.Write(b)
}

// sendSignal asks the guest to signal the program. A guest that does not read is
// found out by the time limit.
func sendSignal(ctl *os.File, s syscall.Signal) {
	_, _ = ctl.Write(appendFrame(nil, frameSignal, []byte{byte(s)}))
}

// collector writes the files that the guest sends to the host, and only those
// that were asked for.
type collector struct {
	names []string
	open  map[int]*os.File
}

func (f *collector) part(i int, b []byte) error {
	w := f.open[i]
	if w == nil {
		var err error
		if w, err = os.Create(f.names[i]); err != nil {
			return fmt.Errorf("collect: %w", err)
		}
		if f.open == nil {
			f.open = map[int]*os.File{}
		}
		f.open[i] = w
	}
	_, err := w.Write(b)
	return err
}

func (f *collector) close() error {
	var errs []error
	for _, w := range f.open {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// socketPair gives our end, usable with deadlines and Close, and QEMU's end.
func socketPair(name string) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the %s socket: %w", name, err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, fmt.Errorf("make the %s socket: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name+" (guest)"), nil
}

// buildInitramfs makes the initramfs in memory: this program as init, the job,
// the modules that reach the host's files.
func buildInitramfs(c *config, img *image) (_ *os.File, boot []string, err error) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, nil, fmt.Errorf("read this program: %w", err)
	}
	if err := checkStatic(self); err != nil {
		return nil, nil, err
	}
	fd, err := unix.MemfdCreate("netbraid-vm-initramfs", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("make the initramfs: %w", err)
	}
	f := os.NewFile(uintptr(fd), "initramfs")
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	w := &cpioWriter{w: f}
	for _, d := range []string{"dev", "proc", "sys", "host", "upper", "root", "modules"} {
		w.dir(d, 0o755)
	}
	w.char("dev/console", 0o600, 5, 1)
	w.char("dev/null", 0o666, 1, 3)
	w.file("init", 0o755, self)
	j := job{
		Args: c.args, Env: c.env, Dir: c.dir, Collect: c.collect,
		Modules: img.modules, Release: img.release,
	}
	if boot, err = img.bootModules(); err != nil {
		return nil, nil, err
	}
	for _, m := range boot {
		data, err := os.ReadFile(filepath.Join(img.modules, m))
		if err != nil {
			return nil, nil, err
		}
		name := "modules/" + filepath.Base(m)
		w.file(name, 0o644, data)
		j.Boot = append(j.Boot, "/"+name)
	}
	text, err := json.Marshal(&j)
	if err != nil {
		return nil, nil, err
	}
	w.file(strings.TrimPrefix(jobFile, "/"), 0o644, text)
	return f, boot, w.close()
}

// haveKVM reports whether hardware virtualisation works. /dev/kvm alone says
// nothing: it may be there on a processor without the extension.
func haveKVM() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !virtFlag(string(info)) {
		return false
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	const kvmCreateVM = 0xae01 // KVM_CREATE_VM, <linux/kvm.h>
	fd, err := unix.IoctlRetInt(int(f.Fd()), kvmCreateVM)
	if err != nil {
		return false
	}
	return unix.Close(fd) == nil
}

// virtFlag reports whether the text of /proc/cpuinfo has the svm or vmx flag.
func virtFlag(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		if name, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			for f := range strings.FieldsSeq(flags) {
				if f == "svm" || f == "vmx" {
					return true
				}
			}
			return false
		}
	}
	return false
}
