package shelllib

import (
	"encoding/json"
	"strings"
	"testing"

	"netbraid/internal/recorded"
)

const sourceJSON = `. "$LIB/usr/share/libubox/jshn.sh"` + "\n"

// TestRecordedJSON holds what scripts around the real jshn.sh were recorded to
// do.
func TestRecordedJSON(t *testing.T) {
	type vector struct {
		Name, Script, Stdout, Stderr string
		RC                           int
	}
	count := 0
	for _, v := range recorded.Values[vector](t, "testdata/jshn-sh-vectors.jsonl") {
		count++
		t.Run(v.Name, func(t *testing.T) {
			eachShell(t, func(t *testing.T, w *world) {
				w.run(t, sourceJSON+v.Script).want(t, v.Stdout, v.Stderr, v.RC)
			})
		})
	}
	if count != 7 {
		t.Errorf("%d vectors", count)
	}
}

// TestJSON is what the recordings leave open.
func TestJSON(t *testing.T) {
	for _, c := range []struct{ name, script, stdout, stderr string }{
		{"nothing yet", `json_dump; json_get_var v a; echo "[$v] $?"; json_get_keys k; echo "[$k] $?"`, "{ }\n[] 1\n[] 0\n", ""},
		{"init forgets", `json_load '{"a":{"b":[1]}}'; json_init; json_dump; json_add_object a; json_dump; set | grep -c J_T`,
			"{ }\n{ \"a\": { } }\n5\n", ""},
		{"cleanup leaves no variable", `json_load '{"a":{"b":[1,{"c-d":null}]},"x y":2}'; json_cleanup; set | grep J_ ; set | grep ^JSON_; :`, "", ""},
		{"a bad text changes nothing", `json_load '{"a":1}'; json_load '{'; echo $?; json_get_var v a; echo $v`, "0\n1\n", "Failed to parse message data\n"},
		{"excess close stays at the root", `json_init; json_close_object; json_close_array; json_add_int a 1; json_dump`, "{ \"a\": 1 }\n", ""},
		{"odd keys", `json_init; json_add_string 'a.b-c é"' v; json_get_var v 'a.b-c é"'; echo "$v"; json_dump`, "v\n{ \"a.b-c é\\\"\": \"v\" }\n", ""},
		{"one variable, another key", `json_init; json_add_int a-b 1; json_add_int a_b 2; json_dump`, "{ \"a_b\": 2 }\n", ""},
		{"again the same key", `json_init; json_add_int a 1; json_add_int b 2; json_add_string a x; json_dump`, "{ \"a\": \"x\", \"b\": 2 }\n", ""},
		{"a table gives way to a value", `json_init; json_add_object a; json_add_int x 1; json_close_object; json_add_int a 1; json_add_object a; json_close_object; json_dump; json_cleanup; set | grep J_; :`, "{ \"a\": { } }\n", ""},
		{"values are no code", `json_init; json_add_string s '$(echo x) "'"'"'` + "`echo y`" + `\n'; json_get_var v s; printf '%s\n' "$v"; json_dump`,
			"$(echo x) \"'`echo y`\\n\n{ \"s\": \"$(echo x) \\\"'`echo y`\\\\n\" }\n", ""},
		{"push", `json_init; json_add_array l; json_push_string 'a b'; json_push_int 1; json_push_boolean 1; json_push_double 1.5; json_push_null; json_close_array; json_dump`,
			"{ \"l\": [ \"a b\", 1, true, 1.5, null ] }\n", ""},
		{"fields", `json_init; json_add_fields a=1 b:int=2 c:boolean=1 d:double=2.5 e f:string=x:y=z; json_dump`,
			"{ \"a\": \"1\", \"b\": 2, \"c\": true, \"d\": 2.5, \"e\": \"\", \"f\": \"x:y=z\" }\n", ""},
		{"a field of no type", `json_init; json_add_fields a:blob=1 b=2; echo $?; json_dump`, "1\n{ \"b\": \"2\" }\n", "WARNING: 'blob' is no type of a field\n"},
		{"default for empty", `json_load '{"e":""}'; json_get_var v e d; echo "$v $?"; json_get_var v e; echo "[$v] $?"; json_get_vars e:z; echo "$e"`, "d 0\n[] 0\nz\n", ""},
		{"vars with defaults", `json_load '{"a":1}'; json_get_vars a b:x:y c; echo "$? $a $b [$c]"; json_get_vars c a; echo $?; json_get_vars; echo $?`, "1 1 x:y []\n0\n0\n", ""},
		{"select", `json_load '{"a":{"b":[{"c":1},{"c":2}]},"s":"x"}'; json_select a; json_select b; json_select 2; json_get_var v c; echo $v; json_get_index i; echo $i; json_select ..; json_select ..; json_select ..; json_select ..; json_get_var v s; echo $v; json_select s; echo $?; _json_no_warning=1; json_select nope; echo $?; json_get_var v s; echo $v; json_select a; json_select ''; json_is_a s string && echo root`,
			"2\n2\nx\n1\n1\nx\nroot\n", "WARNING: Variable 's' does not exist or is not an array/object\n"},
		{"types", `json_load '{"o":{},"a":[],"s":"","i":1,"b":true,"d":1.5,"n":null}'; for k in o a s i b d n; do json_get_type v $k; printf '%s ' "$v"; done`, "object array string int boolean double null ", ""},
		{"keys and values of none", `json_load '{"s":"x","o":{"p":"1","q":"2 3"},"e":[]}'; k=x; json_get_keys k s; echo "[$k] $?"; v=x; json_get_values v none; echo "[$v] $?"; json_get_values v o; echo "[$v] $?"; json_get_keys k e; echo "[$k] $?"; json_select o; json_get_values v; echo "[$v]"`,
			"[] 1\n[] 1\n[1 2 3] 0\n[] 0\n[1 2 3]\n", ""},
		{"each item", `json_load '{"l":[{"a":1},{"a":2}],"e":[]}'; f() { json_select "$2"; json_get_var v a; echo "$3 $v"; json_for_each_item g a; json_select ..; }; g() { echo "g $1"; }; json_for_each_item f l 'x y'; json_for_each_item g e; json_for_each_item g none; json_for_each_item "echo with" l | sed s/J_T.//; json_is_a l array && echo back`,
			"x y 1\ng 1\nx y 2\ng 2\nwith  1\nwith  2\nback\n", ""},
		{"an IFS of the script's own", `IFS=_1; json_load '{"a_1":{"b":[1,2]},"c":3}'; json_get_var v c; echo "$v"; json_dump; json_init; json_dump; set | grep -c J_T1; IFS=`, "3\n{ \"a_1\": { \"b\": [ 1, 2 ] }, \"c\": 3 }\n{ }\n0\n", ""},
		{"a namespace that is no name", `json_set_namespace 'a;b' old; echo $?; json_add_int a 1; json_dump`, "1\n{ \"a\": 1 }\n", "WARNING: 'a;b' cannot be a namespace\n"},
		{"namespaces nest", `json_load '{"a":1}'; json_set_namespace n1 o1; json_load '{"b":{"c":[2]}}'; json_set_namespace n2 o2; json_load '{"z":0}'; json_cleanup; json_set_namespace "$o2"; json_dump; json_cleanup; json_set_namespace "$o1"; json_dump`, "{ \"b\": { \"c\": [ 2 ] } }\n{ \"a\": 1 }\n", ""},
		{"from a file", `printf '{"a":[true]}' >f; json_load_file f; json_dump; json_load_file none; echo $?; json_dump`, "{ \"a\": [ true ] }\n0\n{ \"a\": [ true ] }\n", "Error opening none\n"},
		{"strict shell", `set -eu; json_init; json_add_object a; json_add_array b; json_push_int 1; json_close_array; json_close_object; json_get_keys k; json_select a; json_get_values v b; json_select; json_get_var w none d; json_set_namespace x o; json_init; json_cleanup; echo "$k $v $w"; json_set_namespace "$o"; json_dump`, "a 1 d\n{ \"a\": { \"b\": [ 1 ] } }\n", ""},
		{"by name", `_set_var x 'a b'; _get_var y x; _get_var z none d; _json_set_var q 1; _json_get_var w q; echo "$y $z $w"`, "a b d 1\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(t *testing.T, w *world) {
				r := w.run(t, sourceJSON+c.script)
				r.rc = 0
				r.want(t, c.stdout, c.stderr, 0)
			})
		})
	}
}

