package rtnl

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"netbraid/rtnl/nlattr"
)

var compareAddrs = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

// encoder and decoder are the shapes that all objects share.
type (
	encoder[T any] func(b []byte, typ, flags uint16, seq uint32, v *T) []byte
	decoder[T any] func(body []byte, v *T) error
)

// reread encodes v and decodes it again, and checks the header on the way.
func reread[T any](t fataler, v *T, typ, flags uint16, enc encoder[T], dec decoder[T]) T {
	t.Helper()
	const before = 12
	msg := enc(make([]byte, before), typ, flags, 77, v)[before:]
	h, body, rest, err := NextMessage(msg)
	if err != nil || len(rest) != 0 || len(msg)%4 != 0 {
		t.Fatalf("%d octets of message, %d left: %v", len(msg), len(rest), err)
	}
	if want := (Header{Len: uint32(len(msg)), Type: typ, Flags: flags, Seq: 77}); h != want {
		t.Fatalf("header %+v, want %+v", h, want)
	}
	var got T
	if err := dec(body, &got); err != nil {
		t.Fatalf("decode %+v: %v", *v, err)
	}
	return got
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func checkRoundTrip[T comparable](t *testing.T, typ uint16, gen *rapid.Generator[T], enc encoder[T], dec decoder[T]) {
	rapid.Check(t, func(rt *rapid.T) {
		want := gen.Draw(rt, "object")
		// A used target must not shine through.
		dirty := gen.Draw(rt, "former content")
		got := reread(rt, &want, typ, 0, enc, func(b []byte, v *T) error {
			*v = dirty
			return dec(b, v)
		})
		if got != want {
			rt.Fatalf("what came back differs (-want +got):\n%s", cmp.Diff(want, got, compareAddrs))
		}
	})
}

var (
	anyU8  = rapid.Uint8()
	anyU16 = rapid.Uint16()
	anyU32 = rapid.Uint32()
	anyU64 = rapid.Uint64()
	anyNam = rapid.StringMatching(`[a-z][a-z0-9._-]{0,14}`)
	anyRaw = rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 40), func(b []byte) string { return string(b) })
)

var anyV4 = rapid.Map(rapid.SliceOfN(rapid.Byte(), 4, 4), func(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) })
var anyV6 = rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)) })

func drawAddr(t *rapid.T, family uint8) netip.Addr {
	if family == unix.AF_INET {
		return anyV4.Draw(t, "IPv4")
	}
	return anyV6.Draw(t, "IPv6")
}

func maybeAddr(t *rapid.T, family uint8) netip.Addr {
	if rapid.Bool().Draw(t, "address?") {
		return drawAddr(t, family)
	}
	return netip.Addr{}
}

// drawPrefix draws a prefix of at least least bits, or the zero Prefix.
func drawPrefix(t *rapid.T, family uint8, least int) netip.Prefix {
	a := drawAddr(t, family)
	return netip.PrefixFrom(a, rapid.IntRange(least, a.BitLen()).Draw(t, "bits"))
}

func maybePrefix(t *rapid.T, family uint8) netip.Prefix {
	if rapid.Bool().Draw(t, "prefix?") {
		return drawPrefix(t, family, 1)
	}
	return netip.Prefix{}
}

func drawHW(t *rapid.T) HWAddr {
	var h HWAddr
	b := rapid.SliceOfN(rapid.Byte(), 0, len(h.B)).Draw(t, "link-layer address")
	h.Len = uint8(copy(h.B[:], b))
	return h
}

func maybe[T any](t *rapid.T, g *rapid.Generator[T], name string) (v T) {
	if rapid.Bool().Draw(t, name+"?") {
		v = g.Draw(t, name)
	}
	return v
}

var inetFamily = rapid.SampledFrom([]uint8{unix.AF_INET, unix.AF_INET6})

