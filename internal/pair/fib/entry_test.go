package fib

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEntries holds the index against a map, through runs of neighbours that
// come, go and come again.
func TestEntries(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	ent := entries{seed: 7}
	want := map[entryKey]uint32{}
	var keys []entryKey
	for i := range uint64(600) {
		keys = append(keys, entryKey{lo: 10<<24 + i/3<<8, plen: uint8(22 + i%3), fam: unix.AF_INET, fib: uint16(i % 2)})
	}
	for step := range 200_000 {
		k := keys[rng.IntN(len(keys))]
		if step/20_000%2 == 1 && rng.IntN(3) > 0 { // shrinks
			k = keys[rng.IntN(len(keys)/8)]
		}
		id, there := want[k]
		if got := ent.find(&k); got != id {
			t.Fatalf("step %d: %+v is entry %d, not %d", step, k, got, id)
		}
		switch {
		case !there:
			want[k] = ent.add(&k)
		case rng.IntN(2) == 0:
			ent.remove(id)
			delete(want, k)
		}
		if step%1000 != 0 {
			continue
		}
		if err := ent.checkIndex(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if ent.n != len(want) {
			t.Fatalf("step %d: %d entries, not %d", step, ent.n, len(want))
		}
		for k, id := range want {
			if ent.find(&k) != id {
				t.Fatalf("step %d: %+v is not found", step, k)
			}
		}
	}
	if len(ent.index) > 4*len(keys) {
		t.Fatalf("the index has grown to %d places for %d entries at most", len(ent.index), len(keys))
	}
	for k, id := range want {
		ent.remove(id)
		if ent.find(&k) != 0 {
			t.Fatalf("%+v is still found", k)
		}
	}
	if err := ent.checkIndex(); err != nil {
		t.Fatal(err)
	}
}
