package conformance

import (
	"errors"
	"net/netip"
	"slices"

	"netbraid/internal/dataplane"
)

// Families of RouteKey and Table (AF_INET, AF_INET6, AF_MPLS).
const (
	family4    = 2
	family6    = 10
	familyMPLS = 28
)

func isUnsupported(err error) bool { return errors.Is(err, dataplane.ErrUnsupported) }

// routed is a dataplane with two interfaces that have addresses, so that routes
// can be written: 192.0.2.1/24, 2001:db8::1/64 on phy0; 198.51.100.1/24,
// 2001:db8:1::1/64 on phy1.
type routed struct {
	*client
	a, b uint32
}

func (c *client) routed() *routed {
	c.Helper()
	c.w.AddPhy("phy0")
	c.w.AddPhy("phy1")
	return c.address()
}

// address is routed for phys that are there.
func (c *client) address() *routed {
	c.Helper()
	r := &routed{client: c}
	r.a, r.b = c.iface("phy0").Index, c.iface("phy1").Index
	c.write(
		dataplane.Op{Kind: dataplane.SetUp, Index: r.a, On: true},
		dataplane.Op{Kind: dataplane.SetUp, Index: r.b, On: true},
		addrOp(dataplane.AddrAdd, r.a, "192.0.2.1/24"), addrOp(dataplane.AddrAdd, r.a, "2001:db8::1/64"),
		addrOp(dataplane.AddrAdd, r.b, "198.51.100.1/24"), addrOp(dataplane.AddrAdd, r.b, "2001:db8:1::1/64"))
	return r
}

// via is a path through neighbour n of phy0, via6 the same by IPv6; viaB and
// viaB6 go through phy1.
func (r *routed) via(n byte) dataplane.Path {
	return dataplane.Path{Index: r.a, Via: netip.AddrFrom4([4]byte{192, 0, 2, n}), Weight: 1}
}

func (r *routed) viaB(n byte) dataplane.Path {
	return dataplane.Path{Index: r.b, Via: netip.AddrFrom4([4]byte{198, 51, 100, n}), Weight: 1}
}

func (r *routed) via6(n byte) dataplane.Path {
	a := addr("2001:db8::").As16()
	a[15] = n
	return dataplane.Path{Index: r.a, Via: netip.AddrFrom16(a), Weight: 1}
}

func (r *routed) viaB6(n byte) dataplane.Path {
	a := addr("2001:db8:1::").As16()
	a[15] = n
	return dataplane.Path{Index: r.b, Via: netip.AddrFrom16(a), Weight: 1}
}

func weighted(p dataplane.Path, w uint16) dataplane.Path {
	p.Weight = w
	return p
}

func paths(p ...dataplane.Path) *dataplane.PathSet {
	s := &dataplane.PathSet{Paths: p}
	s.Sort()
	return s
}

func kind(k dataplane.RouteKind) *dataplane.PathSet { return &dataplane.PathSet{Kind: k} }

func familyOf(p netip.Prefix) uint8 {
	if p.Addr().Is4() {
		return family4
	}
	return family6
}

func routeSet(table uint32, p netip.Prefix, s *dataplane.PathSet) dataplane.Op {
	return dataplane.Op{Kind: dataplane.RouteSet, Family: familyOf(p), Route: dataplane.RouteKey{Table: table, Prefix: p}, Paths: s}
}

func routeDel(table uint32, p netip.Prefix) dataplane.Op {
	return dataplane.Op{Kind: dataplane.RouteDel, Family: familyOf(p), Route: dataplane.RouteKey{Table: table, Prefix: p}}
}

func (r *routed) set(p string, list ...dataplane.Path) dataplane.Op {
	return routeSet(0, prefix(p), paths(list...))
}

func (r *routed) route(p string, list ...dataplane.Path) dataplane.Route {
	return dataplane.Route{Key: dataplane.RouteKey{Prefix: prefix(p)}, Paths: paths(list...)}
}

