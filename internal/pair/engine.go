package pair

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/internal/pair/fib"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// Engine keeps the pairs of one dataplane in step. Within a step of the core:
// Clock first, then what has happened, Tick last, then Actions.
type Engine struct {
	o     Options
	now   time.Time
	conn  connection
	dp    view
	fib   *fib.Table
	specs []Spec
	nss   []model.NS // that specs name, in order

	units  map[unitID]*unit
	below  map[unitID]map[unitID]bool // units by the one above
	byPhy  map[uint32]*unit
	byHost map[linkID]*unit
	made   map[unitID]Made
	retold map[unitID]bool      // what was told of these has changed
	inFIB  map[uint32][2]uint32 // FIBs held because an interface is bound to them, whoever has done that

	vlans  map[linkID]map[uint32]bool     // VLAN links by the link below
	byLink map[linkID]map[netip.Addr]bool // neighbours by link
	own    map[netip.Addr]int             // the router's own addresses, by number of reasons

	dirty                 queue[unitID]
	addrs, neighs, locals queue[key]
	ledger                ledger
	lastID                uint64
	writing               map[uint64]write // operations for Linux in flight

	ops         []queued // asked for in this pass
	toLinux     map[model.NS][]*plan.Op
	out         []Action
	wakeAt      time.Time
	unrelated   bool // specs have to find their units again
	remark      bool // everything has to be looked at again
	rediscover  bool // sub-interfaces may have units again
	madeChanged bool
	keepMade    bool
	more        bool // fib has work left
}

// write is an operation for Linux in flight.
type write struct {
	k      key
	object string
	asked  string
}

// New makes an engine that is not connected; the first Tick asks for that.
func New(o Options) *Engine {
	e := &Engine{o: o, dp: newView(), units: map[unitID]*unit{}, below: map[unitID]map[unitID]bool{}, byPhy: map[uint32]*unit{},
		byHost: map[linkID]*unit{}, made: map[unitID]Made{}, retold: map[unitID]bool{}, inFIB: map[uint32][2]uint32{}, vlans: map[linkID]map[uint32]bool{},
		byLink: map[linkID]map[netip.Addr]bool{}, own: map[netip.Addr]int{}, dirty: newQueue[unitID](), addrs: newQueue[key](),
		neighs: newQueue[key](), locals: newQueue[key](), ledger: newLedger(), lastID: o.FirstID, writing: map[uint64]write{},
		toLinux: map[model.NS][]*plan.Op{}}
	e.conn.batches = map[uint64]*batch{}
	e.fib = fib.New(fib.Options{Host: fibHost{e}, Seed: o.Seed, Skip: o.Skip})
	for _, m := range o.Made {
		e.made[unitID{m.Phy, m.Sub}] = m
	}
	return e
}

// Clock sets the time that the sink's methods stand at.
func (e *Engine) Clock(now time.Time) { e.now = now }

// KeepMade says whether what an earlier process has made stays though it is not
// among the pairs: some may be missing. It holds from the next SetPairs on.
func (e *Engine) KeepMade(on bool) { e.keepMade = on }

// SetPairs gives the whole set of wanted pairs. What is no longer wanted is
// unpaired, if we have made it.
func (e *Engine) SetPairs(now time.Time, specs []Spec) {
	e.now = now
	e.specs = slices.Clone(specs)
	slices.SortFunc(e.specs, func(a, b Spec) int { return strings.Compare(a.Phy, b.Phy) })
	old := e.nss
	e.nss = nil
	for _, s := range e.specs {
		if !slices.Contains(e.nss, s.NS) {
			e.nss = append(e.nss, s.NS)
		}
	}
	slices.Sort(e.nss)
	for _, ns := range old {
		if !slices.Contains(e.nss, ns) {
			e.fib.DropNS(ns)
			e.forgetNS(ns)
		}
	}
	for _, ns := range e.nss {
		if !slices.Contains(old, ns) {
			e.readNS(ns)
			e.fib.AddNS(ns)
		}
	}
	if !slices.Equal(old, e.nss) {
		e.recountLocals()
	}
	for _, u := range e.units {
		u.spec = nil // relate finds it again: what it points to is another
	}
	if !e.keepMade {
		for _, id := range sortedKeys(e.made, unitID.compare) {
			e.ensure(id) // also what an earlier process has made and nobody wants
		}
	}
	e.relate()
	e.markAll()
}

// readNS takes what is known of a namespace already.
func (e *Engine) readNS(ns model.NS) {
	m := e.mirror(ns)
	if m == nil {
		return
	}
	m.Each(func(l *rtnl.Link) { e.noteVLAN(ns, nil, l) }, nil, nil, nil)
	m.EachNeigh(func(n *rtnl.Neigh) { e.noteNeigh(ns, nil, n) })
}

// forgetNS drops what is known of a namespace that nothing more will be heard
// of.
func (e *Engine) forgetNS(ns model.NS) {
	for _, id := range sortedKeys(e.units, unitID.compare) {
		if u := e.units[id]; u.ns == ns {
			e.deactivate(u)
			e.setHost(u, 0)
			clear(u.lx)
		}
	}
	for id := range e.vlans {
		if id.ns == ns {
			delete(e.vlans, id)
		}
	}
	for id := range e.byLink {
		if id.ns == ns {
			delete(e.byLink, id)
		}
	}
}

// Idle tells whether everything is as it should be, or waits for others:
// nothing is in flight, asked for, or due.
func (e *Engine) Idle() bool {
	return e.conn.state == connected && e.ready() && e.conn.have[dataplane.KindRoute] && e.conn.dumping == 0 && !slices.Contains(e.conn.wanted[:], true) &&
		len(e.conn.batches) == 0 && len(e.writing) == 0 && e.dirty.len()+e.addrs.len()+e.neighs.len()+e.locals.len() == 0 &&
		len(e.out) == 0 && e.wakeAt.IsZero() && e.fib.Idle()
}

// Absent tells that the last attempt to connect has found no such thing.
func (e *Engine) Absent() bool { return e.conn.absent }

// Actions returns and clears what the shell has to do.
func (e *Engine) Actions() []Action {
	out := e.out
	e.out = nil
	return out
}

// Close ends the use of the dataplane. What is there stays.
func (e *Engine) Close() {
	e.conn.state = closed
	e.fib.Lost()
	e.disconnected()
}

// ready tells whether the dataplane's interfaces, and what is on them, are
// known, so that something can be decided.
func (e *Engine) ready() bool {
	h := &e.conn.have
	return e.conn.state == connected && h[dataplane.KindInterface] && h[dataplane.KindPair] && h[dataplane.KindAddr] &&
		h[dataplane.KindNeigh] && h[dataplane.KindLocal] && !e.reading()
}

// disconnected drops what belonged to a connection.
func (e *Engine) disconnected() {
	e.ops = e.ops[:0]
	for _, u := range e.units {
		u.carrier, u.dpExpect = nothing, nothing
	}
	e.conn.flying = 0
}

// phyName is the name of a unit's interface on the dataplane.
func (e *Engine) phyName(u *unit) string {
	if i := e.dp.ifaces[u.phy]; i != nil {
		return i.Name
	}
	if u.child() {
		return u.id.phy + tagsOf(u.id.sub)
	}
	return u.id.phy
}

// markAll has everything looked at again.
func (e *Engine) markAll() {
	for _, id := range sortedKeys(e.units, unitID.compare) {
		u := e.units[id]
		e.mark(u)
		e.markAddrs(u)
		if u.active {
			e.markNeighs(u)
			e.discover(u)
		}
	}
	e.rediscover = true
	e.markLocals()
}
