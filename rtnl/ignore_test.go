package rtnl

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelIgnoreRoutesOf: routes of one socket are kept back, those of others
// and everything else are not.
func TestKernelIgnoreRoutesOf(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	n, err := Subscribe(w.ns.FD(), []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	port, err := w.conn.PortID()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.IgnoreRoutesOf(port); err != nil {
		t.Fatal(err)
	}
	if n.IgnoreRoutesOf(0) == nil {
		t.Error("port 0 is the kernel's")
	}
	other, err := DialNS(w.ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	route := func(dst string) []byte { return newRoute(Route{Dst: pfx(dst), Type: unix.RTN_BLACKHOLE}) }
	del := func(dst string) []byte {
		return AppendRoute(nil, unix.RTM_DELROUTE, 0, 0, &Route{Family: familyOf(pfx(dst).Addr()), Table: unix.RT_TABLE_MAIN, Scope: unix.RT_SCOPE_NOWHERE, Dst: pfx(dst)})
	}
	w.do(route("10.1.0.0/16"), route("2001:db8:77::/48"), del("10.1.0.0/16"))
	if err := other.Execute(t.Context(), [][]byte{route("10.2.0.0/16")})[0]; err != nil {
		t.Fatal(err)
	}
	w.do(AppendLink(nil, unix.RTM_NEWLINK, 0, 0, &LinkRequest{Link: Link{Index: idxUplink, MTU: 1400}, Set: LinkMTU}))
	routes, links := 0, 0
	if err := n.Drain(func(b []byte) {
		h, body, _, err := NextMessage(b)
		var r Route
		switch {
		case err != nil:
			t.Error(err)
		case h.Type == unix.RTM_NEWLINK:
			links++
		case h.PID == port:
			t.Errorf("a route of ours is told: %s", FormatMessage(h, body, nil))
		case DecodeRoute(body, &r) == nil && r.Dst == pfx("10.2.0.0/16"):
			routes++
		}
	}); err != nil || routes != 1 || links == 0 {
		t.Errorf("%d routes of the other, %d links, %v", routes, links, err)
	}
}
