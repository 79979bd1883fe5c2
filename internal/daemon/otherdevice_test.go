package daemon

import (
	"strings"
	"testing"

	"netbraid/internal/iface"
)

func lanMoving(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestReloadMovesInterfaceToAnotherDevice: only an alias waits on its old device for
// the new one, which its parent brings up; here nobody else would.
func TestReloadMovesInterfaceToAnotherDevice(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.Veth("eth1", "peer1", nil)
	w.config(lanMoving("\toption ipaddr '192.168.1.1/24'\n"))
	w.start()
	w.waitState("lan", iface.Up)
	w.config(strings.Replace(lanMoving("\toption ipaddr '192.168.1.1/24'\n"), "eth0", "eth1", 1))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.waitAddrs("eth1", "192.168.1.1/24")
	w.waitAddrs("eth0")
	if w.up("eth0") {
		t.Error("eth0 is still up")
	}
}
