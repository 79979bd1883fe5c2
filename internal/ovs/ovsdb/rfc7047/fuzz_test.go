package rfc7047

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzReader feeds a stream in two pieces: it must be cut as in one, and what
// is cut must be decoded or refused.
func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"id":null,"method":"echo","params":[]}{"id":1,"result":{},"error":null}`), 7)
	f.Add([]byte(`{"a":"\\\""} {"b":[{}]}`), 3)
	f.Add([]byte(`{"id":1,"error":{"error":"x","details":"y"}}`), 0)
	f.Add([]byte(`{{{{]]]]`), 2)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		cut := func(pieces ...[]byte) (list [][]byte, failed bool) {
			s := Splitter{Max: 1000}
			for _, p := range pieces {
				s.Feed(p)
				for {
					msg, err := s.Next()
					if err != nil {
						return list, true
					}
					if msg == nil {
						break
					}
					list = append(list, bytes.Clone(msg))
				}
			}
			return list, false
		}
		at = max(0, min(at, len(b)))
		one, failed1 := cut(b)
		two, failed2 := cut(b[:at], b[at:])
		if failed1 != failed2 || len(one) != len(two) {
			t.Fatalf("in one: %q %v; in two: %q %v", one, failed1, two, failed2)
		}
		for i, msg := range one {
			if !bytes.Equal(msg, two[i]) {
				t.Fatalf("%q and %q", msg, two[i])
			}
			m, err := ParseMessage(msg)
			if err != nil {
				continue
			}
			if m.Method == "" && m.Failed != nil {
				_ = replyError("x", m.Failed).Error()
			}
			if m.Method == "echo" && !m.Notification() && !json.Valid(AppendEchoReply(nil, &m)) {
				t.Fatalf("the reply to %s is no JSON", msg)
			}
		}
	})
}

// FuzzValue: what is decoded is what its own notation says again.
func FuzzValue(f *testing.F) {
	for i, c := range values {
		f.Add([]byte(c.text), uint8(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) {
		typ := values[int(kind)%len(values)].t
		v, err := DecodeValue(b, &typ, false)
		if err != nil {
			return
		}
		text := v.AppendJSON(nil)
		again, err := DecodeValue(text, &typ, false)
		if err != nil || !again.Equal(v) {
			t.Fatalf("%q is %s, which reads as %s, %v", b, text, again.Text(), err)
		}
		if twice := patch(patch(Value{IsMap: v.IsMap}, v), v); len(twice.Keys) > 0 {
			t.Fatalf("%s applied twice leaves %s", text, twice.Text())
		}
	})
}

// FuzzUpdate2: whatever an update says, the rows stay sorted, without doubles,
// within their types.
func FuzzUpdate2(f *testing.F) {
	f.Add([]byte(`["m",{"T":{"`+someUUID+`":{"insert":{"set":["set",[1,2]],"map":["map",[["a","1"]]]}}}}]`), []byte(`["m",{"T":{"`+someUUID+`":{"modify":{"set":2,"map":["map",[["a","2"]]]}}}}]`))
	f.Add([]byte(`["m",{}]`), []byte(`["m",{"T":{"`+someUUID+`":{"delete":null}}}]`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		r := tinyReplica(t)
		if r.Update2(first, "m") != nil || r.Update2(second, "m") != nil {
			return
		}
		for _, row := range r.Table("T") {
			for name, v := range row {
				typ := r.Schema.Tables["T"].Columns[name].Type
				if len(v.Keys) > 0 && typ.Max == 1 && len(v.Keys) != 1 || v.IsMap && len(v.Keys) != len(v.Vals) {
					t.Fatalf("%s is %s", name, v.Text())
				}
				for i := 1; i < len(v.Keys); i++ {
					if v.Keys[i-1].compare(v.Keys[i]) >= 0 {
						t.Fatalf("%s is %s: not in order", name, v.Text())
					}
				}
			}
		}
	})
}

// FuzzSchema reads schemas and answers to transactions.
func FuzzSchema(f *testing.F) {
	f.Add([]byte(`{"name":"D","tables":{"T":{"columns":{"c":{"type":{"key":{"type":"string","enum":["set",["a","b"]]},"min":0,"max":2}}}}}}`), []byte(`[{"rows":[{"c":["set",["a"]]}]}]`))
	f.Add([]byte(`{"tables":{"T":{"columns":{"c":{"type":"real"}}}}}`), []byte(`[{"error":"x"},null]`))
	f.Fuzz(func(t *testing.T, schema, answer []byte) {
		s, err := ParseSchema(schema)
		if err != nil {
			return
		}
		for _, table := range s.Tables {
			for name, c := range table.Columns {
				d := c.Type.Default()
				if n := len(d.Keys); n > c.Type.Max || n < c.Type.Min && c.Type.Value == nil {
					t.Fatalf("the default of %s is %s", name, d.Text())
				}
			}
		}
		_, _ = DecodeResults(answer, []Op{Select("T", nil, "c"), Abort()}, s)
	})
}
