package vpp

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// slice is how much of a dump is handed on at a time.
const slice = 4096

// dumpKind reads one kind of table and hands it on.
func (s *session) dumpKind(k dataplane.Kind) error {
	var refused, err error
	switch k {
	case dataplane.KindInterface:
		err = s.dumpInterfaces()
	case dataplane.KindPair:
		if _, refused, err = s.readPairs(); refused == nil && err == nil {
			list := make([]dataplane.Pair, 0, len(s.world.pairs))
			for _, phy := range slices.Sorted(maps.Keys(s.world.pairs)) {
				list = append(list, s.world.pairs[phy])
			}
			hand(s, list, func(d *dataplane.Dumped, part []dataplane.Pair) { d.Kind, d.Pairs = k, part })
		}
	case dataplane.KindTable:
		var list []dataplane.Table
		if list, refused, err = s.readTables(); refused == nil && err == nil {
			list = slices.DeleteFunc(list, func(t dataplane.Table) bool { return t.ID == dataplane.MainTable && t.Family != unix.AF_MPLS })
			hand(s, list, func(d *dataplane.Dumped, part []dataplane.Table) { d.Kind, d.Tables = k, part })
		}
	case dataplane.KindAddr:
		refused, err = s.dumpAddrs()
	case dataplane.KindNeigh:
		refused, err = s.dumpNeighs()
	case dataplane.KindRoute:
		refused, err = s.dumpRoutes()
	case dataplane.KindLocal: // VPP knows itself
	default:
		refused = fmt.Errorf("%w: dump of kind %d", dataplane.ErrUnsupported, k)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", k, err)
	}
	if refused != nil {
		refused = fmt.Errorf("read %s: %w", k, refused)
	}
	s.deliver(dataplane.DumpDone{Epoch: s.q.epoch, Kind: k, Err: refused})
	return nil
}

// hand delivers a list in slices.
func hand[T any](s *session, list []T, put func(d *dataplane.Dumped, part []T)) {
	for part := range slices.Chunk(list, slice) {
		d := dataplane.Dumped{Epoch: s.q.epoch}
		put(&d, part)
		s.deliver(d)
	}
}

// dumpInterfaces reads all interfaces, and starts knowing them anew.
func (s *session) dumpInterfaces() error {
	w := &s.world
	if _, _, err := s.readPairs(); err != nil {
		return err
	}
	w.raw = map[uint32]iface{}
	if err := s.readRaw(localInterface, func(i iface) { w.raw[i.index] = i }); err != nil {
		return err
	}
	told := w.ifaces
	w.ifaces = map[uint32]dataplane.Interface{}
	list := make([]dataplane.Interface, 0, len(w.raw))
	for _, index := range slices.Sorted(maps.Keys(w.raw)) {
		i, err := s.complete(w.raw[index])
		if err != nil {
			return err
		}
		list = append(list, i)
	}
	if err := s.readGroups(list); err != nil {
		return err
	}
	for n := range list {
		i := &list[n]
		i.Multicast = w.accepts(i.Index, i.Table4, i.Table6)
		w.ifaces[i.Index] = *i
	}
	for _, index := range slices.Sorted(maps.Keys(told)) {
		if _, there := w.ifaces[index]; !there {
			s.deliver(dataplane.Gone{Epoch: s.q.epoch, Index: index})
		}
	}
	hand(s, list, func(d *dataplane.Dumped, part []dataplane.Interface) {
		d.Kind, d.Interfaces = dataplane.KindInterface, part
	})
	return nil
}

// readTables lists the FIBs of every family, those of IP before those of MPLS.
func (s *session) readTables() (list []dataplane.Table, refused, err error) {
	read := func(m, details message, decode func([]byte) (dataplane.Table, error)) (refused, err error) {
		return s.dump(m, details, nil, func(p []byte) error {
			t, err := decode(p)
			if err != nil {
				return fmt.Errorf("%s: %w", details, err)
			}
			if len(list) >= maxKept {
				return fmt.Errorf("VPP shows more than %d tables", maxKept)
			}
			list = append(list, t)
			return nil
		})
	}
	if refused, err = read(tableDump, tableDetails, decodeTable); refused != nil || err != nil {
		return nil, refused, err
	}
	if s.ids.has(mplsMessages...) {
		refused, err = read(mplsTableDump, mplsTableDetails, decodeMPLSTable)
	}
	return list, refused, err
}

