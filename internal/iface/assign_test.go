package iface

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func request(name string, length int, more ...int) PrefixRequest {
	r := PrefixRequest{Interface: name, Length: uint8(length)}
	if len(more) > 0 && more[0] >= 0 {
		r.Hint, r.HintSet = uint64(more[0]), true
	}
	if len(more) > 1 {
		r.Weight = uint32(more[1])
	}
	return r
}

func assigned(list []Assignment) string {
	var out []string
	for _, a := range list {
		out = append(out, a.Interface+"="+a.Subnet.String())
	}
	return strings.Join(out, " ")
}

func TestAssign(t *testing.T) {
	for _, c := range []struct {
		name, prefix, excluded string
		in                     []PrefixRequest
		before, want, unmet    string
	}{
		{"one", "2001:db8:100::/48", "", []PrefixRequest{request("lan", 60)}, "", "lan=2001:db8:100::/60", ""},
		{"by length, then name", "2001:db8::/56", "", []PrefixRequest{request("a", 64), request("b", 60), request("c", 64)}, "",
			"b=2001:db8::/60 a=2001:db8:0:10::/64 c=2001:db8:0:11::/64", ""},
		{"the heaviest first", "2001:db8::/56", "", []PrefixRequest{request("a", 64), request("b", 64, -1, 5), request("c", 64, -1, 9)}, "",
			"c=2001:db8::/64 b=2001:db8:0:1::/64 a=2001:db8:0:2::/64", ""},
		{"hints first", "2001:db8::/56", "", []PrefixRequest{request("a", 60), request("z", 64, 0x12), request("y", 60, 0xf5)}, "",
			"a=2001:db8::/60 z=2001:db8:0:12::/64 y=2001:db8:0:f0::/60", ""},
		{"of two with one hint the first by name", "2001:db8::/56", "", []PrefixRequest{request("b", 64, 3), request("a", 64, 3)}, "",
			"b=2001:db8::/64 a=2001:db8:0:3::/64", ""},
		{"a hint outside of the prefix", "2001:db8::/60", "", []PrefixRequest{request("a", 64, 0x10)}, "", "a=2001:db8::/64", ""},
		{"smaller where there is no room", "2001:db8::/62", "", []PrefixRequest{request("a", 63), request("b", 60), request("c", 64)}, "",
			"b=2001:db8::/62", "a c"},
		{"smaller beside others", "2001:db8::/62", "", []PrefixRequest{request("a", 63), request("b", 63, 1), request("c", 62)}, "",
			"b=2001:db8::/63 c=2001:db8:0:2::/63", "a"},
		{"the whole prefix", "2001:db8:0:1::/64", "", []PrefixRequest{request("a", 60), request("b", 64)}, "", "a=2001:db8:0:1::/64", "b"},
		{"excluded", "2001:db8::/62", "2001:db8::/64", []PrefixRequest{request("a", 64), request("b", 63)}, "",
			"a=2001:db8:0:1::/64 b=2001:db8:0:2::/63", ""},
		{"all excluded", "2001:db8::/62", "2001:db8::/60", []PrefixRequest{request("a", 64)}, "", "", "a"},
		{"excluded within a /64", "2001:db8::/62", "2001:db8::1:0/112", []PrefixRequest{request("a", 64)}, "", "a=2001:db8:0:1::/64", ""},
		{"excluded elsewhere", "2001:db8::/62", "2001:db9::/64", []PrefixRequest{request("a", 64)}, "", "a=2001:db8::/64", ""},
		{"who was there keeps it", "2001:db8::/56", "", []PrefixRequest{request("a", 64), request("b", 60), request("c", 64)},
			"c=2001:db8::/64", "c=2001:db8::/64 a=2001:db8:0:1::/64 b=2001:db8:0:10::/60", ""},
		{"but not against a hint", "2001:db8::/56", "", []PrefixRequest{request("a", 64, 0), request("c", 64)},
			"c=2001:db8::/64", "a=2001:db8::/64 c=2001:db8:0:1::/64", ""},
		{"nor with another length", "2001:db8::/56", "", []PrefixRequest{request("c", 60)},
			"c=2001:db8:0:77::/64", "c=2001:db8::/60", ""},
		{"nor from another prefix", "2001:db8::/56", "", []PrefixRequest{request("c", 64)},
			"c=2001:db9:0:77::/64", "c=2001:db8::/64", ""},
		{"a very large prefix", "2000::/1", "", []PrefixRequest{request("a", 1), request("b", 64)}, "", "a=::/1", "b"},
		{"in a very large prefix", "2000::/3", "", []PrefixRequest{request("a", 4), request("b", 64, 0x1fffffff)}, "",
			"b=2000:0:1fff:ffff::/64 a=3000::/4", ""},
	} {
		var excluded netip.Prefix
		if c.excluded != "" {
			excluded = netip.MustParsePrefix(c.excluded)
		}
		var before []Assignment
		for _, f := range strings.Fields(c.before) {
			n, p, _ := strings.Cut(f, "=")
			before = append(before, Assignment{n, netip.MustParsePrefix(p), uint8(netip.MustParsePrefix(p).Bits())})
		}
		out, unmet := Assign(netip.MustParsePrefix(c.prefix).Masked(), excluded, c.in, before)
		if got := assigned(out); got != c.want || strings.Join(unmet, " ") != c.unmet {
			t.Errorf("%s: %s, unmet %v; want %s, unmet %s", c.name, got, unmet, c.want, c.unmet)
		}
	}
}

