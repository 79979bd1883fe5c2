package rtnl

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// The canonical form of a multipath: for each hop, sorted, the ifindex (4
// octets, big endian), weight, flags, the number of octets of the gateway,
// those octets, and the realm and the encapsulation's length as uvarints, then
// the encapsulation.
const hopFixed = 7

var errHops = errors.New("rtnl: malformed multipath")

// Hops takes the canonical form of a multipath apart.
func Hops(multipath string) ([]Hop, error) {
	var hops []Hop
	b := []byte(multipath)
	for len(b) > 0 {
		if len(b) < hopFixed {
			return nil, errHops
		}
		h := Hop{Oif: be.Uint32(b), Weight: b[4], Flags: b[5]}
		n := int(b[6])
		b = b[hopFixed:]
		if len(b) < n {
			return nil, errHops
		}
		if n > 0 {
			gw, ok := addrFrom(b[:n])
			if !ok {
				return nil, errHops
			}
			h.Gateway = gw
			b = b[n:]
		}
		realm, k := binary.Uvarint(b)
		if k <= 0 || realm > math.MaxUint32 {
			return nil, errHops
		}
		h.Realm, b = uint32(realm), b[k:]
		size, k := binary.Uvarint(b)
		if k <= 0 || size > uint64(len(b)-k) {
			return nil, errHops
		}
		h.Encap = string(b[k : k+int(size)])
		b = b[k+int(size):]
		hops = append(hops, h)
	}
	return hops, nil
}

// AppendHops makes the canonical form of a multipath: the order of hops has no
// meaning and is made one, so that equal sets of hops are equal strings. The
// zones of gateways are not kept. It does not change hops.
func AppendHops(hops []Hop) string {
	if len(hops) == 0 {
		return ""
	}
	sorted := slices.Clone(hops)
	slices.SortFunc(sorted, compareHops)
	var b []byte
	for _, h := range sorted {
		b = be.AppendUint32(b, h.Oif)
		b = append(b, h.Weight, h.Flags)
		if h.Gateway.IsValid() {
			b = append(b, uint8(h.Gateway.BitLen()/8))
			b = appendIP(b, h.Gateway)
		} else {
			b = append(b, 0)
		}
		b = binary.AppendUvarint(b, uint64(h.Realm))
		b = binary.AppendUvarint(b, uint64(len(h.Encap)))
		b = append(b, h.Encap...)
	}
	return string(b)
}

func compareHops(a, b Hop) int {
	return cmp.Or(
		cmp.Compare(a.Oif, b.Oif),
		a.Gateway.Compare(b.Gateway),
		cmp.Compare(a.Weight, b.Weight),
		strings.Compare(a.Encap, b.Encap),
		cmp.Compare(a.Flags, b.Flags),
		cmp.Compare(a.Realm, b.Realm),
	)
}

// multipath is the attribute as a list of struct rtnexthop, in canonical form.
func (c *cursor) multipath(family uint8) string {
	if !c.bounded() {
		return ""
	}
	var hops []Hop
	for b := c.Val; len(b) >= unix.SizeofRtNexthop; {
		n := int(ne.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			c.Fail("has a next hop of %d octets where %d are left", n, len(b))
			return ""
		}
		h := Hop{Flags: b[2], Weight: b[3], Oif: ne.Uint32(b[4:])}
		var e encap
		sub := attributes(b[unix.SizeofRtNexthop:n])
		for sub.Next() {
			switch sub.Type {
			case unix.RTA_GATEWAY:
				h.Gateway = sub.addrOf(family)
			case unix.RTA_VIA:
				h.Gateway = sub.via()
			case unix.RTA_FLOW:
				h.Realm = sub.U32()
			case unix.RTA_ENCAP_TYPE, unix.RTA_ENCAP, unix.RTA_NEWDST:
				e.decode(&sub, family)
			}
		}
		if sub.Err != nil {
			c.Err = fmt.Errorf("next hop: %w", sub.Err)
			return ""
		}
		h.Encap = e.String()
		hops = append(hops, h)
		b = b[min(nlattr.Align(n), len(b)):]
	}
	return AppendHops(hops)
}

// appendMultipath appends RTA_MULTIPATH. A Multipath that is not in canonical
// form becomes an empty attribute, which the kernel refuses.
func (r *Route) appendMultipath(b []byte, request bool) []byte {
	if r.Multipath == "" {
		return b
	}
	hops, err := Hops(r.Multipath)
	if err != nil {
		hops = nil
	}
	start := len(b)
	b = nlattr.Open(b, unix.RTA_MULTIPATH)
	for _, h := range hops {
		if request {
			h.Flags &^= hopStateFlags & 0xff
		}
		at := len(b)
		b = append(b, 0, 0, h.Flags, h.Weight)
		b = ne.AppendUint32(b, h.Oif)
		b = appendGateway(b, r.Family, h.Gateway)
		b = appendU32If(b, unix.RTA_FLOW, h.Realm)
		b = appendRouteEncap(b, r.Family, h.Encap)
		if len(b)-start > 0xffff {
			break
		}
		ne.PutUint16(b[at:], uint16(len(b)-at))
	}
	return nlattr.Close(b, start)
}

// metric is one attribute of RTA_METRICS.
type metric struct {
	typ uint16
	val []byte
}

// decodeMetrics reads RTA_METRICS: the MTU and its lock into their fields,
// what else there is into Metrics.
func (r *Route) decodeMetrics(c *cursor) {
	if !c.bounded() {
		return
	}
	var others []metric
	var lock uint32
	sub := attributes(c.Val)
	for sub.Next() {
		switch sub.Type {
		case unix.RTAX_MTU:
			r.MTU = sub.U32()
		case unix.RTAX_LOCK:
			lock = sub.U32()
		default:
			others = append(others, metric{sub.Type, sub.Val})
		}
	}
	if sub.Err != nil {
		c.Err = fmt.Errorf("metrics: %w", sub.Err)
		return
	}
	r.MTULock = lock&(1<<unix.RTAX_MTU) != 0
	if lock &^= 1 << unix.RTAX_MTU; lock != 0 {
		others = append(others, metric{unix.RTAX_LOCK, ne.AppendUint32(nil, lock)})
	}
	if len(others) == 0 {
		return
	}
	slices.SortStableFunc(others, func(a, b metric) int { return cmp.Compare(a.typ, b.typ) })
	var b []byte
	for i, m := range others {
		if i+1 < len(others) && others[i+1].typ == m.typ {
			continue // the last one counts
		}
		b = nlattr.AppendRaw(b, m.typ, m.val)
	}
	r.Metrics = string(b)
}

// appendMetrics appends RTA_METRICS when there is something to say.
func (r *Route) appendMetrics(b []byte) []byte {
	if r.MTU == 0 && !r.MTULock && r.Metrics == "" {
		return b
	}
	var lock uint32
	if r.MTULock {
		lock = 1 << unix.RTAX_MTU
	}
	start := len(b)
	b = nlattr.Open(b, unix.RTA_METRICS|nlaFNested)
	body := len(b)
	c := attributes([]byte(r.Metrics))
	for c.Next() {
		switch c.Type {
		case unix.RTAX_LOCK:
			lock |= c.U32()
		case unix.RTAX_MTU: // has a field of its own
		default:
			b = nlattr.AppendRaw(b, c.Type, c.Val)
		}
	}
	b = appendU32If(b, unix.RTAX_LOCK, lock)
	b = appendU32If(b, unix.RTAX_MTU, r.MTU)
	if len(b) == body {
		return b[:start]
	}
	return nlattr.Close(b, start)
}
