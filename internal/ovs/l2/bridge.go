package l2

import (
	"cmp"
	"slices"
	"time"
)

// Options are the limits of a Bridge; what is 0 gets its default.
type Options struct {
	Ageing      time.Duration // of an address; default 300 s
	Idle        time.Duration // after which an unused flow goes; default 10 s
	MaxStations int           // in the MAC table; default 16,384
	MaxFlows    int           // default 65,536
	// MaxActions bounds the actions of all flows together: flows that flood over
	// a thousand ports are large in the kernel. Default 1,048,576, of 8 octets.
	MaxActions int
	// ForwardReserved: frames to 01:80:c2:00:00:00 to 0f are forwarded as other
	// multicast, which IEEE 802.1Q forbids a bridge.
	ForwardReserved bool
}

func (o *Options) fill() {
	o.Ageing = cmp.Or(o.Ageing, 300*time.Second)
	o.Idle = cmp.Or(o.Idle, 10*time.Second)
	o.MaxStations = cmp.Or(o.MaxStations, 16384)
	o.MaxFlows = cmp.Or(o.MaxFlows, 65536)
	o.MaxActions = cmp.Or(o.MaxActions, 1<<20)
}

// Port is a port of a Bridge.
type Port struct {
	Number uint32
	VLAN   VLAN
}

type port struct {
	Port
	first, last *entry // the stations behind it, the least recently seen first
	entries     int
}

// Stats count what a Bridge has done.
type Stats struct {
	Stations, Flows        int // there are now
	Moves, Holds, Evicted  uint64
	Unknown, Flooded, Full uint64 // frames: to an unknown station; to many; without a flow for want of room
	Repaired               uint64 // flows that others had changed
}

// Bridge is a learning switch. It is not safe for concurrent use. Times are of
// one clock that does not jump, as CLOCK_MONOTONIC.
type Bridge struct {
	o        Options
	ports    []*port // by number
	byNumber map[uint32]*port
	stations map[station]*entry
	flows    map[Key]*flow
	all      *flow
	actions  int // of all flows
	floods   map[floodKey][][]Action
	changes  []Change
	poll     uint32
	found    []Found
	strange  int // flows that a brief poll has shown and we do not know
	stats    Stats
}

// floodKey is what the actions of flooding depend on.
type floodKey struct {
	port uint32
	vlan uint16
	tag  Tag
}

// maxFloods bounds the lists of actions that are kept: one a port, VLAN and
// priority is usual.
const maxFloods = 4096

// New makes a bridge without ports.
func New(o Options) *Bridge {
	o.fill()
	return &Bridge{o: o, byNumber: map[uint32]*port{}, stations: map[station]*entry{}, flows: map[Key]*flow{}, floods: map[floodKey][][]Action{}}
}

// SetOptions changes the limits. What is over them now goes with the next poll
// or when room is needed.
func (b *Bridge) SetOptions(o Options) {
	o.fill()
	reserved := o.ForwardReserved != b.o.ForwardReserved
	b.o = o
	if reserved {
		b.review()
	}
}

// Changes gives what the datapath is to be told, in this order, since the last
// call; the slice is valid until the next call of any method. It is to be
// called, and the datapath to be told, after each of the others.
func (b *Bridge) Changes() []Change {
	c := b.changes
	b.changes = b.changes[:0]
	return c
}

// Stats gives the counts.
func (b *Bridge) Stats() Stats {
	s := b.stats
	s.Stations, s.Flows = len(b.stations), len(b.flows)
	return s
}

// SetPorts says which ports there are; numbers are distinct. A port that goes
// takes its stations and flows with it, so it is told here before it is removed
// from the datapath: its number may come to mean another one.
func (b *Bridge) SetPorts(ports []Port) {
	want := map[uint32]bool{}
	changed := false
	for _, w := range ports {
		want[w.Number] = true
		p := b.byNumber[w.Number]
		switch {
		case p == nil:
			p = &port{Port: w}
			b.byNumber[w.Number] = p
			b.ports = append(b.ports, p)
			changed = true
		case !p.VLAN.equal(&w.VLAN):
			p.VLAN = w.VLAN
			changed = true
			b.forgetWhere(p, func(e *entry) bool { return !p.VLAN.carries(e.vlan) })
		}
	}
	b.ports = slices.DeleteFunc(b.ports, func(p *port) bool {
		if want[p.Number] {
			return false
		}
		b.forgetWhere(p, func(*entry) bool { return true })
		delete(b.byNumber, p.Number)
		changed = true
		return true
	})
	if !changed {
		return
	}
	slices.SortFunc(b.ports, func(a, c *port) int { return cmp.Compare(a.Number, c.Number) })
	clear(b.floods)
	b.review()
}

func (b *Bridge) forgetWhere(p *port, gone func(*entry) bool) {
	for e := p.first; e != nil; {
		next := e.next
		if gone(e) {
			b.forget(e)
		}
		e = next
	}
}

// Station is a line of the MAC table.
type Station struct {
	VLAN uint16
	MAC  MAC
	Port uint32
	Seen time.Duration // when it was last known to have sent
	Held bool          // it moved too often and stays where it is for now
}

// Stations lists the MAC table by port, the least recently seen first.
func (b *Bridge) Stations() []Station {
	list := make([]Station, 0, len(b.stations))
	for _, p := range b.ports {
		for e := p.first; e != nil; e = e.next {
			list = append(list, Station{e.vlan, e.mac, p.Number, e.seen, e.heldUntil != 0})
		}
	}
	return list
}
