package rtnl

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelAlias gives a link an alias and takes it away.
func TestKernelAlias(t *testing.T) {
	w := newWorld(t)
	w.do(newLink(LinkRequest{Link: Link{Index: 50, Name: "e0", Kind: kindVeth}, Set: LinkName, Peer: &VethPeer{Name: "e1", MTU: 1400}}))
	for _, alias := range []string{"netbraid pair", strings.Repeat("x", MaxAlias), ""} {
		w.do(AppendLinkAlias(nil, 0, 0, 50, alias))
		got := map[string]string{}
		req := AppendDumpRequest(nil, KindLink, 0, Filter{})
		_, err := w.conn.Dump(t.Context(), req, func(b []byte) error {
			for len(b) > 0 {
				h, body, rest, err := NextMessage(b)
				if err != nil {
					return err
				}
				var l Link
				if b = rest; h.Type == unix.RTM_NEWLINK && DecodeLink(body, &l) == nil {
					if got[l.Name], err = LinkAlias(body); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil || got["e0"] != alias || got["e1"] != "" {
			t.Errorf("aliases %q, %v, want %q", got, err, alias)
		}
	}
	for _, l := range dumpAll(w, KindLink, Filter{}, DecodeLink) {
		if l.Name == "e1" && l.MTU != 1400 {
			t.Errorf("the peer was made with an MTU of 1400: %+v", l)
		}
	}
}

// TestKernelPortID holds that notifications of routes name who changed them.
func TestKernelPortID(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	n, err := Subscribe(w.ns.FD(), []uint32{unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	port, err := w.conn.PortID()
	if err != nil || port == 0 {
		t.Fatalf("port %d, %v", port, err)
	}
	w.do(newRoute(Route{Dst: pfx("10.1.0.0/16"), Type: unix.RTN_BLACKHOLE}), newRoute(Route{Dst: pfx("2001:db8:77::/48"), Type: unix.RTN_BLACKHOLE}))
	seen := 0
	if err := n.Drain(func(b []byte) {
		if h, _, _, err := NextMessage(b); err == nil && h.Type == unix.RTM_NEWROUTE && h.PID == port {
			seen++
		}
	}); err != nil || seen != 2 {
		t.Errorf("%d notifications name port %d, want 2 (%v)", seen, port, err)
	}
}

func FuzzLinkAlias(f *testing.F) {
	f.Add(AppendLinkAlias(nil, 0, 0, 3, "netbraid pair")[unix.SizeofNlMsghdr:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		alias, err := LinkAlias(body)
		if err != nil || len(alias) > MaxAlias {
			return
		}
		again, err := LinkAlias(AppendLinkAlias(nil, 0, 0, 3, alias)[unix.SizeofNlMsghdr:])
		if err != nil || again != alias {
			t.Errorf("%q became %q, %v", alias, again, err)
		}
	})
}
