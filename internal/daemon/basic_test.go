package daemon

import (
	"strings"
	"testing"

	"netbraid/internal/core"
	"netbraid/internal/iface"
)

const basicConfig = `
config interface 'loopback'
	option device 'lo'
	option proto 'static'
	option ipaddr '127.0.0.1'
	option netmask '255.0.0.0'

config device
	option name 'br-lan'
	option type 'bridge'
	list ports 'eth0'
	list ports 'eth1'

config interface 'lan'
	option device 'br-lan'
	option proto 'static'
	list ipaddr '192.168.1.1/24'

config interface 'wan'
	option device 'eth2'
	option proto 'static'
	option ipaddr '203.0.113.2'
	option netmask '255.255.255.0'
	option gateway '203.0.113.1'
	option ip6addr '2001:db8:1::2/64'
	option ip6gw '2001:db8:1::1'

config interface 'lanalias'
	option device '@lan'
	option proto 'static'
	option ipaddr '192.168.50.1'
	option netmask '255.255.255.0'
`

func basicWorld(t testing.TB) *world {
	w := newWorld(t)
	for _, n := range []string{"0", "1", "2"} {
		w.ns.Veth("eth"+n, "peer"+n, nil)
	}
	w.config(basicConfig)
	return w
}

func TestBasic(t *testing.T) {
	w := basicWorld(t)
	w.start()
	for _, n := range []string{"loopback", "lan", "wan", "lanalias"} {
		w.waitState(n, iface.Up)
	}
	w.waitAddrs("br-lan", "192.168.1.1/24", "192.168.50.1/24")
	w.waitAddrs("eth2", "203.0.113.2/24", "2001:db8:1::2/64")
	for _, want := range []string{"default via 203.0.113.1 dev eth2 proto static"} {
		if got := w.ns.IP("route show"); !strings.Contains(got, want) {
			t.Errorf("ip route: %q lacks %q", got, want)
		}
	}
	if got := w.ns.IP("-6 route show"); !strings.Contains(got, "default via 2001:db8:1::1 dev eth2 proto static metric 1024") {
		t.Errorf("ip -6 route: %q", got)
	}

	w.command(core.VerbDown, "wan")
	w.waitState("wan", iface.Down)
	w.waitAddrs("eth2")
	if got := w.ns.IP("link show dev eth2"); strings.Contains(got, ",UP") {
		t.Errorf("eth2 is still up: %s", got)
	}
	w.command(core.VerbUp, "wan")
	w.waitAddrs("eth2", "203.0.113.2/24", "2001:db8:1::2/64")
}
