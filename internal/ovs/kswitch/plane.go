package kswitch

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"netbraid/internal/ovs"
	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// plane runs one datapath: it answers its upcalls and keeps its flows.
type plane struct {
	log *slog.Logger
	fam families
	dp  uint32
	// The ports are spread over several sockets, so that a flood from one of them
	// costs only a few others their first frames.
	upcalls []*socket
	next    int         // the socket of the next port
	reader  *ovs.Client // for dumps of flows
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex // of what follows
	bridge  *l2.Bridge
	tunnels *tunnels
	w       *writer
	foreign map[l2.Key]struct{} // flows that others have made
	adopted bool                // what a predecessor left has been read once
	lost    uint64              // as the kernel counts since the datapath was made
	lostOld uint64              // of these, before we listened
	refused uint64              // requests, as far as it was logged
	counts  counts
	bursts  [numBursts]burst
}

// counts are what a plane has seen.
type counts struct {
	upcalls, unusable, overruns uint64
	lastPoll                    time.Duration
}

// upcallSockets is over how many sockets the ports of a bridge are spread.
const upcallSockets = 8

// newPlane opens the sockets of a datapath. Its misses come when the ports are
// told a number of socketNumber.
func newPlane(ctx context.Context, nsfd int, dp uint32, o l2.Options, log *slog.Logger) (p *plane, err error) {
	p = &plane{log: log, dp: dp, bridge: l2.New(o), tunnels: newTunnels(), wake: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	for range upcallSockets {
		s, err := openSocket(nsfd, upcallBuffer)
		if err != nil {
			return p, err
		}
		p.upcalls = append(p.upcalls, s)
	}
	if p.reader, err = ovs.Open(p.ctx, nsfd); err != nil {
		return p, err
	}
	p.fam = families{flow: p.reader.FlowFamily(), packet: p.reader.PacketFamily()}
	if p.w, err = newWriter(nsfd, p.fam, dp); err == nil {
		p.w.tunnels = p.tunnels
	}
	return p, err
}

// socketNumber is the netlink port that the misses of one more port are to come
// to.
func (p *plane) socketNumber() uint32 {
	p.next++
	return p.upcalls[p.next%len(p.upcalls)].port
}

// isOurs tells whether misses come to us that go to these netlink ports.
func (p *plane) isOurs(pids []uint32) bool {
	return len(pids) == 1 && slices.ContainsFunc(p.upcalls, func(s *socket) bool { return s.port == pids[0] })
}

// start begins to answer, and takes over the flows that are there, before any of
// the ports that they are about goes and its number is given to another.
func (p *plane) start() {
	p.done.Add(len(p.upcalls))
	for _, s := range p.upcalls {
		go p.answer(s)
	}
	more, err := p.poll(true)
	if err != nil && !p.stopped() {
		p.log.Warn("read flows", "err", err)
	}
	p.done.Add(1)
	go p.pollFlows(more || err != nil)
}

func (p *plane) stopped() bool { return p.ctx.Err() != nil }

// close ends the goroutines; the datapath stays as it is.
func (p *plane) close() {
	p.cancel()
	for _, s := range p.upcalls {
		s.close()
	}
	p.done.Wait()
	if p.reader != nil {
		p.reader.Close()
	}
	if p.w != nil {
		p.w.sock.close()
	}
}

// setPorts tells which ports take part, and has the flows agree before it
// returns.
func (p *plane) setPorts(ports []l2.Port, t *tunnels) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Flows of tunnels that go, or mean something else now, are deleted by what
	// they were.
	was := p.tunnels
	gone := slices.DeleteFunc(slices.Clone(ports), func(o l2.Port) bool { return !was.same(t, o.Number) })
	p.bridge.SetPorts(gone)
	p.tell()
	p.tunnels, p.w.tunnels = t, t
	p.bridge.SetPorts(ports)
	p.tell()
}

func (p *plane) setOptions(o l2.Options) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bridge.SetOptions(o)
	p.tell()
}

// tell hands the changes of flows to the datapath; p.mu is held.
func (p *plane) tell() {
	changes := p.bridge.Changes()
	for i := range changes {
		p.w.change(&changes[i])
	}
	p.flush()
}

