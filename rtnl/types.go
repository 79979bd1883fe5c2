package rtnl

import (
	"fmt"
	"net/netip"
)

// HWAddr is a link-layer address of up to 20 octets (Ethernet has 6,
// InfiniBand 20) in a comparable form. The zero value is "no address".
type HWAddr struct {
	Len uint8
	B   [20]byte
}

// MAC makes the HWAddr of an Ethernet address.
func MAC(a [6]byte) HWAddr {
	h := HWAddr{Len: 6}
	copy(h.B[:], a[:])
	return h
}

// String prints the address as colon separated hex octets; empty for none.
func (h HWAddr) String() string {
	const hex = "0123456789abcdef"
	if h.Len == 0 {
		return ""
	}
	out := make([]byte, 0, 3*int(h.Len))
	for i := 0; i < int(h.Len) && i < len(h.B); i++ {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, hex[h.B[i]>>4], hex[h.B[i]&15])
	}
	return string(out)
}

// ParseHWAddr reads colon separated hex octets (1 to 20 of them).
func ParseHWAddr(s string) (HWAddr, error) {
	var h HWAddr
	var v, digits int
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == ':' {
			if digits == 0 || int(h.Len) == len(h.B) {
				return HWAddr{}, fmt.Errorf("rtnl: %q is not a link-layer address", s)
			}
			h.B[h.Len] = byte(v)
			h.Len++
			v, digits = 0, 0
			continue
		}
		d := hexDigit(s[i])
		if d < 0 || digits == 2 {
			return HWAddr{}, fmt.Errorf("rtnl: %q is not a link-layer address", s)
		}
		v, digits = v<<4|d, digits+1
	}
	return h, nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Link is a network link as RTM_NEWLINK describes it (linux/if_link.h).
// Counters, queue numbers and other attributes that say nothing about
// configuration or state that netbraid acts on are left out.
type Link struct {
	Index       uint32 // ifi_index, > 0
	Family      uint8  // ifi_family: AF_UNSPEC, or AF_BRIDGE for a bridge port notification
	Type        uint16 // ARPHRD_*
	Flags       uint32 // IFF_*
	Name        string // IFLA_IFNAME, 1 to 15 octets
	MTU         uint32
	TxQLen      uint32
	Addr        HWAddr // IFLA_ADDRESS
	Broadcast   HWAddr
	PermAddr    HWAddr // IFLA_PERM_ADDRESS; zero when the driver has none
	Master      uint32 // IFLA_MASTER: ifindex of the bridge, bond or VRF; 0 none
	Parent      uint32 // IFLA_LINK: ifindex of the lower link or the veth peer; 0 none
	ParentNSID  int32  // IFLA_LINK_NETNSID; -1 when the parent is in the same namespace
	Group       uint32
	OperState   uint8 // IF_OPER_*
	Carrier     bool  // IFLA_CARRIER
	Promiscuity uint32
	AllMulti    uint32
	AddrGenMode uint8  // IFLA_INET6_ADDR_GEN_MODE
	Kind        string // IFLA_INFO_KIND: "bridge", "vlan", "veth", …; empty for hardware
	PortKind    string // IFLA_INFO_SLAVE_KIND: "bridge" for a bridge port
	Bridge      Bridge
	Port        Port
	VLAN        VLAN
	MACVLAN     MACVLAN
	VRFTable    uint32 // IFLA_VRF_TABLE
	Data        string // IFLA_INFO_DATA as sent, for kinds that have no field above
}

