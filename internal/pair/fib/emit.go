package fib

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"netbraid/internal/dataplane"
)

// Delays before what was refused is tried again, by how often it was.
const (
	firstDelay = time.Second
	lastDelay  = 60 * time.Second
	delays     = 7 // 1, 2, 4, 8, 16, 32, 60 s
)

func backoff(tries int) time.Duration {
	if tries >= delays {
		return lastDelay
	}
	return firstDelay << max(tries-1, 0)
}

// attempt is an entry that waits. Those of one delay stand in the order of
// their time.
type attempt struct {
	id, seq uint32
	at      time.Time
}

// failuresMax bounds the refusals that Status can tell the reason of.
const failuresMax = 256

// touch has an entry looked at that may not be as it must: it goes into the
// queue unless it is there, or will be looked at anyway.
func (t *Table) touch(id uint32, e *entry) {
	switch {
	case e.is(inFlight): // Done looks again
	case t.phase < comparing || t.phase == comparing && id >= t.compareAt:
		if !t.fresh { // the comparison will see it
			t.calmDown(id, e)
		}
		t.drop(id, e)
	case e.is(queued):
	case e.wanted() == e.have || e.is(unclaimed):
		t.calmDown(id, e)
		t.drop(id, e)
	default:
		t.calmDown(id, e)
		t.enqueue(id, e)
	}
}

// calmDown lets an entry wait no longer; how often it was refused is kept.
func (t *Table) calmDown(id uint32, e *entry) {
	if e.is(waiting) {
		t.waiting--
	}
	if e.is(unsupported) {
		t.unsupported--
	}
	if e.is(waiting | unsupported) {
		delete(t.failures, id)
	}
	e.flags &^= waiting | noInterface | unsupported
}

func (t *Table) enqueue(id uint32, e *entry) {
	e.flags |= queued
	e.link = 0
	if t.tail == 0 {
		t.head = id
	} else {
		t.ent.at(t.tail).link = id
	}
	t.tail = id
	t.queue++
}

func (t *Table) dequeue() (uint32, *entry) {
	id := t.head
	e := t.ent.at(id)
	if t.head = e.link; t.head == 0 {
		t.tail = 0
	}
	e.flags &^= queued
	t.queue--
	return id, e
}

// drop removes an entry that stands for nothing.
func (t *Table) drop(id uint32, e *entry) {
	if e.want == setNone && e.have == setNone && !e.is(queued|inFlight|waiting|unsupported|marked) {
		t.succeeded(id, e)
		t.ent.remove(id)
	}
}

// looksMax is how many entries Next looks at for each operation that it may
// emit, at most: some of them need none any more.
const looksMax = 16

// Next appends the next operations to out until it has max, and returns it.
// They are in flight until Done or Lost. Op.Ref is the entry's slot.
func (t *Table) Next(now time.Time, out []dataplane.Op, max int) []dataplane.Op {
	if !t.emits(now) {
		return out
	}
	t.due(now)
	out = t.nextTables(now, out, max, true)
	for looks := looksMax * (max - len(out)); looks > 0 && t.head != 0 && len(out) < max; looks-- {
		id := t.head
		e := t.ent.at(id)
		set := e.wanted()
		if set != setNone && set != e.have {
			var ok bool
			if out, ok = t.ready(out, e.fib); ok && len(out) >= max {
				return out // its FIB has been added
			} else if !ok {
				t.dequeue()
				t.enqueue(id, e)
				continue
			}
		}
		t.dequeue()
		if set == e.have {
			t.succeeded(id, e)
			t.drop(id, e)
			continue
		}
		out = t.emit(out, id, e, set)
	}
	return t.nextTables(now, out, max, false)
}

// emit appends the operation that makes an entry be set.
func (t *Table) emit(out []dataplane.Op, id uint32, e *entry, set uint32) []dataplane.Op {
	e.flags |= inFlight
	e.link = t.sets.again(set)
	t.flying++
	out = append(out, dataplane.Op{Kind: dataplane.RouteDel, Family: e.fam, Ref: id})
	op := &out[len(out)-1]
	op.Route = e.routeKey(t.fibs[e.fib].id)
	if set != setNone {
		op.Kind, op.Paths = dataplane.RouteSet, t.sets.list[set].set
	}
	return out
}

// due puts what has waited long enough into the queue.
func (t *Table) due(now time.Time) {
	for i := range t.waits {
		for list := &t.waits[i]; len(*list) > 0 && !(*list)[0].at.After(now); *list = (*list)[1:] {
			t.retry((*list)[0])
		}
	}
}

// retry puts what waited into the queue, if it still does.
func (t *Table) retry(a attempt) {
	e := t.ent.at(a.id)
	if !e.is(waiting) || e.link != a.seq {
		return
	}
	e.flags &^= waiting | noInterface
	t.waiting--
	t.enqueue(a.id, e)
}

