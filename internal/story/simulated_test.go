package story

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/daemon"
	"netbraid/internal/plan"
	"netbraid/internal/proto"
	"netbraid/internal/sim"
	"netbraid/rtnl"
)

// simulated is a core on a simulated kernel. Everything between the two is
// done in one order, and time passes only when nothing is left to do.
type simulated struct {
	dir     string
	clock   time.Time
	kern    *sim.Kernel
	core    *core.Core // nil: not running
	queue   []core.Event
	jobs    []func()
	epoch   uint32
	owned   *plan.Owned // as written down
	down    []string
	subnets *core.SubnetMemory // as written down
	good    *config.Config     // the last good configuration
	count   uint64
	told    []string
	news    []string
	ready   bool
	rival   func() // acts after every write, before netbraid hears of its end
	status  core.Status
	err     error
	log     *slog.Logger
}

func newSimulated(dir string, log *slog.Logger) *simulated {
	w := &simulated{dir: dir, clock: time.Unix(1000, 0), kern: sim.New(sim.Options{Seed: 1, QueueBytes: 8 << 20}), owned: plan.NewOwned(), log: log}
	w.kern.Subscribe(groups...)
	return w
}

func (w *simulated) request(msg []byte) error {
	if err := w.kern.Request(msg); err != nil {
		return err
	}
	return nil
}

func (w *simulated) dump(kind rtnl.Kind) ([][]byte, error) {
	return w.kern.Dump(rtnl.AppendDumpRequest(nil, kind, 1, rtnl.Filter{})), nil
}

func (w *simulated) sysctl(path string) (string, error) {
	return w.kern.ReadSysctl("/proc/sys/net/" + path)
}

func (w *simulated) setSysctl(path, value string) error {
	return w.kern.WriteSysctl("/proc/sys/net/"+path, value)
}

func (w *simulated) configure(text string) error {
	return os.WriteFile(filepath.Join(w.dir, "network"), []byte(text), 0o644)
}

func (w *simulated) running() bool { return w.core != nil }

func (w *simulated) start() error {
	cfg, problems, err := daemon.Load(w.dir, proto.Builtin())
	switch {
	case err == nil && !config.HasErrors(problems):
		w.good = cfg
	case w.good != nil:
		cfg = w.good
	case cfg == nil:
		cfg = &config.Config{}
	}
	owned := plan.NewOwned()
	for _, r := range w.owned.Snapshot() {
		owned.Apply(r)
	}
	w.core = core.New(core.Options{Owned: owned, Down: w.down, Subnets: w.subnets, Seed: 1})
	w.ready = false
	w.step(core.Tick{})
	w.step(core.Configured{Config: cfg})
	if why := eventually(w, 15*time.Second, func() string {
		if !w.ready {
			return "the configuration has not settled: " + describe(w.core)
		}
		return ""
	}); why != "" {
		return errors.New(why)
	}
	return w.err
}

func (w *simulated) kill() error {
	w.core, w.queue, w.jobs = nil, nil, nil
	return w.err
}

func (w *simulated) command(v core.Verb, name string) (core.Status, error) {
	if w.core == nil {
		return 0, errNotRunning
	}
	w.step(core.Command{ID: 1, Verb: v, Interface: name})
	return w.status, w.err
}

func (w *simulated) reload() error {
	if w.core == nil {
		return errNotRunning
	}
	cfg, problems, err := daemon.Load(w.dir, proto.Builtin())
	if err != nil {
		return err
	}
	if config.HasErrors(problems) {
		return &daemon.RefusedError{Problems: problems}
	}
	w.good = cfg
	w.step(core.Configured{Config: cfg})
	return w.err
}

func (w *simulated) look(f func(c *core.Core)) error {
	if w.core == nil {
		return errNotRunning
	}
	w.drain()
	f(w.core)
	return w.err
}

func (w *simulated) now() time.Time   { return w.clock }
func (w *simulated) writes() uint64   { return w.count }
func (w *simulated) events() []string { return w.told }

func (w *simulated) heard() []string {
	w.listen()
	return w.news
}

