package vpp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// operate does one operation that is no route, and waits for its answer.
// refused is why it had no effect; err ends the session.
func (s *session) operate(b *batch, i int, op *dataplane.Op) (refused, err error) {
	switch op.Kind {
	case dataplane.TableAdd, dataplane.TableDel:
		return s.table(op)
	case dataplane.PairAdd:
		return s.pairAdd(b, i, op)
	case dataplane.PairDel:
		return s.pairDel(b, op)
	case dataplane.SetCarrier, dataplane.LocalAdd, dataplane.LocalDel:
		return fmt.Errorf("%w: VPP does that itself", dataplane.ErrUnsupported), nil
	}
	if op.Index == localInterface || op.Index == dataplane.NoIndex {
		return fmt.Errorf("%w: %d", dataplane.ErrNoInterface, op.Index), nil
	}
	switch op.Kind {
	case dataplane.AddrAdd:
		return s.addrAdd(op)
	case dataplane.AddrDel:
		return s.addrDel(op, b.Ops[i+1:])
	case dataplane.NeighSet:
		return s.neighSet(op)
	case dataplane.NeighDel:
		return s.neighDel(op)
	case dataplane.SubAdd:
		return s.subAdd(b, i, op)
	}
	b.touch(op.Index)
	switch op.Kind {
	case dataplane.SubDel:
		return s.subDel(op)
	case dataplane.SetUp:
		return s.done(setFlags, setFlagsReply, encodeSetFlags(nil, op.Index, op.On))
	case dataplane.SetMTU:
		return s.setMTU(b, op)
	case dataplane.SetMAC:
		if refused := checkMAC(op.MAC); refused != nil {
			return refused, nil
		}
		return s.done(setMAC, setMACReply, encodeSetMAC(nil, op.Index, op.MAC))
	case dataplane.SetTable:
		return s.setTables(op)
	case dataplane.SetMPLS:
		return s.setMPLS(op)
	case dataplane.SetMulticast:
		return s.setMulticast(op)
	}
	return fmt.Errorf("%w: operation %d", dataplane.ErrUnsupported, op.Kind), nil
}

// checkMAC refuses what is no address of a station.
func checkMAC(a rtnl.HWAddr) error {
	if a.Len != 6 || a.B[0]&1 != 0 || a == rtnl.MAC([6]byte{}) {
		return fmt.Errorf("%w: %q is no Ethernet address of one station", dataplane.ErrRefused, a)
	}
	return nil
}

// The MTUs of packets that can be asked for.
const (
	minMTU = 68 // RFC 791
	maxMTU = 65535
)

// setMTU sets what a packet may have. VPP takes more than frames can carry, so
// frames are made longer first, and what the driver does not want is refused.
func (s *session) setMTU(b *batch, op *dataplane.Op) (refused, err error) {
	if op.Value < minMTU || op.Value > maxMTU {
		return fmt.Errorf("%w: an MTU of %d is not in %d..%d", dataplane.ErrRefused, op.Value, minMTU, maxMTU), nil
	}
	delete(s.world.raw, op.Index) // others may have changed what its driver carries
	r, refused, err := s.lookup(op.Index)
	if refused != nil || err != nil {
		return refused, err
	}
	if r.sub {
		if op.Value > r.linkMTU && r.linkMTU != 0 {
			return fmt.Errorf("%w: its parent carries %d octets; change that first", dataplane.ErrRefused, r.linkMTU), nil
		}
	} else if op.Value > r.linkMTU && r.linkMTU != 0 {
		if refused, err := s.done(hwSetMTU, hwSetMTUReply, encodeHWSetMTU(nil, op.Index, uint16(op.Value))); refused != nil || err != nil {
			return refused, err
		}
	}
	refused, err = s.done(setMTU, setMTUReply, encodeSetMTU(nil, op.Index, op.Value))
	if refused != nil || err != nil {
		return refused, err
	}
	p, paired := s.world.pairs[op.Index]
	if !paired || p.HostPort == dataplane.NoIndex {
		return nil, nil
	}
	b.touch(p.HostPort)
	return s.done(setMTU, setMTUReply, encodeSetMTU(nil, p.HostPort, op.Value))
}

// table adds or deletes a FIB.
func (s *session) table(op *dataplane.Op) (refused, err error) {
	add := op.Kind == dataplane.TableAdd
	name := "netbraid-" + strconv.FormatUint(uint64(op.Value), 10)
	t := dataplane.Table{ID: op.Value, Family: op.Family}
	switch {
	case op.Value == dataplane.NoIndex:
		return fmt.Errorf("%w: table %d", dataplane.ErrRefused, op.Value), nil
	case op.Family == unix.AF_MPLS:
		return s.done(mplsTableAddDel, mplsTableAddDelReply, encodeMPLSTable(putBool(nil, add), t.ID, name))
	case op.Family != unix.AF_INET && op.Family != unix.AF_INET6:
		return fmt.Errorf("%w: a table of family %d", dataplane.ErrRefused, op.Family), nil
	case op.Value == dataplane.MainTable:
		if !add {
			return fmt.Errorf("%w: the main table stays", dataplane.ErrRefused), nil
		}
		return nil, nil // always there
	}
	if !add {
		// VPP would leave what is in it; and it may come back.
		if refused, err := s.emptyTable(t); refused != nil || err != nil {
			return refused, err
		}
		delete(s.world.groups, t)
	}
	switch {
	case s.ids.has(tableAddDelV2, tableAddDelV2Reply):
		// With a table for multicast, as an interface needs.
		return s.done(tableAddDelV2, tableAddDelV2Reply, putBool(append(encodeTable(nil, t, name), 1), add))
	}
	return s.done(tableAddDel, tableAddDelReply, encodeTable(putBool(nil, add), t, name))
}

