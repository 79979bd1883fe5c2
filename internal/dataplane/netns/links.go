package netns

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// link is a link of the namespace as it was last heard of.
type link struct {
	rtnl.Link
	alias   string
	mpls    bool
	bounced bool // it was down while we were here
}

func (l *link) up() bool { return l.Flags&unix.IFF_UP != 0 }

// minMTU6 is the least MTU with which a link has IPv6 (RFC 8200).
const minMTU6 = 1280

// hidden links are means to an end: the loopback, VRFs (tables), what carries
// the outer tag of double-tagged frames.
func (l *link) hidden() bool {
	return l.Type == unix.ARPHRD_LOOPBACK || l.Kind == "vrf" || l.alias == aliasOuter ||
		l.isSub() && l.alias == "" && (strings.HasPrefix(l.Name, prefixOuter) || strings.HasPrefix(l.Name, prefixTwin))
}

// isSub tells VLAN links: sub-interfaces.
func (l *link) isSub() bool { return l.Kind == "vlan" }

// view is what the contract says of a link; ok is false of hidden ones.
func (s *session) view(l *link) (x dataplane.Interface, ok bool) {
	if l == nil || l.hidden() {
		return x, false
	}
	x = dataplane.Interface{Index: l.Index, Name: l.Name, Parent: dataplane.NoIndex, Up: l.up(), Carrier: l.Carrier, MTU: l.MTU, MAC: l.Addr, MPLS: l.mpls}
	if l.Type != unix.ARPHRD_ETHER {
		x.Type = dataplane.Layer3
	}
	if _, is := parsePortAlias(l.alias); is && !l.isSub() {
		x.Companion = true
	}
	if l.isSub() {
		x.Parent, x.Sub = s.subOf(l)
	}
	if m := s.links[l.Master]; m != nil && m.Kind == "vrf" {
		x.Table4, x.Table6 = m.VRFTable, m.VRFTable
	}
	return x, true
}

// subOf is the phy and the tags of a VLAN link.
func (s *session) subOf(l *link) (phy uint32, sub dataplane.Sub) {
	tag, ad := l.VLAN.ID, l.VLAN.Protocol == unix.ETH_P_8021AD
	if p := s.links[l.Parent]; p != nil && p.isSub() {
		return p.Parent, dataplane.Sub{Outer: p.VLAN.ID, OuterAD: p.VLAN.Protocol == unix.ETH_P_8021AD, Inner: tag, InnerAD: ad, Exact: true}
	}
	return l.Parent, dataplane.Sub{Outer: tag, OuterAD: ad, Exact: true}
}

// heard takes notifications in.
func (s *session) heard(datagrams [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := false
	for _, b := range datagrams {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				break
			}
			b = rest
			changed = s.message(h, body) || changed
		}
	}
	if changed {
		s.react()
	}
	s.flush()
}

// message takes one notification in, and tells whether anything of links or
// addresses may have changed.
func (s *session) message(h rtnl.Header, body []byte) bool {
	kind, deleted := rtnl.KindOf(h.Type)
	switch kind {
	case rtnl.KindLink:
		var l link
		alias, err := rtnl.LinkAlias(body)
		if err != nil || rtnl.DecodeLink(body, &l.Link) != nil || l.Family != unix.AF_UNSPEC {
			return false
		}
		l.alias = alias
		if deleted {
			s.linkGone(l.Index)
		} else {
			s.linkSeen(&l)
		}
		return true
	case rtnl.KindAddr:
		var a rtnl.Addr
		if rtnl.DecodeAddr(body, &a) == nil {
			s.addrSeen(&a, deleted)
			return true
		}
	case rtnl.KindRoute:
		s.routeSeen(h, body, deleted)
	}
	return false
}

// linkSeen notes a link, and tells what is new about it.
func (s *session) linkSeen(l *link) {
	old := s.links[l.Index]
	before, was := s.view(old)
	if old != nil {
		l.mpls, l.bounced = old.mpls, old.bounced
	} else {
		l.mpls = s.readMPLS(l.Name)
	}
	s.links[l.Index] = l
	now, is := s.view(l)
	switch {
	case is && (!was || now != before):
		s.send(dataplane.Changed{Epoch: s.epoch, Interface: now})
	case was && !is:
		s.send(dataplane.Gone{Epoch: s.epoch, Index: l.Index})
	}
	if old == nil {
		return
	}
	if old.up() && !l.up() {
		l.bounced = true
	}
	ready := func(l *link) bool { return l.up() && l.MTU >= minMTU6 }
	if ready(l) && (!ready(old) || old.Master != l.Master) {
		s.cameUp(l)
	}
}

