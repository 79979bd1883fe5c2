package pair_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/memory"
	"netbraid/internal/model"
	"netbraid/internal/pair"
	"netbraid/rtnl"
)

// TestChildrenFollowAgain is the dissonance between the two worlds: Linux sets
// the children up with their parent, the dataplane does not.
func TestChildrenFollowAgain(t *testing.T) {
	for name, caps := range map[string]dataplane.Caps{"each for itself": vppCaps, "clamping": namespaceCaps} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, memory.Options{Caps: caps}, spec(0, 0))
			phy := s.phy("phy0").Index
			s.outside(dataplane.Op{Kind: dataplane.SetUp, Index: phy, On: true})
			s.outside(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 100, Exact: true}, Name: "phy0.100"})
			s.outside(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 200, Exact: true}, Name: "phy0.200"})
			s.outside(dataplane.Op{Kind: dataplane.SetUp, Index: s.phy("phy0.200").Index, On: true})
			s.want("host0.100 up", s.host("host0.100").Flags&unix.IFF_UP, uint32(0))
			s.want("host0.200 up", s.host("host0.200").Flags&unix.IFF_UP, uint32(unix.IFF_UP))
			h := s.host("host0").Index
			for i, bounce := range []func(bool){
				func(on bool) { s.outside(dataplane.Op{Kind: dataplane.SetUp, Index: phy, On: on}) },
				func(on bool) { s.linux0(setUp(h, on)) },
			} {
				bounce(false)
				s.want("host0.200 below a parent that is down", s.host("host0.200").Flags&unix.IFF_UP, uint32(0))
				bounce(true)
				s.want(fmt.Sprint(i, ": a child that was down"), s.host("host0.100").Flags&unix.IFF_UP, uint32(0))
				s.want(fmt.Sprint(i, ": a child that was up"), s.host("host0.200").Flags&unix.IFF_UP, uint32(unix.IFF_UP))
				s.want(fmt.Sprint(i, ": phy0.100"), s.phy("phy0.100").Up, false)
				s.want(fmt.Sprint(i, ": phy0.200"), s.phy("phy0.200").Up, true)
			}
		})
	}
}

// TestChildHasItsMTUAgain: a child's MTU shrinks with its parent's and grows
// again to what was asked of it, not beyond.
func TestChildHasItsMTUAgain(t *testing.T) {
	for name, caps := range map[string]dataplane.Caps{"each for itself": vppCaps, "clamping": namespaceCaps} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, memory.Options{Caps: caps}, spec(0, 0))
			h := s.host("host0").Index
			s.linux0(setMTU(h, 9000), addVLAN(h, "v", 5, false, 0))
			v := s.host("v").Index
			s.linux0(setMTU(v, 4000))
			for _, c := range []struct{ parent, child uint32 }{{1500, 1500}, {3000, 3000}, {9000, 4000}, {1400, 1400}, {4000, 4000}} {
				s.linux0(setMTU(h, c.parent))
				s.want("mtu of the child in Linux", s.host("v").MTU, c.child)
				s.want("mtu of the child on the dataplane", s.phy("phy0.5").MTU, c.child)
			}
			s.linux0(setMTU(v, 1300)) // somebody asks for less
			s.linux0(setMTU(h, 9000))
			s.want("mtu that was asked for", s.host("v").MTU, uint32(1300))
		})
	}
}

