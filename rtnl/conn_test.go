package rtnl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manyRoutes are requests for n different routes through the loopback.
func manyRoutes(n int, typ uint16) [][]byte {
	flags := uint16(0)
	if typ == unix.RTM_NEWROUTE {
		flags = add
	}
	msgs := make([][]byte, n)
	for i := range msgs {
		r := Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: 254, Protocol: 77, Oif: 1, Scope: unix.RT_SCOPE_LINK,
			Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
		msgs[i] = AppendRoute(nil, typ, flags, 0, &r)
	}
	return msgs
}

func (w *world) loopbackUp() {
	w.Helper()
	w.do(setLink(LinkRequest{Link: Link{Index: 1, Flags: unix.IFF_UP}, Set: LinkUp}))
}

// TestExecuteMany sends more than a receive buffer's worth of requests, every
// third of them twice, so that errors stand among acknowledgements.
func TestExecuteMany(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	const count = 5000
	var msgs [][]byte
	for i, m := range manyRoutes(count, unix.RTM_NEWROUTE) {
		msgs = append(msgs, m)
		if i%3 == 0 {
			msgs = append(msgs, m)
		}
	}
	before := bytes.Clone(msgs[0])
	errs := w.try(msgs...)
	if !bytes.Equal(before, msgs[0]) {
		t.Error("Execute changed the caller's message")
	}
	for i, err := range errs {
		again := i > 0 && bytes.Equal(msgs[i], msgs[i-1])
		if again != errors.Is(err, unix.EEXIST) || !again && err != nil {
			t.Fatalf("request %d (a repetition: %v): %v", i, again, err)
		}
	}
	seen := 0
	res, err := w.conn.Dump(context.Background(), AppendDumpRequest(nil, KindRoute, 0, Filter{Family: unix.AF_INET, Protocol: 77}), func(b []byte) error {
		var r Route
		for len(b) > 0 {
			h, body, rest, err := NextMessage(b)
			if err != nil {
				return err
			}
			if b = rest; h.Type == unix.RTM_NEWROUTE && DecodeRoute(body, &r) == nil && r.Oif == 1 {
				seen++
			}
		}
		return nil
	})
	if err != nil || res != (DumpResult{Complete: true, Messages: count}) || seen != count {
		t.Errorf("dump of %d routes: %+v, %d decoded, %v", count, res, seen, err)
	}
}

// TestExecuteSmallBuffer: batches are bounded so that the acknowledgements fit
// even a receive buffer that could not be made larger.
func TestExecuteSmallBuffer(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	if err := w.conn.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10)
	}); err != nil {
		t.Fatal(err)
	}
	w.conn.acks = 128 << 10 / ackCost
	for i, err := range w.try(manyRoutes(1000, unix.RTM_NEWROUTE)...) {
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}

func TestExecuteCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	errs := w.conn.Execute(ctx, [][]byte{newLink(LinkRequest{Link: Link{Name: "br0", Kind: kindBridge}, Set: LinkName})})
	var e *Error
	if !errors.As(errs[0], &e) || !e.Unsent || !errors.Is(e, context.Canceled) || !errors.Is(e, unix.ECANCELED) {
		t.Errorf("%#v", errs[0])
	}
	if _, ok := w.links()["br0"]; ok {
		t.Error("the request was carried out all the same")
	}
}

// TestDumpGivenUp: an error of the callback ends a dump, and the socket is
// good for the next requests, of which the kernel would refuse a second dump.
func TestDumpGivenUp(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	w.do(manyRoutes(3000, unix.RTM_NEWROUTE)...)
	enough := errors.New("enough")
	calls := 0
	res, err := w.conn.Dump(context.Background(), AppendDumpRequest(nil, KindRoute, 0, Filter{Family: unix.AF_INET}), func([]byte) error {
		calls++
		return enough
	})
	if !errors.Is(err, enough) || calls != 1 || res.Complete {
		t.Errorf("%+v after %d calls: %v", res, calls, err)
	}
	if n := len(dumpAll(w, KindRoute, Filter{Family: unix.AF_INET, Protocol: 77}, DecodeRoute)); n != 3000 {
		t.Errorf("the next dump has %d routes", n)
	}
	_, _ = w.conn.Dump(context.Background(), AppendDumpRequest(nil, KindRoute, 0, Filter{Family: unix.AF_INET}), func([]byte) error { return enough })
	w.do(manyRoutes(1, unix.RTM_DELROUTE)...)
}

