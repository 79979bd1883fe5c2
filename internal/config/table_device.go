package config

import (
	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

const (
	maxInt32  = 1<<31 - 1
	maxUint32 = 1<<32 - 1
)

// deviceOptions are the settings that any device has; they may stand in an
// interface section too, for the device of that interface.
var deviceOptions = newGroup("device (any type; also in an interface section)",
	"Settings of the link. Only what is given is written; it is put back when the device is released.",
	spec{name: "mtu", kind: number, min: 68, max: maxInt32, def: "the driver's", meaning: "largest packet, octets",
		set: setLink(rtnl.LinkMTU, func(l *rtnl.Link, v value) { l.MTU = uint32(v.n) })},
	spec{name: "mtu6", kind: number, min: 1280, max: maxInt32, def: "mtu", meaning: "largest IPv6 packet, octets",
		set: setSysctl("ipv6/conf/mtu")},
	spec{name: "macaddr", kind: macaddr, def: "the link's own", meaning: "link-layer address",
		set: setLink(rtnl.LinkAddr, func(l *rtnl.Link, v value) { l.Addr = v.hw })},
	spec{name: "txqueuelen", kind: number, min: 0, max: maxInt32, def: "the driver's", meaning: "packets in the transmit queue",
		set: setLink(rtnl.LinkTxQLen, func(l *rtnl.Link, v value) { l.TxQLen = uint32(v.n) })},
	spec{name: "promisc", kind: yesno, def: "0", meaning: "take all packets", set: setFlag(rtnl.LinkPromisc, unix.IFF_PROMISC)},
	spec{name: "multicast", kind: yesno, def: "1", meaning: "multicast", set: setFlag(rtnl.LinkMulticast, unix.IFF_MULTICAST)},
	spec{name: "ipv6", kind: yesno, def: "1; 0 on a bridge port", meaning: "IPv6", set: func(t *target, v value) {
		setSysctl("ipv6/conf/disable_ipv6")(t, value{n: 1 - v.n})
		*t.ipv6Set = true
	}},
	spec{name: "ip6segmentrouting", kind: yesno, def: "0", meaning: "accept IPv6 segment routing headers", set: setSysctl("ipv6/conf/seg6_enabled")},
	spec{name: "rpfilter", kind: word, words: []choice{{"0", 0}, {"1", 1}, {"2", 2}, {"strict", 1}, {"loose", 2}}, def: "the kernel's",
		meaning: "reverse path filter (RFC 3704): 0 off, 1 strict, 2 loose", set: setSysctl("ipv4/conf/rp_filter")},
	spec{name: "acceptlocal", kind: yesno, def: "0", meaning: "accept packets with a local source address", set: setSysctl("ipv4/conf/accept_local")},
	spec{name: "sendredirects", kind: yesno, def: "1", meaning: "send ICMP redirects", set: setSysctl("ipv4/conf/send_redirects")},
	spec{name: "igmpversion", kind: number, min: 1, max: 3, def: "the kernel's choice", meaning: "IGMP version to keep to", set: setSysctl("ipv4/conf/force_igmp_version")},
	spec{name: "mldversion", kind: number, min: 1, max: 2, def: "the kernel's choice", meaning: "MLD version to keep to", set: setSysctl("ipv6/conf/force_mld_version")},
	spec{name: "neighreachabletime", kind: number, min: 1, max: maxInt32, def: "30000", meaning: "base of the time that a neighbour counts as reachable, ms, IPv4 and IPv6",
		set: setSysctl("ipv4/neigh/base_reachable_time_ms", "ipv6/neigh/base_reachable_time_ms")},
	spec{name: "neighgcstaletime", kind: number, min: 1, max: maxInt32, def: "60", meaning: "time that a stale neighbour is kept, s, IPv4 and IPv6",
		set: setSysctl("ipv4/neigh/gc_stale_time", "ipv6/neigh/gc_stale_time")},
	spec{name: "neighlocktime", kind: number, min: 0, max: maxInt32, def: "100", meaning: "time that an ARP entry is not overwritten, 1/100 s", set: setSysctl("ipv4/neigh/locktime")},
	spec{name: "dadtransmits", kind: number, min: 0, max: maxInt32, def: "1", meaning: "probes for duplicate IPv6 addresses; 0 none", set: setSysctl("ipv6/conf/dad_transmits")},
	spec{name: "drop_v4_unicast_in_l2_multicast", kind: yesno, def: "0", meaning: "drop IPv4 unicast in link-layer multicast frames", set: setSysctl("ipv4/conf/drop_unicast_in_l2_multicast")},
	spec{name: "drop_v6_unicast_in_l2_multicast", kind: yesno, def: "0", meaning: "drop IPv6 unicast in link-layer multicast frames", set: setSysctl("ipv6/conf/drop_unicast_in_l2_multicast")},
	spec{name: "drop_gratuitous_arp", kind: yesno, def: "0", meaning: "drop gratuitous ARP", set: setSysctl("ipv4/conf/drop_gratuitous_arp")},
	spec{name: "drop_unsolicited_na", kind: yesno, def: "0", meaning: "drop unsolicited neighbour advertisements", set: setSysctl("ipv6/conf/drop_unsolicited_na")},
	spec{name: "arp_accept", kind: yesno, def: "0", meaning: "make neighbour entries from gratuitous ARP", set: setSysctl("ipv4/conf/arp_accept")},
	spec{name: "multicast_to_unicast", kind: yesno, def: "0", meaning: "bridge port: send multicast as unicast to each member", set: setPort(rtnl.PortMcastToUnicast, func(p *rtnl.Port) *bool { return &p.McastToUnicast })},
	spec{name: "multicast_router", kind: number, min: 0, max: 2, def: "1", meaning: "bridge port: 0 no multicast router, 1 learn, 2 always one",
		set: setLink(rtnl.PortMcastRouter, func(l *rtnl.Link, v value) { l.Port.McastRouter = uint8(v.n) })},
	spec{name: "multicast_fast_leave", kind: yesno, def: "0", meaning: "bridge port: end a membership at once on a leave", set: setPort(rtnl.PortFastLeave, func(p *rtnl.Port) *bool { return &p.FastLeave })},
	spec{name: "learning", kind: yesno, def: "1", meaning: "bridge port: learn addresses", set: setPort(rtnl.PortLearning, func(p *rtnl.Port) *bool { return &p.Learning })},
	spec{name: "unicast_flood", kind: yesno, def: "1", meaning: "bridge port: flood unicast of unknown destination", set: setPort(rtnl.PortUnicastFlood, func(p *rtnl.Port) *bool { return &p.UnicastFlood })},
	spec{name: "broadcast_flood", kind: yesno, def: "1", meaning: "bridge port: flood broadcast", set: setPort(rtnl.PortBcastFlood, func(p *rtnl.Port) *bool { return &p.BcastFlood })},
	spec{name: "isolate", kind: yesno, def: "0", meaning: "bridge port: no traffic to other isolated ports", set: setPort(rtnl.PortIsolated, func(p *rtnl.Port) *bool { return &p.Isolated })},
	spec{name: "enabled", kind: yesno, def: "1", meaning: "0: the device is never used", set: func(t *target, v value) {
		if t.dev != nil {
			t.dev.Disabled = !v.yes()
		} else {
			t.iface.DisabledDevice = !v.yes()
		}
	}},
	spec{name: "auth", kind: yesno, def: "0", meaning: "no traffic before 802.1X has let the link through (network.device set_state auth_status): not a bridge port, no interface on it, until then",
		set: func(t *target, v value) { t.settings.Auth = v.yes() }},
	spec{name: "auth_vlan", kind: list, meaning: "VLANs without 802.1X", later: true},
	spec{name: "vlan", kind: list, meaning: "VLANs of a bridge port", later: true},
	spec{name: "speed", kind: number, min: 0, max: maxInt32, meaning: "link speed, Mbit/s", later: true},
	spec{name: "duplex", kind: yesno, meaning: "full duplex", later: true},
	spec{name: "autoneg", kind: yesno, meaning: "autonegotiation", later: true},
	spec{name: "pause", kind: yesno, meaning: "advertise pause frames", later: true},
	spec{name: "asym_pause", kind: yesno, meaning: "advertise asymmetric pause", later: true},
	spec{name: "rxpause", kind: yesno, meaning: "heed pause frames", later: true},
	spec{name: "txpause", kind: yesno, meaning: "send pause frames", later: true},
	spec{name: "gro", kind: yesno, meaning: "generic receive offload", later: true},
	spec{name: "eee", kind: yesno, meaning: "energy efficient Ethernet", later: true},
	spec{name: "conduit", kind: text, meaning: "conduit of a switch port", later: true},
	spec{name: "pse", kind: yesno, meaning: "power over Ethernet", later: true},
	spec{name: "pse_podl", kind: yesno, meaning: "power over data lines", later: true},
	spec{name: "pse_power_limit", kind: number, min: 0, max: maxInt32, meaning: "power limit, mW", later: true},
	spec{name: "pse_priority", kind: number, min: 0, max: maxInt32, meaning: "power priority", later: true},
)

// deviceSection are the options that only a device section has.
var deviceSection = newGroup("device", "A `config device` section.",
	spec{name: "name", kind: text, allow: allowName, def: "required", meaning: "name of the link"},
	spec{name: "type", kind: text, allow: allowTypes, def: "a link that exists already", meaning: "what to create"},
	spec{name: "takeover", kind: yesno, def: "0", meaning: "netbraid: claim what is on the device at its first claim", set: func(t *target, v value) { t.dev.Takeover = v.yes() }},
	spec{name: "tags", kind: list, meaning: "words shown in status", later: true},
)

var vlanOptions = newGroup("device type 8021q, 8021ad", "A VLAN on another device (IEEE 802.1Q, 802.1ad).",
	spec{name: "ifname", kind: text, def: "required", meaning: "device below", set: setParent},
	spec{name: "vid", kind: number, min: 0, max: 4094, def: "required", meaning: "VLAN ID", set: func(t *target, v value) { t.dev.VID = uint16(v.n) }},
	spec{name: "ingress_qos_mapping", kind: list, allow: allowIngress, meaning: "priority on the way in", set: func(t *target, v value) {
		t.dev.Ingress = t.p.qos(t.sec, &v, 7, maxUint32, allowIngress)
	}},
	spec{name: "egress_qos_mapping", kind: list, allow: allowEgress, meaning: "priority on the way out", set: func(t *target, v value) {
		t.dev.Egress = t.p.qos(t.sec, &v, maxUint32, 7, allowEgress)
	}},
)

var macvlanOptions = newGroup("device type macvlan", "A link with an address of its own on another device.",
	spec{name: "ifname", kind: text, def: "required", meaning: "device below", set: setParent},
	spec{name: "mode", kind: word, words: []choice{{"private", 1}, {"vepa", 2}, {"bridge", 4}, {"passthru", 8}}, def: "vepa", meaning: "what the links on one device see of each other",
		set: func(t *target, v value) { t.dev.Mode = uint32(v.n) }},
)

var vethOptions = newGroup("device type veth", "A pair of links, tied back to back.",
	spec{name: "peer_name", kind: linkname, def: "the kernel's choice", meaning: "name of the other end", set: func(t *target, v value) { t.dev.PeerName = v.s }},
	spec{name: "peer_macaddr", kind: macaddr, def: "random", meaning: "link-layer address of the other end", set: func(t *target, v value) { t.dev.PeerAddr = v.hw }},
)

func setParent(t *target, v value) { t.dev.Parent = v.s }

// bridgeDraft is what a section says about a bridge before defaults.
type bridgeDraft struct {
	opt        BridgeOptions
	ports      *option
	ifname     *option
	querierSet bool
	ageingSet  bool
	vlanSet    bool
}

func setBridge(field func(*BridgeOptions) *uint32) func(*target, value) {
	return func(t *target, v value) { *field(&t.bridge.opt) = uint32(v.n) }
}

// The ranges are the kernel's (net/bridge/br_private_stp.h, br_netlink.c,
// br_multicast.c); priority, and all that netifd gives no bound, by its type.
var bridgeOptions = newGroup("device type bridge", "A bridge (IEEE 802.1D). Times of the spanning tree are in seconds, the multicast intervals in 1/100 s.",
	spec{name: "ports", kind: list, meaning: "devices in the bridge", set: func(t *target, v value) { t.bridge.ports = v.opt }},
	spec{name: "ifname", kind: list, meaning: "old name of ports", set: func(t *target, v value) { t.bridge.ifname = v.opt }},
	spec{name: "bridge_empty", kind: yesno, def: "0", meaning: "the bridge may be without ports", set: func(t *target, v value) { t.dev.BridgeEmpty = v.yes() }},
	spec{name: "stp", kind: yesno, def: "0", meaning: "spanning tree", set: func(t *target, v value) { t.bridge.opt.STP = v.yes() }},
	spec{name: "stp_kernel", kind: yesno, def: "0", meaning: "always the kernel's spanning tree", set: func(t *target, v value) { t.bridge.opt.STPKernel = v.yes() }},
	spec{name: "stp_proto", kind: word, words: []choice{{"stp", 0}, {"rstp", 2}, {"mstp", 3}}, def: "that program's choice", meaning: "protocol of a spanning tree that a program runs (bridge-stp)",
		set: func(t *target, v value) { t.bridge.opt.STPProto = v.s }},
	spec{name: "forward_delay", kind: number, min: 0, max: maxInt32 / 100, allow: "2..30; with stp off 0..21474836", def: "8", meaning: "time to listen, and to learn, before forwarding, s",
		set: setBridge(func(b *BridgeOptions) *uint32 { return &b.ForwardDelay })},
	spec{name: "priority", kind: number, min: 0, max: 65535, def: "32767", meaning: "bridge priority", set: setBridge(func(b *BridgeOptions) *uint32 { return &b.Priority })},
	spec{name: "ageing_time", kind: number, min: 0, max: maxInt32 / 100, def: "the kernel's 300", meaning: "time that a learned address is kept, s", set: func(t *target, v value) {
		t.bridge.opt.AgeingTime, t.bridge.ageingSet = uint32(v.n), true
	}},
	spec{name: "hello_time", kind: number, min: 1, max: 10, def: "1", meaning: "time between hello messages, s", set: setBridge(func(b *BridgeOptions) *uint32 { return &b.HelloTime })},
	spec{name: "max_age", kind: number, min: 6, max: 40, def: "10", meaning: "time that a message of the spanning tree is good for, s", set: setBridge(func(b *BridgeOptions) *uint32 { return &b.MaxAge })},
	spec{name: "igmp_snooping", kind: yesno, def: "0", meaning: "multicast snooping", set: func(t *target, v value) { t.bridge.opt.IGMPSnooping = v.yes() }},
	spec{name: "multicast_querier", kind: yesno, def: "igmp_snooping", meaning: "send multicast queries", set: func(t *target, v value) {
		t.bridge.opt.MulticastQuerier, t.bridge.querierSet = v.yes(), true
	}},
	spec{name: "hash_max", kind: number, min: 1, max: maxInt32, def: "512", meaning: "multicast groups at most", set: setBridge(func(b *BridgeOptions) *uint32 { return &b.HashMax })},
	spec{name: "robustness", kind: number, min: 1, max: 255, def: "2", meaning: "queries that may be lost: last member and startup query count", set: setBridge(func(b *BridgeOptions) *uint32 { return &b.Robustness })},
	spec{name: "query_interval", kind: number, min: 100, max: 8640000, def: "12500", meaning: "time between general queries, 1/100 s", set: setBridge(func(b *BridgeOptions) *uint32 { return &b.QueryInterval })},
	spec{name: "query_response_interval", kind: number, min: 1, max: maxInt32, def: "1000", meaning: "time to answer a general query, 1/100 s", set: setBridge(func(b *BridgeOptions) *uint32 { return &b.QueryResponse })},
	spec{name: "last_member_interval", kind: number, min: 1, max: maxInt32, def: "100", meaning: "time between last member queries, 1/100 s", set: setBridge(func(b *BridgeOptions) *uint32 { return &b.LastMemberInt })},
	spec{name: "vlan_filtering", kind: yesno, def: "as the kernel has it", meaning: "VLAN filtering; sent only when given", set: func(t *target, v value) {
		t.bridge.opt.VLANFiltering, t.bridge.vlanSet = v.yes(), true
	}},
)

// sortSettings brings the sysctls into the order of their names.
func sortSettings(s *model.Settings) {
	// Insertion: there are at most two dozen, most often none.
	for i := 1; i < len(s.Sysctl); i++ {
		for j := i; j > 0 && s.Sysctl[j].Name < s.Sysctl[j-1].Name; j-- {
			s.Sysctl[j], s.Sysctl[j-1] = s.Sysctl[j-1], s.Sysctl[j]
		}
	}
}
