package device

import (
	"maps"
	"slices"

	"netbraid/internal/config"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// hotplug is what callers of the API have said of a device, beside what its
// section says. It stays when the configuration is read again.
type hotplug struct {
	ports      []string                    // of a bridge, besides the configured ones
	specs      map[string]model.SwitchPort // of ports of an Open vSwitch bridge, where there is more than a name
	prepared   bool                        // a bridge that is to be there without a port
	deferred   bool                        // not to be used yet
	external   bool                        // somebody else brings it up and down
	authorized bool                        // 802.1X has let it through
}

// below gives the devices that the device is built on, in order.
func (d *Device) below() []string {
	configured := below(d.cfg)
	if len(d.ports) == 0 {
		return configured
	}
	out := slices.Clone(configured)
	for _, p := range d.ports {
		if !slices.Contains(configured, p) {
			out = append(out, p)
		}
	}
	return out
}

// needsAuth tells whether the device or an interface on it asks for 802.1X.
func (d *Device) needsAuth() bool {
	if d.cfg != nil && d.cfg.Settings.Auth {
		return true
	}
	for _, o := range d.overlay {
		if o.settings != nil && o.settings.Auth {
			return true
		}
	}
	return false
}

// Hotplugs tells whether ports can be added to the device at run time.
func (g *Graph) Hotplugs(name string) bool {
	d := g.devs[name]
	return d != nil && hasPorts(d.cfg)
}

// Ports lists what a bridge has as ports, configured and added, as far as
// somebody asks for them; whether they are there is another matter.
func (g *Graph) Ports(bridge string) []string {
	if !g.Hotplugs(bridge) {
		return nil
	}
	return slices.Clone(g.devs[bridge].below())
}

// AddPort makes a device a port of a bridge until RemovePort, or until its
// link goes. external: the link is brought up and down by somebody else. false,
// and nothing is changed, when it is no bridge, when the bridge is built on
// itself then, or when a section makes the device a port of another bridge.
func (g *Graph) AddPort(bridge, port string, external bool) bool {
	if !g.Hotplugs(bridge) || g.reaches(port, bridge, 0) {
		return false
	}
	if d := g.devs[port]; d != nil && ofSwitch(d.cfg) && g.devs[bridge].cfg.Type == config.OpenVSwitch {
		return false
	}
	for _, a := range slices.Sorted(maps.Keys(g.above[port])) {
		other := g.devs[a]
		if other == nil || a == bridge || !hasPorts(other.cfg) {
			continue
		}
		if slices.Contains(other.cfg.Ports, port) {
			return false
		}
		g.removePort(other, port)
	}
	d := g.devs[bridge]
	if slices.Contains(d.cfg.Ports, port) {
		return true
	}
	if !slices.Contains(d.ports, port) {
		g.hotplugs++
		g.rewire(d, func() { d.ports = append(slices.Clone(d.ports), port) })
	}
	g.SetExternal(port, external)
	g.run()
	return true
}

// RemovePort takes a port off that AddPort added; false when there is none.
func (g *Graph) RemovePort(bridge, port string) bool {
	d := g.devs[bridge]
	if d == nil || !slices.Contains(d.ports, port) {
		return false
	}
	g.SetExternal(port, false)
	g.removePort(d, port)
	g.run()
	return true
}

func (g *Graph) removePort(d *Device, port string) {
	g.hotplugs++
	delete(d.specs, port)
	g.rewire(d, func() {
		d.ports = slices.DeleteFunc(slices.Clone(d.ports), func(p string) bool { return p == port })
	})
}

// dropPort takes a device whose link has gone off the bridges that it was
// added to.
func (g *Graph) dropPort(name string) {
	for _, a := range slices.Sorted(maps.Keys(g.above[name])) {
		if d := g.devs[a]; d != nil && slices.Contains(d.ports, name) {
			g.removePort(d, name)
		}
	}
	if d := g.devs[name]; d != nil && d.external {
		d.external = false
		g.hotplugs++
	}
}

// reaches tells whether a device is, or is built on, another.
func (g *Graph) reaches(from, to string, level int) bool {
	if from == to {
		return true
	}
	d := g.devs[from]
	if d == nil || level > 16 {
		return false
	}
	return slices.ContainsFunc(d.below(), func(b string) bool { return g.reaches(b, to, level+1) })
}

// Prepare makes a bridge present though it may have no port; false when it is
// no bridge.
func (g *Graph) Prepare(bridge string) bool {
	if !g.Hotplugs(bridge) {
		return false
	}
	if g.devs[bridge].cfg.Type == config.OpenVSwitch {
		return true // it may be without a port anyway
	}
	g.devs[bridge].prepared = true
	g.hotplugs++
	g.touch(bridge)
	g.run()
	return true
}

// SetExternal says whether somebody else brings the link of a device up and
// down.
func (g *Graph) SetExternal(name string, on bool) {
	if d := g.devs[name]; d != nil && d.external != on {
		d.external = on
		g.hotplugs++
		g.touch(name)
		g.run()
	}
}

// SetDeferred makes a device count as absent, or as it is again. false when
// nobody uses a device of that name.
func (g *Graph) SetDeferred(name string, on bool) bool {
	d := g.devs[name]
	if d == nil {
		return false
	}
	d.deferred = on
	g.hotplugs++
	g.touch(name)
	g.run()
	return true
}

// SetAuthorized says whether 802.1X has let a device through; it is so until
// the link loses its carrier. false when nobody uses a device of that name.
func (g *Graph) SetAuthorized(name string, on bool) bool {
	d := g.devs[name]
	if d == nil {
		return false
	}
	if d.authorized != on {
		d.authorized = on
		g.touch(name)
		if on {
			g.emit(name, AuthUp)
		}
		g.run()
	}
	return true
}

// Port is a port that was added to a bridge at run time.
type Port struct {
	Bridge, Device string
	External       bool `json:",omitempty"`
	// Switch is the port of an Open vSwitch bridge, where there is more to it
	// than the name.
	Switch *model.SwitchPort `json:",omitempty"`
}

// Hotplugged lists what has been said at run time and is to outlive the
// process, sorted: ports, bridges that are to be there without one, devices
// that are not to be used yet.
func (g *Graph) Hotplugged() (ports []Port, prepared, deferred []string) {
	for _, n := range g.Names() {
		d := g.devs[n]
		for _, p := range d.ports {
			if _, more := d.specs[p]; !more {
				ports = append(ports, Port{Bridge: n, Device: p, External: g.devs[p] != nil && g.devs[p].external})
			}
		}
		for _, p := range slices.Sorted(maps.Keys(d.specs)) {
			spec := d.specs[p]
			ports = append(ports, Port{Bridge: n, Device: p, Switch: &spec})
		}
		if d.prepared {
			prepared = append(prepared, n)
		}
		if d.deferred {
			deferred = append(deferred, n)
		}
	}
	return ports, prepared, deferred
}

// HotplugChanges changes whenever Hotplugged may give something else.
func (g *Graph) HotplugChanges() uint64 { return g.hotplugs }

// topology tells bridges that a link has become their port, or is it no more.
func (g *Graph) topology(old, new *rtnl.Link) {
	var was, is uint32
	if old != nil {
		was = old.Master
	}
	if new != nil {
		is = new.Master
	}
	if was == is {
		return
	}
	for _, index := range [...]uint32{was, is} {
		port := new
		if port == nil {
			port = old
		}
		if b := g.bridgeAt(index, port.Name); b != "" {
			g.emit(b, TopoChange)
		}
	}
}

// bridgeAt finds the bridge behind an ifindex, first among those that a port
// has been said to be of.
func (g *Graph) bridgeAt(index uint32, port string) string {
	is := func(d *Device) bool {
		return d != nil && index != 0 && d.ifindex == index && d.present && d.cfg != nil && d.cfg.Type == config.Bridge
	}
	for a := range g.above[port] {
		if is(g.devs[a]) {
			return a
		}
	}
	for n, d := range g.devs {
		if is(d) {
			return n
		}
	}
	return ""
}
