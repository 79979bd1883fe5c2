package conformance

import (
	"slices"

	"netbraid/internal/dataplane"
)

// pairAdd asks for a companion.
func (c *client) pairAdd(phy uint32, host string) dataplane.Op {
	return dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: host, NetNS: c.w.NetNS, HostPort: dataplane.NoIndex}}
}

func (c *client) pairDel(phy uint32, host string) dataplane.Op {
	op := c.pairAdd(phy, host)
	op.Kind = dataplane.PairDel
	return op
}

// pair makes one and checks what is answered.
func (c *client) pair(phy uint32, host string) dataplane.Pair {
	c.Helper()
	done := c.write(c.pairAdd(phy, host))
	if len(done.Made) != 1 || done.Made[0].Op != 0 {
		c.Fatalf("PairAdd made %+v", done.Made)
	}
	p := done.Made[0].Pair
	if p.Phy != phy || p.HostName != host || p.NetNS != c.w.NetNS || p.HostIndex == 0 {
		c.Errorf("pair of %d with %s: %+v", phy, host, p)
	}
	return p
}

// host looks at a companion, where that can be.
func (c *client) host(name string) (Host, bool) {
	if c.w.Host == nil {
		return Host{}, false
	}
	return c.w.Host(name)
}

func (c *client) holdsPairs(want ...dataplane.Pair) {
	c.Helper()
	got := c.dump(dataplane.KindPair).pairs
	byPhy := func(a, b dataplane.Pair) int { return int(a.Phy) - int(b.Phy) }
	slices.SortFunc(got, byPhy)
	slices.SortFunc(want, byPhy)
	if !slices.Equal(got, want) {
		c.Errorf("pairs are\n%+v, want\n%+v", got, want)
	}
}

// testPair: a pair has a companion with the MTU and the address of its phy; it
// is made once, dumped as it was answered, and goes with PairDel.
func testPair(c *client) {
	c.connect()
	phy0, phy1 := c.phy("phy0", true), c.phy("phy1", true)
	c.write(dataplane.Op{Kind: dataplane.SetMTU, Index: phy0, Value: 1400})
	p := c.pair(phy0, "host0")
	x := c.iface("phy0")
	if h, there := c.host("host0"); c.w.Host != nil && (!there || h.Index != p.HostIndex || h.MTU != 1400 || h.MAC != x.MAC) {
		c.Errorf("companion %+v (%v) of %+v", h, there, x)
	}
	if again := c.pair(phy0, "host0"); again != p {
		c.Errorf("made again: %+v, first: %+v", again, p)
	}
	q := c.pair(phy1, "host1")
	c.holdsPairs(p, q)
	for _, own := range []dataplane.Pair{p, q} {
		if own.HostPort == dataplane.NoIndex {
			continue
		}
		if end, there := c.index(own.HostPort); !there || !end.Companion {
			c.Errorf("the dataplane's own end %d: %+v, %v", own.HostPort, end, there)
		}
	}
	if x := c.iface("phy0"); x.Companion {
		c.Errorf("a phy is no companion: %+v", x)
	}
	c.write(c.pairDel(phy0, "host0"), c.pairDel(phy0, "host0"))
	c.holdsPairs(q)
	if h, there := c.host("host0"); there {
		c.Errorf("companion after PairDel: %+v", h)
	}
	if _, there := c.index(phy0); !there {
		c.Error("PairDel has removed the phy")
	}
	p = c.pair(phy0, "host0")
	c.holdsPairs(p, q)
}

// testPairFollowsPhy: SetMTU of a phy holds for the dataplane's own end too.
func testPairFollowsPhy(c *client) {
	c.connect()
	phy := c.phy("phy0", true)
	p := c.pair(phy, "host0")
	c.write(dataplane.Op{Kind: dataplane.SetMTU, Index: phy, Value: 1300})
	if p.HostPort == dataplane.NoIndex {
		return
	}
	if end, _ := c.index(p.HostPort); end.MTU < 1300 {
		c.Errorf("phy has 1300, the dataplane's own end %+v", end)
	}
	c.write(dataplane.Op{Kind: dataplane.SetMTU, Index: phy, Value: 1500})
	if end, _ := c.index(p.HostPort); end.MTU < 1500 {
		c.Errorf("phy has 1500, the dataplane's own end %+v", end)
	}
}

