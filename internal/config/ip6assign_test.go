package config

import (
	"slices"
	"testing"
)

func TestIP6Assign(t *testing.T) {
	for text, want := range map[string]IP6Assign{
		"":                                 {},
		"option ip6assign 60":              {Length: 60},
		"option ip6hint 0xA0":              {Hint: 0xa0, HintSet: true},
		"option ip6hint 0":                 {HintSet: true},
		"option ip6ifaceid ::1:2:3:4":      {IfaceID: 0x1000200030004},
		"option ip6ifaceid eui64":          {Kind: IfaceIDEUI64},
		"option ip6ifaceid random":         {Kind: IfaceIDRandom},
		"option ip6weight 7":               {Weight: 7},
		"option ip6ifaceid ::ffff:1.2.3.4": {IfaceID: 0xffff01020304},
	} {
		cfg, problems := parseText(t, "config interface lan\n\toption device eth0\n\t"+text+"\n", Options{})
		if len(problems) > 0 || cfg.Interfaces[0].IP6Assign != want {
			t.Errorf("%q: %+v, want %+v; %s", text, cfg.Interfaces[0].IP6Assign, want, texts(problems))
		}
	}
	for _, bad := range []string{"ip6assign 65", "ip6assign -1", "ip6hint g", "ip6hint -1", "ip6hint ffffffffffffffff",
		"ip6ifaceid ::", "ip6ifaceid 1::1", "ip6ifaceid 10.0.0.1", "ip6ifaceid ::1%eth0", "ip6weight -1"} {
		if _, problems := parseText(t, "config interface lan\n\toption device eth0\n\toption "+bad+"\n", Options{}); !HasErrors(problems) {
			t.Errorf("%s is no error: %s", bad, texts(problems))
		}
	}
	cfg, problems := parseText(t, "config interface lan\n\tlist ip6class wan\n\tlist ip6class local\n", Options{})
	if len(problems) > 0 || !slices.Equal(cfg.Interfaces[0].IP6Class, []string{"wan", "local"}) {
		t.Errorf("%v %s", cfg.Interfaces[0].IP6Class, texts(problems))
	}
}