var anyAddr = rapid.Custom(func(t *rapid.T) Addr {
	a := Addr{
		Index: anyU32.Draw(t, "index"), Family: inetFamily.Draw(t, "family"), PrefixLen: anyU8.Draw(t, "length"),
		Scope: anyU8.Draw(t, "scope"), Protocol: anyU8.Draw(t, "protocol"), Flags: anyU32.Draw(t, "flags"),
		Label: maybe(t, anyNam, "label"), Priority: anyU32.Draw(t, "priority"),
		Preferred: anyU32.Draw(t, "preferred"), Valid: anyU32.Draw(t, "valid"),
	}
	a.Local = drawAddr(t, a.Family)
	if a.Peer = maybeAddr(t, a.Family); a.Peer == a.Local {
		a.Peer = netip.Addr{}
	}
	if a.Family == unix.AF_INET {
		a.Broadcast = maybeAddr(t, a.Family)
	}
	return a
})

var anyNeigh = rapid.Custom(func(t *rapid.T) Neigh {
	n := Neigh{
		Index: anyU32.Draw(t, "index"), Family: rapid.SampledFrom([]uint8{unix.AF_INET, unix.AF_INET6, unix.AF_BRIDGE}).Draw(t, "family"),
		State: anyU16.Draw(t, "state"), Flags: anyU8.Draw(t, "flags"), ExtFlags: anyU32.Draw(t, "ext flags"),
		Type: anyU8.Draw(t, "type"), Protocol: anyU8.Draw(t, "protocol"), LLAddr: drawHW(t),
		VLAN: anyU16.Draw(t, "vlan"), VNI: anyU32.Draw(t, "vni"), Master: anyU32.Draw(t, "master"),
		Port: anyU16.Draw(t, "port"), SrcVNI: anyU32.Draw(t, "source vni"), Via: anyU32.Draw(t, "via"), NHID: anyU32.Draw(t, "nhid"),
	}
	n.Dst = maybeAddr(t, n.Family)
	return n
})

// drawEncap draws an encapsulation (type and attributes), or for MPLS a stack.
func drawEncap(t *rapid.T, family uint8) string {
	if !rapid.Bool().Draw(t, "encap?") {
		return ""
	}
	if family == unix.AF_MPLS {
		return string(be.AppendUint32(nil, anyU32.Draw(t, "label")))
	}
	return string(ne.AppendUint16(nil, anyU16.Draw(t, "encap type"))) + maybe(t, anyRaw, "encap data")
}

// drawGateway draws a gateway of either family, as the kernel allows for IPv4
// and MPLS.
func drawGateway(t *rapid.T) netip.Addr {
	return maybeAddr(t, inetFamily.Draw(t, "gateway family"))
}

func drawHops(t *rapid.T, family uint8) []Hop {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Hop {
		return Hop{
			Oif: anyU32.Draw(t, "oif"), Weight: anyU8.Draw(t, "weight"), Flags: anyU8.Draw(t, "flags"),
			Realm: maybe(t, anyU32, "realm"), Gateway: drawGateway(t), Encap: drawEncap(t, family),
		}
	}), 0, 5).Draw(t, "hops")
}

// drawMetrics draws metrics other than the MTU, in ascending order.
func drawMetrics(t *rapid.T) string {
	var b []byte
	for typ := uint16(unix.RTAX_LOCK); typ <= unix.RTAX_MAX; typ++ {
		if typ == unix.RTAX_MTU || rapid.IntRange(0, 9).Draw(t, "metric?") > 0 {
			continue
		}
		v := anyU32.Draw(t, "metric")
		if typ == unix.RTAX_LOCK {
			v = v&^(1<<unix.RTAX_MTU) | 1
		}
		b = nlattr.AppendU32(b, typ, v)
	}
	return string(b)
}

