package shelllib

import (
	"fmt"
	"strings"
	"testing"
)

const sourceNetwork = `. "$LIB/lib/functions/network.sh"` + "\n"

const dump = `{ "interface": [
 { "interface": "loopback", "up": true, "l3_device": "lo", "proto": "static", "device": "lo", "metric": 0, "uptime": 5,
   "ipv4-address": [ { "address": "127.0.0.1", "mask": 8 } ], "ipv6-address": [], "route": [] },
 { "interface": "lan", "up": true, "uptime": 3600, "l3_device": "br-lan", "proto": "static", "device": "br-lan", "metric": 7,
   "ipv4-address": [ { "address": "192.0.2.1", "mask": 24 }, { "address": "198.51.100.1", "mask": 32, "ptpaddress": "198.51.100.2" } ],
   "ipv6-address": [ { "address": "fe80::1", "mask": 64 }, { "address": "fd00::1", "mask": 64 } ],
   "ipv6-prefix": [],
   "ipv6-prefix-assignment": [
     { "address": "2001:db8:100::", "mask": 60, "local-address": { "address": "2001:db8:100::1", "mask": 60 } },
     { "address": "fd12::", "mask": 61 } ],
   "route": [ { "target": "0.0.0.0", "mask": 0, "nexthop": "192.0.2.250", "table": 100, "source": "0.0.0.0/0" },
              { "target": "0.0.0.0", "mask": 1, "nexthop": "192.0.2.251", "source": "0.0.0.0/0" } ],
   "dns-server": [], "dns-search": [],
   "inactive": { "ipv4-address": [], "route": [ { "target": "0.0.0.0", "mask": 0, "nexthop": "192.0.2.254", "source": "0.0.0.0/0" } ],
     "dns-server": [ "192.0.2.53" ], "dns-search": [ "old.example" ] },
   "data": { "address": "x", "interface": "y" } },
 { "interface": "wan6", "up": false, "pending": true, "proto": "dhcpv6", "device": "eth0",
   "ipv6-address": [ { "address": "fd00::2", "mask": 128 }, { "address": "2001:db8::2", "mask": 128, "preferred": 1, "valid": 2 } ],
   "ipv6-prefix": [ { "address": "2001:db8:100::", "mask": 56, "class": "wan6", "assigned": { "lan": { "address": "2001:db8:aaaa::", "mask": 60 } } },
                    { "address": "2001:db8:200::", "mask": 57 } ],
   "route": [ { "target": "::", "mask": 0, "nexthop": "fe80::1", "source": "::/0" }, { "target": "::", "mask": 0, "nexthop": "fe80::2" } ],
   "dns-server": [ "2001:db8::53", "192.0.2.54" ], "dns-search": [ "it's.example", "$(id)" ] },
 { "interface": "ppp-0.1", "up": true, "l3_device": "ppp0", "proto": "ppp", "route": [ { "target": "0.0.0.0", "mask": 0 } ] },
 { "interface": "bad name;id", "up": true, "proto": "none", "route": [ { "target": "0.0.0.0", "mask": 0 } ] },
 { "interface": "last", "up": true, "proto": "none" }
] }`

// TestNetwork: each question, its answer and its status.
func TestNetwork(t *testing.T) {
	for _, c := range []struct{ ask, answer string }{
		{"network_get_ipaddr v lan", "192.0.2.1 0"},
		{"network_get_ipaddr v wan6", "unset 1"},
		{"network_get_ipaddr v none", "unset 1"},
		{"network_get_ipaddr v lan=2", "unset 1"},
		{"network_get_ipaddrs v lan", "192.0.2.1 198.51.100.1 0"},
		{"network_get_subnet v lan", "192.0.2.1/24 0"},
		{"network_get_subnets v lan", "192.0.2.1/24 198.51.100.1/32 0"},
		{"network_get_ipaddr6 v lan", "2001:db8:100::1 0"},
		{"network_get_ipaddr6 v wan6", "2001:db8::2 0"},
		{"network_get_ipaddr6 v loopback", "unset 1"},
		{"network_get_ipaddrs6 v lan", "fe80::1 fd00::1 2001:db8:100::1 0"},
		{"network_get_subnet6 v lan", "2001:db8:100::1/60 0"},
		{"network_get_subnets6 v lan", "fe80::1/64 fd00::1/64 2001:db8:100::1/60 0"},
		{"network_get_subnets6 v wan6", "fd00::2/128 2001:db8::2/128 0"},
		{"network_get_ipaddrs_all v lan", "192.0.2.1 198.51.100.1 fe80::1 fd00::1 2001:db8:100::1 0"},
		{"network_get_ipaddrs_all v wan6", "fd00::2 2001:db8::2 0"},
		{"network_get_ipaddrs_all v last", "unset 1"},
		{"network_get_prefix6 v wan6", "2001:db8:100::/56 0"},
		{"network_get_prefixes6 v wan6", "2001:db8:100::/56 2001:db8:200::/57 0"},
		{"network_get_prefix6 v lan", "unset 1"},
		{"network_get_prefix_assignment6 v lan", "2001:db8:100::/60 0"},
		{"network_get_prefix_assignments6 v lan", "2001:db8:100::/60 fd12::/61 0"},
		{"network_get_gateway v lan", "unset 1"},
		{"network_get_gateway v lan 1", "192.0.2.254 0"},
		{"network_get_gateway v lan true", "192.0.2.254 0"},
		{"network_get_gateway v lan 0", "unset 1"},
		{"network_get_gateway v ppp-0.1", "unset 1"},
		{"network_get_gateway6 v wan6", "fe80::1 0"},
		{"network_get_dnsserver v wan6", "2001:db8::53 192.0.2.54 0"},
		{"network_get_dnsserver v lan", "unset 1"},
		{"network_get_dnsserver v lan 1", "192.0.2.53 0"},
		{"network_get_dnssearch v wan6", "it's.example $(id) 0"},
		{"network_get_dnssearch v lan true", "old.example 0"},
		{"network_get_protocol v wan6", "dhcpv6 0"},
		{"network_get_metric v lan", "7 0"},
		{"network_get_metric v loopback", "0 0"},
		{"network_get_uptime v lan", "3600 0"},
		{"network_get_device v lan", "br-lan 0"},
		{"network_get_device v wan6", "unset 1"},
		{"network_get_device v ppp-0.1", "ppp0 0"},
		{"network_get_physdev v wan6", "eth0 0"},
		{"network_get_protocol v bad", "unset 1"},
		{"network_get_protocol v last", "none 0"},
		{"network_is_up lan", "was 0"},
		{"network_is_up wan6", "was 1"},
		{"network_is_up none", "was 1"},
		{"network_find_wan v", "ppp-0.1 0"},
		{"network_find_wan v 1", "ppp-0.1 0"},
		{"network_find_wan6 v", "wan6 0"},
	} {
		t.Run(c.ask, func(t *testing.T) {
			eachShell(t, func(t *testing.T, w *world) {
				w.env = append(w.env, "UBUS_REPLY="+w.write(t, "dump", dump))
				w.run(t, sourceNetwork+"v=was; "+c.ask+`; echo "${v-unset} $?"`).want(t, c.answer+"\n", "", 0)
			})
		})
	}
}

