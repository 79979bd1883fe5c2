package nlattr

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// value reads an attribute in one of the ways.
type value struct {
	name  string
	bytes int // that it needs; -1 for any
	write func(b []byte, typ uint16) []byte
	read  func(c *Cursor) any
	want  any
}

var values = []value{
	{"u8", 1, func(b []byte, typ uint16) []byte { return AppendU8(b, typ, 0xfe) }, func(c *Cursor) any { return c.U8() }, uint8(0xfe)},
	{"u16", 2, func(b []byte, typ uint16) []byte { return AppendU16(b, typ, 0xfedc) }, func(c *Cursor) any { return c.U16() }, uint16(0xfedc)},
	{"be16", 2, func(b []byte, typ uint16) []byte { return AppendBE16(b, typ, 0xfedc) }, func(c *Cursor) any { return c.BE16() }, uint16(0xfedc)},
	{"u32", 4, func(b []byte, typ uint16) []byte { return AppendU32(b, typ, 0xfedcba98) }, func(c *Cursor) any { return c.U32() }, uint32(0xfedcba98)},
	{"be32", 4, func(b []byte, typ uint16) []byte { return AppendBE32(b, typ, 0xfedcba98) }, func(c *Cursor) any { return c.BE32() }, uint32(0xfedcba98)},
	{"u64", 8, func(b []byte, typ uint16) []byte { return AppendU64(b, typ, 0xfedcba9876543210) }, func(c *Cursor) any { return c.U64() }, uint64(0xfedcba9876543210)},
	{"be64", 8, func(b []byte, typ uint16) []byte { return AppendBE64(b, typ, 0xfedcba9876543210) }, func(c *Cursor) any { return c.BE64() }, uint64(0xfedcba9876543210)},
	{"string", -1, func(b []byte, typ uint16) []byte { return AppendString(b, typ, "eth0") }, func(c *Cursor) any { return c.Str() }, "eth0"},
	{"raw", -1, func(b []byte, typ uint16) []byte { return AppendRaw(b, typ, "\x01\x02\x03") }, func(c *Cursor) any { return string(c.Val) }, "\x01\x02\x03"},
}

func at(b []byte) *Cursor {
	c := &Cursor{}
	c.Read(b)
	return c
}

// TestBothDirections: what was written is read, one after the other in a
// message, whatever bits its type has beside the number.
func TestBothDirections(t *testing.T) {
	var b []byte
	for i, v := range values {
		b = v.write(b, uint16(i)|0x8000)
		if len(b)%4 != 0 {
			t.Errorf("%s leaves %d octets", v.name, len(b))
		}
	}
	c, n := at(b), 0
	for ; c.Next(); n++ {
		if v := values[n]; int(c.Type) != n || v.read(c) != v.want {
			t.Errorf("%s: attribute %d is %v, want %v", v.name, c.Type, v.read(c), v.want)
		}
	}
	if c.Err != nil || n != len(values) {
		t.Errorf("%d of %d attributes: %v", n, len(values), c.Err)
	}
}

// TestBytes is what the kernel's header says, written by hand.
func TestBytes(t *testing.T) {
	var size, typ, num [4]byte
	ne.PutUint16(size[:], 7)
	ne.PutUint16(typ[:], 0x1234)
	ne.PutUint16(num[:], 0xabcd)
	want := append(append(append([]byte{}, size[:2]...), typ[:2]...), 'a', 'b', 0, 0)
	if got := AppendString(nil, 0x1234, "ab"); !bytes.Equal(got, want) {
		t.Errorf("a string is % x, want % x", got, want)
	}
	ne.PutUint16(size[:], 6)
	want = append(append(append([]byte{}, size[:2]...), typ[:2]...), num[0], num[1], 0, 0)
	if got := AppendU16(nil, 0x1234, 0xabcd); !bytes.Equal(got, want) {
		t.Errorf("a number is % x, want % x", got, want)
	}
	if got := AppendBE16(nil, 0x1234, 0xabcd); got[4] != 0xab || got[5] != 0xcd {
		t.Errorf("a big-endian number is % x", got)
	}
}

