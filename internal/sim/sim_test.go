package sim

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

func linkMsg(typ, flags uint16, r *rtnl.LinkRequest) []byte {
	return rtnl.AppendLink(nil, typ, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK, 1, r)
}

// must wants the request to succeed.
func must(t testing.TB, k *Kernel, msg []byte) {
	t.Helper()
	if e := k.Request(msg); e != nil {
		h, body, _, _ := rtnl.NextMessage(msg)
		t.Fatalf("%s: %v", rtnl.FormatMessage(h, body, nil), e)
	}
}

func up(index uint32) []byte {
	return linkMsg(unix.RTM_SETLINK, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: index, Flags: unix.IFF_UP}, Set: rtnl.LinkUp})
}

func addrMsg(index uint32, prefix string) []byte {
	p := netip.MustParsePrefix(prefix)
	a := rtnl.Addr{Index: index, Family: unix.AF_INET, Local: p.Addr(), PrefixLen: uint8(p.Bits()),
		Valid: rtnl.LifetimeForever, Preferred: rtnl.LifetimeForever}
	if p.Addr().Is6() {
		a.Family = unix.AF_INET6
	}
	return rtnl.AppendAddr(nil, unix.RTM_NEWADDR, create|unix.NLM_F_REQUEST, 1, &a)
}

// world is a card that is up and has an address.
func world(t testing.TB) (*Kernel, uint32) {
	k := New(Options{Seed: 1})
	i, err := k.AddHardware("eth0")
	if err != nil {
		t.Fatal(err)
	}
	must(t, k, up(i))
	must(t, k, addrMsg(i, "192.0.2.1/24"))
	return k, i
}

func TestOverrun(t *testing.T) {
	k, i := world(t)
	k.opts.QueueBytes = 2000
	k.Subscribe(unix.RTNLGRP_IPV4_ROUTE)
	route := func(n byte, typ uint16) []byte {
		r := rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: unix.RT_TABLE_MAIN, Scope: unix.RT_SCOPE_LINK, Oif: i,
			Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, n, 0, 0}), 16)}
		return rtnl.AppendRoute(nil, typ, create|unix.NLM_F_REQUEST, 1, &r)
	}
	for n := range byte(10) {
		must(t, k, route(n, unix.RTM_NEWROUTE))
	}
	if _, lost, ok := k.Receive(); !ok || !lost {
		t.Fatalf("first read after loss: lost %v, ok %v", lost, ok)
	}
	must(t, k, route(99, unix.RTM_NEWROUTE)) // lost too: the queue was not empty since
	stale := 0
	for {
		b, lost, ok := k.Receive()
		if !ok {
			break
		}
		if lost || b == nil {
			t.Fatal("loss was reported twice")
		}
		stale++
	}
	if stale != 3 {
		t.Errorf("%d stale messages, want 3: 2000 octets hold two of 832, and one that crosses the limit", stale)
	}
	must(t, k, route(100, unix.RTM_NEWROUTE))
	if b, lost, ok := k.Receive(); !ok || lost || b == nil {
		t.Error("an emptied queue does not work again")
	}
	k.Overflow()
	if _, lost, ok := k.Receive(); !ok || !lost {
		t.Error("Overflow is not reported")
	}
}

func TestFaults(t *testing.T) {
	k, i := world(t)
	k.FailNext(func(h rtnl.Header, _ []byte) bool { return h.Type == unix.RTM_NEWADDR }, unix.ENOMEM)
	must(t, k, up(i))
	if e := k.Request(addrMsg(i, "192.0.2.9/24")); e == nil || !errors.Is(e, unix.ENOMEM) {
		t.Errorf("ordered failure: %v", e)
	}
	must(t, k, addrMsg(i, "192.0.2.9/24"))

	req := rtnl.AppendDumpRequest(nil, rtnl.KindAddr, 7, rtnl.Filter{})
	headers := func(ds [][]byte) (hs []rtnl.Header) {
		for _, b := range ds {
			for len(b) > 0 {
				h, _, rest, err := rtnl.NextMessage(b)
				if err != nil {
					t.Fatal(err)
				}
				hs, b = append(hs, h), rest
			}
		}
		return hs
	}
	whole := headers(k.Dump(req))
	if last := whole[len(whole)-1]; last.Type != unix.NLMSG_DONE || last.Seq != 7 {
		t.Errorf("a dump ends with %+v", last)
	}
	k.InterruptDump()
	interrupted := headers(k.Dump(req))
	if h := interrupted[len(interrupted)-1]; h.Flags&unix.NLM_F_DUMP_INTR == 0 {
		t.Errorf("interrupted dump ends with %+v", h)
	}
	k.TruncateDump()
	short := headers(k.Dump(req))
	if len(short) >= len(whole)-1 {
		t.Errorf("truncated dump has %d of %d messages", len(short), len(whole))
	}
	for _, h := range short {
		if h.Type == unix.NLMSG_DONE {
			t.Error("truncated dump has NLMSG_DONE")
		}
	}
	if again := headers(k.Dump(req)); len(again) != len(whole) {
		t.Error("faults outlive one dump")
	}
}

