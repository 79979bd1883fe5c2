package rtnl

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// world is a fresh network namespace of the real kernel.
type world struct {
	*testing.T
	ns   *NS
	conn *Conn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ns, err := NewNS()
	if err != nil {
		t.Skipf("needs a network namespace of its own: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	c, err := DialNS(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &world{T: t, ns: ns, conn: c}
}

func (w *world) try(msgs ...[]byte) []error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return w.conn.Execute(ctx, msgs)
}

// do wants every message to be carried out.
func (w *world) do(msgs ...[]byte) {
	w.Helper()
	for i, err := range w.try(msgs...) {
		if err != nil {
			h, body, _, _ := NextMessage(msgs[i])
			w.Fatalf("request %d (%s): %v", i, FormatMessage(h, body, nil), err)
		}
	}
}

// add is a request that creates what is not there.
const add = unix.NLM_F_CREATE | unix.NLM_F_EXCL

func newLink(r LinkRequest) []byte { return AppendLink(nil, unix.RTM_NEWLINK, add, 0, &r) }

func setLink(r LinkRequest) []byte { return AppendLink(nil, unix.RTM_NEWLINK, 0, 0, &r) }

func dumpAll[T any](w *world, kind Kind, f Filter, dec decoder[T]) []T {
	w.Helper()
	var all []T
	res, err := w.conn.Dump(context.Background(), AppendDumpRequest(nil, kind, 0, f), func(b []byte) error {
		for len(b) > 0 {
			h, body, rest, err := NextMessage(b)
			if err != nil {
				return err
			}
			b = rest
			if k, _ := KindOf(h.Type); k != kind {
				continue
			}
			var v T
			if err := dec(body, &v); err != nil {
				return err
			}
			all = append(all, v)
		}
		return nil
	})
	if err != nil {
		w.Fatalf("dump of every %s: %v", kind, err)
	}
	if !res.Complete || res.Messages != len(all) {
		w.Fatalf("dump of every %s: %+v, but %d objects", kind, res, len(all))
	}
	return all
}

func (w *world) links() map[string]Link {
	w.Helper()
	m := make(map[string]Link)
	for _, l := range dumpAll(w, KindLink, Filter{}, DecodeLink) {
		m[l.Name] = l
	}
	return m
}

// other runs fn on vishvananda/netlink's handle in the namespace.
func (w *world) other(fn func(h *netlink.Handle) error) {
	w.Helper()
	err := w.ns.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		return fn(h)
	})
	if err != nil {
		w.Fatal(err)
	}
}

// ip runs iproute2's ip in the namespace.
func (w *world) ip(args ...string) string {
	w.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		w.Skip("needs iproute2 for a second opinion")
	}
	var out []byte
	err := w.ns.Do(func() (err error) {
		out, err = exec.Command("ip", args...).CombinedOutput()
		return err
	})
	if err != nil {
		w.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// same wants both libraries to print the same objects. The kernel finishes
// some of its work later (carrier, link-local addresses and their routes), so
// that a difference must last to count.
func (w *world) same(what string, look func() (ours, theirs []string)) {
	w.Helper()
	var diff string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		ours, theirs := look()
		slices.Sort(ours)
		slices.Sort(theirs)
		if diff = cmp.Diff(theirs, ours); diff == "" && len(ours) > 0 {
			return
		}
	}
	w.Errorf("%s (-vishvananda/netlink +rtnl):\n%s", what, diff)
}

// The links that most tests use.
const (
	idxBridge = 100 + iota
	idxVeth
	idxPeer
	idxMACVLAN
	idxUplink
	idxUplinkPeer
)

var (
	bridgeAttrs = Link{
		Index: idxBridge, Name: "br-lan", Kind: kindBridge, Flags: unix.IFF_UP, MTU: 1400,
		Addr: MAC([6]byte{2, 0, 0x5e, 0, 0, 1}),
		Bridge: Bridge{
			ForwardDelay: 400, HelloTime: 300, MaxAge: 1500, AgeingTime: 20000, STP: 1, Priority: 4096,
			McastRouter: 2, McastSnooping: false, McastQuerier: true, HashMax: 1024, LastMemberCount: 3,
			StartupQueryCount: 4, LastMemberInterval: 200, MembershipInterval: 25000, QuerierInterval: 24000,
			QueryInterval: 12000, QueryResponseInterval: 900, StartupQueryInterval: 3000,
		},
	}
	bridgeSet = LinkName | LinkUp | LinkMTU | LinkAddr | BridgeFields&^(BridgeVLANFiltering|BridgeVLANProtocol|BridgeDefaultPVID)

	portAttrs = Link{
		Index: idxVeth, PortKind: kindBridge,
		Port: Port{Priority: 5, Cost: 77, Hairpin: true, Guard: true, RootBlock: true, FastLeave: true, McastFlood: true,
			McastToUnicast: true, NeighSuppress: true, Isolated: true, McastRouter: 2},
	}
)

