package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// Options of a Kernel.
type Options struct {
	NS     model.NS
	NSFD   int // file descriptor of the namespace; < 0: that of the process
	RcvBuf int // octets of the notification socket; 0: 128 MiB
	SndBuf int // octets of the request socket; 0: the system's default
	// Deliver takes events in order. It blocks while the consumer is behind:
	// then the kernel's buffer fills, and a loss is reported as what it is.
	Deliver func(core.Event)
	Log     *slog.Logger
}

// defaultRcvBuf is linux-cp's rx_buffer_size.
const defaultRcvBuf = 128 << 20

// groups are what the mirror wants to hear.
var groups = []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NEIGH, unix.RTNLGRP_NEXTHOP, unix.RTNLGRP_MPLS_ROUTE,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_MPLS_NETCONF}

// Kernel reads and writes one namespace.
type Kernel struct {
	o    Options
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex      // guards what follows
	dumps  context.Context // of the dumps for the present socket
	ended  context.CancelFunc
	notify *rtnl.Notifier
	epoch  uint32

	jobsMu sync.Mutex
	jobs   []job
	over   bool // no job is done any more
	wake   chan struct{}
	free   chan []byte // buffers for what is delivered
}

// job is work for the worker.
type job struct {
	do      func(*rtnl.Conn)
	dropped func() // called in place of do when the Kernel is closed before; may be nil
}

// Open starts the writer. The notification socket is opened by Subscribe.
func Open(o Options) (*Kernel, error) {
	if o.RcvBuf == 0 {
		o.RcvBuf = defaultRcvBuf
	}
	conn, err := rtnl.DialNS(o.NSFD)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink socket: %w", err)
	}
	if o.SndBuf > 0 {
		conn.SetSendBuffer(o.SndBuf)
	}
	k := &Kernel{o: o, wake: make(chan struct{}, 1), free: make(chan []byte, 16)}
	k.ctx, k.stop = context.WithCancel(context.Background())
	k.dumps, k.ended = context.WithCancel(k.ctx)
	k.wg.Add(1)
	go k.worker(conn)
	return k, nil
}

// Close ends all readers and the writer. State in the kernel stays.
func (k *Kernel) Close() {
	k.stop()
	k.mu.Lock()
	n := k.notify
	k.mu.Unlock()
	if n != nil {
		n.Close() // waits for what is being delivered, and so for who asks for Buffer
	}
	k.wg.Wait()
}

// worker does the jobs in order, on a thread that is in the namespace, so
// that /proc/sys is the namespace's.
func (k *Kernel) worker(conn *rtnl.Conn) {
	defer k.wg.Done()
	defer conn.Close()
	defer k.drop()
	err := rtnl.WithNS(k.o.NSFD, func() error {
		for {
			select {
			case <-k.ctx.Done():
				return nil
			case <-k.wake:
			}
			for k.ctx.Err() == nil {
				k.jobsMu.Lock()
				if len(k.jobs) == 0 {
					k.jobsMu.Unlock()
					break
				}
				j := k.jobs[0]
				k.jobs = k.jobs[1:]
				k.jobsMu.Unlock()
				j.do(conn)
			}
		}
	})
	if err != nil {
		k.o.Log.Error("kernel worker has ended", "error", err)
	}
}

// drop ends the queue of jobs.
func (k *Kernel) drop() {
	k.jobsMu.Lock()
	left := k.jobs
	k.jobs, k.over = nil, true
	k.jobsMu.Unlock()
	for _, j := range left {
		if j.dropped != nil {
			j.dropped()
		}
	}
}

// do queues a job that may be dropped.
func (k *Kernel) do(f func(*rtnl.Conn)) { k.queue(job{do: f}) }

