package capture

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/api"
	"netbraid/internal/core"
	"netbraid/internal/daemon"
	"netbraid/ubus"
)

// The benchmarks of the answers at 500 interfaces, over the broker's socket,
// with 8 calls in flight. The daemon is a process of its own, so that its CPU
// is its own. netifd answers 908 dumps a second.

const benchEnv = "NETBRAID_TEST_API"

// TestMain makes the test binary a daemon of its own when asked to.
func TestMain(m *testing.M) {
	if dir := os.Getenv(benchEnv); dir != "" {
		if err := serveBench(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveBench(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.DiscardHandler)
	bus, err := ubus.Open(ctx, ubus.BusOptions{Path: filepath.Join(dir, "ubus.sock"), Log: log, Broker: ubus.BrokerOptions{ACLDir: dir}})
	if err != nil {
		return err
	}
	defer bus.Close()
	var srv *api.Server
	d, err := daemon.New(daemon.Options{
		ConfigDir: filepath.Join(dir, "config"), RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "lib"), NSFD: -1, Log: log,
		Publish: func(c *core.Core, a core.Action, now time.Time) { srv.Publish(c, a, now) },
	})
	if err != nil {
		return err
	}
	if srv, err = api.NewServer(d, bus, api.Options{NSFD: -1, Log: log}); err != nil {
		return err
	}
	go func() {
		<-d.Settled()
		fmt.Println("settled")
	}()
	return d.Run(ctx)
}

// benchDaemon starts a daemon with n interfaces, each on a bridge of its own,
// and gives its process and a client.
func benchDaemon(b *testing.B, n int) (*os.Process, *ubus.Client) {
	b.Helper()
	w := newWorld(b, 0, nil)
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "config device\n\toption name 'br%d'\n\toption type 'bridge'\n\toption bridge_empty '1'\n"+
			"config interface 'i%d'\n\toption device 'br%d'\n\toption proto 'static'\n\toption ipaddr '10.%d.%d.1/24'\n", i, i, i, i/250, i%250)
	}
	w.config([]byte(text.String()))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchEnv+"="+w.dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := w.ns.Do(cmd.Start); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	if s := bufio.NewScanner(out); !s.Scan() || s.Text() != "settled" {
		b.Fatalf("the daemon says %q", s.Text())
	}
	ctx, cancel := w.ctx()
	defer cancel()
	c, err := ubus.Dial(ctx, filepath.Join(w.dir, "ubus.sock"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return cmd.Process, c
}

// cpuOf is the time that all threads of a process have run (proc(5), schedstat
// of each task: ns).
func cpuOf(b *testing.B, pid int) (total time.Duration) {
	b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		b.Fatalf("no threads of process %d: %v", pid, err)
	}
	for _, t := range tasks {
		if text, err := os.ReadFile(t); err == nil {
			ns, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			total += time.Duration(ns)
		}
	}
	return total
}

// flood makes b.N calls with 8 in flight and reports how many a second.
func flood(b *testing.B, p *os.Process, c *ubus.Client, method string, least int, ids ...uint32) {
	const inFlight = 8
	ctx := context.Background()
	var next atomic.Int64
	var wg sync.WaitGroup
	before := cpuOf(b, p.Pid)
	b.ResetTimer()
	for range inFlight {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				data, _, err := c.Invoke(ctx, ids[i%int64(len(ids))], method, nil, nil)
				if err != nil || len(data) == 0 || len(data[0]) < least {
					b.Errorf("%s: %v, %d replies", method, err, len(data))
					return
				}
			}
		}()
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64((cpuOf(b, p.Pid)-before).Microseconds())/float64(b.N), "µs-daemon/call")
}

func lookup(b *testing.B, c *ubus.Client, path string) uint32 {
	b.Helper()
	id, err := c.LookupID(context.Background(), path)
	if err != nil {
		b.Fatal(err)
	}
	return id
}

func BenchmarkAPI500(b *testing.B) {
	p, c := benchDaemon(b, 500)
	b.Run("dump", func(b *testing.B) { flood(b, p, c, "dump", 100_000, lookup(b, c, "network.interface")) })
	b.Run("status", func(b *testing.B) {
		var ids []uint32
		for i := range 500 {
			ids = append(ids, lookup(b, c, fmt.Sprintf("network.interface.i%d", i)))
		}
		flood(b, p, c, "status", 300, ids...)
	})
	b.Run("devices", func(b *testing.B) { flood(b, p, c, "status", 100_000, lookup(b, c, "network.device")) })
}
