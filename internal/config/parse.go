package config

import (
	"cmp"
	"slices"
	"strings"

	"netbraid/uci"
)

// section is one section of the file, in the form that the parser works on.
type section struct {
	typ, name string
	anonymous bool   // the name is made up
	file      string // "": the parser's
	line      int
	opts      []option
	title     string // "interface lan", for messages
	iface     string // the interface that shows what is wrong here
}

// option is an option of a section with its line.
type option struct {
	Option
	line  int
	lines []int // of the values of a list
}

// lineOf gives the line of value i; of the option when i is no value of a list.
func (o *option) lineOf(i int) int {
	if i >= 0 && i < len(o.lines) {
		return o.lines[i]
	}
	return o.line
}

// find gives an option by name, nil when there is none.
func (s *section) find(name string) *option {
	for i := range s.opts {
		if s.opts[i].Name == name {
			return &s.opts[i]
		}
	}
	return nil
}

// first gives the only value of an option; empty when it is not there.
func (s *section) first(name string) string {
	if o := s.find(name); o != nil && len(o.Values) > 0 {
		return o.Values[0]
	}
	return ""
}

// parser is one run over one file.
type parser struct {
	opts     Options
	file     string
	cfg      *Config
	problems []Problem

	devs     map[string]*Device
	badDevs  map[string][]Problem // left out, and why
	devSec   map[string]*section  // every device that a section names
	ifaces   map[string]*Interface
	ifaceSec map[string]*section
	disabled map[string]bool     // interfaces that a section switches off
	users    map[string]*section // of devices without a section: who implies them
	later    map[string]bool     // section types that were warned about
	single   bool                // one interface that is added at run time

	// portSec has the devices in Open vSwitch bridges whose port has a section of
	// its own.
	portSec map[string]*section

	planeSec   map[string]*section    // every dataplane that a section names
	planeOff   map[string]bool        // those that a section switches off
	pairSec    map[[3]string]*section // by what only one pair can have
	companions map[string]bool        // names of links that dataplanes make
}

// Parse makes a Config of a package. The Config is there even when there are
// errors: what is right is in it, an interface that something is wrong with is
// in it with Errors, a device or route that cannot be used is not. Whether it
// may be used in that state is the caller's decision (HasErrors). The file's
// name is for messages. Problems are in the order of their lines.
func Parse(pkg *uci.Package, file string, opts Options) (*Config, []Problem) {
	return parse(sectionsOf(pkg), file, opts, nil)
}

func parse(secs []section, file string, opts Options, before []Problem) (*Config, []Problem) {
	p := newParser(file, opts)
	p.problems = before
	p.run(secs)
	return p.cfg, p.problems
}

func newParser(file string, opts Options) *parser {
	return &parser{opts: opts, file: file, cfg: &Config{},
		devs: map[string]*Device{}, badDevs: map[string][]Problem{}, devSec: map[string]*section{},
		ifaces: map[string]*Interface{}, ifaceSec: map[string]*section{},
		disabled: map[string]bool{}, later: map[string]bool{},
		planeSec: map[string]*section{}, planeOff: map[string]bool{}, portSec: map[string]*section{}, pairSec: map[[3]string]*section{}, companions: map[string]bool{}}
}

// run reads the sections and checks them against each other.
func (p *parser) run(secs []section) {
	for i := range secs {
		p.section(&secs[i])
	}
	for i := range secs {
		if secs[i].typ == "pair" {
			p.pairSection(&secs[i])
		}
	}
	p.graph()
	p.aliases()
	p.dependencies()
	for i := range secs {
		if t := secs[i].typ; t == "route" || t == "route6" {
			p.routeSection(&secs[i])
		} else if t == "neighbor" || t == "neighbor6" {
			p.neighborSection(&secs[i])
		}
	}
	p.attach()
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Pos.Line - b.Pos.Line })
	sortDevices(p.cfg.Devices)
}

func sortDevices(d []*Device) {
	slices.SortFunc(d, func(a, b *Device) int { return strings.Compare(a.Name, b.Name) })
}

// HasErrors tells whether a problem is among them that refuses the file.
func HasErrors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == Error })
}

