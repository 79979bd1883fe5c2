package core

import (
	"math/rand/v2"

	"netbraid/internal/config"
	"netbraid/internal/iface"
	"netbraid/internal/model"
	"netbraid/internal/plan"
)

// configure takes a new configuration and does the least: objects that have
// not changed are not touched.
func (c *Core) configure(next *config.Config) {
	old := c.cfg
	if old == nil {
		old = &config.Config{}
	}
	next = c.effective(next)
	c.cfg = next
	if c.configuredAt.IsZero() {
		c.configuredAt = c.now
	}
	changes := config.Diff(old, next)
	if changes.Mirrors {
		c.configureMirrors(old, next)
	}
	c.configureRoutes(next)
	c.configurePairs()
	c.prefixes.dirty = true
	wanted := map[string]bool{}
	for _, ic := range next.Interfaces {
		wanted[ic.Name] = true
	}
	for _, n := range append([]string{}, c.order...) {
		if !wanted[n] {
			m := c.ifaces[n]
			delete(c.down, n)
			m.Remove(c.now)
			c.check[n] = true
			c.notices(m)
			if m.Gone {
				c.dropInterface(n)
			}
		}
	}
	c.graph.SetTakeover(next.Globals.Takeover)
	c.graph.Configure(next.Devices)
	c.order = c.order[:0]
	for _, ic := range next.Interfaces {
		c.order = append(c.order, ic.Name)
		c.configureInterface(ic, changes)
		c.check[ic.Name] = true
	}
	for n := range c.ifaces {
		if !wanted[n] { // still going down
			c.order = append(c.order, n)
		}
	}
	c.configureDepends(next)
	c.aliases = map[string]map[string]bool{}
	for _, ic := range next.Interfaces {
		if p := parentOf(ic); p != "" {
			if c.aliases[p] == nil {
				c.aliases[p] = map[string]bool{}
			}
			c.aliases[p][ic.Name] = true
		}
	}
}

func parentOf(ic *config.Interface) string {
	if ic.AliasOf != "" {
		return ic.AliasOf
	}
	if len(ic.Device) > 1 && ic.Device[0] == '@' {
		return ic.Device[1:]
	}
	return ""
}

func (c *Core) configureRoutes(next *config.Config) {
	before := c.routes
	c.routes = map[string][]*config.Route{}
	for _, r := range next.Routes {
		c.routes[r.Interface] = append(c.routes[r.Interface], r)
	}
	for n := range c.ifaces {
		if !sameRoutes(before[n], c.routes[n]) {
			c.ifaces[n].MarkDirty()
			c.check[n] = true
		}
	}
	free := &plan.Objects{}
	for _, r := range c.routes[""] {
		x := *r
		iface.FillRoute(&x)
		if kr, ok := iface.KernelRoute(&x, 0); ok {
			free.Routes = append(free.Routes, kr)
		}
	}
	if ula := next.Globals.ULAPrefix; ula.IsValid() {
		free.Routes = append(free.Routes, iface.Unassigned(ula))
	}
	c.planner.SetObjects("routes", free)
}

func sameRoutes(a, b []*config.Route) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := *a[i], *b[i]
		x.Pos, y.Pos = config.Pos{}, config.Pos{}
		if x != y {
			return false
		}
	}
	return true
}

func (c *Core) configureInterface(ic *config.Interface, changes config.Changes) {
	m := c.ifaces[ic.Name]
	if m == nil {
		m = iface.New(ic, c.spec(ic.Proto), devices{c.graph}, rand.New(rand.NewPCG(c.rng.Uint64(), 3)))
		if c.down[ic.Name] {
			m.Autostart = false
		}
		m.Dynamic = c.Dynamic(ic.Name)
		c.ifaces[ic.Name] = m
		c.act(Object{Interface: ic.Name})
		return
	}
	m.Dynamic = c.Dynamic(ic.Name)
	if ic.Auto != m.Config.Auto {
		delete(c.down, ic.Name)
	}
	switch changes.Interfaces[ic.Name] {
	case config.Keep:
		m.Config = ic // the same but for its place in the file
	case config.Live:
		m.Reconfigure(c.now, ic, c.spec(ic.Proto), true)
		c.overlay(m)
	default:
		m.Reconfigure(c.now, ic, c.spec(ic.Proto), false)
		c.overlay(m)
		c.notices(m)
	}
}

// overlay tells the device of an interface what the interface section asks of
// it.
func (c *Core) overlay(m *iface.Machine) {
	dev := m.Device()
	if dev == "" {
		return
	}
	var s *model.Settings
	if m.Config.HasSettings {
		s = &m.Config.Settings
	}
	c.graph.Overlay(dev, m.User(), s, m.Config.IPv6Set, m.Config.Takeover)
}

func (c *Core) dropInterface(n string) {
	m := c.ifaces[n]
	c.notices(m)
	c.planner.SetObjects(m.User(), nil)
	if dev := m.Device(); dev != "" {
		c.graph.Unuse(dev, m.User())
		c.link(dev, n, false)
	}
	if l3 := c.l3[n]; l3 != "" {
		c.ownL3(l3)
		c.graph.Unuse(l3, m.User()+" (layer 3)")
		delete(c.l3, n)
	}
	for _, users := range c.onDevice {
		delete(users, n)
	}
	c.dropped(m)
	c.forgetHelpers(m)
	delete(c.ifaces, n)
	delete(c.check, n)
	delete(c.due, n)
	delete(c.settling, n)
	delete(c.dirty, n)
	delete(c.dns.of, n)
	delete(c.prefixes.of, n)
	for i, x := range c.order {
		if x == n {
			c.order = append(c.order[:i:i], c.order[i+1:]...)
			break
		}
	}
	c.checkDependents(n)
	c.act(Object{Interface: n, Gone: true})
}
