package netns

import (
	"context"
	"log/slog"
	"sync"

	"netbraid/internal/dataplane"
)

// Options of a Dataplane.
//
// What must be so, and who sees to it:
//   - The physical interfaces are in NetNS: the administrator moves them there
//     (ip link set DEV netns NAME).
//   - NetNS: forwarding on, redirects and source checks off, no answers to ARP or
//     to neighbour solicitations, no duplicate address detection, nothing in or
//     out that is not forwarded but ICMP errors and the search for neighbours:
//     Connect, before anything else.
//   - Companions: MAC and MTU of their phy, net.ipv6.conf.HOST.forwarding=1 (or
//     their neighbour advertisements lack the router flag), and a rule that
//     nothing received by them is forwarded: PairAdd, in their namespace.
//   - The namespace of the companions should have net.ipv4.ip_forward=0, unless
//     it forwards between other links. That is nobody's but the administrator's.
//
// IPv6 is forwarded over a phy that has a link-local address, which it has from
// its companion (AddrAdd): the kernel asks for neighbours from no other.
//
// Routes have protocol 110 and metric 110 there, and static neighbours protocol
// 110; the routes that addresses bring have metric 11000, so that a RouteSet of
// the same prefix counts. What others have put there is neither shown nor
// touched.
//
// Addresses and static neighbours that the kernel drops when a phy goes down are
// written again when it is up; routes that it drops are told as Disturbed when
// the phy is up again, and the companion has no carrier until they have been
// written (2 s at most).
type Options struct {
	// NetNS is the file of the forwarding namespace, /run/netns/NAME.
	NetNS string
	// Make creates the namespace when there is none (as ip netns add does).
	Make bool
	// Leaving: the namespace is only to be rid of what is ours. One that has
	// nothing of ours, because it has been made anew since, is left as it is.
	Leaving bool
	// RcvBuf is the receive buffer for notifications in octets; 0: 16 MiB.
	RcvBuf int
	// Deliver takes events in order. It blocks while the consumer is behind, and
	// must return after Close was called.
	Deliver func(dataplane.Event)
	Log     *slog.Logger
}

const defaultRcvBuf = 16 << 20

// Dataplane is a forwarding namespace. It implements dataplane.Dataplane.
type Dataplane struct {
	o    Options
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
	wake chan struct{}

	mu   sync.Mutex // guards jobs
	jobs []func()

	s *session // the worker's; nil while there is no connection
}

var _ dataplane.Dataplane = (*Dataplane)(nil)

// New has no connection yet.
func New(o Options) *Dataplane {
	if o.RcvBuf == 0 {
		o.RcvBuf = defaultRcvBuf
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Dataplane{o: o, wake: make(chan struct{}, 1)}
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.wg.Add(1)
	go d.work()
	return d
}

// work does the jobs in their order.
func (d *Dataplane) work() {
	defer d.wg.Done()
	for {
		select {
		case <-d.ctx.Done():
			d.end()
			return
		case <-d.wake:
		}
		for d.ctx.Err() == nil {
			d.mu.Lock()
			if len(d.jobs) == 0 {
				d.mu.Unlock()
				break
			}
			job := d.jobs[0]
			d.jobs = d.jobs[1:]
			d.mu.Unlock()
			job()
		}
	}
}

// do queues a job; there are as many as the caller lets be in flight.
func (d *Dataplane) do(job func()) {
	d.mu.Lock()
	d.jobs = append(d.jobs, job)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// end gives the connection up.
func (d *Dataplane) end() {
	if d.s != nil {
		d.s.close()
		d.s = nil
	}
}

// ended closes a session that has failed.
func (d *Dataplane) ended(s *session) {
	d.do(func() {
		if d.s == s {
			d.end()
		}
	})
}

// Connect opens the namespace, with everything that must be so in it.
func (d *Dataplane) Connect(epoch uint32) {
	d.do(func() {
		d.end()
		s, err := open(d.ctx, d.o, epoch, d.ended)
		if err != nil {
			d.deliver(dataplane.Down{Epoch: epoch, Err: err})
			return
		}
		d.s = s
		s.start()
	})
}

func (d *Dataplane) deliver(e dataplane.Event) {
	if d.ctx.Err() == nil {
		d.o.Deliver(e)
	}
}

// Dump reads a table of the kernel.
func (d *Dataplane) Dump(epoch uint32, k dataplane.Kind) {
	d.do(func() {
		if s := d.session(epoch); s != nil {
			s.dump(k)
		}
	})
}

// Write does operations.
func (d *Dataplane) Write(epoch uint32, b dataplane.Batch) {
	d.do(func() {
		if s := d.session(epoch); s != nil {
			s.write(b)
		}
	})
}

// session is the connection of an epoch; nil when it has ended, which its Down
// or the Up of the next has told.
func (d *Dataplane) session(epoch uint32) *session {
	if d.s == nil || d.s.epoch != epoch || d.s.isDown() {
		return nil
	}
	return d.s
}

// Leave takes away what does not belong to any pair: our tables of nf_tables, so
// that the namespace is one like any other again. The sysctls stay. Only Close may
// follow.
func (d *Dataplane) Leave() {
	done := make(chan struct{})
	d.do(func() {
		defer close(done)
		s := d.s
		d.end() // or the tables would be put back
		if s == nil {
			return
		}
		if err := leave(s.o.NetNS, s.inode); err != nil {
			d.o.Log.Warn("cannot take our rules out of a namespace that does not forward any more", "netns", s.o.NetNS, "error", err)
		}
	})
	select {
	case <-done:
	case <-d.ctx.Done():
	}
}

// Close ends everything. What was written stays.
func (d *Dataplane) Close() {
	d.stop()
	d.wg.Wait()
}
