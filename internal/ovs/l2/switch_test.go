package l2

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mac(n int) MAC { return MAC{2, 0, 0, 0, byte(n >> 8), byte(n)} }

var (
	broadcast = MAC{255, 255, 255, 255, 255, 255}
	group     = MAC{0x33, 0x33, 0, 0, 0, 1}
	lldp      = MAC{0x01, 0x80, 0xc2, 0, 0, 0x0e}
)

// draws of the property tests: few of each, so that things meet.
var (
	drawVLAN = rapid.SampledFrom([]VLAN{
		{}, {}, {Mode: Trunk, Trunks: []uint16{0, 10}}, {Mode: Trunk, Trunks: []uint16{10, 20}},
		{Mode: Access, Tag: 10}, {Mode: Access, Tag: 20}, {Mode: Access},
		{Mode: NativeTagged, Tag: 10}, {Mode: NativeUntagged, Tag: 10}, {Mode: NativeUntagged, Tag: 20, Trunks: []uint16{10}},
	})
	drawTags = rapid.SampledFrom([][]Tag{
		nil, nil, nil, {{0x8100, 0x100a}}, {{0x8100, 0x100a}}, {{0x8100, 0x1014}}, {{0x8100, 0xb00a}}, {{0x8100, 0x7000}}, {{0x88a8, 0x100a}},
		{{0x88a8, 0x100a}, {0x8100, 0x1005}}, {{0x8100, 0x1000}, {0x8100, 0x100a}},
	})
	drawSrc = rapid.SampledFrom([]MAC{mac(1), mac(2), mac(3), mac(4), mac(5), mac(6), {}, group})
	drawDst = rapid.SampledFrom([]MAC{mac(1), mac(2), mac(3), mac(4), mac(5), mac(6), mac(9), broadcast, group, lldp})
)

func drawPorts(t *rapid.T) map[uint32]VLAN {
	ports := map[uint32]VLAN{}
	for n := range uint32(6) {
		if rapid.IntRange(0, 5).Draw(t, "absent") > 0 {
			ports[n] = drawVLAN.Draw(t, "vlan")
		}
	}
	return ports
}

// frames draws frames, most of them such as there have been, and answers to them.
type frames []arrival

type arrival struct {
	in uint32
	f  frame
}

func (s *frames) draw(t *rapid.T) (uint32, frame) {
	what := rapid.IntRange(0, 9).Draw(t, "frame")
	if what < 7 && len(*s) > 0 {
		a := rapid.SampledFrom(*s).Draw(t, "again")
		if what < 2 {
			a.in, a.f.src, a.f.dst = uint32(rapid.IntRange(0, 6).Draw(t, "in")), a.f.dst, a.f.src
			*s = append(*s, a)
		}
		return a.in, a.f
	}
	a := arrival{uint32(rapid.IntRange(0, 6).Draw(t, "in")),
		frame{drawSrc.Draw(t, "src"), drawDst.Draw(t, "dst"), drawTags.Draw(t, "tags")}}
	*s = append(*s, a)
	return a.in, a.f
}

// TestAgainstPlain lets the switch with its flows and the plain switch see the
// same frames: every frame leaves through the same ports with the same tags.
func TestAgainstPlain(t *testing.T) {
	var hits, misses int
	rapid.Check(t, func(t *rapid.T) {
		ageing := 20 * time.Second
		w, ref := newWorld(Options{Ageing: ageing, Idle: 10 * time.Second}), newPlain(ageing)
		var seen frames
		ports := drawPorts(t)
		w.setPorts(ports)
		ref.setPorts(ports)
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			w.now += time.Duration(rapid.IntRange(300, 1500).Draw(t, "ms")) * time.Millisecond
			// Use that was not read when a flow is deleted is lost to the age of its
			// source, so it is read every time.
			w.pollFlows(rapid.Bool().Draw(t, "full"))
			ref.age(w.now)
			switch rapid.IntRange(0, 40).Draw(t, "what") {
			case 0:
				ports = drawPorts(t)
				w.setPorts(ports)
				ref.setPorts(ports)
			case 1:
				w.now += time.Duration(rapid.IntRange(5, 25).Draw(t, "pause")) * time.Second
			default:
				in, f := seen.draw(t)
				got, hit := w.arrive(in, f)
				want, _ := ref.forward(w.now, in, f)
				if !slices.Equal(got, want) {
					t.Fatalf("%s (hit %v) went to %v, want %v", keyOf(in, f), hit, got, want)
				}
				if hit {
					hits++
				} else {
					misses++
				}
			}
			if err := w.check(true); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Logf("%d hits, %d misses", hits, misses)
	if hits < misses/30 {
		t.Errorf("flows were hit %d times in %d frames: the test sees too little of them", hits, hits+misses)
	}
}

// TestAgainstPlainDisturbed adds what goes wrong: flows removed and changed by
// others, and the process replaced by another one that has to begin with what
// the datapath shows. A frame that no flow matches may be flooded where the
// station would be known; one never goes to a wrong port, and a flow that
// remains is right.
func TestAgainstPlainDisturbed(t *testing.T) {
	restarts, kept := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Ageing: time.Hour, Idle: 10 * time.Second}
		w, ref := newWorld(o), newPlain(time.Hour)
		var seen frames
		ports := drawPorts(t)
		w.setPorts(ports)
		ref.setPorts(ports)
		// What was learnt in one VLAN may be taken over in another when the
		// configuration has changed between two processes.
		replaced := false
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			w.now += time.Duration(rapid.IntRange(300, 1500).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 30).Draw(t, "what") {
			case 0: // killed, and another configuration read by the next one
				before := len(w.dp.flows)
				w.b = New(o)
				if rapid.IntRange(0, 2).Draw(t, "other ports") == 0 {
					replaced = true
					ports = drawPorts(t)
				}
				w.setPorts(ports)
				ref.setPorts(ports)
				if rapid.Bool().Draw(t, "frames first") {
					in, f := seen.draw(t)
					w.arrive(in, f)
					ref.forward(w.now, in, f)
				}
				w.pollFlows(true)
				restarts++
				kept += min(before, len(w.dp.flows))
			case 1:
				for k := range w.dp.flows {
					delete(w.dp.flows, k)
					break
				}
			case 2:
				for _, f := range w.dp.flows {
					f.actions = []Action{{Kind: Output, Port: 3}, {Kind: Output, Port: 1}}
					break
				}
				w.pollFlows(true)
			case 3, 4:
				if w.pollFlows(false) && !w.pollFlows(true) {
					w.pollFlows(false)
				}
			default:
				in, f := seen.draw(t)
				got, hit := w.arrive(in, f)
				want, flood := ref.forward(w.now, in, f)
				if !slices.Equal(got, want) && (hit || !slices.Equal(got, flood)) && !(replaced && ref.plausible(in, f, got, flood)) {
					t.Fatalf("%s (hit %v) went to %v, want %v", keyOf(in, f), hit, got, want)
				}
			}
			if err := w.check(false); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Logf("%d restarts, %d flows taken over", restarts, kept)
	if restarts == 0 || kept == 0 {
		t.Error("nothing was taken over: the test sees nothing")
	}
}

// TestChecksSee breaks the world in ways that the two tests above have to see.
func TestChecksSee(t *testing.T) {
	setup := func() *world {
		w := newWorld(Options{})
		w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {}})
		w.arrive(1, frame{src: mac(1), dst: broadcast})
		w.arrive(2, frame{src: mac(2), dst: mac(1)})
		if err := w.check(true); err != nil {
			t.Fatal(err)
		}
		return w
	}
	k := Key{Port: 2, Src: mac(2), Dst: mac(1)}
	for name, harm := range map[string]func(w *world){
		"flow missing in the datapath": func(w *world) { delete(w.dp.flows, k) },
		"flow with other actions":      func(w *world) { w.dp.flows[k].actions = nil },
		"stale flow": func(w *world) {
			e := w.b.stations[station{0, mac(1)}]
			e.port.remove(e)
			w.b.byNumber[3].add(e)
		},
		"count": func(w *world) { w.b.actions++ },
	} {
		w := setup()
		harm(w)
		if err := w.check(true); err == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}

