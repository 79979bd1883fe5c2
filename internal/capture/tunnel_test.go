package capture

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
	"netbraid/ubus"
)

// tunnel is a kind of tunnel: the options of its interface, and what the kernel
// is to say of it.
type tunnel struct{ kind, options, want string }

// TestTunnels: a tunnel that a handler asks for is made, addressed, made again
// when somebody deletes it, and gone with the interface. The kinds that most
// kernels lack are in TestVMTunnels.
func TestTunnels(t *testing.T) {
	tunnels(t, []tunnel{
		{"vxlan", "mode vxlan|ipaddr 192.0.2.1|peeraddr 192.0.2.2|key 77|tunlink up|ttl 9|macaddr 02:00:00:00:00:77",
			"mtu 1280|02:00:00:00:00:77|vxlan id 77 remote 192.0.2.2 local 192.0.2.1 dev eth0|dstport 4789|ttl 9"},
		{"vxlan", "mode vxlan6|ipaddr 2001:db8::1|peeraddr 2001:db8::2|key 78", "vxlan id 78 remote 2001:db8::2 local 2001:db8::1"},
	})
}

// TestVMTunnels: the other kinds, on the test kernel.
func TestVMTunnels(t *testing.T) {
	vmtest.Require(t)
	tunnels(t, []tunnel{
		{"ipip", "mode ipip|ipaddr 192.0.2.1|peeraddr 192.0.2.2|ttl 64", "mtu 1280|ipip|remote 192.0.2.2 local 192.0.2.1 ttl 64 pmtudisc"},
		{"sit", "mode sit|ipaddr 192.0.2.1|peeraddr 192.0.2.2|tunlink up|ttl 64|mtu 1400", "mtu 1400|sit|remote 192.0.2.2 local 192.0.2.1 dev eth0 ttl 64"},
		{"sit", "mode sit|ipaddr 192.0.2.1|prefix 2001:db8::/32", "6rd-prefix 2001:db8::/32"},
		{"gre", "mode greip|ipaddr 192.0.2.1|peeraddr 192.0.2.2|key 42", "remote 192.0.2.2 local 192.0.2.1|ikey 0.0.0.42 okey 0.0.0.42"},
		{"gretap", "mode gretapip|ipaddr 192.0.2.1|peeraddr 192.0.2.2|macaddr 02:00:00:00:00:79", "gretap remote 192.0.2.2|02:00:00:00:00:79"},
		{"ip6gre", "mode greip6|ipaddr 2001:db8::1|peeraddr 2001:db8::2", "remote 2001:db8::2 local 2001:db8::1|hoplimit 64"},
		{"ip6tnl", "mode ipip6|ipaddr 2001:db8::1|peeraddr 2001:db8::2|tunlink up", "ip6tnl ipip6 remote 2001:db8::2 local 2001:db8::1 dev eth0|hoplimit 64"},
		{"vti", "mode vtiip|ipaddr 192.0.2.1|peeraddr 192.0.2.2|key 7", "vti remote 192.0.2.2 local 192.0.2.1|ikey 0.0.0.7"},
		{"vti6", "mode vtiip6|ipaddr 2001:db8::1|peeraddr 2001:db8::2|key 8", "vti6 remote 2001:db8::2 local 2001:db8::1"},
		{"xfrm", "mode xfrm|key 5|tunlink up", "xfrm if_id 0x5"},
	})
}

func tunnels(t *testing.T, list []tunnel) {
	for _, c := range list {
		t.Run(strings.ReplaceAll(c.options, "|", ","), func(t *testing.T) {
			w := newWorld(t, 1, nil)
			if !kindThere(w, c.kind) {
				if vmtest.InVM() {
					t.Fatalf("the test kernel has no links of kind %s", c.kind)
				}
				t.Skipf("this kernel has no links of kind %s", c.kind)
			}
			w.scripts("tunnel")
			text := "config interface up\n\toption device eth0\n\toption proto static\n\toption ipaddr 192.0.2.1/24\n\toption ip6addr 2001:db8::1/64\n" +
				"config interface x\n\toption proto labtunnel\n"
			for _, o := range strings.Split(c.options, "|") {
				name, value, _ := strings.Cut(o, " ")
				text += fmt.Sprintf("\toption %s '%s'\n", name, value)
			}
			w.config([]byte(text))
			w.start()
			look := func() string {
				up, _, errs := w.state("x")
				out, err := w.ns.Try("ip", "-d", "addr", "show", "dev", "t-x")
				if !up || err != nil {
					return "x is not up: " + errs + out
				}
				for _, want := range append(strings.Split(c.want, "|"), "172.20.0.1/30", "UP") {
					if !strings.Contains(out, want) {
						return fmt.Sprintf("%q is not in %s", want, out)
					}
				}
				return ""
			}
			nstest.Eventually(t, 5*time.Second, look)
			w.ns.IP("link del t-x") // somebody deletes it: it is made again
			nstest.Eventually(t, 5*time.Second, look)
			w.call(ubus.StatusOK, "network.interface.x", "down", nil)
			nstest.Eventually(t, 5*time.Second, func() string {
				if out, err := w.ns.Try("ip", "link", "show", "dev", "t-x"); err == nil {
					return out
				}
				return ""
			})
		})
	}
}

// kindThere tells whether the kernel can make links of a kind: only then is
// something else wrong with a request that says nothing more.
func kindThere(w *world, kind string) bool {
	out, err := w.far.Try("ip", "link", "add", "probe", "type", kind)
	return err == nil || !strings.Contains(out, "Unknown device type") && !strings.Contains(err.Error(), "Unknown device type")
}

// TestAsks3TunnelFollowsItsUplink: the peer of a tunnel gets a route of its own
// the way that it is reached; without a way the tunnel is down, says why, and
// comes back with the way.
func TestAsks3TunnelFollowsItsUplink(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.scripts("tunnel")
	w.config([]byte(`config interface up
	option device eth0
	option proto static
	option ipaddr 192.0.2.1/24
	option gateway 192.0.2.254
config interface x
	option proto labtunnel
	option mode vxlan
	option ipaddr 192.0.2.1
	option peeraddr 198.51.100.9
	option key 77
`))
	w.start()
	const route = "198.51.100.9 via 192.0.2.254 dev eth0"
	is := func(want bool) {
		t.Helper()
		nstest.Eventually(t, 8*time.Second, func() string {
			up, pending, errs := w.state("x")
			if routes := w.ns.IP("-4 route show"); up != want || pending || strings.Contains(routes, route) != want {
				return fmt.Sprint(up, pending, errs, routes)
			}
			return ""
		})
	}
	is(true)
	w.call(ubus.StatusOK, "network.interface.up", "down", nil)
	is(false)
	if _, _, errs := w.state("x"); !strings.Contains(errs, `"NO_DEVICE"`) || !strings.Contains(errs, "there is no way to 198.51.100.9") {
		t.Errorf("errors: %s", errs)
	}
	w.call(ubus.StatusOK, "network.interface.up", "up", nil)
	is(true)
	w.call(ubus.StatusOK, "network.interface.x", "down", nil)
	nstest.Eventually(t, 5*time.Second, func() string {
		up, _, errs := w.state("x")
		if routes := w.ns.IP("-4 route show"); up || strings.Contains(routes, route) {
			return errs + routes
		}
		return ""
	})
}
