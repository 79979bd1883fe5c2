package uci

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Tuple is the command line's way to name a thing:
// package[.section[.option]][=value].
type Tuple struct {
	Package string
	Section string // name or selector; HasSection tells "" from none
	Option  string // "" is none
	Value   string

	HasSection, HasValue bool
}

// ParseTuple splits a tuple. A malformed one is an *Error of kind ErrParse:
// more than three parts, an unprintable package name, a bad option name, or a
// value with control characters other than tab, CR and LF.
func ParseTuple(s string) (Tuple, error) {
	var t Tuple
	bad := fail("parse", s, ErrParse)
	s, t.Value, t.HasValue = strings.Cut(s, "=")
	parts := strings.Split(s, ".")
	if len(parts) > 3 || !validType(parts[0]) {
		return Tuple{}, bad
	}
	t.Package = parts[0]
	if len(parts) > 1 {
		t.Section, t.HasSection = parts[1], true
	}
	if len(parts) > 2 {
		if t.Option = parts[2]; !validName(t.Option) {
			return Tuple{}, bad
		}
	}
	for i := 0; i < len(t.Value); i++ {
		if c := t.Value[i]; c < 32 && c != '\t' && c != '\r' && c != '\n' {
			return Tuple{}, bad
		}
	}
	return t, nil
}

func (t Tuple) String() string {
	s := t.Package
	if t.HasSection {
		s += "." + t.Section
	}
	if t.Option != "" {
		s += "." + t.Option
	}
	return s
}

// Find returns the section that a name or selector means: NAME, @type[n] or
// @[n], where a negative n counts from the end. The error is of kind
// ErrInvalid (malformed selector) or ErrNotFound.
func (p *Package) Find(selector string) (*Section, error) {
	object := p.Name + "." + selector
	if validName(selector) {
		if s := p.Section(selector); s != nil {
			return s, nil
		}
		return nil, fail("find", object, ErrNotFound)
	}
	typ, n, ok := parseSelector(selector)
	if !ok {
		return nil, fail("find", object, ErrInvalid)
	}
	matches := p.Sections
	if typ != "" {
		matches = p.ByType(typ)
	}
	if n < 0 {
		n += len(matches)
	}
	if n < 0 || n >= len(matches) {
		return nil, fail("find", object, ErrNotFound)
	}
	return matches[n], nil
}

func parseSelector(s string) (typ string, n int, ok bool) {
	s, ok = strings.CutPrefix(s, "@")
	if !ok {
		return "", 0, false
	}
	typ, index, ok := strings.Cut(s, "[")
	if !ok || typ != "" && !validType(typ) {
		return "", 0, false
	}
	index, ok = strings.CutSuffix(index, "]")
	if !ok {
		return "", 0, false
	}
	if index == "" {
		return typ, 0, true // strtol makes it 0
	}
	n, err := strconv.Atoi(index)
	return typ, n, err == nil
}

// Resolve finds what a tuple names in p; the results that it does not name are
// nil. The error is of kind ErrInvalid (malformed selector) or ErrNotFound.
func Resolve(p *Package, t Tuple) (*Section, *Option, error) {
	if !t.HasSection {
		return nil, nil, nil
	}
	s, err := p.Find(t.Section)
	if err != nil || t.Option == "" {
		return s, nil, err
	}
	o := s.Get(t.Option)
	if o == nil {
		return nil, nil, fail("find", t.String(), ErrNotFound)
	}
	return s, o, nil
}

// Get writes what "uci get" prints for a tuple of package p: the value of an
// option, the values of a list with a delimiter between them (those with white
// space quoted), the type of a section, nothing for a package. The error is as
// in [Resolve]; a tuple with a value is ErrSilent.
func Get(w io.Writer, p *Package, t Tuple, f Format) error {
	s, o, err := Resolve(p, t)
	switch {
	case t.HasValue && !errors.Is(err, ErrInvalid):
		return fail("get", t.String(), ErrSilent)
	case err != nil:
		return err
	case s == nil:
		return nil
	}
	text := s.Type
	if o != nil {
		text = values(o, f, !o.List, func(v string) bool { return strings.ContainsAny(v, " \t\r\n") })
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

// Show writes what "uci show" prints for a tuple of package p. The error is as
// in [Resolve].
func Show(w io.Writer, p *Package, t Tuple, f Format) error {
	s, o, err := Resolve(p, t)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	switch {
	case o != nil:
		showOption(b, p.Name+"."+s.Name, o, f)
	case s != nil:
		showSection(b, p.Name+"."+s.Name, s, f)
	default:
		count := make(map[string]int)
		for _, s := range p.Sections {
			ref := s.Name
			if s.Anonymous && !f.Plain {
				ref = "@" + s.Type + "[" + strconv.Itoa(count[s.Type]) + "]"
			}
			count[s.Type]++
			showSection(b, p.Name+"."+ref, s, f)
		}
	}
	return b.Flush()
}

func showSection(b *bufio.Writer, ref string, s *Section, f Format) {
	b.WriteString(ref + "=" + s.Type + "\n")
	for i := range s.Options {
		showOption(b, ref, &s.Options[i], f)
	}
}

func showOption(b *bufio.Writer, ref string, o *Option, f Format) {
	b.WriteString(ref + "." + o.Name + "=" + values(o, f, false, func(string) bool { return true }) + "\n")
}

// values joins the values of an option, those that need it in quotes.
func values(o *Option, f Format, raw bool, needsQuotes func(string) bool) string {
	var b strings.Builder
	for i, v := range o.Values {
		if i > 0 {
			b.WriteString(f.delimiter())
		}
		if !raw && needsQuotes(v) {
			v = quote(v)
		}
		b.WriteString(v)
	}
	return b.String()
}
