package rtnl

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

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
	if r.Iif != 0 {
		l.dev("iif", r.Iif)
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
	l.flags(r.Flags, routeFlagNames)
	l.realm(r.Realm)
	if r.TTLProp != 0 {
		l.add("ttl-propagate", [...]string{"disabled", "enabled"}[r.TTLProp&1^1])
	}
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

func (l *line) metrics(m string) {
	c := attributes([]byte(m))
	for c.Next() {
		switch {
		case c.Type == unix.RTAX_CC_ALGO:
			l.add("congctl", c.Str())
		case c.Type == unix.RTAX_LOCK:
			l.add("lock", hexNumber(uint64(c.U32())))
		case len(c.Val) == 4:
			l.add(metricNames.of(c.Type), strconv.FormatUint(uint64(c.U32()), 10))
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
		l.realm(h.Realm)
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
	if r.HasDSCP {
		l.add("dscp", strconv.Itoa(int(r.DSCP))+maskText(uint64(r.DSCPMask)))
	}
	if r.HasFlowLabel {
		l.add("flowlabel", hexNumber(uint64(r.FlowLabel))+maskText(uint64(r.FlowLabelMask)))
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
	l.ports("sport", r.SportStart, r.SportEnd, r.SportMask)
	l.ports("dport", r.DportStart, r.DportEnd, r.DportMask)
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
	l.realm(r.Realm)
	if r.Protocol != 0 {
		l.add("proto", routeProtocols.of(r.Protocol))
	}
	l.flags(r.Flags, ruleFlagNames)
	return l.String()
}

// realm appends a destination realm, with a source realm before it.
func (l *line) realm(v uint32) {
	switch {
	case v == 0:
	case v>>16 != 0:
		l.add("realm", fmt.Sprintf("%d/%d", v>>16, v&0xffff))
	default:
		l.num("realm", uint64(v))
	}
}

// maskText is a mask after a value, nothing for the mask of all bits.
func maskText(mask uint64) string {
	if mask == 0 {
		return ""
	}
	return "/" + hexNumber(mask)
}

func (l *line) ports(word string, first, last, mask uint16) {
	switch {
	case first == 0 && last == 0:
	case first == last:
		l.add(word, strconv.Itoa(int(first))+maskText(uint64(mask)))
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
	l.num("buckets", uint64(n.Resilient.Buckets))
	l.centiseconds("idle_timer", n.Resilient.IdleTimer)
	l.centiseconds("unbalanced_timer", n.Resilient.UnbalancedTimer)
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

// centiseconds appends a word and a time, nothing for none.
func (l *line) centiseconds(word string, v uint32) {
	if v != 0 {
		l.add(word, strconv.FormatFloat(float64(v)/userHZ, 'f', -1, 64)+"s")
	}
}

// nexthopGroup prints the entries of a group: "1/2,5" for id 1 and id 2 with
// weight 5.
func nexthopGroup(g string) string {
	var out []string
	for _, m := range GroupMembers(g) {
		s := strconv.FormatUint(uint64(m.ID), 10)
		if m.Weight > 1 {
			s += "," + strconv.FormatUint(uint64(m.Weight), 10)
		}
		out = append(out, s)
	}
	return strings.Join(out, "/")
}
