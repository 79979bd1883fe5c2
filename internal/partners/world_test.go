package partners

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netbraid/internal/api"
	"netbraid/internal/core"
	"netbraid/internal/daemon"
	"netbraid/internal/helper"
	"netbraid/internal/jshn"
	"netbraid/internal/nstest"
	"netbraid/internal/ovs/ovsdb"
	"netbraid/internal/ubuscmd"
	"netbraid/internal/ucicmd"
	"netbraid/ubus"
)

// The test binary is also the commands that protocol scripts call, by name.
func init() {
	args := os.Args[1:]
	switch name := filepath.Base(os.Args[0]); name {
	case "jshn":
		os.Exit(jshn.Main(name, args, os.Environ(), os.Stdout, os.Stderr))
	case "uci":
		os.Exit(ucicmd.Main(name, args, os.Stdin, os.Stdout, os.Stderr))
	case "ubus":
		os.Exit(ubuscmd.Main(name, args, os.Stdin, os.Stdout, os.Stderr, false))
	}
}

// world is a namespace with a netbraid in it, one for its partners, and a
// client on the bus. eth0 here is peer0 there.
type world struct {
	t       testing.TB
	ns, far *nstest.NS
	dir     string
	socket  string // of the bus
	run     string // the run directory of the daemon
	client  *ubus.Client
	logged  *lines
	ovsdb   ovsdb.Options

	mu     sync.Mutex
	events []string // "ifup wan", as heard
}

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if os.Getenv("NETBRAID_TEST_LOG") != "" {
		os.Stderr.Write(p)
	}
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newWorld makes a world of so many links.
func newWorld(t testing.TB, links int) *world {
	w := &world{t: t, ns: nstest.New(t), far: nstest.New(t), dir: t.TempDir(), logged: &lines{}}
	w.socket, w.run = filepath.Join(w.dir, "ubus.sock"), filepath.Join(w.dir, "run")
	w.ns.IP("link set lo up")
	w.far.IP("link set lo up")
	for i := range links {
		w.ns.Veth(fmt.Sprintf("eth%d", i), fmt.Sprintf("peer%d", i), w.far)
	}
	return w
}

// config writes the configuration.
func (w *world) config(text string) {
	w.t.Helper()
	write(w.t, filepath.Join(w.dir, "config", "network"), text, 0o644)
}

