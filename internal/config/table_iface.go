package config

import (
	"net/netip"
	"strings"
	"time"
)

// ifaceDraft is an interface while its section is read.
type ifaceDraft struct {
	*Interface
	legacyType string
	device     *option
	ifname     *option
	parent     *option // config alias
	disabled   bool

	ipaddr, netmask, broadcast, ptpaddr, gateway *option
	ip6addr, ip6gw, ip6prefix                    *option
	deprecated                                   bool
	jailIfname                                   string
}

func setIface(put func(d *ifaceDraft, v value)) func(*target, value) {
	return func(t *target, v value) { put(t.iface, v) }
}

var interfaceOptions = newGroup("interface, alias", "A `config interface` section, or a `config alias` section (an interface on top of another).",
	spec{name: "proto", kind: text, def: "none", meaning: "protocol"},
	spec{name: "device", kind: text, meaning: "device, or @INTERFACE for the layer 3 device of another interface", set: setIface(func(d *ifaceDraft, v value) { d.device = v.opt })},
	spec{name: "ifname", kind: list, meaning: "old name of device; with type bridge the ports", set: setIface(func(d *ifaceDraft, v value) { d.ifname = v.opt })},
	spec{name: "type", kind: text, allow: "bridge", meaning: "old form: a bridge br-NAME of the devices in ifname", set: setIface(func(d *ifaceDraft, v value) { d.legacyType = v.s })},
	spec{name: "interface", kind: text, meaning: "config alias: the interface that it sits on", set: setIface(func(d *ifaceDraft, v value) { d.parent = v.opt })},
	spec{name: "disabled", kind: yesno, def: "0", meaning: "leave the section out", set: setIface(func(d *ifaceDraft, v value) { d.disabled = v.yes() })},
	spec{name: "auto", kind: yesno, def: "1", meaning: "bring up when the device is there", set: setIface(func(d *ifaceDraft, v value) { d.Auto = v.yes() })},
	spec{name: "takeover", kind: yesno, def: "0", meaning: "netbraid: claim what is on the device at its first claim", set: setIface(func(d *ifaceDraft, v value) { d.Takeover = v.yes() })},
	spec{name: "force_link", kind: yesno, def: "1 for static, else the protocol's", meaning: "bring up without carrier", set: setIface(func(d *ifaceDraft, v value) {
		d.ForceLink, d.ForceLinkSet = v.yes(), true
	})},
	spec{name: "carrier_loss_delay", kind: number, min: 0, max: 3600, def: "0", meaning: "stay up through a carrier loss shorter than this, s", set: setIface(func(d *ifaceDraft, v value) {
		d.CarrierLossDelay = time.Duration(v.n) * time.Second
	})},
	spec{name: "defaultroute", kind: yesno, def: "1", meaning: "use default routes of the protocol", set: setIface(func(d *ifaceDraft, v value) { d.DefaultRoute = v.yes() })},
	spec{name: "peerdns", kind: yesno, def: "1", meaning: "use DNS servers of the protocol", set: setIface(func(d *ifaceDraft, v value) { d.PeerDNS = v.yes() })},
	spec{name: "dns", kind: list, allow: allowDNS, meaning: "DNS servers", set: func(t *target, v value) { t.p.dns(t, &v) }},
	spec{name: "dns_search", kind: list, allow: allowDomain, meaning: "DNS search domains", set: func(t *target, v value) { t.p.dnsSearch(t, &v) }},
	spec{name: "dns_metric", kind: number, min: 0, max: maxUint32, def: "0", meaning: "order of DNS servers among interfaces", set: setIface(func(d *ifaceDraft, v value) { d.DNSMetric = uint32(v.n) })},
	spec{name: "metric", kind: number, min: 0, max: maxUint32, def: "0", meaning: "metric of routes", set: setIface(func(d *ifaceDraft, v value) { d.Metric = uint32(v.n) })},
	spec{name: "ip4table", kind: table, def: "main", meaning: "routing table of IPv4 routes", set: setIface(func(d *ifaceDraft, v value) { d.IP4Table = uint32(v.n) })},
	spec{name: "ip6table", kind: table, def: "main", meaning: "routing table of IPv6 routes", set: setIface(func(d *ifaceDraft, v value) { d.IP6Table = uint32(v.n) })},
	spec{name: "delegate", kind: yesno, def: "1", meaning: "delegate its IPv6 prefixes", set: setIface(func(d *ifaceDraft, v value) { d.Delegate = v.yes() })},
	spec{name: "zone", kind: text, meaning: "firewall zone, shown in status", set: setIface(func(d *ifaceDraft, v value) { d.Zone = v.s })},
	spec{name: "tags", kind: list, meaning: "words shown in status", set: setIface(func(d *ifaceDraft, v value) { d.Tags = v.l })},
	spec{name: "ip6assign", kind: number, min: 0, max: 64, def: "0: none", meaning: "length of the subnet to take from IPv6 prefixes that are delegated", set: setIface(func(d *ifaceDraft, v value) { d.IP6Assign.Length = uint8(v.n) })},
	spec{name: "ip6hint", kind: text, allow: allowHint, def: "the first that is free", meaning: "subnet to take", set: func(t *target, v value) { t.p.ip6Hint(t, &v) }},
	spec{name: "ip6ifaceid", kind: text, allow: allowIfaceID, def: "::1", meaning: "interface identifier of assigned addresses", set: func(t *target, v value) { t.p.ip6IfaceID(t, &v) }},
	spec{name: "ip6class", kind: list, def: "all", meaning: "classes of prefixes to take from: names of interfaces, classes that they give, local for ula_prefix", set: setIface(func(d *ifaceDraft, v value) { d.IP6Class = v.l })},
	spec{name: "ip6weight", kind: number, min: 0, max: maxInt32, def: "0", meaning: "of two that take subnets of one length the heavier comes first", set: setIface(func(d *ifaceDraft, v value) { d.IP6Assign.Weight = uint32(v.n) })},
	spec{name: "depends", kind: list, allow: allowDepends, def: "none", meaning: "netbraid: interfaces that this one runs on top of: it is up only while they are", set: setIface(func(d *ifaceDraft, v value) { d.Depends = v.l })},
	spec{name: "renew", kind: yesno, meaning: "renew on a topology change", later: true},
	spec{name: "jail", kind: text, meaning: "container that the device moves into while that runs; the interface does not come up by itself", set: setIface(func(d *ifaceDraft, v value) { d.Jail = v.s })},
	spec{name: "jail_device", kind: linkname, def: "device", meaning: "name in the container", set: setIface(func(d *ifaceDraft, v value) { d.JailDevice = v.s })},
	spec{name: "jail_ifname", kind: linkname, meaning: "old name of jail_device", set: setIface(func(d *ifaceDraft, v value) { d.jailIfname = v.s })},
	spec{name: "host_device", kind: linkname, def: "device", meaning: "name of the device when it comes back", set: setIface(func(d *ifaceDraft, v value) { d.HostDevice = v.s })},
	spec{name: "checkup_interval", kind: number, min: 0, max: maxInt32, def: "0: any", meaning: "time for a protocol script to come up after its setup has ended, s", set: setIface(func(d *ifaceDraft, v value) {
		d.CheckupInterval = time.Duration(v.n) * time.Second
	})},
)

