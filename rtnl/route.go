package rtnl

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// hopStateFlags are the RTNH_F_* that report the state of a next hop; a
// request that carries some of them is refused.
const hopStateFlags = unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN | unix.RTNH_F_OFFLOAD |
	unix.RTNH_F_TRAP | unix.RTNH_F_UNRESOLVED

// routeStateFlags are the flags of a route that only the kernel sets.
const routeStateFlags = hopStateFlags | unix.RTM_F_CLONED | unix.RTM_F_OFFLOAD |
	unix.RTM_F_TRAP | unix.RTM_F_OFFLOAD_FAILED

// DecodeRoute reads the body of RTM_NEWROUTE or RTM_DELROUTE (struct rtmsg,
// linux/rtnetlink.h) into r, which it resets first. It does not allocate for a
// route with one next hop, no encapsulation and no metrics but the MTU.
func DecodeRoute(body []byte, r *Route) error {
	*r = Route{}
	if len(body) < unix.SizeofRtMsg {
		return fmt.Errorf("rtnl: decode route: %w", errShort)
	}
	r.Family, r.TOS, r.Table = body[0], body[3], uint32(body[4])
	r.Protocol, r.Scope, r.Type = body[5], body[6], body[7]
	r.Flags = ne.Uint32(body[8:])
	dstLen, srcLen := body[1], body[2]
	var e encap
	c := attributes(body[unix.SizeofRtMsg:])
	for c.Next() {
		switch c.Type {
		case unix.RTA_DST:
			if r.Family == unix.AF_MPLS {
				r.Label = c.label()
			} else {
				r.Dst = c.prefix(r.Family, dstLen)
			}
		case unix.RTA_SRC:
			if r.Family != unix.AF_MPLS {
				r.Src = c.selector(r.Family, srcLen)
			}
		case unix.RTA_OIF:
			r.Oif = c.U32()
		case unix.RTA_GATEWAY:
			r.Gateway = c.addrOf(r.Family)
		case unix.RTA_VIA:
			r.Gateway = c.via()
		case unix.RTA_PRIORITY:
			r.Priority = c.U32()
		case unix.RTA_PREFSRC:
			r.PrefSrc = c.addrOf(r.Family)
		case unix.RTA_TABLE:
			r.Table = c.U32()
		case unix.RTA_METRICS:
			r.decodeMetrics(&c)
		case unix.RTA_MULTIPATH:
			r.Multipath = c.multipath(r.Family)
		case unix.RTA_PREF:
			r.Pref = c.U8()
		case unix.RTA_EXPIRES, unix.RTA_CACHEINFO:
			r.decodeExpires(&c)
		case rtaNHID:
			r.NHID = c.U32()
		case unix.RTA_ENCAP_TYPE, unix.RTA_ENCAP, unix.RTA_NEWDST:
			e.decode(&c, r.Family)
		case unix.RTA_IIF, unix.RTA_FLOW, unix.RTA_TTL_PROPAGATE:
			r.decodeMore(&c)
		}
	}
	if !r.Dst.IsValid() && c.Err == nil {
		var ok bool
		if r.Dst, ok = unspecified(r.Family, dstLen); !ok {
			c.Err = fmt.Errorf("prefix length %d of family %d", dstLen, r.Family)
		}
	}
	if c.Err != nil {
		return fmt.Errorf("rtnl: decode route: %w", c.Err)
	}
	r.Encap = e.String()
	return nil
}

// decodeMore reads the attributes that few routes have.
func (r *Route) decodeMore(c *cursor) {
	switch c.Type {
	case unix.RTA_IIF:
		r.Iif = c.U32()
	case unix.RTA_FLOW:
		r.Realm = c.U32()
	case unix.RTA_TTL_PROPAGATE:
		if c.U8() == 0 {
			r.TTLProp = 1
		} else {
			r.TTLProp = 2
		}
	}
}

