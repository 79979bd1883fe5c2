package kswitch

import (
	"encoding/binary"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/ovs"
	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
)

// stream sends numbered datagrams every millisecond, and counts those that
// arrive.
type stream struct {
	sent, arrived atomic.Int64
	stop          chan struct{}
}

func startStream(t *testing.T, from, to *station, port int) *stream {
	s := &stream{stop: make(chan struct{})}
	rx, tx := to.socket(t, port), from.socket(t, 0)
	go func() {
		buf := make([]byte, 64)
		for {
			if _, _, err := rx.ReadFromUDP(buf); err != nil {
				return
			}
			s.arrived.Add(1)
		}
	}()
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
			n := s.sent.Load()
			if _, err := tx.WriteToUDP(binary.BigEndian.AppendUint64(nil, uint64(n)), &net.UDPAddr{IP: net.ParseIP(to.addr), Port: port}); err == nil {
				s.sent.Add(1)
			}
		}
	}()
	return s
}

// end stops the stream and gives what was lost.
func (s *stream) end() (sent, lost int64) {
	close(s.stop)
	time.Sleep(300 * time.Millisecond)
	sent = s.sent.Load()
	return sent, sent - s.arrived.Load()
}

// TestKilledProcessCostsNoPacket kills the process with SIGKILL while two
// stations send to each other and a third one is silent, and starts another
// one: not one datagram is lost, what the first one knew is known to the next,
// and stations that are new since then are reached again.
func TestKilledProcessCostsNoPacket(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 3)
	br := w.bridge("br0")
	br.Ports[0].Tag, br.Ports[1].Tag, br.Ports[2].Tag = 10, 10, 10
	first := w.startChild(br)
	for _, s := range w.stations {
		s.echo(t)
	}
	w.mustPing(w.stations[0], w.stations[1])
	w.mustPing(w.stations[1], w.stations[0])
	there, back := startStream(t, w.stations[0], w.stations[1], 4000), startStream(t, w.stations[1], w.stations[0], 4001)
	time.Sleep(2 * time.Second)
	first.kill()
	time.Sleep(12 * time.Second) // longer than an idle flow lives
	second := w.startChild(br)
	time.Sleep(4 * time.Second)
	second.kill()
	third := w.startChild(br)
	time.Sleep(4 * time.Second)
	for name, s := range map[string]*stream{"there": there, "back": back} {
		sent, lost := s.end()
		if t.Logf("%s: %d datagrams sent, %d lost", name, sent, lost); lost != 0 || sent < 500 {
			t.Errorf("%s: %d of %d lost", name, lost, sent)
		}
	}
	w.mustPing(w.stations[0], w.stations[2])
	for i, c := range []*child{second, third} {
		if out := c.out.String(); !strings.Contains(out, "taken over") || strings.Contains(out, "level=WARN") {
			t.Errorf("process %d: %s", i+2, out)
		}
	}
	third.kill()

	// The last one is asked to leave: nothing is wanted any more.
	m := w.manager()
	m.Set(nil)
	nstest.Eventually(t, 10*time.Second, func() string {
		if out, err := w.Try("ip", "link", "show", "br0"); err == nil {
			return "br0 is still there: " + out
		}
		return ""
	})
}

// TestAdoptedStationsAreKnown holds that a process that takes over sends to a
// station that it has not heard itself without flooding.
func TestAdoptedStationsAreKnown(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 3)
	br := w.bridge("br0")
	first := w.startChild(br)
	a, b, c := w.stations[0].tap(t), w.stations[1].tap(t), w.stations[2].tap(t)
	a.send(t, frameOf(mac(1), broadcast, nil, 1))
	time.Sleep(200 * time.Millisecond)
	b.send(t, frameOf(mac(2), mac(1), nil, 2)) // a flow from 2 to 1
	if got, ok := a.next(); !ok || got.number != 2 {
		t.Fatalf("%+v %v", got, ok)
	}
	first.kill()
	m := w.manager()
	m.Set([]model.Switch{br})
	w.settled("br0", 3)
	nstest.Eventually(t, 5*time.Second, func() string {
		if s, err := m.Status("br0"); err != nil || !s.Adopted {
			return "flows are not read"
		}
		return ""
	})
	for c2, ok := c.next(); ok; c2, ok = c.next() {
		_ = c2 // the broadcast
	}
	c.send(t, frameOf(mac(3), mac(2), nil, 3))
	if got, ok := b.next(); !ok || got.number != 1 { // the broadcast
		t.Errorf("station 2 got %+v, %v", got, ok)
	}
	if got, ok := b.next(); !ok || got.number != 3 {
		t.Errorf("station 2 got %+v, %v", got, ok)
	}
	if got, ok := a.next(); ok {
		t.Errorf("station 1 got %+v: it was flooded", got)
	}
}

