package pair

import (
	"cmp"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

const (
	maxName     = unix.IFNAMSIZ - 1
	looseVLAN   = 4 // VLAN_FLAG_LOOSE_BINDING, linux/if_vlan.h
	kindVLAN    = "vlan"
	kindVRF     = "vrf"
	mainTableID = unix.RT_TABLE_MAIN
)

// below tells what a VLAN link on the companion of a unit is on the dataplane;
// ok is false where it cannot be anything.
func subOf(on unitID, v *rtnl.VLAN) (dataplane.Sub, bool) {
	ad := v.Protocol == unix.ETH_P_8021AD
	switch {
	case v.ID < 1 || v.ID > 4094:
	case on.depth() == 0:
		return dataplane.Sub{Outer: v.ID, OuterAD: ad, Exact: true}, true
	case on.depth() == 1:
		return dataplane.Sub{Outer: on.sub.Outer, OuterAD: on.sub.OuterAD, Inner: v.ID, InnerAD: ad, Exact: true}, true
	}
	return dataplane.Sub{}, false
}

// isVLAN tells whether a link is a VLAN on a link of its own namespace.
func isVLAN(l *rtnl.Link) bool {
	return l != nil && l.Kind == kindVLAN && l.Parent != 0 && l.ParentNSID < 0
}

// vlanOf is the ifindex of the VLAN link with a unit's tags on the companion of
// its parent, 0 for none.
func (e *Engine) vlanOf(u *unit) uint32 {
	p := e.parentOf(u)
	if p == nil || p.host == 0 {
		return 0
	}
	for _, index := range sortedKeys(e.vlans[linkID{p.ns, p.host}], cmp.Compare[uint32]) {
		if l := e.link(p.ns, index); isVLAN(l) {
			if s, ok := subOf(p.id, &l.VLAN); ok && s == u.id.sub {
				return index
			}
		}
	}
	return 0
}

// noteVLAN keeps the list of VLAN links by the link below, and gives a new one
// its unit.
func (e *Engine) noteVLAN(ns model.NS, old, new *rtnl.Link) {
	if isVLAN(old) && (!isVLAN(new) || new.Parent != old.Parent) {
		at := linkID{ns, old.Parent}
		if delete(e.vlans[at], old.Index); len(e.vlans[at]) == 0 {
			delete(e.vlans, at)
		}
	}
	if !isVLAN(new) {
		return
	}
	at := linkID{ns, new.Parent}
	if e.vlans[at] == nil {
		e.vlans[at] = map[uint32]bool{}
	}
	e.vlans[at][new.Index] = true
	if p := e.byHost[at]; p != nil {
		e.discoverVLAN(p, new)
	}
}

// discoverVLAN gives a VLAN link on the companion of p its unit.
func (e *Engine) discoverVLAN(p *unit, l *rtnl.Link) {
	s := e.specOf(p)
	if sub, ok := subOf(p.id, &l.VLAN); ok && s != nil {
		id := unitID{p.id.phy, sub}
		if u := e.units[id]; u != nil {
			e.mark(u)
		} else if s.AutoSubif {
			e.ensure(id)
		}
	}
}

// discover gives what is on a unit its units.
func (e *Engine) discover(u *unit) {
	for _, index := range sortedKeys(e.vlans[linkID{u.ns, u.host}], cmp.Compare[uint32]) {
		if l := e.link(u.ns, index); isVLAN(l) {
			e.discoverVLAN(u, l)
		}
	}
	for _, c := range e.children(u) {
		e.mark(c)
	}
}

// discoverSub gives a sub-interface of the dataplane its unit.
func (e *Engine) discoverSub(i *dataplane.Interface) {
	if i.Parent == dataplane.NoIndex || i.Companion || !i.Sub.Exact {
		return
	}
	p := e.dp.ifaces[i.Parent]
	if p == nil {
		return
	}
	id := unitID{p.Name, i.Sub}
	if u := e.units[id]; u != nil {
		e.mark(u)
		return
	}
	if t := e.units[unitID{phy: p.Name}]; t != nil && t.spec != nil && t.spec.AutoSubif {
		e.ensure(id)
	}
}

// hostName is the name that the companion of a unit is to have, or why it
// cannot have it.
func (e *Engine) hostName(u *unit, s *Spec) (name, why string) {
	if u.child() {
		return e.vlanName(u)
	}
	if l := e.linkNamed(s.NS, s.Host); l != nil {
		return "", fmt.Sprintf("Linux has another link named %s (ifindex %d): choose another host, or remove it", s.Host, l.Index)
	}
	return s.Host, ""
}

// vlanName is the name of the VLAN link: that of the one which is there, the
// configured one, the one that it had, or parent.id.
func (e *Engine) vlanName(u *unit) (name, why string) {
	p := e.parentOf(u)
	there := e.link(p.ns, e.vlanOf(u))
	switch {
	case there != nil && u.spec != nil && there.Name != u.spec.Host:
		return "", fmt.Sprintf("Linux has these tags on %s, not on %s", there.Name, u.spec.Host)
	case there != nil:
		return there.Name, ""
	case u.spec != nil:
		name = u.spec.Host
	case u.restore && u.agreed != "" && e.linkNamed(p.ns, u.agreed) == nil:
		name = u.agreed
	default:
		id := u.id.sub.Outer
		if u.id.sub.Inner != 0 {
			id = u.id.sub.Inner
		}
		name = shortName(e.link(p.ns, p.host).Name, id, func(n string) bool { return e.linkNamed(p.ns, n) != nil || e.promised(p.ns, n, u) })
	}
	switch l := e.linkNamed(p.ns, name); {
	case l != nil:
		return "", fmt.Sprintf("Linux has another link named %s (ifindex %d): choose another host, or remove it", name, l.Index)
	case e.o.OwnLink != nil && e.o.OwnLink(p.ns, name):
		return "", "waiting for link"
	}
	u.agreed = name
	return name, ""
}

// promised tells whether another unit has been given a name that is not to be
// seen yet.
func (e *Engine) promised(ns model.NS, name string, but *unit) bool {
	for _, u := range e.units {
		if u != but && u.agreed == name && u.creating && e.specOf(u) != nil && e.specOf(u).NS == ns {
			return true
		}
	}
	return false
}

// shortName is parent.id, with as much left out of the parent's name as 15
// octets ask for, and a number where that name is taken.
func shortName(parent string, id uint16, taken func(string) bool) string {
	end := "." + strconv.Itoa(int(id))
	for n := 0; ; n++ {
		more := end
		if n > 0 {
			more = "~" + strconv.Itoa(n) + end
		}
		name := parent[:min(len(parent), maxName-len(more))] + more
		if !taken(name) {
			return name
		}
	}
}
