package plan

import (
	"time"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// Lifetime says when an address ends; a zero time is never.
type Lifetime struct{ Preferred, Valid time.Time }

// Lasting stands in a wanted address for a lifetime that is not for ever: the
// Lifetime of the address has the time, and what is written are the seconds
// that are left then.
const Lasting = 1

// near is how far two ends of a lifetime may be apart and be the same.
const near = 2 * time.Second

// setLifetimes takes over the lifetimes of an owner's addresses. Those that
// have moved are written again: comparison with the kernel's count of seconds
// would not tell.
func (p *Planner) setLifetimes(old, next map[model.AddrKey]Lifetime) {
	for k := range old {
		if _, there := next[k]; !there {
			delete(p.ends, k)
			delete(p.refresh, k)
		}
	}
	for k, l := range next {
		if was, there := p.ends[k]; there && sameEnd(was.Preferred, l.Preferred) && sameEnd(was.Valid, l.Valid) {
			continue
		}
		p.ends[k] = l
		p.refresh[k] = true
		p.touchAddr(k)
	}
}

func sameEnd(a, b time.Time) bool {
	if a.IsZero() || b.IsZero() {
		return a.IsZero() == b.IsZero()
	}
	d := a.Sub(b)
	return -near < d && d < near
}

// stamp puts the seconds that are left into an address to be written; false
// when there are none.
func (p *Planner) stamp(k model.AddrKey, a *rtnl.Addr) bool {
	l, there := p.ends[k]
	if !there {
		return true
	}
	left := func(end time.Time) uint32 {
		if end.IsZero() {
			return rtnl.LifetimeForever
		}
		return uint32(min(max(end.Sub(p.now)/time.Second, 0), rtnl.LifetimeForever-1))
	}
	a.Preferred, a.Valid = left(l.Preferred), left(l.Valid)
	a.Preferred = min(a.Preferred, a.Valid)
	return a.Valid > 0
}
