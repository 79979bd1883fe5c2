package rtnl

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mallocs is how many objects fn leaves on the heap. Little of it may be
// somebody else's: the runtime's and the tests' own goroutines.
func mallocs(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// bulk is the number of objects that a bulk path is tried on, few what it may
// allocate on the way, however many they are.
const bulk, few = 20000, 100

// TestBulkAllocations: a dump, Listen and Drain leave nothing behind for an
// object or for a datagram.
func TestBulkAllocations(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	listener := w.subscribe(64<<20, unix.RTNLGRP_IPV4_ROUTE)
	drained := w.subscribe(64<<20, unix.RTNLGRP_IPV4_ROUTE)
	w.do(manyRoutes(bulk, unix.RTM_NEWROUTE)...)
	var r Route
	seen := 0
	count := func(b []byte) {
		for len(b) > 0 {
			h, body, rest, err := NextMessage(b)
			if b = rest; err != nil {
				t.Fatal(err)
			}
			if h.Type == unix.RTM_NEWROUTE && DecodeRoute(body, &r) == nil && r.Protocol == 77 {
				seen++
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request := AppendDumpRequest(nil, KindRoute, 0, Filter{Family: unix.AF_INET})
	for _, way := range []struct {
		name string
		run  func() error
	}{
		{"Dump", func() error {
			_, err := w.conn.Dump(ctx, request, func(b []byte) error { count(b); return nil })
			return err
		}},
		{"Listen", func() error {
			return listener.Listen(ctx, func(batch [][]byte) bool {
				for _, b := range batch {
					count(b)
				}
				return seen < bulk
			})
		}},
		{"Drain", func() error { return drained.Drain(count) }},
	} {
		seen = 0
		var err error
		if n := mallocs(func() { err = way.run() }); err != nil || seen != bulk || n > few {
			t.Errorf("%s: %d allocations for %d of %d routes, %v", way.name, n, seen, bulk, err)
		}
	}
}

// TestListen: the end of ctx is seen while there is always more to hear, and
// what one Listen leaves the next one gets.
func TestListen(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	n := w.subscribe(16<<20, unix.RTNLGRP_IPV4_ROUTE)
	w.do(manyRoutes(1000, unix.RTM_NEWROUTE)...)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen, batches := 0, 0
	err := n.Listen(ctx, func(batch [][]byte) bool {
		for _, b := range batch {
			seen += routesIn(t, b)
		}
		if batches++; batches == 3 {
			cancel()
		}
		return true
	})
	if !errors.Is(err, context.Canceled) || seen != 3*notifyBatch {
		t.Fatalf("cancelled in the third batch: %d announcements, %v", seen, err)
	}
	before := seen
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.Listen(ctx, func(batch [][]byte) bool {
		for _, b := range batch {
			seen += routesIn(t, b)
		}
		return false
	}); err != nil || seen != before+notifyBatch {
		t.Errorf("one batch has %d announcements, %v", seen-before, err)
	}
	if err := n.Listen(ctx, func(batch [][]byte) bool {
		for _, b := range batch {
			seen += routesIn(t, b)
		}
		return seen < 1000
	}); err != nil || seen != 1000 {
		t.Errorf("%d announcements in all, %v", seen, err)
	}
}

// TestDrainEnds drains more slowly than a producer fills: Drain hands on all
// that was queued, and comes back while the producer goes on.
func TestDrainEnds(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	n := w.subscribe(256<<20, unix.RTNLGRP_IPV4_ROUTE)
	const queued = 2000
	w.do(manyRoutes(queued, unix.RTM_NEWROUTE)...)
	producer, err := DialNS(w.ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	var stop atomic.Bool
	var produced atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		more := Route{Family: unix.AF_INET, Type: unix.RTN_BLACKHOLE, Table: 254, Protocol: 78, Dst: pfx("172.16.0.0/12")}
		var msgs [][]byte
		for range 100 {
			msgs = append(msgs, AppendRoute(nil, unix.RTM_NEWROUTE, add, 0, &more), AppendRoute(nil, unix.RTM_DELROUTE, 0, 0, &more))
		}
		for !stop.Load() {
			for _, err := range producer.Execute(context.Background(), msgs) {
				if err != nil {
					t.Error(err)
					return
				}
			}
			produced.Add(int64(len(msgs)))
		}
	})
	for produced.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	// Another producer starts from here: what it has queued, and 2000 before.
	old, all := 0, 0
	limit := 4 * (queued + int(produced.Load()))
	defer time.AfterFunc(20*time.Second, func() { stop.Store(true) }).Stop()
	begin := time.Now()
	err = n.Drain(func(b []byte) {
		var r Route
		if _, body, _, err := NextMessage(b); err != nil || DecodeRoute(body, &r) != nil {
			t.Errorf("%x: %v", b, err)
		}
		if all++; r.Protocol == 77 {
			old++
		}
		for end := time.Now().Add(20 * time.Microsecond); time.Now().Before(end); {
			runtime.Gosched()
		}
	})
	went := produced.Load()
	stop.Store(true)
	wg.Wait()
	if err != nil || old != queued {
		t.Errorf("%d of the %d that were queued, %v", old, queued, err)
	}
	if all > limit || time.Since(begin) > 15*time.Second {
		t.Errorf("Drain handed on %d in %v, want at most %d", all, time.Since(begin), limit)
	}
	if int(went)+queued <= all {
		t.Skipf("the producer was slower than Drain: %d before and during it, %d handed on", int(went)+queued, all)
	}
}

// TestQueuedBound holds what the bound of Drain rests on: no message in a
// receive buffer occupies less than minTruesize of it.
func TestQueuedBound(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	n := w.subscribe(64<<20, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_NSID)
	bound := func() (v int) {
		if err := n.raw.Control(func(fd uintptr) { v = n.queued(fd) }); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if got := bound(); got != 0 {
		t.Errorf("%d datagrams in an empty buffer", got)
	}
	for _, step := range []struct {
		name string
		msgs [][]byte
	}{
		{"routes", manyRoutes(1000, unix.RTM_NEWROUTE)},
		{"addresses", [][]byte{forever(Addr{Index: 1, Family: unix.AF_INET, PrefixLen: 32, Local: ipa("192.0.2.1")})}},
		{"rules", [][]byte{AppendRule(nil, unix.RTM_NEWRULE, add, 0, &testRules[3])}},
		{"links", [][]byte{newLink(LinkRequest{Link: Link{Name: "br0", Kind: kindBridge}, Set: LinkName})}},
	} {
		w.do(step.msgs...)
		upper, seen := bound(), 0
		if err := n.Drain(func([]byte) { seen++ }); err != nil {
			t.Fatal(err)
		}
		if seen < len(step.msgs) || seen > upper || upper > 3*seen+3 && step.name == "routes" {
			t.Errorf("%s: %d datagrams were queued, the bound was %d", step.name, seen, upper)
		}
	}
}

// TestDumpUnsupported asks for what this kernel does not have.
func TestDumpUnsupported(t *testing.T) {
	w := newWorld(t)
	unknown := AppendDumpRequest(nil, KindNexthop, 0, Filter{})
	ne.PutUint16(unknown[4:], 1000) // past RTM_MAX, as RTM_GETNEXTHOP before Linux 5.3
	for name, req := range map[string][]byte{
		"a type of message":       unknown,
		"rules of a strange kind": AppendDumpRequest(nil, KindRule, 0, Filter{Family: unix.AF_MPLS}),
	} {
		res, err := w.conn.Dump(context.Background(), req, func([]byte) error { return errors.New("called") })
		if err != nil || res != (DumpResult{Unsupported: true}) {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	if n := len(w.links()); n != 1 {
		t.Errorf("afterwards there are %d links", n)
	}
}

// TestDumpFamily holds what AppendDumpRequest says of families that the kernel
// does not have.
func TestDumpFamily(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	w.do(manyRoutes(10, unix.RTM_NEWROUTE)...)
	var families []uint8
	for _, r := range dumpAll(w, KindRoute, Filter{Family: unix.AF_DECnet}, DecodeRoute) {
		families = append(families, r.Family)
	}
	slices.Sort(families)
	if got := fmt.Sprint(slices.Compact(families)); got != "[2 10]" {
		t.Errorf("a dump of the routes of DECnet has the families %s", got)
	}
}
