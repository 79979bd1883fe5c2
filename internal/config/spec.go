package config

import (
	"fmt"
	"strconv"
	"strings"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// kind is the form of an option's value.
type kind uint8

const (
	text     kind = iota // any word
	yesno                // parseBool
	number               // parseInt between min and max
	list                 // a list, or words in one option
	macaddr              // parseMAC
	word                 // one of words
	table                // a routing table
	linkname             // the name of a link that we may create
)

// choice is a word that an option allows and what it stands for.
type choice struct {
	word string
	n    int64
}

// spec is everything that there is to know about one option: the parser and
// the reference of the documentation are both made from it.
type spec struct {
	name     string
	kind     kind
	min, max int64
	words    []choice
	allow    string // what is allowed, where the kind does not tell
	def      string // default, in words
	meaning  string
	// set takes the value over. nil: the option is read elsewhere.
	set func(t *target, v value)
	// later: netifd has it, netbraid has not got it yet.
	later bool
	// silent: known, of no concern here, and no word is lost about it.
	silent bool
	// code is netifd's error code when it is not INVALID_OPTION.
	code string
}

// group is the options of one sort of section.
type group struct {
	name  string // as sections are headed in the reference
	intro string
	specs []spec
	index map[string]*spec
}

func newGroup(name, intro string, specs ...spec) *group {
	g := &group{name: name, intro: intro, specs: specs, index: make(map[string]*spec, len(specs))}
	for i := range g.specs {
		s := &g.specs[i]
		if g.index[s.name] != nil {
			panic("config: option " + s.name + " stands twice in the table of " + name)
		}
		g.index[s.name] = s
	}
	return g
}

// value is one option's value, read by its kind.
type value struct {
	n   int64 // yesno: 0 or 1
	s   string
	l   []string
	hw  rtnl.HWAddr
	opt *option
}

func (v *value) yes() bool { return v.n != 0 }

// target is what the values of one section go into; which fields are set
// depends on the sort of section.
type target struct {
	p         *parser
	sec       *section
	dev       *Device
	settings  *model.Settings
	ipv6Set   *bool
	bridge    *bridgeDraft
	iface     *ifaceDraft
	route     *routeDraft
	mirror    *Mirror
	dataplane *Dataplane
	pair      *Pair
	neighbor  *neighborDraft
}

// allowed says in words what the option takes.
func (s *spec) allowed() string {
	switch {
	case s.allow != "":
		return s.allow
	case s.kind == yesno:
		return allowBool
	case s.kind == number:
		return fmt.Sprintf("%d..%d", s.min, s.max)
	case s.kind == macaddr:
		return allowMAC
	case s.kind == table:
		return allowTable
	case s.kind == linkname:
		return allowName
	case s.kind == word:
		var b []string
		for _, w := range s.words {
			b = append(b, w.word)
		}
		return strings.Join(b, ", ")
	}
	return ""
}

// read turns an option as written into a value; a reason when it cannot.
func (s *spec) read(o *option, opts *Options) (v value, reason string) {
	v.opt = o
	if s.kind == list {
		v.l = fields(o)
		return v, ""
	}
	if len(o.Values) != 1 {
		return v, "takes one value, not a list of " + strconv.Itoa(len(o.Values))
	}
	v.s = o.Values[0]
	switch s.kind {
	case yesno:
		b, ok := parseBool(v.s)
		if !ok {
			return v, "not a yes or no"
		}
		if b {
			v.n = 1
		}
	case number:
		n, ok := parseInt(v.s)
		if !ok {
			return v, "not a number"
		}
		if n < s.min || n > s.max {
			return v, "out of range"
		}
		v.n = n
	case macaddr:
		h, ok := parseMAC(v.s)
		if !ok {
			return v, "not the address of an Ethernet link"
		}
		v.hw = h
	case word:
		for _, w := range s.words {
			if w.word == v.s {
				v.n = w.n
				return v, ""
			}
		}
		return v, "not one of the words allowed"
	case table:
		n, ok := opts.table(v.s)
		if !ok {
			return v, "not a routing table"
		}
		v.n = int64(n)
	case linkname:
		if !validName(v.s) {
			return v, "not a name that a link can have"
		}
	}
	return v, ""
}

// apply reads the options of a section that the groups know; the first group
// that knows an option has it. Unknown ones go to unknown.
func (p *parser) apply(t *target, unknown func(o *option), groups ...*group) {
	for i := range t.sec.opts {
		o := &t.sec.opts[i]
		var s *spec
		for _, g := range groups {
			if s = g.index[o.Name]; s != nil {
				break
			}
		}
		switch {
		case s == nil:
			unknown(o)
			continue
		case s.silent:
			continue
		}
		v, reason := s.read(o, &p.opts)
		if reason != "" {
			p.invalid(t.sec, o, s.code, reason, s.allowed())
			continue
		}
		if s.later {
			p.warn(t.sec, o, "not built yet, ignored", "")
			continue
		}
		if s.set != nil {
			s.set(t, v)
		}
	}
}

// setLink makes a setter of a link's own setting.
func setLink(f rtnl.LinkField, put func(l *rtnl.Link, v value)) func(*target, value) {
	return func(t *target, v value) {
		put(&t.settings.Link, v)
		t.settings.Fields |= f
	}
}

// setFlag makes a setter of an interface flag (IFF_*).
func setFlag(f rtnl.LinkField, bit uint32) func(*target, value) {
	return setLink(f, func(l *rtnl.Link, v value) {
		l.Flags &^= bit
		if v.yes() {
			l.Flags |= bit
		}
	})
}

// setPort makes a setter of a bridge port's switch.
func setPort(f rtnl.LinkField, field func(*rtnl.Port) *bool) func(*target, value) {
	return setLink(f, func(l *rtnl.Link, v value) { *field(&l.Port) = v.yes() })
}

// setSysctl makes a setter of one or more sysctls of the device.
func setSysctl(names ...string) func(*target, value) {
	return func(t *target, v value) {
		for _, n := range names {
			t.settings.Sysctl = append(t.settings.Sysctl, model.Sysctl{Name: n, Value: strconv.FormatInt(v.n, 10)})
		}
	}
}