func TestDumpRefused(t *testing.T) {
	w := newWorld(t)
	_, err := w.conn.Dump(context.Background(), AppendDumpRequest(nil, KindRoute, 0, Filter{Family: unix.AF_INET, Table: 4242}), func([]byte) error { return nil })
	var e *Error
	if !errors.As(err, &e) || e.Errno != unix.ENOENT || e.Type != unix.RTM_GETROUTE || e.Message == "" {
		t.Errorf("dump of a table that does not exist: %v", err)
	}
	bad := AppendDumpRequest(nil, KindAddr, 0, Filter{})
	bad[unix.SizeofNlMsghdr+1] = 24 // a prefix length has no place there
	if res, err := w.conn.Dump(context.Background(), bad, func([]byte) error { return nil }); !errors.Is(err, unix.EINVAL) || res.Complete {
		t.Errorf("strict checking let a malformed request pass: %+v, %v", res, err)
	}
}

// TestDumpInterrupted makes a link at every datagram of a dump of links, which
// the kernel has to tell.
func TestDumpInterrupted(t *testing.T) {
	w := newWorld(t)
	bridge := func(index uint32) []byte {
		return newLink(LinkRequest{Link: Link{Index: index, Kind: kindBridge, Name: fmt.Sprintf("br%d", index)}, Set: LinkName})
	}
	var msgs [][]byte
	for i := range uint32(120) {
		msgs = append(msgs, bridge(1000+i))
	}
	w.do(msgs...)
	second, err := DialNS(w.ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	ctx, request := context.Background(), AppendDumpRequest(nil, KindLink, 0, Filter{})
	next := uint32(5000)
	res, err := w.conn.Dump(ctx, request, func([]byte) error {
		next++
		return second.Execute(ctx, [][]byte{bridge(next)})[0]
	})
	if err != nil || !res.Complete || !res.Interrupted {
		t.Errorf("%+v, %v; want a dump that is complete and interrupted", res, err)
	}
	if res, err := w.conn.Dump(ctx, request, func([]byte) error { return nil }); err != nil || res.Interrupted || !res.Complete {
		t.Errorf("an undisturbed dump: %+v, %v", res, err)
	}
}

// TestScan holds what a dump makes of headers that the kernel rarely sends.
func TestScan(t *testing.T) {
	link := Link{Index: 3, Name: "e", ParentNSID: -1}
	head := func(typ, flags uint16) []byte { return closeMessage(openMessage(nil, typ, flags, 9), 0) }
	for _, tc := range []struct {
		name string
		in   []byte
		want part
		err  error
	}{
		{"noop", head(unix.NLMSG_NOOP, 0), part{}, nil},
		{"overrun", head(unix.NLMSG_OVERRUN, 0), part{}, ErrOverrun},
		{"another request's", AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 8, &link), part{}, nil},
		{"object", AppendLinkInfo(nil, unix.RTM_NEWLINK, unix.NLM_F_MULTI, 9, &link), part{objects: 1}, nil},
		{"interrupted", AppendLinkInfo(nil, unix.RTM_NEWLINK, unix.NLM_F_DUMP_INTR, 9, &link), part{objects: 1, interrupted: true}, nil},
		{"done", AppendDone(nil, 9, 0), part{ended: true}, nil},
		{"objects, then interrupted at the end", func() []byte {
			b := AppendLinkInfo(nil, unix.RTM_NEWLINK, unix.NLM_F_MULTI, 9, &link)
			n := len(b)
			b = AppendDone(AppendLinkInfo(b, unix.RTM_NEWLINK, unix.NLM_F_MULTI, 9, &link), 9, 0)
			ne.PutUint16(b[2*n+6:], unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR)
			return b
		}(), part{objects: 2, ended: true, interrupted: true}, nil},
		{"objects, then an error at the end", AppendDone(AppendLinkInfo(nil, unix.RTM_NEWLINK, unix.NLM_F_MULTI, 9, &link), 9, int(unix.EOPNOTSUPP)),
			part{objects: 1, ended: true}, unix.EOPNOTSUPP},
		{"objects, then an overrun", append(AppendLinkInfo(nil, unix.RTM_NEWLINK, unix.NLM_F_MULTI, 9, &link), head(unix.NLMSG_OVERRUN, 0)...), part{objects: 1}, ErrOverrun},
		{"done with an error", AppendDone(nil, 9, int(unix.EMSGSIZE)), part{ended: true}, unix.EMSGSIZE},
		{"error", AppendError(nil, 9, int(unix.EBUSY), Header{}, ""), part{ended: true}, unix.EBUSY},
		{"cut", AppendDone(nil, 9, 0)[:17], part{}, io.ErrUnexpectedEOF},
	} {
		got, err := scan(tc.in, 9)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", tc.name, got, err, tc.want, tc.err)
		}
	}
}

