package vpptest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Options say what kind of VPP it is.
type Options struct {
	// Fail is told what no client may do. Without it that is a panic.
	Fail func(format string, args ...any)
	// Lenient: what VPP takes is taken, garbage as well, and only what ends VPP
	// is told to Fail.
	Lenient bool
	// Without are messages, by the beginning of their names, that this VPP lacks:
	// "lcp_" is one without the plugin linux_cp.
	Without []string
	// Layout gives messages another checksum, by name.
	Layout map[string]string
	// NetNS is what linux-cp has as its default namespace.
	NetNS string
	// Namespaces are the names that a pair may be in; nil: any.
	Namespaces []string
	// Companions: a pair makes a real tap, in a namespace that is there. NetNS
	// then has to be a file.
	Companions bool
	// NoVLAN: the kernel of this VPP makes no VLANs on a companion.
	NoVLAN bool
	// Page is how many pairs are shown at a time; 0: all.
	Page int
	// Taps is how many companions there can be; 0: any number.
	Taps int
	// Sync and AutoSubif are linux-cp's settings lcp-sync and lcp-auto-subint.
	Sync, AutoSubif bool
	// OSI: VPP's plugin osi is loaded.
	OSI bool
	// LinuxNL: VPP's own listener to netlink is loaded.
	LinuxNL bool
	// SourceDir is the last field of show_version_reply.
	SourceDir string
	// PID is what it calls its process; its own by default.
	PID uint32
}

// Server is a VPP for tests.
type Server struct {
	opt     Options
	path    string
	table   []numbered
	numbers map[string]uint16
	handle  []handler // by number
	names   []string
	replyV2 uint16 // of ip_route_add_del_v2

	mu     sync.Mutex
	lis    net.Listener
	wg     sync.WaitGroup
	closed bool
	conns  map[*conn]bool
	byID   map[uint32]*conn
	nextID uint32
	st     *state

	seen     int // messages of clients
	cutAt    int // at which the connection is lost; 0: never
	cutAfter bool
	delay    time.Duration
	piece    int // most octets of one write
	mute     bool
	counts   map[string]int
	told     atomic.Bool // events wait in somebody's answers
	dropName string
	dropAt   int
}

// handler answers one kind of message.
type handler func(c *conn, r *request)

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "vpp") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if o.Fail == nil {
		o.Fail = t.Errorf
	}
	s, err := Listen(filepath.Join(dir, "api.sock"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Listen runs a server on a socket that it makes.
func Listen(path string, o Options) (*Server, error) {
	if o.PID == 0 {
		o.PID = uint32(os.Getpid())
	}
	s := &Server{opt: o, path: path, numbers: map[string]uint16{}, conns: map[*conn]bool{}, byID: map[uint32]*conn{}, counts: map[string]int{}}
	s.number()
	s.st = newState(s)
	return s, s.Up()
}

// number makes the table of messages.
func (s *Server) number() {
	for _, n := range recordedTable {
		name := bare(n.name)
		gone := false
		for _, w := range s.opt.Without {
			gone = gone || strings.HasPrefix(name, w)
		}
		if gone {
			continue
		}
		if crc := s.opt.Layout[name]; crc != "" {
			n.name = name + "_" + crc
		}
		s.table = append(s.table, n)
		s.numbers[name] = n.number
		for len(s.handle) <= int(n.number) {
			s.handle = append(s.handle, nil)
			s.names = append(s.names, "")
		}
		s.handle[n.number], s.names[n.number] = handlers[name], name
	}
	s.replyV2 = s.numbers["ip_route_add_del_v2_reply"]
}

// Socket is where it listens.
func (s *Server) Socket() string { return s.path }

// Up makes it listen (again).
func (s *Server) Up() error {
	lis, err := net.Listen("unix", s.path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.lis = lis
	s.mu.Unlock()
	s.wg.Add(1)
	go s.accept(lis)
	return nil
}

// Down makes it stop listening; connections end.
func (s *Server) Down() {
	s.mu.Lock()
	if s.lis != nil {
		s.lis.Close()
		s.lis = nil
	}
	s.mu.Unlock()
	s.Cut()
	s.wg.Wait()
}

// Close ends it.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Down()
	s.mu.Lock()
	s.st.end()
	s.mu.Unlock()
}

// Cut loses all connections.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut()
}

func (s *Server) cut() {
	for c := range s.conns {
		c.nc.Close()
	}
}

// CutAt loses the connection at the nth message from now, before or after it
// has been done; its answer is not sent. 0: never.
func (s *Server) CutAt(n int, after bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.cutAt, s.cutAfter = 0, n, after
}

// Seen counts the messages since the beginning or the last CutAt.
func (s *Server) Seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Count is how many messages of a name there were.
func (s *Server) Count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[name]
}

// Delay makes every piece of answers come later; Piece makes writes short, so
// that frames are split.
func (s *Server) Delay(d time.Duration) { s.mu.Lock(); s.delay = d; s.mu.Unlock() }

// Piece limits the octets of one write; 0: no limit.
func (s *Server) Piece(n int) { s.mu.Lock(); s.piece = n; s.mu.Unlock() }

// Mute makes it do nothing and answer nothing, as one whose main thread hangs.
func (s *Server) Mute(on bool) { s.mu.Lock(); s.mute = on; s.mu.Unlock() }

