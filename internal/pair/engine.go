package pair

import (
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// Engine keeps the pairs of one dataplane in step. Within a step of the core:
// Clock first, then what has happened, Tick last, then Actions.
type Engine struct {
	o     Options
	now   time.Time
	specs []Spec
	out   []Action
}

// New makes an engine that is not connected; the first Tick asks for that.
func New(o Options) *Engine { return &Engine{o: o} }

// Clock sets the time that the sink's methods stand at.
func (e *Engine) Clock(now time.Time) { e.now = now }

// SetPairs gives the whole set of wanted pairs. What is no longer wanted is
// unpaired, if we have made it.
func (e *Engine) SetPairs(now time.Time, specs []Spec) { e.now, e.specs = now, specs }

// Event takes what the dataplane tells.
func (e *Engine) Event(now time.Time, ev dataplane.Event) { e.now = now }

// Wrote takes the results of operations in a namespace. It comes after every
// notification that they caused.
func (e *Engine) Wrote(now time.Time, ns model.NS, results []plan.Result) { e.now = now }

// Tick does what is due.
func (e *Engine) Tick(now time.Time) { e.now = now }

// Deadline is when Tick has something to do; zero for not before an event.
func (e *Engine) Deadline() time.Time { return time.Time{} }

// Idle tells whether everything is as it should be, or waits for others:
// nothing is in flight, asked for, or due.
func (e *Engine) Idle() bool { return true }

// Actions returns and clears what the shell has to do.
func (e *Engine) Actions() []Action {
	out := e.out
	e.out = nil
	return out
}

// Close ends the use of the dataplane: unpaired is nothing.
func (e *Engine) Close() {}

// Status tells how everything stands.
func (e *Engine) Status(now time.Time) Status { return Status{Name: e.o.Name} }

// Check tells which invariant does not hold.
func (e *Engine) Check() error { return nil }

// The methods of mirror.Sink; the core hands on what every mirrored namespace
// says.

func (e *Engine) LinkChanged(ns model.NS, old, new *rtnl.Link)       {}
func (e *Engine) AddrChanged(ns model.NS, old, new *rtnl.Addr)       {}
func (e *Engine) NeighChanged(ns model.NS, old, new *rtnl.Neigh)     {}
func (e *Engine) NexthopChanged(ns model.NS, old, new *rtnl.Nexthop) {}
func (e *Engine) RuleChanged(ns model.NS, old, new *rtnl.Rule)       {}
func (e *Engine) RouteChanged(key model.RouteKey)                    {}
func (e *Engine) SyncBegin(ns model.NS, kind rtnl.Kind)              {}
func (e *Engine) SyncEnd(ns model.NS, kind rtnl.Kind)                {}
