package kswitch

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/vmtest"
)

// measured is what a switch does for two stations.
type measured struct {
	first, established time.Duration // medians of round trips
	mbits              float64       // of one TCP connection
}

// measure has two stations ping each other, first with nothing known (forget is
// called before), then with everything known.
func (w *world) measure(a, b *station, forget func()) (m measured) {
	w.t.Helper()
	b.echo(w.t)
	c := a.socket(w.t, 0)
	median := func(n int, before func()) time.Duration {
		var all []time.Duration
		for range n {
			before()
			d, ok := a.ping(c, b, 3*time.Second)
			if !ok {
				w.t.Fatal("no answer")
			}
			all = append(all, d)
		}
		slices.Sort(all)
		return all[n/2]
	}
	m.first = median(40, func() {
		a.IP("neigh flush dev eth0")
		b.IP("neigh flush dev eth0")
		forget()
		time.Sleep(20 * time.Millisecond)
	})
	m.established = median(3000, func() {})
	return m
}

// tcp sends over one connection for a while and gives Mbit/s.
func (w *world) tcp(a, b *station, d time.Duration) float64 {
	w.t.Helper()
	var l net.Listener
	if err := b.Do(func() (err error) { l, err = net.Listen("tcp4", b.addr+":5001"); return err }); err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- 0
			return
		}
		defer c.Close()
		buf, n := make([]byte, 1<<20), int64(0)
		for {
			k, err := c.Read(buf)
			n += int64(k)
			if err != nil {
				got <- n
				return
			}
		}
	}()
	var c net.Conn
	if err := a.Do(func() (err error) { c, err = net.Dial("tcp4", b.addr+":5001"); return err }); err != nil {
		w.t.Fatal(err)
	}
	began := time.Now()
	buf := make([]byte, 1<<20)
	for time.Since(began) < d {
		if _, err := c.Write(buf); err != nil {
			w.t.Fatal(err)
		}
	}
	c.(*net.TCPConn).CloseWrite()
	n := <-got
	_, _ = io.Copy(io.Discard, c)
	c.Close()
	return float64(n) * 8 / time.Since(began).Seconds() / 1e6
}

// BenchmarkBesideBridge measures the switch beside a Linux bridge in the same
// machine. What is known is forwarded by the kernel in both; the first frame of a
// station goes through our process here.
func BenchmarkBesideBridge(b *testing.B) {
	w := newWorld(b, 4)
	st := w.stations
	w.IP("link add lb type bridge")
	w.IP("link set lb up")
	w.IP("link set p3 master lb")
	w.IP("link set p4 master lb")
	m := w.manager()
	m.Set([]model.Switch{{Name: "br0", Ports: []model.SwitchPort{{Name: "p1"}, {Name: "p2"}}}})
	w.settled("br0", 2)
	p, err := m.plane("br0")
	if err != nil {
		b.Fatal(err)
	}
	ours := w.measure(st[0], st[1], func() {
		if err := m.client.FlushFlows(m.ctx, p.dp); err != nil {
			b.Fatal(err)
		}
	})
	bridge := w.measure(st[2], st[3], func() {})
	// By turns, the best of each: others use the machine too.
	for range 4 {
		ours.mbits = max(ours.mbits, w.tcp(st[0], st[1], time.Second))
		bridge.mbits = max(bridge.mbits, w.tcp(st[2], st[3], time.Second))
	}
	for name, x := range map[string]measured{"netbraid": ours, "bridge": bridge} {
		b.ReportMetric(x.first.Seconds()*1000, name+"-first-ms")
		b.ReportMetric(x.established.Seconds()*1e6, name+"-established-us")
		b.ReportMetric(x.mbits, name+"-tcp-Mbit/s")
	}
	b.ReportMetric(0, "ns/op")
}

// TestKnown: what is known the kernel forwards; our process hears nothing of it.
func TestKnown(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 2)
	m := w.manager()
	m.Set([]model.Switch{{Name: "br0", Ports: []model.SwitchPort{{Name: "p1"}, {Name: "p2"}}}})
	w.settled("br0", 2)
	x, y := w.stations[0], w.stations[1]
	y.echo(t)
	c := x.socket(t, 0)
	pings := func(n int) uint64 {
		for range n {
			if _, ok := x.ping(c, y, 3*time.Second); !ok {
				t.Fatal("no answer")
			}
		}
		s, err := m.Status("br0")
		if err != nil || s.Lost != 0 || s.Refused != 0 {
			t.Fatalf("lost %d, refused %d (%v), %v", s.Lost, s.Refused, s.LastRefusal, err)
		}
		return s.Upcalls
	}
	const frames = 2000
	before := pings(3)
	if n := pings(frames) - before; n > frames/100 { // neighbours ask again from time to time
		t.Errorf("%d upcalls for %d frames each way that were known", n, frames)
	}
}
