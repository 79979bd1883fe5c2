package pair_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// held names, for each defect found in VPP's Linux control plane and its
// netlink listener, the tests that hold netbraid to the opposite.
var held = []struct {
	number int
	defect string
	tests  []string // folder below the repository's root, then the function
}{
	{1, "routes that are there before the first pair are never learned", []string{"internal/pair/fib TestDefect01InitialSync"}},
	{2, "a resync makes ECMP of an old and a new next hop", []string{"internal/pair/fib TestDefect02ResyncChangedNexthop"}},
	{3, "deleting one IPv6 next hop removes the whole prefix", []string{"internal/pair/fib TestDefect03IPv6NexthopDelete"}},
	{4, "metrics are cut to 8 bits", []string{"internal/pair/fib TestDefect04Metric"}},
	{5, "replacing one metric loses the other", []string{"internal/pair/fib TestDefect05SeveralMetrics"}},
	{6, "stale routes remain", []string{"internal/pair/fib TestDefect06StaleRoutes", "internal/pair TestDefect06UnpairTakesRoutesBack"}},
	{7, "weights are off by one", []string{"internal/pair/fib TestDefect07Weights"}},
	{8, "routes through links that are down are wrong either way", []string{"internal/pair/fib TestDefect08LinkDown"}},
	{9, "the count of a table's routes goes below zero", []string{"internal/pair/fib TestDefect09TableCount"}},
	{10, "only one namespace is listened to", []string{"internal/pair TestDefect10SeveralNamespaces"}},
	{11, "sync only adds; what was deleted without it stays; a new pair does not get existing addresses",
		[]string{"internal/pair TestDefect11DeletedWhileAway", "internal/pair TestDefect11NewPairGetsAddresses"}},
	{12, "VLANs made in Linux: names, 802.1ad, QinQ", []string{"internal/pair TestDefect12VLANs"}},
	{13, "a VRF is not followed", []string{"internal/pair TestDefect13VRF", "internal/pair/fib TestDefect13HeldTable"}},
	{14, "a companion deleted in Linux leaves a zombie", []string{"internal/pair TestDefect14Zombie", "internal/pair TestDefect14ZombieBacksOff"}},
	{15, "peer addresses, overlaps, refused MTUs, an admin bounce", []string{"internal/pair TestDefect15Peer", "internal/pair/fib TestDefect15PeerRoute",
		"internal/pair TestDefect15Overlap", "internal/pair TestDefect15RefusedMTU", "internal/pair TestDefect15AdminBounce"}},
	{16, "a restart of the dataplane costs the companion its addresses", []string{"internal/pair TestDefect16Restart"}},
	{17, "a resync sweeps after a failed dump", []string{"internal/pair/fib TestDefect17SweepAfterFailedDump", "internal/pair TestDefect17FailedDumpRemovesNothing"}},
	{18, "when the feed goes on, each resync overflows again", []string{"internal/pair/fib TestDefect18OverflowDuringFeed", "internal/mirror TestOverflow"}},
	{19, "the socket's buffer is silently cut", []string{"rtnl TestReceiveBuffer"}},
}

// TestEveryDefectIsHeld holds that the tests named above exist.
func TestEveryDefectIsHeld(t *testing.T) {
	have := map[string]bool{}
	for i, d := range held {
		if d.number != i+1 || len(d.tests) == 0 {
			t.Errorf("defect %d: %q has %d tests", d.number, d.defect, len(d.tests))
		}
		for _, name := range d.tests {
			dir, _, _ := strings.Cut(name, " ")
			if !have[dir] {
				have[dir] = true
				for _, f := range testsIn(t, filepath.Join("..", "..", dir)) {
					have[dir+" "+f] = true
				}
			}
			if !have[name] {
				t.Errorf("defect %d (%s): there is no %s", d.number, d.defect, name)
			}
		}
	}
}

func testsIn(t *testing.T, dir string) (out []string) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				out = append(out, fn.Name.Name)
			}
		}
	}
	return out
}

