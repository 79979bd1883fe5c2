package proto

import (
	"cmp"
	"slices"
)

// Field is one named value of a message: string, int64, bool, float64, nil,
// []any or []Field.
type Field struct {
	Name  string
	Value any
}

// Notify is a message of a handler (netifd's notify_proto).
type Notify struct {
	Fields []Field // in the order in which they came, action among them
}

// lookup finds a value by name; the first one counts.
func lookup(fields []Field, name string) (any, bool) {
	for i := range fields {
		if fields[i].Name == name {
			return fields[i].Value, true
		}
	}
	return nil, false
}

// get finds a value of a type; one of another type counts as not there.
func get[T any](fields []Field, name string) (v T, ok bool) {
	x, _ := lookup(fields, name)
	v, ok = x.(T)
	return v, ok
}

// sameFields compares two tables, their order too.
func sameFields(a, b []Field) bool {
	return slices.EqualFunc(a, b, func(x, y Field) bool { return x.Name == y.Name && sameValue(x.Value, y.Value) })
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case []Field:
		b, ok := b.([]Field)
		return ok && sameFields(a, b)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameValue)
	}
	switch b.(type) {
	case []Field, []any:
		return false // not comparable
	}
	return a == b
}

// mergeFields puts the fields of next over those of old, sorted by name.
func mergeFields(old, next []Field) []Field {
	var out []Field
	for _, list := range [][]Field{next, old} {
		for _, f := range list {
			if _, there := lookup(out, f.Name); !there {
				out = append(out, f)
			}
		}
	}
	slices.SortFunc(out, func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// boolOf takes what handlers give for yes and no: a bool or a number.
func boolOf(v any) (on, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case int64:
		return v != 0, true
	}
	return false, false
}
