package mirror

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/internal/rib"
	"netbraid/rtnl"
)

// What the kernel removes without a word. A rule holds in the order of the
// kernel's announcements; out of it, or when it is not certain what has gone,
// the table is read again. What a dump shows implies nothing: either its cause
// is older than our ears, and then every table is read after it; or it was
// announced, and that announcement implies it.

// linkWentDown removes the IPv4 routes of a link: those with one next hop, and
// those of which every next hop is down. Local routes of addresses stay
// (fib_sync_down_dev without force, net/ipv4/fib_semantics.c). Its IPv6 routes go
// as well, without a word when net.ipv6.route.skip_notify_on_dev_down is set
// (rt6_sync_down_dev, net/ipv6/route.c); otherwise this is early.
func (e *Engine) linkWentDown(index uint32) {
	e.implyRoutes(index, func(r *rtnl.Route) verdict {
		switch {
		case r.Family == unix.AF_INET6 && r.Multipath != "":
			if throughHop(r, index) {
				return perhaps // next hops that are dead stay with those that are not
			}
			return stays
		case r.Family == unix.AF_INET6:
			return goneIf(r.Oif == index)
		case r.Family != unix.AF_INET || r.Scope == unix.RT_SCOPE_HOST:
			return stays
		case r.Multipath != "":
			return e.multipath(r, index)
		}
		return goneIf(r.Oif == index)
	})
}

// linkWent removes the routes of a link that has been deleted. An IPv4 route
// goes with any of its next hops.
func (e *Engine) linkWent(index uint32) {
	e.implyRoutes(index, func(r *rtnl.Route) verdict {
		if r.Multipath != "" {
			return goneIf(r.Family == unix.AF_INET && throughHop(r, index))
		}
		return goneIf(r.Oif == index)
	})
}

// addrWent removes the IPv4 routes that go with an address: those of its table
// with it as their source, and, with the last address of a link, all of the
// link (fib_disable_ip, fib_sync_down_addr). Newer kernels do announce the
// former (seen on 6.18): then this is early.
func (e *Engine) addrWent(key model.AddrKey) {
	// Out of order the addresses that are there may be newer than this one.
	if e.unordered || e.unread() || !e.addrs.has4(key.Index) {
		e.implyRoutes(key.Index, func(r *rtnl.Route) verdict {
			switch {
			case r.Family != unix.AF_INET:
				return stays
			case r.Multipath != "":
				return e.multipath(r, key.Index)
			}
			return goneIf(r.Oif == key.Index)
		})
	}
	if e.unordered || e.unread() || !e.HasLocal(key.Local) {
		e.imply(rib.Match{Table: e.tableOf(key.Index), Attr: func(r *rtnl.Route) bool {
			return r.Family == unix.AF_INET && r.PrefSrc == key.Local
		}})
	}
}

// nexthopWent removes the routes that use a next-hop object.
func (e *Engine) nexthopWent(id uint32) {
	e.imply(rib.Match{Attr: func(r *rtnl.Route) bool { return r.NHID == id }})
}

// rereadVia reads the routes again if some match: they show what a next-hop
// object is, and it is another now.
func (e *Engine) rereadVia(match func(*rtnl.Route) bool) {
	if e.state[rtnl.KindRoute].phase != idle || e.routes.Any(rib.Match{Attr: match}) {
		e.Refresh(rtnl.KindRoute)
	}
}

// tableOf is the main table for the addresses of a link: that of its VRF if it
// is in one.
func (e *Engine) tableOf(index uint32) uint32 {
	if l := e.links.get(index); l != nil {
		if m := e.links.get(l.Master); m != nil && m.VRFTable != 0 {
			return m.VRFTable
		}
	}
	return unix.RT_TABLE_MAIN
}

type verdict uint8

const (
	stays verdict = iota
	perhaps
	gone
)

func goneIf(b bool) verdict {
	if b {
		return gone
	}
	return stays
}

// multipath judges a route that has lost its next hops on a link: it goes when
// all the others are dead as well.
func (e *Engine) multipath(r *rtnl.Route, index uint32) verdict {
	hops, err := rtnl.Hops(r.Multipath)
	if err != nil {
		return perhaps
	}
	v, through := gone, false
	for _, h := range hops {
		l := e.links.get(h.Oif)
		switch {
		case h.Oif == index:
			through = true
		case l == nil || l.Flags&unix.IFF_UP == 0:
		case !e.addrs.has4(h.Oif):
			v = min(v, perhaps) // dead if it has had an address since it came up
		default:
			v = stays
		}
	}
	if !through {
		return stays
	}
	if e.state[rtnl.KindLink].phase != idle || e.state[rtnl.KindAddr].phase != idle {
		return perhaps // what the other next hops stand on is not known
	}
	return v
}

