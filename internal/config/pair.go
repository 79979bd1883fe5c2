package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Pair is a `config pair` section: a dataplane interface and its companion in
// Linux.
type Pair struct {
	Name string
	Pos  Pos
	// Dataplane is the name of a Dataplane of the configuration.
	Dataplane string
	// Phy is the name of the dataplane's interface.
	Phy string
	// Host is the name of the companion, as Linux has it.
	Host string
	// NetNS is the file of the companion's namespace; "" for the daemon's own.
	NetNS string
	// Sync: what is changed in the dataplane (MTU, state, addresses) is taken
	// over to Linux.
	Sync bool
	// AutoSubif: sub-interfaces of the phy and VLANs on the companion become
	// pairs by themselves.
	AutoSubif bool
	// MPLS: the companion and its VLANs are set to take packets with labels, and
	// with them the phy and its sub-interfaces; NoMPLS: not to. Neither: what is set
	// in Linux counts.
	MPLS, NoMPLS bool
	// TUN: the companion has no Ethernet header. Only with a dataplane of type
	// VPP.
	TUN bool
	// Queues is how many queues the companion has, from 1.
	Queues uint8
}

// maxPhy is the longest name of an interface in VPP's API.
const maxPhy = 63

const (
	allowPhy  = "1 to 63 octets without space; with a dataplane of type netns a name that a link can have"
	allowHost = "1 to 15 octets without space, '/' and ':'"
)

func setPair(put func(d *Pair, v value)) func(*target, value) {
	return func(t *target, v value) { put(t.pair, v) }
}

var pairOptions = newGroup("pair", "A `config pair` section: an interface of a dataplane and its companion in Linux, kept in step.",
	spec{name: "dataplane", kind: text, def: "the only one", meaning: "name of the dataplane", set: setPair(func(d *Pair, v value) { d.Dataplane = v.s })},
	spec{name: "phy", kind: text, allow: allowPhy, def: "required", meaning: "interface of the dataplane", set: setPair(func(d *Pair, v value) { d.Phy = v.s })},
	spec{name: "host", kind: linkname, allow: allowHost, def: "the section's name", meaning: "name of the companion", set: setPair(func(d *Pair, v value) { d.Host = v.s })},
	spec{name: "netns", kind: text, allow: allowNetNS, def: "the daemon's own", meaning: "network namespace of the companion", set: func(t *target, v value) { t.p.netns(t, &v, &t.pair.NetNS) }},
	spec{name: "sync", kind: yesno, def: "1", meaning: "take over to Linux what is changed in the dataplane: state, MTU, addresses", set: setPair(func(d *Pair, v value) { d.Sync = v.yes() })},
	spec{name: "auto_subif", kind: yesno, def: "0", meaning: "sub-interfaces of the phy and VLANs on the companion are paired by themselves", set: setPair(func(d *Pair, v value) { d.AutoSubif = v.yes() })},
	spec{name: "mpls", kind: yesno, def: "as in Linux", meaning: "the interface and its sub-interfaces take packets with MPLS labels; sets net.mpls.conf.*.input of their companions, which is followed", set: setPair(func(d *Pair, v value) { d.MPLS, d.NoMPLS = v.yes(), !v.yes() })},
	spec{name: "tun", kind: yesno, def: "0", meaning: "type vpp: a companion without Ethernet header (TUN), for an interface that has none", set: setPair(func(d *Pair, v value) { d.TUN = v.yes() })},
	spec{name: "queues", kind: number, min: 1, max: 255, def: "1", meaning: "queues of the companion; ignored by today's dataplanes, which choose how many", set: setPair(func(d *Pair, v value) { d.Queues = uint8(v.n) })},
	spec{name: "enabled", kind: yesno, def: "1", meaning: "0: leave the section out"},
)

// pairSection reads a `config pair` section. Dataplanes and devices have been
// read before.
func (p *parser) pairSection(s *section) {
	s.title = strings.TrimSpace("pair " + s.name)
	if on, ok := parseBool(s.first("enabled")); ok && !on {
		return
	}
	pr := &Pair{Name: s.name, Pos: p.at(s.line), Sync: true, Queues: 1}
	if s.anonymous {
		pr.Name = s.first("host")
		s.title = strings.TrimSpace("pair " + pr.Name)
	}
	before := len(p.problems)
	p.apply(&target{p: p, sec: s, pair: pr}, func(o *option) { p.unknown(s, o) }, pairOptions)
	p.pairHost(s, pr)
	plane := p.planeOf(s, pr)
	if s.find("phy") == nil {
		p.wrong(s, "a pair needs option phy", allowPhy)
	} else if !validPhy(pr.Phy) || plane != nil && plane.Type == NetNS && !validName(pr.Phy) {
		p.invalid(s, s.find("phy"), "", "not the name of an interface of the dataplane", allowPhy)
	}
	if plane == nil || HasErrors(p.problems[before:]) {
		return
	}
	p.pairOn(s, pr, plane)
	p.pairAlone(s, pr)
	if HasErrors(p.problems[before:]) {
		return
	}
	p.cfg.Pairs = append(p.cfg.Pairs, pr)
	p.paired(pr, s)
}

