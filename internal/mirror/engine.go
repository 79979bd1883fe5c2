package mirror

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/internal/rib"
	"netbraid/rtnl"
)

// Sink hears of every change of the model, in order. old and new are nil for
// "not there"; they are valid only during the call. Calls come from within
// the Engine's methods and must not call back into those that take events.
type Sink interface {
	LinkChanged(ns model.NS, old, new *rtnl.Link)
	AddrChanged(ns model.NS, old, new *rtnl.Addr)
	NeighChanged(ns model.NS, old, new *rtnl.Neigh)
	NexthopChanged(ns model.NS, old, new *rtnl.Nexthop)
	RuleChanged(ns model.NS, old, new *rtnl.Rule)
	// NetconfChanged tells of settings, see Engine.Netconf.
	NetconfChanged(ns model.NS, old, new *rtnl.Netconf)
	// RouteChanged tells that the routes of a key are not what they were;
	// Engine.Routes has them.
	RouteChanged(key model.RouteKey)
	// SyncBegin and SyncEnd bracket the changes that a dump brings. In between
	// the model of this kind is neither the old nor the new one. A dump that
	// fails begins again, without an end.
	SyncBegin(ns model.NS, kind rtnl.Kind)
	SyncEnd(ns model.NS, kind rtnl.Kind)
}

// Request is what the engine needs the shell to do.
type Request struct {
	NS model.NS
	// Subscribe asks for a new notification socket (the old one is closed
	// unread). Otherwise Dump asks for a full read of a table.
	Subscribe bool
	Dump      rtnl.Kind
	Family    uint8  // of the objects to dump; 0 for all
	Epoch     uint32 // comes back with the answer; answers of an older epoch are ignored
}

// kinds are dumped in this order: what decisions need first comes first.
var kinds = [...]rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindNetconf, rtnl.KindRule, rtnl.KindNexthop, rtnl.KindNeigh, rtnl.KindRoute}

// Engine is the model of one namespace.
type Engine struct {
	ns     model.NS
	params Params
	sink   Sink

	links    table[uint32, rtnl.Link]
	byName   map[string]uint32
	twins    map[string]struct{} // names that two links had at a time
	addrs    addrTable
	neighs   table[neighKey, rtnl.Neigh]
	nexthops table[uint32, rtnl.Nexthop]
	netconfs table[netconfKey, rtnl.Netconf]
	rules    ruleTable
	routes   *rib.Table
	tails    map[leaf]bool // where the parts of the dump of routes have ended

	now        time.Time
	epoch      uint32
	subscribed bool
	state      [kindEnd]kindState
	attempts   int
	retryAt    time.Time
	lostAt     time.Time
	sliceAt    time.Time // of the next slice of work
	replaying  bool      // what is applied now has waited for the end of a dump
	unordered  bool      // what is applied now is not in the kernel's order
	stats      Stats
	out        []Request

	scratch struct {
		link    rtnl.Link
		addr    rtnl.Addr
		neigh   rtnl.Neigh
		nexthop rtnl.Nexthop
		rule    rtnl.Rule
		netconf rtnl.Netconf
	}
}

// phase is where the reading of a table stands.
type phase uint8

const (
	idle      phase = iota // notifications are applied as they come
	dumping                // they wait for the end of the dump
	sweeping               // what the dump has not shown is being removed
	replaying              // what has waited is being applied
)

// kindEnd is beyond every rtnl.Kind.
const kindEnd = 8

type kindState struct {
	live    bool // equal to the kernel but for what is on its way
	phase   phase
	failed  bool // the dump that is being ended was not complete
	doubt   bool // the dump that is being ended may not show all: one more
	heard   bool // of what a dump cannot be trusted with: IPv6 routes, rules
	cut6    bool // an IPv6 route went: the dump may have passed over others
	confirm int  // dumps added to this one
	again   bool // dump once more when this one ends
	tries   int  // dumps in a row that were not complete
	retryAt time.Time
	pending queue // notifications heard since the dump began

	parts int // datagrams of the dump
}

// New makes an engine that knows nothing yet; Start asks for what it needs.
func New(ns model.NS, p Params, sink Sink) *Engine {
	return &Engine{
		ns: ns, params: p.withDefaults(), sink: sink,
		links: newTable[uint32, rtnl.Link](), byName: map[string]uint32{}, twins: map[string]struct{}{}, addrs: newAddrTable(),
		neighs: newTable[neighKey, rtnl.Neigh](), nexthops: newTable[uint32, rtnl.Nexthop](),
		netconfs: newTable[netconfKey, rtnl.Netconf](), rules: newRuleTable(), routes: rib.New(ns, p.Seed),
	}
}

