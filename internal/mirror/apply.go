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
	s := &e.scratch
	switch h.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		err = e.applyRoute(h, body)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if err = rtnl.DecodeLink(body, &s.link); err == nil && !wireless(body) {
			e.applyLink(h.Type == unix.RTM_DELLINK)
			if h.Type == unix.RTM_DELLINK && moved(body) {
				e.Refresh(rtnl.KindLink) // its peer is not told that it has one elsewhere now
			}
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if err = rtnl.DecodeAddr(body, &s.addr); err == nil {
			e.applyAddr(h.Type == unix.RTM_DELADDR)
		}
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if err = rtnl.DecodeNeigh(body, &s.neigh); err == nil {
			e.applyNeigh(h.Type == unix.RTM_DELNEIGH)
		}
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		if err = rtnl.DecodeNexthop(body, &s.nexthop); err == nil {
			e.applyNexthop(h.Type == unix.RTM_DELNEXTHOP)
		}
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if err = rtnl.DecodeRule(body, &s.rule); err == nil {
			e.applyRule(h.Type == unix.RTM_DELRULE)
		}
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		if err = rtnl.DecodeNetconf(body, &s.netconf); err == nil {
			e.applyNetconf(h.Type == unix.RTM_DELNETCONF)
		}
	}
	if err != nil {
		e.stats.Malformed++
	}
}

func (e *Engine) applyRoute(h rtnl.Header, body []byte) error {
	var key model.RouteKey
	var changed bool
	var err error
	if h.Type == unix.RTM_DELROUTE {
		key, changed, err = e.routes.Delete(body)
	} else {
		key, changed, err = e.routes.Put(body, h.Flags, e.fromDump())
	}
	if changed {
		e.routeChanged(key)
	}
	return err
}

func (e *Engine) applyLink(gone bool) {
	l := &e.scratch.link
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
	if e.late() && l.Flags&unix.IFF_UP == 0 {
		e.linkWentDown(l.Index) // also when the dump had it down already
	}
	if l.Flags&(unix.IFF_RUNNING|unix.IFF_LOWER_UP) == 0 {
		e.nexthopsWent(l.Index) // also when nothing is new: it may have been better for a moment
	}
	if !changed {
		return
	}
	if old != nil && old.Name != l.Name {
		e.unname(old.Name, l.Index)
	}
	if other, taken := e.byName[l.Name]; taken && other != l.Index {
		e.twins[l.Name] = struct{}{}
	}
	e.byName[l.Name] = l.Index
	wasUp := old != nil && old.Flags&unix.IFF_UP != 0
	e.linkChanged(old, e.links.get(l.Index))
	if wasUp && l.Flags&unix.IFF_UP == 0 {
		e.linkWentDown(l.Index)
	}
	e.implyPeer(l)
}

// unname takes a name off a link. While what was heard before a dump is told
// again, another link may have the name already: then it is that one's.
func (e *Engine) unname(name string, index uint32) {
	if e.byName[name] != index {
		return
	}
	delete(e.byName, name)
	if _, shared := e.twins[name]; !shared {
		return
	}
	delete(e.twins, name)
	for i, s := range e.links.m {
		if i != index && s.v.Name == name && i > e.byName[name] { // the newest
			e.byName[name] = i
		}
	}
}

// implyPeer gives the other end of a veth pair its peer: that end is announced
// before it has one, and not again.
func (e *Engine) implyPeer(l *rtnl.Link) {
	if l.Kind != "veth" || l.Parent == 0 || l.ParentNSID >= 0 {
		return
	}
	if peer := e.links.get(l.Parent); peer != nil && peer.Kind == "veth" && peer.Parent == 0 {
		next := *peer
		next.Parent = l.Index
		old, _ := e.links.put(next.Index, &next)
		e.linkChanged(old, e.links.get(next.Index))
	}
}

func (e *Engine) linkChanged(old, new *rtnl.Link) {
	e.stats.Changes++
	e.sink.LinkChanged(e.ns, old, new)
}

