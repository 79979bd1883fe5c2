package core

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/iface"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// maxRemembered bounds the prefixes whose assignments are remembered after they
// have gone.
const maxRemembered = 64

// SubnetMemory is what must survive a restart of the assignment of IPv6 subnets:
// who had which, the interface identifiers that were chosen, and the addresses
// that are on their way out.
type SubnetMemory struct {
	Prefixes []RememberedPrefix `json:",omitempty"` // the one seen last at the end
	IDs      map[string]uint64  `json:",omitempty"` // by interface
	Lingers  []Lingering        `json:",omitempty"`
}

// RememberedPrefix is a prefix with its assignments.
type RememberedPrefix struct {
	Prefix   netip.Prefix
	Assigned []iface.Assignment
}

// Lingering is an address of a subnet that an interface has no more.
type Lingering struct {
	Interface string
	Addr      netip.Prefix
	Until     time.Time
}

// SaveSubnets: this is to be known by the next process.
type SaveSubnets struct{ Memory SubnetMemory }

func (SaveSubnets) isAction() {}

type sourcePrefix struct {
	source string
	prefix netip.Prefix
}

// prefixes is the state of the assignment of IPv6 subnets.
type prefixes struct {
	of       map[string]bool // interfaces that have or want some: mostly few
	dirty    bool
	known    []iface.Delegation // the newest first, as netifd shows them
	assigned map[netip.Prefix][]iface.Assignment
	subnets  map[string][]iface.SubnetAddr // by interface
	lingers  []Lingering
	since    map[sourcePrefix]time.Time
	memory   []RememberedPrefix
	ids      map[string]uint64
	unmet    map[string]bool
	due      time.Time // something ends then
	changed  bool      // since the last SaveSubnets
}

func newPrefixes(r *SubnetMemory) prefixes {
	p := prefixes{of: map[string]bool{}, assigned: map[netip.Prefix][]iface.Assignment{}, subnets: map[string][]iface.SubnetAddr{},
		since: map[sourcePrefix]time.Time{}, ids: map[string]uint64{}, unmet: map[string]bool{}, dirty: true}
	if r != nil {
		p.recall(r)
	}
	return p
}

// maxLingers bounds the addresses on their way out that are taken over.
const maxLingers = 1024

// recall takes over what an earlier process has written down. Nothing of it is
// believed that cannot be so.
func (p *prefixes) recall(r *SubnetMemory) {
	prefix := func(x netip.Prefix) bool {
		return x.IsValid() && x.Addr().Is6() && !x.Addr().Is4In6() && x.Bits() >= 1 && x.Bits() <= 64
	}
	for _, m := range r.Prefixes[max(0, len(r.Prefixes)-maxRemembered):] {
		if !prefix(m.Prefix) || m.Prefix != m.Prefix.Masked() {
			continue
		}
		m.Assigned = slices.DeleteFunc(slices.Clone(m.Assigned), func(a iface.Assignment) bool { return !prefix(a.Subnet) })
		p.memory = append(p.memory, m)
	}
	maps.Copy(p.ids, r.IDs)
	for _, l := range r.Lingers[:min(len(r.Lingers), maxLingers)] {
		if prefix(l.Addr) && !l.Addr.Addr().IsMulticast() && !l.Addr.Addr().IsLinkLocalUnicast() && l.Addr != l.Addr.Masked() {
			p.lingers = append(p.lingers, l)
		}
	}
}

// Assigned gives the assignments from a prefix, in their order.
func (c *Core) Assigned(p netip.Prefix) []iface.Assignment { return c.prefixes.assigned[p] }

// Delegations gives the prefixes that there are, the newest first.
func (c *Core) Delegations() []iface.Delegation { return c.prefixes.known }

// Subnets gives the addresses that an interface takes from its subnets.
func (c *Core) Subnets(name string) []iface.SubnetAddr { return c.prefixes.subnets[name] }

// Delegation gives the prefix of an interface with its lifetimes.
func (c *Core) Delegation(source string, p netip.Prefix) (iface.Delegation, bool) {
	i := slices.IndexFunc(c.prefixes.known, func(d iface.Delegation) bool { return d.Source == source && d.Prefix == p })
	if i < 0 {
		return iface.Delegation{}, false
	}
	return c.prefixes.known[i], true
}

// assignPrefixes computes who gets what, when something may have changed, and
// marks the interfaces concerned.
func (c *Core) assignPrefixes() {
	p := &c.prefixes
	if !p.due.IsZero() && !c.now.Before(p.due) {
		p.dirty = true
	}
	if !p.dirty || c.cfg == nil {
		return
	}
	p.dirty = false
	c.delegations()
	requests := c.prefixRequests()
	was := p.assigned
	p.assigned = map[netip.Prefix][]iface.Assignment{}
	unmet := map[string]bool{}
	for i := range p.known {
		c.assignFrom(&p.known[i], requests, unmet)
	}
	if !maps.EqualFunc(was, p.assigned, slices.Equal) {
		p.changed = true
		c.touch()
	}
	p.unmet = unmet
	c.subnets()
	c.remember()
}

