package uci

import (
	"errors"
	"strings"
)

// DefaultMaxSize is the largest file that is read when Options.MaxSize is 0.
const DefaultMaxSize = 16 << 20

// Options says how to read. The zero value is strict, with the default limit.
type Options struct {
	// NonStrict keeps what is right of a file with errors (uci -S, and how
	// netifd loads): each bad line is skipped and recorded in Package.Errors.
	// Superfluous words and a section that changes type are then no errors.
	NonStrict bool
	// MaxSize is the largest file in bytes; 0 is DefaultMaxSize, negative is no limit.
	MaxSize int64
	// File names the text in errors; empty is the package name.
	File string
}

func (o Options) maxSize() int64 {
	if o.MaxSize == 0 {
		return DefaultMaxSize
	}
	return o.MaxSize
}

// Parse reads the text of one UCI file as the package name. A strict parse
// returns a *ParseError for the first error, and no package; "package" lines
// are checked and ignored. A NUL byte is an error (the uci command silently
// loses what follows it). Text above the size limit gives ErrTooLarge.
func Parse(name string, data []byte, opts Options) (*Package, error) {
	p, err := newParser(name, data, opts)
	if err != nil {
		return nil, err
	}
	p.open(name)
	if err := p.run(); err != nil {
		return nil, err
	}
	return p.pkg, nil
}

// ParseImport reads a text in which "package" lines begin packages, as "uci
// export" writes it and "uci import" without a name reads it. A package that
// comes twice is ErrDuplicate.
func ParseImport(data []byte, opts Options) ([]*Package, error) {
	p, err := newParser("", data, opts)
	if err != nil {
		return nil, err
	}
	p.importing = true
	if err := p.run(); err != nil {
		return nil, err
	}
	return p.done, nil
}

// Merge reads a text into p, as "uci import -m" does: sections and options that
// are there already are changed, the others stay. It returns what changed.
// After an error p is of no use. A strict text leaves p.Errors empty.
func Merge(p *Package, data []byte, opts Options) ([]Change, error) {
	m, err := newParser(p.Name, data, opts)
	if err != nil {
		return nil, err
	}
	if p.byName == nil {
		p.reindex()
	}
	var changes []Change
	m.pkg = p
	m.record = func(c Change) { changes = append(changes, c) }
	return changes, m.run()
}

// parser turns commands into the model.
type parser struct {
	lexer
	file      string
	importing bool
	pkg       *Package
	sec       *Section
	done      []*Package
	errs      []*ParseError
	doc       *docBuilder // gets every command with its place in the text; may be nil

	record func(Change) // gets what is merged into a package; may be nil

	values []string // unused rest of a block of values
}

// command is one command of the text as it was written.
type command struct {
	kind       byte // c o l p
	start, end int  // of the keyword
	a, b       word // first and second argument
}

func newParser(name string, data []byte, opts Options) (*parser, error) {
	file := opts.File
	if file == "" {
		file = name
	}
	if limit := opts.maxSize(); limit >= 0 && int64(len(data)) > limit {
		return nil, tooLarge("parse", file, int64(len(data)), limit)
	}
	src := string(data)
	return &parser{
		lexer: lexer{src: src, strict: !opts.NonStrict, nul: strings.IndexByte(src, 0) >= 0},
		file:  file,
	}, nil
}

func (p *parser) open(name string) {
	p.pkg = &Package{Name: name, File: p.file, byName: make(map[string]*Section)}
	p.sec = nil
	if p.importing {
		p.done = append(p.done, p.pkg)
	}
}

// run parses to the end of the text.
func (p *parser) run() error {
	for {
		more, err := p.begin()
		if !more {
			break
		}
		if err == nil {
			err = p.commands()
		}
		if err != nil {
			var se *syntaxError
			if !errors.As(err, &se) {
				return err
			}
			pe := &ParseError{File: p.file, Line: se.line, Start: se.start, Byte: se.byte, Reason: se.reason}
			if p.strict {
				return pe
			}
			p.errs = append(p.errs, pe)
		}
		if p.doc != nil {
			p.doc.endLine(&p.lexer)
		}
	}
	if p.pkg != nil {
		p.pkg.Errors = p.errs
	}
	return nil
}

// commands parses one logical line.
func (p *parser) commands() error {
	p.skipSpace()
	for {
		w, end, ok := p.keyword()
		if !ok || w[0] == '#' {
			return nil
		}
		c := command{start: end - len(w), end: end}
		switch w {
		case "config", "c":
			c.kind = 'c'
		case "option", "o":
			c.kind = 'o'
		case "list", "l":
			c.kind = 'l'
		case "package", "p":
			c.kind = 'p'
		default:
			return p.fail("invalid command")
		}
		if err := p.command(&c); err != nil {
			return err
		}
		if p.doc != nil {
			p.doc.command(&c, p.sec, p.lossy, p.openEnd)
		}
	}
}

