package vpp

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"netbraid/internal/dataplane"
)

// VPP has addresses of one subnet on an interface only if all have its length.
// In Linux they may be single ones: virtual addresses of VRRP, those of DHCPv6
// beside those of advertisements. VPP gets these with the length of the subnet
// that they lie in: it takes the same packets for its own, and nothing else is
// different.

// said is an address as it was asked for.
type said struct {
	index  uint32
	prefix netip.Prefix
}

func compareSaid(a, b said) int {
	return cmp.Or(cmp.Compare(a.index, b.index), a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
}

// addWithin adds an address that VPP has refused, if that is because of others
// of its interface, and tells whether it is there now.
func (s *session) addWithin(op *dataplane.Op) (done bool, err error) {
	key := said{op.Index, op.Prefix}
	list, _, err := s.readAddrs(op.Index, op.Prefix.Addr().Is6())
	if err != nil {
		return false, err
	}
	if slices.Contains(list, op.Prefix) {
		// Whatever it was asked for as before, it is this now.
		delete(s.c.within, said{op.Index, s.saidAs(op.Index, op.Prefix)})
		return true, nil
	}
	if p, other := s.c.within[key]; other && slices.Contains(list, p) {
		return true, nil
	}
	if p, there := covered(list, op.Prefix); there {
		// An earlier process has asked for it: what was shown is something else.
		s.keepWithin(key, p)
		s.deliver(dataplane.Disturbed{Epoch: s.q.epoch, Kind: dataplane.KindAddr})
		return true, nil
	}
	var longer []netip.Prefix
	for _, a := range list {
		switch {
		case !a.Overlaps(op.Prefix) || a.Addr() == op.Prefix.Addr():
		case a.Bits() < op.Prefix.Bits():
			return s.cover(key, a.Bits())
		case a.Bits() > op.Prefix.Bits():
			longer = append(longer, a)
		}
	}
	if len(longer) == 0 {
		return false, nil
	}
	// What lies in the new subnet makes room for it, and comes back.
	for _, a := range longer {
		if _, err := s.address(op.Index, a, false); err != nil {
			return false, err
		}
	}
	refused, err := s.address(op.Index, op.Prefix, true)
	for _, a := range longer {
		switch {
		case err != nil:
			return false, err
		case refused != nil: // another interface's is in the way
			_, err = s.address(op.Index, a, true)
		default:
			_, err = s.cover(said{op.Index, s.saidAs(op.Index, a)}, op.Prefix.Bits())
		}
	}
	if err == nil && op.Prefix.Addr().Is6() {
		err = s.restoreLocal(op.Index) // it may have been without IPv6 for a moment
	}
	return refused == nil, err
}

// covered finds an address with the length of a subnet that it lies in with
// others.
func covered(list []netip.Prefix, p netip.Prefix) (netip.Prefix, bool) {
	for _, a := range list {
		if a.Addr() == p.Addr() && a.Bits() < p.Bits() {
			return a, slices.ContainsFunc(list, func(o netip.Prefix) bool { return o != a && o.Masked() == a.Masked() })
		}
	}
	return p, false
}

// stays tells whether an address that is to be removed is what VPP has in place of
// a single one that is to be added: an earlier process has asked for that.
func (s *session) stays(op *dataplane.Op, next []dataplane.Op, list []netip.Prefix) bool {
	for i := range next {
		o := &next[i]
		if o.Kind != dataplane.AddrAdd || o.Index != op.Index || o.Prefix.Addr() != op.Prefix.Addr() {
			continue
		}
		p, there := covered(list, o.Prefix)
		if there = there && p == op.Prefix; there {
			s.keepWithin(said{o.Index, o.Prefix}, p)
		}
		return there
	}
	return false
}

// address adds or removes an address as it is.
func (s *session) address(index uint32, p netip.Prefix, add bool) (refused, err error) {
	return s.done(addDelAddress, addDelAddressReply, encodeAddress(nil, index, add, p))
}

// cover adds an address with the length of the subnet that it lies in.
func (s *session) cover(key said, bits int) (done bool, err error) {
	p := netip.PrefixFrom(key.prefix.Addr(), bits)
	refused, err := s.address(key.index, p, true)
	if refused != nil || err != nil {
		return false, err
	}
	s.keepWithin(key, p)
	return true, nil
}

// keepWithin notes that VPP has an address with another length.
func (s *session) keepWithin(key said, p netip.Prefix) {
	if s.c.within == nil || len(s.c.within) > maxKept {
		s.c.within = map[said]netip.Prefix{}
	}
	s.c.within[key] = p
}

// unveil gives addresses that had the length of a subnet because of an address
// that has gone their own again, or that of another one. All of them go before
// the first comes back: each would keep the others as they are.
func (s *session) unveil(index uint32, gone netip.Prefix) error {
	list, _, err := s.readAddrs(index, gone.Addr().Is6())
	if err != nil || slices.ContainsFunc(list, func(a netip.Prefix) bool {
		return a.Bits() == gone.Bits() && a.Masked() == gone.Masked() && s.saidAs(index, a) == a
	}) {
		return err // they still have a reason
	}
	var veiled []said
	for _, key := range slices.SortedFunc(maps.Keys(s.c.within), compareSaid) {
		p := s.c.within[key]
		if key.index != index || p.Bits() != gone.Bits() || p.Masked() != gone.Masked() {
			continue
		}
		if delete(s.c.within, key); !slices.Contains(list, p) {
			continue
		}
		if _, err := s.address(index, p, false); err != nil {
			return err
		}
		veiled = append(veiled, key)
	}
	for _, key := range veiled {
		if _, err := s.addrAdd(&dataplane.Op{Kind: dataplane.AddrAdd, Index: index, Prefix: key.prefix}); err != nil {
			return err
		}
	}
	return nil
}

// saidAs is an address of VPP as it was asked for.
func (s *session) saidAs(index uint32, p netip.Prefix) netip.Prefix {
	for key, real := range s.c.within {
		if key.index == index && real == p {
			return key.prefix
		}
	}
	return p
}
