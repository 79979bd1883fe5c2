package proto

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/config"
)

// fields reads JSON as the messages of ubus are read; numbers are int64 where
// they are whole.
func fields(text string) []Field {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if !json.Valid([]byte(text)) {
		return nil
	}
	f, _ := value(d).([]Field)
	return f
}

func value(d *json.Decoder) any {
	t, err := d.Token()
	if err != nil {
		return nil
	}
	switch t := t.(type) {
	case json.Delim:
		switch t {
		case '{':
			out := []Field{}
			for d.More() {
				k, err := d.Token()
				if err != nil {
					return out
				}
				out = append(out, Field{fmt.Sprint(k), value(d)})
			}
			d.Token()
			return out
		case '[':
			out := []any{}
			for d.More() {
				out = append(out, value(d))
			}
			d.Token()
			return out
		}
		return nil
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n
		}
		f, _ := t.Float64()
		return f
	}
	return t
}

// full is what the recorded handler told, as OpenWrt's library writes it.
const full = `{"action":0,"ifname":"eth2","link-up":true,"data":{"leasetime":"3600","n":7,"b":true},"keep":false,
"ipaddr":[{"ipaddr":"10.51.0.2","mask":"32","ptp":"10.51.0.9"},{"ipaddr":"10.50.0.2","mask":"24"}],
"ip6addr":[{"ipaddr":"2001:db8:50::2","mask":"64","preferred":1800,"valid":3600},{"ipaddr":"2001:db8:51::2","mask":"64","preferred":0,"valid":3600,"offlink":true},{"ipaddr":"fd50::2","class":"cls"}],
"routes":[{"target":"0.0.0.0","netmask":"0","gateway":"10.50.0.1"},{"target":"10.60.0.0","netmask":"16","gateway":"10.50.0.9","metric":42,"source":"10.50.0.2/32"}],
"routes6":[{"target":"::","netmask":"0","gateway":"fe80::1","valid":1800},{"target":"2001:db8:77::","netmask":"48","gateway":"fe80::1","metric":5,"valid":600,"source":"2001:db8:50::/64","table":"123"}],
"ip6prefix":["2001:db8:5000::/56,3600,1800","2001:db8:6000::/56"],
"neighbor":[{"ipaddr":"10.50.0.77","mac":"02:00:00:00:00:77"}],"neighbor6":[{"ipaddr":"fe80::77","mac":"02:00:00:00:00:77","router":true}],
"dns":["10.50.0.53","2001:db8:50::53"],"dns_search":["lab.example"],"interface":"full"}`

