package config

import (
	"net/netip"
	"strings"

	"netbraid/rtnl"
)

// Neighbor is a `config neighbor` or `config neighbor6` section: an entry of
// the neighbour table that stands, or an address that is answered for.
type Neighbor struct {
	Pos       Pos
	Interface string
	Addr      netip.Addr
	MAC       rtnl.HWAddr // zero with Proxy
	Proxy     bool        // answer for the address (proxy ARP, proxy ND)
	Router    bool        // IPv6: the neighbour is a router
}

// neighborDraft is a neighbour while its section is read.
type neighborDraft struct {
	Neighbor
	addr *option
}

func setNeighbor(put func(d *neighborDraft, v value)) func(*target, value) {
	return func(t *target, v value) { put(t.neighbor, v) }
}

var neighborOptions = newGroup("neighbor, neighbor6", "An entry of the neighbour table of an interface (ARP, IPv6 neighbour discovery).",
	spec{name: "interface", kind: text, def: "required", meaning: "interface that the entry comes and goes with", set: setNeighbor(func(d *neighborDraft, v value) { d.Interface = v.s })},
	spec{name: "ipaddr", kind: text, allow: allowNeighbor, def: "required", meaning: "address of the neighbour", set: setNeighbor(func(d *neighborDraft, v value) { d.addr = v.opt })},
	spec{name: "mac", kind: macaddr, def: "required, unless proxy", meaning: "its link-layer address", set: setNeighbor(func(d *neighborDraft, v value) { d.MAC = v.hw })},
	spec{name: "proxy", kind: yesno, def: "0", meaning: "answer for the address", set: setNeighbor(func(d *neighborDraft, v value) { d.Proxy = v.yes() })},
	spec{name: "router", kind: yesno, def: "0", meaning: "the neighbour is a router", set: setNeighbor(func(d *neighborDraft, v value) { d.Router = v.yes() })},
)

const allowNeighbor = "a.b.c.d (neighbor6: an IPv6 address)"

// neighborSection reads a `config neighbor` or `config neighbor6` section.
func (p *parser) neighborSection(s *section) {
	s.title = strings.TrimSpace(s.typ + " " + s.name)
	s.iface = s.first("interface")
	d := &neighborDraft{Neighbor: Neighbor{Pos: p.at(s.line)}}
	before := len(p.problems)
	p.apply(&target{p: p, sec: s, neighbor: d}, func(o *option) { p.unknown(s, o) }, neighborOptions)
	switch v6 := s.typ == "neighbor6"; {
	case d.addr != nil:
		a, ok := parseAddr(d.addr.Values[0], v6)
		if !ok || !usable(a) {
			p.invalid(s, d.addr, "INVALID_ADDRESS", "not the address of a neighbour", allowNeighbor)
		}
		d.Addr = a
	case s.find("ipaddr") == nil:
		p.wrong(s, "a neighbour needs option ipaddr", allowNeighbor)
	}
	if s.find("mac") == nil && !d.Proxy {
		p.wrong(s, "a neighbour needs option mac, unless it is one to answer for", "option mac, or option proxy 1")
	}
	if d.Proxy {
		d.MAC = rtnl.HWAddr{} // the kernel answers with the link's own
	}
	usable := !HasErrors(p.problems[before:])
	switch name := s.iface; {
	case name == "":
		p.wrong(s, "a neighbour needs option interface", "the name of an interface section")
		usable = false
	case p.ifaces[name] == nil && p.disabled[name]:
		p.warn(s, s.find("interface"), "interface "+name+" is disabled: the neighbour is left out", "")
		usable = false
	case p.ifaces[name] == nil:
		p.invalid(s, s.find("interface"), "", "there is no interface "+name, "the name of an interface section")
		usable = false
	}
	if usable {
		n := d.Neighbor
		p.cfg.Neighbors = append(p.cfg.Neighbors, &n)
	}
}

func sameNeighbor(a, b *Neighbor) bool {
	x, y := *a, *b
	x.Pos, y.Pos = Pos{}, Pos{}
	return x == y
}

// diffNeighbors gives the interfaces whose neighbours have changed.
func diffNeighbors(c *Changes, old, new []*Neighbor) {
	group := func(list []*Neighbor) map[string][]*Neighbor {
		m := map[string][]*Neighbor{}
		for _, n := range list {
			m[n.Interface] = append(m[n.Interface], n)
		}
		return m
	}
	a, b := group(old), group(new)
	for name := range a {
		if !equalNeighbors(a[name], b[name]) {
			c.NeighborsChanged[name] = true
		}
	}
	for name := range b {
		if a[name] == nil {
			c.NeighborsChanged[name] = true
		}
	}
}

func equalNeighbors(a, b []*Neighbor) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameNeighbor(a[i], b[i]) {
			return false
		}
	}
	return true
}
