package sim

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

func (k *Kernel) newRoute4(h rtnl.Header, r *rtnl.Route) *rtnl.Error {
	if e := checkRoute4(r); e != nil {
		return e
	}
	return k.insertRoute4(h.Flags, r)
}

func checkRoute4(r *rtnl.Route) *rtnl.Error {
	if !r.Dst.IsValid() || r.Dst.Bits() > 32 {
		return fail(unix.EINVAL, "Invalid prefix length")
	}
	if r.TOS&3 != 0 {
		return fail(unix.EINVAL, "Invalid dsfield (tos): ECN bits must be 0")
	}
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	return nil
}

// insertRoute4 is fib_table_insert.
func (k *Kernel) insertRoute4(flags uint16, r *rtnl.Route) *rtnl.Error {
	if r.Dst != r.Dst.Masked() {
		return fail(unix.EINVAL, "Invalid prefix for given prefix length")
	}
	t := k.fib4.table(r.Table)
	fi, e := k.newInfo(r)
	if e != nil {
		return e
	}
	as := t.nodes[r.Dst]
	at := slices.IndexFunc(as, func(a alias) bool {
		return a.tos <= r.TOS && (a.fi.priority >= fi.priority || a.tos < r.TOS)
	})
	said := uint16(unix.NLM_F_EXCL)
	n := alias{r.TOS, r.Type, fi}
	if at >= 0 && as[at].tos == r.TOS && as[at].fi.priority == fi.priority {
		if flags&unix.NLM_F_EXCL != 0 {
			k.drop(fi)
			return fail(unix.EEXIST, "")
		}
		said = 0
		match, end := -1, at
		for ; end < len(as) && as[end].tos == r.TOS && as[end].fi.priority == fi.priority; end++ {
			if match < 0 && as[end].typ == r.Type && as[end].fi == fi {
				match = end
			}
		}
		if flags&unix.NLM_F_REPLACE != 0 {
			switch {
			case match == at:
				return nil
			case match > at:
				k.drop(fi)
				return fail(unix.EEXIST, "")
			}
			old := as[at]
			fi.refs++
			as[at] = n
			k.fib4.release(old.fi)
			k.routeMessage4(unix.RTM_NEWROUTE, unix.NLM_F_REPLACE, t, r.Dst, n)
			return nil
		}
		if match >= 0 {
			k.drop(fi)
			return fail(unix.EEXIST, "")
		}
		if flags&unix.NLM_F_APPEND != 0 {
			at, said = end, unix.NLM_F_APPEND
		}
	}
	if flags&unix.NLM_F_CREATE == 0 {
		k.drop(fi)
		return fail(unix.ENOENT, "")
	}
	said |= unix.NLM_F_CREATE
	if at < 0 {
		at = len(as)
	}
	fi.refs++
	t.put(r.Dst, slices.Insert(as, at, n))
	k.routeMessage4(unix.RTM_NEWROUTE, said, t, r.Dst, n)
	return nil
}

// drop forgets an info that no route came to use.
func (k *Kernel) drop(fi *fibInfo) {
	if fi.refs == 0 {
		delete(k.fib4.infos, fi.fibKey)
	}
}

