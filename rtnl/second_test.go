package rtnl

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The second opinion: what vishvananda/netlink reads from a dump of its own,
// printed like what we read from ours, with every field that both have.

func text(a netip.Addr) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return "none"
	}
	return p.String()
}

func ipText(ip net.IP) string {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return "none"
	}
	return a.Unmap().String()
}

func netText(n *net.IPNet) string {
	if n == nil {
		return "none"
	}
	return n.String()
}

func gatewayText(ip net.IP, via netlink.Destination) string {
	if v, ok := via.(*netlink.Via); ok {
		ip = v.Addr
	}
	return ipText(ip)
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (w *world) printLinks() (ours, theirs []string) {
	w.Helper()
	const format = "%d %s %s mtu %d qlen %d hw %v perm %v flags %#x master %d parent %d nsid %d group %d state %d promisc %d port %q %s"
	for _, l := range w.links() {
		kind, hw := l.Kind, l.Addr.String()
		if kind == "" {
			kind = "device"
		}
		if l.Flags&unix.IFF_LOOPBACK != 0 {
			hw = "" // the other library takes all zeros for none
		}
		more := ""
		switch kind {
		case kindBridge:
			b := l.Bridge
			more = fmt.Sprintln(b.McastSnooping, b.AgeingTime, b.HelloTime, b.VLANFiltering, b.DefaultPVID)
		case kindVLAN:
			more = fmt.Sprintln(l.VLAN.ID, l.VLAN.Protocol, mappingText(l.VLAN.Ingress), mappingText(l.VLAN.Egress), l.VLAN.Flags&1 != 0, l.VLAN.Flags&2 != 0, l.VLAN.Flags&4 != 0)
		case kindMACVLAN:
			more = fmt.Sprint(l.MACVLAN.Mode)
		case kindVRF:
			more = fmt.Sprint(l.VRFTable)
		}
		port := ""
		if l.PortKind == kindVRF || l.PortKind == "bond" {
			port = l.PortKind // the only ones that the other library has
		}
		ours = append(ours, fmt.Sprintf(format, l.Index, l.Name, kind, l.MTU, l.TxQLen, hw, l.PermAddr, l.Flags, l.Master, l.Parent, l.ParentNSID,
			l.Group, l.OperState, l.Promiscuity, port, more))
	}
	w.other(func(h *netlink.Handle) error {
		all, err := h.LinkList()
		for _, l := range all {
			a, more, port := l.Attrs(), "", ""
			switch x := l.(type) {
			case *netlink.Bridge:
				more = fmt.Sprintln(deref(x.MulticastSnooping), deref(x.AgeingTime), deref(x.HelloTime), deref(x.VlanFiltering), deref(x.VlanDefaultPVID))
			case *netlink.Vlan:
				more = fmt.Sprintln(x.VlanId, int(x.VlanProtocol), x.IngressQosMap, x.EgressQosMap, deref(x.ReorderHdr), deref(x.Gvrp), deref(x.LooseBinding))
			case *netlink.Macvlan:
				more = map[netlink.MacvlanMode]string{netlink.MACVLAN_MODE_BRIDGE: "4", netlink.MACVLAN_MODE_PRIVATE: "1"}[x.Mode]
			case *netlink.Vrf:
				more = fmt.Sprint(x.Table)
			}
			if a.Slave != nil {
				port = a.Slave.SlaveType()
			}
			theirs = append(theirs, fmt.Sprintf(format, a.Index, a.Name, l.Type(), a.MTU, a.TxQLen, a.HardwareAddr, a.PermHWAddr, a.RawFlags, a.MasterIndex, a.ParentIndex,
				a.NetNsID, a.Group, a.OperState, a.Promisc, port, more))
		}
		return err
	})
	return ours, theirs
}

// mappingText prints VLAN priority mappings as a map.
func mappingText(s string) string {
	m := map[uint32]uint32{}
	for b := []byte(s); len(b) >= sizeofQoSMapping; b = b[sizeofQoSMapping:] {
		m[ne.Uint32(b)] = ne.Uint32(b[4:])
	}
	if len(m) == 0 {
		return fmt.Sprint(map[uint32]uint32(nil))
	}
	return fmt.Sprint(m)
}

func (w *world) printAddrs() (ours, theirs []string) {
	w.Helper()
	const format = "%d %v/%d peer %s brd %s label %q scope %d flags %#x preferred %d valid %d"
	lifetime := func(v int) int { return (v + 9) / 10 } // the two dumps are not taken at once
	for _, a := range dumpAll(w, KindAddr, Filter{}, DecodeAddr) {
		bits, peer := int(a.PrefixLen), "none"
		if a.Peer.IsValid() {
			peer, bits = netip.PrefixFrom(a.Peer, bits).String(), a.Local.BitLen()
		}
		ours = append(ours, fmt.Sprintf(format, a.Index, a.Local, bits, peer, text(a.Broadcast), a.Label, a.Scope, a.Flags, lifetime(int(a.Preferred)), lifetime(int(a.Valid))))
	}
	w.other(func(h *netlink.Handle) error {
		all, err := h.AddrList(nil, netlink.FAMILY_ALL)
		for _, a := range all {
			bits, _ := a.Mask.Size()
			theirs = append(theirs, fmt.Sprintf(format, a.LinkIndex, a.IP, bits, netText(a.Peer), ipText(a.Broadcast), a.Label, a.Scope, a.Flags, lifetime(a.PreferedLft), lifetime(a.ValidLft)))
		}
		return err
	})
	return ours, theirs
}

// encapText prints an encapsulation in the other library's words, from the
// octets that we keep.
func encapText(w *world, encap string) string {
	if encap == "" {
		return "none"
	}
	var e netlink.Encap
	switch typ := ne.Uint16([]byte(encap)); typ {
	case encapMPLS:
		var labels []string
		for _, l := range Labels(unix.AF_INET, encap) {
			labels = append(labels, fmt.Sprint(l))
		}
		return "1 " + strings.Join(labels, "/")
	case 5: // LWTUNNEL_ENCAP_SEG6
		e = &netlink.SEG6Encap{}
	default:
		return "none" // the other library knows no other
	}
	if err := e.Decode([]byte(encap[2:])); err != nil {
		w.Errorf("encapsulation %x: %v", encap, err)
	}
	return fmt.Sprint(e.Type(), " ", e)
}

func theirEncap(e netlink.Encap) string {
	if e == nil {
		return "none"
	}
	return fmt.Sprint(e.Type(), " ", e)
}

// metricsText prints what RTA_METRICS has besides the MTU.
func metricsText(s string) string {
	m := map[int]string{}
	c := attributes([]byte(s))
	for c.Next() {
		if c.Type == unix.RTAX_CC_ALGO {
			m[int(c.Type)] = c.Str()
		} else {
			m[int(c.Type)] = fmt.Sprint(c.U32())
		}
	}
	return fmt.Sprint(m)
}

func theirMetrics(r *netlink.Route) string {
	m := map[int]string{}
	for typ, v := range map[int]int{
		unix.RTAX_WINDOW: r.Window, unix.RTAX_RTT: r.Rtt, unix.RTAX_RTTVAR: r.RttVar, unix.RTAX_SSTHRESH: r.Ssthresh, unix.RTAX_CWND: r.Cwnd,
		unix.RTAX_ADVMSS: r.AdvMSS, unix.RTAX_REORDERING: r.Reordering, unix.RTAX_HOPLIMIT: r.Hoplimit, unix.RTAX_INITCWND: r.InitCwnd,
		unix.RTAX_FEATURES: r.Features, unix.RTAX_RTO_MIN: r.RtoMin, unix.RTAX_INITRWND: r.InitRwnd, unix.RTAX_QUICKACK: r.QuickACK,
		unix.RTAX_FASTOPEN_NO_COOKIE: r.FastOpenNoCookie,
	} {
		if v != 0 {
			m[typ] = fmt.Sprint(v)
		}
	}
	if r.Congctl != "" {
		m[unix.RTAX_CC_ALGO] = r.Congctl
	}
	return fmt.Sprint(m)
}

const (
	routeLine = "%v dev %d iif %d gw %s src %s prio %d table %d proto %d scope %d type %d tos %d mtu %d lock %v flags %#x realm %d encap %s metrics %s hops %v"
	hopLine   = "[%d %d %s %#x %s]"
)

// printRoutes prints every route of the families.
func (w *world) printRoutes(families ...uint8) func() (ours, theirs []string) {
	return func() (ours, theirs []string) {
		w.Helper()
		for _, r := range dumpAll(w, KindRoute, Filter{}, DecodeRoute) {
			if slices.Contains(families, r.Family) {
				ours = append(ours, w.ourRoute(&r))
			}
		}
		w.other(func(h *netlink.Handle) error {
			for _, family := range families {
				list, err := h.RouteListFiltered(int(family), &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
				if err != nil {
					return err
				}
				for _, r := range list {
					theirs = append(theirs, theirRoute(&r))
				}
			}
			return nil
		})
		return ours, theirs
	}
}

func (w *world) ourRoute(r *Route) string {
	var hops []string
	list, err := Hops(r.Multipath)
	if err != nil {
		w.Fatal(err)
	}
	encap := func(s string) string {
		if r.Family == unix.AF_MPLS {
			return fmt.Sprint(Labels(r.Family, s))
		}
		return encapText(w, s)
	}
	for _, h := range list {
		e := encap(h.Encap)
		if strings.HasPrefix(e, "5 ") {
			e = "none" // in a hop the other library reads labels only
		}
		hops = append(hops, fmt.Sprintf(hopLine, h.Oif, h.Weight, text(h.Gateway), h.Flags, e))
	}
	slices.Sort(hops)
	dst := r.Dst.String()
	if r.Family == unix.AF_MPLS {
		dst = fmt.Sprint("label ", r.Label)
	}
	return fmt.Sprintf(routeLine, dst, r.Oif, r.Iif, text(r.Gateway), text(r.PrefSrc), r.Priority, r.Table, r.Protocol, r.Scope, r.Type, r.TOS,
		r.MTU, r.MTULock, r.Flags, r.Realm, encap(r.Encap), metricsText(r.Metrics), hops)
}

func theirRoute(r *netlink.Route) string {
	encap := func(e netlink.Encap, d netlink.Destination) string {
		if r.Family == unix.AF_MPLS {
			if m, ok := d.(*netlink.MPLSDestination); ok {
				return fmt.Sprint(m.Labels)
			}
			return "[]"
		}
		return theirEncap(e)
	}
	var hops []string
	for _, n := range r.MultiPath {
		hops = append(hops, fmt.Sprintf(hopLine, n.LinkIndex, n.Hops, gatewayText(n.Gw, n.Via), n.Flags, encap(n.Encap, n.NewDst)))
	}
	slices.Sort(hops)
	dst := netText(r.Dst)
	if r.MPLSDst != nil {
		dst = fmt.Sprint("label ", *r.MPLSDst)
	}
	return fmt.Sprintf(routeLine, dst, r.LinkIndex, r.ILinkIndex, gatewayText(r.Gw, r.Via), ipText(r.Src), r.Priority, r.Table, int(r.Protocol), int(r.Scope), r.Type, r.Tos,
		r.MTU, r.MTULock, r.Flags, r.Realm, encap(r.Encap, r.NewDst), theirMetrics(r), hops)
}

const ruleLine = "%d: family %d table %d mark %#x/%#x src %s dst %s iif %q oif %q goto %d invert %v proto %d suppress %d %d tos %d tun %d realm %d ipproto %d sport %s dport %s uid %s"

func (w *world) printRules() (ours, theirs []string) {
	w.Helper()
	ports := func(a, b any) string { return fmt.Sprintf("%d-%d", a, b) }
	for _, r := range dumpAll(w, KindRule, Filter{}, DecodeRule) {
		if !isIP(r.Family) {
			continue // the rules of multicast routing
		}
		uid := "none"
		if r.HasUID {
			uid = ports(r.UIDStart, r.UIDEnd)
		}
		ours = append(ours, fmt.Sprintf(ruleLine, r.Priority, r.Family, r.Table, r.Mark, r.Mask, prefixText(r.Src), prefixText(r.Dst), r.IifName, r.OifName,
			r.Goto, r.Flags&unix.FIB_RULE_INVERT != 0, r.Protocol, r.SuppressPL, r.SuppressIG, r.TOS, r.TunID, r.Realm, r.IPProto,
			ports(r.SportStart, r.SportEnd), ports(r.DportStart, r.DportEnd), uid))
	}
	w.other(func(h *netlink.Handle) error {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			list, err := h.RuleList(family)
			if err != nil {
				return err
			}
			for _, r := range list {
				uid := "none"
				if r.UIDRange != nil {
					uid = ports(r.UIDRange.Start, r.UIDRange.End)
				}
				// It reads the tunnel in the machine's byte order; the kernel has it in
				// the network's (ip says "tun_id 5").
				sport, dport := deref(r.Sport), deref(r.Dport)
				theirs = append(theirs, fmt.Sprintf(ruleLine, max(r.Priority, 0), family, max(r.Table, 0), r.Mark, deref(r.Mask), netText(r.Src), netText(r.Dst), r.IifName, r.OifName,
					max(r.Goto, 0), r.Invert, r.Protocol, r.SuppressPrefixlen, r.SuppressIfgroup, r.Tos, be.Uint64(ne.AppendUint64(nil, uint64(r.TunID))), max(r.Flow, 0), r.IPProto,
					ports(sport.Start, sport.End), ports(dport.Start, dport.End), uid))
			}
		}
		return nil
	})
	return ours, theirs
}

// printNeighs prints neighbours, proxies and forwarding entries.
func (w *world) printNeighs() (ours, theirs []string) {
	w.Helper()
	const format = "%d family %d %s %v state %#x flags %#x %#x type %d vlan %d vni %d master %d"
	for _, f := range []Filter{{}, {Family: unix.AF_BRIDGE}, {Family: unix.AF_INET, Proxy: true}, {Family: unix.AF_INET6, Proxy: true}} {
		for _, n := range dumpAll(w, KindNeigh, f, DecodeNeigh) {
			ours = append(ours, fmt.Sprintf(format, n.Index, n.Family, text(n.Dst), n.LLAddr, n.State, n.Flags, n.ExtFlags, n.Type, n.VLAN, n.VNI, n.Master))
		}
	}
	w.other(func(h *netlink.Handle) error {
		for family, lists := range map[int][]func(int, int) ([]netlink.Neigh, error){
			unix.AF_INET: {h.NeighList, h.NeighProxyList}, unix.AF_INET6: {h.NeighList, h.NeighProxyList}, unix.AF_BRIDGE: {h.NeighList},
		} {
			for _, fn := range lists {
				list, err := fn(0, family)
				if err != nil {
					return err
				}
				for _, n := range list {
					theirs = append(theirs, fmt.Sprintf(format, n.LinkIndex, n.Family, ipText(n.IP), n.HardwareAddr, n.State, n.Flags, n.FlagsExt, n.Type, n.Vlan, n.VNI, n.MasterIndex))
				}
			}
		}
		return nil
	})
	return ours, theirs
}
