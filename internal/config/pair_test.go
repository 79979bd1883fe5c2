package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoPlanes = `config dataplane vpp0
	option type vpp
	list skip_proto static
	list skip_proto 9
	list skip_proto 9
	list punt isis
	list punt LLDP
	list punt 0x88cc
	list netns_table 'blue 10'
	list netns_table 7
	list netns_table '/run/netns/red 0'
	option window 64
config dataplane
	option type netns
	option netns fwd
`

func TestPairs(t *testing.T) {
	cfg, problems := parseText(t, `config pair before
	option phy GigabitEthernet3/0/0
	option dataplane vpp0
`+twoPlanes+`config pair host1
	option dataplane vpp0
	option phy tun0
	option tun 1
	option sync 0
	option queues 4
	option netns /var/run/netns/blue
	option mpls 0
config pair
	option dataplane netns
	option phy eth1
	option host host2
	option auto_subif 1
	option mpls yes
config pair off
	option dataplane netns
	option phy eth1
	option enabled 0
`, Options{})
	if got := texts(problems); strings.TrimSpace(got) != "net:24: warning: pair host1: option queues '4': dataplane vpp0 chooses itself how many queues a companion has: ignored" {
		t.Fatal(got)
	}
	planes := []*Dataplane{
		{Name: "vpp0", Pos: Pos{"net", 4}, Type: VPP, Socket: "/run/vpp/api.sock", SkipProtos: []uint8{4, 9}, Punt: []uint16{0x83, 0x88cc}, Tables: []NetNSTable{{"", 7}, {"/run/netns/blue", 10}}, Window: 64},
		{Name: "netns", Pos: Pos{"net", 16}, Type: NetNS, NetNS: "/run/netns/fwd", Window: 1024},
	}
	if d := cmp.Diff(planes, cfg.Dataplanes); d != "" {
		t.Error(d)
	}
	pairs := []*Pair{
		{Name: "before", Pos: Pos{"net", 1}, Dataplane: "vpp0", Phy: "GigabitEthernet3/0/0", Host: "before", Sync: true, Queues: 1},
		{Name: "host1", Pos: Pos{"net", 19}, Dataplane: "vpp0", Phy: "tun0", Host: "host1", NetNS: "/run/netns/blue", TUN: true, Queues: 4, NoMPLS: true},
		{Name: "host2", Pos: Pos{"net", 27}, Dataplane: "netns", Phy: "eth1", Host: "host2", Sync: true, AutoSubif: true, Queues: 1, MPLS: true},
	}
	if d := cmp.Diff(pairs, cfg.Pairs); d != "" {
		t.Error(d)
	}
	for netns, want := range map[string]uint32{"": 7, "/run/netns/blue": 10, "/run/netns/red": 0} {
		if got := cfg.Dataplanes[0].FIB(netns); got != want {
			t.Errorf("FIB of %q: %d, want %d", netns, got, want)
		}
	}
}

