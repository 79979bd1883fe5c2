package uci

import "slices"

// The methods below do what those of [Package] with the same name do, to the
// text as well. A text that would read differently from what was asked is
// refused by [Document.Save].

// place is a chunk and the block that it is in.
type place struct {
	b *block
	c *chunk
}

// lines returns the commands that make up an option, in order. Lines without
// effect ("option x" without a value) are removed, so that they cannot
// contradict what is written next.
func (d *Document) lines(s *Section, option string) []place {
	var out, idle []place
	for _, b := range d.of[s] {
		for _, c := range b.body {
			switch {
			case !c.isOption() || c.args[0].text != option:
			case c.kind == 'o' && c.args[1].text == "":
				idle = append(idle, place{b, c})
			default:
				out = append(out, place{b, c})
			}
		}
	}
	d.removeAll(idle)
	return out
}

func (d *Document) removeAll(list []place) {
	for _, p := range list {
		d.touch(p.c)
	}
	gone := make(map[*chunk]bool, len(list))
	for _, p := range list {
		gone[p.c] = true
	}
	for i, p := range list {
		if i == 0 || p.b != list[i-1].b {
			p.b.body = slices.DeleteFunc(p.b.body, func(c *chunk) bool { return gone[c] })
		}
	}
}

// tidy makes the lines of an option correspond one to one to its values, where
// the file had lines that a later one overrides. The option keeps its place.
func (d *Document) tidy(s *Section, o *Option) []place {
	all := d.lines(s, o.Name)
	kind := byte('o')
	if o.List {
		kind = 'l'
	}
	if len(all) != len(o.Values) {
		d.removeAll(all[1:])
		d.setArg(all[0].c, 1, o.Values[0])
		d.setKind(all[0].c, kind)
		all = all[:1:1]
		for _, v := range o.Values[1:] {
			all = append(all, d.after(all[len(all)-1], kind, o.Name, v))
		}
	}
	for _, p := range all {
		d.setKind(p.c, kind)
	}
	return all
}

// after writes a new line behind another, indented like it.
func (d *Document) after(p place, kind byte, name, value string) place {
	d.close(p.c)
	c := d.newChunk(kind, name, value)
	c.indentLike(p.c)
	d.insert(p.b, slices.Index(p.b.body, p.c)+1, c)
	return place{p.b, c}
}

// append writes a new line behind the last command of the section.
func (d *Document) append(s *Section, kind byte, name, value string) {
	blocks := d.of[s]
	b := blocks[len(blocks)-1]
	c := d.newChunk(kind, name, value)
	for _, o := range slices.Backward(b.body) {
		if o.isOption() && o.shared == nil {
			c.indentLike(o)
			break
		}
	}
	d.insert(b, b.commandsEnd(), c)
}

// Set is [Package.Set].
func (d *Document) Set(section, option, value string) error {
	s, old := d.state(section, option)
	if err := d.pkg.Set(section, option, value); err != nil {
		return err
	}
	switch {
	case old != nil && !old.List && old.Values[0] == value:
		return nil
	case old == nil && value == "":
		return nil
	}
	all := d.lines(s, option)
	switch {
	case value == "":
		d.removeAll(all)
	case len(all) == 0:
		d.append(s, 'o', option, value)
	default:
		d.removeAll(all[1:])
		d.setArg(all[0].c, 1, value)
		d.setKind(all[0].c, 'o')
	}
	return nil
}

// AddList is [Package.AddList].
func (d *Document) AddList(section, option, value string) error {
	s, old := d.state(section, option)
	if err := d.pkg.AddList(section, option, value); err != nil {
		return err
	}
	if old == nil {
		d.lines(s, option)
		d.append(s, 'l', option, value)
		return nil
	}
	old.List = true
	all := d.tidy(s, old)
	d.after(all[len(all)-1], 'l', option, value)
	return nil
}

// DelList is [Package.DelList].
func (d *Document) DelList(section, option, value string) error {
	s, old := d.state(section, option)
	if err := d.pkg.DelList(section, option, value); err != nil {
		return err
	}
	d.dropValues(s, old, func(_ int, v string) bool { return v == value })
	return nil
}

// DeleteValue is [Package.DeleteValue].
func (d *Document) DeleteValue(section, option string, i int) error {
	s, old := d.state(section, option)
	if err := d.pkg.DeleteValue(section, option, i); err != nil {
		return err
	}
	if !old.List {
		d.removeAll(d.lines(s, option))
		return nil
	}
	d.dropValues(s, old, func(k int, _ string) bool { return k == i })
	return nil
}

// dropValues removes the lines of some values. The first line that stays takes
// the place of the first that there was: there the list has its place.
func (d *Document) dropValues(s *Section, old *Option, drop func(i int, v string) bool) {
	if old == nil || !old.List {
		return
	}
	n := 0
	for i, v := range old.Values {
		if drop(i, v) {
			n++
		}
	}
	if n == 0 {
		return
	}
	all := d.tidy(s, old)
	var gone, stay []place
	for i, v := range old.Values {
		if drop(i, v) {
			gone = append(gone, all[i])
		} else {
			stay = append(stay, all[i])
		}
	}
	if len(stay) > 0 && stay[0] != all[0] {
		d.touch(stay[0].c)
		d.remove(stay[0].b, stay[0].c)
		first := all[0]
		d.close(first.c)
		d.close(stay[0].c)
		d.insert(first.b, slices.Index(first.b.body, first.c)+1, stay[0].c)
	}
	d.removeAll(gone)
}

// DeleteOption is [Package.DeleteOption].
func (d *Document) DeleteOption(section, option string) error {
	s, _ := d.state(section, option)
	if err := d.pkg.DeleteOption(section, option); err != nil {
		return err
	}
	d.removeAll(d.lines(s, option))
	return nil
}

// RenameOption is [Package.RenameOption].
func (d *Document) RenameOption(section, option, name string) error {
	s, _ := d.state(section, option)
	if err := d.pkg.RenameOption(section, option, name); err != nil {
		return err
	}
	if option == name {
		return nil
	}
	d.lines(s, name) // lines without effect may have it already
	for _, p := range d.lines(s, option) {
		d.setArg(p.c, 0, name)
	}
	return nil
}

// state is the section and a copy of the option before an edit; nil for what
// is not there.
func (d *Document) state(section, option string) (*Section, *Option) {
	s, err := d.pkg.Find(section)
	if err != nil {
		return nil, nil
	}
	o := s.Get(option)
	if o == nil {
		return s, nil
	}
	old := *o
	return s, &old
}
