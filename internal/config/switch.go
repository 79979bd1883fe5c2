package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"netbraid/internal/model"
)

// The backends of an Open vSwitch bridge.
const (
	BackendKernel = "kernel" // netbraid itself, on the kernel's datapath
	BackendOVSDB  = "ovsdb"  // ovs-vswitchd
)

const (
	allowPorts      = "NAME, or NAME:VLAN[,VLAN...]: 10 untagged, 10t tagged, 10-20t a range"
	allowController = "tcp:, ssl:, unix:, ptcp:, pssl: or punix: with an address"
	allowPortType   = "netdev, internal, gre, vxlan, geneve; with backend ovsdb also patch and what else ovs-vswitchd knows"
	allowTrunks     = "1..4094, or a range 10-20"
	allowKeyValue   = "KEY=VALUE, each key once"
	allowBridge     = "the name of a device of type openvswitch"
	allowMembers    = "two devices or more"
)

// setSwitch makes a setter of what an Open vSwitch bridge is wanted to be.
func setSwitch(put func(s *model.Switch, v value)) func(*target, value) {
	return func(t *target, v value) { put(t.dev.Switch, v) }
}

var switchOptions = newGroup("device type openvswitch", "A bridge of Open vSwitch. Ports with more than a VLAN have a section of their own, of type vport.",
	spec{name: "ports", kind: list, allow: allowPorts, meaning: "devices in the bridge, each with its VLANs", set: func(t *target, v value) { t.p.switchPorts(t, &v) }},
	spec{name: "backend", kind: word, words: []choice{{BackendKernel, 0}, {BackendOVSDB, 0}}, def: "ovsdb where ovsdb-server answers, else kernel", meaning: "who runs it: kernel: netbraid, on the kernel's datapath; ovsdb: ovs-vswitchd",
		set: setSwitch(func(s *model.Switch, v value) { s.Backend = v.s })},
	spec{name: "datapath_type", kind: word, words: []choice{{"system", 0}, {"netdev", 0}}, def: "ovs-vswitchd's: system", meaning: "backend ovsdb: the kernel's datapath, or the one in ovs-vswitchd", set: setSwitch(func(s *model.Switch, v value) { s.DatapathType = v.s })},
	spec{name: "fail_mode", kind: word, words: []choice{{"standalone", 0}, {"secure", 0}}, def: "ovs-vswitchd's: standalone", meaning: "backend ovsdb: what it does without its controllers", set: setSwitch(func(s *model.Switch, v value) { s.FailMode = v.s })},
	spec{name: "controller", kind: list, allow: allowController, meaning: "backend ovsdb: OpenFlow controllers", set: func(t *target, v value) { t.p.controllers(t, &v) }},
	spec{name: "stp", kind: yesno, def: "0", meaning: "backend ovsdb: spanning tree (IEEE 802.1D)", set: setSwitch(func(s *model.Switch, v value) { s.STP = v.yes() })},
	spec{name: "rstp", kind: yesno, def: "0", meaning: "backend ovsdb: rapid spanning tree", set: setSwitch(func(s *model.Switch, v value) { s.RSTP = v.yes() })},
	spec{name: "ageing_time", kind: number, min: 15, max: 3600, def: "300", meaning: "time that a learned address is kept, s", set: setSwitch(func(s *model.Switch, v value) { s.Ageing = uint32(v.n) })},
)

// setVPort makes a setter of what a port is wanted to be.
func setVPort(put func(p *model.SwitchPort, v value)) func(*target, value) {
	return func(t *target, v value) { put(t.dev.VPort, v) }
}

