package vpp_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/dataplane/vpptest"
)

// start is a VPP with two interfaces and a client of it.
func start(t *testing.T, o vpptest.Options) (s *vpptest.Server, u *user, phy, other uint32) {
	s = vpptest.Start(t, o)
	phy = s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500)
	other = s.AddPhy("phy1", [6]byte{2, 0xfe, 0, 0, 0, 2}, 1500)
	u = newUser(t, s.Socket(), nil)
	u.up()
	return s, u, phy, other
}

// TestEvents: what happens to interfaces is told as what there is now.
func TestEvents(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	if list, err := u.dump(dataplane.KindInterface); err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	changed := func(index uint32, f func(dataplane.Interface) bool) {
		t.Helper()
		u.until("Changed", func(e dataplane.Event) bool {
			c, ok := e.(dataplane.Changed)
			return ok && c.Interface.Index == index && f(c.Interface)
		})
	}
	s.SetLink(phy, false)
	changed(phy, func(i dataplane.Interface) bool { return !i.Carrier })
	s.SetUp(phy, true)
	changed(phy, func(i dataplane.Interface) bool { return i.Up && !i.Carrier })
	// Sub-interfaces have the link of their parent, its MTU and its address.
	sub := u.must(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 5, Exact: true}, Name: "phy0.77"}).Made[0].Index
	s.SetLink(phy, true)
	changed(sub, func(i dataplane.Interface) bool {
		return i.Carrier && i.MTU == 1500 && i.MAC.B[5] == 1 && i.Parent == phy && i.Name == "phy0.77"
	})
	done, before, err := u.write(dataplane.Op{Kind: dataplane.SetMTU, Index: phy, Value: 1400})
	if err != nil || len(done.Failed) > 0 {
		t.Fatal(done, err)
	}
	told := map[uint32]uint32{}
	for _, e := range before {
		if c, ok := e.(dataplane.Changed); ok {
			told[c.Interface.Index] = c.Interface.MTU
		}
	}
	if told[phy] != 1400 || told[sub] != 1400 {
		t.Errorf("before the answer to an MTU these were told: %v", told)
	}
	// The index of one that goes is that of the next one: it must not be taken for
	// the same.
	s.DelInterface(sub)
	u.until("Gone", func(e dataplane.Event) bool { g, ok := e.(dataplane.Gone); return ok && g.Index == sub })
	if n := s.AddPhy("phy2", [6]byte{2, 0xfe, 0, 0, 0, 3}, 1500); n != sub {
		t.Fatalf("index %d is not used again, but %d", sub, n)
	}
	changed(sub, func(i dataplane.Interface) bool { return i.Name == "phy2" })
	s.Delay(50 * time.Millisecond) // both in one
	s.DelInterface(sub)
	s.AddPhy("phy3", [6]byte{2, 0xfe, 0, 0, 0, 4}, 1500)
	u.until("Gone", func(e dataplane.Event) bool { g, ok := e.(dataplane.Gone); return ok && g.Index == sub })
	changed(sub, func(i dataplane.Interface) bool { return i.Name == "phy3" })
}

