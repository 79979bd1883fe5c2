package mirror_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// tables are the kernel's tables in plain maps: the second opinion that the
// engine is compared with. Nothing of the engine takes part in making them.
type tables struct {
	links  map[uint32]rtnl.Link
	addrs  map[rtnl.Addr]int
	rules  map[rtnl.Rule]int
	routes map[model.RouteKey][]rtnl.Route // in the kernel's order

	neighs   map[rtnl.Neigh]int
	nexthops map[uint32]rtnl.Nexthop
	netconfs map[rtnl.Netconf]int
}

func newTables() *tables {
	return &tables{map[uint32]rtnl.Link{}, map[rtnl.Addr]int{}, map[rtnl.Rule]int{}, map[model.RouteKey][]rtnl.Route{},
		map[rtnl.Neigh]int{}, map[uint32]rtnl.Nexthop{}, map[rtnl.Netconf]int{}}
}

// What is not compared, because the kernel changes it without a word and
// nothing is decided by it:
//   - carrier of a link that is down;
//   - the counters of promiscuous and all-multicast users (their flags are
//     announced);
//   - neighbours of multicast addresses, which come with the first packet;
//   - RTNH_F_DEAD and RTNH_F_LINKDOWN of routes and next hops: they follow from
//     their links;
//   - whether a rule is detached (FIB_RULE_IIF_DETACHED, FIB_RULE_OIF_DETACHED)
//     or its target missing (FIB_RULE_UNRESOLVED): it follows from links and
//     other rules;
//   - the remaining lifetimes, which count down;
//   - bc_forwarding, the settings of links to come, and whether a switch is on by
//     1 or another number;
//   - IPv6 addresses that the kernel has as tentative: those of its own making
//     it announces when the detection has ended, and with keep_addr_on_down
//     addresses become tentative again without a word.
func (t *tables) addLink(l rtnl.Link) {
	if l.Flags&unix.IFF_UP == 0 {
		l.Carrier = false
	}
	l.Promiscuity, l.AllMulti = 0, 0
	t.links[l.Index] = l
}

func (t *tables) addAddr(a rtnl.Addr) {
	if a.Valid != rtnl.LifetimeForever {
		a.Valid = 1
	}
	if a.Preferred != rtnl.LifetimeForever && a.Preferred != 0 {
		a.Preferred = 1
	}
	t.addrs[a]++
}

// addRule counts a rule once: the kernel may hold one twice, and that means
// nothing.
func (t *tables) addRule(r rtnl.Rule) {
	const unresolved, detached = 4, 8 | 16 // linux/fib_rules.h
	r.Flags &^= unresolved | detached
	t.rules[r] = 1
}

func (t *tables) addNeigh(n rtnl.Neigh) {
	if n.Dst.IsMulticast() || n.Dst.IsUnspecified() {
		return
	}
	t.neighs[n]++
}

func (t *tables) addNexthop(n rtnl.Nexthop) {
	n.Flags &^= unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN
	t.nexthops[n.ID] = n
}

func (t *tables) addNetconf(n rtnl.Netconf) {
	if n.Index == rtnl.NetconfDefault {
		return
	}
	n.Known, n.BCForwarding = n.Known&^rtnl.NetconfBCForwarding, 0
	for _, v := range []*int32{&n.Forwarding, &n.IgnoreLinkdown} {
		if *v != 0 {
			*v = 1
		}
	}
	t.netconfs[n]++
}

func (t *tables) addRoute(r rtnl.Route) {
	const state = unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN
	r.Flags &^= state
	if r.Expires != 0 {
		r.Expires = 1
	}
	if hops, err := rtnl.Hops(r.Multipath); err == nil && len(hops) > 0 {
		for i := range hops {
			hops[i].Flags &^= state
		}
		r.Multipath = rtnl.AppendHops(hops)
	}
	key := model.KeyOfRoute(0, &r)
	t.routes[key] = append(t.routes[key], r)
}

// add takes one message of a dump.
func (t *tables) add(h rtnl.Header, body []byte) error {
	switch h.Type {
	case unix.RTM_NEWLINK:
		var l rtnl.Link
		if err := rtnl.DecodeLink(body, &l); err != nil {
			return err
		}
		t.addLink(l)
	case unix.RTM_NEWADDR:
		var a rtnl.Addr
		if err := rtnl.DecodeAddr(body, &a); err != nil {
			return err
		}
		t.addAddr(a)
	case unix.RTM_NEWRULE:
		var r rtnl.Rule
		if err := rtnl.DecodeRule(body, &r); err != nil {
			return err
		}
		t.addRule(r)
	case unix.RTM_NEWNEIGH:
		var n rtnl.Neigh
		if err := rtnl.DecodeNeigh(body, &n); err != nil {
			return err
		}
		t.addNeigh(n)
	case unix.RTM_NEWNEXTHOP:
		var n rtnl.Nexthop
		if err := rtnl.DecodeNexthop(body, &n); err != nil {
			return err
		}
		t.addNexthop(n)
	case unix.RTM_NEWNETCONF:
		var n rtnl.Netconf
		if err := rtnl.DecodeNetconf(body, &n); err != nil {
			return err
		}
		t.addNetconf(n)
	case unix.RTM_NEWROUTE:
		var r rtnl.Route
		if err := rtnl.DecodeRoute(body, &r); err != nil {
			return err
		}
		t.addRoute(r)
	}
	return nil
}