// applyBridgePort takes an AF_BRIDGE message: news of a port's attributes, or
// (deleted) that the link has left its bridge. Other attributes of such a
// message are partial and are not taken.
func (e *Engine) applyBridgePort(gone bool) {
	have := e.links.get(e.scratch.link.Index)
	if have == nil || gone {
		return // the RTM_NEWLINK that says "no master" follows
	}
	next := *have
	next.Port = e.scratch.link.Port
	if old, changed := e.links.put(next.Index, &next); changed {
		e.linkChanged(old, e.links.get(next.Index))
	}
}

func (e *Engine) delLink(index uint32) {
	old := e.links.del(index)
	if old == nil {
		if e.late() {
			e.linkWent(index)
		}
		return
	}
	e.unname(old.Name, index)
	e.linkChanged(old, nil)
	e.linkWent(index)
}

func (e *Engine) applyAddr(gone bool) {
	a := &e.scratch.addr
	key := model.KeyOfAddr(e.ns, a)
	if gone {
		e.delAddr(key)
		return
	}
	if old, changed := e.addrs.put(key, a, e.now); changed {
		e.stats.Changes++
		e.sink.AddrChanged(e.ns, old, e.addrs.get(key))
	}
}

func (e *Engine) delAddr(key model.AddrKey) {
	old := e.addrs.del(key)
	if old == nil && !e.late() {
		return
	}
	if old != nil {
		e.stats.Changes++
		e.sink.AddrChanged(e.ns, old, nil)
	}
	if key.Local.Is4() {
		e.addrWent(key)
	}
}

func (e *Engine) applyNeigh(gone bool) {
	n := &e.scratch.neigh
	if n.Family == unix.AF_BRIDGE || n.Flags&unix.NTF_PROXY != 0 {
		e.stats.Ignored++ // forwarding databases and proxy entries are tables of their own
		return
	}
	key := neighKey{n.Index, n.Dst}
	if gone {
		e.delNeigh(key)
		return
	}
	if old, changed := e.neighs.put(key, n); changed {
		e.stats.Changes++
		e.sink.NeighChanged(e.ns, old, e.neighs.get(key))
	}
}

func (e *Engine) delNeigh(key neighKey) {
	if old := e.neighs.del(key); old != nil {
		e.stats.Changes++
		e.sink.NeighChanged(e.ns, old, nil)
	}
}

func (e *Engine) applyNexthop(gone bool) {
	n := &e.scratch.nexthop
	n.Flags &^= unix.RTNH_F_LINKDOWN | unix.RTNH_F_DEAD // the link's to say
	if gone {
		e.delNexthop(n.ID)
		return
	}
	old, changed := e.nexthops.put(n.ID, n)
	if !changed {
		return
	}
	e.stats.Changes++
	e.sink.NexthopChanged(e.ns, old, e.nexthops.get(n.ID))
	switch {
	case old == nil:
	case old.Blackhole != n.Blackhole:
		e.rereadVia(func(r *rtnl.Route) bool { return r.NHID != 0 }) // theirs and their groups' type is its
	case old.Group != n.Group:
		e.rereadVia(func(r *rtnl.Route) bool { return r.NHID == n.ID && (r.Multipath != "" || r.Oif != 0) })
	}
}

func (e *Engine) delNexthop(id uint32) {
	old := e.nexthops.del(id)
	if old == nil && !e.late() {
		return
	}
	if old != nil {
		e.stats.Changes++
		e.sink.NexthopChanged(e.ns, old, nil)
	}
	e.nexthopWent(id)
}

// ruleState are the flags of a rule (linux/fib_rules.h) that follow from what
// there is besides it, without a word: the target of a goto, the links.
const ruleState = unix.FIB_RULE_UNRESOLVED | unix.FIB_RULE_IIF_DETACHED | unix.FIB_RULE_OIF_DETACHED

func (e *Engine) applyRule(gone bool) {
	r := &e.scratch.rule
	r.Flags &^= ruleState
	switch {
	case gone && e.rules.del(r):
		e.ruleChanged(r, nil)
	case !gone && e.rules.put(r, e.unordered):
		e.ruleChanged(nil, r)
	}
}

func (e *Engine) ruleChanged(old, new *rtnl.Rule) {
	e.stats.Changes++
	e.sink.RuleChanged(e.ns, old, new)
}
