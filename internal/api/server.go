package api

import (
	"log/slog"
	"sync/atomic"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/proto"
	"netbraid/ubus"
)

// Backend is the daemon, as the API needs it (package daemon has one).
type Backend interface {
	// Call runs f on the loop. It returns false when the daemon is ending or
	// too much waits already.
	Call(f func(c *core.Core, now time.Time)) bool
	// Command hands a command to the core; reply comes on the loop. Only to
	// be called on the loop.
	Command(cmd core.Command, reply func(core.Status))
	// Reload reads the configuration again. Only to be called on the loop.
	Reload() error
	// Version changes with whatever is shown of interfaces (core.Version).
	// From any goroutine.
	Version() uint64
	// ParseInterface makes an interface of options as a section would have
	// them, beside the configuration in force. Only to be called on the loop.
	ParseInterface(name string, options []config.Option) (*config.Single, []config.Problem)
	// MoveLinks moves links to the network namespace of fd, or back from it.
	// done comes on any goroutine; fd stays open until then.
	MoveLinks(fd int, moves []core.Move, back bool, done func([]error))
}

// Bus is what the API needs of the ubus; a ubus.Bus has it. No method blocks.
type Bus interface {
	AddObject(path string, methods []ubus.Method, handler ubus.Handler) error
	RemoveObject(path string) error
	Notify(path, name string, data ubus.Table) error
	Event(name string, data ubus.Table)
	HasSubscribers(path string) bool
}

// Options of a Server.
type Options struct {
	// NSFD is the namespace whose devices are shown, as in daemon.Options;
	// < 0: that of the process.
	NSFD    int
	Protos  proto.Registry // for get_proto_handlers; nil for the built-in ones
	Version string         // for the object netbraid
	Log     *slog.Logger
}

// Server keeps the objects on the bus and answers calls.
type Server struct {
	o       Options
	back    Backend
	bus     Bus
	log     *slog.Logger
	started time.Time
	reader  *reader
	iface   ubus.Handler // of every network.interface.NAME

	cache      cache
	waiting    atomic.Int64 // calls that wait for the loop
	moving     atomic.Int32 // calls of netns_updown under way
	slowStatus handler
}

