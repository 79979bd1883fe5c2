package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/rtnl"
)

// TestDeviceSettings has every option of any device: a good value with what
// it asks for, a bad one with the message.
func TestDeviceSettings(t *testing.T) {
	const boolAllow = "not a yes or no (allowed: " + allowBool + ")"
	for _, c := range []struct{ opt, good, want, bad, msg string }{
		{"mtu", "1400", "mtu=1400", "67", "out of range (allowed: 68..2147483647)"},
		{"mtu", "0x5dc", "mtu=1500", "1_500", "not a number (allowed: 68..2147483647)"},
		{"mtu6", "1280", "ipv6/conf/mtu=1280", "1279", "out of range (allowed: 1280..2147483647)"},
		{"macaddr", "2:0:0:0:0:A", "addr=02:00:00:00:00:0a", "01:00:00:00:00:00", "not the address of an Ethernet link (allowed: " + allowMAC + ")"},
		{"macaddr", "02:00:00:00:00:01", "addr=02:00:00:00:00:01", "00:00:00:00:00:00", "not the address of an Ethernet link (allowed: " + allowMAC + ")"},
		{"txqueuelen", "0", "txqlen=0", "-1", "out of range (allowed: 0..2147483647)"},
		{"promisc", "1", "promisc=true", "2", boolAllow},
		{"multicast", "off", "multicast=false", "maybe", boolAllow},
		{"ipv6", "0", "ipv6/conf/disable_ipv6=1", "auto", boolAllow},
		{"ipv6", "true", "ipv6/conf/disable_ipv6=0", "TRUE", boolAllow},
		{"ip6segmentrouting", "1", "ipv6/conf/seg6_enabled=1", "x", boolAllow},
		{"rpfilter", "loose", "ipv4/conf/rp_filter=2", "3", "not one of the words allowed (allowed: 0, 1, 2, strict, loose)"},
		{"rpfilter", "strict", "ipv4/conf/rp_filter=1", "Loose", "not one of the words allowed (allowed: 0, 1, 2, strict, loose)"},
		{"acceptlocal", "1", "ipv4/conf/accept_local=1", "x", boolAllow},
		{"igmpversion", "3", "ipv4/conf/force_igmp_version=3", "4", "out of range (allowed: 1..3)"},
		{"mldversion", "1", "ipv6/conf/force_mld_version=1", "0", "out of range (allowed: 1..2)"},
		{"neighreachabletime", "40000", "ipv4/neigh/base_reachable_time_ms=40000 ipv6/neigh/base_reachable_time_ms=40000", "0", "out of range (allowed: 1..2147483647)"},
		{"neighgcstaletime", "90", "ipv4/neigh/gc_stale_time=90 ipv6/neigh/gc_stale_time=90", "a", "not a number (allowed: 1..2147483647)"},
		{"neighlocktime", "100", "ipv4/neigh/locktime=100", "-5", "out of range (allowed: 0..2147483647)"},
		{"dadtransmits", "2", "ipv6/conf/dad_transmits=2", "-1", "out of range (allowed: 0..2147483647)"},
		{"sendredirects", "0", "ipv4/conf/send_redirects=0", "x", boolAllow},
		{"drop_v4_unicast_in_l2_multicast", "1", "ipv4/conf/drop_unicast_in_l2_multicast=1", "x", boolAllow},
		{"drop_v6_unicast_in_l2_multicast", "1", "ipv6/conf/drop_unicast_in_l2_multicast=1", "x", boolAllow},
		{"drop_gratuitous_arp", "1", "ipv4/conf/drop_gratuitous_arp=1", "x", boolAllow},
		{"drop_unsolicited_na", "1", "ipv6/conf/drop_unsolicited_na=1", "x", boolAllow},
		{"arp_accept", "1", "ipv4/conf/arp_accept=1", "x", boolAllow},
		{"multicast_to_unicast", "1", "m2u=true", "x", boolAllow},
		{"multicast_router", "2", "mrouter=2", "3", "out of range (allowed: 0..2)"},
		{"multicast_fast_leave", "1", "fastleave=true", "x", boolAllow},
		{"learning", "0", "learning=false", "x", boolAllow},
		{"unicast_flood", "0", "uflood=false", "x", boolAllow},
		{"broadcast_flood", "0", "bflood=false", "x", boolAllow},
		{"isolate", "1", "isolated=true", "x", boolAllow},
	} {
		cfg, problems := parseText(t, "config device\n\toption name eth0\n\toption "+c.opt+" '"+c.good+"'\n", Options{})
		if len(problems) != 0 {
			t.Errorf("%s %s: %s", c.opt, c.good, texts(problems))
		}
		if got := showSettings(&cfg.Devices[0].Settings); got != c.want {
			t.Errorf("%s %s asks for %q, want %q", c.opt, c.good, got, c.want)
		}
		if cfg.Devices[0].IPv6Set != (c.opt == "ipv6") {
			t.Errorf("%s: IPv6Set %v", c.opt, cfg.Devices[0].IPv6Set)
		}
		cfg, problems = parseText(t, "config interface i\n\toption device eth0\n\toption "+c.opt+" '"+c.good+"'\n", Options{})
		if i := cfg.Interfaces[0]; showSettings(&i.Settings) != c.want || !i.HasSettings || len(problems) != 0 || i.IPv6Set != (c.opt == "ipv6") {
			t.Errorf("in an interface, %s %s asks for %q, want %q; %s", c.opt, c.good, showSettings(&i.Settings), c.want, texts(problems))
		}
		cfg, problems = parseText(t, "config device\n\toption name eth0\n\n\toption "+c.opt+" '"+c.bad+"'\n", Options{})
		want := "net:4: device eth0: option " + c.opt + " '" + c.bad + "': " + c.msg + "\n"
		if texts(problems) != want || !HasErrors(problems) || problems[0].Code != "INVALID_OPTION" {
			t.Errorf("got  %swant %s", texts(problems), want)
		}
		if len(cfg.Devices) != 1 || showSettings(&cfg.Devices[0].Settings) != "" {
			t.Errorf("%s %s: the device should stay, without it: %v", c.opt, c.bad, cfg.Devices)
		}
	}
}

