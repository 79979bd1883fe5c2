package rtnl

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// line builds one readable line of words.
type line struct {
	strings.Builder
	names func(ifindex uint32) string
}

func newLine(first string, names func(uint32) string) *line {
	l := &line{names: names}
	l.WriteString(first)
	return l
}

// add appends words, each after a blank.
func (l *line) add(words ...string) {
	for _, w := range words {
		l.WriteByte(' ')
		l.WriteString(w)
	}
}

// num appends a word and a number unless the number is zero.
func (l *line) num(word string, v uint64) {
	if v != 0 {
		l.add(word, strconv.FormatUint(v, 10))
	}
}

// str appends a word and its argument unless that is empty.
func (l *line) str(word, arg string) {
	if arg != "" {
		l.add(word, arg)
	}
}

// addr appends a word and an address unless that is the zero Addr.
func (l *line) addr(word string, a netip.Addr) {
	if a.IsValid() {
		l.add(word, a.String())
	}
}

// when appends a word if the condition holds.
func (l *line) when(cond bool, word string) {
	if cond {
		l.add(word)
	}
}

// flags appends the names of the bits that are set.
func (l *line) flags(v uint32, names []flagName) {
	for _, f := range names {
		l.when(v&f.bit == f.bit, f.name)
	}
}

// dev appends a word and the name of a link unless the ifindex is 0.
func (l *line) dev(word string, index uint32) {
	if index != 0 {
		l.add(word, l.name(index))
	}
}

// name is the name of a link, "if7" for one that has none.
func (l *line) name(index uint32) string {
	if l.names != nil {
		if s := l.names(index); s != "" {
			return s
		}
	}
	return "if" + strconv.FormatUint(uint64(index), 10)
}

func hexNumber(v uint64) string { return "0x" + strconv.FormatUint(v, 16) }

// FormatLink prints a link in one line, close to what `ip -d link` says. Names
// gives the name of an ifindex; where it is nil or answers "" the line has
// "if7".
func FormatLink(k *Link, names func(ifindex uint32) string) string {
	l := newLine("link "+strconv.FormatUint(uint64(k.Index), 10)+":", names)
	name := k.Name
	if name == "" {
		name = l.name(k.Index)
	}
	if k.Parent != 0 && k.ParentNSID < 0 {
		name += "@" + l.name(k.Parent)
	} else if k.Parent != 0 {
		name += "@if" + strconv.FormatUint(uint64(k.Parent), 10)
	}
	l.add(name)
	if k.Flags&unix.IFF_UP != 0 {
		l.add("up")
	} else {
		l.add("down")
	}
	l.when(k.Carrier, "carrier")
	l.flags(k.Flags, linkFlagNames)
	l.num("mtu", uint64(k.MTU))
	l.str("state", operStates.of(k.OperState))
	l.dev("master", k.Master)
	l.str("address", k.Addr.String())
	l.num("group", uint64(k.Group))
	if k.ParentNSID >= 0 {
		l.add("link-netnsid", strconv.Itoa(int(k.ParentNSID)))
	}
	l.str("kind", k.Kind)
	switch kindPlace(k.Kind) {
	case inBridge:
		l.numbers(inBridge, k)
	case inVLAN:
		l.add("id", strconv.Itoa(int(k.VLAN.ID)), "protocol", vlanProtocols.of(k.VLAN.Protocol))
	case inMACVLAN:
		l.add("mode", macvlanModes.of(k.MACVLAN.Mode))
	case inVRF:
		l.num("table", uint64(k.VRFTable))
	}
	if k.PortKind != "" {
		l.add("port", k.PortKind)
	}
	if k.PortKind == kindBridge {
		l.add("state", portStates.of(k.Port.State))
		l.numbers(inPort, k)
	}
	return l.String()
}

// numbers appends those attributes of a nest that are not zero.
func (l *line) numbers(where place, k *Link) {
	for i := range fields {
		if f := &fields[i]; f.place == where && f.bit != 0 {
			l.num(strings.TrimPrefix(f.name, "port_"), f.get(k))
		}
	}
}

