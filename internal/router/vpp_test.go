package router

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/dataplane/vpptest"
	"netbraid/internal/nstest"
)

// vppSource is what netbraid calls its source of routes.
const vppSource = "netbraid"

// newVPPWorld is a control namespace with companions of a VPP for tests.
func newVPPWorld(t testing.TB) (*world, *vpptest.Server) {
	w := &world{t: t, control: nstest.New(t), dir: t.TempDir()}
	w.control.IP("link set lo up")
	s := vpptest.Start(t, vpptest.Options{Fail: t.Errorf, Companions: true, NetNS: path(w.control)})
	addPhys(s)
	w.write("network", fmt.Sprintf(`
config dataplane 'vpp'
	option type 'vpp'
	option socket '%s'

config pair 'e0'
	option phy 'GigabitEthernet0/3/0'

config pair 'e1'
	option phy 'GigabitEthernet0/4/0'

config interface 'wan'
	option device 'e0'
	option proto 'static'
	option ipaddr '10.0.0.1/24'
	option ip6addr 'fd00::1/64'
	option gateway '10.0.0.254'
`, s.Socket()))
	return w, s
}

func addPhys(s *vpptest.Server) {
	s.AddPhy("GigabitEthernet0/3/0", [6]byte{2, 0, 0, 0, 3, 0}, 1500)
	s.AddPhy("GigabitEthernet0/4/0", [6]byte{2, 0, 0, 0, 4, 0}, 9000)
}

// waitRoutes waits until VPP has so many IPv4 routes of ours.
func (w *world) waitRoutes(s *vpptest.Server, want int) {
	w.t.Helper()
	w.eventually(40*time.Second, func() string {
		if n := s.RouteCount(0, 0, vppSource); n != want {
			return fmt.Sprintf("VPP has %d routes of ours, not %d", n, want)
		}
		return ""
	})
}

// waitHears waits until the companion of the first phy hears what routing
// daemons and DHCP say to all.
func (w *world) waitHears(s *vpptest.Server) {
	w.t.Helper()
	w.eventually(30*time.Second, func() string {
		for _, g := range []string{"224.0.0.5", "224.0.0.18", "ff02::5", "ff02::1:2"} {
			if !s.Hears(1, netip.MustParseAddr(g)) {
				return "VPP drops what is sent to " + g
			}
		}
		if !s.Broadcast(0) {
			return "VPP drops what is sent to 255.255.255.255"
		}
		return ""
	})
}

// addRoutes adds n routes, with metrics that differ in more than 8 bits.
func (w *world) addRoutes(n int) {
	w.t.Helper()
	var batch strings.Builder
	for i := range n {
		fmt.Fprintf(&batch, "route add 20.%d.%d.0/24 via 10.0.0.%d metric %d\n", i>>8, i&255, 2+i%100, 256+i%2)
	}
	file := filepath.Join(w.dir, "routes")
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.control.IP("-batch " + file)
}

// TestVPP is the daemon before VPP's API: pairs with their attributes, routes,
// VPP restarted with and without what it had, netbraid killed.
func TestVPP(t *testing.T) {
	w, s := newVPPWorld(t)
	w.start()
	w.eventually(30*time.Second, func() string {
		out, err := w.control.Try("ip", "-br", "addr", "show", "dev", "e0")
		if err == nil && !strings.Contains(out, "10.0.0.1/24") {
			return out
		}
		if err == nil {
			out, err = w.control.Try("ip", "link", "show", "dev", "e1")
		}
		if err != nil {
			return out
		}
		return ""
	})
	w.eventually(30*time.Second, func() string {
		if l := w.control.JSON("link show dev e1")[0]; l["mtu"] != float64(9000) {
			return fmt.Sprintf("the companion of a phy with an MTU of 9000 has %v", l["mtu"])
		}
		return ""
	})
	const many = 2000
	w.addRoutes(many)
	w.waitRoutes(s, many+1) // and the default one
	w.waitHears(s)

	t.Run("VPP loses the connection", func(t *testing.T) {
		dumps, routes := s.Count("ip_route_v2_dump"), s.Count("ip_route_add_del_v2")
		s.Cut()
		w.eventually(30*time.Second, func() string {
			if s.Count("ip_route_v2_dump") == dumps {
				return "netbraid has not read the routes again"
			}
			return ""
		})
		w.live()
		time.Sleep(200 * time.Millisecond) // for what might be written without need
		if n := s.Count("ip_route_add_del_v2") - routes; n != 0 {
			t.Errorf("%d routes were written again", n)
		}
		w.waitRoutes(s, many+1)
	})
	t.Run("VPP restarts without anything", func(t *testing.T) {
		s.Restart(false)
		addPhys(s)
		w.waitRoutes(s, 1) // the others went with the tap, from Linux as well
		w.waitHears(s)
		w.addRoutes(many)
		w.waitRoutes(s, many+1)
		b, err := os.ReadFile(filepath.Join(w.dir, "log"))
		if n := strings.Count(string(b), "interface is down"); err != nil || n != 1 {
			t.Errorf("the interface went down %d times, VPP once (%v):\n%s", n, err, b)
		}
	})
	t.Run("netbraid is killed", func(t *testing.T) {
		before := s.Count("ip_route_add_del_v2")
		w.kill()
		w.control.IP("route del 20.0.0.0/24 via 10.0.0.2 metric 256")
		w.control.IP("route replace 20.0.1.0/24 via 10.0.0.9 metric 257")
		w.start()
		w.waitRoutes(s, many)
		w.live()
		w.eventually(15*time.Second, func() string {
			if n := s.Count("ip_route_add_del_v2") - before; n != 2 {
				return fmt.Sprintf("%d operations on routes were sent, two routes differ", n)
			}
			return ""
		})
	})
	t.Run("pairs come and go at run time", func(t *testing.T) {
		s.AddPhy("loop7", [6]byte{2, 0, 0, 0, 7, 7}, 1500)
		if out, err := w.run("pair", "add", "e7", "--phy", "loop7"); err != nil {
			t.Fatal(out, err)
		}
		w.eventually(30*time.Second, func() string {
			out, err := w.control.Try("ip", "-br", "link", "show", "dev", "e7")
			if err != nil {
				return out
			}
			return ""
		})
		if out, err := w.run("pair", "del", "e7"); err != nil {
			t.Fatal(out, err)
		}
		w.eventually(30*time.Second, func() string {
			if out, err := w.control.Try("ip", "-br", "link", "show", "dev", "e7"); err == nil {
				return "it is still there: " + out
			}
			return ""
		})
	})
}
