package pair

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// formOf is an address of Linux as the dataplane has it: one with a peer is its
// own alone (the peer's route is a route), and so is a link-local one.
func formOf(a *rtnl.Addr) netip.Prefix {
	if a.Peer.IsValid() || a.Local.Is6() && a.Local.IsLinkLocalUnicast() {
		return host(a.Local)
	}
	return netip.PrefixFrom(a.Local, int(a.PrefixLen))
}

// tentative tells that an address cannot be used yet: others may have it. What
// is on the dataplane stays so long.
func tentative(a *rtnl.Addr) bool {
	return a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0
}

// count puts an address of Linux into, or takes it out of, what a unit has.
func (u *unit) count(a *rtnl.Addr, n int) {
	if a == nil || !a.Local.IsValid() || a.Flags&unix.IFA_F_DADFAILED != 0 {
		return
	}
	p := formOf(a)
	x := u.lx[p]
	if tentative(a) {
		x.held += n
	} else {
		x.n += n
	}
	if n > 0 {
		x.addr = *a
	}
	if u.lx[p] = x; x.n <= 0 && x.held <= 0 {
		delete(u.lx, p)
	}
}

// fillAddrs begins with the addresses of a pair: those in Linux, and, where the
// companion is new, those that the dataplane has and those that went with the
// companion before.
func (e *Engine) fillAddrs(u *unit) {
	clear(u.lx)
	for _, a := range e.o.Mirror(u.ns).AddrsOn(u.host) {
		u.count(&a, 1)
	}
	if !u.fresh {
		return
	}
	for p := range e.dp.addrs[u.phy] {
		if _, there := u.lx[p]; !there {
			e.pushAddr(u, p, nil)
		}
	}
	for _, t := range u.tombs {
		e.pushAddr(u, formOf(&t.addr), &t.addr)
	}
	u.tombs = nil
}

func linkLocal(p netip.Prefix) bool { return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() }

