package core

import (
	"slices"

	"netbraid/internal/iface"
)

// Resolver: what the machine's resolver is to use has changed.
type Resolver struct {
	Text  string          // of a resolv.conf(5)
	Links []iface.LinkDNS // the same, by interface
}

func (Resolver) isAction() {}

// resolvers remembers what the resolver was told last.
type resolvers struct {
	of    map[string]bool // interfaces that have something for it: mostly few
	dirty bool            // may have changed
	told  bool
	links []iface.LinkDNS
}

// ResolvConf is the text that the resolver was told last; empty before the
// first.
func (c *Core) ResolvConf() string { return iface.ResolvConf(c.dns.links) }

// tellResolver hands out what the resolver is to use, if that has changed.
// After a restart nothing is told before the interfaces have come up that were
// up before: what is in force stays in force.
func (c *Core) tellResolver() {
	if !c.dns.dirty || !c.settled && c.inherited {
		return
	}
	var list []*iface.Machine
	for n := range c.dns.of {
		list = append(list, c.ifaces[n])
	}
	links := iface.Resolvers(list)
	if c.settled {
		c.dns.dirty = false // until then also that there is nothing is still to be told
	}
	if !slices.EqualFunc(links, c.dns.links, sameDNS) || c.settled && !c.dns.told {
		c.dns.told, c.dns.links = true, links
		c.act(Resolver{Text: iface.ResolvConf(links), Links: links})
	}
}

func sameDNS(a, b iface.LinkDNS) bool {
	return a.Interface == b.Interface && a.Device == b.Device && slices.Equal(a.Servers, b.Servers) && slices.Equal(a.Search, b.Search)
}
