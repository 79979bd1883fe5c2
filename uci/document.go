package uci

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// Document is a UCI file under edit: its meaning and its text. An edit changes
// only the lines that it concerns; comments, blank lines, spacing, quoting and
// order of everything else stay byte for byte. It is not safe for concurrent
// use.
//
// What belongs to what: comment lines right above a config line go with that
// section (above the first one only if a blank line parts them from the head
// of the file), and so do comments between and right below its options. A
// deleted section takes those with it; comments further down stay. A trailing
// comment goes with its line.
type Document struct {
	pkg    *Package
	file   string
	eol    string
	head   []*chunk // before the first section
	blocks []*block
	of     map[*Section][]*block // usually one each; more when "config T N" comes again
}

// block is one config line with what surrounds and follows it.
type block struct {
	sec  *Section
	lead []*chunk // comments right above
	cfg  *chunk
	body []*chunk
}

// chunk is a piece of text: a line without a command, or a command with all
// its lines. Only where ';' puts several commands into a line it may lack its
// newline; shared then lists the pieces of that line.
type chunk struct {
	raw    string
	kind   byte   // c o l p; 0 is a blank line, '#' a comment
	args   [2]arg // type and name, or name and value
	kw     span
	remake bool // cannot be changed in part: hidden text, or open at the end of the file
	shared []*chunk
}

type span struct{ start, end int } // in chunk.raw

type arg struct {
	span
	text string
}

// ParseDocument reads a text for editing. It is strict whatever the options
// say; the errors are those of [Parse].
func ParseDocument(name string, data []byte, opts Options) (*Document, error) {
	opts.NonStrict = false
	p, err := newParser(name, data, opts)
	if err != nil {
		return nil, err
	}
	d := &Document{file: p.file, eol: "\n", of: make(map[*Section][]*block)}
	if i := strings.IndexByte(p.src, '\n'); i > 0 && p.src[i-1] == '\r' {
		d.eol = "\r\n"
	}
	p.doc = &docBuilder{d: d}
	p.open(name)
	if err := p.run(); err != nil {
		return nil, err
	}
	d.pkg = p.pkg
	d.findLeads()
	return d, nil
}

// Package is the meaning of the document as it stands. Read it only.
func (d *Document) Package() *Package { return d.pkg }

// Bytes is the text of the document as it stands.
func (d *Document) Bytes() []byte {
	var b bytes.Buffer
	put := func(list []*chunk) {
		for _, c := range list {
			b.WriteString(c.raw)
		}
	}
	put(d.head)
	for _, bl := range d.blocks {
		put(bl.lead)
		b.WriteString(bl.cfg.raw)
		put(bl.body)
	}
	return b.Bytes()
}

// ErrMeaning says that a document's text would not read back as what was
// edited: a named section is called like the computed name of an anonymous one.
var ErrMeaning = errors.New("the text does not read back as what was edited")

// Check reads the text back and compares it with the meaning. The error, when
// they differ, wraps ErrMeaning or is a *ParseError.
func (d *Document) Check() error {
	q, err := Parse(d.pkg.Name, d.Bytes(), Options{MaxSize: -1, File: d.file})
	if err != nil {
		return err
	}
	if !q.Equal(d.pkg) {
		return &Error{Op: "check", Object: d.file, Kind: ErrInvalid, Detail: ErrMeaning}
	}
	return nil
}

// Save checks the document and replaces its file in one step, see [WriteFile].
// It is for documents from [LoadDocument].
func (d *Document) Save() error { return d.SaveAs(d.file) }

// SaveAs is [Document.Save] to another path.
func (d *Document) SaveAs(path string) error {
	if err := d.Check(); err != nil {
		return err
	}
	return WriteFile(path, d.Bytes())
}

// docBuilder cuts the text into chunks while it is parsed.
type docBuilder struct {
	d    *Document
	line []*chunk // the commands of the current logical line
	secs []*Section
	from []int // where each begins
}

func (b *docBuilder) command(c *command, sec *Section, lossy, openEnd bool) {
	ch := &chunk{kind: c.kind, kw: span{c.start, c.end}, remake: lossy || openEnd}
	ch.args[0] = arg{span{c.a.start, c.a.end}, c.a.text}
	ch.args[1] = arg{span{c.b.start, c.b.end}, c.b.text}
	b.line = append(b.line, ch)
	b.secs = append(b.secs, sec)
	b.from = append(b.from, c.start)
}

// endLine hands the chunks of a finished logical line to their blocks.
func (b *docBuilder) endLine(l *lexer) {
	if len(b.line) == 0 {
		c := &chunk{raw: l.src[l.base:l.next]}
		if strings.TrimSpace(c.raw) != "" {
			c.kind = '#'
		}
		b.d.appendBody(c)
		return
	}
	var shared []*chunk // one for all: a line may have any number of commands
	if len(b.line) > 1 {
		shared = slices.Clone(b.line)
	}
	for i, c := range b.line {
		start, end := l.base, l.next
		if i > 0 {
			start = b.from[i]
		}
		if i+1 < len(b.line) {
			end = b.from[i+1]
		}
		c.raw = l.src[start:end]
		c.shift(-start)
		c.shared = shared
		if c.kind != 'c' {
			b.d.appendBody(c)
			continue
		}
		b.d.appendBlock(&block{sec: b.secs[i], cfg: c})
	}
	b.line, b.secs, b.from = b.line[:0], b.secs[:0], b.from[:0]
}

func (c *chunk) shift(by int) {
	c.kw.start, c.kw.end = c.kw.start+by, c.kw.end+by
	for i := range c.args {
		c.args[i].start, c.args[i].end = c.args[i].start+by, c.args[i].end+by
	}
}

func (d *Document) appendBody(c *chunk) {
	if n := len(d.blocks); n > 0 {
		d.blocks[n-1].body = append(d.blocks[n-1].body, c)
		return
	}
	d.head = append(d.head, c)
}

func (d *Document) appendBlock(b *block) {
	d.blocks = append(d.blocks, b)
	d.of[b.sec] = append(d.of[b.sec], b)
}

// findLeads moves the comments right above each config line to its block.
func (d *Document) findLeads() {
	above := &d.head
	for i, b := range d.blocks {
		n := len(*above)
		for n > 0 && (*above)[n-1].kind == '#' && b.ownsComment((*above)[n-1]) {
			n--
		}
		if i == 0 && n == 0 || b.cfg.shared != nil {
			n = len(*above)
		}
		b.lead = append(b.lead, (*above)[n:]...)
		*above = (*above)[:n:n]
		above = &b.body
	}
}

// ownsComment tells a comment above the config line, at its depth, from an
// indented one, which belongs to the options above.
func (b *block) ownsComment(c *chunk) bool {
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }
	return indent(c.raw) <= indent(b.cfg.raw)
}
