package ovs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
	"netbraid/rtnl"
)

// Client asks the openvswitch module of one network namespace. It may be used
// by several goroutines.
type Client struct {
	conn  *rtnl.Conn // generic netlink
	links *rtnl.Conn // rtnetlink, to find out why
	ns    *os.File   // nil: that of the process
	ids   atomic.Pointer[families]
}

// families are the numbers of the openvswitch families; they change when the
// module is loaded anew.
type families struct{ datapath, vport, flow, packet odp.Family }

// Open opens a client in the network namespace nsfd; a negative one is the
// calling thread's. nsfd can be closed afterwards. It makes the kernel load its
// openvswitch module; the error is ErrNoModule when there is none.
func Open(ctx context.Context, nsfd int) (c *Client, err error) {
	c = &Client{}
	defer func() {
		if err != nil {
			c.Close()
			c, err = nil, fmt.Errorf("ovs: open: %w", err)
		}
	}()
	if nsfd >= 0 {
		fd, err := unix.FcntlInt(uintptr(nsfd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return c, fmt.Errorf("network namespace: %w", err)
		}
		c.ns = os.NewFile(uintptr(fd), "network namespace")
	}
	if c.conn, err = rtnl.DialGeneric(nsfd); err != nil {
		return c, err
	}
	if c.links, err = rtnl.DialNS(nsfd); err != nil {
		return c, err
	}
	_, err = c.resolve(ctx)
	return c, err
}

// Close lets go of the sockets. What was made stays.
func (c *Client) Close() error {
	var errs []error
	if c.conn != nil {
		errs = append(errs, c.conn.Close())
	}
	if c.links != nil {
		errs = append(errs, c.links.Close())
	}
	if c.ns != nil {
		errs = append(errs, c.ns.Close())
	}
	return errors.Join(errs...)
}

func (c *Client) nsfd() int {
	if c.ns == nil {
		return -1
	}
	return int(c.ns.Fd())
}

func (c *Client) fams() *families { return c.ids.Load() }

// resolve asks for the numbers of the families; changed tells whether they are
// others than before.
func (c *Client) resolve(ctx context.Context) (changed bool, err error) {
	names := [...]string{odp.FamilyDatapath, odp.FamilyVport, odp.FamilyFlow, odp.FamilyPacket}
	var found [len(names)]odp.Family
	var msgs [][]byte
	for _, name := range names {
		msgs = append(msgs, odp.AppendGetFamily(nil, name))
	}
	var bad error
	errs := c.conn.Ask(ctx, msgs, func(i int, _ rtnl.Header, body []byte) {
		var err error
		if found[i], err = odp.ParseFamily(body); err != nil {
			bad = err
		}
	})
	for i, err := range errs {
		if errors.Is(err, unix.ENOENT) {
			return false, &Error{Op: "look for", Object: names[i], Reason: ErrNoModule, Errno: unix.ENOENT,
				Detail: "load openvswitch (modprobe openvswitch)"}
		}
		if err == nil && found[i].ID == 0 {
			err = errors.New("no description")
		}
		if err = errors.Join(err, bad); err != nil {
			return false, fmt.Errorf("look for %s: %w", names[i], err)
		}
	}
	next := families{found[0], found[1], found[2], found[3]}
	before := c.ids.Swap(&next)
	return before == nil || *before != next, nil
}

// ask sends requests and hands on their answers. When the kernel does not know
// a family any more, its module has been loaded anew: build is called again for
// messages with the new numbers.
func (c *Client) ask(ctx context.Context, build func(f *families) [][]byte, reply func(i int, body []byte) error) []error {
	for again := false; ; again = true {
		msgs := build(c.fams())
		bad := make([]error, len(msgs))
		errs := c.conn.Ask(ctx, msgs, func(i int, _ rtnl.Header, body []byte) { bad[i] = reply(i, body) })
		for i, err := range bad {
			if errs[i] == nil {
				errs[i] = err
			}
		}
		if again || !allAre(errs, unix.ENOENT) {
			return errs
		}
		changed, err := c.resolve(ctx)
		if err != nil {
			for i := range errs {
				if errs[i] != nil {
					errs[i] = err
				}
			}
			return errs
		}
		if !changed {
			return errs
		}
	}
}

// allAre tells whether all that failed failed so, as it would with numbers that
// are no longer right.
func allAre(errs []error, errno unix.Errno) bool {
	for _, err := range errs {
		if !errors.Is(err, errno) {
			return false
		}
	}
	return len(errs) > 0
}

// one is ask for a single request.
func (c *Client) one(ctx context.Context, build func(f *families) []byte, reply func(body []byte) error) error {
	return c.ask(ctx, func(f *families) [][]byte { return [][]byte{build(f)} }, func(_ int, body []byte) error { return reply(body) })[0]
}

// dump asks for all objects of one kind.
func (c *Client) dump(ctx context.Context, build func(f *families) []byte, each func(body []byte) error) error {
	for again := false; ; again = true {
		res, err := c.conn.Dump(ctx, build(c.fams()), func(datagram []byte) error { return eachMessage(datagram, each) })
		if err == nil && !res.Complete {
			err = fmt.Errorf("ovs: the kernel refuses to show it")
		}
		if again || !errors.Is(err, unix.ENOENT) {
			return err
		}
		if changed, failed := c.resolve(ctx); failed != nil || !changed {
			return errors.Join(err, failed)
		}
	}
}

// eachMessage hands on the bodies of the messages of a datagram.
func eachMessage(b []byte, each func(body []byte) error) error {
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return err
		}
		b = rest
		if h.Type < unix.NLMSG_MIN_TYPE {
			continue
		}
		if err := each(body); err != nil {
			return err
		}
	}
	return nil
}
