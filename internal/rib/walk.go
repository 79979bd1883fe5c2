package rib

import (
	"math/bits"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// Append appends the routes of a key to out, in the kernel's order.
func (t *Table) Append(out []rtnl.Route, k model.RouteKey) []rtnl.Route {
	k4, k6, family := t.slotKey(&k)
	id := several
	switch family {
	case unix.AF_INET:
		e := t.v4.lookup(k4)
		if e == nil {
			return out
		}
		id = e.attr
	case unix.AF_INET6:
		e := t.v6.lookup(k6)
		if e == nil {
			return out
		}
		id = e.attr
	}
	if id != several {
		return append(out, t.full(&k, id))
	}
	rows := t.rows[k]
	for i := range rows {
		out = append(out, rows[i].r)
	}
	return out
}

// Keys appends every key to out, in no order that means anything.
func (t *Table) Keys(out []model.RouteKey) []model.RouteKey {
	for i := range t.v4.e {
		if e := &t.v4.e[i]; one(e.attr) {
			out = append(out, t.key4(e.key))
		}
	}
	for i := range t.v6.e {
		if e := &t.v6.e[i]; one(e.attr) {
			out = append(out, t.key6(e.key))
		}
	}
	for k := range t.rows {
		out = append(out, k)
	}
	return out
}

// Each calls f for every route, in the order of their keys.
func (t *Table) Each(f func(*rtnl.Route)) {
	keys := t.Keys(make([]model.RouteKey, 0, t.n))
	slices.SortFunc(keys, model.RouteKey.Compare)
	var rs []rtnl.Route
	for _, k := range keys {
		rs = t.Append(rs[:0], k)
		for i := range rs {
			f(&rs[i])
		}
	}
}

// Begin starts a new generation: Put marks with it, Sweep removes what has not
// been marked since.
func (t *Table) Begin() {
	t.next()
	t.since = t.gen
	t.v4.begin()
	t.v6.begin()
}

// Confirm starts a new generation whose marks count besides those of the last:
// what one of two dumps has shown stays.
func (t *Table) Confirm() {
	t.next()
	t.v4.confirm()
	t.v6.confirm()
}

func (t *Table) next() {
	t.gen++
	t.at, t.pos, t.stale = sweep4, 0, nil
	t.twice, t.twiceBefore = nil, t.twice
}

// Unseen6 tells whether IPv6 routes are there that no dump has shown since
// Begin, or that the last has shown twice. The kernel starts a dump of IPv6
// routes over when the table changes, after as many as it had sent
// (inet6_dump_fib, net/ipv6/ip6_fib.c): it may leave some out or repeat some.
func (t *Table) Unseen6() bool {
	for i := range t.twice {
		if t.twice[i].Family == unix.AF_INET6 {
			return true
		}
	}
	for w := range t.v6.used {
		for b := t.v6.unseen(w); b != 0; b &= b - 1 {
			if t.v6.e[w<<6+bits.TrailingZeros64(b)].attr != several {
				return true
			}
		}
	}
	for k, rows := range t.rows {
		if k.Family == unix.AF_INET6 && slices.ContainsFunc(rows, func(r row) bool { return r.gen < t.since }) {
			return true
		}
	}
	return false
}

// Twice takes what the last two dumps have both shown twice for being there
// twice, which IPv6 routes can be after a replacement, and calls changed for the
// key of each.
func (t *Table) Twice(changed func(model.RouteKey)) {
	for i := range t.twice {
		r := &t.twice[i]
		if r.Family != unix.AF_INET6 || !slices.ContainsFunc(t.twiceBefore, func(x rtnl.Route) bool { return x == *r }) {
			continue
		}
		key := model.KeyOfRoute(t.ns, r)
		t.edit(key, r, func(rows []row, r *rtnl.Route) ([]row, bool) {
			return append(rows, row{r: *r, gen: t.gen, seen: t.now}), true
		})
		changed(key)
	}
	t.twice = nil
}

// stage is how far a sweep has come.
type stage uint8

const (
	sweep4 stage = iota
	sweep6
	sweepRows
	swept
)

// Sweep removes what the current generation has not marked and calls gone for
// the key of each. It looks at no more than budget slots and is true when it
// has been through. Between its calls nothing else may change the table.
func (t *Table) Sweep(budget int, gone func(model.RouteKey)) bool {
	if t.at == sweep4 && sweepSlots(t, &t.v4, &budget, func(k key4) { gone(t.key4(k)) }) {
		t.at, t.pos = sweep6, 0
	}
	if t.at == sweep6 && sweepSlots(t, &t.v6, &budget, func(k key6) { gone(t.key6(k)) }) {
		t.at, t.stale = sweepRows, t.staleRows()
	}
	for t.at == sweepRows && len(t.stale) > 0 && budget > 0 {
		key := t.stale[0]
		t.stale = t.stale[1:]
		budget--
		t.keep(key, func(r *row) bool { return r.gen >= t.since })
		gone(key)
	}
	if t.at == sweepRows && len(t.stale) == 0 {
		t.at, t.stale = swept, nil
	}
	return t.at == swept
}

// What a removal and 64 slots take of a sweep's budget.
const (
	removalCost = 16
	wordCost    = 8
)

func sweepSlots[K hashed[K]](t *Table, s *slots[K], budget *int, gone func(K)) bool {
	for t.pos < len(s.used) && *budget > 0 {
		*budget -= wordCost
		for b := s.unseen(t.pos); b != 0; b &= b - 1 {
			if i := t.pos<<6 + bits.TrailingZeros64(b); s.e[i].attr != several {
				*budget -= removalCost
				k := s.e[i].key
				drop(&t.attrs, s.e[i].attr, k)
				s.remove(i)
				t.n--
				gone(k)
			}
		}
		t.pos++
	}
	return t.pos >= len(s.used)
}

// staleRows lists the keys with several routes of which some were not seen.
func (t *Table) staleRows() []model.RouteKey {
	var keys []model.RouteKey
	for k, rows := range t.rows {
		if slices.ContainsFunc(rows, func(r row) bool { return r.gen < t.since }) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, model.RouteKey.Compare)
	return keys
}

// keep removes the rows of a key that ok does not hold for.
func (t *Table) keep(key model.RouteKey, ok func(*row) bool) {
	var left []row
	for _, r := range t.rows[key] {
		if ok(&r) {
			left = append(left, r)
		}
	}
	t.n -= len(t.rows[key]) - len(left)
	k4, k6, family := t.slotKey(&key)
	switch {
	case family == unix.AF_INET:
		setSlot(t, &t.v4, k4, key, left)
	case family == unix.AF_INET6:
		setSlot(t, &t.v6, k6, key, left)
	case len(left) == 0:
		delete(t.rows, key)
	default:
		t.rows[key] = left
	}
}

// Match tells which routes are meant. attr sees a route without its key (Dst,
// Table, Priority and TOS are zero); Table, when it is not 0, is the only table.
type Match struct {
	Attr  func(r *rtnl.Route) bool
	Table uint32
}

// judge asks for each set of attributes once.
func (t *Table) judge(m Match) bool {
	t.heads = slices.Grow(t.heads[:0], len(t.attrs.list))[:len(t.attrs.list)]
	some := false
	for i := range t.attrs.list {
		a := &t.attrs.list[i]
		t.heads[i] = a.refs > 0 && m.Attr(&a.route)
		some = some || t.heads[i]
	}
	return some
}

func (m Match) row(r *rtnl.Route) bool {
	return (m.Table == 0 || r.Table == m.Table) && m.Attr(r)
}

// Any tells whether a route could match; the table is not looked at.
func (t *Table) Any(m Match) bool {
	if t.judge(m) {
		return true
	}
	for _, rows := range t.rows {
		for i := range rows {
			if m.row(&rows[i].r) {
				return true
			}
		}
	}
	return false
}

// Select calls f for the key of each route that matches, in no order that means
// anything. f must not change the table.
func (t *Table) Select(m Match, f func(model.RouteKey)) {
	if t.judge(m) {
		for i := range t.v4.e {
			if e := &t.v4.e[i]; t.hit(e.attr, e.key.table, m) {
				f(t.key4(e.key))
			}
		}
		for i := range t.v6.e {
			if e := &t.v6.e[i]; t.hit(e.attr, e.key.table, m) {
				f(t.key6(e.key))
			}
		}
	}
	for _, k := range t.rowsWith(m) {
		f(k)
	}
}

func (t *Table) hit(id uint32, table uint16, m Match) bool {
	return one(id) && t.heads[id] && t.inTable(table, m)
}

// Remove removes the routes that match and calls gone for the key of each.
func (t *Table) Remove(m Match, gone func(model.RouteKey)) {
	if t.judge(m) && !t.removeFew(m, gone) {
		removeSlots(t, &t.v4, m, func(k key4) uint16 { return k.table }, func(k key4) { gone(t.key4(k)) })
		removeSlots(t, &t.v6, m, func(k key6) uint16 { return k.table }, func(k key6) { gone(t.key6(k)) })
	}
	for _, k := range t.rowsWith(m) {
		t.keep(k, func(r *row) bool { return !m.row(&r.r) })
		gone(k)
	}
}

// removeFew removes what matches where that is known without a look at every
// slot; otherwise it does nothing and is false.
func (t *Table) removeFew(m Match, gone func(model.RouteKey)) bool {
	var k4 []key4
	var k6 []key6
	for id, hit := range t.heads {
		a := &t.attrs.list[id]
		switch {
		case !hit:
		case a.many:
			return false
		default:
			k4, k6 = append(k4, a.few4...), append(k6, a.few6...)
		}
	}
	removeKeys(t, &t.v4, k4, func(k key4) bool { return t.inTable(k.table, m) }, func(k key4) { gone(t.key4(k)) })
	removeKeys(t, &t.v6, k6, func(k key6) bool { return t.inTable(k.table, m) }, func(k key6) { gone(t.key6(k)) })
	return true
}

func removeKeys[K hashed[K]](t *Table, s *slots[K], keys []K, meant func(K) bool, gone func(K)) {
	for _, k := range keys {
		if i, ok := s.find(k, k.hash(s.seed)); ok && meant(k) {
			drop(&t.attrs, s.e[i].attr, k)
			s.remove(i)
			t.n--
			gone(k)
		}
	}
}

func (t *Table) inTable(table uint16, m Match) bool {
	return m.Table == 0 || t.tables.ids[table] == m.Table
}

func removeSlots[K hashed[K]](t *Table, s *slots[K], m Match, table func(K) uint16, gone func(K)) {
	for i := range s.e {
		e := &s.e[i]
		if !t.hit(e.attr, table(e.key), m) {
			continue
		}
		k := e.key
		drop(&t.attrs, e.attr, k) // an id that is freed here is not given out before the end
		s.remove(i)
		t.n--
		gone(k)
	}
}

// rowsWith lists the keys with several routes of which some match.
func (t *Table) rowsWith(m Match) []model.RouteKey {
	var keys []model.RouteKey
	for k, rows := range t.rows {
		for i := range rows {
			if m.row(&rows[i].r) {
				keys = append(keys, k)
				break
			}
		}
	}
	slices.SortFunc(keys, model.RouteKey.Compare)
	return keys
}
