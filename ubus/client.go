package ubus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// DefaultSocket is where the broker listens.
const DefaultSocket = "/var/run/ubus/ubus.sock"

const (
	clientQueue  = 4 << 20 // bytes to write
	inboxItems   = 1 << 16 // messages for handlers
	inboxBytes   = 16 << 20
	inboxFD      = 64 << 10 // what a descriptor that waits for its handler counts for
	helloTimeout = 5 * time.Second
)

// Client is a connection to a broker, ubusd or ours. All methods may be used
// from several goroutines. Methods that take a context wait for the broker's
// answer until the context ends; a call whose server dies is never answered,
// so give calls a deadline. Handlers and callbacks run one after the other on
// one goroutine of the client, where they may use the client.
type Client struct {
	id    uint32
	conn  *net.UnixConn
	out   *outQueue
	inbox *inbox
	wg    sync.WaitGroup

	mu        sync.Mutex
	seq       uint16
	pending   map[uint16]*pendingCall
	objects   map[uint32]*clientObject
	onMonitor func(MonitorMessage)
	err       error
	done      chan struct{}
}

// pendingCall waits for the answers to one request.
type pendingCall struct {
	// handle gets each answer on the reading goroutine, takes fd over and
	// says whether it was the last.
	handle func(h Header, a *attrs, fd *os.File) (last bool)
	fail   func(error) // the connection is lost
}

// Dial connects to the broker at path, DefaultSocket if empty, and waits for
// its greeting.
func Dial(ctx context.Context, path string) (*Client, error) {
	if path == "" {
		path = DefaultSocket
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("ubus: connect to %s: %w", path, err)
	}
	c, err := newClient(ctx, conn.(*net.UnixConn))
	if err != nil {
		return nil, fmt.Errorf("ubus: connect to %s: %w", path, err)
	}
	return c, nil
}

// newClient reads the greeting and starts the client's goroutines. It takes
// conn over.
func newClient(ctx context.Context, conn *net.UnixConn) (*Client, error) {
	c := &Client{
		conn: conn, out: newOutQueue(clientQueue), inbox: newInbox(),
		pending: map[uint16]*pendingCall{}, objects: map[uint32]*clientObject{}, done: make(chan struct{}),
	}
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	conn.SetReadDeadline(time.Now().Add(helloTimeout))
	r := newMsgReader(conn, maxForwarded)
	h, _, fd, err := r.next()
	closeFile(fd)
	stopped := stop()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case !stopped:
		err = context.Canceled
	case err == nil && h.Type != MsgHello:
		err = fmt.Errorf("greeted by a %v message", h.Type)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetReadDeadline(time.Time{})
	c.id = h.Peer
	c.wg.Add(3)
	go func() {
		defer c.wg.Done()
		if err := c.out.run(conn); err != nil {
			c.shutdown(err)
		}
	}()
	go func() {
		defer c.wg.Done()
		c.readLoop(r)
	}()
	go func() {
		defer c.wg.Done()
		c.inbox.run()
	}()
	return c, nil
}

// ID returns the client's id on the bus.
func (c *Client) ID() uint32 { return c.id }

// Done is closed when the connection is gone.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the connection is gone, nil while it is there. Errors match
// ErrClosed or ErrOverflow.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and waits for the client's goroutines, except when
// a handler runs, which may be the caller of Close: that one ends afterwards.
func (c *Client) Close() error {
	c.shutdown(nil)
	if !c.inbox.isCaller() {
		c.wg.Wait()
	}
	return nil
}

// Flush waits until everything that was sent has been handed to the kernel.
func (c *Client) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.out.kick() })
	defer stop()
	if !c.out.waitEmpty(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.closedErr()
	}
	return nil
}

