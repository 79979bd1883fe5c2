package device

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"netbraid/internal/config"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// switches prints the bridges of Open vSwitch that are wanted.
func (w *world) switches() string {
	var out []string
	for _, s := range w.g.Switches() {
		var ports []string
		for _, p := range s.Ports {
			text := p.Name
			if p.Type != "" {
				text += "/" + p.Type
			}
			if p.Tag != 0 {
				text += fmt.Sprint(":", p.Tag)
			}
			ports = append(ports, text)
		}
		out = append(out, s.Name+"["+strings.Join(ports, " ")+"]")
	}
	return strings.Join(out, " ")
}

// want holds what is wanted, and that a change of it is told.
func (w *world) want(changed bool, want string) {
	w.t.Helper()
	w.check()
	if got := w.switches(); got != want {
		w.t.Errorf("wanted are %q, want %q", got, want)
	}
	if got := w.g.Switched(); changed && !got {
		w.t.Errorf("nobody is told of %q", want)
	}
}

func (w *world) made(name string) {
	w.set(name, func(l *rtnl.Link) { l.Kind = "openvswitch" })
}

func claims(g *Graph, names ...string) string {
	var out []string
	for _, n := range names {
		out = append(out, fmt.Sprint(n, " ", g.State(n).Claims))
	}
	return strings.Join(out, ", ")
}

func ovsDevices() []*config.Device {
	return []*config.Device{
		{Name: "ovs0", Type: config.OpenVSwitch, Ports: []string{"eth0", "eth1.5", "eth2"}, Switch: &model.Switch{Name: "ovs0", Ports: []model.SwitchPort{
			{Name: "eth0"}, {Name: "eth1.5", Tag: 7}, {Name: "eth2", Number: 9}, {Name: "vi", Type: "internal"}}}},
		{Name: "eth1.5", Type: config.VLAN, Parent: "eth1", VID: 5},
		{Name: "eth2", Type: config.VPort, Bridge: "ovs0", VPort: &model.SwitchPort{Name: "eth2", Number: 9}},
		{Name: "vi", Type: config.VPort, Bridge: "ovs0", VPort: &model.SwitchPort{Name: "vi", Type: "internal"}},
	}
}

// TestSwitch: a bridge is wanted with its section; it is there when Open
// vSwitch has made its link, and its ports are claimed then.
func TestSwitch(t *testing.T) {
	w := newWorld(t, "eth0", "eth1", "eth2")
	w.g.Configure(ovsDevices())
	const all = "ovs0[eth0 eth1.5:7 eth2 vi/internal]"
	w.want(true, all)
	w.g.Use("vi", "interface a")
	if w.g.Present("ovs0") || w.g.Present("vi") || w.g.Claim("vi", "interface a") {
		t.Error("a bridge is there that nobody has made")
	}
	w.set("ovs0", func(l *rtnl.Link) { l.Kind = "bridge" })
	if w.g.Present("ovs0") {
		t.Error("a bridge of Linux passes for one of Open vSwitch")
	}
	w.made("ovs0")
	if got := claims(w.g, "ovs0", "eth0", "eth1", "eth1.5", "eth2"); got != "ovs0 1, eth0 1, eth1 1, eth1.5 1, eth2 1" {
		t.Error(got)
	}
	w.made("vi")
	if !w.g.Claim("vi", "interface a") || w.g.State("ovs0").Claims != 2 {
		t.Error("a port of a bridge does not claim it: " + claims(w.g, "ovs0", "vi"))
	}
	for name, create := range map[string]bool{"ovs0": false, "vi": false, "eth0": false, "eth1.5": true} {
		x := w.g.Want(name)
		if x == nil || x.Create != create || x.Master != "" {
			t.Errorf("the link of %s is wanted so: %+v", name, x)
		} else if ipv6 := len(x.Sysctl) == 0; ipv6 != (name == "ovs0" || name == "vi") {
			t.Errorf("%s: sysctls %v", name, x.Sysctl)
		}
	}
	w.remove("ovs0")
	if got := claims(w.g, "ovs0", "eth0", "eth1", "eth2"); got != "ovs0 0, eth0 0, eth1 0, eth2 0" {
		t.Error("without the bridge: " + got)
	}
	w.want(false, all)
	w.made("ovs0")
	devs := ovsDevices()
	devs[0].Disabled = true
	w.g.Configure(devs)
	w.want(true, "")
	if got := claims(w.g, "ovs0", "eth0"); got != "ovs0 0, eth0 0" {
		t.Error("switched off: " + got)
	}
	w.g.Configure(ovsDevices())
	w.want(true, all)
	w.g.Configure(nil)
	w.want(true, "")
	if got := claims(w.g, "ovs0", "eth0"); got != "ovs0 0, eth0 0" {
		t.Error("no section: " + got)
	}
}

