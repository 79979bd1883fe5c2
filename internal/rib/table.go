package rib

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// several in a slot says that the routes of its key are in Table.rows: more
// than one, or one with a lifetime.
const several = ^uint32(0)

var emptyPrefix netip.Prefix

// Table is the routes of one namespace. It is not safe for concurrent use.
type Table struct {
	ns     model.NS
	v4     slots[key4]
	v6     slots[key6]
	tables tables
	attrs  attrs
	// rows has the keys that a slot cannot hold, in the kernel's order.
	rows  map[model.RouteKey][]row
	n     int
	gen   uint32 // of the last dump
	since uint32 // the first generation whose marks count
	now   time.Time

	at    stage // of the sweep
	pos   int
	stale []model.RouteKey // keys of rows that are still to be swept

	twice []rtnl.Route // what the dump has shown a second time
	// twiceBefore is twice of the dump before.
	twiceBefore []rtnl.Route

	ambiguous bool // see Ambiguous
	// displaced has the hashes of keys whose only route was replaced by a message
	// told out of order; nil while order holds.
	displaced map[uint64]struct{}

	layouts [8]layout
	raw     []byte // scratch of split
	head    uint64 // of the message that split has read, with rest: see spelling
	rest    []byte
	k4      key4
	k6      key6
	route   rtnl.Route
	heads   []bool // of each set of attributes: whether it matches
}

// row is one route of a key that has several.
type row struct {
	r    rtnl.Route
	gen  uint32
	seen time.Time // when r.Expires was true
}

// New makes an empty table. Equal calls on tables of an equal seed give equal
// answers in an equal order.
func New(ns model.NS, seed uint64) *Table {
	return &Table{
		ns: ns, v4: slots[key4]{seed: seed}, v6: slots[key6]{seed: seed},
		attrs: newAttrs(), rows: map[model.RouteKey][]row{}, gen: 1, since: 1,
	}
}

// Clock tells the time of the messages that follow: lifetimes are compared as
// deadlines.
func (t *Table) Clock(now time.Time) { t.now = now }

// Len is the number of routes.
func (t *Table) Len() int { return t.n }

// Shared is the number of different sets of attributes.
func (t *Table) Shared() int { return len(t.attrs.list) - 1 - len(t.attrs.free) }

// Sizes in octets; those of rows and attributes with their share of a map.
const (
	slot4Size = 16
	slot6Size = 32
	rowSize   = 512
	attrSize  = 640
)

// Bytes is the memory of the slots and of what does not fit them, near enough.
func (t *Table) Bytes() int {
	return len(t.v4.e)*slot4Size + len(t.v6.e)*slot6Size + len(t.rows)*rowSize + len(t.attrs.list)*attrSize
}

// Put takes the body of an RTM_NEWROUTE with its nlmsg_flags; dump says that it
// belongs to a dump and not to a notification. changed tells whether anything
// is different now; key is only valid then.
func (t *Table) Put(body []byte, flags uint16, dump bool) (key model.RouteKey, changed bool, err error) {
	family, plain := t.split(body)
	switch {
	case !plain:
	case family == unix.AF_INET:
		if changed, done := put(t, &t.v4, t.k4, body, flags, dump); done {
			if changed {
				key = t.key4(t.k4)
			}
			return key, changed, nil
		}
	default:
		if changed, done := put(t, &t.v6, t.k6, body, flags, dump); done {
			if changed {
				key = t.key6(t.k6)
			}
			return key, changed, nil
		}
	}
	return t.general(body, func(rows []row, r *rtnl.Route) ([]row, bool) {
		return t.putRow(rows, r, flags, dump)
	})
}

// Delete takes the body of an RTM_DELROUTE.
func (t *Table) Delete(body []byte) (key model.RouteKey, changed bool, err error) {
	if family, plain := t.split(body); plain {
		var done bool
		if family == unix.AF_INET {
			if changed, done = cut(t, &t.v4, t.k4); changed {
				key = t.key4(t.k4)
			}
		} else if changed, done = cut(t, &t.v6, t.k6); changed {
			key = t.key6(t.k6)
		}
		if done {
			return key, changed, nil
		}
	}
	return t.general(body, t.cutRow)
}

