package rtnl

import (
	"errors"
	"io"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// oct joins values as the wire has them: integers in the machine's byte order,
// bytes and strings as they are.
func oct(parts ...any) (b []byte) {
	for _, p := range parts {
		switch v := p.(type) {
		case int:
			b = append(b, uint8(v))
		case uint16:
			b = ne.AppendUint16(b, v)
		case uint32:
			b = ne.AppendUint32(b, v)
		case uint64:
			b = ne.AppendUint64(b, v)
		case string:
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		default:
			panic("oct: what is this?")
		}
	}
	return b
}

// at is an attribute with its padding.
func at(typ uint16, parts ...any) []byte {
	v := oct(parts...)
	b := oct(uint16(4+len(v)), typ, v)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

const nested = 0x8000

// vector is one message in both directions.
type vector struct {
	name string
	body []byte
	// encode gives the value as a message, decode reads body and returns the
	// value together with what it should be. One of them may be nil where the
	// kernel's form and ours differ.
	encode func() []byte
	decode func([]byte) (got, want any, err error)
}

func both[T any](name string, body []byte, v T, enc encoder[T], dec decoder[T]) vector {
	return vector{name, body,
		func() []byte { return enc(nil, 99, 0, 0, &v) },
		func(b []byte) (any, any, error) {
			var got T
			err := dec(b, &got)
			return got, v, err
		}}
}

// request is a link request, whose form depends on the type and flags.
func request(name string, typ, flags uint16, body []byte, v LinkRequest) vector {
	v.ParentNSID = -1
	return both(name, body, v, func(b []byte, _, _ uint16, seq uint32, r *LinkRequest) []byte {
		return AppendLink(b, typ, flags, seq, r)
	}, DecodeLinkRequest)
}

// onlyRead is a message that the kernel or another program writes in a form
// that we read but do not write.
func onlyRead[T any](name string, body []byte, v T, dec decoder[T]) vector {
	x := both(name, body, v, nil, dec)
	x.encode = nil
	return x
}

var vectors = []vector{
	both("IPv4 address", oct(2, 24, 0x80, 0, uint32(3),
		at(unix.IFA_ADDRESS, 192, 0, 2, 1), at(unix.IFA_LOCAL, 192, 0, 2, 1), at(unix.IFA_BROADCAST, 192, 0, 2, 255), at(unix.IFA_LABEL, "e0\x00"),
		at(unix.IFA_FLAGS, uint32(0x280)), at(11, 9), at(unix.IFA_CACHEINFO, uint32(10), uint32(20), uint64(0))),
		Addr{Index: 3, Family: 2, PrefixLen: 24, Protocol: 9, Flags: 0x280, Local: ipa("192.0.2.1"), Broadcast: ipa("192.0.2.255"), Label: "e0", Preferred: 10, Valid: 20},
		AppendAddr, DecodeAddr),
	both("point-to-point IPv6 address", oct(10, 128, 0, 253, uint32(3),
		at(unix.IFA_ADDRESS, ipa("2001:db8::2").AsSlice()), at(unix.IFA_LOCAL, ipa("2001:db8::1").AsSlice()),
		at(unix.IFA_FLAGS, uint32(0)), at(unix.IFA_RT_PRIORITY, uint32(5)), at(unix.IFA_CACHEINFO, uint32(LifetimeForever), uint32(LifetimeForever), uint64(0))),
		Addr{Index: 3, Family: 10, PrefixLen: 128, Scope: 253, Local: ipa("2001:db8::1"), Peer: ipa("2001:db8::2"), Priority: 5, Preferred: LifetimeForever, Valid: LifetimeForever},
		AppendAddr, DecodeAddr),
	onlyRead("address of a future kernel", oct(10, 64, 0, 0, uint32(3), at(unix.IFA_LOCAL, ipa("2001:db8::1").AsSlice()), at(200, "news"),
		at(unix.IFA_CACHEINFO, uint32(1), uint32(2), "and four times as many octets as today"), at(unix.IFA_FLAGS, uint32(1), uint32(2)), 0, 0),
		Addr{Index: 3, Family: 10, PrefixLen: 64, Flags: 1, Local: ipa("2001:db8::1"), Preferred: 1, Valid: 2}, DecodeAddr),
	both("neighbour", oct(2, 0, 0, 0, uint32(4), uint16(0x80), 0x10, 1,
		at(unix.NDA_DST, 192, 0, 2, 9), at(unix.NDA_LLADDR, 2, 0, 0, 0, 0, 1), at(12, 77), at(15, uint32(1))),
		Neigh{Index: 4, Family: 2, State: 0x80, Flags: 0x10, ExtFlags: 1, Type: 1, Protocol: 77, Dst: ipa("192.0.2.9"), LLAddr: MAC([6]byte{2, 0, 0, 0, 0, 1})},
		AppendNeigh, DecodeNeigh),
	both("forwarding entry", oct(7, 0, 0, 0, uint32(4), uint16(0x40), 4, 0,
		at(unix.NDA_LLADDR, 2, 0, 0, 0, 0, 1), at(unix.NDA_VLAN, uint16(10)), at(unix.NDA_VNI, uint32(5)), at(unix.NDA_MASTER, uint32(9))),
		Neigh{Index: 4, Family: 7, State: 0x40, Flags: 4, LLAddr: MAC([6]byte{2, 0, 0, 0, 0, 1}), VLAN: 10, VNI: 5, Master: 9},
		AppendNeigh, DecodeNeigh),
	both("forwarding entry of a VXLAN", oct(7, 0, 0, 0, uint32(4), uint16(0x80), 2, 0,
		at(unix.NDA_DST, 192, 0, 2, 9), at(unix.NDA_LLADDR, 2, 0, 0, 0, 0, 1), at(unix.NDA_PORT, 0x12, 0xb5), at(unix.NDA_VNI, uint32(5)),
		at(unix.NDA_SRC_VNI, uint32(6)), at(unix.NDA_IFINDEX, uint32(3))),
		Neigh{Index: 4, Family: 7, State: 0x80, Flags: 2, LLAddr: MAC([6]byte{2, 0, 0, 0, 0, 1}), Dst: ipa("192.0.2.9"), Port: 4789, VNI: 5, SrcVNI: 6, Via: 3},
		AppendNeigh, DecodeNeigh),
	both("forwarding entry to a next hop", oct(7, 0, 0, 0, uint32(4), uint16(0x80), 2, 0, at(unix.NDA_LLADDR, 2, 0, 0, 0, 0, 1), at(13, uint32(9))),
		Neigh{Index: 4, Family: 7, State: 0x80, Flags: 2, LLAddr: MAC([6]byte{2, 0, 0, 0, 0, 1}), NHID: 9}, AppendNeigh, DecodeNeigh),
	onlyRead("neighbour of a family with short addresses", oct(45, 0, 0, 0, uint32(4), uint16(0x80), 0, 0, at(unix.NDA_DST, 9)),
		Neigh{Family: 45, Index: 4, State: 0x80}, DecodeNeigh),
	onlyRead("address of a family with short addresses", oct(45, 0, 0, 0, uint32(1), at(unix.IFA_LOCAL, 8)),
		Addr{Family: 45, Index: 1, Preferred: LifetimeForever, Valid: LifetimeForever}, DecodeAddr),
	onlyRead("route of a family with short addresses", oct(45, 0, 0, 0, 254, 4, 0, 1, uint32(0), at(unix.RTA_DST, 9), at(unix.RTA_GATEWAY, uint64(1))),
		Route{Family: 45, Table: 254, Protocol: 4, Type: 1}, DecodeRoute),
	onlyRead("multicast route, whose expiry is its age", oct(128, 32, 32, 0, 254, 17, 0, 5, uint32(0), at(unix.RTA_SRC, 192, 0, 2, 1), at(unix.RTA_DST, 233, 0, 0, 1),
		at(unix.RTA_IIF, uint32(3)), at(unix.RTA_MULTIPATH, uint16(8), 0, 1, uint32(4)), at(unix.RTA_EXPIRES, uint64(77))),
		Route{Family: 128, Table: 254, Protocol: 17, Type: 5, Dst: pfx("233.0.0.1/32"), Src: pfx("192.0.2.1/32"), Iif: 3, Multipath: AppendHops([]Hop{{Oif: 4, Weight: 1}})}, DecodeRoute),
	both("settings of a link", oct(2, 0, 0, 0, at(1, uint32(3)), at(2, uint32(1)), at(3, uint32(2)), at(4, uint32(0)), at(5, uint32(0)), at(6, uint32(1)), at(8, uint32(0))),
		Netconf{Family: 2, Index: 3, Known: NetconfForwarding | NetconfRPFilter | NetconfMCForwarding | NetconfProxyNeigh | NetconfIgnoreLinkdown | NetconfBCForwarding,
			Forwarding: 1, RPFilter: 2, IgnoreLinkdown: 1}, AppendNetconf, DecodeNetconf),
	both("a setting of all links", oct(10, 0, 0, 0, at(1, uint32(1<<32-1)), at(6, uint32(1))),
		Netconf{Family: 10, Index: NetconfAll, Known: NetconfIgnoreLinkdown, IgnoreLinkdown: 1}, AppendNetconf, DecodeNetconf),
	both("MPLS input", oct(28, 0, 0, 0, at(1, uint32(3)), at(7, uint32(1))),
		Netconf{Family: 28, Index: 3, Known: NetconfInput, Input: 1}, AppendNetconf, DecodeNetconf),
	onlyRead("settings of a future kernel", oct(10, 0, 0, 0, at(1, uint32(3)), at(9, uint32(1)), at(6, uint32(1), uint32(2))),
		Netconf{Family: 10, Index: 3, Known: NetconfIgnoreLinkdown, IgnoreLinkdown: 1}, DecodeNetconf),
	both("default route", oct(2, 0, 0, 0, 254, 4, 0, 1, uint32(0),
		at(unix.RTA_TABLE, uint32(254)), at(unix.RTA_PRIORITY, uint32(10)), at(unix.RTA_OIF, uint32(4)), at(unix.RTA_GATEWAY, 192, 0, 2, 2)),
		Route{Family: 2, Table: 254, Protocol: 4, Type: 1, Dst: pfx("0.0.0.0/0"), Priority: 10, Oif: 4, Gateway: ipa("192.0.2.2")},
		AppendRoute, DecodeRoute),
	both("IPv4 via IPv6, high table, metrics", oct(2, 16, 0, 0, 252, 4, 0, 1, uint32(4),
		at(unix.RTA_DST, 10, 4, 0, 0), at(unix.RTA_TABLE, uint32(1000)),
		at(unix.RTA_METRICS|nested, at(unix.RTAX_ADVMSS, uint32(1200)), at(unix.RTAX_LOCK, uint32(1<<2|1<<8)), at(unix.RTAX_MTU, uint32(1300))),
		at(unix.RTA_OIF, uint32(4)), at(unix.RTA_VIA, uint16(10), ipa("fe80::1").AsSlice())),
		Route{Family: 2, Table: 1000, Protocol: 4, Type: 1, Flags: 4, Dst: pfx("10.4.0.0/16"), Oif: 4, Gateway: ipa("fe80::1"), MTU: 1300, MTULock: true,
			Metrics: string(oct(at(unix.RTAX_LOCK, uint32(1<<8)), at(unix.RTAX_ADVMSS, uint32(1200))))},
		AppendRoute, DecodeRoute),
	both("source-specific IPv6 route that expires", oct(10, 48, 32, 0, 254, 9, 0, 1, uint32(0),
		at(unix.RTA_DST, ipa("2001:db8:6::").AsSlice()), at(unix.RTA_SRC, ipa("2001:db8::").AsSlice()), at(unix.RTA_TABLE, uint32(254)),
		at(unix.RTA_PREFSRC, ipa("2001:db8::1").AsSlice()), at(30, uint32(7)), at(unix.RTA_PREF, 1), at(unix.RTA_EXPIRES, uint32(600))),
		Route{Family: 10, Table: 254, Protocol: 9, Type: 1, Dst: pfx("2001:db8:6::/48"), Src: pfx("2001:db8::/32"), PrefSrc: ipa("2001:db8::1"), NHID: 7, Pref: 1, Expires: 600},
		AppendRoute, DecodeRoute),
	onlyRead("expiry as a dump has it", oct(10, 0, 0, 0, 254, 9, 0, 1, uint32(0),
		at(unix.RTA_CACHEINFO, uint32(0), uint32(0), uint32(59901), uint32(0), uint32(0), uint32(0), uint32(0), uint32(0))),
		Route{Family: 10, Table: 254, Protocol: 9, Type: 1, Dst: pfx("::/0"), Expires: 600}, DecodeRoute),
	both("multipath with encapsulation", oct(2, 16, 0, 0, 254, 4, 0, 1, uint32(0), at(unix.RTA_DST, 10, 5, 0, 0), at(unix.RTA_TABLE, uint32(254)),
		at(unix.RTA_MULTIPATH,
			uint16(16), 0, 4, uint32(4), at(unix.RTA_GATEWAY, 192, 0, 2, 3),
			uint16(40), 4, 0, uint32(5), at(unix.RTA_GATEWAY, 192, 0, 2, 4), at(unix.RTA_ENCAP_TYPE, uint16(1)), at(unix.RTA_ENCAP|nested, at(1, 0, 6, 0x41, 0, 0, 0, 0, 0)))),
		Route{Family: 2, Table: 254, Protocol: 4, Type: 1, Dst: pfx("10.5.0.0/16"), Multipath: AppendHops([]Hop{
			{Oif: 5, Flags: 4, Gateway: ipa("192.0.2.4"), Encap: string(oct(uint16(1), at(1, 0, 6, 0x41, 0, 0, 0, 0, 0)))},
			{Oif: 4, Weight: 4, Gateway: ipa("192.0.2.3")},
		})},
		AppendRoute, DecodeRoute),
	both("MPLS route", oct(28, 20, 0, 0, 254, 4, 0, 1, uint32(0), at(unix.RTA_DST, 0, 6, 0x41, 0),
		at(unix.RTA_OIF, uint32(4)), at(unix.RTA_VIA, uint16(2), 192, 0, 2, 2), at(unix.RTA_NEWDST, 0, 12, 0x81, 0)),
		Route{Family: 28, Table: 254, Protocol: 4, Type: 1, Label: 100, Oif: 4, Gateway: ipa("192.0.2.2"), Encap: "\x00\x0c\x81\x00"},
		AppendRoute, DecodeRoute),
	both("MPLS route that keeps TTLs apart", oct(28, 20, 0, 0, 254, 4, 0, 1, uint32(0), at(unix.RTA_DST, 0, 6, 0x41, 0),
		at(unix.RTA_OIF, uint32(4)), at(unix.RTA_VIA, uint16(2), 192, 0, 2, 2), at(unix.RTA_TTL_PROPAGATE, 0)),
		Route{Family: 28, Table: 254, Protocol: 4, Type: 1, Label: 100, Oif: 4, Gateway: ipa("192.0.2.2"), TTLProp: 1}, AppendRoute, DecodeRoute),
	both("route that pushes labels, with realms", oct(2, 8, 0, 0, 254, 4, 0, 1, uint32(0), at(unix.RTA_DST, 10, 0, 0, 0), at(unix.RTA_TABLE, uint32(254)),
		at(unix.RTA_OIF, uint32(4)), at(unix.RTA_ENCAP_TYPE, uint16(1)), at(unix.RTA_ENCAP|nested, at(1, 0, 6, 0x40, 0, 0, 0x0c, 0x81, 0)), at(unix.RTA_FLOW, uint32(0x20003))),
		Route{Family: 2, Table: 254, Protocol: 4, Type: 1, Dst: pfx("10.0.0.0/8"), Oif: 4, Realm: 0x20003, Encap: MPLSEncap(100, 200)}, AppendRoute, DecodeRoute),
	both("rule with what is new", oct(10, 0, 0, 0, 254, 0, 0, 1, uint32(0), at(unix.FRA_PRIORITY, uint32(9)), at(unix.FRA_TABLE, uint32(254)),
		at(unix.FRA_DPORT_RANGE, uint16(80), uint16(80)), at(unix.FRA_FLOW, uint32(7)), at(25, 46), at(30, 0x38), at(26, 0, 0x01, 0x23, 0x45), at(27, 0, 0, 0xff, 0xff), at(29, uint16(0xfff0))),
		Rule{Family: 10, Action: 1, Priority: 9, Table: 254, SuppressPL: -1, SuppressIG: -1, DportStart: 80, DportEnd: 80, DportMask: 0xfff0, Realm: 7,
			DSCP: 46, HasDSCP: true, DSCPMask: 0x38, FlowLabel: 0x12345, HasFlowLabel: true, FlowLabelMask: 0xffff}, AppendRule, DecodeRule),
	onlyRead("rule with masks that say nothing", oct(10, 0, 0, 0, 254, 0, 0, 1, uint32(0), at(25, 46), at(30, 0x3f), at(26, 0, 0, 0, 1), at(27, 0, 0x0f, 0xff, 0xff), at(28, uint16(0xffff)), at(29, uint16(0xffff))),
		Rule{Family: 10, Action: 1, Table: 254, SuppressPL: -1, SuppressIG: -1, DSCP: 46, HasDSCP: true, FlowLabel: 1, HasFlowLabel: true}, DecodeRule),
	both("rule", oct(2, 24, 8, 16, 252, 0, 0, 1, uint32(2),
		at(unix.FRA_DST, 192, 0, 2, 0), at(unix.FRA_SRC, 10, 0, 0, 0), at(unix.FRA_IIFNAME, "e0\x00"), at(unix.FRA_OIFNAME, "e1\x00"),
		at(unix.FRA_PRIORITY, uint32(100)), at(unix.FRA_FWMARK, uint32(1)), at(unix.FRA_FWMASK, uint32(0xff)), at(unix.FRA_TABLE, uint32(1000)),
		at(unix.FRA_TUN_ID, 0, 0, 0, 0, 0, 0, 0, 5), at(unix.FRA_SUPPRESS_IFGROUP, uint32(3)), at(unix.FRA_SUPPRESS_PREFIXLEN, uint32(0)),
		at(unix.FRA_L3MDEV, 1), at(unix.FRA_PROTOCOL, 77), at(unix.FRA_IP_PROTO, 6), at(unix.FRA_UID_RANGE, uint32(0), uint32(9)),
		at(unix.FRA_SPORT_RANGE, uint16(1), uint16(2)), at(unix.FRA_DPORT_RANGE, uint16(3), uint16(3))),
		Rule{Family: 2, TOS: 16, Action: 1, Protocol: 77, IPProto: 6, L3MDev: 1, Flags: 2, Priority: 100, Table: 1000, Mark: 1, Mask: 0xff,
			SuppressIG: 3, HasUID: true, UIDEnd: 9, SportStart: 1, SportEnd: 2, DportStart: 3, DportEnd: 3, TunID: 5, IifName: "e0", OifName: "e1",
			Src: pfx("10.0.0.0/8"), Dst: pfx("192.0.2.0/24")},
		AppendRule, DecodeRule),
	both("next hop", oct(2, 253, 4, 0, uint32(4), at(unix.NHA_ID, uint32(1)), at(unix.NHA_OIF, uint32(4)), at(unix.NHA_GATEWAY, 192, 0, 2, 2)),
		Nexthop{ID: 1, Family: 2, Scope: 253, Protocol: 4, Flags: 4, Oif: 4, Gateway: ipa("192.0.2.2")}, AppendNexthop, DecodeNexthop),
	both("next hop group", oct(0, 0, 4, 0, uint32(0), at(unix.NHA_ID, uint32(9)), at(unix.NHA_GROUP, uint32(1), uint32(0)), at(unix.NHA_GROUP_TYPE, uint16(1)), at(11)),
		Nexthop{ID: 9, Protocol: 4, FDB: true, GroupType: 1, Group: string(oct(uint32(1), uint32(0)))}, AppendNexthop, DecodeNexthop),

	onlyRead("resilient group with a heavy member", oct(0, 0, 4, 0, uint32(0), at(14, uint32(1<<31)), at(unix.NHA_ID, uint32(9)),
		at(unix.NHA_GROUP, uint32(1), 0xff, 0x0f, uint16(0), uint32(2), 1, 0, uint16(0)), at(unix.NHA_GROUP_TYPE, uint16(1)),
		at(12|nested, at(1, uint16(32)), at(2, uint32(12000)), at(3, uint32(100)), at(4, uint64(55)))),
		Nexthop{ID: 9, Protocol: 4, GroupType: 1, Group: AppendGroup([]GroupMember{{1, 4096}, {2, 2}}), Resilient: Resilient{32, 12000, 100}}, DecodeNexthop),
	onlyRead("group of an old kernel", oct(0, 0, 4, 0, uint32(0), at(unix.NHA_ID, uint32(9)), at(unix.NHA_GROUP, uint32(1), 3, 0xaa, uint16(0xbbcc))),
		Nexthop{ID: 9, Protocol: 4, Group: AppendGroup([]GroupMember{{1, 4}})}, DecodeNexthop),

	request("rename, up, not promiscuous", unix.RTM_SETLINK, 0, oct(0, 0, uint16(0), uint32(5), uint32(1), uint32(0x101), at(unix.IFLA_IFNAME, "lan0\x00")),
		LinkRequest{Link: Link{Index: 5, Name: "lan0", Flags: 1}, Set: LinkName | LinkUp | LinkPromisc}),
	request("address, MTU, no master, token mode, namespace", unix.RTM_NEWLINK, 0, oct(0, 0, uint16(0), uint32(5), uint64(0),
		at(unix.IFLA_ADDRESS, 2, 0, 0, 0, 0, 1), at(unix.IFLA_MTU, uint32(1400)), at(unix.IFLA_MASTER, uint32(0)),
		at(unix.IFLA_AF_SPEC|nested, at(10|nested, at(8, 1))), at(unix.IFLA_NET_NS_FD, uint32(6))),
		LinkRequest{Link: Link{Index: 5, MTU: 1400, Addr: MAC([6]byte{2, 0, 0, 0, 0, 1}), AddrGenMode: 1}, Set: LinkAddr | LinkMTU | LinkMaster | LinkAddrGenMode, HasNSFD: true, NSFD: 6}),
	request("VLAN", unix.RTM_NEWLINK, unix.NLM_F_CREATE, oct(0, 0, uint16(0), uint32(0), uint64(0),
		at(unix.IFLA_IFNAME, "e0.5\x00"), at(unix.IFLA_LINK, uint32(2)), at(unix.IFLA_LINKINFO|nested, at(unix.IFLA_INFO_KIND, "vlan\x00"),
			at(unix.IFLA_INFO_DATA|nested, at(unix.IFLA_VLAN_ID, uint16(5)), at(unix.IFLA_VLAN_PROTOCOL, 0x88, 0xa8),
				at(unix.IFLA_VLAN_FLAGS, uint32(1), uint32(0x1f)), at(unix.IFLA_VLAN_INGRESS_QOS|nested, at(1, uint32(1), uint32(2)), at(1, uint32(3), uint32(4)))))),
		LinkRequest{Link: Link{Name: "e0.5", Parent: 2, Kind: "vlan", VLAN: VLAN{ID: 5, Protocol: 0x88a8, Flags: 1,
			Ingress: string(oct(uint32(1), uint32(2), uint32(3), uint32(4)))}}, Set: LinkName | LinkParent | VLANID | VLANProtocol | VLANFlags | VLANIngress}),
	request("veth", unix.RTM_NEWLINK, unix.NLM_F_CREATE, oct(0, 0, uint16(0), uint32(9), uint64(0), at(unix.IFLA_IFNAME, "a\x00"),
		at(unix.IFLA_LINKINFO|nested, at(unix.IFLA_INFO_KIND, "veth\x00"), at(unix.IFLA_INFO_DATA|nested,
			at(1|nested, 0, 0, uint16(0), uint32(10), uint64(0), at(unix.IFLA_IFNAME, "b\x00"), at(unix.IFLA_ADDRESS, 2, 0, 0, 0, 0, 2))))),
		LinkRequest{Link: Link{Index: 9, Name: "a", Kind: "veth"}, Set: LinkName, Peer: &VethPeer{Name: "b", Index: 10, Addr: MAC([6]byte{2, 0, 0, 0, 0, 2})}}),
	request("bridge port", unix.RTM_NEWLINK, 0, oct(0, 0, uint16(0), uint32(5), uint64(0), at(unix.IFLA_LINKINFO|nested, at(unix.IFLA_INFO_SLAVE_KIND, "bridge\x00"),
		at(unix.IFLA_INFO_SLAVE_DATA|nested, at(unix.IFLA_BRPORT_PRIORITY, uint16(5)), at(unix.IFLA_BRPORT_COST, uint32(77)), at(unix.IFLA_BRPORT_MODE, 1)))),
		LinkRequest{Link: Link{Index: 5, PortKind: "bridge", Port: Port{Priority: 5, Cost: 77, Hairpin: true}}, Set: PortPriority | PortCost | PortHairpin}),
	both("port in a message of family AF_BRIDGE", oct(7, 0, uint16(1), uint32(5), uint32(1), uint32(0), at(unix.IFLA_IFNAME, "p\x00"),
		at(unix.IFLA_MTU, uint32(0)), at(unix.IFLA_MASTER, uint32(9)), at(unix.IFLA_TXQLEN, uint32(0)), at(unix.IFLA_OPERSTATE, 6), at(unix.IFLA_GROUP, uint32(0)),
		at(unix.IFLA_PROMISCUITY, uint32(0)), at(unix.IFLA_CARRIER, 0), at(unix.IFLA_ALLMULTI, uint32(0)),
		at(unix.IFLA_PROTINFO|nested, at(1, 3), at(2, uint16(32)), at(3, uint32(2)), at(4, 0), at(5, 0), at(6, 0), at(7, 0), at(8, 1), at(9, 1),
			at(18, uint16(1)), at(25, 0), at(27, 0), at(28, 0), at(30, 0), at(32, 0), at(33, 0))),
		Link{Family: 7, Type: 1, Index: 5, Flags: 1, Name: "p", ParentNSID: -1, Master: 9, OperState: 6, PortKind: "bridge",
			Port: Port{State: 3, Priority: 32, Cost: 2, Learning: true, UnicastFlood: true, No: 1}}, AppendLinkInfo, DecodeLink),
	onlyRead("kind after its data", oct(0, 0, uint16(1), uint32(5), uint64(0), at(unix.IFLA_LINKINFO,
		at(unix.IFLA_INFO_DATA, at(unix.IFLA_BR_AGEING_TIME, uint32(300))), at(unix.IFLA_INFO_KIND, "bridge"))),
		Link{Index: 5, Type: 1, ParentNSID: -1, Kind: "bridge", Bridge: Bridge{AgeingTime: 300}}, DecodeLink),
	onlyRead("flags without a mask mean all of them", oct(0, 0, uint16(0), uint32(5), uint32(0x1001), uint32(0)),
		LinkRequest{Link: Link{Index: 5, ParentNSID: -1, Flags: 0x1001}, Set: LinkFlagFields}, DecodeLinkRequest),
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			got, want, err := v.decode(v.body)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if d := cmp.Diff(want, got, compareAddrs); d != "" {
				t.Errorf("decode (-want +got):\n%s", d)
			}
			if v.encode == nil {
				return
			}
			if d := cmp.Diff(v.body, v.encode()[unix.SizeofNlMsghdr:]); d != "" {
				t.Errorf("encode (-want +got):\n%s", d)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	decodeRoute := func(b []byte) error { return DecodeRoute(b, new(Route)) }
	decodeLink := func(b []byte) error { return DecodeLink(b, new(Link)) }
	rtm := func(dst int) []byte { return oct(2, dst, 0, 0, 254, 4, 0, 1, uint32(0)) }
	for _, tc := range []struct {
		name   string
		decode func([]byte) error
		body   []byte
	}{
		{"short link", decodeLink, make([]byte, 15)},
		{"short address", func(b []byte) error { return DecodeAddr(b, new(Addr)) }, make([]byte, 7)},
		{"short neighbour", func(b []byte) error { return DecodeNeigh(b, new(Neigh)) }, make([]byte, 11)},
		{"short route", decodeRoute, make([]byte, 11)},
		{"short rule", func(b []byte) error { return DecodeRule(b, new(Rule)) }, make([]byte, 11)},
		{"empty settings", func(b []byte) error { return DecodeNetconf(b, new(Netconf)) }, nil},
		{"short setting", func(b []byte) error { return DecodeNetconf(b, new(Netconf)) }, oct(2, 0, 0, 0, at(6, 1))},
		{"short next hop", func(b []byte) error { return DecodeNexthop(b, new(Nexthop)) }, make([]byte, 7)},
		{"attribute longer than the message", decodeRoute, oct(rtm(0), uint16(9), uint16(unix.RTA_OIF), uint32(1))},
		{"attribute shorter than its header", decodeRoute, oct(rtm(0), uint16(3), uint16(unix.RTA_OIF), uint32(1))},
		{"number of two octets", decodeRoute, oct(rtm(0), at(unix.RTA_OIF, uint16(1)))},
		{"address of five octets", decodeRoute, oct(rtm(24), at(unix.RTA_DST, 1, 2, 3, 4, 5))},
		{"IPv6 destination of an IPv4 route", decodeRoute, oct(rtm(24), at(unix.RTA_DST, ipa("::1").AsSlice()))},
		{"prefix length of 33", decodeRoute, oct(rtm(33), at(unix.RTA_DST, 10, 0, 0, 0))},
		{"prefix length of 33 without a destination", decodeRoute, rtm(33)},
		{"next hop past the end", decodeRoute, oct(rtm(0), at(unix.RTA_MULTIPATH, uint16(12), 0, 0, uint32(1)))},
		{"bad attribute of a next hop", decodeRoute, oct(rtm(0), at(unix.RTA_MULTIPATH, uint16(16), 0, 0, uint32(1), at(unix.RTA_GATEWAY, 1, 2, 3)))},
		{"bad metric", decodeRoute, oct(rtm(0), at(unix.RTA_METRICS, at(unix.RTAX_MTU, uint16(1))))},
		{"bad attribute of a bridge", decodeLink, oct(make([]byte, 16), at(unix.IFLA_LINKINFO, at(unix.IFLA_INFO_KIND, "bridge"), at(unix.IFLA_INFO_DATA, at(unix.IFLA_BR_AGEING_TIME, 1))))},
		{"link info that ends early", decodeLink, oct(make([]byte, 16), at(unix.IFLA_LINKINFO, uint16(99), uint16(1)))},
	} {
		if err := tc.decode(tc.body); err == nil {
			t.Errorf("%s: accepted", tc.name)
		}
	}
}

func TestNextMessage(t *testing.T) {
	addr := Addr{Index: 1, Family: 2, Local: ipa("192.0.2.1")}
	one := AppendAddr(nil, unix.RTM_NEWADDR, unix.NLM_F_MULTI, 7, &addr)
	two := AppendDone(one, 7, 0)
	h, _, rest, err := NextMessage(two)
	if err != nil || h.Type != unix.RTM_NEWADDR || h.Seq != 7 || len(rest) != 20 {
		t.Fatalf("%+v, %d left, %v", h, len(rest), err)
	}
	if h, _, rest, err = NextMessage(rest); err != nil || h.Type != unix.NLMSG_DONE || len(rest) != 0 {
		t.Fatalf("%+v, %d left, %v", h, len(rest), err)
	}
	// A body that is not a multiple of four is followed by padding, except at
	// the end of a datagram.
	odd := oct(uint32(17), uint16(99), uint16(0), uint32(0), uint32(0), 1)
	if _, body, rest, err := NextMessage(oct(odd, 0, 0, 0, two)); err != nil || len(body) != 1 || len(rest) != len(two) {
		t.Errorf("padding: %d octets, %d left, %v", len(body), len(rest), err)
	}
	if _, body, rest, err := NextMessage(odd); err != nil || len(body) != 1 || len(rest) != 0 {
		t.Errorf("no padding: %d octets, %d left, %v", len(body), len(rest), err)
	}
	for n := range len(one) {
		if _, _, _, err := NextMessage(one[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("the first %d octets: %v", n, err)
		}
	}
	if _, _, _, err := NextMessage(oct(uint32(15), uint32(0), uint64(0))); err == nil {
		t.Error("a message shorter than its header was accepted")
	}
}

func TestAcknowledgement(t *testing.T) {
	req := Header{Len: 40, Type: unix.RTM_NEWLINK, Flags: 5, Seq: 3}
	for _, tc := range []struct {
		errno int
		text  string
	}{{0, ""}, {int(unix.EINVAL), "Invalid MTU"}, {int(unix.EEXIST), ""}, {0, "a warning"}} {
		h, body, _, err := NextMessage(AppendError(nil, 3, tc.errno, req, tc.text))
		if err != nil || h.Type != unix.NLMSG_ERROR || h.Seq != 3 || h.Flags&unix.NLM_F_ACK_TLVS != 0 != (tc.text != "") {
			t.Fatalf("%+v, %v", h, err)
		}
		if errno, text, err := ParseError(body); err != nil || errno != tc.errno || text != tc.text {
			t.Errorf("%d %q: %d %q %v", tc.errno, tc.text, errno, text, err)
		}
		if ne.Uint16(body[8:]) != unix.RTM_NEWLINK {
			t.Error("the request's header is not there")
		}
	}
	if _, _, err := ParseError(make([]byte, 19)); err == nil {
		t.Error("a short body was accepted")
	}
}

// TestRequestLeavesOutState: flags that only the kernel sets make it refuse a
// request.
func TestRequestLeavesOutState(t *testing.T) {
	r := Route{Family: 2, Dst: pfx("10.0.0.0/8"), Flags: unix.RTNH_F_LINKDOWN | unix.RTNH_F_ONLINK | unix.RTM_F_OFFLOAD,
		Multipath: AppendHops([]Hop{{Oif: 1, Flags: unix.RTNH_F_DEAD | unix.RTNH_F_ONLINK}})}
	got := reread(t, &r, unix.RTM_NEWROUTE, unix.NLM_F_REQUEST, AppendRoute, DecodeRoute)
	if want := AppendHops([]Hop{{Oif: 1, Flags: unix.RTNH_F_ONLINK}}); got.Flags != unix.RTNH_F_ONLINK || got.Multipath != want {
		t.Errorf("flags %#x, hops %x", got.Flags, got.Multipath)
	}
	n := Nexthop{ID: 1, Scope: 253, Flags: unix.RTNH_F_DEAD | unix.RTNH_F_ONLINK}
	if got := reread(t, &n, unix.RTM_NEWNEXTHOP, unix.NLM_F_REQUEST, AppendNexthop, DecodeNexthop); got.Scope != 0 || got.Flags != unix.RTNH_F_ONLINK {
		t.Errorf("next hop %+v", got)
	}
}

// TestOversized: what does not fit an attribute is left out, so that the
// kernel refuses the message; it is never cut.
func TestOversized(t *testing.T) {
	hops := make([]Hop, 5000)
	for i := range hops {
		hops[i] = Hop{Oif: uint32(i), Gateway: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
	}
	r := Route{Family: 2, Dst: pfx("10.0.0.0/8"), Multipath: AppendHops(hops)}
	if got := reread(t, &r, unix.RTM_NEWROUTE, 0, AppendRoute, DecodeRoute); got.Multipath != "" || got.Dst != r.Dst {
		t.Errorf("%d octets of hops", len(got.Multipath))
	}
}

func BenchmarkDecodeRoute(b *testing.B) {
	r := Route{Family: 2, Table: 254, Protocol: 186, Type: 1, Dst: pfx("10.5.0.0/16"), Priority: 20, Oif: 4, Gateway: ipa("192.0.2.1")}
	benchmarkDecode(b, AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, &r), DecodeRoute)
}

func BenchmarkDecodeRoute6(b *testing.B) {
	r := Route{Family: 10, Table: 254, Protocol: 186, Type: 1, Dst: pfx("2001:db8::/48"), Priority: 20, Oif: 4, Gateway: ipa("fe80::1"), MTU: 1400}
	benchmarkDecode(b, AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, &r), DecodeRoute)
}

func BenchmarkDecodeNeigh(b *testing.B) {
	n := Neigh{Family: 2, Index: 4, State: 2, Dst: ipa("192.0.2.1"), LLAddr: MAC([6]byte{2, 0, 0, 0, 0, 1})}
	benchmarkDecode(b, AppendNeigh(nil, unix.RTM_NEWNEIGH, 0, 0, &n), DecodeNeigh)
}

func BenchmarkDecodeAddr(b *testing.B) {
	a := Addr{Family: 10, Index: 4, PrefixLen: 64, Local: ipa("2001:db8::1"), Valid: 7200, Preferred: 3600}
	benchmarkDecode(b, AppendAddr(nil, unix.RTM_NEWADDR, 0, 0, &a), DecodeAddr)
}

func BenchmarkDecodeLink(b *testing.B) {
	l := bridgeAttrs
	benchmarkDecode(b, AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, &l), DecodeLink)
}

func benchmarkDecode[T any](b *testing.B, msg []byte, dec decoder[T]) {
	var v T
	b.ReportAllocs()
	for b.Loop() {
		_, body, _, err := NextMessage(msg)
		if err == nil {
			err = dec(body, &v)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// TestNoAllocations: the bulk path of a dump leaves nothing to the collector.
func TestNoAllocations(t *testing.T) {
	var (
		route Route
		neigh Neigh
		addr  Addr
	)
	r := Route{Family: 10, Dst: pfx("2001:db8::/48"), Gateway: ipa("fe80::1"), Oif: 3, MTU: 1400}
	n := Neigh{Family: 2, Dst: ipa("192.0.2.1"), LLAddr: MAC([6]byte{2})}
	a := Addr{Family: 10, Local: ipa("2001:db8::1"), Peer: ipa("2001:db8::2")}
	msgs := AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, &r)
	msgs = AppendNeigh(msgs, unix.RTM_NEWNEIGH, 0, 0, &n)
	msgs = AppendAddr(msgs, unix.RTM_NEWADDR, 0, 0, &a)
	allocs := testing.AllocsPerRun(100, func() {
		for b := msgs; len(b) > 0; {
			h, body, rest, err := NextMessage(b)
			switch h.Type {
			case unix.RTM_NEWROUTE:
				err = errors.Join(err, DecodeRoute(body, &route))
			case unix.RTM_NEWNEIGH:
				err = errors.Join(err, DecodeNeigh(body, &neigh))
			case unix.RTM_NEWADDR:
				err = errors.Join(err, DecodeAddr(body, &addr))
			}
			if b = rest; err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs != 0 || route.Dst != r.Dst || neigh.Dst != n.Dst || addr.Peer != a.Peer {
		t.Errorf("%v allocations", allocs)
	}
}
