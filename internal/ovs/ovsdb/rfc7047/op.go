package rfc7047

import (
	"strconv"
	"time"
)

// Cell is a column of a row, with its value.
type Cell struct {
	Column string
	Value  Value
}

// Cond is one condition on a row; all of a list must hold. No conditions are
// every row.
type Cond struct {
	Column string
	Op     string // ==, !=, <, <=, >, >=, includes, excludes
	Value  Value
}

// Mutation changes a column in place.
type Mutation struct {
	Column string
	Op     string // +=, -=, *=, /=, %=, insert, delete
	Value  Value
}

// Op is one operation of a transaction (RFC 7047 section 5.2).
type Op struct {
	Op    string
	Table string
	// Row is what errors call the row that the operation is about.
	Row  string
	body []byte
}

// ByUUID is the condition that holds for one row.
func ByUUID(uuid string) []Cond { return []Cond{{"_uuid", "==", Refs(uuid)}} }

func newOp(op, table string) Op {
	b := append([]byte(`{"op":`), appendString(nil, op)...)
	if table != "" {
		b = append(append(b, `,"table":`...), appendString(nil, table)...)
	}
	return Op{Op: op, Table: table, body: b}
}

// About gives the operation the name that errors call its row by.
func (o Op) About(row string) Op {
	o.Row = row
	return o
}

// AppendJSON appends the operation.
func (o *Op) AppendJSON(b []byte) []byte { return append(append(b, o.body...), '}') }

// Insert makes a row. Others of the transaction name it by NamedRefs(name);
// an empty name is none.
func Insert(table, name string, row ...Cell) Op {
	o := newOp("insert", table)
	o.Row = name
	o.body = appendRow(append(o.body, `,"row":`...), row)
	if name != "" {
		o.body = appendString(append(o.body, `,"uuid-name":`...), name)
	}
	return o
}

// Update sets columns of rows.
func Update(table string, where []Cond, row ...Cell) Op {
	o := newOp("update", table)
	o.where(where)
	o.body = appendRow(append(o.body, `,"row":`...), row)
	return o
}

// Mutate changes columns of rows in place.
func Mutate(table string, where []Cond, mutations ...Mutation) Op {
	o := newOp("mutate", table)
	o.where(where)
	o.body = append(o.body, `,"mutations":[`...)
	for i, m := range mutations {
		o.triple(i, m.Column, m.Op, m.Value)
	}
	o.body = append(o.body, ']')
	return o
}

// Delete removes rows.
func Delete(table string, where []Cond) Op {
	o := newOp("delete", table)
	o.where(where)
	return o
}

// Select reads columns of rows.
func Select(table string, where []Cond, columns ...string) Op {
	o := newOp("select", table)
	o.where(where)
	o.columns(columns)
	return o
}

// Wait lets the transaction go on once the rows are, for == (or are not, for
// !=), as given; it fails after the time-out, which may be 0.
func Wait(table string, where []Cond, columns []string, until string, timeout time.Duration, rows ...[]Cell) Op {
	o := newOp("wait", table)
	o.where(where)
	o.columns(columns)
	o.body = appendString(append(o.body, `,"until":`...), until)
	o.body = strconv.AppendInt(append(o.body, `,"timeout":`...), timeout.Milliseconds(), 10)
	o.body = append(o.body, `,"rows":[`...)
	for i, r := range rows {
		if i > 0 {
			o.body = append(o.body, ',')
		}
		o.body = appendRow(o.body, r)
	}
	o.body = append(o.body, ']')
	return o
}

// Comment puts a line into the database's log.
func Comment(text string) Op {
	o := newOp("comment", "")
	o.body = appendString(append(o.body, `,"comment":`...), text)
	return o
}

// Abort lets the transaction fail.
func Abort() Op { return newOp("abort", "") }

// Assert lets the transaction fail unless this client holds the lock.
func Assert(lock string) Op {
	o := newOp("assert", "")
	o.Row = lock
	o.body = appendString(append(o.body, `,"lock":`...), lock)
	return o
}

func (o *Op) where(list []Cond) {
	o.body = append(o.body, `,"where":[`...)
	for i, c := range list {
		if c.Column == "_uuid" && len(c.Value.Keys) == 1 {
			o.Row = c.Value.Keys[0].Str
		}
		o.triple(i, c.Column, c.Op, c.Value)
	}
	o.body = append(o.body, ']')
}

func (o *Op) triple(i int, column, op string, v Value) {
	if i > 0 {
		o.body = append(o.body, ',')
	}
	o.body = appendString(append(o.body, '['), column)
	o.body = appendString(append(o.body, ','), op)
	o.body = append(v.AppendJSON(append(o.body, ',')), ']')
}

func (o *Op) columns(list []string) {
	o.body = append(o.body, `,"columns":[`...)
	for i, c := range list {
		if i > 0 {
			o.body = append(o.body, ',')
		}
		o.body = appendString(o.body, c)
	}
	o.body = append(o.body, ']')
}

func appendRow(b []byte, row []Cell) []byte {
	b = append(b, '{')
	for i, c := range row {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, c.Column), ':')
		b = c.Value.AppendJSON(b)
	}
	return append(b, '}')
}

// AppendTransact appends the params of a transact request.
func AppendTransact(b []byte, db string, ops []Op) []byte {
	b = appendString(append(b, '['), db)
	for i := range ops {
		b = ops[i].AppendJSON(append(b, ','))
	}
	return append(b, ']')
}
