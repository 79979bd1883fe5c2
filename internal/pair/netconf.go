package pair

import (
	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// NetconfChanged takes settings of a link, or of all.
func (e *Engine) NetconfChanged(ns model.NS, old, new *rtnl.Netconf) {
	if !e.uses(ns) {
		return
	}
	var was, is rtnl.Netconf
	if old != nil {
		was = *old
	}
	if new != nil {
		is = *new
	}
	n := new
	if n == nil {
		n = old
	}
	if was.IgnoreLinkdown != is.IgnoreLinkdown {
		e.linkdownChanged(ns, n.Index)
	}
}

// linkdownChanged has routes looked at again through companions without a
// carrier: whether Linux passes over them is another matter now. With a carrier
// it does not matter, and when that goes they are looked at anyway.
func (e *Engine) linkdownChanged(ns model.NS, index int32) {
	for id, u := range e.byHost {
		if id.ns != ns || index != rtnl.NetconfAll && id.index != uint32(index) || !u.active {
			continue
		}
		if l := e.link(ns, id.index); l != nil && l.Flags&(unix.IFF_RUNNING|unix.IFF_LOWER_UP) == 0 {
			e.fib.Rebind(ns, id.index) // it looks at all of the namespace
			return
		}
	}
}