func TestConnClosed(t *testing.T) {
	w := newWorld(t)
	c, err := DialNS(w.ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	errs := c.Execute(context.Background(), manyRoutes(1, unix.RTM_NEWROUTE))
	var e *Error
	if !errors.As(errs[0], &e) || !e.Unsent || !errors.Is(e, os.ErrClosed) {
		t.Errorf("on a closed socket: %v", errs[0])
	}
	if _, err := c.Dump(context.Background(), AppendDumpRequest(nil, KindLink, 0, Filter{}), nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("on a closed socket: %v", err)
	}
}

// TestConnShared uses one Conn from several goroutines.
func TestConnShared(t *testing.T) {
	w := newWorld(t)
	w.loopbackUp()
	msgs := manyRoutes(400, unix.RTM_NEWROUTE)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for _, err := range w.conn.Execute(context.Background(), msgs[i*100:(i+1)*100]) {
				if err != nil {
					t.Error(err)
				}
			}
			if res, err := w.conn.Dump(context.Background(), AppendDumpRequest(nil, KindLink, 0, Filter{}), func([]byte) error { return nil }); err != nil || !res.Complete {
				t.Error(res, err)
			}
		})
	}
	wg.Wait()
	if n := len(dumpAll(w, KindRoute, Filter{Family: unix.AF_INET, Protocol: 77}, DecodeRoute)); n != 400 {
		t.Errorf("%d routes, want 400", n)
	}
}

// BenchmarkKernel measures the real kernel and us: one iteration is one route.
func BenchmarkKernel(b *testing.B) {
	ns, err := NewNS()
	if err != nil {
		b.Skip(err)
	}
	defer ns.Close()
	c, err := DialNS(ns.FD())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if err := c.Execute(ctx, [][]byte{setLink(LinkRequest{Link: Link{Index: 1, Flags: unix.IFF_UP}, Set: LinkUp})})[0]; err != nil {
		b.Fatal(err)
	}
	const count = 50000
	execute := func(b *testing.B, typ uint16) {
		for _, err := range c.Execute(ctx, manyRoutes(count, typ)) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("Execute", func(b *testing.B) {
		for b.Loop() {
			execute(b, unix.RTM_NEWROUTE)
			execute(b, unix.RTM_DELROUTE)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count/2, "ns/request")
	})
	b.Run("Dump", func(b *testing.B) {
		execute(b, unix.RTM_NEWROUTE)
		b.ReportAllocs()
		seen := 0
		for b.Loop() {
			var r Route
			res, err := c.Dump(ctx, AppendDumpRequest(nil, KindRoute, 0, Filter{Family: unix.AF_INET, Protocol: 77}), func(d []byte) error {
				for len(d) > 0 {
					h, body, rest, err := NextMessage(d)
					if err != nil {
						return err
					}
					if d = rest; h.Type == unix.RTM_NEWROUTE {
						if err := DecodeRoute(body, &r); err != nil {
							return err
						}
						seen++
					}
				}
				return nil
			})
			if err != nil || !res.Complete {
				b.Fatal(res, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(seen), "ns/route")
		execute(b, unix.RTM_DELROUTE)
	})
}
