package config

import (
	"slices"
	"strings"
	"testing"
)

// TestProblems has every contradiction and every wrong form that is not one of
// a single option: the text, what is said, and what is left of the devices.
func TestProblems(t *testing.T) {
	const (
		bridge = "config device\n option name %n\n option type bridge\n"
	)
	br := func(name, rest string) string { return strings.ReplaceAll(bridge, "%n", name) + rest }
	for _, c := range []struct{ name, text, want, devices string }{
		{"no name", "config device\n option mtu 1400\n", "net:1: device cfg010f15: a device section needs one option name (allowed: " + allowName + ")", ""},
		{"two devices of one name", br("a", "") + "config device\n option name a\n",
			"net:5: device a: option name 'a': contradicts section device a (net:1) (allowed: one section for a device)", "a"},
		{"long name", br("abcdefghijklmnop", ""), "net:2: device abcdefghijklmnop: option name 'abcdefghijklmnop': not a name that a link can have (allowed: " + allowName + ")", ""},
		{"long name of a link", "config device\n option name abcdefghijklmnop\n",
			"net:2: warning: device abcdefghijklmnop: option name 'abcdefghijklmnop': not a name that a link can have: it will never be there (allowed: " + allowName + ")", "abcdefghijklmnop"},
		{"type not built", "config device\n option name a\n option type bonding\n", "net:3: device a: option type 'bonding': device type 'bonding' is not built yet (allowed: " + allowTypes + ")", ""},
		{"unknown type", "config device\n option name a\n option type Bridge\n", "net:3: device a: option type 'Bridge': unknown type of device (allowed: " + allowTypes + ")", ""},
		{"vlan without vid", "config device\n option name a\n option type 8021q\n option ifname eth0\n", "net:1: device a: a device of type 8021q needs option vid (allowed: 0..4094)", ""},
		{"vlan without parent", "config device\n option name a\n option type 8021ad\n option vid 1\n", "net:1: device a: a device of type 8021ad needs option ifname (allowed: the device below)", ""},
		{"macvlan without parent", "config device\n option name a\n option type macvlan\n", "net:1: device a: a device of type macvlan needs option ifname (allowed: the device below)", ""},
		{"vid out of range", "config device\n option name a\n option type 8021q\n option ifname eth0\n option vid 4095\n", "net:5: device a: option vid '4095': out of range (allowed: 0..4094)", ""},
		{"bad mode", "config device\n option name a\n option type macvlan\n option ifname eth0\n option mode source\n",
			"net:5: device a: option mode 'source': not one of the words allowed (allowed: private, vepa, bridge, passthru)", "a"},
		{"qos", "config device\n option name a\n option type 8021q\n option ifname eth0\n option vid 1\n list ingress_qos_mapping 1:2\n list ingress_qos_mapping 8:1\n",
			"net:7: device a: option ingress_qos_mapping '8:1': not a mapping of priorities (allowed: " + allowIngress + ")", "a"},
		{"own parent", "config device\n option name a\n option type macvlan\n option ifname a\n", "net:4: device a: option ifname 'a': a device cannot be its own parent (allowed: " + allowName + ")", ""},
		{"parents in a cycle", "config device\n option name a\n option type macvlan\n option ifname b\nconfig device\n option name b\n option type 8021q\n option vid 1\n option ifname a\n",
			"net:4: device a: option ifname 'b': device a is below itself: contradicts section device b (net:5) (allowed: devices that do not need each other)\n" +
				"net:9: device b: option ifname 'a': device b is below itself: contradicts section device a (net:1) (allowed: devices that do not need each other)", ""},
		{"a bridge on a VLAN on the bridge", br("br", " list ports br.5\n list ports eth0\n"),
			"net:4: device br: option ports 'br.5 eth0': device br is below itself: contradicts section device br (net:1) (allowed: devices that do not need each other)\n" +
				"net:4: device br: option ports 'br.5 eth0': device br.5 is below itself: contradicts section device br (net:1) (allowed: devices that do not need each other)", ""},
		{"bridge in itself", br("br", " list ports eth0\n list ports br\n"), "net:5: device br: option ports 'br': a bridge cannot be a port of itself (allowed: other devices)", "br[eth0]"},
		{"bridges in each other", br("a", " list ports b\n") + br("b", " list ports a\n"),
			"net:4: device a: option ports 'b': device a is below itself: contradicts section device b (net:5) (allowed: devices that do not need each other)\n" +
				"net:8: device b: option ports 'a': device b is below itself: contradicts section device a (net:1) (allowed: devices that do not need each other)", ""},
		{"port in two bridges", br("a", " list ports eth0\n") + br("b", " list ports eth1\n list ports eth0\n"),
			"net:9: device b: option ports 'eth0': contradicts section device a (net:1): a port of that bridge (allowed: each port in one bridge)", "a[eth0] b[eth1]"},
		{"port twice", br("a", " list ports eth0\n list ports eth0\n"), "net:4: warning: device a: option ports 'eth0 eth0': port eth0 stands there twice", "a[eth0]"},
		{"bad port", br("a", " list ports @x\n"), "net:4: device a: option ports '@x': not the name of a link (allowed: " + allowName + ")", "a"},
		{"bad port VLAN", br("a", " list ports eth0.4095\n list ports eth1\n"), "net:4: device a: option ports 'eth0.4095': the VLAN ID of eth0.4095 is out of range (allowed: " + allowVLANName + ")", "a[eth1]"},
		{"ports and ifname", br("a", " list ports eth0\n option ifname eth1\n"), "net:5: warning: device a: option ifname 'eth1': option ports is there: not used", "a[eth0]"},
		{"spanning tree", br("a", " option stp 1\n option forward_delay 1\n"), "net:5: device a: option forward_delay '1': out of range for a spanning tree (allowed: 2..30)", "a"},
		{"timers", br("a", " option stp 1\n option forward_delay 4\n option max_age 15\n"),
			"net:1: warning: device a: the timers break the rule of the spanning tree (IEEE 802.1D): the tree may have loops for a time (allowed: 2 * (forward_delay - 1) >= max_age >= 2 * (hello_time + 1))", "a"},
		{"no spanning tree", br("a", " option forward_delay 0\n"), "", "a"},
		{"depends on nobody", "config interface a\n list depends b\n list depends c\nconfig interface c\n",
			"net:2: interface a: option depends 'b': there is no interface b (allowed: names of interface sections)", ""},
		{"depends on a disabled one", "config interface a\n option depends b\nconfig interface b\n option disabled 1\n",
			"net:2: warning: interface a: option depends 'b': interface b is disabled: this one stays down", ""},
		{"depends on itself", "config interface a\n option depends 'c a'\nconfig interface c\n",
			"net:2: interface a: option depends 'a': an interface cannot depend on itself (allowed: " + allowDepends + ")", ""},
		{"depend on each other", "config interface a\n option depends c\nconfig interface b\n option device @a\nconfig interface c\n list depends d\n list depends b\nconfig interface d\n",
			"net:2: interface a: option depends 'c': interface a would wait for itself: contradicts section interface c (net:5) (allowed: " + allowDepends + ")\n" +
				"net:7: interface c: option depends 'b': interface c would wait for itself: contradicts section interface b (net:3) (allowed: " + allowDepends + ")", ""},
		{"two ways to one", "config interface a\n option depends 'b c'\nconfig interface b\n option depends d\nconfig interface c\n option depends d\nconfig interface d\n", "", ""},
		{"named as a device", "config interface b\n option device b\nconfig interface a\n option device b\n option depends b\n", "", ""},
		{"hello_time", br("a", " option hello_time 11\n"), "net:4: device a: option hello_time '11': out of range (allowed: 1..10)", "a"},
		{"max_age", br("a", " option max_age 5\n"), "net:4: device a: option max_age '5': out of range (allowed: 6..40)", "a"},
		{"query_interval", br("a", " option query_interval 50\n"), "net:4: device a: option query_interval '50': out of range (allowed: 100..8640000)", "a"},
		{"one VLAN, two names", "config device\n option name a\n option type 8021q\n option ifname eth0\n option vid 5\nconfig device\n option name b\n option type 8021q\n option ifname eth0\n option vid 5\n",
			"net:7: device b: option name 'b': VLAN 5 on eth0 is there already as a: contradicts section device a (net:1) (allowed: one device for a VLAN)", "a"},
		{"one VLAN, another protocol", "config device\n option name a\n option type 8021q\n option ifname eth0\n option vid 5\nconfig device\n option name b\n option type 8021ad\n option ifname eth0\n option vid 5\n", "", "a b"},
		{"one VLAN, one implied", "config interface i\n option device eth0.5\nconfig device\n option name a\n option type 8021q\n option ifname eth0\n option vid 5\n",
			"net:2: interface i: option device 'eth0.5': VLAN 5 on eth0 is there already as a: contradicts section device a (net:3) (allowed: one device for a VLAN)", "a"},
		{"VLAN name", "config device\n option name eth0.4095\n", "net:2: device eth0.4095: option name 'eth0.4095': not the name of a VLAN (allowed: " + allowVLANName + ")", ""},
		{"implied VLAN out of range", "config interface i\n option device eth0.4095\n", "net:2: interface i: option device 'eth0.4095': the VLAN ID of eth0.4095 is out of range (allowed: " + allowVLANName + ")", ""},
		{"implied VLAN of a chain", "config interface i\n option device eth0.99999.1\n", "net:2: interface i: option device 'eth0.99999.1': the VLAN ID of eth0.99999 is out of range (allowed: " + allowVLANName + ")", ""},
		{"not a VLAN", "config interface i\n option device phy0.0-ap0\nconfig interface j\n option device a.b\n", "", ""},
		{"veth with one name", "config device\n option name a\n option type veth\n option peer_name a\n", "net:4: device a: option peer_name 'a': both ends of the pair have one name (allowed: " + allowName + ")", ""},
		{"veth end is another device", "config device\n option name a\n option type veth\n option peer_name b\n" + br("b", ""),
			"net:4: device a: option peer_name 'b': contradicts section device b (net:5) (allowed: a name of its own)", "b"},
		{"veth ends of one name", "config device\n option name a\n option type veth\n option peer_name p\nconfig device\n option name b\n option type veth\n option peer_name p\n",
			"net:8: device b: option peer_name 'p': contradicts section device a (net:1) (allowed: a name of its own)", "a"},
		{"mtu6 above mtu", "config device\n option name a\n option mtu 1300\n option mtu6 1400\n", "net:4: warning: device a: option mtu6 '1400': greater than mtu: the kernel refuses it (allowed: 1280..mtu)", "a"},
		{"unknown option", "config device\n option name a\n option mtuu 1300\n", "net:3: warning: device a: option mtuu '1300': unknown option, ignored", "a"},
		{"not built", "config device\n option name a\n option speed 100\n", "net:3: warning: device a: option speed '100': not built yet, ignored", "a"},

		{"alias of itself", "config interface a\n option device @a\n", "net:2: interface a: option device '@a': an alias of itself: contradicts section interface a (net:1) (allowed: another interface)", ""},
		{"aliases in a cycle", "config interface a\n option device @b\nconfig alias b\n option interface a\nconfig interface c\n option device @a\n",
			"net:2: interface a: option device '@b': an alias of itself: contradicts section alias b (net:3) (allowed: another interface)\n" +
				"net:4: alias b: option interface 'a': an alias of itself: contradicts section interface a (net:1) (allowed: another interface)", ""},
		{"alias of nothing", "config interface a\n option device @b\n", "net:2: interface a: option device '@b': there is no interface b (allowed: the name of an interface section)", ""},
		{"alias of a disabled interface", "config interface a\n option device @b\nconfig interface b\n option disabled 1\n", "net:2: warning: interface a: option device '@b': interface b is disabled: this one stays down", ""},
		{"alias without interface", "config alias a\n", "net:1: alias a: an alias needs option interface (allowed: the interface that it sits on)", ""},
		{"two devices for an interface", "config interface a\n option ifname 'eth0 eth1'\n", "net:2: interface a: option ifname 'eth0 eth1': one device, unless the interface is of type bridge (allowed: " + allowName + ", or @INTERFACE)", ""},
		{"bad device", "config interface a\n option device a/b\n", "net:2: interface a: option device 'a/b': not a name that a link can have (allowed: " + allowName + ", or @INTERFACE)", ""},
		{"bridge there twice", br("br-a", "") + "config interface a\n option type bridge\n", "net:5: interface a: option type 'bridge': contradicts section device br-a (net:1) (allowed: one section for a device)", "br-a"},
		{"bridge name too long", "config interface abcdefghijklm\n option type bridge\n",
			"net:2: interface abcdefghijklm: option type 'bridge': the bridge would be br-abcdefghijklm, not a name that a link can have (allowed: an interface name of up to 12 octets)", ""},
		{"unknown proto", "config interface a\n option proto dhcp\n option whatever 1\n", "net:2: interface a: option proto 'dhcp': unknown protocol (allowed: none, static)", ""},
		{"carrier_loss_delay", "config interface a\n option carrier_loss_delay 3601\n", "net:2: interface a: option carrier_loss_delay '3601': out of range (allowed: 0..3600)", ""},
		{"table", "config interface a\n option ip4table isp\n", "net:2: interface a: option ip4table 'isp': not a routing table (allowed: " + allowTable + ")", ""},
		{"dns", "config interface a\n list dns 9.9.9.9\n list dns 9.9.9\n", "net:3: interface a: option dns '9.9.9': not the address of a DNS server (allowed: " + allowDNS + ")", ""},
		{"dns_search", "config interface a\n list dns_search 'a\nnameserver 6.6.6.6'\n", "net:2: interface a: option dns_search 'a\nnameserver 6.6.6.6': not a domain (allowed: " + allowDomain + ")", ""},
		{"disabled", "config interface a\n option disabled perhaps\n", "net:2: interface a: option disabled 'perhaps': not a yes or no (allowed: " + allowBool + ")", ""},
		{"address twice", "config interface a\n option proto static\n list ipaddr 10.0.0.1/24\n list ipaddr 10.0.0.1/24\n",
			"net:4: interface a: option ipaddr '10.0.0.1/24': contradicts section interface a (net:1): the address stands there twice (allowed: each address once)", ""},
		{"IPv6 address twice", "config interface a\n option proto static\n list ip6addr 2001:db8::1/64\n list ip6addr 2001:db8::1/48\n",
			"net:4: interface a: option ip6addr '2001:db8::1/48': contradicts section interface a (net:1): the address stands there twice (allowed: each address once)", ""},
		{"no address", "config interface a\n option proto static\n option ipaddr 0.0.0.0\n", "net:3: warning: interface a: option ipaddr '0.0.0.0': no address, ignored (allowed: " + allowAddr4 + ")", ""},
		{"gateway alone", "config interface a\n option proto static\n option gateway 10.0.0.1\n", "net:3: warning: interface a: option gateway '10.0.0.1': not used: the interface has no address of this family", ""},
		{"prefix with host bits", "config interface a\n option proto static\n option ip6prefix 2001:db8::1/48\n", "net:3: warning: interface a: option ip6prefix '2001:db8::1/48': host bits are set: taken as 2001:db8::/48", ""},

		{"route to nowhere", "config route\n option target 10.0.0.0/8\n option interface x\n", "net:3: route cfg01c8b4: option interface 'x': there is no interface x (allowed: the name of an interface section)", ""},
		{"route to a disabled interface", "config interface x\n option disabled 1\nconfig route\n option target 10.0.0.0/8\n option interface x\n",
			"net:5: warning: route cfg02c8b4: option interface 'x': interface x is disabled: the route is left out", ""},
		{"route without target", "config route r\n", "net:1: route r: a route needs option target (allowed: " + allowTarget + ")", ""},
		{"host bits", "config route6 r\n option target 2001:db8::1/32\n", "net:2: warning: route6 r: option target '2001:db8::1/32': host bits are set: taken as 2001:db8::/32", ""},
		{"target without mask", "config route r\n option target 0.0.0.0\n", "net:2: warning: route r: option target '0.0.0.0': has no mask: taken as 0.0.0.0/0", ""},
		{"route family", "config route r\n option target 2001:db8::/32\n", "net:2: route r: option target '2001:db8::/32': not the destination of a route (allowed: " + allowTarget + ")", ""},
		{"route mask", "config route r\n option target 10.0.0.0\n option netmask 255.0.255.0\n", "net:3: route r: option netmask '255.0.255.0': not a netmask (allowed: " + allowMask4 + ")", ""},
		{"route mtu", "config route6 r\n option target ::/0\n option mtu 1279\n", "net:3: route6 r: option mtu '1279': out of range (allowed: 1280..65520)", ""},
		{"route source", "config route r\n option target 10.0.0.0/8\n option source 10.0.0.0/8\n", "net:3: route r: option source '10.0.0.0/8': not a source of a route (allowed: " + allowSource + ")", ""},
		{"route type", "config route r\n option target 10.0.0.0/8\n option type hole\n", "net:3: route r: option type 'hole': not a type of route (allowed: " + routeTypeWords() + ")", ""},
		{"route proto", "config route r\n option target 10.0.0.0/8\n option proto 256\n", "net:3: route r: option proto '256': not a protocol of routes (allowed: " + allowProto + ")", ""},

		{"later sections", "config rule\nconfig rule\nconfig bridge-vlan\n", "net:1: warning: rule cfg0192bd: sections of this type are not built yet, ignored\nnet:3: warning: bridge-vlan cfg03a1b0: sections of this type are not built yet, ignored", ""},
		{"unknown sections", "config rules x\n", "net:1: warning: rules x: unknown type of section, ignored", ""},
		{"ula", "config globals g\n option ula_prefix fd00::/65\n", "net:2: globals g: option ula_prefix 'fd00::/65': not an IPv6 prefix (allowed: " + allowULA + ")", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, problems := parseText(t, c.text, Options{})
			if got := strings.TrimSuffix(texts(problems), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			var devs []string
			for _, d := range cfg.Devices {
				s := d.Name
				if len(d.Ports) > 0 {
					s += "[" + strings.Join(d.Ports, " ") + "]"
				}
				devs = append(devs, s)
			}
			if got := strings.Join(devs, " "); got != c.devices {
				t.Errorf("devices %q, want %q", got, c.devices)
			}
			if strings.HasPrefix(c.name, "route") && HasErrors(problems) && len(cfg.Routes) != 0 {
				t.Error("a wrong route was kept")
			}
		})
	}
}