// Bridge holds the attributes of a bridge (IFLA_BR_*). Times of the spanning
// tree are in 1/100 s (USER_HZ), as are the multicast intervals.
type Bridge struct {
	ForwardDelay          uint32
	HelloTime             uint32
	MaxAge                uint32
	AgeingTime            uint32
	STP                   uint32 // 0 off, 1 kernel, 2 user space
	Priority              uint16
	VLANFiltering         bool
	VLANProtocol          uint16 // ETH_P_8021Q or ETH_P_8021AD
	DefaultPVID           uint16
	McastRouter           uint8
	McastSnooping         bool
	McastQuerier          bool
	HashMax               uint32
	LastMemberCount       uint32
	StartupQueryCount     uint32
	LastMemberInterval    uint64
	MembershipInterval    uint64
	QuerierInterval       uint64
	QueryInterval         uint64
	QueryResponseInterval uint64
	StartupQueryInterval  uint64
}

// Port holds the attributes of a bridge port (IFLA_BRPORT_*).
type Port struct {
	State          uint8 // BR_STATE_*
	No             uint16
	Priority       uint16
	Cost           uint32
	Hairpin        bool
	Guard          bool
	RootBlock      bool
	FastLeave      bool
	Learning       bool
	UnicastFlood   bool
	McastFlood     bool
	BcastFlood     bool
	McastToUnicast bool
	NeighSuppress  bool
	Isolated       bool
	McastRouter    uint8
}

// VLAN holds the attributes of a VLAN link (IFLA_VLAN_*).
type VLAN struct {
	ID       uint16 // 0 to 4094
	Protocol uint16 // ETH_P_8021Q (0x8100) or ETH_P_8021AD (0x88a8)
	Flags    uint32
	Ingress  string // struct ifla_vlan_qos_mapping, concatenated, in the kernel's order
	Egress   string
}

// MACVLAN holds the attributes of a macvlan or macvtap link.
type MACVLAN struct {
	Mode  uint32 // MACVLAN_MODE_*: 1 private, 2 vepa, 4 bridge, 8 passthru, 16 source
	Flags uint16
}

// LinkField names one attribute of a Link, or a set of them. A request sends
// exactly the attributes of its set; a comparison looks at no others.
type LinkField uint64

// The attributes that configuration can ask for.
const (
	LinkName      LinkField = 1 << iota
	LinkUp                  // IFF_UP in Flags
	LinkMulticast           // IFF_MULTICAST in Flags
	LinkPromisc             // IFF_PROMISC in Flags
	LinkAllMulti            // IFF_ALLMULTI in Flags
	LinkARP                 // IFF_NOARP in Flags
	LinkMTU
	LinkTxQLen
	LinkAddr
	LinkMaster
	LinkParent
	LinkGroup
	LinkAddrGenMode

	BridgeForwardDelay
	BridgeHelloTime
	BridgeMaxAge
	BridgeAgeingTime
	BridgeSTP
	BridgePriority
	BridgeVLANFiltering
	BridgeVLANProtocol
	BridgeDefaultPVID
	BridgeMcastRouter
	BridgeMcastSnooping
	BridgeMcastQuerier
	BridgeHashMax
	BridgeLastMemberCount
	BridgeStartupQueryCount
	BridgeLastMemberInterval
	BridgeMembershipInterval
	BridgeQuerierInterval
	BridgeQueryInterval
	BridgeQueryResponseInterval
	BridgeStartupQueryInterval

	PortPriority
	PortCost
	PortHairpin
	PortGuard
	PortRootBlock
	PortFastLeave
	PortLearning
	PortUnicastFlood
	PortMcastFlood
	PortBcastFlood
	PortMcastToUnicast
	PortNeighSuppress
	PortIsolated
	PortMcastRouter

	VLANID
	VLANProtocol
	VLANFlags
	VLANIngress
	VLANEgress

	MACVLANMode
	VRFTable

	linkFieldEnd
)

// Sets of fields that travel together.
const (
	LinkFlagFields = LinkUp | LinkMulticast | LinkPromisc | LinkAllMulti | LinkARP
	BridgeFields   = BridgeStartupQueryInterval<<1 - BridgeForwardDelay
	PortFields     = PortMcastRouter<<1 - PortPriority
	VLANFields     = VLANEgress<<1 - VLANID
	AllLinkFields  = linkFieldEnd - 1
)