func TestUpdate(t *testing.T) {
	u, err := ParseUpdate(fields(full), began)
	if err != nil || len(u.Left) > 0 || !u.LinkUp || u.Keep {
		t.Fatalf("%+v %v", u, err)
	}
	o := u.Offer
	var got []string
	until := func(at time.Time) string {
		if at.IsZero() {
			return "ever"
		}
		return at.Sub(began).String()
	}
	for _, a := range o.Addrs {
		got = append(got, fmt.Sprintln("addr", a.Prefix, a.Broadcast, a.Peer, a.Deprecated, a.OffLink, a.Class, until(a.PreferredUntil), until(a.ValidUntil)))
	}
	for _, r := range o.Routes {
		got = append(got, fmt.Sprintln("route", r.Target, r.Gateway, r.Source, r.Metric, r.MetricSet, r.Table, until(r.ValidUntil)))
	}
	for _, p := range o.Prefixes {
		got = append(got, fmt.Sprintln("prefix", p.Prefix, p.Preferred, p.Valid, until(p.PreferredUntil), until(p.ValidUntil)))
	}
	for _, n := range o.Neighbors {
		got = append(got, fmt.Sprintln("neighbor", n.Addr, n.MAC, n.Proxy, n.Router))
	}
	got = append(got, fmt.Sprintln(o.L3Device, o.DNS, o.DNSSearch, o.Data))
	want := `addr 10.50.0.2/24 10.50.0.255 invalid IP false false  ever ever
addr 10.51.0.2/32 invalid IP 10.51.0.9 false false  ever ever
addr 2001:db8:50::2/64 invalid IP invalid IP false false  30m0s 1h0m0s
addr 2001:db8:51::2/64 invalid IP invalid IP true true  0s 1h0m0s
addr fd50::2/128 invalid IP invalid IP false false cls ever ever
route 2001:db8:77::/48 fe80::1 2001:db8:50::/64 5 true 123 10m0s
route 10.60.0.0/16 10.50.0.9 10.50.0.2/32 42 true 0 ever
route ::/0 fe80::1 invalid Prefix 0 false 0 30m0s
route 0.0.0.0/0 10.50.0.1 invalid Prefix 0 false 0 ever
prefix 2001:db8:5000::/56 1800 3600 30m0s 1h0m0s
prefix 2001:db8:6000::/56 4294967295 4294967295 ever ever
neighbor 10.50.0.77 02:00:00:00:00:77 false false
neighbor fe80::77 02:00:00:00:00:77 false true
eth2 [10.50.0.53 2001:db8:50::53] [lab.example] [{b true} {leasetime 3600} {n 7}]
`
	if text := strings.Join(got, ""); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// TestLeftOut: a wrong entry is left out and named; the others stay.
func TestLeftOut(t *testing.T) {
	u, err := ParseUpdate(fields(`{"link-up":1,"ipaddr":[{"ipaddr":"10.0.0.1","mask":"33"},{"ipaddr":"10.0.0.300"},{"mask":"8"},7,{"ipaddr":"10.0.0.2"},{"ipaddr":"10.0.0.2"},{"ipaddr":"0.0.0.0"},{"ipaddr":"10.0.0.9","broadcast":"x"}],
"ip6addr":[{"ipaddr":"10.0.0.1"},{"ipaddr":"::2","preferred":"x"},{"ipaddr":"::2","valid":0},{"ipaddr":"2001:db8::1","preferred":9,"valid":5}],
"ip6prefix":["2001:db8::/65",5,"2001:db8::/56,1,0","2001:db8::/56,5,9","2001:db8::/56"],"gateway":"::1","ip6gw":5,
"routes":[{"target":"10.0.0.0","netmask":"40"},{"target":"x"},{"target":"10.0.0.0","gateway":"::1"},{"target":"10.0.0.0","metric":-1},{"target":"10.0.0.0","source":"10.0.0.0/8"},{"target":"10.0.0.0","table":"x"},{"target":"10.0.0.0","mtu":5},{"target":"10.0.0.0","valid":0},[],{"target":"10.0.0.5","netmask":"8"},{"target":"10.0.0.0","netmask":8}],
"neighbor":[{"ipaddr":"10.0.0.1"},{"ipaddr":"10.0.0.1","mac":"x"},{"ipaddr":"::1","mac":"02:00:00:00:00:01"},{"ipaddr":"10.0.0.1","proxy":"x"},5,{"ipaddr":"10.0.0.1","proxy":true}],
"dns":["0.0.0.0","x",5,"fe80::1%eth0","9.9.9.9"],"dns_search":["a b","","x\n","ok"]}`), began)
	if err != nil {
		t.Fatal(err)
	}
	o := u.Offer
	if len(o.Addrs) != 2 || len(o.Prefixes) != 1 || len(o.Routes) != 1 || len(o.Neighbors) != 1 || len(o.DNS) != 1 || len(o.DNSSearch) != 1 {
		t.Errorf("%+v", o)
	}
	if a := o.Addrs[1]; a.PreferredUntil != a.ValidUntil {
		t.Errorf("preferred after valid: %+v", a)
	}
	var places []string
	for _, l := range u.Left {
		places = append(places, strings.SplitN(l, " ", 3)[0]+strings.SplitN(l+" ", " ", 3)[1])
	}
	want := strings.Fields(`ipaddr[0]:mask: ipaddr[1]:ipaddr: ipaddr[2]:ipaddr: ipaddr[3]:not ipaddr[5]:ipaddr: ipaddr[6]:ipaddr: ipaddr[7]:broadcast:
ip6addr[0]:ipaddr: ip6addr[1]:preferred: ip6addr[2]:valid: ip6prefix[0]:"2001:db8::/65" ip6prefix[1]:not ip6prefix[2]:"2001:db8::/56,1,0" ip6prefix[4]:2001:db8::/56
gateway:"::1" ip6gw:"" routes[0]:netmask: routes[1]:target: routes[2]:gateway: routes[3]:metric: routes[4]:source: routes[5]:table: routes[6]:mtu: routes[7]:valid: routes[8]:not routes[10]:target:
neighbor[0]:mac: neighbor[1]:mac: neighbor[2]:ipaddr: neighbor[3]:proxy: neighbor[4]:not dns[0]:"0.0.0.0" dns[1]:"x" dns[2]:"" dns[3]:"fe80::1%eth0"
dns_search[0]:"a dns_search[1]:"" dns_search[2]:"x\n"`)
	// "1,0" is put right to 0,1 and is good; the one after it stands there twice then.
	want = slices.DeleteFunc(want, func(s string) bool { return s == `ip6prefix[2]:"2001:db8::/56,1,0"` })
	want = slices.Insert(want, slices.Index(want, "ip6prefix[4]:2001:db8::/56"), "ip6prefix[3]:2001:db8::/56")
	if !slices.Equal(places, want) {
		t.Errorf("got\n%q\nwant\n%q\n%s", places, want, strings.Join(u.Left, "\n"))
	}
}

// TestRefusedUpdates: what says nothing as a whole, with the field to blame.
func TestRefusedUpdates(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                          "link-up: missing",
		`{"link-up":"1"}`:             "link-up:",
		`{"link-up":true,"ifname":5}`: "ifname:",
		`{"link-up":true,"ifname":"0123456789012345"}`:                          "ifname:",
		`{"link-up":true,"keep":"x"}`:                                           "keep:",
		`{"link-up":true,"address-external":[]}`:                                "address-external:",
		`{"link-up":true,"ipaddr":"10.0.0.1"}`:                                  "ipaddr: not a list",
		`{"link-up":true,"data":[]}`:                                            "data: not a table",
		`{"link-up":true,"tunnel":{"mode":"none"}}`:                             "tunnel:",
		`{"link-up":true,"dns":[` + strings.Repeat(`"9.9.9.9",`, 5000) + `""]}`: "dns: 5001 entries",
	} {
		if _, err := ParseUpdate(fields(text), began); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s…", text, err, want)
		}
	}
}