// TestOwnChangesAreTold: what we do to interfaces is told before its answer,
// and VPP's own events about it tell nothing twice.
func TestOwnChangesAreTold(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	if _, err := u.dump(dataplane.KindInterface); err != nil {
		t.Fatal(err)
	}
	ops := []dataplane.Op{
		{Kind: dataplane.SetUp, Index: phy, On: true},
		{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 9, Exact: true}},
		{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0", HostPort: dataplane.NoIndex}},
	}
	done, before, err := u.write(ops...)
	if err != nil || len(done.Failed) > 0 {
		t.Fatal(done, err)
	}
	sub, host := done.Made[0].Index, done.Made[1].Pair.HostPort
	told := map[uint32]dataplane.Interface{}
	for _, e := range before {
		if c, ok := e.(dataplane.Changed); ok {
			told[c.Interface.Index] = c.Interface
		}
	}
	if !told[phy].Up || told[sub].Parent != phy || !told[host].Companion || told[phy].Companion {
		t.Errorf("told before the answer: %+v", told)
	}
	done, before, err = u.write(dataplane.Op{Kind: dataplane.PairDel, Pair: &dataplane.Pair{Phy: phy}}, dataplane.Op{Kind: dataplane.SubDel, Index: sub},
		dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 10, Exact: true}})
	if err != nil || len(done.Failed) > 0 || done.Made[0].Index != sub {
		t.Fatal(done, err)
	}
	var gone []uint32
	for _, e := range before {
		if g, ok := e.(dataplane.Gone); ok {
			gone = append(gone, g.Index)
		}
	}
	if !slices.Equal(gone, []uint32{host, sub}) {
		t.Errorf("gone before the answer: %v, should be %d and %d", gone, host, sub)
	}
	// VPP's events of all that come now, and say nothing new.
	if _, err := u.dump(dataplane.KindTable); err != nil {
		t.Fatal(err)
	}
	s.SetLink(phy, false)
	u.until("Changed of the link", func(e dataplane.Event) bool {
		switch e := e.(type) {
		case dataplane.Gone:
			t.Errorf("gone twice: %+v", e)
		case dataplane.Changed:
			return e.Interface.Index == phy && !e.Interface.Carrier
		}
		return false
	})
}

// TestEventsOfOthersPairs: a pair that an operator makes is told.
func TestEventsOfOthersPairs(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	second := newUser(t, s.Socket(), nil)
	second.up()
	pair := second.must(dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0", HostPort: dataplane.NoIndex}}).Made[0].Pair
	u.until("Disturbed pairs", func(e dataplane.Event) bool {
		d, ok := e.(dataplane.Disturbed)
		return ok && d.Kind == dataplane.KindPair
	})
	u.until("Changed of the companion", func(e dataplane.Event) bool {
		c, ok := e.(dataplane.Changed)
		return ok && c.Interface.Index == pair.HostPort && c.Interface.Companion
	})
}

// TestStorm: events come together; a storm of them costs a few dumps.
func TestStorm(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	if _, err := u.dump(dataplane.KindInterface); err != nil {
		t.Fatal(err)
	}
	before := s.Count("sw_interface_dump")
	s.Delay(20 * time.Millisecond)
	const flaps = 2000
	for i := range flaps {
		s.Flap(phy, i%2 == 0)
	}
	s.Delay(0)
	s.SetUp(phy, true)
	u.until("Changed", func(e dataplane.Event) bool { c, ok := e.(dataplane.Changed); return ok && c.Interface.Up })
	if n := s.Count("sw_interface_dump") - before; n > flaps/10 {
		t.Errorf("%d dumps for %d events", n, flaps)
	}
}

// TestMissing: what a VPP lacks is said: what, why, and what to do.
func TestMissing(t *testing.T) {
	pair := dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: 1, HostName: "e0", HostPort: dataplane.NoIndex}}
	route := routeSet("10.0.0.0/8", path(1, "192.0.2.2"))
	label := dataplane.Op{Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Label: 100, EOS: true}, Paths: path(1, "192.0.2.2")}
	sub := dataplane.Op{Kind: dataplane.SubAdd, Index: 1, Sub: dataplane.Sub{Outer: 5, Exact: true}}
	for name, x := range map[string]struct {
		o    vpptest.Options
		op   dataplane.Op
		says []string
		caps func(dataplane.Caps) bool
	}{
		"plugin":     {vpptest.Options{Without: []string{"lcp_"}}, pair, []string{"linux_cp_plugin.so", "lcp_itf_pair_add_del_v3", "startup.conf"}, func(c dataplane.Caps) bool { return !c.TUN }},
		"layout":     {vpptest.Options{Layout: map[string]string{"ip_route_add_del_v2": "01234567"}}, route, []string{"01234567", "521ef330", "ip_route_add_del_v2"}, func(dataplane.Caps) bool { return true }},
		"sources":    {vpptest.Options{Without: []string{"fib_source_"}}, route, []string{"fib_source_add", "newer VPP"}, func(dataplane.Caps) bool { return true }},
		"labels":     {vpptest.Options{Without: []string{"mpls_route_"}}, label, []string{"mpls_route_add_del"}, func(c dataplane.Caps) bool { return !c.MPLS }},
		"labels on":  {vpptest.Options{Without: []string{"mpls_table_"}}, dataplane.Op{Kind: dataplane.SetMPLS, Index: 1, On: true}, []string{"mpls_table_add_del"}, func(c dataplane.Caps) bool { return !c.MPLS }},
		"subs":       {vpptest.Options{Without: []string{"create_subif"}}, sub, []string{"create_subif"}, func(c dataplane.Caps) bool { return !c.SubInterfaces }},
		"reply only": {vpptest.Options{Without: []string{"sw_interface_set_mtu_reply"}}, dataplane.Op{Kind: dataplane.SetMTU, Index: 1, Value: 1400}, []string{"sw_interface_set_mtu_reply"}, func(dataplane.Caps) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			_, u, _, _ := start(t, x.o)
			err := u.refused(x.op)
			if !errors.Is(err, dataplane.ErrUnsupported) {
				t.Errorf("%v is not ErrUnsupported", err)
			}
			for _, w := range x.says {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q says nothing of %q", err, w)
				}
			}
			if !x.caps(u.caps) {
				t.Errorf("capabilities %+v", u.caps)
			}
			if strings.HasPrefix(name, "layout") && !strings.Contains(strings.Join(u.caps.Missing, "\n"), "routes: ") {
				t.Errorf("missing: %q", u.caps.Missing)
			}
			// The rest goes on.
			u.must(dataplane.Op{Kind: dataplane.SetUp, Index: 1, On: true})
		})
	}
	for _, o := range []vpptest.Options{{Without: []string{"sw_interface_dump"}}, {Without: []string{"control_ping"}}, {Layout: map[string]string{"want_interface_events": "01234567"}}} {
		s := vpptest.Start(t, o)
		u := newUser(t, s.Socket(), nil)
		err := u.connect()
		if err == nil {
			_, err = u.dump(dataplane.KindInterface)
		}
		if err == nil {
			t.Errorf("%+v: works", o)
		}
	}
}