// TestEveryOptionIsChecked goes through the whole table: a value of the wrong
// form is an error at its line, for every option that has a form, also for
// those that are not built yet.
func TestEveryOptionIsChecked(t *testing.T) {
	head := map[*group]string{
		globalOptions: "config globals globals\n", deviceSection: "config device\n\toption name d0\n", deviceOptions: "config device\n\toption name d0\n",
		bridgeOptions:    "config device\n\toption name d0\n\toption type bridge\n",
		vlanOptions:      "config device\n\toption name d0\n\toption type 8021ad\n",
		macvlanOptions:   "config device\n\toption name d0\n\toption type macvlan\n",
		vethOptions:      "config device\n\toption name d0\n\toption type veth\n",
		switchOptions:    "config device\n\toption name d0\n\toption type openvswitch\n",
		vportOptions:     "config device\n\toption name d0\n\toption type vport\n",
		interfaceOptions: "config interface i\n", staticOptions: "config interface i\n\toption proto static\n",
		routeOptions:  "config route\n\toption target 10.0.0.0/8\n",
		mirrorOptions: "config mirror m\n", dataplaneOptions: "config dataplane d\n", pairOptions: "config pair p\n", neighborOptions: "config neighbor\n",
	}
	checked := 0
	for _, g := range groups {
		for i := range g.specs {
			s := &g.specs[i]
			if s.silent || s.kind == list || s.kind == text && s.allow == "" {
				continue
			}
			if s.meaning == "" {
				t.Errorf("%s: option %s has no meaning", g.name, s.name)
			}
			if s.name == "name" || s.name == "type" && g == interfaceOptions {
				continue
			}
			text := head[g] + "\toption " + s.name + " '@ %'\n"
			line := strings.Count(text, "\n")
			_, problems := parseText(t, text, Options{})
			k := slices.IndexFunc(problems, func(p Problem) bool { return p.Option == s.name && p.Severity == Error })
			if k < 0 {
				t.Errorf("%s: option %s '@ %%' is no error: %s", g.name, s.name, texts(problems))
				continue
			}
			if p := problems[k]; p.Pos.Line != line || p.Allowed == "" || p.Value != "@ %" || p.Code == "" {
				t.Errorf("%s: option %s: %+v", g.name, s.name, p)
			}
			checked++
		}
	}
	if checked < 90 {
		t.Errorf("only %d options were checked", checked)
	}
}

