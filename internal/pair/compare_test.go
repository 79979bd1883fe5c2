package pair_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/pair"
	"netbraid/rtnl"
)

// disagreement compares Linux with the dataplane, attribute by attribute, from
// what both have and nothing else (but what is
// configured, where Linux has no MPLS); the engine is not asked. It says the first
// thing that is not as configured, empty when all is.
func (w *world) disagreement() string {
	has := w.dp.Has()
	paired := map[uint32]bool{}
	companions := map[*space]map[uint32]bool{}
	for _, s := range w.spaces {
		companions[s] = map[uint32]bool{}
	}
	for i := range w.specs {
		sp := &w.specs[i]
		phy := ifaceNamed(&has, sp.Phy)
		if phy == nil {
			continue
		}
		if bad := w.compareTree(&has, phy, sp, paired, companions); bad != "" {
			return bad
		}
	}
	for _, p := range has.Pairs {
		if !paired[p.Phy] && !w.foreignPair(&p) {
			return fmt.Sprintf("the dataplane has a pair that nobody wants: %+v", p)
		}
	}
	for i := range has.Interfaces {
		if x := &has.Interfaces[i]; w.dp.Caps().Multicast && x.Multicast != paired[x.Index] && !(x.Multicast && w.left[x.Index]) {
			return fmt.Sprintf("%s hands multicast on: %v, has a pair: %v", x.Name, x.Multicast, paired[x.Index])
		}
	}
	if w.dp.Caps().Local {
		if bad := w.compareLocals(&has); bad != "" {
			return bad
		}
	}
	return w.compareRoutes(&has)
}

// compareRoutes compares the routes that somebody has written: of each prefix
// the one with the lowest metric whose link has a pair.
func (w *world) compareRoutes(has *dataplane.Dumped) string {
	type dest struct {
		phy uint32
		via netip.Addr
	}
	want, metric := map[netip.Prefix]dest{}, map[netip.Prefix]uint32{}
	for _, s := range w.spaces {
		for _, r := range s.routes() {
			if r.Protocol != unix.RTPROT_STATIC || r.Table != unix.RT_TABLE_MAIN {
				continue
			}
			at := slices.IndexFunc(has.Pairs, func(p dataplane.Pair) bool { return p.NetNS == s.path && p.HostIndex == r.Oif })
			if l := s.linkAt(r.Oif); l != nil && !l.Carrier && s.ignores(&r, l) {
				continue
			}
			if m, there := metric[r.Dst]; at < 0 || there && m <= r.Priority {
				continue
			}
			want[r.Dst], metric[r.Dst] = dest{has.Pairs[at].Phy, r.Gateway}, r.Priority
		}
	}
	for _, r := range has.Routes {
		if len(r.Paths.Paths) != 1 || r.Paths.Paths[0].Via.IsValid() {
			if p := r.Paths.Paths; len(p) != 1 || want[r.Key.Prefix] != (dest{p[0].Index, p[0].Via}) {
				return fmt.Sprintf("route %+v of the dataplane leads to %+v, want %+v", r.Key, r.Paths, want[r.Key.Prefix])
			}
			delete(want, r.Key.Prefix)
		}
	}
	for p, d := range want {
		return fmt.Sprintf("route %s to %v is not on the dataplane", p, d)
	}
	return ""
}

// setting tells whether a switch of Linux is on; without is what counts where
// there is none.
func (s *space) setting(file string, without bool) bool {
	v, err := s.kern.ReadSysctl("/proc/sys/net/" + file)
	if err != nil {
		return without
	}
	return v != "0"
}

// ignores tells whether Linux passes over a route whose link has no carrier.
func (s *space) ignores(r *rtnl.Route, l *rtnl.Link) bool {
	const file = "/ignore_routes_with_linkdown"
	if r.Family == unix.AF_INET6 {
		return s.setting("ipv6/conf/"+l.Name+file, false)
	}
	return s.setting("ipv4/conf/all"+file, false) || s.setting("ipv4/conf/"+l.Name+file, false)
}

func (s *space) linkAt(index uint32) *rtnl.Link {
	for _, l := range s.links() {
		if l.Index == index {
			return &l
		}
	}
	return nil
}

func (w *world) foreignPair(p *dataplane.Pair) bool { return false }

func ifaceNamed(has *dataplane.Dumped, name string) *dataplane.Interface {
	for i := range has.Interfaces {
		if has.Interfaces[i].Name == name {
			return &has.Interfaces[i]
		}
	}
	return nil
}

func pairOf(has *dataplane.Dumped, phy uint32) *dataplane.Pair {
	for i := range has.Pairs {
		if has.Pairs[i].Phy == phy {
			return &has.Pairs[i]
		}
	}
	return nil
}

