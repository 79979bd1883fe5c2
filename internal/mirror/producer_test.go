package mirror_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// The world that a producer changes: pairs of links, each with an IPv4 and an
// IPv6 network of its own, and a bridge.
const (
	pairs      = 4
	firstIndex = 100
	bridge     = 90
)

const (
	reqCreate  = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	reqReplace = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	reqAppend  = unix.NLM_F_CREATE | unix.NLM_F_APPEND
)

// producer makes requests, at random, that are likely to mean something.
type producer struct {
	*rand.Rand
	execute func(msgs [][]byte) []error
	sysctl  func(path, value string) error
	msgs    [][]byte
	done    int // requests that the kernel carried out
	refused map[unix.Errno]int
}

func newProducer(t testing.TB, ns *nstest.NS, seed uint64) *producer {
	t.Helper()
	conn, err := rtnl.DialNS(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &producer{Rand: rand.New(rand.NewPCG(seed, 0xbeef)), refused: map[unix.Errno]int{},
		execute: func(msgs [][]byte) []error { return conn.Execute(context.Background(), msgs) },
		sysctl: func(path, value string) error {
			return ns.Do(func() error { return os.WriteFile(path, []byte(value), 0o644) })
		}}
	p.settings(t, ns)
	p.world()
	return p
}

// world makes what there is in the beginning.
func (p *producer) world() {
	p.setLink(1, unix.IFF_UP)
	p.put(rtnl.AppendLink(nil, unix.RTM_NEWLINK, reqCreate, 0, &rtnl.LinkRequest{
		Link: rtnl.Link{Index: bridge, Name: "br", Kind: "bridge"}, Set: rtnl.LinkName}))
	p.setLink(bridge, unix.IFF_UP)
	for i := range pairs {
		p.addPair(i)
		p.heal(i)
	}
	p.flush()
}

// settings chooses how the kernel behaves.
func (p *producer) settings(t testing.TB, ns *nstest.NS) {
	t.Helper()
	flip := func() string { return fmt.Sprint(p.IntN(2)) }
	values := map[string]string{
		"ipv4/conf/all/promote_secondaries":             "0",
		"ipv4/conf/default/promote_secondaries":         flip(),
		"ipv4/nexthop_compat_mode":                      flip(),
		"ipv6/conf/default/accept_dad":                  flip(),
		"ipv6/conf/default/keep_addr_on_down":           flip(),
		"ipv6/conf/default/router_solicitations":        "0",
		"ipv4/conf/default/ignore_routes_with_linkdown": flip(),
	}
	err := ns.Do(func() error {
		for name, v := range values {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(v), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *producer) put(msg []byte) { p.msgs = append(p.msgs, msg) }

// flush sends what has been made.
func (p *producer) flush() {
	for _, err := range p.execute(p.msgs) {
		if e, ok := err.(*rtnl.Error); ok && e != nil {
			p.refused[e.Errno]++
		} else {
			p.done++
		}
	}
	p.msgs = p.msgs[:0]
}

// burst makes and sends n requests, in batches.
func (p *producer) burst(n int) {
	for n > 0 {
		size := min(n, 50+p.IntN(250))
		n -= size
		for range size {
			p.one()
		}
		if p.IntN(2) == 0 {
			p.heal(p.IntN(pairs))
		}
		p.flush()
	}
}

// routes makes and sends n requests about routes only: the fastest way to make
// a socket overflow.
func (p *producer) routes(n int) {
	for range n {
		p.route4()
	}
	p.flush()
}

func (p *producer) one() {
	choices := []struct {
		weight int
		do     func()
	}{
		{400, p.route4}, {200, p.route6}, {60, p.multipath4}, {60, p.multipath6}, {60, p.objectRoute}, {50, p.nexthop},
		{80, p.neigh}, {70, p.addr4}, {40, p.addr6}, {30, p.rule}, {25, p.upDown}, {12, p.linkAttr}, {3, p.recreate}, {8, p.setting},
	}
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	at := p.IntN(total)
	for _, c := range choices {
		if at -= c.weight; at < 0 {
			c.do()
			return
		}
	}
}

func pairIndex(i int) uint32 { return firstIndex + 2*uint32(i) }

func (p *producer) link() uint32 { return firstIndex + uint32(p.IntN(2*pairs)) }

func (p *producer) addPair(i int) {
	index := pairIndex(i)
	p.put(rtnl.AppendLink(nil, unix.RTM_NEWLINK, reqCreate, 0, &rtnl.LinkRequest{
		Link: rtnl.Link{Index: index, Name: fmt.Sprintf("v%d", i), Kind: "veth"}, Set: rtnl.LinkName,
		Peer: &rtnl.VethPeer{Name: fmt.Sprintf("p%d", i), Index: index + 1}}))
}

// heal gives a pair back what routes need.
func (p *producer) heal(i int) {
	index := pairIndex(i)
	p.setLink(index, unix.IFF_UP)
	p.setLink(index+1, unix.IFF_UP)
	p.putAddr(unix.RTM_NEWADDR, reqCreate, index, net4(i, 1), 24, netip.Addr{})
	p.putAddr(unix.RTM_NEWADDR, reqCreate, index+1, net4(i, 51), 24, netip.Addr{})
	p.putAddr(unix.RTM_NEWADDR, reqCreate, index, net6(i, 1), 64, netip.Addr{})
}

func (p *producer) setLink(index, flags uint32) {
	p.put(rtnl.AppendLink(nil, unix.RTM_SETLINK, 0, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: index, Flags: flags}, Set: rtnl.LinkUp}))
}

func net4(i, host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i), byte(host)}) }

