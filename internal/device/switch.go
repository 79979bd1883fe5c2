package device

import (
	"maps"
	"slices"
	"strings"

	"netbraid/internal/config"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// hasPorts tells whether a section makes a bridge, of Linux or of Open vSwitch:
// ports can be added to it at run time.
func hasPorts(c *config.Device) bool {
	return c != nil && (c.Type == config.Bridge || c.Type == config.OpenVSwitch)
}

// ofSwitch tells whether Open vSwitch makes the link of a device: the local
// port of a bridge, an internal port, a tunnel.
func ofSwitch(c *config.Device) bool {
	return c != nil && (c.Type == config.OpenVSwitch || c.Type == config.VPort && !c.Exists())
}

// switchLink tells whether a link can be one that Open vSwitch has made: those
// of the kernel's datapath have a kind of their own; the datapath in
// ovs-vswitchd has TAPs.
func switchLink(l *rtnl.Link) bool {
	return l != nil && (l.Kind == "openvswitch" || l.Kind == "tun")
}

// switchOf gives the Open vSwitch bridge that is up and has the device as a
// port; empty for none.
func (g *Graph) switchOf(name string) string {
	for _, a := range slices.Sorted(maps.Keys(g.above[name])) {
		if d := g.devs[a]; d != nil && d.claims > 0 && d.present && d.cfg != nil && d.cfg.Type == config.OpenVSwitch {
			return a
		}
	}
	return ""
}

// noteSwitch notes that a bridge of Open vSwitch may be wanted otherwise
// because of a device.
func (g *Graph) noteSwitch(d *Device) {
	if d.cfg != nil && d.cfg.Type == config.OpenVSwitch {
		g.switched = true
		return
	}
	for a := range g.above[d.Name] {
		if o := g.devs[a]; o != nil && o.cfg != nil && o.cfg.Type == config.OpenVSwitch {
			g.switched = true
		}
	}
}

// Switched tells, once, that Switches may give something else than before.
func (g *Graph) Switched() bool {
	was := g.switched
	g.switched = false
	return was
}

// LeaveSwitches gives up the bridges of Open vSwitch, for good: the devices of
// one that stays, because it is somebody else's, are as they were.
func (g *Graph) LeaveSwitches() {
	g.leaving = true
	for _, name := range g.Names() {
		g.Release(name, configUser)
	}
	g.run()
}

// Switches gives the Open vSwitch bridges that are wanted, sorted by name:
// those that sections ask for, with the ports that were added at run time. A
// bridge is wanted while its section is there, whether or not an interface is
// on it. A device that is switched off, or waits for 802.1X, is no port.
func (g *Graph) Switches() []model.Switch {
	var out []model.Switch
	for _, name := range g.Names() {
		d := g.devs[name]
		if d.cfg == nil || d.cfg.Type != config.OpenVSwitch || d.cfg.Disabled {
			continue
		}
		s := *d.cfg.Switch
		s.Ports = nil
		for i := range d.cfg.Switch.Ports {
			if p := &d.cfg.Switch.Ports[i]; g.admits(p) {
				s.Ports = append(s.Ports, *p)
			}
		}
		for _, p := range d.addedPorts() {
			if g.admits(&p) {
				s.Ports = append(s.Ports, p)
			}
		}
		slices.SortFunc(s.Ports, func(a, b model.SwitchPort) int { return strings.Compare(a.Name, b.Name) })
		out = append(out, s)
	}
	return out
}

// admits tells whether a port may be in its bridge now.
func (g *Graph) admits(p *model.SwitchPort) bool {
	devs := p.Members
	if len(devs) == 0 {
		devs = []string{p.Name}
	}
	return !slices.ContainsFunc(devs, func(name string) bool {
		d := g.devs[name]
		return d != nil && (d.cfg != nil && d.cfg.Disabled || d.needsAuth() && !d.authorized)
	})
}

// AddSwitchPort adds a port to a bridge of Open vSwitch until RemoveSwitchPort;
// one of a device that exists goes with its link. Said again it changes the
// port. false, and nothing is changed, when there is no such bridge, when a
// section has the port, or when the device cannot be one (see AddPort).
func (g *Graph) AddSwitchPort(bridge string, p model.SwitchPort) bool {
	d := g.devs[bridge]
	if d == nil || d.cfg == nil || d.cfg.Type != config.OpenVSwitch || configured(d, p.Name) || len(p.Members) > 0 {
		return false
	}
	if p.Type == "" && !g.AddPort(bridge, p.Name, false) {
		return false
	}
	if old, there := d.specs[p.Name]; there && old.Equal(&p) {
		return true
	}
	if d.specs == nil {
		d.specs = map[string]model.SwitchPort{}
	}
	d.specs[p.Name] = p
	g.hotplugs++
	g.touch(bridge)
	g.run()
	return true
}

// RemoveSwitchPort takes a port off that was added at run time; false when
// there is none.
func (g *Graph) RemoveSwitchPort(bridge, port string) bool {
	d := g.devs[bridge]
	if d == nil {
		return false
	}
	if g.RemovePort(bridge, port) {
		return true
	}
	if _, there := d.specs[port]; !there {
		return false
	}
	delete(d.specs, port)
	g.hotplugs++
	g.touch(bridge)
	g.run()
	return true
}

// configured tells whether a section has the port.
func configured(d *Device, port string) bool {
	return slices.ContainsFunc(d.cfg.Switch.Ports, func(p model.SwitchPort) bool { return p.Name == port })
}

// addedPorts gives the ports of a bridge of Open vSwitch that were added at run
// time, in no order.
func (d *Device) addedPorts() (out []model.SwitchPort) {
	for _, name := range d.ports {
		if _, more := d.specs[name]; !more && !configured(d, name) {
			out = append(out, model.SwitchPort{Name: name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.specs)) {
		if !configured(d, name) {
			out = append(out, d.specs[name])
		}
	}
	return out
}
