package rfc7047

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Message is a JSON-RPC 1.0 request, notification or reply.
type Message struct {
	ID             json.RawMessage // null or missing in a notification
	Method         string          // empty in a reply
	Params         json.RawMessage
	Result, Failed json.RawMessage // of a reply; Failed is its member error
}

// ParseMessage reads one message. What is in it is copied. Its errors wrap
// ErrProtocol.
func ParseMessage(b []byte) (Message, error) {
	var in struct {
		ID     json.RawMessage `json:"id"`
		Method *string         `json:"method"`
		Params json.RawMessage `json:"params"`
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return Message{}, protocolError("message: %v", err)
	}
	m := Message{ID: in.ID, Params: in.Params, Result: in.Result, Failed: in.Error}
	if isNull(m.Failed) {
		m.Failed = nil
	}
	switch {
	case in.Method != nil && *in.Method != "":
		m.Method = *in.Method
	case in.Method != nil || isNull(in.ID) || in.Result == nil && m.Failed == nil:
		return Message{}, protocolError("a message that is neither a request nor a reply: %.100s", b)
	}
	return m, nil
}

// Notification tells whether the message wants no reply.
func (m *Message) Notification() bool { return m.Method != "" && isNull(m.ID) }

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// AppendRequest appends a request; params is a JSON array.
func AppendRequest(b []byte, id uint64, method string, params []byte) []byte {
	b = fmt.Appendf(b, `{"id":%d,"method":`, id)
	b = append(append(appendString(b, method), `,"params":`...), params...)
	return append(b, '}')
}

// AppendEchoReply appends the reply to an echo request.
func AppendEchoReply(b []byte, echo *Message) []byte {
	params := echo.Params
	if len(params) == 0 {
		params = []byte("[]")
	}
	b = append(append(append(b, `{"id":`...), echo.ID...), `,"result":`...)
	return append(append(b, params...), `,"error":null}`...)
}

// RPCError is a request that the server refuses as a whole.
type RPCError struct {
	Method        string
	Kind, Details string // "unknown database"; Details may be empty
}

func (e *RPCError) Error() string {
	return strings.TrimSuffix("ovsdb-server: "+e.Method+": "+e.Kind+": "+e.Details, ": ")
}

// replyError makes the error of a reply: a text, or an object with error and
// details.
func replyError(method string, raw json.RawMessage) error {
	e := &RPCError{Method: method}
	if json.Unmarshal(raw, &e.Kind) == nil {
		return e
	}
	var in dbError
	if err := json.Unmarshal(raw, &in); err != nil {
		return protocolError("error of %s: %.100s", method, raw)
	}
	e.Kind, e.Details = in.Error, in.Details
	return e
}

type dbError struct {
	Error   string `json:"error"`
	Details string `json:"details"`
}

// TransactError is a transaction that was not done, none of it.
type TransactError struct {
	// Index is the operation that failed; -1 for the transaction as a whole,
	// when it was to be committed.
	Index          int
	Op, Table, Row string // of that operation; Row is a UUID, or what Op.About said
	Kind, Details  string // "constraint violation" (RFC 7047 section 3.1 and 5.2)
}

func (e *TransactError) Error() string {
	what := "commit"
	if e.Index >= 0 {
		what = strings.TrimSpace(e.Op + " " + e.Table)
		if e.Row != "" {
			what += " (" + e.Row + ")"
		}
	}
	return strings.TrimSuffix("ovsdb-server: "+what+": "+e.Kind+": "+e.Details, ": ")
}

// Conflict tells whether the cause may be that somebody else has changed the
// database meanwhile: the same may succeed, made anew from what is there now.
func (e *TransactError) Conflict() bool {
	switch e.Kind {
	case "timed out":
		return true
	case "constraint violation", "referential integrity violation":
		return e.Index < 0
	}
	return false
}

// Result is what an operation gave.
type Result struct {
	UUID  string // of an insert
	Count int    // of rows, for update, mutate, delete
	Rows  []Row  // of a select
}

// DecodeResults reads the answer to a transaction of ops. An operation or
// commit that failed is a *TransactError; an answer that cannot be is an error
// that wraps ErrProtocol.
func DecodeResults(raw []byte, ops []Op, s *Schema) ([]Result, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, protocolError("answer to a transaction: %v", err)
	}
	if len(list) < len(ops) || len(list) > len(ops)+1 {
		return nil, protocolError("%d answers to %d operations", len(list), len(ops))
	}
	out := make([]Result, 0, len(ops))
	for i, e := range list {
		var in struct {
			UUID  json.RawMessage              `json:"uuid"`
			Count int                          `json:"count"`
			Rows  []map[string]json.RawMessage `json:"rows"`
			dbError
		}
		if err := json.Unmarshal(e, &in); err != nil {
			return nil, protocolError("answer to operation %d: %v", i, err)
		}
		switch {
		case in.Error != "":
			te := &TransactError{Index: -1, Kind: in.Error, Details: in.Details}
			if i < len(ops) {
				te.Index, te.Op, te.Table, te.Row = i, ops[i].Op, ops[i].Table, ops[i].Row
			}
			return nil, te
		case i == len(ops):
			return nil, protocolError("%d answers to %d operations", len(list), len(ops))
		case isNull(e):
			return nil, protocolError("operation %d was not done, without an error before it", i)
		}
		r := Result{Count: in.Count}
		if in.UUID != nil {
			a, err := decodeAtom(in.UUID, UUID)
			if err != nil {
				return nil, err
			}
			r.UUID = a.Str
		}
		for _, row := range in.Rows {
			decoded, err := decodeRow(row, s, ops[i].Table)
			if err != nil {
				return nil, err
			}
			r.Rows = append(r.Rows, decoded)
		}
		out = append(out, r)
	}
	return out, nil
}

func decodeRow(in map[string]json.RawMessage, s *Schema, table string) (Row, error) {
	row := make(Row, len(in))
	for name, raw := range in {
		t, err := s.column(table, name)
		if err != nil {
			return nil, err
		}
		if row[name], err = DecodeValue(raw, t, false); err != nil {
			return nil, fmt.Errorf("%s.%s: %w", table, name, err)
		}
	}
	return row, nil
}
