package uci

import (
	"slices"
	"strings"
)

// This file changes single chunks. A chunk is changed by replacing one word in
// its text; it is made anew only where that could change what stands around it.

// touch makes a chunk independent: the commands of a ';' line get lines of
// their own.
func (d *Document) touch(c *chunk) {
	pieces := c.shared
	for i, p := range pieces {
		p.shared = nil
		d.render(p, i == len(pieces)-1)
	}
}

// render writes a command in canonical form, with its trailing comment if it
// is the last of its line.
func (d *Document) render(c *chunk, comment bool) {
	tail := ""
	if comment {
		end := max(c.kw.end, c.args[0].end, c.args[1].end)
		if t := strings.TrimLeft(c.raw[min(end, len(c.raw)):], "; \t\r\n\v\f"); strings.HasPrefix(t, "#") {
			tail = " " + strings.TrimRight(t, "\r\n")
		}
	}
	word := map[byte]string{'c': "config", 'o': "option", 'l': "list", 'p': "package"}[c.kind]
	indent := ""
	if c.kind == 'o' || c.kind == 'l' {
		indent = "\t"
	}
	if i := len(c.raw) - len(strings.TrimLeft(c.raw, " \t")); i > 0 {
		indent = c.raw[:i]
	}
	s := indent + word
	c.kw = span{len(indent), len(s)}
	put := func(i int, text string) {
		s += " "
		c.args[i].span = span{len(s), len(s) + len(text)}
		s += text
	}
	put(0, typeWord(c.args[0].text))
	c.args[1].span = span{len(s), len(s)}
	if c.args[1].text != "" || c.kind == 'l' {
		put(1, quote(c.args[1].text))
	}
	c.raw = s + tail + d.eol
	c.remake = false
}

// setArg changes argument i: of a config line type and name, else name and
// value.
func (d *Document) setArg(c *chunk, i int, text string) {
	d.touch(c)
	a := &c.args[i]
	if a.text == text {
		return
	}
	a.text = text
	if c.remake || a.start == a.end {
		d.render(c, true)
		return
	}
	w := typeWord(text)
	if i == 1 {
		w = quote(text)
	}
	c.splice(a.span, w)
}

// setKind turns an option line into a list line or the reverse.
func (d *Document) setKind(c *chunk, kind byte) {
	d.touch(c)
	if c.kind == kind {
		return
	}
	c.kind = kind
	if c.remake {
		d.render(c, true)
		return
	}
	c.splice(c.kw, map[byte]string{'o': "option", 'l': "list"}[kind])
}

// splice replaces one word and moves the words behind it.
func (c *chunk) splice(at span, w string) {
	by := len(w) - (at.end - at.start)
	c.raw = c.raw[:at.start] + w + c.raw[at.end:]
	fix := func(s *span) {
		switch {
		case *s == at:
			s.end += by
		case s.start >= at.end:
			s.start, s.end = s.start+by, s.end+by
		}
	}
	fix(&c.kw)
	fix(&c.args[0].span)
	fix(&c.args[1].span)
}

// close makes a chunk end its line, so that text may follow.
func (d *Document) close(c *chunk) {
	if c == nil {
		return
	}
	d.touch(c)
	open := !strings.HasSuffix(c.raw, "\n")
	if c.remake || open && c.isCommand() && strings.HasSuffix(strings.TrimRight(c.raw, " \t"), ";") {
		d.render(c, true) // a ';' may stand before the end of the file, not before a newline
	}
	if !strings.HasSuffix(c.raw, "\n") {
		c.raw += d.eol
	}
}

func (d *Document) newChunk(kind byte, a, b string) *chunk {
	c := &chunk{kind: kind}
	c.args[0].text, c.args[1].text = a, b
	d.render(c, false)
	return c
}

// indentLike gives a new line the indentation of another.
func (c *chunk) indentLike(o *chunk) {
	indent := o.raw[:len(o.raw)-len(strings.TrimLeft(o.raw, " \t"))]
	c.raw = indent + c.raw[c.kw.start:]
	c.shift(len(indent) - c.kw.start)
}

func (c *chunk) isCommand() bool { return c.kind != 0 && c.kind != '#' }

func (c *chunk) isOption() bool { return c.kind == 'o' || c.kind == 'l' }

// blank is an empty line.
func (d *Document) blank() *chunk { return &chunk{raw: d.eol} }

// endsBlank reports whether a blank line is the last of the list.
func endsBlank(list []*chunk) bool {
	return len(list) > 0 && list[len(list)-1].kind == 0
}

// commandsEnd is the index behind the last command of a block's body.
func (b *block) commandsEnd() int {
	n := len(b.body)
	for n > 0 && !b.body[n-1].isCommand() {
		n--
	}
	return n
}

// last is the last chunk of the block.
func (b *block) last() *chunk {
	if n := len(b.body); n > 0 {
		return b.body[n-1]
	}
	return b.cfg
}

// insert puts a chunk into the body at index i.
func (d *Document) insert(b *block, i int, c *chunk) {
	if i == 0 {
		d.close(b.cfg)
	} else {
		d.close(b.body[i-1])
	}
	b.body = slices.Insert(b.body, i, c)
}

// remove takes a chunk out of its block.
func (d *Document) remove(b *block, c *chunk) {
	d.touch(c)
	b.body = slices.DeleteFunc(b.body, func(x *chunk) bool { return x == c })
}