// TestTakenOver: what is changed on the dataplane comes to Linux with sync, and
// is undone without.
func TestTakenOver(t *testing.T) {
	for _, sync := range []bool{true, false} {
		sp := spec(0, 0)
		sp.Sync = sync
		s := newScene(t, like, sp)
		h, phy := s.host("host0").Index, s.phy("phy0").Index
		s.linux0(addAddr(h, "192.0.2.1/24"), addAddr(h, "198.51.100.1/24"))
		s.outside(dataplane.Op{Kind: dataplane.SetUp, Index: phy, On: true})
		s.outside(dataplane.Op{Kind: dataplane.SetMTU, Index: phy, Value: 1400})
		s.outside(dataplane.Op{Kind: dataplane.SetMAC, Index: phy, MAC: rtnl.MAC([6]byte{2, 7, 7, 7, 7, 7})})
		s.outside(dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: prefix("203.0.113.1/24")})
		s.outside(dataplane.Op{Kind: dataplane.AddrDel, Index: phy, Prefix: prefix("192.0.2.1/24")})
		l := s.host("host0")
		up, mtu, addrs := uint32(unix.IFF_UP), uint32(1400), "198.51.100.1/24 203.0.113.1/24"
		if !sync {
			up, mtu, addrs = 0, 1500, "192.0.2.1/24 198.51.100.1/24"
		}
		s.want("up", l.Flags&unix.IFF_UP, up)
		s.want("mtu", l.MTU, mtu)
		s.want("addresses", s.linuxAddrs("host0"), addrs)
		s.want("mac taken over", l.Addr == rtnl.MAC([6]byte{2, 7, 7, 7, 7, 7}), sync)
	}
}

// TestBothChanged: when both sides are changed at once, Linux counts.
func TestBothChanged(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h, phy := s.host("host0").Index, s.phy("phy0").Index
	if err := s.spaces[0].request(setMTU(h, 1400)); err != nil {
		t.Fatal(err)
	}
	s.drive(func(int) int { return 0 }) // Linux' change arrives, and is on its way to the dataplane
	op := dataplane.Op{Kind: dataplane.SetMTU, Index: phy, Value: 1300}
	if err := s.dp.Outside(&op); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.want("mtu", s.host("host0").MTU, uint32(1400))
}

// TestReconnectWritesNothing: after a connection was lost, and in a new
// process, what is as it should be is not written again.
func TestReconnectWritesNothing(t *testing.T) {
	caps := vppCaps
	caps.Local, caps.Carrier = true, false
	s := newScene(t, memory.Options{Caps: caps}, spec(0, 0), spec(1, 1))
	h := s.host("host0").Index
	s.linux0(setUp(h, true), setMTU(h, 1400), addAddr(h, "192.0.2.1/24"), addAddr(h, "2001:db8::1/64"), addVLAN(h, "v", 9, true, 0),
		neighMsg(unix.RTM_NEWNEIGH, h, netip.MustParseAddr("192.0.2.9"), s.mac(), unix.NUD_PERMANENT), routeMsg(unix.RTM_NEWROUTE, s.route(s.spaces[0], h)))
	for name, f := range map[string]func(){
		"connection lost": s.plane.Lose,
		"restart of the dataplane, state kept": func() {
			s.dp.Restart(true)
		},
		"new process": s.start,
	} {
		s.kinds()
		s.linux = nil
		f()
		s.settle()
		if k := s.kinds(); len(k) > 0 {
			t.Errorf("%s: written %v", name, k)
		}
		for _, op := range s.linux {
			if !strings.Contains(op, "keep_addr_on_down") {
				t.Errorf("%s: Linux was told %s", name, op)
			}
		}
	}
}

// TestSubInterfacesBothWays: a sub-interface made on either side is made on the
// other, and goes from there with its original.
func TestSubInterfacesBothWays(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	phy, h := s.phy("phy0").Index, s.host("host0").Index
	s.linux0(addVLAN(h, "mine", 5, false, 0))
	s.outside(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 6, Exact: true}})
	six := s.host("host0.6")
	s.want("tag", six.VLAN.ID, uint16(6))
	// The copies are made again when somebody deletes them.
	s.spaces[0].remove(six.Index)
	s.settle()
	s.host("host0.6")
	s.outside(dataplane.Op{Kind: dataplane.SubDel, Index: s.phy("phy0.5").Index})
	if s.spaces[0].link("mine") != nil {
		s.want("made again for", s.phy("phy0.5").Sub.Outer, uint16(5)) // the dataplane takes the companion along
	}
	// The originals take their copies along.
	if l := s.spaces[0].link("mine"); l != nil {
		s.spaces[0].remove(l.Index)
	}
	s.settle()
	for _, i := range s.dp.Has().Interfaces {
		if i.Parent != dataplane.NoIndex {
			s.outside(dataplane.Op{Kind: dataplane.SubDel, Index: i.Index})
		}
	}
	s.want("pairs", len(s.dp.Has().Pairs), 1)
	s.want("links", len(s.spaces[0].links()), 2)
}

