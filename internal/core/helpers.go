package core

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"netbraid/internal/iface"
	"netbraid/internal/proto"
)

// Program identifies a program of a protocol handler: an exit or a signal for
// another generation is not about this one.
type Program struct {
	Interface  string
	Slot       proto.Slot
	Generation uint64
}

type (
	// Spawn: start a program. What still runs in the slot is ended first.
	Spawn struct {
		Program
		Args, Env []string // Env is added to what every program gets
		Dir       string
	}
	// Kill: send a signal to a program and to all that it has started.
	Kill struct {
		Program
		Signal int
	}
	// Sweep: end all that programs of the interface, up to that generation,
	// have left behind.
	Sweep struct {
		Interface  string
		Generation uint64
	}
	// Exited: a program has ended. It comes once for each Spawn, and within
	// bounded time after SIGKILL.
	Exited struct {
		Program
		Exit proto.Exit
	}
)

func (Spawn) isAction() {}
func (Kill) isAction()  {}
func (Sweep) isAction() {}
func (Exited) isEvent() {}

// helpers is what the core knows of programs of handlers.
type helpers struct {
	generation uint64
	running    map[string]map[proto.Slot]uint64 // interface → slot → generation
	needs      map[string][]*need               // interface → the ways that it needs
	recheck    bool                             // an interface has come, gone or changed: look at needs
}

// need is the way to a host that an interface depends on.
type need struct {
	host   netip.Addr // invalid: only the interface matters
	over   string     // through this interface only; "" for any
	got    string     // the interface that it goes through; "" while there is none
	onLink bool       // no route of its own is needed
}

// maxNeeds bounds the host dependencies of one interface.
const maxNeeds = 64

// Notify is a message of a protocol handler outside, as a Request.
type Notify struct {
	Interface string
	Message   *proto.Notify
}

func (r *Notify) do(c *Core) Status {
	m := c.ifaces[r.Interface]
	if m == nil {
		return NotFound
	}
	if !m.Flags().External {
		return NotSupported
	}
	st := Status(m.Notify(c.now, r.Message))
	c.check[r.Interface] = true
	if s := c.effects(m); s != OK {
		st = s
	}
	return st
}

// effects does what the handler of an interface wants done outside. The status
// is of the ways to hosts that it asked for.
func (c *Core) effects(m *iface.Machine) (st Status) {
	n := m.Config.Name
	for _, o := range m.Effects() {
		switch o.Kind {
		case proto.Run:
			c.spawn(m, &o)
		case proto.Stop:
			if g, runs := c.helpers.running[n][o.Slot]; runs {
				c.act(Kill{Program{n, o.Slot, g}, o.Signal})
			}
		case proto.HostRoute:
			st = c.addNeed(m, &o)
		case proto.Note:
			c.log(levelWarn, "protocol handler: "+o.Message, "interface", n, "proto", m.Config.Proto)
		case proto.Sweep:
			c.act(Sweep{n, c.helpers.generation})
			c.restNeeds(m)
		}
	}
	return st
}

func (c *Core) spawn(m *iface.Machine, o *proto.Output) {
	n := m.Config.Name
	if o.Slot == proto.Script && len(o.Args) > 2 && o.Args[2] == "setup" {
		c.forgetNeeds(n) // the setup names them anew
	}
	if c.helpers.running == nil {
		c.helpers.running = map[string]map[proto.Slot]uint64{}
	}
	if c.helpers.running[n] == nil {
		c.helpers.running[n] = map[proto.Slot]uint64{}
	}
	c.helpers.generation++
	c.helpers.running[n][o.Slot] = c.helpers.generation
	c.act(Spawn{Program{n, o.Slot, c.helpers.generation}, o.Args, o.Env, o.Dir})
}

func (c *Core) exited(ev Exited) {
	m := c.ifaces[ev.Interface]
	if m == nil || c.helpers.running[ev.Interface][ev.Slot] != ev.Generation {
		return // of a program that nobody waits for any more
	}
	delete(c.helpers.running[ev.Interface], ev.Slot)
	if len(c.helpers.running[ev.Interface]) == 0 {
		delete(c.helpers.running, ev.Interface)
	}
	ev.Exit.Slot = ev.Slot
	m.Exited(c.now, ev.Exit)
	c.check[ev.Interface] = true
}

// Quiet tells whether no program of a handler runs.
func (c *Core) Quiet() bool { return len(c.helpers.running) == 0 }

// Running lists the programs of an interface, for snapshots.
func (c *Core) Running(name string) []Program {
	var out []Program
	for _, s := range slices.Sorted(maps.Keys(c.helpers.running[name])) {
		out = append(out, Program{name, s, c.helpers.running[name][s]})
	}
	return out
}

// addNeed makes an interface depend on the way to a host: without it the
// interface is not available.
func (c *Core) addNeed(m *iface.Machine, o *proto.Output) Status {
	n := m.Config.Name
	if len(c.helpers.needs[n]) >= maxNeeds {
		return UnknownError
	}
	d := &need{host: o.Host, over: o.Interface}
	if c.helpers.needs == nil {
		c.helpers.needs = map[string][]*need{}
	}
	c.helpers.needs[n] = append(c.helpers.needs[n], d)
	c.meet(n, d)
	c.showNeeds(n)
	if d.got == "" {
		return NotFound
	}
	return OK
}

