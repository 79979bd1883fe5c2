package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// Defaults of Options.
const (
	DefaultBuffer = 128 << 20
	DefaultQueue  = 64 << 20
)

// Kinds are those that can be printed.
var Kinds = []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindNeigh, rtnl.KindRoute, rtnl.KindRule, rtnl.KindNexthop, rtnl.KindNetconf}

// groups are what the kernel announces each kind to.
var groups = map[rtnl.Kind][]uint32{
	rtnl.KindLink:    {unix.RTNLGRP_LINK},
	rtnl.KindAddr:    {unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR},
	rtnl.KindNeigh:   {unix.RTNLGRP_NEIGH},
	rtnl.KindRoute:   {unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_MPLS_ROUTE},
	rtnl.KindRule:    {unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE},
	rtnl.KindNexthop: {unix.RTNLGRP_NEXTHOP},
	rtnl.KindNetconf: {unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_MPLS_NETCONF},
}

// lastWords bounds the time to print what has been read when ctx ends.
const lastWords = 2 * time.Second

// Options of Run.
type Options struct {
	Kinds     []rtnl.Kind // what to print; empty: all Kinds
	NSFD      int         // the network namespace; < 0: the calling thread's
	Buffer    int         // receive buffer of the socket, octets; 0: DefaultBuffer
	Queue     int         // of what is read and not yet printed, octets; 0: DefaultQueue
	JSON      bool        // each line an object
	Timestamp bool        // each line with the time when it was read
	Colour    bool        // with SGR sequences, unless JSON
	Out       io.Writer
	Ready     func() // called when nothing can be missed any more; may be nil
}

// Run prints what the kernel announces, one line for each notification, until
// ctx ends or Out fails; a reader of Out who has gone is no error. Whatever is
// lost, because the kernel's buffer or our own queue was full, has a line that
// says how much, in its place. With the end of ctx Run takes at most two
// seconds to print what has been read; the error says how much it could not.
func Run(ctx context.Context, o Options) error {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Queue == 0 {
		o.Queue = DefaultQueue
	}
	lost := newDrops(o.NSFD) // before there is anything to lose
	n, err := rtnl.Subscribe(o.NSFD, o.groups(), o.Buffer)
	if err != nil {
		return err
	}
	defer n.Close()
	p := newPrinter(o)
	if err := p.names.read(ctx); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	r := reader{n: n, feed: newFeed(o.Queue, o.weigh), drops: lost}
	if o.Ready != nil {
		o.Ready()
	}
	read := make(chan error, 1)
	go func() {
		read <- r.run(reading)
		r.feed.end()
	}()
	printed := make(chan error, 1)
	go func() { printed <- p.run(ctx, r.feed) }()
	select {
	case err = <-printed:
	case <-ctx.Done():
		select {
		case err = <-printed:
		case <-time.After(lastWords):
			err = fmt.Errorf("monitor: %d notifications were read and not printed: the output is too slow", r.feed.left())
		}
	}
	stop()
	if failed := <-read; failed != nil {
		return failed
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// groups are what to listen to: names of links come from their notifications.
func (o *Options) groups() (list []uint32) {
	kinds := o.Kinds
	if len(kinds) == 0 {
		kinds = Kinds
	}
	seen := map[rtnl.Kind]bool{}
	for _, k := range append([]rtnl.Kind{rtnl.KindLink}, kinds...) {
		if !seen[k] {
			list = append(list, groups[k]...)
		}
		seen[k] = true
	}
	return list
}

// reader takes notifications off the socket as fast as they come.
type reader struct {
	n     *rtnl.Notifier
	feed  *feed
	drops *drops
	fresh bool // nothing was read since drops was looked at
}

// run reads until ctx ends, which is no error.
func (r *reader) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := r.n.Listen(ctx, r.keep)
		for errors.Is(err, rtnl.ErrOverrun) && ctx.Err() == nil {
			err = r.overrun()
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("monitor: %w", err)
		}
	}
	err := r.drain()
	if n := r.drops.since(); n > 0 {
		r.feed.lose(time.Now(), inKernel, n)
	}
	if err != nil && !errors.Is(err, rtnl.ErrOverrun) {
		return fmt.Errorf("monitor: %w", err)
	}
	return nil
}

// overrun puts a loss into its place. The error comes before what was queued
// when the buffer ran full, and from then on the kernel drops everything until
// the buffer is empty (NETLINK_S_CONGESTED): there is the place of the loss,
// and only there its size is known.
func (r *reader) overrun() error {
	// What began to be lost just before we last looked is in that number.
	counted := r.fresh
	err := r.drain()
	n := r.drops.since()
	r.fresh = true
	if n > 0 || !counted {
		r.feed.lose(time.Now(), inKernel, n)
	}
	return err
}

// keep puts a copy of datagrams into the feed, and wants more.
func (r *reader) keep(datagrams [][]byte) bool {
	size := 0
	for _, d := range datagrams {
		size += len(d) + unix.NLMSG_ALIGNTO
	}
	b := make([]byte, 0, size)
	for _, d := range datagrams {
		b = join(b, d)
	}
	r.put(b)
	return true
}

func (r *reader) put(batch []byte) {
	if len(batch) > 0 {
		r.fresh = false
		r.feed.put(time.Now(), batch)
	}
}

// chunk is how much drain puts into the feed at once, octets.
const chunk = 32 << 10

// drain reads what is queued, without waiting.
func (r *reader) drain() error {
	var b []byte
	err := r.n.Drain(func(datagram []byte) {
		if len(b)+len(datagram) > chunk {
			r.put(b)
			b = nil
		}
		if b == nil {
			b = make([]byte, 0, max(chunk, len(datagram))+unix.NLMSG_ALIGNTO)
		}
		b = join(b, datagram)
	})
	r.put(b)
	return err
}

// join appends a datagram so that NextMessage walks over the joint.
func join(b, datagram []byte) []byte {
	b = append(b, datagram...)
	for len(b)%unix.NLMSG_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}
