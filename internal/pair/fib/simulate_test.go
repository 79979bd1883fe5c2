package fib

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// TestSimulation: whatever happens in Linux and to the dataplane, the
// invariants hold after every step; at rest the dataplane has what the oracle
// computes, and has its tables; another connection then is told nothing.
// NETBRAID_SEEDS makes it longer, NETBRAID_SEED repeats one.
func TestSimulation(t *testing.T) {
	first, n := uint64(1), uint64(300)
	if s := os.Getenv("NETBRAID_SEEDS"); s != "" {
		n, _ = strconv.ParseUint(s, 10, 64)
	}
	if s := os.Getenv("NETBRAID_SEED"); s != "" {
		first, _ = strconv.ParseUint(s, 10, 64)
		n = 1
	}
	var sum total
	for seed := first; seed < first+n && !t.Failed(); seed++ {
		simulate(t, seed, &sum)
	}
	t.Logf("%+v", sum)
	if n >= 100 && (sum.Ops < 1000 || sum.Refused < 100 || sum.Routes < 1000 || sum.Several < 50 || sum.Taken < 20) {
		t.Errorf("the simulation has seen too little: %+v", sum)
	}
}

// total is what a simulation has seen.
type total struct{ Ops, Refused, Routes, Several, Taken, Connections, Rests int }

type simulation struct {
	*world
	rng   *rand.Rand
	up    bool // connected
	holds map[uint32]int
	sum   *total
}

func simulate(t *testing.T, seed uint64, sum *total) {
	s := &simulation{world: newWorld(t, 2), rng: rand.New(rand.NewPCG(seed, 3)), holds: map[uint32]int{}, sum: sum}
	s.plane.max = 1 + s.rng.IntN(40)
	defer func() {
		if t.Failed() {
			t.Logf("NETBRAID_SEED=%d", seed)
		}
	}()
	for step := 0; step < 400 && !t.Failed(); step++ {
		s.step()
		if err := s.tab.Check(); err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, step, err)
		}
		if s.rng.IntN(100) == 0 {
			s.settle()
		}
	}
	s.settle()
	sum.Ops += s.plane.ops
}

