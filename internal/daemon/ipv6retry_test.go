package daemon

import (
	"testing"
	"time"

	"netbraid/internal/iface"
)

func lanSix(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestIPv6SwitchedOnByReload: an IPv6 address that was refused does not wait for
// its back-off when IPv6 is switched on.
func TestIPv6SwitchedOnByReload(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config(lanSix("\toption ip6addr 'fd00::1/64'\n\toption ipv6 '0'\n"))
	w.start()
	time.Sleep(7 * time.Second)
	t.Log(w.describe())
	w.config(lanSix("\toption ip6addr 'fd00::1/64'\n\toption ipv6 '1'\n"))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.soon(w.has("-6 addr show dev eth0", "fd00::1/64"))
}

// TestMTUBelow1280AndBack: nor when the MTU allows IPv6 again.
func TestMTUBelow1280AndBack(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config(lanSix("\toption ip6addr 'fd00::1/64'\n"))
	w.start()
	w.waitState("lan", iface.Up)
	w.ns.IP("link set eth0 mtu 1200")
	time.Sleep(5 * time.Second)
	t.Log(w.describe())
	w.ns.IP("link set eth0 mtu 1500")
	w.soon(w.has("-6 addr show dev eth0", "fd00::1/64"))
}
