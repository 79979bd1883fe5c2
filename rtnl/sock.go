package rtnl

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// sock is a netlink socket. The runtime's poller does not know it: that would
// wake a thread for every datagram that comes, also while somebody is reading,
// which costs more than to read it. The poller knows an epoll of our own with
// the socket in it, which tells only whom wait has armed it for.
type sock struct {
	f      *os.File
	raw    syscall.RawConn
	ready  *os.File // the epoll
	poll   syscall.RawConn
	arm    func(ep uintptr) // bound once, as armed
	armed  func(ep uintptr) bool
	failed error // of arm
	closed atomic.Bool
}

// openSock opens a bound socket in nsfd with a receive buffer of rcvbuf octets
// (0: the system's default). proto is NETLINK_ROUTE, or NETLINK_GENERIC.
func openSock(nsfd, rcvbuf, proto int) (*sock, error) {
	fd, err := socket(nsfd, proto)
	if err != nil {
		return nil, err
	}
	if rcvbuf > 0 {
		setBuffer(fd, rcvbuf)
	}
	s := &sock{f: os.NewFile(uintptr(fd), "netlink")} // blocking, and so not the poller's
	if s.raw, err = s.f.SyscallConn(); err == nil {
		err = s.watchReady(fd)
	}
	if err != nil {
		s.f.Close()
		return nil, fmt.Errorf("rtnl: netlink socket: %w", err)
	}
	return s, nil
}

// watchReady makes the epoll that waits for the socket.
func (s *sock) watchReady(fd int) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	err = unix.SetNonblock(ep, true)
	if err == nil { // not armed
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: int32(fd)})
	}
	if err != nil {
		unix.Close(ep)
		return os.NewSyscallError("epoll_ctl", err)
	}
	s.ready = os.NewFile(uintptr(ep), "netlink epoll")
	s.poll, err = s.ready.SyscallConn()
	s.arm = func(ep uintptr) {
		var failed error
		err := s.raw.Control(func(fd uintptr) {
			ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)}
			failed = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(ep), unix.EPOLL_CTL_MOD, int(fd), &ev))
		})
		s.failed = cmp.Or(err, failed)
	}
	s.armed = func(ep uintptr) bool {
		var ev [1]unix.EpollEvent
		n, err := unix.EpollWait(int(ep), ev[:], 0)
		return n > 0 || err != nil && err != unix.EINTR
	}
	return err
}

// wait returns when there may be something to read, or an error (ENOBUFS), or
// with an error of its own at the deadline of s.ready. Only one may wait.
func (s *sock) wait() error {
	err := s.poll.Control(s.arm)
	if err = cmp.Or(err, s.failed); err != nil {
		return err
	}
	return s.poll.Read(s.armed)
}

// socket opens a bound netlink socket in nsfd.
func socket(nsfd, proto int) (int, error) {
	fd := -1
	err := WithNS(nsfd, func() error {
		var err error
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		if err != nil {
			return fmt.Errorf("rtnl: open netlink socket: %w", err)
		}
		return nil
	})
	if err != nil {
		return -1, err
	}
	// CAP_ACK and EXT_ACK shape the acknowledgements that we read; a kernel
	// without strict checking (before 4.20) only filters less.
	for _, opt := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK, unix.NETLINK_GET_STRICT_CHK} {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, opt, 1)
		if err != nil && opt != unix.NETLINK_GET_STRICT_CHK {
			unix.Close(fd)
			return -1, fmt.Errorf("rtnl: netlink socket option %d: %w", opt, err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("rtnl: bind netlink socket: %w", err)
	}
	return fd, nil
}

// setBuffer asks for a receive buffer of n octets: beyond net.core.rmem_max
// with CAP_NET_ADMIN, up to it without.
func setBuffer(fd, n int) {
	n = min(n, 1<<30) // the option is an int of 32 bits, which the kernel doubles
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n)
	}
}

func (s *sock) close() error {
	s.closed.Store(true)
	s.ready.Close() // whoever waits ends
	return s.f.Close()
}

// buffer is the size of the receive buffer, as the kernel counts it.
func (s *sock) buffer() (size int, err error) {
	var failed error
	err = s.raw.Control(func(fd uintptr) {
		size, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return 0, fmt.Errorf("rtnl: size of the receive buffer: %w", s.because(context.Background(), err))
	}
	return size, nil
}

// because gives the reason for the end of a wait the name that callers know:
// os.ErrClosed after close (the poller's own error is not exported), the
// context's error where its end expired the deadline.
func (s *sock) because(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return os.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// interrupt calls fn when ctx ends, until stop is called; then fn is not
// running any more.
func interrupt(ctx context.Context, fn func()) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	ran := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		fn()
		close(ran)
	})
	return func() {
		if !cancel() {
			<-ran
		}
	}
}
