package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
)

// TestMain makes the test binary a daemon of its own when asked to: tests
// kill it, and benchmarks measure it.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NETBRAID_TEST_DAEMON"); dir != "" {
		os.Exit(childDaemon(dir))
	}
	os.Exit(m.Run())
}

// childDaemon runs a daemon that answers lines on its standard input: "reload"
// with "ok" or the error, "writes" with their number. It says "settled" when
// it is, and each event as "event NANOSECONDS NAME".
func childDaemon(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	d, err := New(Options{
		ConfigDir: filepath.Join(dir, "config"), RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "lib"),
		NSFD: -1, Seed: 1, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: childLevel()})),
		TeardownOnExit: os.Getenv("NETBRAID_TEST_TEARDOWN") != "",
		Publish: func(_ *core.Core, a core.Action, now time.Time) {
			if p, ok := a.(core.Publish); ok && p.Notice != iface.IfUpdate && p.Notice != iface.IfUpFailed && os.Getenv("NETBRAID_TEST_EVENTS") != "" {
				fmt.Printf("event %d %d %s\n", time.Now().UnixNano(), p.Notice, p.Interface)
			}
		},
	})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	go func() {
		<-d.Settled()
		fmt.Println("settled")
	}()
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			line := in.Text()
			done := make(chan string)
			d.Call(func(c *core.Core, _ time.Time) {
				switch line {
				case "reload":
					if err := d.Reload(); err != nil {
						done <- err.Error()
					} else {
						done <- "ok"
					}
				case "writes":
					done <- fmt.Sprint(d.Writes(), " ", c.Planner().Idle())
				case "gc":
					runtime.GC()
					done <- "ok"
				default:
					done <- "?"
				}
			})
			fmt.Println("answer", <-done)
		}
	}()
	if err := d.Run(ctx); err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

// child is a daemon in a process of its own.
type child struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func startChild(t testing.TB, ns *nstest.NS, dir string, env ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0]), lines: make(chan string, 100000)}
	c.cmd.Env = append(append(os.Environ(), "NETBRAID_TEST_DAEMON="+dir), env...)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(c.cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
		close(c.lines)
	}()
	return c
}

// wait returns the first line with that beginning, without it.
func (c *child) wait(prefix string) string {
	c.t.Helper()
	late := time.After(60 * time.Second)
	for {
		select {
		case l, ok := <-c.lines:
			if !ok {
				c.t.Fatalf("the daemon has ended while %q was awaited", prefix)
			}
			if rest, ok := strings.CutPrefix(l, prefix); ok {
				return strings.TrimSpace(rest)
			}
		case <-late:
			c.t.Fatalf("no %q within 60 s", prefix)
		}
	}
}

func (c *child) ask(line string) string {
	c.t.Helper()
	fmt.Fprintln(c.in, line)
	return c.wait("answer")
}

func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	}
}

// end sends SIGTERM and waits.
func (c *child) end() error {
	c.cmd.Process.Signal(syscall.SIGTERM)
	return c.cmd.Wait()
}

// cpu is the processor time of the daemon (user and system, all threads), from
// schedstat, in nanoseconds.
func (c *child) cpu() time.Duration {
	var sum time.Duration
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", c.cmd.Process.Pid))
	for _, f := range tasks {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if ns, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64); err == nil {
			sum += time.Duration(ns)
		}
	}
	return sum
}

// rss is the resident memory in MiB.
func (c *child) rss() float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	for _, l := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// TestKilledDaemonCostsNoPacket sends packets through addresses, a bridge and
// routes of the daemon's while that is killed with SIGKILL and started again.
func TestKilledDaemonCostsNoPacket(t *testing.T) {
	w := newWorld(t)
	lan, wan := nstest.New(t), nstest.New(t)
	w.ns.Veth("eth0", "host0", lan)
	w.ns.Veth("eth1", "host1", wan)
	lan.IP("addr add 192.168.1.2/24 dev host0")
	lan.IP("route add default via 192.168.1.1")
	wan.IP("addr add 203.0.113.1/24 dev host1")
	wan.IP("route add 192.168.1.0/24 via 203.0.113.2")
	if err := w.ns.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
	}); err != nil {
		t.Fatal(err)
	}
	w.config(`
config interface 'lan'
	option type 'bridge'
	option ifname 'eth0'
	option proto 'static'
	option ipaddr '192.168.1.1/24'
config interface 'wan'
	option device 'eth1'
	option proto 'static'
	option ipaddr '203.0.113.2/24'
	option gateway '203.0.113.1'
`)
	c := startChild(t, w.ns, w.dir)
	c.wait("settled")
	nstest.Eventually(t, 10*time.Second, func() string {
		_, err := lan.Try("ping", "-c", "1", "-W", "1", "203.0.113.1")
		if err != nil {
			return err.Error()
		}
		return ""
	})
	// The kernel's link watch announces operational states up to a second late.
	time.Sleep(1500 * time.Millisecond)
	monitor := w.watch("all")
	out, err := os.Create(filepath.Join(w.dir, "ping"))
	if err != nil {
		t.Fatal(err)
	}
	ping := startIn(t, lan, out, "ping", "-i", "0.002", "-q", "203.0.113.1")
	for range 3 {
		time.Sleep(200 * time.Millisecond)
		c.kill()
		time.Sleep(200 * time.Millisecond)
		c = startChild(t, w.ns, w.dir)
		c.wait("settled")
	}
	time.Sleep(200 * time.Millisecond)
	ping.Process.Signal(os.Interrupt)
	ping.Wait()
	out.Close()
	report, _ := os.ReadFile(out.Name())
	if !strings.Contains(string(report), " 0% packet loss") {
		t.Errorf("packets were lost:\n%s", report)
	}
	for _, l := range strings.Split(monitor(), "\n") {
		if strings.Contains(l, "fe80::") {
			continue // the kernel's own, when duplicate address detection ends
		}
		if strings.HasPrefix(l, "[LINK]") && strings.Contains(l, ",UP,LOWER_UP>") && !strings.Contains(l, "Deleted") {
			continue // the kernel's timers of bridge ports and its link watch: nothing was lost
		}
		if strings.HasPrefix(l, "[ADDR]") || strings.HasPrefix(l, "[LINK]") || strings.HasPrefix(l, "[ROUTE]") {
			t.Errorf("the kernel announced a change: %s", l)
		}
	}
	if got := c.ask("writes"); got != "0 true" {
		t.Errorf("writes after the last start: %s", got)
	}
	// SIGTERM leaves the state as well.
	if err := c.end(); err != nil {
		t.Errorf("end: %v", err)
	}
	if got := w.ns.Addrs("eth1"); len(got) != 1 {
		t.Errorf("addresses after SIGTERM: %v", got)
	}
	// With teardown on exit everything of ours goes.
	c = startChild(t, w.ns, w.dir, "NETBRAID_TEST_TEARDOWN=1")
	c.wait("settled")
	if err := c.end(); err != nil {
		t.Errorf("end with teardown: %v", err)
	}
	if got := w.ns.Addrs("eth1"); len(got) != 0 || w.link("br-lan", "mtu") != nil || w.up("eth1") {
		t.Errorf("left behind after teardown: %v\n%s", got, w.ns.IP("link show"))
	}
}

func childLevel() slog.Level {
	if os.Getenv("NETBRAID_TEST_LOG") == "debug" {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}