// TestStaticCodes: netifd's codes and data, which user interfaces translate.
func TestStaticCodes(t *testing.T) {
	for _, c := range []struct{ option, val, code, data string }{
		{"ipaddr", "300.1.2.3", "INVALID_ADDRESS", "300.1.2.3"},
		{"ipaddr", "10.0.0.1/33", "INVALID_ADDRESS", "10.0.0.1/33"},
		{"ipaddr", "10.0.0.1/255.0.255.0", "INVALID_ADDRESS", "10.0.0.1/255.0.255.0"},
		{"ipaddr", "2001:db8::1", "INVALID_ADDRESS", "2001:db8::1"},
		{"ipaddr", "224.0.0.1", "INVALID_ADDRESS", "224.0.0.1"},
		{"ipaddr", "010.0.0.1", "INVALID_ADDRESS", "010.0.0.1"},
		{"ip6addr", "2001:db8::1/129", "INVALID_ADDRESS", "2001:db8::1/129"},
		{"ip6addr", "fe80::1%eth0/64", "INVALID_ADDRESS", "fe80::1%eth0/64"},
		{"ip6addr", "ff02::1", "INVALID_ADDRESS", "ff02::1"},
		{"ip6addr", "::ffff:1.2.3.4", "INVALID_ADDRESS", "::ffff:1.2.3.4"},
		{"netmask", "255.255.0.255", "INVALID_NETMASK", ""},
		{"netmask", "33", "INVALID_NETMASK", ""},
		{"broadcast", "10.0.0", "INVALID_BROADCAST", ""},
		{"ptpaddr", "x", "INVALID_PTPADDR", ""},
		{"gateway", "10.0.0.256", "INVALID_GATEWAY", "10.0.0.256"},
		{"ip6gw", "10.0.0.1", "INVALID_GATEWAY", "10.0.0.1"},
		{"ip6prefix", "2001:db8::/65", "INVALID_PREFIX", "2001:db8::/65"},
		{"ip6prefix", "2001:db8::", "INVALID_PREFIX", "2001:db8::"},
		{"ip6prefix", "2001:db8::/0", "INVALID_PREFIX", "2001:db8::/0"},
		{"ip6prefix", "2001:db8::/48,9,8", "INVALID_PREFIX", "2001:db8::/48,9,8"},
		{"ip6prefix", "2001:db8::/48,x", "INVALID_PREFIX", "2001:db8::/48,x"},
		{"ip6prefix", "2001:db8::/48,1,2,class", "INVALID_PREFIX", "2001:db8::/48,1,2,class"},
		{"ip6prefix", "2001:db8::/48,1,2,excluded=2001:db9::/64", "INVALID_PREFIX", "2001:db8::/48,1,2,excluded=2001:db9::/64"},
		{"ip6prefix", "2001:db8::/48,1,2,other=1", "INVALID_PREFIX", "2001:db8::/48,1,2,other=1"},
	} {
		cfg, problems := parseText(t, "config interface a\n\toption device eth0\n\toption proto static\n\toption "+c.option+" '"+c.val+"'\n", Options{})
		if len(problems) != 1 {
			t.Errorf("%s %s: %s", c.option, c.val, texts(problems))
			continue
		}
		p := problems[0]
		if p.Code != c.code || strings.Join(p.Data, " ") != c.data || p.Pos.Line != 4 || p.Value != c.val || p.Allowed == "" || p.Severity != Error {
			t.Errorf("%s %s: %+v", c.option, c.val, p)
		}
		i := cfg.Interfaces[0]
		if len(i.Errors) != 1 || i.Errors[0].Code != c.code || i.Device != "eth0" || i.Proto != "static" {
			t.Errorf("%s %s: the interface is %+v", c.option, c.val, i)
		}
	}
}

