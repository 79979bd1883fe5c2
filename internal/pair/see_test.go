package pair_test

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/memory"
	"netbraid/rtnl"
)

// TestDisagreementSees proves that the comparison at the end of the simulation
// sees each attribute: each is changed behind everybody's back, and put back.
func TestDisagreementSees(t *testing.T) {
	caps := vppCaps
	caps.Local = true
	w := newWorld(1, memory.Options{Caps: caps}, nil)
	phy := w.dp.AddPhy("phy0", dataplane.Ethernet)
	w.configure(spec(0, 0))
	w.rest()
	s := w.spaces[0]
	host := s.link("host0").Index
	s.request(linkSet(host, rtnl.LinkUp, upFlag(true)))
	s.request(addrMsg(unix.RTM_NEWADDR, host, netip.MustParsePrefix("192.0.2.1/24"), netip.Addr{}))
	s.request(neighMsg(unix.RTM_NEWNEIGH, host, netip.MustParseAddr("192.0.2.9"), w.mac(), unix.NUD_PERMANENT))
	s.request(addVLAN(host, "vlan7", 7, false, 0))
	s.request(routeMsg(unix.RTM_NEWROUTE, w.route(s, host)))
	w.rest()
	w.advance(10 * time.Second)
	w.rest()
	if bad := w.disagreement(); bad != "" || w.err != nil {
		t.Fatal(bad, w.err)
	}
	has := w.dp.Has()
	i := *w.dp.Named("phy0")
	sub := w.dp.Named("phy0.7")
	route := has.Routes[0]
	ops := map[string][]dataplane.Op{ // what is changed, and how it is put back
		"admin":       {{Kind: dataplane.SetUp}, {Kind: dataplane.SetUp, On: true}},
		"mtu":         {{Kind: dataplane.SetMTU, Value: 1400}, {Kind: dataplane.SetMTU, Value: 1500}},
		"mac":         {{Kind: dataplane.SetMAC, MAC: has.Interfaces[0].MAC}, {Kind: dataplane.SetMAC, MAC: i.MAC}},
		"address":     {{Kind: dataplane.AddrDel, Prefix: netip.MustParsePrefix("192.0.2.1/24")}, {Kind: dataplane.AddrAdd, Prefix: netip.MustParsePrefix("192.0.2.1/24")}},
		"more":        {{Kind: dataplane.AddrAdd, Prefix: netip.MustParsePrefix("192.0.3.1/24")}, {Kind: dataplane.AddrDel, Prefix: netip.MustParsePrefix("192.0.3.1/24")}},
		"neighbour":   {{Kind: dataplane.NeighDel, Addr: netip.MustParseAddr("192.0.2.9")}, {Kind: dataplane.NeighSet, Addr: has.Neighs[0].Addr, MAC: has.Neighs[0].MAC, On: true}},
		"local":       {{Kind: dataplane.LocalDel, Addr: netip.MustParseAddr("192.0.2.255")}, {Kind: dataplane.LocalAdd, Addr: netip.MustParseAddr("192.0.2.255")}},
		"more local":  {{Kind: dataplane.LocalAdd, Addr: netip.MustParseAddr("192.0.2.77")}, {Kind: dataplane.LocalDel, Addr: netip.MustParseAddr("192.0.2.77")}},
		"route":       {{Kind: dataplane.RouteDel, Family: unix.AF_INET, Route: route.Key}, {Kind: dataplane.RouteSet, Family: unix.AF_INET, Route: route.Key, Paths: route.Paths}},
		"sub-mtu":     {{Kind: dataplane.SetMTU, Index: sub.Index, Value: 1300}, {Kind: dataplane.SetMTU, Index: sub.Index, Value: 1500}},
		"sub-admin":   {{Kind: dataplane.SetUp, Index: sub.Index, On: true}, {Kind: dataplane.SetUp, Index: sub.Index}},
		"another sub": {{Kind: dataplane.SubAdd, Sub: dataplane.Sub{Outer: 8, Exact: true}}, {}},
	}
	if route.Key.Prefix.Addr().Is6() {
		ops["route"][0].Family, ops["route"][1].Family = unix.AF_INET6, unix.AF_INET6
	}
	ops["mac"][0].MAC.B[5] ^= 1
	for _, name := range []string{"admin", "mtu", "mac", "address", "more", "neighbour", "local", "more local", "route", "sub-mtu", "sub-admin", "another sub"} {
		for n, op := range ops[name] {
			if op.Index == 0 {
				op.Index = phy
			}
			if op.Kind != 0 {
				if _, err := w.dp.Do(&op); err != nil {
					t.Fatal(name, err)
				}
			}
			bad := w.disagreement()
			if n == 0 && bad == "" {
				t.Errorf("%s: not seen", name)
			} else if n == 1 && bad != "" && op.Kind != 0 {
				t.Errorf("%s: put back: %s", name, bad)
			}
		}
	}
}
