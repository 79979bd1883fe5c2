package partners

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

// far makes the far end of a tunnel of each protocol.
var far = map[string]string{
	"vxlan": "link add far type vxlan id 7 local 192.0.2.1 remote 192.0.2.2 dstport 4789",
	"gre":   "link add far type gre key 7 local 192.0.2.1 remote 192.0.2.2",
}

// tunnelWorld is a world with a tunnel vpn on top of wan to hub.example, and
// vpnip for its addresses. The far end is there. link is what the tunnel is
// called.
func tunnelWorld(t *testing.T, proto string) (w *world, link string) {
	t.Parallel()
	w = newWorld(t, 1)
	w.config(tunnelConfig(proto, "hub.example"))
	addons := w.install(filepath.Join(w.dir, "root"))
	// A resolver that reads a file of the world's own.
	write(t, filepath.Join(w.run, "bin", "resolveip"),
		"#!/bin/sh\nfor name; do :; done\necho $name >>"+w.asked()+"\nsed -n \"s/ $name\\$//p\" "+w.hosts()+"\n", 0o755)
	w.resolves("")
	w.far.IP("addr add 192.0.2.1/24 dev peer0")
	w.far.IP(far[proto])
	w.far.IP("addr add 10.9.0.1/30 dev far")
	w.far.IP("link set far up")
	w.start(addons)
	return w, proto + "-vpn"
}

func tunnelConfig(proto, peer string) string {
	return fmt.Sprintf(`
config interface 'vpn'
	option proto '%s'
	option ipaddr '192.0.2.2'
	option peeraddr '%s'
	option tunlink 'wan'
	option key '7'
	list depends 'wan'

config interface 'vpnip'
	option device '@vpn'
	option proto 'static'
	option ipaddr '10.9.0.2/30'

config interface 'wan'
	option proto 'static'
	option device 'eth0'
	option ipaddr '192.0.2.2/24'
	option force_link '0'
`, proto, peer)
}

func (w *world) hosts() string { return filepath.Join(w.dir, "hosts") }
func (w *world) asked() string { return filepath.Join(w.dir, "asked") }

// resolves says what hub.example is; empty for a name that is not known.
func (w *world) resolves(addr string) {
	line := ""
	if addr != "" {
		line = addr + " hub.example\n"
	}
	write(w.t, w.hosts(), line, 0o644)
}

// passes waits until the tunnel is up and traffic goes through it.
func (w *world) passes(link string) {
	w.t.Helper()
	w.waitUp("vpn")
	w.waitUp("vpnip")
	w.waitAddrs(link, "10.9.0.2/30")
	nstest.Eventually(w.t, 8*time.Second, func() string {
		out, err := w.ns.Try("ping", "-c", "1", "-W", "1", "10.9.0.1")
		if err != nil {
			return out
		}
		return ""
	})
}

func (w *world) gone(link string) {
	w.t.Helper()
	nstest.Eventually(w.t, 8*time.Second, func() string {
		if out, err := w.ns.Try("ip", "link", "show", "dev", link); err == nil {
			return out
		}
		return ""
	})
}

// TestTunnelComesBackWithItsUplink: a tunnel goes with the interface that it
// runs over and comes back with it (openwrt/openwrt#11086,
// openwrt/packages#24991).
func TestTunnelComesBackWithItsUplink(t *testing.T) {
	t.Run("vxlan", func(t *testing.T) { comesBack(t, "vxlan") })
	t.Run("gre", func(t *testing.T) {
		vmtest.Require(t)
		comesBack(t, "gre")
	})
}

func comesBack(t *testing.T, proto string) {
	w, link := tunnelWorld(t, proto)
	w.resolves("192.0.2.1")
	w.up("vpn") // at once, without the rest of the back-off
	w.passes(link)
	w.far.IP("link set peer0 down")
	w.gone(link)
	w.waitDown("vpn")
	w.waitError("vpn", "NO_DEVICE")
	if msg := fmt.Sprint(w.call("network.interface.vpn", "status")); !strings.Contains(msg, "it depends on interface wan, which is not up") {
		t.Errorf("the status of vpn does not say why: %s", msg)
	}
	w.far.IP("link set peer0 up")
	w.passes(link)
	w.down("wan")
	w.gone(link)
	w.up("wan")
	w.passes(link)
	w.quiet()
}

// TestTunnelWhosePeerResolvesLater: a name that is not known yet is an error in
// errors[] and another try, later and later; the interfaces below stay up; when
// the name is known the tunnel comes up by itself (openwrt/openwrt#24511,
// openwrt/openwrt#14838).
func TestTunnelWhosePeerResolvesLater(t *testing.T) {
	t.Run("vxlan", func(t *testing.T) { resolvesLater(t, "vxlan") })
	t.Run("gre", func(t *testing.T) {
		vmtest.Require(t)
		resolvesLater(t, "gre")
	})
}

