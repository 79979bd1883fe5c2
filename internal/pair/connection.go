package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"netbraid/internal/dataplane"
)

const (
	connectFirst = 100 * time.Millisecond
	connectMax   = 5 * time.Second
	// A table that others disturb is read again at most so often.
	dumpPause  = time.Second
	routePause = 5 * time.Second
	// heldMax is how many events may wait for the end of a dump; when there are
	// more, the tables are read again instead.
	heldMax = 1 << 16
	// maxBatches is how many batches may be in flight.
	maxBatches = 8

	levelInfo  = 0
	levelWarn  = 4
	levelError = 8
)

type connState uint8

const (
	waiting connState = iota // for retryAt
	connecting
	connected
	closed
)

const kinds = int(dataplane.KindRoute) + 1

// connection is the state of the one to the dataplane.
type connection struct {
	state    connState
	epoch    uint32
	caps     dataplane.Caps
	err      string
	attempts int // since all tables were read
	retryAt  time.Time
	since    time.Time
	lost     time.Time // since when there is no connection; zero while there is one
	absent   bool      // why: there is no such thing

	have    [kinds]bool // read completely in this connection
	wanted  [kinds]bool // to be read
	retry   [kinds]time.Time
	tries   [kinds]int
	readAt  [kinds]time.Time
	redump  bool           // fib has been told that its tables are read again
	dumping dataplane.Kind // 0 for none
	rows    dataplane.Dumped
	held    []dataplane.Event // heard during a dump that they belong to

	batches map[uint64]*batch
	flying  int // operations of interfaces in flight
	last    uint64
	spare   [][]dataplane.Op
}

// batch is what is in flight: the first len(keys) operations are ours, the
// others are of routes.
type batch struct {
	keys []key
	at   time.Time // when it was given
}

// Event takes what the dataplane tells.
func (e *Engine) Event(now time.Time, ev dataplane.Event) {
	e.now = now
	switch ev := ev.(type) {
	case dataplane.Up:
		if ev.Epoch == e.conn.epoch && e.conn.state == connecting {
			e.up(ev.Caps)
		}
	case dataplane.Down:
		if ev.Epoch == e.conn.epoch && (e.conn.state == connecting || e.conn.state == connected) {
			e.down(ev.Err)
		}
	default:
		if e.conn.state == connected && epochOf(ev) == e.conn.epoch {
			e.told(ev)
		}
	}
}

func epochOf(ev dataplane.Event) uint32 {
	switch ev := ev.(type) {
	case dataplane.Dumped:
		return ev.Epoch
	case dataplane.DumpDone:
		return ev.Epoch
	case dataplane.Changed:
		return ev.Epoch
	case dataplane.Gone:
		return ev.Epoch
	case dataplane.AddrChanged:
		return ev.Epoch
	case dataplane.Disturbed:
		return ev.Epoch
	case dataplane.Done:
		return ev.Epoch
	}
	return 0
}

// told takes an event of the present connection.
func (e *Engine) told(ev dataplane.Event) {
	switch ev := ev.(type) {
	case dataplane.Dumped:
		e.dumped(&ev)
	case dataplane.DumpDone:
		e.dumpDone(ev)
	case dataplane.Disturbed:
		e.want(ev.Kind)
	case dataplane.Done:
		e.done(ev)
	default:
		if len(e.conn.held) > 0 || e.belongs(ev) {
			e.hold(ev)
			return
		}
		e.changed(ev)
	}
}

// belongs tells whether an event is about a table that is being read, or has
// not been: it is applied when that has ended.
func (e *Engine) belongs(ev dataplane.Event) bool {
	k := dataplane.KindInterface
	if _, ok := ev.(dataplane.AddrChanged); ok {
		k = dataplane.KindAddr
	}
	return !e.conn.have[k] || e.conn.dumping == k
}

func (e *Engine) hold(ev dataplane.Event) {
	if len(e.conn.held) < heldMax {
		e.conn.held = append(e.conn.held, ev)
		return
	}
	e.conn.held = nil
	e.want(dataplane.KindInterface)
	e.want(dataplane.KindAddr)
}

