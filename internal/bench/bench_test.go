package bench

import (
	"fmt"
	"testing"
	"time"
)

// The name of each benchmark says what the time is for. They share one world,
// which takes a few seconds to make.
func BenchmarkMirror(b *testing.B) {
	w := newWorld(b, routesWanted())
	for _, s := range []struct {
		name string
		run  func(*testing.B, *world)
	}{
		{"Dump", benchDump},
		{"Learn", benchLearn},
		{"Memory", benchMemory},
		{"Sweep", benchSweep},
		{"Notify", benchNotify},
		{"Rate", benchRate},
		{"Recover", benchRecover},
		{"RecoverUnderFeed", benchRecoverUnderFeed},
		{"Latency", benchLatency},
	} {
		b.Run(s.name, func(b *testing.B) {
			s.run(b, w)
			b.ReportMetric(0, "ns/op") // the figures are metrics of their own
		})
	}
}

// metric reports the median of a series.
func metric(b *testing.B, s samples, name, unit string) {
	if v := s[name]; len(v) > 0 {
		b.ReportMetric(median(v), unit)
	}
}

// benchDump reads everything again when nothing has changed.
func benchDump(b *testing.B, w *world) {
	m := w.model(b, bigBuffer)
	vish := startRole(b, w.ns, "vishvananda")
	c, noC := startC(b, w.ns, "dump")
	bird, noBird := startBird(b, w.ns)
	if bird != nil {
		bird.ask("learn %s", b.TempDir())
		if n := bird.ask("count").N; n != int64(w.routes) {
			b.Fatalf("BIRD has learned %d of %d routes", n, w.routes)
		}
	}
	s := samples{}
	for range rounds {
		if c != nil {
			s.perRoute("c", whole(b, w, c.ask("go")), w.routes)
		}
		r := m.ask("resync")
		if r.N != 0 {
			b.Fatalf("%d changes were reported, nothing has changed", r.N)
		}
		s.perRoute("mirror", r, w.routes)
		s.add("mallocs", r.Values["mallocs"]/float64(w.routes))
		s.perRoute("vishvananda", whole(b, w, vish.ask("list")), w.routes)
		s.perRoute("again", whole(b, w, vish.ask("again")), w.routes)
		if bird != nil {
			s.perRoute("bird", bird.ask("scan"), w.routes)
		}
	}
	for _, side := range []string{"c", "mirror", "vishvananda", "bird"} {
		metric(b, s, side, side+"-cpu-ns/route")
	}
	mine := median(s["mirror"])
	compare := func(peer, name string, limit float64, why string) {
		if why != "" {
			leaveOut(b, name, why)
			return
		}
		r := ratio(s["mirror"], s[peer])
		b.ReportMetric(r, "x-"+peer)
		atMost(b, name, r, " ×", limit, "CPU a route: %.0f ns, %s %.0f ns", mine, peer, median(s[peer]))
	}
	compare("c", "dump + apply, unchanged, to C on a raw socket", 1.25, noC)
	r := ratio(s["vishvananda"], s["mirror"])
	b.ReportMetric(r, "x-faster-than-vishvananda")
	atLeast(b, "dump + apply, unchanged, faster than vishvananda's list", r, " ×", 4,
		"CPU a route: %.0f ns, vishvananda %.0f ns; %.0f ns (%.1f ×) where it lists again in the memory that it has just freed",
		mine, median(s["vishvananda"]), median(s["again"]), ratio(s["again"], s["mirror"]))
	compare("bird", "dump + apply, unchanged, to BIRD's rescan", 0.9, noBird)
	allocs := median(s["mallocs"])
	b.ReportMetric(allocs, "allocs/route")
	atMost(b, "allocations of dump + apply", allocs, " a route", 0.05, "%.0f in all: some for each datagram, none for each route", allocs*float64(w.routes))
}

// whole holds that a peer has seen the whole table: less is less work.
func whole(b *testing.B, w *world, r reply) reply {
	b.Helper()
	if r.N < int64(w.routes) || r.N > int64(w.routes)+50 {
		b.Fatalf("a peer has seen %d of %d routes", r.N, w.routes)
	}
	return r
}

