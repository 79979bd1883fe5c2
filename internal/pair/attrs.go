package pair

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// sync brings the attributes of both sides together, except addresses and
// neighbours, which have keys of their own.
func (e *Engine) sync(u *unit) {
	l, i := e.link(u.ns, u.host), e.dp.ifaces[u.phy]
	if l == nil || i == nil {
		return
	}
	steady := e.syncLinux(u, l)
	steady = e.syncDataplane(u, l, i) && steady
	if !u.active {
		return
	}
	if steady && len(u.push) == 0 && !u.synced {
		u.synced, u.fresh = true, false
		e.remember(u)
		e.markAddrs(u) // what only the dataplane has is Linux' to decide from now on
		e.markNeighs(u)
	}
	if steady && !u.loggedUp {
		u.loggedUp = true
		e.log(levelInfo, "pair is in step", "phy", e.phyName(u), "host", l.Name)
	}
}

// activate begins to keep a pair in step. A new companion gets what the
// dataplane has, or what was wanted of the one before; that of a pair that was
// there says what is wanted.
func (e *Engine) activate(u *unit, l *rtnl.Link) {
	i := e.dp.ifaces[u.phy]
	switch {
	case u.fresh && u.had:
		u.want.mac = i.MAC
		if u.made.Iface && !u.made.Link && l.Flags&unix.IFF_UP != 0 {
			u.want.up = true // somebody has brought his VLAN link up meanwhile
		}
	case !u.made.Iface && (u.fresh || u.made.Pair && !u.synced):
		u.want = intent{up: i.Up, mtu: i.MTU, mac: i.MAC}
		if i.MTU == 0 {
			u.want.mtu = l.MTU // a sub-interface that has its parent's
		}
		u.fresh = true
	default:
		e.adopt(u, l, i)
		u.fresh, u.synced = false, true
	}
	if u.fresh && e.o.OwnLink != nil && e.o.OwnLink(u.ns, l.Name) {
		u.want.up = true // the configuration has it up, or is about to
	}
	u.active, u.had, u.restore, u.loggedUp = true, true, false, false
	u.agreed, u.lxExpect, u.dpExpect, u.carrier = l.Name, nothing, nothing, nothing
	e.setPhy(u, u.phy)
	e.fillAddrs(u)
	e.fib.Rebind(u.ns, u.host)
	e.remember(u)
	e.markAddrs(u)
	e.markNeighs(u)
	e.discover(u)
	e.rediscover = true
	e.keepAddrs(u, l)
}

// adopt takes what a link has for what is wanted of it, but for what its parent
// does not allow.
func (e *Engine) adopt(u *unit, l *rtnl.Link, i *dataplane.Interface) {
	want := intent{up: l.Flags&unix.IFF_UP != 0, mtu: l.MTU, mac: l.Addr}
	if p := e.parentLink(u); p != nil {
		switch {
		case p.Flags&unix.IFF_UP != 0:
		case u.had:
			want.up = u.want.up
		default:
			want.up = e.conn.caps.Clamps || i.Up
		}
		if u.had && l.MTU == p.MTU {
			want.mtu = max(want.mtu, u.want.mtu)
		}
	}
	u.want = want
}

// deactivate stops keeping a pair in step; what was wanted of it stays known.
func (e *Engine) deactivate(u *unit) {
	if !u.active {
		return
	}
	u.active = false
	if u.loggedUp {
		e.log(levelInfo, "pair is not in step any more", "phy", e.phyName(u), "host", u.agreed)
	}
	e.fib.Rebind(u.ns, u.host)
	for _, c := range e.children(u) {
		e.mark(c)
	}
}

// parentLink is the link that the companion is a VLAN on, or nil.
func (e *Engine) parentLink(u *unit) *rtnl.Link {
	if p := e.parentOf(u); p != nil && p.host != 0 {
		return e.link(p.ns, p.host)
	}
	return nil
}

// parentIface is the dataplane's interface of the parent, or nil.
func (e *Engine) parentIface(u *unit) *dataplane.Interface {
	if p := e.parentOf(u); p != nil {
		return e.dp.ifaces[p.phy]
	}
	return nil
}

