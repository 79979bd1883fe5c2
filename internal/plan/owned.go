package plan

import (
	"cmp"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// OwnedLink is a link that we made, or changed: with the values found before.
type OwnedLink struct {
	Index   uint32
	Name    string // when it became ours
	Created bool
	Kind    string // of a link that we made
	Data    string `json:",omitempty"` // IFLA_INFO_DATA that it was made with, in hex
	Taken   bool   // what others had on it has been made ours (takeover)
	Depth   int
	Set     rtnl.LinkField    // fields that we changed
	Orig    rtnl.Link         // their values before
	Sysctl  map[string]string // settings that we changed: the values before
}

// Owned is all that is ours in one namespace.
type Owned struct {
	Links  map[uint32]*OwnedLink
	Addrs  map[model.AddrKey]rtnl.Addr
	Routes map[model.RouteKey]rtnl.Route
	Rules  map[RuleKey]struct{}
	Neighs map[NeighKey]rtnl.Neigh
	// Was has the routes that one of Routes is to replace: ours as well, until
	// the successor has been seen.
	Was map[model.RouteKey]rtnl.Route
}

// NewOwned makes an empty set.
func NewOwned() *Owned {
	return &Owned{Links: map[uint32]*OwnedLink{}, Addrs: map[model.AddrKey]rtnl.Addr{},
		Routes: map[model.RouteKey]rtnl.Route{}, Rules: map[RuleKey]struct{}{}, Was: map[model.RouteKey]rtnl.Route{},
		Neighs: map[NeighKey]rtnl.Neigh{}}
}

// Record is one change of Owned. The shell writes records down before it does
// the operations of the same step. Exactly one member besides Drop (and Was) is set.
type Record struct {
	Drop  bool        `json:",omitempty"`
	Link  *OwnedLink  `json:",omitempty"`
	Addr  *rtnl.Addr  `json:",omitempty"`
	Route *rtnl.Route `json:",omitempty"`
	Was   *rtnl.Route `json:",omitempty"` // with Route: what that is to replace
	Rule  *rtnl.Rule  `json:",omitempty"`
	Neigh *rtnl.Neigh `json:",omitempty"`
	NS    model.NS    `json:",omitempty"`
}

// Empty tells that nothing is ours.
func (o *Owned) Empty() bool {
	return len(o.Links)+len(o.Addrs)+len(o.Routes)+len(o.Rules)+len(o.Neighs) == 0
}

// Apply takes a record into the set.
func (o *Owned) Apply(r Record) {
	switch {
	case r.Link != nil && r.Drop:
		delete(o.Links, r.Link.Index)
	case r.Link != nil:
		o.Links[r.Link.Index] = r.Link
	case r.Addr != nil && r.Drop:
		delete(o.Addrs, model.KeyOfAddr(r.NS, r.Addr))
	case r.Addr != nil:
		o.Addrs[model.KeyOfAddr(r.NS, r.Addr)] = *r.Addr
	case r.Route != nil && r.Drop:
		delete(o.Routes, model.KeyOfRoute(r.NS, r.Route))
		delete(o.Was, model.KeyOfRoute(r.NS, r.Route))
	case r.Route != nil:
		k := model.KeyOfRoute(r.NS, r.Route)
		o.Routes[k] = *r.Route
		if delete(o.Was, k); r.Was != nil {
			o.Was[k] = *r.Was
		}
	case r.Rule != nil && r.Drop:
		delete(o.Rules, RuleKey{r.NS, *r.Rule})
	case r.Rule != nil:
		o.Rules[RuleKey{r.NS, *r.Rule}] = struct{}{}
	case r.Neigh != nil && r.Drop:
		delete(o.Neighs, KeyOfNeigh(r.NS, r.Neigh))
	case r.Neigh != nil:
		o.Neighs[KeyOfNeigh(r.NS, r.Neigh)] = *r.Neigh
	}
}

func (p *Planner) record(r Record) {
	r.NS = p.ns
	if r.Link != nil {
		c := *r.Link
		c.Sysctl = map[string]string{}
		for k, v := range r.Link.Sysctl {
			c.Sysctl[k] = v
		}
		r.Link = &c
	}
	p.records = append(p.records, r)
}

func (p *Planner) ownAddr(a *rtnl.Addr) {
	k := p.addrKey(a)
	if old, ok := p.owned.Addrs[k]; ok && old == *a {
		return
	}
	p.owned.Addrs[k] = *a
	p.record(Record{Addr: a})
}

func (p *Planner) dropAddr(k model.AddrKey) {
	if a, ok := p.owned.Addrs[k]; ok {
		delete(p.owned.Addrs, k)
		p.record(Record{Addr: &a, Drop: true})
	}
}

func (p *Planner) ownRoute(r *rtnl.Route) {
	k := p.routeKey(r)
	old, ok := p.owned.Routes[k]
	if ok && old == *r {
		return
	}
	if ok && holds(p.have.Routes(k), &old) {
		p.owned.Was[k] = old
	}
	p.owned.Routes[k] = *r
	rec := Record{Route: r}
	if was, ok := p.owned.Was[k]; ok {
		rec.Was = &was
	}
	p.record(rec)
}

// replaced forgets what a route of ours has replaced.
func (p *Planner) replaced(k model.RouteKey) {
	if _, ok := p.owned.Was[k]; !ok {
		return
	}
	delete(p.owned.Was, k)
	if r, ok := p.owned.Routes[k]; ok {
		p.record(Record{Route: &r})
	}
}

// oursOf gives the route of ours that is there under a key.
func (p *Planner) oursOf(k model.RouteKey, have []rtnl.Route) (rtnl.Route, bool) {
	if own, ok := p.owned.Routes[k]; ok && holds(have, &own) {
		return own, true
	}
	if was, ok := p.owned.Was[k]; ok && holds(have, &was) {
		return was, true
	}
	return rtnl.Route{}, false
}

func (p *Planner) dropRoute(k model.RouteKey) {
	if r, ok := p.owned.Routes[k]; ok {
		delete(p.owned.Routes, k)
		delete(p.owned.Was, k)
		p.record(Record{Route: &r, Drop: true})
	}
}

// ownLink returns the record of a link, made when there is none; the caller
// changes it and calls record.
func (p *Planner) ownLink(l *rtnl.Link, depth int) *OwnedLink {
	o := p.owned.Links[l.Index]
	if o == nil {
		o = &OwnedLink{Index: l.Index, Name: l.Name, Sysctl: map[string]string{}}
		p.owned.Links[l.Index] = o
	}
	o.Depth = max(o.Depth, depth)
	return o
}

// tidyLink drops the record of a link when nothing of it is ours any more.
func (p *Planner) tidyLink(o *OwnedLink) {
	if o.Created || o.Set != 0 || len(o.Sysctl) > 0 || o.Taken && p.want.links[o.Name] != nil {
		return
	}
	if p.owned.Links[o.Index] == o {
		delete(p.owned.Links, o.Index)
		p.record(Record{Link: o, Drop: true})
	}
}

// Snapshot gives the records that make this set from an empty one, in order.
func (o *Owned) Snapshot() []Record {
	var out []Record
	for _, i := range sortedBy(o.Links, cmp.Compare[uint32]) {
		out = append(out, Record{Link: o.Links[i]})
	}
	for _, k := range sortedBy(o.Addrs, model.AddrKey.Compare) {
		a := o.Addrs[k]
		out = append(out, Record{Addr: &a, NS: k.NS})
	}
	for _, k := range sortedBy(o.Routes, model.RouteKey.Compare) {
		r := o.Routes[k]
		rec := Record{Route: &r, NS: k.NS}
		if was, ok := o.Was[k]; ok {
			rec.Was = &was
		}
		out = append(out, rec)
	}
	for _, k := range sortedBy(o.Rules, compareRules) {
		out = append(out, Record{Rule: &k.Rule, NS: k.NS})
	}
	for _, k := range sortedBy(o.Neighs, compareNeighs) {
		n := o.Neighs[k]
		out = append(out, Record{Neigh: &n, NS: k.NS})
	}
	return out
}
