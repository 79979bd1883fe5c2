package sim

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/vmtest"
	"netbraid/rtnl"
)

// vmKernel is Debian's 6.12, which filters VLANs in bridges.
var vmKernel = Options{VLANFiltering: true}

// TestTruthVM is TestTruth with VLANs, which need the test kernel: the whole
// mix of operations, of which every second that takes a link takes a VLAN or
// the link below one, and every object is compared.
//
// Three things are left out. A lifetime that is too short (preferred longer than
// valid) is not asked for: 6.12 looks for the link first, 6.18, which the
// simulation follows, last, so that the error of a request with both faults is
// another one. And of a VLAN's flags GVRP, MVRP and bridge binding are not
// set: the first two send packets, the third is not simulated. Nor is a bridge
// made to filter VLANs: its ports would leave promiscuous mode as their entries
// in the forwarding database ask, which is not simulated either; what a bridge
// that does not filter shows of it is compared.
func TestTruthVM(t *testing.T) {
	vmtest.Require(t)
	runSequences(t, vmSequences, true, vmKernel)
}

// script is a sequence that is written out, with links by name.
type script struct {
	t     *testing.T
	b     *both
	g     *generator
	lines []string
}

func (s *script) do(op *operation) {
	s.t.Helper()
	diff := s.b.apply(op)
	s.lines = append(s.lines, "  "+op.text+"   "+op.outcome)
	if diff == "" {
		diff = s.b.histories()
	}
	if diff == "" {
		diff = s.b.dumps()
	}
	if diff != "" {
		s.t.Fatalf("%s\n=> %s", strings.Join(s.lines, "\n"), diff)
	}
}

// must is do, with the errno that both worlds have to answer; 0 is success.
func (s *script) must(want unix.Errno, op *operation) {
	s.t.Helper()
	s.do(op)
	expect := "ok"
	if want != 0 {
		expect = want.Error()
	}
	if !strings.HasPrefix(op.outcome, expect) {
		s.t.Fatalf("%s\n=> both answer %s, want %s", strings.Join(s.lines, "\n"), op.outcome, expect)
	}
}

func (s *script) index(name string) uint32 {
	s.t.Helper()
	i, ok := s.b.k.Index(name)
	if !ok {
		s.t.Fatalf("no link %s", name)
	}
	return i
}

func (s *script) change(name string, set rtnl.LinkField, fill func(l *rtnl.Link)) *operation {
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: s.index(name)}, Set: set}
	fill(&r.Link)
	return request(unix.RTM_NEWLINK, 0, &r)
}

func (s *script) updown(name string, flags uint32) *operation {
	return s.change(name, rtnl.LinkUp, func(l *rtnl.Link) { l.Flags = flags })
}

func (s *script) mtu(name string, mtu uint32) *operation {
	return s.change(name, rtnl.LinkMTU, func(l *rtnl.Link) { l.MTU = mtu })
}

func (s *script) master(name, bridge string) *operation {
	return s.change(name, rtnl.LinkMaster, func(l *rtnl.Link) {
		if bridge != "" {
			l.Master = s.index(bridge)
		}
	})
}

func (s *script) del(name string) *operation {
	return request(unix.RTM_DELLINK, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: s.index(name)}})
}

func (s *script) vlan(name, below string, id, proto uint16, set rtnl.LinkField, fill func(l *rtnl.Link)) *operation {
	r := rtnl.LinkRequest{Link: rtnl.Link{Kind: kindVLAN, Index: s.g.newIndex(), Name: name, Parent: s.index(below),
		VLAN: rtnl.VLAN{ID: id, Protocol: proto}}, Set: rtnl.LinkName | rtnl.LinkParent | rtnl.VLANID | rtnl.VLANProtocol | set}
	if fill != nil {
		fill(&r.Link)
	}
	return request(unix.RTM_NEWLINK, create, &r)
}

func (s *script) carrier(name string, on bool) *operation {
	tap := fmt.Sprint(s.index(name))
	return &operation{text: fmt.Sprintf("carrier %s %v", name, on), do: func(b *both) (error, error) {
		return b.k.SetCarrier(name, on), b.r.setCarrier(tap, on)
	}}
}

