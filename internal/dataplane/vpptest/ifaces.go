package vpptest

import (
	"fmt"
	"slices"
	"strings"
)

// details shows an interface.
func (c *conn) details(ctx uint32, v *vif) {
	st := c.s.st
	b := st.base(v)
	typ := uint32(0)
	if v.isSub {
		typ = 1
	}
	c.begin("sw_interface_details", ctx)
	c.u32(v.index).u32(v.sup).raw(v.mac[:]).u32(st.status(v)).u32(typ).u32(0).u32(0).u16(b.linkMTU)
	for _, m := range v.mtu {
		c.u32(m)
	}
	c.u32(v.subID).u8(v.tags).u16(v.outer).u16(v.inner).u32(v.flags)
	c.raw(make([]byte, 4*4+2+6+6+2+4))
	c.str(v.name, 64).str(b.dev, 64).str(v.tag, 64).end()
}

func dumpInterfaces(c *conn, r *request) {
	index, filtered := r.u32(), r.flag()
	filter := r.long()
	if r.short {
		return
	}
	for _, v := range c.s.st.vifs {
		if v != nil && (index == none || index == 0 || index == v.index) && (!filtered || strings.Contains(v.name, filter)) {
			c.details(r.ctx, v)
		}
	}
}

func wantInterfaceEvents(c *conn, r *request) {
	on := r.u32() != 0
	pid := r.u32()
	if c.events == on {
		c.answer(r, rvRegistration)
		return
	}
	c.events, c.pid = on, pid
	// Nothing from before is told.
	c.s.st.pending = c.s.st.pending[:0]
	c.answer(r, 0)
}

// on runs f on the interface that a request names.
func on(f func(c *conn, r *request, v *vif)) handler {
	return func(c *conn, r *request) {
		v := c.s.st.vif(r.u32())
		if v == nil && !r.short {
			r.b = nil
			c.answer(r, rvNoInterface)
			return
		}
		f(c, r, v)
	}
}

func setFlags(c *conn, r *request, v *vif) {
	flags := r.u32()
	if v.index == 0 {
		c.s.strict("set flags of interface 0")
	}
	c.s.st.setUp(v, flags&adminUp != 0)
	c.answer(r, 0)
}

func setMTU(c *conn, r *request, v *vif) {
	for i := range v.mtu {
		v.mtu[i] = r.u32()
	}
	c.answer(r, 0)
}

// setHWMTU is refused by what has no driver, and by drivers.
func setHWMTU(c *conn, r *request, v *vif) {
	mtu := r.u16()
	rv := int32(0)
	switch {
	case v.isSub:
		rv = rvInvalid
	case v.dev == "Loopback":
		rv = rvUnsupported
	case mtu < 64 || mtu > 9216:
		rv = rvDriver
	default:
		v.linkMTU, v.mtu[0] = mtu, uint32(mtu)
	}
	c.answer(r, rv)
}

func setMAC(c *conn, r *request, v *vif) {
	mac := r.mac()
	if v.isSub {
		c.answer(r, rvUnimplemented)
		return
	}
	if mac[0]&1 != 0 {
		c.s.strict("multicast address %x for %v", mac, v)
	}
	v.mac = mac
	c.answer(r, 0)
}

func getMAC(c *conn, r *request, v *vif) {
	c.begin(r.name+"_reply", r.ctx)
	c.u32(0).raw(v.mac[:]).end()
}

func setName(c *conn, r *request, v *vif) {
	v.name = r.str(64)
	c.answer(r, 0)
}

func setTag(c *conn, r *request) {
	add, v := r.flag(), c.s.st.vif(r.u32())
	tag := r.str(64)
	if v == nil {
		c.answer(r, rvNoInterface)
		return
	}
	if v.tag = ""; add {
		v.tag = tag
	}
	c.answer(r, 0)
}

func setTable(c *conn, r *request, v *vif) {
	af, id := r.u8(), r.u32()
	st := c.s.st
	rv := int32(0)
	switch {
	case af > 1 || r.short:
	case st.table(id, af) == nil:
		rv = rvNoFIB
	case len(v.addrs[af]) > 0:
		rv = rvHasAddress
	default:
		v.table[af] = id
	}
	c.answer(r, rv)
}

