package plan

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

func (p *Planner) planRoutes() {
	keys := sortedBy(p.dirtyRoutes, model.RouteKey.Compare)
	clear(p.dirtyRoutes)
	// A route through a gateway needs the connected one before it.
	slices.SortStableFunc(keys, func(a, b model.RouteKey) int { return p.hops(a) - p.hops(b) })
	for _, k := range keys {
		if c := p.want.routes[k]; c != nil {
			owner, w := c.first()
			p.wantRoute(k, owner, w)
		} else {
			p.unwantRoute(k)
		}
	}
}

func (p *Planner) hops(k model.RouteKey) int {
	if c := p.want.routes[k]; c != nil {
		if _, w := c.first(); w.Gateway.IsValid() {
			return 1
		}
	}
	return 0
}

func (p *Planner) wantRoute(k model.RouteKey, owner string, w *rtnl.Route) {
	device := ""
	if w.Oif != 0 {
		l := p.have.Link(w.Oif)
		if l == nil || l.Flags&unix.IFF_UP == 0 {
			p.ledger.waits(k)
			return // the kernel refuses it; LinkSeen wakes us
		}
		device = l.Name
	}
	have := p.have.Routes(k)
	for i := range have {
		if sameRoute(w, &have[i]) {
			p.replaced(k)
			p.ledger.inPlace(k, true)
			return
		}
	}
	if w.PrefSrc.IsValid() && !p.have.HasLocal(w.PrefSrc) {
		// The address is on its way; AddrSeen wakes us.
		if !p.addressComing(w.PrefSrc) {
			p.ledger.note(k, Failure{Owner: owner, Code: "NO_SOURCE", Object: "route " + k.Dst.String(),
				Message: "no link has the source address " + w.PrefSrc.String()})
			return
		}
	}
	if w.Gateway.IsValid() && p.connectedComing(w) {
		p.ledger.waits(k)
		return // Settle of that route wakes us
	}
	if _, ours := p.oursOf(k, have); len(have) > 0 && !p.takeover(device) && !ours {
		p.taken(k, owner, "route "+k.Dst.String(), "somebody else has a route to the same destination with the same metric and table")
		return
	}
	r := *w
	if p.emit(&Op{Kind: RouteAdd, Key: k, Owner: owner, Device: device, Route: &r, Replace: len(have) > 0, rank: rankRouteAdd}) {
		p.ownRoute(&r)
	}
}

// connectedComing tells whether the gateway is reached through a connected
// route of ours that is wanted in the same table and neither there nor written
// in this pass.
func (p *Planner) connectedComing(w *rtnl.Route) bool {
	for k := range p.want.routesOn[w.Oif] {
		_, v := p.want.routes[k].first()
		if w.Oif == 0 || v.Gateway.IsValid() || v.Table != w.Table || !v.Dst.Contains(w.Gateway) || len(p.have.Routes(k)) > 0 {
			continue
		}
		if !p.ledger.busy(k) && p.ledger.entries[k] != nil {
			continue // it has failed: the kernel decides about ours
		}
		if !slices.ContainsFunc(p.ops, func(o *Op) bool { return o.Key == any(k) }) {
			return true
		}
	}
	return false
}

// addressComing tells whether an address is being added: in this pass, or by
// an operation in flight, which is done before those of this pass.
func (p *Planner) addressComing(ip netip.Addr) bool {
	adds := func(op *Op) bool { return op.Kind == AddrAdd && op.Addr.Local == ip }
	if slices.ContainsFunc(p.ops, adds) {
		return true
	}
	for _, op := range p.ledger.flying {
		if adds(op) {
			return true
		}
	}
	return false
}

func holds(have []rtnl.Route, own *rtnl.Route) bool {
	for i := range have {
		if sameRoute(own, &have[i]) {
			return true
		}
	}
	return false
}

// sameRoute compares what configuration can ask for. Routes that reject have
// no device of their own (IPv6 shows lo).
func sameRoute(w, have *rtnl.Route) bool {
	if w.Type != have.Type || w.Gateway != have.Gateway || w.PrefSrc != have.PrefSrc || w.Protocol != have.Protocol ||
		w.MTU != have.MTU || w.NHID != have.NHID || w.Multipath != have.Multipath || w.Encap != have.Encap {
		return false
	}
	if w.Flags&unix.RTNH_F_ONLINK != have.Flags&unix.RTNH_F_ONLINK {
		return false
	}
	switch w.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return true
	}
	return (w.Oif == have.Oif || w.Oif == 0) && (w.Family != unix.AF_INET || w.Scope == have.Scope)
}

func (p *Planner) unwantRoute(k model.RouteKey) {
	if _, ours := p.owned.Routes[k]; !ours {
		p.ledger.inPlace(k, false)
		return
	}
	if p.ledger.busy(k) {
		return // Settle wakes us
	}
	own, there := p.oursOf(k, p.have.Routes(k))
	if !there {
		p.dropRoute(k)
		p.ledger.inPlace(k, false)
		return
	}
	if p.mayRemove() {
		device := ""
		if l := p.have.Link(own.Oif); l != nil {
			device = l.Name
		}
		p.emit(&Op{Kind: RouteDel, Key: k, Device: device, Reason: ForRelease, Route: &own, rank: rankRouteDel})
	}
}

func (p *Planner) planRules() {
	keys := make([]RuleKey, 0, len(p.dirtyRules))
	for k := range p.dirtyRules {
		keys = append(keys, k)
	}
	clear(p.dirtyRules)
	slices.SortFunc(keys, compareRules)
	for _, k := range keys {
		rule := k.Rule
		_, ours := p.owned.Rules[k]
		there := p.have.Rule(&rule)
		if c := p.want.rules[k]; c != nil {
			owner, _ := c.first()
			if there {
				p.ledger.inPlace(k, true)
			} else if p.emit(&Op{Kind: RuleAdd, Key: k, Owner: owner, Rule: &rule, rank: rankRuleAdd}) {
				p.owned.Rules[k] = struct{}{}
				p.record(Record{Rule: &rule})
			}
			continue
		}
		switch {
		case !ours:
			p.ledger.inPlace(k, false)
		case p.ledger.busy(k):
		case !there:
			delete(p.owned.Rules, k)
			p.record(Record{Rule: &rule, Drop: true})
			p.ledger.inPlace(k, false)
		case p.mayRemove():
			p.emit(&Op{Kind: RuleDel, Key: k, Reason: ForRelease, Rule: &rule, rank: rankRuleDel})
		}
	}
}

func compareRules(a, b RuleKey) int {
	if a.Rule.Priority != b.Rule.Priority {
		return int(int64(a.Rule.Priority) - int64(b.Rule.Priority))
	}
	x, y := rtnl.FormatRule(&a.Rule, nil), rtnl.FormatRule(&b.Rule, nil)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return int(a.Rule.Family) - int(b.Rule.Family)
}
