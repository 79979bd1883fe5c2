package sim

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// config6 is what struct fib6_config says of a next hop.
type config6 struct {
	dst        netip.Addr
	gateway    netip.Addr
	oif        uint32
	table      uint32
	onlink     bool
	reject     bool
	local      bool // RTF_LOCAL or RTF_ANYCAST
	ignoreDown bool
}

func isReject(typ uint8) bool {
	switch typ {
	case unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return true
	}
	return false
}

// nexthop6 is fib6_nh_init.
func (k *Kernel) nexthop6(c *config6) (nexthop, *rtnl.Error) {
	h := nexthop{gw: c.gateway}
	var dev *link
	if c.oif != 0 {
		if dev = k.links[c.oif]; dev == nil || dev.in6 == nil {
			return h, fail(unix.ENODEV, "")
		}
	}
	if c.onlink {
		if dev == nil {
			return h, fail(unix.ENODEV, "Nexthop device required for onlink")
		}
		if !dev.up() {
			return h, fail(unix.ENETDOWN, "Nexthop device is not up")
		}
		h.flags |= unix.RTNH_F_ONLINK
	}
	if c.reject {
		if k.lo.in6 == nil {
			return h, fail(unix.ENODEV, "")
		}
		h.gw, h.dev, h.oif = netip.Addr{}, k.lo, k.lo.Index
		return h, nil
	}
	if c.gateway.IsValid() {
		var e *rtnl.Error
		if dev, e = k.validGateway6(c, dev); e != nil {
			return h, e
		}
	}
	switch {
	case dev == nil:
		return h, fail(unix.ENODEV, "")
	case dev.in6 == nil || k.confInt(v6, dev.Name, confDisableIPv6) != 0:
		return h, fail(unix.EACCES, "IPv6 is disabled on nexthop device")
	case !dev.up() && !c.ignoreDown:
		return h, fail(unix.ENETDOWN, "Nexthop device is not up")
	}
	if !c.local && !dev.carrier {
		h.flags |= unix.RTNH_F_LINKDOWN
	}
	h.dev, h.oif = dev, dev.Index
	return h, nil
}

// validGateway6 is ip6_validate_gw.
func (k *Kernel) validGateway6(c *config6, dev *link) (*link, *rtnl.Error) {
	const own = "Gateway can not be a local address"
	ll := linkUni.Contains(c.gateway)
	ours := func(dev *link) bool {
		if !ll {
			dev = nil
		}
		return k.hasAddr6(c.gateway, dev, true)
	}
	given := dev != nil
	if given && ours(dev) {
		return nil, fail(unix.EINVAL, own)
	}
	if !ll {
		if c.gateway == any6 || c.gateway.IsMulticast() || c.gateway == netip.IPv6Loopback() {
			return nil, fail(unix.EINVAL, "Invalid gateway address")
		}
		var e *rtnl.Error
		if c.onlink {
			e = k.checkOnlink6(c, dev)
		} else {
			dev, e = k.reach6(c, dev)
		}
		if e != nil {
			return nil, e
		}
	}
	switch {
	case dev == nil:
		return nil, fail(unix.EINVAL, "Egress device not specified")
	case dev.isLoop():
		return nil, fail(unix.EINVAL, "Egress device can not be loopback device for this route")
	case !given && ours(dev):
		return nil, fail(unix.EINVAL, own)
	}
	return dev, nil
}

// reach6 is ip6_route_check_nh.
func (k *Kernel) reach6(c *config6, dev *link) (*link, *rtnl.Error) {
	oif := uint32(0)
	if dev != nil {
		oif = dev.Index
	}
	good := func(r *route6) bool {
		return r != nil && !r.reject && !r.hop.gw.IsValid() && (dev == nil || dev == r.hop.dev)
	}
	var r *route6
	if c.table != 0 {
		r = lookup6(k.fib6.tables[c.table], c.gateway, oif)
	}
	if !good(r) {
		if r = k.lookup6(c.gateway, oif); !good(r) {
			return nil, fail(unix.EHOSTUNREACH, "")
		}
	}
	return r.hop.dev, nil
}

