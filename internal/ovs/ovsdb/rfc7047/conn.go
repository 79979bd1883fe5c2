package rfc7047

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// ConnOptions is how a Conn behaves.
type ConnOptions struct {
	// Notify is called with every notification, in order, before a reply that
	// came after it is handed over. An error from it ends the connection. It must
	// not call the Conn.
	Notify func(m *Message) error
	// Probe is how long the server may be silent before it is asked for a sign
	// of life; after as long again without any octet the connection is given up.
	// 0: 5 s.
	Probe      time.Duration
	MaxMessage int // 0: DefaultMaxMessage
}

const (
	writeTimeout = 10 * time.Second
	// echoQueue bounds the replies that a server can make us owe.
	echoQueue = 64
)

// ErrClosed is the error of a connection that its owner has closed.
var ErrClosed = errors.New("connection closed")

// Conn is a connection to a server. Its methods may be called from several
// goroutines.
type Conn struct {
	nc    net.Conn
	opt   ConnOptions
	write chan []byte
	done  chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex
	err     error // why it ended
	last    uint64
	pending map[uint64]waiting
}

// waiting is a request without its answer.
type waiting struct {
	ch   chan Message
	then func(json.RawMessage) error
}

// NewConn speaks on nc, which it owns from now on.
func NewConn(nc net.Conn, opt ConnOptions) *Conn {
	if opt.Probe <= 0 {
		opt.Probe = 5 * time.Second
	}
	c := &Conn{nc: nc, opt: opt, write: make(chan []byte, echoQueue), done: make(chan struct{}), pending: map[uint64]waiting{}}
	c.wg.Add(2)
	go c.reader()
	go c.writer()
	return c
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection has ended.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and waits until nothing of it runs any more.
func (c *Conn) Close() {
	c.fail(ErrClosed)
	c.wg.Wait()
}

// fail ends the connection for the first reason given.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.done)
	c.nc.Close()
}

// Call sends a request and waits for its result. params is a JSON array. The
// error is an *RPCError when the server refuses.
func (c *Conn) Call(ctx context.Context, method string, params []byte) (json.RawMessage, error) {
	replies, err := c.Start(ctx, Request{Method: method, Params: params})
	if err != nil {
		return nil, err
	}
	return replies[0].Wait(ctx)
}

// Request is a method with its params, a JSON array.
type Request struct {
	Method string
	Params []byte
	// Then is called with the result in the order in which the server sent it,
	// among the notifications, before Wait gives it. An error from it ends the
	// connection. It must not call the Conn.
	Then func(result json.RawMessage) error
}

// Reply is the answer that is to come to a request.
type Reply struct {
	c      *Conn
	id     uint64
	method string
	ch     chan Message
}

// Start sends requests in one piece, so that nothing comes between them.
func (c *Conn) Start(ctx context.Context, list ...Request) ([]*Reply, error) {
	var b []byte
	replies := make([]*Reply, 0, len(list))
	c.mu.Lock()
	for _, r := range list {
		c.last++
		ch := make(chan Message, 1)
		c.pending[c.last] = waiting{ch, r.Then}
		b = AppendRequest(b, c.last, r.Method, r.Params)
		replies = append(replies, &Reply{c, c.last, r.Method, ch})
	}
	c.mu.Unlock()
	select {
	case c.write <- b:
		return replies, nil
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		for _, r := range replies {
			r.forget()
		}
		return nil, ctx.Err()
	}
}

func (r *Reply) forget() {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	delete(r.c.pending, r.id)
}

// Wait waits for the result.
func (r *Reply) Wait(ctx context.Context) (json.RawMessage, error) {
	var m Message
	select {
	case m = <-r.ch:
	case <-r.c.done:
		return nil, r.c.Err()
	case <-ctx.Done():
		r.forget()
		return nil, fmt.Errorf("ovsdb-server: %s: no answer: %w", r.method, ctx.Err())
	}
	if m.Failed != nil {
		return nil, replyError(r.method, m.Failed)
	}
	return m.Result, nil
}

func (c *Conn) writer() {
	defer c.wg.Done()
	for {
		select {
		case <-c.done:
			return
		case b := <-c.write:
			_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := c.nc.Write(b); err != nil {
				c.fail(fmt.Errorf("write to ovsdb-server: %w", err))
				return
			}
		}
	}
}

func (c *Conn) reader() {
	defer c.wg.Done()
	split := Splitter{Max: c.opt.MaxMessage}
	buf := make([]byte, 64<<10)
	probed := false
	for {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.opt.Probe))
		n, err := c.nc.Read(buf)
		if n > 0 {
			probed = false
			if err := c.feed(&split, buf[:n]); err != nil {
				c.fail(err)
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !probed:
			probed = true
			c.probe()
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.fail(fmt.Errorf("ovsdb-server is silent for %v", 2*c.opt.Probe))
			return
		case errors.Is(err, io.EOF):
			c.fail(fmt.Errorf("ovsdb-server has closed the connection: %w", io.EOF))
			return
		default:
			c.fail(fmt.Errorf("read from ovsdb-server: %w", err))
			return
		}
	}
}

// probe asks for a sign of life. When a write hangs there is no need to: any
// octet will do, and without one the connection ends.
func (c *Conn) probe() {
	c.mu.Lock()
	c.last++
	b := AppendRequest(nil, c.last, "echo", []byte("[]"))
	c.mu.Unlock()
	select {
	case c.write <- b:
	default:
	}
}

// feed takes octets that have been read.
func (c *Conn) feed(split *Splitter, b []byte) error {
	split.Feed(b)
	for {
		raw, err := split.Next()
		if raw == nil || err != nil {
			return err
		}
		m, err := ParseMessage(raw)
		if err == nil {
			err = c.handle(&m)
		}
		if err != nil {
			return err
		}
	}
}

// handle takes one message.
func (c *Conn) handle(m *Message) error {
	switch {
	case m.Method == "":
		return c.reply(m)
	case m.Method == "echo" && !m.Notification():
		select {
		case c.write <- AppendEchoReply(nil, m):
			return nil
		default:
			return protocolError("more than %d requests that are not read", echoQueue)
		}
	case m.Notification() && c.opt.Notify != nil:
		return c.opt.Notify(m)
	}
	return nil // a request that no client knows
}

// reply hands an answer to who waits for it. One to a probe, or to a request
// that is not waited for any more, is dropped; one to a request that was never
// sent is garbage.
func (c *Conn) reply(m *Message) error {
	id, err := strconv.ParseUint(string(m.ID), 10, 64)
	c.mu.Lock()
	if err != nil || id > c.last {
		c.mu.Unlock()
		return protocolError("an answer to request %.60s, which was not sent", m.ID)
	}
	w, ok := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if !ok {
		return nil
	}
	if w.then != nil && m.Failed == nil {
		if err := w.then(m.Result); err != nil {
			return err
		}
	}
	w.ch <- *m
	return nil
}