// TestPartialBase: what is right of a recorded configuration with one wrong
// interface.
func TestPartialBase(t *testing.T) {
	cfg, problems := parseFile(t, "testdata/host-base.network")
	var wrong []string
	for _, i := range cfg.Interfaces {
		for _, e := range i.Errors {
			wrong = append(wrong, i.Name+" "+e.Code+" "+strings.Join(e.Data, ","))
		}
	}
	if !slices.Equal(wrong, []string{"badaddr INVALID_ADDRESS 300.1.2.3"}) || !HasErrors(problems) {
		t.Errorf("%q\n%s", wrong, texts(problems))
	}
	if len(cfg.Interfaces) != 8 || cfg.iface("wan").Static.Gateway4.String() != "203.0.113.1" ||
		cfg.iface("wan").Static.Addrs[0].Broadcast.String() != "203.0.113.255" || cfg.iface("loopback").Static.Addrs[0].Broadcast.IsValid() ||
		cfg.iface("down1").Auto || !slices.Equal(cfg.device("br-lan").Ports, []string{"eth0", "eth1"}) || cfg.iface("lanalias").Device != "@lan" {
		t.Errorf("%d interfaces", len(cfg.Interfaces))
	}
	if p := problems[len(problems)-1]; p.String() != "net:55: interface badaddr: option ipaddr '300.1.2.3': not an IPv4 address (allowed: a.b.c.d or a.b.c.d/0..32)" {
		t.Error(p)
	}
}

