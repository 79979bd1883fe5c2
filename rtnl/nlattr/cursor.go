package nlattr

import (
	"encoding/binary"
	"fmt"
)

// Netlink carries integers in the byte order of the machine, except where an
// attribute is documented as big endian.
var (
	ne = binary.NativeEndian
	be = binary.BigEndian
)

const (
	sizeofAttr = 4      // of an attribute's header (struct nlattr)
	typeMask   = 0x3fff // NLA_TYPE_MASK
	maxString  = 4 << 10
)

// Cursor walks the attributes of a message. The first defect sticks: Next
// returns false from then on and Err says what was wrong, so that a decoder
// checks once at its end.
type Cursor struct {
	rest []byte
	Val  []byte // payload of the current attribute
	Type uint16 // its type without NLA_F_NESTED and NLA_F_NET_BYTEORDER
	Err  error  // the first defect
}

// Read puts a new cursor before the first attribute of b.
func (c *Cursor) Read(b []byte) { c.rest = b }

// Next moves to the next attribute. Fewer than four octets at the end are
// padding, as in the kernel's nla_ok.
func (c *Cursor) Next() bool {
	if c.Err != nil || len(c.rest) < sizeofAttr {
		return false
	}
	n := int(ne.Uint16(c.rest))
	c.Type = ne.Uint16(c.rest[2:]) & typeMask
	if n < sizeofAttr || n > len(c.rest) {
		c.Fail("has a length of %d octets where %d are left", n, len(c.rest))
		return false
	}
	c.Val = c.rest[sizeofAttr:n]
	c.rest = c.rest[min(Align(n), len(c.rest)):]
	return true
}

// Fail makes a defect of the current attribute the first one, unless there is
// one already. The text goes after "attribute N".
func (c *Cursor) Fail(format string, args ...any) {
	if c.Err == nil {
		c.Err = fmt.Errorf("attribute %d %s", c.Type, fmt.Sprintf(format, args...))
	}
}

// Has reports whether the current attribute carries at least n octets; fewer
// are a defect. More are welcome: a newer kernel may have made a structure
// longer.
func (c *Cursor) Has(n int) bool {
	if len(c.Val) < n {
		c.short(n)
		return false
	}
	return true
}

func (c *Cursor) short(n int) { c.Fail("has %d octets, needs %d", len(c.Val), n) }

// U8 is the attribute as a number, like those below; 0 when it is too short,
// which is a defect.
func (c *Cursor) U8() uint8 {
	if !c.Has(1) {
		return 0
	}
	return c.Val[0]
}

// U16 is a number in the machine's byte order.
func (c *Cursor) U16() uint16 {
	if !c.Has(2) {
		return 0
	}
	return ne.Uint16(c.Val)
}

// BE16 is a big-endian number.
func (c *Cursor) BE16() uint16 {
	if !c.Has(2) {
		return 0
	}
	return be.Uint16(c.Val)
}

// U32 is a number in the machine's byte order.
func (c *Cursor) U32() uint32 {
	if !c.Has(4) {
		return 0
	}
	return ne.Uint32(c.Val)
}

// BE32 is a big-endian number.
func (c *Cursor) BE32() uint32 {
	if !c.Has(4) {
		return 0
	}
	return be.Uint32(c.Val)
}

// U64 is a number in the machine's byte order.
func (c *Cursor) U64() uint64 {
	if !c.Has(8) {
		return 0
	}
	return ne.Uint64(c.Val)
}

// BE64 is a big-endian number.
func (c *Cursor) BE64() uint64 {
	if !c.Has(8) {
		return 0
	}
	return be.Uint64(c.Val)
}

// Str is the attribute as a string that ends at the first NUL; one of more than
// 4,096 octets is a defect.
func (c *Cursor) Str() string { return string(c.CStr()) }

// CStr is Str in the memory of the message.
func (c *Cursor) CStr() []byte {
	if len(c.Val) > maxString {
		c.Fail("is a string of %d octets", len(c.Val))
		return nil
	}
	for i, x := range c.Val {
		if x == 0 {
			return c.Val[:i]
		}
	}
	return c.Val
}
