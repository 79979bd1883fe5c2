package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"cmp"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// The delays of the ledger.
const (
	retryFirst  = 200 * time.Millisecond
	retryMax    = 60 * time.Second
	driftWindow = 10 * time.Second // a key that drifts again within it is fought over
	foughtFirst = time.Second
	maxAttempts = 20 // of the doubling; retries themselves go on at retryMax
)

// ledger knows of each key what is in flight, what failed and waits, what is
// in place and how often it had to be repaired.
type ledger struct {
	flying  map[uint64]*Op
	byKey   map[any]*Op
	entries map[any]*entry
	placed  map[any]bool
	drift   map[any]*drift
	woken   []any  // by the last wake
	doubt   bool   // a route was written and is not seen: perhaps it is the model that is wrong
	version uint64 // counts the keys that came to be in place, or failed
	shown   uint64 // counts the changes of what failures gives
}

type entry struct {
	failure  Failure
	until    time.Time
	attempts int
	wrote    *Op // the last write succeeded; its effect is looked for next
}

type drift struct {
	last time.Time
	n    int
}

func newLedger() ledger {
	return ledger{flying: map[uint64]*Op{}, byKey: map[any]*Op{}, entries: map[any]*entry{},
		placed: map[any]bool{}, drift: map[any]*drift{}}
}

// admit decides whether an operation may go out now.
func (l *ledger) admit(now time.Time, op *Op, jitter func() float64) bool {
	if _, busy := l.byKey[op.Key]; busy {
		return false
	}
	e := l.entries[op.Key]
	if e != nil && e.wrote != nil {
		_, route := op.Key.(model.RouteKey)
		l.doubt = l.doubt || route
		last := e.wrote
		e.wrote = nil
		if last.same(op) && (op.adds() || last.seen) {
			// It was in place and is not any more: somebody has undone it at once.
			l.clear(e)
			l.placed[op.Key] = true
		} else if last.same(op) {
			// The write succeeded, its announcements have been seen, and still
			// the same is to be written: the kernel has not kept it.
			l.back(now, op, e, Failure{Owner: op.Owner, Code: "NOT_KEPT", Object: op.String(),
				Message: "the kernel accepted this and kept another value; it is not written again unchanged soon"}, jitter())
		} else {
			l.clear(e)
		}
	}
	if e != nil && now.Before(e.until) {
		return false
	}
	if l.placed[op.Key] && op.Reason != ForRelease {
		op.Reason = ForDrift
		if !l.repair(now, op, jitter) {
			return false
		}
	}
	l.byKey[op.Key] = op
	delete(l.placed, op.Key)
	return true
}

// linkSeen notes that a link has become what an operation in flight asks.
func (l *ledger) linkSeen(k LinkKey, have *rtnl.Link) {
	if op := l.byKey[k]; op != nil && op.Kind == LinkSet && op.Link.Set.Diff(&op.Link.Link, have) == 0 {
		op.seen = true
	}
}

// busy tells whether an operation on the key is in flight.
func (l *ledger) busy(k any) bool {
	_, ok := l.byKey[k]
	return ok
}

// repair decides about a key that was in place and is not any more: the first
// time at once; again within driftWindow it is fought over, and waits longer
// each time.
func (l *ledger) repair(now time.Time, op *Op, jitter func() float64) bool {
	d := l.drift[op.Key]
	if d == nil {
		d = &drift{}
		l.drift[op.Key] = d
	}
	delay := time.Duration(0)
	if d.n > 0 && now.Sub(d.last) < driftWindow+d.delay() {
		delay = d.delay()
	} else {
		d.n = 0
	}
	d.n++
	d.last = now.Add(delay)
	if delay == 0 {
		return true
	}
	delete(l.placed, op.Key) // when the delay is over the write goes out
	l.shown++
	l.entries[op.Key] = &entry{until: now.Add(delay), attempts: d.n, failure: Failure{
		Owner: op.Owner, Code: "FOUGHT", Object: op.String(), Attempts: d.n,
		Message: fmt.Sprintf("somebody else keeps changing this; repaired %d times, next in %s", d.n-1, delay)}}
	return false
}

func (d *drift) delay() time.Duration {
	if d.n == 0 {
		return 0
	}
	return min(foughtFirst<<min(d.n-1, maxAttempts), retryMax)
}

// land takes an operation out of flight.
func (l *ledger) land(id uint64) *Op {
	op := l.flying[id]
	if op != nil {
		delete(l.flying, id)
		delete(l.byKey, op.Key)
	}
	return op
}

// wrote notes a successful write: the next look at the key tells whether it
// had its effect.
func (l *ledger) wrote(op *Op) {
	e := l.entries[op.Key]
	if e == nil {
		e = &entry{}
		l.entries[op.Key] = e
	}
	e.wrote = op
}

// inPlace notes that a key needs nothing.
func (l *ledger) inPlace(k any, wanted bool) {
	if l.busy(k) {
		return // an operation in flight is about to change it: Settle looks again
	}
	l.drop(k)
	if wanted {
		if !l.placed[k] {
			l.version++
			l.placed[k] = true
		}
	} else {
		delete(l.placed, k)
		delete(l.drift, k)
	}
}

// waits notes that a key has to wait for something else to be there: whatever
// failed before is over.
func (l *ledger) waits(k any) {
	l.drop(k)
	delete(l.placed, k)
}