// pass lets time pass, with a stop wherever the core wants a tick.
func (w *simulated) pass(d time.Duration) error {
	end := w.clock.Add(d)
	idle := 0
	for w.err == nil {
		w.drain()
		next := end
		if slice := w.clock.Add(10 * time.Millisecond); slice.Before(next) {
			next = slice
		}
		if w.core != nil {
			if at := w.core.Deadline(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if next.After(w.clock) {
			idle = 0
			w.kern.Tick(next.Sub(w.clock))
			w.clock = next
		} else if idle++; idle > 1000 {
			w.err = fmt.Errorf("the core wants a tick at %s, again and again: it would spin", next.Format("05.000"))
			break
		}
		if w.core != nil {
			w.step(core.Tick{})
		}
		if !w.clock.Before(end) {
			w.drain()
			break
		}
	}
	return w.err
}

// drain does everything that does not need time.
func (w *simulated) drain() {
	for n := 0; w.core != nil && w.err == nil; n++ {
		if n > 100000 {
			w.err = errors.New("core and kernel do not come to rest")
		}
		switch {
		case len(w.queue) > 0:
			ev := w.queue[0]
			w.queue = w.queue[1:]
			w.step(ev)
		case len(w.jobs) > 0:
			job := w.jobs[0]
			w.jobs = w.jobs[1:]
			job()
		default:
			w.listen()
			if len(w.queue) == 0 {
				return
			}
		}
	}
}

func (w *simulated) step(ev core.Event) {
	for _, a := range w.core.Step(w.clock, ev) {
		w.do(a)
	}
	if err := w.core.CheckInvariants(); err != nil && w.err == nil {
		w.err = fmt.Errorf("after %T: %w", ev, err)
	}
}

func (w *simulated) do(a core.Action) {
	switch a := a.(type) {
	case core.Subscribe:
		w.jobs = append(w.jobs, func() {
			w.listen() // what the monitor of the story is still to hear
			w.kern.Subscribe(groups...)
			w.epoch = a.Epoch
			w.queue = append(w.queue, core.Subscribed{Epoch: a.Epoch})
		})
	case core.Dump:
		w.jobs = append(w.jobs, func() { w.table(a) })
	case core.Record:
		for _, r := range a.Records {
			w.owned.Apply(r)
		}
	case core.SaveSubnets:
		w.subnets = &a.Memory
	case core.Write:
		w.count += uint64(len(a.Ops))
		w.jobs = append(w.jobs, func() { w.write(a.Ops) })
	case core.ReadSysctl:
		w.jobs = append(w.jobs, func() {
			for i, k := range a.Keys {
				v, err := w.sysctl(k.Path(a.Devices[i]))
				w.queue = append(w.queue, core.SysctlValue{Key: k, Value: v, Err: err})
			}
		})
	case core.Publish:
		w.told = append(w.told, noticeName(a.Notice)+" "+a.Interface)
	case core.Reply:
		w.status = a.Status
		w.down = w.core.Down()
	case core.Settled:
		w.ready = true
	case core.Log:
		w.log.Info(a.Message, a.Args...)
	}
}

func (w *simulated) table(a core.Dump) {
	done := core.DumpDone{Epoch: a.Epoch, Kind: a.Kind}
	datagrams, _ := w.dump(a.Kind)
	for _, b := range datagrams {
		w.queue = append(w.queue, core.Dumped{Epoch: a.Epoch, Data: b})
		for rest := b; len(rest) > 0; {
			h, body, next, err := rtnl.NextMessage(rest)
			if err != nil {
				break
			}
			if h.Type == unix.NLMSG_DONE {
				errno, _, _ := rtnl.ParseError(body)
				done.Complete = errno == 0
			}
			rest = next
		}
	}
	w.listen()
	w.queue = append(w.queue, done)
}

// listen moves what the kernel announces to the queue of the core.
func (w *simulated) listen() {
	for {
		b, overrun, ok := w.kern.Receive()
		if overrun && w.err == nil {
			w.err = errors.New("the notification queue is too short for this story")
		}
		if !ok {
			return
		}
		w.news = append(w.news, addrNews(b)...)
		if w.core != nil {
			w.queue = append(w.queue, core.Notified{Epoch: w.epoch, Data: append([]byte(nil), b...)})
		}
	}
}

// write does operations as the shell does.
func (w *simulated) write(ops []*plan.Op) {
	var res []plan.Result
	var failed []*plan.Op
	for _, stage := range plan.Stages(ops) {
		before := failed
		for _, op := range stage {
			r := plan.Result{ID: op.ID}
			switch {
			case plan.Blocked(op, before):
				r.Err = plan.ErrPredecessor
			case op.Kind == plan.SysctlSet:
				path := op.Sysctl.Path(op.Device)
				if r.Err = w.setSysctl(path, op.Value); r.Err == nil {
					r.Value, r.Err = w.sysctl(path)
				}
			default:
				if err := w.request(op.Message()); err != nil && !plan.Gone(op, err) {
					r.Err = err
				}
			}
			w.log.Debug("wrote", "op", op.String(), "error", r.Err)
			if r.Err != nil {
				failed = append(failed, op)
			}
			res = append(res, r)
		}
	}
	if w.rival != nil {
		w.rival()
	}
	w.listen()
	w.queue = append(w.queue, core.Wrote{Results: res})
}
