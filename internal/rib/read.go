package rib

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// volatile are the flags of a route that follow from its links, which tell of
// them; the kernel does not announce them for routes.
const volatile = unix.RTNH_F_LINKDOWN | unix.RTNH_F_DEAD

// Sizes of struct rtmsg and struct rtattr (linux/rtnetlink.h).
const (
	sizeofRtMsg  = 12
	sizeofRtAttr = 4
)

// attrTypeMask takes NLA_F_NESTED and NLA_F_NET_BYTEORDER off (linux/netlink.h).
const attrTypeMask = 1<<14 - 1

// offExpires is where struct rta_cacheinfo (linux/rtnetlink.h) has rta_expires.
const offExpires = 8

var (
	ne = binary.NativeEndian
	be = binary.BigEndian
)

// split reads the body of a route message into t.k4 or t.k6 and the rest of its
// octets, in order, into t.raw. It is false for what is not plain: source
// routing, MPLS, a lifetime, anything malformed.
func (t *Table) split(body []byte) (family uint8, plain bool) {
	if len(body) < sizeofRtMsg || body[2] != 0 {
		return 0, false
	}
	family = body[0]
	flags := ne.Uint32(body[8:])
	if flags&unix.RTM_F_CLONED != 0 {
		return 0, false
	}
	raw := append(t.raw[:0], family, body[5], body[6], body[7])
	raw = ne.AppendUint32(raw, flags&^volatile)
	table, prio := uint32(body[4]), uint32(0)
	var dst []byte
	for b := body[sizeofRtMsg:]; len(b) >= sizeofRtAttr; {
		n := int(ne.Uint16(b))
		if n < sizeofRtAttr || n > len(b) {
			return 0, false
		}
		next := min((n+3)&^3, len(b))
		switch ne.Uint16(b[2:]) & attrTypeMask {
		case unix.RTA_DST:
			dst = b[4:n]
		case unix.RTA_TABLE:
			if n != 8 {
				return 0, false
			}
			table = ne.Uint32(b[4:])
		case unix.RTA_PRIORITY:
			if n != 8 {
				return 0, false
			}
			prio = ne.Uint32(b[4:])
		case unix.RTA_CACHEINFO:
			if n < 4+offExpires+4 || ne.Uint32(b[4+offExpires:]) != 0 {
				return 0, false
			}
		case unix.RTA_EXPIRES, unix.RTA_SRC:
			return 0, false
		default:
			raw = append(raw, b[:next]...)
		}
		b = b[next:]
	}
	t.raw = raw
	tab, ok := t.tables.index(table)
	if !ok {
		return 0, false
	}
	switch family {
	case unix.AF_INET:
		return family, t.split4(body, dst, prio, tab)
	case unix.AF_INET6:
		return family, t.split6(body, dst, prio, tab)
	}
	return 0, false
}

func (t *Table) split4(body, dst []byte, prio uint32, tab uint16) bool {
	k := key4{prio: prio, table: tab, plen: body[1], tos: body[3]}
	switch {
	case k.plen > 32:
		return false
	case len(dst) == 4:
		k.dst = be.Uint32(dst)
	case dst != nil || k.plen != 0:
		return false
	}
	t.k4 = k
	return k.dst<<k.plen == 0 || k.plen == 0 && k.dst == 0
}

func (t *Table) split6(body, dst []byte, prio uint32, tab uint16) bool {
	k := key6{prio: prio, table: tab, plen: body[1], tos: body[3]}
	switch {
	case k.plen > 128:
		return false
	case len(dst) == 16:
		k.hi, k.lo = be.Uint64(dst), be.Uint64(dst[8:])
	case dst != nil || k.plen != 0:
		return false
	}
	t.k6 = k
	if k.plen <= 64 {
		return k.hi<<k.plen == 0 && k.lo == 0
	}
	return k.lo<<(k.plen-64) == 0
}

// decode reads a whole message as netbraid keeps it. It is false for what is
// not a route (a cached exception).
func decode(body []byte, r *rtnl.Route) (bool, error) {
	if err := rtnl.DecodeRoute(body, r); err != nil {
		return false, err
	}
	if r.Flags&unix.RTM_F_CLONED != 0 {
		return false, nil
	}
	r.Flags &^= volatile
	if r.Multipath != "" {
		r.Multipath = withoutHopState(r.Multipath)
	}
	return true, nil
}

// withoutHopState takes the flags off the next hops of a multipath route that
// follow from their links.
func withoutHopState(multipath string) string {
	hops, err := rtnl.Hops(multipath)
	if err != nil {
		return multipath
	}
	for i := range hops {
		hops[i].Flags &^= volatile
	}
	return rtnl.AppendHops(hops)
}

// tables numbers the routing tables.
type tables struct {
	ids  []uint32
	of   map[uint32]uint16
	last uint16
}

const tablesMax = 1<<16 - 1

func (t *tables) index(id uint32) (uint16, bool) {
	if len(t.ids) > 0 && t.ids[t.last] == id {
		return t.last, true
	}
	i, ok := t.of[id]
	if !ok {
		if len(t.ids) >= tablesMax {
			return 0, false
		}
		if t.of == nil {
			t.of = map[uint32]uint16{}
		}
		i = uint16(len(t.ids))
		t.ids = append(t.ids, id)
		t.of[id] = i
	}
	t.last = i
	return i, true
}
