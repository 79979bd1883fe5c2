package vpp

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"netbraid/internal/dataplane"
)

// localInterface is VPP's interface 0, local0: it carries nothing. Asking for
// interface 0 asks for all.
const localInterface = 0

// world is what a session knows of VPP's interfaces.
type world struct {
	raw    map[uint32]iface
	ifaces map[uint32]dataplane.Interface // as told
	pairs  map[uint32]dataplane.Pair      // by phy; NetNS as the contract has it
	hosts  map[uint32]uint32              // phy of a companion's HostPort
	groups map[dataplane.Table]*group     // multicast, by FIB
	table4 map[uint32]uint32              // the FIB of IPv4, as last read or written
	// dirty are interfaces that something happened to; true: among it a
	// deletion. all stands for too many.
	dirty map[uint32]bool
	all   bool
	// deleted counts deletions that were told already, because we have made them,
	// and whose event is still to come.
	deleted map[uint32]int
}

// maxDirty is how many interfaces are remembered one by one.
const maxDirty = 1 << 14

func (w *world) init() {
	w.raw, w.ifaces = map[uint32]iface{}, map[uint32]dataplane.Interface{}
	w.pairs, w.hosts = map[uint32]dataplane.Pair{}, map[uint32]uint32{}
	w.groups, w.table4 = map[dataplane.Table]*group{}, map[uint32]uint32{}
	w.dirty, w.deleted = map[uint32]bool{}, map[uint32]int{}
}

// interfaceEvent notes that something happened to an interface.
func (s *session) interfaceEvent(p []byte) error {
	index, deleted, err := decodeInterfaceEvent(p)
	if err != nil {
		return fmt.Errorf("%s: %w", swInterfaceEvent, err)
	}
	w := &s.world
	if deleted && w.deleted[index] > 0 {
		if w.deleted[index]--; w.deleted[index] == 0 {
			delete(w.deleted, index)
		}
		deleted = false
	}
	if _, there := w.dirty[index]; !there && len(w.dirty) >= maxDirty {
		w.all = true
		return nil
	}
	w.dirty[index] = w.dirty[index] || deleted
	return nil
}

// refreshDirty looks at the interfaces that something happened to, and tells
// what is different.
func (s *session) refreshDirty() error {
	w := &s.world
	s.now = time.Now()
	dirty := w.dirty
	w.dirty = map[uint32]bool{}
	if w.all {
		w.all = false
		for i := range w.ifaces {
			dirty[i] = dirty[i] || false
		}
		if err := s.readRaw(localInterface, func(i iface) { dirty[i.index] = dirty[i.index] || false }); err != nil {
			return err
		}
	}
	unknown := false
	for _, index := range slices.Sorted(maps.Keys(dirty)) {
		if dirty[index] {
			s.gone(index)
		}
		if _, known := w.ifaces[index]; !known {
			unknown = true
		}
	}
	if unknown {
		// It may be a companion that somebody else has made.
		changed, _, err := s.readPairs()
		if err != nil {
			return err
		}
		if changed {
			s.deliver(dataplane.Disturbed{Epoch: s.q.epoch, Kind: dataplane.KindPair})
		}
	}
	return s.refresh(dirty)
}

// gone tells that an interface is no more. A pair goes with either end.
func (s *session) gone(index uint32) {
	w := &s.world
	delete(w.raw, index)
	delete(w.table4, index)
	// Another may get its number.
	maps.DeleteFunc(s.c.within, func(k said, _ netip.Prefix) bool { return k.index == index })
	delete(s.c.local, index)
	delete(s.c.ip4, index)
	for _, g := range w.groups {
		delete(g.accepts, index)
	}
	if _, known := w.ifaces[index]; known {
		delete(w.ifaces, index)
		s.deliver(dataplane.Gone{Epoch: s.q.epoch, Index: index})
	}
	phy := index
	if of, companion := w.hosts[index]; companion {
		phy = of
	}
	if p, paired := w.pairs[phy]; paired {
		delete(w.pairs, phy)
		delete(w.hosts, p.HostPort)
	}
}

// refresh reads interfaces again and tells what is different.
func (s *session) refresh(indices map[uint32]bool) error {
	for _, index := range slices.Sorted(maps.Keys(indices)) {
		if index == localInterface || index == dataplane.NoIndex {
			continue
		}
		before := s.world.ifaces[index]
		there, err := s.readOne(index)
		if err != nil {
			return err
		}
		if !there {
			s.gone(index)
			continue
		}
		i, err := s.complete(s.world.raw[index])
		if err != nil {
			return err
		}
		s.tell(i)
		if before.MTU == i.MTU && before.MAC == i.MAC && before.Carrier == i.Carrier && before.Up == i.Up {
			continue
		}
		if err := s.refreshSubs(index); err != nil {
			return err
		}
	}
	return nil
}

