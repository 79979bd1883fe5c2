package api

import (
	"strings"
	"testing"

	"netbraid/internal/config"
	"netbraid/ubus"
)

func TestOptionsOf(t *testing.T) {
	for _, c := range []struct{ message, want string }{
		{`{"name":"x","ubus_rpc_session":"0","proto":"static","ipaddr":["10.0.0.1/24","10.0.0.2/24"],"metric":7,"auto":false,"peerdns":true}`,
			"proto=static ipaddr=[10.0.0.1/24 10.0.0.2/24] metric=7 auto=0 peerdns=1"},
		{`{"mtu":-5,"x":1.5,"big":99999999999,"none":null,"list":[]}`, "mtu=-5 x=1.5 big=99999999999 list=[]"},
		{`{"a":{"b":1}}`, "refused"},
		{`{"a":[["b"]]}`, "refused"},
		{`{"a":["b",{"c":1}]}`, "refused"},
	} {
		msg, err := ubus.FromJSON([]byte(c.message))
		if err != nil {
			t.Fatal(err)
		}
		options, ok := optionsOf(msg, "name", session)
		var out []string
		for _, o := range options {
			if o.List {
				out = append(out, o.Name+"=["+strings.Join(o.Values, " ")+"]")
			} else {
				out = append(out, o.Name+"="+strings.Join(o.Values, " "))
			}
		}
		got := strings.Join(out, " ")
		if !ok {
			got = "refused"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.message, got, c.want)
		}
	}
	if o, _ := optionsOf(ubus.Table{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}); len(o) != 1 || o[0].Values[0] != "1" {
		t.Errorf("an option that is there twice: %v", o)
	}
	var many ubus.Table
	for i := range maxOptions + 1 {
		many = append(many, ubus.Field{Name: strings.Repeat("x", i+1), Value: "1"})
	}
	if _, ok := optionsOf(many); ok {
		t.Error("too many options are taken")
	}
	if _, ok := optionsOf(ubus.Table{{Name: "a", Value: "b\x00c"}}); ok {
		t.Error("a word with a NUL is taken")
	}
}

// FuzzAddDynamic: whatever octets somebody sends as the arguments of
// add_dynamic, there is an interface of the name asked for, or an error.
func FuzzAddDynamic(f *testing.F) {
	for _, text := range []string{`{"name":"d","proto":"static","device":"@lan","ipaddr":["10.0.0.1/24"]}`, `{"name":"d","type":"bridge","ifname":"eth0.5"}`, `{"name":5}`, `{}`} {
		t, _ := ubus.FromJSON([]byte(text))
		f.Add(t.Encode())
	}
	f.Add([]byte{0x83, 0, 0, 5, 0})
	base := &config.Config{Interfaces: []*config.Interface{{Name: "lan", Proto: "static", Device: "eth0"}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		args := ubus.DecodeTable(b)
		name, _ := args.String("name")
		options, ok := optionsOf(args, "name", session)
		if !ok {
			return
		}
		one, problems := config.ParseInterface(name, options, base, "ubus", config.Options{})
		if !config.HasErrors(problems) && (one.Interface == nil || one.Interface.Name != name) {
			t.Errorf("neither an interface nor an error: %v", problems)
		}
	})
}

// FuzzUptime: where the uptime stands is found in what we encode, and nothing
// else is taken for it.
func FuzzUptime(f *testing.F) {
	f.Add(ubus.Table{{Name: "up", Value: true}, {Name: "uptime", Value: int32(5)}}.Encode())
	f.Add(ubus.Table{{Name: "data", Value: ubus.Table{{Name: "uptime", Value: int32(5)}}}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		at := valueOf(b, "uptime")
		if at < 0 {
			return
		}
		want, ok := ubus.DecodeTable(b).Int32("uptime")
		got := int32(uint32(b[at])<<24 | uint32(b[at+1])<<16 | uint32(b[at+2])<<8 | uint32(b[at+3]))
		if !ok || got != want {
			t.Errorf("%d at %d, want %d %v", got, at, want, ok)
		}
	})
}