var vportOptions = newGroup("device type vport", "A port of an Open vSwitch bridge: a device that exists, one that the bridge makes (internal), a tunnel, or several devices as a bond.",
	spec{name: "bridge", kind: text, allow: allowBridge, def: "required", meaning: "the bridge", set: func(t *target, v value) { t.dev.Bridge = v.s }},
	spec{name: "port_type", kind: text, allow: allowPortType, def: "netdev", meaning: "what kind of port", set: func(t *target, v value) { t.p.portType(t, &v) }},
	spec{name: "number", kind: number, min: 1, max: 65279, def: "any", meaning: "number of the port in the datapath (backend kernel) or for OpenFlow (ovsdb)", set: setVPort(func(p *model.SwitchPort, v value) { p.Number = uint32(v.n) })},
	spec{name: "tag", kind: number, min: 1, max: 4094, def: "none", meaning: "VLAN of untagged frames", set: setVPort(func(p *model.SwitchPort, v value) { p.Tag = uint16(v.n) })},
	spec{name: "trunks", kind: list, allow: allowTrunks, def: "all; with tag none", meaning: "VLANs that are let through tagged", set: func(t *target, v value) { t.p.trunks(t, &v) }},
	spec{name: "vlan_mode", kind: word, words: []choice{{"access", 0}, {"trunk", 0}, {"native-tagged", 0}, {"native-untagged", 0}}, def: "access with tag alone, native-untagged with tag and trunks, else trunk",
		meaning: "how frames of the VLAN in tag leave, and whether others do", set: setVPort(func(p *model.SwitchPort, v value) { p.VLANMode = v.s })},
	spec{name: "options", kind: list, allow: allowKeyValue, meaning: "options of a tunnel or another type: remote_ip=192.0.2.1, key=7, dst_port=4789, peer=PORT", set: func(t *target, v value) { t.p.portOptions(t, &v) }},
	spec{name: "ports", kind: list, allow: allowMembers, meaning: "backend ovsdb: the devices of a bond", set: func(t *target, v value) { t.p.members(t, &v) }},
	spec{name: "bond_mode", kind: word, words: []choice{{"active-backup", 0}, {"balance-slb", 0}, {"balance-tcp", 0}}, def: "active-backup", meaning: "how a bond spreads what it sends", set: setVPort(func(p *model.SwitchPort, v value) { p.BondMode = v.s })},
	spec{name: "lacp", kind: word, words: []choice{{"active", 0}, {"passive", 0}, {"off", 0}}, def: "off", meaning: "LACP of a bond", set: setVPort(func(p *model.SwitchPort, v value) { p.LACP = v.s })},
)

// portNetdev is the port type of a device that exists, as the configuration
// calls it; the model has "" for it.
const portNetdev = "netdev"

// tunnels are the types that need to know their other end.
var tunnels = []string{"gre", "vxlan", "geneve"}

// switchPorts takes the ports of a bridge with their VLANs.
func (p *parser) switchPorts(t *target, v *value) {
	d := t.dev
	seen := map[string]bool{}
	for i, text := range v.l {
		name, vlans, tagged := strings.Cut(text, ":")
		if !p.port(d, t.sec, v.opt, i, name, seen[name]) {
			continue
		}
		seen[name] = true
		port := model.SwitchPort{Name: name}
		if tagged {
			if reason := portVLANs(&port, vlans); reason != "" {
				p.invalidValue(t.sec, v.opt, i, text, "", reason, allowPorts)
				continue
			}
		}
		d.Ports = append(d.Ports, name)
		d.Switch.Ports = append(d.Switch.Ports, port)
	}
}

// portVLANs reads VLANs as they stand behind a port's name: "1,10t,20-30t".
func portVLANs(port *model.SwitchPort, text string) (reason string) {
	for _, word := range strings.Split(text, ",") {
		vlans, tagged := strings.CutSuffix(word, "t")
		from, to, ok := vlanRange(vlans)
		switch {
		case !ok || !tagged && from != to:
			return "not VLANs of a port"
		case !tagged && port.Tag != 0:
			return "a port has one VLAN for untagged frames"
		case !tagged:
			port.Tag = from
		default:
			for id := int(from); id <= int(to); id++ {
				port.Trunks = append(port.Trunks, uint16(id))
			}
		}
	}
	settleVLANs(port)
	return ""
}