// TestSubInterfacesOff: without auto_subif nothing is paired by itself; a pair
// of a sub-interface can be configured.
func TestSubInterfacesOff(t *testing.T) {
	sp := spec(0, 0)
	sp.AutoSubif = false
	s := newScene(t, like, sp)
	phy, h := s.phy("phy0").Index, s.host("host0").Index
	s.linux0(addVLAN(h, "v", 5, false, 0))
	s.outside(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 6, Exact: true}, Name: "phy0.6"})
	s.want("pairs", len(s.dp.Has().Pairs), 1)
	s.configure(sp, pair.Spec{Name: "sub", Phy: "phy0.6", Host: "six", Sync: true})
	s.settle()
	s.want("tag", s.host("six").VLAN.ID, uint16(6))
	s.want("state", s.status("phy0.6").State, "up")
	s.configure(sp)
	s.settle()
	if s.spaces[0].link("six") != nil || s.dp.Named("phy0.6") == nil {
		t.Error("a pair that is not wanted any more takes what it has made, and no more")
	}
}

// TestNames: VLAN links that we make have the parent's name and the tag, as far
// as 15 octets allow, and none that is taken.
func TestNames(t *testing.T) {
	sp := spec(0, 0)
	sp.Host = "a-long-hostname"
	s := newScene(t, like, sp)
	phy := s.phy("phy0").Index
	for i, sub := range []dataplane.Sub{{Outer: 100, Exact: true}, {Outer: 100, OuterAD: true, Exact: true}, {Outer: 100, Inner: 4000, Exact: true}} {
		s.outside(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: sub, Name: fmt.Sprint("sub", i)})
	}
	for _, name := range []string{"a-long-host.100", "a-long-ho~1.100", "a-long-hos.4000"} {
		s.host(name)
	}
}

// TestNameTaken: a name that others have is not taken from them; the pair says
// so and comes up when it is free.
func TestNameTaken(t *testing.T) {
	w := newWorld(1, like, nil)
	w.dp.AddPhy("phy0", dataplane.Ethernet)
	index, err := w.spaces[0].kern.AddHardware("host0")
	if err != nil {
		t.Fatal(err)
	}
	w.configure(spec(0, 0))
	w.rest()
	st := w.e.Status(w.now).Pairs[0]
	if st.State != "error" || len(st.Errors) != 1 || !strings.Contains(st.Errors[0].Message, "another link named host0") {
		t.Errorf("%+v", st)
	}
	w.spaces[0].remove(index)
	(&scene{t, w}).settle()
}

// TestForeignPairsAreLeft: pairs that others have made are not touched; one on
// a configured phy with another companion is an error that is shown.
func TestForeignPairsAreLeft(t *testing.T) {
	w := newWorld(1, like, nil)
	for i := range 2 {
		phy := w.dp.AddPhy(fmt.Sprintf("phy%d", i), dataplane.Ethernet)
		op := dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: fmt.Sprintf("theirs%d", i), HostPort: dataplane.NoIndex}}
		if err := w.dp.Outside(&op); err != nil {
			t.Fatal(err)
		}
	}
	w.configure(spec(0, 0))
	w.rest()
	w.configure()
	w.rest()
	if n := len(w.dp.Has().Pairs); n != 2 || w.err != nil {
		t.Errorf("%d pairs are left of 2, %v", n, w.err)
	}
	w.configure(spec(0, 0))
	w.rest()
	st := w.e.Status(w.now).Pairs[0]
	if st.State != "error" || len(st.Errors) != 1 || !strings.Contains(st.Errors[0].Message, "paired with theirs0, not host0") {
		t.Errorf("%+v", st)
	}
}

