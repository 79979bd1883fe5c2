package l2

import (
	"fmt"
	"slices"

	"netbraid/internal/model"
)

// Mode is how a port treats VLANs: column vlan_mode of ovs-vswitchd.conf.db(5).
type Mode uint8

// The modes.
const (
	Trunk          Mode = iota // tagged frames are in their VLAN, others in VLAN 0
	Access                     // one VLAN, without tags
	NativeTagged               // as Trunk, but frames without a tag are in VLAN Tag
	NativeUntagged             // as NativeTagged, and those of VLAN Tag leave without one
)

// VLAN says which VLANs a port carries. The zero value is a trunk of all.
type VLAN struct {
	Mode   Mode
	Tag    uint16   // of Access and the native modes
	Trunks []uint16 // sorted; none: all. Not of Access.
}

const maxVID = 4094

// ParseVLAN reads the VLANs of a port. Without a mode a port with a tag is an
// access port, one without is a trunk.
func ParseVLAN(p *model.SwitchPort) (VLAN, error) {
	v := VLAN{Tag: p.Tag}
	switch p.VLANMode {
	case "":
		if p.Tag != 0 {
			v.Mode = Access
		}
	case "trunk":
		v.Tag = 0
	case "access":
		v.Mode = Access
	case "native-tagged":
		v.Mode = NativeTagged
	case "native-untagged":
		v.Mode = NativeUntagged
	default:
		return VLAN{}, fmt.Errorf("vlan_mode %q: this backend has access, trunk, native-tagged and native-untagged", p.VLANMode)
	}
	for _, t := range append(slices.Clone(p.Trunks), p.Tag) {
		if t > maxVID {
			return VLAN{}, fmt.Errorf("VLAN %d: the numbers are 0 to %d", t, maxVID)
		}
	}
	if v.Mode != Access && len(p.Trunks) > 0 {
		v.Trunks = slices.Clone(p.Trunks)
		slices.Sort(v.Trunks)
		v.Trunks = slices.Compact(v.Trunks)
	}
	return v, nil
}

func (v *VLAN) equal(o *VLAN) bool {
	return v.Mode == o.Mode && v.Tag == o.Tag && slices.Equal(v.Trunks, o.Trunks)
}

// carries tells whether frames of the VLAN leave and enter here.
func (v *VLAN) carries(vlan uint16) bool {
	switch {
	case v.Mode == Access:
		return vlan == v.Tag
	case v.Mode != Trunk && vlan == v.Tag, len(v.Trunks) == 0:
		return true
	}
	_, ok := slices.BinarySearch(v.Trunks, vlan)
	return ok
}

// ingress tells which VLAN a frame that enters here is in; false: it is not
// let in. A tag with VLAN 0 carries a priority only.
func (v *VLAN) ingress(t Tag) (uint16, bool) {
	switch {
	case t.vid() == 0:
		return v.Tag, v.carries(v.Tag)
	case v.Mode == Access:
		return 0, false
	}
	return t.vid(), v.carries(t.vid())
}

// tagged tells whether frames of the VLAN leave here with a tag.
func (v *VLAN) tagged(vlan uint16) bool {
	return vlan != 0 && v.Mode != Access && (v.Mode != NativeUntagged || vlan != v.Tag)
}

// maxOutputs is how many ports one list of actions sends to: the datapath
// takes 32 KiB of actions (MAX_ACTIONS_BUFSIZE), of which an output takes 8
// octets; what is left is for tunnels, of which one takes some 70.
const maxOutputs = 2800

// send makes the actions that send a frame of the VLAN, which came in as k
// says, out through the ports; as many lists as it takes. The tag is changed
// after those have it that want the frame as it came. nil: nowhere.
func send(k Key, vlan uint16, ports []*port) (lists [][]Action) {
	for chunk := range slices.Chunk(ports, maxOutputs) {
		var same, untagged, tagged []Action
		for _, p := range chunk {
			out := Action{Kind: Output, Port: p.Number}
			switch tag := p.VLAN.tagged(vlan); {
			case !tag && k.Tag.TPID == 0, tag && k.Tag.vid() == vlan:
				same = append(same, out)
			case !tag:
				untagged = append(untagged, out)
			default:
				tagged = append(tagged, out)
			}
		}
		list := same
		if k.Tag.TPID != 0 && len(untagged)+len(tagged) > 0 {
			list = append(append(list, Action{Kind: PopVLAN}), untagged...)
		}
		if len(tagged) > 0 {
			t := Tag{TPID: TPID8021Q, TCI: vlan | k.Tag.TCI&pcpMask | TCIPresent}
			if k.Tag.TPID != 0 {
				t.TPID = k.Tag.TPID
			}
			list = append(append(list, Action{Kind: PushVLAN, Tag: t}), tagged...)
		}
		lists = append(lists, list)
	}
	return lists
}
