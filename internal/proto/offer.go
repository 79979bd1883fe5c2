package proto

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"netbraid/internal/config"
)

// The keys by which entries of an offer are the same entry.

func addrKey(a config.StaticAddr) netip.Prefix {
	if a.Prefix.Addr().Is6() {
		return netip.PrefixFrom(a.Prefix.Addr(), 128) // the kernel's key
	}
	return a.Prefix
}

func prefixKey(p config.Prefix6) netip.Prefix { return p.Prefix }

func neighborKey(n Neighbor) netip.Addr { return n.Addr }

type routeID struct {
	target, source netip.Prefix
	gateway        netip.Addr
	metric, table  uint32
}

func routeKey(r config.Route) routeID {
	return routeID{r.Target, r.Source, r.Gateway, r.Metric, r.Table}
}

func keyIndex[T any, K comparable](list []T, v T, key func(T) K) int {
	k := key(v)
	return slices.IndexFunc(list, func(x T) bool { return key(x) == k })
}

// keep adds to next what only old has.
func keep[T any, K comparable](old, next []T, key func(T) K) []T {
	have := map[K]bool{}
	for _, v := range next {
		have[key(v)] = true
	}
	for _, v := range old {
		if !have[key(v)] {
			next = append(next, v)
		}
	}
	return next
}

func identity[T any](v T) T { return v }

// mergeOffer is what is offered after an update: with keep what was told before
// and is not told now stays; the data stays in any case, as does the layer 3
// device when none is named.
func mergeOffer(old, next *Offer, kept bool) *Offer {
	if old == nil {
		return next
	}
	n := *next
	if n.L3Device == "" {
		n.L3Device, n.Tunnel = old.L3Device, old.Tunnel
	}
	n.Data = mergeFields(old.Data, next.Data)
	if kept {
		n.Addrs = keep(old.Addrs, slices.Clone(n.Addrs), addrKey)
		n.Prefixes = keep(old.Prefixes, slices.Clone(n.Prefixes), prefixKey)
		n.Routes = keep(old.Routes, slices.Clone(n.Routes), routeKey)
		n.Neighbors = keep(old.Neighbors, slices.Clone(n.Neighbors), neighborKey)
		n.DNS = keep(old.DNS, slices.Clone(n.DNS), identity)
		n.DNSSearch = keep(old.DNSSearch, slices.Clone(n.DNSSearch), identity)
		if !n.Gateway4.IsValid() {
			n.Gateway4 = old.Gateway4
		}
		if !n.Gateway6.IsValid() {
			n.Gateway6 = old.Gateway6
		}
		n.AddressExternal = n.AddressExternal || old.AddressExternal && len(next.Addrs) == 0
		sortOffer(&n)
	}
	return &n
}

// sortOffer puts the entries into netifd's order: addresses and neighbours by
// address, IPv4 first; routes by length, longest first, then metric, IPv6
// first, then target.
func sortOffer(o *Offer) {
	slices.SortStableFunc(o.Addrs, func(a, b config.StaticAddr) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	slices.SortStableFunc(o.Prefixes, func(a, b config.Prefix6) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	slices.SortStableFunc(o.Neighbors, func(a, b Neighbor) int { return a.Addr.Compare(b.Addr) })
	slices.SortStableFunc(o.Routes, func(a, b config.Route) int {
		return cmp.Or(cmp.Compare(b.Target.Bits(), a.Target.Bits()), cmp.Compare(a.Metric, b.Metric),
			cmp.Compare(b.Family, a.Family), a.Target.Addr().Compare(b.Target.Addr()))
	})
}

// Difference tells which parts of two offers differ; nil is an empty offer.
// Lifetimes that end at the same time, give or take 2 s, are the same.
func (o *Offer) Difference(n *Offer) (addrs, routes, prefixes, data bool) {
	if o == nil {
		o = &Offer{}
	}
	if n == nil {
		n = &Offer{}
	}
	addrs = !slices.EqualFunc(o.Addrs, n.Addrs, func(a, b config.StaticAddr) bool {
		near := sameEnd(a.PreferredUntil, b.PreferredUntil) && sameEnd(a.ValidUntil, b.ValidUntil)
		a.PreferredUntil, a.ValidUntil = b.PreferredUntil, b.ValidUntil
		return near && a == b
	})
	routes = o.Gateway4 != n.Gateway4 || o.Gateway6 != n.Gateway6 ||
		!slices.EqualFunc(o.Routes, n.Routes, func(a, b config.Route) bool {
			near := sameEnd(a.ValidUntil, b.ValidUntil)
			a.ValidUntil = b.ValidUntil
			return near && a == b
		})
	prefixes = !slices.EqualFunc(o.Prefixes, n.Prefixes, func(a, b config.Prefix6) bool {
		near := sameEnd(a.PreferredUntil, b.PreferredUntil) && sameEnd(a.ValidUntil, b.ValidUntil)
		a.PreferredUntil, a.ValidUntil, a.Preferred, a.Valid = b.PreferredUntil, b.ValidUntil, b.Preferred, b.Valid
		return near && a == b
	})
	return addrs, routes, prefixes, !sameFields(o.Data, n.Data)
}

func sameEnd(a, b time.Time) bool {
	if a.IsZero() || b.IsZero() {
		return a.IsZero() == b.IsZero()
	}
	d := a.Sub(b)
	return -2*time.Second < d && d < 2*time.Second
}

// Expire gives the offer without what is over at now, o itself when that is
// nothing, and when the next entry is over (zero: never).
func (o *Offer) Expire(now time.Time) (left *Offer, next time.Time) {
	n := *o
	over := func(t time.Time) bool {
		if t.IsZero() {
			return false
		}
		if !now.Before(t) {
			return true
		}
		if next.IsZero() || t.Before(next) {
			next = t
		}
		return false
	}
	n.Addrs = without(n.Addrs, func(a config.StaticAddr) bool { return over(a.ValidUntil) })
	n.Prefixes = without(n.Prefixes, func(p config.Prefix6) bool { return over(p.ValidUntil) })
	n.Routes = without(n.Routes, func(r config.Route) bool { return over(r.ValidUntil) })
	if len(n.Addrs) == len(o.Addrs) && len(n.Prefixes) == len(o.Prefixes) && len(n.Routes) == len(o.Routes) {
		return o, next
	}
	return &n, next
}

func without[T any](list []T, drop func(T) bool) []T {
	var out []T
	for _, v := range list {
		if !drop(v) {
			out = append(out, v)
		}
	}
	return out
}