// linuxWant is what the link is to have: what was asked for, as far as its
// parent allows.
func (e *Engine) linuxWant(u *unit) (up bool, mtu uint32) {
	up, mtu = u.want.up, u.want.mtu
	if p := e.parentLink(u); p != nil {
		up = up && p.Flags&unix.IFF_UP != 0
		mtu = min(mtu, p.MTU)
	}
	return up, mtu
}

// syncLinux asks for what is missing in Linux, and tells whether nothing is.
func (e *Engine) syncLinux(u *unit, l *rtnl.Link) bool {
	up, mtu := e.linuxWant(u)
	steady := e.linkSet(u, l, ofMTU, l.MTU == mtu, rtnl.LinkMTU, rtnl.Link{MTU: mtu}, fmt.Sprintf("mtu %d", mtu))
	if !u.child() && l.Addr.Len == 6 && u.want.mac.Len == 6 {
		steady = e.linkSet(u, l, ofMAC, l.Addr == u.want.mac, rtnl.LinkAddr, rtnl.Link{Addr: u.want.mac}, "mac "+u.want.mac.String()) && steady
	}
	flags, word := uint32(0), "down"
	if up {
		flags, word = unix.IFF_UP, "up"
	}
	return e.linkSet(u, l, ofUp, l.Flags&unix.IFF_UP == flags, rtnl.LinkUp, rtnl.Link{Flags: flags}, word) && steady
}

// linkSet writes one attribute of a companion unless it is right.
func (e *Engine) linkSet(u *unit, l *rtnl.Link, c class, right bool, f rtnl.LinkField, v rtnl.Link, detail string) bool {
	k := linuxKey(u.ns, c, l.Index)
	if right {
		if !e.ledger.busy(k) {
			e.ledger.inPlace(k)
		}
		return !e.ledger.busy(k)
	}
	v.Index = l.Index
	e.linux(k, &plan.Op{Kind: plan.LinkSet, Device: l.Name, Detail: detail, Link: &rtnl.LinkRequest{Link: v, Set: f}}, detail+" of "+l.Name)
	return false
}

// syncDataplane asks for what is missing on the dataplane, and tells whether
// nothing is.
func (e *Engine) syncDataplane(u *unit, l *rtnl.Link, i *dataplane.Interface) bool {
	_, mtu := e.linuxWant(u)
	up := u.want.up
	if p := e.parentIface(u); p != nil && e.conn.caps.Clamps {
		up = up && p.Up
		if p.MTU != 0 {
			mtu = min(mtu, p.MTU)
		}
	}
	steady := e.set(dpKey(ofMTU, u.phy), i.MTU == mtu, dataplane.Op{Kind: dataplane.SetMTU, Index: u.phy, Value: mtu})
	if !u.child() && i.Type == dataplane.Ethernet && u.want.mac.Len == 6 && i.MAC.Len == 6 {
		steady = e.set(dpKey(ofMAC, u.phy), i.MAC == u.want.mac, dataplane.Op{Kind: dataplane.SetMAC, Index: u.phy, MAC: u.want.mac}) && steady
	}
	steady = e.syncTable(u, l, i) && steady
	e.syncMPLS(u, l, i)
	if e.conn.caps.Multicast {
		e.set(dpKey(ofMulticast, u.phy), i.Multicast, dataplane.Op{Kind: dataplane.SetMulticast, Index: u.phy, On: true})
	}
	steady = e.set(dpKey(ofUp, u.phy), i.Up == up, dataplane.Op{Kind: dataplane.SetUp, Index: u.phy, On: up}) && steady
	if e.conn.caps.Carrier && !u.child() {
		steady = e.set(dpKey(ofCarrier, u.phy), u.carrier == expect(i.Carrier), dataplane.Op{Kind: dataplane.SetCarrier, Index: u.phy, On: i.Carrier}) && steady
	}
	return steady
}

// set asks for one attribute of the dataplane's interface unless it is right.
func (e *Engine) set(k key, right bool, op dataplane.Op) bool {
	if right {
		if !e.ledger.busy(k) {
			e.ledger.inPlace(k)
		}
		return !e.ledger.busy(k)
	}
	e.emit(k, op)
	return false
}