// settleVLANs brings the VLANs into order and says the mode where a tag and
// trunks alone would leave it open.
func settleVLANs(port *model.SwitchPort) {
	slices.Sort(port.Trunks)
	port.Trunks = slices.Compact(port.Trunks)
	if port.VLANMode == "" && port.Tag != 0 && len(port.Trunks) > 0 {
		port.VLANMode = "native-untagged"
	}
}

// vlanRange reads "10" or "10-20".
func vlanRange(text string) (from, to uint16, ok bool) {
	a, b, ranged := strings.Cut(text, "-")
	if !ranged {
		b = a
	}
	f, err1 := strconv.ParseUint(a, 10, 16)
	l, err2 := strconv.ParseUint(b, 10, 16)
	return uint16(f), uint16(l), err1 == nil && err2 == nil && f >= 1 && f <= l && l <= 4094
}

// controllers takes the addresses of OpenFlow controllers.
func (p *parser) controllers(t *target, v *value) {
	for i, c := range v.l {
		how, where, _ := strings.Cut(c, ":")
		if !slices.Contains([]string{"tcp", "ssl", "unix", "ptcp", "pssl", "punix"}, how) || where == "" || strings.ContainsFunc(c, notInWord) {
			p.invalidValue(t.sec, v.opt, i, c, "", "not the address of a controller", allowController)
			continue
		}
		t.dev.Switch.Controllers = append(t.dev.Switch.Controllers, c)
	}
	slices.Sort(t.dev.Switch.Controllers)
	t.dev.Switch.Controllers = slices.Compact(t.dev.Switch.Controllers)
}

func notInWord(r rune) bool { return r <= ' ' || r == 0x7f }

// portType takes the type of a port.
func (p *parser) portType(t *target, v *value) {
	switch wrong := strings.ContainsFunc(v.s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-' }); {
	case v.s == "" || wrong || len(v.s) > 32:
		p.invalid(t.sec, v.opt, "", "not a type of port", allowPortType)
	case v.s == "gre64" || v.s == "lisp":
		p.invalid(t.sec, v.opt, "", "Open vSwitch has dropped this type", allowPortType)
	case v.s != portNetdev:
		t.dev.VPort.Type = v.s
	}
}

// trunks takes the VLANs that a port lets through.
func (p *parser) trunks(t *target, v *value) {
	for i, text := range v.l {
		from, to, ok := vlanRange(text)
		if !ok {
			p.invalidValue(t.sec, v.opt, i, text, "", "not a VLAN or a range of them", allowTrunks)
			continue
		}
		for id := int(from); id <= int(to); id++ {
			t.dev.VPort.Trunks = append(t.dev.VPort.Trunks, uint16(id))
		}
		if len(t.dev.VPort.Trunks) > 4094 {
			settleVLANs(t.dev.VPort) // the same again and again takes no room
		}
	}
}

// portOptions takes the options of a port's type.
func (p *parser) portOptions(t *target, v *value) {
	port := t.dev.VPort
	seen := map[string]bool{}
	for i, text := range v.l {
		key, val, ok := strings.Cut(text, "=")
		if !ok || key == "" || val == "" || seen[key] || strings.ContainsFunc(key, notInWord) || strings.ContainsFunc(val, control) {
			p.invalidValue(t.sec, v.opt, i, text, "", "not an option of a port", allowKeyValue)
			continue
		}
		seen[key] = true
		if reason, allowed := portOption(key, val); reason != "" {
			p.invalidValue(t.sec, v.opt, i, text, "", reason, allowed)
			continue
		}
		port.Options = append(port.Options, model.KeyValue{Key: key, Value: val})
	}
	slices.SortFunc(port.Options, func(a, b model.KeyValue) int { return strings.Compare(a.Key, b.Key) })
}