// TestPhyComesAndGoes: a pair waits for its phy, and has everything again when
// that comes back.
func TestPhyComesAndGoes(t *testing.T) {
	w := newWorld(1, like, nil)
	s := &scene{t, w}
	w.configure(spec(0, 0))
	s.settle()
	s.want("state", s.status("phy0").State, "waiting for phy")
	if why := s.status("phy0").Reason; !strings.HasPrefix(why, "the dataplane has no interface phy0") {
		t.Errorf("reason %q", why)
	}
	w.dp.AddPhy("phy0", dataplane.Ethernet)
	s.settle()
	h := s.host("host0").Index
	s.linux0(setUp(h, true), setMTU(h, 1400), addAddr(h, "192.0.2.1/24"))
	w.dp.DelPhy("phy0")
	s.settle()
	s.want("state", s.status("phy0").State, "waiting for phy")
	if w.spaces[0].link("host0") != nil {
		t.Error("the companion is left")
	}
	w.dp.AddPhy("phy0", dataplane.Ethernet)
	s.settle()
	l := s.host("host0")
	s.want("up", l.Flags&unix.IFF_UP != 0, true)
	s.want("mtu", l.MTU, uint32(1400))
	s.want("addresses", s.linuxAddrs("host0"), "192.0.2.1/24")
}

// TestUnsupported: what a dataplane cannot do is not tried again before the
// next connection, and shown.
func TestUnsupported(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	s.dp.Refuse = func(op *dataplane.Op) error {
		if op.Kind == dataplane.NeighSet {
			return fmt.Errorf("no neighbours: %w", dataplane.ErrUnsupported)
		}
		return nil
	}
	h := s.host("host0").Index
	s.kinds()
	if err := s.spaces[0].request(neighMsg(unix.RTM_NEWNEIGH, h, netip.MustParseAddr("192.0.2.9"), s.mac(), unix.NUD_PERMANENT)); err != nil {
		t.Fatal(err)
	}
	s.rest()
	s.advance(10 * time.Minute)
	s.rest()
	s.want("operations", strings.Join(s.kinds(), ","), "neigh set")
	if errs := s.status("phy0").Errors; len(errs) != 1 || errs[0].RetryIn != 0 || errs[0].Object != "neighbour 192.0.2.9 on phy0" {
		t.Errorf("%+v", errs)
	}
	s.dp.Refuse = nil
	s.plane.Lose()
	s.settle()
}

// TestManyAddresses: batches and their number are bounded, whatever there is
// to do, and everything gets there.
func TestManyAddresses(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.trace = nil
	for i := range 12000 {
		a := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		if err := s.spaces[0].request(neighMsg(unix.RTM_NEWNEIGH, h, a.Addr(), s.mac(), unix.NUD_PERMANENT)); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	s.want("neighbours", len(s.dp.Has().Neighs), 12000)
}

// TestOwnConfigurationIsNotCopied: what netbraid itself is going to configure
// in Linux is not put there by the pair.
func TestOwnConfigurationIsNotCopied(t *testing.T) {
	w := newWorld(1, like, nil)
	w.opts.OwnAddr = func(ns model.NS, link string, a *rtnl.Addr) bool {
		return ns == 0 && link == "host0" && a.Local == netip.MustParseAddr("192.0.2.1")
	}
	w.opts.OwnLink = func(ns model.NS, name string) bool { return name == "host0.6" }
	w.start()
	phy := w.dp.AddPhy("phy0", dataplane.Ethernet)
	for _, op := range []dataplane.Op{{Kind: dataplane.AddrAdd, Index: phy, Prefix: prefix("192.0.2.1/24")}, {Kind: dataplane.AddrAdd, Index: phy, Prefix: prefix("198.51.100.1/24")},
		{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 6, Exact: true}, Name: "phy0.6"}} {
		if err := w.dp.Outside(&op); err != nil {
			t.Fatal(err)
		}
	}
	w.configure(spec(0, 0))
	w.rest()
	s := &scene{t, w}
	s.want("addresses in Linux", s.linuxAddrs("host0"), "198.51.100.1/24")
	s.want("state of the sub-interface", s.status("phy0.6").State, "waiting for link")
	if err := w.spaces[0].request(addVLAN(s.host("host0").Index, "host0.6", 6, false, 0)); err != nil {
		t.Fatal(err)
	}
	w.rest()
	s.want("state of the sub-interface", s.status("phy0.6").State, "up")
}

