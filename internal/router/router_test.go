package router

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane/netns"
)

// manyWanted is the size of the table that the second router tells. The short
// tests take a tenth.
const manyWanted = 200_000

// TestRouter is the whole of it: adjacencies over the companions, the routes
// that BIRD learns forwarded by the other namespace, through flapping links, a
// restart of BIRD, and netbraid killed, without losing a packet of what goes on.
func TestRouter(t *testing.T) {
	many := manyWanted
	if testing.Short() {
		many /= 10
	}
	w := newWorld(t)
	w.secondBird = newBird(t, w.second, both+"protocol static {\n\tipv4;\ninclude \""+manyRoutes(t, many, "192.168.2.2")+"\";\n}\n",
		"10.0.0.2", "eth1", "eth0", "10.0.0.2", 65002, "10.0.0.1", 65001, "fd00::2", "fd00::1")
	w.controlBird = newBird(t, w.control, both, "10.0.0.1", "e1", "e0", "10.0.0.1", 65001, "10.0.0.2", 65002, "fd00::1", "fd00::2")
	w.start()
	w.eventually(30*time.Second, func() string {
		if out, err := w.control.Try("ping", "-c1", "-W1", "10.0.0.2"); err != nil {
			return "the companion does not reach the second router: " + out
		}
		return ""
	})
	w.secondBird.Start()
	w.controlBird.Start()
	began := time.Now()
	w.same(many)
	t.Logf("%d routes learned and forwarded %s after BIRD's start", many, time.Since(began).Round(time.Millisecond))
	w.reach()

	t.Run("netbraid is killed", func(t *testing.T) {
		s4 := newStream(t, w.one, w.two, "192.168.2.2:9000")
		s6 := newStream(t, w.one, w.two, "[fd02::2]:9000")
		time.Sleep(300 * time.Millisecond)
		w.kill()
		time.Sleep(500 * time.Millisecond)
		w.start()
		w.live()
		time.Sleep(500 * time.Millisecond)
		for name, s := range map[string]*stream{"IPv4": s4, "IPv6": s6} {
			if sent, lost := s.end(); lost > 0 || sent < 500 {
				t.Errorf("%s: %d of %d packets were lost", name, lost, sent)
			}
		}
		if why := established(w.controlBird); why != "" {
			t.Errorf("a session did not survive: %s", why)
		}
		w.same(many)
	})
	t.Run("a link flaps", func(t *testing.T) {
		for range 3 {
			w.second.IP("link set eth0 down")
			w.eventually(15*time.Second, func() string {
				if l := w.control.JSON("link show dev e0")[0]; l["operstate"] == "UP" {
					return "the companion still has a carrier: " + w.control.IP("-br link show dev e0") + w.forward.IP("-br link")
				}
				return ""
			})
			w.second.IP("link set eth0 up")
			w.second.IP("addr replace fd00::2/64 dev eth0 nodad") // the kernel has dropped it
			time.Sleep(200 * time.Millisecond)
		}
		w.same(many)
		w.reach()
	})
	t.Run("BIRD restarts", func(t *testing.T) {
		w.controlBird.Kill()
		w.control.IP("route flush proto bird")
		w.eventually(30*time.Second, func() string {
			if n := len(w.via(w.forward, netns.Protocol, func(uint32) string { return "" })); n > 10 {
				return fmt.Sprintf("%d routes are left in the forwarding namespace", n)
			}
			return ""
		})
		w.controlBird.Start()
		w.same(many)
		w.reach()
	})
	t.Run("netbraid is killed while everything changes", func(t *testing.T) {
		w.kill()
		w.second.IP("link set eth0 down")
		w.second.IP("link set eth0 up")
		w.second.IP("addr replace fd00::2/64 dev eth0 nodad")
		w.controlBird.Kill()
		w.control.IP("route flush proto bird")
		w.control.IP("route add 198.51.100.0/24 via 10.0.0.2 proto bird")
		w.start()
		w.live()
		w.controlBird.Start()
		w.same(many)
		w.reach()
	})
}

// live waits until the dataplane is, and has all its routes.
func (w *world) live() {
	w.t.Helper()
	w.eventually(60*time.Second, func() string {
		out, err := w.run("fib", "--json")
		var answer struct {
			Dataplanes []struct {
				State string
				Fib   struct{ Differences *int }
			}
		}
		if err == nil {
			err = json.Unmarshal([]byte(out), &answer)
		}
		if err != nil {
			return fmt.Sprint(out, err)
		}
		for _, d := range answer.Dataplanes {
			if d.State != "live" || d.Fib.Differences == nil || *d.Fib.Differences != 0 {
				return out
			}
		}
		return ""
	})
}

// same waits until the forwarding namespace has exactly the routes that BIRD has
// put into the control namespace, with each interface in place of its companion.
func (w *world) same(many int) {
	w.t.Helper()
	as := map[string]string{"e0": "wan", "e1": "lan"}
	w.eventually(120*time.Second, func() string {
		if why := established(w.controlBird); why != "" {
			time.Sleep(200 * time.Millisecond)
			return why
		}
		want := w.via(w.control, unix.RTPROT_BIRD, w.names(w.control, as))
		maps.DeleteFunc(want, func(_ netip.Prefix, via string) bool { return strings.HasPrefix(via, "invalid") }) // behind connected ones
		if len(want) < many {
			time.Sleep(200 * time.Millisecond)
			return fmt.Sprintf("BIRD has learned %d of %d", len(want), many)
		}
		have := w.via(w.forward, netns.Protocol, w.names(w.forward, nil))
		maps.DeleteFunc(have, func(p netip.Prefix, _ string) bool { return want[p] == "" && !isMany(p) }) // netbraid's own
		if !maps.Equal(want, have) {
			time.Sleep(200 * time.Millisecond)
			return differ(want, have)
		}
		return ""
	})
}

// isMany tells one of the routes that the second router tells.
func isMany(p netip.Prefix) bool {
	a := p.Addr().As16()
	return p.Addr().Is4() && a[12] >= 20 && a[12] < 30 && p.Bits() == 24
}

func differ(want, have map[netip.Prefix]string) string {
	for p, v := range want {
		if have[p] != v {
			return fmt.Sprintf("%d routes wanted, %d there; %v is %q, not %q", len(want), len(have), p, have[p], v)
		}
	}
	for p, v := range have {
		if want[p] == "" {
			return fmt.Sprintf("%d routes wanted, %d there; %v through %s is not wanted", len(want), len(have), p, v)
		}
	}
	return "nothing differs"
}

// reach has real packets go all the way.
func (w *world) reach() {
	w.t.Helper()
	for _, to := range []string{"192.168.2.2", "fd02::2", "10.0.0.2", "192.168.1.1"} {
		w.eventually(30*time.Second, func() string {
			if out, err := w.one.Try("ping", "-c1", "-W1", to); err != nil {
				return to + " is not reached: " + out
			}
			return ""
		})
	}
}

// TestNoFlap: an interface on a companion comes up once; that its phy was down
// is not copied over what is configured.
func TestNoFlap(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.eventually(30*time.Second, func() string {
		if out, err := w.control.Try("ping", "-c1", "-W1", "10.0.0.2"); err != nil {
			return out
		}
		return ""
	})
	b, err := os.ReadFile(filepath.Join(w.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "interface is down") || strings.Contains(string(b), "repaired") {
		t.Errorf("something went down or had to be repaired:\n%s", b)
	}
}
