package vpp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"netbraid/internal/dataplane"
)

// localAddrs are the IPv6 link-local addresses that we have set, with the
// length that was said. VPP has one on each interface, of length 128, shows it
// apart from the others, and cannot be without: what it has chosen itself is
// not reported, and a removal only forgets.
type localAddrs map[uint32]netip.Prefix

// readLocal returns the link-local address of an interface as it was said, when
// VPP still has it.
func (s *session) readLocal(index uint32) (p netip.Prefix, there bool, err error) {
	p, said := s.c.local[index]
	if !said || !s.ids.has(linkLocalGet, linkLocalGetReply) {
		return p, false, nil
	}
	d, refused, err := s.call(linkLocalGet, linkLocalGetReply, put32(nil, index))
	if refused != nil || err != nil {
		return p, false, err
	}
	b := d.take(16)
	if d.err != nil {
		return p, false, fmt.Errorf("%s: %w", linkLocalGetReply, d.err)
	}
	return p, netip.AddrFrom16([16]byte(b)) == p.Addr(), nil
}

// isLocal tells whether a prefix is an IPv6 link-local address.
func isLocal(p netip.Prefix) bool { return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() }

// asVPP is how VPP wants an address.
func asVPP(p netip.Prefix) netip.Prefix {
	if isLocal(p) {
		return netip.PrefixFrom(p.Addr(), 128)
	}
	return p
}

// addrAdd adds an address. VPP's refusal of one that is there says neither
// whether it is the same nor where it is, so that is looked up.
func (s *session) addrAdd(op *dataplane.Op) (refused, err error) {
	if refused := checkAddr(op.Prefix); refused != nil {
		return refused, nil
	}
	refused, err = s.done(addDelAddress, addDelAddressReply, encodeAddress(nil, op.Index, true, asVPP(op.Prefix)))
	if err != nil {
		return nil, err
	}
	if refused == nil {
		delete(s.c.within, said{op.Index, op.Prefix})
		if isLocal(op.Prefix) {
			if s.c.local == nil || len(s.c.local) > maxKept {
				s.c.local = localAddrs{}
			}
			s.c.local[op.Index] = op.Prefix
		}
		return nil, nil
	}
	if !errors.Is(refused, addressInUse) && !errors.Is(refused, duplicateAddress) {
		return refused, nil
	}
	if done, err := s.addWithin(op); done || err != nil {
		return nil, err
	}
	there, holder, err := s.holder(op)
	switch {
	case err != nil:
		return nil, err
	case there:
		return nil, nil
	case holder != "":
		return fmt.Errorf("%w (%s overlaps)", refused, holder), nil
	}
	return refused, nil
}

// maxSearched bounds the interfaces that are asked for the sake of a message.
const maxSearched = 64

// holder finds out why an address is refused: it is there already, or holder
// has one that overlaps.
func (s *session) holder(op *dataplane.Op) (there bool, holder string, err error) {
	six := op.Prefix.Addr().Is6()
	own, _, err := s.readAddrs(op.Index, six)
	if err != nil || slices.Contains(own, op.Prefix) {
		return err == nil, "", err
	}
	indices := slices.Sorted(maps.Keys(s.world.raw))
	indices = indices[:min(len(indices), maxSearched)]
	for _, index := range append([]uint32{op.Index}, indices...) {
		list, _, err := s.readAddrs(index, six)
		if err != nil {
			return false, "", err
		}
		for _, a := range list {
			if a.Overlaps(op.Prefix) {
				return false, fmt.Sprintf("%s on %s", a, s.name(index)), nil
			}
		}
	}
	return false, "", nil
}

func (s *session) name(index uint32) string {
	if r, ok := s.world.raw[index]; ok {
		return r.name
	}
	return fmt.Sprintf("interface %d", index)
}

// addrDel removes an address, only if it is there with just this length: VPP
// would remove one of another length as well. next is what is to be done after it.
func (s *session) addrDel(op *dataplane.Op, next []dataplane.Op) (refused, err error) {
	if refused := checkAddr(op.Prefix); refused != nil {
		return refused, nil
	}
	if isLocal(op.Prefix) {
		if s.c.local[op.Index] == op.Prefix {
			delete(s.c.local, op.Index)
		}
		return nil, nil
	}
	list, refused, err := s.readAddrs(op.Index, op.Prefix.Addr().Is6())
	real := op.Prefix
	if p, other := s.c.within[said{op.Index, op.Prefix}]; other {
		real = p
		delete(s.c.within, said{op.Index, op.Prefix})
	}
	if refused != nil || err != nil || !slices.Contains(list, real) || s.saidAs(op.Index, real) != real {
		return refused, err // it is not there, or as another one
	}
	if real == op.Prefix && s.stays(op, next, list) {
		return nil, nil
	}
	refused, err = s.done(addDelAddress, addDelAddressReply, encodeAddress(nil, op.Index, false, real))
	if errors.Is(refused, addressNotFound) || errors.Is(refused, invalidInterface) {
		refused = nil
	}
	if refused == nil && err == nil && real == op.Prefix {
		err = s.unveil(op.Index, op.Prefix)
	}
	switch {
	case refused != nil || err != nil:
		return refused, err
	case op.Prefix.Addr().Is4():
		return nil, s.keepIP4(op.Index)
	}
	return nil, s.restoreLocal(op.Index)
}

// restoreLocal puts back the link-local address that was said. VPP has IPv6 on
// an interface as long as somebody has enabled it, each address for itself, and
// a link-local one only if nobody had before it.
func (s *session) restoreLocal(index uint32) error {
	p, there, err := s.readLocal(index)
	if err != nil || there || !p.IsValid() || !s.ids.has(linkLocalGet, linkLocalGetReply) {
		return err
	}
	refused, err := s.done(addDelAddress, addDelAddressReply, encodeAddress(nil, index, true, asVPP(p)))
	if refused != nil {
		delete(s.c.local, index) // it is not there, and will be asked for again
	}
	return err
}

// maxEnabled bounds how often IPv6 can have been enabled.
const maxEnabled = 16

// disableIP6 disables IPv6 on an interface as often as it was enabled.
func (s *session) disableIP6(index uint32) (times int, err error) {
	for ; times < maxEnabled && s.ids.has(enableIP6, enableIP6Reply); times++ {
		refused, err := s.done(enableIP6, enableIP6Reply, putBool(put32(nil, index), false))
		if refused != nil || err != nil {
			return times, err
		}
	}
	return times, nil
}

// enableIP6 enables it so often again, with the link-local address that was
// said.
func (s *session) enableIP6(index uint32, times int) error {
	for range times {
		if _, err := s.done(enableIP6, enableIP6Reply, putBool(put32(nil, index), true)); err != nil {
			return err // what VPP answers says only that it was enabled
		}
	}
	return s.restoreLocal(index)
}

// readAddrs lists the addresses of one family of an interface; none when there
// is no such interface.
func (s *session) readAddrs(index uint32, six bool) (list []netip.Prefix, refused, err error) {
	refused, err = s.dump(addressDump, addressDetails, encodeIndexAF(nil, index, six), func(p []byte) error {
		a, err := decodeAddress(p)
		if err != nil {
			return fmt.Errorf("%s: %w", addressDetails, err)
		}
		if a.Index == index {
			list = append(list, a.Prefix)
		}
		return nil
	})
	return list, refused, err
}