// Drain waits until the handlers of all that has been received have run. A
// handler must not call it.
func (c *Client) Drain(ctx context.Context) error {
	done := make(chan struct{})
	if !c.inbox.add(0, func() { close(done) }) {
		return ErrOverflow
	}
	select {
	case <-done:
		return nil
	case <-c.done:
		return c.closedErr()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shutdown closes the connection once and fails whoever waits.
func (c *Client) shutdown(cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	switch {
	case cause == nil || errors.Is(cause, io.EOF) || errors.Is(cause, net.ErrClosed):
		c.err = ErrClosed
	case errors.Is(cause, ErrOverflow):
		c.err = cause
	default:
		c.err = fmt.Errorf("%w: %w", ErrClosed, cause)
	}
	err := c.err
	waiting := c.pending
	c.pending = map[uint16]*pendingCall{}
	c.mu.Unlock()
	c.conn.Close()
	c.out.close()
	c.inbox.close()
	for _, p := range waiting {
		p.fail(err)
	}
	close(c.done)
}

func (c *Client) closedErr() error {
	if err := c.Err(); err != nil {
		return err
	}
	return ErrClosed
}

// start sends a request without waiting. fill may be nil; fd is taken over. p
// is nil for messages that nobody answers.
func (c *Client) start(t MsgType, peer uint32, fd *os.File, p *pendingCall, fill func([]byte) []byte) (uint16, error) {
	full := false
	defer func() {
		if full {
			c.shutdown(ErrOverflow)
		}
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		closeFile(fd)
		return 0, c.err
	}
	seq, ok := c.nextSeq()
	if !ok {
		closeFile(fd)
		return 0, fmt.Errorf("%w: 65535 requests without an answer", ErrOverflow)
	}
	size, good := 0, true
	sent := c.out.add(fd, func(b []byte) []byte {
		before := len(b)
		b = buildMessage(b, t, seq, peer, fill)
		if size = len(b) - before - 8; size > MaxMessage {
			good = false
			return b[:before]
		}
		return b
	})
	if !good {
		return 0, fmt.Errorf("ubus: %v message of %d bytes: %w", t, size, StatusInvalidArgument)
	}
	if !sent {
		full = true
		return 0, ErrOverflow
	}
	if p != nil {
		c.pending[seq] = p
	}
	return seq, nil
}

// nextSeq returns a sequence number that no request waits on.
func (c *Client) nextSeq() (uint16, bool) {
	for range 1 << 16 {
		c.seq++
		if _, used := c.pending[c.seq]; c.seq != 0 && !used {
			return c.seq, true
		}
	}
	return 0, false
}

func (c *Client) forget(seq uint16, p *pendingCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[seq] == p {
		delete(c.pending, seq)
	}
}

// request sends a request and collects its answers until the STATUS. data gets
// every DATA on the reading goroutine.
func (c *Client) request(ctx context.Context, t MsgType, peer uint32, fd *os.File, fill func([]byte) []byte, data func(*attrs)) (*os.File, error) {
	type result struct {
		fd  *os.File
		err error
	}
	ch := make(chan result, 1)
	p := &pendingCall{fail: func(err error) { ch <- result{err: err} }}
	p.handle = func(h Header, a *attrs, fd *os.File) bool {
		if h.Peer != peer {
			closeFile(fd)
			return false
		}
		if h.Type == MsgData {
			closeFile(fd)
			if data != nil {
				data(a)
			}
			return false
		}
		ch <- result{fd, statusOf(a).err()}
		return true
	}
	seq, err := c.start(t, peer, fd, p, fill)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-ch:
		return r.fd, r.err
	case <-ctx.Done():
		c.forget(seq, p)
		select {
		case r := <-ch: // it came just now
			return r.fd, r.err
		default:
		}
		return nil, ctx.Err()
	}
}

// statusOf reads the STATUS attribute; a message without it is malformed.
func statusOf(a *attrs) Status {
	if !a.ok(AttrStatus) {
		return StatusInvalidArgument
	}
	return Status(int32(a.status))
}

// Ping asks the broker for a sign of life.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.request(ctx, MsgPing, 0, nil, nil, nil)
	return wrap(err, "ping")
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ubus: %s: %w", fmt.Sprintf(format, args...), err)
}

