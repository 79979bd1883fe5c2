package config

import (
	"fmt"
	"slices"
	"strings"
)

// graph completes the devices with those that names like eth0.5 imply, and
// checks devices against each other.
func (p *parser) graph() {
	p.switches()
	p.impliedBySections()
	for _, i := range p.cfg.Interfaces {
		if i.Device != "" && i.Device[0] != '@' {
			s := p.ifaceSec[i.Name]
			p.implied(i.Device, func(reason string) { p.invalid(s, deviceOption(s), "", reason, allowVLANName) })
		}
	}
	p.findUsers()
	p.duplicateVLANs()
	p.vethEnds()
	p.sharedPorts()
	p.cycles()
	p.sweep()
	p.settleSwitches()
}

const allowVLANName = "PARENT.VID, VID 0..4094, at most 15 octets"

// deviceOption finds the option of an interface section that names its device;
// one there always is when the interface has a device.
func deviceOption(s *section) *option {
	if o := s.find("device"); o != nil {
		return o
	}
	if o := s.find("ifname"); o != nil {
		return o
	}
	return s.find("type")
}

// impliedBySections makes the VLANs that device sections name: a section of
// its own without type, a port, a parent.
func (p *parser) impliedBySections() {
	for _, d := range slices.Clone(p.cfg.Devices) {
		s := p.devSec[d.Name]
		if parent, vid, ok := splitVLAN(d.Name); ok && d.Type == Simple && !p.companions[d.Name] {
			if vid > 4094 || !validName(d.Name) {
				p.leaveOut(d.Name, p.invalid(s, s.find("name"), "", "not the name of a VLAN", allowVLANName))
				continue
			}
			d.Type, d.Parent, d.VID = VLAN, parent, vid
		}
		if d.Parent != "" {
			p.parent(d, s)
		}
		d.Ports = slices.DeleteFunc(d.Ports, func(port string) bool {
			return !p.implied(port, func(reason string) { p.invalidPort(s, port, reason, allowVLANName) })
		})
	}
}

// invalidPort notes an error about a port, at its place in the list.
func (p *parser) invalidPort(s *section, port, reason, allowed string) {
	if v := p.portSec[port]; v != nil && p.devSec[v.first("bridge")] == s {
		s = v // the port stands in a section of its own
	}
	for _, name := range []string{"ports", "ifname", "device", "bridge"} {
		if o := s.find(name); o != nil {
			i := slices.IndexFunc(o.Values[:min(len(o.Values), 1000)], func(v string) bool { return v == port || strings.HasPrefix(v, port+":") })
			if name == "bridge" {
				port = o.Values[0]
			}
			p.invalidValue(s, o, i, port, "", reason, allowed)
			return
		}
	}
}

// parent checks the device below, and makes it if its name implies it.
func (p *parser) parent(d *Device, s *section) {
	o := s.find("ifname")
	if o == nil || d.Type == Simple || p.devSec[d.Name] != s {
		o = s.find("name")
	}
	bad := func(reason string) { p.leaveOut(d.Name, p.invalid(s, o, "", reason, allowName)) }
	switch {
	case d.Parent[0] == '@':
		bad("an alias below a device is not built yet")
	case !validName(d.Parent):
		bad("not a name that a link can have")
	case d.Parent == d.Name:
		bad("a device cannot be its own parent")
	default:
		p.implied(d.Parent, bad)
	}
}

// implied makes the VLAN, or the chain of them, that a name like eth0.5 says,
// unless such a device is there. false when the name says one that cannot be.
func (p *parser) implied(name string, bad func(reason string)) bool {
	var chain []*Device
	for p.devSec[name] == nil && p.devs[name] == nil && !p.companions[name] {
		parent, vid, ok := splitVLAN(name)
		if !ok {
			break
		}
		if vid > 4094 {
			bad("the VLAN ID of " + name + " is out of range")
			return false
		}
		if !validName(name) {
			bad(name + " is not a name that a link can have")
			return false
		}
		chain = append(chain, &Device{Name: name, Type: VLAN, Parent: parent, VID: vid, Implied: true})
		name = parent
	}
	for _, d := range chain {
		p.keep(d)
	}
	return true
}

// findUsers notes for each device that has no section which section implies
// it: that of the first interface, else of the first device.
func (p *parser) findUsers() {
	p.users = map[string]*section{}
	use := func(name string, s *section) {
		for n := 0; n < maxName && name != ""; n++ { // eth0.5.6 implies eth0.5
			if p.users[name] == nil {
				p.users[name] = s
			}
			name = name[:max(0, strings.LastIndexByte(name, '.'))]
		}
	}
	for _, i := range p.cfg.Interfaces {
		use(i.Device, p.ifaceSec[i.Name])
	}
	for _, d := range p.cfg.Devices {
		if s := p.devSec[d.Name]; s != nil {
			use(d.Parent, s)
			for _, port := range d.Ports {
				use(port, s)
			}
		}
	}
}

// sectionOf names a device for a message: by its section, or by the one that
// implies it.
func (p *parser) sectionOf(d *Device) *section {
	if s := p.devSec[d.Name]; s != nil {
		return s
	}
	if s := p.users[d.Name]; s != nil {
		return s
	}
	return &section{title: "device " + d.Name}
}

