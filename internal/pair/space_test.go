package pair_test

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// rewrite puts VRFs, which the simulated kernel does not have, into what it
// says of links.
func (s *space) rewrite(b []byte) []byte {
	if len(s.vrf) == 0 {
		return b
	}
	var out []byte
	for rest := b; len(rest) > 0; {
		h, body, next, err := rtnl.NextMessage(rest)
		if err != nil {
			return b
		}
		var l rtnl.Link
		if (h.Type == unix.RTM_NEWLINK || h.Type == unix.RTM_DELLINK) && rtnl.DecodeLink(body, &l) == nil {
			s.overlay(&l)
			out = rtnl.AppendLinkInfo(out, h.Type, h.Flags, h.Seq, &l)
		} else {
			out = append(out, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	return out
}

// forget drops what is kept of a link that is gone.
func (s *space) forget(b []byte) {
	h, body, _, err := rtnl.NextMessage(b)
	var l rtnl.Link
	if err == nil && h.Type == unix.RTM_DELLINK && rtnl.DecodeLink(body, &l) == nil {
		delete(s.master, l.Index)
		delete(s.vrf, l.Index)
		for slave, m := range s.master {
			if m == l.Index {
				delete(s.master, slave)
			}
		}
	}
}

func (s *space) overlay(l *rtnl.Link) {
	if t := s.vrf[l.Index]; t != 0 {
		l.Kind, l.VRFTable = "vrf", t
	}
	if m := s.master[l.Index]; m != 0 && s.vrf[m] != 0 {
		l.Master, l.PortKind = m, "vrf"
	}
}

// links are the links of a namespace as they are.
func (s *space) links() (out []rtnl.Link) {
	s.each(rtnl.KindLink, unix.RTM_NEWLINK, func(body []byte) {
		var l rtnl.Link
		if rtnl.DecodeLink(body, &l) == nil {
			s.overlay(&l)
			out = append(out, l)
		}
	})
	return out
}

func (s *space) addrs() (out []rtnl.Addr) {
	s.each(rtnl.KindAddr, unix.RTM_NEWADDR, func(body []byte) {
		var a rtnl.Addr
		if rtnl.DecodeAddr(body, &a) == nil {
			out = append(out, a)
		}
	})
	return out
}

func (s *space) routes() (out []rtnl.Route) {
	s.each(rtnl.KindRoute, unix.RTM_NEWROUTE, func(body []byte) {
		var r rtnl.Route
		if rtnl.DecodeRoute(body, &r) == nil {
			out = append(out, r)
		}
	})
	return out
}

func (s *space) neighs() (out []rtnl.Neigh) {
	s.each(rtnl.KindNeigh, unix.RTM_NEWNEIGH, func(body []byte) {
		var n rtnl.Neigh
		if rtnl.DecodeNeigh(body, &n) == nil {
			out = append(out, n)
		}
	})
	return out
}

func (s *space) each(k rtnl.Kind, typ uint16, f func(body []byte)) {
	for _, b := range s.kern.Dump(rtnl.AppendDumpRequest(nil, k, 1, rtnl.Filter{})) {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				break
			}
			if h.Type == typ {
				f(body)
			}
			b = rest
		}
	}
}

func (s *space) link(name string) *rtnl.Link {
	for _, l := range s.links() {
		if l.Name == name {
			return &l
		}
	}
	return nil
}

// announce tells of a link whose VRF is another.
func (w *world) announce(s *space, index uint32) {
	w.listen(s, 1<<30)
	for _, l := range s.links() {
		if l.Index == index {
			b, epoch := rtnl.AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, &l), s.epoch
			s.inbox = append(s.inbox, func() { s.mirror.Notified(w.now, epoch, b) })
		}
	}
}

// linuxOf makes companions in the simulated namespaces.
type linuxOf struct{ w *world }

var errNoNS = errors.New("no such namespace")

func (x linuxOf) space(netns string) *space {
	for _, s := range x.w.spaces {
		if s.path == netns && !s.gone {
			return s
		}
	}
	return nil
}

