package vpp_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/dataplane/vpptest"
)

func multicast(index uint32, on bool) dataplane.Op {
	return dataplane.Op{Kind: dataplane.SetMulticast, Index: index, On: on}
}

func addTable(id uint32) []dataplane.Op {
	return []dataplane.Op{{Kind: dataplane.TableAdd, Value: id, Family: unix.AF_INET}, {Kind: dataplane.TableAdd, Value: id, Family: unix.AF_INET6}}
}

// TestMulticast: OSPF, VRRP and what else is spoken to all on a link reach VPP
// itself, which hands it to the companion, in whatever table; nothing is left
// of it in the end.
func TestMulticast(t *testing.T) {
	s, u, phy, other := start(t, vpptest.Options{})
	hears := func(want bool, index uint32, groups ...string) {
		t.Helper()
		for _, g := range groups {
			if got := s.Hears(index, netip.MustParseAddr(g)); got != want {
				t.Errorf("interface %d hears %s: %v", index, g, got)
			}
		}
	}
	routing := []string{"224.0.0.5", "224.0.0.9", "224.0.0.18", "ff02::5", "ff02::9", "ff02::1:2"}
	own := []string{"224.0.0.1", "ff02::1", "ff02::1:ff00:1"} // VPP has these by itself
	for _, i := range []uint32{phy, other} {
		u.must(dataplane.Op{Kind: dataplane.AddrAdd, Index: i, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(16*i + 1)}), 28)},
			dataplane.Op{Kind: dataplane.AddrAdd, Index: i, Prefix: pfx("fe80::1/64")})
	}
	hears(true, phy, own...)
	hears(false, phy, routing...)
	u.must(multicast(phy, true))
	hears(true, phy, append(own, routing...)...)
	hears(false, phy, "224.0.1.1", "239.1.1.1")
	hears(false, other, routing...)
	if !s.Broadcast(0) {
		t.Error("255.255.255.255 is dropped")
	}
	if list, err := u.dump(dataplane.KindRoute); err != nil || len(list) > 0 {
		t.Errorf("routes %v, %v: what is for VPP itself is none", list, err)
	}
	// A sub-interface of its own, and both in a VRF.
	sub := u.must(dataplane.Op{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 5, Exact: true}}).Made[0].Index
	u.must(dataplane.Op{Kind: dataplane.AddrAdd, Index: sub, Prefix: pfx("198.51.100.1/24")}, dataplane.Op{Kind: dataplane.AddrAdd, Index: sub, Prefix: pfx("2001:db8::1/64")})
	hears(false, sub, routing...)
	u.must(append(addTable(10), multicast(sub, true), dataplane.Op{Kind: dataplane.SetTable, Index: phy, Value: 10}, dataplane.Op{Kind: dataplane.SetTable, Index: sub, Value: 10})...)
	hears(true, phy, append(own, routing...)...)
	hears(true, sub, append(own, routing...)...)
	if s.Broadcast(0) || !s.Broadcast(10) {
		t.Errorf("255.255.255.255 is for VPP itself in the main table %v, in the VRF %v", s.Broadcast(0), s.Broadcast(10))
	}
	u.must(multicast(sub, false))
	hears(false, sub, routing...)
	hears(true, phy, append(own, routing...)...)
	// A new connection finds it, and writes nothing.
	written := s.Count("ip_mroute_add_del")
	u.up()
	list, err := u.dump(dataplane.KindInterface)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range list {
		if i := x.(dataplane.Interface); i.Multicast != (i.Index == phy) {
			t.Errorf("dumped: %+v", i)
		}
	}
	u.must(multicast(phy, true))
	if n := s.Count("ip_mroute_add_del"); n != written {
		t.Errorf("%d messages for what is there", n-written)
	}
	if n := s.Count("fib_source_add"); n != 2 {
		t.Errorf("%d sources were made", n)
	}
	// Its index is somebody else's after it has gone.
	s.DelInterface(sub)
	u.must(dataplane.Op{Kind: dataplane.SetTable, Index: phy}, multicast(phy, false),
		dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET}, dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET6})
	hears(false, phy, routing...)
	hears(true, phy, own...)
	if left := s.Groups(); len(left) > 0 || s.Broadcast(0) {
		t.Errorf("left in VPP: %v, broadcast %v", left, s.Broadcast(0))
	}
}

