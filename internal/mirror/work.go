package mirror

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// Deadline is when Tick wants to be called; zero for never. It is in the past
// while work is left.
func (e *Engine) Deadline() time.Time {
	if e.Busy() {
		return e.sliceAt
	}
	at := e.retryAt
	for _, k := range kinds {
		if r := e.state[k].retryAt; !r.IsZero() && (at.IsZero() || r.Before(at)) {
			at = r
		}
	}
	return at
}

// Busy tells whether work is left that Tick goes on with: the ends of large
// dumps are worked off in slices.
func (e *Engine) Busy() bool {
	for _, k := range kinds {
		if e.state[k].phase > dumping {
			return true
		}
	}
	return false
}

// Tick starts a delayed attempt that has become due, and does a slice of the
// work that is left.
func (e *Engine) Tick(now time.Time) {
	e.clock(now)
	if !e.retryAt.IsZero() && !now.Before(e.retryAt) {
		e.retryAt = time.Time{}
		e.resubscribe()
	}
	for _, k := range kinds {
		if st := &e.state[k]; !st.retryAt.IsZero() && !now.Before(st.retryAt) {
			e.dump(k)
		}
	}
	if !now.Before(e.sliceAt) {
		e.work()
	}
}

// scanPerMessage is how many slots of the route table are swept at the cost of
// one message.
const scanPerMessage = 32

// work does what is left of dumps, as much as fits into one step.
func (e *Engine) work() {
	budget := e.params.SyncBatchLimit
	e.sliceAt = e.now.Add(e.params.SyncBatchDelay)
	e.unordered = true
	defer func() { e.unordered = false }()
	for _, k := range kinds {
		epoch := e.epoch
		st := &e.state[k]
		if st.phase == sweeping {
			if !e.sweep(k, budget*scanPerMessage) {
				return
			}
			e.startReplay(k)
		}
		if st.phase == replaying && (!e.replay(st, &budget) || epoch != e.epoch) {
			return
		}
		if st.phase == replaying {
			e.finish(k)
		}
	}
}

// startReplay begins to apply what has waited.
func (e *Engine) startReplay(k rtnl.Kind) {
	e.state[k].phase = replaying
	if k == rtnl.KindRoute {
		e.routes.OutOfOrder(true)
	}
}

// replay applies notifications that have waited. It is false when some are
// left.
func (e *Engine) replay(st *kindState, budget *int) bool {
	e.replaying = true
	defer func() { e.replaying = false }()
	for *budget > 0 {
		b := st.pending.next()
		if b == nil {
			return true
		}
		*budget--
		if h, body, _, err := rtnl.NextMessage(b); err == nil {
			if h.Type == unix.RTM_DELROUTE && e.tails[leafOf(body)] {
				st.doubt = true
			}
			e.apply(h, body)
		}
	}
	return st.pending.empty()
}

// finish ends the reading of a table.
func (e *Engine) finish(k rtnl.Kind) {
	st := &e.state[k]
	st.phase = idle
	if k == rtnl.KindRoute {
		// What was told may have been done to other routes than in order: the
		// dump is believed for now, and made again.
		st.doubt = e.routes.Ambiguous() || st.doubt
		e.routes.OutOfOrder(false)
	}
	if st.failed {
		st.failed = false
		if st.tries++; st.tries <= 2 {
			e.dump(k)
		} else {
			st.retryAt = e.now.Add(e.params.delay(st.tries - 3))
		}
		return
	}
	st.live = true
	e.sink.SyncEnd(e.ns, k)
	switch {
	case st.again && st.tries < 2:
		st.tries++
		e.dump(k)
		return
	case st.again, st.doubt: // what disturbs each dump does not make them run back to back
		st.retryAt = e.now.Add(e.params.delay(st.tries))
		st.tries++
	default:
		st.tries = 0
	}
	if e.attempts > 0 && e.allLive() {
		e.attempts = 0
		e.stats.Resyncs++
		e.stats.LastResync = e.now.Sub(e.lostAt)
	}
}

func (e *Engine) allLive() bool {
	for _, k := range kinds {
		if !e.Live(k) {
			return false
		}
	}
	return true
}

// sweep removes what a complete dump has not shown. It is false when some of
// it is left.
func (e *Engine) sweep(k rtnl.Kind, budget int) bool {
	switch k {
	case rtnl.KindLink:
		for _, i := range e.links.stale(cmpUint32) {
			e.delLink(i)
		}
	case rtnl.KindAddr:
		for _, a := range e.addrs.stale(model.AddrKey.Compare) {
			e.delAddr(a)
		}
	case rtnl.KindNeigh:
		for _, n := range e.neighs.stale(neighKey.compare) {
			e.delNeigh(n)
		}
	case rtnl.KindNexthop:
		for _, id := range e.nexthops.stale(cmpUint32) {
			e.delNexthop(id)
		}
	case rtnl.KindRule:
		for _, r := range e.rules.sweep() {
			e.ruleChanged(&r, nil)
		}
	case rtnl.KindNetconf:
		for _, k := range e.netconfs.stale(netconfKey.compare) {
			e.delNetconf(k)
		}
	case rtnl.KindRoute:
		return e.routes.Sweep(budget, e.routeChanged)
	}
	return true
}

func (e *Engine) routeChanged(k model.RouteKey) {
	e.stats.Changes++
	e.sink.RouteChanged(k)
}

// queue holds whole messages in the order in which they came, in chunks that
// are given back as they are worked off.
type queue struct {
	chunks [][]byte
	read   int // octets of the first chunk that have been taken
	size   int // octets in all chunks
	since  time.Time
}

const chunkSize = 64 << 10

func (q *queue) add(now time.Time, msg []byte) {
	if q.size == 0 {
		q.since = now
	}
	n := len(q.chunks)
	if n == 0 || len(q.chunks[n-1])+len(msg)+3 > cap(q.chunks[n-1]) {
		q.chunks = append(q.chunks, make([]byte, 0, max(chunkSize, len(msg)+3)))
		n++
	}
	c := append(q.chunks[n-1], msg...)
	for len(c)%4 != 0 {
		c = append(c, 0)
	}
	q.size += len(c) - len(q.chunks[n-1])
	q.chunks[n-1] = c
}

func (q *queue) empty() bool { return q.size == 0 }

// next takes the next message, nil when there is none. It is valid until the
// next call.
func (q *queue) next() []byte {
	for len(q.chunks) > 0 {
		c := q.chunks[0][q.read:]
		if len(c) == 0 {
			q.chunks = slices.Delete(q.chunks, 0, 1)
			q.read = 0
			continue
		}
		_, _, rest, err := rtnl.NextMessage(c)
		if err != nil { // add took it whole: it cannot be
			rest = nil
		}
		n := len(c) - len(rest)
		q.read += n
		q.size -= n
		return c[:n]
	}
	return nil
}
