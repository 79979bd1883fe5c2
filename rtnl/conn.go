package rtnl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// Sizes and times of a request socket.
const (
	requestBuffer = 4 << 20 // receive buffer asked for, octets
	// An acknowledgement occupies up to this much of the receive buffer
	// (measured 832 octets of truesize, more with an extended ack).
	ackCost   = 2 << 10
	maxBatch  = 1000     // messages in one sendmsg: more gains nothing
	sendLimit = 64 << 10 // octets in one sendmsg, at most; see Conn.most
	readSize  = 64 << 10 // twice what the kernel puts into a datagram of a dump
	// replyTimeout bounds the wait for an acknowledgement or for the next
	// datagram of a dump. The kernel works inside sendmsg, so that an
	// acknowledgement is there when it returns.
	replyTimeout = 10 * time.Second
)

// ErrOverrun says that messages were lost because a receive buffer was full
// (ENOBUFS). What is still queued is older than the loss.
var ErrOverrun = errors.New("rtnl: receive buffer overrun, messages were lost")

// Error is the kernel's refusal of a request, or the failure to learn its
// answer.
type Error struct {
	Type    uint16     // of the request, RTM_*
	Errno   unix.Errno // EEXIST, …; ECANCELED and ETIMEDOUT may be ours
	Message string     // extended acknowledgement of the kernel; may be empty
	Unsent  bool       // the request was never handed to the kernel
	Cause   error      // why there is no answer: the context's error, or nil
}

// Error prints the type of request, the errno, and the kernel's explanation.
func (e *Error) Error() string {
	s := "rtnl: " + typeName(e.Type) + ": " + e.Errno.Error()
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Unsent {
		s += " (not sent)"
	}
	return s
}

// Unwrap makes errors.Is find the errno, what syscall.Errno stands for
// (fs.ErrExist, …), and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Errno}
	}
	return []error{e.Errno, e.Cause}
}

// Conn is a socket for requests: changes and dumps. It may be used by several
// goroutines, one request at a time.
type Conn struct {
	*sock
	mu   sync.Mutex
	seq  uint32
	in   *inbox // datagrams are read here
	out  []byte // batches are built here
	acks int    // how many fit the receive buffer
	most int    // octets in one sendmsg, unless one message is longer

	dumping uint32 // sequence number of a dump that was left unread; 0 none
}

// Dial opens a request socket in the network namespace of the calling thread,
// with extended acknowledgements and strict checking of dump requests.
func Dial() (*Conn, error) { return DialNS(-1) }

// DialNS is Dial in the network namespace nsfd; a negative one is the calling
// thread's.
func DialNS(nsfd int) (*Conn, error) { return dial(nsfd, unix.NETLINK_ROUTE) }

func dial(nsfd, proto int) (*Conn, error) {
	s, err := openSock(nsfd, requestBuffer, proto)
	if err != nil {
		return nil, err
	}
	size, err := s.buffer()
	if err != nil {
		s.close()
		return nil, err
	}
	return &Conn{sock: s, in: newInbox(), acks: min(max(size/ackCost, 1), maxBatch), most: sendLimit}, nil
}

// Close closes the socket; a call that waits on it returns an error that wraps
// os.ErrClosed.
func (c *Conn) Close() error { return c.sock.close() }

// Execute sends requests, each a whole message as the encoders append it, in
// their order and many at once, and returns one error for each: nil, or an
// *Error. The kernel goes on after a request that fails. Sequence numbers and
// NLM_F_ACK are set in the messages sent, not in msgs. When ctx ends, or an
// answer stays away for 10 s, the requests without an answer get ECANCELED or
// ETIMEDOUT; those with Unsent false may have been carried out.
func (c *Conn) Execute(ctx context.Context, msgs [][]byte) []error {
	return c.execute(ctx, msgs, c.acks, nil)
}

