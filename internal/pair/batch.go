package pair

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"netbraid/internal/dataplane"
)

const (
	// passMax is how many addresses, neighbours and addresses of our own one
	// call of Tick looks at.
	passMax = 8192
	// workMax is how many routes it looks at again.
	workMax = 16384
)

// queued is an operation asked for in this pass.
type queued struct {
	rank int
	k    key
	op   dataplane.Op
}

// rankOf is the place of an operation in a pass: what goes before what comes in
// its place, what others build on first, an address of our own before it is
// used and until it is not any more.
func rankOf(k dataplane.OpKind) int {
	switch k {
	case dataplane.AddrDel:
		return 1
	case dataplane.NeighDel:
		return 0
	case dataplane.PairDel, dataplane.SubDel:
		return 2
	case dataplane.SubAdd, dataplane.PairAdd:
		return 3
	case dataplane.SetMTU, dataplane.SetMAC, dataplane.SetMPLS:
		return 4
	case dataplane.LocalAdd:
		return 5
	case dataplane.SetTable:
		return 6
	case dataplane.SetUp, dataplane.SetCarrier, dataplane.SetMulticast:
		return 7
	case dataplane.AddrAdd:
		return 8
	case dataplane.NeighSet:
		return 9
	}
	return 10 // LocalDel
}

// emit asks for an operation, unless one on its key is in flight or waits for
// its next attempt, and tells whether it did.
func (e *Engine) emit(k key, op dataplane.Op) bool {
	if !e.ledger.admit(e.now, k) {
		return false
	}
	e.ledger.flying[k] = flight{kind: op.Kind, on: op.On, value: op.Value, mac: op.MAC}
	e.conn.flying++
	e.ops = append(e.ops, queued{rankOf(op.Kind), k, op})
	return true
}

// room is how many operations can go out now.
func (e *Engine) room() int {
	return (maxBatches-len(e.conn.batches))*dataplane.MaxBatch - len(e.ops)
}

// Tick does what is due: whatever has changed is looked at, in slices.
func (e *Engine) Tick(now time.Time) {
	e.now = now
	if e.conn.state == closed {
		return
	}
	if e.conn.state == waiting && !now.Before(e.conn.retryAt) {
		e.connect()
	}
	e.wakeUnits()
	for _, k := range e.ledger.due(now) {
		e.lookAgain(k)
	}
	if e.unrelated {
		e.relate()
	}
	if e.remark {
		e.remark = false
		for _, u := range e.units {
			u.lxExpect = nothing
		}
		e.markAll()
	}
	if e.rediscover {
		e.rediscover = false
		for _, index := range sortedKeys(e.dp.ifaces, compareUint32) {
			e.discoverSub(e.dp.ifaces[index])
		}
	}
	if e.ready() {
		e.pass()
	}
	e.more = e.fib.Work(now, workMax)
	e.dumpNext()
	e.send()
}

// lookAgain marks what a key belongs to.
func (e *Engine) lookAgain(k key) {
	u := e.byPhy[k.index]
	if k.side != dataplaneSide {
		if u = e.byHost[linkID{nsOf(k), k.index}]; u == nil {
			e.ledger.forget(k)
			return
		}
	}
	switch {
	case k.class == ofLocal:
		e.locals.add(k)
	case k.class == ofSub:
		for _, id := range sortedKeys(e.units, unitID.compare) {
			if id.sub == k.sub {
				e.mark(e.units[id])
			}
		}
	case u == nil:
		e.ledger.forget(k)
	case u.removing && k.side == dataplaneSide:
		e.mark(u) // it waits for what it takes back
	case k.class == ofAddr:
		e.markAddr(u, k.prefix)
	case k.class == ofNeigh:
		e.neighs.add(k)
	default:
		e.mark(u)
	}
}

// pass looks at what is dirty, as long as there is room for what comes of it.
func (e *Engine) pass() {
	for e.dirty.len() > 0 && e.room() > 16 {
		if u := e.units[e.dirty.pop()]; u != nil {
			e.step(u)
		}
	}
	e.some(&e.locals, e.stepLocal)
	e.some(&e.addrs, e.stepAddr)
	e.some(&e.neighs, e.stepNeigh)
}

func (e *Engine) some(q *queue[key], step func(key)) {
	for n := min(q.len(), passMax); n > 0 && e.room() > 0; n-- {
		step(q.pop())
	}
}

// busy tells whether a pass has left something that it could go on with.
func (e *Engine) busy() bool {
	return e.ready() && e.room() > 16 && e.dirty.len()+e.addrs.len()+e.neighs.len()+e.locals.len() > 0
}

