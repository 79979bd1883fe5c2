package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
)

// sysctl reads a setting below /proc/sys/net inside the namespace.
func (w *world) sysctl(path string) string {
	w.t.Helper()
	var out string
	if err := w.ns.Do(func() error {
		b, err := os.ReadFile(filepath.Join("/proc/sys/net", path))
		out = strings.TrimSpace(string(b))
		return err
	}); err != nil {
		return "error: " + err.Error()
	}
	return out
}

// link gives one attribute of a link, as `ip -j -d link` has it.
func (w *world) link(dev, key string) any {
	out, err := w.ns.Try("ip", "-j", "-d", "link", "show", "dev", dev)
	if err != nil {
		return nil
	}
	v := decodeJSON(w.t, out)
	if len(v) == 0 {
		return nil
	}
	if info, ok := v[0]["linkinfo"].(map[string]any); ok {
		for _, part := range []string{"info_data", "info_slave_data"} {
			if d, ok := info[part].(map[string]any); ok {
				if x, ok := d[key]; ok {
					return x
				}
			}
		}
		if x, ok := info[key]; ok {
			return x
		}
	}
	return v[0][key]
}

func (w *world) up(dev string) bool {
	f, _ := w.link(dev, "flags").([]any)
	for _, x := range f {
		if x == "UP" {
			return true
		}
	}
	return false
}

func (w *world) wantLink(dev, key string, want any) {
	w.t.Helper()
	nstest.Eventually(w.t, 3*time.Second, func() string {
		if got := w.link(dev, key); got != want {
			return dev + ": " + key + " is " + show(got) + ", not " + show(want) + "; " + w.describe()
		}
		return ""
	})
}

func TestBridgeAttributesAndLife(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.IP("link set eth0 address 02:00:00:00:00:10")
	w.config(`
config device
	option name 'br0'
	option type 'bridge'
	list ports 'eth0'
	option stp '1'
	option forward_delay '4'
	option priority '4096'
	option hello_time '3'
	option max_age '15'
	option ageing_time '120'
	option igmp_snooping '1'
	option multicast_querier '1'

config interface 'a'
	option device 'br0'
	option proto 'static'
	option ipaddr '10.1.0.1/24'
`)
	w.start()
	w.waitState("a", iface.Up)
	for key, want := range map[string]any{"stp_state": 1.0, "forward_delay": 400.0, "priority": 4096.0, "hello_time": 300.0,
		"max_age": 1500.0, "ageing_time": 12000.0, "mcast_snooping": 1.0, "mcast_querier": 1.0,
		"address": "02:00:00:00:00:10", "mcast_hash_max": 512.0} {
		w.wantLink("br0", key, want)
	}
	w.wantLink("eth0", "master", "br0")
	if got := w.sysctl("ipv6/conf/eth0/disable_ipv6"); got != "1" {
		t.Errorf("a bridge port has IPv6: disable_ipv6 is %s", got)
	}
	w.command(core.VerbDown, "a")
	nstest.Eventually(t, 3*time.Second, func() string {
		switch {
		case w.link("br0", "mtu") != nil:
			return "br0 is still there though nobody uses it: " + w.describe()
		case w.up("eth0"):
			return "eth0 is still up"
		case w.sysctl("ipv6/conf/eth0/disable_ipv6") != "0":
			return "disable_ipv6 of eth0 has not been put back"
		}
		return ""
	})
	w.command(core.VerbUp, "a")
	w.waitState("a", iface.Up)
	w.wantLink("eth0", "master", "br0")
}

func TestBridgeEmptyAndWithoutPorts(t *testing.T) {
	w := newWorld(t)
	w.config(`
config device
	option name 'br-empty'
	option type 'bridge'
	option bridge_empty '1'
config device
	option name 'br-late'
	option type 'bridge'
	list ports 'eth7'
config interface 'b'
	option device 'br-empty'
	option proto 'static'
	option ipaddr '10.2.0.1/24'
config interface 'c'
	option device 'br-late'
	option proto 'static'
	option ipaddr '10.3.0.1/24'
`)
	w.start()
	w.waitState("b", iface.Up)
	if w.state("c") != iface.Down || w.link("br-late", "mtu") != nil {
		t.Fatalf("br-late is there without a port: %s", w.describe())
	}
	w.ns.Veth("eth7", "peer7", nil)
	w.waitState("c", iface.Up)
	w.wantLink("eth7", "master", "br-late")
	w.ns.IP("link del eth7")
	w.waitState("c", iface.Down)
}

