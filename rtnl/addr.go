package rtnl

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// DecodeAddr reads the body of RTM_NEWADDR or RTM_DELADDR (struct ifaddrmsg,
// linux/if_addr.h) into a, which it resets first. An address without
// IFA_CACHEINFO lives for ever. It does not allocate unless there is a label.
func DecodeAddr(body []byte, a *Addr) error {
	*a = Addr{Preferred: LifetimeForever, Valid: LifetimeForever}
	if len(body) < unix.SizeofIfAddrmsg {
		return fmt.Errorf("rtnl: decode address: %w", errShort)
	}
	a.Family, a.PrefixLen, a.Flags, a.Scope = body[0], body[1], uint32(body[2]), body[3]
	a.Index = ne.Uint32(body[4:])
	var local, address netip.Addr
	c := attributes(body[unix.SizeofIfAddrmsg:])
	for c.Next() {
		switch c.Type {
		case unix.IFA_LOCAL:
			local = c.addrOf(a.Family)
		case unix.IFA_ADDRESS:
			address = c.addrOf(a.Family)
		case unix.IFA_BROADCAST:
			a.Broadcast = c.addrOf(a.Family)
		case unix.IFA_LABEL:
			a.Label = c.Str()
		case unix.IFA_FLAGS:
			a.Flags = c.U32()
		case unix.IFA_RT_PRIORITY:
			a.Priority = c.U32()
		case ifaProto:
			a.Protocol = c.U8()
		case unix.IFA_CACHEINFO:
			if c.Has(sizeofIfaCacheMin) {
				a.Preferred, a.Valid = ne.Uint32(c.Val), ne.Uint32(c.Val[4:])
			}
		}
	}
	if c.Err != nil {
		return fmt.Errorf("rtnl: decode address: %w", c.Err)
	}
	// IFA_ADDRESS is the far end of a point-to-point address and the address
	// itself otherwise; IPv6 sends IFA_LOCAL only when the two differ.
	switch {
	case !local.IsValid():
		a.Local = address
	case address.IsValid() && address != local:
		a.Local, a.Peer = local, address
	default:
		a.Local = local
	}
	return nil
}

// AppendAddr appends a whole message of type typ (RTM_NEWADDR, RTM_DELADDR)
// about a. The lifetimes are always sent: a zero Valid is refused by the
// kernel, an address that does not end has LifetimeForever.
func AppendAddr(b []byte, typ, flags uint16, seq uint32, a *Addr) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	b = append(b, a.Family, a.PrefixLen, uint8(a.Flags), a.Scope)
	b = ne.AppendUint32(b, a.Index)
	if a.Peer.IsValid() {
		b = appendAddr(b, unix.IFA_ADDRESS, a.Peer)
		b = appendAddr(b, unix.IFA_LOCAL, a.Local)
	} else {
		b = appendAddr(b, unix.IFA_ADDRESS, a.Local)
		if a.Family == unix.AF_INET {
			b = appendAddr(b, unix.IFA_LOCAL, a.Local)
		}
	}
	b = appendAddr(b, unix.IFA_BROADCAST, a.Broadcast)
	if a.Label != "" {
		b = nlattr.AppendString(b, unix.IFA_LABEL, a.Label)
	}
	b = nlattr.AppendU32(b, unix.IFA_FLAGS, a.Flags)
	b = appendU32If(b, unix.IFA_RT_PRIORITY, a.Priority)
	b = appendU8If(b, ifaProto, a.Protocol)
	info := len(b)
	b = nlattr.Open(b, unix.IFA_CACHEINFO)
	b = ne.AppendUint32(b, a.Preferred)
	b = ne.AppendUint32(b, a.Valid)
	b = ne.AppendUint64(b, 0) // cstamp, tstamp: the kernel's
	b = nlattr.Close(b, info)
	return closeMessage(b, start)
}
