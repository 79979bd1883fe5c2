package rfc7047

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is the type of an atom (RFC 7047 section 3.2, <atomic-type>).
type Kind uint8

// The kinds. NamedUUID stands for a row that the same transaction inserts.
const (
	Integer Kind = iota + 1
	Real
	Boolean
	String
	UUID
	NamedUUID
)

var kindNames = [...]string{"?", "integer", "real", "boolean", "string", "uuid", "named-uuid"}

func (k Kind) String() string { return kindNames[int(k)%len(kindNames)] }

// Atom is one atomic value; == means equal.
type Atom struct {
	Kind Kind
	Int  int64 // Integer; Boolean: 0 or 1
	Real float64
	Str  string // String, UUID, NamedUUID
}

func (a Atom) compare(b Atom) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Int, b.Int), cmp.Compare(a.Real, b.Real), strings.Compare(a.Str, b.Str))
}

// Text is the atom for people.
func (a Atom) Text() string {
	switch a.Kind {
	case Integer:
		return strconv.FormatInt(a.Int, 10)
	case Real:
		return strconv.FormatFloat(a.Real, 'g', -1, 64)
	case Boolean:
		return strconv.FormatBool(a.Int != 0)
	}
	return a.Str
}

// Value is what a column of a row has: a set of Keys, or with IsMap a map from
// each to the one of Vals at its place. A scalar is a set of one, an optional a
// set of none or one. Keys are sorted and each is there once; the zero value
// is the empty set.
type Value struct {
	Keys, Vals []Atom
	IsMap      bool
}

// Str makes a string.
func Str(s string) Value { return Value{Keys: []Atom{{Kind: String, Str: s}}} }

// Int makes an integer.
func Int(i int64) Value { return Value{Keys: []Atom{{Kind: Integer, Int: i}}} }

// Bool makes a boolean.
func Bool(b bool) Value {
	a := Atom{Kind: Boolean}
	if b {
		a.Int = 1
	}
	return Value{Keys: []Atom{a}}
}

// Strs makes a set of strings.
func Strs(list ...string) Value { return setOf(String, list) }

// Refs makes a set of references to rows.
func Refs(uuids ...string) Value { return setOf(UUID, uuids) }

// NamedRefs makes a set of references to rows that the transaction inserts.
func NamedRefs(names ...string) Value { return setOf(NamedUUID, names) }

// Ints makes a set of integers.
func Ints(list ...int64) Value {
	var v Value
	for _, i := range list {
		v.Keys = append(v.Keys, Atom{Kind: Integer, Int: i})
	}
	v.normalize()
	return v
}

func setOf(k Kind, list []string) Value {
	var v Value
	for _, s := range list {
		v.Keys = append(v.Keys, Atom{Kind: k, Str: s})
	}
	v.normalize()
	return v
}

// Map makes a map of strings from keys and values in turn.
func Map(pairs ...string) Value {
	v := Value{IsMap: true}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.put(Atom{Kind: String, Str: pairs[i]}, Atom{Kind: String, Str: pairs[i+1]})
	}
	return v
}

// find looks a key up.
func (v *Value) find(key Atom) (int, bool) {
	return slices.BinarySearchFunc(v.Keys, key, Atom.compare)
}

// put sets a pair of a map.
func (v *Value) put(key, val Atom) {
	i, ok := v.find(key)
	if ok {
		v.Vals[i] = val
		return
	}
	v.Keys = slices.Insert(v.Keys, i, key)
	v.Vals = slices.Insert(v.Vals, i, val)
}

// normalize sorts a set and drops what is there twice.
func (v *Value) normalize() {
	slices.SortFunc(v.Keys, Atom.compare)
	v.Keys = slices.Compact(v.Keys)
}

// Equal tells whether both are the same set or map. A set is never equal to a
// map, but for two that are empty.
func (v Value) Equal(o Value) bool {
	return slices.Equal(v.Keys, o.Keys) && slices.Equal(v.Vals, o.Vals)
}

// Get looks a string key of a map up.
func (v Value) Get(key string) (string, bool) {
	i, ok := v.find(Atom{Kind: String, Str: key})
	if !ok || !v.IsMap {
		return "", false
	}
	return v.Vals[i].Str, true
}

// Has tells whether a set has the atom.
func (v Value) Has(a Atom) bool {
	_, ok := v.find(a)
	return ok
}

// Text is the value for people: alone, as [a b] or as {k=v}.
func (v Value) Text() string {
	if len(v.Keys) == 1 && !v.IsMap {
		return v.Keys[0].Text()
	}
	var list []string
	for i, k := range v.Keys {
		s := k.Text()
		if v.IsMap {
			s += "=" + v.Vals[i].Text()
		}
		list = append(list, s)
	}
	if v.IsMap {
		return "{" + strings.Join(list, " ") + "}"
	}
	return "[" + strings.Join(list, " ") + "]"
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	q, _ := json.Marshal(s) // a string cannot fail
	return append(b, q...)
}

func (a Atom) appendJSON(b []byte) []byte {
	switch a.Kind {
	case Integer:
		return strconv.AppendInt(b, a.Int, 10)
	case Real:
		return strconv.AppendFloat(b, a.Real, 'g', -1, 64)
	case Boolean:
		return strconv.AppendBool(b, a.Int != 0)
	case UUID, NamedUUID:
		b = append(b, `["`+a.Kind.String()+`",`...)
		return append(appendString(b, a.Str), ']')
	}
	return appendString(b, a.Str)
}

