package conformance

import (
	"fmt"
	"slices"

	"netbraid/internal/dataplane"
)

// testInterfaces: a dump shows what an interface is.
func testInterfaces(c *client) {
	c.w.AddPhy("phy0")
	c.w.AddPhy("phy1")
	c.connect()
	a, b := c.iface("phy0"), c.iface("phy1")
	if a.Index == b.Index || a.MAC == b.MAC {
		c.Errorf("two interfaces: %+v, %+v", a, b)
	}
	for _, x := range []dataplane.Interface{a, b} {
		if x.Parent != dataplane.NoIndex || x.Sub != (dataplane.Sub{}) || x.Type != dataplane.Ethernet || x.Up || x.MTU != 1500 ||
			x.MAC.Len != 6 || x.Companion || x.MPLS || x.Table4 != 0 || x.Table6 != 0 {
			c.Errorf("interface %s: %+v", x.Name, x)
		}
	}
}

// testInterfaceComesAndGoes: a new interface is told by Changed, the end of one
// by Gone.
func testInterfaceComesAndGoes(c *client) {
	c.connect()
	c.w.AddPhy("phy0")
	var i uint32
	c.until("Changed of a new interface", func(e dataplane.Event) bool {
		ch, ok := e.(dataplane.Changed)
		if ok && ch.Interface.Name == "phy0" {
			i = ch.Interface.Index
			return true
		}
		return false
	})
	if got := c.iface("phy0"); got.Index != i {
		c.Errorf("told as %d, dumped as %+v", i, got)
	}
	if c.w.DelPhy == nil {
		c.Skip("interfaces of this world do not go away")
	}
	c.w.DelPhy("phy0")
	c.until("Gone", func(e dataplane.Event) bool {
		g, ok := e.(dataplane.Gone)
		return ok && g.Index == i
	})
	if _, there := c.index(i); there {
		c.Error("an interface that is gone is dumped")
	}
	c.fails(dataplane.ErrNoInterface, dataplane.Op{Kind: dataplane.SetUp, Index: i, On: true})
}

// testAdminState: SetUp does what it says, twice as well as once.
func testAdminState(c *client) {
	c.connect()
	i := c.phy("phy0", false)
	for _, on := range []bool{true, true, false, false, true} {
		c.write(dataplane.Op{Kind: dataplane.SetUp, Index: i, On: on})
		if got := c.iface("phy0"); got.Up != on {
			c.Errorf("set to %v: %+v", on, got)
		}
	}
}

// testMTU: SetMTU is dumped as written, in octets of an IP packet.
func testMTU(c *client) {
	c.connect()
	i := c.phy("phy0", true)
	for _, mtu := range []uint32{1400, 1400, 1280, 1500} {
		c.write(dataplane.Op{Kind: dataplane.SetMTU, Index: i, Value: mtu})
		if got := c.iface("phy0"); got.MTU != mtu {
			c.Errorf("set to %d: %+v", mtu, got)
		}
	}
	c.fails(dataplane.ErrRefused, dataplane.Op{Kind: dataplane.SetMTU, Index: i, Value: 1 << 24})
	if got := c.iface("phy0"); got.MTU != 1500 {
		c.Errorf("after a refusal: %+v", got)
	}
}

// testMAC: SetMAC is dumped as written.
func testMAC(c *client) {
	c.connect()
	i := c.phy("phy0", true)
	for _, last := range []byte{1, 1, 2} {
		c.write(dataplane.Op{Kind: dataplane.SetMAC, Index: i, MAC: mac(last)})
		if got := c.iface("phy0"); got.MAC != mac(last) {
			c.Errorf("set to %v: %+v", mac(last), got)
		}
	}
	multicast := mac(3)
	multicast.B[0] |= 1
	c.fails(dataplane.ErrRefused, dataplane.Op{Kind: dataplane.SetMAC, Index: i, MAC: multicast})
}

// testOutsideChanges: what others change of an interface is told, and dumped.
func testOutsideChanges(c *client) {
	c.connect()
	i := c.phy("phy0", false)
	steps := []struct {
		op   dataplane.Op
		seen func(dataplane.Interface) bool
	}{
		{dataplane.Op{Kind: dataplane.SetUp, Index: i, On: true}, func(x dataplane.Interface) bool { return x.Up }},
		{dataplane.Op{Kind: dataplane.SetMTU, Index: i, Value: 1390}, func(x dataplane.Interface) bool { return x.MTU == 1390 }},
		{dataplane.Op{Kind: dataplane.SetMAC, Index: i, MAC: mac(9)}, func(x dataplane.Interface) bool { return x.MAC == mac(9) }},
		{dataplane.Op{Kind: dataplane.SetUp, Index: i}, func(x dataplane.Interface) bool { return !x.Up }},
	}
	for _, s := range steps {
		if why := c.w.Silent[s.op.Kind]; why != "" {
			c.Logf("%v from outside is not told: %s", s.op.Kind, why)
			continue
		}
		c.outside(s.op)
		c.until("Changed after "+s.op.Kind.String()+" from outside", func(e dataplane.Event) bool {
			ch, ok := e.(dataplane.Changed)
			return ok && ch.Interface.Index == i && s.seen(ch.Interface)
		})
		if got := c.iface("phy0"); !s.seen(got) {
			c.Errorf("%v from outside: dumped %+v", s.op.Kind, got)
		}
	}
}

