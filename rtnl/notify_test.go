package rtnl

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func (w *world) subscribe(rcvbuf int, groups ...uint32) *Notifier {
	w.Helper()
	n, err := Subscribe(w.ns.FD(), groups, rcvbuf)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { n.Close() })
	return n
}

// routesIn counts the route announcements of joined or single datagrams.
func routesIn(t *testing.T, b []byte) (n int) {
	t.Helper()
	for len(b) > 0 {
		h, body, rest, err := NextMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		b = rest
		var r Route
		if err := DecodeRoute(body, &r); err != nil || h.Type != unix.RTM_NEWROUTE && h.Type != unix.RTM_DELROUTE {
			t.Fatalf("message of type %d among routes: %v", h.Type, err)
		}
		n++
	}
	return n
}

func TestReceive(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	n := w.subscribe(4<<20, unix.RTNLGRP_IPV4_ROUTE)
	if size, err := n.Buffer(); err != nil || size < 4<<20 {
		t.Errorf("receive buffer of %d octets (%v)", size, err)
	}
	const count = 200
	w.do(manyRoutes(count, unix.RTM_NEWROUTE)...)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	seen, batches := 0, 0
	for seen < count {
		b, err := n.Receive(ctx)
		if err != nil {
			t.Fatalf("after %d: %v", seen, err)
		}
		seen += routesIn(t, b)
		batches++
	}
	if seen != count || batches > count/notifyBatch+1 {
		t.Errorf("%d announcements in %d batches", seen, batches)
	}

	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if b, err := n.Receive(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with nothing to hear: %d octets, %v", len(b), err)
	}
	w.do(manyRoutes(1, unix.RTM_DELROUTE)...)
	if b, err := n.Receive(ctx); err != nil || routesIn(t, b) != 1 {
		t.Errorf("after a wait that ended: %d octets, %v", len(b), err)
	}
}

// TestReceiveWakes: a waiting Receive sees what happens later, and Close ends
// it.
func TestReceiveWakes(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	n := w.subscribe(0, unix.RTNLGRP_IPV4_ROUTE)
	got := make(chan error, 2)
	go func() {
		for {
			_, err := n.Receive(context.Background())
			got <- err
			if err != nil {
				return
			}
		}
	}()
	time.Sleep(10 * time.Millisecond)
	w.do(manyRoutes(1, unix.RTM_NEWROUTE)...)
	wait := func() error {
		select {
		case err := <-got:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("Receive hangs")
			return nil
		}
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	n.Close()
	if err := wait(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := n.Drain(func([]byte) {}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Drain after Close: %v", err)
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	n := w.subscribe(4<<20, unix.RTNLGRP_IPV4_ROUTE)
	if err := n.Drain(func([]byte) { t.Error("something out of nothing") }); err != nil {
		t.Fatal(err)
	}
	w.do(manyRoutes(150, unix.RTM_NEWROUTE)...)
	// The kernel announces before it acknowledges: all is there now.
	seen := 0
	if err := n.Drain(func(b []byte) { seen += routesIn(t, b) }); err != nil || seen != 150 {
		t.Errorf("%d announcements, %v", seen, err)
	}
}

// TestOrder takes datagrams from two goroutines and wants the kernel's order.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	n := w.subscribe(16<<20, unix.RTNLGRP_IPV4_ROUTE)
	const count = 3000
	var last atomic.Int64
	var seen atomic.Int64
	last.Store(-1)
	note := func(b []byte) {
		for len(b) > 0 {
			_, body, rest, err := NextMessage(b)
			if err != nil {
				t.Error(err)
				return
			}
			b = rest
			var r Route
			if err := DecodeRoute(body, &r); err != nil {
				t.Error(err)
				return
			}
			a := r.Dst.Addr().As4()
			i := int64(a[1])<<16 | int64(a[2])<<8 | int64(a[3])
			if prev := last.Swap(i); prev != i-1 {
				t.Errorf("route %d after %d", i, prev)
			}
			seen.Add(1)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n.ReceiveFunc(ctx, note) == nil {
		}
	}()
	msgs := manyRoutes(count, unix.RTM_NEWROUTE)
	for first := 0; first < count; first += 100 {
		w.do(msgs[first : first+100]...)
		if err := n.Drain(note); err != nil {
			t.Fatal(err)
		}
		if got := seen.Load(); got != int64(first+100) {
			t.Fatalf("after Execute and Drain %d of %d announcements were handed on", got, first+100)
		}
	}
	cancel()
	<-done
}

// TestOverrun fills a small receive buffer: the loss is the first thing that
// is read, what was queued before it comes after.
func TestOverrun(t *testing.T) {
	for _, how := range []string{"Receive", "Drain"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			w.loopbackUp()
			n := w.subscribe(16<<10, unix.RTNLGRP_IPV4_ROUTE)
			w.do(manyRoutes(1000, unix.RTM_NEWROUTE)...)
			read := func() (int, error) {
				seen := 0
				err := n.Drain(func(b []byte) { seen += routesIn(t, b) })
				return seen, err
			}
			if how == "Receive" {
				read = func() (int, error) {
					b, err := n.Receive(context.Background())
					return routesIn(t, b), err
				}
			}
			if seen, err := read(); !errors.Is(err, ErrOverrun) || seen != 0 {
				t.Fatalf("the first read: %d announcements, %v; want the loss", seen, err)
			}
			if seen, err := read(); err != nil || seen == 0 || seen >= 1000 {
				t.Errorf("then: %d announcements, %v; want the older ones", seen, err)
			}
			_ = n.Drain(func([]byte) {})
			w.do(manyRoutes(1, unix.RTM_DELROUTE)...)
			if seen, err := read(); err != nil || seen != 1 {
				t.Errorf("after the loss: %d announcements, %v", seen, err)
			}
		})
	}
}

func TestSubscribeUnknownGroup(t *testing.T) {
	w := newWorld(t)
	if _, err := Subscribe(w.ns.FD(), []uint32{1 << 20}, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("group 2^20: %v", err)
	}
}

// TestForeignSender: another process can write to our port; what it says is
// not the kernel's word.
func TestForeignSender(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	n := w.subscribe(1<<20, unix.RTNLGRP_IPV4_ROUTE)
	var port uint32
	if err := n.raw.Control(func(fd uintptr) {
		if sa, err := unix.Getsockname(int(fd)); err == nil {
			port = sa.(*unix.SockaddrNetlink).Pid
		}
	}); err != nil || port == 0 {
		t.Fatalf("port %d, %v", port, err)
	}
	liar, err := openSock(w.ns.FD(), 0, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer liar.close()
	var sent error
	if err := liar.raw.Control(func(fd uintptr) {
		sent = unix.Sendto(int(fd), manyRoutes(1, unix.RTM_NEWROUTE)[0], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: port})
	}); err != nil || sent != nil {
		t.Fatal(err, sent)
	}
	if err := n.Drain(func([]byte) { t.Error("Drain believed it") }); err != nil {
		t.Error(err)
	}
	if err := liar.raw.Control(func(fd uintptr) {
		sent = unix.Sendto(int(fd), manyRoutes(1, unix.RTM_NEWROUTE)[0], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: port})
	}); err != nil || sent != nil {
		t.Fatal(err, sent)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if b, err := n.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Receive believed it: %d octets, %v", len(b), err)
	}
}
