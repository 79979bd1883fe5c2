package config

import (
	"strings"

	"netbraid/internal/model"
)

// interfaceSection reads a `config interface` or `config alias` section.
func (p *parser) interfaceSection(s *section) {
	if other := p.ifaceSec[s.name]; other != nil {
		p.wrong(s, p.contradicts(other), "one section for an interface")
		return
	}
	p.ifaceSec[s.name] = s
	i := &Interface{Name: s.name, Pos: p.at(s.line), Proto: "none", Auto: true, DefaultRoute: true, PeerDNS: true, Delegate: true}
	for _, o := range s.opts {
		i.Options = append(i.Options, o.Option)
	}
	d := &ifaceDraft{Interface: i}
	if off, ok := parseBool(s.first("disabled")); ok && off {
		p.disabled[s.name] = true
		return
	}
	proto, known := p.interfaceProto(s, i)
	groups := []*group{interfaceOptions}
	if i.Proto == "static" {
		groups = append(groups, staticOptions)
	}
	t := &target{p: p, sec: s, iface: d, settings: &i.Settings, ipv6Set: &i.IPv6Set}
	var bridge *Device
	if s.typ == "interface" && s.first("type") == string(Bridge) {
		bridge = &Device{Name: "br-" + s.name, Type: Bridge, Pos: i.Pos, Implied: true}
		t.dev, t.bridge, t.settings, t.ipv6Set = bridge, newBridgeDraft(), &bridge.Settings, &bridge.IPv6Set
		groups = append(groups, legacyBridge)
	}
	own := *s
	own.opts = p.ownOptions(s, i, proto)
	t.sec = &own
	p.apply(t, func(o *option) {
		if known {
			p.unknown(s, o)
		}
	}, append(groups, deviceOptions)...)
	if !d.ForceLinkSet {
		i.ForceLink = proto.ForceLink
	}
	i.Auto = i.Auto && i.Jail == ""
	if i.JailDevice == "" {
		i.JailDevice = d.jailIfname
	}
	p.interfaceDevice(s, d, bridge, t.bridge)
	sortSettings(&i.Settings)
	i.HasSettings = i.Settings.Fields != 0 || len(i.Settings.Sysctl) > 0 || i.Settings.Auth || d.DisabledDevice
	if i.Proto == "static" {
		p.static(s, d)
	}
	if _, ours := builtin[i.Proto]; known && !ours {
		i.ProtoConfig = p.protoConfig(s, proto)
	}
	p.ifaces[i.Name] = i
	p.cfg.Interfaces = append(p.cfg.Interfaces, i)
}

// legacyBridge are the options of a bridge that may stand in an interface
// section of type bridge; ifname is read with the interface.
var legacyBridge = func() *group {
	var specs []spec
	for _, s := range bridgeOptions.specs {
		if s.name != "ifname" {
			specs = append(specs, s)
		}
	}
	return newGroup("interface of type bridge", "", specs...)
}()

// interfaceProto finds the protocol of an interface.
func (p *parser) interfaceProto(s *section, i *Interface) (Proto, bool) {
	o := s.find("proto")
	if o == nil {
		return p.opts.proto("none")
	}
	i.Proto = strings.Join(o.Values, " ")
	proto, ok := p.opts.proto(i.Proto)
	if !ok {
		p.invalid(s, o, "INVALID_PROTO", "unknown protocol", strings.Join(p.opts.protoNames(), ", "))
	}
	return proto, ok
}

// ownOptions checks the protocol's own options and gives the others. An option
// that the protocol calls its own is no setting of the device.
func (p *parser) ownOptions(s *section, i *Interface, proto Proto) []option {
	if len(proto.Options) == 0 {
		return s.opts
	}
	var rest []option
	for _, o := range s.opts {
		typ, own := proto.Options[o.Name]
		if !own || interfaceOptions.index[o.Name] != nil {
			rest = append(rest, o)
		}
		if !own {
			continue
		}
		i.own = append(i.own, o.Option)
		sp := spec{kind: text}
		switch typ {
		case TypeArray:
			sp.kind = list
		case TypeInt:
			sp.kind, sp.min, sp.max = number, -1<<31, maxUint32
		case TypeBool:
			sp.kind = yesno
		}
		if _, reason := sp.read(&o, &p.opts); reason != "" && interfaceOptions.index[o.Name] == nil {
			p.invalid(s, &o, "", reason, sp.allowed())
		}
	}
	return rest
}