// dumpAddrs reads the addresses of every interface.
func (s *session) dumpAddrs() (refused, err error) {
	var indices []uint32
	if err := s.readRaw(localInterface, func(i iface) { indices = append(indices, i.index) }); err != nil {
		return nil, err
	}
	var list []dataplane.Addr
	for _, index := range indices {
		for _, six := range []bool{false, true} {
			some, refused, err := s.readAddrs(index, six)
			if refused != nil || err != nil {
				return refused, err
			}
			for _, p := range some {
				list = append(list, dataplane.Addr{Index: index, Prefix: s.saidAs(index, p)})
			}
		}
		p, ok, err := s.readLocal(index)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, dataplane.Addr{Index: index, Prefix: p})
		}
	}
	hand(s, list, func(d *dataplane.Dumped, part []dataplane.Addr) { d.Kind, d.Addrs = dataplane.KindAddr, part })
	return nil, nil
}

// dumpNeighs reads the neighbours, learned ones too.
func (s *session) dumpNeighs() (refused, err error) {
	var list []dataplane.Neigh
	for _, af := range []byte{afIPv4, afIPv6} {
		refused, err := s.dump(neighDump, neighDetails, append(put32(nil, dataplane.NoIndex), af), func(p []byte) error {
			n, err := decodeNeigh(p)
			if err != nil {
				return fmt.Errorf("%s: %w", neighDetails, err)
			}
			list = append(list, n)
			return nil
		})
		if refused != nil || err != nil {
			return refused, err
		}
	}
	hand(s, list, func(d *dataplane.Dumped, part []dataplane.Neigh) { d.Kind, d.Neighs = dataplane.KindNeigh, part })
	return nil, nil
}

// dumpRoutes reads the routes of our source, table by table, and those of
// MPLS, which have no source.
func (s *session) dumpRoutes() (refused, err error) {
	if refused := s.ids.missing(routeMessages...); refused != nil {
		return refused, nil
	}
	tables, refused, err := s.readTables()
	if refused != nil || err != nil {
		return refused, err
	}
	var part []dataplane.Route
	send := func() {
		if len(part) > 0 {
			s.deliver(dataplane.Dumped{Epoch: s.q.epoch, Kind: dataplane.KindRoute, Routes: part})
		}
		part = nil
	}
	add := func(k dataplane.RouteKey, paths []byte) error {
		set, err := s.c.paths.set(paths)
		if err != nil {
			return fmt.Errorf("paths of a route: %w", err)
		}
		if part == nil {
			part = make([]dataplane.Route, 0, slice)
		}
		if part = append(part, dataplane.Route{Key: k, Paths: set}); len(part) == slice {
			send()
		}
		return nil
	}
	for _, t := range tables {
		if t.Family == unix.AF_MPLS {
			refused, err = s.dump(mplsRouteDump, mplsRouteDetails, encodeMPLSTable(nil, t.ID, ""), func(p []byte) error {
				k, paths, err := decodeMPLSRoute(p)
				if err != nil {
					return fmt.Errorf("%s: %w", mplsRouteDetails, err)
				}
				if k.Label < firstFreeLabel {
					return nil // VPP's own
				}
				return add(k, paths)
			})
		} else {
			body := encodeTable([]byte{s.source}, t, "")
			refused, err = s.dump(routeDump, routeDetails, body, func(p []byte) error {
				k, src, paths, err := decodeRoute(p)
				if err != nil {
					return fmt.Errorf("%s: %w", routeDetails, err)
				}
				if src != s.source {
					return nil
				}
				return add(k, paths)
			})
		}
		if refused != nil || err != nil {
			return refused, err
		}
	}
	send()
	return nil, nil
}
