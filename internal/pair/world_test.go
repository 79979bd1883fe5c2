package pair_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/memory"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/pair"
	"netbraid/internal/plan"
	"netbraid/internal/sim"
	"netbraid/rtnl"
)

var groups = []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
	unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEIGH, unix.RTNLGRP_NEXTHOP,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_MPLS_NETCONF}

// space is a namespace: a simulated kernel, its mirror, and what is on the way
// between them.
type space struct {
	ns     model.NS
	path   string
	kern   *sim.Kernel
	mirror *mirror.Engine
	inbox  []func() // in order
	jobs   []func() // dumps and writes
	epoch  uint32
	vrf    map[uint32]uint32 // table by VRF link: the simulated kernel has none
	master map[uint32]uint32 // VRF link by link
	gone   bool
	made   map[uint32]string // names of companions
}

// world is an engine between simulated namespaces and a dataplane in memory,
// with everything that comes between in the order that the test chooses.
type world struct {
	rng        *rand.Rand
	now        time.Time
	spaces     []*space
	dp         *memory.World
	plane      *memory.Plane
	e          *pair.Engine
	opts       pair.Options
	specs      []pair.Spec
	made       []pair.Made
	configured bool
	faults     bool
	trace      func(string)
	hash       interface {
		Write([]byte) (int, error)
		Sum64() uint64
	}
	err     error
	writes  []dataplane.Op // carried out, since a test cleared it
	linux   []string       // operations for Linux carried out
	actions int
	counts  map[string]int
	lie     lie
	ignores func(*plan.Op) bool // operations that Linux accepts and does not do
	refuses string              // a setting of Linux that cannot be written,
	refusal error               // because of this
	left    map[uint32]bool     // interfaces that were refused to hand on no more multicast
}

// lie is something that is not as the engine is told.
type lie int

const (
	lieLinks    lie = iota + 1 // a notification of a link is lost, and nobody notices
	lieAddrs                   // one of an address that went
	lieChanged                 // the dataplane does not tell of an interface
	lieDumps                   // a dump that broke off is called complete
	lieMade                    // what was made is not written down
	lieSwallows                // the dataplane says so
)

// lies tells whether a lie is told now.
func (w *world) lies(l lie, about bool) bool { return w.lie == l && about && w.rng.IntN(8) == 0 }

const netnsOne = "/run/netns/one"

// vppCaps is a dataplane like VPP, namespaceCaps one like a namespace.
var (
	vppCaps       = dataplane.Caps{Resolves: true, Carrier: true, Multicast: true, TUN: true, SubInterfaces: true, MaxPaths: 64}
	namespaceCaps = dataplane.Caps{Local: true, Resolves: true, SubInterfaces: true, Clamps: true, MaxPaths: 64}
)

func newWorld(seed uint64, o memory.Options, trace func(string)) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0xa1)), now: time.Unix(1000, 0), trace: trace, hash: fnv.New64a(), counts: map[string]int{}}
	for i, path := range []string{"", netnsOne} {
		s := &space{ns: model.NS(i), path: path, vrf: map[uint32]uint32{}, master: map[uint32]uint32{}, made: map[uint32]string{}}
		s.kern = sim.New(sim.Options{Seed: seed + uint64(i), QueueBytes: 1 << 20, MPLS: i == 0})
		w.spaces = append(w.spaces, s)
	}
	o.Linux = linuxOf{w}
	w.dp = memory.New(o)
	w.opts = pair.Options{Name: "dp", Seed: seed, Mirror: func(ns model.NS) *mirror.Engine {
		if int(ns) < len(w.spaces) {
			return w.spaces[ns].mirror
		}
		return nil
	}}
	w.start()
	return w
}

