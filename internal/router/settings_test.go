package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

// TestRouterLinkdown has two ways to host two, the better one through a link that
// loses its carrier: packets go the other way when Linux passes over routes
// without carrier, and only then.
func TestRouterLinkdown(t *testing.T) {
	w := newWorld(t)
	// A second link to the second router.
	w.forward.Veth("wan2", "eth2", w.second)
	w.second.IP("addr add 10.0.2.2/24 dev eth2")
	w.second.IP("addr add fd03::2/64 dev eth2 nodad")
	w.second.IP("route add 192.168.1.0/24 via 10.0.2.1")
	w.second.IP("route add fd01::/64 via fd03::1")
	w.write("network", w.read("network")+`
config pair 'e2'
	option phy 'wan2'

config interface 'wan2'
	option device 'e2'
	option proto 'static'
	option ipaddr '10.0.2.1/24'
	option ip6addr 'fd03::1/64'
`)
	w.start()
	w.live()
	w.reaches("the control namespace", w.control.Try, "10.0.2.2")
	w.reaches("the control namespace", w.control.Try, "fd03::2")
	w.control.IP("route add 192.168.2.0/24 via 10.0.0.2 metric 10")
	w.control.IP("route add 192.168.2.0/24 via 10.0.2.2 metric 20")
	w.control.IP("route add fd02::/64 via fd00::2 metric 10")
	w.control.IP("route add fd02::/64 via fd03::2 metric 20")
	through := func(dev4, dev6 string) {
		t.Helper()
		w.eventually(20*time.Second, func() string {
			for dst, dev := range map[string]string{"192.168.2.0/24": dev4, "fd02::/64": dev6} {
				family := "-4"
				if strings.Contains(dst, ":") {
					family = "-6"
				}
				if out := w.forward.IP(family + " route show " + dst); strings.Count(out, "dev") != 1 || !strings.Contains(out, "dev "+dev+" ") {
					return fmt.Sprintf("%s does not lead to %s: %s", dst, dev, out)
				}
			}
			return ""
		})
	}
	set := func(file, value string) {
		t.Helper()
		w.control.Run("sysctl -qw net." + file + ".ignore_routes_with_linkdown=" + value)
	}
	through("wan", "wan")
	w.second.IP("link set eth0 down")
	w.eventually(20*time.Second, func() string {
		if out := w.control.IP("link show dev e0"); !strings.Contains(out, "NO-CARRIER") {
			return out
		}
		return ""
	})
	through("wan", "wan") // as Linux has it
	set("ipv4.conf.e0", "1")
	through("wan2", "wan")
	w.reaches("host one", w.one.Try, "192.168.2.2")
	set("ipv6.conf.all", "1")
	through("wan2", "wan2")
	w.reaches("host one", w.one.Try, "fd02::2")

	// The next process finds it so, and leaves it.
	w.kill()
	w.start()
	w.live()
	w.reaches("host one", w.one.Try, "192.168.2.2")
	through("wan2", "wan2")

	set("ipv4.conf.all", "1")
	set("ipv4.conf.e0", "0")
	set("ipv6.conf.e0", "0")
	through("wan2", "wan")
	set("ipv4.conf.all", "0")
	through("wan", "wan")
	set("ipv4.conf.all", "1")
	through("wan2", "wan")
	w.second.IP("link set eth0 up")
	through("wan", "wan")
}

// TestRouterMPLSInput: the dataplane's interface takes labels when its companion
// does in Linux; option mpls sets that, and when it is gone nothing is left of it
// that the next process had to know.
func TestRouterMPLSInput(t *testing.T) {
	vmtest.Require(t)
	vmtest.Modprobe(t, "mpls_router", "8021q")
	w := newWorld(t)
	w.write("network", strings.ReplaceAll(w.read("network"), "option phy 'lan'", "option phy 'lan'\n\toption auto_subif '1'"))
	input := func(ns *nstest.NS, dev string) string {
		out, err := ns.Try("sysctl", "-n", "net.mpls.conf."+strings.ReplaceAll(dev, ".", "/")+".input")
		if err != nil {
			return "none"
		}
		return strings.TrimSpace(out)
	}
	want := func(what string, devs map[string]string) {
		t.Helper()
		w.eventually(30*time.Second, func() string {
			for dev, v := range devs {
				ns := w.forward
				if dev[0] == 'e' {
					ns = w.control
				}
				if got := input(ns, dev); got != v {
					return fmt.Sprintf("%s: input of %s is %s, want %s", what, dev, got, v)
				}
			}
			return ""
		})
	}
	set := func(dev, value string) {
		t.Helper()
		w.control.Run("sysctl -qw net.mpls.conf." + dev + ".input=" + value)
	}
	w.start()
	w.live()
	w.reaches("the control namespace", w.control.Try, "10.0.0.2")
	want("nothing is asked for", map[string]string{"e0": "0", "wan": "0", "e1": "0", "lan": "0"})
	set("e0", "1")
	want("Linux takes labels", map[string]string{"e0": "1", "wan": "1", "lan": "0"})
	w.control.IP("link add link e1 name e1v type vlan id 5")
	w.control.IP("link set e1v up")
	want("a VLAN comes", map[string]string{"e1v": "0", "lan.5": "0"})
	set("e1v", "1")
	want("it takes labels", map[string]string{"lan.5": "1", "lan": "0"})
	set("e0", "0")
	set("e1v", "0")
	want("nothing takes labels", map[string]string{"wan": "0", "lan.5": "0"})

	w.reload("option phy 'lan'", "option mpls '1'\n\toption phy 'lan'")
	want("the option", map[string]string{"e1": "1", "lan": "1", "e1v": "1", "lan.5": "1", "e0": "0", "wan": "0"})
	set("e1v", "0")
	want("by hand, against the option", map[string]string{"lan.5": "0", "lan": "1"})

	// Gone while netbraid is not running, and the setting with it.
	w.kill()
	w.write("network", strings.ReplaceAll(w.read("network"), "\toption mpls '1'\n", ""))
	set("e1", "0")
	w.start()
	w.live()
	want("the option has gone", map[string]string{"e1": "0", "lan": "0", "lan.5": "0"})
	set("e1", "1")
	want("Linux again", map[string]string{"lan": "1"})
	w.reload("option phy 'lan'", "option mpls '0'\n\toption phy 'lan'")
	want("option off", map[string]string{"e1": "0", "lan": "0"})
}
