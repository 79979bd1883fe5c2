package plan

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// Have is the observed state that decisions read (package mirror has it).
type Have interface {
	Live(rtnl.Kind) bool
	Link(index uint32) *rtnl.Link
	LinkByName(name string) *rtnl.Link
	MaxIndex() uint32
	Addr(model.AddrKey) *rtnl.Addr
	AddrsOn(index uint32) []rtnl.Addr
	HasLocal(netip.Addr) bool
	RoutesOn(index uint32) []rtnl.Route
	Routes(model.RouteKey) []rtnl.Route
	Rule(*rtnl.Rule) bool
	Neigh(index uint32, dst netip.Addr) *rtnl.Neigh
}

// Planner holds what is wanted, what is ours and what is under way in one
// namespace, and gives the operations between want and have.
type Planner struct {
	ns    model.NS
	have  Have
	want  want
	owned *Owned
	rng   *rand.Rand

	dirtyLinks  map[string]struct{}
	dirtyIndex  map[uint32]struct{}
	dirtyAddrs  map[model.AddrKey]struct{}
	dirtyRoutes map[model.RouteKey]struct{}
	dirtyRules  map[RuleKey]struct{}
	dirtyNeighs map[NeighKey]struct{}

	ledger  ledger
	sysctl  map[model.SysctlKey]string // as last read
	found   map[model.SysctlKey]string // as first read: what is put back
	asked   map[model.SysctlKey]bool   // reads under way
	reads   []model.SysctlKey
	proxies map[NeighKey]bool // written by this process, on a link that has been up since
	// promote: links on which an address swap needs promote_secondaries.
	promote  map[uint32]bool
	unsaid   map[model.AddrKey]rtnl.Addr // written, and not announced yet
	ends     map[model.AddrKey]Lifetime  // of wanted addresses that do not last for ever
	refresh  map[model.AddrKey]bool      // of these, those whose lifetime is still to be written
	verified bool                        // what an earlier process left has been held against the links
	pending  map[string]uint32           // ifindex given to a link that is being created
	lastIdx  uint32

	hold    bool // nothing is removed or put back yet
	records []Record
	ops     []*Op
	nextID  uint64
	now     time.Time
}

// New makes a planner. owned is what an earlier process left (see Owned);
// seed feeds the jitter of retries. Until Release is called nothing is
// removed or put back.
func New(ns model.NS, have Have, owned *Owned, seed uint64) *Planner {
	p := &Planner{
		ns: ns, have: have, want: newWant(), owned: owned, rng: rand.New(rand.NewPCG(seed, 1)),
		dirtyLinks: map[string]struct{}{}, dirtyIndex: map[uint32]struct{}{},
		dirtyAddrs: map[model.AddrKey]struct{}{}, dirtyRoutes: map[model.RouteKey]struct{}{},
		dirtyRules: map[RuleKey]struct{}{}, dirtyNeighs: map[NeighKey]struct{}{}, proxies: map[NeighKey]bool{}, ledger: newLedger(),
		sysctl: map[model.SysctlKey]string{}, found: map[model.SysctlKey]string{}, asked: map[model.SysctlKey]bool{},
		promote: map[uint32]bool{}, unsaid: map[model.AddrKey]rtnl.Addr{}, ends: map[model.AddrKey]Lifetime{}, refresh: map[model.AddrKey]bool{}, pending: map[string]uint32{}, hold: true,
	}
	p.AllDirty()
	return p
}

// Release ends the time in which nothing is removed.
func (p *Planner) Release() {
	if p.hold {
		p.hold = false
		p.AllDirty()
	}
}

// AllDirty makes the next pass look at every key.
func (p *Planner) AllDirty() {
	for n := range p.want.links {
		p.dirtyLink(n)
	}
	for i := range p.owned.Links {
		p.dirtyIndex[i] = struct{}{}
	}
	p.objectsDirty()
}

// objectsDirty makes the next pass look at every address, route and rule.
func (p *Planner) objectsDirty() {
	for k := range p.want.addrs {
		p.dirtyAddrs[k] = struct{}{}
	}
	for k := range p.owned.Addrs {
		p.dirtyAddrs[k] = struct{}{}
	}
	for k := range p.want.routes {
		p.dirtyRoutes[k] = struct{}{}
	}
	for k := range p.owned.Routes {
		p.dirtyRoutes[k] = struct{}{}
	}
	for k := range p.want.rules {
		p.dirtyRules[k] = struct{}{}
	}
	for k := range p.owned.Rules {
		p.dirtyRules[k] = struct{}{}
	}
	for k := range p.want.neighs {
		p.dirtyNeighs[k] = struct{}{}
	}
	for k := range p.owned.Neighs {
		p.dirtyNeighs[k] = struct{}{}
	}
}

