package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/internal/dataplane"
	"netbraid/internal/pair"
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
		{"list skip_proto static", "list punt lldp\n\tlist skip_proto static", "close 5, open 6 /run/vpp/api.sock", "[6]"},
		{"option netns blue", "option netns red", "close 6, open 7 /run/vpp/api.sock, mirror 2 /run/netns/red, drop 1", "[7]"},
	} {
		if got := configure(strings.Replace(section, s.old, s.new, 1)); got != s.want || fmt.Sprint(planes()) != s.planes {
			t.Errorf("%q for %q: %s, planes %v; want %s, %s", s.new, s.old, got, planes(), s.want, s.planes)
		}
	}
	if got := configure(strings.Replace(section, "dataplane v", "dataplane w", 1)); got != "close 7, open 8 /run/vpp/api.sock, mirror 3 /run/netns/blue, drop 2" {
		t.Errorf("another name: %s", got)
	}
	if got := configure(strings.Replace(section, "list skip_proto static", "option socket /other", 1)); !strings.Contains(got, "open 9 /other") {
		t.Errorf("another socket: %s", got)
	}
}

// TestLeftBehind: what an earlier process has made on a dataplane that is not
// configured any more is taken apart, once and within a time; another name of it
// takes it over; a file with errors leaves it alone.
func TestLeftBehind(t *testing.T) {
	made := func() map[string][]pair.Made {
		return map[string][]pair.Made{"old vpp /a b.sock": {{Phy: "eth0", Pair: true}, {Phy: "eth0", Sub: dataplane.Sub{Outer: 5}, Pair: true}}, "not one of ours": {{Phy: "eth9"}}, "x netns /n": nil}
	}
	const other = "config dataplane v\n\toption type vpp\n\toption socket %s\n"
	now := time.Unix(1000, 0)
	for _, x := range []struct {
		name, text string
		partial    bool
		want       string // what is done at once
		behind     string // 11 s later
	}{
		{"gone", "", false, "leave 1 old /a b.sock", "old vpp /a b.sock [eth0 eth0.5]: it has not answered within 10s"},
		{"another one", fmt.Sprintf(other, "/c"), false, "open 1 v /c, leave 2 old /a b.sock", "old vpp /a b.sock [eth0 eth0.5]: it has not answered within 10s"},
		{"another name", fmt.Sprintf(other, "'/a b.sock'"), false, "save v vpp /a b.sock 2, save old vpp /a b.sock 0, open 1 v /a b.sock", ""},
		{"configured", "config dataplane old\n\toption type vpp\n\toption socket '/a b.sock'\n", false, "open 1 old /a b.sock", ""},
		{"errors", "", true, "", "old vpp /a b.sock [eth0 eth0.5]: the configuration has errors: nothing is taken apart before it is right"},
	} {
		c := core.New(core.Options{Seed: 1, Made: made()})
		var out []string
		for _, a := range c.Step(now, core.Configured{Config: parsed(t, x.text), Partial: x.partial}) {
			switch a := a.(type) {
			case core.OpenPlane:
				word := "open"
				if a.Leaving {
					word = "leave"
				}
				out = append(out, fmt.Sprintf("%s %d %s %s", word, a.ID, a.Config.Name, a.Config.Socket))
			case core.SaveMade:
				out = append(out, fmt.Sprintf("save %s %d", a.Name, len(a.Made)))
			}
		}
		if got := strings.Join(out, ", "); got != x.want {
			t.Errorf("%s: %s; want %s", x.name, got, x.want)
		}
		told, left := 0, false
		for n := range 3 { // and not again
			for _, a := range c.Step(now.Add(time.Duration(11+n)*time.Second), core.Tick{}) {
				if l, ok := a.(core.Log); ok && strings.Contains(l.Message, "left behind") {
					told++
				}
				if cl, ok := a.(core.ClosePlane); ok {
					left = left || cl.Left
				}
			}
		}
		if left {
			t.Errorf("%s: a dataplane that was not reached counts as left for good", x.name)
		}
		var behind []string
		for _, l := range c.LeftBehind() {
			behind = append(behind, fmt.Sprintf("%s %s %s %v: %s", l.Dataplane, l.Type, l.Place, l.Pairs, l.Reason))
		}
		if got := strings.Join(behind, ", "); got != x.behind || (told > 0) != (x.behind != "" && !x.partial) || told > 1 {
			t.Errorf("%s: left behind %s, told %d times; want %s", x.name, got, told, x.behind)
		}
	}
}

// TestLeftBehindTwice: what is remembered under two names (a crash while one took
// over the other) is one dataplane's, which is left once.
func TestLeftBehindTwice(t *testing.T) {
	c := core.New(core.Options{Seed: 1, Made: map[string][]pair.Made{"a netns /n": {{Phy: "eth0", Pair: true}}, "b netns /n": {{Phy: "eth1", Pair: true}}}})
	c.Step(time.Unix(1000, 0), core.Configured{Config: parsed(t, "")})
	if n := len(c.Planes()); n != 1 {
		t.Errorf("%d engines at work on one dataplane", n)
	}
}

// TestLeftBehindGone: of a namespace that is not there any more nothing is left
// behind; of a VPP without a socket something may be.
func TestLeftBehindGone(t *testing.T) {
	now := time.Unix(1000, 0)
	for key, x := range map[string]struct {
		err  error
		left int
	}{
		"n netns /run/netns/n": {fmt.Errorf("open: %w", unix.ENOENT), 0},
		"m netns /run/netns/m": {fmt.Errorf("open: %w", unix.EPERM), 1},
		"v vpp /run/v.sock":    {fmt.Errorf("connect: %w", unix.ENOENT), 1},
	} {
		c := core.New(core.Options{Seed: 1, Made: map[string][]pair.Made{key: {{Phy: "eth0", Pair: true}}}})
		saved := false
		for n, ev := range []core.Event{core.Configured{Config: parsed(t, "")}, core.Tick{}, core.PlaneEvent{ID: 1, Event: dataplane.Down{Epoch: 1, Err: x.err}}, core.Tick{}} {
			if n == 3 {
				now = now.Add(11 * time.Second)
			}
			for _, a := range c.Step(now, ev) {
				m, ok := a.(core.SaveMade)
				saved = saved || ok && m.Name == key && len(m.Made) == 0
			}
		}
		if got := c.LeftBehind(); len(got) != x.left || saved != (x.left == 0) || len(c.Planes()) != 0 {
			t.Errorf("%s: left behind %+v, forgotten %v, dataplanes %v", key, got, saved, c.Planes())
		}
	}
}
