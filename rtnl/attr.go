package rtnl

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// Netlink carries integers in the byte order of the machine, except where an
// attribute is documented as big endian.
var (
	ne = binary.NativeEndian
	be = binary.BigEndian
)

// maxNest is the longest attribute that a decoder believes. The kernel's largest
// datagram is under 32 KiB, so nothing inside one is longer; the bound also makes
// sure that what was decoded can be encoded again.
const maxNest = 32 << 10

// errShort says that a message ends before the structure that it must open
// with, or before its own length.
var errShort = errors.New("message is too short")

// cursor walks the attributes of a message, and knows what is peculiar to
// rtnetlink: addresses, whose family stands elsewhere.
type cursor struct{ nlattr.Cursor }

func attributes(b []byte) (c cursor) {
	c.Read(b)
	return c
}

// raw is the attribute as a string of octets.
func (c *cursor) raw() string {
	if !c.bounded() {
		return ""
	}
	return string(c.Val)
}

func (c *cursor) bounded() bool {
	if len(c.Val) > maxNest {
		c.Fail("has %d octets", len(c.Val))
		return false
	}
	return true
}

// addrOf is the attribute as an address of family. Other families than those
// of this package (AF_MCTP, AF_PHONET, which a dump of every family brings)
// have addresses of other lengths, which read as none.
func (c *cursor) addrOf(family uint8) netip.Addr {
	a, ok := addrFrom(c.Val)
	switch {
	case ok && ofFamily(a, family):
	case !knownFamily(family):
		return netip.Addr{}
	default:
		c.Fail("with %d octets is not an address of family %d", len(c.Val), family)
	}
	return a
}

func knownFamily(family uint8) bool {
	switch family {
	case unix.AF_UNSPEC, unix.AF_INET, unix.AF_INET6, unix.AF_BRIDGE, unix.AF_MPLS, familyIPMR, familyIP6MR:
		return true
	}
	return false
}

func addrFrom(b []byte) (netip.Addr, bool) {
	switch len(b) {
	case 4:
		return netip.AddrFrom4([4]byte(b)), true
	case 16:
		return netip.AddrFrom16([16]byte(b)), true
	}
	return netip.Addr{}, false
}

// prefix is the attribute as a prefix of family with the given length.
func (c *cursor) prefix(family uint8, bits uint8) netip.Prefix {
	a := c.addrOf(family)
	p := netip.PrefixFrom(a, int(bits))
	if c.Err == nil && !p.IsValid() {
		if !knownFamily(family) {
			return netip.Prefix{}
		}
		c.Fail("is not a prefix of family %d with length %d", family, bits)
	}
	return p
}

// selector is prefix, but the zero Prefix when it matches every address.
func (c *cursor) selector(family uint8, bits uint8) netip.Prefix {
	if p := c.prefix(family, bits); p.Bits() > 0 {
		return p
	}
	return netip.Prefix{}
}

// via is RTA_VIA (struct rtvia): an address that names its own family. An
// address that is not IP (MPLS over Ethernet) is the zero Addr.
func (c *cursor) via() netip.Addr {
	if !c.Has(2) {
		return netip.Addr{}
	}
	switch ne.Uint16(c.Val) {
	case unix.AF_INET, unix.AF_INET6:
		a, ok := addrFrom(c.Val[2:])
		if !ok {
			c.Fail("is an address of %d octets", len(c.Val)-2)
		}
		return a
	}
	return netip.Addr{}
}

// hw is the attribute as a link-layer address; one that is longer than any
// that we know reads as none.
func (c *cursor) hw() HWAddr {
	var h HWAddr
	if len(c.Val) > len(h.B) {
		return h
	}
	h.Len = uint8(copy(h.B[:], c.Val))
	return h
}

func ofFamily(a netip.Addr, family uint8) bool {
	switch family {
	case unix.AF_INET:
		return a.Is4()
	case unix.AF_INET6:
		return a.Is6()
	}
	return true
}

// unspecified is the prefix of the given length on the all-zero address of
// family, which a message without an address attribute means.
func unspecified(family, bits uint8) (netip.Prefix, bool) {
	switch {
	case family == unix.AF_INET && bits <= 32:
		return netip.PrefixFrom(netip.IPv4Unspecified(), int(bits)), true
	case family == unix.AF_INET6 && bits <= 128:
		return netip.PrefixFrom(netip.IPv6Unspecified(), int(bits)), true
	case family == unix.AF_INET, family == unix.AF_INET6:
		return netip.Prefix{}, false
	}
	return netip.Prefix{}, true
}

// appendU32If appends v unless it is zero, the value that an absent attribute has.
func appendU32If(b []byte, typ uint16, v uint32) []byte {
	if v == 0 {
		return b
	}
	return nlattr.AppendU32(b, typ, v)
}

func appendU8If(b []byte, typ uint16, v uint8) []byte {
	if v == 0 {
		return b
	}
	return nlattr.AppendU8(b, typ, v)
}

func appendHW(b []byte, typ uint16, h HWAddr) []byte {
	if h.Len == 0 {
		return b
	}
	return nlattr.AppendRaw(b, typ, h.B[:min(int(h.Len), len(h.B))])
}

// appendAddr appends an IP address, nothing for the zero Addr.
func appendAddr(b []byte, typ uint16, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	start := len(b)
	return nlattr.Close(appendIP(nlattr.Open(b, typ), a), start)
}

func appendIP(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		x := a.As4()
		return append(b, x[:]...)
	}
	x := a.As16()
	return append(b, x[:]...)
}

func appendVia(b []byte, a netip.Addr) []byte {
	start := len(b)
	b = ne.AppendUint16(nlattr.Open(b, unix.RTA_VIA), uint16(familyOf(a)))
	return nlattr.Close(appendIP(b, a), start)
}

func familyOf(a netip.Addr) uint8 {
	switch {
	case a.Is4():
		return unix.AF_INET
	case a.IsValid():
		return unix.AF_INET6
	}
	return unix.AF_UNSPEC
}

// prefixBits is the length of p for a header, 0 for the zero Prefix.
func prefixBits(p netip.Prefix) uint8 {
	return uint8(max(p.Bits(), 0))
}
