package netns

import (
	"os"
	"testing"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/conformance"
	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

// modules loads what the test kernel has as modules.
func modules(t *testing.T) {
	t.Helper()
	vmtest.Modprobe(t, "8021q", "vrf", "mpls_router", "mpls_iptunnel")
}

// TestVMConformance has VLANs, VRFs and MPLS too.
func TestVMConformance(t *testing.T) {
	vmtest.Require(t)
	modules(t)
	conformance.Run(t, func(t *testing.T) *conformance.World { return newWorld(t).conformance() })
}

// sub makes a sub-interface with a companion, up, and gives it addresses; wire
// is the link of the host at its other end.
func (l *lab) sub(phy uint32, tags dataplane.Sub, host, p4, p6 string) uint32 {
	l.t.Helper()
	tags.Exact = true
	i := l.write(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: tags}).Made[0].Index
	l.write(l.pairAdd(i, host), up(i, true))
	l.ctl.IP("link set " + host + " up")
	if p4 != "" {
		l.address(i, host, p4, p6, true)
	}
	return i
}

// vlan makes a link with a tag at a host.
func vlan(ns *nstest.NS, dev, name, how, p4, p6 string) {
	ns.IP("link add link " + dev + " name " + name + " type vlan " + how)
	ns.IP("link set " + name + " up")
	if p4 != "" {
		ns.IP("addr add " + p4 + " dev " + name)
		ns.IP("addr add " + p6 + " dev " + name + " nodad")
	}
}

// TestVMTags forwards between tagged, double-tagged and untagged links, and
// takes tagged packets to the router to their companion.
func TestVMTags(t *testing.T) {
	vmtest.Require(t)
	modules(t)
	l := newLab(t)
	vlan(l.a, "eth0", "v100", "id 100", "10.1.0.2/24", "2001:db8:1::2/64")
	vlan(l.b, "eth0", "v200", "proto 802.1ad id 200", "10.2.0.2/24", "2001:db8:2::2/64")
	vlan(l.a, "eth0", "v300", "proto 802.1ad id 300", "", "")
	vlan(l.a, "v300", "v300.7", "id 7", "10.3.0.2/24", "2001:db8:3::2/64")
	l.a.IP("route add 10.2.0.0/24 via 10.1.0.1")
	l.a.IP("-6 route add 2001:db8:2::/64 via 2001:db8:1::1")
	for _, p := range []string{"10.1.0.0/24", "10.3.0.0/24"} {
		l.b.IP("route add " + p + " via 10.2.0.1")
	}
	for _, p := range []string{"2001:db8:1::/64", "2001:db8:3::/64"} {
		l.b.IP("-6 route add " + p + " via 2001:db8:2::1")
	}
	one := l.sub(l.phya, dataplane.Sub{Outer: 100}, "hosta.100", "10.1.0.1/24", "2001:db8:1::1/64")
	two := l.sub(l.phyb, dataplane.Sub{Outer: 200, OuterAD: true}, "hostb.200", "10.2.0.1/24", "2001:db8:2::1/64")
	l.sub(l.phya, dataplane.Sub{Outer: 300, OuterAD: true}, "hosta.300", "", "")
	l.sub(l.phya, dataplane.Sub{Outer: 300, OuterAD: true, Inner: 7}, "hosta.300.7", "10.3.0.1/24", "2001:db8:3::1/64")
	all := func(when string) {
		t.Helper()
		for _, c := range []struct {
			from    *nstest.NS
			to, ttl string
		}{
			{l.a, "10.1.0.1", "ttl=64"}, {l.a, "2001:db8:1::1", "ttl=64"}, {l.b, "10.2.0.1", "ttl=64"}, {l.b, "2001:db8:2::1", "ttl=64"},
			{l.a, "10.3.0.1", "ttl=64"}, {l.a, "2001:db8:3::1", "ttl=64"},
			{l.a, "10.2.0.2", "ttl=63"}, {l.a, "2001:db8:2::2", "ttl=63"}, {l.b, "10.3.0.2", "ttl=63"}, {l.b, "2001:db8:3::2", "ttl=63"},
			{l.ctl, "10.1.0.2", "ttl=64"}, {l.ctl, "10.2.0.2", "ttl=64"}, {l.ctl, "10.3.0.2", "ttl=64"}, {l.ctl, "2001:db8:3::2", "ttl=64"},
			{l.a, netB4 + "2", "ttl=63"},
		} {
			t.Log(when, c.to)
			expect(t, c.from, c.to, c.ttl)
		}
	}
	all("tagged")
	if in, _ := l.drops(); in != 0 {
		t.Errorf("%d packets were dropped as for the forwarding namespace itself", in)
	}

	// The same within a VRF.
	for _, f := range []uint8{2, 10} {
		l.write(dataplane.Op{Kind: dataplane.TableAdd, Value: 1001, Family: f})
	}
	l.b.IP("addr add 10.9.0.1/32 dev lo")
	l.a.IP("route add 10.9.0.0/16 via 10.1.0.1")
	l.write(route("10.9.0.0/16", via(l.phya, netA4+"77"))) // leads nowhere
	for _, i := range []uint32{one, two} {
		l.write(dataplane.Op{Kind: dataplane.SetTable, Index: i, Value: 1001})
	}
	in := route("10.9.0.0/16", via(two, "10.2.0.2"))
	in.Route.Table = 1001
	l.write(in)
	for _, c := range [][2]string{{"10.2.0.2", "ttl=63"}, {"2001:db8:2::2", "ttl=63"}, {"10.9.0.1", "ttl=63"}, {"10.1.0.1", "ttl=64"}, {"2001:db8:1::1", "ttl=64"}} {
		t.Log("in a VRF", c[0])
		expect(t, l.a, c[0], c[1])
	}
}

