package fib

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// What the dataplane must have, computed anew from everything that the mirrors
// have, without a thought for its cost: the oracle of the simulation.

type offer struct {
	ns    model.NS
	table uint32
	prio  uint32
	rows  []rtnl.Route // of one key, in the kernel's order
}

func (w *world) oracle() map[dataplane.RouteKey]*dataplane.PathSet {
	offers := map[dataplane.RouteKey][]offer{}
	for _, k := range w.kernels {
		if k == nil {
			continue
		}
		byKey := map[model.RouteKey][]rtnl.Route{}
		k.eng.Each(nil, nil, func(r *rtnl.Route) {
			key := model.KeyOfRoute(k.ns, r)
			byKey[key] = append(byKey[key], *r)
		}, nil)
		for key, rows := range byKey {
			for _, to := range w.destinations(key) {
				offers[to] = append(offers[to], offer{k.ns, key.Table, key.Priority, rows})
			}
		}
	}
	out := map[dataplane.RouteKey]*dataplane.PathSet{}
	for to, list := range offers {
		slices.SortFunc(list, func(a, b offer) int {
			return cmp.Or(cmp.Compare(a.ns, b.ns), cmp.Compare(a.prio, b.prio), cmp.Compare(a.table, b.table))
		})
		for _, o := range list {
			set, counts := w.result(to, o)
			if counts {
				if set != nil {
					if len(set.Paths) == 1 {
						set.Paths[0].Weight = 1
					}
					out[to] = set
				}
				break
			}
		}
	}
	return out
}

// destinations are the routes of the dataplane that a route of Linux can be.
func (w *world) destinations(k model.RouteKey) []dataplane.RouteKey {
	fib, ok := w.Table(k.NS, k.Table)
	if !ok || k.Table == 255 || k.TOS != 0 || k.Src.IsValid() {
		return nil
	}
	switch k.Family {
	case unix.AF_MPLS:
		return []dataplane.RouteKey{{Label: k.Label}, {Label: k.Label, EOS: true}}
	case unix.AF_INET:
		if netip.MustParsePrefix("224.0.0.0/4").Overlaps(k.Dst) && k.Dst.Bits() >= 4 {
			return nil
		}
	case unix.AF_INET6:
		for _, p := range []string{"fe80::/10", "ff00::/8"} {
			if p := netip.MustParsePrefix(p); p.Overlaps(k.Dst) && k.Dst.Bits() >= p.Bits() {
				return nil
			}
		}
	default:
		return nil
	}
	return []dataplane.RouteKey{{Table: fib, Prefix: k.Dst}}
}

// result is what the routes of one key come to: counts is false when it is as
// if they were not there; nil when the dataplane gets no route, and none that
// is worse.
func (w *world) result(to dataplane.RouteKey, o offer) (set *dataplane.PathSet, counts bool) {
	rows := slices.Clone(o.rows)
	if rows[0].Family == unix.AF_INET6 {
		rank := map[uint8]int{0: 1, 1: 0, 3: 2} // medium, high, low
		slices.SortStableFunc(rows, func(a, b rtnl.Route) int { return rank[a.Pref] - rank[b.Pref] })
	}
	qualifies := func(r *rtnl.Route) bool {
		return r.Family == unix.AF_INET6 && r.NHID == 0 && r.Protocol != unix.RTPROT_RA && r.Type == unix.RTN_UNICAST && (r.Gateway.IsValid() || r.Multipath != "")
	}
	for i := range rows {
		set, counts := w.route(to, o, &rows[i])
		if !counts {
			continue
		}
		if set != nil && qualifies(&rows[i]) {
			all := &dataplane.PathSet{}
			for j := range rows {
				if s, ok := w.route(to, o, &rows[j]); ok && s != nil && qualifies(&rows[j]) {
					all.Paths = append(all.Paths, s.Paths...)
				}
			}
			all.Sort()
			all.Paths = all.Paths[:min(len(all.Paths), w.plane.caps.MaxPaths)]
			set = all
		}
		return set, true
	}
	return nil, false
}