var anyRoute = rapid.Custom(func(t *rapid.T) Route {
	r := Route{
		Family: rapid.SampledFrom([]uint8{unix.AF_INET, unix.AF_INET6, unix.AF_MPLS}).Draw(t, "family"),
		TOS:    anyU8.Draw(t, "tos"), Protocol: anyU8.Draw(t, "protocol"), Scope: anyU8.Draw(t, "scope"),
		Type: anyU8.Draw(t, "type"), Pref: anyU8.Draw(t, "pref"), MTULock: rapid.Bool().Draw(t, "lock"),
		Flags: anyU32.Draw(t, "flags"), Table: anyU32.Draw(t, "table"), Priority: anyU32.Draw(t, "priority"),
		Oif: anyU32.Draw(t, "oif"), NHID: anyU32.Draw(t, "nhid"), MTU: anyU32.Draw(t, "mtu"), Expires: anyU32.Draw(t, "expires"),
		Gateway: drawGateway(t), Metrics: drawMetrics(t), Iif: maybe(t, anyU32, "iif"), Realm: maybe(t, anyU32, "realm"),
		TTLProp: rapid.Uint8Max(2).Draw(t, "ttl propagation"),
	}
	r.Encap = drawEncap(t, r.Family)
	r.Multipath = AppendHops(drawHops(t, r.Family))
	if r.Family == unix.AF_MPLS {
		r.Label = anyU32.Draw(t, "label") >> mplsLabelShift
		return r
	}
	r.Dst = drawPrefix(t, r.Family, 0)
	r.Src = maybePrefix(t, r.Family)
	r.PrefSrc = maybeAddr(t, r.Family)
	return r
})

var anyRule = rapid.Custom(func(t *rapid.T) Rule {
	r := Rule{
		Family: inetFamily.Draw(t, "family"), TOS: anyU8.Draw(t, "tos"), Action: anyU8.Draw(t, "action"),
		Protocol: anyU8.Draw(t, "protocol"), IPProto: anyU8.Draw(t, "ipproto"), L3MDev: anyU8.Draw(t, "l3mdev"),
		Flags: anyU32.Draw(t, "flags"), Priority: anyU32.Draw(t, "priority"), Table: anyU32.Draw(t, "table"),
		Goto: anyU32.Draw(t, "goto"), Mark: anyU32.Draw(t, "mark"), Mask: anyU32.Draw(t, "mask"),
		SuppressPL: rapid.Int32().Draw(t, "suppress prefix"), SuppressIG: rapid.Int32().Draw(t, "suppress group"),
		SportStart: anyU16.Draw(t, "sport"), SportEnd: anyU16.Draw(t, "sport end"),
		DportStart: anyU16.Draw(t, "dport"), DportEnd: anyU16.Draw(t, "dport end"), TunID: anyU64.Draw(t, "tunnel"),
		IifName: maybe(t, anyNam, "iif"), OifName: maybe(t, anyNam, "oif"), HasUID: rapid.Bool().Draw(t, "uid?"),
	}
	if r.HasUID {
		r.UIDStart, r.UIDEnd = anyU32.Draw(t, "uid"), anyU32.Draw(t, "uid end")
	}
	if r.HasDSCP = rapid.Bool().Draw(t, "dscp?"); r.HasDSCP {
		r.DSCP, r.DSCPMask = anyU8.Draw(t, "dscp"), rapid.Uint8Max(dscpAll-1).Draw(t, "dscp mask")
	}
	if r.HasFlowLabel = rapid.Bool().Draw(t, "flow label?"); r.HasFlowLabel {
		r.FlowLabel, r.FlowLabelMask = anyU32.Draw(t, "flow label"), rapid.Uint32Max(flowLabelAll-1).Draw(t, "flow label mask")
	}
	r.SportMask, r.DportMask = rapid.Uint16Max(portAll-1).Draw(t, "sport mask"), rapid.Uint16Max(portAll-1).Draw(t, "dport mask")
	r.Realm = anyU32.Draw(t, "realm")
	r.Src, r.Dst = maybePrefix(t, r.Family), maybePrefix(t, r.Family)
	return r
})

