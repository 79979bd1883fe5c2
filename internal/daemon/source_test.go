package daemon

import (
	"testing"

	"netbraid/internal/iface"
)

func lanRouted(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestRouteWithSourceOfAnotherLink: a route waits for its source address, also
// when that comes on another link.
func TestRouteWithSourceOfAnotherLink(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config(lanRouted("\toption ipaddr '192.168.1.1/24'\n") +
		"config interface 'lan2'\n\toption device 'eth1'\n\toption proto 'static'\n\toption ipaddr '192.168.2.1/24'\n" +
		"config route\n\toption interface 'lan'\n\toption target '198.51.100.0/24'\n\toption gateway '192.168.1.254'\n\toption source '192.168.2.1'\n")
	w.start()
	w.waitState("lan", iface.Up)
	w.ns.Veth("eth1", "peer1", nil)
	w.waitState("lan2", iface.Up)
	w.soon(w.has("route show", "198.51.100.0/24 via 192.168.1.254"))
}
