package odp

import "netbraid/rtnl/nlattr"

import "fmt"

// Numbers of the attributes of a packet (enum ovs_packet_attr).
const (
	packetData    = 1
	packetKey     = 2
	packetActions = 3
	packetUser    = 4
	packetEgress  = 5
	packetProbe   = 8
	packetMRU     = 9
	packetLen     = 10
	packetHash    = 11
)

// Upcall is a packet that the kernel sends to user space: one that matches no
// flow (CmdMiss), or that an ActionUserspace names (CmdAction). The slices are
// of the datagram that it was parsed from.
type Upcall struct {
	Cmd      uint8
	Datapath uint32
	Key      FlowKey
	RawKey   []byte // Key as it came, for FlowRequest.RawKey and Execute
	// Packet is the frame from its Ethernet header on, with its VLAN tags and
	// with checksums completed.
	Packet   []byte
	UserData []byte // of the ActionUserspace
	Actions  []byte // of the flow, if it was asked for; see ParseActions
	Len      uint32 // of the packet before it was cut; 0: it was not
	MRU      uint16 // largest fragment that it was put together from; 0: it was not
	Hash     uint64 // of the packet; 0: unknown
}

// Parse reads the body of a message of ovs_packet into u. It allocates nothing
// for the packets that a switch sees. After an error u has no meaning.
func (u *Upcall) Parse(body []byte) error {
	h, attrs, err := ParseHeader(body)
	if err != nil {
		return err
	}
	*u = Upcall{Cmd: h.Cmd, Datapath: h.Datapath}
	c := attributes(attrs)
	for c.Next() {
		switch c.Type {
		case packetData:
			u.Packet = c.Val
		case packetKey:
			u.RawKey = c.Val
			c.within(u.Key.parse(c.Val))
		case packetActions:
			u.Actions = c.Val
		case packetUser:
			u.UserData = c.Val
		case packetMRU:
			u.MRU = c.U16()
		case packetLen:
			u.Len = c.U32()
		case packetHash:
			u.Hash = c.U64()
		}
	}
	if c.Err != nil {
		return fmt.Errorf("odp: upcall of datapath %d: %w", h.Datapath, c.Err)
	}
	return nil
}

// ExecuteRequest has the kernel do actions on a packet, past the flow table.
type ExecuteRequest struct {
	Datapath uint32
	Packet   []byte // 14 octets or more
	// RawKey is the key of the Upcall. The kernel takes of it what is not in the
	// packet itself (in_port, tunnel, mark); empty: none of that.
	RawKey  []byte
	Actions []Action // none: the packet is dropped
	// Hash of the Upcall keeps the packets of a connection on one path; 0: none.
	Hash  uint64
	MRU   uint16 // of the Upcall
	Probe bool   // silences the kernel's log
}

// AppendExecute appends the request; typ is the number of ovs_packet, flags are
// NLM_F_* beside NLM_F_REQUEST.
func AppendExecute(b []byte, typ, flags uint16, r *ExecuteRequest) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, Header{CmdExecute, Version(FamilyPacket), r.Datapath})
	b = nlattr.AppendRaw(b, packetData, r.Packet)
	b = nlattr.AppendRaw(b, packetKey, r.RawKey)
	at := len(b)
	b = nlattr.Close(AppendActions(nlattr.Open(b, packetActions), r.Actions), at)
	if r.Probe {
		b = nlattr.AppendRaw(b, packetProbe, "")
	}
	if r.MRU != 0 {
		b = nlattr.AppendU16(b, packetMRU, r.MRU)
	}
	if r.Hash != 0 {
		b = nlattr.AppendU64(b, packetHash, r.Hash)
	}
	return closeMessage(b, start)
}
