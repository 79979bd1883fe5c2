package conformance

import (
	"net/netip"
	"slices"

	"netbraid/internal/dataplane"
)

// testFailuresInBatch: an operation that fails keeps no other from being done,
// and is named.
func testFailuresInBatch(c *client) {
	c.connect()
	r := c.routed()
	nowhere := dataplane.Path{Index: noIndex, Via: addr("192.0.2.2"), Weight: 1}
	ops := []dataplane.Op{
		r.set("10.0.0.0/16", nowhere),
		r.set("10.1.0.0/16", r.via(2)),
		r.set("10.2.0.0/16", nowhere),
		{Kind: dataplane.SetMTU, Index: noIndex, Value: 1400},
		{Kind: dataplane.SetMTU, Index: r.a, Value: 1400},
		addrOp(dataplane.AddrAdd, noIndex, "203.0.113.1/24"),
		addrOp(dataplane.AddrAdd, r.b, "203.0.113.1/24"),
		r.set("10.3.0.0/16", r.viaB(2)),
	}
	done := c.try(ops...)
	var failed []int
	for _, f := range done.Failed {
		failed = append(failed, f.Op)
	}
	if want := []int{0, 2, 3, 5}; !slices.Equal(failed, want) {
		c.Errorf("operations %v failed, should be %v", failed, want)
	}
	c.holdsRoutes(r.route("10.1.0.0/16", r.via(2)), r.route("10.3.0.0/16", r.viaB(2)))
	if x := c.iface("phy0"); x.MTU != 1400 {
		c.Errorf("MTU was not set: %+v", x)
	}
	if !slices.Contains(c.dump(dataplane.KindAddr).addrs, dataplane.Addr{Index: r.b, Prefix: prefix("203.0.113.1/24")}) {
		c.Error("the address after one that failed is not there")
	}
	// A route that fails to be replaced is what it was.
	c.try(r.set("10.1.0.0/16", nowhere))
	c.holdsRoutes(r.route("10.1.0.0/16", r.via(2)), r.route("10.3.0.0/16", r.viaB(2)))
	if done := c.try(); len(done.Failed) != 0 {
		c.Errorf("an empty batch: %+v", done)
	}
}

// testMalformed: what makes no sense is refused, and harms nothing.
func testMalformed(c *client) {
	c.connect()
	r := c.routed()
	wrongFamily := r.set("2001:db8:100::/48", r.via(2))
	zeroWeight := r.set("10.1.0.0/16", weighted(r.via(2), 0))
	unicastEmpty := routeSet(0, prefix("10.1.0.0/16"), &dataplane.PathSet{})
	blackholePath := routeSet(0, prefix("10.1.0.0/16"), &dataplane.PathSet{Kind: dataplane.Blackhole, Paths: []dataplane.Path{r.via(2)}})
	bad := []dataplane.Op{
		{},
		{Kind: 200, Index: r.a},
		{Kind: dataplane.PairAdd},
		{Kind: dataplane.PairDel},
		{Kind: dataplane.AddrAdd, Index: r.a},
		{Kind: dataplane.NeighSet, Index: r.a, MAC: mac(1)},
		{Kind: dataplane.NeighSet, Index: r.a, Addr: addr("192.0.2.2")},
		{Kind: dataplane.SetMAC, Index: r.a},
		{Kind: dataplane.RouteSet, Family: family4},
		{Kind: dataplane.RouteSet, Family: family4, Route: dataplane.RouteKey{Prefix: prefix("10.1.0.0/16")}},
		{Kind: dataplane.RouteSet, Family: family4, Route: dataplane.RouteKey{Prefix: netip.PrefixFrom(addr("10.0.0.0"), 33)}, Paths: paths(r.via(2))},
		wrongFamily, zeroWeight, unicastEmpty, blackholePath,
	}
	if c.caps.Local {
		bad = append(bad, dataplane.Op{Kind: dataplane.LocalAdd})
	}
	for i, op := range bad {
		done := c.try(op, r.set("10.77.0.0/16", r.via(2)))
		if len(done.Failed) != 1 || done.Failed[0].Op != 0 {
			c.Errorf("malformed operation %d (%v): %+v", i, op.Kind, done.Failed)
		}
	}
	c.holdsRoutes(r.route("10.77.0.0/16", r.via(2)))
}

// testUnsupported: what a dataplane says it cannot do fails as ErrUnsupported.
func testUnsupported(c *client) {
	c.connect()
	phy := c.phy("phy0", true)
	tun := c.pairAdd(phy, "host0")
	pair := *tun.Pair
	pair.TUN = true
	tun.Pair = &pair
	if !c.caps.TUN {
		c.fails(dataplane.ErrUnsupported, tun)
	} else {
		c.fails(nil, tun) // phy has Ethernet
	}
	if !c.caps.Carrier {
		c.fails(dataplane.ErrUnsupported, dataplane.Op{Kind: dataplane.SetCarrier, Index: phy, On: true})
	}
	c.holdsPairs()
}