// TestVMLabels swaps, pops and pushes labels of real packets.
func TestVMLabels(t *testing.T) {
	vmtest.Require(t)
	modules(t)
	l := newLab(t)
	for _, ns := range []*nstest.NS{l.a, l.b} {
		if err := ns.Do(func() error {
			if err := os.WriteFile("/proc/sys/net/mpls/platform_labels", []byte("1000"), 0); err != nil {
				return err
			}
			return os.WriteFile("/proc/sys/net/mpls/conf/eth0/input", []byte("1"), 0)
		}); err != nil {
			t.Fatal(err)
		}
	}
	labelled := func(p dataplane.Path, labels ...uint32) dataplane.Path {
		p.Labels.N = uint8(copy(p.Labels.L[:], labels))
		return p
	}
	label := func(n uint32, p dataplane.Path) dataplane.Op {
		return dataplane.Op{Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Label: n, EOS: true}, Paths: &dataplane.PathSet{Paths: []dataplane.Path{p}}}
	}
	for _, a := range []string{"10.7.0.1", "10.8.0.1", "10.9.0.1"} {
		l.b.IP("addr add " + a + "/32 dev lo")
	}
	l.b.IP("-M route add 200 dev lo")
	l.write(dataplane.Op{Kind: dataplane.SetMPLS, Index: l.phya, On: true},
		label(100, labelled(via(l.phyb, netB4+"2"), 200)),               // swap
		label(101, dataplane.Path{Index: dataplane.NoIndex, Weight: 1}), // pop, look up
		route("10.7.0.0/16", via(l.phyb, netB4+"2")),
		route("10.8.0.0/16", labelled(via(l.phyb, netB4+"2"), 200))) // push
	l.a.IP("route add 10.9.0.1/32 encap mpls 100 via " + netA4 + "1")
	l.a.IP("route add 10.7.0.1/32 encap mpls 101 via " + netA4 + "1")
	for _, a := range []string{"10.8.0.1", "10.9.0.1", "10.7.0.1"} {
		t.Log(a)
		ping(t, l.a, a)
	}
	if l.dumpRoutes() != 4 {
		t.Error("the dump does not show the four routes")
	}
	l.fwd.IP("-M route del 101")
	l.wait("Disturbed", func(e dataplane.Event) bool {
		d, ok := e.(dataplane.Disturbed)
		return ok && d.Kind == dataplane.KindRoute
	})
	l.write(dataplane.Op{Kind: dataplane.RouteDel, Route: dataplane.RouteKey{Label: 100, EOS: true}})
	if _, err := l.a.Try("ping", "-n", "-c", "1", "-W", "1", "10.9.0.1"); err == nil {
		t.Error("a label without route is forwarded")
	}
}
