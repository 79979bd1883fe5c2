package api

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/ubus"
)

// maxMoving bounds the calls of netns_updown under way: each holds a
// descriptor.
const maxMoving = 16

// netnsUpDown moves the devices of a jail into the network namespace that comes
// with the call, or out of it. Without a namespace, or a name at the start, the
// answer is Invalid argument.
func (s *Server) netnsUpDown(r *ubus.Request) {
	args := r.Args()
	do := &core.Jail{}
	do.Name, _ = args.String("jail")
	do.Start, _ = args.Bool("start")
	ns := r.TakeFD()
	if ns == nil || !isNetNS(ns) || do.Start && do.Name == "" {
		closeFile(ns)
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	if s.moving.Add(1) > maxMoving {
		s.log.Warn("call refused: too many moves of devices under way", "method", "network netns_updown")
		s.end(r, ns, ubus.StatusUnknownError)
		return
	}
	taken := s.tryLoop(func(*core.Core, time.Time) {
		s.command(do, func(st core.Status) {
			if st != core.OK || len(do.Moves) == 0 {
				s.end(r, ns, ubus.Status(st))
				return
			}
			s.back.MoveLinks(int(ns.Fd()), do.Moves, !do.Start, func(errs []error) { s.end(r, ns, s.moved(do, errs)) })
		})
	})
	if !taken {
		s.end(r, ns, ubus.StatusUnknownError)
	}
}

// moved tells what became of the links. One that is not in a jail that stops
// has nothing to come back from.
func (s *Server) moved(do *core.Jail, errs []error) ubus.Status {
	st := ubus.StatusOK
	for i, err := range errs {
		m := do.Moves[i]
		switch {
		case err == nil:
			s.log.Info("device has changed its network namespace", "interface", m.Interface, "device", m.Name, "as", m.As, "into the jail", do.Start)
		case !do.Start && errors.Is(err, fs.ErrNotExist):
		default:
			s.log.Error("cannot move a device", "interface", m.Interface, "jail", do.Name, "error", err)
			st = ubus.StatusUnknownError
		}
	}
	return st
}

func (s *Server) end(r *ubus.Request, ns *os.File, st ubus.Status) {
	s.moving.Add(-1)
	closeFile(ns)
	r.Done(st)
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// isNetNS tells whether a descriptor is one of a network namespace
// (ioctl_nsfs(2)).
func isNetNS(f *os.File) bool {
	t, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	return err == nil && t == unix.CLONE_NEWNET
}
