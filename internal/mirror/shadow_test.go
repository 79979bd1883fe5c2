package mirror_test

import (
	"fmt"
	"slices"

	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// shadow is a Sink that keeps a model of its own from what it is told, and
// complains about what cannot be.
type shadow struct {
	e        *mirror.Engine
	wrong    error
	calls    int
	note     func(format string, args ...any)
	syncing  map[rtnl.Kind]bool
	links    map[uint32]rtnl.Link
	addrs    map[model.AddrKey]rtnl.Addr
	neighs   map[string]rtnl.Neigh
	nexthops map[uint32]rtnl.Nexthop
	netconfs map[string]rtnl.Netconf
	rules    map[rtnl.Rule]bool
	routes   map[model.RouteKey][]rtnl.Route
}

func newShadow(note func(string, ...any)) *shadow {
	return &shadow{note: note, syncing: map[rtnl.Kind]bool{}, links: map[uint32]rtnl.Link{}, addrs: map[model.AddrKey]rtnl.Addr{},
		neighs: map[string]rtnl.Neigh{}, nexthops: map[uint32]rtnl.Nexthop{}, netconfs: map[string]rtnl.Netconf{}, rules: map[rtnl.Rule]bool{}, routes: map[model.RouteKey][]rtnl.Route{}}
}

func (s *shadow) fail(format string, args ...any) {
	if s.wrong == nil {
		s.wrong = fmt.Errorf(format, args...)
	}
}

// told takes one change: old must be what was told last, and new must be
// something else.
func told[K, V comparable](s *shadow, what string, m map[K]V, key K, old, new *V) {
	s.calls++
	have, there := m[key]
	switch {
	case old == nil && new == nil:
		s.fail("%s %v: a change from nothing to nothing", what, key)
	case (old != nil) != there:
		s.fail("%s %v: old is %v, and told before was %v", what, key, old != nil, there)
	case old != nil && *old != have:
		s.fail("%s: old is %+v, and told before was %+v", what, *old, have)
	case old != nil && new != nil && *old == *new:
		s.fail("%s %v: a change that changes nothing", what, key)
	}
	if new == nil {
		delete(m, key)
	} else {
		m[key] = *new
	}
	s.note("%s %v %v", what, key, new != nil)
}

func either[V any](a, b *V) *V {
	if a != nil {
		return a
	}
	return b
}

func (s *shadow) LinkChanged(_ model.NS, old, new *rtnl.Link) {
	told(s, "link", s.links, either(old, new).Index, old, new)
}

func (s *shadow) AddrChanged(ns model.NS, old, new *rtnl.Addr) {
	told(s, "addr", s.addrs, model.KeyOfAddr(ns, either(old, new)), old, new)
}

func (s *shadow) NeighChanged(_ model.NS, old, new *rtnl.Neigh) {
	n := either(old, new)
	told(s, "neigh", s.neighs, fmt.Sprint(n.Index, n.Dst), old, new)
}

func (s *shadow) NexthopChanged(_ model.NS, old, new *rtnl.Nexthop) {
	told(s, "nexthop", s.nexthops, either(old, new).ID, old, new)
}

func (s *shadow) NetconfChanged(_ model.NS, old, new *rtnl.Netconf) {
	n := either(old, new)
	told(s, "netconf", s.netconfs, fmt.Sprint(n.Family, n.Index), old, new)
}

func (s *shadow) RuleChanged(_ model.NS, old, new *rtnl.Rule) {
	s.calls++
	switch {
	case old == nil && new == nil:
		s.fail("rule: a change from nothing to nothing")
	case old != nil && !s.rules[*old]:
		s.fail("rule: old was never told: %+v", *old)
	case new != nil && s.rules[*new]:
		s.fail("rule: new was told before: %+v", *new)
	}
	if old != nil {
		delete(s.rules, *old)
	}
	if new != nil {
		s.rules[*new] = true
	}
	s.note("rule %v %v", either(old, new).Priority, new != nil)
}

// RouteChanged does not say what has changed: the engine has it.
func (s *shadow) RouteChanged(key model.RouteKey) {
	s.calls++
	if now := s.e.Routes(key); len(now) == 0 {
		delete(s.routes, key)
	} else {
		s.routes[key] = slices.Clone(now)
	}
	s.note("route %v", key)
}

func (s *shadow) SyncBegin(_ model.NS, k rtnl.Kind) {
	s.syncing[k] = true
	s.note("begin %s", k)
}

func (s *shadow) SyncEnd(_ model.NS, k rtnl.Kind) {
	if !s.syncing[k] {
		s.fail("sync of %s ends and has not begun", k)
	}
	delete(s.syncing, k)
	s.note("end %s", k)
}

// check compares what was told with what the engine shows.
func (s *shadow) check() error {
	if s.wrong != nil {
		return s.wrong
	}
	told, have := newTables(), modelOf(s.e)
	for _, l := range s.links {
		told.addLink(l)
		if named := s.e.LinkByName(l.Name); named == nil {
			return fmt.Errorf("link %d is not found by its name %s", l.Index, l.Name)
		}
	}
	for _, a := range s.addrs {
		told.addAddr(a)
	}
	for _, n := range s.neighs {
		told.addNeigh(n)
	}
	for _, n := range s.nexthops {
		told.addNexthop(n)
	}
	for _, n := range s.netconfs {
		told.addNetconf(n)
	}
	for r := range s.rules {
		told.addRule(r)
	}
	for _, rs := range s.routes {
		for _, r := range rs {
			told.addRoute(r)
		}
	}
	if d := diff(told, have); len(d) > 0 {
		return fmt.Errorf("what was told (-) is not what there is (+): %q", d)
	}
	return s.counts()
}

func (s *shadow) counts() error {
	n := map[rtnl.Kind]int{rtnl.KindLink: len(s.links), rtnl.KindAddr: len(s.addrs), rtnl.KindNeigh: len(s.neighs),
		rtnl.KindNexthop: len(s.nexthops), rtnl.KindRule: len(s.rules), rtnl.KindNetconf: len(s.netconfs)}
	for _, rs := range s.routes {
		n[rtnl.KindRoute] += len(rs)
	}
	for _, k := range tableKinds {
		if n[k] != s.e.Count(k) {
			return fmt.Errorf("%d %s objects were told, %d are counted", n[k], k, s.e.Count(k))
		}
	}
	return nil
}