// TestLargeJSON: the text is longer than an argument may be.
func TestLargeJSON(t *testing.T) {
	eachShell(t, func(t *testing.T, w *world) {
		big := strings.Repeat("x", 200_000)
		w.write(t, "big", `{"a":"`+big+`","b":"$HOME `+"`"+`\\"}`)
		r := w.run(t, sourceJSON+`json_load "$(cat big)"; json_get_var v a; echo ${#v}; json_get_var v b; printf '%s\n' "$v"`)
		r.want(t, "200000\n$HOME `\\\n", "", 0)
	})
}

// FuzzString: any string goes through variables and both commands unchanged.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", "it's", "'\\''", "a\nb\n", "$(id) `id`", "\\", "é\x01\t", "'; echo x; '", "-n", "*", " a  b "} {
		f.Add(s)
	}
	w := newWorld(f, shells["dash"])
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(map[string]string{"k": s})
		if err != nil || strings.ContainsAny(s, "\x00\ufffd") || len(s) > 10_000 {
			t.Skip()
		}
		r := w.run(t, sourceJSON+`json_load "$1"; json_get_var v k; json_init; json_add_string k "$v"; json_dump; printf '%s|' "$v"`, string(text))
		dumped, value, ok := strings.Cut(r.stdout, "\n")
		if !ok || r.rc != 0 || r.stderr != "" || value != s+"|" {
			t.Fatalf("%q: %+v", s, r)
		}
		var back map[string]string
		if err := json.Unmarshal([]byte(dumped), &back); err != nil || back["k"] != s {
			t.Fatalf("%q: %s: %v", s, dumped, err)
		}
	})
}
