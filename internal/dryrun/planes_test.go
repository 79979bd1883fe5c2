package dryrun

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"netbraid/internal/config"
	"netbraid/internal/dataplane"
	"netbraid/internal/pair"
)

func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "network"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, problems, err := config.Load(dir, config.Options{})
	if err != nil || config.HasErrors(problems) {
		t.Fatalf("%v %v\n%s", err, problems, text)
	}
	return cfg
}

// TestComparePlanes: what becomes of dataplanes and pairs, by what is in force,
// what was made, and what the dataplane has.
func TestComparePlanes(t *testing.T) {
	const plane = "config dataplane v\n\toption type vpp\n"
	one := func(options string) string {
		return "config pair a\n\toption phy eth0\n" + strings.ReplaceAll(options, ";", "\n") + "\n"
	}
	sub := dataplane.Sub{Outer: 5, Exact: true}
	phys := []dataplane.Interface{{Index: 1, Name: "eth0", Parent: dataplane.NoIndex}, {Index: 2, Name: "eth1", Parent: dataplane.NoIndex},
		{Index: 3, Name: "vlan5", Parent: 2, Sub: sub}}
	paired := func(hosts ...string) *dataplane.Seen {
		s := &dataplane.Seen{Interfaces: phys}
		for i, h := range hosts {
			if h != "" {
				s.Pairs = append(s.Pairs, dataplane.Pair{Phy: uint32(i + 1), HostName: h})
			}
		}
		return s
	}
	made := map[string][]pair.Made{"v vpp /run/vpp/api.sock": {{Phy: "eth0", Pair: true}}}
	for _, x := range []struct {
		name, old, new string
		made           map[string][]pair.Made
		seen           *dataplane.Seen // nil: out of reach
		want           string
	}{
		{"nothing at all", "", "", nil, nil, ""},
		{"a new one", "", plane + one(""), nil, paired(), "connect v: make a eth0 a"},
		{"a new one out of reach", "", plane + one(""), nil, nil, "connect v (out of reach): make a eth0 a <when the dataplane can be reached>"},
		{"as it is", plane + one(""), plane + one(""), made, paired("a"), ""},
		{"as it is, out of reach", plane + one(""), plane + one(""), made, nil, " v (out of reach):"},
		{"it has lost the pair", plane + one(""), plane + one(""), made, paired(), " v: make a eth0 a"},
		{"no phy", plane, plane + "config pair a\n\toption phy eth9\n", nil, paired(), " v: make a eth9 a <when eth9 is there>"},
		{"no phy, as before", plane + "config pair a\n\toption phy eth9\n", plane + "config pair a\n\toption phy eth9\n", nil, paired(), ""},
		{"no namespace", plane, plane + one("option netns netbraid-test-none"), nil, paired(), " v: make a eth0 a <when /run/netns/netbraid-test-none is there>"},
		{"no namespace, as before", plane + one("option netns netbraid-test-none"), plane + one("option netns netbraid-test-none"), nil, paired(), ""},
		{"a namespace", plane, plane + one("option netns /proc/self/ns/net"), nil, paired(), " v: make a eth0 a"},
		{"live options", plane + one(""), plane + one("option sync 0;option mpls 1;option auto_subif 1"), made, paired("a"), " v: change a eth0 a sync=1>0 auto_subif=0>1 mpls=linux>1"},
		{"queues, which no dataplane takes", plane + one(""), plane + one("option queues 4"), made, paired("a"), ""},
		{"another companion", plane + one(""), plane + one("option host b;option netns blue"), made, paired("a"), " v: make again a eth0 b host=a>b netns=the daemon's own>blue"},
		{"another companion, out of reach", plane + one(""), plane + one("option host b"), made, nil, " v (out of reach): make again a eth0 b host=a>b"},
		{"it is there by now", plane + one(""), plane + one("option host b"), made, paired("b"), ""},
		{"made as others want it", plane, plane + one("option tun 1"), nil, paired("x"), " v: refuse a eth0 a host=x>a tun=0>1 <eth0 is paired with x, which is not ours: unpair it there>"},
		{"refused before", plane + one(""), plane + one(""), nil, paired("x"), ""},
		{"equal, of others", plane, plane + one(""), nil, paired("a"), ""},
		{"a pair less", plane + one(""), plane, made, paired("a"), " v: take apart a eth0 a"},
		{"a pair less, gone", plane + one(""), plane, made, paired(), ""},
		{"a pair less, of others", plane + one(""), plane, nil, paired("a"), " v: forget a eth0 a <others have made its companion, which stays>"},
		{"a pair less, never made", plane + one(""), plane, nil, paired(), " v: forget a eth0 a <it has not been made>"},
		{"routes", plane, strings.Replace(plane, "type vpp", "type vpp\n\tlist skip_proto static\n\tlist skip_proto 77\n\tlist netns_table 5\n\toption window 64", 1), nil, paired(), "change v skip_proto=none>static 77 netns_table=none>the daemon's own 5 window=1024>64:"},
		{"another name", plane + one(""), strings.Replace(plane, " v", " w", 1) + one(""), made, paired("a"), "change w name=v>w:"},
		{"another socket", plane + one(""), plane + "\toption socket /o\n" + one(""), made, paired("a"), "connect v:, leave v: take apart a eth0 a"},
		{"no dataplane", plane + one(""), "", made, paired("a"), "leave v: take apart a eth0 a"},
		{"left behind", "", "", made, paired("h"), " v: take apart  eth0 h"},
		{"left behind, gone", "", "", made, paired(), ""},
		{"left behind, out of reach", "", "", made, nil, " v (out of reach): take apart  eth0  <when the dataplane can be reached>"},
		{"sub-interfaces by themselves", plane + one(""), plane + "config pair b\n\toption phy eth1\n\toption auto_subif 1\n",
			map[string][]pair.Made{"v vpp /run/vpp/api.sock": {{Phy: "eth1", Pair: true}, {Phy: "eth1", Sub: sub, Pair: true, Iface: true}}}, paired("", "b", "b.5"), " v: forget a eth0 a <it has not been made>"},
		{"sub-interfaces no more", plane, plane + "config pair b\n\toption phy eth1\n",
			map[string][]pair.Made{"v vpp /run/vpp/api.sock": {{Phy: "eth1", Pair: true}, {Phy: "eth1", Sub: sub, Pair: true, Iface: true}}}, paired("", "b", "b.5"), " v: take apart  eth1.5 b.5"},
		{"a named sub-interface", plane, plane + "config pair b\n\toption phy vlan5\n",
			map[string][]pair.Made{"v vpp /run/vpp/api.sock": {{Phy: "eth1", Sub: sub, Pair: true}}}, paired("", "", "c"), " v: make again b vlan5 b host=c>b"},
	} {
		p := Planes{Old: parsed(t, x.old), New: parsed(t, x.new), Made: x.made, Look: func(*config.Dataplane) (dataplane.Seen, error) {
			if x.seen == nil {
				return dataplane.Seen{}, errors.New("refused")
			}
			return *x.seen, nil
		}}
		var got []string
		for _, c := range p.Compare() {
			got = append(got, planeText(&c))
		}
		if text := strings.Join(got, ", "); text != x.want {
			t.Errorf("%s:\ngot  %s\nwant %s", x.name, text, x.want)
		}
	}
}

