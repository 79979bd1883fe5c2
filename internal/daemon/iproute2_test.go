package daemon

import "testing"

func TestNumberOf(t *testing.T) {
	const text = "#\n# reserved values\n#\n255\tlocal\n0x64 uplink # comment\n300 a b\nx bad\n"
	for name, want := range map[string]uint64{"local": 255, "uplink": 100} {
		if n, ok := numberOf(text, name); !ok || n != want {
			t.Errorf("%s: %d %v, want %d", name, n, ok, want)
		}
	}
	for _, name := range []string{"a", "b", "bad", "", "nonesuch"} {
		if n, ok := numberOf(text, name); ok {
			t.Errorf("%q: %d, want none", name, n)
		}
	}
}