// ObjectInfo describes an object that LOOKUP found.
type ObjectInfo struct {
	Path    string
	ID      uint32
	TypeID  uint32
	Methods []Method // those that we may call
}

// Lookup lists the objects whose path begins with what stands before a final
// *, else the one at path. The error is StatusNotFound when there is none. An
// object that we may not use is left out without an error.
func (c *Client) Lookup(ctx context.Context, path string) ([]ObjectInfo, error) {
	return c.lookup(ctx, path, true)
}

// LookupAll lists all objects; none is not an error.
func (c *Client) LookupAll(ctx context.Context) ([]ObjectInfo, error) {
	return c.lookup(ctx, "", false)
}

func (c *Client) lookup(ctx context.Context, path string, withPath bool) ([]ObjectInfo, error) {
	var found []ObjectInfo
	var mu sync.Mutex // the reader may still add after ctx ended
	_, err := c.request(ctx, MsgLookup, 0, nil, func(b []byte) []byte {
		if withPath {
			b = AppendAttrString(b, AttrObjPath, path)
		}
		return b
	}, func(a *attrs) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, ObjectInfo{
			Path: string(a.objPath), ID: a.objID, TypeID: a.objType, Methods: ParseSignature(a.signature),
		})
	})
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(found), wrap(err, "look up %q", path)
}

// LookupID returns the id of the object at path. An object that we may not use
// is StatusNotFound.
func (c *Client) LookupID(ctx context.Context, path string) (uint32, error) {
	found, err := c.Lookup(ctx, path)
	if err == nil && len(found) == 0 {
		err = wrap(StatusNotFound, "look up %q", path)
	}
	if err != nil {
		return 0, err
	}
	return found[0].ID, nil
}

// Call looks up path and calls a method of it. It returns all replies, in
// order, also when the call ends in an error: a Status if the server or broker
// said so, else an error of the context or connection.
func (c *Client) Call(ctx context.Context, path, method string, args Table) ([]Table, error) {
	id, err := c.LookupID(ctx, path)
	if err != nil {
		return nil, err
	}
	return c.CallID(ctx, id, method, args)
}

// CallID is Call for an object whose id is known.
func (c *Client) CallID(ctx context.Context, id uint32, method string, args Table) ([]Table, error) {
	replies, fd, err := c.Invoke(ctx, id, method, args.Encode(), nil)
	closeFile(fd)
	out := make([]Table, len(replies))
	for i, r := range replies {
		out[i] = DecodeTable(r)
	}
	return out, err
}

// Invoke is CallID on blobmsg data, with descriptors: fd, if not nil, goes to
// the server (Invoke takes it over); the one that is returned came with the
// answer.
func (c *Client) Invoke(ctx context.Context, id uint32, method string, args []byte, fd *os.File) ([][]byte, *os.File, error) {
	var replies [][]byte
	var mu sync.Mutex
	got, err := c.request(ctx, MsgInvoke, id, fd, func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrObjID, id)
		b = AppendAttrString(b, AttrMethod, method)
		return AppendAttr(b, AttrData, args)
	}, func(a *attrs) {
		mu.Lock()
		defer mu.Unlock()
		replies = append(replies, slices.Clone(a.data))
	})
	mu.Lock()
	defer mu.Unlock()
	return replies, got, wrap(err, "call %q of %08x", method, id)
}

// Send sends an event to all who listen for its name.
func (c *Client) Send(ctx context.Context, event string, data Table) error {
	_, err := c.request(ctx, MsgInvoke, eventObject, nil, func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrObjID, eventObject)
		b = AppendAttrString(b, AttrMethod, "send")
		return appendEvent(b, event, data)
	}, nil)
	return wrap(err, "send event %q", event)
}

func appendEvent(b []byte, event string, data Table) []byte {
	b, outer := OpenAttr(b, AttrData)
	b = AppendString(b, "id", event)
	b, inner := OpenTable(b, "data")
	b = CloseContainer(AppendTable(b, data), inner)
	return CloseAttr(b, outer)
}
