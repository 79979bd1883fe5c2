package netns

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// lab is a router between two hosts: a – phya [fwd] phyb – b, companions hosta
// and hostb in ctl, which has the router's addresses. What the pair engine does
// in the daemon the test does by hand.
type lab struct {
	*world
	a, b *nstest.NS
	dp   *Dataplane

	mu     sync.Mutex
	events []dataplane.Event
	more   chan struct{}
	epoch  uint32
	batch  uint64

	phya, phyb uint32
	hosta      dataplane.Pair
}

// Addresses of the lab: the router has .1 and ::1 of each link, the hosts .2
// and ::2; the router's loopback has own4 and own6.
const (
	netA4, netB4 = "192.0.2.", "198.51.100."
	netA6, netB6 = "2001:db8:a::", "2001:db8:b::"
	own4, own6   = "203.0.113.1", "2001:db8:f::1"
)

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{world: newWorld(t), a: nstest.New(t), b: nstest.New(t), more: make(chan struct{}, 1)}
	l.link("phya", l.a)
	l.link("phyb", l.b)
	l.ctl.IP("link set lo up")
	l.connect()
	t.Cleanup(func() { l.dp.Close() })
	l.phya, l.phyb = l.index("phya"), l.index("phyb")
	l.write(up(l.phya, true), up(l.phyb, true))
	l.hosta = l.write(l.pairAdd(l.phya, "hosta")).Made[0].Pair
	l.write(l.pairAdd(l.phyb, "hostb"))
	l.ctl.IP("link set hosta up")
	l.ctl.IP("link set hostb up")
	l.address(l.phya, "hosta", netA4+"1/24", netA6+"1/64", true)
	l.address(l.phyb, "hostb", netB4+"1/24", netB6+"1/64", true)
	for _, p := range []string{own4 + "/32", own6 + "/128"} {
		l.ctl.IP("addr add " + p + " dev lo")
		l.write(dataplane.Op{Kind: dataplane.LocalAdd, Addr: netip.MustParsePrefix(p).Addr()})
	}
	for _, h := range []struct {
		ns         *nstest.NS
		net4, net6 string
	}{{l.a, netA4, netA6}, {l.b, netB4, netB6}} {
		h.ns.IP("addr add " + h.net4 + "2/24 dev eth0")
		h.ns.IP("addr add " + h.net6 + "2/64 dev eth0 nodad")
		h.ns.IP("route add default via " + h.net4 + "1")
		h.ns.IP("-6 route add default via " + h.net6 + "1")
	}
	return l
}

// link makes a phy whose wire ends as eth0 of a host. The kernel is slow (1 s) to
// tell of carrier between ends that happen to have the same ifindex.
func (l *lab) link(phy string, host *nstest.NS) {
	l.fwd.IP(fmt.Sprintf("link add %s type veth peer name eth0 index 77 netns /proc/%d/fd/%d", phy, os.Getpid(), host.FD()))
	host.IP("link set lo up")
	host.IP("link set eth0 up")
}

// address gives the router an address: on the companion, in the sets, on the
// phy. Locals false leaves the sets out.
func (l *lab) address(phy uint32, host, p4, p6 string, locals bool) {
	l.t.Helper()
	l.ctl.IP("addr add " + p4 + " dev " + host + " brd +")
	l.ctl.IP("addr add " + p6 + " dev " + host + " nodad")
	var ops []dataplane.Op
	for _, s := range []string{p4, p6} {
		p := netip.MustParsePrefix(s)
		if locals {
			ops = append(ops, dataplane.Op{Kind: dataplane.LocalAdd, Addr: p.Addr()})
		}
		ops = append(ops, dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: p})
	}
	if locals {
		ops = append(ops, dataplane.Op{Kind: dataplane.AddrAdd, Index: phy, Prefix: l.linkLocal(host)})
	}
	l.write(ops...)
}

// linkLocal is the link-local address of a companion, without which a phy
// cannot look for its IPv6 neighbours.
func (l *lab) linkLocal(host string) (p netip.Prefix) {
	l.t.Helper()
	nstest.Eventually(l.t, 5*time.Second, func() string {
		for _, x := range l.ctl.JSON("-6 addr show scope link dev " + host) {
			list, _ := x["addr_info"].([]any)
			for _, a := range list {
				if ip, err := netip.ParseAddr(fmt.Sprint(a.(map[string]any)["local"])); err == nil {
					p = netip.PrefixFrom(ip, ip.BitLen())
					return ""
				}
			}
		}
		return host + " has no link-local address"
	})
	return p
}

