package config

import (
	"strings"
	"testing"
)

func TestGlobals(t *testing.T) {
	cfg, problems := parseText(t, "config globals globals\n\toption ula_prefix fd12:3456:789a::/48\n\toption packet_steering 1\n\toption takeover 1\n", Options{})
	if len(problems) != 0 || cfg.Globals.ULAPrefix.String() != "fd12:3456:789a::/48" || !cfg.Globals.Takeover {
		t.Errorf("%+v %s", cfg.Globals, texts(problems))
	}
	if cfg, problems = parseText(t, "config globals globals\n\toption ula_prefix auto\n", Options{}); len(problems) != 0 || cfg.Globals.ULAPrefix.IsValid() {
		t.Errorf("%+v %s", cfg.Globals, texts(problems))
	}
}

func TestReference(t *testing.T) {
	ref := Reference()
	for _, want := range []string{"| `mtu` | number | 68..2147483647 |", "## route, route6", "| `rpfilter` | word | 0, 1, 2, strict, loose |", "not built yet"} {
		if !strings.Contains(ref, want) {
			t.Errorf("the reference lacks %q", want)
		}
	}
	for _, g := range groups {
		for i := range g.specs {
			if !strings.Contains(ref, "`"+g.specs[i].name+"`") {
				t.Errorf("the reference lacks %s", g.specs[i].name)
			}
		}
	}
}
