package dataplane

import "net/netip"

// Kind is a table that can be dumped.
type Kind uint8

// The kinds, in the order in which they are dumped: each needs those before it.
const (
	KindInterface Kind = iota + 1
	KindPair
	KindTable
	KindAddr
	KindNeigh
	KindLocal
	KindRoute
	kindEnd
)

// Kinds lists all of them.
var Kinds = [...]Kind{KindInterface, KindPair, KindTable, KindAddr, KindNeigh, KindLocal, KindRoute}

func (k Kind) String() string {
	names := [...]string{"?", "interfaces", "pairs", "tables", "addresses", "neighbours", "local addresses", "routes"}
	return names[min(k, kindEnd)%kindEnd]
}

// Caps is what a dataplane can and must be told.
type Caps struct {
	// Local: it has to be told which addresses are the router's own (LocalAdd).
	Local bool
	// Resolves: it finds its neighbours itself; only static ones are told.
	Resolves bool
	// Carrier: companions do not follow the carrier of their phy by themselves
	// (SetCarrier).
	Carrier bool
	// Multicast: a companion hears what is sent to all on its link (multicast
	// groups of the link, 255.255.255.255) only once that is asked for
	// (SetMulticast). Otherwise it hears it from the beginning.
	Multicast bool
	// Clamps: a sub-interface is up only while its parent is and goes down and up
	// with it, and its MTU is at most the parent's, as in Linux. Otherwise each
	// stands for itself, as in VPP.
	Clamps                   bool
	MPLS, TUN, SubInterfaces bool
	MaxPaths                 int    // of a route; at least 16
	Version                  string // for people: "VPP 26.10-rc0", "Linux 6.12 namespace /run/netns/fwd"
	// Missing says what this one lacks and why, for `netbraid fib`.
	Missing []string
}

// Table is a FIB; only those that were added.
type Table struct {
	ID     uint32
	Family uint8
}

// Event is something that a dataplane tells. All but Down carry the epoch of
// the connection that they belong to; what is of another epoch is ignored.
type Event interface{ isEvent() }

// The events.
type (
	// Up: a connection (or namespace) is there, and tells changes from now on.
	Up struct {
		Epoch uint32
		Caps  Caps
	}
	// Down: it is gone or could not be had; nothing more of this epoch comes,
	// and whatever was in flight may have been done or not.
	Down struct {
		Epoch uint32
		Err   error
	}
	// Dumped: a part of a dump; the slice of its kind is filled. Routes are only
	// those of our own source. VPP leaves out one that is hidden by another
	// source's (a connected subnet's), and has no source for those of labels: all
	// from label 16 on count as ours.
	Dumped struct {
		Epoch      uint32
		Kind       Kind
		Interfaces []Interface
		Pairs      []Pair
		Tables     []Table
		Addrs      []Addr
		Neighs     []Neigh
		Locals     []netip.Addr
		Routes     []Route
	}
	// DumpDone ends a dump.
	DumpDone struct {
		Epoch uint32
		Kind  Kind
		Err   error // nil: it was complete
	}
	// Changed: an interface is new or not what it was, whoever has changed it.
	Changed struct {
		Epoch     uint32
		Interface Interface
	}
	// Gone: an interface is no more; everything on it went with it.
	Gone struct {
		Epoch uint32
		Index uint32
	}
	// AddrChanged: somebody else has changed an address.
	AddrChanged struct {
		Epoch uint32
		Addr  Addr
		Gone  bool
	}
	// Disturbed: somebody else may have changed what is ours, or the dataplane has
	// dropped it with an interface that was down and is up again; dump it and
	// compare.
	Disturbed struct {
		Epoch uint32
		Kind  Kind
	}
	// Done: every operation of a Batch has been answered. It comes after every
	// event that they caused.
	Done struct {
		Epoch  uint32
		ID     uint64
		Ops    []Op // the Batch's, to be used again
		Failed []Failed
		Made   []Made
	}
)

func (Up) isEvent()          {}
func (Down) isEvent()        {}
func (Dumped) isEvent()      {}
func (DumpDone) isEvent()    {}
func (Changed) isEvent()     {}
func (Gone) isEvent()        {}
func (AddrChanged) isEvent() {}
func (Disturbed) isEvent()   {}
func (Done) isEvent()        {}

// Dataplane is what forwards. Its methods return at once and are called from
// one goroutine; answers are delivered in order, from goroutines of its own.
// Delivering blocks while the consumer is behind.
type Dataplane interface {
	// Connect gives up what there is and connects; answered by Up or Down, once.
	// After a Down it is called again by the caller's timer.
	Connect(epoch uint32)
	// Dump reads a table: Dumped as often as needed, then DumpDone.
	Dump(epoch uint32, k Kind)
	// Write does operations; at most a few batches are in flight. Answered by
	// Done, or by Down.
	Write(epoch uint32, b Batch)
	// Close ends everything. What was written stays.
	Close()
}
