package fib

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// candidate is a route of Linux for an entry.
type candidate struct {
	src  uint16
	prio uint32
	set  uint32
}

// RouteChanged tells that the routes of a key are not what they were.
func (t *Table) RouteChanged(key model.RouteKey) {
	if sp := t.space(key.NS); sp != nil {
		t.evaluate(sp, &key)
	}
}

// evaluate looks at the routes of a key.
func (t *Table) evaluate(sp *space, key *model.RouteKey) {
	src := t.source(sp, key.Table)
	if src == 0 {
		return
	}
	if key.TOS != 0 || key.Src.IsValid() {
		sp.countOdd(key)
		return
	}
	k := entryKey{}
	if key.Family == unix.AF_MPLS {
		set, held := t.routesOf(sp, key)
		k.fib = t.fib(0, unix.AF_MPLS)
		for _, eos := range [...]bool{false, true} {
			k.setLabel(key.Label, eos)
			t.put(&k, src, key.Priority, set)
		}
		t.sets.release(held)
		return
	}
	if !key.Dst.IsValid() || !mirroredDst(key.Dst) {
		return
	}
	k.setDst(key.Dst)
	if k.fam != key.Family { // of a family that is not mirrored
		return
	}
	if k.fib = t.fib(t.sources[src].fib, k.fam); k.fib == noFIB {
		return
	}
	set, held := t.routesOf(sp, key)
	t.put(&k, src, key.Priority, set)
	t.sets.release(held)
}

// countOdd notes a route that no FIB can have.
func (sp *space) countOdd(key *model.RouteKey) {
	if id, one := sp.eng.RouteAttr(key); one && id == 0 {
		delete(sp.odd, *key)
	} else {
		sp.odd[*key] = struct{}{}
	}
}

// routesOf gives the path set of the routes of a key. held is a reference to
// be given back.
func (t *Table) routesOf(sp *space, key *model.RouteKey) (set, held uint32) {
	id, one := sp.eng.RouteAttr(key)
	if !one {
		return t.among(sp, key)
	}
	if id == 0 {
		return setNone, setNone
	}
	tr := t.translated(sp, id)
	if tr.dev != 0 && t.host.Connected(sp.ns, tr.dev, key.Dst) {
		return setOwn, setNone
	}
	return tr.set, setNone
}

// among chooses among several routes of a key: the first in the kernel's order
// that is alive; of IPv6 that of the best router preference, and with it all
// of its siblings (find_rr_leaf, rt6_multipath_select: net/ipv6/route.c).
func (t *Table) among(sp *space, key *model.RouteKey) (set, held uint32) {
	t.rows = sp.eng.AppendRoutes(t.rows[:0], *key)
	if key.Family == unix.AF_INET6 {
		slices.SortStableFunc(t.rows, func(a, b rtnl.Route) int { return cmp.Compare(prefRank(&b), prefRank(&a)) })
	}
	for i := range t.rows {
		r := &t.rows[i]
		set, dev, w := t.translate(sp, r)
		switch {
		case w == ends:
			return setOwn, setNone
		case w != mirrored:
			continue
		case dev != 0 && t.host.Connected(sp.ns, dev, key.Dst):
			t.sets.release(set)
			return setOwn, setNone
		case !sibling(r):
			return set, set
		}
		t.sets.release(set)
		b := &t.building
		b.Paths = b.Paths[:0]
		for j := range t.rows {
			if x := &t.rows[j]; sibling(x) && x.Type == r.Type {
				t.build(sp, x, b)
			}
		}
		set = t.finish(b)
		return set, set
	}
	return setNone, setNone
}

// sibling tells whether an IPv6 route is one that forms ECMP with others of
// its key (rt6_qualify_for_ecmp).
func sibling(r *rtnl.Route) bool {
	return r.Family == unix.AF_INET6 && r.Type == unix.RTN_UNICAST && r.NHID == 0 && r.Protocol != unix.RTPROT_RA &&
		(r.Gateway.IsValid() || r.Multipath != "")
}

// prefRank orders router preferences (RFC 4191): high, medium, low.
func prefRank(r *rtnl.Route) int {
	const high, low = 1, 3 // ICMPV6_ROUTER_PREF_*
	switch r.Pref {
	case high:
		return 1
	case low:
		return -1
	}
	return 0
}

// better orders candidates: the lower namespace, then the lower metric.
func (t *Table) better(a, b *candidate) int {
	x, y := &t.sources[a.src], &t.sources[b.src]
	return cmp.Or(cmp.Compare(x.ns, y.ns), cmp.Compare(a.prio, b.prio), cmp.Compare(x.table, y.table), cmp.Compare(a.src, b.src))
}