// TestDefects: the first one sticks, says which attribute it is in, and nothing
// is read after it.
func TestDefects(t *testing.T) {
	for _, v := range values {
		for n := range max(v.bytes, 0) {
			c := at(AppendRaw(AppendRaw(nil, 9, make([]byte, n)), 10, "more"))
			c.Next()
			if got := fmt.Sprint(v.read(c)); got != "0" {
				t.Errorf("%s of %d octets is %s", v.name, n, got)
			}
			if want := fmt.Sprintf("attribute 9 has %d octets, needs %d", n, v.bytes); c.Err == nil || c.Err.Error() != want || c.Next() {
				t.Errorf("%s of %d octets: %v, want %s, and no attribute after it", v.name, n, c.Err, want)
			}
			if c.Fail("is the second"); !strings.HasPrefix(c.Err.Error(), "attribute 9 has") {
				t.Errorf("the second defect counts: %v", c.Err)
			}
		}
	}
	whole := AppendU32(nil, 5, 1)
	for size, want := range map[uint16]string{
		0: "attribute 5 has a length of 0 octets where 8 are left", 3: "attribute 5 has a length of 3 octets where 8 are left",
		9: "attribute 5 has a length of 9 octets where 8 are left", 4: "", 8: "",
	} {
		b := bytes.Clone(whole)
		ne.PutUint16(b, size)
		c := at(b)
		if got := c.Next(); got != (want == "") || !got && c.Err.Error() != want {
			t.Errorf("length %d: %v, %v, want %q", size, got, c.Err, want)
		}
	}
	if c := at([]byte{1, 2, 3}); c.Next() || c.Err != nil {
		t.Errorf("padding at the end: %v", c.Err)
	}
	c := at(AppendRaw(nil, 1, make([]byte, maxString+1)))
	if c.Next(); c.Str() != "" || c.Err == nil {
		t.Errorf("a string of %d octets is taken", maxString+1)
	}
}

// TestTooLong: an attribute that its length field cannot hold is left empty.
func TestTooLong(t *testing.T) {
	for n, want := range map[int]int{0xffff - sizeofAttr: 0xffff - sizeofAttr, 0xffff - sizeofAttr + 1: 0} {
		c := at(AppendRaw(nil, 7, make([]byte, n)))
		if !c.Next() || c.Type != 7 || len(c.Val) != want || c.Next() || c.Err != nil {
			t.Errorf("%d octets: %d are left, %v", n, len(c.Val), c.Err)
		}
	}
}

// FuzzCursor: no message makes the cursor panic, stand still or read past its
// end; what it has read is read again when it is written.
func FuzzCursor(f *testing.F) {
	var all []byte
	for i, v := range values {
		all = v.write(all, uint16(i))
	}
	f.Add(all)
	f.Add(all[:len(all)-3])
	f.Add([]byte{3, 0, 1, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		type attr struct {
			typ uint16
			val string
		}
		var list []attr
		total := 0
		c := at(b)
		for c.Next() {
			list = append(list, attr{c.Type, string(c.Val)})
			if total += sizeofAttr + len(c.Val); total > len(b) {
				t.Fatalf("%d octets of %d", total, len(b))
			}
			for _, v := range values {
				one := *c
				if _ = v.read(&one); (one.Err != nil) != (len(c.Val) < v.bytes || v.name == "string" && len(c.Val) > maxString) {
					t.Fatalf("%s of %d octets: %v", v.name, len(c.Val), one.Err)
				}
			}
		}
		var again []byte
		for _, a := range list {
			again = AppendRaw(again, a.typ, a.val)
		}
		c = at(again)
		for _, a := range list {
			if !c.Next() || c.Type != a.typ || string(c.Val) != a.val {
				t.Fatalf("attribute %d %x was written as %d %x (%v)", a.typ, a.val, c.Type, c.Val, c.Err)
			}
		}
		if c.Next() || c.Err != nil {
			t.Fatalf("more than %d attributes, or a defect: %v", len(list), c.Err)
		}
	})
}
