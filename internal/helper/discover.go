package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/proto"
)

// Bounds of asking the scripts what they are.
const (
	dumpTime  = 5 * time.Second
	dumpSize  = 1 << 20 // octets of all that one script prints
	dumpAtOne = 4       // scripts at a time
)

// Discover asks every script in ADDONS/proto/*.sh which protocols it has, and
// adds them to the registry. A script that says nothing useful costs a line in
// the log and nothing else; of two protocols with one name that of the script
// first by name counts. env is added to the environment of the scripts.
func Discover(ctx context.Context, addons string, reg proto.Registry, env []string, log *slog.Logger) {
	dir, err := filepath.Abs(filepath.Join(addons, "proto"))
	if err != nil {
		log.Error("cannot find the protocol scripts", "dir", addons, "error", err)
		return
	}
	scripts, _ := filepath.Glob(filepath.Join(dir, "*.sh")) // sorted
	found := make([][]proto.Spec, len(scripts))
	var wg sync.WaitGroup
	turn := make(chan struct{}, dumpAtOne)
	for i, path := range scripts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			turn <- struct{}{}
			defer func() { <-turn }()
			found[i] = ask(ctx, path, env, log)
		}()
	}
	wg.Wait()
	for i, specs := range found {
		for _, s := range specs {
			if _, taken := reg[s.Name]; taken {
				log.Warn("protocol is there already: this one is left out", "script", scripts[i], "proto", s.Name)
				continue
			}
			reg[s.Name] = s
		}
	}
}

// ask runs one script with dump.
func ask(ctx context.Context, path string, env []string, log *slog.Logger) (specs []proto.Spec) {
	out, err := dump(ctx, path, env)
	if err != nil {
		log.Error("protocol script does not say what it is: no protocol of it can be used", "script", path, "error", err)
		return nil
	}
	wrong := 0
	for line := range bytes.Lines(out) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		s, derr := proto.Describe(line, "./"+filepath.Base(path), filepath.Dir(path))
		if derr != nil {
			wrong++
			err = derr
			continue
		}
		specs = append(specs, s)
	}
	switch {
	case wrong > 0:
		log.Error("protocol script prints what is no description", "script", path, "lines", wrong, "error", err)
	case len(specs) == 0:
		log.Warn("protocol script describes no protocol (is what it sources there?)", "script", path)
	}
	return specs
}

// dump runs a script with dump and gives what it prints. Whatever it starts is
// ended with it.
func dump(ctx context.Context, path string, env []string) ([]byte, error) {
	if err := executable(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dumpTime)
	defer cancel()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var complaint limited
	cmd := &exec.Cmd{Path: path, Args: []string{"./" + filepath.Base(path), "", "dump"}, Dir: filepath.Dir(path),
		Stdout: w, Stderr: &complaint, SysProcAttr: &syscall.SysProcAttr{Setsid: true}, WaitDelay: time.Millisecond,
		Env: append([]string{"PATH=" + Path, "HOME=/"}, env...)}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, err
	}
	st, _ := readStat(cmd.Process.Pid)
	out := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(r, dumpSize+1))
		out <- b
	}()
	var b []byte
	select {
	case b = <-out:
	case <-ctx.Done():
		err = fmt.Errorf("it has not ended within %s", dumpTime)
	}
	endTree(cmd.Process.Pid, st.start, err != nil || len(b) > dumpSize)
	werr := cmd.Wait()
	switch {
	case err != nil:
		return nil, err
	case len(b) > dumpSize:
		return nil, fmt.Errorf("it prints more than %d octets", dumpSize)
	case werr != nil && len(bytes.TrimSpace(b)) == 0 && !errors.Is(werr, exec.ErrWaitDelay):
		return nil, fmt.Errorf("%w: %s", werr, strings.TrimSpace(string(complaint.b)))
	}
	return b, nil
}

// endTree ends a process and its group; with force what has left the group as
// well. One that has ended its output gets a moment to end itself.
func endTree(pid int, start uint64, force bool) {
	if !force {
		for end := time.Now().Add(grace); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if p, ok := readStat(pid); !ok || p.state == 'Z' {
				break
			}
		}
	}
	for _, p := range family(all(), map[int]uint64{pid: start}, nil) {
		p.signal(int(unix.SIGKILL))
	}
	_ = unix.Kill(-pid, unix.SIGKILL) // not reaped yet: the number is still its
}

// limited keeps the begin of what is written to it.
type limited struct{ b []byte }

func (l *limited) Write(b []byte) (int, error) {
	l.b = append(l.b, b[:min(len(b), max(0, 500-len(l.b)))]...)
	return len(b), nil
}
