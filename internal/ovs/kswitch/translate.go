package kswitch

import (
	"net/netip"

	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// keyFields are what flows of the switch match on, tags and tunnels apart. The
// kernel always matches the tags as well, and nothing inside them.
const keyFields = odp.HasInPort | odp.HasEthernet

// toKey takes from a key of the kernel what the switch looks at; false: the
// packet has no Ethernet header, no port, or came through a tunnel that nobody
// wants.
func (t *tunnels) toKey(k *odp.FlowKey) (l2.Key, bool) {
	if k.Has&keyFields != keyFields || k.InPort > odp.MaxPort {
		return l2.Key{}, false
	}
	port := k.InPort
	if k.Has&odp.HasTunnel != 0 && k.Tunnel.Src.IsValid() {
		var ok bool
		if port, ok = t.numbers[tunnelKey{k.InPort, k.Tunnel.ID, k.Tunnel.HasID, k.Tunnel.Src}]; !ok {
			return l2.Key{}, false
		}
	}
	return l2.Key{
		Port: port, Src: l2.MAC(k.EthSrc), Dst: l2.MAC(k.EthDst),
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
func (t *tunnels) match(k l2.Key) odp.Match {
	m := odp.Match{
		Key:  odp.FlowKey{Has: keyFields, InPort: k.Port, EthSrc: odp.MAC(k.Src), EthDst: odp.MAC(k.Dst)},
		Mask: odp.FlowKey{Has: keyFields, InPort: 1<<32 - 1, EthSrc: odp.Broadcast, EthDst: odp.Broadcast},
	}
	if w := t.byNumber[k.Port]; w != nil {
		from := w.from
		m.Key.InPort = from.vport
		m.Key.Has |= odp.HasTunnel
		m.Mask.Has |= odp.HasTunnel
		// Where it went to, and its TTL, are not matched, but the kernel wants some.
		m.Key.Tunnel = odp.Tunnel{ID: from.id, HasID: from.hasID, Src: from.remote, Dst: from.remote, HasTTL: true, TTL: defaultTTL}
		m.Mask.Tunnel = odp.Tunnel{ID: 1<<64 - 1, HasID: true, Src: allOnes(from.remote)}
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

// allOnes is the mask that matches one address.
func allOnes(a netip.Addr) netip.Addr {
	b := a.AsSlice()
	for i := range b {
		b[i] = 0xff
	}
	ones, _ := netip.AddrFromSlice(b)
	return ones
}

func (t *tunnels) appendActions(out []odp.Action, actions []l2.Action) []odp.Action {
	for _, a := range actions {
		switch a.Kind {
		case l2.Output:
			if w := t.byNumber[a.Port]; w != nil {
				out = append(out, odp.SetTunnel(&w.out), odp.Output(w.from.vport))
			} else {
				out = append(out, odp.Output(a.Port))
			}
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
func (t *tunnels) toActions(actions []odp.Action) ([]l2.Action, bool) {
	var out []l2.Action
	var set *odp.Tunnel // for the next output
	for i := range actions {
		switch a := &actions[i]; a.Type {
		case odp.ActionOutput:
			number := a.Value
			if set != nil {
				var ok bool
				if number, ok = t.numbers[tunnelKey{a.Value, set.ID, set.HasID, set.Dst}]; !ok {
					return nil, false
				}
				set = nil
			}
			out = append(out, l2.Action{Kind: l2.Output, Port: number})
		case odp.ActionSet:
			k, err := odp.ParseKey([]byte(a.Raw))
			if err != nil || k.Has != odp.HasTunnel {
				return nil, false
			}
			set = &k.Tunnel
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

// same tells whether a number means the same port as before.
func (t *tunnels) same(o *tunnels, number uint32) bool {
	was, is := t.byNumber[number], o.byNumber[number]
	return was == is || was != nil && is != nil && *was == *is
}

// toFound reads a flow of a dump; full: with its mask and actions. mine is false
// for a flow that the switch would not make; its key is only good for telling
// it from others then.
func (t *tunnels) toFound(f *odp.Flow, full bool) (s l2.Found, mine bool) {
	s.Key, mine = t.toKey(&f.Match.Key)
	s.Used, s.HasUsed, s.Full = f.Used, f.Used != 0, full
	if !mine || !full {
		return s, mine && f.UFID == ""
	}
	if f.UFID != "" || f.Match.Exact || !t.isOurs(f.Match, s.Key) {
		return s, false
	}
	// What it does is ours to say, whoever has changed it.
	var known bool
	if s.Actions, known = t.toActions(f.Actions); !known {
		s.Actions = []l2.Action{{}}
	}
	return s, true
}

// isOurs tells whether a flow is that of match(k). The kernel shows it with
// fields that are not matched, and with the tags, which always are. A flow that
// matches the same but has another key is not found by ours.
func (t *tunnels) isOurs(m odp.Match, k l2.Key) bool {
	want := t.match(k)
	if k.Tag.TPID != 0 {
		want.Mask.VLAN = odp.VLANTag{Type: 0xffff, TCI: 0xffff}
	}
	if k.Inner.TPID != 0 {
		want.Mask.CVLAN = want.Mask.VLAN
	}
	for _, shown := range []*odp.FlowKey{&m.Key, &m.Mask, &want.Key, &want.Mask} {
		unmatched(shown)
	}
	return m == want
}

// unmatched takes from a key or mask what is there and says nothing.
func unmatched(k *odp.FlowKey) {
	k.Has = 0
	w := &k.Tunnel
	w.HasTTL, w.HasTOS = false, false
	if w.ID == 0 && !w.Dst.IsValid() {
		w.HasID = false
	}
	if w.Dst.IsValid() && w.Dst.IsUnspecified() {
		w.Dst = netip.Addr{}
	}
}
