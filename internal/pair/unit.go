package pair

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// unitID names a pair: an interface of the dataplane by name, or one of its
// sub-interfaces by its tags.
type unitID struct {
	phy string
	sub dataplane.Sub // zero: the interface itself
}

func (a unitID) compare(b unitID) int {
	return cmp.Or(strings.Compare(a.phy, b.phy), cmp.Compare(a.depth(), b.depth()), compareSubs(a.sub, b.sub))
}

// depth is the number of tags.
func (a unitID) depth() int {
	switch {
	case a.sub.Inner != 0:
		return 2
	case a.sub.Outer != 0:
		return 1
	}
	return 0
}

// parent is what the companion is a VLAN link on.
func (a unitID) parent() (unitID, bool) {
	switch a.depth() {
	case 2:
		return unitID{a.phy, dataplane.Sub{Outer: a.sub.Outer, OuterAD: a.sub.OuterAD, Exact: true}}, true
	case 1:
		return unitID{phy: a.phy}, true
	}
	return unitID{}, false
}

// linkID is a link of Linux.
type linkID struct {
	ns    model.NS
	index uint32
}

// intent is what was asked of a pair, whoever has asked last and whatever the
// parent of a sub-interface allows now.
type intent struct {
	up  bool
	mtu uint32
	mac rtnl.HWAddr
}

// expected is the admin state that a link or interface is going to have
// because its parent has it: not something that anybody has asked for.
type expected uint8

const (
	nothing expected = iota
	expectUp
	expectDown
)

func expect(up bool) expected {
	if up {
		return expectUp
	}
	return expectDown
}

// lxAddr is an address of a companion, in the dataplane's form.
type lxAddr struct {
	n    int // addresses with this form that can be used
	held int // that cannot yet (tentative): what is there stays
	addr rtnl.Addr
}

// unit is one pair, wanted or still there.
type unit struct {
	id     unitID
	spec   *Spec // nil of a sub-interface that is paired by itself
	made   Made
	synced bool // what the dataplane had at creation is in Linux

	phy  uint32 // dataplane.NoIndex: there is none
	host uint32 // ifindex of the companion; 0: none has been seen
	ns   model.NS

	active   bool // both ends are there and their attributes are kept in step
	had      bool // it was active: want is to be restored
	creating bool // a PairAdd is under way, or was when the connection ended
	fresh    bool // made in this process and not yet filled
	restore  bool // the VLAN link went with its parent and is to be made again
	removing bool
	agreed   string // the name of the companion when it was found
	want     intent
	upBefore bool      // want.up before downAt,
	downAt   time.Time // when the companion was last taken down
	lxExpect expected
	dpExpect expected

	settleAt   time.Time // not active before: the dataplane is still busy with the companion
	missing    time.Time // since when the companion is awaited
	vanished   time.Time // when the VLAN link went
	remadeAt   time.Time // when the companion was last made again
	remade     int       // how often in a row
	problem    string    // why it cannot go on, where no operation has failed
	lx         map[netip.Prefix]lxAddr
	base       map[netip.Prefix]bool      // in step on both sides at some time
	told       map[netip.Prefix]bool      // added to the dataplane by us
	push       map[netip.Prefix]rtnl.Addr // to be added to Linux
	drop       map[netip.Prefix]bool      // to be removed from Linux
	tombs      []tomb
	neighs     map[netip.Addr]bool // told to the dataplane
	carrier    expected            // the companion was told to show
	held       []uint32            // FIBs that are held for its binding
	keepTried  uint32              // ifindex that keep_addr_on_down was set on
	loggedUp   bool
	wakeAt     time.Time
	dirtyAddrs bool
	mpls       mplsWritten
}

// tomb is an address that has just gone.
type tomb struct {
	addr rtnl.Addr
	at   time.Time
}

// tombsFor is how long an address that has gone counts as gone with its link.
const tombsFor = time.Second

func newUnit(id unitID) *unit {
	return &unit{id: id, phy: dataplane.NoIndex, made: Made{Phy: id.phy, Sub: id.sub},
		lx: map[netip.Prefix]lxAddr{}, base: map[netip.Prefix]bool{}, told: map[netip.Prefix]bool{},
		push: map[netip.Prefix]rtnl.Addr{}, drop: map[netip.Prefix]bool{}, neighs: map[netip.Addr]bool{}}
}

// child tells whether this is a pair of a sub-interface.
func (u *unit) child() bool { return u.id.depth() > 0 }

// parentOf is the unit of the link that the companion is a VLAN on; nil for
// none.
func (e *Engine) parentOf(u *unit) *unit {
	id, ok := u.id.parent()
	if !ok {
		return nil
	}
	return e.units[id]
}

func (e *Engine) topOf(u *unit) *unit { return e.units[unitID{phy: u.id.phy}] }

// specOf is the configuration that holds for a unit: its own, or that of the
// interface above it.
func (e *Engine) specOf(u *unit) *Spec {
	if u.spec != nil {
		return u.spec
	}
	if t := e.topOf(u); t != nil {
		return t.spec
	}
	return nil
}

// children lists the units whose companions are VLANs on that of u, in order.
func (e *Engine) children(u *unit) (out []*unit) {
	for _, id := range sortedKeys(e.below[u.id], unitID.compare) {
		out = append(out, e.units[id])
	}
	return out
}

