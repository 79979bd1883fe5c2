package vpptest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// pair is a dataplane interface with its companion.
type pair struct {
	phy, host uint32 // sw_if_index
	vif       uint32 // ifindex
	name      string
	tun       bool
	netns     string
	tap       *tap // the real companion
}

func getNS(c *conn, r *request) {
	c.begin(r.name+"_reply", r.ctx)
	c.str(c.s.st.netns, 32).end()
}

func setNS(c *conn, r *request) {
	c.s.st.netns = r.str(32)
	if len(c.s.st.netns) > 31 {
		c.s.st.netns = c.s.st.netns[:31]
	}
	c.answer(r, 0)
}

func addDelPair(c *conn, r *request) {
	st := c.s.st
	add, phy := r.flag(), r.u32()
	name, tun, netns := r.str(16), r.u8() == 1, r.str(32)
	if r.short {
		return
	}
	rv := int32(0)
	var made *pair
	if v := st.vif(phy); v == nil || !add && v.pair == nil {
		rv = rvNoInterface
	} else if add {
		made, rv = st.addPair(v, name, netns, tun)
	} else {
		st.delPair(v.pair)
	}
	vif, host := none, none
	if made != nil {
		vif, host = made.vif, made.host
	}
	switch r.name {
	case "lcp_itf_pair_add_del":
		c.answer(r, rv)
	case "lcp_itf_pair_add_del_v2":
		c.answer(r, rv, host)
	default:
		c.answer(r, rv, vif, host)
	}
}

func (st *state) netnsThere(netns string) bool {
	if st.s.opt.Companions {
		if netns == "" {
			return true
		}
		_, err := os.Stat(nsFile(netns))
		return err == nil
	}
	return netns == "" || st.s.opt.Namespaces == nil || slices.Contains(st.s.opt.Namespaces, netns)
}

// addPair makes a pair.
func (st *state) addPair(v *vif, name, netns string, tun bool) (*pair, int32) {
	if netns == "" {
		netns = st.netns
	}
	if len(name) > 15 {
		st.s.strict("host name %q is cut", name)
		name = name[:15]
	}
	if name == "" {
		st.s.strict("pair of %v without a host name", v)
	}
	var parent *pair
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("-_%@:.", r) && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	})
	switch {
	case v.index == 0 || bad:
		return nil, rvBadArgument
	case v.pair != nil:
		return nil, rvPaired
	case v.isSub:
		if st.vifs[v.sup].pair == nil {
			return nil, rvNoInterface
		}
		parent = st.parentPair(v)
		if parent == nil || v.flags&subExact == 0 || st.s.opt.NoVLAN {
			return nil, rvBadArgument
		}
		if netns != parent.netns {
			st.s.strict("pair of %v in %q, its parent's is in %q: VPP takes another link's number", v, netns, parent.netns)
		}
	case !st.netnsThere(netns):
		return nil, rvNoNetNS
	}
	for _, p := range st.pairs {
		if p != nil && p.name == name && p.netns == netns && name != "" {
			return nil, rvHostName
		}
	}
	if live := len(st.pairs) - len(st.pairHole); st.s.opt.Taps > 0 && live >= st.s.opt.Taps {
		return nil, rvDriver
	}
	b := st.base(v)
	p := &pair{phy: v.index, name: name, tun: tun, netns: netns}
	if st.s.opt.Companions {
		var err error
		if p.tap, err = makeTap(netns, name, tun, b.mac, int(b.mtu[0]), parent, v); err != nil {
			if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EINVAL) {
				st.s.fail("companion of %v: %v", v, err)
			}
			return nil, rvHostName // somebody has the name
		}
		p.vif = p.tap.index
	} else {
		st.ifindex++
		p.vif = st.ifindex
	}
	host := &vif{dev: "tap", name: fmt.Sprintf("tap%d", st.taps), link: true, companion: true, linkMTU: b.linkMTU, mtu: [4]uint32{b.mtu[0]}, up: true}
	switch {
	case v.isSub:
		h := st.vifs[parent.host]
		host = &vif{isSub: true, sup: h.index, name: fmt.Sprintf("%s.%d", h.name, v.subID), subID: v.subID, tags: v.tags, outer: v.outer, inner: v.inner, flags: v.flags, up: true, companion: true}
	case tun:
		host.dev, host.name = "tun", fmt.Sprintf("tun%d", st.taps)
		st.taps++
	default:
		host.mac = [6]byte{2, 0xfe, byte(st.taps >> 8), byte(st.taps), 0, 1}
		st.taps++
	}
	p.host = st.add(host).index
	v.pair = p
	if n := len(st.pairHole); n > 0 {
		st.pairs[st.pairHole[n-1]] = p
		st.pairHole = st.pairHole[:n-1]
	} else {
		st.pairs = append(st.pairs, p)
	}
	st.syncCarrier(v)
	return p, 0
}