// TestPairProblems has every contradiction of dataplanes and pairs: the text,
// what is said, and which of them are left.
func TestPairProblems(t *testing.T) {
	const (
		vpp   = "config dataplane v\n option type vpp\n"
		ns    = "config dataplane n\n option type netns\n option netns fwd\n"
		pairA = "config pair a\n option phy eth0\n"
		pairB = "config pair b\n option phy eth1\n"
	)
	for _, c := range []struct{ name, text, want, left string }{
		{"alone", vpp + pairA, "", "v a"},
		{"no type", "config dataplane d\n", "net:1: dataplane d: a dataplane needs option type (allowed: vpp, netns)", ""},
		{"unknown type", "config dataplane d\n option type dpdk\n", "net:2: dataplane d: option type 'dpdk': not one of the words allowed (allowed: vpp, netns)", ""},
		{"socket with netns", ns + " option socket /x\n", "net:4: dataplane n: option socket '/x': not an option of a dataplane of type netns (allowed: " + allowPerType + ")", ""},
		{"netns with vpp", vpp + " option netns x\n", "net:3: dataplane v: option netns 'x': not an option of a dataplane of type vpp (allowed: " + allowPerType + ")", ""},
		{"netns missing", "config dataplane d\n option type netns\n", "net:1: dataplane d: a dataplane of type netns needs option netns (allowed: " + allowNetNS + ")", ""},
		{"netns wrong", "config dataplane d\n option type netns\n option netns ../x\n" + pairA, "net:3: dataplane d: option netns '../x': not a network namespace (allowed: " + allowNetNS + ")", ""},
		{"relative socket", vpp + " option socket api.sock\n", "net:3: dataplane v: option socket 'api.sock': not the path of a socket (allowed: " + allowSocket + ")", ""},
		{"long socket", vpp + " option socket /" + strings.Repeat("x", 107) + "\n", "net:3: dataplane v: option socket '/" + strings.Repeat("x", 107) + "': not the path of a socket (allowed: " + allowSocket + ")", ""},
		{"window", vpp + " option window 63\n", "net:3: dataplane v: option window '63': out of range (allowed: 64..65536)", ""},
		{"protocol", vpp + " option skip_proto 'static ospf 256'\n",
			"net:3: dataplane v: option skip_proto 'ospf': not a protocol of routes (allowed: " + allowProto + ")\n" +
				"net:3: dataplane v: option skip_proto '256': not a protocol of routes (allowed: " + allowProto + ")", ""},
		{"frames", vpp + " option punt 'lldp stp 0x5ff 65536'\n",
			"net:3: dataplane v: option punt 'stp': not a type of frames (allowed: " + allowPunt + ")\n" +
				"net:3: dataplane v: option punt '0x5ff': not a type of frames (allowed: " + allowPunt + ")\n" +
				"net:3: dataplane v: option punt '65536': not a type of frames (allowed: " + allowPunt + ")", ""},
		{"frames of a namespace", ns + " option punt lldp\n", "net:4: dataplane n: option punt 'lldp': not an option of a dataplane of type netns (allowed: " + allowPerType + ")", ""},
		{"FIBs", vpp + " list netns_table 'a b'\n list netns_table 'a 1'\n list netns_table 'a 2'\n list netns_table 'a 1 2'\n list netns_table 4294967295\n",
			"net:3: dataplane v: option netns_table 'a b': not a FIB of a namespace (allowed: " + allowFIB + ")\n" +
				"net:5: dataplane v: option netns_table 'a 2': this namespace has a FIB already (allowed: one FIB for each namespace)\n" +
				"net:6: dataplane v: option netns_table 'a 1 2': not a FIB of a namespace (allowed: " + allowFIB + ")\n" +
				"net:7: dataplane v: option netns_table '4294967295': not a FIB of a namespace (allowed: " + allowFIB + ")", ""},
		{"two of one socket", vpp + "config dataplane w\n option type vpp\n option socket /run/vpp//api.sock\n",
			"net:3: dataplane w: contradicts section dataplane v (net:1): the same dataplane (allowed: one section for each dataplane)", "v"},
		{"two of one namespace", ns + "config dataplane w\n option type netns\n option netns /var/run/netns/fwd\n",
			"net:4: dataplane w: contradicts section dataplane n (net:1): the same dataplane (allowed: one section for each dataplane)", "n"},
		{"two without a name", "config dataplane\n option type vpp\nconfig dataplane\n option type vpp\n option socket /x\n",
			"net:3: dataplane vpp: contradicts section dataplane vpp (net:1) (allowed: a name of its own for each dataplane)", "vpp"},

		{"no phy", vpp + "config pair a\n", "net:3: pair a: a pair needs option phy (allowed: " + allowPhy + ")", "v"},
		{"phy with space", vpp + "config pair a\n option phy 'a b'\n", "net:4: pair a: option phy 'a b': not the name of an interface of the dataplane (allowed: " + allowPhy + ")", "v"},
		{"phy of a namespace", ns + "config pair a\n option phy GigabitEthernet3/0/0\n", "net:5: pair a: option phy 'GigabitEthernet3/0/0': not the name of an interface of the dataplane (allowed: " + allowPhy + ")", "n"},
		{"host", vpp + pairA + " option host a/b\n", "net:5: pair a: option host 'a/b': not a name that a link can have (allowed: " + allowHost + ")", "v"},
		{"name is no host", vpp + "config pair abcdefghijklmnop\n option phy x\n", "net:3: pair abcdefghijklmnop: the companion would be called abcdefghijklmnop, not a name that a link can have (allowed: option host: " + allowHost + ")", "v"},
		{"no name", vpp + "config pair\n option phy x\n", "net:3: pair: a pair without a name needs option host (allowed: " + allowHost + ")", "v"},
		{"queues", vpp + pairA + " option queues 0\n", "net:5: pair a: option queues '0': out of range (allowed: 1..255)", "v"},
		{"no dataplane", pairA, "net:1: pair a: there is no dataplane (allowed: a `config dataplane` section)", ""},
		{"no such dataplane", vpp + pairA + " option dataplane w\n", "net:5: pair a: option dataplane 'w': there is no dataplane w (allowed: v)", "v"},
		{"which dataplane", vpp + ns + pairA, "net:6: pair a: there are several dataplanes: the pair needs option dataplane (allowed: n, v)", "v n"},
		{"dataplane wrong", vpp + " option window x\n" + pairA, "net:3: dataplane v: option window 'x': not a number (allowed: 64..65536)", ""},
		{"dataplane off", vpp + " option enabled 0\n" + pairA + " option dataplane v\n", "net:6: warning: pair a: option dataplane 'v': dataplane v is switched off: the pair is left out", ""},
		{"the only one is off", vpp + " option enabled 0\n" + pairA, "net:4: warning: pair a: dataplane v is switched off: the pair is left out", ""},
		{"phy twice", vpp + pairA + "config pair b\n option phy eth0\n", "net:6: pair b: option phy 'eth0': contradicts section pair a (net:3): it has this interface (allowed: one pair for each interface of a dataplane)", "v a"},
		{"phy in two dataplanes", vpp + ns + pairA + " option dataplane v\nconfig pair b\n option phy eth0\n option dataplane n\n", "", "v n a b"},
		{"host twice", vpp + pairA + pairB + " option host a\n", "net:7: pair b: option host 'a': contradicts section pair a (net:3): its companion has this name (allowed: a name of its own for each companion of a namespace)", "v a"},
		{"host in two namespaces", vpp + pairA + pairB + " option host a\n option netns blue\n", "", "v a b"},
		{"name twice", vpp + pairA + "config pair\n option host a\n option phy eth1\n option netns blue\n", "net:5: pair a: contradicts section pair a (net:3) (allowed: a name of its own for each pair)", "v a"},
		{"host is a bridge", "config device\n option name a\n option type bridge\n" + vpp + pairA, "net:6: pair a: option host 'a': contradicts section device a (net:1): a device of type bridge (allowed: a name that no device has which is made)", "v"},
		{"host is a bridge further down", vpp + pairA + "config device\n option name a\n option type bridge\n", "net:3: pair a: option host 'a': contradicts section device a (net:5): a device of type bridge (allowed: a name that no device has which is made)", "v"},
		{"host is a bridge elsewhere", "config device\n option name a\n option type bridge\n" + vpp + pairA + " option netns x\n", "", "v a"},
		{"host with settings", "config device\n option name a\n option mtu 1400\n" + vpp + pairA, "", "v a"},
		{"host is the end of a veth", "config device\n option name v1\n option type veth\n option peer_name a\n" + vpp + pairA,
			"net:7: pair a: option host 'a': contradicts section device v1 (net:1): the other end of that pair of links (allowed: a name that no device has which is made)", "v"},
		{"in the forwarding namespace", ns + pairA + " option netns fwd\n", "net:6: pair a: option netns 'fwd': dataplane n forwards in this namespace: a companion cannot be there (allowed: another network namespace)", "n"},
		{"in another's forwarding namespace", ns + vpp + pairA + " option dataplane v\n option netns fwd\n", "net:9: pair a: option netns 'fwd': dataplane n forwards in this namespace: a companion cannot be there (allowed: another network namespace)", "n v"},
		{"tun in a namespace", ns + pairA + " option tun 1\n", "net:6: pair a: option tun '1': dataplane n has only companions with an Ethernet header (allowed: tun with a dataplane of type vpp)", "n"},
		{"VLANs on a tun", vpp + pairA + " option tun 1\n option auto_subif 1\n", "net:6: pair a: option auto_subif '1': a companion without Ethernet header has no VLANs (allowed: auto_subif or tun)", "v"},
		{"unknown option", vpp + pairA + " option name x\n", "net:5: warning: pair a: option name 'x': unknown option, ignored", "v a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, problems := parseText(t, c.text, Options{})
			if got := strings.TrimSuffix(texts(problems), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			var left []string
			for _, d := range cfg.Dataplanes {
				left = append(left, d.Name)
			}
			for _, p := range cfg.Pairs {
				left = append(left, p.Name)
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("left are %q, want %q", got, c.left)
			}
		})
	}
}