// put makes set what one route of Linux contributes to an entry.
func (t *Table) put(k *entryKey, src uint16, prio uint32, set uint32) {
	id := t.ent.find(k)
	if id == 0 {
		if set == setNone {
			return
		}
		id = t.ent.add(k)
	}
	e := t.ent.at(id)
	c := candidate{src, prio, set}
	switch {
	case e.is(several):
		t.putAmong(id, e, c)
	case e.want == setNone || e.src == src && e.prio == prio:
		if set == e.want {
			return
		}
		t.want(id, e, c)
	case set == setNone:
		return
	default:
		t.several[id] = []candidate{{e.src, e.prio, t.sets.again(e.want)}}
		e.flags |= several
		t.putAmong(id, e, c)
	}
}

// putAmong puts a candidate among those of an entry that has had several.
func (t *Table) putAmong(id uint32, e *entry, c candidate) {
	list := t.several[id]
	t.taken -= t.takenOf(list)
	at, found := slices.BinarySearchFunc(list, c, func(a, b candidate) int { return t.better(&a, &b) })
	switch {
	case found:
		t.sets.release(list[at].set)
		if list[at].set = t.sets.again(c.set); c.set == setNone {
			list = slices.Delete(list, at, at+1)
		}
	case c.set != setNone:
		c.set = t.sets.again(c.set)
		list = slices.Insert(list, at, c)
	}
	t.relist(id, e, list)
}

// relist gives an entry other candidates, of which taken does not count any.
func (t *Table) relist(id uint32, e *entry, list []candidate) {
	var best candidate
	if len(list) > 0 {
		best = list[0]
	}
	if len(list) > 1 {
		t.several[id] = list
		t.taken += t.takenOf(list)
		t.want(id, e, best)
		return
	}
	delete(t.several, id)
	e.flags &^= several
	t.want(id, e, best)
	t.sets.release(best.set)
}

// takenOf counts the candidates that another namespace keeps out.
func (t *Table) takenOf(list []candidate) (n int) {
	for i := range list {
		if t.sources[list[i].src].ns != t.sources[list[0].src].ns {
			n++
		}
	}
	return n
}

// want makes c what the entry must be.
func (t *Table) want(id uint32, e *entry, c candidate) {
	was, before := e.counts(), e.wanted()
	old := e.want
	e.src, e.prio, e.want = c.src, c.prio, t.sets.again(c.set)
	now := e.wanted()
	t.wanted += bit(now != setNone) - bit(before != setNone)
	t.different += bit(now != e.have) - bit(before != e.have)
	t.sets.release(old)
	if c.set != setNone && e.is(unclaimed) {
		e.flags &^= unclaimed
		t.unclaimed--
	}
	t.recount(e, was)
	if old != c.set {
		t.touch(id, e)
	}
}

// purge has the candidates of sources that are gone removed.
func (t *Table) purge() {
	t.clock++
	t.purging, t.purgeAgain, t.purgeSince = true, t.purging, t.clock
	if !t.purgeAgain {
		t.purgeAt = 1
	}
}

// mayPurge tells whether what replaces the routes of such sources is known.
func (t *Table) mayPurge() bool {
	for _, sp := range t.spaces {
		if sp.walking && sp.settled < t.purgeSince {
			return false
		}
	}
	return t.purging
}

// purgeSlice goes on with that.
func (t *Table) purgeSlice(budget int) int {
	n := budget * entriesPerBudget
	for ; t.purgeAt < t.ent.end() && n > 0; t.purgeAt++ {
		n--
		id := t.purgeAt
		e := t.ent.at(id)
		switch {
		case !e.is(entryLive) || e.want == setNone:
		case e.is(several):
			n -= entriesPerBudget
			list := t.several[id]
			t.taken -= t.takenOf(list)
			list = slices.DeleteFunc(list, func(c candidate) bool {
				gone := t.sources[c.src].dead
				if gone {
					t.sets.release(c.set)
				}
				return gone
			})
			t.relist(id, e, list)
		case t.sources[e.src].dead:
			n -= entriesPerBudget
			t.want(id, e, candidate{})
		}
	}
	if budget = max(n/entriesPerBudget, 0); t.purgeAt < t.ent.end() {
		return budget
	}
	t.purgeAt = 1
	if t.purgeAgain {
		t.purgeAgain = false
		return budget
	}
	t.purging = false
	for i := range t.sources {
		if t.sources[i].dead && i > 0 {
			t.sources[i] = source{}
			t.freeSources = append(t.freeSources, uint16(i))
		}
	}
	return budget
}