// NewServer puts the fixed objects on the bus. Publish brings the others, so
// the Server must be there before the daemon's first step.
func NewServer(back Backend, bus Bus, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Protos == nil {
		o.Protos = proto.Builtin()
	}
	s := &Server{o: o, back: back, bus: bus, log: o.Log, started: time.Now(), reader: &reader{nsfd: o.NSFD}}
	s.slowStatus = s.withInterface(s.interfaceStatus)
	s.iface = s.serve(s.interfaceTable())
	for _, obj := range []struct {
		path    string
		methods []ubus.Method
		handler ubus.Handler
	}{
		{"network", networkMethods, s.serve(s.networkTable())},
		{"network.device", deviceMethods, s.serve(s.deviceTable())},
		{"network.interface", interfaceMethods, s.iface},
		{"netbraid", ownMethods, s.serve(s.ownTable())},
		{"netbraid.mirror", mirrorMethods, s.serve(s.mirrorTable())},
		{"netbraid.pair", pairMethods, s.serve(s.pairTable())},
		{"netbraid.ovs", ovsMethods, s.serve(s.ovsTable())},
	} {
		if err := bus.AddObject(obj.path, obj.methods, obj.handler); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// handler serves one method. It must end the request, now or later.
type handler func(r *ubus.Request)

func (s *Server) serve(table map[string]handler) ubus.Handler {
	return func(r *ubus.Request) {
		if h := table[r.Method]; h != nil {
			h(r)
			return
		}
		r.Done(ubus.StatusMethodNotFound)
	}
}

// onLoop runs f on the loop; when that is not possible the request ends.
func (s *Server) onLoop(r *ubus.Request, f func(c *core.Core, now time.Time)) {
	if !s.tryLoop(f) {
		s.log.Warn("call refused: the daemon is ending or has too much to do", "object", r.Object, "method", r.Method)
		r.Done(ubus.StatusUnknownError)
	}
}

// tryLoop runs f on the loop; false when that is not possible.
func (s *Server) tryLoop(f func(c *core.Core, now time.Time)) bool {
	s.waiting.Add(1)
	taken := s.back.Call(func(c *core.Core, now time.Time) {
		defer s.waiting.Add(-1)
		f(c, now)
	})
	if !taken {
		s.waiting.Add(-1)
	}
	return taken
}

// maxReply is what fits into one message of the bus besides its headers.
const maxReply = ubus.MaxMessage - 256

// reply ends a call with an answer. One that does not fit into a message of
// the bus is an error, not an answer without content.
func (s *Server) reply(r *ubus.Request, t ubus.Table) { s.replyRaw(r, t.Encode()) }

func (s *Server) replyRaw(r *ubus.Request, b []byte) {
	if len(b) > maxReply {
		s.log.Error("the answer is too long for one message of the bus; ask for less", "object", r.Object, "method", r.Method, "octets", len(b))
		r.Done(ubus.StatusNoMemory)
		return
	}
	r.ReplyRaw(b)
	r.Done(ubus.StatusOK)
}

// announced are the device events that netifd makes known on the bus.
var announced = map[string]bool{"add": true, "remove": true, "up": true, "down": true, "auth_up": true, "link_up": true,
	"link_down": true, "topo_change": true}

// Publish makes known what the core has done. It is called on the loop
// (daemon.Options.Publish).
func (s *Server) Publish(c *core.Core, a core.Action, now time.Time) {
	switch a := a.(type) {
	case core.Object:
		s.object(a)
	case core.Publish:
		s.publishInterface(c, a, now)
	case core.DeviceEvent:
		if !s.bus.HasSubscribers("network.device") {
			return
		}
		if a.Event == "setup" {
			s.stp(c, a.Device) // before the bridge is there: whoever runs its spanning tree must know
		}
		if !announced[a.Event] {
			return
		}
		st := c.Graph().State(a.Device)
		s.notify("network.device", a.Event, ubus.Table{
			{Name: "name", Value: a.Device}, {Name: "auth_status", Value: st.Authorized}, {Name: "present", Value: st.Present},
			{Name: "active", Value: st.Claims > 0}, {Name: "link_active", Value: st.Link}})
	}
}

// object gives an interface its object, or takes it off.
func (s *Server) object(a core.Object) {
	path := interfacePath(a.Interface)
	var err error
	if a.Gone {
		s.cache.forget(a.Interface)
		err = s.bus.RemoveObject(path)
	} else {
		err = s.bus.AddObject(path, interfaceMethods, s.iface)
	}
	if err != nil {
		s.log.Error("cannot change an object on the bus", "object", path, "error", err)
	}
}

func (s *Server) publishInterface(c *core.Core, a core.Publish, now time.Time) {
	notice, action := "interface.update", ""
	switch a.Notice {
	case iface.IfUp:
		action = "ifup"
	case iface.IfDown:
		notice, action = "interface.down", "ifdown"
	case iface.IfUpFailed:
		return // only hotplug scripts are told, as by netifd
	}
	if action != "" {
		s.bus.Event("network.interface", ubus.Table{{Name: "action", Value: action}, {Name: "interface", Value: a.Interface}})
	}
	m := c.Interface(a.Interface)
	if m == nil {
		return
	}
	var body ubus.Table
	for _, path := range []string{"network.interface", interfacePath(a.Interface)} {
		if !s.bus.HasSubscribers(path) {
			continue
		}
		if body == nil {
			body = append(ubus.Table{{Name: "interface", Value: a.Interface}}, InterfaceStatus(c, m, now)...)
		}
		s.notify(path, notice, body)
	}
}

func (s *Server) notify(path, name string, data ubus.Table) {
	if err := s.bus.Notify(path, name, data); err != nil {
		s.log.Warn("cannot send a notification", "object", path, "name", name, "error", err)
	}
}

func interfacePath(name string) string { return "network.interface." + name }
