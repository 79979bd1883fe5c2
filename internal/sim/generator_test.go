package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// generator makes operations that are likely to mean something in the world
// as it is, and some that do not.
type generator struct {
	*rand.Rand
	seed  uint64
	index uint32
	names int
	vlans bool
	// settings: files whose changes are announced are written to often.
	settings bool
	mpls     bool // and those of MPLS
}

func newGenerator(seed uint64, vlans bool) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 1)), seed: seed, index: 9, vlans: vlans}
}

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

func sysctl(path, value string) *operation {
	path = sysctlRoot + path
	return &operation{text: "sysctl " + path + " = " + value, do: func(b *both) (error, error) {
		return b.k.WriteSysctl(path, value), b.r.writeSysctl(path, value)
	}}
}

// setup leaves nothing to chance: no random delay before duplicate address
// detection and no router solicitation; a quarter of the sequences have the
// detection itself.
func (g *generator) setup() []*operation {
	acceptDAD := "0"
	if g.seed%4 == 0 {
		acceptDAD = "1"
	}
	promote := fmt.Sprint(g.seed % 2)
	return []*operation{
		sysctl("ipv6/conf/default/router_solicitation_delay", "0"), sysctl("ipv6/conf/default/router_solicitations", "0"),
		sysctl("ipv6/conf/default/dad_transmits", "0"), sysctl("ipv6/conf/default/accept_dad", acceptDAD),
		sysctl("ipv6/conf/default/addr_gen_mode", pick(g, "0", "0", "1")),
		sysctl("ipv4/conf/all/promote_secondaries", "0"), sysctl("ipv4/conf/default/promote_secondaries", promote),
		sysctl("ipv4/conf/all/forwarding", "0"), sysctl("ipv4/conf/all/ignore_routes_with_linkdown", "0"),
		sysctl("ipv4/conf/default/ignore_routes_with_linkdown", pick(g, "0", "0", "1")),
		g.addHardware(), g.addVeth(), g.addBridge(),
	}
}

func (g *generator) next(k *Kernel) *operation {
	type choice struct {
		weight int
		make   func(k *Kernel) *operation
	}
	choices := []choice{
		{1, func(*Kernel) *operation { return g.addHardware() }}, {1, g.removeHardware}, {3, g.carrier},
		{2, func(*Kernel) *operation { return g.addVeth() }}, {1, func(*Kernel) *operation { return g.addBridge() }},
		{2, g.addMACVLAN}, {2, g.delLink}, {14, g.upDown}, {2, g.setMTU}, {2, g.setMAC}, {1, g.rename}, {5, g.setMaster},
		{2, g.setBridge}, {2, g.setPort}, {2, g.setOther}, {14, g.addr4}, {8, g.addr6}, {14, g.route4}, {9, g.route6}, {2, g.rule}, {3, g.setting},
	}
	if g.settings {
		choices = append(choices, choice{30, g.announced})
	}
	if g.vlans {
		choices = append(choices, choice{12, g.addVLAN}, choice{3, g.setVLAN})
	}
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	for {
		at := g.IntN(total)
		for _, c := range choices {
			if at -= c.weight; at < 0 {
				if op := c.make(k); op != nil {
					return op
				}
				break
			}
		}
	}
}

func (g *generator) mac() rtnl.HWAddr {
	return rtnl.MAC([6]byte{2, byte(g.IntN(256)), byte(g.IntN(256)), byte(g.IntN(256)), byte(g.IntN(256)), byte(g.IntN(256))})
}

func (g *generator) newIndex() uint32 {
	g.index++
	return g.index
}

