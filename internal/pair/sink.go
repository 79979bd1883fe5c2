package pair

import (
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// The methods of mirror.Sink; the core hands on what every mirrored namespace
// says. They note what has changed; Tick decides.

// LinkChanged takes a link.
func (e *Engine) LinkChanged(ns model.NS, old, new *rtnl.Link) {
	if !e.uses(ns) {
		return
	}
	e.noteVLAN(ns, old, new)
	index := uint32(0)
	if new != nil {
		index = new.Index
	} else {
		index = old.Index
	}
	u := e.byHost[linkID{ns, index}]
	switch {
	case u != nil && (new == nil || old != nil && another(old, new)):
		e.vanish(u)
	case u != nil:
		if u.active && old != nil {
			e.noticed(u, old, new)
		}
		e.markFamily(u)
	case old == nil || new == nil || old.Name != new.Name:
		e.markWaiting(ns) // a companion, or a name that is free now
	}
	e.vrfChanged(ns, old, new)
	e.fib.LinkChanged(ns, old, new)
}

// another tells that a link has the number of one that is gone: a rename alone
// does not change what it is.
func another(old, new *rtnl.Link) bool {
	return old.Name != new.Name && (old.Kind != new.Kind || old.Addr != new.Addr)
}

// markWaiting marks the units that wait for something in a namespace.
func (e *Engine) markWaiting(ns model.NS) {
	for _, id := range sortedKeys(e.units, unitID.compare) {
		if u := e.units[id]; u.ns == ns && !u.active {
			e.mark(u)
		}
	}
}

// vanish notes that a companion has gone, with all that was on it.
func (e *Engine) vanish(u *unit) {
	u.tombs = slices.DeleteFunc(u.tombs, func(t tomb) bool { return e.now.Sub(t.at) > tombsFor })
	u.vanished, u.made.Link = e.now, false
	if !u.want.up && e.now.Sub(u.downAt) <= tombsFor {
		u.want.up = u.upBefore // the kernel takes a link down before it removes it
	}
	e.deactivate(u)
	e.setHost(u, 0)
	clear(u.lx)
	clear(u.push)
	clear(u.drop)
	e.markFamily(u)
}

// noticed takes a change of a companion for something that somebody wants of
// it, unless it follows from what its parent is.
func (e *Engine) noticed(u *unit, old, new *rtnl.Link) {
	if up := new.Flags&unix.IFF_UP != 0; up != (old.Flags&unix.IFF_UP != 0) {
		if u.lxExpect != expect(up) {
			if !up {
				u.upBefore, u.downAt = u.want.up, e.now
			}
			u.want.up = up
		}
		u.lxExpect = nothing
		for _, c := range e.children(u) {
			if l := e.link(c.ns, c.host); c.active && l != nil && l.VLAN.Flags&looseVLAN == 0 && (l.Flags&unix.IFF_UP != 0) != up {
				c.lxExpect = expect(up)
			}
		}
	}
	if p := e.parentLink(u); new.MTU != old.MTU && !(p != nil && new.MTU == p.MTU && u.want.mtu > new.MTU) {
		u.want.mtu = new.MTU
	}
	if new.Addr != old.Addr {
		u.want.mac = new.Addr
	}
}

// vrfChanged marks the companions in a VRF whose table is another, or that has
// come or gone.
func (e *Engine) vrfChanged(ns model.NS, old, new *rtnl.Link) {
	was, is := old != nil && old.Kind == kindVRF, new != nil && new.Kind == kindVRF
	if !was && !is || was && is && old.VRFTable == new.VRFTable {
		return
	}
	for _, id := range sortedKeys(e.units, unitID.compare) {
		if u := e.units[id]; u.ns == ns && u.active {
			e.mark(u)
		}
	}
}

// AddrChanged takes an address.
func (e *Engine) AddrChanged(ns model.NS, old, new *rtnl.Addr) {
	if !e.uses(ns) {
		return
	}
	e.countLocals(old, new)
	for i, a := range []*rtnl.Addr{old, new} {
		if a == nil {
			continue
		}
		if u := e.byHost[linkID{ns, a.Index}]; u != nil {
			u.count(a, 2*i-1)
			e.markAddr(u, formOf(a))
			if new == nil {
				e.bury(u, old)
			}
		}
	}
	e.fib.AddrChanged(ns, old, new)
	e.connectedRoutes(ns, old, new)
}

// bury remembers an address that may have gone with its link. What the kernel
// has made, or what ends by itself, does not come back.
func (e *Engine) bury(u *unit, a *rtnl.Addr) {
	const most = 4096
	if a.Valid != rtnl.LifetimeForever || a.Local.Is6() && a.Local.IsLinkLocalUnicast() || u.drop[formOf(a)] {
		return
	}
	if len(u.tombs) >= most {
		u.tombs = slices.DeleteFunc(u.tombs, func(t tomb) bool { return e.now.Sub(t.at) > tombsFor })
	}
	if len(u.tombs) < most {
		u.tombs = append(u.tombs, tomb{*a, e.now})
	}
}

// connectedRoutes has the routes looked at that go with an address: whether the
// dataplane makes them by itself depends on it.
func (e *Engine) connectedRoutes(ns model.NS, old, new *rtnl.Addr) {
	a := new
	if a == nil {
		a = old
	}
	l := e.link(ns, a.Index)
	if l == nil || e.byHost[linkID{ns, a.Index}] == nil {
		return
	}
	k := model.RouteKey{NS: ns, Family: a.Family, Table: mainTableID, Priority: a.Priority}
	if m := e.link(ns, l.Master); m != nil && m.Kind == kindVRF {
		k.Table = m.VRFTable
	}
	if k.Family == unix.AF_INET6 && k.Priority == 0 {
		k.Priority = 256 // IP6_RT_PRIO_ADDRCONF, net/ipv6/addrconf.c
	}
	if p, err := a.Local.Prefix(int(a.PrefixLen)); err == nil {
		k.Dst = p
		e.fib.RouteChanged(k)
	}
}

// NeighChanged takes a neighbour.
func (e *Engine) NeighChanged(ns model.NS, old, new *rtnl.Neigh) {
	if e.uses(ns) {
		e.noteNeigh(ns, old, new)
	}
}

// NexthopChanged takes a next-hop object.
func (e *Engine) NexthopChanged(ns model.NS, old, new *rtnl.Nexthop) {
	if e.uses(ns) {
		e.fib.NexthopChanged(ns, old, new)
	}
}

// RuleChanged does nothing: policy rules are not mirrored.
func (e *Engine) RuleChanged(ns model.NS, old, new *rtnl.Rule) {}

// RouteChanged takes a route.
func (e *Engine) RouteChanged(key model.RouteKey) {
	if e.uses(key.NS) {
		e.fib.RouteChanged(key)
	}
}

// SyncBegin does nothing: as long as a table is not live nothing is decided.
func (e *Engine) SyncBegin(ns model.NS, kind rtnl.Kind) {}

// SyncEnd has everything looked at again that had to wait for the table.
func (e *Engine) SyncEnd(ns model.NS, kind rtnl.Kind) {
	if e.uses(ns) && (kind == rtnl.KindLink || kind == rtnl.KindAddr || kind == rtnl.KindNeigh) {
		e.remark = true
	}
	if kind == rtnl.KindNetconf && e.uses(ns) {
		e.settingsKnown(ns)
	}
}

func (e *Engine) uses(ns model.NS) bool { return slices.Contains(e.nss, ns) }

func (e *Engine) mirror(ns model.NS) *mirror.Engine { return e.o.Mirror(ns) }

// nsLive tells whether the links and addresses of a namespace are known.
func (e *Engine) nsLive(ns model.NS) bool {
	m := e.mirror(ns)
	return m != nil && m.Live(rtnl.KindLink) && m.Live(rtnl.KindAddr)
}

func (e *Engine) link(ns model.NS, index uint32) *rtnl.Link {
	if m := e.mirror(ns); m != nil && index != 0 {
		return m.Link(index)
	}
	return nil
}

func (e *Engine) linkNamed(ns model.NS, name string) *rtnl.Link {
	if m := e.mirror(ns); m != nil {
		return m.LinkByName(name)
	}
	return nil
}
