package config

import (
	"errors"
	"fmt"
	"path/filepath"

	"netbraid/uci"
)

// Load reads DIR/network. The error is one of reading (a missing file, I/O, a
// file that is too large); a mistake in the text is a Problem, and the Config
// then has what can be read all the same, see [Parse].
func Load(dir string, opts Options) (*Config, []Problem, error) {
	path := filepath.Join(dir, "network")
	pkg, err := uci.Load(dir, "network", uci.Options{File: path})
	var strict *uci.ParseError
	switch {
	case errors.As(err, &strict):
	case err != nil:
		return nil, nil, fmt.Errorf("config: read %s: %w", path, err)
	default:
		cfg, problems := Parse(pkg, path, opts)
		return cfg, problems, nil
	}
	pkg, err = uci.Load(dir, "network", uci.Options{File: path, NonStrict: true})
	if errors.Is(err, uci.ErrParse) {
		pkg, err = &uci.Package{}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("config: read %s: %w", path, err)
	}
	cfg, problems := parseBroken(pkg, path, opts, strict)
	return cfg, problems, nil
}

// parseBroken makes what can be made of a file with syntax errors. UCI puts
// the options behind a bad line into the section before it, also when the bad
// line was the head of a section: these options are nobody's.
func parseBroken(pkg *uci.Package, file string, opts Options, strict *uci.ParseError) (*Config, []Problem) {
	secs := sectionsOf(pkg)
	errs := pkg.Errors
	if len(errs) == 0 {
		errs = []*uci.ParseError{strict} // refused by a strict parse only
	}
	var problems []Problem
	for _, e := range errs {
		pr := Problem{Pos: Pos{File: file, Line: e.Start}, Severity: Error, Reason: "syntax: " + e.Reason, Code: "INVALID_OPTION"}
		if s := cut(secs, e.Start); s != nil {
			pr.Section = s.typ + " " + s.name
			if s.typ == "interface" || s.typ == "alias" {
				pr.Interface = s.name
			}
		}
		problems = append(problems, pr)
	}
	return parse(secs, file, opts, problems)
}

// cut drops the options between a bad line and the next section. It gives the
// section that lost some, nil when none did.
func cut(secs []section, bad int) *section {
	var in *section
	next := int(^uint(0) >> 1)
	for i := range secs {
		switch s := &secs[i]; {
		case s.line <= bad:
			if in == nil || s.line >= in.line {
				in = s
			}
		default:
			next = min(next, s.line)
		}
	}
	if in == nil {
		return nil
	}
	kept := in.opts[:0]
	for _, o := range in.opts {
		if o.line < bad || o.line > next {
			kept = append(kept, o)
		}
	}
	if len(kept) == len(in.opts) {
		return nil
	}
	in.opts = kept
	return in
}

// sectionsOf takes over what the parser needs of a package.
func sectionsOf(pkg *uci.Package) []section {
	n := 0
	for _, s := range pkg.Sections {
		n += len(s.Options)
	}
	all := make([]option, 0, n)
	secs := make([]section, 0, len(pkg.Sections))
	for _, s := range pkg.Sections {
		from := len(all)
		for _, o := range s.Options {
			if len(o.Values) > 0 {
				all = append(all, option{Option: Option{Name: o.Name, Values: o.Values, List: o.List}, line: o.Line, lines: o.Lines})
			}
		}
		secs = append(secs, section{typ: s.Type, name: s.Name, line: s.Line, opts: all[from:len(all):len(all)]})
	}
	return secs
}
