package config

import (
	"maps"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

const diffBase = `
config device
	option name br0
	option type bridge
	list ports eth0
config device
	option name v
	option type 8021q
	option ifname eth1
	option vid 5
	list egress_qos_mapping 1:1
config device
	option name m
	option type macvlan
	option ifname eth1
	option mode bridge
config device
	option name p
	option type veth
	option peer_name q
config device
	option name eth3
	option mtu 1400
config interface lan
	option device br0
	option proto static
	option ipaddr 10.0.0.1/24
config interface wan
	option device eth2
	option proto dhcp
	option hostname a
config interface off
	option auto 1
config route
	option interface lan
	option target 10.9.0.0/16
	option gateway 10.0.0.9
`

// TestDiff: one change of the text, and what it does to each object; what is
// not named is kept.
func TestDiff(t *testing.T) {
	opts := Options{Protos: map[string]Proto{"dhcp": {Options: map[string]Type{"hostname": TypeString}}}}
	base, problems := parseText(t, diffBase, opts)
	if len(problems) != 0 {
		t.Fatal(texts(problems))
	}
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{"config device", "\n# comment\n\nconfig device", ""},
		{"list ports eth0", "list ports eth0\n list ports eth9", "br0 live"},
		{"option type bridge", "option type bridge\n option stp 1", "br0 live"},
		{"option type bridge", "option type bridge\n option ageing_time 10", "br0 live"},
		{"option type bridge", "option type bridge\n option bridge_empty 1", "br0 live"},
		{"option mtu 1400", "option mtu 1300", "eth3 live"},
		{"option mtu 1400", "", "eth3 live"},
		{"option mtu 1400", "option mtu 1400\n option ipv6 1", "eth3 live"},
		{"option mtu 1400", "option mtu 1400\n option macaddr 02:00:00:00:00:01", "eth3 live"},
		{"option mtu 1400", "option mtu 1400\n option enabled 0", "eth3 live"},
		{"option mtu 1400", "option mtu 1400\n option rpfilter loose", "eth3 live"},
		{"option vid 5", "option vid 6", "v recreate"},
		{"option type 8021q", "option type 8021ad", "v recreate"},
		{"option ifname eth1\n\toption vid", "option ifname eth2\n option vid", "v recreate"},
		{"mapping 1:1", "mapping 1:2", "v live"},
		{"mapping 1:1", "mapping 2:2", "v recreate"},
		{"option mode bridge", "option mode private", "m live"},
		{"option mode bridge", "option mode passthru", "m recreate"},
		{"option peer_name q", "option peer_name r", "p recreate"},
		{"option peer_name q", "option peer_name q\n option peer_macaddr 02:00:00:00:00:01", "p recreate"},
		{"option name p", "option name z", "p remove z add"},
		{"10.0.0.1/24", "10.0.0.2/24", "lan live"},
		{"10.0.0.1/24", "10.0.0.1/24\n option gateway 10.0.0.3", "lan live"},
		{"10.0.0.1/24", "10.0.0.1/24\n option metric 5", "lan live"},
		{"10.0.0.1/24", "10.0.0.1/24\n list dns 9.9.9.9", "lan live"},
		{"10.0.0.1/24", "10.0.0.1/24\n option ip4table 9", "lan live"},
		{"10.0.0.1/24", "10.0.0.1/24\n option mtu 1400", "lan live"},
		{"10.0.0.1/24", "10.0.0.1/24\n option depends wan", "lan live"},
		{"10.0.0.1/24", "10.0.0.1/24\n option zone lan", "lan restart"},
		{"10.0.0.1/24", "10.0.0.1/99", "lan restart"},
		{"option proto static", "option proto none", "lan restart"},
		{"option device br0", "option device eth0", "lan restart"},
		{"option hostname a", "option hostname b", "wan restart"},
		{"option hostname a", "", "wan restart"},
		{"option hostname a", "option hostname a\n option metric 3", "wan live"},
		{"option auto 1", "option auto 0", "off restart"},
		{"config interface off", "config interface on", "off remove on add"},
		{"option gateway 10.0.0.9", "option gateway 10.0.0.8", "lan live routes:lan"},
		{"option interface lan", "", "lan live routes: routes:lan"},
		{"option target 10.9.0.0/16", "option target 10.9.0.0/16\n option disabled 1", "lan live routes:lan"},
		{"config interface off", "config globals g\n option takeover 1\nconfig interface off", "globals"},
	} {
		if !strings.Contains(diffBase, c.old) {
			t.Fatalf("%q is not in the base", c.old)
		}
		next, _ := parseText(t, strings.Replace(diffBase, c.old, c.new, 1), opts)
		d := Diff(base, next)
		if got := show(d); got != c.want {
			t.Errorf("%q to %q: %q, want %q", c.old, c.new, got, c.want)
		}
		if d.None() != (c.want == "") {
			t.Errorf("%q to %q: None is %v", c.old, c.new, d.None())
		}
	}
	broken, _ := parseText(t, strings.Replace(diffBase, "option auto 1", "option auto perhaps", 1), opts)
	if got := show(Diff(broken, base)); got != "off restart" {
		t.Error("a repaired interface: ", got)
	}
	if got := show(Diff(nil, base)); strings.Count(got, " add") != 8 {
		t.Error("everything is new: ", got)
	}
	if got := show(Diff(base, nil)); strings.Count(got, " remove") != 8 {
		t.Error("everything goes: ", got)
	}
}