// holdsRoutes holds that a dump shows exactly these routes of ours.
func (c *client) holdsRoutes(want ...dataplane.Route) {
	c.Helper()
	got := c.dump(dataplane.KindRoute).routes
	order := func(a, b dataplane.Route) int { return a.Key.Compare(b.Key) }
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	for len(got) > 0 || len(want) > 0 {
		switch {
		case len(want) == 0 || len(got) > 0 && order(got[0], want[0]) < 0:
			c.Errorf("route %+v is dumped and should not be there: %+v", got[0].Key, got[0].Paths)
			got = got[1:]
		case len(got) == 0 || order(got[0], want[0]) > 0:
			c.Errorf("route %+v is not dumped, should be %+v", want[0].Key, want[0].Paths)
			want = want[1:]
		default:
			if !got[0].Paths.Equal(want[0].Paths) {
				c.Errorf("route %+v is dumped as\n%+v, written as\n%+v", got[0].Key, got[0].Paths, want[0].Paths)
			}
			got, want = got[1:], want[1:]
		}
	}
}

// testRoutes: every kind of route is dumped as it was written; writing it again
// and removing it twice is no error.
func testRoutes(c *client) {
	c.connect()
	r := c.routed()
	onlink := dataplane.Path{Index: r.a, Weight: 1}
	six := dataplane.Path{Index: r.a, Via: addr("fe80::2"), Weight: 1}
	cases := []struct {
		prefix string
		set    *dataplane.PathSet
	}{
		{"0.0.0.0/0", paths(r.via(2))},
		{"10.0.0.0/8", paths(r.via(2))},
		{"10.0.0.0/9", paths(r.viaB(2))},
		{"10.1.0.0/16", paths(r.via(2), r.viaB(2))},
		{"10.2.0.0/16", paths(weighted(r.via(2), 1), weighted(r.viaB(2), 3))},
		{"10.3.0.0/16", paths(onlink)},
		{"10.4.0.1/32", paths(onlink)},
		{"10.5.0.0/16", kind(dataplane.Blackhole)},
		{"10.6.0.0/16", kind(dataplane.Unreachable)},
		{"10.7.0.0/16", kind(dataplane.Prohibit)},
		{"10.8.0.0/16", paths(r.via6(2))}, // RFC 5549
		{"10.9.0.0/16", paths(six)},
		{"10.10.0.0/16", paths(r.via(2), r.viaB6(2))},
		{"10.11.0.0/16", paths(weighted(r.via(2), 254), weighted(r.viaB(2), 255))},
		{"::/0", paths(r.via6(2))},
		{"2001:db8:100::/48", paths(r.via6(2))},
		{"2001:db8:101::/48", paths(r.via6(2), r.viaB6(2))},
		{"2001:db8:102::/48", paths(weighted(r.via6(2), 1), weighted(r.via6(3), 3), weighted(r.viaB6(2), 2))},
		{"2001:db8:103::/48", paths(six)},
		{"2001:db8:104::/48", paths(onlink)},
		{"2001:db8:105::1/128", paths(onlink)},
		{"2001:db8:106::/48", kind(dataplane.Blackhole)},
		{"2001:db8:107::/48", kind(dataplane.Unreachable)},
		{"2001:db8:108::/48", kind(dataplane.Prohibit)},
	}
	var ops []dataplane.Op
	var want []dataplane.Route
	for _, x := range cases {
		ops = append(ops, routeSet(0, prefix(x.prefix), x.set))
		want = append(want, dataplane.Route{Key: dataplane.RouteKey{Prefix: prefix(x.prefix)}, Paths: x.set})
	}
	c.write(ops...)
	c.holdsRoutes(slices.Clone(want)...)
	c.write(ops...)
	c.holdsRoutes(slices.Clone(want)...)
	for i := 0; i < len(want); i++ {
		del := routeDel(0, want[i].Key.Prefix)
		c.write(del, del)
		rest := slices.Clone(want[i+1:])
		if i%6 == 5 || i == len(want)-1 {
			c.holdsRoutes(rest...)
		}
	}
}

