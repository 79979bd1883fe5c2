package netns

import (
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// What our routes in the forwarding namespace look like.
const (
	// Protocol marks them (rtm_protocol); linux/rtnetlink.h has no name for 110.
	Protocol = 110
	// Metric is theirs, so that a replace meets no other's route: the protocol is
	// no part of a route's key.
	Metric = 110

	maxPaths  = 128
	maxWeight = 256 // rtnh_hops is one octet, the weight less 1
	maxLabel  = 1<<20 - 1
	loIndex   = 1 // of the loopback in every namespace
)

// template is what the routes of a PathSet have in common, by family.
type template struct {
	route rtnl.Route
	err   error
}

type pathKey struct {
	set    *dataplane.PathSet
	family uint8
}

// pathCache keeps templates: the routes that do the same share a PathSet.
type pathCache struct {
	m map[pathKey]template
}

// maxTemplates bounds the cache, which is then begun anew.
const maxTemplates = 1 << 16

func (c *pathCache) template(set *dataplane.PathSet, family uint8, popTo func(uint32) (uint32, error)) template {
	key := pathKey{set, family}
	if t, ok := c.m[key]; ok {
		return t
	}
	var t template
	t.route, t.err = routeOf(set, family, popTo)
	if t.err != nil {
		return t // a table or device may come
	}
	if c.m == nil || len(c.m) >= maxTemplates {
		c.m = map[pathKey]template{}
	}
	c.m[key] = t
	return t
}

// routeOf is what a PathSet is as a route of the kernel. popTo gives the device
// that packets go to which are looked up in another table.
func routeOf(set *dataplane.PathSet, family uint8, popTo func(table uint32) (uint32, error)) (r rtnl.Route, err error) {
	r = rtnl.Route{Family: family, Protocol: Protocol, Type: unix.RTN_UNICAST}
	switch {
	case set == nil:
		return r, fmt.Errorf("a route without paths: %w", dataplane.ErrRefused)
	case set.Kind > dataplane.Prohibit, set.Kind != dataplane.Unicast && len(set.Paths) > 0, set.Kind == dataplane.Unicast && len(set.Paths) == 0:
		return r, fmt.Errorf("a route of kind %d with %d paths: %w", set.Kind, len(set.Paths), dataplane.ErrRefused)
	case len(set.Paths) > maxPaths:
		return r, fmt.Errorf("a route with %d paths (at most %d): %w", len(set.Paths), maxPaths, dataplane.ErrRefused)
	case set.Kind != dataplane.Unicast && family == unix.AF_MPLS:
		return r, fmt.Errorf("an MPLS route that drops: a label without route does: %w", dataplane.ErrUnsupported)
	}
	switch set.Kind {
	case dataplane.Blackhole:
		r.Type = unix.RTN_BLACKHOLE
	case dataplane.Unreachable:
		r.Type = unix.RTN_UNREACHABLE
	case dataplane.Prohibit:
		r.Type = unix.RTN_PROHIBIT
	}
	if set.Kind != dataplane.Unicast {
		return r, nil
	}
	hops := make([]rtnl.Hop, len(set.Paths))
	for i := range set.Paths {
		if hops[i], err = hopOf(&set.Paths[i], family, popTo); err != nil {
			return r, err
		}
	}
	if err := weights(hops, set.Paths, family); err != nil {
		return r, err
	}
	if len(hops) > 1 {
		r.Multipath = rtnl.AppendHops(hops)
		return r, nil
	}
	h := hops[0]
	r.Oif, r.Gateway, r.Encap, r.Flags = h.Oif, h.Gateway, h.Encap, uint32(h.Flags)
	if family == unix.AF_INET && !h.Gateway.IsValid() {
		r.Scope = unix.RT_SCOPE_LINK
	}
	return r, nil
}

// weights gives the hops those of the paths: as they are, or in proportion
// where they are more than the kernel has.
func weights(hops []rtnl.Hop, paths []dataplane.Path, family uint8) error {
	most, least := uint16(0), ^uint16(0)
	for _, p := range paths {
		most, least = max(most, p.Weight), min(least, p.Weight)
	}
	if family == unix.AF_MPLS {
		if most != least {
			return fmt.Errorf("an MPLS route with paths of different weight: the kernel has none: %w", dataplane.ErrUnsupported)
		}
		return nil
	}
	for i, p := range paths {
		w := uint32(p.Weight)
		if most > maxWeight {
			w = max((w*maxWeight+uint32(most)/2)/uint32(most), 1)
		}
		if len(paths) > 1 {
			hops[i].Weight = uint8(w - 1)
		}
	}
	return nil
}

// hopOf is a path as a next hop. Gateways are taken to be on the link: they
// are in the companion's namespace, where the route was accepted.
func hopOf(p *dataplane.Path, family uint8, popTo func(uint32) (uint32, error)) (h rtnl.Hop, err error) {
	h = rtnl.Hop{Oif: p.Index, Gateway: p.Via}
	switch {
	case p.Weight == 0:
		return h, fmt.Errorf("a path of weight 0: %w", dataplane.ErrRefused)
	case int(p.Labels.N) > dataplane.MaxLabels:
		return h, fmt.Errorf("a path with %d labels: %w", p.Labels.N, dataplane.ErrRefused)
	case p.Via.IsValid() && (p.Via.Zone() != "" || p.Via.Is4In6() || p.Via.IsUnspecified()):
		return h, fmt.Errorf("next hop %v: %w", p.Via, dataplane.ErrRefused)
	case p.Via.Is4() && family == unix.AF_INET6:
		return h, fmt.Errorf("an IPv6 route via %v: the kernel has no IPv6 through IPv4: %w", p.Via, dataplane.ErrUnsupported)
	case p.Index == dataplane.NoIndex && p.Via.IsValid():
		return h, fmt.Errorf("next hop %v without interface: the kernel has no recursive routes: %w", p.Via, dataplane.ErrUnsupported)
	}
	for _, l := range p.Labels.L[:p.Labels.N] {
		if l > maxLabel {
			return h, fmt.Errorf("label %d: %w", l, dataplane.ErrRefused)
		}
	}
	if p.Index == dataplane.NoIndex {
		if h.Oif, err = popTo(p.Table); err != nil {
			return h, err
		}
	}
	if p.Via.IsValid() && family != unix.AF_MPLS {
		h.Flags = unix.RTNH_F_ONLINK
	}
	if p.Labels.N > 0 {
		if family == unix.AF_MPLS {
			h.Encap = rtnl.LabelStack(p.Labels.L[:p.Labels.N]...)
		} else {
			h.Encap = rtnl.MPLSEncap(p.Labels.L[:p.Labels.N]...)
		}
	}
	return h, nil
}

// routeKey puts a key into a route.
func routeKey(r *rtnl.Route, k dataplane.RouteKey) error {
	if k.MPLS() {
		if k.Label > maxLabel || k.Table != dataplane.MainTable {
			return fmt.Errorf("label %d in table %d: %w", k.Label, k.Table, dataplane.ErrRefused)
		}
		r.Label, r.Table = k.Label, unix.RT_TABLE_MAIN
		return nil
	}
	if k.Prefix != k.Prefix.Masked() || k.Prefix.Addr().Is4In6() || reserved(k.Table) || r.Family != familyOf(k.Prefix.Addr()) {
		return fmt.Errorf("route to %v in table %d: %w", k.Prefix, k.Table, dataplane.ErrRefused)
	}
	r.Dst, r.Table, r.Priority = k.Prefix, k.Table, Metric
	if k.Table == dataplane.MainTable {
		r.Table = unix.RT_TABLE_MAIN
	}
	return nil
}

// labelUse tells for which of its two keys a label has a route: the kernel does
// the same with a label wherever it is in the stack, the contract may not.
type labelUse uint8

const (
	useEOS   labelUse = 1 << iota // at the bottom of the stack
	useAbove                      // above others
	useBoth  = useEOS | useAbove
)

func useOf(k dataplane.RouteKey) labelUse {
	if k.EOS {
		return useEOS
	}
	return useAbove
}

// keyFamily is the family of a key, as the kernel counts them.
func keyFamily(k dataplane.RouteKey) uint8 {
	if k.MPLS() {
		return unix.AF_MPLS
	}
	return familyOf(k.Prefix.Addr())
}

// keyOf is the key of a route that was dumped; ok is false when it is none of
// ours.
func keyOf(r *rtnl.Route) (k dataplane.RouteKey, ok bool) {
	if r.Family == unix.AF_MPLS {
		return dataplane.RouteKey{Label: r.Label, EOS: true}, r.Protocol == Protocol
	}
	k = dataplane.RouteKey{Table: r.Table, Prefix: r.Dst}
	if r.Table == unix.RT_TABLE_MAIN {
		k.Table = dataplane.MainTable
	}
	return k, r.Protocol == Protocol && r.Priority == Metric && r.Dst.IsValid()
}

// pathsOf is what a route that was dumped does. tableOf gives the table that is
// behind a device, if there is one.
func pathsOf(r *rtnl.Route, tableOf func(ifindex uint32) (uint32, bool)) (*dataplane.PathSet, error) {
	switch r.Type {
	case unix.RTN_BLACKHOLE:
		return &dataplane.PathSet{Kind: dataplane.Blackhole}, nil
	case unix.RTN_UNREACHABLE:
		return &dataplane.PathSet{Kind: dataplane.Unreachable}, nil
	case unix.RTN_PROHIBIT:
		return &dataplane.PathSet{Kind: dataplane.Prohibit}, nil
	}
	hops := []rtnl.Hop{{Oif: r.Oif, Gateway: r.Gateway, Encap: r.Encap}}
	if r.Multipath != "" {
		var err error
		if hops, err = rtnl.Hops(r.Multipath); err != nil {
			return nil, err
		}
	}
	set := &dataplane.PathSet{Paths: make([]dataplane.Path, 0, len(hops))}
	for _, h := range hops {
		p := dataplane.Path{Index: h.Oif, Via: h.Gateway, Weight: uint16(h.Weight) + 1}
		if t, is := tableOf(h.Oif); is {
			p.Index, p.Table = dataplane.NoIndex, t
		}
		labels := rtnl.Labels(r.Family, h.Encap)
		if len(labels) > dataplane.MaxLabels {
			return nil, fmt.Errorf("route to %v pushes %d labels", r.Dst, len(labels))
		}
		p.Labels.N = uint8(copy(p.Labels.L[:], labels))
		set.Paths = append(set.Paths, p)
	}
	set.Sort()
	return set, nil
}

// oddRoute is a route with weights that the kernel does not have: it is shown as
// it was written while the kernel has what we made of it.
type oddRoute struct {
	written, made *dataplane.PathSet
}

func isOdd(set *dataplane.PathSet, family uint8) bool {
	for i := range set.Paths {
		if w := set.Paths[i].Weight; w > maxWeight || w != 1 && (len(set.Paths) == 1 || family == unix.AF_MPLS) {
			return true
		}
	}
	return false
}
