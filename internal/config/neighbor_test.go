package config

import (
	"net/netip"
	"strings"
	"testing"

	"netbraid/rtnl"
)

func TestNeighbor(t *testing.T) {
	const lan = "config interface lan\n\toption device eth0\n"
	cfg, problems := parseText(t, lan+`config neighbor n
	option interface lan
	option ipaddr 10.0.0.7
	option mac 02:00:00:00:00:07
config neighbor6
	option interface lan
	option ipaddr 2001:db8::7
	option proxy 1
	option router 1
`, Options{})
	if len(problems) > 0 || len(cfg.Neighbors) != 2 {
		t.Fatal(texts(problems), cfg.Neighbors)
	}
	a, b := *cfg.Neighbors[0], *cfg.Neighbors[1]
	if want := (Neighbor{Pos: Pos{"net", 3}, Interface: "lan", Addr: netip.MustParseAddr("10.0.0.7"), MAC: rtnl.MAC([6]byte{2, 0, 0, 0, 0, 7})}); a != want {
		t.Errorf("%+v", a)
	}
	if want := (Neighbor{Pos: Pos{"net", 7}, Interface: "lan", Addr: netip.MustParseAddr("2001:db8::7"), Proxy: true, Router: true}); b != want {
		t.Errorf("%+v", b)
	}
	for text, want := range map[string]string{
		"option interface lan\n\toption mac 02:00:00:00:00:07":                                   "needs option ipaddr",
		"option interface lan\n\toption ipaddr 10.0.0.7":                                         "needs option mac",
		"option ipaddr 10.0.0.7\n\toption mac 02:00:00:00:00:07":                                 "needs option interface",
		"option interface wan\n\toption ipaddr 10.0.0.7\n\toption mac 02:00:00:00:00:07":         "there is no interface wan",
		"option interface lan\n\toption ipaddr 2001:db8::1\n\toption mac 02:00:00:00:00:07":      "not the address of a neighbour",
		"option interface lan\n\toption ipaddr 224.0.0.1\n\toption mac 02:00:00:00:00:07":        "not the address of a neighbour",
		"option interface lan\n\toption ipaddr 10.0.0.7\n\tlist mac x\n\tlist mac y":             "takes one value",
		"option interface lan\n\toption ipaddr 10.0.0.7\n\toption mac 01:00:5e:00:00:01":         "option mac '01:00:5e:00:00:01'",
		"option interface lan\n\tlist ipaddr 10.0.0.7\n\tlist ipaddr 10.0.0.8\n\toption proxy 1": "takes one value",
	} {
		cfg, problems := parseText(t, lan+"config neighbor\n\t"+text+"\n", Options{})
		if !HasErrors(problems) || !strings.Contains(texts(problems), want) || len(cfg.Neighbors) > 0 {
			t.Errorf("%q: %s, want %q", text, texts(problems), want)
		}
	}
	before, _ := parseText(t, lan+"config neighbor\n\toption interface lan\n\toption ipaddr 10.0.0.7\n\toption proxy 1\n", Options{})
	if c := Diff(before, cfg); c.Interfaces["lan"] != Live || !c.NeighborsChanged["lan"] || c.None() {
		t.Errorf("changes %+v", c)
	}
	if c := Diff(cfg, cfg); !c.None() {
		t.Errorf("changes against itself: %+v", c)
	}
}
