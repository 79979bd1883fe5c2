package ucicmd

import (
	"errors"
	"fmt"
	"io"

	"netbraid/uci"
)

// packages does a command that takes a package or all.
func (c *command) packages(verb string, args []string) int {
	switch {
	case len(args) > 1:
		return exitUsage
	case len(args) == 1:
		return c.onePackage(verb, args[0])
	}
	names, err := c.store.List()
	if err != nil {
		c.complain(err)
		return exitFailed
	}
	for _, name := range names {
		c.onePackage(verb, name) // an error in one is printed and stops no other
	}
	return exitOK
}

func (c *command) onePackage(verb, arg string) int {
	l, t, err := c.lookup(arg)
	if err == nil {
		switch verb {
		case "show":
			err = uci.Show(c.out, l.Package, t, c.format)
		case "export":
			err = uci.Export(c.out, l.Package, c.format)
		case "changes":
			for _, ch := range l.Changes {
				fmt.Fprintln(c.out, ch)
			}
		case "commit":
			if !c.frozen {
				err = c.commit(t.Package)
			}
		}
	}
	if err != nil {
		c.complain(err)
		return exitFailed
	}
	return exitOK
}

// lookup loads the package of a tuple. A selector that is malformed is an
// error, a section that is not there is none.
func (c *command) lookup(arg string) (*uci.Loaded, uci.Tuple, error) {
	t, err := uci.ParseTuple(arg)
	if err != nil {
		return nil, t, err
	}
	l, err := c.load(t.Package)
	if err != nil {
		return nil, t, err
	}
	if _, _, err = uci.Resolve(l.Package, t); errors.Is(err, uci.ErrNotFound) {
		err = nil
	}
	return l, t, err
}

func (c *command) commit(name string) error {
	l, err := c.store.Commit(name)
	c.skipped(l, err)
	if err != nil || !l.Changed() {
		return err
	}
	for _, b := range l.Bad {
		var pe *uci.ParseError
		if errors.As(b.Err, &pe) {
			c.say("%s: %s: %s, skipped: %q\n", c.prog, pe.Position(), pe.Reason, b.Text)
		}
	}
	return nil
}

// importPackages reads packages from the input.
func (c *command) importPackages(args []string) int {
	if len(args) > 1 || c.merge && len(args) == 0 {
		return exitUsage
	}
	if err := c.doImport(args); err != nil {
		c.complain(err)
		return exitFailed
	}
	return exitOK
}

func (c *command) doImport(args []string) error {
	in := c.in
	if c.batch != nil {
		in = c.batch.Rest()
	}
	data, err := io.ReadAll(io.LimitReader(in, uci.DefaultMaxSize+1))
	if err != nil {
		return &uci.Error{Op: "import", Object: "input", Kind: uci.ErrIO, Detail: err}
	}
	if c.merge {
		if l, err := c.load(args[0]); err == nil {
			return c.mergeInto(l, data)
		}
	}
	var list []*uci.Package
	if len(args) == 1 {
		var p *uci.Package
		p, err = uci.Parse(args[0], data, c.store.Options)
		list = append(list, p)
	} else {
		list, err = uci.ParseImport(data, c.store.Options)
	}
	c.parsed = true
	if err != nil {
		return err
	}
	if len(list) > 0 { // the last one has the skipped lines of the whole input
		for _, e := range list[len(list)-1].Errors {
			fmt.Fprintln(c.err, uci.Message(e))
		}
	}
	for _, p := range list {
		if err := c.store.Replace(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *command) mergeInto(l *uci.Loaded, data []byte) error {
	changes, err := uci.Merge(l.Package, data, c.store.Options)
	if err != nil {
		return err
	}
	for _, e := range l.Errors {
		fmt.Fprintln(c.err, uci.Message(e))
	}
	for _, ch := range changes {
		lines, err := uci.ParseDelta(ch.Package, []byte(ch.Line()), uci.Options{})
		if l.Tracked && (err != nil || len(lines) != 1 || lines[0].Err != nil) {
			return &uci.Error{Op: "import", Object: ch.Package + "." + ch.Section + "." + ch.Option, Kind: uci.ErrInvalid,
				Detail: errors.New("a delta file cannot hold this value")}
		}
	}
	return c.store.Save(l, changes)
}
