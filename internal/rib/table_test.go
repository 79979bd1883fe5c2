package rib

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

func body(r *rtnl.Route) []byte {
	_, b, _, err := rtnl.NextMessage(rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, r))
	if err != nil {
		panic(err)
	}
	return b
}

func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(slot[key4]{}); n != slot4Size {
		t.Errorf("an IPv4 slot has %d octets, want %d", n, slot4Size)
	}
	if n := unsafe.Sizeof(slot[key6]{}); n != slot6Size {
		t.Errorf("an IPv6 slot has %d octets, want %d", n, slot6Size)
	}
}

// plain is the table as one would write it without a care for its size: what
// the messages mean, in the words of the kernel's code.
type plain struct {
	m   map[model.RouteKey][]row
	ref *Table // for putRow and cutRow, which are tested by themselves
}

func (p *plain) put(r rtnl.Route, flags uint16, dump bool) {
	k := model.KeyOfRoute(0, &r)
	p.m[k], _ = p.ref.putRow(slices.Clone(p.m[k]), &r, flags, dump)
}

func (p *plain) del(r rtnl.Route) {
	k := model.KeyOfRoute(0, &r)
	if p.m[k], _ = p.ref.cutRow(slices.Clone(p.m[k]), &r); len(p.m[k]) == 0 {
		delete(p.m, k)
	}
}

func (p *plain) lines() (out []string) {
	for _, rows := range p.m {
		for i, x := range rows {
			out = append(out, fmt.Sprint(i, rtnl.FormatRoute(&x.r, nil), x.r))
		}
	}
	slices.Sort(out)
	return out
}

func lines(t *Table) (out []string) {
	var last model.RouteKey
	i := 0
	t.Each(func(r *rtnl.Route) {
		if k := model.KeyOfRoute(0, r); k == last {
			i++
		} else {
			last, i = k, 0
		}
		out = append(out, fmt.Sprint(i, rtnl.FormatRoute(r, nil), *r))
	})
	slices.Sort(out)
	return out
}

func randomRoute(rng *rand.Rand) rtnl.Route {
	r := rtnl.Route{Type: unix.RTN_UNICAST, Protocol: uint8(3 + rng.IntN(2)), Table: []uint32{254, 254, 100, 70000}[rng.IntN(4)],
		Priority: uint32(rng.IntN(2) * 100), Oif: uint32(1 + rng.IntN(3))}
	gw4, gw6 := netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + rng.IntN(3))}), netip.MustParseAddr("2001:db8::1")
	if rng.IntN(2) == 0 {
		r.Family = unix.AF_INET
		plen := []int{0, 8, 24, 24, 25, 32}[rng.IntN(6)]
		r.Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(rng.IntN(16)), byte(rng.IntN(256))}), plen).Masked()
		r.Gateway = gw4
		r.TOS = uint8(rng.IntN(8) / 7 * 16)
	} else {
		r.Family = unix.AF_INET6
		plen := []int{0, 32, 64, 64, 65, 127, 128}[rng.IntN(7)]
		r.Dst = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, byte(rng.IntN(16)), 15: byte(rng.IntN(16))}), plen).Masked()
		if rng.IntN(3) > 0 {
			r.Gateway = gw6
		}
		if rng.IntN(20) == 0 {
			r.Src = netip.MustParsePrefix("2001:db8:1::/48")
		}
		if rng.IntN(10) == 0 {
			r.Expires = 600
		}
	}
	if rng.IntN(8) == 0 {
		r.Multipath = rtnl.AppendHops([]rtnl.Hop{{Oif: 1, Gateway: r.Gateway}, {Oif: 2, Weight: 1, Gateway: r.Gateway}})
		r.Oif, r.Gateway = 0, netip.Addr{}
	}
	return r
}