// delegations brings the list of prefixes up to date.
func (c *Core) delegations() {
	p := &c.prefixes
	var now []iface.Delegation
	if ula := c.cfg.Globals.ULAPrefix; ula.IsValid() {
		now = append(now, iface.Delegation{Prefix: ula, Class: iface.ClassLocal, Delegate: true})
	}
	since := map[sourcePrefix]time.Time{}
	for _, n := range sortedKeys(p.of) {
		now = append(now, c.ifaces[n].Delegations(func(x netip.Prefix) time.Time {
			k := sourcePrefix{n, x}
			if t, ok := p.since[k]; ok {
				since[k] = t
			} else {
				since[k] = c.now
			}
			return since[k]
		})...)
	}
	p.since = since
	var list []iface.Delegation
	for _, old := range p.known {
		if i := slices.IndexFunc(now, func(d iface.Delegation) bool { return d.Source == old.Source && d.Prefix == old.Prefix }); i >= 0 {
			list = append(list, now[i])
			now = slices.Delete(now, i, i+1)
		}
	}
	for _, d := range now {
		list = slices.Insert(list, 0, d)
	}
	p.known = slices.DeleteFunc(list, func(d iface.Delegation) bool { return !d.ValidUntil.IsZero() && !c.now.Before(d.ValidUntil) })
	p.due = time.Time{}
	for _, d := range p.known {
		p.end(d.ValidUntil)
	}
}

// end notes that something ends at a time.
func (p *prefixes) end(t time.Time) {
	if !t.IsZero() && (p.due.IsZero() || t.Before(p.due)) {
		p.due = t
	}
}

func (c *Core) prefixRequests() (out []iface.PrefixRequest) {
	for _, n := range sortedKeys(c.prefixes.of) {
		if r, ok := c.ifaces[n].PrefixRequest(); ok {
			out = append(out, r)
		}
	}
	return out
}

// assignFrom assigns from one prefix. One that two interfaces have is assigned
// from once.
func (c *Core) assignFrom(d *iface.Delegation, requests []iface.PrefixRequest, unmet map[string]bool) {
	p := &c.prefixes
	if _, done := p.assigned[d.Prefix]; done || !d.Delegate {
		return
	}
	var wanted []iface.PrefixRequest
	for _, r := range requests {
		if r.Wants(d.Class) {
			wanted = append(wanted, r)
		}
	}
	out, left := iface.Assign(d.Prefix, d.Excluded, wanted, p.before(d.Prefix))
	p.assigned[d.Prefix] = out
	for _, n := range left {
		what := n + " " + d.Prefix.String()
		unmet[what] = true
		if !p.unmet[what] {
			c.log(levelWarn, "no subnet is left for an interface", "interface", n, "prefix", d.Prefix)
		}
	}
	if len(out) > 0 {
		p.keep(d.Prefix, out)
	}
}

// before is what was assigned from a prefix when it was last there.
func (p *prefixes) before(prefix netip.Prefix) []iface.Assignment {
	for _, r := range p.memory {
		if r.Prefix == prefix {
			return r.Assigned
		}
	}
	return nil
}

// keep remembers what is assigned from a prefix, for when it comes back.
func (p *prefixes) keep(prefix netip.Prefix, out []iface.Assignment) {
	i := slices.IndexFunc(p.memory, func(r RememberedPrefix) bool { return r.Prefix == prefix })
	if i >= 0 && slices.Equal(p.memory[i].Assigned, out) {
		return
	}
	p.changed = true
	if i >= 0 {
		p.memory = slices.Delete(p.memory, i, i+1)
	}
	p.memory = append(p.memory, RememberedPrefix{prefix, out})
	if len(p.memory) > maxRemembered {
		p.memory = slices.Delete(p.memory, 0, len(p.memory)-maxRemembered)
	}
}

// subnets makes the addresses of all interfaces, and of those that are no more
// such that linger.
func (c *Core) subnets() {
	p := &c.prefixes
	was := p.subnets
	p.subnets = map[string][]iface.SubnetAddr{}
	for i := range p.known {
		d := &p.known[i]
		for _, a := range p.assigned[d.Prefix] {
			if m := c.ifaces[a.Interface]; m != nil && m.Offer() != nil && !p.has(a.Interface, a.Subnet) {
				p.subnets[a.Interface] = append(p.subnets[a.Interface], c.subnetAddr(m, d, a))
			}
		}
	}
	c.linger(was)
	names := maps.Clone(was)
	maps.Copy(names, p.subnets)
	for _, n := range sortedKeys(names) {
		if !slices.Equal(was[n], p.subnets[n]) {
			c.touch()
			c.dirty[n] = true
		}
	}
}

func (p *prefixes) has(name string, subnet netip.Prefix) bool {
	return slices.ContainsFunc(p.subnets[name], func(s iface.SubnetAddr) bool { return s.Addr.Masked() == subnet })
}

