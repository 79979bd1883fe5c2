package l2

import "time"

// station is an address in a VLAN.
type station struct {
	vlan uint16
	mac  MAC
}

// entry says behind which port a station is.
type entry struct {
	station
	port       *port
	seen       time.Duration // a frame of it came in, as far as is known
	prev, next *entry        // of the port's, the least recently seen first
	flows      [2]*flow      // with it as source, and as destination

	// Moves since windowStart; when there were too many it stays where it is
	// until heldUntil (0: it is not held).
	moves                  int
	windowStart, heldUntil time.Duration
}

// Moving stations: after holdMoves moves within moveWindow an address stays
// where it is for holdTime. A loop moves every address with every frame.
const (
	holdMoves  = 5
	moveWindow = time.Second
	holdTime   = 5 * time.Second
)

// learnt is what a frame has told of its source.
type learnt uint8

const (
	known learnt = iota
	newStation
	moved
	heldNow // it has moved too often, and is held from now on
	held
)

// learn notes that a frame of the station came in through p.
func (b *Bridge) learn(now time.Duration, p *port, s station) (*entry, learnt) {
	e := b.stations[s]
	switch {
	case e == nil:
		if len(b.stations) >= b.o.MaxStations {
			b.evict()
		}
		e = &entry{station: s, seen: now}
		b.stations[s] = e
		p.add(e)
		return e, newStation
	case e.port == p:
		e.seen = max(e.seen, now)
		p.remove(e)
		p.add(e)
		return e, known
	case e.heldUntil != 0:
		return e, held
	}
	if now-e.windowStart > moveWindow {
		e.windowStart, e.moves = now, 0
	}
	if e.moves++; e.moves > holdMoves {
		e.heldUntil = now + holdTime
		return e, heldNow
	}
	// Flows to it lead to the old place. Flows from it would hide its return.
	b.deleteFlowsOf(e)
	e.port.remove(e)
	e.seen = now
	p.add(e)
	return e, moved
}

// evict makes room: the port with the most addresses loses the one that was
// not seen for the longest, so that a flood of addresses behind one port
// does not cost the others theirs.
func (b *Bridge) evict() {
	var most *port
	for _, p := range b.ports {
		if most == nil || p.entries > most.entries {
			most = p
		}
	}
	if most != nil && most.first != nil {
		b.forget(most.first)
		b.stats.Evicted++
	}
}

// forget removes an entry, and the flows that depend on it.
func (b *Bridge) forget(e *entry) {
	b.deleteFlowsOf(e)
	e.port.remove(e)
	delete(b.stations, e.station)
}

// release ends what holds e to its port; what was let through from elsewhere
// meanwhile has to come to us again.
func (b *Bridge) release(e *entry) {
	e.heldUntil, e.moves = 0, 0
	for f := e.flows[asSource]; f != nil; {
		next := f.links[asSource].next
		if f.key.Port != e.port.Number {
			b.deleteFlow(f)
		}
		f = next
	}
}

func (p *port) add(e *entry) {
	e.port, e.prev, e.next = p, p.last, nil
	if p.last != nil {
		p.last.next = e
	} else {
		p.first = e
	}
	p.last = e
	p.entries++
}

func (p *port) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		p.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		p.last = e.prev
	}
	e.prev, e.next = nil, nil
	p.entries--
}
