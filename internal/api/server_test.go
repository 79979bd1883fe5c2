package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
	"netbraid/internal/proto"
	"netbraid/ubus"
)

// loop is a daemon without a kernel: calls run at once, one at a time.
type loop struct {
	mu       sync.Mutex
	core     *core.Core
	refuse   bool
	reload   error
	commands []core.Command
	status   core.Status
}

func (l *loop) Call(f func(*core.Core, time.Time)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse {
		return false
	}
	f(l.core, time.Now())
	return true
}

func (l *loop) Command(cmd core.Command, reply func(core.Status)) {
	if cmd.Do != nil { // the core itself has the answer
		for _, a := range l.core.Step(time.Now(), cmd) {
			if a, ok := a.(core.Reply); ok {
				reply(a.Status)
			}
		}
		return
	}
	l.commands = append(l.commands, cmd)
	reply(l.status)
}

func (l *loop) Reload() error { return l.reload }

func (l *loop) Version() uint64 { return l.core.Version() }

func (l *loop) MoveLinks(_ int, moves []core.Move, _ bool, done func([]error)) {
	done(make([]error, len(moves)))
}

func (l *loop) ParseInterface(name string, options []config.Option) (*config.Single, []config.Problem) {
	return config.ParseInterface(name, options, l.core.Base(name), "ubus", config.Options{})
}

// refusedError is as daemon.RefusedError.
type refusedError []config.Problem

func (e refusedError) Error() string             { return "refused" }
func (e refusedError) Refused() []config.Problem { return e }

// bench is a server on a bus, with a client.
type bench struct {
	t      *testing.T
	loop   *loop
	server *Server
	client *ubus.Client
	log    *nstest.Output
}

// newBench starts with the interfaces a, on a bridge that is to be made, and
// b, whose device is not there.
func newBench(t *testing.T) *bench {
	b := &bench{t: t, loop: &loop{core: core.New(core.Options{})}, log: &nstest.Output{}}
	log := slog.New(slog.NewTextHandler(b.log, nil))
	path := filepath.Join(t.TempDir(), "ubus.sock")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	bus, err := ubus.Open(ctx, ubus.BusOptions{Path: path, Broker: ubus.BrokerOptions{ACLDir: t.TempDir()}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	protos := proto.Builtin()
	ext := protos["none"]
	ext.Name, ext.Flags = "ext", proto.Flags{NoDevice: true, Renew: true}
	protos["ext"] = ext
	if b.server, err = NewServer(b.loop, bus, Options{NSFD: -1, Protos: protos, Version: "1.2", Log: log}); err != nil {
		t.Fatal(err)
	}
	if b.client, err = ubus.Dial(ctx, path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.client.Close() })
	b.step(core.Configured{Config: &config.Config{
		Devices:    []*config.Device{{Name: "br0", Type: config.Bridge, BridgeEmpty: true}},
		Interfaces: []*config.Interface{{Name: "a", Proto: "static", Device: "br0", Auto: true}, {Name: "b", Proto: "none", Device: "eth9", Auto: true}},
	}})
	return b
}

// step takes an event, and answers for a kernel without any links.
func (b *bench) step(ev core.Event) {
	b.loop.mu.Lock()
	defer b.loop.mu.Unlock()
	now := time.Now()
	for todo := []core.Event{ev}; len(todo) > 0; todo = todo[1:] {
		for _, a := range b.loop.core.Step(now, todo[0]) {
			switch a := a.(type) {
			case core.Subscribe:
				todo = append(todo, core.Subscribed{Epoch: a.Epoch})
			case core.Dump:
				todo = append(todo, core.DumpDone{Epoch: a.Epoch, Kind: a.Kind, Complete: true})
			default:
				b.server.Publish(b.loop.core, a, now)
			}
		}
	}
}

// publish makes an action known, on the loop.
func (b *bench) publish(a core.Action) {
	b.loop.mu.Lock()
	defer b.loop.mu.Unlock()
	b.server.Publish(b.loop.core, a, time.Now())
}

// with changes what the loop answers.
func (b *bench) with(f func(l *loop)) {
	b.loop.mu.Lock()
	defer b.loop.mu.Unlock()
	f(b.loop)
}

// commands gives the commands so far.
func (b *bench) commands() (out []core.Command) {
	b.with(func(l *loop) { out = slices.Clone(l.commands) })
	return out
}

func (b *bench) call(path, method string, args ubus.Table) (string, ubus.Status) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	replies, err := b.client.Call(ctx, path, method, args)
	var out []string
	for _, r := range replies {
		out = append(out, text(r))
	}
	return strings.Join(out, " "), ubus.StatusOf(err)
}

