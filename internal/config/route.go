package config

import (
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// routeSection reads a `config route` or `config route6` section.
func (p *parser) routeSection(s *section) {
	if off, ok := parseBool(s.first("disabled")); ok && off {
		return
	}
	r := &Route{Pos: p.at(s.line), Family: unix.AF_INET, Type: unix.RTN_UNICAST, Proto: unix.RTPROT_STATIC}
	if s.typ == "route6" {
		r.Family = unix.AF_INET6
	}
	s.title = strings.TrimSpace(s.typ + " " + s.name)
	s.iface = s.first("interface")
	d := &routeDraft{Route: r}
	before := len(p.problems)
	p.apply(&target{p: p, sec: s, route: d}, func(o *option) { p.unknown(s, o) }, routeOptions)
	v6 := r.Family == unix.AF_INET6
	p.routeTarget(s, d, v6)
	p.routeGateway(s, d, v6)
	p.routeSource(s, d, v6)
	if v6 && r.MTU != 0 && r.MTU < 1280 {
		p.invalid(s, s.find("mtu"), "", "out of range", "1280..65520")
	}
	usable := !HasErrors(p.problems[before:])
	if name := s.iface; name != "" && p.ifaces[name] == nil {
		o := s.find("interface")
		if p.disabled[name] {
			p.warn(s, o, "interface "+name+" is disabled: the route is left out", "")
		} else {
			p.invalid(s, o, "", "there is no interface "+name, "the name of an interface section")
		}
		usable = false
	}
	if usable {
		p.cfg.Routes = append(p.cfg.Routes, r)
	}
}

// routeTarget reads option target with its mask, and clears the host bits.
func (p *parser) routeTarget(s *section, d *routeDraft, v6 bool) {
	zero := netip.IPv4Unspecified()
	if v6 {
		zero = netip.IPv6Unspecified()
	}
	bits, maskOK := familyBits(v6), true
	allowMask := allowMask4
	if v6 {
		allowMask = allowMask6
	}
	if o := d.netmask; o != nil {
		if bits, maskOK = parseMask(o.Values[0], v6); !maskOK {
			p.invalid(s, o, "", "not a netmask", allowMask)
		}
	}
	o := d.target
	allow := allowTarget
	switch {
	case o == nil:
		if s.find("target") == nil {
			p.wrong(s, "a route needs option target", allow)
		}
		return
	case o.Values[0] == "default":
		d.Target = netip.PrefixFrom(zero, 0)
		return
	}
	pre, masked, ok := parsePrefix(o.Values[0], v6, bits)
	if !ok {
		p.invalid(s, o, "", "not the destination of a route", allow)
		return
	}
	if pre.Addr().IsUnspecified() && !masked && d.netmask == nil {
		pre = netip.PrefixFrom(zero, 0)
		p.warn(s, o, "has no mask: taken as "+pre.String(), "")
	}
	d.Target = pre.Masked()
	if d.Target.Addr() != pre.Addr() && maskOK {
		p.warn(s, o, "host bits are set: taken as "+d.Target.String(), "")
	}
}

// routeGateway reads option gateway. Routes to nowhere have none.
func (p *parser) routeGateway(s *section, d *routeDraft, v6 bool) {
	o := d.gateway
	if o == nil {
		return
	}
	a, ok := parseAddr(o.Values[0], v6)
	switch {
	case !ok, !a.IsUnspecified() && !usable(a):
		p.invalid(s, o, "INVALID_GATEWAY", "not the address of a gateway", allowGateway)
	case a.IsUnspecified():
		// 0.0.0.0 is an old way to say "no gateway".
	case d.Type >= unix.RTN_BLACKHOLE && d.Type <= unix.RTN_THROW:
		p.invalid(s, o, "INVALID_GATEWAY", "a route of this type has no gateway", "no option gateway")
	default:
		d.Gateway = a
	}
}

// routeSource reads option source.
func (p *parser) routeSource(s *section, d *routeDraft, v6 bool) {
	o := d.source
	if o == nil {
		return
	}
	pre, _, ok := parsePrefix(o.Values[0], v6, familyBits(v6))
	if !ok || !v6 && (pre.Bits() != 32 || !usable(pre.Addr())) {
		p.invalid(s, o, "", "not a source of a route", allowSource)
		return
	}
	d.Source = pre.Masked()
}

// routeType takes the name or number of a route's type.
func (p *parser) routeType(t *target, v *value) {
	n, ok := parseInt(v.s)
	for _, c := range routeTypes {
		if c.word == v.s {
			n, ok = c.n, true
		}
	}
	if !ok || n < 0 || n > 255 {
		p.invalid(t.sec, v.opt, "", "not a type of route", routeTypeWords())
		return
	}
	t.route.Type, t.route.TypeSet = uint8(n), true
}

// routeProto takes the name or number of a route's protocol.
func (p *parser) routeProto(t *target, v *value) {
	n, ok := p.opts.routeProto(v.s)
	if !ok {
		p.invalid(t.sec, v.opt, "", "not a protocol of routes", allowProto)
		return
	}
	t.route.Proto, t.route.ProtoSet = n, true
}
