package api

import (
	"strings"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/ubus"
)

// interfaceTable serves network.interface and the object of each interface.
func (s *Server) interfaceTable() map[string]handler {
	command := func(v core.Verb) handler {
		return s.withInterface(func(r *ubus.Request, _ *core.Core, m *iface.Machine, _ time.Time) {
			s.back.Command(core.Command{Verb: v, Interface: m.Config.Name}, func(st core.Status) { r.Done(ubus.Status(st)) })
		})
	}
	return map[string]handler{
		"up":            command(core.VerbUp),
		"down":          command(core.VerbDown),
		"renew":         command(core.VerbRenew),
		"restart":       command(core.VerbRestart),
		"remove":        command(core.VerbRemove),
		"status":        s.status,
		"prepare":       s.withInterface(s.prepare),
		"dump":          s.dump,
		"notify_proto":  s.withInterface(s.notifyProto),
		"add_device":    s.withInterface(s.addDevice),
		"remove_device": s.withInterface(s.addDevice),
		"set_data":      s.withInterface(s.setData),
	}
}

// interfaceName is the interface that a call is about: that of the object, or
// the argument `interface`.
func interfaceName(r *ubus.Request) (string, bool) {
	if name, ok := strings.CutPrefix(r.Object, "network.interface."); ok {
		return name, true
	}
	return r.Args().String("interface")
}

// withInterface finds the interface that a call is about. Without one the
// answer is Invalid argument, for an unknown one Not found (as netifd's).
func (s *Server) withInterface(f func(r *ubus.Request, c *core.Core, m *iface.Machine, now time.Time)) handler {
	return func(r *ubus.Request) {
		name, ok := interfaceName(r)
		if !ok {
			r.Done(ubus.StatusInvalidArgument)
			return
		}
		s.onLoop(r, func(c *core.Core, now time.Time) {
			m := c.Interface(name)
			if m == nil {
				r.Done(ubus.StatusNotFound)
				return
			}
			f(r, c, m, now)
		})
	}
}

// status answers at once from what is kept, unless calls wait for the loop:
// one of the same caller may be among them.
func (s *Server) status(r *ubus.Request) {
	if name, ok := interfaceName(r); ok && name != "" && s.waiting.Load() == 0 &&
		s.cache.with(name, s.back.Version(), time.Now(), r.ReplyRaw) {
		r.Done(ubus.StatusOK)
		return
	}
	s.slowStatus(r)
}

func (s *Server) interfaceStatus(r *ubus.Request, c *core.Core, m *iface.Machine, now time.Time) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	k, _ := s.cache.status(c, m, c.Version(), now)
	s.replyRaw(r, k.data)
}

// prepare tells whether the main device is a bridge that others may be put
// into, and keeps it present from then on, though nothing may be in it yet.
func (s *Server) prepare(r *ubus.Request, c *core.Core, m *iface.Machine, _ time.Time) {
	bridge := c.Graph().Hotplugs(m.Device())
	s.command(&core.Prepare{Interface: m.Config.Name}, func(st core.Status) {
		if st != core.OK {
			r.Done(ubus.Status(st))
			return
		}
		s.reply(r, ubus.Table{{Name: "bridge", Value: bridge}})
	})
}

// dump is the status of all interfaces, sorted by name.
func (s *Server) dump(r *ubus.Request) {
	if s.waiting.Load() == 0 && s.cache.with("", s.back.Version(), time.Now(), func(b []byte) { s.replyRaw(r, b) }) {
		return
	}
	s.onLoop(r, func(c *core.Core, now time.Time) {
		s.cache.mu.Lock()
		defer s.cache.mu.Unlock()
		s.replyRaw(r, s.cache.all(c, c.Version(), now).data)
	})
}

// Dump is the answer to `network.interface dump`.
func Dump(c *core.Core, now time.Time) ubus.Table {
	list := ubus.Array{}
	for _, n := range c.Interfaces() {
		st := InterfaceStatus(c, c.Interface(n), now)
		list = append(list, append(ubus.Table{{Name: "interface", Value: n}}, st...))
	}
	return ubus.Table{{Name: "interface", Value: list}}
}
