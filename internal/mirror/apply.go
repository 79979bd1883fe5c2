package mirror

import (
	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// apply takes one message, of a notification or of a dump.
func (e *Engine) apply(h rtnl.Header, body []byte) {
	e.stats.Messages++
	var err error
	switch h.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if err = rtnl.DecodeLink(body, &e.link); err == nil {
			e.applyLink(h.Type == unix.RTM_DELLINK)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if err = rtnl.DecodeAddr(body, &e.addr); err == nil {
			e.applyAddr(h.Type == unix.RTM_DELADDR)
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if err = rtnl.DecodeRoute(body, &e.route); err == nil {
			e.applyRoute(h.Type == unix.RTM_DELROUTE, h.Flags&unix.NLM_F_REPLACE != 0)
		}
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if err = rtnl.DecodeRule(body, &e.rule); err == nil {
			e.applyRule(h.Type == unix.RTM_DELRULE)
		}
	}
	if err != nil {
		e.stats.Malformed++
	}
}

func (e *Engine) applyLink(gone bool) {
	l := &e.link
	if l.Family == unix.AF_BRIDGE {
		e.applyBridgePort(gone)
		return
	}
	if gone {
		e.delLink(l.Index)
		return
	}
	if l.Flags&unix.IFF_UP == 0 {
		l.Carrier = false // nothing announces it on a link that is down
	}
	old, changed := e.links.put(l.Index, l)
	if e.replaying && l.Flags&unix.IFF_UP == 0 {
		e.linkWentDown(l.Index) // also when the dump had it down already
	}
	if !changed {
		return
	}
	if old != nil && old.Name != l.Name && e.byName[old.Name] == l.Index {
		delete(e.byName, old.Name)
	}
	e.byName[l.Name] = l.Index
	wasUp := old != nil && old.Flags&unix.IFF_UP != 0
	e.stats.Changes++
	e.sink.LinkChanged(e.ns, old, e.links.get(l.Index))
	if wasUp && l.Flags&unix.IFF_UP == 0 {
		e.linkWentDown(l.Index)
	}
}

// linkWentDown removes the IPv4 routes of a link. Local routes of addresses
// stay (fib_sync_down_dev without force).
func (e *Engine) linkWentDown(index uint32) {
	e.implyRoutesGone(func(r *rtnl.Route) bool {
		return r.Family == unix.AF_INET && r.Oif == index && r.Scope != unix.RT_SCOPE_HOST
	})
}

// applyBridgePort takes an AF_BRIDGE message: news of a port's attributes, or
// (deleted) that the link has left its bridge. Other attributes of such a
// message are partial and are not taken.
func (e *Engine) applyBridgePort(gone bool) {
	have := e.links.get(e.link.Index)
	if have == nil {
		return
	}
	next := *have
	if gone {
		return // the RTM_NEWLINK that says "no master" follows
	}
	next.Port = e.link.Port
	old, changed := e.links.put(next.Index, &next)
	if changed {
		e.stats.Changes++
		e.sink.LinkChanged(e.ns, old, e.links.get(next.Index))
	}
}

func (e *Engine) delLink(index uint32) {
	old := e.links.del(index)
	if old == nil {
		if e.replaying {
			e.implyRoutesGone(func(r *rtnl.Route) bool { return r.Oif == index })
		}
		return
	}
	if e.byName[old.Name] == index {
		delete(e.byName, old.Name)
	}
	e.stats.Changes++
	e.sink.LinkChanged(e.ns, old, nil)
	e.implyRoutesGone(func(r *rtnl.Route) bool { return r.Oif == index })
	for _, a := range e.AddrsOn(index) {
		e.delAddr(model.KeyOfAddr(e.ns, &a))
	}
}

func (e *Engine) applyAddr(gone bool) {
	a := &e.addr
	key := model.KeyOfAddr(e.ns, a)
	if gone {
		e.delAddr(key)
		return
	}
	if old, changed := e.addrs.put(key, a); changed {
		e.stats.Changes++
		e.sink.AddrChanged(e.ns, old, e.addrs.get(key))
	}
}

func (e *Engine) delAddr(key model.AddrKey) {
	old := e.addrs.del(key)
	if old == nil && !e.replaying {
		return
	}
	if old != nil {
		e.stats.Changes++
		e.sink.AddrChanged(e.ns, old, nil)
	}
	if !key.Local.Is4() {
		return
	}
	// The kernel says nothing of the IPv4 routes that go with an address:
	// those of the main table with it as their source, and, with the last
	// address of a link, all of the link (fib_disable_ip, fib_sync_down_addr).
	// Newer kernels do announce the former (seen on 6.18): then this is early.
	last := true
	for k := range e.addrs.m {
		if k.Index == key.Index && k.Local.Is4() {
			last = false
			break
		}
	}
	still := e.HasLocal(key.Local)
	e.implyRoutesGone(func(r *rtnl.Route) bool {
		return r.Family == unix.AF_INET && (last && r.Oif == key.Index ||
			!still && r.PrefSrc == key.Local && r.Table == unix.RT_TABLE_MAIN)
	})
}

// implyRoutesGone removes the routes that the kernel has removed without a
// word. Routes with several next hops may have lost one only: they are read
// again.
func (e *Engine) implyRoutesGone(gone func(*rtnl.Route) bool) {
	// The rule holds in the order of the kernel's announcements. A dump, and
	// notifications that waited for its end, are out of that order: routes that
	// match may be newer than what is being applied. While routes are being
	// read, old ones may still come in. Then only (another) dump tells.
	if e.unordered || e.state[rtnl.KindRoute].dumping {
		if e.state[rtnl.KindRoute].dumping || e.routes.any(gone) {
			e.Refresh(rtnl.KindRoute)
		}
		return
	}
	again := false
	for _, key := range e.routes.removeIf(gone, &again) {
		e.stats.Changes++
		e.sink.RouteChanged(key)
	}
	if again {
		e.Refresh(rtnl.KindRoute)
	}
}

func (e *Engine) applyRoute(gone, replace bool) {
	if e.route.Flags&unix.RTM_F_CLONED != 0 {
		return // a cached exception, not a route
	}
	// Whether the link is down is the link's to say: the kernel does not
	// announce it for routes.
	e.route.Flags &^= unix.RTNH_F_LINKDOWN | unix.RTNH_F_DEAD
	if e.route.Multipath != "" {
		e.route.Multipath = withoutHopState(e.route.Multipath)
	}
	key := model.KeyOfRoute(e.ns, &e.route)
	var changed bool
	if gone {
		changed = e.routes.remove(key, &e.route)
	} else {
		changed = e.routes.put(key, &e.route, replace)
	}
	if changed {
		e.stats.Changes++
		e.sink.RouteChanged(key)
	}
}

func (e *Engine) applyRule(gone bool) {
	if gone {
		if old := e.rules.del(e.rule); old != nil {
			e.stats.Changes++
			e.sink.RuleChanged(e.ns, old, nil)
		}
		return
	}
	if old, changed := e.rules.put(e.rule, &e.rule); changed {
		e.stats.Changes++
		e.sink.RuleChanged(e.ns, old, &e.rule)
	}
}

// withoutHopState takes the flags off the next hops of a multipath route that
// follow from their links.
func withoutHopState(multipath string) string {
	hops, err := rtnl.Hops(multipath)
	if err != nil {
		return multipath
	}
	for i := range hops {
		hops[i].Flags &^= unix.RTNH_F_LINKDOWN | unix.RTNH_F_DEAD
	}
	return rtnl.AppendHops(hops)
}