func TestPartialDevices(t *testing.T) {
	cfg, problems := parseFile(t, "testdata/host-devices.network")
	if !HasErrors(problems) || len(cfg.Devices) != 9 || len(cfg.Interfaces) != 12 || cfg.iface("dis") != nil {
		t.Errorf("%d devices, %d interfaces\n%s", len(cfg.Devices), len(cfg.Interfaces), texts(problems))
	}
	u := cfg.iface("unkproto")
	if u.Proto != "doesnotexist" || u.Device != "eth5" || len(u.Errors) != 1 || u.Errors[0].Code != "INVALID_PROTO" || u.Errors[0].Data != nil || u.Errors[0].Allowed != "none, static" {
		t.Errorf("%+v", u)
	}
	for _, i := range cfg.Interfaces {
		if i != u && len(i.Errors) != 0 {
			t.Errorf("%s: %s", i.Name, texts(i.Errors))
		}
	}
	if d := cfg.device("badmac"); d == nil || d.Parent != "nonexist0" {
		t.Errorf("%+v", d)
	}
	want := "ipv4/conf/accept_local=1"
	if got := showSettings(&cfg.device("eth2").Settings); !strings.HasPrefix(got, "mtu=1300 addr=02:22:22:22:22:22 txqlen=2000 promisc=true multicast=false "+want) {
		t.Error(got)
	}
	br := cfg.device("br0").Attrs
	if br.ForwardDelay != 400 || br.HelloTime != 300 || br.MaxAge != 1500 || br.AgeingTime != 12000 || br.Priority != 4096 || br.STP != 1 {
		t.Errorf("%+v", br)
	}
}

