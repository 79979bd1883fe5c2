package core

import (
	"maps"
	"slices"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/dataplane"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/pair"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// PlaneID numbers the dataplanes; no number is used twice.
type PlaneID uint16

// The events and actions of dataplanes. Those of a dataplane that is closed are
// ignored.
type (
	// OpenPlane: the dataplane is this one from now on, to be connected by the
	// next PlaneDo, when what was closed before has ended.
	OpenPlane struct {
		ID     PlaneID
		Config *config.Dataplane
		// Leaving: it is not configured any more, only to be taken apart what an
		// earlier process has made on it, if that is there at all.
		Leaving bool
	}
	// ClosePlane: nothing more is wanted of the dataplane; it goes on as it is.
	ClosePlane struct {
		ID PlaneID
		// Left: all that was made on it has been taken apart, and nobody configures
		// it any more.
		Left bool
	}
	// PlaneDo: what a pair.Engine wants of its dataplane: a pair.Connect, Dump or
	// Write.
	PlaneDo struct {
		ID     PlaneID
		Action pair.Action
	}
	// WriteNS: do these operations in a namespace; answered by WroteNS.
	WriteNS struct {
		ID  PlaneID // who wants them
		NS  model.NS
		Ops []*plan.Op
	}
	// SaveMade: write down what has been made on a dataplane (by its name and
	// place), for the next process, before what follows is done. Nothing made: it
	// is forgotten.
	SaveMade struct {
		Name string
		Made []pair.Made
	}

	// PlaneEvent is something that a dataplane tells.
	PlaneEvent struct {
		ID    PlaneID
		Event dataplane.Event
	}
	// WroteNS: the operations of a WriteNS have been done or have failed. It
	// comes after every notification that they caused.
	WroteNS struct {
		ID      PlaneID
		NS      model.NS
		Results []plan.Result
	}
)

func (OpenPlane) isAction()  {}
func (ClosePlane) isAction() {}
func (PlaneDo) isAction()    {}
func (WriteNS) isAction()    {}
func (SaveMade) isAction()   {}
func (PlaneEvent) isEvent()  {}
func (WroteNS) isEvent()     {}

// Plane is a dataplane and its pairs.
type Plane struct {
	ID     PlaneID
	Config *config.Dataplane
	Pairs  *pair.Engine
	// netns has the namespaces of its companions, by their files; the daemon's
	// own is "".
	netns  map[string]model.NS
	spaces []model.NS // the same, sorted
	// leaveAt is when it is closed at the latest, of one that is not configured
	// any more.
	leaveAt time.Time
}

// Leaving tells that it is not configured any more: its pairs are being taken
// apart.
func (p *Plane) Leaving() bool { return !p.leaveAt.IsZero() }

// leaveMax bounds how long pairs of a dataplane that is not configured any more
// are waited for to be taken apart: it may be out of reach.
const leaveMax = 10 * time.Second

// Planes lists the dataplanes in the order in which they came.
func (c *Core) Planes() []*Plane { return slices.Clone(c.planes) }

func (c *Core) plane(id PlaneID) *Plane {
	i := slices.IndexFunc(c.planes, func(p *Plane) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return c.planes[i]
}

// planeOf gives the dataplane of a name, if it is configured.
func (c *Core) planeOf(name string) *Plane {
	i := slices.IndexFunc(c.planes, func(p *Plane) bool { return p.Config.Name == name && p.leaveAt.IsZero() })
	if i < 0 {
		return nil
	}
	return c.planes[i]
}

// configurePairs gives every dataplane the pairs that are wanted of it.
func (c *Core) configurePairs() {
	for _, p := range slices.Clone(c.planes) {
		i := slices.IndexFunc(c.cfg.Dataplanes, func(d *config.Dataplane) bool { return d.Name == p.Config.Name })
		switch {
		case !p.leaveAt.IsZero():
		case i < 0 || !sameDataplane(c.cfg.Dataplanes[i], p.Config):
			if d := c.renamed(p); d != nil {
				c.renewPlane(p, d)
			} else {
				c.leavePlane(p)
			}
		case !sameConnection(c.cfg.Dataplanes[i], p.Config):
			c.renewPlane(p, c.cfg.Dataplanes[i])
		}
	}
	for _, d := range c.cfg.Dataplanes {
		p := c.planeOf(d.Name)
		if p == nil {
			if c.leaving(d) {
				continue // two engines would undo each other's work
			}
			p = c.openPlane(d, false)
		}
		p.Config = d
		c.setPairs(p)
	}
}

// madeKey is what is remembered of a dataplane under: another one of the same
// name has nothing of ours because of it.
func madeKey(d *config.Dataplane) string {
	return d.Name + " " + d.Type + " " + d.Place()
}

// sameDataplane tells whether two sections mean one dataplane.
func sameDataplane(a, b *config.Dataplane) bool {
	return a.Type == b.Type && a.Socket == b.Socket && a.NetNS == b.NetNS
}

// sameConnection tells whether an engine made for one serves the other.
func sameConnection(a, b *config.Dataplane) bool {
	return sameDataplane(a, b) && a.Window == b.Window && slices.Equal(a.Punt, b.Punt) && slices.Equal(a.SkipProtos, b.SkipProtos) && slices.Equal(a.Tables, b.Tables)
}

// renamed gives the section that a dataplane has now, under another name; nil
// when there is none.
func (c *Core) renamed(p *Plane) *config.Dataplane {
	i := slices.IndexFunc(c.cfg.Dataplanes, func(d *config.Dataplane) bool { return sameDataplane(d, p.Config) })
	if i < 0 || c.planeOf(c.cfg.Dataplanes[i].Name) != nil {
		return nil
	}
	return c.cfg.Dataplanes[i]
}

// leaving tells whether the pairs of a dataplane are being taken apart that had
// another name before. When that has ended it is configured.
func (c *Core) leaving(d *config.Dataplane) bool {
	return slices.ContainsFunc(c.planes, func(p *Plane) bool { return !p.leaveAt.IsZero() && sameDataplane(p.Config, d) })
}

// renewPlane lets another engine take over a dataplane, as the next process
// would: its pairs stay.
func (c *Core) renewPlane(p *Plane, d *config.Dataplane) {
	p.Pairs.Close()
	c.planes = slices.DeleteFunc(c.planes, func(x *Plane) bool { return x == p })
	c.act(ClosePlane{ID: p.ID})
	next := c.openPlane(d, false)
	c.setPairs(next)
	for _, path := range sortedKeys(p.netns) {
		if _, used := next.netns[path]; !used || p.Config.Name != d.Name {
			c.dropPairNS(p, path)
		}
	}
}

func (c *Core) openPlane(d *config.Dataplane, leaving bool) *Plane {
	c.lastPlane++
	p := &Plane{ID: c.lastPlane, Config: d, netns: map[string]model.NS{}}
	p.Pairs = pair.New(pair.Options{
		Name: d.Name, Seed: c.seed, Mirror: c.engine, Skip: d.SkipProtos, Made: c.madeOn(d),
		Table: func(ns model.NS, table uint32) (uint32, bool) { return c.fibOf(p, ns, table), true },
		OwnLink: func(ns model.NS, name string) bool {
			return ns == 0 && c.planner.WantsLink(name)
		},
		OwnAddr: func(ns model.NS, _ string, a *rtnl.Addr) bool {
			return ns == 0 && c.planner.WantsAddr(model.KeyOfAddr(0, a))
		},
	})
	c.planes = append(c.planes, p)
	c.act(OpenPlane{ID: p.ID, Config: d, Leaving: leaving})
	return p
}

// tableMain is RT_TABLE_MAIN.
const tableMain = 254

// fibOf is the FIB of a Linux table: the main one has that of its namespace,
// the others their own number.
func (c *Core) fibOf(p *Plane, ns model.NS, table uint32) uint32 {
	if table != tableMain {
		return table
	}
	for _, path := range sortedKeys(p.netns) {
		if p.netns[path] == ns {
			return p.Config.FIB(path)
		}
	}
	return dataplane.MainTable
}

// leavePlane takes the pairs of a dataplane apart and then closes it.
func (c *Core) leavePlane(p *Plane) {
	if p.leaveAt.IsZero() {
		p.leaveAt = c.now.Add(leaveMax)
		p.Pairs.SetPairs(c.now, nil)
	}
}

// closePlane ends the use of a dataplane that is left.
func (c *Core) closePlane(p *Plane) {
	done := p.Pairs.Idle() && len(c.made[madeKey(p.Config)]) == 0
	p.Pairs.Close()
	for _, path := range sortedKeys(p.netns) {
		c.dropPairNS(p, path)
	}
	c.planes = slices.DeleteFunc(c.planes, func(x *Plane) bool { return x == p })
	c.act(ClosePlane{ID: p.ID, Left: done})
}

// setPairs gives a dataplane its pairs: those of the configuration and those
// added at run time.
func (c *Core) setPairs(p *Plane) {
	var specs []pair.Spec
	used := map[string]bool{}
	for _, w := range c.WantedPairs() {
		if w.Dataplane != p.Config.Name {
			continue
		}
		if !used[w.NetNS] {
			used[w.NetNS] = true
			p.netns[w.NetNS] = c.usePairNS(p, w.NetNS)
		}
		specs = append(specs, pair.Spec{Name: w.Name, Phy: w.Phy, Host: w.Host, NetNS: w.NetNS, NS: p.netns[w.NetNS],
			Sync: w.Sync, AutoSubif: w.AutoSubif, MPLS: mplsOf(w), TUN: w.TUN, Queues: w.Queues})
	}
	p.spaces = slices.Sorted(maps.Values(p.netns)) // those that are left tell what they tell
	p.Pairs.KeepMade(c.partial)
	p.Pairs.SetPairs(c.now, specs)
	for _, path := range sortedKeys(p.netns) {
		if !used[path] {
			c.dropPairNS(p, path)
		}
	}
	p.spaces = slices.Sorted(maps.Values(p.netns))
}

// mplsOf is what a section says of packets with labels.
func mplsOf(p *config.Pair) pair.MPLS {
	switch {
	case p.MPLS:
		return pair.MPLSOn
	case p.NoMPLS:
		return pair.MPLSOff
	}
	return pair.MPLSFollows
}

func (c *Core) usePairNS(p *Plane, path string) model.NS {
	if path == "" {
		return 0
	}
	params := mirror.Params{Seed: c.seed}
	if m := mirrorOf(c.cfg, path); m != nil {
		params = mirrorParams(m, c.seed)
	}
	return c.UseNS(path, "dataplane "+p.Config.Name, params).NS
}

func (c *Core) dropPairNS(p *Plane, path string) {
	delete(p.netns, path)
	if path != "" {
		c.DropNS(path, "dataplane "+p.Config.Name)
	}
}

// Paired is the configuration in force with the pairs added at run time, but
// for those that contradict it by now.
func (c *Core) Paired() *config.Config {
	cfg := c.cfg
	if cfg == nil {
		cfg = &config.Config{}
	}
	return cfg.WithPairs(c.asked.pairs)
}

// WantedPairs lists the pairs that are wanted: those of the configuration, then
// those added at run time.
func (c *Core) WantedPairs() []*config.Pair { return c.Paired().Pairs }

// AddedPairs has the names of the pairs that were added at run time.
func (c *Core) AddedPairs() map[string]bool {
	names := map[string]bool{}
	for _, p := range c.asked.pairs {
		names[p.Name] = true
	}
	return names
}

// tickPlanes lets every dataplane go on and gathers what it wants done.
func (c *Core) tickPlanes() {
	for _, p := range slices.Clone(c.planes) {
		p.Pairs.Tick(c.now)
		for _, a := range p.Pairs.Actions() {
			switch a := a.(type) {
			case pair.Linux:
				c.act(WriteNS{p.ID, a.NS, a.Ops})
			case pair.Remember:
				c.rememberMade(madeKey(p.Config), a.Made)
			case pair.Log:
				c.log(a.Level, a.Msg, append([]any{"dataplane", p.Config.Name}, a.Args...)...)
			default:
				c.act(PlaneDo{p.ID, a})
			}
		}
		if !p.leaveAt.IsZero() && (p.Pairs.Idle() || !c.now.Before(p.leaveAt)) {
			c.left(p)
			c.closePlane(p)
			if !c.sw.over {
				c.configurePairs() // one may have waited for this
			}
		}
	}
}

func (c *Core) planeDeadline(add func(time.Time)) {
	for _, p := range c.planes {
		add(p.Pairs.Deadline())
		add(p.leaveAt)
	}
}

// AddPair adds a pair at run time. It stays when the configuration is read
// again, until that has one of its name.
type AddPair struct{ Pair *config.Pair }

// maxPairs bounds the pairs added at run time.
const maxPairs = 4096

func (r *AddPair) do(c *Core) Status {
	if r.Pair == nil || c.cfg == nil || c.planeOf(r.Pair.Dataplane) == nil {
		return NotFound
	}
	for _, w := range c.WantedPairs() {
		if w.Name == r.Pair.Name {
			return InvalidArgument
		}
	}
	if len(c.asked.pairs) >= maxPairs {
		return UnknownError
	}
	c.asked.pairs = append(c.asked.pairs, r.Pair)
	c.asked.changes++
	c.setPairs(c.planeOf(r.Pair.Dataplane))
	return OK
}

// DelPair takes a pair apart that was added at run time; NotSupported for one of
// the configuration.
type DelPair struct{ Name string }

func (r *DelPair) do(c *Core) Status {
	i := slices.IndexFunc(c.asked.pairs, func(p *config.Pair) bool { return p.Name == r.Name })
	switch {
	case i >= 0:
	case c.cfg != nil && slices.ContainsFunc(c.cfg.Pairs, func(p *config.Pair) bool { return p.Name == r.Name }):
		return NotSupported
	default:
		return NotFound
	}
	p := c.asked.pairs[i]
	c.asked.pairs = slices.Delete(c.asked.pairs, i, i+1)
	c.asked.changes++
	if plane := c.planeOf(p.Dataplane); plane != nil {
		c.setPairs(plane)
	}
	return OK
}

// forgetPairs drops the pairs added at run time that the file has by now.
func (c *Core) forgetPairs(file *config.Config) {
	n := len(c.asked.pairs)
	c.asked.pairs = slices.DeleteFunc(c.asked.pairs, func(p *config.Pair) bool {
		return slices.ContainsFunc(file.Pairs, func(f *config.Pair) bool { return f.Name == p.Name })
	})
	if len(c.asked.pairs) != n {
		c.asked.changes++
	}
}

// fanOut tells the dataplanes with companions in a namespace what its mirror
// tells.
type fanOut struct{ c *Core }

func (f fanOut) each(ns model.NS, tell func(*pair.Engine)) {
	for _, p := range f.c.planes {
		if slices.Contains(p.spaces, ns) {
			tell(p.Pairs)
		}
	}
}

func (f fanOut) LinkChanged(ns model.NS, old, new *rtnl.Link) {
	f.each(ns, func(e *pair.Engine) { e.LinkChanged(ns, old, new) })
}

func (f fanOut) AddrChanged(ns model.NS, old, new *rtnl.Addr) {
	f.each(ns, func(e *pair.Engine) { e.AddrChanged(ns, old, new) })
}

func (f fanOut) NeighChanged(ns model.NS, old, new *rtnl.Neigh) {
	f.each(ns, func(e *pair.Engine) { e.NeighChanged(ns, old, new) })
}

func (f fanOut) NexthopChanged(ns model.NS, old, new *rtnl.Nexthop) {
	f.each(ns, func(e *pair.Engine) { e.NexthopChanged(ns, old, new) })
}

func (f fanOut) NetconfChanged(ns model.NS, old, new *rtnl.Netconf) {
	f.each(ns, func(e *pair.Engine) { e.NetconfChanged(ns, old, new) })
}

func (f fanOut) RuleChanged(ns model.NS, old, new *rtnl.Rule) {
	f.each(ns, func(e *pair.Engine) { e.RuleChanged(ns, old, new) })
}

func (f fanOut) RouteChanged(key model.RouteKey) {
	f.each(key.NS, func(e *pair.Engine) { e.RouteChanged(key) })
}

func (f fanOut) SyncBegin(ns model.NS, kind rtnl.Kind) {
	f.each(ns, func(e *pair.Engine) { e.SyncBegin(ns, kind) })
}

func (f fanOut) SyncEnd(ns model.NS, kind rtnl.Kind) {
	f.each(ns, func(e *pair.Engine) { e.SyncEnd(ns, kind) })
}
