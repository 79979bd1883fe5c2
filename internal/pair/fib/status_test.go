package fib

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// full has n entries of the main FIB, all wanted and there.
func full(t testing.TB, n int) *Table {
	tab := New(Options{})
	set := tab.intern(&dataplane.PathSet{Paths: []dataplane.Path{{Index: 1, Via: netip.MustParseAddr("192.0.2.1"), Weight: 1}}})
	for i := range n {
		var k entryKey
		k.setDst(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(16 + i>>16), byte(i >> 8), byte(i), 0}), 24))
		k.fib = tab.fib(dataplane.MainTable, unix.AF_INET)
		tab.dumped(&k, set)
		id := tab.ent.find(&k)
		tab.want(id, tab.ent.at(id), candidate{set: set})
	}
	if s := tab.Status(); s.Routes != n || s.Have != n || s.Differences != 0 {
		t.Fatalf("%+v", s)
	}
	return tab
}

// BenchmarkStatus: how routes stand is told without a look at each of them.
func BenchmarkStatus(b *testing.B) {
	tab := full(b, 1_000_000)
	for b.Loop() {
		tab.Status()
	}
}
