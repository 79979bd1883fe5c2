package hotplug

// The actions, as netifd's.
const (
	IfUp       = "ifup"
	IfDown     = "ifdown"
	IfUpdate   = "ifupdate"
	IfUpFailed = "ifup-failed"
)

// Event is what scripts are told: the environment of one call.
type Event struct {
	Action    string // ACTION: one of the constants above
	Interface string // INTERFACE
	// Device is DEVICE, the layer 3 device; only given for ifup and ifupdate,
	// and empty where an interface has none.
	Device string
	// Addresses, Routes, Prefixes, Data are IFUPDATE_*=1: what an ifupdate has
	// changed.
	Addresses, Routes, Prefixes, Data bool
}

// Env gives the variables of the event as NAME=value, in netifd's order.
func (e *Event) Env() []string {
	out := []string{"ACTION=" + e.Action, "INTERFACE=" + e.Interface}
	if e.Device != "" && (e.Action == IfUp || e.Action == IfUpdate) {
		out = append(out, "DEVICE="+e.Device)
	}
	if e.Action != IfUpdate {
		return out
	}
	for _, x := range []struct {
		on   bool
		name string
	}{{e.Addresses, "ADDRESSES"}, {e.Routes, "ROUTES"}, {e.Prefixes, "PREFIXES"}, {e.Data, "DATA"}} {
		if x.on {
			out = append(out, "IFUPDATE_"+x.name+"=1")
		}
	}
	return out
}

// queue holds what has not been told yet, at most one event an interface, so
// that it is bounded by the number of interfaces. The zero value is empty.
type queue struct {
	order   []string // interfaces, the one that has waited longest first
	pending map[string]Event
}

// push adds an event. A later one takes the place of an earlier one in the
// queue, which keeps its turn, as in netifd; but nothing that scripts need is
// lost on the way: an ifupdate adds to the ifup or ifupdate that waits, and an
// ifup-failed does not hide an ifdown.
func (q *queue) push(e Event) {
	old, waits := q.pending[e.Interface]
	if !waits {
		if q.pending == nil {
			q.pending = map[string]Event{}
		}
		q.order = append(q.order, e.Interface)
		q.pending[e.Interface] = e
		return
	}
	switch {
	case e.Action == IfUpFailed && old.Action == IfDown:
		return
	case e.Action == IfUpdate && old.Action == IfUp:
		old.Device = e.Device
		e = old
	case e.Action == IfUpdate && old.Action == IfUpdate:
		e.Addresses = e.Addresses || old.Addresses
		e.Routes = e.Routes || old.Routes
		e.Prefixes = e.Prefixes || old.Prefixes
		e.Data = e.Data || old.Data
	}
	q.pending[e.Interface] = e
}

// pop takes the event that has waited longest.
func (q *queue) pop() (e Event, ok bool) {
	if len(q.order) == 0 {
		return e, false
	}
	name := q.order[0]
	if q.order = q.order[1:]; len(q.order) == 0 {
		q.order = nil
	}
	e = q.pending[name]
	delete(q.pending, name)
	return e, true
}