// TestDefect06UnpairTakesRoutesBack: when a pair is not wanted any more, what
// it has brought to the dataplane goes with it.
func TestDefect06UnpairTakesRoutesBack(t *testing.T) {
	s := newScene(t, like, spec(0, 0), spec(1, 0))
	h0, h1 := s.host("host0").Index, s.host("host1").Index
	s.linux0(setUp(h0, true), setUp(h1, true), addAddr(h0, "192.0.2.1/24"), addAddr(h1, "198.51.100.1/24"),
		routeMsg(unix.RTM_NEWROUTE, s.route(s.spaces[0], h0)))
	if len(s.dp.Has().Routes) == 0 {
		t.Fatal("no route on the dataplane")
	}
	phy := s.phy("phy0").Index
	s.configure(spec(1, 0))
	s.settle()
	for _, r := range s.dp.Has().Routes {
		if slices.ContainsFunc(r.Paths.Paths, func(p dataplane.Path) bool { return p.Index == phy }) {
			t.Errorf("a route through the phy is left: %+v", r)
		}
	}
	s.want("addresses of phy0", s.addrs("phy0"), "")
	if s.spaces[0].link("host0") != nil {
		t.Error("the companion is left")
	}
}

// TestDefect10SeveralNamespaces: companions in several namespaces, each of
// which may come, go and come back when it wants.
func TestDefect10SeveralNamespaces(t *testing.T) {
	w := newWorld(1, like, nil)
	w.spaces[1].gone = true
	s := &scene{t, w}
	for _, n := range []string{"phy0", "phy1"} {
		w.dp.AddPhy(n, dataplane.Ethernet)
	}
	w.configure(spec(0, 0), spec(1, 1))
	s.settle()
	s.want("state of a pair without its namespace", s.status("phy1").State, "waiting for namespace")
	s.want("state of the other", s.status("phy0").State, "up")
	w.returns(w.spaces[1])
	s.settle()
	s.linux0(setUp(s.host("host0").Index, true), addAddr(s.host("host0").Index, "192.0.2.1/24"))
	one := w.spaces[1]
	index := s.host("host1").Index
	for _, m := range [][]byte{setUp(index, true), addAddr(index, "198.51.100.1/24")} {
		if err := one.request(m); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	s.want("addresses of phy0", s.addrs("phy0"), "192.0.2.1/24 "+linkLocalOf(s, "host0"))
	s.want("addresses of phy1", s.addrs("phy1"), "198.51.100.1/24 "+linkLocalOf(s, "host1"))
	w.ends(one)
	s.rest()
	s.want("state of a pair whose namespace is gone", s.status("phy1").State, "waiting for namespace")
	w.returns(one)
	s.settle()
	s.want("addresses after the namespace has come back", s.linuxAddrs("host1"), "198.51.100.1/24")
}

func linkLocalOf(s *scene, name string) string {
	l := s.host(name)
	for _, sp := range s.spaces {
		if k := sp.link(name); k != nil && k.Index == l.Index {
			for _, a := range sp.addrs() {
				if a.Index == l.Index && a.Local.IsLinkLocalUnicast() {
					return a.Local.String() + "/128"
				}
			}
		}
	}
	return ""
}

// TestDefect11DeletedWhileAway: what was deleted in Linux while there was no
// connection, or no process, is removed from the dataplane afterwards; what
// was deleted there is written again.
func TestDefect11DeletedWhileAway(t *testing.T) {
	for name, away := range map[string]func(*scene, func()){
		"no connection": func(s *scene, f func()) {
			s.dp.Unreachable = errNoNS
			s.plane.Lose()
			s.rest0()
			f()
			s.rest0()
			s.dp.Unreachable = nil
		},
		"no process": func(s *scene, f func()) {
			s.plane.Close()
			f()
			s.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, like, spec(0, 0))
			h := s.host("host0").Index
			s.linux0(addAddr(h, "192.0.2.1/24"), addAddr(h, "198.51.100.1/24"), addAddr(h, "203.0.113.1/24"))
			away(s, func() {
				s.spaces[0].request(delAddr(h, "192.0.2.1/24"))
				phy := s.phy("phy0").Index
				s.dp.Do(&dataplane.Op{Kind: dataplane.AddrDel, Index: phy, Prefix: prefix("198.51.100.1/24")})
			})
			s.settle()
			s.want("addresses in Linux", s.linuxAddrs("host0"), "198.51.100.1/24 203.0.113.1/24")
			s.want("addresses on the dataplane", s.addrs("phy0"), "198.51.100.1/24 203.0.113.1/24")
		})
	}
}

// rest0 lets arrive what is on its way, without waiting for anything.
func (s *scene) rest0() {
	for s.drive(func(int) int { return 0 }) {
	}
}

