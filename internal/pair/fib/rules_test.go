package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// TestTranslation: what a route of Linux becomes; a line without an arrow
// becomes nothing.
func TestTranslation(t *testing.T) {
	for _, x := range []string{
		"10.0.0.0/8 via 192.0.2.1 dev 2 -> 10.0.0.0/8 192.0.2.1,102",
		"0.0.0.0/0 via 192.0.2.1 dev 2 -> 0.0.0.0/0 192.0.2.1,102",
		"::/0 via fe80::1 dev 2 proto 9 -> ::/0 fe80::1,102",
		"10.0.0.0/8 via 2001:db8::1 dev 2 -> 10.0.0.0/8 2001:db8::1,102",
		"10.0.0.0/8 dev 3 -> 10.0.0.0/8 103",
		"10.0.0.0/8 type blackhole -> 10.0.0.0/8 blackhole",
		"10.0.0.0/8 type unreachable -> 10.0.0.0/8 unreachable",
		"2001:db8::/32 type unreachable dev 1 -> 2001:db8::/32 unreachable",
		"10.0.0.0/8 type prohibit -> 10.0.0.0/8 prohibit",
		"10.0.0.0/8 type throw",
		"10.0.0.1/32 type local dev 2 table 10",
		"10.0.0.1/32 dev 2 table 255",
		"10.0.0.255/32 type broadcast dev 2 table 10",
		"2001:db8::/128 type anycast dev 2",
		"224.0.0.0/4 dev 2", "239.1.1.0/24 dev 2", "ff00::/8 type multicast dev 2 table 10", "ff05::/16 dev 2", "fe80::/64 dev 2 proto 2", "fe80::1/128 dev 2",
		"10.0.0.0/8 dev 1", // into the loopback
		"10.0.0.0/8 via 192.0.2.1 dev 5", "10.0.0.0/8 via 192.0.2.1 dev 77",
		"10.0.0.0/8 hop 192.0.2.1,2,1 hop 192.0.2.2,5,1 -> 10.0.0.0/8 192.0.2.1,102",
		"10.0.0.0/8 hop 192.0.2.1,2,1 hop -,3,7 -> 10.0.0.0/8 192.0.2.1,102 103*7",
		"10.0.0.0/8 hop 192.0.2.1,5,1 hop 192.0.2.2,77,1",
		"10.0.0.0/8 via 192.0.2.1 dev 2 push 100/200 -> 10.0.0.0/8 192.0.2.1,102+100+200",
		"10.0.0.0/8 via 192.0.2.1 dev 2 tos 16", "2001:db8::/32 via 2001:db8:f::1 dev 2 from 2001:db8:9::/48",
		"10.0.0.0/8 via 192.0.2.1 dev 2 proto 11", // filtered
		"10.0.0.0/8 nhid 99",
		"10.0.0.0/8 via 192.0.2.1 dev 2 table 70000 -> 10.0.0.0/8@70000 192.0.2.1,102",
		"mpls:100 via 192.0.2.1 dev 2 as 200/300 -> mpls:100/false 192.0.2.1,102+200+300 -> mpls:100/true 192.0.2.1,102+200+300",
		"mpls:100 via 2001:db8:f::1 dev 2 -> mpls:100/false 2001:db8:f::1,102 -> mpls:100/true 2001:db8:f::1,102",
		"mpls:100 dev 1 -> mpls:100/false table0 -> mpls:100/true table0",
		"mpls:100 hop 192.0.2.1,2,1 hop 192.0.2.2,3,1 -> mpls:100/false 192.0.2.1,102 192.0.2.2,103 -> mpls:100/true 192.0.2.1,102 192.0.2.2,103",
	} {
		line, want, _ := strings.Cut(x, " -> ")
		w, k := one(t)
		w.tab.SetFilter([]uint8{11})
		k.add(line)
		if want == "" {
			w.has()
		} else {
			w.has(strings.Split(want, " -> ")...)
		}
		k.del(line)
		w.has()
		if t.Failed() {
			t.Fatal(x)
		}
	}
}

