package core

import (
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/iface"
	"netbraid/internal/plan"
)

// AddHostRoute gives a host a route of its own the way that it is reached now,
// so that a default route through a tunnel to it does not swallow it. The route
// goes when the interface that it goes through does.
type AddHostRoute struct {
	Target    netip.Addr
	Interface string // only through this one; with Exclude through any but this
	Exclude   bool
	Chosen    string // answer: the interface
}

func (r *AddHostRoute) do(c *Core) Status {
	if _, there := c.ifaces[r.Interface]; r.Interface != "" && !there {
		return NotFound
	}
	name, onLink, ok := c.reach(r.Target, func(n string) bool {
		return r.Interface == "" || (n == r.Interface) != r.Exclude
	})
	if !ok {
		return NotFound
	}
	r.Chosen = name
	if onLink {
		return OK // it needs none
	}
	set := c.asked.hostRoutes[name]
	if set == nil {
		set = map[netip.Addr]bool{}
		c.asked.hostRoutes[name] = set
	}
	if len(set) >= maxHostRoutes {
		return UnknownError
	}
	set[r.Target] = true
	c.asked.changes++
	c.ifaces[name].MarkDirty()
	c.check[name] = true
	return OK
}

// reach finds the interface that is up and through which an address is reached:
// by the longest prefix of addresses and routes, then the lowest metric, then
// by name. onLink: without a gateway.
func (c *Core) reach(to netip.Addr, allowed func(name string) bool) (name string, onLink, ok bool) {
	bits, metric := -1, uint32(0)
	better := func(b int, m uint32) bool { return b > bits || b == bits && m < metric }
	for _, n := range sortedKeys(c.ifaces) {
		m := c.ifaces[n]
		if m.State() != iface.Up || !allowed(n) {
			continue
		}
		for _, a := range m.Offer().Addrs {
			if a.Prefix.Contains(to) && better(a.Prefix.Bits(), 0) {
				bits, metric, name, onLink = a.Prefix.Bits(), 0, n, true
			}
		}
		if r := c.wayTo(m, to); r != nil && better(r.Target.Bits(), r.Metric) {
			bits, metric, name, onLink = r.Target.Bits(), r.Metric, n, false
		}
	}
	return name, onLink, bits >= 0
}

// wayTo gives the route of an interface that an address is reached by, nil for
// none.
func (c *Core) wayTo(m *iface.Machine, to netip.Addr) *config.Route {
	var best *config.Route
	routes := m.Routes(c.routes[m.Config.Name])
	for i := range routes {
		r := &routes[i]
		if r.Type != unix.RTN_UNICAST || !r.Target.Contains(to) || r.Source.IsValid() && r.Family == unix.AF_INET6 && r.Source.Bits() > 0 {
			continue
		}
		if best == nil || r.Target.Bits() > best.Target.Bits() || r.Target.Bits() == best.Target.Bits() && r.Metric < best.Metric {
			best = r
		}
	}
	return best
}

// addHostRoutes adds the routes of hosts to what an interface wants.
func (c *Core) addHostRoutes(m *iface.Machine, o *plan.Objects) *plan.Objects {
	targets := c.asked.hostRoutes[m.Config.Name]
	if needed := c.neededThrough(m.Config.Name); len(needed) > 0 {
		targets = maps.Clone(targets)
		if targets == nil {
			targets = map[netip.Addr]bool{}
		}
		for _, a := range needed {
			targets[a] = true
		}
	}
	if o == nil || len(targets) == 0 {
		return o
	}
	ifindex := c.ifindex(m.L3Device())
	for _, t := range slices.SortedFunc(maps.Keys(targets), netip.Addr.Compare) {
		by := c.wayTo(m, t)
		if by == nil || by.Target.IsSingleIP() {
			continue
		}
		r := config.Route{Family: by.Family, Target: netip.PrefixFrom(t, t.BitLen()), Gateway: by.Gateway,
			Metric: by.Metric, MTU: by.MTU, Table: by.Table, OnLink: by.OnLink}
		iface.FillRoute(&r)
		if kr, ok := iface.KernelRoute(&r, ifindex); ok {
			o.Routes = append(o.Routes, kr)
		}
	}
	return o
}