// TestCrashBetween holds what is ours when a process was killed between writing
// down and making, and when somebody else has made the same meanwhile.
func TestCrashBetween(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 2)
	client, err := ovs.Open(t.Context(), w.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	write := func(name string, d madeDatapath) {
		t.Helper()
		r, err := readRecord("", w.FD())
		if err != nil {
			t.Fatal(err)
		}
		r.Datapaths[name] = &d
		if err := r.save(w.options().StateFile); err != nil {
			t.Fatal(err)
		}
	}
	there := func(name string) bool { _, err := client.Datapath(t.Context(), name); return err == nil }

	// Written down, not made: it is made, or forgotten.
	write("br0", madeDatapath{Ports: map[string]uint32{"p1": 0}})
	m := w.manager()
	m.Set([]model.Switch{w.bridge("br0")})
	w.settled("br0", 2)
	m.Close()
	write("gone", madeDatapath{Ports: map[string]uint32{"p1": 0}})
	m = w.manager()
	m.Set(nil)
	w.eventually("what was never made is not forgotten", func() bool {
		r, err := readRecord(w.options().StateFile, w.FD())
		return err == nil && len(r.Datapaths) == 0
	})
	m.Close()
	if !there("br0") {
		t.Fatal("br0 was not in the record any more, and was removed")
	}

	// Made, but its number not written down: it is ours and goes.
	write("br0", madeDatapath{Ports: map[string]uint32{"p1": 0, "p2": 0}})
	m = w.manager()
	m.Set(nil)
	w.eventually("br0 stays", func() bool { return !there("br0") })
	m.Close()

	// Made by somebody else after ours had gone: it stays.
	d, err := client.CreateDatapath(t.Context(), odp.DatapathRequest{Name: "br0"})
	if err != nil {
		t.Fatal(err)
	}
	write("br0", madeDatapath{Index: d.Index + 1, Ports: map[string]uint32{}})
	m = w.manager()
	m.Set([]model.Switch{w.bridge("br0")})
	w.eventually("it is taken", func() bool { return strings.Contains(w.state("br0").Err, "somebody else") })
	m.Set(nil)
	time.Sleep(500 * time.Millisecond)
	if !there("br0") {
		t.Error("somebody else's datapath was removed")
	}
}

// TestNumberGivenAwayWhileDead holds that what a predecessor's flows say of a
// port's number is not believed of another port that gets the number now.
func TestNumberGivenAwayWhileDead(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 4)
	br := w.bridge("br0")
	old := br
	old.Ports = br.Ports[:3]
	first := w.startChild(old)
	one, two, three, four := w.stations[0].tap(t), w.stations[1].tap(t), w.stations[2].tap(t), w.stations[3].tap(t)
	one.send(t, frameOf(mac(1), broadcast, nil, 1))
	if _, ok := two.next(); !ok {
		t.Fatal("no frame")
	}
	two.send(t, frameOf(mac(2), mac(1), nil, 2)) // a flow from port 2
	for {
		got, ok := one.next()
		if !ok {
			t.Fatal("no frame")
		}
		if got.number == 2 {
			break
		}
	}
	one.send(t, frameOf(mac(1), mac(2), nil, 3)) // and one to it
	if got, ok := two.next(); !ok || got.number != 3 {
		t.Fatalf("%+v, %v", got, ok)
	}
	first.kill()
	br.Ports = []model.SwitchPort{br.Ports[0], br.Ports[2], br.Ports[3]}
	m := w.manager()
	m.Set([]model.Switch{br})
	w.settled("br0", 3)
	if p := w.portState("br0", "p4"); p.Number != 2 {
		t.Fatalf("p4 has number %d: the test shows nothing", p.Number)
	}
	for _, c := range []*tap{three, four} {
		for _, ok := c.next(); ok; _, ok = c.next() {
		}
	}
	one.send(t, frameOf(mac(1), mac(2), nil, 4)) // nobody knows where 2 is now
	for i, c := range []*tap{three, four} {
		if got, ok := c.next(); !ok || got.number != 4 {
			t.Errorf("station %d got %+v, %v", i+3, got, ok)
		}
	}
}
