package daemon

import (
	"testing"
	"time"

	"netbraid/internal/iface"
)

func lanTaken(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestTakeoverByReloadOfLaterAddress: an address of others that differs is made
// anew also where promote_secondaries has to be set for it.
func TestTakeoverByReloadOfLaterAddress(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config(lanTaken("\toption ipaddr '192.168.1.1/24'\n\toption takeover '1'\n"))
	w.start()
	w.waitState("lan", iface.Up)
	w.ns.IP("addr add 192.168.1.5/24 broadcast 192.168.1.7 dev eth0")
	time.Sleep(100 * time.Millisecond)
	w.config(lanTaken("\tlist ipaddr '192.168.1.1/24'\n\tlist ipaddr '192.168.1.5/24'\n\toption takeover '1'\n"))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.soon(w.has("addr show dev eth0", "192.168.1.5/24 brd 192.168.1.255"))
}
