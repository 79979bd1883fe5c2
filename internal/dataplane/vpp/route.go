package vpp

import (
	"encoding/binary"
	"fmt"

	"netbraid/internal/dataplane"
)

// encodeRoute appends the body of ip_route_add_del_v2: all paths at once, never
// one of several (is_multipath), so that the route is what was said.
func encodeRoute(b []byte, k dataplane.RouteKey, src uint8, bl *block) []byte {
	add := byte(0)
	if bl != nil {
		add = 1
	}
	b = append(b, add, 0)
	b = put32(b, k.Table, 0)
	b = putPrefix(b, k.Prefix)
	if bl == nil {
		return append(b, 0, src)
	}
	return append(append(b, bl.n, src), bl.b...)
}

// decodeRoute reads ip_route_v2_details; paths is a part of p.
func decodeRoute(p []byte) (k dataplane.RouteKey, src uint8, paths []byte, err error) {
	d := decoder{b: p}
	d.skip(2 + 4)
	k.Table = d.u32()
	d.skip(4)
	k.Prefix = d.prefix()
	n := int(d.u8())
	src = d.u8()
	paths = d.take(n * pathLen)
	k.Prefix = k.Prefix.Masked()
	return k, src, paths, d.err
}

// encodeMPLSRoute appends the body of mpls_route_add_del.
func encodeMPLSRoute(b []byte, k dataplane.RouteKey, bl *block) []byte {
	add := byte(0)
	if bl != nil {
		add = 1
	}
	b = append(b, add, 0)
	b = put32(b, k.Table, k.Label)
	if !k.EOS {
		b = append(b, 0, 0) // nothing but MPLS follows
	} else {
		b = append(b, 1, payloadProto(bl))
	}
	b = append(b, 0) // not multicast
	if bl == nil {
		return append(b, 0)
	}
	return append(append(b, bl.n), bl.b...)
}

// payloadProto is what follows the last label: what the first path's next hop
// speaks. Where there is no next hop IPv4 is taken.
func payloadProto(bl *block) byte {
	if bl == nil || len(bl.b) < pathLen {
		return protoIP4
	}
	return byte(binary.BigEndian.Uint32(bl.b[pathNH-4:]))
}

// decodeMPLSRoute reads mpls_route_details.
func decodeMPLSRoute(p []byte) (k dataplane.RouteKey, paths []byte, err error) {
	d := decoder{b: p}
	d.skip(2 + 4)
	k.Table, k.Label = d.u32(), d.u32()
	k.EOS = d.u8() != 0
	d.skip(1)
	multicast := d.u8()
	n := int(d.u8())
	paths = d.take(n * pathLen)
	if d.err == nil && (k.Label > maxLabel || multicast > 1) {
		d.err = errValue
	}
	return k, paths, d.err
}

// firstFreeLabel is the first label that is not reserved (RFC 3032).
const firstFreeLabel = 16

// checkRoute refuses a key that VPP would take and should not.
func checkRoute(k dataplane.RouteKey) error {
	switch {
	case k.Table == dataplane.NoIndex:
		return fmt.Errorf("%w: table %d is no table", dataplane.ErrRefused, k.Table)
	case k.MPLS():
		if k.Label < firstFreeLabel || k.Label > maxLabel {
			return fmt.Errorf("%w: label %d is not in %d..%d", dataplane.ErrRefused, k.Label, firstFreeLabel, maxLabel)
		}
	case k.Prefix.Addr().Zone() != "" || k.Prefix.Addr().Is4In6():
		return fmt.Errorf("%w: destination %s", dataplane.ErrRefused, k.Prefix)
	case k.Prefix != k.Prefix.Masked():
		return fmt.Errorf("%w: destination %s has bits behind its length; %s is meant", dataplane.ErrRefused, k.Prefix, k.Prefix.Masked())
	}
	return nil
}