func (g *generator) name(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

func (g *generator) anyLink(k *Kernel) *link {
	if g.vlans && g.one(2) {
		if l := g.vlanOrBelow(k); l != nil {
			return l
		}
	}
	return k.order[g.IntN(len(k.order))]
}

func (g *generator) ofKind(k *Kernel, kind string) *link {
	var ls []*link
	for _, l := range k.order {
		if l.Kind == kind && l != k.lo {
			ls = append(ls, l)
		}
	}
	if len(ls) == 0 {
		return nil
	}
	return ls[g.IntN(len(ls))]
}

func (g *generator) addHardware() *operation {
	name, index, mac := g.name("h"), g.newIndex(), g.mac()
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: index, Addr: mac}, Set: rtnl.LinkAddr}
	return &operation{text: fmt.Sprintf("hardware %s index %d", name, index), do: func(b *both) (sim, truth error) {
		truth = b.r.addHardware(name, index, mac)
		b.k.macs = append(b.k.macs, b.r.mac(index))
		_, sim = b.k.addHardware(name, index, b.k.randomMAC())
		msg := rtnl.AppendLink(nil, unix.RTM_SETLINK, 0, 0, &r)
		if sim == nil && truth == nil {
			if e := b.k.Request(msg); e != nil {
				sim = e
			}
			if e := b.r.request(msg); e != nil {
				truth = e
			}
		}
		return sim, truth
	}}
}

func (g *generator) removeHardware(k *Kernel) *operation {
	l := g.ofKind(k, "")
	if l == nil {
		return nil
	}
	name, tap := l.Name, tapName(l)
	return &operation{text: "remove " + name, do: func(b *both) (error, error) {
		b.r.removeHardware(tap)
		// a tap loses its carrier first, in the same breath
		b.k.setCarrier(b.k.byName[name], false)
		return b.k.RemoveHardware(name), nil
	}}
}

// tapName is the name that the tap had when it was made: the index tells.
func tapName(l *link) string { return fmt.Sprint(l.Index) }

func (g *generator) carrier(k *Kernel) *operation {
	l := g.ofKind(k, "")
	if l == nil {
		return nil
	}
	name, tap, on := l.Name, tapName(l), !l.carrier
	return &operation{text: fmt.Sprintf("carrier %s %v", name, on), do: func(b *both) (error, error) {
		return b.k.SetCarrier(name, on), b.r.setCarrier(tap, on)
	}}
}

func request(typ, flags uint16, r *rtnl.LinkRequest) *operation {
	msg := rtnl.AppendLink(nil, typ, flags|unix.NLM_F_ACK|unix.NLM_F_REQUEST, 1, r)
	return &operation{msg: msg, text: fmt.Sprintf("type %d flags %#x: %s set %v kind %q", typ, flags, rtnl.FormatLink(&r.Link, nil), r.Set, r.Kind)}
}

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

func (g *generator) addVeth() *operation {
	r := rtnl.LinkRequest{Link: rtnl.Link{Kind: kindVeth, Index: g.newIndex(), Name: g.name("v"), Addr: g.mac()},
		Set: rtnl.LinkName | rtnl.LinkAddr, Peer: &rtnl.VethPeer{Name: g.name("p"), Index: g.newIndex(), Addr: g.mac()}}
	if g.one(4) {
		r.Set |= rtnl.LinkUp
		r.Flags = unix.IFF_UP
	}
	if g.one(8) {
		r.Set |= rtnl.LinkMTU
		r.MTU = pick[uint32](g, 1400, 1200)
	}
	return request(unix.RTM_NEWLINK, create, &r)
}

func (g *generator) addBridge() *operation {
	r := rtnl.LinkRequest{Link: rtnl.Link{Kind: kindBridge, Index: g.newIndex(), Name: g.name("b"), Addr: g.mac()}, Set: rtnl.LinkName}
	learn := r.Index
	if g.one(2) {
		r.Set |= rtnl.LinkAddr
		learn = 0
	}
	if g.one(3) {
		g.bridgeSettings(&r)
	}
	if g.one(4) {
		r.Set |= rtnl.LinkUp
		r.Flags = unix.IFF_UP
	}
	op := request(unix.RTM_NEWLINK, create, &r)
	op.learn = learn
	return op
}

func (g *generator) addMACVLAN(k *Kernel) *operation {
	r := rtnl.LinkRequest{Link: rtnl.Link{Kind: kindMACVLAN, Index: g.newIndex(), Name: g.name("m"), Addr: g.mac(), Parent: g.anyLink(k).Index,
		MACVLAN: rtnl.MACVLAN{Mode: pick[uint32](g, 1, 2, 4)}}, Set: rtnl.LinkName | rtnl.LinkAddr | rtnl.LinkParent | rtnl.MACVLANMode}
	if g.one(10) {
		r.Parent = 99
	}
	return request(unix.RTM_NEWLINK, create, &r)
}

