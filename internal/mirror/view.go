package mirror

import (
	"net/netip"
	"slices"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/rib"
	"netbraid/rtnl"
)

// Stats counts what the engine has seen.
type Stats struct {
	Messages   uint64        // applied, of notifications and dumps
	Ignored    uint64        // of no kind that is mirrored
	Malformed  uint64        // could not be read
	Changes    uint64        // handed to the Sink
	Losses     uint64        // overflows, broken sockets, storms during a dump
	Incomplete uint64        // dumps that failed or were interrupted
	Resyncs    uint64        // synchronisations that ended with everything live
	LastResync time.Duration // from the loss to everything live
}

// KindStatus is how one table stands.
type KindStatus struct {
	Kind    rtnl.Kind
	Live    bool
	Objects int
	Bytes   int // of a route table, near enough; 0 for the others
}

// Status is how the model of a namespace stands.
type Status struct {
	// State is "live", "synchronising" or, before a delayed attempt, "waiting".
	State   string
	RetryIn time.Duration // of "waiting"
	Kinds   []KindStatus
	Stats   Stats
	Params  Params
	// Lag is how long the oldest notification has waited that has been heard
	// and not been applied.
	Lag time.Duration
}

// Status tells how the model stands.
func (e *Engine) Status(now time.Time) Status {
	s := Status{State: "live", Stats: e.stats, Params: e.params}
	for _, k := range kinds {
		st := &e.state[k]
		ks := KindStatus{Kind: k, Live: e.Live(k), Objects: e.Count(k)}
		if k == rtnl.KindRoute {
			ks.Bytes = e.routes.Bytes()
		}
		s.Kinds = append(s.Kinds, ks)
		if !ks.Live {
			s.State = "synchronising"
		}
		if !st.pending.empty() {
			s.Lag = max(s.Lag, now.Sub(st.pending.since))
		}
	}
	if !e.retryAt.IsZero() {
		s.State, s.RetryIn = "waiting", max(e.retryAt.Sub(now), 0)
	}
	return s
}

// Live tells whether the table has been read completely and nothing has been
// lost since.
func (e *Engine) Live(k rtnl.Kind) bool {
	return e.subscribed && e.state[k].live && e.state[k].phase == idle
}

// Stats returns the counters.
func (e *Engine) Stats() Stats { return e.stats }

// Count is the number of objects of a kind.
func (e *Engine) Count(k rtnl.Kind) int {
	switch k {
	case rtnl.KindLink:
		return len(e.links.m)
	case rtnl.KindAddr:
		return len(e.addrs.m)
	case rtnl.KindNeigh:
		return len(e.neighs.m)
	case rtnl.KindNexthop:
		return len(e.nexthops.m)
	case rtnl.KindRule:
		return len(e.rules.m)
	case rtnl.KindNetconf:
		return len(e.netconfs.m)
	case rtnl.KindRoute:
		return e.routes.Len()
	}
	return 0
}

// Link returns the link of an ifindex, or nil. It stays valid until the next
// event.
func (e *Engine) Link(index uint32) *rtnl.Link { return e.links.get(index) }

// LinkByName returns the link of a name, or nil.
func (e *Engine) LinkByName(name string) *rtnl.Link {
	if i, ok := e.byName[name]; ok {
		return e.links.get(i)
	}
	return nil
}

// MaxIndex is the highest ifindex in use.
func (e *Engine) MaxIndex() uint32 {
	var top uint32
	for i := range e.links.m {
		top = max(top, i)
	}
	return top
}

// Addr returns the address of a key, or nil.
func (e *Engine) Addr(k model.AddrKey) *rtnl.Addr { return e.addrs.get(k) }

// AddrsOn returns the addresses of a link, sorted.
func (e *Engine) AddrsOn(index uint32) []rtnl.Addr {
	keys := sortedKeys(e.addrs.on[index], model.AddrKey.Compare)
	out := make([]rtnl.Addr, 0, len(keys))
	for _, k := range keys {
		out = append(out, *e.addrs.get(k))
	}
	return out
}

// HasLocal tells whether ip is an address of some link.
func (e *Engine) HasLocal(ip netip.Addr) bool { return e.addrs.local[ip] > 0 }

// Neigh returns the neighbour with an address on a link, or nil.
func (e *Engine) Neigh(index uint32, dst netip.Addr) *rtnl.Neigh {
	return e.neighs.get(neighKey{index, dst})
}

// Nexthop returns a next-hop object, or nil.
func (e *Engine) Nexthop(id uint32) *rtnl.Nexthop { return e.nexthops.get(id) }

// Routes returns the routes of a slot in the kernel's order.
func (e *Engine) Routes(k model.RouteKey) []rtnl.Route { return e.routes.Append(nil, k) }

