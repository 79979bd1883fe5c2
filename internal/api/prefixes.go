package api

import (
	"net/netip"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/ubus"
)

func prefixTable(p netip.Prefix) ubus.Table {
	return ubus.Table{{Name: "address", Value: p.Addr().String()}, {Name: "mask", Value: int32(p.Bits())}}
}

// withLifetimes adds the seconds that are left of lifetimes that end.
func withLifetimes(t ubus.Table, preferred, valid, now time.Time) ubus.Table {
	if !preferred.IsZero() {
		t = append(t, ubus.Field{Name: "preferred", Value: left(preferred, now)})
	}
	if !valid.IsZero() {
		t = append(t, ubus.Field{Name: "valid", Value: left(valid, now)})
	}
	return t
}

// prefixes are the IPv6 prefixes of an interface, with who has got what of
// each.
func prefixes(c *core.Core, m *iface.Machine, now time.Time) ubus.Array {
	out := ubus.Array{}
	for i := range m.Offer().Prefixes {
		p := m.Offer().Prefixes[i].Prefix
		d, ok := c.Delegation(m.Config.Name, p)
		if !ok {
			continue // over
		}
		assigned := ubus.Table{}
		for _, a := range c.Assigned(p) {
			assigned = append(assigned, ubus.Field{Name: a.Interface, Value: prefixTable(a.Subnet)})
		}
		out = append(out, append(withLifetimes(prefixTable(p), d.PreferredUntil, d.ValidUntil, now),
			ubus.Field{Name: "class", Value: d.Class}, ubus.Field{Name: "assigned", Value: assigned}))
	}
	return out
}

// assignments are the subnets that an interface has got.
func assignments(c *core.Core, m *iface.Machine, now time.Time) ubus.Array {
	out := ubus.Array{}
	seen := map[netip.Prefix]bool{}
	for _, d := range c.Delegations() {
		if seen[d.Prefix] {
			continue // of two interfaces; it is assigned from once
		}
		seen[d.Prefix] = true
		for _, a := range c.Assigned(d.Prefix) {
			if a.Interface != m.Config.Name {
				continue
			}
			local := ubus.Table{}
			for _, s := range c.Subnets(a.Interface) {
				if !s.Lingers && s.Addr.Masked() == a.Subnet {
					local = prefixTable(s.Addr)
				}
			}
			out = append(out, append(withLifetimes(prefixTable(a.Subnet), d.PreferredUntil, d.ValidUntil, now),
				ubus.Field{Name: "local-address", Value: local}))
		}
	}
	return out
}
