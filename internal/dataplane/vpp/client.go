package vpp

import (
	"context"
	"fmt"
	"log/slog"
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"netbraid/internal/dataplane"
)

// Options say how VPP is reached. Zero stands for the default.
type Options struct {
	// Socket is the path of VPP's API socket; /run/vpp/api.sock.
	Socket string
	// Deliver gets the events, from one goroutine at a time. It may block.
	Deliver func(dataplane.Event)
	// Log gets what an operator should know; slog.Default.
	Log *slog.Logger
	// Source is the name of our FIB source; netbraid. Priority is its rank among
	// those that VPP has (1..255, the lowest forwards); 16, that of VPP's own
	// Linux control plane: behind addresses of interfaces, before what is set by
	// API and CLI.
	Source   string
	Priority uint8
	// Punt are frames that go to companions though they are no IP: by EtherType
	// (from 0x600), or by protocol of OSI (NLPID, below 0x100).
	Punt []uint16
	// Window is how many requests may be unanswered, 4..65536; 1024.
	Window int
	// Timeout is how long an answer may take; 10 s. VPP answers nothing while
	// its main thread is busy.
	Timeout time.Duration
	// Keepalive is how long a connection may be idle before it is tried; 5 s.
	Keepalive time.Duration
	looks     bool // only dumps of interfaces and pairs are asked for: VPP is left as it is
}

// The defaults and bounds of Options.
const (
	DefaultSocket    = "/run/vpp/api.sock"
	DefaultSource    = "netbraid"
	defaultPriority  = 16
	defaultWindow    = 1024
	minWindow        = 4 // a dump needs two
	maxWindow        = 1 << 16
	defaultTimeout   = 10 * time.Second
	defaultKeepalive = 5 * time.Second
	// maxCommands bounds what callers can have asked for at once; the contract
	// needs a few.
	maxCommands = 256
)

func (o *Options) fill() {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&o.Timeout, defaultTimeout)
	set(&o.Keepalive, defaultKeepalive)
	if o.Socket == "" {
		o.Socket = DefaultSocket
	}
	if o.Source == "" {
		o.Source = DefaultSource
	}
	if o.Priority == 0 {
		o.Priority = defaultPriority
	}
	if o.Window <= 0 {
		o.Window = defaultWindow
	}
	o.Window = 1 << bits.Len(uint(min(max(o.Window, minWindow), maxWindow)-1)) // the next power of two
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// command is what a caller wants of a session.
type command struct {
	dump  dataplane.Kind // or:
	batch *dataplane.Batch
}

// Client is a dataplane.Dataplane that is a VPP.
type Client struct {
	opt Options

	// These survive sessions; the living one uses them.
	paths  paths
	local  localAddrs
	within map[said]netip.Prefix // addresses that VPP has with another length
	ip4    map[uint32]bool       // interfaces that we have enabled IPv4 on
	warned map[string]bool       // what was warned of

	mu     sync.Mutex
	closed bool
	end    context.CancelFunc // of the living session
	done   chan struct{}      // closed when it has ended
	queue  *queue
}

var _ dataplane.Dataplane = (*Client)(nil)

// New makes a client. It does nothing before Connect.
func New(o Options) *Client {
	o.fill()
	return &Client{opt: o}
}

// queue holds the commands of one session.
type queue struct {
	epoch uint32
	mu    sync.Mutex
	list  []command
	full  bool
	more  chan struct{} // has one when list is not empty
}

// put adds a command; too many end the session.
func (q *queue) put(c command) {
	q.mu.Lock()
	if len(q.list) >= maxCommands {
		q.full = true
	} else {
		q.list = append(q.list, c)
	}
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// take removes the first command.
func (q *queue) take() (c command, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full {
		return c, false, fmt.Errorf("more than %d unanswered requests of the daemon: this is a bug", maxCommands)
	}
	if len(q.list) == 0 {
		return c, false, nil
	}
	c = q.list[0]
	q.list[0] = command{}
	q.list = q.list[1:]
	return c, true, nil
}

// Connect gives up the connection that there is and makes another one.
func (c *Client) Connect(epoch uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	before := c.done
	if c.end != nil {
		c.end()
	}
	ctx, end := context.WithCancel(context.Background())
	c.end, c.done = end, make(chan struct{})
	c.queue = &queue{epoch: epoch, more: make(chan struct{}, 1)}
	go func(q *queue, done chan struct{}) {
		defer close(done)
		defer end()
		if before != nil {
			<-before // its events come before ours
		}
		c.run(ctx, q)
	}(c.queue, c.done)
}

// run is the life of a session.
func (c *Client) run(ctx context.Context, q *queue) {
	s := newSession(ctx, c, q)
	err := s.run()
	s.close()
	s.deliver(dataplane.Down{Epoch: q.epoch, Err: fmt.Errorf("VPP at %s: %w", c.opt.Socket, err)})
}

// Dump reads a table.
func (c *Client) Dump(epoch uint32, k dataplane.Kind) { c.put(epoch, command{dump: k}) }

// Write does operations.
func (c *Client) Write(epoch uint32, b dataplane.Batch) { c.put(epoch, command{batch: &b}) }

func (c *Client) put(epoch uint32, cmd command) {
	c.mu.Lock()
	q := c.queue
	c.mu.Unlock()
	if q != nil && q.epoch == epoch {
		q.put(cmd)
	}
}

// Close ends the connection. What was written stays in VPP.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.queue = nil
	if c.end != nil {
		c.end()
	}
}
