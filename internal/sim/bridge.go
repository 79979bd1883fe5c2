package sim

import (
	"bytes"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

const (
	userHZ         = 100
	portBlocking   = 4 // BR_STATE_*, linux/if_bridge.h
	portListening  = 1
	portForwarding = 3
	portDisabled   = 0

	maxPorts        = 1 << 10
	maxPortPriority = 63
	maxPortCost     = 65535
	defaultPortPrio = 32
)

// bridge holds what rtnl.Bridge shows, with its times in jiffies.
type bridge struct {
	rtnl.Bridge        // settings that are not times
	forward            uint64
	hello, maxAge      uint64
	ageing             uint64
	lastMember         uint64
	membership         uint64
	querier            uint64
	query, queryAnswer uint64
	startup            uint64
}

// port is a bridge port.
type port struct {
	rtnl.Port
	adminCost bool // BR_ADMIN_COST
}

func (k *Kernel) jiffies(ticks uint64) uint64 {
	if ticks >= ^uint64(0)/uint64(k.opts.HZ) {
		return ^uint64(0)
	}
	return ticks * uint64(k.opts.HZ) / userHZ
}

func (k *Kernel) ticks(jiffies uint64) uint64 { return jiffies * userHZ / uint64(k.opts.HZ) }

func (k *Kernel) createBridge(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	if l.addrSet && !validEther(l.Addr) {
		return fail(unix.EADDRNOTAVAIL, "")
	}
	k.randomAddr(l)
	hz := uint64(k.opts.HZ)
	l.br = bridge{
		Bridge: rtnl.Bridge{Priority: 0x8000, McastRouter: 1, McastSnooping: true, HashMax: 4096,
			LastMemberCount: 2, StartupQueryCount: 2},
		forward: 15 * hz, hello: 2 * hz, maxAge: 20 * hz, ageing: 300 * hz,
		lastMember: hz, membership: 260 * hz, querier: 255 * hz, query: 125 * hz, queryAnswer: 10 * hz, startup: 125 * hz / 4,
	}
	if k.opts.VLANFiltering {
		l.br.VLANProtocol, l.br.DefaultPVID = unix.ETH_P_8021Q, 1
	}
	if e := k.registerNamed(l); e != nil {
		return e
	}
	if l.addrSet {
		k.selectStates(l)
	}
	if e := k.setBridge(l, r); e != nil {
		k.unregister([]*link{l})
		return e
	}
	return nil
}

func (k *Kernel) bridgeInfo(l *link) rtnl.Bridge {
	b := l.br.Bridge
	b.ForwardDelay = uint32(k.ticks(l.br.forward))
	b.HelloTime = uint32(k.ticks(l.br.hello))
	b.MaxAge = uint32(k.ticks(l.br.maxAge))
	b.AgeingTime = uint32(k.ticks(l.br.ageing))
	b.LastMemberInterval = k.ticks(l.br.lastMember)
	b.MembershipInterval = k.ticks(l.br.membership)
	b.QuerierInterval = k.ticks(l.br.querier)
	b.QueryInterval = k.ticks(l.br.query)
	b.QueryResponseInterval = k.ticks(l.br.queryAnswer)
	b.StartupQueryInterval = k.ticks(l.br.startup)
	return b
}

// setBridge is br_changelink, in its order: an error leaves what came before
// it changed.
func (k *Kernel) setBridge(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	b, v, has := &l.br, &r.Bridge, func(f rtnl.LinkField) bool { return r.Set&f != 0 }
	hz := uint64(k.opts.HZ)
	if has(rtnl.BridgeForwardDelay) {
		t := k.jiffies(uint64(v.ForwardDelay))
		if b.STP != 0 && (t < 2*hz || t > 30*hz) {
			return fail(unix.ERANGE, "")
		}
		b.forward = t
	}
	if has(rtnl.BridgeHelloTime) {
		t := k.jiffies(uint64(v.HelloTime))
		if t < hz || t > 10*hz {
			return fail(unix.ERANGE, "")
		}
		b.hello = t
	}
	if has(rtnl.BridgeMaxAge) {
		t := k.jiffies(uint64(v.MaxAge))
		if t < 6*hz || t > 40*hz {
			return fail(unix.ERANGE, "")
		}
		b.maxAge = t
	}
	if has(rtnl.BridgeAgeingTime) {
		b.ageing = k.jiffies(uint64(v.AgeingTime))
	}
	if has(rtnl.BridgeSTP) {
		k.setSTP(l, v.STP != 0)
	}
	if has(rtnl.BridgePriority) {
		b.Priority = v.Priority
		k.selectStates(l)
	}
	if e := k.setBridgeVLAN(l, r); e != nil {
		return e
	}
	return k.setBridgeMulticast(l, r)
}

func (k *Kernel) setSTP(l *link, on bool) {
	if on == (l.br.STP != 0) {
		return
	}
	hz := uint64(k.opts.HZ)
	l.br.STP = 0
	if on {
		l.br.forward = min(max(l.br.forward, 2*hz), 30*hz)
		l.br.STP = 1
	}
	k.selectStates(l)
}

func (k *Kernel) setBridgeVLAN(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	b, v := &l.br, &r.Bridge
	if r.Set&rtnl.BridgeVLANFiltering != 0 {
		if !k.opts.VLANFiltering {
			return fail(unix.EOPNOTSUPP, "")
		}
		b.VLANFiltering = v.VLANFiltering
	}
	if !k.opts.VLANFiltering {
		return nil
	}
	if r.Set&rtnl.BridgeVLANProtocol != 0 {
		if v.VLANProtocol != unix.ETH_P_8021Q && v.VLANProtocol != unix.ETH_P_8021AD {
			return fail(unix.EPROTONOSUPPORT, "")
		}
		b.VLANProtocol = v.VLANProtocol
	}
	if r.Set&rtnl.BridgeDefaultPVID != 0 {
		if v.DefaultPVID >= vlanMaxID+1 {
			return fail(unix.EINVAL, "")
		}
		if b.VLANFiltering && v.DefaultPVID != b.DefaultPVID {
			return fail(unix.EPERM, "")
		}
		b.DefaultPVID = v.DefaultPVID
	}
	return nil
}

func (k *Kernel) setBridgeMulticast(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	b, v, has := &l.br, &r.Bridge, func(f rtnl.LinkField) bool { return r.Set&f != 0 }
	if has(rtnl.BridgeMcastRouter) {
		if v.McastRouter > 2 {
			return fail(unix.EINVAL, "")
		}
		b.McastRouter = v.McastRouter
	}
	if has(rtnl.BridgeMcastSnooping) {
		b.McastSnooping = v.McastSnooping
	}
	if has(rtnl.BridgeMcastQuerier) {
		b.McastQuerier = v.McastQuerier
	}
	if has(rtnl.BridgeHashMax) {
		b.HashMax = v.HashMax
	}
	if has(rtnl.BridgeLastMemberCount) {
		b.LastMemberCount = v.LastMemberCount
	}
	if has(rtnl.BridgeStartupQueryCount) {
		b.StartupQueryCount = v.StartupQueryCount
	}
	hz := uint64(k.opts.HZ)
	for _, t := range []struct {
		field  rtnl.LinkField
		dst    *uint64
		val    uint64
		lo, hi uint64
	}{
		{rtnl.BridgeLastMemberInterval, &b.lastMember, v.LastMemberInterval, 0, ^uint64(0)},
		{rtnl.BridgeMembershipInterval, &b.membership, v.MembershipInterval, 0, ^uint64(0)},
		{rtnl.BridgeQuerierInterval, &b.querier, v.QuerierInterval, 0, ^uint64(0)},
		{rtnl.BridgeQueryInterval, &b.query, v.QueryInterval, hz, 86400 * hz},
		{rtnl.BridgeQueryResponseInterval, &b.queryAnswer, v.QueryResponseInterval, 0, ^uint64(0)},
		{rtnl.BridgeStartupQueryInterval, &b.startup, v.StartupQueryInterval, hz, 86400 * hz},
	} {
		if has(t.field) {
			*t.dst = min(max(k.jiffies(t.val), t.lo), t.hi)
		}
	}
	return nil
}

// setBridgeAddr is br_stp_change_bridge_id, after which the spanning tree is
// computed again: a bridge without ports loses its carrier.
func (k *Kernel) setBridgeAddr(l *link, a rtnl.HWAddr) {
	if l.Addr != a {
		l.Addr = a
		k.selectStates(l)
	}
}

func (k *Kernel) openBridge(l *link) {
	for _, p := range slices.Clone(l.ports) {
		if p.up() && p.operUp() {
			k.enablePort(l, p)
		}
	}
}

func (k *Kernel) closeBridge(l *link) {
	for _, p := range slices.Clone(l.ports) {
		if p.port.State != portDisabled {
			k.disablePort(l, p)
		}
	}
}

// selectStates is br_port_state_selection.
func (k *Kernel) selectStates(l *link) {
	live := 0
	for _, p := range l.ports {
		if p.port.State == portDisabled {
			continue
		}
		if p.port.State == portBlocking {
			p.port.State = portForwarding
			if l.br.STP != 0 && l.br.forward != 0 {
				p.port.State = portListening
			}
			k.portMessage(unix.RTM_NEWLINK, p)
		}
		if p.port.State == portForwarding {
			live++
		}
	}
	k.setCarrier(l, live > 0)
}

func (k *Kernel) enablePort(l, p *link) {
	p.port.State = portBlocking
	k.selectStates(l)
	k.portMessage(unix.RTM_NEWLINK, p)
}

func (k *Kernel) disablePort(l, p *link) {
	p.port.State = portDisabled
	k.portMessage(unix.RTM_NEWLINK, p)
	k.selectStates(l)
}

// recalculate is br_stp_recalculate_bridge_id: a bridge without an address of
// its own takes the lowest of its ports'.
func (k *Kernel) recalculate(l *link) bool {
	if l.addrSet {
		return false
	}
	low := rtnl.MAC([6]byte{})
	for i, p := range l.ports {
		if i == 0 || bytes.Compare(p.Addr.B[:6], low.B[:6]) < 0 {
			low = p.Addr
		}
	}
	if low == l.Addr {
		return false
	}
	k.setBridgeAddr(l, low)
	return true
}

func (k *Kernel) adjustMTU(l *link) {
	if l.mtuByUser {
		return
	}
	mtu := uint32(0)
	for _, p := range l.ports {
		if mtu == 0 || p.MTU < mtu {
			mtu = p.MTU
		}
	}
	if mtu == 0 {
		mtu = etherMTU
	}
	k.setMTU(l, mtu)
	l.mtuByUser = false
}
