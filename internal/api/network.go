package api

import (
	"errors"
	"io/fs"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/ubus"
)

// networkTable serves the object network.
func (s *Server) networkTable() map[string]handler {
	return map[string]handler{
		"reload":             s.reload,
		"restart":            s.restart,
		"get_proto_handlers": s.protoHandlers,
		"add_host_route":     s.addHostRoute,
		"add_dynamic":        s.addDynamic,
		"netns_updown":       s.netnsUpDown,
	}
}

// refused is an error that says what is wrong with a configuration
// (daemon.RefusedError).
type refused interface{ Refused() []config.Problem }

// reload answers Invalid argument for a configuration that is refused, Not
// found for one that is not there.
func (s *Server) reload(r *ubus.Request) {
	s.onLoop(r, func(*core.Core, time.Time) { r.Done(reloadStatus(s.back.Reload())) })
}

func reloadStatus(err error) ubus.Status {
	var bad refused
	switch {
	case err == nil:
		return ubus.StatusOK
	case errors.As(err, &bad):
		return ubus.StatusInvalidArgument
	case errors.Is(err, fs.ErrNotExist):
		return ubus.StatusNotFound
	}
	return ubus.StatusUnknownError
}

// restart reads the configuration and takes every interface down and up. As
// everywhere, a configuration that is wrong changes nothing.
func (s *Server) restart(r *ubus.Request) {
	s.onLoop(r, func(*core.Core, time.Time) {
		if st := reloadStatus(s.back.Reload()); st != ubus.StatusOK {
			r.Done(st)
			return
		}
		s.back.Command(core.Command{Verb: core.VerbRestartAll}, func(st core.Status) { r.Done(ubus.Status(st)) })
	})
}
