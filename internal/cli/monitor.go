package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// monitorGroups is everything that rtnetlink announces and FormatMessage
// reads.
var monitorGroups = []uint32{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NEXTHOP,
}

func (a *app) monitorCmd() *cobra.Command {
	var stamp bool
	var buffer int
	c := &cobra.Command{
		Use:   "monitor",
		Short: "Print what the kernel announces about the network, as it happens",
		Long: `Prints every link, address, neighbour, route, rule and next hop that the kernel
announces in the current network namespace, one a line: "+" is there now (new
or changed), "-" is gone. Needs no daemon. When the kernel speaks faster than we
read, a line "! N notifications lost" says how many are missing there.
Ends with SIGINT (Ctrl-C) or SIGTERM.`,
		Example: `  netbraid monitor
  netbraid monitor --time | grep route`,
		Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.monitor(ctx, stamp, buffer)
		},
	}
	c.Flags().BoolVarP(&stamp, "time", "t", false, "begin every line with the time")
	c.Flags().IntVar(&buffer, "buffer", 32<<20, "receive buffer in `octets`")
	return c
}

func (a *app) monitor(ctx context.Context, stamp bool, buffer int) error {
	n, err := rtnl.Subscribe(-1, monitorGroups, buffer)
	if err != nil {
		return err
	}
	defer n.Close()
	m := &monitor{a: a, stamp: stamp, names: map[uint32]string{}}
	if err := m.readNames(ctx); err != nil {
		return err
	}
	fmt.Fprintln(a.err, "listening; Ctrl-C ends it")
	lost := newDrops()
	for {
		batch, err := n.Receive(ctx)
		switch {
		case errors.Is(err, rtnl.ErrOverrun):
			m.print("! " + lost.since())
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if err := m.batch(batch); err != nil {
			return err
		}
	}
}

// monitor turns notifications into lines. It knows the names of the links that
// it has heard of.
type monitor struct {
	a     *app
	stamp bool
	names map[uint32]string
}

func (m *monitor) readNames(ctx context.Context) error {
	conn, err := rtnl.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Dump(ctx, rtnl.AppendDumpRequest(nil, rtnl.KindLink, 0, rtnl.Filter{}), func(b []byte) error {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				return err
			}
			m.learn(h, body)
			b = rest
		}
		return nil
	})
	return err
}

func (m *monitor) learn(h rtnl.Header, body []byte) {
	var l rtnl.Link
	if kind, gone := rtnl.KindOf(h.Type); kind == rtnl.KindLink && !gone && rtnl.DecodeLink(body, &l) == nil && l.Name != "" {
		m.names[l.Index] = l.Name
	}
}

// forget drops the name of a link that went, after its line was printed.
func (m *monitor) forget(h rtnl.Header, body []byte) {
	var l rtnl.Link
	if kind, gone := rtnl.KindOf(h.Type); kind == rtnl.KindLink && gone && rtnl.DecodeLink(body, &l) == nil && l.Family != unix.AF_BRIDGE {
		delete(m.names, l.Index)
	}
}

func (m *monitor) name(ifindex uint32) string {
	if n := m.names[ifindex]; n != "" {
		return n
	}
	return "if" + strconv.FormatUint(uint64(ifindex), 10)
}

func (m *monitor) batch(b []byte) error {
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return fmt.Errorf("monitor: %w", err)
		}
		b = rest
		if h.Type < unix.RTM_BASE {
			continue // NLMSG_DONE and the like
		}
		m.learn(h, body)
		if err := m.print(rtnl.FormatMessage(h, body, m.name)); err != nil {
			return err
		}
		m.forget(h, body)
	}
	return nil
}

func (m *monitor) print(line string) error {
	if m.stamp {
		line = time.Now().Format("15:04:05.000000 ") + line
	}
	s := plain
	switch line[0] {
	case '-':
		s = dim
	case '!':
		s = red
	}
	_, err := fmt.Fprintln(m.a.out, s.paint(line, colours(m.a.out)))
	return err
}

// drops counts what the kernel could not queue for the netlink sockets of this
// process, by /proc/net/netlink (a socket says only that something was lost).
type drops struct{ seen uint64 }

func newDrops() *drops {
	n, _ := readDrops()
	return &drops{n}
}

// since says how many were lost since the last time.
func (d *drops) since() string {
	n, err := readDrops()
	if err != nil || n <= d.seen {
		return "notifications lost"
	}
	lost := n - d.seen
	d.seen = n
	return count(int(lost), "notification") + " lost"
}

func readDrops() (uint64, error) {
	mine, err := socketInodes()
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile("/proc/thread-self/net/netlink")
	if err != nil {
		return 0, err
	}
	return sumDrops(string(b), mine), nil
}

// sumDrops adds up the column Drops of the sockets with these inodes.
func sumDrops(table string, mine map[string]bool) (sum uint64) {
	lines := strings.Split(table, "\n")
	for _, l := range lines[1:] {
		f := strings.Fields(l) // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
		if len(f) < 10 || !mine[f[9]] {
			continue
		}
		n, err := strconv.ParseUint(f[8], 10, 64)
		if err == nil {
			sum += n
		}
	}
	return sum
}

// socketInodes lists the sockets that this process has open.
func socketInodes() (map[string]bool, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	mine := map[string]bool{}
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok {
			mine[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return mine, nil
}
