package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// fibKey is what makes two fib_infos one (fib_find_info).
type fibKey struct {
	protocol, scope, typ uint8
	flags                uint32
	table, priority      uint32
	prefSrc              netip.Addr
	mtu                  uint32
	mtuLock              bool
	metrics, hops        string
}

// fibInfo is what routes with the same next hops share.
type fibInfo struct {
	fibKey
	hops    []nexthop
	flags   uint32 // RTNH_F_DEAD, RTNH_F_LINKDOWN
	srcGone bool
	refs    int
}

type nexthop struct {
	oif    uint32
	dev    *link
	gw     netip.Addr
	weight uint8
	flags  uint8
	scope  uint8
	encap  string
}

// alias is one route of a prefix.
type alias struct {
	tos, typ uint8
	fi       *fibInfo
}

// table4 is one IPv4 routing table.
type table4 struct {
	id    uint32
	nodes map[netip.Prefix][]alias
	lens  [33]int
	order []netip.Prefix
	stale bool // order misses or has too many
}

type fib4 struct {
	tables map[uint32]*table4 // made when first needed, even main and local
	ids    []uint32           // in the order of a dump
	infos  map[fibKey]*fibInfo
	custom bool // rules were changed: local and main are no longer one trie
}

func (f *fib4) init() {
	f.tables = map[uint32]*table4{}
	f.infos = map[fibKey]*fibInfo{}
}

// table finds or makes a table. Tables are hashed by their low octet, newest
// first.
func (f *fib4) table(id uint32) *table4 {
	t := f.tables[id]
	if t == nil {
		if id == unix.RT_TABLE_LOCAL && !f.custom {
			f.table(unix.RT_TABLE_MAIN)
		}
		t = &table4{id: id, nodes: map[netip.Prefix][]alias{}}
		f.tables[id] = t
		at, _ := slices.BinarySearchFunc(f.ids, id, func(a, b uint32) int { return cmp.Compare(a&255, b&255) })
		f.ids = slices.Insert(f.ids, at, id)
	}
	return t
}

// sorted gives the prefixes in the order of the trie: by address, the longest
// of those at the same address first.
func (t *table4) sorted() []netip.Prefix {
	if t.stale {
		t.order = t.order[:0]
		for p := range t.nodes {
			t.order = append(t.order, p)
		}
		slices.SortFunc(t.order, func(a, b netip.Prefix) int {
			return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(b.Bits(), a.Bits()))
		})
		t.stale = false
	}
	return t.order
}

func (t *table4) put(p netip.Prefix, as []alias) {
	_, had := t.nodes[p]
	switch {
	case len(as) == 0 && had:
		delete(t.nodes, p)
		t.lens[p.Bits()]--
		t.stale = true
	case len(as) > 0:
		t.nodes[p] = as
		if !had {
			t.lens[p.Bits()]++
			t.stale = true
		}
	}
}

// props are the scope and error of a route type (fib_props).
func props(typ uint8) (scope uint8, errno unix.Errno) {
	switch typ {
	case unix.RTN_UNSPEC:
		return unix.RT_SCOPE_NOWHERE, 0
	case unix.RTN_LOCAL:
		return unix.RT_SCOPE_HOST, 0
	case unix.RTN_BROADCAST, unix.RTN_ANYCAST:
		return unix.RT_SCOPE_LINK, 0
	case unix.RTN_BLACKHOLE:
		return unix.RT_SCOPE_UNIVERSE, unix.EINVAL
	case unix.RTN_UNREACHABLE:
		return unix.RT_SCOPE_UNIVERSE, unix.EHOSTUNREACH
	case unix.RTN_PROHIBIT:
		return unix.RT_SCOPE_UNIVERSE, unix.EACCES
	case unix.RTN_THROW:
		return unix.RT_SCOPE_UNIVERSE, unix.EAGAIN
	case unix.RTN_NAT, unix.RTN_XRESOLVE:
		return unix.RT_SCOPE_NOWHERE, unix.EINVAL
	}
	return unix.RT_SCOPE_UNIVERSE, 0
}

// flow is a question to the routing tables.
type flow struct {
	dst, src netip.Addr
	oif      uint32
	scope    uint8
	tos      uint8
	down     func(*nexthop) bool // which next hops to pass over, nil for none
}

// answer4 is struct fib_result.
type answer4 struct {
	typ, scope uint8
	hop        nexthop
}

// usable is fib_lookup_good_nhc.
func (f *flow) usable(h *nexthop) bool {
	return h.flags&unix.RTNH_F_DEAD == 0 && (f.oif == 0 || f.oif == h.oif) && (f.down == nil || !f.down(h))
}

