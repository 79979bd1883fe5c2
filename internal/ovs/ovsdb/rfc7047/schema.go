package rfc7047

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Schema is what a database can have (RFC 7047 section 3.2).
type Schema struct {
	Name, Version string
	Tables        map[string]*Table
}

// Table has the columns of a table by name.
type Table struct {
	Columns map[string]*Column
	Root    bool
}

// Column is a column of a table.
type Column struct {
	Type      Type
	Ephemeral bool // its contents may go when the server ends
	Immutable bool
}

// Type is the type of a column: Min to Max elements of type Key, or with Value
// as many pairs.
type Type struct {
	Key      Base
	Value    *Base
	Min, Max int // Max is Unlimited for no limit
}

// Unlimited is the Max of a type without one.
const Unlimited = math.MaxInt32

// Base is the type of an element, with what limits it.
type Base struct {
	Kind             Kind
	Enum             []Atom // empty: anything
	MinInt, MaxInt   int64
	MinReal, MaxReal float64
	MinLen, MaxLen   int // of a string, in characters
	RefTable         string
}

// composite tells whether a change of the column comes as a difference:
// ovsdb-server(7), "update2".
func (t *Type) composite() bool { return t.Max > 1 }

// Default is what a column has that the server does not mention.
func (t *Type) Default() Value {
	if t.Min == 0 || t.Value != nil {
		return Value{IsMap: t.Value != nil}
	}
	a := Atom{Kind: t.Key.Kind}
	if a.Kind == UUID {
		a.Str = zeroUUID
	}
	return Value{Keys: []Atom{a}}
}

const zeroUUID = "00000000-0000-0000-0000-000000000000"

// Check says why a column of this type cannot have v; nil when it can.
func (t *Type) Check(v Value) error {
	if n := len(v.Keys); n < t.Min || n > t.Max {
		return fmt.Errorf("it has %d elements, not %d to %d", n, t.Min, t.Max)
	}
	if v.IsMap != (t.Value != nil) {
		return fmt.Errorf("a set is not a map")
	}
	for _, a := range v.Keys {
		if err := t.Key.check(a); err != nil {
			return err
		}
	}
	for _, a := range v.Vals {
		if err := t.Value.check(a); err != nil {
			return err
		}
	}
	return nil
}

func (b *Base) check(a Atom) error {
	switch {
	case a.Kind != b.Kind && (a.Kind != NamedUUID || b.Kind != UUID):
		return fmt.Errorf("%s is not of type %s", a.Text(), b.Kind)
	case len(b.Enum) > 0 && !slices.Contains(b.Enum, a):
		return fmt.Errorf("%q is not one of %s", a.Text(), Value{Keys: b.Enum}.Text())
	case a.Kind == Integer && (a.Int < b.MinInt || a.Int > b.MaxInt):
		return fmt.Errorf("%d is not between %d and %d", a.Int, b.MinInt, b.MaxInt)
	case a.Kind == Real && (a.Real < b.MinReal || a.Real > b.MaxReal):
		return fmt.Errorf("%g is not between %g and %g", a.Real, b.MinReal, b.MaxReal)
	case a.Kind == String && !ValidString(a.Str):
		return fmt.Errorf("%q cannot be kept in a database: it is not UTF-8 without NUL", a.Str)
	case a.Kind == String:
		if n := utf8.RuneCountInString(a.Str); n < b.MinLen || n > b.MaxLen {
			return fmt.Errorf("%q has %d characters, not %d to %d", a.Str, n, b.MinLen, b.MaxLen)
		}
	}
	return nil
}