func net6(i, host int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(i), 15: byte(host)})
}

func (p *producer) putAddr(typ, flags uint16, index uint32, ip netip.Addr, bits uint8, peer netip.Addr) {
	a := rtnl.Addr{Index: index, Family: family(ip), PrefixLen: bits, Local: ip, Peer: peer, Valid: rtnl.LifetimeForever, Preferred: rtnl.LifetimeForever}
	p.put(rtnl.AppendAddr(nil, typ, flags, 0, &a))
}

func family(ip netip.Addr) uint8 {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (p *producer) addr4() {
	i := p.IntN(pairs)
	index := pairIndex(i) + uint32(p.IntN(2))
	typ, flags := p.verb()
	host := 1 + p.IntN(4)
	if index != pairIndex(i) {
		host += 50
	}
	switch p.IntN(5) {
	case 0: // one that several links may have
		p.putAddr(typ, flags, p.link(), netip.AddrFrom4([4]byte{10, 77, 0, byte(1 + p.IntN(2))}), 32, netip.Addr{})
	case 1: // point to point
		p.putAddr(typ, flags, index, net4(i, host), 32, netip.AddrFrom4([4]byte{10, 9, byte(i), byte(p.IntN(3))}))
	case 2:
		p.putAddr(typ, flags, index, net4(i, host), 32, netip.Addr{})
	default: // mostly a secondary of another
		p.putAddr(typ, flags, index, net4(i, host), 24, netip.Addr{})
	}
}

func (p *producer) addr6() {
	i := p.IntN(pairs)
	typ, flags := p.verb()
	p.putAddr(typ, flags, pairIndex(i)+uint32(p.IntN(2)), net6(i, 1+p.IntN(4)), 64, netip.Addr{})
}

// verb is for kinds that are either there or not.
func (p *producer) verb() (typ, flags uint16) {
	switch p.IntN(5) {
	case 0, 1:
		return unix.RTM_NEWADDR + 1, 0
	case 2:
		return unix.RTM_NEWADDR, reqReplace
	}
	return unix.RTM_NEWADDR, reqCreate
}

func (p *producer) putRoute(r *rtnl.Route) {
	if r.Type == 0 {
		r.Type = unix.RTN_UNICAST
	}
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	r.Protocol = []uint8{unix.RTPROT_STATIC, unix.RTPROT_BOOT, 99}[p.IntN(3)]
	if r.Family == unix.AF_INET6 {
		// Siblings of one IPv6 route may have a protocol each; the kernel shows
		// one of them, and not always the same.
		r.Protocol = unix.RTPROT_STATIC
	}
	typ, flags := uint16(unix.RTM_NEWROUTE), uint16(reqCreate)
	switch p.IntN(12) {
	case 0, 1, 2:
		typ, flags = unix.RTM_DELROUTE, 0
		if p.IntN(2) == 0 {
			// whatever is there
			r.Protocol, r.Gateway, r.PrefSrc, r.Multipath, r.NHID, r.Oif, r.Type = 0, netip.Addr{}, netip.Addr{}, "", 0, 0, 0
		}
	case 3, 4, 5:
		flags = reqReplace
	case 6:
		flags = unix.NLM_F_REPLACE
	case 7:
		flags = reqAppend
	case 8:
		flags = unix.NLM_F_CREATE // before those that are there
	}
	if r.Type != unix.RTN_UNICAST && typ == unix.RTM_NEWROUTE {
		r.Gateway, r.Oif = netip.Addr{}, 0
	}
	p.put(rtnl.AppendRoute(nil, typ, flags, 0, r))
}

// prefix4 is one of few, so that requests meet.
func (p *producer) prefix4() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 100, byte(p.IntN(60)), 0}), 24)
}

// prefix6 is one of few. Those with gateways, which become siblings, and all
// others are kept apart: a dump does not show a route that stands between two
// siblings (fib6_dump_node, net/ipv6/ip6_fib.c, goes on after the last one).
func (p *producer) prefix6(siblings bool) netip.Prefix {
	n := 2 * p.IntN(20)
	if siblings {
		n++
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(n)}), 64)
}

