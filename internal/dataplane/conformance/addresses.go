package conformance

import (
	"net/netip"
	"slices"

	"netbraid/internal/dataplane"
)

func addrOp(k dataplane.OpKind, i uint32, p string) dataplane.Op {
	return dataplane.Op{Kind: k, Index: i, Prefix: prefix(p)}
}

func (c *client) holdsAddrs(want ...dataplane.Addr) {
	c.Helper()
	got := c.dump(dataplane.KindAddr).addrs
	order := func(a, b dataplane.Addr) int {
		if a.Index != b.Index {
			return int(a.Index) - int(b.Index)
		}
		if n := a.Prefix.Addr().Compare(b.Prefix.Addr()); n != 0 {
			return n
		}
		return a.Prefix.Bits() - b.Prefix.Bits()
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if !slices.Equal(got, want) {
		c.Errorf("addresses are\n%v, want\n%v", got, want)
	}
}

// testAddresses: addresses are dumped as written, host bits kept; adding and
// removing is idempotent; the end of one leaves the others.
func testAddresses(c *client) {
	c.connect()
	i, j := c.phy("phy0", true), c.phy("phy1", true)
	var want []dataplane.Addr
	for _, p := range []string{"192.0.2.1/24", "192.0.2.9/24", "198.51.100.1/32", "2001:db8::1/64", "2001:db8::2/64", "2001:db8:1::1/128", "fe80::1/128"} {
		c.write(addrOp(dataplane.AddrAdd, i, p), addrOp(dataplane.AddrAdd, i, p))
		want = append(want, dataplane.Addr{Index: i, Prefix: prefix(p)})
		c.holdsAddrs(slices.Clone(want)...)
	}
	c.write(addrOp(dataplane.AddrAdd, j, "203.0.113.1/30"), addrOp(dataplane.AddrAdd, j, "fe80::1/128"))
	others := []dataplane.Addr{{Index: j, Prefix: prefix("203.0.113.1/30")}, {Index: j, Prefix: prefix("fe80::1/128")}}
	for len(want) > 0 {
		p := want[0].Prefix.String()
		c.write(addrOp(dataplane.AddrDel, i, p), addrOp(dataplane.AddrDel, i, p))
		want = want[1:]
		c.holdsAddrs(append(slices.Clone(want), others...)...)
	}
}

// testAddressesWithin: a single address may lie in the subnet of another one of
// its interface, whichever comes or goes first, and is dumped as written.
func testAddressesWithin(c *client) {
	c.connect()
	i := c.phy("phy0", true)
	have := map[string]bool{}
	for _, s := range []struct {
		kind dataplane.OpKind
		p    string
	}{
		{dataplane.AddrAdd, "192.0.2.1/24"}, {dataplane.AddrAdd, "192.0.2.254/32"}, {dataplane.AddrAdd, "192.0.2.253/32"},
		{dataplane.AddrAdd, "2001:db8::1/64"}, {dataplane.AddrAdd, "2001:db8::100/128"},
		{dataplane.AddrDel, "192.0.2.1/24"}, {dataplane.AddrDel, "2001:db8::1/64"},
		{dataplane.AddrAdd, "2001:db8::1/64"}, {dataplane.AddrAdd, "192.0.2.1/24"}, {dataplane.AddrAdd, "192.0.2.2/24"},
		{dataplane.AddrDel, "192.0.2.254/32"}, {dataplane.AddrDel, "192.0.2.1/24"}, {dataplane.AddrDel, "192.0.2.2/24"},
		{dataplane.AddrDel, "2001:db8::100/128"}, {dataplane.AddrAdd, "192.0.2.254/32"},
	} {
		c.write(addrOp(s.kind, i, s.p), addrOp(s.kind, i, s.p))
		have[s.p] = s.kind == dataplane.AddrAdd
		var want []dataplane.Addr
		for p, there := range have {
			if there {
				want = append(want, dataplane.Addr{Index: i, Prefix: prefix(p)})
			}
		}
		c.holdsAddrs(want...)
	}
}

// testAddressesSurviveBounce: an interface that goes down and up has its
// addresses again.
func testAddressesSurviveBounce(c *client) {
	c.connect()
	i := c.phy("phy0", true)
	c.write(addrOp(dataplane.AddrAdd, i, "192.0.2.1/24"), addrOp(dataplane.AddrAdd, i, "2001:db8::1/64"), addrOp(dataplane.AddrAdd, i, "fe80::1/128"))
	want := c.dump(dataplane.KindAddr).addrs
	c.write(dataplane.Op{Kind: dataplane.SetUp, Index: i})
	c.write(dataplane.Op{Kind: dataplane.SetUp, Index: i, On: true})
	c.holdsAddrs(want...)
	if c.w.Outside == nil || c.w.Outside(&dataplane.Op{Kind: dataplane.SetUp, Index: i}) != nil {
		return
	}
	if err := c.w.Outside(&dataplane.Op{Kind: dataplane.SetUp, Index: i, On: true}); err != nil {
		c.Fatal(err)
	}
	c.eventually("addresses are there again after a bounce from outside", func() bool {
		return len(c.dump(dataplane.KindAddr).addrs) == len(want)
	})
	c.holdsAddrs(want...)
}

// testOutsideAddresses: what others do to addresses is told and dumped.
func testOutsideAddresses(c *client) {
	c.connect()
	i := c.phy("phy0", true)
	c.write(addrOp(dataplane.AddrAdd, i, "192.0.2.1/24"), addrOp(dataplane.AddrAdd, i, "2001:db8::1/64"))
	steps := []struct {
		kind dataplane.OpKind
		p    string
	}{
		{dataplane.AddrAdd, "198.51.100.1/24"}, {dataplane.AddrAdd, "2001:db8:1::1/64"}, // new ones
		{dataplane.AddrDel, "198.51.100.1/24"}, {dataplane.AddrDel, "2001:db8::1/64"}, {dataplane.AddrDel, "192.0.2.1/24"}, // ours
	}
	for _, s := range steps {
		c.unheard(s.kind)
		c.outside(addrOp(s.kind, i, s.p))
		want := dataplane.Addr{Index: i, Prefix: prefix(s.p)}
		gone := s.kind == dataplane.AddrDel
		c.until("AddrChanged", func(e dataplane.Event) bool {
			a, ok := e.(dataplane.AddrChanged)
			return ok && a.Addr == want && a.Gone == gone
		})
	}
	c.holdsAddrs(dataplane.Addr{Index: i, Prefix: prefix("2001:db8:1::1/64")})
	// What is told again by us is no news.
	done, before := c.finish(c.start(addrOp(dataplane.AddrAdd, i, "192.0.2.1/24"), addrOp(dataplane.AddrDel, i, "2001:db8:1::1/64")), 2)
	if len(done.Failed) > 0 {
		c.Errorf("%+v", done.Failed)
	}
	for _, e := range before {
		if a, ok := e.(dataplane.AddrChanged); ok {
			c.Errorf("our own change is told as somebody else's: %+v", a)
		}
	}
}

// testNeighbours: static neighbours are dumped as written.
func testNeighbours(c *client) {
	c.connect()
	i := c.phy("phy0", true)
	c.write(addrOp(dataplane.AddrAdd, i, "192.0.2.1/24"), addrOp(dataplane.AddrAdd, i, "2001:db8::1/64"))
	set := func(a string, last byte) dataplane.Op {
		return dataplane.Op{Kind: dataplane.NeighSet, Index: i, Addr: addr(a), MAC: mac(last), On: true}
	}
	check := func(want ...dataplane.Neigh) {
		c.Helper()
		got := slices.DeleteFunc(c.dump(dataplane.KindNeigh).neighs, func(n dataplane.Neigh) bool { return !n.Static })
		slices.SortFunc(got, func(a, b dataplane.Neigh) int { return a.Addr.Compare(b.Addr) })
		if !slices.Equal(got, want) {
			c.Errorf("neighbours are %v, want %v", got, want)
		}
	}
	a := dataplane.Neigh{Index: i, Addr: addr("192.0.2.2"), MAC: mac(1), Static: true}
	b := dataplane.Neigh{Index: i, Addr: addr("2001:db8::2"), MAC: mac(2), Static: true}
	c.write(set("192.0.2.2", 1), set("192.0.2.2", 1), set("2001:db8::2", 2))
	check(a, b)
	a.MAC = mac(5)
	c.write(set("192.0.2.2", 5))
	check(a, b)
	del := dataplane.Op{Kind: dataplane.NeighDel, Index: i, Addr: addr("192.0.2.2")}
	c.write(del, del)
	check(b)
}

// testLocal: the router's own addresses are a set.
func testLocal(c *client) {
	c.connect()
	op := func(k dataplane.OpKind, a string) dataplane.Op {
		return dataplane.Op{Kind: k, Addr: addr(a)}
	}
	if !c.caps.Local {
		c.fails(dataplane.ErrUnsupported, op(dataplane.LocalAdd, "192.0.2.1"))
		c.Skip("this dataplane knows by itself which addresses are local")
	}
	check := func(want ...string) {
		c.Helper()
		got := c.dump(dataplane.KindLocal).locals
		slices.SortFunc(got, netip.Addr.Compare)
		var list []string
		for _, a := range got {
			list = append(list, a.String())
		}
		if !slices.Equal(list, want) {
			c.Errorf("local addresses are %v, want %v", list, want)
		}
	}
	add, del := dataplane.LocalAdd, dataplane.LocalDel
	c.write(op(add, "192.0.2.1"), op(add, "192.0.2.255"), op(add, "2001:db8::"), op(add, "2001:db8::1"), op(add, "192.0.2.1"))
	check("192.0.2.1", "192.0.2.255", "2001:db8::", "2001:db8::1")
	c.write(op(del, "192.0.2.255"), op(del, "192.0.2.255"), op(del, "203.0.113.1"), op(del, "2001:db8::"), op(add, "192.0.2.9"))
	check("192.0.2.1", "192.0.2.9", "2001:db8::1")
	c.write(op(del, "192.0.2.9"), op(add, "192.0.2.9"), op(add, "192.0.2.8"), op(del, "192.0.2.8")) // the last word counts
	check("192.0.2.1", "192.0.2.9", "2001:db8::1")
	var many []dataplane.Op
	for i := range 1000 {
		a := netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
		many = append(many, dataplane.Op{Kind: dataplane.LocalAdd, Addr: a})
	}
	c.write(many...)
	if n := len(c.dump(dataplane.KindLocal).locals); n != 1003 {
		c.Errorf("%d local addresses are dumped, want 1003", n)
	}
}
