package mirror_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// consumer is a sink that writes down what it is told.
type consumer struct{ got []string }

func (h *consumer) note(what string, old, new bool) {
	h.got = append(h.got, what+map[[2]bool]string{{false, true}: " new", {true, false}: " gone", {true, true}: " changed"}[[2]bool{old, new}])
}

func (h *consumer) LinkChanged(_ model.NS, old, new *rtnl.Link) {
	h.note("link", old != nil, new != nil)
}
func (h *consumer) AddrChanged(_ model.NS, old, new *rtnl.Addr) {
	h.note("addr", old != nil, new != nil)
}
func (h *consumer) NeighChanged(_ model.NS, old, new *rtnl.Neigh) {
	h.note("neigh", old != nil, new != nil)
}
func (h *consumer) NexthopChanged(_ model.NS, old, new *rtnl.Nexthop) {
	h.note("nexthop", old != nil, new != nil)
}
func (h *consumer) NetconfChanged(_ model.NS, old, new *rtnl.Netconf) {
	h.note("netconf", old != nil, new != nil)
}
func (h *consumer) RuleChanged(_ model.NS, old, new *rtnl.Rule) {
	h.note("rule", old != nil, new != nil)
}
func (h *consumer) RouteChanged(k model.RouteKey)     { h.got = append(h.got, "route "+k.Dst.String()) }
func (h *consumer) SyncBegin(_ model.NS, k rtnl.Kind) { h.got = append(h.got, "begin "+k.String()) }
func (h *consumer) SyncEnd(_ model.NS, k rtnl.Kind)   { h.got = append(h.got, "end "+k.String()) }

func (h *consumer) take() []string {
	out := h.got
	h.got = nil
	return out
}

// script is an engine whose kernel is the test.
type script struct {
	t     *testing.T
	e     *mirror.Engine
	h     *consumer
	now   time.Time
	epoch uint32
	dumps []mirror.Request
}

func newScript(t *testing.T, p mirror.Params) *script {
	s := &script{t: t, h: &consumer{}, now: time.Unix(1000, 0)}
	s.e = mirror.New(0, p, s.h)
	s.e.Start(s.now)
	s.requests()
	s.e.Subscribed(s.epoch)
	s.requests()
	return s
}

func (s *script) requests() {
	for _, r := range s.e.Requests() {
		if r.Subscribe {
			s.epoch = r.Epoch
		} else {
			s.dumps = append(s.dumps, r)
		}
	}
}

// answer ends every dump that has been asked for with what there is.
func (s *script) answer(objects ...[]byte) {
	dumps := s.dumps
	s.dumps = nil
	for _, d := range dumps {
		for _, o := range objects {
			s.e.Dumped(d.Epoch, o)
		}
		s.e.DumpDone(s.now, d.Epoch, d.Dump, true, false)
	}
	s.requests()
}

func (s *script) notify(msgs ...[]byte) {
	s.e.Notified(s.now, s.epoch, slices.Concat(msgs...))
	s.requests()
}

func (s *script) work() (slices int) {
	for ; s.e.Busy(); slices++ {
		s.e.Tick(s.now)
	}
	s.requests()
	return slices
}

func (s *script) want(what string, want ...string) {
	s.t.Helper()
	if got := s.h.take(); !slices.Equal(got, want) {
		s.t.Errorf("%s: the consumer heard %q, want %q", what, got, want)
	}
}

func aLink(index uint32, name string, flags uint32) []byte {
	return rtnl.AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, &rtnl.Link{Index: index, Name: name, Flags: flags, ParentNSID: -1})
}

func aRoute(typ uint16, n int) []byte {
	return rtnl.AppendRoute(nil, typ, 0, 0, &rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: 254, Oif: 1,
		Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 0}), 24)})
}

// TestConsumers: consumers hear of each table its begin, its changes, its end;
// nothing of what has not changed; and everything again on request.
func TestConsumers(t *testing.T) {
	s := newScript(t, mirror.Params{})
	s.want("subscribed", "begin link", "begin addr", "begin netconf", "begin rule", "begin nexthop", "begin neigh", "begin route")
	eth0, r1, r2 := aLink(1, "eth0", unix.IFF_UP), aRoute(unix.RTM_NEWROUTE, 1), aRoute(unix.RTM_NEWROUTE, 2)
	s.answer(eth0, r1)
	s.want("first reading", "link new", "route 10.0.1.0/24", "end link", "end addr", "end netconf", "end rule", "end nexthop", "end neigh", "end route")

	s.notify(r1, eth0, r2)
	s.want("one route more", "route 10.0.2.0/24")

	s.e.Lost(s.now, s.epoch)
	s.requests()
	s.e.Subscribed(s.epoch)
	s.requests()
	s.h.take()
	s.answer(eth0, r2)
	s.want("nothing but a route has gone", "end link", "end addr", "end netconf", "end rule", "end nexthop", "end neigh", "route 10.0.1.0/24", "end route")

	late := &consumer{}
	s.e.Replay(late)
	if want := []string{"begin link", "link new", "end link", "begin addr", "end addr", "begin netconf", "end netconf", "begin rule", "end rule",
		"begin nexthop", "end nexthop", "begin neigh", "end neigh", "begin route", "route 10.0.2.0/24", "end route"}; !slices.Equal(late.got, want) {
		t.Errorf("a replay told %q, want %q", late.got, want)
	}
	if st := s.e.Stats(); st.Losses != 1 || st.Resyncs != 2 {
		t.Errorf("counted %+v, want 1 loss and 2 synchronisations", st)
	}
}