func (p *Planner) dirtyLink(name string)        { p.dirtyLinks[name] = struct{}{} }
func (p *Planner) touchAddr(k model.AddrKey)    { p.unplace(k); p.dirtyAddrs[k] = struct{}{} }
func (p *Planner) touchRoute(k model.RouteKey)  { p.unplace(k); p.dirtyRoutes[k] = struct{}{} }
func (p *Planner) touchRule(k RuleKey)          { p.unplace(k); p.dirtyRules[k] = struct{}{} }
func (p *Planner) RuleSeen(r *rtnl.Rule)        { p.dirtyRules[RuleKey{p.ns, *r}] = struct{}{} }
func (p *Planner) RouteSeen(key model.RouteKey) { p.dirtyIfKnown(key) }
func (p *Planner) sysctlKnown(k model.SysctlKey) bool {
	_, ok := p.sysctl[k]
	return ok
}

func (p *Planner) dirtyIfKnown(k model.RouteKey) {
	_, ours := p.owned.Routes[k]
	if ours || p.want.routes[k] != nil {
		p.dirtyRoutes[k] = struct{}{}
	}
}

// LinkSeen tells of an observed change of a link.
func (p *Planner) LinkSeen(old, new *rtnl.Link) {
	for _, l := range [...]*rtnl.Link{old, new} {
		if l == nil {
			continue
		}
		if p.want.links[l.Name] != nil {
			p.dirtyLink(l.Name)
		}
		if p.owned.Links[l.Index] != nil {
			p.dirtyIndex[l.Index] = struct{}{}
		}
	}
	if old != nil && new == nil {
		p.forgetLink(old)
	}
	if new != nil {
		p.ledger.linkSeen(LinkKey{p.ns, new.Name}, new)
	}
	if new != nil && p.verified {
		if o := p.owned.Links[new.Index]; o != nil && !o.Created && o.Name != new.Name {
			o.Name = new.Name // the next process knows it by this name
			p.record(Record{Link: o})
		}
	}
	if new != nil && (old == nil || old.Name != new.Name || old.Flags != new.Flags || old.Index != new.Index || old.MTU != new.MTU) {
		for k := range p.want.addrsOn[new.Index] {
			p.dirtyAddrs[k] = struct{}{}
		}
		if old != nil && old.MTU != new.MTU {
			p.retryAddrs6(new.Index)
		}
		for k := range p.want.routesOn[new.Index] {
			p.dirtyRoutes[k] = struct{}{}
		}
		p.neighsOfLink(new)
		// Others may wait for this link as their master or parent.
		if old == nil || old.Name != new.Name {
			for n, w := range p.want.links {
				if w.Master == new.Name || w.Parent == new.Name {
					p.dirtyLink(n)
				}
			}
		}
	}
	if new != nil && p.want.links[new.Name] != nil {
		p.rereadSysctls(new)
	}
}

// verify drops, once, the records of an earlier process whose link is not there
// any more though another has its ifindex: the kernel gives the number of a
// link that we made to the next one as soon as ours is deleted. A link that was
// renamed while nobody looked cannot be told from that, and counts as gone.
func (p *Planner) verify() {
	if p.verified {
		return
	}
	p.verified = true
	for _, i := range sortedBy(p.owned.Links, cmp.Compare[uint32]) {
		o, l := p.owned.Links[i], p.have.Link(i)
		if l != nil && (l.Name != o.Name || o.Created && l.Kind != o.Kind) {
			p.forgetLink(&rtnl.Link{Index: i, Name: o.Name})
		}
	}
}

// forgetLink drops what is known of a link that has gone: its settings and
// whatever was ours on it went with it.
func (p *Planner) forgetLink(l *rtnl.Link) {
	p.forgetSysctls(l.Index)
	if o := p.owned.Links[l.Index]; o != nil {
		delete(p.owned.Links, l.Index)
		p.record(Record{Link: o, Drop: true})
	}
	for _, k := range sortedBy(p.owned.Addrs, model.AddrKey.Compare) {
		if k.Index == l.Index {
			p.dropAddr(k)
		}
	}
	for _, k := range sortedBy(p.owned.Routes, model.RouteKey.Compare) {
		if p.owned.Routes[k].Oif != l.Index {
			continue
		}
		was, replaces := p.owned.Was[k]
		p.dropRoute(k)
		if replaces && was.Oif != l.Index { // what it was to replace is still ours
			p.ownRoute(&was)
		}
	}
	for _, k := range sortedBy(p.owned.Neighs, compareNeighs) {
		if k.Index == l.Index {
			p.dropNeigh(k)
		}
	}
	delete(p.promote, l.Index)
	p.unplace(LinkKey{p.ns, l.Name})
}

