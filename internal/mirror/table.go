package mirror

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// table is a set of kernel objects by key, with a generation mark for sweeps.
type table[K comparable, V comparable] struct {
	m   map[K]*slot[V]
	gen uint32
}

type slot[V comparable] struct {
	v   V
	gen uint32
}

func newTable[K comparable, V comparable]() table[K, V] {
	return table[K, V]{m: map[K]*slot[V]{}}
}

func (t *table[K, V]) get(k K) *V {
	if s := t.m[k]; s != nil {
		return &s.v
	}
	return nil
}

// put stores v and marks it seen. It returns what was there before (valid
// until the next put) and whether anything changed.
func (t *table[K, V]) put(k K, v *V) (old *V, changed bool) {
	s := t.m[k]
	if s == nil {
		t.m[k] = &slot[V]{v: *v, gen: t.gen}
		return nil, true
	}
	s.gen = t.gen
	if s.v == *v {
		return &s.v, false
	}
	before := s.v
	s.v = *v
	return &before, true
}

func (t *table[K, V]) del(k K) (old *V) {
	s := t.m[k]
	if s == nil {
		return nil
	}
	delete(t.m, k)
	return &s.v
}

// stale gives the keys that the current dump did not show, sorted.
func (t *table[K, V]) stale(compare func(a, b K) int) []K {
	var out []K
	for k, s := range t.m {
		if s.gen != t.gen {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, compare)
	return out
}

// ruleTable counts rules: the kernel takes the same one twice.
type ruleTable struct {
	m   map[rtnl.Rule]*ruleCount
	gen uint32
}

type ruleCount struct {
	n    int
	seen int // by the dump of gen
	gen  uint32
}

func newRuleTable() ruleTable { return ruleTable{m: map[rtnl.Rule]*ruleCount{}} }

// put adds a rule, or what a dump says of it. It tells whether there was none.
func (t *ruleTable) put(r *rtnl.Rule, dump bool) bool {
	c := t.m[*r]
	isNew := c == nil
	if isNew {
		c = &ruleCount{}
		t.m[*r] = c
	}
	if !dump {
		c.n++
		return isNew
	}
	if c.gen != t.gen {
		c.gen, c.seen = t.gen, 0
	}
	c.seen++
	c.n = max(c.n, 1)
	return isNew
}

// del takes one off. It tells whether it was the last.
func (t *ruleTable) del(r *rtnl.Rule) bool {
	c := t.m[*r]
	if c == nil {
		return false
	}
	if c.n--; c.n > 0 {
		return false
	}
	delete(t.m, *r)
	return true
}

// sweep makes the counts those of the dump and gives what has gone, sorted.
func (t *ruleTable) sweep() (gone []rtnl.Rule) {
	for r, c := range t.m {
		if c.gen == t.gen {
			c.n = c.seen
			continue
		}
		delete(t.m, r)
		gone = append(gone, r)
	}
	slices.SortFunc(gone, func(a, b rtnl.Rule) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority),
			cmp.Compare(rtnl.FormatRule(&a, nil), rtnl.FormatRule(&b, nil)))
	})
	return gone
}

func cmpUint32(a, b uint32) int { return cmp.Compare(a, b) }

// neighKey identifies a neighbour.
type neighKey struct {
	index uint32
	dst   netip.Addr
}

func (k neighKey) compare(o neighKey) int {
	return cmp.Or(cmp.Compare(k.index, o.index), k.dst.Compare(o.dst))
}

// addrTable is the addresses, with what is asked for often.
type addrTable struct {
	table[model.AddrKey, rtnl.Addr]
	on    map[uint32]map[model.AddrKey]time.Time // by link: when the lifetimes were true
	four  map[uint32]int                         // IPv4 addresses by link
	local map[netip.Addr]int
}

func newAddrTable() addrTable {
	return addrTable{table: newTable[model.AddrKey, rtnl.Addr](), on: map[uint32]map[model.AddrKey]time.Time{},
		four: map[uint32]int{}, local: map[netip.Addr]int{}}
}

// has4 tells whether a link has an IPv4 address.
func (t *addrTable) has4(index uint32) bool { return t.four[index] > 0 }

// put is table.put that takes lifetimes for deadlines: that they have run on is
// no change.
func (t *addrTable) put(k model.AddrKey, a *rtnl.Addr, now time.Time) (old *rtnl.Addr, changed bool) {
	on := t.on[k.Index]
	if have := t.get(k); have != nil {
		since := now.Sub(on[k])
		on[k] = now
		if sameDeadline(have.Valid, a.Valid, since) && sameDeadline(have.Preferred, a.Preferred, since) {
			have.Valid, have.Preferred = a.Valid, a.Preferred
		}
		return t.table.put(k, a)
	}
	if on == nil {
		on = map[model.AddrKey]time.Time{}
		t.on[k.Index] = on
	}
	on[k] = now
	t.count(k, 1)
	return t.table.put(k, a)
}

func (t *addrTable) del(k model.AddrKey) *rtnl.Addr {
	old := t.table.del(k)
	if old != nil {
		t.count(k, -1)
		if delete(t.on[k.Index], k); len(t.on[k.Index]) == 0 {
			delete(t.on, k.Index)
		}
	}
	return old
}

func (t *addrTable) count(k model.AddrKey, by int) {
	if t.local[k.Local] += by; t.local[k.Local] == 0 {
		delete(t.local, k.Local)
	}
	if k.Local.Is4() {
		if t.four[k.Index] += by; t.four[k.Index] == 0 {
			delete(t.four, k.Index)
		}
	}
}

// lifeSlack is how far two readings of one lifetime may be apart.
const lifeSlack = 2 * time.Second

// sameDeadline tells whether two lifetimes in seconds, read so far apart, end
// together.
func sameDeadline(old, new uint32, apart time.Duration) bool {
	if old == rtnl.LifetimeForever || new == rtnl.LifetimeForever || old == 0 || new == 0 {
		return old == new
	}
	left := time.Duration(old)*time.Second - apart
	return (left - time.Duration(new)*time.Second).Abs() <= lifeSlack
}
