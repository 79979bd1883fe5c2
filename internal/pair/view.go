package pair

import (
	"cmp"
	"net/netip"
	"slices"

	"netbraid/internal/dataplane"
)

// view is what the dataplane has, as far as it has been read and told.
type view struct {
	ifaces map[uint32]*dataplane.Interface
	byName map[string]uint32
	subs   map[subAt]uint32          // by parent and tags; not those that share them
	pairs  map[uint32]dataplane.Pair // by phy
	addrs  map[uint32]map[netip.Prefix]bool
	neighs map[uint32]map[netip.Addr]dataplane.Neigh
	locals map[netip.Addr]bool
}

// subAt is where frames with certain tags arrive.
type subAt struct {
	parent uint32
	sub    dataplane.Sub
}

func newView() view {
	return view{ifaces: map[uint32]*dataplane.Interface{}, byName: map[string]uint32{}, subs: map[subAt]uint32{}, pairs: map[uint32]dataplane.Pair{},
		addrs: map[uint32]map[netip.Prefix]bool{}, neighs: map[uint32]map[netip.Addr]dataplane.Neigh{}, locals: map[netip.Addr]bool{}}
}

// named gives the interface of a name, or nil.
func (v *view) named(name string) *dataplane.Interface {
	if i, ok := v.byName[name]; ok {
		return v.ifaces[i]
	}
	return nil
}

// sub gives the sub-interface of a parent with exactly these tags, or nil.
func (v *view) sub(parent uint32, s dataplane.Sub) *dataplane.Interface {
	if i, ok := v.subs[subAt{parent, s}]; ok {
		return v.ifaces[i]
	}
	return nil
}

func (v *view) put(i dataplane.Interface) (old *dataplane.Interface) {
	if old = v.ifaces[i.Index]; old != nil {
		v.unname(old)
	}
	v.ifaces[i.Index] = &i
	v.byName[i.Name] = i.Index
	if i.Parent != dataplane.NoIndex && !i.Companion {
		v.subs[subAt{i.Parent, i.Sub}] = i.Index
	}
	return old
}

func (v *view) unname(i *dataplane.Interface) {
	if v.byName[i.Name] == i.Index {
		delete(v.byName, i.Name)
	}
	if at := (subAt{i.Parent, i.Sub}); v.subs[at] == i.Index {
		delete(v.subs, at)
	}
}

// drop forgets an interface and all that was on it.
func (v *view) drop(index uint32) {
	i := v.ifaces[index]
	if i == nil {
		return
	}
	v.unname(i)
	delete(v.ifaces, index)
	delete(v.pairs, index)
	delete(v.addrs, index)
	delete(v.neighs, index)
}

func (v *view) setAddr(index uint32, p netip.Prefix, there bool) {
	if !there {
		delete(v.addrs[index], p)
		return
	}
	if v.addrs[index] == nil {
		v.addrs[index] = map[netip.Prefix]bool{}
	}
	v.addrs[index][p] = true
}

func (v *view) setNeigh(n dataplane.Neigh, there bool) {
	if !there {
		delete(v.neighs[n.Index], n.Addr)
		return
	}
	if v.neighs[n.Index] == nil {
		v.neighs[n.Index] = map[netip.Addr]dataplane.Neigh{}
	}
	v.neighs[n.Index][n.Addr] = n
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// sortedKeys lists the keys of a map in order.
func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}

// replace takes a complete dump. live: the table was known before, so that a
// difference is something that somebody has just changed.
func (e *Engine) replace(d *dataplane.Dumped, live bool) {
	switch d.Kind {
	case dataplane.KindInterface:
		e.replaceInterfaces(d.Interfaces, live)
	case dataplane.KindPair:
		e.replacePairs(d.Pairs)
	case dataplane.KindAddr:
		e.replaceAddrs(d.Addrs, live)
	case dataplane.KindNeigh:
		e.replaceNeighs(d.Neighs)
	case dataplane.KindLocal:
		e.dp.locals = make(map[netip.Addr]bool, len(d.Locals))
		for _, a := range d.Locals {
			e.dp.locals[a] = true
		}
		e.markLocals()
	}
}

func (e *Engine) replaceInterfaces(rows []dataplane.Interface, live bool) {
	seen := make(map[uint32]bool, len(rows))
	for _, i := range rows {
		seen[i.Index] = true
	}
	for _, index := range sortedKeys(e.dp.ifaces, cmp.Compare[uint32]) {
		if !seen[index] {
			e.interfaceGone(index)
		}
	}
	for _, i := range rows {
		e.interfaceChanged(i, live)
	}
}

func (e *Engine) replacePairs(rows []dataplane.Pair) {
	e.dp.pairs = make(map[uint32]dataplane.Pair, len(rows))
	for _, p := range rows {
		if e.dp.ifaces[p.Phy] != nil { // otherwise it has gone meanwhile
			e.dp.pairs[p.Phy] = p
		}
	}
	e.markAll()
}

func (e *Engine) replaceAddrs(rows []dataplane.Addr, live bool) {
	type at struct {
		index uint32
		p     netip.Prefix
	}
	seen := make(map[at]bool, len(rows))
	for _, a := range rows {
		seen[at{a.Index, a.Prefix}] = true
	}
	for _, index := range sortedKeys(e.dp.addrs, cmp.Compare[uint32]) {
		for _, p := range sortedKeys(e.dp.addrs[index], comparePrefixes) {
			if !seen[at{index, p}] {
				// Going down costs IPv6 addresses in silence: nobody has removed them.
				e.dpAddrChanged(dataplane.Addr{Index: index, Prefix: p}, true, false)
			}
		}
	}
	for _, a := range rows {
		if e.dp.ifaces[a.Index] != nil && !e.dp.addrs[a.Index][a.Prefix] {
			e.dpAddrChanged(a, false, live)
		}
	}
	e.markAll()
}

func (e *Engine) replaceNeighs(rows []dataplane.Neigh) {
	e.dp.neighs = map[uint32]map[netip.Addr]dataplane.Neigh{}
	for _, n := range rows {
		if e.dp.ifaces[n.Index] != nil {
			e.dp.setNeigh(n, true)
		}
	}
	e.markAll()
}
