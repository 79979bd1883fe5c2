package ubus

import (
	"encoding/binary"
	"math"
)

// Type is a blobmsg value type.
type Type uint8

// The blobmsg types (libubox blobmsg.h, enum blobmsg_type).
const (
	TypeUnspec Type = 0 // JSON null; in a signature: any type
	TypeArray  Type = 1
	TypeTable  Type = 2
	TypeString Type = 3
	TypeInt64  Type = 4
	TypeInt32  Type = 5
	TypeInt16  Type = 6
	TypeBool   Type = 7 // INT8
	TypeDouble Type = 8
)

// Field is one named value of a Table.
//
// The dynamic type of Value decides the type on the wire. Decoding yields
// exactly these: nil (UNSPEC), Array, Table, string, int64, int32, int16,
// bool (INT8 of 0 or 1), int8 (INT8 of any other value), float64 and
// Malformed. Encoding also takes int (INT32 if it fits, else INT64), uint8,
// uint16, uint32 and uint64 (INT8 to INT64 of the same size), float32,
// []string, []any and []Table (ARRAY) and Status (INT32).
type Field struct {
	Name  string // at most 65535 bytes
	Value any
}

// Table is an ordered list of named values: the content of a message, or a
// value of type TABLE. Order and duplicate names are kept as they came.
type Table []Field

// Array is a value of type ARRAY; the elements are as Field.Value.
type Array []any

// Malformed is a blobmsg attribute that does not follow the format (no header,
// an unknown type, a wrong size, a string without NUL). It is kept so that a
// message can be passed on unchanged; every accessor treats it as absent.
type Malformed struct {
	Attr Attr
}

// maxDepth bounds the nesting of decoded values. Containers below it are kept
// as Malformed.
const maxDepth = 128

// DecodeTable decodes blobmsg data (the payload of a DATA or SIGNATURE
// attribute). It never fails: a malformed attribute becomes a Malformed value,
// and a length that runs past the end stops the decoding there, as it does in
// libubox. Strings and Malformed values do not share memory with b.
func DecodeTable(b []byte) Table {
	t, _ := decodeTable(b, 0)
	return t
}

// decodeTable also says whether all of b was consumed.
func decodeTable(b []byte, depth int) (Table, bool) {
	t := make(Table, 0, countAttrs(b))
	whole := true
	for len(b) > 0 {
		a, rest, ok := NextAttr(b)
		if !ok {
			return t, false
		}
		name, v, ok := decodeElement(a, depth)
		whole = whole && ok
		t = append(t, Field{Name: name, Value: v})
		b = rest
	}
	return t, whole
}

func decodeArray(b []byte, depth int) (Array, bool) {
	l := make(Array, 0, countAttrs(b))
	whole := true
	for len(b) > 0 {
		a, rest, ok := NextAttr(b)
		if !ok {
			return l, false
		}
		_, v, ok := decodeElement(a, depth)
		whole = whole && ok
		l = append(l, v)
		b = rest
	}
	return l, whole
}

func countAttrs(b []byte) (n int) {
	for {
		_, rest, ok := NextAttr(b)
		if !ok {
			return n
		}
		n++
		b = rest
	}
}

// decodeElement decodes one blobmsg attribute. ok is false when something in
// it had to be left out.
func decodeElement(a Attr, depth int) (name string, v any, ok bool) {
	nameBytes, val, good := splitElement(a)
	if !good {
		return "", malformed(a), true
	}
	name = string(nameBytes)
	switch Type(a.ID) {
	case TypeUnspec:
		if len(val) == 0 {
			return name, nil, true
		}
	case TypeArray:
		if depth < maxDepth {
			v, ok = decodeArray(val, depth+1)
			return name, v, ok
		}
	case TypeTable:
		if depth < maxDepth {
			v, ok = decodeTable(val, depth+1)
			return name, v, ok
		}
	default:
		if v, ok = decodeScalar(Type(a.ID), val); ok {
			return name, v, true
		}
	}
	return "", malformed(a), true
}

