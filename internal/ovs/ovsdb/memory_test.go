package ovsdb

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"netbraid/internal/ovs/ovsdb/rfc7047"
	"netbraid/internal/recorded"
)

// memory is a database that does transactions as ovsdb-server does, as far as
// a plan needs it: rows that nothing refers to go, names are unique, nothing
// refers to what is not there, types and their limits are kept.
type memory struct {
	schema *rfc7047.Schema
	rows   map[string]map[string]rfc7047.Row
	last   int
}

// readSchema gives the recorded schema of Open vSwitch 3.1.
func readSchema(t testing.TB) *rfc7047.Schema {
	t.Helper()
	type answer struct {
		Msg struct{ Result json.RawMessage }
	}
	for _, a := range recorded.Values[answer](t, "rfc7047/testdata/basic.jsonl.gz") {
		if s, err := rfc7047.ParseSchema(a.Msg.Result); err == nil && s.Name == database {
			return s
		}
	}
	t.Fatal("no schema among what was recorded")
	return nil
}

func newMemory(s *rfc7047.Schema) *memory {
	return &memory{schema: s, rows: map[string]map[string]rfc7047.Row{"Open_vSwitch": {}, "Bridge": {}, "Port": {}, "Interface": {}, "Controller": {}}}
}

func (m *memory) uuid() string {
	m.last++
	return fmt.Sprintf("%08x-0000-4000-8000-000000000000", m.last)
}

// insert makes a row.
func (m *memory) insert(table string, row rfc7047.Row) string {
	u := m.uuid()
	m.rows[table][u] = row
	return u
}

func (m *memory) clone() *memory {
	c := &memory{schema: m.schema, rows: map[string]map[string]rfc7047.Row{}, last: m.last}
	for table, rows := range m.rows {
		c.rows[table] = map[string]rfc7047.Row{}
		for u, r := range rows {
			c.rows[table][u] = maps.Clone(r)
		}
	}
	return c
}

// view is what a monitor of the database shows, through the codec.
func (m *memory) view(id string) (*view, error) {
	rep := rfc7047.NewReplica(m.schema, columns)
	tables := map[string]map[string]map[string]map[string]json.RawMessage{}
	for table, rows := range m.rows {
		for u, r := range rows {
			out := map[string]json.RawMessage{}
			for c, v := range r {
				if rep.Has(table, c) && !v.Equal(m.schema.Tables[table].Columns[c].Type.Default()) {
					out[c] = v.AppendJSON(nil)
				}
			}
			if tables[table] == nil {
				tables[table] = map[string]map[string]map[string]json.RawMessage{}
			}
			tables[table][u] = map[string]map[string]json.RawMessage{"initial": out}
		}
	}
	raw, err := json.Marshal(tables)
	if err != nil {
		return nil, err
	}
	return newView(rep, id), rep.Initial(raw)
}

// operation is an operation of a transaction as it goes over the wire.
type operation struct {
	Op, Table string
	UUIDName  string `json:"uuid-name"`
	Row       map[string]json.RawMessage
	Where     [][3]json.RawMessage
	Mutations [][3]json.RawMessage
	Columns   []string
	Rows      []map[string]json.RawMessage
}

// transact does all operations, or none and says why.
func (m *memory) transact(ops []rfc7047.Op) error {
	raw := string(rfc7047.AppendTransact(nil, database, ops))
	next := m.clone()
	for i := range ops { // names of rows become their UUIDs
		if ops[i].Op == "insert" {
			var o operation
			if err := json.Unmarshal(ops[i].AppendJSON(nil), &o); err != nil {
				return err
			}
			u := next.uuid()
			if o.UUIDName != "" {
				raw = strings.ReplaceAll(raw, `["named-uuid","`+o.UUIDName+`"]`, `["uuid","`+u+`"]`)
				raw = strings.ReplaceAll(raw, `"uuid-name":"`+o.UUIDName+`"`, `"uuid-name":"`+u+`"`)
			}
		}
	}
	var params []json.RawMessage
	if err := json.Unmarshal([]byte(raw), &params); err != nil {
		return err
	}
	for i, p := range params[1:] {
		var o operation
		err := json.Unmarshal(p, &o)
		if err == nil {
			err = next.do(&o)
		}
		if err != nil {
			return fmt.Errorf("operation %d: %w: %s", i, err, p)
		}
	}
	if err := next.commit(); err != nil {
		return err
	}
	*m = *next
	return nil
}

func (m *memory) value(table, column string, raw json.RawMessage) (rfc7047.Value, error) {
	c := m.schema.Tables[table].Columns[column]
	if c == nil {
		return rfc7047.Value{}, fmt.Errorf("no column %s.%s", table, column)
	}
	v, err := rfc7047.DecodeValue(raw, &c.Type, false)
	if err == nil {
		err = c.Type.Check(v)
	}
	return v, err
}

func (m *memory) get(table, u, column string) rfc7047.Value {
	if v := m.rows[table][u][column]; len(v.Keys) > 0 {
		return v
	}
	return m.schema.Tables[table].Columns[column].Type.Default()
}