// show prints what is not kept, in the order of diffBase.
func show(c Changes) string {
	var out []string
	for _, m := range []map[string]Verdict{c.Devices, c.Interfaces} {
		for _, n := range []string{"br0", "v", "m", "p", "z", "eth3", "lan", "wan", "off", "on"} {
			if v := m[n]; v != Keep {
				out = append(out, n+" "+v.String())
			}
		}
	}
	for _, n := range []string{"", "lan", "wan"} {
		if c.RoutesChanged[n] {
			out = append(out, "routes:"+n)
		}
	}
	if c.Globals {
		out = append(out, "globals")
	}
	return strings.Join(out, " ")
}

// TestDiffSeesEveryField changes each field of a device and of an interface in
// turn: a field that the comparison forgets is kept where it should not be.
func TestDiffSeesEveryField(t *testing.T) {
	skip := map[string]bool{"Name": true, "Pos": true, "Options": true}
	other := map[reflect.Type]any{
		reflect.TypeFor[model.Settings](): model.Settings{Fields: rtnl.LinkMTU}, reflect.TypeFor[rtnl.Bridge](): rtnl.Bridge{HashMax: 1},
		reflect.TypeFor[BridgeOptions](): BridgeOptions{HashMax: 1}, reflect.TypeFor[rtnl.HWAddr](): rtnl.HWAddr{Len: 6},
		reflect.TypeFor[*Static](): &Static{}, reflect.TypeFor[IP6Assign](): IP6Assign{Hint: 1}, reflect.TypeFor[[]netip.Addr](): []netip.Addr{{}}, reflect.TypeFor[[]string](): []string{"a:b"},
		reflect.TypeFor[[]Problem](): []Problem{{}}, reflect.TypeFor[time.Duration](): time.Second, reflect.TypeFor[DeviceType](): Bridge, reflect.TypeFor[*model.Switch](): &model.Switch{}, reflect.TypeFor[*model.SwitchPort](): &model.SwitchPort{},
		reflect.TypeFor[[]uint8](): []uint8{1}, reflect.TypeFor[[]uint16](): []uint16{1}, reflect.TypeFor[[]NetNSTable](): []NetNSTable{{}},
	}
	change := func(v reflect.Value) {
		switch o := other[v.Type()]; {
		case o != nil:
			v.Set(reflect.ValueOf(o))
		case v.Kind() == reflect.Bool:
			v.SetBool(true)
		case v.Kind() == reflect.String:
			v.SetString("x")
		case v.CanUint():
			v.SetUint(1)
		case v.CanInt():
			v.SetInt(1)
		default:
			t.Fatalf("teach this test to change a %s", v.Type())
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Device](), reflect.TypeFor[Interface](), reflect.TypeFor[Dataplane](), reflect.TypeFor[Pair]()} {
		for i := range typ.NumField() {
			if f := typ.Field(i); skip[f.Name] || !f.IsExported() {
				continue
			}
			v := reflect.New(typ)
			v.Elem().FieldByName("Name").SetString("n")
			change(v.Elem().Field(i))
			var d Changes
			switch n := v.Interface().(type) {
			case *Device:
				d = Diff(&Config{Devices: []*Device{{Name: "n"}}}, &Config{Devices: []*Device{n}})
			case *Interface:
				d = Diff(&Config{Interfaces: []*Interface{{Name: "n"}}}, &Config{Interfaces: []*Interface{n}})
			case *Dataplane:
				d = Diff(&Config{Dataplanes: []*Dataplane{{Name: "n"}}}, &Config{Dataplanes: []*Dataplane{n}})
			case *Pair:
				d = Diff(&Config{Pairs: []*Pair{{Name: "n"}}}, &Config{Pairs: []*Pair{n}})
			}
			if d.None() {
				t.Errorf("%s.%s: a change of it is not seen", typ.Name(), typ.Field(i).Name)
			}
		}
	}
}

// allKeep tells that a comparison found every object and no difference.
func allKeep(c *Config) bool {
	d := Diff(c, c)
	names := func(m map[string]Verdict) int { return len(maps.Clone(m)) }
	return d.None() && names(d.Devices) == len(c.Devices) && names(d.Interfaces) == len(c.Interfaces)
}
