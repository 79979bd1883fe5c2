package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

// TestVLANDevices needs 802.1q, which the host's kernel may lack: VLANs of
// both kinds, implicit ones, one in a bridge, with frames through them.
func TestVLANDevices(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	far := nstest.New(t)
	w.ns.Veth("eth0", "far0", far)
	far.IP("link add link far0 name far0.5 type vlan id 5")
	far.IP("link set far0.5 up")
	far.IP("addr add 10.5.0.2/24 dev far0.5")
	w.config(`
config device
	option name 'svc'
	option type '8021ad'
	option ifname 'eth0'
	option vid '100'
config device
	option name 'br-v'
	option type 'bridge'
	list ports 'eth0.7'
	option vlan_filtering '1'
config interface 'implicit'
	option device 'eth0.5'
	option proto 'static'
	option ipaddr '10.5.0.1/24'
config interface 's'
	option device 'svc'
	option proto 'static'
	option ipaddr '10.100.0.1/24'
config interface 'b'
	option device 'br-v'
	option proto 'static'
	option ipaddr '10.7.0.1/24'
`)
	w.start()
	for _, n := range []string{"implicit", "s", "b"} {
		w.waitState(n, iface.Up)
	}
	for dev, want := range map[string]map[string]any{
		"eth0.5": {"info_kind": "vlan", "id": 5.0, "protocol": "802.1Q"},
		"svc":    {"info_kind": "vlan", "id": 100.0, "protocol": "802.1ad"},
		"eth0.7": {"info_kind": "vlan", "id": 7.0, "master": "br-v"},
		"br-v":   {"vlan_filtering": 1.0},
	} {
		for key, v := range want {
			w.wantLink(dev, key, v)
		}
	}
	nstest.Eventually(t, commandWait, func() string {
		if _, err := far.Try("ping", "-c", "1", "-W", "1", "10.5.0.1"); err != nil {
			return err.Error()
		}
		return ""
	})
	// Another id makes the device anew; the parent going takes them along.
	text := strings.Replace(vlanText(w), "option vid '100'", "option vid '101'", 1)
	w.config(text)
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.wantLink("svc", "id", 101.0)
	w.waitState("s", iface.Up)
	w.waitAddrs("svc", "10.100.0.1/24")
	w.command(core.VerbDown, "implicit")
	w.wantLink("eth0.5", "mtu", nil)
	w.ns.IP("link del eth0")
	w.waitState("s", iface.Down)
	w.waitState("b", iface.Down)
}

// commandWait is generous: the test kernel may be emulated.
const commandWait = 30 * time.Second

func vlanText(w *world) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "config", "network"))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}
