package vpp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// Sizes of a session's buffers.
const (
	readBuffer  = 64 << 10
	readBuffers = 4
	writeBuffer = 64 << 10 // sent when it is that full
)

// chunk is whole frames, as the reader hands them to the worker.
type chunk struct {
	buf []byte // to be given back
	n   int    // octets of whole frames
	err error  // the stream has ended
}

// entry is a request that is not answered yet.
type entry struct {
	context uint32
	op      int32
	batch   *batch // nil: no operation of a batch
	sent    time.Time
}

// session is one connection. All but read runs on one goroutine, the worker.
type session struct {
	c    *Client
	opt  *Options
	ctx  context.Context
	q    *queue
	conn net.Conn
	wg   sync.WaitGroup
	end  chan struct{} // closed when the worker has ended

	chunks chan chunk
	free   chan []byte
	timer  *time.Timer
	now    time.Time // when the worker was last woken

	client uint32 // our index
	ids    ids
	out    []byte
	wanted uint32 // the context that call waits for
	answer []byte // its answer
	probe  uint32 // the context of a ping behind a request that takes long

	// The window: contexts oldest..next-1 were sent; what is unanswered of them
	// stands in ring.
	ring         []entry
	oldest, next uint32
	waiting      int       // unanswered
	answered     uint32    // the newest context that was answered
	late         int       // answers that nobody waits for
	heard        time.Time // the last answer
	checked      time.Time // for requests that wait too long

	collect *collect
	batches []*batch

	source  uint8
	local   uint8 // the source of what is for VPP itself; 0: not known
	ns      namespaces
	version string
	lacks   []string
	world   world
}

// collect is a dump or stream under way.
type collect struct {
	context uint32 // of the details
	details message
	each    func(p []byte) error
	n       int
}

// errLost is what a request gets whose answer has not come, while later ones
// have been answered: VPP has dropped it.
var errLost = errors.New("VPP has not answered this request, but later ones: it has dropped it; VPP's log (show logging) says why")

// errGone is the end of the stream.
var errGone = errors.New("VPP has closed the connection, or has died")

// newSession makes a session that is not connected.
func newSession(ctx context.Context, c *Client, q *queue) *session {
	s := &session{c: c, opt: &c.opt, ctx: ctx, q: q, ring: make([]entry, c.opt.Window), oldest: 1, next: 1,
		end: make(chan struct{}), chunks: make(chan chunk, readBuffers), free: make(chan []byte, readBuffers), timer: time.NewTimer(time.Hour)}
	for range readBuffers {
		s.free <- nil
	}
	s.world.init()
	return s
}

// close ends the connection and waits for the reader.
func (s *session) close() {
	s.timer.Stop()
	close(s.end)
	if s.conn != nil {
		s.conn.Close()
	}
	s.wg.Wait()
}

// deliver hands an event on, unless the session was given up.
func (s *session) deliver(e dataplane.Event) {
	if s.ctx.Err() == nil {
		s.c.opt.Deliver(e)
	}
}

// run connects and works until the end.
func (s *session) run() error {
	d := net.Dialer{Timeout: s.opt.Timeout}
	conn, err := d.DialContext(s.ctx, "unix", s.opt.Socket)
	if err != nil {
		return s.unreached(err)
	}
	s.conn = conn
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer stop()
	s.wg.Add(1)
	go s.read()
	s.now = time.Now()
	s.heard = s.now
	if err := s.handshake(); err != nil {
		return err
	}
	s.deliver(dataplane.Up{Epoch: s.q.epoch, Caps: s.caps()})
	return s.work()
}

// unreached says why there is no connection, and what to do. The path is said by
// the caller.
func (s *session) unreached(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: is VPP running, and does its startup.conf have socksvr { socket-name %s }?", err, s.opt.Socket)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: netbraid has to be root, or in the group of api-segment { gid … } of VPP's startup.conf", err)
	}
	return fmt.Errorf("connect: %w", err)
}

