package sim

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

func ip(format string, args ...any) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(format, args...))
}

func (g *generator) addrOp(k *Kernel, a *rtnl.Addr, del bool) *operation {
	a.Valid, a.Preferred = rtnl.LifetimeForever, rtnl.LifetimeForever
	switch g.IntN(15) {
	case 0:
		a.Valid, a.Preferred = 7200, 3600
	case 1:
		a.Preferred = 0
	case 2:
		a.Valid, a.Preferred = 100, 200
		if g.vlans { // older kernels look for the link before they look at this
			a.Preferred = 100
		}
	}
	typ, flags := uint16(unix.RTM_NEWADDR), pick[uint16](g, create, create, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, unix.NLM_F_REPLACE)
	if del {
		typ, flags = unix.RTM_DELADDR, 0
	}
	return &operation{text: fmt.Sprintf("type %d flags %#x: %s", typ, flags, rtnl.FormatAddr(a, nil)),
		msg: rtnl.AppendAddr(nil, typ, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK, 1, a)}
}

func (g *generator) addr4(k *Kernel) *operation {
	l := g.anyLink(k)
	if l.in4 != nil && len(l.in4.addrs) > 0 && g.one(3) {
		a := l.in4.addrs[g.IntN(len(l.in4.addrs))].Addr
		a.Index = l.Index
		return g.addrOp(k, &a, true)
	}
	a := rtnl.Addr{Index: l.Index, Family: unix.AF_INET, Local: ip("10.0.%d.%d", g.IntN(2), g.IntN(5)),
		PrefixLen: pick[uint8](g, 24, 24, 24, 24, 16, 30, 31, 32)}
	if g.one(6) {
		a.Peer = ip("10.0.%d.%d", g.IntN(3), g.IntN(5))
		a.PrefixLen = pick[uint8](g, 32, 32, 24)
	}
	if g.one(4) {
		a.Broadcast = pick(g, ip("10.0.0.255"), ip("10.0.1.255"), ip("10.0.0.9"), ip("255.255.255.255"))
	}
	if g.one(6) {
		a.Label = l.Name + ":x"
	}
	if g.one(6) {
		a.Flags = unix.IFA_F_NOPREFIXROUTE
	}
	if g.one(10) {
		a.Scope = unix.RT_SCOPE_LINK
	}
	if g.one(6) {
		a.Priority = pick[uint32](g, 5, 10)
	}
	if g.one(6) {
		a.Protocol = 77
	}
	if g.one(20) {
		a.Index = 96
	}
	return g.addrOp(k, &a, g.one(12))
}

func (g *generator) addr6(k *Kernel) *operation {
	l := g.anyLink(k)
	if l.in6 != nil && len(l.in6.addrs) > 0 && g.one(3) {
		a := l.in6.addrs[g.IntN(len(l.in6.addrs))].Addr
		a.Index = l.Index
		return g.addrOp(k, &a, true)
	}
	a := rtnl.Addr{Index: l.Index, Family: unix.AF_INET6, Local: ip("2001:db8:%d::%d", g.IntN(2), g.IntN(4)),
		PrefixLen: pick[uint8](g, 64, 64, 64, 64, 48, 127, 128)}
	if g.one(8) {
		a.Local = ip("fe80::%d", 1+g.IntN(3))
	}
	if g.one(8) {
		a.Peer = ip("2001:db8:9::%d", 1+g.IntN(3))
	}
	if g.one(3) {
		a.Flags |= unix.IFA_F_NODAD
	}
	if g.one(5) {
		a.Flags |= unix.IFA_F_NOPREFIXROUTE
	}
	if g.one(6) {
		a.Priority = pick[uint32](g, 5, 10)
	}
	if g.one(6) {
		a.Protocol = 77
	}
	if g.one(20) {
		a.Local = pick(g, ip("ff02::5"), ip("::"), ip("::1"))
	}
	return g.addrOp(k, &a, g.one(12))
}

