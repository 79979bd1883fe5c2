package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// session is one connection: one namespace, from Connect to its end.
type session struct {
	o        Options
	epoch    uint32
	ended    func() // asks for close
	ns       *rtnl.NS
	inode    uint64
	conn     *rtnl.Conn
	nft      *nftConn
	port     uint32 // netlink port of conn
	hear     *rtnl.Notifier
	nftHear  *nftWatch
	caps     dataplane.Caps
	stranger bool // it has nothing of ours, and is only left (Options.Leaving)
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
	kick     chan struct{} // there is something to judge soon

	// mu guards what follows, and is held while events of it are delivered: so
	// that they come in the order of the state. It is taken after the
	// notifier's own lock, never before.
	mu     sync.Mutex
	down   bool
	links  map[uint32]*link
	pairs  map[uint32]*pair // by phy or sub-interface
	addrs  map[dataplane.Addr]bool
	neighs map[neighKey]rtnl.HWAddr
	locals map[netip.Addr]bool
	chains map[chainKey]chainState // what we wrote or found
	lost   map[dataplane.Addr]bool
	gone   map[uint32]bool // interfaces (0: some) of which routes have gone
	told   time.Time       // of the last Disturbed
	tables map[dataplane.Table]bool
	odd    map[dataplane.RouteKey]*oddRoute
	out    []dataplane.Event
	hosts  map[string]*space // namespaces of companions, by their file
	paths  pathCache
	labels bool // the label table has been made
	uses   map[uint32]labelUse
}

type neighKey struct {
	index uint32
	addr  netip.Addr
}

var groups = []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_MPLS_ROUTE}

var errGone = errors.New("the forwarding namespace has been deleted, or its file stands for another")

// open connects: guards first, then everything else.
func open(ctx context.Context, o Options, epoch uint32, ended func(*session)) (*session, error) {
	s := &session{o: o, epoch: epoch, kick: make(chan struct{}, 1),
		links: map[uint32]*link{}, pairs: map[uint32]*pair{}, addrs: map[dataplane.Addr]bool{}, neighs: map[neighKey]rtnl.HWAddr{},
		locals: map[netip.Addr]bool{}, chains: map[chainKey]chainState{}, lost: map[dataplane.Addr]bool{}, gone: map[uint32]bool{},
		tables: map[dataplane.Table]bool{}, odd: map[dataplane.RouteKey]*oddRoute{}, hosts: map[string]*space{}, uses: map[uint32]labelUse{}}
	s.ended = func() { ended(s) }
	s.ctx, s.stop = context.WithCancel(ctx)
	for _, step := range []struct {
		what   string
		do     func() error
		writes bool
	}{
		{"open the namespace", s.openNS, false},
		{"look for what is ours", s.findOurs, false},
		{"load the guards", s.loadGuards, true},
		{"look for fwd and dup of nf_tables", s.probe, true},
		{"set the sysctls", s.setSysctls, true},
		{"listen", s.listen, false},
		{"read what is there", s.adopt, false},
	} {
		if s.stranger && step.writes {
			continue
		}
		if err := step.do(); err != nil {
			s.close()
			return nil, fmt.Errorf("forwarding namespace %s: %s: %w", o.NetNS, step.what, err)
		}
	}
	return s, nil
}

func (s *session) openNS() (err error) {
	if s.inode, err = inodeOf(s.o.NetNS); errors.Is(err, fs.ErrNotExist) && s.o.Make {
		if err = makeNetNS(s.o.NetNS); err == nil {
			s.o.Log.Info("made the forwarding namespace", "netns", s.o.NetNS)
			s.inode, err = inodeOf(s.o.NetNS)
		}
	}
	if err != nil {
		return noNS(s.o.NetNS, err)
	}
	if s.ns, err = rtnl.OpenNS(s.o.NetNS); err != nil {
		return noNS(s.o.NetNS, err)
	}
	if s.inode, err = s.ns.Inode(); err != nil {
		return err
	}
	if err := s.notOurs(); err != nil {
		return err
	}
	if s.conn, err = rtnl.DialNS(s.ns.FD()); err != nil {
		return noNS(s.o.NetNS, err)
	}
	if s.port, err = s.conn.PortID(); err != nil {
		return err
	}
	s.nft, err = dialNFT(s.ns.FD())
	return err
}

// noNS says why a file cannot be opened as a namespace, and what to do. The file
// is said by the caller.
func noNS(file string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch name, below := strings.CutPrefix(file, "/run/netns/"); {
	case errors.Is(err, fs.ErrNotExist) && below:
		return fmt.Errorf("there is none: %w (make it: ip netns add %s)", err, name)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is none: %w (ip netns add NAME makes /run/netns/NAME)", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("this file is not that of a network namespace: %w (ip netns add NAME makes /run/netns/NAME)", err)
	}
	return err
}

// notOurs holds that the namespace is not the daemon's own, where the guards
// would cut everybody off.
func (s *session) notOurs() error {
	for _, file := range []string{"/proc/self/ns/net", "/proc/1/ns/net"} {
		if n, err := inodeOf(file); err == nil && n == s.inode {
			return fmt.Errorf("it is the one of %s: forwarding needs a namespace of its own: %w", file, dataplane.ErrUnsupported)
		}
	}
	return nil
}

