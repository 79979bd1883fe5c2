package odp

import "netbraid/rtnl/nlattr"

import "fmt"

// Numbers of the attributes of a port (enum ovs_vport_attr).
const (
	portNumber      = 1
	portType        = 2
	portName        = 3
	portOptions     = 4
	portUpcallPID   = 5
	portStats       = 6
	portIfindex     = 8
	portNetNS       = 9
	portUpcallStats = 10

	tunnelDstPort   = 1
	tunnelExtension = 2
	vxlanGBP        = 1
)

// PortType is the kind of a port (enum ovs_vport_type).
type PortType uint32

// The kinds of ports.
const (
	TypeNetdev   PortType = 1 // a device that exists
	TypeInternal PortType = 2 // a device that is made with the port
	TypeGRE      PortType = 3
	TypeVXLAN    PortType = 4
	TypeGeneve   PortType = 5
)

// String gives the name that Open vSwitch has for the type.
func (t PortType) String() string {
	switch t {
	case TypeNetdev:
		return "netdev"
	case TypeInternal:
		return "internal"
	case TypeGRE:
		return "gre"
	case TypeVXLAN:
		return "vxlan"
	case TypeGeneve:
		return "geneve"
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// DefaultDstPort is the UDP port that a tunnel has unless another is asked for
// (IANA); 0 when the type has none.
func (t PortType) DefaultDstPort() uint16 {
	switch t {
	case TypeVXLAN:
		return 4789
	case TypeGeneve:
		return 6081
	}
	return 0
}

// Port is a port of a datapath (a vport) as the kernel tells of it.
type Port struct {
	Datapath uint32 // Datapath.Index
	Number   uint32 // 0 (LocalPort) to MaxPort
	Type     PortType
	// Name is that of its device now. Look a port up by number: the kernel looks
	// for the name that it was made with, among the present ones.
	Name    string
	Ifindex uint32 // of its device
	// NetNS identifies another namespace that the device was moved to, if Moved.
	NetNS int32
	Moved bool
	Stats PortStats
	// Upcalls are the packets that a socket has taken, UpcallsLost those that none
	// has. Kernels before 6.3 do not say; both are 0.
	Upcalls, UpcallsLost uint64
	PIDs                 []uint32 // netlink ports that get the misses; 0: dropped
	Options              TunnelOptions
}

// PortStats counts what has passed a port (struct ovs_vport_stats).
type PortStats struct {
	RxPackets, TxPackets uint64
	RxBytes, TxBytes     uint64
	RxErrors, TxErrors   uint64
	RxDropped, TxDropped uint64
}

// TunnelOptions are the options of a tunnel port. A VXLAN or Geneve port must
// have a UDP port; GRE takes none.
type TunnelOptions struct {
	DstPort uint16 // UDP, in the namespace of the datapath
	GBP     bool   // VXLAN group policy
}

// ParsePort reads the body of a message of ovs_vport.
func ParsePort(body []byte) (Port, error) {
	h, attrs, err := ParseHeader(body)
	if err != nil {
		return Port{}, err
	}
	p := Port{Datapath: h.Datapath}
	c := attributes(attrs)
	for c.Next() {
		switch c.Type {
		case portNumber:
			p.Number = c.U32()
		case portType:
			p.Type = PortType(c.U32())
		case portName:
			p.Name = c.Str()
		case portIfindex:
			p.Ifindex = c.U32()
		case portNetNS:
			p.Moved, p.NetNS = true, int32(c.U32())
		case portUpcallPID:
			p.PIDs = c.u32s()
		case portStats:
			if c.Has(64) {
				p.Stats = parseStats(c.Val)
			}
		case portUpcallStats:
			c.within(p.upcallStats(c.Val))
		case portOptions:
			c.within(p.Options.parse(c.Val))
		}
	}
	if c.Err != nil {
		return Port{}, fmt.Errorf("odp: port %q (%d): %w", p.Name, p.Number, c.Err)
	}
	return p, nil
}

func parseStats(b []byte) PortStats {
	n := func(i int) uint64 { return ne.Uint64(b[8*i:]) }
	return PortStats{n(0), n(1), n(2), n(3), n(4), n(5), n(6), n(7)}
}

func (p *Port) upcallStats(b []byte) error {
	c := attributes(b)
	for c.Next() {
		switch c.Type {
		case 0:
			p.Upcalls = c.U64()
		case 1:
			p.UpcallsLost = c.U64()
		}
	}
	return c.Err
}

func (o *TunnelOptions) parse(b []byte) error {
	c := attributes(b)
	for c.Next() {
		switch c.Type {
		case tunnelDstPort:
			o.DstPort = c.U16()
		case tunnelExtension:
			in := attributes(c.Val)
			for in.Next() {
				o.GBP = o.GBP || in.Type == vxlanGBP
			}
			c.within(in.Err)
		}
	}
	return c.Err
}

// PortFields names what a PortRequest sends.
type PortFields uint8

// The fields.
const (
	SetNumber PortFields = 1 << iota
	SetType
	SetOptions
	SetPIDs
	SetStats
)

// PortRequest is what is asked about a port. CmdNew needs Name, Type and PIDs;
// the others find the port by Number if it is set, else by Name, in the
// datapath or, with Datapath 0, in any of the namespace.
type PortRequest struct {
	Datapath uint32
	Set      PortFields
	Number   uint32
	Type     PortType
	Name     string // 1 to 15 octets
	Options  TunnelOptions
	// PIDs are the netlink ports that get the misses, by the packets' hash; without
	// FeatureVportPIDs the first gets all. There may not be more than CPUs. A single
	// 0 has misses dropped.
	PIDs  []uint32
	Stats PortStats // to begin with
}

// AppendPort appends the request cmd; typ is the number of ovs_vport, flags are
// NLM_F_* beside NLM_F_REQUEST.
func AppendPort(b []byte, typ uint16, cmd uint8, flags uint16, r *PortRequest) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, Header{cmd, Version(FamilyVport), r.Datapath})
	if r.Set&SetNumber != 0 {
		b = nlattr.AppendU32(b, portNumber, r.Number)
	}
	if r.Set&SetType != 0 {
		b = nlattr.AppendU32(b, portType, uint32(r.Type))
	}
	if r.Name != "" {
		b = nlattr.AppendString(b, portName, r.Name)
	}
	if r.Set&SetOptions != 0 {
		b = appendOptions(b, r.Options)
	}
	if r.Set&SetPIDs != 0 {
		b = appendU32s(b, portUpcallPID, r.PIDs)
	}
	if r.Set&SetStats != 0 {
		at := len(b)
		b = nlattr.Open(b, portStats)
		s := &r.Stats
		for _, v := range [...]uint64{s.RxPackets, s.TxPackets, s.RxBytes, s.TxBytes, s.RxErrors, s.TxErrors, s.RxDropped, s.TxDropped} {
			b = ne.AppendUint64(b, v)
		}
		b = nlattr.Close(b, at)
	}
	return closeMessage(b, start)
}

func appendOptions(b []byte, o TunnelOptions) []byte {
	start := len(b)
	b = nlattr.Open(b, portOptions)
	if o.DstPort != 0 {
		b = nlattr.AppendU16(b, tunnelDstPort, o.DstPort)
	}
	if o.GBP {
		at := len(b)
		b = nlattr.Close(nlattr.AppendRaw(nlattr.Open(b, tunnelExtension), vxlanGBP, ""), at)
	}
	return nlattr.Close(b, start)
}

// CheckName says what is wrong with the name of a datapath or port; nil if
// nothing is. The kernel refuses some of these without a word, and makes
// another name of one with a percent sign.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a name is missing")
	case len(name) > 15:
		return fmt.Errorf("the name %q has %d octets, 15 are allowed", name, len(name))
	case name == "." || name == "..":
		return fmt.Errorf("the name %q is not allowed", name)
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '/', c == ':', c == '%', c <= ' ', c == 0x7f:
			return fmt.Errorf("the name %q has the character %q, which a device cannot have", name, c)
		}
	}
	return nil
}
