package vpp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/recorded"
	"netbraid/rtnl"
)

// exchange is a message that was recorded with a real VPP.
type exchange struct {
	T     int
	Dir   string
	Name  string
	CRC   string
	Hex   string
	frame []byte
}

func (r *exchange) number() uint16 { return binary.BigEndian.Uint16(r.frame[frameHeader:]) }

// body is a request behind its context.
func (r *exchange) body() []byte { return r.frame[frameHeader+10:] }

var recordings = map[string]map[int]*exchange{}

// record reads one message of a recording.
func record(t testing.TB, file string, line int) *exchange {
	t.Helper()
	if recordings[file] == nil {
		recordings[file] = map[int]*exchange{}
		for _, r := range recorded.Values[*exchange](t, "../vpptest/testdata/"+file+".jsonl.gz") {
			var err error
			if r.frame, err = hex.DecodeString(r.Hex); err != nil {
				t.Fatal(err)
			}
			recordings[file][r.T] = r
		}
	}
	r := recordings[file][line]
	if r == nil || r.Hex == "" {
		t.Fatalf("%s has no message %d", file, line)
	}
	return r
}

func mac(last byte) rtnl.HWAddr { return rtnl.MAC([6]byte{2, 0, 0, 0, 0, last}) }

var (
	pfx = netip.MustParsePrefix
	adr = netip.MustParseAddr
)

func via(index uint32, a string, weight uint16, labels ...uint32) dataplane.Path {
	p := dataplane.Path{Index: index, Weight: weight}
	if a != "" {
		p.Via = adr(a)
	}
	p.Labels.N = uint8(copy(p.Labels.L[:], labels))
	return p
}

func set(p ...dataplane.Path) *dataplane.PathSet { return &dataplane.PathSet{Paths: p} }

func blockOf(t testing.TB, s *dataplane.PathSet, k dataplane.RouteKey) *block {
	t.Helper()
	b := encodePaths(s, protoOf(k))
	if b.err != nil {
		t.Fatal(b.err)
	}
	return &b
}