// TestCompanionIsNoVLAN: the companion of a sub-interface is called like a
// VLAN, and is the dataplane's to make.
func TestCompanionIsNoVLAN(t *testing.T) {
	const text = "config dataplane v\n option type vpp\nconfig pair\n option phy eth0.5\n option host h0.5\n" +
		"config interface a\n option device h0.5\nconfig interface b\n option device h0.6\n"
	for _, more := range []string{"", "config device\n option name h0.5\n option mtu 1400\n"} {
		cfg, problems := parseText(t, text+more, Options{})
		if d := cfg.device("h0.5"); len(problems) > 0 || d != nil && d.Type != Simple || (d != nil) != (more != "") {
			t.Errorf("h0.5 is %+v; %s", d, texts(problems))
		}
		if d := cfg.device("h0.6"); d == nil || d.Type != VLAN {
			t.Errorf("h0.6 is %+v", d)
		}
		single, problems := ParseInterface("c", []Option{{Name: "device", Values: []string{"h0.5"}}}, cfg, "asked", Options{})
		if len(problems) > 0 || len(single.Devices) > 0 {
			t.Errorf("an interface that is added: %+v; %s", single, texts(problems))
		}
	}
}

// TestParsePair: a pair that is added beside the files clashes with what they
// have, and gives way to what they come to have.
func TestParsePair(t *testing.T) {
	base, problems := parseText(t, twoPlanes+"config pair a\n option dataplane vpp0\n option phy x\nconfig device\n option name br\n option type bridge\n"+
		"config device\n option name v\n option type veth\n option peer_name w\nconfig interface i\n option device eth0.5\n", Options{})
	if len(problems) > 0 {
		t.Fatal(texts(problems))
	}
	one := func(kv ...string) (o []Option) {
		for _, s := range kv {
			k, v, _ := strings.Cut(s, "=")
			o = append(o, Option{Name: k, Values: []string{v}})
		}
		return o
	}
	for name, c := range map[string]struct {
		opts []Option
		want string
	}{
		"b":     {one("dataplane=vpp0", "phy=y"), ""},
		"":      {one("dataplane=vpp0", "phy=y", "host=h"), ""},
		"a":     {one("dataplane=vpp0", "phy=y", "host=h"), "contradicts section pair a"},
		"c":     {one("dataplane=vpp0", "phy=x"), "contradicts section pair a"},
		"d":     {one("dataplane=vpp0", "phy=y", "host=a"), "contradicts section pair a"},
		"br":    {one("dataplane=vpp0", "phy=y"), "contradicts section device br"},
		"w":     {one("dataplane=vpp0", "phy=y"), "contradicts section device v"},
		"e":     {one("phy=y"), "there are several dataplanes"},
		"f":     {one("dataplane=z", "phy=y"), "there is no dataplane z"},
		"g":     {one("dataplane=netns", "phy=y", "netns=fwd"), "forwards in this namespace"},
		"h":     {one("dataplane=vpp0", "phy=y", "enabled=0"), "switched off"},
		"i":     {one("dataplane=vpp0", "phy=y", "host=eth0.5"), "a device of type 8021q"},
		"j\x01": {one("dataplane=vpp0", "phy=y", "host=k"), "not a name that a pair can have"},
	} {
		pr, problems := ParsePair(name, c.opts, base, "asked", Options{})
		if got := texts(problems); !strings.Contains(got, c.want) || (pr == nil) != (c.want != "") || HasErrors(problems) != (c.want != "") {
			t.Errorf("%q: %+v, %s; want %q", name, pr, got, c.want)
		}
	}
	if pr, problems := ParsePair("b", one("phy=y"), nil, "asked", Options{}); pr != nil || !strings.Contains(texts(problems), "there is no dataplane") {
		t.Errorf("beside nothing: %v, %s", pr, texts(problems))
	}
	if len(base.Pairs) != 1 {
		t.Fatalf("the configuration was changed: %v", base.Pairs)
	}
}

