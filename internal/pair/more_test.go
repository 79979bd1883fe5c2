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
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// TestNothingRemovedBeforeLinuxIsKnown: a new process that knows the dataplane
// and not yet Linux removes nothing.
func TestNothingRemovedBeforeLinuxIsKnown(t *testing.T) {
	caps := vppCaps
	caps.Local = true
	s := newScene(t, memory.Options{Caps: caps}, spec(0, 0), spec(1, 1))
	h := s.host("host0").Index
	s.linux0(setUp(h, true), addAddr(h, "192.0.2.1/24"), routeMsg(unix.RTM_NEWROUTE, s.route(s.spaces[0], h)),
		neighMsg(unix.RTM_NEWNEIGH, h, netip.MustParseAddr("192.0.2.9"), s.mac(), unix.NUD_PERMANENT))
	s.start()
	s.kinds()
	for range 2000 {
		if ev, ok := s.plane.Take(); ok {
			s.step(func() { s.e.Event(s.now, ev) })
		} else if !s.plane.Work() {
			break
		}
	}
	s.advance(time.Second)
	for _, k := range s.kinds() {
		if strings.HasSuffix(k, "del") {
			t.Errorf("%s was written", k)
		}
	}
	s.settle()
}

// TestUnpairFromTheOutside: sub-interfaces go before what they are on.
func TestUnpairFromTheOutside(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	h := s.host("host0").Index
	s.linux0(addVLAN(h, "a", 5, false, 0))
	s.linux0(addVLAN(s.host("a").Index, "b", 6, false, 0))
	s.writes = nil
	s.configure()
	s.settle()
	var got []string
	for _, o := range s.writes {
		switch o.Kind {
		case dataplane.PairDel:
			got = append(got, "unpair "+o.Pair.HostName)
		case dataplane.SubDel:
			got = append(got, "sub")
		}
	}
	if want := "unpair b,sub,unpair a,sub,unpair host0"; strings.Join(got, ",") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestSubInterfaceOfTwoTagsWaits: one with two tags waits for the one with the
// outer tag, and comes back with it.
func TestSubInterfaceOfTwoTagsWaits(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	phy := s.phy("phy0").Index
	outer, inner := dataplane.Sub{Outer: 5, Exact: true}, dataplane.Sub{Outer: 5, Inner: 6, Exact: true}
	s.outside(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: inner, Name: "inner"})
	s.want("pairs", len(s.dp.Has().Pairs), 1)
	for range 2 {
		s.outside(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: outer, Name: "outer"})
		s.want("pairs", len(s.dp.Has().Pairs), 3)
		s.want("parent", s.host("host0.5.6").Parent, s.host("host0.5").Index)
		s.outside(dataplane.Op{Kind: dataplane.SubDel, Index: s.phy("outer").Index})
		s.want("pairs", len(s.dp.Has().Pairs), 1)
	}
}

// TestIndexUsedAgain: a link that has the number of a companion that is gone is
// not taken for it.
func TestIndexUsedAgain(t *testing.T) {
	s := newScene(t, like, spec(0, 1))
	one, h := s.spaces[1], s.host("host0").Index
	if err := one.request(addAddr(h, "192.0.2.1/24")); err != nil {
		t.Fatal(err)
	}
	s.settle()
	one.kern.Subscribe() // nothing is heard of it
	s.ends(one)
	other := rtnl.LinkRequest{Link: rtnl.Link{Name: "other", Index: h, Kind: "veth"}, Set: rtnl.LinkName, Peer: &rtnl.VethPeer{Name: "peer"}}
	if err := one.request(rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_CREATE, 0, &other)); err != nil {
		t.Fatal(err)
	}
	s.rest0()
	s.returns(one)
	s.settle()
	s.want("addresses", s.linuxAddrs("host0"), "192.0.2.1/24")
	s.want("addresses of the other link", s.linuxAddrs("other"), "")
}

