package fib

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/mirror"
	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// realKernel drives the mirror of a world's only namespace on a real one.
type realKernel struct {
	w      *world
	ns     *nstest.NS
	conn   *rtnl.Conn
	notify *rtnl.Notifier
	epoch  uint32
}

var realGroups = []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP}

func newRealKernel(t *testing.T) *realKernel {
	ns := nstest.New(t)
	conn, err := rtnl.DialNS(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 1)
	w.tab.DropNS(0)
	clear(w.phys)
	r := &realKernel{w: w, ns: ns, conn: conn}
	t.Cleanup(func() {
		conn.Close()
		if r.notify != nil {
			r.notify.Close()
		}
	})
	w.now = time.Now()
	w.kernels[0] = &kernel{w: w, eng: mirror.New(0, mirror.Params{}, sink{w})}
	w.kernels[0].eng.Start(w.now)
	w.tab.AddNS(0)
	r.settle()
	w.connect()
	return r
}

// settle follows the kernel until it says nothing more for some time.
func (r *realKernel) settle() {
	eng := r.w.kernels[0].eng
	quiet := time.Now()
	for time.Since(quiet) < 150*time.Millisecond {
		for _, q := range eng.Requests() {
			quiet = time.Now()
			if q.Subscribe {
				n, err := rtnl.Subscribe(r.ns.FD(), realGroups, 1<<20)
				if err != nil {
					r.w.t.Fatal(err)
				}
				r.notify, r.epoch = n, q.Epoch
				eng.Subscribed(q.Epoch)
				continue
			}
			res, err := r.conn.Dump(context.Background(), rtnl.AppendDumpRequest(nil, q.Dump, 0, rtnl.Filter{Family: q.Family}), func(b []byte) error {
				eng.Dumped(q.Epoch, b)
				return nil
			})
			if err != nil {
				r.w.t.Fatal(err)
			}
			r.hear()
			eng.DumpDone(time.Now(), q.Epoch, q.Dump, res.Complete, res.Interrupted)
		}
		if r.hear() {
			quiet = time.Now()
		}
		if d := eng.Deadline(); !d.IsZero() {
			quiet = time.Now()
			time.Sleep(time.Until(d))
			eng.Tick(time.Now())
		}
		time.Sleep(time.Millisecond)
	}
	r.w.now = time.Now()
}

func (r *realKernel) hear() (some bool) {
	if r.notify == nil {
		return false
	}
	err := r.notify.Drain(func(b []byte) {
		some = true
		r.w.kernels[0].eng.Notified(time.Now(), r.epoch, b)
	})
	if err != nil {
		r.w.t.Fatal(err)
	}
	return some
}

// pair pairs a link of the namespace.
func (r *realKernel) pair(name string) {
	l := r.w.kernels[0].eng.LinkByName(name)
	if l == nil {
		r.w.t.Fatalf("no link %s", name)
	}
	r.w.phys[[2]uint32{0, l.Index}] = 1000 + l.Index
	r.w.tab.Rebind(0, l.Index)
}

// alive is what the kernel forwards by, from its own flags: the next hops of
// each route that are not dead, as the dataplane has to have them.
func (r *realKernel) alive() (out []string) {
	objects := map[uint32]rtnl.Nexthop{}
	_, err := r.conn.Dump(context.Background(), rtnl.AppendDumpRequest(nil, rtnl.KindNexthop, 0, rtnl.Filter{}), func(b []byte) error {
		return each(b, func(body []byte) error {
			var n rtnl.Nexthop
			err := rtnl.DecodeNexthop(body, &n)
			objects[n.ID] = n
			return err
		})
	})
	if err != nil {
		r.w.t.Fatal(err)
	}
	var routes []rtnl.Route
	_, err = r.conn.Dump(context.Background(), rtnl.AppendDumpRequest(nil, rtnl.KindRoute, 0, rtnl.Filter{}), func(b []byte) error {
		return each(b, func(body []byte) error {
			var x rtnl.Route
			err := rtnl.DecodeRoute(body, &x)
			routes = append(routes, x)
			return err
		})
	})
	if err != nil {
		r.w.t.Fatal(err)
	}
	best := map[netip.Prefix]string{}
	slices.SortStableFunc(routes, func(a, b rtnl.Route) int { return int(int64(a.Priority) - int64(b.Priority)) })
	for _, x := range routes {
		if x.Table != unix.RT_TABLE_MAIN || x.Protocol == unix.RTPROT_KERNEL || x.Type != unix.RTN_UNICAST {
			continue
		}
		hops := []rtnl.Hop{{Oif: x.Oif, Gateway: x.Gateway, Flags: uint8(x.Flags)}}
		if x.Multipath != "" {
			hops, _ = rtnl.Hops(x.Multipath)
		}
		var paths dataplane.PathSet
		for _, h := range hops {
			if h.Flags&unix.RTNH_F_DEAD == 0 {
				paths.Paths = append(paths.Paths, dataplane.Path{Index: 1000 + h.Oif, Via: h.Gateway, Weight: uint16(h.Weight) + 1})
			}
		}
		if len(paths.Paths) == 1 {
			paths.Paths[0].Weight = 1
		}
		if paths.Sort(); len(paths.Paths) > 0 && best[x.Dst] == "" {
			best[x.Dst] = x.Dst.String() + " " + setText(&paths)
		}
	}
	for _, s := range best {
		out = append(out, s)
	}
	return out
}