// start begins a process: an engine and its mirrors that know nothing but what
// was written down.
func (w *world) start() {
	if w.plane != nil {
		w.plane.Close()
	}
	w.plane = w.dp.Plane()
	w.opts.Made = slices.Clone(w.made)
	w.e = pair.New(w.opts)
	for _, s := range w.spaces {
		s.inbox, s.jobs = nil, nil
		s.mirror = mirror.New(s.ns, mirror.Params{Seed: 1}, sink{w})
		s.mirror.Start(w.now)
	}
	if w.configured {
		w.e.SetPairs(w.now, w.specs)
	}
	w.step(func() {})
}

// sink hands on to the engine that there is now.
type sink struct{ w *world }

func (s sink) LinkChanged(ns model.NS, old, new *rtnl.Link) { s.w.e.LinkChanged(ns, old, new) }
func (s sink) AddrChanged(ns model.NS, old, new *rtnl.Addr) { s.w.e.AddrChanged(ns, old, new) }
func (s sink) NeighChanged(ns model.NS, old, new *rtnl.Neigh) {
	s.w.e.NeighChanged(ns, old, new)
}
func (s sink) NexthopChanged(ns model.NS, old, new *rtnl.Nexthop) {
	s.w.e.NexthopChanged(ns, old, new)
}
func (s sink) NetconfChanged(ns model.NS, old, new *rtnl.Netconf) {
	s.w.e.NetconfChanged(ns, old, new)
}
func (s sink) RuleChanged(ns model.NS, old, new *rtnl.Rule) { s.w.e.RuleChanged(ns, old, new) }
func (s sink) RouteChanged(k model.RouteKey)                { s.w.e.RouteChanged(k) }
func (s sink) SyncBegin(ns model.NS, k rtnl.Kind)           { s.w.e.SyncBegin(ns, k) }
func (s sink) SyncEnd(ns model.NS, k rtnl.Kind)             { s.w.e.SyncEnd(ns, k) }

func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.hash.Write([]byte(line))
	if w.trace != nil {
		w.trace(w.now.Format("04:05.000 ") + line)
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
		w.note("FAIL %v", w.err)
	}
}

// step is what the core does: something happens, then the engine decides.
func (w *world) step(f func()) {
	w.e.Clock(w.now)
	f()
	for _, s := range w.spaces {
		s.mirror.Tick(w.now)
		w.requests(s)
	}
	w.e.Tick(w.now)
	for _, a := range w.e.Actions() {
		w.act(a)
	}
	if err := w.e.Check(); err != nil {
		w.fail("%v", err)
	}
}

func (w *world) act(a pair.Action) {
	w.actions++
	switch a := a.(type) {
	case pair.Connect:
		w.note("connect %d", a.Epoch)
		w.plane.Connect(a.Epoch)
	case pair.Dump:
		w.note("dump %s", a.Kind)
		w.plane.Dump(a.Epoch, a.Kind)
	case pair.Write:
		w.checkBatch(&a.Batch)
		w.plane.Write(a.Epoch, a.Batch)
	case pair.Linux:
		s := w.spaces[a.NS]
		s.jobs = append(s.jobs, func() { w.execute(s, a.Ops) })
	case pair.Remember:
		line := "remember"
		for _, m := range a.Made {
			line += fmt.Sprintf(" %s%s:%v/%v/%v/%v", m.Phy, subString(m.Sub), m.Pair, m.Iface, m.Link, m.Synced)
		}
		w.note("%s", line)
		if w.lie != lieMade {
			w.made = a.Made
		}
	case pair.Log:
		w.note("log: %s %v", a.Msg, a.Args)
	}
}

// checkBatch holds that a batch is bounded and has no key twice.
func (w *world) checkBatch(b *dataplane.Batch) {
	if len(b.Ops) == 0 || len(b.Ops) > dataplane.MaxBatch {
		w.fail("a batch of %d operations", len(b.Ops))
	}
	for i := range b.Ops {
		w.note("batch %d: %s", b.ID, opString(&b.Ops[i]))
	}
	w.writes = append(w.writes, b.Ops...)
}

func subString(s dataplane.Sub) string {
	if s.Outer == 0 {
		return ""
	}
	return fmt.Sprintf(".%d(%v).%d(%v)", s.Outer, s.OuterAD, s.Inner, s.InnerAD)
}