// TestLinuxNL: VPP's own listener to netlink is warned of.
func TestLinuxNL(t *testing.T) {
	s := vpptest.Start(t, vpptest.Options{LinuxNL: true})
	var log strings.Builder
	u := newUser(t, s.Socket(), func(o *vpp.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	u.up()
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "linux_nl_plugin.so") || len(u.caps.Missing) != 1 {
		t.Errorf("log %q, missing %q", log.String(), u.caps.Missing)
	}
	u.up()
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || len(u.caps.Missing) != 1 {
		t.Errorf("warned %d times, missing %q", n, u.caps.Missing)
	}
}

// TestSource: the source is made once, and found again.
func TestSource(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	u.must(routeSet("10.0.0.0/8", path(phy, "192.0.2.2")))
	for range 3 {
		u.up()
	}
	if n := s.Count("fib_source_add"); n != 1 {
		t.Errorf("the source was made %d times", n)
	}
	if n := s.RouteCount(0, 0, vpp.DefaultSource); n != 1 {
		t.Errorf("%d routes of ours", n)
	}
	// A better one hides ours: it is written, and not shown.
	u.must(dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("192.0.2.1/24")}, routeSet("192.0.2.0/24", path(phy, "192.0.2.2")))
	if list, err := u.dump(dataplane.KindRoute); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if n := s.RouteCount(0, 0, vpp.DefaultSource); n != 2 {
		t.Errorf("%d routes of ours", n)
	}
}