// send puts what was asked for into batches, and fills them with routes.
func (e *Engine) send() {
	e.rememberTold()
	if e.madeChanged {
		e.madeChanged = false
		e.act(Remember{Made: e.madeList()})
	}
	if e.conn.state == connected {
		slices.SortStableFunc(e.ops, func(a, b queued) int { return a.rank - b.rank })
		for len(e.conn.batches) < maxBatches && e.sendBatch() {
		}
	}
	e.sendLinux()
}

func (e *Engine) sendBatch() bool {
	c := &e.conn
	var ops []dataplane.Op
	if n := len(c.spare); n > 0 {
		ops, c.spare = c.spare[n-1][:0], c.spare[:n-1]
	}
	n := min(len(e.ops), dataplane.MaxBatch)
	b := &batch{at: e.now}
	for _, q := range e.ops[:n] {
		ops = append(ops, q.op)
		b.keys = append(b.keys, q.k)
	}
	e.ops = e.ops[:copy(e.ops, e.ops[n:])]
	ops = e.fib.Next(e.now, ops, dataplane.MaxBatch)
	if len(ops) == 0 {
		if cap(ops) > 0 {
			c.spare = append(c.spare, ops)
		}
		return false
	}
	c.last++
	c.batches[c.last] = b
	e.act(Write{Epoch: c.epoch, Batch: dataplane.Batch{ID: c.last, Ops: ops}})
	return len(ops) == dataplane.MaxBatch || len(e.ops) > 0
}

// done takes the answer to a batch.
func (e *Engine) done(ev dataplane.Done) {
	c := &e.conn
	b := c.batches[ev.ID]
	if b == nil || len(ev.Ops) < len(b.keys) {
		e.log(levelError, "the dataplane answered a batch that it was not given; connecting again", "batch", ev.ID)
		e.down(fmt.Errorf("an answer to batch %d, which is not in flight as it says", ev.ID))
		return
	}
	delete(c.batches, ev.ID)
	c.flying -= len(b.keys)
	errs := make(map[int]error, len(ev.Failed))
	for _, f := range ev.Failed {
		if f.Err == nil {
			f.Err = errors.New("refused without a reason")
		}
		errs[f.Op] = f.Err
	}
	for i, k := range b.keys {
		op, mistaken := ev.Ops[i], e.ledger.flying[k].gone
		delete(e.ledger.flying, k)
		switch err := errs[i]; {
		case err != nil:
			e.failed(k, &op, err)
		case mistaken && op.Kind == dataplane.PairAdd:
			e.emit(k, dataplane.Op{Kind: dataplane.PairDel, Index: op.Index, Pair: op.Pair})
		case mistaken && op.On && (op.Kind == dataplane.SetMulticast || op.Kind == dataplane.SetMPLS):
			e.emit(k, dataplane.Op{Kind: op.Kind, Index: op.Index}) // nobody else would take it back
		case !mistaken || k.class == ofSub:
			e.succeeded(k, &op, i, ev.Made)
		}
		e.lookAgain(k)
	}
	e.fib.Done(e.now, ev.Ops, ev.Failed)
	for i := range ev.Ops {
		if ev.Ops[i].Kind == dataplane.TableAdd {
			e.markRebinding()
			break
		}
	}
	if len(c.spare) < maxBatches {
		clear(ev.Ops)
		c.spare = append(c.spare, ev.Ops[:0])
	}
}

// markRebinding marks the units that wait for their FIB.
func (e *Engine) markRebinding() {
	for _, id := range sortedKeys(e.units, unitID.compare) {
		if e.units[id].dirtyAddrs {
			e.mark(e.units[id])
		}
	}
}

// Deadline is when Tick has something to do; zero for not before an event.
func (e *Engine) Deadline() time.Time {
	if e.conn.state == closed {
		return time.Time{}
	}
	if e.busy() || e.more || e.unrelated || e.remark || e.rediscover {
		return e.now
	}
	var t time.Time
	add := func(at time.Time) {
		if !at.IsZero() && (t.IsZero() || at.Before(t)) {
			t = at
		}
	}
	if e.conn.state == waiting {
		if e.conn.retryAt.IsZero() {
			return e.now
		}
		add(e.conn.retryAt)
	}
	for k, want := range e.conn.wanted {
		if want && e.now.Before(e.conn.retry[k]) { // otherwise it waits for an answer
			add(e.conn.retry[k])
		}
	}
	add(e.wakeAt)
	add(e.ledger.next)
	add(e.fib.Deadline())
	return t
}
