package cli

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"netbraid/ubus"
)

// ifInfo is what `network.interface dump` says of one interface, netifd's or
// ours.
type ifInfo struct {
	name, proto, device, l3 string
	zone                    string
	up, pending, available  bool
	autostart, dynamic      bool
	uptime                  time.Duration
	metric, dnsMetric       int64
	addrs                   []ifAddr
	prefixes                []string
	routes                  []ifRoute
	dns, search             []string
	problems                []problem
}

type ifAddr struct {
	netip.Prefix
	peer string // point to point
	note string // a lifetime, in words
}

type ifRoute struct {
	target, nexthop, source string
	via                     bool // nexthop is a gateway
	isDefault, v6           bool
	metric, table           int64
}

// problem is an entry of errors[] in plain words.
type problem struct {
	subsystem, code, text string
	data                  []string
}

func interfaceInfo(t ubus.Table) ifInfo {
	i := ifInfo{}
	i.name, _ = t.String("interface")
	i.proto, _ = t.String("proto")
	i.device, _ = t.String("device")
	i.l3, _ = t.String("l3_device")
	i.up, _ = t.Bool("up")
	i.pending, _ = t.Bool("pending")
	i.available, _ = t.Bool("available")
	i.autostart, _ = t.Bool("autostart")
	i.dynamic, _ = t.Bool("dynamic")
	secs, _ := t.Int("uptime")
	i.uptime = time.Duration(secs) * time.Second
	i.metric, _ = t.Int("metric")
	i.dnsMetric, _ = t.Int("dns_metric")
	data, _ := t.Table("data")
	i.zone, _ = data.String("zone")
	for _, key := range []string{"ipv4-address", "ipv6-address", "ipv6-prefix-assignment"} {
		for _, a := range tables(t, key) {
			i.addrs = append(i.addrs, addrInfo(a)...)
		}
	}
	for _, p := range tables(t, "ipv6-prefix") {
		i.prefixes = append(i.prefixes, slash(p, "address", "mask"))
	}
	for _, r := range tables(t, "route") {
		i.routes = append(i.routes, routeInfo(r))
	}
	i.dns, i.search = stringsOf(t, "dns-server"), stringsOf(t, "dns-search")
	for _, e := range tables(t, "errors") {
		if p := problemInfo(e); !slices.ContainsFunc(i.problems, func(o problem) bool { return o.text == p.text }) {
			i.problems = append(i.problems, p)
		}
	}
	return i
}

func addrInfo(t ubus.Table) []ifAddr {
	if local, ok := t.Table("local-address"); ok { // a prefix assigned to this interface
		t = local
	}
	p, err := netip.ParsePrefix(slash(t, "address", "mask"))
	if err != nil {
		return nil
	}
	a := ifAddr{Prefix: p}
	a.peer, _ = t.String("ptpaddress")
	if v, ok := t.Int("preferred"); ok && v <= 0 {
		a.note = "deprecated"
	} else if v, ok := t.Int("valid"); ok {
		a.note = "for " + duration(time.Duration(v)*time.Second)
	}
	return []ifAddr{a}
}

func (a ifAddr) String() string {
	s := a.Prefix.String()
	if a.peer != "" {
		s += " peer " + a.peer
	}
	return s
}

func routeInfo(t ubus.Table) ifRoute {
	r := ifRoute{target: slash(t, "target", "mask")}
	r.nexthop, _ = t.String("nexthop")
	r.source, _ = t.String("source")
	r.metric, _ = t.Int("metric")
	r.table, _ = t.Int("table")
	if p, err := netip.ParsePrefix(r.target); err == nil {
		r.v6 = p.Addr().Is6()
		r.isDefault = p.Bits() == 0
	}
	hop, err := netip.ParseAddr(r.nexthop)
	r.via = err == nil && !hop.IsUnspecified()
	return r
}

