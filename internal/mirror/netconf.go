package mirror

import (
	"cmp"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// netconfKey identifies the settings of a link, or of all, in one family.
type netconfKey struct {
	family uint8
	index  int32 // or rtnl.NetconfAll
}

func (k netconfKey) compare(o netconfKey) int {
	return cmp.Or(cmp.Compare(k.family, o.family), cmp.Compare(k.index, o.index))
}

// applyNetconf takes settings: of a dump all of them, of a notification those
// that have changed. The default is not kept: it is what links to come get, which
// are announced with all that they have, and IPv6 changes it in silence.
func (e *Engine) applyNetconf(gone bool) {
	n := &e.scratch.netconf
	key := netconfKey{n.Family, n.Index}
	switch {
	case n.Index == rtnl.NetconfDefault:
		e.defaultChanged(n)
	case gone:
		e.delNetconf(key)
	default:
		keepAnnounced(n)
		if have := e.netconfs.get(key); have != nil && !e.fromDump() {
			all := *have
			all.Update(n)
			*n = all
		}
		if old, changed := e.netconfs.put(key, n); changed {
			e.stats.Changes++
			e.sink.NetconfChanged(e.ns, old, e.netconfs.get(key))
		}
	}
}

// keepAnnounced leaves what every change of is announced: not bc_forwarding, and
// of what is off or on not with which number it is on.
func keepAnnounced(n *rtnl.Netconf) {
	n.Known &^= rtnl.NetconfBCForwarding
	n.BCForwarding = 0
	for _, v := range []*int32{&n.Forwarding, &n.IgnoreLinkdown} {
		if *v != 0 {
			*v = 1
		}
	}
}

// defaultChanged reads the settings again: IPv4 copies its default to the links
// whose own has not been written to, without a word (devinet_copy_dflt_conf,
// net/ipv4/devinet.c), but for forwarding.
func (e *Engine) defaultChanged(n *rtnl.Netconf) {
	if n.Family == unix.AF_INET && n.Known&^rtnl.NetconfForwarding != 0 && !e.fromDump() {
		e.Refresh(rtnl.KindNetconf)
	}
}

func (e *Engine) delNetconf(key netconfKey) {
	if old := e.netconfs.del(key); old != nil {
		e.stats.Changes++
		e.sink.NetconfChanged(e.ns, old, nil)
	}
}

// Netconf returns the settings of a link in a family, or nil; with
// rtnl.NetconfAll those that hold for all. Those of rtnl.NetconfDefault and
// bc_forwarding are not known, and what is on is 1.
func (e *Engine) Netconf(family uint8, index int32) *rtnl.Netconf {
	return e.netconfs.get(netconfKey{family, index})
}

// IgnoresLinkdown tells whether the kernel passes over next hops on a link that
// has no carrier. For IPv4 it does when that holds for all links or for this one
// (IN_DEV_ORCONF), for IPv6 only if for this one (ip6_ignore_linkdown), for MPLS
// always (mpls_select_multipath, mpls_output_possible).
func (e *Engine) IgnoresLinkdown(family uint8, index uint32) bool {
	on := func(index int32) bool {
		n := e.Netconf(family, index)
		return n != nil && n.IgnoreLinkdown != 0
	}
	switch family {
	case unix.AF_MPLS:
		return true
	case unix.AF_INET:
		return on(int32(index)) || on(rtnl.NetconfAll)
	}
	return on(int32(index))
}

// EachNetconf calls f for the settings of each link, and of all, family by
// family.
func (e *Engine) EachNetconf(f func(*rtnl.Netconf)) {
	for _, k := range sortedKeys(e.netconfs.m, netconfKey.compare) {
		f(e.netconfs.get(k))
	}
}
