package netns

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

func TestAliases(t *testing.T) {
	for _, want := range []portAlias{{3, "host0", "/run/netns/ctl"}, {4, "h", ""}, {1 << 30, "fifteen-octets-", "/a path with blanks"}} {
		if got, ok := parsePortAlias(want.String()); !ok || got != want {
			t.Errorf("%q is read as %+v, %v", want, got, ok)
		}
	}
	for _, want := range []subAlias{{"host0.100", false, ""}, {"v", true, "/run/netns/ctl"}} {
		if got, ok := parseSubAlias(want.String()); !ok || got != want {
			t.Errorf("%q is read as %+v, %v", want, got, ok)
		}
	}
	for _, bad := range []string{"", "netbraid pair ", "netbraid pair 3 host0", "netbraid pair x host0 /n", "netbraid pair 0 host0 /n", "netbraid pair 3 a/b /n",
		"netbraid pair 99999999999 host0 /n", "my own text", "netbraid pair -3 host0 /n", "netbraid pair 3  /n"} {
		if a, ok := parsePortAlias(bad); ok {
			t.Errorf("%q is read as %+v", bad, a)
		}
	}
	for _, bad := range []string{"", "netbraid sub host0 made", "netbraid sub host0 stolen /n", "netbraid sub  made /n"} {
		if a, ok := parseSubAlias(bad); ok {
			t.Errorf("%q is read as %+v", bad, a)
		}
	}
	for _, c := range [][2]bool{{true, false}, {false, true}, {true, true}, {false, false}} {
		if four, six := parseTableAlias(tableAlias(c[0], c[1])); four != c[0] || six != c[1] {
			t.Errorf("tables %v are read as %v, %v", c, four, six)
		}
	}
}

// FuzzAliases: what is read is written as it was.
func FuzzAliases(f *testing.F) {
	f.Add("netbraid pair 3 host0 /run/netns/ctl")
	f.Add("netbraid sub host0.100 found ")
	f.Fuzz(func(t *testing.T, s string) {
		if a, ok := parsePortAlias(s); ok {
			if again, ok := parsePortAlias(a.String()); !ok || again != a || !validName(a.host) || a.phy == 0 {
				t.Errorf("%q: %+v, then %+v", s, a, again)
			}
		}
		if a, ok := parseSubAlias(s); ok && a.String() != s {
			t.Errorf("%q is written as %q", s, a)
		}
		parseTableAlias(s)
	})
}