// anyRequests makes requests of a few interfaces.
func anyRequests(t *rapid.T, label string) (out []PrefixRequest) {
	for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 0, 6, rapid.ID).Draw(t, label) {
		r := PrefixRequest{Interface: n, Length: rapid.Uint8Range(1, 64).Draw(t, "length"), Weight: rapid.Uint32Range(0, 3).Draw(t, "weight"),
			HintSet: rapid.Bool().Draw(t, "hint?")}
		if rapid.Bool().Draw(t, "small") {
			r.Length = rapid.Uint8Range(56, 64).Draw(t, "small length")
		}
		if r.HintSet {
			r.Hint = rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 20)).Draw(t, "hint")
		}
		out = append(out, r)
	}
	return out
}

// TestAssignProperties: whatever is asked for, no two subnets overlap or leave
// the prefix, the same again changes nothing, and nobody moves for a newcomer
// without a hint.
func TestAssignProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(1, 64).Draw(t, "bits")
		if rapid.Bool().Draw(t, "usual") {
			bits = rapid.IntRange(48, 64).Draw(t, "usual bits")
		}
		prefix := netip.PrefixFrom(join(rapid.Uint64().Draw(t, "prefix"), 0), bits).Masked()
		var excluded netip.Prefix
		if rapid.Bool().Draw(t, "excluded?") {
			excluded = netip.PrefixFrom(join(high(prefix.Addr())+rapid.Uint64Range(0, 8).Draw(t, "excluded"), 0), rapid.IntRange(1, 128).Draw(t, "length")).Masked()
		}
		reqs := anyRequests(t, "requests")
		first, unmet := Assign(prefix, excluded, reqs, nil)
		check := func(what string, reqs []PrefixRequest, got []Assignment, unmet []string) {
			if len(got)+len(unmet) != len(reqs) {
				t.Fatalf("%s: %d requests, %s, unmet %v", what, len(reqs), assigned(got), unmet)
			}
			for i, a := range got {
				k := slices.IndexFunc(reqs, func(r PrefixRequest) bool { return r.Interface == a.Interface })
				if k < 0 || a.Subnet.Bits() < int(reqs[k].Length) || a.Subnet.Bits() > 64 || a.Subnet != a.Subnet.Masked() ||
					a.Subnet.Bits() < bits || !prefix.Contains(a.Subnet.Addr()) || excluded.IsValid() && a.Subnet.Overlaps(excluded) {
					t.Fatalf("%s: %+v of %s without %s", what, a, prefix, excluded)
				}
				for _, b := range got[:i] {
					if a.Subnet.Overlaps(b.Subnet) || a.Interface == b.Interface {
						t.Fatalf("%s: %+v and %+v", what, a, b)
					}
				}
			}
		}
		check("first", reqs, first, unmet)
		again, _ := Assign(prefix, excluded, reqs, first)
		if fmt.Sprint(again) != fmt.Sprint(first) {
			t.Fatalf("again: %s, was %s", assigned(again), assigned(first))
		}
		next := slices.Clone(reqs)
		for _, r := range anyRequests(t, "newcomers") {
			if r.HintSet = false; !slices.ContainsFunc(reqs, func(x PrefixRequest) bool { return x.Interface == r.Interface }) {
				next = append(next, r)
			}
		}
		more, unmet := Assign(prefix, excluded, next, first)
		check("with newcomers", next, more, unmet)
		for _, a := range first {
			if !slices.Contains(more, a) {
				t.Fatalf("%s had %s and lost it to a newcomer: %s", a.Interface, a.Subnet, assigned(more))
			}
		}
		any, unmet := Assign(prefix, excluded, anyRequests(t, "others"), first)
		_ = unmet
		for i, a := range any {
			for _, b := range any[:i] {
				if a.Subnet.Overlaps(b.Subnet) {
					t.Fatalf("after a change: %s", assigned(any))
				}
			}
		}
	})
}