// TestDefect11NewPairGetsAddresses: a new pair gets what the dataplane has:
// addresses, MTU, admin state.
func TestDefect11NewPairGetsAddresses(t *testing.T) {
	w := newWorld(1, like, nil)
	s := &scene{t, w}
	phy := w.dp.AddPhy("phy0", dataplane.Ethernet)
	for _, op := range []dataplane.Op{{Kind: dataplane.SetMTU, Value: 9000}, {Kind: dataplane.SetUp, On: true},
		{Kind: dataplane.AddrAdd, Prefix: prefix("192.0.2.1/24")}, {Kind: dataplane.AddrAdd, Prefix: prefix("2001:db8::1/64")}} {
		op.Index = phy
		w.dp.Outside(&op)
	}
	sp := spec(0, 0)
	sp.Sync = false // only later changes are not taken over
	w.configure(sp)
	s.settle()
	check := func() {
		t.Helper()
		l := s.host("host0")
		s.want("addresses", s.linuxAddrs("host0"), "192.0.2.1/24 2001:db8::1/64")
		s.want("mtu", l.MTU, uint32(9000))
		s.want("up", l.Flags&unix.IFF_UP != 0, true)
		s.want("mac", l.Addr, s.phy("phy0").MAC)
	}
	check()
	s.outside(dataplane.Op{Kind: dataplane.PairDel, Index: phy, Pair: &dataplane.Pair{Phy: phy}})
	check() // made again
}

// TestDefect12VLANs: VLAN links of any name become sub-interfaces with their
// own tags, of either type, one or two; and go with them.
func TestDefect12VLANs(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.linux0(addVLAN(h, "foo", 100, false, 0), addVLAN(h, "bar", 100, true, 0))
	foo, bar := s.host("foo").Index, s.host("bar").Index
	s.linux0(addVLAN(foo, "q", 7, false, 0), addVLAN(bar, "qad", 8, false, 0))
	s.linux0(addVLAN(s.host("q").Index, "deep", 9, false, 0)) // three tags: nothing that can be paired
	var subs []dataplane.Sub
	for _, i := range s.dp.Has().Interfaces {
		if i.Parent != dataplane.NoIndex {
			subs = append(subs, i.Sub)
		}
	}
	want := []dataplane.Sub{{Outer: 100, Exact: true}, {Outer: 100, OuterAD: true, Exact: true}, {Outer: 100, Inner: 7, Exact: true},
		{Outer: 100, OuterAD: true, Inner: 8, Exact: true}}
	for _, x := range want {
		if !slices.Contains(subs, x) {
			t.Errorf("no sub-interface %+v: %+v", x, subs)
		}
	}
	if len(subs) != len(want) || len(s.dp.Has().Pairs) != 5 {
		t.Errorf("sub-interfaces %+v, pairs %+v", subs, s.dp.Has().Pairs)
	}
	s.spaces[0].remove(s.host("deep").Index)
	s.spaces[0].remove(s.host("q").Index)
	s.settle()
	s.spaces[0].remove(foo)
	s.settle()
	if n := len(s.dp.Has().Pairs); n != 3 {
		t.Errorf("%d pairs are left of 3: %+v", n, s.dp.Has().Pairs)
	}
}

// TestDefect13VRF: an interface follows its companion into a VRF and out of it:
// its addresses leave it, it is bound, they come back.
func TestDefect13VRF(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.linux0(addAddr(h, "192.0.2.1/24"), addAddr(h, "198.51.100.1/24"))
	vrf := s.enslave(h, "vrf10", 10)
	s.kinds()
	s.settle()
	phy := s.phy("phy0")
	s.want("FIB", phy.Table4, uint32(10))
	s.want("FIB of IPv6", phy.Table6, uint32(10))
	s.want("addresses", s.addrs("phy0"), "192.0.2.1/24 198.51.100.1/24")
	got := strings.Join(s.kinds(), ",")
	if want := "addr del,addr del,table add,table add,set table,addr add,addr add"; got != want {
		t.Errorf("operations %s, want %s", got, want)
	}
	s.spaces[0].vrf[vrf] = 11 // the VRF is made anew with another table
	s.announce(s.spaces[0], vrf)
	s.settle()
	s.want("FIB of the other table", s.phy("phy0").Table4, uint32(11))
	delete(s.spaces[0].master, h)
	s.announce(s.spaces[0], h)
	s.settle()
	s.want("FIB outside", s.phy("phy0").Table4, uint32(0))
	if tables := s.dp.Has().Tables; len(tables) != 0 {
		t.Errorf("FIBs are left: %+v", tables)
	}
}

