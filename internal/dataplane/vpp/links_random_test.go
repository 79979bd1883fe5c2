package vpp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpptest"
)

// port is what an interface must have.
type port struct {
	index     uint32
	table     uint32
	multicast bool
	addrs     []netip.Prefix
}

// links is a VPP whose interfaces come, go, have addresses within each other's
// subnets, and are bound to tables that come and go.
type links struct {
	*user
	s      *vpptest.Server
	r      *rand.Rand
	ports  []*port
	tables map[uint32]bool
	used   map[uint32]bool // numbers of those that have gone, which VPP may still accept groups from
	macs   uint16
}

func (l *links) add() {
	l.macs++
	i := l.s.AddPhy(fmt.Sprintf("phy%d", l.macs), [6]byte{2, 0xfe, 0, 0, byte(l.macs >> 8), byte(l.macs)}, 1500)
	l.ports = append(l.ports, &port{index: i})
	l.read()
}

func (l *links) read() {
	l.Helper()
	if _, err := l.dump(dataplane.KindInterface); err != nil {
		l.Fatal(err)
	}
}

func (l *links) bound(table uint32) bool {
	return slices.ContainsFunc(l.ports, func(p *port) bool { return p.table == table })
}

// step does something.
func (l *links) step() {
	l.Helper()
	p := l.ports[l.r.IntN(len(l.ports))]
	switch l.r.IntN(12) {
	case 0, 1, 2, 3:
		l.address(p)
	case 4, 5:
		p.multicast = !p.multicast
		l.must(multicast(p.index, p.multicast))
	case 6, 7, 8:
		table := uint32(10 + l.r.IntN(2))
		if l.r.IntN(3) == 0 {
			table = 0
		}
		if table != 0 && !l.tables[table] {
			l.must(addTable(table)...)
			l.tables[table] = true
		}
		p.table = table
		l.must(dataplane.Op{Kind: dataplane.SetTable, Index: p.index, Value: table})
	case 9:
		for _, t := range []uint32{10, 11} {
			if l.tables[t] && !l.bound(t) {
				delete(l.tables, t)
				l.must(dataplane.Op{Kind: dataplane.TableDel, Value: t, Family: unix.AF_INET}, dataplane.Op{Kind: dataplane.TableDel, Value: t, Family: unix.AF_INET6})
			}
		}
	case 10:
		l.s.DelInterface(p.index)
		l.used[p.index] = true
		l.ports = slices.DeleteFunc(l.ports, func(o *port) bool { return o == p })
		if l.r.IntN(2) == 0 {
			l.read()
		}
		l.add()
	case 11:
		l.up() // a new connection
		l.read()
	}
}

// address adds or removes an address of the interface's own subnet.
func (l *links) address(p *port) {
	l.Helper()
	hosts, bits := []byte{1, 129, 130, 200, 254}, []int{24, 28, 32, 32}
	a := netip.AddrFrom4([4]byte{100, byte(p.index), 0, hosts[l.r.IntN(len(hosts))]})
	n := bits[l.r.IntN(len(bits))]
	if l.r.IntN(3) == 0 {
		a = netip.AddrFrom16([16]byte{0xfd, byte(p.index), 15: a.As4()[3]})
		n += 96
	}
	x := netip.PrefixFrom(a, n)
	op := dataplane.Op{Kind: dataplane.AddrAdd, Index: p.index, Prefix: x}
	if i := slices.Index(p.addrs, x); i >= 0 || l.r.IntN(4) == 0 {
		op.Kind = dataplane.AddrDel
		l.must(op)
		p.addrs = slices.DeleteFunc(p.addrs, func(o netip.Prefix) bool { return o == x })
		return
	}
	if slices.ContainsFunc(p.addrs, func(o netip.Prefix) bool { return o.Addr() == a }) {
		return // VPP has each once
	}
	l.must(op)
	p.addrs = append(p.addrs, x)
}

// has is an address as VPP has it: with the length of the largest subnet of its
// interface that it lies in.
func (p *port) has(a netip.Prefix) netip.Prefix {
	n := a.Bits()
	for _, o := range p.addrs {
		if o.Contains(a.Addr()) {
			n = min(n, o.Bits())
		}
	}
	return netip.PrefixFrom(a.Addr(), n)
}

// look compares VPP with what is wanted.
func (l *links) look() {
	l.Helper()
	list, err := l.dump(dataplane.KindAddr)
	if err != nil {
		l.Fatal(err)
	}
	for _, p := range l.ports {
		var real, shown, want []string
		for _, a := range p.addrs {
			if want = append(want, a.String()); a.Addr().Is4() {
				real = append(real, p.has(a).String())
			}
		}
		for _, x := range list {
			if a := x.(dataplane.Addr); a.Index == p.index {
				shown = append(shown, a.Prefix.String())
			}
		}
		got := l.s.Addresses(p.index)
		for _, s := range [][]string{real, shown, want, got} {
			slices.Sort(s)
		}
		if !slices.Equal(shown, want) || !slices.Equal(got, real) {
			l.Errorf("interface %d: VPP has %v, should %v; shown are %v, should %v", p.index, got, real, shown, want)
		}
		four := slices.ContainsFunc(p.addrs, func(a netip.Prefix) bool { return a.Addr().Is4() })
		six := slices.ContainsFunc(p.addrs, func(a netip.Prefix) bool { return a.Addr().Is6() })
		for to, want := range map[string]bool{"224.0.0.1": four || p.multicast, "224.0.0.5": p.multicast, "ff02::1": six, "ff02::5": six && p.multicast} {
			if got := l.s.Hears(p.index, netip.MustParseAddr(to)); got != want && (want || !l.used[p.index]) {
				l.Errorf("interface %d in table %d, addresses %v, multicast %v: it hears %s: %v", p.index, p.table, p.addrs, p.multicast, to, got)
			}
		}
	}
	for t := range l.tables {
		want := slices.ContainsFunc(l.ports, func(p *port) bool { return p.table == t && p.multicast })
		if got := l.s.Broadcast(t); want && !got {
			l.Errorf("table %d drops 255.255.255.255", t)
		}
	}
}

// TestRandomLinks does random operations on interfaces that come and go.
func TestRandomLinks(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := vpptest.Start(t, vpptest.Options{})
			l := &links{s: s, r: rand.New(rand.NewPCG(seed, 2)), tables: map[uint32]bool{}, used: map[uint32]bool{}}
			l.user = newUser(t, s.Socket(), nil)
			l.up()
			for range 3 {
				l.add()
			}
			for n := 0; n < 80 && !t.Failed(); n++ {
				l.step()
				l.look()
			}
		})
	}
}
