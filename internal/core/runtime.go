package core

import (
	"maps"
	"net/netip"
	"slices"

	"netbraid/internal/config"
	"netbraid/internal/iface"
)

// Bounds of what callers can make the core remember.
const (
	maxDynamic    = 1000 // interfaces added at run time
	maxAliases    = 1000 // aliases of devices
	maxHostRoutes = 4096 // on one interface
	maxData       = 256  // entries of data on one interface
)

// Request is what a caller asks for besides a Verb; it goes with a Command.
type Request interface{ do(c *Core) Status }

// runtime is what callers of the API have asked for, beside the configuration.
// It stays when the configuration is read again.
type runtime struct {
	file       *config.Config // the configuration in force without what is here
	dynamic    map[string]*config.Single
	added      []string // names of dynamic, in the order in which they came
	hotDevice  map[string]string
	alias      map[string]string
	data       map[string]map[string]any
	hostRoutes map[string]map[netip.Addr]bool
	pairs      []*config.Pair // added at run time, in the order in which they came
	changes    uint64         // counts what was said, or is over
}

func newRuntime() runtime {
	return runtime{file: &config.Config{}, dynamic: map[string]*config.Single{}, hotDevice: map[string]string{},
		alias: map[string]string{}, data: map[string]map[string]any{}, hostRoutes: map[string]map[netip.Addr]bool{}}
}

// effective is the configuration with the interfaces added at run time. One
// that the file has by now is the file's.
func (c *Core) effective(file *config.Config) *config.Config {
	c.asked.file = file
	c.forgetPairs(file)
	for _, i := range file.Interfaces {
		c.forgetDynamic(i.Name)
	}
	var more []*config.Single
	for _, n := range c.asked.added {
		more = append(more, c.asked.dynamic[n])
	}
	return file.With(more)
}

func (c *Core) forgetDynamic(name string) {
	if c.asked.dynamic[name] != nil {
		delete(c.asked.dynamic, name)
		c.asked.changes++
		c.asked.added = slices.DeleteFunc(c.asked.added, func(n string) bool { return n == name })
	}
}

// Names gives what may stand behind @ in a configuration besides the
// interfaces of the file: interfaces and aliases added at run time.
func (c *Core) Names() map[string]bool {
	out := map[string]bool{}
	for n := range c.asked.dynamic {
		out[n] = true
	}
	for n := range c.asked.alias {
		out[n] = true
	}
	return out
}

// Dynamic tells whether an interface was added at run time.
func (c *Core) Dynamic(name string) bool { return c.asked.dynamic[name] != nil }

// Base is the configuration that an interface of that name is added to: that
// in force without what was added under the name before.
func (c *Core) Base(name string) *config.Config {
	var more []*config.Single
	for _, n := range c.asked.added {
		if n != name {
			more = append(more, c.asked.dynamic[n])
		}
	}
	return c.asked.file.With(more)
}

// Data is what callers have attached to an interface, to be shown with it; not
// to be changed.
func (c *Core) Data(name string) map[string]any { return c.asked.data[name] }

// AddDynamic adds an interface at run time. It stays when the configuration is
// read again, and goes when it is torn down, for whatever reason.
type AddDynamic struct{ Single *config.Single }

func (r *AddDynamic) do(c *Core) Status {
	next := r.Single.Interface
	n := next.Name
	old, m := c.asked.dynamic[n], c.ifaces[n]
	switch {
	case old == nil && m != nil, old != nil && m != nil && m.Removing():
		c.log(levelWarn, "an interface is not added: its name is taken", "interface", n)
		return InvalidArgument
	case old != nil && slices.EqualFunc(old.Interface.Options, next.Options, sameOption):
		return OK // handlers say it again with each renewal
	case old == nil && len(c.asked.dynamic) >= maxDynamic:
		c.log(levelWarn, "an interface is not added: there are too many", "interface", n, "most", maxDynamic)
		return UnknownError
	}
	if twin := c.twin(next); twin != "" {
		c.log(levelWarn, "an interface is not added: another runs the same protocol on the same device; they would throw each other out",
			"interface", n, "proto", next.Proto, "device", next.Device, "other", twin)
		return InvalidArgument
	}
	if old == nil {
		c.asked.added = append(c.asked.added, n)
	}
	c.asked.dynamic[n] = r.Single
	c.asked.changes++
	c.configure(c.asked.file)
	return OK
}

func sameOption(a, b config.Option) bool {
	return a.Name == b.Name && a.List == b.List && slices.Equal(a.Values, b.Values)
}

// twin gives the interface that runs the same protocol on the same device:
// nothing is wrong with that where addresses are just written, but two clients
// of one server on one device never come to rest.
func (c *Core) twin(next *config.Interface) string {
	if next.Device == "" || c.spec(next.Proto).Flags.Immediate {
		return ""
	}
	for _, n := range sortedKeys(c.ifaces) {
		if m := c.ifaces[n]; n != next.Name && m.Config.Proto == next.Proto && m.Config.Device == next.Device {
			return n
		}
	}
	return ""
}

// SetData attaches data to an interface, by name; what is there under other
// names stays. It goes when the interface goes down. The values are opaque.
type SetData struct {
	Interface string
	Data      map[string]any
}

