package mirror_test

import (
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/sim"
	"netbraid/rtnl"
)

// simCounts are the things that have happened: a simulation in which one never
// happens proves nothing of it.
type simCounts struct {
	Changes, Losses, Overflows, Resyncs, Refused, Truncated, Interrupted, FailedSubscribes, DeadEpoch, Slices, Between int
}

func (c *simCounts) add(o simCounts, s mirror.Stats) {
	c.Changes += o.Changes
	c.Losses += int(s.Losses)
	c.Overflows += o.Overflows
	c.Resyncs += int(s.Resyncs)
	c.Refused += o.Refused
	c.Truncated += o.Truncated
	c.Interrupted += o.Interrupted
	c.FailedSubscribes += o.FailedSubscribes
	c.DeadEpoch += o.DeadEpoch
	c.Slices += o.Slices
	c.Between += o.Between
}

func (c *simCounts) holdAll(t *testing.T) {
	for name, n := range map[string]int{"changes": c.Changes, "losses": c.Losses, "overflows": c.Overflows, "resyncs": c.Resyncs,
		"refused dumps": c.Refused, "truncated dumps": c.Truncated, "interrupted dumps": c.Interrupted,
		"failed subscriptions": c.FailedSubscribes, "messages of a dead socket": c.DeadEpoch, "slices of work": c.Slices,
		"changes between the parts of a dump": c.Between} {
		if n == 0 {
			t.Errorf("no %s in all seeds: the simulation proves nothing of them", name)
		}
	}
}

// lie is what the simulation tells the engine that is not so.
type lie int

const (
	lieDropped lie = iota + 1
	lieLoss
	lieComplete
	lieInterrupted
	lieEpoch
	lieOrder
)

type simWorld struct {
	lie     lie
	rng     *rand.Rand
	now     time.Time
	kern    *sim.Kernel
	p       *producer
	e       *mirror.Engine
	sink    *shadow
	hash    hash.Hash64
	trace   func(string)
	faults  bool               // dumps and subscriptions fail
	losses  bool               // notifications are lost
	without map[rtnl.Kind]bool // the kernel was built without

	wanted []mirror.Request // the engine's, not yet answered
	inbox  []heard
	dumps  []*simDump
	epoch  uint32
	asked  uint32 // the epoch of the last subscription asked for
	counts simCounts
	steps  int
	err    error
}

// simDump is a dump in progress.
type simDump struct {
	req         mirror.Request
	seen        []any // the objects that were shown, in order
	changes     int   // of the world when the last part was read
	interrupted bool
}

func (w *simWorld) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.hash.Write([]byte(line))
	if w.trace != nil {
		w.trace(w.now.Format("05.000 ") + line)
	}
}

func (w *simWorld) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
		w.note("FAIL %v", w.err)
	}
}

func (w *simWorld) boot(seed uint64) {
	queue := []int{1 << 20, 1 << 20, 16 << 10, 64 << 10}[w.rng.IntN(4)]
	w.kern = sim.New(sim.Options{Seed: seed, QueueBytes: queue, MPLS: seed%2 == 0})
	w.p = &producer{Rand: rand.New(rand.NewPCG(seed, 0xbeef)), refused: map[unix.Errno]int{}, execute: w.execute, sysctl: w.kern.WriteSysctl}
	for name, v := range map[string]int{"ipv4/conf/default/promote_secondaries": w.rng.IntN(2), "ipv6/conf/default/accept_dad": w.rng.IntN(2)} {
		if err := w.kern.WriteSysctl("/proc/sys/net/"+name, fmt.Sprint(v)); err != nil {
			w.fail("%v", err)
		}
	}
	w.p.world()
	w.without = map[rtnl.Kind]bool{}
	if w.rng.IntN(3) == 0 {
		w.without[rtnl.KindNexthop] = true
	}
	p := mirror.Params{Seed: seed, SyncBatchLimit: 1 << w.rng.IntN(8)}
	if w.rng.IntN(4) == 0 {
		p.PendingMax = 1 << (8 + w.rng.IntN(6)) // a storm during a dump is a loss
	}
	if w.rng.IntN(4) == 0 {
		p.SyncBatchDelay = time.Duration(1+w.rng.IntN(20)) * time.Millisecond
	}
	w.sink = newShadow(w.note)
	w.e = mirror.New(0, p, w.sink)
	w.sink.e = w.e
}

// execute carries out requests.
func (w *simWorld) execute(msgs [][]byte) []error {
	errs := make([]error, len(msgs))
	for i, m := range msgs {
		if err := w.kern.Request(m); err != nil {
			errs[i] = err
			continue
		}
		w.counts.Changes++
	}
	return errs
}

// random does one thing.
func (w *simWorld) random() {
	switch w.rng.IntN(10) {
	case 0, 1, 2:
		w.change()
	case 3:
		w.disturb()
	default:
		w.drive()
	}
}