var staticOptions = newGroup("interface, proto static", "Addresses as written.",
	spec{name: "ipaddr", kind: list, allow: allowAddr4, meaning: "IPv4 addresses", set: setIface(func(d *ifaceDraft, v value) { d.ipaddr = v.opt })},
	spec{name: "netmask", kind: text, allow: allowMask4, def: "255.255.255.255", meaning: "mask of the addresses without one", code: "INVALID_NETMASK", set: setIface(func(d *ifaceDraft, v value) { d.netmask = v.opt })},
	spec{name: "broadcast", kind: text, allow: allowPlain4, def: "the highest of the subnet; none for /31, /32 and 127.0.0.0/8", meaning: "broadcast address", code: "INVALID_BROADCAST", set: setIface(func(d *ifaceDraft, v value) { d.broadcast = v.opt })},
	spec{name: "ptpaddr", kind: text, allow: allowPlain4, meaning: "far end of a point-to-point link", code: "INVALID_PTPADDR", set: setIface(func(d *ifaceDraft, v value) { d.ptpaddr = v.opt })},
	spec{name: "gateway", kind: text, allow: allowPlain4, meaning: "IPv4 default gateway; needs an IPv4 address", code: "INVALID_GATEWAY", set: setIface(func(d *ifaceDraft, v value) { d.gateway = v.opt })},
	spec{name: "ip6addr", kind: list, allow: allowAddr6, meaning: "IPv6 addresses; without a length /128", set: setIface(func(d *ifaceDraft, v value) { d.ip6addr = v.opt })},
	spec{name: "ip6gw", kind: text, allow: allowPlain6, meaning: "IPv6 default gateway; needs an IPv6 address", code: "INVALID_GATEWAY", set: setIface(func(d *ifaceDraft, v value) { d.ip6gw = v.opt })},
	spec{name: "ip6prefix", kind: list, allow: allowPrefix6, meaning: "IPv6 prefixes to delegate from", set: setIface(func(d *ifaceDraft, v value) { d.ip6prefix = v.opt })},
	spec{name: "ip6deprecated", kind: yesno, def: "0", meaning: "IPv6 addresses are not used for new connections", set: setIface(func(d *ifaceDraft, v value) { d.deprecated = v.yes() })},
)

// routeDraft is a route while its section is read.
type routeDraft struct {
	*Route
	target, netmask, gateway, source *option
	disabled                         bool
}

func setRoute(put func(d *routeDraft, v value)) func(*target, value) {
	return func(t *target, v value) { put(t.route, v) }
}

// The numbers are the kernel's RTN_*, but failed_policy, which is a patch of
// OpenWrt's kernel.
var routeTypes = []choice{{"unicast", 1}, {"local", 2}, {"broadcast", 3}, {"anycast", 4}, {"multicast", 5}, {"blackhole", 6},
	{"unreachable", 7}, {"prohibit", 8}, {"throw", 9}, {"nat", 10}, {"xresolve", 11}, {"failed_policy", 12}}