// put is the usual case: one route for the key, before and after. done is false
// for the others, which have changed nothing yet.
func put[K hashed[K]](t *Table, s *slots[K], k K, body []byte, flags uint16, dump bool) (changed, done bool) {
	id, known := t.attrs.bySpelling(t.head, t.rest)
	if !known {
		if ok, err := decode(body, &t.route); err != nil || !ok {
			return false, false
		}
		id = t.attrs.byValue(&t.route)
		t.attrs.remember(t.head, t.rest, id)
	}
	h := k.hash(s.seed)
	if len(s.e) == 0 {
		s.room()
	}
	s.ahead(k)
	i, found := s.find(k, h)
	if !found {
		if s.e[i].attr == 0 && s.full() {
			s.room()
			i, _ = s.find(k, h)
		}
		s.put(i, k, id)
		t.n++
		hold(&t.attrs, id, k)
		return true, true
	}
	e := &s.e[i]
	marked := s.seen.has(i)
	if e.attr == id && !(dump && marked) {
		if !marked {
			s.seen.set(i)
		}
		return false, true
	}
	if e.attr != several && e.attr != id && (flags&unix.NLM_F_REPLACE != 0 || dump && !marked ||
		sameRoute(&t.attrs.list[e.attr].route, &t.attrs.list[id].route)) {
		if t.displaced != nil {
			t.displaced[h] = struct{}{}
		}
		hold(&t.attrs, id, k)
		drop(&t.attrs, e.attr, k)
		e.attr = id
		s.seen.set(i)
		return true, true
	}
	if t.attrs.list[id].refs == 0 {
		t.attrs.forget(id)
	}
	return false, false
}

// cut removes the one route of a key.
func cut[K hashed[K]](t *Table, s *slots[K], k K) (changed, done bool) {
	if s.n == 0 {
		return false, true
	}
	h := k.hash(s.seed)
	i, found := s.find(k, h)
	if !found {
		return false, true
	}
	if _, was := t.displaced[h]; was {
		t.ambiguous = true
	}
	id, known := t.attrs.bySpelling(t.head, t.rest)
	if !known || id != s.e[i].attr {
		return false, false
	}
	drop(&t.attrs, id, k)
	s.remove(i)
	t.n--
	return true, true
}

// general reads the routes of a key into rows, lets edit change them and puts
// them back.
func (t *Table) general(body []byte, edit func([]row, *rtnl.Route) ([]row, bool)) (model.RouteKey, bool, error) {
	r := &t.route
	if ok, err := decode(body, r); err != nil || !ok {
		return model.RouteKey{}, false, err
	}
	key := model.KeyOfRoute(t.ns, r)
	return key, t.edit(key, r, edit), nil
}

// OutOfOrder says that the messages that follow are older than what a dump has
// shown, or (false) that they are in the kernel's order again.
func (t *Table) OutOfOrder(on bool) {
	t.ambiguous = false
	t.displaced = nil
	if on {
		t.displaced = map[uint64]struct{}{}
	}
}

// Ambiguous tells whether a message told out of order may have done something
// else than in order: to one of several routes of a key, where the place of each
// counts, or a removal of what had replaced a route that a dump has shown (of
// two, the dump has shown the one that is left).
func (t *Table) Ambiguous() bool { return t.ambiguous }

func (t *Table) edit(key model.RouteKey, r *rtnl.Route, f func([]row, *rtnl.Route) ([]row, bool)) (changed bool) {
	edit := func(rows []row, r *rtnl.Route) ([]row, bool) {
		n := len(rows)
		rows, changed := f(rows, r)
		t.ambiguous = t.ambiguous || t.displaced != nil && max(n, len(rows)) > 1
		return rows, changed
	}
	k4, k6, family := t.slotKey(&key)
	switch family {
	case unix.AF_INET:
		changed = editSlot(t, &t.v4, k4, key, r, edit)
	case unix.AF_INET6:
		changed = editSlot(t, &t.v6, k6, key, r, edit)
	default:
		rows, n := t.rows[key], len(t.rows[key])
		rows, changed = edit(rows, r)
		t.n += len(rows) - n
		if len(rows) == 0 {
			delete(t.rows, key)
		} else {
			t.rows[key] = rows
		}
	}
	return changed
}