// TestDeviceErrorReachesInterfaces: what is left out shows at who would use it.
func TestDeviceErrorReachesInterfaces(t *testing.T) {
	cfg, problems := parseFile(t, "testdata/uml-l2.network")
	for _, name := range []string{"bond", "bond1", "vrf1"} {
		if e := cfg.iface(name).Errors; len(e) != 1 || e[0].Interface != name || !strings.Contains(e[0].Reason, "is not built yet") {
			t.Errorf("%s: %v", name, e)
		}
	}
	if e := cfg.iface("lan").Errors; len(e) != 0 {
		t.Errorf("lan: %v", e)
	}
	if len(problems) < 4 || cfg.device("br-lan.10").VID != 10 || cfg.device("bond0") != nil {
		t.Error(texts(problems))
	}
	cfg, _ = parseText(t, "config device\n option name v\n option type 8021q\n option vid 9\n option ifname b\nconfig device\n option name b\n option type bonding\nconfig interface i\n option device v.7\n", Options{})
	if e := cfg.iface("i").Errors; len(e) != 1 || e[0].Section != "device b" {
		t.Errorf("through two devices: %v", e)
	}
}

// TestLoadBroken: syntax errors refuse the file; what stands before and behind
// them is there for a first boot.
func TestLoadBroken(t *testing.T) {
	cfg, problems, path := loadText(t, `config interface lan
	option device eth0
	option proto static
	option ipaddr 10.0.0.1/24
config interface guest-wifi
config interface wan
	option device eth1
	optionx foo bar
	option proto static
config interface last
	option device eth2
`)
	if got, want := texts(problems), path+":5: syntax: invalid character in name field\n"+path+":8: syntax: invalid command\n"+
		path+":8: interface wan: the lines behind a syntax error are lost, and may have been of this section\n"; got != want || !HasErrors(problems) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if i := cfg.iface("lan"); len(i.Errors) != 0 || len(i.Static.Addrs) != 1 {
		t.Errorf("lan: %+v", i)
	}
	if i := cfg.iface("wan"); len(i.Errors) != 1 || i.Device != "eth1" || i.Proto != "none" {
		t.Errorf("wan: %+v", i)
	}
	if i := cfg.iface("last"); len(i.Errors) != 0 {
		t.Errorf("last: %+v", i)
	}

	cfg, problems, path = loadText(t, "config interface lan\n\toption proto none\nconfig interface wan\n\toption device 'eth1\n")
	if got := texts(problems); got != path+":4: syntax: EOF with unterminated '\n" || cfg.iface("lan") == nil || len(cfg.iface("lan").Errors) != 0 {
		t.Error(got)
	}

	// Refused by a strict reading only.
	cfg, problems, path = loadText(t, "config interface lan x\n\toption device eth0\n")
	if got := texts(problems); !strings.Contains(got, path+":1: syntax: too many arguments") || cfg.iface("lan") == nil {
		t.Error(got)
	}
	if _, _, err := Load(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "config: read ") {
		t.Errorf("a missing file: %v", err)
	}
}
