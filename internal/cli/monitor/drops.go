package monitor

import (
	"os"
	"strconv"
	"strings"

	"netbraid/rtnl"
)

// drops counts what the kernel could not queue for the netlink sockets of this
// process, by /proc/net/netlink of one network namespace (a socket says only
// that something was lost).
type drops struct {
	nsfd int
	seen uint64
}

func newDrops(nsfd int) *drops {
	d := &drops{nsfd: nsfd}
	d.seen, _ = d.read()
	return d
}

// since says how many were lost since the last time; 0 also when that cannot
// be read.
func (d *drops) since() uint64 {
	n, err := d.read()
	if err != nil || n <= d.seen {
		return 0
	}
	lost := n - d.seen
	d.seen = n
	return lost
}

func (d *drops) read() (uint64, error) {
	mine, err := socketInodes()
	if err != nil {
		return 0, err
	}
	var table []byte
	err = rtnl.WithNS(d.nsfd, func() (err error) {
		table, err = os.ReadFile("/proc/thread-self/net/netlink")
		return err
	})
	if err != nil {
		return 0, err
	}
	return sumDrops(string(table), mine), nil
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