func (s *simulation) step() {
	switch p := s.rng.IntN(100); {
	case p < 50:
		s.linux()
	case p < 54:
		s.host()
	case p < 72:
		s.tab.Work(s.now, 1+s.rng.IntN(20))
	case p < 82:
		s.send()
	case p < 94:
		s.answer()
	case p < 97:
		s.connection()
	default:
		s.now = s.now.Add(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
	}
}

func (s *simulation) kernel() *kernel {
	for {
		if k := s.kernels[s.rng.IntN(len(s.kernels))]; k != nil {
			return k
		}
		s.revive()
	}
}

// revive lets a namespace come back that has gone.
func (s *simulation) revive() {
	for i, k := range s.kernels {
		if k == nil {
			n := &kernel{w: s.world, ns: model.NS(i)}
			s.kernels[i] = n
			n.eng = mirror.New(n.ns, mirror.Params{}, sink{s.world})
			n.eng.Start(s.now)
			n.requests()
			n.eng.Subscribed(n.epoch)
			n.requests()
			s.tab.AddNS(n.ns)
			n.dump(rtnl.KindLink, nil)
			for l := uint32(1); l <= 5; l++ {
				n.link(l, true, true)
			}
		}
	}
}

// linux changes something in a namespace.
func (s *simulation) linux() {
	k, rng := s.kernel(), s.rng
	link := uint32(2 + rng.IntN(4))
	switch p := rng.IntN(100); {
	case p < 50:
		k.route(unix.RTM_NEWROUTE, []uint16{0, 0, unix.NLM_F_REPLACE, unix.NLM_F_APPEND}[rng.IntN(4)], s.route())
	case p < 72:
		s.remove(k)
	case p < 78:
		k.link(link, rng.IntN(3) > 0, rng.IntN(3) > 0)
	case p < 84:
		typ := []uint16{unix.RTM_NEWADDR, unix.RTM_DELADDR}[rng.IntN(2)]
		k.addr(typ, link, fmt.Sprintf("192.0.2.%d/24", 100+rng.IntN(2)))
	case p < 93:
		s.object(k)
	case p < 95:
		k.live()
	case p < 98:
		s.loss(k)
	default:
		s.tab.DropNS(k.ns)
		s.kernels[k.ns] = nil
		for l := range s.dead4 {
			if l[0] == uint32(k.ns) {
				delete(s.dead4, l)
			}
		}
	}
}

// route makes one up.
func (s *simulation) route() rtnl.Route {
	rng := s.rng
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	dst := pick("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.1/32", "224.1.0.0/16", "2001:db8::/32", "2001:db8:1::/48",
		"::/0", "2001:db8::1/128", "fe80::/64", "ff00::/8", "mpls:100", "mpls:200")
	six, label := strings.Contains(dst, "::"), strings.HasPrefix(dst, "mpls")
	gw := pick("192.0.2.1", "192.0.2.2", "2001:db8:f::1")
	if six {
		gw = pick("2001:db8:f::1", "2001:db8:f::2")
	}
	line := dst
	switch rng.IntN(10) {
	case 0, 1, 2, 3:
		line += fmt.Sprintf(" via %s dev %d", gw, 2+rng.IntN(4))
	case 4:
		line += fmt.Sprintf(" dev %d", 1+rng.IntN(5))
	case 5, 6:
		for range 2 + rng.IntN(2) {
			line += fmt.Sprintf(" hop %s,%d,%d", gw, 2+rng.IntN(4), 1+rng.IntN(3))
		}
	case 7:
		if !label {
			line += " type " + pick("blackhole", "unreachable", "prohibit", "throw", "local")
		}
	case 8:
		if label {
			line += fmt.Sprintf(" via %s dev %d as 300/400", gw, 2+rng.IntN(4))
		} else {
			line += fmt.Sprintf(" via %s dev %d push 500", gw, 2+rng.IntN(4))
		}
	case 9:
		line += fmt.Sprintf(" nhid %d", 1+rng.IntN(6))
	}
	if !label {
		line += " metric " + pick("0", "100", "256", "512") + " table " + pick("254", "254", "254", "10", "20", "255")
	}
	line += " proto " + pick("2", "4", "4", "11", "9")
	if rng.IntN(30) == 0 && !six && !label {
		line += " tos 16"
	}
	if rng.IntN(30) == 0 && six {
		line += " from 2001:db8:9::/48"
	}
	if rng.IntN(4) == 0 && six {
		line += " pref " + pick("0", "1", "3")
	}
	r := R(s.t, line)
	if six && rng.IntN(10) == 0 {
		r.Expires = 600
	}
	return r
}

// remove takes a route away, or a next hop of one.
func (s *simulation) remove(k *kernel) {
	var all []rtnl.Route
	k.eng.Each(nil, nil, func(r *rtnl.Route) { all = append(all, *r) }, nil)
	if len(all) == 0 || s.rng.IntN(10) == 0 {
		k.route(unix.RTM_DELROUTE, 0, s.route()) // perhaps not there
		return
	}
	r := all[s.rng.IntN(len(all))]
	if hops, _ := rtnl.Hops(r.Multipath); len(hops) > 0 && r.Family == unix.AF_INET6 && s.rng.IntN(2) == 0 {
		h := hops[s.rng.IntN(len(hops))]
		r.Multipath, r.Oif, r.Gateway = "", h.Oif, h.Gateway
	}
	k.route(unix.RTM_DELROUTE, 0, r)
}

// object changes a next-hop object: 1 to 4 are single, 5 and 6 are groups.
func (s *simulation) object(k *kernel) {
	n := rtnl.Nexthop{ID: uint32(1 + s.rng.IntN(6)), Oif: uint32(2 + s.rng.IntN(4)), Gateway: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + s.rng.IntN(2))})}
	if n.ID > 4 {
		n.Oif, n.Gateway = 0, netip.Addr{}
		var m []rtnl.GroupMember
		for range 1 + s.rng.IntN(3) {
			m = append(m, rtnl.GroupMember{ID: uint32(1 + s.rng.IntN(4)), Weight: uint32(1 + s.rng.IntN(2))})
		}
		n.Group, n.GroupType = rtnl.AppendGroup(m), uint16(s.rng.IntN(2))
	} else if s.rng.IntN(8) == 0 {
		n.Oif, n.Gateway, n.Blackhole = 0, netip.Addr{}, true
	}
	typ := uint16(unix.RTM_NEWNEXTHOP)
	if s.rng.IntN(3) == 0 {
		typ = unix.RTM_DELNEXTHOP
	}
	k.nexthop(typ, n)
}

