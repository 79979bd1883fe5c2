package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/dataplane"
	"netbraid/internal/helper"
	"netbraid/internal/hotplug"
	"netbraid/internal/kernel"
	"netbraid/internal/ovs/ovsdb"
	"netbraid/internal/pair"
	"netbraid/internal/plan"
	"netbraid/internal/proto"
	"netbraid/internal/resolv"
	"netbraid/internal/store"
)

// Options of a daemon.
type Options struct {
	ConfigDir string // default /etc/config
	RunDir    string // default /run/netbraid
	StateDir  string // default /var/lib/netbraid
	NSFD      int    // namespace to manage; < 0: that of the process
	Protos    proto.Registry
	RcvBuf    int
	Seed      uint64
	// TeardownOnExit removes everything of ours when the daemon ends.
	TeardownOnExit bool
	// Hotplug calls scripts for what happens to interfaces; nil for none.
	Hotplug *hotplug.Options
	// Resolv writes resolv.conf; nil for none. Without a File it goes where
	// resolv.DefaultFile says.
	Resolv *resolv.Options
	// Socket is where ubus listens, for programs of protocol handlers; empty:
	// its usual place. HelperEnv is added to their environment.
	Socket string
	// OVSDB says where ovsdb-server listens; the zero value: on this machine.
	OVSDB     ovsdb.Options
	HelperEnv []string
	Log       *slog.Logger
	// Publish is called (on the loop) for what is to be made known.
	Publish func(c *core.Core, a core.Action, now time.Time)
}

// Defaults for the directories.
const (
	DefaultConfigDir = "/etc/config"
	DefaultRunDir    = "/run/netbraid"
	DefaultStateDir  = "/var/lib/netbraid"
)

// eventQueue bounds the events that wait for the loop. When it is full the
// readers wait, and the kernel's buffer fills instead.
const eventQueue = 4096

// Daemon is a running loop.
type Daemon struct {
	o       Options
	log     *slog.Logger
	core    *core.Core
	kern    *kernel.Kernel
	spaces  *kernel.Spaces
	planes  map[core.PlaneID]dataplane.Dataplane
	closing <-chan struct{}        // closed when every dataplane that was closed has ended; nil: none ever was
	bridges *switches              // of Open vSwitch
	made    map[string][]pair.Made // on each dataplane, as written down
	hot     *hotplug.Runner        // while Run runs; nil for none
	resolv  *resolv.Writer         // the same
	helpers *helper.Runner         // the same
	state   *store.State
	events  chan core.Event
	calls   chan func()
	done    chan struct{}
	// replies wait for the Reply of a Command, by ID.
	replies map[uint64]func(core.Status)
	nextID  uint64
	writes  uint64
	version atomic.Uint64 // of the core, after the last step
	asked   uint64        // version of what callers asked for, as written down
	settled chan struct{}
	// pausedUntil is the end of the pause after a full batch; zero for none.
	pausedUntil time.Time
	source      []byte // text of the configuration in force, to be kept when good
}