func opString(o *dataplane.Op) string {
	s := fmt.Sprintf("%s %d", o.Kind, o.Index)
	switch o.Kind {
	case dataplane.PairAdd, dataplane.PairDel:
		s += fmt.Sprintf(" %s@%s", o.Pair.HostName, o.Pair.NetNS)
	case dataplane.SubAdd:
		s += fmt.Sprintf(" %+v", o.Sub)
	case dataplane.SetUp, dataplane.SetCarrier:
		s += fmt.Sprint(" ", o.On)
	case dataplane.SetMTU, dataplane.SetTable, dataplane.TableAdd, dataplane.TableDel:
		s += fmt.Sprint(" ", o.Value, " ", o.Family)
	case dataplane.SetMAC:
		s += " " + o.MAC.String()
	case dataplane.AddrAdd, dataplane.AddrDel:
		s += " " + o.Prefix.String()
	case dataplane.NeighSet, dataplane.NeighDel, dataplane.LocalAdd, dataplane.LocalDel:
		s += " " + o.Addr.String() + " " + o.MAC.String()
	case dataplane.RouteSet, dataplane.RouteDel:
		s += fmt.Sprintf(" %d %s", o.Route.Table, o.Route.Prefix)
		if o.Paths != nil {
			s += fmt.Sprintf(" %+v", *o.Paths)
		}
	}
	return s
}

// execute carries out operations in a namespace, as package kernel does.
func (w *world) execute(s *space, ops []*plan.Op) {
	var res []plan.Result
	for _, op := range ops {
		r := plan.Result{ID: op.ID}
		switch {
		case s.gone:
			r.Err = errNoNS
		case w.faults && w.rng.IntN(20) == 0:
			r.Err = &rtnl.Error{Errno: unix.ENOMEM}
		case op.Kind == plan.SysctlSet && op.Sysctl.Name == w.refuses:
			r.Err = w.refusal
		case op.Kind == plan.SysctlSet:
			r.Err = s.kern.WriteSysctl("/proc/sys/net/"+op.Sysctl.Path(op.Device), op.Value)
		case w.ignores != nil && w.ignores(op), w.faults && w.rng.IntN(30) == 0: // it says that it did, and did not
		default:
			if err := s.kern.Request(op.Message()); err != nil && !plan.Gone(op, err) {
				r.Err = err
			}
		}
		w.note("ns%d %s: %v", s.ns, op, r.Err)
		w.linux = append(w.linux, op.String())
		res = append(res, r)
	}
	w.listen(s, 1<<30)
	s.inbox = append(s.inbox, func() {
		w.e.Wrote(w.now, s.ns, res)
	})
}

// requests does what a mirror asks for.
func (w *world) requests(s *space) {
	for _, q := range s.mirror.Requests() {
		s.jobs = append(s.jobs, func() {
			switch {
			case s.gone:
				s.inbox = append(s.inbox, func() { s.mirror.Unopened(w.now, q.Epoch) })
			case q.Subscribe:
				s.kern.Subscribe(groups...)
				s.epoch = q.Epoch
				s.inbox = append(s.inbox, func() { s.mirror.Subscribed(q.Epoch) })
			default:
				w.dump(s, q)
			}
		})
	}
}

func (w *world) dump(s *space, q mirror.Request) {
	if w.faults && w.rng.IntN(10) == 0 {
		s.kern.InterruptDump()
	}
	complete, interrupted := false, false
	for _, b := range s.kern.Dump(rtnl.AppendDumpRequest(nil, q.Dump, 1, rtnl.Filter{Family: q.Family})) {
		data := s.rewrite(b)
		s.inbox = append(s.inbox, func() { s.mirror.Dumped(q.Epoch, data) })
		for rest := b; len(rest) > 0; {
			h, body, next, err := rtnl.NextMessage(rest)
			if err != nil {
				break
			}
			interrupted = interrupted || h.Flags&unix.NLM_F_DUMP_INTR != 0
			if h.Type == unix.NLMSG_DONE {
				errno, _, _ := rtnl.ParseError(body)
				complete = errno == 0
			}
			rest = next
		}
	}
	w.listen(s, 1<<30)
	s.inbox = append(s.inbox, func() { s.mirror.DumpDone(w.now, q.Epoch, q.Dump, complete, interrupted) })
}