// FormatAddr prints an address in one line:
// "addr 192.0.2.1/24 dev eth0 scope global valid forever".
func FormatAddr(a *Addr, names func(ifindex uint32) string) string {
	l := newLine("addr", names)
	if a.Peer.IsValid() {
		l.add(a.Local.String(), "peer", a.Peer.String()+"/"+strconv.Itoa(int(a.PrefixLen)))
	} else {
		l.add(a.Local.String() + "/" + strconv.Itoa(int(a.PrefixLen)))
	}
	l.addr("brd", a.Broadcast)
	l.dev("dev", a.Index)
	l.add("scope", scopes.of(a.Scope))
	l.str("label", a.Label)
	if a.Protocol != 0 {
		l.add("proto", addrProtocols.of(a.Protocol))
	}
	l.num("metric", uint64(a.Priority))
	l.flags(a.Flags, addrFlagNames)
	if a.Valid != LifetimeForever || a.Preferred != LifetimeForever {
		l.add("valid", lifetime(a.Valid), "preferred", lifetime(a.Preferred))
	}
	return l.String()
}

func lifetime(seconds uint32) string {
	if seconds == LifetimeForever {
		return "forever"
	}
	return strconv.FormatUint(uint64(seconds), 10) + "s"
}

// FormatNeigh prints a neighbour, or with family AF_BRIDGE an entry of a
// forwarding database, in one line: "neigh 192.0.2.1 dev eth0 lladdr … reachable".
func FormatNeigh(n *Neigh, names func(ifindex uint32) string) string {
	l := newLine("neigh", names)
	if n.Family == unix.AF_BRIDGE {
		l = newLine("fdb", names)
		l.add(n.LLAddr.String())
		l.addr("dst", n.Dst)
		l.dev("dev", n.Index)
	} else {
		if n.Flags&unix.NTF_PROXY != 0 {
			l.add("proxy")
		}
		l.add(n.Dst.String())
		l.dev("dev", n.Index)
		l.str("lladdr", n.LLAddr.String())
	}
	l.num("vlan", uint64(n.VLAN))
	l.num("vni", uint64(n.VNI))
	l.dev("master", n.Master)
	l.flags(uint32(n.Flags), neighFlagNames)
	l.flags(uint32(n.State), neighStateNames)
	if n.Protocol != 0 {
		l.add("proto", routeProtocols.of(n.Protocol))
	}
	return l.String()
}

// FormatRoute prints a route in one line, close to what `ip route` says:
// "route 10.0.0.0/8 via 192.0.2.1 dev eth0 proto static metric 10". A table is
// named unless it is main.
func FormatRoute(r *Route, names func(ifindex uint32) string) string {
	l := newLine("route", names)
	if r.Type != unix.RTN_UNICAST {
		l.add(routeTypes.of(r.Type))
	}
	l.add(r.destination())
	if r.Src.IsValid() {
		l.add("from", r.Src.String())
	}
	l.num("tos", uint64(r.TOS))
	l.num("nhid", uint64(r.NHID))
	l.encap(r.Family, r.Encap)
	l.via(r.Family, r.Gateway)
	l.dev("dev", r.Oif)
	if r.Table != unix.RT_TABLE_MAIN {
		l.add("table", tables.of(r.Table))
	}
	l.add("proto", routeProtocols.of(r.Protocol))
	if r.Family == unix.AF_INET && r.Scope != unix.RT_SCOPE_UNIVERSE {
		l.add("scope", scopes.of(r.Scope))
	}
	l.addr("src", r.PrefSrc)
	l.num("metric", uint64(r.Priority))
	l.flags(r.Flags, hopFlagNames)
	if r.MTU != 0 || r.MTULock {
		l.add("mtu")
		l.when(r.MTULock, "lock")
		l.add(strconv.FormatUint(uint64(r.MTU), 10))
	}
	l.metrics(r.Metrics)
	if r.Pref != 0 {
		l.add("pref", routePrefs.of(r.Pref))
	}
	if r.Expires != 0 {
		l.add("expires", lifetime(r.Expires))
	}
	l.hops(r)
	return l.String()
}

