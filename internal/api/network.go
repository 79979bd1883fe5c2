package api

import (
	"errors"
	"io/fs"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/proto"
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
		"netns_updown":       s.later,
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

// staticOptions are the options of static with their validators, as netifd
// publishes them.
var staticOptions = [][2]string{{"ipaddr", "ip4addr"}, {"ip6addr", "ip6addr"}, {"netmask", "netmask"},
	{"broadcast", "ipaddr"}, {"ptpaddr", "ip4addr"}, {"gateway", "ip4addr"}, {"ip6gw", "ip6addr"},
	{"ip6prefix", "ip6addr"}, {"ip6deprecated", "bool"}}

// protoHandlers lists the protocols but none, which is no handler in netifd.
func (s *Server) protoHandlers(r *ubus.Request) {
	out := ubus.Table{}
	for _, n := range s.o.Protos.Names() {
		if n != "none" {
			out = append(out, ubus.Field{Name: n, Value: protoHandler(s.o.Protos[n])})
		}
	}
	s.reply(r, out)
}

func protoHandler(p proto.Spec) ubus.Table {
	validate := ubus.Table{}
	if p.Name == "static" {
		for _, o := range staticOptions {
			validate = append(validate, ubus.Field{Name: o[0], Value: o[1]})
		}
	}
	return ubus.Table{
		{Name: "validate", Value: validate},
		{Name: "immediate", Value: p.Flags.Immediate},
		{Name: "no_device", Value: p.Flags.NoDevice},
		{Name: "init_available", Value: p.Flags.NoDevice},
		{Name: "renew_available", Value: p.Flags.Renew},
		{Name: "force_link_default", Value: p.Name == "static"},
		{Name: "last_error", Value: false},
		{Name: "teardown_on_l3_link_down", Value: false},
		{Name: "no_task", Value: false},
	}
}
