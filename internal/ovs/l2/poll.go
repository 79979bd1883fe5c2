package l2

import (
	"cmp"
	"slices"
	"time"
)

// Found is a flow as the datapath shows it, in the form that this switch gives
// its flows; others are not told to it.
type Found struct {
	Key     Key
	Used    time.Duration // last use
	HasUsed bool          // it was used at all
	// Actions, when Full: a brief poll leaves them out.
	Actions []Action
	Full    bool
}

// BeginPoll says that from now on the datapath's flows are read.
func (b *Bridge) BeginPoll() {
	b.poll++
	b.found, b.strange = b.found[:0], 0
}

// Flow takes one of the flows that are read. What it says of use keeps its
// source in the MAC table.
func (b *Bridge) Flow(s Found) {
	f := b.flows[s.Key]
	if f == nil {
		if !s.Full || len(b.found) >= b.o.MaxFlows {
			b.strange++
		} else {
			b.found = append(b.found, s)
		}
		return
	}
	f.poll = b.poll
	if s.HasUsed && s.Used > f.used {
		f.used = s.Used
	}
	if src := f.ends[asSource]; s.HasUsed && src != nil && src.port.Number == s.Key.Port && s.Used > src.seen {
		src.seen = s.Used
		p := src.port
		p.remove(src)
		p.add(src)
	}
	if s.Full && !slices.Equal(s.Actions, f.actions) {
		b.stats.Repaired++
		b.put(f)
	}
}

// EndPoll says that all flows were read, or that complete is false and some may
// be missing. Flows that were not used for long go, and so do addresses, but
// only when it is known that they were not. more: flows were seen that are not
// known here; they are to be read with their actions (Full).
//
// Flows of a predecessor are taken over: stations are learnt from them, first
// the sources, then where they lead to.
func (b *Bridge) EndPoll(now time.Duration, complete bool) (more bool) {
	b.adopt(now)
	for f := b.all; f != nil && complete; {
		next := f.links[inAll].next
		switch {
		case f.poll == b.poll && now-f.used > b.o.Idle:
			b.deleteFlow(f)
		case b.poll-f.poll > 1:
			// Somebody has removed it, or it was never made. The kernel may leave one
			// out when its table grows meanwhile, so once is not enough.
			b.dropFlow(f)
		}
		f = next
	}
	for _, p := range b.ports {
		b.forgetWhere(p, func(e *entry) bool {
			if e.heldUntil != 0 && now >= e.heldUntil {
				b.release(e)
			}
			return complete && now-e.seen > b.o.Ageing
		})
	}
	return b.strange > 0
}

// adopt takes over the flows that were found and are not known.
func (b *Bridge) adopt(now time.Duration) {
	// The one that was used last is right about where a station is.
	slices.SortFunc(b.found, func(x, y Found) int { return cmp.Or(cmp.Compare(y.Used, x.Used), x.Key.compare(y.Key)) })
	for _, s := range b.found {
		r := b.where(s.Key)
		if r.in != nil && r.learns && b.stations[r.src] == nil {
			b.learn(seenAt(now, s), r.in, r.src)
		}
	}
	for _, s := range b.found {
		r := b.where(s.Key)
		if r.in == nil || !r.unknown {
			continue
		}
		if p := b.leadsTo(s, r); p != nil {
			b.learn(now, p, station{r.src.vlan, s.Key.Dst})
		}
	}
	for _, s := range b.found {
		b.adoptFlow(now, s)
	}
	b.found = b.found[:0]
}

// leadsTo is the port that a flow sends to, if it does what a flow to a station
// behind that port would do. A flow that drops says nothing: it may be for
// another reason than that its station is where the frames come from.
func (b *Bridge) leadsTo(s Found, r result) *port {
	i := slices.IndexFunc(s.Actions, func(a Action) bool { return a.Kind == Output })
	if i < 0 {
		return nil
	}
	p := b.byNumber[s.Actions[i].Port]
	if p == nil || p == r.in || !p.VLAN.carries(r.src.vlan) || !slices.Equal(send(s.Key, r.src.vlan, []*port{p})[0], s.Actions) {
		return nil
	}
	return p
}

func (b *Bridge) adoptFlow(now time.Duration, s Found) {
	r := b.where(s.Key)
	var src *entry
	if r.learns {
		src = b.stations[r.src]
	}
	if !r.install || r.learns && (src == nil || src.port != r.in) || b.flows[s.Key] == nil && !b.room(len(r.list())) {
		b.deleteKey(s.Key)
		return
	}
	b.addFlow(seenAt(now, s), s.Key, r, src)
	if f := b.flows[s.Key]; !slices.Equal(s.Actions, f.actions) {
		b.put(f)
	}
}

// seenAt is when a flow was used; one that was not is new.
func seenAt(now time.Duration, s Found) time.Duration {
	if s.HasUsed {
		return min(now, s.Used)
	}
	return now
}
