package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netbraid/internal/model"
)

const ovsText = `config device
	option name ovs0
	option type openvswitch
	list ports eth0
	list ports eth1:10
	list ports 'eth2:30t,20t,20-22t'
	list ports eth3.7:1,2t
	list ports eth4
	option ageing_time 60
config device
	option name eth4
	option type vport
	option bridge ovs0
	option number 7
	option tag 5
	option vlan_mode native-tagged
	option mtu 1400
config device
	option name vi
	option type vport
	option bridge ovs0
	option port_type internal
	list trunks 9
	list trunks 4-5
config device
	option name vx
	option type vport
	option bridge ovs0
	option port_type vxlan
	list options 'remote_ip=192.0.2.1'
	list options 'key=flow'
	option tag 3
	option trunks '4'
config device
	option name bond0
	option type vport
	option bridge ovs0
	list ports eth6
	list ports eth5
	option bond_mode balance-tcp
	option lacp active
config device
	option name off
	option type vport
	option bridge ovs0
	option enabled 0
config device
	option name ovs1
	option type openvswitch
	option backend ovsdb
	option datapath_type netdev
	option fail_mode secure
	option rstp 1
	list controller tcp:192.0.2.1:6653
	list controller punix:/run/c
config device
	option name ovs2
	option type openvswitch
	option enabled 0
`

func TestSwitches(t *testing.T) {
	cfg, problems := parseText(t, ovsText, Options{})
	if len(problems) > 0 {
		t.Fatal(texts(problems))
	}
	want := []model.Switch{
		{Name: "ovs0", Ageing: 60, Ports: []model.SwitchPort{
			{Name: "bond0", Members: []string{"eth5", "eth6"}, BondMode: "balance-tcp", LACP: "active"},
			{Name: "eth0"},
			{Name: "eth1", Tag: 10},
			{Name: "eth2", Trunks: []uint16{20, 21, 22, 30}},
			{Name: "eth3.7", Tag: 1, Trunks: []uint16{2}, VLANMode: "native-untagged"},
			{Name: "eth4", Number: 7, Tag: 5, VLANMode: "native-tagged"},
			{Name: "vi", Type: "internal", Trunks: []uint16{4, 5, 9}},
			{Name: "vx", Type: "vxlan", Options: []model.KeyValue{{Key: "key", Value: "flow"}, {Key: "remote_ip", Value: "192.0.2.1"}}, Tag: 3, Trunks: []uint16{4}, VLANMode: "native-untagged"},
		}},
		{Name: "ovs1", Backend: "ovsdb", DatapathType: "netdev", FailMode: "secure", RSTP: true, Controllers: []string{"punix:/run/c", "tcp:192.0.2.1:6653"}},
	}
	if d := cmp.Diff(want, cfg.Switches()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"eth0", "eth1", "eth2", "eth3.7", "eth4", "eth5", "eth6"}, cfg.device("ovs0").Ports); d != "" {
		t.Error(d)
	}
	if d := cfg.device("eth3.7"); d == nil || d.Type != VLAN || d.Parent != "eth3" {
		t.Errorf("the VLAN that a port is: %+v", d)
	}
	if d := cfg.device("eth4"); d.Type != VPort || d.Bridge != "ovs0" || showSettings(&d.Settings) != "mtu=1400" {
		t.Errorf("eth4: %+v", d)
	}
}

