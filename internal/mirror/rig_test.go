package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// rigGroups are all groups that any table is announced to.
var rigGroups = []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NEIGH, unix.RTNLGRP_NEXTHOP, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_MPLS_NETCONF}

// rig drives an engine on a real namespace from one goroutine. What may happen
// in any order happens in random order: reading the socket, handing on what was
// read, the datagrams of dumps that run at the same time, slices of work.
type rig struct {
	t      testing.TB
	ns     *nstest.NS
	e      *mirror.Engine
	rng    *rand.Rand
	rcvbuf int
	conn   *rtnl.Conn // for dumps of the test itself
	notify *rtnl.Notifier
	epoch  uint32
	inbox  []heard // taken from the socket, on its way to the engine
	dumps  []*dumpRun
	skew   time.Duration // time that was skipped
	heard  int           // notifications taken from sockets
	inject *fault
	recent []handed // since a test has cleared it
}

// heard is one thing that a notification socket said.
type heard struct {
	epoch uint32
	data  []byte
	lost  bool
}

// dumpRun is a dump that a goroutine of its own reads, a datagram at a time.
type dumpRun struct {
	req    mirror.Request
	data   chan []byte
	cancel context.CancelFunc
	res    rtnl.DumpResult // valid when data is closed
	err    error
	hurt   bool // a fault was injected
}

func newRig(t testing.TB, ns *nstest.NS, seed uint64, rcvbuf int) *rig {
	t.Helper()
	conn, err := rtnl.DialNS(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, ns: ns, rng: rand.New(rand.NewPCG(seed, 0x0f10)), rcvbuf: rcvbuf, conn: conn}
	p := mirror.DefaultParams()
	p.Seed = seed
	p.SyncBatchLimit = 1 << r.rng.IntN(10) // small slices, so that events come between them
	r.e = mirror.New(0, p, quiet{})
	t.Cleanup(r.close)
	r.e.Start(r.now())
	return r
}

func (r *rig) close() {
	for _, d := range r.dumps {
		d.cancel()
		for range d.data {
		}
	}
	r.dumps = nil
	if r.notify != nil {
		r.notify.Close()
	}
	r.conn.Close()
}

func (r *rig) now() time.Time { return time.Now().Add(r.skew) }

// requests does what the engine asks for.
func (r *rig) requests() {
	for _, q := range r.e.Requests() {
		if !q.Subscribe {
			r.dump(q)
			continue
		}
		n, err := rtnl.Subscribe(r.ns.FD(), rigGroups, r.rcvbuf)
		if err != nil {
			r.t.Fatalf("subscribe: %v", err)
		}
		if r.notify != nil {
			r.inject.keepStale(r)
			r.notify.Close()
		}
		r.notify, r.epoch = n, q.Epoch
		r.e.Subscribed(q.Epoch)
	}
}

