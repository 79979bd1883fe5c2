package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

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

// maxSyntax is the most syntax errors that are reported of one file.
const maxSyntax = 100

// parseBroken makes what can be made of a file with syntax errors. UCI puts
// the options behind a bad line into the section before it, also when the bad
// line was the head of a section: these options are nobody's, and a section
// that loses some is not to be trusted.
func parseBroken(pkg *uci.Package, file string, opts Options, strict *uci.ParseError) (*Config, []Problem) {
	secs := sectionsOf(pkg)
	errs := pkg.Errors
	if !slices.ContainsFunc(errs, func(e *uci.ParseError) bool { return e.Start == strict.Start }) {
		errs = append([]*uci.ParseError{strict}, errs...) // refused by a strict parse only
	}
	bad := make([]int, len(errs))
	for i, e := range errs {
		bad[i] = e.Start
	}
	slices.Sort(bad)
	damaged := cut(secs, bad)
	var problems []Problem
	for i, e := range errs {
		if i == maxSyntax {
			problems = append(problems, Problem{Pos: Pos{File: file, Line: e.Start}, Severity: Error, Code: "INVALID_OPTION",
				Reason: fmt.Sprintf("syntax: %d more errors from here on", len(errs)-i)})
			break
		}
		problems = append(problems, Problem{Pos: Pos{File: file, Line: e.Start}, Severity: Error, Reason: "syntax: " + e.Reason, Code: "INVALID_OPTION"})
	}
	for _, d := range damaged {
		pr := Problem{Pos: Pos{File: file, Line: d.line}, Severity: Error, Section: d.sec.typ + " " + d.sec.name, Code: "INVALID_OPTION",
			Reason: "the lines behind a syntax error are lost, and may have been of this section"}
		if d.sec.typ == "interface" || d.sec.typ == "alias" {
			pr.Interface = d.sec.name
		}
		problems = append(problems, pr)
	}
	return parse(secs, file, opts, problems)
}

// damage is a section that lost options to a bad line.
type damage struct {
	sec  *section
	line int
}

// cut drops the options between a bad line (of a sorted list) and the next
// section. It gives the sections that lost some.
func cut(secs []section, bad []int) []damage {
	heads := make([]int, len(secs))
	for i := range secs {
		heads[i] = secs[i].line
	}
	slices.Sort(heads)
	// before gives the last of a sorted list that is not above line; 0 if none.
	before := func(lines []int, line int) int {
		i, _ := slices.BinarySearch(lines, line+1)
		if i == 0 {
			return 0
		}
		return lines[i-1]
	}
	var damaged []damage
	for i := range secs {
		s := &secs[i]
		at := 0
		s.opts = slices.DeleteFunc(s.opts, func(o option) bool {
			b := before(bad, o.line)
			if b == 0 || b < before(heads, o.line) {
				return false
			}
			at = b
			return true
		})
		if at != 0 {
			damaged = append(damaged, damage{s, at})
		}
	}
	return damaged
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
		secs = append(secs, section{typ: s.Type, name: s.Name, anonymous: s.Anonymous, line: s.Line, opts: all[from:len(all):len(all)]})
	}
	return secs
}