// TestNetworkCache: one dump until it is flushed; without the daemon nothing is
// known, and that is not remembered.
func TestNetworkCache(t *testing.T) {
	eachShell(t, func(t *testing.T, w *world) {
		reply := w.write(t, "dump", dump)
		w.env = append(w.env, "UBUS_REPLY="+reply)
		r := w.run(t, sourceNetwork+`network_get_device v lan; network_get_ipaddr v lan; network_find_wan v; network_flush_cache
printf '{"interface":[{"interface":"lan","proto":"none","route":[]}]}' >dump; network_get_ipaddr v lan; echo "${v-unset}"; network_get_protocol v lan; echo "$v"
network_flush_cache; set | grep '^__network_[0-9]'; set | grep ^__NETWORK_CACHE
UBUS_RC=4; export UBUS_RC; network_find_wan v; echo "${v-unset} $?"; UBUS_RC=7; network_find_wan v; echo $?
UBUS_RC=0; network_get_protocol v lan; echo "$v"; json_dump; network_defer_device eth0; network_ready_device eth0; network_defer_device 'a"b'; echo $?`)
		r.want(t, "unset\nnone\nunset 1\n1\nnone\n{ }\n"+strings.Repeat(`{"interface":[{"interface":"lan","proto":"none","route":[]}]}`, 2)+"1\n",
			`{"interface":[{"interface":"lan","proto":"none","route":[]}]}`+"\n", 0)
		var got []string
		for _, args := range w.calls(t, "ubus.log") {
			got = append(got, strings.Join(args[1:], " "))
		}
		const d, s = "network.interface dump", "network.device set_state "
		if want := []string{d, d, d, d, d, s + `{"name":"eth0","defer":true}`, s + `{"name":"eth0","defer":false}`}; strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q", got)
		}
	})
}

// TestNetworkMany: a dump longer than an argument may be, and what is left of
// it where the next program starts.
func TestNetworkMany(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"interface":[`)
	for i := range 500 {
		fmt.Fprintf(&b, `{"interface":"if%d","up":true,"proto":"static","l3_device":"veth%d","metric":0,"ipv4-address":[{"address":"10.0.%d.%d","mask":24}],"route":[{"target":"10.9.0.0","mask":16,"nexthop":"10.0.0.1","source":"0.0.0.0/0"}],"dns-server":["10.0.0.1"],"data":{"pad":"%s"}},`,
			i, i, i/250, i%250, strings.Repeat("x", 600))
	}
	b.WriteString(`{"interface":"up","route":[{"target":"0.0.0.0","mask":0,"nexthop":"10.0.0.9"}]}]}`)
	eachShell(t, func(t *testing.T, w *world) {
		w.env = append(w.env, "UBUS_REPLY="+w.write(t, "dump", b.String()), "TMPDIR="+w.dir+"/bin")
		w.run(t, sourceNetwork+`network_find_wan v; echo $v; network_get_ipaddr v if499; echo $v; env | wc -c | { read -r n; [ "$n" -lt 5000 ] || echo "$n"; }; ls bin`).
			want(t, "up\n10.0.1.249\njshn\nubus\nuci\n", "", 0)
	})
}
