package kswitch

import (
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"netbraid/internal/model"
	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

func drawTag(t *rapid.T, name string) l2.Tag {
	return l2.Tag{TPID: rapid.SampledFrom([]uint16{0x8100, 0x88a8}).Draw(t, name), TCI: rapid.Uint16().Draw(t, name+" tci") | l2.TCIPresent}
}

// drawTunnels draws tunnels, some of which share a port or the other end.
func drawTunnels(t *rapid.T) *tunnels {
	known := newTunnels()
	for n := range uint32(rapid.IntRange(0, 3).Draw(t, "tunnels")) {
		p := model.SwitchPort{Type: rapid.SampledFrom([]string{"gre", "vxlan", "geneve"}).Draw(t, "type"), Options: []model.KeyValue{
			{Key: "key", Value: rapid.SampledFrom([]string{"1", "0", "0xffffff"}).Draw(t, "key")},
			{Key: "remote_ip", Value: rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}).Draw(t, "remote")},
		}}
		w, v, err := parseTunnel(&p)
		if err != nil {
			t.Fatal(err)
		}
		if !known.add(firstTunnel+uint32(len(known.byNumber)), 7+uint32(v.typ)+n&1, w) {
			continue
		}
	}
	return known
}

// TestTranslation holds that keys and actions come back from the wire as they
// went there.
func TestTranslation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known := drawTunnels(t)
		k := l2.Key{Port: uint32(rapid.IntRange(0, odp.MaxPort).Draw(t, "port"))}
		copy(k.Src[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "src"))
		copy(k.Dst[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "dst"))
		if tags := rapid.IntRange(0, 2).Draw(t, "tags"); tags > 0 {
			k.Tag = drawTag(t, "outer")
			if tags > 1 {
				k.Inner = drawTag(t, "inner")
			}
		}
		if n := rapid.IntRange(0, len(known.byNumber)).Draw(t, "tunnel"); n > 0 {
			k.Port = firstTunnel + uint32(n-1)
		}
		m := known.match(k)
		parsed, err := odp.ParseKey(odp.AppendKey(nil, &m.Key))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := known.toKey(&parsed); !ok || got != k {
			t.Fatalf("%s became %s (%v)", k, got, ok)
		}
		actions := []l2.Action{{Kind: l2.Output, Port: k.Port}, {Kind: l2.PopVLAN}, {Kind: l2.PushVLAN, Tag: drawTag(t, "push")}, {Kind: l2.Output, Port: 3}}
		for n := range known.byNumber {
			actions = append(actions, l2.Action{Kind: l2.Output, Port: n}, l2.Action{Kind: l2.Output, Port: 4})
		}
		wire, err := odp.ParseActions(odp.AppendActions(nil, known.appendActions(nil, actions)))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := known.toActions(wire); !ok || !slices.Equal(got, actions) {
			t.Fatalf("%v became %v (%v)", actions, got, ok)
		}
	})
}

// shown are flows as Linux 6.12 shows them: of ours without a tag, with one,
// with two.
var shown = []string{
	"030100000400000068000100080014000000000008001300000000000800020000000000080003000100000008000f0000000000080016000000000006001700000000000800180000000000140019000000000000000000000000000000000010000400021000000001ffffffffffff7c0007000800140000000000080013000000000008000200000000000c001000050004000000000008000300ffffffff08000f0000000000080016000000000006001700000000000800180000000000140019000000000000000000000000000000000010000400ffffffffffffffffffffffff06000600000000001400020008000100000000000800010002000000",
	"03010000040000007c000100080014000000000008001300000000000800020000000000080003000100000008000f0000000000080016000000000006001700000000000800180000000000140019000000000000000000000000000000000010000400021000000001ffffffffffff060006008100000006000500100a000004000100900007000800140000000000080013000000000008000200000000000c001000050004000000000008000300ffffffff08000f0000000000080016000000000006001700000000000800180000000000140019000000000000000000000000000000000010000400ffffffffffffffffffffffff06000600ffff000006000500ffff00000c00010006000600000000001400020008000100000000000800010002000000",
	"030100000400000090000100080014000000000008001300000000000800020000000000080003000100000008000f0000000000080016000000000006001700000000000800180000000000140019000000000000000000000000000000000010000400021000000001ffffffffffff0600060088a8000006000500100a000018000100060006008100000006000500100b000004000100a40007000800140000000000080013000000000008000200000000000c001000050004000000000008000300ffffffff08000f0000000000080016000000000006001700000000000800180000000000140019000000000000000000000000000000000010000400ffffffffffffffffffffffff06000600ffff000006000500ffff00002000010006000600ffff000006000500ffff00000c00010006000600000000001400020008000100000000000800010002000000",
}

