package capture

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"netbraid/ubus"
)

// The comparison itself is held here: it must see every kind of difference.

func TestComparisonSeesValues(t *testing.T) {
	want := fromJSON(t, []byte(`{"a":1,"b":[{"c":"x"},2],"uptime":5,"d":{}}`))
	for _, c := range []struct {
		got  string
		want []string
	}{
		{`{"a":1,"b":[{"c":"x"},2],"uptime":77,"d":{}}`, nil},
		{`{"a":1,"b":[{"c":"y"},2],"uptime":5,"d":{}}`, []string{`t.b[0].c: netifd "x", netbraid "y"`}},
		{`{"a":1,"b":[{"c":"x"}],"uptime":5,"d":{}}`, []string{`t.b[1]: netifd 2, netbraid nothing`}},
		{`{"a":1,"b":[{"c":"x"},2,3],"uptime":5,"d":{}}`, []string{`t.b[2]: netifd nothing, netbraid 3`}},
		{`{"a":true,"b":[{"c":"x"},2],"uptime":"5","d":{"e":1}}`, []string{`t.a: netifd 1, netbraid true`,
			`t.uptime: netifd number, netbraid string`, `t.d.e: netifd nothing, netbraid 1`}},
		{`{"b":[{"c":"x"},2],"a":1,"d":[]}`, []string{`t.uptime: netifd 5, netbraid nothing`, `t.d: netifd {}, netbraid []`,
			`t order: netifd [a b d], netbraid [b a d]`}},
	} {
		var got []string
		diffTable("t", want, fromJSON(t, []byte(c.got)), &got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.got, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	var got []string
	diffTable("device.eth0", ubus.Table{{Name: "statistics", Value: ubus.Table{{Name: "x", Value: int64(1)}, {Name: "y", Value: int64(1)}}}},
		ubus.Table{{Name: "statistics", Value: ubus.Table{{Name: "x", Value: int64(2)}, {Name: "y", Value: "2"}}}}, &got)
	if want := []string{"device.eth0.statistics.y: netifd number, netbraid string"}; !slices.Equal(got, want) {
		t.Errorf("counters: %q, want %q", got, want)
	}
}

const ipText = `14: br0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1400 qdisc noqueue state DOWN group default qlen 500
    link/ether 02:11:22:33:44:55 brd ff:ff:ff:ff:ff:ff promiscuity 0  allmulti 0 minmtu 68 maxmtu 65535
    bridge forward_delay 400 hello_time 300 gc_timer 5.0 mcast_snooping 1 numtxqueues 1
    inet 10.1.0.1/24 brd 10.1.0.255 scope global br0
       valid_lft forever preferred_lft forever
    inet6 2001:db8::1/64 scope global tentative
       valid_lft 7199sec preferred_lft 0sec
2: eth0@if7: <BROADCAST,UP> mtu 1500 qdisc noqueue master br0 state UP group default qlen 1000
    veth
    bridge_slave state learning priority 32 cost 2 learning on
16: mv0@eth1: <UP> mtu 1500
    macvlan mode bridge bcqueuelen 1000
`

func TestComparisonSeesTheKernel(t *testing.T) {
	k := kernel{"ip-addr": ipText, "ip-route6": "2001:db8::/64 dev br0 expires 7198sec pref medium\nlocal 2001:db8::1 dev br0\n",
		"ip-rule4": "0:\tfrom all lookup local \n"}
	facts, tentative := k.facts()
	want := map[string]string{
		"br0 flags": "BROADCAST,MULTICAST,NO-CARRIER,UP", "br0 mtu": "1400", "br0 master": "", "br0 state": "DOWN", "br0 qlen": "500",
		"br0 group": "default", "br0 on": "", "br0 address": "02:11:22:33:44:55", "br0 broadcast": "ff:ff:ff:ff:ff:ff", "br0 promiscuity": "0",
		"br0 allmulti": "0", "br0 kind": "bridge", "br0 forward_delay": "400", "br0 hello_time": "300", "br0 mcast_snooping": "1",
		"br0 address inet 10.1.0.1/24": "brd 10.1.0.255 scope global br0", "br0 address inet6 2001:db8::1/64": "scope global with lifetime",
		"eth0 flags": "BROADCAST,UP", "eth0 mtu": "1500", "eth0 master": "br0", "eth0 state": "UP", "eth0 qlen": "1000", "eth0 group": "default",
		"eth0 kind": "veth", "eth0 port priority": "32", "eth0 port cost": "2", "eth0 port learning": "on",
		"mv0 flags": "UP", "mv0 mtu": "1500", "mv0 on": "eth1", "mv0 master": "", "mv0 state": "", "mv0 qlen": "", "mv0 group": "",
		"mv0 kind": "macvlan", "mv0 mode": "bridge",
		"ip-route6 2001:db8::/64 dev br0 pref medium": "there", "ip-route6 local 2001:db8::1 dev br0": "there",
		"ip-rule4 0: from all lookup local": "there",
	}
	var diffs []string
	diffFacts(want, facts, &diffs)
	for _, d := range diffs {
		t.Error(d)
	}
	if !slices.Equal(tentative, []string{"2001:db8::1"}) {
		t.Errorf("tentative: %v", tentative)
	}
	dropLocal(facts, tentative)
	if _, there := facts["ip-route6 local 2001:db8::1 dev br0"]; there || len(facts) != len(want)-1 {
		t.Errorf("the local route of a tentative address is still there, or more than it is gone")
	}
	// Each fact, changed or gone, is seen.
	for name := range want {
		changed := maps.Clone(want)
		changed[name] += "x"
		gone := maps.Clone(want)
		delete(gone, name)
		for _, other := range []map[string]string{changed, gone} {
			var diffs []string
			diffFacts(want, other, &diffs)
			if len(diffs) != 1 || !strings.HasPrefix(diffs[0], name+": netifd") {
				t.Errorf("a change of %q is seen as %q", name, diffs)
			}
		}
	}
}

// TestRecordings holds that the recorded moments have what is compared.
func TestRecordings(t *testing.T) {
	for _, m := range []struct {
		run, step         string
		interfaces, facts int
	}{{"host-proto-shell", "0-initial", 14, 150}, {"host-proto-shell", "9-nd-device-gone", 14, 150}, {"host-base", "0-initial", 8, 150}, {"host-base", "c-network-restart", 8, 150}, {"host-devices", "0-initial", 12, 250}} {
		r := load(t, m.run, m.step)
		facts, _ := r.kernel.facts()
		if n := len(byName(r.dump)); n < m.interfaces || len(facts) < m.facts || len(r.events) < 5 {
			t.Errorf("%s %s: %d interfaces, %d facts, %d events", m.run, m.step, n, len(facts), len(r.events))
		}
	}
}
