package daemon

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
	"netbraid/internal/proto"
)

func decodeJSON(t testing.TB, s string) []map[string]any {
	t.Helper()
	var v []map[string]any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v: %q", err, s)
	}
	return v
}

func show(v any) string { return fmt.Sprint(v) }

func TestCarrier(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.Veth("eth1", "peer1", nil)
	w.ns.Veth("eth2", "peer2", nil)
	w.config(`
config interface 'soft'
	option device 'eth0'
	option proto 'static'
	option ipaddr '10.0.0.1/24'
	option force_link '0'
config interface 'forced'
	option device 'eth1'
	option proto 'static'
	option ipaddr '10.0.1.1/24'
config interface 'patient'
	option device 'eth2'
	option proto 'static'
	option ipaddr '10.0.2.1/24'
	option force_link '0'
	option carrier_loss_delay '1'
`)
	w.start()
	for _, n := range []string{"soft", "forced", "patient"} {
		w.waitState(n, iface.Up)
		w.ns.IP("link set peer" + map[string]string{"soft": "0", "forced": "1", "patient": "2"}[n] + " down")
	}
	lost := time.Now()
	w.waitState("soft", iface.Down)
	w.waitAddrs("eth0")
	if w.state("forced") != iface.Up {
		t.Error("static has force_link by default, and still went down")
	}
	if since := time.Since(lost); since < 700*time.Millisecond && w.state("patient") != iface.Up {
		t.Errorf("patient went down %s after the carrier", since)
	}
	w.waitState("patient", iface.Down)
	if since := time.Since(lost); since < 900*time.Millisecond {
		t.Errorf("patient went down after %s, carrier_loss_delay is 1 s", since)
	}
	w.ns.IP("link set peer0 up")
	w.waitState("soft", iface.Up)
	w.waitAddrs("eth0", "10.0.0.1/24")
}

// waiting is a protocol that never gets an answer, as DHCP without a server,
// until it is told of one; with moves it then makes its own device.
type waiting struct{ l3 string }

func (h *waiting) Handle(in proto.Input) []proto.Output {
	switch in.Kind {
	case proto.Message:
		return []proto.Output{{Kind: proto.Offered, Offer: &proto.Offer{L3Device: h.l3}}}
	case proto.Teardown:
		return []proto.Output{{Kind: proto.Finished}}
	}
	return nil
}

// TestAliasOnWaitingInterface is the problem that the analysis of netifd opens
// with: a static alias on an interface whose own protocol waits.
func TestAliasOnWaitingInterface(t *testing.T) {
	parent := "config interface 'lan'\n\toption type 'bridge'\n\toption ifname 'eth0 eth1'\n\toption force_link '1'\n\toption proto 'dhcp'\n"
	alias := "config alias 'lan_alias'\n\toption interface 'lan'\n\toption proto 'static'\n\toption ipaddr '192.168.100.1'\n\toption netmask '255.255.255.0'\n"
	reverse := "config interface 'lan'\n\toption type 'bridge'\n\toption ifname 'eth0 eth1'\n\toption proto 'static'\n\toption ipaddr '192.168.100.1/24'\n" +
		"config alias 'lan_alias'\n\toption interface 'lan'\n\toption proto 'dhcp'\n"
	for name, c := range map[string]string{"parent first": parent + alias, "alias first": alias + parent} {
		t.Run(name, func(t *testing.T) {
			w := waitingWorld(t)
			w.config(c)
			w.start()
			w.waitState("lan_alias", iface.Up)
			w.waitAddrs("br-lan", "192.168.100.1/24")
			if s := w.state("lan"); s != iface.SettingUp {
				t.Errorf("lan is %s, not waiting in SETUP", s)
			}
			// The answer comes: nothing happens to the alias.
			w.on(func(c *core.Core) { w.d.step(core.Delivered{Interface: "lan"}) })
			w.waitState("lan", iface.Up)
			w.waitState("lan_alias", iface.Up)
			w.expectEvents("ifup lan_alias", "ifup lan")
			// The parent is taken down: so is the alias.
			w.command(core.VerbDown, "lan")
			w.waitState("lan_alias", iface.Down)
		})
	}
	t.Run("static parent, waiting alias", func(t *testing.T) {
		w := waitingWorld(t)
		w.config(reverse)
		w.start()
		w.waitState("lan", iface.Up)
		w.waitState("lan_alias", iface.SettingUp)
		w.waitAddrs("br-lan", "192.168.100.1/24")
	})
	t.Run("no link, no alias", func(t *testing.T) {
		w := waitingWorld(t)
		w.ns.IP("link set peer0 down")
		w.ns.IP("link set peer1 down")
		w.config(strings.Replace(parent, "option force_link '1'", "option force_link '0'", 1) + alias)
		w.start()
		if s := w.state("lan_alias"); s != iface.Down {
			t.Errorf("the alias is %s though its device has no link", s)
		}
		w.ns.IP("link set peer0 up")
		w.waitState("lan_alias", iface.Up)
	})
}