// testRouteReplace: RouteSet makes the route what it says, whatever it was.
func testRouteReplace(c *client) {
	c.connect()
	r := c.routed()
	onlink := dataplane.Path{Index: r.b, Weight: 1}
	sets := map[string][]*dataplane.PathSet{
		"10.0.0.0/8": {
			paths(r.via(2)), paths(r.via(3)), paths(r.viaB(2)), paths(r.via(2), r.viaB(2)), paths(weighted(r.via(2), 1), weighted(r.viaB(2), 3)),
			paths(r.via(2), r.via(3), r.viaB(2)), paths(onlink), kind(dataplane.Blackhole), kind(dataplane.Prohibit), paths(r.via6(2)),
		},
		"2001:db8:100::/48": {
			paths(r.via6(2)), paths(r.via6(3)), paths(r.viaB6(2)), paths(r.via6(2), r.viaB6(2)), paths(weighted(r.via6(2), 1), weighted(r.viaB6(2), 3)),
			paths(r.via6(2), r.via6(3), r.viaB6(2)), paths(onlink), kind(dataplane.Blackhole), kind(dataplane.Prohibit),
		},
	}
	for _, p := range []string{"10.0.0.0/8", "2001:db8:100::/48"} {
		key := dataplane.RouteKey{Prefix: prefix(p)}
		for i, from := range sets[p] {
			for j, to := range sets[p] {
				if i == j {
					continue
				}
				c.write(routeSet(0, key.Prefix, from), routeSet(0, key.Prefix, to))
				c.holdsRoutes(dataplane.Route{Key: key, Paths: to})
			}
		}
		c.write(routeDel(0, key.Prefix))
		c.holdsRoutes()
	}
}

// testRouteTables: the same prefix in several FIBs is several routes.
func testRouteTables(c *client) {
	c.connect()
	r := c.routed()
	first := c.try(dataplane.Op{Kind: dataplane.TableAdd, Value: 1001, Family: family4})
	if len(first.Failed) > 0 {
		c.unsupported(first, "tables")
	}
	for _, id := range []uint32{1001, 1002} {
		c.write(dataplane.Op{Kind: dataplane.TableAdd, Value: id, Family: family4}, dataplane.Op{Kind: dataplane.TableAdd, Value: id, Family: family6})
	}
	var want []dataplane.Route
	for n, id := range []uint32{0, 1001, 1002} {
		for p, s := range map[string]*dataplane.PathSet{"10.0.0.0/8": paths(r.via(byte(2 + n))), "2001:db8:100::/48": paths(r.via6(byte(2 + n)))} {
			c.write(routeSet(id, prefix(p), s))
			want = append(want, dataplane.Route{Key: dataplane.RouteKey{Table: id, Prefix: prefix(p)}, Paths: s})
		}
	}
	c.holdsRoutes(slices.Clone(want)...)
	c.write(routeDel(1001, prefix("10.0.0.0/8")), routeDel(1002, prefix("2001:db8:100::/48")))
	want = slices.DeleteFunc(want, func(x dataplane.Route) bool {
		return x.Key.Table == 1001 && x.Key.Prefix.Addr().Is4() || x.Key.Table == 1002 && x.Key.Prefix.Addr().Is6()
	})
	c.holdsRoutes(want...)
}

// testManyPaths: a route has as many paths as the dataplane says it can.
func testManyPaths(c *client) {
	c.connect()
	r := c.routed()
	var four, six []dataplane.Path
	for i := range min(c.caps.MaxPaths, 128) {
		four = append(four, r.via(byte(2+i)))
		six = append(six, weighted(r.via6(byte(2+i)), uint16(1+i%4)))
	}
	c.write(r.set("10.0.0.0/8", four...), r.set("2001:db8:100::/48", six...))
	c.holdsRoutes(r.route("10.0.0.0/8", four...), r.route("2001:db8:100::/48", six...))
}

// manyRoutes is enough for several full batches.
const manyRoutes = 5000