// change lets something happen in the kernel.
func (w *simWorld) change() {
	switch w.rng.IntN(12) {
	case 0:
		name := []string{"v", "p"}[w.rng.IntN(2)] + fmt.Sprint(w.rng.IntN(pairs))
		err := w.kern.SetCarrier(name, w.rng.IntN(3) != 0)
		w.counts.Changes++
		w.note("carrier of %s: %v", name, err)
	case 1:
		w.kern.Tick(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
		w.counts.Changes++
		w.note("time passes in the kernel")
	case 2:
		w.p.heal(w.rng.IntN(pairs))
		w.p.flush()
		w.note("healed")
	default:
		n := 1 + w.rng.IntN(12)
		for range n {
			w.p.one()
		}
		w.p.flush()
		w.note("%d requests", n)
	}
}

// disturb breaks something on the way.
func (w *simWorld) disturb() {
	switch what := w.rng.IntN(4); {
	case what == 0 && w.losses:
		w.kern.Overflow()
		w.note("overflow")
	case what == 1:
		// somebody asks for it, as the planner does
		k := tableKinds[w.rng.IntN(len(tableKinds))]
		w.note("refresh %s", k)
		w.e.Refresh(k)
		w.check()
	case what == 2 && w.losses:
		w.note("the socket breaks")
		w.e.Lost(w.now, w.epoch)
		w.check()
	default:
		w.now = w.now.Add(time.Duration(w.rng.IntN(50)) * time.Millisecond)
	}
}

// drive does one thing that is due: the shell's part.
func (w *simWorld) drive() {
	w.wanted = append(w.wanted, w.requests()...)
	var choices []func()
	add := func(ok bool, f func()) {
		if ok {
			choices = append(choices, f)
		}
	}
	add(len(w.wanted) > 0, w.answer)
	add(true, func() { w.listen(1 + w.rng.IntN(20)) })
	add(len(w.inbox) > 0, func() { w.hand(1 + w.rng.IntN(6)) })
	add(len(w.inbox) > 0, func() { w.hand(len(w.inbox)) })
	add(len(w.dumps) > 0, func() { w.advance(w.rng.IntN(len(w.dumps))) })
	add(len(w.dumps) > 0, func() { w.advance(w.rng.IntN(len(w.dumps))) })
	add(w.e.Busy(), w.slice)
	add(!w.e.Busy() && !w.e.Deadline().IsZero(), w.wait)
	choices[w.rng.IntN(len(choices))]()
	w.check()
}

func (w *simWorld) slice() {
	w.counts.Slices++
	if at := w.e.Deadline(); at.After(w.now) {
		w.now = at
	}
	w.note("slice")
	w.e.Tick(w.now)
}

// wait lets the time pass that the engine waits for, or some of it.
func (w *simWorld) wait() {
	left := w.e.Deadline().Sub(w.now)
	if left > 0 {
		if w.rng.IntN(3) == 0 {
			left = time.Duration(w.rng.Int64N(int64(left)))
		}
		w.now = w.now.Add(left)
	}
	w.note("tick")
	w.e.Tick(w.now)
}

// requests takes what the engine asks for, and holds it to its promises.
func (w *simWorld) requests() []mirror.Request {
	out := w.e.Requests()
	for _, q := range out {
		w.note("wants %+v", q)
		same := func(o mirror.Request) bool { return o == q }
		switch {
		case q.Subscribe && q.Epoch <= w.asked:
			w.fail("a subscription for epoch %d after one for %d", q.Epoch, w.asked)
		case q.Subscribe:
			w.asked = q.Epoch
		case q.Epoch != w.epoch:
			w.fail("a dump for epoch %d, subscribed is %d", q.Epoch, w.epoch)
		case slices.ContainsFunc(w.wanted, same) || slices.ContainsFunc(w.dumps, func(d *simDump) bool { return d.req == q }):
			w.fail("a second dump of %s beside one that runs", q.Dump)
		}
	}
	return out
}

var dumpErrnos = []unix.Errno{unix.ENOMEM, unix.EBUSY, unix.ENOBUFS, unix.EINTR, unix.EPERM, unix.EINVAL, unix.EAGAIN, unix.ENODEV}

// answer does one of the things that were asked for.
func (w *simWorld) answer() {
	i := w.rng.IntN(len(w.wanted))
	q := w.wanted[i]
	w.wanted = slices.Delete(w.wanted, i, i+1)
	switch {
	case !q.Subscribe:
		w.dumps = append(w.dumps, &simDump{req: q, changes: w.counts.Changes})
		w.note("dump of %s begins", q.Dump)
	case w.faults && w.rng.IntN(5) == 0:
		w.counts.FailedSubscribes++
		w.note("no socket")
		w.e.Lost(w.now, q.Epoch)
	default:
		w.kern.Subscribe(rigGroups...)
		w.epoch = q.Epoch
		w.note("subscribed")
		w.e.Subscribed(q.Epoch)
	}
}

// listen reads up to n datagrams off the socket.
func (w *simWorld) listen(n int) {
	for range n {
		b, overrun, ok := w.kern.Receive()
		if !ok {
			return
		}
		if overrun {
			w.counts.Overflows++
		}
		if overrun && w.lie == lieLoss || !overrun && w.lie == lieDropped && w.rng.IntN(50) == 0 {
			continue
		}
		w.inbox = append(w.inbox, heard{epoch: w.epoch, data: b, lost: overrun})
	}
}

// hand gives the engine the next n things that were heard; several datagrams
// may come as one.
func (w *simWorld) hand(n int) {
	var batch []byte
	flush := func(epoch uint32) {
		if len(batch) == 0 {
			return
		}
		if w.lie == lieEpoch {
			epoch = w.epoch
		}
		dead, calls := epoch != w.epoch, w.sink.calls
		w.note("notified %d octets, dead %v", len(batch), dead)
		w.e.Notified(w.now, epoch, batch)
		if dead {
			w.counts.DeadEpoch++
			if w.sink.calls != calls {
				w.fail("a message of epoch %d changed the model in epoch %d", epoch, w.epoch)
			}
		}
		batch = nil
	}
	for range min(n, len(w.inbox)) {
		h := w.inbox[0]
		w.inbox = w.inbox[1:]
		if h.lost {
			flush(h.epoch)
			w.note("lost in epoch %d", h.epoch)
			w.e.Lost(w.now, h.epoch)
			continue
		}
		batch = append(batch, h.data...)
		if len(w.inbox) == 0 || w.inbox[0].epoch != h.epoch || w.rng.IntN(2) == 0 {
			flush(h.epoch)
		}
	}
	if len(w.inbox) > 0 {
		flush(w.inbox[0].epoch)
	}
}

// advance reads the next part of a dump. The tables may have changed since the
// last one: the kernel goes on behind the object that it showed last.
func (w *simWorld) advance(i int) {
	d := w.dumps[i]
	if w.faults && w.rng.IntN(16) == 0 && !w.without[d.req.Dump] {
		w.kern.FailNext(func(h rtnl.Header, _ []byte) bool { return h.Flags&unix.NLM_F_DUMP != 0 }, dumpErrnos[w.rng.IntN(len(dumpErrnos))])
	}
	objects, err := w.read(d.req.Dump)
	if err != nil {
		w.counts.Refused++
		w.end(i, errors.Is(err, unix.EOPNOTSUPP), false)
		return
	}
	if len(d.seen) > 0 && d.changes != w.counts.Changes {
		w.counts.Between++
		d.mayBeInterrupted(w)
	}
	d.changes = w.counts.Changes
	at := d.position(objects)
	if d.req.Dump != rtnl.KindRoute && slices.ContainsFunc(objects[:at], func(o object) bool { return !slices.Contains(d.seen, o.id) }) {
		d.interrupted = true // one that was shown has moved past others: the kernel says so
	}
	rest := objects[at:]
	n := min(1+w.rng.IntN(40), len(rest))
	for n > 0 && n < len(rest) && rest[n].id == rest[n-1].id {
		n++
	}
	var b []byte
	for _, o := range rest[:n] {
		d.seen = append(d.seen, o.id)
		if d.interrupted && w.rng.IntN(4) == 0 {
			continue // as the real one may: that is what the flag says
		}
		b = append(b, o.message...)
	}
	if len(b) > 0 {
		w.note("dumped %d of %s", n, d.req.Dump)
		w.e.Dumped(d.req.Epoch, b)
	}
	switch {
	case n < len(rest) && w.faults && w.rng.IntN(16) == 0:
		w.counts.Truncated++
		w.end(i, false, d.interrupted)
	case n == len(rest):
		w.end(i, true, d.interrupted)
	}
}

// mayBeInterrupted: links, addresses, neighbours, rules and next hops are
// counted off, so that the kernel sees that a change came between; routes are
// not, and never are interrupted.
func (d *simDump) mayBeInterrupted(w *simWorld) {
	if d.req.Dump != rtnl.KindRoute && w.faults && w.rng.IntN(2) == 0 && !d.interrupted {
		d.interrupted = true
		w.counts.Interrupted++
	}
}

// end tells of the end of a dump; what was announced before comes first.
func (w *simWorld) end(i int, complete, interrupted bool) {
	d := w.dumps[i]
	w.dumps = slices.Delete(w.dumps, i, i+1)
	if w.lie != lieOrder {
		w.listen(1 << 30)
		w.hand(len(w.inbox))
	}
	complete = complete || w.lie == lieComplete
	interrupted = interrupted && w.lie != lieInterrupted
	w.note("dump of %s ends: complete %v, interrupted %v", d.req.Dump, complete, interrupted)
	w.e.DumpDone(w.now, d.req.Epoch, d.req.Dump, complete, interrupted)
}

// object is one message of a dump.
type object struct {
	id      any
	message []byte
}

// read is the answer to a dump as the kernel is now. A route's id is its slot:
// the routes of one stay together.
func (w *simWorld) read(k rtnl.Kind) ([]object, error) {
	if w.without[k] {
		return nil, unix.EOPNOTSUPP
	}
	var out []object
	for _, b := range w.kern.Dump(rtnl.AppendDumpRequest(nil, k, 0, rtnl.Filter{})) {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			switch {
			case err != nil:
				return nil, err
			case h.Type == unix.NLMSG_DONE:
				return out, nil
			case h.Type == unix.NLMSG_ERROR:
				errno, _, _ := rtnl.ParseError(body)
				return nil, unix.Errno(errno)
			}
			id, err := identity(h, body)
			if err != nil {
				return nil, err
			}
			out = append(out, object{id, b[:len(b)-len(rest)]})
			b = rest
		}
	}
	return nil, unix.EIO
}