// execute is Execute with at most acks requests at once; reply gets what the
// kernel answers besides acknowledgements, by the request's number.
func (c *Conn) execute(ctx context.Context, msgs [][]byte, acks int, reply func(i int, h Header, body []byte)) []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs := make([]error, len(msgs))
	for first := 0; first < len(msgs); {
		last := c.batch(msgs, first, acks)
		hear := func(i int, h Header, body []byte) {
			if reply != nil {
				reply(first+i, h, body)
			}
		}
		if err := c.transact(ctx, msgs[first:last], errs[first:last], hear); err != nil {
			unsent(msgs[last:], errs[last:], err)
			break
		}
		first = last
	}
	return errs
}

// batch returns the end of the batch that begins at first.
func (c *Conn) batch(msgs [][]byte, first, acks int) int {
	size, last := 0, first
	for last < len(msgs) && last-first < acks {
		size += nlattr.Align(len(msgs[last]))
		if size > c.most && last > first {
			break
		}
		last++
	}
	return last
}

// transact sends one batch and collects its acknowledgements. An error means
// that the socket is of no use for what would follow.
func (c *Conn) transact(ctx context.Context, msgs [][]byte, errs []error, reply func(i int, h Header, body []byte)) error {
	defer c.watch(ctx)()
	if err := c.finishDump(ctx); err != nil {
		unsent(msgs, errs, err)
		return err
	}
	c.out = c.out[:0]
	base := c.seq + 1
	for i, m := range msgs {
		c.seq++
		if len(m) < unix.SizeofNlMsghdr || int(ne.Uint32(m)) != len(m) {
			errs[i] = &Error{Errno: unix.EINVAL, Message: "not one whole message", Unsent: true}
			continue
		}
		at := len(c.out)
		c.out = nlattr.Pad(append(c.out, m...), at)
		h := c.out[at:]
		ne.PutUint16(h[6:], ne.Uint16(h[6:])|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
		ne.PutUint32(h[8:], c.seq)
	}
	if len(c.out) == 0 {
		return nil
	}
	waiting := pending(errs)
	if err := c.send(ctx, c.out); err != nil {
		unsent(msgs, errs, err)
		return err
	}
	for n := waiting; n > 0; {
		b, err := c.receive(ctx)
		if err != nil {
			unanswered(msgs, errs, err)
			return err
		}
		n -= settle(b, base, msgs, errs, reply)
	}
	for i, err := range errs {
		if err == errPending {
			errs[i] = nil
		}
	}
	return nil
}

// errPending marks a request whose answer is still to come.
var errPending = errors.New("rtnl: no answer yet")

// pending marks the requests that will be answered and counts them.
func pending(errs []error) (n int) {
	for i, err := range errs {
		if err == nil {
			errs[i] = errPending
			n++
		}
	}
	return n
}

// settle notes the acknowledgements of a datagram and counts them. Messages
// with other sequence numbers answer requests that were given up. Other answers
// go to reply.
func settle(b []byte, base uint32, msgs [][]byte, errs []error, reply func(i int, h Header, body []byte)) (n int) {
	for len(b) > 0 {
		h, body, rest, err := NextMessage(b)
		if err != nil {
			return n
		}
		b = rest
		i := h.Seq - base // wraps for older numbers
		if uint64(i) >= uint64(len(errs)) || errs[i] != errPending {
			continue
		}
		if h.Type != unix.NLMSG_ERROR {
			if h.Type >= unix.NLMSG_MIN_TYPE {
				reply(int(i), h, body)
			}
			continue
		}
		n++
		errno, text, err := ParseError(body)
		switch {
		case err != nil:
			errs[i] = &Error{Type: typeOf(msgs[i]), Errno: unix.EBADMSG, Message: err.Error(), Cause: err}
		case errno != 0:
			errs[i] = &Error{Type: typeOf(msgs[i]), Errno: unix.Errno(errno), Message: text}
		default:
			errs[i] = nil
		}
	}
	return n
}

func typeOf(msg []byte) uint16 {
	if len(msg) < unix.SizeofNlMsghdr {
		return 0
	}
	return ne.Uint16(msg[4:])
}

// unsent fills in the errors of requests that never left.
func unsent(msgs [][]byte, errs []error, cause error) {
	for i := range errs {
		if errs[i] == nil || errs[i] == errPending {
			errs[i] = &Error{Type: typeOf(msgs[i]), Errno: errnoOf(cause), Unsent: true, Cause: cause}
		}
	}
}

// unanswered fills in the errors of requests that were sent.
func unanswered(msgs [][]byte, errs []error, cause error) {
	for i := range errs {
		if errs[i] == errPending {
			errs[i] = &Error{Type: typeOf(msgs[i]), Errno: errnoOf(cause), Cause: cause}
		}
	}
}

// errnoOf is the errno in an error, or the one that says the same.
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return unix.ETIMEDOUT
	case errors.Is(err, context.Canceled):
		return unix.ECANCELED
	case errors.Is(err, ErrOverrun):
		return unix.ENOBUFS
	case errors.Is(err, os.ErrClosed):
		return unix.EBADF
	case errors.As(err, &errno):
		return errno
	}
	return unix.EIO
}

