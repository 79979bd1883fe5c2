package vpp

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// Bits of vl_api_sub_if_flags.
const (
	subOneTag   = 2
	subTwoTags  = 4
	subDot1AD   = 8
	subExact    = 16
	subOuterAny = 64
	subInnerAny = 128
)

// Bits of vl_api_if_status_flags.
const (
	statusAdminUp = 1
	statusLinkUp  = 2
)

// Kinds of vl_api_if_type.
const typeSub = 1

// Bits of vl_api_ip_neighbor_flags.
const neighStatic = 1

// Lengths of strings.
const (
	nameLen     = 64
	hostNameLen = 16 // with its NUL
	netnsLen    = 32 // with its NUL
)

// iface is what sw_interface_details says.
type iface struct {
	index, parent uint32
	name, device  string
	mac           [6]byte
	status        uint32
	sub           bool
	linkMTU, mtu  uint32 // octets of a packet; 0: none of its own
	tags          dataplane.Sub
}

func decodeInterface(p []byte) (i iface, err error) {
	d := decoder{b: p}
	d.skip(2 + 4)
	i.index, i.parent = d.u32(), d.u32()
	i.mac = d.mac6()
	i.status = d.u32()
	i.sub = d.u32() == typeSub
	d.skip(4 + 4) // duplex, speed
	i.linkMTU = uint32(d.u16())
	i.mtu = d.u32()
	d.skip(3 * 4) // MTU of IPv4, IPv6, MPLS
	d.skip(4 + 1) // sub_id, number of tags
	outer, inner := d.u16(), d.u16()
	flags := d.u32()
	d.skip(4*4 + 2 + 6 + 6 + 2 + 4) // tag rewrite, provider backbone
	i.name, i.device = d.str(nameLen), d.str(nameLen)
	d.skip(nameLen) // tag
	if !i.sub {
		i.parent = dataplane.NoIndex
		return i, d.err
	}
	i.tags = dataplane.Sub{Outer: outer, Inner: inner, OuterAD: flags&subDot1AD != 0, Exact: flags&subExact != 0}
	if flags&subOuterAny != 0 {
		i.tags.Outer = 0
	}
	if flags&subInnerAny != 0 || flags&subTwoTags == 0 {
		i.tags.Inner = 0
	}
	return i, d.err
}

func encodeInterfaceDump(b []byte, index uint32) []byte { return put32(append(put32(b, index), 0), 0) }

// decodeInterfaceEvent reads sw_interface_event: something happened to an
// interface. Its flags do not say what there is now.
func decodeInterfaceEvent(p []byte) (index uint32, deleted bool, err error) {
	d := decoder{b: p}
	d.skip(2 + 4 + 4)
	index = d.u32()
	d.skip(4)
	deleted = d.u8() != 0
	return index, deleted, d.err
}

func encodeWantEvents(b []byte, pid uint32) []byte { return put32(b, 1, pid) }

func encodeSetFlags(b []byte, index uint32, up bool) []byte {
	flags := uint32(0)
	if up {
		flags = statusAdminUp
	}
	return put32(b, index, flags)
}

// encodeSetMTU sets the MTU of packets, for all protocols.
func encodeSetMTU(b []byte, index, mtu uint32) []byte { return put32(b, index, mtu, 0, 0, 0) }

func encodeHWSetMTU(b []byte, index uint32, mtu uint16) []byte { return put16(put32(b, index), mtu) }

func encodeSetMAC(b []byte, index uint32, mac rtnl.HWAddr) []byte {
	return append(put32(b, index), mac.B[:6]...)
}

func encodeAddress(b []byte, index uint32, add bool, p netip.Prefix) []byte {
	b = append(putBool(put32(b, index), add), 0) // never all at once
	return putPrefix(b, p)
}

// encodeIndexAF is an interface and whether IPv6 is meant: get_table,
// address_dump, and the beginning of set_table.
func encodeIndexAF(b []byte, index uint32, v6 bool) []byte { return putBool(put32(b, index), v6) }

func decodeAddress(p []byte) (a dataplane.Addr, err error) {
	d := decoder{b: p}
	d.skip(2 + 4)
	a.Index = d.u32()
	a.Prefix = d.prefix()
	return a, d.err
}

// encodeSub makes a sub-interface; id is what VPP tells those of one parent
// apart by, and names it by.
func encodeSub(b []byte, parent, id uint32, s dataplane.Sub) []byte {
	flags := uint32(subOneTag)
	if s.Inner != 0 {
		flags = subTwoTags
	}
	if s.OuterAD {
		flags |= subDot1AD
	}
	if s.Exact {
		flags |= subExact
	}
	return put16(put16(put32(b, parent, id, flags), s.Outer), s.Inner)
}

func encodeTable(b []byte, t dataplane.Table, name string) []byte {
	return putString(putBool(put32(b, t.ID), t.Family == unix.AF_INET6), name, nameLen)
}

func decodeTable(p []byte) (t dataplane.Table, err error) {
	d := decoder{b: p}
	d.skip(2 + 4)
	t.ID, t.Family = d.u32(), unix.AF_INET
	if d.u8() != 0 {
		t.Family = unix.AF_INET6
	}
	d.skip(nameLen)
	return t, d.err
}

func encodeMPLSTable(b []byte, id uint32, name string) []byte {
	return putString(put32(b, id), name, nameLen)
}

