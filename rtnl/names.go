package rtnl

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// numberNames names numbers; one without a name prints as itself.
type numberNames[T uint8 | uint16 | uint32] map[T]string

func (m numberNames[T]) of(v T) string {
	if s, ok := m[v]; ok {
		return s
	}
	return strconv.FormatUint(uint64(v), 10)
}

type flagName struct {
	bit  uint32
	name string
}

// typeName names a message type.
func typeName(typ uint16) string {
	if s, ok := typeNames[typ]; ok {
		return s
	}
	return fmt.Sprintf("message type %d", typ)
}

var typeNames = map[uint16]string{
	unix.RTM_NEWLINK: "RTM_NEWLINK", unix.RTM_DELLINK: "RTM_DELLINK", unix.RTM_GETLINK: "RTM_GETLINK", unix.RTM_SETLINK: "RTM_SETLINK",
	unix.RTM_NEWADDR: "RTM_NEWADDR", unix.RTM_DELADDR: "RTM_DELADDR", unix.RTM_GETADDR: "RTM_GETADDR",
	unix.RTM_NEWNEIGH: "RTM_NEWNEIGH", unix.RTM_DELNEIGH: "RTM_DELNEIGH", unix.RTM_GETNEIGH: "RTM_GETNEIGH",
	unix.RTM_NEWROUTE: "RTM_NEWROUTE", unix.RTM_DELROUTE: "RTM_DELROUTE", unix.RTM_GETROUTE: "RTM_GETROUTE",
	unix.RTM_NEWRULE: "RTM_NEWRULE", unix.RTM_DELRULE: "RTM_DELRULE", unix.RTM_GETRULE: "RTM_GETRULE",
	unix.RTM_NEWNEXTHOP: "RTM_NEWNEXTHOP", unix.RTM_DELNEXTHOP: "RTM_DELNEXTHOP", unix.RTM_GETNEXTHOP: "RTM_GETNEXTHOP",
	unix.RTM_NEWPREFIX: "RTM_NEWPREFIX", unix.RTM_NEWNEIGHTBL: "RTM_NEWNEIGHTBL", unix.RTM_NEWNDUSEROPT: "RTM_NEWNDUSEROPT",
	unix.RTM_NEWNETCONF: "RTM_NEWNETCONF", unix.RTM_DELNETCONF: "RTM_DELNETCONF", unix.RTM_GETNETCONF: "RTM_GETNETCONF",
	unix.RTM_NEWMDB: "RTM_NEWMDB", unix.RTM_DELMDB: "RTM_DELMDB",
	unix.RTM_NEWNSID: "RTM_NEWNSID", unix.RTM_DELNSID: "RTM_DELNSID", unix.RTM_NEWVLAN: "RTM_NEWVLAN", unix.RTM_DELVLAN: "RTM_DELVLAN",
	unix.RTM_NEWNEXTHOPBUCKET: "RTM_NEWNEXTHOPBUCKET", unix.RTM_DELNEXTHOPBUCKET: "RTM_DELNEXTHOPBUCKET",
	unix.NLMSG_NOOP: "NLMSG_NOOP", unix.NLMSG_ERROR: "NLMSG_ERROR", unix.NLMSG_DONE: "NLMSG_DONE", unix.NLMSG_OVERRUN: "NLMSG_OVERRUN",
}

var linkFlagNames = []flagName{
	{unix.IFF_LOOPBACK, "loopback"}, {unix.IFF_POINTOPOINT, "pointopoint"}, {unix.IFF_NOARP, "noarp"},
	{unix.IFF_PROMISC, "promisc"}, {unix.IFF_ALLMULTI, "allmulti"},
}

var addrFlagNames = []flagName{
	{unix.IFA_F_SECONDARY, "secondary"}, {unix.IFA_F_NODAD, "nodad"}, {unix.IFA_F_OPTIMISTIC, "optimistic"},
	{unix.IFA_F_DADFAILED, "dadfailed"}, {unix.IFA_F_HOMEADDRESS, "home"}, {unix.IFA_F_DEPRECATED, "deprecated"},
	{unix.IFA_F_TENTATIVE, "tentative"}, {unix.IFA_F_MANAGETEMPADDR, "mngtmpaddr"}, {unix.IFA_F_NOPREFIXROUTE, "noprefixroute"},
	{unix.IFA_F_MCAUTOJOIN, "autojoin"}, {unix.IFA_F_STABLE_PRIVACY, "stable-privacy"},
}

var hopFlagNames = []flagName{
	{unix.RTNH_F_DEAD, "dead"}, {unix.RTNH_F_ONLINK, "onlink"}, {unix.RTNH_F_PERVASIVE, "pervasive"},
	{unix.RTNH_F_OFFLOAD, "offload"}, {unix.RTNH_F_TRAP, "trap"}, {unix.RTNH_F_LINKDOWN, "linkdown"}, {unix.RTNH_F_UNRESOLVED, "unresolved"},
}

// routeFlagNames are the flags of a route that are not those of a next hop.
var routeFlagNames = []flagName{
	{unix.RTM_F_CLONED, "cache"}, {unix.RTM_F_OFFLOAD, "rt_offload"}, {unix.RTM_F_TRAP, "rt_trap"}, {unix.RTM_F_OFFLOAD_FAILED, "rt_offload_failed"},
}

var neighFlagNames = []flagName{
	{unix.NTF_ROUTER, "router"}, {unix.NTF_EXT_LEARNED, "extern_learn"}, {unix.NTF_SELF, "self"}, {unix.NTF_MASTER, "master"},
	{ntfSticky, "sticky"}, {ntfOffloaded, "offload"}, {unix.NTF_USE, "use"},
}

var neighExtFlagNames = []flagName{{ntfExtManaged, "managed"}, {ntfExtLocked, "locked"}, {ntfExtValidated, "extern_valid"}}

