package ubus

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth is the nesting that json-c's default tokener accepts.
const maxJSONDepth = 32

// A JSONError says where a JSON text could not be read. Its status is
// StatusParseError.
type JSONError struct {
	Offset int    // bytes from the start
	Reason string // what was expected or wrong
}

// Error implements error.
func (e *JSONError) Error() string {
	return fmt.Sprintf("ubus: JSON, offset %d: %s", e.Offset, e.Reason)
}

// Unwrap returns StatusParseError.
func (e *JSONError) Unwrap() error { return StatusParseError }

// FromJSON reads a JSON object the way that json-c and libubox do: the order
// of the keys is kept, a duplicate key takes the place of the first and the
// value of the last; an integer becomes INT32 if it fits, else INT64, clamped;
// a number with point or exponent becomes DOUBLE; a string ends at \u0000.
// Comments, single quotes, NaN, Infinity, literals in any case, commas before
// a closing bracket and any text after the object are accepted. Errors are
// *JSONError.
func FromJSON(text []byte) (Table, error) {
	p := jsonParser{s: text}
	p.space()
	if p.err == nil && p.peek() != '{' {
		p.fail("an object must come first")
	}
	v := p.value(0)
	if p.err != nil {
		return nil, p.err
	}
	return v.(Table), nil
}

// jsonParser has a sticky error; every method leaves at once when it is set.
type jsonParser struct {
	s   []byte
	i   int
	err error
}

func (p *jsonParser) fail(reason string) {
	if p.err == nil {
		p.err = &JSONError{Offset: p.i, Reason: reason}
	}
}

// peek returns the next byte, 0 at the end.
func (p *jsonParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// space skips white space and comments.
func (p *jsonParser) space() {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == ' ' || c >= '\t' && c <= '\r':
			p.i++
		case c == '/' && p.i+1 < len(p.s) && p.s[p.i+1] == '*':
			end := bytes.Index(p.s[p.i+2:], []byte("*/"))
			if end < 0 {
				p.fail("comment without end")
				return
			}
			p.i += 2 + end + 2
		case c == '/' && p.i+1 < len(p.s) && p.s[p.i+1] == '/':
			end := bytes.IndexByte(p.s[p.i:], '\n')
			if end < 0 {
				p.i = len(p.s)
				return
			}
			p.i += end + 1
		default:
			return
		}
	}
}

func (p *jsonParser) value(depth int) any {
	p.space()
	if p.err != nil {
		return nil
	}
	switch c := p.peek(); {
	case (c == '{' || c == '[') && depth >= maxJSONDepth:
		p.fail("nested too deep")
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"' || c == '\'':
		return p.str()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	default:
		return p.literal()
	}
	return nil
}

func (p *jsonParser) object(depth int) Table {
	p.i++
	t := Table{}
	var index map[string]int // only for long objects
	for p.err == nil {
		p.space()
		if p.peek() == '}' {
			p.i++
			return t
		}
		if c := p.peek(); c != '"' && c != '\'' {
			p.fail("a quoted key or } must come here")
			break
		}
		key := p.str()
		if len(key) > math.MaxUint16 {
			p.fail("key too long")
		}
		p.space()
		p.expect(':')
		v := p.value(depth + 1)
		t, index = setField(t, index, key, v)
		p.separator('}')
	}
	return t
}

// setField adds or replaces; from 16 fields on it keeps an index.
func setField(t Table, index map[string]int, key string, v any) (Table, map[string]int) {
	if index == nil && len(t) >= 16 {
		index = make(map[string]int, 32)
		for i := range t {
			index[t[i].Name] = i
		}
	}
	at, found := index[key]
	if index == nil {
		for i := range t {
			if t[i].Name == key {
				at, found = i, true
			}
		}
	}
	if found {
		t[at].Value = v
		return t, index
	}
	if index != nil {
		index[key] = len(t)
	}
	return append(t, Field{Name: key, Value: v}), index
}

func (p *jsonParser) array(depth int) Array {
	p.i++
	l := Array{}
	for p.err == nil {
		p.space()
		if p.peek() == ']' {
			p.i++
			return l
		}
		l = append(l, p.value(depth+1))
		p.separator(']')
	}
	return l
}

