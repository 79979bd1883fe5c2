package api

import (
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/ubus"
)

// InterfaceStatus is the answer to `network.interface.X status`, field by
// field as netifd gives it; every error has a message besides.
func InterfaceStatus(c *core.Core, m *iface.Machine, now time.Time) ubus.Table {
	up := m.State() == iface.Up
	t := ubus.Table{
		{Name: "up", Value: up},
		{Name: "pending", Value: m.State() == iface.SettingUp},
		{Name: "available", Value: m.Available()},
		{Name: "autostart", Value: m.Autostart},
		{Name: "dynamic", Value: m.Dynamic},
	}
	add := func(name string, v any) { t = append(t, ubus.Field{Name: name, Value: v}) }
	if up {
		add("uptime", int32(m.Uptime(now)/time.Second))
		if l3 := m.L3Device(); l3 != "" {
			add("l3_device", l3)
		}
	}
	add("proto", m.Config.Proto)
	if dev := shownDevice(m); dev != "" {
		add("device", dev)
	}
	if m.Config.Jail != "" {
		add("jail", m.Config.Jail)
	}
	if m.Config.JailDevice != "" {
		add("jail_device", m.Config.JailDevice)
	}
	if len(m.Config.Tags) > 0 {
		add("tags", stringArray(m.Config.Tags))
	}
	if up {
		t = append(t, upStatus(c, m, now)...)
	}
	add("data", attached(c, m))
	if errs := Errors(c, m); len(errs) > 0 {
		add("errors", errs)
	}
	return t
}

// shownDevice is the main device; for an alias that has none now, nothing.
func shownDevice(m *iface.Machine) string {
	if d := m.Device(); d != "" {
		return d
	}
	if m.Config.AliasOf != "" || len(m.Config.Device) > 0 && m.Config.Device[0] == '@' {
		return ""
	}
	return m.Config.Device
}

// upStatus has what only an interface that is up shows.
func upStatus(c *core.Core, m *iface.Machine, now time.Time) ubus.Table {
	var t ubus.Table
	add := func(name string, v any) { t = append(t, ubus.Field{Name: name, Value: v}) }
	if u := updated(m.Updated()); len(u) > 0 {
		add("updated", u)
	}
	if m.Config.IP4Table != 0 {
		add("ip4table", int32(m.Config.IP4Table))
	}
	if m.Config.IP6Table != 0 {
		add("ip6table", int32(m.Config.IP6Table))
	}
	add("metric", int32(m.Config.Metric))
	add("dns_metric", int32(m.Config.DNSMetric))
	add("delegation", m.Config.Delegate)
	if w := m.Config.IP6Assign.Weight; w != 0 {
		add("ip6weight", int32(w))
	}
	v4, v6 := addresses(m, now)
	add("ipv4-address", v4)
	add("ipv6-address", v6)
	add("ipv6-prefix", prefixes(c, m, now))
	add("ipv6-prefix-assignment", assignments(c, m, now))
	inUse, idle := routes(m.Routes(c.Routes(m.Config.Name)), now), routes(m.IdleRoutes(), now)
	add("route", inUse)
	servers, search, idleServers, idleSearch := dns(m)
	add("dns-server", servers)
	add("dns-search", search)
	add("neighbors", neighbors(m.Neighbors(c.Neighbors(m.Config.Name))))
	inactive := ubus.Table{{Name: "ipv4-address", Value: ubus.Array{}}, {Name: "ipv6-address", Value: ubus.Array{}},
		{Name: "route", Value: idle}, {Name: "dns-server", Value: idleServers},
		{Name: "dns-search", Value: idleSearch}, {Name: "neighbors", Value: ubus.Array{}}}
	add("inactive", inactive)
	return t
}

func updated(u iface.Updated) ubus.Array {
	out := ubus.Array{}
	for _, x := range []struct {
		on   bool
		name string
	}{{u.Addresses, "addresses"}, {u.Routes, "routes"}, {u.Prefixes, "prefixes"}, {u.Data, "data"}} {
		if x.on {
			out = append(out, x.name)
		}
	}
	return out
}

func addresses(m *iface.Machine, now time.Time) (v4, v6 ubus.Array) {
	v4, v6 = ubus.Array{}, ubus.Array{}
	for _, a := range m.Offer().Addrs {
		t := ubus.Table{{Name: "address", Value: a.Prefix.Addr().String()}, {Name: "mask", Value: int32(a.Prefix.Bits())}}
		if a.Peer.IsValid() {
			t = append(t, ubus.Field{Name: "ptpaddress", Value: a.Peer.String()})
		}
		switch {
		case a.Deprecated:
			t = append(t, ubus.Field{Name: "preferred", Value: int32(0)})
		case !a.PreferredUntil.IsZero():
			t = append(t, ubus.Field{Name: "preferred", Value: left(a.PreferredUntil, now)})
		}
		if !a.ValidUntil.IsZero() {
			t = append(t, ubus.Field{Name: "valid", Value: left(a.ValidUntil, now)})
		}
		if a.Class != "" {
			t = append(t, ubus.Field{Name: "class", Value: a.Class})
		}
		if a.Prefix.Addr().Is4() {
			v4 = append(v4, t)
		} else {
			v6 = append(v6, t)
		}
	}
	return v4, v6
}