func decodeMPLSTable(p []byte) (t dataplane.Table, err error) {
	d := decoder{b: p}
	d.skip(2 + 4)
	t.ID, t.Family = d.u32(), unix.AF_MPLS
	d.skip(nameLen)
	return t, d.err
}

// source is a FIB source: who a route is from. Of those that have a route for
// a prefix the one with the lowest priority number forwards.
type source struct {
	priority, id uint8
	name         string
}

func encodeSource(b []byte, s source) []byte {
	return putString(append(b, s.priority, 0), s.name, nameLen)
}

func decodeSource(p []byte) (s source, err error) {
	d := decoder{b: p}
	d.skip(2 + 4)
	s = source{priority: d.u8(), id: d.u8(), name: d.str(nameLen)}
	return s, d.err
}

func encodeNeigh(b []byte, n dataplane.Neigh) []byte {
	flags := byte(0)
	if n.Static {
		flags = neighStatic
	}
	b = append(put32(b, n.Index), flags)
	return putAddr(append(b, n.MAC.B[:6]...), n.Addr)
}

func decodeNeigh(p []byte) (n dataplane.Neigh, err error) {
	d := decoder{b: p}
	d.skip(2 + 4 + 8) // age
	n.Index = d.u32()
	n.Static = d.u8()&neighStatic != 0
	n.MAC = rtnl.MAC(d.mac6())
	n.Addr = d.addr()
	return n, d.err
}

// hostTUN is the type of a companion without an Ethernet header
// (vl_api_lcp_itf_host_type).
const hostTUN = 1

func encodePair(b []byte, add bool, p *dataplane.Pair, netns string) []byte {
	b = put32(putBool(b, add), p.Phy)
	b = putString(b, p.HostName, hostNameLen)
	b = append(b, 0)
	if p.TUN {
		b[len(b)-1] = hostTUN
	}
	return putString(b, netns, netnsLen)
}

// decodePair reads lcp_itf_pair_details. NetNS is as VPP has it.
func decodePair(p []byte) (pair dataplane.Pair, err error) {
	d := decoder{b: p}
	d.skip(2 + 4)
	pair.Phy, pair.HostPort, pair.HostIndex = d.u32(), d.u32(), d.u32()
	pair.HostName = d.str(hostNameLen)
	pair.TUN = d.u8() == hostTUN
	pair.NetNS = d.str(netnsLen)
	pair.Queues = 1
	return pair, d.err
}

// prefixLen is the octets of vl_api_prefix.
const prefixLen = 1 + 16 + 1

// encodeLookup asks for just this route.
func encodeLookup(b []byte, k dataplane.RouteKey) []byte {
	return putPrefix(append(put32(b, k.Table), 1), k.Prefix)
}

// encodeLocalPath appends a path to VPP itself.
func encodeLocalPath(b []byte, proto uint8) []byte {
	at := len(b)
	b = appendPath(b, &dataplane.Path{Index: dataplane.NoIndex, Weight: 1}, proto)
	binary.BigEndian.PutUint32(b[at+pathWeight+2:], pathLocal)
	return b
}

// encodeMroute appends the body of ip_mroute_add_del: one path of linkGroups.
func encodeMroute(b []byte, add bool, t dataplane.Table, index uint32) []byte {
	to := linkGroups[t.Family]
	b = append(putBool(b, add), 1) // among others
	b = put32(b, t.ID, 0, 0)       // no flags, no RPF id
	b = putMprefix(b, to)
	b = append(b, 1)
	proto := uint8(protoIP4)
	if t.Family == unix.AF_INET6 {
		proto = protoIP6
	}
	if index == dataplane.NoIndex {
		return encodeLocalPath(put32(b, mfibForward), proto)
	}
	return appendPath(put32(b, mfibAccept), &dataplane.Path{Index: index, Weight: 1}, proto)
}

// putMprefix appends vl_api_mprefix: a group, from whatever source.
func putMprefix(b []byte, p netip.Prefix) []byte {
	a := putAddr(nil, p.Addr())
	b = put16(append(b, a[0]), uint16(p.Bits()))
	return append(append(b, a[1:]...), make([]byte, 16)...)
}

// mpath is a path of a multicast route.
type mpath struct {
	index uint32
	flags uint32
	local bool // to VPP itself
}

// decodeMroute reads ip_mroute_details. to is not valid for an entry of one
// source.
func decodeMroute(p []byte) (to netip.Prefix, paths []mpath, err error) {
	d := decoder{b: p}
	d.skip(2 + 4 + 3*4) // table, flags, RPF id
	af, bits := d.u8(), int(d.u16())
	grp, src := d.take(16), d.take(16)
	n := int(d.u8())
	for range n {
		x := mpath{flags: d.u32(), index: d.u32()}
		d.skip(pathWeight - 4 + 2)
		x.local = d.u32() == pathLocal
		d.skip(pathLen - pathWeight - 2 - 4)
		if d.err != nil {
			break
		}
		paths = append(paths, x)
	}
	if d.err != nil {
		return to, nil, d.err
	}
	a := netip.AddrFrom16([16]byte(grp))
	switch {
	case af > afIPv6:
		return to, nil, errValue
	case af == afIPv4:
		a = netip.AddrFrom4([4]byte(grp[:4]))
	}
	if netip.AddrFrom16([16]byte(src)).IsUnspecified() && bits <= a.BitLen() {
		to = netip.PrefixFrom(a, bits)
	}
	return to, paths, nil
}
