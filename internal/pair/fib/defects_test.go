package fib

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// The defects of VPP's linux-cp and linux-nl, by their number in the list that
// the table in package pair's tests has; here are those of routes.

// one is a world of one namespace with a connection.
func one(t *testing.T) (*world, *kernel) {
	w := newWorld(t, 1)
	w.connect()
	w.plane.log = nil
	return w, w.kernels[0]
}

// TestDefect01InitialSync: routes that are there before the namespace takes
// part, the connection is made, or the link is paired, are learned.
func TestDefect01InitialSync(t *testing.T) {
	w := newWorld(t, 1)
	k := w.kernels[0]
	w.tab.DropNS(0)
	delete(w.phys, [2]uint32{0, 3})
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2")
	k.add("10.2.0.0/16 via 192.0.2.2 dev 3")
	w.connect()
	w.has()
	w.tab.AddNS(0)
	w.has("10.1.0.0/16 192.0.2.1,102")
	w.phys[[2]uint32{0, 3}] = 103
	w.tab.Rebind(0, 3)
	w.has("10.1.0.0/16 192.0.2.1,102", "10.2.0.0/16 192.0.2.2,103")
}

// TestDefect02ResyncChangedNexthop: a next hop that changed while nobody
// listened takes the place of the old one.
func TestDefect02ResyncChangedNexthop(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.told("set 10.0.0.0/8 192.0.2.1,102")
	k.eng.Lost(w.now, k.epoch)
	k.requests()
	k.eng.Subscribed(k.epoch)
	k.requests()
	r := R(t, "10.0.0.0/8 via 192.0.2.2 dev 3")
	k.dump(rtnl.KindRoute, [][]byte{rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, &r)})
	w.told("set 10.0.0.0/8 192.0.2.2,103")
	w.has("10.0.0.0/8 192.0.2.2,103")

	// The same of the dataplane's side.
	w.lose()
	k.replace("10.0.0.0/8 via 192.0.2.3 dev 4")
	w.connect()
	w.told("set 10.0.0.0/8 192.0.2.3,104")
}

// TestDefect03IPv6NexthopDelete: of an IPv6 route with several next hops one
// can go.
func TestDefect03IPv6NexthopDelete(t *testing.T) {
	w, k := one(t)
	k.add("2001:db8::/32 hop 2001:db8:f::1,2,1 hop 2001:db8:f::2,3,1 hop 2001:db8:f::3,4,1")
	w.has("2001:db8::/32 2001:db8:f::1,102 2001:db8:f::2,103 2001:db8:f::3,104")
	w.plane.log = nil
	k.del("2001:db8::/32 via 2001:db8:f::2 dev 3")
	w.told("set 2001:db8::/32 2001:db8:f::1,102 2001:db8:f::3,104")
	k.del("2001:db8::/32 via 2001:db8:f::1 dev 2")
	w.told("set 2001:db8::/32 2001:db8:f::3,104")
	k.del("2001:db8::/32 via 2001:db8:f::3 dev 4")
	w.told("del 2001:db8::/32")
}

// TestDefect04Metric: a metric has 32 bits.
func TestDefect04Metric(t *testing.T) {
	for _, x := range []struct{ low, high uint32 }{{256, 512}, {255, 300}, {0, 256}, {1 << 31, 1<<31 + 1}, {1, 1<<32 - 1}} {
		w, k := one(t)
		k.add(fmt.Sprintf("10.0.0.0/8 via 192.0.2.2 dev 3 metric %d", x.high))
		k.add(fmt.Sprintf("10.0.0.0/8 via 192.0.2.1 dev 2 metric %d", x.low))
		w.has("10.0.0.0/8 192.0.2.1,102")
		k.add(fmt.Sprintf("10.1.0.0/16 via 192.0.2.1 dev 2 metric %d", x.low))
		k.add(fmt.Sprintf("10.1.0.0/16 via 192.0.2.2 dev 3 metric %d", x.high))
		w.has("10.0.0.0/8 192.0.2.1,102", "10.1.0.0/16 192.0.2.1,102")
	}
}

// TestDefect05SeveralMetrics: a replacement of one metric keeps the others, and
// when the best goes, the next takes its place without a moment of nothing.
func TestDefect05SeveralMetrics(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2 metric 10")
	k.add("10.0.0.0/8 via 192.0.2.2 dev 3 metric 20")
	k.add("10.0.0.0/8 via 192.0.2.3 dev 4 metric 30")
	w.told("set 10.0.0.0/8 192.0.2.1,102")
	k.replace("10.0.0.0/8 via 192.0.2.9 dev 2 metric 10")
	w.told("set 10.0.0.0/8 192.0.2.9,102")
	k.replace("10.0.0.0/8 via 192.0.2.8 dev 3 metric 20")
	w.told()
	k.del("10.0.0.0/8 via 192.0.2.9 dev 2 metric 10")
	w.told("set 10.0.0.0/8 192.0.2.8,103")
	k.del("10.0.0.0/8 via 192.0.2.3 dev 4 metric 30")
	w.told()
	k.del("10.0.0.0/8 via 192.0.2.8 dev 3 metric 20")
	w.told("del 10.0.0.0/8")
}

