package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// States that count as valid (NUD_VALID, include/net/neighbour.h).
const nudValid = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY

type neighKey struct {
	dst   netip.Addr
	index uint32
	proxy bool
}

// neighTable keeps the neighbours of both families; the forwarding databases
// of bridges are not simulated.
type neighTable struct{ m map[neighKey]*rtnl.Neigh }

func (t *neighTable) init() { t.m = map[neighKey]*rtnl.Neigh{} }

func (t *neighTable) sorted() []neighKey {
	keys := make([]neighKey, 0, len(t.m))
	for key := range t.m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b neighKey) int {
		return cmp.Or(cmp.Compare(a.dst.BitLen(), b.dst.BitLen()), cmp.Compare(a.index, b.index), a.dst.Compare(b.dst))
	})
	return keys
}

func (k *Kernel) neighRequest(h rtnl.Header, n *rtnl.Neigh) *rtnl.Error {
	if n.Family != unix.AF_INET && n.Family != unix.AF_INET6 {
		return fail(unix.EAFNOSUPPORT, "")
	}
	l := k.links[n.Index]
	if n.Index != 0 && l == nil {
		return fail(unix.ENODEV, "")
	}
	if !n.Dst.IsValid() {
		return fail(unix.EINVAL, "Network address not specified")
	}
	key := neighKey{n.Dst, n.Index, n.Flags&unix.NTF_PROXY != 0}
	if h.Type == unix.RTM_NEWNEIGH {
		return k.newNeigh(h, n, l, key)
	}
	old := k.neighs.m[key]
	if old == nil {
		return fail(unix.ENOENT, "")
	}
	delete(k.neighs.m, key)
	if !key.proxy {
		gone := *old
		if gone.State != unix.NUD_NOARP {
			gone.State = unix.NUD_FAILED
			gone.LLAddr = rtnl.HWAddr{}
			k.notifyNeigh(unix.RTM_NEWNEIGH, &gone)
		}
		k.notifyNeigh(unix.RTM_DELNEIGH, &gone)
	}
	return nil
}

// newNeigh is neigh_add.
func (k *Kernel) newNeigh(h rtnl.Header, n *rtnl.Neigh, l *link, key neighKey) *rtnl.Error {
	if key.proxy {
		one := *n
		k.neighs.m[key] = &one
		return nil
	}
	if l == nil {
		return fail(unix.EINVAL, "Device not specified")
	}
	if n.LLAddr.Len > 0 && n.LLAddr.Len < l.Addr.Len {
		return fail(unix.EINVAL, "Invalid link address")
	}
	old := k.neighs.m[key]
	one := rtnl.Neigh{Index: n.Index, Family: n.Family, Dst: n.Dst, State: unix.NUD_NONE, Type: unix.RTN_UNICAST}
	if old == nil {
		if h.Flags&unix.NLM_F_CREATE == 0 {
			return fail(unix.ENOENT, "")
		}
		if n.Family == unix.AF_INET6 && l.in6 == nil || n.Family == unix.AF_INET && l.in4 == nil {
			return fail(unix.EINVAL, "")
		}
	} else {
		if h.Flags&unix.NLM_F_EXCL != 0 {
			return fail(unix.EEXIST, "")
		}
		one = *old
	}
	before := one
	if n.State&nudValid != 0 && n.LLAddr.Len == 0 && one.LLAddr.Len == 0 && l.flags&unix.IFF_NOARP == 0 && !l.isLoop() {
		return fail(unix.EINVAL, "No link layer address given")
	}
	replace := old == nil || h.Flags&unix.NLM_F_REPLACE != 0
	if n.LLAddr.Len > 0 && (replace || one.State&nudValid == 0) {
		one.LLAddr = n.LLAddr
	}
	one.State = n.State
	if one.State&nudValid == 0 {
		one.LLAddr = rtnl.HWAddr{}
	}
	one.Flags = n.Flags
	one.ExtFlags = n.ExtFlags
	if n.Protocol != 0 {
		one.Protocol = n.Protocol
	}
	k.neighs.m[key] = &one
	if one != before {
		k.notifyNeigh(unix.RTM_NEWNEIGH, &one)
	}
	return nil
}

// neighDown removes the neighbours on a link that went down or, keeping the
// permanent ones, lost its carrier.
func (k *Kernel) neighDown(l *link, family uint8, keepPermanent bool) {
	if len(k.neighs.m) == 0 {
		return
	}
	for _, key := range k.neighs.sorted() {
		n := k.neighs.m[key]
		if n.Index != l.Index || n.Family != family || keepPermanent && n.State&unix.NUD_PERMANENT != 0 {
			continue
		}
		delete(k.neighs.m, key)
		if !key.proxy {
			k.notifyNeigh(unix.RTM_DELNEIGH, n)
		}
	}
}

func (k *Kernel) neighEvent(ev event, l *link) {
	if ev == evChange && !l.carrier {
		k.neighDown(l, unix.AF_INET, true)
		k.neighDown(l, unix.AF_INET6, true)
	}
}
