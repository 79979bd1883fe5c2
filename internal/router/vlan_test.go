package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

// reaches waits until one namespace reaches an address.
func (w *world) reaches(from string, try func(string, ...string) (string, error), to string) {
	w.t.Helper()
	w.eventually(60*time.Second, func() string {
		if out, err := try("ping", "-c1", "-W1", to); err != nil {
			return from + " does not reach " + to + ": " + out
		}
		return ""
	})
}

// TestRouterVLAN has tagged networks on both sides: a VLAN made in Linux, under
// a name of its own, one inside it (QinQ), and one made in the dataplane; packets
// of each are forwarded, and it goes when its original does.
func TestRouterVLAN(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	w.write("network", strings.ReplaceAll(w.read("network"), "option phy", "option auto_subif '1'\n\toption phy"))
	w.start()
	w.live()
	w.eventually(60*time.Second, func() string {
		if out, err := w.control.Try("ip", "link", "show", "dev", "e1", "up"); err != nil || out == "" {
			return "there is no companion that is up: " + out
		}
		return ""
	})

	// From Linux, with any name; 802.1ad as well.
	w.one.IP("link add link eth0 name v100 type vlan id 100")
	w.one.IP("link set v100 up")
	w.one.IP("addr add 192.168.100.2/24 dev v100")
	w.one.IP("route replace default via 192.168.100.1")
	w.control.IP("link add link e1 name guests type vlan id 100")
	w.control.IP("link set guests up")
	w.control.IP("addr add 192.168.100.1/24 dev guests")
	w.reaches("host one", w.one.Try, "192.168.100.1")
	w.control.IP("route add 192.168.2.0/24 via 10.0.0.2")
	w.second.IP("route add 192.168.100.0/24 via 10.0.0.1")
	w.reaches("host one", w.one.Try, "192.168.2.2")

	w.one.IP("link add link eth0 name s200 type vlan protocol 802.1ad id 200")
	w.one.IP("link add link s200 name q300 type vlan id 300")
	w.control.IP("link add link e1 name outer type vlan protocol 802.1ad id 200")
	w.control.IP("link add link outer name inner type vlan id 300")
	for _, dev := range []string{"s200", "q300"} {
		w.one.IP("link set " + dev + " up")
	}
	for _, dev := range []string{"outer", "inner"} {
		w.control.IP("link set " + dev + " up")
	}
	w.one.IP("addr add 192.168.30.2/24 dev q300")
	w.control.IP("addr add 192.168.30.1/24 dev inner")
	w.reaches("host one, with two tags,", w.one.Try, "192.168.30.1")

	// From the dataplane.
	w.forward.IP("link add link wan name wan.77 type vlan id 77")
	w.second.IP("link add link eth0 name v77 type vlan id 77")
	w.second.IP("link set v77 up")
	w.second.IP("addr add 10.77.0.2/24 dev v77")
	w.eventually(60*time.Second, func() string {
		if out, err := w.control.Try("ip", "link", "show", "dev", "e0.77"); err != nil {
			return "a sub-interface of the dataplane has no companion: " + out
		}
		return ""
	})
	w.control.IP("link set e0.77 up")
	w.control.IP("addr add 10.77.0.1/24 dev e0.77")
	w.reaches("the second router", w.second.Try, "10.77.0.1")
	w.reaches("the companion", w.control.Try, "10.77.0.2")

	// The originals go.
	w.control.IP("link del guests")
	w.forward.IP("link del wan.77")
	w.eventually(60*time.Second, func() string {
		out := w.forward.Run("ip -d -br link") + w.control.Run("ip -d -br link")
		for _, gone := range []string{"guests", "e0.77", "wan.77", "lan.100"} {
			if strings.Contains(out, gone) {
				return gone + " is still there: " + out
			}
		}
		return ""
	})
}

// TestRouterVRF has a customer in a VRF with addresses that others have too.
func TestRouterVRF(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	w.start()
	w.live()
	w.reaches("the control namespace", w.control.Try, "10.0.0.2")
	w.control.IP("link add red type vrf table 10")
	w.control.IP("link set red up")
	w.control.IP("link set e1 master red")
	w.eventually(60*time.Second, func() string { // its connected route comes to the table first
		if out, err := w.control.Try("ip", "route", "replace", "172.16.0.0/16", "via", "192.168.1.2", "table", "10"); err != nil {
			return out
		}
		return ""
	})
	w.control.IP("route add 172.16.0.0/16 via 10.0.0.2")
	w.eventually(60*time.Second, func() string {
		ten, err := w.forward.Try("ip", "route", "show", "table", "10")
		if err != nil {
			return ten
		}
		main := w.forward.Run("ip route show table main")
		if !strings.Contains(ten, "172.16.0.0/16 via 192.168.1.2 dev lan") || !strings.Contains(main, "172.16.0.0/16 via 10.0.0.2 dev wan") {
			return fmt.Sprintf("table 10:\n%stable main:\n%s", ten, main)
		}
		return ""
	})
	w.reaches("the host in the VRF", w.one.Try, "192.168.1.1")
	// Out of the VRF again.
	w.control.IP("link set e1 nomaster")
	w.eventually(60*time.Second, func() string {
		if out, err := w.forward.Try("ip", "route", "show", "table", "10"); err == nil && strings.Contains(out, "192.168.1.0") {
			return out
		}
		return ""
	})
	w.reaches("the host", w.one.Try, "192.168.1.1")
}

// TestRouterMPLS: packets with a label go where the control namespace's route of
// the label says, and routes push labels.
func TestRouterMPLS(t *testing.T) {
	vmtest.Require(t)
	vmtest.Modprobe(t, "mpls_router", "mpls_iptunnel")
	w := newWorld(t)
	w.write("network", strings.ReplaceAll(w.read("network"), "option phy", "option mpls '1'\n\toption phy"))
	for _, ns := range []*nstest.NS{w.control, w.one, w.second} {
		ns.Run("sysctl -qw net.mpls.platform_labels=1000")
	}
	w.second.Run("sysctl -qw net.mpls.conf.eth0.input=1")
	w.start()
	w.live()
	w.reaches("the control namespace", w.control.Try, "10.0.0.2")
	w.one.IP("route replace default encap mpls 100 via 192.168.1.1")
	w.second.IP("-M route add 200 via inet 192.168.2.2 dev eth1")
	w.second.IP("route add 192.168.1.0/24 via 10.0.0.1")
	w.control.IP("-M route add 100 as 200 via inet 10.0.0.2 dev e0")
	w.eventually(30*time.Second, func() string {
		out := w.forward.Run("ip -M route show")
		if !strings.Contains(out, "100 as to 200 via inet 10.0.0.2 dev wan") {
			return "the forwarding namespace has:\n" + out
		}
		return ""
	})
	w.reaches("host one, with a label that is swapped,", w.one.Try, "192.168.2.2")
	w.control.IP("-M route replace 100 via inet 10.0.0.2 dev e0")
	w.reaches("host one, with a label that is popped,", w.one.Try, "192.168.2.2")
	w.one.IP("route replace default via 192.168.1.1")
	w.control.IP("route add 192.168.2.0/24 encap mpls 200 via 10.0.0.2")
	w.reaches("host one, whose packets get a label,", w.one.Try, "192.168.2.2")
}
