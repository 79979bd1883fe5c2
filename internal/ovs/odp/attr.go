package odp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Netlink carries integers in the byte order of the machine, but for what the
// flow key takes from packets as they are.
var (
	ne = binary.NativeEndian
	be = binary.BigEndian
)

// nlaTypeMask leaves of an attribute's type the number, without NLA_F_NESTED
// and NLA_F_NET_BYTEORDER.
const nlaTypeMask = 0x3fff

// sizeofAttr is the size of an attribute's header (struct nlattr).
const sizeofAttr = 4

// maxString is more than any string of these families has.
const maxString = 4 << 10

// errShort says that a message ends before the headers that it must open with.
var errShort = errors.New("message is too short")

// cursor walks the attributes of a message (struct nlattr). The first defect
// sticks: a decoder checks err once, at its end.
type cursor struct {
	rest []byte
	val  []byte // payload of the current attribute
	typ  uint16 // its number
	err  error
}

// next moves to the next attribute. Fewer than four octets at the end are
// padding.
func (c *cursor) next() bool {
	if c.err != nil || len(c.rest) < sizeofAttr {
		return false
	}
	n := int(ne.Uint16(c.rest))
	c.typ = ne.Uint16(c.rest[2:]) & nlaTypeMask
	if n < sizeofAttr || n > len(c.rest) {
		c.fail("has a length of %d octets where %d are left", n, len(c.rest))
		return false
	}
	c.val = c.rest[sizeofAttr:n]
	c.rest = c.rest[min(align4(n), len(c.rest)):]
	return true
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("attribute %d %s", c.typ, fmt.Sprintf(format, args...))
	}
}

// within takes over the defect of the attributes inside the current one.
func (c *cursor) within(err error) {
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("attribute %d: %w", c.typ, err)
	}
}

// has reports whether the attribute carries at least n octets; a newer kernel
// may have made a structure longer.
func (c *cursor) has(n int) bool {
	if len(c.val) < n {
		c.fail("has %d octets, needs %d", len(c.val), n)
		return false
	}
	return true
}

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

func (c *cursor) u32() uint32 {
	if !c.has(4) {
		return 0
	}
	return ne.Uint32(c.val)
}

func (c *cursor) u64() uint64 {
	if !c.has(8) {
		return 0
	}
	return ne.Uint64(c.val)
}

func (c *cursor) be64() uint64 {
	if !c.has(8) {
		return 0
	}
	return be.Uint64(c.val)
}

// u32s is the attribute as an array of 32 bit numbers.
func (c *cursor) u32s() []uint32 {
	if len(c.val)%4 != 0 {
		c.fail("has %d octets, which is no array of 32 bit numbers", len(c.val))
		return nil
	}
	out := make([]uint32, 0, len(c.val)/4)
	for b := c.val; len(b) > 0; b = b[4:] {
		out = append(out, ne.Uint32(b))
	}
	return out
}

// str is the attribute as a string that ends at the first NUL.
func (c *cursor) str() string {
	if len(c.val) > maxString {
		c.fail("is a string of %d octets", len(c.val))
		return ""
	}
	for i, x := range c.val {
		if x == 0 {
			return string(c.val[:i])
		}
	}
	return string(c.val)
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
// 65,535 octets of its length field is left empty: the kernel then refuses the
// message, where a cut one could mean something else.
func closeAttr(b []byte, start int) []byte {
	if len(b)-start > 0xffff {
		b = b[:start+sizeofAttr]
	}
	ne.PutUint16(b[start:], uint16(len(b)-start))
	return pad(b, start)
}

func appendU8(b []byte, typ uint16, v uint8) []byte {
	start := len(b)
	return closeAttr(append(openAttr(b, typ), v), start)
}

func appendU16(b []byte, typ, v uint16) []byte {
	start := len(b)
	return closeAttr(ne.AppendUint16(openAttr(b, typ), v), start)
}

func appendBE16(b []byte, typ, v uint16) []byte {
	start := len(b)
	return closeAttr(be.AppendUint16(openAttr(b, typ), v), start)
}

func appendU32(b []byte, typ uint16, v uint32) []byte {
	return ne.AppendUint32(ne.AppendUint16(ne.AppendUint16(b, 8), typ), v)
}

func appendU32s(b []byte, typ uint16, v []uint32) []byte {
	start := len(b)
	b = openAttr(b, typ)
	for _, x := range v {
		b = ne.AppendUint32(b, x)
	}
	return closeAttr(b, start)
}

func appendU64(b []byte, typ uint16, v uint64) []byte {
	return ne.AppendUint64(ne.AppendUint16(ne.AppendUint16(b, 12), typ), v)
}

func appendBE64(b []byte, typ uint16, v uint64) []byte {
	return be.AppendUint64(ne.AppendUint16(ne.AppendUint16(b, 12), typ), v)
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

// appendWhole keeps an attribute that is not understood as it came.
func (c *cursor) appendWhole(s string) string {
	return string(appendRaw([]byte(s), c.typ, c.val))
}