// LinkRequest is what RTM_NEWLINK or RTM_SETLINK asks for: the attributes of
// Link that Set names, and what exists only in requests. Index 0 with a name
// addresses (or creates) a link by name; a non-zero Index with NLM_F_CREATE
// asks for that ifindex.
type LinkRequest struct {
	Link
	Set  LinkField
	Peer *VethPeer // veth only, at creation
	NSFD int       // IFLA_NET_NS_FD: move (or create) the link there; < 0 or, with HasNSFD false, unused
	// HasNSFD says that NSFD is meant.
	HasNSFD bool
}

// VethPeer is the other end of a veth pair at its creation (VETH_INFO_PEER).
type VethPeer struct {
	Name  string
	Index uint32 // 0: the kernel chooses
	MTU   uint32 // 0: the kernel chooses
	Addr  HWAddr // zero: the kernel chooses
	NSFD  int    // IFLA_NET_NS_FD: make it in that namespace; unused unless HasNSFD
	// HasNSFD says that NSFD is meant.
	HasNSFD bool
}

// Addr is an IP address on a link (RTM_NEWADDR, linux/if_addr.h).
type Addr struct {
	Index     uint32 // ifindex
	Family    uint8  // AF_INET or AF_INET6
	PrefixLen uint8
	Scope     uint8
	Protocol  uint8  // IFA_PROTO, Linux 5.18 and later
	Flags     uint32 // IFA_F_*
	Local     netip.Addr
	Peer      netip.Addr // the far end of a point-to-point address; invalid when none
	Broadcast netip.Addr
	Label     string // IPv4 only
	Priority  uint32 // IFA_RT_PRIORITY, metric of the prefix route
	Preferred uint32 // seconds, LifetimeForever
	Valid     uint32
}

// LifetimeForever is the lifetime that does not end (INFINITY_LIFE_TIME).
const LifetimeForever = 0xffffffff

// Neigh is a neighbour entry (RTM_NEWNEIGH, linux/neighbour.h); with family
// AF_BRIDGE an entry of a bridge's forwarding database.
type Neigh struct {
	Index    uint32
	Family   uint8
	State    uint16 // NUD_*
	Flags    uint8  // NTF_*; NTF_PROXY marks an address that is answered for
	ExtFlags uint32 // NTF_EXT_* (NDA_FLAGS_EXT)
	Type     uint8  // RTN_*
	Protocol uint8  // RTPROT_* (NDA_PROTOCOL): who made it
	Dst      netip.Addr
	LLAddr   HWAddr
	VLAN     uint16
	Port     uint16 // UDP port of a VXLAN destination; 0 the device's
	VNI      uint32
	SrcVNI   uint32 // VXLAN with external control: the VNI of the entry itself
	Via      uint32 // NDA_IFINDEX: ifindex that a VXLAN destination is reached through
	NHID     uint32 // next-hop object that a VXLAN entry goes to, instead of Dst
	Master   uint32
}

// Route is one route (RTM_NEWROUTE, linux/rtnetlink.h).
type Route struct {
	Family    uint8 // AF_INET, AF_INET6, AF_MPLS
	TOS       uint8
	Protocol  uint8 // RTPROT_*
	Scope     uint8
	Type      uint8 // RTN_*
	Pref      uint8 // RTA_PREF, ICMPV6_ROUTER_PREF_*
	MTULock   bool
	Flags     uint32 // RTM_F_* and RTNH_F_*
	Table     uint32
	Priority  uint32 // metric
	Oif       uint32
	Iif       uint32       // RTA_IIF: ifindex that a multicast route takes packets from
	NHID      uint32       // next-hop object
	Realm     uint32       // RTA_FLOW, IPv4: destination realm, and source realm << 16
	MTU       uint32       // RTAX_MTU
	Expires   uint32       // seconds left, 0 never
	Dst       netip.Prefix // 0.0.0.0/0 or ::/0 for a default route
	Src       netip.Prefix // invalid when none (RTA_SRC, IPv6 source routing)
	Gateway   netip.Addr   // RTA_GATEWAY or RTA_VIA (may be of another family)
	PrefSrc   netip.Addr
	Label     uint32 // AF_MPLS: the incoming label (Dst is invalid then)
	TTLProp   uint8  // AF_MPLS, RTA_TTL_PROPAGATE: 0 as the system has it, 1 off, 2 on
	Metrics   string // RTA_METRICS attributes other than MTU, as sent, sorted
	Multipath string // RTA_MULTIPATH in canonical form: see Hops and AppendHops
	Encap     string // RTA_ENCAP_TYPE (2 octets, native order) and RTA_ENCAP; NewDst label stack for MPLS
}