// retry ends the delay of a key whose write failed.
func (l *ledger) retry(k any) {
	if e := l.entries[k]; e != nil && e.wrote == nil && (e.failure.Code == "WRITE_FAILED" || e.failure.Code == "NOT_PERMITTED") {
		e.until = time.Time{}
	}
}

func (l *ledger) fail(now time.Time, op *Op, f Failure, jitter float64) {
	e := l.entries[op.Key]
	if e == nil {
		e = &entry{}
		l.entries[op.Key] = e
	}
	e.wrote = nil
	l.back(now, op, e, f, jitter)
}

func (l *ledger) back(now time.Time, op *Op, e *entry, f Failure, jitter float64) {
	delay := min(retryFirst<<min(e.attempts, maxAttempts), retryMax)
	if f.Code == "NOT_KEPT" {
		delay = retryMax
	}
	l.version++
	l.shown++
	e.attempts++
	f.Attempts = e.attempts
	e.failure = f
	e.until = now.Add(time.Duration(float64(delay) * jitter))
}

// note shows a condition that is not a failed write (KEY_TAKEN), without a
// retry of its own.
func (l *ledger) note(k any, f Failure) {
	if e := l.entries[k]; e != nil && e.failure == f && e.until.IsZero() && e.wrote == nil {
		return
	}
	l.version++
	l.shown++
	l.entries[k] = &entry{failure: f}
}

func (l *ledger) unplace(k any) {
	if op := l.byKey[k]; op != nil {
		op.outdated = true
	}
	delete(l.placed, k)
	l.drop(k)
	delete(l.drift, k)
}

// wake makes the keys dirty whose delay is over.
func (l *ledger) wake(now time.Time, dirty func(any)) {
	l.woken = l.woken[:0]
	for k, e := range l.entries {
		if !e.until.IsZero() && !now.Before(e.until) && e.wrote == nil {
			if _, busy := l.byKey[k]; !busy {
				dirty(k)
				l.woken = append(l.woken, k)
			}
		}
	}
}

// forget drops what was woken and has not been tried again: nobody wants it
// any more.
func (l *ledger) forget(now time.Time) {
	for _, k := range l.woken {
		if e := l.entries[k]; e != nil && e.wrote == nil && !e.until.IsZero() && !now.Before(e.until) && !l.busy(k) {
			l.drop(k)
		}
	}
	l.woken = l.woken[:0]
}

func (l *ledger) deadline() time.Time {
	var t time.Time
	for k, e := range l.entries {
		if e.until.IsZero() || e.wrote != nil {
			continue
		}
		if _, busy := l.byKey[k]; busy {
			continue
		}
		if t.IsZero() || e.until.Before(t) {
			t = e.until
		}
	}
	return t
}

// drop forgets what is known of a key that failed or waits.
func (l *ledger) drop(k any) {
	if e := l.entries[k]; e != nil {
		l.clear(e)
		delete(l.entries, k)
	}
}

// clear makes an entry as good as new.
func (l *ledger) clear(e *entry) {
	if e.failure.Code != "" {
		l.shown++
	}
	*e = entry{}
}

// FailuresVersion changes whenever Failures would answer something else.
func (p *Planner) FailuresVersion() uint64 { return p.ledger.shown }

func (l *ledger) failures(owner string) []Failure {
	var out []Failure
	for _, e := range l.entries {
		if e.failure.Code != "" && (owner == "" || e.failure.Owner == owner) {
			out = append(out, e.failure)
		}
	}
	slices.SortFunc(out, func(a, b Failure) int {
		return cmp.Or(strings.Compare(a.Owner, b.Owner), strings.Compare(a.Object, b.Object), strings.Compare(a.Code, b.Code))
	})
	return out
}

// failureOf words an error of the kernel, with what a user can do about it
// where that is known.
func failureOf(op *Op, err error) Failure {
	f := Failure{Owner: op.Owner, Code: "WRITE_FAILED", Object: op.String(), Message: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch {
		case errno == syscall.EPERM || errno == syscall.EACCES:
			f.Code = "NOT_PERMITTED"
			if op.Kind == AddrAdd && op.Addr.Local.Is6() {
				f.Message += "; IPv6 is switched off on " + op.Device
			}
		case errno == syscall.EOPNOTSUPP && op.Kind == LinkCreate:
			f.Code = "NOT_SUPPORTED"
			f.Message += "; this kernel has no links of type " + op.Link.Kind
		case errno == syscall.ENETUNREACH:
			f.Message += "; the gateway must be reachable through an address of the interface (or say option onlink 1)"
		}
	}
	return f
}

// adds tells whether the operation makes something that is not there.
func (o *Op) adds() bool {
	switch o.Kind {
	case LinkCreate, RouteAdd, RuleAdd, NeighAdd:
		return true
	case AddrAdd:
		return o.Detail == ""
	}
	return false
}

// same tells whether two operations on one key ask for the same.
func (o *Op) same(p *Op) bool {
	if o.Kind != p.Kind || o.Value != p.Value {
		return false
	}
	switch o.Kind {
	case LinkCreate, LinkSet, LinkDelete:
		return o.Link.Set == p.Link.Set && o.Link.Index == p.Link.Index && o.Link.Set.Diff(&o.Link.Link, &p.Link.Link) == 0
	case AddrAdd, AddrDel:
		return *o.Addr == *p.Addr
	case RouteAdd, RouteDel:
		return *o.Route == *p.Route
	case NeighAdd, NeighDel:
		return *o.Neigh == *p.Neigh
	}
	return true
}