// linkGone notes the end of a link.
func (s *session) linkGone(index uint32) {
	l := s.links[index]
	if l == nil {
		return
	}
	_, was := s.view(l)
	delete(s.links, index)
	for a := range s.addrs {
		if a.Index == index {
			delete(s.addrs, a)
		}
	}
	for k := range s.neighs {
		if k.index == index {
			delete(s.neighs, k)
		}
	}
	if was {
		s.send(dataplane.Gone{Epoch: s.epoch, Index: index})
	}
}

// cameUp writes again what the kernel dropped when the link was down, or too
// narrow for IPv6.
func (s *session) cameUp(l *link) {
	var msgs [][]byte
	for a := range s.addrs {
		if a.Index == l.Index && a.Prefix.Addr().Is6() {
			delete(s.lost, a)
			msgs = append(msgs, addrMessage(unix.RTM_NEWADDR, a))
		}
	}
	for k, mac := range s.neighs {
		if k.index == l.Index {
			msgs = append(msgs, neighMessage(unix.RTM_NEWNEIGH, k, mac))
		}
	}
	for _, err := range s.conn.Execute(s.ctx, msgs) {
		if err != nil && !errors.Is(err, unix.EEXIST) {
			s.o.Log.Warn("cannot write again what an interface had before it was down", "interface", l.Name, "error", err)
			break
		}
	}
	if l.bounced {
		l.bounced = false
		s.gone[0] = true
		if p := s.pairs[l.Index]; p != nil && p.port != 0 && !p.ours {
			p.hold, p.holdMax = time.Now().Add(holdLimit), time.Now().Add(holdLimit)
		}
	}
	s.later()
}

// addrSeen notes an address, and tells what others did.
func (s *session) addrSeen(a *rtnl.Addr, deleted bool) {
	l := s.links[a.Index]
	key := dataplane.Addr{Index: a.Index, Prefix: prefixOf(a)}
	if l == nil || l.hidden() || !key.Prefix.IsValid() {
		return
	}
	known := s.addrs[key]
	switch {
	case deleted && known:
		s.lost[key] = true
		s.later()
	case !deleted && known:
		delete(s.lost, key)
	case !deleted:
		s.addrs[key] = true
		s.send(dataplane.AddrChanged{Epoch: s.epoch, Addr: key})
	}
	if deleted && a.Family == unix.AF_INET && !s.has4(a.Index, key) {
		s.gone[0] = true // with the last address all IPv4 routes go, in silence
	}
}

func (s *session) has4(index uint32, except dataplane.Addr) bool {
	for a := range s.addrs {
		if a.Index == index && a.Prefix.Addr().Is4() && a != except {
			return true
		}
	}
	return false
}

func prefixOf(a *rtnl.Addr) netip.Prefix {
	ip := a.Local
	if !ip.IsValid() {
		ip = a.Peer
	}
	return netip.PrefixFrom(ip, int(a.PrefixLen))
}

// routeSeen listens for others' hands on our routes.
func (s *session) routeSeen(h rtnl.Header, body []byte, deleted bool) {
	if h.PID == s.port || !deleted && h.Flags&unix.NLM_F_REPLACE == 0 {
		return
	}
	var r rtnl.Route
	if rtnl.DecodeRoute(body, &r) != nil || deleted && r.Protocol != Protocol || r.Priority != Metric && r.Family != unix.AF_MPLS {
		return
	}
	s.gone[r.Oif] = true
	s.later()
}

// judge tells of what was lost, once it is clear whether it went with its link.
// It is true while there is something left to be judged. With now there is
// nothing more to be waited for.
func (s *session) judge(now bool) (more bool) {
	for a := range s.lost {
		delete(s.lost, a)
		l := s.links[a.Index]
		if l == nil {
			continue
		}
		if a.Prefix.Addr().Is6() && (!l.up() || l.MTU < minMTU6) {
			continue // written again when it can be
		}
		delete(s.addrs, a)
		s.send(dataplane.AddrChanged{Epoch: s.epoch, Addr: a, Gone: true})
	}
	for i := range s.gone {
		if l := s.links[i]; i != 0 && (l == nil || !l.up()) {
			delete(s.gone, i) // told when it is up again, or as Gone
		}
	}
	if len(s.gone) > 0 {
		if !now && time.Since(s.told) < tellEvery {
			return true
		}
		clear(s.gone)
		s.told = time.Now()
		s.send(dataplane.Disturbed{Epoch: s.epoch, Kind: dataplane.KindRoute})
	}
	for _, p := range s.pairs {
		if !p.hold.IsZero() {
			more = true
		}
	}
	return more
}