// Hop is one next hop of a multipath route.
type Hop struct {
	Oif     uint32
	Weight  uint8  // rtnh_hops: the weight less 1; AF_MPLS has none
	Flags   uint8  // RTNH_F_*
	Realm   uint32 // RTA_FLOW, IPv4, as in Route
	Gateway netip.Addr
	Encap   string // as in Route
}

// Rule is a policy routing rule (RTM_NEWRULE, linux/fib_rules.h).
type Rule struct {
	Family     uint8
	TOS        uint8
	DSCP       uint8 // 0 to 63, when HasDSCP; TOS is 0 then
	HasDSCP    bool
	DSCPMask   uint8 // 0: all six bits
	Action     uint8 // FR_ACT_*
	Protocol   uint8 // FRA_PROTOCOL: who installed it
	IPProto    uint8
	L3MDev     uint8
	Flags      uint32 // FIB_RULE_INVERT, …
	Priority   uint32
	Table      uint32
	Goto       uint32
	Mark       uint32
	Mask       uint32
	SuppressPL int32 // FRA_SUPPRESS_PREFIXLEN, -1 none
	SuppressIG int32 // FRA_SUPPRESS_IFGROUP, -1 none
	UIDStart   uint32
	UIDEnd     uint32
	HasUID     bool
	SportStart uint16
	SportEnd   uint16
	DportStart uint16
	DportEnd   uint16
	SportMask  uint16 // of a single port; 0: all bits
	DportMask  uint16
	Realm      uint32 // FRA_FLOW, IPv4, as in Route
	FlowLabel  uint32 // IPv6, 20 bits
	// FlowLabelMask is 0 when the flow label is compared as a whole, or not at
	// all.
	FlowLabelMask uint32
	HasFlowLabel  bool
	TunID         uint64
	IifName       string
	OifName       string
	Src           netip.Prefix // invalid when any
	Dst           netip.Prefix
}

// Nexthop is a next-hop object (RTM_NEWNEXTHOP, linux/nexthop.h).
type Nexthop struct {
	ID        uint32
	Family    uint8
	Protocol  uint8
	Scope     uint8
	Flags     uint32
	Oif       uint32
	Gateway   netip.Addr
	Blackhole bool
	FDB       bool
	GroupType uint16 // NEXTHOP_GRP_TYPE_*: 0 hash threshold, 1 resilient
	Group     string // struct nexthop_grp, concatenated: see GroupMembers and AppendGroup
	Resilient Resilient
	Encap     string // as in Route
}

// Resilient holds the attributes of a resilient group (NHA_RES_GROUP). In a
// request zeros get the kernel's defaults. Times are in 1/100 s (USER_HZ).
type Resilient struct {
	Buckets         uint16
	IdleTimer       uint32 // a bucket is moved when it was idle for so long
	UnbalancedTimer uint32 // the group is balanced by force after so long; 0 never
}

// GroupMember is one entry of a next-hop group (struct nexthop_grp).
type GroupMember struct {
	ID     uint32
	Weight uint32 // 1 to 65535; above 256 with Linux 6.12 and later
}
