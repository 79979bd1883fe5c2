package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// Spaces are the namespaces that are read besides the daemon's own. Each is
// opened by its file when it is wanted, and given up when the file names
// another namespace or none: nothing else keeps one alive that has been
// deleted.
type Spaces struct {
	o Options // Deliver and Log

	mu  sync.Mutex
	all map[model.NS]*space
}

type space struct {
	path   string
	params mirror.Params
	kern   *Kernel // nil while it cannot be opened
	ns     *rtnl.NS
	inode  uint64
	epoch  uint32
	stop   chan struct{}
}

// watchEvery is how often the file of a namespace is looked at.
const watchEvery = time.Second

var errGone = errors.New("the namespace has been deleted")

// NewSpaces has no namespace yet.
func NewSpaces(o Options) *Spaces { return &Spaces{o: o, all: map[model.NS]*space{}} }

// Open makes a namespace known; Subscribe opens it.
func (s *Spaces) Open(ns model.NS, path string, p mirror.Params) {
	sp := &space{path: path, params: p, stop: make(chan struct{})}
	s.mu.Lock()
	s.all[ns] = sp
	s.mu.Unlock()
	go s.watch(ns, sp)
}

// Close gives a namespace up.
func (s *Spaces) Close(ns model.NS) {
	s.mu.Lock()
	sp := s.all[ns]
	delete(s.all, ns)
	s.mu.Unlock()
	if sp != nil {
		close(sp.stop)
		s.release(sp, nil)
	}
}

// CloseAll gives every namespace up.
func (s *Spaces) CloseAll() {
	s.mu.Lock()
	var all []model.NS
	for ns := range s.all {
		all = append(all, ns)
	}
	s.mu.Unlock()
	for _, ns := range all {
		s.Close(ns)
	}
}

// release closes what is open of a namespace; with only set, not when that is
// another by now.
func (s *Spaces) release(sp *space, only *Kernel) {
	s.mu.Lock()
	if only != nil && only != sp.kern {
		s.mu.Unlock()
		return
	}
	k, ns := sp.kern, sp.ns
	sp.kern, sp.ns = nil, nil
	s.mu.Unlock()
	if k != nil {
		k.Close()
	}
	if ns != nil {
		ns.Close()
	}
}

// Subscribe opens a notification socket in a namespace. That it cannot is
// delivered as Lost, with the reason.
func (s *Spaces) Subscribe(ns model.NS, epoch uint32) {
	s.mu.Lock()
	sp := s.all[ns]
	s.mu.Unlock()
	if sp == nil {
		return
	}
	go func() { // not on the caller's goroutine, which is the one that takes what is delivered
		k, err := s.open(ns, sp, epoch)
		if err != nil {
			s.o.Deliver(core.Lost{NS: ns, Epoch: epoch, Err: err})
			return
		}
		k.Subscribe(epoch)
	}()
}

func (s *Spaces) open(ns model.NS, sp *space, epoch uint32) (*Kernel, error) {
	inode, err := inodeOf(sp.path)
	s.mu.Lock()
	sp.epoch = epoch
	k, same := sp.kern, sp.inode == inode
	s.mu.Unlock()
	if k != nil && same && err == nil {
		return k, nil
	}
	s.release(sp, nil)
	if err != nil {
		return nil, err
	}
	n, err := rtnl.OpenNS(sp.path)
	if err != nil {
		return nil, err
	}
	o := s.o
	o.NS, o.NSFD, o.RcvBuf, o.SndBuf = ns, n.FD(), sp.params.RxBufferSize, sp.params.TxBufferSize
	if k, err = Open(o); err != nil {
		n.Close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[ns] != sp { // closed meanwhile
		go func() { k.Close(); n.Close() }()
		return nil, errGone
	}
	sp.kern, sp.ns, sp.inode = k, n, inode
	return k, nil
}

// inodeOf identifies the namespace that a file stands for.
func inodeOf(path string) (uint64, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("there is no network namespace %s (make it: ip netns add)", path)
	}
	if err != nil {
		return 0, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: no inode", path)
	}
	return st.Ino, nil
}

// Dump reads a table of a namespace.
func (s *Spaces) Dump(ns model.NS, epoch uint32, kind rtnl.Kind, family uint8) {
	if k := s.kernel(ns); k != nil {
		k.Dump(epoch, kind, family)
	}
}

func (s *Spaces) kernel(ns model.NS) *Kernel {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp := s.all[ns]; sp != nil {
		return sp.kern
	}
	return nil
}

// Write does operations in a namespace, as Kernel.Write; in one that is not open
// they fail.
func (s *Spaces) Write(ns model.NS, ops []*plan.Op, tell func([]plan.Result) core.Event) {
	if k := s.kernel(ns); k != nil {
		k.Write(ops, tell)
		return
	}
	fail(s.o.Deliver, ops, tell)
}

// Buffer is the receive buffer that the notification socket of a namespace has;
// 0 while there is none.
func (s *Spaces) Buffer(ns model.NS) int {
	if k := s.kernel(ns); k != nil {
		return k.Buffer()
	}
	return 0
}

// watch gives a namespace up when its file stands for another or is gone.
func (s *Spaces) watch(ns model.NS, sp *space) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-sp.stop:
			return
		case <-t.C:
		}
		inode, err := inodeOf(sp.path)
		s.mu.Lock()
		k, epoch := sp.kern, sp.epoch
		lost := k != nil && (err != nil || inode != sp.inode)
		s.mu.Unlock()
		if !lost {
			continue
		}
		s.release(sp, k) // a Subscribe may have opened the new one
		if err == nil {
			err = errGone
		}
		s.o.Deliver(core.Lost{NS: ns, Epoch: epoch, Err: err})
	}
}