// TestSwitchProblems: what can be wrong with an Open vSwitch bridge and its
// ports, what is said, and what is left.
func TestSwitchProblems(t *testing.T) {
	dev := func(name, typ, rest string) string {
		return "config device\n option name " + name + "\n option type " + typ + "\n" + rest
	}
	ovs := func(name, rest string) string { return dev(name, "openvswitch", rest) }
	port := func(name, rest string) string { return dev(name, "vport", " option bridge b\n"+rest) }
	for _, c := range []struct{ name, text, want, left string }{
		{"empty", ovs("b", ""), "", "b[]"},
		{"ports", ovs("b", " option ports 'x y:1'\n"), "", "b[x y]"},
		{"VLANs", ovs("b", " list ports x:\n list ports y:0\n list ports z:4095t\n list ports u:1,2\n list ports v:1-2\n list ports w:5-4t\n list ports ok:7u\n list ports yes:4094t\n"),
			"net:4: device b: option ports 'x:': not VLANs of a port (allowed: " + allowPorts + ")\n" +
				"net:5: device b: option ports 'y:0': not VLANs of a port (allowed: " + allowPorts + ")\n" +
				"net:6: device b: option ports 'z:4095t': not VLANs of a port (allowed: " + allowPorts + ")\n" +
				"net:7: device b: option ports 'u:1,2': a port has one VLAN for untagged frames (allowed: " + allowPorts + ")\n" +
				"net:8: device b: option ports 'v:1-2': not VLANs of a port (allowed: " + allowPorts + ")\n" +
				"net:9: device b: option ports 'w:5-4t': not VLANs of a port (allowed: " + allowPorts + ")\n" +
				"net:10: device b: option ports 'ok:7u': not VLANs of a port (allowed: " + allowPorts + ")", "b[yes]"},
		{"port twice", ovs("b", " list ports x:1\n list ports x:2\n"), "net:4: warning: device b: option ports 'x:1 x:2': port x stands there twice", "b[x]"},
		{"itself", ovs("b", " list ports b\n"), "net:4: device b: option ports 'b': a bridge cannot be a port of itself (allowed: other devices)", "b[]"},
		{"in two bridges", ovs("b", " list ports x:1\n") + dev("c", "bridge", " list ports x\n"),
			"net:8: device c: option ports 'x': contradicts section device b (net:1): a port of that bridge (allowed: each port in one bridge)", "b[x]"},
		{"the later one is Open vSwitch's", dev("c", "bridge", " list ports x\n") + ovs("b", " list ports x:1\n list ports y\n"),
			"net:8: device b: option ports 'x': contradicts section device c (net:1): a port of that bridge (allowed: each port in one bridge)", "b[y]"},
		{"the later one has a section", dev("c", "bridge", " list ports x\n") + ovs("b", "") + port("x", ""),
			"net:11: device x: option bridge 'b': contradicts section device c (net:1): a port of that bridge (allowed: each port in one bridge)", "b[]"},
		{"another in it", ovs("b", " list ports c\n") + ovs("c", ""), "net:4: device b: option ports 'c': a link of Open vSwitch cannot be a port of it: contradicts section device c (net:5) (allowed: other devices)", "b[] c[]"},
		{"an internal port of another", ovs("b", "") + port("i", " option port_type internal\n") + ovs("c", " list ports i\n"),
			"net:12: device c: option ports 'i': a link of Open vSwitch cannot be a port of it: contradicts section device i (net:4) (allowed: other devices)", "b[i] c[]"},
		{"one on itself", ovs("b", " list ports i.5\n") + port("i", " option port_type internal\n"),
			"net:4: device b: option ports 'i.5': device b is below itself: contradicts section device b (net:1) (allowed: devices that do not need each other)\n" +
				"net:4: device b: option ports 'i.5': device i.5 is below itself: contradicts section device i (net:5) (allowed: devices that do not need each other)\n" +
				"net:8: device i: option bridge 'b': device i is below itself: contradicts section device b (net:1) (allowed: devices that do not need each other)", ""},
		{"two spanning trees", ovs("b", " option stp 1\n option rstp 1\n"), "net:5: device b: option rstp '1': a bridge has one spanning tree: contradicts option stp (allowed: stp or rstp)", "b[]"},
		{"not in the kernel", ovs("b", " option backend kernel\n option datapath_type netdev\n option fail_mode secure\n option controller tcp:1\n option stp 1\n option rstp 0\n"),
			"net:5: device b: option datapath_type 'netdev': backend kernel does not have it (allowed: backend ovsdb)\n" +
				"net:6: device b: option fail_mode 'secure': backend kernel does not have it (allowed: backend ovsdb)\n" +
				"net:7: device b: option controller 'tcp:1': backend kernel does not have it (allowed: backend ovsdb)\n" +
				"net:8: device b: option stp '1': backend kernel does not have it (allowed: backend ovsdb)", "b[]"},
		{"controllers", ovs("b", " list controller 192.0.2.1\n list controller tcp:\n list controller 'ssl:a b'\n"),
			"net:4: device b: option controller '192.0.2.1': not the address of a controller (allowed: " + allowController + ")\n" +
				"net:5: device b: option controller 'tcp:': not the address of a controller (allowed: " + allowController + ")\n" +
				"net:6: device b: option controller 'ssl:a b': not the address of a controller (allowed: " + allowController + ")", "b[]"},
		{"ageing", ovs("b", " option ageing_time 14\n"), "net:4: device b: option ageing_time '14': out of range (allowed: 15..3600)", "b[]"},

		{"no bridge", dev("x", "vport", ""), "net:1: device x: a device of type vport needs option bridge (allowed: " + allowBridge + ")", ""},
		{"no such bridge", port("x", ""), "net:4: device x: option bridge 'b': there is no device b of type openvswitch (allowed: " + allowBridge + ")", ""},
		{"a bridge of Linux", dev("b", "bridge", "") + port("x", ""), "net:7: device x: option bridge 'b': there is no device b of type openvswitch (allowed: " + allowBridge + ")", ""},
		{"a wrong bridge", dev("b", "bonding", "") + port("x", ""), "net:3: device b: option type 'bonding': device type 'bonding' is not built yet (allowed: " + allowTypes + ")", ""},
		{"port type", ovs("b", "") + port("x", " option port_type 'A'\n"), "net:8: device x: option port_type 'A': not a type of port (allowed: " + allowPortType + ")", "b[x]"},
		{"dropped type", ovs("b", "") + port("x", " option port_type gre64\n"), "net:8: device x: option port_type 'gre64': Open vSwitch has dropped this type (allowed: " + allowPortType + ")", "b[x]"},
		{"number", ovs("b", "") + port("x", " option number 65280\n"), "net:8: device x: option number '65280': out of range (allowed: 1..65279)", "b[x]"},
		{"number twice", ovs("b", "") + port("x", " option number 5\n") + port("y", " option number 5\n"),
			"net:13: device y: option number '5': contradicts section device x (net:4): it has this number (allowed: a number of its own for each port of a bridge)", "b[x]"},
		{"trunks", ovs("b", "") + port("x", " list trunks 5\n list trunks 0-5\n list trunks x\n"),
			"net:9: device x: option trunks '0-5': not a VLAN or a range of them (allowed: " + allowTrunks + ")\n" +
				"net:10: device x: option trunks 'x': not a VLAN or a range of them (allowed: " + allowTrunks + ")", "b[x]"},
		{"access without tag", ovs("b", "") + port("x", " option vlan_mode access\n"), "net:8: device x: option vlan_mode 'access': needs option tag (allowed: tag 1..4094, or vlan_mode trunk)", "b[]"},
		{"trunk with tag", ovs("b", "") + port("x", " option tag 5\n option vlan_mode trunk\n"), "net:9: device x: option vlan_mode 'trunk': contradicts option tag (allowed: vlan_mode native-untagged or native-tagged)", "b[]"},
		{"access with trunks", ovs("b", "") + port("x", " option tag 5\n option trunks 6\n option vlan_mode access\n"), "net:10: device x: option vlan_mode 'access': contradicts option trunks (allowed: vlan_mode native-untagged or native-tagged)", "b[]"},
		{"VLANs in two places", ovs("b", " list ports x:5\n") + port("x", " option tag 5\n"), "net:8: device x: option bridge 'b': contradicts section device b (net:1): the port's VLANs stand there as well (allowed: VLANs in one place)", "b[]"},
		{"options", ovs("b", "") + port("x", " option port_type gre\n list options remote_ip=192.0.2.1\n list options remote_ip=192.0.2.2\n list options key\n list options local_ip=x\n list options dst_port=65536\n"),
			"net:10: device x: option options 'remote_ip=192.0.2.2': not an option of a port (allowed: " + allowKeyValue + ")\n" +
				"net:11: device x: option options 'key': not an option of a port (allowed: " + allowKeyValue + ")\n" +
				"net:12: device x: option options 'local_ip=x': not an address of a tunnel (allowed: an IPv4 or IPv6 address, or flow)\n" +
				"net:13: device x: option options 'dst_port=65536': not a port of UDP (allowed: 1..65535)", "b[x]"},
		{"tunnel to nowhere", ovs("b", "") + port("x", " option port_type geneve\n"), "net:4: device x: a port of type geneve needs its other end (allowed: list options 'remote_ip=ADDRESS')", "b[]"},
		{"tunnel of the kernel", ovs("b", " option backend kernel\n") + port("x", " option port_type geneve\n list options remote_ip=192.0.2.1\n list options key=7\n"), "", "b[x]"},
		{"tunnel of the kernel to nowhere", ovs("b", " option backend kernel\n") + port("x", " option port_type geneve\n"), "net:5: device x: a port of type geneve needs its other end (allowed: list options 'remote_ip=ADDRESS')", "b[]"},
		{"numbered tunnel of the kernel", ovs("b", " option backend kernel\n") + port("x", " option port_type gre\n list options remote_ip=192.0.2.1\n option number 5\n"),
			"net:11: device x: option number '5': bridge b has backend kernel, where tunnels have no number of their own (allowed: backend ovsdb, or no number)", "b[]"},
		{"tunnel by flow in the kernel", ovs("b", " option backend kernel\n") + port("x", " option port_type gre\n list options remote_ip=flow\n"),
			"net:10: device x: option options 'remote_ip=flow': bridge b has backend kernel, which has no remote_ip=flow (allowed: backend ovsdb, or remote_ip, local_ip, key, dst_port, ttl, tos, csum, df_default, without flow)", "b[]"},
		{"tunnel by flow", ovs("b", " option backend ovsdb\n") + port("x", " option port_type gre\n list options remote_ip=flow\n"), "", "b[x]"},
		{"patch to nowhere", ovs("b", "") + port("x", " option port_type patch\n"), "net:4: device x: a port of type patch needs its other end (allowed: list options 'peer=PORT')", "b[]"},
		{"patch in the kernel", ovs("b", " option backend kernel\n") + port("x", " option port_type patch\n option options peer=y\n"),
			"net:8: device x: option bridge 'b': bridge b has backend kernel, which has no such ports (allowed: backend ovsdb, or port_type netdev, internal, gre, vxlan, geneve)", "b[]"},
		{"bond in the kernel", ovs("b", " option backend kernel\n") + port("x", " option ports 'y z'\n"),
			"net:8: device x: option bridge 'b': bridge b has backend kernel, which has no such ports (allowed: backend ovsdb, or port_type netdev, internal, gre, vxlan, geneve)", "b[]"},
		{"bond of one", ovs("b", "") + port("x", " list ports y\n list ports y\n"),
			"net:8: warning: device x: option ports 'y y': port y stands there twice\nnet:8: device x: option ports 'y y': too few devices for a bond (allowed: " + allowMembers + ")", "b[]"},
		{"bond with a type", ovs("b", "") + port("x", " list ports y\n list ports z\n option port_type internal\n"), "net:10: device x: option port_type 'internal': contradicts option ports: a bond is of devices that exist (allowed: ports or port_type)", "b[]"},
		{"bond of itself", ovs("b", "") + port("x", " list ports x\n list ports y\n list ports z\n"), "net:8: device x: option ports 'x': a bond cannot be a device of itself (allowed: " + allowMembers + ")", "b[x]"},
		{"bond of a port", ovs("b", " list ports y\n") + port("x", " list ports y\n list ports z\n"), "net:9: device x: option ports 'y z': device y is in this bridge already (allowed: other devices)", "b[y]"},
		{"bond shared with another bridge", dev("c", "bridge", " list ports y\n") + ovs("b", " list ports w\n") + port("x", " list ports y\n list ports z\n"),
			"net:13: device x: option ports 'y': contradicts section device c (net:1): a port of that bridge (allowed: each port in one bridge)", "b[w]"},
		{"LACP of one", ovs("b", "") + port("x", " option lacp active\n"), "net:8: warning: device x: option lacp 'active': the port is no bond: ignored (allowed: with option ports)", "b[x]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, problems := parseText(t, c.text, Options{})
			if got := strings.TrimSuffix(texts(problems), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			var left []string
			for _, s := range cfg.Switches() {
				var ports []string
				for _, p := range s.Ports {
					ports = append(ports, p.Name)
				}
				left = append(left, s.Name+"["+strings.Join(ports, " ")+"]")
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("left are %q, want %q", got, c.left)
			}
			checkSwitches(t, cfg)
		})
	}
}