func getTable(c *conn, r *request) {
	v, af := c.s.st.vif(r.u32()), r.u8()
	if v == nil {
		c.answer(r, rvNoInterface, none)
		return
	}
	c.answer(r, 0, v.table[af&1])
}

func createLoopback(c *conn, r *request) {
	mac := r.mac()
	instance, asked := uint32(0), false
	if r.name == "create_loopback_instance" {
		asked, instance = r.flag(), r.u32()
	}
	st := c.s.st
	if !asked {
		for instance = 0; st.loops[instance]; instance++ {
		}
	}
	if st.loops[instance] || instance >= 16*1024 {
		c.answer(r, rvRegistration, none)
		return
	}
	st.loops[instance] = true
	if mac == [6]byte{} {
		mac = [6]byte{0xde, 0xad, 0, 0, byte(instance >> 8), byte(instance)}
	}
	v := st.add(&vif{name: fmt.Sprintf("loop%d", instance), dev: "Loopback", mac: mac, instance: instance, linkMTU: 9000, mtu: [4]uint32{9000}})
	c.answer(r, 0, v.index)
}

func deleteLoopback(c *conn, r *request, v *vif) {
	if v.dev != "Loopback" || v.isSub {
		c.answer(r, rvNoInterface)
		return
	}
	c.s.st.remove(v)
	c.answer(r, 0)
}

// afPacket makes an interface of a link of the host; only vpp0 and vpp1 are
// there, as in the exchanges.
func afPacket(c *conn, r *request) {
	r.u32()
	mac := r.mac()
	r.flag()
	host := r.str(64)
	r.take(4*4 + 4 + 2 + 2)
	st := c.s.st
	if !strings.HasPrefix(host, "vpp") {
		c.answer(r, rvNoHost, 0)
		return
	}
	for _, v := range st.vifs {
		if v != nil && v.host == host {
			c.answer(r, rvInterfaceThere, v.index)
			return
		}
	}
	v := st.add(&vif{name: "host-" + host, dev: "af-packet", host: host, mac: mac, link: true, linkMTU: 9000, mtu: [4]uint32{9000}})
	c.answer(r, 0, v.index)
}

func afPacketDelete(c *conn, r *request) {
	host := r.str(64)
	for _, v := range c.s.st.vifs {
		if v != nil && v.host == host {
			c.s.st.remove(v)
			c.answer(r, 0)
			return
		}
	}
	c.answer(r, rvNoInterface)
}

// createTap makes one as tap_create_v3 does; its options are not looked at.
func createTap(c *conn, r *request) {
	id := r.u32()
	r.take(1 + 6 + 2 + 2 + 2 + 2 + 1 + 4 + 1 + 6 + 1 + 5 + 1 + 17 + 1 + 4 + 1 + 16 + 4 + 1 + 64 + 1 + 64 + 1 + 64)
	tag := r.long()
	v := c.s.st.add(&vif{name: fmt.Sprintf("tap%d", id), dev: "tap", tag: tag, mac: [6]byte{2, 0xfe, 0, 0, 3, 3}, link: true, linkMTU: 9000, mtu: [4]uint32{9000}})
	c.answer(r, 0, v.index)
}

func deleteTap(c *conn, r *request, v *vif) {
	c.s.st.remove(v)
	c.answer(r, 0)
}

func createSub(c *conn, r *request, v *vif) {
	id, flags, outer, inner := r.u32(), r.u32(), r.u16(), r.u16()
	if v.isSub {
		c.s.fail("sub-interface %d of %v, which is one itself: VPP dies when both are deleted", id, v)
	}
	if outer == 0 || outer > 4094 || inner > 4094 || flags&subOneTag != 0 && flags&subTwoTags != 0 {
		c.s.strict("sub-interface %d.%d with flags %#x", outer, inner, flags)
	}
	c.sub(r, v, id, flags, outer, inner)
}