// newInfo is fib_create_info.
func (k *Kernel) newInfo(r *rtnl.Route) (*fibInfo, *rtnl.Error) {
	scope, errno := props(r.Type)
	switch {
	case r.Type > unix.RTN_MAX:
		return nil, fail(unix.EINVAL, "Invalid route type")
	case scope > r.Scope:
		return nil, fail(unix.EINVAL, "Invalid scope")
	case r.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0:
		return nil, fail(unix.EINVAL, "Invalid rtm_flags - can not contain DEAD or LINKDOWN")
	}
	fi := &fibInfo{fibKey: fibKey{
		protocol: r.Protocol, scope: r.Scope, typ: r.Type, flags: r.Flags, table: r.Table, priority: r.Priority,
		prefSrc: r.PrefSrc, mtu: r.MTU, mtuLock: r.MTULock, metrics: r.Metrics,
	}}
	hops, e := requestHops(r)
	if e != nil {
		return nil, e
	}
	fi.hops = hops
	if r.Multipath != "" {
		if r.Oif != 0 && hops[0].oif != r.Oif {
			return nil, fail(unix.EINVAL, "Nexthop device index does not match RTA_OIF")
		}
		if r.Gateway.IsValid() && hops[0].gw != r.Gateway {
			return nil, fail(unix.EINVAL, "Nexthop gateway does not match RTA_GATEWAY or RTA_VIA")
		}
	}
	if errno != 0 {
		if r.Gateway.IsValid() || r.Oif != 0 || r.Multipath != "" {
			return nil, fail(unix.EINVAL, "Gateway, device and multipath can not be specified for this route type")
		}
		return k.fib4.hold(fi), nil
	}
	if r.Type == unix.RTN_UNSPEC {
		return nil, fail(unix.EINVAL, "Invalid route type")
	}
	if r.Scope > unix.RT_SCOPE_HOST {
		return nil, fail(unix.EINVAL, "Invalid scope")
	}
	if r.Scope == unix.RT_SCOPE_HOST {
		e = k.checkHostHop(fi)
	} else {
		e = k.checkHops(fi, r)
	}
	if e != nil {
		return nil, e
	}
	if r.PrefSrc.IsValid() && !k.validSource(r) {
		return nil, fail(unix.EINVAL, "Invalid prefsrc address")
	}
	fi.fibKey.hops = hopsKey(fi.hops)
	return k.fib4.hold(fi), nil
}

// requestHops are the next hops that a request asks for.
func requestHops(r *rtnl.Route) ([]nexthop, *rtnl.Error) {
	if r.Multipath == "" {
		return []nexthop{{oif: r.Oif, gw: r.Gateway, flags: uint8(r.Flags), encap: r.Encap}}, nil
	}
	hs, err := rtnl.Hops(r.Multipath)
	if err != nil || len(hs) == 0 {
		return nil, fail(unix.EINVAL, "Invalid nexthop configuration - no nexthops")
	}
	hops := make([]nexthop, len(hs))
	for i, h := range hs {
		if h.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 {
			return nil, fail(unix.EINVAL, "Invalid flags for nexthop - can not contain DEAD or LINKDOWN")
		}
		hops[i] = nexthop{oif: h.Oif, gw: h.Gateway, weight: h.Weight, flags: uint8(r.Flags) | h.Flags, encap: h.Encap}
	}
	return hops, nil
}

// hopsKey is what fib_find_info compares of next hops, in canonical form.
func hopsKey(hops []nexthop) string {
	hs := make([]rtnl.Hop, len(hops))
	for i, h := range hops {
		hs[i] = rtnl.Hop{Oif: h.oif, Weight: h.weight, Gateway: h.gw, Encap: string([]byte{h.scope}) + h.encap,
			Flags: h.flags &^ (unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN)}
	}
	return rtnl.AppendHops(hs)
}

func (k *Kernel) checkHostHop(fi *fibInfo) *rtnl.Error {
	if len(fi.hops) != 1 {
		return fail(unix.EINVAL, "Route with host scope can not have multiple nexthops")
	}
	h := &fi.hops[0]
	if h.gw.IsValid() {
		return fail(unix.EINVAL, "Route with host scope can not have a gateway")
	}
	h.scope = unix.RT_SCOPE_NOWHERE
	if h.dev = k.links[h.oif]; h.dev == nil {
		return fail(unix.ENODEV, "")
	}
	return nil
}

func (k *Kernel) checkHops(fi *fibInfo, r *rtnl.Route) *rtnl.Error {
	down := 0
	for i := range fi.hops {
		h := &fi.hops[i]
		var e *rtnl.Error
		switch {
		case !h.gw.IsValid():
			e = k.checkDevHop(h)
		case h.gw.Is4():
			e = k.checkGateway(h, r.Table, r.Scope)
		default:
			e = k.checkGateway6(h, r.Table)
		}
		if e != nil {
			return e
		}
		if h.flags&unix.RTNH_F_LINKDOWN != 0 {
			down++
		}
	}
	if down == len(fi.hops) {
		fi.flags |= unix.RTNH_F_LINKDOWN
	}
	return nil
}

