package sim

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// IFAPROT_* (linux/if_addr.h) and the flag that the package unix lacks.
const (
	protoKernelLo = 1
	protoKernelLL = 3
)

// genMode is IFLA_INET6_ADDR_GEN_MODE.
const (
	genEUI64  = 0
	genNone   = 1
	genStable = 2
	genRandom = 3
)

// dadState is the state of struct inet6_ifaddr.
type dadState uint8

const (
	preDAD dadState = iota
	inDAD
	postDAD
	deadAddr
)

// inet6 is struct inet6_dev: the IPv6 side of a link.
type inet6 struct {
	k       *Kernel
	link    *link
	addrs   []*ifa6
	anycast []anycast
	ready   bool // IF_READY
	dead    bool
}

type anycast struct {
	addr  netip.Addr
	users int
	rt    *route6
}

// ifa6 is struct inet6_ifaddr.
type ifa6 struct {
	rtnl.Addr
	link   *link
	set    time.Duration // when the lifetimes were given
	state  dadState
	queued bool // address work is due
	kicked bool // probing; next at dadAt
	dadAt  time.Duration
	probes int64
	rt     *route6 // the host route
}

func (a *ifa6) has(flag uint32) bool { return a.Flags&flag != 0 }

func (a *ifa6) prefix() netip.Prefix {
	return netip.PrefixFrom(a.Local, int(a.PrefixLen)).Masked()
}

func (in *inet6) genMode() uint8 { return uint8(in.k.confInt(v6, in.link.Name, confAddrGenMode)) }

var (
	any6      = netip.IPv6Unspecified()
	multicast = netip.MustParsePrefix("ff00::/8")
	linkLocal = netip.MustParsePrefix("fe80::/64")
	linkUni   = netip.MustParsePrefix("fe80::/10")
	siteUni   = netip.MustParsePrefix("fec0::/10")
)

// scope6 is the scope of an address as RT_SCOPE_*.
func scope6(a netip.Addr) uint8 {
	switch {
	case a == netip.IPv6Loopback():
		return unix.RT_SCOPE_HOST
	case linkUni.Contains(a):
		return unix.RT_SCOPE_LINK
	case siteUni.Contains(a):
		return unix.RT_SCOPE_SITE
	}
	return unix.RT_SCOPE_UNIVERSE
}

// width orders scopes as IPV6_ADDR_SCOPE_* does.
func width(scope uint8) int {
	switch scope {
	case unix.RT_SCOPE_HOST, unix.RT_SCOPE_LINK:
		return 2
	case unix.RT_SCOPE_SITE:
		return 5
	}
	return 14
}

// newAddr6 is inet6_rtm_newaddr.
func (k *Kernel) newAddr6(h rtnl.Header, a *rtnl.Addr) *rtnl.Error {
	const settable = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE |
		unix.IFA_F_MCAUTOJOIN | unix.IFA_F_OPTIMISTIC
	l := k.links[a.Index]
	switch {
	case !a.Local.IsValid():
		return fail(unix.EINVAL, "")
	case a.Valid == 0 || a.Preferred > a.Valid:
		return fail(unix.EINVAL, "ipv6: address lifetime invalid")
	case l == nil:
		return fail(unix.ENODEV, "ipv6: Unable to find the interface")
	}
	if l.in6 == nil {
		return fail(unix.EINVAL, "")
	}
	flags := a.Flags & settable
	if k.confInt(v6, "all", confOptimisticDAD) == 0 && k.confInt(v6, l.Name, confOptimisticDAD) == 0 {
		flags &^= unix.IFA_F_OPTIMISTIC
	}
	if flags&unix.IFA_F_NODAD != 0 && flags&unix.IFA_F_OPTIMISTIC != 0 {
		return fail(unix.EINVAL, "ipv6: address with \"optimistic\" flag must not have \"nodad\" flag")
	}
	old := k.findAddr6(l, a.Local)
	if old == nil {
		n := *a
		n.Flags = flags
		return k.addAddr6(l, &n)
	}
	if h.Flags&unix.NLM_F_EXCL != 0 || h.Flags&unix.NLM_F_REPLACE == 0 {
		return fail(unix.EEXIST, "ipv6: address already assigned")
	}
	return k.modifyAddr6(old, a, flags)
}

