package mirror_test

import (
	"fmt"
	"testing"

	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// fault breaks, on purpose, what the engine relies on. Honest, the same
// happens, but the engine is told of it.
type fault struct {
	kind   faultKind
	honest bool
	armed  int // occasions that are still to be taken
	done   int // occasions taken
	stale  []heard
}

type faultKind int

const (
	dropNotification faultKind = iota + 1 // one is lost, and nobody says so
	muteLoss                              // the socket's error after loss is swallowed
	skipDatagram                          // one of a dump that is called complete
	cutDump                               // an object falls out of a dump, as when one is interrupted
	deadEpoch                             // messages of a socket given up are taken for those of the new one
)

// take counts an occasion and tells whether it is to be taken.
func (f *fault) take(kind faultKind) bool {
	if f == nil || f.kind != kind || f.armed == 0 {
		return false
	}
	f.armed--
	f.done++
	return true
}

// drops swallows a notification. An honest driver says that something is lost.
func (f *fault) drops(r *rig, h heard) bool {
	if f == nil || h.epoch != r.epoch || r.rng.IntN(8) != 0 || !f.take(dropNotification) {
		return false
	}
	if f.honest {
		r.e.Lost(r.now(), h.epoch)
	}
	return true
}

// mutes swallows a loss.
func (f *fault) mutes(r *rig, h heard) bool {
	return f != nil && h.epoch == r.epoch && !f.honest && f.take(muteLoss)
}

// spoils swallows a datagram of a dump, or an object of one.
func (f *fault) spoils(r *rig, d *dumpRun, b []byte) []byte {
	if f == nil || d.req.Epoch != r.epoch || r.rng.IntN(3) != 0 {
		return b
	}
	switch {
	case f.take(skipDatagram):
		d.hurt = true
		return nil
	case f.take(cutDump):
		d.hurt = true
		return withoutOne(b, r.rng.IntN(64))
	}
	return b
}

// withoutOne takes the nth message off a datagram, or the last one.
func withoutOne(b []byte, n int) []byte {
	at := b
	for ; n > 0; n-- {
		_, _, rest, err := rtnl.NextMessage(at)
		if err != nil || len(rest) == 0 {
			break
		}
		at = rest
	}
	_, _, rest, err := rtnl.NextMessage(at)
	if err != nil {
		return b
	}
	return append(b[:len(b)-len(at):len(b)-len(at)], rest...)
}

// verdict is what the driver says of a dump that has ended.
func (f *fault) verdict(d *dumpRun) (complete, interrupted bool) {
	complete, interrupted = d.res.Complete && d.err == nil, d.res.Interrupted
	if d.hurt && f.honest {
		if f.kind == cutDump {
			interrupted = true
		} else {
			complete = false
		}
	}
	return complete, interrupted
}

// keepStale takes what is still queued in a socket that is about to be closed.
func (f *fault) keepStale(r *rig) {
	if f == nil || f.kind != deadEpoch {
		return
	}
	before := len(r.inbox)
	r.take()
	for _, h := range r.inbox[before:] {
		if !h.lost {
			f.stale = append(f.stale, h)
		}
	}
	r.inbox = r.inbox[:before]
}

// release hands the messages of dead sockets on, late.
func (f *fault) release(r *rig) {
	for _, h := range f.stale {
		if f.done++; !f.honest {
			h.epoch = r.epoch
		}
		r.e.Notified(r.now(), h.epoch, h.data)
	}
	f.stale = nil
}

// round makes the occasion for a fault, and compares.
func (f *fault) round(r *rig, p *producer) []string {
	f.armed = 1
	switch f.kind {
	case dropNotification:
		p.burst(20 + p.IntN(40))
	case muteLoss:
		p.burst(300) // more than the socket holds: nobody reads
		r.take()
	case skipDatagram, cutDump:
		p.burst(20)
		r.settle()
		f.armed = 1
		r.e.Lost(r.now(), r.epoch)
	case deadEpoch:
		p.routes(200) // the socket overflows; the rest of it is stale
		r.take()
		p.burst(100)
	}
	r.settle()
	if f.kind == deadEpoch {
		f.release(r)
	}
	return r.difference()
}

// TestOracle proves that the comparison sees drift: each fault is caught within
// some rounds when the engine is not told of it, and does no harm when it is.
func TestOracle(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  faultKind
		small bool // a small receive buffer
	}{
		{"a notification is dropped", dropNotification, false},
		{"a loss is not reported", muteLoss, true},
		{"a datagram of a dump is skipped", skipDatagram, false},
		{"an interruption of a dump is not mentioned", cutDump, false},
		{"messages of a dead socket are believed", deadEpoch, true},
	} {
		for _, honest := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, honest %v", c.name, honest), func(t *testing.T) {
				ns := nstest.New(t)
				p := newProducer(t, ns, 7)
				buffer := 4 << 20
				if c.small {
					buffer = 32 << 10
				}
				r := newRig(t, ns, 7, buffer)
				r.settle()
				p.burst(400)
				if d := r.difference(); len(d) > 0 {
					t.Fatalf("before, %s", differ(d))
				}
				f := &fault{kind: c.kind, honest: honest}
				r.inject = f
				f.judge(t, r, p)
			})
		}
	}
}

func (f *fault) judge(t *testing.T, r *rig, p *producer) {
	const most = 30
	for round := 1; round <= most; round++ {
		d := f.round(r, p)
		switch {
		case len(d) > 0 && f.honest:
			t.Fatalf("round %d: the engine was told, and %s", round, differ(d))
		case len(d) > 0:
			t.Logf("caught in round %d, after %d faults", round, f.done)
			return
		case f.honest && round == 8:
			if f.done == 0 && f.kind != muteLoss || f.kind == muteLoss && r.e.Stats().Losses == 0 {
				t.Error("no occasion was taken: this proves nothing")
			}
			return
		}
	}
	t.Fatalf("%d faults in %d rounds, and the comparison saw none", f.done, most)
}