// TestAgainstPlain: whatever comes, the table holds what the plain one holds.
func TestAgainstPlain(t *testing.T) {
	for seed := uint64(1); seed <= 200; seed++ {
		rng := rand.New(rand.NewPCG(seed, 1))
		tab := New(0, seed)
		tab.Clock(time.Unix(1000, 0))
		ref := &plain{m: map[model.RouteKey][]row{}, ref: tab}
		dump := false
		for step := range 600 {
			r := randomRoute(rng)
			flags := []uint16{0, 0, unix.NLM_F_REPLACE, unix.NLM_F_APPEND}[rng.IntN(4)]
			if dump {
				flags = 0
			}
			switch p := rng.IntN(100); {
			case p < 70:
				before := tab.Append(nil, model.KeyOfRoute(0, &r))
				_, changed, err := tab.Put(body(&r), flags, dump)
				if err != nil {
					t.Fatal(err)
				}
				if after := tab.Append(nil, model.KeyOfRoute(0, &r)); changed == slices.Equal(before, after) {
					t.Fatalf("seed %d step %d: changed %v, but %v became %v", seed, step, changed, before, after)
				}
				ref.put(r, flags, dump)
			case p < 96:
				if _, _, err := tab.Delete(body(&r)); err != nil {
					t.Fatal(err)
				}
				ref.del(r)
			case p < 98:
				tab.Begin()
				dump = true
			default:
				if dump {
					sweepBoth(tab, ref, 1+rng.IntN(200))
					dump = false
				}
			}
			if step%20 == 0 {
				check(t, tab, ref, fmt.Sprintf("seed %d step %d", seed, step))
			}
		}
	}
}

func sweepBoth(tab *Table, ref *plain, budget int) {
	for !tab.Sweep(budget, func(model.RouteKey) {}) {
	}
	for k, rows := range ref.m {
		rows = slices.DeleteFunc(slices.Clone(rows), func(x row) bool { return x.gen != tab.gen })
		if ref.m[k] = rows; len(rows) == 0 {
			delete(ref.m, k)
		}
	}
}

func check(t *testing.T, tab *Table, ref *plain, at string) {
	t.Helper()
	a, b := lines(tab), ref.lines()
	if !slices.Equal(a, b) {
		t.Fatalf("%s: the table (-) is not as it should be (+):\n%s", at, cmp.Diff(b, a))
	}
	if tab.Len() != len(b) {
		t.Fatalf("%s: Len %d, want %d", at, tab.Len(), len(b))
	}
	// Uses are counted right.
	refs := make([]uint32, len(tab.attrs.list))
	n := 0
	for i := range tab.v4.e {
		if id := tab.v4.e[i].attr; id != 0 && id != left {
			n++
			if id != several {
				refs[id]++
			}
		}
	}
	for i := range tab.v6.e {
		if id := tab.v6.e[i].attr; id != 0 && id != left {
			n++
			if id != several {
				refs[id]++
			}
		}
	}
	checkSlots(t, at, &tab.v4)
	checkSlots(t, at, &tab.v6)
	if n != tab.v4.n+tab.v6.n {
		t.Fatalf("%s: %d slots in use, counted %d", at, n, tab.v4.n+tab.v6.n)
	}
	for id, want := range refs {
		a := &tab.attrs.list[id]
		if a.refs != want {
			t.Fatalf("%s: attributes %d are used %d times, counted %d", at, id, want, a.refs)
		}
		if n := len(a.few4) + len(a.few6); !a.many && n != int(want) || a.many && n != 0 {
			t.Fatalf("%s: attributes %d: %d keys noted of %d, many %v", at, id, n, want, a.many)
		}
	}
	if len(tab.attrs.canon) != tab.Shared() {
		t.Fatalf("%s: %d sets of attributes by value, %d in the list", at, len(tab.attrs.canon), tab.Shared())
	}
}