// listen takes up to n notifications from the socket.
func (w *world) listen(s *space, n int) {
	epoch := s.epoch
	for ; n > 0; n-- {
		b, overrun, ok := s.kern.Receive()
		if !ok {
			return
		}
		if overrun {
			w.note("ns%d overrun", s.ns)
			s.inbox = append(s.inbox, func() { s.mirror.Lost(w.now, epoch) })
			return
		}
		data := s.rewrite(b)
		s.forget(b)
		if h, _, _, err := rtnl.NextMessage(data); err == nil && w.lies(lieLinks, h.Type == unix.RTM_NEWLINK) || w.lies(lieAddrs, h.Type == unix.RTM_DELADDR) {
			continue
		}
		s.inbox = append(s.inbox, func() { s.mirror.Notified(w.now, epoch, data) })
	}
}

// rest lets everything come to rest: what is on its way arrives, in its order,
// and the time passes that the engine waits for.
func (w *world) rest() {
	for range 20000 {
		switch {
		case w.err != nil:
			return
		case w.drive(func(int) int { return 0 }):
		case !w.passTime():
			return
		}
	}
	w.fail("does not come to rest: %+v", w.e.Status(w.now))
}

// passTime lets the time come that somebody waits for; false when nobody does,
// but for what waits longer than a minute.
func (w *world) passTime() bool {
	at := w.e.Deadline()
	for _, s := range w.spaces {
		if t := s.mirror.Deadline(); !s.gone && !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if at.IsZero() {
		return false
	}
	w.advance(max(at.Sub(w.now), time.Millisecond))
	return true
}

func (w *world) advance(d time.Duration) {
	w.now = w.now.Add(d)
	for _, s := range w.spaces {
		s.kern.Tick(d)
	}
	w.step(func() {})
}

// drive does one of the things that are due, and tells whether there was one.
func (w *world) drive(choose func(n int) int) bool {
	var choices []func()
	for _, s := range w.spaces {
		w.listen(s, 1<<30)
		if len(s.inbox) > 0 {
			choices = append(choices, func() {
				f := s.inbox[0]
				s.inbox = s.inbox[1:]
				w.step(f)
			})
		}
		if len(s.jobs) > 0 {
			choices = append(choices, func() {
				j := s.jobs[0]
				s.jobs = s.jobs[1:]
				j()
			})
		}
	}
	if !w.plane.Idle() {
		choices = append(choices, func() {
			if ev, ok := w.plane.Take(); ok {
				w.note("event %T", ev)
				if _, told := ev.(dataplane.Changed); w.lies(lieChanged, told) {
					return
				}
				if done, ok := ev.(dataplane.DumpDone); ok && w.lie == lieDumps {
					done.Err = nil
					ev = done
				}
				w.step(func() { w.e.Event(w.now, ev) })
				return
			}
			w.plane.Work()
		})
	}
	if len(choices) == 0 {
		return false
	}
	choices[choose(len(choices))]()
	return true
}

// configure gives the engine other pairs.
func (w *world) configure(specs ...pair.Spec) {
	w.specs, w.configured = specs, true
	w.step(func() { w.e.SetPairs(w.now, specs) })
}

// spec is a pair of phyN and hostN.
func spec(n int, ns int) pair.Spec {
	s := pair.Spec{Name: fmt.Sprintf("pair%d", n), Phy: fmt.Sprintf("phy%d", n), Host: fmt.Sprintf("host%d", n), Sync: true, AutoSubif: true}
	if ns == 1 {
		s.NS, s.NetNS = 1, netnsOne
	}
	return s
}
