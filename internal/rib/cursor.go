package rib

import (
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// AttrOf tells what the only route of a key shares with others: the id of its
// attributes, 0 when there is no route. ok is false when the key has several
// routes or one that no slot holds: Append has them.
func (t *Table) AttrOf(k *model.RouteKey) (id uint32, ok bool) {
	k4, k6, family := t.slotKey(k)
	switch family {
	case unix.AF_INET:
		if e := t.v4.lookup(k4); e != nil {
			return e.attr, e.attr != several
		}
	case unix.AF_INET6:
		if e := t.v6.lookup(k6); e != nil {
			return e.attr, e.attr != several
		}
	default:
		return 0, len(t.rows[*k]) == 0
	}
	return 0, true
}

// Attr is a set of attributes.
type Attr struct {
	// Route is a route without its key: Dst, Table, Priority and TOS are zero.
	// It must not be changed.
	Route *rtnl.Route
	// Made tells sets of attributes apart that have one id after another.
	Made   uint32
	Routes uint32 // that have it
}

// Attr gives a set of attributes by its id, which is below Attrs.
func (t *Table) Attr(id uint32) Attr {
	a := &t.attrs.list[id]
	return Attr{&a.route, a.made, a.refs}
}

// Attrs is above every id of attributes.
func (t *Table) Attrs() uint32 { return uint32(len(t.attrs.list)) }

// Cursor is a place in a walk through the keys of a table. The table may change
// on the way: a key that was there at the beginning, has not changed since and
// is there at the end is met, perhaps twice. The zero value is the beginning.
type Cursor struct {
	at   stage // sweep4, sweep6, sweepRows, swept
	pos  int
	size int
	move uint64
	keys []model.RouteKey
}

// slotsPerKey is how many slots cost as much as a key.
const slotsPerKey = 16

// Walk goes on with a walk: it calls f for the keys of routes whose attributes
// want holds for, and for all whose attributes no slot has. It ends after about
// budget keys, and is true when the walk has been through. f and want must not
// change the table.
func (t *Table) Walk(c *Cursor, budget int, want func(attr uint32) bool, f func(model.RouteKey)) bool {
	budget *= slotsPerKey
	if c.at == sweep4 && walkSlots(&t.v4, c, &budget, want, func(k key4) { f(t.key4(k)) }) {
		c.at, c.pos, c.size, c.move = sweep6, 0, 0, t.v6.move
	}
	if c.at == sweep6 && walkSlots(&t.v6, c, &budget, want, func(k key6) { f(t.key6(k)) }) {
		c.at, c.keys = sweepRows, t.slotless()
	}
	for c.at == sweepRows && len(c.keys) > 0 && budget > 0 {
		k := c.keys[0]
		c.keys = c.keys[1:]
		budget -= slotsPerKey
		f(k)
	}
	if c.at == sweepRows && len(c.keys) == 0 {
		c.at, c.keys = swept, nil
	}
	return c.at == swept
}

// walkSlots stops only behind an empty slot: what is beyond it belongs there
// and is never moved before it. When the table grows it goes further beyond,
// and some of it is met again.
func walkSlots[K hashed[K]](s *slots[K], c *Cursor, budget *int, want func(uint32) bool, f func(K)) bool {
	visit := func(e *slot[K]) {
		if e.attr != left && (e.attr == several || want(e.attr)) {
			*budget -= slotsPerKey
			f(e.key)
		}
	}
	for ; c.pos < len(s.e); c.pos++ {
		*budget--
		e := &s.e[c.pos]
		if e.attr != 0 {
			visit(e)
		} else if *budget <= 0 {
			c.pos++
			return false
		}
	}
	// What belongs at the end may have been put at the beginning when the table
	// grew.
	for i := 0; i < len(s.e) && s.e[i].attr != 0; i++ {
		visit(&s.e[i])
	}
	return true
}

// slotless lists the keys with routes that no slot stands for.
func (t *Table) slotless() []model.RouteKey {
	var keys []model.RouteKey
	for k := range t.rows {
		if _, _, family := t.slotKey(&k); family == 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, model.RouteKey.Compare)
	return keys
}