// ensure gives the unit of an id.
func (e *Engine) ensure(id unitID) *unit {
	u := e.units[id]
	if u != nil {
		return u
	}
	u = newUnit(id)
	if m, ok := e.made[id]; ok {
		u.made, u.synced = m, m.Synced
		for _, text := range strings.Fields(m.Told) {
			if p, err := netip.ParsePrefix(text); err == nil {
				u.told[p] = true
			}
		}
	}
	e.units[id] = u
	if p, ok := id.parent(); ok {
		if e.below[p] == nil {
			e.below[p] = map[unitID]bool{}
		}
		e.below[p][id] = true
	}
	e.mark(u)
	return u
}

// forgetUnit ends a unit that nothing is left of.
func (e *Engine) forgetUnit(u *unit) {
	e.deactivate(u)
	e.setPhy(u, dataplane.NoIndex)
	e.setHost(u, 0)
	delete(e.units, u.id)
	if p, ok := u.id.parent(); ok {
		if above := e.units[p]; above != nil {
			e.mark(above) // it may have waited for this
		}
		delete(e.below[p], u.id)
		if len(e.below[p]) == 0 {
			delete(e.below, p)
		}
	}
	u.made = Made{Phy: u.id.phy, Sub: u.id.sub}
	e.remember(u)
}

// remember notes what of a unit we have made; it is written down before what
// follows is done.
func (e *Engine) remember(u *unit) {
	m := u.made
	m.Synced, m.Told = u.synced, ""
	if m.Pair {
		m.Told = u.toldText()
	}
	if !m.Pair && !m.Iface && !m.Link {
		if _, ok := e.made[u.id]; !ok {
			return
		}
		delete(e.made, u.id)
	} else if e.made[u.id] == m {
		return
	} else {
		e.made[u.id] = m
	}
	e.madeChanged = true
}

// toldText lists the addresses that were told to the dataplane.
func (u *unit) toldText() string {
	var b []byte
	for i, p := range sortedKeys(u.told, comparePrefixes) {
		if i > 0 {
			b = append(b, ' ')
		}
		b = p.AppendTo(b)
	}
	return string(b)
}

// retell has what was told of a unit written down anew, once in a pass.
func (e *Engine) retell(u *unit) {
	if u.made.Pair {
		e.retold[u.id] = true
	}
}

// rememberTold does that.
func (e *Engine) rememberTold() {
	for _, id := range sortedKeys(e.retold, unitID.compare) {
		if u := e.units[id]; u != nil {
			e.remember(u)
		}
	}
	clear(e.retold)
}

func (e *Engine) madeList() []Made {
	out := make([]Made, 0, len(e.made))
	for _, id := range sortedKeys(e.made, unitID.compare) {
		out = append(out, e.made[id])
	}
	return out
}

// relate gives every configured pair its unit: which one that is depends on
// what the dataplane's interface turns out to be.
func (e *Engine) relate() {
	e.unrelated = false
	want := map[unitID]*Spec{}
	for i := range e.specs {
		s := &e.specs[i]
		want[e.idOf(s)] = s
	}
	for _, id := range sortedKeys(e.units, unitID.compare) {
		u := e.units[id]
		if s := want[id]; s != u.spec {
			u.spec = s
			e.mark(u)
		}
	}
	for _, id := range sortedKeys(want, unitID.compare) {
		if e.units[id] == nil {
			e.ensure(id).spec = want[id]
		}
	}
}

func (e *Engine) idOf(s *Spec) unitID {
	if i := e.dp.named(s.Phy); i != nil && i.Parent != dataplane.NoIndex {
		if p := e.dp.ifaces[i.Parent]; p != nil {
			sub := i.Sub
			sub.Exact = true
			return unitID{p.Name, sub}
		}
	}
	return unitID{phy: s.Phy}
}

// setPhy binds a unit to an interface of the dataplane.
func (e *Engine) setPhy(u *unit, index uint32) {
	if u.phy == index {
		return
	}
	if e.byPhy[u.phy] == u {
		delete(e.byPhy, u.phy)
	}
	e.holdTables(u)
	u.phy = index
	if index != dataplane.NoIndex {
		e.byPhy[index] = u
	}
}

// setHost binds a unit to a link of Linux.
func (e *Engine) setHost(u *unit, index uint32) {
	if old := (linkID{u.ns, u.host}); u.host != 0 && e.byHost[old] == u {
		delete(e.byHost, old)
	}
	u.host = index
	if index != 0 {
		e.byHost[linkID{u.ns, index}] = u
	}
}

// mark has a unit looked at in the next pass.
func (e *Engine) mark(u *unit) { e.dirty.add(u.id) }

// markFamily marks a unit and all below it.
func (e *Engine) markFamily(u *unit) {
	e.mark(u)
	for _, c := range e.children(u) {
		e.markFamily(c)
	}
}

// wake has a unit looked at when its time has come.
func (e *Engine) wake(u *unit, at time.Time) {
	if u.wakeAt.IsZero() || at.Before(u.wakeAt) {
		u.wakeAt = at
	}
	if e.wakeAt.IsZero() || at.Before(e.wakeAt) {
		e.wakeAt = at
	}
}

// wakeUnits marks the units whose time has come.
func (e *Engine) wakeUnits() {
	if e.wakeAt.IsZero() || e.now.Before(e.wakeAt) {
		return
	}
	e.wakeAt = time.Time{}
	var due []*unit
	for _, u := range e.units {
		switch {
		case u.wakeAt.IsZero():
		case !e.now.Before(u.wakeAt):
			due = append(due, u)
		case e.wakeAt.IsZero() || u.wakeAt.Before(e.wakeAt):
			e.wakeAt = u.wakeAt
		}
	}
	slices.SortFunc(due, func(a, b *unit) int { return a.id.compare(b.id) })
	for _, u := range due {
		u.wakeAt = time.Time{}
		e.mark(u)
	}
}
