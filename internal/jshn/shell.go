package jshn

import (
	"strconv"
	"strings"
)

// shell appends the code that makes the members of an object in the shell
// library, one call a line.
func shell(b []byte, elems []member, inArray bool) []byte {
	for i := range elems {
		key := elems[i].key
		if inArray {
			key = strconv.Itoa(i)
		}
		b = shellElement(b, key, &elems[i].value)
	}
	return b
}

func shellElement(b []byte, key string, v *value) []byte {
	names := [...]string{
		kindNull: "null", kindBool: "boolean", kindInt: "int", kindDouble: "double",
		kindString: "string", kindArray: "array", kindObject: "object",
	}
	b = append(b, "json_add_"+names[v.kind]+" '"...)
	for i := 0; i < len(key); i++ {
		if c := key[i]; c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			b = append(b, c)
		} else {
			b = append(b, '_')
		}
	}
	b = append(b, '\'')
	switch v.kind {
	case kindObject, kindArray:
		b = append(b, ";\n"...)
		b = shell(b, v.elems, v.kind == kindArray)
		b = append(b, "json_close_"+names[v.kind]...)
	case kindString:
		text, _, _ := strings.Cut(v.str, "\x00") // a C string
		b = append(b, " '"...)
		b = append(b, strings.ReplaceAll(text, "'", `'\''`)...)
		b = append(b, '\'')
	case kindDouble:
		b = appendFixed(append(b, ' '), v.dbl)
	case kindBool, kindInt:
		b = strconv.AppendInt(append(b, ' '), v.num, 10)
	}
	return append(b, ";\n"...)
}
