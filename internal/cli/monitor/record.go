package monitor

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// record is a line as JSON. Numbers are the kernel's (linux/rtnetlink.h and
// the headers of each kind); members without a value are left out.
type record struct {
	Time  string `json:"time,omitempty"` // RFC 3339, in UTC
	Event string `json:"event"`          // new (there now, or changed), gone, lost, unknown
	Kind  string `json:"kind,omitempty"`

	Family   string `json:"family,omitempty"`
	Ifindex  uint32 `json:"ifindex,omitempty"`
	Dev      string `json:"dev,omitempty"`
	Dst      string `json:"dst,omitempty"` // of a route or rule; the address of a neighbour
	Src      string `json:"src,omitempty"`
	Gateway  string `json:"gateway,omitempty"`
	Address  string `json:"address,omitempty"` // of an addr, with prefix length; of a link
	Peer     string `json:"peer,omitempty"`
	LLAddr   string `json:"lladdr,omitempty"`
	State    uint16 `json:"state,omitempty"` // of a neighbour, NUD_*
	VLAN     uint16 `json:"vlan,omitempty"`
	Table    uint32 `json:"table,omitempty"`
	Priority uint32 `json:"priority,omitempty"`
	Protocol uint8  `json:"protocol,omitempty"`
	Type     uint8  `json:"type,omitempty"` // of a route, RTN_*
	ID       uint32 `json:"id,omitempty"`   // of a next hop, or the one that a route uses
	LinkKind string `json:"link-kind,omitempty"`
	Up       *bool  `json:"up,omitempty"`
	Carrier  *bool  `json:"carrier,omitempty"`
	MTU      uint32 `json:"mtu,omitempty"`
	Master   string `json:"master,omitempty"`

	Settings map[string]int32 `json:"settings,omitempty"` // of a netconf, by the names of their files, near enough

	Where  string  `json:"where,omitempty"` // lost: receive-buffer, output
	Count  *uint64 `json:"count,omitempty"` // lost here; not there when nobody knows
	Losses int     `json:"losses,omitempty"`
	Total  uint64  `json:"total,omitempty"`

	Text string `json:"text"` // the line without --json
}

// decoder makes records of messages; it keeps what it decodes into.
type decoder struct {
	link    rtnl.Link
	addr    rtnl.Addr
	neigh   rtnl.Neigh
	route   rtnl.Route
	rule    rtnl.Rule
	nexthop rtnl.Nexthop
	netconf rtnl.Netconf
}

// record is a message for a program. Text must be what FormatMessage makes of
// the same one.
func (d *decoder) record(h rtnl.Header, body []byte, text string, names func(uint32) string) record {
	kind, gone := rtnl.KindOf(h.Type)
	r := record{Event: "new", Kind: kind.String(), Text: text}
	if gone {
		r.Event = "gone"
	}
	if kind == 0 {
		return record{Event: "unknown", Text: text}
	}
	if d.fill(&r, kind, body, names) != nil {
		return record{Event: "unknown", Kind: r.Kind, Text: text}
	}
	if r.Ifindex != 0 && r.Dev == "" {
		r.Dev = names(r.Ifindex)
	}
	return r
}

func (d *decoder) fill(r *record, kind rtnl.Kind, body []byte, names func(uint32) string) (err error) {
	switch kind {
	case rtnl.KindLink:
		err = rtnl.DecodeLink(body, &d.link)
		r.ofLink(&d.link, names)
	case rtnl.KindAddr:
		err = rtnl.DecodeAddr(body, &d.addr)
		a := &d.addr
		r.Family, r.Ifindex, r.Address = family(a.Family), a.Index, prefix(netip.PrefixFrom(a.Local, int(a.PrefixLen)))
		r.Peer = address(a.Peer)
	case rtnl.KindNeigh:
		err = rtnl.DecodeNeigh(body, &d.neigh)
		n := &d.neigh
		r.Family, r.Ifindex, r.Dst, r.LLAddr, r.State, r.VLAN = family(n.Family), n.Index, address(n.Dst), n.LLAddr.String(), n.State, n.VLAN
		r.Protocol = n.Protocol
	case rtnl.KindRoute:
		err = rtnl.DecodeRoute(body, &d.route)
		x := &d.route
		r.Family, r.Ifindex, r.Dst, r.Src, r.Gateway = family(x.Family), x.Oif, prefix(x.Dst), prefix(x.Src), address(x.Gateway)
		r.Table, r.Priority, r.Protocol, r.Type, r.ID, r.MTU = x.Table, x.Priority, x.Protocol, x.Type, x.NHID, x.MTU
		if x.Family == unix.AF_MPLS {
			r.Dst = strconv.FormatUint(uint64(x.Label), 10)
		}
	case rtnl.KindRule:
		err = rtnl.DecodeRule(body, &d.rule)
		x := &d.rule
		r.Family, r.Dev, r.Dst, r.Src = family(x.Family), x.IifName, prefix(x.Dst), prefix(x.Src)
		r.Table, r.Priority, r.Protocol = x.Table, x.Priority, x.Protocol
	case rtnl.KindNexthop:
		err = rtnl.DecodeNexthop(body, &d.nexthop)
		x := &d.nexthop
		r.Family, r.Ifindex, r.Gateway, r.Protocol, r.ID = family(x.Family), x.Oif, address(x.Gateway), x.Protocol, x.ID
	case rtnl.KindNetconf:
		err = rtnl.DecodeNetconf(body, &d.netconf)
		r.ofNetconf(&d.netconf)
	}
	return err
}

func (r *record) ofNetconf(n *rtnl.Netconf) {
	r.Family = family(n.Family)
	switch n.Index {
	case rtnl.NetconfAll:
		r.Dev = "all"
	case rtnl.NetconfDefault:
		r.Dev = "default"
	default:
		r.Ifindex = uint32(n.Index)
	}
	r.Settings = map[string]int32{}
	n.Each(func(name string, value int32) { r.Settings[name] = value })
}

func (r *record) ofLink(l *rtnl.Link, names func(uint32) string) {
	up, carrier := l.Flags&unix.IFF_UP != 0, l.Carrier
	r.Ifindex, r.Dev, r.Up, r.Carrier, r.MTU = l.Index, l.Name, &up, &carrier, l.MTU
	r.Address, r.LinkKind = l.Addr.String(), l.Kind
	if l.Family != unix.AF_UNSPEC {
		r.Family = family(l.Family)
	}
	if l.Master != 0 {
		r.Master = names(l.Master)
	}
}

func family(f uint8) string {
	switch f {
	case unix.AF_INET:
		return "inet"
	case unix.AF_INET6:
		return "inet6"
	case unix.AF_BRIDGE:
		return "bridge"
	case unix.AF_MPLS:
		return "mpls"
	case unix.AF_UNSPEC:
		return ""
	}
	return strconv.Itoa(int(f))
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func prefix(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
