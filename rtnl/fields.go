package rtnl

import (
	"math/bits"
	"strings"

	"golang.org/x/sys/unix"
)

// place says in which nest of a link message an attribute travels.
type place uint8

const (
	inHeader   place = iota // ifi_flags
	inLink                  // IFLA_*
	inAFSpec                // IFLA_AF_SPEC, AF_INET6
	inBridge                // IFLA_INFO_DATA of a bridge
	inPort                  // IFLA_INFO_SLAVE_DATA or IFLA_PROTINFO
	inVLAN                  // IFLA_INFO_DATA of a VLAN link
	inMACVLAN               // IFLA_INFO_DATA of macvlan and macvtap
	inVRF                   // IFLA_INFO_DATA of a VRF
	placeCount = iota
)

// form is how a number is written.
type form uint8

const (
	formU8 form = iota + 1
	formU16
	formBE16
	formU32
	formU64
)

// field describes one attribute of a Link. A field that is a number has get
// and set; the others (names, addresses, mappings) have their own code in the
// codec. A field without a bit is only observed.
type field struct {
	bit   LinkField
	name  string
	place place
	attr  uint16
	form  form
	get   func(*Link) uint64
	set   func(*Link, uint64)
	same  func(a, b *Link) bool
	copy  func(dst, src *Link)
}

func value[T comparable](bit LinkField, name string, where place, attr uint16, at func(*Link) *T) field {
	return field{
		bit: bit, name: name, place: where, attr: attr,
		same: func(a, b *Link) bool { return *at(a) == *at(b) },
		copy: func(dst, src *Link) { *at(dst) = *at(src) },
	}
}

func number[T uint8 | uint16 | uint32 | uint64](bit LinkField, name string, where place, attr uint16, at func(*Link) *T) field {
	f := value(bit, name, where, attr, at)
	f.get = func(l *Link) uint64 { return uint64(*at(l)) }
	f.set = func(l *Link, v uint64) { *at(l) = T(v) }
	switch any(*new(T)).(type) {
	case uint8:
		f.form = formU8
	case uint16:
		f.form = formU16
	case uint32:
		f.form = formU32
	case uint64:
		f.form = formU64
	}
	return f
}

// protocol is an Ethernet protocol number, in network byte order.
func protocol(bit LinkField, name string, where place, attr uint16, at func(*Link) *uint16) field {
	f := number(bit, name, where, attr, at)
	f.form = formBE16
	return f
}

func boolean(bit LinkField, name string, where place, attr uint16, at func(*Link) *bool) field {
	f := value(bit, name, where, attr, at)
	f.form = formU8
	f.get = func(l *Link) uint64 {
		if *at(l) {
			return 1
		}
		return 0
	}
	f.set = func(l *Link, v uint64) { *at(l) = v != 0 }
	return f
}

// flagBit is a bit of ifi_flags; its number is the mask of that bit.
func flagBit(bit LinkField, name string, mask uint32) field {
	return field{
		bit: bit, name: name, place: inHeader,
		get:  func(*Link) uint64 { return uint64(mask) },
		same: func(a, b *Link) bool { return (a.Flags^b.Flags)&mask == 0 },
		copy: func(dst, src *Link) { dst.Flags = dst.Flags&^mask | src.Flags&mask },
	}
}

// fields lists every attribute with its LinkField, in the order of the bits,
// then those that are only observed.
var fields = append(append(linkFields(), append(bridgeFields(), portFields()...)...), kindFields()...)