func (p *jsonParser) expect(c byte) {
	if p.err != nil {
		return
	}
	if p.peek() != c {
		p.fail("expected " + strconv.QuoteRune(rune(c)))
		return
	}
	p.i++
}

// separator takes a comma, or leaves the closing bracket to the caller.
func (p *jsonParser) separator(closing byte) {
	p.space()
	if p.err == nil && p.peek() != closing {
		p.expect(',')
	}
}

// str reads a quoted string; what follows a NUL in it is dropped.
func (p *jsonParser) str() string {
	quote := p.s[p.i]
	p.i++
	var b strings.Builder
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch c {
		case quote:
			return cutNUL(b.String())
		case '\\':
			p.escape(&b)
			if p.err != nil {
				return ""
			}
		default:
			b.WriteByte(c)
		}
	}
	p.fail("string without end")
	return ""
}

func (p *jsonParser) escape(b *strings.Builder) {
	c := p.peek()
	p.i++
	switch c {
	case '"', '\\', '/':
		b.WriteByte(c)
	case 'b':
		b.WriteByte('\b')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case 'f':
		b.WriteByte('\f')
	case 'u':
		b.WriteRune(p.unicode())
	default:
		p.fail("unknown escape")
	}
}

// unicode reads the hex digits of \u, and a second one for a surrogate pair; a
// lone surrogate is replaced.
func (p *jsonParser) unicode() rune {
	r := p.hex4()
	if p.err != nil || !utf16.IsSurrogate(r) {
		return r
	}
	if r < 0xdc00 && p.i+1 < len(p.s) && p.s[p.i] == '\\' && p.s[p.i+1] == 'u' {
		back := p.i
		p.i += 2
		low := p.hex4()
		if pair := utf16.DecodeRune(r, low); p.err == nil && pair != utf8.RuneError {
			return pair
		}
		if p.err == nil {
			p.i = back
		}
	}
	return utf8.RuneError
}

func (p *jsonParser) hex4() rune {
	if p.i+4 > len(p.s) {
		p.fail("\\u needs four hex digits")
		return 0
	}
	var r rune
	for _, c := range p.s[p.i : p.i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			p.fail("\\u needs four hex digits")
			return 0
		}
		r = r<<4 | rune(c)
	}
	p.i += 4
	return r
}

func (p *jsonParser) number() any {
	start := p.i
	if p.peek() == '-' {
		p.i++
		if c := p.peek() | 0x20; c == 'i' {
			if f, ok := p.literal().(float64); ok && math.IsInf(f, 1) {
				return math.Inf(-1)
			}
			p.fail("not a number")
			return nil
		}
	}
	for c := p.peek(); c >= '0' && c <= '9' || strings.IndexByte("+-.eE", c) >= 0 && c != 0; c = p.peek() {
		p.i++
	}
	text := string(p.s[start:p.i])
	if !strings.ContainsAny(text, ".eE") {
		n, err := strconv.ParseInt(text, 10, 64) // out of range: the nearest
		if err != nil && !isRange(err) {
			p.fail("not a number")
		}
		if n >= math.MinInt32 && n <= math.MaxInt32 {
			return int32(n)
		}
		return n
	}
	f, err := strconv.ParseFloat(strings.TrimRight(text, "eE+-"), 64)
	if err != nil && !isRange(err) {
		p.fail("not a number")
	}
	return f
}

func isRange(err error) bool {
	ne, ok := err.(*strconv.NumError)
	return ok && ne.Err == strconv.ErrRange
}

func (p *jsonParser) literal() any {
	for _, l := range jsonLiterals {
		if end := p.i + len(l.text); end <= len(p.s) && strings.EqualFold(string(p.s[p.i:end]), l.text) {
			p.i = end
			return l.value
		}
	}
	p.fail("not a JSON value")
	return nil
}

var jsonLiterals = []struct {
	text  string
	value any
}{
	{"null", nil}, {"true", true}, {"false", false}, {"nan", math.Float64frombits(0x7ff8000000000000)}, {"infinity", math.Inf(1)},
}
