package api

import (
	"fmt"
	"strings"
	"testing"

	"netbraid/ubus"
)

// TestSplit: whatever the length, every field of every device is in exactly one
// reply, each reply fits, and the first has all devices if that is possible.
func TestSplit(t *testing.T) {
	device := func(settings, wire, bridge, other int) ubus.Table {
		text := func(n int) string { return strings.Repeat("x", n) }
		return ubus.Table{{Name: "up", Value: true}, {Name: "flow-control", Value: text(wire)}, {Name: "bridge-attributes", Value: text(bridge)},
			{Name: "rpfilter", Value: text(settings)}, {Name: "statistics", Value: text(other)}}
	}
	for _, c := range []struct {
		devices                       int
		settings, wire, bridge, other int
		replies                       int
		first                         string // fields of the first device in the first reply
	}{
		{1, 1, 1, 1, 1, 1, "up flow-control bridge-attributes rpfilter statistics"},
		{0, 0, 0, 0, 0, 1, ""},
		{500, 500, 500, 500, 400, 1, "up flow-control bridge-attributes rpfilter statistics"},
		{500, 700, 500, 500, 700, 2, "up flow-control bridge-attributes statistics"},
		{500, 100, 1500, 300, 1300, 2, "up bridge-attributes statistics"},
		{500, 1500, 1500, 1500, 1500, 4, "up statistics"},
		{2000, 10, 10, 10, 1000, 3, "up flow-control bridge-attributes rpfilter statistics"},
	} {
		full := ubus.Table{}
		for i := range c.devices {
			full = append(full, ubus.Field{Name: fmt.Sprint("dev", i), Value: device(c.settings, c.wire, c.bridge, c.other)})
		}
		replies := split(full)
		if len(replies) != c.replies {
			t.Errorf("%+v: %d replies", c, len(replies))
		}
		got := map[string]map[string]bool{}
		for i, b := range replies {
			if len(b) > maxReply {
				t.Errorf("%+v: reply %d has %d octets", c, i, len(b))
			}
			for _, d := range ubus.DecodeTable(b) {
				if got[d.Name] == nil {
					got[d.Name] = map[string]bool{}
				}
				for _, f := range d.Value.(ubus.Table) {
					if got[d.Name][f.Name] {
						t.Fatalf("%+v: %s of %s comes twice", c, f.Name, d.Name)
					}
					got[d.Name][f.Name] = true
				}
			}
			if i == 0 && c.devices > 0 {
				var names []string
				for _, f := range ubus.DecodeTable(b)[0].Value.(ubus.Table) {
					names = append(names, f.Name)
				}
				if strings.Join(names, " ") != c.first {
					t.Errorf("%+v: the first reply has %v", c, names)
				}
			}
		}
		for _, d := range full {
			if len(got[d.Name]) != 5 {
				t.Fatalf("%+v: %s has %v", c, d.Name, got[d.Name])
			}
		}
	}
}
