package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/uci"
)

// FuzzParse: any text is read without a panic, the same way each time, and
// what comes out keeps its promises.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"host-base", "host-devices", "uml-l2"} {
		text, err := os.ReadFile("testdata/" + name + ".network")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(diffBase)
	f.Add("config device\n option name a\n option type 8021q\n option ifname a.5\n option vid 5\nconfig interface a\n option type bridge\n list ports a.5\n option device @a\n")
	f.Add("config interface a\n list depends b\nconfig interface b\n option device @a\n option depends 'a b c'\n")
	f.Add("config route\n option target default\n option interface x\nconfig interface x\n list ipaddr 1.2.3.4/31\n option proto static\n option ip6prefix ::/1,1,2,class=x,excluded=::/64\n")
	f.Add(twoPlanes + "config pair a\n option dataplane vpp0\n option phy x\nconfig pair\n option host h.5\n option netns n\n option tun 1\n")
	f.Add(ovsText)
	opts := Options{Protos: map[string]Proto{"dhcp": {Options: map[string]Type{"hostname": TypeString, "n": TypeInt, "b": TypeBool, "l": TypeArray}}}}
	f.Fuzz(func(t *testing.T, text string) {
		pkg, err := uci.Parse("network", []byte(text), uci.Options{NonStrict: true})
		if err != nil {
			return
		}
		cfg, problems := Parse(pkg, "net", opts)
		again, problems2 := Parse(pkg, "net", opts)
		if !reflect.DeepEqual(cfg, again) || !reflect.DeepEqual(problems, problems2) {
			t.Fatal("two readings differ")
		}
		if !allKeep(cfg) || !diffless(cfg, again) {
			t.Fatal("equal configurations differ")
		}
		check(t, cfg, problems)
		if len(pkg.Errors) > 0 {
			cfg, problems = parseBroken(pkg, "net", opts, pkg.Errors[0])
			if !HasErrors(problems) {
				t.Fatal("a syntax error is no error")
			}
			check(t, cfg, problems)
		}
	})
}

// diffless tells that two configurations compare as equal.
func diffless(a, b *Config) bool { d := Diff(a, b); return d.None() }

// check holds what every Config promises.
func check(t *testing.T, cfg *Config, problems []Problem) {
	devs, ifaces, ports := map[string]*Device{}, map[string]*Interface{}, map[string]bool{}
	for _, d := range cfg.Devices {
		if devs[d.Name] != nil {
			t.Fatalf("device %q twice", d.Name)
		}
		devs[d.Name] = d
		if d.Type != Simple && !validName(d.Name) {
			t.Fatalf("device %q cannot be made", d.Name)
		}
		if (d.Type == VLAN || d.Type == SVLAN) && (d.Parent == "" || d.VID > 4094) || d.Type == MACVLAN && (d.Parent == "" || d.Mode == 0) {
			t.Fatalf("device %q is not complete: %+v", d.Name, d)
		}
		for _, p := range d.Ports {
			if ports[p] {
				t.Fatalf("port %q in two bridges", p)
			}
			ports[p] = true
		}
	}
	for _, d := range cfg.Devices {
		for n := 0; d != nil; n++ {
			if n > len(cfg.Devices) {
				t.Fatal("devices below each other")
			}
			d = devs[d.Parent]
		}
	}
	checkPairs(t, cfg, devs)
	checkSwitches(t, cfg)
	wrong := false
	for _, i := range cfg.Interfaces {
		if ifaces[i.Name] != nil {
			t.Fatalf("interface %q twice", i.Name)
		}
		ifaces[i.Name] = i
		wrong = wrong || len(i.Errors) > 0
		if (i.Proto == "static") != (i.Static != nil) {
			t.Fatalf("interface %q: %s, %v", i.Name, i.Proto, i.Static)
		}
	}
	if wrong && !HasErrors(problems) {
		t.Fatal("an interface has errors, the file has none")
	}
	for _, r := range cfg.Routes {
		if r.Interface != "" && ifaces[r.Interface] == nil || !r.Target.IsValid() || r.Target != r.Target.Masked() {
			t.Fatalf("route %+v", r)
		}
	}
	for _, p := range problems {
		if p.Reason == "" || p.Pos.File != "net" || p.Severity == Error && p.Code == "" {
			t.Fatalf("problem %+v", p)
		}
	}
}

// checkPairs holds that every pair has its dataplane, its phy and its
// companion for itself.
func checkPairs(t *testing.T, cfg *Config, devs map[string]*Device) {
	planes, fwd, taken := map[string]*Dataplane{}, map[string]bool{}, map[string]bool{}
	for _, d := range cfg.Dataplanes {
		if planes[d.Name] != nil || (d.Type == VPP) != (d.Socket != "") || (d.Type == NetNS) != (d.NetNS != "") || d.Window < 64 {
			t.Fatalf("dataplane %+v", d)
		}
		planes[d.Name], fwd[d.NetNS] = d, d.Type == NetNS
	}
	for _, p := range cfg.Pairs {
		phy, host := "phy "+p.Dataplane+" "+p.Phy, "host "+p.NetNS+" "+p.Host
		if planes[p.Dataplane] == nil || taken[phy] || taken[host] || taken["name "+p.Name] || !validName(p.Host) || !validPhy(p.Phy) || p.Queues == 0 ||
			fwd[p.NetNS] || p.NetNS == "" && devs[p.Host] != nil && !devs[p.Host].Exists() {
			t.Fatalf("pair %+v", p)
		}
		taken[phy], taken[host], taken["name "+p.Name] = true, true, true
	}
	if got := cfg.WithPairs(nil); len(got.Pairs) != len(cfg.Pairs) {
		t.Fatal("nothing added changes the pairs")
	}
}

