package vpp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
)

var (
	errShort = errors.New("message is shorter than its fields")
	errValue = errors.New("message has a value that cannot be")
)

// decoder reads the fields of a message; its error sticks.
type decoder struct {
	b   []byte
	err error
}

// take returns the next n octets; nil when there are less.
func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b) {
		if d.err == nil {
			d.err = errShort
		}
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) skip(n int) { d.take(n) }

func (d *decoder) u8() uint8 {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if p := d.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// str reads a string of fixed length, padded with zeros.
func (d *decoder) str(n int) string {
	b, _, _ := bytes.Cut(d.take(n), []byte{0})
	return string(b)
}

// mac6 reads an Ethernet address.
func (d *decoder) mac6() (a [6]byte) {
	copy(a[:], d.take(6))
	return a
}

// addr reads vl_api_address: a family and 16 octets, of which IPv4 uses four.
func (d *decoder) addr() netip.Addr {
	af := d.u8()
	b := d.take(16)
	switch {
	case b == nil:
	case af == afIPv4:
		return netip.AddrFrom4([4]byte(b[:4]))
	case af == afIPv6:
		return netip.AddrFrom16([16]byte(b))
	default:
		d.err = errValue
	}
	return netip.Addr{}
}

// prefix reads vl_api_prefix, host bits and all.
func (d *decoder) prefix() netip.Prefix {
	a := d.addr()
	bits := int(d.u8())
	if d.err == nil && bits > a.BitLen() {
		d.err = errValue
	}
	if d.err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits)
}

// Families in an address (vl_api_address_family).
const (
	afIPv4 = 0
	afIPv6 = 1
)

func putAddr(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		v := a.As4()
		return append(append(append(b, afIPv4), v[:]...), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	v := a.As16()
	return append(append(b, afIPv6), v[:]...)
}

func putPrefix(b []byte, p netip.Prefix) []byte {
	return append(putAddr(b, p.Addr()), byte(p.Bits()))
}

func putString(b []byte, s string, n int) []byte {
	b = append(b, s[:min(len(s), n)]...)
	for i := len(s); i < n; i++ {
		b = append(b, 0)
	}
	return b
}

func putBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func put32(b []byte, v ...uint32) []byte {
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

func put16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