// TestForwarding is a switch's life, written out.
func TestForwarding(t *testing.T) {
	w := newWorld(Options{})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {}})
	for i, c := range []struct {
		in       uint32
		src, dst MAC
		want     string
		hit      bool
	}{
		{1, mac(1), mac(2), "[{2 []} {3 []}]", false}, // unknown: flooded
		{1, mac(1), mac(2), "[{2 []} {3 []}]", false}, // and without a flow
		{2, mac(2), mac(1), "[{1 []}]", false},
		{2, mac(2), mac(1), "[{1 []}]", true},
		{1, mac(1), mac(2), "[{2 []}]", false},
		{1, mac(1), mac(2), "[{2 []}]", true},
		{3, mac(2), mac(1), "[{1 []}]", false}, // moved
		{1, mac(1), mac(2), "[{3 []}]", false}, // the stale flow is gone
		{2, mac(2), mac(1), "[{1 []}]", false}, // back: no flow hides it
		{3, mac(3), mac(2), "[{2 []}]", false},
		{2, mac(9), mac(2), "[]", false}, // both behind one port
		{2, mac(9), mac(2), "[]", true},
		{1, mac(1), lldp, "[]", false},
		{1, mac(1), lldp, "[]", true},
		{1, group, mac(2), "[]", false},
		{7, mac(1), mac(2), "[]", false}, // no port of ours
	} {
		w.now += time.Second
		out, hit := w.arrive(c.in, frame{src: c.src, dst: c.dst})
		if got := fmt.Sprint(out); got != c.want || hit != c.hit {
			t.Errorf("%d: got %s, hit %v; want %s, %v", i, got, hit, c.want, c.hit)
		}
	}
}

// TestReservedForwarded holds that link-local multicast passes when asked for.
func TestReservedForwarded(t *testing.T) {
	w := newWorld(Options{})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}})
	if out, _ := w.arrive(1, frame{src: mac(1), dst: lldp}); len(out) != 0 {
		t.Errorf("forwarded to %v", out)
	}
	w.b.SetOptions(Options{ForwardReserved: true})
	w.dp.apply(w.b.Changes())
	if out, _ := w.arrive(1, frame{src: mac(1), dst: lldp}); len(out) != 1 {
		t.Errorf("forwarded to %v, want port 2", out)
	}
}

// TestPortChange holds that flows that flood follow the ports without a miss,
// and that those of a port that goes are gone before it.
func TestPortChange(t *testing.T) {
	w := newWorld(Options{})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}})
	f := frame{src: mac(1), dst: broadcast}
	w.arrive(1, f)
	w.arrive(2, frame{src: mac(2), dst: mac(1)})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {}})
	if out, hit := w.arrive(1, f); !hit || fmt.Sprint(out) != "[{2 []} {3 []}]" {
		t.Errorf("after port 3 came: %v, hit %v", out, hit)
	}
	w.setPorts(map[uint32]VLAN{1: {}, 3: {}})
	if out, hit := w.arrive(1, f); !hit || fmt.Sprint(out) != "[{3 []}]" {
		t.Errorf("after port 2 went: %v, hit %v", out, hit)
	}
	if n := len(w.dp.flows); n != 1 {
		t.Errorf("%d flows, want that of the broadcast", n)
	}
}