// meet looks for the way that is needed now. Never through the interface that
// needs it, nor through what stands on that.
func (c *Core) meet(name string, d *need) {
	old, onLink := d.got, d.onLink
	d.got, d.onLink = "", true
	if d.host.IsValid() {
		d.got, d.onLink, _ = c.reach(d.host, func(n string) bool {
			return (d.over == "" || n == d.over) && !c.standsOn(n, name)
		})
	} else if m := c.ifaces[d.over]; m != nil && m.State() == iface.Up {
		d.got = d.over
	}
	if old != d.got || onLink != d.onLink {
		for _, n := range []string{old, d.got} {
			if m := c.ifaces[n]; m != nil {
				m.MarkDirty()
				c.check[n] = true
			}
		}
	}
}

// standsOn tells whether interface n is name, is an alias on it, or needs a way
// through it.
func (c *Core) standsOn(n, name string) bool {
	seen := map[string]bool{}
	var on func(n string) bool
	on = func(n string) bool {
		if n == name {
			return true
		}
		m := c.ifaces[n]
		if m == nil || seen[n] {
			return false
		}
		seen[n] = true
		if p := parentOf(m.Config); p != "" && on(p) {
			return true
		}
		return slices.ContainsFunc(c.helpers.needs[n], func(d *need) bool { return d.got != "" && on(d.got) })
	}
	return on(n)
}

// showNeeds tells an interface whether something that it needs is missing.
func (c *Core) showNeeds(name string) {
	m := c.ifaces[name]
	if m == nil {
		return
	}
	lost := slices.ContainsFunc(c.helpers.needs[name], func(d *need) bool { return d.got == "" })
	if lost != m.HostLost() {
		m.SetHostLost(lost)
		c.check[name] = true
	}
}

// needsChanged looks at the ways that interfaces need, after one has come, gone
// or changed.
func (c *Core) needsChanged() {
	if !c.helpers.recheck {
		return
	}
	c.helpers.recheck = false
	for _, n := range sortedKeys(c.helpers.needs) {
		for _, d := range c.helpers.needs[n] {
			c.meet(n, d)
		}
		c.showNeeds(n)
	}
}

func (c *Core) forgetNeeds(name string) {
	for _, d := range c.helpers.needs[name] {
		if m := c.ifaces[d.got]; m != nil {
			m.MarkDirty()
			c.check[d.got] = true
		}
	}
	delete(c.helpers.needs, name)
	if m := c.ifaces[name]; m != nil {
		m.SetHostLost(false)
	}
}

// restNeeds takes the routes off that an interface has needed and, being down,
// needs no more. What it waits for it still waits for, if it is to come back.
func (c *Core) restNeeds(m *iface.Machine) {
	n := m.Config.Name
	if !m.Autostart {
		c.forgetNeeds(n)
		return
	}
	for _, d := range c.helpers.needs[n] {
		if via := c.ifaces[d.got]; via != nil {
			via.MarkDirty()
			c.check[d.got] = true
		}
	}
}

// neededThrough lists the hosts that need a route of their own through an
// interface.
func (c *Core) neededThrough(name string) (hosts []netip.Addr) {
	for _, n := range sortedKeys(c.helpers.needs) {
		if m := c.ifaces[n]; m == nil || m.State() == iface.Down {
			continue
		}
		for _, d := range c.helpers.needs[n] {
			if d.got == name && d.host.IsValid() && !d.onLink {
				hosts = append(hosts, d.host)
			}
		}
	}
	return hosts
}

// whyNoWay says which way is missing, in words.
func (c *Core) whyNoWay(name string) string {
	for _, d := range c.helpers.needs[name] {
		switch {
		case d.got != "":
		case !d.host.IsValid():
			return "it runs over interface " + d.over + ", which is not up"
		case d.over != "":
			return fmt.Sprintf("there is no way to %s over interface %s", d.host, d.over)
		default:
			return fmt.Sprintf("there is no way to %s", d.host)
		}
	}
	return ""
}

// forgetHelpers forgets what belongs to an interface that is no more.
func (c *Core) forgetHelpers(m *iface.Machine) {
	c.effects(m)
	c.forgetNeeds(m.Config.Name)
	delete(c.helpers.running, m.Config.Name)
	c.helpers.recheck = true
}

// l3Ready tells whether the layer 3 device of an interface can be used: one
// that its handler makes may come later.
func (c *Core) l3Ready(m *iface.Machine) bool {
	l3 := m.L3Device()
	if l3 == "" || l3 == m.Device() {
		return true
	}
	return c.graph.State(l3).Up
}

// checkHelpers holds that an interface that is down has no program.
func (c *Core) checkHelpers(n string, m *iface.Machine) error {
	if m.State() == iface.Down && len(c.helpers.running[n]) > 0 {
		return fmt.Errorf("interface %s is down and still has programs %v", n, c.Running(n))
	}
	return nil
}
