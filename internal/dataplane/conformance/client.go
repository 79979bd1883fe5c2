package conformance

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// patience is how long an answer may take: a test kernel in an emulator is
// slow. What must not come is waited for much shorter.
const (
	patience = 60 * time.Second
	quiet    = 200 * time.Millisecond
)

// client is a caller of a dataplane that checks what every caller may rely on.
type client struct {
	*testing.T
	w     *World
	dp    dataplane.Dataplane
	caps  dataplane.Caps
	epoch uint32
	batch uint64

	mu     sync.Mutex
	events []dataplane.Event // delivered and not yet looked at
	more   chan struct{}
	closed bool
	late   int // delivered after Close
}

func newClient(t *testing.T, w *World) *client {
	c := &client{T: t, w: w, more: make(chan struct{}, 1)}
	c.dp = w.New(c.deliver)
	t.Cleanup(c.close)
	return c
}

func (c *client) close() {
	c.mu.Lock()
	was := c.closed
	c.mu.Unlock()
	if was {
		return
	}
	c.dp.Close()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

func (c *client) deliver(e dataplane.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.late++
		return
	}
	c.events = append(c.events, e)
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// take is the next event; nil when there is none within d.
func (c *client) take(d time.Duration) dataplane.Event {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.mu.Lock()
		if len(c.events) > 0 {
			e := c.events[0]
			c.events = c.events[1:]
			c.mu.Unlock()
			return e
		}
		c.mu.Unlock()
		select {
		case <-c.more:
		case <-timer.C:
			return nil
		}
	}
}

// until takes events until f says that it was the one, and returns those before
// it. A Down that f does not want fails the test.
func (c *client) until(what string, f func(dataplane.Event) bool) (before []dataplane.Event) {
	c.Helper()
	end := time.Now().Add(patience)
	for {
		e := c.take(time.Until(end))
		if e == nil {
			c.Fatalf("no %s within %v; there were %+v", what, patience, before)
		}
		if n := epochOf(e); n != c.epoch {
			c.Fatalf("waiting for %s: %+v is of epoch %d, not %d", what, e, n, c.epoch)
		}
		if f(e) {
			return before
		}
		if d, ok := e.(dataplane.Down); ok {
			c.Fatalf("waiting for %s: the connection went down: %v", what, d.Err)
		}
		before = append(before, e)
	}
}

func epochOf(e dataplane.Event) uint32 {
	switch e := e.(type) {
	case dataplane.Up:
		return e.Epoch
	case dataplane.Down:
		return e.Epoch
	case dataplane.Dumped:
		return e.Epoch
	case dataplane.DumpDone:
		return e.Epoch
	case dataplane.Changed:
		return e.Epoch
	case dataplane.Gone:
		return e.Epoch
	case dataplane.AddrChanged:
		return e.Epoch
	case dataplane.Disturbed:
		return e.Epoch
	case dataplane.Done:
		return e.Epoch
	}
	return 0
}

// connect connects under the next epoch.
func (c *client) connect() *client {
	c.Helper()
	c.epoch++
	c.dp.Connect(c.epoch)
	end := time.Now().Add(patience)
	for {
		e := c.take(time.Until(end))
		if e == nil {
			c.Fatalf("Connect was not answered within %v", patience)
		}
		if epochOf(e) != c.epoch {
			continue // of the connection before: it ends here
		}
		switch e := e.(type) {
		case dataplane.Up:
			c.caps = e.Caps
			return c
		case dataplane.Down:
			c.Fatalf("Connect was answered by Down: %v", e.Err)
		default:
			c.Fatalf("%+v came before Up", e)
		}
	}
}

// reconnect connects until it succeeds: after a restart the dataplane may not
// be there yet.
func (c *client) reconnect() {
	c.Helper()
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c.epoch++
		c.dp.Connect(c.epoch)
		for {
			e := c.take(time.Until(end))
			if e == nil {
				c.Fatalf("Connect was not answered within %v", patience)
			}
			if epochOf(e) != c.epoch {
				continue
			}
			if up, ok := e.(dataplane.Up); ok {
				c.caps = up.Caps
				return
			}
			if down, ok := e.(dataplane.Down); ok {
				last = down.Err
				break
			}
		}
	}
	c.Fatalf("no connection within %v: %v", patience, last)
}

// down waits for the end of the connection.
func (c *client) down() error {
	c.Helper()
	var err error
	c.until("Down", func(e dataplane.Event) bool {
		d, ok := e.(dataplane.Down)
		err = d.Err
		return ok
	})
	if err == nil {
		c.Error("Down says no reason")
	}
	return err
}

// start queues a batch.
func (c *client) start(ops ...dataplane.Op) uint64 {
	c.batch++
	c.dp.Write(c.epoch, dataplane.Batch{ID: c.batch, Ops: ops})
	return c.batch
}

