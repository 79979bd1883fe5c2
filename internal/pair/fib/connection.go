package fib

import (
	"slices"
	"time"

	"netbraid/internal/dataplane"
)

// phase is where the connection stands.
type phase uint8

const (
	down      phase = iota
	dumping         // a dump is wanted, or on its way: nothing is emitted
	comparing       // with what the dump has shown
	settling        // waiting for the pairs and the namespaces
	up
)

var phaseNames = [...]string{"disconnected", "dumping", "comparing", "settling", "up"}

// settleMax is how long a new connection waits until everything is known that
// routes stand on, so that no route goes a way that it would leave at once.
const settleMax = 10 * time.Second

// Connected begins a connection. Nothing is emitted before the dump of its
// tables and routes has ended.
func (t *Table) Connected(now time.Time, caps dataplane.Caps) {
	t.Lost()
	t.phase, t.fresh, t.complete, t.again = dumping, true, false, false
	t.settleBy = now.Add(settleMax)
	t.forgetTables(true)
	if other := caps.MPLS != t.caps.MPLS || caps.MaxPaths != t.caps.MaxPaths; other {
		t.caps = caps
		for _, sp := range t.spaces {
			t.stale(sp)
		}
	}
}

// Lost ends a connection: what the dataplane has is a guess until the next
// dump, and what was in flight will not be answered.
func (t *Table) Lost() {
	// The flags of entries that say otherwise are taken off by the comparison.
	t.phase, t.fresh = down, true
	t.head, t.tail, t.queue, t.flying, t.waiting, t.unsupported = 0, 0, 0, 0, 0, 0
	t.waits = [delays][]attempt{}
	clear(t.failures)
	t.missing = false
	t.endSeen()
}

// Redump asks for a comparison with what the dataplane has, without a new
// connection: nothing more is emitted, and when nothing is in flight any more
// (Drained) KindTable and KindRoute are to be dumped. While a dump is on its way
// or is being compared this is remembered: then operations go on until Drained
// is asked.
func (t *Table) Redump() {
	switch t.phase {
	case dumping, comparing:
		t.again = true
	case settling, up:
		t.phase, t.again = dumping, false
		t.forgetTables(false)
	}
}

// Drained tells that the dumps may begin: a connection is there, a dump is
// wanted, and nothing is in flight. It is to be asked when the time for a dump
// has come.
func (t *Table) Drained() bool {
	if t.again && t.phase > comparing {
		t.Redump()
	}
	return t.phase == dumping && t.flying == 0
}

// seenMax bounds the path sets of a dump that are remembered by their address.
const seenMax = 1 << 14

// Dumped tells of routes of ours that the dataplane has.
func (t *Table) Dumped(routes []dataplane.Route) {
	if t.phase != dumping {
		return
	}
	for i := range routes {
		r := &routes[i]
		var k entryKey
		if r.Key.MPLS() {
			k.setLabel(r.Key.Label, r.Key.EOS)
		} else {
			k.setDst(r.Key.Prefix.Masked())
		}
		if k.fib = t.fib(r.Key.Table, k.fam); k.fib == noFIB || r.Paths == nil {
			continue
		}
		if t.fresh {
			t.fibs[k.fib].ours = true
		}
		t.dumped(&k, t.seenSet(r.Paths))
	}
}

func (t *Table) dumped(k *entryKey, set uint32) {
	id := t.ent.find(k)
	if id == 0 {
		id = t.ent.add(k)
		t.ent.at(id).flags |= unclaimed
		t.unclaimed++
	}
	e := t.ent.at(id)
	e.flags |= marked
	if e.have == set {
		return
	}
	was := e.counts()
	t.has(e, t.sets.again(set))
	t.recount(e, was)
}

// seenSet gives the id of a path set of a dump. Equal ones are mostly one.
func (t *Table) seenSet(s *dataplane.PathSet) uint32 {
	if s == t.lastSeen {
		return t.lastSet
	}
	id, ok := t.seen[s]
	if !ok {
		if len(t.seen) >= seenMax {
			t.endSeen()
		}
		b := &t.building
		b.Kind = s.Kind
		b.Paths = append(b.Paths[:0], s.Paths...)
		b.Sort()
		id = t.intern(b)
		t.seen[s] = id
	}
	t.lastSeen, t.lastSet = s, id
	return id
}

// endSeen forgets the path sets of a dump.
func (t *Table) endSeen() {
	for _, id := range t.seen {
		t.sets.release(id)
	}
	clear(t.seen)
	t.lastSeen = nil
}

