package netns

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/dataplane"
)

// cpu is what the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRouteSet writes routes in full batches, four in flight, and reads
// them back: the wall time and the CPU (with that of the kernel) for each.
func BenchmarkRouteSet(b *testing.B) {
	l := newLab(b)
	sets := make([]*dataplane.PathSet, 16)
	for i := range sets {
		sets[i] = &dataplane.PathSet{Paths: []dataplane.Path{via(l.phyb, netip.AddrFrom4([4]byte{198, 51, 100, byte(2 + i)}).String())}}
	}
	key := func(i int) dataplane.RouteKey {
		return dataplane.RouteKey{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(16 + i>>16), byte(i >> 8), byte(i), 0}), 24)}
	}
	start := cpu()
	b.ResetTimer()
	flying := 0
	finish := func() {
		l.wait("Done", func(e dataplane.Event) bool {
			d, ok := e.(dataplane.Done)
			if ok && len(d.Failed) > 0 {
				b.Fatal(d.Failed[0].Err)
			}
			return ok
		})
		flying--
	}
	for at := 0; at < b.N; {
		var ops []dataplane.Op
		for ; at < b.N && len(ops) < dataplane.MaxBatch; at++ {
			ops = append(ops, dataplane.Op{Kind: dataplane.RouteSet, Route: key(at), Paths: sets[at%len(sets)]})
		}
		if flying == 4 {
			finish()
		}
		l.batch++
		flying++
		l.dp.Write(l.epoch, dataplane.Batch{ID: l.batch, Ops: ops})
	}
	for flying > 0 {
		finish()
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu()-start).Nanoseconds())/float64(b.N), "cpu-ns/route")
	start, wall := cpu(), time.Now()
	if n := l.dumpRoutes(); n != b.N {
		b.Errorf("%d routes are dumped, %d were written", n, b.N)
	}
	b.ReportMetric(float64((cpu()-start).Nanoseconds())/float64(b.N), "dump-cpu-ns/route")
	b.ReportMetric(float64(time.Since(wall).Nanoseconds())/float64(b.N), "dump-ns/route")
}