// buildLinks makes a bridge with a veth as its port, a macvlan on the veth's
// other end, and an uplink pair, all with the ifindexes that we choose.
func (w *world) buildLinks() {
	w.Helper()
	w.do(
		newLink(LinkRequest{Link: bridgeAttrs, Set: bridgeSet}),
		newLink(LinkRequest{
			Link: Link{Index: idxVeth, Name: "lan0", Kind: kindVeth, Master: idxBridge, Group: 7, TxQLen: 500},
			Set:  LinkName | LinkMaster | LinkGroup | LinkTxQLen,
			Peer: &VethPeer{Name: "lan0p", Index: idxPeer, Addr: MAC([6]byte{2, 0, 0x5e, 0, 0, 9})},
		}),
		newLink(LinkRequest{
			Link: Link{Index: idxMACVLAN, Name: "mv0", Kind: kindMACVLAN, Parent: idxPeer, MACVLAN: MACVLAN{Mode: 4}},
			Set:  LinkName | LinkParent | MACVLANMode,
		}),
		newLink(LinkRequest{
			Link: Link{Index: idxUplink, Name: "wan0", Kind: kindVeth, MTU: 1492, AddrGenMode: 1}, Set: LinkName | LinkMTU,
			Peer: &VethPeer{Name: "wan0p", Index: idxUplinkPeer},
		}),
	)
	up := func(index uint32, r LinkRequest) []byte {
		r.Index, r.Flags = index, r.Flags|unix.IFF_UP
		r.Set |= LinkUp
		return setLink(r)
	}
	w.do(
		// An MTU given at creation does not bind a bridge: its first port
		// changes it. One that is set later stays.
		setLink(LinkRequest{Link: bridgeAttrs, Set: LinkMTU}),
		setLink(LinkRequest{Link: portAttrs, Set: PortFields}),
		up(idxVeth, LinkRequest{}), up(idxPeer, LinkRequest{}), up(idxUplinkPeer, LinkRequest{}),
		up(idxUplink, LinkRequest{
			Link: Link{Flags: unix.IFF_PROMISC | unix.IFF_ALLMULTI | unix.IFF_NOARP, AddrGenMode: 1},
			Set:  LinkPromisc | LinkAllMulti | LinkARP | LinkMulticast | LinkAddrGenMode,
		}),
		setLink(LinkRequest{Link: Link{Index: idxUplink, Flags: unix.IFF_MULTICAST}, Set: LinkPromisc | LinkAllMulti | LinkARP | LinkMulticast}),
		up(1, LinkRequest{}),
	)
}

func TestKernelLinks(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	links := w.links()
	want := func(name string, set LinkField, x Link) {
		t.Helper()
		got := links[name]
		if d := set.Diff(&got, &x); d != 0 || got.Index != x.Index {
			t.Errorf("%s differs in %s\n got %s\nwant %s", name, d, FormatLink(&got, nil), FormatLink(&x, nil))
		}
	}
	want("br-lan", bridgeSet, bridgeAttrs)
	port := portAttrs
	port.Name, port.Master, port.Group, port.TxQLen, port.Parent, port.Flags = "lan0", idxBridge, 7, 500, idxPeer, unix.IFF_UP
	want("lan0", PortFields|LinkName|LinkMaster|LinkGroup|LinkTxQLen|LinkParent|LinkUp, port)
	want("mv0", MACVLANMode|LinkParent, Link{Index: idxMACVLAN, Parent: idxPeer, MACVLAN: MACVLAN{Mode: 4}})
	want("wan0", LinkMTU|LinkAddrGenMode|LinkFlagFields, Link{Index: idxUplink, MTU: 1492, AddrGenMode: 1, Flags: unix.IFF_UP | unix.IFF_MULTICAST})
	want("lan0p", LinkAddr, Link{Index: idxPeer, Addr: MAC([6]byte{2, 0, 0x5e, 0, 0, 9})})

	w.same("links", w.printLinks)
}

