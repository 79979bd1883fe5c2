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

// layout is where a route message has its attributes. Most have that of one
// that came shortly before: then they need not be looked for.
type layout struct {
	size        int // of the body, 0 for none
	family      uint8
	heads       [layoutMax]uint32
	at          [layoutMax]uint16 // of each head
	n           int
	dst, dstEnd int // where the value is; 0 for none
	table, prio int
	expires     int
	from, to    int // what is shared, in one piece
}

const layoutMax = 6

// fits tells whether a body has the attributes of l in the places of l.
func (l *layout) fits(body []byte) bool {
	if l.size != len(body) || l.family != body[0] {
		return false
	}
	for i := range l.n {
		if ne.Uint32(body[l.at[i]:]) != l.heads[i] {
			return false
		}
	}
	return l.expires == 0 || ne.Uint32(body[l.expires:]) == 0
}

// learn makes l the layout of body, which split has found to be plain.
func (l *layout) learn(body []byte) {
	*l = layout{}
	n := layout{size: len(body), family: body[0]}
	for at := sizeofRtMsg; len(body)-at >= sizeofRtAttr; {
		if n.n == layoutMax {
			return
		}
		head := ne.Uint32(body[at:])
		n.heads[n.n], n.at[n.n] = head, uint16(at)
		n.n++
		size := int(ne.Uint16(body[at:]))
		next := at + min((size+3)&^3, len(body)-at)
		switch ne.Uint16(body[at+2:]) & attrTypeMask {
		case unix.RTA_DST:
			n.dst, n.dstEnd = at+sizeofRtAttr, at+size
		case unix.RTA_TABLE:
			n.table = at + sizeofRtAttr
		case unix.RTA_PRIORITY:
			n.prio = at + sizeofRtAttr
		case unix.RTA_CACHEINFO:
			n.expires = at + sizeofRtAttr + offExpires
		default:
			if n.to != 0 && n.to != at {
				return // not in one piece
			}
			if n.to == 0 {
				n.from = at
			}
			n.to = next
		}
		at = next
	}
	*l = n
}

// split reads the body of a route message into t.k4 or t.k6 and the rest of its
// octets, in order, into t.head and t.rest. It is false for what is not plain: source
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
	t.head = uint64(family) | uint64(body[5])<<8 | uint64(body[6])<<16 | uint64(body[7])<<24 | uint64(flags&^volatile)<<32
	l := &t.layouts[len(body)>>2%len(t.layouts)]
	if l.fits(body) {
		table, prio, dst := uint32(body[4]), uint32(0), []byte(nil)
		if l.table != 0 {
			table = ne.Uint32(body[l.table:])
		}
		if l.prio != 0 {
			prio = ne.Uint32(body[l.prio:])
		}
		if l.dst != 0 {
			dst = body[l.dst:l.dstEnd]
		}
		t.rest = body[l.from:l.to]
		return t.splitKey(family, body, dst, table, prio)
	}
	if family, plain = t.splitSlow(body); plain {
		l.learn(body)
	}
	return family, plain
}

// splitSlow looks for the attributes.
func (t *Table) splitSlow(body []byte) (family uint8, plain bool) {
	table, prio := uint32(body[4]), uint32(0)
	var dst []byte
	raw := t.raw[:0]
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
	t.raw, t.rest = raw, raw
	return t.splitKey(body[0], body, dst, table, prio)
}

func (t *Table) splitKey(family uint8, body, dst []byte, table, prio uint32) (uint8, bool) {
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
