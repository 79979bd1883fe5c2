package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
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
	var op uint32
	c := attributes(body[sizeofNhMsg:])
	for c.Next() {
		switch c.Type {
		case unix.NHA_ID:
			n.ID = c.U32()
		case unix.NHA_GROUP:
			n.Group = c.raw()
		case unix.NHA_GROUP_TYPE:
			n.GroupType = c.U16()
		case unix.NHA_BLACKHOLE:
			n.Blackhole = true
		case nhaResGroup:
			n.Resilient.decode(&c)
		case nhaOpFlags:
			op = c.U32()
		case nhaFDB:
			n.FDB = true
		case unix.NHA_OIF:
			n.Oif = c.U32()
		case unix.NHA_GATEWAY:
			n.Gateway = c.addrOf(unix.AF_UNSPEC)
		case unix.NHA_ENCAP_TYPE:
			e.setType(&c)
		case unix.NHA_ENCAP:
			e.setData(&c)
		}
	}
	if c.Err != nil {
		return fmt.Errorf("rtnl: decode next hop: %w", c.Err)
	}
	n.Encap = e.String()
	if op&opGroupReservedIsZero == 0 {
		n.Group = groupOfOld(n.Group)
	}
	return nil
}

func (r *Resilient) decode(c *cursor) {
	sub := attributes(c.Val)
	for sub.Next() {
		switch sub.Type {
		case nhaResBuckets:
			r.Buckets = sub.U16()
		case nhaResIdle:
			r.IdleTimer = sub.U32()
		case nhaResUnbalanced:
			r.UnbalancedTimer = sub.U32()
		}
	}
	c.nested("resilient group", sub.Err)
}

// groupOfOld clears what kernels before 6.10 leave in the reserved octets of a
// group's entries, which is whatever was in the memory.
func groupOfOld(group string) string {
	for at := 0; at+sizeofNexthopGrp <= len(group); at += sizeofNexthopGrp {
		if group[at+5:at+8] != "\x00\x00\x00" {
			b := []byte(group)
			for ; at+sizeofNexthopGrp <= len(b); at += sizeofNexthopGrp {
				clear(b[at+5 : at+8])
			}
			return string(b)
		}
	}
	return group
}

// GroupMembers takes the Group of a Nexthop apart. What does not fill an entry
// is ignored.
func GroupMembers(group string) []GroupMember {
	var m []GroupMember
	for b := []byte(group); len(b) >= sizeofNexthopGrp; b = b[sizeofNexthopGrp:] {
		m = append(m, GroupMember{ID: ne.Uint32(b), Weight: (uint32(b[5])<<8 | uint32(b[4])) + 1})
	}
	return m
}

// AppendGroup makes the Group of a Nexthop, in the order given, which the
// kernel keeps. A weight outside 1 to 65535 becomes the nearest of them.
func AppendGroup(members []GroupMember) string {
	var b []byte
	for _, m := range members {
		w := min(max(m.Weight, 1), 1<<16-1) - 1
		b = ne.AppendUint32(b, m.ID)
		b = append(b, uint8(w), uint8(w>>8), 0, 0)
	}
	return string(b)
}

// AppendNexthop appends a whole message of type typ (RTM_NEWNEXTHOP,
// RTM_DELNEXTHOP) about n. A request (NLM_F_REQUEST) leaves out what only the
// kernel may say: the scope, and the flags of a hop's state. A request to
// delete carries nothing but the ID, as the kernel wants it.
func AppendNexthop(b []byte, typ, flags uint16, seq uint32, n *Nexthop) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	request := flags&unix.NLM_F_REQUEST != 0
	if request && typ == unix.RTM_DELNEXTHOP {
		b = append(b, n.Family, 0, 0, 0, 0, 0, 0, 0)
		b = nlattr.AppendU32(b, unix.NHA_ID, n.ID)
		return closeMessage(b, start)
	}
	scope, nhFlags := n.Scope, n.Flags
	if request {
		scope, nhFlags = 0, nhFlags&^hopStateFlags
	}
	b = append(b, n.Family, scope, n.Protocol, 0)
	b = ne.AppendUint32(b, nhFlags)
	b = appendU32If(b, unix.NHA_ID, n.ID)
	if n.Group != "" {
		b = nlattr.AppendRaw(b, unix.NHA_GROUP, n.Group)
		if !request && groupOfOld(n.Group) != n.Group {
			b = nlattr.AppendU32(b, nhaOpFlags, opGroupReservedIsZero)
		}
	}
	if n.GroupType != 0 {
		b = nlattr.AppendU16(b, unix.NHA_GROUP_TYPE, n.GroupType)
	}
	b = n.Resilient.append(b)
	if n.Blackhole {
		b = nlattr.AppendRaw(b, unix.NHA_BLACKHOLE, "")
	}
	if n.FDB {
		b = nlattr.AppendRaw(b, nhaFDB, "")
	}
	b = appendU32If(b, unix.NHA_OIF, n.Oif)
	b = appendAddr(b, unix.NHA_GATEWAY, n.Gateway)
	b = appendEncap(b, unix.NHA_ENCAP_TYPE, unix.NHA_ENCAP, n.Encap)
	return closeMessage(b, start)
}

// append appends NHA_RES_GROUP, nothing for the zero Resilient.
func (r Resilient) append(b []byte) []byte {
	if r == (Resilient{}) {
		return b
	}
	start := len(b)
	b = nlattr.Open(b, nhaResGroup|nlaFNested)
	if r.Buckets != 0 {
		b = nlattr.AppendU16(b, nhaResBuckets, r.Buckets)
	}
	b = appendU32If(b, nhaResIdle, r.IdleTimer)
	b = appendU32If(b, nhaResUnbalanced, r.UnbalancedTimer)
	return nlattr.Close(b, start)
}
