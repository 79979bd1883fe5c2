package plan

import (
	"maps"
	"net/netip"
	"slices"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// LinkWant is what is wanted of one link.
type LinkWant struct {
	Name   string
	Owner  string
	Create bool // we make it when it is not there, and delete what we made
	// Link has the values of the fields in Set. Master and Parent stand here
	// by name; the planner resolves them.
	Link   rtnl.Link
	Set    rtnl.LinkField
	Master string // with LinkMaster in Set; "" for none
	Parent string // with LinkParent in Set
	Peer   string // veth: name of the other end
	PeerHW rtnl.HWAddr
	// Fixed are the fields that cannot be changed on a living link: when one
	// differs, a link of ours is made anew.
	Fixed    rtnl.LinkField
	Sysctl   []model.Sysctl // sorted by name
	Depth    int            // links with a lower depth are made first
	Takeover bool
}

// Equal tells whether both want the same.
func (w *LinkWant) Equal(o *LinkWant) bool {
	if w == nil || o == nil {
		return w == o
	}
	a, b := *w, *o
	a.Sysctl, b.Sysctl = nil, nil
	return a.Name == b.Name && a.Owner == b.Owner && a.Create == b.Create && a.Link == b.Link && a.Set == b.Set &&
		a.Master == b.Master && a.Parent == b.Parent && a.Peer == b.Peer && a.PeerHW == b.PeerHW && a.Fixed == b.Fixed &&
		a.Depth == b.Depth && a.Takeover == b.Takeover && slices.Equal(w.Sysctl, o.Sysctl)
}

// Objects is all that one owner wants on links: addresses, routes, rules,
// neighbours.
type Objects struct {
	Addrs []rtnl.Addr
	// Lifetimes of the addresses that do not last for ever; their Preferred and
	// Valid are 0, Lasting or LifetimeForever.
	Lifetimes map[model.AddrKey]Lifetime
	Routes    []rtnl.Route
	Rules     []rtnl.Rule
	Neighs    []rtnl.Neigh // permanent ones, and with NTF_PROXY those that are answered for
}

// Want is the table of what is wanted. The zero value is not ready; the
// Planner makes one.
type want struct {
	links  map[string]*LinkWant
	addrs  map[model.AddrKey]*claim[rtnl.Addr]
	routes map[model.RouteKey]*claim[rtnl.Route]
	rules  map[RuleKey]*claim[rtnl.Rule]
	neighs map[NeighKey]*claim[rtnl.Neigh]
	owners map[string]*Objects
	// onIndex: the keys that depend on a link.
	addrsOn  map[uint32]map[model.AddrKey]struct{}
	routesOn map[uint32]map[model.RouteKey]struct{}
	neighsOn map[uint32]map[NeighKey]struct{}
	// routesFrom: the keys that depend on a source address, on whatever link.
	routesFrom map[netip.Addr]map[model.RouteKey]struct{}
}

// claim is a wanted value with everybody who wants the key; the first by name
// has the say.
type claim[V any] struct {
	by map[string]V
}

func (c *claim[V]) first() (string, *V) {
	var who string
	for o := range c.by {
		if who == "" || o < who {
			who = o
		}
	}
	v := c.by[who]
	return who, &v
}

func newWant() want {
	return want{
		links: map[string]*LinkWant{}, addrs: map[model.AddrKey]*claim[rtnl.Addr]{},
		routes: map[model.RouteKey]*claim[rtnl.Route]{}, rules: map[RuleKey]*claim[rtnl.Rule]{},
		neighs: map[NeighKey]*claim[rtnl.Neigh]{}, neighsOn: map[uint32]map[NeighKey]struct{}{},
		owners: map[string]*Objects{}, addrsOn: map[uint32]map[model.AddrKey]struct{}{},
		routesOn: map[uint32]map[model.RouteKey]struct{}{}, routesFrom: map[netip.Addr]map[model.RouteKey]struct{}{},
	}
}

func index[I, K comparable](m map[I]map[K]struct{}, i I, k K, on bool) {
	set := m[i]
	if !on {
		delete(set, k)
		if len(set) == 0 {
			delete(m, i)
		}
		return
	}
	if set == nil {
		set = map[K]struct{}{}
		m[i] = set
	}
	set[k] = struct{}{}
}

// withdraw takes owner's value off a key; true when nobody is left.
func withdraw[K comparable, V any](m map[K]*claim[V], k K, owner string) (gone bool) {
	c := m[k]
	if c == nil {
		return true
	}
	delete(c.by, owner)
	if len(c.by) == 0 {
		delete(m, k)
		return true
	}
	return false
}

// routeHas tells whether somebody wants a route of this key that is so.
func (w *want) routeHas(k model.RouteKey, is func(*rtnl.Route) bool) bool {
	c := w.routes[k]
	if c == nil {
		return false
	}
	for _, r := range c.by {
		if is(&r) {
			return true
		}
	}
	return false
}

func assert[K comparable, V any](m map[K]*claim[V], k K, owner string, v V) {
	c := m[k]
	if c == nil {
		c = &claim[V]{by: map[string]V{}}
		m[k] = c
	}
	c.by[owner] = v
}

// SetLink says what is wanted of the link of that name; nil for nothing.
func (p *Planner) SetLink(name string, w *LinkWant) {
	old := p.want.links[name]
	if w.Equal(old) {
		return
	}
	if w == nil {
		delete(p.want.links, name)
	} else {
		p.want.links[name] = w
	}
	if l := p.have.LinkByName(name); l != nil && old != nil {
		for _, s := range old.Sysctl { // what failed for the old want is over
			p.unplace(model.SysctlKey{NS: p.ns, Index: l.Index, Name: s.Name})
		}
	}
	p.unplace(LinkKey{p.ns, name})
	p.dirtyLink(name)
}

// SetObjects replaces all that owner wants on links; nil for nothing.
func (p *Planner) SetObjects(owner string, o *Objects) {
	old := p.want.owners[owner]
	if old == nil {
		old = &Objects{}
	}
	if o == nil {
		delete(p.want.owners, owner)
		o = &Objects{}
	} else {
		p.want.owners[owner] = o
	}
	p.setLifetimes(old.Lifetimes, o.Lifetimes)
	replace(old.Addrs, o.Addrs, p.addrKey,
		func(k model.AddrKey, a *rtnl.Addr) {
			if withdraw(p.want.addrs, k, owner) {
				index(p.want.addrsOn, a.Index, k, false)
			}
			p.dirtyOwnedAddrs(a.Index) // one may have waited for this one
			p.touchAddr(k)
		},
		func(k model.AddrKey, a *rtnl.Addr) {
			assert(p.want.addrs, k, owner, *a)
			index(p.want.addrsOn, a.Index, k, true)
			p.touchAddr(k)
		})
	replace(old.Routes, o.Routes, p.routeKey,
		func(k model.RouteKey, r *rtnl.Route) {
			// Others may want the key on another link, or from another source.
			withdraw(p.want.routes, k, owner)
			if !p.want.routeHas(k, func(o *rtnl.Route) bool { return o.Oif == r.Oif }) {
				index(p.want.routesOn, r.Oif, k, false)
				for other := range p.want.routesOn[r.Oif] {
					p.dirtyRoutes[other] = struct{}{} // one may have waited for this one
				}
			}
			if !p.want.routeHas(k, func(o *rtnl.Route) bool { return o.PrefSrc == r.PrefSrc }) {
				index(p.want.routesFrom, r.PrefSrc, k, false)
			}
			p.touchRoute(k)
		},
		func(k model.RouteKey, r *rtnl.Route) {
			assert(p.want.routes, k, owner, *r)
			index(p.want.routesOn, r.Oif, k, true)
			if r.PrefSrc.IsValid() {
				index(p.want.routesFrom, r.PrefSrc, k, true)
			}
			p.touchRoute(k)
		})
	replace(old.Rules, o.Rules, func(r *rtnl.Rule) RuleKey { return RuleKey{p.ns, *r} },
		func(k RuleKey, _ *rtnl.Rule) { withdraw(p.want.rules, k, owner); p.touchRule(k) },
		func(k RuleKey, r *rtnl.Rule) { assert(p.want.rules, k, owner, *r); p.touchRule(k) })
	replace(old.Neighs, o.Neighs, p.neighKey,
		func(k NeighKey, n *rtnl.Neigh) {
			if withdraw(p.want.neighs, k, owner) {
				index(p.want.neighsOn, n.Index, k, false)
			}
			delete(p.proxies, k)
			p.touchNeigh(k)
		},
		func(k NeighKey, n *rtnl.Neigh) {
			assert(p.want.neighs, k, owner, *n)
			index(p.want.neighsOn, n.Index, k, true)
			delete(p.proxies, k)
			p.touchNeigh(k)
		})
}

// replace calls del for what only old has or has differently, then add for
// what is new or different.
func replace[K comparable, V comparable](old, next []V, key func(*V) K, del, add func(K, *V)) {
	have := make(map[K]*V, len(next))
	for i := range next {
		have[key(&next[i])] = &next[i]
	}
	was := make(map[K]*V, len(old))
	for i := range old {
		k := key(&old[i])
		was[k] = &old[i]
		if n := have[k]; n == nil || *n != old[i] {
			del(k, &old[i])
		}
	}
	for i := range next {
		k := key(&next[i])
		if w := was[k]; w == nil || *w != next[i] {
			add(k, &next[i])
		}
	}
}

func (p *Planner) addrKey(a *rtnl.Addr) model.AddrKey    { return model.KeyOfAddr(p.ns, a) }
func (p *Planner) routeKey(r *rtnl.Route) model.RouteKey { return model.KeyOfRoute(p.ns, r) }

// Wanted gives a copy of all that is wanted, for snapshots and invariants.
func (p *Planner) Wanted() (links []*LinkWant, objects map[string]*Objects) {
	for _, n := range slices.Sorted(maps.Keys(p.want.links)) {
		links = append(links, p.want.links[n])
	}
	return links, maps.Clone(p.want.owners)
}

// WantsLink tells whether anything is wanted of the link of a name.
func (p *Planner) WantsLink(name string) bool { return p.want.links[name] != nil }

// WantsAddr tells whether an address is wanted.
func (p *Planner) WantsAddr(k model.AddrKey) bool { return p.want.addrs[k] != nil }