// TestBroadcastBehindRoutes: a route of ours for 255.255.255.255 counts while it
// is there.
func TestBroadcastBehindRoutes(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	op := dataplane.Op{Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Prefix: pfx("255.255.255.255/32")}, Paths: path(phy, "192.0.2.2")}
	u.must(op, multicast(phy, true))
	if list, err := u.dump(dataplane.KindRoute); err != nil || len(list) != 1 || s.Broadcast(0) {
		t.Errorf("%v, %v, for VPP itself %v", list, err, s.Broadcast(0))
	}
	op.Kind = dataplane.RouteDel
	u.must(op)
	if list, err := u.dump(dataplane.KindRoute); err != nil || len(list) != 0 || !s.Broadcast(0) {
		t.Errorf("%v, %v, for VPP itself %v", list, err, s.Broadcast(0))
	}
	op.Kind = dataplane.RouteSet
	u.must(op, multicast(phy, false))
	op.Kind = dataplane.RouteDel
	u.must(op)
	if s.Broadcast(0) {
		t.Error("still for VPP itself")
	}
}

// TestManyGroups: VPP must not be asked for a group that many interfaces are
// in: it would write behind its message. What is wanted is written again, once.
func TestManyGroups(t *testing.T) {
	s, u, _, _ := start(t, vpptest.Options{})
	var ops []dataplane.Op
	for n := range 300 {
		i := s.AddPhy(fmt.Sprintf("eth%d", n), [6]byte{2, 0xfe, 0, 1, byte(n >> 8), byte(n)}, 1500)
		ops = append(ops, multicast(i, true), dataplane.Op{Kind: dataplane.AddrAdd, Index: i, Prefix: pfx("fe80::1/64")})
	}
	if _, err := u.dump(dataplane.KindInterface); err != nil {
		t.Fatal(err)
	}
	u.must(ops...)
	u.up()
	on := func() (n int) {
		list, err := u.dump(dataplane.KindInterface)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			if x.(dataplane.Interface).Multicast {
				n++
			}
		}
		return n
	}
	last := ops[len(ops)-1].Index
	if !s.Hears(last, netip.MustParseAddr("224.0.0.1")) {
		t.Error("one of many takes no IPv4 without an address")
	}
	before := s.Groups()
	if n := on(); n != 0 {
		t.Errorf("%d are known, without a list", n)
	}
	u.must(ops...)
	if after := s.Groups(); len(after) != len(before) || len(after) != 2*300+2 {
		t.Errorf("%d paths, %d after they were written again", len(before), len(after))
	}
}

// TestRebindLinkLocal: an interface that has IPv6 only for the sake of its
// link-local address speaks neighbour discovery in the table that it is bound
// to, under that address.
func TestRebindLinkLocal(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	local := dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("fe80::9/64")}
	u.must(append(addTable(10), local)...)
	for _, id := range []uint32{10, 0} {
		u.must(dataplane.Op{Kind: dataplane.SetTable, Index: phy, Value: id})
		if !s.Hears(phy, netip.MustParseAddr("ff02::1:ff00:9")) {
			t.Errorf("bound to %d it is deaf for solicitations", id)
		}
		if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) != 1 || list[0].(dataplane.Addr).Prefix != local.Prefix {
			t.Errorf("bound to %d: addresses %v, %v", id, list, err)
		}
	}
	// A global address that came first and goes takes IPv6 with it.
	_, u, phy, _ = start(t, vpptest.Options{})
	global := dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("2001:db8::1/64")}
	local.Index = phy
	u.must(global, local)
	global.Kind = dataplane.AddrDel
	u.must(global)
	if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) != 1 {
		t.Errorf("after the global address has gone: %v, %v", list, err)
	}
}