func routes(list []config.Route, now time.Time) ubus.Array {
	out := ubus.Array{}
	for _, r := range list {
		t := ubus.Table{{Name: "target", Value: r.Target.Addr().String()}, {Name: "mask", Value: int32(r.Target.Bits())}}
		add := func(name string, v any) { t = append(t, ubus.Field{Name: name, Value: v}) }
		gw := r.Gateway
		if !gw.IsValid() {
			gw = unspecified(r.Family)
		}
		add("nexthop", gw.String())
		if r.TypeSet {
			add("type", int32(r.Type))
		}
		if r.ProtoSet {
			add("proto", int32(r.Proto))
		}
		if r.MTU != 0 {
			add("mtu", int32(r.MTU))
		}
		if r.MetricSet {
			add("metric", int32(r.Metric))
		}
		if r.Table != 0 || r.TableSet {
			add("table", int32(r.Table))
		}
		switch {
		case r.Valid != 0:
			add("valid", int32(r.Valid))
		case !r.ValidUntil.IsZero():
			add("valid", left(r.ValidUntil, now))
		}
		src := r.Source
		if !src.IsValid() {
			src = netip.PrefixFrom(unspecified(r.Family), 0)
		}
		add("source", src.String())
		out = append(out, t)
	}
	return out
}

func unspecified(family uint8) netip.Addr {
	if family == unix.AF_INET6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func neighbors(list []config.Neighbor) ubus.Array {
	out := ubus.Array{}
	for _, n := range list {
		var t ubus.Table
		if n.MAC.Len > 0 {
			t = append(t, ubus.Field{Name: "mac", Value: n.MAC.String()})
		}
		t = append(t, ubus.Field{Name: "address", Value: n.Addr.String()})
		if n.Proxy {
			t = append(t, ubus.Field{Name: "proxy", Value: int32(1)})
		}
		if n.Router {
			t = append(t, ubus.Field{Name: "router", Value: int32(1)})
		}
		out = append(out, t)
	}
	return out
}

// dns gives servers and search domains: those in use, and those of the
// protocol that option peerdns keeps out.
func dns(m *iface.Machine) (servers, search, idleServers, idleSearch ubus.Array) {
	servers, search, idleServers, idleSearch = ubus.Array{}, ubus.Array{}, ubus.Array{}, ubus.Array{}
	s, d := m.DNS()
	for _, a := range s {
		servers = append(servers, a.String())
	}
	search = append(search, stringArray(d)...)
	if !m.Config.PeerDNS {
		for _, a := range m.Offer().DNS {
			idleServers = append(idleServers, a.String())
		}
		idleSearch = append(idleSearch, stringArray(m.Offer().DNSSearch)...)
	}
	return servers, search, idleServers, idleSearch
}

// Errors lists what is wrong with an interface: what it has recorded, that it
// has no device, and what the kernel refuses for it or for its device.
func Errors(c *core.Core, m *iface.Machine) ubus.Array {
	out := ubus.Array{}
	add := func(e iface.Error) {
		t := ubus.Table{{Name: "subsystem", Value: e.Subsystem}, {Name: "code", Value: e.Code}}
		if len(e.Data) > 0 {
			t = append(t, ubus.Field{Name: "data", Value: stringArray(e.Data)})
		}
		if e.Message != "" {
			t = append(t, ubus.Field{Name: "message", Value: e.Message})
		}
		out = append(out, t)
	}
	own, others := m.ConfigErrors()
	for _, e := range own {
		add(e) // also while nothing has been tried, for want of a device
	}
	for _, e := range m.Errors() {
		if len(own) == 0 {
			add(e)
		}
	}
	for _, e := range others {
		add(e)
	}
	if m.Autostart && !m.Available() {
		add(iface.Error{Subsystem: "interface", Code: "NO_DEVICE", Message: c.WhyAbsent(m)})
	}
	if dev := m.Device(); dev != "" {
		for i, f := range c.Planner().Failures("device " + dev) {
			if i == 0 && m.State() != iface.Up && m.Autostart && !c.Graph().State(dev).Up {
				add(iface.Error{Subsystem: "interface", Code: "DEVICE_CLAIM_FAILED", Data: []string{dev}, Message: f.Message})
			}
			add(iface.Error{Subsystem: "device", Code: f.Code, Data: []string{f.Object}, Message: f.Message + tries(f.Attempts)})
		}
	}
	for _, e := range c.SwitchErrors(m.Device()) {
		add(iface.Error{Subsystem: "openvswitch", Code: e.Code, Data: []string{e.Object}, Message: e.Message})
	}
	for _, f := range c.Planner().Failures(m.User()) {
		add(iface.Error{Subsystem: "kernel", Code: f.Code, Data: []string{f.Object}, Message: f.Message + tries(f.Attempts)})
	}
	return out
}

func tries(n int) string {
	if n < 2 {
		return ""
	}
	return " (" + strconv.Itoa(n) + " tries)"
}

func stringArray(l []string) ubus.Array {
	out := ubus.Array{}
	for _, s := range l {
		out = append(out, s)
	}
	return out
}