// TestSwitchBecomesBridge: another type of section takes the claim back that
// Open vSwitch has without an interface.
func TestSwitchBecomesBridge(t *testing.T) {
	w := newWorld(t, "eth0")
	w.g.Configure(ovsDevices()[:1])
	w.made("ovs0")
	w.g.Configure([]*config.Device{{Name: "ovs0", Type: config.Bridge, Ports: []string{"eth0"}}})
	w.want(true, "")
	if got := claims(w.g, "ovs0", "eth0"); got != "ovs0 0, eth0 0" {
		t.Error(got)
	}
}

// TestSwitchHoldsBack: what is switched off or waits for 802.1X is no port.
func TestSwitchHoldsBack(t *testing.T) {
	w := newWorld(t, "eth0", "eth1")
	devs := []*config.Device{
		{Name: "ovs0", Type: config.OpenVSwitch, Ports: []string{"eth0", "eth1"}, Switch: &model.Switch{Name: "ovs0", Ports: []model.SwitchPort{{Name: "eth0"}, {Name: "eth1"}}}},
		{Name: "eth0", Disabled: true},
		{Name: "eth1", Settings: model.Settings{Auth: true}},
	}
	w.g.Configure(devs)
	w.made("ovs0")
	w.want(true, "ovs0[]")
	w.g.SetAuthorized("eth1", true)
	w.want(true, "ovs0[eth1]")
	w.set("eth1", func(l *rtnl.Link) { l.Carrier = false })
	w.want(true, "ovs0[]")
	w.g.Configure([]*config.Device{devs[0], {Name: "eth1"}})
	w.want(true, "ovs0[eth0 eth1]")
}

