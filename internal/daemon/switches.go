package daemon

import (
	"cmp"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/model"
	"netbraid/internal/ovs/kswitch"
	"netbraid/internal/ovs/ovsdb"
	"netbraid/internal/store"
)

// The backends of bridges of Open vSwitch, as the configuration calls them.
const (
	backendKernel = "kernel"
	backendOVSDB  = "ovsdb"
)

// switchBackend keeps the bridges of one backend as wanted.
type switchBackend interface {
	Set(want []model.Switch)
	// Done tells whether what was set last is done, as far as somebody can be
	// reached who does it: nothing is left of what was set before.
	Done() bool
	Close() // everything stays as it is
}

// switches hands bridges of Open vSwitch to who runs them. All that may take a
// while is done on a goroutine of its own.
type switches struct {
	o       Options
	log     *slog.Logger
	deliver func(core.Event)
	// open starts a backend; answers tells whether an ovsdb-server does.
	open    func(name string) (switchBackend, error)
	answers func() bool
	kick    chan struct{} // there is something in what follows
	done    sync.WaitGroup
	stop    chan struct{}

	mu       sync.Mutex
	want     []model.Switch
	changed  bool
	reports  map[string]model.SwitchState // not delivered yet, the newest of each
	backends map[string]switchBackend     // changed by the goroutine alone
	handed   bool                         // the backends have what is wanted
	runs     map[string]string            // which backend each wanted bridge is of

	// Of the goroutine only.
	memory switchMemory      // as written down
	failed map[string]string // why a backend could not be started, as was logged
}

// switchMemory is what the next process has to know.
type switchMemory struct {
	Chosen map[string]string // backend of each bridge that leaves the choice to us
	Used   map[string]bool   // backends that may have something of ours
}

func (m switchMemory) clone() switchMemory {
	return switchMemory{maps.Clone(m.Chosen), maps.Clone(m.Used)}
}

// retrySwitches is how long is waited before a backend that could not be
// started is tried again.
const retrySwitches = 10 * time.Second

func newSwitches(o Options, log *slog.Logger, deliver func(core.Event)) *switches {
	s := &switches{o: o, log: log, deliver: deliver, kick: make(chan struct{}, 1), stop: make(chan struct{}),
		reports: map[string]model.SwitchState{}, backends: map[string]switchBackend{}, failed: map[string]string{}}
	s.open = s.openReal
	s.answers = func() bool { return o.OVSDB.Cert != "" || ovsdb.Available(o.OVSDB.Target) }
	same, err := store.ReadSwitches(o.RunDir, o.StateDir, &s.memory)
	if err != nil {
		log.Warn("who ran the bridges of Open vSwitch is not known any more", "error", err)
	}
	if !same {
		// The database has outlived the boot, and what we have in it; its server may
		// come later than we do.
		delete(s.memory.Used, backendKernel)
		maps.DeleteFunc(s.memory.Chosen, func(_, b string) bool { return b != backendOVSDB })
	}
	if s.memory.Chosen == nil || s.memory.Used == nil {
		s.memory = switchMemory{map[string]string{}, map[string]bool{}}
	}
	return s
}

// start begins to work; the result ends it and leaves the bridges as they are.
func (s *switches) start() (stop func()) {
	s.done.Add(1)
	go s.run()
	return func() {
		close(s.stop)
		s.done.Wait()
	}
}

// set says which bridges are wanted. It returns at once.
func (s *switches) set(want []model.Switch) {
	s.mu.Lock()
	s.want, s.changed, s.handed = slices.Clone(want), true, false
	s.mu.Unlock()
	s.wake()
}

// finished tells whether every backend has done what was set last. One that
// cannot be started has nothing to do.
func (s *switches) finished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.handed {
		return false
	}
	for _, b := range s.backends {
		if !b.Done() {
			return false
		}
	}
	return true
}

func (s *switches) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// report takes the state of a bridge from its backend. What one says of a bridge
// that it is to take away, as another has it now, is nobody's concern.
func (s *switches) report(backend string, st model.SwitchState) {
	st.Backend = backend
	s.mu.Lock()
	if s.runs[st.Name] == backend {
		s.reports[st.Name] = st
	}
	s.mu.Unlock()
	s.wake()
}

func (s *switches) run() {
	defer s.done.Done()
	defer func() {
		for _, name := range slices.Sorted(maps.Keys(s.backends)) {
			s.backends[name].Close()
		}
	}()
	var retry <-chan time.Time
	for {
		again := false
		select {
		case <-s.stop:
			return
		case <-s.kick:
		case <-retry:
			again = true
		}
		s.mu.Lock()
		want, changed, reports := s.want, s.changed, s.reports
		s.changed, s.reports = false, map[string]model.SwitchState{}
		s.mu.Unlock()
		if changed || again {
			retry = nil
			if !s.apply(want) {
				retry = time.After(retrySwitches)
			}
			s.mu.Lock()
			s.handed = !s.changed
			s.mu.Unlock()
		}
		for _, name := range slices.Sorted(maps.Keys(reports)) {
			s.deliver(core.SwitchChanged{State: reports[name]})
		}
	}
}

