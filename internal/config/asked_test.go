package config

import (
	"reflect"
	"strings"
	"testing"
)

const askedBase = twoPlanes + "config pair a\n option dataplane vpp0\n option phy x\n" + ovsText

// FuzzParseAsked: pairs and ports that callers ask for, in any words: one comes
// out or an error, what comes out goes with the configuration, and that is not
// changed.
func FuzzParseAsked(f *testing.F) {
	f.Add("p", "dataplane", "vpp0", "phy", "eth0", "host", "h.5")
	f.Add("", "dataplane", "netns", "phy", "eth0", "host", "h")
	f.Add("a", "phy", "x", "netns", "fwd", "tun", "1")
	f.Add("eth9", "bridge", "ovs0", "tag", "7", "trunks", "1-4094 5")
	f.Add("vx", "bridge", "ovs0", "port_type", "vxlan", "options", "remote_ip=1.2.3.4 key=flow")
	f.Add("eth4", "bridge", "ovs1", "ports", "a b", "mtu", "1400")
	f.Add("ovs0", "bridge", "ovs0", "name", "x", "type", "bridge")
	before, problems := parseText(f, askedBase, Options{})
	if len(problems) > 0 {
		f.Fatal(texts(problems))
	}
	f.Fuzz(func(t *testing.T, name, o1, v1, o2, v2, o3, v3 string) {
		base, _ := parseText(t, askedBase, Options{})
		options := []Option{opt(o1, v1), opt(o2, strings.Split(v2, " ")...), opt(o3, strings.Split(v3, " ")...)}
		pr, problems := ParsePair(name, options, base, "ubus", Options{})
		if (pr == nil) != HasErrors(problems) {
			t.Errorf("pair %+v, problems %+v", pr, problems)
		}
		if pr != nil {
			if got := base.WithPairs([]*Pair{pr}); len(got.Pairs) != len(base.Pairs)+1 {
				t.Errorf("%+v was taken and does not go with the configuration", pr)
			}
		}
		bridge, port, problems := ParsePort(name, options, base, "ubus")
		if (port == nil) != HasErrors(problems) || port != nil && (port.Name != name || base.device(bridge) == nil) {
			t.Errorf("port %+v of %q, problems %+v", port, bridge, problems)
		}
		if !reflect.DeepEqual(base, before) {
			t.Error("the configuration in force has changed")
		}
	})
}
