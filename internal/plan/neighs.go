package plan

import (
	"cmp"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// NeighKey identifies a neighbour: an address on a link. Addresses that are
// answered for (NTF_PROXY) are a table of their own (net/core/neighbour.c).
type NeighKey struct {
	NS    model.NS
	Index uint32
	Dst   netip.Addr
	Proxy bool
}

func compareNeighs(a, b NeighKey) int {
	proxy := func(k NeighKey) int {
		if k.Proxy {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.NS, b.NS), cmp.Compare(a.Index, b.Index), a.Dst.Compare(b.Dst), cmp.Compare(proxy(a), proxy(b)))
}

// KeyOfNeigh gives the key of a neighbour.
func KeyOfNeigh(ns model.NS, n *rtnl.Neigh) NeighKey {
	return NeighKey{NS: ns, Index: n.Index, Dst: n.Dst, Proxy: n.Flags&unix.NTF_PROXY != 0}
}

func (p *Planner) neighKey(n *rtnl.Neigh) NeighKey { return KeyOfNeigh(p.ns, n) }

func (p *Planner) touchNeigh(k NeighKey) { p.unplace(k); p.dirtyNeighs[k] = struct{}{} }

// NeighSeen tells of an observed change of a neighbour.
func (p *Planner) NeighSeen(old, new *rtnl.Neigh) {
	n := new
	if n == nil {
		n = old
	}
	k := p.neighKey(n)
	if _, ours := p.owned.Neighs[k]; ours || p.want.neighs[k] != nil {
		p.dirtyNeighs[k] = struct{}{}
	}
}

// neighsOfLink looks at the neighbours of a link again that has changed. With
// the link going down the kernel drops those that are answered for, and says
// nothing.
func (p *Planner) neighsOfLink(l *rtnl.Link) {
	for k := range p.want.neighsOn[l.Index] {
		p.dirtyNeighs[k] = struct{}{}
		if l.Flags&unix.IFF_UP == 0 {
			delete(p.proxies, k)
		}
	}
}

func (p *Planner) planNeighs() {
	keys := sortedBy(p.dirtyNeighs, compareNeighs)
	clear(p.dirtyNeighs)
	for _, k := range keys {
		if c := p.want.neighs[k]; c != nil {
			owner, w := c.first()
			p.wantNeigh(k, owner, w)
		} else {
			p.unwantNeigh(k)
		}
	}
}

func (p *Planner) wantNeigh(k NeighKey, owner string, w *rtnl.Neigh) {
	l := p.have.Link(k.Index)
	if l == nil || l.Flags&unix.IFF_UP == 0 {
		p.ledger.waits(k)
		return // LinkSeen wakes us
	}
	if k.Proxy && p.proxies[k] {
		p.ledger.inPlace(k, true) // these cannot be watched: one that was written counts as there
		return
	}
	have := p.have.Neigh(k.Index, k.Dst)
	static := !k.Proxy && have != nil && have.State&unix.NUD_PERMANENT != 0
	if static && sameNeigh(w, have) {
		p.ledger.inPlace(k, true)
		return
	}
	if _, ours := p.owned.Neighs[k]; static && !ours && !p.takeover(l.Name) {
		p.taken(k, owner, "neighbour "+k.Dst.String(), "somebody else has set it on "+l.Name+" otherwise")
		return
	}
	n := *w
	if p.emit(&Op{Kind: NeighAdd, Key: k, Owner: owner, Device: l.Name, Neigh: &n, rank: rankNeighAdd}) {
		p.ownNeigh(&n)
	}
}

// sameNeigh compares what configuration can ask for.
func sameNeigh(w, have *rtnl.Neigh) bool {
	return w.LLAddr == have.LLAddr && (w.Flags^have.Flags)&unix.NTF_ROUTER == 0
}

func (p *Planner) unwantNeigh(k NeighKey) {
	own, ours := p.owned.Neighs[k]
	if !ours {
		p.ledger.inPlace(k, false)
		return
	}
	if p.ledger.busy(k) {
		return // Settle wakes us
	}
	l, have := p.have.Link(k.Index), p.have.Neigh(k.Index, k.Dst)
	// What the kernel has learned since is not ours; where there are no
	// proxies we cannot see that.
	if l == nil || !k.Proxy && (have == nil || have.State&unix.NUD_PERMANENT == 0 || !sameNeigh(&own, have)) {
		p.dropNeigh(k)
		p.ledger.inPlace(k, false)
		return
	}
	if p.mayRemove() {
		p.emit(&Op{Kind: NeighDel, Key: k, Device: l.Name, Reason: ForRelease, Neigh: &own, rank: rankNeighDel})
	}
}

// neighSettled takes the result of an operation on a neighbour. Of proxies the
// result is all that there is to see.
func (p *Planner) neighSettled(op *Op, err error) {
	k := op.Key.(NeighKey)
	if !k.Proxy || err != nil && !Gone(op, err) {
		return
	}
	if op.Kind == NeighAdd {
		p.proxies[k] = true
	} else {
		p.dropNeigh(k)
	}
}

func (p *Planner) ownNeigh(n *rtnl.Neigh) {
	k := p.neighKey(n)
	if old, ok := p.owned.Neighs[k]; ok && old == *n {
		return
	}
	p.owned.Neighs[k] = *n
	p.record(Record{Neigh: n})
}

func (p *Planner) dropNeigh(k NeighKey) {
	delete(p.proxies, k)
	if n, ok := p.owned.Neighs[k]; ok {
		delete(p.owned.Neighs, k)
		p.record(Record{Neigh: &n, Drop: true})
	}
}