// TestListToScalar: a list is one problem, and no panic, wherever one value is meant.
func TestListToScalar(t *testing.T) {
	_, problems := parseText(t, "config device\n\toption name d\n\tlist mtu 1400\n\tlist mtu 1500\n", Options{})
	if got := texts(problems); got != "net:3: device d: option mtu '1400 1500': takes one value, not a list of 2 (allowed: 68..2147483647)\n" {
		t.Error(got)
	}
}

func TestBridge(t *testing.T) {
	cfg, problems := parseText(t, `
config device
	option name br0
	option type bridge
	option ports 'eth0 eth1.7'
config device
	option name br1
	option type bridge
	list ifname eth2
	list ifname eth3
	option stp 1
	option forward_delay 15
	option hello_time 2
	option max_age 20
	option priority 4096
	option ageing_time 120
	option igmp_snooping 1
	option hash_max 4096
	option robustness 3
	option query_interval 6000
	option query_response_interval 500
	option last_member_interval 50
	option vlan_filtering 0
	option bridge_empty 1
	option macaddr 02:11:22:33:44:55
config device
	option name br2
	option type bridge
	option igmp_snooping 1
	option multicast_querier 0
	option vlan_filtering 1
	option query_interval 130
`, Options{})
	if len(problems) != 0 {
		t.Fatal(texts(problems))
	}
	br0 := cfg.device("br0")
	// What netifd's bridge showed in the kernel.
	want := rtnl.Bridge{ForwardDelay: 800, HelloTime: 100, MaxAge: 1000, Priority: 32767, HashMax: 512, LastMemberCount: 2, StartupQueryCount: 2,
		LastMemberInterval: 100, MembershipInterval: 26000, QuerierInterval: 25500, QueryInterval: 12500, QueryResponseInterval: 1000, StartupQueryInterval: 3124}
	if br0.Attrs != want {
		t.Errorf("got  %+v\nwant %+v", br0.Attrs, want)
	}
	if f := br0.AttrFields; f&(rtnl.BridgeVLANFiltering|rtnl.BridgeAgeingTime) != 0 || f&rtnl.BridgeMcastSnooping == 0 || f&^rtnl.BridgeFields != 0 {
		t.Errorf("br0 sends %b", f)
	}
	if !slices.Equal(br0.Ports, []string{"eth0", "eth1.7"}) || br0.BridgeEmpty {
		t.Errorf("br0: %+v", br0)
	}
	if v := cfg.device("eth1.7"); v == nil || v.Parent != "eth1" || v.VID != 7 || v.Type != VLAN || !v.Implied {
		t.Errorf("eth1.7: %+v", v)
	}
	br1 := cfg.device("br1")
	want = rtnl.Bridge{STP: 1, ForwardDelay: 1500, HelloTime: 200, MaxAge: 2000, AgeingTime: 12000, Priority: 4096, McastSnooping: true, McastQuerier: true,
		HashMax: 4096, LastMemberCount: 3, StartupQueryCount: 3, LastMemberInterval: 50, MembershipInterval: 18500, QuerierInterval: 18250,
		QueryInterval: 6000, QueryResponseInterval: 500, StartupQueryInterval: 1500}
	if br1.Attrs != want {
		t.Errorf("got  %+v\nwant %+v", br1.Attrs, want)
	}
	if br1.AttrFields&rtnl.BridgeVLANFiltering == 0 || br1.AttrFields&rtnl.BridgeAgeingTime == 0 || !br1.BridgeEmpty || !slices.Equal(br1.Ports, []string{"eth2", "eth3"}) {
		t.Errorf("br1: %+v", br1)
	}
	if o := br1.BridgeOpt; o.ForwardDelay != 15 || o.AgeingTime != 120 || !o.STP || !o.MulticastQuerier {
		t.Errorf("br1: %+v", o)
	}
	br2 := cfg.device("br2")
	if br2.Attrs.McastQuerier || !br2.Attrs.McastSnooping || !br2.Attrs.VLANFiltering || br2.Attrs.StartupQueryInterval != 100 {
		t.Errorf("br2: %+v", br2.Attrs)
	}
}

