package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Netlink carries integers in the byte order of the machine, except where an
// attribute is documented as big endian.
var (
	ne = binary.NativeEndian
	be = binary.BigEndian
)

// Limits of what a decoder believes. The kernel's largest datagram is under
// 32 KiB, so nothing inside one is longer; the bounds also make sure that what
// was decoded can be encoded again.
const (
	maxNest   = 32 << 10
	maxString = 4 << 10
)

// errShort says that a message ends before the structure that it must open
// with, or before its own length.
var errShort = errors.New("message is too short")

// cursor walks the attributes of a message (struct nlattr). The first defect
// sticks: next returns false from then on and err says what was wrong, so that
// a decoder checks once at its end.
type cursor struct {
	rest []byte
	val  []byte // payload of the current attribute
	typ  uint16 // its type without NLA_F_NESTED and NLA_F_NET_BYTEORDER
	err  error
}

func attributes(b []byte) cursor { return cursor{rest: b} }

// next moves to the next attribute. Fewer than four octets at the end are
// padding, as in the kernel's nla_ok.
func (c *cursor) next() bool {
	if c.err != nil || len(c.rest) < unix.SizeofNlAttr {
		return false
	}
	n := int(ne.Uint16(c.rest))
	c.typ = ne.Uint16(c.rest[2:]) & nlaTypeMask
	if n < unix.SizeofNlAttr || n > len(c.rest) {
		c.fail("has a length of %d octets where %d are left", n, len(c.rest))
		return false
	}
	c.val = c.rest[unix.SizeofNlAttr:n]
	c.rest = c.rest[min(align4(n), len(c.rest)):]
	return true
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("attribute %d %s", c.typ, fmt.Sprintf(format, args...))
	}
}

// has reports whether the current attribute carries at least n octets. More
// are welcome: a newer kernel may have made a structure longer.
func (c *cursor) has(n int) bool {
	if len(c.val) < n {
		c.short(n)
		return false
	}
	return true
}

func (c *cursor) short(n int) { c.fail("has %d octets, needs %d", len(c.val), n) }

func (c *cursor) u8() uint8 {
	if !c.has(1) {
		return 0
	}
	return c.val[0]
}

func (c *cursor) u16() uint16 {
	if !c.has(2) {
		return 0
	}
	return ne.Uint16(c.val)
}

func (c *cursor) be16() uint16 {
	if !c.has(2) {
		return 0
	}
	return be.Uint16(c.val)
}

func (c *cursor) be32() uint32 {
	if !c.has(4) {
		return 0
	}
	return be.Uint32(c.val)
}

func (c *cursor) u32() uint32 {
	if !c.has(4) {
		return 0
	}
	return ne.Uint32(c.val)
}

func (c *cursor) be64() uint64 {
	if !c.has(8) {
		return 0
	}
	return be.Uint64(c.val)
}

func (c *cursor) u64() uint64 {
	if !c.has(8) {
		return 0
	}
	return ne.Uint64(c.val)
}

// str is the attribute as a string that ends at the first NUL.
func (c *cursor) str() string {
	return string(c.cstr())
}

func (c *cursor) cstr() []byte {
	if len(c.val) > maxString {
		c.fail("is a string of %d octets", len(c.val))
		return nil
	}
	for i, x := range c.val {
		if x == 0 {
			return c.val[:i]
		}
	}
	return c.val
}

// raw is the attribute as a string of octets.
func (c *cursor) raw() string {
	if !c.bounded() {
		return ""
	}
	return string(c.val)
}

func (c *cursor) bounded() bool {
	if len(c.val) > maxNest {
		c.fail("has %d octets", len(c.val))
		return false
	}
	return true
}

