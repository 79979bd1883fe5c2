package api

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/ubus"
)

// Bounds of what a message may ask us to remember.
const (
	maxOptions = 256
	maxDataLen = 64 << 10 // octets
)

// command hands a request to the core; then gets the outcome, on the loop.
func (s *Server) command(do core.Request, then func(core.Status)) {
	s.back.Command(core.Command{Do: do}, then)
}

// finish hands a request to the core and ends the call with the outcome.
func (s *Server) finish(r *ubus.Request, do core.Request) {
	s.command(do, func(st core.Status) { r.Done(ubus.Status(st)) })
}

// session is an argument that rpcd adds to every call that comes through HTTP.
const session = "ubus_rpc_session"

// addDynamic adds an interface; its options are checked as those of a section.
func (s *Server) addDynamic(r *ubus.Request) {
	args := r.Args()
	name, ok := args.String("name")
	options, good := optionsOf(args, "name", session)
	if !ok || !good {
		s.log.Warn("add_dynamic: it needs a name, and options that are words, numbers or lists of them", "name", name)
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	s.onLoop(r, func(*core.Core, time.Time) {
		one, problems := s.back.ParseInterface(name, options)
		for _, p := range problems {
			s.log.Warn("add_dynamic: "+p.String(), "interface", name)
		}
		if config.HasErrors(problems) {
			r.Done(ubus.StatusInvalidArgument)
			return
		}
		s.finish(r, &core.AddDynamic{Single: one})
	})
}

// optionsOf turns the fields of a message into options as a section has them.
// Of two with one name the first counts. false: one cannot be an option.
func optionsOf(t ubus.Table, but ...string) ([]config.Option, bool) {
	var out []config.Option
	seen := map[string]bool{}
	for _, f := range t {
		if slices.Contains(but, f.Name) || seen[f.Name] || f.Value == nil {
			continue
		}
		seen[f.Name] = true
		o := config.Option{Name: f.Name}
		values := ubus.Array{f.Value}
		if l, ok := f.Value.(ubus.Array); ok {
			values, o.List = l, true
		}
		for _, v := range values {
			w, ok := wordOf(v)
			if !ok {
				return nil, false
			}
			o.Values = append(o.Values, w)
		}
		out = append(out, o)
	}
	return out, len(out) <= maxOptions
}

// wordOf writes a value as a section would have it.
func wordOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, !strings.ContainsRune(v, 0)
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	case int8:
		return strconv.Itoa(int(v)), true
	case int16:
		return strconv.Itoa(int(v)), true
	case int32:
		return strconv.Itoa(int(v)), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}

