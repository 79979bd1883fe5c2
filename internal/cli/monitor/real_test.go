package monitor

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// start runs a monitor in ns; stop ends it and gives its error.
func start(t testing.TB, ns *nstest.NS, o Options) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ready, done := make(chan struct{}), make(chan error, 1)
	o.NSFD, o.Ready = ns.FD(), func() { close(ready) }
	go func() { done <- Run(ctx, o) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("the monitor has not begun: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("the monitor has not begun within 10 s")
	}
	return func() error {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("the monitor has not ended within 10 s")
		}
		return nil
	}
}

// router makes and removes routes, each of which is one notification. It asks
// for no acknowledgement, so that the kernel does little else.
type router struct {
	t        testing.TB
	fd       int
	add, del []byte // as many requests as one datagram
}

// newRouter brings lo up and prepares n routes through it.
func newRouter(t testing.TB, ns *nstest.NS, n int) *router {
	t.Helper()
	ns.IP("link set lo up")
	r := &router{t: t}
	err := ns.Do(func() (err error) {
		r.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(r.fd) })
	if err := unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		x := rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_LINK, Oif: 1,
			Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
		r.add = rtnl.AppendRoute(r.add, unix.RTM_NEWROUTE, unix.NLM_F_REQUEST|unix.NLM_F_CREATE, 0, &x)
		r.del = rtnl.AppendRoute(r.del, unix.RTM_DELROUTE, unix.NLM_F_REQUEST, 0, &x)
	}
	return r
}

// send hands requests to the kernel, which has carried them out when send
// returns.
func (r *router) send(msgs []byte) {
	r.t.Helper()
	if err := unix.Sendto(r.fd, msgs, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		r.t.Fatal(err)
	}
}

// account adds up a stream of JSON lines: what is printed, and what it says is
// lost, by place. unknown losses are failures.
func account(t testing.TB, out string) (lines int, lost map[string]uint64) {
	t.Helper()
	lost = map[string]uint64{}
	losses, total := 0, uint64(0)
	for line := range strings.Lines(out) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if r.Event != "lost" {
			lines++
			continue
		}
		if r.Count == nil {
			t.Fatalf("a loss of unknown size: %s", line)
		}
		losses++
		total += *r.Count
		lost[r.Where] += *r.Count
		if r.Losses != losses || r.Total != total {
			t.Errorf("loss %d of %d in all says %s", losses, total, line)
		}
	}
	return lines, lost
}

// TestRealKernel: what is made is printed, in the kernel's order, with names.
func TestRealKernel(t *testing.T) {
	ns := nstest.New(t)
	ns.Veth("old0", "peer0", nil)
	var out nstest.Output
	stop := start(t, ns, Options{Out: &out})
	ns.IP("link set old0 name eth0")
	ns.IP("link set eth0 up")
	ns.IP("addr add 192.0.2.1/24 dev eth0")
	ns.IP("route add 198.51.100.0/24 via 192.0.2.2 metric 7")
	ns.IP("route del 198.51.100.0/24")
	ns.IP("neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth0")
	ns.IP("rule add from 192.0.2.0/24 lookup 100 priority 77")
	ns.IP("nexthop add id 5 via 192.0.2.3 dev eth0")
	if err := ns.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/ignore_routes_with_linkdown", []byte("1"), 0)
	}); err != nil {
		t.Fatal(err)
	}
	ns.IP("link del eth0")
	if err := stop(); err != nil {
		t.Error(err)
	}
	rest := out.String()
	for _, want := range []string{": eth0@peer0 down", ": eth0@peer0 up", "\n+ addr 192.0.2.1/24 dev eth0 ", "\n+ route 198.51.100.0/24 via 192.0.2.2 dev eth0",
		"\n- route 198.51.100.0/24 via 192.0.2.2 dev eth0", "\n+ neigh 192.0.2.9 dev eth0 lladdr 02:00:00:00:00:09 permanent\n",
		"\n+ rule 77: from 192.0.2.0/24 lookup 100\n", "\n+ nexthop id 5 via 192.0.2.3 dev eth0",
		"\n+ netconf inet6 dev eth0 ignore_routes_with_linkdown 1\n", ": eth0"} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no %q after what came before it, in\n%s", want, out.String())
		}
		rest = "\n" + after
	}
	if strings.Contains(out.String(), "!") || strings.Contains(out.String(), "?") {
		t.Errorf("something is lost or not understood:\n%s", out.String())
	}
}