// read cuts the stream into chunks of whole frames.
func (s *session) read() {
	defer s.wg.Done()
	defer close(s.chunks)
	var tail []byte
	for {
		var buf []byte
		select {
		case buf = <-s.free:
		case <-s.end:
			return
		}
		if len(buf) < max(readBuffer, len(tail)) {
			buf = make([]byte, max(readBuffer, len(tail)))
		}
		buf, whole, w, err := s.fill(buf, copy(buf, tail))
		tail = append(tail[:0], buf[whole:w]...)
		select {
		case s.chunks <- chunk{buf, whole, err}:
		case <-s.end:
			return
		}
		if err != nil {
			return
		}
	}
}

// fill reads until buf, which has w octets, begins with a whole frame.
func (s *session) fill(buf []byte, w int) (_ []byte, whole, end int, err error) {
	for err == nil {
		var need int
		if whole, need, err = wholeFrames(buf[:w]); whole > 0 || err != nil {
			break
		}
		if need > len(buf) {
			buf = append(buf[:w], make([]byte, need-w)...)
		}
		var n int
		n, err = s.conn.Read(buf[w:])
		w += n
	}
	if errors.Is(err, io.EOF) {
		if err = errGone; w > whole {
			err = fmt.Errorf("%w, in the middle of a message", err)
		}
	}
	return buf, whole, w, err
}

// flush sends what has been encoded.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.opt.Timeout))
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("VPP has not read its socket for %s: its main thread is stuck", s.opt.Timeout)
	}
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("send to VPP: %w", err)
	}
	return nil
}

// begin starts a request; the caller appends its body to s.out and calls
// endFrame. It waits when the window is full.
func (s *session) begin(m message, b *batch, op int) (start int, context uint32, err error) {
	if s.next-s.oldest >= uint32(len(s.ring)) {
		if err := s.room(); err != nil {
			return 0, 0, err
		}
	}
	if s.next == 0 { // stands for none; the ring counts it as answered
		s.next++
	}
	context = s.next
	s.next++
	s.ring[context&uint32(len(s.ring)-1)] = entry{context: context, op: int32(op), batch: b, sent: s.now}
	s.waiting++
	start = len(s.out)
	s.out = beginFrame(s.out, s.ids.number[m], s.client, context)
	return start, context, nil
}

// room waits until half of the window is free, so that both sides work on many
// frames at a time.
func (s *session) room() error {
	if err := s.flush(); err != nil {
		return err
	}
	for s.next-s.oldest > uint32(len(s.ring)/2) {
		if err := s.pump(); err != nil {
			return err
		}
	}
	return nil
}

