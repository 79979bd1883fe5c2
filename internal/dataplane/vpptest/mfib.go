package vpptest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// An MFIB is the table of multicast groups beside a FIB. A packet is looked up
// by its group, must come in by an interface that the entry accepts it from,
// and goes where its other paths say: out, or to VPP itself.

// mroute is one path of a group.
type mroute struct {
	index uint32 // none: VPP itself
	flags uint32 // of the interface
	local bool
}

// group is an entry: what the best source has counts.
type group struct {
	grp, src [16]byte
	len      uint16
	special  []mroute // of VPP
	api      []mroute // of clients
}

func (g *group) best() []mroute {
	if len(g.special) > 0 {
		return g.special
	}
	return g.api
}

type mfib struct {
	id     uint32
	af     uint8
	groups []*group
}

// Flags of a path (vl_api_mfib_itf_flags).
const (
	accept  = 2
	forward = 4
)

// maxDumped is how many paths of an entry VPP can show: it counts them in an
// octet, and writes all of them.
const maxDumped = 255

// specials are the groups that every table hands to VPP itself.
var specials = [2][]netip.Prefix{
	{netip.MustParsePrefix("224.0.0.1/32"), netip.MustParsePrefix("224.0.0.2/32")},
	{netip.MustParsePrefix("ff02::1:ff00:0/104"), netip.MustParsePrefix("ff02::2/128"), netip.MustParsePrefix("ff02::1/128"), netip.MustParsePrefix("ff02::16/128")},
}

func (st *state) mfib(id uint32, af uint8) *mfib {
	for _, m := range st.mfibs {
		if m.id == id && m.af == af {
			return m
		}
	}
	return nil
}

func (st *state) addMFIB(id uint32, af uint8) {
	m := &mfib{id: id, af: af}
	for _, p := range specials[af] {
		g := m.group(grpOf(p), [16]byte{}, uint16(p.Bits()), true)
		g.special = append(g.special, mroute{index: none, flags: forward, local: true})
	}
	st.mfibs = append(st.mfibs, m)
}

func grpOf(p netip.Prefix) [16]byte { return toPrefix(p).b }

// group finds an entry, or makes it.
func (m *mfib) group(grp, src [16]byte, length uint16, add bool) *group {
	for _, g := range m.groups {
		if g.grp == grp && g.src == src && g.len == length {
			return g
		}
	}
	if !add {
		return nil
	}
	g := &group{grp: grp, src: src, len: length}
	m.groups = append(m.groups, g)
	return g
}

// acceptSpecials has VPP's own groups accept from an interface, or not.
func (st *state) acceptSpecials(v *vif, af uint8, on bool) {
	m := st.mfib(v.table[af], af)
	if m == nil {
		return
	}
	for _, p := range specials[af] {
		g := m.group(grpOf(p), [16]byte{}, uint16(p.Bits()), true)
		g.special = slices.DeleteFunc(g.special, func(r mroute) bool { return r.index == v.index })
		if on {
			g.special = append(g.special, mroute{index: v.index, flags: accept})
		}
	}
}

// mprefix reads vl_api_mprefix.
func (r *request) mprefix() (af uint8, length uint16, grp, src [16]byte) {
	af, length = r.u8(), r.u16()
	copy(grp[:], r.take(16))
	copy(src[:], r.take(16))
	return af, length, grp, src
}

func addDelMroute(c *conn, r *request) {
	st := c.s.st
	add := r.flag()
	r.flag() // is_multipath: VPP adds and removes paths whatever it is
	id, flags, rpf := r.u32(), r.u32(), r.u32()
	af, length, grp, src := r.mprefix()
	n := int(r.u8())
	raw := r.take(n * (4 + pathLen))
	if r.short {
		return
	}
	if af > 1 || n == 0 || flags != 0 || rpf != 0 || src != [16]byte{} {
		st.s.strict("multicast route of family %d, %d paths, flags %d, rpf %d", af, n, flags, rpf)
		af &= 1
	}
	if p := (prefix{addr{af, grp}, uint8(length)}); length > uint16(p.bits()) || p.masked().b != grp {
		st.s.strict("multicast route %v", p)
	}
	m := st.mfib(id, af)
	if m == nil {
		c.answer(r, rvNoFIB, none)
		return
	}
	for ; len(raw) > 0; raw = raw[4+pathLen:] {
		if rv := st.mpath(m, add, af, length, grp, src, raw[:4+pathLen]); rv != 0 {
			c.answer(r, rv, none)
			return
		}
	}
	c.answer(r, 0, none)
}

