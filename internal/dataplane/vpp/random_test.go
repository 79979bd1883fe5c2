package vpp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/dataplane/vpptest"
)

// model is what a VPP must have, by key; unsure are keys whose operation was
// under way when the connection ended.
type model struct {
	*user
	s      *vpptest.Server
	r      *rand.Rand
	phys   []uint32
	want   map[string]string
	unsure map[string]bool
}

// op makes an operation, with the key that it is about and what it leaves there
// ("" for nothing).
func (m *model) op() (op dataplane.Op, key, value string) {
	index := m.phys[m.r.IntN(len(m.phys))]
	n := byte(m.r.IntN(12))
	switch m.r.IntN(6) {
	case 0, 1, 2:
		k := dataplane.RouteKey{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, n, 0, 0}), 16)}
		if n%3 == 0 {
			k.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, n}), 48)
		}
		if n%4 == 1 {
			k = dataplane.RouteKey{Label: 100 + uint32(n), EOS: n > 6}
		}
		op = dataplane.Op{Kind: dataplane.RouteDel, Route: k}
		if m.r.IntN(3) > 0 {
			op.Kind, op.Paths = dataplane.RouteSet, m.set(index, k)
			value = fmt.Sprintf("%+v", *op.Paths)
		}
		return op, fmt.Sprintf("route %+v", k), value
	case 3:
		// Each interface has subnets of its own: no two overlap.
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(index), n, 1}), 24)
		if n%2 == 0 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, byte(index), n, 15: 1}), 64)
		}
		op = dataplane.Op{Kind: dataplane.AddrDel, Index: index, Prefix: p}
		if m.r.IntN(3) > 0 {
			op.Kind, value = dataplane.AddrAdd, "there"
		}
		return op, fmt.Sprintf("address %d %v", index, p), value
	case 4:
		a := netip.AddrFrom4([4]byte{100, byte(index), n, 9})
		op = dataplane.Op{Kind: dataplane.NeighDel, Index: index, Addr: a}
		if m.r.IntN(3) > 0 {
			op.Kind, op.MAC, op.On = dataplane.NeighSet, mac(byte(m.r.IntN(3))), true
			value = op.MAC.String()
		}
		return op, fmt.Sprintf("neighbour %d %v", index, a), value
	}
	op = dataplane.Op{Kind: dataplane.TableDel, Value: 10 + uint32(n%4), Family: unix.AF_INET}
	if m.r.IntN(3) > 0 {
		op.Kind, value = dataplane.TableAdd, "there"
	}
	return op, fmt.Sprintf("table %d", op.Value), value
}

// set makes what a route does.
func (m *model) set(index uint32, k dataplane.RouteKey) *dataplane.PathSet {
	if m.r.IntN(5) == 0 {
		return &dataplane.PathSet{Kind: dataplane.Blackhole}
	}
	s := &dataplane.PathSet{}
	for range 1 + m.r.IntN(3) {
		p := dataplane.Path{Index: index, Via: netip.AddrFrom4([4]byte{192, 0, 2, byte(2 + m.r.IntN(4))}), Weight: uint16(1 + m.r.IntN(80))} // equal ones add up; more than 255 is scaled
		if k.Prefix.IsValid() && k.Prefix.Addr().Is6() || m.r.IntN(4) == 0 {
			p.Via = netip.AddrFrom16([16]byte{0xfd, 15: byte(2 + m.r.IntN(4))})
		}
		for range m.r.IntN(3) {
			p.Labels.L[p.Labels.N] = 16 + uint32(m.r.IntN(9))
			p.Labels.N++
		}
		s.Paths = append(s.Paths, p)
	}
	s.Sort()
	return s
}

