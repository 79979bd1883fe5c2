package ubus

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every recorded message comes out of decoding and encoding as it went in, on
// the level of attributes and of blobmsg values.
func TestRecordedMessagesRoundTrip(t *testing.T) {
	var whole, cut, odd, closes, values int
	for _, name := range recordingNames(t) {
		for _, rm := range loadRecording(t, name).msgs {
			if len(rm.raw) == 0 {
				closes++
				continue
			}
			if !rm.whole() {
				cut++
				continue
			}
			m, strict, err := ParseMessage(rm.raw)
			handMade := name == "70-malformed" && strings.HasPrefix(rm.Conn, "raw")
			if err != nil || !strict {
				if !handMade {
					t.Errorf("%s %d: strict %v, %v", name, rm.T, strict, err)
				}
				odd++
				continue
			}
			if m.Type.String() != strings.ToLower(rm.Type) && !handMade {
				t.Errorf("%s %d: type %v, recorded %s", name, rm.T, m.Type, rm.Type)
			}
			if m.Seq != rm.Seq || m.Peer != rm.Peer {
				t.Errorf("%s %d: seq %d peer %d", name, rm.T, m.Seq, m.Peer)
			}
			if got := m.Append(nil); !bytes.Equal(got, rm.raw) && !(handMade && rm.raw[8]|rm.raw[11]&3 != 0) {
				t.Errorf("%s %d:\n got %x\nwant %x", name, rm.T, got, rm.raw)
			}
			whole++
			for _, a := range m.Attrs {
				if a.ID != AttrData && a.ID != AttrSignature || m.Type == MsgMonitor {
					continue
				}
				values++
				v, all := decodeTable(a.Data, 0)
				if !all && !(name == "70-malformed") {
					t.Errorf("%s %d: blobmsg left over in %x", name, rm.T, a.Data)
				}
				if got := v.Encode(); all && !bytes.Equal(got, a.Data) {
					t.Errorf("%s %d: blobmsg\n got %x\nwant %x", name, rm.T, got, a.Data)
				}
			}
		}
	}
	t.Logf("%d whole, %d values; left out: %d truncated, %d malformed by hand; %d closes", whole, values, cut, odd, closes)
	if whole < 1800 || values < 700 || cut > 60 || odd > 20 {
		t.Errorf("whole %d values %d truncated %d malformed %d", whole, values, cut, odd)
	}
}

// What the recorded command line printed for the replies it got.
func TestRecordedOutput(t *testing.T) {
	n := 0
	for _, name := range []string{"10-call-status", "11-call-netifd-more", "41-call-all-types", "42-call-bad-type", "44-timeout-deferred"} {
		rec := loadRecording(t, name)
		var replies []Table
		ok := true
		for _, m := range rec.msgs {
			if !strings.HasPrefix(m.Conn, "cli") || m.Dir != "s2c" || m.Type != "DATA" {
				continue
			}
			if !m.whole() {
				ok = false
				continue
			}
			if a := parseAttrs(m.raw[HeaderLen:]); a.ok(AttrData) {
				replies = append(replies, DecodeTable(a.data))
			}
		}
		if !ok {
			t.Fatalf("%s: truncated", name)
		}
		for _, run := range rec.Runs {
			indent := run.Cmd[3] != "-S"
			for rest := run.Stdout; rest != ""; n++ {
				if len(replies) == 0 {
					t.Fatalf("%s: more output than replies", name)
				}
				want := string(AppendJSON(nil, replies[0], indent)) + "\n"
				if !strings.HasPrefix(rest, want) {
					t.Fatalf("%s %q:\n got %q\nwant %q", name, run.Cmd, want, rest)
				}
				rest = rest[len(want):]
				replies = replies[1:]
			}
		}
	}
	if n < 25 {
		t.Errorf("only %d outputs compared", n)
	}
}