// TestWithPairs: what was added gives way to the files where it contradicts
// them.
func TestWithPairs(t *testing.T) {
	base, _ := parseText(t, twoPlanes, Options{})
	added := []*Pair{
		{Name: "b", Dataplane: "vpp0", Phy: "y", Host: "b"}, {Name: "c", Dataplane: "netns", Phy: "y", Host: "c"},
		{Name: "d", Dataplane: "netns", Phy: "z/0", Host: "d"}, {Name: "e", Dataplane: "gone", Phy: "y", Host: "e"},
		{Name: "f", Dataplane: "vpp0", Phy: "z", Host: "f", NetNS: "/run/netns/fwd"}, {Name: "g", Dataplane: "vpp0", Phy: "y", Host: "g"},
	}
	names := func(c *Config) (out []string) {
		for _, p := range c.Pairs {
			out = append(out, p.Name)
		}
		return out
	}
	if got := names(base.WithPairs(added)); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("pairs %v, want b and c", got)
	}
	for text, want := range map[string][]string{
		"config pair q\n option dataplane vpp0\n option phy y\n":                  {"q", "c"},
		"config pair b\n option dataplane vpp0\n option phy q\n":                  {"b", "c", "g"},
		"config device\n option name b\n option type bridge\n":                    {"c", "g"},
		"config device\n option name x\n option type veth\n option peer_name c\n": {"b"},
	} {
		next, problems := parseText(t, twoPlanes+text, Options{})
		if got := names(next.WithPairs(added)); len(problems) > 0 || !slices.Equal(got, want) {
			t.Errorf("%q: pairs %v, want %v; %s", text, got, want, texts(problems))
		}
	}
	if len(base.Pairs) > 0 {
		t.Error("the configuration was changed")
	}
}

