package netns

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// nftConn is a socket for transactions and dumps of nf_tables.
type nftConn struct {
	mu   sync.Mutex
	fd   int
	port uint32 // netlink port
	seq  uint32
	buf  []byte
}

// nftTimeout bounds a wait for the kernel, which answers within sendmsg.
const nftTimeout = 10 // s

func dialNFT(nsfd int) (*nftConn, error) {
	c := &nftConn{fd: -1, buf: make([]byte, 64<<10)}
	err := rtnl.WithNS(nsfd, func() (err error) {
		c.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		return os.NewSyscallError("socket", err)
	})
	if err == nil {
		err = errors.Join(
			unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1),
			unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
			unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: nftTimeout}),
			unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20) // a transaction is one datagram
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	}
	if err == nil {
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(c.fd); err == nil {
			c.port = sa.(*unix.SockaddrNetlink).Pid
		}
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("open nf_tables socket: %w", err)
	}
	return c, nil
}

func (c *nftConn) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
	c.fd = -1
}

// commit carries out all messages, or none of them.
func (c *nftConn) commit(msgs ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := rawMessage(nil, unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
	first := c.seq + 1
	ne.PutUint32(out[8:], first)
	for i, m := range msgs {
		at := len(out)
		out = append(out, m...)
		if i == len(msgs)-1 {
			ne.PutUint16(out[at+6:], ne.Uint16(out[at+6:])|unix.NLM_F_ACK)
		}
		ne.PutUint32(out[at+8:], first+1+uint32(i))
	}
	c.seq = first + uint32(len(msgs)) + 1
	at := len(out)
	out = rawMessage(out, unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
	ne.PutUint32(out[at+8:], c.seq)
	if err := c.send(out); err != nil {
		return err
	}
	return c.answers(first, uint32(len(msgs)))
}

func (c *nftConn) send(b []byte) error {
	err := unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	return os.NewSyscallError("sendto nf_tables", err)
}

// receive reads a datagram of the kernel.
func (c *nftConn) receive(flags int) ([]byte, error) {
	for {
		n, from, err := unix.Recvfrom(c.fd, c.buf, flags)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		}
		if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
			return c.buf[:n], nil
		}
	}
}

// answers reads what a transaction was answered: everything is queued when it
// was sent. The first error is the one that says why.
func (c *nftConn) answers(first, n uint32) error {
	var failed error
	acked := false
	for {
		b, err := c.receive(unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			return os.NewSyscallError("receive from nf_tables", err)
		}
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				return err
			}
			b = rest
			at := h.Seq - first
			if h.Type != unix.NLMSG_ERROR || at > n+1 {
				continue
			}
			errno, why, err := rtnl.ParseError(body)
			switch {
			case err != nil:
				return err
			case errno == 0:
				acked = true
			case failed == nil:
				failed = &nftError{At: int(at) - 1, Errno: unix.Errno(errno), Message: why}
			}
		}
	}
	if failed == nil && !acked {
		return errors.New("nf_tables did not answer a transaction")
	}
	return failed
}

// nftError is a refusal; At is the place of the message in the transaction, -1
// when it is the transaction as a whole.
type nftError struct {
	At      int
	Errno   unix.Errno
	Message string
}

func (e *nftError) Error() string {
	s := "nf_tables: " + e.Errno.Error()
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

func (e *nftError) Unwrap() error { return e.Errno }

// dump calls f with the attributes of every object of a table.
func (c *nftConn) dump(typ uint16, family uint8, attrs []byte, f func(attrs []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	req := message(nil, typ, unix.NLM_F_DUMP, family, attrs)
	ne.PutUint32(req[8:], c.seq)
	if err := c.send(req); err != nil {
		return err
	}
	var interrupted error
	for {
		b, err := c.receive(0)
		if err != nil {
			return os.NewSyscallError("receive from nf_tables", err)
		}
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				return err
			}
			b = rest
			switch {
			case h.Seq != c.seq:
			case h.Type == unix.NLMSG_DONE:
				return interrupted
			case h.Type == unix.NLMSG_ERROR:
				errno, why, err := rtnl.ParseError(body)
				if err == nil && errno != 0 {
					err = &nftError{At: -1, Errno: unix.Errno(errno), Message: why}
				}
				return err
			case h.Flags&unix.NLM_F_DUMP_INTR != 0:
				interrupted = errInterrupted
			case len(body) >= 4:
				f(body[4:])
			}
		}
	}
}

var errInterrupted = errors.New("nf_tables changed while it was read")
