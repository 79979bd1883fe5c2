package pair

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// class is what of an object an operation changes. Operations of one pass go
// out in the order of their rank.
type class uint8

const (
	ofPair      class = iota + 1 // PairAdd, PairDel: index is the phy
	ofSub                        // SubAdd, SubDel: index is the parent
	ofMTU                        // index
	ofMAC                        // index
	ofTable                      // index
	ofCarrier                    // index
	ofUp                         // index
	ofMPLS                       // index
	ofMulticast                  // index
	ofAddr                       // index, prefix
	ofNeigh                      // index, prefix (one address)
	ofLocal                      // prefix (one address)
	ofSysctl                     // Linux only: keep_addr_on_down
	ofLink                       // Linux only: the link itself
)

// key names what at most one operation is in flight for. side is dataplaneSide,
// or the namespace that is written to.
type key struct {
	side   int32
	class  class
	index  uint32
	sub    dataplane.Sub
	prefix netip.Prefix
}

const dataplaneSide = -1

func linuxKey(ns model.NS, c class, index uint32) key {
	return key{side: int32(ns), class: c, index: index}
}

func dpKey(c class, index uint32) key { return key{side: dataplaneSide, class: c, index: index} }

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.side, o.side), cmp.Compare(k.class, o.class), cmp.Compare(k.index, o.index),
		compareSubs(k.sub, o.sub), k.prefix.Addr().Compare(o.prefix.Addr()), cmp.Compare(k.prefix.Bits(), o.prefix.Bits()))
}

func compareSubs(a, b dataplane.Sub) int {
	return cmp.Or(cmp.Compare(a.Outer, b.Outer), compareBools(a.OuterAD, b.OuterAD), cmp.Compare(a.Inner, b.Inner),
		compareBools(a.InnerAD, b.InnerAD), compareBools(a.Exact, b.Exact))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

const (
	retryFirst = time.Second
	retryMax   = time.Minute
	// shownFor is how long an error is shown after which nothing is left to do.
	shownFor = 10 * time.Minute
)

// failure is an operation that did not have its effect.
type failure struct {
	object   string
	msg      string
	at       time.Time
	until    time.Time // of the next attempt; zero: not before the next connection
	attempts int
	// over: nothing is tried any more, because what was asked for has been taken
	// back (an MTU that the phy refuses); it is only shown.
	over bool
}

// ledger knows what is in flight, what was written and must show its effect,
// and what failed and waits.
type ledger struct {
	flying map[key]flight
	// wrote is what a successful write to Linux asked for: if the same is to be
	// written again, Linux has not kept it.
	wrote  map[key]string
	failed map[key]*failure
	next   time.Time // nothing of failed is due before
}

func newLedger() ledger {
	return ledger{flying: map[key]flight{}, wrote: map[key]string{}, failed: map[key]*failure{}}
}

// flight is what an operation in flight asks for.
type flight struct {
	kind  dataplane.OpKind // 0: one for Linux
	on    bool
	value uint32
	mac   rtnl.HWAddr
	// gone: the interface has gone since; another that got its number may be what
	// was changed.
	gone bool
}

// busy tells whether an operation on the key is in flight.
func (l *ledger) busy(k key) bool {
	_, ok := l.flying[k]
	return ok
}

// admit tells whether an operation on a key may go out now.
func (l *ledger) admit(now time.Time, k key) bool {
	if l.busy(k) {
		return false
	}
	f := l.failed[k]
	return f == nil || f.over && !now.Before(f.until) || !f.until.IsZero() && !now.Before(f.until)
}

// inPlace notes that a key needs nothing.
func (l *ledger) inPlace(k key) {
	delete(l.wrote, k)
	if f := l.failed[k]; f != nil && !f.over {
		delete(l.failed, k)
	}
}

// forget drops what is known of a key that nobody wants anything of any more.
func (l *ledger) forget(k key) {
	delete(l.wrote, k)
	delete(l.failed, k)
}

func (l *ledger) fail(now time.Time, k key, object string, err error) *failure {
	f := l.failed[k]
	if f == nil {
		f = &failure{}
		l.failed[k] = f
	}
	f.object, f.msg, f.at, f.over = object, err.Error(), now, false
	f.attempts++
	delay := retryMax
	if n := f.attempts - 1; n < 6 {
		delay = min(retryFirst<<n, retryMax)
	}
	f.until = now.Add(delay)
	if errors.Is(err, dataplane.ErrUnsupported) {
		f.until = time.Time{}
	} else if l.next.IsZero() || f.until.Before(l.next) {
		l.next = f.until
	}
	return f
}

// due lists the keys whose delay is over, and finds out when the next is.
func (l *ledger) due(now time.Time) (keys []key) {
	if l.next.IsZero() || now.Before(l.next) {
		return nil
	}
	l.next = time.Time{}
	for k, f := range l.failed {
		switch {
		case f.until.IsZero():
		case !now.Before(f.until):
			if keys = append(keys, k); f.over {
				f.until = time.Time{}
			}
		case l.next.IsZero() || f.until.Before(l.next):
			l.next = f.until
		}
	}
	slices.SortFunc(keys, key.compare)
	return keys
}

// disconnected drops what belonged to a connection: what is in flight will not
// be answered, and the next one may take what this one has refused.
func (l *ledger) disconnected() {
	for k := range l.flying {
		if k.side == dataplaneSide {
			delete(l.flying, k)
		}
	}
	for k := range l.failed {
		if k.side == dataplaneSide {
			delete(l.failed, k)
		}
	}
}

// shown lists the keys whose failures are to be told.
func (l *ledger) shown(now time.Time) (keys []key) {
	for k, f := range l.failed {
		if !(f.over && now.Sub(f.at) > shownFor) {
			keys = append(keys, k)
		}
	}
	return keys
}

// errors tells of the failures of keys, sorted.
func (l *ledger) errors(now time.Time, keys []key) []Error {
	slices.SortFunc(keys, key.compare)
	out := make([]Error, 0, len(keys))
	for _, k := range keys {
		f := l.failed[k]
		e := Error{Object: f.object, Message: f.msg, Attempts: f.attempts}
		if !f.over && !f.until.IsZero() {
			e.RetryIn = max(f.until.Sub(now), 0)
		}
		out = append(out, e)
	}
	return out
}