// setTables binds an interface to a FIB of either family. VPP wants no address
// on it meanwhile: those that are there go and come back.
func (s *session) setTables(op *dataplane.Op) (refused, err error) {
	for _, six := range []bool{false, true} {
		if refused, err := s.setTable(op.Index, op.Value, six); refused != nil || err != nil {
			return refused, err
		}
	}
	return nil, nil
}

func (s *session) setTable(index, table uint32, six bool) (refused, err error) {
	if _, refused, err := s.lookup(index); refused != nil || err != nil {
		return refused, err
	}
	now, err := s.readTable(index, six)
	if err != nil || now == table {
		return nil, err
	}
	from, to := dataplane.Table{ID: now, Family: familyOf(six)}, dataplane.Table{ID: table, Family: familyOf(six)}
	if !s.group(from).accepts[index] {
		return s.rebind(index, table, six)
	}
	// Groups do not go along.
	if refused, err := s.leave(index, from); refused != nil || err != nil {
		return refused, err
	}
	if refused, err = s.rebind(index, table, six); err != nil {
		return refused, err
	}
	if refused != nil {
		to = from
	}
	lost, err := s.join(index, to)
	return errors.Join(refused, lost), err
}

// rebind binds an interface to another table. VPP wants no address on it; and
// where a family is enabled all the same, as IPv6 is for the sake of a
// link-local address, VPP's own groups (neighbour discovery) would stay in the
// table where they are.
func (s *session) rebind(index, table uint32, six bool) (refused, err error) {
	addrs, refused, err := s.readAddrs(index, six)
	if refused != nil || err != nil {
		return refused, err
	}
	for _, a := range addrs {
		if refused, err := s.done(addDelAddress, addDelAddressReply, encodeAddress(nil, index, false, a)); refused != nil || err != nil {
			return refused, err
		}
	}
	again, err := s.disable(index, six)
	if err != nil {
		return nil, err
	}
	refused, err = s.done(setTable, setTableReply, put32(encodeIndexAF(nil, index, six), table))
	if refused == nil && !six {
		s.world.table4[index] = table
	}
	if err == nil {
		err = again()
	}
	for _, a := range addrs { // also when it did not work
		if err != nil {
			return refused, err
		}
		var back error
		back, err = s.done(addDelAddress, addDelAddressReply, encodeAddress(nil, index, true, a))
		if back != nil {
			refused = errors.Join(refused, fmt.Errorf("put %s back: %w", a, back))
		}
	}
	return refused, err
}

// disable disables a family on an interface without addresses, as often as it
// was enabled; again does the opposite.
func (s *session) disable(index uint32, six bool) (again func() error, err error) {
	if six {
		times, err := s.disableIP6(index)
		return func() error { return s.enableIP6(index, times) }, err
	}
	times, err := s.disableIP4(index)
	return func() error {
		for range times {
			if _, err := s.setIP4(index, true); err != nil {
				return err
			}
		}
		return nil
	}, err
}

// setMPLS makes an interface take labelled packets, or not. VPP counts: it is
// told only when that is a change. Labels need MPLS table 0.
func (s *session) setMPLS(op *dataplane.Op) (refused, err error) {
	if refused := s.ids.missing(mplsMessages...); refused != nil {
		return refused, nil
	}
	if _, refused, err := s.lookup(op.Index); refused != nil || err != nil {
		return refused, err
	}
	on, err := s.readMPLS(op.Index)
	if err != nil || on == op.On {
		return nil, err
	}
	enable := putBool(put32(nil, op.Index), op.On)
	refused, err = s.done(mplsEnable, mplsEnableReply, enable)
	if err != nil || !errors.Is(refused, noSuchFIB) {
		return refused, err
	}
	refused, err = s.done(mplsTableAddDel, mplsTableAddDelReply, encodeMPLSTable(putBool(nil, true), 0, "netbraid-0"))
	if refused != nil || err != nil {
		return refused, err
	}
	return s.done(mplsEnable, mplsEnableReply, enable)
}

// checkSub refuses tags that VPP would take and that are none.
func checkSub(t dataplane.Sub) error {
	switch {
	case t.Outer < 1 || t.Outer > 4094 || t.Inner > 4094:
		return fmt.Errorf("%w: VLAN %d.%d is not in 1..4094", dataplane.ErrRefused, t.Outer, t.Inner)
	case t.InnerAD:
		return fmt.Errorf("%w: an inner tag of type 0x88a8: VPP has 0x8100 inside only", dataplane.ErrUnsupported)
	}
	return nil
}

