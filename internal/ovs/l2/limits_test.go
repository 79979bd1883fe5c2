package l2

import (
	"testing"
	"time"

	"netbraid/internal/model"
)

// TestMovesAreBounded lets one address appear behind two ports by turns, as a
// loop does: it moves a few times in every five seconds, frames arrive all the
// time, and when the loop is gone it is where it sends from.
func TestMovesAreBounded(t *testing.T) {
	w := newWorld(Options{})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {}})
	w.arrive(3, frame{src: mac(3), dst: broadcast})
	nextPoll := w.now
	holds := 0
	for i := range 20000 {
		w.now += time.Millisecond
		if w.now >= nextPoll {
			w.pollFlows(false)
			nextPoll = w.now + time.Second
		}
		out, _ := w.arrive(uint32(1+i%2), frame{src: mac(1), dst: mac(3)})
		if len(out) != 1 || out[0].port != 3 {
			t.Fatalf("frame %d went to %v", i, out)
		}
		if err := w.check(true); err != nil {
			t.Fatal(err)
		}
	}
	s := w.b.Stats()
	if s.Moves > 4*holdMoves || s.Moves < holdMoves {
		t.Errorf("%d moves in 20 s", s.Moves)
	}
	if holds = int(s.Holds); holds < 2 || holds > 5 {
		t.Errorf("held %d times in 20 s", holds)
	}
	for range 8 { // the loop is gone; it sends from port 2
		w.now += time.Second
		w.pollFlows(false)
		w.arrive(2, frame{src: mac(1), dst: mac(3)})
	}
	if out, _ := w.arrive(3, frame{src: mac(3), dst: mac(1)}); len(out) != 1 || out[0].port != 2 {
		t.Errorf("it is looked for at %v", out)
	}
}

// TestEviction floods the table from one port: it stays bounded, and stations
// behind other ports stay known.
func TestEviction(t *testing.T) {
	w := newWorld(Options{MaxStations: 100})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {}})
	for i := range 20 {
		w.arrive(2, frame{src: mac(1000 + i), dst: broadcast})
	}
	for i := range 3000 {
		w.now += time.Millisecond
		w.arrive(1, frame{src: mac(2000 + i), dst: mac(1000 + i%20)})
		if err := w.check(true); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		if out, _ := w.arrive(3, frame{src: mac(1), dst: mac(1000 + i)}); len(out) != 1 || out[0].port != 2 {
			t.Errorf("station %d: frame went to %v", i, out)
		}
	}
	if s := w.b.Stats(); s.Evicted < 2900 || s.Stations > 100 {
		t.Errorf("%+v", s)
	}
}

// TestFlowLimits holds that frames are forwarded when there is no room for
// flows, neither in number nor in actions.
func TestFlowLimits(t *testing.T) {
	for name, o := range map[string]Options{"flows": {MaxFlows: 50}, "actions": {MaxActions: 100}} {
		w := newWorld(o)
		w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {}})
		full := 0
		for i := range 200 {
			f := frame{src: mac(100 + i), dst: broadcast}
			v := w.b.Packet(w.now, keyOf(1, f))
			w.dp.apply(w.b.Changes())
			if v.Install {
				w.dp.apply([]Change{{Key: keyOf(1, f), Actions: v.Actions()}})
			}
			if v.Full {
				full++
			}
			if len(v.Out) != 1 || len(v.Out[0]) != 2 {
				t.Fatalf("%s: frame %d went to %v", name, i, v.Out)
			}
			if err := w.check(true); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if full != 150 {
			t.Errorf("%s: %d frames found no room, want 150", name, full)
		}
		// A port more makes every flow larger.
		w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {}, 4: {}})
		if err := w.check(true); err != nil {
			t.Errorf("%s, with another port: %v", name, err)
		}
	}
}

// TestManyPorts holds that a list of actions stays below what the kernel takes.
func TestManyPorts(t *testing.T) {
	w := newWorld(Options{})
	ports := map[uint32]VLAN{}
	for i := range uint32(2*maxOutputs + 2) {
		ports[i] = VLAN{}
	}
	w.setPorts(ports)
	v := w.b.Packet(w.now, Key{Port: 0, Src: mac(1), Dst: broadcast})
	n := 0
	for _, l := range v.Out {
		n += len(l)
		if len(l) > maxOutputs {
			t.Errorf("a list of %d actions", len(l))
		}
	}
	if n != 2*maxOutputs+1 || v.Install {
		t.Errorf("%d outputs in %d lists, install %v", n, len(v.Out), v.Install)
	}
}

