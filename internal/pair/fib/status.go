package fib

import (
	"slices"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
)

// Status is how a Table stands.
type Status struct {
	// Phase is "disconnected", "dumping", "comparing", "settling" (connected;
	// waiting for Host.Settled, 10 s at most) or "up".
	Phase string
	// WantsDump tells that the last dump was not complete.
	WantsDump bool
	Routes    int // that the dataplane must have
	Have      int // that it has been told and has confirmed
	Tables    int
	PathSets  int
	Bytes     int // of entries and index, near enough
	Queued    int // operations to be emitted
	InFlight  int
	Waiting   int // refused, waiting for their next attempt
	// Unsupported are routes that this dataplane cannot have.
	Unsupported int
	// Differences are routes that are not as they must be: queued, in flight,
	// refused.
	Differences int
	// Unclaimed are routes that the dataplane has of us and no namespace has yet.
	Unclaimed int
	// Taken are routes that a namespace with a lower number has for the same
	// prefix of the same FIB.
	Taken int
	// Walking tells that routes are being looked at again.
	Walking bool
	// Skipped counts the routes of Linux that are not mirrored, by reason.
	Skipped []Skipped
	// Failures are some of the routes that were refused, in key order.
	Failures []Failure
}

// Skipped is a reason why routes are not mirrored.
type Skipped struct {
	NS     model.NS
	Reason string
	Routes int
}

// Failure is a route that the dataplane has refused.
type Failure struct {
	Key   dataplane.RouteKey
	Err   string
	Tries int       // in a row
	Retry time.Time // zero: not before the next connection
}

// Status tells how the table stands.
func (t *Table) Status() Status {
	s := Status{
		Phase: phaseNames[t.phase], WantsDump: t.phase > comparing && !t.complete,
		PathSets: t.sets.count(), Bytes: t.ent.bytes(), Queued: t.queue, InFlight: t.flying, Waiting: t.waiting,
		Routes: t.wanted, Have: t.there, Differences: t.different, Unsupported: t.unsupported, Unclaimed: t.unclaimed, Taken: t.taken, Walking: t.busy(),
	}
	for i := range t.fibs {
		if v := &t.fibs[i]; v.state == there || v.always() && v.routes > 0 {
			s.Tables++
		}
	}
	for _, sp := range t.spaces {
		s.Skipped = append(s.Skipped, t.skipped(sp)...)
	}
	for id, f := range t.failures {
		e := t.ent.at(id)
		s.Failures = append(s.Failures, Failure{Key: e.routeKey(t.fibs[e.fib].id), Err: f.err, Tries: e.tries(), Retry: f.retry})
	}
	slices.SortFunc(s.Failures, func(a, b Failure) int { return a.Key.Compare(b.Key) })
	return s
}

// skipped counts the routes of a namespace that are not mirrored. Those that
// share a key with others are left out.
func (t *Table) skipped(sp *space) []Skipped {
	var n [len(whyNames)]int
	for id := uint32(1); id < sp.eng.Attrs(); id++ {
		if a := sp.eng.Attr(id); a.Routes > 0 {
			n[t.translated(sp, id).why] += int(a.Routes)
		}
	}
	for k := range sp.odd {
		w := oddTOS
		if k.Src.IsValid() {
			w = oddSource
		}
		n[w]++
	}
	var out []Skipped
	for w := range n {
		if w := why(w); w != mirrored && n[w] > 0 {
			out = append(out, Skipped{sp.ns, whyNames[w], n[w]})
		}
	}
	return out
}
