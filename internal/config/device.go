package config

import (
	"netbraid/internal/model"
	"slices"
	"strings"

	"netbraid/rtnl"
)

const allowTypes = "none, bridge, 8021q, 8021ad, veth, macvlan, openvswitch, vport"

// netifd has these types as well.
var laterTypes = []string{"bonding", "vrf", "tunnel", "VLAN", "Network alias"}

// typeOptions are the options of a type besides those of any device.
var typeOptions = map[DeviceType]*group{
	Bridge: bridgeOptions, VLAN: vlanOptions, SVLAN: vlanOptions, MACVLAN: macvlanOptions, Veth: vethOptions,
	OpenVSwitch: switchOptions, VPort: vportOptions,
}

// deviceSection reads a `config device` section.
func (p *parser) deviceSection(s *section) {
	name := s.find("name")
	if name == nil || len(name.Values) != 1 {
		p.wrong(s, "a device section needs one option name", allowName)
		return
	}
	d := &Device{Name: name.Values[0], Pos: p.at(s.line)}
	s.title = "device " + d.Name
	if other := p.devSec[d.Name]; other != nil {
		p.invalid(s, name, "", p.contradicts(other), "one section for a device")
		return
	}
	p.devSec[d.Name] = s
	if !p.deviceType(d, s) {
		return
	}
	if !validName(d.Name) {
		if d.Type != Simple {
			p.leaveOut(d.Name, p.invalid(s, name, "", "not a name that a link can have", allowName))
			return
		}
		p.warn(s, name, "not a name that a link can have: it will never be there", allowName)
	}
	before := len(p.problems)
	t := &target{p: p, sec: s, dev: d, settings: &d.Settings, ipv6Set: &d.IPv6Set}
	groups := []*group{deviceSection, deviceOptions}
	if g := typeOptions[d.Type]; g != nil {
		groups = append([]*group{g}, groups...)
	}
	switch d.Type {
	case Bridge:
		t.bridge = newBridgeDraft()
	case OpenVSwitch:
		d.Switch = &model.Switch{Name: d.Name}
	case VPort:
		d.VPort = &model.SwitchPort{Name: d.Name}
	}
	p.apply(t, func(o *option) { p.unknown(s, o) }, groups...)
	if d.Type == Bridge {
		p.bridge(d, s, t.bridge)
	}
	p.settled(s, d)
	if pr, ok := p.complete(d, s, p.problems[before:]); !ok {
		p.leaveOut(d.Name, pr)
		return
	}
	p.keep(d)
}

// keep takes a device into the configuration.
func (p *parser) keep(d *Device) {
	p.devs[d.Name] = d
	p.cfg.Devices = append(p.cfg.Devices, d)
}

// leaveOut takes a device out of the configuration, or never lets it in.
// Config.Devices follows with sweep.
func (p *parser) leaveOut(name string, why Problem) {
	p.badDevs[name] = append(p.badDevs[name], why)
	delete(p.devs, name)
}

// sweep takes what was left out from Config.Devices.
func (p *parser) sweep() {
	p.cfg.Devices = slices.DeleteFunc(p.cfg.Devices, func(d *Device) bool { return p.devs[d.Name] != d })
}

// deviceType reads option type. A simple device with a name like eth0.5 is
// that VLAN, as in netifd.
func (p *parser) deviceType(d *Device, s *section) bool {
	o := s.find("type")
	if o == nil {
		return true
	}
	d.Type = DeviceType(strings.Join(o.Values, " "))
	if typeOptions[d.Type] != nil {
		return true
	}
	reason := "unknown type of device"
	if slices.Contains(laterTypes, string(d.Type)) {
		reason = "device type '" + string(d.Type) + "' is not built yet"
	}
	p.leaveOut(d.Name, p.invalid(s, o, "", reason, allowTypes))
	return false
}

// complete tells whether the device has what it cannot be without; when not,
// the problem that says so.
func (p *parser) complete(d *Device, s *section, found []Problem) (Problem, bool) {
	needs := func(name, what string) (Problem, bool) {
		for _, pr := range found {
			if pr.Option == name && pr.Severity == Error {
				return pr, false
			}
		}
		if s.find(name) == nil {
			return p.wrong(s, "a device of type "+string(d.Type)+" needs option "+name, what), false
		}
		return Problem{}, true
	}
	if d.Type == VLAN || d.Type == SVLAN || d.Type == MACVLAN {
		if pr, ok := needs("ifname", "the device below"); !ok {
			return pr, false
		}
	}
	switch d.Type {
	case VLAN, SVLAN:
		return needs("vid", "0..4094")
	case MACVLAN:
		if d.Mode == 0 {
			d.Mode = 2 // MACVLAN_MODE_VEPA, the kernel's default
		}
	case OpenVSwitch:
		p.switchComplete(d, s)
	case VPort:
		if pr, ok := needs("bridge", allowBridge); !ok {
			return pr, false
		}
		return p.vportComplete(d, s)
	case Veth:
		if d.PeerName == d.Name {
			return p.invalid(s, s.find("peer_name"), "", "both ends of the pair have one name", allowName), false
		}
		// A pair whose other end has no usable name is made with a name of
		// the kernel's choice; the error stands all the same.
	}
	return Problem{}, true
}

// settled checks settings against each other.
func (p *parser) settled(s *section, d *Device) {
	sortSettings(&d.Settings)
	o := s.find("mtu6")
	if o == nil || d.Settings.Fields&rtnl.LinkMTU == 0 {
		return
	}
	if n, ok := parseInt(strings.Join(o.Values, " ")); ok && n > int64(d.Settings.Link.MTU) {
		p.warn(s, o, "greater than mtu: the kernel refuses it", "1280..mtu")
	}
}

