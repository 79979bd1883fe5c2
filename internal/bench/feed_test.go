package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// feeder writes routes as fast as the kernel takes them: batches on a raw
// socket, of which only the last message is acknowledged.
type feeder struct {
	fd    int
	oif   uint32
	n     int // routes of the full table
	batch []byte
	count int
	last  int // where the last message of the batch begins
	seq   uint32
	buf   []byte
}

// feedBatch is how many messages one sendto takes: more gains nothing.
const feedBatch = 500

func newFeeder(oif uint32, n int) (*feeder, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	for _, opt := range []int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, opt, 1); err != nil {
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	return &feeder{fd: fd, oif: oif, n: n, buf: make([]byte, 64<<10)}, nil
}

// verb is what is done to a route.
type verb uint8

const (
	add    verb = iota // through a gateway of the first set
	move               // replace: through one of the second set
	back               // replace: through one of the first set
	remove             // delete
)

// route is the i-th: 16.0.0.0/24, 16.0.1.0/24, …, through one of 16 gateways of
// the set.
func (f *feeder) route(i int, set byte) rtnl.Route {
	at := uint32(16)<<24 + uint32(i)<<8
	dst := netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), 0})
	return rtnl.Route{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC,
		Scope: unix.RT_SCOPE_UNIVERSE, Type: unix.RTN_UNICAST, Dst: netip.PrefixFrom(dst, 24), Oif: f.oif,
		Gateway: netip.AddrFrom4([4]byte{10, 0, set, byte(2 + i%16)})}
}

// do puts a change into the batch, which goes when it is full.
func (f *feeder) do(v verb, i int) error {
	set, typ, flags := byte(0), uint16(unix.RTM_NEWROUTE), uint16(unix.NLM_F_REQUEST)
	switch v {
	case add:
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	case move:
		set, flags = 1, flags|unix.NLM_F_REPLACE
	case back:
		flags |= unix.NLM_F_REPLACE
	case remove:
		typ = unix.RTM_DELROUTE
	}
	r := f.route(i, set)
	f.last = len(f.batch)
	f.seq++
	f.batch = rtnl.AppendRoute(f.batch, typ, flags, f.seq, &r)
	if f.count++; f.count >= feedBatch {
		return f.flush()
	}
	return nil
}