// TestCompareGone: with a namespace has gone what was made in it.
func TestCompareGone(t *testing.T) {
	const plane = "config dataplane n\n\toption type netns\n\toption netns n\nconfig pair a\n\toption phy eth0\n"
	for _, x := range []struct{ old, new, want string }{
		{plane, "", "leave n:"},
		{"", "", ""},
		{plane, plane, " n (out of reach):"},
	} {
		p := Planes{Old: parsed(t, x.old), New: parsed(t, x.new), Made: map[string][]pair.Made{"n netns /run/netns/n": {{Phy: "eth0", Pair: true}}},
			Look: func(*config.Dataplane) (dataplane.Seen, error) {
				return dataplane.Seen{}, fmt.Errorf("open: %w", fs.ErrNotExist)
			}}
		var got []string
		for _, c := range p.Compare() {
			got = append(got, planeText(&c))
		}
		if text := strings.Join(got, ", "); text != x.want {
			t.Errorf("got %q, want %q", text, x.want)
		}
	}
}

func planeText(c *PlaneChange) string {
	s := string(c.Does) + " " + c.Name + attrsText(c.Attrs)
	if c.Unreachable != "" {
		s += " (out of reach)"
	}
	s += ":"
	for _, p := range c.Pairs {
		s += fmt.Sprintf(" %s %s %s %s%s", p.Does, p.Name, p.Phy, p.Host, attrsText(p.Attrs))
		if p.Reason != "" {
			s += " <" + p.Reason + ">"
		}
	}
	return s
}

func attrsText(list []Attr) (s string) {
	for _, a := range list {
		s += " " + a.Name + "=" + a.From + ">" + a.To
	}
	return s
}

// TestSeesEveryOption: no option of a dataplane or a pair changes unseen.
func TestSeesEveryOption(t *testing.T) {
	passed := map[string]bool{"Pos": true, // where it stands
		"Type": true, "Socket": true, "NetNS of Dataplane": true, // another dataplane
		"Dataplane": true, "Phy": true, // another pair
		"Queues": true} // ignored
	fields := func(v any, differ func() bool) {
		r := reflect.ValueOf(v).Elem()
		for i := range r.NumField() {
			name, f := r.Type().Field(i).Name, r.Field(i)
			if passed[name] || passed[name+" of "+r.Type().Name()] {
				continue
			}
			switch f.Kind() {
			case reflect.String:
				f.SetString("x")
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Int:
				f.SetInt(1)
			case reflect.Slice:
				f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			default:
				t.Fatalf("what is %s %s?", f.Kind(), name)
			}
			if !differ() {
				t.Errorf("another %s of a %s is not seen", name, r.Type().Name())
			}
			f.SetZero()
		}
	}
	var d config.Dataplane
	fields(&d, func() bool { return len(planeAttrs(&config.Dataplane{}, &d)) == 1 })
	var p config.Pair
	fields(&p, func() bool {
		fixed, live := pairAttrs(&config.Pair{}, &p)
		return len(fixed)+len(live) == 1
	})
}