// Params are the limits in force, defaults filled in.
func (e *Engine) Params() Params { return e.params }

// SetParams gives the engine new limits and tells whether they are. The seed
// stays. The sizes of sockets take effect with the next socket.
func (e *Engine) SetParams(p Params) bool {
	p = p.withDefaults()
	p.Seed = e.params.Seed
	changed := p != e.params
	e.params = p
	return changed
}

// Start begins a synchronisation from nothing.
func (e *Engine) Start(now time.Time) { e.lose(now) }

// Requests returns and clears what the shell has to do.
func (e *Engine) Requests() []Request {
	out := e.out
	e.out = nil
	return out
}

// Lost tells that notifications were lost, or that the socket broke.
func (e *Engine) Lost(now time.Time, epoch uint32) {
	if epoch != e.epoch {
		return
	}
	e.stats.Losses++
	e.lose(now)
}

// Unopened tells that there is no socket: nothing was lost that was heard of, and
// the next attempt waits as after a loss.
func (e *Engine) Unopened(now time.Time, epoch uint32) {
	if epoch == e.epoch {
		e.lose(now)
	}
}

func (e *Engine) lose(now time.Time) {
	e.now = now
	if e.lostAt.IsZero() || e.attempts == 0 {
		e.lostAt = now
	}
	e.subscribed = false
	e.state = [kindEnd]kindState{}
	e.routes.OutOfOrder(false)
	e.epoch++
	e.attempts++
	if e.attempts <= 2 {
		e.resubscribe()
		return
	}
	e.retryAt = now.Add(e.params.delay(e.attempts - 3))
}

func (e *Engine) resubscribe() {
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

// Refresh reads a table again, without any loss: somebody has reason to
// believe that the model is not right.
func (e *Engine) Refresh(k rtnl.Kind) {
	if e.subscribed && e.state[k].retryAt.IsZero() {
		e.dump(k)
	}
}

func (e *Engine) dump(k rtnl.Kind) {
	st := &e.state[k]
	if st.phase != idle {
		st.again = true
		return
	}
	*st = kindState{phase: dumping, tries: st.tries, pending: st.pending, heard: !st.pending.empty()}
	e.begin(k)
	e.sink.SyncBegin(e.ns, k)
	e.out = append(e.out, Request{NS: e.ns, Dump: k, Epoch: e.epoch})
}

// begin starts a new generation of a kind.
func (e *Engine) begin(k rtnl.Kind) {
	switch k {
	case rtnl.KindLink:
		e.links.gen++
	case rtnl.KindAddr:
		e.addrs.gen++
	case rtnl.KindNeigh:
		e.neighs.gen++
		e.state[k].parts = 0
	case rtnl.KindNexthop:
		e.nexthops.gen++
	case rtnl.KindRule:
		e.rules.gen++
	case rtnl.KindNetconf:
		e.netconfs.gen++
	case rtnl.KindRoute:
		e.routes.Begin()
		e.tails = map[leaf]bool{}
	}
}

// Notified applies notifications: one or more whole messages.
func (e *Engine) Notified(now time.Time, epoch uint32, b []byte) {
	if epoch != e.epoch {
		return // heard on a socket that has been given up
	}
	e.clock(now)
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			e.stats.Malformed++
			return
		}
		kind := kindOf(h.Type)
		if kind == rtnl.KindNeigh && e.comesOrGoes(h, body) {
			e.state[kind].heard = true // of no meaning when no dump runs
		}
		switch st := &e.state[kind]; {
		case kind == 0:
			e.stats.Ignored++
		case st.phase == idle:
			e.apply(h, body)
		case st.pending.size > e.params.PendingMax:
			e.stats.Losses++
			e.lose(now)
			return
		default:
			six := kind == rtnl.KindRoute && len(body) > 0 && body[0] == unix.AF_INET6
			st.heard = st.heard || kind == rtnl.KindRule || six
			st.cut6 = st.cut6 || six && h.Type == unix.RTM_DELROUTE
			st.pending.add(now, b[:len(b)-len(rest)])
		}
		b = rest
	}
}

// comesOrGoes tells whether a message says that a neighbour is new or gone.
func (e *Engine) comesOrGoes(h rtnl.Header, body []byte) bool {
	n := &e.scratch.neigh
	return h.Type == unix.RTM_DELNEIGH || rtnl.DecodeNeigh(body, n) == nil && e.neighs.get(neighKey{n.Index, n.Dst}) == nil
}