// without are the reasons for a keyword right before the end of the file.
var without = map[byte]string{
	'c': "config without name", 'o': "option without name",
	'l': "option without name", 'p': "package without name",
}

func (p *parser) command(c *command) error {
	switch c.kind {
	case 'c':
		if p.pkg == nil {
			return p.fail("attempting to import a file without a package name")
		}
	case 'o', 'l':
		if p.sec == nil {
			return p.fail("option/list command found before the first section")
		}
	}
	if c.end == p.end {
		return p.fail(without[c.kind])
	}
	p.pos = c.end + 1
	var err error
	if c.a, err = p.arg(); err != nil {
		return err
	}
	if c.a.text == "" {
		return p.fail("insufficient arguments")
	}
	switch {
	case c.kind == 'c' && !validType(c.a.text):
		return p.fail("invalid character in type field")
	case c.kind == 'p' && !validPackageWord(c.a.text),
		(c.kind == 'o' || c.kind == 'l') && !validName(c.a.text):
		return p.fail("invalid character in name field")
	}
	if c.kind != 'p' {
		if c.b, err = p.arg(); err != nil {
			return err
		}
		if c.kind == 'c' && c.b.text != "" && !validName(c.b.text) {
			return p.fail("invalid character in name field")
		}
	}
	if err := p.endOfCommand(); err != nil {
		return err
	}
	return p.apply(c)
}

// endOfCommand takes one more word, which a strict parse wants to be empty.
func (p *parser) endOfCommand() error {
	w, err := p.arg()
	if err != nil {
		return err
	}
	if w.text != "" && p.strict {
		return p.fail("too many arguments")
	}
	return nil
}

func (p *parser) apply(c *command) error {
	switch c.kind {
	case 'p':
		return p.applyPackage(c.a.text)
	case 'c':
		return p.applyConfig(c.a.text, c.b.text)
	case 'l':
		p.applyList(c.a.text, c.b.text)
	case 'o':
		p.applyOption(c.a.text, c.b.text)
	}
	return nil
}

func (p *parser) applyPackage(name string) error {
	if !p.importing {
		return nil
	}
	for _, q := range p.done {
		if q.Name == name {
			return fail("import", name, ErrDuplicate)
		}
	}
	p.open(name)
	return nil
}

func (p *parser) applyConfig(typ, name string) error {
	if name != "" {
		if s := p.pkg.byName[name]; s != nil {
			if s.Type != typ && p.strict {
				return p.fail("section of different type overwrites prior section with same name")
			}
			s.Type, p.sec = typ, s
			p.recorded(OpSet, "", typ)
			return nil
		}
	}
	p.sec = &Section{Type: typ, Name: name, Anonymous: name == "", Line: p.startLine}
	p.pkg.add(p.sec)
	if p.sec.Anonymous {
		p.recorded(OpAdd, "", typ)
	} else {
		p.recorded(OpSet, "", typ)
	}
	return nil
}

// recorded tells what was done to the current section.
func (p *parser) recorded(op ChangeOp, option, value string) {
	if p.record != nil {
		p.record(Change{Op: op, Package: p.pkg.Name, Section: p.sec.Name, Option: option, Value: value, HasValue: true})
	}
}

func (p *parser) applyOption(name, value string) {
	if value == "" {
		return
	}
	o := p.sec.Get(name)
	if o == nil || o.List || o.Values[0] != value {
		p.recorded(OpSet, name, value)
	}
	if o != nil {
		*o = Option{Name: name, Values: p.one(value), Line: p.startLine}
		return
	}
	p.sec.add(Option{Name: name, Values: p.one(value), Line: p.startLine})
}

func (p *parser) applyList(name, value string) {
	p.recorded(OpAddList, name, value)
	o := p.sec.Get(name)
	if o == nil {
		p.sec.add(Option{Name: name, List: true, Values: p.one(value), Line: p.startLine, Lines: []int{p.startLine}})
		return
	}
	if !o.List {
		o.List, o.Lines = true, []int{o.Line}
	}
	o.Values = append(o.Values, value)
	o.Lines = append(o.Lines, p.startLine)
}

// one makes a slice of one value out of a shared block; appending copies it.
func (p *parser) one(value string) []string {
	if len(p.values) == 0 {
		p.values = make([]string, 512)
	}
	v := p.values[:1:1]
	p.values = p.values[1:]
	v[0] = value
	return v
}
