package fib

import (
	"time"

	"net/netip"

	"netbraid/internal/dataplane"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// Host is what a Table has to know of the rest. Its methods only read, and are
// called from within those of Table, also while a Sink hears of changes.
type Host interface {
	// Mirror is the model of a namespace that AddNS has named.
	Mirror(ns model.NS) *mirror.Engine
	// Phy is the dataplane's interface of a companion (or of a link on one).
	Phy(ns model.NS, ifindex uint32) (index uint32, ok bool)
	// Table is the FIB that a routing table of a namespace goes to: 254 to
	// dataplane.MainTable, others one to one unless the configuration says
	// otherwise; ok is false for one that goes nowhere.
	Table(ns model.NS, table uint32) (fib uint32, ok bool)
	// Connected tells whether the dataplane makes the route to prefix on a link
	// by itself, from an address that it is told.
	Connected(ns model.NS, ifindex uint32, prefix netip.Prefix) bool
	// IgnoresLinkdown tells whether Linux passes over next hops on a link that
	// has no carrier (the sysctl ignore_routes_with_linkdown of the link or of
	// all).
	IgnoresLinkdown(ns model.NS, ifindex uint32, family uint8) bool
	// Settled tells that the pairs are known as far as they can be: what no
	// namespace has a route for may be removed, if it was not us who wrote it
	// since we started.
	Settled() bool
}

// Options are what a Table is made with.
type Options struct {
	Host Host
	// Seed makes the order in memory; equal calls give equal answers.
	Seed uint64
	// Skip are the route protocols (RTPROT_*) that are not mirrored.
	Skip []uint8
}

// Table is the routes of one dataplane. It is not safe for concurrent use.
type Table struct {
	host Host
	skip [256]bool // protocols
	caps dataplane.Caps

	spaces      []*space // in the order in which they came
	turn        int      // of the space that is worked at first
	sources     []source // [0] is not used
	freeSources []uint16
	clock       uint64 // counts what translations stand on

	ent     entries
	sets    pathSets
	several map[uint32][]candidate // of entries with the flag, best first
	taken   int

	// Entries that the dataplane must have, that it has, and that differ in that.
	wanted, there, different int

	fibs    []vrf // each stays in its place
	fibOf   map[vrfKey]uint16
	lastFIB uint16
	dirty   []uint16 // FIBs that Next has to look at

	phase     phase
	fresh     bool // no dump has been compared on this connection
	complete  bool // the last dump was
	again     bool // one more dump is wanted
	settleBy  time.Time
	compareAt uint32
	unclaimed int
	sweeping  bool
	sweepAt   uint32

	purging, purgeAgain bool
	purgeAt             uint32
	purgeSince          uint64

	head, tail  uint32 // of the queue
	queue       int
	flying      int // operations in flight, those on FIBs included
	waiting     int
	unsupported int
	missing     bool // some wait for an interface
	waits       [delays][]attempt
	attempts    uint32
	failures    map[uint32]failure

	// seen are path sets of the running dump.
	seen     map[*dataplane.PathSet]uint32
	lastSeen *dataplane.PathSet
	lastSet  uint32

	building dataplane.PathSet // scratch
	rows     []rtnl.Route      // scratch
}

// failure is why an entry was refused.
type failure struct {
	err   string
	retry time.Time
}

// New makes a table that knows no namespace and no dataplane.
func New(o Options) *Table {
	t := &Table{
		host: o.Host, caps: dataplane.Caps{MPLS: true}, sources: make([]source, 1), sets: newPathSets(),
		several: map[uint32][]candidate{}, fibOf: map[vrfKey]uint16{}, fresh: true,
		failures: map[uint32]failure{}, seen: map[*dataplane.PathSet]uint32{},
	}
	t.ent.seed = o.Seed
	t.SetFilter(o.Skip)
	return t
}
