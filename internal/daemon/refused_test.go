package daemon

import (
	"testing"

	"netbraid/internal/iface"
)

func lanRefused(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestRefusedSettingDoesNotKeepTheLinkDown: a setting that the kernel refuses is
// shown; it does not keep the interface from coming up.
func TestRefusedSettingDoesNotKeepTheLinkDown(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config("config device\n\toption name 'eth0'\n\toption mtu '70000'\n" + lanRefused("\toption ipaddr '192.168.1.1/24'\n"))
	w.start()
	w.waitState("lan", iface.Up)
}