// keys are what only one pair can have: its name, the phy, the companion.
func (pr *Pair) keys() (name, phy, host [3]string) {
	return [3]string{"name", pr.Name}, [3]string{"phy", pr.Dataplane, pr.Phy}, [3]string{"host", pr.NetNS, pr.Host}
}

// paired notes what a pair has. A companion in the daemon's own namespace that
// is called like eth0.5 is no VLAN that we make.
func (p *parser) paired(pr *Pair, s *section) {
	name, phy, host := pr.keys()
	p.pairSec[name], p.pairSec[phy], p.pairSec[host] = s, s, s
	if pr.NetNS == "" {
		p.companions[pr.Host] = true
	}
}

func validPhy(s string) bool {
	return s != "" && len(s) <= maxPhy && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// pairHost fills in the companion's name.
func (p *parser) pairHost(s *section, pr *Pair) {
	switch o := s.find("host"); {
	case o != nil && strings.HasPrefix(pr.Host, "@"):
		p.invalid(s, o, "", "not a name that a link can have", allowHost)
	case o != nil:
	case s.anonymous:
		p.wrong(s, "a pair without a name needs option host", allowHost)
	case !validName(s.name):
		p.wrong(s, "the companion would be called "+s.name+", not a name that a link can have", "option host: "+allowHost)
	default:
		pr.Host = s.name
	}
}

// planeOf finds the dataplane of a pair. nil when there is none to be had; why
// is said already.
func (p *parser) planeOf(s *section, pr *Pair) *Dataplane {
	o := s.find("dataplane")
	if o == nil {
		switch {
		case len(p.planeSec) == 0:
			p.wrong(s, "there is no dataplane", "a `config dataplane` section")
			return nil
		case len(p.planeSec) > 1:
			p.wrong(s, "there are several dataplanes: the pair needs option dataplane", p.planeNames())
			return nil
		}
		for name := range p.planeSec {
			pr.Dataplane = name
		}
	}
	for _, d := range p.cfg.Dataplanes {
		if d.Name == pr.Dataplane {
			return d
		}
	}
	switch {
	case p.planeOff[pr.Dataplane]:
		p.warn(s, o, "dataplane "+pr.Dataplane+" is switched off: the pair is left out", "")
	case p.planeSec[pr.Dataplane] == nil && len(o.Values) == 1:
		p.invalid(s, o, "", "there is no dataplane "+pr.Dataplane, p.planeNames())
	}
	return nil
}

// planeNames lists the dataplanes for a message.
func (p *parser) planeNames() string {
	var names []string
	for name := range p.planeSec {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "the name of a `config dataplane` section; there is none"
	}
	return strings.Join(names, ", ")
}

// pairOn checks a pair against its dataplane.
func (p *parser) pairOn(s *section, pr *Pair, plane *Dataplane) {
	if pr.TUN && plane.Type == NetNS {
		p.invalid(s, s.find("tun"), "", "dataplane "+plane.Name+" has only companions with an Ethernet header", "tun with a dataplane of type vpp")
	}
	if pr.TUN && pr.AutoSubif {
		p.invalid(s, s.find("auto_subif"), "", "a companion without Ethernet header has no VLANs", "auto_subif or tun")
	}
	if o := s.find("queues"); o != nil && pr.Queues != 1 {
		p.warn(s, o, "dataplane "+plane.Name+" chooses itself how many queues a companion has: ignored", "")
	}
	for _, d := range p.cfg.Dataplanes {
		if d.Type == NetNS && d.NetNS == pr.NetNS {
			p.invalid(s, s.find("netns"), "", "dataplane "+d.Name+" forwards in this namespace: a companion cannot be there", "another network namespace")
		}
	}
}

// pairAlone checks that nobody else has the phy or the companion's name.
func (p *parser) pairAlone(s *section, pr *Pair) {
	name, phy, host := pr.keys()
	if other := p.pairSec[name]; other != nil {
		p.wrong(s, p.contradicts(other), "a name of its own for each pair")
	} else if other := p.pairSec[phy]; other != nil {
		p.invalid(s, s.find("phy"), "", p.contradicts(other)+": it has this interface", "one pair for each interface of a dataplane")
	} else if other := p.pairSec[host]; other != nil {
		p.pairError(s, "host", pr.Host, p.contradicts(other)+": its companion has this name", "a name of its own for each companion of a namespace")
	}
	if pr.NetNS != "" {
		return
	}
	if d := p.devs[pr.Host]; d != nil && !d.Exists() {
		p.pairError(s, "host", pr.Host, fmt.Sprintf("%s: a device of type %s", p.contradicts(p.sectionOf(d)), d.Type), "a name that no device has which is made")
	}
	if d := p.vethEnd(pr.Host); d != nil {
		p.pairError(s, "host", pr.Host, p.contradicts(p.sectionOf(d))+": the other end of that pair of links", "a name that no device has which is made")
	}
}

// pairError notes an error at an option, or at the section where its name
// stands for the option.
func (p *parser) pairError(s *section, name, val, reason, allowed string) {
	if o := s.find(name); o != nil {
		p.invalid(s, o, "", reason, allowed)
		return
	}
	pr := p.wrong(s, reason, allowed)
	pr.Option, pr.Value = name, val
	p.problems[len(p.problems)-1] = pr
}

// vethEnd finds the veth device whose other end has a name.
func (p *parser) vethEnd(name string) *Device {
	for _, dev := range slices.Sorted(maps.Keys(p.devs)) {
		if d := p.devs[dev]; d.Type == Veth && d.PeerName == name {
			return d
		}
	}
	return nil
}

// ParsePair makes a pair of options as a section would have them, beside a
// configuration in force (nil for none), which is not changed. from says in
// problems where the options come from. The result must not be used when
// HasErrors(problems).
func ParsePair(name string, options []Option, base *Config, from string, opts Options) (*Pair, []Problem) {
	p := newParser(from, opts)
	p.beside(base)
	s := section{typ: "pair", name: name, anonymous: name == "", title: "pair " + name}
	if name != "" && !validInterface(name) {
		p.wrong(&s, "not a name that a pair can have", "1 to 64 printable octets without space")
		return nil, p.problems
	}
	for _, o := range options {
		if len(o.Values) > 0 {
			s.opts = append(s.opts, option{Option: o})
		}
	}
	n := len(p.cfg.Pairs)
	p.pairSection(&s)
	if len(p.cfg.Pairs) == n {
		if !HasErrors(p.problems) {
			p.wrong(&s, "the pair, or its dataplane, is switched off (option enabled)", "")
		}
		return nil, p.problems
	}
	return p.cfg.Pairs[n], p.problems
}

// WithPairs gives the configuration with pairs added, in the order given. One
// that contradicts what is there (its name, phy or companion, or a dataplane
// that is no more) is left out. c is not changed.
func (c *Config) WithPairs(more []*Pair) *Config {
	if len(more) == 0 {
		return c
	}
	out := *c
	out.Pairs = slices.Clone(c.Pairs)
	taken := c.taken()
	for _, m := range more {
		name, phy, host := m.keys()
		if taken[name] || taken[phy] || taken[host] || !c.admits(m) {
			continue
		}
		taken[name], taken[phy], taken[host] = true, true, true
		out.Pairs = append(out.Pairs, m)
	}
	return &out
}

// taken has what no further pair can have: what pairs have, and the names of
// links in the daemon's own namespace that devices make.
func (c *Config) taken() map[[3]string]bool {
	taken := map[[3]string]bool{}
	for _, o := range c.Pairs {
		name, phy, host := o.keys()
		taken[name], taken[phy], taken[host] = true, true, true
	}
	link := func(name string) { taken[[3]string{"host", "", name}] = true }
	for _, d := range c.Devices {
		if !d.Exists() {
			link(d.Name)
		}
		if d.Type == Veth && d.PeerName != "" {
			link(d.PeerName)
		}
	}
	return taken
}

// admits tells whether a pair goes with the dataplanes of the configuration.
func (c *Config) admits(m *Pair) bool {
	there := false
	for _, d := range c.Dataplanes {
		if d.Type == NetNS && (d.NetNS == m.NetNS || d.Name == m.Dataplane && (m.TUN || !validName(m.Phy))) {
			return false
		}
		there = there || d.Name == m.Dataplane
	}
	return there
}

// diffPair: what the companion is made with cannot change while it is there.
func diffPair(a, b *Pair) Verdict {
	switch {
	case a.Dataplane != b.Dataplane, a.Phy != b.Phy, a.Host != b.Host, a.NetNS != b.NetNS, a.TUN != b.TUN:
		return Recreate
	case a.Queues != b.Queues, a.Sync != b.Sync, a.AutoSubif != b.AutoSubif, a.MPLS != b.MPLS, a.NoMPLS != b.NoMPLS:
		return Live
	}
	return Keep
}
