package bench

import (
	"fmt"
	"hash/maphash"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// sink counts changes, and notes when those of links and addresses are heard.
type sink struct {
	routes int64
	seen   map[string]int64 // what changed (see linkMark, addrMark): monotonic ns
}

func newSink() *sink { return &sink{seen: map[string]int64{}} }

// linkMark and addrMark name a change so that the one who makes it and the one
// who hears of it agree.
func linkMark(mtu uint32) string { return fmt.Sprintf("mtu %d", mtu) }

func addrMark(a *rtnl.Addr, there bool) string { return fmt.Sprintf("addr %s %t", a.Local, there) }

// kindOfMark says what kind of change a mark names.
func kindOfMark(mark string) string {
	switch {
	case strings.HasPrefix(mark, "mtu"):
		return "MTU"
	case strings.HasSuffix(mark, "true"):
		return "new address"
	}
	return "address deleted"
}

func (s *sink) note(mark string) {
	if _, twice := s.seen[mark]; !twice {
		s.seen[mark] = monotonic()
	}
}

func (s *sink) LinkChanged(_ model.NS, _, now *rtnl.Link) {
	if now != nil {
		s.note(linkMark(now.MTU))
	}
}

func (s *sink) AddrChanged(_ model.NS, old, now *rtnl.Addr) {
	if now != nil {
		s.note(addrMark(now, true))
	} else {
		s.note(addrMark(old, false))
	}
}

func (s *sink) NetconfChanged(model.NS, *rtnl.Netconf, *rtnl.Netconf) {}
func (s *sink) RouteChanged(model.RouteKey)                           { s.routes++ }
func (s *sink) RuleChanged(model.NS, *rtnl.Rule, *rtnl.Rule)          {}
func (s *sink) NeighChanged(model.NS, *rtnl.Neigh, *rtnl.Neigh)       {}
func (s *sink) NexthopChanged(model.NS, *rtnl.Nexthop, *rtnl.Nexthop) {}
func (s *sink) SyncBegin(model.NS, rtnl.Kind)                         {}
func (s *sink) SyncEnd(model.NS, rtnl.Kind)                           {}

// monotonic is CLOCK_MONOTONIC, the same in every process.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // the clock is always there
	}
	return ts.Nano()
}

// digest is what a model holds, without order: two that hold the same have the
// same digest.
type digest struct {
	Links, Addrs, Routes, Rules int64
	Sum                         uint64
}

var seed = maphash.MakeSeed()

// digestOf reads a model.
func digestOf(e *mirror.Engine) (d digest) {
	e.Each(
		func(l *rtnl.Link) { d.Links++; d.Sum += maphash.Comparable(seed, *l) },
		func(a *rtnl.Addr) { d.Addrs++; d.Sum += maphash.Comparable(seed, *a) },
		func(r *rtnl.Route) { d.Routes++; d.Sum += maphash.Comparable(seed, *r) },
		func(r *rtnl.Rule) { d.Rules++; d.Sum += maphash.Comparable(seed, *r) })
	return d
}