// testPairNameTaken: a name that something else has is refused as ErrTaken, and
// leaves nothing behind.
func testPairNameTaken(c *client) {
	c.connect()
	phy0, phy1 := c.phy("phy0", true), c.phy("phy1", true)
	p := c.pair(phy0, "host0")
	c.fails(dataplane.ErrTaken, c.pairAdd(phy1, "host0"))
	c.holdsPairs(p)
	if c.w.TakeName != nil {
		c.w.TakeName("other")
		c.fails(dataplane.ErrTaken, c.pairAdd(phy1, "other"))
		c.holdsPairs(p)
		if h, there := c.host("other"); c.w.Host != nil && !there {
			c.Errorf("what had the name is gone: %+v", h)
		}
	}
	c.fails(nil, c.pairAdd(phy1, "a-name-of-more-than-15-octets"))
	c.fails(nil, c.pairAdd(phy1, ""))
	c.fails(nil, c.pairAdd(phy1, "a/b"))
	c.fails(dataplane.ErrTaken, c.pairAdd(phy0, "host2")) // it has a companion
	c.holdsPairs(p)
}

// testPairPhyGoes: a pair ends with its phy, and so does its companion.
func testPairPhyGoes(c *client) {
	if c.w.DelPhy == nil {
		c.Skip("interfaces of this world do not go away")
	}
	c.connect()
	phy0, phy1 := c.phy("phy0", true), c.phy("phy1", true)
	c.pair(phy0, "host0")
	q := c.pair(phy1, "host1")
	c.w.DelPhy("phy0")
	c.until("Gone", func(e dataplane.Event) bool {
		g, ok := e.(dataplane.Gone)
		return ok && g.Index == phy0
	})
	c.holdsPairs(q)
	c.eventually("the companion has gone with its phy", func() bool {
		_, there := c.host("host0")
		return !there
	})
	again := c.phy("phy0", true)
	p := c.pair(again, "host0")
	c.holdsPairs(p, q)
}

// testPairSurvivesClient: a client that comes anew finds the pairs, and making
// them again changes nothing.
func testPairSurvivesClient(c *client) {
	c.connect()
	phy0, phy1 := c.phy("phy0", true), c.phy("phy1", true)
	p, q := c.pair(phy0, "host0"), c.pair(phy1, "host1")
	c.close()
	second := newClient(c.T, c.w).connect()
	second.holdsPairs(p, q)
	if again := second.pair(phy0, "host0"); again != p {
		c.Errorf("made again by a new client: %+v, first: %+v", again, p)
	}
	second.write(second.pairDel(phy1, "host1"))
	second.holdsPairs(p)
}

// testCarrier: the carrier of a phy is told, and its companion shows it: by
// itself, or (Caps.Carrier) when SetCarrier says so.
func testCarrier(c *client) {
	if c.w.SetCarrier == nil {
		c.Skip("wires of this world cannot be unplugged")
	}
	c.connect()
	phy := c.phy("phy0", true)
	c.pair(phy, "host0")
	if c.w.HostUp != nil {
		c.w.HostUp("host0", true)
	}
	for _, on := range []bool{false, true, false, true} {
		if c.iface("phy0").Carrier != on {
			c.w.SetCarrier("phy0", on)
			c.until("Changed with another carrier", func(e dataplane.Event) bool {
				ch, ok := e.(dataplane.Changed)
				return ok && ch.Interface.Index == phy && ch.Interface.Carrier == on
			})
		}
		if got := c.iface("phy0"); got.Carrier != on {
			c.Errorf("carrier %v, dumped %+v", on, got)
		}
		op := dataplane.Op{Kind: dataplane.SetCarrier, Index: phy, On: on}
		if c.caps.Carrier {
			c.write(op, op)
		}
		if h, there := c.host("host0"); there && h.Up {
			c.eventually("the companion shows the carrier", func() bool {
				h, _ := c.host("host0")
				return h.Carrier == on
			})
		}
	}
}

// testSubInterfacePair: the companion of a sub-interface is a VLAN link on the
// companion of its parent.
func testSubInterfacePair(c *client) {
	c.connect()
	phy := c.phy("phy0", true)
	if !c.caps.SubInterfaces {
		c.Skip("this dataplane has no sub-interfaces")
	}
	sub := c.write(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 100, Exact: true}}).Made[0].Index
	c.fails(nil, c.pairAdd(sub, "host0.100")) // its parent has no companion
	p := c.pair(phy, "host0")
	q := c.pair(sub, "host0.100")
	if again := c.pair(sub, "host0.100"); again != q {
		c.Errorf("made again: %+v, first: %+v", again, q)
	}
	if h, there := c.host("host0.100"); c.w.Host != nil && (!there || h.VLAN != 100 || h.Index != q.HostIndex) {
		c.Errorf("companion of the sub-interface: %+v, %v", h, there)
	}
	c.holdsPairs(p, q)
	c.close()
	second := newClient(c.T, c.w).connect()
	second.holdsPairs(p, q)
	second.write(second.pairDel(sub, "host0.100"))
	second.holdsPairs(p)
	if h, there := c.host("host0.100"); there {
		c.Errorf("companion of the sub-interface after PairDel: %+v", h)
	}
	second.write(dataplane.Op{Kind: dataplane.SubDel, Index: sub})
	second.holdsPairs(p)
}
