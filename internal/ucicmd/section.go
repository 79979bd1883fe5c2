package ucicmd

import (
	"errors"
	"fmt"
	"strconv"

	"netbraid/uci"
)

// errNone says that there is nothing to change, which is right.
var errNone = errors.New("nothing to change")

func invalid(verb string, t uci.Tuple) error {
	return &uci.Error{Op: verb, Object: t.String(), Kind: uci.ErrInvalid}
}

func notFound(verb string, t uci.Tuple) error {
	return &uci.Error{Op: verb, Object: t.String(), Kind: uci.ErrNotFound}
}

// section does a command on package.section[.option][=value].
func (c *command) section(verb, arg string) int {
	switch verb {
	case "ren":
		verb = "rename"
	case "del":
		verb = "delete"
	}
	if err := c.doSection(verb, arg); err != nil {
		c.complain(err)
		return exitFailed
	}
	return exitOK
}

func (c *command) doSection(verb, arg string) error {
	l, t, err := c.lookup(arg)
	if err != nil {
		return err
	}
	switch verb {
	case "get":
		return uci.Get(c.out, l.Package, t, c.format)
	case "revert":
		return c.revert(l, t)
	}
	p := place{l: l, t: t, complete: !t.HasSection}
	if s, err := l.Find(t.Section); t.HasSection && err == nil {
		p.s, p.t.Section = s, s.Name // a selector means something else tomorrow
		if t.Option != "" {
			p.o = s.Get(t.Option)
		}
		p.complete = t.Option == "" || p.o != nil
	}
	change, err := p.change(verb)
	switch {
	case errors.Is(err, errNone):
		return c.store.Save(l, nil)
	case err != nil:
		return err
	}
	change.Package, change.Section = l.Name, p.t.Section
	if verb != "reorder" { // which is of the section, whatever option is named
		change.Option = t.Option
	}
	return c.store.Save(l, []uci.Change{change})
}

func (c *command) revert(l *uci.Loaded, t uci.Tuple) error {
	if t.HasValue {
		return &uci.Error{Op: "revert", Object: t.String(), Kind: uci.ErrSilent}
	}
	if !l.Tracked {
		return nil
	}
	if s, err := l.Find(t.Section); t.HasSection && err == nil {
		t.Section = s.Name
	}
	if err := c.store.Revert(l.Name, t.Section, t.Option); err != nil {
		return err
	}
	_, err := c.load(t.Package)
	return err
}

// place is what a tuple means.
type place struct {
	l        *uci.Loaded
	t        uci.Tuple
	s        *uci.Section // nil when it is not there
	o        *uci.Option  // nil when it is not there, or not asked for
	complete bool         // all that the tuple names is there
}

// change is what a verb does to the place; its names are filled in later. The
// error may be errNone.
func (p *place) change(verb string) (uci.Change, error) {
	switch verb {
	case "set":
		return p.set()
	case "add_list", "del_list":
		return p.list(verb)
	case "delete":
		return p.delete()
	case "rename":
		if !p.complete {
			return uci.Change{}, notFound(verb, p.t)
		}
		if p.s == nil || !p.t.HasValue {
			return uci.Change{}, invalid(verb, p.t)
		}
		return uci.Change{Op: uci.OpRename, Value: p.t.Value, HasValue: true}, nil
	}
	return p.reorder()
}

func (p *place) set() (uci.Change, error) {
	t := p.t
	ch := uci.Change{Op: uci.OpSet, Value: t.Value, HasValue: true}
	if !t.HasValue || !t.HasSection || p.s == nil && t.Option != "" {
		return ch, invalid("set", t)
	}
	if t.Value == "" {
		if !p.complete {
			return ch, errNone
		}
		return uci.Change{Op: uci.OpDelete}, nil
	}
	if t.Option != "" {
		if p.o != nil && !p.o.List && p.o.Value() == t.Value {
			return ch, errNone
		}
		return ch, nil
	}
	// Whether the names are right, the package says.
	scratch := &uci.Package{Name: t.Package}
	if _, err := scratch.SetSection(t.Section, t.Value); err != nil {
		return ch, invalid("set", t)
	}
	return ch, nil
}

func (p *place) list(verb string) (uci.Change, error) {
	ch := uci.Change{Op: uci.OpAddList, Value: p.t.Value, HasValue: true}
	if p.s == nil || !p.t.HasValue {
		return ch, invalid(verb, p.t)
	}
	switch {
	case verb == "del_list":
		ch.Op = uci.OpDelList
		if p.o == nil || !p.o.List {
			return ch, errNone
		}
	case p.t.Option == "":
		return ch, invalid(verb, p.t)
	}
	return ch, nil
}

func (p *place) delete() (uci.Change, error) {
	ch := uci.Change{Op: uci.OpDelete}
	index, isNumber := uci.ValueIndex(p.t.Value)
	switch {
	case p.t.Value != "" && !isNumber:
		return ch, &uci.Error{Op: "delete", Object: p.t.String(), Kind: uci.ErrSilent}
	case !p.complete:
		return ch, notFound("delete", p.t)
	case p.s == nil:
		return ch, invalid("delete", p.t)
	case p.o != nil && p.o.List && p.t.Value != "":
		if index < 0 || index >= len(p.o.Values) {
			return ch, errNone
		}
		ch.Value, ch.HasValue = p.t.Value, true
	}
	return ch, nil
}

func (p *place) reorder() (uci.Change, error) {
	ch := uci.Change{Op: uci.OpReorder, HasValue: true}
	if p.s == nil || !p.t.HasValue {
		return ch, notFound("reorder", p.t)
	}
	position := uci.Position(p.t.Value)
	ch.Value = strconv.Itoa(position)
	sections := p.l.Sections
	if sections[min(max(position, 0), len(sections)-1)] == p.s {
		return ch, errNone
	}
	return ch, nil
}

// add makes an anonymous section and prints its name.
func (c *command) add(name, typ string) int {
	s, err := c.doAdd(name, typ)
	if err != nil {
		c.complain(err)
		return number(err)
	}
	fmt.Fprintln(c.out, s)
	return exitOK
}

func (c *command) doAdd(name, typ string) (string, error) {
	l, err := c.load(name)
	if err != nil {
		return "", err
	}
	ch := uci.Change{Op: uci.OpAdd, Package: l.Name, Section: l.NextName(typ), Value: typ, HasValue: true}
	return ch.Section, c.store.Save(l, []uci.Change{ch})
}