// TestDefect06StaleRoutes: a route goes when it is replaced by one that is not
// paired, with its next-hop object, with the pair, and is right after the
// dataplane's interface was gone.
func TestDefect06StaleRoutes(t *testing.T) {
	t.Run("not paired", func(t *testing.T) {
		w, k := one(t)
		k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
		w.has("10.0.0.0/8 192.0.2.1,102")
		k.replace("10.0.0.0/8 via 198.51.100.1 dev 5")
		w.has()
	})
	t.Run("one of two not paired", func(t *testing.T) {
		w, k := one(t)
		k.add("10.0.0.0/8 hop 192.0.2.1,2,1 hop 192.0.2.2,3,1")
		k.replace("10.0.0.0/8 hop 192.0.2.1,2,1 hop 192.0.2.2,5,1")
		w.has("10.0.0.0/8 192.0.2.1,102")
	})
	t.Run("next-hop object", func(t *testing.T) {
		w, k := one(t)
		k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 7, Oif: 2, Gateway: netip.MustParseAddr("192.0.2.1")})
		k.add("10.0.0.0/8 nhid 7")
		w.has("10.0.0.0/8 192.0.2.1,102")
		k.nexthop(unix.RTM_DELNEXTHOP, rtnl.Nexthop{ID: 7, Oif: 2, Gateway: netip.MustParseAddr("192.0.2.1")})
		w.has()
	})
	t.Run("pair", func(t *testing.T) {
		w, k := one(t)
		k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
		w.has("10.0.0.0/8 192.0.2.1,102")
		delete(w.phys, [2]uint32{0, 2})
		w.tab.Rebind(0, 2)
		w.has()
		w.phys[[2]uint32{0, 2}] = 202 // made again
		w.tab.Rebind(0, 2)
		w.has("10.0.0.0/8 192.0.2.1,202")
	})
	t.Run("down and up", func(t *testing.T) {
		w, k := one(t)
		k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
		k.add("10.1.0.0/16 via 192.0.2.2 dev 3")
		w.rest()
		delete(w.plane.routes, dataplane.RouteKey{Prefix: netip.MustParsePrefix("10.0.0.0/8")}) // it dropped it
		w.tab.Redump()
		w.dump(true)
		w.has("10.0.0.0/8 192.0.2.1,102", "10.1.0.0/16 192.0.2.2,103")
		k.link(2, false, false) // its routes go in silence
		w.has("10.1.0.0/16 192.0.2.2,103")
	})
}

// TestDefect07Weights: weights are what Linux has, one more than rtnh_hops.
func TestDefect07Weights(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 hop 192.0.2.1,2,1 hop 192.0.2.2,3,3")
	k.add("2001:db8::/32 hop 2001:db8:f::1,2,256 hop 2001:db8:f::2,3,1")
	k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 1, Oif: 2, Gateway: netip.MustParseAddr("192.0.2.1")})
	k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 2, Oif: 3, Gateway: netip.MustParseAddr("192.0.2.2")})
	k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 3, Group: rtnl.AppendGroup([]rtnl.GroupMember{{ID: 1, Weight: 1}, {ID: 2, Weight: 1000}})})
	k.add("10.1.0.0/16 nhid 3")
	w.has("10.0.0.0/8 192.0.2.1,102 192.0.2.2,103*3", "2001:db8::/32 2001:db8:f::1,102*256 2001:db8:f::2,103",
		"10.1.0.0/16 192.0.2.1,102 192.0.2.2,103*1000")
}