// enslave puts a link into a VRF, which the simulated kernel does not have.
func (s *scene) enslave(link uint32, name string, table uint32) uint32 {
	index, err := s.spaces[0].kern.AddHardware(name)
	if err != nil {
		s.Fatal(err)
	}
	s.spaces[0].vrf[index] = table
	s.announce(s.spaces[0], index)
	s.spaces[0].master[link] = index
	s.announce(s.spaces[0], link)
	return index
}

// TestDefect14Zombie: a companion that somebody deletes is made again, with
// what it had.
func TestDefect14Zombie(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.linux0(setUp(h, true), setMTU(h, 1400), addAddr(h, "192.0.2.1/24"), addAddr(h, "2001:db8::1/64"))
	s.spaces[0].remove(h)
	s.settle()
	l := s.host("host0")
	if l.Index == h {
		t.Fatal("it is the same link")
	}
	s.want("up", l.Flags&unix.IFF_UP != 0, true)
	s.want("mtu", l.MTU, uint32(1400))
	s.want("addresses", s.linuxAddrs("host0"), "192.0.2.1/24 2001:db8::1/64")
}

// TestDefect14ZombieBacksOff: somebody who deletes a companion again and again
// is not raced.
func TestDefect14ZombieBacksOff(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	begin, made := s.now, 0
	s.writes = nil
	for s.now.Sub(begin) < 30*time.Second {
		if l := s.spaces[0].link("host0"); l != nil {
			s.spaces[0].remove(l.Index)
		}
		s.rest0()
		s.advance(100 * time.Millisecond)
		s.rest0()
	}
	for _, k := range s.kinds() {
		if k == dataplane.PairAdd.String() {
			made++
		}
	}
	if made < 3 || made > 7 {
		t.Errorf("made %d times in 30 s", made)
	}
	s.settle()
}

// TestDefect15Peer: an address with a peer is an address alone.
func TestDefect15Peer(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.linux0(setUp(h, true), addrMsg(unix.RTM_NEWADDR, h, prefix("192.0.2.1/32"), netip.MustParseAddr("192.0.2.9")))
	s.want("addresses", s.addrs("phy0"), "192.0.2.1/32 "+linkLocalOf(s, "host0"))
	if !slices.ContainsFunc(s.dp.Has().Routes, func(r dataplane.Route) bool { return r.Key.Prefix == prefix("192.0.2.9/32") }) {
		t.Errorf("no route to the peer: %+v", s.dp.Has().Routes)
	}
	// The length of a peer's prefix is not that of the address.
	s.linux0(addrMsg(unix.RTM_NEWADDR, h, prefix("203.0.113.1/24"), netip.MustParseAddr("198.51.100.9")))
	s.want("addresses", s.addrs("phy0"), "192.0.2.1/32 203.0.113.1/32 "+linkLocalOf(s, "host0"))
}

// TestDefect15Overlap: an address that the dataplane refuses is shown, tried
// again more and more rarely, and there as soon as it can be.
func TestDefect15Overlap(t *testing.T) {
	o := like
	o.RefuseOverlap = true
	s := newScene(t, o, spec(0, 0), spec(1, 0))
	h0, h1 := s.host("host0").Index, s.host("host1").Index
	s.linux0(addAddr(h0, "192.0.2.1/24"))
	if err := s.spaces[0].request(addAddr(h1, "192.0.2.2/25")); err != nil {
		t.Fatal(err)
	}
	s.rest0()
	begin := s.now
	s.writes = nil
	for s.now.Sub(begin) < 30*time.Second {
		s.advance(500 * time.Millisecond)
		s.rest0()
	}
	if n := len(s.writes); n < 3 || n > 6 {
		t.Errorf("tried %d times in 30 s", n)
	}
	errs := s.status("phy1").Errors
	if len(errs) != 1 || errs[0].Object != "address 192.0.2.2/25 on phy1" || !strings.Contains(errs[0].Message, "overlaps 192.0.2.1/24 of phy0") {
		t.Errorf("errors %+v", errs)
	}
	if err := s.spaces[0].request(delAddr(h0, "192.0.2.1/24")); err != nil {
		t.Fatal(err)
	}
	s.rest0()
	s.advance(time.Minute)
	s.settle()
	s.want("errors", len(s.status("phy1").Errors), 0)
}

