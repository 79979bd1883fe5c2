package ovs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
)

var (
	macA = odp.MAC{2, 0, 0, 0, 0, 0xa}
	macB = odp.MAC{2, 0, 0, 0, 0, 0xb}
)

// l2 is a flow of a learning switch.
func l2(dp, in, out uint32, src, dst odp.MAC) odp.FlowRequest {
	const has = odp.HasInPort | odp.HasEthernet
	r := odp.FlowRequest{Datapath: dp, Actions: []odp.Action{odp.Output(out)}}
	r.Match.Key = odp.FlowKey{Has: has, InPort: in, EthSrc: src, EthDst: dst}
	r.Match.Mask = odp.FlowKey{Has: has, InPort: 0xffffffff, EthSrc: odp.Broadcast, EthDst: odp.Broadcast}
	return r
}

// TestKernelFlows makes, changes, finds, counts and deletes flows, and holds
// them against ovs-dpctl.
func TestKernelFlows(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	for _, name := range []string{"i1", "i2", "i3"} {
		w.port(d, odp.TypeInternal, name)
	}
	r := l2(d.Index, 1, 2, macA, macB)
	if err := w.c.CreateFlow(w.ctx, r); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "again", w.c.CreateFlow(w.ctx, r), ErrDuplicate, "key and mask")
	got, err := w.c.Flow(w.ctx, r)
	if err != nil || got.Match.Key.EthSrc != macA || got.Match.Mask.EthDst != odp.Broadcast || !slices.Equal(got.Actions, r.Actions) || got.Used != 0 || got.Packets != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	r.Actions = []odp.Action{odp.PushVLAN(0x8100, 10), odp.Output(3), odp.PopVLAN(), odp.Output(2)}
	if err := w.c.PutFlow(w.ctx, r); err != nil {
		t.Fatal(err)
	}
	if got, err = w.c.Flow(w.ctx, r); err != nil || !slices.Equal(got.Actions, r.Actions) {
		t.Errorf("%+v, %v", got, err)
	}
	r.Actions = nil
	if got, err = w.c.SetFlow(w.ctx, r); err != nil || len(got.Actions) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	more := []odp.FlowRequest{l2(d.Index, 2, 1, macB, macA), w.tunnelFlow(d), w.vlanFlow(d), {Datapath: d.Index, UFID: "0123456789abcdef", Match: l2(0, 3, 1, macA, macA).Match}}
	if err := errors.Join(w.c.PutFlows(w.ctx, more)...); err != nil {
		t.Fatal(err)
	}
	flows, err := w.c.Flows(w.ctx, d.Index)
	if err != nil || len(flows) != 5 {
		t.Fatalf("%d flows, %v", len(flows), err)
	}
	w.sameFlows(d, flows)
	if got, err := w.c.Flow(w.ctx, odp.FlowRequest{Datapath: d.Index, UFID: "0123456789abcdef"}); err != nil || got.UFID != "0123456789abcdef" {
		t.Errorf("%+v, %v", got, err)
	}
	mustBe(t, "by the key of a flow with a UFID", second(w.c.Flow(w.ctx, odp.FlowRequest{Datapath: d.Index, Match: more[3].Match})), ErrNoFlow, "UFID")
	for _, r := range append(more, r) {
		if r.UFID != "" {
			r.Match = odp.Match{}
		}
		if _, err := w.c.DeleteFlow(w.ctx, r); err != nil {
			t.Error(err)
		}
		mustBe(t, "gone", second(w.c.DeleteFlow(w.ctx, r)), ErrNoFlow, "")
	}
	mustBe(t, "delete nothing in particular", second(w.c.DeleteFlow(w.ctx, odp.FlowRequest{Datapath: d.Index})), ErrBadFlow, "neither a key nor a UFID")
	w.manyFlows(d)
}

