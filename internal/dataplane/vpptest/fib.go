package vpptest

import (
	"encoding/binary"
	"slices"
)

// A path is 167 octets; these are the places in it.
const (
	pathLen    = 167
	atTable    = 4
	atWeight   = 12
	atType     = 14
	atFlags    = 18
	atProto    = 22
	atNextHop  = 26
	atViaLabel = 42
	atLabels   = 54 // how many, then 16 of 7 octets

	typeNormal  = 0
	typeLocal   = 1
	typeDrop    = 2
	typeHighest = 10
)

// source is who routes are from; of several for a prefix the one with the
// lowest priority forwards.
type source struct {
	priority, id uint8
	name         string
}

// Sources that VPP has from the beginning.
const (
	srcSpecial   = 1
	srcInterface = 4
	srcAPI       = 8
	srcDefault   = 20
)

var builtinSources = []source{{255, 0, "invalid"}, {0, 1, "special"}, {1, 2, "classify"}, {2, 3, "proxy"}, {3, 4, "interface"}, {16, 5, "SR"},
	{32, 6, "BIER"}, {48, 7, "6RD"}, {128, 8, "API"}, {129, 9, "CLI"}, {144, 10, "LISP"}, {160, 11, "MAP"}, {176, 12, "DHCP"},
	{192, 13, "IPv6-proxy-nd"}, {193, 14, "IPv6-nd"}, {208, 15, "adjacency"}, {224, 16, "mpls"}, {240, 17, "attached_export"},
	{251, 18, "recursive-resolution"}, {252, 19, "urpf-exempt"}, {253, 20, "default-route"}, {254, 21, "interpose"}, {16, 22, "path-mtu"}}

// intern gives equal paths one number, so that a million routes are small.
type intern struct {
	raw  map[string]uint32 // as they came
	norm map[string]uint32 // as VPP shows them
	list []string
}

func (in *intern) init() {
	in.raw, in.norm = map[string]uint32{}, map[string]uint32{}
}

// id numbers paths as they came in a request.
func (in *intern) id(b []byte) uint32 {
	if id, ok := in.raw[string(b)]; ok {
		return id
	}
	n := slices.Clone(b)
	for p := n; len(p) > 0; p = p[pathLen:] {
		p[atWeight] = max(p[atWeight], 1)
		clear(p[atFlags:atProto])
		clear(p[atViaLabel : atViaLabel+4])
		if t := binary.BigEndian.Uint32(p[atType:]); t > typeHighest {
			clear(p[:4])
			clear(p[atType:atFlags])
			clear(p[atNextHop:atViaLabel])
		}
	}
	id := in.number(n)
	in.raw[string(b)] = id
	return id
}

// number numbers paths as they are shown.
func (in *intern) number(n []byte) uint32 {
	if id, ok := in.norm[string(n)]; ok {
		return id
	}
	id := uint32(len(in.list))
	in.list = append(in.list, string(n))
	in.norm[string(n)] = id
	return id
}

// onePath makes a path of VPP's own.
func onePath(index uint32, typ, proto uint32, nh [16]byte) []byte {
	p := make([]byte, pathLen)
	binary.BigEndian.PutUint32(p, index)
	p[atWeight] = 1
	binary.BigEndian.PutUint32(p[atType:], typ)
	binary.BigEndian.PutUint32(p[atProto:], proto)
	copy(p[atNextHop:], nh[:])
	return p
}

// dest is a prefix within a table.
type dest struct {
	b   [16]byte
	len uint8
}

// entry is what one source has for a prefix.
type entry struct {
	paths uint32
	src   uint8
	many  bool // other sources have something too: table.others
}

// table is a FIB of one family.
type table struct {
	id     uint32
	af     uint8
	name   string
	routes map[dest]entry
	others map[dest][]entry // those that do not forward, best first
	given  map[dest][16]byte
}

func (st *state) table(id uint32, af uint8) *table {
	for _, t := range st.tables {
		if t.id == id && t.af == af {
			return t
		}
	}
	return nil
}

