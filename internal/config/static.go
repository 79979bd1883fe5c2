package config

import (
	"net/netip"
	"strings"
)

// static reads the addresses of an interface of proto static.
func (p *parser) static(s *section, d *ifaceDraft) {
	st := &Static{}
	d.Static = st
	mask, ok4 := 32, true
	if o := d.netmask; o != nil {
		if mask, ok4 = parseMask(o.Values[0], false); !ok4 {
			p.invalid(s, o, "INVALID_NETMASK", "not a netmask", allowMask4)
			mask = 32
		}
	}
	brd, _ := p.plain4(s, d.broadcast, "INVALID_BROADCAST")
	peer, _ := p.plain4(s, d.ptpaddr, "INVALID_PTPADDR")
	for _, pre := range p.addresses(s, d.ipaddr, false, mask) {
		a := StaticAddr{Prefix: pre, Broadcast: brd, Peer: peer}
		if !brd.IsValid() && !peer.IsValid() {
			a.Broadcast = broadcast(pre)
		}
		st.Addrs = append(st.Addrs, a)
	}
	n4 := len(st.Addrs)
	for _, pre := range p.addresses(s, d.ip6addr, true, 128) {
		st.Addrs = append(st.Addrs, StaticAddr{Prefix: pre, Deprecated: d.deprecated})
	}
	st.Gateway4 = p.gateway(s, d.gateway, d.ipaddr, false, n4 > 0)
	st.Gateway6 = p.gateway(s, d.ip6gw, d.ip6addr, true, len(st.Addrs) > n4)
	p.prefixes(s, d.ip6prefix, st)
}

// plain4 reads an option that is one IPv4 address.
func (p *parser) plain4(s *section, o *option, code string) (netip.Addr, bool) {
	if o == nil {
		return netip.Addr{}, true
	}
	a, ok := parseAddr(o.Values[0], false)
	if !ok {
		p.invalid(s, o, code, "not an IPv4 address", allowPlain4)
	}
	return a, ok
}

// addresses reads the addresses of one family, each once.
func (p *parser) addresses(s *section, o *option, v6 bool, bits int) []netip.Prefix {
	if o == nil {
		return nil
	}
	what, allow := "not an IPv4 address", allowAddr4
	if v6 {
		what, allow = "not an IPv6 address", allowAddr6
	}
	var out []netip.Prefix
	seen := map[netip.Prefix]bool{}
	for i, v := range fields(o) {
		pre, _, ok := parsePrefix(v, v6, bits)
		key := pre
		if v6 {
			key = netip.PrefixFrom(pre.Addr(), 128) // the kernel's key
		}
		switch {
		case !ok:
			p.invalidValue(s, o, i, v, "INVALID_ADDRESS", what, allow)
		case pre.Addr().IsUnspecified():
			// An old way to say "no address"; the kernel takes no notice.
			p.warn(s, o, "no address, ignored", allow)
		case !usable(pre.Addr()):
			p.invalidValue(s, o, i, v, "INVALID_ADDRESS", "not an address that a link can have", allow)
		case seen[key]:
			p.invalidValue(s, o, i, v, "INVALID_ADDRESS", p.contradicts(s)+": the address stands there twice", "each address once")
		default:
			seen[key] = true
			out = append(out, pre)
		}
	}
	return out
}

// gateway reads a default gateway; without an address of its family it is not
// used, as in netifd.
func (p *parser) gateway(s *section, o, addrs *option, v6, have bool) netip.Addr {
	if o == nil {
		return netip.Addr{}
	}
	what, allow := "not an IPv4 address", allowPlain4
	if v6 {
		what, allow = "not an IPv6 address", allowPlain6
	}
	a, ok := parseAddr(o.Values[0], v6)
	switch {
	case !ok:
		p.invalid(s, o, "INVALID_GATEWAY", what, allow)
	case !usable(a):
		p.invalid(s, o, "INVALID_GATEWAY", "not the address of a gateway", allow)
		return netip.Addr{}
	case !have:
		if addrs == nil {
			p.warn(s, o, "not used: the interface has no address of this family", "")
		}
		return netip.Addr{}
	}
	return a
}

// prefixes reads option ip6prefix.
func (p *parser) prefixes(s *section, o *option, st *Static) {
	if o == nil {
		return
	}
	seen := map[netip.Prefix]bool{}
	for i, v := range fields(o) {
		pre, ok := parsePrefix6(v)
		switch {
		case !ok:
			p.invalidValue(s, o, i, v, "INVALID_PREFIX", "not a prefix", allowPrefix6)
		case seen[pre.Prefix]:
			p.invalidValue(s, o, i, v, "INVALID_PREFIX", p.contradicts(s)+": the prefix stands there twice", "each prefix once")
		default:
			if host, _, _ := strings.Cut(v, "/"); host != pre.Prefix.Addr().String() {
				if a, err := netip.ParseAddr(host); err == nil && a != pre.Prefix.Addr() {
					p.warn(s, o, "host bits are set: taken as "+pre.Prefix.String(), "")
				}
			}
			seen[pre.Prefix] = true
			st.Prefixes = append(st.Prefixes, pre)
		}
	}
}