// TestDefect08LinkDown: a next hop is left out exactly when Linux leaves it
// out, with and without next-hop objects.
func TestDefect08LinkDown(t *testing.T) {
	multi := "10.0.0.0/8 hop 192.0.2.1,2,1 hop 192.0.2.2,3,1"
	both, second := "10.0.0.0/8 192.0.2.1,102 192.0.2.2,103", "10.0.0.0/8 192.0.2.2,103"
	t.Run("admin down", func(t *testing.T) {
		w, k := one(t)
		k.add(multi)
		k.link(2, false, false)
		w.has(second)
		k.link(2, true, true)
		w.has(both)
	})
	t.Run("no carrier", func(t *testing.T) {
		w, k := one(t)
		k.add(multi)
		k.add("10.1.0.0/16 via 192.0.2.1 dev 2")
		k.link(2, true, false)
		w.has(both, "10.1.0.0/16 192.0.2.1,102") // Linux keeps sending there
	})
	t.Run("no carrier, ignored", func(t *testing.T) {
		w, k := one(t)
		w.ignoreDown = true
		k.add(multi)
		k.add("10.1.0.0/16 via 192.0.2.1 dev 2")
		k.link(2, true, false)
		w.has(second)
		k.add("10.1.0.0/16 via 192.0.2.3 dev 4 metric 100") // what Linux falls back on
		w.has(second, "10.1.0.0/16 192.0.2.3,104")
		k.link(2, true, true)
		w.has(both, "10.1.0.0/16 192.0.2.1,102")
	})
	t.Run("next-hop object", func(t *testing.T) {
		w, k := one(t)
		k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 1, Oif: 2, Gateway: netip.MustParseAddr("192.0.2.1")})
		k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 2, Oif: 3, Gateway: netip.MustParseAddr("192.0.2.2")})
		k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 3, Group: rtnl.AppendGroup([]rtnl.GroupMember{{ID: 1, Weight: 1}, {ID: 2, Weight: 1}}), GroupType: 1})
		k.add("10.0.0.0/8 nhid 3")
		w.has(both)
		k.link(2, true, false) // the kernel removes object 1; the mirror reads them again
		k.asked = nil
		w.has(second)
	})
	t.Run("last address", func(t *testing.T) {
		w, k := one(t)
		k.addr(unix.RTM_NEWADDR, 2, "192.0.2.9/24")
		k.addr(unix.RTM_NEWADDR, 3, "198.51.100.9/24")
		k.add(multi)
		w.has(both)
		k.addr(unix.RTM_DELADDR, 2, "192.0.2.9/24")
		w.has(second)
		k.addr(unix.RTM_NEWADDR, 2, "192.0.2.9/24")
		w.has(both)
	})
}

// TestDefect09TableCount: deleting a route that was never there does not let a
// table vanish that has others; the last one's end does.
func TestDefect09TableCount(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2 table 10")
	w.told("table add 10/2", "set 10.0.0.0/8@10 192.0.2.1,102")
	for range 3 {
		k.del("10.9.0.0/16 via 192.0.2.1 dev 2 table 10")
		w.tab.RouteChanged(keyOf(R(t, "10.8.0.0/16 via 192.0.2.1 dev 2 table 10")))
	}
	w.told()
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2 table 10")
	k.add("2001:db8::/32 via 2001:db8:f::1 dev 2 table 10")
	w.told("set 10.1.0.0/16@10 192.0.2.1,102", "table add 10/10", "set 2001:db8::/32@10 2001:db8:f::1,102")
	k.del("10.0.0.0/8 via 192.0.2.1 dev 2 table 10")
	k.del("10.1.0.0/16 via 192.0.2.1 dev 2 table 10")
	w.told("del 10.0.0.0/8@10", "del 10.1.0.0/16@10", "table del 10/2")
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2 table 10")
	w.told("table add 10/2", "set 10.1.0.0/16@10 192.0.2.1,102")
}

// TestDefect13HeldTable: the table of a VRF is there while an interface is
// bound to it, with routes and without.
func TestDefect13HeldTable(t *testing.T) {
	w, k := one(t)
	w.tab.Hold(10, unix.AF_INET)
	w.told("table add 10/2")
	if !w.tab.HasTable(10, unix.AF_INET) || w.tab.HasTable(10, unix.AF_INET6) {
		t.Fatal("HasTable")
	}
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2 table 10")
	k.del("10.0.0.0/8 via 192.0.2.1 dev 2 table 10")
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2 table 10")
	w.told("set 10.1.0.0/16@10 192.0.2.1,102")
	w.tab.Release(10, unix.AF_INET)
	w.told()
	k.del("10.1.0.0/16 via 192.0.2.1 dev 2 table 10")
	w.told("del 10.1.0.0/16@10", "table del 10/2")
	w.tab.Release(10, unix.AF_INET) // once too often
	w.told()
	w.tab.Hold(11, unix.AF_INET)
	w.rest()
	w.lose()
	w.plane.tables = map[dataplane.Table]bool{} // it restarts
	w.plane.log = nil
	w.connect()
	w.told("table add 11/2")
}

// TestDefect15PeerRoute: the route to a peer is the kernel's, and is mirrored;
// those that the dataplane makes from an address are not, and keep others of
// their prefix out.
func TestDefect15PeerRoute(t *testing.T) {
	w, k := one(t)
	w.connected[netip.MustParsePrefix("192.0.2.0/24")] = 2
	k.add("192.0.2.0/24 dev 2 proto 2")
	k.add("192.0.2.0/24 via 198.51.100.1 dev 3 metric 100")
	k.add("10.0.0.2/32 dev 3 proto 2")
	w.has("10.0.0.2/32 103")
	k.del("192.0.2.0/24 dev 2 proto 2")
	w.has("10.0.0.2/32 103", "192.0.2.0/24 198.51.100.1,103")
	k.add("192.0.2.0/24 dev 2 proto 2")
	w.has("10.0.0.2/32 103")
	delete(w.connected, netip.MustParsePrefix("192.0.2.0/24"))
	w.tab.Rebind(0, 2)
	w.has("10.0.0.2/32 103", "192.0.2.0/24 102")
}