// TestRequests holds every request that we send against the bytes of a client
// that a real VPP has understood.
func TestRequests(t *testing.T) {
	const all = dataplane.NoIndex
	route := func(prefix string, table uint32, src uint8, s *dataplane.PathSet) []byte {
		k := dataplane.RouteKey{Table: table, Prefix: pfx(prefix)}
		if s == nil {
			return encodeRoute(nil, k, src, nil)
		}
		return encodeRoute(nil, k, src, blockOf(t, s, k))
	}
	label := func(l uint32, eos bool, s *dataplane.PathSet) []byte {
		k := dataplane.RouteKey{Label: l, EOS: eos}
		if s == nil {
			return encodeMPLSRoute(nil, k, nil)
		}
		return encodeMPLSRoute(nil, k, blockOf(t, s, k))
	}
	sixteen := via(1, "192.0.2.2", 1)
	for i := range uint32(16) {
		sixteen.Labels.L[i] = 600 + i
	}
	sixteen.Labels.N = 16
	tests := []struct {
		file string
		line int
		m    message
		body []byte
	}{
		{"01-handshake", 5, showVersion, nil},
		{"01-handshake", 7, controlPing, nil},
		{"02-interfaces", 15, createSubif, encodeSub(nil, 1, 100, dataplane.Sub{Outer: 100, Exact: true})},
		{"02-interfaces", 17, createSubif, encodeSub(nil, 1, 200, dataplane.Sub{Outer: 200, OuterAD: true, Exact: true})},
		{"02-interfaces", 19, createSubif, encodeSub(nil, 1, 300, dataplane.Sub{Outer: 300, Inner: 301, Exact: true})},
		{"02-interfaces", 21, createSubif, encodeSub(nil, 1, 400, dataplane.Sub{Outer: 400, Inner: 401, OuterAD: true, Exact: true})},
		{"06-subif-loopback", 17, createSubif, encodeSub(nil, 1, 500, dataplane.Sub{Outer: 500})},
		{"02-interfaces", 25, swInterfaceDump, encodeInterfaceDump(nil, all)},
		{"02-interfaces", 38, swInterfaceDump, encodeInterfaceDump(nil, 1)},
		{"02-interfaces", 76, getTable, encodeIndexAF(nil, 1, false)},
		{"02-interfaces", 78, getTable, encodeIndexAF(nil, 1, true)},
		{"02-interfaces", 82, wantInterfaceEvents, encodeWantEvents(nil, 4242)},
		{"02-interfaces", 86, setFlags, encodeSetFlags(nil, 1, true)},
		{"02-interfaces", 89, setFlags, encodeSetFlags(nil, 1, false)},
		{"02-interfaces", 103, hwSetMTU, encodeHWSetMTU(nil, 1, 9000)},
		{"02-interfaces", 115, setMTU, encodeSetMTU(nil, 1, 1500)},
		{"02-interfaces", 123, setMAC, encodeSetMAC(nil, 3, rtnl.MAC([6]byte{2, 0xaa, 0xbb, 0xcc, 0xdd, 7}))},
		{"02-interfaces", 150, deleteSubif, put32(nil, 5)},
		{"03-addresses", 7, addDelAddress, encodeAddress(nil, 1, true, pfx("192.0.2.1/24"))},
		{"03-addresses", 33, addDelAddress, encodeAddress(nil, 1, true, pfx("2001:db8:1::1/64"))},
		{"03-addresses", 103, addDelAddress, encodeAddress(nil, 1, false, pfx("192.0.2.2/24"))},
		{"03-addresses", 57, addressDump, encodeIndexAF(nil, 1, false)},
		{"03-addresses", 68, addressDump, encodeIndexAF(nil, 1, true)},
		{"04-routes", 7, tableAddDel, encodeTable(putBool(nil, true), dataplane.Table{ID: 10, Family: unix.AF_INET}, "red")},
		{"04-routes", 9, tableAddDel, encodeTable(putBool(nil, true), dataplane.Table{ID: 10, Family: unix.AF_INET6}, "red6")},
		{"04-routes", 23, tableAddDelV2, putBool(append(encodeTable(nil, dataplane.Table{ID: 12, Family: unix.AF_INET6}, "blue6"), 1), true)},
		{"04-routes", 25, tableDump, nil},
		{"04-routes", 39, setTable, put32(encodeIndexAF(nil, 2, false), 10)},
		{"04-routes", 41, setTable, put32(encodeIndexAF(nil, 2, true), 10)},
		{"04-routes", 145, sourceAdd, encodeSource(nil, source{150, 0, "tester"})},
		{"04-routes", 147, sourceDump, nil},
		{"04-routes", 178, routeAddDel, route("61.0.0.0/24", 0, 25, set(via(1, "192.0.2.2", 1)))},
		{"04-routes", 180, routeAddDel, route("2001:db8:71::/48", 0, 25, set(via(1, "2001:db8:1::2", 1)))},
		{"04-routes", 188, routeAddDel, route("61.0.3.0/24", 0, 25, set(via(1, "192.0.2.2", 1), via(1, "192.0.2.3", 3)))},
		{"04-routes", 309, routeAddDel, route("61.0.0.0/24", 0, 25, nil)},
		{"04-routes", 294, routeDump, encodeTable([]byte{25}, dataplane.Table{Family: unix.AF_INET}, "")},
		{"04b-multipath-edges", 11, routeLookup, encodeLookup(nil, dataplane.RouteKey{Prefix: pfx("60.0.0.0/24")})},
		{"05-neighbors", 15, neighAddDel, encodeNeigh(putBool(nil, true), dataplane.Neigh{Index: 1, Addr: adr("192.0.2.10"), MAC: mac(0x10), Static: true})},
		{"05-neighbors", 18, neighAddDel, encodeNeigh(putBool(nil, true), dataplane.Neigh{Index: 1, Addr: adr("192.0.2.11"), MAC: mac(0x11)})},
		{"05-neighbors", 32, neighAddDel, encodeNeigh(putBool(nil, true), dataplane.Neigh{Index: 1, Addr: adr("2001:db8:1::10"), MAC: rtnl.MAC([6]byte{2, 0, 0, 0, 6, 0x10}), Static: true})},
		{"05-neighbors", 43, neighDump, append(put32(nil, all), afIPv4)},
		{"07-lcp", 17, defaultNSGet, nil},
		{"07-lcp", 35, pairAddDelV3, encodePair(nil, true, &dataplane.Pair{Phy: 1, HostName: "e0"}, "")},
		{"07-lcp", 41, pairAddDelV3, encodePair(nil, true, &dataplane.Pair{Phy: 2, HostName: "e1"}, "nosuch")},
		{"07-lcp", 47, pairAddDelV3, encodePair(nil, false, &dataplane.Pair{Phy: 2}, "")},
		{"07-lcp", 51, pairAddDelV2, encodePair(nil, true, &dataplane.Pair{Phy: 2, HostName: "e1"}, "dataplane")},
		{"07-lcp", 53, pairAddDel, encodePair(nil, true, &dataplane.Pair{Phy: 3, HostName: "lo0v"}, "")},
		{"07-lcp", 71, pairAddDelV3, encodePair(nil, true, &dataplane.Pair{Phy: 9, HostName: "tunif", TUN: true}, "")},
		{"07-lcp", 3, pairGet, put32(nil, 0)},
		{"07-lcp", 85, pairGetV2, put32(nil, 0, 1)},
		{"07-lcp", 112, typeGet, nil},
		{"07b-lcp-traps", 7, typeEnable, []byte{0xcc, 0x88}},
		{"07-lcp", 114, osiEnable, []byte{131}},
		{"07-lcp", 116, osiGet, nil},
		{"08-mpls", 11, mplsEnable, putBool(put32(nil, 1), true)},
		{"08-mpls", 13, mplsTableAddDel, encodeMPLSTable(putBool(nil, true), 0, "core")},
		{"08-mpls", 19, mplsTableDump, nil},
		{"08-mpls", 30, mplsInterfaceDump, put32(nil, all)},
		{"08-mpls", 34, mplsRouteAddDel, label(100, true, set(via(1, "192.0.2.2", 1, 200)))},
		{"08-mpls", 36, mplsRouteAddDel, label(100, false, set(via(1, "192.0.2.2", 1, 200)))},
		{"08-mpls", 38, mplsRouteAddDel, label(101, true, set(via(1, "192.0.2.2", 1)))},
		{"08-mpls", 42, mplsRouteAddDel, label(103, true, set(via(all, "", 1)))},
		{"08-mpls", 46, mplsRouteAddDel, label(105, true, set(via(1, "192.0.2.2", 1, 301, 302)))},
		{"08-mpls", 48, mplsRouteAddDel, label(106, true, set(via(1, "192.0.2.2", 1, 401), via(1, "192.0.2.3", 3, 402)))},
		{"08-mpls", 58, mplsRouteAddDel, label(110, true, set(sixteen))},
		{"08-mpls", 52, mplsRouteAddDel, label(108, true, &dataplane.PathSet{Kind: dataplane.Blackhole})},
		{"08-mpls", 76, mplsRouteDump, encodeMPLSTable(nil, 0, "")},
	}
	// linkLocalGet is in no recording; its one field is that of deleteSubif, whose
	// checksum it has.
	seen := map[message]bool{sockclntCreate: true, linkLocalGet: layouts[linkLocalGet].crc == layouts[deleteSubif].crc,
		enableIP4: layouts[enableIP4].crc == layouts[mplsEnable].crc, // an interface and a flag
		enableIP6: layouts[enableIP6].crc == layouts[mplsEnable].crc,
		// TestUnrecorded has these.
		mrouteAddDel: true, mrouteDump: true, cliInband: true}
	for _, x := range tests {
		r := record(t, x.file, x.line)
		if l := layouts[x.m]; r.Name != l.name || r.CRC != l.crc {
			t.Errorf("%s %d is %s_%s, not %s_%s", x.file, x.line, r.Name, r.CRC, l.name, l.crc)
			continue
		}
		p := r.frame[frameHeader:]
		got := beginFrame(nil, r.number(), binary.BigEndian.Uint32(p[2:]), binary.BigEndian.Uint32(p[6:]))
		got = append(got, x.body...)
		endFrame(got, 0)
		if !bytes.Equal(got, r.frame) {
			t.Errorf("%s %d %s:\nours is %x\nshould  %x", x.file, x.line, r.Name, got, r.frame)
		}
		seen[x.m] = true
	}
	if r := record(t, "01-handshake", 1); !bytes.Equal(encodeCreate(nil, 0x1001, "01-handshake"), r.frame) {
		t.Errorf("sockclnt_create: ours is %x, should be %x", encodeCreate(nil, 0x1001, "01-handshake"), r.frame)
	}
	for m := range messageEnd {
		if m != noMessage && roles[m] == isRequest && !seen[m] {
			t.Errorf("no recording holds %s", m)
		}
	}
}

