package monitor

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// names are the names of the links, as the stream so far has them.
type names struct {
	nsfd int
	of   map[uint32]string
	link rtnl.Link // scratch
}

func (n *names) name(ifindex uint32) string { return n.of[ifindex] }

// read learns the names that there are now.
func (n *names) read(ctx context.Context) error {
	conn, err := rtnl.DialNS(n.nsfd)
	if err != nil {
		return fmt.Errorf("monitor: read the names of the links: %w", err)
	}
	defer conn.Close()
	_, err = conn.Dump(ctx, rtnl.AppendDumpRequest(nil, rtnl.KindLink, 0, rtnl.Filter{}), func(b []byte) error {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				return err
			}
			n.learn(h, body)
			b = rest
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("monitor: read the names of the links: %w", err)
	}
	return nil
}

// learn takes the name out of a link that is there.
func (n *names) learn(h rtnl.Header, body []byte) {
	if h.Type == unix.RTM_NEWLINK && rtnl.DecodeLink(body, &n.link) == nil && n.link.Name != "" {
		n.of[n.link.Index] = n.link.Name
	}
}

// forget drops the name of a link that went, after its line was printed. A
// bridge that lets go of a port says so with the same message, of its family.
func (n *names) forget(h rtnl.Header, body []byte) {
	if h.Type == unix.RTM_DELLINK && rtnl.DecodeLink(body, &n.link) == nil && n.link.Family != unix.AF_BRIDGE {
		delete(n.of, n.link.Index)
	}
}
