package story

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/daemon"
	"netbraid/internal/nstest"
	"netbraid/internal/proto"
	"netbraid/rtnl"
)

// real is a daemon in a namespace of its own.
type real struct {
	dir    string
	ns     *nstest.NS
	conn   *rtnl.Conn
	ear    *rtnl.Notifier
	d      *daemon.Daemon // nil: not running
	cancel context.CancelFunc
	ended  chan error
	log    *slog.Logger
	before uint64 // operations of earlier daemons
	news   []string

	mu   sync.Mutex
	told []string
}

var errNotRunning = errors.New("netbraid is not running: the story has no start before this")

// patience bounds the wait for one answer of the loop.
const patience = 15 * time.Second

func newReal(t *testing.T, dir string, log *slog.Logger) (*real, error) {
	w := &real{dir: dir, ns: nstest.New(t), log: log}
	t.Cleanup(func() {
		if err := w.kill(); err != nil {
			t.Error(err)
		}
	})
	var err error
	if w.conn, err = rtnl.DialNS(w.ns.FD()); err != nil {
		return nil, err
	}
	t.Cleanup(func() { w.conn.Close() })
	if w.ear, err = rtnl.Subscribe(w.ns.FD(), groups, 4<<20); err != nil {
		return nil, err
	}
	t.Cleanup(func() { w.ear.Close() })
	return w, nil
}

func (w *real) request(msg []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.conn.Execute(ctx, [][]byte{msg})[0]
}

func (w *real) dump(kind rtnl.Kind) (datagrams [][]byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		datagrams = nil
		res, err := w.conn.Dump(ctx, rtnl.AppendDumpRequest(nil, kind, 0, rtnl.Filter{}), func(b []byte) error {
			datagrams = append(datagrams, append([]byte(nil), b...))
			return nil
		})
		if err != nil || !res.Interrupted {
			return datagrams, err
		}
	}
}

func (w *real) sysctl(path string) (out string, err error) {
	err = w.ns.Do(func() error {
		b, err := os.ReadFile(filepath.Join("/proc/sys/net", path))
		out = strings.TrimSpace(string(b))
		return err
	})
	return out, err
}

func (w *real) setSysctl(path, value string) error {
	return w.ns.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0) })
}

func (w *real) configure(text string) error {
	if err := os.MkdirAll(filepath.Join(w.dir, "config"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "config", "network"), []byte(text), 0o644)
}

func (w *real) running() bool { return w.d != nil }

func (w *real) start() error {
	d, err := daemon.New(daemon.Options{
		ConfigDir: filepath.Join(w.dir, "config"), RunDir: filepath.Join(w.dir, "run"), StateDir: filepath.Join(w.dir, "lib"),
		NSFD: w.ns.FD(), Protos: proto.Builtin(), RcvBuf: 8 << 20, Seed: 1, Log: w.log,
		Publish: func(_ *core.Core, a core.Action, _ time.Time) {
			if p, ok := a.(core.Publish); ok {
				w.mu.Lock()
				w.told = append(w.told, noticeName(p.Notice)+" "+p.Interface)
				w.mu.Unlock()
			}
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.d, w.cancel, w.ended = d, cancel, make(chan error, 1)
	go func(ended chan error) { ended <- d.Run(ctx) }(w.ended)
	select {
	case <-d.Settled():
		return nil
	case <-time.After(patience):
	}
	why := "?"
	if err := w.look(func(c *core.Core) { why = describe(c) }); err != nil {
		return err
	}
	return fmt.Errorf("the configuration has not settled: %s", why)
}

func (w *real) kill() error {
	if w.d == nil {
		return nil
	}
	w.before = w.writes()
	w.d = nil
	w.cancel()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(patience):
		return errors.New("the daemon does not end")
	}
}

func (w *real) look(f func(c *core.Core)) error {
	if w.d == nil {
		return errNotRunning
	}
	done := make(chan struct{})
	if !w.d.Call(func(c *core.Core, _ time.Time) { f(c); close(done) }) {
		return errors.New("the daemon takes no calls")
	}
	select {
	case <-done:
		return nil
	case <-time.After(patience):
		return errors.New("the loop does not answer")
	}
}

func (w *real) command(v core.Verb, name string) (st core.Status, err error) {
	st = 255
	err = w.look(func(*core.Core) {
		w.d.Command(core.Command{Verb: v, Interface: name}, func(s core.Status) { st = s })
	})
	return st, err
}

func (w *real) reload() error {
	var refused error
	if err := w.look(func(*core.Core) { refused = w.d.Reload() }); err != nil {
		return err
	}
	return refused
}

func (w *real) now() time.Time { return time.Now() }

func (w *real) pass(d time.Duration) error {
	time.Sleep(d)
	return nil
}

func (w *real) writes() (n uint64) {
	if w.d == nil {
		return w.before
	}
	_ = w.look(func(*core.Core) { n = w.d.Writes() })
	return w.before + n
}

func (w *real) events() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.told...)
}

func (w *real) heard() []string {
	if err := w.ear.Drain(func(b []byte) { w.news = append(w.news, addrNews(b)...) }); err != nil {
		w.news = append(w.news, "?"+err.Error())
	}
	return w.news
}
