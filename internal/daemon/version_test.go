package daemon

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/model"
	"netbraid/internal/nstest"
)

// TestVersion: routes of others, however many come and go, do not make kept
// answers about interfaces void; what is shown of an interface does.
func TestVersion(t *testing.T) {
	w := newWorld(t)
	w.ns.IP("link add eth0 type veth peer name p0")
	w.ns.IP("link set p0 up")
	w.config("config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n\toption ipaddr '10.0.0.1/24'\n")
	w.start()
	w.waitState("lan", iface.Up)
	var before uint64
	nstest.Eventually(t, 5*time.Second, func() string { // until nothing comes any more
		before = w.d.Version()
		time.Sleep(300 * time.Millisecond)
		if w.d.Version() != before {
			return "the version still changes"
		}
		return ""
	})
	w.ns.IP("route add 198.51.100.0/24 via 10.0.0.9 proto bird")
	key := model.RouteKey{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Dst: netip.MustParsePrefix("198.51.100.0/24")}
	nstest.Eventually(t, 5*time.Second, func() string {
		there := false
		w.on(func(c *core.Core) { there = len(c.Mirror().Routes(key)) > 0 })
		if !there {
			return "the route has not been seen"
		}
		return ""
	})
	if got := w.d.Version(); got != before {
		t.Errorf("a route of somebody else changes the version: %d, then %d", before, got)
	}
	w.ns.IP("link set p0 down")
	nstest.Eventually(t, 5*time.Second, func() string {
		if w.d.Version() == before {
			return "a lost carrier does not change the version"
		}
		return ""
	})
}