func (p *Planner) forgetSysctls(index uint32) {
	for k := range p.sysctl {
		if k.Index == index {
			delete(p.sysctl, k)
			delete(p.found, k)
			p.ledger.unplace(k)
		}
	}
}

// AddrSeen tells of an observed change of an address.
func (p *Planner) AddrSeen(old, new *rtnl.Addr) {
	a := new
	if a == nil {
		a = old
	}
	k := p.addrKey(a)
	delete(p.unsaid, k)
	_, ours := p.owned.Addrs[k]
	if ours || p.want.addrs[k] != nil {
		p.dirtyAddrs[k] = struct{}{}
	}
	if old == nil {
		p.dirtyOwnedAddrs(a.Index) // one may have waited for this one
	}
	if old == nil || new == nil {
		for k := range p.want.routesOn[a.Index] {
			p.dirtyRoutes[k] = struct{}{}
			if old == nil {
				p.ledger.retry(k) // perhaps it was this address that was missing
			}
		}
		for k := range p.want.routesFrom[a.Local] {
			p.dirtyRoutes[k] = struct{}{}
		}
	}
}

// SysctlRead takes the answer to a read that Reads asked for; err non-nil
// means that the setting does not exist.
func (p *Planner) SysctlRead(k model.SysctlKey, value string, err error) {
	delete(p.asked, k)
	if err != nil {
		value = missingSysctl
	}
	if l := p.have.Link(k.Index); l != nil {
		if p.sysctl[k] != value && k.Name == disableIPv6 {
			p.retryAddrs6(k.Index)
		}
		p.sysctl[k] = value
		if _, ok := p.found[k]; !ok && value != missingSysctl {
			p.found[k] = value
		}
		p.dirtyLink(l.Name)
		p.dirtyIndex[k.Index] = struct{}{}
		if k.Name == promoteSecondaries {
			p.dirtyOwnedAddrs(k.Index)
		}
	}
}

const disableIPv6 = "ipv6/conf/disable_ipv6"

// retryAddrs6 ends the delay of the IPv6 addresses of a link that were refused:
// what the kernel refused them for has changed.
func (p *Planner) retryAddrs6(index uint32) {
	for k := range p.want.addrsOn[index] {
		if k.Local.Is6() {
			p.ledger.retry(k)
			p.dirtyAddrs[k] = struct{}{}
		}
	}
}

func (p *Planner) dirtyOwnedAddrs(index uint32) {
	for k := range p.want.addrsOn[index] {
		p.dirtyAddrs[k] = struct{}{} // those of others that are taken over
	}
	for k := range p.owned.Addrs {
		if k.Index == index {
			p.dirtyAddrs[k] = struct{}{}
		}
	}
}

// missingSysctl is what a setting reads that the kernel does not have.
const missingSysctl = "\x00missing"

// Reads returns and clears the settings that have to be read.
func (p *Planner) Reads() []model.SysctlKey {
	out := p.reads
	p.reads = nil
	return out
}

// Sweep asks to read again the n-th of m parts of all settings that matter,
// since most of them are announced by nobody.
func (p *Planner) Sweep(n, m int) {
	i := 0
	for _, k := range sortedBy(p.sysctl, model.SysctlKey.Compare) {
		if i%m == n {
			p.ask(k)
		}
		i++
	}
}

func (p *Planner) rereadSysctls(l *rtnl.Link) {
	for _, s := range p.want.links[l.Name].Sysctl {
		k := model.SysctlKey{NS: p.ns, Index: l.Index, Name: s.Name}
		if _, known := p.sysctl[k]; known {
			p.ask(k)
		}
	}
}

func (p *Planner) ask(k model.SysctlKey) {
	if !p.asked[k] {
		p.asked[k] = true
		p.reads = append(p.reads, k)
	}
}

// Records returns and clears the changes of what is ours. They are to be
// written down before the operations of the same step are done.
func (p *Planner) Records() []Record {
	out := p.records
	p.records = nil
	return out
}

