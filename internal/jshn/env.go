package jshn

import (
	"errors"
	"strings"
)

// maxTables is how many tables may be inside each other. The shell library
// makes a few; variables that name each other in a ring would never end.
const maxTables = 1000

// maxValues is how many values are made of the variables. An environment has
// room for fewer; tables that are named again and again would make more.
const maxValues = 1 << 18

var (
	errRing = errors.New("the variables nest too deep, or in a ring")
	errMany = errors.New("the variables make too many values")
)

// environment is the variables that the shell library keeps its tables in.
type environment struct {
	prefix string
	vars   map[string]string
	seen   map[string]bool // tables whose keys have been read
	depth  int
	values int // made so far
}

// newEnvironment takes NAME=VALUE strings; of a name that comes twice the first
// counts.
func newEnvironment(environ []string, prefix string) *environment {
	e := &environment{prefix: prefix, vars: make(map[string]string, len(environ)), seen: make(map[string]bool)}
	for _, kv := range environ {
		name, v, ok := strings.Cut(kv, "=")
		if _, taken := e.vars[name]; ok && !taken {
			e.vars[name] = v
		}
	}
	return e
}

func (e *environment) get(parts ...string) (string, bool) {
	name := e.prefix + strings.Join(parts, "")
	name, _, _ = strings.Cut(name, "=") // where a variable's name ends
	v, ok := e.vars[name]
	return v, ok
}

// table reads the table of a name: K_TABLE lists its keys, TABLE_KEY is a
// value, T_TABLE_KEY its type, N_TABLE_KEY the key's text when that has
// characters that a variable's name cannot have. A key without value or type,
// or with an unknown type, is left out.
func (e *environment) table(name string, array bool) ([]member, error) {
	if e.depth++; e.depth > maxTables {
		return nil, errRing
	}
	defer func() { e.depth-- }()
	list, _ := e.get("K_", name)
	keys := strings.FieldsFunc(list, func(r rune) bool { return r == ' ' })
	// The original cuts the list up while it walks over it: a table that is
	// met again has its first key only.
	if e.seen[name] && len(keys) > 1 {
		keys = keys[:1]
	}
	e.seen[name] = true
	var o object
	for _, key := range keys {
		v, ok, err := e.element(name, key)
		if err != nil {
			return nil, err
		}
		switch {
		case !ok:
		case array:
			o.members = append(o.members, member{value: v})
		default:
			if real, renamed := e.get("N_", name, "_", key); renamed {
				key = real
			}
			o.set(key, v)
		}
	}
	return o.members, nil
}

// element reads one value; ok is false when the table does not have it.
func (e *environment) element(table, key string) (v value, ok bool, err error) {
	text, have := e.get(table, "_", key)
	typ, typed := e.get("T_", table, "_", key)
	if !have || !typed {
		return v, false, nil
	}
	if e.values++; e.values > maxValues {
		return v, false, errMany
	}
	switch typ {
	case "array":
		v.kind = kindArray
		v.elems, err = e.table(text, true)
	case "object":
		v.kind = kindObject
		v.elems, err = e.table(text, false)
	case "string":
		v.kind, v.str = kindString, text
	case "int":
		v.kind, v.num = kindInt, atoll(text)
	case "double":
		v.kind, v.dbl = kindDouble, strtod(text)
	case "boolean":
		v.kind = kindBool
		if int32(atoll(text)) != 0 { // atoi's width
			v.num = 1
		}
	case "null":
	default:
		return v, false, nil
	}
	return v, err == nil, err
}
