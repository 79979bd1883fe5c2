package api

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/dataplane"
	"netbraid/internal/pair"
	"netbraid/internal/pair/fib"
	"netbraid/ubus"
)

// TestPairs: pairs of the configuration and pairs that are added, through the
// core.
func TestPairs(t *testing.T) {
	b := newBench(t)
	if got, _ := b.call("netbraid.pair", "list", nil); got != `{"pairs":[],"more":0}` {
		t.Error(got)
	}
	b.step(core.Configured{Config: &config.Config{
		Devices:    []*config.Device{{Name: "br0", Type: config.Bridge, BridgeEmpty: true}},
		Dataplanes: []*config.Dataplane{{Name: "vpp", Type: config.VPP, Socket: "/nowhere", Window: 1024}, {Name: "fwd", Type: config.NetNS, NetNS: "/run/netns/fwd", Window: 1024}},
		Pairs:      []*config.Pair{{Name: "wan", Dataplane: "vpp", Phy: "eth0", Host: "wan", Sync: true, Queues: 1}},
	}})
	args := func(kv ...any) (out ubus.Table) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, ubus.Field{Name: kv[i].(string), Value: kv[i+1]})
		}
		return out
	}
	const ok = `{"ok":true,"problems":[],"more":0}`
	for _, c := range []struct {
		method string
		args   ubus.Table
		st     ubus.Status
		want   string
	}{
		{"add", args("name", "lan", "dataplane", "fwd", "phy", "eth1", "auto_subif", true, "queues", int32(2)), ubus.StatusOK, `{"ok":true,"problems":[{"file":"ubus","line":0,"severity":"warning","section":"pair lan","option":"queues"`},
		{"add", args("name", "lan", "dataplane", "fwd", "phy", "eth2"), ubus.StatusOK, "contradicts section pair lan"},
		{"add", args("name", "x", "dataplane", "vpp", "phy", "eth0"), ubus.StatusOK, "it has this interface"},
		{"add", args("name", "br0", "dataplane", "vpp", "phy", "eth9"), ubus.StatusOK, "a device of type bridge"},
		{"add", args("name", "x", "phy", "eth9"), ubus.StatusOK, "there are several dataplanes"},
		{"add", args("dataplane", "vpp", "phy", "eth9"), ubus.StatusOK, "a pair without a name needs option host"},
		{"add", args("name", "x", "dataplane", "fwd", "phy", "eth9", "netns", "fwd"), ubus.StatusOK, `"option":"netns","value":"fwd"`},
		{"add", args("name", "x", "dataplane", "vpp", "phy", ubus.Table{}), ubus.StatusInvalidArgument, ""},
		{"del", args("name", "wan"), ubus.StatusNotSupported, ""},
		{"del", args("name", "x"), ubus.StatusNotFound, ""},
		{"list", nil, ubus.StatusOK, `{"pairs":[{"name":"wan","dataplane":"vpp","phy":"eth0","host":"wan","netns":"","sync":true,"auto_subif":false,"tun":false,"queues":1,"added":false},` +
			`{"name":"lan","dataplane":"fwd","phy":"eth1","host":"lan","netns":"","sync":true,"auto_subif":true,"tun":false,"queues":2,"added":true}],"more":0}`},
		{"del", args("name", "lan"), ubus.StatusOK, ""},
		{"del", args("name", "lan"), ubus.StatusNotFound, ""},
		{"status", args("dataplane", "none"), ubus.StatusNotFound, ""},
	} {
		got, st := b.call("netbraid.pair", c.method, c.args)
		if st != c.st || !strings.Contains(got, c.want) || c.want == ok && got != ok {
			t.Errorf("%s %s: %v %s\nwant %v %s", c.method, text(c.args), st, got, c.st, c.want)
		}
	}
	got, _ := b.call("netbraid.pair", "status", nil)
	if !strings.HasPrefix(got, `{"dataplanes":[{"name":"vpp","type":"vpp","socket":"/nowhere","state":"`) || !strings.Contains(got, `{"name":"fwd","type":"netns","netns":"/run/netns/fwd","state":"`) {
		t.Error(got)
	}
	if got, _ := b.call("netbraid.pair", "status", args("dataplane", "fwd")); strings.Contains(got, "/nowhere") || !strings.Contains(got, `"fwd"`) {
		t.Error(got)
	}
}

