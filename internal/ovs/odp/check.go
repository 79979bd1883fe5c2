package odp

import (
	"errors"
	"fmt"
)

// EtherTypes after which the kernel wants more of a key.
const (
	ethIPv4 = 0x0800
	ethARP  = 0x0806
	ethIPv6 = 0x86dd
	ethMPLS = 0x8847
	etherII = 0x0600 // the least that is a type, not a length

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// CheckFlow says why the kernel refuses to make or change a flow; nil if no
// reason is known. It is for afterwards: the kernel's own rules count.
func CheckFlow(r *FlowRequest) error {
	k := r.Match.Key
	if r.RawKey != nil {
		var err error
		if k, err = ParseKey(r.RawKey); err != nil {
			return err
		}
	}
	if len(r.UFID) > 16 {
		return fmt.Errorf("a UFID has 16 octets at most, this has %d", len(r.UFID))
	}
	if k.Has == 0 && k.Meta == "" {
		return errors.New("it has no key")
	}
	if err := checkKey(&k); err != nil {
		return err
	}
	if !r.Match.Exact {
		if err := checkMask(&k, &r.Match.Mask); err != nil {
			return err
		}
	}
	return CheckActions(r.Actions)
}

func checkKey(k *FlowKey) error {
	switch {
	case k.Has&HasInPort != 0 && k.InPort > MaxPort:
		return fmt.Errorf("in_port %d is not the number of a port", k.InPort)
	case k.Has&(HasEthernet|HasEtherType) == 0:
		return errors.New("its key has no Ethernet addresses")
	case k.Has&HasVLAN != 0 && k.VLAN.TCI != 0 && k.VLAN.TCI&VLANPresent == 0,
		k.Has&HasCVLAN != 0 && k.CVLAN.TCI != 0 && k.CVLAN.TCI&VLANPresent == 0:
		return fmt.Errorf("a VLAN's TCI must have the bit %#x", VLANPresent)
	case k.Has&HasVLAN != 0 && k.Has&(HasVLANType|HasEncap) != HasVLANType|HasEncap,
		k.Has&HasCVLAN != 0 && k.Has&(HasCVLANType|HasCEncap) != HasCVLANType|HasCEncap:
		return errors.New("a VLAN tag needs its type (0x8100, 0x88a8) and what is inside")
	case k.Has&HasEtherType != 0 && k.EtherType < etherII:
		return fmt.Errorf("EtherType %#04x is a length", k.EtherType)
	}
	if k.Has&HasEtherType == 0 {
		return nil
	}
	missing := func(what string) error {
		return fmt.Errorf("EtherType %#04x is in the key, so %s must be there as well, whatever the mask says", k.EtherType, what)
	}
	switch {
	case k.EtherType == ethIPv4 && k.Has&HasIPv4 == 0:
		return missing("the IPv4 header")
	case k.EtherType == ethIPv6 && k.Has&HasIPv6 == 0:
		return missing("the IPv6 header")
	case k.EtherType == ethARP && k.Has&HasARP == 0:
		return missing("ARP")
	case k.EtherType == ethMPLS && k.Meta+k.Inner == "":
		return missing("the MPLS label")
	}
	return checkTransport(k)
}

// checkTransport holds that what follows from the protocol is there.
func checkTransport(k *FlowKey) error {
	if k.Has&(HasIPv4|HasIPv6) == 0 || k.IP.Frag == 2 {
		return nil
	}
	for _, p := range []struct {
		proto uint8
		need  Fields
		name  string
	}{
		{protoTCP, HasTCP, "the TCP ports"}, {protoUDP, HasUDP, "the UDP ports"}, {protoSCTP, HasSCTP, "the SCTP ports"},
		{protoICMP, HasICMP, "the ICMP type"}, {protoICMPv6, HasICMPv6, "the ICMPv6 type"},
	} {
		if k.IP.Proto != p.proto || p.proto == protoICMP && k.Has&HasIPv4 == 0 || p.proto == protoICMPv6 && k.Has&HasIPv6 == 0 {
			continue
		}
		if k.Has&p.need == 0 {
			return fmt.Errorf("IP protocol %d is in the key, so %s must be there as well, whatever the mask says", p.proto, p.name)
		}
	}
	return nil
}

func checkMask(k, m *FlowKey) error {
	switch {
	case m.Has&HasVLAN != 0 && k.Has&HasVLAN == 0, m.Has&HasCVLAN != 0 && k.Has&HasCVLAN == 0:
		return errors.New("the mask has a VLAN, the key has none")
	case m.Has&HasVLAN != 0 && (m.Has&HasVLANType == 0 || m.VLAN.Type != 0xffff):
		return errors.New("a mask of a VLAN needs all of the tag's type (0xffff)")
	case m.Has&HasVLAN != 0 && m.VLAN.TCI&VLANPresent == 0, m.Has&HasCVLAN != 0 && m.CVLAN.TCI&VLANPresent == 0:
		return fmt.Errorf("the mask of a VLAN's TCI must have the bit %#x", VLANPresent)
	case m.Has&HasVLAN != 0 && m.Has&HasEncap == 0,
		m.Has&HasEncap != 0 && m.Has&(HasEtherType|HasCVLANType|HasIPv4|HasIPv6|HasARP) == 0 && m.Inner == "":
		return errors.New("a mask of a VLAN needs something inside, at least an EtherType of 0")
	}
	beyond := m.Has &^ k.Has &^ (HasRecircID | HasDPHash | HasPriority | HasInPort | HasSkbMark | HasCTState | HasCTZone | HasCTMark | HasCTLabels | HasEtherType)
	if beyond != 0 {
		return fmt.Errorf("the mask has fields that the key does not have (%#x)", uint64(beyond))
	}
	return nil
}

// CheckActions says why the kernel refuses actions; nil if no reason is known.
func CheckActions(actions []Action) error {
	for i := range actions {
		switch a := &actions[i]; a.Type {
		case ActionOutput:
			if a.Value > MaxPort {
				return fmt.Errorf("output to port %d: the largest number is %d", a.Value, MaxPort)
			}
		case ActionTrunc:
			if a.Value < 14 {
				return fmt.Errorf("trunc(%d): a frame has 14 octets or more", a.Value)
			}
		case ActionPushVLAN:
			if a.VLAN.Type != 0x8100 && a.VLAN.Type != 0x88a8 || a.VLAN.TCI&VLANPresent == 0 {
				return fmt.Errorf("push_vlan: type %#04x, TCI %#04x: there are types 0x8100 and 0x88a8, and the TCI must have the bit %#x", a.VLAN.Type, a.VLAN.TCI, VLANPresent)
			}
		case 0:
			return errors.New("an action without a type")
		}
		if actions[i].Type > ActionPsample {
			return fmt.Errorf("action %d is none that is known", actions[i].Type)
		}
	}
	return nil
}