// TestRemove: what matches goes, with one key told for each, and nothing else.
func TestRemove(t *testing.T) {
	tab := New(0, 1)
	rng := rand.New(rand.NewPCG(5, 5))
	for range 5000 {
		r := randomRoute(rng)
		if _, _, err := tab.Put(body(&r), unix.NLM_F_REPLACE, false); err != nil {
			t.Fatal(err)
		}
	}
	few := rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: 254, Oif: 99, Dst: netip.MustParsePrefix("172.16.0.0/12")}
	tab.Put(body(&few), 0, false)
	other := few
	other.Table = 100
	tab.Put(body(&other), 0, false)
	told := 0
	tab.Remove(Match{Table: 254, Attr: func(r *rtnl.Route) bool { return r.Oif == 99 }}, func(model.RouteKey) { told++ })
	if told != 1 || len(tab.Append(nil, model.KeyOfRoute(0, &few))) != 0 || len(tab.Append(nil, model.KeyOfRoute(0, &other))) != 1 {
		t.Fatalf("of two routes one was to go: %d have", told)
	}
	m := Match{Table: 254, Attr: func(r *rtnl.Route) bool { return r.Oif == 2 }}
	want := 0
	tab.Each(func(r *rtnl.Route) {
		if m.row(r) {
			want++
		}
	})
	selected := 0
	tab.Select(m, func(model.RouteKey) { selected++ })
	before := tab.Len()
	told = 0
	tab.Remove(m, func(model.RouteKey) { told++ })
	if want == 0 || before-tab.Len() != want || told == 0 || told != selected || told > want {
		t.Fatalf("%d match: %d removed, %d keys told, %d selected", want, before-tab.Len(), told, selected)
	}
	tab.Each(func(r *rtnl.Route) {
		if m.row(r) {
			t.Errorf("left: %s", rtnl.FormatRoute(r, nil))
		}
	})
	if tab.Any(Match{Table: 254, Attr: func(r *rtnl.Route) bool { return r.Oif == 77 }}) {
		t.Error("Any sees a link that no route has")
	}
}

// TestManyGenerations: marks stay right however often.
func TestManyGenerations(t *testing.T) {
	tab := New(0, 1)
	r := rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: 254, Dst: netip.MustParsePrefix("10.0.0.0/8"), Oif: 1}
	other := r
	other.Dst = netip.MustParsePrefix("10.1.0.0/16")
	for range 1000 {
		tab.Begin()
		if _, _, err := tab.Put(body(&r), 0, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, changed, _ := tab.Put(body(&other), 0, false); !changed {
		t.Fatal("not added")
	}
	tab.Begin()
	tab.Put(body(&r), 0, true)
	sweepAll(tab)
	if tab.Len() != 1 {
		t.Fatalf("%d routes are left, want 1", tab.Len())
	}
}

func sweepAll(tab *Table) {
	for !tab.Sweep(1<<30, func(model.RouteKey) {}) {
	}
}

// TestLifetimeRunsOn: a lifetime that has only run on is no change.
func TestLifetimeRunsOn(t *testing.T) {
	tab := New(0, 1)
	r := rtnl.Route{Family: unix.AF_INET6, Type: unix.RTN_UNICAST, Table: 254, Dst: netip.MustParsePrefix("2001:db8::/32"), Oif: 1, Expires: 600}
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		after   int
		expires uint32
		changed bool
	}{{0, 600, true}, {100, 500, false}, {300, 301, false}, {400, 600, true}, {500, 0, true}, {600, 0, false}} {
		tab.Clock(now.Add(time.Duration(c.after) * time.Second))
		r.Expires = c.expires
		tab.Begin()
		if _, changed, err := tab.Put(body(&r), 0, true); err != nil || changed != c.changed {
			t.Errorf("after %d s, %d s left: changed %v, want %v (%v)", c.after, c.expires, changed, c.changed, err)
		}
	}
}