// TestDefect15RefusedMTU: an MTU that the phy does not take is put back in
// Linux, and the reason is shown.
func TestDefect15RefusedMTU(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.linux0(setMTU(h, 9000))
	s.linux0(setMTU(h, 9500))
	s.want("mtu in Linux", s.host("host0").MTU, uint32(9000))
	s.want("mtu on the dataplane", s.phy("phy0").MTU, uint32(9000))
	errs := s.status("phy0").Errors
	if len(errs) != 1 || !strings.Contains(errs[0].Message, "mtu 9500") || !strings.Contains(errs[0].Message, "Linux is put back to 9000") {
		t.Errorf("errors %+v", errs)
	}
	s.linux0(setMTU(h, 1400))
	s.want("errors after an MTU that is taken", len(s.status("phy0").Errors), 0)
}

// TestDefect15AdminBounce: going down and up costs an interface no address, be
// it the kernel that drops them or the dataplane.
func TestDefect15AdminBounce(t *testing.T) {
	for _, forgets := range []bool{false, true} {
		o := like
		o.ForgetsIPv6 = forgets
		s := newScene(t, o, spec(0, 0))
		h := s.host("host0").Index
		s.linux0(setUp(h, true), addAddr(h, "192.0.2.1/24"), addAddr(h, "2001:db8::1/64"))
		before := s.addrs("phy0")
		for range 2 {
			s.linux0(setUp(h, false))
			s.linux0(setUp(h, true))
			s.linux0(setUp(h, false), setUp(h, true))
			phy := s.phy("phy0").Index
			for _, on := range []bool{false, true} {
				if err := s.dp.Outside(&dataplane.Op{Kind: dataplane.SetUp, Index: phy, On: on}); err != nil {
					t.Fatal(err)
				}
			}
			s.settle()
		}
		s.want("addresses in Linux", s.linuxAddrs("host0"), "192.0.2.1/24 2001:db8::1/64")
		s.want("addresses on the dataplane", s.addrs("phy0"), before)
	}
}

// TestDefect16Restart: a dataplane that comes back with nothing has all of it
// again: pairs, attributes, addresses, VLANs, neighbours, in Linux too.
func TestDefect16Restart(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.linux0(setUp(h, true), setMTU(h, 1400), addAddr(h, "192.0.2.1/24"), addAddr(h, "2001:db8::1/64"), addVLAN(h, "vlan7", 7, false, 0))
	v := s.host("vlan7").Index
	s.linux0(setUp(v, true), addAddr(v, "198.51.100.1/24"))
	s.dp.Restart(false)
	s.rest0()
	s.advance(time.Second)
	s.settle()
	l, v7 := s.host("host0"), s.host("vlan7")
	s.want("up", l.Flags&unix.IFF_UP != 0, true)
	s.want("mtu", l.MTU, uint32(1400))
	s.want("addresses", s.linuxAddrs("host0"), "192.0.2.1/24 2001:db8::1/64")
	s.want("up of the VLAN", v7.Flags&unix.IFF_UP != 0, true)
	s.want("addresses of the VLAN", s.linuxAddrs("vlan7"), "198.51.100.1/24")
	// It is Linux' VLAN still: when it goes, so does what was made to it.
	s.spaces[0].remove(v7.Index)
	s.settle()
	if len(s.dp.Has().Pairs) != 1 {
		t.Errorf("pairs %+v", s.dp.Has().Pairs)
	}
}

// TestDefect17FailedDumpRemovesNothing: a dump that breaks off is made again,
// and nothing is decided by it.
func TestDefect17FailedDumpRemovesNothing(t *testing.T) {
	o := like
	o.Chunk = 1
	s := newScene(t, o, spec(0, 0), spec(1, 0))
	h := s.host("host0").Index
	s.linux0(addAddr(h, "192.0.2.1/24"), addAddr(h, "198.51.100.1/24"))
	for _, k := range []dataplane.Kind{dataplane.KindInterface, dataplane.KindPair, dataplane.KindAddr, dataplane.KindRoute} {
		left := 3
		s.dp.SpoilDump = func(kind dataplane.Kind) error {
			if kind == k && left > 0 {
				left--
				return errNoNS
			}
			return nil
		}
		s.plane.Lose()
		s.kinds()
		s.linux = nil
		s.settle()
		for _, o := range s.kinds() {
			if o != dataplane.SetCarrier.String() { // which cannot be read
				t.Errorf("broken dump of %s: %s was written", k, o)
			}
		}
		if len(s.linux) > 0 {
			t.Errorf("broken dump of %s: Linux was told %v", k, s.linux)
		}
	}
}