func editSlot[K hashed[K]](t *Table, s *slots[K], k K, key model.RouteKey, r *rtnl.Route, edit func([]row, *rtnl.Route) ([]row, bool)) bool {
	s.room()
	i, found := s.find(k, k.hash(s.seed))
	var rows []row
	if found {
		if e := &s.e[i]; e.attr == several {
			rows = t.rows[key]
		} else {
			rows = []row{{r: t.full(&key, e.attr)}}
			switch {
			case s.seen.has(i):
				rows[0].gen = t.gen
			case s.kept.has(i):
				rows[0].gen = t.since
			}
		}
	}
	n := len(rows)
	rows, changed := edit(rows, r)
	t.n += len(rows) - n
	setSlot(t, s, k, key, rows)
	return changed
}

// setSlot stores the routes of a key where they fit.
func setSlot[K hashed[K]](t *Table, s *slots[K], k K, key model.RouteKey, rows []row) {
	i, found := s.find(k, k.hash(s.seed))
	id, old := several, several
	if found {
		old = s.e[i].attr
	}
	if len(rows) == 1 && rows[0].r.Expires == 0 {
		id = t.attrs.byValue(&rows[0].r)
	}
	if id != old && id != several {
		hold(&t.attrs, id, k)
	}
	if id != old && old != several {
		drop(&t.attrs, old, k)
	}
	if id == several && len(rows) > 0 {
		t.rows[key] = rows
	} else {
		delete(t.rows, key)
	}
	switch {
	case len(rows) == 0 && found:
		s.remove(i)
		return
	case len(rows) == 0:
		return
	case !found:
		s.put(i, k, id)
	}
	s.e[i].attr = id
	s.seen.clear(i)
	s.kept.clear(i)
	if id != several && rows[0].gen == t.gen {
		s.seen.set(i)
	} else if id != several && rows[0].gen >= t.since {
		s.kept.set(i)
	}
}

// full is the route of a key with the attributes id.
func (t *Table) full(k *model.RouteKey, id uint32) rtnl.Route {
	r := t.attrs.list[id].route
	r.Dst, r.Table, r.Priority, r.TOS = k.Dst, k.Table, k.Priority, k.TOS
	return r
}

// slotKey gives the key of a slot; family is 0 for a key that has none.
func (t *Table) slotKey(k *model.RouteKey) (k4 key4, k6 key6, family uint8) {
	if k.Src.IsValid() || !k.Dst.IsValid() || k.NS != t.ns || k.Dst.Masked() != k.Dst {
		return k4, k6, 0
	}
	table, ok := t.tables.index(k.Table)
	plen := uint8(k.Dst.Bits())
	switch {
	case !ok:
		return k4, k6, 0
	case k.Family == unix.AF_INET && k.Dst.Addr().Is4():
		a := k.Dst.Addr().As4()
		return key4{be.Uint32(a[:]), k.Priority, table, plen, k.TOS}, k6, k.Family
	case k.Family == unix.AF_INET6 && k.Dst.Addr().Is6():
		a := k.Dst.Addr().As16()
		return k4, key6{be.Uint64(a[:]), be.Uint64(a[8:]), k.Priority, table, plen, k.TOS}, k.Family
	}
	return k4, k6, 0
}

func (t *Table) key4(k key4) model.RouteKey {
	var a [4]byte
	be.PutUint32(a[:], k.dst)
	return model.RouteKey{NS: t.ns, Family: unix.AF_INET, TOS: k.tos, Table: t.tables.ids[k.table], Priority: k.prio,
		Dst: netip.PrefixFrom(netip.AddrFrom4(a), int(k.plen))}
}

func (t *Table) key6(k key6) model.RouteKey {
	var a [16]byte
	be.PutUint64(a[:], k.hi)
	be.PutUint64(a[8:], k.lo)
	return model.RouteKey{NS: t.ns, Family: unix.AF_INET6, TOS: k.tos, Table: t.tables.ids[k.table], Priority: k.prio,
		Dst: netip.PrefixFrom(netip.AddrFrom16(a), int(k.plen))}
}