// AppendRoutes appends the routes of a slot to out, in the kernel's order.
func (e *Engine) AppendRoutes(out []rtnl.Route, k model.RouteKey) []rtnl.Route {
	return e.routes.Append(out, k)
}

// RoutesOn returns the routes with one next hop that go through a link, in key
// order.
func (e *Engine) RoutesOn(index uint32) []rtnl.Route {
	var keys []model.RouteKey
	e.routes.Select(rib.Match{Attr: func(r *rtnl.Route) bool { return r.Oif == index }}, func(k model.RouteKey) {
		keys = append(keys, k)
	})
	slices.SortFunc(keys, model.RouteKey.Compare)
	var out []rtnl.Route
	for _, k := range keys {
		for _, r := range e.Routes(k) {
			if r.Oif == index {
				out = append(out, r)
			}
		}
	}
	return out
}

// Rule tells whether the rule is there.
func (e *Engine) Rule(r *rtnl.Rule) bool { return e.rules.m[*r] != nil }

// Each calls the functions that are not nil for every object, in key order.
func (e *Engine) Each(link func(*rtnl.Link), addr func(*rtnl.Addr), route func(*rtnl.Route), rule func(*rtnl.Rule)) {
	if link != nil {
		for _, i := range sortedKeys(e.links.m, cmpUint32) {
			link(e.links.get(i))
		}
	}
	if addr != nil {
		for _, k := range sortedKeys(e.addrs.m, model.AddrKey.Compare) {
			addr(e.addrs.get(k))
		}
	}
	if route != nil {
		e.routes.Each(route)
	}
	if rule != nil {
		for r, c := range e.rules.m {
			for range c.n {
				rule(&r)
			}
		}
	}
}

// EachNeigh calls f for every neighbour, in key order.
func (e *Engine) EachNeigh(f func(*rtnl.Neigh)) {
	for _, k := range sortedKeys(e.neighs.m, neighKey.compare) {
		f(e.neighs.get(k))
	}
}

// EachNexthop calls f for every next-hop object, in the order of their ids.
func (e *Engine) EachNexthop(f func(*rtnl.Nexthop)) {
	for _, id := range sortedKeys(e.nexthops.m, cmpUint32) {
		f(e.nexthops.get(id))
	}
}

// Replay tells a consumer that has come later everything that is there, kind by
// kind as a synchronisation would.
func (e *Engine) Replay(s Sink) {
	bracket := func(k rtnl.Kind, f func()) {
		s.SyncBegin(e.ns, k)
		f()
		if e.Live(k) {
			s.SyncEnd(e.ns, k)
		}
	}
	bracket(rtnl.KindLink, func() { e.Each(func(l *rtnl.Link) { s.LinkChanged(e.ns, nil, l) }, nil, nil, nil) })
	bracket(rtnl.KindAddr, func() { e.Each(nil, func(a *rtnl.Addr) { s.AddrChanged(e.ns, nil, a) }, nil, nil) })
	bracket(rtnl.KindNetconf, func() { e.EachNetconf(func(n *rtnl.Netconf) { s.NetconfChanged(e.ns, nil, n) }) })
	bracket(rtnl.KindRule, func() { e.Each(nil, nil, nil, func(r *rtnl.Rule) { s.RuleChanged(e.ns, nil, r) }) })
	bracket(rtnl.KindNexthop, func() { e.EachNexthop(func(n *rtnl.Nexthop) { s.NexthopChanged(e.ns, nil, n) }) })
	bracket(rtnl.KindNeigh, func() { e.EachNeigh(func(n *rtnl.Neigh) { s.NeighChanged(e.ns, nil, n) }) })
	bracket(rtnl.KindRoute, func() {
		for _, k := range e.routes.Keys(nil) {
			s.RouteChanged(k)
		}
	})
}

func sortedKeys[K comparable, V any](m map[K]V, cmp func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp)
	return keys
}

// RouteAttr tells what the only route of a key shares with others, see
// rib.Table.AttrOf. It costs no decoding.
func (e *Engine) RouteAttr(k *model.RouteKey) (id uint32, ok bool) { return e.routes.AttrOf(k) }

// Attr gives a set of attributes that routes share, by its id, which is below
// Attrs. It is valid until the next event.
func (e *Engine) Attr(id uint32) rib.Attr { return e.routes.Attr(id) }

// Attrs is above every id of attributes.
func (e *Engine) Attrs() uint32 { return e.routes.Attrs() }

// Cursor is a place in WalkRoutes; the zero value is the beginning.
type Cursor = rib.Cursor

// WalkRoutes goes through the keys of routes in slices, while the model may
// change, see rib.Table.Walk.
func (e *Engine) WalkRoutes(c *Cursor, budget int, want func(attr uint32) bool, f func(model.RouteKey)) bool {
	return e.routes.Walk(c, budget, want, f)
}