// addrOf is the attribute as an address of family. Other families than those
// of this package (AF_MCTP, AF_PHONET, which a dump of every family brings)
// have addresses of other lengths, which read as none.
func (c *cursor) addrOf(family uint8) netip.Addr {
	a, ok := addrFrom(c.val)
	switch {
	case ok && ofFamily(a, family):
	case !knownFamily(family):
		return netip.Addr{}
	default:
		c.fail("with %d octets is not an address of family %d", len(c.val), family)
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
	if c.err == nil && !p.IsValid() {
		if !knownFamily(family) {
			return netip.Prefix{}
		}
		c.fail("is not a prefix of family %d with length %d", family, bits)
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
	if !c.has(2) {
		return netip.Addr{}
	}
	switch ne.Uint16(c.val) {
	case unix.AF_INET, unix.AF_INET6:
		a, ok := addrFrom(c.val[2:])
		if !ok {
			c.fail("is an address of %d octets", len(c.val)-2)
		}
		return a
	}
	return netip.Addr{}
}

// hw is the attribute as a link-layer address; one that is longer than any
// that we know reads as none.
func (c *cursor) hw() HWAddr {
	var h HWAddr
	if len(c.val) > len(h.B) {
		return h
	}
	h.Len = uint8(copy(h.B[:], c.val))
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

func align4(n int) int { return (n + 3) &^ 3 }

var zeros [4]byte

// pad extends b to a multiple of four octets past start.
func pad(b []byte, start int) []byte {
	n := len(b) - start
	return append(b, zeros[:align4(n)-n]...)
}

// openAttr begins an attribute; closeAttr writes its length.
func openAttr(b []byte, typ uint16) []byte {
	b = ne.AppendUint16(b, 0)
	return ne.AppendUint16(b, typ)
}

// closeAttr ends the attribute that began at start. One that outgrew the
// 65,535 octets of its length field is left empty: the receiver then refuses
// the message, where a cut one could mean something else.
func closeAttr(b []byte, start int) []byte {
	if len(b)-start > 0xffff {
		b = b[:start+unix.SizeofNlAttr]
	}
	ne.PutUint16(b[start:], uint16(len(b)-start))
	return pad(b, start)
}

func appendU8(b []byte, typ uint16, v uint8) []byte {
	start := len(b)
	return closeAttr(append(openAttr(b, typ), v), start)
}

func appendU16(b []byte, typ uint16, v uint16) []byte {
	start := len(b)
	return closeAttr(ne.AppendUint16(openAttr(b, typ), v), start)
}

func appendBE16(b []byte, typ uint16, v uint16) []byte {
	start := len(b)
	return closeAttr(be.AppendUint16(openAttr(b, typ), v), start)
}

func appendBE32(b []byte, typ uint16, v uint32) []byte {
	start := len(b)
	return closeAttr(be.AppendUint32(openAttr(b, typ), v), start)
}

func appendU32(b []byte, typ uint16, v uint32) []byte {
	start := len(b)
	return closeAttr(ne.AppendUint32(openAttr(b, typ), v), start)
}

// appendU32If appends v unless it is zero, the value that an absent attribute has.
func appendU32If(b []byte, typ uint16, v uint32) []byte {
	if v == 0 {
		return b
	}
	return appendU32(b, typ, v)
}

func appendU8If(b []byte, typ uint16, v uint8) []byte {
	if v == 0 {
		return b
	}
	return appendU8(b, typ, v)
}

func appendU64(b []byte, typ uint16, v uint64) []byte {
	start := len(b)
	return closeAttr(ne.AppendUint64(openAttr(b, typ), v), start)
}

func appendBE64(b []byte, typ uint16, v uint64) []byte {
	start := len(b)
	return closeAttr(be.AppendUint64(openAttr(b, typ), v), start)
}

// appendRaw appends octets as they are.
func appendRaw[T string | []byte](b []byte, typ uint16, v T) []byte {
	start := len(b)
	return closeAttr(append(openAttr(b, typ), v...), start)
}

// appendString appends a string with its NUL.
func appendString(b []byte, typ uint16, s string) []byte {
	start := len(b)
	b = append(openAttr(b, typ), s...)
	return closeAttr(append(b, 0), start)
}

func appendHW(b []byte, typ uint16, h HWAddr) []byte {
	if h.Len == 0 {
		return b
	}
	return appendRaw(b, typ, h.B[:min(int(h.Len), len(h.B))])
}

// appendAddr appends an IP address, nothing for the zero Addr.
func appendAddr(b []byte, typ uint16, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	start := len(b)
	return closeAttr(appendIP(openAttr(b, typ), a), start)
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
	b = ne.AppendUint16(openAttr(b, unix.RTA_VIA), uint16(familyOf(a)))
	return closeAttr(appendIP(b, a), start)
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