func each(b []byte, f func(body []byte) error) error {
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err == nil && h.Type >= unix.NLMSG_MIN_TYPE {
			err = f(body)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// TestKernelNextHops: a next hop is in the dataplane exactly when the real
// kernel does not count it dead: link down, carrier lost with and without
// ignore_routes_with_linkdown, last address removed, no address ever; of IPv4,
// IPv6, IPv4 through IPv6, and of next-hop objects.
func TestKernelNextHops(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		t.Run(fmt.Sprint("ignore_routes_with_linkdown=", ignore), func(t *testing.T) {
			r := newRealKernel(t)
			r.w.ignoreDown = ignore
			if ignore {
				for _, f := range []string{"ipv4", "ipv6"} {
					if err := r.ns.Do(func() error {
						return os.WriteFile("/proc/sys/net/"+f+"/conf/all/ignore_routes_with_linkdown", []byte("1"), 0)
					}); err != nil {
						t.Fatal(err)
					}
				}
			}
			ip := func(lines ...string) {
				for _, line := range lines {
					r.ns.IP(line)
				}
			}
			for i, l := range []string{"va", "vb", "vc", "vu"} { // vu has no IPv4 address
				r.ns.Veth(l, l+"peer", nil)
				ip("link set "+l+" up", fmt.Sprintf("-6 addr add 2001:db8:%d::1/64 dev %s nodad", i+1, l))
				if l != "vu" {
					ip(fmt.Sprintf("addr add 192.0.%d.1/24 dev %s", i+1, l))
				}
			}
			r.settle()
			for _, l := range []string{"va", "vb", "vc", "vu"} {
				r.pair(l)
			}
			ip("route add 10.0.0.0/8 nexthop via 192.0.1.2 dev va weight 1 nexthop via 192.0.2.2 dev vb weight 3",
				"route add 10.1.0.0/16 via 192.0.1.2 dev va", "route add 10.1.0.0/16 via 192.0.3.2 dev vc metric 100",
				"route add 10.2.0.0/16 nexthop via inet6 2001:db8:4::2 dev vu nexthop via 192.0.2.2 dev vb",
				"-6 route add 2001:db8:a::/48 nexthop via 2001:db8:1::2 dev va nexthop via 2001:db8:2::2 dev vb weight 2",
				"-6 route add 2001:db8:b::/48 via 2001:db8:1::2 dev va metric 10", "-6 route add 2001:db8:b::/48 via 2001:db8:3::2 dev vc metric 20",
				"nexthop add id 1 via 192.0.1.2 dev va", "nexthop add id 2 via 192.0.2.2 dev vb",
				"nexthop add id 9 group 1,1/2,4", "route add 10.3.0.0/16 nhid 9",
				"nexthop add id 11 via 2001:db8:1::2 dev va", "nexthop add id 12 via 2001:db8:3::2 dev vc", "nexthop add id 19 group 11/12",
				"-6 route add 2001:db8:c::/48 nhid 19")
			check := func(what string) {
				t.Helper()
				var want []string
				nstest.Eventually(t, 20*time.Second, func() string { // link watch is slow at times
					r.settle()
					r.w.rest()
					want = r.alive()
					var got []string
					for _, k := range sortedKeys(r.w.plane.routes) {
						if s := r.w.plane.routes[k]; k.Prefix.Addr().Is4() && k.Prefix.Addr().As4()[0] == 10 || strings.HasPrefix(k.Prefix.String(), "2001:db8:") && k.Prefix.Bits() == 48 {
							got = append(got, keyText(k)+" "+setText(s))
						}
					}
					slices.Sort(got)
					slices.Sort(want)
					if !slices.Equal(got, want) {
						return fmt.Sprintf("%s: the dataplane has\n  %s\nthe kernel forwards by\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
					}
					return ""
				})
				t.Logf("%s:\n  %s", what, strings.Join(want, "\n  "))
			}
			check("all up")
			ip("link set vapeer down")
			check("a without carrier")
			ip("link set vapeer up")
			check("a with carrier")
			ip("link set vb down")
			check("b down")
			ip("link set vb up")
			check("b up")
			ip("addr del 192.0.2.1/24 dev vb")
			check("b without its address")
			ip("addr add 192.0.2.1/24 dev vb")
			check("b with its address")
			ip("link set vupeer down")
			check("u without carrier")
			ip("link del vc")
			check("c is gone")
		})
	}
}
