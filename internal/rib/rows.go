package rib

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// sameRoute tells whether both describe one entry of the kernel's table; what
// the kernel changes by itself (flags, remaining lifetime) does not count.
func sameRoute(a, b *rtnl.Route) bool {
	return a.Type == b.Type && a.Protocol == b.Protocol && a.Oif == b.Oif && a.NHID == b.NHID &&
		a.Gateway == b.Gateway && a.PrefSrc == b.PrefSrc && a.Scope == b.Scope && a.Multipath == b.Multipath &&
		a.Encap == b.Encap && a.MTU == b.MTU && a.Metrics == b.Metrics && a.Label == b.Label && a.Realm == b.Realm
}

// lifeSlack is how far two readings of one lifetime may be apart.
const lifeSlack = 2 * time.Second

// differs tells whether a route that is there looks different now.
func (t *Table) differs(old *row, r *rtnl.Route) bool {
	x, y := old.r, *r
	x.Expires, y.Expires = 0, 0
	if x != y || (old.r.Expires == 0) != (r.Expires == 0) {
		return true
	}
	if r.Expires == 0 {
		return false
	}
	before := old.seen.Add(time.Duration(old.r.Expires) * time.Second)
	after := t.now.Add(time.Duration(r.Expires) * time.Second)
	return before.Sub(after).Abs() > lifeSlack
}

// ecmp tells whether an IPv6 route is one that becomes a next hop of another of
// its key (rt6_qualify_for_ecmp, net/ipv6/route.c): not one of a router
// advertisement, and none with a next-hop object.
func ecmp(r *rtnl.Route) bool {
	return r.Family == unix.AF_INET6 && r.NHID == 0 && r.Protocol != unix.RTPROT_RA && (r.Gateway.IsValid() || r.Multipath != "")
}

// putRow puts a route among those of its key as the kernel does it.
func (t *Table) putRow(rows []row, r *rtnl.Route, flags uint16, dump bool) ([]row, bool) {
	if dump {
		return t.dumpRow(rows, r)
	}
	add := row{r: *r, gen: t.gen, seen: t.now}
	replace := flags&unix.NLM_F_REPLACE != 0
	if ecmp(r) && slices.ContainsFunc(rows, func(x row) bool { return ecmp(&x.r) }) {
		return t.putSibling(rows, add)
	}
	at := slices.IndexFunc(rows, func(x row) bool { return sameRoute(&x.r, r) })
	switch {
	case replace && len(rows) > 0:
		return t.replaceRow(rows, add, at)
	case at >= 0:
		changed := t.differs(&rows[at], r)
		rows[at] = add
		return rows, changed
	case r.Family == unix.AF_INET && flags&unix.NLM_F_APPEND == 0:
		return append([]row{add}, rows...), true
	}
	return append(rows, add), true
}

// replaceRow puts a route in the place of another: the first of its key; of
// IPv6 the first that is no sibling, as the new one is none. An IPv4 route is
// there once, an IPv6 route then perhaps twice (fib6_add_rt2node).
func (t *Table) replaceRow(rows []row, add row, at int) ([]row, bool) {
	// When a next-hop object becomes another, every route that uses it is
	// announced as replaced (nexthop_compat_mode=1): it is that very route.
	updated := slices.IndexFunc(rows, func(x row) bool {
		return add.r.NHID != 0 && x.r.NHID == add.r.NHID && x.r.Protocol == add.r.Protocol && x.r.PrefSrc == add.r.PrefSrc &&
			x.r.Scope == add.r.Scope && x.r.MTU == add.r.MTU && x.r.Metrics == add.r.Metrics
	})
	if updated >= 0 {
		changed := t.differs(&rows[updated], &add.r)
		rows[updated] = add
		return rows, changed
	}
	i := max(0, slices.IndexFunc(rows, func(x row) bool { return add.r.Family == unix.AF_INET6 && ecmp(&x.r) == ecmp(&add.r) }))
	changed := !sameRoute(&rows[i].r, &add.r) || t.differs(&rows[i], &add.r)
	rows[i] = add
	if add.r.Family == unix.AF_INET && at > i {
		rows = append(rows[:at:at], rows[at+1:]...)
	}
	return rows, changed
}