// noIndex is an interface that no world has.
const noIndex = 0x7ffffff0

// testNoInterface: an operation on an interface that is not there fails as
// ErrNoInterface; a removal has nothing to do.
func testNoInterface(c *client) {
	c.connect()
	set := &dataplane.PathSet{Paths: []dataplane.Path{{Index: noIndex, Via: addr("192.0.2.2"), Weight: 1}}}
	for _, op := range []dataplane.Op{
		{Kind: dataplane.SetUp, Index: noIndex, On: true},
		{Kind: dataplane.SetMTU, Index: noIndex, Value: 1400},
		{Kind: dataplane.SetMAC, Index: noIndex, MAC: mac(1)},
		{Kind: dataplane.SetTable, Index: noIndex},
		{Kind: dataplane.AddrAdd, Index: noIndex, Prefix: prefix("192.0.2.1/24")},
		{Kind: dataplane.AddrAdd, Index: noIndex, Prefix: prefix("2001:db8::1/64")},
		{Kind: dataplane.NeighSet, Index: noIndex, Addr: addr("192.0.2.2"), MAC: mac(1), On: true},
		{Kind: dataplane.RouteSet, Family: family4, Route: dataplane.RouteKey{Prefix: prefix("10.0.0.0/8")}, Paths: set},
		{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: noIndex, HostName: "host0", NetNS: c.w.NetNS, HostPort: dataplane.NoIndex}},
	} {
		c.fails(dataplane.ErrNoInterface, op)
	}
	c.write(
		dataplane.Op{Kind: dataplane.AddrDel, Index: noIndex, Prefix: prefix("192.0.2.1/24")},
		dataplane.Op{Kind: dataplane.AddrDel, Index: noIndex, Prefix: prefix("2001:db8::1/64")},
		dataplane.Op{Kind: dataplane.NeighDel, Index: noIndex, Addr: addr("192.0.2.2")},
		dataplane.Op{Kind: dataplane.SubDel, Index: noIndex},
		dataplane.Op{Kind: dataplane.PairDel, Pair: &dataplane.Pair{Phy: noIndex, HostName: "host0", NetNS: c.w.NetNS, HostPort: dataplane.NoIndex}},
	)
}

// testSubInterfaces: one tag or two, of either type; dumped as written; made
// twice it is the same one.
func testSubInterfaces(c *client) {
	c.connect()
	phy := c.phy("phy0", true)
	if !c.caps.SubInterfaces {
		c.fails(dataplane.ErrUnsupported, dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 100, Exact: true}})
		c.Skip("this dataplane has no sub-interfaces")
	}
	subs := []dataplane.Sub{
		{Outer: 100, Exact: true},
		{Outer: 100, OuterAD: true, Exact: true},
		{Outer: 100, Inner: 7, Exact: true},
		{Outer: 200, Inner: 7, Exact: true}, // there is no sub-interface with the outer tag alone
		{Outer: 200, Inner: 8, OuterAD: true, Exact: true},
		{Outer: 4094, Inner: 1, OuterAD: true, InnerAD: true, Exact: true},
	}
	made := map[uint32]dataplane.Sub{}
	var order []uint32 // outer tags alone before those with two: a dataplane may want the outer one up first
	for _, s := range subs {
		if s.InnerAD {
			if try := c.try(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: s}); len(try.Failed) == 1 && isUnsupported(try.Failed[0].Err) {
				continue // VPP has 0x8100 inside only
			}
		}
		done := c.write(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: s}, dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: s})
		if len(done.Made) != 2 || done.Made[0].Index != done.Made[1].Index || made[done.Made[0].Index] != (dataplane.Sub{}) {
			c.Fatalf("%+v made twice: %+v (before: %v)", s, done.Made, made)
		}
		made[done.Made[0].Index] = s
		order = append(order, done.Made[0].Index)
	}
	count := func() (n int) {
		for _, x := range c.dump(dataplane.KindInterface).ifs {
			if x.Parent == dataplane.NoIndex {
				continue
			}
			n++
			if x.Parent != phy || made[x.Index] != x.Sub {
				c.Errorf("sub-interface %+v, made as %+v", x, made[x.Index])
			}
		}
		return n
	}
	if n := count(); n != len(made) {
		c.Errorf("%d sub-interfaces are dumped, %d were made", n, len(made))
	}
	for n, i := range order {
		c.write(dataplane.Op{Kind: dataplane.SetUp, Index: i, On: true}, dataplane.Op{Kind: dataplane.AddrAdd, Index: i, Prefix: prefix(fmt.Sprintf("192.0.%d.1/24", n+1))})
		if x, _ := c.index(i); !x.Up {
			c.Errorf("sub-interface does not go up: %+v", x)
		}
	}
	for _, i := range order {
		c.write(dataplane.Op{Kind: dataplane.SubDel, Index: i}, dataplane.Op{Kind: dataplane.SubDel, Index: i})
		if x, there := c.index(i); there {
			c.Errorf("deleted sub-interface is dumped: %+v", x)
		}
		delete(made, i)
		if n := count(); n != len(made) {
			c.Errorf("%d sub-interfaces are dumped, %d are left", n, len(made))
		}
	}
	for _, bad := range []dataplane.Sub{{}, {Outer: 4095}, {Outer: 1, Inner: 4095}, {Inner: 5}} {
		c.fails(nil, dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: bad})
	}
	sub := c.write(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 5, Exact: true}}).Made[0].Index
	c.fails(nil, dataplane.Op{Kind: dataplane.SubAdd, Index: sub, Sub: dataplane.Sub{Outer: 6, Exact: true}})
}