// section reads everything but what needs others: pairs, routes, neighbours.
func (p *parser) section(s *section) {
	s.title = strings.TrimSpace(s.typ + " " + s.name)
	switch s.typ {
	case "globals":
		p.apply(&target{p: p, sec: s}, func(o *option) { p.unknown(s, o) }, globalOptions)
	case "device":
		p.deviceSection(s)
	case "interface", "alias":
		s.iface = s.name
		p.interfaceSection(s)
	case "mirror":
		p.mirrorSection(s)
	case "dataplane":
		p.dataplaneSection(s)
	case "route", "route6", "neighbor", "neighbor6", "pair":
	case "bridge-vlan", "rule", "rule6", "wifi-device", "wifi-iface", "wifi-vlan", "wifi-station", "wifi-mld":
		p.ignored(s, "sections of this type are not built yet, ignored")
	default:
		p.ignored(s, "unknown type of section, ignored")
	}
}

// ignored warns once for each type of section.
func (p *parser) ignored(s *section, reason string) {
	if !p.later[s.typ] {
		p.later[s.typ] = true
		p.add(Problem{Pos: p.at(s.line), Severity: Warning, Section: s.title, Reason: reason})
	}
}

func (p *parser) at(line int) Pos { return Pos{File: p.file, Line: line} }

func (p *parser) add(pr Problem) Problem {
	p.problems = append(p.problems, pr)
	return pr
}

func (p *parser) unknown(s *section, o *option) { p.warn(s, o, "unknown option, ignored", "") }

// warn notes what is odd about an option (o nil: about the section).
func (p *parser) warn(s *section, o *option, reason, allowed string) {
	pr := Problem{Pos: p.at(s.line), Severity: Warning, Section: s.title, Interface: s.iface, Reason: reason, Allowed: allowed}
	if o != nil {
		pr.Pos, pr.Option, pr.Value = p.at(o.line), o.Name, strings.Join(o.Values, " ")
	}
	p.add(pr)
}

// invalid notes that an option is wrong, with all its values.
func (p *parser) invalid(s *section, o *option, code, reason, allowed string) Problem {
	return p.invalidValue(s, o, -1, strings.Join(o.Values, " "), code, reason, allowed)
}

// invalidValue notes that value i of an option is wrong.
func (p *parser) invalidValue(s *section, o *option, i int, val, code, reason, allowed string) Problem {
	pr := Problem{Pos: p.at(o.lineOf(i)), Severity: Error, Section: s.title, Interface: s.iface,
		Option: o.Name, Value: val, Reason: reason, Allowed: allowed, Code: code}
	switch code {
	case "":
		pr.Code, pr.Data = "INVALID_OPTION", []string{o.Name, val}
	case "INVALID_ADDRESS", "INVALID_GATEWAY", "INVALID_PREFIX":
		pr.Data = []string{val}
	}
	return p.add(pr)
}

// wrong notes that a section is wrong as a whole.
func (p *parser) wrong(s *section, reason, allowed string) Problem {
	return p.add(Problem{Pos: p.at(s.line), Severity: Error, Section: s.title, Interface: s.iface,
		Reason: reason, Allowed: allowed, Code: "INVALID_OPTION"})
}

// contradicts names the other side of a contradiction.
func (p *parser) contradicts(other *section) string {
	return "contradicts section " + other.title + " (" + Pos{File: cmp.Or(other.file, p.file), Line: other.line}.String() + ")"
}

// attach hands every error to the interface that shows it, and those of a
// device that was left out to the interfaces which use it.
func (p *parser) attach() {
	for _, pr := range p.problems {
		if i := p.ifaces[pr.Interface]; i != nil && pr.Severity == Error {
			i.Errors = append(i.Errors, pr)
		}
	}
	for _, i := range p.cfg.Interfaces {
		for _, pr := range p.why(i.Device) {
			if pr.Interface == i.Name {
				continue
			}
			pr.Interface = i.Name
			i.Errors = append(i.Errors, pr)
		}
	}
}

// maxNest is more devices on top of each other than the kernel allows
// (MAX_NEST_DEV is 8).
const maxNest = 16

// why gives the problems of the device, or of one below it, that was left out.
func (p *parser) why(name string) []Problem {
	if len(p.badDevs) == 0 {
		return nil
	}
	for range maxNest {
		if bad := p.badDevs[name]; bad != nil {
			return bad
		}
		d := p.devs[name]
		if d == nil || d.Parent == "" && d.Bridge == "" {
			break
		}
		name = cmp.Or(d.Parent, d.Bridge)
	}
	return nil
}