// loss loses notifications: the dump of routes shows other ones.
func (s *simulation) loss(k *kernel) {
	k.asked = nil
	k.eng.Lost(s.now, k.epoch)
	k.requests()
	s.now = s.now.Add(3 * time.Second)
	k.eng.Tick(s.now)
	k.requests()
	k.eng.Subscribed(k.epoch)
	k.requests()
	if s.rng.IntN(4) == 0 {
		return // later
	}
	routes := slices.DeleteFunc(k.objects(rtnl.KindRoute), func([]byte) bool { return s.rng.IntN(6) == 0 })
	for range s.rng.IntN(3) {
		r := s.route()
		routes = append(routes, rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, &r))
	}
	k.dump(rtnl.KindRoute, routes)
}

// host changes what is paired and configured.
func (s *simulation) host() {
	rng := s.rng
	ns, link := uint32(rng.IntN(len(s.kernels))), uint32(2+rng.IntN(3))
	all := func() {
		for ns := range s.kernels {
			s.tab.Rebind(model.NS(ns), link)
		}
	}
	switch rng.IntN(8) {
	case 0, 1:
		if k := [2]uint32{ns, link}; rng.IntN(3) > 0 {
			s.phys[k] = 100 + link + 1000*ns + 50*uint32(rng.IntN(2))
		} else {
			delete(s.phys, k)
		}
		s.tab.Rebind(model.NS(ns), link)
	case 2:
		for _, p := range []string{"10.1.1.0/24", "2001:db8:1::/48"} {
			s.connected[netip.MustParsePrefix(p)] = uint32(rng.IntN(2)) * link
		}
		all()
	case 3:
		s.ignoreDown = !s.ignoreDown
		all()
	case 4:
		s.skip = [][]uint8{nil, {11}, {2, 9}}[rng.IntN(3)]
		s.tab.SetFilter(s.skip)
	case 5:
		k := [2]uint32{ns, []uint32{254, 10, 20}[rng.IntN(3)]}
		delete(s.tables, k)
		delete(s.notables, k)
		switch rng.IntN(4) {
		case 0:
			s.tables[k] = []uint32{0, 10, 30}[rng.IntN(3)]
		case 1:
			s.notables[k] = true
		}
		s.tab.TablesChanged()
		s.tab.SetFilter(s.skip)
	case 6:
		s.unsettled = !s.unsettled
	case 7:
		if f := uint32(10 + 10*rng.IntN(2)); s.holds[f] > 0 {
			s.holds[f]--
			s.tab.Release(f, unix.AF_INET)
		} else {
			s.holds[f]++
			s.tab.Hold(f, unix.AF_INET)
		}
	}
}