func (c *Core) subnetAddr(m *iface.Machine, d *iface.Delegation, a iface.Assignment) iface.SubnetAddr {
	var hw rtnl.HWAddr
	if l := c.mirror.LinkByName(m.L3Device()); l != nil {
		hw = l.Addr
	}
	name := m.Config.Name
	if m.Config.IP6Assign.Kind == config.IfaceIDRandom && c.prefixes.ids[name] == 0 {
		// Neither universal nor a group (RFC 4291, 2.5.1), and no anycast
		// address (RFC 2526).
		c.prefixes.ids[name] = c.rng.Uint64()&^(3<<56) | 1<<32
		c.prefixes.changed = true
	}
	s := iface.SubnetAddr{Addr: iface.SubnetOf(a.Subnet, m.InterfaceID(hw, c.prefixes.ids[name])), Source: d.Source,
		PreferredUntil: d.PreferredUntil, ValidUntil: d.ValidUntil}
	if up := c.ifaces[d.Source]; up != nil {
		s.Table = up.Config.IP6Table
	}
	return s
}

// linger keeps the addresses that an interface which is up has lost, as
// deprecated ones, for a while.
func (c *Core) linger(was map[string][]iface.SubnetAddr) {
	p := &c.prefixes
	for _, n := range sortedKeys(was) {
		for _, s := range was[n] {
			if s.Lingers || p.holds(n, s.Addr.Addr()) {
				continue
			}
			until := c.now.Add(iface.LingerMax)
			if !s.ValidUntil.IsZero() && s.ValidUntil.Before(until) {
				until = s.ValidUntil
			}
			p.lingers = append(p.lingers, Lingering{n, s.Addr, until})
			p.boundLingers(n)
			p.changed = true
		}
	}
	kept := p.lingers[:0]
	for _, l := range p.lingers {
		m := c.ifaces[l.Interface]
		// While a new process waits for an interface its addresses wait too.
		waits := !c.settled && c.inherited
		switch {
		case !c.now.Before(l.Until), l.Until.After(c.now.Add(iface.LingerMax)), p.holds(l.Interface, l.Addr.Addr()), (m == nil || m.Offer() == nil) && !waits:
			p.changed = true
			continue
		}
		kept = append(kept, l)
		p.end(l.Until)
		if m != nil && m.Offer() != nil {
			p.subnets[l.Interface] = append(p.subnets[l.Interface], iface.SubnetAddr{Addr: l.Addr, Lingers: true, Taken: p.given(l.Addr),
				PreferredUntil: l.Until.Add(-iface.LingerMax), ValidUntil: l.Until})
		}
	}
	p.lingers = kept
}

// maxLingersEach bounds the addresses on their way out of one interface; with
// more the oldest goes at once.
const maxLingersEach = 16

func (p *prefixes) boundLingers(name string) {
	count := 0
	for i := len(p.lingers) - 1; i >= 0; i-- {
		if p.lingers[i].Interface != name {
			continue
		}
		if count++; count > maxLingersEach {
			p.lingers = slices.Delete(p.lingers, i, i+1)
		}
	}
}

// given tells whether somebody has, of a subnet that lingers, the /64 that the
// address is in.
func (p *prefixes) given(addr netip.Prefix) bool {
	onLink, _ := addr.Addr().Prefix(64)
	for _, list := range p.assigned {
		if slices.ContainsFunc(list, func(a iface.Assignment) bool { return a.Subnet.Overlaps(onLink) }) {
			return true
		}
	}
	return false
}

// holds tells whether an interface has an address, and not on its way out.
func (p *prefixes) holds(name string, a netip.Addr) bool {
	return slices.ContainsFunc(p.subnets[name], func(s iface.SubnetAddr) bool { return !s.Lingers && s.Addr.Addr() == a })
}

// remember writes down what the next process has to know.
func (c *Core) remember() {
	p := &c.prefixes
	if !p.changed {
		return
	}
	p.changed = false
	c.act(SaveSubnets{SubnetMemory{Prefixes: slices.Clone(p.memory), IDs: maps.Clone(p.ids), Lingers: slices.Clone(p.lingers)}})
}

// addPrefixes adds to what an interface wants its subnets, and the routes of
// the prefixes that it has itself.
func (c *Core) addPrefixes(m *iface.Machine, o *plan.Objects) *plan.Objects {
	if o == nil {
		return o
	}
	m.AddDelegations(o)
	if ifindex := c.ifindex(m.L3Device()); ifindex != 0 {
		m.AddSubnets(o, ifindex, c.prefixes.subnets[m.Config.Name])
	}
	return o
}

// check tells when two have one subnet, or one of a prefix that is not there.
func (p *prefixes) check() error {
	for prefix, list := range p.assigned {
		if !slices.ContainsFunc(p.known, func(d iface.Delegation) bool { return d.Prefix == prefix }) {
			return fmt.Errorf("subnets are assigned from %s, which is not there", prefix)
		}
		for i, a := range list {
			if !prefix.Contains(a.Subnet.Addr()) || i > 0 && list[i-1].Subnet.Overlaps(a.Subnet) {
				return fmt.Errorf("assignments from %s are wrong: %v", prefix, list)
			}
		}
	}
	return nil
}
