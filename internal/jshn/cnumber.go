package jshn

import (
	"math"
	"strconv"
	"strings"
)

// Numbers as C's library reads and prints them.

// leading returns s without leading white space, and how many bytes of that
// are a sign and decimal digits.
func leading(s string) (string, int) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s, i
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// atoll is the number that s begins with, 0 when there is none, clamped to 64
// bits.
func atoll(s string) int64 {
	s, n := leading(s)
	v, _ := strconv.ParseInt(s[:n], 10, 64) // 0 for no digits, clamped when out of range
	return v
}

// strtod is the floating-point number that s begins with, 0 when there is none:
// decimal, hexadecimal, inf, infinity or nan.
func strtod(s string) float64 {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	sign, body := "", s
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, body = s[:1], s[1:]
	}
	for _, word := range []string{"inf", "nan"} { // infinity begins with inf
		if len(body) >= 3 && strings.EqualFold(body[:3], word) {
			f, _ := strconv.ParseFloat(sign+word, 64)
			if word == "nan" {
				f = math.NaN()
			}
			return f
		}
	}
	hex := len(body) > 2 && body[0] == '0' && body[1]|0x20 == 'x'
	if hex {
		if n := mantissa(body[2:], true); n > 0 {
			end := 2 + n
			end += exponent(body[end:], 'p')
			text := body[:end]
			if end == 2+n {
				text += "p0"
			}
			f, _ := strconv.ParseFloat(sign+text, 64)
			return f
		}
		return 0
	}
	n := mantissa(body, false)
	if n == 0 {
		return 0
	}
	n += exponent(body[n:], 'e')
	f, _ := strconv.ParseFloat(sign+body[:n], 64) // ±Inf when out of range, as C
	return f
}

// mantissa is the length of digits with at most one point among them, 0 when
// there is no digit.
func mantissa(s string, hex bool) int {
	digits, point, i := 0, false, 0
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case isDigit(c) || hex && c|0x20 >= 'a' && c|0x20 <= 'f':
			digits++
		case c == '.' && !point:
			point = true
		default:
			if digits == 0 {
				return 0
			}
			return i
		}
	}
	if digits == 0 {
		return 0
	}
	return i
}

// exponent is the length of an exponent, 0 when s does not begin with a whole
// one.
func exponent(s string, letter byte) int {
	if s == "" || s[0]|0x20 != letter {
		return 0
	}
	i := 1
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	from := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == from {
		return 0
	}
	return i
}

// appendFixed is printf's "%lf".
func appendFixed(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "nan"...)
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	}
	return strconv.AppendFloat(b, f, 'f', 6, 64)
}

// appendDouble is how json-c prints a double: "%.17g", with ".0" behind a whole
// number.
func appendDouble(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "NaN"...)
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	}
	text := strconv.FormatFloat(f, 'g', 17, 64)
	b = append(b, text...)
	if !strings.ContainsAny(text, ".e") {
		b = append(b, ".0"...)
	}
	return b
}