func (p *plane) flush() {
	p.w.flush()
	if n := p.w.refused - p.refused; n > 0 {
		p.refused = p.w.refused
		p.note(burstRefused, n)
	}
}

// answer takes upcalls until the socket is closed. Those of the sockets take
// turns: a batch is bounded, and the lock goes to who waits for the longest.
func (p *plane) answer(s *socket) {
	defer p.done.Done()
	slab := make([]byte, slabSize)
	var batch [][]byte
	for {
		batch = batch[:0]
		overruns, err := s.receive(slab, maxUpcalls, true, func(b []byte) { batch = append(batch, b) })
		p.mu.Lock()
		if overruns > 0 {
			p.counts.overruns += uint64(overruns)
			p.wakeUp() // the kernel knows how many
		}
		if len(batch) > 0 {
			p.frames(batch)
		}
		p.mu.Unlock()
		if p.stopped() {
			return
		}
		if err != nil {
			p.log.Error("read upcalls", "err", err)
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
}

// frames answers the upcalls of a batch; p.mu is held.
func (p *plane) frames(batch [][]byte) {
	now := ovs.Monotonic()
	var u odp.Upcall
	for _, b := range batch {
		eachMessage(b, func(m message) bool {
			if m.typ == p.fam.packet {
				p.frame(now, &u, m.body)
			}
			return true
		})
	}
	p.flush()
}

func (p *plane) frame(now time.Duration, u *odp.Upcall, body []byte) {
	p.counts.upcalls++
	if err := u.Parse(body); err != nil || u.Cmd != odp.CmdMiss || u.Datapath != p.dp || u.Len != 0 {
		p.counts.unusable++
		p.note(burstUnusable, 1)
		return
	}
	k, ok := p.tunnels.toKey(&u.Key)
	if !ok {
		p.counts.unusable++
		p.note(burstUnusable, 1)
		return
	}
	v := p.bridge.Packet(now, k)
	// What has become wrong goes first, then the frame, then its flow: frames
	// that come after it do not overtake it.
	changes := p.bridge.Changes()
	for i := range changes {
		p.w.change(&changes[i])
	}
	for _, actions := range v.Out {
		p.w.execute(u, actions)
	}
	if v.Install {
		p.w.change(&l2.Change{Key: k, Actions: v.Actions()})
	}
	if v.Held {
		p.note(burstHeld, 1, "station", k.Src, "port", k.Port)
	}
	if v.Full {
		p.note(burstFull, 1)
	}
}

func (p *plane) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// The things that may happen too often to be logged one by one.
const (
	burstLost = iota
	burstRefused
	burstUnusable
	burstHeld
	burstFull
	burstForeign
	numBursts
)

var burstTexts = [numBursts]string{
	burstLost:     "frames lost: they came faster than they could be answered",
	burstRefused:  "the datapath refuses requests",
	burstUnusable: "upcalls that a switch cannot use (no Ethernet frame, or cut)",
	burstHeld:     "an address moves between ports too often and is held where it is: is there a loop?",
	burstFull:     "no room for more flows: frames are forwarded one by one",
	burstForeign:  "flows of others in this datapath: they are left alone",
}

// burst counts something that is logged at once when it begins, and then every
// burstEvery with a count.
type burst struct {
	next    time.Duration
	pending uint64
}

const burstEvery = 10 * time.Second

// note says that something has happened n times; p.mu is held.
func (p *plane) note(what int, n uint64, attrs ...any) {
	b := &p.bursts[what]
	b.pending += n
	if now := ovs.Monotonic(); now >= b.next {
		p.report(what, now, attrs...)
	}
}

func (p *plane) report(what int, now time.Duration, attrs ...any) {
	b := &p.bursts[what]
	attrs = append(attrs, "count", b.pending)
	if what == burstRefused {
		attrs = append(attrs, "last", fmt.Sprint(p.w.lastRefusal))
	}
	p.log.Warn(burstTexts[what], attrs...)
	b.pending, b.next = 0, now+burstEvery
}

// reportAll logs what has gathered; p.mu is held.
func (p *plane) reportAll(now time.Duration) {
	for i := range p.bursts {
		if p.bursts[i].pending > 0 && now >= p.bursts[i].next {
			p.report(i, now)
		}
	}
}