// twiceMax bounds what is remembered of repetitions in a dump.
const twiceMax = 4096

// dumpRow takes a route that a dump shows. Those of one key come in the
// kernel's order: this one takes the place of the first that has not been seen.
func (t *Table) dumpRow(rows []row, r *rtnl.Route) ([]row, bool) {
	add := row{r: *r, gen: t.gen, seen: t.now}
	again := false
	for i := range rows {
		switch {
		case !sameRoute(&rows[i].r, r):
		case rows[i].gen == t.gen:
			again = true
		default:
			changed := t.differs(&rows[i], r)
			rows[i] = add
			moved := toFront(rows, i, t.marked(rows[:i]))
			return rows, changed || moved
		}
	}
	if again {
		if len(t.twice) >= twiceMax {
			return rows, false
		}
		t.twice = append(t.twice, *r)
		return rows, false
	}
	if n := t.marked(rows); n < len(rows) {
		rows[n] = add
		return rows, true
	}
	return append(rows, add), true
}

// putSibling lets an announcement take the place of every sibling: it has all
// next hops, whether it was a replacement or an addition.
func (t *Table) putSibling(rows []row, add row) ([]row, bool) {
	out := rows[:0:0]
	done, changed := false, false
	for i := range rows {
		switch {
		case !ecmp(&rows[i].r):
			out = append(out, rows[i])
		case !done:
			out, done = append(out, add), true
			changed = changed || !sameRoute(&rows[i].r, &add.r) || t.differs(&rows[i], &add.r)
		default:
			changed = true
		}
	}
	return out, changed
}

// marked counts the rows that this generation has seen, which are the first.
func (t *Table) marked(rows []row) int {
	n := 0
	for i := range rows {
		if rows[i].gen == t.gen {
			n++
		}
	}
	return n
}

// toFront moves row i to place n, n <= i.
func toFront(rows []row, i, n int) bool {
	if i == n {
		return false
	}
	x := rows[i]
	copy(rows[n+1:i+1], rows[n:i])
	rows[n] = x
	return true
}

// cutRow removes a route from those of its key, or a next hop from the route
// that has it.
func (t *Table) cutRow(rows []row, r *rtnl.Route) ([]row, bool) {
	for i := range rows {
		if sameRoute(&rows[i].r, r) {
			return append(rows[:i:i], rows[i+1:]...), true
		}
	}
	if r.Family != unix.AF_INET6 || r.Multipath != "" {
		return rows, false
	}
	for i := range rows {
		if left, ok := withoutHop(&rows[i].r, r); ok {
			rows[i].r = left
			return rows, true
		}
	}
	return rows, false
}

// withoutHop takes the next hop of gone off a route with several: of IPv6
// siblings the kernel announces the removal of each by itself.
func withoutHop(r, gone *rtnl.Route) (rtnl.Route, bool) {
	if r.Multipath == "" || r.Type != gone.Type || r.Protocol != gone.Protocol {
		return *r, false
	}
	hops, err := rtnl.Hops(r.Multipath)
	if err != nil {
		return *r, false
	}
	for i, h := range hops {
		if h.Oif != gone.Oif || h.Gateway != gone.Gateway || h.Encap != gone.Encap {
			continue
		}
		left := *r
		hops = append(hops[:i], hops[i+1:]...)
		if len(hops) > 1 {
			left.Multipath = rtnl.AppendHops(hops)
			return left, true
		}
		left.Multipath = ""
		if len(hops) == 1 {
			left.Oif, left.Gateway, left.Encap = hops[0].Oif, hops[0].Gateway, hops[0].Encap
		}
		return left, true
	}
	return *r, false
}
