package rib

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// TestWalk: a walk in slices meets every key that was there all the time,
// however the table changes on the way.
func TestWalk(t *testing.T) {
	for seed := uint64(1); seed <= 100; seed++ {
		rng := rand.New(rand.NewPCG(seed, 2))
		tab := New(0, seed)
		change := func(n int, touched map[model.RouteKey]bool) {
			for range n {
				r := randomRoute(rng)
				if k := model.KeyOfRoute(0, &r); touched != nil {
					touched[k] = true
				}
				put := rng.IntN(3) > 0
				if len(tab.v4.e)+len(tab.v6.e) > 0 && rng.IntN(2) == 0 { // grow or shrink for long
					put = seed%2 == 0
				}
				var err error
				if put {
					_, _, err = tab.Put(body(&r), 0, false)
				} else {
					_, _, err = tab.Delete(body(&r))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		change(200+rng.IntN(2000), nil)
		before, touched, met := tab.Keys(nil), map[model.RouteKey]bool{}, map[model.RouteKey]int{}
		var c Cursor
		slices := 0
		for !tab.Walk(&c, 1+rng.IntN(20), func(uint32) bool { return true }, func(k model.RouteKey) { met[k]++ }) {
			change(rng.IntN(60), touched)
			slices++
		}
		if len(before) > 100 && slices < 3 {
			t.Fatalf("seed %d: %d keys were walked in %d slices", seed, len(before), slices)
		}
		for _, k := range before {
			if met[k] == 0 && !touched[k] {
				t.Fatalf("seed %d: %v was not met", seed, k)
			}
		}
	}
}

// TestWalkWant: what is not wanted is passed over, but for keys with several.
func TestWalkWant(t *testing.T) {
	tab := New(0, 1)
	put := func(dst, gw string, flags uint16) {
		r := rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: 254, Oif: 1, Dst: netip.MustParsePrefix(dst), Gateway: netip.MustParseAddr(gw)}
		if _, _, err := tab.Put(body(&r), flags, false); err != nil {
			t.Fatal(err)
		}
	}
	put("10.0.0.0/24", "192.0.2.1", 0)
	put("10.0.1.0/24", "192.0.2.1", 0)
	put("10.0.2.0/24", "192.0.2.2", 0)
	put("10.0.3.0/24", "192.0.2.1", 0)
	put("10.0.3.0/24", "192.0.2.2", unix.NLM_F_APPEND)
	k := model.RouteKey{Family: unix.AF_INET, Table: 254, Dst: netip.MustParsePrefix("10.0.2.0/24")}
	id, ok := tab.AttrOf(&k)
	if !ok || tab.Attr(id).Route.Gateway != netip.MustParseAddr("192.0.2.2") || tab.Attr(id).Routes != 1 || id >= tab.Attrs() {
		t.Fatalf("AttrOf is %d, %v", id, ok)
	}
	k.Dst = netip.MustParsePrefix("10.0.3.0/24")
	if _, ok := tab.AttrOf(&k); ok {
		t.Fatal("a key with two routes has one set of attributes")
	}
	var met []string
	var c Cursor
	tab.Walk(&c, 1000, func(x uint32) bool { return x == id }, func(k model.RouteKey) { met = append(met, k.Dst.String()) })
	if slices.Sort(met); !slices.Equal(met, []string{"10.0.2.0/24", "10.0.3.0/24"}) {
		t.Fatal(met)
	}
}

// TestLabels: MPLS routes are told apart by their label, also when one is
// replaced.
func TestLabels(t *testing.T) {
	tab := New(0, 1)
	mpls := func(label uint32, gw string) rtnl.Route {
		return rtnl.Route{Family: unix.AF_MPLS, Type: unix.RTN_UNICAST, Table: 254, Label: label, Oif: 1, Gateway: netip.MustParseAddr(gw)}
	}
	for _, x := range []struct {
		r     rtnl.Route
		flags uint16
	}{{mpls(100, "192.0.2.1"), 0}, {mpls(200, "192.0.2.1"), 0}, {mpls(200, "192.0.2.2"), unix.NLM_F_REPLACE}} {
		if _, changed, err := tab.Put(body(&x.r), x.flags, false); err != nil || !changed {
			t.Fatal(changed, err)
		}
	}
	for label, gw := range map[uint32]string{100: "192.0.2.1", 200: "192.0.2.2"} {
		r := mpls(label, gw)
		if rs := tab.Append(nil, model.KeyOfRoute(0, &r)); len(rs) != 1 || rs[0].Gateway != r.Gateway {
			t.Errorf("label %d has %v", label, rs)
		}
	}
	if n := len(tab.Keys(nil)); n != 2 || tab.Len() != 2 {
		t.Errorf("%d keys, %d routes", n, tab.Len())
	}
}