func (w *world) route(to dataplane.RouteKey, o offer, r *rtnl.Route) (*dataplane.PathSet, bool) {
	eng := w.kernels[o.ns].eng
	if slices.Contains(w.skip, r.Protocol) || r.Family == unix.AF_MPLS && !w.plane.caps.MPLS {
		return nil, false
	}
	kind, special := map[uint8]dataplane.RouteKind{unix.RTN_BLACKHOLE: dataplane.Blackhole, unix.RTN_UNREACHABLE: dataplane.Unreachable, unix.RTN_PROHIBIT: dataplane.Prohibit}[r.Type]
	if special {
		return &dataplane.PathSet{Kind: kind}, true
	}
	if r.Type != unix.RTN_UNICAST {
		return nil, true
	}
	type hop struct {
		oif    uint32
		gw     netip.Addr
		encap  string
		weight uint32
		object bool
	}
	var list []hop
	several := r.Multipath != ""
	if n := eng.Nexthop(r.NHID); r.NHID != 0 && n != nil {
		members := []rtnl.GroupMember{{ID: r.NHID, Weight: 1}}
		if several = n.Group != ""; several {
			members = rtnl.GroupMembers(n.Group)
		}
		for _, m := range members {
			n := eng.Nexthop(m.ID)
			if n == nil || n.FDB || several && n.Group != "" && m.ID != r.NHID {
				continue
			}
			if n.Blackhole {
				return &dataplane.PathSet{Kind: dataplane.Blackhole}, true
			}
			list = append(list, hop{n.Oif, n.Gateway, n.Encap, m.Weight, true})
		}
	} else if several {
		hs, err := rtnl.Hops(r.Multipath)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, h := range hs {
			list = append(list, hop{h.Oif, h.Gateway, h.Encap, uint32(h.Weight) + 1, r.NHID != 0})
		}
	} else {
		list = append(list, hop{r.Oif, r.Gateway, r.Encap, 1, r.NHID != 0})
	}
	set := &dataplane.PathSet{}
	for _, h := range list {
		p := dataplane.Path{Via: h.gw, Weight: uint16(h.weight)}
		labels := rtnl.Labels(r.Family, h.encap)
		if h.encap != "" && (len(labels) == 0 || !w.plane.caps.MPLS) {
			continue
		}
		p.Labels.N = uint8(copy(p.Labels.L[:], labels))
		l := eng.Link(h.oif)
		if r.Family == unix.AF_MPLS && l != nil && l.Flags&unix.IFF_LOOPBACK != 0 && l.Flags&unix.IFF_UP != 0 && !h.gw.IsValid() && len(labels) == 0 {
			p.Index = dataplane.NoIndex
			var ok bool
			if p.Table, ok = w.Table(o.ns, unix.RT_TABLE_MAIN); ok {
				set.Paths = append(set.Paths, p)
			}
			continue
		}
		phy, ok := w.phys[[2]uint32{uint32(o.ns), h.oif}]
		if !ok || l == nil || l.Flags&unix.IFF_UP == 0 {
			continue
		}
		running := l.Flags&(unix.IFF_RUNNING|unix.IFF_LOWER_UP) != 0
		if !running && (h.object || w.ignoreDown) || w.dead4[[2]uint32{uint32(o.ns), h.oif}] && r.Family == unix.AF_INET && several && !h.object {
			continue
		}
		p.Index = phy
		set.Paths = append(set.Paths, p)
	}
	if len(set.Paths) == 0 {
		return nil, false
	}
	if len(list) == 1 && !several && !to.MPLS() && !list[0].gw.IsValid() && list[0].encap == "" && w.connected[to.Prefix] == list[0].oif {
		return nil, true
	}
	set.Sort()
	set.Paths = set.Paths[:min(len(set.Paths), w.plane.caps.MaxPaths)]
	return set, true
}