// inodeOf identifies the namespace that a file stands for.
func inodeOf(path string) (uint64, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: no inode", path)
	}
	return st.Ino, nil
}

func (s *session) listen() (err error) {
	if s.hear, err = rtnl.Subscribe(s.ns.FD(), groups, s.o.RcvBuf); err == nil {
		err = s.hear.IgnoreRoutesOf(s.port)
	}
	if err == nil {
		s.nftHear, err = watchNFT(s.ns.FD())
	}
	return err
}

// start tells that the connection is there and begins to listen.
func (s *session) start() {
	s.mu.Lock()
	s.send(dataplane.Up{Epoch: s.epoch, Caps: s.caps})
	s.flush()
	s.mu.Unlock()
	s.wg.Add(2)
	go s.read()
	go s.watch()
	if !s.stranger {
		s.wg.Add(1)
		go s.keepRules()
	}
}

// send queues an event; flush delivers what is queued. Both with mu held.
func (s *session) send(e dataplane.Event) { s.out = append(s.out, e) }

func (s *session) flush() {
	for _, e := range s.out {
		if s.down || s.ctx.Err() != nil {
			break
		}
		s.o.Deliver(e)
	}
	clear(s.out)
	s.out = s.out[:0]
}

func (s *session) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// fail ends the connection, once.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.ctx.Err() != nil {
		return
	}
	s.flush()
	s.o.Deliver(dataplane.Down{Epoch: s.epoch, Err: fmt.Errorf("forwarding namespace %s: %w", s.o.NetNS, err)})
	s.down = true
	s.stop()
	s.ended() // or the namespace would be kept alive
}

// close ends the goroutines and lets go of the namespace.
func (s *session) close() {
	s.stop()
	if s.hear != nil {
		s.hear.Close()
	}
	if s.nftHear != nil {
		s.nftHear.f.Close()
	}
	s.wg.Wait()
	if s.conn != nil {
		s.conn.Close()
	}
	if s.nft != nil {
		s.nft.close()
	}
	for _, h := range s.hosts {
		h.close()
	}
	if s.ns != nil {
		s.ns.Close()
	}
}

// read hears what changes.
func (s *session) read() {
	defer s.wg.Done()
	for {
		err := s.hear.Listen(s.ctx, func(datagrams [][]byte) bool {
			s.heard(datagrams)
			return s.ctx.Err() == nil
		})
		switch {
		case s.ctx.Err() != nil || errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, rtnl.ErrOverrun):
			s.o.Log.Warn("notifications of the forwarding namespace were lost; reading it anew", "netns", s.o.NetNS)
			if err = s.catchUp(); err == nil {
				continue
			}
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// drain works off everything that is queued: what a request has caused is
// among it. The caller holds mu, which is let go meanwhile.
func (s *session) drain() {
	s.mu.Unlock()
	err := s.hear.Drain(func(b []byte) { s.heard([][]byte{b}) })
	if errors.Is(err, rtnl.ErrOverrun) {
		err = s.catchUp()
	}
	if err != nil && !errors.Is(err, os.ErrClosed) {
		s.o.Log.Warn("cannot read notifications", "netns", s.o.NetNS, "error", err)
	}
	s.mu.Lock()
}

// catchUp reads links and addresses again after a loss; what was queued before
// it is of no use.
func (s *session) catchUp() error {
	for range 10 {
		if err := s.hear.Drain(func([]byte) {}); !errors.Is(err, rtnl.ErrOverrun) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return err
	}
	s.gone[0] = true
	s.react()
	s.judge(true)
	s.flush()
	return nil
}

// How often the namespace's file is looked at, and how long it is waited before
// a loss is judged: a link that goes down loses its addresses before it says so.
const (
	watchEvery = time.Second
	judgeAfter = 20 * time.Millisecond
	tellEvery  = time.Second // at most one Disturbed
)

// watch looks after the namespace's file, and judges what needs a while.
func (s *session) watch() {
	defer s.wg.Done()
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	soon := time.NewTimer(time.Hour)
	defer soon.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.kick:
			soon.Reset(judgeAfter)
		case <-soon.C:
			s.mu.Lock()
			s.react()
			if s.judge(false) {
				soon.Reset(judgeAfter)
			}
			s.flush()
			s.mu.Unlock()
		case <-every.C:
			if inode, err := inodeOf(s.o.NetNS); err != nil || inode != s.inode {
				s.fail(errGone)
				return
			}
			s.mu.Lock()
			s.closeDead()
			s.mu.Unlock()
		}
	}
}

// closeDead lets go of companions' namespaces whose files are gone: they would
// not end otherwise.
func (s *session) closeDead() {
	for path, h := range s.hosts {
		if path == "" {
			continue
		}
		if inode, err := inodeOf(path); err != nil || inode != h.inode {
			h.close()
			delete(s.hosts, path)
		}
	}
}

// later asks for a judgement soon.
func (s *session) later() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// makeNetNS makes a named namespace, as ip-netns(8) does: a mount of it.
func makeNetNS(path string) error {
	ns, err := rtnl.NewNS()
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	f.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.FD()), path, "", unix.MS_BIND, ""); err != nil {
		_ = os.Remove(path)
		return os.NewSyscallError("mount "+path, err)
	}
	return nil
}