// flush sends the batch and waits for the acknowledgement of its last message.
func (f *feeder) flush() error {
	if f.count == 0 {
		return nil
	}
	flags := f.batch[f.last+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	err := unix.Sendto(f.fd, f.batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	f.batch, f.count = f.batch[:0], 0
	if err != nil {
		return os.NewSyscallError("sendto", err)
	}
	for {
		n, _, err := unix.Recvfrom(f.fd, f.buf, 0)
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		for rest := f.buf[:n]; len(rest) > 0; {
			var h rtnl.Header
			var body []byte
			if h, body, rest, err = rtnl.NextMessage(rest); err != nil {
				return err
			}
			errno, text, err := rtnl.ParseError(body)
			if err != nil || errno != 0 {
				return errors.Join(err, fmt.Errorf("the kernel refused route change %d: %w (%s)", h.Seq, unix.Errno(errno), text))
			}
			if h.Seq == f.seq {
				return nil
			}
		}
	}
}

// scattered gives the numbers below n in an order without runs, as a feed of
// routes has none. 611953 is a prime that divides no size in use.
func scattered(k, n int) int { return k % n * 611953 % n }

// flapBlock is how many routes flap together.
const flapBlock = 1000

// flap is the k-th change of an endless feed. Blocks of routes are moved, moved
// back, deleted and added again; after flapRound changes all is as before. It
// leaves the routes alone that changes and some touch.
func (f *feeder) flap(k int) error {
	block := f.flapRound() / 4
	first := f.n / 10 * 3
	i := first + (k/(4*block)*block+k%block)%(f.n-first)
	return f.do([]verb{move, back, remove, add}[k/block%4], scattered(i, f.n))
}

func (f *feeder) flapRound() int { return 4 * min(flapBlock, f.n/2) }

// changes changes three tenths of the table: a third of them deleted, a third
// moved, and as many new ones added as were deleted; undo takes it all back.
func (f *feeder) changes(undo bool) (int, error) {
	third := f.n / 10
	verbs := []verb{remove, move, add}
	if undo {
		verbs = []verb{add, back, remove}
	}
	for k := range third {
		for j, v := range verbs {
			i := scattered(k+j*third, f.n)
			if j == 2 {
				i = f.n + k // beyond the table
			}
			if err := f.do(v, i); err != nil {
				return 0, err
			}
		}
	}
	return 3 * third, f.flush()
}

// some deletes three tenths of the table, or adds them again.
func (f *feeder) some(v verb) (int, error) {
	n := f.n / 10 * 3
	for k := range n {
		if err := f.do(v, scattered(k, f.n)); err != nil {
			return 0, err
		}
	}
	return n, f.flush()
}

// fill makes the table.
func (f *feeder) fill() (int, error) {
	for i := range f.n {
		if err := f.do(add, i); err != nil {
			return 0, err
		}
	}
	return f.n, f.flush()
}

// paced does one thing with every route, so many a second.
func (f *feeder) paced(v verb, rate int) (int, error) {
	begin := time.Now()
	for i := range f.n {
		if err := f.do(v, i); err != nil {
			return 0, err
		}
		if i%flapBlock == 0 {
			if ahead := time.Duration(float64(i)/float64(rate)*1e9) - time.Since(begin); ahead > 0 {
				time.Sleep(ahead)
			}
		}
	}
	return f.n, f.flush()
}

// run flaps routes at a rate per second until stop, and on to the end of the
// round.
func (f *feeder) run(rate int, stop *atomic.Bool) (done int, err error) {
	const slot = time.Millisecond
	for begin := time.Now(); !stop.Load() || done%f.flapRound() != 0; {
		round := f.flapRound()
		due := min(int(time.Since(begin).Seconds()*float64(rate)), done+feedBatch, (done/round+1)*round)
		for ; done < due; done++ {
			if err := f.flap(done); err != nil {
				return done, err
			}
		}
		if err := f.flush(); err != nil {
			return done, err
		}
		if ahead := time.Duration(float64(done)/float64(rate)*1e9) - time.Since(begin); ahead > 0 {
			time.Sleep(min(ahead, slot))
		}
	}
	return done, nil
}

// feedRole is the producer.
type feedRole struct {
	f    *feeder
	halt func() (reply, error)
}

func (p *feedRole) do(verb string, args []string) (reply, error) {
	number := func(i int) (n int) { n, _ = strconv.Atoi(args[i]); return n }
	count := func(fn func() (int, error)) (r reply, err error) {
		var n int
		r, err = measure(func() error { n, err = fn(); return err })
		r.N = int64(n)
		return r, err
	}
	switch verb {
	case "open": // open OIF ROUTES
		f, err := newFeeder(uint32(number(0)), number(1))
		p.f = f
		return reply{}, err
	case "fill":
		return count(p.f.fill)
	case "fillat": // fillat RATE: adds a second
		return count(func() (int, error) { return p.f.paced(add, number(0)) })
	case "dropat": // dropat RATE: removes the whole table
		return count(func() (int, error) { return p.f.paced(remove, number(0)) })
	case "change":
		return count(func() (int, error) { return p.f.changes(false) })
	case "undo":
		return count(func() (int, error) { return p.f.changes(true) })
	case "drop":
		return count(func() (int, error) { return p.f.some(remove) })
	case "restore":
		return count(func() (int, error) { return p.f.some(add) })
	case "flap": // flap N: rounded to whole rounds, as fast as possible
		return count(func() (int, error) {
			n := max(1, number(0)/p.f.flapRound()) * p.f.flapRound()
			for k := range n {
				if err := p.f.flap(k); err != nil {
					return k, err
				}
			}
			return n, p.f.flush()
		})
	case "start": // start RATE: flap until stop
		p.start(number(0), count)
		return reply{}, nil
	case "stop":
		return p.halt()
	}
	return reply{}, errors.New("no such command")
}

func (p *feedRole) start(rate int, count func(func() (int, error)) (reply, error)) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	var r reply
	var err error
	wg.Go(func() { r, err = count(func() (int, error) { return p.f.run(rate, &stop) }) })
	p.halt = func() (reply, error) {
		stop.Store(true)
		wg.Wait()
		return r, err
	}
}