func TestDeviceSettingsAreRestored(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth2", "peer2", nil)
	w.ns.IP("link set eth2 address 02:00:00:00:00:77")
	w.config(`
config device
	option name 'eth2'
	option mtu '1400'
	option mtu6 '1390'
	option macaddr '02:22:22:22:22:22'
	option txqueuelen '2000'
	option rpfilter 'loose'
	option acceptlocal '1'
	option igmpversion '2'
	option mldversion '1'
	option neighreachabletime '40000'
	option neighgcstaletime '90'
	option sendredirects '0'
	option arp_accept '1'
	option promisc '1'
	option multicast '0'
	option dadtransmits '2'
	option drop_v4_unicast_in_l2_multicast '1'
	option drop_v6_unicast_in_l2_multicast '1'
	option drop_gratuitous_arp '1'
	option drop_unsolicited_na '1'
config interface 'e'
	option device 'eth2'
	option proto 'static'
	option ipaddr '10.5.0.1/24'
	option ip6addr '2001:db8:5::1/64'
`)
	before := map[string]string{}
	settings := map[string]string{
		"ipv4/conf/eth2/rp_filter": "2", "ipv4/conf/eth2/accept_local": "1", "ipv4/conf/eth2/force_igmp_version": "2",
		"ipv6/conf/eth2/force_mld_version": "1", "ipv4/neigh/eth2/base_reachable_time_ms": "40000",
		"ipv6/neigh/eth2/base_reachable_time_ms": "40000", "ipv4/neigh/eth2/gc_stale_time": "90",
		"ipv6/neigh/eth2/gc_stale_time": "90", "ipv4/conf/eth2/send_redirects": "0", "ipv4/conf/eth2/arp_accept": "1",
		"ipv6/conf/eth2/dad_transmits": "2", "ipv6/conf/eth2/mtu": "1390", "ipv4/conf/eth2/drop_unicast_in_l2_multicast": "1",
		"ipv6/conf/eth2/drop_unicast_in_l2_multicast": "1", "ipv4/conf/eth2/drop_gratuitous_arp": "1",
		"ipv6/conf/eth2/drop_unsolicited_na": "1",
	}
	for p := range settings {
		before[p] = w.sysctl(p)
	}
	w.start()
	w.waitState("e", iface.Up)
	check := func(want map[string]string) {
		t.Helper()
		for p, v := range want {
			nstest.Eventually(t, 3*time.Second, func() string {
				if got := w.sysctl(p); got != v {
					return p + " is " + got + ", not " + v + "; " + w.describe()
				}
				return ""
			})
		}
	}
	check(settings)
	w.wantLink("eth2", "mtu", 1400.0)
	w.wantLink("eth2", "address", "02:22:22:22:22:22")
	w.wantLink("eth2", "txqlen", 2000.0)
	if f := show(w.link("eth2", "flags")); !strings.Contains(f, "PROMISC") || strings.Contains(f, "MULTICAST") {
		t.Errorf("flags of eth2: %s", f)
	}
	w.command(core.VerbDown, "e")
	check(before)
	w.wantLink("eth2", "mtu", 1500.0)
	w.wantLink("eth2", "address", "02:00:00:00:00:77")
	w.wantLink("eth2", "txqlen", 1000.0)
	nstest.Eventually(t, 3*time.Second, func() string {
		if f := show(w.link("eth2", "flags")); strings.Contains(f, "PROMISC") || !strings.Contains(f, "MULTICAST") {
			return "flags of eth2: " + f
		}
		if w.up("eth2") {
			return "eth2 is still up"
		}
		return ""
	})
	w.on(func(c *core.Core) {
		if o := c.Planner().Owned(); len(o.Links)+len(o.Addrs)+len(o.Routes) != 0 {
			t.Errorf("something is still recorded as ours: %+v", o)
		}
	})
}

