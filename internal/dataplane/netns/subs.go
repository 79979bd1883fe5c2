package netns

import (
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

const maxVLAN = 4094

// checkSub refuses what is no sub-interface.
func checkSub(sub dataplane.Sub) error {
	switch {
	case sub.Outer == 0 || sub.Outer > maxVLAN || sub.Inner > maxVLAN || sub.Inner == 0 && sub.InnerAD:
		return fmt.Errorf("tags %d.%d: %w", sub.Outer, sub.Inner, dataplane.ErrRefused)
	case !sub.Exact:
		return fmt.Errorf("tags %d.%d: a VLAN link takes exactly its tags: %w", sub.Outer, sub.Inner, dataplane.ErrUnsupported)
	}
	return nil
}

func tagType(ad bool) uint16 {
	if ad {
		return tagTypeA
	}
	return tagTypeQ
}

// vlanOn finds the VLAN link with a tag on another link.
func vlanOn(links map[uint32]*link, parent uint32, tag, proto uint16) *link {
	for _, l := range links {
		if l.isSub() && l.Parent == parent && l.ParentNSID == noNSID && l.VLAN.ID == tag && l.VLAN.Protocol == proto {
			return l
		}
	}
	return nil
}

// noNSID says that the parent of a link is in its own namespace.
const noNSID = -1

// addSub makes a sub-interface, or finds it.
func (s *session) addSub(op *dataplane.Op) (uint32, error) {
	phy, err := s.phyLink(op.Index)
	if err != nil {
		return 0, err
	}
	if !s.caps.SubInterfaces {
		return 0, fmt.Errorf("sub-interface of %s: no 802.1Q VLANs in this kernel (module 8021q): %w", phy.Name, dataplane.ErrUnsupported)
	}
	if x, _ := s.view(phy); phy.isSub() || x.Companion || x.Type != dataplane.Ethernet {
		return 0, fmt.Errorf("sub-interface of %s: it has none, being a sub-interface, a companion or no Ethernet: %w", phy.Name, dataplane.ErrRefused)
	}
	if err := checkSub(op.Sub); err != nil {
		return 0, fmt.Errorf("sub-interface of %s: %w", phy.Name, err)
	}
	outer := vlanOn(s.links, phy.Index, op.Sub.Outer, tagType(op.Sub.OuterAD))
	if op.Sub.Inner == 0 {
		if outer != nil {
			return outer.Index, s.show(outer)
		}
		l, err := s.makeVLAN(phy, op.Sub.Outer, op.Sub.OuterAD, s.subName(op, phy))
		if err != nil {
			return 0, err
		}
		return l.Index, nil
	}
	if outer == nil {
		if outer, err = s.makeOuter(phy, op.Sub); err != nil {
			return 0, err
		}
	}
	l := vlanOn(s.links, outer.Index, op.Sub.Inner, tagType(op.Sub.InnerAD))
	if l == nil {
		if l, err = s.makeVLAN(outer, op.Sub.Inner, op.Sub.InnerAD, s.subName(op, phy)); err != nil {
			s.dropOuter(outer.Index)
			return 0, err
		}
	}
	if p := s.pairs[phy.Index]; p != nil {
		err = s.rules(p)
	}
	return l.Index, err
}

// show makes an interface of a link that has only carried an outer tag.
func (s *session) show(l *link) error {
	if l.alias != aliasOuter {
		return nil
	}
	if err := s.exec(rtnl.AppendLinkAlias(nil, 0, 0, l.Index, aliasShown)); err != nil {
		return err
	}
	s.aliased(l.Index, aliasShown)
	return nil
}

// subName is the name that was wished for, or one made of phy and tags, of those
// that are free.
func (s *session) subName(op *dataplane.Op, phy *link) string {
	tags := fmt.Sprintf(".%d", op.Sub.Outer)
	if op.Sub.OuterAD {
		tags += "a"
	}
	if op.Sub.Inner != 0 {
		tags += fmt.Sprintf(".%d", op.Sub.Inner)
		if op.Sub.InnerAD {
			tags += "a"
		}
	}
	return s.freeName(op.Name, phy.Name+tags, fmt.Sprintf("%d%s", phy.Index, tags))
}

// freeName is the first of the names that can be given.
func (s *session) freeName(names ...string) string {
	for _, n := range names {
		if validName(n) && s.linkByName(n) == nil {
			return n
		}
	}
	for i := 0; ; i++ {
		if n := fmt.Sprintf("nbs%d", i); s.linkByName(n) == nil {
			return n
		}
	}
}

// makeVLAN makes a VLAN link and waits for it to be seen.
func (s *session) makeVLAN(parent *link, tag uint16, ad bool, name string) (*link, error) {
	if err := s.exec(vlanMessage(parent.Index, tag, tagType(ad), name)); err != nil {
		return nil, fmt.Errorf("VLAN %d on %s: %w", tag, parent.Name, err)
	}
	s.drain()
	if l := vlanOn(s.links, parent.Index, tag, tagType(ad)); l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("VLAN %d on %s: the kernel has made it and does not show it", tag, parent.Name)
}

func vlanMessage(parent uint32, tag, proto uint16, name string) []byte {
	r := rtnl.LinkRequest{Link: rtnl.Link{Name: name, Kind: "vlan", Parent: parent, VLAN: rtnl.VLAN{ID: tag, Protocol: proto}},
		Set: rtnl.LinkName | rtnl.LinkParent | rtnl.VLANID | rtnl.VLANProtocol}
	return rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &r)
}