func newBridgeDraft() *bridgeDraft {
	return &bridgeDraft{opt: BridgeOptions{ForwardDelay: 8, MaxAge: 10, HelloTime: 1, Priority: 32767, HashMax: 512,
		Robustness: 2, QueryInterval: 12500, QueryResponse: 1000, LastMemberInt: 100}}
}

// bridge turns what a section says into what is sent to the kernel.
func (p *parser) bridge(d *Device, s *section, b *bridgeDraft) {
	ports := b.ports
	if ports == nil {
		ports = b.ifname
	} else if b.ifname != nil {
		p.warn(s, b.ifname, "option ports is there: not used", "")
	}
	if ports != nil {
		seen := map[string]bool{}
		for i, port := range fields(ports) {
			if p.port(d, s, ports, i, port, seen[port]) {
				d.Ports = append(d.Ports, port)
			}
			seen[port] = true
		}
	}
	if !b.querierSet {
		b.opt.MulticastQuerier = b.opt.IGMPSnooping
	}
	o := &b.opt
	if o.STP {
		p.spanningTree(s, o)
	}
	d.BridgeOpt, d.Attrs = *o, bridgeAttrs(o)
	d.AttrFields = rtnl.BridgeForwardDelay | rtnl.BridgeHelloTime | rtnl.BridgeMaxAge | rtnl.BridgeSTP | rtnl.BridgePriority |
		rtnl.BridgeMcastSnooping | rtnl.BridgeMcastQuerier | rtnl.BridgeHashMax | rtnl.BridgeLastMemberCount |
		rtnl.BridgeStartupQueryCount | rtnl.BridgeLastMemberInterval | rtnl.BridgeMembershipInterval |
		rtnl.BridgeQuerierInterval | rtnl.BridgeQueryInterval | rtnl.BridgeQueryResponseInterval | rtnl.BridgeStartupQueryInterval
	if b.ageingSet {
		d.AttrFields |= rtnl.BridgeAgeingTime
	}
	// Kernels without CONFIG_BRIDGE_VLAN_FILTERING refuse the attribute.
	if b.vlanSet {
		d.AttrFields |= rtnl.BridgeVLANFiltering
	}
}

// port checks one name of a bridge's port list.
func (p *parser) port(d *Device, s *section, o *option, i int, port string, again bool) bool {
	switch {
	case !validName(port) || port[0] == '@':
		p.invalidValue(s, o, i, port, "", "not the name of a link", allowName)
	case port == d.Name:
		p.invalidValue(s, o, i, port, "", "a bridge cannot be a port of itself", "other devices")
	case again:
		p.warn(s, o, "port "+port+" stands there twice", "")
	default:
		return true
	}
	return false
}

// spanningTree checks what only matters with the spanning tree on.
func (p *parser) spanningTree(s *section, b *BridgeOptions) {
	if fd := b.ForwardDelay; fd < 2 || fd > 30 {
		if o := s.find("forward_delay"); o != nil {
			p.invalid(s, o, "", "out of range for a spanning tree", "2..30")
			b.ForwardDelay = 8
		}
	}
	if 2*(b.ForwardDelay-1) < b.MaxAge || b.MaxAge < 2*(b.HelloTime+1) {
		p.warn(s, nil, "the timers break the rule of the spanning tree (IEEE 802.1D): the tree may have loops for a time",
			"2 * (forward_delay - 1) >= max_age >= 2 * (hello_time + 1)")
	}
}

// bridgeAttrs converts to the kernel's units. The intervals that netifd
// derives follow RFC 2236, section 8.
func bridgeAttrs(o *BridgeOptions) rtnl.Bridge {
	a := rtnl.Bridge{
		ForwardDelay: o.ForwardDelay * 100, HelloTime: o.HelloTime * 100, MaxAge: o.MaxAge * 100,
		AgeingTime: o.AgeingTime * 100, Priority: uint16(o.Priority), VLANFiltering: o.VLANFiltering,
		McastSnooping: o.IGMPSnooping, McastQuerier: o.MulticastQuerier, HashMax: o.HashMax,
		LastMemberCount: o.Robustness, StartupQueryCount: o.Robustness,
		LastMemberInterval: uint64(o.LastMemberInt), QueryInterval: uint64(o.QueryInterval), QueryResponseInterval: uint64(o.QueryResponse),
		MembershipInterval: uint64(o.Robustness)*uint64(o.QueryInterval) + uint64(o.QueryResponse),
		QuerierInterval:    uint64(o.Robustness)*uint64(o.QueryInterval) + uint64(o.QueryResponse)/2,
		// The kernel counts in jiffies and would show another odd number
		// than it was told (3125 reads 3124 at 250 Hz); an even one comes
		// back as it went. It takes no less than 1 s.
		StartupQueryInterval: max(uint64(o.QueryInterval)/4&^1, 100),
	}
	if o.STP {
		a.STP = 1
	}
	return a
}

// qos takes the mappings of VLAN priorities.
func (p *parser) qos(s *section, v *value, maxFrom, maxTo int64, allowed string) []string {
	var out []string
	for i, m := range v.l {
		from, to, ok := strings.Cut(m, ":")
		f, okF := parseInt(from)
		t, okT := parseInt(to)
		if !ok || !okF || !okT || f < 0 || f > maxFrom || t < 0 || t > maxTo {
			p.invalidValue(s, v.opt, i, m, "", "not a mapping of priorities", allowed)
			continue
		}
		out = append(out, m)
	}
	return out
}

// Exists tells whether the device is a link that exists already: the section
// has settings for it and makes nothing.
func (d *Device) Exists() bool {
	return d.Type == Simple || d.Type == VPort && d.VPort.Type == "" && len(d.VPort.Members) == 0
}
