package odp

import (
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// The generic netlink families. Each has a multicast group of its own name but
// for ovs_packet, whose messages are for one socket.
const (
	FamilyDatapath = "ovs_datapath"
	FamilyVport    = "ovs_vport"
	FamilyFlow     = "ovs_flow"
	FamilyPacket   = "ovs_packet"
)

// Version is what a request to a family says of itself. A datapath that is
// asked for with version 1 loses its features even when the answer is EEXIST.
func Version(family string) uint8 {
	if family == FamilyDatapath {
		return 2
	}
	return 1
}

// Commands of ovs_datapath, ovs_vport and ovs_flow.
const (
	CmdNew = 1
	CmdDel = 2
	CmdGet = 3
	CmdSet = 4
)

// Commands of ovs_packet: the first two come from the kernel.
const (
	CmdMiss    = 1
	CmdAction  = 2
	CmdExecute = 3
)

// headerLen is struct genlmsghdr and struct ovs_header.
const headerLen = 4 + 4

// Header opens every message of the families, after the netlink header.
type Header struct {
	Cmd     uint8
	Version uint8
	// Datapath is the ifindex of the datapath's local device; 0 in requests that
	// name what they are about.
	Datapath uint32
}

// ParseHeader reads the body of a netlink message of one of the families;
// attrs are its attributes.
func ParseHeader(body []byte) (h Header, attrs []byte, err error) {
	if len(body) < headerLen {
		return h, nil, fmt.Errorf("odp: message of %d octets: %w", len(body), errShort)
	}
	return Header{Cmd: body[0], Version: body[1], Datapath: ne.Uint32(body[4:])}, body[headerLen:], nil
}

// openMessage begins a whole netlink message of family number typ; flags are
// NLM_F_* beside NLM_F_REQUEST.
func openMessage(b []byte, typ, flags uint16, h Header) []byte {
	b = ne.AppendUint32(b, 0)
	b = ne.AppendUint16(b, typ)
	b = ne.AppendUint16(b, flags|unix.NLM_F_REQUEST)
	b = ne.AppendUint64(b, 0) // sequence number and sender: for who sends it
	b = append(b, h.Cmd, h.Version, 0, 0)
	return ne.AppendUint32(b, h.Datapath)
}

func closeMessage(b []byte, start int) []byte {
	ne.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// AppendDump appends the request for all objects of a family: datapaths, the
// ports or the flows of the datapath dp.
func AppendDump(b []byte, typ uint16, family string, dp uint32) []byte {
	start := len(b)
	b = openMessage(b, typ, unix.NLM_F_DUMP, Header{CmdGet, Version(family), dp})
	return closeMessage(b, start)
}

// What the controller of generic netlink says to everybody: which families come
// and go.
const (
	ControlID    = 0x10 // type of its messages
	ControlGroup = 0x10 // its group
)

// Numbers of the controller (linux/genetlink.h).
const (
	ctrlDelFamily  = 2
	ctrlGetFamily  = 3
	ctrlVersion    = 2
	ctrlFamilyID   = 1
	ctrlFamilyName = 2
	ctrlVersionNo  = 3
	ctrlMaxAttr    = 5
	ctrlGroups     = 7
	ctrlGroupName  = 1
	ctrlGroupID    = 2
)

// Family is a generic netlink family as the kernel knows it now: the numbers
// change when its module is loaded anew.
type Family struct {
	Name    string
	ID      uint16 // type of its netlink messages
	Version uint32
	MaxAttr uint32
	Group   uint32 // the multicast group of the same name, 0 for none
}

// AppendGetFamily appends the request for a family by name. Asked with
// privilege, it makes the kernel load the module.
func AppendGetFamily(b []byte, name string) []byte {
	start := len(b)
	b = ne.AppendUint32(b, 0)
	b = ne.AppendUint16(b, ControlID)
	b = ne.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = ne.AppendUint64(b, 0)
	b = append(b, ctrlGetFamily, ctrlVersion, 0, 0)
	b = nlattr.AppendString(b, ctrlFamilyName, name)
	return closeMessage(b, start)
}

// ParseFamily reads the body of the answer.
func ParseFamily(body []byte) (Family, error) {
	var f Family
	if len(body) < 4 {
		return f, fmt.Errorf("odp: description of a family of %d octets: %w", len(body), errShort)
	}
	groups := map[string]uint32{}
	c := attributes(body[4:])
	for c.Next() {
		switch c.Type {
		case ctrlFamilyID:
			f.ID = c.U16()
		case ctrlFamilyName:
			f.Name = c.Str()
		case ctrlVersionNo:
			f.Version = c.U32()
		case ctrlMaxAttr:
			f.MaxAttr = c.U32()
		case ctrlGroups:
			c.within(parseGroups(c.Val, groups))
		}
	}
	f.Group = groups[f.Name]
	switch {
	case c.Err != nil:
		return Family{}, fmt.Errorf("odp: description of family %q: %w", f.Name, c.Err)
	case f.ID < unix.NLMSG_MIN_TYPE || f.Name == "":
		return Family{}, fmt.Errorf("odp: description of family %q has number %d", f.Name, f.ID)
	}
	return f, nil
}

// IsRemoval tells whether the body of a message of the controller says that the
// family of that number is gone.
func IsRemoval(body []byte, id uint16) bool {
	f, err := ParseFamily(body)
	return err == nil && body[0] == ctrlDelFamily && f.ID == id
}

func parseGroups(b []byte, groups map[string]uint32) error {
	c := attributes(b)
	for c.Next() {
		in := attributes(c.Val)
		var name string
		var id uint32
		for in.Next() {
			switch in.Type {
			case ctrlGroupName:
				name = in.Str()
			case ctrlGroupID:
				id = in.U32()
			}
		}
		c.within(in.Err)
		groups[name] = id
	}
	return c.Err
}
