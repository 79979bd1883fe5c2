package memory

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// Linux makes and removes companions. The indexes are ifindexes.
type Linux interface {
	// AddLink makes a link with that MTU and address, down.
	AddLink(netns, name string, mtu uint32, mac rtnl.HWAddr, tun bool) (uint32, error)
	// AddVLAN makes a VLAN link, or takes the one of that name with that tag.
	AddVLAN(netns string, parent uint32, name string, id uint16, ad bool) (uint32, error)
	// DelLink removes a link that may be gone already.
	DelLink(netns string, index uint32)
	// SetCarrier is what the link shows.
	SetCarrier(netns string, index uint32, on bool)
}

// Options are what kind of dataplane it is.
type Options struct {
	Caps  dataplane.Caps
	Linux Linux
	// MaxMTU is the largest that phys take; 0: 9216.
	MaxMTU uint32
	// RefuseOverlap: no two interfaces of a FIB may have overlapping subnets, as
	// in VPP.
	RefuseOverlap bool
	// ForgetsIPv6: an interface that goes down loses its IPv6 addresses, as in
	// Linux, and says so only on request.
	ForgetsIPv6 bool
	// Slow: between the operations of a batch others have their turn.
	Slow bool
	// Chunk is how many rows a part of a dump has; 0: 256.
	Chunk int
}

// World is what a dataplane has.
type World struct {
	o      Options
	ifaces map[uint32]*dataplane.Interface
	pairs  map[uint32]dataplane.Pair
	tables map[dataplane.Table]bool
	addrs  map[dataplane.Addr]bool
	neighs map[neighKey]dataplane.Neigh
	locals map[netip.Addr]bool
	routes map[dataplane.RouteKey]*dataplane.PathSet
	// others are routes of another source.
	others map[dataplane.RouteKey]*dataplane.PathSet
	shown  map[uint32]bool // carriers set by SetCarrier, by phy
	next   uint32
	free   []uint32 // numbers that were in use
	macs   byte
	planes []*Plane
	follow []*dataplane.Interface // changed with their parent, and told after it

	// Refuse may make an operation fail; nil: none.
	Refuse func(op *dataplane.Op) error
	// Swallow may make an operation succeed without being done: a dataplane that
	// lies. nil: none.
	Swallow func(op *dataplane.Op) bool
	// Lose may end the connection before (or after) an operation; nil: never.
	Lose func(op *dataplane.Op) (before, after bool)
	// SpoilDump may end a dump with an error after a part; nil: never.
	SpoilDump func(k dataplane.Kind) error
	// Unreachable: it cannot be connected to, for that reason.
	Unreachable error
}

type neighKey struct {
	index uint32
	addr  netip.Addr
}

// New makes a dataplane without interfaces.
func New(o Options) *World {
	if o.Caps.Version == "" {
		o.Caps.Version = "memory"
	}
	if o.Caps.MaxPaths == 0 {
		o.Caps.MaxPaths = 64
	}
	if o.MaxMTU == 0 {
		o.MaxMTU = 9216
	}
	if o.Chunk == 0 {
		o.Chunk = 256
	}
	w := &World{o: o, ifaces: map[uint32]*dataplane.Interface{}, next: 1}
	w.reset()
	return w
}

func (w *World) reset() {
	w.pairs, w.tables, w.addrs = map[uint32]dataplane.Pair{}, map[dataplane.Table]bool{}, map[dataplane.Addr]bool{}
	w.neighs, w.locals = map[neighKey]dataplane.Neigh{}, map[netip.Addr]bool{}
	w.routes, w.others = map[dataplane.RouteKey]*dataplane.PathSet{}, map[dataplane.RouteKey]*dataplane.PathSet{}
	w.shown = map[uint32]bool{}
}

// Caps are what it says of itself.
func (w *World) Caps() dataplane.Caps { return w.o.Caps }

// tell hands an event to whoever is connected.
func (w *World) tell(f func(epoch uint32) dataplane.Event) {
	for _, p := range w.planes {
		if p.up {
			p.events = append(p.events, f(p.epoch))
		}
	}
}

func (w *World) changed(i *dataplane.Interface) {
	x := *i
	w.tell(func(epoch uint32) dataplane.Event { return dataplane.Changed{Epoch: epoch, Interface: x} })
}

// AddPhy plugs in an interface: with carrier, MTU 1500, down.
func (w *World) AddPhy(name string, t dataplane.InterfaceType) uint32 {
	w.macs++
	i := &dataplane.Interface{Index: w.index(), Name: name, Parent: dataplane.NoIndex, Type: t, Carrier: true, MTU: 1500}
	if t != dataplane.Layer3 {
		i.MAC = rtnl.MAC([6]byte{2, 0xfe, 0, 0, 0, w.macs})
	}
	w.ifaces[i.Index] = i
	w.changed(i)
	return i.Index
}

// index gives the number of the sub-interface or companion that went last, as
// VPP does, or a new one.
func (w *World) index() uint32 {
	if n := len(w.free); n > 0 {
		i := w.free[n-1]
		w.free = w.free[:n-1]
		return i
	}
	w.next++
	return w.next
}

// DelPhy unplugs an interface, with all that is on it.
func (w *World) DelPhy(name string) {
	if i := w.Named(name); i != nil {
		w.drop(i.Index, true)
	}
}