// AppendJSON appends the value in the notation of RFC 7047 section 5.1; a set
// of one is its atom.
func (v Value) AppendJSON(b []byte) []byte {
	if len(v.Keys) == 1 && !v.IsMap {
		return v.Keys[0].appendJSON(b)
	}
	if v.IsMap {
		b = append(b, `["map",[`...)
	} else {
		b = append(b, `["set",[`...)
	}
	for i, k := range v.Keys {
		if i > 0 {
			b = append(b, ',')
		}
		if !v.IsMap {
			b = k.appendJSON(b)
			continue
		}
		b = append(k.appendJSON(append(b, '[')), ',')
		b = append(v.Vals[i].appendJSON(b), ']')
	}
	return append(b, "]]"...)
}

// DecodeValue reads a value of a column of type t. A set of one may be written
// either way. How many elements there are is checked against the type unless
// diff says that this is a difference. Its errors wrap ErrProtocol.
func DecodeValue(raw []byte, t *Type, diff bool) (Value, error) {
	v := Value{IsMap: t.Value != nil}
	tag, list, err := tagged(raw)
	switch {
	case err != nil:
		return Value{}, err
	case tag == "map" && v.IsMap:
		err = v.decodePairs(list, t)
	case v.IsMap:
		return Value{}, protocolError("%.60q is not a map", raw)
	case tag == "set":
		for _, e := range list {
			var a Atom
			if a, err = decodeAtom(e, t.Key.Kind); err != nil {
				break
			}
			v.Keys = append(v.Keys, a)
		}
		v.normalize()
	default:
		var a Atom
		a, err = decodeAtom(raw, t.Key.Kind)
		v.Keys = []Atom{a}
	}
	if err != nil {
		return Value{}, err
	}
	if n := len(v.Keys); !diff && (n < t.Min || n > t.Max) || diff && !t.composite() && n > t.Max {
		return Value{}, protocolError("%.60q has %d elements, not %d to %d", raw, n, t.Min, t.Max)
	}
	return v, nil
}

func (v *Value) decodePairs(list []json.RawMessage, t *Type) error {
	type pair struct{ k, v Atom }
	pairs := make([]pair, 0, len(list))
	for _, e := range list {
		var kv []json.RawMessage
		if err := json.Unmarshal(e, &kv); err != nil || len(kv) != 2 {
			return protocolError("%.60q is not a pair", e)
		}
		key, err := decodeAtom(kv[0], t.Key.Kind)
		if err != nil {
			return err
		}
		val, err := decodeAtom(kv[1], t.Value.Kind)
		if err != nil {
			return err
		}
		pairs = append(pairs, pair{key, val})
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return a.k.compare(b.k) })
	for i, p := range pairs {
		if i > 0 && pairs[i-1].k == p.k {
			return protocolError("a map has the key %.60q twice", p.k.Text())
		}
		v.Keys, v.Vals = append(v.Keys, p.k), append(v.Vals, p.v)
	}
	return nil
}

// tagged splits ["set",[…]] and ["map",[…]]. Anything else has no tag.
func tagged(raw []byte) (tag string, list []json.RawMessage, err error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '[' {
		return "", nil, nil
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil || len(parts) != 2 || json.Unmarshal(parts[0], &tag) != nil {
		return "", nil, protocolError("%.60q is no value", raw)
	}
	if tag != "set" && tag != "map" {
		return tag, nil, nil
	}
	if err := json.Unmarshal(parts[1], &list); err != nil {
		return "", nil, protocolError("%.60q is no %s", raw, tag)
	}
	return tag, list, nil
}

// decodeAtom reads an atom of the kind.
func decodeAtom(raw []byte, k Kind) (Atom, error) {
	a := Atom{Kind: k}
	var err error
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0 || string(raw) == "null":
		return a, protocolError("a value of type %s is missing", k)
	case k == Integer:
		a.Int, err = decodeInt(raw)
	case k == Real:
		err = json.Unmarshal(raw, &a.Real)
	case k == Boolean:
		var b bool
		err = json.Unmarshal(raw, &b)
		a.Int = Bool(b).Keys[0].Int
	case k == String:
		err = json.Unmarshal(raw, &a.Str)
	case k == UUID:
		var pair []string
		if err = json.Unmarshal(raw, &pair); err == nil && (len(pair) != 2 || pair[0] != "uuid" || !ValidUUID(pair[1])) {
			return a, protocolError("%.60q is no UUID", raw)
		}
		if err == nil {
			a.Str = pair[1]
		}
	default:
		return a, protocolError("a value of type %d", k)
	}
	if err != nil {
		return a, protocolError("%.60q is not of type %s", raw, k)
	}
	return a, nil
}

// decodeInt reads a JSON number whose value is an integer of 64 bits; 1e3 is
// one as well.
func decodeInt(raw []byte) (int64, error) {
	if i, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return i, nil
	}
	var f float64
	if err := json.Unmarshal(raw, &f); err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, strconv.ErrRange
	}
	return int64(f), nil
}

// ValidUUID tells whether s is a UUID as the protocol writes it: 36 octets in
// lower case.
func ValidUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// ValidString tells whether a database can keep s as it is: it is UTF-8 and
// has no NUL, which ovsdb-server refuses to read.
func ValidString(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
