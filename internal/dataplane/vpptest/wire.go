package vpptest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"fmt"
	"strings"
)

// frameHeader is what stands before a message: 8 octets unused, its length, 4
// unused.
const frameHeader = 16

//go:embed testdata/messages.txt.gz
var messagesGZ []byte

// numbered is a message of the table: its number, and its name with the
// checksum of its layout.
type numbered struct {
	number uint16
	name   string
}

// recordedTable is the table of messages of a VPP 26.10-rc0, in its order.
var recordedTable = func() (list []numbered) {
	z, err := gzip.NewReader(bytes.NewReader(messagesGZ))
	if err != nil {
		panic(err)
	}
	for in := bufio.NewScanner(z); in.Scan(); {
		var n numbered
		if _, err := fmt.Sscan(in.Text(), &n.number, &n.name); err != nil {
			panic(err)
		}
		list = append(list, n)
	}
	return list
}()

// bare is the name without the checksum.
func bare(name string) string { return name[:strings.LastIndexByte(name, '_')] }

// request is a message of a client; reading past its end sticks.
type request struct {
	name   string
	client uint32
	ctx    uint32
	b      []byte // what is left of it
	short  bool
}

func (r *request) take(n int) []byte {
	if n > len(r.b) {
		r.short, r.b = true, nil
		return make([]byte, min(n, 1<<10))
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *request) u8() uint8        { return r.take(1)[0] }
func (r *request) u16() uint16      { return binary.BigEndian.Uint16(r.take(2)) }
func (r *request) u32() uint32      { return binary.BigEndian.Uint32(r.take(4)) }
func (r *request) flag() bool       { return r.u8() != 0 }
func (r *request) mac() (a [6]byte) { copy(a[:], r.take(6)); return a }

func (r *request) str(n int) string {
	b, _, _ := bytes.Cut(r.take(n), []byte{0})
	return string(b)
}

// long reads a string that says its length.
func (r *request) long() string {
	n := r.u32()
	if int64(n) > int64(len(r.b)) {
		r.short, r.b = true, nil
		return ""
	}
	return string(r.take(int(n)))
}

// addr is vl_api_address.
type addr struct {
	af uint8
	b  [16]byte
}

func (r *request) addr() (a addr) {
	a.af = r.u8()
	copy(a.b[:], r.take(16))
	if a.af == 0 {
		clear(a.b[4:])
	}
	return a
}

// prefix is vl_api_prefix.
type prefix struct {
	addr
	len uint8
}

func (r *request) prefix() prefix { return prefix{r.addr(), r.u8()} }

func (p prefix) String() string {
	if p.af == 0 {
		return fmt.Sprintf("%d.%d.%d.%d/%d", p.b[0], p.b[1], p.b[2], p.b[3], p.len)
	}
	return fmt.Sprintf("%x/%d", p.b, p.len)
}

// bits is how many the family has.
func (a addr) bits() uint8 {
	if a.af == 0 {
		return 32
	}
	return 128
}

// masked is the prefix without the bits behind its length.
func (p prefix) masked() prefix {
	n := int(p.len)
	for i := range p.b {
		switch {
		case n >= 8:
			n -= 8
		default:
			p.b[i] &= 0xff << (8 - n)
			n = 0
		}
	}
	return p
}

// contains tells whether the longer prefix lies in the shorter.
func (p prefix) overlaps(o prefix) bool {
	if p.af != o.af {
		return false
	}
	n := min(p.len, o.len)
	p.len, o.len = n, n
	return p.masked() == o.masked()
}

// reply builds a message; begin puts the header there, end its length.
func (c *conn) begin(name string, ctx uint32) { c.beginNumber(c.s.numbers[name], ctx) }

func (c *conn) beginNumber(number uint16, ctx uint32) {
	c.start = len(c.out)
	c.out = append(c.out, header[:]...)
	c.u16(number).u32(ctx)
}

var header [frameHeader]byte

func (c *conn) end() {
	binary.BigEndian.PutUint32(c.out[c.start+8:], uint32(len(c.out)-c.start-frameHeader))
}

func (c *conn) u8(v uint8) *conn   { c.out = append(c.out, v); return c }
func (c *conn) u16(v uint16) *conn { c.out = binary.BigEndian.AppendUint16(c.out, v); return c }
func (c *conn) u32(v uint32) *conn { c.out = binary.BigEndian.AppendUint32(c.out, v); return c }
func (c *conn) raw(b []byte) *conn { c.out = append(c.out, b...); return c }

func (c *conn) flag(v bool) *conn {
	if v {
		return c.u8(1)
	}
	return c.u8(0)
}

func (c *conn) str(s string, n int) *conn {
	s = s[:min(len(s), n)]
	c.out = append(c.out, s...)
	c.out = append(c.out, make([]byte, n-len(s))...)
	return c
}

func (c *conn) prefix(p prefix) *conn { return c.u8(p.af).raw(p.b[:]).u8(p.len) }

// answer is a reply that has nothing but a retval, and numbers behind it.
func (c *conn) answer(r *request, rv int32, more ...uint32) {
	c.begin(r.name+"_reply", r.ctx)
	c.u32(uint32(rv))
	for _, v := range more {
		c.u32(v)
	}
	c.end()
}
