package capture

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"netbraid/internal/api"
	"netbraid/internal/core"
	"netbraid/internal/daemon"
	"netbraid/internal/nstest"
	"netbraid/internal/proto"
	"netbraid/ubus"
)

// world is a namespace with a netbraid in it, a second one with the far ends
// of its links, and a client on the bus.
type world struct {
	t       testing.TB
	ns, far *nstest.NS
	dir     string
	client  *ubus.Client
	daemon  *daemon.Daemon
	protos  proto.Registry // nil: the built-in ones
	env     []string       // of protocol scripts
	halt    func()         // ends daemon, bus and client before the test does

	mu     sync.Mutex
	events []string // "ifup lan", as heard
}

const callTimeout = 20 * time.Second

// newWorld makes links eth0 to ethN-1 with the link-layer addresses given
// ("" for any), down, as the recorded runs had them; lo is up.
func newWorld(t testing.TB, links int, addrs map[string]string) *world {
	w := &world{t: t, ns: nstest.New(t), far: nstest.New(t), dir: t.TempDir()}
	w.ns.IP("link set lo up")
	for i := range links {
		name := fmt.Sprintf("eth%d", i)
		w.link(name, fmt.Sprintf("peer%d", i), addrs[name])
	}
	return w
}

// link makes one veth link with its far end up.
func (w *world) link(name, peer, addr string) {
	w.t.Helper()
	kind := " type veth peer name " + peer + fmt.Sprintf(" netns /proc/%d/fd/%d", os.Getpid(), w.far.FD())
	if addr != "" {
		kind = " address " + addr + kind
	}
	w.ns.IP("link add " + name + kind)
	w.far.IP("link set " + peer + " up")
}

func (w *world) config(text []byte) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Join(w.dir, "config"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "config", "network"), text, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// start starts bus, daemon and client; all end with the test.
func (w *world) start() {
	t := w.t
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("NETBRAID_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	socket := filepath.Join(w.dir, "ubus.sock")
	bus, err := ubus.Open(ctx, ubus.BusOptions{Path: socket, Log: log, Broker: ubus.BrokerOptions{ACLDir: w.dir}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	var srv *api.Server
	scripts, resolver := w.listeners()
	d, err := daemon.New(daemon.Options{
		ConfigDir: filepath.Join(w.dir, "config"), RunDir: filepath.Join(w.dir, "run"), StateDir: filepath.Join(w.dir, "lib"),
		NSFD: w.ns.FD(), RcvBuf: 8 << 20, Seed: 1, Log: log,
		Protos: w.protos, Socket: socket, HelperEnv: w.env, Hotplug: scripts, Resolv: resolver,
		Publish: func(c *core.Core, a core.Action, now time.Time) { srv.Publish(c, a, now) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if srv, err = api.NewServer(d, bus, api.Options{NSFD: w.ns.FD(), Protos: w.protos, Version: "test", Log: log}); err != nil {
		t.Fatal(err)
	}
	w.daemon = d
	w.listen(ctx, socket)
	ended := make(chan error, 1)
	run, stop := context.WithCancel(ctx)
	go func() { ended <- d.Run(run) }()
	w.halt = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("daemon: %v", err)
		}
		bus.Close()
		w.client.Close()
		cancel()
	})
	t.Cleanup(w.halt)
	select {
	case <-d.Settled():
	case <-time.After(15 * time.Second):
		t.Fatal("the configuration has not settled within 15 s")
	}
}

// listen connects the client and writes down the events network.interface.
func (w *world) listen(ctx context.Context, socket string) {
	w.t.Helper()
	client, err := ubus.Dial(ctx, socket)
	if err != nil {
		w.t.Fatal(err)
	}
	w.client = client
	w.t.Cleanup(func() { client.Close() })
	_, err = client.Listen(ctx, func(_ string, data ubus.Table) {
		action, _ := data.String("action")
		name, _ := data.String("interface")
		w.mu.Lock()
		w.events = append(w.events, action+" "+name)
		w.mu.Unlock()
	}, "network.interface")
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), callTimeout)
}

// try calls a method and returns its reply and status.
func (w *world) try(path, method string, args ubus.Table) (ubus.Table, ubus.Status) {
	w.t.Helper()
	ctx, cancel := w.ctx()
	defer cancel()
	replies, err := w.client.Call(ctx, path, method, args)
	st := ubus.StatusOf(err)
	if st == ubus.StatusTimeout || st == ubus.StatusConnectionFailed {
		w.t.Fatalf("%s %s: %v", path, method, err)
	}
	if len(replies) > 1 {
		w.t.Fatalf("%s %s: %d replies", path, method, len(replies))
	}
	if len(replies) == 0 {
		return nil, st
	}
	return replies[0], st
}

// call is a try that must end with this status.
func (w *world) call(want ubus.Status, path, method string, args ubus.Table) ubus.Table {
	w.t.Helper()
	t, st := w.try(path, method, args)
	if st != want {
		w.t.Errorf("%s %s %v: status %d (%v), want %d", path, method, args, st, st, want)
	}
	return t
}

// heard gives the events so far, by interface, each once in a row (netifd
// sends ifdown twice).
func byInterface(events []string) map[string]string {
	out := map[string]string{}
	last := map[string]string{}
	for _, e := range events {
		action, name, _ := strings.Cut(e, " ")
		if last[name] != action {
			last[name] = action
			out[name] = strings.TrimSpace(out[name] + " " + action)
		}
	}
	return out
}

func (w *world) heard() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return byInterface(w.events)
}