func TestDumpDatagrams(t *testing.T) {
	k, i := world(t)
	for n := range 1000 {
		must(t, k, addrMsg(i, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}), 32).String()))
	}
	ds := k.Dump(rtnl.AppendDumpRequest(nil, rtnl.KindAddr, 1, rtnl.Filter{Family: unix.AF_INET}))
	if len(ds) < 3 {
		t.Fatalf("1001 addresses in %d datagrams", len(ds))
	}
	for _, d := range ds {
		if len(d) > 32768 {
			t.Errorf("datagram of %d octets", len(d))
		}
	}
	all, err := texts(ds)
	if err != nil || len(all) != 1001 {
		t.Errorf("%d addresses, %v", len(all), err)
	}
}

func TestLifetimes(t *testing.T) {
	k, i := world(t)
	p := netip.MustParsePrefix("2001:db8::1/64")
	a := rtnl.Addr{Index: i, Family: unix.AF_INET6, Local: p.Addr(), PrefixLen: 64, Valid: 20, Preferred: 10}
	must(t, k, rtnl.AppendAddr(nil, unix.RTM_NEWADDR, create|unix.NLM_F_REQUEST, 1, &a))
	k.Subscribe(unix.RTNLGRP_IPV6_IFADDR)
	var got []string
	for _, d := range []time.Duration{5 * time.Second, 6 * time.Second, 10 * time.Second} {
		k.Tick(d)
		var hi history
		for {
			b, _, ok := k.Receive()
			if !ok {
				break
			}
			if err := hi.add(b); err != nil {
				t.Fatal(err)
			}
		}
		var step []string
		for _, s := range hi.objects["addr 2 2001:db8::1/64"] {
			f := strings.Fields(headline(s))
			step = append(step, f[0])
		}
		got = append(got, strings.Join(step, ""))
	}
	// 1 s: duplicate address detection; 10 s: deprecated; 20 s: gone
	if want := "+,+,-"; strings.Join(got, ",") != want {
		t.Errorf("announced %q, want %q", strings.Join(got, ","), want)
	}
}

func TestSameSeedSameWorld(t *testing.T) {
	run := func() string {
		g, k := newGenerator(5, true), New(Options{Seed: 5})
		for range 300 {
			if op := g.next(k); op.msg != nil {
				k.Request(op.msg)
			}
			k.Tick(time.Second)
		}
		return k.String()
	}
	if a, b := run(), run(); a != b || a == "" {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}

// TestSysctlTree compares every setting of a new link with the real kernel.
func TestSysctlTree(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
	r := newReal(t)
	defer r.close()
	g := newGenerator(1, false)
	b := &both{k: New(Options{}), r: r}
	if sim, truth := g.addHardware().do(b); sim != nil || truth != nil {
		t.Fatal(sim, truth)
	}
	for path := range strings.Lines(sysctlDefaults) {
		path, _, _ = strings.Cut(path, "=")
		at := strings.LastIndexByte(path, '/')
		names := []string{"h1", "lo", "gone"}
		if strings.Contains(path, "ipv6/conf") {
			names = append(names, "all", "default") // those of IPv4 are inherited from the host
		}
		for _, name := range names {
			full := sysctlRoot + path[:at] + "/" + name + path[at:]
			sim, err := b.k.ReadSysctl(full)
			truth, rerr := r.readSysctl(full)
			if strings.Contains(path, "ipv4/conf") && name == "h1" {
				truth, sim = "", "" // inherited from the host: only whether it is there
			}
			if strings.Contains(path, "ipv4/conf") && name == "lo" {
				truth, sim = "", ""
			}
			if sim != truth || (err == nil) != (rerr == nil) {
				t.Errorf("%s: simulated %q %v, real %q %v", full, sim, err, truth, rerr)
			}
		}
	}
}

func BenchmarkOperations(b *testing.B) {
	k, i := world(b)
	k.Subscribe(unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_LINK)
	r := rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: unix.RT_TABLE_MAIN, Gateway: netip.MustParseAddr("192.0.2.9")}
	for n := range b.N {
		r.Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 0}), 24)
		must(b, k, rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_REPLACE, 1, &r))
		if n%100 == 0 {
			must(b, k, linkMsg(unix.RTM_SETLINK, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: i, MTU: 1400 + uint32(n%50)}, Set: rtnl.LinkMTU}))
		}
		for {
			if _, _, ok := k.Receive(); !ok {
				break
			}
		}
	}
}

// BenchmarkSequences is the generator's mix: links, addresses, routes, bridges.
func BenchmarkSequences(b *testing.B) {
	var k *Kernel
	var g *generator
	for n := range b.N {
		if n%50 == 0 {
			g, k = newGenerator(uint64(n), true), New(Options{Seed: uint64(n)})
			k.Subscribe(groups...)
		}
		if op := g.next(k); op.msg != nil {
			k.Request(op.msg)
		}
	}
}
