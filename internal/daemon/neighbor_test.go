package daemon

import (
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
)

// TestProxyNeighbor: an address that is answered for, which the kernel
// announces to nobody and drops with the link, is written when the link comes
// back, and goes with its interface, also one that an earlier process made.
func TestProxyNeighbor(t *testing.T) {
	w := newWorld(t)
	w.ns.IP("link add eth0 type veth peer name peer0")
	w.ns.IP("link set peer0 up")
	w.config("config interface lan\n\toption device eth0\n\toption proto static\n\toption ipaddr 10.0.0.1/24\n" +
		"config neighbor\n\toption interface lan\n\toption ipaddr 10.0.0.77\n\toption proxy 1\n" +
		"config neighbor6\n\toption interface lan\n\toption ipaddr 2001:db8::77\n\toption proxy 1\n")
	w.start()
	w.waitState("lan", iface.Up)
	proxies := func(want string) {
		t.Helper()
		nstest.Eventually(t, 5*time.Second, func() string {
			got := strings.Join(strings.Fields(w.ns.IP("neigh show proxy")+" "+w.ns.IP("-6 neigh show proxy")), " ")
			if got == want {
				return ""
			}
			return "proxies: " + got
		})
	}
	both := "10.0.0.77 dev eth0 proxy 2001:db8::77 dev eth0 proxy"
	if out := w.ns.IP("neigh show proxy"); strings.Contains(out, "2001") {
		both = "10.0.0.77 dev eth0 proxy 2001:db8::77 dev eth0 proxy 2001:db8::77 dev eth0 proxy"
	}
	proxies(both)
	w.command(core.VerbDown, "lan")
	proxies("")
	w.command(core.VerbUp, "lan")
	proxies(both)
	w.ns.IP("link set eth0 down") // and repaired
	proxies(both)
	w.stop()
	w.start()
	w.waitState("lan", iface.Up)
	proxies(both)
	w.command(core.VerbDown, "lan")
	proxies("")
}