// compareTree compares a pair and the sub-interfaces on it.
func (w *world) compareTree(has *dataplane.Dumped, phy *dataplane.Interface, sp *pair.Spec,
	paired map[uint32]bool, companions map[*space]map[uint32]bool) string {
	netns, host, auto := sp.NetNS, sp.Host, sp.AutoSubif
	s := linuxOf{w}.space(netns)
	if s == nil {
		return ""
	}
	links := map[uint32]rtnl.Link{}
	for _, l := range s.links() {
		links[l.Index] = l
	}
	p := pairOf(has, phy.Index)
	if p == nil {
		return fmt.Sprintf("%s has no pair", phy.Name)
	}
	l, there := links[p.HostIndex]
	if !there || p.NetNS != netns || host != "" && l.Name != host {
		return fmt.Sprintf("the companion of %s is not there: %+v, %v", phy.Name, p, l.Name)
	}
	paired[phy.Index] = true
	if bad := w.compareOne(has, s, sp, phy, &l, nil); bad != "" {
		return bad
	}
	if !auto {
		return ""
	}
	linux, dp := linuxTags(links, l.Index), dataplaneTags(has, phy.Index)
	for t, v := range linux {
		if _, ok := dp[t]; !ok {
			return fmt.Sprintf("VLAN link %s on %s has no sub-interface", v.Name, l.Name)
		}
	}
	order := slices.SortedFunc(maps.Keys(dp), func(a, b tags) int { return int(a.inner) - int(b.inner) })
	for _, t := range order {
		i := dp[t]
		v, ok := linux[t]
		if !ok {
			if _, outer := dp[tags{outer: t.outer, outerAD: t.outerAD}]; t.inner != 0 && !outer {
				continue // nothing that its companion could be a VLAN link on
			}
			return fmt.Sprintf("sub-interface %s (%+v) has no VLAN link", i.Name, i.Sub)
		}
		q := pairOf(has, i.Index)
		if q == nil || q.HostIndex != v.Index {
			return fmt.Sprintf("sub-interface %s and %s are no pair: %+v", i.Name, v.Name, q)
		}
		paired[i.Index] = true
		parent := links[v.Parent]
		if bad := w.compareOne(has, s, sp, &i, &v, &parent); bad != "" {
			return bad
		}
	}
	return ""
}

// tags are what tells frames apart.
type tags struct {
	outer, inner     uint16
	outerAD, innerAD bool
}

// linuxTags are the VLAN links on a companion, by their tags.
func linuxTags(links map[uint32]rtnl.Link, on uint32) map[tags]rtnl.Link {
	out := map[tags]rtnl.Link{}
	for _, v := range links {
		if v.Kind != "vlan" || v.VLAN.ID == 0 || v.VLAN.ID > 4094 {
			continue
		}
		ad := v.VLAN.Protocol == unix.ETH_P_8021AD
		if v.Parent == on {
			out[tags{outer: v.VLAN.ID, outerAD: ad}] = v
		} else if m := links[v.Parent]; m.Kind == "vlan" && m.Parent == on {
			out[tags{m.VLAN.ID, v.VLAN.ID, m.VLAN.Protocol == unix.ETH_P_8021AD, ad}] = v
		}
	}
	return out
}

// dataplaneTags are the sub-interfaces of a phy, by their tags.
func dataplaneTags(has *dataplane.Dumped, phy uint32) map[tags]dataplane.Interface {
	out := map[tags]dataplane.Interface{}
	for _, i := range has.Interfaces {
		if i.Parent == phy && i.Sub.Exact {
			out[tags{i.Sub.Outer, i.Sub.Inner, i.Sub.OuterAD, i.Sub.InnerAD}] = i
		}
	}
	return out
}

// compareOne compares the attributes of one pair.
func (w *world) compareOne(has *dataplane.Dumped, s *space, sp *pair.Spec, i *dataplane.Interface, l, parent *rtnl.Link) string {
	up := l.Flags&unix.IFF_UP != 0
	say := func(what string, dp, linux any) string {
		return fmt.Sprintf("%s of %s and %s: dataplane %v, Linux %v", what, i.Name, l.Name, dp, linux)
	}
	down := parent != nil && parent.Flags&unix.IFF_UP == 0
	switch {
	case i.Up != up && !down:
		return say("admin state", i.Up, up)
	case i.MTU != l.MTU:
		return say("mtu", i.MTU, l.MTU)
	case parent == nil && i.Type == dataplane.Ethernet && i.MAC != l.Addr:
		return say("mac", i.MAC, l.Addr)
	case parent == nil && up && i.Carrier != l.Carrier:
		return say("carrier", i.Carrier, l.Carrier)
	}
	labels := s.setting("mpls/conf/"+l.Name+"/input", sp.MPLS == pair.MPLSOn)
	if i.MPLS != labels && w.dp.Caps().MPLS {
		return say("labels", i.MPLS, labels)
	}
	table := uint32(0)
	if t := s.vrf[s.master[l.Index]]; t != 0 {
		table = t
	}
	if i.Table4 != table || i.Table6 != table {
		return say("table", i.Table4, table)
	}
	if bad := w.compareAddrs(has, s, i, l); bad != "" {
		return bad
	}
	return w.compareNeighs(has, s, i, l)
}