func (k *Kernel) findAddr6(l *link, a netip.Addr) *ifa6 {
	if l.in6 == nil {
		return nil
	}
	for _, o := range l.in6.addrs {
		if o.Local == a {
			return o
		}
	}
	return nil
}

// addAddr6 is inet6_addr_add.
func (k *Kernel) addAddr6(l *link, a *rtnl.Addr) *rtnl.Error {
	if a.PrefixLen > 128 {
		return fail(unix.EINVAL, "ipv6: Invalid prefix length")
	}
	if a.Flags&unix.IFA_F_MANAGETEMPADDR != 0 && a.PrefixLen != 64 {
		return fail(unix.EINVAL, "ipv6: address with \"mngtmpaddr\" flag must have a prefix length of 64")
	}
	if k.confInt(v6, l.Name, confDisableIPv6) != 0 && !l.isLoop() {
		return fail(unix.EACCES, "ipv6: IPv6 is disabled on this device")
	}
	k.addMulticastRoute(l)
	n := &ifa6{Addr: *a, link: l}
	n.Scope = scope6(a.Local)
	k.setLifetime6(n, a.Valid, a.Preferred)
	if e := k.insertAddr6(n); e != nil {
		return e
	}
	if !n.has(unix.IFA_F_NOPREFIXROUTE) {
		k.addPrefixRoute6(n, n.prefix(), n.Priority, k.prefixExpires(n))
	}
	if !n.has(unix.IFA_F_OPTIMISTIC | unix.IFA_F_NODAD) {
		k.addrMessage6(unix.RTM_NEWADDR, n)
	}
	k.dadStart(n)
	return nil
}

// prefixExpires is the lifetime of the prefix route of an address, 0 for ever.
func (k *Kernel) prefixExpires(a *ifa6) uint32 {
	if a.has(unix.IFA_F_PERMANENT) {
		return 0
	}
	return a.Valid
}

func (k *Kernel) setLifetime6(a *ifa6, valid, preferred uint32) {
	a.Flags &^= unix.IFA_F_PERMANENT | unix.IFA_F_DEPRECATED
	a.Valid, a.Preferred, a.set = valid, preferred, k.now
	if valid == rtnl.LifetimeForever {
		a.Flags |= unix.IFA_F_PERMANENT
	}
	if preferred == 0 {
		a.Flags |= unix.IFA_F_DEPRECATED
	}
}

// insertAddr6 is ipv6_add_addr.
func (k *Kernel) insertAddr6(n *ifa6) *rtnl.Error {
	l := n.link
	switch {
	case k.confInt(v6, l.Name, confDisableIPv6) != 0:
		return fail(unix.EACCES, "ipv6: IPv6 is disabled on this device")
	case n.Local == any6:
		return fail(unix.EADDRNOTAVAIL, "ipv6: Invalid address")
	case n.Local.IsMulticast() && !n.has(unix.IFA_F_MCAUTOJOIN):
		return fail(unix.EADDRNOTAVAIL, "ipv6: Cannot assign multicast address without \"IFA_F_MCAUTOJOIN\" flag")
	case n.Local == netip.IPv6Loopback() && !l.isLoop():
		return fail(unix.EADDRNOTAVAIL, "ipv6: Cannot assign loopback address on this device")
	case k.findAddr6(l, n.Local) != nil:
		return fail(unix.EEXIST, "ipv6: address already assigned")
	}
	if !n.has(unix.IFA_F_NODAD) {
		n.Flags |= unix.IFA_F_TENTATIVE
	}
	n.rt = k.hostRoute(l, n.Local, unix.RTN_LOCAL)
	at := slices.IndexFunc(l.in6.addrs, func(o *ifa6) bool { return width(n.Scope) >= width(o.Scope) })
	if at < 0 {
		at = len(l.in6.addrs)
	}
	l.in6.addrs = slices.Insert(l.in6.addrs, at, n)
	return nil
}