func (g *generator) delLink(k *Kernel) *operation {
	l := g.anyLink(k)
	if l.Kind == "" && l != k.lo {
		return nil
	}
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: l.Index}}
	if g.one(10) {
		r.Index = 98
	}
	return request(unix.RTM_DELLINK, 0, &r)
}

func (g *generator) upDown(k *Kernel) *operation {
	l := g.anyLink(k)
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: l.Index}, Set: rtnl.LinkUp}
	if !l.up() || g.one(8) {
		r.Flags = unix.IFF_UP
	}
	return request(pick[uint16](g, unix.RTM_NEWLINK, unix.RTM_SETLINK), 0, &r)
}

func (g *generator) change(k *Kernel, set rtnl.LinkField, fill func(r *rtnl.LinkRequest)) *operation {
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: g.anyLink(k).Index}, Set: set}
	fill(&r)
	return request(unix.RTM_NEWLINK, 0, &r)
}

func (g *generator) setMTU(k *Kernel) *operation {
	return g.change(k, rtnl.LinkMTU, func(r *rtnl.LinkRequest) {
		r.MTU = pick[uint32](g, 1500, 1500, 1400, 1280, 1279, 1000, 68, 67, 9000, 65535, 70000)
	})
}

func (g *generator) setMAC(k *Kernel) *operation {
	if g.one(6) {
		m := g.anyLink(k).Addr
		return g.change(k, rtnl.LinkAddr, func(r *rtnl.LinkRequest) { r.Addr = m })
	}
	return g.change(k, rtnl.LinkAddr, func(r *rtnl.LinkRequest) {
		r.Addr = g.mac()
		if g.one(8) {
			r.Addr.B[0] |= 1
		}
	})
}

func (g *generator) rename(k *Kernel) *operation {
	name := g.name("n")
	if g.one(4) {
		name = g.anyLink(k).Name
	}
	if g.one(8) {
		name = pick(g, "a/b", "dot.ok", ".", "way-too-long-name", "n%d")
	}
	return g.change(k, rtnl.LinkName, func(r *rtnl.LinkRequest) { r.Name = name })
}

func (g *generator) setMaster(k *Kernel) *operation {
	var master uint32
	if b := g.ofKind(k, kindBridge); b != nil && !g.one(4) {
		master = b.Index
	}
	if g.one(12) {
		master = g.anyLink(k).Index
	}
	if g.one(12) {
		master = 97
	}
	op := g.change(k, rtnl.LinkMaster, func(r *rtnl.LinkRequest) {
		r.Master = master
		if g.one(4) {
			r.Set |= rtnl.LinkUp
			r.Flags = pick[uint32](g, unix.IFF_UP, 0)
		}
	})
	return op
}