// InterfacesChanged tells that the dataplane has another interface: what failed
// for want of one is tried again.
func (t *Table) InterfacesChanged() {
	if !t.missing {
		return
	}
	t.missing = false
	for i := range t.waits {
		for _, a := range t.waits[i] {
			if t.ent.at(a.id).is(noInterface) {
				t.retry(a)
			}
		}
	}
}

// InterfaceGone tells that an interface of the dataplane is no more. Another one
// may get its number: what went through the old one does not go through that.
func (t *Table) InterfaceGone(index uint32) {
	if t.sets.forget(index) {
		for _, sp := range t.spaces {
			t.stale(sp)
		}
	}
	t.InterfacesChanged()
}

// Done takes the answer to a batch; operations in it that are not from Next
// (those of interfaces) are passed over.
func (t *Table) Done(now time.Time, ops []dataplane.Op, failed []dataplane.Failed) {
	byPlace := func(a, b dataplane.Failed) int { return cmp.Compare(a.Op, b.Op) }
	if !slices.IsSortedFunc(failed, byPlace) {
		failed = slices.SortedFunc(slices.Values(failed), byPlace)
	}
	for i := range ops {
		var err error
		for len(failed) > 0 && failed[0].Op <= i {
			if failed[0].Op == i {
				err = failed[0].Err
			}
			failed = failed[1:]
		}
		switch op := &ops[i]; {
		case isTable(op):
			t.doneTable(now, op, err)
		case op.Kind == dataplane.RouteSet || op.Kind == dataplane.RouteDel:
			t.doneRoute(now, op, err)
		}
	}
}

func (t *Table) doneRoute(now time.Time, op *dataplane.Op, err error) {
	if op.Ref >= t.ent.end() {
		return
	}
	id, e := op.Ref, t.ent.at(op.Ref)
	if !e.is(inFlight) {
		return
	}
	was, sent := e.counts(), e.link
	e.flags &^= inFlight
	t.flying--
	if err != nil {
		t.refused(now, id, e, sent, err)
		t.sets.release(sent)
	} else {
		t.has(e, sent)
		t.succeeded(id, e)
	}
	t.recount(e, was)
	if e.is(waiting | unsupported) {
		return
	}
	if e.wanted() == e.have {
		t.drop(id, e)
	} else {
		t.enqueue(id, e)
	}
}

// succeeded forgets that an entry was refused.
func (t *Table) succeeded(id uint32, e *entry) {
	if e.tries() > 0 {
		e.setTries(0)
		delete(t.failures, id)
	}
}

// refused decides when what was refused is tried again: at once when something
// else is wanted by now, never on this connection when it cannot be done.
func (t *Table) refused(now time.Time, id uint32, e *entry, sent uint32, err error) {
	e.setTries(e.tries() + 1)
	if e.wanted() != sent {
		return
	}
	f := failure{err: err.Error()}
	if errors.Is(err, dataplane.ErrUnsupported) {
		e.flags |= unsupported
		t.unsupported++
	} else {
		f.retry = t.wait(now, id, e)
		if errors.Is(err, dataplane.ErrNoInterface) {
			e.flags |= noInterface
			t.missing = true
		}
	}
	if len(t.failures) < failuresMax || t.failures[id].err != "" {
		t.failures[id] = f
	}
}

// wait lets an entry wait for its next attempt.
func (t *Table) wait(now time.Time, id uint32, e *entry) time.Time {
	t.attempts++
	a := attempt{id, t.attempts, now.Add(backoff(e.tries()))}
	e.flags |= waiting
	e.link = a.seq
	t.waiting++
	list := &t.waits[min(e.tries(), delays)-1]
	if len(*list) > 1024+2*t.waiting { // most wait no longer
		*list = slices.DeleteFunc(*list, func(a attempt) bool {
			e := t.ent.at(a.id)
			return !e.is(waiting) || e.link != a.seq
		})
	}
	*list = append(*list, a)
	return a.at
}

// Deadline is when Next has something to say again because of time; zero for
// never.
func (t *Table) Deadline() time.Time {
	var at time.Time
	earlier := func(x time.Time) {
		if at.IsZero() || x.Before(at) {
			at = x
		}
	}
	switch t.phase {
	case settling:
		earlier(t.settleBy)
	case up:
		for i := range t.waits {
			if len(t.waits[i]) > 0 {
				earlier(t.waits[i][0].at)
			}
		}
		for _, i := range t.dirty {
			if v := &t.fibs[i]; !v.retry.IsZero() {
				earlier(v.retry)
			}
		}
	}
	return at
}
