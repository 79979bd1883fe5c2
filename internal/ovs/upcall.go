package ovs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
	"netbraid/rtnl"
)

const (
	// upcallSize is the longest upcall: a packet of 64 KiB with its key.
	upcallSize = 68 << 10
	// sendSize is how many octets of requests are collected before they are
	// sent: less than a send buffer of the usual size holds.
	sendSize = 60 << 10
)

// Upcalls is a socket that packets for user space come to, and that answers
// them with requests that nobody waits for.
type Upcalls struct {
	c        *Client
	n        *rtnl.Notifier
	pid      uint32
	overruns atomic.Uint64
	refused  atomic.Uint64

	mu  sync.Mutex
	out []byte
	seq uint32
}

// OpenUpcalls opens an upcall socket with a receive buffer of rcvbuf octets,
// which takes CAP_NET_ADMIN if it is more than net.core.rmem_max; an upcall
// occupies 2 KiB and more of it.
func (c *Client) OpenUpcalls(rcvbuf int) (*Upcalls, error) {
	n, err := rtnl.SubscribeGeneric(c.nsfd(), nil, rcvbuf, upcallSize)
	if err != nil {
		return nil, fmt.Errorf("ovs: open upcall socket: %w", err)
	}
	pid, err := n.Port()
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("ovs: open upcall socket: %w", err)
	}
	return &Upcalls{c: c, n: n, pid: pid}, nil
}

// PID is the netlink port of the socket, for PortRequest.PIDs, for
// DatapathRequest.UpcallPID and for odp.Userspace.
func (u *Upcalls) PID() uint32 { return u.pid }

// Buffer is the size of the receive buffer in octets, as the kernel counts it.
func (u *Upcalls) Buffer() (int, error) { return u.n.Buffer() }

// Overruns counts how often the receive buffer was full. How many packets were
// lost is in Datapath.Lost and Port.UpcallsLost.
func (u *Upcalls) Overruns() uint64 { return u.overruns.Load() }

// Refused counts the requests of Execute, PutFlow and DeleteFlow that the
// kernel has refused.
func (u *Upcalls) Refused() uint64 { return u.refused.Load() }

// Close closes the socket: from then on the kernel drops, and counts as lost,
// what is for it. Flows go on.
func (u *Upcalls) Close() error { return u.n.Close() }

// UpcallHandler is what Run calls, one at a time. Only Upcall must be there.
type UpcallHandler struct {
	// Upcall gets a packet. It and its slices are valid until Upcall returns.
	Upcall func(*odp.Upcall)
	// Lost is told that packets were lost because the receive buffer was full.
	// Nothing else is wrong then: there is nothing to read again.
	Lost func()
	// Refused gets the number that Execute, PutFlow or DeleteFlow returned, and
	// why the kernel refused.
	Refused func(seq uint32, errno unix.Errno)
	// Bad gets what is wrong with a message that cannot be read.
	Bad func(error)
	// Batch is called when all packets that have come together have been handed
	// on; then the requests that they have caused are sent.
	Batch func()
}

// Run hands on packets until ctx ends or the socket is closed
// (os.ErrClosed).
func (u *Upcalls) Run(ctx context.Context, h UpcallHandler) error {
	var up odp.Upcall
	var failed error
	for {
		err := u.n.Listen(ctx, func(datagrams [][]byte) bool {
			for _, b := range datagrams {
				u.datagram(b, &up, &h)
			}
			if h.Batch != nil {
				h.Batch()
			}
			failed = u.Flush()
			return failed == nil
		})
		switch {
		case errors.Is(err, rtnl.ErrOverrun):
			u.overruns.Add(1)
			if h.Lost != nil {
				h.Lost()
			}
		case err != nil:
			return fmt.Errorf("ovs: upcalls: %w", err)
		case failed != nil:
			return failed
		}
	}
}

// datagram takes what the kernel has sent to the socket: packets, and refusals
// of what was sent from it.
func (u *Upcalls) datagram(b []byte, up *odp.Upcall, h *UpcallHandler) {
	for len(b) > 0 {
		hdr, body, rest, err := rtnl.NextMessage(b)
		if err == nil {
			b = rest
			err = u.message(hdr, body, up, h)
		} else {
			b = nil
		}
		if err != nil && h.Bad != nil {
			h.Bad(err)
		}
	}
}

func (u *Upcalls) message(hdr rtnl.Header, body []byte, up *odp.Upcall, h *UpcallHandler) error {
	switch hdr.Type {
	case unix.NLMSG_ERROR:
		errno, _, err := rtnl.ParseError(body)
		if err != nil || errno == 0 {
			return err
		}
		u.refused.Add(1)
		if h.Refused != nil {
			h.Refused(hdr.Seq, unix.Errno(errno))
		}
	case u.c.fams().packet.ID:
		if err := up.Parse(body); err != nil {
			return err
		}
		h.Upcall(up)
	}
	return nil
}

// Execute queues actions on a packet, PutFlow a flow, DeleteFlow its removal,
// each in the order of the calls and without waiting for an answer. They are
// sent by Flush, after each batch of Run, or when there is much of it. The
// result numbers the request; a refusal comes to UpcallHandler.Refused. The
// error is that of sending.
func (u *Upcalls) Execute(r *odp.ExecuteRequest) (seq uint32, err error) {
	return u.queue(func(b []byte, f *families) []byte { return odp.AppendExecute(b, f.packet.ID, 0, r) })
}

// PutFlow is described at Execute.
func (u *Upcalls) PutFlow(r *odp.FlowRequest) (seq uint32, err error) {
	return u.queue(func(b []byte, f *families) []byte {
		return odp.AppendFlow(b, f.flow.ID, odp.CmdNew, 0, r)
	})
}

// DeleteFlow is described at Execute.
func (u *Upcalls) DeleteFlow(r *odp.FlowRequest) (seq uint32, err error) {
	return u.queue(func(b []byte, f *families) []byte { return odp.AppendFlow(b, f.flow.ID, odp.CmdDel, 0, r) })
}

func (u *Upcalls) queue(add func(b []byte, f *families) []byte) (uint32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := len(u.out)
	u.out = add(u.out, u.c.fams())
	if len(u.out) == at {
		return 0, &Error{Op: "delete flow", Reason: ErrBadFlow, Detail: "neither a key nor a UFID says which"}
	}
	u.seq++
	binary.NativeEndian.PutUint32(u.out[at+8:], u.seq)
	if len(u.out) < sendSize {
		return u.seq, nil
	}
	return u.seq, u.flush()
}

// Flush sends what is queued. When it returns the kernel has done it.
func (u *Upcalls) Flush() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.flush()
}

func (u *Upcalls) flush() error {
	if len(u.out) == 0 {
		return nil
	}
	err := u.n.Send(u.out)
	u.out = u.out[:0]
	if err != nil {
		return fmt.Errorf("ovs: send actions and flows: %w", err)
	}
	return nil
}
