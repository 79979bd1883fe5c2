package jshn

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// maxDepth is json-c's default: so many containers inside each other, and a
// value in the innermost only if that is one fewer.
const maxDepth = 32

// errSyntax is all that jshn says of bad JSON.
var errSyntax = errors.New("Failed to parse message data") //lint:ignore ST1005 jshn's text

// parse reads the object that text begins with; what follows it is ignored. It
// accepts what json-c accepts beyond RFC 8259: comments, single quotes, a
// trailing comma, NaN and Infinity, literals in any case, raw control
// characters in strings. A NUL byte ends the text.
func parse(text string) (value, error) {
	text, _, _ = strings.Cut(text, "\x00")
	p := parser{s: text}
	p.space()
	if p.bad || p.peek() != '{' {
		return value{}, errSyntax
	}
	v := p.value(0)
	if p.bad {
		return value{}, errSyntax
	}
	return v, nil
}

// parser walks over the text. Once bad is set its results mean nothing, and
// every loop ends.
type parser struct {
	s   string
	pos int
	bad bool
}

// peek is the next byte, 0 at the end of the text.
func (p *parser) peek() byte {
	if p.pos < len(p.s) {
		return p.s[p.pos]
	}
	return 0
}

// space steps over white space and comments.
func (p *parser) space() {
	for {
		switch p.peek() {
		case ' ', '\t', '\n', '\r':
			p.pos++
		case '/':
			rest := p.s[p.pos:]
			switch {
			case strings.HasPrefix(rest, "/*"):
				p.skipPast("*/", 2)
			case strings.HasPrefix(rest, "//"):
				p.skipPast("\n", 2)
			default:
				p.bad = true
			}
			if p.bad {
				return
			}
		default:
			return
		}
	}
}

func (p *parser) skipPast(end string, from int) {
	i := strings.Index(p.s[p.pos+from:], end)
	if i < 0 {
		p.bad = true
		return
	}
	p.pos += from + i + len(end)
}

// value reads a value that is inside depth containers.
func (p *parser) value(depth int) (v value) {
	if depth >= maxDepth {
		p.bad = true
		return v
	}
	switch c := p.peek(); c {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"', '\'':
		return value{kind: kindString, str: p.str()}
	case 't', 'T':
		p.literal("true")
		return value{kind: kindBool, num: 1}
	case 'f', 'F':
		p.literal("false")
		return value{kind: kindBool}
	case 'i', 'I':
		p.literal("infinity")
		return value{kind: kindDouble, dbl: math.Inf(1)}
	case 'n', 'N':
		if strings.EqualFold(p.s[p.pos:min(p.pos+3, len(p.s))], "nan") {
			p.pos += 3
			return value{kind: kindDouble, dbl: math.NaN()}
		}
		p.literal("null")
		return value{kind: kindNull}
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return p.number()
		}
	}
	p.bad = true
	return v
}

func (p *parser) literal(word string) {
	end := p.pos + len(word)
	if end > len(p.s) || !strings.EqualFold(p.s[p.pos:end], word) {
		p.bad = true
		return
	}
	p.pos = end
}

func (p *parser) object(depth int) value {
	var o object
	p.pos++
	for {
		p.space()
		c := p.peek()
		if c == '}' && !p.bad {
			p.pos++
			return value{kind: kindObject, elems: o.members}
		}
		if p.bad || c != '"' && c != '\'' {
			break
		}
		key, _, _ := strings.Cut(p.str(), "\x00") // a C string
		p.space()
		if p.bad || p.peek() != ':' {
			break
		}
		p.pos++
		p.space()
		if p.bad {
			break
		}
		v := p.value(depth + 1)
		if p.bad || !p.separator('}') {
			break
		}
		o.set(key, v)
	}
	p.bad = true
	return value{}
}

func (p *parser) array(depth int) value {
	v := value{kind: kindArray}
	p.pos++
	for {
		p.space()
		if p.bad {
			return value{}
		}
		if p.peek() == ']' {
			p.pos++
			return v
		}
		e := p.value(depth + 1)
		if p.bad || !p.separator(']') {
			p.bad = true
			return value{}
		}
		v.elems = append(v.elems, member{value: e})
	}
}

// separator steps over a comma, or stops in front of the end of the container.
func (p *parser) separator(end byte) bool {
	p.space()
	if p.bad {
		return false
	}
	if p.peek() == ',' {
		p.pos++
		return true
	}
	return p.peek() == end
}

// number reads an integer, clamped to 64 bits, or a double. "-Infinity" begins
// like one.
func (p *parser) number() value {
	start := p.pos
	double, exponent := false, false
	minus, plus := true, false
scan:
	for ; p.pos < len(p.s); p.pos++ {
		switch c := p.s[p.pos]; {
		case c >= '0' && c <= '9':
			minus, plus = false, false
		case c == '-' && minus, c == '+' && plus:
			minus, plus = false, false
		case c == '.' && !double:
			double, minus, plus = true, true, true
		case (c == 'e' || c == 'E') && !exponent:
			double, exponent, minus, plus = true, true, true, true
		default:
			break scan
		}
	}
	text := p.s[start:p.pos]
	if c := p.peek(); text == "-" && (c == 'i' || c == 'I') {
		p.literal("infinity")
		return value{kind: kindDouble, dbl: math.Inf(-1)}
	}
	if !double {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			p.bad = true
		}
		return value{kind: kindInt, num: n} // clamped by ParseInt
	}
	text = strings.TrimRight(text, "eE+-")
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		p.bad = true
	}
	return value{kind: kindDouble, dbl: f}
}