func resolvesLater(t *testing.T, proto string) {
	w, link := tunnelWorld(t, proto)
	w.waitError("vpn", "PEER_RESOLVE_FAIL")
	before := w.call("network.interface.vpn", "status")
	list, _ := before.Array("errors")
	time.Sleep(2500 * time.Millisecond)
	// At once, after 1 s, after 2 s more, each ± 25 %.
	if b, err := os.ReadFile(w.asked()); err != nil || bytes.Count(b, []byte("\n")) < 2 || bytes.Count(b, []byte("\n")) > 3 {
		t.Errorf("asked in 2.5 s: %q %v", b, err)
	}
	if n := w.count("ifup vpn"); n != 0 {
		t.Errorf("vpn was up %d times", n)
	}
	if up, _, errs := w.status("vpn"); up || !slices.Contains(errs, "PEER_RESOLVE_FAIL") || len(errs) != len(list) {
		t.Errorf("vpn: up %v, errors %v", up, errs)
	}
	w.waitUp("wan")
	if n := w.count("ifdown wan"); n != 0 {
		t.Errorf("wan went down %d times", n)
	}
	w.resolves("192.0.2.1")
	w.passes(link)
	if _, _, errs := w.status("vpn"); len(errs) > 0 {
		t.Errorf("vpn is up, with errors %v", errs)
	}
	w.quiet()
}

// TestTunnelAfterEdit: after a change of the configuration, ifdown and ifup, a
// tunnel is not stuck without a device (openwrt/openwrt#14616,
// openwrt/packages#23368).
func TestTunnelAfterEdit(t *testing.T) {
	t.Run("vxlan", func(t *testing.T) { afterEdit(t, "vxlan") })
	t.Run("gre", func(t *testing.T) {
		vmtest.Require(t)
		afterEdit(t, "gre")
	})
}

func afterEdit(t *testing.T, proto string) {
	w, link := tunnelWorld(t, proto)
	w.waitError("vpn", "PEER_RESOLVE_FAIL")
	w.config(tunnelConfig(proto, "192.0.2.77"))
	write(t, w.hosts(), "192.0.2.77 192.0.2.77\n192.0.2.1 192.0.2.1\n", 0o644)
	w.call("network", "reload")
	w.waitUp("vpn")
	waitText(t, func() string { out, _ := w.ns.Try("ip", "-d", "link", "show", "dev", link); return out }, "remote 192.0.2.77")
	w.config(tunnelConfig(proto, "192.0.2.1"))
	w.call("network", "reload")
	w.passes(link)
	w.down("vpn")
	w.gone(link)
	w.up("vpn")
	w.passes(link)
	if _, _, errs := w.status("vpn"); len(errs) > 0 {
		t.Errorf("vpn is up, with errors %v", errs)
	}
	w.quiet()
}

// TestRoutesOfHandlers: routes of a handler have the metric of the interface and
// its tables, unless they say otherwise themselves (openwrt/openwrt#10188,
// #23280, openwrt/netifd#44); so have configured ones, which do not get lost when
// the handler does (openwrt/openwrt#12927).
func TestRoutesOfHandlers(t *testing.T) {
	for _, tables := range []bool{false, true} {
		t.Run(fmt.Sprintf("tables=%v", tables), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			text, main4, main6 := "", "main", "main"
			if tables {
				text, main4, main6 = "\toption ip4table '100'\n\toption ip6table '101'\n", "100", "101"
			}
			w.config("config interface 'wan'\n\toption proto 'routed'\n\toption device 'eth0'\n\toption metric '9'\n" + text + `
config route
	option interface 'wan'
	option target '198.51.100.0/24'
	option gateway '192.0.2.8'
	option table '55'

config route
	option interface 'wan'
	option target '203.0.113.0/24'
	option gateway '192.0.2.8'
	option table 'main'
	option onlink '1'

config route6
	option interface 'wan'
	option target '2001:db8:99::/48'
	option gateway '2001:db8::8'
	option metric '3'
`)
			w.start(w.install(filepath.Join(w.dir, "root")))
			check := func() {
				t.Helper()
				w.waitUp("wan")
				for _, r := range []struct{ family, table, route string }{
					{"-4", main4, "default via 192.0.2.1 dev eth0 proto static metric 9"},
					{"-4", main4, "10.60.0.0/16 via 192.0.2.9 dev eth0 proto static metric 42"},
					{"-6", main6, "default via 2001:db8::1 dev eth0 proto static metric 9"},
					{"-6", main6, "2001:db8:60::/48 via 2001:db8::9 dev eth0 proto static metric 43"},
					{"-6", "123", "2001:db8:77::/48 via 2001:db8::9 dev eth0 proto static metric 9"},
					{"-4", "55", "198.51.100.0/24 via 192.0.2.8 dev eth0 proto static metric 9"},
					{"-4", "main", "203.0.113.0/24 via 192.0.2.8 dev eth0 proto static metric 9 onlink"},
					{"-6", main6, "2001:db8:99::/48 via 2001:db8::8 dev eth0 proto static metric 3"},
				} {
					waitText(t, func() string {
						out, _ := w.ns.Try("ip", r.family, "route", "show", "table", r.table)
						return out
					}, r.route)
				}
			}
			check()
			w.call("network.interface.wan", "restart")
			check()
			w.far.IP("link set peer0 down")
			w.waitDown("wan")
			w.far.IP("link set peer0 up")
			check()
			w.quiet()
		})
	}
}