func linkFields() []field {
	return []field{
		value(LinkName, "name", inLink, unix.IFLA_IFNAME, func(l *Link) *string { return &l.Name }),
		flagBit(LinkUp, "up", unix.IFF_UP),
		flagBit(LinkMulticast, "multicast", unix.IFF_MULTICAST),
		flagBit(LinkPromisc, "promisc", unix.IFF_PROMISC),
		flagBit(LinkAllMulti, "allmulti", unix.IFF_ALLMULTI),
		flagBit(LinkARP, "arp", unix.IFF_NOARP),
		number(LinkMTU, "mtu", inLink, unix.IFLA_MTU, func(l *Link) *uint32 { return &l.MTU }),
		number(LinkTxQLen, "txqlen", inLink, unix.IFLA_TXQLEN, func(l *Link) *uint32 { return &l.TxQLen }),
		value(LinkAddr, "address", inLink, unix.IFLA_ADDRESS, func(l *Link) *HWAddr { return &l.Addr }),
		number(LinkMaster, "master", inLink, unix.IFLA_MASTER, func(l *Link) *uint32 { return &l.Master }),
		number(LinkParent, "parent", inLink, unix.IFLA_LINK, func(l *Link) *uint32 { return &l.Parent }),
		number(LinkGroup, "group", inLink, unix.IFLA_GROUP, func(l *Link) *uint32 { return &l.Group }),
		number(LinkAddrGenMode, "addrgenmode", inAFSpec, unix.IFLA_INET6_ADDR_GEN_MODE, func(l *Link) *uint8 { return &l.AddrGenMode }),
	}
}

func bridgeFields() []field {
	return []field{
		number(BridgeForwardDelay, "forward_delay", inBridge, unix.IFLA_BR_FORWARD_DELAY, func(l *Link) *uint32 { return &l.Bridge.ForwardDelay }),
		number(BridgeHelloTime, "hello_time", inBridge, unix.IFLA_BR_HELLO_TIME, func(l *Link) *uint32 { return &l.Bridge.HelloTime }),
		number(BridgeMaxAge, "max_age", inBridge, unix.IFLA_BR_MAX_AGE, func(l *Link) *uint32 { return &l.Bridge.MaxAge }),
		number(BridgeAgeingTime, "ageing_time", inBridge, unix.IFLA_BR_AGEING_TIME, func(l *Link) *uint32 { return &l.Bridge.AgeingTime }),
		number(BridgeSTP, "stp", inBridge, unix.IFLA_BR_STP_STATE, func(l *Link) *uint32 { return &l.Bridge.STP }),
		number(BridgePriority, "priority", inBridge, unix.IFLA_BR_PRIORITY, func(l *Link) *uint16 { return &l.Bridge.Priority }),
		boolean(BridgeVLANFiltering, "vlan_filtering", inBridge, unix.IFLA_BR_VLAN_FILTERING, func(l *Link) *bool { return &l.Bridge.VLANFiltering }),
		protocol(BridgeVLANProtocol, "vlan_protocol", inBridge, unix.IFLA_BR_VLAN_PROTOCOL, func(l *Link) *uint16 { return &l.Bridge.VLANProtocol }),
		number(BridgeDefaultPVID, "vlan_default_pvid", inBridge, unix.IFLA_BR_VLAN_DEFAULT_PVID, func(l *Link) *uint16 { return &l.Bridge.DefaultPVID }),
		number(BridgeMcastRouter, "mcast_router", inBridge, unix.IFLA_BR_MCAST_ROUTER, func(l *Link) *uint8 { return &l.Bridge.McastRouter }),
		boolean(BridgeMcastSnooping, "mcast_snooping", inBridge, unix.IFLA_BR_MCAST_SNOOPING, func(l *Link) *bool { return &l.Bridge.McastSnooping }),
		boolean(BridgeMcastQuerier, "mcast_querier", inBridge, unix.IFLA_BR_MCAST_QUERIER, func(l *Link) *bool { return &l.Bridge.McastQuerier }),
		number(BridgeHashMax, "mcast_hash_max", inBridge, unix.IFLA_BR_MCAST_HASH_MAX, func(l *Link) *uint32 { return &l.Bridge.HashMax }),
		number(BridgeLastMemberCount, "mcast_last_member_count", inBridge, unix.IFLA_BR_MCAST_LAST_MEMBER_CNT, func(l *Link) *uint32 { return &l.Bridge.LastMemberCount }),
		number(BridgeStartupQueryCount, "mcast_startup_query_count", inBridge, unix.IFLA_BR_MCAST_STARTUP_QUERY_CNT, func(l *Link) *uint32 { return &l.Bridge.StartupQueryCount }),
		number(BridgeLastMemberInterval, "mcast_last_member_interval", inBridge, unix.IFLA_BR_MCAST_LAST_MEMBER_INTVL, func(l *Link) *uint64 { return &l.Bridge.LastMemberInterval }),
		number(BridgeMembershipInterval, "mcast_membership_interval", inBridge, unix.IFLA_BR_MCAST_MEMBERSHIP_INTVL, func(l *Link) *uint64 { return &l.Bridge.MembershipInterval }),
		number(BridgeQuerierInterval, "mcast_querier_interval", inBridge, unix.IFLA_BR_MCAST_QUERIER_INTVL, func(l *Link) *uint64 { return &l.Bridge.QuerierInterval }),
		number(BridgeQueryInterval, "mcast_query_interval", inBridge, unix.IFLA_BR_MCAST_QUERY_INTVL, func(l *Link) *uint64 { return &l.Bridge.QueryInterval }),
		number(BridgeQueryResponseInterval, "mcast_query_response_interval", inBridge, unix.IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, func(l *Link) *uint64 { return &l.Bridge.QueryResponseInterval }),
		number(BridgeStartupQueryInterval, "mcast_startup_query_interval", inBridge, unix.IFLA_BR_MCAST_STARTUP_QUERY_INTVL, func(l *Link) *uint64 { return &l.Bridge.StartupQueryInterval }),
	}
}