// refreshSubs looks at the sub-interfaces of an interface that has changed:
// they inherit.
func (s *session) refreshSubs(parent uint32) error {
	for _, index := range slices.Sorted(maps.Keys(s.world.raw)) {
		old, known := s.world.ifaces[index]
		if s.world.raw[index].parent != parent || !known {
			continue
		}
		there, err := s.readOne(index)
		if err != nil {
			return err
		}
		if there {
			i := s.describe(s.world.raw[index])
			i.Table4, i.Table6, i.MPLS, i.Multicast = old.Table4, old.Table6, old.MPLS, old.Multicast
			s.tell(i)
		}
	}
	return nil
}

// tell reports an interface when it is not what was last reported.
func (s *session) tell(i dataplane.Interface) {
	if s.world.ifaces[i.Index] == i {
		return
	}
	s.world.ifaces[i.Index] = i
	s.deliver(dataplane.Changed{Epoch: s.q.epoch, Interface: i})
}

// readRaw dumps one interface, or with localInterface all.
func (s *session) readRaw(index uint32, each func(i iface)) error {
	if index == localInterface {
		index = dataplane.NoIndex
	}
	refused, err := s.dump(swInterfaceDump, swInterfaceDetails, encodeInterfaceDump(nil, index), func(p []byte) error {
		i, err := decodeInterface(p)
		if err != nil {
			return fmt.Errorf("%s: %w", swInterfaceDetails, err)
		}
		if i.index != localInterface && (index == dataplane.NoIndex || i.index == index) {
			each(i)
		}
		return nil
	})
	if refused != nil {
		return refused // without it nothing works
	}
	return err
}

// readOne brings what is known of an interface up to date.
func (s *session) readOne(index uint32) (there bool, err error) {
	err = s.readRaw(index, func(i iface) {
		there = true
		s.world.raw[index] = i
	})
	if !there {
		delete(s.world.raw, index)
	}
	return there, err
}

// describe puts an interface into the contract's words, all but what has to be
// asked for one by one.
func (s *session) describe(r iface) dataplane.Interface {
	i := dataplane.Interface{Index: r.index, Name: r.name, Parent: r.parent, Sub: r.tags,
		Up: r.status&statusAdminUp != 0, Carrier: r.status&statusLinkUp != 0, MTU: r.mtu}
	base := r
	if r.sub {
		base = s.world.raw[r.parent]
	}
	if i.MTU == 0 {
		i.MTU = base.mtu
	}
	if i.MTU == 0 {
		i.MTU = base.linkMTU
	}
	i.Type, i.MAC = kindOf(base)
	_, i.Companion = s.world.hosts[base.index]
	return i
}

// complete describes an interface with its tables and whether it takes labels.
func (s *session) complete(r iface) (i dataplane.Interface, err error) {
	if r.sub && s.world.raw[r.parent].index != r.parent {
		if _, err := s.readOne(r.parent); err != nil {
			return i, err
		}
	}
	i = s.describe(r)
	if i.Table4, err = s.readTable(r.index, false); err != nil {
		return i, err
	}
	if i.Table6, err = s.readTable(r.index, true); err != nil {
		return i, err
	}
	i.Multicast = s.world.accepts(r.index, i.Table4, i.Table6)
	i.MPLS, err = s.readMPLS(r.index)
	return i, err
}

// readTable asks for the FIB of an interface; 0 when it is gone meanwhile.
func (s *session) readTable(index uint32, v6 bool) (uint32, error) {
	d, refused, err := s.call(getTable, getTableReply, encodeIndexAF(nil, index, v6))
	if refused != nil || err != nil {
		return 0, err
	}
	table := d.u32()
	if !v6 {
		s.world.table4[index] = table
	}
	return table, d.err
}

// readMPLS asks whether an interface takes labelled packets.
func (s *session) readMPLS(index uint32) (on bool, err error) {
	if !s.ids.has(mplsMessages...) {
		return false, nil
	}
	_, err = s.dump(mplsInterfaceDump, mplsInterfaceDetails, put32(nil, index), func(p []byte) error {
		d := decoder{b: p}
		d.skip(2 + 4)
		on = on || d.u32() == index
		return d.err
	})
	return on, err
}

// lookup returns an interface, asking VPP when it is not known yet.
func (s *session) lookup(index uint32) (r iface, refused, err error) {
	if index == localInterface || index == dataplane.NoIndex {
		return r, fmt.Errorf("%w: %d", dataplane.ErrNoInterface, index), nil
	}
	if r, known := s.world.raw[index]; known {
		return r, nil, nil
	}
	there, err := s.readOne(index)
	if err != nil {
		return r, nil, err
	}
	if !there {
		return r, fmt.Errorf("%w: %d", dataplane.ErrNoInterface, index), nil
	}
	return s.world.raw[index], nil, nil
}
