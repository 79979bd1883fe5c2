package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// DecodeNeigh reads the body of RTM_NEWNEIGH or RTM_DELNEIGH (struct ndmsg,
// linux/neighbour.h) into n, which it resets first. It does not allocate. What
// changes by itself (NDA_CACHEINFO, NDA_PROBES) is left out.
func DecodeNeigh(body []byte, n *Neigh) error {
	*n = Neigh{}
	if len(body) < sizeofNdMsg {
		return fmt.Errorf("rtnl: decode neighbour: %w", errShort)
	}
	n.Family = body[0]
	n.Index = ne.Uint32(body[4:])
	n.State = ne.Uint16(body[8:])
	n.Flags, n.Type = body[10], body[11]
	c := attributes(body[sizeofNdMsg:])
	for c.Next() {
		switch c.Type {
		case unix.NDA_DST:
			n.Dst = c.addrOf(n.Family)
		case unix.NDA_LLADDR:
			n.LLAddr = c.hw()
		case unix.NDA_VLAN:
			n.VLAN = c.U16()
		case unix.NDA_PORT:
			n.Port = c.BE16()
		case unix.NDA_VNI:
			n.VNI = c.U32()
		case unix.NDA_SRC_VNI:
			n.SrcVNI = c.U32()
		case unix.NDA_IFINDEX:
			n.Via = c.U32()
		case ndaNHID:
			n.NHID = c.U32()
		case unix.NDA_MASTER:
			n.Master = c.U32()
		case ndaProtocol:
			n.Protocol = c.U8()
		case ndaFlagsExt:
			n.ExtFlags = c.U32()
		}
	}
	if c.Err != nil {
		return fmt.Errorf("rtnl: decode neighbour: %w", c.Err)
	}
	return nil
}

// AppendNeigh appends a whole message of type typ (RTM_NEWNEIGH, RTM_DELNEIGH)
// about n.
func AppendNeigh(b []byte, typ, flags uint16, seq uint32, n *Neigh) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	b = append(b, n.Family, 0, 0, 0)
	b = ne.AppendUint32(b, n.Index)
	b = ne.AppendUint16(b, n.State)
	b = append(b, n.Flags, n.Type)
	b = appendAddr(b, unix.NDA_DST, n.Dst)
	b = appendHW(b, unix.NDA_LLADDR, n.LLAddr)
	if n.VLAN != 0 {
		b = nlattr.AppendU16(b, unix.NDA_VLAN, n.VLAN)
	}
	if n.Port != 0 {
		b = nlattr.AppendBE16(b, unix.NDA_PORT, n.Port)
	}
	b = appendU32If(b, unix.NDA_VNI, n.VNI)
	b = appendU32If(b, unix.NDA_SRC_VNI, n.SrcVNI)
	b = appendU32If(b, unix.NDA_IFINDEX, n.Via)
	b = appendU32If(b, ndaNHID, n.NHID)
	b = appendU32If(b, unix.NDA_MASTER, n.Master)
	b = appendU8If(b, ndaProtocol, n.Protocol)
	b = appendU32If(b, ndaFlagsExt, n.ExtFlags)
	return closeMessage(b, start)
}
