package fib

import (
	"fmt"
	"slices"
)

// Check tells whether the invariants of the table hold; it looks at everything
// and is for tests.
func (t *Table) Check() error {
	refs := make([]uint32, len(t.sets.list))
	hold := func(set uint32) {
		if set >= setFirst {
			refs[set]++
		}
	}
	var sum tally
	sum.routes = make([]int, len(t.fibs))
	for id := uint32(1); id < t.ent.end(); id++ {
		e := t.ent.at(id)
		if !e.is(entryLive) {
			continue
		}
		hold(e.want)
		hold(e.have)
		if e.is(inFlight) {
			hold(e.link)
		}
		if err := t.checkEntry(id, e, &sum); err != nil {
			k := e.routeKey(t.fibs[e.fib].id)
			return fmt.Errorf("entry %d, %v of table %d: %w", id, k.Prefix, k.Table, err)
		}
	}
	for id, list := range t.several {
		if e := t.ent.at(id); !e.is(entryLive) || !e.is(several) {
			return fmt.Errorf("candidates of entry %d, which has none", id)
		}
		for _, c := range list {
			hold(c.set)
		}
	}
	for _, sp := range t.spaces {
		for i := range sp.trans {
			hold(sp.trans[i].set)
		}
	}
	for _, set := range t.seen {
		hold(set)
	}
	for i := int(setFirst); i < len(refs); i++ {
		if s := &t.sets.list[i]; refs[i] != s.refs || (s.refs > 0) != (s.set != nil) {
			return fmt.Errorf("path set %d is used %d times and has %d references", i, refs[i], s.refs)
		}
	}
	return t.checkCounts(&sum)
}

// tally is what the counters must say.
type tally struct {
	n, unclaimed, queued, flying, waiting, unsupported, taken int
	wanted, there, different                                  int
	routes                                                    []int
}

func (t *Table) checkEntry(id uint32, e *entry, sum *tally) error {
	sum.n++
	if t.ent.find(&e.entryKey) != id {
		return fmt.Errorf("is not found by its key")
	}
	if e.counts() {
		sum.routes[e.fib]++
	}
	if e.wanted() != setNone {
		sum.wanted++
	}
	if e.have != setNone {
		sum.there++
	}
	if e.wanted() != e.have {
		sum.different++
	}
	if e.is(unclaimed) {
		sum.unclaimed++
		if e.want != setNone {
			return fmt.Errorf("is unclaimed and wanted")
		}
	}
	if e.is(several) {
		list := t.several[id]
		sum.taken += t.takenOf(list)
		if len(list) < 2 || !slices.IsSortedFunc(list, func(a, b candidate) int { return t.better(&a, &b) }) {
			return fmt.Errorf("has the candidates %v", list)
		}
		if b := list[0]; b.src != e.src || b.prio != e.prio || b.set != e.want {
			return fmt.Errorf("is not its best candidate")
		}
	}
	if t.fresh && (t.phase < comparing || id >= t.compareAt) {
		return nil // its flags are of the last connection
	}
	states := 0
	for _, x := range []struct {
		f uint16
		n *int
	}{{queued, &sum.queued}, {inFlight, &sum.flying}, {waiting, &sum.waiting}, {unsupported, &sum.unsupported}} {
		if e.is(x.f) {
			states++
			*x.n++
		}
	}
	looked := t.phase > comparing || t.phase == comparing && id < t.compareAt
	switch {
	case states > 1:
		return fmt.Errorf("is in several states: flags %#x", e.flags)
	case looked && states == 0 && !e.is(unclaimed) && e.wanted() != e.have:
		return fmt.Errorf("is not as it must be, and nothing is done about it")
	case looked && states == 0 && e.want == setNone && e.have == setNone:
		return fmt.Errorf("stands for nothing")
	case looked && e.is(marked):
		return fmt.Errorf("is marked")
	}
	return nil
}

// checkIndex tells whether the index counts what it has.
func (t *entries) checkIndex() error {
	n, left := 0, 0
	for i, id := range t.index {
		switch {
		case id != 0:
			n++
		case t.tags[i] == tagLeft:
			left++
		case t.tags[i] != 0:
			return fmt.Errorf("place %d of the index has no entry and the tag %d", i, t.tags[i])
		}
	}
	if n != t.n || left != t.left || n+left > 0 && n+left == len(t.index) {
		return fmt.Errorf("the index of %d places has %d entries and %d left ones, and counts %d and %d", len(t.index), n, left, t.n, t.left)
	}
	return nil
}

func (t *Table) checkCounts(sum *tally) error {
	if err := t.ent.checkIndex(); err != nil {
		return err
	}
	for i := range t.fibs {
		v := &t.fibs[i]
		if v.routes != sum.routes[i] || v.holds < 0 {
			return fmt.Errorf("table %d has %d routes, and counts %d; %d holds", v.id, sum.routes[i], v.routes, v.holds)
		}
		if v.state == adding || v.state == deleting {
			sum.flying++
		}
	}
	if t.phase == down {
		sum.flying = 0
	}
	n := 0
	for id := t.head; id != 0; id = t.ent.at(id).link {
		if n++; n > sum.queued || !t.ent.at(id).is(queued) {
			return fmt.Errorf("the queue has entry %d, which is not in it", id)
		}
	}
	have := tally{t.ent.n, t.unclaimed, t.queue, t.flying, t.waiting, t.unsupported, t.taken, t.wanted, t.there, t.different, nil}
	want := *sum
	want.routes = nil
	if fmt.Sprint(have) != fmt.Sprint(want) || n != t.queue {
		return fmt.Errorf("counted %+v, there are %+v, %d in the queue", have, want, n)
	}
	return nil
}
