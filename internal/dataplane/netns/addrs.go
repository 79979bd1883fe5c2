package netns

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// connectedMetric is the metric of the routes that addresses bring: above
// Metric, so that a RouteSet of the same prefix counts.
const connectedMetric = 11000

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// addrMessage adds or removes an address. An IPv4 address is changed if it is
// there; an IPv6 one is not: in a VRF the kernel (6.12) takes the local route of a
// /128 for its prefix route then, and removes it.
func addrMessage(typ uint16, a dataplane.Addr) []byte {
	r := rtnl.Addr{Index: a.Index, Family: familyOf(a.Prefix.Addr()), PrefixLen: uint8(a.Prefix.Bits()), Local: a.Prefix.Addr(),
		Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
	flags := uint16(0)
	if typ == unix.RTM_NEWADDR {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
		r.Flags, r.Priority = unix.IFA_F_PERMANENT, connectedMetric
		if r.Family == unix.AF_INET6 {
			flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
			r.Flags |= unix.IFA_F_NODAD
			if r.PrefixLen == 128 {
				r.Flags |= unix.IFA_F_NOPREFIXROUTE
			}
		}
	}
	return rtnl.AppendAddr(nil, typ, flags, 0, &r)
}

// addAddr gives an interface an address. IPv6 has one length for an address:
// another one replaces it.
func (s *session) addAddr(a dataplane.Addr) error {
	if err := s.checkAddr(a); err != nil {
		return err
	}
	l, err := s.phyLink(a.Index)
	if err != nil {
		return err
	}
	if a.Prefix.Addr().Is6() {
		if l.MTU < minMTU6 {
			return fmt.Errorf("address %v of %s: an MTU of %d is too small for IPv6: %w", a.Prefix, l.Name, l.MTU, dataplane.ErrRefused)
		}
		for o := range s.addrs {
			if o.Index == a.Index && o.Prefix.Addr() == a.Prefix.Addr() && o != a {
				if err := s.delAddr(o); err != nil {
					return err
				}
			}
		}
	}
	was := s.addrs[a]
	s.addrs[a] = true // what is heard of it is no news
	if err := s.exec(addrMessage(unix.RTM_NEWADDR, a)); err != nil && !(was && errors.Is(err, unix.EEXIST)) {
		if !was {
			delete(s.addrs, a)
		}
		return fmt.Errorf("address %v of %s: %w", a.Prefix, l.Name, err)
	}
	delete(s.lost, a)
	return nil
}

func (s *session) checkAddr(a dataplane.Addr) error {
	if !a.Prefix.IsValid() || a.Prefix.Addr().Is4In6() || a.Prefix.Addr().IsUnspecified() {
		return fmt.Errorf("address %v: %w", a.Prefix, dataplane.ErrRefused)
	}
	return nil
}

// delAddr takes an address off an interface.
func (s *session) delAddr(a dataplane.Addr) error {
	if err := s.checkAddr(a); err != nil {
		return err
	}
	if l := s.links[a.Index]; l == nil || l.hidden() {
		return nil
	}
	delete(s.addrs, a)
	delete(s.lost, a)
	err := s.exec(addrMessage(unix.RTM_DELADDR, a))
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		err = nil
	}
	return err
}

// neighMessage sets or removes a static neighbour of ours.
func neighMessage(typ uint16, k neighKey, mac rtnl.HWAddr) []byte {
	n := rtnl.Neigh{Index: k.index, Family: familyOf(k.addr), Dst: k.addr}
	flags := uint16(0)
	if typ == unix.RTM_NEWNEIGH {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
		n.State, n.LLAddr, n.Protocol = unix.NUD_PERMANENT, mac, Protocol
	}
	return rtnl.AppendNeigh(nil, typ, flags, 0, &n)
}

func (s *session) setNeigh(k neighKey, mac rtnl.HWAddr) error {
	l, err := s.phyLink(k.index)
	if err != nil {
		return err
	}
	if !k.addr.IsValid() || k.addr.Zone() != "" || mac.Len != l.Addr.Len {
		return fmt.Errorf("neighbour %v (%v) of %s: %w", k.addr, mac, l.Name, dataplane.ErrRefused)
	}
	if err := s.exec(neighMessage(unix.RTM_NEWNEIGH, k, mac)); err != nil {
		return fmt.Errorf("neighbour %v of %s: %w", k.addr, l.Name, err)
	}
	s.neighs[k] = mac
	return nil
}

func (s *session) delNeigh(k neighKey) error {
	if !k.addr.IsValid() {
		return fmt.Errorf("neighbour %v: %w", k.addr, dataplane.ErrRefused)
	}
	if l := s.links[k.index]; l == nil || l.hidden() {
		return nil
	}
	delete(s.neighs, k)
	err := s.exec(neighMessage(unix.RTM_DELNEIGH, k, rtnl.HWAddr{}))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		err = nil
	}
	return err
}

// setLocals makes the sets of local addresses so that those in state are in
// (true) or not: one transaction. If it fails, one by one.
func (s *session) setLocals(state map[netip.Addr]bool) map[netip.Addr]error {
	var keys [2][2][][]byte // family, in or out
	for a, in := range state {
		if s.locals[a] != in {
			i, j := 0, 0
			if a.Is6() {
				i = 1
			}
			if in {
				j = 1
			}
			keys[i][j] = append(keys[i][j], a.AsSlice())
		}
	}
	var msgs [][]byte
	for i, set := range []string{set4, set6} {
		msgs = append(msgs, elemMsgs(unix.NFT_MSG_NEWSETELEM, nfprotoNetdev, set, keys[i][1])...)
		msgs = append(msgs, elemMsgs(unix.NFT_MSG_DELSETELEM, nfprotoNetdev, set, keys[i][0])...)
	}
	if len(msgs) == 0 {
		return nil
	}
	err := s.nft.commit(msgs...)
	if err == nil {
		for a, in := range state {
			s.noteLocal(a, in)
		}
		return nil
	}
	failed := map[netip.Addr]error{}
	if len(state) == 1 {
		for a, in := range state {
			if !in && errors.Is(err, unix.ENOENT) {
				s.noteLocal(a, in)
				continue
			}
			failed[a] = fmt.Errorf("local address %v: %w", a, refused(err))
		}
		return failed
	}
	for a, in := range state {
		for a, err := range s.setLocals(map[netip.Addr]bool{a: in}) {
			failed[a] = err
		}
	}
	return failed
}

func (s *session) noteLocal(a netip.Addr, in bool) {
	if in {
		s.locals[a] = true
	} else {
		delete(s.locals, a)
	}
}
