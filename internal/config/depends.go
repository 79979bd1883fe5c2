package config

import "slices"

const allowDepends = "names of other interfaces that do not depend on this one"

// dependencies checks what option depends of each interface names.
func (p *parser) dependencies() {
	for _, i := range p.cfg.Interfaces {
		s := p.ifaceSec[i.Name]
		o := s.find("depends")
		if o == nil || i.Depends == nil {
			continue
		}
		i.Depends = slices.DeleteFunc(slices.Clone(i.Depends), func(on string) bool { return !p.dependency(i, s, o, on) })
	}
	p.dependencyCycles()
}

// dependency checks one name; false when nothing can depend on it.
func (p *parser) dependency(i *Interface, s *section, o *option, on string) bool {
	at := slices.Index(o.Values, on)
	switch {
	case on == i.Name:
		p.invalidValue(s, o, at, on, "", "an interface cannot depend on itself", allowDepends)
		return false
	case p.disabled[on]:
		p.warn(s, o, "interface "+on+" is disabled: this one stays down", "")
	case p.ifaces[on] != nil || p.opts.Aliases[on]: // of those, interfaces that come at run time
	case p.single:
		p.warn(s, o, "there is no interface "+on+": this one stays down until there is", "the name of an interface")
	default:
		p.invalidValue(s, o, at, on, "", "there is no interface "+on, "names of interface sections")
		return false
	}
	return true
}

// dependencyCycles finds interfaces that wait for themselves, be it over
// option depends alone or over aliases as well: none of them would ever come
// up. A cycle of aliases alone is found elsewhere.
func (p *parser) dependencyCycles() {
	f := newCycleFinder(p.interfacesBelow)
	for _, i := range p.cfg.Interfaces {
		if f.at[i] == 0 {
			f.visit(i, 1)
		}
	}
	for _, i := range p.cfg.Interfaces {
		s := p.ifaceSec[i.Name]
		next, o := f.next[i], s.find("depends")
		if next == nil || o == nil || !slices.Contains(i.Depends, next.Name) {
			continue // the other side of the cycle says it
		}
		p.invalidValue(s, o, slices.Index(o.Values, next.Name), next.Name, "",
			"interface "+i.Name+" would wait for itself: "+p.contradicts(p.ifaceSec[next.Name]), allowDepends)
	}
}

// interfacesBelow gives the interfaces that an interface waits for.
func (p *parser) interfacesBelow(i *Interface) (below []*Interface) {
	if b := p.below(i); b != nil {
		below = append(below, b)
	}
	for _, on := range i.Depends {
		if b := p.ifaces[on]; b != nil {
			below = append(below, b)
		}
	}
	return below
}
