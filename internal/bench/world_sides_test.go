package bench

import (
	"strings"
	"testing"
	"time"
)

// small is the size of the world in which tests look whether the sides of the
// benchmarks do what is measured.
const small = 3000

// TestSidesReadTheSame: who is compared sees the same routes.
func TestSidesReadTheSame(t *testing.T) {
	w := newWorld(t, small)
	m := w.model(t, bigBuffer)
	if r := m.ask("resync"); r.N != 0 || r.Values["live routes"] < small {
		t.Errorf("a resync without changes reports %d changes; %v", r.N, r.Values)
	}
	if n := startRole(t, w.ns, "vishvananda").ask("list").N; n < small || n > small+10 {
		t.Errorf("vishvananda sees %d routes", n)
	}
	if c, why := startC(t, w.ns, "dump"); c == nil {
		t.Log(why)
	} else if n := c.ask("go").N; n < small || n > small+50 {
		t.Errorf("dump.c sees %d routes", n)
	}
	if c, why := startBird(t, w.ns); c == nil {
		t.Log(why)
	} else {
		c.ask("learn %s", t.TempDir())
		if n := c.ask("count").N; n != small {
			t.Errorf("BIRD has learned %d routes", n)
		}
		c.ask("scan")
	}
}

// TestSidesHearTheSame: each side takes the whole backlog.
func TestSidesHearTheSame(t *testing.T) {
	w := newWorld(t, small)
	sides := []*child{startRole(t, w.ns, "bare"), startRole(t, w.ns, "model")}
	if c, why := startC(t, w.ns, "notify"); c == nil {
		t.Log(why)
	} else {
		sides = append(sides, c)
	}
	for _, c := range sides {
		prepare(c)
		sent := w.feed.ask("flap 8000").N
		if heard := c.ask("drain").N; sent != 8000 || heard != sent {
			t.Errorf("%s has heard %d of %d", c.name, heard, sent)
		}
	}
	sides[1].ask("check")
}

// TestRecovery: the mirror is equal to the kernel after a loss, and check sees
// it when it is not.
func TestRecovery(t *testing.T) {
	w := newWorld(t, small)
	m := w.model(t, 250<<10) // room for 600 notifications
	for _, c := range []struct {
		changes string
		rate    int
	}{{"change", 0}, {"undo", 5000}} {
		w.feed.ask("%s", c.changes)
		if c.rate > 0 {
			w.feed.ask("start %d", c.rate)
		}
		if r := m.ask("recover"); r.N < small {
			t.Errorf("after the loss it has %d routes", r.N)
		}
		m.ask("start")
		if c.rate > 0 {
			time.Sleep(300 * time.Millisecond)
			if r := w.feed.ask("stop"); r.N == 0 {
				t.Error("nothing was fed")
			}
		}
		m.ask("stop")
		m.ask("check")
	}

	m.ask("learn %d", bigBuffer)
	m.ask("deaf")
	w.feed.ask("drop")
	if _, err := m.try("check"); err == nil || !strings.Contains(err.Error(), "differs") {
		t.Errorf("check of a mirror that has missed a change says %v", err)
	}
}