func TestShownFlows(t *testing.T) {
	q := func(tpid, vid uint16) l2.Tag { return l2.Tag{TPID: tpid, TCI: vid | l2.TCIPresent} }
	src, dst := l2.MAC{2, 0x10, 0, 0, 0, 1}, l2.MAC{255, 255, 255, 255, 255, 255}
	want := []l2.Key{
		{Port: 1, Src: src, Dst: dst},
		{Port: 1, Src: src, Dst: dst, Tag: q(0x8100, 10)},
		{Port: 1, Src: src, Dst: dst, Tag: q(0x88a8, 10), Inner: q(0x8100, 11)},
	}
	for i, text := range shown {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		f, err := odp.ParseFlow(b)
		if err != nil {
			t.Fatal(err)
		}
		none := newTunnels()
		s, mine := none.toFound(&f, true)
		if !mine || s.Key != want[i] || !slices.Equal(s.Actions, []l2.Action{{Kind: l2.Output}, {Kind: l2.Output, Port: 2}}) {
			t.Errorf("%d: %+v, mine %v", i, s, mine)
		}
		for name, change := range map[string]func(*odp.Flow){
			"matches more":      func(f *odp.Flow) { f.Match.Mask.EtherType = 0xffff },
			"another key":       func(f *odp.Flow) { f.Match.Key.EtherType = 0x800 },
			"matches less":      func(f *odp.Flow) { f.Match.Mask.EthDst = odp.MAC{} },
			"any port":          func(f *odp.Flow) { f.Match.Mask.InPort = 0xffff0000 },
			"exact":             func(f *odp.Flow) { f.Match.Exact = true },
			"has an identifier": func(f *odp.Flow) { f.UFID = "x" },
			"tunnel":            func(f *odp.Flow) { f.Match.Mask.Tunnel.TTL = 255 },
		} {
			g := f
			change(&g)
			if _, mine := none.toFound(&g, true); mine {
				t.Errorf("%d, %s: counts as ours", i, name)
			}
		}
		g := f
		g.Actions = []odp.Action{odp.Recirc(1)}
		if s, mine := none.toFound(&g, true); !mine || len(s.Actions) != 1 {
			t.Errorf("%d, another action: %+v, ours %v; want it to be replaced", i, s, mine)
		}
		if i > 0 {
			g := f
			g.Match.Mask.VLAN.TCI = 0x1000
			if _, mine := none.toFound(&g, true); mine {
				t.Errorf("%d, any tag: counts as ours", i)
			}
		}
	}
}

// FuzzAnswers holds that no bytes from a socket make what reads them fail in
// another way than by ignoring them, and that requests are bounded.
func FuzzAnswers(f *testing.F) {
	for _, text := range shown {
		body, _ := hex.DecodeString(text)
		f.Add(withHeader(20, body))
	}
	up := odp.AppendExecute(nil, 22, 0, &odp.ExecuteRequest{Datapath: 4, Packet: make([]byte, 60), RawKey: odp.AppendKey(nil, &odp.FlowKey{
		Has: keyFields | odp.HasEtherType, InPort: 1, EthSrc: odp.MAC{2}, EthDst: odp.Broadcast})})
	up[unix.SizeofNlMsghdr] = odp.CmdMiss
	f.Add(up)
	f.Add(withHeader(unix.NLMSG_ERROR, []byte{0xff, 0xff, 0xff, 0xff}))
	f.Add([]byte{0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &plane{log: discard, fam: families{flow: 20, packet: 22}, dp: 4, bridge: l2.New(l2.Options{}), tunnels: newTunnels(), w: &writer{tunnels: newTunnels()}}
		p.bridge.SetPorts([]l2.Port{{Number: 1}, {Number: 2}, {Number: 3, VLAN: l2.VLAN{Mode: l2.Access, Tag: 5}}})
		r := &reading{full: true, tunnels: p.tunnels, foreign: map[l2.Key]struct{}{}}
		var u odp.Upcall
		var fl odp.Flow
		n := 0
		eachMessage(b, func(m message) bool {
			if n++; n > len(b)/unix.SizeofNlMsghdr {
				t.Fatal("more messages than there is room for")
			}
			p.w.refusal(m)
			p.frame(time.Second, &u, m.body)
			if fl.Parse(m.body) == nil {
				r.take(&fl)
			}
			return len(p.w.buf) < maxBatch/2
		})
		if err := p.hand(r); err != nil {
			t.Fatal(err)
		}
		p.bridge.EndPoll(time.Second, true)
		if s := p.bridge.Stats(); s.Flows > n {
			t.Errorf("%d flows of %d messages", s.Flows, n)
		}
	})
}

func withHeader(typ uint16, body []byte) []byte {
	b := ne.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = ne.AppendUint16(b, typ)
	return append(append(b, make([]byte, 10)...), body...)
}