// testTables: a FIB is dumped from TableAdd to TableDel, and an interface tells
// the one that it is bound to.
func testTables(c *client) {
	c.connect()
	phy := c.phy("phy0", true)
	want := []dataplane.Table{{ID: 1001, Family: family4}, {ID: 1001, Family: family6}, {ID: 1002, Family: family6}}
	first := c.try(dataplane.Op{Kind: dataplane.TableAdd, Value: 1001, Family: family4})
	if len(first.Failed) > 0 {
		c.unsupported(first, "tables")
	}
	for _, t := range want {
		add := dataplane.Op{Kind: dataplane.TableAdd, Value: t.ID, Family: t.Family}
		c.write(add, add)
	}
	check := func(want ...dataplane.Table) {
		c.Helper()
		got := c.dump(dataplane.KindTable).tables
		slices.SortFunc(got, func(a, b dataplane.Table) int { return int(a.ID)*100 + int(a.Family) - int(b.ID)*100 - int(b.Family) })
		if !slices.Equal(got, want) {
			c.Errorf("tables %v, want %v", got, want)
		}
	}
	check(want...)
	for _, id := range []uint32{1001, 1001, 0} {
		c.write(dataplane.Op{Kind: dataplane.SetTable, Index: phy, Value: id})
		if x := c.iface("phy0"); x.Table4 != id || x.Table6 != id {
			c.Errorf("bound to %d: %+v", id, x)
		}
	}
	for _, t := range want {
		del := dataplane.Op{Kind: dataplane.TableDel, Value: t.ID, Family: t.Family}
		c.write(del, del)
	}
	check()
}

// unsupported skips the case when the one failure says ErrUnsupported and why.
func (c *client) unsupported(done dataplane.Done, what string) {
	c.Helper()
	if len(done.Failed) == 1 && isUnsupported(done.Failed[0].Err) {
		c.Skipf("no %s: %v", what, done.Failed[0].Err)
	}
	c.Fatalf("%s: %+v", what, done.Failed)
}

// testMulticast: what is sent to all on a link is handed on from SetMulticast
// to SetMulticast, whatever table the interface is bound to meanwhile, and
// whoever asks.
func testMulticast(c *client) {
	c.connect()
	phy0, phy1 := c.phy("phy0", true), c.phy("phy1", true)
	set := func(i uint32, on bool) dataplane.Op {
		return dataplane.Op{Kind: dataplane.SetMulticast, Index: i, On: on}
	}
	if !c.caps.Multicast {
		c.fails(dataplane.ErrUnsupported, set(phy0, true))
		c.Skip("companions hear multicast without being told to")
	}
	check := func(c *client, on0, on1 bool) {
		c.Helper()
		if x, y := c.iface("phy0"), c.iface("phy1"); x.Multicast != on0 || y.Multicast != on1 {
			c.Errorf("multicast is handed on by phy0 %v, phy1 %v; want %v, %v", x.Multicast, y.Multicast, on0, on1)
		}
	}
	check(c, false, false)
	c.write(set(phy0, true), set(phy0, true), set(phy1, true))
	check(c, true, true)
	c.write(set(phy1, false), set(phy1, false))
	check(c, true, false)
	for _, f := range []uint8{family4, family6} {
		c.write(dataplane.Op{Kind: dataplane.TableAdd, Value: 1001, Family: f})
	}
	for _, id := range []uint32{1001, 0, 1001} {
		c.write(dataplane.Op{Kind: dataplane.SetTable, Index: phy0, Value: id})
		check(c, true, false)
	}
	c.close()
	second := newClient(c.T, c.w).connect()
	check(second, true, false)
	phy0 = second.iface("phy0").Index
	second.write(set(phy0, false))
	check(second, false, false)
	second.write(dataplane.Op{Kind: dataplane.SetTable, Index: phy0})
	check(second, false, false)
}