// tableOf is the FIB that packets received on a unit are looked up in: that of
// the VRF which the companion belongs to, otherwise that of the namespace.
func (e *Engine) tableOf(u *unit, l *rtnl.Link) (uint32, bool) {
	table := uint32(mainTableID)
	if l.Master != 0 {
		if m := e.link(u.ns, l.Master); m != nil && m.Kind == kindVRF {
			table = m.VRFTable
		}
	}
	return e.table(u.ns, table)
}

// bound tells whether the dataplane's interface is in the FIB that it is to be
// in, so that it may have addresses.
func (e *Engine) bound(u *unit, l *rtnl.Link, i *dataplane.Interface) bool {
	if l == nil {
		return false
	}
	id, ok := e.tableOf(u, l)
	return !ok || i.Table4 == id && i.Table6 == id
}

// syncTable binds an interface to its FIB. Dataplanes refuse that while the
// interface has addresses, so those go first and come back afterwards.
func (e *Engine) syncTable(u *unit, l *rtnl.Link, i *dataplane.Interface) bool {
	k := dpKey(ofTable, u.phy)
	id, ok := e.tableOf(u, l)
	if !ok {
		e.ledger.inPlace(k)
		return true
	}
	e.holdTables(u, id)
	if i.Table4 == id && i.Table6 == id {
		if !e.ledger.busy(k) {
			e.ledger.inPlace(k)
		}
		if u.dirtyAddrs {
			u.dirtyAddrs = false
			e.markAddrs(u)
			e.fib.Rebind(u.ns, u.host)
		}
		return !e.ledger.busy(k)
	}
	if !u.dirtyAddrs {
		u.dirtyAddrs = true
		e.markAddrs(u)
	}
	if len(e.dp.addrs[u.phy]) > 0 || id != dataplane.MainTable && (!e.fib.HasTable(id, unix.AF_INET) || !e.fib.HasTable(id, unix.AF_INET6)) {
		return false
	}
	e.emit(k, dataplane.Op{Kind: dataplane.SetTable, Index: u.phy, Value: id})
	return false
}

// holdBinding keeps the FIBs there that an interface is bound to.
func (e *Engine) holdBinding(index uint32) {
	var next [2]uint32
	if i := e.dp.ifaces[index]; i != nil {
		next = [2]uint32{i.Table4, i.Table6}
	}
	for n, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		old := e.inFIB[index][n]
		if next[n] != old && next[n] != dataplane.MainTable {
			e.fib.Hold(next[n], family)
		}
		if next[n] != old && old != dataplane.MainTable {
			e.fib.Release(old, family)
		}
	}
	if e.inFIB[index] = next; next == [2]uint32{} {
		delete(e.inFIB, index)
	}
}

// holdTables keeps FIBs there that an interface is going to be bound to.
func (e *Engine) holdTables(u *unit, ids ...uint32) {
	var next []uint32
	for _, id := range ids {
		if id == dataplane.MainTable || slices.Contains(next, id) {
			continue
		}
		next = append(next, id)
		if !slices.Contains(u.held, id) {
			e.fib.Hold(id, unix.AF_INET)
			e.fib.Hold(id, unix.AF_INET6)
		}
	}
	for _, id := range u.held {
		if !slices.Contains(next, id) {
			e.releaseTable(id)
		}
	}
	u.held = next
}

func (e *Engine) releaseTable(id uint32) {
	e.fib.Release(id, unix.AF_INET)
	e.fib.Release(id, unix.AF_INET6)
}

// keepAddrs lets the kernel keep the IPv6 addresses of a companion that goes
// down: otherwise `ip link set down` and `up` would cost the interface its
// addresses, on the dataplane too.
func (e *Engine) keepAddrs(u *unit, l *rtnl.Link) {
	if u.keepTried == l.Index {
		return
	}
	u.keepTried = l.Index
	k := linuxKey(u.ns, ofSysctl, l.Index)
	e.linux(k, keepOp(u.ns, l), "keep_addr_on_down of "+l.Name)
}
