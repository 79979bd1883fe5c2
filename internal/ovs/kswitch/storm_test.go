package kswitch

import (
	"strings"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

// TestStorm sends frames of ever new stations faster than they are answered,
// with nobody answering for a part of the time: every frame arrived, or is
// counted as lost.
func TestStorm(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 2)
	m := w.manager()
	m.Set([]model.Switch{w.bridge("br0")})
	w.settled("br0", 2)
	tx, rx := w.stations[0].tap(t), w.stations[1].tap(t)
	stop := make(chan struct{})
	arrived := rx.count(stop)
	defer close(stop)
	p, err := m.plane("br0")
	if err != nil {
		t.Fatal(err)
	}
	const frames = 40000
	began := time.Now()
	for i := range uint32(frames) {
		if i == 5000 {
			p.mu.Lock() // the answering goroutine stands still
		}
		if i == 20000 {
			p.mu.Unlock()
		}
		tx.send(t, frameOf(mac(i), broadcast, nil, i))
	}
	t.Logf("%d frames of as many stations in %s", frames, time.Since(began))
	var s Status
	nstest.Eventually(t, 60*time.Second, func() string {
		if s, err = m.Status("br0"); err != nil {
			return err.Error()
		}
		if s.Upcalls+s.Lost+s.Datapath.Hit < frames {
			return "frames are missing"
		}
		return ""
	})
	nstest.Eventually(t, 10*time.Second, func() string {
		if uint64(arrived.Load())+s.Lost < frames {
			return "frames have not arrived"
		}
		return ""
	})
	time.Sleep(2 * time.Second)
	if s, err = m.Status("br0"); err != nil {
		t.Fatal(err)
	}
	t.Logf("the flows are read in %s", s.LastPoll)
	t.Logf("arrived %d, upcalls %d, lost %d, overruns %d, switch %+v", arrived.Load(), s.Upcalls, s.Lost, s.Overruns, s.Switch)
	if got := uint64(arrived.Load()) + s.Lost; got != frames || s.Lost == 0 || s.Overruns == 0 {
		t.Errorf("%d arrived and %d lost of %d, %d overruns", arrived.Load(), s.Lost, frames, s.Overruns)
	}
	if s.Refused != 0 {
		t.Errorf("%d requests refused: %v", s.Refused, s.LastRefusal)
	}
	if s.Switch.Stations > 16384 {
		t.Errorf("%d stations", s.Switch.Stations)
	}
	if n := strings.Count(w.log.String(), "frames lost"); n < 1 || n > 6 {
		t.Errorf("%d lines in the log about it:\n%s", n, w.log)
	}
	// It works on.
	w.stations[1].echo(t)
	w.mustPing(w.stations[0], w.stations[1])
}

// TestStormLeavesOthers holds that a storm from one port does not keep the others
// from opening up new flows, and that nobody's known flows suffer at all.
func TestStormLeavesOthers(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 4)
	m := w.manager()
	m.Set([]model.Switch{w.bridge("br0")})
	w.settled("br0", 4)
	tx := w.stations[0].tap(t)
	a, b := w.stations[2], w.stations[3]
	b.echo(t)
	w.mustPing(a, b)
	known := startStream(t, b, w.stations[1], 4000)
	time.Sleep(time.Second)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := uint32(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				tx.send(t, frameOf(mac(i), mac(1<<31+i), nil, i)) // to stations that nobody has
			}
		}
	}()
	time.Sleep(time.Second) // its socket is full
	p, err := m.plane("br0")
	if err != nil {
		t.Fatal(err)
	}
	sock := a.socket(t, 0)
	answered := 0
	for range 20 {
		a.IP("neigh flush dev eth0")
		if err := m.client.FlushFlows(m.ctx, p.dp); err != nil {
			t.Fatal(err)
		}
		if _, ok := a.ping(sock, b, time.Second); ok {
			answered++
		}
	}
	close(stop)
	<-stopped
	s, err := m.Status("br0")
	if err != nil {
		t.Fatal(err)
	}
	sent, lost := known.end()
	t.Logf("answered %d of 20; upcalls %d, lost %d; %d of %d known datagrams lost", answered, s.Upcalls, s.Lost, lost, sent)
	for _, p := range s.Ports {
		switch {
		case p.Name == "p1" && p.UpcallsLost == 0:
			t.Error("the port of the storm has lost nothing: the storm is too weak to show anything")
		case p.Name != "p1" && p.UpcallsLost > 0:
			t.Errorf("port %s has lost %d of %d first frames", p.Name, p.UpcallsLost, p.UpcallsLost+p.Upcalls)
		}
	}
	// Stations have queues of their own, which the storm floods too.
	if answered == 0 || lost != 0 {
		t.Errorf("answered %d of 20, %d of %d known datagrams lost", answered, lost, sent)
	}
}
