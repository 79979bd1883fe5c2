package rtnl

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

func newRoute(r Route) []byte {
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	if r.Type == 0 {
		r.Type = unix.RTN_UNICAST
	}
	if r.Protocol == 0 {
		r.Protocol = unix.RTPROT_BOOT // what IPv6 makes of 0
	}
	if r.Family == 0 {
		r.Family = familyOf(r.Dst.Addr())
	}
	return AppendRoute(nil, unix.RTM_NEWROUTE, add, 0, &r)
}

// testRoutes have one of each shape.
var testRoutes = []Route{
	{Dst: pfx("0.0.0.0/0"), Gateway: ipa("192.0.2.2"), Oif: idxUplink, Protocol: unix.RTPROT_STATIC, Priority: 10},
	{Dst: pfx("10.1.0.0/16"), Oif: idxUplink, Scope: unix.RT_SCOPE_LINK, Protocol: 77, PrefSrc: ipa("192.0.2.1")},
	{Dst: pfx("10.2.0.0/16"), Gateway: ipa("10.99.0.1"), Oif: idxUplink, Flags: unix.RTNH_F_ONLINK, Table: 1000, MTU: 1300, MTULock: true,
		Metrics: string(nlattr.AppendU32(nlattr.AppendU32(nil, unix.RTAX_ADVMSS, 1200), unix.RTAX_INITCWND, 20))},
	{Dst: pfx("10.3.0.0/16"), Type: unix.RTN_UNREACHABLE, TOS: 16},
	{Dst: pfx("10.4.0.0/16"), Gateway: ipa("fe80::1"), Oif: idxUplink},
	{Dst: pfx("10.5.0.0/16"), Multipath: AppendHops([]Hop{
		{Oif: idxUplink, Gateway: ipa("192.0.2.3"), Weight: 4},
		{Oif: idxUplink, Gateway: ipa("fe80::2")},
		{Oif: idxBridge, Flags: unix.RTNH_F_ONLINK, Gateway: ipa("172.16.0.1")},
	})},
	{Dst: pfx("::/0"), Gateway: ipa("fe80::1"), Oif: idxUplink, Priority: 512, Protocol: unix.RTPROT_RA, Pref: 1, Expires: 600},
	{Dst: pfx("2001:db8:5::/48"), Priority: 1024, Multipath: AppendHops([]Hop{
		{Oif: idxUplink, Gateway: ipa("2001:db8::2"), Weight: 1},
		{Oif: idxUplink, Gateway: ipa("2001:db8::3"), Weight: 2},
	})},
	{Dst: pfx("2001:db8:6::/48"), Src: pfx("2001:db8::/32"), Gateway: ipa("2001:db8::2"), Oif: idxUplink, Priority: 1},
	{Dst: pfx("2001:db8:7::1/128"), Type: unix.RTN_BLACKHOLE, Oif: 1, Priority: 7},
}

func (w *world) buildRoutes() {
	w.Helper()
	for _, r := range testRoutes {
		msg := newRoute(r)
		if err := w.try(msg)[0]; err != nil {
			h, body, _, _ := NextMessage(msg)
			if r.Src.IsValid() {
				w.Logf("no source-specific routes here: %v", err)
				continue
			}
			w.Fatalf("%s: %v", FormatMessage(h, body, nil), err)
		}
	}
}