// TestSkippedIsCounted: Status says which routes are not mirrored and why.
func TestSkippedIsCounted(t *testing.T) {
	w, k := one(t)
	w.tab.SetFilter([]uint8{11})
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2 tos 16")
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2 tos 16")
	k.add("2001:db8::/32 via 2001:db8:f::1 dev 2 from 2001:db8:9::/48")
	k.add("10.3.0.0/16 via 192.0.2.1 dev 2 proto 11")
	k.add("10.4.0.0/16 via 192.0.2.1 dev 5")
	k.add("10.5.0.0/16 via 192.0.2.1 dev 5")
	k.del("10.1.0.0/16 via 192.0.2.1 dev 2 tos 16")
	w.rest()
	got := fmt.Sprint(w.tab.Status().Skipped)
	if want := "[{0 protocol is filtered 1} {0 device is not paired 2} {0 depends on the TOS 1} {0 depends on the source address 1}]"; got != want {
		t.Errorf("skipped %s, want %s", got, want)
	}
}

// TestSiblings: of IPv6 routes of one key the best preference counts, and
// siblings are one route.
func TestSiblings(t *testing.T) {
	w, k := one(t)
	k.add("::/0 via fe80::1 dev 2 metric 1024 proto 9")
	k.add("::/0 via fe80::2 dev 3 metric 1024 proto 9 pref 1")
	w.has("::/0 fe80::2,103")
	k.del("::/0 via fe80::2 dev 3 metric 1024 proto 9 pref 1")
	w.has("::/0 fe80::1,102")
	k.add("2001:db8::/32 dev 4 metric 1024")
	k.append("2001:db8::/32 via 2001:db8:f::1 dev 2 metric 1024")
	k.append("2001:db8::/32 hop 2001:db8:f::1,2,1 hop 2001:db8:f::2,3,1 metric 1024")
	w.has("::/0 fe80::1,102", "2001:db8::/32 104")
	k.del("2001:db8::/32 dev 4 metric 1024")
	w.has("::/0 fe80::1,102", "2001:db8::/32 2001:db8:f::1,102 2001:db8:f::2,103")
}

// TestSiblingsOfDump: a kernel that shows siblings one by one is understood.
func TestSiblingsOfDump(t *testing.T) {
	w, k := one(t)
	w.rest()
	k.eng.Lost(w.now, k.epoch)
	k.requests()
	k.eng.Subscribed(k.epoch)
	k.requests()
	var shown [][]byte
	for _, line := range []string{"2001:db8::/32 via 2001:db8:f::2 dev 3 metric 1024", "2001:db8::/32 via 2001:db8:f::1 dev 2 metric 1024", "2001:db8::/32 via 2001:db8:f::9 dev 5 metric 1024"} {
		r := R(t, line)
		shown = append(shown, rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, &r))
	}
	k.dump(rtnl.KindRoute, shown)
	w.has("2001:db8::/32 2001:db8:f::1,102 2001:db8:f::2,103")
}

// TestSettling: a new connection is told nothing before the pairs are known
// that routes stand on, but does not wait for ever.
func TestSettling(t *testing.T) {
	for _, patient := range []bool{true, false} {
		w := newWorld(t, 1)
		w.kernels[0].add("10.0.0.0/8 hop 192.0.2.1,2,1 hop 192.0.2.2,3,1")
		delete(w.phys, [2]uint32{0, 3}) // it comes a little later
		w.unsettled = true
		w.connect()
		w.told()
		if d := w.tab.Deadline().Sub(w.now); d <= 0 || d > settleMax || w.tab.Idle() {
			t.Fatalf("the deadline is in %v", d)
		}
		if patient {
			w.phys[[2]uint32{0, 3}] = 103
			w.tab.Rebind(0, 3)
			w.unsettled = false
			w.told("set 10.0.0.0/8 192.0.2.1,102 192.0.2.2,103")
		} else {
			w.now = w.tab.Deadline()
			w.told("set 10.0.0.0/8 192.0.2.1,102")
		}
	}
}

