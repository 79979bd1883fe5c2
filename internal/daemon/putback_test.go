package daemon

import (
	"strings"
	"testing"
	"time"
)

func lanWith(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestPutBackLeavesForeignRoute: an address swap puts routes back, but not over a
// route of others that has the key.
func TestPutBackLeavesForeignRoute(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.Veth("eth1", "peer1", nil)
	w.ns.IP("link set eth1 up")
	w.ns.IP("addr add 10.9.9.2/24 dev eth1")
	w.ns.IP("route add default via 10.9.9.1 dev eth1")
	w.config(lanWith("\toption ipaddr '192.168.1.1/24'\n\toption gateway '192.168.1.254'\n"))
	w.start()
	w.waitAddrs("eth0", "192.168.1.1/24")
	if got := w.ns.IP("route show default"); !strings.Contains(got, "10.9.9.1") {
		t.Fatal(got)
	}
	w.config(lanWith("\toption ipaddr '192.168.1.2/24'\n\toption gateway '192.168.1.254'\n"))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.waitAddrs("eth0", "192.168.1.2/24")
	time.Sleep(300 * time.Millisecond)
	if got := w.ns.IP("route show default"); !strings.Contains(got, "10.9.9.1") {
		t.Fatalf("the default route of others has been replaced: %s\n%s", got, w.describe())
	}
}