// tableKinds are the tables that are compared.
var tableKinds = []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindNetconf, rtnl.KindRule, rtnl.KindNexthop, rtnl.KindNeigh, rtnl.KindRoute}

// readTables reads the kernel's tables. ok is false when one changed meanwhile.
func readTables(t testing.TB, conn *rtnl.Conn) (all *tables, ok bool) {
	t.Helper()
	all = newTables()
	for _, kind := range tableKinds {
		req := rtnl.AppendDumpRequest(nil, kind, 0, rtnl.Filter{})
		res, err := conn.Dump(context.Background(), req, all.datagram)
		if err != nil {
			t.Fatalf("dump %s: %v", kind, err)
		}
		if !res.Complete || res.Interrupted {
			return nil, false
		}
	}
	return all, true
}

func (t *tables) datagram(b []byte) error {
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return err
		}
		if err := t.add(h, body); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// modelOf is what an engine believes.
func modelOf(e *mirror.Engine) *tables {
	t := newTables()
	e.Each(
		func(l *rtnl.Link) { t.addLink(*l) },
		func(a *rtnl.Addr) { t.addAddr(*a) },
		func(r *rtnl.Route) { t.addRoute(*r) },
		func(r *rtnl.Rule) { t.addRule(*r) })
	e.EachNeigh(func(n *rtnl.Neigh) { t.addNeigh(*n) })
	e.EachNetconf(func(n *rtnl.Netconf) { t.addNetconf(*n) })
	e.EachNexthop(func(n *rtnl.Nexthop) { t.addNexthop(*n) })
	return t
}

// diff tells in what have (-) differs from want (+); empty when in nothing.
func diff(have, want *tables) []string {
	var out []string
	line := func(sign, text string, v any) { out = append(out, fmt.Sprintf("%s %s   %+v", sign, text, v)) }
	diffMap(have.links, want.links, func(sign string, _ uint32, l rtnl.Link) { line(sign, rtnl.FormatLink(&l, nil), l) })
	have.forgetTentative(want)
	diffMap(have.addrs, want.addrs, func(sign string, a rtnl.Addr, _ int) { line(sign, rtnl.FormatAddr(&a, nil), a) })
	diffMap(have.rules, want.rules, func(sign string, r rtnl.Rule, _ int) { line(sign, rtnl.FormatRule(&r, nil), r) })
	diffMap(have.neighs, want.neighs, func(sign string, n rtnl.Neigh, _ int) { line(sign, rtnl.FormatNeigh(&n, nil), n) })
	diffMap(have.nexthops, want.nexthops, func(sign string, _ uint32, n rtnl.Nexthop) { line(sign, rtnl.FormatNexthop(&n, nil), n) })
	diffMap(have.netconfs, want.netconfs, func(sign string, n rtnl.Netconf, _ int) { line(sign, rtnl.FormatNetconf(&n, nil), n) })
	slot := func(sign string, rs []rtnl.Route) {
		for i := range rs {
			line(sign, fmt.Sprintf("[%d] %s", i, rtnl.FormatRoute(&rs[i], nil)), rs[i])
		}
	}
	for k, h := range have.routes {
		if w := want.routes[k]; !sameSlot(h, w) {
			slot("-", h)
			slot("+", w)
		}
	}
	for k, w := range want.routes {
		if _, ok := have.routes[k]; !ok {
			slot("+", w)
		}
	}
	return out
}

// forgetLate takes over from want what link watch announces, up to a second
// after the dump shows it: whether there is a carrier.
func (t *tables) forgetLate(want *tables) {
	const late = unix.IFF_RUNNING | unix.IFF_LOWER_UP
	for i, w := range want.links {
		if h, ok := t.links[i]; ok {
			h.Flags = h.Flags&^late | w.Flags&late
			h.Carrier, h.OperState = w.Carrier, w.OperState
			t.links[i] = h
		}
	}
}

// forgetTentative removes from both what is tentative in want.
func (t *tables) forgetTentative(want *tables) {
	type key struct {
		index uint32
		local netip.Addr
	}
	tentative := map[key]bool{}
	for a := range want.addrs {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			tentative[key{a.Index, a.Local}] = true
		}
	}
	for _, side := range []*tables{t, want} {
		for a := range side.addrs {
			if tentative[key{a.Index, a.Local}] {
				delete(side.addrs, a)
			}
		}
	}
}

// sameSlot compares the routes of one slot. In which order they stand says for
// IPv4 which one is used; IPv6 picks by the link first.
func sameSlot(a, b []rtnl.Route) bool {
	if len(a) != len(b) {
		return false
	}
	if a[0].Family == unix.AF_INET {
		return slices.Equal(a, b)
	}
	count := map[rtnl.Route]int{}
	for i := range a {
		count[a[i]]++
		count[b[i]]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func diffMap[K, V comparable](have, want map[K]V, line func(sign string, k K, v V)) {
	for k, h := range have {
		if w, ok := want[k]; !ok || w != h {
			line("-", k, h)
			if ok {
				line("+", k, w)
			}
		}
	}
	for k, w := range want {
		if _, ok := have[k]; !ok {
			line("+", k, w)
		}
	}
}

func differ(lines []string) string {
	const most = 12
	if len(lines) > most {
		lines = append(lines[:most:most], fmt.Sprintf("and %d more", len(lines)-most))
	}
	return "the mirror (-) differs from the kernel (+):\n" + strings.Join(lines, "\n")
}