// lookup4 is fib_table_lookup. EAGAIN is "go on with the next table".
func lookup4(f *flow, tables ...*table4) (answer4, unix.Errno) {
	for bits := 32; bits >= 0; bits-- {
		for _, t := range tables {
			if t == nil || t.lens[bits] == 0 {
				continue
			}
			p, _ := f.dst.Prefix(bits)
			for _, a := range t.nodes[p] {
				if a.tos != 0 && a.tos != f.tos || a.fi.scope < f.scope {
					continue
				}
				if _, errno := props(a.typ); errno != 0 {
					return answer4{}, errno
				}
				if a.fi.flags&unix.RTNH_F_DEAD != 0 {
					continue
				}
				for i := range a.fi.hops {
					h := &a.fi.hops[i]
					if f.usable(h) {
						return answer4{a.typ, a.fi.scope, *h}, 0
					}
				}
			}
		}
	}
	return answer4{}, unix.EAGAIN
}

// lookup4 is fib_lookup.
func (k *Kernel) lookup4(f *flow) (answer4, unix.Errno) {
	t := k.fib4.tables
	if !k.fib4.custom {
		for _, ts := range [][]*table4{{t[unix.RT_TABLE_LOCAL], t[unix.RT_TABLE_MAIN]}, {t[unix.RT_TABLE_DEFAULT]}} {
			if a, errno := lookup4(f, ts...); errno != unix.EAGAIN {
				return a, errno
			}
		}
		return answer4{}, unix.ENETUNREACH
	}
	for i := 0; i < len(k.rules[v4].rules); i++ {
		r := &k.rules[v4].rules[i]
		if !r.matches(f) {
			continue
		}
		switch r.Action {
		case frActGoto:
			j := k.rules[v4].target(r.Goto)
			if j > i {
				i = j - 1
			}
			continue
		case frActNop:
			continue
		case frActBlackhole:
			return answer4{}, unix.EINVAL
		case frActUnreachable:
			return answer4{}, unix.ENETUNREACH
		case frActProhibit:
			return answer4{}, unix.EACCES
		}
		if a, errno := lookup4(f, t[r.Table]); errno != unix.EAGAIN {
			return a, errno
		}
	}
	return answer4{}, unix.ENETUNREACH
}

// addrType is inet_addr_type_table: what kind of address a is to a table.
func (k *Kernel) addrType(a netip.Addr, table uint32) uint8 {
	n := num4(a)
	switch {
	case n>>24 == 0 || n == 0xffffffff:
		return unix.RTN_BROADCAST
	case n>>28 == 0xe:
		return unix.RTN_MULTICAST
	}
	if k.fib4.tables[table] == nil {
		return unix.RTN_BROADCAST
	}
	ts := []*table4{k.fib4.tables[table]}
	if !k.fib4.custom && table == unix.RT_TABLE_LOCAL {
		ts = []*table4{k.fib4.tables[unix.RT_TABLE_LOCAL], k.fib4.tables[unix.RT_TABLE_MAIN]}
	}
	r, errno := lookup4(&flow{dst: a, down: func(h *nexthop) bool { return k.shownFlags(h)&unix.RTNH_F_DEAD != 0 }}, ts...)
	if errno != 0 {
		return unix.RTN_UNICAST
	}
	return r.typ
}

// info4 is the route as the kernel shows it.
func (k *Kernel) info4(t *table4, p netip.Prefix, a alias) rtnl.Route {
	fi := a.fi
	r := rtnl.Route{
		Family: unix.AF_INET, TOS: a.tos, Protocol: fi.protocol, Scope: fi.scope, Type: a.typ, Table: t.id,
		Priority: fi.priority, Dst: p, PrefSrc: fi.prefSrc, MTU: fi.mtu, MTULock: fi.mtuLock, Metrics: fi.metrics,
	}
	if len(fi.hops) == 1 {
		h := &fi.hops[0]
		r.Flags, r.Gateway, r.Encap = k.shownFlags(h), h.gw, h.encap
		if h.dev != nil {
			r.Oif = h.dev.Index
		}
		return r
	}
	r.Flags = fi.flags | fi.fibKey.flags
	hops := make([]rtnl.Hop, len(fi.hops))
	for i := range fi.hops {
		h := &fi.hops[i]
		hops[i] = rtnl.Hop{Oif: h.oif, Weight: h.weight, Flags: uint8(k.shownFlags(h)), Gateway: h.gw, Encap: h.encap}
	}
	r.Multipath = rtnl.AppendHops(hops)
	return r
}

// shownFlags is fib_nexthop_info: a next hop whose link has no carrier is dead
// where ignore_routes_with_linkdown says so.
func (k *Kernel) shownFlags(h *nexthop) uint32 {
	f := uint32(h.flags) & (unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN | unix.RTNH_F_ONLINK)
	if f&unix.RTNH_F_LINKDOWN != 0 && h.dev != nil && k.confAny(v4, h.dev.Name, confIgnoreLinkdown) {
		f |= unix.RTNH_F_DEAD
	}
	return f
}

