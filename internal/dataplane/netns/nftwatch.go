package netns

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// nftWatch hears what is changed in nf_tables of a namespace.
type nftWatch struct {
	f   *os.File
	raw syscall.RawConn
	buf []byte
}

func watchNFT(nsfd int) (*nftWatch, error) {
	fd := -1
	err := rtnl.WithNS(nsfd, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
		return os.NewSyscallError("socket", err)
	})
	if err == nil {
		err = errors.Join(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
			unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES))
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("listen to nf_tables: %w", err)
	}
	w := &nftWatch{f: os.NewFile(uintptr(fd), "nf_tables"), buf: make([]byte, 64<<10)}
	if w.raw, err = w.f.SyscallConn(); err != nil {
		w.f.Close()
		return nil, err
	}
	return w, nil
}

// wait waits for a change that another than port has made; a loss may be one.
func (w *nftWatch) wait(port uint32) error {
	for {
		foreign := false
		var failed error
		err := w.raw.Read(func(fd uintptr) bool {
			n, _, err := unix.Recvfrom(int(fd), w.buf, unix.MSG_DONTWAIT)
			switch err {
			case unix.EAGAIN, unix.EINTR:
				return false
			case unix.ENOBUFS:
				foreign = true
			case nil:
				foreign = madeByOther(w.buf[:n], port)
			default:
				failed = err
			}
			return true
		})
		if err != nil || failed != nil || foreign {
			return errors.Join(err, failed)
		}
	}
}

// madeByOther tells whether a datagram of notifications is of another's doing.
func madeByOther(b []byte, port uint32) bool {
	for len(b) > 0 {
		h, _, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return true // what cannot be read is looked after
		}
		if h.PID != port {
			return true
		}
		b = rest
	}
	return false
}

// guardEvery is how often the rules are looked at, at most.
const guardEvery = time.Second

// keepRules puts back what others take from the rules and the sets.
func (s *session) keepRules() {
	defer s.wg.Done()
	for {
		err := s.nftHear.wait(s.nft.port)
		if s.ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
			return
		}
		if err == nil {
			s.mu.Lock()
			err = s.restoreRules()
			s.flush()
			s.mu.Unlock()
		}
		if err != nil {
			s.o.Log.Warn("cannot look after the rules of the forwarding namespace", "netns", s.o.NetNS, "error", err)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(guardEvery):
		}
	}
}

// restoreRules compares the rules and sets with what they should be, and writes
// what differs.
func (s *session) restoreRules() error {
	have, err := readChains(s.nft)
	if err != nil {
		return err
	}
	changed := !maps.EqualFunc(have, s.chains, func(a, b chainState) bool { return len(a.marks) == len(b.marks) })
	if err := s.loadGuards(); err != nil {
		return err
	}
	for _, p := range s.pairs {
		if p.port != 0 {
			err = errors.Join(err, s.rules(p))
		}
	}
	want := s.locals
	err = errors.Join(err, s.readLocals())
	missing := map[netip.Addr]bool{}
	for a := range want {
		if !s.locals[a] {
			missing[a] = true
		}
	}
	for _, e := range s.setLocals(missing) {
		err = errors.Join(err, e)
	}
	if len(missing) > 0 || !maps.Equal(want, s.locals) {
		changed = true
		s.send(dataplane.Disturbed{Epoch: s.epoch, Kind: dataplane.KindLocal})
	}
	if changed && err == nil {
		s.o.Log.Warn("somebody has changed the rules of the forwarding namespace; they were put back", "netns", s.o.NetNS)
	}
	return err
}