func TestVethAndMacvlan(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth1", "peer1", nil)
	w.config(`
config device
	option name 'mv0'
	option type 'macvlan'
	option ifname 'eth1'
	option mode 'bridge'
	option macaddr '02:aa:bb:cc:dd:ee'
config device
	option name 'vp0'
	option type 'veth'
	option peer_name 'vp1'
	option peer_macaddr '02:00:00:00:00:02'
config interface 'c'
	option device 'mv0'
	option proto 'static'
	option ipaddr '10.3.0.1/24'
config interface 'd'
	option device 'vp0'
	option proto 'static'
	option ipaddr '10.4.0.1/24'
config interface 'd2'
	option device 'vp1'
	option proto 'static'
	option ipaddr '10.4.1.2/24'
`)
	w.start()
	for _, n := range []string{"c", "d", "d2"} {
		w.waitState(n, iface.Up)
	}
	w.wantLink("mv0", "mode", "bridge")
	w.wantLink("mv0", "address", "02:aa:bb:cc:dd:ee")
	w.wantLink("vp1", "address", "02:00:00:00:00:02")
	w.command(core.VerbDown, "c")
	w.command(core.VerbDown, "d2")
	w.command(core.VerbDown, "d")
	for _, dev := range []string{"mv0", "vp0", "vp1"} {
		w.wantLink(dev, "mtu", nil)
	}
}

func TestDisabledDeviceAndMissingParent(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth3", "peer3", nil)
	w.config(`
config device
	option name 'eth3'
	option enabled '0'
config device
	option name 'mv1'
	option type 'macvlan'
	option ifname 'nonexist0'
config interface 'f'
	option device 'eth3'
	option proto 'static'
	option ipaddr '10.6.0.1/24'
config interface 'h'
	option device 'mv1'
	option proto 'none'
`)
	w.start()
	for _, n := range []string{"f", "h"} {
		if w.state(n) != iface.Down {
			t.Errorf("%s is not down", n)
		}
	}
	if w.up("eth3") {
		t.Error("eth3 is up though it is switched off")
	}
}

func TestNewLinkUnderTheSameName(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth2", "peer2", nil)
	w.config("config interface 'wan'\n\toption device 'eth2'\n\toption proto 'static'\n\toption ipaddr '10.0.0.1/24'\n")
	w.start()
	w.waitState("wan", iface.Up)
	w.ns.IP("link del eth2")
	w.waitState("wan", iface.Down)
	w.ns.Veth("eth2", "peer2", nil)
	w.waitState("wan", iface.Up)
	w.waitAddrs("eth2", "10.0.0.1/24")
	// Renamed away and back; another link takes the name.
	w.ns.IP("link set eth2 down")
	w.ns.IP("link set eth2 name old2")
	w.waitState("wan", iface.Down)
	w.waitAddrs("old2")
	w.ns.Veth("new2", "newpeer2", nil)
	w.ns.IP("link set new2 name eth2")
	w.waitState("wan", iface.Up)
	w.waitAddrs("eth2", "10.0.0.1/24")
}

func TestBridgeRenamedByOthersGetsItsNameBack(t *testing.T) {
	w := basicWorld(t)
	w.start()
	w.waitState("lan", iface.Up)
	w.ns.IP("link set br-lan name stolen0")
	nstest.Eventually(t, 3*time.Second, func() string {
		if w.link("br-lan", "mtu") == nil || w.link("stolen0", "mtu") != nil {
			return "the bridge has not got its name back: " + w.describe()
		}
		return ""
	})
	w.waitState("lan", iface.Up)
	w.waitAddrs("br-lan", "192.168.1.1/24", "192.168.50.1/24")
}

func TestDeviceOptionsInInterfaceSection(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config("config interface 'a'\n\toption device 'eth0'\n\toption proto 'static'\n\toption ipaddr '10.0.0.1/24'\n\toption mtu '1350'\n\toption macaddr '02:00:00:00:03:50'\n")
	w.start()
	w.waitState("a", iface.Up)
	w.wantLink("eth0", "mtu", 1350.0)
	w.wantLink("eth0", "address", "02:00:00:00:03:50")
}

func TestLegacyBridgeInInterfaceSection(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.Veth("eth1", "peer1", nil)
	w.config("config interface 'lan'\n\toption type 'bridge'\n\toption ifname 'eth0 eth1'\n\toption proto 'static'\n\toption ipaddr '10.0.0.1'\n\toption netmask '255.255.255.0'\n")
	w.start()
	w.waitState("lan", iface.Up)
	w.wantLink("eth0", "master", "br-lan")
	w.wantLink("eth1", "master", "br-lan")
	w.waitAddrs("br-lan", "10.0.0.1/24")
}

func TestPortWithoutBridgeVLANFiltering(t *testing.T) {
	// The host kernel has no CONFIG_BRIDGE_VLAN_FILTERING: a bridge that does
	// not ask for it must come up all the same (netifd's cannot).
	w := basicWorld(t)
	w.start()
	w.waitState("lan", iface.Up)
	w.wantLink("br-lan", "vlan_filtering", 0.0)
}