// finish waits for the answer to a batch of n operations.
func (c *client) finish(id uint64, n int) (done dataplane.Done, before []dataplane.Event) {
	c.Helper()
	before = c.until("Done", func(e dataplane.Event) bool {
		d, ok := e.(dataplane.Done)
		if ok {
			done = d
		}
		return ok
	})
	if done.ID != id {
		c.Fatalf("Done of batch %d came before that of %d", done.ID, id)
	}
	if len(done.Ops) != n {
		c.Fatalf("Done gives back %d operations of %d", len(done.Ops), n)
	}
	for i, f := range done.Failed {
		if f.Op < 0 || f.Op >= n || i > 0 && f.Op <= done.Failed[i-1].Op || f.Err == nil {
			c.Fatalf("Failed is not in order, or out of range, or without a reason: %+v", done.Failed)
		}
		c.Logf("%v failed: %v", done.Ops[f.Op].Kind, f.Err)
	}
	return done, before
}

// try does operations and gives what became of them.
func (c *client) try(ops ...dataplane.Op) dataplane.Done {
	c.Helper()
	n := len(ops)
	done, _ := c.finish(c.start(ops...), n)
	return done
}

// write does operations, all of which must succeed.
func (c *client) write(ops ...dataplane.Op) dataplane.Done {
	c.Helper()
	done := c.try(ops...)
	for _, f := range done.Failed {
		c.Errorf("operation %d (%v): %v", f.Op, done.Ops[f.Op].Kind, f.Err)
	}
	if len(done.Failed) > 0 {
		c.FailNow()
	}
	return done
}

// fails does one operation, which must fail, with an error that is want (nil:
// any).
func (c *client) fails(want error, op dataplane.Op) {
	c.Helper()
	done := c.try(op)
	switch {
	case len(done.Failed) != 1:
		c.Errorf("%v: no error, want %v", op.Kind, want)
	case want != nil && !errors.Is(done.Failed[0].Err, want):
		c.Errorf("%v: error %q is not %q", op.Kind, done.Failed[0].Err, want)
	}
}

// contents is what the dump of one kind showed.
type contents struct {
	ifs    []dataplane.Interface
	pairs  []dataplane.Pair
	tables []dataplane.Table
	addrs  []dataplane.Addr
	neighs []dataplane.Neigh
	locals []netip.Addr
	routes []dataplane.Route
}

// dump reads a kind; it must be complete.
func (c *client) dump(k dataplane.Kind) (all contents) {
	c.Helper()
	c.dp.Dump(c.epoch, k)
	c.until("DumpDone", func(e dataplane.Event) bool {
		switch e := e.(type) {
		case dataplane.Dumped:
			if e.Kind != k {
				c.Fatalf("a dump of %v shows %v", k, e.Kind)
			}
			all.add(e)
		case dataplane.DumpDone:
			if e.Kind != k || e.Err != nil {
				c.Fatalf("dump of %v ended: %v, %v", k, e.Kind, e.Err)
			}
			return true
		}
		return false
	})
	return all
}

func (all *contents) add(e dataplane.Dumped) {
	all.ifs = append(all.ifs, e.Interfaces...)
	all.pairs = append(all.pairs, e.Pairs...)
	all.tables = append(all.tables, e.Tables...)
	all.addrs = append(all.addrs, e.Addrs...)
	all.neighs = append(all.neighs, e.Neighs...)
	all.locals = append(all.locals, e.Locals...)
	all.routes = append(all.routes, e.Routes...)
}

// iface finds an interface by name in a new dump.
func (c *client) iface(name string) dataplane.Interface {
	c.Helper()
	ifs := c.dump(dataplane.KindInterface).ifs
	i := slices.IndexFunc(ifs, func(x dataplane.Interface) bool { return x.Name == name })
	if i < 0 {
		c.Fatalf("no interface %s among %+v", name, ifs)
	}
	return ifs[i]
}

// index finds one by index.
func (c *client) index(index uint32) (dataplane.Interface, bool) {
	c.Helper()
	ifs := c.dump(dataplane.KindInterface).ifs
	i := slices.IndexFunc(ifs, func(x dataplane.Interface) bool { return x.Index == index })
	if i < 0 {
		return dataplane.Interface{}, false
	}
	return ifs[i], true
}

// phy makes an interface and tells its index. With up it is up.
func (c *client) phy(name string, up bool) uint32 {
	c.Helper()
	c.w.AddPhy(name)
	var i uint32
	c.eventually("interface "+name, func() bool {
		ifs := c.dump(dataplane.KindInterface).ifs
		at := slices.IndexFunc(ifs, func(x dataplane.Interface) bool { return x.Name == name })
		if at >= 0 {
			i = ifs[at].Index
		}
		return at >= 0
	})
	if up {
		c.write(dataplane.Op{Kind: dataplane.SetUp, Index: i, On: true})
	}
	return i
}

// eventually calls f until it is true.
func (c *client) eventually(what string, f func() bool) {
	c.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// outside does something as somebody else, or skips the rest of the case.
func (c *client) outside(op dataplane.Op) {
	c.Helper()
	if c.w.Outside == nil {
		c.Skip("this world has no hands from outside")
	}
	if err := c.w.Outside(&op); err != nil {
		c.Skipf("%v from outside: %v", op.Kind, err)
	}
}

// unheard skips the rest of a case when the dataplane does not tell of such
// changes.
func (c *client) unheard(k dataplane.OpKind) {
	c.Helper()
	if why := c.w.Silent[k]; why != "" {
		c.Skip(why)
	}
}

func mac(last byte) rtnl.HWAddr { return rtnl.MAC([6]byte{2, 0xc0, 0, 0, 0, last}) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