// pushAddr has an address added to the companion, like the one that was there.
// What netbraid's configuration wants there comes by itself.
func (e *Engine) pushAddr(u *unit, p netip.Prefix, like *rtnl.Addr) {
	if linkLocal(p) {
		return // each side makes its own, and Linux' goes over
	}
	a := rtnl.Addr{Family: unix.AF_INET, PrefixLen: uint8(p.Bits()), Local: p.Addr(),
		Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
	if p.Addr().Is6() {
		a.Family, a.Flags = unix.AF_INET6, unix.IFA_F_NODAD // the dataplane has it already
	}
	if like != nil {
		a = *like
		a.Flags &= unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_HOMEADDRESS
		if a.Label == u.agreed {
			a.Label = ""
		}
	}
	a.Index = u.host
	l := e.link(u.ns, u.host)
	if e.o.OwnAddr != nil && l != nil && e.o.OwnAddr(u.ns, l.Name, &a) {
		return
	}
	u.push[p] = a
	delete(u.drop, p)
}

// markAddrs has every address of a unit looked at.
func (e *Engine) markAddrs(u *unit) {
	seen := map[netip.Prefix]bool{}
	for p := range u.lx {
		seen[p] = true
	}
	for p := range u.push {
		seen[p] = true
	}
	for p := range e.dp.addrs[u.phy] {
		seen[p] = true
	}
	for _, p := range sortedKeys(seen, comparePrefixes) {
		e.markAddr(u, p)
	}
}

func (e *Engine) markAddr(u *unit, p netip.Prefix) {
	if u.phy != dataplane.NoIndex {
		k := dpKey(ofAddr, u.phy)
		k.prefix = p
		e.addrs.add(k)
	}
}

// stepAddr looks at one address.
func (e *Engine) stepAddr(k key) {
	u := e.byPhy[k.index]
	if u == nil || e.dp.ifaces[k.index] == nil {
		e.ledger.forget(k)
		return
	}
	p := k.prefix
	there := e.dp.addrs[k.index][p]
	if u.removing {
		if there && u.told[p] {
			e.emit(k, dataplane.Op{Kind: dataplane.AddrDel, Index: k.index, Prefix: p})
		}
		return
	}
	if !u.active || !e.nsLive(u.ns) {
		return
	}
	l, i := e.link(u.ns, u.host), e.dp.ifaces[k.index]
	if l == nil {
		return
	}
	x, linux := u.lx[p]
	e.takeOver(u, l, p, linux, there)
	want := linux && (x.n > 0 || there)
	keep := e.keeps(u, p, there)
	switch {
	case !e.bound(u, l, i):
		if there {
			if !linux {
				e.pushAddr(u, p, nil) // it comes back with the others
				e.markAddr(u, p)
			}
			e.emit(k, dataplane.Op{Kind: dataplane.AddrDel, Index: k.index, Prefix: p})
		}
	case want && !there:
		if e.emit(k, dataplane.Op{Kind: dataplane.AddrAdd, Index: k.index, Prefix: p}) {
			u.told[p] = true // before it is done: so it is written down
			e.retell(u)
		}
	case !want && there && !keep:
		e.emit(k, dataplane.Op{Kind: dataplane.AddrDel, Index: k.index, Prefix: p})
	default:
		e.addrInPlace(u, k, linux && there)
	}
}

// clashes tells whether Linux has an IPv6 address with another prefix length:
// it has each only once on a link.
func (u *unit) clashes(p netip.Prefix) bool { return p.Addr().Is6() && u.otherLength(p) }

// otherLength tells whether Linux has an address with another prefix length: what
// the dataplane has may be the same one, as it has to have it.
func (u *unit) otherLength(p netip.Prefix) bool {
	for o := range u.lx {
		if o.Addr() == p.Addr() && o != p {
			return true
		}
	}
	return false
}

func (e *Engine) addrInPlace(u *unit, k key, both bool) {
	if e.ledger.busy(k) {
		return
	}
	e.ledger.inPlace(k)
	if both {
		u.base[k.prefix] = true
	} else if _, linux := u.lx[k.prefix]; !linux && !e.dp.addrs[k.index][k.prefix] {
		delete(u.base, k.prefix)
		delete(u.told, k.prefix)
		e.retell(u)
	}
}

// keeps tells whether an address stays that only the dataplane has: because it
// is on its way to Linux, or because it is no business of ours.
func (e *Engine) keeps(u *unit, p netip.Prefix, there bool) bool {
	if _, pushed := u.push[p]; pushed {
		return true
	}
	switch s := e.specOf(u); {
	case !there || u.base[p] || u.told[p]:
		return false
	case u.made.Pair && u.synced:
		return false
	case linkLocal(p):
		return true
	case s != nil && s.Sync && !u.otherLength(p):
		e.pushAddr(u, p, nil)
		e.markAddr(u, p)
	}
	return true
}

// takeOver writes to Linux what was changed on the dataplane.
func (e *Engine) takeOver(u *unit, l *rtnl.Link, p netip.Prefix, linux, there bool) {
	k := linuxKey(u.ns, ofAddr, u.host)
	k.prefix = p
	a, pushed := u.push[p]
	switch {
	case pushed && linux:
		delete(u.push, p)
		e.mark(u)
	case pushed && u.clashes(p):
		delete(u.push, p)
		e.log(levelWarn, "Linux has this address with another prefix length, which counts", "address", p.String(), "link", l.Name)
		e.mark(u)
		e.markAddr(u, p)
	case pushed:
		a.Index = u.host
		e.linux(k, &plan.Op{Kind: plan.AddrAdd, Device: l.Name, Addr: &a, Key: model.KeyOfAddr(u.ns, &a)}, "address "+p.String()+" on "+l.Name)
		return
	case u.drop[p] && linux && !there:
		old := u.lx[p].addr
		e.linux(k, &plan.Op{Kind: plan.AddrDel, Device: l.Name, Addr: &old, Key: model.KeyOfAddr(u.ns, &old)}, "address "+p.String()+" on "+l.Name)
		return
	case u.drop[p]:
		delete(u.drop, p)
	}
	if !e.ledger.busy(k) {
		e.ledger.forget(k)
	}
}

// dpAddrChanged takes an address that has come to the dataplane or gone from
// there by itself. live: somebody has just changed it.
func (e *Engine) dpAddrChanged(a dataplane.Addr, gone, live bool) {
	if e.dp.ifaces[a.Index] == nil {
		return
	}
	k := dpKey(ofAddr, a.Index)
	k.prefix = a.Prefix
	f, busy := e.ledger.flying[k]
	switch {
	case busy:
		// Ours, or somebody else's at the same time, perhaps of what we have just
		// added and do not know of yet: then the table is read again.
		if e.dp.setAddr(a.Index, a.Prefix, !gone); gone != (f.kind == dataplane.AddrDel) {
			e.want(dataplane.KindAddr)
		}
		return
	case e.dp.addrs[a.Index][a.Prefix] == !gone:
		return
	}
	e.dp.setAddr(a.Index, a.Prefix, !gone)
	u := e.byPhy[a.Index]
	if u == nil {
		return
	}
	s := e.specOf(u)
	if gone && a.Prefix.Addr().Is6() && !e.dp.ifaces[a.Index].Up {
		live = false // it went because the interface went down
	}
	if live && u.active && s != nil && s.Sync && e.bound(u, e.link(u.ns, u.host), e.dp.ifaces[a.Index]) {
		if _, linux := u.lx[a.Prefix]; gone && linux {
			u.drop[a.Prefix] = true
			delete(u.push, a.Prefix)
		} else if !gone && !linux {
			e.pushAddr(u, a.Prefix, nil)
		}
	}
	e.markAddr(u, a.Prefix)
	if u.dirtyAddrs || u.removing {
		e.mark(u)
	}
}

// takeMulticast has an interface hand on no multicast any more. It tells whether
// that is still to be waited for.
func (e *Engine) takeMulticast(u *unit) bool {
	i := e.dp.ifaces[u.phy]
	return i != nil && e.takeOff(dpKey(ofMulticast, u.phy), i.Multicast, dataplane.SetMulticast)
}

// takeOff switches something off that Linux has had on, and tells whether that is
// still to be waited for.
func (e *Engine) takeOff(k key, on bool, kind dataplane.OpKind) bool {
	switch {
	case e.ledger.failed[k] != nil && !e.ledger.busy(k):
		return false
	case !on:
		return e.ledger.busy(k) // it may be about to be
	}
	e.emit(k, dataplane.Op{Kind: kind, Index: k.index})
	return true
}

// takeBack removes what a pair has brought to the dataplane, before the pair
// goes. It tells whether something is still to be waited for.
func (e *Engine) takeBack(u *unit) bool {
	left := false
	for _, p := range sortedKeys(u.told, comparePrefixes) {
		k := dpKey(ofAddr, u.phy)
		k.prefix = p
		if e.dp.addrs[u.phy][p] && (e.ledger.failed[k] == nil || e.ledger.busy(k)) {
			e.addrs.add(k)
			left = true
		}
	}
	for _, a := range sortedKeys(u.neighs, netip.Addr.Compare) {
		k := dpKey(ofNeigh, u.phy)
		k.prefix = host(a)
		if _, there := e.dp.neighs[u.phy][a]; there && (e.ledger.failed[k] == nil || e.ledger.busy(k)) {
			e.neighs.add(k)
			left = true
		}
	}
	i := e.dp.ifaces[u.phy]
	left = e.takeOff(dpKey(ofMPLS, u.phy), i.MPLS, dataplane.SetMPLS) || left
	left = e.takeMulticast(u) || left
	if k := dpKey(ofTable, u.phy); !left && len(e.dp.addrs[u.phy]) == 0 && (i.Table4 != 0 || i.Table6 != 0) &&
		(e.ledger.failed[k] == nil || e.ledger.busy(k)) {
		e.emit(k, dataplane.Op{Kind: dataplane.SetTable, Index: u.phy, Value: dataplane.MainTable})
		left = true
	}
	return left
}
