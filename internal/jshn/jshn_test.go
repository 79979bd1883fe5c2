package jshn

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netbraid/internal/recorded"
)

// vector is one recorded run of jshn, or of a script that uses its library.
type vector struct {
	Name      string
	Args      []string
	Env       map[string]string
	Files     map[string]string
	Script    string
	Stdout    string
	Stderr    string
	RC        int
	FileAfter *string `json:"file_after"`
}

func readVectors(t testing.TB) []vector {
	return recorded.Values[vector](t, "testdata/jshn-vectors.jsonl")
}

func run(args []string, env map[string]string) (stdout, stderr string, rc int) {
	var environ []string
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	var o, e bytes.Buffer
	rc = Main("jshn", args, environ, &o, &e)
	return o.String(), e.String(), rc
}

// TestVectors holds every recorded run of the command. Those of scripts are
// held where the shell library is.
func TestVectors(t *testing.T) {
	ran := 0
	for _, v := range readVectors(t) {
		if v.Script != "" {
			continue
		}
		ran++
		dir := t.TempDir()
		here := strings.NewReplacer("/tmp/jt/", dir+"/")
		for name, text := range v.Files {
			if err := os.WriteFile(here.Replace(name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var args []string
		for _, a := range v.Args {
			args = append(args, here.Replace(a))
		}
		stdout, stderr, rc := run(args, v.Env)
		if stdout != v.Stdout || stderr != here.Replace(v.Stderr) || rc != v.RC {
			t.Errorf("%s: %q:\n got %q %q %d\nwant %q %q %d", v.Name, v.Args, stdout, stderr, rc, v.Stdout, v.Stderr, v.RC)
		}
		if v.FileAfter != nil {
			if b, err := os.ReadFile(args[len(args)-1]); err != nil || string(b) != *v.FileAfter {
				t.Errorf("%s: the file has %q (%v), want %q", v.Name, b, err, *v.FileAfter)
			}
		}
	}
	if ran < 31 {
		t.Errorf("only %d vectors ran", ran)
	}
}

// TestRead is what json-c accepts, and what it does not.
func TestRead(t *testing.T) {
	nested := func(n int, inner string) string {
		return `{"a":` + strings.Repeat("[", n) + inner + strings.Repeat("]", n) + "}"
	}
	for _, c := range []struct{ in, want string }{
		{`{"a":9999999999999999999,"b":-9999999999999999999,"c":007,"d":-0}`,
			"json_add_int 'a' 9223372036854775807;\njson_add_int 'b' -9223372036854775808;\njson_add_int 'c' 7;\njson_add_int 'd' 0;\n"},
		{`{"a":1.,"b":1e,"c":1e+,"d":-.5,"e":1E2,"f":1e999}`,
			"json_add_double 'a' 1.000000;\njson_add_double 'b' 1.000000;\njson_add_double 'c' 1.000000;\njson_add_double 'd' -0.500000;\njson_add_double 'e' 100.000000;\njson_add_double 'f' inf;\n"},
		{`{"a":NaN,"b":Infinity,"c":-Infinity,"d":TRUE,"e":False,"f":NULL}`,
			"json_add_double 'a' nan;\njson_add_double 'b' inf;\njson_add_double 'c' -inf;\njson_add_boolean 'd' 1;\njson_add_boolean 'e' 0;\njson_add_null 'f';\n"},
		{"{'a' // c\n: /**/ [1,2,],}", "json_add_array 'a';\njson_add_int '0' 1;\njson_add_int '1' 2;\njson_close_array;\n"},
		{`{"a":"\ud83d\ude00\ud83dx\ude00\ud83d\u0041"}`, "json_add_string 'a' '😀\ufffdx\ufffd\ufffdA';\n"},
		{"{\"a\":\"\xff\x01\"} trailing", "json_add_string 'a' '\xff\x01';\n"},
		{"{\"a\":1}\x00{", "json_add_int 'a' 1;\n"},
		{`{"a\u0000b":1,"a":2}`, "json_add_int 'a' 2;\n"},
		{`{"Az09_":1}`, "json_add_int 'Az09_' 1;\n"},
		{nested(31, ""), "json_add_array 'a';\n" + strings.Repeat("json_add_array '0';\n", 30) + strings.Repeat("json_close_array;\n", 31)},
		{nested(30, "5"), "json_add_array 'a';\n" + strings.Repeat("json_add_array '0';\n", 29) + "json_add_int '0' 5;\n" + strings.Repeat("json_close_array;\n", 30)},
		{nested(31, "5"), ""},
		{nested(32, ""), ""},
		{strings.Repeat("[", 1<<20), ""},
		{`{"a":1,,}`, ""}, {`{,}`, ""}, {`{"a":[,]}`, ""}, {`{"a":[1 2]}`, ""}, {`{"a" 1}`, ""}, {`{a:1}`, ""},
		{`{"a":-}`, ""}, {`{"a":+1}`, ""}, {`{"a":.5}`, ""}, {`{"a":1-2}`, ""}, {`{"a":1.2.3}`, ""}, {`{"a":0x10}`, ""},
		{`{"a":"\x"}`, ""}, {`{"a":"\'"}`, ""}, {`{"a":"\u12g4"}`, ""}, {`{"a":"\u+123"}`, ""}, {`{"a":"x`, ""},
		{`{"a":nul}`, ""}, {`{"a":truex}`, ""}, {`{/`, ""}, {`{/* x`, ""}, {`{"a":/`, ""}, {`{"a":1`, ""}, {`{"a":1,`, ""},
		{"\ufeff{}", ""},
	} {
		stdout, stderr, rc := run([]string{"-r", c.in}, nil)
		switch {
		case c.want == "" && (stdout != "" || stderr != "Failed to parse message data\n" || rc != 1):
			t.Errorf("%.60q is accepted: %q %q %d", c.in, stdout, stderr, rc)
		case c.want != "" && (stdout != "json_init;\n"+c.want || stderr != "" || rc != 0):
			t.Errorf("%.60q: %q %q %d, want\n%q", c.in, stdout, stderr, rc, c.want)
		}
	}
}

// TestManyKeys: the index of a big object keeps order and replaces duplicates.
func TestManyKeys(t *testing.T) {
	var in, want strings.Builder
	in.WriteString("{")
	want.WriteString("json_init;\n")
	for i := range 100 {
		fmt.Fprintf(&in, `"k%d":%d,`, i, i)
		v := i
		if i >= 50 {
			v += 1000
		}
		fmt.Fprintf(&want, "json_add_int 'k%d' %d;\n", i, v)
	}
	for i := 50; i < 100; i++ {
		fmt.Fprintf(&in, `"k%d":%d,`, i, i+1000)
	}
	in.WriteString("}")
	if stdout, _, _ := run([]string{"-r", in.String()}, nil); stdout != want.String() {
		t.Errorf("%s", stdout)
	}
}

func TestNumbers(t *testing.T) {
	for in, want := range map[string]int64{
		"": 0, "x": 0, " \t-12abc": -12, "+7": 7, "--1": 0, "-": 0,
		"99999999999999999999": math.MaxInt64, "-99999999999999999999": math.MinInt64, "0x10": 0,
	} {
		if got := atoll(in); got != want {
			t.Errorf("atoll(%q) = %d, want %d", in, got, want)
		}
	}
	for in, want := range map[string]float64{
		"": 0, "x": 0, " 1.5x": 1.5, "-.5": -.5, "5.": 5, ".": 0, "1e": 1, "1e+": 1, "1e-2z": .01, "+3": 3, "1.2.3": 1.2,
		"0x10": 16, "0x1.8p1": 3, "0x": 0, "0x.p1": 0, "-0x2p-1": -1, "0x1p": 1, "1e999": math.Inf(1), "-infinity": math.Inf(-1), "INF": math.Inf(1), "1_0": 1,
	} {
		if got := strtod(in); got != want {
			t.Errorf("strtod(%q) = %v, want %v", in, got, want)
		}
	}
	if !math.IsNaN(strtod("-nan(1)")) {
		t.Error("strtod(nan)")
	}
	for want, in := range map[string]float64{
		"1.0": 1, "-0.0": math.Copysign(0, -1), "1e+20": 1e20, "10000000000000000.0": 1e16, "0.0001": 1e-4, "1.0000000000000001e-05": 1e-5,
		"0.29999999999999999": 0.3, "NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1), "5e-324": 5e-324,
	} {
		if want == "5e-324" {
			want = "4.9406564584124654e-324"
		}
		if got := string(appendDouble(nil, in)); got != want {
			t.Errorf("%v is written %s, want %s", in, got, want)
		}
	}
}

// TestDump are the environments that the shell library does not make.
func TestDump(t *testing.T) {
	for _, c := range []struct {
		name         string
		args         string
		env          map[string]string
		want, stderr string
		rc           int
	}{
		{"no value, no type, odd type", "-w", map[string]string{"K_J_V": " a  b c d ", "J_V_a": "1", "T_J_V_b": "int", "J_V_c": "1", "T_J_V_c": "Int", "J_V_d": "x", "T_J_V_d": "string"}, `{ "d": "x" }`, "", 0},
		{"key twice", "-w", map[string]string{"K_J_V": "a b a", "J_V_a": "1", "T_J_V_a": "int", "J_V_b": "", "T_J_V_b": "null"}, `{ "a": 1, "b": null }`, "", 0},
		{"renamed to one key", "-w", map[string]string{"K_J_V": "a b", "J_V_a": "1", "T_J_V_a": "int", "J_V_b": "2", "T_J_V_b": "int", "N_J_V_b": "a"}, `{ "a": 2 }`, "", 0},
		{"a table twice", "-w", map[string]string{"K_J_V": "a b", "J_V_a": "T", "T_J_V_a": "object", "J_V_b": "T", "T_J_V_b": "object",
			"K_T": "x y", "T_x": "1", "T_T_x": "int", "T_y": "2", "T_T_y": "int"}, `{ "a": { "x": 1, "y": 2 }, "b": { "x": 1 } }`, "", 0},
		{"empty containers, pretty", "-i -w", map[string]string{"K_J_V": "a", "J_V_a": "T", "T_J_V_a": "array"}, "{\n\t\"a\": [\n\t\t\n\t]\n}", "", 0},
		{"a ring", "-w", map[string]string{"K_J_V": "a", "J_V_a": "J_V", "T_J_V_a": "object"}, "", "jshn: the variables nest too deep, or in a ring\n", 1},
		{"control characters", "-w", map[string]string{"K_J_V": "a", "J_V_a": "\x01\x1f\x7f\b\f\r\xff", "T_J_V_a": "string"}, "{ \"a\": \"\\u0001\\u001f\x7f\\b\\f\\r\xff\" }", "", 0},
		{"infinity", "-w", map[string]string{"K_J_V": "a", "J_V_a": "inf", "T_J_V_a": "double"}, `{ "a": Infinity }`, "", 0},
		{"boolean of 2^32", "-w", map[string]string{"K_J_V": "a", "J_V_a": "4294967296", "T_J_V_a": "boolean"}, `{ "a": false }`, "", 0},
		{"an argument that is no option", "x -n -w", nil, "{ }", "", 0},
	} {
		stdout, stderr, rc := run(strings.Fields(c.args), c.env)
		if strings.TrimSuffix(stdout, "\n") != c.want || stderr != c.stderr || rc != c.rc {
			t.Errorf("%s: %q %q %d, want %q %q %d", c.name, stdout, stderr, rc, c.want, c.stderr, c.rc)
		}
	}
}

// TestDeep: what the pretty printer of the original cannot read, it refuses.
func TestDeep(t *testing.T) {
	env := map[string]string{"K_J_V": "a", "J_V_a": "T0", "T_J_V_a": "array"}
	for i := range 40 {
		name := fmt.Sprintf("T%d", i)
		env["K_"+name], env[name+"_1"], env["T_"+name+"_1"] = "1", fmt.Sprintf("T%d", i+1), "array"
	}
	if _, stderr, rc := run([]string{"-i", "-w"}, env); rc != 255 || stderr == "" {
		t.Errorf("%q, exit code %d", stderr, rc)
	}
	if out, _, rc := run([]string{"-w"}, env); rc != 0 || strings.Count(out, "[") != 41 {
		t.Errorf("%q, exit code %d", out, rc)
	}
}

// TestManyValues: tables that name each other cannot make output without end.
func TestManyValues(t *testing.T) {
	env := map[string]string{}
	var keys []string
	for i := range 3000 {
		k := fmt.Sprint("k", i)
		keys = append(keys, k)
		env["J_V_"+k], env["T_J_V_"+k] = "T0", "object"
	}
	env["K_J_V"] = strings.Join(keys, " ")
	for i := range 900 {
		name := fmt.Sprint("T", i)
		env["K_"+name], env[name+"_x"], env["T_"+name+"_x"] = "x", fmt.Sprint("T", i+1), "object"
	}
	if out, stderr, rc := run([]string{"-w"}, env); rc != 1 || stderr != "jshn: the variables make too many values\n" {
		t.Errorf("%d bytes, %q, exit code %d", len(out), stderr, rc)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("{\"a\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, rc := run([]string{"-R", path}, nil); rc != 0 || out != "json_init;\njson_add_int 'a' 1;\n" {
		t.Errorf("%q %d", out, rc)
	}
	if _, stderr, rc := run([]string{"-R", dir}, nil); rc != 3 || stderr != "Error reading "+dir+"\n" {
		t.Errorf("a folder: %q %d", stderr, rc)
	}
	if _, stderr, rc := run([]string{"-R", "/dev/zero"}, nil); rc != 1 || stderr != "Failed to parse message data\n" {
		t.Errorf("a device: %q %d", stderr, rc)
	}
	if _, stderr, rc := run([]string{"-o", "/dev/full"}, nil); rc != 1 || !strings.Contains(stderr, "no space left") {
		t.Errorf("a full disk: %q %d", stderr, rc)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, stderr, rc := run([]string{"-R", big}, nil); rc != 3 || stderr != "File "+big+" has invalid size\n" {
		t.Errorf("a big file: %q %d", stderr, rc)
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("closed") }

// TestClosedOutput: what cannot be written is an error.
func TestClosedOutput(t *testing.T) {
	for _, args := range [][]string{{"-r", "{}"}, {"-w"}} {
		var e bytes.Buffer
		if rc := Main("jshn", args, nil, closed{}, &e); rc != 1 || e.String() != "jshn: write: closed\n" {
			t.Errorf("%q: %q %d", args, e.String(), rc)
		}
	}
}
