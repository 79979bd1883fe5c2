package config

import (
	"maps"
	"slices"
	"strings"

	"netbraid/internal/model"
)

// switchDraft is a bridge while its ports are brought together.
type switchDraft struct {
	dev     *Device
	sec     *section
	listed  map[string]bool     // in list ports; true: with VLANs
	own     map[string]bool     // ports that have a section
	numbers map[uint32]*section // who asks for a number
	ports   []model.SwitchPort  // of sections
}

// switches brings the ports together with their bridges. What is not right is
// left out.
func (p *parser) switches() {
	drafts := map[string]*switchDraft{}
	for _, d := range p.cfg.Devices {
		if d.Type != OpenVSwitch || p.devs[d.Name] != d {
			continue
		}
		b := &switchDraft{dev: d, sec: p.devSec[d.Name], listed: map[string]bool{}, own: map[string]bool{}, numbers: map[uint32]*section{}}
		for _, port := range d.Switch.Ports {
			b.listed[port.Name] = port.Tag != 0 || len(port.Trunks) > 0
		}
		drafts[d.Name] = b
	}
	for _, d := range p.byLine() {
		if d.Type != VPort {
			continue
		}
		if pr, ok := p.joinSwitch(d, drafts[d.Bridge]); !ok {
			p.leaveOut(d.Name, pr)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(drafts)) {
		p.gather(drafts[name])
	}
}

// joinSwitch adds a port to its bridge.
func (p *parser) joinSwitch(d *Device, b *switchDraft) (Problem, bool) {
	s, port := p.devSec[d.Name], d.VPort
	o := s.find("bridge")
	if b == nil {
		if bad := p.badDevs[d.Bridge]; bad != nil {
			return bad[0], false
		}
		return p.invalid(s, o, "", "there is no device "+d.Bridge+" of type openvswitch", allowBridge), false
	}
	b.own[d.Name] = true
	backend := b.dev.Switch.Backend
	switch first := b.numbers[port.Number]; {
	case backend == BackendKernel && !port.OnKernel():
		return p.invalid(s, o, "", "bridge "+d.Bridge+" has backend kernel, which has no such ports", "backend ovsdb, or port_type netdev, internal, gre, vxlan, geneve"), false
	case slices.Contains(tunnels, port.Type) && !hasOption(port, "remote_ip"):
		return p.wrong(s, "a port of type "+port.Type+" needs its other end", "list options 'remote_ip=ADDRESS'"), false
	case backend == BackendKernel && slices.Contains(tunnels, port.Type) && port.Number != 0:
		return p.invalid(s, s.find("number"), "", "bridge "+d.Bridge+" has backend kernel, where tunnels have no number of their own", "backend ovsdb, or no number"), false
	case backend == BackendKernel && badTunnelOption(port) >= 0:
		o := port.Options[badTunnelOption(port)]
		return p.invalid(s, s.find("options"), "", "bridge "+d.Bridge+" has backend kernel, which has no "+o.Key+"="+o.Value, "backend ovsdb, or "+strings.Join(tunnelOptions, ", ")+", without flow"), false
	case port.Number != 0 && first != nil:
		return p.invalid(s, s.find("number"), "", p.contradicts(first)+": it has this number", "a number of its own for each port of a bridge"), false
	case b.listed[d.Name]:
		return p.invalid(s, o, "", p.contradicts(b.sec)+": the port's VLANs stand there as well", "VLANs in one place"), false
	case d.Disabled:
		return Problem{}, true
	}
	b.numbers[port.Number] = s
	b.ports = append(b.ports, *port)
	return Problem{}, true
}

// gather puts the ports of sections beside those of the list.
func (p *parser) gather(b *switchDraft) {
	d := b.dev
	d.Switch.Ports = slices.DeleteFunc(d.Switch.Ports, func(port model.SwitchPort) bool { return b.own[port.Name] })
	inside := map[string]bool{}
	d.Ports = slices.DeleteFunc(d.Ports, func(name string) bool {
		if b.own[name] {
			return true
		}
		if reason := p.noPort(name); reason != "" {
			p.invalidPort(b.sec, name, reason, "other devices")
			return true
		}
		inside[name] = true
		return false
	})
	for i := range b.ports {
		port := &b.ports[i]
		s := p.devSec[port.Name]
		if pr, ok := p.freePort(s, port, inside); !ok {
			p.leaveOut(port.Name, pr)
			continue
		}
		for _, name := range portDevices(port) {
			inside[name] = true
			d.Ports = append(d.Ports, name)
			p.portSec[name] = s
		}
		d.Switch.Ports = append(d.Switch.Ports, *port)
	}
}

// freePort tells whether no device of a port is in the bridge already, and
// each may be.
func (p *parser) freePort(s *section, port *model.SwitchPort, inside map[string]bool) (Problem, bool) {
	for _, name := range portDevices(port) {
		reason := p.noPort(name)
		if inside[name] {
			reason = "device " + name + " is in this bridge already"
		}
		if reason == "" {
			continue
		}
		o := s.find("ports")
		if o == nil {
			o = s.find("bridge")
		}
		return p.invalid(s, o, "", reason, "other devices"), false
	}
	return Problem{}, true
}

// noPort says why a device can be no port of an Open vSwitch bridge.
func (p *parser) noPort(name string) (reason string) {
	if d := p.devs[name]; d != nil && (d.Type == OpenVSwitch || d.Type == VPort && d.VPort.Type != "") {
		return "a link of Open vSwitch cannot be a port of it: " + p.contradicts(p.sectionOf(d))
	}
	return ""
}

// settleSwitches takes the ports from bridges whose device cannot be one after
// all, and the other devices of a bond with it.
func (p *parser) settleSwitches() {
	for _, d := range p.cfg.Devices {
		if d.Type != OpenVSwitch {
			continue
		}
		there, used := map[string]bool{}, map[string]bool{}
		for _, name := range d.Ports {
			there[name] = true
		}
		d.Switch.Ports = slices.DeleteFunc(d.Switch.Ports, func(port model.SwitchPort) bool {
			return slices.ContainsFunc(portDevices(&port), func(name string) bool { return !there[name] })
		})
		slices.SortFunc(d.Switch.Ports, func(a, b model.SwitchPort) int { return strings.Compare(a.Name, b.Name) })
		for i := range d.Switch.Ports {
			for _, name := range portDevices(&d.Switch.Ports[i]) {
				used[name] = true
			}
		}
		d.Ports = slices.DeleteFunc(d.Ports, func(name string) bool { return !used[name] })
	}
}

// portDevices gives the devices that a port is made of; none for one that the
// bridge makes.
func portDevices(port *model.SwitchPort) []string {
	switch {
	case len(port.Members) > 0:
		return port.Members
	case port.Type != "":
		return nil
	}
	return []string{port.Name}
}

// tunnelOptions are the options that the backend kernel has for tunnels.
var tunnelOptions = []string{"remote_ip", "local_ip", "key", "dst_port", "ttl", "tos", "csum", "df_default"}

// badTunnelOption finds an option of a tunnel that the backend kernel does not
// have; -1 for none.
func badTunnelOption(port *model.SwitchPort) int {
	if !slices.Contains(tunnels, port.Type) {
		return -1
	}
	return slices.IndexFunc(port.Options, func(o model.KeyValue) bool { return !slices.Contains(tunnelOptions, o.Key) || o.Value == "flow" })
}

func hasOption(port *model.SwitchPort, key string) bool {
	return slices.ContainsFunc(port.Options, func(o model.KeyValue) bool { return o.Key == key })
}

// ParsePort makes a port of options as a section of type vport would have them,
// beside a configuration in force (nil for none), which is not changed. from
// says in problems where the options come from. port is nil when something is
// wrong; a bond cannot be made so.
func ParsePort(name string, options []Option, base *Config, from string) (bridge string, port *model.SwitchPort, problems []Problem) {
	p := newParser(from, Options{})
	p.beside(base)
	s := section{typ: "device", title: "port " + name, opts: []option{{Option: Option{Name: "name", Values: []string{name}}},
		{Option: Option{Name: "type", Values: []string{string(VPort)}}}}}
	for _, o := range options {
		if len(o.Values) > 0 {
			s.opts = append(s.opts, option{Option: o})
		}
	}
	if d := p.devs[name]; d != nil && d.Type == Simple {
		delete(p.devSec, name) // settings for the device that is to be a port
	}
	p.deviceSection(&s)
	d := p.devs[name]
	if HasErrors(p.problems) || d == nil || d.Type != VPort {
		return "", nil, p.problems
	}
	if d.Settings.Fields != 0 || len(d.Settings.Sysctl) > 0 || d.Disabled || d.Takeover {
		p.wrong(&s, "only what is of the port can be given here", "options of type vport; others in a device section")
	}
	b := p.devs[d.Bridge]
	switch o := s.find("bridge"); {
	case b == nil || b.Type != OpenVSwitch:
		p.invalid(&s, o, "", "there is no device "+d.Bridge+" of type openvswitch", allowBridge)
	case len(d.VPort.Members) > 0:
		p.invalid(&s, s.find("ports"), "", "a bond cannot be added at run time", "a device section of type vport")
	case slices.ContainsFunc(b.Switch.Ports, func(o model.SwitchPort) bool { return o.Name == name }):
		p.invalid(&s, o, "", p.contradicts(p.devSec[b.Name])+": the port stands in the configuration", "a port that the bridge does not have")
	default:
		p.portOf(&s, d.VPort, b)
	}
	if HasErrors(p.problems) {
		return "", nil, p.problems
	}
	return d.Bridge, d.VPort, p.problems
}

// portOf checks a port that is added against its bridge.
func (p *parser) portOf(s *section, port *model.SwitchPort, b *Device) {
	draft := &switchDraft{dev: b, sec: p.devSec[b.Name], listed: map[string]bool{}, own: map[string]bool{}, numbers: map[uint32]*section{}}
	for _, o := range b.Switch.Ports {
		if o.Number != 0 {
			draft.numbers[o.Number] = p.devSec[b.Name]
		}
	}
	for _, o := range p.devs {
		if port.Type == "" && o.Name != b.Name && (o.Type == Bridge || o.Type == OpenVSwitch) && slices.Contains(o.Ports, port.Name) {
			p.invalid(s, s.find("bridge"), "", p.contradicts(p.sectionOf(o))+": a port of that bridge", "each port in one bridge")
			return
		}
	}
	p.devSec[port.Name] = s
	if _, ok := p.joinSwitch(p.devs[port.Name], draft); ok {
		p.freePort(s, port, map[string]bool{})
	}
}