func decodeScalar(t Type, val []byte) (any, bool) {
	switch {
	case t == TypeString && len(val) > 0 && val[len(val)-1] == 0:
		return string(val[:len(val)-1]), true
	case t == TypeInt64 && len(val) == 8:
		return int64(binary.BigEndian.Uint64(val)), true
	case t == TypeInt32 && len(val) == 4:
		return int32(binary.BigEndian.Uint32(val)), true
	case t == TypeInt16 && len(val) == 2:
		return int16(binary.BigEndian.Uint16(val)), true
	case t == TypeBool && len(val) == 1:
		if val[0] <= 1 {
			return val[0] == 1, true
		}
		return int8(val[0]), true
	case t == TypeDouble && len(val) == 8:
		return math.Float64frombits(binary.BigEndian.Uint64(val)), true
	}
	return nil, false
}

// splitElement takes the blobmsg header off an attribute.
func splitElement(a Attr) (name, val []byte, ok bool) {
	d := a.Data
	if !a.Extended || len(d) < 4 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(d))
	hdr := pad4(2 + n + 1)
	if hdr > len(d) || d[2+n] != 0 {
		return nil, nil, false
	}
	return d[2 : 2+n], d[hdr:], true
}

func malformed(a Attr) Malformed {
	a.Data = append([]byte(nil), a.Data...)
	return Malformed{a}
}

// Get returns the first value with that name.
func (t Table) Get(name string) (any, bool) {
	for i := range t {
		if t[i].Name == name {
			if _, bad := t[i].Value.(Malformed); !bad {
				return t[i].Value, true
			}
		}
	}
	return nil, false
}

// Has says whether a value with that name is there, of whatever type.
func (t Table) Has(name string) bool {
	_, ok := t.Get(name)
	return ok
}

// get returns the first value with that name and type; a value of another type
// reads as absent, as with libubox's blobmsg_parse.
func get[T any](t Table, name string) (v T, ok bool) {
	for i := range t {
		if t[i].Name == name {
			if v, ok = t[i].Value.(T); ok {
				return v, true
			}
		}
	}
	return v, false
}

// String returns the STRING with that name, up to its first NUL.
func (t Table) String(name string) (string, bool) {
	s, ok := get[string](t, name)
	return cutNUL(s), ok
}

// Int32 returns the INT32 with that name.
func (t Table) Int32(name string) (int32, bool) { return get[int32](t, name) }

// Uint32 returns the INT32 with that name, as unsigned.
func (t Table) Uint32(name string) (uint32, bool) {
	v, ok := get[int32](t, name)
	return uint32(v), ok
}

// Int returns the integer with that name, INT16, INT32 or INT64 (also the
// unsized int of tables that were made, not decoded).
func (t Table) Int(name string) (int64, bool) {
	for i := range t {
		if t[i].Name != name {
			continue
		}
		switch v := t[i].Value.(type) {
		case int16:
			return int64(v), true
		case int32:
			return int64(v), true
		case int64:
			return v, true
		case int:
			return int64(v), true
		}
	}
	return 0, false
}

// Bool returns the INT8 with that name; any value but 0 is true.
func (t Table) Bool(name string) (v, ok bool) {
	for i := range t {
		if t[i].Name != name {
			continue
		}
		switch b := t[i].Value.(type) {
		case bool:
			return b, true
		case int8:
			return b != 0, true
		}
	}
	return false, false
}

// Table returns the TABLE with that name.
func (t Table) Table(name string) (Table, bool) { return get[Table](t, name) }

// Array returns the ARRAY with that name.
func (t Table) Array(name string) (Array, bool) { return get[Array](t, name) }

// Strings returns the elements of type STRING.
func (l Array) Strings() []string {
	out := make([]string, 0, len(l))
	for _, v := range l {
		if s, ok := v.(string); ok {
			out = append(out, cutNUL(s))
		}
	}
	return out
}

func cutNUL(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			return s[:i]
		}
	}
	return s
}