// checkDevHop is fib_check_nh_nongw.
func (k *Kernel) checkDevHop(h *nexthop) *rtnl.Error {
	if h.flags&(unix.RTNH_F_PERVASIVE|unix.RTNH_F_ONLINK) != 0 {
		return fail(unix.EINVAL, "Invalid flags for nexthop - PERVASIVE and ONLINK can not be set")
	}
	l := k.links[h.oif]
	if l == nil || l.in4 == nil {
		return fail(unix.ENODEV, "")
	}
	if !l.up() {
		return fail(unix.ENETDOWN, "Device for nexthop is not up")
	}
	h.dev, h.scope = l, unix.RT_SCOPE_HOST
	if !l.carrier {
		h.flags |= unix.RTNH_F_LINKDOWN
	}
	return nil
}

// checkGateway is fib_check_nh_v4_gw.
func (k *Kernel) checkGateway(h *nexthop, table uint32, scope uint8) *rtnl.Error {
	const invalid = "Nexthop has invalid gateway"
	if h.flags&unix.RTNH_F_ONLINK != 0 {
		return k.checkOnlink(h, scope)
	}
	f := flow{dst: h.gw, oif: h.oif, scope: max(scope+1, unix.RT_SCOPE_LINK)}
	var a answer4
	errno := unix.EAGAIN
	if t := k.fib4.tables[table]; table != unix.RT_TABLE_MAIN && t != nil {
		a, errno = lookup4(&f, t)
	}
	if errno != 0 {
		if a, errno = k.lookup4(&f); errno != 0 {
			return fail(errno, invalid)
		}
	}
	if a.typ != unix.RTN_UNICAST && a.typ != unix.RTN_LOCAL {
		return fail(unix.EINVAL, invalid)
	}
	h.scope = a.scope
	if a.hop.dev == nil {
		return fail(unix.EINVAL, "No egress device for nexthop gateway")
	}
	h.dev, h.oif = a.hop.dev, a.hop.dev.Index
	if !h.dev.carrier {
		h.flags |= unix.RTNH_F_LINKDOWN
	}
	if !h.dev.up() {
		return fail(unix.ENETDOWN, "")
	}
	return nil
}

func (k *Kernel) checkOnlink(h *nexthop, scope uint8) *rtnl.Error {
	if scope >= unix.RT_SCOPE_LINK {
		return fail(unix.EINVAL, "Nexthop has invalid scope")
	}
	l := k.links[h.oif]
	if l == nil {
		return fail(unix.ENODEV, "Nexthop device required for onlink")
	}
	if !l.up() {
		return fail(unix.ENETDOWN, "Nexthop device is not up")
	}
	if k.addrType(h.gw, unix.RT_TABLE_LOCAL) != unix.RTN_UNICAST {
		return fail(unix.EINVAL, "Nexthop has invalid gateway")
	}
	h.dev, h.scope = l, unix.RT_SCOPE_LINK
	if !l.carrier {
		h.flags |= unix.RTNH_F_LINKDOWN
	}
	return nil
}

// checkGateway6 is fib_check_nh_v6_gw: an IPv4 route through an IPv6 router.
func (k *Kernel) checkGateway6(h *nexthop, table uint32) *rtnl.Error {
	n, e := k.nexthop6(&config6{gateway: h.gw, oif: h.oif, table: table, onlink: h.flags&unix.RTNH_F_ONLINK != 0})
	if e != nil {
		return e
	}
	h.dev, h.oif, h.scope = n.dev, n.dev.Index, unix.RT_SCOPE_LINK
	return nil
}