func (r *Route) destination() string {
	switch {
	case r.Family == unix.AF_MPLS:
		return strconv.FormatUint(uint64(r.Label), 10)
	case !r.Dst.IsValid(), r.Dst.Bits() == 0:
		if r.Family == unix.AF_INET6 {
			return "::/0"
		}
		return "default"
	case r.Dst.IsSingleIP():
		return r.Dst.Addr().String()
	}
	return r.Dst.String()
}

// via appends a gateway, with its family when that is not the route's.
func (l *line) via(family uint8, gw netip.Addr) {
	switch {
	case !gw.IsValid():
	case familyOf(gw) == family:
		l.add("via", gw.String())
	case gw.Is4():
		l.add("via", "inet", gw.String())
	default:
		l.add("via", "inet6", gw.String())
	}
}

func (l *line) encap(family uint8, e string) {
	switch {
	case e == "":
	case family == unix.AF_MPLS:
		l.add("as", labels(e))
	case len(e) >= 2:
		l.add("encap", encapTypes.of(ne.Uint16([]byte(e[:2]))), fmt.Sprintf("%x", e[2:]))
	}
}

// labels prints an MPLS label stack: "100/200".
func labels(stack string) string {
	var out []string
	for b := []byte(stack); len(b) >= 4; b = b[4:] {
		out = append(out, strconv.FormatUint(uint64(be.Uint32(b)>>mplsLabelShift), 10))
	}
	return strings.Join(out, "/")
}

func (l *line) metrics(m string) {
	c := attributes([]byte(m))
	for c.next() {
		switch {
		case c.typ == unix.RTAX_CC_ALGO:
			l.add("congctl", c.str())
		case c.typ == unix.RTAX_LOCK:
			l.add("lock", hexNumber(uint64(c.u32())))
		case len(c.val) == 4:
			l.add(metricNames.of(c.typ), strconv.FormatUint(uint64(c.u32()), 10))
		}
	}
}

func (l *line) hops(r *Route) {
	hops, err := Hops(r.Multipath)
	if err != nil {
		l.add("nexthop (malformed)")
	}
	for _, h := range hops {
		l.add("nexthop")
		l.encap(r.Family, h.Encap)
		l.via(r.Family, h.Gateway)
		l.dev("dev", h.Oif)
		l.add("weight", strconv.Itoa(int(h.Weight)+1))
		l.flags(uint32(h.Flags), hopFlagNames)
	}
}

// FormatRule prints a rule in one line, close to what `ip rule` says:
// "rule 100: from 10.0.0.0/8 iif eth0 lookup 100 proto static".
func FormatRule(r *Rule, names func(ifindex uint32) string) string {
	l := newLine("rule "+strconv.FormatUint(uint64(r.Priority), 10)+":", names)
	if r.Family != unix.AF_INET {
		l.add(families.of(r.Family))
	}
	l.when(r.Flags&unix.FIB_RULE_INVERT != 0, "not")
	if r.Src.IsValid() {
		l.add("from", r.Src.String())
	} else {
		l.add("from", "all")
	}
	if r.Dst.IsValid() {
		l.add("to", r.Dst.String())
	}
	if r.TOS != 0 {
		l.add("tos", hexNumber(uint64(r.TOS)))
	}
	if r.Mark != 0 || r.Mask != 0 {
		mark := hexNumber(uint64(r.Mark))
		if r.Mask != 0xffffffff {
			mark += "/" + hexNumber(uint64(r.Mask))
		}
		l.add("fwmark", mark)
	}
	l.str("iif", r.IifName)
	l.str("oif", r.OifName)
	l.when(r.L3MDev != 0, "l3mdev")
	if r.HasUID {
		l.add("uidrange", fmt.Sprintf("%d-%d", r.UIDStart, r.UIDEnd))
	}
	l.num("tun_id", r.TunID)
	if r.IPProto != 0 {
		l.add("ipproto", ipProtocols.of(r.IPProto))
	}
	l.ports("sport", r.SportStart, r.SportEnd)
	l.ports("dport", r.DportStart, r.DportEnd)
	switch {
	case r.Action == unix.FR_ACT_GOTO:
		l.add("goto", strconv.FormatUint(uint64(r.Goto), 10))
	case r.Action != unix.FR_ACT_TO_TBL:
		l.add(ruleActions.of(r.Action))
	case r.L3MDev == 0:
		l.add("lookup", tables.of(r.Table))
	}
	if r.SuppressPL >= 0 {
		l.add("suppress_prefixlength", strconv.Itoa(int(r.SuppressPL)))
	}
	if r.SuppressIG >= 0 {
		l.add("suppress_ifgroup", strconv.Itoa(int(r.SuppressIG)))
	}
	if r.Protocol != 0 {
		l.add("proto", routeProtocols.of(r.Protocol))
	}
	l.flags(r.Flags, ruleFlagNames)
	return l.String()
}

