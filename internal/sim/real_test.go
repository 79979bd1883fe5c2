package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// real is a fresh namespace of the real kernel.
type real struct {
	t     testing.TB
	ns    *rtnl.NS
	conn  *rtnl.Conn
	notes *rtnl.Notifier
	fd    int // for RTM_GETLINK
	taps  map[string]int
}

// groups are the notifications that both worlds are compared on.
var groups = []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_MPLS_NETCONF}

func newReal(t testing.TB) *real {
	t.Helper()
	ns, err := rtnl.NewNS()
	if err != nil {
		t.Skipf("needs a network namespace of its own: %v", err)
	}
	r := &real{t: t, ns: ns, taps: map[string]int{}}
	if r.conn, err = rtnl.DialNS(ns.FD()); err != nil {
		t.Fatal(err)
	}
	if r.notes, err = rtnl.Subscribe(ns.FD(), groups, 4<<20); err != nil {
		t.Fatal(err)
	}
	r.in(func() error {
		r.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	})
	return r
}

func (r *real) close() {
	unix.Close(r.fd)
	for _, fd := range r.taps {
		unix.Close(fd)
	}
	r.notes.Close()
	r.conn.Close()
	r.ns.Close()
}

// in runs fn in the namespace.
func (r *real) in(fn func() error) {
	r.t.Helper()
	if err := r.ns.Do(fn); err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) request(msg []byte) *rtnl.Error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := r.conn.Execute(ctx, [][]byte{msg})[0]
	if err == nil {
		return nil
	}
	var e *rtnl.Error
	if !errors.As(err, &e) || e.Unsent || e.Cause != nil {
		r.t.Fatal(err)
	}
	return e
}

type ifreq struct {
	name  [unix.IFNAMSIZ]byte
	flags uint16
	_     [22]byte
}

func ioctl(fd int, req uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg)); errno != 0 {
		return fmt.Errorf("ioctl %#x: %w", req, errno)
	}
	return nil
}

// addHardware makes a tap, the link of a real kernel that is most like a
// network card: its carrier is ours to set.
func (r *real) addHardware(name string, index uint32, addr rtnl.HWAddr) error {
	return r.ns.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		const tunSetIfIndex = 0x400454da
		ifr := ifreq{flags: unix.IFF_TAP | unix.IFF_NO_PI}
		copy(ifr.name[:], name)
		if err := ioctl(fd, tunSetIfIndex, unsafe.Pointer(&index)); err != nil {
			return err
		}
		if err := ioctl(fd, unix.TUNSETIFF, unsafe.Pointer(&ifr)); err != nil {
			unix.Close(fd)
			return err
		}
		r.taps[fmt.Sprint(index)] = fd
		return nil
	})
}

func (r *real) setCarrier(name string, on bool) error {
	const tunSetCarrier = 0x400454e2
	v := int32(0)
	if on {
		v = 1
	}
	return ioctl(r.taps[name], tunSetCarrier, unsafe.Pointer(&v))
}

func (r *real) removeHardware(name string) {
	unix.Close(r.taps[name])
	delete(r.taps, name)
}

func (r *real) writeSysctl(path, value string) error {
	return r.ns.Do(func() error { return os.WriteFile(path, []byte(value), 0) })
}

func (r *real) readSysctl(path string) (s string, err error) {
	err = r.ns.Do(func() error {
		b, err := os.ReadFile(path)
		s = strings.TrimSuffix(string(b), "\n")
		return err
	})
	return s, err
}

// syncLinks makes the kernel run its pending link watch: RTM_GETLINK of one
// link does so before it answers (linkwatch_sync_dev).
func (r *real) syncLinks(indices []uint32) {
	var b []byte
	for _, i := range indices {
		b = binary.NativeEndian.AppendUint32(b, 40)
		b = binary.NativeEndian.AppendUint16(b, unix.RTM_GETLINK)
		b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
		b = append(b, make([]byte, 12)...)
		b = binary.NativeEndian.AppendUint32(b, i)
		b = append(b, make([]byte, 8)...)
		b = append(b, 8, 0, unix.IFLA_EXT_MASK, 0, 8, 0, 0, 0) // RTEXT_FILTER_SKIP_STATS
	}
	if err := unix.Sendto(r.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		r.t.Fatal(err)
	}
	buf := make([]byte, 16384)
	for range indices {
		if _, _, err := unix.Recvfrom(r.fd, buf, 0); err != nil {
			r.t.Fatal(err)
		}
	}
}

// drain hands over what was announced since the last call.
func (r *real) drain(fn func(datagram []byte)) {
	if err := r.notes.Drain(fn); err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) dump(kind rtnl.Kind) [][]byte {
	var out [][]byte
	res, err := r.conn.Dump(context.Background(), rtnl.AppendDumpRequest(nil, kind, 0, rtnl.Filter{}), func(b []byte) error {
		out = append(out, append([]byte(nil), b...))
		return nil
	})
	if err != nil || !res.Complete {
		r.t.Fatalf("dump of %v: %+v, %v", kind, res, err)
	}
	return out
}

// mac is the address of a link, zero if there is none.
func (r *real) mac(index uint32) rtnl.HWAddr {
	for _, b := range r.dump(rtnl.KindLink) {
		for len(b) > 0 {
			_, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				r.t.Fatal(err)
			}
			b = rest
			var l rtnl.Link
			if rtnl.DecodeLink(body, &l) == nil && l.Index == index {
				return l.Addr
			}
		}
	}
	return rtnl.HWAddr{}
}