func TestReload(t *testing.T) {
	b := newBench(t)
	problem := config.Problem{Pos: config.Pos{File: "/etc/config/network", Line: 12}, Severity: config.Error, Section: "interface wan",
		Option: "ipaddr", Value: "300.1.2.3", Reason: "not an IPv4 address", Allowed: "a.b.c.d"}
	const shown = `{"file":"/etc/config/network","line":12,"severity":"error","section":"interface wan","option":"ipaddr","value":"300.1.2.3",` +
		`"reason":"not an IPv4 address","allowed":"a.b.c.d","text":"/etc/config/network:12: interface wan: option ipaddr '300.1.2.3': not an IPv4 address (allowed: a.b.c.d)"}`
	for _, c := range []struct {
		err  error
		want ubus.Status
		own  string
	}{
		{nil, ubus.StatusOK, `{"ok":true,"problems":[],"more":0}`},
		{fmt.Errorf("load: %w", refusedError{problem}), ubus.StatusInvalidArgument, `{"ok":false,"problems":[` + shown + `],"more":0}`},
		{fmt.Errorf("open network: %w", fs.ErrNotExist), ubus.StatusNotFound,
			`{"ok":false,"problems":[{"file":"","line":0,"severity":"error","section":"","option":"","value":"","reason":"open network: file does not exist","allowed":"","text":"open network: file does not exist"}],"more":0}`},
		{errors.New("disk on fire"), ubus.StatusUnknownError,
			`{"ok":false,"problems":[{"file":"","line":0,"severity":"error","section":"","option":"","value":"","reason":"disk on fire","allowed":"","text":"disk on fire"}],"more":0}`},
	} {
		b.with(func(l *loop) { l.reload = c.err })
		if _, st := b.call("network", "reload", nil); st != c.want {
			t.Errorf("reload with %v: status %v, want %v", c.err, st, c.want)
		}
		if got, st := b.call("netbraid", "reload", nil); got != c.own || st != ubus.StatusOK {
			t.Errorf("netbraid reload with %v: %v\n%s\nwant\n%s", c.err, st, got, c.own)
		}
		b.with(func(l *loop) { l.commands = nil })
		if _, st := b.call("network", "restart", nil); st != c.want || (len(b.commands()) == 1) != (c.err == nil) {
			t.Errorf("restart with %v: status %v, commands %v", c.err, st, b.commands())
		}
	}
}