func createVLAN(c *conn, r *request, v *vif) {
	vlan := r.u32()
	if vlan == 0 || vlan > 4095 {
		c.answer(r, rvBadVLAN, none)
		return
	}
	c.sub(r, v, vlan, subOneTag|subExact, uint16(vlan), 0)
}

func (c *conn) sub(r *request, v *vif, id, flags uint32, outer, inner uint16) {
	st := c.s.st
	flags &= subKnown
	n := &vif{sup: v.index, isSub: true, name: fmt.Sprintf("%s.%d", v.name, id), subID: id, outer: outer, inner: inner, flags: flags}
	if flags&1 != 0 || flags&64 != 0 {
		c.answer(r, rvUnspecified, st.next())
		return
	}
	if flags&subOneTag != 0 {
		n.tags++
	}
	if flags&subTwoTags != 0 {
		n.tags += 2
	}
	for _, o := range st.vifs {
		switch {
		case o == nil || !o.isSub || o.sup != v.index:
		case o.subID == id:
			c.answer(r, rvSubExists, none)
			return
		case o.flags == flags && o.outer == outer && o.inner == inner && flags != 0:
			c.answer(r, rvUnspecified, st.next())
			return
		}
	}
	c.answer(r, 0, st.add(n).index)
}

func deleteSub(c *conn, r *request, v *vif) {
	if !v.isSub {
		c.answer(r, rvNoSub)
		return
	}
	if c.s.st.vifs[v.sup].isSub {
		c.s.st.base(c.s.st.vifs[v.sup]).poisoned = true
	}
	c.s.st.remove(v)
	c.answer(r, 0)
}

// address does sw_interface_add_del_address.
func address(c *conn, r *request) {
	v, add, all := c.s.st.vif(r.u32()), r.flag(), r.flag()
	p := r.prefix()
	st := c.s.st
	if r.short {
		return
	}
	if p.af > 1 {
		st.s.strict("address with family %d", p.af)
		p.addr = addr{b: [16]byte{45, 127}} // what lay on VPP's stack
	}
	rv := int32(0)
	switch {
	case v == nil:
		rv = rvNoInterface
	case v.index == 0:
		rv = rvUnsupported
	case all && !add:
		for af := range v.addrs {
			for len(v.addrs[af]) > 0 {
				st.delAddr(v, v.addrs[af][0])
			}
		}
	case add:
		rv = st.addAddr(v, p)
	default:
		i := slices.IndexFunc(v.addrs[p.af], func(o prefix) bool { return o.b == p.b })
		switch {
		case i < 0:
			rv = rvNoAddress
		case v.addrs[p.af][i] != p:
			st.s.strict("%v of %v is to be deleted, it has %v: VPP deletes that", p, v, v.addrs[p.af][i])
			fallthrough
		default:
			st.delAddr(v, v.addrs[p.af][i])
		}
	}
	c.answer(r, rv)
}

// addAddr adds an address: subnets must not overlap unless they are the same
// one of the same interface.
func (st *state) addAddr(v *vif, p prefix) int32 {
	taken := int32(rvAddress4)
	if p.af == 1 {
		taken = rvAddress6
		local := p.b[0] == 0xfe && p.b[1]&0xc0 == 0x80
		if p.len > 128 || local && p.len != 128 {
			return rvLength
		}
		if local {
			if v.enabled[1] == 0 {
				st.enable(v, 1, true)
			}
			v.local = p.b // the link's own, shown elsewhere
			return 0
		}
	}
	if p.len > p.bits() || p.len == 0 {
		st.s.strict("address %v", p)
		return taken
	}
	for _, o := range st.vifs {
		if o == nil || o.table[p.af] != v.table[p.af] {
			continue
		}
		for _, a := range o.addrs[p.af] {
			same := o == v && a.len == p.len && a.masked() == p.masked() && a.b != p.b
			if a.overlaps(p) && !same {
				return taken
			}
		}
	}
	if p.af == 1 || len(v.addrs[0]) == 0 {
		st.enable(v, p.af, true)
	}
	v.addrs[p.af] = append(v.addrs[p.af], p)
	st.connect(v, p, true)
	return 0
}

