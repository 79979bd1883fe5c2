package rtnl

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// requireVM skips the test unless it runs under the test kernel of package
// internal/vmtest, which a public package does not import; scripts/vmtest finds
// the tests by the name of the function that the others call.
func requireVM(t *testing.T) {
	t.Helper()
	if b, err := os.ReadFile("/proc/cmdline"); err != nil || !slices.Contains(strings.Fields(string(b)), "netbraid.vm=1") {
		t.Skip("needs the test kernel: run make vmtest")
	}
}

// vmWorld is a world on the test kernel with an uplink that has addresses, and
// MPLS switched on.
func vmWorld(t *testing.T) *world {
	t.Helper()
	for _, module := range []string{"mpls_router", "mpls_iptunnel"} {
		if out, err := exec.Command("modprobe", module).CombinedOutput(); err != nil {
			t.Fatalf("modprobe %s: %v\n%s", module, err, out)
		}
	}
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	if err := w.ns.Do(func() error {
		if err := os.WriteFile("/proc/sys/net/mpls/platform_labels", []byte("1000"), 0o644); err != nil {
			return err
		}
		return os.WriteFile("/proc/sys/net/mpls/conf/wan0/input", []byte("1"), 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestVMLabels writes MPLS routes that swap, pop and branch (without weights,
// which the kernel refuses there), and IP routes that
// push labels.
func TestVMLabels(t *testing.T) {
	requireVM(t) // vmtest.Require(t)
	w := vmWorld(t)
	mpls := func(r Route) Route {
		r.Family, r.Table, r.Type, r.Protocol = unix.AF_MPLS, 254, unix.RTN_UNICAST, unix.RTPROT_STATIC
		return r
	}
	want := []Route{
		mpls(Route{Label: 100, Oif: idxUplink, Gateway: ipa("192.0.2.2"), Encap: LabelStack(200, 300)}),
		mpls(Route{Label: 101, Oif: idxUplink, Gateway: ipa("2001:db8::2"), TTLProp: 1}),
		mpls(Route{Label: 102, Multipath: AppendHops([]Hop{
			{Oif: idxUplink, Gateway: ipa("192.0.2.2"), Encap: LabelStack(200)},
			{Oif: idxUplink, Gateway: ipa("192.0.2.3"), Encap: LabelStack(201)},
		})}),
	}
	for _, r := range want {
		w.do(AppendRoute(nil, unix.RTM_NEWROUTE, add, 0, &r))
	}
	push := []Route{
		{Dst: pfx("10.1.0.0/16"), Oif: idxUplink, Gateway: ipa("192.0.2.2"), Encap: MPLSEncap(100, 200)},
		{Dst: pfx("2001:db8:1::/48"), Oif: idxUplink, Gateway: ipa("2001:db8::2"), Encap: MPLSEncap(16), Priority: 9},
		{Dst: pfx("10.2.0.0/16"), Multipath: AppendHops([]Hop{
			{Oif: idxUplink, Gateway: ipa("192.0.2.2"), Encap: MPLSEncap(17)}, {Oif: idxUplink, Gateway: ipa("192.0.2.3"), Encap: MPLSEncap(18, 19)}})},
	}
	for _, r := range push {
		w.do(newRoute(r))
	}
	all := dumpAll(w, KindRoute, Filter{Family: unix.AF_MPLS}, DecodeRoute)
	for i := range all {
		all[i].Flags &^= routeStateFlags
		all[i].Multipath = withoutState(t, all[i].Multipath)
	}
	wantAll(t, all, want, FormatRoute)
	for _, r := range push {
		found := false
		for _, have := range dumpAll(w, KindRoute, Filter{Family: familyOf(r.Dst.Addr())}, DecodeRoute) {
			if have.Dst == r.Dst {
				found = have.Encap == r.Encap && withoutState(t, have.Multipath) == r.Multipath
				t.Log(FormatRoute(&have, nil))
			}
		}
		if !found {
			t.Errorf("not there as asked for: %s", FormatRoute(&r, nil))
		}
	}
	w.same("routes", w.printRoutes(unix.AF_INET, unix.AF_INET6, unix.AF_MPLS))
	for _, r := range all {
		w.do(AppendRoute(nil, unix.RTM_DELROUTE, unix.NLM_F_REQUEST, 0, &r))
	}
	if left := dumpAll(w, KindRoute, Filter{Family: unix.AF_MPLS}, DecodeRoute); len(left) != 0 {
		t.Errorf("%d MPLS routes are left", len(left))
	}
}

// TestVMLinks compares the kinds that the usual kernel of a test lacks, and
// forwarding entries with VLANs.
func TestVMLinks(t *testing.T) {
	requireVM(t) // vmtest.Require(t)
	w := vmWorld(t)
	mapping := func(pairs ...uint32) string {
		var b []byte
		for _, v := range pairs {
			b = ne.AppendUint32(b, v)
		}
		return string(b)
	}
	w.do(
		newLink(LinkRequest{Link: Link{Index: 200, Name: "d0", Kind: "dummy"}, Set: LinkName}),
		newLink(LinkRequest{Link: Link{Index: 201, Name: "d0.5", Kind: kindVLAN, Parent: 200,
			VLAN: VLAN{ID: 5, Protocol: unix.ETH_P_8021Q, Flags: 1, Ingress: mapping(1, 2), Egress: mapping(3, 4, 5, 6)}},
			Set: LinkName | LinkParent | VLANID | VLANProtocol | VLANFlags | VLANIngress | VLANEgress}),
		newLink(LinkRequest{Link: Link{Index: 202, Name: "d0.7", Kind: kindVLAN, Parent: 200, VLAN: VLAN{ID: 7, Protocol: unix.ETH_P_8021AD, Flags: 5}},
			Set: LinkName | LinkParent | VLANID | VLANProtocol | VLANFlags}),
		newLink(LinkRequest{Link: Link{Index: 203, Name: "red", Kind: kindVRF, VRFTable: 100000}, Set: LinkName | VRFTable}),
		setLink(LinkRequest{Link: Link{Index: 202, Master: 203}, Set: LinkMaster}),
		newLink(LinkRequest{Link: Link{Index: 204, Name: "br1", Kind: kindBridge, Bridge: Bridge{VLANFiltering: true, DefaultPVID: 9}}, Set: LinkName | BridgeVLANFiltering | BridgeDefaultPVID}),
		setLink(LinkRequest{Link: Link{Index: 201, Master: 204}, Set: LinkMaster}),
	)
	entry := Neigh{Family: unix.AF_BRIDGE, Index: 201, State: unix.NUD_NOARP, Flags: unix.NTF_MASTER, VLAN: 9, LLAddr: MAC([6]byte{2, 0, 0x5e, 0, 1, 1})}
	w.do(AppendNeigh(nil, unix.RTM_NEWNEIGH, add, 0, &entry))
	entry.Flags, entry.Master = 0, 204
	wantAll(t, dumpAll(w, KindNeigh, Filter{Family: unix.AF_BRIDGE}, DecodeNeigh), []Neigh{entry}, FormatNeigh)
	w.same("links", w.printLinks)
	w.same("forwarding entries", w.printNeighs)
	links := w.links()
	if v := links["d0.5"].VLAN; v.Ingress != mapping(1, 2) || v.Egress != mapping(3, 4, 5, 6) {
		t.Errorf("priority mappings %x and %x", v.Ingress, v.Egress)
	}
	if l := links["d0.7"]; l.PortKind != kindVRF || l.Master != 203 || links["red"].VRFTable != 100000 {
		t.Errorf("%s\n%s", FormatLink(&l, nil), fmt.Sprint(links["red"].VRFTable))
	}
}