// decodeExpires reads the seconds left of a request, or what struct
// rta_cacheinfo of a dump says in ticks of 1/100 s; a part of a second counts
// as one, so that 0 means "never". Multicast routes have another RTA_EXPIRES,
// the age of the entry, which is no configuration.
func (r *Route) decodeExpires(c *cursor) {
	if r.Family == familyIPMR || r.Family == familyIP6MR {
		return
	}
	if c.Type == unix.RTA_EXPIRES {
		r.Expires = c.U32()
		return
	}
	if !c.Has(offCacheExpires + 4) {
		return
	}
	switch ticks := int32(ne.Uint32(c.Val[offCacheExpires:])); {
	case ticks > 0:
		r.Expires = (uint32(ticks) + userHZ - 1) / userHZ
	case ticks < 0:
		r.Expires = 1
	}
}

// AppendRoute appends a whole message of type typ (RTM_NEWROUTE, RTM_DELROUTE)
// about r. A request (NLM_F_REQUEST) leaves out the flags that only the kernel
// sets. Of Protocol 0 the kernel makes RTPROT_BOOT for IPv6, of Priority 0
// 1024. The kernel refuses a request that has both NHID and a Gateway, an Oif
// or a Multipath, all of which its own dumps show together.
func AppendRoute(b []byte, typ, flags uint16, seq uint32, r *Route) []byte {
	request := flags&unix.NLM_F_REQUEST != 0
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	table := uint8(rtTableCompat)
	if r.Table < 256 {
		table = uint8(r.Table)
	}
	dstLen := prefixBits(r.Dst)
	if r.Family == unix.AF_MPLS {
		dstLen = 20
	}
	b = append(b, r.Family, dstLen, prefixBits(r.Src), r.TOS, table, r.Protocol, r.Scope, r.Type)
	if request {
		b = ne.AppendUint32(b, r.Flags&^routeStateFlags)
	} else {
		b = ne.AppendUint32(b, r.Flags)
	}
	b = r.appendDst(b)
	if r.Family != unix.AF_MPLS {
		b = appendPrefix(b, unix.RTA_SRC, r.Src)
	}
	// The MPLS code of the kernel refuses attributes that it does not know.
	if r.Family != unix.AF_MPLS || r.Table >= 256 {
		b = nlattr.AppendU32(b, unix.RTA_TABLE, r.Table)
	}
	b = appendU32If(b, unix.RTA_PRIORITY, r.Priority)
	b = appendAddr(b, unix.RTA_PREFSRC, r.PrefSrc)
	b = r.appendMetrics(b)
	b = appendU32If(b, unix.RTA_IIF, r.Iif)
	b = appendU32If(b, unix.RTA_OIF, r.Oif)
	b = appendGateway(b, r.Family, r.Gateway)
	b = appendU32If(b, rtaNHID, r.NHID)
	b = appendRouteEncap(b, r.Family, r.Encap)
	b = r.appendMultipath(b, request)
	b = appendU32If(b, unix.RTA_FLOW, r.Realm)
	if r.TTLProp != 0 {
		b = nlattr.AppendU8(b, unix.RTA_TTL_PROPAGATE, r.TTLProp-1)
	}
	b = appendU8If(b, unix.RTA_PREF, r.Pref)
	b = appendU32If(b, unix.RTA_EXPIRES, r.Expires)
	return closeMessage(b, start)
}

// appendDst appends the destination; a default route has none.
func (r *Route) appendDst(b []byte) []byte {
	if r.Family == unix.AF_MPLS {
		start := len(b)
		b = be.AppendUint32(nlattr.Open(b, unix.RTA_DST), r.Label<<mplsLabelShift|mplsBottom)
		return nlattr.Close(b, start)
	}
	if !r.Dst.IsValid() || r.Dst.Bits() == 0 && r.Dst.Addr().IsUnspecified() && isIP(r.Family) {
		return b
	}
	return appendAddr(b, unix.RTA_DST, r.Dst.Addr())
}

func isIP(family uint8) bool { return family == unix.AF_INET || family == unix.AF_INET6 }

// appendGateway appends RTA_GATEWAY, or RTA_VIA when the gateway is of another
// family than the route (RFC 5549: IPv4 through IPv6; MPLS).
func appendGateway(b []byte, family uint8, gw netip.Addr) []byte {
	switch {
	case !gw.IsValid():
		return b
	case family == unix.AF_MPLS, isIP(family) && family != familyOf(gw):
		return appendVia(b, gw)
	}
	return appendAddr(b, unix.RTA_GATEWAY, gw)
}