// TestDiffPairs: what a companion is made with makes it anew.
func TestDiffPairs(t *testing.T) {
	const tail = "config pair a\n\toption dataplane vpp0\n\toption phy x\n"
	base, _ := parseText(t, twoPlanes+tail, Options{})
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{"config pair", "\n# moved\nconfig pair", ""},
		{"option phy x", "option phy y", "a recreate"},
		{"option phy x", "option phy x\n option host h", "a recreate"},
		{"option phy x", "option phy x\n option netns n", "a recreate"},
		{"option phy x", "option phy x\n option sync 0", "a live"},
		{"option phy x", "option phy x\n option auto_subif 1", "a live"},
		{"option phy x", "option phy x\n option mpls 0", "a live"},
		{"option phy x", "option phy x\n option mpls 1", "a live"},
		{"config pair a", "config pair b", "a remove b add"},
		{"option window 64", "option window 65", "vpp0 recreate"},
		{"'blue 10'", "'blue 11'", "vpp0 live"},
		{"skip_proto static", "skip_proto boot", "vpp0 live"},
		{"punt isis", "punt lacp", "vpp0 recreate"},
		{"netns fwd", "netns fwd2", "netns recreate"},
	} {
		next, problems := parseText(t, strings.Replace(twoPlanes+tail, c.old, c.new, 1), Options{})
		d := Diff(base, next)
		var got []string
		for _, m := range []map[string]Verdict{d.Dataplanes, d.Pairs} {
			for _, n := range []string{"vpp0", "netns", "a", "b"} {
				if m[n] != Keep {
					got = append(got, n+" "+m[n].String())
				}
			}
		}
		if s := strings.Join(got, " "); s != c.want || d.None() != (c.want == "") || len(problems) > 0 {
			t.Errorf("%q to %q: %q, want %q; %s", c.old, c.new, s, c.want, texts(problems))
		}
	}
}