// checkOnlink6 is ip6_route_check_nh_onlink.
func (k *Kernel) checkOnlink6(c *config6, dev *link) *rtnl.Error {
	table := c.table
	if table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	r := lookup6(k.fib6.tables[table], c.gateway, 0)
	if r != nil && !r.reject && r.dst.Bits() != 0 && (r.typ != unix.RTN_UNICAST || dev != r.hop.dev) {
		return fail(unix.EINVAL, "Nexthop has invalid gateway or device mismatch")
	}
	return nil
}

// hostRoute is addrconf_f6i_alloc: the route of an address of ours.
func (k *Kernel) hostRoute(l *link, a netip.Addr, typ uint8) *route6 {
	return &route6{
		key6: key6{dst: netip.PrefixFrom(a, 128)}, tableID: unix.RT_TABLE_LOCAL, protocol: unix.RTPROT_KERNEL, typ: typ,
		metric: 0, hop: nexthop{dev: l, oif: l.Index},
	}
}

func (k *Kernel) addMulticastRoute(l *link) {
	if l.isLoop() {
		return
	}
	k.addKernelRoute6(l, multicast, unix.RT_TABLE_LOCAL, unix.RTN_MULTICAST, metricAddrconf, 0)
}

// addPrefixRoute6 is addrconf_prefix_route.
func (k *Kernel) addPrefixRoute6(a *ifa6, p netip.Prefix, metric, expires uint32) {
	if metric == 0 {
		metric = metricAddrconf
	}
	k.addKernelRoute6(a.link, p, unix.RT_TABLE_MAIN, unix.RTN_UNICAST, metric, expires)
}

func (k *Kernel) addKernelRoute6(l *link, p netip.Prefix, table uint32, typ uint8, metric, expires uint32) {
	c := config6{dst: p.Addr(), oif: l.Index, table: table}
	h, e := k.nexthop6(&c)
	if e != nil {
		return
	}
	r := &route6{key6: key6{dst: p}, tableID: table, protocol: unix.RTPROT_KERNEL, typ: typ, metric: metric, hop: h}
	r.reject = l.isLoop()
	k.insertTimed6(0, r, true, expires)
}

func (k *Kernel) insertTimed6(flags uint16, r *route6, kernel bool, expires uint32) *rtnl.Error {
	if r.reject {
		expires = 0
	}
	if expires > 0 {
		r.expires = 1 // marks it for the comparison with what is there
		k.setExpires(r, expires)
	}
	e := k.insertRoute6(flags, r, kernel)
	if e == nil && expires > 0 {
		r.table.timed++
	}
	return e
}

// findPrefixRoute is addrconf_get_prefix_route.
func (k *Kernel) findPrefixRoute(l *link, p netip.Prefix, noGateway bool) *route6 {
	t := k.fib6.tables[unix.RT_TABLE_MAIN]
	for _, r := range t.nodes[key6{dst: p}] {
		if r.hop.dev == l && (!noGateway || !r.hop.gw.IsValid()) {
			return r
		}
	}
	return nil
}

func (k *Kernel) cleanupPrefixRoute(a *ifa6, p netip.Prefix) {
	if r := k.findPrefixRoute(a.link, p, true); r != nil {
		k.removeRoute6(r, true)
	}
}

// newRoute6 is inet6_rtm_newroute.
func (k *Kernel) newRoute6(h rtnl.Header, r *rtnl.Route) *rtnl.Error {
	if e := checkRoute6(r); e != nil {
		return e
	}
	if r.Priority == 0 {
		r.Priority = metricUser
	}
	if r.Multipath == "" {
		n, e := k.makeRoute6(r, r.Gateway, r.Oif, 0, uint8(r.Flags), r.Encap)
		if e != nil {
			return e
		}
		return k.insertTimed6(h.Flags, n, false, r.Expires)
	}
	return k.newMultipath6(h, r)
}

func checkRoute6(r *rtnl.Route) *rtnl.Error {
	if !r.Dst.IsValid() || r.Dst.Bits() > 128 {
		return fail(unix.EINVAL, "Invalid prefix length")
	}
	if r.TOS != 0 {
		return fail(unix.EINVAL, "Invalid dsfield (tos): option not available for IPv6")
	}
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	if r.Gateway.Is4() {
		return fail(unix.EINVAL, "IPv6 does not support RTA_VIA attribute")
	}
	return nil
}