// addTable makes a FIB with VPP's own routes.
func (st *state) addTable(id uint32, af uint8, name string) {
	t := &table{id: id, af: af, name: name, routes: map[dest]entry{}, others: map[dest][]entry{}, given: map[dest][16]byte{}}
	// Those of IPv4 come first in a dump.
	at := len(st.tables)
	if af == 0 {
		at = 0
		for at < len(st.tables) && st.tables[at].af == 0 {
			at++
		}
	}
	st.tables = slices.Insert(st.tables, at, t)
	st.addMFIB(id, af)
	drop := onePath(none, typeDrop, uint32(af), [16]byte{})
	own := func(src uint8, length uint8, b ...byte) {
		var d dest
		copy(d.b[:], b)
		d.len = length
		st.put(t, d, src, st.paths.number(drop))
	}
	own(srcDefault, 0)
	if af == 0 {
		own(srcSpecial, 4, 240)
		own(srcSpecial, 4, 224)
		own(srcDefault, 32)
		own(srcDefault, 32, 255, 255, 255, 255)
	}
}

func (st *state) priority(src uint8) int {
	for _, s := range st.sources {
		if s.id == src {
			return int(s.priority)
		}
	}
	return 256
}

// put makes paths what a source has for a prefix.
func (st *state) put(t *table, d dest, src uint8, paths uint32) {
	e, there := t.routes[d]
	if !there || e.src == src && !e.many {
		t.routes[d] = entry{paths: paths, src: src}
		return
	}
	list := append([]entry{e}, t.others[d]...)
	list = slices.DeleteFunc(list, func(o entry) bool { return o.src == src })
	st.rank(t, d, append(list, entry{paths: paths, src: src}))
}

// rank sorts what several sources have.
func (st *state) rank(t *table, d dest, list []entry) {
	slices.SortStableFunc(list, func(a, b entry) int { return st.priority(a.src) - st.priority(b.src) })
	for i := range list {
		list[i].many = len(list) > 1
	}
	t.routes[d] = list[0]
	if len(list) > 1 {
		t.others[d] = list[1:]
	} else {
		delete(t.others, d)
	}
}

// drop removes what a source has for a prefix.
func (st *state) drop(t *table, d dest, src uint8) {
	e, there := t.routes[d]
	switch {
	case !there:
	case !e.many:
		if e.src == src {
			delete(t.routes, d)
			delete(t.given, d)
		}
	default:
		list := append([]entry{e}, t.others[d]...)
		st.rank(t, d, slices.DeleteFunc(list, func(o entry) bool { return o.src == src }))
	}
}

// of finds what a source has for a prefix.
func (t *table) of(d dest, src uint8) (e entry, there bool) {
	if e, there = t.routes[d]; !there || e.src == src {
		return e, there
	}
	for _, o := range t.others[d] {
		if o.src == src {
			return o, true
		}
	}
	return entry{}, false
}

// routeV2 is the handler of ip_route_add_del_v2: what a benchmark measures.
func routeV2(c *conn, r *request) {
	rv := c.s.st.routeRequest(c, r, true)
	c.beginNumber(c.s.replyV2, r.ctx)
	c.u32(uint32(rv)).u32(none).end()
}

func routeV1(c *conn, r *request) { c.answer(r, c.s.st.routeRequest(c, r, false), none) }

// routeRequest does ip_route_add_del.
func (st *state) routeRequest(c *conn, r *request, v2 bool) int32 {
	add, multi := r.flag(), r.flag()
	id := r.u32()
	r.u32() // stats_index
	p := r.prefix()
	n := int(r.u8())
	src := uint8(srcAPI)
	if v2 {
		if src = r.u8(); src == 0 {
			src = srcAPI
		}
	}
	raw := r.take(n * pathLen)
	if r.short {
		return 0 // not answered
	}
	if p.af > 1 {
		st.s.strict("route with address family %d", p.af)
		p.addr = addr{} // what lay on VPP's stack
	}
	t := st.table(id, p.af)
	switch {
	case p.len > p.bits():
		st.s.strict("route %v", p)
		return rvPrefixLength
	case t == nil:
		return rvNoFIB
	case add && n == 0:
		st.s.strict("route %v without paths", p)
		return rvNoPaths
	}
	if st.priority(src) > 255 {
		st.s.strict("route %v of source %d, which is none", p, src)
	}
	if rv := st.checkPaths(raw); rv != 0 {
		return rv
	}
	m := p.masked()
	if m != p {
		st.s.strict("route %v has bits behind its length", p)
	}
	d := dest{m.b, p.len}
	before, there := t.of(d, src)
	switch {
	case multi:
		st.multipath(t, d, src, add, raw, before, there)
	case add && st.priority(src) > 255:
		st.put(t, d, src, st.paths.number(onePath(none, typeDrop, uint32(t.af), [16]byte{})))
	case add:
		st.put(t, d, src, st.paths.id(raw))
	default:
		st.drop(t, d, src)
	}
	if m != p && add {
		t.given[d] = p.b
	}
	return 0
}

