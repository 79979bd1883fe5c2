package nlattr

// Align rounds a length up to a multiple of four, as attributes are aligned
// (NLA_ALIGN).
func Align(n int) int { return (n + 3) &^ 3 }

var zeros [4]byte

// Pad extends b to a multiple of four octets past start.
func Pad(b []byte, start int) []byte {
	n := len(b) - start
	return append(b, zeros[:Align(n)-n]...)
}

// Open begins an attribute; Close writes its length.
func Open(b []byte, typ uint16) []byte {
	b = ne.AppendUint16(b, 0)
	return ne.AppendUint16(b, typ)
}

// Close ends the attribute that began at start. One that outgrew the 65,535
// octets of its length field is left empty: the receiver then refuses the
// message, where a cut one could mean something else.
func Close(b []byte, start int) []byte {
	if len(b)-start > 0xffff {
		b = b[:start+sizeofAttr]
	}
	ne.PutUint16(b[start:], uint16(len(b)-start))
	return Pad(b, start)
}

// AppendU8 appends an attribute with a number, like those below.
func AppendU8(b []byte, typ uint16, v uint8) []byte {
	start := len(b)
	return Close(append(Open(b, typ), v), start)
}

// AppendU16 appends a number in the machine's byte order.
func AppendU16(b []byte, typ, v uint16) []byte {
	start := len(b)
	return Close(ne.AppendUint16(Open(b, typ), v), start)
}

// AppendBE16 appends a big-endian number.
func AppendBE16(b []byte, typ, v uint16) []byte {
	start := len(b)
	return Close(be.AppendUint16(Open(b, typ), v), start)
}

// AppendU32 appends a number in the machine's byte order.
func AppendU32(b []byte, typ uint16, v uint32) []byte {
	start := len(b)
	return Close(ne.AppendUint32(Open(b, typ), v), start)
}

// AppendBE32 appends a big-endian number.
func AppendBE32(b []byte, typ uint16, v uint32) []byte {
	start := len(b)
	return Close(be.AppendUint32(Open(b, typ), v), start)
}

// AppendU64 appends a number in the machine's byte order.
func AppendU64(b []byte, typ uint16, v uint64) []byte {
	start := len(b)
	return Close(ne.AppendUint64(Open(b, typ), v), start)
}

// AppendBE64 appends a big-endian number.
func AppendBE64(b []byte, typ uint16, v uint64) []byte {
	start := len(b)
	return Close(be.AppendUint64(Open(b, typ), v), start)
}

// AppendRaw appends octets as they are.
func AppendRaw[T string | []byte](b []byte, typ uint16, v T) []byte {
	start := len(b)
	return Close(append(Open(b, typ), v...), start)
}

// AppendString appends a string with its NUL.
func AppendString(b []byte, typ uint16, s string) []byte {
	start := len(b)
	b = append(Open(b, typ), s...)
	return Close(append(b, 0), start)
}
