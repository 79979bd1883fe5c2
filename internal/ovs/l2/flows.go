package l2

import (
	"slices"
	"time"
)

// flow is a flow that stands, or is about to stand, in the datapath.
type flow struct {
	key     Key
	actions []Action
	used    time.Duration // last known use; at first, when it was made
	poll    uint32        // the last poll that has seen it, or was under way when it was made
	// The entries that it depends on, or nil, and the lists of flows that it is
	// in: by source, by destination, all.
	ends  [2]*entry
	links [3]struct{ prev, next *flow }
}

// The lists that a flow is in.
const (
	asSource = iota
	asDestination
	inAll
)

// Change is what the datapath is to be told about a flow.
type Change struct {
	Key    Key
	Delete bool
	// Actions of the flow, unless it is deleted; none: frames are dropped. A flow
	// that is there already gets them instead of its own.
	Actions []Action
}

func (b *Bridge) put(f *flow)     { b.changes = append(b.changes, Change{Key: f.key, Actions: f.actions}) }
func (b *Bridge) deleteKey(k Key) { b.changes = append(b.changes, Change{Key: k, Delete: true}) }

// head is the beginning of a list that f is in.
func (b *Bridge) head(f *flow, list int) **flow {
	if list == inAll {
		return &b.all
	}
	return &f.ends[list].flows[list]
}

func (b *Bridge) link(f *flow, list int) {
	if list != inAll && f.ends[list] == nil {
		return
	}
	head := b.head(f, list)
	f.links[list].prev, f.links[list].next = nil, *head
	if *head != nil {
		(*head).links[list].prev = f
	}
	*head = f
}

func (b *Bridge) unlink(f *flow, list int) {
	if list != inAll && f.ends[list] == nil {
		return
	}
	l := f.links[list]
	if l.prev != nil {
		l.prev.links[list].next = l.next
	} else {
		*b.head(f, list) = l.next
	}
	if l.next != nil {
		l.next.links[list].prev = l.prev
	}
	f.links[list].prev, f.links[list].next = nil, nil
}

// room tells whether there is room for one more flow with so many actions.
func (b *Bridge) room(actions int) bool {
	return len(b.flows) < b.o.MaxFlows && b.actions+actions <= b.o.MaxActions
}

// addFlow notes a flow, or another meaning of one that is there.
func (b *Bridge) addFlow(now time.Duration, k Key, r result, src *entry) {
	f := b.flows[k]
	if f != nil {
		b.dropFlow(f)
	}
	f = &flow{key: k, actions: r.list(), used: now, poll: b.poll, ends: [2]*entry{src, r.dst}}
	b.flows[k] = f
	b.actions += len(f.actions)
	for list := range f.links {
		b.link(f, list)
	}
}

// dropFlow forgets a flow without telling the datapath.
func (b *Bridge) dropFlow(f *flow) {
	for list := range f.links {
		b.unlink(f, list)
	}
	b.actions -= len(f.actions)
	delete(b.flows, f.key)
}

func (b *Bridge) deleteFlow(f *flow) {
	b.dropFlow(f)
	b.deleteKey(f.key)
}

// deleteFlowsOf deletes the flows from and to a station.
func (b *Bridge) deleteFlowsOf(e *entry) {
	for list := range e.flows {
		for e.flows[list] != nil {
			b.deleteFlow(e.flows[list])
		}
	}
}

// review looks at every flow again, after the ports have changed. One that
// means something else now is replaced where it stands, so that no frame is
// lost; one that could not be made now goes.
func (b *Bridge) review() {
	var next *flow
	for f := b.all; f != nil; f = next {
		next = f.links[inAll].next
		b.reviewFlow(f)
	}
}

func (b *Bridge) reviewFlow(f *flow) {
	r := b.where(f.key)
	src := f.ends[asSource]
	if !r.install || r.learns != (src != nil) || r.learns && src.station != r.src || r.dst != f.ends[asDestination] {
		b.deleteFlow(f)
		return
	}
	list := r.list()
	if slices.Equal(list, f.actions) {
		return
	}
	if b.actions+len(list)-len(f.actions) > b.o.MaxActions {
		b.deleteFlow(f)
		return
	}
	b.actions += len(list) - len(f.actions)
	f.actions = list
	b.put(f)
}
