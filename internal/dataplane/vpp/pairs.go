package vpp

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strings"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// kindOf tells what frames an interface has, and its address.
func kindOf(r iface) (dataplane.InterfaceType, rtnl.HWAddr) {
	switch {
	case strings.EqualFold(r.device, "loopback"):
		return dataplane.Loopback, rtnl.MAC(r.mac)
	case r.mac == [6]byte{}:
		return dataplane.Layer3, rtnl.HWAddr{}
	}
	return dataplane.Ethernet, rtnl.MAC(r.mac)
}

// checkHostName refuses what is no name of a Linux link, or one that linux-cp
// does not take.
func checkHostName(n string) error {
	if n == "" || len(n) >= hostNameLen || n == "." || n == ".." {
		return fmt.Errorf("%w: %q is no name of a link", dataplane.ErrRefused, n)
	}
	if i := strings.IndexFunc(n, func(r rune) bool { return !nameRune(r) }); i >= 0 {
		return fmt.Errorf("%w: VPP takes no companion of the name %q: letters, digits and -_@. only", dataplane.ErrRefused, n)
	}
	return nil
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_@.", r)
}

// pairAdd makes a companion, or finds the one that is asked for.
func (s *session) pairAdd(b *batch, i int, op *dataplane.Op) (refused, err error) {
	if refused := s.pairsMissing(); refused != nil {
		return refused, nil
	}
	if op.Pair == nil {
		return fmt.Errorf("%w: no pair", dataplane.ErrRefused), nil
	}
	want := op.Pair
	if refused := checkHostName(want.HostName); refused != nil {
		return refused, nil
	}
	netns, refused := s.ns.write(want.NetNS)
	if refused != nil {
		return refused, nil
	}
	phy, refused, err := s.lookup(want.Phy)
	if refused != nil || err != nil {
		return refused, err
	}
	if refused := s.checkPhy(phy, want); refused != nil {
		return refused, nil
	}
	m, reply := s.pairRequest()
	refused, err = s.done(m, reply, encodePair(nil, true, want, netns))
	if err != nil || refused != nil && !errors.Is(refused, valueExists) {
		return explainPair(refused, want, phy), err
	}
	made, there, err := s.readPair(want.Phy)
	switch {
	case err != nil:
		return nil, err
	case !there:
		return fmt.Errorf("%w: VPP says the pair is there (%v), and does not show it", dataplane.ErrRefused, refused), nil
	case made.HostName != want.HostName || made.NetNS != s.ns.read(netns) || made.TUN != want.TUN:
		return fmt.Errorf("%w: %s is paired with %q in namespace %q", dataplane.ErrTaken, phy.name, made.HostName, made.NetNS), nil
	}
	made.NetNS = want.NetNS // the same one, perhaps by another name
	s.keepPair(made)
	b.touch(made.HostPort)
	b.touch(want.Phy)
	b.made = append(b.made, dataplane.Made{Op: i, Index: want.Phy, Pair: made})
	return nil, nil
}

// checkPhy refuses an interface that cannot have this companion.
func (s *session) checkPhy(phy iface, want *dataplane.Pair) error {
	base := phy
	if phy.sub {
		base = s.world.raw[phy.parent]
	}
	kind, _ := kindOf(base)
	_, companion := s.world.hosts[phy.index]
	switch {
	case companion:
		return fmt.Errorf("%w: %s is a companion itself", dataplane.ErrRefused, phy.name)
	case kind == dataplane.Layer3 && !want.TUN && base.index == phy.index:
		return fmt.Errorf("%w: %s has no Ethernet header: it needs a TUN", dataplane.ErrRefused, phy.name)
	case kind == dataplane.Ethernet && want.TUN:
		return fmt.Errorf("%w: %s has an Ethernet header: it needs a TAP", dataplane.ErrRefused, phy.name)
	case phy.sub && !s.besideParent(phy, want):
		return fmt.Errorf("%w: the parent of %s has its companion in another network namespace; a VLAN link is beside its parent", dataplane.ErrRefused, phy.name)
	case phy.sub && !phy.tags.Exact:
		return fmt.Errorf("%w: %s takes frames with further tags: a pair needs an exact match", dataplane.ErrRefused, phy.name)
	}
	return nil
}

// besideParent tells whether the companion of a sub-interface goes where that
// of its parent is. VPP would put the VLAN on whatever link has its parent's
// number there.
func (s *session) besideParent(phy iface, want *dataplane.Pair) bool {
	parent, paired := s.world.pairs[phy.parent]
	return !paired || parent.NetNS == want.NetNS || sameNS(cmp.Or(parent.NetNS, ownNS), cmp.Or(want.NetNS, ownNS))
}