// TestKernelLoss: a receive buffer that is too small. Printed and lost are
// together what was made, also over several losses.
func TestKernelLoss(t *testing.T) {
	const n, rounds = 2000, 5
	ns := nstest.New(t)
	r := newRouter(t, ns, n)
	var out nstest.Output
	stop := start(t, ns, Options{Kinds: []rtnl.Kind{rtnl.KindRoute}, Buffer: 1, JSON: true, Out: &out})
	for range rounds {
		r.send(r.add)
		r.send(r.del)
		time.Sleep(20 * time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	lines, lost := account(t, out.String())
	if got := uint64(lines) + lost["receive-buffer"]; got != 2*n*rounds || len(lost) != 1 || lines == 0 {
		t.Errorf("%d printed, %v lost; %d were made", lines, lost, 2*n*rounds)
	}
}

// TestSlowOutput: the output stands still until the queue has been full for
// long, then goes on. Printed and lost are together what was made, and the
// name of a link that came meanwhile is known afterwards.
func TestSlowOutput(t *testing.T) {
	const n = 5000
	ns := nstest.New(t)
	r := newRouter(t, ns, n)
	read, write := io.Pipe()
	stop := start(t, ns, Options{Kinds: []rtnl.Kind{rtnl.KindRoute}, Queue: 100_000, JSON: true, Out: write})
	r.send(r.add)
	r.send(r.del)
	ns.Veth("eth7", "peer7", nil)
	time.Sleep(50 * time.Millisecond)
	var out nstest.Output
	printed := make(chan struct{})
	go func() {
		_, _ = io.Copy(&out, read)
		close(printed)
	}()
	nstest.Eventually(t, 10*time.Second, func() string {
		if !strings.Contains(out.String(), `"lost"`) {
			return "no loss is printed"
		}
		return ""
	})
	ns.IP("addr add 192.0.2.1/24 dev eth7 noprefixroute")
	ns.IP("link set eth7 up")
	ns.IP("route add 198.51.100.0/24 via 192.0.2.2 dev eth7 onlink")
	nstest.Eventually(t, 10*time.Second, func() string {
		if !strings.Contains(out.String(), `"dev":"eth7","dst":"198.51.100.0/24"`) {
			return "no route through eth7 in " + out.String()[max(0, len(out.String())-2000):]
		}
		return ""
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
	write.Close()
	<-printed
	_, lost := account(t, out.String())
	routes := uint64(strings.Count(out.String(), `"dst":"10.`))
	if got := routes + lost["output"]; got != 2*n || len(lost) != 1 {
		t.Errorf("%d printed, %v lost; %d were made", routes, lost, 2*n)
	}
}

// TestEndWithOutputStuck: nobody reads, and still the end is an end, which
// says what was not printed.
func TestEndWithOutputStuck(t *testing.T) {
	ns := nstest.New(t)
	r := newRouter(t, ns, 2000)
	read, write := io.Pipe()
	defer read.Close()
	stop := start(t, ns, Options{Out: write})
	r.send(r.add)
	time.Sleep(50 * time.Millisecond)
	err := stop()
	var left int
	if err == nil {
		t.Fatal("no error")
	}
	if _, e := fmt.Sscanf(err.Error(), "monitor: %d notifications were read and not printed", &left); e != nil || left == 0 {
		t.Errorf("%v (%v)", err, e)
	}
}

// TestReaderHasGone: the end of whoever reads us is our quiet end.
func TestReaderHasGone(t *testing.T) {
	ns := nstest.New(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	r := newRouter(t, ns, 10)
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		done <- Run(context.Background(), Options{NSFD: ns.FD(), Out: write, Ready: func() { close(ready) }})
	}()
	<-ready
	r.send(r.add)
	if line, err := bufio.NewReader(read).ReadString('\n'); !strings.HasPrefix(line, "+ route 10.0.0.0 dev lo") {
		t.Errorf("%q %v", line, err)
	}
	read.Close()
	r.send(r.del)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it has not ended within 10 s")
	}
}

// BenchmarkMonitor prints notifications of routes as they come, at most
// 250,000 a second. Nothing may be lost.
func BenchmarkMonitor(b *testing.B) {
	for _, out := range []string{"null", "file"} {
		for _, form := range []string{"text", "json"} {
			b.Run(out+"/"+form, func(b *testing.B) { benchmark(b, out, form == "json") })
		}
	}
}

// benchmark makes b.N notifications.
func benchmark(b *testing.B, out string, json bool) {
	const batch, rate = 1000, 250_000
	path := os.DevNull
	if out == "file" {
		path = b.TempDir() + "/out"
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	ns := nstest.New(b)
	r := newRouter(b, ns, batch)
	var n counter
	stop := start(b, ns, Options{Kinds: []rtnl.Kind{rtnl.KindRoute}, JSON: json, Out: io.MultiWriter(&n, f)})
	b.ResetTimer()
	began, made := time.Now(), 0
	for msgs, next := r.add, r.del; made < b.N; msgs, next = next, msgs {
		r.send(msgs)
		made += batch
		time.Sleep(time.Until(began.Add(time.Duration(made) * time.Second / rate)))
	}
	fed := time.Since(began)
	if err := stop(); err != nil {
		b.Fatal(err)
	}
	all := time.Since(began)
	b.ReportMetric(float64(made)/fed.Seconds(), "made/s")
	b.ReportMetric(float64(n.lines)/all.Seconds(), "printed/s")
	b.ReportMetric(float64(made-n.lines), "lost")
	if n.losses != 0 || n.lines != made {
		b.Errorf("%d of %d lines, %d of them about losses", n.lines, made, n.losses)
	}
}

// counter counts lines.
type counter struct{ lines, losses int }

func (c *counter) Write(b []byte) (int, error) {
	s := string(b)
	c.lines += strings.Count(s, "\n")
	c.losses += strings.Count(s, "! ")
	return len(b), nil
}
