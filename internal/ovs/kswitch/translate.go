package kswitch

import (
	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// keyFields are what flows of the switch match on, tags apart. The kernel
// always matches the tags as well, and nothing inside them.
const keyFields = odp.HasInPort | odp.HasEthernet

// toKey takes from a key of the kernel what the switch looks at; false: the
// packet has no Ethernet header or no port.
func toKey(k *odp.FlowKey) (l2.Key, bool) {
	if k.Has&keyFields != keyFields || k.InPort > odp.MaxPort {
		return l2.Key{}, false
	}
	return l2.Key{
		Port: k.InPort, Src: l2.MAC(k.EthSrc), Dst: l2.MAC(k.EthDst),
		Tag: toTag(k, odp.HasVLAN, k.VLAN), Inner: toTag(k, odp.HasCVLAN, k.CVLAN),
	}, true
}

func toTag(k *odp.FlowKey, f odp.Fields, t odp.VLANTag) l2.Tag {
	if k.Has&f == 0 || t.TCI&odp.VLANPresent == 0 {
		return l2.Tag{}
	}
	return l2.Tag{TPID: t.Type, TCI: t.TCI}
}

// match is the flow of a key. It is the same whatever the packet has beyond:
// the kernel finds a flow by its whole key, not only by what is masked.
func match(k l2.Key) odp.Match {
	m := odp.Match{
		Key:  odp.FlowKey{Has: keyFields, InPort: k.Port, EthSrc: odp.MAC(k.Src), EthDst: odp.MAC(k.Dst)},
		Mask: odp.FlowKey{Has: keyFields, InPort: 1<<32 - 1, EthSrc: odp.Broadcast, EthDst: odp.Broadcast},
	}
	if k.Tag.TPID != 0 {
		m.Key.Has |= odp.VLANTagged
		m.Key.VLAN = odp.VLANTag{Type: k.Tag.TPID, TCI: k.Tag.TCI}
	}
	if k.Inner.TPID != 0 {
		m.Key.Has |= odp.HasCVLANType | odp.HasCVLAN | odp.HasCEncap
		m.Key.CVLAN = odp.VLANTag{Type: k.Inner.TPID, TCI: k.Inner.TCI}
	}
	return m
}

func appendActions(out []odp.Action, actions []l2.Action) []odp.Action {
	for _, a := range actions {
		switch a.Kind {
		case l2.Output:
			out = append(out, odp.Output(a.Port))
		case l2.PopVLAN:
			out = append(out, odp.PopVLAN())
		case l2.PushVLAN:
			out = append(out, odp.PushVLAN(a.Tag.TPID, a.Tag.TCI))
		}
	}
	return out
}

// toActions is the inverse; false: there is an action that the switch does not
// use.
func toActions(actions []odp.Action) ([]l2.Action, bool) {
	var out []l2.Action
	for i := range actions {
		switch a := &actions[i]; a.Type {
		case odp.ActionOutput:
			out = append(out, l2.Action{Kind: l2.Output, Port: a.Value})
		case odp.ActionPopVLAN:
			out = append(out, l2.Action{Kind: l2.PopVLAN})
		case odp.ActionPushVLAN:
			out = append(out, l2.Action{Kind: l2.PushVLAN, Tag: l2.Tag{TPID: a.VLAN.Type, TCI: a.VLAN.TCI}})
		default:
			return nil, false
		}
	}
	return out, true
}

// toFound reads a flow of a dump; full: with its mask and actions. mine is false
// for a flow that the switch would not make; its key is only good for telling
// it from others then.
func toFound(f *odp.Flow, full bool) (s l2.Found, mine bool) {
	s.Key, mine = toKey(&f.Match.Key)
	s.Used, s.HasUsed, s.Full = f.Used, f.Used != 0, full
	if !mine || !full {
		return s, mine && f.UFID == ""
	}
	if f.UFID != "" || f.Match.Exact || !isOurMask(f.Match.Mask, s.Key) {
		return s, false
	}
	s.Actions, mine = toActions(f.Actions)
	return s, mine
}

// isOurMask tells whether a mask is that of match(k). The kernel shows it with
// the fields that are not matched, and with the tags, which always are.
func isOurMask(m odp.FlowKey, k l2.Key) bool {
	want := match(k).Mask
	want.Has = m.Has
	if k.Tag.TPID != 0 {
		want.VLAN = odp.VLANTag{Type: 0xffff, TCI: 0xffff}
	}
	if k.Inner.TPID != 0 {
		want.CVLAN = want.VLAN
	}
	// There, and matched by no bit.
	m.Tunnel.HasTTL, m.Tunnel.HasTOS, m.Tunnel.HasID = false, false, false
	return m == want
}