func (l *lab) connect() {
	l.t.Helper()
	l.dp = New(l.options(l.deliver))
	l.epoch++
	l.dp.Connect(l.epoch)
	l.wait("Up", func(e dataplane.Event) bool {
		if d, ok := e.(dataplane.Down); ok {
			l.t.Fatal(d.Err)
		}
		_, ok := e.(dataplane.Up)
		return ok
	})
}

func (l *lab) deliver(e dataplane.Event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// wait takes events until f says that it was the one.
func (l *lab) wait(what string, f func(dataplane.Event) bool) {
	l.t.Helper()
	end := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		for len(l.events) > 0 {
			e := l.events[0]
			l.events = l.events[1:]
			if f(e) {
				l.mu.Unlock()
				return
			}
		}
		l.mu.Unlock()
		select {
		case <-l.more:
		case <-end:
			l.t.Fatalf("no %s", what)
		}
	}
}

func (l *lab) write(ops ...dataplane.Op) (done dataplane.Done) {
	l.t.Helper()
	l.batch++
	l.dp.Write(l.epoch, dataplane.Batch{ID: l.batch, Ops: ops})
	l.wait("Done", func(e dataplane.Event) bool {
		d, ok := e.(dataplane.Done)
		done = d
		return ok && d.ID == l.batch
	})
	for _, f := range done.Failed {
		l.t.Fatalf("%v: %v", done.Ops[f.Op].Kind, f.Err)
	}
	return done
}

// dumpRoutes is the dump of routes that follows a Disturbed.
func (l *lab) dumpRoutes() (n int) {
	l.t.Helper()
	l.dp.Dump(l.epoch, dataplane.KindRoute)
	l.wait("DumpDone", func(e dataplane.Event) bool {
		if d, ok := e.(dataplane.Dumped); ok {
			n += len(d.Routes)
		}
		d, ok := e.(dataplane.DumpDone)
		return ok && d.Kind == dataplane.KindRoute
	})
	return n
}

func (l *lab) index(name string) uint32 {
	l.t.Helper()
	for _, x := range l.fwd.JSON("link show") {
		if x["ifname"] == name {
			return uint32(x["ifindex"].(float64))
		}
	}
	l.t.Fatalf("no link %s", name)
	return 0
}

func (l *lab) pairAdd(phy uint32, host string) dataplane.Op {
	return dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: host, NetNS: l.ctlFile, HostPort: dataplane.NoIndex}}
}

func up(index uint32, on bool) dataplane.Op {
	return dataplane.Op{Kind: dataplane.SetUp, Index: index, On: on}
}

func route(p string, paths ...dataplane.Path) dataplane.Op {
	set := &dataplane.PathSet{Paths: paths}
	set.Sort()
	return dataplane.Op{Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Prefix: netip.MustParsePrefix(p)}, Paths: set}
}

func via(index uint32, gw string) dataplane.Path {
	return dataplane.Path{Index: index, Via: netip.MustParseAddr(gw), Weight: 1}
}

// ping sends packets and gives what ping says; every one must be answered.
func ping(t testing.TB, from *nstest.NS, args string) string {
	t.Helper()
	out, err := from.Try("ping", append(strings.Fields("-n -c 1 -W 5"), strings.Fields(args)...)...)
	if err != nil {
		t.Fatalf("ping %s: %v", args, err)
	}
	return out
}

// expect pings and wants a text in the answer.
func expect(t testing.TB, from *nstest.NS, args, text string) {
	t.Helper()
	if out := ping(t, from, args); !strings.Contains(out, text) {
		t.Errorf("ping %s: no %q in\n%s", args, text, out)
	}
}

func (l *lab) drops() (in, out uint64) {
	l.t.Helper()
	in, out, err := l.dp.Drops()
	if err != nil {
		l.t.Fatal(err)
	}
	return in, out
}

// neigh is the link-layer address that a namespace has for a neighbour.
func neigh(ns *nstest.NS, dev, addr string) string {
	for _, n := range ns.JSON("neigh show dev " + dev) {
		if n["dst"] == addr {
			s, _ := n["lladdr"].(string)
			return s
		}
	}
	return ""
}

// mac is the link-layer address of a link.
func (l *lab) mac(ns *nstest.NS, dev string) rtnl.HWAddr {
	l.t.Helper()
	for _, x := range ns.JSON("link show dev " + dev) {
		if h, err := rtnl.ParseHWAddr(fmt.Sprint(x["address"])); err == nil {
			return h
		}
	}
	l.t.Fatalf("no address of %s", dev)
	return rtnl.HWAddr{}
}

// carrier tells whether a companion has carrier.
func (l *lab) carrier(host string) bool {
	for _, x := range l.ctl.JSON("link show dev " + host) {
		flags, _ := x["flags"].([]any)
		return !slices.Contains(flags, any("NO-CARRIER"))
	}
	return false
}