// makeOuter makes the link that carries the outer tag of double-tagged frames,
// and is no interface of its own.
func (s *session) makeOuter(phy *link, sub dataplane.Sub) (*link, error) {
	name := s.freeName(fmt.Sprintf(prefixOuter+"%d.%d", phy.Index, sub.Outer))
	if sub.OuterAD {
		name = s.freeName(fmt.Sprintf(prefixOuter+"%d.%da", phy.Index, sub.Outer))
	}
	return s.makeHidden(phy, sub.Outer, sub.OuterAD, name)
}

// makeHidden makes a VLAN link that is shown as no interface, up if its parent
// is.
func (s *session) makeHidden(parent *link, tag uint16, ad bool, name string) (*link, error) {
	if err := s.exec(vlanMessage(parent.Index, tag, tagType(ad), name)); err != nil {
		return nil, fmt.Errorf("VLAN %d on %s: %w", tag, parent.Name, err)
	}
	all, err := s.readLinks()
	if err != nil {
		return nil, err
	}
	l := vlanOn(all, parent.Index, tag, tagType(ad))
	if l == nil {
		return nil, fmt.Errorf("VLAN %d on %s: the kernel has made it and does not show it", tag, parent.Name)
	}
	msgs := [][]byte{rtnl.AppendLinkAlias(nil, 0, 0, l.Index, aliasOuter)}
	if parent.up() {
		msgs = append(msgs, setFlag(l.Index, rtnl.LinkUp, true))
	}
	l.alias = aliasOuter
	s.links[l.Index] = l
	return l, s.exec(msgs...)
}

// twin is the link on our end of a pair that carries the outer tag which o
// carries on the phy.
func (s *session) twin(port, o *link) (uint32, error) {
	ad := o.VLAN.Protocol == tagTypeA
	if l := vlanOn(s.links, port.Index, o.VLAN.ID, o.VLAN.Protocol); l != nil {
		return l.Index, nil
	}
	l, err := s.makeHidden(port, o.VLAN.ID, ad, s.freeName(fmt.Sprintf(prefixTwin+"%d.%d", port.Index, o.VLAN.ID)))
	if err != nil {
		return 0, err
	}
	return l.Index, nil
}

// delSub removes a sub-interface.
func (s *session) delSub(index uint32) error {
	l := s.links[index]
	if l == nil || l.hidden() {
		return nil
	}
	if !l.isSub() {
		return fmt.Errorf("%s is no sub-interface: %w", l.Name, dataplane.ErrRefused)
	}
	if p := s.pairs[index]; p != nil {
		s.forget(p, true)
	}
	for _, c := range s.links {
		if c.isSub() && c.Parent == index { // it carries the outer tag of others
			if err := s.exec(rtnl.AppendLinkAlias(nil, 0, 0, index, aliasOuter)); err != nil {
				return err
			}
			s.bare(index)
			s.aliased(index, aliasOuter)
			if phy := s.links[l.Parent]; phy != nil && phy.up() {
				return s.exec(setFlag(index, rtnl.LinkUp, true))
			}
			return nil
		}
	}
	if err := s.deleteLink(s.conn, index); err != nil {
		return refused(err)
	}
	s.drain()
	if o := s.links[l.Parent]; o != nil && o.alias == aliasOuter {
		s.dropOuter(o.Index)
	} else if o != nil && o.isSub() {
		s.dropTwin(o)
	}
	return nil
}