var routeOptions = newGroup("route, route6", "A static route.",
	spec{name: "interface", kind: text, def: "none: on no device", meaning: "interface that the route comes and goes with", set: setRoute(func(d *routeDraft, v value) { d.Interface = v.s })},
	spec{name: "target", kind: text, allow: allowTarget, def: "required", meaning: "destination", set: setRoute(func(d *routeDraft, v value) { d.target = v.opt })},
	spec{name: "netmask", kind: text, allow: allowMask4 + " (route6: " + allowMask6 + ")", def: "a single address", meaning: "mask of a target without one", set: setRoute(func(d *routeDraft, v value) { d.netmask = v.opt })},
	spec{name: "gateway", kind: text, allow: allowGateway, meaning: "next hop", set: setRoute(func(d *routeDraft, v value) { d.gateway = v.opt })},
	spec{name: "source", kind: text, allow: allowSource, meaning: "preferred source address; route6: source prefix", set: setRoute(func(d *routeDraft, v value) { d.source = v.opt })},
	spec{name: "metric", kind: number, min: 0, max: maxUint32, def: "the interface's", meaning: "metric", set: setRoute(func(d *routeDraft, v value) { d.Metric, d.MetricSet = uint32(v.n), true })},
	spec{name: "mtu", kind: number, min: 68, max: 65520, allow: "68..65520 (route6: 1280..65520)", meaning: "MTU of the path, octets", set: setRoute(func(d *routeDraft, v value) { d.MTU = uint32(v.n) })},
	spec{name: "table", kind: table, def: "the interface's", meaning: "routing table", set: setRoute(func(d *routeDraft, v value) { d.Table, d.TableSet = uint32(v.n), true })},
	spec{name: "onlink", kind: yesno, def: "0", meaning: "the gateway is on the link though no subnet says so", set: setRoute(func(d *routeDraft, v value) { d.OnLink = v.yes() })},
	spec{name: "type", kind: text, allow: routeTypeWords(), def: "unicast", meaning: "type of route", set: func(t *target, v value) { t.p.routeType(t, &v) }},
	spec{name: "proto", kind: text, allow: allowProto, def: "static", meaning: "protocol of the route", set: func(t *target, v value) { t.p.routeProto(t, &v) }},
	spec{name: "valid", kind: number, min: 0, max: maxUint32, def: "0: for ever", meaning: "lifetime, s", set: setRoute(func(d *routeDraft, v value) { d.Valid = uint32(v.n) })},
	spec{name: "disabled", kind: yesno, def: "0", meaning: "leave the section out", set: setRoute(func(d *routeDraft, v value) { d.disabled = v.yes() })},
)

func routeTypeWords() string {
	s := "0..255"
	for _, c := range routeTypes {
		s += ", " + c.word
	}
	return s
}

var globalOptions = newGroup("globals", "The section `config globals 'globals'`.",
	spec{name: "ula_prefix", kind: text, allow: allowULA, meaning: "unique local prefix of the site (RFC 4193)", set: func(t *target, v value) { t.p.ulaPrefix(t, &v) }},
	spec{name: "takeover", kind: yesno, def: "0", meaning: "netbraid: claim what is on a device at its first claim", set: func(t *target, v value) { t.p.cfg.Globals.Takeover = v.yes() }},
	spec{name: "packet_steering", meaning: "read by scripts", silent: true},
	spec{name: "steering_flows", meaning: "read by scripts", silent: true},
	spec{name: "netifd_loglevel", meaning: "read by scripts", silent: true},
	spec{name: "tcp_l3mdev", kind: yesno, meaning: "TCP sockets over all VRFs", silent: true},
	spec{name: "udp_l3mdev", kind: yesno, meaning: "UDP sockets over all VRFs", silent: true},
)

// ulaPrefix takes option ula_prefix. The word auto is what OpenWrt ships until
// its first boot has chosen a prefix.
func (p *parser) ulaPrefix(t *target, v *value) {
	if v.s == "auto" {
		return
	}
	pre, masked, ok := parsePrefix(v.s, true, 0)
	if !ok || !masked || pre.Bits() < 1 || pre.Bits() > 64 {
		p.invalid(t.sec, v.opt, "", "not an IPv6 prefix", allowULA)
		return
	}
	p.cfg.Globals.ULAPrefix = pre.Masked()
}

// dns takes the addresses of option dns.
func (p *parser) dns(t *target, v *value) {
	for i, s := range v.l {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			p.invalidValue(t.sec, v.opt, i, s, "", "not the address of a DNS server", allowDNS)
			continue
		}
		t.iface.DNS = append(t.iface.DNS, a)
	}
}

// dnsSearch takes the domains of option dns_search. They end up in a file of
// one a line, so that nothing may be in them that ends a word or a line.
func (p *parser) dnsSearch(t *target, v *value) {
	for i, s := range v.l {
		if s == "" || len(s) > 253 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' || r == ';' }) {
			p.invalidValue(t.sec, v.opt, i, s, "", "not a domain", allowDomain)
			continue
		}
		t.iface.DNSSearch = append(t.iface.DNSSearch, s)
	}
}