var anyNexthop = rapid.Custom(func(t *rapid.T) Nexthop {
	return Nexthop{
		ID: anyU32.Draw(t, "id"), Family: anyU8.Draw(t, "family"), Protocol: anyU8.Draw(t, "protocol"), Scope: anyU8.Draw(t, "scope"),
		Flags: anyU32.Draw(t, "flags"), Oif: anyU32.Draw(t, "oif"), Gateway: drawGateway(t),
		Blackhole: rapid.Bool().Draw(t, "blackhole"), FDB: rapid.Bool().Draw(t, "fdb"),
		GroupType: anyU16.Draw(t, "group type"), Group: maybe(t, anyRaw, "group"), Encap: drawEncap(t, unix.AF_INET),
		Resilient: Resilient{Buckets: anyU16.Draw(t, "buckets"), IdleTimer: anyU32.Draw(t, "idle"), UnbalancedTimer: anyU32.Draw(t, "unbalanced")},
	}
})

// drawFields gives the numbers of a nest random values, those of set only.
func drawFields(t *rapid.T, l *Link, where place, set LinkField, observed bool) {
	for i := range fields {
		f := &fields[i]
		if f.place != where || f.set == nil || f.bit&set == 0 && (f.bit != 0 || !observed) {
			continue
		}
		f.set(l, anyU64.Draw(t, f.name))
	}
}

var anyMappings = rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 5), func(b []byte) string {
	var s []byte
	for _, x := range b {
		s = append(s, x, 0, 0, 0, 7, 0, 0, x)
	}
	return string(s)
})

// drawKind fills in what a kind has: the attributes of set.
func drawKind(t *rapid.T, l *Link, set LinkField, observed bool) {
	switch where := kindPlace(l.Kind); where {
	case 0:
		if l.Kind != "" && l.Kind != kindVeth {
			l.Data = maybe(t, anyRaw, "data")
		}
	case inVLAN:
		if set&VLANFlags != 0 {
			l.VLAN.Flags = anyU32.Draw(t, "vlan flags")
		}
		if set&VLANIngress != 0 {
			l.VLAN.Ingress = anyMappings.Draw(t, "ingress")
		}
		if set&VLANEgress != 0 {
			l.VLAN.Egress = anyMappings.Draw(t, "egress")
		}
		drawFields(t, l, where, set, observed)
	default:
		drawFields(t, l, where, set, observed)
	}
}

var anyKind = rapid.SampledFrom([]string{"", kindBridge, kindVLAN, kindVeth, kindMACVLAN, kindMACVTAP, kindVRF, "vxlan", "strange"})

var anyLink = rapid.Custom(func(t *rapid.T) Link {
	l := Link{
		Index: anyU32.Draw(t, "index"), Family: rapid.SampledFrom([]uint8{unix.AF_UNSPEC, unix.AF_BRIDGE}).Draw(t, "family"),
		Type: anyU16.Draw(t, "type"), Flags: anyU32.Draw(t, "flags"), Name: anyNam.Draw(t, "name"),
		Addr: drawHW(t), Broadcast: drawHW(t), PermAddr: drawHW(t), ParentNSID: rapid.Int32().Draw(t, "nsid"),
		Kind: anyKind.Draw(t, "kind"),
	}
	drawFields(t, &l, inLink, AllLinkFields, true)
	drawKind(t, &l, AllLinkFields, true)
	if l.Family == unix.AF_UNSPEC {
		l.AddrGenMode = anyU8.Draw(t, "addrgenmode")
		l.PortKind = rapid.SampledFrom([]string{"", "bond", kindBridge}).Draw(t, "port kind")
	} else {
		l.PortKind = rapid.SampledFrom([]string{"", kindBridge}).Draw(t, "port kind")
	}
	if l.PortKind == kindBridge {
		drawFields(t, &l, inPort, AllLinkFields, true)
	}
	return l
})

