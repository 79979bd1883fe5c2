package bench

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
)

// startC compiles a program of testdata and starts it; why says what is
// missing.
func startC(t testing.TB, ns *nstest.NS, name string) (c *child, why string) {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil, "no C compiler: apt-get install gcc libc6-dev"
	}
	program := filepath.Join(t.TempDir(), name)
	out, err := exec.Command(cc, "-O2", "-Wall", "-o", program, filepath.Join("testdata", name+".c")).CombinedOutput()
	if err != nil {
		return nil, fmt.Sprintf("cc cannot compile %s.c (apt-get install gcc libc6-dev linux-libc-dev): %s", name, tail(string(out)))
	}
	return start(t, ns, name, exec.Command(program)), ""
}

// vishvananda lists all routes of the main table with vishvananda/netlink:
// "list" as a process does that has not for a while, "again" in the memory that
// a list has just occupied, which spares it most of the page faults.
func vishvananda(verb string, _ []string) (reply, error) {
	if verb == "list" {
		quiesce()
	} else {
		runtime.GC()
	}
	var routes []netlink.Route
	r, err := measure(func() (err error) {
		routes, err = netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		return err
	})
	r.N = int64(len(routes))
	return r, err
}

// bareRole is a recvmmsg loop in Go that looks at the header of each datagram
// only.
type bareRole struct {
	fd    int
	msgs  [bareBatch]mmsghdr
	iovs  [bareBatch]unix.Iovec
	names [bareBatch]unix.RawSockaddrNetlink
	bufs  []byte
}

const (
	bareBatch = 64
	bareSize  = 32 << 10
)

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func (b *bareRole) do(verb string, args []string) (reply, error) {
	switch verb {
	case "prepare":
		size, err := strconv.Atoi(args[0])
		if err != nil {
			return reply{}, err
		}
		return reply{}, b.prepare(size)
	case "drain":
		quiesce()
		var n int64
		r, err := measure(func() (err error) { n, err = b.drain(); return err })
		r.N = n
		unix.Close(b.fd)
		return r, err
	}
	return reply{}, errors.New("no such command")
}

func (b *bareRole) prepare(size int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	b.fd = fd
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g)); err != nil {
			return err
		}
	}
	b.bufs = make([]byte, bareBatch*bareSize)
	for i := range b.msgs {
		b.iovs[i].Base = &b.bufs[i*bareSize]
		b.iovs[i].SetLen(bareSize)
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.SetIovlen(1)
		b.msgs[i].hdr.Name = (*byte)(unsafe.Pointer(&b.names[i]))
	}
	return nil
}

func (b *bareRole) drain() (routes int64, err error) {
	for {
		for i := range b.msgs {
			b.msgs[i].hdr.Namelen = unix.SizeofSockaddrNetlink
		}
		// It does not wait. By Syscall6 the runtime would take the processor
		// away from a call of 60 µs and give it back: 15 % more CPU.
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.msgs[0])), bareBatch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
		case unix.EAGAIN:
			return routes, nil
		default:
			return routes, errno
		}
		for i := range int(n) {
			typ := *(*uint16)(unsafe.Pointer(&b.bufs[i*bareSize+4]))
			if typ == unix.RTM_NEWROUTE || typ == unix.RTM_DELROUTE {
				routes++
			}
		}
	}
}