func TestCommands(t *testing.T) {
	b := newBench(t)
	for method, verb := range map[string]core.Verb{"up": core.VerbUp, "down": core.VerbDown, "renew": core.VerbRenew,
		"restart": core.VerbRestart, "remove": core.VerbRemove} {
		for _, byArg := range []bool{false, true} {
			b.with(func(l *loop) { l.commands, l.status = nil, core.UnknownError })
			path, args := "network.interface.b", ubus.Table(nil)
			if byArg {
				path, args = "network.interface", ubus.Table{{Name: "interface", Value: "b"}}
			}
			_, st := b.call(path, method, args)
			if want := []core.Command{{Verb: verb, Interface: "b"}}; !slices.Equal(b.commands(), want) || st != ubus.StatusUnknownError {
				t.Errorf("%s %s: commands %v, status %v; want %v and the command's own status", path, method, b.commands(), st, want)
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		path, method string
		args         ubus.Table
		status       ubus.Status
		reply        string
	}{
		{"network.interface.a", "prepare", nil, ubus.StatusOK, `{"bridge":true}`},
		{"network.interface.b", "prepare", nil, ubus.StatusOK, `{"bridge":false}`},
		{"network.interface", "up", ubus.Table{{Name: "interface", Value: "none"}}, ubus.StatusNotFound, ""},
		{"network.interface", "up", nil, ubus.StatusInvalidArgument, ""},
		{"network.interface.a", "notify_proto", nil, ubus.StatusNotSupported, ""},
		{"network.interface.a", "set_data", nil, ubus.StatusOK, ""},
		{"network.interface", "set_data", nil, ubus.StatusInvalidArgument, ""},
		{"network", "netns_updown", nil, ubus.StatusInvalidArgument, ""},
		{"network.device", "set_state", nil, ubus.StatusInvalidArgument, ""},
		{"network.device", "status", ubus.Table{{Name: "name", Value: "nope"}}, ubus.StatusInvalidArgument, ""},
		{"network.device", "status", ubus.Table{{Name: "name", Value: "eth9"}}, ubus.StatusOK, `{"external":false,"present":false,"type":"Network device"}`},
		{"network.device", "nosuch", nil, ubus.StatusMethodNotFound, ""},
		{"netbraid", "errors", nil, ubus.StatusOK, `{"errors":[],"more":0}`},
	} {
		got, st := b.call(c.path, c.method, c.args)
		if st != c.status || got != c.reply {
			t.Errorf("%s %s %v: %v %s, want %v %s", c.path, c.method, c.args, st, got, c.status, c.reply)
		}
	}
	got, _ := b.call("network", "get_proto_handlers", nil)
	if want := `{"ext":{"validate":{},"immediate":false,"no_device":true,"init_available":true,"renew_available":true,` +
		`"force_link_default":false,"last_error":false,"teardown_on_l3_link_down":false,"no_task":false},"static":`; !strings.HasPrefix(got, want) {
		t.Errorf("proto handlers:\n%s\nwant\n%s…", got, want)
	}
	if got, _ := b.call("netbraid", "status", nil); !strings.Contains(got, `"version":"1.2"`) || !strings.Contains(got, `"settled":false,"counts":{"interfaces":2,"interfaces-up":0,"devices":2,"devices-present":1,"errors":0},"mirror":{"live":{"link":true,`) {
		t.Errorf("netbraid status: %s", got)
	}
}

// TestTooMuch: an answer that does not fit is an error, not an empty answer.
func TestTooMuch(t *testing.T) {
	b := newBench(t)
	cfg := &config.Config{}
	for i := range 8000 {
		cfg.Interfaces = append(cfg.Interfaces, &config.Interface{Name: fmt.Sprintf("i%d", i), Proto: "none", Zone: strings.Repeat("z", 200)})
	}
	b.step(core.Configured{Config: cfg})
	if got, st := b.call("network.interface", "dump", nil); st != ubus.StatusNoMemory || got != "" {
		t.Errorf("dump of too much: %v with %d octets", st, len(got))
	}
	many := make(refusedError, maxListed+7)
	for i := range many {
		many[i].Reason = strings.Repeat("r", 100)
	}
	b.with(func(l *loop) { l.reload = many })
	if got, st := b.call("netbraid", "reload", nil); st != ubus.StatusOK || !strings.HasSuffix(got, `"more":7}`) {
		t.Errorf("many problems: %v, %d octets", st, len(got))
	}
}

// TestObjects follows the objects of interfaces through a change of the
// configuration.
func TestObjects(t *testing.T) {
	b := newBench(t)
	if _, st := b.call("network.interface.b", "status", nil); st != ubus.StatusOK {
		t.Errorf("object of b: %v", st)
	}
	b.step(core.Configured{Config: &config.Config{Interfaces: []*config.Interface{{Name: "c", Proto: "none"}}}})
	for name, want := range map[string]ubus.Status{"c": ubus.StatusOK, "a": ubus.StatusNotFound, "b": ubus.StatusNotFound} {
		if _, st := b.call("network.interface."+name, "status", nil); st != want {
			t.Errorf("object of %s: %v, want %v", name, st, want)
		}
	}
}

// TestNotifications: the event once, the notification with the status on both
// objects.
func TestNotifications(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	heard := make(chan string, 100)
	if _, err := b.client.Listen(ctx, func(name string, data ubus.Table) { heard <- "event " + name + " " + text(data) }, "*"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"network.interface", "network.interface.b", "network.device"} {
		sub, err := b.client.Subscriber(ctx, func(name string, data ubus.Table) { heard <- path + " " + name + " " + text(data) }, nil)
		if err != nil {
			t.Fatal(err)
		}
		id, err := b.client.LookupID(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Subscribe(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	status, _ := b.call("network.interface.b", "status", nil)
	body := `{"interface":"b",` + strings.TrimPrefix(status, "{")
	for _, c := range []struct {
		action core.Action
		want   []string
	}{
		{core.Publish{Interface: "b", Notice: iface.IfUp}, []string{`event network.interface {"action":"ifup","interface":"b"}`,
			"network.interface interface.update " + body, "network.interface.b interface.update " + body}},
		{core.Publish{Interface: "b", Notice: iface.IfUpdate}, []string{
			"network.interface interface.update " + body, "network.interface.b interface.update " + body}},
		{core.Publish{Interface: "b", Notice: iface.IfDown}, []string{`event network.interface {"action":"ifdown","interface":"b"}`,
			"network.interface interface.down " + body, "network.interface.b interface.down " + body}},
		{core.Publish{Interface: "gone", Notice: iface.IfDown}, []string{`event network.interface {"action":"ifdown","interface":"gone"}`}},
		{core.DeviceEvent{Device: "br0", Event: "link_up"}, []string{
			`network.device link_up {"name":"br0","auth_status":false,"present":true,"active":true,"link_active":false}`}},
	} {
		b.publish(c.action)
		for _, want := range c.want {
			select {
			case got := <-heard:
				if got != want {
					t.Errorf("%+v: heard\n%s\nwant\n%s", c.action, got, want)
				}
			case <-ctx.Done():
				t.Fatalf("%+v: nothing heard, want %s", c.action, want)
			}
		}
	}
	if len(heard) > 0 {
		t.Errorf("heard besides: %s", <-heard)
	}
}

// TestLoopIsNotHeldUp: while devices are being read, other calls are answered;
// and too many readings are refused.
func TestLoopIsNotHeldUp(t *testing.T) {
	b := newBench(t)
	b.server.reader.mu.Lock() // a reading that takes its time
	done := make(chan ubus.Status, 1)
	go func() {
		_, st := b.call("network.device", "status", nil)
		done <- st
	}()
	nstest.Eventually(t, 5*time.Second, func() string {
		if b.server.reader.waiting.Load() == 0 {
			return "the reading has not begun"
		}
		return ""
	})
	if _, st := b.call("network.interface", "dump", nil); st != ubus.StatusOK {
		t.Errorf("dump meanwhile: %v", st)
	}
	b.server.reader.waiting.Add(maxReadings)
	if _, st := b.call("network.device", "status", nil); st != ubus.StatusUnknownError {
		t.Errorf("one reading too many: %v", st)
	}
	b.server.reader.waiting.Add(-maxReadings)
	select {
	case st := <-done:
		t.Errorf("the reading has ended with %v without its turn", st)
	default:
	}
	b.server.reader.mu.Unlock()
	if st := <-done; st != ubus.StatusOK {
		t.Errorf("the reading: %v", st)
	}
	b.with(func(l *loop) { l.refuse = true })
	if _, st := b.call("network.interface.a", "prepare", nil); st != ubus.StatusUnknownError {
		t.Errorf("call of a daemon that is ending: %v", st)
	}
}
