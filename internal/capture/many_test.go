package capture

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/ubus"
)

// TestMany asks for the status of 500 devices at once, which must fit into one
// message of the bus, and of 500 interfaces.
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
	all, st := w.try("network.device", "status", nil)
	took := time.Since(start)
	if st != ubus.StatusOK || len(all) != n {
		t.Fatalf("status %v with %d devices, want %d", st, len(all), n)
	}
	t.Logf("%d devices: %s, %d octets", n, took, len(all.Encode()))
	start = time.Now()
	dump := w.call(ubus.StatusOK, "network.interface", "dump", nil)
	t.Logf("%d interfaces: %s, %d octets", n, time.Since(start), len(dump.Encode()))
	if got := len(byName(dump)); got != n {
		t.Errorf("dump of %d interfaces, want %d", got, n)
	}
	for _, f := range all {
		d, _ := f.Value.(ubus.Table)
		if !d.Has("mtu") || !d.Has("statistics") || !d.Has("bridge-attributes") {
			t.Fatalf("%s lacks fields: %s", f.Name, show(d))
		}
	}
}
