package fib

import (
	"slices"

	"netbraid/internal/dataplane"
)

// Path sets that are not sets of paths.
const (
	setNone uint32 = iota // no route
	// setOwn: the best route is one that the dataplane makes itself, or one that
	// ends the search in Linux: the dataplane gets none of us, and none that is
	// worse.
	setOwn
	setUnknown // the dataplane has something of us, or not
	setFirst   // the first that is one
)

// pathSets interns path sets: equal ones are one, and one pointer, that
// dataplanes can keep their own form of.
type pathSets struct {
	list []pathSet
	free []uint32
	ids  map[string]uint32
	key  []byte
}

type pathSet struct {
	set  *dataplane.PathSet
	refs uint32
	key  string
}

func newPathSets() pathSets {
	return pathSets{list: make([]pathSet, setFirst), ids: map[string]uint32{}}
}

// count is the number of sets.
func (p *pathSets) count() int { return len(p.list) - int(setFirst) - len(p.free) }

// hold gives the id of a set, sorted before, as the caller's reference. It does
// not keep s.
func (p *pathSets) hold(s *dataplane.PathSet) uint32 {
	p.key = appendSet(p.key[:0], s)
	if id, ok := p.ids[string(p.key)]; ok {
		p.list[id].refs++
		return id
	}
	n := pathSet{set: &dataplane.PathSet{Kind: s.Kind, Paths: slices.Clone(s.Paths)}, refs: 1, key: string(p.key)}
	var id uint32
	if k := len(p.free); k > 0 {
		id, p.free = p.free[k-1], p.free[:k-1]
		p.list[id] = n
	} else {
		id = uint32(len(p.list))
		p.list = append(p.list, n)
	}
	p.ids[n.key] = id
	return id
}

// again takes one more reference to a set.
func (p *pathSets) again(id uint32) uint32 {
	if id >= setFirst {
		p.list[id].refs++
	}
	return id
}

// release gives a reference back.
func (p *pathSets) release(id uint32) {
	if id < setFirst {
		return
	}
	s := &p.list[id]
	if s.refs--; s.refs == 0 {
		if p.ids[s.key] == id {
			delete(p.ids, s.key)
		}
		*s = pathSet{}
		p.free = append(p.free, id)
	}
}

// forget lets no set be used again that goes through an interface, and tells
// whether there was one: an equal one is another.
func (p *pathSets) forget(index uint32) (found bool) {
	for i := range p.list {
		s := &p.list[i]
		if s.set != nil && slices.ContainsFunc(s.set.Paths, func(x dataplane.Path) bool { return x.Index == index }) {
			if p.ids[s.key] == uint32(i) {
				delete(p.ids, s.key)
			}
			found = true
		}
	}
	return found
}

// appendSet spells a set: equal sets alike, others differently.
func appendSet(b []byte, s *dataplane.PathSet) []byte {
	b = append(b, byte(s.Kind))
	for i := range s.Paths {
		p := &s.Paths[i]
		b = be.AppendUint32(b, p.Index)
		b = be.AppendUint32(b, p.Table)
		b = be.AppendUint16(b, p.Weight)
		via := p.Via.AsSlice()
		b = append(append(b, byte(len(via))), via...)
		n := min(p.Labels.N, dataplane.MaxLabels)
		b = append(b, n)
		for _, l := range p.Labels.L[:n] {
			b = be.AppendUint32(b, l)
		}
	}
	return b
}