// portOption says what is wrong with an option whose form is known.
func portOption(key, val string) (reason, allowed string) {
	switch key {
	case "remote_ip", "local_ip":
		if a, err := netip.ParseAddr(val); val != "flow" && (err != nil || !usable(a)) {
			return "not an address of a tunnel", "an IPv4 or IPv6 address, or flow"
		}
	case "dst_port":
		if n, ok := parseInt(val); !ok || n < 1 || n > 65535 {
			return "not a port of UDP", "1..65535"
		}
	}
	return "", ""
}

// members takes the devices of a bond.
func (p *parser) members(t *target, v *value) {
	seen := map[string]bool{}
	for i, name := range v.l {
		if name == t.dev.Name {
			p.invalidValue(t.sec, v.opt, i, name, "", "a bond cannot be a device of itself", allowMembers)
		} else if p.port(t.dev, t.sec, v.opt, i, name, seen[name]) {
			t.dev.VPort.Members = append(t.dev.VPort.Members, name)
		}
		seen[name] = true
	}
	slices.Sort(t.dev.VPort.Members)
}

// switchComplete checks the options of an Open vSwitch bridge against each
// other.
func (p *parser) switchComplete(d *Device, s *section) {
	sw := d.Switch
	if sw.STP && sw.RSTP {
		p.invalid(s, s.find("rstp"), "", "a bridge has one spanning tree: contradicts option stp", "stp or rstp")
	}
	if sw.Backend != BackendKernel {
		return
	}
	for _, name := range []string{"datapath_type", "fail_mode", "controller", "stp", "rstp"} {
		o := s.find(name)
		if o == nil || sw.DatapathType == "system" && name == "datapath_type" || name == "stp" && !sw.STP || name == "rstp" && !sw.RSTP {
			continue
		}
		p.invalid(s, o, "", "backend kernel does not have it", "backend ovsdb")
	}
}

// vportComplete tells whether a port has what it cannot be without.
func (p *parser) vportComplete(d *Device, s *section) (Problem, bool) {
	port := d.VPort
	o := s.find("vlan_mode")
	switch needsTag := port.VLANMode != "" && port.VLANMode != "trunk"; {
	case needsTag && port.Tag == 0 && s.find("tag") == nil:
		return p.invalid(s, o, "", "needs option tag", "tag 1..4094, or vlan_mode trunk"), false
	case port.VLANMode == "trunk" && port.Tag != 0:
		return p.invalid(s, o, "", "contradicts option tag", "vlan_mode native-untagged or native-tagged"), false
	case port.VLANMode == "access" && len(port.Trunks) > 0:
		return p.invalid(s, o, "", "contradicts option trunks", "vlan_mode native-untagged or native-tagged"), false
	}
	settleVLANs(port)
	if port.Members = slices.Compact(port.Members); s.find("ports") != nil {
		switch {
		case s.find("port_type") != nil:
			return p.invalid(s, s.find("port_type"), "", "contradicts option ports: a bond is of devices that exist", "ports or port_type"), false
		case len(port.Members) < 2:
			return p.invalid(s, s.find("ports"), "", "too few devices for a bond", allowMembers), false
		}
	}
	for _, name := range []string{"bond_mode", "lacp"} {
		if o := s.find(name); o != nil && s.find("ports") == nil {
			p.warn(s, o, "the port is no bond: ignored", "with option ports")
			port.BondMode, port.LACP = "", ""
		}
	}
	if port.Type == "patch" && !hasOption(port, "peer") {
		return p.wrong(s, "a port of type patch needs its other end", "list options 'peer=PORT'"), false
	}
	return Problem{}, true
}

// Switches gives the Open vSwitch bridges that are wanted, sorted by name. An
// empty backend is to be chosen by who runs them.
func (c *Config) Switches() []model.Switch {
	var out []model.Switch
	for _, d := range c.Devices {
		if d.Type == OpenVSwitch && !d.Disabled {
			out = append(out, *d.Switch)
		}
	}
	return out
}

func sameSwitch(a, b *model.Switch) bool {
	return a == b || a != nil && b != nil && a.Equal(b)
}

func sameVPort(a, b *model.SwitchPort) bool {
	return a == b || a != nil && b != nil && a.Equal(b)
}