// tunnelFlow takes what came through a tunnel, and sends through one.
func (w *world) tunnelFlow(d odp.Datapath) odp.FlowRequest {
	vx := w.port(d, odp.TypeVXLAN, "vx0")
	r := l2(d.Index, vx.Number, 1, macA, macB)
	tun := odp.Tunnel{HasID: true, ID: 5, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), HasTTL: true, TTL: 64}
	r.Match.Key.Has |= odp.HasTunnel
	r.Match.Key.Tunnel = tun
	r.Match.Mask.Has |= odp.HasTunnel
	ones := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	r.Match.Mask.Tunnel = odp.Tunnel{HasID: true, ID: 1<<64 - 1, Src: ones, Dst: ones}
	back := odp.Tunnel{HasID: true, ID: 5, Dst: tun.Src, HasTTL: true, TTL: 64, DF: true}
	r.Actions = []odp.Action{odp.SetTunnel(&back), odp.SetPriority(1), odp.SetMark(7), odp.Output(vx.Number)}
	return r
}

// vlanFlow takes frames of VLAN 10, whatever their priority.
func (w *world) vlanFlow(d odp.Datapath) odp.FlowRequest {
	r := l2(d.Index, 3, 1, macB, macA)
	r.Match.Key.Has |= odp.VLANTagged
	r.Match.Key.VLAN = odp.VLANTag{Type: 0x8100, TCI: 10 | odp.VLANPresent}
	r.Match.Mask.Has |= odp.VLANTagged | odp.HasEtherType
	r.Match.Mask.VLAN = odp.VLANTag{Type: 0xffff, TCI: 0x1fff}
	r.Actions = []odp.Action{odp.PopVLAN(), odp.Output(1)}
	return r
}

// sameFlows holds that ovs-dpctl shows as many flows with the same actions.
func (w *world) sameFlows(d odp.Datapath, flows []odp.Flow) {
	w.t.Helper()
	out, err := w.Try("ovs-dpctl", "-m", "dump-flows", d.Name)
	if err != nil {
		w.t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(out), "\n"), func(l string) bool { return !strings.Contains(l, "in_port(") })
	if len(lines) != len(flows) {
		w.t.Errorf("ovs-dpctl shows %d flows:\n%s", len(lines), out)
	}
	names, err := w.c.PortNames(w.ctx, d.Index)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range flows {
		text := odp.FormatFlow(&f, names, Monotonic())
		w.t.Log(text)
		found := slices.ContainsFunc(lines, func(l string) bool {
			return strings.Contains(l, fmt.Sprintf("in_port(%s)", names(f.Match.Key.InPort))) &&
				strings.Contains(l, fmt.Sprintf("eth(src=%s,dst=%s)", f.Match.Key.EthSrc, f.Match.Key.EthDst)) &&
				strings.Contains(l, "packets:0, bytes:0, used:never")
		})
		if !found || !strings.Contains(text, "eth_src="+f.Match.Key.EthSrc.String()) || !strings.Contains(text, "idle=never-used") {
			w.t.Errorf("%s\nis not in\n%s", text, out)
		}
	}
}

// manyFlows makes and lists 3,000 flows, and deletes them at once.
func (w *world) manyFlows(d odp.Datapath) {
	w.t.Helper()
	var rs []odp.FlowRequest
	for i := range 3000 {
		rs = append(rs, l2(d.Index, 1, 2, odp.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}, macB))
	}
	began := time.Now()
	if err := errors.Join(w.c.PutFlows(w.ctx, rs)...); err != nil {
		w.t.Fatal(err)
	}
	put := time.Since(began)
	seen := map[odp.MAC]int{}
	if err := w.c.EachFlow(w.ctx, d.Index, 0, func(f *odp.Flow) error { seen[f.Match.Key.EthSrc]++; return nil }); err != nil || len(seen) != len(rs) {
		w.t.Fatalf("%d flows, %v", len(seen), err)
	}
	w.t.Logf("%d flows made in %v, listed in %v", len(rs), put, time.Since(began)-put)
	stop := errors.New("enough")
	n := 0
	if err := w.c.EachFlow(w.ctx, d.Index, 0, func(*odp.Flow) error { n++; return stop }); err != stop || n != 1 {
		w.t.Errorf("%d flows, %v", n, err)
	}
	if err := w.c.FlushFlows(w.ctx, d.Index); err != nil {
		w.t.Fatal(err)
	}
	if left, err := w.c.Flows(w.ctx, d.Index); err != nil || len(left) != 0 {
		w.t.Errorf("%d flows are left, %v", len(left), err)
	}
}