// validSource is fib_valid_prefsrc.
func (k *Kernel) validSource(r *rtnl.Route) bool {
	if r.Type == unix.RTN_LOCAL && r.Dst.Addr() == r.PrefSrc && num4(r.PrefSrc) != 0 {
		return true
	}
	table := r.Table
	if table == unix.RT_TABLE_MAIN {
		table = unix.RT_TABLE_LOCAL
	}
	return k.addrType(r.PrefSrc, table) == unix.RTN_LOCAL ||
		table != unix.RT_TABLE_LOCAL && k.addrType(r.PrefSrc, unix.RT_TABLE_LOCAL) == unix.RTN_LOCAL
}

func (k *Kernel) delRoute4(r *rtnl.Route) *rtnl.Error {
	if e := checkRoute4(r); e != nil {
		return e
	}
	if k.fib4.tables[r.Table] == nil {
		return fail(unix.ESRCH, "FIB table does not exist")
	}
	return k.deleteRoute4(r)
}

// deleteRoute4 is fib_table_delete.
func (k *Kernel) deleteRoute4(r *rtnl.Route) *rtnl.Error {
	t := k.fib4.tables[r.Table]
	if t == nil {
		return fail(unix.ESRCH, "")
	}
	if r.Dst != r.Dst.Masked() {
		return fail(unix.EINVAL, "Invalid prefix for given prefix length")
	}
	as := t.nodes[r.Dst]
	for i, a := range as {
		if a.tos == r.TOS && (r.Type == 0 || a.typ == r.Type) && (r.Scope == unix.RT_SCOPE_NOWHERE || a.fi.scope == r.Scope) &&
			(!r.PrefSrc.IsValid() || a.fi.prefSrc == r.PrefSrc) && (r.Protocol == 0 || a.fi.protocol == r.Protocol) &&
			a.fi.matches(r) {
			k.routeMessage4(unix.RTM_DELROUTE, 0, t, r.Dst, a)
			t.put(r.Dst, slices.Delete(slices.Clone(as), i, i+1))
			k.fib4.release(a.fi)
			return nil
		}
	}
	return fail(unix.ESRCH, "")
}

// matches is fib_nh_match and fib_metrics_match.
func (fi *fibInfo) matches(r *rtnl.Route) bool {
	if r.Priority != 0 && r.Priority != fi.priority {
		return false
	}
	if r.MTU != 0 && r.MTU != fi.mtu {
		return false
	}
	if r.Oif != 0 || r.Gateway.IsValid() {
		h := &fi.hops[0]
		return (r.Oif == 0 || r.Oif == h.oif) && (!r.Gateway.IsValid() || r.Gateway == h.gw) && (r.Encap == "" || r.Encap == h.encap)
	}
	if r.Multipath == "" {
		return true
	}
	hs, err := rtnl.Hops(r.Multipath)
	if err != nil || len(hs) > len(fi.hops) {
		return false
	}
	for i, h := range hs {
		have := &fi.hops[i]
		if h.Oif != 0 && h.Oif != have.oif || h.Gateway.IsValid() && h.Gateway != have.gw || h.Weight != have.weight {
			return false
		}
	}
	return true
}

// magic is fib_magic: a route that the kernel makes for an address.
func (k *Kernel) magic(add bool, typ uint8, dst uint32, bits uint8, a *ifa4, priority uint32) {
	r := rtnl.Route{
		Family: unix.AF_INET, Protocol: unix.RTPROT_KERNEL, Type: typ, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_LINK,
		Dst: netip.PrefixFrom(addr4(dst), int(bits)), PrefSrc: addr4(a.local), Oif: a.link.Index, Priority: priority,
	}
	if typ == unix.RTN_UNICAST {
		r.Table = unix.RT_TABLE_MAIN
	}
	if typ == unix.RTN_LOCAL {
		r.Scope = unix.RT_SCOPE_HOST
	}
	if add {
		k.insertRoute4(unix.NLM_F_CREATE|unix.NLM_F_APPEND, &r)
	} else {
		k.deleteRoute4(&r)
	}
}
