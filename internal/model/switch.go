package model

import "slices"

// Switch is an Open vSwitch bridge as wanted.
type Switch struct {
	Name string
	// Backend is who runs it: "kernel" (netbraid itself, on the kernel's
	// datapath) or "ovsdb" (ovs-vswitchd).
	Backend string
	// The rest but Ports is for ovs-vswitchd (ovs-vswitchd.conf.db(5)); empty:
	// its default.
	DatapathType string   // "system" or "netdev"
	FailMode     string   // "standalone" or "secure"
	Controllers  []string // "tcp:192.0.2.1:6653"
	STP, RSTP    bool
	// Ageing is how long a learnt address lasts, in seconds; 0: 300.
	Ageing uint32
	Ports  []SwitchPort // sorted by name, one a name
}

// SwitchPort is a port of a Switch as wanted.
type SwitchPort struct {
	Name string
	// Type is "" for a device that exists, "internal", "gre", "vxlan", "geneve";
	// with ovs-vswitchd also "patch" and whatever else it knows.
	Type    string
	Options []KeyValue // of the type, sorted: remote_ip, key, dst_port, …
	Number  uint32     // asked for; 0: any
	// Tag is the VLAN of untagged frames, 0 for none. Trunks are the VLANs that
	// are let through tagged, sorted; empty: all, unless Tag is set.
	Tag      uint16
	Trunks   []uint16
	VLANMode string // "access", "trunk", "native-tagged", "native-untagged"; empty: by Tag and Trunks
	// Bond: the port is made of these devices; only with ovs-vswitchd.
	Members  []string
	BondMode string
	LACP     string
}

// OnKernel tells whether the kernel's datapath can have the port: the rest needs
// ovs-vswitchd.
func (p *SwitchPort) OnKernel() bool {
	switch p.Type {
	case "", "internal", "gre", "vxlan", "geneve":
		return len(p.Members) == 0
	}
	return false
}

// KeyValue is one option.
type KeyValue struct{ Key, Value string }

// Equal tells whether both ask for the same.
func (s *Switch) Equal(o *Switch) bool {
	return s.Name == o.Name && s.Backend == o.Backend && s.DatapathType == o.DatapathType && s.FailMode == o.FailMode &&
		slices.Equal(s.Controllers, o.Controllers) && s.STP == o.STP && s.RSTP == o.RSTP && s.Ageing == o.Ageing &&
		slices.EqualFunc(s.Ports, o.Ports, func(a, b SwitchPort) bool { return a.Equal(&b) })
}

// Equal tells whether both ask for the same.
func (p *SwitchPort) Equal(o *SwitchPort) bool {
	return p.Name == o.Name && p.Type == o.Type && slices.Equal(p.Options, o.Options) && p.Number == o.Number && p.Tag == o.Tag &&
		slices.Equal(p.Trunks, o.Trunks) && p.VLANMode == o.VLANMode && slices.Equal(p.Members, o.Members) &&
		p.BondMode == o.BondMode && p.LACP == o.LACP
}

// SwitchState is how a Switch is.
type SwitchState struct {
	Name string
	// Backend is who runs it, in the words of Switch; empty while nobody does.
	Backend string
	There   bool // it exists as wanted, but for the ports that show an error
	// Err says why it does not, or what keeps the backend from working ("cannot
	// reach ovsdb-server at …").
	Err   string
	Ports []SwitchPortState // sorted by name
}

// SwitchPortState is how a port is.
type SwitchPortState struct {
	Name   string
	Number uint32 // 0 while it has none
	Err    string // in the backend's words, or why the kernel refuses it
	// Foreign: somebody else has made it; it is left alone.
	Foreign bool
}