// modifyAddr6 is inet6_addr_modify.
func (k *Kernel) modifyAddr6(o *ifa6, a *rtnl.Addr, flags uint32) *rtnl.Error {
	const given = unix.IFA_F_DEPRECATED | unix.IFA_F_PERMANENT | unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS |
		unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE
	if flags&unix.IFA_F_MANAGETEMPADDR != 0 && (o.has(unix.IFA_F_TEMPORARY) || o.PrefixLen != 64) {
		return fail(unix.EINVAL, "")
	}
	had := o.has(unix.IFA_F_PERMANENT) && !o.has(unix.IFA_F_NOPREFIXROUTE)
	o.Flags = o.Flags&^given | flags
	k.setLifetime6(o, a.Valid, a.Preferred)
	if a.Priority != 0 && a.Priority != o.Priority {
		o.Priority = a.Priority
	}
	if a.Peer.IsValid() && a.Peer != o.Peer {
		if had && o.Peer.IsValid() {
			k.cleanupPrefixRoute(o, o.peerPrefix())
		}
		o.Peer = a.Peer
	}
	o.Protocol = a.Protocol
	if !o.has(unix.IFA_F_TENTATIVE) {
		k.addrMessage6(unix.RTM_NEWADDR, o)
	}
	switch {
	case !o.has(unix.IFA_F_NOPREFIXROUTE):
		k.modifyPrefixRoutes(o, had)
	case had && k.prefixUnused(o):
		k.cleanupPrefixRoute(o, o.prefix())
		if o.Peer.IsValid() {
			k.cleanupPrefixRoute(o, o.peerPrefix())
		}
	}
	return nil
}

func (a *ifa6) peerPrefix() netip.Prefix {
	return netip.PrefixFrom(a.Peer, int(a.PrefixLen)).Masked()
}

func (k *Kernel) modifyPrefixRoutes(o *ifa6, had bool) {
	found := had && k.modifyPrefixRoute(o, o.prefix())
	if !found {
		k.addPrefixRoute6(o, o.prefix(), o.Priority, k.prefixExpires(o))
	}
	if !o.Peer.IsValid() {
		return
	}
	if had {
		found = k.modifyPrefixRoute(o, o.peerPrefix())
	}
	if !found {
		k.addPrefixRoute6(o, o.peerPrefix(), o.Priority, k.prefixExpires(o))
	}
}

// modifyPrefixRoute is modify_prefix_route; false if there is none.
func (k *Kernel) modifyPrefixRoute(o *ifa6, p netip.Prefix) bool {
	rt := k.findPrefixRoute(o.link, p, true)
	if rt == nil {
		return false
	}
	metric := o.Priority
	if metric == 0 {
		metric = metricAddrconf
	}
	if rt.metric != metric {
		k.removeRoute6(rt, true)
		k.addPrefixRoute6(o, p, o.Priority, k.prefixExpires(o))
		return true
	}
	if !rt.reject {
		k.setExpires(rt, k.prefixExpires(o))
	}
	return true
}

// delAddr6 is inet6_addr_del.
func (k *Kernel) delAddr6(a *rtnl.Addr) *rtnl.Error {
	l := k.links[a.Index]
	switch {
	case !a.Local.IsValid():
		return fail(unix.EINVAL, "")
	case a.PrefixLen > 128:
		return fail(unix.EINVAL, "ipv6: Invalid prefix length")
	case l == nil:
		return fail(unix.ENODEV, "ipv6: Unable to find the interface")
	case l.in6 == nil:
		return fail(unix.ENXIO, "ipv6: IPv6 is disabled on this device")
	}
	for _, o := range l.in6.addrs {
		if o.Local == a.Local && o.PrefixLen == a.PrefixLen {
			k.removeAddr6(o)
			return nil
		}
	}
	return fail(unix.EADDRNOTAVAIL, "ipv6: address not found")
}