// TestPaths holds the paths of every kind of route against recorded ones; the
// first version of the request has the same ones.
func TestPaths(t *testing.T) {
	const all = dataplane.NoIndex
	tests := []struct {
		line int
		six  bool
		set  *dataplane.PathSet
	}{
		{57, false, set(via(1, "192.0.2.2", 1))},
		{59, true, set(via(1, "2001:db8:1::2", 1))},
		{61, false, set(via(1, "192.0.2.2", 1), via(1, "192.0.2.3", 3))},
		{65, false, &dataplane.PathSet{Kind: dataplane.Blackhole}},
		{67, false, &dataplane.PathSet{Kind: dataplane.Unreachable}},
		{69, false, &dataplane.PathSet{Kind: dataplane.Prohibit}},
		{71, true, &dataplane.PathSet{Kind: dataplane.Blackhole}},
		{73, true, &dataplane.PathSet{Kind: dataplane.Unreachable}},
		{75, false, set(via(1, "2001:db8:1::2", 1))},
		{77, false, set(via(1, "", 1))},
		{79, false, set(via(all, "192.0.2.9", 1))},
		{81, false, set(dataplane.Path{Index: all, Via: adr("198.51.100.9"), Table: 10, Weight: 1})},
		{97, false, set(via(1, "192.0.2.2", 1, 100))},
		{99, false, set(dataplane.Path{Index: all, Table: 10, Weight: 1})},
	}
	const before = 1 + 1 + 4 + 4 + 18 + 1 // of the first path, in a body
	for _, x := range tests {
		want := record(t, "04-routes", x.line).body()[before:]
		proto := uint8(protoIP4)
		if x.six {
			proto = protoIP6
		}
		got := encodePaths(x.set, proto)
		if got.err != nil || !bytes.Equal(got.b, want) || int(got.n)*pathLen != len(want) {
			t.Errorf("line %d: %v\nours is %x\nshould  %x", x.line, got.err, got.b, want)
		}
		back, err := decodePaths(asDumped(got.b))
		if err != nil || !back.Equal(x.set) {
			t.Errorf("line %d: comes back as %+v, %v; was %+v", x.line, back, err, x.set)
		}
	}
}

