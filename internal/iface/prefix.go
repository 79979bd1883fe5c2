package iface

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// Delegation is an IPv6 prefix that subnets are assigned from.
type Delegation struct {
	Prefix   netip.Prefix
	Excluded netip.Prefix // not to be assigned (RFC 6603); invalid for none
	Class    string
	Source   string // the interface that has it; empty for the site's own (ula_prefix)
	Delegate bool   // subnets may be assigned from it
	// PreferredUntil and ValidUntil are when its lifetimes end; zero: never.
	PreferredUntil, ValidUntil time.Time
}

// ClassLocal is the class of the site's own prefix.
const ClassLocal = "local"

// LingerMax is how long an address of a prefix that has gone stays, deprecated,
// so that hosts learn of its end (RFC 7084, L-14).
const LingerMax = 2 * time.Hour

// Delegations gives the prefixes that the interface has. since tells when a
// prefix was first seen that was configured with a lifetime in seconds.
func (m *Machine) Delegations(since func(netip.Prefix) time.Time) (out []Delegation) {
	if m.offer == nil || m.state != Up && m.state != SettingUp {
		return nil
	}
	for i := range m.offer.Prefixes {
		p := &m.offer.Prefixes[i]
		d := Delegation{Prefix: p.Prefix, Excluded: p.Excluded, Class: m.prefixClass(p), Source: m.Config.Name,
			Delegate: m.Config.Delegate, PreferredUntil: p.PreferredUntil, ValidUntil: p.ValidUntil}
		if d.PreferredUntil.IsZero() && p.Preferred != rtnl.LifetimeForever {
			d.PreferredUntil = since(p.Prefix).Add(time.Duration(p.Preferred) * time.Second)
		}
		if d.ValidUntil.IsZero() && p.Valid != rtnl.LifetimeForever {
			d.ValidUntil = since(p.Prefix).Add(time.Duration(p.Valid) * time.Second)
		}
		out = append(out, d)
	}
	return out
}

func (m *Machine) prefixClass(p *config.Prefix6) string {
	if p.Class != "" {
		return p.Class
	}
	return m.Config.Name
}

// PrefixRequest is what the interface asks for; false for nothing.
func (m *Machine) PrefixRequest() (PrefixRequest, bool) {
	a := &m.Config.IP6Assign
	return PrefixRequest{Interface: m.Config.Name, Length: a.Length, Hint: a.Hint, HintSet: a.HintSet,
		Classes: m.Config.IP6Class, Weight: a.Weight}, a.Length > 0
}

// HasPrefixes tells whether the interface has prefixes to share, or wants of
// those of others.
func (m *Machine) HasPrefixes() bool {
	return m.Config.IP6Assign.Length > 0 || m.offer != nil && len(m.offer.Prefixes) > 0
}

// InterfaceID is the low half of the addresses that the interface takes from
// its subnets; hw is the link-layer address of its layer 3 device, random what
// was chosen for it once.
func (m *Machine) InterfaceID(hw rtnl.HWAddr, random uint64) uint64 {
	a := &m.Config.IP6Assign
	switch {
	case a.Kind == config.IfaceIDEUI64 && hw.Len == 6:
		b := hw.B
		return uint64(b[0]^2)<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | 0xfffe<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
	case a.Kind == config.IfaceIDRandom && random != 0:
		return random
	case a.Kind == config.IfaceIDFixed && a.IfaceID != 0:
		return a.IfaceID
	}
	return 1
}

// SubnetAddr is an address that an interface takes from a subnet it got.
type SubnetAddr struct {
	Addr   netip.Prefix // with the length of the subnet
	Source string       // as of Delegation
	Table  uint32       // routing table of the source's IPv6 routes; 0: main
	// PreferredUntil and ValidUntil are when its lifetimes end; zero: never.
	PreferredUntil, ValidUntil time.Time
	// Lingers: the prefix has gone, or was given to somebody else.
	Lingers bool
	// Taken: somebody else has it now, and with it the route.
	Taken bool
}

// SubnetOf makes the address of an interface in a subnet.
func SubnetOf(subnet netip.Prefix, id uint64) netip.Prefix {
	return netip.PrefixFrom(join(high(subnet.Masked().Addr()), id), subnet.Bits())
}

// The priorities of the policy rules for what comes from a subnet (netifd's).
const (
	rulePriorityPrefix = 20000
	rulePriorityReject = 4200000000
)

// AddSubnets adds to what the interface wants on the link of that ifindex the
// addresses of its subnets. An address that is there for another reason counts
// as that.
func (m *Machine) AddSubnets(o *plan.Objects, ifindex uint32, subnets []SubnetAddr) {
	have := map[netip.Addr]bool{}
	for i := range o.Addrs {
		have[o.Addrs[i].Local] = true
	}
	for i := range subnets {
		s := &subnets[i]
		if have[s.Addr.Addr()] {
			continue
		}
		have[s.Addr.Addr()] = true
		m.addSubnet(o, ifindex, s)
	}
}

func (m *Machine) addSubnet(o *plan.Objects, ifindex uint32, s *SubnetAddr) {
	ka := rtnl.Addr{Index: ifindex, Family: unix.AF_INET6, PrefixLen: uint8(s.Addr.Bits()), Local: s.Addr.Addr(),
		Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
	if !s.PreferredUntil.IsZero() || !s.ValidUntil.IsZero() {
		lifetime(o, &ka, &config.StaticAddr{PreferredUntil: s.PreferredUntil, ValidUntil: s.ValidUntil})
	}
	ka.Flags = unix.IFA_F_NOPREFIXROUTE
	o.Addrs = append(o.Addrs, ka)
	// The route stays as long as the address, so that hosts which do not know
	// of the end yet are reached. (netifd lets the kernel make one, which
	// outlives the return of the prefix.)
	if s.Taken {
		return
	}
	onLink, _ := s.Addr.Addr().Prefix(max(s.Addr.Bits(), 64))
	r := subnetRoute(&config.StaticAddr{Prefix: onLink}, ifindex, m.Config.Metric, m.Config.IP6Table)
	o.Routes = append(o.Routes, r)
	if s.Source == "" || s.Lingers {
		return
	}
	rule := rtnl.Rule{Family: unix.AF_INET6, IifName: m.L3Device(), SuppressPL: -1, SuppressIG: -1}
	reject, way := rule, rule
	// What comes from the subnet and has no way out is told so.
	reject.Priority, reject.Src, reject.Action = rulePriorityReject, s.Addr, unix.FR_ACT_UNREACHABLE
	o.Rules = append(o.Rules, reject)
	if s.Table != 0 {
		way.Priority, way.Src, way.Action, way.Table = rulePriorityPrefix, onLink, unix.FR_ACT_TO_TBL, s.Table
		o.Rules = append(o.Rules, way)
	}
}

// AddDelegations adds the routes that keep what is not assigned of the prefixes
// of this interface from going round in circles.
func (m *Machine) AddDelegations(o *plan.Objects) {
	if m.offer == nil {
		return
	}
	for i := range m.offer.Prefixes {
		o.Routes = append(o.Routes, Unassigned(m.offer.Prefixes[i].Prefix))
	}
}

// Unassigned is the route that rejects what is not assigned of a prefix.
func Unassigned(p netip.Prefix) rtnl.Route { return unreachable(p) }
