package device

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// links is an observed state that a test writes.
type links map[string]*rtnl.Link

func (l links) LinkByName(n string) *rtnl.Link { return l[n] }

// world is a graph on links that are up and have a carrier.
type world struct {
	t *testing.T
	g *Graph
	l links
}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, l: links{}}
	w.g = NewGraph(w.l)
	for _, n := range names {
		w.set(n, func(*rtnl.Link) {})
	}
	return w
}

// set changes a link, made when there is none.
func (w *world) set(name string, change func(*rtnl.Link)) {
	old := w.l[name]
	next := rtnl.Link{Index: uint32(len(w.l) + 1), Name: name, Flags: unix.IFF_UP, Carrier: true}
	if old != nil {
		next = *old
	}
	change(&next)
	w.l[name] = &next
	w.g.LinkChanged(old, &next)
	w.check()
}

func (w *world) remove(name string) {
	old := w.l[name]
	delete(w.l, name)
	w.g.LinkChanged(old, nil)
	w.check()
}

func (w *world) check() {
	w.t.Helper()
	if err := w.g.CheckInvariants(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) ports(bridge, want string) {
	w.t.Helper()
	w.check()
	if got := strings.Join(w.g.Ports(bridge), " "); got != want {
		w.t.Errorf("%s has %q, want %q", bridge, got, want)
	}
}

// masters lists the devices that are wanted as ports.
func (w *world) masters() string {
	var out []string
	for _, n := range w.g.Names() {
		if x := w.g.Want(n); x != nil && x.Master != "" {
			out = append(out, n+">"+x.Master)
		}
	}
	return strings.Join(out, " ")
}

func bridge(name string, ports ...string) *config.Device {
	return &config.Device{Name: name, Type: config.Bridge, Ports: ports}
}

func TestPortsAtRunTime(t *testing.T) {
	w := newWorld(t, "eth0", "eth1", "eth2", "br0", "br1")
	cfg := []*config.Device{bridge("br0", "eth0"), bridge("br1"), {Name: "br0.5", Type: config.VLAN, Parent: "br0", VID: 5}, {Name: "plain"}}
	w.g.Configure(cfg)
	for _, b := range []string{"br0", "br1"} {
		w.g.Use(b, "test")
		w.g.Claim(b, "test")
	}
	for _, c := range []struct {
		bridge, port string
		ok           bool
	}{{"br0", "eth1", true}, {"br0", "eth1", true}, {"br0", "eth0", true}, {"br1", "eth0", false}, {"br0", "br0", false}, {"br0", "br0.5", false},
		{"eth0", "eth1", false}, {"nosuch", "eth1", false}} {
		if got := w.g.AddPort(c.bridge, c.port, false); got != c.ok {
			t.Errorf("add %s to %s: %v", c.port, c.bridge, got)
		}
		w.check()
	}
	w.ports("br0", "eth0 eth1")
	if got := w.masters(); got != "eth0>br0 eth1>br0" {
		t.Errorf("ports are %s", got)
	}
	w.g.Configure(cfg)
	w.ports("br0", "eth0 eth1")
	// To another bridge it moves; br1 is there now, and can be claimed.
	if !w.g.AddPort("br1", "eth1", false) {
		t.Error("eth1 does not move")
	}
	w.ports("br0", "eth0")
	w.g.Claim("br1", "test")
	if got := w.masters(); got != "eth0>br0 eth1>br1" {
		t.Errorf("ports are %s", got)
	}
	w.remove("eth1")
	w.ports("br1", "")
	if w.g.Present("br1") {
		t.Error("br1 is present without a port")
	}
	w.set("eth1", func(*rtnl.Link) {})
	w.ports("br1", "")
	if !w.g.Prepare("br1") || !w.g.Present("br1") || w.g.Prepare("eth0") {
		t.Error("prepare")
	}
	if w.g.RemovePort("br0", "eth0") || w.g.RemovePort("br0", "eth2") {
		t.Error("a configured port, or none, is taken off")
	}
	// A bridge that is none any more has nothing of the kind.
	before := w.g.HotplugChanges()
	w.g.AddPort("br0", "eth2", true)
	w.g.Configure([]*config.Device{{Name: "br0"}})
	w.g.Configure(cfg)
	w.ports("br0", "eth0")
	if ports, prepared, _ := w.g.Hotplugged(); len(ports) != 0 || len(prepared) != 0 || w.g.HotplugChanges() == before {
		t.Errorf("left: %v %v", ports, prepared)
	}
}

func TestExternalAndDeferred(t *testing.T) {
	w := newWorld(t, "eth0", "eth1", "br0")
	w.g.Configure([]*config.Device{bridge("br0", "eth0")})
	w.g.Use("br0", "test")
	w.g.Claim("br0", "test")
	w.g.AddPort("br0", "eth1", true)
	x := w.g.Want("eth1")
	if x == nil || x.Set&rtnl.LinkUp != 0 || x.Set&rtnl.LinkMaster == 0 {
		t.Errorf("an external port: %+v", x)
	}
	if !w.g.State("eth1").External || !w.g.RemovePort("br0", "eth1") || w.g.State("eth1").External {
		t.Error("external")
	}
	if !w.g.SetDeferred("eth0", true) || w.g.Present("br0") || w.g.SetDeferred("nosuch", true) {
		t.Error("deferred")
	}
	w.g.SetDeferred("eth0", false)
	if !w.g.Present("br0") {
		t.Error("not deferred any more")
	}
	w.check()
}

// TestAuth: a port is wanted in its bridge exactly while 802.1X has let it
// through, and never has IPv6.
func TestAuth(t *testing.T) {
	w := newWorld(t, "eth0", "eth1", "br0")
	w.g.Configure([]*config.Device{bridge("br0", "eth0", "eth1"), {Name: "eth0", Settings: model.Settings{Auth: true}}})
	w.g.Use("br0", "test")
	w.g.Claim("br0", "test")
	expect := func(when, want string) {
		t.Helper()
		if got := w.masters(); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
		x := w.g.Want("eth0")
		if x == nil || !slices.Contains(x.Sysctl, model.Sysctl{Name: config.SysctlDisableIPv6, Value: "1"}) {
			t.Errorf("%s: eth0 has IPv6: %+v", when, x)
		}
	}
	expect("before", "eth1>br0")
	w.g.Events()
	w.g.SetAuthorized("eth0", true)
	expect("authorized", "eth0>br0 eth1>br0")
	if got := fmt.Sprint(w.g.Events()); got != fmt.Sprint([]Event{{"eth0", AuthUp}}) {
		t.Errorf("events %s", got)
	}
	w.set("eth0", func(l *rtnl.Link) { l.Carrier = false })
	w.set("eth0", func(l *rtnl.Link) { l.Carrier = true })
	expect("after a loss of carrier", "eth1>br0")
	w.g.SetAuthorized("eth0", true)
	w.g.SetAuthorized("eth0", false)
	expect("revoked", "eth1>br0")
	if w.g.SetAuthorized("nosuch", true) {
		t.Error("a device that nobody uses")
	}
}

func TestTopology(t *testing.T) {
	w := newWorld(t, "eth0", "br0", "br1")
	w.g.Configure([]*config.Device{bridge("br0", "eth0"), {Name: "br1", Type: config.Bridge, BridgeEmpty: true}})
	w.g.Events()
	index := func(n string) uint32 { return w.l[n].Index }
	var got []string
	for _, m := range []uint32{index("br0"), index("br0"), index("br1"), 0} {
		w.set("eth0", func(l *rtnl.Link) { l.Master = m })
		for _, e := range w.g.Events() {
			if e.Kind == TopoChange {
				got = append(got, e.Device)
			}
		}
		got = append(got, ".")
	}
	if s := strings.Join(got, " "); s != "br0 . . br0 br1 . br1 ." {
		t.Errorf("changes of topology: %s", s)
	}
}
