package mirror

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// Sink hears of every change of the model, in order. old and new are nil for
// "not there"; they are valid only during the call. Calls come from within
// Step and must not call back into the Engine's Step.
type Sink interface {
	LinkChanged(ns model.NS, old, new *rtnl.Link)
	AddrChanged(ns model.NS, old, new *rtnl.Addr)
	RouteChanged(key model.RouteKey)
	RuleChanged(ns model.NS, old, new *rtnl.Rule)
	// SyncBegin and SyncEnd bracket the changes that a dump brings.
	SyncBegin(ns model.NS, kind rtnl.Kind)
	SyncEnd(ns model.NS, kind rtnl.Kind)
}

// Params are the engine's limits.
type Params struct {
	// SyncAttemptDelayMax bounds the delay before a new attempt when loss
	// follows loss; the first is immediate.
	SyncAttemptDelayMax time.Duration
	// PendingMax bounds the bytes of notifications kept while a dump runs;
	// beyond it the attempt counts as lost.
	PendingMax int
}

// DefaultParams are linux-cp's where they still mean something.
func DefaultParams() Params {
	return Params{SyncAttemptDelayMax: 2 * time.Second, PendingMax: 64 << 20}
}

// Request is what the engine needs the shell to do.
type Request struct {
	NS model.NS
	// Subscribe asks for a new notification socket (the old one is closed
	// unread). Otherwise Dump asks for a full read of a table.
	Subscribe bool
	Dump      rtnl.Kind
	Epoch     uint32 // comes back with the answer; answers of an older epoch are ignored
}

// Stats counts what the engine has seen.
type Stats struct {
	Messages, Ignored, Malformed, Losses, Resyncs, Changes uint64
	LastResync                                             time.Duration
}

// kinds are dumped in this order: what decisions need first comes first.
var kinds = []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRule, rtnl.KindRoute}

// Engine is the model of one namespace.
type Engine struct {
	ns     model.NS
	params Params
	sink   Sink

	links  table[uint32, rtnl.Link]
	byName map[string]uint32
	addrs  table[model.AddrKey, rtnl.Addr]
	rules  table[rtnl.Rule, rtnl.Rule]
	routes routeTable

	epoch      uint32
	subscribed bool
	state      [8]kindState
	attempts   int
	retryAt    time.Time
	lostAt     time.Time
	replaying  bool // what is applied now has waited for the end of a dump
	unordered  bool // what is applied now is not in the kernel's order
	stats      Stats
	out        []Request

	link  rtnl.Link // scratch
	addr  rtnl.Addr
	rule  rtnl.Rule
	route rtnl.Route
}

type kindState struct {
	live    bool
	dumping bool
	again   bool   // dump once more when this one ends
	pending []byte // notifications heard since the dump began, whole messages
}

// New makes an engine that knows nothing yet; Start asks for what it needs.
func New(ns model.NS, p Params, sink Sink) *Engine {
	return &Engine{
		ns: ns, params: p, sink: sink,
		links: newTable[uint32, rtnl.Link](), byName: map[string]uint32{},
		addrs: newTable[model.AddrKey, rtnl.Addr](), rules: newTable[rtnl.Rule, rtnl.Rule](),
		routes: routeTable{m: map[model.RouteKey][]routeSlot{}},
	}
}

// Start begins a synchronisation from nothing.
func (e *Engine) Start(now time.Time) { e.lose(now) }

// Requests returns and clears what the shell has to do.
func (e *Engine) Requests() []Request {
	out := e.out
	e.out = nil
	return out
}

// Deadline is when Tick wants to be called; zero for never.
func (e *Engine) Deadline() time.Time { return e.retryAt }

// Tick starts a delayed attempt that has become due.
func (e *Engine) Tick(now time.Time) {
	if !e.retryAt.IsZero() && !now.Before(e.retryAt) {
		e.retryAt = time.Time{}
		e.resubscribe(now)
	}
}

// Lost tells that notifications were lost, or that the socket broke.
func (e *Engine) Lost(now time.Time, epoch uint32) {
	if epoch != e.epoch {
		return
	}
	e.stats.Losses++
	e.lose(now)
}