// TestSwitchErrorReachesInterfaces: an interface says what is wrong with the
// bridge that would make its device.
func TestSwitchErrorReachesInterfaces(t *testing.T) {
	cfg, _ := parseText(t, "config device\n option name i\n option type vport\n option bridge b\n option port_type internal\nconfig interface a\n option device i\n", Options{})
	if e := cfg.iface("a").Errors; len(e) != 1 || !strings.Contains(e[0].Reason, "there is no device b") {
		t.Errorf("errors %v", e)
	}
}

// TestDiffSwitches: a bridge that changes its ports goes on.
func TestDiffSwitches(t *testing.T) {
	base, _ := parseText(t, ovsText, Options{})
	for _, c := range []struct {
		old, new string
		want     map[string]Verdict
	}{
		{"eth1:10", "eth1:11", map[string]Verdict{"ovs0": Live}},
		{"list trunks 9", "list trunks 10", map[string]Verdict{"ovs0": Live, "vi": Live}},
		{"fail_mode secure", "fail_mode standalone", map[string]Verdict{"ovs1": Live}},
		{"option backend ovsdb", "", map[string]Verdict{"ovs1": Live}},
		{"port_type internal", "port_type netdev", map[string]Verdict{"ovs0": Live, "vi": Live}},
		{"", "", nil},
	} {
		next, _ := parseText(t, strings.Replace(ovsText, c.old, c.new, 1), Options{})
		got := map[string]Verdict{}
		for name, v := range Diff(base, next).Devices {
			if v != Keep {
				got[name] = v
			}
		}
		if len(got) != len(c.want) || len(got) > 0 && cmp.Diff(c.want, got) != "" {
			t.Errorf("%q to %q: %v, want %v", c.old, c.new, got, c.want)
		}
	}
}