func (s *script) address(name, prefix string) *operation {
	return &operation{text: name + " " + prefix, msg: addrMsg(s.index(name), prefix)}
}

// newScript is a world with the card h1, the veths v2 and p3, and the bridge b4.
func newScript(t *testing.T) *script {
	s := &script{t: t, g: newGenerator(1, true), b: &both{k: New(Options{VLANFiltering: true, QueueBytes: 64 << 20}), r: newReal(t)}}
	t.Cleanup(s.b.r.close)
	s.b.k.Subscribe(groups...)
	for _, op := range s.g.setup() {
		s.do(op)
	}
	return s
}

// TestVLANsVM compares, after every step, the histories and the dumps of what
// the daemon does with VLANs.
func TestVLANsVM(t *testing.T) {
	vmtest.Require(t)
	const (
		q  = uint16(unix.ETH_P_8021Q)
		ad = uint16(unix.ETH_P_8021AD)
	)
	scripts := []struct {
		name string
		run  func(s *script, proto uint16)
	}{
		{"refusals", func(s *script, proto uint16) {
			s.must(0, s.vlan("h1.5", "h1", 5, proto, 0, nil))
			s.must(unix.EEXIST, s.vlan("again", "h1", 5, proto, 0, nil))
			s.must(unix.EEXIST, s.vlan("h1.5", "h1", 6, proto, 0, nil))
			s.must(0, s.vlan("other", "h1", 5, q^ad^proto, 0, nil))
			s.must(unix.ERANGE, s.vlan("bad", "h1", 4095, proto, 0, nil))
			s.must(0, s.vlan("high", "h1", 4094, proto, 0, nil))
			s.must(unix.EPROTONOSUPPORT, s.vlan("bad", "h1", 7, unix.ETH_P_IP, 0, nil))
			s.must(unix.EOPNOTSUPP, s.vlan("bad", "lo", 7, proto, 0, nil))
			s.must(unix.ENODEV, s.vlan("bad", "h1", 7, proto, 0, func(l *rtnl.Link) { l.Parent = 99 }))
			s.must(unix.EINVAL, s.vlan("bad", "h1", 7, proto, rtnl.LinkMTU, func(l *rtnl.Link) { l.MTU = 1501 }))
			s.must(unix.ENETDOWN, s.updown("h1.5", unix.IFF_UP))
			s.must(unix.ENETDOWN, s.vlan("bad", "h1", 7, proto, rtnl.LinkUp, func(l *rtnl.Link) { l.Flags = unix.IFF_UP }))
		}},
		{"mtu", func(s *script, proto uint16) {
			s.must(0, s.vlan("a", "h1", 1, proto, 0, nil))
			s.must(0, s.vlan("b", "h1", 2, proto, rtnl.LinkMTU, func(l *rtnl.Link) { l.MTU = 1300 }))
			s.must(unix.ERANGE, s.mtu("a", 1501))
			s.must(0, s.mtu("h1", 1400))
			s.must(0, s.mtu("h1", 1200))
			s.must(0, s.mtu("h1", 1500)) // the VLANs stay at 1200
			s.must(0, s.mtu("a", 1500))
		}},
		{"up and down", func(s *script, proto uint16) {
			s.must(0, s.vlan("a", "h1", 1, proto, 0, nil))
			s.must(0, s.vlan("loose", "h1", 2, proto, rtnl.VLANFlags, func(l *rtnl.Link) { l.VLAN.Flags = 5 }))
			s.must(0, s.updown("loose", unix.IFF_UP))
			s.must(0, s.updown("h1", unix.IFF_UP)) // takes a up
			s.must(0, s.address("a", "192.0.2.1/24"))
			s.must(0, s.address("a", "2001:db8::1/64"))
			s.must(0, s.carrier("h1", false))
			s.must(0, s.carrier("h1", true))
			s.must(0, s.updown("h1", 0))
			s.must(0, s.updown("h1", unix.IFF_UP))
			s.must(0, s.updown("a", 0))
			s.must(0, s.carrier("h1", false))
			s.must(0, s.updown("a", unix.IFF_UP))
		}},
		{"addresses", func(s *script, proto uint16) {
			set := func(name string, b byte) {
				s.must(0, s.change(name, rtnl.LinkAddr, func(l *rtnl.Link) { l.Addr = rtnl.MAC([6]byte{2, 0, 0, 0, 0, b}) }))
			}
			s.must(0, s.vlan("a", "h1", 1, proto, 0, nil))
			s.must(0, s.vlan("own", "h1", 2, proto, rtnl.LinkAddr, func(l *rtnl.Link) { l.Addr = rtnl.MAC([6]byte{2, 0, 0, 0, 0, 9}) }))
			set("h1", 1) // a is down and keeps its address
			s.must(0, s.updown("h1", unix.IFF_UP))
			set("h1", 2)
			set("own", 2)
			set("own", 3)
			set("a", 4)
			set("h1", 4)
			set("h1", 5)
		}},
		{"bridge", func(s *script, proto uint16) {
			s.must(0, s.vlan("onbridge", "b4", 1, proto, 0, nil))
			s.must(0, s.vlan("port", "h1", 2, proto, 0, nil))
			s.must(0, s.updown("h1", unix.IFF_UP))
			s.must(0, s.updown("b4", unix.IFF_UP))
			s.must(0, s.master("port", "b4"))
			s.must(unix.EBUSY, s.master("onbridge", "b4"))
			s.must(0, s.carrier("h1", false))
			s.must(0, s.carrier("h1", true))
			s.must(0, s.mtu("h1", 1400))
			s.must(0, s.address("onbridge", "192.0.2.1/24"))
			s.must(0, s.master("port", ""))
			s.must(0, s.master("h1", "b4"))
			s.must(0, s.del("b4"))
		}},
		{"QinQ", func(s *script, proto uint16) {
			s.must(0, s.vlan("outer", "h1", 1, ad, 0, nil))
			s.must(0, s.vlan("inner", "outer", 1, proto, 0, nil))
			s.must(0, s.vlan("deep", "inner", 1, proto, rtnl.LinkAddr, func(l *rtnl.Link) { l.Addr = rtnl.MAC([6]byte{2, 0, 0, 0, 0, 9}) }))
			s.must(0, s.updown("h1", unix.IFF_UP))
			s.must(0, s.address("inner", "2001:db8::1/64"))
			s.must(0, s.carrier("h1", false))
			s.must(0, s.carrier("h1", true))
			s.must(0, s.mtu("h1", 1400))
			s.must(unix.ERANGE, s.mtu("inner", 1500))
			s.must(0, s.updown("outer", 0))
			s.must(0, s.updown("h1", 0))
		}},
		{"delete and rename", func(s *script, proto uint16) {
			s.must(0, s.vlan("a", "v2", 1, proto, 0, nil))
			s.must(0, s.vlan("b", "a", 1, proto, 0, nil))
			s.must(0, s.vlan("c", "h1", 1, proto, 0, nil))
			s.must(0, s.updown("v2", unix.IFF_UP))
			s.must(0, s.updown("p3", unix.IFF_UP))
			s.must(0, s.address("b", "192.0.2.1/24"))
			s.must(0, s.change("a", rtnl.LinkName, func(l *rtnl.Link) { l.Name = "newname" }))
			s.must(0, s.change("v2", rtnl.LinkName, func(l *rtnl.Link) { l.Name = "below" }))
			s.must(0, s.del("p3")) // and with it its peer, and the VLANs on that
			s.must(0, s.del("c"))
			s.must(0, s.vlan("c", "h1", 1, proto, 0, nil))
		}},
	}
	for _, sc := range scripts {
		for _, proto := range []uint16{q, ad} {
			t.Run(fmt.Sprintf("%s/%#x", sc.name, proto), func(t *testing.T) { sc.run(newScript(t), proto) })
		}
	}
}

// TestTruthMPLS is TestTruthSettings with the one of MPLS, which needs a module
// of the test kernel.
func TestTruthMPLS(t *testing.T) {
	vmtest.Require(t)
	vmtest.Modprobe(t, "mpls_router")
	opts := vmKernel
	opts.MPLS = true
	runGenerators(t, vmSequences/2, opts, func(seed uint64) *generator {
		g := newGenerator(seed, true)
		g.settings, g.mpls = true, true
		return g
	})
}