// connection changes the dataplane's.
func (s *simulation) connection() {
	rng := s.rng
	s.plane.refuse = nil
	if rng.IntN(2) == 0 {
		bad := rng.IntN(3)
		s.plane.refuse = func(op *dataplane.Op) error {
			if rng.IntN(3) != bad {
				return nil
			}
			s.sum.Refused++
			return fmt.Errorf("today: %w", []error{dataplane.ErrUnsupported, dataplane.ErrNoInterface, dataplane.ErrTaken, dataplane.ErrRefused}[rng.IntN(4)])
		}
	}
	switch p := rng.IntN(10); {
	case !s.up || p < 3:
		if s.up {
			for range rng.IntN(len(s.plane.flying) + 1) { // done, but the answer is lost
				for _, op := range s.plane.flying[0] {
					_ = s.do(&op)
				}
				s.plane.flying = s.plane.flying[1:]
			}
			s.lose()
		}
		if rng.IntN(5) == 0 {
			clear(s.plane.routes)
			clear(s.plane.tables)
		}
		s.sum.Connections++
		s.up = rng.IntN(5) > 0
		if s.up {
			s.plane.caps.MPLS, s.plane.caps.MaxPaths = rng.IntN(4) > 0, 2+rng.IntN(3)
			s.tab.Connected(s.now, s.plane.caps)
		}
	case p < 6:
		s.tab.Redump()
	case p < 7: // somebody else changes what is ours
		for _, k := range sortedKeys(s.plane.routes) {
			if rng.IntN(4) == 0 {
				delete(s.plane.routes, k)
			}
		}
		s.tab.Redump()
		s.finishDump(true)
	default:
		s.tab.InterfacesChanged()
	}
	if s.up && s.tab.Drained() {
		s.dump(rng.IntN(3) > 0)
	}
}

// finishDump waits until a dump is possible and makes it.
func (s *simulation) finishDump(complete bool) {
	for s.up && !s.tab.Drained() && (s.answer() || s.tab.Work(s.now, 100)) {
	}
	if s.up && s.tab.Drained() {
		s.dump(complete)
	}
}

// settle lets everything come to rest and compares.
func (s *simulation) settle() {
	s.sum.Rests++
	s.revive()
	s.unsettled = false
	s.plane.refuse = nil
	if !s.up {
		s.up = true
		s.tab.Connected(s.now, s.plane.caps)
	}
	s.finishDump(true)
	s.rest()
	s.tab.Redump()
	s.finishDump(true)
	for range 3 {
		s.now = s.now.Add(lastDelay)
		s.rest()
	}
	// What this dataplane cannot do is tried again with another connection.
	if s.tab.Status().Unsupported > 0 || slices.ContainsFunc(s.tab.fibs, func(v vrf) bool { return v.retry.After(s.now) }) {
		s.lose()
		s.connect()
	}
	s.compare()
	before := s.plane.ops
	s.lose()
	s.connect()
	if s.plane.ops != before {
		s.t.Fatalf("another connection was told\n%s", strings.Join(s.plane.log[len(s.plane.log)-(s.plane.ops-before):], "\n"))
	}
	if !s.tab.Idle() {
		s.t.Fatal("not idle at rest")
	}
}

func (s *simulation) compare() {
	want := s.oracle()
	for _, k := range sortedKeys(want) {
		if got := s.plane.routes[k]; got == nil || !got.Equal(want[k]) {
			text := "nothing"
			if got != nil {
				text = setText(got)
			}
			s.t.Errorf("for %s the dataplane has %s, the oracle %s", keyText(k), text, setText(want[k]))
		}
	}
	tables := map[dataplane.Table]bool{}
	for _, k := range sortedKeys(s.plane.routes) {
		if want[k] == nil {
			s.t.Errorf("the dataplane has %s %s, the oracle does not", keyText(k), setText(s.plane.routes[k]))
		}
		if k.Table != 0 {
			tables[dataplane.Table{ID: k.Table, Family: familyOf(k)}] = true
		}
	}
	for f, n := range s.holds {
		if n > 0 {
			tables[dataplane.Table{ID: f, Family: unix.AF_INET}] = true
		}
	}
	if fmt.Sprint(tables) != fmt.Sprint(s.plane.tables) {
		s.t.Errorf("the dataplane has the tables %v, want %v", s.plane.tables, tables)
	}
	st := s.tab.Status()
	if st.Routes != len(want) || st.Have != len(want) || st.Differences+st.Queued+st.InFlight+st.Waiting+st.Unsupported+st.Unclaimed+len(st.Failures) != 0 {
		s.t.Errorf("%d routes, and Status says %+v", len(want), st)
	}
	s.sum.Routes += len(want)
	s.sum.Several += len(s.tab.several)
	s.sum.Taken += st.Taken
}
