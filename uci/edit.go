package uci

import (
	"slices"
	"strings"
)

// The methods below change a Package as the uci command's verbs do. A section
// is given by name or selector (see [Package.Find]). Errors are *Error: of
// kind ErrInvalid for what the uci command calls "Invalid argument", and for
// names, types and values that a file cannot hold; ErrNotFound for a missing
// thing. After an error nothing has changed.

// Add makes an anonymous section at the end and computes its name.
func (p *Package) Add(typ string) (*Section, error) {
	if !validType(typ) {
		return nil, fail("add", p.Name+" "+typ, ErrInvalid)
	}
	s := &Section{Type: typ, Anonymous: true}
	p.add(s)
	return s, nil
}

// NextName is the name that a section added now would get, whether typ can be a
// type or not.
func (p *Package) NextName(typ string) string {
	return anonymousName(max(p.counter, len(p.Sections))+1, typ)
}

// SetSection makes a named section at the end, or gives the section that is
// there a new type.
func (p *Package) SetSection(section, typ string) (*Section, error) {
	if !validType(typ) {
		return nil, fail("set", p.Name+"."+section, ErrInvalid)
	}
	s, err := p.target("set", section)
	switch {
	case err == nil:
		s.Type = typ
		return s, nil
	case !validName(section):
		return nil, err
	}
	s = &Section{Type: typ, Name: section}
	p.add(s)
	return s, nil
}

// Set gives an option its value, in the place of the option or list of that
// name, else at the end of the section. An empty value removes the option, as
// a file cannot hold one; it is no error if there is none.
func (p *Package) Set(section, option, value string) error {
	s, err := p.target("set", section)
	if err != nil {
		return err
	}
	if err := p.checkValue("set", s, option, value); err != nil {
		return err
	}
	i := s.find(option)
	switch {
	case value == "" && i >= 0:
		s.removeAt(i)
	case value == "":
	case i < 0:
		s.add(Option{Name: option, Values: []string{value}})
	case s.Options[i].List || s.Options[i].Values[0] != value:
		s.Options[i] = Option{Name: option, Values: []string{value}}
	}
	return nil
}

// AddList appends a value to a list; an option of that name becomes a list.
func (p *Package) AddList(section, option, value string) error {
	s, err := p.target("add_list", section)
	if err != nil {
		return err
	}
	if err := p.checkValue("add_list", s, option, value); err != nil {
		return err
	}
	o := s.Get(option)
	if o == nil {
		s.add(Option{Name: option, List: true, Values: []string{value}, Lines: []int{0}})
		return nil
	}
	if !o.List {
		o.List, o.Lines = true, []int{o.Line}
	}
	o.Values = append(slices.Clip(o.Values), value)
	o.Lines = append(slices.Clip(o.Lines), 0)
	return nil
}

// DelList removes every value of a list that equals value. A missing list or
// value, or a plain option, is no error. A list without values is removed.
func (p *Package) DelList(section, option, value string) error {
	s, err := p.target("del_list", section)
	if err != nil {
		return err
	}
	s.dropValues(option, func(_ int, v string) bool { return v == value })
	return nil
}

// DeleteValue removes value i (from 0) of a list. Beyond the end it changes
// nothing; a plain option is removed, whatever i is.
func (p *Package) DeleteValue(section, option string, i int) error {
	s, err := p.Find(section)
	if err != nil {
		return err
	}
	o := s.Get(option)
	switch {
	case o == nil:
		return fail("delete", p.Name+"."+s.Name+"."+option, ErrNotFound)
	case !o.List:
		return p.DeleteOption(section, option)
	}
	s.dropValues(option, func(k int, _ string) bool { return k == i })
	return nil
}

// dropValues removes values of a list, and the list when none is left.
func (s *Section) dropValues(option string, drop func(i int, v string) bool) {
	o := s.Get(option)
	if o == nil || !o.List {
		return
	}
	if o.dropValues(drop); len(o.Values) == 0 {
		s.removeAt(s.find(option))
	}
}

// dropValues removes values of a list, possibly all.
func (o *Option) dropValues(drop func(i int, v string) bool) {
	var keep []string
	var lines []int
	for i, v := range o.Values {
		if !drop(i, v) {
			keep = append(keep, v)
			lines = append(lines, o.ValueLine(i))
		}
	}
	o.Values, o.Lines = keep, lines
	if len(lines) > 0 {
		o.Line = lines[0]
	}
}

// Delete removes a section.
func (p *Package) Delete(section string) error {
	s, err := p.Find(section)
	if err != nil {
		return err
	}
	p.Sections = slices.DeleteFunc(p.Sections, func(t *Section) bool { return t == s })
	if p.byName != nil {
		delete(p.byName, s.Name)
		// Names may come twice: after a rename, or when one is like a computed name.
		if i := slices.IndexFunc(p.Sections, func(t *Section) bool { return t.Name == s.Name }); i >= 0 {
			p.byName[s.Name] = p.Sections[i]
		}
	}
	return nil
}

// DeleteOption removes an option or list.
func (p *Package) DeleteOption(section, option string) error {
	s, err := p.Find(section)
	if err != nil {
		return err
	}
	i := s.find(option)
	if i < 0 {
		return fail("delete", p.Name+"."+s.Name+"."+option, ErrNotFound)
	}
	s.removeAt(i)
	return nil
}

// Rename gives a section a name; an anonymous one is named from then on. Like
// the uci command it lets two sections have one name; such a file may not be
// readable, so [Document.Rename] refuses it.
func (p *Package) Rename(section, name string) error {
	s, err := p.Find(section)
	if err != nil {
		return err
	}
	if !validName(name) {
		return fail("rename", p.Name+"."+s.Name, ErrInvalid)
	}
	s.Name, s.Anonymous = name, false
	p.reindex()
	return nil
}

// RenameOption gives an option or list another name. A taken one is ErrInvalid.
func (p *Package) RenameOption(section, option, name string) error {
	s, err := p.Find(section)
	if err != nil {
		return err
	}
	o := s.Get(option)
	object := p.Name + "." + s.Name + "." + option
	switch {
	case o == nil:
		return fail("rename", object, ErrNotFound)
	case !validName(name), name != option && s.Get(name) != nil:
		return fail("rename", object, ErrInvalid)
	}
	o.Name = name
	s.reindex()
	return nil
}

// Reorder moves a section to a position among all sections, from 0; past the
// end is last.
func (p *Package) Reorder(section string, position int) error {
	s, err := p.Find(section)
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(p.Sections, func(t *Section) bool { return t == s })
	p.Sections = slices.Insert(rest, min(max(position, 0), len(rest)), s)
	return nil
}

// target finds the section that a value is to be put in; a missing one is
// ErrInvalid there.
func (p *Package) target(op, section string) (*Section, error) {
	s, err := p.Find(section)
	if err != nil {
		return nil, fail(op, p.Name+"."+section, ErrInvalid)
	}
	return s, nil
}

func (p *Package) checkValue(op string, s *Section, option, value string) error {
	if !validName(option) || strings.IndexByte(value, 0) >= 0 {
		return fail(op, p.Name+"."+s.Name+"."+option, ErrInvalid)
	}
	return nil
}