func (e *Engine) lose(now time.Time) {
	e.lostAt = now
	e.subscribed = false
	for i := range e.state {
		e.state[i] = kindState{live: e.state[i].live}
	}
	e.epoch++
	e.attempts++
	if e.attempts <= 2 {
		e.resubscribe(now)
		return
	}
	shift := min(e.attempts-3, 8)
	delay := min(10*time.Millisecond<<shift, e.params.SyncAttemptDelayMax)
	e.retryAt = now.Add(delay)
}

func (e *Engine) resubscribe(time.Time) {
	e.out = append(e.out, Request{NS: e.ns, Subscribe: true, Epoch: e.epoch})
}

// Subscribed tells that a new socket hears notifications from now on.
func (e *Engine) Subscribed(epoch uint32) {
	if epoch != e.epoch {
		return
	}
	e.subscribed = true
	for _, k := range kinds {
		e.dump(k)
	}
}

func (e *Engine) dump(k rtnl.Kind) {
	st := &e.state[k]
	if st.dumping {
		st.again = true
		return
	}
	st.dumping, st.again = true, false
	e.bump(k)
	e.out = append(e.out, Request{NS: e.ns, Dump: k, Epoch: e.epoch})
}

// Refresh reads a table again, without any loss: somebody has reason to
// believe that the model is not right.
func (e *Engine) Refresh(k rtnl.Kind) {
	if e.subscribed && (e.state[k].live || e.state[k].dumping) {
		e.dump(k)
	}
}

func (e *Engine) bump(k rtnl.Kind) {
	switch k {
	case rtnl.KindLink:
		e.links.gen++
	case rtnl.KindAddr:
		e.addrs.gen++
	case rtnl.KindRule:
		e.rules.gen++
	case rtnl.KindRoute:
		e.routes.gen++
	}
}

// Live tells whether the table has been read completely at least once and
// nothing has been lost since.
func (e *Engine) Live(k rtnl.Kind) bool {
	return e.subscribed && e.state[k].live && !e.state[k].dumping
}

// Stats returns the counters.
func (e *Engine) Stats() Stats { return e.stats }

// Notified applies one datagram of notifications.
func (e *Engine) Notified(now time.Time, epoch uint32, b []byte) {
	if epoch != e.epoch {
		return // heard on a socket that has been given up
	}
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			e.stats.Malformed++
			return
		}
		kind, ok := kindOf(h.Type)
		switch {
		case !ok:
			e.stats.Ignored++
		case e.state[kind].dumping:
			st := &e.state[kind]
			if len(st.pending) > e.params.PendingMax {
				e.stats.Losses++
				e.lose(now)
				return
			}
			st.pending = append(st.pending, b[:len(b)-len(rest)]...)
		default:
			e.apply(h, body)
		}
		b = rest
	}
}

// Dumped applies one datagram of a dump.
func (e *Engine) Dumped(epoch uint32, b []byte) {
	if epoch != e.epoch {
		return
	}
	e.unordered = true
	defer func() { e.unordered = false }()
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			e.stats.Malformed++
			return
		}
		if kind, ok := kindOf(h.Type); ok && e.state[kind].dumping {
			e.apply(h, body)
		}
		b = rest
	}
}

// DumpDone ends a dump. Only a complete, uninterrupted one sweeps.
func (e *Engine) DumpDone(now time.Time, epoch uint32, k rtnl.Kind, complete, interrupted bool) {
	if epoch != e.epoch || !e.state[k].dumping {
		return
	}
	e.unordered = true
	defer func() { e.unordered = false }()
	st := &e.state[k]
	st.dumping = false
	if !complete || interrupted {
		if !complete {
			e.attempts++
		}
		if e.attempts > 50 {
			e.lose(now)
			return
		}
		e.replay(st)
		e.dump(k)
		return
	}
	e.sink.SyncBegin(e.ns, k)
	e.sweep(k)
	e.replay(st)
	st.live = true
	e.sink.SyncEnd(e.ns, k)
	if st.again {
		e.dump(k)
	}
	if e.allLive() {
		e.attempts = 0
		e.stats.Resyncs++
		e.stats.LastResync = now.Sub(e.lostAt)
	}
}

func (e *Engine) allLive() bool {
	for _, k := range kinds {
		if !e.Live(k) {
			return false
		}
	}
	return true
}