func (g *generator) routeOp(r *rtnl.Route) *operation {
	typ := uint16(unix.RTM_NEWROUTE)
	flags := pick[uint16](g, create, create, unix.NLM_F_CREATE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, unix.NLM_F_REPLACE,
		unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	return &operation{text: fmt.Sprintf("type %d flags %#x: %s", typ, flags, rtnl.FormatRoute(r, nil)),
		msg: rtnl.AppendRoute(nil, typ, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK, 1, r)}
}

func delRoute(r *rtnl.Route) *operation {
	return &operation{text: "delete " + rtnl.FormatRoute(r, nil),
		msg: rtnl.AppendRoute(nil, unix.RTM_DELROUTE, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 1, r)}
}

func (g *generator) route4(k *Kernel) *operation {
	if g.one(4) {
		return g.delRoute4(k)
	}
	r := rtnl.Route{Family: unix.AF_INET, Table: pick[uint32](g, 254, 254, 254, 254, 100), Type: unix.RTN_UNICAST,
		Protocol: pick[uint8](g, 3, 4, 186), Priority: pick[uint32](g, 0, 0, 10, 20),
		Dst: pick(g, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.0.0/16"),
			netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("198.51.100.7/32"))}
	gw := func() netip.Addr { return ip("10.0.%d.%d", g.IntN(3), 1+g.IntN(6)) }
	switch g.IntN(9) {
	case 0:
		r.Type = pick[uint8](g, unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW)
		if g.one(8) {
			r.Oif = g.anyLink(k).Index
		}
	case 1, 2:
		r.Oif = g.anyLink(k).Index
		r.Scope = pick[uint8](g, unix.RT_SCOPE_LINK, unix.RT_SCOPE_LINK, 0)
	case 3:
		r.Gateway, r.Oif = gw(), g.anyLink(k).Index
		if g.one(2) {
			r.Flags = unix.RTNH_F_ONLINK
		}
	case 4:
		hops := []rtnl.Hop{{Gateway: gw()}, {Gateway: gw(), Weight: 2}}
		if g.one(3) {
			hops[1] = rtnl.Hop{Oif: g.anyLink(k).Index}
		}
		r.Multipath = rtnl.AppendHops(hops)
	case 5:
		r.Gateway, r.Oif = ip("2001:db8::%d", 1+g.IntN(4)), g.anyLink(k).Index
		if g.one(2) {
			r.Gateway = ip("fe80::99")
		}
	default:
		r.Gateway = gw()
	}
	if g.one(5) {
		r.PrefSrc = ip("10.0.%d.%d", g.IntN(2), g.IntN(5))
	}
	if g.one(6) {
		r.MTU = 1300
	}
	if g.one(15) {
		r.TOS = pick[uint8](g, 8, 16)
	}
	if g.one(20) {
		r.Oif = 95
	}
	return g.routeOp(&r)
}

func (g *generator) delRoute4(k *Kernel) *operation {
	t := k.fib4.tables[pick[uint32](g, 254, 254, 254, 100, 255)]
	if t == nil || len(t.nodes) == 0 {
		return nil
	}
	ps := t.sorted()
	p := ps[g.IntN(len(ps))]
	as := t.nodes[p]
	r := k.info4(t, p, as[g.IntN(len(as))])
	r.Flags &= unix.RTNH_F_ONLINK
	g.vague(&r)
	return delRoute(&r)
}

// vague leaves out some of what a deletion could say.
func (g *generator) vague(r *rtnl.Route) {
	if hs, _ := rtnl.Hops(r.Multipath); hs != nil {
		for i := range hs {
			hs[i].Flags &= unix.RTNH_F_ONLINK
		}
		r.Multipath = rtnl.AppendHops(hs)
		if g.one(3) {
			r.Multipath = ""
		}
	}
	if g.one(2) {
		r.Protocol, r.Gateway, r.MTU = 0, netip.Addr{}, 0
	}
	if g.one(2) {
		r.Oif, r.Type, r.PrefSrc = 0, 0, netip.Addr{}
		r.Scope = unix.RT_SCOPE_NOWHERE
	}
	if g.one(3) {
		r.Priority = 0
	}
	if g.one(15) {
		r.Priority = 12345
	}
}

func (g *generator) route6(k *Kernel) *operation {
	if g.one(4) {
		return g.delRoute6(k)
	}
	r := rtnl.Route{Family: unix.AF_INET6, Table: pick[uint32](g, 254, 254, 254, 254, 100), Type: unix.RTN_UNICAST,
		Protocol: pick[uint8](g, 3, 4, 186), Priority: pick[uint32](g, 0, 0, 10, 20),
		Dst: pick(g, netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8:a::/48"), netip.MustParsePrefix("2001:db8:a:1::/64"),
			netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:b::7/128"))}
	gw := func() netip.Addr { return ip("2001:db8:%d::%d", g.IntN(3), 1+g.IntN(6)) }
	switch g.IntN(9) {
	case 0:
		r.Type = pick[uint8](g, unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW)
	case 1, 2:
		r.Oif = g.anyLink(k).Index
	case 3:
		r.Gateway, r.Oif = gw(), g.anyLink(k).Index
		if g.one(2) {
			r.Flags = unix.RTNH_F_ONLINK
		}
	case 4:
		r.Gateway = ip("fe80::%d", 0x99)
		if !g.one(6) {
			r.Oif = g.anyLink(k).Index
		}
	case 5, 6:
		hops := []rtnl.Hop{{Gateway: gw()}, {Gateway: gw()}}
		if g.one(2) {
			hops[1] = rtnl.Hop{Gateway: ip("fe80::77"), Oif: g.anyLink(k).Index}
		}
		r.Multipath = rtnl.AppendHops(hops)
	default:
		r.Gateway = gw()
	}
	if g.one(6) {
		r.PrefSrc = ip("2001:db8:%d::%d", g.IntN(2), 1+g.IntN(3))
	}
	if g.one(6) {
		r.MTU = 1300
	}
	if g.one(20) {
		r.Oif = 95
	}
	return g.routeOp(&r)
}

func (g *generator) delRoute6(k *Kernel) *operation {
	t := k.fib6.tables[pick[uint32](g, 254, 254, 254, 100, 255)]
	if t == nil || len(t.nodes) == 0 {
		return nil
	}
	ps := t.sorted()
	rs := t.nodes[ps[g.IntN(len(ps))]]
	o := rs[g.IntN(len(rs))]
	r := k.info6(o, o.siblings())
	r.Flags &= unix.RTNH_F_ONLINK
	r.Pref = 0
	g.vague(&r)
	if o.protocol == unix.RTPROT_KERNEL {
		r.Oif = o.hop.dev.Index // which of several links' comes first has no order: see normal
	}
	return delRoute(&r)
}