// What the recorded command line sent for the JSON it was given.
func TestRecordedInput(t *testing.T) {
	n := 0
	for _, name := range []string{"12-call-errors", "41-call-all-types", "42-call-bad-type", "43-call-status-codes", "33-listen-send"} {
		rec := loadRecording(t, name)
		var sent [][]byte
		for _, m := range rec.msgs {
			if strings.HasPrefix(m.Conn, "cli") && m.Dir == "c2s" && m.Type == "INVOKE" {
				a := parseAttrs(m.raw[HeaderLen:])
				if a.objID == eventObject {
					data, _ := DecodeTable(a.data).Table("data")
					sent = append(sent, data.Encode())
				} else {
					sent = append(sent, a.data)
				}
			}
		}
		for _, run := range rec.Runs {
			if !strings.Contains(run.Cmd[2], "cli.sock") || strings.Contains(run.Stderr, "Usage: ") && !strings.HasPrefix(run.Stderr, "Command") ||
				strings.Contains(run.Stderr, "call nosuch") || run.RC != nil && *run.RC == 4 {
				continue
			}
			args := run.Cmd[3:]
			if args[0] == "-S" {
				args = args[1:]
			}
			text := "{}"
			if args[0] == "call" && len(args) > 3 {
				text = args[3]
			} else if args[0] == "send" && len(args) > 2 {
				text = args[2]
			}
			v, err := FromJSON([]byte(text))
			if strings.Contains(text, "{bad") || strings.Contains(run.Stderr, "Parsing message data") && !strings.Contains(text, `"i":12`) {
				if StatusOf(err) != StatusParseError {
					t.Errorf("%s: %q gave %v, %v", name, text, v, err)
				}
				n++
				continue
			}
			if err != nil {
				t.Errorf("%s %q: %v", name, run.Cmd, err)
				continue
			}
			if len(sent) == 0 {
				t.Fatalf("%s %q: nothing more was sent", name, run.Cmd)
			}
			if got := v.Encode(); !bytes.Equal(got, sent[0]) {
				t.Errorf("%s %q:\n got %x\nwant %x", name, run.Cmd, got, sent[0])
			}
			sent = sent[1:]
			n++
		}
		if len(sent) != 0 {
			t.Errorf("%s: %d messages left", name, len(sent))
		}
	}
	if n < 60 {
		t.Errorf("only %d inputs compared", n)
	}
}

func TestFromJSON(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Table // nil: refused
	}{
		{`{}`, Table{}},
		{` /* c */ { } x`, Table{}},
		{"// c\n{}", Table{}},
		{`{"a":1,"b":2,"a":3}`, Table{{"a", int32(3)}, {"b", int32(2)}}},
		{`{'a':'it"s'}`, Table{{"a", `it"s`}}},
		{`{"a":[1,],}`, Table{{"a", Array{int32(1)}}}},
		{`{"a":TRUE,"b":Null}`, Table{{"a", true}, {"b", nil}}},
		{`{"a":-Infinity}`, Table{{"a", math.Inf(-1)}}},
		{`{"a":2147483648,"b":-2147483649}`, Table{{"a", int64(2147483648)}, {"b", int64(-2147483649)}}},
		{`{"a":-99999999999999999999}`, Table{{"a", int64(math.MinInt64)}}},
		{`{"a":1e2,"b":1.}`, Table{{"a", 100.0}, {"b", 1.0}}},
		{`{"a":"\ud83d\ude00\ud83dx\u00e9"}`, Table{{"a", "😀\ufffdxé"}}},
		{`{"a":"x\u0000y","k\u0000l":1}`, Table{{"a", "x"}, {"k", int32(1)}}},
		{strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32), nest(31)},
		{strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), nil},
		{``, nil}, {`5`, nil}, {`[]`, nil}, {`{`, nil}, {`{"a"}`, nil}, {`{"a":}`, nil}, {`{a:1}`, nil},
		{`{"a":1 "b":2}`, nil}, {`{"a":+1}`, nil}, {`{"a":.5}`, nil}, {`{"a":-}`, nil}, {`{"a":0x10}`, nil},
		{`{"a":"\x"}`, nil}, {`{"a":"\u12"}`, nil}, {`{"a":"x`, nil}, {`/* {}`, nil}, {`{"a":-in}`, nil},
	} {
		got, err := FromJSON([]byte(c.in))
		if (err != nil) != (c.want == nil) || err != nil && StatusOf(err) != StatusParseError {
			t.Errorf("%s: %v", c.in, err)
		}
		if err == nil && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.in, got, c.want)
		}
	}
}

func nest(levels int) Table {
	t := Table{{"a", int32(1)}}
	for ; levels > 0; levels-- {
		t = Table{{"a", t}}
	}
	return t
}

