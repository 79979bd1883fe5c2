package config

import (
	"net/netip"
	"strconv"
	"strings"

	"netbraid/rtnl"
)

// What is allowed, in words, for the forms that more than one option has.
const (
	allowBool    = "0, 1, false, true, no, yes, off, on, disabled, enabled"
	allowMAC     = "six hex octets, not all zero, not multicast: 02:00:00:00:00:01"
	allowAddr4   = "a.b.c.d or a.b.c.d/0..32"
	allowAddr6   = "an IPv6 address, or one with /0..128"
	allowMask4   = "a.b.c.d of ones then zeros, or 0..32"
	allowMask6   = "0..128"
	allowPlain4  = "a.b.c.d"
	allowPlain6  = "an IPv6 address"
	allowPrefix6 = "addr/1..64[,preferred[,valid[,excluded=addr/len][,class=name]]], seconds"
	allowName    = "1 to 15 octets without space, '/' and ':', not '.' or '..'"
	allowULA     = "an IPv6 prefix of length 1..64, or auto"
	allowTarget  = "an address, addr/mask, or default"
	allowGateway = "an address of the route's family"
	allowSource  = "an address; route6 also a prefix"
	allowProto   = "0..255, unspec, redirect, kernel, boot, static, a name of rt_protos"
	allowIngress = "from:to, VLAN priority 0..7 to packet priority"
	allowEgress  = "from:to, packet priority to VLAN priority 0..7"
	allowDNS     = "IPv4 and IPv6 addresses"
	allowDomain  = "a domain name of at most 253 octets"
	allowTable   = "0..4294967295, a name of rt_tables, main, default, local, prelocal"
)

// maxName is the longest name that the kernel gives a link (IFNAMSIZ - 1).
const maxName = 15

// parseBool reads the words for yes and no: those of UCI's own library and
// those that OpenWrt's scripts take besides.
func parseBool(s string) (v, ok bool) {
	switch s {
	case "1", "true", "yes", "on", "enabled":
		return true, true
	case "0", "false", "no", "off", "disabled":
		return false, true
	}
	return false, false
}

// parseInt reads a number as strtol(3) with base 0 does: decimal, 0x for hex,
// a leading 0 for octal.
func parseInt(s string) (int64, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || strings.ContainsAny(digits, "_oObB") && !strings.HasPrefix(digits, "0x") && !strings.HasPrefix(digits, "0X") {
		return 0, false
	}
	if strings.Contains(digits, "_") {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 0, 64)
	return n, err == nil
}

// parseMAC reads the address of an Ethernet link that the kernel takes
// (is_valid_ether_addr).
func parseMAC(s string) (rtnl.HWAddr, bool) {
	h, err := rtnl.ParseHWAddr(s)
	if err != nil || h.Len != 6 || h.B[0]&1 != 0 || h == (rtnl.HWAddr{Len: 6}) {
		return rtnl.HWAddr{}, false
	}
	return h, true
}

// validName tells whether the kernel takes s as the name of a link
// (dev_valid_name).
func validName(s string) bool {
	if s == "" || len(s) > maxName || s == "." || s == ".." {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '/', c == ':', c == 0, c == ' ', c >= '\t' && c <= '\r':
			return false
		}
	}
	return true
}

// parseAddr reads an address of one family, without zone.
func parseAddr(s string, v6 bool) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is6() != v6 || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, false
	}
	return a, true
}

// parseMask reads a netmask: a number of bits, or for IPv4 a dotted mask.
func parseMask(s string, v6 bool) (int, bool) {
	if !v6 && strings.Contains(s, ".") {
		a, ok := parseAddr(s, false)
		if !ok {
			return 0, false
		}
		b := a.As4()
		m := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		bits := 0
		for m&(1<<31) != 0 {
			m <<= 1
			bits++
		}
		return bits, m == 0
	}
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= familyBits(v6)
}

func familyBits(v6 bool) int {
	if v6 {
		return 128
	}
	return 32
}

// parsePrefix reads an address with an optional mask; bits is the length
// without one. The host bits stay. masked tells that a mask was there.
func parsePrefix(s string, v6 bool, bits int) (p netip.Prefix, masked, ok bool) {
	host, mask, masked := strings.Cut(s, "/")
	a, ok := parseAddr(host, v6)
	if !ok {
		return netip.Prefix{}, masked, false
	}
	if masked {
		if bits, ok = parseMask(mask, v6); !ok {
			return netip.Prefix{}, true, false
		}
	}
	return netip.PrefixFrom(a, bits), masked, true
}

// usable tells whether an address can be put on a link.
func usable(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// broadcast is the highest address of an IPv4 prefix; invalid where there is
// none: /31, /32 and loopback.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 || p.Addr().IsLoopback() {
		return netip.Addr{}
	}
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// parsePrefix6 reads option ip6prefix.
func parsePrefix6(s string) (Prefix6, bool) {
	out := Prefix6{Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
	part := strings.Split(s, ",")
	p, masked, ok := parsePrefix(part[0], true, 0)
	if !ok || !masked || p.Bits() < 1 || p.Bits() > 64 {
		return out, false
	}
	out.Prefix = p.Masked()
	for i, dst := range []*uint32{&out.Preferred, &out.Valid} {
		if len(part) <= i+1 {
			continue
		}
		n, err := strconv.ParseUint(part[i+1], 10, 32)
		if err != nil {
			return out, false
		}
		*dst = uint32(n)
	}
	if out.Preferred > out.Valid && len(part) > 2 {
		return out, false
	}
	for _, kv := range part[min(3, len(part)):] {
		key, val, ok := strings.Cut(kv, "=")
		if !ok || val == "" {
			return out, false
		}
		switch key {
		case "excluded":
			e, masked, ok := parsePrefix(val, true, 0)
			if !ok || !masked || e.Bits() > 64 || e.Bits() < out.Prefix.Bits() || !out.Prefix.Contains(e.Addr()) {
				return out, false
			}
			out.Excluded = e.Masked()
		case "class":
			out.Class = val
		default:
			return out, false
		}
	}
	return out, true
}

// splitVLAN takes apart a name of the form parent.vid. ok is false when it is
// not of that form; vid may be out of range (then 65535).
func splitVLAN(name string) (parent string, vid uint16, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 || i == len(name)-1 || strings.Trim(name[i+1:], "0123456789") != "" {
		return "", 0, false
	}
	n, err := strconv.ParseUint(name[i+1:], 10, 16)
	if err != nil {
		n = 65535
	}
	return name[:i], uint16(n), true
}

// fields gives the values of an option that takes several: those of a list, or
// the words of a plain option.
func fields(o *option) []string {
	if o.List {
		return o.Values
	}
	var out []string
	for _, v := range o.Values {
		out = append(out, strings.Fields(v)...)
	}
	return out
}