// mpath adds or removes one path of an entry.
func (st *state) mpath(m *mfib, add bool, af uint8, length uint16, grp, src [16]byte, raw []byte) int32 {
	x := mroute{flags: binary.BigEndian.Uint32(raw), index: binary.BigEndian.Uint32(raw[4:])}
	p := raw[4:]
	typ, proto := binary.BigEndian.Uint32(p[atType:]), binary.BigEndian.Uint32(p[atProto:])
	switch {
	case proto != uint32(af):
		st.s.strict("path of protocol %d in a multicast route of family %d", proto, af)
	case x.index != none && st.vif(x.index) == nil:
		return rvPathInterface
	case typ == typeLocal:
		x.local = true
		if x.index != none || x.flags != forward {
			st.s.strict("path to VPP itself: %+v", x)
		}
	case typ != typeNormal || x.index == none || x.index == 0 || x.flags&^(accept|forward) != 0 || x.flags == 0:
		st.s.strict("path of type %d in a multicast route: %+v", typ, x)
	}
	g := m.group(grp, src, length, add)
	at := -1
	if g != nil {
		at = slices.IndexFunc(g.api, func(o mroute) bool { return o.index == x.index && o.local == x.local })
	}
	switch {
	case add && at >= 0:
		g.api[at] = x
	case add:
		g.api = append(g.api, x)
	case at < 0:
		st.s.strict("multicast path %+v that is not there is removed", x)
	default:
		g.api = slices.Delete(g.api, at, at+1)
		if len(g.api)+len(g.special) == 0 {
			m.groups = slices.DeleteFunc(m.groups, func(o *group) bool { return o == g })
		}
	}
	return 0
}

func dumpMroutes(c *conn, r *request) {
	id, af := r.u32(), r.u8()&1
	r.str(64)
	m := c.s.st.mfib(id, af)
	if m == nil || r.short {
		return
	}
	for _, g := range m.groups {
		paths := g.best()
		if len(paths) > maxDumped {
			c.s.fail("ip_mroute_dump of an entry with %d paths: VPP writes behind its message", len(paths))
			return
		}
		c.begin("ip_mroute_details", r.ctx)
		c.u32(id).u32(0).u32(0).u8(af).u16(g.len).raw(g.grp[:]).raw(g.src[:]).u8(uint8(len(paths)))
		for _, p := range paths {
			flags, typ := p.flags, uint32(typeNormal)
			if p.local {
				flags, typ = 0, typeLocal // shown of interfaces only
			}
			c.u32(flags).raw(onePath(p.index, typ, uint32(af), [16]byte{}))
		}
		c.end()
	}
}

// Hears tells whether VPP takes a packet to a group for itself that comes in by
// an interface.
func (s *Server) Hears(index uint32, to netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := toPrefix(netip.PrefixFrom(to, to.BitLen()))
	v := s.st.vif(index)
	if v == nil || v.enabled[p.af] == 0 {
		return false
	}
	m := s.st.mfib(v.table[p.af], p.af)
	var found *group
	for _, g := range m.groups {
		if o := (prefix{addr{p.af, g.grp}, uint8(g.len)}); o.overlaps(p) && (found == nil || g.len > found.len) {
			found = g
		}
	}
	if found == nil {
		return false
	}
	accepted, local := false, false
	for _, r := range found.best() {
		accepted = accepted || r.index == index && r.flags&accept != 0
		local = local || r.local
	}
	return accepted && local
}

// Groups lists what clients have put into the tables of groups.
func (s *Server) Groups() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.st.mfibs {
		for _, g := range m.groups {
			for _, r := range g.api {
				out = append(out, fmt.Sprintf("%d %v %+v", m.id, prefix{addr{m.af, g.grp}, uint8(g.len)}, r))
			}
		}
	}
	slices.Sort(out)
	return out
}

// Broadcast tells whether a table hands packets to 255.255.255.255 to VPP
// itself.
func (s *Server) Broadcast(id uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.st.table(id, 0)
	if t == nil {
		return false
	}
	e := t.routes[dest{[16]byte{255, 255, 255, 255}, 32}]
	p := s.st.paths.list[e.paths]
	return len(p) == pathLen && binary.BigEndian.Uint32([]byte(p[atType:])) == typeLocal
}

// cli answers what linux-cp says of itself.
func cli(c *conn, r *request) {
	cmd := r.long()
	if cmd != "show lcp phy local0" {
		c.s.strict("command %q", cmd)
	}
	on := map[bool]string{true: "on", false: "off"}
	text := fmt.Sprintf("lcp default netns '%s'\nlcp lcp-auto-subint %s\nlcp lcp-sync %s\nlcp lcp-sync-unnumbered on\n", c.s.st.netns, on[c.s.opt.AutoSubif], on[c.s.opt.Sync])
	c.begin(r.name+"_reply", r.ctx)
	c.u32(0).u32(uint32(len(text)))
	c.raw([]byte(text)).end()
}
