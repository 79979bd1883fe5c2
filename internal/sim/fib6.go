package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// Metrics of IPv6 routes (linux/ipv6_route.h).
const (
	metricUser     = 1024
	metricAddrconf = 256
)

// key6 is the place of a route in its table.
type key6 struct{ dst, src netip.Prefix }

// route6 is struct fib6_info.
type route6 struct {
	key6
	table    *table6 // nil while it is not in one
	tableID  uint32
	protocol uint8
	typ      uint8
	reject   bool
	kernel   bool // RTF_ADDRCONF
	pref     uint8
	metric   uint32
	prefSrc  netip.Addr
	mtu      uint32
	mtuLock  bool
	metrics  string
	hop      nexthop
	expires  time.Duration // 0 never
	flush    bool          // should_flush
}

// ecmp is rt6_qualify_for_ecmp.
func (r *route6) ecmp() bool { return !r.kernel && r.hop.gw.IsValid() }

type table6 struct {
	id    uint32
	nodes map[key6][]*route6
	lens  [129]int
	order []key6
	stale bool
	timed int // routes that expire
}

type fib6 struct {
	tables map[uint32]*table6
	ids    []uint32
}

func (f *fib6) init() {
	f.tables = map[uint32]*table6{}
	f.table(unix.RT_TABLE_LOCAL)
	f.table(unix.RT_TABLE_MAIN)
}

func (f *fib6) table(id uint32) *table6 {
	t := f.tables[id]
	if t == nil {
		t = &table6{id: id, nodes: map[key6][]*route6{}}
		f.tables[id] = t
		at, _ := slices.BinarySearchFunc(f.ids, id, func(a, b uint32) int { return cmp.Compare(a&255, b&255) })
		f.ids = slices.Insert(f.ids, at, id)
	}
	return t
}

// sorted gives the nodes in the order in which the kernel walks the tree: what
// lies under a prefix comes before it.
func (t *table6) sorted() []key6 {
	if t.stale {
		t.order = t.order[:0]
		for p := range t.nodes {
			t.order = append(t.order, p)
		}
		slices.SortFunc(t.order, func(a, b key6) int { return cmp.Or(walkOrder(a.dst, b.dst), walkOrder(a.src, b.src)) })
		t.stale = false
	}
	return t.order
}

func walkOrder(a, b netip.Prefix) int {
	switch {
	case a == b:
		return 0
	case !a.IsValid() || !b.IsValid():
		return cmp.Compare(a.Bits(), b.Bits())
	case a.Bits() < b.Bits() && a.Contains(b.Addr()):
		return 1
	case b.Bits() < a.Bits() && b.Contains(a.Addr()):
		return -1
	}
	return a.Addr().Compare(b.Addr())
}

func (t *table6) put(at key6, rs []*route6) {
	_, had := t.nodes[at]
	switch {
	case len(rs) == 0 && had:
		delete(t.nodes, at)
		t.lens[at.dst.Bits()]--
		t.stale = true
	case len(rs) > 0:
		t.nodes[at] = rs
		if !had {
			t.lens[at.dst.Bits()]++
			t.stale = true
		}
	}
}