func (g *generator) bridgeSettings(r *rtnl.LinkRequest) {
	fields := []rtnl.LinkField{rtnl.BridgeForwardDelay, rtnl.BridgeHelloTime, rtnl.BridgeMaxAge, rtnl.BridgeAgeingTime,
		rtnl.BridgePriority, rtnl.BridgeMcastRouter, rtnl.BridgeMcastSnooping, rtnl.BridgeMcastQuerier, rtnl.BridgeHashMax,
		rtnl.BridgeLastMemberCount, rtnl.BridgeStartupQueryCount, rtnl.BridgeLastMemberInterval, rtnl.BridgeMembershipInterval,
		rtnl.BridgeQuerierInterval, rtnl.BridgeQueryInterval, rtnl.BridgeQueryResponseInterval, rtnl.BridgeStartupQueryInterval}
	for range 1 + g.IntN(3) {
		r.Set |= pick(g, fields...)
	}
	if g.one(15) {
		r.Set |= rtnl.BridgeVLANFiltering
	}
	time := func() uint32 {
		return uint32(pick(g, 0, 50, 99, 100, 133, 200, 601, 1234, 3000, 4000, 4100, 12345, 30000))
	}
	r.Bridge = rtnl.Bridge{
		ForwardDelay: time(), HelloTime: time(), MaxAge: time(), AgeingTime: time(), Priority: uint16(g.IntN(65536)),
		McastRouter: uint8(g.IntN(4)), McastSnooping: g.one(2), McastQuerier: g.one(2), HashMax: pick[uint32](g, 512, 1000),
		LastMemberCount: uint32(g.IntN(5)), StartupQueryCount: uint32(g.IntN(5)), LastMemberInterval: uint64(time()),
		MembershipInterval: uint64(time()), QuerierInterval: uint64(time()), QueryInterval: uint64(time()),
		QueryResponseInterval: uint64(time()), StartupQueryInterval: uint64(time()),
	}
	// what the kernel refuses comes alone: a request that fails in its middle
	// leaves silent changes, see setBridge
	for _, refused := range []struct {
		field rtnl.LinkField
		is    bool
	}{
		{rtnl.BridgeForwardDelay, r.Bridge.ForwardDelay < 200 || r.Bridge.ForwardDelay > 3000},
		{rtnl.BridgeHelloTime, r.Bridge.HelloTime < 100 || r.Bridge.HelloTime > 1000},
		{rtnl.BridgeMaxAge, r.Bridge.MaxAge < 600 || r.Bridge.MaxAge > 4000},
		{rtnl.BridgeMcastRouter, r.Bridge.McastRouter > 2},
		{rtnl.BridgeVLANFiltering, true},
	} {
		if r.Set&refused.field != 0 && refused.is {
			r.Set = r.Set&^rtnl.BridgeFields | refused.field
			break
		}
	}
}

func (g *generator) setBridge(k *Kernel) *operation {
	b := g.ofKind(k, kindBridge)
	if b == nil || g.one(15) {
		b = g.anyLink(k)
	}
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: b.Index, Kind: kindBridge}}
	g.bridgeSettings(&r)
	if b.Kind == kindBridge && !b.up() {
		// otherwise it is silent (TestTruthSilent), until a change of features
		// that is not simulated brings it to light
		g.names++
		r.Set |= rtnl.LinkTxQLen
		r.TxQLen = 1000 + uint32(g.names)
	}
	if g.one(8) && !b.up() && len(b.ports) == 0 {
		r.Set = r.Set&^rtnl.BridgeFields | rtnl.BridgeSTP
		r.Bridge.STP = uint32(g.IntN(2))
	}
	return request(unix.RTM_NEWLINK, 0, &r)
}

func (g *generator) setPort(k *Kernel) *operation {
	b := g.ofKind(k, kindBridge)
	if b == nil || len(b.ports) == 0 {
		return nil
	}
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: b.ports[g.IntN(len(b.ports))].Index, PortKind: kindBridge}}
	for range 1 + g.IntN(3) {
		r.Set |= pick(g, rtnl.PortPriority, rtnl.PortCost, rtnl.PortHairpin, rtnl.PortGuard, rtnl.PortRootBlock, rtnl.PortFastLeave,
			rtnl.PortLearning, rtnl.PortUnicastFlood, rtnl.PortMcastFlood, rtnl.PortBcastFlood, rtnl.PortMcastToUnicast,
			rtnl.PortNeighSuppress, rtnl.PortIsolated, rtnl.PortMcastRouter)
	}
	r.Port = rtnl.Port{Priority: uint16(g.IntN(70)), Cost: pick[uint32](g, 0, 1, 100, 65535, 65536), Hairpin: g.one(2), Guard: g.one(2),
		RootBlock: g.one(2), FastLeave: g.one(2), Learning: g.one(2), UnicastFlood: g.one(2), McastFlood: g.one(2), BcastFlood: g.one(2),
		McastToUnicast: g.one(2), NeighSuppress: g.one(2), Isolated: g.one(2), McastRouter: uint8(g.IntN(4))}
	return request(unix.RTM_NEWLINK, 0, &r)
}

