package pair_test

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/memory"
	"netbraid/internal/pair"
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

// TestMPLS: interfaces take labels where their companions do in Linux, which the
// configuration can set; what others switch on there counts, on the dataplane it
// does not. A kernel without MPLS leaves it to the configuration.
func TestMPLS(t *testing.T) {
	caps := vppCaps
	caps.MPLS = true
	on, follows := spec(0, 0), spec(1, 0)
	on.MPLS = pair.MPLSOn
	elsewhere := spec(2, 1) // in a namespace without MPLS
	s := newScene(t, memory.Options{Caps: caps}, on, follows, elsewhere)
	s.linux0(addVLAN(s.host("host0").Index, "a", 5, false, 0))
	takes := func(what, want string) {
		t.Helper()
		s.settle()
		got := ""
		for _, n := range []string{"phy0", "phy0.5", "phy1", "phy2"} {
			if i := s.dp.Named(n); i != nil && i.MPLS {
				got += n + " "
			}
		}
		s.want("interfaces that take labels, "+what, got, want)
	}
	input := func(link, value string) {
		t.Helper()
		if err := s.spaces[0].kern.WriteSysctl("/proc/sys/net/mpls/conf/"+link+"/input", value); err != nil {
			t.Fatal(err)
		}
	}
	takes("as configured", "phy0 phy0.5 ")
	s.outside(dataplane.Op{Kind: dataplane.SetMPLS, Index: s.phy("phy1").Index, On: true})
	takes("Linux does not on host1", "phy0 phy0.5 ")
	input("host1", "1")
	takes("it does", "phy0 phy0.5 phy1 ")
	input("host0", "0")
	takes("not on host0 any more", "phy0.5 phy1 ")
	s.configure(on, follows, elsewhere)
	takes("the same is configured", "phy0.5 phy1 ")
	for index, name := s.host("host1").Index, "renamed"; name != ""; name = map[string]string{"renamed": "host1"}[name] {
		if err := s.spaces[0].request(linkSet(index, rtnl.LinkName, rtnl.Link{Name: name})); err != nil {
			t.Fatal(err)
		}
	}
	takes("renamed there and back", "phy0.5 phy1 ")

	s.start()
	takes("another process puts the configuration into force", "phy0 phy0.5 phy1 ")
	on.MPLS, elsewhere.MPLS = pair.MPLSOff, pair.MPLSOn
	s.configure(on, follows, elsewhere)
	takes("off and on are configured", "phy1 phy2 ")
	on.MPLS = pair.MPLSFollows
	s.configure(on, follows, elsewhere)
	takes("nothing is for phy0", "phy1 phy2 ")
	input("a", "1")
	takes("Linux does on a", "phy0.5 phy1 phy2 ")
	if n := s.status("phy1").Attrs; !slices.Contains(n, pair.Attr{Name: "mpls", Owner: "linux", Dataplane: "on", Linux: "on", InStep: true}) {
		t.Errorf("it shows %+v", n)
	}

	elsewhere.MPLS = pair.MPLSFollows
	s.specs = []pair.Spec{on, follows, elsewhere}
	s.start()
	takes("a process finds the option gone", "phy0.5 phy1 ")
	s.configure(follows)
	takes("a pair takes its labels along", "phy1 ")
	s.configure()
	takes("no pair", "")
}

// TestMPLSRefused: Linux does not take the setting: the dataplane does as is
// configured all the same, and the pair says so.
func TestMPLSRefused(t *testing.T) {
	t.Run("not allowed", func(t *testing.T) { refusedMPLS(t, unix.EROFS) })
	t.Run("not there", func(t *testing.T) { refusedMPLS(t, fs.ErrNotExist) }) // in a container: the link has the setting
}

func refusedMPLS(t *testing.T, why error) {
	caps := vppCaps
	caps.MPLS = true
	on := spec(0, 0)
	on.MPLS = pair.MPLSOn
	s := newScene(t, memory.Options{Caps: caps})
	s.dp.AddPhy(on.Phy, dataplane.Ethernet)
	s.refuses, s.refusal = "mpls/conf/input", why
	s.configure(on)
	begin := s.now
	for range 100 { // it goes on trying
		if !s.drive(func(int) int { return 0 }) {
			s.passTime()
		}
	}
	if i := s.phy("phy0"); !i.MPLS {
		t.Errorf("%+v", i)
	}
	const object = "MPLS input 1 of host0"
	if errs := s.status("phy0").Errors; !slices.ContainsFunc(errs, func(e pair.Error) bool { return e.Object == object }) {
		t.Errorf("it shows %+v", errs)
	}
	if s.now.Sub(begin) < time.Minute {
		t.Errorf("it tries again without a pause")
	}
	s.refuses = ""
	s.advance(time.Minute)
	s.settle()
	if errs := s.status("phy0").Errors; len(errs) != 0 {
		t.Errorf("it still shows %+v", errs)
	}
}

// TestLinkdown: a route through a companion without carrier is on the dataplane
// as long as Linux uses it.
func TestLinkdown(t *testing.T) {
	s := newScene(t, memory.Options{Caps: namespaceCaps}, spec(0, 0), spec(1, 0))
	host0, host1 := s.host("host0").Index, s.host("host1").Index
	dst, dst6 := prefix("198.51.100.0/24"), prefix("2001:db8:1::/48")
	s.linux0(setUp(host0, true), setUp(host1, true), addAddr(host0, "192.0.2.1/24"), addAddr(host1, "192.0.3.1/24"),
		addAddr(host0, "2001:db8:2::1/64"), addAddr(host1, "2001:db8:3::1/64"))
	for i, via := range []string{"192.0.2.9", "192.0.3.9", "2001:db8:2::9", "2001:db8:3::9"} {
		r := &rtnl.Route{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST, Dst: dst,
			Oif: []uint32{host0, host1}[i%2], Gateway: netip.MustParseAddr(via), Priority: uint32(10 + i%2)}
		if i >= 2 {
			r.Family, r.Dst = unix.AF_INET6, dst6
		}
		s.linux0(rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 0, r))
	}
	through := func(what, want string) {
		t.Helper()
		s.settle()
		got := ""
		for _, d := range []netip.Prefix{dst, dst6} {
			for _, r := range s.dp.Has().Routes {
				if r.Key.Prefix == d {
					got += r.Paths.Paths[0].Via.String() + " "
				}
			}
		}
		s.want(what, got, want)
	}
	set := func(file, value string) {
		t.Helper()
		if err := s.spaces[0].kern.WriteSysctl("/proc/sys/net/"+file+"/ignore_routes_with_linkdown", value); err != nil {
			t.Fatal(err)
		}
	}
	const first, second, first6, second6 = "192.0.2.9 ", "192.0.3.9 ", "2001:db8:2::9 ", "2001:db8:3::9 "
	through("with carrier", first+first6)
	s.dp.SetCarrier("phy0", false)
	through("without, and nobody minds", first+first6)
	set("ipv4/conf/host0", "1")
	through("IPv4 minds", second+first6)
	set("ipv6/conf/all", "1")
	through("and IPv6", second+second6)
	set("ipv6/conf/host0", "0")
	set("ipv4/conf/all", "1")
	set("ipv4/conf/host0", "0")
	through("all of IPv4", second+first6)
	s.dp.SetCarrier("phy0", true)
	through("with carrier again", first+first6)
	s.dp.SetCarrier("phy0", false)
	through("without again", second+first6)
	set("ipv4/conf/all", "0")
	through("nobody minds again", first+first6)
}
