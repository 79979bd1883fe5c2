package kswitch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// ne is netlink's byte order.
var ne = binary.NativeEndian

// Sizes of sockets and buffers, in octets.
const (
	upcallBuffer = 4 << 20 // of the kernel, for frames that wait for us
	sendBuffer   = 1 << 20
	maxDatagram  = 72 << 10 // the largest upcall: 64 KiB of packet, its key, its headers
	slabSize     = 2 * maxDatagram
	maxUpcalls   = 64       // that are answered at once
	maxAnswers   = 1 << 10  // datagrams that are looked at at once
	dumpSize     = 64 << 10 // the kernel fills up to 32 KiB
)

// socket is a non-blocking generic netlink socket.
type socket struct {
	f    *os.File
	raw  syscall.RawConn
	port uint32 // its netlink port
}

// openSocket opens a socket in the network namespace nsfd (negative: the
// calling thread's).
func openSocket(nsfd, rcvbuf int) (*socket, error) {
	s := &socket{}
	err := rtnl.WithNS(nsfd, func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_GENERIC)
		if err != nil {
			return err
		}
		s.f = os.NewFile(uintptr(fd), "generic netlink")
		// Errors without the message that they are about: it may have a packet.
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
		if rcvbuf > 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rcvbuf) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rcvbuf)
		}
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
		}
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		if nl, ok := sa.(*unix.SockaddrNetlink); ok {
			s.port = nl.Pid
		}
		return nil
	})
	if err == nil {
		s.raw, err = s.f.SyscallConn()
	}
	if err != nil {
		if s.f != nil {
			s.f.Close()
		}
		return nil, fmt.Errorf("open generic netlink socket: %w", err)
	}
	return s, nil
}

// close ends a receive that waits.
func (s *socket) close() { s.f.Close() }

// send hands a batch of messages to the kernel, which does them all before it
// returns.
func (s *socket) send(b []byte) error {
	var failed error
	err := s.raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return failed != unix.EAGAIN
	})
	return errors.Join(err, failed)
}

// receive takes datagrams from the kernel, one after the other into buf, and
// calls fn with each, as long as there are any and buf has room for the largest,
// at most limit; it waits for the first if wait is set. overruns counts how often
// the kernel says that it had no room for one.
func (s *socket) receive(buf []byte, limit int, wait bool, fn func([]byte)) (overruns int, err error) {
	took := 0
	werr := s.raw.Read(func(fd uintptr) bool {
		for len(buf) >= maxDatagram && took < limit {
			n, from, errno := recvfrom(fd, buf)
			switch {
			case errno == unix.EINTR:
				continue
			case errno == unix.ENOBUFS:
				overruns++
				took++
				continue
			case errno == unix.EAGAIN:
				return took > 0 || !wait
			case errno != 0:
				err = errno
				return true
			}
			took++
			if from != 0 || n > len(buf) {
				continue // not of the kernel, or longer than the kernel makes them
			}
			fn(buf[:n:n])
			buf = buf[n:]
		}
		return true
	})
	return overruns, errors.Join(werr, err)
}

// recvfrom is recvfrom(2) without allocations; from is the sender's netlink
// port, and n what the datagram has even if it was cut.
func recvfrom(fd uintptr, b []byte) (n int, from uint32, errno syscall.Errno) {
	var sa unix.RawSockaddrNetlink
	size := uint32(unix.SizeofSockaddrNetlink)
	r, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	return int(r), sa.Pid, errno
}

// message is a netlink message of a datagram.
type message struct {
	typ, flags uint16
	seq        uint32
	body       []byte
}

// eachMessage calls fn with the messages of a datagram, until one is malformed
// or fn returns false.
func eachMessage(b []byte, fn func(m message) bool) {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(ne.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return
		}
		m := message{ne.Uint16(b[4:]), ne.Uint16(b[6:]), ne.Uint32(b[8:]), b[unix.SizeofNlMsghdr:n]}
		if !fn(m) {
			return
		}
		b = b[min((n+3)&^3, len(b)):]
	}
}

// errorOf is the error number of an NLMSG_ERROR or NLMSG_DONE; 0 for none.
func (m message) errorOf() syscall.Errno {
	if len(m.body) < 4 {
		return 0
	}
	if n := int32(ne.Uint32(m.body)); n < 0 {
		return syscall.Errno(-n)
	}
	return 0
}

// setSeq gives the message at start its sequence number.
func setSeq(b []byte, start int, seq uint32) { ne.PutUint32(b[start+8:], seq) }