// TestAnswers reads recorded answers.
func TestAnswers(t *testing.T) {
	read := func(file string, line int, m message) []byte {
		t.Helper()
		r := record(t, file, line)
		if l := layouts[m]; r.Name != l.name || r.CRC != l.crc {
			t.Fatalf("%s %d is %s_%s, not %s_%s", file, line, r.Name, r.CRC, l.name, l.crc)
		}
		return r.frame[frameHeader:]
	}
	i, err := decodeInterface(read("02-interfaces", 140, swInterfaceDetails))
	if want := (iface{index: 1, parent: dataplane.NoIndex, name: "host-vpp0", device: "af-packet", mac: [6]byte{2, 0xfe, 0, 0, 0, 0x10}, status: 3, linkMTU: 9000, mtu: 65000}); err != nil || i != want {
		t.Errorf("interface %+v, %v; want %+v", i, err, want)
	}
	i, err = decodeInterface(read("02-interfaces", 52, swInterfaceDetails))
	if want := (iface{index: 8, parent: 1, name: "host-vpp0.400", device: "af-packet", status: 2, sub: true, linkMTU: 9000, tags: dataplane.Sub{Outer: 400, Inner: 401, OuterAD: true, Exact: true}}); err != nil || i != want {
		t.Errorf("sub-interface %+v, %v; want %+v", i, err, want)
	}
	index, deleted, err := decodeInterfaceEvent(read("02-interfaces", 152, swInterfaceEvent))
	if err != nil || index != 5 || !deleted {
		t.Errorf("event: %d, %v, %v", index, deleted, err)
	}
	a, err := decodeAddress(read("03-addresses", 71, addressDetails))
	if want := (dataplane.Addr{Index: 1, Prefix: pfx("2001:db8:1::2/64")}); err != nil || a != want {
		t.Errorf("address %+v, %v; want %+v", a, err, want)
	}
	for line, want := range map[int]dataplane.Table{28: {ID: 10, Family: unix.AF_INET}, 32: {ID: 10, Family: unix.AF_INET6}} {
		if got, err := decodeTable(read("04-routes", line, tableDetails)); err != nil || got != want {
			t.Errorf("table %+v, %v; want %+v", got, err, want)
		}
	}
	if got, err := decodeMPLSTable(read("08-mpls", 22, mplsTableDetails)); err != nil || got != (dataplane.Table{ID: 5, Family: unix.AF_MPLS}) {
		t.Errorf("table of labels %+v, %v", got, err)
	}
	if got, err := decodeSource(read("04-routes", 174, sourceDetails)); err != nil || got != (source{150, 25, "tester"}) {
		t.Errorf("source %+v, %v", got, err)
	}
	n, err := decodeNeigh(read("05-neighbors", 45, neighDetails))
	if want := (dataplane.Neigh{Index: 1, Addr: adr("192.0.2.11"), MAC: mac(0x11)}); err != nil || n != want {
		t.Errorf("neighbour %+v, %v; want %+v", n, err, want)
	}
	for line, want := range map[int]dataplane.Pair{
		75: {Phy: 2, HostPort: 5, HostIndex: 6, HostName: "sixteencharname", NetNS: "dataplane", Queues: 1},
		77: {Phy: 9, HostPort: 10, HostIndex: 8, HostName: "tunif", NetNS: "dataplane", TUN: true, Queues: 1},
	} {
		if got, err := decodePair(read("07-lcp", line, pairDetails)); err != nil || got != want {
			t.Errorf("pair %+v, %v; want %+v", got, err, want)
		}
	}
	k, src, raw, err := decodeRoute(read("04-routes", 296, routeDetails))
	s, perr := decodePaths(raw)
	if want := set(via(1, "192.0.2.2", 1), via(1, "192.0.2.3", 3)); err != nil || perr != nil || src != 25 || k != (dataplane.RouteKey{Prefix: pfx("61.0.3.0/24")}) || !s.Equal(want) {
		t.Errorf("route %+v of %d: %+v, %v %v", k, src, s, err, perr)
	}
	if k, _, _, err := decodeRoute(read("04-routes", 284, routeDetails)); err != nil || k.Prefix != pfx("60.0.9.0/24") {
		t.Errorf("a prefix with bits behind its length is %v, %v", k.Prefix, err)
	}
	k, raw, err = decodeMPLSRoute(read("08-mpls", 85, mplsRouteDetails))
	s, perr = decodePaths(raw)
	if want := set(via(1, "192.0.2.2", 1, 200)); err != nil || perr != nil || k != (dataplane.RouteKey{Label: 100}) || !s.Equal(want) {
		t.Errorf("label %+v: %+v, %v %v", k, s, err, perr)
	}
	// What is none of ours is equal to nothing: a local path, a backup path.
	for _, line := range []int{286, 277} {
		_, _, raw, err := decodeRoute(read("04-routes", line, routeDetails))
		if s, perr := decodePaths(raw); err != nil || perr != nil || len(s.Paths) != 0 || s.Kind != dataplane.Unicast {
			t.Errorf("line %d is %+v, %v %v", line, s, err, perr)
		}
	}
}

