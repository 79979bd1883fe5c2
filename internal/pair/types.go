package pair

import (
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/pair/fib"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// Spec is a pair as configured.
type Spec struct {
	Name string // of the section
	Phy  string // name of the dataplane's interface; unique
	Host string // name of the companion, 1 to 15 octets; unique in its namespace
	// NetNS is the file of the companion's namespace, "" for the daemon's own.
	// NS is the same as the core numbers it.
	NetNS string
	NS    model.NS
	// Sync: changes made on the dataplane are taken over to Linux.
	Sync bool
	// AutoSubif: VLAN links on the companion and sub-interfaces of the phy are
	// paired as they come.
	AutoSubif bool
	// MPLS is whether the phy and its sub-interfaces take packets with labels.
	MPLS   MPLS
	TUN    bool
	Queues uint8 // of the companion; 0: one
}

// MPLS is what the configuration says of packets with labels.
type MPLS uint8

// What Spec.MPLS can be.
const (
	// MPLSFollows: as the setting net.mpls.conf.*.input of the companion.
	MPLSFollows MPLS = iota
	// MPLSOn and MPLSOff: that setting is written when the pair is made or what is
	// configured has changed, and followed from then on. Where the kernel has no
	// MPLS the dataplane alone is told.
	MPLSOn
	MPLSOff
)

// Options are what an Engine has to know.
type Options struct {
	Name string // of the dataplane, as configured
	Seed uint64 // of hash tables
	// Mirror gives the mirror of a namespace, nil while there is none.
	Mirror func(model.NS) *mirror.Engine
	// Skip are the route protocols (RTPROT_*) that are not mirrored.
	Skip []uint8
	// Table maps a Linux table to a FIB; ok is false for one that is not
	// mirrored. nil: the main table (254) is FIB 0, the others are their own
	// number.
	Table func(ns model.NS, table uint32) (id uint32, ok bool)
	// OwnLink and OwnAddr tell what netbraid's own configuration wants in Linux:
	// it is written from there, not copied. nil: nothing.
	OwnLink func(ns model.NS, name string) bool
	OwnAddr func(ns model.NS, link string, a *rtnl.Addr) bool
	// Made is what an earlier process has made (the last Remember action).
	Made []Made
	// FirstID is the ID of the first operation for Linux; they count up.
	FirstID uint64
}

// Made is something that this daemon has made on the dataplane or in Linux:
// it alone is removed again.
type Made struct {
	// Phy is the name of the interface of the pair; of a sub-interface the name
	// of its parent.
	Phy string
	Sub dataplane.Sub // of a sub-interface
	// Pair: the pair itself. Iface: the dataplane's sub-interface. Link: the VLAN
	// link in Linux.
	Pair, Iface, Link bool
	// Synced: what the dataplane had when the pair was made is in Linux; from
	// then on Linux counts.
	Synced bool
	// Told are the addresses on the interface that came from the companion, in
	// order, a space between them: they go with the pair, those that were there
	// before do not.
	Told string `json:",omitempty"`
}

// Interface is the name of the dataplane's interface, with its tags for a
// sub-interface.
func (m Made) Interface() string {
	if m.Sub == (dataplane.Sub{}) {
		return m.Phy
	}
	return m.Phy + tagsOf(m.Sub)
}

// Action is what the shell has to do. Their order counts.
type Action interface{ isAction() }

// The actions.
type (
	// Connect: dataplane.Connect.
	Connect struct{ Epoch uint32 }
	// Dump: dataplane.Dump.
	Dump struct {
		Epoch uint32
		Kind  dataplane.Kind
	}
	// Write: dataplane.Write.
	Write struct {
		Epoch uint32
		Batch dataplane.Batch
	}
	// Linux: operations in a namespace; answered by Engine.Wrote after every
	// notification that they caused.
	Linux struct {
		NS  model.NS
		Ops []*plan.Op
	}
	// Remember: keep this for the next process, before anything that follows is
	// done.
	Remember struct{ Made []Made }
	// Log: a line of the log. Level is a slog.Level.
	Log struct {
		Level int
		Msg   string
		Args  []any
	}
)

func (Connect) isAction()  {}
func (Dump) isAction()     {}
func (Write) isAction()    {}
func (Linux) isAction()    {}
func (Remember) isAction() {}
func (Log) isAction()      {}

// Status is how a dataplane and its pairs stand.
type Status struct {
	Name string
	// State is "connecting", "reading" (what the dataplane has), "live", or
	// "waiting" before the next attempt to connect.
	State   string
	Err     string        // why there is no connection
	RetryIn time.Duration // of "waiting"
	Since   time.Time     // of State
	Lost    time.Time     // since when there is no connection; zero while there is one
	Caps    dataplane.Caps
	Pairs   []PairStatus // as configured, each followed by its sub-interfaces
	// Pending and InFlight count operations of interfaces, not of routes.
	Pending, InFlight int
	// Lag is how long the dataplane has had the oldest operations that it has not
	// answered, those of routes included; 0 for none.
	Lag    time.Duration
	Errors []Error // of objects that belong to no pair
	FIB    fib.Status
}

// PairStatus is how one pair stands.
type PairStatus struct {
	Name   string // of the section; "" for a sub-interface that was paired by itself
	Phy    string
	Host   string // its name in Linux now
	NetNS  string
	Parent string // phy of the parent, of a sub-interface
	Sub    dataplane.Sub
	// State is "up" (all is in step), "syncing", "creating", "waiting for phy",
	// "waiting for namespace", "waiting for parent", "waiting for link",
	// "not connected", "removing" or "error".
	State     string
	Reason    string // more about State, of one that waits; empty where that says it all
	PhyIndex  uint32 // dataplane.NoIndex for none
	HostIndex uint32 // 0 for none
	TUN       bool
	Attrs     []Attr
	Errors    []Error
}

// Attr is one attribute of a pair, as people read it.
type Attr struct {
	Name             string // "carrier", "admin", "mtu", "mac", "table", "mpls", "multicast", "addresses", "neighbours"
	Owner            string // "dataplane" or "linux"
	Dataplane, Linux string
	InStep           bool
}

// Error is something that could not be done.
type Error struct {
	Object   string // "mtu of eth0", "address 192.0.2.1/24"
	Message  string
	Attempts int
	RetryIn  time.Duration // 0: not before something changes
}
