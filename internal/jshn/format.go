package jshn

import "strconv"

// style is a way to write JSON.
type style struct {
	indent bool // the ubus pretty printer, else json-c's "spaced" form
}

// format appends v. depth is the number of tabs that its lines begin with.
func (s style) format(b []byte, v *value, depth int) []byte {
	switch v.kind {
	case kindBool:
		return strconv.AppendBool(b, v.num != 0)
	case kindInt:
		return strconv.AppendInt(b, v.num, 10)
	case kindDouble:
		if s.indent {
			return appendFixed(b, v.dbl)
		}
		return appendDouble(b, v.dbl)
	case kindString:
		return s.quote(b, v.str)
	case kindArray, kindObject:
		return s.container(b, v, depth)
	}
	return append(b, "null"...)
}

func (s style) container(b []byte, v *value, depth int) []byte {
	brackets := "[]"
	if v.kind == kindObject {
		brackets = "{}"
	}
	b = s.space(append(b, brackets[0]), depth+1)
	for i := range v.elems {
		e := &v.elems[i]
		if i > 0 {
			b = s.space(append(b, ','), depth+1)
		}
		if v.kind == kindObject {
			b = append(s.quote(b, e.key), ": "...)
		}
		b = s.format(b, &e.value, depth+1)
	}
	if s.indent || len(v.elems) > 0 {
		b = s.space(b, depth)
	}
	return append(b, brackets[1])
}

// space is what stands between brackets, commas and values.
func (s style) space(b []byte, depth int) []byte {
	if !s.indent {
		return append(b, ' ')
	}
	b = append(b, '\n')
	for range depth {
		b = append(b, '\t')
	}
	return b
}

// quote appends a string. Only the spaced form escapes the slash.
func (s style) quote(b []byte, text string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"', c == '\\', c == '/' && !s.indent:
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\f':
			b = append(b, `\f`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		}
	}
	return append(b, '"')
}

// nesting is how many values are inside each other, v included.
func nesting(v *value) int {
	deepest := 0
	for i := range v.elems {
		deepest = max(deepest, nesting(&v.elems[i].value))
	}
	return deepest + 1
}