// where finds rows; it knows the conditions that a plan has.
func (m *memory) where(o *operation) ([]string, error) {
	var found []string
	for u := range m.rows[o.Table] {
		ok := true
		for _, c := range o.Where {
			switch string(c[0]) + string(c[1]) {
			case `"_uuid""=="`:
				ok = ok && strings.Contains(string(c[2]), u)
			case `"external_ids""includes"`:
				want, err := m.value(o.Table, "external_ids", c[2])
				if err != nil {
					return nil, err
				}
				for i, k := range want.Keys {
					have, there := m.get(o.Table, u, "external_ids").Get(k.Str)
					ok = ok && there && have == want.Vals[i].Str
				}
			default:
				return nil, fmt.Errorf("condition %s", c)
			}
		}
		if ok {
			found = append(found, u)
		}
	}
	return found, nil
}

func (m *memory) do(o *operation) error {
	rows, err := m.where(o)
	if err != nil {
		return err
	}
	if len(o.Where) > 0 && len(rows) != 1 {
		return fmt.Errorf("%d rows", len(rows))
	}
	switch o.Op {
	case "insert":
		u := o.UUIDName
		if u == "" {
			u = m.uuid()
		}
		m.rows[o.Table][u] = rfc7047.Row{}
		rows = []string{u}
		fallthrough
	case "update":
		for c, raw := range o.Row {
			v, err := m.value(o.Table, c, raw)
			if err != nil {
				return err
			}
			for _, u := range rows {
				m.rows[o.Table][u][c] = v
			}
		}
	case "mutate":
		for _, mut := range o.Mutations {
			if err := m.mutate(o.Table, rows, mut); err != nil {
				return err
			}
		}
	case "wait":
		for _, c := range o.Columns {
			v, err := m.value(o.Table, c, o.Rows[0][c])
			if err != nil {
				return err
			}
			if !m.get(o.Table, rows[0], c).Equal(v) {
				return fmt.Errorf("timed out")
			}
		}
	case "select", "comment":
	default:
		return fmt.Errorf("operation %s", o.Op)
	}
	return nil
}

func (m *memory) mutate(table string, rows []string, mut [3]json.RawMessage) error {
	var column, op string
	if err := json.Unmarshal(mut[0], &column); err != nil {
		return err
	}
	if err := json.Unmarshal(mut[1], &op); err != nil {
		return err
	}
	c := m.schema.Tables[table].Columns[column]
	t := c.Type
	if op == "delete" && t.Value != nil {
		t.Value = nil // keys
	}
	t.Min = 0
	arg, err := rfc7047.DecodeValue(mut[2], &t, false)
	if err != nil {
		return err
	}
	for _, u := range rows {
		old := m.get(table, u, column)
		v := rfc7047.Value{IsMap: old.IsMap}
		if op == "+=" {
			v = rfc7047.Int(old.Keys[0].Int + arg.Keys[0].Int)
		}
		for i, k := range old.Keys {
			if op == "insert" || op == "delete" && !arg.Has(k) {
				v.Keys = append(v.Keys, k)
				if old.IsMap {
					v.Vals = append(v.Vals, old.Vals[i])
				}
			}
		}
		for i, k := range arg.Keys {
			if op == "insert" && !old.Has(k) { // never the value of a key that is there
				v.Keys = append(v.Keys, k)
				if old.IsMap {
					v.Vals = append(v.Vals, arg.Vals[i])
				}
			}
		}
		if len(v.Keys) < c.Type.Min {
			return fmt.Errorf("%s.%s would be empty", table, column)
		}
		// Through the codec, which sorts.
		if m.rows[table][u][column], err = m.value(table, column, v.AppendJSON(nil)); err != nil {
			return err
		}
	}
	return nil
}

// commit takes away what nothing refers to, then checks the whole.
func (m *memory) commit() error {
	if len(m.rows["Open_vSwitch"]) > 1 {
		return fmt.Errorf("more than one root")
	}
	refs := []struct{ table, column, to string }{{"Open_vSwitch", "bridges", "Bridge"}, {"Bridge", "ports", "Port"}, {"Bridge", "controller", "Controller"}, {"Port", "interfaces", "Interface"}}
	for _, r := range refs {
		used := map[string]bool{}
		for _, row := range m.rows[r.table] {
			for _, u := range row.Refs(r.column) {
				if m.rows[r.to][u] == nil {
					return fmt.Errorf("%s.%s refers to %s, which is not there", r.table, r.column, u)
				}
				used[u] = true
			}
		}
		if r.column != "controller" || len(m.rows["Bridge"]) > 0 {
			maps.DeleteFunc(m.rows[r.to], func(u string, _ rfc7047.Row) bool { return !used[u] })
		}
	}
	for _, table := range []string{"Bridge", "Port", "Interface"} {
		seen := map[string]bool{}
		for _, row := range m.rows[table] {
			if name := row.Text("name"); seen[name] {
				return fmt.Errorf("two rows %q in %s", name, table)
			} else {
				seen[name] = true
			}
		}
	}
	for u, row := range m.rows["Port"] {
		if len(row.Refs("interfaces")) == 0 {
			return fmt.Errorf("port %s without interfaces", u)
		}
	}
	return nil
}

// String lists the database, for a failing test.
func (m *memory) String() string {
	var lines []string
	for _, b := range m.rows["Bridge"] {
		s := "bridge " + b.Text("name") + " " + b["external_ids"].Text() + ":"
		for _, p := range b.Refs("ports") {
			row := m.rows["Port"][p]
			s += " " + row.Text("name") + row["external_ids"].Text() + "("
			for _, i := range row.Refs("interfaces") {
				s += m.rows["Interface"][i].Text("name") + m.rows["Interface"][i]["external_ids"].Text() + " "
			}
			s += ")"
		}
		lines = append(lines, s)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