// pump waits for a chunk and handles it, and looks after requests that are not
// answered.
func (s *session) pump() error {
	s.timer.Reset(s.opt.Timeout / 4)
	select {
	case c, ok := <-s.chunks:
		return s.handle(c, ok)
	case <-s.timer.C:
		s.now = time.Now()
		return s.expire()
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// handle works off a chunk.
func (s *session) handle(c chunk, ok bool) error {
	if !ok {
		return errGone
	}
	s.now = time.Now()
	for b := c.buf[:c.n]; len(b) > 0; {
		var p []byte
		p, b = nextFrame(b)
		if err := s.frame(p); err != nil {
			return err
		}
	}
	if c.err != nil {
		return c.err
	}
	select {
	case s.free <- c.buf:
	default:
	}
	// Events alone are no answer: they must not put off the time-outs.
	if s.now.Sub(s.checked) < s.opt.Timeout/4 {
		return nil
	}
	s.checked, s.late = s.now, 0
	return s.expire()
}

// frame handles one message.
func (s *session) frame(p []byte) error {
	d := decoder{b: p}
	number := d.u16()
	context := d.u32()
	if d.err != nil {
		return fmt.Errorf("VPP sends a message of %d octets: %w", len(p), d.err)
	}
	m := s.ids.in(number)
	switch roles[m] {
	case isReply:
		return s.reply(m, context, p)
	case isEvent:
		return s.interfaceEvent(p)
	case isDetails:
		if c := s.collect; c != nil && m == c.details && context == c.context {
			s.heard = s.now
			if c.n++; c.n > maxDetails && (c.n > maxRoutes || m != routeDetails) {
				return fmt.Errorf("VPP sends %d %s, that cannot be", c.n, m)
			}
			return c.each(p)
		}
	}
	return s.stray(fmt.Sprintf("%s (number %d)", m, number))
}

// maxDetails bounds what one dump may have, maxRoutes one of routes.
const (
	maxDetails = 1 << 18
	maxRoutes  = 1 << 24
)

// maxStray is how much that nobody asked for we take at a time.
const maxStray = 1000

// stray counts what nobody asked for.
func (s *session) stray(what string) error {
	if s.late++; s.late > maxStray {
		return fmt.Errorf("VPP keeps sending what nobody has asked for, lately %s", what)
	}
	return nil
}

// reply settles the request that an answer belongs to.
func (s *session) reply(m message, context uint32, p []byte) error {
	e := &s.ring[context&uint32(len(s.ring)-1)]
	if e.context != context || context == 0 {
		if int32(s.next-context) <= 0 || context == 0 {
			return fmt.Errorf("VPP answers a request that was never made: %s with context %d", m, context)
		}
		return s.stray("late or repeated answers: " + m.String())
	}
	b, op := e.batch, e.op
	*e = entry{}
	s.waiting--
	s.answered, s.heard = context, s.now
	for s.oldest != s.next && s.ring[s.oldest&uint32(len(s.ring)-1)].context == 0 {
		s.oldest++
	}
	if b == nil {
		if context == s.wanted {
			s.wanted = 0
			s.answer = append(s.answer[:0], p...)
		}
		return nil
	}
	d := decoder{b: p[6:]}
	rv := retval(d.u32())
	if d.err != nil || m != routeAddDelReply && m != mplsRouteAddDelReply {
		return fmt.Errorf("VPP answers a route with %s of %d octets", m, len(p))
	}
	if rv != 0 {
		s.routeFailed(b, int(op), rv)
	}
	b.left--
	return nil
}

// expire looks for requests that have waited too long. Half way a ping goes
// out behind the last one: what is older than an answered ping was dropped.
func (s *session) expire() error {
	for s.oldest != s.next {
		e := &s.ring[s.oldest&uint32(len(s.ring)-1)]
		if e.context == 0 {
			s.oldest++
			continue
		}
		switch age := s.now.Sub(e.sent); {
		case age < s.opt.Timeout/2:
			return nil
		case int32(s.answered-e.context) > 0 && age >= s.opt.Timeout:
			s.lose(e)
			s.oldest++
		case age >= s.opt.Timeout && s.now.Sub(s.heard) >= s.opt.Timeout:
			return fmt.Errorf("VPP has not answered for %s: its main thread is stuck", s.opt.Timeout)
		case s.probe == 0 || int32(s.probe-e.context) < 0:
			return s.ping()
		default:
			return nil
		}
	}
	return nil
}

// lose settles a request that VPP has dropped.
func (s *session) lose(e *entry) {
	switch {
	case e.batch != nil:
		e.batch.fail(int(e.op), errLost)
		e.batch.left--
	case e.context == s.wanted:
		s.wanted = 0
		s.answer = s.answer[:0]
	}
	*e = entry{}
	s.waiting--
}

// ping sends a control_ping, whose answer is only looked at in passing.
func (s *session) ping() error {
	if s.next-s.oldest >= uint32(len(s.ring)) {
		return s.flush() // there is enough to be answered
	}
	start, context, err := s.begin(controlPing, nil, 0)
	if err != nil {
		return err
	}
	s.probe = context
	endFrame(s.out, start)
	return s.flush()
}
