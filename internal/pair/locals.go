package pair

import (
	"net/netip"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// eachLocal calls f for what an address of Linux makes the router's own: itself,
// the broadcast address of its subnet, the subnet-router anycast address
// (RFC 4291, 2.6.1). Loopback and link-local addresses are everybody's.
func eachLocal(a *rtnl.Addr, f func(netip.Addr)) {
	ip := a.Local
	if !ip.IsValid() || ip.IsLoopback() || ip.IsLinkLocalUnicast() && ip.Is6() || ip.IsUnspecified() {
		return
	}
	f(ip)
	bits := int(a.PrefixLen)
	switch {
	case ip.Is4():
		if a.Broadcast.IsValid() && a.Broadcast.Is4() && a.Broadcast != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			f(a.Broadcast)
		}
		if !a.Peer.IsValid() && bits < 31 {
			f(broadcast(ip, bits))
		}
	case bits < 127 && !a.Peer.IsValid():
		if p, err := ip.Prefix(bits); err == nil {
			f(p.Addr())
		}
	}
}

// broadcast is the last address of a subnet.
func broadcast(ip netip.Addr, bits int) netip.Addr {
	b := ip.As4()
	for i := bits; i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// countLocals keeps how many addresses of Linux make each one our own.
func (e *Engine) countLocals(old, new *rtnl.Addr) {
	if new != nil {
		eachLocal(new, func(ip netip.Addr) { e.countLocal(ip, 1) })
	}
	if old != nil {
		eachLocal(old, func(ip netip.Addr) { e.countLocal(ip, -1) })
	}
}

func (e *Engine) countLocal(ip netip.Addr, n int) {
	before := e.own[ip]
	if e.own[ip] = before + n; before+n <= 0 {
		delete(e.own, ip)
	}
	if (before > 0) != (before+n > 0) {
		e.markLocal(ip)
	}
}

// recountLocals begins anew, after the set of namespaces has changed.
func (e *Engine) recountLocals() {
	old := e.own
	e.own = map[netip.Addr]int{}
	for _, ns := range e.spaces() {
		if m := e.mirror(ns); m != nil {
			m.Each(nil, func(a *rtnl.Addr) { e.countLocals(nil, a) }, nil, nil)
		}
	}
	for _, ip := range sortedKeys(old, netip.Addr.Compare) {
		if e.own[ip] == 0 {
			e.markLocal(ip)
		}
	}
}

func (e *Engine) markLocal(ip netip.Addr) {
	k := dpKey(ofLocal, 0)
	k.prefix = host(ip)
	e.locals.add(k)
}

// markLocals has every address looked at that is, or is to be, our own.
func (e *Engine) markLocals() {
	for _, ip := range sortedKeys(e.own, netip.Addr.Compare) {
		e.markLocal(ip)
	}
	for _, ip := range sortedKeys(e.dp.locals, netip.Addr.Compare) {
		e.markLocal(ip)
	}
}

// stepLocal looks at one address of our own. One is taken back only while all
// addresses of all namespaces are known.
func (e *Engine) stepLocal(k key) {
	if !e.conn.caps.Local {
		return
	}
	ip := k.prefix.Addr()
	want, there := e.own[ip] > 0, e.dp.locals[ip]
	switch {
	case want && !there:
		e.emit(k, dataplane.Op{Kind: dataplane.LocalAdd, Addr: ip})
	case !want && there:
		for _, ns := range e.spaces() {
			if !e.nsLive(ns) {
				return // SyncEnd looks again
			}
		}
		e.emit(k, dataplane.Op{Kind: dataplane.LocalDel, Addr: ip})
	case !e.ledger.busy(k):
		e.ledger.inPlace(k)
	}
}

// spaces are the namespaces that pairs have companions in, in order.
func (e *Engine) spaces() []model.NS { return e.nss }