func portFields() []field {
	return []field{
		number(PortPriority, "port_priority", inPort, unix.IFLA_BRPORT_PRIORITY, func(l *Link) *uint16 { return &l.Port.Priority }),
		number(PortCost, "port_cost", inPort, unix.IFLA_BRPORT_COST, func(l *Link) *uint32 { return &l.Port.Cost }),
		boolean(PortHairpin, "hairpin", inPort, unix.IFLA_BRPORT_MODE, func(l *Link) *bool { return &l.Port.Hairpin }),
		boolean(PortGuard, "guard", inPort, unix.IFLA_BRPORT_GUARD, func(l *Link) *bool { return &l.Port.Guard }),
		boolean(PortRootBlock, "root_block", inPort, unix.IFLA_BRPORT_PROTECT, func(l *Link) *bool { return &l.Port.RootBlock }),
		boolean(PortFastLeave, "fastleave", inPort, unix.IFLA_BRPORT_FAST_LEAVE, func(l *Link) *bool { return &l.Port.FastLeave }),
		boolean(PortLearning, "learning", inPort, unix.IFLA_BRPORT_LEARNING, func(l *Link) *bool { return &l.Port.Learning }),
		boolean(PortUnicastFlood, "flood", inPort, unix.IFLA_BRPORT_UNICAST_FLOOD, func(l *Link) *bool { return &l.Port.UnicastFlood }),
		boolean(PortMcastFlood, "mcast_flood", inPort, unix.IFLA_BRPORT_MCAST_FLOOD, func(l *Link) *bool { return &l.Port.McastFlood }),
		boolean(PortBcastFlood, "bcast_flood", inPort, unix.IFLA_BRPORT_BCAST_FLOOD, func(l *Link) *bool { return &l.Port.BcastFlood }),
		boolean(PortMcastToUnicast, "mcast_to_unicast", inPort, unix.IFLA_BRPORT_MCAST_TO_UCAST, func(l *Link) *bool { return &l.Port.McastToUnicast }),
		boolean(PortNeighSuppress, "neigh_suppress", inPort, unix.IFLA_BRPORT_NEIGH_SUPPRESS, func(l *Link) *bool { return &l.Port.NeighSuppress }),
		boolean(PortIsolated, "isolated", inPort, unix.IFLA_BRPORT_ISOLATED, func(l *Link) *bool { return &l.Port.Isolated }),
		number(PortMcastRouter, "port_mcast_router", inPort, unix.IFLA_BRPORT_MULTICAST_ROUTER, func(l *Link) *uint8 { return &l.Port.McastRouter }),
	}
}

