package mirror_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/kernel"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/rtnl"

	"log/slog"
)

type quiet struct{}

func (quiet) LinkChanged(model.NS, *rtnl.Link, *rtnl.Link)          {}
func (quiet) AddrChanged(model.NS, *rtnl.Addr, *rtnl.Addr)          {}
func (quiet) RouteChanged(model.RouteKey)                           {}
func (quiet) RuleChanged(model.NS, *rtnl.Rule, *rtnl.Rule)          {}
func (quiet) NeighChanged(model.NS, *rtnl.Neigh, *rtnl.Neigh)       {}
func (quiet) NexthopChanged(model.NS, *rtnl.Nexthop, *rtnl.Nexthop) {}
func (quiet) NetconfChanged(model.NS, *rtnl.Netconf, *rtnl.Netconf) {}
func (quiet) SyncBegin(model.NS, rtnl.Kind)                         {}
func (quiet) SyncEnd(model.NS, rtnl.Kind)                           {}

// live is an engine on a real namespace.
type live struct {
	t      *testing.T
	ns     *nstest.NS
	e      *mirror.Engine
	k      *kernel.Kernel
	events chan core.Event
}

func newLive(t *testing.T, rcvbuf int) *live {
	l := &live{t: t, ns: nstest.New(t), events: make(chan core.Event, 4096), e: mirror.New(0, mirror.DefaultParams(), quiet{})}
	stop := make(chan struct{})
	var err error
	l.k, err = kernel.Open(kernel.Options{NSFD: l.ns.FD(), RcvBuf: rcvbuf, Log: slog.New(slog.DiscardHandler),
		Deliver: func(ev core.Event) {
			select {
			case l.events <- ev:
			case <-stop:
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(stop); l.k.Close() })
	l.e.Start(time.Now())
	l.pump(50 * time.Millisecond)
	return l
}

// pump handles events until none has come for a while.
func (l *live) pump(calm time.Duration) {
	for {
		for _, r := range l.e.Requests() {
			if r.Subscribe {
				l.k.Subscribe(r.Epoch)
			} else {
				l.k.Dump(r.Epoch, r.Dump, r.Family)
			}
		}
		select {
		case ev := <-l.events:
			now := time.Now()
			switch ev := ev.(type) {
			case core.Subscribed:
				l.e.Subscribed(ev.Epoch)
			case core.Lost:
				l.e.Lost(now, ev.Epoch)
			case core.Notified:
				l.e.Notified(now, ev.Epoch, ev.Data)
			case core.Dumped:
				l.e.Dumped(ev.Epoch, ev.Data)
			case core.DumpDone:
				l.e.DumpDone(now, ev.Epoch, ev.Kind, ev.Complete, ev.Interrupted)
			}
		case <-time.After(calm):
			l.e.Tick(time.Now())
			if l.e.Deadline().IsZero() {
				return
			}
		}
	}
}

func lines(e *mirror.Engine) []string {
	var out []string
	e.Each(
		func(l *rtnl.Link) { out = append(out, rtnl.FormatLink(l, nil)) },
		func(a *rtnl.Addr) {
			if !strings.HasPrefix(a.Local.String(), "fe80") {
				out = append(out, rtnl.FormatAddr(a, nil))
			}
		},
		func(r *rtnl.Route) {
			if r.Dst.Addr().Is4() {
				out = append(out, rtnl.FormatRoute(r, nil))
			}
		},
		func(r *rtnl.Rule) { out = append(out, rtnl.FormatRule(r, nil)) })
	slices.Sort(out)
	return out
}

// equal compares the engine with one that has just read everything.
func (l *live) equal(what string) {
	l.t.Helper()
	var diff []string
	for range 20 { // DAD and link watch are late
		l.pump(30 * time.Millisecond)
		fresh := &live{t: l.t, ns: l.ns, events: l.events, e: mirror.New(0, mirror.DefaultParams(), quiet{})}
		conn, err := rtnl.DialNS(l.ns.FD())
		if err != nil {
			l.t.Fatal(err)
		}
		readAll(l.t, conn, fresh.e)
		conn.Close()
		a, b := lines(l.e), lines(fresh.e)
		diff = diff[:0]
		for _, x := range a {
			if !slices.Contains(b, x) {
				diff = append(diff, "- "+x)
			}
		}
		for _, x := range b {
			if !slices.Contains(a, x) {
				diff = append(diff, "+ "+x)
			}
		}
		if len(diff) == 0 {
			return
		}
	}
	l.t.Fatalf("%s: the mirror (-) differs from the kernel (+):\n%s", what, strings.Join(diff, "\n"))
}

// TestSilentDeletions: the kernel removes these routes without a word. Each
// case fails when its rule is taken out of the engine.
func TestSilentDeletions(t *testing.T) {
	for _, c := range []struct {
		name string
		ops  []string
	}{
		{"link down", []string{"link set va down"}},
		{"link down and up", []string{"link set va down", "link set va up"}},
		{"last address gone", []string{"addr del 10.0.0.1/24 dev va"}},
		{"source address gone", []string{"addr del 10.9.0.1/24 dev vc"}},
		{"link deleted", []string{"link del va"}},
		{"several next hops", []string{"route add 10.6.0.0/16 nexthop via 10.0.0.9 nexthop via 10.9.1.9", "link set va down", "link set va up", "link del va"}},
		{"primary with its secondaries", []string{"addr add 10.0.0.2/24 dev va", "route add 10.44.0.0/16 via 10.0.0.9 src 10.0.0.2", "addr del 10.0.0.1/24 dev va"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLive(t, 1<<20)
			for _, op := range []string{"link add va type veth peer name vb", "link set va up", "link set vb up",
				"link add vc type veth peer name vd", "link set vc up", "link set vd up",
				"addr add 10.0.0.1/24 dev va", "addr add 10.9.0.1/24 dev vc", "addr add 10.9.1.1/24 dev vc",
				"route add 10.1.0.0/16 via 10.0.0.9", "route add 10.2.0.0/16 dev va", "route add blackhole 10.3.0.0/16",
				"route add 10.4.0.0/16 via 10.9.1.9 src 10.9.0.1", "route add 10.5.0.0/16 via 10.0.0.9 table 100"} {
				l.ns.IP(op)
			}
			l.equal("before")
			for _, op := range c.ops {
				l.ns.IP(op)
				l.equal("after " + op)
			}
		})
	}
}
