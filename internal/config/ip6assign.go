package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// IfaceIDKind says how the interface identifier (RFC 4291, 2.5.1) of assigned
// addresses is made.
type IfaceIDKind uint8

// The kinds.
const (
	IfaceIDFixed  IfaceIDKind = iota // the low 64 bits are given
	IfaceIDEUI64                     // made of the link-layer address (RFC 4291, appendix A)
	IfaceIDRandom                    // chosen once, then kept
)

// IP6Assign is what an interface asks for of IPv6 prefixes that are delegated.
type IP6Assign struct {
	Length  uint8  // of the subnet; 0: nothing is assigned
	Hint    uint64 // the subnet wanted, in /64s from the start of the prefix
	HintSet bool
	Kind    IfaceIDKind
	IfaceID uint64 // of IfaceIDFixed; 0 for the default, 1
	Weight  uint32
}

const (
	allowHint    = "a number in hex, in /64s from the start of the prefix"
	allowIfaceID = "::x of at most 64 bits, eui64 or random"
)

// ip6Hint takes option ip6hint.
func (p *parser) ip6Hint(t *target, v *value) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(v.s, "0x"), "0X"), 16, 63)
	if err != nil {
		p.invalid(t.sec, v.opt, "", "not a subnet", allowHint)
		return
	}
	t.iface.IP6Assign.Hint, t.iface.IP6Assign.HintSet = n, true
}

// ip6IfaceID takes option ip6ifaceid.
func (p *parser) ip6IfaceID(t *target, v *value) {
	a := &t.iface.IP6Assign
	switch v.s {
	case "eui64":
		a.Kind = IfaceIDEUI64
		return
	case "random":
		a.Kind = IfaceIDRandom
		return
	}
	ip, err := netip.ParseAddr(v.s)
	var id uint64
	if err == nil && ip.Is6() && ip.Zone() == "" {
		b := ip.As16()
		for i, x := range b {
			if i < 8 && x != 0 {
				id = 0
				break
			}
			id = id<<8 | uint64(x)
		}
	}
	if id == 0 {
		p.invalid(t.sec, v.opt, "", "not an interface identifier", allowIfaceID)
		return
	}
	a.Kind, a.IfaceID = IfaceIDFixed, id
}
