package rtnl

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// idxVXLAN is a link of kind vxlan, whose attributes Link keeps as they are.
const idxVXLAN = 120

func newVXLAN() []byte {
	data := nlattr.AppendBE16(nlattr.AppendU32(nil, 1, 5), 15, 4789) // IFLA_VXLAN_ID, IFLA_VXLAN_PORT
	return newLink(LinkRequest{Link: Link{Index: idxVXLAN, Name: "vx0", Kind: "vxlan", Data: string(data), Flags: unix.IFF_UP}, Set: LinkName | LinkUp})
}

// wantAll wants every entry in the list.
func wantAll[T comparable](t *testing.T, all, want []T, format func(*T, func(uint32) string) string) {
	t.Helper()
	for _, v := range want {
		if slices.Contains(all, v) {
			continue
		}
		t.Errorf("not in the dump: %+v", v)
		for _, x := range all {
			t.Logf("there is %s", format(&x, nil))
		}
	}
}

// TestKernelForwarding writes forwarding entries of a bridge and of a VXLAN,
// with destinations and with next hops.
func TestKernelForwarding(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	w.do(newVXLAN())
	mac := func(last byte) HWAddr { return MAC([6]byte{2, 0, 0x5e, 0, 1, last}) }
	for _, n := range []Nexthop{
		{ID: 21, Family: unix.AF_INET, Gateway: ipa("192.0.2.21"), FDB: true},
		{ID: 22, Family: unix.AF_INET, Gateway: ipa("192.0.2.22"), FDB: true},
		{ID: 23, FDB: true, Group: AppendGroup([]GroupMember{{21, 1}, {22, 3}})},
	} {
		w.do(AppendNexthop(nil, unix.RTM_NEWNEXTHOP, add|unix.NLM_F_REQUEST, 0, &n))
	}
	const self = unix.NTF_SELF
	entries := []Neigh{
		{Index: idxVXLAN, State: unix.NUD_PERMANENT, Flags: self, LLAddr: mac(1), Dst: ipa("192.0.2.9")},
		{Index: idxVXLAN, State: unix.NUD_PERMANENT, Flags: self, LLAddr: mac(2), Dst: ipa("192.0.2.10"), Port: 5000, VNI: 6, Via: idxUplink},
		{Index: idxVXLAN, State: unix.NUD_PERMANENT, Flags: self, LLAddr: mac(3), NHID: 23},
		{Index: idxVeth, State: unix.NUD_NOARP, Flags: unix.NTF_MASTER | ntfSticky, LLAddr: mac(4)},
		{Index: idxVeth, State: unix.NUD_REACHABLE, Flags: unix.NTF_MASTER | unix.NTF_EXT_LEARNED, LLAddr: mac(5)},
		{Index: idxPeer, State: unix.NUD_PERMANENT, Flags: self, LLAddr: MAC([6]byte{0x33, 0x33, 0, 0, 0, 0x77})},
	}
	for i := range entries {
		n := &entries[i]
		n.Family = unix.AF_BRIDGE
		if n.Index == idxVXLAN {
			n.Type = unix.RTN_UNICAST // what the driver says
		}
		w.do(AppendNeigh(nil, unix.RTM_NEWNEIGH, add, 0, n))
		if n.Flags&unix.NTF_MASTER != 0 { // the dump says it with the ifindex
			n.Flags &^= unix.NTF_MASTER
			n.Master = idxBridge
		}
	}
	all := dumpAll(w, KindNeigh, Filter{Family: unix.AF_BRIDGE}, DecodeNeigh)
	wantAll(t, all, entries, FormatNeigh)
	w.same("forwarding entries", w.printNeighs)
	out := w.bridge("fdb", "show", "dev", "vx0")
	for _, want := range []string{"02:00:5e:00:01:02 dst 192.0.2.10 port 5000 vni 6 via wan0 self permanent", "02:00:5e:00:01:03 nhid 23 self permanent"} {
		if !strings.Contains(out, want) {
			t.Errorf("bridge does not say %q:\n%s", want, out)
		}
	}
	for f, want := range map[Filter]uint32{{Index: idxVeth}: idxVeth, {Master: idxBridge}: idxVeth} {
		f.Family = unix.AF_BRIDGE
		narrow := dumpAll(w, KindNeigh, f, DecodeNeigh)
		if len(narrow) == 0 || len(narrow) >= len(all) {
			t.Errorf("filter %+v lets %d of %d through", f, len(narrow), len(all))
		}
		for _, n := range narrow {
			if n.Index != want && n.Index != idxBridge {
				t.Errorf("filter %+v let %s through", f, FormatNeigh(&n, nil))
			}
		}
	}
}

