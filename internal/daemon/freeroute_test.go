package daemon

import (
	"strings"
	"testing"
	"time"
)

func lanTorn(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestTeardownWithRouteOfNoInterface: teardown on exit removes also the routes that
// are on no interface.
func TestTeardownWithRouteOfNoInterface(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config(lanTorn("\toption ipaddr '192.168.1.1/24'\n") +
		"config route\n\toption target '198.51.100.0/24'\n\toption type 'blackhole'\n")
	c := startChild(t, w.ns, w.dir, "NETBRAID_TEST_TEARDOWN=1")
	c.wait("settled")
	time.Sleep(300 * time.Millisecond)
	if got := w.ns.IP("route show"); !strings.Contains(got, "198.51.100.0/24") {
		t.Fatal(got)
	}
	begin := time.Now()
	if err := c.end(); err != nil {
		t.Errorf("end after %s: %v", time.Since(begin), err)
	}
	if got := w.ns.IP("route show"); strings.Contains(got, "198.51.100.0/24") {
		t.Errorf("left behind: %s", got)
	}
}