func (e *Engine) replay(st *kindState) {
	b := st.pending
	st.pending = nil
	e.replaying = true
	defer func() { e.replaying = false }()
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return
		}
		e.apply(h, body)
		b = rest
	}
}

func (e *Engine) sweep(k rtnl.Kind) {
	switch k {
	case rtnl.KindLink:
		stale := e.links.stale()
		slices.Sort(stale)
		for _, i := range stale {
			e.delLink(i)
		}
	case rtnl.KindAddr:
		stale := e.addrs.stale()
		slices.SortFunc(stale, model.AddrKey.Compare)
		for _, a := range stale {
			e.delAddr(a)
		}
	case rtnl.KindRule:
		for _, r := range e.rules.stale() {
			old := e.rules.del(r)
			e.sink.RuleChanged(e.ns, old, nil)
		}
	case rtnl.KindRoute:
		for _, key := range e.routes.sweep() {
			e.sink.RouteChanged(key)
		}
	}
}

func kindOf(msgType uint16) (rtnl.Kind, bool) {
	switch msgType {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return rtnl.KindLink, true
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return rtnl.KindAddr, true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return rtnl.KindRoute, true
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return rtnl.KindRule, true
	}
	return 0, false
}

// Link returns the link of an ifindex, or nil. It stays valid until the next
// event.
func (e *Engine) Link(index uint32) *rtnl.Link { return e.links.get(index) }

// LinkByName returns the link of a name, or nil.
func (e *Engine) LinkByName(name string) *rtnl.Link {
	if i, ok := e.byName[name]; ok {
		return e.links.get(i)
	}
	return nil
}

// MaxIndex is the highest ifindex in use.
func (e *Engine) MaxIndex() uint32 {
	var top uint32
	for i := range e.links.m {
		top = max(top, i)
	}
	return top
}

// Addr returns the address of a key, or nil.
func (e *Engine) Addr(k model.AddrKey) *rtnl.Addr { return e.addrs.get(k) }

// AddrsOn returns the addresses of a link, sorted.
func (e *Engine) AddrsOn(index uint32) []rtnl.Addr {
	var out []rtnl.Addr
	for k, s := range e.addrs.m {
		if k.Index == index {
			out = append(out, s.v)
		}
	}
	slices.SortFunc(out, func(a, b rtnl.Addr) int {
		return model.KeyOfAddr(0, &a).Compare(model.KeyOfAddr(0, &b))
	})
	return out
}

// HasLocal tells whether ip is an address of some link.
func (e *Engine) HasLocal(ip netip.Addr) bool {
	for k := range e.addrs.m {
		if k.Local == ip {
			return true
		}
	}
	return false
}

// Routes returns the routes of a slot in the kernel's order.
func (e *Engine) Routes(k model.RouteKey) []rtnl.Route { return e.routes.get(k) }

// RoutesOn returns the routes with one next hop that go through a link, in key
// order.
func (e *Engine) RoutesOn(index uint32) []rtnl.Route {
	var out []rtnl.Route
	e.Each(nil, nil, func(r *rtnl.Route) {
		if r.Oif == index {
			out = append(out, *r)
		}
	}, nil)
	return out
}

// Rule tells whether the rule is there.
func (e *Engine) Rule(r *rtnl.Rule) bool { return e.rules.get(*r) != nil }

// Each calls the functions that are not nil for every object, in key order.
func (e *Engine) Each(link func(*rtnl.Link), addr func(*rtnl.Addr), route func(*rtnl.Route), rule func(*rtnl.Rule)) {
	if link != nil {
		for _, i := range sortedKeys(e.links.m, func(a, b uint32) int { return int(a) - int(b) }) {
			link(e.links.get(i))
		}
	}
	if addr != nil {
		for _, k := range sortedKeys(e.addrs.m, model.AddrKey.Compare) {
			addr(e.addrs.get(k))
		}
	}
	if route != nil {
		for _, k := range sortedKeys(e.routes.m, model.RouteKey.Compare) {
			for i := range e.routes.m[k] {
				route(&e.routes.m[k][i].r)
			}
		}
	}
	if rule != nil {
		for _, s := range e.rules.m {
			rule(&s.v)
		}
	}
}

func sortedKeys[K comparable, V any](m map[K]V, cmp func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp)
	return keys
}