// TestSeveralOfOneKey: of IPv4 routes of one key the first that is alive
// counts.
func TestSeveralOfOneKey(t *testing.T) {
	w, k := one(t)
	w.ignoreDown = true
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	k.append("10.0.0.0/8 via 192.0.2.2 dev 3")
	k.append("10.0.0.0/8 via 192.0.2.3 dev 4")
	w.has("10.0.0.0/8 192.0.2.1,102")
	k.link(2, true, false)
	w.has("10.0.0.0/8 192.0.2.2,103")
	k.del("10.0.0.0/8 via 192.0.2.2 dev 3")
	w.has("10.0.0.0/8 192.0.2.3,104")
	k.link(2, true, true)
	w.has("10.0.0.0/8 192.0.2.1,102")
}

// TestTwoNamespaces: of two namespaces on one FIB the lower one has a prefix,
// whatever the metrics; the other is counted and takes over.
func TestTwoNamespaces(t *testing.T) {
	w := newWorld(t, 2)
	w.connect()
	w.kernels[1].add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.has("10.0.0.0/8 192.0.2.1,1102")
	w.kernels[0].add("10.0.0.0/8 via 192.0.2.9 dev 2 metric 500")
	w.has("10.0.0.0/8 192.0.2.9,102")
	if n := w.tab.Status().Taken; n != 1 {
		t.Errorf("%d taken", n)
	}
	w.plane.log = nil
	w.kernels[0] = nil
	w.tab.DropNS(0)
	w.told("set 10.0.0.0/8 192.0.2.1,1102")
	if n := w.tab.Status().Taken; n != 0 {
		t.Errorf("%d taken", n)
	}
}

// TestTablesChanged: another mapping moves the routes: they are in the new FIB
// before they leave the old one.
func TestTablesChanged(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.rest()
	w.plane.log = nil
	w.tables[[2]uint32{0, 254}] = 7
	w.tab.TablesChanged()
	w.told("table add 7/2", "set 10.0.0.0/8@7 192.0.2.1,102", "del 10.0.0.0/8")
	delete(w.tables, [2]uint32{0, 254})
	w.notables[[2]uint32{0, 254}] = true
	w.tab.TablesChanged()
	w.told("del 10.0.0.0/8@7", "table del 7/2")
}

// TestFilter: a protocol that is not mirrored any more is taken out, and comes
// back.
func TestFilter(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2 proto 11")
	k.add("10.0.0.0/8 via 192.0.2.2 dev 3 proto 12 metric 9")
	w.has("10.0.0.0/8 192.0.2.1,102")
	w.tab.SetFilter([]uint8{11})
	w.has("10.0.0.0/8 192.0.2.2,103")
	w.tab.SetFilter([]uint8{12, 11})
	w.has()
	w.tab.SetFilter(nil)
	w.has("10.0.0.0/8 192.0.2.1,102")
}

// TestNexthopGroup: routes follow next-hop objects and groups without being
// announced.
func TestNexthopGroup(t *testing.T) {
	w, k := one(t)
	nh := func(id, oif uint32, gw string) {
		k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: id, Oif: oif, Gateway: netip.MustParseAddr(gw)})
	}
	group := func(members ...rtnl.GroupMember) {
		k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 9, Group: rtnl.AppendGroup(members)})
	}
	k.add("10.0.0.0/8 nhid 9")
	w.has()
	nh(1, 2, "192.0.2.1")
	nh(2, 3, "192.0.2.2")
	group(rtnl.GroupMember{ID: 1, Weight: 1}, rtnl.GroupMember{ID: 2, Weight: 4})
	w.has("10.0.0.0/8 192.0.2.1,102 192.0.2.2,103*4")
	nh(1, 4, "192.0.2.7")
	w.has("10.0.0.0/8 192.0.2.2,103*4 192.0.2.7,104")
	k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 1, Blackhole: true})
	group(rtnl.GroupMember{ID: 1, Weight: 1})
	w.has("10.0.0.0/8 blackhole")
	k.nexthop(unix.RTM_NEWNEXTHOP, rtnl.Nexthop{ID: 9, Oif: 2, FDB: true})
	w.has()
}