// bridge runs iproute2's bridge in the namespace.
func (w *world) bridge(args ...string) string {
	w.Helper()
	if _, err := exec.LookPath("bridge"); err != nil {
		w.Skip("needs iproute2 for a second opinion")
	}
	var out []byte
	if err := w.ns.Do(func() (err error) {
		out, err = exec.Command("bridge", args...).CombinedOutput()
		return err
	}); err != nil {
		w.Fatalf("bridge %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestKernelProxies: what is answered for others comes only when asked for.
func TestKernelProxies(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	proxies := []Neigh{
		{Family: unix.AF_INET, Index: idxUplink, Flags: unix.NTF_PROXY, Dst: ipa("192.0.2.77"), Type: unix.RTN_UNICAST, Protocol: 77},
		{Family: unix.AF_INET6, Index: idxUplink, Flags: unix.NTF_PROXY, Dst: ipa("2001:db8::77"), Type: unix.RTN_UNICAST},
	}
	managed := Neigh{Family: unix.AF_INET, Index: idxUplink, Flags: unix.NTF_EXT_LEARNED, ExtFlags: ntfExtManaged, Dst: ipa("192.0.2.78"), Type: unix.RTN_UNICAST}
	w.do(AppendNeigh(nil, unix.RTM_NEWNEIGH, add, 0, &proxies[0]), AppendNeigh(nil, unix.RTM_NEWNEIGH, add, 0, &proxies[1]),
		AppendNeigh(nil, unix.RTM_NEWNEIGH, add, 0, &managed))
	all := dumpAll(w, KindNeigh, Filter{Proxy: true}, DecodeNeigh)
	for i := range all { // the kernel gives neither a state nor a type of its own to them
		all[i].State, all[i].Type = 0, unix.RTN_UNICAST
	}
	wantAll(t, all, proxies, FormatNeigh)
	found := false
	for _, n := range dumpAll(w, KindNeigh, Filter{}, DecodeNeigh) {
		if n.Flags&unix.NTF_PROXY != 0 {
			t.Errorf("a dump of neighbours has %s", FormatNeigh(&n, nil))
		}
		found = found || n.Dst == managed.Dst && n.ExtFlags == ntfExtManaged && n.Flags == unix.NTF_EXT_LEARNED
	}
	if !found {
		t.Error("the neighbour that the kernel manages is not there, or not marked")
	}
	w.same("proxies", w.printNeighs)
}

// encapOf is an encapsulation as the other library writes it.
func encapOf(t *testing.T, e netlink.Encap) string {
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(ne.AppendUint16(nil, uint16(e.Type()))) + string(b)
}

// TestKernelRoutesMore writes routes with encapsulations, every metric, realms,
// and through next-hop objects.
func TestKernelRoutesMore(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	w.do(
		AppendNexthop(nil, unix.RTM_NEWNEXTHOP, add, 0, &Nexthop{ID: 1, Family: unix.AF_INET, Oif: idxUplink, Gateway: ipa("192.0.2.2")}),
		AppendNexthop(nil, unix.RTM_NEWNEXTHOP, add, 0, &Nexthop{ID: 2, Family: unix.AF_INET, Oif: idxUplink, Gateway: ipa("192.0.2.3")}),
		AppendNexthop(nil, unix.RTM_NEWNEXTHOP, add, 0, &Nexthop{ID: 3, Family: unix.AF_INET6, Oif: idxUplink, Gateway: ipa("2001:db8::2")}),
		AppendNexthop(nil, unix.RTM_NEWNEXTHOP, add, 0, &Nexthop{ID: 4, Group: AppendGroup([]GroupMember{{1, 2}, {2, 1}})}),
	)
	seg6 := encapOf(t, &netlink.SEG6Encap{Mode: 1, Segments: []net.IP{net.ParseIP("2001:db8::a"), net.ParseIP("2001:db8::b")}})
	ip6 := string(oct(uint16(encapIP6), at(ipTunnelID, uint64(0)), at(ipTunnelDst, ipa("2001:db8::9").AsSlice()), at(ipTunnelSrc, ipa("2001:db8::1").AsSlice()),
		at(ipTunnelTTL, 64), at(ipTunnelTOS, 4)))
	ip4 := string(oct(uint16(encapIP), at(ipTunnelID, 0, 0, 0, 0, 0, 0, 0, 7), at(ipTunnelDst, 192, 0, 2, 9), at(ipTunnelTTL, 64)))
	metrics := oct(at(unix.RTAX_WINDOW, uint32(1000)), at(unix.RTAX_RTT, uint32(800)), at(unix.RTAX_SSTHRESH, uint32(9)), at(unix.RTAX_ADVMSS, uint32(1200)),
		at(unix.RTAX_HOPLIMIT, uint32(9)), at(unix.RTAX_INITCWND, uint32(20)), at(unix.RTAX_INITRWND, uint32(21)), at(unix.RTAX_QUICKACK, uint32(1)),
		at(unix.RTAX_CC_ALGO, "reno\x00"), at(unix.RTAX_FASTOPEN_NO_COOKIE, uint32(1)))
	routes := []Route{
		{Dst: pfx("10.1.0.0/16"), NHID: 1},
		{Dst: pfx("10.2.0.0/16"), NHID: 4, Table: 4000000000},
		{Dst: pfx("2001:db8:1::/48"), NHID: 3, Priority: 9},
		{Dst: pfx("10.3.0.0/16"), Oif: idxUplink, Gateway: ipa("192.0.2.2"), Metrics: string(metrics), MTU: 1400},
		{Dst: pfx("2001:db8:3::/48"), Oif: idxUplink, Gateway: ipa("2001:db8::2"), Metrics: string(metrics), MTU: 1400, Priority: 9},
		{Dst: pfx("10.4.0.0/16"), Oif: idxUplink, Gateway: ipa("192.0.2.2"), Realm: 0x20003},
		{Dst: pfx("10.5.0.0/16"), Realm: 0, Multipath: AppendHops([]Hop{{Oif: idxUplink, Gateway: ipa("192.0.2.2"), Realm: 4}, {Oif: idxUplink, Gateway: ipa("192.0.2.3"), Weight: 255}})},
		{Dst: pfx("2001:db8:6::/48"), Oif: idxUplink, Encap: seg6, Priority: 9},
		{Dst: pfx("10.6.0.0/16"), Oif: idxUplink, Encap: seg6},
		{Dst: pfx("10.7.0.0/16"), Oif: idxUplink, Encap: ip4},
		{Dst: pfx("2001:db8:7::/48"), Oif: idxUplink, Encap: ip6, Priority: 9},
		{Dst: pfx("2001:db8:8::/48"), Priority: 9, Multipath: AppendHops([]Hop{
			{Oif: idxUplink, Gateway: ipa("2001:db8::2"), Encap: ip6}, {Oif: idxUplink, Gateway: ipa("2001:db8::3"), Encap: seg6}})},
	}
	there := 0
	have := func(dst netip.Prefix) *Route {
		for _, r := range dumpAll(w, KindRoute, Filter{}, DecodeRoute) {
			if r.Dst == dst {
				return &r
			}
		}
		return &Route{}
	}
	for _, want := range routes {
		err := w.try(newRoute(want))[0]
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) && (want.Realm != 0 || want.Dst == pfx("10.5.0.0/16")) {
			t.Logf("not on this kernel: %s: %v", FormatRoute(&want, nil), err)
			continue
		} else if err != nil {
			t.Errorf("%s: %v", FormatRoute(&want, nil), err)
			continue
		}
		there++
		got := have(want.Dst)
		if got.NHID != want.NHID || got.Metrics != want.Metrics || got.MTU != want.MTU || got.Realm != want.Realm ||
			want.Table != 0 && got.Table != want.Table || want.Encap != "" && !sameEncap(got.Encap, want.Encap) {
			t.Errorf("asked for %s\nthere is  %s", FormatRoute(&want, nil), FormatRoute(got, nil))
		}
		// With next-hop objects the kernel shows the hops as well.
		if want.NHID != 0 && !got.Gateway.IsValid() && got.Multipath == "" {
			t.Errorf("no hops in %s", FormatRoute(got, nil))
		}
	}
	if there < len(routes)-4 {
		t.Errorf("only %d of %d routes are there", there, len(routes))
	}
	w.same("routes", w.printRoutes(unix.AF_INET, unix.AF_INET6))
	// The other library does not read tunnels of IP; iproute2 does.
	for dst, want := range map[string]string{"10.7.0.0/16": "encap ip id 7 dst 192.0.2.9 ttl 64", "2001:db8:7::/48": "encap ip6 dst 2001:db8::9 src 2001:db8::1 tos 4 ttl 64"} {
		line, ip := FormatRoute(have(pfx(dst)), nil), w.ip("-f", map[bool]string{true: "inet6", false: "inet"}[strings.Contains(dst, ":")], "route", "show", dst)
		if !strings.Contains(line, want) {
			t.Errorf("rtnl says %s, want %s", line, want)
		}
		words := strings.Fields(strings.NewReplacer("hoplimit", "ttl", "tc ", "tos ").Replace(ip))
		for _, word := range strings.Fields(want) {
			if !slices.Contains(words, word) {
				t.Errorf("rtnl says %q, of which ip says no %s: %s", want, word, ip)
			}
		}
	}
}

// sameEncap compares attributes: the kernel adds those that have a default.
func sameEncap(got, want string) bool {
	if len(got) < 2 || got[:2] != want[:2] {
		return false
	}
	m := map[uint16]string{}
	c := attributes([]byte(got[2:]))
	for c.Next() {
		m[c.Type] = string(c.Val)
	}
	c = attributes([]byte(want[2:]))
	for c.Next() {
		if m[c.Type] != string(c.Val) {
			return false
		}
	}
	return true
}

// TestKernelGroups writes groups with large weights and resilient ones, and
// asks iproute2.
func TestKernelGroups(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	objects := []Nexthop{
		{ID: 1, Family: unix.AF_INET, Oif: idxUplink, Gateway: ipa("192.0.2.2"), Protocol: 77},
		{ID: 2, Family: unix.AF_INET, Oif: idxUplink, Gateway: ipa("192.0.2.3"), Flags: unix.RTNH_F_ONLINK},
		{ID: 3, Group: AppendGroup([]GroupMember{{1, 1}, {2, 256}})},
		{ID: 4, GroupType: 1, Group: AppendGroup([]GroupMember{{2, 3}, {1, 1}}), Resilient: Resilient{Buckets: 32, IdleTimer: 1500, UnbalancedTimer: 30000}},
		{ID: 5, Group: AppendGroup([]GroupMember{{1, 257}, {2, 65535}})}, // Linux 6.12
		{ID: 6, Family: unix.AF_INET6, Oif: idxUplink, Encap: string(oct(uint16(encapIP6), at(ipTunnelDst, ipa("2001:db8::9").AsSlice())))},
	}
	var want []Nexthop
	for _, n := range objects {
		switch err := w.try(AppendNexthop(nil, unix.RTM_NEWNEXTHOP, add|unix.NLM_F_REQUEST, 0, &n))[0]; {
		case err == nil:
			want = append(want, n)
		case n.ID == 5 && !kernelSince(t, 6, 12):
			t.Logf("no weights above 256 here: %v", err)
		default:
			t.Errorf("%s: %v", FormatNexthop(&n, nil), err)
		}
	}
	all := dumpAll(w, KindNexthop, Filter{}, DecodeNexthop)
	if len(all) != len(want) {
		t.Fatalf("%d next hops, want %d", len(all), len(want))
	}
	for i, n := range want {
		got := all[i]
		got.Scope, got.Flags = n.Scope, got.Flags&^hopStateFlags
		if n.Encap != "" && sameEncap(got.Encap, n.Encap) {
			got.Encap = n.Encap
		}
		if got != n {
			t.Errorf("asked for %+v\nthere is  %+v", n, all[i])
		}
	}
	var theirs []struct {
		ID            uint32
		Group         []struct{ ID, Weight uint32 }
		Type          string
		ResilientArgs struct {
			Buckets         uint16
			IdleTimer       float64 `json:"idle_timer"`
			UnbalancedTimer float64 `json:"unbalanced_timer"`
		} `json:"resilient_args"`
	}
	out := w.ip("-j", "nexthop", "show")
	if err := json.Unmarshal([]byte(out), &theirs); err != nil || len(theirs) != len(all) {
		t.Fatalf("%v in %s", err, out)
	}
	for i, n := range all {
		o := theirs[i]
		if n.Encap != "" {
			continue // ip has a second "id" there, the tunnel's
		}
		args := Resilient{o.ResilientArgs.Buckets, uint32(o.ResilientArgs.IdleTimer * userHZ), uint32(o.ResilientArgs.UnbalancedTimer * userHZ)}
		if o.ID != n.ID || args != n.Resilient || (o.Type == "resilient") != (n.GroupType == 1) {
			t.Errorf("ip says %+v, rtnl %s", o, FormatNexthop(&n, nil))
		}
		for k, m := range GroupMembers(n.Group) {
			// iproute2 6.1 knows only the low octet of a weight, and leaves a 1 out.
			if k >= len(o.Group) || o.Group[k].ID != m.ID || max(o.Group[k].Weight, 1) != (m.Weight-1)&0xff+1 {
				t.Errorf("ip says %+v, rtnl %s", o, FormatNexthop(&n, nil))
				break
			}
		}
	}
	for _, n := range slices.Backward(all) {
		w.do(AppendNexthop(nil, unix.RTM_DELNEXTHOP, unix.NLM_F_REQUEST, 0, &n))
	}
	if left := dumpAll(w, KindNexthop, Filter{}, DecodeNexthop); len(left) != 0 {
		t.Errorf("%d next hops are left", len(left))
	}
}

// kernelSince reports whether the kernel is of the given version or later.
func kernelSince(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var x, y int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &x, &y); err != nil {
		t.Fatalf("kernel %q: %v", u.Release, err)
	}
	return x > major || x == major && y >= minor
}

// TestKernelNewRules writes the selectors that came with Linux 6.11 to 6.15.
func TestKernelNewRules(t *testing.T) {
	w := newWorld(t)
	rule := func(r Rule) Rule {
		r.Table, r.Action, r.SuppressPL, r.SuppressIG = 254, unix.FR_ACT_TO_TBL, -1, -1
		return r
	}
	for _, want := range []Rule{
		rule(Rule{Family: unix.AF_INET, Priority: 200, DSCP: 46, HasDSCP: true}),
		rule(Rule{Family: unix.AF_INET6, Priority: 201, DSCP: 0, HasDSCP: true}),
		rule(Rule{Family: unix.AF_INET, Priority: 202, DSCP: 8, HasDSCP: true, DSCPMask: 0x38}),
		rule(Rule{Family: unix.AF_INET6, Priority: 203, FlowLabel: 0x12345, HasFlowLabel: true}),
		rule(Rule{Family: unix.AF_INET6, Priority: 204, FlowLabel: 0x300, HasFlowLabel: true, FlowLabelMask: 0xf00}),
		rule(Rule{Family: unix.AF_INET, Priority: 205, IPProto: unix.IPPROTO_TCP, DportStart: 0x50, DportEnd: 0x50, DportMask: 0xfff0, SportStart: 7, SportEnd: 7}),
		rule(Rule{Family: unix.AF_INET, Priority: 206, Realm: 0x20003}),
	} {
		msg := AppendRule(nil, unix.RTM_NEWRULE, add, 0, &want)
		if err := w.try(msg)[0]; err != nil && want.Realm == 0 && !kernelSince(t, 6, 15) {
			t.Logf("not on this kernel: %s: %v", FormatRule(&want, nil), err)
			continue
		} else if err != nil {
			t.Errorf("%s: %v", FormatRule(&want, nil), err)
		}
		all := dumpAll(w, KindRule, Filter{Family: want.Family}, DecodeRule)
		if !slices.Contains(all, want) {
			for _, r := range all {
				if r.Priority == want.Priority {
					t.Errorf("asked for %s\n%+v\nthere is  %s\n%+v", FormatRule(&want, nil), want, FormatRule(&r, nil), r)
				}
			}
		}
		w.do(AppendRule(nil, unix.RTM_DELRULE, 0, 0, &want))
	}
}
