package iface

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// The priorities of the policy rules that ip4table and ip6table bring (as
// netifd's).
const (
	rulePriorityFrom = 10000
	rulePriorityTo   = 20000
	rulePriorityIif  = 90000
)

// Objects gives what the interface wants on the link behind its layer 3
// device: addresses, routes and rules of the offer, and the routes of the
// configuration. nil while nothing is offered or the link is not there.
func (m *Machine) Objects(ifindex uint32, routes []*config.Route) *plan.Objects {
	if m.offer == nil || (ifindex == 0 && m.L3Device() != "") {
		return nil
	}
	o := &plan.Objects{}
	for i := range m.offer.Addrs {
		if m.offer.AddressExternal {
			break // they are not ours
		}
		m.address(o, ifindex, &m.offer.Addrs[i])
	}
	for _, r := range m.Routes(routes) {
		if kr, ok := KernelRoute(&r, ifindex); ok {
			o.Routes = append(o.Routes, kr)
		}
	}
	for _, x := range []struct {
		family uint8
		table  uint32
	}{{unix.AF_INET, m.Config.IP4Table}, {unix.AF_INET6, m.Config.IP6Table}} {
		if x.table != 0 && ifindex != 0 {
			o.Rules = append(o.Rules, rtnl.Rule{Family: x.family, Action: unix.FR_ACT_TO_TBL, Table: x.table,
				Priority: rulePriorityIif + ifindex, IifName: "lo", SuppressPL: -1, SuppressIG: -1})
		}
	}
	return o
}

// address adds an address with its connected route, where that is not the
// kernel's to make, and its policy rules.
func (m *Machine) address(o *plan.Objects, ifindex uint32, a *config.StaticAddr) {
	ip := a.Prefix.Addr()
	ka := rtnl.Addr{Index: ifindex, Family: unix.AF_INET, PrefixLen: uint8(a.Prefix.Bits()), Local: ip,
		Broadcast: a.Broadcast, Peer: a.Peer, Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
	table := m.Config.IP4Table
	if ip.Is6() {
		ka.Family = unix.AF_INET6
		table = m.Config.IP6Table
	}
	lifetime(o, &ka, a)
	if a.Deprecated {
		ka.Preferred = 0
	}
	if table == 0 && !a.OffLink {
		ka.Priority = m.Config.Metric // of the connected route, which the kernel makes
	} else {
		ka.Flags |= unix.IFA_F_NOPREFIXROUTE
	}
	o.Addrs = append(o.Addrs, ka)
	if a.OffLink && !a.Prefix.IsSingleIP() {
		o.Routes = append(o.Routes, unreachable(a.Prefix))
	}
	if table != 0 && !a.OffLink && !a.Prefix.IsSingleIP() {
		o.Routes = append(o.Routes, subnetRoute(a, ifindex, m.Config.Metric, table))
	}
	if table != 0 {
		rule := rtnl.Rule{Family: ka.Family, Action: unix.FR_ACT_TO_TBL, Table: table, SuppressPL: -1, SuppressIG: -1}
		from, to := rule, rule
		from.Priority, from.Src = rulePriorityFrom, netip.PrefixFrom(ip, ip.BitLen())
		to.Priority, to.Dst = rulePriorityTo, a.Prefix.Masked()
		o.Rules = append(o.Rules, from, to)
	}
}

// subnetRoute is the connected route of an address when the interface has a
// table of its own.
func subnetRoute(a *config.StaticAddr, ifindex, metric, table uint32) rtnl.Route {
	r := rtnl.Route{Family: unix.AF_INET, Dst: a.Prefix.Masked(), Oif: ifindex, Priority: metric, Table: table,
		Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST, Scope: unix.RT_SCOPE_LINK, PrefSrc: a.Prefix.Addr()}
	if a.Prefix.Addr().Is6() {
		r.Family, r.Scope, r.PrefSrc = unix.AF_INET6, unix.RT_SCOPE_UNIVERSE, netip.Addr{}
		if r.Priority == 0 {
			r.Priority = defaultMetric6
		}
	}
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	return r
}

// defaultMetric6 is what the kernel gives an IPv6 route without a metric
// (IP6_RT_PRIO_USER).
const defaultMetric6 = 1024

// Routes lists the routes of the interface with everything filled in: the
// default routes of its gateways first (IPv6, then IPv4, as netifd), what the
// handler offers, then the configured ones.
func (m *Machine) Routes(configured []*config.Route) []config.Route {
	var out []config.Route
	if m.offer == nil {
		return nil
	}
	if m.Config.DefaultRoute {
		for _, gw := range []netip.Addr{m.offer.Gateway6, m.offer.Gateway4} {
			if gw.IsValid() {
				out = append(out, config.Route{Interface: m.Config.Name, Family: family(gw), Target: anyPrefix(gw), Gateway: gw})
			}
		}
	}
	for _, r := range m.offer.Routes {
		if m.Config.DefaultRoute || r.Target.Bits() > 0 {
			out = append(out, r)
		}
	}
	for _, r := range configured {
		out = append(out, *r)
	}
	for i := range out {
		m.fill(&out[i])
	}
	return out
}

func (m *Machine) fill(r *config.Route) {
	if !r.MetricSet {
		r.Metric = m.Config.Metric
	}
	if !r.TableSet {
		r.Table = m.Config.IP4Table
		if r.Family == unix.AF_INET6 {
			r.Table = m.Config.IP6Table
		}
	}
	FillRoute(r)
}

// FillRoute gives type and protocol their defaults.
func FillRoute(r *config.Route) {
	if !r.TypeSet {
		r.Type = unix.RTN_UNICAST
	}
	if !r.ProtoSet {
		r.Proto = unix.RTPROT_STATIC
	}
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func anyPrefix(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// KernelRoute translates a route with everything filled in into the kernel's
// form on the link of that ifindex (0: on the one that its gateway is reached
// by). false: it needs a link and has none.
func KernelRoute(r *config.Route, ifindex uint32) (rtnl.Route, bool) {
	k := rtnl.Route{Family: r.Family, Dst: r.Target.Masked(), Oif: ifindex, Gateway: r.Gateway, Priority: r.Metric,
		Table: r.Table, Type: r.Type, Protocol: r.Proto, MTU: r.MTU}
	if k.Table == 0 {
		k.Table = unix.RT_TABLE_MAIN
	}
	if r.OnLink {
		k.Flags |= unix.RTNH_F_ONLINK
	}
	reject := false
	switch r.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		k.Oif, k.Gateway = 0, netip.Addr{}
		reject = true
	case unix.RTN_LOCAL, unix.RTN_NAT:
		k.Scope = unix.RT_SCOPE_HOST
	default:
		if !r.Gateway.IsValid() {
			k.Scope = unix.RT_SCOPE_LINK
		}
	}
	if r.Source.IsValid() {
		if r.Family == unix.AF_INET {
			k.PrefSrc = r.Source.Addr()
		} else {
			k.Src = r.Source.Masked()
		}
	}
	if r.Family == unix.AF_INET6 {
		k.Scope = unix.RT_SCOPE_UNIVERSE
		if k.Priority == 0 {
			k.Priority = defaultMetric6
		}
	}
	return k, reject || ifindex != 0 || k.Gateway.IsValid() // without a link the gateway says which
}
