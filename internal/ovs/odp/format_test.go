package odp

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"netbraid/rtnl/nlattr"
)

// TestFormat holds how flows look, as a line and as JSON.
func TestFormat(t *testing.T) {
	names := func(n uint32) string { return map[uint32]string{1: "eth0", 2: "eth1"}[n] }
	a, b := MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 2}
	l2 := Match{
		Key:  FlowKey{Has: HasRecircID | HasInPort | HasEthernet | HasEtherType, InPort: 1, EthSrc: a, EthDst: b, EtherType: 0x0800},
		Mask: FlowKey{Has: HasRecircID | HasInPort | HasEthernet | HasEtherType, RecircID: 0xffffffff, InPort: 0xffffffff, EthSrc: Broadcast, EthDst: Broadcast},
	}
	tagged := l2
	tagged.Key.Has |= VLANTagged
	tagged.Key.VLAN = VLANTag{0x8100, 10 | 3<<13 | VLANPresent}
	some := tagged
	some.Mask.Has |= VLANTagged
	some.Mask.VLAN = VLANTag{0xffff, 0x1fff}
	multicast := l2
	multicast.Mask.EthDst = MAC{1}
	ip := Match{Exact: true, Key: FlowKey{Has: HasInPort | HasIPv4 | HasTCP | HasTCPFlags, InPort: 7, TCPFlags: 2,
		IP: IP{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Proto: 6, TTL: 64}, TP: Transport{1024, 80}}}
	part := ip
	part.Exact = false
	part.Mask = FlowKey{Has: HasIPv4, IP: IP{Dst: netip.MustParseAddr("255.255.255.0")}}
	nd := Match{Exact: true, Key: FlowKey{Has: HasND, ND: ND{Target: netip.MustParseAddr("2001:db8::1").As16(), SrcMAC: a}}}
	out := []Action{Output(2)}
	for _, c := range []struct {
		f    Flow
		want string
	}{
		{Flow{Match: l2, Actions: out, Packets: 12, Bytes: 1176, Used: 5 * time.Second},
			"in_port=eth0 eth_src=02:00:00:00:00:01 eth_dst=02:00:00:00:00:02: packets=12 bytes=1176 idle=3.0s actions=output(eth1)"},
		{Flow{Match: l2}, "in_port=eth0 eth_src=02:00:00:00:00:01 eth_dst=02:00:00:00:00:02: packets=0 bytes=0 idle=never-used actions=drop"},
		{Flow{Match: tagged, Actions: []Action{PopVLAN(), Output(9)}},
			"in_port=eth0 eth_src=02:00:00:00:00:01 eth_dst=02:00:00:00:00:02 vlan=10,pcp=3: packets=0 bytes=0 idle=never-used actions=pop_vlan,output(9)"},
		{Flow{Match: some, Actions: []Action{PushVLAN(0x88a8, 5), Trunc(64), Recirc(3), Userspace(77, "x"), {Type: 19, Value: 1}, {Type: 24, Value: 2}, {Type: 16}, {Type: 8, Raw: "ab"}}},
			"in_port=eth0 eth_src=02:00:00:00:00:01 eth_dst=02:00:00:00:00:02 vlan=10: packets=0 bytes=0 idle=never-used actions=push_vlan(vid=5,pcp=0,type=0x88a8),trunc(64),recirc(3),userspace(pid=77),meter(1),drop(reason=2),ct_clear,action8(6162)"},
		{Flow{Match: multicast, Actions: out},
			"in_port=eth0 eth_src=02:00:00:00:00:01 eth_dst=02:00:00:00:00:02/01:00:00:00:00:00: packets=0 bytes=0 idle=never-used actions=output(eth1)"},
		{Flow{Match: ip, Actions: out},
			"in_port=7 ip_src=192.0.2.1 ip_dst=192.0.2.2 ip_proto=6 ip_tos=0x0 ip_ttl=64 ip_frag=0 tcp_src=1024 tcp_dst=80 tcp_flags=0x2: packets=0 bytes=0 idle=never-used actions=output(eth1)"},
		{Flow{Match: part, Actions: []Action{SetTunnel(&Tunnel{HasID: true, ID: 5, Dst: netip.MustParseAddr("192.0.2.9"), DF: true}), SetPriority(1)}},
			"ip_dst=192.0.2.2/255.255.255.0: packets=0 bytes=0 idle=never-used actions=set(tun_id=5,tun_dst=192.0.2.9,tun_df=1),set(skb_priority=0x1)"},
		{Flow{Match: nd},
			"nd_target=2001:db8::1 nd_src_mac=02:00:00:00:00:01 nd_dst_mac=00:00:00:00:00:00: packets=0 bytes=0 idle=never-used actions=drop"},
	} {
		if got := FormatFlow(&c.f, names, 8*time.Second); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	f := Flow{Match: some, Actions: out, Packets: 1, Used: 7500 * time.Millisecond, UFID: "\x01"}
	got, err := json.Marshal(ViewFlow(&f, nil, 8*time.Second))
	const want = `{"match":[{"field":"in_port","value":"1"},{"field":"eth_src","value":"02:00:00:00:00:01"},{"field":"eth_dst","value":"02:00:00:00:00:02"},` +
		`{"field":"vlan","value":"10"}],"packets":1,"bytes":0,"idle_ms":500,"actions":["output(2)"],"ufid":"01"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// TestFormatRecorded holds that every flow of the kernel can be shown, and that
// nothing of it is left as octets.
func TestFormatRecorded(t *testing.T) {
	n := 0
	for _, x := range exchanges(t) {
		if x.Dir != "recv" || x.body == nil || !strings.HasPrefix(x.Cmd, FamilyFlow) {
			continue
		}
		f, err := ParseFlow(x.body)
		if err != nil {
			t.Fatal(err)
		}
		n++
		line := FormatFlow(&f, nil, 0)
		if strings.Contains(line, "other=") || strings.Contains(line, "\n") || f.Match.Key.Has&HasEthernet != 0 && f.Match.Mask.EthSrc == Broadcast && !strings.Contains(line, "eth_src=") {
			t.Error(line)
		}
	}
	if n < 60 {
		t.Errorf("%d flows", n)
	}
}

// TestKeys holds both directions of keys that the kernel was not recorded with:
// tunnels, two tags, SCTP, what is not taken apart.
func TestKeys(t *testing.T) {
	full := FlowKey{Has: HasTunnel | HasEthernet | VLANTagged | HasCVLANType | HasCVLAN | HasCEncap | HasEtherType | HasIPv6 | HasExtHdrs | HasSCTP,
		Tunnel: Tunnel{HasID: true, ID: 1 << 40, Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"), HasTOS: true, TOS: 4,
			HasTTL: true, TTL: 64, DF: true, Csum: true, OAM: true, SrcPort: 1, DstPort: 4789},
		VLAN: VLANTag{0x88a8, 0x1005}, CVLAN: VLANTag{0x8100, 0x1006}, EtherType: 0x86dd,
		IP: IP{Src: netip.MustParseAddr("::1"), Dst: netip.MustParseAddr("::2"), Label: 0xfffff, Proto: 132, TOS: 1, TTL: 2, Frag: 1}, ExtHdrs: 3, TP: Transport{5, 6}}
	unknown := FlowKey{Has: HasInPort, InPort: 4, Meta: string(nlattr.AppendRaw(nil, 21, "mpls"))}
	inside := FlowKey{Has: VLANTagged | HasEtherType, VLAN: VLANTag{0x8100, 0x1001}, EtherType: 0x8847, Inner: string(nlattr.AppendRaw(nil, 21, "mpls"))}
	v4 := FlowKey{Has: HasTunnel, Tunnel: Tunnel{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Options: string(nlattr.AppendRaw(nil, 8, "geneve options!!"))}}
	for _, k := range []FlowKey{full, unknown, inside, v4, {}, {Has: VLANTagged, VLAN: VLANTag{0x8100, 0}}, {Has: HasVLAN | HasVLANType, VLAN: VLANTag{0x8100, 0x1001}}} {
		if got, err := ParseKey(AppendKey(nil, &k)); err != nil || got != k {
			t.Errorf("%+v became\n%+v, %v", k, got, err)
		}
	}
	for name, b := range map[string][]byte{
		"length of 3":          {3, 0, 3, 0},
		"longer than there is": {9, 0, 3, 0, 1, 0, 0, 0},
		"short port":           {6, 0, 3, 0, 1, 0, 0, 0},
		"short inside a tag":   append([]byte{12, 0, 1, 0}, 6, 0, 8, 0, 0, 0, 0, 0),
	} {
		if k, err := ParseKey(b); err == nil || k != (FlowKey{}) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}

// TestNames holds which names are refused before the kernel is asked.
func TestNames(t *testing.T) {
	for _, s := range []string{"a", "eth0", "exactly-15-char", "br-lan.5", "ä"} {
		if err := CheckName(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", ".", "..", "a/b", "a b", "a:b", "x%d", "\n", "a\x7f", "sixteen-octets-x", "a\x00b"} {
		if err := CheckName(s); err == nil {
			t.Errorf("%q is let through", s)
		}
	}
}
