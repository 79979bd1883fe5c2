package ubus

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The Append functions write one blobmsg attribute each to the end of b and
// return the longer slice. They need no other state, so a server can build a
// reply in one buffer:
//
//	b = ubus.AppendString(b, "device", "eth0")
//	b, m := ubus.OpenArray(b, "ipv4-address")
//	…
//	b = ubus.CloseContainer(b, m)
//
// Names of array elements are empty. A name beyond 65535 bytes is cut there.

func appendHeader(b []byte, t Type, name string, size int) []byte {
	if len(name) > math.MaxUint16 {
		name = name[:math.MaxUint16]
	}
	hdr := pad4(2 + len(name) + 1)
	w := uint32(attrExtended) | uint32(t&attrIDMask)<<attrIDShift | uint32(attrHeaderLen+hdr+size)&attrLenMask
	b = binary.BigEndian.AppendUint32(b, w)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	return appendZeros(b, hdr-2-len(name))
}

// AppendNull appends an UNSPEC value (JSON null).
func AppendNull(b []byte, name string) []byte { return appendHeader(b, TypeUnspec, name, 0) }

// AppendString appends a STRING value.
func AppendString(b []byte, name, v string) []byte {
	b = appendHeader(b, TypeString, name, len(v)+1)
	b = append(b, v...)
	return appendZeros(b, 1+pad4(len(v)+1)-(len(v)+1))
}

// AppendInt64 appends an INT64 value.
func AppendInt64(b []byte, name string, v int64) []byte {
	return binary.BigEndian.AppendUint64(appendHeader(b, TypeInt64, name, 8), uint64(v))
}

// AppendInt32 appends an INT32 value.
func AppendInt32(b []byte, name string, v int32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, TypeInt32, name, 4), uint32(v))
}

// AppendInt16 appends an INT16 value.
func AppendInt16(b []byte, name string, v int16) []byte {
	b = binary.BigEndian.AppendUint16(appendHeader(b, TypeInt16, name, 2), uint16(v))
	return append(b, 0, 0)
}

// AppendInt8 appends an INT8 value, which readers take for a boolean.
func AppendInt8(b []byte, name string, v int8) []byte {
	return append(appendHeader(b, TypeBool, name, 1), byte(v), 0, 0, 0)
}

// AppendBool appends an INT8 value of 1 or 0.
func AppendBool(b []byte, name string, v bool) []byte {
	if v {
		return AppendInt8(b, name, 1)
	}
	return AppendInt8(b, name, 0)
}

// AppendDouble appends a DOUBLE value.
func AppendDouble(b []byte, name string, v float64) []byte {
	return binary.BigEndian.AppendUint64(appendHeader(b, TypeDouble, name, 8), math.Float64bits(v))
}

// AppendInt appends an INT32 value when v fits, else an INT64.
func AppendInt(b []byte, name string, v int) []byte {
	if v >= math.MinInt32 && v <= math.MaxInt32 {
		return AppendInt32(b, name, int32(v))
	}
	return AppendInt64(b, name, int64(v))
}

// OpenTable begins a TABLE value; CloseContainer(b, mark) ends it.
func OpenTable(b []byte, name string) (_ []byte, mark int) {
	return appendHeader(b, TypeTable, name, 0), len(b)
}

// OpenArray begins an ARRAY value; CloseContainer(b, mark) ends it. The
// elements are appended with empty names.
func OpenArray(b []byte, name string) (_ []byte, mark int) {
	return appendHeader(b, TypeArray, name, 0), len(b)
}

// CloseContainer ends the TABLE or ARRAY that began at mark.
func CloseContainer(b []byte, mark int) []byte { return CloseAttr(b, mark) }

// AppendTable appends the fields of t, without a header around them: what a
// DATA attribute holds. A value of a type that Field does not list is written
// as UNSPEC.
func AppendTable(b []byte, t Table) []byte {
	for i := range t {
		b = AppendValue(b, t[i].Name, t[i].Value)
	}
	return b
}

// Encode returns t as blobmsg data. See AppendTable.
func (t Table) Encode() []byte { return AppendTable(nil, t) }

// AppendValue appends one value of a type that Field lists; any other type is
// written as UNSPEC. CheckValue tells beforehand.
func AppendValue(b []byte, name string, v any) []byte {
	switch v := v.(type) {
	case nil:
		return AppendNull(b, name)
	case string:
		return AppendString(b, name, v)
	case bool:
		return AppendBool(b, name, v)
	case int8:
		return AppendInt8(b, name, v)
	case int16:
		return AppendInt16(b, name, v)
	case int32:
		return AppendInt32(b, name, v)
	case int64:
		return AppendInt64(b, name, v)
	case float64:
		return AppendDouble(b, name, v)
	case Table:
		b, m := OpenTable(b, name)
		return CloseContainer(AppendTable(b, v), m)
	case Array:
		return appendArray(b, name, v, appendElement)
	case Malformed:
		return appendMalformed(b, v.Attr)
	}
	return appendConverted(b, name, v)
}

// appendConverted writes the types that only Go callers use.
func appendConverted(b []byte, name string, v any) []byte {
	switch v := v.(type) {
	case int:
		return AppendInt(b, name, v)
	case uint8:
		return AppendInt8(b, name, int8(v))
	case uint16:
		return AppendInt16(b, name, int16(v))
	case uint32:
		return AppendInt32(b, name, int32(v))
	case uint64:
		return AppendInt64(b, name, int64(v))
	case float32:
		return AppendDouble(b, name, float64(v))
	case Status:
		return AppendInt32(b, name, int32(v))
	case []string:
		return appendArray(b, name, v, func(b []byte, s string) []byte { return AppendString(b, "", s) })
	case []any:
		return appendArray(b, name, v, appendElement)
	case []Table:
		return appendArray(b, name, v, func(b []byte, t Table) []byte { return appendElement(b, t) })
	}
	return AppendNull(b, name)
}

func appendElement(b []byte, v any) []byte { return AppendValue(b, "", v) }

func appendArray[T any](b []byte, name string, l []T, add func([]byte, T) []byte) []byte {
	b, m := OpenArray(b, name)
	for _, v := range l {
		b = add(b, v)
	}
	return CloseContainer(b, m)
}

func appendMalformed(b []byte, a Attr) []byte {
	at := len(b)
	b = AppendAttr(b, a.ID, a.Data)
	if a.Extended {
		b[at] |= 0x80
	}
	return b
}

// CheckValue returns an error when v, or something in it, is of a type that
// Field does not list, nested deeper than 128 levels, or has a name of more
// than 65535 bytes.
func CheckValue(v any) error { return checkValue(v, 0) }

func checkValue(v any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("ubus: value nested deeper than %d levels", maxDepth)
	}
	switch v := v.(type) {
	case nil, string, bool, int8, int16, int32, int64, float64, Malformed,
		int, uint8, uint16, uint32, uint64, float32, Status, []string:
		return nil
	case Table:
		for i := range v {
			if len(v[i].Name) > math.MaxUint16 {
				return fmt.Errorf("ubus: field name of %d bytes", len(v[i].Name))
			}
			if err := checkValue(v[i].Value, depth+1); err != nil {
				return err
			}
		}
		return nil
	case Array:
		return checkElements(v, depth)
	case []any:
		return checkElements(v, depth)
	case []Table:
		return checkElements(v, depth)
	}
	return fmt.Errorf("ubus: no blobmsg type for %T", v)
}

func checkElements[T any](l []T, depth int) error {
	for _, e := range l {
		if err := checkValue(e, depth+1); err != nil {
			return err
		}
	}
	return nil
}