// benchLearn reads everything into an empty model.
func benchLearn(b *testing.B, w *world) {
	bird, noBird := startBird(b, w.ns)
	s := samples{}
	for range rounds {
		m := startRole(b, w.ns, "model") // as new as BIRD is
		r := m.ask("learn %d", bigBuffer)
		m.end()
		s.perRoute("mirror", r, w.routes)
		s.add("wall", float64(r.Wall)/1e9)
		if bird == nil {
			continue
		}
		s.perRoute("bird", bird.ask("learn %s", b.TempDir()), w.routes)
		if n := bird.ask("count").N; n != int64(w.routes) {
			b.Fatalf("BIRD has learned %d of %d routes", n, w.routes)
		}
	}
	metric(b, s, "mirror", "mirror-cpu-ns/route")
	metric(b, s, "bird", "bird-cpu-ns/route")
	name := "learning the table, to BIRD"
	if bird == nil {
		leaveOut(b, name, noBird)
		return
	}
	r := ratio(s["mirror"], s["bird"])
	b.ReportMetric(r, "x-bird")
	atMost(b, name, r, " ×", 0.6, "CPU a route: %.0f ns, BIRD %.0f ns; wall %.2f s", median(s["mirror"]), median(s["bird"]), median(s["wall"]))
}

// benchMemory looks at the live heap and at the collector's pauses.
func benchMemory(b *testing.B, w *world) {
	var bytes, pause []float64
	var cycles int64
	for range rounds {
		m := w.model(b, bigBuffer)
		p := m.ask("pauses")
		if p.N == 0 {
			b.Fatal("no garbage collection ran: there are no pauses to see")
		}
		cycles += p.N
		pause = append(pause, p.Values["pause ms"])
		r := m.ask("memory")
		bytes = append(bytes, r.Values["bytes"]/float64(r.N))
		m.end()
	}
	b.ReportMetric(median(bytes), "bytes/route")
	b.ReportMetric(median(pause), "ms-gc-pause")
	atMost(b, "model, live", median(bytes), " B a route", 64, "heap after a collection, with and without the model")
	atMost(b, "longest pause of the collector", median(pause), " ms", 5, "median of %d runs with %d forced collections in all", rounds, cycles)
}

// benchSweep looks at the end of a dump: one that has changed nothing, one that
// lacks three tenths of the routes.
func benchSweep(b *testing.B, w *world) {
	m := w.model(b, bigBuffer)
	s := samples{}
	for range rounds {
		r := m.ask("resync")
		s.add("unchanged", r.Values["sweep ms"])
		s.add("unchanged slice", r.Values["slice ms"])
		m.ask("rest")
		gone := w.feed.ask("drop").N
		r = m.ask("resync")
		if r.N != gone {
			b.Fatalf("%d routes are gone, %d changes were reported", gone, r.N)
		}
		s.add("dropped", r.Values["sweep ms"])
		s.add("dropped slice", r.Values["slice ms"])
		m.ask("rest")
		w.feed.ask("restore")
		m.ask("resync")
	}
	for _, name := range []string{"unchanged", "dropped"} {
		ms, slice := median(s[name]), median(s[name+" slice"])
		b.ReportMetric(ms, "ms-"+name)
		what := "sweep after a dump that changes nothing"
		if name == "dropped" {
			what = fmt.Sprintf("sweep of %d routes", w.routes/10*3)
		}
		atMost(b, what, ms, " ms", 10, "the longest call %.2f ms", slice)
	}
}

// backlog is what the notification benchmark queues: it fits the buffer, of
// which one takes 832 octets.
func backlog(w *world) int { return min(152_000, w.routes) }

// prepare makes a side hear from now on, and read nothing.
func prepare(c *child) {
	c.t.Helper()
	if c.name == "model" {
		c.ask("learn %d", bigBuffer)
		return
	}
	c.ask("prepare %d", bigBuffer)
}

// benchNotify drains the same backlog on each side.
func benchNotify(b *testing.B, w *world) {
	sides := []*child{startRole(b, w.ns, "bare"), startRole(b, w.ns, "model")}
	c, noC := startC(b, w.ns, "notify")
	if c != nil {
		sides = append(sides, c)
	}
	s := samples{}
	for i := range rounds {
		for j := range sides {
			side := sides[(i+j)%len(sides)] // each is sometimes the first
			prepare(side)
			sent := w.feed.ask("flap %d", backlog(w)).N
			r := side.ask("drain")
			if r.N != sent {
				b.Fatalf("%s has heard %d of %d notifications", side.name, r.N, sent)
			}
			s.perRoute(side.name, r, int(sent))
			if side.name == "model" {
				side.ask("check")
				side.ask("rest")
			}
		}
	}
	metric(b, s, "model", "mirror-cpu-ns/notification")
	metric(b, s, "bare", "go-cpu-ns/notification")
	metric(b, s, "notify", "c-cpu-ns/notification")
	for _, peer := range []struct{ side, name, why string }{
		{"bare", "notifications into the model, to a bare recvmmsg loop in Go", ""},
		{"notify", "notifications into the model, to a bare recvmmsg loop in C", noC},
	} {
		if peer.why != "" {
			leaveOut(b, peer.name, peer.why)
			continue
		}
		r := ratio(s["model"], s[peer.side])
		b.ReportMetric(r, "x-"+peer.side)
		atMost(b, peer.name, r, " ×", 1.4, "CPU a notification: %.0f ns, bare %.0f ns", median(s["model"]), median(s[peer.side]))
	}
}

