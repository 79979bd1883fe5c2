package core

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/device"
	"netbraid/internal/iface"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/pair"
	"netbraid/internal/plan"
	"netbraid/internal/proto"
	"netbraid/rtnl"
)

// settleMax bounds how long removals wait for interfaces that do not come up.
const settleMax = 10 * time.Second

// overdue is how long the core sleeps when something is due already.
const overdue = 50 * time.Millisecond

// sweepEvery and sweepParts: how often, and in how many parts, the settings
// are read again that nothing announces.
const (
	sweepEvery = time.Second
	sweepParts = 60
)

// Options of a Core.
type Options struct {
	Protos proto.Registry
	Owned  *plan.Owned // what an earlier process left; nil for nothing
	Down   []string    // interfaces that somebody had taken down
	// Subnets is what an earlier process has saved (SaveSubnets); nil for
	// nothing.
	Subnets *SubnetMemory
	Seed    uint64 // of the jitter
	Mirror  mirror.Params
	// Made is what an earlier process has made on each dataplane (SaveMade).
	Made map[string][]pair.Made
}

// Core is the whole state of the daemon but for sockets and files.
type Core struct {
	protos proto.Registry
	rng    *rand.Rand
	now    time.Time

	seed   uint64
	mirror *mirror.Engine
	spaces []*Space // namespaces besides the daemon's own, in the order of their NS
	lastNS model.NS
	// unopened has why a namespace has no socket, where that was said already.
	unopened  map[model.NS]string
	planes    []*Plane // in the order of their ID
	lastPlane PlaneID
	made      map[string][]pair.Made // on each dataplane, by madeKey; no empty ones
	partial   bool                   // sections are missing because they are wrong
	behind    map[string]string      // why what was made on a dataplane is left behind there, by madeKey
	graph     *device.Graph
	planner   *plan.Planner
	cfg       *config.Config
	ifaces    map[string]*iface.Machine
	order     []string
	routes    map[string][]*config.Route // by interface
	down      map[string]bool
	l3        map[string]string // interface → layer 3 device that is not its main device
	l3Left    map[string]bool   // layer 3 devices that are left to the programs that made them

	onDevice map[string]map[string]bool // device → interfaces that use it
	aliases  map[string]map[string]bool // interface → its aliases
	// dependents are the interfaces that are up only while another is.
	dependents map[string][]string
	check      map[string]bool      // interfaces to look at
	dirty      map[string]bool      // interfaces whose objects have to be computed
	settling   map[string]bool      // interfaces that wait for what they want to be in place
	due        map[string]time.Time // interfaces that want a Tick

	shown version
	asked runtime // what callers asked for, beside the configuration

	helpers helpers  // programs of protocol handlers
	sw      switches // bridges of Open vSwitch

	newSettling []string // of settling, those not looked at yet
	progress    uint64   // of the planner when settling was last looked at

	started      bool
	live         bool // links have been read once
	configuredAt time.Time
	settled      bool
	dns          resolvers
	prefixes     prefixes
	inherited    bool // an earlier process left something that is ours
	sweepAt      time.Time
	sweepPart    int
	actions      []Action
}

// New makes a core that knows nothing of the world yet.
func New(o Options) *Core {
	if o.Owned == nil {
		o.Owned = plan.NewOwned()
	}
	if o.Protos == nil {
		o.Protos = proto.Builtin()
	}
	c := &Core{
		protos: o.Protos, seed: o.Seed, unopened: map[model.NS]string{}, rng: rand.New(rand.NewPCG(o.Seed, 2)),
		ifaces: map[string]*iface.Machine{}, routes: map[string][]*config.Route{}, down: map[string]bool{}, l3: map[string]string{}, l3Left: map[string]bool{},
		onDevice: map[string]map[string]bool{}, aliases: map[string]map[string]bool{},
		check: map[string]bool{}, dirty: map[string]bool{}, settling: map[string]bool{}, due: map[string]time.Time{},
	}
	c.asked = newRuntime()
	c.made, c.behind = map[string][]pair.Made{}, map[string]string{}
	for key, made := range o.Made {
		if len(made) > 0 {
			c.made[key] = made
		}
	}
	for _, n := range o.Down {
		c.down[n] = true
	}
	c.dns.of = map[string]bool{}
	c.prefixes = newPrefixes(o.Subnets)
	c.inherited = !o.Owned.Empty()
	o.Mirror.Seed = o.Seed
	c.mirror = mirror.New(0, o.Mirror, (*sink)(c))
	c.graph = device.NewGraph(c.mirror)
	c.planner = plan.New(0, c.mirror, o.Owned, o.Seed)
	return c
}

