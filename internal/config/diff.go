package config

import (
	"slices"
	"strings"

	"netbraid/internal/model"
)

// Verdict says what a new configuration means for one object.
type Verdict uint8

// The verdicts.
const (
	Keep     Verdict = iota // nothing changed
	Live                    // changed, and can be written to what is running
	Restart                 // must go down and come up again
	Recreate                // must be deleted and made again
	Remove                  // is no more
	Add                     // is new
)

var verdictNames = [...]string{"keep", "live", "restart", "recreate", "remove", "add"}

func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "verdict(?)"
}

// Changes are the verdicts on all objects of two configurations.
type Changes struct {
	Devices    map[string]Verdict // by name; Restart does not occur
	Interfaces map[string]Verdict // by name; Recreate does not occur
	// RoutesChanged has the interfaces whose routes changed; "" are the
	// routes that are on no interface.
	RoutesChanged map[string]bool
	// NeighborsChanged has the interfaces whose neighbours changed.
	NeighborsChanged map[string]bool
	Globals          bool               // the section globals changed
	Mirrors          bool               // a section mirror changed
	Dataplanes       map[string]Verdict // by name; Recreate: the connection is another
	Pairs            map[string]Verdict // by name
}

// None tells that nothing changed.
func (c *Changes) None() bool {
	keep := func(m map[string]Verdict) bool {
		for _, v := range m {
			if v != Keep {
				return false
			}
		}
		return true
	}
	return !c.Globals && !c.Mirrors && len(c.RoutesChanged)+len(c.NeighborsChanged) == 0 && keep(c.Devices) && keep(c.Interfaces) &&
		keep(c.Dataplanes) && keep(c.Pairs)
}

// Diff compares two configurations; either may be nil (then nothing is in it).
// Where a section stands in its file is no difference.
func Diff(old, new *Config) Changes {
	if old == nil {
		old = &Config{}
	}
	if new == nil {
		new = &Config{}
	}
	c := Changes{Devices: make(map[string]Verdict, len(new.Devices)), Interfaces: make(map[string]Verdict, len(new.Interfaces)),
		Dataplanes: map[string]Verdict{}, Pairs: map[string]Verdict{},
		RoutesChanged: map[string]bool{}, NeighborsChanged: map[string]bool{}, Globals: old.Globals != new.Globals, Mirrors: !slices.EqualFunc(old.Mirrors, new.Mirrors, sameMirror)}
	verdicts(c.Devices, old.Devices, new.Devices, func(d *Device) string { return d.Name }, diffDevice)
	verdicts(c.Interfaces, old.Interfaces, new.Interfaces, func(i *Interface) string { return i.Name }, diffInterface)
	verdicts(c.Dataplanes, old.Dataplanes, new.Dataplanes, func(d *Dataplane) string { return d.Name }, diffDataplane)
	verdicts(c.Pairs, old.Pairs, new.Pairs, func(p *Pair) string { return p.Name }, diffPair)
	diffRoutes(&c, old.Routes, new.Routes)
	diffNeighbors(&c, old.Neighbors, new.Neighbors)
	for name := range c.NeighborsChanged {
		if v, ok := c.Interfaces[name]; ok && v == Keep {
			c.Interfaces[name] = Live
		}
	}
	for name := range c.RoutesChanged {
		if v, ok := c.Interfaces[name]; ok && v == Keep {
			c.Interfaces[name] = Live
		}
	}
	return c
}

// verdicts compares two lists of objects by name.
func verdicts[T any](out map[string]Verdict, old, new []T, name func(T) string, diff func(a, b T) Verdict) {
	before := make(map[string]T, len(old))
	for _, o := range old {
		before[name(o)] = o
		out[name(o)] = Remove
	}
	for _, n := range new {
		if o, ok := before[name(n)]; ok {
			out[name(n)] = diff(o, n)
		} else {
			out[name(n)] = Add
		}
	}
}

// diffDevice: everything that the kernel lets us write to a running link is
// live (netifd restarts for MTU, address and bridge attributes).
func diffDevice(a, b *Device) Verdict {
	switch {
	case a.Type != b.Type, a.Kind != b.Kind, a.Data != b.Data, a.Parent != b.Parent, a.VID != b.VID,
		a.PeerName != b.PeerName, a.PeerAddr != b.PeerAddr, a.Bridge != b.Bridge:
		return Recreate
	case a.Mode != b.Mode && (a.Mode == modePassthru || b.Mode == modePassthru):
		return Recreate // macvlan_changelink refuses to go to or from it
	case lost(a.Ingress, b.Ingress), lost(a.Egress, b.Egress):
		return Recreate // the kernel adds and changes mappings; it forgets none
	case a.Mode == b.Mode && a.Disabled == b.Disabled && a.Takeover == b.Takeover && a.Implied == b.Implied &&
		a.IPv6Set == b.IPv6Set && a.BridgeEmpty == b.BridgeEmpty && a.AttrFields == b.AttrFields && a.Attrs == b.Attrs &&
		a.BridgeOpt == b.BridgeOpt && sameSwitch(a.Switch, b.Switch) && sameVPort(a.VPort, b.VPort) && slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Ingress, b.Ingress) &&
		slices.Equal(a.Egress, b.Egress) && sameSettings(&a.Settings, &b.Settings):
		return Keep
	}
	return Live
}

