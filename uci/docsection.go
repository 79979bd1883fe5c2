package uci

import "slices"

// Add is [Package.Add]: a new anonymous section at the end.
func (d *Document) Add(typ string) (*Section, error) {
	s, err := d.pkg.Add(typ)
	if err != nil {
		return nil, err
	}
	d.appendSection(s)
	return s, nil
}

// SetSection is [Package.SetSection]: a new named section at the end, or a new
// type for the one that is there.
func (d *Document) SetSection(section, typ string) (*Section, error) {
	s, err := d.pkg.SetSection(section, typ)
	if err != nil {
		return nil, err
	}
	if d.of[s] == nil {
		d.appendSection(s)
		return s, nil
	}
	d.mergeAnonymous()
	for _, b := range d.of[s] {
		d.setArg(b.cfg, 0, typ)
	}
	return s, nil
}

func (d *Document) appendSection(s *Section) {
	name := s.Name
	if s.Anonymous {
		name = ""
	}
	d.separate(len(d.blocks))
	d.appendBlock(&block{sec: s, cfg: d.newChunk('c', s.Type, name)})
}

// separate sees to it that a block can be put at index i: what is above ends
// with a newline and, unless it is the beginning of the file, a blank line.
func (d *Document) separate(i int) {
	above := d.head
	if i > 0 {
		b := d.blocks[i-1]
		d.close(b.last())
		if !endsBlank(b.body) {
			b.body = append(b.body, d.blank())
		}
		return
	}
	if n := len(above); n > 0 {
		d.close(above[n-1])
		if !endsBlank(above) {
			d.head = append(above, d.blank())
		}
	}
}

// Delete is [Package.Delete]. What goes with the section is said at [Document].
func (d *Document) Delete(section string) error {
	s, err := d.pkg.Find(section)
	if err != nil {
		return err
	}
	d.mergeAnonymous()
	if err := d.pkg.Delete(section); err != nil {
		return err
	}
	for _, b := range d.of[s] {
		d.detach(b)
		keep := b.foreign()
		i := slices.Index(d.blocks, b)
		d.blocks = slices.Delete(d.blocks, i, i+1)
		if i > 0 {
			d.blocks[i-1].body = append(d.blocks[i-1].body, keep...)
		} else {
			d.head = append(d.head, keep...)
		}
	}
	delete(d.of, s)
	return nil
}

// detach makes every line of a block independent of its surroundings.
func (d *Document) detach(b *block) {
	if i := slices.Index(d.blocks, b); i > 0 {
		d.close(d.blocks[i-1].last())
	} else if n := len(d.head); n > 0 {
		d.close(d.head[n-1])
	}
	d.touch(b.cfg)
	for _, c := range b.body {
		d.touch(c)
	}
}

// foreign are the comments of a block that are not about its section: those
// behind the first blank line after its last command; with the blank lines
// between and after them. Nil when there is none.
func (b *block) foreign() []*chunk {
	rest := b.body[b.commandsEnd():]
	i := slices.IndexFunc(rest, func(c *chunk) bool { return c.kind == 0 })
	if i < 0 {
		return nil
	}
	rest = rest[i:]
	i = slices.IndexFunc(rest, func(c *chunk) bool { return c.kind == '#' })
	if i < 0 {
		return nil
	}
	return rest[i:]
}

// Rename is [Package.Rename]; a name that another section has is ErrInvalid.
func (d *Document) Rename(section, name string) error {
	s, err := d.pkg.Find(section)
	if err != nil {
		return err
	}
	if other := d.pkg.Section(name); other != nil && other != s {
		return fail("rename", d.pkg.Name+"."+s.Name, ErrInvalid)
	}
	d.mergeAnonymous()
	if err := d.pkg.Rename(section, name); err != nil {
		return err
	}
	for _, b := range d.of[s] {
		d.setArg(b.cfg, 1, name)
	}
	return nil
}

// Reorder is [Package.Reorder]. A section that the file has in several parts
// is put together first.
func (d *Document) Reorder(section string, position int) error {
	s, err := d.pkg.Find(section)
	if err != nil {
		return err
	}
	was := slices.Index(d.pkg.Sections, s)
	if err := d.pkg.Reorder(section, position); err != nil {
		return err
	}
	now := slices.Index(d.pkg.Sections, s)
	if was == now {
		return nil
	}
	d.mergeAnonymous()
	d.merge(s)
	b := d.of[s][0]
	d.detach(b)
	d.close(b.last())
	d.blocks = slices.DeleteFunc(d.blocks, func(x *block) bool { return x == b })
	to := len(d.blocks)
	if now+1 < len(d.pkg.Sections) {
		next := d.of[d.pkg.Sections[now+1]][0]
		to = slices.Index(d.blocks, next)
		d.touch(next.cfg)
	}
	d.separate(to)
	d.blocks = slices.Insert(d.blocks, to, b)
	if to+1 < len(d.blocks) {
		d.separate(to + 1)
	}
	return nil
}

// mergeAnonymous puts the parts of anonymous sections together: a later part
// names its section by a computed name, which moving sections would change.
func (d *Document) mergeAnonymous() {
	for _, s := range d.pkg.Sections {
		if s.Anonymous && len(d.of[s]) > 1 {
			d.merge(s)
		}
	}
}

// merge moves all parts of a section behind its first.
func (d *Document) merge(s *Section) {
	blocks := d.of[s]
	first := blocks[0]
	for _, b := range blocks[1:] {
		d.detach(b)
		d.detach(first)
		d.close(first.last())
		d.close(b.last())
		first.body = append(first.body, b.lead...)
		first.body = append(first.body, b.body...)
		d.blocks = slices.DeleteFunc(d.blocks, func(x *block) bool { return x == b })
	}
	d.of[s] = blocks[:1:1]
}