// connect asks for a connection.
func (e *Engine) connect() {
	c := &e.conn
	c.state, c.retryAt, c.since = connecting, time.Time{}, e.now
	if c.lost.IsZero() {
		c.lost = e.now
	}
	c.epoch++
	e.act(Connect{Epoch: c.epoch})
}

func (e *Engine) up(caps dataplane.Caps) {
	c := &e.conn
	c.state, c.caps, c.since, c.lost, c.err, c.absent = connected, caps, e.now, time.Time{}, "", false
	for _, k := range dataplane.Kinds {
		c.wanted[k] = true
	}
	if !caps.Local {
		c.wanted[dataplane.KindLocal], c.have[dataplane.KindLocal] = false, true
	}
	e.fib.Connected(e.now, caps)
	e.log(levelInfo, "connected to the dataplane", "version", caps.Version)
	for _, m := range caps.Missing {
		e.log(levelWarn, "this dataplane lacks something", "missing", m)
	}
}

// down ends a connection, or an attempt at one.
func (e *Engine) down(err error) {
	c := &e.conn
	why := "the connection ended"
	if err != nil {
		why = err.Error()
	}
	if c.state == connected || why != c.err {
		e.log(levelWarn, "no connection to the dataplane; trying again", "error", why)
	}
	delay := connectMax
	if c.attempts < 6 {
		delay = min(connectFirst<<c.attempts, connectMax)
	}
	wasUp := c.state == connected
	lost := c.lost
	if wasUp {
		lost = e.now
	}
	*c = connection{state: waiting, epoch: c.epoch, caps: c.caps, err: why, attempts: c.attempts + 1,
		retryAt: e.now.Add(delay), since: e.now, lost: lost, absent: errors.Is(err, fs.ErrNotExist),
		batches: map[uint64]*batch{}, last: c.last}
	e.ledger.disconnected()
	if wasUp {
		e.fib.Lost()
	}
	e.disconnected()
}

// want asks for a table to be read (again), though not all the time.
func (e *Engine) want(k dataplane.Kind) {
	c := &e.conn
	switch {
	case k == 0 || int(k) >= kinds || c.state != connected || k == dataplane.KindLocal && !c.caps.Local:
	case k == dataplane.KindRoute || k == dataplane.KindTable:
		e.wantAfter(dataplane.KindTable, routePause)
		e.wantAfter(dataplane.KindRoute, routePause)
	default:
		e.wantAfter(k, dumpPause)
	}
}

func (e *Engine) wantAfter(k dataplane.Kind, pause time.Duration) {
	c := &e.conn
	if c.wanted[k] {
		return
	}
	c.wanted[k] = true
	if at := c.readAt[k].Add(pause); c.have[k] && e.now.Before(at) {
		c.retry[k] = at
	}
}

// reading tells whether a table of interfaces is being read, or is to be as
// soon as nothing of them is in flight: nothing is written meanwhile.
func (e *Engine) reading() bool {
	c := &e.conn
	for _, k := range dataplane.Kinds {
		if k != dataplane.KindRoute && k != dataplane.KindTable && (c.dumping == k || c.wanted[k] && !e.now.Before(c.retry[k])) {
			return true
		}
	}
	return false
}

// mayDump tells whether a table can be read now.
func (e *Engine) mayDump(k dataplane.Kind) bool {
	c := &e.conn
	switch {
	case !c.wanted[k] || e.now.Before(c.retry[k]) || k != dataplane.KindInterface && !c.have[dataplane.KindInterface]:
		return false
	case k != dataplane.KindTable && k != dataplane.KindRoute:
		return c.flying == 0
	case k == dataplane.KindRoute && c.wanted[dataplane.KindTable]:
		return false
	}
	if c.have[dataplane.KindRoute] && !c.redump {
		c.redump = true
		e.fib.Redump()
	}
	return e.fib.Drained()
}

// dumpNext asks for the next table, one at a time.
func (e *Engine) dumpNext() {
	c := &e.conn
	if c.state != connected || c.dumping != 0 {
		return
	}
	for _, k := range dataplane.Kinds {
		if !e.mayDump(k) {
			continue
		}
		c.wanted[k], c.retry[k] = false, time.Time{}
		c.dumping, c.rows = k, dataplane.Dumped{Kind: k}
		e.act(Dump{Epoch: c.epoch, Kind: k})
		return
	}
}

