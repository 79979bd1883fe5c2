package fib

import (
	"math"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// why says why a route is not mirrored.
type why uint8

const (
	mirrored why = iota
	ends         // local, broadcast, throw, …: ends the search in this table
	filtered
	unpaired
	dead
	unresolved // a next-hop object that is not there
	encapsulated
	noMPLS
	otherFamily
	oddTOS
	oddSource
)

var whyNames = [...]string{
	ends: "local, broadcast, anycast, multicast or throw", filtered: "protocol is filtered", unpaired: "device is not paired",
	dead: "next hop is down", unresolved: "next-hop object is not there", encapsulated: "encapsulation other than MPLS",
	noMPLS: "the dataplane has no MPLS", otherFamily: "neither IPv4, IPv6 nor MPLS", oddTOS: "depends on the TOS", oddSource: "depends on the source address",
}

// translation is what a set of attributes becomes.
type translation struct {
	made    uint32 // which attributes these are
	set     uint32 // setNone: no route with them is in a FIB
	dev     uint32 // != 0: without a gateway, on this link: perhaps the dataplane's own
	at      uint64 // when it was made
	changed uint64 // since when it is what it is
	nh      bool   // it stands on next-hop objects
	why     why
}

// translated gives what the attributes of an id become.
func (t *Table) translated(sp *space, id uint32) *translation {
	if int(id) >= len(sp.trans) {
		sp.trans = append(sp.trans, make([]translation, int(sp.eng.Attrs())-len(sp.trans))...)
	}
	tr, a := &sp.trans[id], sp.eng.Attr(id)
	if tr.made == a.Made && tr.at >= sp.linkAt && (!tr.nh || tr.at >= sp.nhAt) {
		return tr
	}
	n := translation{made: a.Made, nh: a.Route.NHID != 0, at: t.clock, changed: t.clock}
	n.set, n.dev, n.why = t.translate(sp, a.Route)
	if n.made == tr.made && n.set == tr.set && n.dev == tr.dev {
		n.changed = tr.changed
	}
	t.sets.release(tr.set)
	*tr = n
	return tr
}

// translate gives the path set, held, that a route becomes.
func (t *Table) translate(sp *space, r *rtnl.Route) (set, dev uint32, w why) {
	b := &t.building
	b.Kind, b.Paths = dataplane.Unicast, b.Paths[:0]
	if w = t.build(sp, r, b); w == ends {
		return setOwn, 0, w
	} else if w != mirrored {
		return setNone, 0, w
	}
	if len(b.Paths) == 1 && r.Multipath == "" && r.Family != unix.AF_MPLS && !b.Paths[0].Via.IsValid() && b.Paths[0].Labels.N == 0 {
		dev = r.Oif
		if nh := sp.eng.Nexthop(r.NHID); r.NHID != 0 && nh != nil {
			dev = nh.Oif
		}
	}
	return t.finish(b), dev, mirrored
}

// finish interns what has been built.
func (t *Table) finish(b *dataplane.PathSet) uint32 {
	if b.Kind != dataplane.Unicast {
		b.Paths = b.Paths[:0]
	}
	b.Sort()
	if m := t.caps.MaxPaths; m > 0 && len(b.Paths) > m {
		b.Paths = b.Paths[:m]
	}
	return t.intern(b)
}

// intern gives the id of a sorted set, held. The weight of a single path means
// nothing, and not every dataplane keeps it.
func (t *Table) intern(b *dataplane.PathSet) uint32 {
	if len(b.Paths) == 1 {
		b.Paths[0].Weight = 1
	}
	return t.sets.hold(b)
}

// build adds what a route does to b.
func (t *Table) build(sp *space, r *rtnl.Route, b *dataplane.PathSet) why {
	switch {
	case r.Family != unix.AF_INET && r.Family != unix.AF_INET6 && r.Family != unix.AF_MPLS:
		return otherFamily
	case t.skip[r.Protocol]:
		return filtered
	case r.Family == unix.AF_MPLS && !t.caps.MPLS:
		return noMPLS
	}
	switch r.Type {
	case unix.RTN_UNICAST:
	case unix.RTN_BLACKHOLE:
		b.Kind = dataplane.Blackhole
		return mirrored
	case unix.RTN_UNREACHABLE:
		b.Kind = dataplane.Unreachable
		return mirrored
	case unix.RTN_PROHIBIT:
		b.Kind = dataplane.Prohibit
		return mirrored
	default:
		return ends
	}
	h := hops{t: t, sp: sp, family: r.Family, set: b}
	switch {
	case r.NHID != 0 && h.object(r.NHID, 1, 0):
	case r.Multipath != "":
		list, err := rtnl.Hops(r.Multipath)
		if err != nil {
			return unresolved
		}
		for i := range list {
			x := &list[i]
			h.add(hop{x.Oif, x.Gateway, x.Encap, uint32(x.Weight) + 1, r.NHID != 0, true})
		}
	case r.NHID != 0 && r.Oif == 0:
		return unresolved
	default:
		h.add(hop{r.Oif, r.Gateway, r.Encap, 1, r.NHID != 0, false})
	}
	if b.Kind == dataplane.Unicast && len(b.Paths) == 0 {
		return max(h.why, unpaired)
	}
	return mirrored
}

// hop is a next hop of Linux.
type hop struct {
	oif    uint32
	gw     netip.Addr
	encap  string
	weight uint32
	object bool // of a next-hop object
	multi  bool // one of several
}

// hops adds next hops to a path set.
type hops struct {
	t      *Table
	sp     *space
	family uint8
	set    *dataplane.PathSet
	why    why // one of them was left out
}

// object adds a next-hop object, or the members of a group; false when there
// is none.
func (h *hops) object(id, weight uint32, depth int) bool {
	n := h.sp.eng.Nexthop(id)
	if n == nil {
		return false
	}
	switch {
	case n.Blackhole:
		h.set.Kind = dataplane.Blackhole
	case n.FDB:
		h.why = encapsulated
	case n.Group != "" && depth == 0: // a group has no groups
		for _, m := range rtnl.GroupMembers(n.Group) {
			if !h.object(m.ID, m.Weight, depth+1) {
				h.why = max(h.why, unresolved)
			}
		}
	default:
		h.add(hop{n.Oif, n.Gateway, n.Encap, weight, true, depth > 0})
	}
	return true
}

// add adds a next hop if packets can leave through it.
func (h *hops) add(x hop) {
	p := dataplane.Path{Index: dataplane.NoIndex, Via: x.gw.WithZone(""), Weight: uint16(min(max(x.weight, 1), math.MaxUint16))}
	w := h.labels(&p, x.encap)
	switch {
	case w != mirrored:
	case h.popsHere(&p, &x):
	default:
		w = h.through(&p, &x)
	}
	if w != mirrored {
		h.why = max(h.why, w)
		return
	}
	h.set.Paths = append(h.set.Paths, p)
}

// through finds the dataplane's interface and whether the hop is alive.
func (h *hops) through(p *dataplane.Path, x *hop) why {
	phy, ok := h.t.host.Phy(h.sp.ns, x.oif)
	if !ok {
		return unpaired
	}
	p.Index = phy
	up, carrier, _ := usable(h.sp.eng.Link(x.oif))
	_, lost4 := h.sp.lost4[x.oif]
	switch {
	case !up:
		return dead
	case !carrier && x.object: // the kernel removes such objects
		return dead
	case !carrier && h.t.host.IgnoresLinkdown(h.sp.ns, x.oif, h.family):
		return dead
	case lost4 && h.family == unix.AF_INET && !x.object && x.multi:
		return dead
	}
	return mirrored
}

// popsHere makes an MPLS route that ends in this namespace one that looks the
// packet up: out of the loopback, or of a VRF.
func (h *hops) popsHere(p *dataplane.Path, x *hop) bool {
	if h.family != unix.AF_MPLS || x.gw.IsValid() || p.Labels.N > 0 {
		return false
	}
	l := h.sp.eng.Link(x.oif)
	if l == nil || l.Flags&unix.IFF_UP == 0 {
		return false
	}
	table := l.VRFTable
	if l.Flags&unix.IFF_LOOPBACK != 0 {
		table = unix.RT_TABLE_MAIN
	}
	if table == 0 {
		return false
	}
	var ok bool
	p.Table, ok = h.t.host.Table(h.sp.ns, table)
	return ok
}

// labels reads what a hop pushes or swaps.
func (h *hops) labels(p *dataplane.Path, encap string) why {
	if encap == "" {
		return mirrored
	}
	ls := rtnl.Labels(h.family, encap)
	switch {
	case len(ls) == 0 || len(ls) > dataplane.MaxLabels:
		return encapsulated
	case !h.t.caps.MPLS:
		return noMPLS
	}
	p.Labels.N = uint8(copy(p.Labels.L[:], ls))
	return mirrored
}

// mirroredDst tells whether routes to a destination are mirrored: link-local
// and multicast ones are every link's own.
func mirroredDst(p netip.Prefix) bool {
	a := p.Addr()
	if a.Is4() {
		return p.Bits() < 4 || !a.IsMulticast()
	}
	return !(p.Bits() >= 8 && a.IsMulticast() || p.Bits() >= 10 && a.IsLinkLocalUnicast())
}
