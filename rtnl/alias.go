package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// MaxAlias is the most octets of an alias of a link (IFALIASZ, linux/if.h, less
// the zero at its end).
const MaxAlias = 255

// AppendLinkAlias appends a whole request (RTM_SETLINK) that gives a link an
// alias (ip-link(8)): text for people and programs, of up to MaxAlias octets,
// without meaning for the kernel. An empty one removes it. An alias at creation
// is not kept by the kernel.
func AppendLinkAlias(b []byte, flags uint16, seq, index uint32, alias string) []byte {
	start := len(b)
	b = openMessage(b, unix.RTM_SETLINK, flags, seq)
	b = appendIfInfo(b, unix.AF_UNSPEC, 0, index, 0, 0)
	b = nlattr.AppendRaw(b, unix.IFLA_IFALIAS, alias)
	return closeMessage(b, start)
}

// LinkAlias finds the alias in the body of RTM_NEWLINK; it is empty when there
// is none. Link does not have it: it is no configuration.
func LinkAlias(body []byte) (string, error) {
	if len(body) < unix.SizeofIfInfomsg {
		return "", fmt.Errorf("rtnl: find the alias of a link: %w", errShort)
	}
	c := attributes(body[unix.SizeofIfInfomsg:])
	for c.Next() {
		if c.Type == unix.IFLA_IFALIAS {
			return c.Str(), nil
		}
	}
	if c.Err != nil {
		return "", fmt.Errorf("rtnl: find the alias of a link: %w", c.Err)
	}
	return "", nil
}

// PortID is the netlink port of the socket: the PID in the header of
// notifications about IPv4 and IPv6 routes, links and neighbours that it has
// changed.
func (c *Conn) PortID() (uint32, error) {
	var failed error
	var port uint32
	err := c.raw.Control(func(fd uintptr) {
		sa, err := unix.Getsockname(int(fd))
		if nl, ok := sa.(*unix.SockaddrNetlink); ok {
			port = nl.Pid
		}
		failed = err
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return 0, fmt.Errorf("rtnl: port of the socket: %w", err)
	}
	return port, nil
}