func (e *Engine) dumped(ev *dataplane.Dumped) {
	if ev.Kind != e.conn.dumping {
		return
	}
	r := &e.conn.rows
	switch ev.Kind {
	case dataplane.KindInterface:
		r.Interfaces = append(r.Interfaces, ev.Interfaces...)
	case dataplane.KindPair:
		r.Pairs = append(r.Pairs, ev.Pairs...)
	case dataplane.KindTable:
		e.fib.DumpedTables(ev.Tables)
	case dataplane.KindAddr:
		r.Addrs = append(r.Addrs, ev.Addrs...)
	case dataplane.KindNeigh:
		r.Neighs = append(r.Neighs, ev.Neighs...)
	case dataplane.KindLocal:
		r.Locals = append(r.Locals, ev.Locals...)
	case dataplane.KindRoute:
		e.fib.Dumped(ev.Routes)
	}
}

// dumpDone ends a dump. One that was not complete changes nothing and is made
// again.
func (e *Engine) dumpDone(ev dataplane.DumpDone) {
	c := &e.conn
	k := ev.Kind
	if k != c.dumping {
		return
	}
	rows := c.rows
	c.dumping, c.rows, c.readAt[k] = 0, dataplane.Dumped{}, e.now
	if k == dataplane.KindRoute {
		c.redump = false
		e.fib.DumpDone(e.now, ev.Err == nil)
	}
	if k == dataplane.KindRoute || k == dataplane.KindTable {
		e.markRebinding() // the FIB may be there
	}
	switch {
	case errors.Is(ev.Err, dataplane.ErrUnsupported) && !c.have[k]:
		e.log(levelWarn, "this dataplane cannot tell what it has", "table", k.String(), "error", ev.Err.Error())
		c.have[k] = true
		e.replace(&dataplane.Dumped{Kind: k}, false)
		e.allRead()
	case ev.Err != nil:
		e.dumpFailed(k, ev.Err)
	default:
		live := c.have[k]
		c.have[k], c.tries[k] = true, 0
		e.replace(&rows, live)
		e.allRead()
	}
	e.release()
}

func (e *Engine) dumpFailed(k dataplane.Kind, err error) {
	c := &e.conn
	if c.tries[k] == 0 {
		e.log(levelWarn, "the dataplane could not be read; trying again", "table", k.String(), "error", err.Error())
	}
	delay := min(connectFirst<<min(c.tries[k], 6), connectMax)
	c.tries[k]++
	if k == dataplane.KindRoute {
		e.fib.Redump()
		c.redump = true
		c.wanted[dataplane.KindTable] = true
		c.retry[dataplane.KindTable] = e.now.Add(delay)
	}
	c.wanted[k], c.retry[k] = true, e.now.Add(delay)
}

// allRead notes when everything has been read for the first time.
func (e *Engine) allRead() {
	c := &e.conn
	for _, k := range dataplane.Kinds {
		if !c.have[k] {
			return
		}
	}
	if c.attempts != 0 {
		c.attempts = 0
		c.since = e.now
	}
}

// release applies what has waited for the end of a dump, in order, as far as
// it can be.
func (e *Engine) release() {
	held := e.conn.held
	e.conn.held = nil
	for i, ev := range held {
		if e.belongs(ev) {
			e.conn.held = append(e.conn.held, held[i:]...)
			return
		}
		e.changed(ev)
	}
}

// changed applies what somebody has changed on the dataplane.
func (e *Engine) changed(ev dataplane.Event) {
	switch ev := ev.(type) {
	case dataplane.Changed:
		e.interfaceChanged(ev.Interface, true)
	case dataplane.Gone:
		e.interfaceGone(ev.Index)
	case dataplane.AddrChanged:
		e.dpAddrChanged(ev.Addr, ev.Gone, true)
	}
}

func (e *Engine) act(a Action) { e.out = append(e.out, a) }

func (e *Engine) log(level int, msg string, args ...any) {
	e.act(Log{Level: level, Msg: msg, Args: args})
}

func (s connState) String() string {
	names := [...]string{"waiting", "connecting", "live", "closed"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprint(uint8(s))
}