func (w *world) compareAddrs(has *dataplane.Dumped, s *space, i *dataplane.Interface, l *rtnl.Link) string {
	linux, dp := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
	for _, a := range s.addrs() {
		if a.Index != l.Index || a.Flags&unix.IFA_F_DADFAILED != 0 {
			continue
		}
		p := netip.PrefixFrom(a.Local, int(a.PrefixLen))
		if a.Peer.IsValid() || a.Local.Is6() && a.Local.IsLinkLocalUnicast() {
			p = netip.PrefixFrom(a.Local, a.Local.BitLen())
		}
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			if l.Flags&unix.IFF_UP != 0 && l.Carrier {
				return fmt.Sprintf("%s of %s is tentative for ever", a.Local, l.Name)
			}
			continue
		}
		linux[p] = true
	}
	for _, a := range has.Addrs {
		if a.Index == i.Index {
			dp[a.Prefix] = true
		}
	}
	for p := range linux {
		if !dp[p] {
			return fmt.Sprintf("address %s of %s is not on %s", p, l.Name, i.Name)
		}
	}
	for p := range dp {
		if !linux[p] && !s.tentative(l.Index, p) {
			return fmt.Sprintf("address %s of %s is not on %s", p, i.Name, l.Name)
		}
	}
	return ""
}

// tentative tells whether Linux has an address that it cannot use now.
func (s *space) tentative(index uint32, p netip.Prefix) bool {
	return slices.ContainsFunc(s.addrs(), func(a rtnl.Addr) bool {
		return a.Index == index && a.Local == p.Addr() && a.Flags&unix.IFA_F_TENTATIVE != 0
	})
}

func (w *world) compareNeighs(has *dataplane.Dumped, s *space, i *dataplane.Interface, l *rtnl.Link) string {
	linux, dp := map[netip.Addr]rtnl.HWAddr{}, map[netip.Addr]rtnl.HWAddr{}
	for _, n := range s.neighs() {
		known := n.State&(unix.NUD_PERMANENT|unix.NUD_REACHABLE|unix.NUD_STALE|unix.NUD_DELAY|unix.NUD_PROBE) != 0
		if n.Index == l.Index && known && n.LLAddr.Len == 6 && (n.State&unix.NUD_PERMANENT != 0 || !w.dp.Caps().Resolves) {
			linux[n.Dst] = n.LLAddr
		}
	}
	for _, n := range has.Neighs {
		if n.Index == i.Index {
			dp[n.Addr] = n.MAC
		}
	}
	if !maps.Equal(linux, dp) {
		return fmt.Sprintf("neighbours of %s: dataplane %v, Linux %v", l.Name, dp, linux)
	}
	return ""
}

func (w *world) compareLocals(has *dataplane.Dumped) string {
	want := map[netip.Addr]bool{}
	for _, s := range w.spaces {
		if !slices.ContainsFunc(w.specs, func(sp pair.Spec) bool { return sp.NS == s.ns }) {
			continue
		}
		for _, a := range s.addrs() {
			if a.Local.IsLoopback() || a.Local.Is6() && a.Local.IsLinkLocalUnicast() {
				continue
			}
			want[a.Local] = true
			p := netip.PrefixFrom(a.Local, int(a.PrefixLen))
			if !a.Peer.IsValid() && a.Local.Is4() && p.Bits() < 31 {
				last := p.Masked().Addr().As4()
				for b := p.Bits(); b < 32; b++ {
					last[b/8] |= 0x80 >> (b % 8)
				}
				want[netip.AddrFrom4(last)] = true
			}
			if !a.Peer.IsValid() && a.Local.Is6() && p.Bits() < 127 {
				want[p.Masked().Addr()] = true
			}
			if a.Broadcast.IsValid() {
				want[a.Broadcast] = true
			}
		}
	}
	for _, a := range has.Locals {
		if !want[a] {
			return fmt.Sprintf("%s is none of our own addresses any more", a)
		}
		delete(want, a)
	}
	for a := range want {
		return fmt.Sprintf("%s is our own, and the dataplane does not know", a)
	}
	return ""
}
