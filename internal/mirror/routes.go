package mirror

import (
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// routeTable holds the routes by slot. A slot has more than one where the
// kernel allows it (IPv4 append, IPv6 siblings).
type routeTable struct {
	m   map[model.RouteKey][]routeSlot
	gen uint32
	n   int
}

type routeSlot struct {
	r   rtnl.Route
	gen uint32
}

// sameRoute tells whether both describe one entry of the kernel's table; what
// the kernel changes by itself (flags, remaining lifetime) does not count.
func sameRoute(a, b *rtnl.Route) bool {
	return a.Type == b.Type && a.Protocol == b.Protocol && a.Oif == b.Oif && a.NHID == b.NHID &&
		a.Gateway == b.Gateway && a.PrefSrc == b.PrefSrc && a.Scope == b.Scope && a.Multipath == b.Multipath &&
		a.Encap == b.Encap && a.MTU == b.MTU && a.Metrics == b.Metrics && a.Label == b.Label
}

func (t *routeTable) get(k model.RouteKey) []rtnl.Route {
	var out []rtnl.Route
	for i := range t.m[k] {
		out = append(out, t.m[k][i].r)
	}
	return out
}

// put adds or refreshes a route. With replace it takes the place of the first
// route of the slot; an IPv6 message with several next hops is the whole slot.
func (t *routeTable) put(k model.RouteKey, r *rtnl.Route, replace bool) bool {
	slots := t.m[k]
	for i := range slots {
		if sameRoute(&slots[i].r, r) {
			slots[i].gen = t.gen
			changed := slots[i].r != *r
			slots[i].r = *r
			return changed
		}
	}
	add := routeSlot{r: *r, gen: t.gen}
	multi6 := k.Family == unix.AF_INET6 && r.Multipath != ""
	switch {
	case len(slots) > 0 && multi6:
		t.n -= len(slots) - 1
		t.m[k] = append(slots[:0], add)
	case len(slots) > 0 && replace:
		slots[0] = add
	default:
		t.n++
		t.m[k] = append(slots, add)
	}
	return true
}

func (t *routeTable) remove(k model.RouteKey, r *rtnl.Route) bool {
	slots := t.m[k]
	for i := range slots {
		if sameRoute(&slots[i].r, r) {
			t.cut(k, i)
			return true
		}
	}
	return false
}

func (t *routeTable) cut(k model.RouteKey, i int) {
	slots := t.m[k]
	t.n--
	if len(slots) == 1 {
		delete(t.m, k)
		return
	}
	t.m[k] = append(slots[:i:i], slots[i+1:]...)
}

// removeIf removes the single-hop routes that match, and sets again when one
// with several next hops is there and may have changed as well.
func (t *routeTable) removeIf(match func(*rtnl.Route) bool, again *bool) []model.RouteKey {
	var keys []model.RouteKey
	for k, slots := range t.m {
		for i := len(slots) - 1; i >= 0; i-- {
			r := &slots[i].r
			if r.Multipath != "" || r.NHID != 0 {
				*again = true
				continue
			}
			if match(r) {
				t.cut(k, i)
				slots = t.m[k]
				keys = append(keys, k)
			}
		}
	}
	sortRouteKeys(keys)
	return keys
}

// any tells whether some route matches, or could (several next hops).
func (t *routeTable) any(match func(*rtnl.Route) bool) bool {
	for _, slots := range t.m {
		for i := range slots {
			if r := &slots[i].r; match(r) || r.Multipath != "" || r.NHID != 0 {
				return true
			}
		}
	}
	return false
}

func (t *routeTable) sweep() []model.RouteKey {
	var keys []model.RouteKey
	for k, slots := range t.m {
		for i := len(slots) - 1; i >= 0; i-- {
			if slots[i].gen != t.gen {
				t.cut(k, i)
				slots = t.m[k]
				keys = append(keys, k)
			}
		}
	}
	sortRouteKeys(keys)
	return keys
}

func sortRouteKeys(keys []model.RouteKey) { slices.SortFunc(keys, model.RouteKey.Compare) }