// queue queues a job. The queue is as long as what the ledgers let be in flight.
func (k *Kernel) queue(j job) {
	k.jobsMu.Lock()
	over := k.over
	if !over {
		k.jobs = append(k.jobs, j)
	}
	k.jobsMu.Unlock()
	if over {
		if j.dropped != nil {
			j.dropped()
		}
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// SetBuffer asks for a receive buffer of n octets from the next notification
// socket on.
func (k *Kernel) SetBuffer(n int) {
	k.mu.Lock()
	k.o.RcvBuf = n
	k.mu.Unlock()
}

// SetSendBuffer gives the request socket a send buffer of n octets.
func (k *Kernel) SetSendBuffer(n int) {
	k.do(func(conn *rtnl.Conn) { conn.SetSendBuffer(n) })
}

func (k *Kernel) receiveBuffer() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.o.RcvBuf
}

// Buffer is the receive buffer of the notification socket in octets as the
// kernel counts them, 0 when there is none.
func (k *Kernel) Buffer() int {
	k.mu.Lock()
	n := k.notify
	k.mu.Unlock()
	if n == nil {
		return 0
	}
	size, err := n.Buffer()
	if err != nil {
		return 0
	}
	return size
}

// Subscribe opens a new notification socket and only then closes the old one,
// unread.
func (k *Kernel) Subscribe(epoch uint32) {
	k.do(func(*rtnl.Conn) {
		n, err := rtnl.Subscribe(k.o.NSFD, groups, k.receiveBuffer())
		if err != nil {
			k.o.Deliver(core.Lost{NS: k.o.NS, Epoch: epoch, Err: fmt.Errorf("subscribe to netlink notifications: %w", err)})
			return
		}
		k.mu.Lock()
		old := k.notify
		k.notify, k.epoch = n, epoch
		k.ended() // dumps for the socket before are of no use any more
		k.dumps, k.ended = context.WithCancel(k.ctx)
		closing := k.ctx.Err() != nil
		k.mu.Unlock()
		if old != nil {
			old.Close()
		}
		if closing {
			n.Close()
			return
		}
		k.o.Deliver(core.Subscribed{NS: k.o.NS, Epoch: epoch})
		k.wg.Add(1)
		go k.listen(n, epoch)
	})
}

// A reader that keeps up with a storm of notifications is woken for every few
// of them, which costs more than to read and apply them. So it rests when it
// has emptied the queue, as long as there are stormCount in each stormTime: what
// happens apart from that is heard at once.
const (
	stormCount = 256
	stormTime  = 10 * time.Millisecond
	stormRest  = time.Millisecond
	stormFew   = 32 // in one read: the queue is empty
)

// storm tells a storm from what happens apart from one.
type storm struct {
	heard int // since
	since time.Time
	on    bool
}

// hears takes n notifications that have been read at once, and tells whether to
// rest.
func (s *storm) hears(n int, now time.Time) bool {
	if passed := now.Sub(s.since); passed >= stormTime {
		s.on = s.heard >= stormCount && passed < 2*stormTime
		s.heard, s.since = 0, now
	}
	s.heard += n
	return s.on && n < stormFew
}

func (k *Kernel) listen(n *rtnl.Notifier, epoch uint32) {
	defer k.wg.Done()
	var st storm
	for {
		rest := false
		err := n.Listen(k.ctx, func(datagrams [][]byte) bool {
			batch := k.spare()
			for _, b := range datagrams {
				batch = join(batch, b)
			}
			k.o.Deliver(core.Notified{NS: k.o.NS, Epoch: epoch, Data: batch})
			rest = st.hears(len(datagrams), time.Now())
			return !rest
		})
		switch {
		case err == nil:
			time.Sleep(stormRest)
		case errors.Is(err, os.ErrClosed) || k.ctx.Err() != nil:
			return
		default:
			k.o.Deliver(core.Lost{NS: k.o.NS, Epoch: epoch})
			return
		}
	}
}

// join appends a datagram to others so that rtnl.NextMessage walks them.
func join(batch, datagram []byte) []byte {
	batch = append(batch, datagram...)
	for len(batch)%4 != 0 {
		batch = append(batch, 0)
	}
	return batch
}

// spare gives a buffer that has been given back, or none.
func (k *Kernel) spare() []byte {
	select {
	case b := <-k.free:
		return b[:0]
	default:
		return nil
	}
}

// Recycle takes back the octets of an event that has been worked off. What was
// not delivered by this Kernel is as good.
func (k *Kernel) Recycle(b []byte) {
	select {
	case k.free <- b:
	default:
	}
}

// drain hands on every notification that is queued: those that the last
// request caused are among them.
func (k *Kernel) drain() {
	k.mu.Lock()
	n, epoch := k.notify, k.epoch
	k.mu.Unlock()
	if n == nil {
		return
	}
	var batch []byte
	flush := func() {
		if len(batch) > 0 {
			k.o.Deliver(core.Notified{NS: k.o.NS, Epoch: epoch, Data: batch})
			batch = nil
		}
	}
	err := n.Drain(func(b []byte) {
		if batch = join(batch, b); len(batch) > 32<<10 {
			flush()
		}
	})
	flush()
	if err != nil && !errors.Is(err, os.ErrClosed) {
		k.o.Deliver(core.Lost{NS: k.o.NS, Epoch: epoch})
	}
}

// Dump reads a table on a socket of its own: that of one family, or all of it.
func (k *Kernel) Dump(epoch uint32, kind rtnl.Kind, family uint8) {
	k.mu.Lock()
	ctx := k.dumps
	k.mu.Unlock()
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		done := core.DumpDone{NS: k.o.NS, Epoch: epoch, Kind: kind}
		conn, err := rtnl.DialNS(k.o.NSFD)
		if err == nil {
			defer conn.Close()
			var res rtnl.DumpResult
			req := rtnl.AppendDumpRequest(nil, kind, 0, rtnl.Filter{Family: family})
			res, err = conn.Dump(ctx, req, func(b []byte) error {
				k.o.Deliver(core.Dumped{NS: k.o.NS, Epoch: epoch, Data: append(k.spare(), b...)})
				return nil
			})
			done.Complete, done.Interrupted = (res.Complete || res.Unsupported) && err == nil, res.Interrupted
		}
		if err != nil && ctx.Err() == nil {
			k.o.Log.Warn("dump failed; it will be tried again", "kind", kind, "error", err)
		}
		// What was announced before the dump ended comes before its end: then
		// it is older than the dump, and known to be so.
		k.drain()
		k.o.Deliver(done)
	}()
}

