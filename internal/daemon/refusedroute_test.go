package daemon

import (
	"strings"
	"testing"
	"time"
)

func lanGateway(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestGatewayThatIsRefusedLosesNothing: a route that is to be replaced stays ours
// while its successor is not there.
func TestGatewayThatIsRefusedLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	with := func(gw string) string {
		return lanGateway("\toption ipaddr '192.168.1.1/24'\n\toption gateway '" + gw + "'\n")
	}
	w.config(with("192.168.1.254"))
	w.start()
	w.soon(w.has("route show", "default via 192.168.1.254"))
	w.config(with("10.99.99.1"))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if got := w.describe(); strings.Contains(got, "KEY_TAKEN") {
		t.Errorf("our own route is taken for somebody else's: %s", got)
	}
	w.config(with("192.168.1.253"))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.soon(w.has("route show", "default via 192.168.1.253"))
	w.config("")
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.soon(func() string { return w.ns.IP("route show") })
}