func kindFields() []field {
	return []field{
		number(VLANID, "vlan_id", inVLAN, unix.IFLA_VLAN_ID, func(l *Link) *uint16 { return &l.VLAN.ID }),
		protocol(VLANProtocol, "vlan_proto", inVLAN, unix.IFLA_VLAN_PROTOCOL, func(l *Link) *uint16 { return &l.VLAN.Protocol }),
		value(VLANFlags, "vlan_flags", inVLAN, unix.IFLA_VLAN_FLAGS, func(l *Link) *uint32 { return &l.VLAN.Flags }),
		value(VLANIngress, "vlan_ingress", inVLAN, unix.IFLA_VLAN_INGRESS_QOS, func(l *Link) *string { return &l.VLAN.Ingress }),
		value(VLANEgress, "vlan_egress", inVLAN, unix.IFLA_VLAN_EGRESS_QOS, func(l *Link) *string { return &l.VLAN.Egress }),
		number(MACVLANMode, "macvlan_mode", inMACVLAN, unix.IFLA_MACVLAN_MODE, func(l *Link) *uint32 { return &l.MACVLAN.Mode }),
		number(VRFTable, "vrf_table", inVRF, unix.IFLA_VRF_TABLE, func(l *Link) *uint32 { return &l.VRFTable }),

		// Observed only.
		number(0, "operstate", inLink, unix.IFLA_OPERSTATE, func(l *Link) *uint8 { return &l.OperState }),
		boolean(0, "carrier", inLink, unix.IFLA_CARRIER, func(l *Link) *bool { return &l.Carrier }),
		number(0, "promiscuity", inLink, unix.IFLA_PROMISCUITY, func(l *Link) *uint32 { return &l.Promiscuity }),
		number(0, "allmulticast", inLink, unix.IFLA_ALLMULTI, func(l *Link) *uint32 { return &l.AllMulti }),
		number(0, "port_state", inPort, unix.IFLA_BRPORT_STATE, func(l *Link) *uint8 { return &l.Port.State }),
		number(0, "port_no", inPort, unix.IFLA_BRPORT_NO, func(l *Link) *uint16 { return &l.Port.No }),
		number(0, "macvlan_flags", inMACVLAN, unix.IFLA_MACVLAN_FLAGS, func(l *Link) *uint16 { return &l.MACVLAN.Flags }),
	}
}

// fieldAt finds the numbers of a nest by attribute type; wideAttr is past the
// last of any of them.
const wideAttr = 64

var fieldAt, fieldOf = indexFields()

func indexFields() (at [placeCount][wideAttr]*field, of [64]*field) {
	for i := range fields {
		f := &fields[i]
		if f.form != 0 {
			at[f.place][f.attr] = f
		}
		if f.bit != 0 {
			of[bits.TrailingZeros64(uint64(f.bit))] = f
		}
	}
	return at, of
}

// each calls fn for every attribute of the set.
func (f LinkField) each(fn func(*field)) {
	for f &= AllLinkFields; f != 0; f &= f - 1 {
		fn(fieldOf[bits.TrailingZeros64(uint64(f))])
	}
}

// Diff returns the attributes of f in which a and b differ.
func (f LinkField) Diff(a, b *Link) LinkField {
	var d LinkField
	f.each(func(x *field) {
		if !x.same(a, b) {
			d |= x.bit
		}
	})
	return d
}

// Copy copies the attributes of f from src to dst.
func (f LinkField) Copy(dst, src *Link) {
	f.each(func(x *field) { x.copy(dst, src) })
}

// String lists the names of the attributes, separated by commas: "mtu,address".
func (f LinkField) String() string {
	var names []string
	f.each(func(x *field) { names = append(names, x.name) })
	return strings.Join(names, ",")
}

// flags returns the mask of the IFF_* bits in f.
func (f LinkField) flags() uint32 {
	var m uint32
	(f & LinkFlagFields).each(func(x *field) { m |= uint32(x.get(nil)) })
	return m
}