// TestLCPSettings: settings of linux-cp that work against us are warned of.
func TestLCPSettings(t *testing.T) {
	for name, x := range map[string]struct {
		o    vpptest.Options
		says []string
	}{
		"quiet":       {vpptest.Options{}, nil},
		"lcp-sync":    {vpptest.Options{Sync: true}, []string{"lcp-sync off"}},
		"both":        {vpptest.Options{Sync: true, AutoSubif: true}, []string{"lcp-sync off", "lcp-auto-subint off"}},
		"no commands": {vpptest.Options{Sync: true, Without: []string{"cli_"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := vpptest.Start(t, x.o)
			var log strings.Builder
			u := newUser(t, s.Socket(), func(o *vpp.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			u.up()
			u.up()
			if n := strings.Count(log.String(), "level=WARN"); n != len(x.says) || len(u.caps.Missing) != len(x.says) {
				t.Errorf("warned %d times, missing %q", n, u.caps.Missing)
			}
			for _, w := range x.says {
				if !strings.Contains(log.String(), w) || !strings.Contains(strings.Join(u.caps.Missing, "\n"), w) {
					t.Errorf("nothing of %q: %s", w, log.String())
				}
			}
		})
	}
}

// TestTableWithLeftovers: a connection that ends while an interface leaves a
// table leaves something there; the table goes without it.
func TestTableWithLeftovers(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	u.must(append(addTable(10), dataplane.Op{Kind: dataplane.SetTable, Index: phy, Value: 10}, multicast(phy, true))...)
	if !s.Broadcast(10) {
		t.Fatal("nothing is there")
	}
	s.DelInterface(phy) // nobody leaves
	if _, err := u.dump(dataplane.KindInterface); err != nil {
		t.Fatal(err)
	}
	u.must(dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET}) // the server looks
}

// TestNoAddress: an interface without an IPv4 address takes IPv4 packets, so
// that a DHCP client on its companion hears answers; until the pair goes, in
// whatever table, and whoever had it enabled.
func TestNoAddress(t *testing.T) {
	s, u, phy, other := start(t, vpptest.Options{})
	read := func() {
		t.Helper()
		if _, err := u.dump(dataplane.KindInterface); err != nil {
			t.Fatal(err)
		}
	}
	takes := func(index uint32, want bool, when string) {
		t.Helper()
		if got := s.Hears(index, netip.MustParseAddr("224.0.0.1")); got != want {
			t.Errorf("%s interface %d takes IPv4: %v", when, index, got)
		}
	}
	addr := func(kind dataplane.OpKind, index uint32) dataplane.Op {
		return dataplane.Op{Kind: kind, Index: index, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(16*index + 1)}), 28)}
	}
	read()
	takes(phy, false, "at first")
	u.must(append(addTable(10), multicast(phy, true))...)
	takes(phy, true, "for a DHCP client")
	u.must(addr(dataplane.AddrAdd, phy))
	takes(phy, true, "with its address")
	u.must(dataplane.Op{Kind: dataplane.SetTable, Index: phy, Value: 10})
	takes(phy, true, "in a VRF with its address")
	u.must(addr(dataplane.AddrDel, phy), dataplane.Op{Kind: dataplane.SetTable, Index: phy})
	takes(phy, true, "out of the VRF again, without address")
	u.must(multicast(phy, false), multicast(phy, false))
	takes(phy, false, "without a pair")
	// The one that has an address keeps it when that goes, and not before.
	u.must(addr(dataplane.AddrAdd, other))
	u.up()
	read()
	enabled := s.Count("sw_interface_ip4_enable_disable")
	u.must(multicast(other, true))
	if n := s.Count("sw_interface_ip4_enable_disable") - enabled; n != 0 {
		t.Errorf("asked for %d times, and there", n)
	}
	u.must(addr(dataplane.AddrDel, other))
	takes(other, true, "when its address is gone")
	// A new process finds that.
	u.c.Close()
	u = newUser(t, s.Socket(), nil)
	u.up()
	read()
	u.must(multicast(other, true), dataplane.Op{Kind: dataplane.SetTable, Index: other, Value: 10})
	takes(other, true, "in a VRF after a restart")
}

// TestPunt: frames that are no IP are handed on where that is configured; asked
// for once, and said when VPP does not.
func TestPunt(t *testing.T) {
	o := vpptest.Options{OSI: true}
	s := vpptest.Start(t, o)
	var log strings.Builder
	punting := func(what ...uint16) func(*vpp.Options) {
		return func(o *vpp.Options) {
			o.Punt, o.Log = what, slog.New(slog.NewTextHandler(&log, nil))
		}
	}
	u := newUser(t, s.Socket(), punting(0x88cc, 0x8809, 0x83))
	u.up()
	u.up()
	types, osi := s.Punted()
	if !slices.Equal(types, []uint16{0x8809, 0x88cc}) || !slices.Equal(osi, []uint8{0x83}) || log.Len() > 0 || len(u.caps.Missing) > 0 {
		t.Errorf("handed on: %#x, %#x; log %s, missing %q", types, osi, log.String(), u.caps.Missing)
	}
	if n := s.Count("lcp_ethertype_enable") + s.Count("lcp_osi_proto_enable"); n != 3 {
		t.Errorf("asked for %d times", n)
	}
	s = vpptest.Start(t, vpptest.Options{})
	u = newUser(t, s.Socket(), punting(0x0806, 0x83))
	u.up()
	for _, w := range []string{"frames of type 0x0806", "disable its plugin", "OSI protocol 0x83", "osi_plugin.so"} {
		if !strings.Contains(log.String(), w) || !strings.Contains(strings.Join(u.caps.Missing, "\n"), w) {
			t.Errorf("nothing of %q: %s", w, log.String())
		}
	}
	s = vpptest.Start(t, vpptest.Options{Without: []string{"lcp_ethertype_"}})
	u = newUser(t, s.Socket(), punting(0x88cc))
	u.up()
	if !strings.Contains(strings.Join(u.caps.Missing, "\n"), "lcp_ethertype_enable") {
		t.Errorf("missing %q", u.caps.Missing)
	}
}