// bare takes the addresses and the table off a link that is to be hidden.
func (s *session) bare(index uint32) {
	var msgs [][]byte
	for a := range s.addrs {
		if a.Index == index {
			delete(s.addrs, a)
			msgs = append(msgs, addrMessage(unix.RTM_DELADDR, a))
		}
	}
	if l := s.links[index]; l != nil && l.Master != 0 {
		msgs = append(msgs, setMaster(index, 0))
	}
	s.conn.Execute(s.ctx, msgs)
}

// dropOuter removes a hidden link of an outer tag that carries nothing any
// more, and its twin.
func (s *session) dropOuter(index uint32) {
	o := s.links[index]
	if o == nil {
		return
	}
	for _, c := range s.links {
		if c.isSub() && c.Parent == index {
			return
		}
	}
	s.dropTwin(o)
	if err := s.deleteLink(s.conn, index); err != nil {
		s.o.Log.Warn("cannot remove what carried an outer tag", "link", o.Name, "error", err)
	}
	s.drain()
}

// dropTwin removes the twin of a link that carries no inner tags any more, and
// the rules that lead there.
func (s *session) dropTwin(o *link) {
	for _, c := range s.links {
		if c.isSub() && c.Parent == o.Index {
			return
		}
	}
	p := s.pairs[o.Parent]
	if p == nil || p.port == 0 {
		return
	}
	key := chainKey{nfprotoNetdev, fmt.Sprintf("phy%d", o.Index)}
	if _, ours := s.chains[key]; ours {
		delete(s.chains, key)
		if err := s.nft.commit(message(nil, unix.NFT_MSG_DELCHAIN, 0, nfprotoNetdev, chainName(key.name))); err != nil {
			s.o.Log.Warn("cannot remove a chain", "chain", key.name, "error", err)
		}
	}
	if twin := vlanOn(s.links, p.port, o.VLAN.ID, o.VLAN.Protocol); twin != nil && twin.alias == aliasOuter {
		if err := s.deleteLink(s.conn, twin.Index); err != nil {
			s.o.Log.Warn("cannot remove what carried an outer tag", "link", twin.Name, "error", err)
		}
		delete(s.links, twin.Index)
	}
	if err := s.rules(p); err != nil {
		s.o.Log.Warn("cannot write the rules of an interface", "interface", s.nameOf(p.phy), "error", err)
	}
}

// makeSubHost makes the companion of a sub-interface: a VLAN link on that of its
// parent, or the one that is there.
func (s *session) makeSubHost(p *pair, h *space, sub *link) error {
	phy, tags := s.subOf(sub)
	parent := s.pairs[phy]
	tag, ad := tags.Outer, tags.OuterAD
	if tags.Inner != 0 {
		parent, tag, ad = nil, tags.Inner, tags.InnerAD
		if o := s.links[sub.Parent]; o != nil {
			parent = s.pairs[o.Index]
		}
	}
	if parent == nil || parent.netns != p.netns {
		return fmt.Errorf("what it is on has no companion in namespace %q: that one first: %w", p.netns, dataplane.ErrRefused)
	}
	all, err := h.links(s.ctx)
	if err != nil {
		return err
	}
	if s.findSubHost(p, all, parent.hostIndex, tag, tagType(ad)) == nil {
		for _, l := range all {
			if l.Name == p.host {
				return fmt.Errorf("there is a link of that name: %w", dataplane.ErrTaken)
			}
		}
		if err := h.conn.Execute(s.ctx, [][]byte{vlanMessage(parent.hostIndex, tag, tagType(ad), p.host)})[0]; err != nil {
			return refused(err)
		}
		l, there, err := h.byName(s.ctx, p.host)
		if err != nil || !there {
			return fmt.Errorf("the kernel has made it and does not show it: %w", err)
		}
		p.hostIndex, p.found = l.Index, false
	}
	if err := h.guard(p.host); err != nil {
		return err
	}
	alias := subAlias{p.host, p.found, p.netns}.String()
	if err := fits(alias); err != nil {
		return err
	}
	if err := s.exec(rtnl.AppendLinkAlias(nil, 0, 0, sub.Index, alias)); err != nil {
		return err
	}
	s.aliased(sub.Index, alias)
	return nil
}

// findSubHost finds the VLAN link with the right tag, whatever its name: it is
// the companion then.
func (s *session) findSubHost(p *pair, all []rtnl.Link, parent uint32, tag, proto uint16) *rtnl.Link {
	for i, l := range all {
		if l.Kind == "vlan" && l.Parent == parent && l.ParentNSID == noNSID && l.VLAN.ID == tag && l.VLAN.Protocol == proto {
			p.host, p.hostIndex, p.found = l.Name, l.Index, true
			return &all[i]
		}
	}
	return nil
}