// TestKernelRoutes writes routes of every shape and finds in the dump what was
// asked for.
func TestKernelRoutes(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	w.buildRoutes()
	have := map[string]Route{}
	for _, r := range dumpAll(w, KindRoute, Filter{}, DecodeRoute) {
		if r.Protocol != unix.RTPROT_KERNEL {
			have[fmt.Sprint(r.Dst, r.Src)] = r
		}
	}
	for _, want := range testRoutes {
		_, body, _, _ := NextMessage(newRoute(want))
		if err := DecodeRoute(body, &want); err != nil {
			t.Fatal(err)
		}
		got, ok := have[fmt.Sprint(want.Dst, want.Src)]
		if !ok {
			if !want.Src.IsValid() {
				t.Errorf("%s is not there", FormatRoute(&want, nil))
			}
			continue
		}
		// What the kernel decides: the state of hops, and time passing.
		got.Flags &^= routeStateFlags
		if want.Expires != 0 && got.Expires <= want.Expires && got.Expires > want.Expires-60 {
			got.Expires = want.Expires
		}
		got.Multipath = withoutState(t, got.Multipath)
		if got != want {
			t.Errorf("asked for %s\n%+v\nthere is  %s\n%+v", FormatRoute(&want, nil), want, FormatRoute(&got, nil), got)
		}
	}
	w.same("routes", w.printRoutes(unix.AF_INET, unix.AF_INET6))

	in := dumpAll(w, KindRoute, Filter{Family: unix.AF_INET, Table: 1000}, DecodeRoute)
	if len(in) != 1 || in[0].Dst != pfx("10.2.0.0/16") {
		t.Errorf("table 1000 has %v", in)
	}
	in = dumpAll(w, KindRoute, Filter{Family: unix.AF_INET, Protocol: 77}, DecodeRoute)
	if len(in) != 1 || in[0].Dst != pfx("10.1.0.0/16") {
		t.Errorf("protocol 77 has %v", in)
	}
	in = dumpAll(w, KindRoute, Filter{Family: unix.AF_INET6, Index: idxPeer}, DecodeRoute)
	for _, r := range in {
		if r.Oif != idxPeer {
			t.Errorf("the filter by link let %s through", FormatRoute(&r, nil))
		}
	}

	gone := have[fmt.Sprint(pfx("10.5.0.0/16"), netip.Prefix{})]
	w.do(AppendRoute(nil, unix.RTM_DELROUTE, 0, 0, &gone))
	for _, r := range dumpAll(w, KindRoute, Filter{Family: unix.AF_INET}, DecodeRoute) {
		if r.Dst == gone.Dst {
			t.Errorf("%s is there after its deletion", FormatRoute(&r, nil))
		}
	}
}

func withoutState(t *testing.T, multipath string) string {
	hops, err := Hops(multipath)
	if err != nil {
		t.Fatal(err)
	}
	for i := range hops {
		hops[i].Flags &^= hopStateFlags & 0xff
	}
	return AppendHops(hops)
}

var testRules = []Rule{
	{Family: unix.AF_INET, Priority: 100, Table: 1000, Action: unix.FR_ACT_TO_TBL, SuppressPL: -1, SuppressIG: -1,
		Src: pfx("10.0.0.0/8"), Dst: pfx("192.0.2.0/24"), IifName: "wan0", TOS: 16, Protocol: 77},
	{Family: unix.AF_INET6, Priority: 101, Table: 254, Action: unix.FR_ACT_TO_TBL, SuppressPL: 0, SuppressIG: 3,
		Mark: 0x100, Mask: 0xff00, OifName: "br-lan", Flags: unix.FIB_RULE_INVERT},
	{Family: unix.AF_INET, Priority: 102, Action: unix.FR_ACT_GOTO, Goto: 32766, SuppressPL: -1, SuppressIG: -1,
		HasUID: true, UIDStart: 1000, UIDEnd: 2000, IPProto: unix.IPPROTO_TCP, SportStart: 1, SportEnd: 1023, DportStart: 443, DportEnd: 443, TunID: 5},
	{Family: unix.AF_INET, Priority: 103, Action: unix.FR_ACT_PROHIBIT, SuppressPL: -1, SuppressIG: -1},
}

func TestKernelRules(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	for _, r := range testRules {
		w.do(AppendRule(nil, unix.RTM_NEWRULE, add, 0, &r))
	}
	all := dumpAll(w, KindRule, Filter{}, DecodeRule)
	for _, want := range testRules {
		if !slices.Contains(all, want) {
			t.Errorf("not in the dump: %+v", want)
			for _, r := range all {
				if r.Priority == want.Priority {
					t.Errorf("but there is     %+v", r)
				}
			}
		}
	}
	w.same("rules", w.printRules)
	for _, r := range testRules {
		w.do(AppendRule(nil, unix.RTM_DELRULE, 0, 0, &r))
	}
	if left := dumpAll(w, KindRule, Filter{}, DecodeRule); len(left) != len(all)-len(testRules) {
		t.Errorf("%d rules are left of %d", len(left), len(all))
	}
}

