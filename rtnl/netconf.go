package rtnl

import (
	"fmt"
	"strconv"

	"netbraid/rtnl/nlattr"
)

// Numbers of linux/netconf.h.
const (
	netconfaIfindex        = 1 // NETCONFA_IFINDEX
	netconfaForwarding     = 2
	netconfaRPFilter       = 3
	netconfaMCForwarding   = 4
	netconfaProxyNeigh     = 5
	netconfaIgnoreLinkdown = 6 // NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN
	netconfaInput          = 7
	netconfaBCForwarding   = 8

	sizeofNetconfMsg = 4 // struct netconfmsg is one octet, and padding
)

// What Netconf.Index can say instead of an ifindex.
const (
	NetconfAll     int32 = -1 // NETCONFA_IFINDEX_ALL: conf/all
	NetconfDefault int32 = -2 // NETCONFA_IFINDEX_DEFAULT: conf/default, what new links get
)

// NetconfField names one setting of a Netconf, or a set of them.
type NetconfField uint16

// The settings that the kernel announces.
const (
	NetconfForwarding NetconfField = 1 << iota
	NetconfRPFilter
	NetconfMCForwarding
	NetconfProxyNeigh
	NetconfIgnoreLinkdown
	NetconfInput
	NetconfBCForwarding
)

// Netconf is those settings of a link in one family (or of "all" and "default")
// that the kernel announces (RTM_NEWNETCONF, linux/netconf.h). They are files of
// /proc/sys/net/{ipv4,ipv6,mpls}/conf. A dump, and the first message about a
// link, have all settings of the family; later ones only what has changed, which
// is nothing for a setting that is not here (force_forwarding of Linux 6.17). The
// removal of a link has none. MPLS has neither "all" nor "default".
type Netconf struct {
	Family uint8 // AF_INET, AF_INET6, AF_MPLS
	Index  int32 // ifindex, NetconfAll or NetconfDefault; 0 when the message has none
	// Known are the settings that the message has. The others are zero.
	Known          NetconfField
	Forwarding     int32 // forwarding
	RPFilter       int32 // rp_filter; IPv4
	MCForwarding   int32 // mc_forwarding
	ProxyNeigh     int32 // proxy_arp (IPv4), proxy_ndp (IPv6)
	IgnoreLinkdown int32 // ignore_routes_with_linkdown
	Input          int32 // input; MPLS: whether labelled packets are taken
	BCForwarding   int32 // bc_forwarding; IPv4; a change of it alone is not announced
}

// netconfFields has every setting with its attribute, in the order in which the
// kernel sends them.
var netconfFields = [...]struct {
	bit  NetconfField
	attr uint16
	name string
	at   func(*Netconf) *int32
}{
	{NetconfForwarding, netconfaForwarding, "forwarding", func(n *Netconf) *int32 { return &n.Forwarding }},
	{NetconfRPFilter, netconfaRPFilter, "rp_filter", func(n *Netconf) *int32 { return &n.RPFilter }},
	{NetconfMCForwarding, netconfaMCForwarding, "mc_forwarding", func(n *Netconf) *int32 { return &n.MCForwarding }},
	{NetconfProxyNeigh, netconfaProxyNeigh, "proxy_neigh", func(n *Netconf) *int32 { return &n.ProxyNeigh }},
	{NetconfIgnoreLinkdown, netconfaIgnoreLinkdown, "ignore_routes_with_linkdown", func(n *Netconf) *int32 { return &n.IgnoreLinkdown }},
	{NetconfInput, netconfaInput, "input", func(n *Netconf) *int32 { return &n.Input }},
	{NetconfBCForwarding, netconfaBCForwarding, "bc_forwarding", func(n *Netconf) *int32 { return &n.BCForwarding }},
}

// Update takes the settings over that a later message has.
func (n *Netconf) Update(later *Netconf) {
	for i := range netconfFields {
		if f := &netconfFields[i]; later.Known&f.bit != 0 {
			*f.at(n) = *f.at(later)
		}
	}
	n.Known |= later.Known
}

// Each calls f for every setting that is known, with the name of its file (but
// proxy_neigh for proxy_arp and proxy_ndp).
func (n *Netconf) Each(f func(name string, value int32)) {
	for i := range netconfFields {
		if x := &netconfFields[i]; n.Known&x.bit != 0 {
			f(x.name, *x.at(n))
		}
	}
}

// DecodeNetconf reads the body of RTM_NEWNETCONF or RTM_DELNETCONF (struct
// netconfmsg, linux/netconf.h) into n, which it resets first.
func DecodeNetconf(body []byte, n *Netconf) error {
	*n = Netconf{}
	if len(body) < 1 {
		return fmt.Errorf("rtnl: decode netconf: %w", errShort)
	}
	n.Family = body[0]
	c := attributes(body[min(sizeofNetconfMsg, len(body)):])
	for c.Next() {
		if c.Type == netconfaIfindex {
			n.Index = int32(c.U32())
			continue
		}
		for i := range netconfFields {
			if f := &netconfFields[i]; f.attr == c.Type {
				n.Known |= f.bit
				*f.at(n) = int32(c.U32())
			}
		}
	}
	if c.Err != nil {
		return fmt.Errorf("rtnl: decode netconf: %w", c.Err)
	}
	return nil
}

// AppendNetconf appends a whole message of type typ (RTM_NEWNETCONF,
// RTM_DELNETCONF, or RTM_GETNETCONF to ask for those of one Index) about n. The
// kernel takes no settings in this way: they are files of /proc/sys/net.
func AppendNetconf(b []byte, typ, flags uint16, seq uint32, n *Netconf) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	b = append(b, n.Family, 0, 0, 0)
	if n.Index != 0 {
		b = nlattr.AppendU32(b, netconfaIfindex, uint32(n.Index))
	}
	for i := range netconfFields {
		if f := &netconfFields[i]; n.Known&f.bit != 0 {
			b = nlattr.AppendU32(b, f.attr, uint32(*f.at(n)))
		}
	}
	return closeMessage(b, start)
}

// FormatNetconf prints settings in one line, close to what `ip monitor netconf`
// says: "netconf inet dev eth0 forwarding 1 rp_filter 0".
func FormatNetconf(n *Netconf, names func(ifindex uint32) string) string {
	l := newLine("netconf", names)
	l.add(families.of(n.Family))
	switch {
	case n.Index == NetconfAll:
		l.add("all")
	case n.Index == NetconfDefault:
		l.add("default")
	default:
		l.dev("dev", uint32(n.Index))
	}
	n.Each(func(name string, value int32) { l.add(name, strconv.Itoa(int(value))) })
	return l.String()
}