// dump starts to read a table.
func (r *rig) dump(q mirror.Request) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &dumpRun{req: q, data: make(chan []byte), cancel: cancel}
	r.dumps = append(r.dumps, d)
	go func() {
		defer close(d.data)
		conn, err := rtnl.DialNS(r.ns.FD())
		if err != nil {
			d.err = err
			return
		}
		defer conn.Close()
		d.res, d.err = conn.Dump(ctx, rtnl.AppendDumpRequest(nil, q.Dump, 0, rtnl.Filter{Family: q.Family}), func(b []byte) error {
			select {
			case d.data <- append([]byte(nil), b...):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
}

// take reads all that is queued in the socket.
func (r *rig) take() {
	if r.notify == nil {
		return
	}
	err := r.notify.Drain(func(b []byte) {
		r.heard++
		r.inbox = append(r.inbox, heard{epoch: r.epoch, data: append([]byte(nil), b...)})
	})
	switch {
	case errors.Is(err, rtnl.ErrOverrun):
		r.inbox = append(r.inbox, heard{epoch: r.epoch, lost: true})
	case err != nil:
		r.t.Fatalf("read notifications: %v", err)
	}
}

// hand gives the engine the next n things that were heard.
func (r *rig) hand(n int) {
	for range min(n, len(r.inbox)) {
		h := r.inbox[0]
		r.inbox[0] = heard{}
		r.inbox = r.inbox[1:]
		switch {
		case h.lost && r.inject.mutes(r, h):
		case h.lost:
			r.note(handed{line: "lost"})
			r.e.Lost(r.now(), h.epoch)
		case !r.inject.drops(r, h):
			r.note(handed{data: h.data})
			r.e.Notified(r.now(), h.epoch, h.data)
		}
	}
}

// handed is what was handed on, to be told when a test fails.
type handed struct {
	line string
	data []byte
}

// note remembers what was handed on: the last of it.
func (r *rig) note(h handed) {
	const most = 400
	if len(r.recent) >= 2*most {
		r.recent = append(r.recent[:0], r.recent[most:]...)
	}
	r.recent = append(r.recent, h)
}

// history tells what was handed on last.
func (r *rig) history() string {
	var out strings.Builder
	for _, n := range r.recent {
		if h, body, _, err := rtnl.NextMessage(n.data); err == nil && n.data != nil {
			n.line = fmt.Sprintf("flags %#x %s", h.Flags, rtnl.FormatMessage(h, body, nil))
		}
		fmt.Fprintln(&out, n.line)
	}
	return out.String()
}

// advance takes the next datagram of a dump; false when it has none yet.
func (r *rig) advance(i int, wait time.Duration) bool {
	d := r.dumps[i]
	var b []byte
	var more bool
	select {
	case b, more = <-d.data:
	default:
		if wait == 0 {
			return false
		}
		select {
		case b, more = <-d.data:
		case <-time.After(wait):
			return false
		}
	}
	if more {
		if b = r.inject.spoils(r, d, b); len(b) > 0 {
			r.e.Dumped(d.req.Epoch, b)
		}
		return true
	}
	r.dumps = append(r.dumps[:i], r.dumps[i+1:]...)
	d.cancel()
	// What was announced before the end of a dump is handed on before it.
	r.take()
	r.hand(len(r.inbox))
	complete, interrupted := r.inject.verdict(d)
	r.note(handed{line: fmt.Sprintf("dump %s done: complete %v interrupted %v", d.req.Dump, complete, interrupted)})
	r.e.DumpDone(r.now(), d.req.Epoch, d.req.Dump, complete, interrupted)
	return true
}

// step does one thing, chosen at random, and tells whether there was one.
func (r *rig) step() bool {
	r.requests()
	if !r.e.Busy() && !r.e.Deadline().IsZero() && !r.now().Before(r.e.Deadline()) {
		r.e.Tick(r.now())
		return true
	}
	if len(r.inbox) == 0 || r.rng.IntN(3) == 0 {
		r.take()
	}
	switch choice := r.rng.IntN(5); {
	case choice == 2 && r.e.Busy():
		return r.busy()
	case choice == 0 && len(r.inbox) > 0:
		r.hand(1 + r.rng.IntN(64))
	case choice == 1 && len(r.inbox) > 0:
		r.hand(len(r.inbox))
	case len(r.dumps) > 0:
		return r.advance(r.rng.IntN(len(r.dumps)), 0) || r.busy()
	case len(r.inbox) > 0:
		r.hand(1 + r.rng.IntN(8))
	default:
		return r.busy()
	}
	return true
}

// busy lets the engine go on with work that it has left.
func (r *rig) busy() bool {
	if !r.e.Busy() {
		return false
	}
	if left := r.e.Deadline().Sub(r.now()); left > 0 {
		r.skew += left
	}
	r.e.Tick(r.now())
	return true
}

// run steps until until says so, or for d.
func (r *rig) run(d time.Duration, until func() bool) {
	end := time.Now().Add(d)
	for time.Now().Before(end) && !until() {
		if !r.step() {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// settle steps until the engine is live and idle: nothing is asked for, on its
// way, or left to do.
func (r *rig) settle() {
	r.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for {
		worked := r.step()
		switch {
		case worked:
		case len(r.dumps) > 0:
			r.advance(r.rng.IntN(len(r.dumps)), time.Millisecond)
		case !r.e.Deadline().IsZero():
			r.skew += max(r.e.Deadline().Sub(r.now()), 0)
		case r.idle():
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("not settled in 30 s: %s", r.state())
		}
	}
}

func (r *rig) idle() bool {
	if len(r.inbox) > 0 || len(r.dumps) > 0 || r.e.Busy() || !r.e.Deadline().IsZero() {
		return false
	}
	for _, k := range tableKinds {
		if !r.e.Live(k) {
			return false
		}
	}
	return true
}

func (r *rig) state() string {
	s := fmt.Sprintf("%d heard, %d dumps, deadline %v, stats %+v", len(r.inbox), len(r.dumps), r.e.Deadline(), r.e.Stats())
	for _, k := range tableKinds {
		s += fmt.Sprintf(" %s live=%v", k, r.e.Live(k))
	}
	return s
}

// difference settles and compares the engine with a fresh dump. The dump
// counts only if nothing was announced while it was made: then a difference is
// one that stays, and no second look is taken.
func (r *rig) difference() []string {
	r.t.Helper()
	have, want := r.both()
	have.forgetLate(want)
	return diff(have, want)
}

// lateDifference is difference with what link watch is slow to announce: it
// may take some seconds.
func (r *rig) lateDifference() []string {
	r.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		have, want := r.both()
		if d := diff(have, want); len(d) == 0 || time.Now().After(end) {
			return d
		}
	}
}

// both are the engine's tables and the kernel's at a moment of rest.
func (r *rig) both() (have, want *tables) {
	r.t.Helper()
	for range 200 {
		r.settle()
		before := r.heard
		want, ok := readTables(r.t, r.conn)
		r.take()
		if ok && r.heard == before && len(r.inbox) == 0 {
			return modelOf(r.e), want
		}
	}
	r.t.Fatalf("the kernel does not come to rest: %s", r.state())
	return nil, nil
}
