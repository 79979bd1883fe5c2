package rfc7047

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/recorded"
)

// exchange is a message that was recorded between a client and ovsdb-server
// 3.1.0.
type exchange struct {
	Dir  string
	Note string
	Msg  json.RawMessage
}

func exchanges(t testing.TB, name string) []exchange {
	t.Helper()
	list := recorded.Values[exchange](t, "testdata/"+name+".jsonl.gz")
	return slices.DeleteFunc(list, func(e exchange) bool { return e.Msg == nil })
}

func message(t testing.TB, raw []byte) Message {
	t.Helper()
	m, err := ParseMessage(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// recordedSchema is the Open_vSwitch schema 8.3.1.
func recordedSchema(t testing.TB) *Schema {
	t.Helper()
	for _, e := range exchanges(t, "basic") {
		if e.Dir == "recv" && bytes.Contains(e.Msg, []byte(`"name": "Open_vSwitch", "version"`)) {
			s, err := ParseSchema(message(t, e.Msg).Result)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatal("no schema among what was recorded")
	return nil
}

func TestSchema(t *testing.T) {
	s := recordedSchema(t)
	columns := func(table string) int { return len(s.Tables[table].Columns) }
	got := []int{len(s.Tables), columns("Open_vSwitch"), columns("Bridge"), columns("Port"), columns("Interface")}
	if want := []int{19, 17, 22, 22, 35}; !slices.Equal(got, want) {
		t.Errorf("tables and columns: %v, want %v", got, want)
	}
	col := func(table, name string) *Column { return s.Tables[table].Columns[name] }
	if c := col("Interface", "name"); !c.Immutable || c.Ephemeral || c.Type.composite() {
		t.Errorf("Interface.name: %+v", c)
	}
	if c := col("Interface", "ofport"); c.Ephemeral || c.Type.Min != 0 || c.Type.Max != 1 || c.Type.Key.Kind != Integer {
		t.Errorf("Interface.ofport: %+v", c)
	}
	if c := col("Bridge", "ports"); c.Type.Max != Unlimited || c.Type.Key.RefTable != "Port" {
		t.Errorf("Bridge.ports: %+v", c)
	}
	for _, c := range []struct {
		table, column string
		v             Value
		want          string // part of the error
	}{
		{"Port", "tag", Int(4095), ""},
		{"Port", "tag", Int(5000), "5000 is not between 0 and 4095"},
		{"Port", "tag", Ints(1, 2), "2 elements"},
		{"Port", "tag", Str("1"), "not of type integer"},
		{"Port", "vlan_mode", Str("frob"), `"frob" is not one of [access dot1q-tunnel native-tagged native-untagged trunk]`},
		{"Port", "interfaces", Value{}, "0 elements"},
		{"Port", "interfaces", NamedRefs("a"), ""},
		{"Interface", "options", Map("key", "a\x00"), "UTF-8 without NUL"},
		{"Interface", "options", Str("a"), "a set is not a map"},
		{"Interface", "ofport_request", Int(65280), "between 1 and 65279"},
	} {
		err := col(c.table, c.column).Type.Check(c.v)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s.%s = %s: %v, want %q", c.table, c.column, c.v.Text(), err, c.want)
		}
	}
}

// watched are the columns of the recorded monitors.
var watched = map[string][]string{
	"Open_vSwitch": {"bridges", "cur_cfg", "next_cfg", "ovs_version", "db_version", "datapath_types", "iface_types", "other_config", "external_ids"},
	"Bridge":       {"name", "ports", "datapath_type", "datapath_id", "other_config", "external_ids"},
	"Port":         {"name", "interfaces", "tag", "trunks", "vlan_mode", "bond_mode", "status"},
	"Interface":    {"name", "type", "options", "ofport", "ofport_request", "error", "ifindex", "link_state", "admin_state", "mac_in_use", "mtu", "link_speed", "duplex", "link_resets", "status"},
}

// plain follows the old monitor method, whose updates have whole rows: what
// the differences of update2 must come to.
func plain(t *testing.T, s *Schema, tables map[string]map[string]Row, raw []byte) {
	var in map[string]map[string]struct{ New map[string]json.RawMessage }
	if err := json.Unmarshal(raw, &in); err != nil {
		t.Fatal(err)
	}
	for table, rows := range in {
		for uuid, r := range rows {
			if r.New == nil {
				delete(tables[table], uuid)
				continue
			}
			row, err := decodeRow(r.New, s, table)
			if err != nil {
				t.Fatal(err)
			}
			if tables[table] == nil {
				tables[table] = map[string]Row{}
			}
			tables[table][uuid] = row
		}
	}
}

// same compares tables of rows; a column that is missing has its default.
func same(t *testing.T, s *Schema, got, want map[string]map[string]Row) {
	t.Helper()
	for table, columns := range watched {
		if g, w := slices.Sorted(maps.Keys(got[table])), slices.Sorted(maps.Keys(want[table])); !slices.Equal(g, w) {
			t.Errorf("%s has the rows %v, want %v", table, g, w)
			continue
		}
		for uuid := range want[table] {
			for _, c := range columns {
				g, w := got[table][uuid][c], want[table][uuid][c]
				def := s.Tables[table].Columns[c].Type.Default()
				if len(g.Keys) == 0 {
					g = def
				}
				if len(w.Keys) == 0 {
					w = def
				}
				if !g.Equal(w) {
					t.Errorf("%s %s.%s = %s, want %s", uuid, table, c, g.Text(), w.Text())
				}
			}
		}
	}
}

// TestReplicaAgainstPlainMonitor: two connections watched the same database at
// the same time, one by whole rows, one by differences.
func TestReplicaAgainstPlainMonitor(t *testing.T) {
	s := recordedSchema(t)
	want := map[string]map[string]Row{}
	n := 0
	for _, e := range exchanges(t, "monitor1") {
		switch m := message(t, e.Msg); {
		case e.Dir == "send":
		case m.Method == "update":
			var params []json.RawMessage
			if err := json.Unmarshal(m.Params, &params); err != nil {
				t.Fatal(err)
			}
			plain(t, s, want, params[1])
			n++
		default:
			plain(t, s, want, m.Result)
		}
	}
	r := NewReplica(s, watched)
	follow(t, r, "monitor2", n)
	if n != 3 || len(want["Interface"]) != 1 {
		t.Fatalf("the recording has %d updates and %d interfaces", n, len(want["Interface"]))
	}
	same(t, s, r.tables, want)
}

// follow plays a recorded monitor_cond, the first limit updates of it.
func follow(t *testing.T, r *Replica, name string, limit int) (updates int) {
	t.Helper()
	for i, e := range exchanges(t, name) {
		m := message(t, e.Msg)
		var err error
		switch {
		case i == 1:
			err = r.Initial(m.Result)
		case m.Method == "update2" && bytes.HasPrefix(m.Params, []byte(`["mc"`)) && updates < limit:
			updates++
			err = r.Update2(m.Params, "mc")
		}
		if err != nil {
			t.Fatalf("message %d: %v\n%s", i, err, e.Msg)
		}
	}
	return updates
}

// TestReplicaAgainstNewMonitor: what had come to be by 37 differences is what
// a monitor that was made afterwards shows as a whole.
func TestReplicaAgainstNewMonitor(t *testing.T) {
	s := recordedSchema(t)
	r := NewReplica(s, watched)
	if n := follow(t, r, "monitor2", 1000); n < 35 {
		t.Fatalf("the recording has %d updates", n)
	}
	fresh := NewReplica(s, watched)
	for _, e := range exchanges(t, "reconnect") {
		if e.Dir != "recv" {
			continue
		}
		var result []json.RawMessage // found, last transaction, tables
		if err := json.Unmarshal(message(t, e.Msg).Result, &result); err != nil || len(result) != 3 {
			continue
		}
		if err := fresh.Initial(result[2]); err != nil {
			t.Fatal(err)
		}
		break
	}
	if len(fresh.Table("Interface")) < 10 {
		t.Fatalf("the recording shows %d interfaces", len(fresh.Table("Interface")))
	}
	// Written after the first recording, before the second (errors, last lines).
	for _, row := range fresh.tables["Bridge"] {
		delete(row, "external_ids")
	}
	// What moves by itself.
	for _, rep := range []*Replica{r, fresh} {
		for _, row := range rep.tables["Interface"] {
			for _, c := range []string{"ifindex", "link_state", "admin_state", "link_resets", "mtu", "link_speed", "duplex", "mac_in_use", "status", "error", "ofport"} {
				delete(row, c)
			}
		}
	}
	same(t, s, r.tables, fresh.tables)
}

// TestRecordedTransactions: our own operations are what was recorded.
func TestRecordedTransactions(t *testing.T) {
	const root, br0 = "179595f5-087b-4e00-ae6b-ae050c96694e", "7393a277-a9ec-4cf5-bd48-bde685a635c5"
	next := []Op{
		Mutate("Open_vSwitch", ByUUID(root), Mutation{"next_cfg", "+=", Int(1)}),
		Select("Open_vSwitch", ByUUID(root), "next_cfg"),
	}
	cases := map[string][]Op{
		"set other_config:hwaddr": append([]Op{
			Mutate("Bridge", []Cond{{"name", "==", Str("br0")}},
				Mutation{"other_config", "delete", Strs("hwaddr")}, Mutation{"other_config", "insert", Map("hwaddr", "02:00:00:00:00:01")})},
			next...),
		"del-port (rows garbage-collected)": append([]Op{
			Mutate("Bridge", ByUUID(br0), Mutation{"ports", "delete", Refs("b34e6e3a-5933-4ec5-b4cb-51c598f01ce0")})},
			next...),
		"ref to missing row": {Mutate("Bridge", ByUUID(br0), Mutation{"ports", "insert", Refs("11111111-1111-1111-1111-111111111111")})},
		"wait mismatch timeout 0": {
			Wait("Bridge", []Cond{{"name", "==", Str("br0")}}, []string{"datapath_type"}, "==", 0, []Cell{{"datapath_type", Str("system")}}),
			Comment("never")},
		"delete referenced port": {Delete("Port", []Cond{{"name", "==", Str("ve1")}})},
		"tag 5000":               {Update("Port", []Cond{{"name", "==", Str("ve1")}}, Cell{"tag", Int(5000)})},
		"abort":                  {Abort()},
		"assert lock not held":   {Assert("L")},
		"port w/o interfaces":    {Insert("Port", "p", Cell{"name", Str("zz1")})},
		"port not in a bridge (GC)": {
			Insert("Interface", "i", Cell{"name", Str("zz1")}),
			Insert("Port", "p", Cell{"name", Str("zz1")}, Cell{"interfaces", NamedRefs("i")})},
	}
	found := 0
	for _, e := range append(exchanges(t, "transact"), exchanges(t, "errors")...) {
		ops, ok := cases[e.Note]
		if !ok || e.Dir != "send" {
			continue
		}
		found++
		var got, want any
		if err := json.Unmarshal(AppendTransact(nil, "Open_vSwitch", ops), &got); err != nil {
			t.Errorf("%s: %v", e.Note, err)
			continue
		}
		if err := json.Unmarshal(message(t, e.Msg).Params, &want); err != nil {
			t.Fatal(err)
		}
		if got, want = bare(got), bare(want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", e.Note, got, want)
		}
	}
	if found != len(cases) {
		t.Errorf("%d of %d cases are in the recordings", found, len(cases))
	}
}

// bare writes sets of one as their atom: both notations mean the same.
func bare(v any) any {
	switch v := v.(type) {
	case []any:
		if len(v) == 2 && v[0] == "set" {
			if set, ok := v[1].([]any); ok && len(set) == 1 {
				return bare(set[0])
			}
		}
		for i := range v {
			v[i] = bare(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = bare(v[k])
		}
	}
	return v
}

// TestRecordedErrors: what the server's refusals become.
func TestRecordedErrors(t *testing.T) {
	s := recordedSchema(t)
	type want struct {
		index    int
		kind     string
		conflict bool
	}
	cases := map[string]want{
		"duplicate name":          {-1, "constraint violation", true},
		"ref to missing row":      {-1, "referential integrity violation", true},
		"delete referenced port":  {-1, "referential integrity violation", true},
		"tag 5000":                {0, "constraint violation", false},
		"bad enum":                {0, "constraint violation", false},
		"unknown column":          {0, "unknown column", false},
		"wait mismatch timeout 0": {0, "timed out", true},
		"abort":                   {0, "aborted", false},
		"assert lock not held":    {0, "not owner", false},
	}
	list := exchanges(t, "errors")
	for i, e := range list {
		w, ok := cases[e.Note]
		if !ok {
			continue
		}
		delete(cases, e.Note)
		sent, answer := message(t, e.Msg), message(t, list[i+1].Msg)
		_, err := DecodeResults(answer.Result, opsOf(t, sent.Params), s)
		var te *TransactError
		if !errors.As(err, &te) || te.Index != w.index || te.Kind != w.kind || te.Conflict() != w.conflict || te.Details == "" && te.Kind != "aborted" {
			t.Errorf("%s: %#v, want %+v", e.Note, err, w)
		}
	}
	if len(cases) > 0 {
		t.Errorf("not in the recording: %v", cases)
	}
}

// opsOf makes operations of recorded ones, enough to decode their answers.
func opsOf(t *testing.T, params []byte) []Op {
	var list []json.RawMessage
	if err := json.Unmarshal(params, &list); err != nil {
		t.Fatal(err)
	}
	var ops []Op
	for _, raw := range list[1:] {
		var in struct{ Op, Table string }
		if err := json.Unmarshal(raw, &in); err != nil {
			t.Fatal(err)
		}
		ops = append(ops, Op{Op: in.Op, Table: in.Table})
	}
	return ops
}

// TestRecordedAnswers decodes the answer to every recorded transaction; the
// rows of a select are rows.
func TestRecordedAnswers(t *testing.T) {
	s := recordedSchema(t)
	sent := map[string][]Op{}
	rows, refused := 0, 0
	for _, e := range append(exchanges(t, "transact"), exchanges(t, "errors")...) {
		m := message(t, e.Msg)
		if e.Dir == "send" && m.Method == "transact" {
			sent[string(m.ID)] = opsOf(t, m.Params)
			continue
		}
		ops := sent[string(m.ID)]
		if m.Failed != nil {
			if err := replyError("transact", m.Failed); strings.Contains(err.Error(), "unknown database") {
				refused++
			}
			continue
		}
		results, err := DecodeResults(m.Result, ops, s)
		if errors.Is(err, ErrProtocol) {
			t.Errorf("%v\n%s", err, e.Msg)
		}
		for _, r := range results {
			rows += len(r.Rows)
		}
	}
	if rows < 20 || refused != 1 {
		t.Errorf("%d rows, %d refused as a whole", rows, refused)
	}
}

// TestRecordedStream: every recorded answer, written without anything between
// them and read in pieces of every size, is cut where it was.
func TestRecordedStream(t *testing.T) {
	var stream []byte
	var want []string
	for _, name := range []string{"wait_order", "lock1", "lock2", "device_gone", "vsctl2"} {
		for _, e := range exchanges(t, name) {
			if e.Dir == "recv" {
				var b bytes.Buffer
				if err := json.Compact(&b, e.Msg); err != nil {
					t.Fatal(err)
				}
				want = append(want, b.String())
				stream = append(stream, b.Bytes()...)
			}
		}
	}
	start := time.Now()
	for _, size := range []int{1, 2, 3, 7, 100, 4096, len(stream)} {
		var s Splitter
		var got []string
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			s.Feed(rest[:n])
			rest = rest[n:]
			for {
				msg, err := s.Next()
				if err != nil {
					t.Fatal(err)
				}
				if msg == nil {
					break
				}
				got = append(got, string(msg))
			}
		}
		if !slices.Equal(got, want) || s.Pending() != 0 {
			t.Errorf("in pieces of %d: %d messages, want %d; %d octets left", size, len(got), len(want), s.Pending())
		}
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %v: the splitter looks at octets more than once", d)
	}
}
