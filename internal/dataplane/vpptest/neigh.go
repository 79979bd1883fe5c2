package vpptest

import "slices"

// neigh is a neighbour.
type neigh struct {
	vif   uint32
	addr  addr
	mac   [6]byte
	flags uint8 // 1: static, 2: no route
}

// neighEvent tells of one; flags: 1 added, 2 removed.
type neighEvent struct {
	n     neigh
	flags uint32
}

func (c *conn) neighbor(n *neigh) *conn {
	return c.u32(n.vif).u8(n.flags).raw(n.mac[:]).u8(n.addr.af).raw(n.addr.b[:])
}

func addDelNeigh(c *conn, r *request) {
	st := c.s.st
	add := r.flag()
	n := neigh{vif: r.u32(), flags: r.u8(), mac: r.mac(), addr: r.addr()}
	if r.short {
		return
	}
	if n.addr.af > 1 {
		st.s.strict("neighbour with family %d", n.addr.af)
		return
	}
	if st.vif(n.vif) == nil {
		c.answer(r, rvNoInterface, none)
		return
	}
	i := slices.IndexFunc(st.neighs, func(o *neigh) bool { return o.vif == n.vif && o.addr == n.addr })
	switch {
	case !add && i < 0:
		c.answer(r, rvNoEntry, none)
		return
	case !add:
		st.told = append(st.told, neighEvent{*st.neighs[i], 2})
		st.neighs = slices.Delete(st.neighs, i, i+1)
	case i < 0:
		st.neighs = append(st.neighs, &n)
		st.told = append(st.told, neighEvent{n, 1})
	case st.neighs[i].flags&1 != 0 && n.flags&1 == 0:
		c.answer(r, rvNoInterface, none)
		return
	default:
		*st.neighs[i] = n
		st.told = append(st.told, neighEvent{n, 1})
	}
	c.answer(r, 0, none)
}

func dumpNeighs(c *conn, r *request) {
	index, af := r.u32(), r.u8()
	for _, n := range c.s.st.neighs {
		if n.addr.af == af && (index == none || index == n.vif) {
			c.begin("ip_neighbor_details", r.ctx)
			c.raw(make([]byte, 8)).neighbor(n).end()
		}
	}
}

func flushNeighs(c *conn, r *request) {
	st := c.s.st
	af, index := r.u8(), r.u32()
	st.neighs = slices.DeleteFunc(st.neighs, func(n *neigh) bool {
		if n.addr.af != af || index != none && index != n.vif {
			return false
		}
		st.told = append(st.told, neighEvent{*n, 2})
		return true
	})
	c.answer(r, 0)
}

func wantNeighEvents(c *conn, r *request) {
	on, pid := r.flag(), r.u32()
	a := r.addr()
	r.u32()
	if c.neigh == nil {
		c.neigh = map[uint8]uint32{}
	}
	if on {
		c.neigh[a.af] = pid
	} else {
		delete(c.neigh, a.af)
	}
	c.answer(r, 0)
}
