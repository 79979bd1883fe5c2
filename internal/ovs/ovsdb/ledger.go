package ovsdb

import (
	"maps"
	"time"
)

// ledger remembers what was written when, so that nothing is written in a hot
// loop: a key that differs again soon after it was written is fought over, or
// refused. It is pure.
type ledger map[key]*entry

type entry struct {
	last    time.Time // zero: not since it is wanted as it is now
	delay   time.Duration
	refused string // the database's words
	// made: what was written last has made it; a change of it soon after is no
	// quarrel yet.
	made bool
}

const (
	quiet    = 10 * time.Second // a key that lasted as long is nobody's quarrel
	maxDelay = time.Minute
)

// next is the delay after one.
func next(d time.Duration) time.Duration { return max(time.Second, min(2*d, maxDelay)) }

// until is when the key may be written again.
func (e *entry) until(now time.Time) time.Time {
	if now.Sub(e.last) >= max(quiet, 2*e.delay) {
		return now
	}
	return e.last.Add(e.delay)
}

// held tells whether the key must not be written now.
func (l ledger) held(k key, now time.Time) bool {
	e := l[k]
	return e != nil && e.until(now).After(now)
}

// expect notes that the next write of the key makes it as it is wanted from now
// on.
func (l ledger) expect(k key) { l[k] = &entry{} }

// note records a write; refused is why the database did not take it, or empty.
// What has been made, and what differs for the first time since, is written
// again at once.
func (l ledger) note(k key, now time.Time, refused string) {
	e := l[k]
	fresh := e == nil || now.Sub(e.last) >= max(quiet, 2*e.delay)
	switch {
	case refused != "" && fresh:
		l[k] = &entry{last: now, delay: next(0), refused: refused}
	case refused != "":
		l[k] = &entry{last: now, delay: next(e.delay), refused: refused}
	case e != nil && (e.last.IsZero() || e.refused != ""):
		l[k] = &entry{last: now, made: true}
	case fresh || e.made:
		l[k] = &entry{last: now}
	default:
		l[k] = &entry{last: now, delay: next(e.delay)}
	}
}

// problem is what a key that is held back is shown as.
func (l ledger) problem(k key, now time.Time) string {
	e := l[k]
	switch {
	case e == nil || !l.held(k, now):
		return ""
	case e.refused != "":
		return e.refused
	case e.delay > 0:
		return "FOUGHT: somebody else keeps changing it in the database; it is written again less and less often"
	}
	return ""
}

// deadline is the first time at which a key is not held any more; entries that
// are of no more use go.
func (l ledger) deadline(now time.Time) (first time.Time) {
	maps.DeleteFunc(l, func(_ key, e *entry) bool { return !e.last.IsZero() && now.Sub(e.last) >= max(quiet, 2*e.delay) })
	for _, e := range l {
		if u := e.until(now); u.After(now) && (first.IsZero() || u.Before(first)) {
			first = u
		}
	}
	return first
}

// forget drops what concerns a switch, or only one of its ports.
func (l ledger) forget(k key) {
	delete(l, k)
	if k.port == "" {
		maps.DeleteFunc(l, func(o key, _ *entry) bool { return o.sw == k.sw })
	}
}
