package daemon

import (
	"testing"

	"netbraid/internal/iface"
)

func lanOnly(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestSettingThatAppearsLaterIsRestored: a link with an MTU below 1280 has no IPv6
// settings; those that come with a larger MTU are put back on release.
func TestSettingThatAppearsLaterIsRestored(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.IP("link set eth0 up mtu 1200")
	w.config("config device\n\toption name 'eth0'\n\toption ipv6 '0'\n" + lanOnly("\toption ipaddr '192.168.1.1/24'\n"))
	w.start()
	w.waitState("lan", iface.Up)
	w.ns.IP("link set eth0 mtu 1500")
	w.soon(func() string {
		if w.sysctl("ipv6/conf/eth0/disable_ipv6") != "1" {
			return "not set"
		}
		return ""
	})
	w.config("")
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.soon(func() string {
		if w.sysctl("ipv6/conf/eth0/disable_ipv6") != "0" {
			return "IPv6 is left switched off"
		}
		return ""
	})
}