func waitingWorld(t *testing.T) *world {
	w := newWorld(t)
	w.protos["dhcp"] = proto.Spec{Name: "dhcp", New: func() proto.Handler { return &waiting{} }}
	w.protos["ppp"] = proto.Spec{Name: "ppp", Flags: proto.Flags{MovesL3: true}, New: func() proto.Handler { return &waiting{l3: "ppp0"} }}
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.Veth("eth1", "peer1", nil)
	return w
}

// expectEvents compares what has been published so far.
func (w *world) expectEvents(want ...string) {
	w.t.Helper()
	var got []string
	for {
		select {
		case e := <-w.events:
			got = append(got, e)
			continue
		case <-time.After(50 * time.Millisecond):
		}
		break
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		w.t.Errorf("events: %s; want %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

// TestAliasFollowsLayer3Device: a protocol that makes its own device keeps the
// alias waiting until that is there; a handler that moves it takes the alias
// along without a gap.
func TestAliasFollowsLayer3Device(t *testing.T) {
	w := waitingWorld(t)
	w.ns.IP("link add ppp0 type veth peer name pppx")
	w.ns.IP("link set pppx up")
	w.config("config interface 'wan'\n\toption device 'eth0'\n\toption proto 'ppp'\n" +
		"config alias 'wan_alias'\n\toption interface 'wan'\n\toption proto 'static'\n\toption ipaddr '10.9.0.1/24'\n")
	w.start()
	if s := w.state("wan_alias"); s != iface.Down {
		t.Fatalf("the alias is %s before PPP has its device", s)
	}
	w.on(func(c *core.Core) { w.d.step(core.Delivered{Interface: "wan"}) })
	w.waitState("wan_alias", iface.Up)
	w.waitAddrs("ppp0", "10.9.0.1/24")
	w.waitAddrs("eth0")
	w.expectEvents("ifup wan", "ifup wan_alias")
}

// mover is a protocol that starts on the main device and moves its layer 3
// device elsewhere when told.
type mover struct{}

func (h *mover) Handle(in proto.Input) []proto.Output {
	switch in.Kind {
	case proto.Setup:
		return []proto.Output{{Kind: proto.Offered, Offer: &proto.Offer{}}}
	case proto.Message:
		return []proto.Output{{Kind: proto.Offered, Offer: &proto.Offer{L3Device: "eth1"}}}
	case proto.Teardown:
		return []proto.Output{{Kind: proto.Finished}}
	}
	return nil
}

func TestAliasMovesWithoutAGap(t *testing.T) {
	w := waitingWorld(t)
	w.protos["mover"] = proto.Spec{Name: "mover", New: func() proto.Handler { return &mover{} }}
	w.config("config interface 'wan'\n\toption device 'eth0'\n\toption proto 'mover'\n" +
		"config interface 'al'\n\toption device '@wan'\n\toption proto 'static'\n\toption ipaddr '10.9.0.1/24'\n")
	w.start()
	w.waitState("al", iface.Up)
	w.waitAddrs("eth0", "10.9.0.1/24")
	w.on(func(c *core.Core) { w.d.step(core.Delivered{Interface: "wan"}) })
	w.waitAddrs("eth1", "10.9.0.1/24")
	w.waitAddrs("eth0")
	if s := w.state("al"); s != iface.Up {
		t.Errorf("the alias is %s", s)
	}
	w.expectEvents("ifup wan", "ifup al", "ifupdate wan", "ifupdate al")
}

func TestMetricAndTables(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.Veth("eth1", "peer1", nil)
	w.config(`
config interface 'm'
	option device 'eth0'
	option proto 'static'
	option ipaddr '10.0.0.1/24'
	option gateway '10.0.0.254'
	option metric '50'
config interface 't'
	option device 'eth1'
	option proto 'static'
	option ipaddr '10.0.1.1/24'
	option gateway '10.0.1.254'
	option ip4table '100'
config route
	option interface 'm'
	option target '10.20.0.0/16'
	option gateway '10.0.0.2'
	option metric '7'
	option mtu '1300'
config route
	option target '10.66.0.0/16'
	option type 'blackhole'
config route6
	option target '2001:db8:66::/48'
	option type 'unreachable'
`)
	w.start()
	w.waitState("m", iface.Up)
	w.waitState("t", iface.Up)
	has := func(cmd string, want ...string) {
		t.Helper()
		for _, x := range want {
			nstest.Eventually(t, 3*time.Second, func() string {
				if got := w.ns.IP(cmd); !strings.Contains(got, x) {
					return "ip " + cmd + " lacks " + x + ": " + got + w.describe()
				}
				return ""
			})
		}
	}
	has("route show", "default via 10.0.0.254 dev eth0 proto static metric 50", "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1 metric 50",
		"10.20.0.0/16 via 10.0.0.2 dev eth0 proto static metric 7 mtu 1300", "blackhole 10.66.0.0/16 proto static")
	has("route show table 100", "default via 10.0.1.254 dev eth1 proto static", "10.0.1.0/24 dev eth1 proto static scope link src 10.0.1.1")
	has("-6 route show", "unreachable 2001:db8:66::/48 dev lo proto static metric 1024")
	has("rule show", "10000:	from 10.0.1.1 lookup 100", "20000:	from all to 10.0.1.0/24 lookup 100", "iif lo lookup 100")
	w.command(core.VerbDown, "t")
	nstest.Eventually(t, 3*time.Second, func() string {
		if got := w.ns.IP("rule show"); strings.Contains(got, "lookup 100") {
			return got
		}
		return ""
	})
}

func TestStaticOptions(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config(`
config interface 's'
	option device 'eth0'
	option proto 'static'
	list ipaddr '10.0.0.1/24'
	list ipaddr '10.0.0.2'
	option netmask '255.255.255.0'
	option broadcast '10.0.0.127'
	option ip6addr '2001:db8::1/64'
	option ip6deprecated '1'
config interface 'p'
	option device '@s'
	option proto 'static'
	option ipaddr '10.1.0.1/32'
	option ptpaddr '10.1.0.2'
`)
	w.start()
	w.waitState("s", iface.Up)
	w.waitState("p", iface.Up)
	out := w.ns.IP("addr show dev eth0")
	for _, want := range []string{"inet 10.0.0.1/24 brd 10.0.0.127", "inet 10.0.0.2/24 brd 10.0.0.127", "inet 10.1.0.1 peer 10.1.0.2/32", "2001:db8::1/64 scope global deprecated"} {
		if !strings.Contains(out, want) {
			t.Errorf("ip addr lacks %q:\n%s", want, out)
		}
	}
}
