package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// Options of the demonstration.
type Options struct {
	Out    io.Writer
	In     io.Reader // read until a line comes, with Hold
	Exe    string    // the netbraid binary
	Colour bool
	Hold   bool          // leave it open at the end
	Pause  time.Duration // after each step, for the reader
}

// world is what the story plays in.
type world struct {
	Options
	dir    string
	home   *rtnl.NS // where netbraid runs
	far    *rtnl.NS // the other ends of the cables: a laptop, and the provider
	guest  *rtnl.NS // another host on the bridge
	daemon *exec.Cmd
	ended  chan error // what became of the daemon
	steps  int
	log    *os.File
}

// needs are the programs that the story uses, and the Debian packages that
// have them.
var needs = []struct{ program, pkg string }{{"ip", "iproute2"}, {"ping", "iputils-ping"}}

func newWorld(o Options) (*world, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root, because it makes network namespaces of its own: try it with sudo")
	}
	var missing []string
	for _, n := range needs {
		if _, err := exec.LookPath(n.program); err != nil {
			missing = append(missing, n.pkg)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("needs programs that are not here: apt-get install %s", strings.Join(missing, " "))
	}
	w := &world{Options: o}
	return w, w.open()
}

func (w *world) open() (err error) {
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "netbraid-demo-"); err != nil {
		return err
	}
	if err = os.Mkdir(w.path("config"), 0o755); err != nil {
		return err
	}
	if w.log, err = os.Create(w.path("daemon.log")); err != nil {
		return err
	}
	if w.home, err = rtnl.NewNS(); err != nil {
		return err
	}
	if w.far, err = rtnl.NewNS(); err != nil {
		return err
	}
	w.guest, err = rtnl.NewNS()
	return err
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// close ends what runs and leaves nothing behind: the namespaces go with their
// last descriptor.
func (w *world) close() {
	if w.daemon != nil {
		_ = w.stopDaemon(unix.SIGKILL)
	}
	for _, ns := range []*rtnl.NS{w.home, w.far, w.guest} {
		if ns != nil {
			ns.Close()
		}
	}
	if w.log != nil {
		w.log.Close()
	}
	if w.dir != "" {
		os.RemoveAll(w.dir)
	}
}

// command makes a command for the words of line; "netbraid" is this binary.
func (w *world) command(ctx context.Context, line string) *exec.Cmd {
	f := strings.Fields(line)
	if f[0] == "netbraid" {
		f[0] = w.Exe
	}
	cmd := exec.CommandContext(ctx, f[0], f[1:]...)
	cmd.Env = append(os.Environ(), "NETBRAID_UBUS_SOCKET="+w.path("ubus.sock"), "LC_ALL=C", "COLUMNS=120")
	return cmd
}

// in runs a command line in a namespace and gives its output.
func (w *world) in(ctx context.Context, ns *rtnl.NS, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := w.command(ctx, line)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Do(cmd.Start); err != nil { // a child inherits its thread's namespace
		return "", fmt.Errorf("%s: %w", line, err)
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

// all runs command lines in a namespace, unseen.
func (w *world) all(ctx context.Context, ns *rtnl.NS, lines ...string) error {
	for _, l := range lines {
		if _, err := w.in(ctx, ns, l); err != nil {
			return err
		}
	}
	return nil
}

// cable joins a port here with one at the far end.
func (w *world) cable(ctx context.Context, port, name string, far *rtnl.NS) error {
	return w.all(ctx, w.home, fmt.Sprintf("ip link add %s type veth peer name %s netns /proc/%d/fd/%d", port, name, os.Getpid(), far.FD()))
}

func (w *world) configure(text string) error {
	return os.WriteFile(w.path("config/network"), []byte(text), 0o644)
}

// daemonLine is the daemon with every path below dir.
func (w *world) daemonLine() string {
	return fmt.Sprintf("netbraid daemon -S -c %s -s %s --run-dir %s --state-dir %s",
		w.path("config"), w.path("ubus.sock"), w.path("run"), w.path("lib"))
}

func (w *world) startDaemon() error {
	cmd := w.command(context.Background(), w.daemonLine())
	cmd.Stdout, cmd.Stderr = w.log, w.log
	if err := w.home.Do(cmd.Start); err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	w.daemon, w.ended = cmd, make(chan error, 1)
	go func(ended chan<- error) { ended <- cmd.Wait() }(w.ended)
	return nil
}

func (w *world) stopDaemon(sig unix.Signal) error {
	_ = w.daemon.Process.Signal(sig)
	w.daemon = nil
	select {
	case err := <-w.ended:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("the daemon does not end")
	}
}

// up lists the interfaces that are up; nil while the daemon does not answer.
func (w *world) up(ctx context.Context) map[string]bool {
	out, err := w.in(ctx, w.home, "netbraid status --json")
	if err != nil {
		return nil
	}
	var dump struct {
		Interface []struct {
			Interface string
			Up        bool
		}
	}
	if json.Unmarshal([]byte(out), &dump) != nil {
		return nil
	}
	up := map[string]bool{}
	for _, i := range dump.Interface {
		up[i.Interface] = i.Up
	}
	return up
}

// wait polls until ok says yes, for at most 20 s.
func (w *world) wait(ctx context.Context, what string, ok func() bool) error {
	late := time.Now().Add(20 * time.Second)
	for !ok() {
		select {
		case err := <-w.ended:
			w.daemon = nil
			return fmt.Errorf("the daemon has ended (%v); its log:\n%s", err, w.logTail())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(late) {
			return fmt.Errorf("not within 20 s: %s; the daemon's log:\n%s", what, w.logTail())
		}
	}
	return nil
}

func (w *world) waitUp(ctx context.Context, names ...string) error {
	return w.wait(ctx, strings.Join(names, ", ")+" up", func() bool {
		up := w.up(ctx)
		for _, n := range names {
			if !up[n] {
				return false
			}
		}
		return true
	})
}

// waitAddr waits until a device here has an address.
func (w *world) waitAddr(ctx context.Context, dev, addr string) error {
	return w.wait(ctx, addr+" on "+dev, func() bool {
		out, err := w.in(ctx, w.home, "ip -4 -br addr show dev "+dev)
		return err == nil && strings.Contains(out, addr)
	})
}

func (w *world) logTail() string {
	b, err := os.ReadFile(w.path("daemon.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