// makeRoute6 is ip6_route_info_create.
func (k *Kernel) makeRoute6(r *rtnl.Route, gw netip.Addr, oif uint32, weight, flags uint8, encap string) (*route6, *rtnl.Error) {
	k.fib6.table(r.Table)
	c := config6{dst: r.Dst.Addr(), gateway: gw, oif: oif, table: r.Table, onlink: flags&unix.RTNH_F_ONLINK != 0,
		reject: isReject(r.Type), local: r.Type == unix.RTN_LOCAL || r.Type == unix.RTN_ANYCAST}
	h, e := k.nexthop6(&c)
	if e != nil {
		return nil, e
	}
	h.weight, h.encap = weight, encap
	n := &route6{
		key6: key6{dst: r.Dst.Masked()}, tableID: r.Table, protocol: r.Protocol, typ: r.Type, metric: r.Priority, pref: r.Pref,
		mtu: r.MTU, mtuLock: r.MTULock, metrics: r.Metrics, hop: h,
	}
	if r.Src.IsValid() && r.Src.Bits() > 0 {
		n.src = r.Src.Masked()
	}
	n.reject = c.reject || h.dev.isLoop() && c.dst != netip.IPv6Loopback() && !c.local
	if n.typ == unix.RTN_UNSPEC {
		n.typ = unix.RTN_UNICAST
	}
	if r.PrefSrc.IsValid() && r.PrefSrc != any6 {
		if !k.hasAddr6(r.PrefSrc, h.dev, false) {
			return nil, fail(unix.EINVAL, "Invalid source address")
		}
		n.prefSrc = r.PrefSrc
	}
	return n, nil
}

// insertRoute6 is fib6_add. A kernel route comes without a request.
func (k *Kernel) insertRoute6(flags uint16, n *route6, kernel bool) *rtnl.Error {
	said, e := k.placeRoute6(flags, n, kernel)
	if e == nil {
		k.routeMessage6(unix.RTM_NEWROUTE, said, n, n.siblings())
	}
	return e
}

// placeRoute6 is fib6_add_rt2node: it puts the route where it belongs and
// tells the flags of the notification.
func (k *Kernel) placeRoute6(flags uint16, n *route6, kernel bool) (said uint16, e *rtnl.Error) {
	t := k.fib6.table(n.tableID)
	rs := t.nodes[n.key6]
	replace := flags&unix.NLM_F_REPLACE != 0
	create := kernel || flags&unix.NLM_F_CREATE != 0
	if len(rs) == 0 && replace && !create && n.dst.Bits() > 0 {
		return 0, fail(unix.ENOENT, "Can not replace route - no match found")
	}
	said = unix.NLM_F_EXCL | flags&unix.NLM_F_APPEND
	at, found, fallback := 0, -1, -1
	for ; at < len(rs); at++ {
		o := rs[at]
		if o.metric == n.metric {
			if flags&unix.NLM_F_EXCL != 0 {
				return 0, fail(unix.EEXIST, "")
			}
			said &^= unix.NLM_F_EXCL
			if replace {
				if n.ecmp() == o.ecmp() {
					found = at
					break
				}
				if fallback < 0 {
					fallback = at
				}
				continue
			}
			if o.hop.dev == n.hop.dev && o.hop.gw == n.hop.gw && o.hop.encap == n.hop.encap {
				k.refresh6(o, n)
				return 0, fail(unix.EEXIST, "")
			}
		}
		if o.metric > n.metric {
			break
		}
	}
	if found < 0 {
		found = fallback
	}
	if replace && found >= 0 {
		k.replaceRoute6(t, n, rs, found)
		return unix.NLM_F_REPLACE, nil
	}
	if replace && !create {
		return 0, fail(unix.ENOENT, "")
	}
	n.table = t
	t.put(n.key6, slices.Insert(slices.Clone(rs), at, n))
	return said | unix.NLM_F_CREATE, nil
}

// refresh6 is what a duplicate does to the route that is there.
func (k *Kernel) refresh6(o, n *route6) {
	if o.expires == 0 {
		return
	}
	if n.expires == 0 {
		k.setExpires(o, 0)
		return
	}
	o.expires = n.expires
}