func (l *line) ports(word string, first, last uint16) {
	switch {
	case first == 0 && last == 0:
	case first == last:
		l.add(word, strconv.Itoa(int(first)))
	default:
		l.add(word, fmt.Sprintf("%d-%d", first, last))
	}
}

// FormatNexthop prints a next-hop object in one line, close to what
// `ip nexthop` says: "nexthop id 7 via 192.0.2.1 dev eth0 proto static".
func FormatNexthop(n *Nexthop, names func(ifindex uint32) string) string {
	l := newLine("nexthop id "+strconv.FormatUint(uint64(n.ID), 10), names)
	if n.Group != "" {
		l.add("group", nexthopGroup(n.Group))
		l.when(n.GroupType == 1, "type resilient")
	}
	l.when(n.Blackhole, "blackhole")
	l.encap(n.Family, n.Encap)
	l.via(n.Family, n.Gateway)
	l.dev("dev", n.Oif)
	if n.Scope != 0 {
		l.add("scope", scopes.of(n.Scope))
	}
	l.add("proto", routeProtocols.of(n.Protocol))
	l.when(n.FDB, "fdb")
	l.flags(n.Flags, hopFlagNames)
	return l.String()
}

// nexthopGroup prints struct nexthop_grp entries: "1/2,5" for id 1 and id 2
// with weight 5.
func nexthopGroup(g string) string {
	var out []string
	for b := []byte(g); len(b) >= 8; b = b[8:] {
		s := strconv.FormatUint(uint64(ne.Uint32(b)), 10)
		if w := int(b[4]) + 1; w > 1 {
			s += "," + strconv.Itoa(w)
		}
		out = append(out, s)
	}
	return strings.Join(out, "/")
}

// FormatMessage prints a message for a monitor: "+ addr …" for what is there
// now, "- route …" for what went, and its type for a message that is about
// nothing of ours or cannot be read.
func FormatMessage(h Header, body []byte, names func(ifindex uint32) string) string {
	kind, deleted := KindOf(h.Type)
	var text string
	var err error
	switch kind {
	case KindLink:
		text, err = formatBody(body, names, DecodeLink, FormatLink)
	case KindAddr:
		text, err = formatBody(body, names, DecodeAddr, FormatAddr)
	case KindNeigh:
		text, err = formatBody(body, names, DecodeNeigh, FormatNeigh)
	case KindRoute:
		text, err = formatBody(body, names, DecodeRoute, FormatRoute)
	case KindRule:
		text, err = formatBody(body, names, DecodeRule, FormatRule)
	case KindNexthop:
		text, err = formatBody(body, names, DecodeNexthop, FormatNexthop)
	default:
		return fmt.Sprintf("? %s of %d octets", typeName(h.Type), h.Len)
	}
	switch {
	case err != nil:
		return fmt.Sprintf("? %s: %v", typeName(h.Type), err)
	case deleted:
		return "- " + text
	}
	return "+ " + text
}

func formatBody[T any](body []byte, names func(uint32) string, decode func([]byte, *T) error, format func(*T, func(uint32) string) string) (string, error) {
	var v T
	if err := decode(body, &v); err != nil {
		return "", err
	}
	return format(&v, names), nil
}
