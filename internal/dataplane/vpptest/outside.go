package vpptest

import (
	"fmt"
	"net/netip"

	"netbraid/internal/dataplane"
)

// What operators do to a VPP, by its command line or as other clients.

func toPrefix(p netip.Prefix) (q prefix) {
	q.len = uint8(p.Bits())
	if p.Addr().Is4() {
		b := p.Addr().As4()
		copy(q.b[:], b[:])
		return q
	}
	q.af, q.b = 1, p.Addr().As16()
	return q
}

// CLI is the FIB source of routes that an operator sets.
const CLI = 9

// Outside does what an operation says, as somebody else: the settings of an
// interface, addresses, routes of the source CLI. RouteDel takes away the route
// of whatever source has it.
func (s *Server) Outside(op *dataplane.Op) error {
	s.mu.Lock()
	err := s.st.outside(op)
	s.mu.Unlock()
	s.flushAll()
	return err
}

func (st *state) outside(op *dataplane.Op) error {
	switch op.Kind {
	case dataplane.RouteSet, dataplane.RouteDel:
		p := toPrefix(op.Route.Prefix)
		t := st.table(op.Route.Table, p.af)
		if t == nil {
			return fmt.Errorf("no table %d", op.Route.Table)
		}
		d := dest{p.b, p.len}
		if op.Kind == dataplane.RouteSet {
			st.put(t, d, CLI, st.paths.number(onePath(none, typeDrop, uint32(p.af), [16]byte{})))
		} else if e, there := t.routes[d]; there {
			st.drop(t, d, e.src)
		}
		return nil
	}
	v := st.vif(op.Index)
	if v == nil {
		return fmt.Errorf("no interface %d", op.Index)
	}
	switch op.Kind {
	case dataplane.SetUp:
		st.setUp(v, op.On)
	case dataplane.SetMTU:
		v.mtu[0] = op.Value
	case dataplane.SetMAC:
		copy(v.mac[:], op.MAC.B[:])
	case dataplane.AddrAdd:
		if rv := st.addAddr(v, toPrefix(op.Prefix)); rv != 0 {
			return fmt.Errorf("add %s: %d", op.Prefix, rv)
		}
	case dataplane.AddrDel:
		st.delAddr(v, toPrefix(op.Prefix))
	default:
		return fmt.Errorf("%s is not done from outside", op.Kind)
	}
	return nil
}

// RouteCount is how many prefixes of a table the source of a name has; af is 0
// for IPv4, 1 for IPv6.
func (s *Server) RouteCount(id uint32, af uint8, name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.st.table(id, af)
	if t == nil {
		return 0
	}
	for _, src := range s.st.sources {
		if src.name != name {
			continue
		}
		for d := range t.routes {
			if _, there := t.of(d, src.id); there {
				n++
			}
		}
	}
	return n
}

// Addresses lists the IPv4 addresses of an interface.
func (s *Server) Addresses(index uint32) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.st.vif(index); v != nil {
		for _, p := range v.addrs[0] {
			out = append(out, p.String())
		}
	}
	return out
}
