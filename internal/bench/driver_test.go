package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/rtnl"
)

// groups are what a mirror has to hear.
var groups = []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_NEIGH, unix.RTNLGRP_NEXTHOP, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_MPLS_NETCONF}

const (
	mib = 1 << 20
	// bigBuffer is what linux-cp calls rx_buffer_size. The kernel doubles
	// what it is asked for.
	bigBuffer = 128 * mib
	// drainEvery is how many datagrams of a dump (of up to 32 KiB) are read
	// between two looks at the notifications.
	drainEvery = 64
)

// errLost ends what the driver is at: the engine starts over.
var errLost = errors.New("notifications were lost")

// driver joins an engine to the sockets of one namespace, that of the process,
// in one thread of control: what a shell does, and no more.
type driver struct {
	e      *mirror.Engine
	sink   *sink
	conn   *rtnl.Conn
	n      *rtnl.Notifier
	rcvbuf int
	epoch  uint32
	asked  map[rtnl.Kind]bool // dumps asked for since the last subscription
	todo   []mirror.Request   // heard of, not done yet
	req    []byte
	now    time.Time

	heard  int64 // datagrams of notifications
	losses int
	deaf   bool // throw notifications away (a fault, to test the oracle)
	sweeps map[rtnl.Kind]sweep
}

// sweep is what ending a dump took: in all, and the longest single call.
type sweep struct{ total, slice time.Duration }

func newDriver(rcvbuf int) (*driver, error) {
	conn, err := rtnl.Dial()
	if err != nil {
		return nil, err
	}
	d := &driver{conn: conn, rcvbuf: rcvbuf, sink: newSink(), asked: map[rtnl.Kind]bool{}, sweeps: map[rtnl.Kind]sweep{}}
	d.e = mirror.New(0, mirror.DefaultParams(), d.sink)
	return d, nil
}

// rest closes the notification socket; only resync works after it.
func (d *driver) rest() {
	if d.n != nil {
		d.n.Close()
		d.n = nil
	}
}

func (d *driver) close() {
	d.rest()
	d.conn.Close()
}

// learn begins with nothing and returns when all is known.
func (d *driver) learn(ctx context.Context) error {
	d.e.Start(time.Now())
	return d.settle(ctx)
}

// resync reads everything again, as after a loss.
func (d *driver) resync(ctx context.Context) error {
	d.e.Lost(time.Now(), d.epoch)
	return d.settle(ctx)
}

// finish lets the engine do what is left of the last call, and returns the
// longest slice.
func (d *driver) finish() (longest time.Duration) {
	for d.e.Busy() {
		at := time.Now()
		d.e.Tick(at)
		longest = max(longest, time.Since(at))
	}
	return longest
}

// settle does what the engine asks for until every table is live.
func (d *driver) settle(ctx context.Context) error {
	for ctx.Err() == nil {
		switch err := d.requests(ctx); {
		case errors.Is(err, errLost):
			continue
		case err != nil:
			return err
		}
		if d.live() {
			return nil
		}
		at := d.e.Deadline()
		if at.IsZero() {
			at = time.Now().Add(time.Millisecond)
		}
		time.Sleep(time.Until(at))
		d.e.Tick(time.Now())
		d.finish()
		if err := d.drain(); err != nil && !errors.Is(err, errLost) {
			return err
		}
	}
	return fmt.Errorf("the mirror has not settled: %w", ctx.Err())
}

func (d *driver) live() bool {
	for k := range d.asked {
		if !d.e.Live(k) {
			return false
		}
	}
	return d.n != nil && len(d.asked) > 0
}

// requests does what the engine asks for, until it asks for nothing.
func (d *driver) requests(ctx context.Context) error {
	for {
		requests := append(d.todo, d.e.Requests()...)
		d.todo = nil
		for _, r := range requests {
			do := d.dump
			if r.Subscribe {
				do = d.subscribe
			}
			if err := do(ctx, r); err != nil {
				return err
			}
		}
		if len(requests) == 0 {
			return nil
		}
	}
}

