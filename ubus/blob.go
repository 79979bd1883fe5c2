package ubus

import "encoding/binary"

// A blob attribute is a 32 bit big endian word (bit 31: extended, bits 30..24:
// id, bits 23..0: length with these 4 bytes but without padding), the payload,
// and zero bytes up to the next multiple of 4.
const (
	attrHeaderLen = 4
	attrExtended  = 1 << 31
	attrIDShift   = 24
	attrIDMask    = 0x7f
	attrLenMask   = 1<<24 - 1
)

// Attr is one decoded blob attribute. Data shares memory with the message it
// came from.
type Attr struct {
	ID       uint8  // 0..127
	Extended bool   // set on blobmsg attributes
	Data     []byte // payload without header and padding
}

// NextAttr takes the first attribute off b. It reports false when b holds no
// further attribute: fewer than 4 bytes, a length below 4, or a padded length
// beyond the end of b, which is where lenient readers stop.
func NextAttr(b []byte) (a Attr, rest []byte, ok bool) {
	if len(b) < attrHeaderLen {
		return Attr{}, nil, false
	}
	w := binary.BigEndian.Uint32(b)
	n := int(w & attrLenMask)
	padded := pad4(n)
	if n < attrHeaderLen || padded > len(b) {
		return Attr{}, nil, false
	}
	return Attr{
		ID:       uint8(w >> attrIDShift & attrIDMask),
		Extended: w&attrExtended != 0,
		Data:     b[attrHeaderLen:n:n],
	}, b[padded:], true
}

// Uint8 returns the value of an INT8 attribute; false when the size is wrong.
func (a Attr) Uint8() (uint8, bool) {
	if len(a.Data) != 1 {
		return 0, false
	}
	return a.Data[0], true
}

// Uint32 returns the value of an INT32 attribute; false when the size is wrong.
func (a Attr) Uint32() (uint32, bool) {
	if len(a.Data) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(a.Data), true
}

// Text returns the value of a STRING attribute up to its first NUL; false when
// the payload does not end in NUL.
func (a Attr) Text() (string, bool) {
	b, ok := cstring(a.Data)
	return string(b), ok
}

// cstring cuts b at its first NUL; false when the last byte is not NUL.
func cstring(b []byte) ([]byte, bool) {
	if len(b) == 0 || b[len(b)-1] != 0 {
		return nil, false
	}
	for i, c := range b {
		if c == 0 {
			return b[:i], true
		}
	}
	return nil, false
}

// AppendAttr appends a plain attribute with the given payload.
func AppendAttr(b []byte, id uint8, payload []byte) []byte {
	b = appendAttrHeader(b, id, len(payload))
	return appendZeros(append(b, payload...), pad4(len(payload))-len(payload))
}

// AppendAttrUint8 appends a plain INT8 attribute.
func AppendAttrUint8(b []byte, id, v uint8) []byte {
	return append(appendAttrHeader(b, id, 1), v, 0, 0, 0)
}

// AppendAttrUint32 appends a plain INT32 attribute.
func AppendAttrUint32(b []byte, id uint8, v uint32) []byte {
	return binary.BigEndian.AppendUint32(appendAttrHeader(b, id, 4), v)
}

// AppendAttrString appends a plain STRING attribute, NUL included.
func AppendAttrString(b []byte, id uint8, s string) []byte {
	b = appendAttrHeader(b, id, len(s)+1)
	return appendZeros(append(b, s...), 1+pad4(len(s)+1)-(len(s)+1))
}

// OpenAttr begins a NESTED attribute; CloseAttr(b, mark) ends it.
func OpenAttr(b []byte, id uint8) (_ []byte, mark int) {
	return appendAttrHeader(b, id, 0), len(b)
}

// CloseAttr ends the attribute that began at mark: its length becomes what has
// been appended since.
func CloseAttr(b []byte, mark int) []byte {
	w := binary.BigEndian.Uint32(b[mark:])
	n := uint32(len(b)-mark) & attrLenMask
	binary.BigEndian.PutUint32(b[mark:], w&^uint32(attrLenMask)|n)
	return b
}

func appendAttrHeader(b []byte, id uint8, payload int) []byte {
	w := uint32(id&attrIDMask)<<attrIDShift | uint32(payload+attrHeaderLen)&attrLenMask
	return binary.BigEndian.AppendUint32(b, w)
}

func pad4(n int) int { return (n + 3) &^ 3 }

func appendZeros(b []byte, n int) []byte {
	for ; n > 0; n-- {
		b = append(b, 0)
	}
	return b
}