// Owned is what is ours, for snapshots and invariants; not to be changed.
func (p *Planner) Owned() *Owned { return p.owned }

// Plan gives the operations that bring have to want, for the keys that are
// dirty, in the order in which they are to be done.
func (p *Planner) Plan(now time.Time) []*Op {
	p.now = now
	p.ledger.wake(now, p.dirtyKey)
	if !p.have.Live(rtnl.KindLink) {
		return nil
	}
	p.verify()
	p.ops = nil
	p.lastIdx = 0
	for i := range p.dirtyIndex {
		if l := p.have.Link(i); l != nil {
			p.dirtyLink(l.Name)
		} else if o := p.owned.Links[i]; o != nil && !p.ledger.busy(LinkKey{p.ns, o.Name}) {
			p.forgetLink(&rtnl.Link{Index: i, Name: o.Name})
		}
	}
	clear(p.dirtyIndex)
	links := sortedBy(p.dirtyLinks, cmp.Compare[string])
	clear(p.dirtyLinks)
	slices.SortStableFunc(links, func(a, b string) int { return cmp.Compare(p.depth(a), p.depth(b)) })
	for _, n := range links {
		p.planLink(n)
	}
	if p.have.Live(rtnl.KindAddr) {
		p.planAddrs()
		if p.have.Live(rtnl.KindRoute) {
			p.planRoutes()
		}
	}
	if p.have.Live(rtnl.KindRule) {
		p.planRules()
	}
	if p.have.Live(rtnl.KindNeigh) {
		p.planNeighs()
	}
	if p.have.Live(rtnl.KindAddr) && p.have.Live(rtnl.KindRoute) && p.have.Live(rtnl.KindRule) && p.have.Live(rtnl.KindNeigh) {
		p.ledger.forget(now)
	}
	ops := p.ops
	p.ops = nil
	slices.SortStableFunc(ops, func(a, b *Op) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.depth, b.depth))
	})
	return ops
}

func (p *Planner) depth(name string) int {
	if w := p.want.links[name]; w != nil {
		return w.Depth
	}
	return 0
}

// Dirty tells whether a pass would have anything to look at now.
func (p *Planner) Dirty() bool {
	return len(p.dirtyLinks)+len(p.dirtyIndex)+len(p.dirtyAddrs)+len(p.dirtyRoutes)+len(p.dirtyRules)+len(p.dirtyNeighs) > 0
}

// Again tells whether the last pass has left links that another one must look
// at.
func (p *Planner) Again() bool {
	return p.have.Live(rtnl.KindLink) && len(p.dirtyLinks)+len(p.dirtyIndex) > 0
}

// Idle tells that nothing is under way and nothing is left to look at, what
// backs off excepted.
func (p *Planner) Idle() bool {
	return !p.Dirty() && len(p.ledger.flying) == 0 && len(p.asked) == 0 && len(p.reads) == 0
}

// Deadline is when a key that backs off is due; zero for never.
func (p *Planner) Deadline() time.Time { return p.ledger.deadline() }

func (p *Planner) dirtyKey(k any) {
	switch k := k.(type) {
	case LinkKey:
		p.dirtyLink(k.Name)
	case model.AddrKey:
		p.dirtyAddrs[k] = struct{}{}
	case model.RouteKey:
		p.dirtyRoutes[k] = struct{}{}
	case RuleKey:
		p.dirtyRules[k] = struct{}{}
	case NeighKey:
		p.dirtyNeighs[k] = struct{}{}
	case model.SysctlKey:
		p.dirtyIndex[k.Index] = struct{}{}
	}
}

// Settle takes the result of an operation. It is called after everything that
// the kernel announced because of it has been observed.
func (p *Planner) Settle(now time.Time, r Result) {
	p.now = now
	op := p.ledger.land(r.ID)
	if op == nil {
		return
	}
	if op.Kind == LinkCreate {
		delete(p.pending, op.Device)
	}
	if op.Kind == SysctlSet && p.have.Link(op.Sysctl.Index) == nil {
		p.ledger.unplace(op.Key)
		return // it went with its link
	}
	if op.Kind == SysctlSet && r.Err == nil {
		p.sysctl[op.Sysctl] = r.Value
	}
	if op.Kind == SysctlSet && op.Sysctl.Name == promoteSecondaries {
		p.dirtyOwnedAddrs(op.Sysctl.Index)
	}
	if op.Kind == RouteAdd && !op.Route.Gateway.IsValid() {
		for k := range p.want.routesOn[op.Route.Oif] {
			p.dirtyRoutes[k] = struct{}{} // gateways may have waited for it
		}
	}
	if op.Kind == SysctlSet && op.Sysctl.Name == disableIPv6 {
		p.retryAddrs6(op.Sysctl.Index)
	}
	if op.Neigh != nil {
		p.neighSettled(op, r.Err)
	}
	p.dirtyKey(op.Key)
	if r.Err != nil {
		if op.Kind == SysctlSet && errors.Is(r.Err, fs.ErrNotExist) {
			p.sysctl[op.Sysctl] = missingSysctl // IPv6 settings go with an MTU below 1280
			return
		}
		p.failed(op, r.Err)
		return
	}
	p.notAnnounced(op)
	p.ledger.wrote(op)
}