func (x linuxOf) AddLink(netns, name string, mtu uint32, mac rtnl.HWAddr, tun bool) (uint32, error) {
	s := x.space(netns)
	if s == nil {
		return 0, errNoNS
	}
	if _, there := s.kern.Index(name); there {
		return 0, fmt.Errorf("link %s: %w", name, dataplane.ErrTaken)
	}
	index, err := s.kern.AddHardware(name)
	if err != nil {
		return 0, err
	}
	// On its way a tap is up for a moment, as VPP makes it.
	for _, up := range []uint32{unix.IFF_UP, 0} {
		s.request(linkSet(index, rtnl.LinkUp, rtnl.Link{Flags: up}))
	}
	if mac.Len == 6 {
		s.request(linkSet(index, rtnl.LinkAddr, rtnl.Link{Addr: mac}))
	}
	s.request(linkSet(index, rtnl.LinkMTU, rtnl.Link{MTU: mtu}))
	s.made[index] = name
	return index, nil
}

func (x linuxOf) AddVLAN(netns string, parent uint32, name string, id uint16, ad bool) (uint32, error) {
	s := x.space(netns)
	if s == nil {
		return 0, errNoNS
	}
	for _, l := range s.links() {
		if l.Name == name {
			if l.Kind == "vlan" && l.Parent == parent && l.VLAN.ID == id && (l.VLAN.Protocol == unix.ETH_P_8021AD) == ad {
				s.made[l.Index] = name
				return l.Index, nil
			}
			return 0, fmt.Errorf("link %s: %w", name, dataplane.ErrTaken)
		}
	}
	if err := s.request(addVLAN(parent, name, id, ad, 0)); err != nil {
		return 0, err
	}
	index, _ := s.kern.Index(name)
	s.made[index] = name
	return index, nil
}

func (x linuxOf) DelLink(netns string, index uint32) {
	if s := x.space(netns); s != nil && s.made[index] != "" && s.link(s.made[index]) != nil && s.link(s.made[index]).Index == index {
		s.remove(index) // and not a link that has its number since
	}
}

func (x linuxOf) SetCarrier(netns string, index uint32, on bool) {
	if s := x.space(netns); s != nil {
		for _, l := range s.links() {
			if l.Index == index {
				s.kern.SetCarrier(l.Name, on)
			}
		}
	}
}

func (s *space) remove(index uint32) {
	for _, l := range s.links() {
		if l.Index == index {
			s.kern.RemoveHardware(l.Name)
			delete(s.master, index)
			delete(s.vrf, index)
		}
	}
}

func (s *space) request(msg []byte) error {
	if err := s.kern.Request(msg); err != nil {
		return err
	}
	return nil
}

func linkSet(index uint32, f rtnl.LinkField, l rtnl.Link) []byte {
	l.Index = index
	return rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST, 0, &rtnl.LinkRequest{Link: l, Set: f})
}

func addVLAN(parent uint32, name string, id uint16, ad bool, flags uint32) []byte {
	l := rtnl.Link{Name: name, Kind: "vlan", Parent: parent, VLAN: rtnl.VLAN{ID: id, Protocol: unix.ETH_P_8021Q, Flags: flags}}
	if ad {
		l.VLAN.Protocol = unix.ETH_P_8021AD
	}
	set := rtnl.LinkName | rtnl.LinkParent | rtnl.VLANID | rtnl.VLANProtocol
	if flags != 0 {
		set |= rtnl.VLANFlags
	}
	return rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &rtnl.LinkRequest{Link: l, Set: set})
}

func addrMsg(typ uint16, index uint32, p netip.Prefix, peer netip.Addr) []byte {
	a := rtnl.Addr{Index: index, Family: unix.AF_INET, PrefixLen: uint8(p.Bits()), Local: p.Addr(), Peer: peer,
		Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
	if p.Addr().Is6() {
		a.Family = unix.AF_INET6
	}
	return rtnl.AppendAddr(nil, typ, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &a)
}

func routeMsg(typ uint16, r *rtnl.Route) []byte {
	return rtnl.AppendRoute(nil, typ, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, r)
}

func neighMsg(typ uint16, index uint32, a netip.Addr, mac rtnl.HWAddr, state uint16) []byte {
	n := rtnl.Neigh{Index: index, Family: unix.AF_INET, Dst: a, LLAddr: mac, State: state}
	if a.Is6() {
		n.Family = unix.AF_INET6
	}
	return rtnl.AppendNeigh(nil, typ, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_REPLACE, 0, &n)
}