// ParseSchema reads the answer to get_schema. Its errors wrap ErrProtocol.
func ParseSchema(raw []byte) (*Schema, error) {
	var in struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Tables  map[string]struct {
			IsRoot  bool `json:"isRoot"`
			Columns map[string]struct {
				Type      json.RawMessage `json:"type"`
				Ephemeral bool            `json:"ephemeral"`
				Mutable   *bool           `json:"mutable"`
			} `json:"columns"`
		} `json:"tables"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, protocolError("schema: %v", err)
	}
	s := &Schema{Name: in.Name, Version: in.Version, Tables: map[string]*Table{}}
	for name, t := range in.Tables {
		table := &Table{Columns: map[string]*Column{}, Root: t.IsRoot}
		for col, c := range t.Columns {
			typ, err := parseType(c.Type)
			if err != nil {
				return nil, fmt.Errorf("schema: %s.%s: %w", name, col, err)
			}
			table.Columns[col] = &Column{Type: typ, Ephemeral: c.Ephemeral, Immutable: c.Mutable != nil && !*c.Mutable}
		}
		s.Tables[name] = table
	}
	return s, nil
}

// parseType reads a <type>: a name, or an object with key, value, min, max.
func parseType(raw json.RawMessage) (Type, error) {
	t := Type{Min: 1, Max: 1}
	if len(raw) > 0 && raw[0] == '"' {
		var err error
		t.Key, err = parseBase(raw)
		return t, err
	}
	var in struct {
		Key   json.RawMessage `json:"key"`
		Value json.RawMessage `json:"value"`
		Min   *int            `json:"min"`
		Max   json.RawMessage `json:"max"`
	}
	err := json.Unmarshal(raw, &in)
	if err != nil {
		return t, protocolError("%v", err)
	}
	if t.Key, err = parseBase(in.Key); err != nil {
		return t, err
	}
	if in.Value != nil {
		b, err := parseBase(in.Value)
		if err != nil {
			return t, err
		}
		t.Value = &b
	}
	if in.Min != nil {
		t.Min = *in.Min
	}
	switch {
	case in.Max == nil:
	case string(in.Max) == `"unlimited"`:
		t.Max = Unlimited
	case json.Unmarshal(in.Max, &t.Max) != nil:
		return t, protocolError("max is %.20q", in.Max)
	}
	if t.Min < 0 || t.Min > 1 || t.Max < 1 || t.Max > Unlimited {
		return t, protocolError("%d to %d elements", t.Min, t.Max)
	}
	return t, nil
}

// parseBase reads a <base-type>: a name, or an object with what limits it.
func parseBase(raw json.RawMessage) (Base, error) {
	b := Base{MinInt: math.MinInt64, MaxInt: math.MaxInt64, MinReal: math.Inf(-1), MaxReal: math.Inf(1), MaxLen: math.MaxInt}
	var in struct {
		Type       string          `json:"type"`
		Enum       json.RawMessage `json:"enum"`
		MinInteger *int64          `json:"minInteger"`
		MaxInteger *int64          `json:"maxInteger"`
		MinReal    *float64        `json:"minReal"`
		MaxReal    *float64        `json:"maxReal"`
		MinLength  *int            `json:"minLength"`
		MaxLength  *int            `json:"maxLength"`
		RefTable   string          `json:"refTable"`
	}
	err := json.Unmarshal(raw, &in.Type)
	if err != nil {
		err = json.Unmarshal(raw, &in)
	}
	if err != nil {
		return b, protocolError("type %.60q: %v", raw, err)
	}
	i := slices.Index(kindNames[:NamedUUID], in.Type)
	if i < int(Integer) {
		return b, protocolError("type %.60q is not known", in.Type)
	}
	b.Kind, b.RefTable = Kind(i), in.RefTable
	set(&b.MinInt, in.MinInteger)
	set(&b.MaxInt, in.MaxInteger)
	set(&b.MinReal, in.MinReal)
	set(&b.MaxReal, in.MaxReal)
	set(&b.MinLen, in.MinLength)
	set(&b.MaxLen, in.MaxLength)
	if in.Enum != nil {
		v, err := DecodeValue(in.Enum, &Type{Key: Base{Kind: b.Kind}, Max: Unlimited}, false)
		if err != nil {
			return b, err
		}
		b.Enum = v.Keys
	}
	return b, nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