// interfaceDevice finds the device of an interface: an option, an alias, or a
// bridge of the old form.
func (p *parser) interfaceDevice(s *section, d *ifaceDraft, bridge *Device, b *bridgeDraft) {
	if s.typ == "alias" {
		p.aliasSection(s, d)
		return
	}
	if d.legacyType != "" && bridge == nil {
		p.warn(s, s.find("type"), "unknown, ignored", "bridge")
	}
	if d.parent != nil {
		p.warn(s, d.parent, "only for config alias, ignored", "")
	}
	if bridge != nil {
		p.legacyBridge(s, d, bridge, b)
		return
	}
	o := d.device
	if o == nil {
		o = d.ifname
	} else if d.ifname != nil {
		p.warn(s, d.ifname, "option device is there: not used", "")
	}
	if o == nil {
		return
	}
	names := fields(o)
	if len(names) != 1 {
		p.invalid(s, o, "", "one device, unless the interface is of type bridge", allowName+", or @INTERFACE")
		return
	}
	if !strings.HasPrefix(names[0], "@") && !validName(names[0]) {
		p.invalid(s, o, "", "not a name that a link can have", allowName+", or @INTERFACE")
		return
	}
	d.Device = names[0]
}

// aliasSection sets what a `config alias` section sits on.
func (p *parser) aliasSection(s *section, d *ifaceDraft) {
	for _, o := range []*option{d.device, d.ifname} {
		if o != nil {
			p.warn(s, o, "an alias is on the device of its interface, ignored", "")
		}
	}
	if d.parent == nil {
		p.wrong(s, "an alias needs option interface", "the interface that it sits on")
		return
	}
	d.AliasOf = strings.Join(d.parent.Values, " ")
	d.Device = "@" + d.AliasOf
}

// legacyBridge makes the bridge of an interface of type bridge.
func (p *parser) legacyBridge(s *section, d *ifaceDraft, bridge *Device, b *bridgeDraft) {
	d.Device = bridge.Name
	d.Settings, d.HasSettings = model.Settings{}, false
	if b.ifname = d.ifname; b.ifname == nil {
		b.ifname = d.device
	}
	if other := p.devSec[bridge.Name]; other != nil {
		p.invalid(s, s.find("type"), "", p.contradicts(other), "one section for a device")
		return
	}
	p.devSec[bridge.Name] = s
	if !validName(bridge.Name) {
		p.leaveOut(bridge.Name, p.invalid(s, s.find("type"), "", "the bridge would be "+bridge.Name+", not a name that a link can have",
			"an interface name of up to 12 octets"))
		return
	}
	p.bridge(bridge, s, b)
	p.settled(s, bridge)
	p.keep(bridge)
}

// aliases checks that every alias sits on an interface, and none on itself.
func (p *parser) aliases() {
	loop := p.aliasLoops()
	for _, i := range p.cfg.Interfaces {
		on, ok := strings.CutPrefix(i.Device, "@")
		if !ok {
			continue
		}
		s := p.ifaceSec[i.Name]
		o := s.find("interface")
		for _, name := range []string{"device", "ifname"} {
			if f := s.find(name); s.typ != "alias" && f != nil {
				o = f
				break
			}
		}
		switch {
		case p.disabled[on]:
			p.warn(s, o, "interface "+on+" is disabled: this one stays down", "")
		case p.ifaces[on] == nil && p.opts.Aliases[on]:
		case p.ifaces[on] == nil && p.single:
			p.warn(s, o, "there is no interface "+on+": this one stays down until there is", "the name of an interface")
		case p.ifaces[on] == nil:
			p.invalid(s, o, "", "there is no interface "+on, "the name of an interface section")
		case loop[i]:
			p.invalid(s, o, "", "an alias of itself: "+p.contradicts(p.ifaceSec[on]), "another interface")
		}
	}
}

// aliasLoops finds the interfaces that are reached again from themselves.
func (p *parser) aliasLoops() map[*Interface]bool {
	loop := map[*Interface]bool{}
	walk := map[*Interface]int{} // in which walk it was seen first
	for n, start := range p.cfg.Interfaces {
		i := start
		for i != nil && walk[i] == 0 {
			walk[i] = n + 1
			i = p.below(i)
		}
		for i != nil && walk[i] == n+1 && !loop[i] {
			loop[i] = true
			i = p.below(i)
		}
	}
	return loop
}

// below gives the interface that an alias sits on; nil when it is no alias.
func (p *parser) below(i *Interface) *Interface {
	if on, ok := strings.CutPrefix(i.Device, "@"); ok {
		return p.ifaces[on]
	}
	return nil
}
