package dataplane

import (
	"errors"
	"net/netip"

	"netbraid/rtnl"
)

// OpKind is what an operation does. All are idempotent: what is there already
// is success when it is equal, what is gone already counts as deleted.
type OpKind uint8

// The operations, with the fields of Op that each reads.
const (
	// PairAdd: Pair: make the companion; answered by a Made with the pair. That of
	// a sub-interface is a VLAN link on its parent's companion (of two tags: on
	// that of the sub-interface with the outer tag alone); one that is there with
	// this name and these tags is taken. A zombie, whose companion somebody has
	// deleted in Linux, is removed by PairDel first.
	PairAdd OpKind = iota + 1
	PairDel        // Pair.Phy; the companion goes with it, VLAN links too
	// SubAdd: Index (the parent, never itself a sub-interface), Sub, Name (a
	// wish); Made.Index is the new interface.
	SubAdd
	SubDel   // Index
	SetUp    // Index, On
	SetMTU   // Index, Value: octets of an IP packet; the dataplane's own end of the pair too
	SetMAC   // Index, MAC
	SetTable // Index, Value: Table4 and Table6
	SetMPLS  // Index, On: whether it takes labelled packets
	// SetMulticast: Index (the phy), On: whether its companion hears what is sent
	// to all on the link. It goes along when the interface is bound to another
	// table. Only with Caps.Multicast.
	SetMulticast
	// SetCarrier: Index (the phy), On: what the companion shows. Only where
	// Caps.Carrier says that it does not follow by itself.
	SetCarrier
	TableAdd // Value: the table, Family
	TableDel // Value, Family: when nothing is in it
	AddrAdd  // Index, Prefix
	AddrDel
	NeighSet // Index, Addr, MAC, On: static
	NeighDel // Index, Addr
	RouteSet // Route, Paths: the route is this, whatever it was (no packet is lost on the way)
	RouteDel // Route
	// LocalAdd: Addr is the router's own (broadcast and anycast addresses
	// included): packets to it go to the companion. Only with Caps.Local.
	LocalAdd
	LocalDel
)

var opNames = [...]string{"", "pair add", "pair del", "sub-interface add", "sub-interface del", "set up", "set mtu", "set mac",
	"set table", "set mpls", "set multicast", "set carrier", "table add", "table del", "addr add", "addr del", "neigh set", "neigh del", "route set",
	"route del", "local add", "local del"}

func (k OpKind) String() string {
	if int(k) < len(opNames) {
		return opNames[k]
	}
	return "?"
}

// Op is one change of the dataplane.
type Op struct {
	Kind   OpKind
	Family uint8 // AF_INET, AF_INET6, AF_MPLS
	On     bool
	Ref    uint32 // the caller's; means nothing here
	Index  uint32
	Value  uint32
	MAC    rtnl.HWAddr
	Addr   netip.Addr
	Prefix netip.Prefix
	Route  RouteKey
	Paths  *PathSet
	Sub    Sub
	Name   string
	Pair   *Pair
}

// MaxBatch is the most operations of a Batch.
const MaxBatch = 1024

// Batch is operations to be done in order. One that fails does not keep the
// ones after it from being tried.
type Batch struct {
	ID  uint64 // comes back in Done
	Ops []Op   // the implementation's until Done, then the caller's again
}

// Failed is an operation of a Batch that had no effect.
type Failed struct {
	Op  int // its place in the Batch
	Err error
}

// Made is what an operation has made.
type Made struct {
	Op    int
	Index uint32 // SubAdd
	Pair  Pair   // PairAdd
}

// Errors that implementations wrap, so that callers can tell them apart.
var (
	// ErrUnsupported: this dataplane cannot do it; the message says what is
	// missing (a plugin, a message, a kernel option). Not worth trying again
	// before the next connection.
	ErrUnsupported = errors.New("not supported by this dataplane")
	// ErrNoInterface: there is no such interface (any more), or it is down and
	// takes no routes. Worth trying again when an interface has changed.
	ErrNoInterface = errors.New("no such interface")
	// ErrTaken: somebody else has it (an address on another interface, a name).
	ErrTaken = errors.New("taken")
	// ErrRefused: the dataplane or its driver does not want this value.
	ErrRefused = errors.New("refused")
)
