package pair

import (
	"cmp"
	"net/netip"

	"netbraid/internal/dataplane"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
)

// fibHost is what the table of routes knows of the pairs.
type fibHost struct{ e *Engine }

func (h fibHost) Mirror(ns model.NS) *mirror.Engine { return h.e.mirror(ns) }

// Phy is the dataplane's interface of a companion that is kept in step.
func (h fibHost) Phy(ns model.NS, ifindex uint32) (uint32, bool) {
	u := h.e.byHost[linkID{ns, ifindex}]
	if u == nil || !u.active || u.phy == dataplane.NoIndex {
		return dataplane.NoIndex, false
	}
	return u.phy, true
}

func (h fibHost) Table(ns model.NS, table uint32) (uint32, bool) { return h.e.table(ns, table) }

// Connected tells whether the dataplane makes a route by itself, from an
// address that it is told.
func (h fibHost) Connected(ns model.NS, ifindex uint32, p netip.Prefix) bool {
	u := h.e.byHost[linkID{ns, ifindex}]
	if u == nil {
		return false
	}
	for a := range u.lx {
		if a.Masked() == p {
			return true
		}
	}
	return false
}

func (h fibHost) IgnoresLinkdown(ns model.NS, ifindex uint32, family uint8) bool {
	m := h.e.mirror(ns)
	return m != nil && m.IgnoresLinkdown(family, ifindex)
}

// Settled tells whether no pair is on its way any more.
func (h fibHost) Settled() bool {
	e := h.e
	if !e.ready() || e.dirty.len() > 0 || e.unrelated || e.remark {
		return false
	}
	for _, ns := range e.nss {
		if !e.nsLive(ns) {
			return false
		}
	}
	for _, u := range e.units {
		if u.phy == dataplane.NoIndex || u.active {
			continue
		}
		_, paired := e.dp.pairs[u.phy]
		if e.ledger.busy(dpKey(ofPair, u.phy)) || paired && (u.problem == "waiting for link" || e.now.Before(u.settleAt)) {
			return false
		}
	}
	return true
}

func (e *Engine) table(ns model.NS, table uint32) (uint32, bool) {
	if e.o.Table != nil {
		return e.o.Table(ns, table)
	}
	if table == mainTableID {
		return dataplane.MainTable, true
	}
	return table, true
}

func compareUint32(a, b uint32) int { return cmp.Compare(a, b) }