// watch makes the waits of the socket end when ctx does; its result must be
// called when the waits are over.
func (c *Conn) watch(ctx context.Context) (stop func()) {
	return interrupt(ctx, func() { _ = c.ready.SetReadDeadline(time.Unix(1, 0)) })
}

// send hands b to the kernel, which works through it before send returns.
func (c *Conn) send(ctx context.Context, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	var failed error
	err := c.raw.Control(func(fd uintptr) {
		for failed = unix.EINTR; failed == unix.EINTR; {
			failed = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, kernel)
		}
	})
	if err == nil && failed != nil {
		err = os.NewSyscallError("sendto", failed)
	}
	return c.because(ctx, err)
}

// receive reads the next datagram of the kernel; it is valid until the next
// call.
func (c *Conn) receive(ctx context.Context) ([]byte, error) {
	for {
		err := c.read(ctx)
		switch {
		case err != nil:
			return nil, err
		case c.in.errno == unix.ENOBUFS:
			return nil, ErrOverrun
		case c.in.errno != 0:
			return nil, os.NewSyscallError("recvmsg", c.in.errno)
		case c.in.hdr.Flags&unix.MSG_TRUNC != 0:
			return nil, fmt.Errorf("rtnl: datagram of more than %d octets: %w", len(c.in.buf), unix.EMSGSIZE)
		case c.in.from.Pid == 0:
			return c.in.buf[:c.in.n], nil
		}
	}
}

// read takes the next datagram. Only where it has to wait for one does it set a
// time-out: of a dump the next part is always there, and a timer for each would
// cost more than what is done with it.
func (c *Conn) read(ctx context.Context) error {
	for until := (time.Time{}); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.raw.Control(c.in.look); err != nil || c.in.errno != unix.EAGAIN {
			return c.because(ctx, err)
		}
		if until.IsZero() {
			until = time.Now().Add(replyTimeout)
		}
		err := c.ready.SetReadDeadline(until)
		if err == nil && ctx.Err() == nil { // else the end of ctx has set its own before
			err = c.wait()
		}
		if err != nil {
			return c.because(ctx, err)
		}
	}
}

// inbox reads one datagram at a time, always into the same memory.
type inbox struct {
	buf   []byte
	hdr   unix.Msghdr
	iov   unix.Iovec
	from  unix.RawSockaddrNetlink
	n     int
	errno unix.Errno       // EAGAIN: nothing is there yet
	look  func(fd uintptr) // read, bound once
}

func newInbox() *inbox {
	in := &inbox{buf: make([]byte, readSize)}
	in.iov.Base = &in.buf[0]
	in.iov.SetLen(readSize)
	in.hdr.Iov = &in.iov
	in.hdr.SetIovlen(1)
	in.hdr.Name = (*byte)(unsafe.Pointer(&in.from))
	in.look = in.read
	return in
}

// read takes what is there. The scheduler is told of the call: the kernel can
// take 50 ms over a part of a dump, and the collector would wait.
func (in *inbox) read(fd uintptr) {
	for {
		in.hdr.Namelen = unix.SizeofSockaddrNetlink
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&in.hdr)), unix.MSG_DONTWAIT)
		if errno == unix.EINTR {
			continue
		}
		in.n, in.errno = int(n), errno
		return
	}
}