func (p *producer) table() uint32 {
	return []uint32{unix.RT_TABLE_MAIN, unix.RT_TABLE_MAIN, 100}[p.IntN(3)]
}

func (p *producer) route4() {
	i := p.IntN(pairs)
	r := rtnl.Route{Family: unix.AF_INET, Dst: p.prefix4(), Table: p.table()}
	switch p.IntN(12) {
	case 0:
		r.Oif, r.Scope = p.link(), unix.RT_SCOPE_LINK
	case 1:
		r.Type = []uint8{unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT}[p.IntN(3)]
	case 2:
		r.Gateway, r.PrefSrc = net4(i, 100), net4(i, 1+p.IntN(3))
	case 3:
		r.Gateway, r.PrefSrc = net4(i, 100), netip.AddrFrom4([4]byte{10, 77, 0, 1})
	case 4:
		r.Gateway, r.MTU = net4(i, 100), 1400
	default:
		r.Gateway = net4(i, 100+p.IntN(4))
	}
	if p.IntN(4) == 0 {
		r.Priority = uint32(p.IntN(3))
	}
	if p.IntN(10) == 0 {
		r.TOS = 0x10
	}
	p.putRoute(&r)
}

func (p *producer) route6() {
	r := rtnl.Route{Family: unix.AF_INET6, Dst: p.prefix6(false), Table: p.table()}
	switch p.IntN(8) {
	case 0, 1:
		r.Oif = p.link()
	case 2:
		r.Type = []uint8{unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE}[p.IntN(2)]
	default:
		r.Dst, r.Gateway = p.prefix6(true), net6(p.IntN(pairs), 100+p.IntN(4))
	}
	if p.IntN(4) == 0 {
		r.Priority = 1 + uint32(p.IntN(3))
	}
	p.putRoute(&r)
}

func (p *producer) hops(gw func(i, host int) netip.Addr) string {
	hops := make([]rtnl.Hop, 2+p.IntN(3))
	for j := range hops {
		hops[j] = rtnl.Hop{Gateway: gw(p.IntN(pairs), 100+p.IntN(4)), Weight: uint8(p.IntN(2))}
	}
	return rtnl.AppendHops(hops)
}

func (p *producer) multipath4() {
	p.putRoute(&rtnl.Route{Family: unix.AF_INET, Dst: p.prefix4(), Table: p.table(), Multipath: p.hops(net4)})
}

func (p *producer) multipath6() {
	p.putRoute(&rtnl.Route{Family: unix.AF_INET6, Dst: p.prefix6(true), Table: p.table(), Multipath: p.hops(net6)})
}

// Next-hop objects: 1 to 8 are IPv4, 9 to 16 IPv6, 17 to 20 groups of the
// former, 21 to 24 of the latter.
func (p *producer) nexthop() {
	typ, flags := uint16(unix.RTM_NEWNEXTHOP), uint16(reqReplace)
	if p.IntN(4) == 0 {
		typ, flags = unix.RTM_DELNEXTHOP, 0
	}
	i := p.IntN(pairs)
	n := rtnl.Nexthop{ID: 1 + uint32(p.IntN(24))}
	switch {
	case n.ID <= 8:
		n.Family, n.Oif, n.Gateway = unix.AF_INET, pairIndex(i), net4(i, 100+p.IntN(4))
	case n.ID <= 16:
		n.Family, n.Oif, n.Gateway = unix.AF_INET6, pairIndex(i), net6(i, 100+p.IntN(4))
	default:
		first := uint32(1)
		if n.ID > 20 {
			first = 9
		}
		for j := range uint32(1 + p.IntN(3)) {
			n.Group += groupMember(first+2*j+uint32(p.IntN(2)), uint8(p.IntN(2)))
		}
	}
	if n.ID%8 == 1 && p.IntN(6) == 0 {
		n.Oif, n.Gateway, n.Blackhole = 0, netip.Addr{}, true
	}
	if typ == unix.RTM_DELNEXTHOP {
		n = rtnl.Nexthop{ID: n.ID}
	}
	p.put(rtnl.AppendNexthop(nil, typ, flags, 0, &n))
}

// groupMember is a struct nexthop_grp.
func groupMember(id uint32, weight uint8) string {
	return string([]byte{byte(id), byte(id >> 8), 0, 0, weight, 0, 0, 0})
}

func (p *producer) objectRoute() {
	if p.IntN(2) == 0 {
		p.putRoute(&rtnl.Route{Family: unix.AF_INET, Dst: p.prefix4(), Table: p.table(), NHID: []uint32{1, 17}[p.IntN(2)] + uint32(p.IntN(4))})
		return
	}
	p.putRoute(&rtnl.Route{Family: unix.AF_INET6, Dst: p.prefix6(false), Table: p.table(), NHID: []uint32{9, 21}[p.IntN(2)] + uint32(p.IntN(4))})
}