// TestMaxPaths: a route has no more paths than the dataplane takes.
func TestMaxPaths(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 hop 192.0.2.1,2,1 hop 192.0.2.2,3,1 hop 192.0.2.3,4,1")
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2 push 100")
	w.rest()
	w.lose()
	w.plane.caps.MaxPaths, w.plane.caps.MPLS = 2, false
	w.connect()
	w.has("10.0.0.0/8 192.0.2.1,102 192.0.2.2,103")
}

// TestRefused: what is refused waits 1 s, doubling to 60 s, is shown with its
// reason, and keeps what the dataplane has until then.
func TestRefused(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.rest()
	w.plane.refuse = func(*dataplane.Op) error { return errRefused }
	k.replace("10.0.0.0/8 via 192.0.2.2 dev 3")
	w.plane.log = nil
	w.rest()
	at := w.now
	for i, want := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		if len(w.plane.log) != i+1 {
			t.Fatalf("%d attempts, want %d", len(w.plane.log), i+1)
		}
		st := w.tab.Status()
		if len(st.Failures) != 1 || st.Failures[0].Err != errRefused.Error() || st.Waiting != 1 || st.Differences != 1 {
			t.Fatalf("%+v", st)
		}
		next := w.tab.Deadline()
		if d := next.Sub(at); d != time.Duration(want)*time.Second || st.Failures[0].Retry != next {
			t.Fatalf("attempt %d waits %v, want %d s", i+1, d, want)
		}
		w.now = next.Add(-time.Millisecond)
		w.rest()
		w.now, at = next, next
		w.rest()
	}
	w.plane.refuse = nil
	w.has("10.0.0.0/8 192.0.2.1,102")
	w.now = w.now.Add(time.Minute)
	w.has("10.0.0.0/8 192.0.2.2,103")
	if st := w.tab.Status(); len(st.Failures)+st.Waiting != 0 || !w.tab.Deadline().IsZero() {
		t.Errorf("%+v", st)
	}
}

// TestRefusedChange: another value is tried at once, and the delay goes on.
func TestRefusedChange(t *testing.T) {
	w, k := one(t)
	w.plane.refuse = func(*dataplane.Op) error { return errRefused }
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.told("set 10.0.0.0/8 192.0.2.1,102")
	k.replace("10.0.0.0/8 via 192.0.2.2 dev 3")
	w.told("set 10.0.0.0/8 192.0.2.2,103")
	if d := w.tab.Deadline().Sub(w.now); d > 2*time.Second || d <= 0 {
		t.Errorf("waits %v", d)
	}
	k.del("10.0.0.0/8 via 192.0.2.2 dev 3")
	w.told()
	if st := w.tab.Status(); st.Waiting != 0 || len(st.Failures) != 0 {
		t.Errorf("%+v", st)
	}
}

// TestUnsupported: what cannot be done waits for the next connection.
func TestUnsupported(t *testing.T) {
	w, k := one(t)
	w.plane.refuse = func(*dataplane.Op) error { return fmt.Errorf("no plugin: %w", dataplane.ErrUnsupported) }
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.told("set 10.0.0.0/8 192.0.2.1,102")
	w.now = w.now.Add(time.Hour)
	w.told()
	if st := w.tab.Status(); st.Unsupported != 1 || len(st.Failures) != 1 || !st.Failures[0].Retry.IsZero() {
		t.Errorf("%+v", st)
	}
	w.plane.refuse = nil
	w.tab.Redump() // the same connection
	w.dump(true)
	w.told()
	w.lose()
	w.connect()
	w.told("set 10.0.0.0/8 192.0.2.1,102")
}

