package kernel

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/rtnl"
)

// MoveLinks moves links of our network namespace into that of the descriptor
// fd, or with back set links of that one into ours, each under the name that
// the move says. done gets one error for each, after everything that the kernel
// announced because of it; fd must stay open until then.
func (k *Kernel) MoveLinks(fd int, moves []core.Move, back bool, done func([]error)) {
	k.do(func(conn *rtnl.Conn) {
		var errs []error
		if back {
			errs = k.fetch(fd, moves)
		} else {
			errs = k.move(conn, fd, moves)
		}
		k.drain()
		done(errs)
	})
}

// fetch moves links from the namespace fd to that of this thread.
func (k *Kernel) fetch(fd int, moves []core.Move) []error {
	fail := func(err error) []error {
		errs := make([]error, len(moves))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fail(fmt.Errorf("open our network namespace: %w", err))
	}
	defer own.Close()
	var errs []error
	err = rtnl.WithNS(fd, func() error {
		conn, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		errs = k.move(conn, int(own.Fd()), moves)
		return nil
	})
	if err != nil {
		return fail(fmt.Errorf("enter the network namespace: %w", err))
	}
	return errs
}

// move moves links from the namespace of this thread, which conn is of, to
// another.
func (k *Kernel) move(conn *rtnl.Conn, to int, moves []core.Move) []error {
	errs := make([]error, len(moves))
	for i, m := range moves {
		link, err := net.InterfaceByName(m.Name)
		if err != nil {
			errs[i] = fmt.Errorf("%w: find link %s: %w", os.ErrNotExist, m.Name, err)
			continue
		}
		r := rtnl.LinkRequest{Link: rtnl.Link{Index: uint32(link.Index), Name: m.As}, Set: rtnl.LinkName, NSFD: to, HasNSFD: true}
		msg := rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 0, &r)
		if err := conn.Execute(k.ctx, [][]byte{msg})[0]; err != nil {
			errs[i] = fmt.Errorf("move link %s to another network namespace as %s: %w", m.Name, m.As, err)
		}
	}
	return errs
}