// Dumped applies one datagram of a dump.
func (e *Engine) Dumped(epoch uint32, b []byte) {
	if epoch != e.epoch {
		return
	}
	e.unordered = true
	defer func() { e.unordered = false }()
	if h, _, _, err := rtnl.NextMessage(b); err == nil {
		e.state[kindOf(h.Type)].parts++
	}
	for len(b) > 0 {
		if body, size := routeIn(b); size > 0 && e.state[rtnl.KindRoute].phase == dumping { // nearly all are
			b = b[min(size, len(b)):]
			e.stats.Messages++
			key, changed, err := e.routes.Put(body, 0, true)
			if changed {
				e.routeChanged(key)
			}
			if err != nil {
				e.stats.Malformed++
			}
			if len(b) == 0 {
				e.ended(body)
			}
			continue
		}
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			e.stats.Malformed++
			return
		}
		if e.state[kindOf(h.Type)].phase == dumping {
			e.apply(h, body)
		}
		b = rest
	}
}

// routeIn is the body of the RTM_NEWROUTE that b begins with, and the octets
// that it takes there; 0 when b begins with anything else.
func routeIn(b []byte) (body []byte, size int) {
	const header = 16 // struct nlmsghdr, linux/netlink.h
	if len(b) < header {
		return nil, 0
	}
	n := uint(binary.NativeEndian.Uint32(b))
	if n < header || n > uint(len(b)) || binary.NativeEndian.Uint16(b[4:]) != unix.RTM_NEWROUTE {
		return nil, 0
	}
	return b[header:n], int(n+3) &^ 3
}

// DumpDone ends a dump. Only a complete, uninterrupted one sweeps. A kernel
// that does not know a kind has a complete, empty table of it. Work may be
// left, see Busy.
func (e *Engine) DumpDone(now time.Time, epoch uint32, k rtnl.Kind, complete, interrupted bool) {
	if epoch != e.epoch || e.state[k].phase != dumping {
		return
	}
	e.clock(now)
	st := &e.state[k]
	st.failed = !complete || interrupted
	switch {
	case st.failed:
		e.startReplay(k)
		e.stats.Incomplete++
	case e.confirms(k, st):
		return
	default:
		st.phase = sweeping
	}
	e.work()
}

// confirmMax is how many dumps are added to one that changes have disturbed.
const confirmMax = 2

// confirms asks for a further dump when changes that came during this one may
// have made it miss something, and does not sweep before. If changes come
// during each, the dump is believed for now and made again later. What disturbs
// a dump of IPv6 routes is not always announced: one that shows less than we
// have, or something twice, is always made again; and so is one during which a
// route went, which may lack another that we have never heard of.
func (e *Engine) confirms(k rtnl.Kind, st *kindState) bool {
	doubt := false
	switch k {
	case rtnl.KindRoute:
		doubt = e.routes.Unseen6() || st.cut6
		if doubt && !st.heard && st.confirm > 0 {
			e.routes.Twice(e.routeChanged) // two undisturbed dumps say the same
			return false
		}
	case rtnl.KindRule:
		doubt = st.heard // they are counted, and no count is right twice
	case rtnl.KindNeigh:
		// Between two parts the kernel finds its place again by counting in a hash
		// table, which may have grown (neigh_dump_table, net/core/neighbour.c).
		doubt = st.heard && st.parts > 1
	}
	if !doubt {
		return false
	}
	if st.doubt = st.confirm >= confirmMax; st.doubt {
		return false
	}
	st.confirm++
	st.heard, st.cut6 = false, false
	r := Request{NS: e.ns, Dump: k, Epoch: e.epoch}
	if k == rtnl.KindRoute {
		e.routes.Confirm()
		r.Family = unix.AF_INET6
	} else {
		st.pending = queue{} // what it said is in the next dump
		e.begin(k)
	}
	e.out = append(e.out, r)
	return true
}

func (e *Engine) clock(now time.Time) {
	e.now = now
	e.routes.Clock(now)
}

// kindOf tells what a message is about; 0 for what is not mirrored.
func kindOf(msgType uint16) rtnl.Kind {
	switch msgType {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return rtnl.KindRoute
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return rtnl.KindLink
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return rtnl.KindAddr
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return rtnl.KindNeigh
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return rtnl.KindRule
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		return rtnl.KindNexthop
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		return rtnl.KindNetconf
	}
	return 0
}
