package plan

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// TestOneRouteOnTwoLinks: two owners want a route to one destination, each on
// its own link. The first by name has the say; whoever goes first, nothing is
// left behind of him.
func TestOneRouteOnTwoLinks(t *testing.T) {
	route := func(oif uint32) rtnl.Route {
		return rtnl.Route{Family: unix.AF_INET6, Dst: netip.MustParsePrefix("fd00::/64"), Oif: oif, Priority: 1024,
			Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST, Protocol: unix.RTPROT_STATIC}
	}
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		b := &board{links: []rtnl.Link{{Index: 2, Name: "eth0", Flags: unix.IFF_UP}, {Index: 3, Name: "eth1", Flags: unix.IFF_UP}}}
		p := New(0, b, NewOwned(), 1)
		p.Release()
		p.SetObjects("a", &Objects{Routes: []rtnl.Route{route(2)}})
		p.SetObjects("b", &Objects{Routes: []rtnl.Route{route(3)}})
		ops := p.Plan(time.Unix(1, 0))
		if len(ops) != 1 || ops[0].Route.Oif != 2 {
			t.Fatalf("operations %v, want the route of a", ops)
		}
		p.SetObjects(order[0], nil)
		left := map[string]uint32{"a": 3, "b": 2}[order[0]]
		for oif := uint32(2); oif <= 3; oif++ {
			if _, on := p.want.routesOn[oif][model.RouteKey{Family: unix.AF_INET6, Table: unix.RT_TABLE_MAIN, Priority: 1024, Dst: route(2).Dst}]; on != (oif == left) {
				t.Errorf("%v: the route counts as wanted on link %d: %v", order, oif, on)
			}
		}
		p.SetObjects(order[1], nil)
		if len(p.want.routesOn) > 0 || len(p.want.routes) > 0 {
			t.Errorf("%v: left behind: %v", order, p.want.routesOn)
		}
		p.LinkSeen(nil, &b.links[0])
		p.LinkSeen(nil, &b.links[1])
		p.Plan(time.Unix(2, 0)) // does not stumble over what nobody wants
	}
}
