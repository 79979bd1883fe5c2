package rtnl

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A generic netlink socket (genetlink(7)) differs from one of rtnetlink in its
// protocol number only: what here sends, batches, waits and notices losses is
// the same. The messages are others; who uses it encodes them.

// answerCost is how much of the receive buffer an answer to a generic netlink
// request occupies with its acknowledgement: families allocate a page or two
// for it.
const answerCost = 12 << 10

// DialGeneric is DialNS for generic netlink.
func DialGeneric(nsfd int) (*Conn, error) { return dial(nsfd, unix.NETLINK_GENERIC) }

// SubscribeGeneric is Subscribe for generic netlink: groups are the numbers
// that the controller tells of a family's groups, none for a socket that only
// gets what is sent to its port. size is the largest datagram, in octets; a
// longer one counts as lost.
func SubscribeGeneric(nsfd int, groups []uint32, rcvbuf, size int) (*Notifier, error) {
	return subscribe(nsfd, groups, rcvbuf, unix.NETLINK_GENERIC, size)
}

// Ask is Execute for requests that are answered by more than an
// acknowledgement. reply gets each answer with the number of its request in
// msgs, before Ask returns; body is valid until reply returns.
func (c *Conn) Ask(ctx context.Context, msgs [][]byte, reply func(i int, h Header, body []byte)) []error {
	return c.execute(ctx, msgs, max(c.acks*ackCost/answerCost, 1), reply)
}

// Port is the socket's netlink port: where the kernel sends what is for this
// socket alone.
func (n *Notifier) Port() (uint32, error) {
	var sa unix.Sockaddr
	var failed error
	err := n.raw.Control(func(fd uintptr) { sa, failed = unix.Getsockname(int(fd)) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return 0, fmt.Errorf("rtnl: port of the netlink socket: %w", n.because(context.Background(), err))
	}
	nl, ok := sa.(*unix.SockaddrNetlink)
	if !ok {
		return 0, fmt.Errorf("rtnl: port of the netlink socket: it has an address of type %T", sa)
	}
	return nl.Pid, nil
}

// Send hands whole messages to the kernel, which works through them before it
// returns. They may not be longer than the send buffer (net.core.wmem_default,
// 212,992 octets, less 32). What the kernel answers, refusals too, is received
// like notifications.
func (n *Notifier) Send(msgs []byte) error {
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	var failed error
	err := n.raw.Control(func(fd uintptr) {
		for failed = unix.EINTR; failed == unix.EINTR; {
			failed = unix.Sendto(int(fd), msgs, unix.MSG_DONTWAIT, kernel)
		}
	})
	if err == nil && failed != nil {
		err = os.NewSyscallError("sendto", failed)
	}
	return n.because(context.Background(), err)
}
