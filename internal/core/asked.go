package core

import (
	"maps"
	"net/netip"
	"slices"

	"netbraid/internal/config"
	"netbraid/internal/device"
)

// Asked is what callers have asked for, beside the configuration, in a form
// that can be written down for the next process. Data is not in it, nor what
// 802.1X has let through: while nobody looked the link may have been another's.
type Asked struct {
	Interfaces []AskedInterface
	Devices    map[string]string `json:",omitempty"` // of interfaces whose section names none
	External   []string          `json:",omitempty"` // those of Devices that somebody else brings up
	Ports      []device.Port     `json:",omitempty"`
	Prepared   []string          `json:",omitempty"` // bridges
	Deferred   []string          `json:",omitempty"` // devices
	Aliases    map[string]string `json:",omitempty"`
	HostRoutes map[string][]netip.Addr
	Pairs      []*config.Pair `json:",omitempty"`
}

// AskedInterface is an interface added at run time, as it was asked for.
type AskedInterface struct {
	Name    string
	Options []config.Option
}

// Asked gives what is to be written down.
func (c *Core) Asked() Asked {
	a := Asked{Devices: maps.Clone(c.asked.hotDevice), Aliases: maps.Clone(c.asked.alias), HostRoutes: map[string][]netip.Addr{}}
	for _, n := range c.asked.added {
		a.Interfaces = append(a.Interfaces, AskedInterface{n, c.asked.dynamic[n].Interface.Options})
	}
	for _, n := range sortedKeys(a.Devices) {
		if dev := a.Devices[n]; c.graph.State(dev).External {
			a.External = append(a.External, dev)
		}
	}
	for n, set := range c.asked.hostRoutes {
		a.HostRoutes[n] = slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
	}
	a.Ports, a.Prepared, a.Deferred = c.graph.Hotplugged()
	a.Pairs = slices.Clone(c.asked.pairs)
	return a
}

// AskedVersion changes whenever Asked may give something else.
func (c *Core) AskedVersion() uint64 { return c.asked.changes + c.graph.HotplugChanges() }

// Restore takes over what callers have asked an earlier process for. It comes
// right after the first configuration.
type Restore struct {
	Asked      Asked
	Interfaces []*config.Single // of Asked.Interfaces those that are right
}

func (r *Restore) do(c *Core) Status {
	for _, one := range r.Interfaces {
		(&AddDynamic{one}).do(c)
	}
	for n, dev := range r.Asked.Aliases {
		c.asked.alias[n] = dev
	}
	for _, n := range sortedKeys(r.Asked.Devices) {
		if m := c.ifaces[n]; m != nil && m.Config.Device == "" {
			dev := r.Asked.Devices[n]
			c.addHotDevice(m, &AddPort{Interface: n, Device: dev, External: slices.Contains(r.Asked.External, dev)})
		}
	}
	for _, b := range r.Asked.Prepared {
		c.graph.Prepare(b)
	}
	for _, p := range r.Asked.Ports {
		if p.Switch != nil {
			c.graph.AddSwitchPort(p.Bridge, *p.Switch)
		} else {
			c.graph.AddPort(p.Bridge, p.Device, p.External)
		}
	}
	for _, d := range r.Asked.Deferred {
		c.graph.SetDeferred(d, true)
	}
	for _, p := range r.Asked.Pairs {
		(&AddPair{p}).do(c)
	}
	for n, hosts := range r.Asked.HostRoutes {
		if c.ifaces[n] == nil {
			continue
		}
		set := map[netip.Addr]bool{}
		for _, h := range hosts[:min(len(hosts), maxHostRoutes)] {
			set[h] = true
		}
		c.asked.hostRoutes[n] = set
	}
	for n := range c.ifaces {
		c.check[n] = true
	}
	return OK
}