// TestBoundTableStays: a FIB stays as long as an interface is bound to it, even
// when nobody wants the pair any more and it cannot be unbound.
func TestBoundTableStays(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	s.enslave(s.host("host0").Index, "vrf10", 10)
	s.settle()
	s.dp.Refuse = func(op *dataplane.Op) error {
		if op.Kind == dataplane.SetTable {
			return fmt.Errorf("not now")
		}
		return nil
	}
	s.configure()
	s.settle()
	s.kinds()
	s.advance(10 * time.Minute)
	s.settle()
	if k := s.kinds(); len(k) > 0 {
		t.Errorf("written: %v", k)
	}
	s.dp.Refuse = nil
	s.configure(spec(0, 0))
	s.settle()
	s.want("tables", len(s.dp.Has().Tables), 0)
}

// TestNotKept: what Linux accepts and does not keep is written again more and
// more rarely, and shown.
func TestNotKept(t *testing.T) {
	s := newScene(t, like, spec(0, 0))
	tries := 0
	s.ignores = func(op *plan.Op) bool {
		if strings.Contains(op.Detail, "mtu 1400") {
			tries++
			return true
		}
		return false
	}
	op := dataplane.Op{Kind: dataplane.SetMTU, Index: s.phy("phy0").Index, Value: 1400}
	if err := s.dp.Outside(&op); err != nil {
		t.Fatal(err)
	}
	for begin := s.now; s.now.Sub(begin) < 30*time.Second; s.advance(250 * time.Millisecond) {
		s.rest0()
	}
	errs := s.status("phy0").Errors
	if tries < 3 || tries > 6 || len(errs) != 1 || !strings.Contains(errs[0].Message, "kept another value") {
		t.Errorf("tried %d times, errors %+v", tries, errs)
	}
	s.ignores = nil
	s.settle()
}

// TestMPLS: interfaces take labels where that is configured, as long as it is;
// what somebody else has switched on stays.
func TestMPLS(t *testing.T) {
	caps := vppCaps
	caps.MPLS = true
	on, off := spec(0, 0), spec(1, 0)
	on.MPLS = true
	s := newScene(t, memory.Options{Caps: caps}, on, off)
	s.linux0(addVLAN(s.host("host0").Index, "a", 5, false, 0))
	s.outside(dataplane.Op{Kind: dataplane.SetMPLS, Index: s.phy("phy1").Index, On: true})
	takes := func(want string) {
		t.Helper()
		got := ""
		for _, n := range []string{"phy0", "phy0.5", "phy1"} {
			if i := s.dp.Named(n); i != nil && i.MPLS {
				got += n + " "
			}
		}
		s.want("interfaces that take labels", got, want)
	}
	takes("phy0 phy0.5 phy1 ")
	on.MPLS = false
	s.configure(on, off)
	s.settle()
	takes("phy1 ")
	on.MPLS = true
	s.configure(on, off)
	s.settle()
	takes("phy0 phy0.5 phy1 ")
	s.configure(off)
	s.settle()
	takes("phy1 ")
}

// TestMulticast: a pair has the companion hear what is sent to all on the link,
// again when that was lost, and takes it back before it goes.
func TestMulticast(t *testing.T) {
	s := newScene(t, like, spec(0, 0), spec(1, 0)) // settle compares
	s.linux0(addVLAN(s.host("host0").Index, "a", 5, false, 0))
	s.want("of the sub-interface", s.phy("phy0.5").Multicast, true)
	phy1 := *s.phy("phy1")
	s.writes = nil
	s.configure(spec(0, 0))
	s.settle()
	off := slices.IndexFunc(s.writes, func(op dataplane.Op) bool {
		return op.Kind == dataplane.SetMulticast && !op.On && op.Index == phy1.Index
	})
	gone := slices.IndexFunc(s.writes, func(op dataplane.Op) bool { return op.Kind == dataplane.PairDel })
	if off < 0 || gone < off {
		t.Errorf("off at %d, pair removed at %d", off, gone)
	}
	s.outside(dataplane.Op{Kind: dataplane.SetMulticast, Index: s.phy("phy0").Index})
	s.want("after somebody has switched it off", s.phy("phy0").Multicast, true)
	s.dp.Restart(true)
	s.writes = nil
	s.settle()
	again := slices.ContainsFunc(s.writes, func(op dataplane.Op) bool { return op.Kind == dataplane.SetMulticast })
	s.want("written again after a new connection", again, false)
}