// New makes a daemon; Run starts it.
func New(o Options) (*Daemon, error) {
	if o.ConfigDir == "" {
		o.ConfigDir = DefaultConfigDir
	}
	if o.RunDir == "" {
		o.RunDir = DefaultRunDir
	}
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if o.Protos == nil {
		o.Protos = proto.Builtin()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	st, err := store.Open(o.RunDir)
	if err != nil {
		return nil, err
	}
	if w := st.Warning(); w != "" {
		o.Log.Warn("part of the state could not be read", "reason", w)
	}
	d := &Daemon{
		o: o, log: o.Log, state: st, events: make(chan core.Event, eventQueue), calls: make(chan func(), 1024),
		done: make(chan struct{}), replies: map[uint64]func(core.Status){}, settled: make(chan struct{}), planes: map[core.PlaneID]dataplane.Dataplane{},
	}
	d.core = core.New(core.Options{Protos: o.Protos, Owned: st.Owned(), Down: st.Down(), Seed: o.Seed, Subnets: readSubnets(&o), Made: d.readMade()})
	d.kern, err = kernel.Open(kernel.Options{NSFD: o.NSFD, RcvBuf: o.RcvBuf, Log: o.Log, Deliver: d.deliver})
	if err != nil {
		st.Close()
		return nil, err
	}
	d.bridges = newSwitches(o, o.Log, d.deliver)
	d.spaces = kernel.NewSpaces(kernel.Options{Log: o.Log, Deliver: d.deliver})
	return d, nil
}

func (d *Daemon) deliver(ev core.Event) {
	select {
	case d.events <- ev:
	case <-d.done:
	}
}

// Call runs f on the loop, with the core at rest. It returns false when the
// daemon is ending or too much waits already.
func (d *Daemon) Call(f func(c *core.Core, now time.Time)) bool {
	select {
	case d.calls <- func() { f(d.core, time.Now()) }:
		return true
	case <-d.done:
		return false
	default:
		return false
	}
}

// Command hands a command to the core; reply is called on the loop. Only to be
// called on the loop (from a Call).
func (d *Daemon) Command(cmd core.Command, reply func(core.Status)) {
	d.nextID++
	cmd.ID = d.nextID
	d.replies[cmd.ID] = reply
	d.step(cmd)
}

// Settled is closed when the first configuration is in place as far as it can
// be.
func (d *Daemon) Settled() <-chan struct{} { return d.settled }

// Writes counts the operations handed to the kernel.
func (d *Daemon) Writes() uint64 { return d.writes }

// Run runs the loop until ctx ends. What is configured stays in the kernel,
// unless TeardownOnExit is set.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.state.Close()
	defer d.kern.Close()
	defer d.spaces.CloseAll()
	defer d.closePlanes()
	defer d.startHelpers()() // ends after done is closed: what it tells then has no reader
	defer close(d.done)
	defer d.startHotplug()()
	defer d.bridges.start()()
	defer d.startResolver()()
	d.step(core.Tick{})
	d.boot()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d.arm(timer)
		select {
		case <-ctx.Done():
			if d.o.TeardownOnExit {
				return d.teardown()
			}
			return nil
		case ev := <-d.ready():
			d.batch(ev)
		case f := <-d.calls:
			f()
		case <-timer.C:
			d.step(core.Tick{})
		}
	}
}

// ready is where events come from, nothing during the pause after a full batch.
func (d *Daemon) ready() <-chan core.Event {
	if !d.pausedUntil.IsZero() {
		if time.Now().Before(d.pausedUntil) {
			return nil
		}
		d.pausedUntil = time.Time{}
	}
	return d.events
}

// batch works off events until there is none, or so many messages or so much
// time that timers and callers get their turn.
func (d *Daemon) batch(ev core.Event) {
	p := d.core.Mirror().Params()
	begun, first := time.Now(), d.core.Mirror().Stats().Messages
	for {
		d.step(ev)
		switch ev := ev.(type) {
		case core.Notified:
			d.kern.Recycle(ev.Data)
		case core.Dumped:
			d.kern.Recycle(ev.Data)
		}
		if time.Since(begun) >= p.BatchTime || d.core.Mirror().Stats().Messages-first >= uint64(p.BatchSize) {
			if p.BatchDelay > 0 {
				d.pausedUntil = time.Now().Add(p.BatchDelay)
			}
			return
		}
		select {
		case ev = <-d.events:
		default:
			return
		}
	}
}

func (d *Daemon) arm(timer *time.Timer) {
	wait := time.Hour
	if at := d.core.Deadline(); !at.IsZero() {
		wait = max(time.Until(at), 0)
	}
	if !d.pausedUntil.IsZero() {
		wait = min(wait, max(time.Until(d.pausedUntil), 0))
	}
	timer.Reset(wait)
}

