package mirror_test

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// The simulation: an engine on a simulated kernel, and everything that comes
// between them in random order: changes, losses, dumps that run while the
// tables change, that are refused, cut off or interrupted, subscriptions that
// fail, slices of work between events. The invariants are checked after every
// step. One seed gives one run.

var mirrorSeed = flag.Uint64("mirror.seed", 0, "run only this seed of the mirror's simulation, with a trace")

// TestSimulation runs SEEDS seeds; 1,000 is the standard.
func TestSimulation(t *testing.T) {
	if *mirrorSeed != 0 {
		w := newSimWorld(*mirrorSeed, func(s string) { t.Log(s) })
		if err := w.run(); err != nil {
			t.Fatal(err)
		}
		t.Logf("trace %x", w.hash.Sum64())
		return
	}
	n := uint64(envInt(t, "SEEDS", 1000))
	first := uint64(envInt(t, "SEED", 1))
	var mu sync.Mutex
	var all simCounts
	next := first
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next >= first+n || t.Failed() {
			return 0, false
		}
		next++
		return next - 1, true
	}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed, ok := take()
				if !ok {
					return
				}
				w := newSimWorld(seed, nil)
				if err := w.run(); err != nil {
					t.Errorf("seed %d: %v\nrun again with: go test ./internal/mirror -run 'TestSimulation$' -mirror.seed %d -v", seed, err, seed)
					return
				}
				mu.Lock()
				all.add(w.counts, w.e.Stats())
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds: %+v", n, all)
	if n >= 100 {
		all.holdAll(t)
	}
}

// TestSimulationIsDeterministic runs seeds twice and compares the traces.
func TestSimulationIsDeterministic(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		a, b := newSimWorld(seed, nil), newSimWorld(seed, nil)
		if err := a.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := b.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if a.hash.Sum64() != b.hash.Sum64() || a.steps != b.steps {
			t.Fatalf("seed %d: two runs give the traces %x and %x", seed, a.hash.Sum64(), b.hash.Sum64())
		}
	}
}

// run plays a seed to its end: rounds of random events, some of them without
// any loss, and after each everything comes to rest.
func (w *simWorld) run() error {
	w.e.Start(w.now)
	w.check()
	for range 4 {
		w.faults, w.losses = true, w.rng.IntN(2) == 0
		for range 20 + w.rng.IntN(50) {
			if w.random(); w.err != nil {
				return w.err
			}
		}
		w.faults, w.losses = false, false
		w.note("no more faults")
		if err := w.converge(); err != nil {
			return err
		}
	}
	return nil
}

// converge lets everything that is on its way arrive; then the engine must be
// live and equal to the kernel.
func (w *simWorld) converge() error {
	const most = 20_000
	for range most {
		if w.err != nil {
			return w.err
		}
		if w.rest() {
			return w.equal()
		}
		w.drive()
	}
	return fmt.Errorf("not at rest after %d steps: %+v", most, w.e.Status(w.now))
}

func newSimWorld(seed uint64, trace func(string)) *simWorld {
	w := &simWorld{
		rng: rand.New(rand.NewPCG(seed, 0x51)), now: time.Unix(1000, 0), hash: fnv.New64a(), trace: trace,
	}
	w.boot(seed)
	return w
}

// TestSimulationSees proves that the simulation catches an engine that is lied
// to: each lie makes some of the seeds fail, and soon.
func TestSimulationSees(t *testing.T) {
	for _, c := range []struct {
		name string
		lie  lie
	}{
		{"a notification is dropped", lieDropped},
		{"a loss is not reported", lieLoss},
		{"a dump that was cut off is called complete", lieComplete},
		{"an interruption is not mentioned", lieInterrupted},
		{"messages of a dead socket are believed", lieEpoch},
		{"what was announced before the end of a dump comes after it", lieOrder},
	} {
		t.Run(c.name, func(t *testing.T) {
			const most = 600 // the last lie is seen by one in a hundred
			for seed := uint64(1); seed <= most; seed++ {
				w := newSimWorld(seed, nil)
				w.lie = c.lie
				if err := w.run(); err != nil {
					t.Logf("caught by seed %d", seed)
					return
				}
			}
			t.Errorf("%d seeds saw nothing", most)
		})
	}
}
