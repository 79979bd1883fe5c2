package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// DecodeNexthop reads the body of RTM_NEWNEXTHOP or RTM_DELNEXTHOP (struct
// nhmsg, linux/nexthop.h) into n, which it resets first.
func DecodeNexthop(body []byte, n *Nexthop) error {
	*n = Nexthop{}
	if len(body) < sizeofNhMsg {
		return fmt.Errorf("rtnl: decode next hop: %w", errShort)
	}
	n.Family, n.Scope, n.Protocol = body[0], body[1], body[2]
	n.Flags = ne.Uint32(body[4:])
	var e encap
	c := attributes(body[sizeofNhMsg:])
	for c.next() {
		switch c.typ {
		case unix.NHA_ID:
			n.ID = c.u32()
		case unix.NHA_GROUP:
			n.Group = c.raw()
		case unix.NHA_GROUP_TYPE:
			n.GroupType = c.u16()
		case unix.NHA_BLACKHOLE:
			n.Blackhole = true
		case nhaFDB:
			n.FDB = true
		case unix.NHA_OIF:
			n.Oif = c.u32()
		case unix.NHA_GATEWAY:
			n.Gateway = c.addr()
		case unix.NHA_ENCAP_TYPE:
			e.setType(&c)
		case unix.NHA_ENCAP:
			e.setData(&c)
		}
	}
	if c.err != nil {
		return fmt.Errorf("rtnl: decode next hop: %w", c.err)
	}
	n.Encap = e.String()
	return nil
}

// AppendNexthop appends a whole message of type typ (RTM_NEWNEXTHOP,
// RTM_DELNEXTHOP) about n. A request (NLM_F_REQUEST) leaves out what only the
// kernel may say: the scope, and the flags of a hop's state.
func AppendNexthop(b []byte, typ, flags uint16, seq uint32, n *Nexthop) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	scope, nhFlags := n.Scope, n.Flags
	if flags&unix.NLM_F_REQUEST != 0 {
		scope, nhFlags = 0, nhFlags&^hopStateFlags
	}
	b = append(b, n.Family, scope, n.Protocol, 0)
	b = ne.AppendUint32(b, nhFlags)
	b = appendU32If(b, unix.NHA_ID, n.ID)
	if n.Group != "" {
		b = appendRaw(b, unix.NHA_GROUP, n.Group)
	}
	if n.GroupType != 0 {
		b = appendU16(b, unix.NHA_GROUP_TYPE, n.GroupType)
	}
	if n.Blackhole {
		b = appendRaw(b, unix.NHA_BLACKHOLE, "")
	}
	if n.FDB {
		b = appendRaw(b, nhaFDB, "")
	}
	b = appendU32If(b, unix.NHA_OIF, n.Oif)
	b = appendAddr(b, unix.NHA_GATEWAY, n.Gateway)
	b = appendEncap(b, unix.NHA_ENCAP_TYPE, unix.NHA_ENCAP, n.Encap)
	return closeMessage(b, start)
}
