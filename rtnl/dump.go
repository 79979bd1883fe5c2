package rtnl

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// DumpResult says how a dump went. Only a dump that is Complete and not
// Interrupted shows every object that existed from its beginning to its end.
type DumpResult struct {
	Complete    bool // the kernel said that this was all, without an error
	Interrupted bool // the table changed meanwhile (NLM_F_DUMP_INTR)
	Messages    int  // objects seen
}

// Dump sends a dump request, as AppendDumpRequest appends it, and calls fn with
// every datagram of the answer. A datagram holds whole messages, the last one
// also NLMSG_DONE, which fn passes over; it is valid until fn returns. An
// error of fn ends the dump and is returned; so does the end of ctx. What is
// left unread then is read and thrown away by the next request. A refusal of
// the kernel is an *Error, a malformed answer wraps io.ErrUnexpectedEOF.
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

// scan looks at every header of a datagram of the dump seq.
func scan(b []byte, seq uint32) (p part, err error) {
	for len(b) > 0 {
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

// withType completes an *Error with the request that it answers.
func withType(err error, typ uint16) error {
	if e, ok := err.(*Error); ok {
		e.Type = typ
	}
	return err
}