func TestValidName(t *testing.T) {
	for s, want := range map[string]bool{"host0": true, "a.100": true, "fifteen-octets-": true, "": false, ".": false, "..": false, "a/b": false,
		"a b": false, "a:b": false, "a%d": false, "sixteen-octets--": false, "tab\t": false, "\x00": false, "grün": false} {
		if validName(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

// TestDecodeRule: what we write of a rule is what is read.
func TestDecodeRule(t *testing.T) {
	c := guards()[0]
	msgs := chainMsgs(&c)
	if len(msgs) != 2+len(c.rules) {
		t.Fatalf("%d messages", len(msgs))
	}
	for _, m := range msgs[2:] {
		h, body, rest, err := rtnl.NextMessage(m)
		if err != nil || len(rest) > 0 || h.Type != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWRULE {
			t.Fatalf("%+v, %v", h, err)
		}
		if r := decodeRule(body[4:]); r.table != nftTable || r.chain != "input" || r.mark != c.mark() {
			t.Errorf("rule is read as %+v", r)
		}
	}
	other := c
	other.rules = slices.Clone(c.rules)
	other.rules[0] = rule(verdict(nfAccept))
	if c.mark() == other.mark() {
		t.Error("another rule set has the same mark")
	}
	marks := slices.Repeat([]string{c.mark()}, len(c.rules))
	if !(chainState{marks: marks}).same(&c) || (chainState{marks: marks[1:]}).same(&c) || (chainState{marks: marks}).same(&other) ||
		(chainState{marks: append(slices.Clone(marks), "")}).same(&c) || (chainState{marks: []string{marks[0], ""}}).same(&c) {
		t.Error("chains that differ are taken for the same, or the reverse")
	}
}

func TestElements(t *testing.T) {
	var keys [][]byte
	for i := range 2500 {
		keys = append(keys, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).AsSlice())
	}
	var got [][]byte
	for _, m := range elemMsgs(unix.NFT_MSG_NEWSETELEM, nfprotoNetdev, set4, keys) {
		_, body, _, err := rtnl.NextMessage(m)
		if err != nil {
			t.Fatal(err)
		}
		part, err := decodeElems(body[4:])
		if err != nil || len(part) > maxElems {
			t.Fatalf("%d elements, %v", len(part), err)
		}
		got = append(got, part...)
	}
	if !slices.EqualFunc(got, keys, bytes.Equal) {
		t.Errorf("%d elements are read, %d were written", len(got), len(keys))
	}
}

// FuzzDecode: what nf_tables sends neither panics nor hangs.
func FuzzDecode(f *testing.F) {
	c := guards()[0]
	for _, m := range append(chainMsgs(&c), elemMsgs(unix.NFT_MSG_NEWSETELEM, nfprotoNetdev, set4, [][]byte{{10, 0, 0, 1}})...) {
		f.Add(m[20:])
	}
	f.Add([]byte{4, 0, 0, 0, 3, 0})
	f.Add([]byte{255, 255, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeChain(b)
		decodeRule(b)
		keys, _ := decodeElems(b)
		for _, k := range keys {
			netip.AddrFromSlice(k)
		}
		n := 0
		if err := eachAttr(b, func(uint16, []byte) { n++ }); err == nil && n > len(b)/4 {
			t.Errorf("%d attributes in %d octets", n, len(b))
		}
	})
}

// noTable is for routes that look nothing up.
func noTable(uint32) (uint32, bool) { return 0, false }

func noPop(uint32) (uint32, error) { return 0, dataplane.ErrRefused }

// TestWeights: weights that the kernel has are kept, others are scaled and their
// route is odd.
func TestWeights(t *testing.T) {
	gw := func(n byte, w uint16) dataplane.Path {
		return dataplane.Path{Index: 3, Via: netip.AddrFrom4([4]byte{10, 0, 0, n}), Weight: w}
	}
	cases := []struct {
		in, out []uint16
		odd     bool
	}{
		{[]uint16{1, 3}, []uint16{1, 3}, false},
		{[]uint16{256, 1}, []uint16{256, 1}, false},
		{[]uint16{512, 256}, []uint16{256, 128}, true},
		{[]uint16{65535, 1}, []uint16{256, 1}, true},
		{[]uint16{7}, []uint16{1}, true},
	}
	for _, c := range cases {
		set := &dataplane.PathSet{}
		for i, w := range c.in {
			set.Paths = append(set.Paths, gw(byte(i), w))
		}
		r, err := routeOf(set, unix.AF_INET, noPop)
		if err != nil {
			t.Fatal(err)
		}
		back, err := pathsOf(&r, noTable)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint16
		for _, p := range back.Paths {
			got = append(got, p.Weight)
		}
		if !slices.Equal(got, c.out) || isOdd(set, unix.AF_INET) != c.odd {
			t.Errorf("weights %v became %v, odd %v", c.in, got, isOdd(set, unix.AF_INET))
		}
	}
}

// FuzzRoute: a route that the kernel may show has a key and paths, or an error;
// what we can write again is read as the same.
func FuzzRoute(f *testing.F) {
	set := &dataplane.PathSet{Paths: []dataplane.Path{{Index: 3, Via: netip.MustParseAddr("10.0.0.1"), Weight: 1}, {Index: 4, Via: netip.MustParseAddr("fe80::1"), Weight: 3}}}
	set.Paths[0].Labels.N = uint8(copy(set.Paths[0].Labels.L[:], []uint32{100, 200}))
	for _, k := range []dataplane.RouteKey{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Table: 1001, Prefix: netip.MustParsePrefix("0.0.0.0/0")}} {
		r, err := routeOf(set, unix.AF_INET, noPop)
		if err != nil || routeKey(&r, k) != nil {
			f.Fatal(err)
		}
		f.Add(rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, &r)[unix.SizeofNlMsghdr:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r rtnl.Route
		if rtnl.DecodeRoute(body, &r) != nil {
			return
		}
		key, ok := keyOf(&r)
		set, err := pathsOf(&r, noTable)
		if !ok || err != nil {
			return
		}
		again, err := routeOf(set, keyFamily(key), noPop)
		if err != nil || routeKey(&again, key) != nil {
			return
		}
		back, err := pathsOf(&again, noTable)
		if k, ok := keyOf(&again); err != nil || !ok && !key.MPLS() || k != key || !back.Equal(set) && !isOdd(set, keyFamily(key)) {
			t.Errorf("%+v of %+v became %+v of %+v, %v", set, key, back, k, err)
		}
	})
}

func TestReleaseIsShown(t *testing.T) {
	if r := release(); !strings.Contains(r, ".") {
		t.Errorf("kernel release %q", r)
	}
}
