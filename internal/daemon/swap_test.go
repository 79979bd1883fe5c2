package daemon

import (
	"strings"
	"testing"
	"time"

	"netbraid/internal/iface"
)

// TestSwapOfDevices: two interfaces exchange their devices; the default route
// follows.
func TestSwapOfDevices(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.Veth("eth1", "peer1", nil)
	with := func(a, b string) string {
		return "config interface 'lan'\n\toption device '" + a + "'\n\toption proto 'static'\n\toption ipaddr '10.0.1.1/24'\n" +
			"config interface 'wan'\n\toption device '" + b + "'\n\toption proto 'static'\n\toption ipaddr '10.0.2.1/24'\n\toption gateway '10.0.2.254'\n"
	}
	w.config(with("eth0", "eth1"))
	w.start()
	w.waitState("wan", iface.Up)
	w.soon(w.has("route show", "default via 10.0.2.254 dev eth1"))
	for _, p := range []string{"eth0 eth1", "eth1 eth0"} {
		b, a, _ := strings.Cut(p, " ")
		w.config(with(a, b))
		if err := w.reload(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		w.soon(w.has("route show", "default via 10.0.2.254 dev "+b))
	}
}