func TestLongObjectKeepsOrder(t *testing.T) {
	var b strings.Builder
	b.WriteString("{")
	for i := 0; i < 60; i++ {
		b.WriteString(`"k` + string(rune('a'+i%40)) + `":` + string(rune('0'+i/10)) + ",")
	}
	got, err := FromJSON([]byte(b.String() + `"z":1}`))
	if err != nil || len(got) != 41 || got[0].Name != "ka" || got[0].Value != int32(4) || got[40].Name != "z" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAccessors(t *testing.T) {
	v := DecodeTable(Table{
		{"s", "x\x00y"}, {"i", int32(-1)}, {"l", int64(5)}, {"b", int8(-56)}, {"h", int16(2)},
		{"t", Table{{"x", nil}}}, {"a", Array{"p", int32(1), "q"}}, {"i", int32(9)},
	}.Encode())
	if s, ok := v.String("s"); s != "x" || !ok {
		t.Error(s, ok)
	}
	if _, ok := v.String("i"); ok {
		t.Error("an integer was read as a string")
	}
	if u, ok := v.Uint32("i"); u != math.MaxUint32 || !ok {
		t.Error(u, ok)
	}
	if _, ok := v.Int32("l"); ok {
		t.Error("INT64 was read as INT32")
	}
	if n, ok := v.Int("l"); n != 5 || !ok {
		t.Error(n, ok)
	}
	if b, ok := v.Bool("b"); !b || !ok {
		t.Error(b, ok)
	}
	if x, ok := v.Table("t"); !ok || !x.Has("x") || x.Has("y") {
		t.Error(x, ok)
	}
	if l, ok := v.Array("a"); !ok || !slices.Equal(l.Strings(), []string{"p", "q"}) {
		t.Error(l, ok)
	}
}

// Deep nesting costs neither stack nor quadratic output.
func TestDepthIsBounded(t *testing.T) {
	var b []byte
	var marks []int
	for i := 0; i < 20000; i++ {
		var m int
		b, m = OpenTable(b, "")
		marks = append(marks, m)
	}
	for i := len(marks) - 1; i >= 0; i-- {
		b = CloseContainer(b, marks[i])
	}
	v, whole := decodeTable(b, 0)
	if !whole || !bytes.Equal(v.Encode(), b) {
		t.Error("deep message changed")
	}
	if n := len(v.JSONIndent()); n > 100_000 {
		t.Errorf("%d bytes of JSON", n)
	}
	if CheckValue(nest(200)) == nil || CheckValue(nest(20)) != nil {
		t.Error("CheckValue misjudges depth")
	}
	if CheckValue(Table{{"x", struct{}{}}}) == nil {
		t.Error("CheckValue takes a struct")
	}
}

func TestStatusText(t *testing.T) {
	for s, want := range map[Status]string{0: "Success", 6: "Permission denied", 13: "System error", 14: "Unknown error: 14", -1: "Unknown error: -1"} {
		if s.Error() != want {
			t.Errorf("%d: %s", int(s), s)
		}
	}
}

func BenchmarkAppendReply(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	for i := 0; i < b.N; i++ {
		buf = AppendString(buf[:0], "device", "br-lan")
		buf = AppendBool(buf, "up", true)
		var m int
		buf, m = OpenArray(buf, "addresses")
		buf = AppendString(buf, "", "192.168.1.1")
		buf = CloseContainer(buf, m)
		buf = AppendInt32(buf, "metric", 7)
	}
}

func FuzzBlob(f *testing.F) {
	for _, name := range []string{"41-call-all-types", "70-malformed", "20-netifd-start"} {
		for _, m := range loadRecording(f, name).msgs {
			if a := parseAttrs(tail(m.raw)); m.whole() && a.ok(AttrData) {
				f.Add(a.data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v := DecodeTable(b)
		again := v.Encode()
		v2, whole := decodeTable(again, 0)
		if !whole || !bytes.Equal(v2.Encode(), again) {
			t.Fatalf("second round differs:\n%x\n%x", again, v2.Encode())
		}
		v.JSON()
		v.JSONIndent()
	})
}

func tail(b []byte) []byte { return b[min(HeaderLen, len(b)):] }

func FuzzMessage(f *testing.F) {
	for _, name := range []string{"00-connect", "32-notify-reply", "70-malformed"} {
		for _, m := range loadRecording(f, name).msgs {
			f.Add(m.raw)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := ParseMessage(b)
		if err != nil {
			return
		}
		again := m.Append(nil)
		m2, strict, err := ParseMessage(again)
		if err != nil || !strict || len(m2.Attrs) != len(m.Attrs) {
			t.Fatalf("%v %v: %x", strict, err, again)
		}
		parseAttrs(b[HeaderLen:])
	})
}

func FuzzJSON(f *testing.F) {
	for _, r := range loadRecording(f, "41-call-all-types").Runs {
		f.Add([]byte(r.Cmd[len(r.Cmd)-1]))
	}
	f.Add([]byte(`{'a':[NaN,-Infinity,/**/1e5,]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := FromJSON(b)
		if err != nil {
			if json.Valid(b) && len(b) > 0 && bytes.TrimLeft(b, " \t\r\n")[0] == '{' && bytes.Count(b, []byte{'{'})+bytes.Count(b, []byte{'['}) <= 32 {
				t.Fatalf("refused valid JSON %q: %v", b, err)
			}
			return
		}
		if err := CheckValue(v); err != nil {
			t.Fatal(err)
		}
		enc := v.Encode()
		back, whole := decodeTable(enc, 0)
		if !whole || !bytes.Equal(back.Encode(), enc) || back.JSON() != v.JSON() {
			t.Fatalf("%q\n%s\n%s", b, v.JSON(), back.JSON())
		}
		// What we print we can read, unless it holds nan, inf or an empty name.
		if s := v.JSON(); json.Valid([]byte(s)) {
			if again, err := FromJSON([]byte(s)); err != nil || again.JSON() != s {
				t.Fatalf("%s: %v", s, err)
			}
		}
	})
}
