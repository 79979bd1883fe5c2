package getopt

import (
	"fmt"
	"strings"
)

// Parser walks over arguments. Options may stand anywhere before "--", joined
// (-ab) or with the value joined (-pDIR) or not (-p DIR).
type Parser struct {
	args  []string // what has not been looked at
	spec  string
	group string // rest of the argument with options that is being taken apart
	rest  []string
}

// New starts before the first of args, which do not hold the program's name.
// spec lists the option letters; a ':' behind one says that it takes a value.
func New(args []string, spec string) *Parser { return &Parser{args: args, spec: spec} }

// Next returns the next option letter with its value, or 0 when none is left.
// The error is getopt's text without the program's name, such as
// "invalid option -- 'z'".
func (p *Parser) Next() (letter byte, value string, err error) {
	for p.group == "" {
		if len(p.args) == 0 {
			return 0, "", nil
		}
		a := p.args[0]
		p.args = p.args[1:]
		switch {
		case a == "--":
			p.rest = append(p.rest, p.args...)
			p.args = nil
		case len(a) > 1 && a[0] == '-':
			p.group = a[1:]
		default:
			p.rest = append(p.rest, a)
		}
	}
	letter, p.group = p.group[0], p.group[1:]
	i := strings.IndexByte(p.spec, letter)
	switch {
	case i < 0 || letter == ':':
		return 0, "", fmt.Errorf("invalid option -- '%c'", letter)
	case i+1 == len(p.spec) || p.spec[i+1] != ':':
		return letter, "", nil
	case p.group != "":
		value, p.group = p.group, ""
	case len(p.args) > 0:
		value, p.args = p.args[0], p.args[1:]
	default:
		return 0, "", fmt.Errorf("option requires an argument -- '%c'", letter)
	}
	return letter, value, nil
}

// Rest returns the arguments that are no options. It is complete once Next has
// returned 0 without an error.
func (p *Parser) Rest() []string { return p.rest }
