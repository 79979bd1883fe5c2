package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/daemon"
	"netbraid/internal/nstest"
)

func init() { roles["daemon"] = func() int { return serve((&daemonRole{}).do) } }

// daemonRole is the whole daemon.
type daemonRole struct{ d *daemon.Daemon }

func (r *daemonRole) do(verb string, args []string) (reply, error) {
	switch verb {
	case "run": // run DIR: with DIR/config
		var err error
		r.d, err = daemon.New(daemon.Options{ConfigDir: filepath.Join(args[0], "config"), RunDir: filepath.Join(args[0], "run"),
			StateDir: filepath.Join(args[0], "lib"), NSFD: -1, Seed: 1,
			Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		if err != nil {
			return reply{}, err
		}
		go func() {
			if err := r.d.Run(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}()
		<-r.d.Settled()
		return reply{}, nil
	case "fib": // the routes that are not on the dataplane as they are wanted; -1: it is not live
		done := make(chan reply)
		r.d.Call(func(c *core.Core, now time.Time) {
			n := int64(-1)
			if st := c.Planes()[0].Pairs.Status(now); st.State == "live" {
				n = int64(st.FIB.Differences)
			}
			done <- reply{N: n, CPU: cpuTime(), Values: map[string]float64{"losses": float64(c.Mirror().Stats().Losses)}}
		})
		return <-done, nil
	case "quiesce":
		quiesce()
		return reply{CPU: cpuTime()}, nil
	}
	return reply{}, errors.New("no such command")
}

// BenchmarkPairs measures the daemon between the kernel and VPP's API: from a
// notification to the answer of the dataplane, everything that our process does.
func BenchmarkPairs(b *testing.B) {
	ns := nstest.New(b)
	ns.Run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
	ns.IP("link set lo up")
	n := routesWanted()
	dir, err := os.MkdirTemp("", "pairs")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "api.sock")
	config := fmt.Sprintf("config dataplane 'vpp'\n\toption type 'vpp'\n\toption socket '%s'\n\nconfig pair 'e0'\n\toption phy 'phy0'\n\n"+
		"config interface 'wan'\n\toption device 'e0'\n\toption proto 'static'\n\toption ipaddr '10.0.0.1/16'\n", socket)
	if err := os.Mkdir(filepath.Join(dir, "config"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config", "network"), []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	server, d, feed := startRole(b, ns, "vpp"), startRole(b, ns, "daemon"), startRole(b, ns, "feed")
	server.ask("companions %s /proc/%d/fd/%d", socket, os.Getpid(), ns.FD())
	d.ask("run %s", dir)
	w := &world{ns: ns, routes: n, feed: feed}
	nstest.Eventually(b, 20*time.Second, func() string {
		out, err := ns.Try("ip", "-br", "addr", "show", "dev", "e0", "up")
		if err != nil || len(out) == 0 {
			return "there is no companion"
		}
		return ""
	})
	feed.ask("open %d %d", w.index("e0"), n)
	// until waits for the dataplane, and gives the CPU time of the daemon since.
	until := func(since reply, routes int) (cpu float64, losses float64) {
		b.Helper()
		var r reply
		nstest.Eventually(b, time.Minute, func() string {
			time.Sleep(20 * time.Millisecond)
			if got := server.ask("count").N; got != int64(routes) {
				return fmt.Sprintf("the dataplane has %d routes, not %d", got, routes)
			}
			if r = d.ask("fib"); r.N != 0 {
				return fmt.Sprintf("%d routes differ", r.N)
			}
			return ""
		})
		return float64(r.CPU-since.CPU) / float64(n) / 1e3, r.Values["losses"]
	}
	const pace = 400_000
	s := samples{}
	lost := 0.0
	for range 3 {
		begin := d.ask("quiesce")
		feed.ask("fillat %d", pace)
		cpu, _ := until(begin, n)
		s.add("add", cpu)

		begin = d.ask("quiesce")
		before := server.ask("messages ip_route_add_del_v2").N
		dumps := server.ask("messages ip_route_v2_dump").N
		server.ask("cut")
		nstest.Eventually(b, time.Minute, func() string {
			if server.ask("messages ip_route_v2_dump").N == dumps {
				return "the daemon has not read the routes again"
			}
			return ""
		})
		cpu, _ = until(begin, n)
		s.add("resync", cpu)
		s.add("sent", float64(server.ask("messages ip_route_add_del_v2").N-before))

		begin = d.ask("quiesce")
		feed.ask("dropat %d", pace)
		cpu, lost = until(begin, 0)
		s.add("del", cpu)
	}
	detail := fmt.Sprintf("user and system time of the whole daemon, receiving included; median of 3 rounds of %d routes at %d/s, %.0f losses", n, pace, lost)
	atMost(b, "pairs: from a notification to VPP's answer", median(s["add"]), " µs", 2, "%s; a removal %.3g µs", detail, median(s["del"]))
	atMost(b, "pairs: operations after a reconnection with nothing changed", median(s["sent"]), "", 0, "%d routes compared, %.3g µs each", n, median(s["resync"]))
	b.ReportMetric(median(s["add"]), "µs/route")
	b.ReportMetric(median(s["resync"]), "µs/compared")
	b.ReportMetric(0, "ns/op")
}
