package vpptest

import (
	"cmp"
	"maps"
	"slices"
)

// label is the key of an MPLS route.
type label struct {
	value uint32
	eos   uint8
}

type labelRoute struct {
	proto uint8 // of what follows the last label
	paths uint32
}

// mplsTable is a FIB of labels.
type mplsTable struct {
	id     uint32
	name   string
	routes map[label]labelRoute
}

const protoMPLS = 2

func (st *state) mplsTable(id uint32) *mplsTable {
	for _, t := range st.mpls {
		if t.id == id {
			return t
		}
	}
	return nil
}

func addDelMPLSTable(c *conn, r *request) {
	st := c.s.st
	add, id, name := r.flag(), r.u32(), r.str(64)
	t := st.mplsTable(id)
	switch {
	case add && t == nil:
		t = &mplsTable{id: id, name: name, routes: map[label]labelRoute{}}
		own := st.paths.number(onePath(none, typeNormal, protoMPLS, [16]byte{}))
		for v, proto := range []uint8{0, protoMPLS, 1} {
			t.routes[label{uint32(v), 0}] = labelRoute{protoMPLS, own}
			t.routes[label{uint32(v), 1}] = labelRoute{proto, own}
		}
		st.mpls = append(st.mpls, t)
	case !add && t != nil:
		st.mpls = slices.DeleteFunc(st.mpls, func(o *mplsTable) bool { return o == t })
	}
	c.answer(r, 0)
}

func dumpMPLSTables(c *conn, r *request) {
	for _, t := range c.s.st.mpls {
		c.begin("mpls_table_details", r.ctx)
		c.u32(t.id).str(t.name, 64).end()
	}
}

func enableMPLS(c *conn, r *request, v *vif) {
	enable := r.flag()
	if c.s.st.mplsTable(0) == nil {
		c.answer(r, rvNoFIB)
		return
	}
	switch {
	case enable:
		if v.mpls++; v.mpls > 1 {
			c.s.strict("labels enabled %d times on %v: VPP counts", v.mpls, v)
		}
	case v.mpls == 0:
		c.s.strict("labels disabled on %v, which has none: VPP's count wraps", v)
	default:
		v.mpls--
	}
	c.answer(r, 0)
}

func dumpMPLSInterfaces(c *conn, r *request) {
	index := r.u32()
	for _, v := range c.s.st.vifs {
		if v != nil && v.mpls > 0 && (index == none || index == v.index) {
			c.begin("mpls_interface_details", r.ctx)
			c.u32(v.index).end()
		}
	}
}

func mplsRoute(c *conn, r *request) {
	st := c.s.st
	add, multi := r.flag(), r.flag()
	id, value, eos, proto := r.u32(), r.u32(), r.u8(), r.u8()
	r.flag()
	n := int(r.u8())
	raw := r.take(n * pathLen)
	if r.short {
		return
	}
	if eos > 1 {
		st.s.fail("label %d with end of stack %d: VPP dies of it later", value, eos)
		st.doomed = true
		c.answer(r, 0, none)
		return
	}
	if value < 16 || value >= 1<<20 {
		st.s.strict("label %d", value)
	}
	t := st.mplsTable(id)
	switch {
	case t == nil:
		c.answer(r, rvNoFIB, none)
		return
	case add && n == 0:
		c.answer(r, rvNoPaths, none)
		return
	}
	if add {
		if rv := st.checkPaths(raw); rv != 0 {
			c.answer(r, rv, none)
			return
		}
	}
	if eos == 0 {
		proto = protoMPLS
	}
	key := label{value, eos}
	old, there := t.routes[key]
	switch {
	case multi && add && there:
		now := st.paths.list[old.paths] + st.paths.list[st.paths.id(raw)]
		t.routes[key] = labelRoute{proto, st.paths.number([]byte(now))}
	case add:
		t.routes[key] = labelRoute{proto, st.paths.id(raw)}
	default:
		delete(t.routes, key)
	}
	c.answer(r, 0, none)
}

func dumpMPLSRoutes(c *conn, r *request) {
	t := c.s.st.mplsTable(r.u32())
	r.str(64)
	if t == nil {
		return
	}
	keys := slices.SortedFunc(maps.Keys(t.routes), func(a, b label) int { return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.eos, b.eos)) })
	for _, k := range keys {
		e := t.routes[k]
		paths := c.s.st.paths.list[e.paths]
		c.begin("mpls_route_details", r.ctx)
		c.u32(t.id).u32(k.value).u8(k.eos).u8(e.proto).u8(0).u8(uint8(len(paths) / pathLen))
		c.raw([]byte(paths)).end()
	}
}

// bindLabel gives a prefix a label of its own; only that it is there is kept.
func bindLabel(c *conn, r *request) {
	st := c.s.st
	id, value := r.u32(), r.u32()
	r.u32()
	add, p := r.flag(), r.prefix()
	if t := st.mplsTable(id); t != nil {
		for eos := range uint8(2) {
			if !add {
				delete(t.routes, label{value, eos})
				continue
			}
			path := onePath(none, typeNormal, protoMPLS, [16]byte{})
			proto := p.af
			if eos == 0 {
				proto = protoMPLS
			}
			t.routes[label{value, eos}] = labelRoute{proto, st.paths.number(path)}
		}
	}
	c.answer(r, 0)
}