// teardown removes everything of ours and waits for it, for at most 10 s.
func (d *Daemon) teardown() error {
	d.step(core.Command{Verb: core.VerbTeardown})
	late := time.After(10 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		o := d.core.Planner().Owned()
		if d.core.Planner().Idle() && o.Empty() && d.core.Quiet() && len(d.core.Planes()) == 0 && d.bridges.finished() {
			return nil
		}
		select {
		case ev := <-d.events:
			d.step(ev)
		case <-tick.C:
			d.step(core.Tick{})
		case <-late:
			return errors.New("teardown: not everything could be removed within 10 s; see the log")
		}
	}
}

func (d *Daemon) step(ev core.Event) {
	now := time.Now()
	actions := d.core.Step(now, ev)
	d.version.Store(d.core.Version()) // before anybody hears of it
	d.saveAsked()
	for _, a := range actions {
		d.do(now, a)
	}
}

func (d *Daemon) do(now time.Time, a core.Action) {
	switch a := a.(type) {
	case core.Subscribe:
		if a.NS == 0 {
			d.kern.Subscribe(a.Epoch)
		} else {
			d.spaces.Subscribe(a.NS, a.Epoch)
		}
	case core.Dump:
		if a.NS == 0 {
			d.kern.Dump(a.Epoch, a.Kind, a.Family)
		} else {
			d.spaces.Dump(a.NS, a.Epoch, a.Kind, a.Family)
		}
	case core.OpenNS:
		if a.NS == 0 {
			d.kern.SetBuffer(a.Params.RxBufferSize)
			if n := a.Params.TxBufferSize; n > 0 {
				d.kern.SetSendBuffer(n)
			}
		} else {
			d.spaces.Open(a.NS, a.Path, a.Params)
		}
	case core.CloseNS:
		go d.spaces.Close(a.NS) // its last events may wait for the loop
	case core.Record:
		if err := d.state.Append(a.Records, d.core.Planner().Owned()); err != nil {
			d.log.Error("cannot write down what is ours; a crash now would leave it behind", "error", err)
		}
	case core.Write:
		d.writes += uint64(len(a.Ops))
		for _, op := range a.Ops {
			if op.Reason == plan.ForDrift {
				d.log.Info("repaired", "op", op.String())
			}
		}
		d.kern.Write(a.Ops, func(r []plan.Result) core.Event { return core.Wrote{Results: r} })
	case core.Switches:
		d.bridges.set(a.Want)
	case core.OpenPlane:
		d.openPlane(a)
	case core.ClosePlane:
		d.closePlane(a)
	case core.PlaneDo:
		d.planeDo(a)
	case core.WriteNS:
		d.writeNS(a)
	case core.SaveMade:
		d.saveMade(a)
	case core.SaveSubnets:
		d.saveSubnets(a)
	case core.Resolver:
		d.setResolver(a)
	case core.ReadSysctl:
		d.kern.ReadSysctl(a.Keys, a.Devices)
	case core.Log:
		d.log.Log(context.Background(), slog.Level(a.Level), a.Message, a.Args...)
	case core.Reply:
		if f := d.replies[a.ID]; f != nil {
			delete(d.replies, a.ID)
			f(a.Status)
		}
		if err := d.saveDown(); err != nil {
			d.log.Warn("cannot write down which interfaces are to stay down", "error", err)
		}
	case core.Settled:
		close(d.settled)
		d.log.Info("configuration is in place")
		d.publish(a, now)
	default:
		if !d.help(a) {
			d.publish(a, now)
		}
	}
}

func (d *Daemon) publish(a core.Action, now time.Time) {
	if p, ok := a.(core.Publish); ok {
		d.tellScripts(p)
	}
	if d.o.Publish != nil {
		d.o.Publish(d.core, a, now)
	}
}

func (d *Daemon) saveDown() error {
	down := d.core.Down()
	if strings.Join(down, "\n") == strings.Join(d.state.Down(), "\n") {
		return nil
	}
	return d.state.SetDown(down)
}

// RefusedError is a configuration that is not used, with everything that is
// wrong with it.
type RefusedError struct{ Problems []config.Problem }