// duplicateVLANs finds VLANs that the kernel takes for one: the same parent,
// protocol and VLAN ID under two names.
func (p *parser) duplicateVLANs() {
	type key struct {
		parent string
		typ    DeviceType
		vid    uint16
	}
	seen := map[key]*Device{}
	for _, d := range p.byLine() {
		if d.Type != VLAN && d.Type != SVLAN {
			continue
		}
		k := key{d.Parent, d.Type, d.VID}
		first := seen[k]
		if first == nil {
			seen[k] = d
			continue
		}
		other := p.sectionOf(first)
		pr := p.deviceError(d, "name", fmt.Sprintf("VLAN %d on %s is there already as %s: %s", d.VID, d.Parent, first.Name, p.contradicts(other)),
			"one device for a VLAN")
		p.leaveOut(d.Name, pr)
	}
}

// byLine gives the devices in the order of the file, implied ones last, so that
// the later one of two is at fault.
func (p *parser) byLine() []*Device {
	p.sweep()
	out := slices.Clone(p.cfg.Devices)
	slices.SortStableFunc(out, func(a, b *Device) int {
		la, lb := a.Pos.Line, b.Pos.Line
		if la == 0 || lb == 0 {
			return lb - la
		}
		return la - lb
	})
	return out
}

// deviceError notes an error about a device, at the option of its section if
// it has one, else at what implies it.
func (p *parser) deviceError(d *Device, opt, reason, allowed string) Problem {
	s := p.sectionOf(d)
	for _, name := range []string{opt, "ports", "device", "ifname", "type"} {
		if o := s.find(name); o != nil {
			return p.invalid(s, o, "", reason, allowed)
		}
	}
	return p.wrong(s, reason, allowed)
}

// vethEnds checks the names of the far ends against all other names.
func (p *parser) vethEnds() {
	ends := map[string]*Device{}
	for _, d := range p.byLine() {
		if d.Type != Veth || d.PeerName == "" {
			continue
		}
		other := p.devs[d.PeerName]
		if other != nil && other.Type == Simple {
			other = nil // settings for the far end
		}
		if first := ends[d.PeerName]; first != nil {
			other = first
		}
		if other == nil {
			ends[d.PeerName] = d
			continue
		}
		p.leaveOut(d.Name, p.deviceError(d, "peer_name", p.contradicts(p.sectionOf(other)), "a name of its own"))
	}
}

// sharedPorts finds ports that more than one bridge wants: the first has it.
func (p *parser) sharedPorts() {
	owner := map[string]*Device{}
	for _, d := range p.byLine() {
		d.Ports = slices.DeleteFunc(d.Ports, func(port string) bool {
			first := owner[port]
			if first == nil {
				owner[port] = d
				return false
			}
			s := p.sectionOf(d)
			p.invalidPort(s, port, p.contradicts(p.sectionOf(first))+": a port of that bridge", "each port in one bridge")
			return true
		})
	}
}

// cycles finds devices that need themselves: each device below must be there
// first. Devices in a cycle are left out.
func (p *parser) cycles() {
	f := newCycleFinder(p.devicesBelow)
	devs := p.byLine()
	for _, d := range devs {
		if f.at[d] == 0 {
			f.visit(d, 1)
		}
	}
	why := map[*Device]Problem{} // before any is out, so that all can be named
	for _, d := range devs {
		next := f.next[d]
		if next == nil {
			continue
		}
		opt := "ifname"
		if d.Type == Bridge || d.Type == OpenVSwitch {
			opt = "ports"
		} else if d.Type == VPort {
			opt = "bridge"
		}
		why[d] = p.deviceError(d, opt, "device "+d.Name+" is below itself: "+p.contradicts(p.sectionOf(next)), "devices that do not need each other")
	}
	for _, d := range devs {
		if pr, ok := why[d]; ok {
			p.leaveOut(d.Name, pr)
		}
	}
}

// devicesBelow gives the devices that must be there before a device.
func (p *parser) devicesBelow(d *Device) (below []*Device) {
	names := append([]string{d.Parent}, d.Ports...)
	if d.Type == VPort && !d.Exists() {
		names = append(names, d.Bridge) // which makes it
	}
	for _, name := range names {
		if b := p.devs[name]; b != nil {
			below = append(below, b)
		}
	}
	return below
}

// cycleFinder walks what needs each other depth first. Of each cycle it finds
// at least one node.
type cycleFinder[T comparable] struct {
	below func(T) []T
	at    map[T]int // depth while on the path, -1 when done, 0 not seen
	next  map[T]T   // of those in a cycle: the one below that leads round
}

func newCycleFinder[T comparable](below func(T) []T) *cycleFinder[T] {
	return &cycleFinder[T]{below: below, at: map[T]int{}, next: map[T]T{}}
}

// visit gives the least depth that is reached from a node.
func (f *cycleFinder[T]) visit(n T, depth int) int {
	f.at[n] = depth
	least := depth + 1
	for _, b := range f.below(n) {
		low := f.at[b]
		if low < 0 {
			continue
		}
		if low == 0 {
			low = f.visit(b, depth+1)
		}
		if low < least {
			least = low
			f.next[n] = b
		}
	}
	f.at[n] = -1
	return least
}
