package jshn

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse: no text panics; every JSON object that the standard library reads
// is read, and means the same; the shell code has a call a line.
func FuzzParse(f *testing.F) {
	for _, v := range readVectors(f) {
		if len(v.Args) == 2 && v.Args[0] == "-r" {
			f.Add(v.Args[1])
		}
	}
	f.Add(`{'a':[1,2,],"b":-Infinity,"c":"\ud83d\ude00"} //`)
	f.Add(`{"\u0000":1e5,"a":[[{}],-0.1E-3,true,false,null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parse(text)
		if err == nil {
			checkShell(t, v)
		}
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return
		}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var want any
		if e := dec.Decode(&want); e != nil {
			return
		}
		if _, object := want.(map[string]any); !object || depthOf(want) > maxDepth {
			if err == nil {
				t.Fatalf("%q is read", text)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q is not read", text)
		}
		if !strings.Contains(text, `\u0000`) && !same(v, want) {
			t.Fatalf("%q is read as %+v", text, v)
		}
	})
}

// checkShell counts: every value is one call, every container closed by another.
func checkShell(t *testing.T, v value) {
	var count func(v value) int
	count = func(v value) (n int) {
		for _, e := range v.elems {
			n++
			if e.kind == kindArray || e.kind == kindObject {
				n += 1 + count(e.value)
			}
		}
		return n
	}
	code := shell(nil, v.elems, false)
	text, quoted, calls := string(code), false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && !quoted:
			i++
		case text[i] == '\'':
			quoted = !quoted
		case text[i] == '\n' && !quoted:
			calls++
		case !quoted && strings.IndexByte("$`(|&<>", text[i]) >= 0:
			t.Fatalf("%q outside quotes in %q", text[i], code)
		}
	}
	if quoted || calls != count(v) {
		t.Fatalf("%d calls, want %d (in quotes: %v):\n%s", calls, count(v), quoted, code)
	}
}

func depthOf(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, depthOf(e))
		}
	case []any:
		for _, e := range v {
			deepest = max(deepest, depthOf(e))
		}
	}
	return deepest + 1
}

func same(v value, want any) bool {
	switch w := want.(type) {
	case nil:
		return v.kind == kindNull
	case bool:
		return v.kind == kindBool && (v.num == 1) == w
	case string:
		return v.kind == kindString && v.str == w
	case json.Number:
		if strings.ContainsAny(string(w), ".eE") {
			f, _ := strconv.ParseFloat(string(w), 64)
			return v.kind == kindDouble && v.dbl == f
		}
		n, _ := strconv.ParseInt(string(w), 10, 64)
		return v.kind == kindInt && v.num == n
	case []any:
		if v.kind != kindArray || len(v.elems) != len(w) {
			return false
		}
		for i := range w {
			if !same(v.elems[i].value, w[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		if v.kind != kindObject || len(v.elems) != len(w) {
			return false
		}
		for _, e := range v.elems {
			x, ok := w[e.key]
			if !ok || !same(e.value, x) {
				return false
			}
		}
		return true
	}
	return false
}

// FuzzEnvironment: no environment panics or runs away; what is written is JSON,
// in both forms, and reads back as what was written.
func FuzzEnvironment(f *testing.F) {
	for _, v := range readVectors(f) {
		var environ []string
		for k, x := range v.Env {
			environ = append(environ, k+"="+x)
		}
		f.Add(strings.Join(environ, "\x00"))
	}
	f.Add("K_J_V=a b\x00J_V_a=J_V\x00T_J_V_a=object\x00J_V_b=0x1p3\x00T_J_V_b=double")
	f.Fuzz(func(t *testing.T, s string) {
		environ := strings.Split(s, "\x00")
		root := value{kind: kindObject}
		var err error
		if root.elems, err = newEnvironment(environ, "").table("J_V", false); err != nil {
			if !errors.Is(err, errRing) && !errors.Is(err, errMany) {
				t.Fatal(err)
			}
			return
		}
		plain := style{}.format(nil, &root, 0)
		finite := finiteDoubles(&root)
		if finite && !json.Valid(plain) {
			t.Fatalf("no JSON: %q", plain)
		}
		if pretty := (style{indent: true}).format(nil, &root, 0); finite && !json.Valid(pretty) {
			t.Fatalf("no JSON: %q", pretty)
		}
		if nesting(&root) > maxDepth {
			return
		}
		again, err := parse(string(plain))
		if err != nil {
			t.Fatalf("%q is not read back", plain)
		}
		if b := (style{}).format(nil, &again, 0); !bytes.Equal(b, plain) {
			t.Fatalf("%q is read back as %q", plain, b)
		}
		for _, args := range [][]string{{"-w"}, {"-i", "-n", "-w"}, {"-p", "K_", "-w"}} {
			if rc := Main("jshn", args, environ, io.Discard, io.Discard); rc != exitOK && rc != exitFailed {
				t.Fatalf("%q: exit code %d", args, rc)
			}
		}
	})
}

func finiteDoubles(v *value) bool {
	if v.kind == kindDouble && (math.IsInf(v.dbl, 0) || math.IsNaN(v.dbl)) {
		return false
	}
	for i := range v.elems {
		if !finiteDoubles(&v.elems[i].value) {
			return false
		}
	}
	return true
}