// anyRequest draws a request to create a link, as DecodeLinkRequest would
// give it: no field has a value that Set does not name.
var anyRequest = rapid.Custom(func(t *rapid.T) LinkRequest {
	r := LinkRequest{Link: Link{ParentNSID: -1, Index: anyU32.Draw(t, "index"), Kind: anyKind.Draw(t, "kind")}}
	r.Set = LinkField(anyU64.Draw(t, "set")) & (LinkFlagFields | LinkName | LinkMTU | LinkTxQLen | LinkAddr | LinkMaster |
		LinkParent | LinkGroup | LinkAddrGenMode)
	for i := range fields {
		f := &fields[i]
		if f.bit != 0 && f.place == kindPlace(r.Kind) && f.place != inHeader && rapid.Bool().Draw(t, f.name+"?") {
			r.Set |= f.bit
		}
		if f.bit != 0 && f.place == inPort && rapid.IntRange(0, 9).Draw(t, f.name+"?") == 0 {
			r.Set |= f.bit
			r.PortKind = kindBridge
		}
	}
	r.Flags = anyU32.Draw(t, "flags") & r.Set.flags()
	if r.Set&LinkName != 0 {
		r.Name = anyNam.Draw(t, "name")
	}
	if r.Set&LinkAddr != 0 {
		r.Addr = drawHW(t)
	}
	drawFields(t, &r.Link, inLink, r.Set, false)
	drawFields(t, &r.Link, inAFSpec, r.Set, false)
	drawFields(t, &r.Link, inPort, r.Set, false)
	drawKind(t, &r.Link, r.Set, false)
	if r.Kind == kindVeth && rapid.Bool().Draw(t, "peer?") {
		r.Peer = &VethPeer{Name: anyNam.Draw(t, "peer name"), Index: anyU32.Draw(t, "peer index"), MTU: anyU32.Draw(t, "peer MTU"), Addr: drawHW(t)}
		if rapid.Bool().Draw(t, "peer elsewhere") {
			r.Peer.NSFD, r.Peer.HasNSFD = int(rapid.Int32().Draw(t, "peer namespace")), true
		}
	}
	if r.HasNSFD = rapid.Bool().Draw(t, "ns?"); r.HasNSFD {
		r.NSFD = int(rapid.Int32().Draw(t, "ns"))
	}
	return r
})

func TestAddrRoundTrip(t *testing.T) {
	checkRoundTrip(t, unix.RTM_NEWADDR, anyAddr, AppendAddr, DecodeAddr)
}

func TestNeighRoundTrip(t *testing.T) {
	checkRoundTrip(t, unix.RTM_NEWNEIGH, anyNeigh, AppendNeigh, DecodeNeigh)
}

func TestRouteRoundTrip(t *testing.T) {
	checkRoundTrip(t, unix.RTM_NEWROUTE, anyRoute, AppendRoute, DecodeRoute)
}

func TestRuleRoundTrip(t *testing.T) {
	checkRoundTrip(t, unix.RTM_NEWRULE, anyRule, AppendRule, DecodeRule)
}

func TestNexthopRoundTrip(t *testing.T) {
	checkRoundTrip(t, unix.RTM_NEWNEXTHOP, anyNexthop, AppendNexthop, DecodeNexthop)
}

func TestLinkRoundTrip(t *testing.T) {
	checkRoundTrip(t, unix.RTM_NEWLINK, anyLink, AppendLinkInfo, DecodeLink)
}

func TestLinkRequestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := anyRequest.Draw(rt, "request")
		got := reread(rt, &want, unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_CREATE, AppendLink, DecodeLinkRequest)
		if d := cmp.Diff(want, got, compareAddrs); d != "" {
			rt.Fatalf("what came back differs (-want +got):\n%s", d)
		}
	})
}

func TestHopsRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		hops := drawHops(rt, unix.AF_INET)
		s := AppendHops(hops)
		got, err := Hops(s)
		if err != nil {
			rt.Fatalf("Hops: %v", err)
		}
		if again := AppendHops(got); again != s {
			rt.Fatalf("canonical form changes: %x, then %x", s, again)
		}
		if len(got) != len(hops) {
			rt.Fatalf("%d hops became %d", len(hops), len(got))
		}
		shuffled := rapid.Permutation(hops).Draw(rt, "shuffled")
		if AppendHops(shuffled) != s {
			rt.Fatalf("the order of hops shows")
		}
	})
}
