package iface

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// DNS gives what a resolver is to use for the interface: its own servers and
// search domains first, then those of the protocol, unless option peerdns is
// off. Each stands there once.
func (m *Machine) DNS() (servers []netip.Addr, search []string) {
	for _, a := range m.Config.DNS {
		servers = addOnce(servers, a)
	}
	for _, s := range m.Config.DNSSearch {
		search = addOnce(search, s)
	}
	if m.Config.PeerDNS && m.offer != nil {
		for _, a := range m.offer.DNS {
			servers = addOnce(servers, a)
		}
		for _, s := range m.offer.DNSSearch {
			search = addOnce(search, s)
		}
	}
	return servers, search
}

// HasDNS tells whether DNS may have something when the interface is up.
func (m *Machine) HasDNS() bool {
	return len(m.Config.DNS)+len(m.Config.DNSSearch) > 0 || m.offer != nil && len(m.offer.DNS)+len(m.offer.DNSSearch) > 0
}

func addOnce[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// LinkDNS is what a resolver is to use for one interface that is up.
type LinkDNS struct {
	Interface string
	Device    string // the layer 3 device, empty for none
	Servers   []netip.Addr
	Search    []string
}

// ServerText gives the servers as a resolver takes them: a link-local one with
// the link that it is on.
func (l *LinkDNS) ServerText() []string {
	out := make([]string, 0, len(l.Servers))
	for _, a := range l.Servers {
		if a.IsLinkLocalUnicast() && a.Is6() && l.Device != "" {
			a = a.WithZone(l.Device)
		}
		out = append(out, a.String())
	}
	return out
}

// Resolvers lists the interfaces that are up and have servers or domains, in
// the order in which a resolver is to ask: by dns_metric, metric, name.
func Resolvers(machines []*Machine) []LinkDNS {
	var up []*Machine
	for _, m := range machines {
		if m.state == Up && m.HasDNS() {
			up = append(up, m)
		}
	}
	slices.SortFunc(up, func(a, b *Machine) int {
		return cmp.Or(cmp.Compare(a.Config.DNSMetric, b.Config.DNSMetric), cmp.Compare(a.Config.Metric, b.Config.Metric),
			cmp.Compare(a.Config.Name, b.Config.Name))
	})
	var out []LinkDNS
	for _, m := range up {
		servers, search := m.DNS()
		if len(servers)+len(search) > 0 {
			out = append(out, LinkDNS{Interface: m.Config.Name, Device: m.L3Device(), Servers: servers, Search: search})
		}
	}
	return out
}

// ResolvConf is the text of a resolv.conf(5) for these interfaces, in netifd's
// form: a block for each. The domains of a block stand in one line, since of
// several lines most resolvers heed the last alone.
func ResolvConf(links []LinkDNS) string {
	var b strings.Builder
	for i := range links {
		l := &links[i]
		b.WriteString("# Interface " + l.Interface + "\n")
		for _, s := range l.ServerText() {
			b.WriteString("nameserver " + s + "\n")
		}
		if len(l.Search) > 0 {
			b.WriteString("search " + strings.Join(l.Search, " ") + "\n")
		}
	}
	return b.String()
}
