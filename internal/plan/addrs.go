package plan

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// addrFlags are the address flags that configuration decides.
const addrFlags = unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_MCAUTOJOIN

func (p *Planner) planAddrs() {
	keys := sortedBy(p.dirtyAddrs, model.AddrKey.Compare)
	clear(p.dirtyAddrs)
	for _, k := range keys {
		if c := p.want.addrs[k]; c != nil {
			owner, w := c.first()
			p.wantAddr(k, owner, w)
		} else {
			p.unwantAddr(k)
		}
	}
	for i := range p.promote {
		if !p.leaving(i) {
			delete(p.promote, i)
			p.ledger.waits(model.SysctlKey{NS: p.ns, Index: i, Name: promoteSecondaries})
			p.dirtyIndex[i] = struct{}{}
		}
	}
}

// leaving tells whether IPv4 addresses of ours, or that are taken over, are
// still to be removed from a link.
func (p *Planner) leaving(index uint32) bool {
	if l := p.have.Link(index); l != nil && p.takeover(l.Name) {
		for k := range p.want.addrsOn[index] {
			_, w := p.want.addrs[k].first()
			if have := p.have.Addr(k); k.Local.Is4() && have != nil && anew(k, w, have) {
				return true
			}
		}
	}
	for k := range p.owned.Addrs {
		if k.Index != index || !k.Local.Is4() {
			continue
		}
		c := p.want.addrs[k]
		if c == nil {
			return true
		}
		if _, w := c.first(); p.have.Addr(k) != nil && anew(k, w, p.have.Addr(k)) {
			return true
		}
	}
	return false
}

// anew tells whether an address cannot be changed in place into what is
// wanted.
func anew(k model.AddrKey, w, have *rtnl.Addr) bool {
	return w.Broadcast != have.Broadcast || w.PrefixLen != have.PrefixLen ||
		k.Local.Is4() && w.Flags&addrFlags != have.Flags&addrFlags
}

func (p *Planner) wantAddr(k model.AddrKey, owner string, w *rtnl.Addr) {
	l := p.have.Link(k.Index)
	if l == nil {
		p.ledger.waits(k)
		return // LinkSeen wakes us
	}
	have := p.asWritten(k, p.have.Addr(k))
	_, ours := p.owned.Addrs[k]
	switch {
	case have == nil:
		p.addAddr(k, owner, l, w, "")
	case sameAddr(w, have):
		if have.Flags&unix.IFA_F_DADFAILED != 0 {
			p.ledger.note(k, Failure{Owner: owner, Code: "DAD_FAILED", Object: "address " + w.Local.String(),
				Message: "another host on " + l.Name + " uses this address"})
			return
		}
		if p.refresh[k] && ours {
			p.addAddr(k, owner, l, w, "lifetime")
			return
		}
		p.ledger.inPlace(k, true)
	case !ours && !p.takeover(l.Name):
		p.taken(k, owner, "address "+w.Local.String(), "somebody else has set it on "+l.Name+" with other attributes")
	case anew(k, w, have):
		// It is removed, and the next pass adds it.
		if !p.swapReady(k, l) {
			return
		}
		a := *have
		p.emit(&Op{Kind: AddrDel, Key: k, Owner: owner, Device: l.Name, Addr: &a, Detail: "to be made anew", rank: rankAddrDel})
	default:
		p.addAddr(k, owner, l, w, "replace")
	}
}

// asWritten gives an observed address with what was written to it and is not
// announced: the kernel says nothing of changes of an IPv6 address before
// duplicate address detection has ended (inet6_addr_modify, net/ipv6/addrconf.c).
func (p *Planner) asWritten(k model.AddrKey, have *rtnl.Addr) *rtnl.Addr {
	w, ok := p.unsaid[k]
	if !ok || have == nil || have.Flags&unix.IFA_F_TENTATIVE == 0 {
		delete(p.unsaid, k)
		return have
	}
	a := *have
	a.Flags = a.Flags&^addrFlags | w.Flags&addrFlags
	a.Priority, a.Preferred, a.Valid = w.Priority, w.Preferred, w.Valid
	return &a
}

// notAnnounced notes an address that was changed while the kernel announces
// nothing of it.
func (p *Planner) notAnnounced(op *Op) {
	if op.Kind != AddrAdd || !op.Replace || !op.Addr.Local.Is6() {
		return
	}
	k := op.Key.(model.AddrKey)
	if have := p.have.Addr(k); have != nil && have.Flags&unix.IFA_F_TENTATIVE != 0 {
		p.unsaid[k] = *op.Addr
	}
}

func (p *Planner) takeover(device string) bool {
	w := p.want.links[device]
	return w != nil && w.Takeover
}

func (p *Planner) addAddr(k model.AddrKey, owner string, l *rtnl.Link, w *rtnl.Addr, detail string) {
	a := *w
	if have := p.have.Addr(k); have != nil && a.Local.Is6() && a.Priority == 0 && have.Priority != 0 {
		a.Priority = prefixPriority6 // 0 would leave it as it is
	}
	if !p.stamp(k, &a) {
		p.ledger.waits(k) // it is over, and will not be wanted for long
		return
	}
	if p.emit(&Op{Kind: AddrAdd, Key: k, Owner: owner, Device: l.Name, Addr: &a, Detail: detail, Replace: detail != "", rank: rankAddrAdd}) {
		delete(p.refresh, k)
		p.ownAddr(&a)
	}
}