// Mirror gives the observed state, for snapshots.
func (c *Core) Mirror() *mirror.Engine { return c.mirror }

// Planner gives what is wanted and under way, for snapshots and invariants.
func (c *Core) Planner() *plan.Planner { return c.planner }

// Graph gives the devices, for snapshots.
func (c *Core) Graph() *device.Graph { return c.graph }

// Config is the configuration in force; nil before the first.
func (c *Core) Config() *config.Config { return c.cfg }

// Step takes one event and returns what is to be done, in order.
func (c *Core) Step(now time.Time, ev Event) []Action {
	c.now = now
	if !c.started {
		c.started = true
		c.mirror.Start(now)
		c.sweepAt = now.Add(sweepEvery)
	}
	for _, p := range c.planes {
		p.Pairs.Clock(now)
	}
	c.take(ev)
	c.run()
	c.countVersion(ev)
	out := c.actions
	c.actions = nil
	return out
}

func (c *Core) take(ev Event) {
	switch ev := ev.(type) {
	case Subscribed:
		if e := c.engine(ev.NS); e != nil {
			e.Subscribed(ev.Epoch)
		}
	case Lost:
		c.lost(ev)
	case Notified:
		if e := c.engine(ev.NS); e != nil {
			e.Notified(c.now, ev.Epoch, ev.Data)
		}
	case Dumped:
		if e := c.engine(ev.NS); e != nil {
			e.Dumped(ev.Epoch, ev.Data)
		}
	case DumpDone:
		if e := c.engine(ev.NS); e != nil {
			e.DumpDone(c.now, ev.Epoch, ev.Kind, ev.Complete, ev.Interrupted)
		}
	case Wrote:
		for _, r := range ev.Results {
			c.planner.Settle(c.now, r)
		}
	case SysctlValue:
		c.planner.SysctlRead(ev.Key, ev.Value, ev.Err)
	case PlaneEvent:
		if p := c.plane(ev.ID); p != nil {
			p.Pairs.Event(c.now, ev.Event)
		}
	case WroteNS:
		if p := c.plane(ev.ID); p != nil {
			p.Pairs.Wrote(c.now, ev.NS, ev.Results)
		}
	case Configured:
		c.partial = ev.Partial
		c.configure(ev.Config)
		c.leaveOld()
	case SwitchChanged:
		c.switchChanged(ev.State)
	case Exited:
		c.exited(ev)
	case Command:
		c.command(ev)
	case Delivered:
		if m := c.ifaces[ev.Interface]; m != nil {
			m.Deliver(c.now, ev.Payload)
			c.check[ev.Interface] = true
		}
	}
}

func (c *Core) command(cmd Command) {
	st := OK
	m := c.ifaces[cmd.Interface]
	switch {
	case cmd.Do != nil:
		st = cmd.Do.do(c)
	case cmd.Verb == VerbRestartAll:
		for _, n := range c.order {
			m := c.ifaces[n]
			m.Bounce(c.now)
			m.Autostart = m.Config.Auto
			delete(c.down, n)
			c.check[n] = true
		}
	case cmd.Verb == VerbTeardown:
		for _, n := range c.order {
			c.ifaces[n].Remove(c.now)
			c.check[n] = true
		}
		c.graph.LeaveSwitches()
		c.sw.over, c.sw.told = true, c.sw.told && len(c.sw.want) == 0
		c.planner.SetObjects("routes", nil)
		c.planner.Release()
		for _, p := range c.planes {
			c.leavePlane(p)
		}
	case m == nil:
		st = NotFound
	default:
		st = c.commandInterface(cmd.Verb, m)
	}
	c.act(Reply{cmd.ID, st})
}

func (c *Core) commandInterface(v Verb, m *iface.Machine) Status {
	n := m.Config.Name
	c.check[n] = true
	switch v {
	case VerbUp:
		delete(c.down, n)
		m.CommandUp(c.now)
	case VerbDown:
		c.down[n] = true
		m.CommandDown(c.now)
	case VerbRestart:
		if !m.Restart(c.now) {
			return UnknownError
		}
	case VerbRenew:
		if !m.Flags().Renew {
			return OK // netifd answers 0 where there is nothing to renew
		}
		m.Renew(c.now)
	case VerbRemove:
		m.Remove(c.now)
	}
	return OK
}