func (r ifRoute) String() string {
	s := r.target
	if r.isDefault {
		s = "default"
		if r.v6 {
			s = "default (IPv6)"
		}
	}
	if r.via {
		s += " via " + r.nexthop
	}
	if src, err := netip.ParsePrefix(r.source); err == nil && src.Bits() > 0 {
		s += " from " + r.source
	}
	if r.metric != 0 {
		s += fmt.Sprintf(" metric %d", r.metric)
	}
	if r.table != 0 {
		s += fmt.Sprintf(" table %d", r.table)
	}
	return s
}

// gateways are the next hops of the default routes, IPv4 first.
func (i *ifInfo) gateways() (v4, v6 []string) {
	for _, r := range i.routes {
		switch {
		case !r.isDefault || !r.via:
		case r.v6:
			v6 = append(v6, r.nexthop)
		default:
			v4 = append(v4, r.nexthop)
		}
	}
	return v4, v6
}

// state is one word for how the interface is, and how that looks.
func (i *ifInfo) state() (string, style) {
	switch {
	case i.up && len(i.problems) > 0:
		return "up", yellow
	case i.up:
		return "up", green
	case !i.autostart:
		return "off", dim
	case i.hasError("INVALID_", "UNKNOWN_PROTO"):
		return "invalid", red
	case !i.available:
		return "no device", red
	case i.pending:
		return "starting", yellow
	}
	return "down", red
}

func (i *ifInfo) hasError(prefixes ...string) bool {
	return slices.ContainsFunc(i.problems, func(p problem) bool {
		return slices.ContainsFunc(prefixes, func(s string) bool { return strings.HasPrefix(p.code, s) })
	})
}

// devices is the device, and the layer 3 device where that is another.
func (i *ifInfo) devices() string {
	switch {
	case i.l3 == "" || i.l3 == i.device:
		return i.device
	case i.device == "":
		return i.l3
	}
	return i.device + " → " + i.l3
}

// words has netifd's codes in words, for a daemon that gives no message.
var words = map[string]string{
	"NO_DEVICE":             "its device is not there",
	"DEVICE_CLAIM_FAILED":   "its device cannot be brought up",
	"SETUP_FAILED":          "the protocol could not be set up",
	"INVALID_ADDRESS":       "not an IP address",
	"INVALID_NETMASK":       "not a netmask",
	"INVALID_GATEWAY":       "not a gateway address",
	"INVALID_BROADCAST":     "not a broadcast address",
	"INVALID_PTPADDR":       "not a peer address",
	"INVALID_PROTO":         "there is no such protocol",
	"INVALID_LOCAL_ADDRESS": "not a local address",
	"NO_TUNNEL_REMOTE":      "the far end of the tunnel is not reachable",
}

func problemInfo(t ubus.Table) problem {
	p := problem{data: stringsOf(t, "data")}
	p.subsystem, _ = t.String("subsystem")
	p.code, _ = t.String("code")
	p.text, _ = t.String("message")
	data := strings.Join(p.data, " ")
	if p.text == "" {
		p.text = cmp.Or(words[p.code], p.code)
		if data != "" {
			p.text = data + ": " + p.text
		}
	} else if data != "" && !strings.Contains(p.text, data) {
		p.text = data + ": " + p.text
	}
	return p
}

// slash joins an address and its length.
func slash(t ubus.Table, addr, mask string) string {
	a, _ := t.String(addr)
	m, _ := t.Int(mask)
	return fmt.Sprintf("%s/%d", a, m)
}

// tables are the elements of type TABLE of an array.
func tables(t ubus.Table, name string) []ubus.Table {
	l, _ := t.Array(name)
	var out []ubus.Table
	for _, v := range l {
		if x, ok := v.(ubus.Table); ok {
			out = append(out, x)
		}
	}
	return out
}

func stringsOf(t ubus.Table, name string) []string {
	l, _ := t.Array(name)
	return l.Strings()
}