// explainPair says what VPP's answer means for a pair.
func explainPair(refused error, want *dataplane.Pair, phy iface) error {
	var rv retval
	if !errors.As(refused, &rv) {
		return refused
	}
	switch {
	case rv == netnsUnknown:
		return fmt.Errorf("%w: VPP cannot open network namespace %q", refused, want.NetNS)
	case rv == hostNameTaken:
		return fmt.Errorf("%w: VPP cannot make %q in namespace %q: the name is taken there, or there is no /dev/net/tun", refused, want.HostName, want.NetNS)
	case rv == invalidInterface && phy.sub:
		return fmt.Errorf("%w: the parent of %s needs a pair first", dataplane.ErrRefused, phy.name)
	case rv == invalidArgument && phy.sub:
		if phy.tags.Inner != 0 {
			return fmt.Errorf("%w: %s has two tags: the sub-interface with the outer one alone needs a pair first, and the kernel module 8021q", refused, phy.name)
		}
		return fmt.Errorf("%w: the kernel makes no VLAN on the companion of the parent of %s: it needs module 8021q", refused, phy.name)
	}
	return refused
}

// pairDel removes a companion.
func (s *session) pairDel(b *batch, op *dataplane.Op) (refused, err error) {
	if refused := s.pairsMissing(); refused != nil {
		return refused, nil
	}
	if op.Pair == nil {
		return fmt.Errorf("%w: no pair", dataplane.ErrRefused), nil
	}
	phy := op.Pair.Phy
	if phy == localInterface || phy == dataplane.NoIndex {
		return fmt.Errorf("%w: %d", dataplane.ErrNoInterface, phy), nil
	}
	m, reply := s.pairRequest()
	refused, err = s.done(m, reply, encodePair(nil, false, &dataplane.Pair{Phy: phy}, ""))
	if err != nil || refused != nil && !errors.Is(refused, invalidInterface) {
		return refused, err
	}
	if p, known := s.world.pairs[phy]; known {
		if refused == nil && p.HostPort != dataplane.NoIndex {
			s.world.deleted[p.HostPort]++
			s.gone(p.HostPort)
		}
		delete(s.world.pairs, phy)
	}
	b.touch(phy)
	return nil, nil
}

func (s *session) keepPair(p dataplane.Pair) {
	s.world.pairs[p.Phy] = p
	if p.HostPort != dataplane.NoIndex {
		s.world.hosts[p.HostPort] = p.Phy
	}
}

// readPair asks for the pair of an interface.
func (s *session) readPair(phy uint32) (pair dataplane.Pair, there bool, err error) {
	each := func(p []byte) error {
		got, err := decodePair(p)
		if err != nil {
			return fmt.Errorf("%s: %w", pairDetails, err)
		}
		if got.Phy == phy {
			got.NetNS = s.ns.read(got.NetNS)
			pair, there = got, true
		}
		return nil
	}
	var refused error
	if s.ids.has(pairGetV2, pairGetV2Reply) {
		refused, err = s.stream(pairGetV2, pairDetails, []message{pairGetV2Reply, pairGetReply}, func(cursor uint32) []byte { return put32(nil, cursor, phy) }, each)
	} else {
		refused, err = s.streamPairs(each)
	}
	if refused != nil && !errors.Is(refused, dataplane.ErrNoInterface) {
		return pair, false, errors.Join(refused, err)
	}
	return pair, there, err
}

func (s *session) streamPairs(each func(p []byte) error) (refused, err error) {
	return s.stream(pairGet, pairDetails, []message{pairGetReply}, func(cursor uint32) []byte { return put32(nil, cursor) }, each)
}

// readPairs reads all pairs; changed tells whether they are not what was known.
func (s *session) readPairs() (changed bool, refused, err error) {
	if s.pairsMissing() != nil {
		return false, nil, nil
	}
	before := s.world.pairs
	pairs := map[uint32]dataplane.Pair{}
	refused, err = s.streamPairs(func(b []byte) error {
		p, err := decodePair(b)
		if err != nil {
			return fmt.Errorf("%s: %w", pairDetails, err)
		}
		if len(pairs) >= maxKept {
			return fmt.Errorf("VPP shows more than %d pairs", maxKept)
		}
		p.NetNS = s.ns.read(p.NetNS)
		if old, ok := before[p.Phy]; ok && sameNS(cmp.Or(old.NetNS, ownNS), cmp.Or(p.NetNS, ownNS)) {
			p.NetNS = old.NetNS
		}
		pairs[p.Phy] = p
		return nil
	})
	if refused != nil || err != nil {
		return false, refused, err
	}
	s.world.pairs, s.world.hosts = map[uint32]dataplane.Pair{}, map[uint32]uint32{}
	for _, p := range pairs {
		s.keepPair(p)
	}
	return !maps.Equal(before, pairs), nil, nil
}