func (p *producer) neigh() {
	i := p.IntN(pairs)
	n := rtnl.Neigh{Index: pairIndex(i) + uint32(p.IntN(2)), Family: unix.AF_INET, Dst: net4(i, 100+p.IntN(20)),
		State:  []uint16{unix.NUD_PERMANENT, unix.NUD_STALE, unix.NUD_REACHABLE}[p.IntN(3)],
		LLAddr: rtnl.MAC([6]byte{2, 0, 0, 0, 0, byte(p.IntN(8))})}
	if p.IntN(3) == 0 {
		n.Family, n.Dst = unix.AF_INET6, net6(i, 100+p.IntN(20))
	}
	switch p.IntN(4) {
	case 0:
		p.put(rtnl.AppendNeigh(nil, unix.RTM_DELNEIGH, 0, 0, &rtnl.Neigh{Index: n.Index, Family: n.Family, Dst: n.Dst}))
	case 1:
		p.put(rtnl.AppendNeigh(nil, unix.RTM_NEWNEIGH, reqCreate, 0, &n))
	default:
		p.put(rtnl.AppendNeigh(nil, unix.RTM_NEWNEIGH, reqReplace, 0, &n))
	}
}

func (p *producer) rule() {
	typ, flags := uint16(unix.RTM_NEWRULE), uint16(reqCreate)
	if p.IntN(5) < 2 {
		typ, flags = unix.RTM_DELRULE, 0
	}
	r := rtnl.Rule{Family: unix.AF_INET, Action: unix.FR_ACT_TO_TBL, Table: 100, Priority: 1000 + uint32(p.IntN(10)),
		Mark: uint32(p.IntN(3)), SuppressPL: -1, SuppressIG: -1}
	if r.Mark != 0 {
		r.Mask = 0xffffffff
	}
	if p.IntN(2) == 0 {
		r.Family = unix.AF_INET6
	}
	if p.IntN(3) == 0 {
		r.IifName = fmt.Sprintf("v%d", p.IntN(pairs))
	}
	p.put(rtnl.AppendRule(nil, typ, flags, 0, &r))
}

func (p *producer) upDown() {
	index := p.link()
	p.setLink(index, 0)
	if p.IntN(3) != 0 {
		p.setLink(index, unix.IFF_UP)
	}
}

// linkAttr changes something of a link: an MTU below 1280 removes IPv6.
func (p *producer) linkAttr() {
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: p.link()}}
	switch p.IntN(5) {
	case 0:
		r.Set, r.MTU = rtnl.LinkMTU, []uint32{1500, 1400, 1200}[p.IntN(3)]
	case 1:
		r.Set, r.Addr = rtnl.LinkAddr, rtnl.MAC([6]byte{2, 0, 0, 1, 0, byte(p.IntN(200))})
	case 2:
		r.Set, r.TxQLen = rtnl.LinkTxQLen, 100+uint32(p.IntN(3))
	case 3:
		// never both ends of a pair: what goes round for ever would be announced
		// for ever
		r.Index, r.Set, r.Master = pairIndex(p.IntN(pairs)), rtnl.LinkMaster, bridge
	case 4:
		r.Set = rtnl.LinkMaster
	}
	p.put(rtnl.AppendLink(nil, unix.RTM_SETLINK, 0, 0, &r))
}

// setting writes to a file whose changes are announced, or some of them; the link
// may have none. It does not wait for what has been put.
func (p *producer) setting() {
	name := []string{"all", "default", "lo", "br", "v0", "p0", "v1"}[p.IntN(7)]
	file := []string{"ipv4/conf/%s/ignore_routes_with_linkdown", "ipv6/conf/%s/ignore_routes_with_linkdown", "ipv4/conf/%s/rp_filter",
		"ipv4/conf/%s/forwarding", "ipv6/conf/%s/forwarding", "ipv6/conf/%s/proxy_ndp", "ipv4/conf/%s/proxy_arp", "ipv4/conf/%s/bc_forwarding", "mpls/conf/%s/input"}[p.IntN(9)]
	if err := p.sysctl(fmt.Sprintf("/proc/sys/net/"+file, name), fmt.Sprint(p.IntN(3))); err == nil {
		p.done++
	} else {
		p.refused[unix.ENOENT]++
	}
}

// recreate deletes a pair; another gets its indexes and names.
func (p *producer) recreate() {
	i := p.IntN(pairs)
	p.put(rtnl.AppendLink(nil, unix.RTM_DELLINK, 0, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: pairIndex(i)}}))
	if p.IntN(4) != 0 {
		p.addPair(i)
		p.heal(i)
	}
}