// replaceRoute6 puts n in the place of rs[at]; siblings of the old go too.
func (k *Kernel) replaceRoute6(t *table6, n *route6, rs []*route6, at int) {
	old := rs[at]
	gone := old.siblings()
	rs = slices.Clone(rs)
	rs[at] = n
	rs = slices.DeleteFunc(rs, func(o *route6) bool { return o != old && slices.Contains(gone, o) })
	n.table = t
	t.put(n.key6, rs)
	for _, o := range gone {
		k.setExpires(o, 0)
		o.table = nil
	}
}

// newMultipath6 is ip6_route_multipath_add.
func (k *Kernel) newMultipath6(h rtnl.Header, r *rtnl.Route) *rtnl.Error {
	hops, err := rtnl.Hops(r.Multipath)
	if err != nil || len(hops) == 0 {
		return fail(unix.EINVAL, "Invalid nexthop configuration - no valid nexthops")
	}
	var ns []*route6
	for _, hop := range hops {
		gw, flags := hop.Gateway, uint8(r.Flags)|hop.Flags
		if gw.Is4() {
			return fail(unix.EINVAL, "")
		}
		oif := hop.Oif
		if oif == 0 {
			oif = r.Oif
		}
		n, e := k.makeRoute6(r, gw, oif, hop.Weight, flags, hop.Encap)
		if e != nil {
			return e
		}
		if !n.ecmp() {
			return fail(unix.EINVAL, "Device only routes can not be added for IPv6 using the multipath API.")
		}
		if slices.ContainsFunc(ns, func(o *route6) bool { return o.hop.dev == n.hop.dev && o.hop.gw == n.hop.gw }) {
			return fail(unix.EEXIST, "")
		}
		ns = append(ns, n)
	}
	flags := h.Flags
	var done []*route6
	for _, n := range ns {
		if _, e := k.placeRoute6(flags, n, false); e != nil {
			k.undo6(done)
			return e
		}
		done = append(done, n)
		flags &^= unix.NLM_F_EXCL | unix.NLM_F_REPLACE
		flags |= unix.NLM_F_CREATE
	}
	said := uint16(unix.NLM_F_CREATE)
	if h.Flags&unix.NLM_F_REPLACE != 0 {
		said = unix.NLM_F_REPLACE
	}
	said |= h.Flags & unix.NLM_F_APPEND
	k.routeMessage6(unix.RTM_NEWROUTE, said, ns[0], ns[0].siblings())
	return nil
}

func (k *Kernel) undo6(done []*route6) {
	if len(done) > 0 {
		k.routeMessage6(unix.RTM_NEWROUTE, 0, done[len(done)-1], done[len(done)-1].siblings())
	}
	for _, n := range done {
		k.removeRoute6(n, true)
	}
}

// delRoute6 is inet6_rtm_delroute.
func (k *Kernel) delRoute6(r *rtnl.Route) *rtnl.Error {
	if e := checkRoute6(r); e != nil {
		return e
	}
	if r.Multipath == "" {
		return k.deleteRoute6(r, r.Gateway, r.Oif, true)
	}
	hops, err := rtnl.Hops(r.Multipath)
	if err != nil || len(hops) == 0 {
		return fail(unix.EINVAL, "")
	}
	var last *rtnl.Error
	for _, h := range hops {
		if e := k.deleteRoute6(r, h.Gateway, h.Oif, false); e != nil {
			last = e
		}
	}
	return last
}

// deleteRoute6 is ip6_route_del.
func (k *Kernel) deleteRoute6(r *rtnl.Route, gw netip.Addr, oif uint32, all bool) *rtnl.Error {
	t := k.fib6.tables[r.Table]
	if t == nil {
		return fail(unix.ESRCH, "FIB table does not exist")
	}
	at := key6{dst: r.Dst.Masked()}
	if r.Src.IsValid() && r.Src.Bits() > 0 {
		at.src = r.Src.Masked()
	}
	for _, o := range t.nodes[at] {
		if oif != 0 && o.hop.dev.Index != oif || gw.IsValid() && o.hop.gw != gw || r.Priority != 0 && o.metric != r.Priority ||
			r.Protocol != 0 && o.protocol != r.Protocol {
			continue
		}
		rs := o.siblings()
		if gw.IsValid() || len(rs) == 1 || !all {
			k.removeRoute6(o, true)
			return nil
		}
		k.routeMessage6(unix.RTM_DELROUTE, 0, o, rs)
		for _, s := range rs {
			k.removeRoute6(s, false)
		}
		return nil
	}
	return fail(unix.ESRCH, "")
}
