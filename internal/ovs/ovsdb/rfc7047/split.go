package rfc7047

import (
	"errors"
	"fmt"
)

// ErrProtocol is the reason of every error about bytes from the server that
// are not what the protocol allows. The connection is of no more use then.
var ErrProtocol = errors.New("the peer does not speak OVSDB")

// protocolError wraps ErrProtocol.
func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// Limits of what a server may send.
const (
	// DefaultMaxMessage bounds one message, in octets: the first contents of a
	// database with a hundred thousand ports fit.
	DefaultMaxMessage = 128 << 20
	// maxDepth bounds the nesting of a message. An update needs 9.
	maxDepth = 64
)

// Splitter cuts a stream of JSON objects, which have no framing (RFC 7047
// section 4), into single ones. It looks at brackets and strings only; whether
// an object is well-formed shows when it is decoded. The zero value limits
// messages to DefaultMaxMessage.
type Splitter struct {
	Max   int // octets of one message
	buf   []byte
	start int // where the message begins
	pos   int // what has been looked at
	depth int // brackets open
	str   bool
	esc   bool // the last octet was a backslash in a string
}

// Feed appends what was read. It copies b. What Next returned before is not
// valid any more.
func (s *Splitter) Feed(b []byte) {
	if s.start > 0 {
		n := copy(s.buf, s.buf[s.start:])
		s.buf = s.buf[:n]
		s.pos -= s.start
		s.start = 0
	}
	s.buf = append(s.buf, b...)
}

// Next returns the next whole object, or nil when more must be fed. The bytes
// are valid until the next Feed. Its errors wrap ErrProtocol.
func (s *Splitter) Next() ([]byte, error) {
	limit := s.Max
	if limit <= 0 {
		limit = DefaultMaxMessage
	}
	for s.depth == 0 {
		if s.pos == len(s.buf) {
			s.start = s.pos
			return nil, nil
		}
		switch c := s.buf[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		case '{':
			s.start = s.pos
			s.pos++
			s.depth = 1
		default:
			return nil, protocolError("a message begins with %q", c)
		}
	}
	for i, c := range s.buf[s.pos:] {
		switch {
		case s.esc:
			s.esc = false
		case s.str:
			switch c {
			case '\\':
				s.esc = true
			case '"':
				s.str = false
			}
		case c == '"':
			s.str = true
		case c == '{' || c == '[':
			if s.depth++; s.depth > maxDepth {
				return nil, protocolError("a message is nested deeper than %d", maxDepth)
			}
		case c == '}' || c == ']':
			if s.depth--; s.depth == 0 {
				return s.take(s.pos+i+1, limit)
			}
		}
	}
	s.pos = len(s.buf)
	if s.pos-s.start > limit {
		return nil, protocolError("a message is longer than %d octets", limit)
	}
	return nil, nil
}

// take ends a message before end.
func (s *Splitter) take(end, limit int) ([]byte, error) {
	msg := s.buf[s.start:end]
	s.start, s.pos = end, end
	if len(msg) > limit {
		return nil, protocolError("a message is longer than %d octets", limit)
	}
	return msg, nil
}

// Pending is how many octets wait for the rest of their message.
func (s *Splitter) Pending() int { return len(s.buf) - s.start }