func FuzzPut(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	var seen [][]byte
	for range 20 {
		r := randomRoute(rng)
		seen = append(seen, body(&r))
		f.Add(body(&r), uint16(0), true)
	}
	f.Add([]byte{2, 33, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0}, uint16(0), false)
	f.Fuzz(func(t *testing.T, b []byte, flags uint16, dump bool) {
		tab := New(0, 1)
		for _, m := range seen { // their layouts are known
			tab.Put(m, 0, false)
			tab.Delete(m)
		}
		var want rtnl.Route
		ok, wantErr := decode(b, &want)
		key, changed, err := tab.Put(b, flags, dump)
		if (err != nil) != (wantErr != nil) || changed != (ok && wantErr == nil) {
			t.Fatalf("put: changed %v, %v; decode: %v, %v", changed, err, ok, wantErr)
		}
		if !changed {
			return
		}
		if got := tab.Append(nil, key); len(got) != 1 || got[0] != want {
			t.Fatalf("put %+v, got %+v", want, got)
		}
		if _, changed, err := tab.Put(b, flags, dump); err != nil || changed {
			t.Fatalf("the same again: changed %v, %v", changed, err)
		}
		if _, changed, err := tab.Delete(b); err != nil || !changed || tab.Len() != 0 || tab.Shared() != 0 {
			t.Fatalf("delete: changed %v, %v, %d routes left, %d attributes", changed, err, tab.Len(), tab.Shared())
		}
	})
}

func messages(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = body(&rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Protocol: 3, Table: 254, Oif: 2,
			Gateway: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i%16)}),
			Dst:     netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(16 + i>>16), byte(i >> 8), byte(i), 0}), 24)})
	}
	return out
}

// BenchmarkUnchanged reads a million routes that are there already. Each message
// is in the cache, as after it has been received.
func BenchmarkUnchanged(b *testing.B) {
	m := messages(1)[0]
	dst := bytes.Index(m, []byte{16, 0, 0, 0})
	gw := bytes.Index(m, []byte{192, 0, 2, 1})
	all := func(tab *Table) {
		for i := range 1000000 {
			be.PutUint32(m[dst:], 16<<24+uint32(i)<<8)
			m[gw+3] = byte(1 + i%16)
			tab.Put(m, 0, true)
		}
	}
	tab := New(0, 1)
	all(tab)
	b.ReportMetric(float64(tab.Bytes())/float64(tab.Len()), "octets/route")
	b.ReportAllocs()
	for b.Loop() {
		tab.Begin()
		all(tab)
		sweepAll(tab)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/route")
}

// BenchmarkLearn reads a million routes into an empty table.
func BenchmarkLearn(b *testing.B) {
	msgs := messages(1000000)
	for b.Loop() {
		tab := New(0, 1)
		for _, m := range msgs {
			tab.Put(m, 0, true)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/route")
}

// BenchmarkSweep goes through a million routes that all stay.
func BenchmarkSweep(b *testing.B) {
	tab := New(0, 1)
	for _, m := range messages(1000000) {
		tab.Put(m, 0, true)
	}
	for b.Loop() {
		tab.at, tab.pos = sweep4, 0
		sweepAll(tab)
	}
}

// checkSlots holds what a search relies on, and that the counters are right.
func checkSlots[K hashed[K]](t *testing.T, at string, s *slots[K]) {
	t.Helper()
	n, dead := 0, 0
	for i := range s.e {
		e := &s.e[i]
		used := e.attr != 0 && e.attr != left
		switch {
		case used:
			n++
			if j, ok := s.find(e.key, e.key.hash(s.seed)); !ok || j != i {
				t.Fatalf("%s: the key in slot %d is found in %d, %v", at, i, j, ok)
			}
		case e.attr == left:
			dead++
			if s.e[(i+1)%len(s.e)].attr == 0 {
				t.Fatalf("%s: slot %d could be empty", at, i)
			}
		}
		if s.used.has(i) != used || !used && (s.seen.has(i) || s.kept.has(i)) {
			t.Fatalf("%s: slot %d is marked wrongly", at, i)
		}
	}
	if n != s.n || dead != s.dead {
		t.Fatalf("%s: %d routes and %d left slots, counted %d and %d", at, n, dead, s.n, s.dead)
	}
}