// sameAddr compares what configuration can ask for; tentative, deprecated,
// secondary and DAD state are the kernel's.
func sameAddr(w, have *rtnl.Addr) bool {
	return w.PrefixLen == have.PrefixLen && w.Broadcast == have.Broadcast && prefixPriority(w) == prefixPriority(have) &&
		w.Flags&addrFlags == have.Flags&addrFlags && sameLifetime(w.Preferred, have.Preferred) && sameLifetime(w.Valid, have.Valid)
}

// prefixPriority6 is the metric of the connected route of an IPv6 address that
// has none of its own (IP6_RT_PRIO_ADDRCONF).
const prefixPriority6 = 256

// prefixPriority is the metric that the connected route of an address has.
func prefixPriority(a *rtnl.Addr) uint32 {
	if a.Local.Is6() && a.Priority == 0 {
		return prefixPriority6
	}
	return a.Priority
}

// sameLifetime compares the lifetimes of configured addresses, which are none,
// forever, or (from a handler) so many seconds at the time they were set.
func sameLifetime(w, have uint32) bool {
	if w == 0 || w == rtnl.LifetimeForever || have == rtnl.LifetimeForever {
		return w == have
	}
	return true
}

func (p *Planner) unwantAddr(k model.AddrKey) {
	own, ours := p.owned.Addrs[k]
	if !ours {
		p.ledger.inPlace(k, false)
		return
	}
	if p.ledger.busy(k) {
		return // perhaps being added just now: Settle wakes us
	}
	l, have := p.have.Link(k.Index), p.have.Addr(k)
	if l == nil || have == nil {
		p.dropAddr(k)
		p.ledger.inPlace(k, false)
		return
	}
	if !p.mayRemove() || p.successorFails(k) || !p.swapReady(k, l) {
		return
	}
	if !p.emit(&Op{Kind: AddrDel, Key: k, Device: l.Name, Reason: ForRelease, Addr: &own, rank: rankAddrDel}) || !k.Local.Is4() {
		return
	}
	// Routes with this source, and with the last address all of the link, go
	// with it: put back what is wanted in the same batch.
	for _, rk := range sortedBy(p.want.routesOn[k.Index], model.RouteKey.Compare) {
		c := p.want.routes[rk]
		if c == nil || rk.Family != unix.AF_INET || len(p.have.Routes(rk)) == 0 {
			continue
		}
		owner, w := c.first()
		rown, mine := p.owned.Routes[rk]
		if there := p.have.Routes(rk); !holds(there, w) && !(mine && holds(there, &rown)) {
			continue // somebody else's
		}
		p.ledger.unplace(rk)
		r := *w
		if p.emit(&Op{Kind: RouteAdd, Key: rk, Owner: owner, Device: l.Name, Route: &r, Detail: "put back", Replace: true, rank: rankRoutePut}) && mine {
			p.ownRoute(&r)
		}
	}
}

// successorFails tells whether an address of the same family that is wanted on
// the same link could not be set so far: then the old one stays. It goes when
// the new one is there, or is wanted no more.
func (p *Planner) successorFails(k model.AddrKey) bool {
	for o := range p.want.addrsOn[k.Index] {
		if e := p.ledger.entries[o]; o.Local.Is4() == k.Local.Is4() && e != nil && e.failure.Attempts > 0 && p.have.Addr(o) == nil {
			return true
		}
	}
	return false
}

// swapReady tells whether an IPv4 address may go without taking its
// neighbours in the subnet along: where there are some, promote_secondaries
// has to be on first.
func (p *Planner) swapReady(k model.AddrKey, l *rtnl.Link) bool {
	if !k.Local.Is4() || !p.othersInSubnet(k) {
		return true
	}
	sk := model.SysctlKey{NS: p.ns, Index: l.Index, Name: promoteSecondaries}
	if !p.promote[l.Index] {
		p.promote[l.Index] = true
		p.ask(sk)
		return false
	}
	switch v, known := p.sysctl[sk]; {
	case !known || p.ledger.busy(sk): // perhaps being put back just now
		return false
	case v == "1" || v == missingSysctl:
		return true
	}
	// Where it cannot be set at all, the address goes all the same in the end.
	e := p.ledger.entries[sk]
	return e != nil && e.attempts >= promoteTries
}

// promoteTries is how often promote_secondaries is tried before an address
// goes without.
const promoteTries = 5

func (p *Planner) othersInSubnet(k model.AddrKey) bool {
	net := func(a model.AddrKey) netip.Prefix { pfx, _ := a.Local.Prefix(int(a.PrefixLen)); return pfx }
	for _, a := range p.have.AddrsOn(k.Index) {
		if o := p.addrKey(&a); o != k && o.Local.Is4() && o.PrefixLen == k.PrefixLen && net(o) == net(k) {
			return true
		}
	}
	for o := range p.want.addrsOn[k.Index] {
		if o != k && o.Local.Is4() && o.PrefixLen == k.PrefixLen && net(o) == net(k) {
			return true
		}
	}
	return false
}
