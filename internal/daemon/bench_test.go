package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// The scale benchmarks, each with a daemon in a process of its own on the real
// kernel. CPU is user and system time of all its threads (schedstat).

// benchWorld makes n veth pairs, peers up, and a configuration with n static
// interfaces: each on its own veth, or each on a bridge of its own.
func benchWorld(b *testing.B, n int, bridges bool) (*nstest.NS, string) {
	b.Helper()
	ns := nstest.New(b)
	dir := b.TempDir()
	var batch, conf strings.Builder
	for i := range n {
		fmt.Fprintf(&batch, "link add eth%d type veth peer name p%d\nlink set p%d up\n", i, i, i)
		dev := fmt.Sprintf("eth%d", i)
		if bridges {
			dev = fmt.Sprintf("br%d", i)
			fmt.Fprintf(&conf, "config device\n\toption name '%s'\n\toption type 'bridge'\n\tlist ports 'eth%d'\n\n", dev, i)
		}
		fmt.Fprintf(&conf, "config interface 'if%d'\n\toption device '%s'\n\toption proto 'static'\n\toption ipaddr '10.%d.%d.1/24'\n\n", i, dev, i/250, i%250)
	}
	file := filepath.Join(dir, "batch")
	write(b, file, batch.String())
	ns.Run("ip -batch " + file)
	write(b, filepath.Join(dir, "config", "network"), conf.String())
	return ns, dir
}

func write(b testing.TB, path, text string) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkColdStart(b *testing.B) {
	for _, n := range []int{100, 500} {
		for _, bridges := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d-%s", n, map[bool]string{false: "veth", true: "bridge"}[bridges]), func(b *testing.B) {
				var wall, cpu, rss []float64
				for range b.N {
					b.StopTimer()
					ns, dir := benchWorld(b, n, bridges)
					b.StartTimer()
					start := time.Now()
					c := startChild(b, ns, dir)
					c.wait("settled")
					wall = append(wall, time.Since(start).Seconds())
					b.StopTimer()
					cpu = append(cpu, c.cpu().Seconds())
					rss = append(rss, c.rss())
					check(b, ns, n, bridges)
					c.kill()
				}
				report(b, wall, "s-wall")
				report(b, cpu, "s-cpu")
				report(b, rss, "MiB-rss")
			})
		}
	}
}

// check that all addresses are really there.
func check(b *testing.B, ns *nstest.NS, n int, bridges bool) {
	b.Helper()
	if got := strings.Count(ns.IP("-4 -o addr show"), "inet 10."); got != n {
		b.Fatalf("%d of %d addresses are there", got, n)
	}
	if bridges {
		if got := strings.Count(ns.IP("-o link show type bridge"), ",UP"); got != n {
			b.Fatalf("%d of %d bridges are up", got, n)
		}
	}
}

func report(b *testing.B, v []float64, unit string) {
	slices.Sort(v)
	b.ReportMetric(v[len(v)/2], unit)
}

// BenchmarkReload500 measures the daemon's CPU for a reload of 500 interfaces:
// nothing changed, and one static address changed.
func BenchmarkReload500(b *testing.B) {
	ns, dir := benchWorld(b, 500, false)
	c := startChild(b, ns, dir)
	c.wait("settled")
	c.ask("reload")
	file := filepath.Join(dir, "config", "network")
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("unchanged", func(b *testing.B) {
		before, w := c.cpu(), writesOf(c)
		for range b.N {
			if got := c.ask("reload"); got != "ok" {
				b.Fatal(got)
			}
		}
		b.ReportMetric(float64((c.cpu()-before).Microseconds())/1000/float64(b.N), "ms-cpu/reload")
		if n := writesOf(c) - w; n != 0 {
			b.Fatalf("%d writes", n)
		}
	})
	b.Run("one-changed", func(b *testing.B) {
		before, w := c.cpu(), writesOf(c)
		for i := range b.N {
			write(b, file, strings.Replace(string(text), "'10.0.7.1/24'", fmt.Sprintf("'10.0.7.%d/24'", 2+i%200), 1))
			if got := c.ask("reload"); got != "ok" {
				b.Fatal(got)
			}
			nstest.Eventually(b, 5*time.Second, func() string {
				if a := c.ask("writes"); !strings.HasSuffix(a, "true") {
					return "not idle"
				}
				return ""
			})
		}
		b.ReportMetric(float64((c.cpu()-before).Microseconds())/1000/float64(b.N), "ms-cpu/reload")
		if n := writesOf(c) - w; n < uint64(2*b.N) {
			b.Fatalf("%d writes for %d changes", n, b.N)
		}
	})
}

func writesOf(c *child) uint64 {
	n, _ := strconv.ParseUint(strings.Fields(c.ask("writes"))[0], 10, 64)
	return n
}

// BenchmarkCarrierToEvent measures the time from the loss of carrier (the
// moment before the peer is set down) to the ifdown event, among 500.
func BenchmarkCarrierToEvent(b *testing.B) { carrierToEvent(b, 0) }

// BenchmarkCarrierToEventInStorm is the same while something else changes
// 100,000 routes a second in the namespace.
func BenchmarkCarrierToEventInStorm(b *testing.B) { carrierToEvent(b, 100000) }

func carrierToEvent(b *testing.B, storm int) {
	ns, dir := benchWorld(b, 500, false)
	file := filepath.Join(dir, "config", "network")
	text, _ := os.ReadFile(file)
	write(b, file, strings.ReplaceAll(string(text), "option proto 'static'", "option proto 'static'\n\toption force_link '0'"))
	c := startChild(b, ns, dir, "NETBRAID_TEST_EVENTS=1")
	c.wait("settled")
	conn := dialIn(b, ns)
	// The kernel's link watch looks at 100 links a second: let it catch up
	// with the 500 that have just come up.
	time.Sleep(8 * time.Second)
	if storm > 0 {
		reached := routeStorm(b, ns, storm)
		defer func() { b.ReportMetric(reached(), "routes/s") }()
	}
	b.ResetTimer()
	var ms []float64
	event := func(notice string) int64 {
		for {
			if f := strings.Fields(c.wait("event")); len(f) == 3 && f[1] == notice {
				at, _ := strconv.ParseInt(f[0], 10, 64)
				return at
			}
		}
	}
	for i := range b.N {
		name := fmt.Sprintf("p%d", i%500)
		at := setLink(b, ns, conn, name, false)
		ms = append(ms, float64(event("1")-at.UnixNano())/1e6)
		b.StopTimer()
		setLink(b, ns, conn, name, true)
		event("0")
		b.StartTimer()
	}
	report(b, ms, "ms-median")
	b.ReportMetric(ms[len(ms)*99/100], "ms-p99")
}