// TestUnrecorded holds the requests that no recording has against bytes written
// by hand from VPP's description of them (ip.api, mfib_types.api, vlib.api); the
// path in them is a recorded one.
func TestUnrecorded(t *testing.T) {
	const (
		flags = "00000000" + "00000000" // of the entry; RPF id
		four  = "00" + "0018" + "e0000000000000000000000000000000" + "00000000000000000000000000000000"
		six   = "01" + "0008" + "ff000000000000000000000000000000" + "00000000000000000000000000000000"
	)
	// Paths to VPP itself and to an interface, as recorded of unicast routes: the
	// first with interface ~0 and type 1 (LOCAL).
	local := record(t, "04-routes", 101).body()[2+8+prefixLen+1:]
	attached := bytes.Clone(local)
	binary.BigEndian.PutUint32(attached, 7)
	clear(attached[pathWeight+2 : pathWeight+6])
	proto6 := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[pathNH-1] = protoIP6
		return b
	}
	for name, x := range map[string]struct {
		got    []byte
		head   string
		behind []byte
	}{
		"accept IPv4":        {encodeMroute(nil, true, dataplane.Table{ID: 10, Family: unix.AF_INET}, 7), "0101" + "0000000a" + flags + four + "01" + "00000002", attached},
		"accept no IPv6":     {encodeMroute(nil, false, dataplane.Table{Family: unix.AF_INET6}, 7), "0001" + "00000000" + flags + six + "01" + "00000002", proto6(attached)},
		"to VPP itself":      {encodeMroute(nil, true, dataplane.Table{Family: unix.AF_INET}, dataplane.NoIndex), "0101" + "00000000" + flags + four + "01" + "00000004", local},
		"to VPP itself, six": {encodeMroute(nil, true, dataplane.Table{ID: 1, Family: unix.AF_INET6}, dataplane.NoIndex), "0101" + "00000001" + flags + six + "01" + "00000004", proto6(local)},
		"dump":               {encodeTable(nil, dataplane.Table{ID: 3, Family: unix.AF_INET6}, ""), "00000003" + "01", make([]byte, 64)},
	} {
		head, err := hex.DecodeString(x.head)
		if err != nil {
			t.Fatal(err)
		}
		if want := append(head, x.behind...); !bytes.Equal(x.got, want) {
			t.Errorf("%s: ours is\n%x, should be\n%x", name, x.got, want)
		}
	}
	// The route to VPP itself is the recorded one.
	k := dataplane.RouteKey{Prefix: pfx("60.0.14.1/32")}
	got := encodeRoute(nil, k, 25, &block{n: 1, b: encodeLocalPath(nil, protoIP4)})
	if want := record(t, "04-routes", 101).body(); !bytes.Equal(append(got[:29:29], got[30:]...), want) {
		t.Errorf("route to VPP itself: ours is\n%x, should be, but for the source,\n%x", got, want)
	}
}
