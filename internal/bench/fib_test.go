package bench

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/pair/fib"
	"netbraid/rtnl"
)

// fibWorld is a mirror fed by hand, the routes that a dataplane must have, and
// a dataplane that does at once what it is told. Everything runs in this
// thread: CPU time is elapsed time, but for others.
type fibWorld struct {
	now  time.Time
	eng  *mirror.Engine
	tab  *fib.Table
	keys []model.RouteKey // heard of since the last drain
	told int
	have []dataplane.Route
	ops  []dataplane.Op
}

func (w *fibWorld) Mirror(model.NS) *mirror.Engine          { return w.eng }
func (w *fibWorld) Phy(_ model.NS, i uint32) (uint32, bool) { return 100 + i, i > 1 }
func (w *fibWorld) Table(_ model.NS, table uint32) (uint32, bool) {
	return 0, table == unix.RT_TABLE_MAIN
}
func (w *fibWorld) Connected(model.NS, uint32, netip.Prefix) bool         { return false }
func (w *fibWorld) IgnoresLinkdown(model.NS, uint32, uint8) bool          { return true }
func (w *fibWorld) Settled() bool                                         { return true }
func (w *fibWorld) LinkChanged(ns model.NS, old, new *rtnl.Link)          { w.tab.LinkChanged(ns, old, new) }
func (w *fibWorld) AddrChanged(model.NS, *rtnl.Addr, *rtnl.Addr)          {}
func (w *fibWorld) NeighChanged(model.NS, *rtnl.Neigh, *rtnl.Neigh)       {}
func (w *fibWorld) NexthopChanged(model.NS, *rtnl.Nexthop, *rtnl.Nexthop) {}
func (w *fibWorld) NetconfChanged(model.NS, *rtnl.Netconf, *rtnl.Netconf) {}
func (w *fibWorld) RuleChanged(model.NS, *rtnl.Rule, *rtnl.Rule)          {}
func (w *fibWorld) RouteChanged(k model.RouteKey)                         { w.keys = append(w.keys, k) }
func (w *fibWorld) SyncBegin(model.NS, rtnl.Kind)                         {}
func (w *fibWorld) SyncEnd(model.NS, rtnl.Kind)                           {}

const (
	fibBatch = 1024
	fibHops  = 16
)

func newFIBWorld(b *testing.B) *fibWorld {
	w := &fibWorld{now: time.Unix(1000, 0)}
	w.eng = mirror.New(0, mirror.Params{}, w)
	w.tab = fib.New(fib.Options{Host: w, Seed: 1})
	w.eng.Start(w.now)
	epoch := w.eng.Requests()[0].Epoch
	w.eng.Subscribed(epoch)
	for _, r := range w.eng.Requests() {
		w.eng.DumpDone(w.now, r.Epoch, r.Dump, true, false)
	}
	w.tab.AddNS(0)
	w.link(epoch, 2, true)
	w.link(epoch, 3, true)
	w.connect(b)
	return w
}

func (w *fibWorld) link(epoch, i uint32, carrier bool) {
	l := rtnl.Link{Index: i, Name: "l" + string(rune('0'+i)), Flags: unix.IFF_UP, ParentNSID: -1, Carrier: carrier}
	if carrier {
		l.Flags |= unix.IFF_RUNNING | unix.IFF_LOWER_UP
	}
	w.eng.Notified(w.now, epoch, rtnl.AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, &l))
}

// learn lets the mirror learn n routes through gateways that begin at gw.
func (w *fibWorld) learn(n int, epoch uint32, gw int, multi bool) {
	var buf []byte
	for i := range n {
		a := uint32(0x0b000000) + uint32(i)<<8
		r := rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Protocol: unix.RTPROT_BGP, Table: unix.RT_TABLE_MAIN, Oif: 2,
			Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8)}), 24)}
		r.Gateway = netip.AddrFrom4([4]byte{192, 0, 2, byte(gw + i%fibHops)})
		if multi {
			r.Multipath = rtnl.AppendHops([]rtnl.Hop{{Oif: 2, Gateway: r.Gateway}, {Oif: 3, Gateway: r.Gateway}})
			r.Oif, r.Gateway = 0, netip.Addr{}
		}
		buf = rtnl.AppendRoute(buf[:0], unix.RTM_NEWROUTE, unix.NLM_F_REPLACE, 0, &r)
		w.eng.Notified(w.now, epoch, buf)
	}
}

// drain hands on what was heard of and lets the dataplane do what follows.
func (w *fibWorld) drain() {
	for at := 0; at < len(w.keys); at += fibBatch {
		for _, k := range w.keys[at:min(at+fibBatch, len(w.keys))] {
			w.tab.RouteChanged(k)
		}
		w.obey()
	}
	w.keys = w.keys[:0]
}

// drainWarm is drain when the mirror has just written what it tells of; it
// returns the CPU time of the rest.
func (w *fibWorld) drainWarm() (ns int64) {
	all := w.keys
	for at := 0; at < len(all); at += fibBatch {
		w.keys = all[at:min(at+fibBatch, len(all))]
		for i := range w.keys {
			w.eng.RouteAttr(&w.keys[i])
		}
		start := cpuTime()
		w.drain()
		ns += cpuTime() - start
	}
	w.keys = all[:0]
	return ns
}

