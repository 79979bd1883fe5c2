package kswitch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/internal/ovs"
	"netbraid/rtnl"
)

// Options of a Manager.
type Options struct {
	NSFD int // the network namespace; negative: the calling thread's. It may be closed after New.
	// StateFile is where what is ours is written down: a file of our own in a
	// directory that is empty after a boot (/run/netbraid/ovs). Empty: nowhere, and
	// a next process can take over nothing.
	StateFile string
	Log       *slog.Logger // nil: the default one
	// Report, if not nil, is told when the state of a bridge has changed. It is
	// called from one goroutine, must not block and not call the Manager.
	Report func(model.SwitchState)
}

// Manager keeps bridges of the backend "kernel".
type Manager struct {
	o      Options
	log    *slog.Logger
	nsfd   int
	client *ovs.Client
	links  *rtnl.Notifier
	kick   chan struct{}
	stop   context.CancelFunc
	ctx    context.Context
	done   sync.WaitGroup

	mu      sync.Mutex // of what follows
	want    map[string]*model.Switch
	started bool // Set has been called
	clean   bool // nothing is left of what is not wanted
	causes  causes
	missing map[string]bool   // devices that ports wait for
	devices map[uint32]string // of ports, by ifindex
	planes  map[string]*plane

	// Of the goroutine run only.
	made    *record
	bridges map[string]*bridge
}

// causes are why bridges are to be looked at.
type causes struct {
	all     bool
	bridges map[string]bool
	arrived map[string]bool // devices that ports were waiting for
}

// auditEvery is how often everything is looked at without a cause.
const auditEvery = 60 * time.Second

// New makes a Manager without bridges. The kernel loads its module for it; the
// error says what to do if it has none. Datapaths that a predecessor has made go
// on as they are until the first Set.
func New(o Options) (m *Manager, err error) {
	m = &Manager{
		o: o, log: o.Log, nsfd: -1, kick: make(chan struct{}, 1),
		want: map[string]*model.Switch{}, missing: map[string]bool{}, planes: map[string]*plane{}, bridges: map[string]*bridge{},
	}
	m.takeCauses()
	if m.log == nil {
		m.log = slog.Default()
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			m.stop()
			m.closeSockets()
			m, err = nil, fmt.Errorf("kernel switch: %w", err)
		}
	}()
	if o.NSFD >= 0 {
		if m.nsfd, err = unix.FcntlInt(uintptr(o.NSFD), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return m, err
		}
	}
	if m.client, err = ovs.Open(m.ctx, m.nsfd); err != nil {
		return m, err
	}
	if m.links, err = rtnl.Subscribe(m.nsfd, []uint32{unix.RTNLGRP_LINK}, upcallBuffer); err != nil {
		return m, err
	}
	if m.made, err = readRecord(o.StateFile, m.nsfd); m.made == nil {
		return m, err
	} else if err != nil {
		m.log.Warn("what was made before", "err", err)
	}
	m.done.Add(3)
	go m.run()
	go m.hear()
	go m.hearLinks()
	return m, nil
}

// Set says which bridges there should be: all of them. Those of other backends
// are ignored. It returns at once; Report tells what becomes of them. What
// a predecessor has made and is not wanted goes.
func (m *Manager) Set(want []model.Switch) {
	next := map[string]*model.Switch{}
	for i := range want {
		if want[i].Backend == "" || want[i].Backend == "kernel" {
			w := want[i]
			next[w.Name] = &w
		}
	}
	m.mu.Lock()
	for name, w := range next {
		if was := m.want[name]; was == nil || !was.Equal(w) {
			m.causes.bridges[name] = true
		}
	}
	for name := range m.want {
		if next[name] == nil {
			m.causes.bridges[name] = true
		}
	}
	m.want, m.started, m.clean = next, true, false
	m.mu.Unlock()
	m.wakeUp()
}

// Done tells whether the last call of Set has been worked on, and nothing of
// ours is left of bridges that it does not want.
func (m *Manager) Done() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clean
}

// Close ends the work. Datapaths, ports and flows stay, and forward what is
// known; frames to unknown stations are lost until somebody takes over.
func (m *Manager) Close() {
	m.stop()
	m.done.Wait()
	m.closeSockets()
}

func (m *Manager) closeSockets() {
	if m.links != nil {
		m.links.Close()
	}
	if m.client != nil {
		m.client.Close()
	}
	if m.nsfd >= 0 {
		unix.Close(m.nsfd)
		m.nsfd = -1
	}
}

func (m *Manager) wakeUp() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// lookAtAll has every bridge looked at.
func (m *Manager) lookAtAll() {
	m.mu.Lock()
	m.causes.all = true
	m.mu.Unlock()
	m.wakeUp()
}

// takeCauses gives what has come up since the last call.
func (m *Manager) takeCauses() causes {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.causes
	m.causes = causes{bridges: map[string]bool{}, arrived: map[string]bool{}}
	return c
}

// settle is how long is waited for more notifications after the first.
const settle = 20 * time.Millisecond

// run looks at bridges whenever there is a cause.
func (m *Manager) run() {
	defer m.done.Done()
	defer func() {
		for _, b := range m.bridges {
			b.closePlane(m)
		}
	}()
	timer := time.NewTimer(auditEvery)
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.kick:
			select { // more of the same usually follows
			case <-m.ctx.Done():
				return
			case <-time.After(settle):
			}
		case <-timer.C:
		}
		m.work(m.takeCauses())
		timer.Reset(m.wait())
	}
}

// hear waits for what becomes of datapaths and ports.
func (m *Manager) hear() {
	defer m.done.Done()
	w := m.client.NewWatcher(ovs.WatchOptions{}, func(e ovs.Event) {
		var dp uint32
		switch {
		case e.Datapath != nil:
			dp = e.Datapath.Index
		case e.Port != nil:
			dp = e.Port.Datapath
		default:
			return // Lost, SyncBegin, SyncEnd: what has changed meanwhile is told
		}
		m.mu.Lock()
		for name, p := range m.planes {
			if p.dp == dp {
				m.causes.bridges[name] = true
			}
		}
		m.mu.Unlock()
		m.wakeUp()
	})
	for {
		err := w.Run(m.ctx)
		if m.ctx.Err() != nil {
			return
		}
		m.log.Error("hear of datapaths and ports", "err", err)
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(lastRetry):
			m.lookAtAll()
		}
	}
}

// hearLinks waits for devices that ports are to be made of, and for those of
// ports to be renamed.
func (m *Manager) hearLinks() {
	defer m.done.Done()
	for {
		err := m.links.Listen(m.ctx, func(datagrams [][]byte) bool {
			for _, d := range datagrams {
				m.linksSeen(d)
			}
			return true
		})
		switch {
		case m.ctx.Err() != nil || errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, rtnl.ErrOverrun):
			m.lookAtAll()
		case err != nil:
			m.log.Error("hear of devices", "err", err)
			select {
			case <-m.ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
}

func (m *Manager) linksSeen(b []byte) {
	var l rtnl.Link
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return
		}
		b = rest
		if h.Type != unix.RTM_NEWLINK || rtnl.DecodeLink(body, &l) != nil {
			continue
		}
		m.mu.Lock()
		if m.missing[l.Name] {
			delete(m.missing, l.Name)
			m.causes.arrived[l.Name] = true
			m.wakeUp()
		}
		if name := m.devices[l.Index]; name != "" && name != l.Name {
			delete(m.devices, l.Index)
			m.causes.all = true // the datapath does not tell that it was renamed
			m.wakeUp()
		}
		m.mu.Unlock()
	}
}
