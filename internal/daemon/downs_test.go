package daemon

import (
	"testing"

	"netbraid/internal/core"
	"netbraid/internal/iface"
)

func lanDown(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestDownIsForgottenByAuto: that somebody took an interface down goes with its
// section, and with another word about auto.
func TestDownIsForgottenByAuto(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config(lanDown("\toption ipaddr '192.168.1.1/24'\n"))
	w.start()
	w.waitState("lan", iface.Up)
	w.command(core.VerbDown, "lan")
	w.waitState("lan", iface.Down)
	w.config("")
	w.reload()
	w.config(lanDown("\toption ipaddr '192.168.1.1/24'\n"))
	w.reload()
	w.waitState("lan", iface.Up)
	w.command(core.VerbDown, "lan")
	w.config(lanDown("\toption ipaddr '192.168.1.1/24'\n\toption auto '0'\n"))
	w.reload()
	w.config(lanDown("\toption ipaddr '192.168.1.1/24'\n\toption auto '1'\n"))
	w.reload()
	w.waitState("lan", iface.Up)
	w.stop()
	w.start()
	w.waitState("lan", iface.Up)
}
