package odp

import "net/netip"

// Fields tells which attributes a FlowKey has (OVS_KEY_ATTR_*). The bits are
// in the order in which the kernel writes the attributes.
type Fields uint64

// The fields. VLAN and CVLAN are the outer and the inner tag: each is an
// EtherType of its own (VLANType), a TCI (VLAN) and what is inside (Encap).
const (
	HasRecircID Fields = 1 << iota
	HasDPHash
	HasPriority
	HasTunnel
	HasInPort
	HasSkbMark
	HasCTState
	HasCTZone
	HasCTMark
	HasCTLabels
	HasEthernet
	HasVLANType
	HasVLAN
	HasEncap
	HasCVLANType
	HasCVLAN
	HasCEncap
	HasEtherType
	HasIPv4
	HasIPv6
	HasExtHdrs
	HasARP
	HasTCP
	HasTCPFlags
	HasUDP
	HasSCTP
	HasICMP
	HasICMPv6
	HasND
)

// VLANTagged are the fields of a key with one VLAN tag.
const VLANTagged = HasVLANType | HasVLAN | HasEncap

// Special values of fields.
const (
	// LocalPort is the number of the port that comes with every datapath, whose
	// device has the datapath's name.
	LocalPort = 0
	// MaxPort is the largest number that a port can have (DP_MAX_PORTS - 1).
	MaxPort = 65534
	// NoPort is the kernel's in_port of a packet that came from no port.
	NoPort = 65535
	// VLANPresent is set in every TCI of a key, and in the mask of one that is
	// to match whether there is a tag.
	VLANPresent = 0x1000
)

// MAC is an Ethernet address.
type MAC [6]byte

// Broadcast is the address of every station; as a mask it matches one address.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsMulticast tells whether the address is that of a group (or Broadcast).
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// String prints colon separated hex octets.
func (m MAC) String() string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, 17)
	for i, x := range m {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, hex[x>>4], hex[x&15])
	}
	return string(out)
}

// FlowKey is what the kernel knows of a packet, or the mask of a flow: in a
// mask each bit of a field that is to match is set. It is comparable. Fields
// that Has does not name are zero in what ParseKey returns.
type FlowKey struct {
	Has      Fields
	RecircID uint32
	DPHash   uint32
	Priority uint32
	InPort   uint32 // 0 to 65535; NoPort for none
	SkbMark  uint32

	CTState  uint32 // OVS_CS_F_*
	CTMark   uint32
	CTZone   uint16
	CTLabels [16]byte

	Tunnel Tunnel

	EthSrc, EthDst MAC
	VLAN, CVLAN    VLANTag
	EtherType      uint16 // of what is inside all tags

	IP       IP
	ExtHdrs  uint16 // of IPv6, OFPIEH*
	TP       Transport
	TCPFlags uint16
	ARP      ARP
	ND       ND

	// Meta and Inner are attributes that this package does not take apart (MPLS,
	// NSH, the conntrack tuple), as they came: of the key itself, and of what is
	// inside VLAN tags.
	Meta, Inner string
}

// VLANTag is an 802.1Q or 802.1ad tag.
type VLANTag struct {
	Type uint16 // 0x8100, 0x88a8
	TCI  uint16 // PCP<<13 | VLANPresent | VID
}

// VID is the VLAN identifier.
func (t VLANTag) VID() uint16 { return t.TCI & 0xfff }

// IP is the header of IPv4 (HasIPv4) or IPv6 (HasIPv6).
type IP struct {
	Src, Dst netip.Addr
	Label    uint32 // of IPv6, 20 bits
	Proto    uint8
	TOS      uint8 // traffic class of IPv6
	TTL      uint8
	Frag     uint8 // OVS_FRAG_TYPE_*: 0 none, 1 first, 2 later
}

// Transport is the ports of TCP, UDP or SCTP, or the type and code of ICMP or
// ICMPv6 (by the field that Has names).
type Transport struct{ Src, Dst uint16 }

// ARP is an ARP message for IPv4.
type ARP struct {
	SrcIP, DstIP   [4]byte
	Op             uint16
	SrcMAC, DstMAC MAC
}

// ND is a neighbour solicitation or advertisement of IPv6.
type ND struct {
	Target         [16]byte
	SrcMAC, DstMAC MAC
}

// Tunnel is what is known of the tunnel that a packet came through, or is to go
// through (OVS_KEY_ATTR_TUNNEL).
type Tunnel struct {
	ID       uint64 // key, VNI
	HasID    bool
	Src, Dst netip.Addr // both of IPv4 or both of IPv6; invalid: absent
	TOS, TTL uint8
	HasTOS   bool
	HasTTL   bool
	DF       bool // do not fragment
	Csum     bool
	OAM      bool
	SrcPort  uint16 // of UDP; 0: absent
	DstPort  uint16
	// Options are the attributes that depend on the kind of tunnel (Geneve
	// options, VXLAN group policy, ERSPAN), as they came.
	Options string
}

// Match says which packets a flow is for: those that are equal to Key where
// Mask has bits.
type Match struct {
	Key, Mask FlowKey
	// Exact matches every field of Key; Mask is not used then.
	Exact bool
}

// IsTagged tells whether the packet has a VLAN tag.
func (k *FlowKey) IsTagged() bool { return k.Has&HasVLAN != 0 && k.VLAN.TCI&VLANPresent != 0 }