func TestKernelNeighbours(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	mac := MAC([6]byte{2, 0, 0x5e, 0, 0, 0x42})
	entries := []Neigh{
		{Family: unix.AF_INET, Index: idxUplink, State: unix.NUD_PERMANENT, Dst: ipa("192.0.2.9"), LLAddr: mac, Protocol: 77, Type: unix.RTN_UNICAST},
		{Family: unix.AF_INET6, Index: idxUplink, State: unix.NUD_NOARP, Dst: ipa("2001:db8::9"), LLAddr: mac, Flags: unix.NTF_ROUTER, Type: unix.RTN_UNICAST},
		{Family: unix.AF_BRIDGE, Index: idxVeth, State: unix.NUD_NOARP, LLAddr: mac, Flags: unix.NTF_MASTER, Master: idxBridge},
	}
	for _, n := range entries {
		n.Master = 0 // only the kernel says it
		w.do(AppendNeigh(nil, unix.RTM_NEWNEIGH, add, 0, &n))
	}
	all := dumpAll(w, KindNeigh, Filter{}, DecodeNeigh)
	all = append(all, dumpAll(w, KindNeigh, Filter{Family: unix.AF_BRIDGE}, DecodeNeigh)...)
	for _, want := range entries {
		if want.Family == unix.AF_BRIDGE {
			want.Flags = 0 // the dump says it with the master
		}
		if !slices.Contains(all, want) {
			t.Errorf("not in the dump: %+v", want)
			for _, n := range all {
				if n.LLAddr == mac {
					t.Logf("there is %+v", n)
				}
			}
		}
	}
	w.same("neighbours", w.printNeighs)
	for _, n := range dumpAll(w, KindNeigh, Filter{Index: idxUplink}, DecodeNeigh) {
		if n.Index != idxUplink {
			t.Errorf("the filter by link let %s through", FormatNeigh(&n, nil))
		}
	}
}

// TestKernelNexthops compares with iproute2: the other library has no next-hop
// objects.
func TestKernelNexthops(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	group := string(ne.AppendUint64(ne.AppendUint32(ne.AppendUint32(nil, 1), 0), 2)) // ids 1 and 2, weight 1 each
	objects := []Nexthop{
		{ID: 1, Family: unix.AF_INET, Oif: idxUplink, Gateway: ipa("192.0.2.2"), Protocol: 77},
		{ID: 2, Family: unix.AF_INET6, Oif: idxUplink, Gateway: ipa("2001:db8::2"), Protocol: unix.RTPROT_STATIC},
		{ID: 3, Family: unix.AF_INET, Blackhole: true},
		{ID: 4, Group: group},
	}
	for _, n := range objects {
		w.do(AppendNexthop(nil, unix.RTM_NEWNEXTHOP, add, 0, &n))
	}
	w.do(newRoute(Route{Dst: pfx("10.6.0.0/16"), NHID: 4}))
	all := dumpAll(w, KindNexthop, Filter{}, DecodeNexthop)
	if len(all) != len(objects) {
		t.Fatalf("%d next hops, want %d", len(all), len(objects))
	}
	for i, want := range objects {
		got := all[i]
		// What only the kernel says: the scope, the state, and the loopback
		// that a black hole hangs on.
		got.Scope, got.Flags = want.Scope, want.Flags
		if want.Blackhole {
			got.Oif = want.Oif
		}
		if got != want {
			t.Errorf("asked for %+v\nthere is  %+v", want, all[i])
		}
	}
	var theirs []struct {
		ID        uint32
		Gateway   string
		Dev       string
		Protocol  string
		Blackhole *struct{}
		Group     []struct{ ID uint32 }
	}
	out := w.ip("-j", "nexthop", "show")
	if err := json.Unmarshal([]byte(strings.ReplaceAll(out, `"blackhole":null`, `"blackhole":{}`)), &theirs); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(theirs) != len(all) {
		t.Fatalf("ip shows %d next hops: %s", len(theirs), out)
	}
	for i, n := range all {
		o := theirs[i]
		gw := ""
		if n.Gateway.IsValid() {
			gw = n.Gateway.String()
		}
		if o.ID != n.ID || o.Gateway != gw || (o.Blackhole != nil) != n.Blackhole || len(o.Group)*8 != len(n.Group) {
			t.Errorf("ip says %+v, rtnl %s", o, FormatNexthop(&n, nil))
		}
	}
	for _, r := range dumpAll(w, KindRoute, Filter{Family: unix.AF_INET}, DecodeRoute) {
		if r.Dst == pfx("10.6.0.0/16") && r.NHID != 4 {
			t.Errorf("the route through the group: %s", FormatRoute(&r, nil))
		}
	}
	if only := dumpAll(w, KindNexthop, Filter{Index: idxUplink}, DecodeNexthop); len(only) != 2 {
		t.Errorf("%d next hops on the uplink, want 2", len(only))
	}
	w.do(AppendNexthop(nil, unix.RTM_DELNEXTHOP, 0, 0, &Nexthop{ID: 3}))
	if n := len(dumpAll(w, KindNexthop, Filter{}, DecodeNexthop)); n != 3 {
		t.Errorf("%d next hops after one was deleted, want 3", n)
	}
}