func throughHop(r *rtnl.Route, index uint32) bool {
	hops, err := rtnl.Hops(r.Multipath)
	for _, h := range hops {
		if h.Oif == index {
			return true
		}
	}
	return err != nil
}

// implyRoutes removes the routes that are certain to have gone with a link.
// Next-hop objects go as silently, and with them the routes of every family
// that use them.
func (e *Engine) implyRoutes(index uint32, judge func(*rtnl.Route) verdict) {
	doubt := false
	e.imply(rib.Match{Attr: func(r *rtnl.Route) bool {
		if r.NHID != 0 {
			return false
		}
		v := judge(r)
		doubt = doubt || v == perhaps
		return v == gone
	}})
	e.nexthopsWent(index)
	if doubt {
		e.Refresh(rtnl.KindRoute)
	}
}

// nexthopsWent reads next-hop objects again, and the routes that use some, when
// those of a link have gone: when it is deleted, goes down or loses its carrier
// (nh_netdev_event, net/ipv4/nexthop.c).
func (e *Engine) nexthopsWent(index uint32) {
	if e.fromDump() || !e.nexthopOn(index) {
		return
	}
	e.Refresh(rtnl.KindNexthop)
	if e.routes.Any(rib.Match{Attr: func(r *rtnl.Route) bool { return r.NHID != 0 }}) {
		e.Refresh(rtnl.KindRoute)
	}
}

// nexthopOn tells whether a next-hop object goes through a link, or could. Out of
// order those that are there may be newer: a group can have gone with a member
// that goes through another link now.
func (e *Engine) nexthopOn(index uint32) bool {
	if e.state[rtnl.KindNexthop].phase != idle {
		return true
	}
	if e.unordered {
		return len(e.nexthops.m) > 0
	}
	for _, s := range e.nexthops.m {
		if s.v.Oif == index {
			return true
		}
	}
	return false
}

// moved tells whether the body of an RTM_DELLINK says that the link has gone to
// another namespace.
func moved(body []byte) bool {
	const newNetnsid = 45 // IFLA_NEW_NETNSID
	return hasAttr(body, newNetnsid)
}

// wireless tells whether the body of an RTM_NEWLINK is an event of the wireless
// extensions (wireless_send_event, net/wireless/wext-core.c): it has the name of
// the link and nothing else that the link is.
func wireless(body []byte) bool { return hasAttr(body, unix.IFLA_WIRELESS) }

// hasAttr tells whether the body of a link message has an attribute.
func hasAttr(body []byte, typ uint16) bool {
	const sizeofIfInfomsg, typeMask = 16, 1<<14 - 1
	for b := body[sizeofIfInfomsg:]; len(b) >= 4; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return false
		}
		if binary.NativeEndian.Uint16(b[2:])&typeMask == typ {
			return true
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return false
}

// fromDump tells that what is applied now is a dump, or what it has not shown.
func (e *Engine) fromDump() bool { return e.unordered && !e.replaying }

// unread tells that a table which routes stand on has not been read, and is
// waited for: what is known of it is not all.
func (e *Engine) unread() bool {
	for _, k := range [...]rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindNexthop} {
		if st := &e.state[k]; st.phase == idle && !st.live {
			return true
		}
	}
	return false
}

// late tells that what is applied now may be news of something that we do not
// have, because it has gone already or has not been read.
func (e *Engine) late() bool { return e.replaying || e.unread() }

// imply removes the routes that the kernel has removed without a word. A dump,
// and notifications that waited for its end, are out of the kernel's order:
// routes that match may be newer than what is being applied. While routes are
// being read, old ones may still come in. Then only (another) dump tells.
func (e *Engine) imply(m rib.Match) {
	switch {
	case e.fromDump():
	case e.state[rtnl.KindRoute].phase != idle:
		e.Refresh(rtnl.KindRoute)
	case !e.unordered && !e.unread():
		e.routes.Remove(m, e.routeChanged)
	case e.routes.Any(m):
		e.Refresh(rtnl.KindRoute)
	}
}
