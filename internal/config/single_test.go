package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func opt(name string, values ...string) Option {
	return Option{Name: name, Values: values, List: len(values) > 1}
}

var aliases = Options{Aliases: map[string]bool{"dyn": true}}

const singleBase = `
config device
	option name 'br-dup'
	option type 'bridge'
	list ports 'eth1'
config interface 'lan'
	option device 'br-dup'
	option proto 'static'
	option ipaddr '10.0.0.1/24'
config interface 'loop'
	option device '@dyn'
	option proto 'none'
`

func TestParseInterface(t *testing.T) {
	for _, c := range []struct {
		what, name string
		options    []Option
		want       string // of the first error; "" for none
		device     string // the first device that comes with it
	}{
		{"static on an alias", "dyn", []Option{opt("proto", "static"), opt("device", "@lan"), opt("ipaddr", "10.1.0.1/24")}, "", ""},
		{"an implied VLAN", "dyn", []Option{opt("device", "eth7.5")}, "", "eth7.5"},
		{"a name that is taken", "lan", []Option{opt("proto", "none")}, "contradicts section interface lan", ""},
		{"an alias of nothing yet", "dyn", []Option{opt("device", "@later")}, "", ""},
		{"a bad address", "dyn", []Option{opt("proto", "static"), opt("device", "@lan"), opt("ipaddr", "300.1.1.1")}, "not an IPv4 address", ""},
		{"an unknown protocol", "dyn", []Option{opt("proto", "nosuch")}, "unknown protocol", ""},
		{"switched off", "dyn", []Option{opt("disabled", "1")}, "switched off", ""},
		{"an alias of itself through the file", "dyn", []Option{opt("device", "@loop")}, "an alias of itself", ""},
		{"no name", "", nil, "not a name", ""},
		{"a name with a space", "a b", nil, "not a name", ""},
		{"a long name", strings.Repeat("x", 65), nil, "not a name", ""},
		{"a bridge of the old form that is there", "dup", []Option{opt("type", "bridge")}, "contradicts section", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			base, problems := parseText(t, singleBase, aliases)
			before, _ := parseText(t, singleBase, aliases)
			if HasErrors(problems) {
				t.Fatal(problems)
			}
			s, problems := ParseInterface(c.name, c.options, base, "ubus", Options{})
			got := ""
			for _, p := range problems {
				if p.Severity == Error && got == "" {
					got = p.Reason
				}
			}
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("error %q, want %q", got, c.want)
			}
			if !reflect.DeepEqual(base, before) {
				t.Error("the configuration in force has changed")
			}
			if c.want != "" {
				return
			}
			if s.Interface == nil || s.Interface.Name != c.name {
				t.Fatalf("no interface: %+v", s)
			}
			both := base.With([]*Single{s, s})
			if !slices.Contains(both.Interfaces, s.Interface) || len(both.Interfaces) != len(base.Interfaces)+1 {
				t.Errorf("%d interfaces", len(both.Interfaces))
			}
			if c.device != "" && !slices.ContainsFunc(both.Devices, func(d *Device) bool { return d.Name == c.device && d.Type == VLAN }) {
				t.Errorf("no device %s", c.device)
			}
			if !reflect.DeepEqual(base, before) {
				t.Error("With changes the configuration")
			}
		})
	}
}

// FuzzParseInterface: whatever options somebody sends, there is an interface or
// an error, and the configuration in force stays as it is.
func FuzzParseInterface(f *testing.F) {
	f.Add("dyn", "proto", "static", "device", "@lan")
	f.Add("dyn", "type", "bridge", "ifname", "eth0.5 eth1")
	f.Add("loop", "device", "@loop", "auth", "1")
	f.Add("d", "device", "br0.4095", "jail", "x")
	f.Fuzz(func(t *testing.T, name, o1, v1, o2, v2 string) {
		base, _ := parseText(t, singleBase, Options{})
		before, _ := parseText(t, singleBase, Options{})
		s, problems := ParseInterface(name, []Option{opt(o1, v1), opt(o2, strings.Split(v2, " ")...)}, base, "ubus", Options{})
		if !HasErrors(problems) && (s.Interface == nil || s.Interface.Name != name) {
			t.Errorf("neither an interface nor an error: %+v", problems)
		}
		if !reflect.DeepEqual(base, before) {
			t.Error("the configuration in force has changed")
		}
	})
}