// Down lists the interfaces that somebody has taken down, sorted: they are to
// stay so when the daemon starts again.
func (c *Core) Down() []string { return slices.Sorted(maps.Keys(c.down)) }

// Deadline is when Step wants a Tick; zero for never.
func (c *Core) Deadline() time.Time {
	var t time.Time
	add := func(x time.Time) {
		if !x.IsZero() && (t.IsZero() || x.Before(t)) {
			t = x
		}
	}
	c.mirrorDeadline(add)
	c.planeDeadline(add)
	if at := c.planner.Deadline(); !at.IsZero() {
		// What is due and could not be tried (a table is being read) is looked
		// at with the next event; until then now and then.
		if !at.After(c.now) {
			at = c.now.Add(overdue)
		}
		add(at)
	}
	for _, t := range c.due {
		add(t)
	}
	add(c.prefixes.due)
	if c.planner.HasSysctls() {
		add(c.sweepAt)
	}
	if !c.settled && !c.configuredAt.IsZero() {
		// Later it is the end of a dump that wakes us.
		if at := c.configuredAt.Add(settleMax); at.After(c.now) {
			add(at)
		}
	}
	return t
}

const (
	levelInfo = 0
	levelWarn = 4
)

func (c *Core) act(a Action) { c.actions = append(c.actions, a) }

func (c *Core) log(level int, msg string, args ...any) {
	c.act(Log{Level: level, Message: msg, Args: args})
}

// sink hears of the changes of the mirror.
type sink Core

func (s *sink) LinkChanged(ns model.NS, old, new *rtnl.Link) {
	c := (*Core)(s)
	s.pairs().LinkChanged(ns, old, new)
	c.planner.LinkSeen(old, new)
	if !c.live {
		return // devices look at links when all have been read
	}
	if old != nil && new != nil && old.Addr != new.Addr {
		c.prefixes.dirty = true // interface identifiers may be made of it
	}
	c.graph.LinkChanged(old, new)
	if old == nil || new == nil || old.Name != new.Name {
		c.linkMoved(old)
		c.linkMoved(new)
	}
}

// linkMoved marks the interfaces whose layer 3 device is this link.
func (c *Core) linkMoved(l *rtnl.Link) {
	if l == nil {
		return
	}
	for _, m := range c.ifaces {
		if m.L3Device() == l.Name {
			m.MarkDirty()
			c.check[m.Config.Name] = true
		}
	}
}

func (s *sink) AddrChanged(ns model.NS, old, new *rtnl.Addr) {
	s.planner.AddrSeen(old, new)
	s.pairs().AddrChanged(ns, old, new)
}

func (s *sink) RouteChanged(key model.RouteKey) {
	s.planner.RouteSeen(key)
	s.pairs().RouteChanged(key)
}

func (s *sink) NeighChanged(ns model.NS, old, new *rtnl.Neigh) {
	s.planner.NeighSeen(old, new)
	s.pairs().NeighChanged(ns, old, new)
}

func (s *sink) NexthopChanged(ns model.NS, old, new *rtnl.Nexthop) {
	s.pairs().NexthopChanged(ns, old, new)
}

func (s *sink) NetconfChanged(ns model.NS, old, new *rtnl.Netconf) {
	s.pairs().NetconfChanged(ns, old, new)
}

func (s *sink) SyncBegin(ns model.NS, k rtnl.Kind) { s.pairs().SyncBegin(ns, k) }

func (s *sink) SyncEnd(ns model.NS, k rtnl.Kind) {
	s.planner.TableRead(k)
	s.pairs().SyncEnd(ns, k)
}

func (s *sink) pairs() fanOut { return fanOut{(*Core)(s)} }

func (s *sink) RuleChanged(_ model.NS, old, new *rtnl.Rule) {
	for _, r := range [...]*rtnl.Rule{old, new} {
		if r != nil {
			s.planner.RuleSeen(r)
		}
	}
}

// devices is what a machine sees of the graph.
type devices struct{ *device.Graph }

func (d devices) State(name string) (present, up, link bool, ifindex uint32) {
	s := d.Graph.State(name)
	return s.Present, s.Up && (!s.Auth || s.Authorized), s.Link, s.Ifindex
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil // as mostly: every step asks
	}
	return slices.SortedFunc(maps.Keys(m), cmp.Compare[string])
}
