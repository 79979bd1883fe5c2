package api

import (
	"log/slog"
	"sync"
	"time"

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
}

// Bus is what the API needs of the ubus (ubus.Bus and ubus.Broker have it).
type Bus interface {
	AddObject(path string, methods []ubus.Method, handler ubus.Handler) error
	RemoveObject(path string) error
	Notify(path, name string, data ubus.Table) error
	Event(name string, data ubus.Table)
}

// Options of a Server. The zero value serves the process' own namespace.
type Options struct {
	// NSFD is the namespace whose devices are shown; with InNS false that of
	// the process.
	NSFD int
	InNS bool
	// Protos are listed by get_proto_handlers; nil for the built-in ones.
	Protos  proto.Registry
	Version string // for `netbraid status`
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

	mu      sync.Mutex
	queue   []message
	dropped int             // messages that found the queue full
	wanted  map[string]bool // interfaces that are to have an object
	resync  bool            // the queue has overflowed: look at all of wanted
	wake    chan struct{}
	stop    chan struct{}
	done    chan struct{}
	objects map[string]bool // interfaces that have one; only the sender's
}

// message is something for the bus, in the order of the core's actions.
type message struct {
	object string // an interface that has come or gone
	path   string // of a notification; "" for an event
	name   string
	data   ubus.Table
}

// maxQueue bounds the messages that wait for the bus. What comes when it is
// full is counted, logged and left out; objects are made up for.
const maxQueue = 16384

// NewServer puts the fixed objects on the bus. Publish brings the others.
func NewServer(back Backend, bus Bus, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Protos == nil {
		o.Protos = proto.Builtin()
	}
	if !o.InNS {
		o.NSFD = -1
	}
	s := &Server{o: o, back: back, bus: bus, log: o.Log, started: time.Now(), reader: &reader{nsfd: o.NSFD},
		wanted: map[string]bool{}, objects: map[string]bool{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	for _, obj := range []struct {
		path    string
		methods []ubus.Method
		table   map[string]handler
	}{
		{"network", networkMethods, s.networkTable()},
		{"network.device", deviceMethods, s.deviceTable()},
		{"network.interface", interfaceMethods, s.interfaceTable()},
		{"netbraid", ownMethods, s.ownTable()},
	} {
		if err := bus.AddObject(obj.path, obj.methods, s.serve(obj.table)); err != nil {
			return nil, err
		}
	}
	go s.send()
	return s, nil
}

// Close ends the sending of messages. The objects go with the bus.
func (s *Server) Close() {
	close(s.stop)
	<-s.done
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
	if !s.back.Call(f) {
		s.log.Warn("call refused: the daemon is ending or has too much to do", "object", r.Object, "method", r.Method)
		r.Done(ubus.StatusUnknownError)
	}
}

// later answers what is not built yet.
func (s *Server) later(r *ubus.Request) {
	s.log.Warn("this ubus method is not built yet", "object", r.Object, "method", r.Method)
	r.Done(ubus.StatusNotSupported)
}

// Publish makes known what the core has done. It is called on the loop
// (daemon.Options.Publish) and does not wait for the bus.
func (s *Server) Publish(c *core.Core, a core.Action, now time.Time) {
	switch a := a.(type) {
	case core.Object:
		s.mu.Lock()
		if a.Gone {
			delete(s.wanted, a.Interface)
		} else {
			s.wanted[a.Interface] = true
		}
		s.mu.Unlock()
		s.put(message{object: a.Interface})
	case core.Publish:
		s.publishInterface(c, a, now)
	case core.DeviceEvent:
		st := c.Graph().State(a.Device)
		s.put(message{path: "network.device", name: a.Event, data: ubus.Table{
			{Name: "name", Value: a.Device}, {Name: "auth_status", Value: false}, {Name: "present", Value: st.Present},
			{Name: "active", Value: st.Claims > 0}, {Name: "link_active", Value: st.Link}}})
	}
}

func (s *Server) publishInterface(c *core.Core, a core.Publish, now time.Time) {
	notice, action := "interface.update", ""
	switch a.Notice {
	case iface.IfUp:
		action = "ifup"
	case iface.IfDown:
		notice, action = "interface.down", "ifdown"
	}
	if action != "" {
		s.put(message{name: "network.interface", data: ubus.Table{
			{Name: "action", Value: action}, {Name: "interface", Value: a.Interface}}})
	}
	m := c.Interface(a.Interface)
	if m == nil {
		return
	}
	body := append(ubus.Table{{Name: "interface", Value: a.Interface}}, InterfaceStatus(c, m, now)...)
	s.put(message{path: "network.interface", name: notice, data: body})
	s.put(message{path: interfacePath(a.Interface), name: notice, data: body})
}

func interfacePath(name string) string { return "network.interface." + name }

func (s *Server) put(m message) {
	s.mu.Lock()
	if len(s.queue) >= maxQueue {
		s.dropped++
		s.resync = s.resync || m.object != ""
	} else {
		s.queue = append(s.queue, m)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// send hands messages to the bus, which may have to wait for a ubusd.
func (s *Server) send() {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			return
		case <-s.wake:
		}
		s.mu.Lock()
		batch, dropped, resync := s.queue, s.dropped, s.resync
		s.queue, s.dropped, s.resync = nil, 0, false
		s.mu.Unlock()
		for i := range batch {
			select {
			case <-s.stop:
				return
			default:
			}
			s.deliver(&batch[i])
		}
		if dropped > 0 {
			s.log.Warn("the bus is too slow: notifications left out", "count", dropped)
		}
		if resync {
			s.syncAll()
		}
	}
}

func (s *Server) deliver(m *message) {
	switch {
	case m.object != "":
		s.syncObject(m.object)
	case m.path == "":
		s.bus.Event(m.name, m.data)
	default:
		if err := s.bus.Notify(m.path, m.name, m.data); err != nil && ubus.StatusOf(err) != ubus.StatusNotFound {
			s.log.Warn("cannot send a notification", "object", m.path, "name", m.name, "error", err)
		}
	}
}

// syncObject gives an interface its object, or takes it off.
func (s *Server) syncObject(name string) {
	s.mu.Lock()
	want := s.wanted[name]
	s.mu.Unlock()
	if want == s.objects[name] {
		return
	}
	var err error
	if want {
		err = s.bus.AddObject(interfacePath(name), interfaceMethods, s.serve(s.interfaceTable()))
	} else {
		err = s.bus.RemoveObject(interfacePath(name))
	}
	if err != nil {
		s.log.Error("cannot change an object on the bus", "object", interfacePath(name), "error", err)
		return
	}
	if want {
		s.objects[name] = true
	} else {
		delete(s.objects, name)
	}
}

func (s *Server) syncAll() {
	s.mu.Lock()
	names := make(map[string]bool, len(s.wanted))
	for n := range s.wanted {
		names[n] = true
	}
	s.mu.Unlock()
	for n := range s.objects {
		names[n] = true
	}
	for n := range names {
		s.syncObject(n)
	}
}