// lifetimeLost: the lifetime of an address was not written.
func (p *Planner) lifetimeLost(op *Op) {
	if k, ok := op.Key.(model.AddrKey); ok && op.Kind == AddrAdd {
		if _, lasting := p.ends[k]; lasting {
			p.refresh[k] = true
		}
	}
}

// failed backs a key off; what was recorded as ours before the write and did
// not come to be is dropped by the next pass over the key.
func (p *Planner) failed(op *Op, err error) {
	p.lifetimeLost(op)
	if !op.outdated {
		p.ledger.fail(p.now, op, failureOf(op, err), p.jitter())
	}
	switch op.Kind {
	case AddrAdd:
		if k := op.Key.(model.AddrKey); p.have.Addr(k) == nil || errors.Is(err, unix.EEXIST) {
			p.dropAddr(k) // not set, or somebody else was faster
		}
	case RouteAdd:
		if k := op.Key.(model.RouteKey); len(p.have.Routes(k)) == 0 || errors.Is(err, unix.EEXIST) {
			p.dropRoute(k)
		}
	case NeighAdd:
		if k := op.Key.(NeighKey); k.Proxy || p.have.Neigh(k.Index, k.Dst) == nil {
			p.dropNeigh(k)
		}
	case LinkCreate:
		if o := p.owned.Links[op.Link.Index]; o != nil && o.Created && o.Name == op.Device {
			delete(p.owned.Links, o.Index)
			p.record(Record{Link: o, Drop: true})
		}
	}
}

func (p *Planner) jitter() float64 { return 0.75 + 0.5*p.rng.Float64() }

// Failures lists what does not work, sorted; of one owner, or of all with "".
func (p *Planner) Failures(owner string) []Failure { return p.ledger.failures(owner) }

// Doubt tells (once) whether the observed routes should be read again: one
// that was written successfully is not among them.
func (p *Planner) Doubt() bool {
	d := p.ledger.doubt
	p.ledger.doubt = false
	return d
}

// Progress changes whenever a key has come to be in place or has failed:
// before that, Settled answers as it did.
func (p *Planner) Progress() uint64 { return p.ledger.version }

// Settled tells whether everything that owner wants is in place or has been
// tried and failed.
func (p *Planner) Settled(owner string) bool {
	o := p.want.owners[owner]
	if o == nil {
		return true
	}
	for i := range o.Addrs {
		if k := p.addrKey(&o.Addrs[i]); !p.ledger.placed[k] && p.ledger.entries[k] == nil {
			return false
		}
	}
	return true
}

func (p *Planner) unplace(k any) { p.ledger.unplace(k) }

// emit hands out an operation unless its key is in flight or backing off.
func (p *Planner) emit(op *Op) bool {
	op.ID = p.nextID + 1
	if !p.ledger.admit(p.now, op, p.jitter) {
		return false
	}
	p.nextID++
	p.ledger.flying[op.ID] = op
	p.ops = append(p.ops, op)
	return true
}

// mayRemove tells whether removals are allowed yet.
func (p *Planner) mayRemove() bool { return !p.hold }

func sortedBy[K comparable, V any](m map[K]V, cmp func(a, b K) int) []K {
	if len(m) == 0 {
		return nil // as mostly: every step asks
	}
	return slices.SortedFunc(maps.Keys(m), cmp)
}

// HasSysctls tells whether there are settings to watch.
func (p *Planner) HasSysctls() bool { return len(p.sysctl) > 0 }

// TableRead tells that a table has been read completely: every key of it is
// compared again.
func (p *Planner) TableRead(k rtnl.Kind) {
	if k == rtnl.KindLink {
		p.AllDirty()
		return
	}
	for n, w := range p.want.links {
		if w.Takeover {
			p.dirtyLink(n)
		}
	}
	p.objectsDirty()
}
