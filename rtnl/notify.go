package rtnl

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of the notification reader.
const (
	notifyBatch = 64       // datagrams of one recvmmsg
	notifySize  = 32 << 10 // octets of each; a notification is one message
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// Notifier is a socket that hears the kernel's notifications. One socket for
// all groups keeps the order between kinds of objects.
type Notifier struct {
	*sock

	// mu is held while datagrams are taken from the socket (and, in
	// ReceiveFunc and Drain, while they are handed on), never while waiting.
	mu    sync.Mutex
	hdrs  [notifyBatch]mmsghdr
	iovs  [notifyBatch]unix.Iovec
	names [notifyBatch]unix.RawSockaddrNetlink
	bufs  []byte
}

// Subscribe opens a socket in the network namespace nsfd (negative: the calling
// thread's) that is a member of groups (RTNLGRP_*), with a receive buffer of
// rcvbuf octets (0: the system's default). A notification of a route takes 832
// octets of it.
func Subscribe(nsfd int, groups []uint32, rcvbuf int) (*Notifier, error) {
	s, err := openSock(nsfd, rcvbuf)
	if err != nil {
		return nil, err
	}
	if err := s.join(groups); err != nil {
		s.close()
		return nil, err
	}
	n := &Notifier{sock: s, bufs: make([]byte, notifyBatch*notifySize)}
	for i := range n.hdrs {
		n.iovs[i].Base = &n.bufs[i*notifySize]
		n.iovs[i].SetLen(notifySize)
		h := &n.hdrs[i].hdr
		h.Iov = &n.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&n.names[i]))
	}
	return n, nil
}

func (s *sock) join(groups []uint32) error {
	var failed error
	err := s.raw.Control(func(fd uintptr) {
		for _, g := range groups {
			if err := unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g)); err != nil {
				failed = fmt.Errorf("rtnl: join group %d: %w", g, err)
				return
			}
		}
	})
	return cmp.Or(err, failed)
}

// Close closes the socket, unread; Receive returns an error that wraps
// os.ErrClosed.
func (n *Notifier) Close() error { return n.sock.close() }

// Buffer is the size of the receive buffer in octets, as the kernel counts it
// (twice what was asked for).
func (n *Notifier) Buffer() (int, error) { return n.buffer() }

// Receive waits for notifications and returns up to 64 datagrams, joined so
// that NextMessage walks them, in memory that is the caller's. The error is
// ErrOverrun after a loss; the socket goes on working, with messages from
// before the loss first. It also ends with ctx, and with Close.
func (n *Notifier) Receive(ctx context.Context) ([]byte, error) {
	var batch []byte
	err := n.ReceiveFunc(ctx, func(b []byte) { batch = b })
	return batch, err
}

// ReceiveFunc is Receive that calls fn with the batch before anybody else can
// take later datagrams from the socket: what fn does and what a concurrent
// Drain hands on are in the kernel's order.
func (n *Notifier) ReceiveFunc(ctx context.Context, fn func(batch []byte)) error {
	if err := n.f.SetReadDeadline(time.Time{}); err != nil {
		return n.because(ctx, err)
	}
	stop := interrupt(ctx, func() { _ = n.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var failed error
	err := n.raw.Read(func(fd uintptr) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		var count int
		if count, failed = n.read(fd); failed == unix.EAGAIN {
			return false
		}
		if failed == nil {
			var batch []byte
			if batch, failed = n.gather(count); len(batch) > 0 {
				fn(batch)
			} else if failed == nil {
				return false // nothing from the kernel: wait on
			}
		}
		return true
	})
	if err != nil {
		return n.because(ctx, err)
	}
	return receiveError(failed)
}

// Drain hands what is queued to fn, datagram by datagram, without waiting. The
// slice is valid until fn returns. The error is ErrOverrun after a loss, and
// Drain can be called again.
func (n *Notifier) Drain(fn func(datagram []byte)) error {
	var failed error
	err := n.raw.Control(func(fd uintptr) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for failed == nil {
			var count int
			if count, failed = n.read(fd); failed != nil {
				return
			}
			failed = n.each(count, fn)
		}
	})
	if err != nil {
		return n.because(context.Background(), err)
	}
	if failed == unix.EAGAIN {
		return nil
	}
	return receiveError(failed)
}

// read fills the buffers with what is queued.
func (n *Notifier) read(fd uintptr) (int, error) {
	for i := range n.hdrs {
		n.hdrs[i].hdr.Namelen = unix.SizeofSockaddrNetlink
	}
	for {
		count, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&n.hdrs[0])), notifyBatch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(count), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

// each calls fn for the datagrams that the kernel sent. One that did not fit
// its buffer is lost.
func (n *Notifier) each(count int, fn func([]byte)) (lost error) {
	for i := range count {
		h := &n.hdrs[i]
		switch {
		case n.names[i].Pid != 0: // another process may write to us
		case h.hdr.Flags&unix.MSG_TRUNC != 0:
			lost = ErrOverrun
		default:
			fn(n.bufs[i*notifySize : i*notifySize+int(h.len)])
		}
	}
	return lost
}

// gather copies datagrams into one piece of memory.
func (n *Notifier) gather(count int) ([]byte, error) {
	size := 0
	for i := range count {
		size += align4(int(n.hdrs[i].len))
	}
	batch := make([]byte, 0, size)
	err := n.each(count, func(b []byte) {
		at := len(batch)
		batch = pad(append(batch, b...), at)
	})
	return batch, err
}

func receiveError(err error) error {
	switch err {
	case nil, ErrOverrun:
		return err
	case unix.ENOBUFS:
		return ErrOverrun
	}
	return os.NewSyscallError("recvmmsg", err)
}