// batch writes some operations; lost tells that the connection ended.
func (m *model) batch() (lost bool) {
	m.Helper()
	n := 1 + m.r.IntN(30)
	ops := make([]dataplane.Op, n)
	keys, values := make([]string, n), make([]string, n)
	for i := range ops {
		ops[i], keys[i], values[i] = m.op()
	}
	done, _, err := m.write(ops...)
	for _, f := range done.Failed {
		m.Errorf("operation %d (%s): %v", f.Op, keys[f.Op], f.Err)
	}
	for i := range ops {
		switch {
		case err != nil:
			m.unsure[keys[i]] = true
		case values[i] == "":
			delete(m.want, keys[i])
		default:
			m.want[keys[i]] = values[i]
		}
	}
	return err != nil
}

// look compares what VPP shows with what is wanted; what is unsure is believed.
func (m *model) look() (lost bool) {
	m.Helper()
	has := map[string]string{}
	for _, k := range []dataplane.Kind{dataplane.KindTable, dataplane.KindAddr, dataplane.KindNeigh, dataplane.KindRoute} {
		m.c.Dump(m.epoch, k)
		for over := false; !over; {
			switch e := m.next().(type) {
			case dataplane.Dumped:
				note(has, &e)
			case dataplane.DumpDone:
				if over = true; e.Err != nil {
					m.Fatal(e.Err)
				}
			case dataplane.Down:
				return true
			}
		}
	}
	for key := range m.unsure {
		delete(m.want, key)
		if v, there := has[key]; there {
			m.want[key] = v
		}
	}
	clear(m.unsure)
	for key, v := range m.want {
		if has[key] != v {
			m.Errorf("%s is %q, should be %q", key, has[key], v)
		}
		delete(has, key)
	}
	for key, v := range has {
		m.Errorf("%s is %q, should not be there", key, v)
	}
	return false
}

func note(has map[string]string, e *dataplane.Dumped) {
	for _, t := range e.Tables {
		if t.Family == unix.AF_INET {
			has[fmt.Sprintf("table %d", t.ID)] = "there"
		}
	}
	for _, a := range e.Addrs {
		has[fmt.Sprintf("address %d %v", a.Index, a.Prefix)] = "there"
	}
	for _, n := range e.Neighs {
		has[fmt.Sprintf("neighbour %d %v", n.Index, n.Addr)] = n.MAC.String()
	}
	for _, r := range e.Routes {
		has[fmt.Sprintf("route %+v", r.Key)] = fmt.Sprintf("%+v", *r.Paths)
	}
}

// TestRandom does random operations while connections are lost and answers come
// in pieces: what was answered holds, what was under way is one or the other.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := vpptest.Start(t, vpptest.Options{})
			m := &model{s: s, r: rand.New(rand.NewPCG(seed, 1)), want: map[string]string{}, unsure: map[string]bool{}}
			for i := range byte(3) {
				m.phys = append(m.phys, s.AddPhy(fmt.Sprintf("phy%d", i), [6]byte{2, 0xfe, 0, 0, 0, i}, 1500))
			}
			anew := func() { m.user = newUser(t, s.Socket(), func(o *vpp.Options) { o.Window = 4 << (seed % 6) }) }
			anew()
			m.up()
			m.must(dataplane.Op{Kind: dataplane.TableAdd, Family: unix.AF_MPLS})
			lost, losses := false, 0
			for range 60 {
				if m.r.IntN(3) == 0 {
					s.Piece(m.r.IntN(3) * 700)
				}
				if m.r.IntN(4) == 0 {
					s.CutAt(1+m.r.IntN(60), m.r.IntN(2) == 0)
				}
				if lost = m.batch(); !lost && m.r.IntN(4) == 0 {
					lost = m.look()
				}
				for lost {
					losses++
					s.CutAt(0, false)
					if m.r.IntN(2) == 0 { // a new process: it knows nothing of what was written
						m.c.Close()
						anew()
					}
					m.up()
					lost = m.look()
				}
				if t.Failed() {
					return
				}
			}
			s.CutAt(0, false)
			m.look()
			t.Logf("%d losses", losses)
		})
	}
}