// subscribe opens a new socket, then closes the old one unread.
func (d *driver) subscribe(_ context.Context, r mirror.Request) error {
	n, err := rtnl.Subscribe(-1, groups, d.rcvbuf)
	if err != nil {
		return err
	}
	d.rest()
	d.n, d.epoch = n, r.Epoch
	clear(d.asked)
	d.e.Subscribed(r.Epoch)
	d.finish()
	return nil
}

// dump reads a table, with a look at the notifications now and then.
func (d *driver) dump(ctx context.Context, r mirror.Request) error {
	d.asked[r.Dump] = true
	d.req = rtnl.AppendDumpRequest(d.req[:0], r.Dump, 0, rtnl.Filter{})
	datagrams := 0
	res, err := d.conn.Dump(ctx, d.req, func(b []byte) error {
		d.e.Dumped(r.Epoch, b)
		d.finish()
		if datagrams++; datagrams%drainEvery == 0 {
			return d.drain()
		}
		return nil
	})
	if err == nil {
		// What is older than the end of the dump comes before it.
		err = d.drain()
	}
	if errors.Is(err, errLost) {
		return d.redial(err)
	}
	if err != nil {
		return fmt.Errorf("dump %s: %w", r.Dump, err)
	}
	at := time.Now()
	d.e.DumpDone(at, r.Epoch, r.Dump, res.Complete, res.Interrupted)
	first := time.Since(at)
	slice := max(first, d.finish())
	d.sweeps[r.Dump] = sweep{time.Since(at), slice}
	return nil
}

// redial gives up a dump that nobody wants any more: to read it to its end
// would take longer.
func (d *driver) redial(why error) error {
	conn, err := rtnl.Dial()
	if err != nil {
		return err
	}
	d.conn.Close()
	d.conn = conn
	return why
}

// notified hands a batch to the engine.
func (d *driver) notified(b []byte) {
	d.heard++
	if d.deaf {
		return
	}
	d.e.Notified(d.now, d.epoch, b)
	d.finish()
}

// drain hands on what is queued. After a loss it says errLost, and the engine
// knows.
func (d *driver) drain() error {
	if d.n == nil {
		return nil
	}
	d.now = time.Now()
	return d.lossOf(d.n.Drain(d.notified))
}

func (d *driver) lossOf(err error) error {
	if !errors.Is(err, rtnl.ErrOverrun) {
		return err
	}
	d.losses++
	d.e.Lost(time.Now(), d.epoch)
	d.finish()
	return errLost
}

// listen follows the kernel until ctx ends, through any loss, and ends with the
// mirror live. A dump that has begun is not given up with ctx.
func (d *driver) listen(ctx context.Context) error {
	for ctx.Err() == nil {
		err := d.requests(context.WithoutCancel(ctx))
		if err == nil {
			err = d.wait(ctx)
		}
		if err == nil {
			err = d.drain()
		}
		if err != nil && !errors.Is(err, errLost) && ctx.Err() == nil {
			return err
		}
	}
	if err := d.drain(); err != nil && !errors.Is(err, errLost) {
		return err
	}
	end, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	return d.settle(end)
}

// wait follows notifications until the engine asks for something, or its
// deadline has come.
func (d *driver) wait(ctx context.Context) error {
	if at := d.e.Deadline(); !at.IsZero() {
		time.Sleep(time.Until(at))
		d.e.Tick(time.Now())
		d.finish()
		return nil
	}
	return d.lossOf(d.n.Listen(ctx, func(datagrams [][]byte) bool {
		d.now = time.Now()
		for _, b := range datagrams {
			d.notified(b)
		}
		d.todo = d.e.Requests()
		return len(d.todo) == 0 && d.e.Deadline().IsZero()
	}))
}