// identity is what tells an object from others of its kind, in a dump.
func identity(h rtnl.Header, body []byte) (any, error) {
	switch h.Type {
	case unix.RTM_NEWLINK:
		var l rtnl.Link
		err := rtnl.DecodeLink(body, &l)
		return l.Index, err
	case unix.RTM_NEWADDR:
		var a rtnl.Addr
		err := rtnl.DecodeAddr(body, &a)
		return model.KeyOfAddr(0, &a), err
	case unix.RTM_NEWNEIGH:
		var n rtnl.Neigh
		err := rtnl.DecodeNeigh(body, &n)
		return [2]any{n.Index, n.Dst}, err
	case unix.RTM_NEWNETCONF:
		var n rtnl.Netconf
		err := rtnl.DecodeNetconf(body, &n)
		return [2]any{n.Family, n.Index}, err
	case unix.RTM_NEWROUTE:
		var r rtnl.Route
		err := rtnl.DecodeRoute(body, &r)
		return model.KeyOfRoute(0, &r), err
	}
	return string(body), nil
}

// position is where a dump goes on: behind the last object that it has shown
// and that is still there.
func (d *simDump) position(objects []object) int {
	for i := len(d.seen) - 1; i >= 0; i-- {
		for j := len(objects) - 1; j >= 0; j-- {
			if objects[j].id == d.seen[i] {
				return j + 1
			}
		}
	}
	return 0
}