func (w *fibWorld) obey() {
	for {
		w.ops = w.tab.Next(w.now, w.ops[:0], fibBatch)
		if len(w.ops) == 0 {
			return
		}
		w.told += len(w.ops)
		w.tab.Done(w.now, w.ops, nil)
	}
}

func (w *fibWorld) connect(b *testing.B) {
	w.tab.Connected(w.now, dataplane.Caps{MaxPaths: 64, MPLS: true})
	for at := 0; at < len(w.have); at += fibBatch {
		w.tab.Dumped(w.have[at:min(at+fibBatch, len(w.have))])
	}
	w.tab.DumpDone(w.now, true)
	for w.tab.Work(w.now, 1<<16) {
	}
	w.obey()
	if s := w.tab.Status(); s.Phase != "up" {
		b.Fatalf("phase %s", s.Phase)
	}
}

// read makes what a dump of the dataplane would show.
func (w *fibWorld) read(n int, multi bool, gw int) {
	w.have = make([]dataplane.Route, n)
	sets := make([]*dataplane.PathSet, fibHops)
	for i := range sets {
		via := netip.AddrFrom4([4]byte{192, 0, 2, byte(gw + i)})
		sets[i] = &dataplane.PathSet{Paths: []dataplane.Path{{Index: 102, Via: via, Weight: 1}}}
	}
	for i := range w.have {
		a := uint32(0x0b000000) + uint32(i)<<8
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8)}), 24)
		w.have[i] = dataplane.Route{Key: dataplane.RouteKey{Prefix: p}, Paths: sets[i%fibHops]}
	}
}

// spent is the CPU time and the allocations of f, each by n.
func spent(n int, f func()) (ns, mallocs float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := cpuTime()
	f()
	ns = float64(cpuTime()-start) / float64(n)
	runtime.ReadMemStats(&after)
	return ns, float64(after.Mallocs-before.Mallocs) / float64(n)
}

// BenchmarkFIB: from a change of the mirror to the answer of the dataplane, and
// the comparison of a dump with what is wanted.
func BenchmarkFIB(b *testing.B) {
	n := routesWanted()
	s := samples{}
	for range rounds {
		w := newFIBWorld(b)
		w.learn(n, 1, 1, false)
		ns, _ := spent(n, w.drain)
		s.add("first", ns)
		if w.told != n {
			b.Fatalf("%d operations for %d routes", w.told, n)
		}
		s.add("bytes", float64(w.tab.Status().Bytes)/float64(n))

		w.learn(n, 1, 101, false)
		ns, mallocs := spent(n, w.drain)
		s.add("change", ns)
		s.add("mallocs", mallocs)
		if w.told != 2*n {
			b.Fatalf("%d operations for %d changes", w.told-n, n)
		}

		w.learn(n, 1, 1, false)
		rng := rand.New(rand.NewPCG(1, 1))
		rng.Shuffle(len(w.keys), func(i, j int) { w.keys[i], w.keys[j] = w.keys[j], w.keys[i] })
		s.add("random", float64(w.drainWarm())/float64(n))
		w.told -= n

		w.read(n, false, 1)
		ns, mallocs = spent(n, func() { w.connect(b) })
		s.add("compare", ns)
		s.add("compare-mallocs", mallocs)
		if w.told != 2*n {
			b.Fatalf("%d operations, nothing has changed", w.told-2*n)
		}
		w.have = nil
	}
	atMost(b, "a new route, from the mirror's change to the dataplane's answer", median(s["first"])/1000, " µs CPU", 0.7, "%d routes, batches of %d", n, fibBatch)
	atMost(b, "the same of a changed route", median(s["change"])/1000, " µs CPU", 0.7, "%d routes", n)
	atMost(b, "the same in random order", median(s["random"])/1000, " µs CPU", 0.7, "%d routes", n)
	atMost(b, "its allocations", median(s["mallocs"]), " a route", 0.001, "%d routes", n)
	atMost(b, "comparison with a dataplane that has everything", median(s["compare"])/1000, " µs CPU a route", 0.5, "%d routes, no operation", n)
	atMost(b, "memory of the routes of a dataplane", median(s["bytes"]), " B a route", 64, "%d routes", n)
	b.ReportMetric(median(s["first"]), "first-cpu-ns/route")
	b.ReportMetric(median(s["change"]), "change-cpu-ns/route")
	b.ReportMetric(median(s["compare"]), "compare-cpu-ns/route")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFIBLink: a link of every route loses its carrier: how long one call
// takes at most while all are looked at again.
func BenchmarkFIBLink(b *testing.B) {
	n := routesWanted()
	s := samples{}
	for range rounds {
		w := newFIBWorld(b)
		w.learn(n, 1, 1, true)
		w.drain()
		w.told = 0
		longest := int64(0)
		ns, _ := spent(n, func() {
			w.link(1, 2, false)
			for more := true; more; {
				start := cpuTime()
				more = w.tab.Work(w.now, fibBatch)
				w.obey()
				longest = max(longest, cpuTime()-start)
			}
		})
		if w.told != n {
			b.Fatalf("%d operations for %d routes", w.told, n)
		}
		s.add("link", ns)
		s.add("longest", float64(longest)/1e6)
	}
	atMost(b, "a link of every route goes down", median(s["link"])/1000, " µs CPU a route", 0.7, "%d routes with two next hops", n)
	atMost(b, "the longest step of that", median(s["longest"]), " ms CPU", 5, "%d routes looked at a step", fibBatch)
	b.ReportMetric(0, "ns/op")
}
