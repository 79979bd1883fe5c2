package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// jobFile is where the initramfs holds the job.
const jobFile = "/job.json"

// portName is the name of the virtio-serial port.
const portName = "netbraid.vm"

// job is what the guest's init has to do.
type job struct {
	Args    []string // program and arguments; Args[0] is looked up in the PATH of Env
	Env     []string // the program's whole environment, NAME=value
	Dir     string   // working directory, absolute
	Boot    []string // modules in the initramfs, in the order of loading
	Modules string   // directory on the host that becomes /lib/modules/Release
	Release string   // kernel release, as uname -r gives it
	Collect []string // files that are sent to the host after the end, when they exist
}

// inGuest reports whether this process is the init that initramfs holds.
func inGuest() bool {
	if os.Getpid() != 1 || os.Args[0] != "/init" {
		return false
	}
	_, err := os.Stat(jobFile)
	return err == nil
}

// guestMain is the guest's init. It does not return: the host ends the machine
// when it has the exit status, and if init dies the kernel panics, which the
// host sees as well.
func guestMain() {
	if err := mountAll(earlyMounts); err != nil {
		fatal(nil, err)
	}
	port, err := openPort(10 * time.Second)
	if err != nil {
		fatal(nil, err)
	}
	out := &frameWriter{w: port}
	data, err := os.ReadFile(jobFile)
	if err != nil {
		fatal(out, err)
	}
	var j job
	if err := json.Unmarshal(data, &j); err != nil {
		fatal(out, fmt.Errorf("read the job: %w", err))
	}
	if err := enterHost(&j); err != nil {
		fatal(out, err)
	}
	if err := prepare(&j); err != nil {
		fatal(out, err)
	}
	st, err := runJob(&j, port, out)
	if err != nil {
		fatal(out, err)
	}
	if err := out.send(frameExit, st.encode()); err != nil {
		fatal(nil, fmt.Errorf("send the exit status: %w", err))
	}
	select {} // the host ends the machine
}

// fatal tells the host why init cannot go on.
func fatal(out *frameWriter, err error) {
	fmt.Fprintf(os.Stderr, "vm init: %v\n", err)
	if out != nil {
		msg := err.Error()
		if out.send(frameFailed, []byte(msg[:min(len(msg), maxPayload)])) == nil {
			select {}
		}
	}
	os.Exit(1)
}

// portFile does blocking system calls on the port: the runtime's poller and the
// driver's hang-up reports do not go together.
type portFile int

// Read implements io.Reader.
func (p portFile) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(p), b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("read the port: %w", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements io.Writer.
func (p portFile) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Write(int(p), b[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, fmt.Errorf("write the port: %w", err)
		}
		done += n
	}
	return done, nil
}

// openPort waits for the port to appear and opens it.
func openPort(patience time.Duration) (portFile, error) {
	deadline := time.Now().Add(patience)
	for {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			if b, err := os.ReadFile(n); err != nil || strings.TrimSpace(string(b)) != portName {
				continue
			}
			dev := filepath.Join("/dev", filepath.Base(filepath.Dir(n)))
			fd, err := unix.Open(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return 0, fmt.Errorf("open %s: %w", dev, err)
			}
			return portFile(fd), nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("no virtio-serial port %q after %v", portName, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// runJob starts the program, hands on its output, waits for its end and for
// everything that it left running, and sends the collected files.
func runJob(j *job, port io.Reader, out *frameWriter) (exitStatus, error) {
	if err := out.send(frameReady, []byte(j.Release)); err != nil {
		return exitStatus{}, err
	}
	path, code, err := lookProgram(j)
	if err != nil {
		return exitStatus{Code: code}, out.send(frameStderr, []byte("vm: "+err.Error()+"\n"))
	}
	pid, streams, err := start(j, path)
	if err != nil {
		return exitStatus{Code: 126}, out.send(frameStderr, fmt.Appendf(nil, "vm: run %s: %v\n", path, err))
	}
	var wg sync.WaitGroup
	for i, t := range []frameType{frameStdout, frameStderr} {
		wg.Go(func() { forward(streams[i], t, out) })
	}
	go obey(port, pid)
	st, err := reap(pid)
	if err != nil {
		return exitStatus{}, err
	}
	// What the program left running holds its output open; it ends here.
	_ = unix.Kill(-1, unix.SIGKILL)
	wg.Wait()
	for i, name := range j.Collect {
		if err := sendFile(i, name, out); err != nil {
			return exitStatus{}, err
		}
	}
	return st, nil
}

// lookProgram resolves Args[0] as a shell would in the job's environment. The
// code is the shell's for the error: 127 not found, 126 not executable.
func lookProgram(j *job) (path string, code int, err error) {
	for _, e := range j.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			os.Setenv("PATH", v)
		}
	}
	name := j.Args[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(j.Dir, name)
		}
		return name, 127, unix.Access(name, unix.F_OK)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		p := filepath.Join(dir, name)
		if fi, err := os.Stat(p); err == nil && !fi.IsDir() && fi.Mode()&0o111 != 0 {
			return p, 0, nil
		}
	}
	return "", 127, fmt.Errorf("%s: program not found in PATH", name)
}

// start runs the program with standard input from /dev/null and gives the
// reading ends of its standard output and standard error.
func start(j *job, path string) (pid int, streams [2]*os.File, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, streams, err
	}
	defer null.Close()
	files := []uintptr{null.Fd()}
	for i := range streams {
		r, w, err := os.Pipe()
		if err != nil {
			return 0, streams, err
		}
		defer w.Close()
		streams[i], files = r, append(files, w.Fd())
	}
	pid, err = syscall.ForkExec(path, j.Args, &syscall.ProcAttr{
		Dir: j.Dir, Env: j.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	return pid, streams, err
}

// forward hands r on as frames of type t until its end.
func forward(r *os.File, t frameType, out *frameWriter) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && out.send(t, buf[:n]) != nil || err != nil {
			return
		}
	}
}

// obey sends the program the signals that the host asks for.
func obey(port io.Reader, pid int) {
	for {
		t, p, err := readFrame(port, nil)
		if err != nil {
			return
		}
		if t == frameSignal && len(p) == 1 {
			_ = unix.Kill(pid, unix.Signal(p[0]))
		}
	}
}

// reap waits for every child, as an init must, until pid has ended.
func reap(pid int) (exitStatus, error) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return exitStatus{}, fmt.Errorf("wait for process %d: %w", pid, err)
		case got != pid:
		case ws.Signaled():
			return exitStatus{Signal: int(ws.Signal())}, nil
		case ws.Exited():
			return exitStatus{Code: ws.ExitStatus()}, nil
		}
	}
}

// sendFile sends the i-th collected file in parts; a file that is not there is
// not sent.
func sendFile(i int, name string, out *frameWriter) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, maxPayload)
	buf[0] = byte(i)
	for sent := false; ; sent = true {
		n, err := io.ReadFull(f, buf[1:])
		if n > 0 || !sent { // an empty file is sent too
			if err := out.send(frameFile, buf[:1+n]); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("collect %s: %w", name, err)
		}
	}
}
