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
}

// New makes a table that knows no namespace and no dataplane.
func New(o Options) *Table { return &Table{host: o.Host} }

// AddNS lets a namespace take part: its routes are read in slices (Work), and
// RouteChanged and its like are heeded from now on. Those of other namespaces
// are ignored.
func (t *Table) AddNS(ns model.NS) {}

// DropNS ends that. The namespace's mirror may be gone already.
func (t *Table) DropNS(ns model.NS) {}

// RouteChanged tells that the routes of a key are not what they were.
func (t *Table) RouteChanged(key model.RouteKey) {}

// NexthopChanged tells of a next-hop object, after the mirror has it.
func (t *Table) NexthopChanged(ns model.NS, old, new *rtnl.Nexthop) {}

// LinkChanged tells of a link, after the mirror has it.
func (t *Table) LinkChanged(ns model.NS, old, new *rtnl.Link) {}

// AddrChanged tells of an address, after the mirror has it: an IPv4 next hop
// dies with the last address of its link.
func (t *Table) AddrChanged(ns model.NS, old, new *rtnl.Addr) {}

// Rebind tells that Phy, Connected or IgnoresLinkdown says something else of a
// link than it did.
func (t *Table) Rebind(ns model.NS, ifindex uint32) {}

// TablesChanged tells that Host.Table says something else.
func (t *Table) TablesChanged() {}

// SetFilter gives the route protocols that are not mirrored.
func (t *Table) SetFilter(skip []uint8) {}

// Connected begins a connection. Nothing is emitted before the dump of its
// tables and routes has ended.
func (t *Table) Connected(now time.Time, caps dataplane.Caps) {}

// Lost ends a connection: what the dataplane has is a guess until the next
// dump, and what was in flight will not be answered.
func (t *Table) Lost() {}

// Redump asks for a comparison with what the dataplane has, without a new
// connection: nothing more is emitted, and when nothing is in flight any more
// (Drained) KindTable and KindRoute are to be dumped.
func (t *Table) Redump() {}

// Drained tells that the dumps may begin: a connection is there, a dump is
// wanted, and nothing is in flight.
func (t *Table) Drained() bool { return false }

// DumpedTables tells of FIBs that the dataplane has.
func (t *Table) DumpedTables(tables []dataplane.Table) {}

// Dumped tells of routes of ours that the dataplane has.
func (t *Table) Dumped(routes []dataplane.Route) {}

// DumpDone ends the dump of routes. After one that was not complete, what it
// has not shown is written again, nothing unknown is removed, and Status says
// that another dump is wanted.
func (t *Table) DumpDone(now time.Time, complete bool) {}

// InterfacesChanged tells that the dataplane has another interface: what failed
// for want of one is tried again.
func (t *Table) InterfacesChanged() {}

// Hold makes a FIB be there (TableAdd) whether it has routes or not, until
// Release: an interface is bound to it.
func (t *Table) Hold(fib uint32, family uint8) {}

// Release takes one Hold back.
func (t *Table) Release(fib uint32, family uint8) {}

// HasTable tells whether the dataplane has a FIB.
func (t *Table) HasTable(fib uint32, family uint8) bool { return false }

// Next appends the next operations to out until it has max, and returns it.
// They are in flight until Done or Lost. Op.Ref is the entry's slot.
func (t *Table) Next(now time.Time, out []dataplane.Op, max int) []dataplane.Op { return out }

// Done takes the answer to a batch; operations in it that are not from Next
// (those of interfaces) are passed over.
func (t *Table) Done(now time.Time, ops []dataplane.Op, failed []dataplane.Failed) {}

// Work does a slice of what changes of links, next-hop objects, pairs and
// connections have left to do, and tells whether more is left. A route costs 1
// of budget, one that has not changed less.
func (t *Table) Work(now time.Time, budget int) bool { return false }

// Deadline is when Next has something to say again because of time; zero for
// never.
func (t *Table) Deadline() time.Time { return time.Time{} }

// Idle tells that nothing is queued, in flight or left to Work.
func (t *Table) Idle() bool { return true }