func (g *generator) setOther(k *Kernel) *operation {
	return g.change(k, 0, func(r *rtnl.LinkRequest) {
		for range 1 + g.IntN(2) {
			r.Set |= pick(g, rtnl.LinkGroup, rtnl.LinkTxQLen, rtnl.LinkMulticast, rtnl.LinkARP, rtnl.LinkPromisc, rtnl.LinkAllMulti,
				rtnl.LinkAddrGenMode)
		}
		r.Group, r.TxQLen, r.AddrGenMode = uint32(g.IntN(3)), uint32(g.IntN(3)*500), uint8(g.IntN(3))
		if r.Index == k.lo.Index {
			r.Set &^= rtnl.LinkARP
		}
		for _, f := range []uint32{unix.IFF_MULTICAST, unix.IFF_NOARP, unix.IFF_PROMISC, unix.IFF_ALLMULTI} {
			if g.one(2) {
				r.Flags |= f
			}
		}
	})
}

func (g *generator) setting(k *Kernel) *operation {
	l := g.anyLink(k)
	on := fmt.Sprint(g.IntN(2))
	switch g.IntN(9) {
	case 0:
		return sysctl("ipv4/conf/"+l.Name+"/promote_secondaries", on)
	case 1:
		return sysctl("ipv6/conf/"+l.Name+"/disable_ipv6", on)
	case 2:
		return sysctl("ipv6/conf/"+l.Name+"/addr_gen_mode", pick(g, "0", "1", "2", "7", "x"))
	case 3:
		return sysctl("ipv6/conf/"+l.Name+"/keep_addr_on_down", on)
	case 4:
		return sysctl("ipv6/conf/"+l.Name+"/forwarding", on)
	case 5:
		return sysctl("ipv6/conf/all/forwarding", on)
	case 6:
		return sysctl("ipv6/conf/"+l.Name+"/mtu", pick(g, "1279", "1280", "1500", "1501"))
	case 7:
		return sysctl("ipv6/conf/"+l.Name+"/hop_limit", pick(g, "0", "1", "255", "256"))
	}
	return sysctl("ipv6/conf/"+pick(g, "all", "default")+"/disable_ipv6", on)
}

// announced writes to a file whose changes are announced, or some of them.
func (g *generator) announced(k *Kernel) *operation {
	name := g.anyLink(k).Name
	if g.mpls && g.one(3) {
		return sysctl("mpls/conf/"+name+"/input", pick(g, "0", "1", "1", "2", "-1", "x"))
	}
	path := pick(g, "ipv4/conf/%s/ignore_routes_with_linkdown", "ipv6/conf/%s/ignore_routes_with_linkdown",
		"ipv4/conf/%s/forwarding", "ipv4/conf/%s/rp_filter", "ipv4/conf/%s/proxy_arp", "ipv4/conf/%s/bc_forwarding", "ipv6/conf/%s/proxy_ndp")
	return sysctl(fmt.Sprintf(path, pick(g, name, name, "all", "default")), pick(g, "0", "1", "1", "2"))
}

func (g *generator) rule(*Kernel) *operation {
	r := rtnl.Rule{Family: pick[uint8](g, unix.AF_INET, unix.AF_INET6), Priority: pick[uint32](g, 0, 100, 200, 32766),
		Table: pick[uint32](g, 254, 100, 77), Action: 1, SuppressPL: -1, SuppressIG: -1}
	if g.one(4) {
		r.Action, r.Table = pick[uint8](g, 6, 7, 8), 0
	}
	if g.one(3) {
		r.Mark = 7
	}
	if g.one(3) {
		r.IifName = pick(g, "lo", "none0")
	}
	if g.one(3) {
		r.Src = netip.MustParsePrefix("10.0.0.0/16")
		if r.Family == unix.AF_INET6 {
			r.Src = netip.MustParsePrefix("2001:db8::/32")
		}
	}
	typ, flags := uint16(unix.RTM_NEWRULE), uint16(create)
	if g.one(3) {
		typ, flags = unix.RTM_DELRULE, 0
	}
	return &operation{text: fmt.Sprintf("type %d: %s", typ, rtnl.FormatRule(&r, nil)),
		msg: rtnl.AppendRule(nil, typ, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK, 1, &r)}
}
