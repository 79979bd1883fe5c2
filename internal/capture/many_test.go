package capture

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/ubus"
)

// TestMany asks for the status of 500 devices at once, which is more than one
// message of the bus holds, and of 500 interfaces.
func TestMany(t *testing.T) {
	const n = 500
	w := newWorld(t, 0, nil)
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "config device\n\toption name 'br%d'\n\toption type 'bridge'\n\toption bridge_empty '1'\n"+
			"config interface 'i%d'\n\toption device 'br%d'\n\toption proto 'static'\n\toption ipaddr '10.%d.%d.1/24'\n", i, i, i, i/250, i%250)
	}
	w.config([]byte(text.String()))
	w.start()
	start := time.Now()
	ctx, cancel := w.ctx()
	defer cancel()
	replies, err := w.client.Call(ctx, "network.device", "status", nil)
	took := time.Since(start)
	if err != nil || len(replies) == 0 || len(replies[0]) != n {
		t.Fatalf("%v; %d replies", err, len(replies))
	}
	all := join(replies)
	t.Logf("%d devices: %s, %d octets in %d replies", n, took, len(all.Encode()), len(replies))
	start = time.Now()
	dump := w.call(ubus.StatusOK, "network.interface", "dump", nil)
	t.Logf("%d interfaces: %s, %d octets", n, time.Since(start), len(dump.Encode()))
	if got := len(byName(dump)); got != n {
		t.Errorf("dump of %d interfaces, want %d", got, n)
	}
	// Everything that one device shows when it is asked for alone is there.
	one := w.call(ubus.StatusOK, "network.device", "status", ubus.Table{{Name: "name", Value: "br7"}})
	for _, f := range all {
		d, _ := f.Value.(ubus.Table)
		for _, x := range one {
			if !d.Has(x.Name) {
				t.Fatalf("%s lacks %s: %s", f.Name, x.Name, show(d))
			}
		}
		if len(d) != len(one) {
			t.Fatalf("%s has %d fields, br7 alone %d", f.Name, len(d), len(one))
		}
	}
	for _, name := range []string{"link-supported", "statistics", "bridge-attributes", "rpfilter", "arp_accept"} {
		if !one.Has(name) {
			t.Errorf("br7 lacks %s: %s", name, show(one))
		}
	}
}

// join puts the replies about devices together.
func join(replies []ubus.Table) ubus.Table {
	var out ubus.Table
	at := map[string]int{}
	for _, r := range replies {
		for _, f := range r {
			i, there := at[f.Name]
			if !there {
				at[f.Name] = len(out)
				out = append(out, f)
				continue
			}
			have, _ := out[i].Value.(ubus.Table)
			more, _ := f.Value.(ubus.Table)
			out[i].Value = append(have, more...)
		}
	}
	return out
}