// check holds the invariants.
func (w *simWorld) check() {
	w.steps++
	if w.err != nil {
		return
	}
	if w.sink.wrong != nil {
		w.fail("%v", w.sink.wrong)
		return
	}
	w.wanted = append(w.wanted, w.requests()...)
	live := true
	for _, k := range tableKinds {
		live = live && w.e.Live(k)
		if w.e.Live(k) && w.sink.syncing[k] {
			w.fail("%s is live while it is being read", k)
		}
	}
	at := w.e.Deadline()
	switch {
	case !live && at.IsZero() && len(w.wanted) == 0 && len(w.dumps) == 0:
		w.fail("not live, and waiting for nothing: %+v", w.e.Status(w.now))
	case at.Sub(w.now) > mirror.DefaultParams().SyncAttemptDelay:
		w.fail("a delay of %v", at.Sub(w.now))
	}
	if w.steps%64 == 0 {
		if err := w.sink.check(); err != nil {
			w.fail("%v", err)
		}
	}
}

// rest tells whether nothing is on its way any more.
func (w *simWorld) rest() bool {
	w.wanted = append(w.wanted, w.requests()...)
	w.listen(1 << 30)
	if len(w.wanted)+len(w.inbox)+len(w.dumps) > 0 || w.e.Busy() || !w.e.Deadline().IsZero() {
		return false
	}
	for _, k := range tableKinds {
		if !w.e.Live(k) {
			return false
		}
	}
	return true
}

// equal compares the engine with the simulated kernel, and with what it told.
func (w *simWorld) equal() error {
	want := newTables()
	for _, k := range tableKinds {
		if w.without[k] {
			continue
		}
		objects, err := w.read(k)
		if err != nil {
			return fmt.Errorf("dump %s: %w", k, err)
		}
		for _, o := range objects {
			if err := want.datagram(o.message); err != nil {
				return err
			}
		}
	}
	if d := diff(modelOf(w.e), want); len(d) > 0 {
		w.note("%s", differ(d))
		return errors.New(differ(d))
	}
	if s := w.e.Stats(); s.Malformed > 0 {
		return fmt.Errorf("%d messages could not be read", s.Malformed)
	}
	return w.sink.check()
}