func write(t testing.TB, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// install puts the scripts, as they are, and the library below root, and gives
// the folder of the scripts.
func (w *world) install(root string) (addons string) {
	w.t.Helper()
	addons = filepath.Join(root, "lib/netifd")
	err := filepath.WalkDir("testdata", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("testdata", path)
		write(w.t, filepath.Join(addons, rel), string(text), 0o755)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := helper.Prepare(w.run, addons, root, slog.New(slog.DiscardHandler)); err != nil {
		w.t.Fatal(err)
	}
	return addons
}

// start starts bus, daemon and client; all end with the test.
func (w *world) start(addons string) {
	t := w.t
	t.Helper()
	log := slog.New(slog.NewTextHandler(w.logged, nil))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	protos := helper.Registry(ctx, addons, w.run, log)
	bus, err := ubus.Open(ctx, ubus.BusOptions{Path: w.socket, Log: log, Broker: ubus.BrokerOptions{ACLDir: w.dir}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	var srv *api.Server
	d, err := daemon.New(daemon.Options{
		ConfigDir: filepath.Join(w.dir, "config"), RunDir: w.run, StateDir: filepath.Join(w.dir, "lib"),
		NSFD: w.ns.FD(), RcvBuf: 8 << 20, Seed: 1, Log: log, Protos: protos, Socket: w.socket, OVSDB: w.ovsdb,
		Publish: func(c *core.Core, a core.Action, now time.Time) { srv.Publish(c, a, now) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if srv, err = api.NewServer(d, bus, api.Options{NSFD: w.ns.FD(), Protos: protos, Version: "test", Log: log}); err != nil {
		t.Fatal(err)
	}
	w.listen(ctx)
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { ended <- d.Run(running) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", w.logged)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("daemon: %v", err)
		}
	})
	select {
	case <-d.Settled():
	case <-time.After(12 * time.Second):
		t.Fatal("the configuration has not settled")
	}
}

// listen connects the client and writes down the events network.interface.
func (w *world) listen(ctx context.Context) {
	w.t.Helper()
	client, err := ubus.Dial(ctx, w.socket)
	if err != nil {
		w.t.Fatal(err)
	}
	w.client = client
	w.t.Cleanup(func() { client.Close() })
	if _, err = client.Listen(ctx, func(_ string, data ubus.Table) {
		action, _ := data.String("action")
		name, _ := data.String("interface")
		w.mu.Lock()
		w.events = append(w.events, action+" "+name)
		w.mu.Unlock()
	}, "network.interface"); err != nil {
		w.t.Fatal(err)
	}
}

// count tells how often an event was heard.
func (w *world) count(event string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e == event {
			n++
		}
	}
	return n
}

// updates counts the updates of an interface from now on.
func (w *world) updates(name string) func() int64 {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var n atomic.Int64
	sub, err := w.client.Subscriber(ctx, func(what string, _ ubus.Table) {
		if what == "interface.update" {
			n.Add(1)
		}
	}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := w.client.LookupID(ctx, "network.interface."+name)
	if err == nil {
		err = sub.Subscribe(ctx, id)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return n.Load
}

// call calls a method without arguments; it must succeed.
func (w *world) call(path, method string) ubus.Table {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	replies, err := w.client.Call(ctx, path, method, nil)
	if err != nil {
		w.t.Fatalf("%s %s: %v", path, method, err)
	}
	if len(replies) == 0 {
		return nil
	}
	return replies[0]
}

func (w *world) up(name string)   { w.t.Helper(); w.call("network.interface."+name, "up") }
func (w *world) down(name string) { w.t.Helper(); w.call("network.interface."+name, "down") }

// status of an interface: whether it is up, whether it is being set up, and
// the codes in errors[].
func (w *world) status(name string) (up, pending bool, errs []string) {
	w.t.Helper()
	st := w.call("network.interface."+name, "status")
	up, _ = st.Bool("up")
	pending, _ = st.Bool("pending")
	list, _ := st.Array("errors")
	for _, e := range list {
		if t, ok := e.(ubus.Table); ok {
			code, _ := t.String("code")
			errs = append(errs, code)
		}
	}
	return up, pending, errs
}

// waitUp waits until an interface is up.
func (w *world) waitUp(name string) {
	w.t.Helper()
	nstest.Eventually(w.t, 8*time.Second, func() string {
		if up, pending, errs := w.status(name); !up {
			return fmt.Sprintf("%s is not up (pending %v, errors %v)", name, pending, errs)
		}
		return ""
	})
}

// waitDown waits until an interface is neither up nor on its way up.
func (w *world) waitDown(name string) {
	w.t.Helper()
	nstest.Eventually(w.t, 8*time.Second, func() string {
		if up, pending, errs := w.status(name); up || pending {
			return fmt.Sprintf("%s is not down (up %v, pending %v, errors %v)", name, up, pending, errs)
		}
		return ""
	})
}

// waitError waits until an error stands in errors[].
func (w *world) waitError(name, code string) {
	w.t.Helper()
	nstest.Eventually(w.t, 8*time.Second, func() string {
		if _, _, errs := w.status(name); !slices.Contains(errs, code) {
			return fmt.Sprintf("%s has errors %v, not %s", name, errs, code)
		}
		return ""
	})
}

// waitAddrs waits until a device has these addresses.
func (w *world) waitAddrs(dev string, want ...string) {
	w.t.Helper()
	nstest.Eventually(w.t, 8*time.Second, func() string {
		if got := w.ns.Addrs(dev); !slices.Equal(got, want) {
			return fmt.Sprintf("%s has %v, not %v", dev, got, want)
		}
		return ""
	})
}

// waitText waits until f gives a text with all of want in it.
func waitText(t testing.TB, f func() string, want ...string) {
	t.Helper()
	nstest.Eventually(t, 8*time.Second, func() string {
		got := f()
		for _, s := range want {
			if !strings.Contains(got, s) {
				return fmt.Sprintf("%q is not in:\n%s", s, got)
			}
		}
		return ""
	})
}

// running lists the processes that have all of these in their command lines.
func running(words ...string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, _ := os.ReadFile(f)
		if !slices.ContainsFunc(words, func(s string) bool { return !bytes.Contains(line, []byte(s)) }) {
			pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}
