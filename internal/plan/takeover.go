package plan

import (
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// takeOver makes everything that others have configured on a link ours, once,
// at the first claim (a later process knows that it has been done): what
// nobody wants of it is then removed. What the kernel and routing daemons make
// (link-local and loopback addresses, routes of other protocols than boot and
// static) is theirs.
func (p *Planner) takeOver(l *rtnl.Link) {
	if o := p.owned.Links[l.Index]; o != nil && o.Taken || !p.have.Live(rtnl.KindAddr) || !p.have.Live(rtnl.KindRoute) {
		return
	}
	o := p.ownLink(l, 0)
	o.Taken = true
	p.record(Record{Link: o})
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
