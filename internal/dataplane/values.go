package dataplane

import (
	"cmp"
	"net/netip"
	"slices"

	"netbraid/rtnl"
)

// NoIndex is no interface.
const NoIndex = ^uint32(0)

// MainTable is the FIB of interfaces that are bound to none. Linux' main table
// (254) goes there.
const MainTable = 0

// Interface is an interface or sub-interface of the dataplane.
type Interface struct {
	Index  uint32 // VPP: sw_if_index; netns: ifindex
	Name   string
	Parent uint32 // of a sub-interface, with two tags too: the phy; otherwise NoIndex
	Sub    Sub    // of a sub-interface
	Type   InterfaceType
	Up     bool // administratively
	// Carrier is the state of the link below; an interface that does not know
	// any has it when it is up.
	Carrier bool
	MTU     uint32 // octets of an IP packet, without the frame's header
	MAC     rtnl.HWAddr
	// Table4 and Table6 are the FIBs that packets received here are looked up in.
	Table4, Table6 uint32
	// Companion is the dataplane's own end of a pair (VPP: the tap; netns: the
	// veth): never a phy.
	Companion bool
	MPLS      bool // takes labelled packets
	// Multicast: what is sent to all on the link is handed on to the companion.
	// Told only with Caps.Multicast.
	Multicast bool
}

// InterfaceType says what frames an interface has.
type InterfaceType uint8

// The types.
const (
	Ethernet InterfaceType = iota
	Loopback               // Ethernet without a wire
	Layer3                 // packets without an Ethernet header: only a TUN fits
)

// Sub is what tells the frames of a sub-interface from others of its parent:
// one tag, or two. IEEE 802.1Q; 802.1ad when OuterAD.
type Sub struct {
	Outer, Inner uint16 // 1..4094; Inner 0: one tag
	OuterAD      bool   // the outer tag has type 0x88a8, else 0x8100
	InnerAD      bool   // the inner tag too
	// Exact: frames with further tags are not this one's. A pair needs it.
	Exact bool
}

// Pair is a dataplane interface and its Linux companion.
type Pair struct {
	Phy       uint32
	HostName  string // of the companion, at most 15 octets
	HostIndex uint32 // ifindex of the companion in its namespace; 0 in a PairAdd
	// NetNS is the file of the companion's namespace; "" for the daemon's own.
	NetNS string
	// HostPort is the dataplane's own end, NoIndex in a PairAdd or where there is
	// none.
	HostPort uint32
	TUN      bool // the companion has no Ethernet header
	Queues   uint8
}

// Addr is an address of an interface, host bits kept.
type Addr struct {
	Index  uint32
	Prefix netip.Prefix
}

// Neigh is a neighbour. Only static ones are told to a dataplane that resolves
// for itself (Caps.Resolves).
type Neigh struct {
	Index  uint32
	Addr   netip.Addr
	MAC    rtnl.HWAddr
	Static bool
}

// RouteKind says what becomes of packets that a route matches.
type RouteKind uint8

// The kinds.
const (
	Unicast     RouteKind = iota
	Blackhole             // dropped in silence
	Unreachable           // dropped with ICMP host unreachable
	Prohibit              // dropped with ICMP administratively prohibited
)

// MaxLabels is the deepest label stack that a path can push.
const MaxLabels = 16

// Labels is a stack of MPLS labels (RFC 3032), the outermost first.
type Labels struct {
	N uint8
	L [MaxLabels]uint32
}

// Path is one next hop of a route.
type Path struct {
	// Index is the interface; NoIndex with a Via: whatever interface Via is
	// reached through (recursive). Without Via the destination is on the link.
	Index uint32
	Via   netip.Addr // of either family for either family of route (RFC 5549)
	// Table is where Via is looked up when Index is NoIndex; where a popped
	// packet is looked up when there is no Via either.
	Table  uint32
	Weight uint16 // share of the traffic, from 1
	Labels Labels // what is pushed; of an MPLS route what the label is swapped for
}

// compare orders paths; the weight last, so that what is one path stands
// together.
func (p *Path) compare(o *Path) int {
	return cmp.Or(cmp.Compare(p.Index, o.Index), p.Via.Compare(o.Via), cmp.Compare(p.Table, o.Table),
		cmp.Compare(p.Labels.N, o.Labels.N), slices.Compare(p.Labels.L[:], o.Labels.L[:]), cmp.Compare(p.Weight, o.Weight))
}

// PathSet is what a route does: shared by the routes that do the same, and
// immutable.
type PathSet struct {
	Kind  RouteKind
	Paths []Path // sorted, none twice; empty unless Kind is Unicast
}

// Sort puts the paths in their order. Equal paths become one, with the sum of
// their weights.
func (s *PathSet) Sort() {
	slices.SortFunc(s.Paths, func(a, b Path) int { return a.compare(&b) })
	out := s.Paths[:0]
	for _, p := range s.Paths {
		if n := len(out); n > 0 {
			last := out[n-1]
			last.Weight = p.Weight
			if last == p {
				out[n-1].Weight += p.Weight
				continue
			}
		}
		out = append(out, p)
	}
	s.Paths = out
}

// Equal tells whether both do the same.
func (s *PathSet) Equal(o *PathSet) bool { return s.Kind == o.Kind && slices.Equal(s.Paths, o.Paths) }

// RouteKey identifies a route of the dataplane: one for each prefix of a table.
type RouteKey struct {
	Table uint32
	// Prefix is the destination, host bits zero; not valid for a label.
	Prefix netip.Prefix
	// Label and EOS (bottom of the stack) identify an MPLS route.
	Label uint32
	EOS   bool
}

// MPLS tells whether the key is a label.
func (k RouteKey) MPLS() bool { return !k.Prefix.IsValid() }

// Compare orders keys: by table, then prefix, labels first.
func (k RouteKey) Compare(o RouteKey) int {
	b := func(x bool) int {
		if x {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(k.Table, o.Table), k.Prefix.Addr().Compare(o.Prefix.Addr()),
		cmp.Compare(k.Prefix.Bits(), o.Prefix.Bits()), cmp.Compare(k.Label, o.Label), cmp.Compare(b(k.EOS), b(o.EOS)))
}

// Route is a route of the dataplane.
type Route struct {
	Key   RouteKey
	Paths *PathSet
}