func (st *state) delAddr(v *vif, p prefix) {
	v.addrs[p.af] = slices.DeleteFunc(v.addrs[p.af], func(o prefix) bool { return o == p })
	if p.af == 1 || len(v.addrs[0]) == 0 {
		st.enable(v, p.af, false)
	}
	st.connect(v, p, false)
	for _, a := range v.addrs[p.af] {
		st.connect(v, a, true) // of the same subnet
	}
}

// connect makes or removes the routes that come with an address.
func (st *state) connect(v *vif, p prefix, add bool) {
	t := st.table(v.table[p.af], p.af)
	if t == nil {
		return
	}
	set := func(b [16]byte, length uint8, path []byte) {
		d := dest{b, length}
		if !add {
			st.drop(t, d, srcInterface)
			return
		}
		st.put(t, d, srcInterface, st.paths.number(path))
	}
	m, proto := p.masked(), uint32(p.af)
	if p.len < p.bits() {
		set(m.b, p.len, onePath(v.index, typeNormal, proto, [16]byte{}))
		if add && p.af == 0 {
			t.given[dest{m.b, p.len}] = p.b
		}
		if p.af == 0 && p.len < 31 {
			last := m.b
			for i := p.len; i < 32; i++ {
				last[i/8] |= 0x80 >> (i % 8)
			}
			drop := onePath(none, typeDrop, proto, [16]byte{})
			set(m.b, 32, drop)
			set(last, 32, drop)
		}
	}
	set(p.b, p.bits(), onePath(v.index, typeLocal, proto, p.b))
}

func dumpAddresses(c *conn, r *request) {
	v, af := c.s.st.vif(r.u32()), r.u8()&1
	if v == nil {
		return
	}
	for _, p := range v.addrs[af] {
		c.begin("ip_address_details", r.ctx)
		c.u32(v.index).prefix(p).end()
	}
}

// dumpIP lists the interfaces, whether they have addresses or not.
func dumpIP(c *conn, r *request) {
	six := r.flag()
	for _, v := range c.s.st.vifs {
		if v != nil {
			c.begin("ip_details", r.ctx)
			c.u32(v.index).flag(six).end()
		}
	}
}

// enable counts who wants a family on an interface; it is on while that is not
// 0. Then the groups of every table accept from it, in the table that it is
// bound to at that time: they do not go along to another one. A link of IPv6
// has an address.
func (st *state) enable(v *vif, af uint8, on bool) {
	was := v.enabled[af] > 0
	if v.enabled[af]++; !on {
		v.enabled[af] -= 2
	}
	if v.enabled[af] > 0 == was {
		return
	}
	st.acceptSpecials(v, af, on)
	if af == 0 {
		return
	}
	m := st.base(v).mac
	switch {
	case !on:
		v.local = [16]byte{}
	case v.local == [16]byte{}:
		v.local = [16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}
	}
}

// enableIP is on the request of a client. Disabling what is not enabled is
// refused for IPv6, and for IPv4 counts below 0.
func enableIP(af uint8) func(c *conn, r *request, v *vif) {
	return func(c *conn, r *request, v *vif) {
		on := r.flag()
		was := v.enabled[af] > 0
		rv := int32(0)
		switch {
		case on || was:
			c.s.st.enable(v, af, on)
			if on && was && af == 1 {
				rv = rvThere
			}
		case af == 1:
			rv = rvNoIPv6
		default:
			c.s.strict("IPv4 of %v is disabled more often than enabled: VPP counts below 0", v)
		}
		c.answer(r, rv)
	}
}

// getLinkLocal shows the link-local address of an interface; not recorded.
func getLinkLocal(c *conn, r *request, v *vif) {
	c.begin(r.name+"_reply", r.ctx)
	rv := int32(0)
	if v.local == [16]byte{} {
		rv = rvNoIPv6
	}
	c.u32(uint32(rv)).raw(v.local[:]).end()
}