// apply hands each backend its bridges; false when one could not be started.
func (s *switches) apply(want []model.Switch) (ok bool) {
	before := s.memory.clone()
	s.choose(want)
	by, runs := map[string][]model.Switch{}, map[string]string{}
	for _, w := range want {
		if w.Backend == "" {
			w.Backend = s.memory.Chosen[w.Name]
		}
		by[w.Backend] = append(by[w.Backend], w)
		runs[w.Name] = w.Backend
		s.memory.Used[w.Backend] = true
	}
	s.mu.Lock()
	maps.DeleteFunc(s.reports, func(name string, st model.SwitchState) bool { return runs[name] != st.Backend })
	s.runs = runs
	s.mu.Unlock()
	s.remember(before)
	ok = true
	for _, name := range []string{backendKernel, backendOVSDB} {
		b, err := s.backend(name)
		if err != nil && len(by[name]) == 0 {
			continue // it has made nothing either
		}
		if err != nil {
			ok = false
			if s.failed[name] != err.Error() {
				s.failed[name] = err.Error()
				s.log.Warn("bridges of Open vSwitch are not made; trying again", "backend", name, "bridges", len(by[name]), "error", err)
			}
			for _, w := range by[name] {
				s.deliver(core.SwitchChanged{State: model.SwitchState{Name: w.Name, Backend: name, Err: err.Error()}})
			}
			continue
		}
		if b != nil {
			b.Set(by[name])
		}
	}
	return ok
}

// choose finds a backend for the bridges that leave it to us: ovs-vswitchd where
// its database answers, or where the bridge has what only that has; else the
// kernel. It stays with what was chosen as long as the bridge is wanted.
func (s *switches) choose(want []model.Switch) {
	chosen := s.memory.Chosen
	maps.DeleteFunc(chosen, func(name, _ string) bool {
		return !slices.ContainsFunc(want, func(w model.Switch) bool { return w.Name == name && w.Backend == "" })
	})
	answers := ""
	for i := range want {
		w := &want[i]
		switch {
		case w.Backend != "":
			continue
		case onlyOVSDB(w):
			chosen[w.Name] = backendOVSDB
			continue
		case chosen[w.Name] != "":
			continue
		}
		if answers == "" {
			answers = backendKernel
			if s.answers() {
				answers = backendOVSDB
			}
		}
		chosen[w.Name] = answers
		s.log.Info("bridge of Open vSwitch has a backend", "bridge", w.Name, "backend", answers)
	}
}

// onlyOVSDB tells whether a bridge asks for what the backend kernel does not
// have.
func onlyOVSDB(w *model.Switch) bool {
	return w.DatapathType == "netdev" || w.FailMode != "" || len(w.Controllers) > 0 || w.STP || w.RSTP ||
		slices.ContainsFunc(w.Ports, func(p model.SwitchPort) bool { return !p.OnKernel() })
}

// remember writes down who runs what, if that has changed, before it is done.
func (s *switches) remember(before switchMemory) {
	if maps.Equal(before.Chosen, s.memory.Chosen) && maps.Equal(before.Used, s.memory.Used) {
		return
	}
	if err := store.SaveSwitches(s.o.RunDir, s.o.StateDir, s.memory); err != nil {
		s.log.Warn("the next process will not know who runs the bridges of Open vSwitch", "error", err)
	}
}

// backend gives a backend, which is started when it has or had anything to do;
// otherwise nil.
func (s *switches) backend(name string) (switchBackend, error) {
	if s.backends[name] != nil || !s.memory.Used[name] {
		return s.backends[name], nil
	}
	b, err := s.open(name)
	if err != nil {
		return nil, err
	}
	delete(s.failed, name)
	s.mu.Lock()
	s.backends[name] = b
	s.mu.Unlock()
	return b, nil
}

func (s *switches) openReal(name string) (switchBackend, error) {
	report := func(st model.SwitchState) { s.report(name, st) }
	if name == backendKernel {
		return kswitch.New(kswitch.Options{NSFD: s.o.NSFD, StateFile: filepath.Join(s.o.RunDir, "ovs"), Log: s.log, Report: report})
	}
	o := s.o.OVSDB
	o.Log, o.Report, o.ID = s.log, report, cmp.Or(o.ID, switchID(machineIDFile, s.o.RunDir))
	return ovsdb.New(o), nil
}
