package kswitch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/ovs"
	"netbraid/internal/vmtest"
)

// TestThreeStations holds that frames go between three stations, that the
// kernel has the flows then, and that nothing is lost or refused.
func TestThreeStations(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 3)
	m := w.manager()
	m.Set([]model.Switch{w.bridge("br0")})
	w.settled("br0", 3)
	for _, s := range w.stations {
		s.echo(t)
	}
	for i, from := range w.stations {
		for j, to := range w.stations {
			if i != j {
				w.mustPing(from, to)
			}
		}
	}
	c := w.stations[0].socket(t, 0)
	before, _ := m.Status("br0")
	for range 100 {
		if _, ok := w.stations[0].ping(c, w.stations[1], time.Second); !ok {
			t.Error("no answer")
		}
	}
	s, err := m.Status("br0")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Upcalls - before.Upcalls; n > 2 {
		t.Errorf("%d upcalls for 200 frames whose flows were there", n)
	}
	if s.Lost != 0 || s.Refused != 0 || s.Unusable != 0 {
		t.Errorf("lost %d, refused %d (%v), unusable %d", s.Lost, s.Refused, s.LastRefusal, s.Unusable)
	}
	st, _ := m.Stations("br0")
	if len(st) < 3 {
		t.Errorf("stations %+v", st)
	}
	t.Logf("%+v", s)
	// Unused flows go.
	nstest.Eventually(t, 20*time.Second, func() string {
		if s, _ := m.Status("br0"); s.Datapath.Flows > 0 {
			return "unused flows stay"
		}
		return ""
	})
	if strings.Contains(w.log.String(), "level=WARN") {
		t.Errorf("warnings:\n%s", w.log)
	}
}

// TestClose holds that nothing is left of a Manager, and that what it made goes
// on.
func TestClose(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 2)
	before := goleak.IgnoreCurrent()
	m, err := New(w.options())
	if err != nil {
		t.Fatal(err)
	}
	m.Set([]model.Switch{w.bridge("br0")})
	w.settled("br0", 2)
	a, b := w.stations[0].tap(t), w.stations[1].tap(t)
	a.send(t, frameOf(mac(1), broadcast, nil, 1))
	if got, ok := b.next(); !ok || got.number != 1 {
		t.Errorf("%+v, %v", got, ok)
	}
	m.Close()
	goleak.VerifyNone(t, before)
	a.send(t, frameOf(mac(1), broadcast, nil, 2))
	if got, ok := b.next(); !ok || got.number != 2 {
		t.Errorf("after the end: %+v, %v", got, ok)
	}
}

// TestNoModule holds that a kernel without the datapath is told of, with what to
// do.
func TestNoModule(t *testing.T) {
	if vmtest.InVM() {
		t.Skip("this kernel has openvswitch")
	}
	m, err := New(Options{NSFD: -1})
	if err == nil {
		m.Close()
		t.Skip("this kernel has openvswitch")
	}
	if !errors.Is(err, ovs.ErrNoModule) && !errors.Is(err, ovs.ErrPermission) {
		t.Errorf("%v", err)
	}
}
