package fib

import (
	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// space is a namespace whose routes go to the dataplane.
type space struct {
	ns  model.NS
	eng *mirror.Engine
	// sources has the place in Table.sources of each routing table.
	sources  map[uint32]uint16
	lastID   uint32 // the table asked for last, and its source
	lastFrom uint16
	// trans are translations by the id of what routes share. They stand on links
	// and pairs as they have been since linkAt, on next-hop objects since nhAt.
	trans        []translation
	linkAt, nhAt uint64
	// A walk looks at routes again. settled is when the last one began that went
	// through: what has not changed since has been seen.
	cursor  mirror.Cursor
	walking bool
	lapAt   uint64
	settled uint64
	// lost4 are the links that are up and have lost their last IPv4 address: an
	// IPv4 next hop there is dead, one on a link that never had any is not
	// (fib_disable_ip, net/ipv4/fib_frontend.c).
	lost4 map[uint32]struct{}
	odd   map[model.RouteKey]struct{} // routes that depend on more than the destination
}

// source is a routing table of a namespace.
type source struct {
	ns    model.NS
	table uint32
	fib   uint32
	ok    bool // it goes to a FIB
	dead  bool // the namespace or its mapping is gone
}

func (t *Table) space(ns model.NS) *space {
	for _, sp := range t.spaces {
		if sp.ns == ns {
			return sp
		}
	}
	return nil
}

// AddNS lets a namespace take part: its routes are read in slices (Work), and
// RouteChanged and its like are heeded from now on. Those of other namespaces
// are ignored.
func (t *Table) AddNS(ns model.NS) {
	eng := t.host.Mirror(ns)
	if eng == nil || t.space(ns) != nil {
		return
	}
	t.clock++
	t.spaces = append(t.spaces, &space{
		ns: ns, eng: eng, sources: map[uint32]uint16{}, linkAt: t.clock, nhAt: t.clock, walking: true, lapAt: t.clock,
		lost4: map[uint32]struct{}{}, odd: map[model.RouteKey]struct{}{},
	})
}

// DropNS ends that. The namespace's mirror may be gone already.
func (t *Table) DropNS(ns model.NS) {
	for i, sp := range t.spaces {
		if sp.ns == ns {
			t.leave(sp)
			t.spaces = append(t.spaces[:i:i], t.spaces[i+1:]...)
			return
		}
	}
}

// leave gives up what a namespace holds; its routes are removed by Work.
func (t *Table) leave(sp *space) {
	for i := range sp.trans {
		t.sets.release(sp.trans[i].set)
	}
	for _, i := range sp.sources {
		t.sources[i].dead = true
	}
	t.purge()
}

// sourcesMax bounds the routing tables of all namespaces together.
const sourcesMax = 1<<16 - 1

// source gives the place of a routing table in t.sources; 0 when it goes to no
// FIB.
func (t *Table) source(sp *space, table uint32) uint16 {
	if sp.lastFrom != 0 && sp.lastID == table {
		return sp.lastFrom
	}
	i, ok := sp.sources[table]
	if !ok {
		s := source{ns: sp.ns, table: table}
		s.fib, s.ok = t.host.Table(sp.ns, table)
		s.ok = s.ok && table != unix.RT_TABLE_LOCAL
		if i = t.newSource(s); i == 0 {
			return 0
		}
		sp.sources[table] = i
	}
	if !t.sources[i].ok {
		return 0
	}
	sp.lastID, sp.lastFrom = table, i
	return i
}

func (t *Table) newSource(s source) uint16 {
	if n := len(t.freeSources); n > 0 {
		i := t.freeSources[n-1]
		t.freeSources = t.freeSources[:n-1]
		t.sources[i] = s
		return i
	}
	if len(t.sources) > sourcesMax {
		return 0
	}
	t.sources = append(t.sources, s)
	return uint16(len(t.sources) - 1)
}

// TablesChanged tells that Host.Table says something else.
func (t *Table) TablesChanged() {
	for _, sp := range t.spaces {
		other := false
		for table, i := range sp.sources {
			s := &t.sources[i]
			fib, ok := t.host.Table(sp.ns, table)
			if ok = ok && table != unix.RT_TABLE_LOCAL; ok != s.ok || ok && fib != s.fib {
				s.dead, other = true, true
				delete(sp.sources, table)
			}
		}
		if other {
			sp.lastFrom = 0
			sp.all(t)
			t.purge()
		}
	}
}

// SetFilter gives the route protocols that are not mirrored.
func (t *Table) SetFilter(skip []uint8) {
	var f [256]bool
	for _, p := range skip {
		f[p] = true
	}
	if f == t.skip {
		return
	}
	t.skip = f
	for _, sp := range t.spaces {
		t.stale(sp)
	}
}

// stale says that translations stand on something that is not so any more.
func (t *Table) stale(sp *space) {
	t.clock++
	sp.linkAt = t.clock
	sp.walk(t)
}

// walk has the routes looked at again that have changed since they were.
func (sp *space) walk(t *Table) {
	if !sp.walking {
		sp.walking, sp.cursor, sp.lapAt = true, mirror.Cursor{}, t.clock
	}
}

// all has every route looked at again.
func (sp *space) all(t *Table) {
	t.clock++
	sp.linkAt, sp.settled = t.clock, 0
	sp.walking, sp.cursor, sp.lapAt = true, mirror.Cursor{}, t.clock
}

// Rebind tells that Phy, Connected or IgnoresLinkdown says something else of a
// link than it did.
func (t *Table) Rebind(ns model.NS, ifindex uint32) {
	if sp := t.space(ns); sp != nil {
		t.stale(sp)
	}
	t.InterfacesChanged()
}

// usable is what of a link decides whether packets leave through it.
func usable(l *rtnl.Link) (up, carrier bool, table uint32) {
	if l == nil {
		return false, false, 0
	}
	return l.Flags&unix.IFF_UP != 0, l.Flags&(unix.IFF_RUNNING|unix.IFF_LOWER_UP) != 0, l.VRFTable
}

// LinkChanged tells of a link, after the mirror has it.
func (t *Table) LinkChanged(ns model.NS, old, new *rtnl.Link) {
	sp := t.space(ns)
	if sp == nil {
		return
	}
	up, carrier, table := usable(new)
	wasUp, hadCarrier, hadTable := usable(old)
	if up == wasUp && carrier == hadCarrier && table == hadTable {
		return
	}
	l := new
	if l == nil {
		l = old
	}
	if up != wasUp {
		delete(sp.lost4, l.Index)
	}
	if _, ok := t.host.Phy(ns, l.Index); ok || table != hadTable || l.Flags&unix.IFF_LOOPBACK != 0 {
		t.stale(sp)
	}
}

// AddrChanged tells of an address, after the mirror has it: an IPv4 next hop
// dies with the last address of its link.
func (t *Table) AddrChanged(ns model.NS, old, new *rtnl.Addr) {
	sp := t.space(ns)
	if sp == nil || (old == nil) == (new == nil) {
		return
	}
	a := new
	if a == nil {
		a = old
	}
	if a.Family != unix.AF_INET {
		return
	}
	_, was := sp.lost4[a.Index]
	lost := new == nil && !hasIPv4(sp.eng, a.Index)
	if up, _, _ := usable(sp.eng.Link(a.Index)); lost == was || lost && !up {
		return
	}
	if lost {
		sp.lost4[a.Index] = struct{}{}
	} else {
		delete(sp.lost4, a.Index)
	}
	t.stale(sp)
}

func hasIPv4(eng *mirror.Engine, index uint32) bool {
	for _, a := range eng.AddrsOn(index) {
		if a.Family == unix.AF_INET {
			return true
		}
	}
	return false
}

// NexthopChanged tells of a next-hop object, after the mirror has it.
func (t *Table) NexthopChanged(ns model.NS, old, new *rtnl.Nexthop) {
	if sp := t.space(ns); sp != nil {
		t.clock++
		sp.nhAt = t.clock
		sp.walk(t)
	}
}

// walkSpace does a slice of the walk of a namespace and tells what is left of
// the budget.
func (t *Table) walkSpace(sp *space, budget int) int {
	done := sp.eng.WalkRoutes(&sp.cursor, budget,
		func(id uint32) bool {
			tr := t.translated(sp, id)
			return tr.changed > sp.settled || tr.dev != 0
		},
		func(k model.RouteKey) {
			budget--
			t.evaluate(sp, &k)
		})
	if !done {
		return 0
	}
	sp.walking, sp.settled = false, sp.lapAt
	if max(sp.linkAt, sp.nhAt) > sp.lapAt {
		sp.walk(t)
	}
	return max(budget-1, 0)
}

// calm tells whether every namespace is known and has been looked at.
func (t *Table) calm() bool {
	for _, sp := range t.spaces {
		if sp.walking {
			return false
		}
		for _, k := range [...]rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindNetconf, rtnl.KindNexthop, rtnl.KindRoute} {
			if !sp.eng.Live(k) {
				return false
			}
		}
	}
	return !t.purging
}