var neighStateNames = []flagName{
	{unix.NUD_INCOMPLETE, "incomplete"}, {unix.NUD_REACHABLE, "reachable"}, {unix.NUD_STALE, "stale"}, {unix.NUD_DELAY, "delay"},
	{unix.NUD_PROBE, "probe"}, {unix.NUD_FAILED, "failed"}, {unix.NUD_NOARP, "noarp"}, {unix.NUD_PERMANENT, "permanent"},
}

var ruleFlagNames = []flagName{
	{unix.FIB_RULE_PERMANENT, "permanent"}, {unix.FIB_RULE_UNRESOLVED, "unresolved"},
	{unix.FIB_RULE_IIF_DETACHED, "[iif-detached]"}, {unix.FIB_RULE_OIF_DETACHED, "[oif-detached]"},
}

var operStates = numberNames[uint8]{
	0: "unknown", 1: "notpresent", 2: "down", 3: "lowerlayerdown", 4: "testing", 5: "dormant", 6: "up",
}

var portStates = numberNames[uint8]{0: "disabled", 1: "listening", 2: "learning", 3: "forwarding", 4: "blocking"}

var vlanProtocols = numberNames[uint16]{unix.ETH_P_8021Q: "802.1Q", unix.ETH_P_8021AD: "802.1ad"}

var macvlanModes = numberNames[uint32]{1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"}

var scopes = numberNames[uint8]{
	unix.RT_SCOPE_UNIVERSE: "global", unix.RT_SCOPE_SITE: "site", unix.RT_SCOPE_LINK: "link",
	unix.RT_SCOPE_HOST: "host", unix.RT_SCOPE_NOWHERE: "nowhere",
}

// addrProtocols are IFAPROT_* of linux/if_addr.h.
var addrProtocols = numberNames[uint8]{1: "kernel_lo", 2: "kernel_ra", 3: "kernel_ll"}

var routeProtocols = numberNames[uint8]{
	unix.RTPROT_UNSPEC: "unspec", unix.RTPROT_REDIRECT: "redirect", unix.RTPROT_KERNEL: "kernel", unix.RTPROT_BOOT: "boot",
	unix.RTPROT_MROUTED: "mrouted", unix.RTPROT_STATIC: "static", unix.RTPROT_GATED: "gated", unix.RTPROT_RA: "ra", unix.RTPROT_MRT: "mrt",
	unix.RTPROT_ZEBRA: "zebra", unix.RTPROT_BIRD: "bird", unix.RTPROT_DNROUTED: "dnrouted", unix.RTPROT_XORP: "xorp",
	unix.RTPROT_NTK: "ntk", unix.RTPROT_DHCP: "dhcp", unix.RTPROT_KEEPALIVED: "keepalived", unix.RTPROT_BABEL: "babel",
	unix.RTPROT_OPENR: "openr", unix.RTPROT_BGP: "bgp", unix.RTPROT_ISIS: "isis", unix.RTPROT_OSPF: "ospf",
	unix.RTPROT_RIP: "rip", unix.RTPROT_EIGRP: "eigrp",
}

// ProtocolName is what people call a protocol of routes (RTPROT_*): its name, or
// its number.
func ProtocolName(n uint8) string { return routeProtocols.of(n) }

var routeTypes = numberNames[uint8]{
	unix.RTN_UNSPEC: "none", unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast",
	unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole",
	unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw", unix.RTN_NAT: "nat",
}

var tables = numberNames[uint32]{
	unix.RT_TABLE_UNSPEC: "unspec", unix.RT_TABLE_DEFAULT: "default", unix.RT_TABLE_MAIN: "main", unix.RT_TABLE_LOCAL: "local",
}

var families = numberNames[uint8]{
	unix.AF_INET: "inet", unix.AF_INET6: "inet6", unix.AF_BRIDGE: "bridge", unix.AF_MPLS: "mpls",
	familyIPMR: "ipmr", familyIP6MR: "ip6mr",
}

var routePrefs = numberNames[uint8]{0: "medium", 1: "high", 3: "low"}

// encapTypes are LWTUNNEL_ENCAP_* of linux/lwtunnel.h.
var encapTypes = numberNames[uint16]{1: "mpls", 2: "ip", 3: "ila", 4: "ip6", 5: "seg6", 6: "bpf", 7: "seg6local", 8: "rpl", 9: "ioam6", 10: "xfrm"}

var metricNames = numberNames[uint16]{
	unix.RTAX_WINDOW: "window", unix.RTAX_RTT: "rtt", unix.RTAX_RTTVAR: "rttvar", unix.RTAX_SSTHRESH: "ssthresh",
	unix.RTAX_CWND: "cwnd", unix.RTAX_ADVMSS: "advmss", unix.RTAX_REORDERING: "reordering", unix.RTAX_HOPLIMIT: "hoplimit",
	unix.RTAX_INITCWND: "initcwnd", unix.RTAX_FEATURES: "features", unix.RTAX_RTO_MIN: "rto_min",
	unix.RTAX_INITRWND: "initrwnd", unix.RTAX_QUICKACK: "quickack", unix.RTAX_FASTOPEN_NO_COOKIE: "fastopen_no_cookie",
}

var ruleActions = numberNames[uint8]{
	unix.FR_ACT_UNSPEC: "unspec", unix.FR_ACT_NOP: "nop", unix.FR_ACT_BLACKHOLE: "blackhole",
	unix.FR_ACT_UNREACHABLE: "unreachable", unix.FR_ACT_PROHIBIT: "prohibit",
}

var ipProtocols = numberNames[uint8]{
	unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMPV6: "ipv6-icmp", unix.IPPROTO_SCTP: "sctp",
}