// TestAddresses: what VPP's refusals mean.
func TestAddresses(t *testing.T) {
	_, u, phy, other := start(t, vpptest.Options{})
	if _, err := u.dump(dataplane.KindInterface); err != nil {
		t.Fatal(err)
	}
	add := func(i uint32, p string) dataplane.Op {
		return dataplane.Op{Kind: dataplane.AddrAdd, Index: i, Prefix: pfx(p)}
	}
	u.must(add(phy, "192.0.2.1/24"), add(phy, "192.0.2.1/24"), add(phy, "2001:db8::1/64"))
	for _, op := range []dataplane.Op{add(other, "192.0.2.9/24"), add(other, "2001:db8::9/64"), add(phy, "192.0.2.1/25")} {
		err := u.refused(op)
		if !errors.Is(err, dataplane.ErrTaken) || !strings.Contains(err.Error(), "on phy0 overlaps") {
			t.Errorf("%v: %v", op.Prefix, err)
		}
	}
	for _, p := range []string{"224.0.0.1/24", "0.0.0.0/8", "10.0.0.1/0", "ff02::1/64", "::/64", "::ffff:10.0.0.1/120"} {
		if err := u.refused(add(phy, p)); !errors.Is(err, dataplane.ErrRefused) {
			t.Errorf("%s: %v", p, err)
		}
	}
	// Another length is another address: VPP would delete the one that is there.
	u.must(dataplane.Op{Kind: dataplane.AddrDel, Index: phy, Prefix: pfx("192.0.2.1/25")})
	if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	// Bound to another table the addresses stay.
	u.must(dataplane.Op{Kind: dataplane.TableAdd, Value: 7, Family: unix.AF_INET}, dataplane.Op{Kind: dataplane.TableAdd, Value: 7, Family: unix.AF_INET6},
		dataplane.Op{Kind: dataplane.SetTable, Index: phy, Value: 7})
	if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	if err := u.refused(dataplane.Op{Kind: dataplane.SetTable, Index: phy, Value: 8}); !strings.Contains(err.Error(), "NO_SUCH_FIB") {
		t.Error(err)
	}
	if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestRefused: what VPP must never see does not leave, and says why.
func TestRefused(t *testing.T) {
	_, u, phy, _ := start(t, vpptest.Options{})
	sub := u.must(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 5}}).Made[0].Index
	multicast := mac(1)
	multicast.B[0] |= 1
	for name, op := range map[string]dataplane.Op{
		"a sub-interface of one":       {Kind: dataplane.SubAdd, Index: sub, Sub: dataplane.Sub{Outer: 6, Exact: true}},
		"VLAN 0":                       {Kind: dataplane.SubAdd, Index: phy},
		"VLAN 4095":                    {Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 4095}},
		"deleting a phy":               {Kind: dataplane.SubDel, Index: phy},
		"an MTU of 20":                 {Kind: dataplane.SetMTU, Index: phy, Value: 20},
		"more than the driver has":     {Kind: dataplane.SetMTU, Index: phy, Value: 20000},
		"more than the parent has":     {Kind: dataplane.SetMTU, Index: sub, Value: 1501},
		"a multicast address":          {Kind: dataplane.SetMAC, Index: phy, MAC: multicast},
		"the address of a sub":         {Kind: dataplane.SetMAC, Index: sub, MAC: mac(1)},
		"a neighbour 0.0.0.0":          {Kind: dataplane.NeighSet, Index: phy, Addr: netip.IPv4Unspecified(), MAC: mac(1), On: true},
		"local0":                       {Kind: dataplane.SetUp, Index: 0, On: true},
		"no interface":                 {Kind: dataplane.SetUp, Index: dataplane.NoIndex, On: true},
		"the main table's end":         {Kind: dataplane.TableDel, Family: unix.AF_INET},
		"table -1":                     {Kind: dataplane.TableAdd, Value: dataplane.NoIndex, Family: unix.AF_INET},
		"a table of no family":         {Kind: dataplane.TableAdd, Value: 5},
		"a TUN on Ethernet":            {Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0", TUN: true}},
		"an inexact sub-interface":     {Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: sub, HostName: "e0.5"}},
		"a host name too long":         {Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "sixteencharacter"}},
		"a host name that VPP refuses": {Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0+1"}},
		"a host name with a slash":     {Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "a/b"}},
		"a namespace without a path":   {Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0", NetNS: "blue"}},
		"a namespace too long":         {Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0", NetNS: "/" + strings.Repeat("x", 40)}},
		"a label with a long stack":    {Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Label: 1 << 20}, Paths: path(phy, "192.0.2.2")},
		"a carrier":                    {Kind: dataplane.SetCarrier, Index: phy},
		"a destination with bits":      routeSet("10.0.0.1/8", path(phy, "192.0.2.2")),
		"an operation that is not":     {Kind: 99, Index: phy},
		"a route of a missing table":   {Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Table: 99, Prefix: pfx("10.0.0.0/8")}, Paths: path(phy, "192.0.2.2")},
		"a next hop in a wrong table":  {Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Prefix: pfx("10.0.0.0/8")}, Paths: &dataplane.PathSet{Paths: []dataplane.Path{{Index: dataplane.NoIndex, Via: netip.MustParseAddr("192.0.2.2"), Table: 99, Weight: 1}}}},
	} {
		err := u.refused(op) // the server fails the test when it sees garbage
		if !errors.Is(err, dataplane.ErrRefused) && !errors.Is(err, dataplane.ErrUnsupported) && !errors.Is(err, dataplane.ErrNoInterface) {
			t.Errorf("%s: %v", name, err)
		}
		if len(err.Error()) < 20 {
			t.Errorf("%s says only %q", name, err)
		}
	}
}