// benchRate follows a producer in another process at 250,000 changes a second.
func benchRate(b *testing.B, w *world) {
	const wanted, pace = 250_000, 255_000
	m := w.model(b, bigBuffer)
	var rates []float64
	var lost int64
	for range rounds {
		m.ask("start")
		w.feed.ask("start %d", pace)
		time.Sleep(2 * time.Second)
		fed := w.feed.ask("stop")
		r := m.ask("stop")
		rates = append(rates, float64(fed.N)/(float64(fed.Wall)/1e9))
		lost += int64(r.Values["losses"])
		if changes := int64(r.Values["route changes"]); r.Values["losses"] == 0 && changes != fed.N {
			b.Fatalf("%d changes were made, %d reported", fed.N, changes)
		}
		m.ask("check")
	}
	b.ReportMetric(median(rates), "notifications/s")
	b.ReportMetric(float64(lost), "losses")
	atMost(b, "losses at that rate", float64(lost), "", 0, "%d runs of 2 s, all changes reported, equal to a fresh dump after each", rounds)
	atLeast(b, "notifications followed", median(rates), " a second", wanted, "a producer in another process; slowest run %.0f", percentile(rates, 0))
}

// overflowBuffer is 128 MiB as the kernel counts it: room for 161,000
// notifications, so that 300,000 changes are too many.
const overflowBuffer = bigBuffer / 2

// overflowing is that buffer, smaller in a smaller world.
func overflowing(w *world) int {
	return int(int64(overflowBuffer) * int64(w.routes) / million)
}

// benchRecover overflows the buffer with changes of three tenths of the table.
func benchRecover(b *testing.B, w *world) {
	m := w.model(b, overflowing(w))
	s := samples{}
	for i := range rounds + 1 { // an even number: what is changed is undone
		w.feed.ask("%s", []string{"change", "undo"}[i%2])
		r := m.ask("recover")
		s.add("wall", float64(r.Wall)/1e9)
		s.add("cpu", float64(r.CPU)/1e9)
		m.ask("check")
	}
	metric(b, s, "wall", "s-wall")
	metric(b, s, "cpu", "s-cpu")
	atMost(b, fmt.Sprintf("recovery from an overflow, %d of %d routes changed", w.routes/10*3, w.routes), median(s["wall"]), " s", 1.5, "from the error to equal; CPU %.2f s, slowest of %d %.2f s", median(s["cpu"]), len(s["wall"]), percentile(s["wall"], 1))
}

// benchRecoverUnderFeed does the same while a feed goes on.
func benchRecoverUnderFeed(b *testing.B, w *world) {
	const rate = 100_000
	m := w.model(b, overflowing(w))
	s := samples{}
	more := 0.0 // losses while the feed goes on: each is recovered from too
	for i := range rounds + 1 {
		w.feed.ask("%s", []string{"change", "undo"}[i%2])
		w.feed.ask("start %d", rate)
		r := m.ask("recover")
		m.ask("start")
		time.Sleep(time.Second)
		fed := w.feed.ask("stop")
		more += r.Values["more losses"] + m.ask("stop").Values["losses"]
		m.ask("check")
		s.add("wall", float64(r.Wall)/1e9)
		s.add("rate", float64(fed.N)/(float64(fed.Wall)/1e9))
	}
	metric(b, s, "wall", "s-wall")
	atMost(b, "recovery while a feed goes on", median(s["wall"]), " s", 1.5, "feed of %.0f changes a second; slowest of %d %.2f s; %.0f further losses; equal to a fresh dump after its end",
		median(s["rate"]), len(s["wall"]), percentile(s["wall"], 1), more)
}
