package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// pair is a phy, or a sub-interface, with a companion.
type pair struct {
	phy       uint32
	port      uint32 // our end of the veth pair; 0 of a sub-interface
	host      string
	hostIndex uint32
	netns     string
	found     bool // the VLAN link was there before
	ours      bool // it is us who take the phy down and up
	// hold is until when the companion has no carrier for want of routes, holdMax
	// the latest time for that; zero when it is not held.
	hold, holdMax time.Time
}

// A phy that was taken down by others has lost its routes: its companion has no
// carrier until they are there again, which is when they have been read anew and
// nothing more was written for holdQuiet.
const (
	holdLimit = 2 * time.Second
	holdQuiet = 200 * time.Millisecond
)

func (p *pair) value() dataplane.Pair {
	v := dataplane.Pair{Phy: p.phy, HostName: p.host, HostIndex: p.hostIndex, NetNS: p.netns, HostPort: dataplane.NoIndex}
	if p.port != 0 {
		v.HostPort, v.Queues = p.port, 1
	}
	return v
}

// phyLink finds an interface that operations may be about.
func (s *session) phyLink(index uint32) (*link, error) {
	l := s.links[index]
	if l == nil || l.hidden() {
		return nil, fmt.Errorf("interface %d: %w", index, dataplane.ErrNoInterface)
	}
	return l, nil
}

// nameOf is what people call an interface.
func (s *session) nameOf(index uint32) string {
	if l := s.links[index]; l != nil {
		return l.Name
	}
	return fmt.Sprintf("interface %d, which is gone", index)
}

// addPair makes a companion.
func (s *session) addPair(want *dataplane.Pair) (*pair, error) {
	if want == nil || !validName(want.HostName) {
		return nil, fmt.Errorf("a companion needs a name of 1 to %d octets: %w", maxName, dataplane.ErrRefused)
	}
	phy, err := s.phyLink(want.Phy)
	if err != nil {
		return nil, err
	}
	if x, _ := s.view(phy); want.TUN || x.Type != dataplane.Ethernet {
		return nil, fmt.Errorf("companion %s of %s: only Ethernet interfaces have one here: %w", want.HostName, phy.Name, dataplane.ErrUnsupported)
	} else if x.Companion {
		return nil, fmt.Errorf("%s is the dataplane's end of a pair: %w", phy.Name, dataplane.ErrRefused)
	}
	if p := s.pairs[phy.Index]; p != nil {
		return s.again(p, want)
	}
	for _, p := range s.pairs {
		if p.host == want.HostName && p.netns == want.NetNS {
			return nil, fmt.Errorf("companion %s: it is that of %s: %w", want.HostName, s.nameOf(p.phy), dataplane.ErrTaken)
		}
	}
	h, err := s.space(want.NetNS)
	if err != nil {
		return nil, err
	}
	p := &pair{phy: phy.Index, host: want.HostName, netns: want.NetNS}
	if phy.isSub() {
		err = s.makeSubHost(p, h, phy)
	} else {
		err = s.makeVeth(p, h, phy)
	}
	if err != nil {
		return nil, fmt.Errorf("companion %s of %s: %w", want.HostName, phy.Name, err)
	}
	s.pairs[phy.Index] = p
	s.o.Log.Info("made a companion", "phy", phy.Name, "host", p.host, "netns", p.netns)
	return p, nil
}

// again is addPair for a phy that has a companion.
func (s *session) again(p *pair, want *dataplane.Pair) (*pair, error) {
	if p.host != want.HostName || p.netns != want.NetNS {
		return nil, fmt.Errorf("%s has companion %s: %w", s.nameOf(p.phy), p.host, dataplane.ErrTaken)
	}
	h, err := s.space(p.netns)
	if err != nil {
		return nil, err
	}
	if p.port == 0 {
		if l, there, err := h.byName(s.ctx, p.host); err != nil || !there || l.Index != p.hostIndex {
			s.forget(p, false)
			return s.addPair(want)
		}
		return p, nil
	}
	if err := h.guard(p.host); err != nil {
		return nil, err
	}
	if err := s.rules(p); err != nil {
		return nil, err
	}
	s.adjust(p)
	return p, nil
}