// removeAddr6 is ipv6_del_addr.
func (k *Kernel) removeAddr6(o *ifa6) {
	if o.state == deadAddr {
		return
	}
	o.state = deadAddr
	in := o.link.in6
	in.addrs = slices.DeleteFunc(in.addrs, func(x *ifa6) bool { return x == o })
	clean := o.has(unix.IFA_F_PERMANENT) && !o.has(unix.IFA_F_NOPREFIXROUTE) && k.prefixUnused(o)
	k.announceDel6(o)
	if clean {
		k.cleanupPrefixRoute(o, o.prefix())
	}
	k.removePrefSrc(o.Local, o.link)
}

// prefixUnused is check_cleanup_prefix_route: no other address of the link
// holds the prefix route.
func (k *Kernel) prefixUnused(o *ifa6) bool {
	for _, x := range o.link.in6.addrs {
		if x != o && x.PrefixLen == o.PrefixLen && x.prefix() == o.prefix() && x.Flags&(unix.IFA_F_PERMANENT|unix.IFA_F_NOPREFIXROUTE) != 0 {
			return false
		}
	}
	return true
}

// announceDel6 is __ipv6_ifa_notify(RTM_DELADDR).
func (k *Kernel) announceDel6(o *ifa6) {
	k.addrMessage6(unix.RTM_DELADDR, o)
	if k.confInt(v6, o.link.Name, confForwarding) != 0 {
		k.leaveAnycast(o)
	}
	if o.Peer.IsValid() {
		if rt := k.findPrefixRoute(o.link, netip.PrefixFrom(o.Peer, 128), false); rt != nil {
			k.removeRoute6(rt, true)
		}
	}
	if o.rt != nil && o.rt.table != nil {
		k.removeRoute6(o.rt, true)
		o.rt = nil
	}
}

// announceNew6 is __ipv6_ifa_notify(RTM_NEWADDR): the address can be used.
func (k *Kernel) announceNew6(o *ifa6) {
	k.addrMessage6(unix.RTM_NEWADDR, o)
	if o.rt != nil && o.rt.table == nil {
		k.insertRoute6(0, o.rt, true)
	}
	if k.confInt(v6, o.link.Name, confForwarding) != 0 {
		k.joinAnycast(o)
	}
	if o.Peer.IsValid() {
		k.addPrefixRoute6(o, netip.PrefixFrom(o.Peer, 128), o.Priority, 0)
	}
}

func (k *Kernel) addrMessage6(typ uint16, a *ifa6) {
	if k.queue.joined(unix.RTNLGRP_IPV6_IFADDR) {
		i := k.addrInfo6(a)
		k.notifyAddr(typ, &i)
	}
}

func (k *Kernel) addrInfo6(a *ifa6) rtnl.Addr {
	i := a.Addr
	i.Index = a.link.Index
	i.Valid, i.Preferred = k.remaining(i.Valid, a.set), k.remaining(i.Preferred, a.set)
	return i
}

// hasAddr6 is ipv6_chk_addr: whether a is ours, on dev if it is given and the
// scope of the address asks for it. Tentative addresses count if asked for.
func (k *Kernel) hasAddr6(a netip.Addr, dev *link, tentative bool) bool {
	for _, l := range k.order {
		if l.in6 == nil {
			continue
		}
		for _, o := range l.in6.addrs {
			if o.Local != a || o.has(unix.IFA_F_TENTATIVE) && !tentative {
				continue
			}
			if dev == nil || dev == l || o.Scope != unix.RT_SCOPE_LINK && o.Scope != unix.RT_SCOPE_HOST {
				return true
			}
		}
	}
	return false
}