// Named gives the interface of a name, or nil.
func (w *World) Named(name string) *dataplane.Interface {
	for _, index := range slices.Sorted(maps.Keys(w.ifaces)) {
		if w.ifaces[index].Name == name {
			return w.ifaces[index]
		}
	}
	return nil
}

// drop removes an interface, its sub-interfaces and all that is on them.
func (w *World) drop(index uint32, tell bool) {
	for _, sub := range slices.Sorted(maps.Keys(w.ifaces)) {
		if i := w.ifaces[sub]; i != nil && i.Parent == index {
			w.drop(sub, tell)
		}
	}
	w.unpair(index, tell)
	if i := w.ifaces[index]; i != nil && (i.Companion || i.Parent != dataplane.NoIndex) {
		w.free = append(w.free, index)
	}
	delete(w.ifaces, index)
	maps.DeleteFunc(w.addrs, func(a dataplane.Addr, _ bool) bool { return a.Index == index })
	maps.DeleteFunc(w.neighs, func(k neighKey, _ dataplane.Neigh) bool { return k.index == index })
	through := func(_ dataplane.RouteKey, s *dataplane.PathSet) bool {
		return slices.ContainsFunc(s.Paths, func(p dataplane.Path) bool { return p.Index == index })
	}
	n := len(w.routes)
	maps.DeleteFunc(w.routes, through)
	maps.DeleteFunc(w.others, through)
	if tell {
		w.tell(func(epoch uint32) dataplane.Event { return dataplane.Gone{Epoch: epoch, Index: index} })
		if len(w.routes) != n {
			w.tell(func(epoch uint32) dataplane.Event {
				return dataplane.Disturbed{Epoch: epoch, Kind: dataplane.KindRoute}
			})
		}
	}
}

// unpair removes the companion of an interface, after those on top of it.
func (w *World) unpair(index uint32, tell bool) {
	p, ok := w.pairs[index]
	if !ok {
		return
	}
	me := w.ifaces[index]
	for _, sub := range slices.Sorted(maps.Keys(w.pairs)) {
		if i := w.ifaces[sub]; sub != index && i != nil && me != nil && (i.Parent == index || i.Parent == me.Parent &&
			me.Parent != dataplane.NoIndex && me.Sub.Inner == 0 && i.Sub.Outer == me.Sub.Outer && i.Sub.OuterAD == me.Sub.OuterAD) {
			w.unpair(sub, tell)
		}
	}
	delete(w.pairs, index)
	delete(w.shown, index)
	if w.o.Linux != nil {
		w.o.Linux.DelLink(p.NetNS, p.HostIndex)
	}
	if p.HostPort != dataplane.NoIndex {
		w.drop(p.HostPort, tell)
	}
}

// SetCarrier plugs a wire in or out.
func (w *World) SetCarrier(name string, on bool) {
	i := w.Named(name)
	if i == nil || i.Carrier == on {
		return
	}
	i.Carrier = on
	w.changed(i)
	if p, ok := w.pairs[i.Index]; ok && !w.o.Caps.Carrier && w.o.Linux != nil {
		w.o.Linux.SetCarrier(p.NetNS, p.HostIndex, on)
	}
}

// Restart ends every connection and starts anew: with everything, or with the
// phys as they are when nobody has configured them.
func (w *World) Restart(keep bool) {
	for _, p := range w.planes {
		p.lose(fmt.Errorf("restarted"))
	}
	if keep {
		return
	}
	for _, index := range slices.Sorted(maps.Keys(w.pairs)) {
		w.unpair(index, false)
	}
	old := w.ifaces
	w.ifaces, w.free = map[uint32]*dataplane.Interface{}, nil
	w.reset()
	w.next += uint32(len(old) % 3)
	for _, index := range slices.Sorted(maps.Keys(old)) {
		if i := old[index]; i.Parent == dataplane.NoIndex && !i.Companion {
			n := &dataplane.Interface{Index: w.index(), Name: i.Name, Parent: i.Parent, Type: i.Type, Carrier: i.Carrier, MTU: 1500, MAC: i.MAC}
			w.ifaces[n.Index] = n
		}
	}
}

// Has tells everything that it has, in order.
func (w *World) Has() dataplane.Dumped {
	var d dataplane.Dumped
	for _, i := range slices.Sorted(maps.Keys(w.ifaces)) {
		d.Interfaces = append(d.Interfaces, *w.ifaces[i])
	}
	for _, i := range slices.Sorted(maps.Keys(w.pairs)) {
		d.Pairs = append(d.Pairs, w.pairs[i])
	}
	d.Tables = slices.SortedFunc(maps.Keys(w.tables), func(a, b dataplane.Table) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Family, b.Family))
	})
	d.Addrs = slices.SortedFunc(maps.Keys(w.addrs), compareAddrs)
	d.Neighs = slices.SortedFunc(maps.Values(w.neighs), func(a, b dataplane.Neigh) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), a.Addr.Compare(b.Addr))
	})
	d.Locals = slices.SortedFunc(maps.Keys(w.locals), netip.Addr.Compare)
	for _, k := range slices.SortedFunc(maps.Keys(w.routes), dataplane.RouteKey.Compare) {
		d.Routes = append(d.Routes, dataplane.Route{Key: k, Paths: w.routes[k]})
	}
	return d
}

func compareAddrs(a, b dataplane.Addr) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
}
