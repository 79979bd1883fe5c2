package mirror_test

import (
	"fmt"
	"testing"

	"netbraid/internal/nstest"
)

// TestFollow changes everything in small steps and loses nothing: what the
// mirror makes of the notifications, and of what the kernel does not announce,
// must be the kernel's tables after each step. FOLLOW is the number of steps,
// SEED the first seed.
func TestFollow(t *testing.T) {
	standard := 1000
	if testing.Short() {
		standard = 300
	}
	total, first := envInt(t, "FOLLOW", standard), envInt(t, "SEED", 1)
	const perWorld = 50
	for seed := uint64(first); total > 0; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			ns := nstest.New(t)
			p := newProducer(t, ns, seed)
			r := newRig(t, ns, seed, 4<<20)
			r.settle()
			for step := range perWorld {
				r.recent = nil
				p.burst(1 + p.IntN(60))
				if d := r.difference(); len(d) > 0 {
					t.Fatalf("step %d, %s\nhandled:\n%s", step, differ(d), r.history())
				}
			}
			if d := r.lateDifference(); len(d) > 0 {
				t.Fatalf("at the end, %s", differ(d))
			}
			if n := r.e.Stats().Losses; n > 0 {
				t.Errorf("%d losses: the buffer is too small for this test", n)
			}
		})
		if t.Failed() || t.Skipped() {
			return
		}
		total -= perWorld
	}
}