// TestPairs: what VPP's refusals of pairs mean.
func TestPairs(t *testing.T) {
	s, u, phy, other := start(t, vpptest.Options{Namespaces: []string{"blue"}, NoVLAN: true})
	add := func(phy uint32, host, ns string) dataplane.Op {
		return dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: host, NetNS: ns, HostPort: dataplane.NoIndex}}
	}
	made := u.must(add(phy, "e0", "/run/netns/blue")).Made[0].Pair
	if made.NetNS != "/run/netns/blue" || made.HostIndex == 0 || made.HostPort == dataplane.NoIndex {
		t.Errorf("%+v", made)
	}
	sub := u.must(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 5, Exact: true}}).Made[0].Index
	inner := u.must(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 5, Inner: 6, Exact: true}}).Made[0].Index
	orphan := u.must(dataplane.Op{Kind: dataplane.SubAdd, Index: other, Sub: dataplane.Sub{Outer: 5, Exact: true}}).Made[0].Index
	tun := s.AddLayer3("ipip0", 1480)
	for _, x := range []struct {
		op   dataplane.Op
		is   error
		says string
	}{
		{add(phy, "e1", "/run/netns/blue"), dataplane.ErrTaken, `paired with "e0"`},
		{add(other, "e0", "/run/netns/blue"), dataplane.ErrTaken, "the name is taken there"},
		{add(other, "e1", "/run/netns/red"), dataplane.ErrRefused, "cannot open network namespace"},
		{add(sub, "e0.5", "/run/netns/blue"), dataplane.ErrRefused, "8021q"},
		{add(sub, "e0.5", ""), dataplane.ErrRefused, "another network namespace"},
		{add(inner, "e0.5.6", "/run/netns/blue"), dataplane.ErrRefused, "the outer one alone needs a pair first"},
		{add(orphan, "e1.5", "/run/netns/blue"), dataplane.ErrRefused, "needs a pair first"},
		{add(made.HostPort, "e2", "/run/netns/blue"), dataplane.ErrRefused, "companion itself"},
		{add(tun, "tun0", "/run/netns/blue"), dataplane.ErrRefused, "needs a TUN"},
	} {
		if err := u.refused(x.op); !errors.Is(err, x.is) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%+v: %v", *x.op.Pair, err)
		}
	}
	op := add(tun, "tun0", "/run/netns/blue")
	op.Pair.TUN = true
	if made := u.must(op).Made[0].Pair; !made.TUN {
		t.Errorf("%+v", made)
	}
	// It is there after a new connection, by the same name.
	u.up()
	if again := u.must(add(phy, "e0", "/run/netns/blue")).Made[0].Pair; again != made {
		t.Errorf("again %+v, first %+v", again, made)
	}
}

