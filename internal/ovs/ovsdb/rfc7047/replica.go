package rfc7047

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Row is what is known of a row, by column; a column at its default may be
// missing.
type Row map[string]Value

// Text is a column that is a string, or an optional one; empty without.
func (r Row) Text(column string) string {
	if v := r[column]; len(v.Keys) > 0 {
		return v.Keys[0].Str
	}
	return ""
}

// Int is a column that is an integer or an optional one; ok is false without.
func (r Row) Int(column string) (i int64, ok bool) {
	v := r[column]
	if len(v.Keys) == 0 {
		return 0, false
	}
	return v.Keys[0].Int, true
}

// Bool is a column that is a boolean.
func (r Row) Bool(column string) bool {
	i, _ := r.Int(column)
	return i != 0
}

// Refs lists the rows that a column refers to.
func (r Row) Refs(column string) []string {
	var list []string
	for _, a := range r[column].Keys {
		list = append(list, a.Str)
	}
	return list
}

// Replica is a copy of some columns of a database that follows a monitor
// (monitor_cond and update2, ovsdb-server(7)).
type Replica struct {
	Schema *Schema
	tables map[string]map[string]Row
	cols   map[string]map[string]bool
}

// anyRow are columns that no schema lists.
var anyRow = map[string]*Type{
	"_uuid":    {Key: Base{Kind: UUID}, Min: 1, Max: 1},
	"_version": {Key: Base{Kind: UUID}, Min: 1, Max: 1},
}

// column finds the type of a column.
func (s *Schema) column(table, name string) (*Type, error) {
	if t := s.Tables[table]; t == nil {
		return nil, protocolError("table %.60q is not in the schema", table)
	} else if c := t.Columns[name]; c != nil {
		return &c.Type, nil
	}
	if t := anyRow[name]; t != nil {
		return t, nil
	}
	return nil, protocolError("column %.60q is not in the schema of table %s", name, table)
}

// NewReplica makes an empty copy of the columns, by table. Those that the
// schema does not have are left out: Has tells.
func NewReplica(s *Schema, columns map[string][]string) *Replica {
	r := &Replica{Schema: s, tables: map[string]map[string]Row{}, cols: map[string]map[string]bool{}}
	for table, list := range columns {
		if s.Tables[table] == nil {
			continue
		}
		r.tables[table] = map[string]Row{}
		r.cols[table] = map[string]bool{}
		for _, c := range list {
			if s.Tables[table].Columns[c] != nil {
				r.cols[table][c] = true
			}
		}
	}
	return r
}

// Has tells whether the replica follows a column.
func (r *Replica) Has(table, column string) bool { return r.cols[table][column] }

// Table has the rows of a table by UUID; they are not to be changed.
func (r *Replica) Table(name string) map[string]Row { return r.tables[name] }

// AppendMonitor appends the params of monitor_cond for the replica; id names
// the monitor.
func (r *Replica) AppendMonitor(b []byte, id string) []byte {
	b = appendString(append(b, '['), r.Schema.Name)
	b = append(appendString(append(b, ','), id), ",{"...)
	for i, table := range slices.Sorted(maps.Keys(r.cols)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, table), `:[{"columns":[`...)
		for j, c := range slices.Sorted(maps.Keys(r.cols[table])) {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendString(b, c)
		}
		b = append(b, "]}]"...)
	}
	return append(b, "}]"...)
}

// Initial fills the replica with the answer to monitor_cond. Its errors wrap
// ErrProtocol.
func (r *Replica) Initial(raw []byte) error {
	for name := range r.tables {
		r.tables[name] = map[string]Row{}
	}
	return r.apply(raw)
}

// Update2 applies the params of an update2 notification of the monitor id.
// After an error, which wraps ErrProtocol, the replica is of no more use.
func (r *Replica) Update2(params []byte, id string) error {
	var list []json.RawMessage
	var got string
	if err := json.Unmarshal(params, &list); err != nil || len(list) != 2 {
		return protocolError("update2: %.100s", params)
	}
	if err := json.Unmarshal(list[0], &got); err != nil || got != id {
		return protocolError("update2 of the monitor %.60s, not %q", list[0], id)
	}
	return r.apply(list[1])
}

func (r *Replica) apply(raw []byte) error {
	var in map[string]map[string]map[string]json.RawMessage
	if err := json.Unmarshal(raw, &in); err != nil {
		return protocolError("update: %v", err)
	}
	for table, rows := range in {
		if r.tables[table] == nil {
			return protocolError("update of table %.60q, which is not monitored", table)
		}
		for uuid, change := range rows {
			if !ValidUUID(uuid) || len(change) != 1 {
				return protocolError("update of row %.60q in table %s: %d changes", uuid, table, len(change))
			}
			for kind, row := range change {
				if err := r.change(table, uuid, kind, row); err != nil {
					return fmt.Errorf("update of row %s in table %s: %w", uuid, table, err)
				}
			}
		}
	}
	return nil
}

// change applies one row update: initial, insert, modify or delete.
func (r *Replica) change(table, uuid, kind string, raw json.RawMessage) error {
	old, there := r.tables[table][uuid]
	fresh := kind == "initial" || kind == "insert"
	switch {
	case !fresh && kind != "modify" && kind != "delete":
		return protocolError("a change of kind %.60q", kind)
	case fresh && there:
		return protocolError("%s, but it is there already", kind)
	case !fresh && !there:
		return protocolError("%s, but it is not there", kind)
	case kind == "delete":
		delete(r.tables[table], uuid)
		return nil
	}
	var in map[string]json.RawMessage
	if err := json.Unmarshal(raw, &in); err != nil {
		return protocolError("%s: %v", kind, err)
	}
	row := make(Row, len(old)+len(in))
	maps.Copy(row, old)
	for name, raw := range in {
		if !r.cols[table][name] {
			return protocolError("column %.60q is not monitored", name)
		}
		t := &r.Schema.Tables[table].Columns[name].Type
		v, err := DecodeValue(raw, t, !fresh)
		if err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		if !fresh && t.composite() {
			v = patch(old[name], v)
			if n := len(v.Keys); n < t.Min && n > 0 || n > t.Max {
				return protocolError("column %s: it has %d elements after the change", name, n)
			}
		}
		row[name] = v
	}
	r.tables[table][uuid] = row
	return nil
}

// patch applies a difference: in a set, elements that are there go and others
// come; in a map, a pair that is there as it is goes, others are set.
func patch(old, diff Value) Value {
	if !diff.IsMap {
		return patchSet(old, diff)
	}
	v := Value{Keys: slices.Clone(old.Keys), Vals: slices.Clone(old.Vals), IsMap: true}
	for i, key := range diff.Keys {
		if at, ok := v.find(key); ok && v.Vals[at] == diff.Vals[i] {
			v.Keys = slices.Delete(v.Keys, at, at+1)
			v.Vals = slices.Delete(v.Vals, at, at+1)
			continue
		}
		v.put(key, diff.Vals[i])
	}
	return v
}

// patchSet merges two sorted sets; what is in both goes.
func patchSet(old, diff Value) Value {
	a, b := old.Keys, diff.Keys
	keys := make([]Atom, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].compare(b[0]); {
		case c < 0:
			keys, a = append(keys, a[0]), a[1:]
		case c > 0:
			keys, b = append(keys, b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	keys = append(append(keys, a...), b...)
	return Value{Keys: keys}
}
