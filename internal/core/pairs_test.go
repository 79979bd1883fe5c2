package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
)

// TestDataplaneOptionsChange: what says how a dataplane is used makes another
// engine take over, and takes no pair apart nor any mirror away; another
// dataplane under the name, or none, takes the pairs apart first.
func TestDataplaneOptionsChange(t *testing.T) {
	const section = "config dataplane v\n\toption type vpp\n\tlist skip_proto static\nconfig pair a\n\toption phy eth0\n\toption netns blue\n"
	c := core.New(core.Options{Seed: 1})
	now := time.Unix(1000, 0)
	configure := func(text string) string {
		var out []string
		for _, a := range c.Step(now, core.Configured{Config: parsed(t, text)}) {
			switch a := a.(type) {
			case core.OpenPlane:
				out = append(out, fmt.Sprintf("open %d %s", a.ID, a.Config.Socket))
			case core.ClosePlane:
				out = append(out, fmt.Sprintf("close %d", a.ID))
			case core.OpenNS:
				out = append(out, fmt.Sprintf("mirror %d %s", a.NS, a.Path))
			case core.CloseNS:
				out = append(out, fmt.Sprintf("drop %d", a.NS))
			}
		}
		return strings.Join(out, ", ")
	}
	planes := func() (n []core.PlaneID) {
		for _, p := range c.Planes() {
			n = append(n, p.ID)
		}
		return n
	}
	for _, s := range []struct{ old, new, want, planes string }{
		{"", "", "open 1 /run/vpp/api.sock, mirror 1 /run/netns/blue", "[1]"},
		{"", "", "", "[1]"},
		{"static", "boot", "close 1, open 2 /run/vpp/api.sock", "[2]"},
		{"list skip_proto static", "option window 64", "close 2, open 3 /run/vpp/api.sock", "[3]"},
		{"option netns blue", "option sync 0\n\toption netns blue", "close 3, open 4 /run/vpp/api.sock", "[4]"}, // the window is back too
		{"list skip_proto static", "list netns_table 'blue 7'\n\toption window 64", "close 4, open 5 /run/vpp/api.sock", "[5]"},
		{"option netns blue", "option netns red", "close 5, open 6 /run/vpp/api.sock, mirror 2 /run/netns/red, drop 1", "[6]"},
	} {
		if got := configure(strings.Replace(section, s.old, s.new, 1)); got != s.want || fmt.Sprint(planes()) != s.planes {
			t.Errorf("%q for %q: %s, planes %v; want %s, %s", s.new, s.old, got, planes(), s.want, s.planes)
		}
	}
	if got := configure(strings.Replace(section, "list skip_proto static", "option socket /other", 1)); !strings.Contains(got, "open 7 /other") {
		t.Errorf("another socket: %s", got)
	}
}