// TestParsePort: a port that is added beside the files is checked as a section
// would be, and clashes with what they have.
func TestParsePort(t *testing.T) {
	base, problems := parseText(t, ovsText+"config device\n option name eth8\n option mtu 1400\nconfig device\n option name k\n option type openvswitch\n option backend kernel\nconfig device\n option name br7\n option type bridge\n list ports eth7\n", Options{})
	if len(problems) > 0 {
		t.Fatal(texts(problems))
	}
	for _, c := range []struct{ name, opts, want string }{
		{"eth7", "bridge=ovs0", "contradicts section device br7"},
		{"eth9", "bridge=ovs0", ""},
		{"eth8", "bridge=ovs0 tag=5", ""}, // a section has settings for it
		{"in", "bridge=ovs0 port_type=internal number=8 trunks=10-20", ""},
		{"vx2", "bridge=ovs0 port_type=vxlan options=remote_ip=192.0.2.7", ""},
		{"vx2", "bridge=ovs0 port_type=vxlan", "needs its other end"},
		{"p", "bridge=k port_type=patch options=peer=q", "which has no such ports"},
		{"eth9", "", "needs option bridge"},
		{"eth9", "bridge=ovs9", "there is no device ovs9 of type openvswitch"},
		{"eth9", "bridge=eth8", "there is no device eth8 of type openvswitch"},
		{"eth9", "bridge=ovs0 tag=4095", "out of range (allowed: 1..4094)"},
		{"eth9", "bridge=ovs0 number=7", "contradicts section device ovs0"},
		{"eth9", "bridge=ovs0 mtu=1400", "only what is of the port"},
		{"eth9", "bridge=ovs0 ports=a", "too few devices for a bond"},
		{"a/b", "bridge=ovs0", "not a name that a link can have"},
		{"", "bridge=ovs0", "not a name that a link can have"},
		{"eth0", "bridge=ovs0", "contradicts section device ovs0"},
		{"eth4", "bridge=ovs0", "contradicts section device eth4"},
		{"eth3.7", "bridge=ovs0", "contradicts section device ovs0"},
		{"ovs1", "bridge=ovs0", "contradicts section device ovs1"},
	} {
		var opts []Option
		for _, kv := range strings.Fields(c.opts) {
			k, v, _ := strings.Cut(kv, "=")
			opts = append(opts, Option{Name: k, Values: []string{v}})
		}
		bridge, port, problems := ParsePort(c.name, opts, base, "asked")
		if got := texts(problems); !strings.Contains(got, c.want) || (port == nil) != (c.want != "") || HasErrors(problems) != (c.want != "") {
			t.Errorf("%s %s: %+v, %s; want %q", c.name, c.opts, port, got, c.want)
		} else if port != nil && (port.Name != c.name || bridge != "ovs0") {
			t.Errorf("%s %s: bridge %s, port %+v", c.name, c.opts, bridge, port)
		}
	}
	if _, port, problems := ParsePort("x", nil, nil, "asked"); port != nil || !HasErrors(problems) {
		t.Errorf("beside nothing: %v", port)
	}
	if len(base.device("ovs0").Switch.Ports) != 8 || base.device("eth9") != nil {
		t.Error("the configuration was changed")
	}
}
