package pair

import (
	"fmt"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

const (
	// settle is how long a new companion is left alone: making it, the dataplane
	// goes through states that nobody has asked for.
	settle = 100 * time.Millisecond
	// awaits is how long the link of a companion may take to be seen.
	awaits = 2 * time.Second
	// grace is how long a VLAN link that went may have gone with its parent.
	grace = 100 * time.Millisecond
	// remadeWithin is how long ago a companion that was deleted may have been
	// made, for that to be a fight.
	remadeWithin = time.Minute
)

// step looks at one unit and asks for whatever comes next.
func (e *Engine) step(u *unit) {
	e.resolve(u)
	u.problem = ""
	switch {
	case !e.wanted(u):
		e.remove(u)
	case u.phy == dataplane.NoIndex:
		e.deactivate(u)
		e.makeIface(u)
	case !e.paired(u):
	case !e.attached(u):
	default:
		e.sync(u)
	}
}

// resolve finds the dataplane's interface of a unit.
func (e *Engine) resolve(u *unit) {
	u.removing = false
	index := dataplane.NoIndex
	if !u.child() {
		if i := e.dp.named(u.id.phy); i != nil {
			index = i.Index
		}
	} else if p := e.dp.named(u.id.phy); p != nil {
		if i := e.dp.sub(p.Index, u.id.sub); i != nil {
			index = i.Index
		}
	}
	if index != u.phy {
		e.deactivate(u)
		e.setPhy(u, index)
	}
	if s := e.specOf(u); s != nil && u.host == 0 {
		u.ns = s.NS
	}
}

// parentActive tells whether the parent's pair is there on both sides.
func (e *Engine) parentActive(u *unit) bool {
	p := e.parentOf(u)
	return p != nil && p.active && !p.removing
}

// wanted tells whether a unit has a reason to be. A sub-interface that is
// paired by itself has it in what others have made, the VLAN link or the
// dataplane's interface; when that goes, so does what we have made to it.
func (e *Engine) wanted(u *unit) bool {
	switch p := e.parentOf(u); {
	case u.spec != nil:
		return true
	case !u.child() || p == nil || p.removing || !e.wanted(p):
		return false
	}
	if s := e.specOf(u); s == nil || !s.AutoSubif {
		return false
	}
	if !e.parentActive(u) {
		u.restore = u.restore || u.host == 0 && u.made.Iface && !u.vanished.IsZero()
		return true // whether it stays is decided when the parent is back
	}
	link, iface := e.vlanOf(u) != 0, u.phy != dataplane.NoIndex
	switch {
	case link && iface:
		return true
	case link:
		return !u.made.Link
	case iface && !u.made.Iface, u.restore:
		return true
	case iface && e.now.Before(u.vanished.Add(grace)):
		e.wake(u, u.vanished.Add(grace))
		return true
	}
	return false
}

// makeIface makes the sub-interface of a VLAN link; other interfaces have to
// come by themselves.
func (e *Engine) makeIface(u *unit) {
	switch {
	case u.spec != nil || e.dp.named(u.id.phy) == nil:
		u.problem = "waiting for phy"
	case !e.parentActive(u):
		u.problem = "waiting for parent"
	case !e.conn.caps.SubInterfaces:
		u.problem = "this dataplane has no sub-interfaces"
	case e.vlanOf(u) == 0 && !u.restore:
	default:
		parent := e.dp.named(u.id.phy)
		k := dpKey(ofSub, parent.Index)
		k.sub = u.id.sub
		if e.emit(k, dataplane.Op{Kind: dataplane.SubAdd, Index: parent.Index, Sub: u.id.sub, Name: parent.Name + tagsOf(u.id.sub)}) {
			u.made.Iface = true
			e.remember(u)
		}
	}
}

// tagsOf is the end of the name of a sub-interface.
func tagsOf(s dataplane.Sub) string {
	if s.Inner != 0 {
		return fmt.Sprintf(".%d.%d", s.Outer, s.Inner)
	}
	return fmt.Sprintf(".%d", s.Outer)
}

// paired sees to it that the dataplane has the pair, and tells whether it has.
func (e *Engine) paired(u *unit) bool {
	p, ok := e.dp.pairs[u.phy]
	if !ok {
		e.deactivate(u)
		e.pairUp(u)
		return false
	}
	why := e.mismatch(u, &p)
	if why == "" {
		return true
	}
	e.deactivate(u)
	if !u.made.Pair {
		u.problem = why
		return false
	}
	e.pairDel(u)
	return false
}

// mismatch says why a pair that is there is not the one that is wanted.
func (e *Engine) mismatch(u *unit, p *dataplane.Pair) string {
	s := e.specOf(u)
	switch {
	case p.NetNS != s.NetNS:
		return fmt.Sprintf("the phy is paired with %s in namespace %q, not %q; unpair it there", p.HostName, p.NetNS, s.NetNS)
	case p.TUN != s.TUN && !u.child():
		return "the phy is paired with " + p.HostName + ", which has the wrong type (TUN or not); unpair it there"
	case u.spec == nil || p.HostName == s.Host:
		return ""
	}
	if l := e.link(u.ns, p.HostIndex); l != nil && (l.Name == s.Host || u.host == p.HostIndex && u.agreed == s.Host) {
		return "" // renamed in Linux since
	}
	return fmt.Sprintf("the phy is paired with %s, not %s; unpair it there", p.HostName, s.Host)
}

// pairUp asks for the pair, as soon as everything for it is there.
func (e *Engine) pairUp(u *unit) {
	s := e.specOf(u)
	i := e.dp.ifaces[u.phy]
	if u.problem = e.obstacle(u, s, i); u.problem != "" {
		return
	}
	name, why := e.hostName(u, s)
	if why != "" {
		u.problem = why
		return
	}
	tun := s.TUN && !u.child()
	op := dataplane.Op{Kind: dataplane.PairAdd, Index: u.phy, Pair: &dataplane.Pair{Phy: u.phy, HostName: name, NetNS: s.NetNS,
		HostPort: dataplane.NoIndex, TUN: tun, Queues: s.Queues}}
	if !e.emit(dpKey(ofPair, u.phy), op) {
		return
	}
	u.creating, u.made.Pair, u.synced = true, true, false
	if u.child() {
		e.beforeVLAN(u, i)
	}
	e.remember(u)
}

// beforeVLAN notes what there is in Linux before the pair of a sub-interface is
// made: a VLAN link that somebody has made says what is wanted.
func (e *Engine) beforeVLAN(u *unit, i *dataplane.Interface) {
	l := e.link(e.parentOf(u).ns, e.vlanOf(u))
	switch {
	case l == nil:
		u.made.Link = u.made.Link || !u.restore
	case u.made.Iface:
		e.adopt(u, l, i)
		u.had = true
	}
}

// obstacle says what has to be there before a pair can be made.
func (e *Engine) obstacle(u *unit, s *Spec, i *dataplane.Interface) string {
	switch {
	case !e.nsLive(s.NS):
		return "waiting for namespace"
	case u.child() && !e.parentActive(u):
		return "waiting for parent"
	case i.Companion:
		return "this interface is the dataplane's end of a pair"
	case u.child() && !i.Sub.Exact:
		return "this sub-interface takes frames with further tags: only one with exact match can be paired"
	case s.TUN && !u.child() && !e.conn.caps.TUN:
		return "this dataplane has no TUN companions"
	case !s.TUN && i.Type == dataplane.Layer3:
		return "this interface has no Ethernet header: say option tun 1"
	}
	return ""
}

func (e *Engine) pairDel(u *unit) {
	p := e.dp.pairs[u.phy]
	e.emit(dpKey(ofPair, u.phy), dataplane.Op{Kind: dataplane.PairDel, Index: u.phy, Pair: &p})
}

// attached finds the companion in Linux. One that somebody has deleted there
// leaves a zombie, which is removed so that it is made again.
func (e *Engine) attached(u *unit) bool {
	p := e.dp.pairs[u.phy]
	s := e.specOf(u)
	if !e.nsLive(s.NS) {
		u.problem = "waiting for namespace"
		return false
	}
	if u.child() && !e.parentActive(u) {
		u.problem = "waiting for parent"
		return false
	}
	l := e.companion(u, s, &p)
	switch {
	case l == nil:
		e.awaitLink(u)
		return false
	case u.active && u.host == l.Index:
		return true
	case e.byHost[linkID{s.NS, l.Index}] != nil && e.byHost[linkID{s.NS, l.Index}] != u:
		u.problem = "its companion " + l.Name + " belongs to another pair"
		return false
	}
	e.deactivate(u)
	u.ns, u.missing = s.NS, time.Time{}
	e.setHost(u, l.Index)
	if u.creating {
		u.creating, u.fresh, u.settleAt = false, true, e.now.Add(settle)
	}
	if e.now.Before(u.settleAt) {
		e.wake(u, u.settleAt)
		return false
	}
	e.activate(u, l)
	return true
}

// companion is the link that a pair has in Linux, nil while there is none. One
// that has its number and another name is it only if it was renamed: a
// namespace that was made anew counts from the start.
func (e *Engine) companion(u *unit, s *Spec, p *dataplane.Pair) *rtnl.Link {
	if p.HostIndex == 0 {
		return e.linkNamed(s.NS, p.HostName)
	}
	l := e.link(s.NS, p.HostIndex)
	i := e.dp.ifaces[u.phy]
	switch {
	case l == nil || l.Name == p.HostName || l.Name == u.agreed || u.host == l.Index:
		return l
	case u.child() && e.vlanOf(u) == l.Index, !u.child() && i.MAC.Len == 6 && l.Addr == i.MAC:
		return l
	}
	return nil
}

// awaitLink waits for a companion that is not to be seen, but not for ever.
func (e *Engine) awaitLink(u *unit) {
	u.problem = "waiting for link"
	if u.missing.IsZero() {
		u.missing = e.now
	}
	e.deactivate(u)
	at := u.missing.Add(awaits)
	if !u.vanished.IsZero() {
		at = u.vanished.Add(grace) // it was seen to go
	}
	if e.now.Sub(u.remadeAt) < remadeWithin && u.remade > 0 {
		at = later(at, u.remadeAt.Add(min(retryFirst<<min(u.remade-1, 6), retryMax)))
	} else {
		u.remade = 0
	}
	if e.now.Before(at) {
		e.wake(u, at)
		return
	}
	k := dpKey(ofPair, u.phy)
	p := e.dp.pairs[u.phy]
	if e.emit(k, dataplane.Op{Kind: dataplane.PairDel, Index: u.phy, Pair: &p}) {
		u.remade++
		u.remadeAt, u.missing, u.vanished = e.now, time.Time{}, time.Time{}
		u.made.Pair = true
		e.remember(u)
		e.log(levelWarn, "companion deleted in Linux; it is made again", "phy", e.phyName(u), "host", p.HostName, "times", u.remade)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// changing tells whether the pair, its sub-interface or its link is being made
// or removed.
func (e *Engine) changing(u *unit) bool {
	if u.phy != dataplane.NoIndex && e.ledger.busy(dpKey(ofPair, u.phy)) {
		return true
	}
	if p := e.dp.named(u.id.phy); p != nil && u.child() {
		k := dpKey(ofSub, p.Index)
		k.sub = u.id.sub
		return e.ledger.busy(k)
	}
	return false
}

// remove takes back what we have made of a unit, from the outside to the
// inside: sub-interfaces, what it told, the pair, its sub-interface and its
// VLAN link.
func (e *Engine) remove(u *unit) {
	u.removing = true
	below := e.children(u)
	for _, c := range below {
		e.mark(c)
	}
	p, there := e.dp.pairs[u.phy]
	ours := u.made.Pair && there
	switch {
	case len(below) > 0, e.changing(u):
	case ours && e.takeBack(u):
	case ours:
		e.deactivate(u)
		e.emit(dpKey(ofPair, u.phy), dataplane.Op{Kind: dataplane.PairDel, Index: u.phy, Pair: &p})
	case u.made.Pair && e.takeMulticast(u): // the pair went in another way
	case u.made.Iface && u.phy != dataplane.NoIndex:
		e.deactivate(u)
		k := dpKey(ofSub, e.dp.ifaces[u.phy].Parent)
		k.sub = u.id.sub
		e.emit(k, dataplane.Op{Kind: dataplane.SubDel, Index: u.phy})
	case u.made.Link && e.vlanOf(u) != 0 && e.nsLive(u.ns):
		e.deactivate(u)
		e.deleteLink(u, e.vlanOf(u))
	default:
		e.forgetUnit(u)
	}
}