func (r *SetData) do(c *Core) Status {
	m := c.ifaces[r.Interface]
	if m == nil {
		return NotFound
	}
	if len(r.Data) == 0 {
		return OK
	}
	next := maps.Clone(c.asked.data[r.Interface])
	if next == nil {
		next = map[string]any{}
	}
	maps.Copy(next, r.Data)
	if len(next) > maxData {
		return InvalidArgument
	}
	c.asked.data[r.Interface] = next
	m.DataChanged()
	c.check[r.Interface] = true
	return OK
}

// SetAlias makes names that configuration can use as @NAME stand for a device;
// an empty Device takes them back.
type SetAlias struct {
	Names  []string
	Device string
}

func (r *SetAlias) do(c *Core) Status {
	c.asked.changes++
	for _, n := range r.Names {
		if r.Device == "" {
			delete(c.asked.alias, n)
		} else if _, known := c.asked.alias[n]; !known && len(c.asked.alias) >= maxAliases {
			return UnknownError
		} else {
			c.asked.alias[n] = r.Device
		}
		for i, m := range c.ifaces {
			if parentOf(m.Config) == n {
				c.check[i] = true
			}
		}
	}
	return OK
}

// SetDeviceState says what somebody else knows of a device. nil: not said.
type SetDeviceState struct {
	Device string
	Defer  *bool // not to be used yet
	Auth   *bool // 802.1X has let it through
}

func (r *SetDeviceState) do(c *Core) Status {
	if !c.graph.State(r.Device).Known {
		return NotFound
	}
	if r.Defer != nil {
		c.graph.SetDeferred(r.Device, *r.Defer)
	}
	if r.Auth != nil {
		c.graph.SetAuthorized(r.Device, *r.Auth)
		for n := range c.onDevice[r.Device] {
			c.check[n] = true
		}
	}
	return OK
}

// AddPort puts a device into an interface: as a port of its bridge, or as its
// device when the section names none. It stays when the configuration is read
// again, and goes with the link. Remove takes it out again.
type AddPort struct {
	Interface, Device string
	External          bool // somebody else brings the link up and down
	Remove            bool
}

func (r *AddPort) do(c *Core) Status {
	m := c.ifaces[r.Interface]
	if m == nil {
		return NotFound
	}
	main, hot := m.Device(), c.asked.hotDevice[r.Interface]
	switch {
	case r.Remove && hot != "" && hot == r.Device:
		c.dropHotDevice(r.Interface)
		return OK
	case !r.Remove && m.Config.Device == "" && parentOf(m.Config) == "":
		return c.addHotDevice(m, r)
	case main == r.Device && !r.Remove:
		return OK
	case !c.graph.Hotplugs(main):
		if main == "" && r.Remove {
			return NotFound
		}
		return NotSupported
	case r.Remove:
		if !c.graph.RemovePort(main, r.Device) {
			return NotFound
		}
		return OK
	case !c.graph.AddPort(main, r.Device, r.External):
		return InvalidArgument
	}
	return OK
}

func (c *Core) addHotDevice(m *iface.Machine, r *AddPort) Status {
	if old := c.asked.hotDevice[r.Interface]; old != "" && old != r.Device {
		c.graph.SetExternal(old, false)
	}
	c.asked.hotDevice[r.Interface] = r.Device
	c.asked.changes++
	c.graph.Use(r.Device, m.User()) // as setDevice will
	c.graph.SetExternal(r.Device, r.External)
	c.check[r.Interface] = true
	return OK
}

func (c *Core) dropHotDevice(name string) {
	if dev := c.asked.hotDevice[name]; dev != "" {
		c.graph.SetExternal(dev, false)
		delete(c.asked.hotDevice, name)
		c.asked.changes++
		c.check[name] = true
	}
}

// Prepare keeps the bridge of an interface present though it may have no port.
type Prepare struct{ Interface string }

func (r *Prepare) do(c *Core) Status {
	m := c.ifaces[r.Interface]
	if m == nil || m.Device() == "" {
		return NotFound
	}
	c.graph.Prepare(m.Device())
	return OK
}

// wentDown forgets what goes with an interface that has gone down.
func (c *Core) wentDown(name string) {
	delete(c.asked.data, name)
	if c.asked.hostRoutes[name] != nil {
		delete(c.asked.hostRoutes, name)
		c.asked.changes++
	}
}

// dropped forgets what goes with an interface that is no more.
func (c *Core) dropped(m *iface.Machine) {
	n := m.Config.Name
	c.wentDown(n)
	if dev := c.asked.hotDevice[n]; dev != "" {
		c.graph.SetExternal(dev, false)
		delete(c.asked.hotDevice, n)
		c.asked.changes++
	}
	if one := c.asked.dynamic[n]; one != nil && m.Dynamic {
		c.forgetDynamic(n)
		c.cfg = c.effective(c.asked.file)
		if len(one.Devices) > 0 {
			c.graph.Configure(c.cfg.Devices)
		}
	}
}

// passes tells whether traffic can go through a device: it is up, and 802.1X
// does not hold it back.
func (c *Core) passes(device string) bool {
	s := c.graph.State(device)
	return s.Up && (!s.Auth || s.Authorized)
}
