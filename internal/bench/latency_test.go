package bench

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

const (
	latencyChanges = 300 // of each kind
	latencyPause   = 5 * time.Millisecond
	latencyRate    = 100_000 // route notifications a second meanwhile
)

// changer changes a link and its addresses and notes when it asked for each.
type changer struct {
	conn  *rtnl.Conn
	index uint32
	asked map[string]int64
	calls []float64 // ms that each call took
}

func (c *changer) do(mark string, msg []byte) error {
	at := monotonic()
	err := c.conn.Execute(context.Background(), [][]byte{msg})[0]
	c.calls = append(c.calls, float64(monotonic()-at)/1e6)
	c.asked[mark] = at
	return err
}

// change makes the i-th changes: another MTU, an address more, one less.
func (c *changer) change(i int) error {
	link := rtnl.LinkRequest{Link: rtnl.Link{Index: c.index, MTU: uint32(1300 + i)}, Set: rtnl.LinkMTU}
	if err := c.do(linkMark(link.MTU), rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST, 0, &link)); err != nil {
		return err
	}
	time.Sleep(latencyPause)
	a := rtnl.Addr{Index: c.index, Family: unix.AF_INET, PrefixLen: 32, Local: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}),
		Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
	flags := uint16(unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if err := c.do(addrMark(&a, true), rtnl.AppendAddr(nil, unix.RTM_NEWADDR, flags, 0, &a)); err != nil {
		return err
	}
	time.Sleep(latencyPause)
	if err := c.do(addrMark(&a, false), rtnl.AppendAddr(nil, unix.RTM_DELADDR, unix.NLM_F_REQUEST, 0, &a)); err != nil {
		return err
	}
	time.Sleep(latencyPause)
	return nil
}

// benchLatency changes a link and addresses in a storm of routes, and looks how
// long each takes from the system call to the consumer of the mirror. Each
// address that goes is the last of its link.
func benchLatency(b *testing.B, w *world) {
	m := w.model(b, bigBuffer)
	conn, err := rtnl.DialNS(w.ns.FD())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	c := &changer{conn: conn, index: uint32(w.index("vc")), asked: map[string]int64{}}
	m.ask("start")
	w.feed.ask("start %d", latencyRate)
	for i := range latencyChanges {
		if err := c.change(i); err != nil {
			b.Fatal(err)
		}
	}
	fed := w.feed.ask("stop")
	r := m.ask("stop")
	m.ask("check")
	var ms []float64
	kinds := samples{}
	for mark, at := range c.asked {
		heard, ok := r.Seen[mark]
		if !ok {
			b.Fatalf("%s was never heard of", mark)
		}
		ms = append(ms, float64(heard-at)/1e6)
		kinds.add(kindOfMark(mark), float64(heard-at)/1e6)
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		parts = append(parts, fmt.Sprintf("%s p50 %.2f p99 %.2f ms", kind, percentile(kinds[kind], 0.5), percentile(kinds[kind], 0.99)))
	}
	rate := float64(fed.N) / (float64(fed.Wall) / 1e9)
	p50, p99 := percentile(ms, 0.5), percentile(ms, 0.99)
	b.ReportMetric(p50, "ms-p50")
	b.ReportMetric(p99, "ms-p99")
	b.ReportMetric(rate, "notifications/s")
	atMost(b, "link or address change heard in a storm of routes, p99", p99, " ms", 10,
		"p50 %.2f ms, longest %.2f ms of %d changes (%s); %.0f route notifications a second, %.0f losses; the system call itself p99 %.2f ms; in %.1f s the mirror used %.1f s of CPU and waited %.1f s for a processor",
		p50, percentile(ms, 1), len(ms), strings.Join(parts, ", "), rate, r.Values["losses"], percentile(c.calls, 0.99),
		float64(fed.Wall)/1e9, r.Values["cpu ms"]/1e3, r.Values["waited for a processor ms"]/1e3)
}