// TestAnswersInOrder: what is asked later is answered later.
func TestAnswersInOrder(t *testing.T) {
	_, u, phy, _ := start(t, vpptest.Options{})
	var ops []dataplane.Op
	for i := range 1000 {
		ops = append(ops, dataplane.Op{Kind: dataplane.RouteSet, Paths: path(phy, "192.0.2.2"),
			Route: dataplane.RouteKey{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)}})
	}
	for id := range uint64(3) {
		u.c.Write(u.epoch, dataplane.Batch{ID: id, Ops: append([]dataplane.Op(nil), ops...)})
	}
	u.c.Dump(u.epoch, dataplane.KindRoute)
	u.c.Write(u.epoch, dataplane.Batch{ID: 3, Ops: ops[:1]})
	var order []uint64
	routes := 0
	for len(order) < 5 {
		switch e := u.next().(type) {
		case dataplane.Done:
			order = append(order, e.ID)
		case dataplane.Dumped:
			routes += len(e.Routes)
		case dataplane.DumpDone:
			order = append(order, 99)
		case dataplane.Down:
			t.Fatal(e.Err)
		}
	}
	if want := []uint64{0, 1, 2, 99, 3}; !slices.Equal(order, want) || routes != 1000 {
		t.Errorf("answered in the order %v, should be %v; %d routes", order, want, routes)
	}
}

// TestLinkLocal: an IPv6 link-local address is VPP's only one, of length 128;
// it is dumped as it was said, while VPP has it.
func TestLinkLocal(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	add := func(p string) dataplane.Op {
		return dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx(p)}
	}
	u.must(add("fe80::1/64"), add("fe80::2/64"), add("2001:db8::1/64"))
	holds := func(want ...string) {
		t.Helper()
		list, err := u.dump(dataplane.KindAddr)
		var got []string
		for _, a := range list {
			got = append(got, a.(dataplane.Addr).Prefix.String())
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	holds("2001:db8::1/64", "fe80::2/64")
	u.up()
	holds("2001:db8::1/64", "fe80::2/64")
	u.must(dataplane.Op{Kind: dataplane.AddrDel, Index: phy, Prefix: pfx("fe80::1/64")}) // not there any more
	holds("2001:db8::1/64", "fe80::2/64")
	u.must(dataplane.Op{Kind: dataplane.AddrDel, Index: phy, Prefix: pfx("fe80::2/64")})
	holds("2001:db8::1/64")
	u.must(add("fe80::3/64"))
	s.Restart(false)
	u.down()
	if s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500) != phy {
		t.Fatal("another index")
	}
	u.up()
	holds()
}

// TestFullWindow: an operation that reads tables, at any place among routes.
func TestFullWindow(t *testing.T) {
	s := vpptest.Start(t, vpptest.Options{})
	phy := s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500)
	u := newUser(t, s.Socket(), func(o *vpp.Options) { o.Window = 16 })
	u.up()
	for before := range 40 {
		ops := []dataplane.Op{{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("192.0.2.1/24")}}
		for i := range before {
			ops = append(ops, dataplane.Op{Kind: dataplane.RouteSet, Paths: path(phy, "192.0.2.2"),
				Route: dataplane.RouteKey{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)}})
		}
		ops = append(ops, dataplane.Op{Kind: dataplane.AddrDel, Index: phy, Prefix: pfx("192.0.2.1/24")})
		u.must(ops...)
		if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) > 0 {
			t.Fatalf("behind %d routes the address is not found to be deleted: %v, %v", before, list, err)
		}
	}
}