// Restart loses all connections; the state stays, or is that of a new VPP.
func (s *Server) Restart(keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut()
	if !keep {
		s.st.end()
		s.st = newState(s)
	}
}

func (s *Server) fail(format string, args ...any) {
	if s.opt.Fail == nil {
		panic("vpptest: " + fmt.Sprintf(format, args...))
	}
	s.opt.Fail("vpptest: "+format, args...)
}

// strict reports what VPP would take, or drop in silence, and no client of ours
// may send.
func (s *Server) strict(format string, args ...any) {
	if !s.opt.Lenient {
		s.fail(format, args...)
	}
}

func (s *Server) accept(lis net.Listener) {
	defer s.wg.Done()
	for {
		nc, err := lis.Accept()
		if err != nil {
			return
		}
		c := &conn{s: s, nc: nc}
		s.mu.Lock()
		if s.lis != lis {
			s.mu.Unlock()
			nc.Close()
			return
		}
		s.conns[c] = true
		s.wg.Add(1)
		s.mu.Unlock()
		go c.run()
	}
}

// conn is one client.
type conn struct {
	s      *Server
	nc     net.Conn
	id     uint32 // its index; 0 before sockclnt_create
	events bool   // wants those of interfaces
	pid    uint32
	neigh  map[uint8]uint32 // wants those of neighbours, by family: its pid

	out   []byte // under s.mu
	start int
	wmu   sync.Mutex
	spare []byte
}

const readSize = 256 << 10

// run serves one client.
func (c *conn) run() {
	s := c.s
	defer s.wg.Done()
	defer func() {
		c.nc.Close()
		s.mu.Lock()
		delete(s.conns, c)
		delete(s.byID, c.id)
		s.mu.Unlock()
	}()
	buf, w := make([]byte, readSize), 0
	for {
		n, err := c.nc.Read(buf[w:])
		w += n
		if err != nil {
			if w > 0 && !errors.Is(err, net.ErrClosed) {
				s.strict("client left in the middle of a message")
			}
			return
		}
		used, lost := c.serve(buf[:w])
		if lost {
			return
		}
		w = copy(buf, buf[used:w])
		if w == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		if c.flush() != nil {
			return
		}
		if s.told.Swap(false) {
			s.flushAll()
		}
	}
}

// serve does what stands in b as whole frames.
func (c *conn) serve(b []byte) (used int, lost bool) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b)-used >= frameHeader {
		size := int(binary.BigEndian.Uint32(b[used+8:]))
		if size > 1<<20 {
			s.fail("frame of %d octets", size)
			return used, true
		}
		end := used + frameHeader + size
		if end > len(b) {
			break
		}
		p := b[used+frameHeader : end]
		used = end
		if s.mute {
			continue
		}
		if size == 0 {
			s.strict("frame of length 0")
			continue
		}
		s.seen++
		at := s.cutAt != 0 && s.seen == s.cutAt
		if at && !s.cutAfter {
			return used, true
		}
		c.message(p)
		if at || s.st.dead {
			return used, true
		}
	}
	return used, false
}

// message does one message.
func (c *conn) message(p []byte) {
	s := c.s
	if len(p) < 2 {
		s.strict("message of %d octets", len(p))
		return
	}
	if s.st.doomed {
		s.st.dead = true
		return
	}
	number := binary.BigEndian.Uint16(p)
	if int(number) >= len(s.handle) || s.names[number] == "" {
		s.strict("no message has number %d", number)
		return
	}
	r := request{name: s.names[number], b: p[2:]}
	s.counts[r.name]++
	if s.dropped(r.name) {
		return
	}
	h := s.handle[number]
	if h == nil {
		s.strict("message %s is not made for this server, or is no request", r.name)
		return
	}
	if r.name == "sockclnt_create" {
		r.ctx = r.u32()
		h(c, &r)
		return
	}
	r.client, r.ctx = r.u32(), r.u32()
	if r.short {
		s.strict("%s has %d octets", r.name, len(p))
		return
	}
	if r.client != c.id || c.id == 0 {
		s.strict("%s with client index %#x, it has %#x", r.name, r.client, c.id)
		if c = s.byID[r.client]; c == nil {
			return // VPP finds nobody to answer
		}
	}
	keep := len(c.out)
	h(c, &r)
	switch {
	case s.st.dead:
		c.out = c.out[:keep]
	case r.short:
		s.strict("%s is shorter than its fields", r.name)
		c.out = c.out[:keep]
	case len(r.b) > 0:
		s.strict("%s has %d octets too many", r.name, len(r.b))
	}
	s.st.tellEvents()
}

// flush sends what there is.
func (c *conn) flush() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.s.mu.Lock()
	out, delay, piece := c.out, c.s.delay, c.s.piece
	c.out = c.spare[:0]
	c.s.mu.Unlock()
	c.spare = out
	if delay > 0 && len(out) > 0 {
		time.Sleep(delay)
	}
	for len(out) > 0 {
		n := len(out)
		if piece > 0 {
			n = min(n, piece)
		}
		if _, err := c.nc.Write(out[:n]); err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// flushAll sends events that were not caused by a client's message. The caller
// does not hold s.mu.
func (s *Server) flushAll() {
	s.mu.Lock()
	s.st.tellEvents()
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	s.mu.Unlock()
	for _, c := range list {
		c.flush()
	}
}
