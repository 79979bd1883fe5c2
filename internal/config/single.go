package config

import "slices"

// Single is one interface that somebody adds at run time, with the devices
// that its name of a device implies.
type Single struct {
	Interface *Interface
	Devices   []*Device
}

// ParseInterface makes an interface of options as a section would have them,
// beside a configuration in force (nil for none), which is not changed. from
// says in problems where the options come from. The result must not be used
// when HasErrors(problems): a name that the configuration has already is among
// the errors.
func ParseInterface(name string, options []Option, base *Config, from string, opts Options) (*Single, []Problem) {
	p := newParser(from, opts)
	p.single = true
	p.beside(base)
	s := section{typ: "interface", name: name, title: "interface " + name}
	if !validInterface(name) {
		p.wrong(&s, "not a name that an interface can have", "1 to 64 printable octets without space")
		return &Single{}, p.problems
	}
	if other := p.ifaceSec[name]; other != nil {
		p.wrong(&s, p.contradicts(other), "a name that is free")
		return &Single{}, p.problems
	}
	for _, o := range options {
		if len(o.Values) > 0 {
			s.opts = append(s.opts, option{Option: o})
		}
	}
	p.run([]section{s})
	out := &Single{Devices: p.cfg.Devices}
	if len(p.cfg.Interfaces) == 1 {
		out.Interface = p.cfg.Interfaces[0]
	} else if !HasErrors(p.problems) {
		p.wrong(&s, "the interface is switched off (option disabled)", "")
	}
	return out, p.problems
}

// beside lets what is read refer to a configuration in force (nil for none),
// and clash with it.
func (p *parser) beside(base *Config) {
	if base == nil {
		return
	}
	for _, i := range base.Interfaces {
		p.ifaces[i.Name] = i
		p.ifaceSec[i.Name] = &section{typ: "interface", name: i.Name, title: "interface " + i.Name, file: i.Pos.File, line: i.Pos.Line}
	}
	for _, d := range base.Devices {
		p.devs[d.Name] = d
		if !d.Implied {
			p.devSec[d.Name] = &section{typ: "device", title: "device " + d.Name, file: d.Pos.File, line: d.Pos.Line}
		}
	}
	for _, d := range base.Dataplanes {
		p.planeSec[d.Name] = &section{typ: "dataplane", title: "dataplane " + d.Name, file: d.Pos.File, line: d.Pos.Line}
	}
	for _, pr := range base.Pairs {
		p.paired(pr, &section{typ: "pair", title: "pair " + pr.Name, file: pr.Pos.File, line: pr.Pos.Line})
	}
	p.cfg.Dataplanes, p.cfg.Pairs = slices.Clone(base.Dataplanes), slices.Clone(base.Pairs)
}

// validInterface tells whether an interface that is added at run time may have
// the name: it becomes part of the name of an object on the bus.
func validInterface(name string) bool {
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// With gives the configuration with interfaces added that it does not have
// itself, in the order given. c is not changed.
func (c *Config) With(more []*Single) *Config {
	if len(more) == 0 {
		return c
	}
	out := *c
	ifaces, devs := map[string]bool{}, map[string]bool{}
	out.Interfaces = append([]*Interface(nil), c.Interfaces...)
	out.Devices = append([]*Device(nil), c.Devices...)
	for _, i := range c.Interfaces {
		ifaces[i.Name] = true
	}
	for _, d := range c.Devices {
		devs[d.Name] = true
	}
	for _, m := range more {
		if ifaces[m.Interface.Name] {
			continue
		}
		ifaces[m.Interface.Name] = true
		out.Interfaces = append(out.Interfaces, m.Interface)
		for _, d := range m.Devices {
			if !devs[d.Name] {
				devs[d.Name] = true
				out.Devices = append(out.Devices, d)
			}
		}
	}
	sortDevices(out.Devices)
	return &out
}