// testManyRoutes: several full batches in flight are answered in their order,
// and the dump shows all of them.
func testManyRoutes(c *client) {
	c.connect()
	r := c.routed()
	sets := []*dataplane.PathSet{paths(r.via(2)), paths(r.via(3)), paths(weighted(r.via(2), 1), weighted(r.viaB(2), 3)), kind(dataplane.Blackhole)}
	sets6 := []*dataplane.PathSet{paths(r.via6(2)), paths(r.via6(3)), paths(weighted(r.via6(2), 1), weighted(r.viaB6(2), 3)), kind(dataplane.Unreachable)}
	var want []dataplane.Route
	for i := range manyRoutes {
		p, s := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24), sets[i%len(sets)]
		if i%5 == 4 {
			p, s = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, byte(i >> 8), byte(i)}), 56), sets6[i/5%len(sets6)]
		}
		want = append(want, dataplane.Route{Key: dataplane.RouteKey{Prefix: p}, Paths: s})
	}
	c.batches(want, func(x dataplane.Route) dataplane.Op { return routeSet(0, x.Key.Prefix, x.Paths) })
	c.holdsRoutes(slices.Clone(want)...)
	c.batches(want[:3000], func(x dataplane.Route) dataplane.Op { return routeDel(0, x.Key.Prefix) })
	c.holdsRoutes(slices.Clone(want[3000:])...)
}

// batches writes an operation for each route, in full batches, four of them in
// flight.
func (c *client) batches(routes []dataplane.Route, op func(dataplane.Route) dataplane.Op) {
	c.Helper()
	type sent struct {
		id uint64
		n  int
	}
	var flying []sent
	land := func() {
		done, _ := c.finish(flying[0].id, flying[0].n)
		if len(done.Failed) > 0 {
			c.Fatalf("%d operations of a batch failed, the first: %v", len(done.Failed), done.Failed[0].Err)
		}
		flying = flying[1:]
	}
	for part := range slices.Chunk(routes, dataplane.MaxBatch) {
		ops := make([]dataplane.Op, 0, dataplane.MaxBatch)
		for _, x := range part {
			ops = append(ops, op(x))
		}
		if len(flying) == 4 {
			land()
		}
		flying = append(flying, sent{c.start(ops...), len(ops)})
	}
	for len(flying) > 0 {
		land()
	}
}

// testOnlyOwnRoutes: a dump shows the routes of our own source, and no others;
// ours are written beside others of the same prefix.
func testOnlyOwnRoutes(c *client) {
	c.connect()
	r := c.routed()
	c.write(r.set("10.1.0.0/16", r.via(2)))
	c.outside(r.set("10.2.0.0/16", r.via(3)))
	c.outside(r.set("10.3.0.0/16", r.via(3)))
	c.holdsRoutes(r.route("10.1.0.0/16", r.via(2)))
	c.write(routeDel(0, prefix("10.2.0.0/16"))) // not ours
	// Where both have one the other may have the say, and be the one that is seen;
	// it is never taken away.
	c.write(r.set("10.3.0.0/16", r.via(2)), routeDel(0, prefix("10.3.0.0/16")))
	c.holdsRoutes(r.route("10.1.0.0/16", r.via(2)))
}

// testOutsideRouteDeleted: somebody else's hand on our routes is told.
func testOutsideRouteDeleted(c *client) {
	c.unheard(dataplane.RouteDel)
	c.connect()
	r := c.routed()
	c.write(r.set("10.1.0.0/16", r.via(2)), r.set("2001:db8:100::/48", r.via6(2)))
	for _, p := range []string{"10.1.0.0/16", "2001:db8:100::/48"} {
		c.outside(routeDel(0, prefix(p)))
		c.until("Disturbed", func(e dataplane.Event) bool {
			d, ok := e.(dataplane.Disturbed)
			return ok && d.Kind == dataplane.KindRoute
		})
	}
	c.holdsRoutes()
}

// testRoutesSurviveClient: a client that comes anew finds the routes.
func testRoutesSurviveClient(c *client) {
	c.connect()
	r := c.routed()
	c.write(r.set("10.1.0.0/16", r.via(2)), r.set("2001:db8:100::/48", r.via6(2), r.viaB6(2)))
	c.close()
	second := newClient(c.T, c.w).connect()
	want := []dataplane.Route{r.route("10.1.0.0/16", r.via(2)), r.route("2001:db8:100::/48", r.via6(2), r.viaB6(2))}
	second.holdsRoutes(want...)
	second.write(routeDel(0, prefix("10.1.0.0/16")))
	second.holdsRoutes(want[1])
}

