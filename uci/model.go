package uci

import (
	"fmt"
	"slices"
)

// Package is the meaning of one UCI file.
//
// Read the fields freely; change them through the methods, which keep the
// lookups right. A Package that is not being changed may be read by many
// goroutines.
type Package struct {
	Name     string
	File     string        // where it came from: path, or Options.File; may be empty
	Sections []*Section    // in the order of the file
	Errors   []*ParseError // lines that a non-strict parse skipped

	byName  map[string]*Section // nil: search
	counter int                 // sections made so far, for anonymous names
}

// Section is one "config TYPE [NAME]" with its options.
type Section struct {
	Type      string   // printable ASCII
	Name      string   // A-Za-z0-9_; computed (cfgXXhhhh) for an anonymous section
	Anonymous bool     // it has no name in the file
	Options   []Option // in the order of the file, one a name
	Line      int      // of its first config line, from 1; 0 when it was not read from a file

	index map[string]int // of Options, when there are many
}

// Option is one option or list of a section.
type Option struct {
	Name   string   // A-Za-z0-9_
	Values []string // one for an option, never empty; any number for a list
	List   bool     // written with "list"
	Line   int      // where the value (a list: the first) stands, from 1; 0 when not read from a file
	Lines  []int    // line of each value of a list; nil for an option
}

// Value is the option's value, or the first of a list ("" when it is empty).
func (o *Option) Value() string {
	if o == nil || len(o.Values) == 0 {
		return ""
	}
	return o.Values[0]
}

// ValueLine is the line of value i, from 1; 0 when it was not read from a file.
func (o *Option) ValueLine(i int) int {
	if i >= 0 && i < len(o.Lines) {
		return o.Lines[i]
	}
	return o.Line
}

// Get returns the option or list of that name, or nil. The pointer is good
// until the section is changed.
func (s *Section) Get(name string) *Option {
	if i := s.find(name); i >= 0 {
		return &s.Options[i]
	}
	return nil
}

// Value returns the value of an option (the first of a list) and whether the
// section has the option.
func (s *Section) Value(name string) (string, bool) {
	o := s.Get(name)
	return o.Value(), o != nil
}

// Values returns the values of an option or list; nil when there is none.
func (s *Section) Values(name string) []string {
	if o := s.Get(name); o != nil {
		return o.Values
	}
	return nil
}

// indexFrom is the number of options from which a section keeps an index.
const indexFrom = 24

func (s *Section) find(name string) int {
	if s.index != nil {
		if i, ok := s.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range s.Options {
		if s.Options[i].Name == name {
			return i
		}
	}
	return -1
}

func (s *Section) add(o Option) {
	if s.Options == nil {
		s.Options = make([]Option, 0, 6)
	}
	s.Options = append(s.Options, o)
	switch n := len(s.Options); {
	case s.index != nil:
		s.index[o.Name] = n - 1
	case n >= indexFrom:
		s.reindex()
	}
}

func (s *Section) reindex() {
	s.index = nil
	if len(s.Options) < indexFrom {
		return
	}
	s.index = make(map[string]int, 2*len(s.Options))
	for i := range s.Options {
		if _, taken := s.index[s.Options[i].Name]; !taken {
			s.index[s.Options[i].Name] = i
		}
	}
}

func (s *Section) removeAt(i int) {
	s.Options = slices.Delete(s.Options, i, i+1)
	s.reindex()
}

// Section returns the section of that name (cfgXXhhhh for an anonymous one),
// or nil.
func (p *Package) Section(name string) *Section {
	if p.byName != nil {
		return p.byName[name]
	}
	for _, s := range p.Sections {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// ByType returns the sections of a type in the order of the file.
func (p *Package) ByType(typ string) []*Section {
	var out []*Section
	for _, s := range p.Sections {
		if s.Type == typ {
			out = append(out, s)
		}
	}
	return out
}

func (p *Package) add(s *Section) {
	p.Sections = append(p.Sections, s)
	p.counter = max(p.counter+1, len(p.Sections))
	if s.Anonymous && s.Name == "" {
		s.Name = anonymousName(p.counter, s.Type)
	}
	if p.byName != nil {
		if _, taken := p.byName[s.Name]; !taken {
			p.byName[s.Name] = s
		}
	}
}

func (p *Package) reindex() {
	p.byName = make(map[string]*Section, len(p.Sections))
	for _, s := range p.Sections {
		if _, taken := p.byName[s.Name]; !taken {
			p.byName[s.Name] = s
		}
	}
}

// anonymousName is the name that uci gives to the n-th section of a package
// (from 1) when the file gives none: "cfg", n in hex, and the low 16 bits of
// Bernstein's hash of the type.
func anonymousName(n int, typ string) string {
	h := uint32(5381)
	for i := 0; i < len(typ); i++ {
		h = h*33 + uint32(int32(int8(typ[i])))
	}
	return fmt.Sprintf("cfg%02x%04x", n, h&0xffff)
}

// Equal reports whether two packages mean the same: the same sections and
// options in the same order. Lines, package name, file, and the computed names
// of anonymous sections do not count.
func (p *Package) Equal(q *Package) bool {
	return slices.EqualFunc(p.Sections, q.Sections, (*Section).Equal)
}

// Equal reports whether two sections mean the same, as in [Package.Equal].
func (s *Section) Equal(t *Section) bool {
	return s.Type == t.Type && s.Anonymous == t.Anonymous && (s.Anonymous || s.Name == t.Name) &&
		slices.EqualFunc(s.Options, t.Options, func(a, b Option) bool {
			return a.Name == b.Name && a.List == b.List && slices.Equal(a.Values, b.Values)
		})
}

// validName is the rule for names of sections and options: A-Za-z0-9_.
func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return s != ""
}

// validType is the rule for section types, and for package names that a file
// or a command line gives: printable ASCII without space.
func validType(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 33 || s[i] > 126 {
			return false
		}
	}
	return s != ""
}

// validPackageWord is the rule for the package line of a file.
func validPackageWord(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '-' && !validName(s[i:i+1]) {
			return false
		}
	}
	return s != ""
}