// TestIdle holds that unused flows go, used ones stay, and that use keeps an
// address known.
func TestIdle(t *testing.T) {
	w := newWorld(Options{Ageing: 30 * time.Second})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {}})
	w.arrive(1, frame{src: mac(1), dst: broadcast})
	w.arrive(2, frame{src: mac(2), dst: mac(1)})
	for range 60 {
		w.now += time.Second
		if _, hit := w.arrive(2, frame{src: mac(2), dst: mac(1)}); hit != (len(w.dp.flows) > 0) {
			t.Fatal("neither a flow nor a miss")
		}
		w.pollFlows(false)
		if w.now == 15*time.Second && len(w.dp.flows) != 1 {
			t.Errorf("%d flows after 15 s, want the one in use", len(w.dp.flows))
		}
	}
	st := w.b.Stations()
	if len(st) != 1 || st[0].MAC != mac(2) || w.now-st[0].Seen > 2*time.Second {
		t.Errorf("stations %+v: want only the one that sends", st)
	}
}

func TestParseVLAN(t *testing.T) {
	for _, c := range []struct {
		in   model.SwitchPort
		want VLAN
		err  bool
	}{
		{in: model.SwitchPort{}, want: VLAN{}},
		{in: model.SwitchPort{Tag: 5}, want: VLAN{Mode: Access, Tag: 5}},
		{in: model.SwitchPort{Tag: 5, Trunks: []uint16{7}}, want: VLAN{Mode: Access, Tag: 5}},
		{in: model.SwitchPort{Trunks: []uint16{7, 3, 7}}, want: VLAN{Trunks: []uint16{3, 7}}},
		{in: model.SwitchPort{Tag: 5, VLANMode: "trunk"}, want: VLAN{}},
		{in: model.SwitchPort{VLANMode: "access"}, want: VLAN{Mode: Access}},
		{in: model.SwitchPort{Tag: 4, Trunks: []uint16{7}, VLANMode: "native-tagged"}, want: VLAN{Mode: NativeTagged, Tag: 4, Trunks: []uint16{7}}},
		{in: model.SwitchPort{Tag: 4, VLANMode: "native-untagged"}, want: VLAN{Mode: NativeUntagged, Tag: 4}},
		{in: model.SwitchPort{VLANMode: "dot1q-tunnel"}, err: true},
		{in: model.SwitchPort{Tag: 4095}, err: true},
		{in: model.SwitchPort{Trunks: []uint16{4096}}, err: true},
	} {
		got, err := ParseVLAN(&c.in)
		if (err != nil) != c.err || !got.equal(&c.want) {
			t.Errorf("%+v: %+v, %v", c.in, got, err)
		}
	}
}

// TestUnreadFlowsStay holds that nothing goes for want of use when use could not
// be read, and that a flow which is left out of one reading stays.
func TestUnreadFlowsStay(t *testing.T) {
	w := newWorld(Options{Ageing: 30 * time.Second})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}})
	w.arrive(1, frame{src: mac(1), dst: broadcast})
	w.arrive(2, frame{src: mac(2), dst: mac(1)})
	for range 60 {
		w.now += time.Second
		w.b.BeginPoll()
		w.b.EndPoll(w.now, false)
		w.dp.apply(w.b.Changes())
	}
	if s := w.b.Stats(); s.Flows != 2 || s.Stations != 2 {
		t.Errorf("after readings that failed: %+v", s)
	}
	w.pollFlows(false) // not used for long: they go
	w.arrive(2, frame{src: mac(2), dst: broadcast})
	w.b.BeginPoll()
	w.b.EndPoll(w.now, true)
	w.dp.apply(w.b.Changes())
	if s := w.b.Stats(); s.Flows != 1 {
		t.Errorf("%d flows, want the one that was left out once", s.Flows)
	}
	w.b.BeginPoll()
	w.b.EndPoll(w.now, true)
	if s := w.b.Stats(); s.Flows != 0 {
		t.Errorf("%d flows that are nowhere", s.Flows)
	}
}
