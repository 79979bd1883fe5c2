package mirror_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// envInt is a number that scales a test.
func envInt(t testing.TB, name string, standard int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return standard
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number above 0", name, s)
	}
	return n
}

// storm lets a producer loose on the namespace while the rig naps and works,
// until something has been lost, and then until both are done.
func (r *rig) storm(p *producer) {
	r.t.Helper()
	lost := r.e.Stats().Losses
	finished := make(chan struct{})
	n := 300 + r.rng.IntN(900)
	go func() {
		defer close(finished)
		p.burst(n)
	}()
	over := false
	for !over {
		select {
		case <-finished:
			over = true
		default:
			if r.rng.IntN(40) == 0 {
				time.Sleep(time.Duration(r.rng.IntN(4000)) * time.Microsecond)
			}
			r.step()
		}
	}
	for tries := 0; r.e.Stats().Losses == lost; tries++ {
		if tries == 50 {
			r.t.Fatalf("nothing is lost with a buffer of %d octets: %s", r.rcvbuf, r.state())
		}
		r.settle()
		p.routes(200 << min(tries, 5)) // and nobody reads
		r.settle()
	}
}

// TestOverflow forces loss on the real kernel again and again, while everything
// changes at once, and compares the mirror with the kernel each time. OVERFLOWS
// is the number of losses, SEED the first seed.
func TestOverflow(t *testing.T) {
	total, first := envInt(t, "OVERFLOWS", 200), envInt(t, "SEED", 1)
	const perWorld = 12
	losses, rounds, heard := 0, 0, 0
	refused := map[string]int{}
	for seed := uint64(first); losses < total; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			ns := nstest.New(t)
			p := newProducer(t, ns, seed)
			r := newRig(t, ns, seed, 16<<10<<(seed%4)) // the kernel doubles it
			for range perWorld {
				before := r.e.Stats().Losses
				r.recent = nil
				r.storm(p)
				if d := r.difference(); len(d) > 0 {
					t.Fatalf("after %d losses, %s\nhandled last:\n%s", r.e.Stats().Losses, differ(d), r.history())
				}
				rounds++
				losses += int(r.e.Stats().Losses - before)
			}
			if d := r.lateDifference(); len(d) > 0 {
				t.Fatalf("at the end, %s", differ(d))
			}
			heard += r.heard
			for e, n := range p.refused {
				refused[e.Error()] += n
			}
		})
		if t.Failed() {
			return
		}
		if t.Skipped() {
			return
		}
	}
	t.Logf("%d losses in %d rounds, %d notifications heard, refused: %v", losses, rounds, heard, refused)
}