// TestNumberOfAnother: an interface that gets the number of one that has gone
// has nothing of it.
func TestNumberOfAnother(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	local := dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("fe80::9/64")}
	addr := dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("192.0.2.1/24")}
	for n, ops := range [][]dataplane.Op{{multicast(phy, true), local}, {addr}} {
		u.must(ops...)
		if _, err := u.dump(dataplane.KindInterface); err != nil {
			t.Fatal(err)
		}
		s.DelInterface(phy)
		if i := s.AddPhy(fmt.Sprintf("new%d", n), [6]byte{2, 0xfe, 0, 9, 0, byte(n)}, 1500); i != phy {
			t.Fatalf("it is interface %d", i)
		}
		if _, err := u.dump(dataplane.KindTable); err != nil { // what VPP has told is known
			t.Fatal(err)
		}
		six := dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("2001:db8::1/64")}
		u.must(multicast(phy, true), six)
		if !s.Hears(phy, netip.MustParseAddr("224.0.0.1")) {
			t.Errorf("%d: it takes no IPv4 without an address", n)
		}
		six.Kind = dataplane.AddrDel
		u.must(six)
		if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) != 0 {
			t.Errorf("%d: addresses %v, %v", n, list, err)
		}
		u.must(multicast(phy, false))
	}
}

// TestTableComesBack: a table that goes after its interfaces have is another one
// when it comes back.
func TestTableComesBack(t *testing.T) {
	s, u, phy, other := start(t, vpptest.Options{})
	u.must(append(addTable(10), dataplane.Op{Kind: dataplane.SetTable, Index: phy, Value: 10}, multicast(phy, true))...)
	if _, err := u.dump(dataplane.KindInterface); err != nil {
		t.Fatal(err)
	}
	s.DelInterface(phy) // nobody leaves
	if _, err := u.dump(dataplane.KindTable); err != nil {
		t.Fatal(err)
	}
	u.must(dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET}, dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET6})
	u.must(append(addTable(10), dataplane.Op{Kind: dataplane.SetTable, Index: other, Value: 10}, multicast(other, true),
		dataplane.Op{Kind: dataplane.AddrAdd, Index: other, Prefix: pfx("fe80::1/64")})...)
	for _, g := range []string{"224.0.0.5", "ff02::5"} {
		if !s.Hears(other, netip.MustParseAddr(g)) {
			t.Errorf("it does not hear %s", g)
		}
	}
	if !s.Broadcast(10) {
		t.Error("255.255.255.255 is dropped")
	}
}

// TestTableForgetsItsGroups: what VPP has shown of a table (it keeps an interface
// that has gone) is not there when the table comes back.
func TestTableForgetsItsGroups(t *testing.T) {
	s, u, phy, other := start(t, vpptest.Options{})
	bind := func(i, table uint32) dataplane.Op {
		return dataplane.Op{Kind: dataplane.SetTable, Index: i, Value: table}
	}
	u.must(append(addTable(10), bind(phy, 10), bind(other, 10), multicast(phy, true))...)
	s.DelInterface(phy)
	u.up()
	if _, err := u.dump(dataplane.KindInterface); err != nil {
		t.Fatal(err)
	}
	u.must(bind(other, 0), dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET}, dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET6})
	if i := s.AddPhy("new", [6]byte{2, 0xfe, 0, 9, 0, 0}, 1500); i != phy {
		t.Fatalf("it is interface %d", i)
	}
	u.must(append(addTable(10), bind(phy, 10), multicast(phy, true))...)
	if !s.Hears(phy, netip.MustParseAddr("224.0.0.5")) {
		t.Error("it is deaf")
	}
}

// TestNoAddressAfterRestart: a VPP that was started anew takes IPv4 without an
// address again, asked by the same process.
func TestNoAddressAfterRestart(t *testing.T) {
	s, u, phy, _ := start(t, vpptest.Options{})
	for n := range 2 {
		if _, err := u.dump(dataplane.KindInterface); err != nil {
			t.Fatal(err)
		}
		u.must(multicast(phy, true))
		if !s.Hears(phy, netip.MustParseAddr("224.0.0.1")) {
			t.Errorf("it takes no IPv4 after %d restarts", n)
		}
		s.Restart(false)
		if i := s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500); i != phy {
			t.Fatalf("it is interface %d", i)
		}
		_ = u.down()
		u.up()
	}
}
