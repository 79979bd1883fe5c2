package ubus

import (
	"math"
	"strconv"
)

// JSON returns t as JSON on one line without any spaces, as `ubus -S` prints
// it: numbers as signed decimals, DOUBLE with six decimals, INT8 as a boolean,
// strings with only the necessary escapes. A field without a name shows its
// value alone, a Malformed value shows nothing; neither is JSON then, but it
// is what the ubus tools print.
func (t Table) JSON() string { return string(AppendJSON(nil, t, false)) }

// JSONIndent returns t as JSON with a line for each value, indented by tabs,
// as `ubus call` prints it.
func (t Table) JSONIndent() string { return string(AppendJSON(nil, t, true)) }

// AppendJSON appends the JSON text of a value, see Table.JSON and JSONIndent.
func AppendJSON(b []byte, v any, indent bool) []byte {
	w := jsonWriter{b: b, indent: indent}
	w.value(v)
	return w.b
}

type jsonWriter struct {
	b      []byte
	indent bool
	level  int
}

func (w *jsonWriter) newline() {
	if !w.indent {
		return
	}
	w.b = append(w.b, '\n')
	for i := 0; i < w.level; i++ {
		w.b = append(w.b, '\t')
	}
}

func (w *jsonWriter) open(c byte) {
	w.b = append(w.b, c)
	w.level++
	w.newline()
}

func (w *jsonWriter) next(i int) {
	if i > 0 {
		w.b = append(w.b, ',')
		w.newline()
	}
}

func (w *jsonWriter) close(c byte) {
	w.level--
	w.newline()
	w.b = append(w.b, c)
}

func (w *jsonWriter) table(t Table) {
	w.open('{')
	for i := range t {
		w.next(i)
		if name := cutNUL(t[i].Name); name != "" {
			w.b = appendJSONString(w.b, name)
			w.b = append(w.b, ':')
			if w.indent {
				w.b = append(w.b, ' ')
			}
		}
		w.value(t[i].Value)
	}
	w.close('}')
}

func jsonArray[T any](w *jsonWriter, l []T) {
	w.open('[')
	for i, v := range l {
		w.next(i)
		w.value(v)
	}
	w.close(']')
}

func (w *jsonWriter) value(v any) {
	switch v := v.(type) {
	case nil:
		w.b = append(w.b, "null"...)
	case Malformed:
	case bool:
		w.b = strconv.AppendBool(w.b, v)
	case int8:
		w.b = strconv.AppendBool(w.b, v != 0)
	case uint8:
		w.b = strconv.AppendBool(w.b, v != 0)
	case string:
		w.b = appendJSONString(w.b, cutNUL(v))
	case float64:
		w.b = appendJSONDouble(w.b, v)
	case float32:
		w.b = appendJSONDouble(w.b, float64(v))
	case Table:
		w.table(v)
	case Array:
		jsonArray(w, v)
	case []any:
		jsonArray(w, v)
	case []string:
		jsonArray(w, v)
	case []Table:
		jsonArray(w, v)
	default:
		w.integer(v)
	}
}

func (w *jsonWriter) integer(v any) {
	var n int64
	switch v := v.(type) {
	case int16:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case int:
		n = int64(v)
	case uint16:
		n = int64(int16(v))
	case uint32:
		n = int64(int32(v))
	case uint64:
		n = int64(v)
	case Status:
		n = int64(v)
	default: // written as UNSPEC
		w.b = append(w.b, "null"...)
		return
	}
	w.b = strconv.AppendInt(w.b, n, 10)
}

// appendJSONDouble prints as C's "%lf".
func appendJSONDouble(b []byte, v float64) []byte {
	if math.Signbit(v) && math.IsNaN(v) {
		return append(b, "-nan"...)
	}
	switch {
	case math.IsNaN(v):
		return append(b, "nan"...)
	case math.IsInf(v, 1):
		return append(b, "inf"...)
	case math.IsInf(v, -1):
		return append(b, "-inf"...)
	}
	return strconv.AppendFloat(b, v, 'f', 6, 64)
}

func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '\b':
			b = append(b, `\b`...)
		case '\n':
			b = append(b, `\n`...)
		case '\t':
			b = append(b, `\t`...)
		case '\r':
			b = append(b, `\r`...)
		case '"', '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
