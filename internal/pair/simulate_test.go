package pair_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/memory"
)

// The simulation: an engine between two simulated kernels and a dataplane in
// memory, with everything that comes between them in random order, faults, and
// others who change things on both sides. The invariants are checked after
// every step; at rest both sides agree. One seed gives one run.

var pairSeed = flag.Uint64("pair.seed", 0, "run only this seed of the simulation of pairs, with a trace")

func seeds(t *testing.T) uint64 {
	if s := os.Getenv("SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatalf("SEEDS: %v", err)
		}
		return n
	}
	return 1000
}

func TestSimulation(t *testing.T) {
	if *pairSeed != 0 {
		if w := simulate(*pairSeed, func(s string) { t.Log(s) }, nil); w.err != nil {
			t.Fatal(w.err)
		}
		return
	}
	n := seeds(t)
	all := map[string]int{}
	for seed := uint64(1); seed <= n; seed++ {
		w := simulate(seed, nil, nil)
		if w.err != nil {
			t.Fatalf("seed %d: %v\nrun again with: go test ./internal/pair -run 'TestSimulation$' -pair.seed %d -v", seed, w.err, seed)
		}
		for k, v := range w.counts {
			all[k] += v
		}
	}
	t.Logf("%d seeds: %v", n, all)
	if n < 100 {
		return
	}
	for _, what := range append(names(linuxEvents), append(names(dataplaneEvents), names(processEvents)...)...) {
		if all[what] == 0 {
			t.Errorf("%q never happened in %d seeds: the simulation proves nothing of it", what, n)
		}
	}
}

// TestSimulationIsDeterministic runs seeds twice and compares the traces.
func TestSimulationIsDeterministic(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		a, b := simulate(seed, nil, nil), simulate(seed, nil, nil)
		if a.hash.Sum64() != b.hash.Sum64() || a.actions != b.actions {
			t.Fatalf("seed %d: two runs give the traces %x and %x", seed, a.hash.Sum64(), b.hash.Sum64())
		}
	}
}

// TestSimulationSees proves that the simulation catches an engine that is lied
// to: each lie makes some of the seeds fail, and soon.
func TestSimulationSees(t *testing.T) {
	for l, name := range map[lie]string{lieLinks: "a notification of a link is lost", lieAddrs: "a notification of an address is lost",
		lieChanged: "the dataplane does not tell of an interface", lieDumps: "a dump that broke off is called complete",
		lieMade:     "what was made is not written down",
		lieSwallows: "the dataplane says that it did what it did not"} {
		t.Run(name, func(t *testing.T) {
			const most = 100
			for seed := uint64(1); seed <= most; seed++ {
				if w := simulate(seed, nil, func(w *world) { w.lie = l }); w.err != nil {
					t.Logf("caught by seed %d: %.150s", seed, w.err)
					return
				}
			}
			t.Errorf("%d seeds saw nothing", most)
		})
	}
}

func simulate(seed uint64, trace func(string), mutate func(*world)) *world {
	o := memory.Options{Chunk: 1 + int(seed%5)*3, Slow: seed%3 == 0}
	switch seed % 4 {
	case 0:
		o.Caps = namespaceCaps
		o.ForgetsIPv6 = seed%8 == 0
	case 1:
		o.Caps = vppCaps
		o.Caps.Resolves = false
	case 2:
		o.Caps, o.ForgetsIPv6 = vppCaps, true
	default:
		o.Caps = vppCaps
		o.Caps.Local = true
	}
	o.Caps.MPLS = seed%3 > 0
	w := newWorld(seed, o, trace)
	if mutate != nil {
		mutate(w)
	}
	for i := range 3 {
		index := w.dp.AddPhy(fmt.Sprintf("phy%d", i), dataplane.Ethernet)
		w.dp.Outside(&dataplane.Op{Kind: dataplane.SetUp, Index: index, On: w.rng.IntN(4) > 0})
	}
	w.dpFaults()
	w.configure(w.someSpecs()...)
	if seed%2 == 0 {
		w.rest()
	}
	for range 4 {
		w.faults = true
		for range 60 + w.rng.IntN(60) {
			if w.random(); w.err != nil {
				return w
			}
		}
		w.faults = false
		w.note("no more faults")
		w.converge()
		if w.err != nil {
			return w
		}
	}
	return w
}

// dpFaults makes the dataplane fail now and then, as long as faults are on.
func (w *world) dpFaults() {
	w.left = map[uint32]bool{}
	w.dp.Refuse = func(op *dataplane.Op) error {
		if w.faults && w.rng.IntN(25) == 0 {
			if op.Kind == dataplane.SetMulticast && !op.On {
				w.left[op.Index] = true
			}
			return fmt.Errorf("a passing fault")
		}
		return nil
	}
	w.dp.Swallow = func(op *dataplane.Op) bool {
		return w.lies(lieSwallows, op.Kind != dataplane.PairAdd && op.Kind != dataplane.SubAdd)
	}
	w.dp.Lose = func(*dataplane.Op) (before, after bool) {
		if w.faults && w.rng.IntN(60) == 0 {
			return w.rng.IntN(2) == 0, true
		}
		return false, false
	}
	w.dp.SpoilDump = func(dataplane.Kind) error {
		if w.faults && w.rng.IntN(15) == 0 {
			return fmt.Errorf("the dump broke off")
		}
		return nil
	}
}

// converge lets everything come to rest, makes sure of it, and compares.
func (w *world) converge() {
	w.dp.Unreachable = nil
	for _, s := range w.spaces {
		if s.gone {
			w.returns(s)
		}
		if l := s.link("squatter"); l != nil {
			s.remove(l.Index)
		}
		for i := range 3 { // names that others have taken
			if l := s.link(fmt.Sprintf("host%d", i)); l != nil && l.TxQLen == squatter {
				s.remove(l.Index)
			}
		}
	}
	w.rest()
	for range 3 { // duplicate address detection, and what follows from it
		w.advance(10 * time.Second)
		w.rest()
	}
	if w.err != nil {
		return
	}
	if !w.e.Idle() {
		w.fail("at rest and not idle: %+v", w.e.Status(w.now))
	}
	if bad := w.disagreement(); bad != "" {
		for _, p := range w.e.Status(w.now).Pairs {
			w.note("%+v", p)
		}
		w.note("%+v", w.e.Status(w.now).FIB)
		w.fail("at rest: %s\n%s%s", bad, w.spaces[0].kern, w.spaces[1].kern)
		return
	}
	before := w.actions
	w.configure(w.specs...) // everything is looked at again
	w.rest()
	if w.actions != before {
		w.fail("at rest, and looked at again there were %d more actions", w.actions-before)
	}
}