const modePassthru = 8

// lost tells whether a mapping's "from" is in old but not in new.
func lost(old, new []string) bool {
	if len(old) == 0 || slices.Equal(old, new) {
		return false
	}
	from := make(map[string]bool, len(new))
	for _, m := range new {
		f, _, _ := strings.Cut(m, ":")
		from[f] = true
	}
	return slices.ContainsFunc(old, func(m string) bool {
		f, _, _ := strings.Cut(m, ":")
		return !from[f]
	})
}

func sameSettings(a, b *model.Settings) bool { return a.Equal(b) }

func sameMirror(a, b *Mirror) bool {
	x, y := *a, *b
	x.Pos, y.Pos = Pos{}, Pos{}
	return x == y
}

// diffInterface: what must go through down and up is what the protocol or the
// users of the interface see only there.
func diffInterface(a, b *Interface) Verdict {
	switch {
	case a.Proto != b.Proto, a.Device != b.Device, a.AliasOf != b.AliasOf, a.Zone != b.Zone, a.Jail != b.Jail, a.JailDevice != b.JailDevice, a.HostDevice != b.HostDevice, a.Auto && !b.Auto,
		(len(a.Errors) == 0) != (len(b.Errors) == 0), !sameOwn(a, b):
		return Restart
	case sameCommon(a, b) && sameStatic(a.Static, b.Static) && slices.EqualFunc(a.Errors, b.Errors, sameProblem):
		return Keep
	}
	return Live
}

func sameCommon(a, b *Interface) bool {
	return a.Auto == b.Auto && a.Takeover == b.Takeover && a.ForceLink == b.ForceLink && a.ForceLinkSet == b.ForceLinkSet &&
		a.DefaultRoute == b.DefaultRoute && a.PeerDNS == b.PeerDNS && a.Delegate == b.Delegate && a.Metric == b.Metric &&
		a.DNSMetric == b.DNSMetric && slices.Equal(a.DNS, b.DNS) && slices.Equal(a.DNSSearch, b.DNSSearch) &&
		a.IP4Table == b.IP4Table && a.IP6Table == b.IP6Table && a.CarrierLossDelay == b.CarrierLossDelay &&
		a.IP6Assign == b.IP6Assign && slices.Equal(a.IP6Class, b.IP6Class) && slices.Equal(a.Depends, b.Depends) &&
		slices.Equal(a.Tags, b.Tags) && a.HasSettings == b.HasSettings && a.IPv6Set == b.IPv6Set &&
		a.DisabledDevice == b.DisabledDevice && a.CheckupInterval == b.CheckupInterval && a.ProtoConfig == b.ProtoConfig && sameSettings(&a.Settings, &b.Settings)
}

func sameStatic(a, b *Static) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Gateway4 == b.Gateway4 && a.Gateway6 == b.Gateway6 && slices.Equal(a.Addrs, b.Addrs) && slices.Equal(a.Prefixes, b.Prefixes)
}

func sameProblem(a, b Problem) bool {
	return a.Severity == b.Severity && a.Option == b.Option && a.Value == b.Value && a.Reason == b.Reason && a.Code == b.Code
}

// sameOwn compares the options that are the protocol's own. Those of the
// built-in protocols are in the typed fields.
func sameOwn(a, b *Interface) bool {
	if len(a.own) != len(b.own) {
		return false
	}
	for i := range a.own {
		o := &a.own[i]
		// Most often the options stand in the same place.
		k := i
		if b.own[k].Name != o.Name {
			k = slices.IndexFunc(b.own, func(p Option) bool { return p.Name == o.Name })
		}
		if k < 0 || b.own[k].List != o.List || !slices.Equal(b.own[k].Values, o.Values) {
			return false
		}
	}
	return true
}

// diffRoutes compares the routes of each interface.
func diffRoutes(c *Changes, old, new []*Route) {
	if slices.EqualFunc(old, new, sameRoute) {
		return
	}
	group := func(rs []*Route) map[string][]*Route {
		m := map[string][]*Route{}
		for _, r := range rs {
			m[r.Interface] = append(m[r.Interface], r)
		}
		return m
	}
	a, b := group(old), group(new)
	for name := range a {
		if !slices.EqualFunc(a[name], b[name], sameRoute) {
			c.RoutesChanged[name] = true
		}
	}
	for name := range b {
		if a[name] == nil {
			c.RoutesChanged[name] = true
		}
	}
}

func sameRoute(a, b *Route) bool {
	x, y := *a, *b
	x.Pos, y.Pos = Pos{}, Pos{}
	return x == y
}