// checkPaths looks at every path of a request.
func (st *state) checkPaths(raw []byte) int32 {
	for p := raw; len(p) > 0; p = p[pathLen:] {
		index := binary.BigEndian.Uint32(p)
		typ := binary.BigEndian.Uint32(p[atType:])
		switch {
		case typ > typeHighest:
			st.s.strict("path of type %d", typ)
		case index != none && st.vif(index) == nil:
			return rvPathInterface
		case index == none && typ == typeNormal && st.table(binary.BigEndian.Uint32(p[atTable:]), uint8(min(p[atProto+3], 1))) == nil:
			return rvNoFIB
		case p[atLabels] > 16:
			st.s.strict("path with %d labels", p[atLabels])
		}
	}
	return 0
}

// multipath adds or removes some paths. The weight is not what tells them
// apart.
func (st *state) multipath(t *table, d dest, src uint8, add bool, raw []byte, before entry, there bool) {
	var now []byte
	if there {
		now = []byte(st.paths.list[before.paths])
	}
	asked := []byte(st.paths.list[st.paths.id(raw)])
	for ; len(asked) > 0; asked = asked[pathLen:] {
		at := -1
		for i := 0; i < len(now); i += pathLen {
			a, b := slices.Clone(now[i:i+pathLen]), slices.Clone(asked[:pathLen])
			a[atWeight], b[atWeight] = 0, 0
			if slices.Equal(a, b) {
				at = i
			}
		}
		switch {
		case add && at < 0:
			now = append(now, asked[:pathLen]...)
		case !add && at >= 0:
			now = slices.Delete(now, at, at+pathLen)
		}
	}
	if len(now) == 0 {
		st.drop(t, d, src)
	} else {
		st.put(t, d, src, st.paths.number(now))
	}
}

// routeDetails shows a route.
func (c *conn) routeDetails(name string, ctx uint32, t *table, d dest, v2 bool) {
	e := t.routes[d]
	b := d.b
	if g, ok := t.given[d]; ok {
		b = g
	}
	paths := c.s.st.paths.list[e.paths]
	c.begin(name, ctx)
	c.route(t, prefix{addr{t.af, b}, d.len}, e.src, paths, v2).end()
}

func (c *conn) route(t *table, p prefix, src uint8, paths string, v2 bool) *conn {
	c.u32(t.id).u32(0).prefix(p).u8(uint8(len(paths) / pathLen))
	if v2 {
		c.u8(src)
	}
	c.out = append(c.out, paths...)
	return c
}

func dumpRoutes(v2 bool) handler {
	return func(c *conn, r *request) {
		src := uint8(0)
		details := "ip_route_details"
		if v2 {
			src, details = r.u8(), "ip_route_v2_details"
		}
		id := r.u32()
		af := r.u8()
		r.str(64)
		t := c.s.st.table(id, af)
		if t == nil || r.short {
			return
		}
		for d, e := range t.routes {
			if src == 0 || e.src == src {
				c.routeDetails(details, r.ctx, t, d, v2)
			}
		}
	}
}

func lookupRoute(v2 bool) handler {
	return func(c *conn, r *request) {
		id, exact := r.u32(), r.flag()
		p := r.prefix()
		t := c.s.st.table(id, p.af)
		found := false
		d := dest{p.masked().b, p.len}
		if t != nil {
			_, found = t.routes[d]
			for q := p; !found && !exact && q.len > 0; {
				q.len--
				d = dest{q.masked().b, q.len}
				_, found = t.routes[d]
			}
		}
		c.begin(r.name+"_reply", r.ctx)
		if !found {
			rv := int32(rvNoEntry)
			c.u32(uint32(rv)).route(&table{}, prefix{}, 0, "", v2).end()
			return
		}
		e := t.routes[d]
		c.u32(0).route(t, prefix{addr{t.af, d.b}, d.len}, e.src, c.s.st.paths.list[e.paths], v2).end()
	}
}