// makeVeth makes a veth pair: one end here, the other, with the MAC and the MTU
// of the phy, where the companion goes.
func (s *session) makeVeth(p *pair, h *space, phy *link) error {
	alias := portAlias{phy.Index, p.host, p.netns}.String()
	if err := fits(alias); err != nil {
		return err
	}
	if _, there, err := h.byName(s.ctx, p.host); err != nil {
		return err
	} else if there {
		return fmt.Errorf("there is a link of that name: %w", dataplane.ErrTaken)
	}
	name := fmt.Sprintf("nb%d", phy.Index)
	if l := s.linkByName(name); l != nil && l.Kind == "veth" && l.alias == "" {
		s.o.Log.Warn("removing what an earlier attempt has left", "link", name)
		if err := s.deleteLink(s.conn, l.Index); err != nil {
			return err
		}
	}
	req := rtnl.LinkRequest{Link: rtnl.Link{Name: name, Kind: "veth", MTU: phy.MTU}, Set: rtnl.LinkName | rtnl.LinkMTU,
		Peer: &rtnl.VethPeer{Name: p.host, MTU: phy.MTU, Addr: phy.Addr, NSFD: h.ns.FD(), HasNSFD: true}}
	if err := s.exec(rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &req)); err != nil {
		return err
	}
	s.drain()
	port := s.linkByName(name)
	if port == nil {
		return errors.New("the kernel has made it and does not show it")
	}
	p.port, p.hostIndex = port.Index, port.Parent
	err := s.dress(p, h, phy, port, alias)
	if err != nil {
		s.forget(p, true)
		s.drain()
	}
	return err
}

// dress gives a new pair everything that it needs before it goes up.
func (s *session) dress(p *pair, h *space, phy, port *link, alias string) error {
	err := s.ns.Do(func() error { return writeSysctl("ipv6/conf/"+port.Name+"/disable_ipv6", "1") })
	if err == nil {
		err = h.guard(p.host)
	}
	if err == nil {
		err = s.exec(rtnl.AppendLinkAlias(nil, 0, 0, port.Index, alias), setFlag(phy.Index, rtnl.LinkAllMulti, true))
	}
	if err != nil {
		return err
	}
	s.aliased(port.Index, alias)
	if err := s.rules(p); err != nil {
		return err
	}
	s.adjust(p)
	return nil
}

// aliased notes an alias: the kernel announces those of links that are up only.
func (s *session) aliased(index uint32, alias string) {
	if l := s.links[index]; l != nil {
		l = &link{Link: l.Link, alias: alias, mpls: l.mpls, bounced: l.bounced}
		s.linkSeen(l)
	}
}

func (s *session) linkByName(name string) *link {
	for _, l := range s.links {
		if l.Name == name {
			return l
		}
	}
	return nil
}

func setFlag(index uint32, flag rtnl.LinkField, on bool) []byte {
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: index}, Set: flag}
	if on {
		r.Flags = unix.IFF_UP | unix.IFF_ALLMULTI // those of Set count
	}
	return rtnl.AppendLink(nil, unix.RTM_NEWLINK, 0, 0, &r)
}

func setMTU(index, mtu uint32) []byte {
	return rtnl.AppendLink(nil, unix.RTM_NEWLINK, 0, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: index, MTU: mtu}, Set: rtnl.LinkMTU})
}

func (s *session) deleteLink(conn *rtnl.Conn, index uint32) error {
	err := conn.Execute(s.ctx, [][]byte{rtnl.AppendLink(nil, unix.RTM_DELLINK, 0, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: index}})})[0]
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// exec sends requests to the forwarding namespace; the first error is told.
func (s *session) exec(msgs ...[]byte) error {
	for _, err := range s.conn.Execute(s.ctx, msgs) {
		if err != nil {
			return refused(err)
		}
	}
	return nil
}

// delPair removes a companion.
func (s *session) delPair(want *dataplane.Pair) error {
	if want == nil {
		return fmt.Errorf("a pair is needed: %w", dataplane.ErrRefused)
	}
	p := s.pairs[want.Phy]
	if p == nil {
		return nil
	}
	name := s.nameOf(p.phy)
	for _, q := range s.pairs { // companions of sub-interfaces are on that of the phy
		if l := s.links[q.phy]; q != p && p.port != 0 && l != nil && l.isSub() {
			if phy, _ := s.subOf(l); phy == p.phy {
				s.forget(q, true)
			}
		}
	}
	s.forget(p, true)
	s.o.Log.Info("removed a companion", "phy", name, "host", p.host, "netns", p.netns)
	return nil
}

// forget ends a pair: its rules and marks; with remove also the companion.
func (s *session) forget(p *pair, remove bool) {
	if s.pairs[p.phy] == p {
		delete(s.pairs, p.phy)
	}
	h, err := s.space(p.netns)
	if err == nil {
		err = h.unguard(p.host)
	}
	if p.port == 0 {
		if err == nil && remove && !p.found {
			err = s.deleteLink(h.conn, p.hostIndex)
		}
		if l := s.links[p.phy]; l != nil {
			err = errors.Join(err, s.exec(rtnl.AppendLinkAlias(nil, 0, 0, p.phy, aliasShown)))
			s.aliased(p.phy, aliasShown)
		}
	} else {
		if remove {
			err = s.deleteLink(s.conn, p.port)
		}
		if s.links[p.phy] != nil {
			err = errors.Join(err, s.exec(setFlag(p.phy, rtnl.LinkAllMulti, false)))
		}
		s.dropChains(p)
	}
	if err != nil && s.ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Warn("cannot clean up after a companion", "host", p.host, "netns", p.netns, "error", err)
	}
}

