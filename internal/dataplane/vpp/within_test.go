package vpp_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpptest"
)

// TestVirtualAddress: an address that lies in a subnet of its interface is VPP's
// own, with the length that VPP wants; it has its own again when that has gone,
// and a new connection knows it.
func TestVirtualAddress(t *testing.T) {
	s, u, phy, other := start(t, vpptest.Options{})
	addr := func(kind dataplane.OpKind, i uint32, p string) dataplane.Op {
		return dataplane.Op{Kind: kind, Index: i, Prefix: pfx(p)}
	}
	has := func(want ...string) {
		t.Helper()
		if got := s.Addresses(phy); !slices.Equal(got, want) {
			t.Errorf("VPP has %v, want %v", got, want)
		}
	}
	u.must(addr(dataplane.AddrAdd, phy, "192.0.2.1/24"), addr(dataplane.AddrAdd, phy, "192.0.2.254/32"))
	has("192.0.2.1/24", "192.0.2.254/24")
	u.up()
	u.must(addr(dataplane.AddrAdd, phy, "192.0.2.254/32"))
	if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) != 2 || list[1].(dataplane.Addr).Prefix != pfx("192.0.2.254/32") {
		t.Errorf("dumped %v, %v", list, err)
	}
	u.must(addr(dataplane.AddrDel, phy, "192.0.2.1/24"))
	has("192.0.2.254/32")
	// Somebody else's is in the way of the subnet: nothing is lost.
	u.must(addr(dataplane.AddrAdd, other, "192.0.2.129/28"))
	if err := u.refused(addr(dataplane.AddrAdd, phy, "192.0.2.1/24")); !errors.Is(err, dataplane.ErrTaken) || !strings.Contains(err.Error(), "overlaps") {
		t.Error(err)
	}
	has("192.0.2.254/32")
	if err := u.refused(addr(dataplane.AddrAdd, phy, "192.0.2.130/32")); !errors.Is(err, dataplane.ErrTaken) {
		t.Error(err)
	}
	u.must(addr(dataplane.AddrDel, phy, "192.0.2.254/32"))
	has()
}

// TestVirtualAddressesAlone: when the subnet goes that several single addresses
// lie in, all of them are single again.
func TestVirtualAddressesAlone(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	addr := func(kind dataplane.OpKind, p string) dataplane.Op {
		return dataplane.Op{Kind: kind, Index: phy, Prefix: pfx(p)}
	}
	u.must(addr(dataplane.AddrAdd, "192.0.2.254/32"), addr(dataplane.AddrAdd, "192.0.2.253/32"), addr(dataplane.AddrAdd, "192.0.2.129/28"),
		addr(dataplane.AddrAdd, "192.0.2.130/32"), addr(dataplane.AddrAdd, "192.0.2.1/24"), addr(dataplane.AddrDel, "192.0.2.1/24"))
	got := s.Addresses(phy)
	slices.Sort(got)
	if want := []string{"192.0.2.129/28", "192.0.2.130/28", "192.0.2.253/32", "192.0.2.254/32"}; !slices.Equal(got, want) {
		t.Errorf("VPP has %v, want %v", got, want)
	}
	u.must(addr(dataplane.AddrDel, "192.0.2.254/32"), addr(dataplane.AddrDel, "192.0.2.253/32"), addr(dataplane.AddrDel, "192.0.2.129/28"),
		addr(dataplane.AddrDel, "192.0.2.130/32"))
	if got := s.Addresses(phy); len(got) != 0 {
		t.Errorf("VPP still has %v", got)
	}
}

// TestVirtualAddressGetsItsSubnet: a single address that Linux gives the length
// of its subnet stays when the single one goes.
func TestVirtualAddressGetsItsSubnet(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	addr := func(kind dataplane.OpKind, p string) dataplane.Op {
		return dataplane.Op{Kind: kind, Index: phy, Prefix: pfx(p)}
	}
	u.must(addr(dataplane.AddrAdd, "192.0.2.1/24"), addr(dataplane.AddrAdd, "192.0.2.254/32"), addr(dataplane.AddrAdd, "192.0.2.254/24"),
		addr(dataplane.AddrDel, "192.0.2.254/32"))
	if got, want := s.Addresses(phy), []string{"192.0.2.1/24", "192.0.2.254/24"}; !slices.Equal(got, want) {
		t.Errorf("VPP has %v, want %v", got, want)
	}
	if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) != 2 || list[1].(dataplane.Addr).Prefix != pfx("192.0.2.254/24") {
		t.Errorf("dumped %v, %v", list, err)
	}
}

// TestVirtualAddressAfterRestart: a new process finds the single addresses of the
// one before, and they stay where they are.
func TestVirtualAddressAfterRestart(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	addr := func(kind dataplane.OpKind, p string) dataplane.Op {
		return dataplane.Op{Kind: kind, Index: phy, Prefix: pfx(p)}
	}
	shown := func() (out []string) {
		t.Helper()
		list, err := u.dump(dataplane.KindAddr)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			out = append(out, a.(dataplane.Addr).Prefix.String())
		}
		return out
	}
	for _, del := range []bool{false, true} { // the engine removes what it does not know only where the pair is its own
		u.must(addr(dataplane.AddrAdd, "192.0.2.1/24"), addr(dataplane.AddrAdd, "192.0.2.254/32"))
		u.c.Close()
		u = newUser(t, s.Socket(), nil)
		u.up()
		if got := shown(); !slices.Equal(got, []string{"192.0.2.1/24", "192.0.2.254/24"}) {
			t.Fatalf("shown are %v", got)
		}
		before := s.Count("sw_interface_add_del_address")
		ops := []dataplane.Op{addr(dataplane.AddrAdd, "192.0.2.254/32")}
		if del {
			ops = append([]dataplane.Op{addr(dataplane.AddrDel, "192.0.2.254/24")}, ops...)
		}
		done, events, err := u.write(ops...)
		if err != nil || len(done.Failed) > 0 {
			t.Fatal(err, done.Failed)
		}
		told := slices.Contains(events, dataplane.Event(dataplane.Disturbed{Epoch: u.epoch, Kind: dataplane.KindAddr}))
		if n := s.Count("sw_interface_add_del_address") - before; n > 1 || told == del {
			t.Errorf("removing first %v: %d messages, told to read again %v", del, n, told)
		}
		if got := shown(); !slices.Equal(got, []string{"192.0.2.1/24", "192.0.2.254/32"}) {
			t.Errorf("shown are %v", got)
		}
		u.must(addr(dataplane.AddrDel, "192.0.2.1/24"))
		if got := s.Addresses(phy); !slices.Equal(got, []string{"192.0.2.254/32"}) {
			t.Errorf("VPP has %v", got)
		}
		u.must(addr(dataplane.AddrDel, "192.0.2.254/32"))
	}
}