// TestPlaneStatus: every member of the answer.
func TestPlaneStatus(t *testing.T) {
	now := time.Unix(1000, 0)
	st := pair.Status{Name: "vpp", State: "waiting", Err: "refused", RetryIn: 1500 * time.Millisecond, Since: now.Add(-3 * time.Second), Lost: now.Add(-70 * time.Second),
		Caps: dataplane.Caps{Version: "VPP 26", Missing: []string{"MPLS"}}, Pending: 1, InFlight: 2, Lag: 7 * time.Millisecond,
		Errors: []pair.Error{{Object: "table 7", Message: "no", Attempts: 2, RetryIn: time.Second}},
		Pairs: []pair.PairStatus{
			{Name: "a", Phy: "eth0", Host: "a", NetNS: "/run/netns/b", State: "up", PhyIndex: 0, HostIndex: 7, TUN: true,
				Attrs: []pair.Attr{{Name: "mtu", Owner: "linux", Dataplane: "1500", Linux: "1400"}}, Errors: []pair.Error{{Object: "mtu of eth0", Message: "no"}}},
			{Phy: "eth0.5", Host: "a.5", Parent: "eth0", Sub: dataplane.Sub{Outer: 5, Inner: 6, OuterAD: true}, State: "waiting for phy", Reason: "no", PhyIndex: dataplane.NoIndex}},
		FIB: fib.Status{Phase: "up", Routes: 1, Have: 2, Tables: 3, PathSets: 4, Bytes: 5, Queued: 6, InFlight: 7, Waiting: 8, Unsupported: 9, Differences: 10, Unclaimed: 11, Taken: 12, Walking: true,
			Skipped: []fib.Skipped{{NS: 1, Reason: "local", Routes: 13}},
			Failures: []fib.Failure{{Key: dataplane.RouteKey{Table: 2, Prefix: netip.MustParsePrefix("10.0.0.0/8")}, Err: "no", Tries: 3, Retry: now.Add(2 * time.Second)},
				{Key: dataplane.RouteKey{Label: 100, EOS: true}, Err: "no"}, {Key: dataplane.RouteKey{Label: 101}, Err: "no", Retry: now.Add(-time.Second)}}}}
	const want = `{"name":"vpp","type":"vpp","socket":"/s","state":"waiting","error":"refused","retry-in-ms":1500,"disconnected":70,"since":3,"version":"VPP 26","missing":["MPLS"],"pending":1,"in-flight":2,"lag-ms":7,` +
		`"errors":[{"object":"table 7","message":"no","attempts":2,"retry-in-ms":1000}],` +
		`"pairs":[{"name":"a","phy":"eth0","host":"a","netns":"/run/netns/b","state":"up","phy-index":0,"host-index":7,"tun":true,"attributes":{"mtu":{"owner":"linux","dataplane":"1500","linux":"1400","in-step":false}},` +
		`"errors":[{"object":"mtu of eth0","message":"no","attempts":0}]},` +
		`{"name":"","phy":"eth0.5","host":"a.5","netns":"","state":"waiting for phy","reason":"no","parent":"eth0","vlan":"802.1ad 5.6","attributes":{},"errors":[]}],"more":0,` +
		`"fib":{"phase":"up","routes":1,"have":2,"differences":10,"tables":3,"path-sets":4,"bytes":5,"queued":6,"in-flight":7,"waiting":8,"unsupported":9,"unclaimed":11,"taken":12,"walking":true,` +
		`"skipped":[{"ns":1,"reason":"local","routes":13}],"failed":[{"route":"10.0.0.0/8","table":2,"message":"no","attempts":3,"retry-in-ms":2000},` +
		`{"route":"label 100","table":0,"message":"no","attempts":0},{"route":"label 101 (not the last)","table":0,"message":"no","attempts":0,"retry-in-ms":1}]}}`
	if got := text(planeStatus(&config.Dataplane{Name: "vpp", Type: config.VPP, Socket: "/s"}, st, now)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	many := pair.Status{Pairs: make([]pair.PairStatus, maxPairsListed+2)}
	if got := text(planeStatus(&config.Dataplane{Name: "n", Type: config.NetNS, NetNS: "/n"}, many, now)); !strings.Contains(got, `"more":2,`) {
		t.Error("pairs that are left out are not counted")
	}
	for i := range many.Pairs { // as long as they may be
		many.Pairs[i] = pair.PairStatus{Name: strings.Repeat("n", 40), Phy: strings.Repeat("p", 63), Host: strings.Repeat("h", 15), State: "waiting for namespace", PhyIndex: 1, HostIndex: 1}
	}
	if n := len(planeStatus(&config.Dataplane{Name: "n", Type: config.NetNS, NetNS: "/n"}, many, now).Encode()); n > maxReply {
		t.Errorf("an answer of %d pairs has %d octets", maxPairsListed, n)
	}
	if got := pairsNamed(st.Pairs, "a.5"); len(got) != 1 || got[0].Phy != "eth0.5" || len(st.Pairs) != 2 {
		t.Errorf("pairs of a name: %+v", got)
	}
}