// TestKernelBridgePorts reads ports the way `bridge link` does, through
// messages of family AF_BRIDGE.
func TestKernelBridgePorts(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	full := w.links()["lan0"]
	for range 300 { // the bridge takes its time to listen
		if full.Port.State != 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
		full = w.links()["lan0"]
	}
	if full.Port.State != 1 || full.Port.No != 1 {
		t.Errorf("state %d and number %d of the port, want 1 (listening, with the spanning tree) and 1", full.Port.State, full.Port.No)
	}
	var port *Link
	for _, l := range dumpAll(w, KindLink, Filter{Family: unix.AF_BRIDGE}, DecodeLink) {
		if l.Index == idxVeth {
			port = &l
		}
	}
	if port == nil {
		t.Fatal("no message of family AF_BRIDGE about lan0")
	}
	if port.PortKind != kindBridge || port.Port != full.Port || port.Master != idxBridge {
		t.Errorf("AF_BRIDGE says %+v, AF_UNSPEC %+v", port.Port, full.Port)
	}
	w.other(func(h *netlink.Handle) error {
		l, err := h.LinkByName("lan0")
		if err != nil {
			return err
		}
		p, err := h.LinkGetProtinfo(l)
		ours := netlink.Protinfo{Hairpin: port.Port.Hairpin, Guard: port.Port.Guard, FastLeave: port.Port.FastLeave, RootBlock: port.Port.RootBlock,
			Learning: port.Port.Learning, Flood: port.Port.UnicastFlood, Isolated: port.Port.Isolated, NeighSuppress: port.Port.NeighSuppress}
		if p != ours {
			t.Errorf("vishvananda/netlink says %+v, rtnl %+v", p, ours)
		}
		return err
	})
	words := strings.Fields(w.ip("-d", "link", "show", "lan0"))
	for _, want := range []string{"cost 77", "priority 5", "hairpin on", "guard on", "root_block on", "fastleave on", "learning off", "flood off",
		"mcast_flood on", "bcast_flood off", "mcast_to_unicast on", "neigh_suppress on", "isolated on", "mcast_router 2"} {
		if !strings.Contains(strings.Join(words, " "), want) {
			t.Errorf("ip does not say %q: %s", want, words)
		}
	}
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func ipa(s string) netip.Addr { return netip.MustParseAddr(s) }

func forever(a Addr) []byte {
	a.Valid, a.Preferred = LifetimeForever, LifetimeForever
	return AppendAddr(nil, unix.RTM_NEWADDR, add, 0, &a)
}

// buildAddrs gives the uplink addresses of every shape.
func (w *world) buildAddrs() {
	w.Helper()
	w.do(
		forever(Addr{Index: idxUplink, Family: unix.AF_INET, PrefixLen: 24, Local: ipa("192.0.2.1"), Broadcast: ipa("192.0.2.255"), Label: "wan0:x", Protocol: 77}),
		forever(Addr{Index: idxUplink, Family: unix.AF_INET, PrefixLen: 32, Local: ipa("198.51.100.1"), Peer: ipa("198.51.100.2"), Scope: unix.RT_SCOPE_LINK}),
		forever(Addr{Index: idxUplink, Family: unix.AF_INET, PrefixLen: 24, Local: ipa("203.0.113.1"), Priority: 55, Flags: unix.IFA_F_NOPREFIXROUTE}),
		forever(Addr{Index: idxUplink, Family: unix.AF_INET6, PrefixLen: 64, Local: ipa("2001:db8::1"), Flags: unix.IFA_F_NODAD, Protocol: 77}),
		forever(Addr{Index: idxUplink, Family: unix.AF_INET6, PrefixLen: 128, Local: ipa("2001:db8:1::1"), Peer: ipa("2001:db8:1::2"), Flags: unix.IFA_F_NODAD}),
		AppendAddr(nil, unix.RTM_NEWADDR, add, 0, &Addr{Index: idxUplink, Family: unix.AF_INET6, PrefixLen: 64, Local: ipa("2001:db8:2::1"),
			Flags: unix.IFA_F_NODAD, Valid: 7200, Preferred: 3600}),
	)
}

func TestKernelAddrs(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	w.buildAddrs()
	w.same("addresses", w.printAddrs)
	byLocal := map[netip.Addr]Addr{}
	for _, a := range dumpAll(w, KindAddr, Filter{}, DecodeAddr) {
		byLocal[a.Local] = a
	}
	if a := byLocal[ipa("192.0.2.1")]; a.Protocol != 77 || a.Peer.IsValid() || a.Valid != LifetimeForever {
		t.Errorf("%+v", a)
	}
	if a := byLocal[ipa("198.51.100.1")]; a.Peer != ipa("198.51.100.2") {
		t.Errorf("the far end is %v", a.Peer)
	}
	if a := byLocal[ipa("203.0.113.1")]; a.Priority != 55 || a.Flags&unix.IFA_F_NOPREFIXROUTE == 0 {
		t.Errorf("%+v", a)
	}
	if a := byLocal[ipa("2001:db8:1::1")]; a.Peer != ipa("2001:db8:1::2") {
		t.Errorf("the far end is %v", a.Peer)
	}
	if a := byLocal[ipa("2001:db8:2::1")]; a.Valid > 7200 || a.Valid < 7100 || a.Preferred > 3600 || a.Preferred < 3500 {
		t.Errorf("lifetimes %d and %d", a.Valid, a.Preferred)
	}
	only := dumpAll(w, KindAddr, Filter{Family: unix.AF_INET, Index: idxUplink}, DecodeAddr)
	if len(only) != 3 {
		t.Errorf("%d IPv4 addresses on the uplink, want 3", len(only))
	}
	gone := byLocal[ipa("198.51.100.1")]
	w.do(AppendAddr(nil, unix.RTM_DELADDR, 0, 0, &gone))
	if n := len(dumpAll(w, KindAddr, Filter{Family: unix.AF_INET, Index: idxUplink}, DecodeAddr)); n != 2 {
		t.Errorf("%d addresses after one was deleted, want 2", n)
	}
}

func TestExtendedAck(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	errs := w.try(
		setLink(LinkRequest{Link: Link{Index: idxUplink, MTU: 20}, Set: LinkMTU}),
		setLink(LinkRequest{Link: Link{Index: idxUplink, MTU: 1400}, Set: LinkMTU}),
		newLink(LinkRequest{Link: bridgeAttrs, Set: bridgeSet}),
		AppendRoute(nil, unix.RTM_DELROUTE, 0, 0, &Route{Family: unix.AF_INET, Table: 254, Dst: pfx("10.9.0.0/16")}),
		[]byte("not a message"),
	)
	var e *Error
	if !errors.As(errs[0], &e) || e.Errno != unix.EINVAL || e.Message == "" || e.Type != unix.RTM_NEWLINK {
		t.Errorf("MTU 20: %#v, want EINVAL with the kernel's reason", errs[0])
	} else if !strings.Contains(e.Error(), "RTM_NEWLINK") || !strings.Contains(e.Error(), e.Message) {
		t.Errorf("the error reads %q", e)
	}
	if errs[1] != nil {
		t.Errorf("a request after one that failed: %v", errs[1])
	}
	if !errors.Is(errs[2], unix.EEXIST) || !errors.Is(errs[3], unix.ESRCH) {
		t.Errorf("%v, %v; want EEXIST and ESRCH", errs[2], errs[3])
	}
	if !errors.As(errs[4], &e) || !e.Unsent || e.Errno != unix.EINVAL {
		t.Errorf("no message: %v", errs[4])
	}
	if got := w.links()["wan0"].MTU; got != 1400 {
		t.Errorf("MTU %d, want 1400", got)
	}
}

// TestKernelLinkDelete deletes by group, name and ifindex: deleting by group is what makes thousands of links
// bearable.
func TestKernelLinkDelete(t *testing.T) {
	w := newWorld(t)
	w.buildLinks()
	before := len(w.links())
	w.do(AppendLink(nil, unix.RTM_DELLINK, 0, 0, &LinkRequest{Link: Link{Group: 7}, Set: LinkGroup}))
	if got := w.links(); len(got) != before-3 { // lan0, its other end, and the macvlan on that
		t.Errorf("%d links are left of %d", len(got), before)
	}
	w.do(AppendLink(nil, unix.RTM_DELLINK, 0, 0, &LinkRequest{Link: Link{Name: "wan0"}}))
	w.do(AppendLink(nil, unix.RTM_DELLINK, 0, 0, &LinkRequest{Link: Link{Index: idxBridge, MTU: 9000}, Set: LinkMTU}))
	if got := w.links(); len(got) != 1 {
		t.Errorf("%d links are left, want the loopback", len(got))
	}
}

func TestKernelMoveLink(t *testing.T) {
	w, elsewhere := newWorld(t), newWorld(t)
	w.do(newLink(LinkRequest{Link: Link{Index: 50, Name: "e0", Kind: kindVeth}, Set: LinkName, Peer: &VethPeer{Name: "e1"}}))
	w.do(setLink(LinkRequest{Link: Link{Index: 50, Name: "moved"}, Set: LinkName, HasNSFD: true, NSFD: elsewhere.ns.FD()}))
	l, ok := elsewhere.links()["moved"]
	if !ok || l.ParentNSID < 0 {
		t.Fatalf("after the move the other namespace has %+v", elsewhere.links())
	}
	if got := w.links()["e1"]; got.ParentNSID < 0 || got.Parent != l.Index {
		t.Errorf("the end that stayed says its peer is %d in namespace %d", got.Parent, got.ParentNSID)
	}
}
