package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"time"

	"netbraid/rtnl"
)

// modelRole is the mirror: an engine and its driver.
type modelRole struct {
	d    *driver
	stop func() error // ends the listening that start began

	delay time.Duration // runDelay when it began
	cpu   int64         // cpuTime then
}

func (m *modelRole) do(verb string, args []string) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	switch verb {
	case "learn": // learn RCVBUF: from nothing
		return m.learn(ctx, args[0])
	case "resync": // read everything again
		return m.resync(ctx)
	case "rest": // hear nothing any more; resync ends it
		m.d.rest()
		return reply{}, nil
	case "drain": // take the backlog
		return m.drain()
	case "recover": // take the backlog up to the loss, then recover
		return m.recover(ctx)
	case "start": // listen until stop
		m.start()
		return reply{}, nil
	case "stop":
		return m.listened()
	case "check": // compare with a fresh dump
		return m.check(ctx)
	case "deaf": // a fault: from now on, notifications do nothing
		m.d.deaf = true
		return reply{}, nil
	case "pauses": // resync under forced garbage collections
		return m.pauses(ctx)
	case "memory": // what the model occupies; it is gone after it
		return m.memory()
	}
	return reply{}, errors.New("no such command")
}

func (m *modelRole) learn(ctx context.Context, rcvbuf string) (reply, error) {
	size, err := strconv.Atoi(rcvbuf)
	if err != nil {
		return reply{}, err
	}
	if m.d != nil {
		m.d.close()
		m.d = nil
	}
	quiesce()
	d, err := newDriver(size)
	if err != nil {
		return reply{}, err
	}
	m.d = d
	r, err := profiled(func() error { return d.learn(ctx) })
	r.N = digestOf(d.e).Routes
	return r, err
}

func (m *modelRole) resync(ctx context.Context) (reply, error) {
	quiesce()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	changed := m.d.sink.routes
	r, err := profiled(func() error { return m.d.resync(ctx) })
	runtime.ReadMemStats(&after)
	s := m.d.sweeps[rtnl.KindRoute]
	r.N = m.d.sink.routes - changed
	r.Values = map[string]float64{
		"mallocs":     float64(after.Mallocs - before.Mallocs),
		"sweep ms":    s.total.Seconds() * 1e3,
		"slice ms":    s.slice.Seconds() * 1e3,
		"live routes": float64(digestOf(m.d.e).Routes),
	}
	return r, err
}

func (m *modelRole) drain() (reply, error) {
	quiesce()
	heard := m.d.heard
	r, err := profiled(m.d.drain)
	r.N = m.d.heard - heard
	return r, err
}

// recover measures from the moment in which the loss is known.
func (m *modelRole) recover(ctx context.Context) (reply, error) {
	quiesce()
	if err := m.d.drain(); !errors.Is(err, errLost) {
		return reply{}, fmt.Errorf("nothing was lost (%v): the measurement would prove nothing", err)
	}
	losses := m.d.losses
	r, err := profiled(func() error { return m.d.settle(ctx) })
	r.N = digestOf(m.d.e).Routes
	r.Values = map[string]float64{"more losses": float64(m.d.losses - losses)}
	return r, err
}

// start listens in the background.
func (m *modelRole) start() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var err error
	m.d.heard, m.d.losses, m.d.sink.routes = 0, 0, 0
	m.delay, m.cpu = runDelay(), cpuTime()
	wg.Go(func() { _, err = profiled(func() error { return m.d.listen(ctx) }) })
	m.stop = func() error {
		cancel()
		wg.Wait()
		return err
	}
}

func (m *modelRole) listened() (reply, error) {
	err := m.stop()
	r := reply{N: m.d.heard, Seen: m.d.sink.seen, Values: map[string]float64{
		"losses": float64(m.d.losses), "route changes": float64(m.d.sink.routes),
		"cpu ms":                    float64(cpuTime()-m.cpu) / 1e6,
		"waited for a processor ms": (runDelay() - m.delay).Seconds() * 1e3}}
	m.d.sink.seen = map[string]int64{}
	return r, err
}

// check compares the model with one that has just read everything.
func (m *modelRole) check(ctx context.Context) (reply, error) {
	if err := m.d.drain(); err != nil {
		return reply{}, err
	}
	fresh, err := newDriver(bigBuffer)
	if err != nil {
		return reply{}, err
	}
	defer fresh.close()
	if err := fresh.learn(ctx); err != nil {
		return reply{}, err
	}
	have, want := digestOf(m.d.e), digestOf(fresh.e)
	if have != want {
		return reply{}, fmt.Errorf("the mirror differs from the kernel: it has %+v, the kernel %+v", have, want)
	}
	return reply{N: want.Routes}, nil
}

// pauses reads everything again while the collector runs all the time.
func (m *modelRole) pauses(ctx context.Context) (reply, error) {
	before, counts := gcPauses()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			runtime.GC()
			time.Sleep(10 * time.Millisecond)
		}
	})
	r, err := profiled(func() error { return m.d.resync(ctx) })
	cancel()
	wg.Wait()
	after, longest := gcPauses()
	r.N = int64(after.cycles - before.cycles)
	r.Values = map[string]float64{"pause ms": after.longestSince(counts, longest) * 1e3}
	return r, err
}

// gcState is the runtime's histogram of pauses.
type gcState struct {
	cycles  uint64
	buckets []float64
}

func gcPauses() (gcState, []uint64) {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	h := s[1].Value.Float64Histogram()
	return gcState{s[0].Value.Uint64(), h.Buckets}, append([]uint64(nil), h.Counts...)
}

// longestSince gives the upper bound of the longest pause in s.
func (g gcState) longestSince(before, after []uint64) float64 {
	for i := len(after) - 1; i >= 0; i-- {
		if after[i] > before[i] {
			if up := g.buckets[i+1]; !math.IsInf(up, 1) {
				return up
			}
			return g.buckets[i]
		}
	}
	return 0
}

func (m *modelRole) memory() (reply, error) {
	m.d.rest() // the sockets' buffers are not the model's
	routes := digestOf(m.d.e).Routes
	with := heap()
	runtime.KeepAlive(m.d)
	m.d.close()
	m.d = nil
	without := heap()
	return reply{N: routes, Values: map[string]float64{"bytes": float64(with) - float64(without)}}, nil
}

// heap is what is live on the heap.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