// TestNoInterface: a route whose interface is not there is tried again with the
// next change of interfaces.
func TestNoInterface(t *testing.T) {
	w, k := one(t)
	w.plane.refuse = func(*dataplane.Op) error { return fmt.Errorf("%w", dataplane.ErrNoInterface) }
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.told("set 10.0.0.0/8 192.0.2.1,102")
	w.plane.refuse = nil
	w.tab.InterfacesChanged()
	w.told("set 10.0.0.0/8 192.0.2.1,102")
	if st := w.tab.Status(); st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
}

// TestChangeInFlight: one operation on a key at a time; what changes meanwhile
// goes out after the answer, and nothing if it is back by then.
func TestChangeInFlight(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.send()
	k.replace("10.0.0.0/8 via 192.0.2.2 dev 3")
	k.replace("10.0.0.0/8 via 192.0.2.3 dev 4")
	if w.send() {
		t.Fatal("two operations are in flight")
	}
	w.told("set 10.0.0.0/8 192.0.2.1,102", "set 10.0.0.0/8 192.0.2.3,104")
	k.replace("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.send()
	k.replace("10.0.0.0/8 via 192.0.2.3 dev 4")
	k.replace("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.told("set 10.0.0.0/8 192.0.2.1,102")
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2")
	w.send()
	k.del("10.1.0.0/16 via 192.0.2.1 dev 2")
	w.told("set 10.1.0.0/16 192.0.2.1,102", "del 10.1.0.0/16")
}

// TestLost: what was in flight when the connection was lost may have been done
// or not; the dump tells.
func TestLost(t *testing.T) {
	for _, done := range []bool{true, false} {
		for _, complete := range []bool{true, false} {
			w, k := one(t)
			k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
			w.rest()
			k.replace("10.0.0.0/8 via 192.0.2.2 dev 3")
			k.add("10.1.0.0/16 via 192.0.2.2 dev 3")
			w.send()
			if done {
				for _, op := range w.plane.flying[0] {
					_ = w.do(&op)
				}
			}
			w.lose()
			k.del("10.1.0.0/16 via 192.0.2.2 dev 3")
			k.add("10.2.0.0/16 via 192.0.2.2 dev 3")
			w.tab.Connected(w.now, w.plane.caps)
			w.dump(complete)
			w.has("10.0.0.0/8 192.0.2.2,103", "10.2.0.0/16 192.0.2.2,103")
		}
	}
}

// TestReconnectSaysNothing: a dataplane that has everything is told nothing.
func TestReconnectSaysNothing(t *testing.T) {
	w, k := one(t)
	for i := range 1000 {
		k.add(fmt.Sprintf("10.%d.%d.0/24 via 192.0.2.1 dev %d", i/250, i%250, 2+i%3))
	}
	k.add("10.200.0.0/16 hop 192.0.2.1,2,1 hop 192.0.2.2,3,3")
	k.add("mpls:100 via 192.0.2.1 dev 2 as 200")
	w.rest()
	w.plane.log = nil
	w.lose()
	w.connect()
	w.told()
	// A new process: everything is there before Linux has been read.
	n := newWorld(t, 1)
	n.plane.routes = w.plane.routes
	n.kernels[0] = nil
	n.tab.DropNS(0)
	n.tab.Connected(n.now, n.plane.caps)
	n.dump(true)
	n.kernels[0] = k
	n.tab.AddNS(0)
	n.told()
	if st := n.tab.Status(); st.Routes != 1003 || st.Differences != 0 || st.Unclaimed != 0 {
		t.Errorf("%+v", st)
	}
}

// TestRedumpWhileComparing: a comparison that is asked for during another is
// made after it, when the host has time for it.
func TestRedumpWhileComparing(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	w.rest()
	w.tab.Redump()
	w.dump(false)
	w.tab.Redump()
	w.plane.log = nil
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2")
	w.told("set 10.1.0.0/16 192.0.2.1,102") // not held up
	clear(w.plane.routes)
	w.dump(true)
	w.has("10.0.0.0/8 192.0.2.1,102", "10.1.0.0/16 192.0.2.1,102")
	if w.tab.Drained() {
		t.Error("a dump is wanted once more")
	}
}

// TestLinkOfMany: a link that goes is worked off in slices, and operations go
// out meanwhile.
func TestLinkOfMany(t *testing.T) {
	w, k := one(t)
	w.ignoreDown, w.plane.max = true, 1024
	const n = 20000
	for i := range n {
		k.add(fmt.Sprintf("10.%d.%d.0/24 hop 192.0.2.1,2,1 hop 192.0.2.2,3,1", i/250, i%250))
	}
	w.rest()
	k.link(2, true, false)
	slices, sent := 0, 0
	for w.tab.Work(w.now, 100) {
		if q := w.tab.queue; q > (slices+1)*400 {
			t.Fatalf("slice %d has found %d routes", slices, q)
		}
		slices++
		if w.send() {
			sent++
		}
		w.answer()
	}
	if slices < n/400 || sent < 2 {
		t.Errorf("%d slices, %d batches meanwhile", slices, sent)
	}
	w.rest()
	for k, s := range w.plane.routes {
		if setText(s) != "192.0.2.2,103" {
			t.Fatalf("%s %s", keyText(k), setText(s))
		}
	}
}

// TestReplaceBeforeDelete: when the mapping of a link changes no prefix is
// without a route.
func TestReplaceBeforeDelete(t *testing.T) {
	w, k := one(t)
	for i := range 50 {
		k.add(fmt.Sprintf("10.%d.0.0/16 via 192.0.2.1 dev 2 metric 10", i))
		k.add(fmt.Sprintf("10.%d.0.0/16 via 192.0.2.2 dev 3 metric 20", i))
	}
	w.rest()
	w.plane.log = nil
	delete(w.phys, [2]uint32{0, 2})
	w.tab.Rebind(0, 2)
	w.rest()
	if i := slices.IndexFunc(w.plane.log, func(s string) bool { return strings.HasPrefix(s, "del") }); i >= 0 || len(w.plane.log) != 50 {
		t.Errorf("%d operations, a deletion at %d", len(w.plane.log), i)
	}
}

// TestSameCallsSameOperations: the table does nothing by chance.
func TestSameCallsSameOperations(t *testing.T) {
	var logs [2][]string
	for i := range logs {
		w := newWorld(t, 2)
		for j := range 200 {
			w.kernels[j%2].add(fmt.Sprintf("10.%d.0.0/16 hop 192.0.2.1,2,1 hop 192.0.2.2,3,%d", j, 1+j%3))
		}
		w.connect()
		delete(w.phys, [2]uint32{0, 2})
		w.tab.Rebind(0, 2)
		w.rest()
		w.tab.DropNS(1)
		w.kernels[1] = nil
		w.rest()
		logs[i] = w.plane.log
	}
	if !slices.Equal(logs[0], logs[1]) || len(logs[0]) < 400 {
		t.Errorf("%d and %d operations", len(logs[0]), len(logs[1]))
	}
}

// TestForeignNamespace: what nobody has added is ignored.
func TestForeignNamespace(t *testing.T) {
	w, _ := one(t)
	w.tab.RouteChanged(model.RouteKey{NS: 9, Family: unix.AF_INET, Table: 254, Dst: netip.MustParsePrefix("10.0.0.0/8")})
	w.tab.LinkChanged(9, nil, &rtnl.Link{Index: 1})
	w.tab.NexthopChanged(9, nil, &rtnl.Nexthop{ID: 1})
	w.tab.AddrChanged(9, nil, &rtnl.Addr{Index: 1})
	w.tab.Rebind(9, 1)
	w.tab.DropNS(9)
	w.told()
}

// TestIncompleteDump: what a dump that failed has not shown may be there or
// not: it is written again, or removed if it is ours and not wanted.
func TestIncompleteDump(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	k.add("10.1.0.0/16 via 192.0.2.1 dev 2")
	w.rest()
	w.lose()
	k.del("10.1.0.0/16 via 192.0.2.1 dev 2")
	clear(w.plane.routes) // it restarts
	w.tab.Connected(w.now, w.plane.caps)
	w.dump(false)
	w.plane.log = nil
	w.told("set 10.0.0.0/8 192.0.2.1,102", "del 10.1.0.0/16")
	// On the same connection nothing is in doubt.
	w.tab.Redump()
	w.tab.DumpDone(w.now, false)
	w.told()
}

// TestTablesChangedOfMany: another mapping of many routes: all are in the new
// FIB before the first leaves the old one.
func TestTablesChangedOfMany(t *testing.T) {
	w, k := one(t)
	const n = 1500
	for i := range n {
		k.add(fmt.Sprintf("10.%d.%d.0/24 via 192.0.2.1 dev 2", i/250, i%250))
	}
	w.rest()
	w.plane.log = nil
	w.tables[[2]uint32{0, 254}] = 7
	w.tab.TablesChanged()
	w.rest()
	first := slices.IndexFunc(w.plane.log, func(s string) bool { return strings.HasPrefix(s, "del") })
	if first != n+1 || len(w.plane.log) != 2*n+1 {
		t.Errorf("%d operations, the first deletion is number %d", len(w.plane.log), first)
	}
}

// TestForeignTable: a FIB that was there without a route of ours stays.
func TestForeignTable(t *testing.T) {
	w := newWorld(t, 1)
	w.plane.tables[dataplane.Table{ID: 10, Family: unix.AF_INET}] = true
	w.connect()
	w.kernels[0].add("10.0.0.0/8 via 192.0.2.1 dev 2 table 10")
	w.kernels[0].del("10.9.0.0/16 via 192.0.2.1 dev 2 table 10")
	w.told("set 10.0.0.0/8@10 192.0.2.1,102")
	w.kernels[0].del("10.0.0.0/8 via 192.0.2.1 dev 2 table 10")
	w.told("del 10.0.0.0/8@10")
}

// TestFlappingLink: a namespace whose link flaps all the time holds up neither
// another one, nor the removal of what a third has left, nor its own routes.
func TestFlappingLink(t *testing.T) {
	w := newWorld(t, 3)
	w.ignoreDown, w.plane.max = true, 1024
	const n = 2000
	for i := range n {
		for _, k := range w.kernels {
			k.add(fmt.Sprintf("10.%d.%d.0/24 hop 192.0.2.%d,2,1 hop 192.0.2.2,3,1 table %d", i/250, i%250, 1+i%4, 10+k.ns))
		}
	}
	w.connect()
	w.kernels[2] = nil
	w.tab.DropNS(2)
	delete(w.phys, [2]uint32{1, 2})
	w.tab.Rebind(1, 2)
	for i := range 140 {
		w.kernels[0].link(2, true, i%2 == 0)
		w.tab.Work(w.now, 100)
		w.send()
		w.answer()
	}
	for k, s := range w.plane.routes {
		if k.Table == 12 || k.Table == 11 && setText(s) != "192.0.2.2,1103" {
			t.Fatalf("%s %s", keyText(k), setText(s))
		}
	}
	w.rest()
	if err := w.tab.Check(); err != nil || len(w.plane.routes) != 2*n {
		t.Fatal(err, len(w.plane.routes))
	}
}

// TestInterfaceGone: another interface that gets the number of one that is gone
// is told its routes, though they look like those of the old one.
func TestInterfaceGone(t *testing.T) {
	w, k := one(t)
	k.add("10.0.0.0/8 via 192.0.2.1 dev 2")
	k.add("10.1.0.0/16 hop 192.0.2.1,2,1 hop 192.0.2.2,3,1")
	k.add("10.2.0.0/16 via 192.0.2.2 dev 3")
	w.rest()
	w.plane.log = nil
	w.tab.InterfaceGone(102)
	w.told("set 10.1.0.0/16 192.0.2.1,102 192.0.2.2,103", "set 10.0.0.0/8 192.0.2.1,102")
	w.tab.InterfaceGone(102)
	delete(w.phys, [2]uint32{0, 2})
	w.tab.Rebind(0, 2)
	w.told("set 10.1.0.0/16 192.0.2.2,103", "del 10.0.0.0/8")
}