// checkSwitches holds that every port of an Open vSwitch bridge is whole, and
// that the bridge has the devices of its ports below it, and no other.
func checkSwitches(t *testing.T, cfg *Config) {
	for _, d := range cfg.Devices {
		if (d.Type == OpenVSwitch) != (d.Switch != nil) || (d.Type == VPort) != (d.VPort != nil) {
			t.Fatalf("device %+v", d)
		}
	}
	for _, s := range cfg.Switches() {
		var devs []string
		for i, p := range s.Ports {
			if i > 0 && s.Ports[i-1].Name >= p.Name || !slices.IsSorted(p.Trunks) || p.Tag > 4094 || len(p.Members) == 1 ||
				p.Type == portNetdev || p.VLANMode == "" && p.Tag != 0 && len(p.Trunks) > 0 {
				t.Fatalf("bridge %s, port %+v", s.Name, p)
			}
			devs = append(devs, portDevices(&s.Ports[i])...)
		}
		for _, d := range cfg.Devices {
			ports := slices.Sorted(slices.Values(d.Ports))
			slices.Sort(devs)
			if d.Name == s.Name && !slices.Equal(ports, devs) {
				t.Fatalf("bridge %s has the devices %q, its ports %q", s.Name, ports, devs)
			}
		}
	}
}

// TestHugeInput: no input of the size that is read takes long.
func TestHugeInput(t *testing.T) {
	const n = 20000
	repeat := func(head, line string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := range n {
			b.WriteString(strings.ReplaceAll(line, "%i", fmt.Sprint(i)))
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"addresses":  repeat("config interface a\n option proto static\n", " list ip6addr 2001:db8::%i\n"),
		"wrong ones": repeat("config interface a\n option proto static\n", " list ip6addr %i\n list dns x%i\n"),
		"ports":      repeat("config device\n option name b\n option type bridge\n", " list ports e%i\n"),
		"chain":      repeat("", "config device\n option name d%i\n option type macvlan\n option ifname d1%i\n"),
		"aliases":    repeat("config interface i\n", "config interface i%i\n option device @i1%i\n"),
		"duplicates": repeat("", "config interface a%i\n option device e%i.5\nconfig interface b%i\n option device e%i.05\n"),
		"mappings":   repeat("config device\n option name v\n option type 8021q\n option ifname e\n option vid 1\n", " list egress_qos_mapping %i:1\n"),
		"options":    repeat("config interface a\n", " option o%i 1\n"),
		"routes":     repeat("config interface a\n", "config route\n option interface a\n option target 10.0.0.0/8\n option metric %i\n"),
		"pairs":      repeat("config dataplane v\n option type vpp\n", "config pair h%i\n option phy p%i\n"),
		"ovs ports":  repeat("config device\n option name b\n option type openvswitch\n", " list ports e%i:10t-20t\n list ports f%i:1-4094t\n"),
		"vports":     repeat("config device\n option name b\n option type openvswitch\n", "config device\n option name e%i\n option type vport\n option bridge b\n option number %i\n"),
		"bad lines":  repeat("config interface a\n", "config interface a%i\n option x-y 1\n option device e%i\n"),
	} {
		start := time.Now()
		cfg, _, _ := loadText(t, text)
		if !allKeep(cfg) {
			t.Errorf("%s: a configuration differs from itself", name)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%s takes %v", name, d)
		}
	}
}

// big is a configuration of n interfaces, each on a VLAN of its own.
func big(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "config device\n\toption name 'br%d'\n\toption type 'bridge'\n\tlist ports 'eth%d.%d'\n\toption mtu '1400'\n\n", i, i/100, i%100+1)
		fmt.Fprintf(&b, "config interface 'lan%d'\n\toption device 'br%d'\n\toption proto 'static'\n\tlist ipaddr '10.%d.%d.1/24'\n\tlist ip6addr '2001:db8:%x::1/64'\n\toption metric '%d'\n\n", i, i, i/256, i%256, i, i)
		fmt.Fprintf(&b, "config route\n\toption interface 'lan%d'\n\toption target '172.16.%d.0/24'\n\toption gateway '10.%d.%d.2'\n\n", i, i%256, i/256, i%256)
	}
	return b.String()
}

func BenchmarkLoad500(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "network"), []byte(big(500)), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		cfg, problems, err := Load(dir, Options{})
		if err != nil || len(problems) != 0 || len(cfg.Interfaces) != 500 || len(cfg.Devices) != 1000 || len(cfg.Routes) != 500 {
			b.Fatal(err, texts(problems))
		}
	}
}

func BenchmarkDiff500(b *testing.B) {
	old, _ := parseText(b, big(500), Options{})
	next, _ := parseText(b, big(500), Options{})
	b.ReportAllocs()
	for b.Loop() {
		if d := Diff(old, next); !d.None() {
			b.Fatal("equal configurations differ")
		}
	}
}