// setData keeps the fields of the message with the interface.
func (s *Server) setData(r *ubus.Request, _ *core.Core, m *iface.Machine, _ time.Time) {
	if len(r.RawArgs()) > maxDataLen {
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	data := map[string]any{}
	for _, f := range r.Args() {
		if _, bad := f.Value.(ubus.Malformed); !bad && f.Name != "" && f.Name != session && f.Name != "interface" {
			data[f.Name] = f.Value
		}
	}
	s.finish(r, &core.SetData{Interface: m.Config.Name, Data: data})
}

// attached is the field data of a status: the zone, then what the protocol and
// callers have attached, in the order of the names. What callers said counts.
func attached(c *core.Core, m *iface.Machine) ubus.Table {
	set := map[string]any{}
	if o := m.Offer(); o != nil {
		for _, f := range tableOf(o.Data) {
			set[f.Name] = f.Value
		}
	}
	maps.Copy(set, c.Data(m.Config.Name))
	out := ubus.Table{}
	if _, said := set["zone"]; m.Config.Zone != "" && !said {
		out = append(out, ubus.Field{Name: "zone", Value: m.Config.Zone})
	}
	for _, n := range slices.Sorted(maps.Keys(set)) {
		out = append(out, ubus.Field{Name: n, Value: set[n]})
	}
	return out
}

// addDevice serves add_device and remove_device.
func (s *Server) addDevice(r *ubus.Request, _ *core.Core, m *iface.Machine, _ time.Time) {
	args := r.Args()
	name, ok := args.String("name")
	if !ok || !linkName(name) {
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	external, said := args.Bool("link-ext")
	if vlans, _ := args.Array("vlan"); len(vlans) > 0 {
		s.log.Warn("VLANs of a bridge port are not built yet: the port has none", "interface", m.Config.Name, "device", name)
	}
	s.finish(r, &core.AddPort{Interface: m.Config.Name, Device: name, External: external || !said, Remove: r.Method == "remove_device"})
}

// linkName tells whether a link can have the name (dev_valid_name).
func linkName(n string) bool {
	return n != "" && len(n) <= 15 && n != "." && n != ".." && !strings.ContainsAny(n, "/: \t\n\v\f\r\x00")
}

// addHostRoute gives a host a route of its own.
func (s *Server) addHostRoute(r *ubus.Request) {
	args := r.Args()
	target, _ := args.String("target")
	v6, _ := args.Bool("v6")
	addr, err := netip.ParseAddr(target)
	if err != nil || addr.Zone() != "" || addr.Is6() != v6 {
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	do := &core.AddHostRoute{Target: addr}
	do.Interface, _ = args.String("interface")
	do.Exclude, _ = args.Bool("exclude")
	s.onLoop(r, func(*core.Core, time.Time) {
		s.command(do, func(st core.Status) {
			if st != core.OK {
				r.Done(ubus.Status(st))
				return
			}
			s.reply(r, ubus.Table{{Name: "interface", Value: do.Chosen}})
		})
	})
}

// setAlias makes names stand for a device, or for none.
func (s *Server) setAlias(r *ubus.Request) {
	args := r.Args()
	list, ok := args.Array("alias")
	do := &core.SetAlias{}
	for _, v := range list {
		n, isText := v.(string)
		ok = ok && isText && n != "" && len(n) <= 64
		do.Names = append(do.Names, n)
	}
	dev, said := args.String("device")
	if !ok || said && !linkName(dev) {
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	do.Device = dev
	s.onLoop(r, func(*core.Core, time.Time) { s.finish(r, do) })
}

// setState takes what others know of a device: that it is not to be used yet,
// that 802.1X has let it through.
func (s *Server) setState(r *ubus.Request) {
	args := r.Args()
	do := &core.SetDeviceState{}
	var ok bool
	if do.Device, ok = args.String("name"); !ok {
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	if v, said := args.Bool("defer"); said {
		do.Defer = &v
	}
	if v, said := args.Bool("auth_status"); said {
		do.Auth = &v
	}
	if vlans, _ := args.Array("auth_vlans"); len(vlans) > 0 {
		s.log.Warn("VLANs of a bridge port are not built yet: the port has none", "device", do.Device)
	}
	s.onLoop(r, func(*core.Core, time.Time) { s.finish(r, do) })
}

// stpInit tells whoever runs spanning trees of all bridges that want it.
func (s *Server) stpInit(r *ubus.Request) {
	s.onLoop(r, func(c *core.Core, _ time.Time) {
		for _, n := range c.Graph().Names() {
			s.stp(c, n)
		}
		r.Done(ubus.StatusOK)
	})
}

// stp tells how the spanning tree of a bridge is to be run, unless the kernel
// runs it or there is none. The times are in seconds.
func (s *Server) stp(c *core.Core, bridge string) {
	cfg := c.Graph().State(bridge).Config
	if cfg == nil || cfg.Type != config.Bridge || !cfg.BridgeOpt.STP || cfg.BridgeOpt.STPKernel || !s.bus.HasSubscribers("network.device") {
		return
	}
	o := &cfg.BridgeOpt
	t := ubus.Table{{Name: "name", Value: bridge}}
	if o.STPProto != "" {
		t = append(t, ubus.Field{Name: "proto", Value: o.STPProto})
	}
	t = append(t, ubus.Table{
		{Name: "forward_delay", Value: int32(o.ForwardDelay)},
		{Name: "hello_time", Value: int32(o.HelloTime)},
		{Name: "max_age", Value: int32(o.MaxAge)},
	}...)
	if o.AgeingTime != 0 {
		t = append(t, ubus.Field{Name: "ageing_time", Value: int32(o.AgeingTime)})
	}
	s.notify("network.device", "stp_init", t)
}