func (e *RefusedError) Error() string {
	n := 0
	var first config.Problem
	for _, p := range e.Problems {
		if p.Severity == config.Error {
			if n == 0 {
				first = p
			}
			n++
		}
	}
	if n == 1 {
		return "configuration refused: " + first.String()
	}
	return fmt.Sprintf("configuration refused: %s (and %d more)", first.String(), n-1)
}

// Refused lists what is wrong; the API shows it.
func (e *RefusedError) Refused() []config.Problem { return e.Problems }

// Load reads a configuration directory with the protocols known.
func Load(dir string, protos proto.Registry) (*config.Config, []config.Problem, error) {
	return config.Load(dir, parseOptions(protos))
}

func configProtos(protos proto.Registry) map[string]config.Proto {
	out := map[string]config.Proto{}
	for n, s := range protos {
		if n != "static" && n != "none" {
			out[n] = s.Config()
		}
	}
	return out
}

// boot loads the first configuration. A bad one is replaced by the last good
// one; without that, whatever is right in it is used.
func (d *Daemon) boot() {
	opts := parseOptions(d.o.Protos)
	opts.Aliases = askedNames(d.o.RunDir)
	cfg, problems, err := config.Load(d.o.ConfigDir, opts)
	d.logProblems(problems)
	partial := false
	switch {
	case err == nil && !config.HasErrors(problems):
		d.source = d.readConfig()
		d.keepGood()
	default:
		if err != nil {
			d.log.Error("cannot read the configuration", "dir", d.o.ConfigDir, "error", err)
		}
		good, _, gerr := Load(d.goodDir(), d.o.Protos)
		if gerr == nil {
			d.log.Warn("the configuration has errors: the last good one is used", "from", d.goodDir())
			cfg = good
		} else {
			partial = true
			if cfg != nil {
				d.log.Warn("the configuration has errors: every section that is right is used")
			}
		}
	}
	if cfg == nil {
		cfg = &config.Config{}
	}
	d.step(core.Configured{Config: cfg, Partial: partial})
	d.restore(cfg)
}

// Reload reads the configuration again. A bad one changes nothing and is
// returned as a *RefusedError. Only to be called on the loop.
func (d *Daemon) Reload() error {
	opts := parseOptions(d.o.Protos)
	opts.Aliases = d.core.Names()
	cfg, problems, err := config.Load(d.o.ConfigDir, opts)
	if err != nil {
		d.log.Error("reload: nothing is changed", "error", err)
		return err
	}
	d.logProblems(problems)
	if config.HasErrors(problems) {
		err := &RefusedError{problems}
		d.log.Error("reload: nothing is changed", "error", err)
		return err
	}
	d.source = d.readConfig()
	d.step(core.Configured{Config: cfg})
	if err := d.saveDown(); err != nil {
		d.log.Warn("cannot write down which interfaces are to stay down", "error", err)
	}
	d.keepGood()
	return nil
}

func (d *Daemon) logProblems(problems []config.Problem) {
	for _, p := range problems {
		if p.Severity == config.Error {
			d.log.Error(p.String())
		} else {
			d.log.Warn(p.String())
		}
	}
}

func (d *Daemon) goodDir() string { return goodDir(d.o.StateDir) }

// goodDir is where the last good configuration is.
func goodDir(stateDir string) string { return filepath.Join(stateDir, "good") }

func (d *Daemon) readConfig() []byte {
	b, err := os.ReadFile(filepath.Join(d.o.ConfigDir, "network"))
	if err != nil {
		return nil
	}
	return b
}

// keepGood keeps a copy of the configuration in force, unless it is there.
func (d *Daemon) keepGood() {
	if d.source == nil {
		return
	}
	path := filepath.Join(d.goodDir(), "network")
	if old, err := os.ReadFile(path); err == nil && string(old) == string(d.source) {
		return
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("cannot read the last good configuration", "error", err)
	}
	if err := store.SaveFile(path, d.source, 0o600); err != nil {
		d.log.Warn("cannot keep the configuration as the last good one", "error", err)
	}
}