// TestKeep: with keep the old entries stay, with their lifetimes; without it
// only the data and the layer 3 device do.
func TestKeep(t *testing.T) {
	read := func(text string, at time.Time) *Update {
		u, err := ParseUpdate(fields(text), at)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	old := read(full, began).Offer
	later := began.Add(100 * time.Second)
	kept := mergeOffer(old, read(`{"link-up":true,"keep":true,"ipaddr":[{"ipaddr":"10.50.0.99","mask":"24"}],"ip6addr":[{"ipaddr":"2001:db8:50::2","mask":"64","preferred":1800,"valid":3600}],"data":{"n":8,"a":{"x":[1]}}}`, later).Offer, true)
	addrs := ""
	for _, a := range kept.Addrs {
		addrs += a.Prefix.String() + " "
	}
	if addrs != "10.50.0.2/24 10.50.0.99/24 10.51.0.2/32 2001:db8:50::2/64 2001:db8:51::2/64 fd50::2/128 " {
		t.Error(addrs)
	}
	if got := kept.Addrs[3].ValidUntil.Sub(began); got != 3700*time.Second {
		t.Errorf("renewed lifetime: %s", got)
	}
	if got := kept.Addrs[4].ValidUntil.Sub(began); got != time.Hour {
		t.Errorf("kept lifetime: %s", got)
	}
	if len(kept.Routes) != 4 || len(kept.Prefixes) != 2 || len(kept.Neighbors) != 2 || len(kept.DNS) != 2 || kept.L3Device != "eth2" {
		t.Errorf("%+v", kept)
	}
	if want := []Field{{"a", []Field{{"x", []any{int64(1)}}}}, {"b", true}, {"leasetime", "3600"}, {"n", int64(8)}}; !reflect.DeepEqual(kept.Data, want) {
		t.Errorf("data %v", kept.Data)
	}
	addrsDiffer, routes, prefixes, data := old.Difference(kept)
	if !addrsDiffer || routes || prefixes || !data {
		t.Error("difference", addrsDiffer, routes, prefixes, data)
	}
	bare := mergeOffer(old, read(`{"link-up":true}`, later).Offer, false)
	if len(bare.Addrs)+len(bare.Routes)+len(bare.DNS) != 0 || bare.L3Device != "eth2" || len(bare.Data) != 3 {
		t.Errorf("%+v", bare)
	}
	// The same a second later is the same.
	a, r, p, d := old.Difference(read(full, began.Add(time.Second)).Offer)
	if a || r || p || d {
		t.Error("a second later", a, r, p, d)
	}
	a, r, p, _ = old.Difference(read(full, began.Add(10*time.Second)).Offer)
	if !a || !r || !p {
		t.Error("ten seconds later", a, r, p)
	}
}

// TestExpire: what is over goes, and the next end is known.
func TestExpire(t *testing.T) {
	u, _ := ParseUpdate(fields(full), began)
	o, next := u.Offer.Expire(began)
	if o != u.Offer || next != began.Add(600*time.Second) {
		t.Errorf("next %s", next.Sub(began))
	}
	o, next = o.Expire(began.Add(600 * time.Second))
	if len(o.Routes) != 3 || next != began.Add(1800*time.Second) {
		t.Errorf("%d routes, next %s", len(o.Routes), next.Sub(began))
	}
	o, next = o.Expire(began.Add(2 * time.Hour))
	if len(o.Routes) != 2 || len(o.Addrs) != 3 || len(o.Prefixes) != 1 || !next.IsZero() {
		t.Errorf("%+v %s", o, next)
	}
	if s := (&Offer{Static: config.Static{Prefixes: []config.Prefix6{{Preferred: 5, Valid: 9}}}}); len(s.Prefixes) != 1 {
		t.Error("configured")
	} else if left, _ := s.Expire(began); left != s {
		t.Error("a configured prefix ends")
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add(full)
	f.Add(`{"link-up":true,"ipaddr":["10.0.0.1/8",{"ipaddr":{}}],"tunnel":{"mode":"sit","data":{"a":1}}}`)
	f.Add(`{"action":1,"command":["a"],"env":["b=c"]}`)
	f.Add(`{"action":6,"host":"::ffff:1.2.3.4"}`)
	f.Fuzz(func(t *testing.T, text string) {
		m := fields(text)
		if u, err := ParseUpdate(m, began); err == nil {
			for _, a := range u.Offer.Addrs {
				if !a.Prefix.IsValid() || !a.ValidUntil.IsZero() && a.PreferredUntil.After(a.ValidUntil) {
					t.Errorf("%+v", a)
				}
			}
			for _, p := range u.Offer.Prefixes {
				if p.Preferred > p.Valid || p.Prefix.Bits() > 64 {
					t.Errorf("%+v", p)
				}
			}
			mergeOffer(u.Offer, u.Offer, true)
			u.Offer.Expire(began.Add(time.Hour))
		}
		// Any message gets exactly one answer, or asks for the way to a host.
		r := newRig(plain)
		r.in(Setup)
		answers := 0
		for _, o := range r.h.Handle(Input{Kind: Message, Now: began, Config: &r.cfg, Device: "eth0", Payload: &Notify{Fields: m}}) {
			if o.Kind == Answer || o.Kind == HostRoute {
				answers++
			}
		}
		if answers != 1 {
			t.Errorf("%d answers", answers)
		}
	})
}
