package pair

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// neighValid are the states in which a neighbour's address is known
// (NUD_VALID without NUD_NOARP, include/net/neighbour.h).
const neighValid = unix.NUD_PERMANENT | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY

// wantNeigh tells what the dataplane is to know of a neighbour of Linux; ok is
// false for nothing. A dataplane that resolves for itself is told only those
// that it cannot find out: configured ones, and those that a routing daemon
// has learned.
func (e *Engine) wantNeigh(index uint32, n *rtnl.Neigh) (dataplane.Neigh, bool) {
	if n == nil || n.Flags&unix.NTF_PROXY != 0 || n.LLAddr.Len != 6 || n.State&neighValid == 0 || n.Dst.IsMulticast() {
		return dataplane.Neigh{}, false
	}
	static := n.State&unix.NUD_PERMANENT != 0 || n.Flags&unix.NTF_EXT_LEARNED != 0
	return dataplane.Neigh{Index: index, Addr: n.Dst, MAC: n.LLAddr, Static: static}, static || !e.conn.caps.Resolves
}

func (e *Engine) markNeigh(u *unit, a netip.Addr) {
	if u.phy != dataplane.NoIndex {
		k := dpKey(ofNeigh, u.phy)
		k.prefix = host(a)
		e.neighs.add(k)
	}
}

// markNeighs has every neighbour of a unit looked at.
func (e *Engine) markNeighs(u *unit) {
	for _, a := range sortedKeys(e.byLink[linkID{u.ns, u.host}], netip.Addr.Compare) {
		e.markNeigh(u, a)
	}
	for _, a := range sortedKeys(e.dp.neighs[u.phy], netip.Addr.Compare) {
		e.markNeigh(u, a)
	}
}

// stepNeigh looks at one neighbour.
func (e *Engine) stepNeigh(k key) {
	u, i := e.byPhy[k.index], e.dp.ifaces[k.index]
	if u == nil || i == nil {
		e.ledger.forget(k)
		return
	}
	a := k.prefix.Addr()
	have, there := e.dp.neighs[k.index][a]
	var want dataplane.Neigh
	wanted := false
	if !u.removing {
		m := e.mirror(u.ns)
		if !u.active || m == nil || !m.Live(rtnl.KindNeigh) || !m.Live(rtnl.KindLink) {
			return
		}
		if i.Type == dataplane.Ethernet {
			want, wanted = e.wantNeigh(k.index, m.Neigh(u.host, a))
		}
	}
	switch {
	case wanted && (!there || have != want):
		e.emit(k, dataplane.Op{Kind: dataplane.NeighSet, Index: k.index, Addr: a, MAC: want.MAC, On: want.Static})
	case !wanted && there && (u.neighs[a] || (have.Static || !e.conn.caps.Resolves) && u.made.Pair && u.synced && !u.removing):
		e.emit(k, dataplane.Op{Kind: dataplane.NeighDel, Index: k.index, Addr: a})
	case !e.ledger.busy(k):
		e.ledger.inPlace(k)
		if !there {
			delete(u.neighs, a)
		}
	}
}

// noteNeigh keeps the list of neighbours by link.
func (e *Engine) noteNeigh(ns model.NS, old, new *rtnl.Neigh) {
	n, gone := new, false
	if n == nil {
		n, gone = old, true
	}
	if n.Family != unix.AF_INET && n.Family != unix.AF_INET6 || n.Flags&unix.NTF_PROXY != 0 {
		return
	}
	at := linkID{ns, n.Index}
	if gone {
		if delete(e.byLink[at], n.Dst); len(e.byLink[at]) == 0 {
			delete(e.byLink, at)
		}
	} else {
		if e.byLink[at] == nil {
			e.byLink[at] = map[netip.Addr]bool{}
		}
		e.byLink[at][n.Dst] = true
	}
	if u := e.byHost[at]; u != nil {
		e.markNeigh(u, n.Dst)
	}
}
