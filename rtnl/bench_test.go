package rtnl

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkBulk measures what a dump and the receipt of notifications cost, one
// iteration is one of 300,000 routes. Bare is the same read without a look at
// what came.
func BenchmarkBulk(b *testing.B) {
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
	const count = 300000
	msgs := func(typ uint16) [][]byte {
		var all [][]byte
		for i := range count {
			r := Route{Family: unix.AF_INET, Type: unix.RTN_BLACKHOLE, Table: 254, Protocol: 77,
				Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
			flags := uint16(0)
			if typ == unix.RTM_NEWROUTE {
				flags = unix.NLM_F_CREATE
			}
			all = append(all, AppendRoute(nil, typ, flags, 0, &r))
		}
		return all
	}
	ctx := context.Background()
	do := func(m [][]byte) {
		for _, err := range c.Execute(ctx, m) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	add, del := msgs(unix.RTM_NEWROUTE), msgs(unix.RTM_DELROUTE)
	do(add)
	var r Route
	decode := func(d []byte) (n int) {
		for len(d) > 0 {
			_, body, rest, err := NextMessage(d)
			if err != nil {
				return n
			}
			if d = rest; len(body) > 4 && DecodeRoute(body, &r) == nil {
				n++
			}
		}
		return n
	}
	request := AppendDumpRequest(nil, KindRoute, 0, Filter{Family: unix.AF_INET, Protocol: 77})
	per := func(b *testing.B, spent time.Duration, n int) {
		b.ReportMetric(float64(spent.Nanoseconds())/float64(n), "ns/route")
		b.ReportMetric(0, "ns/op")
	}
	for name, look := range map[string]bool{"Dump/bare": false, "Dump/decoded": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			begin, n := cpuTime(), 0
			for b.Loop() {
				res, err := c.Dump(ctx, request, func(d []byte) error {
					if look {
						decode(d)
					}
					return nil
				})
				if err != nil || res.Messages != count {
					b.Fatal(res, err)
				}
				n += res.Messages
			}
			per(b, cpuTime()-begin, n)
		})
	}
	for name, look := range map[string]bool{"Listen/bare": false, "Listen/decoded": true} {
		b.Run(name, func(b *testing.B) {
			n, err := Subscribe(ns.FD(), []uint32{unix.RTNLGRP_IPV4_ROUTE}, 128<<20)
			if err != nil {
				b.Fatal(err)
			}
			defer n.Close()
			b.ReportAllocs()
			var spent time.Duration
			total := 0
			for b.Loop() {
				b.StopTimer()
				do(del[:100000])
				do(add[:20000])
				b.StartTimer()
				begin, seen := cpuTime(), 0
				if err := n.Listen(ctx, func(batch [][]byte) bool {
					for _, d := range batch {
						if look {
							decode(d)
						}
					}
					seen += len(batch)
					return seen < 120000
				}); err != nil {
					b.Fatal(err)
				}
				spent += cpuTime() - begin
				total += seen
				b.StopTimer()
				do(add[20000:100000])
				if err := n.Drain(func([]byte) {}); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			per(b, spent, total)
		})
	}
}

// cpuTime is what this process has spent, in user space and in the kernel.
func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