// DumpDone ends the dump of routes. After one that was not complete, what it
// has not shown is written again, nothing unknown is removed, and Status says
// that another dump is wanted.
func (t *Table) DumpDone(now time.Time, complete bool) {
	if t.phase != dumping || t.flying > 0 {
		return
	}
	t.endSeen()
	t.tablesDone(complete)
	t.phase, t.complete, t.compareAt = comparing, complete, 1
	t.sweeping = false
}

// entriesPerBudget is how many entries are compared at the cost of one route.
const entriesPerBudget = 8

// compareSlice goes on with the comparison.
func (t *Table) compareSlice(budget int) int {
	n := budget * entriesPerBudget
	for ; t.compareAt < t.ent.end() && n > 0; n-- {
		id := t.compareAt
		t.compareAt++ // first: what is to be done to it may go into the queue now
		if e := t.ent.at(id); e.is(entryLive) {
			t.compare(id, e)
		}
	}
	if t.compareAt >= t.ent.end() {
		t.phase, t.fresh = settling, false
	}
	return n / entriesPerBudget
}

// compare looks at an entry after a dump.
func (t *Table) compare(id uint32, e *entry) {
	was := e.counts()
	guess := e.have != setNone || e.is(inFlight)
	if t.fresh {
		if e.is(inFlight) {
			t.sets.release(e.link)
		}
		e.flags &^= queued | inFlight | waiting | noInterface | unsupported
		e.setTries(0)
	}
	switch {
	case e.is(marked):
		e.flags &^= marked
	case t.complete:
		t.has(e, setNone)
	case t.fresh && guess:
		t.has(e, setUnknown)
	}
	t.recount(e, was)
	if e.have == setNone && e.is(unclaimed) {
		e.flags &^= unclaimed
		t.unclaimed--
	}
	if !e.is(waiting|unsupported) || e.wanted() == e.have {
		t.touch(id, e)
	}
}

// emits tells whether operations may go out.
func (t *Table) emits(now time.Time) bool {
	if t.phase == settling && (!now.Before(t.settleBy) || t.calm() && t.host.Settled()) {
		t.phase = up
	}
	return t.phase == up
}

// mayRemove tells whether what no namespace has ever wanted is to be removed:
// everything that the dataplane has is known, and everything that is wanted.
func (t *Table) mayRemove() bool {
	return t.unclaimed > 0 && t.phase == up && t.complete && t.calm() && t.host.Settled()
}

// removeSlice has unclaimed routes removed.
func (t *Table) removeSlice(budget int) int {
	if !t.sweeping {
		t.sweeping, t.sweepAt = true, 1
	}
	n := budget * entriesPerBudget
	for ; t.sweepAt < t.ent.end() && n > 0; n-- {
		id := t.sweepAt
		t.sweepAt++
		if e := t.ent.at(id); e.is(unclaimed) {
			e.flags &^= unclaimed
			t.unclaimed--
			t.touch(id, e)
		}
	}
	if t.sweepAt >= t.ent.end() {
		t.sweeping = false
	}
	return n / entriesPerBudget
}

// Work does a slice of what changes of links, next-hop objects, pairs and
// connections have left to do, and tells whether more is left. A route costs 1
// of budget, one that has not changed less. It wants to be called whenever
// anything has happened.
func (t *Table) Work(now time.Time, budget int) bool {
	// Namespaces take turns, and what comes after them has a share of its own:
	// one whose links change all the time holds up nobody.
	share := budget/4 + 1
	for i := range t.spaces {
		if sp := t.spaces[(t.turn+i)%len(t.spaces)]; sp.walking && budget > 0 {
			budget = t.walkSpace(sp, budget)
		}
	}
	t.turn++
	budget = max(budget, share)
	if t.phase == comparing {
		budget = max(t.compareSlice(budget), share)
	}
	if t.mayPurge() {
		budget = max(t.purgeSlice(budget), share)
	}
	t.emits(now)
	if t.mayRemove() {
		t.removeSlice(budget)
	}
	return t.busy()
}

// busy tells whether Work has something left.
func (t *Table) busy() bool {
	return t.phase == comparing || t.purging || t.mayRemove() || slices.ContainsFunc(t.spaces, func(sp *space) bool { return sp.walking })
}

// Idle tells that nothing is queued, in flight or left to Work.
func (t *Table) Idle() bool {
	return t.queue == 0 && t.flying == 0 && (t.phase == up || t.phase == down) && !t.busy()
}