// dropChains removes the chains of a pair; some are gone with their device.
func (s *session) dropChains(p *pair) {
	names := []string{fmt.Sprintf("phy%d", p.phy), fmt.Sprintf("port%d", p.port)}
	for _, o := range s.outers(p.phy) {
		names = append(names, fmt.Sprintf("phy%d", o.Index))
	}
	for _, name := range names {
		key := chainKey{nfprotoNetdev, name}
		if _, ours := s.chains[key]; !ours {
			continue
		}
		delete(s.chains, key)
		err := s.nft.commit(message(nil, unix.NFT_MSG_DELCHAIN, 0, nfprotoNetdev, chainName(name)))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			s.o.Log.Warn("cannot remove a chain", "chain", name, "error", err)
		}
	}
}

// outers are the links of outer tags on a phy that have links on them.
func (s *session) outers(phy uint32) (list []*link) {
	for _, index := range slices.Sorted(maps.Keys(s.links)) {
		o := s.links[index]
		if !o.isSub() || o.Parent != phy {
			continue
		}
		for _, l := range s.links {
			if l.isSub() && l.Parent == o.Index {
				list = append(list, o)
				break
			}
		}
	}
	return list
}

// rules makes the chains of a pair what they should be, in one transaction:
// none when they are.
func (s *session) rules(p *pair) error {
	phy, port := s.links[p.phy], s.links[p.port]
	if phy == nil || port == nil {
		return fmt.Errorf("pair of %s: %w", s.nameOf(p.phy), dataplane.ErrNoInterface)
	}
	pp := phyPort{index: phy.Index, port: port.Index, name: phy.Name, mpls: phy.mpls}
	for _, l := range s.links {
		if l.isSub() && l.mpls {
			if of, _ := s.subOf(l); of == phy.Index {
				pp.mpls = true
			}
		}
	}
	var chains []chain
	for _, o := range s.outers(phy.Index) {
		twin, err := s.twin(port, o)
		if err != nil {
			return err
		}
		pp.stacked = append(pp.stacked, uint32(o.VLAN.Protocol)<<16|uint32(o.VLAN.ID))
		chains = append(chains, stackedChain(o.Index, o.Name, twin))
	}
	chains = append(chains, portChains(pp, port.Name)...)
	var msgs [][]byte
	for _, c := range chains {
		msgs = append(msgs, s.differing(c)...)
	}
	if len(msgs) == 0 {
		return nil
	}
	if err := s.nft.commit(msgs...); err != nil {
		for _, c := range chains {
			delete(s.chains, chainKey{c.family, c.name})
		}
		return fmt.Errorf("rules of %s: %w", phy.Name, refused(err))
	}
	return nil
}

// react makes what depends on links and pairs what it should be.
func (s *session) react() {
	for _, index := range slices.Sorted(maps.Keys(s.pairs)) {
		p := s.pairs[index]
		phy, port := s.links[p.phy], s.links[p.port]
		switch {
		case phy == nil: // the companion goes with its phy
			s.forget(p, true)
		case p.port != 0 && port == nil: // somebody has removed the companion
			s.forget(p, false)
		case p.port != 0:
			s.adjust(p)
		}
	}
}

// adjust keeps our end of a pair as its phy is: as wide, and up only with
// carrier, for then the companion has carrier too.
func (s *session) adjust(p *pair) {
	phy, port := s.links[p.phy], s.links[p.port]
	if phy == nil || port == nil {
		return
	}
	if !p.hold.IsZero() && time.Now().After(p.hold) {
		p.hold, p.holdMax = time.Time{}, time.Time{}
	}
	var msgs [][]byte
	if port.MTU != phy.MTU {
		msgs = append(msgs, setMTU(port.Index, phy.MTU))
	}
	if up := phy.up() && phy.Carrier && p.hold.IsZero(); up != port.up() {
		msgs = append(msgs, setFlag(port.Index, rtnl.LinkUp, up))
	}
	if len(msgs) == 0 {
		return
	}
	if err := s.exec(msgs...); err != nil && !errors.Is(err, unix.ENODEV) && s.ctx.Err() == nil {
		s.o.Log.Warn("cannot make the companion follow its interface", "phy", phy.Name, "host", p.host, "error", err)
	}
}

// settle shortens the time for which companions are held: routes have been read
// or written.
func (s *session) settle() {
	for _, p := range s.pairs {
		if !p.hold.IsZero() {
			if p.hold = time.Now().Add(holdQuiet); p.hold.After(p.holdMax) {
				p.hold = p.holdMax
			}
		}
	}
}
