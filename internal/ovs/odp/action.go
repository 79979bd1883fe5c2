package odp

import "netbraid/rtnl/nlattr"

import "fmt"

// ActionType is what an action does (enum ovs_action_attr).
type ActionType uint16

// The actions.
const (
	ActionOutput      ActionType = 1
	ActionUserspace   ActionType = 2
	ActionSet         ActionType = 3
	ActionPushVLAN    ActionType = 4
	ActionPopVLAN     ActionType = 5
	ActionSample      ActionType = 6
	ActionRecirc      ActionType = 7
	ActionHash        ActionType = 8
	ActionPushMPLS    ActionType = 9
	ActionPopMPLS     ActionType = 10
	ActionSetMasked   ActionType = 11
	ActionCT          ActionType = 12
	ActionTrunc       ActionType = 13
	ActionPushEth     ActionType = 14
	ActionPopEth      ActionType = 15
	ActionCTClear     ActionType = 16
	ActionPushNSH     ActionType = 17
	ActionPopNSH      ActionType = 18
	ActionMeter       ActionType = 19
	ActionClone       ActionType = 20
	ActionCheckPktLen ActionType = 21
	ActionAddMPLS     ActionType = 22
	ActionDecTTL      ActionType = 23
	ActionDrop        ActionType = 24
	ActionPsample     ActionType = 25
)

// Numbers of the attributes of ActionUserspace (enum ovs_userspace_attr).
const (
	userPID     = 1
	userData    = 2
	userEgress  = 3
	userActions = 4
)

// Action is one action on a packet. It is comparable. Make it with Output and
// the other functions.
type Action struct {
	Type ActionType
	// Value is the port of ActionOutput, the netlink port of ActionUserspace, the
	// id of ActionRecirc, the most octets of ActionTrunc (14 or more), the meter
	// of ActionMeter, the reason of ActionDrop.
	Value uint32
	VLAN  VLANTag // of ActionPushVLAN
	// Raw is what this package does not take apart, as it is on the wire: the
	// one key attribute of ActionSet, the user data of ActionUserspace, the
	// payload of the actions not named here.
	Raw string
	// EgressPort of ActionUserspace asks for the tunnel key as of that port; 0:
	// no. SendActions asks for the actions to come with the packet.
	EgressPort  uint32
	SendActions bool
}

// Output sends the packet out of a port, 0 to MaxPort, also if it came from
// there. The packet is dropped when there is no such port.
func Output(port uint32) Action { return Action{Type: ActionOutput, Value: port} }

// Userspace sends the packet to a netlink port, with data that comes back in
// Upcall.UserData.
func Userspace(pid uint32, data string) Action {
	return Action{Type: ActionUserspace, Value: pid, Raw: data}
}

// PushVLAN puts a tag in front: typ is 0x8100 or 0x88a8. The actions after it
// see the packet so.
func PushVLAN(typ, tci uint16) Action {
	return Action{Type: ActionPushVLAN, VLAN: VLANTag{typ, tci | VLANPresent}}
}

// PopVLAN takes the outermost tag off.
func PopVLAN() Action { return Action{Type: ActionPopVLAN} }

// Recirc looks the packet up again, with id as RecircID.
func Recirc(id uint32) Action { return Action{Type: ActionRecirc, Value: id} }

// Trunc cuts the packet for the next output.
func Trunc(octets uint32) Action { return Action{Type: ActionTrunc, Value: octets} }

// SetTunnel says how the packet is to be wrapped by an output to a tunnel port.
func SetTunnel(t *Tunnel) Action {
	return setField(&FlowKey{Has: HasTunnel, Tunnel: *t})
}

// SetPriority sets the packet's queueing priority (skb->priority).
func SetPriority(v uint32) Action { return setField(&FlowKey{Has: HasPriority, Priority: v}) }

// SetMark sets the packet's mark (skb->mark).
func SetMark(v uint32) Action { return setField(&FlowKey{Has: HasSkbMark, SkbMark: v}) }

// setField is the action that sets the one field that k has.
func setField(k *FlowKey) Action {
	return Action{Type: ActionSet, Raw: string(AppendKey(nil, k))}
}

// AppendActions appends actions: the payload of OVS_FLOW_ATTR_ACTIONS or
// OVS_PACKET_ATTR_ACTIONS.
func AppendActions(b []byte, actions []Action) []byte {
	for i := range actions {
		b = appendAction(b, &actions[i])
	}
	return b
}

func appendAction(b []byte, a *Action) []byte {
	typ := uint16(a.Type)
	switch a.Type {
	case ActionOutput, ActionRecirc, ActionTrunc, ActionMeter, ActionDrop:
		return nlattr.AppendU32(b, typ, a.Value)
	case ActionPushVLAN:
		b = ne.AppendUint16(ne.AppendUint16(b, 8), typ)
		return be.AppendUint16(be.AppendUint16(b, a.VLAN.Type), a.VLAN.TCI)
	case ActionUserspace:
		start := len(b)
		b = nlattr.AppendU32(nlattr.Open(b, typ), userPID, a.Value)
		if a.Raw != "" {
			b = nlattr.AppendRaw(b, userData, a.Raw)
		}
		if a.EgressPort != 0 {
			b = nlattr.AppendU32(b, userEgress, a.EgressPort)
		}
		if a.SendActions {
			b = nlattr.AppendRaw(b, userActions, "")
		}
		return nlattr.Close(b, start)
	}
	return nlattr.AppendRaw(b, typ, a.Raw)
}

// ParseActions reads actions.
func ParseActions(b []byte) ([]Action, error) { return parseActionsInto(nil, b) }

func parseActionsInto(out []Action, b []byte) ([]Action, error) {
	c := attributes(b)
	for c.Next() {
		a := Action{Type: ActionType(c.Type)}
		switch a.Type {
		case ActionOutput, ActionRecirc, ActionTrunc, ActionMeter, ActionDrop:
			a.Value = c.U32()
		case ActionPushVLAN:
			if c.Has(4) {
				a.VLAN = VLANTag{be.Uint16(c.Val), be.Uint16(c.Val[2:])}
			}
		case ActionUserspace:
			c.within(a.userspace(c.Val))
		default:
			a.Raw = string(c.Val)
		}
		out = append(out, a)
	}
	if c.Err != nil {
		return nil, fmt.Errorf("odp: action: %w", c.Err)
	}
	return out, nil
}

func (a *Action) userspace(b []byte) error {
	c := attributes(b)
	for c.Next() {
		switch c.Type {
		case userPID:
			a.Value = c.U32()
		case userData:
			a.Raw = string(c.Val)
		case userEgress:
			a.EgressPort = c.U32()
		case userActions:
			a.SendActions = true
		}
	}
	return c.Err
}
