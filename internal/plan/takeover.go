package plan

import (
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// takeOver makes everything that others have configured on a link ours, once,
// at the first claim: what nobody wants of it is then removed. What the kernel
// and routing daemons make (link-local and loopback addresses, routes of other
// protocols than boot and static) is theirs.
func (p *Planner) takeOver(l *rtnl.Link) {
	if p.takenOver[l.Index] || !p.have.Live(rtnl.KindAddr) || !p.have.Live(rtnl.KindRoute) {
		return
	}
	p.takenOver[l.Index] = true
	for _, a := range p.have.AddrsOn(l.Index) {
		if a.Scope == unix.RT_SCOPE_LINK || a.Local.IsLoopback() {
			continue
		}
		p.ownAddr(&a)
		p.dirtyAddrs[p.addrKey(&a)] = struct{}{}
	}
	for _, r := range p.have.RoutesOn(l.Index) {
		if r.Protocol == unix.RTPROT_BOOT || r.Protocol == unix.RTPROT_STATIC {
			p.ownRoute(&r)
			p.dirtyRoutes[p.routeKey(&r)] = struct{}{}
		}
	}
}
