package rtnl

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// DumpResult says how a dump went. Only a dump that is Complete and not
// Interrupted shows every object that existed from its beginning to its end.
type DumpResult struct {
	Complete    bool // the kernel said that this was all, without an error
	Interrupted bool // the table changed meanwhile (NLM_F_DUMP_INTR)
	Messages    int  // objects seen
	// Unsupported says that the kernel does not know the kind or the family:
	// it refused the request itself with EOPNOTSUPP, EAFNOSUPPORT or
	// EPROTONOSUPPORT. There is no error then, Complete is false, and asking
	// again is of no use until a module is loaded.
	Unsupported bool
}

// Dump sends a dump request, as AppendDumpRequest appends it, and calls fn with
// every datagram of the answer. A datagram holds whole messages, the last one
// also NLMSG_DONE, which fn passes over; it is valid until fn returns. An
// error of fn ends the dump and is returned; so does the end of ctx. What is
// left unread then is read and thrown away by the next request. A refusal of
// the kernel is an *Error (but see DumpResult.Unsupported), a malformed answer
// wraps io.ErrUnexpectedEOF. Nothing is allocated for a datagram.
func (c *Conn) Dump(ctx context.Context, req []byte, fn func(datagram []byte) error) (DumpResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.watch(ctx)()
	var res DumpResult
	if err := c.finishDump(ctx); err != nil {
		return res, err
	}
	if len(req) < unix.SizeofNlMsghdr {
		return res, fmt.Errorf("rtnl: dump request of %d octets: %w", len(req), io.ErrUnexpectedEOF)
	}
	c.seq++
	c.out = append(c.out[:0], req...)
	ne.PutUint16(c.out[6:], ne.Uint16(c.out[6:])|unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	ne.PutUint32(c.out[8:], c.seq)
	if err := c.send(ctx, c.out); err != nil {
		return res, fmt.Errorf("rtnl: dump: %w", err)
	}
	c.dumping = c.seq
	for {
		b, err := c.receive(ctx)
		if err != nil {
			return res, fmt.Errorf("rtnl: dump: %w", err)
		}
		part, err := scan(b, c.seq)
		res.Messages += part.objects
		res.Interrupted = res.Interrupted || part.interrupted
		if part.ended {
			c.dumping = 0
		}
		if err != nil {
			if res.Unsupported = part.ended && res.Messages == 0 && isUnsupported(err); res.Unsupported {
				err = nil
			}
			return res, withType(err, typeOf(req))
		}
		if part.objects > 0 {
			if err := fn(b); err != nil {
				return res, err
			}
		}
		if part.ended {
			res.Complete = true
			return res, nil
		}
	}
}

// finishDump reads to the end of a dump that was given up: until then the
// kernel answers EBUSY to another.
func (c *Conn) finishDump(ctx context.Context) error {
	for c.dumping != 0 {
		b, err := c.receive(ctx)
		if err != nil {
			return fmt.Errorf("rtnl: end the previous dump: %w", err)
		}
		if part, _ := scan(b, c.dumping); part.ended {
			c.dumping = 0
		}
	}
	return nil
}

// part is what one datagram says about a dump.
type part struct {
	objects     int
	interrupted bool
	ended       bool // by NLMSG_DONE or NLMSG_ERROR, whatever they say
}

// isUnsupported tells the answer of a kernel that has no such table.
func isUnsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// scan looks at every header of a datagram of the dump seq.
func scan(b []byte, seq uint32) (p part, err error) {
	for len(b) > 0 {
		if n := plain(b, seq); n > 0 {
			p.objects++
			b = b[min(n, len(b)):]
			continue
		}
		h, body, rest, err := NextMessage(b)
		if err != nil {
			return p, err
		}
		b = rest
		if h.Seq != seq {
			continue
		}
		p.interrupted = p.interrupted || h.Flags&unix.NLM_F_DUMP_INTR != 0
		switch h.Type {
		case unix.NLMSG_NOOP:
		case unix.NLMSG_OVERRUN:
			return p, ErrOverrun
		case unix.NLMSG_ERROR, unix.NLMSG_DONE:
			p.ended = true
			read := ParseError
			if h.Type == unix.NLMSG_DONE {
				read = parseDone
			}
			errno, text, err := read(body)
			if err == nil && errno != 0 {
				err = &Error{Errno: unix.Errno(errno), Message: text}
			}
			return p, err
		default:
			p.objects++
		}
	}
	return p, nil
}

// plain is the padded length of the message that b begins with if it is an
// object of the dump seq about which there is nothing else to say, which nearly
// all are; 0 if it deserves a closer look.
func plain(b []byte, seq uint32) int {
	if len(b) < unix.SizeofNlMsghdr {
		return 0
	}
	n := ne.Uint32(b)
	if n < unix.SizeofNlMsghdr || uint64(n) > uint64(len(b)) || ne.Uint16(b[4:]) < unix.NLMSG_MIN_TYPE ||
		ne.Uint16(b[6:])&unix.NLM_F_DUMP_INTR != 0 || ne.Uint32(b[8:]) != seq {
		return 0
	}
	return nlattr.Align(int(n))
}

// withType completes an *Error with the request that it answers.
func withType(err error, typ uint16) error {
	if e, ok := err.(*Error); ok {
		e.Type = typ
	}
	return err
}