// testMPLS: labels are swapped, popped and pushed as written.
func testMPLS(c *client) {
	c.connect()
	r := c.routed()
	labels := func(p dataplane.Path, l ...uint32) dataplane.Path {
		p.Labels.N = uint8(copy(p.Labels.L[:], l))
		return p
	}
	set := func(label uint32, eos bool, s *dataplane.PathSet) dataplane.Op {
		return dataplane.Op{Kind: dataplane.RouteSet, Family: familyMPLS, Route: dataplane.RouteKey{Label: label, EOS: eos}, Paths: s}
	}
	if !c.caps.MPLS {
		for _, op := range []dataplane.Op{
			{Kind: dataplane.SetMPLS, Index: r.a, On: true},
			set(100, true, paths(labels(r.via(2), 200))),
			r.set("10.1.0.0/16", labels(r.via(2), 200)),
		} {
			c.fails(dataplane.ErrUnsupported, op)
		}
		c.holdsRoutes()
		c.Skip("this dataplane has no MPLS")
	}
	for _, on := range []bool{true, true, false, true} {
		c.write(dataplane.Op{Kind: dataplane.SetMPLS, Index: r.a, On: on})
		if x := c.iface("phy0"); x.MPLS != on {
			c.Errorf("MPLS set to %v: %+v", on, x)
		}
	}
	want := []dataplane.Route{
		{Key: dataplane.RouteKey{Label: 100, EOS: true}, Paths: paths(labels(r.via(2), 200))},       // swap
		{Key: dataplane.RouteKey{Label: 101, EOS: true}, Paths: paths(labels(r.via6(2), 200, 300))}, // swap for two
		{Key: dataplane.RouteKey{Label: 102, EOS: true}, Paths: paths(r.via(2))},                    // pop
		{Key: dataplane.RouteKey{Prefix: prefix("10.1.0.0/16")}, Paths: paths(labels(r.via(2), 200))},
		{Key: dataplane.RouteKey{Prefix: prefix("10.2.0.0/16")}, Paths: paths(labels(r.via(2), 200, 201), labels(r.viaB(2), 300))},
		{Key: dataplane.RouteKey{Prefix: prefix("2001:db8:100::/48")}, Paths: paths(labels(r.via6(2), 16, 17, 18))},
	}
	var ops []dataplane.Op
	for _, x := range want {
		if x.Key.MPLS() {
			ops = append(ops, set(x.Key.Label, x.Key.EOS, x.Paths))
		} else {
			ops = append(ops, routeSet(0, x.Key.Prefix, x.Paths))
		}
	}
	c.write(ops...)
	c.write(ops...)
	c.holdsRoutes(slices.Clone(want)...)
	want[0].Paths = paths(labels(r.viaB(2), 400))
	c.write(set(100, true, want[0].Paths))
	c.holdsRoutes(slices.Clone(want)...)
	del := dataplane.Op{Kind: dataplane.RouteDel, Family: familyMPLS, Route: dataplane.RouteKey{Label: 101, EOS: true}}
	c.write(del, del)
	c.holdsRoutes(slices.Delete(slices.Clone(want), 1, 2)...)
	// A label above others has a key of its own.
	above := dataplane.Route{Key: dataplane.RouteKey{Label: 100}, Paths: want[0].Paths}
	want = append(slices.Delete(want, 1, 2), above)
	c.write(set(100, false, above.Paths))
	c.holdsRoutes(slices.Clone(want)...)
	del.Route = dataplane.RouteKey{Label: 100, EOS: true}
	c.write(del, del)
	c.holdsRoutes(slices.Clone(want[1:])...)
	del.Route = above.Key
	c.write(del, del)
	c.holdsRoutes(slices.Clone(want[1 : len(want)-1])...)
	c.fails(nil, set(1<<20, true, paths(r.via(2))))
	c.fails(nil, r.set("10.9.0.0/16", labels(r.via(2), 1<<20)))
}
