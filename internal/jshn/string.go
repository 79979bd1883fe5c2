package jshn

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// escapes are the letters behind a backslash, but for u.
var escapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// str reads a string in either kind of quotes. Bytes that are no UTF-8 stay as
// they are.
func (p *parser) str() string {
	quote := p.s[p.pos]
	p.pos++
	start := p.pos
	var buf []byte
	for p.pos < len(p.s) {
		switch p.s[p.pos] {
		case quote:
			plain := p.s[start:p.pos]
			p.pos++
			if buf == nil {
				return plain
			}
			return string(append(buf, plain...))
		case '\\':
			buf = append(buf, p.s[start:p.pos]...)
			buf = p.escape(buf)
			if p.bad {
				return ""
			}
			start = p.pos
		default:
			p.pos++
		}
	}
	p.bad = true
	return ""
}

// escape reads a backslash and what belongs to it.
func (p *parser) escape(buf []byte) []byte {
	if r, ok := p.unicode(); ok {
		if utf16.IsSurrogate(r) {
			first := r
			r = utf8.RuneError
			before := p.pos
			if second, ok := p.unicode(); ok {
				if r = utf16.DecodeRune(first, second); r == utf8.RuneError {
					p.pos = before // it stands for itself
				}
			}
		}
		return utf8.AppendRune(buf, r)
	}
	if p.pos+1 < len(p.s) {
		if c := escapes[p.s[p.pos+1]]; c != 0 {
			p.pos += 2
			return append(buf, c)
		}
	}
	p.bad = true
	return buf
}

// unicode reads \uXXXX if it is there.
func (p *parser) unicode() (rune, bool) {
	if p.pos+6 > len(p.s) || p.s[p.pos] != '\\' || p.s[p.pos+1] != 'u' {
		return 0, false
	}
	hex := p.s[p.pos+2 : p.pos+6]
	for i := 0; i < len(hex); i++ {
		if c := hex[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		return 0, false
	}
	p.pos += 6
	return rune(n), true
}