func (k *Kernel) routeMessage4(typ, flags uint16, t *table4, p netip.Prefix, a alias) {
	if k.queue.joined(unix.RTNLGRP_IPV4_ROUTE) {
		r := k.info4(t, p, a)
		k.notifyRoute(typ, flags, &r)
	}
}

func (f *fib4) hold(fi *fibInfo) *fibInfo {
	if old := f.infos[fi.fibKey]; old != nil {
		fi = old
	} else {
		f.infos[fi.fibKey] = fi
	}
	return fi
}

func (f *fib4) release(fi *fibInfo) {
	fi.refs--
	if fi.refs <= 0 && f.infos[fi.fibKey] == fi {
		delete(f.infos, fi.fibKey)
	}
}

// flush4 is fib_flush: dead routes go without a word, except those whose
// preferred source was removed.
func (k *Kernel) flush4() {
	for _, id := range k.fib4.ids {
		t := k.fib4.tables[id]
		for _, p := range slices.Clone(t.sorted()) {
			as := t.nodes[p]
			if !slices.ContainsFunc(as, flushable) {
				continue
			}
			var kept []alias
			for _, a := range as {
				if !flushable(a) {
					kept = append(kept, a)
					continue
				}
				if a.fi.srcGone {
					k.routeMessage4(unix.RTM_DELROUTE, 0, t, p, a)
				}
				k.fib4.release(a.fi)
			}
			t.put(p, kept)
		}
	}
}

func flushable(a alias) bool { return a.fi.flags&unix.RTNH_F_DEAD != 0 }

// syncDown4 is fib_sync_down_dev. It tells whether routes died.
func (k *Kernel) syncDown4(l *link, ev event, force bool) bool {
	n := 0
	for _, fi := range k.fib4.infos {
		dead, mine := 0, false
		for i := range fi.hops {
			h := &fi.hops[i]
			mine = mine || h.dev == l
		}
		if !mine {
			continue
		}
		for i := range fi.hops {
			h := &fi.hops[i]
			switch {
			case h.flags&unix.RTNH_F_DEAD != 0:
				dead++
			case h.dev == l && (force || h.scope != unix.RT_SCOPE_NOWHERE):
				if ev != evChange {
					h.flags |= unix.RTNH_F_DEAD
				}
				h.flags |= unix.RTNH_F_LINKDOWN
				dead++
			}
			if ev == evUnregister && h.dev == l {
				dead = len(fi.hops)
				break
			}
		}
		if dead == len(fi.hops) {
			if ev != evChange {
				fi.flags |= unix.RTNH_F_DEAD
			}
			fi.flags |= unix.RTNH_F_LINKDOWN
			n++
		}
	}
	return n > 0
}

// syncUp4 is fib_sync_up.
func (k *Kernel) syncUp4(l *link, flags uint32) {
	if !l.up() {
		return
	}
	if flags&unix.RTNH_F_DEAD != 0 && l.userFlags()&(unix.IFF_RUNNING|unix.IFF_LOWER_UP) != 0 {
		flags |= unix.RTNH_F_LINKDOWN
	}
	for _, fi := range k.fib4.infos {
		if !slices.ContainsFunc(fi.hops, func(h nexthop) bool { return h.dev == l }) {
			continue
		}
		alive := false
		for i := range fi.hops {
			h := &fi.hops[i]
			if uint32(h.flags)&flags == 0 {
				alive = true
				continue
			}
			if h.dev != l || l.in4 == nil {
				continue
			}
			alive = true
			h.flags &^= uint8(flags)
		}
		if alive {
			fi.flags &^= flags
		}
	}
}

// disableIPv4 is fib_disable_ip.
func (k *Kernel) disableIPv4(l *link, ev event, force bool) {
	if k.syncDown4(l, ev, force) {
		k.flush4()
	}
	k.neighDown(l, unix.AF_INET, false)
}

// fibEvent is fib_netdev_event.
func (k *Kernel) fibEvent(ev event, l *link) {
	if ev == evUnregister {
		k.disableIPv4(l, ev, true)
		return
	}
	if l.in4 == nil {
		return
	}
	switch ev {
	case evUp:
		for _, a := range l.in4.addrs {
			k.addPrefixRoutes(a)
		}
		k.syncUp4(l, unix.RTNH_F_DEAD)
	case evDown:
		k.disableIPv4(l, ev, false)
	case evChange:
		if l.userFlags()&(unix.IFF_RUNNING|unix.IFF_LOWER_UP) != 0 {
			k.syncUp4(l, unix.RTNH_F_LINKDOWN)
		} else {
			k.syncDown4(l, ev, false)
		}
	}
}
