package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/hotplug"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
	"netbraid/internal/ovs/ovsdb"
	"netbraid/internal/proto"
	"netbraid/internal/resolv"
	"netbraid/rtnl"
)

// world is a real namespace with a daemon in it.
type world struct {
	t       testing.TB
	ns      *nstest.NS
	dir     string
	protos  proto.Registry
	d       *Daemon
	cancel  context.CancelFunc
	ended   chan error
	events  chan string // "ifup lan", …
	hotplug *hotplug.Options
	resolv  *resolv.Options
	ovsdb   ovsdb.Options
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, ns: nstest.New(t), dir: t.TempDir(), protos: proto.Builtin(), events: make(chan string, 10000)}
	t.Cleanup(w.stop)
	return w
}

func (w *world) config(text string) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "config")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "network"), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	if os.Getenv("NETBRAID_TEST_LOG") != "" {
		os.Stderr.Write(b)
	}
	return len(b), nil
}

func (w *world) start() {
	w.t.Helper()
	level := slog.LevelInfo
	if os.Getenv("NETBRAID_TEST_LOG") == "debug" {
		level = slog.LevelDebug
	}
	d, err := New(Options{
		ConfigDir: filepath.Join(w.dir, "config"), RunDir: filepath.Join(w.dir, "run"), StateDir: filepath.Join(w.dir, "lib"),
		NSFD: w.ns.FD(), Protos: w.protos, RcvBuf: 8 << 20, Seed: 1, Hotplug: w.hotplug, Resolv: w.resolv, OVSDB: w.ovsdb,
		Log: slog.New(slog.NewTextHandler(testWriter{w.t}, &slog.HandlerOptions{Level: level})),
		Publish: func(_ *core.Core, a core.Action, _ time.Time) {
			if p, ok := a.(core.Publish); ok {
				w.events <- map[iface.Notice]string{iface.IfUp: "ifup ", iface.IfDown: "ifdown ", iface.IfUpdate: "ifupdate ", iface.IfUpFailed: "ifup-failed "}[p.Notice] + p.Interface
			}
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.d, w.cancel, w.ended = d, cancel, make(chan error, 1)
	go func() { w.ended <- d.Run(ctx) }()
	select {
	case <-d.Settled():
	case <-time.After(15 * time.Second):
		why := w.describe()
		w.on(func(c *core.Core) {
			why += fmt.Sprintf("\nmirror %+v idle %v wants a tick at %s (now %s)", c.Mirror().Stats(), c.Planner().Idle(), c.Deadline(), time.Now())
			for k := rtnl.KindLink; k <= rtnl.KindNetconf; k++ {
				why += fmt.Sprintf(" %s=%v", k, c.Mirror().Live(k))
			}
		})
		stacks := make([]byte, 1<<20)
		w.t.Fatalf("the configuration has not settled: %s\n%s", why, stacks[:runtime.Stack(stacks, true)])
	}
}

// stop ends the daemon; its state stays in the kernel.
func (w *world) stop() {
	if w.cancel == nil {
		return
	}
	w.cancel()
	w.cancel = nil
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Errorf("daemon: %v", err)
		}
	case <-time.After(15 * time.Second):
		w.t.Fatal("the daemon does not end")
	}
}

// on runs f on the loop and waits for it.
func (w *world) on(f func(c *core.Core)) {
	w.t.Helper()
	done := make(chan struct{})
	if !w.d.Call(func(c *core.Core, _ time.Time) { f(c); close(done) }) {
		w.t.Fatal("the daemon takes no calls")
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		w.t.Fatal("the loop does not answer")
	}
}

func (w *world) command(v core.Verb, name string) core.Status {
	w.t.Helper()
	var st core.Status = 255
	w.on(func(*core.Core) { w.d.Command(core.Command{Verb: v, Interface: name}, func(s core.Status) { st = s }) })
	return st
}

func (w *world) reload() (err error) {
	w.t.Helper()
	w.on(func(*core.Core) { err = w.d.Reload() })
	return err
}

func (w *world) describe() string {
	var b strings.Builder
	w.on(func(c *core.Core) {
		for _, n := range c.Interfaces() {
			m := c.Interface(n)
			b.WriteString(n + "=" + m.State().String() + "(" + m.Device() + ") ")
			for _, e := range m.Errors() {
				b.WriteString(e.Code + ":" + e.Message + " ")
			}
		}
		for _, f := range c.Planner().Failures("") {
			b.WriteString("\n  " + f.Owner + ": " + f.String())
		}
	})
	return b.String()
}

// state of an interface.
func (w *world) state(name string) (s iface.State) {
	w.on(func(c *core.Core) {
		if m := c.Interface(name); m != nil {
			s = m.State()
		}
	})
	return s
}

func (w *world) waitState(name string, want iface.State) {
	w.t.Helper()
	nstest.Eventually(w.t, 5*time.Second, func() string {
		if s := w.state(name); s != want {
			return name + " is " + s.String() + ", not " + want.String() + ": " + w.describe()
		}
		return ""
	})
}

func (w *world) waitAddrs(dev string, want ...string) {
	w.t.Helper()
	nstest.Eventually(w.t, 5*time.Second, func() string {
		if got := strings.Join(w.ns.Addrs(dev), " "); got != strings.Join(want, " ") {
			return dev + " has " + got + ", not " + strings.Join(want, " ") + ": " + w.describe()
		}
		return ""
	})
}
