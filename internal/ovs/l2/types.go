package l2

import (
	"bytes"
	"cmp"
	"fmt"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String prints the address as colon separated hex octets.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// group tells whether the address is of many stations (IEEE 802, the I/G bit).
func (m MAC) group() bool { return m[0]&1 != 0 }

// reserved tells whether the address is one that bridges do not forward: IEEE
// 802.1Q, table 8-1, 01:80:c2:00:00:00 to 0f.
func (m MAC) reserved() bool {
	return m[0] == 0x01 && m[1] == 0x80 && m[2] == 0xc2 && m[3] == 0 && m[4] == 0 && m[5]&0xf0 == 0
}

// Tag is a VLAN tag; the zero value is none.
type Tag struct {
	TPID uint16 // 0x8100, 0x88a8; 0: there is no tag
	// TCI has the VLAN in its lower 12 bits and the priority in its upper 3. Bit
	// 12 is always set: the datapath has it say that the tag is there.
	TCI uint16
}

// The tag protocol that is pushed where a frame had none, and the bits of a TCI.
const (
	TPID8021Q  uint16 = 0x8100
	TCIPresent uint16 = 0x1000
	vidMask    uint16 = 0x0fff
	pcpMask    uint16 = 0xe000
)

func (t Tag) vid() uint16 { return t.TCI & vidMask }

// Key is what flows of the switch match on, and what it looks at of a frame.
type Key struct {
	Port       uint32 // that the frame came in through
	Src, Dst   MAC
	Tag, Inner Tag // Inner is a second tag, which the datapath always matches
}

// String prints the key on one line.
func (k Key) String() string {
	s := fmt.Sprintf("in_port(%d) %s > %s", k.Port, k.Src, k.Dst)
	for _, t := range []Tag{k.Tag, k.Inner} {
		if t.TPID != 0 {
			s += fmt.Sprintf(" vlan(tpid=0x%04x,vid=%d,pcp=%d)", t.TPID, t.vid(), t.TCI>>13)
		}
	}
	return s
}

func (k Key) compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Port, o.Port), bytes.Compare(k.Src[:], o.Src[:]), bytes.Compare(k.Dst[:], o.Dst[:]),
		cmp.Compare(k.Tag.TPID, o.Tag.TPID), cmp.Compare(k.Tag.TCI, o.Tag.TCI),
		cmp.Compare(k.Inner.TPID, o.Inner.TPID), cmp.Compare(k.Inner.TCI, o.Inner.TCI))
}

// ActionKind is what an Action does.
type ActionKind uint8

// The kinds. Each works on what those before it in the list have left.
const (
	Output   ActionKind = iota + 1 // Port
	PopVLAN                        // the outer tag
	PushVLAN                       // Tag
)

// Action is one step of what is done with a frame.
type Action struct {
	Kind ActionKind
	Port uint32
	Tag  Tag
}

// String prints the action.
func (a Action) String() string {
	switch a.Kind {
	case Output:
		return fmt.Sprint(a.Port)
	case PopVLAN:
		return "pop_vlan"
	case PushVLAN:
		return fmt.Sprintf("push_vlan(tpid=0x%04x,vid=%d,pcp=%d)", a.Tag.TPID, a.Tag.vid(), a.Tag.TCI>>13)
	}
	return "?"
}