// TestSlices: the end of a large dump is worked off in steps of bounded size,
// between which other tables go on.
func TestSlices(t *testing.T) {
	s := newScript(t, mirror.Params{SyncBatchLimit: 10})
	s.answer(aLink(1, "eth0", unix.IFF_UP))
	s.h.take()
	for n := range 2000 {
		s.notify(aRoute(unix.RTM_NEWROUTE, n))
	}
	s.h.take()
	s.e.Refresh(rtnl.KindRoute)
	s.requests()
	for n := range 200 {
		s.notify(aRoute(unix.RTM_NEWROUTE, 5000+n)) // waits for the end of the dump
	}
	s.want("while a dump runs", "begin route")
	s.answer() // which shows none of the 2,000
	if !s.e.Busy() {
		t.Fatal("everything was done in one step")
	}
	s.h.take()
	s.notify(aLink(2, "eth1", 0))
	s.want("a link between two slices", "link new")
	if s.e.Live(rtnl.KindRoute) {
		t.Error("live before the end")
	}
	if n := s.work(); n < 20 {
		t.Errorf("worked off in %d slices", n)
	}
	if n := s.e.Count(rtnl.KindRoute); n != 200 || !s.e.Live(rtnl.KindRoute) {
		t.Errorf("%d routes, live %v; want the 200 that were heard", n, s.e.Live(rtnl.KindRoute))
	}
}

// TestAttemptDelay: loss after loss is answered at once, then later and later,
// up to the limit; calm begins anew.
func TestAttemptDelay(t *testing.T) {
	s := newScript(t, mirror.Params{SyncAttemptDelay: 100 * time.Millisecond})
	var delays []string
	for range 8 {
		s.e.Lost(s.now, s.epoch)
		at := s.e.Deadline()
		if at.IsZero() {
			delays = append(delays, "0")
		} else {
			delays = append(delays, fmt.Sprint(at.Sub(s.now).Milliseconds()))
			s.now = at
			s.e.Tick(s.now)
		}
		s.requests()
	}
	if want := []string{"0", "10", "20", "40", "80", "100", "100", "100"}; !slices.Equal(delays, want) {
		t.Errorf("delays in ms %v, want %v", delays, want)
	}
	s.e.Subscribed(s.epoch)
	s.dumps = nil
	s.requests()
	s.answer()
	s.e.Lost(s.now, s.epoch)
	if at := s.e.Deadline(); !at.IsZero() {
		t.Errorf("after a calm the first attempt waits until %s", at)
	}
}

// TestBadDumps: a dump that is not complete, or was interrupted, sweeps
// nothing and is made again, at once and then later and later.
func TestBadDumps(t *testing.T) {
	s := newScript(t, mirror.Params{})
	s.answer(aLink(1, "eth0", unix.IFF_UP), aRoute(unix.RTM_NEWROUTE, 1))
	s.h.take()
	s.e.Refresh(rtnl.KindRoute)
	waits := 0
	for range 6 {
		s.requests()
		if len(s.dumps) == 0 {
			at := s.e.Deadline()
			if at.IsZero() {
				t.Fatal("no further attempt")
			}
			waits++
			s.now = at
			s.e.Tick(s.now)
			s.requests()
		}
		d := s.dumps[0]
		s.dumps = nil
		s.e.DumpDone(s.now, d.Epoch, d.Dump, waits%2 == 0, waits%2 == 0) // incomplete, or interrupted
		if s.e.Count(rtnl.KindRoute) != 1 || s.e.Live(rtnl.KindRoute) {
			t.Fatalf("after a bad dump: %d routes, live %v", s.e.Count(rtnl.KindRoute), s.e.Live(rtnl.KindRoute))
		}
	}
	if waits < 3 {
		t.Errorf("%d attempts waited, want most", waits)
	}
	s.now = s.e.Deadline()
	s.e.Tick(s.now)
	s.requests()
	s.answer()
	if s.e.Count(rtnl.KindRoute) != 0 || !s.e.Live(rtnl.KindRoute) {
		t.Error("a good dump in the end does not sweep")
	}
}

// TestLifetimesRunOn: that the time of an address runs is no change.
func TestLifetimesRunOn(t *testing.T) {
	s := newScript(t, mirror.Params{})
	addr := func(valid uint32) []byte {
		return rtnl.AppendAddr(nil, unix.RTM_NEWADDR, 0, 0, &rtnl.Addr{Index: 1, Family: unix.AF_INET6, PrefixLen: 64,
			Local: netip.MustParseAddr("2001:db8::1"), Preferred: valid, Valid: valid})
	}
	s.answer(addr(600))
	s.h.take()
	s.now = s.now.Add(100 * time.Second)
	s.notify(addr(500))
	s.want("100 s later")
	s.notify(addr(600))
	s.want("renewed", "addr changed")
}