// subIDs are the numbers to be tried for a sub-interface: the one that its name
// ends in, so that VPP names it likewise, then one that no other tags have.
func subIDs(name string, t dataplane.Sub) []uint32 {
	own := uint32(t.Outer) | uint32(t.Inner)<<12
	if t.OuterAD {
		own |= 1 << 24
	}
	if !t.Exact {
		own |= 1 << 25
	}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		if n, err := strconv.ParseUint(name[dot+1:], 10, 31); err == nil && n > 0 && uint32(n) != own {
			return []uint32{uint32(n), own}
		}
	}
	return []uint32{own}
}

// subAdd makes a sub-interface, or finds the one with these tags.
func (s *session) subAdd(b *batch, i int, op *dataplane.Op) (refused, err error) {
	if refused := checkSub(op.Sub); refused != nil {
		return refused, nil
	}
	// What VPP has now decides: one on a sub-interface would end VPP later.
	delete(s.world.raw, op.Index)
	parent, refused, err := s.lookup(op.Index)
	if refused != nil || err != nil {
		return refused, err
	}
	if parent.sub {
		return fmt.Errorf("%w: %s is a sub-interface itself", dataplane.ErrRefused, parent.name), nil
	}
	for _, id := range subIDs(op.Name, op.Sub) {
		var d decoder
		d, refused, err = s.call(createSubif, createSubifReply, encodeSub(nil, op.Index, id, op.Sub))
		if err != nil {
			return nil, err
		}
		if refused == nil {
			index := d.u32()
			b.touch(index)
			b.made = append(b.made, dataplane.Made{Op: i, Index: index})
			return nil, d.err
		}
		found := uint32(dataplane.NoIndex)
		if err := s.readRaw(localInterface, func(r iface) {
			if r.sub && r.parent == op.Index && r.tags == op.Sub {
				found = r.index
				s.world.raw[found] = r
			}
		}); err != nil {
			return nil, err
		}
		if found != dataplane.NoIndex {
			b.touch(found)
			b.made = append(b.made, dataplane.Made{Op: i, Index: found})
			return nil, nil
		}
		if !errors.Is(refused, vlanExists) {
			break
		}
	}
	return refused, nil
}

// subDel deletes a sub-interface; nothing else.
func (s *session) subDel(op *dataplane.Op) (refused, err error) {
	delete(s.world.raw, op.Index)
	r, refused, err := s.lookup(op.Index)
	if err != nil || errors.Is(refused, dataplane.ErrNoInterface) {
		return nil, err // gone
	}
	if !r.sub {
		return fmt.Errorf("%w: %s is no sub-interface", dataplane.ErrRefused, r.name), nil
	}
	refused, err = s.done(deleteSubif, deleteSubifReply, put32(nil, op.Index))
	if err != nil || errors.Is(refused, invalidInterface) {
		return nil, err
	}
	if refused == nil {
		s.world.deleted[op.Index]++
		s.gone(op.Index) // at once: its index may be the next one's
	}
	return refused, nil
}

// checkAddr refuses what is no address of an interface.
func checkAddr(p netip.Prefix) error {
	a := p.Addr()
	if !p.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || p.Bits() == 0 {
		return fmt.Errorf("%w: %s is no address of an interface", dataplane.ErrRefused, p)
	}
	return nil
}

// neighSet makes a neighbour what it should be.
func (s *session) neighSet(op *dataplane.Op) (refused, err error) {
	if refused := checkMAC(op.MAC); refused != nil {
		return refused, nil
	}
	if a := op.Addr; !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("%w: %s is no neighbour", dataplane.ErrRefused, op.Addr), nil
	}
	n := dataplane.Neigh{Index: op.Index, Addr: op.Addr, MAC: op.MAC, Static: op.On}
	body := encodeNeigh(putBool(nil, true), n)
	refused, err = s.done(neighAddDel, neighAddDelReply, body)
	if err != nil || n.Static || !errors.Is(refused, invalidInterface) {
		return refused, err
	}
	// The same answer for an interface that is not there, and for a static
	// neighbour that is to become a learned one.
	if gone, err := s.neighDel(op); gone != nil || err != nil {
		return gone, err
	}
	return s.done(neighAddDel, neighAddDelReply, body)
}

func (s *session) neighDel(op *dataplane.Op) (refused, err error) {
	if !op.Addr.IsValid() || op.Addr.Zone() != "" {
		return fmt.Errorf("%w: %s is no neighbour", dataplane.ErrRefused, op.Addr), nil
	}
	refused, err = s.done(neighAddDel, neighAddDelReply, encodeNeigh(putBool(nil, false), dataplane.Neigh{Index: op.Index, Addr: op.Addr}))
	if errors.Is(refused, noSuchEntry) || errors.Is(refused, invalidInterface) {
		return nil, err
	}
	return refused, err
}
