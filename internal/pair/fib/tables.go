package fib

import (
	"errors"
	"time"

	"netbraid/internal/dataplane"
)

// vrf is a FIB of the dataplane.
type vrf struct {
	id     uint32
	family uint8
	state  vrfState
	ours   bool // we have made it, or it has had routes of ours when we came
	shown  bool // by the dump
	dirty  bool // on Table.dirty
	routes int  // entries that count (see entry.counts)
	holds  int
	tries  int
	retry  time.Time // of what was refused
}

type vrfState uint8

const (
	absent vrfState = iota
	adding
	there
	deleting
)

// noFIB is no place in Table.fibs.
const noFIB = ^uint16(0)

type vrfKey struct {
	id     uint32
	family uint8
}

// fib gives the place of a FIB, which stays; noFIB when there are too many.
func (t *Table) fib(id uint32, family uint8) uint16 {
	if int(t.lastFIB) < len(t.fibs) {
		if v := &t.fibs[t.lastFIB]; v.id == id && v.family == family {
			return t.lastFIB
		}
	}
	i, ok := t.fibOf[vrfKey{id, family}]
	if !ok {
		if len(t.fibs) >= int(noFIB) {
			return noFIB
		}
		i = uint16(len(t.fibs))
		t.fibs = append(t.fibs, vrf{id: id, family: family})
		t.fibOf[vrfKey{id, family}] = i
	}
	t.lastFIB = i
	return i
}

// always tells whether a FIB is there without being added: the main one of each
// family. Labels have no other.
func (v *vrf) always() bool { return v.id == dataplane.MainTable }

// has notes what the dataplane has of an entry: set, whose reference is handed
// over.
func (t *Table) has(e *entry, set uint32) {
	want, had := e.wanted(), e.have
	t.there += bit(set != setNone) - bit(had != setNone)
	t.different += bit(set != want) - bit(had != want)
	e.have = set
	t.sets.release(had)
}

// recount says that an entry may count now or not count any more.
func (t *Table) recount(e *entry, was bool) {
	switch is := e.counts(); {
	case is && !was:
		t.fibs[e.fib].routes++
	case was && !is:
		t.fibs[e.fib].routes--
		t.look(e.fib)
	}
}

// look has Next look at a FIB.
func (t *Table) look(i uint16) {
	if v := &t.fibs[i]; !v.dirty && !v.always() {
		v.dirty = true
		t.dirty = append(t.dirty, i)
	}
}

// Hold makes a FIB be there (TableAdd) whether it has routes or not, until
// Release: an interface is bound to it.
func (t *Table) Hold(fib uint32, family uint8) {
	if i := t.fib(fib, family); i != noFIB {
		t.fibs[i].holds++
		t.look(i)
	}
}

// Release takes one Hold back.
func (t *Table) Release(fib uint32, family uint8) {
	if i := t.fib(fib, family); i != noFIB && t.fibs[i].holds > 0 {
		t.fibs[i].holds--
		t.look(i)
	}
}

// HasTable tells whether the dataplane has a FIB.
func (t *Table) HasTable(fib uint32, family uint8) bool {
	i, ok := t.fibOf[vrfKey{fib, family}]
	return fib == dataplane.MainTable || ok && t.fibs[i].state == there
}

// DumpedTables tells of FIBs that the dataplane has.
func (t *Table) DumpedTables(tables []dataplane.Table) {
	for _, x := range tables {
		if i := t.fib(x.ID, x.Family); i != noFIB {
			t.fibs[i].state, t.fibs[i].shown = there, true
		}
	}
}

// forgetTables begins to learn the FIBs anew; fresh says that it is another
// connection.
func (t *Table) forgetTables(fresh bool) {
	for i := range t.fibs {
		v := &t.fibs[i]
		v.shown = false
		if fresh {
			v.state, v.tries, v.retry = absent, 0, time.Time{}
		}
	}
}

// tablesDone ends that.
func (t *Table) tablesDone(complete bool) {
	for i := range t.fibs {
		v := &t.fibs[i]
		if complete && !v.shown {
			v.state, v.ours = absent, false
		}
		t.look(uint16(i))
	}
}

// ready adds a FIB if it is not there, before its first route. It is false
// while it is being removed.
func (t *Table) ready(out []dataplane.Op, i uint16) ([]dataplane.Op, bool) {
	v := &t.fibs[i]
	if v.always() || v.state == adding || v.state == there {
		return out, true
	}
	if v.state == deleting {
		return out, false
	}
	v.state, v.ours = adding, true // also when nobody hears that it was done
	t.flying++
	return append(out, dataplane.Op{Kind: dataplane.TableAdd, Family: v.family, Value: v.id, Ref: uint32(i)}), true
}

// nextTables appends what there is to do to FIBs without regard to routes:
// those that are held are added, those without use removed.
func (t *Table) nextTables(now time.Time, out []dataplane.Op, limit int, addOnly bool) []dataplane.Op {
	keep := t.dirty[:0]
	for _, i := range t.dirty {
		v := &t.fibs[i]
		add := v.holds > 0 && v.state == absent
		del := v.holds == 0 && v.routes == 0 && v.state == there && v.ours
		switch {
		case v.state == adding || v.state == deleting: // Done looks again
			v.dirty = false
		case (add || del) && now.Before(v.retry), del && addOnly, (add || del) && len(out) >= limit:
			keep = append(keep, i)
		case add:
			v.dirty = false
			out, _ = t.ready(out, i)
		case del:
			v.dirty = false
			v.state = deleting
			t.flying++
			out = append(out, dataplane.Op{Kind: dataplane.TableDel, Family: v.family, Value: v.id, Ref: uint32(i)})
		default:
			v.dirty = false
		}
	}
	t.dirty = keep
	return out
}

// doneTable takes the answer to an operation on a FIB.
func (t *Table) doneTable(now time.Time, op *dataplane.Op, err error) {
	i := t.fib(op.Value, op.Family)
	if i == noFIB {
		return
	}
	v := &t.fibs[i]
	if want := map[dataplane.OpKind]vrfState{dataplane.TableAdd: adding, dataplane.TableDel: deleting}[op.Kind]; v.state != want {
		return
	}
	t.flying--
	switch {
	case op.Kind == dataplane.TableAdd && err == nil:
		v.state, v.tries = there, 0
	case op.Kind == dataplane.TableAdd:
		v.state, v.ours = absent, false
	case err == nil:
		v.state, v.ours, v.tries = absent, false, 0
	default:
		v.state = there
	}
	if err != nil {
		v.tries++
		v.retry = now.Add(backoff(v.tries))
		if errors.Is(err, dataplane.ErrUnsupported) {
			v.retry = now.Add(never)
		}
	}
	t.look(i)
}

// never is beyond any connection.
const never = 1000 * time.Hour

// isTable tells whether an operation is one on a FIB.
func isTable(op *dataplane.Op) bool {
	return op.Kind == dataplane.TableAdd || op.Kind == dataplane.TableDel
}