// Write does operations in order and delivers the event that tells what became
// of each. It comes in any case, on another goroutine than the caller's.
func (k *Kernel) Write(ops []*plan.Op, tell func([]plan.Result) core.Event) {
	k.queue(job{dropped: func() { fail(k.o.Deliver, ops, tell) }, do: func(conn *rtnl.Conn) {
		var results []plan.Result
		var failed []*plan.Op
		for _, stage := range plan.Stages(ops) {
			r, f := k.stage(conn, stage, failed)
			results = append(results, r...)
			failed = append(failed, f...)
		}
		k.drain()
		k.o.Deliver(tell(results))
	}})
}

// fail tells that operations have not been done because their namespace is not
// open (any more).
func fail(deliver func(core.Event), ops []*plan.Op, tell func([]plan.Result) core.Event) {
	results := make([]plan.Result, len(ops))
	for i, op := range ops {
		results[i] = plan.Result{ID: op.ID, Err: errGone}
	}
	go deliver(tell(results))
}

func (k *Kernel) stage(conn *rtnl.Conn, ops []*plan.Op, failedBefore []*plan.Op) (results []plan.Result, failed []*plan.Op) {
	var batch []*plan.Op
	var msgs [][]byte
	note := func(op *plan.Op, err error, value string) {
		if err != nil && plan.Gone(op, err) {
			err = nil
		}
		if err != nil {
			failed = append(failed, op)
		}
		k.o.Log.Debug("wrote", "op", op.String(), "error", err)
		results = append(results, plan.Result{ID: op.ID, Err: err, Value: value})
	}
	flush := func() {
		if len(msgs) == 0 {
			return
		}
		for i, err := range conn.Execute(k.ctx, msgs) {
			note(batch[i], err, "")
		}
		batch, msgs = nil, nil
	}
	for _, op := range ops {
		switch {
		case plan.Blocked(op, failedBefore):
			note(op, plan.ErrPredecessor, "")
		case op.Kind == plan.SysctlSet:
			flush()
			v, err := writeSysctl(op.Sysctl.Path(op.Device), op.Value)
			note(op, err, v)
		default:
			batch = append(batch, op)
			msgs = append(msgs, op.Message())
		}
	}
	flush()
	return results, failed
}

// ReadSysctl reads settings and reports each.
func (k *Kernel) ReadSysctl(keys []model.SysctlKey, devices []string) {
	k.do(func(*rtnl.Conn) {
		for i, key := range keys {
			v, err := readSysctl(key.Path(devices[i]))
			k.o.Deliver(core.SysctlValue{Key: key, Value: v, Err: err})
		}
	})
}

func sysctlFile(path string) (string, error) {
	full := filepath.Join("/proc/sys/net", path)
	if !strings.HasPrefix(full, "/proc/sys/net/") {
		return "", fmt.Errorf("sysctl %q: not below /proc/sys/net", path)
	}
	return full, nil
}

func readSysctl(path string) (string, error) {
	full, err := sysctlFile(path)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(full)
	return strings.TrimSpace(string(b)), err
}

// writeSysctl writes a setting and reads it back: the kernel may have made
// another value of it.
func writeSysctl(path, value string) (string, error) {
	full, err := sysctlFile(path)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(full, os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(value)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", fmt.Errorf("write %s to %s: %w", value, full, err)
	}
	return readSysctl(path)
}
