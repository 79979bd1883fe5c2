package pair_test

import (
	"testing"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/memory"
	"netbraid/internal/pair"
)

// TestTakenBackByTheNext: what a pair has brought to the dataplane goes with it,
// also when it is another process that takes the pair apart; what was there
// before the pair stays.
func TestTakenBackByTheNext(t *testing.T) {
	for _, restart := range []bool{false, true} {
		caps := vppCaps
		caps.MPLS = true
		sp := spec(0, 0)
		sp.MPLS = pair.MPLSOn
		s := &scene{t, newWorld(1, memory.Options{Caps: caps}, nil)}
		s.dp.AddPhy("phy0", dataplane.Ethernet)
		phy := s.phy("phy0").Index
		theirs := dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: prefix("203.0.113.1/24")}
		if err := s.dp.Outside(&theirs); err != nil {
			t.Fatal(err)
		}
		s.configure(sp)
		s.settle()
		h := s.host("host0").Index
		s.linux0(setUp(h, true), addAddr(h, "192.0.2.1/24"), addAddr(h, "2001:db8::1/64"), addAddr(h, "198.51.100.1/24"))
		s.linux0(delAddr(h, "198.51.100.1/24"))
		s.want("labels", s.phy("phy0").MPLS, true)
		if restart {
			s.start()
			s.settle()
			s.start() // and the one after it knows it too
		}
		s.configure()
		s.settle()
		s.want("addresses", s.addrs("phy0"), "203.0.113.1/24")
		s.want("labels", s.phy("phy0").MPLS, false)
		if len(s.made) != 0 {
			t.Errorf("remembered: %+v", s.made)
		}
	}
}

// TestKeepMade: what an earlier process has made stays while sections are missing
// because they are wrong.
func TestKeepMade(t *testing.T) {
	s := newScene(t, like, spec(0, 0), spec(1, 0))
	s.plane.Close()
	s.configured = false
	s.start()
	s.e.KeepMade(true)
	s.configure(spec(0, 0))
	s.rest()
	s.want("pairs on the dataplane", len(s.dp.Has().Pairs), 2)
	s.want("what is remembered", len(s.made), 2)
	s.e.KeepMade(false)
	s.configure(spec(0, 0))
	s.settle()
	s.want("pairs on the dataplane, when nothing is wrong", len(s.dp.Has().Pairs), 1)
	s.want("what is remembered then", len(s.made), 1)
}
