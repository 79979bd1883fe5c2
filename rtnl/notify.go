package rtnl

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// Sizes of the notification reader.
const (
	notifyBatch = 64       // datagrams of one recvmmsg, at most
	notifySize  = 32 << 10 // octets of each; a notification is one message
	notifyTotal = 2 << 20  // octets of all
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
	mu      sync.Mutex
	hdrs    [notifyBatch]mmsghdr
	iovs    [notifyBatch]unix.Iovec
	names   [notifyBatch]unix.RawSockaddrNetlink
	bufs    []byte
	size    int                 // octets of each datagram
	count   int                 // datagrams of one recvmmsg
	batch   [notifyBatch][]byte // the datagrams of one recvmmsg
	taken   int                 // how many datagrams the last read took
	meminfo [16]uint32          // SO_MEMINFO; the kernel has 9 numbers
}

// Subscribe opens a socket in the network namespace nsfd (negative: the calling
// thread's) that is a member of groups (RTNLGRP_*), with a receive buffer of
// rcvbuf octets (0: the system's default). A notification of a route takes 832
// octets of it.
func Subscribe(nsfd int, groups []uint32, rcvbuf int) (*Notifier, error) {
	return subscribe(nsfd, groups, rcvbuf, unix.NETLINK_ROUTE, notifySize)
}

// subscribe is Subscribe for another protocol, with datagrams of size octets.
func subscribe(nsfd int, groups []uint32, rcvbuf, proto, size int) (*Notifier, error) {
	s, err := openSock(nsfd, rcvbuf, proto)
	if err != nil {
		return nil, err
	}
	if err := s.join(groups); err != nil {
		s.close()
		return nil, err
	}
	n := &Notifier{sock: s, size: size, count: min(notifyBatch, max(notifyTotal/size, 1))}
	n.bufs = make([]byte, n.count*size)
	for i := range n.hdrs[:n.count] {
		n.iovs[i].Base = &n.bufs[i*size]
		n.iovs[i].SetLen(size)
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
// Drain hands on are in the kernel's order. The batch is fn's to keep.
func (n *Notifier) ReceiveFunc(ctx context.Context, fn func(batch []byte)) error {
	return n.Listen(ctx, func(datagrams [][]byte) bool {
		fn(join(datagrams))
		return false
	})
}

// Listen waits for notifications and calls fn with what is there, 1 to 64
// datagrams at a time, until fn returns false, which is no error. It copies and
// allocates nothing: the datagrams are valid until fn returns. Like
// ReceiveFunc it holds back a concurrent Drain while fn runs. The error is
// ErrOverrun after a loss, and Listen can be called again; it also ends with
// ctx, and with Close.
func (n *Notifier) Listen(ctx context.Context, fn func(datagrams [][]byte) bool) error {
	if err := n.ready.SetReadDeadline(time.Time{}); err != nil {
		return n.because(ctx, err)
	}
	stop := interrupt(ctx, func() { _ = n.ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	goOn := true
	var failed error
	step := func(fd uintptr) {
		n.mu.Lock()
		defer n.mu.Unlock()
		var batch [][]byte
		if batch, failed = n.read(fd, n.count); len(batch) > 0 {
			goOn = fn(batch)
		}
	}
	// Between two steps a Drain may run, and the end of ctx is seen.
	for goOn && (failed == nil || failed == unix.EAGAIN) {
		err := ctx.Err()
		if err == nil && failed != nil {
			err = n.wait()
		}
		if err == nil {
			err = n.raw.Control(step)
		}
		if err != nil {
			return n.because(ctx, err)
		}
	}
	return receiveError(failed)
}

// minTruesize is less than any message in a receive buffer occupies of it, in
// octets: struct sk_buff and struct skb_shared_info alone are 576 where a
// pointer has 64 bits, and over 320 where it has 32. (A notification of a route
// has 832.)
const minTruesize = 320 + 256*(bits.UintSize/64)

// Drain hands what is queued when it begins to fn, datagram by datagram,
// without waiting, and perhaps some of what comes meanwhile: it ends when the
// queue is empty, or else after as many datagrams as the octets that were
// queued (SO_MEMINFO) can have been. So a feed that does not stop holds it for
// less than 1.5 times what is queued, and everything that the kernel had
// announced before the call has been handed on. The slice is valid until fn
// returns. The error is ErrOverrun after a loss, and Drain can be called again.
func (n *Notifier) Drain(fn func(datagram []byte)) error {
	var failed error
	err := n.raw.Control(func(fd uintptr) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for left, first := n.count, true; left > 0 && failed == nil; first = false {
			var batch [][]byte
			batch, failed = n.read(fd, min(left, n.count))
			if first && failed == nil {
				left = n.queued(fd) + n.taken
			}
			left -= n.taken
			for _, b := range batch {
				fn(b)
			}
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

// queued is the largest number of datagrams that can be in the receive buffer.
func (n *Notifier) queued(fd uintptr) int {
	size := uint32(unsafe.Sizeof(n.meminfo))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&n.meminfo)), uintptr(unsafe.Pointer(&size)), 0)
	octets := int(n.meminfo[0]) // SK_MEMINFO_RMEM_ALLOC
	if errno != 0 {             // before Linux 4.12: what the buffer holds at most
		octets, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	}
	return (octets + minTruesize - 1) / minTruesize
}

// read takes up to most datagrams that are queued, without waiting, and returns
// those that the kernel sent, and in n.taken how many there were. One that did
// not fit its buffer is a loss.
func (n *Notifier) read(fd uintptr, most int) ([][]byte, error) {
	for i := range n.hdrs[:most] {
		n.hdrs[i].hdr.Namelen = unix.SizeofSockaddrNetlink
	}
	for {
		// It does not wait: no need to tell the scheduler.
		count, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&n.hdrs[0])), uintptr(most), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			n.taken = int(count)
			return n.fromKernel()
		case unix.EINTR:
			continue
		}
		n.taken = 0
		return nil, errno
	}
}

func (n *Notifier) fromKernel() ([][]byte, error) {
	var lost error
	batch := n.batch[:0]
	for i := range n.taken {
		h := &n.hdrs[i]
		switch {
		case n.names[i].Pid != 0: // another process may write to us
		case h.hdr.Flags&unix.MSG_TRUNC != 0:
			lost = ErrOverrun
		default:
			batch = append(batch, n.bufs[i*n.size:][:h.len])
		}
	}
	return batch, lost
}

// join copies datagrams into one piece of memory.
func join(datagrams [][]byte) []byte {
	size := 0
	for _, b := range datagrams {
		size += nlattr.Align(len(b))
	}
	batch := make([]byte, 0, size)
	for _, b := range datagrams {
		at := len(batch)
		batch = nlattr.Pad(append(batch, b...), at)
	}
	return batch
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