// lookup6 is fib6_table_lookup, for routes without a source prefix.
func lookup6(t *table6, dst netip.Addr, oif uint32) *route6 {
	if t == nil {
		return nil
	}
	for bits := 128; bits >= 0; bits-- {
		if t.lens[bits] == 0 {
			continue
		}
		p, _ := dst.Prefix(bits)
		var best *route6
		for _, r := range t.nodes[key6{dst: p}] {
			if best != nil && r.metric != best.metric {
				break
			}
			if r.hop.flags&unix.RTNH_F_DEAD != 0 || oif != 0 && r.hop.dev.Index != oif {
				continue
			}
			if best == nil || prefScore(r.pref) > prefScore(best.pref) {
				best = r
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// prefScore orders ICMPV6_ROUTER_PREF_*: medium 0, high 1, low 3.
func prefScore(pref uint8) int {
	switch pref {
	case 1:
		return 2
	case 3:
		return 0
	}
	return 1
}

// lookup6 is fib6_lookup.
func (k *Kernel) lookup6(dst netip.Addr, oif uint32) *route6 {
	f := flow{dst: dst, oif: oif}
	for i := 0; i < len(k.rules[v6].rules); i++ {
		r := &k.rules[v6].rules[i]
		if !r.matches(&f) {
			continue
		}
		switch r.Action {
		case frActGoto:
			if j := k.rules[v6].target(r.Goto); j > i {
				i = j - 1
			}
			continue
		case frActNop:
			continue
		case frActBlackhole, frActUnreachable, frActProhibit:
			return nil
		}
		if rt := lookup6(k.fib6.tables[r.Table], dst, oif); rt != nil && rt.typ != unix.RTN_THROW {
			return rt
		}
	}
	return nil
}

// siblings are the routes that make one multipath route with r, and r.
func (r *route6) siblings() []*route6 {
	if r.table == nil || !r.ecmp() {
		return []*route6{r}
	}
	var all []*route6
	for _, o := range r.table.nodes[r.key6] {
		if o == r || o.metric == r.metric && o.ecmp() {
			all = append(all, o)
		}
	}
	return all
}

// info6 is the route, with its siblings rs, as the kernel shows it.
func (k *Kernel) info6(r *route6, rs []*route6) rtnl.Route {
	i := rtnl.Route{
		Family: unix.AF_INET6, Protocol: r.protocol, Type: r.typ, Table: r.tableID, Priority: r.metric, Dst: r.dst, Src: r.src,
		PrefSrc: r.prefSrc, MTU: r.mtu, MTULock: r.mtuLock, Metrics: r.metrics, Pref: r.pref,
	}
	if r.expires > 0 {
		i.Expires = uint32(max(0, r.expires-k.now) / time.Second)
	}
	if len(rs) <= 1 {
		i.Flags, i.Gateway, i.Encap = k.shownFlags6(&r.hop), r.hop.gw, r.hop.encap
		if r.hop.dev != nil {
			i.Oif = r.hop.dev.Index
		}
		return i
	}
	hops := make([]rtnl.Hop, len(rs))
	for n, o := range rs {
		hops[n] = rtnl.Hop{Oif: o.hop.dev.Index, Weight: o.hop.weight, Flags: uint8(k.shownFlags6(&o.hop)), Gateway: o.hop.gw,
			Encap: o.hop.encap}
	}
	i.Multipath = rtnl.AppendHops(hops)
	return i
}

func (k *Kernel) shownFlags6(h *nexthop) uint32 {
	f := uint32(h.flags) & (unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN | unix.RTNH_F_ONLINK)
	if f&unix.RTNH_F_LINKDOWN != 0 && h.dev != nil && k.confInt(v6, h.dev.Name, confIgnoreLinkdown) != 0 {
		f |= unix.RTNH_F_DEAD
	}
	return f
}

func (k *Kernel) routeMessage6(typ, flags uint16, r *route6, rs []*route6) {
	if k.queue.joined(unix.RTNLGRP_IPV6_ROUTE) {
		i := k.info6(r, rs)
		k.notifyRoute(typ, flags, &i)
	}
}

// removeRoute6 is fib6_del.
func (k *Kernel) removeRoute6(r *route6, announce bool) {
	t := r.table
	if t == nil {
		return
	}
	rs := slices.DeleteFunc(slices.Clone(t.nodes[r.key6]), func(o *route6) bool { return o == r })
	t.put(r.key6, rs)
	k.setExpires(r, 0)
	r.table = nil
	if announce {
		k.routeMessage6(unix.RTM_DELROUTE, 0, r, nil)
	}
}

func (k *Kernel) setExpires(r *route6, seconds uint32) {
	was := r.expires > 0
	r.expires = 0
	if seconds > 0 {
		r.expires = k.now + time.Duration(seconds)*time.Second
	}
	if r.table != nil && was != (seconds > 0) {
		if was {
			r.table.timed--
		} else {
			r.table.timed++
		}
	}
}

// walk6 calls f for every route of every table, in the kernel's order; it may
// remove routes.
func (k *Kernel) walk6(f func(r *route6)) {
	for _, id := range k.fib6.ids {
		t := k.fib6.tables[id]
		for _, at := range slices.Clone(t.sorted()) {
			for _, r := range slices.Clone(t.nodes[at]) {
				if r.table != nil {
					f(r)
				}
			}
		}
	}
}

// routeTimers offers the routes that expire. The kernel's garbage collection
// removes them some time after that, ours at once.
func (k *Kernel) routeTimers(consider func(time.Duration, func())) {
	for _, id := range k.fib6.ids {
		if t := k.fib6.tables[id]; t.timed > 0 {
			for _, at := range t.sorted() {
				for _, r := range t.nodes[at] {
					if r.expires > 0 {
						consider(r.expires, func() { k.removeRoute6(r, true) })
					}
				}
			}
		}
	}
}

// syncDown6 is rt6_sync_down_dev (fib6_ifdown).
func (k *Kernel) syncDown6(l *link, ev event) {
	if !k.routesUse6(l) {
		return
	}
	k.walk6(func(r *route6) {
		mine := r.hop.dev == l
		switch {
		case ev == evUnregister:
			if mine {
				k.removeRoute6(r, true)
			}
		case ev == evChange:
			if mine && r.typ != unix.RTN_LOCAL && r.typ != unix.RTN_ANYCAST {
				r.hop.flags |= unix.RTNH_F_LINKDOWN
			}
		case r.flush:
			k.removeRoute6(r, true)
		default:
			k.downRoute6(l, r)
		}
	})
}

func (k *Kernel) downRoute6(l *link, r *route6) {
	rs := r.siblings()
	if len(rs) == 1 {
		if r.hop.dev == l {
			k.removeRoute6(r, true)
		}
		return
	}
	dead, uses := 0, false
	for _, o := range rs {
		uses = uses || o.hop.dev == l
		if o.hop.dev == l || o.hop.flags&unix.RTNH_F_DEAD != 0 {
			dead++
		}
	}
	if !uses {
		return
	}
	if dead == len(rs) {
		for _, o := range rs {
			o.flush = true
		}
		k.removeRoute6(r, true)
		return
	}
	for _, o := range rs {
		if o.hop.dev == l {
			o.hop.flags |= unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN
		}
	}
}

func (k *Kernel) routesUse6(l *link) bool {
	for _, id := range k.fib6.ids {
		for _, rs := range k.fib6.tables[id].nodes {
			for _, r := range rs {
				if r.hop.dev == l {
					return true
				}
			}
		}
	}
	return false
}

// syncUp6 is rt6_sync_up.
func (k *Kernel) syncUp6(l *link, flags uint8) {
	if flags&unix.RTNH_F_DEAD != 0 && l.carrier {
		flags |= unix.RTNH_F_LINKDOWN
	}
	k.walk6(func(r *route6) {
		if r.hop.dev == l {
			r.hop.flags &^= flags
		}
	})
}

// removePrefSrc is rt6_remove_prefsrc: the routes stay, without a word.
func (k *Kernel) removePrefSrc(a netip.Addr, l *link) {
	k.walk6(func(r *route6) {
		if r.prefSrc == a && !k.hasAddr6(a, r.hop.dev, false) {
			r.prefSrc = netip.Addr{}
		}
	})
}