func TestDeviceTypes(t *testing.T) {
	cfg, problems := parseText(t, `
config device 'named'
	option name eth0
	option enabled 0
	option takeover 1
config device
	option name v
	option type 8021q
	option ifname eth0
	option vid 0x64
	list ingress_qos_mapping 1:2
	list egress_qos_mapping 3:4
config device
	option name s
	option type 8021ad
	option ifname eth0.9
	option vid 100
config device
	option name m
	option type macvlan
	option ifname eth1
	option mode bridge
config device
	option name m2
	option type macvlan
	option ifname eth1
config device
	option name vp0
	option type veth
	option peer_name vp1
	option peer_macaddr 02:00:00:00:00:02
	option macaddr 02:00:00:00:00:01
config device
	option name vp1
	option mtu 1400
config device
	option name eth7.3
	option mtu 1400
`, Options{})
	if len(problems) != 0 {
		t.Fatal(texts(problems))
	}
	if d := cfg.device("eth0"); d.Type != Simple || !d.Disabled || !d.Takeover || d.Pos.String() != "net:2" {
		t.Errorf("%+v", d)
	}
	if d := cfg.device("v"); d.Type != VLAN || d.Parent != "eth0" || d.VID != 100 || d.Ingress[0] != "1:2" || d.Egress[0] != "3:4" {
		t.Errorf("%+v", d)
	}
	if d := cfg.device("s"); d.Type != SVLAN || d.Parent != "eth0.9" {
		t.Errorf("%+v", d)
	}
	if d := cfg.device("eth0.9"); d == nil || !d.Implied || d.Parent != "eth0" || d.VID != 9 {
		t.Errorf("%+v", d)
	}
	if m, m2 := cfg.device("m"), cfg.device("m2"); m.Mode != 4 || m2.Mode != 2 || m.Parent != "eth1" {
		t.Errorf("%+v %+v", m, m2)
	}
	if d := cfg.device("vp0"); d.PeerName != "vp1" || d.PeerAddr.String() != "02:00:00:00:00:02" || showSettings(&d.Settings) != "addr=02:00:00:00:00:01" {
		t.Errorf("%+v", d)
	}
	if d := cfg.device("eth7.3"); d.Type != VLAN || d.Parent != "eth7" || d.VID != 3 || d.Implied || showSettings(&d.Settings) != "mtu=1400" {
		t.Errorf("%+v", d)
	}
	if !slices.IsSortedFunc(cfg.Devices, func(a, b *Device) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("devices are not sorted")
	}
	if cfg.device("eth7") != nil {
		t.Error("a device that is only named was added")
	}
}

