package device

import (
	"fmt"
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
