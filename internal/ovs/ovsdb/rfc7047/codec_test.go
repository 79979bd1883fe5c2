package rfc7047

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSplitterLimits(t *testing.T) {
	for _, c := range []struct {
		name, in string
		max      int
		want     string
	}{
		{"not an object", `  x`, 0, `begins with 'x'`},
		{"an array", `[1]`, 0, `begins with '['`},
		{"nested", strings.Repeat(`{"a":[`, 100), 0, "nested deeper"},
		{"long, unfinished", `{"a":"` + strings.Repeat("x", 100), 50, "longer than 50"},
		{"long, whole", `{"a":"` + strings.Repeat("x", 100) + `"}`, 50, "longer than 50"},
		{"as long as may be", `{"a":"` + strings.Repeat("]", 42) + `"}`, 50, ""},
	} {
		s := Splitter{Max: c.max}
		s.Feed([]byte(c.in))
		_, err := s.Next()
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

const someUUID = "9476693d-263f-44fd-a0bb-d6b5132cfc05"

var values = []struct {
	name string
	t    Type
	v    Value
	text string
}{
	{"string", Type{Key: Base{Kind: String}, Min: 1, Max: 1}, Str("a\"\\ü\n<"), `"a\"\\ü\n\u003c"`},
	{"integer", Type{Key: Base{Kind: Integer}, Min: 1, Max: 1}, Int(-9223372036854775808), `-9223372036854775808`},
	{"real", Type{Key: Base{Kind: Real}, Min: 1, Max: 1}, Value{Keys: []Atom{{Kind: Real, Real: 0.5}}}, `0.5`},
	{"boolean", Type{Key: Base{Kind: Boolean}, Min: 1, Max: 1}, Bool(true), `true`},
	{"empty optional", Type{Key: Base{Kind: String}, Max: 1}, Value{}, `["set",[]]`},
	{"set", Type{Key: Base{Kind: Integer}, Max: Unlimited}, Ints(30, 10, 20, 10), `["set",[10,20,30]]`},
	{"references", Type{Key: Base{Kind: UUID}, Max: Unlimited}, Refs(someUUID, zeroUUID), `["set",[["uuid","` + zeroUUID + `"],["uuid","` + someUUID + `"]]]`},
	{"one reference", Type{Key: Base{Kind: UUID}, Max: Unlimited}, Refs(someUUID), `["uuid","` + someUUID + `"]`},
	{"map", Type{Key: Base{Kind: String}, Value: &Base{Kind: String}, Max: Unlimited}, Map("b", "1", "a", "2", "b", "3"), `["map",[["a","2"],["b","3"]]]`},
	{"empty map", Type{Key: Base{Kind: String}, Value: &Base{Kind: Integer}, Max: Unlimited}, Map(), `["map",[]]`},
}

func TestValues(t *testing.T) {
	for _, c := range values {
		if got := string(c.v.AppendJSON(nil)); got != c.text {
			t.Errorf("%s: %s, want %s", c.name, got, c.text)
		}
		if got, err := DecodeValue([]byte(c.text), &c.t, false); err != nil || !got.Equal(c.v) {
			t.Errorf("%s: decoded %s, %v", c.name, got.Text(), err)
		}
	}
	one := Type{Key: Base{Kind: Integer}, Max: 1}
	for _, text := range []string{`7`, `["set",[7]]`, ` [ "set" , [ 7 ] ] `, `7.0`, `0.7e1`} {
		if v, err := DecodeValue([]byte(text), &one, false); err != nil || !v.Equal(Int(7)) {
			t.Errorf("%s: %s, %v", text, v.Text(), err)
		}
	}
	for _, c := range []struct {
		t    Type
		text string
	}{
		{one, `["set",[1,2]]`}, {one, `"1"`}, {one, `1.5`}, {one, `1e300`}, {one, `null`}, {one, ``}, {one, `["map",[]]`},
		{one, `["set"]`}, {one, `["set",[null]]`}, {one, `[`},
		{Type{Key: Base{Kind: UUID}, Min: 1, Max: 1}, `["uuid","x"]`},
		{Type{Key: Base{Kind: UUID}, Min: 1, Max: 1}, `["named-uuid","x"]`},
		{Type{Key: Base{Kind: String}, Min: 1, Max: 1}, `["set",[]]`},
		{values[8].t, `["map",[["a","1"],["a","2"]]]`}, {values[8].t, `["map",[["a"]]]`}, {values[8].t, `["set",[]]`},
	} {
		if v, err := DecodeValue([]byte(c.text), &c.t, false); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %s, %v: not refused", c.text, v.Text(), err)
		}
	}
}

// tiny is a schema with a column of each sort.
func tiny(t testing.TB) *Schema {
	s, err := ParseSchema([]byte(`{"name":"D","version":"1.0.0","tables":{"T":{"columns":{
		"set":{"type":{"key":"integer","min":0,"max":"unlimited"}},
		"map":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
		"opt":{"type":{"key":"string","min":0}},
		"num":{"type":"integer"}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tinyReplica(t testing.TB) *Replica {
	return NewReplica(tiny(t), map[string][]string{"T": {"set", "map", "opt", "num", "later"}, "U": {"x"}})
}

func TestUpdate2(t *testing.T) {
	r := tinyReplica(t)
	if r.Has("T", "later") || r.Has("U", "x") || !r.Has("T", "opt") {
		t.Error("the replica has columns that the schema does not")
	}
	if got := string(r.AppendMonitor(nil, "m")); got != `["D","m",{"T":[{"columns":["map","num","opt","set"]}]}]` {
		t.Errorf("monitor request %s", got)
	}
	step := func(change, want string) {
		t.Helper()
		err := r.Update2(fmt.Appendf(nil, `["m",{"T":{"%s":%s}}]`, someUUID, change), "m")
		row, there := r.Table("T")[someUUID]
		got := fmt.Sprintf("%s %s %s %s", row["set"].Text(), row["map"].Text(), row["opt"].Text(), row["num"].Text())
		if !there {
			got = "gone"
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", change, got, err, want)
		}
	}
	step(`{"insert":{"num":7}}`, "[] [] [] 7")
	step(`{"modify":{"set":["set",[1,2,3]],"map":["map",[["a","1"],["b","2"]]],"opt":"x"}}`, "[1 2 3] {a=1 b=2} x 7")
	step(`{"modify":{"set":["set",[0,2,4]],"map":["map",[["a","9"],["b","2"],["c","3"]]],"opt":"y","num":8}}`, "[0 1 3 4] {a=9 c=3} y 8")
	step(`{"modify":{"set":4,"opt":["set",[]]}}`, "[0 1 3] {a=9 c=3} [] 8")
	step(`{"delete":null}`, "gone")
	for _, bad := range []string{
		`["m",{"T":{"` + someUUID + `":{"modify":{}}}}]`, `["m",{"T":{"` + someUUID + `":{"delete":null}}}]`,
		`["m",{"U":{}}]`, `["n",{}]`, `[]`, `null`, `["m",{"T":{"x":{"insert":{}}}}]`, `["m",{"T":{"` + someUUID + `":{"frob":{}}}}]`,
		`["m",{"T":{"` + someUUID + `":{}}}]`, `["m",{"T":{"` + someUUID + `":{"insert":{"frob":1}}}}]`, `["m",{"T":{"` + someUUID + `":{"insert":7}}}]`,
	} {
		if err := r.Update2([]byte(bad), "m"); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v: not refused", bad, err)
		}
	}
}

func TestResults(t *testing.T) {
	s := tiny(t)
	ops := []Op{Insert("T", "a"), Select("T", nil, "num")}
	for _, c := range []struct{ in, want string }{
		{`[{"uuid":["uuid","` + someUUID + `"]},{"rows":[{"num":1}]}]`, ""},
		{`[{"uuid":["uuid","` + someUUID + `"]},{"rows":[{"frob":1}]}]`, "not in the schema"},
		{`[{},null]`, "was not done"},
		{`[{}]`, "1 answers to 2"},
		{`[{},{},{},{}]`, "4 answers to 2"},
		{`[{},{},{}]`, "3 answers to 2"},
		{`{}`, "answer to a transaction"},
		{`[{"uuid":7},{}]`, "no"},
		{`[{},{"error":"timed out","details":"x"},null]`, "select T: timed out: x"},
		{`[{"error":"aborted"},null]`, "insert T (a): aborted"},
		{`[{},{},{"error":"constraint violation","details":"y"}]`, "commit: constraint violation: y"},
	} {
		_, err := DecodeResults([]byte(c.in), ops, s)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		}
	}
}