// TestKernelFlowRefusals holds that each flow that the kernel refuses is refused
// with the reason, and that nothing is said against what it accepts.
func TestKernelFlowRefusals(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	base := func(change func(*odp.FlowRequest)) odp.FlowRequest {
		r := l2(d.Index, 1, 2, macA, macB)
		r.Probe = true
		change(&r)
		return r
	}
	key := func(change func(k, m *odp.FlowKey)) odp.FlowRequest {
		return base(func(r *odp.FlowRequest) { change(&r.Match.Key, &r.Match.Mask) })
	}
	etherType := func(v uint16) odp.FlowRequest {
		return key(func(k, _ *odp.FlowKey) { k.Has |= odp.HasEtherType; k.EtherType = v })
	}
	tagged := func(key, mask odp.VLANTag, inside odp.Fields) odp.FlowRequest {
		r := base(func(*odp.FlowRequest) {})
		r.Match.Key.Has |= odp.VLANTagged
		r.Match.Key.VLAN = key
		r.Match.Mask.Has |= odp.VLANTagged | inside
		r.Match.Mask.VLAN = mask
		return r
	}
	ten := odp.VLANTag{Type: 0x8100, TCI: 10 | odp.VLANPresent}
	for _, c := range []struct {
		name   string
		r      odp.FlowRequest
		reason error // nil: accepted
		words  string
	}{
		{"no key", odp.FlowRequest{Datapath: d.Index}, ErrBadFlow, "no key"},
		{"in_port 65535", key(func(k, _ *odp.FlowKey) { k.InPort = 65535 }), ErrBadFlow, "65535"},
		{"absent port", key(func(k, _ *odp.FlowKey) { k.InPort = 999 }), nil, ""},
		{"any port", key(func(k, m *odp.FlowKey) { k.Has, m.Has = odp.HasEthernet, odp.HasEthernet }), nil, ""},
		{"no addresses", key(func(k, m *odp.FlowKey) { k.Has, m.Has = odp.HasInPort, odp.HasInPort }), ErrBadFlow, "Ethernet addresses"},
		{"IPv4 without its header", etherType(0x0800), ErrBadFlow, "IPv4 header"},
		{"IPv6 without its header", etherType(0x86dd), ErrBadFlow, "IPv6 header"},
		{"ARP without it", etherType(0x0806), ErrBadFlow, "ARP"},
		{"LLDP", etherType(0x88cc), nil, ""},
		{"a length as type", etherType(0x0100), ErrBadFlow, "length"},
		{"TCP without ports", key(func(k, _ *odp.FlowKey) {
			k.Has |= odp.HasEtherType | odp.HasIPv4
			k.EtherType, k.IP.Proto = 0x0800, 6
		}), ErrBadFlow, "TCP ports"},
		{"TCI without its bit", tagged(odp.VLANTag{Type: 0x8100, TCI: 10}, odp.VLANTag{Type: 0xffff, TCI: 0x1fff}, odp.HasEtherType), ErrBadFlow, "0x1000"},
		{"VLAN", tagged(ten, odp.VLANTag{Type: 0xffff, TCI: 0x1fff}, odp.HasEtherType), nil, ""},
		{"any VLAN", tagged(ten, odp.VLANTag{Type: 0xffff, TCI: 0x1000}, odp.HasEtherType), nil, ""},
		{"VLAN mask without its bit", tagged(ten, odp.VLANTag{Type: 0xffff, TCI: 0x0fff}, odp.HasEtherType), ErrBadFlow, "0x1000"},
		{"part of the tag's type", tagged(ten, odp.VLANTag{Type: 0xff00, TCI: 0x1fff}, odp.HasEtherType), ErrBadFlow, "0xffff"},
		{"VLAN mask with nothing inside", tagged(ten, odp.VLANTag{Type: 0xffff, TCI: 0x1fff}, 0), ErrBadFlow, "inside"},
		{"VLAN in the mask alone", key(func(_, m *odp.FlowKey) {
			m.Has |= odp.VLANTagged | odp.HasEtherType
			m.VLAN = odp.VLANTag{Type: 0xffff, TCI: 0x1fff}
		}), ErrBadFlow, "the key has none"},
		{"output to 65535", base(func(r *odp.FlowRequest) { r.Actions = []odp.Action{odp.Output(65535)} }), ErrBadFlow, "65535"},
		{"output to an absent port", base(func(r *odp.FlowRequest) { r.Actions = []odp.Action{odp.Output(998)} }), nil, ""},
		{"drop", base(func(r *odp.FlowRequest) { r.Actions = nil }), nil, ""},
		{"truncation to 13", base(func(r *odp.FlowRequest) { r.Actions = []odp.Action{odp.Trunc(13), odp.Output(1)} }), ErrBadFlow, "trunc(13)"},
		{"tag of type 0x9100", base(func(r *odp.FlowRequest) { r.Actions = []odp.Action{odp.PushVLAN(0x9100, 1)} }), ErrBadFlow, "0x9100"},
		{"unknown action", base(func(r *odp.FlowRequest) { r.Actions = []odp.Action{{Type: 99}} }), ErrBadFlow, "99"},
		{"UFID of 17", base(func(r *odp.FlowRequest) { r.UFID = "seventeen octets!" }), nil, ""},
		{"no datapath", base(func(r *odp.FlowRequest) { r.Datapath = 9999 }), ErrNoDatapath, "9999"},
		{"exact", base(func(r *odp.FlowRequest) { r.Match.Exact = true }), nil, ""},
	} {
		err := w.c.PutFlow(w.ctx, c.r)
		if c.reason != nil {
			mustBe(t, c.name, err, c.reason, c.words)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if err := w.c.FlushFlows(w.ctx, d.Index); err != nil {
			t.Error(err)
		}
	}
	mustBe(t, "change of none", second(w.c.SetFlow(w.ctx, l2(d.Index, 1, 2, macA, macB))), ErrNoFlow, "")
	exec := func(change func(*odp.ExecuteRequest)) error {
		r := odp.ExecuteRequest{Datapath: d.Index, Packet: frame(macA, macB, 0x88b5, 60), Actions: []odp.Action{odp.Output(0)}, Probe: true}
		change(&r)
		return w.c.Execute(w.ctx, r)
	}
	mustBe(t, "execute: 13 octets", exec(func(r *odp.ExecuteRequest) { r.Packet = r.Packet[:13] }), ErrBadPacket, "13")
	mustBe(t, "execute: no datapath", exec(func(r *odp.ExecuteRequest) { r.Datapath = 9999 }), ErrNoDatapath, "9999")
	mustBe(t, "execute: output 65535", exec(func(r *odp.ExecuteRequest) { r.Actions = []odp.Action{odp.Output(65535)} }), ErrBadPacket, "65535")
	if err := exec(func(*odp.ExecuteRequest) {}); err != nil {
		t.Error(err)
	}
}

// frame is an Ethernet frame.
func frame(src, dst odp.MAC, typ uint16, size int) []byte {
	b := append(append([]byte{}, dst[:]...), src[:]...)
	b = append(b, byte(typ>>8), byte(typ))
	return append(b, make([]byte, size-len(b))...)
}