// TestDefect17SweepAfterFailedDump: what an incomplete dump has not shown is
// not removed, on either side.
func TestDefect17SweepAfterFailedDump(t *testing.T) {
	w, k := one(t)
	for i := range 9 {
		k.add(fmt.Sprintf("10.%d.0.0/16 via 192.0.2.1 dev 2", i))
	}
	w.rest()
	// Linux: a dump that fails shows nothing.
	k.eng.Lost(w.now, k.epoch)
	k.requests()
	k.eng.Subscribed(k.epoch)
	k.requests()
	for _, d := range k.asked {
		k.eng.DumpDone(w.now, d.Epoch, d.Dump, false, false)
	}
	k.asked = nil
	k.work()
	again := k.asked
	k.asked = nil
	w.plane.log = nil
	w.told()
	k.asked = again
	w.told()

	// The dataplane: a process before us has left ten routes, of which one is
	// wanted no more. A dump that fails removes none.
	w2 := newWorld(t, 1)
	for i := range 10 {
		p := netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i))
		w2.plane.routes[dataplane.RouteKey{Prefix: p}] = &dataplane.PathSet{Paths: []dataplane.Path{{Index: 102, Via: netip.MustParseAddr("192.0.2.1"), Weight: 1}}}
		if i < 9 {
			w2.kernels[0].add(fmt.Sprintf("%v via 192.0.2.1 dev 2", p))
		}
	}
	w2.tab.Connected(w2.now, w2.plane.caps)
	w2.dump(false)
	w2.rest()
	if len(w2.plane.routes) != 10 || !w2.tab.Status().WantsDump {
		t.Fatal("after an incomplete dump something was removed")
	}
	w2.tab.Redump()
	w2.dump(true)
	w2.plane.log = nil
	w2.told("del 10.9.0.0/16")
}

// TestUnclaimedWaitForLinux: what only the dataplane has is kept until every
// namespace is live and the pairs are known.
func TestUnclaimedWaitForLinux(t *testing.T) {
	w := newWorld(t, 2)
	set := &dataplane.PathSet{Paths: []dataplane.Path{{Index: 102, Via: netip.MustParseAddr("192.0.2.1"), Weight: 1}}}
	for _, p := range []string{"10.0.0.0/8", "10.1.0.0/16"} {
		w.plane.routes[dataplane.RouteKey{Prefix: netip.MustParsePrefix(p)}] = set
	}
	w.unsettled = true
	asked := w.kernels[1].asked // nobody answers
	w.kernels[1].asked = nil
	w.tab.Connected(w.now, w.plane.caps)
	w.dump(true)
	w.kernels[0].add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.told()
	w.unsettled = false
	w.told()
	w.now = w.now.Add(settleMax) // from now on what is wanted is told
	w.kernels[0].add("10.2.0.0/16 via 192.0.2.1 dev 2")
	w.told("set 10.2.0.0/16 192.0.2.1,102")
	w.unsettled = true
	w.kernels[1].asked = asked
	w.told()
	w.unsettled = false
	w.told("del 10.1.0.0/16")
	w.has("10.0.0.0/8 192.0.2.1,102", "10.2.0.0/16 192.0.2.1,102")
}

// TestDefect18OverflowDuringFeed: losses of the mirror, one after the other,
// while the feed goes on, cost operations only for what has changed.
func TestDefect18OverflowDuringFeed(t *testing.T) {
	w, k := one(t)
	for i := range 500 {
		k.add(fmt.Sprintf("10.%d.%d.0/24 via 192.0.2.1 dev 2", i/250, i%250))
	}
	w.rest()
	w.plane.ops = 0
	for i := range 20 {
		k.eng.Lost(w.now, k.epoch)
		k.requests()
		k.eng.Subscribed(k.epoch)
		k.requests()
		k.add(fmt.Sprintf("10.9.%d.0/24 via 192.0.2.1 dev 2", i)) // heard during the dump
		w.rest()
		w.now = w.now.Add(3 * time.Second)
		k.eng.Tick(w.now)
		k.requests()
	}
	w.rest()
	if w.plane.ops != 20 || len(w.plane.routes) != 520 {
		t.Fatalf("%d operations, %d routes; want 20 and 520", w.plane.ops, len(w.plane.routes))
	}
}

var errRefused = errors.New("refused for the test")
