package daemon

import (
	"strings"
	"testing"

	"netbraid/internal/core"
	"netbraid/internal/iface"
)

// TestOptionDroppedFromOurLinkIsUndone: what a reload no longer asks of a link
// that we made goes back to what the kernel gave it.
func TestOptionDroppedFromOurLinkIsUndone(t *testing.T) {
	w := basicWorld(t)
	with := strings.Replace(basicConfig, "list ports 'eth0'", "list ports 'eth0'\n\toption mtu '1400'\n\toption txqueuelen '77'\n\toption rpfilter 'strict'", 1)
	w.config(with)
	w.start()
	w.waitState("lan", iface.Up)
	w.wantLink("br-lan", "mtu", 1400.0)
	w.wantLink("br-lan", "txqlen", 77.0)
	before := w.sysctl("ipv4/conf/br-lan/rp_filter")
	w.config(basicConfig)
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.wantLink("br-lan", "mtu", 1500.0)
	w.wantLink("br-lan", "txqlen", 1000.0)
	w.soon(func() string {
		if got := w.sysctl("ipv4/conf/br-lan/rp_filter"); got != "0" || before != "1" {
			return "rp_filter is " + got + ", was " + before
		}
		return ""
	})
	if s := w.state("lan"); s != iface.Up {
		t.Errorf("lan is %s", s)
	}
}

// TestBridgeSectionRemoved: the bridge goes with its section, though an
// interface still names the device.
func TestBridgeSectionRemoved(t *testing.T) {
	w := basicWorld(t)
	w.start()
	w.waitState("lan", iface.Up)
	i := strings.Index(basicConfig, "config device")
	j := strings.Index(basicConfig, "config interface 'lan'")
	w.config(basicConfig[:i] + basicConfig[j:])
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.wantLink("br-lan", "mtu", nil)
	w.waitState("lan", iface.Down)
	w.soon(func() string {
		if w.up("eth0") {
			return "a port is left up"
		}
		return ""
	})
}

// TestRouteWithoutInterface: the gateway says which link; it comes back with it.
func TestRouteWithoutInterface(t *testing.T) {
	w := basicWorld(t)
	w.config(basicConfig + "config route\n\toption target '198.51.100.0/24'\n\toption gateway '203.0.113.9'\n")
	w.start()
	w.waitState("wan", iface.Up)
	w.soon(w.has("route show", "198.51.100.0/24 via 203.0.113.9 dev eth2 proto static"))
	w.command(core.VerbRestart, "wan")
	w.waitState("wan", iface.Up)
	w.soon(w.has("route show", "198.51.100.0/24 via 203.0.113.9 dev eth2 proto static"))
}