// TestSwitchHotplug: ports that are added at run time.
func TestSwitchHotplug(t *testing.T) {
	w := newWorld(t, "eth0", "eth5", "eth6")
	w.g.Configure(ovsDevices())
	w.made("ovs0")
	const base = "eth0 eth1.5:7 eth2 "
	for _, c := range []struct {
		what string
		got  bool
		want bool
	}{
		{"a device", w.g.AddPort("ovs0", "eth5", false), true},
		{"a device with a VLAN", w.g.AddSwitchPort("ovs0", model.SwitchPort{Name: "eth6", Tag: 3}), true},
		{"an internal port", w.g.AddSwitchPort("ovs0", model.SwitchPort{Name: "in", Type: "internal"}), true},
		{"one that a section has", w.g.AddSwitchPort("ovs0", model.SwitchPort{Name: "eth2", Tag: 3}), false},
		{"a bond", w.g.AddSwitchPort("ovs0", model.SwitchPort{Name: "b", Members: []string{"eth5", "eth6"}}), false},
		{"itself", w.g.AddSwitchPort("ovs0", model.SwitchPort{Name: "ovs0"}), false},
		{"a link of Open vSwitch", w.g.AddSwitchPort("ovs0", model.SwitchPort{Name: "vi"}), false},
		{"the same, plainly", w.g.AddPort("ovs0", "vi", false), false},
		{"to what is no bridge", w.g.AddSwitchPort("eth0", model.SwitchPort{Name: "eth5"}), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	w.want(true, "ovs0["+base+"eth5 eth6:3 in/internal vi/internal]")
	if got := claims(w.g, "eth5", "eth6"); got != "eth5 1, eth6 1" {
		t.Error(got)
	}
	ports, prepared, _ := w.g.Hotplugged()
	if fmt.Sprintf("%d %d %s %d %s", len(ports), len(prepared), ports[0].Device, ports[1].Switch.Tag, ports[2].Switch.Type) != "3 0 eth5 3 internal" {
		t.Errorf("to be written down: %+v", ports)
	}
	n := w.g.HotplugChanges()
	if w.g.AddSwitchPort("ovs0", model.SwitchPort{Name: "eth6", Tag: 4}); w.g.HotplugChanges() == n {
		t.Error("a changed port is not written down")
	}
	w.want(true, "ovs0["+base+"eth5 eth6:4 in/internal vi/internal]")
	w.g.Configure(ovsDevices())
	w.want(false, "ovs0["+base+"eth5 eth6:4 in/internal vi/internal]")
	w.remove("eth6") // its port goes with it
	w.want(true, "ovs0["+base+"eth5 in/internal vi/internal]")
	if !w.g.RemoveSwitchPort("ovs0", "in") || !w.g.RemoveSwitchPort("ovs0", "eth5") || w.g.RemoveSwitchPort("ovs0", "eth5") || w.g.RemoveSwitchPort("ovs0", "vi") || w.g.RemoveSwitchPort("none", "x") {
		t.Error("taking ports off")
	}
	w.want(true, "ovs0["+base+"vi/internal]")
	if !w.g.Prepare("ovs0") || len(w.g.devs["ovs0"].ports)+len(w.g.devs["ovs0"].specs) > 0 || w.g.devs["ovs0"].prepared {
		t.Error("a bridge of Open vSwitch may be without a port: there is nothing to remember")
	}
}

// TestSwitchRandom does things in any order: whatever is wanted of Open vSwitch
// otherwise than before has been told, claims agree, and a bridge and all its
// devices are claimed exactly while its link is there.
func TestSwitchRandom(t *testing.T) {
	names := []string{"eth0", "eth1", "eth2", "eth5", "eth6"}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, names...)
		last, told := "", true
		var trace []string
		for range 60 {
			port := names[rng.IntN(len(names))]
			what := rng.IntN(11)
			trace = append(trace, fmt.Sprint(what, " ", port))
			switch what {
			case 0:
				w.g.Configure(ovsDevices())
			case 1:
				devs := ovsDevices()
				devs[0].Disabled = rng.IntN(2) == 0
				devs = append(devs, &config.Device{Name: "eth5", Disabled: rng.IntN(2) == 0}, &config.Device{Name: "eth6", Settings: model.Settings{Auth: rng.IntN(2) == 0}})
				w.g.Configure(devs)
			case 2:
				if rng.IntN(4) == 0 {
					w.g.Configure([]*config.Device{{Name: "ovs0", Type: config.Bridge, Ports: []string{"eth0", "eth5"}}})
				}
			case 3, 4:
				w.made([]string{"ovs0", "vi"}[rng.IntN(2)])
			case 5:
				if w.l["ovs0"] != nil && rng.IntN(2) == 0 {
					w.remove("ovs0")
				}
			case 6:
				if w.l[port] != nil {
					w.remove(port)
				}
			case 7:
				w.set(port, func(l *rtnl.Link) { l.Carrier = rng.IntN(2) == 0 })
			case 8:
				w.g.AddSwitchPort("ovs0", model.SwitchPort{Name: port, Tag: uint16(rng.IntN(3))})
			case 9:
				w.g.RemoveSwitchPort("ovs0", port)
			case 10:
				w.g.SetAuthorized("eth6", rng.IntN(2) == 0)
			}
			w.check()
			now := w.switches()
			if told = w.g.Switched(); now != last && !told {
				t.Errorf("nobody is told that %q is wanted, before %q", now, last)
			}
			last = now
			if d := w.g.devs["ovs0"]; d != nil && d.cfg != nil && d.cfg.Type == config.OpenVSwitch {
				there := switchLink(w.l["ovs0"]) && !d.cfg.Disabled
				if d.present != there || (d.claims > 0) != there {
					t.Errorf("the bridge is present: %v, has %d claims; its link is there: %v", d.present, d.claims, there)
				}
				for _, below := range d.below() {
					if b := w.g.devs[below]; b.users["device ovs0"] != (there && b.present) {
						t.Errorf("%s is claimed by the bridge: %v; present %v, the bridge is there %v", below, b.users["device ovs0"], b.present, there)
					}
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d after %s", seed, strings.Join(trace, ", "))
			}
		}
	}
}
