package odp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"netbraid/rtnl/nlattr"
)

// Netlink carries integers in the byte order of the machine, but for what the
// flow key takes from packets as they are.
var (
	ne = binary.NativeEndian
	be = binary.BigEndian
)

// errShort says that a message ends before the headers that it must open with.
var errShort = errors.New("message is too short")

// cursor walks the attributes of a message, and knows what is peculiar to these
// families.
type cursor struct{ nlattr.Cursor }

func attributes(b []byte) (c cursor) {
	c.Read(b)
	return c
}

// within takes over the defect of the attributes inside the current one.
func (c *cursor) within(err error) {
	if err != nil && c.Err == nil {
		c.Err = fmt.Errorf("attribute %d: %w", c.Type, err)
	}
}

// u32s is the attribute as an array of 32 bit numbers.
func (c *cursor) u32s() []uint32 {
	if len(c.Val)%4 != 0 {
		c.Fail("has %d octets, which is no array of 32 bit numbers", len(c.Val))
		return nil
	}
	out := make([]uint32, 0, len(c.Val)/4)
	for b := c.Val; len(b) > 0; b = b[4:] {
		out = append(out, ne.Uint32(b))
	}
	return out
}

func appendU32s(b []byte, typ uint16, v []uint32) []byte {
	start := len(b)
	b = nlattr.Open(b, typ)
	for _, x := range v {
		b = ne.AppendUint32(b, x)
	}
	return nlattr.Close(b, start)
}

// appendWhole keeps an attribute that is not understood as it came.
func (c *cursor) appendWhole(s string) string {
	return string(nlattr.AppendRaw([]byte(s), c.Type, c.Val))
}