// parentPair finds the pair whose companion carries that of a sub-interface: of
// two tags that of the one with the outer tag alone.
func (st *state) parentPair(v *vif) *pair {
	if v.inner == 0 {
		return st.vifs[v.sup].pair
	}
	for _, o := range st.vifs {
		if o != nil && o.isSub && o.sup == v.sup && o.outer == v.outer && o.inner == 0 && o.flags&subDot1AD == v.flags&subDot1AD {
			return o.pair
		}
	}
	return nil
}

// delPair removes a pair and its companion.
func (st *state) delPair(p *pair) {
	if v := st.vif(p.phy); v != nil {
		v.pair = nil
	}
	i := slices.Index(st.pairs, p)
	st.pairs[i] = nil
	st.pairHole = append(st.pairHole, i)
	if p.tap != nil {
		p.tap.Close()
		p.tap = nil
	}
	if h := st.vif(p.host); h != nil {
		st.remove(h)
	}
}

// syncCarrier makes a companion show the link of its phy.
func (st *state) syncCarrier(v *vif) {
	if v.pair != nil && v.pair.tap != nil {
		if err := v.pair.tap.carrier(st.status(v)&linkUp != 0); err != nil {
			st.s.fail("carrier of the companion of %v: %v", v, err)
		}
	}
}

func (c *conn) pairDetails(ctx uint32, p *pair) {
	c.begin("lcp_itf_pair_details", ctx)
	typ := uint8(0)
	if p.tun {
		typ = 1
	}
	c.u32(p.phy).u32(p.host).u32(p.vif).str(p.name, 16).u8(typ).str(p.netns, 32).end()
}

// getPairs shows pairs from a cursor on. Where all are asked for, the second
// version is answered as the first.
func getPairs(c *conn, r *request) {
	st := c.s.st
	cursor, index := r.u32(), none
	v2 := strings.HasSuffix(r.name, "_v2")
	if v2 {
		index = r.u32()
	}
	r.name = "lcp_itf_pair_get"
	if v2 && index != none {
		r.name = "lcp_itf_pair_get_v2"
		v := st.vif(index)
		if v == nil || v.pair == nil {
			c.answer(r, rvNoInterface, none)
			return
		}
		c.pairDetails(r.ctx, v.pair)
		c.answer(r, 0, none)
		return
	}
	switch {
	case len(st.pairs) == len(st.pairHole):
		c.answer(r, 0, 0xef010000) // not written by VPP
		return
	case cursor == none:
		cursor = 0
	case int64(cursor) >= int64(len(st.pairs)):
		c.answer(r, rvInvalid, none)
		return
	}
	for n, i := 0, int(cursor); i < len(st.pairs); i++ {
		if st.pairs[i] == nil {
			continue
		}
		if st.s.opt.Page > 0 && n == st.s.opt.Page {
			c.answer(r, rvAgain, uint32(i))
			return
		}
		n++
		c.pairDetails(r.ctx, st.pairs[i])
	}
	c.answer(r, 0, none)
}

func replaceBegin(c *conn, r *request) {
	c.s.strict("lcp_itf_pair_replace_begin: adding again does not keep a pair")
	c.answer(r, 0)
}

// replaceEnd deletes all pairs: what was added again is not unmarked.
func replaceEnd(c *conn, r *request) {
	for _, p := range slices.Clone(c.s.st.pairs) {
		if p != nil {
			c.s.st.delPair(p)
		}
	}
	c.answer(r, 0)
}

// Companion finds the companion of an interface: its ifindex and name.
func (s *Server) Companion(phy uint32) (ifindex uint32, name string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.st.vif(phy)
	if v == nil || v.pair == nil {
		return 0, "", false
	}
	return v.pair.vif, v.pair.name, true
}