// TestTUN: only a TUN fits an interface without Ethernet, and a TAP only one
// with it.
func TestTUN(t *testing.T) {
	w := newWorld(1, like, nil)
	w.dp.AddPhy("phy0", dataplane.Layer3)
	w.configure(spec(0, 0))
	w.rest()
	if st := w.e.Status(w.now).Pairs[0]; st.State != "error" || !strings.Contains(st.Errors[0].Message, "option tun 1") {
		t.Errorf("%+v", st)
	}
	sp := spec(0, 0)
	sp.TUN = true
	w.configure(sp)
	(&scene{t, w}).settle()
	if p := w.dp.Has().Pairs; len(p) != 1 || !p[0].TUN {
		t.Errorf("%+v", p)
	}
}

// TestConnectBacksOff: a dataplane that cannot be reached is asked again, ever
// more rarely, and the log says so once.
func TestConnectBacksOff(t *testing.T) {
	w := newWorld(1, like, nil)
	logs := 0
	w.trace = func(line string) {
		if strings.Contains(line, "no connection") {
			logs++
		}
	}
	w.dp.Unreachable = fmt.Errorf("no such socket")
	w.configure(spec(0, 0))
	var at []time.Duration
	begin := w.now
	for w.now.Sub(begin) < 30*time.Second {
		for w.drive(func(int) int { return 0 }) {
		}
		if st := w.e.Status(w.now); st.State == "waiting" {
			at = append(at, st.RetryIn)
		}
		if !w.passTime() {
			t.Fatal("nothing is waited for")
		}
	}
	if len(at) < 8 || len(at) > 14 || at[0] != 100*time.Millisecond || slices.Max(at) != 5*time.Second || logs != 1 {
		t.Errorf("delays %v, %d lines of log", at, logs)
	}
}

// TestChangedHost: another companion, or another namespace, is a new pair that
// keeps what was asked of the old one.
func TestChangedHost(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.linux0(setUp(h, true), setMTU(h, 1400), addAddr(h, "192.0.2.1/24"))
	sp := spec(0, 1)
	sp.Host = "other"
	s.configure(sp)
	s.settle()
	l := s.host("other")
	s.want("up", l.Flags&unix.IFF_UP != 0, true)
	s.want("mtu", l.MTU, uint32(1400))
	s.want("addresses", s.linuxAddrs("other"), "192.0.2.1/24")
	s.want("links", s.spaces[0].link("host0"), (*rtnl.Link)(nil))
}

// TestLag: Status tells how long the dataplane has had what it has not answered.
func TestLag(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	s.want("lag at rest", s.e.Status(s.now).Lag, time.Duration(0))
	s.configure()
	begin := s.now
	s.advance(30 * time.Millisecond)
	s.want("lag of a dataplane that does nothing", s.e.Status(s.now).Lag, s.now.Sub(begin))
	if s.now == begin {
		t.Error("no time has passed")
	}
	s.settle()
	s.want("lag after all", s.e.Status(s.now).Lag, time.Duration(0))
}

// TestForeignPairOtherLength: an address that Linux has with another prefix length
// does not come to Linux a second time from a pair that others have made.
func TestForeignPairOtherLength(t *testing.T) {
	w := newWorld(1, like, nil)
	s := &scene{t, w}
	phy := w.dp.AddPhy("phy0", dataplane.Ethernet)
	if err := w.dp.Outside(&dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "host0", HostPort: dataplane.NoIndex}}); err != nil {
		t.Fatal(err)
	}
	w.configure(spec(0, 0))
	s.settle()
	h := s.host("host0").Index
	s.linux0(addAddr(h, "192.0.2.1/24"), addAddr(h, "192.0.2.254/32"))
	w.plane.Close()
	w.dp.Do(&dataplane.Op{Kind: dataplane.AddrDel, Index: phy, Prefix: prefix("192.0.2.254/32")})
	w.dp.Do(&dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: prefix("192.0.2.254/24")}) // as VPP has it
	w.start()
	w.rest()
	w.advance(5 * time.Second)
	w.rest()
	s.want("addresses of Linux", s.linuxAddrs("host0"), "192.0.2.1/24 192.0.2.254/32")
}