// TestInterface sets every option of an interface.
func TestInterface(t *testing.T) {
	opts := Options{
		Protos:     map[string]Proto{"dhcp": {Options: map[string]Type{"hostname": TypeString, "mtu": TypeString, "norelease": TypeBool, "reqopts": TypeArray, "n": TypeInt}}},
		RouteTable: func(n string) (uint32, bool) { return 77, n == "isp" },
	}
	cfg, problems := parseText(t, `
config interface
	option ifname eth0
config interface wan
	option device eth0.5.6
	option proto dhcp
	option hostname h
	option mtu any
	option norelease 1
	list reqopts 1
	option n -5
	option auto 0
	option takeover 1
	option force_link 1
	option carrier_loss_delay 3600
	option defaultroute 0
	option peerdns 0
	list dns 9.9.9.9
	list dns 2620:fe::fe
	option dns_search 'a.example b.example'
	option dns_metric 7
	option metric 20
	option ip4table isp
	option ip6table main
	option delegate 0
	option zone w
	list tags x
	option txqueuelen 9
	option enabled 0
config alias al
	option interface wan
	option proto static
	list ipaddr 192.168.100.1/24
config interface st
	option proto static
	option force_link 0
config interface off
	option proto nonsense
	option disabled 1
config interface tab
	option ip4table 0x100
`, opts)
	if len(problems) != 0 {
		t.Fatal(texts(problems))
	}
	var names []string
	for _, i := range cfg.Interfaces {
		names = append(names, i.Name)
	}
	if got := strings.Join(names, " "); got != "cfg016d96 wan al st tab" {
		t.Error("interfaces: ", got)
	}
	if i := cfg.Interfaces[0]; i.Device != "eth0" || i.Proto != "none" || !i.Auto || !i.DefaultRoute || !i.PeerDNS || !i.Delegate || i.ForceLink || i.HasSettings {
		t.Errorf("%+v", i)
	}
	got := *cfg.iface("wan")
	if len(got.Options) != 24 || got.Options[2].Name != "hostname" {
		t.Errorf("%d options as written: %v", len(got.Options), got.Options)
	}
	if s := showSettings(&got.Settings); s != "txqlen=9" {
		t.Error("mtu is dhcp's own here; settings: ", s)
	}
	got.Options, got.own, got.Settings.Fields, got.Settings.Link = nil, nil, 0, rtnl.Link{}
	want := Interface{Name: "wan", Pos: Pos{"net", 4}, Proto: "dhcp", Device: "eth0.5.6", Takeover: true, ForceLink: true, ForceLinkSet: true,
		Metric: 20, DNSMetric: 7, DNS: []netip.Addr{netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("2620:fe::fe")},
		DNSSearch: []string{"a.example", "b.example"}, IP4Table: 77, IP6Table: 254, CarrierLossDelay: time.Hour, Zone: "w", Tags: []string{"x"},
		HasSettings: true, DisabledDevice: true,
		ProtoConfig: `{"device":"eth0.5.6","proto":"dhcp","hostname":"h","mtu":"any","norelease":true,"reqopts":["1"],"n":-5,"auto":false,"takeover":true,` +
			`"force_link":true,"carrier_loss_delay":3600,"defaultroute":false,"peerdns":false,"dns":["9.9.9.9","2620:fe::fe"],` +
			`"dns_search":["a.example","b.example"],"dns_metric":7,"metric":20,"ip4table":"isp","ip6table":"main","delegate":false,"zone":"w","tags":["x"]}`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for name, parent := range map[string]string{"eth0.5": "eth0", "eth0.5.6": "eth0.5"} {
		if d := cfg.device(name); d == nil || d.Parent != parent || !d.Implied {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if i := cfg.iface("al"); i.AliasOf != "wan" || i.Device != "@wan" || !i.ForceLink || i.Static.Addrs[0].Prefix.String() != "192.168.100.1/24" {
		t.Errorf("%+v", i)
	}
	if i := cfg.iface("st"); i.ForceLink || !i.ForceLinkSet || i.Static == nil {
		t.Errorf("%+v", i)
	}
	if i := cfg.iface("tab"); i.IP4Table != 256 {
		t.Errorf("%+v", i)
	}
}

// TestLegacyBridge is the form that older files have.
func TestLegacyBridge(t *testing.T) {
	for _, ports := range []string{"option ifname 'eth0 eth1'", "list ifname eth0\n\tlist ifname eth1", "list ports eth0\n\tlist ports eth1"} {
		cfg, problems := parseText(t, "config interface lan\n\toption type bridge\n\t"+ports+"\n\toption stp 1\n\toption forward_delay 4\n\toption hello_time 1\n\toption max_age 6\n\toption proto static\n\toption ipaddr 10.0.0.1\n\toption netmask 255.0.0.0\n\toption mtu 1400\n\toption ipv6 0\n\toption enabled 0\n", Options{})
		if len(problems) != 0 {
			t.Fatal(texts(problems))
		}
		br, lan := cfg.device("br-lan"), cfg.iface("lan")
		if br == nil || br.Type != Bridge || !br.Implied || !slices.Equal(br.Ports, []string{"eth0", "eth1"}) || br.Attrs.STP != 1 || br.Attrs.ForwardDelay != 400 ||
			showSettings(&br.Settings) != "mtu=1400 ipv6/conf/disable_ipv6=1" || !br.IPv6Set || !br.Disabled {
			t.Errorf("%+v", br)
		}
		if lan.Device != "br-lan" || lan.HasSettings || lan.Static.Addrs[0].Prefix.String() != "10.0.0.1/8" {
			t.Errorf("%+v", lan)
		}
	}
}

func TestStatic(t *testing.T) {
	cfg, problems := parseText(t, `
config interface lo
	option proto static
	option ipaddr 127.0.0.1
	option netmask 255.0.0.0
config interface a
	option proto static
	option ipaddr '10.0.0.1 10.0.1.1/30'
	option netmask 24
	option gateway 10.0.0.254
	list ip6addr 2001:db8::1/64
	list ip6addr 2001:db8::2
	option ip6gw fe80::1
	list ip6prefix 2001:db8:100::/48
	list ip6prefix 2001:db8:200::/56,100,200,excluded=2001:db8:200::/64,class=wan6
	option ip6deprecated 1
config interface p2p
	option proto static
	option ipaddr 10.2.0.1
	option ptpaddr 10.2.0.2
config interface brd
	option proto static
	list ipaddr 10.3.0.1/255.255.0.0
	list ipaddr 10.3.0.1/31
	option broadcast 10.3.9.9
`, Options{})
	if len(problems) != 0 {
		t.Fatal(texts(problems))
	}
	pre, addr := netip.MustParsePrefix, netip.MustParseAddr
	for name, want := range map[string]Static{
		"lo": {Addrs: []StaticAddr{{Prefix: pre("127.0.0.1/8")}}},
		"a": {Addrs: []StaticAddr{{Prefix: pre("10.0.0.1/24"), Broadcast: addr("10.0.0.255")}, {Prefix: pre("10.0.1.1/30"), Broadcast: addr("10.0.1.3")},
			{Prefix: pre("2001:db8::1/64"), Deprecated: true}, {Prefix: pre("2001:db8::2/128"), Deprecated: true}},
			Gateway4: addr("10.0.0.254"), Gateway6: addr("fe80::1"),
			Prefixes: []Prefix6{{Prefix: pre("2001:db8:100::/48"), Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever},
				{Prefix: pre("2001:db8:200::/56"), Preferred: 100, Valid: 200, Excluded: pre("2001:db8:200::/64"), Class: "wan6"}}},
		"p2p": {Addrs: []StaticAddr{{Prefix: pre("10.2.0.1/32"), Peer: addr("10.2.0.2")}}},
		"brd": {Addrs: []StaticAddr{{Prefix: pre("10.3.0.1/16"), Broadcast: addr("10.3.9.9")}, {Prefix: pre("10.3.0.1/31"), Broadcast: addr("10.3.9.9")}}},
	} {
		if got := cfg.iface(name).Static; !reflect.DeepEqual(*got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", name, *got, want)
		}
	}
}

func TestRoutes(t *testing.T) {
	opts := Options{RouteTable: func(n string) (uint32, bool) { return 77, n == "isp" }, RouteProto: func(n string) (uint8, bool) { return 186, n == "bgp" }}
	cfg, problems := parseText(t, `
config interface lan
	option disabled 0
config route
	option interface lan
	option target 10.1.0.0
	option netmask 255.255.0.0
	option gateway 10.0.0.2
	option metric 0
	option mtu 1400
	option table isp
	option source 10.0.0.1
	option onlink 1
	option proto bgp
	option valid 60
config route
	option target default
	option type blackhole
config route6
	option interface lan
	option target 2001:db8::/32
	option gateway fe80::1
	option source 2001:db8:1::/48
	option table main
	option proto 99
	option type 7
config route
	option target bogus
	option disabled 1
`, opts)
	// A route of type unreachable has no gateway.
	if len(problems) != 1 || problems[0].Pos.Line != 22 || problems[0].Interface != "lan" || problems[0].Code != "INVALID_GATEWAY" ||
		problems[0].Reason != "a route of this type has no gateway" || len(cfg.iface("lan").Errors) != 1 {
		t.Error(texts(problems))
	}
	pre, addr := netip.MustParsePrefix, netip.MustParseAddr
	want := []Route{
		{Pos: Pos{"net", 4}, Interface: "lan", Family: 2, Target: pre("10.1.0.0/16"), Gateway: addr("10.0.0.2"), Source: pre("10.0.0.1/32"), MetricSet: true, MTU: 1400,
			Table: 77, TableSet: true, OnLink: true, Type: 1, Proto: 186, ProtoSet: true, Valid: 60},
		{Pos: Pos{"net", 16}, Family: 2, Target: pre("0.0.0.0/0"), Type: 6, TypeSet: true, Proto: 4},
	}
	if len(cfg.Routes) != 2 || *cfg.Routes[0] != want[0] || *cfg.Routes[1] != want[1] {
		for _, r := range cfg.Routes {
			t.Errorf("%+v", *r)
		}
	}
}
