package kswitch

import (
	"strings"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
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
