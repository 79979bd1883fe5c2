package uci

import (
	"errors"
	"strings"
)

// ChangeOp is what a change does. Its value is the character that a line of a
// delta file begins with, 0 for none.
type ChangeOp byte

// The changes.
const (
	OpSet     ChangeOp = 0   // an option's value, a section's type; makes what is missing
	OpAdd     ChangeOp = '+' // a new anonymous section
	OpDelete  ChangeOp = '-' // a section, an option, or value number Value (from 0) of a list
	OpRename  ChangeOp = '@' // a section or option
	OpReorder ChangeOp = '^' // a section to position Value, from 0
	OpAddList ChangeOp = '|' // a value at the end of a list
	OpDelList ChangeOp = '~' // every equal value of a list
)

// Change is one change of a package that is not committed yet: a line of a
// delta file.
type Change struct {
	Op      ChangeOp
	Package string
	Section string // its name; cfgXXhhhh for an anonymous one
	Option  string // "" is the section itself
	Value   string

	HasValue bool // only an OpDelete may have none
}

// Line is the change as a line of a delta file, without the newline at its end.
func (c Change) Line() string {
	s := c.object()
	if c.Op != OpSet {
		s = string(rune(c.Op)) + s
	}
	if c.HasValue {
		s += "=" + quote(c.Value)
	}
	return s
}

// String is the change as "uci changes" shows it.
func (c Change) String() string {
	switch c.Op {
	case OpDelete:
		return "-" + c.object()
	case OpAddList:
		return c.object() + "+=" + quote(c.Value)
	case OpDelList:
		return c.object() + "-=" + quote(c.Value)
	}
	return c.object() + "=" + quote(c.Value)
}

func (c Change) object() string {
	return Tuple{Package: c.Package, Section: c.Section, Option: c.Option, HasSection: true}.String()
}

// DeltaLine is a line of a delta file; a quoted value may make it several.
type DeltaLine struct {
	Change
	Text string // as it stands in the file, with its newline
	Line int    // from 1
	Err  error  // *ParseError: why this is no change of the package; nil when it is one
	open bool   // a quote or backslash in it would take in what is written behind it
}

// Blank reports whether the line is empty but for white space.
func (l *DeltaLine) Blank() bool { return strings.TrimSpace(l.Text) == "" }

// ParseDelta reads a delta file of package pkg. Lines that are no change have
// Err set; the uci command skips them. The error is an *Error of kind
// ErrTooLarge.
func ParseDelta(pkg string, data []byte, opts Options) ([]DeltaLine, error) {
	p, err := newParser(pkg, data, opts)
	if err != nil {
		return nil, err
	}
	var out []DeltaLine
	l := &p.lexer
	for {
		more, err := l.begin()
		if !more {
			return out, nil
		}
		d := DeltaLine{Line: l.startLine}
		if err == nil {
			d.Change, err = deltaChange(l, pkg)
		}
		var se *syntaxError
		if errors.As(err, &se) {
			d.Err = &ParseError{File: p.file, Line: se.line, Start: se.start, Byte: se.byte, Reason: se.reason}
			d.open = strings.HasPrefix(se.reason, unterminated)
		}
		d.open = d.open || l.openEnd
		d.Text = l.src[l.base:l.next]
		out = append(out, d)
	}
}

// deltaChange reads the logical line that the lexer is at the beginning of.
func deltaChange(l *lexer, pkg string) (c Change, err error) {
	w, err := l.arg()
	if err != nil {
		return c, err
	}
	if l.cur() != 0 {
		return c, l.fail("text behind the change")
	}
	if w.text != "" {
		switch op := ChangeOp(w.text[0]); op {
		case OpAdd, OpDelete, OpRename, OpReorder, OpAddList, OpDelList:
			c.Op = op
			w.text = w.text[1:]
		}
	}
	t, err := ParseTuple(w.text)
	if err != nil {
		return c, l.fail("not a change")
	}
	c.Package, c.Section, c.Option, c.Value, c.HasValue = t.Package, t.Section, t.Option, t.Value, t.HasValue
	switch {
	case !validName(c.Section):
		err = l.fail("invalid section name")
	case c.Op != OpDelete && !c.HasValue:
		err = l.fail("no value")
	case c.Op == OpReorder && c.Option != "":
		err = l.fail("an option has no position")
	case c.Op == OpRename && !validName(c.Value):
		err = l.fail("invalid new name")
	case (c.Op == OpAddList || c.Op == OpDelList) && c.Option == "":
		err = l.fail("no option name")
	case c.Package != pkg:
		err = l.fail("change of another package")
	}
	return c, err
}

// Apply makes the change, as reading a delta file does. The error is an *Error
// of kind ErrNotFound or ErrInvalid; then nothing has changed. A change may
// also have no effect without an error. A list may be left without values.
func (p *Package) Apply(c Change) error {
	s := p.Section(c.Section)
	object := c.object()
	switch c.Op {
	case OpSet, OpAdd:
		return p.applySet(c, s)
	case OpAddList:
		return p.AddList(c.Section, c.Option, c.Value)
	case OpDelList:
		if s == nil {
			return fail("del_list", object, ErrInvalid)
		}
		if o := s.Get(c.Option); o != nil && o.List {
			o.dropValues(func(_ int, v string) bool { return v == c.Value })
		}
		return nil
	}
	if s == nil || c.Option != "" && s.Get(c.Option) == nil {
		return fail("change", object, ErrNotFound)
	}
	switch c.Op {
	case OpReorder:
		return p.Reorder(s.Name, Position(c.Value))
	case OpRename:
		return p.applyRename(c, s)
	case OpDelete:
		return p.applyDelete(c, s)
	}
	return fail("change", object, ErrInvalid)
}

func (p *Package) applySet(c Change, s *Section) error {
	if c.Option != "" {
		return p.Set(c.Section, c.Option, c.Value)
	}
	switch {
	case c.Value == "" && s == nil:
		return nil
	case c.Value == "":
		return p.Delete(c.Section)
	case !validName(c.Section):
		return fail("set", c.object(), ErrInvalid)
	}
	s, err := p.SetSection(c.Section, c.Value)
	if err == nil && c.Op == OpAdd {
		s.Anonymous = true
	}
	return err
}

// applyRename lets two options have one name, as the uci command does.
func (p *Package) applyRename(c Change, s *Section) error {
	if c.Option == "" {
		return p.Rename(s.Name, c.Value)
	}
	if !validName(c.Value) {
		return fail("rename", c.object(), ErrInvalid)
	}
	s.Get(c.Option).Name = c.Value
	s.reindex()
	return nil
}

func (p *Package) applyDelete(c Change, s *Section) error {
	if c.Option == "" {
		return p.Delete(s.Name)
	}
	o := s.Get(c.Option)
	if c.Value == "" || !o.List {
		return p.DeleteOption(s.Name, c.Option)
	}
	n, ok := ValueIndex(c.Value)
	if !ok {
		return fail("delete", c.object(), ErrInvalid)
	}
	o.dropValues(func(i int, _ string) bool { return i == n })
	return nil
}

// Position is the number that s begins with, as the uci command reads a
// section's position: 0 when there is none, clamped to 31 bits.
func Position(s string) int {
	n, _ := ValueIndex(s)
	return n
}

// ValueIndex is the number that s begins with, as the uci command reads the
// index of a list's value; ok is false when it does not begin with one. It is
// clamped to 31 bits.
func ValueIndex(s string) (n int, ok bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	sign := 1
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	const most = 1<<31 - 1
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		n, ok = min(n*10+int(s[i]-'0'), most), true
	}
	return sign * n, ok
}
