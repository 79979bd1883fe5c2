package odp

import (
	"fmt"
	"net/netip"

	"netbraid/rtnl/nlattr"
)

// ParseKey reads the attributes of a key or mask. Attributes that it does not
// know are kept in Meta and Inner; when one comes twice the last counts.
func ParseKey(b []byte) (FlowKey, error) {
	var k FlowKey
	if err := k.parse(b); err != nil {
		return FlowKey{}, fmt.Errorf("odp: flow key: %w", err)
	}
	return k, nil
}

func (k *FlowKey) parse(b []byte) error {
	*k = FlowKey{}
	var tag taggedAttrs
	c := attributes(b)
	for c.Next() {
		if !k.metadata(&c) && !tag.take(&c) && !k.layer(&c) {
			k.Meta = c.appendWhole(k.Meta)
		}
	}
	if c.Err != nil {
		return c.Err
	}
	if !tag.hasEncap {
		k.untagged(tag)
		return nil
	}
	k.Has |= HasEncap | tag.bits(HasVLANType, HasVLAN)
	k.VLAN = tag.VLANTag
	return k.encap(tag.encap, 1)
}

// encap reads what is inside the tag number level.
func (k *FlowKey) encap(b []byte, level int) error {
	var tag taggedAttrs
	c := attributes(b)
	for c.Next() {
		isTag := level == 1 && tag.take(&c) || level == 2 && c.Type != keyEncap && tag.take(&c)
		if !isTag && !k.layer(&c) {
			k.Inner = c.appendWhole(k.Inner)
		}
	}
	if c.Err != nil {
		return fmt.Errorf("attribute %d: %w", keyEncap, c.Err)
	}
	switch {
	case tag.hasEncap:
		k.Has |= HasCEncap | tag.bits(HasCVLANType, HasCVLAN)
		k.CVLAN = tag.VLANTag
		return k.encap(tag.encap, 2)
	case level == 1 && tag.hasTCI:
		k.Has |= tag.bits(HasCVLANType, HasCVLAN)
		k.CVLAN = tag.VLANTag
		return nil
	}
	if tag.hasTCI { // a third tag: not taken apart
		k.Inner = string(nlattr.AppendBE16([]byte(k.Inner), keyVLAN, tag.TCI))
	}
	k.innermost(tag)
	return nil
}

// untagged takes an EtherType that no tag follows for that of the packet. A TCI
// without what is inside it is a mask of no use, or a packet that ends there.
func (k *FlowKey) untagged(tag taggedAttrs) {
	if tag.hasTCI {
		k.Has |= tag.bits(HasVLANType, HasVLAN)
		k.VLAN = tag.VLANTag
		return
	}
	k.innermost(tag)
}

func (k *FlowKey) innermost(tag taggedAttrs) {
	if tag.hasType {
		k.Has |= HasEtherType
		k.EtherType = tag.Type
	}
}

// taggedAttrs are the attributes of one level whose meaning depends on whether
// the level has a tag.
type taggedAttrs struct {
	VLANTag
	hasType, hasTCI, hasEncap bool
	encap                     []byte
}

func (t *taggedAttrs) take(c *cursor) bool {
	switch c.Type {
	case keyEtherType:
		t.hasType, t.Type = true, c.BE16()
	case keyVLAN:
		t.hasTCI, t.TCI = true, c.BE16()
	case keyEncap:
		t.hasEncap, t.encap = true, c.Val
	default:
		return false
	}
	return true
}

func (t *taggedAttrs) bits(typ, tci Fields) (f Fields) {
	if t.hasType {
		f |= typ
	}
	if t.hasTCI {
		f |= tci
	}
	return f
}

// metadata takes an attribute that is not of the packet's layers.
func (k *FlowKey) metadata(c *cursor) bool {
	switch c.Type {
	case keyRecircID:
		k.Has, k.RecircID = k.Has|HasRecircID, c.U32()
	case keyDPHash:
		k.Has, k.DPHash = k.Has|HasDPHash, c.U32()
	case keyPriority:
		k.Has, k.Priority = k.Has|HasPriority, c.U32()
	case keyTunnel:
		k.Has |= HasTunnel
		var err error
		k.Tunnel, err = parseTunnel(c.Val)
		c.within(err)
	case keyInPort:
		k.Has, k.InPort = k.Has|HasInPort, c.U32()
	case keySkbMark:
		k.Has, k.SkbMark = k.Has|HasSkbMark, c.U32()
	case keyCTState:
		k.Has, k.CTState = k.Has|HasCTState, c.U32()
	case keyCTZone:
		k.Has, k.CTZone = k.Has|HasCTZone, c.U16()
	case keyCTMark:
		k.Has, k.CTMark = k.Has|HasCTMark, c.U32()
	case keyCTLabels:
		if c.Has(sizeLabels) {
			k.Has, k.CTLabels = k.Has|HasCTLabels, [sizeLabels]byte(c.Val)
		}
	case keyEthernet:
		if c.Has(sizeEthernet) {
			k.Has, k.EthSrc, k.EthDst = k.Has|HasEthernet, MAC(c.Val), MAC(c.Val[6:])
		}
	default:
		return false
	}
	return true
}

// layer takes an attribute of layer 3 or 4.
func (k *FlowKey) layer(c *cursor) bool {
	switch c.Type {
	case keyIPv4:
		if c.Has(sizeIPv4) {
			k.Has |= HasIPv4
			k.IP = IP{Src: netip.AddrFrom4([4]byte(c.Val)), Dst: netip.AddrFrom4([4]byte(c.Val[4:]))}
			k.IP.Proto, k.IP.TOS, k.IP.TTL, k.IP.Frag = c.Val[8], c.Val[9], c.Val[10], c.Val[11]
			k.Has &^= HasIPv6 // a packet has one of them
		}
	case keyIPv6:
		if c.Has(sizeIPv6) {
			k.Has |= HasIPv6
			k.IP = IP{Src: netip.AddrFrom16([16]byte(c.Val)), Dst: netip.AddrFrom16([16]byte(c.Val[16:])), Label: be.Uint32(c.Val[32:])}
			k.IP.Proto, k.IP.TOS, k.IP.TTL, k.IP.Frag = c.Val[36], c.Val[37], c.Val[38], c.Val[39]
			k.Has &^= HasIPv4
		}
	case keyIPv6ExtHdr:
		k.Has, k.ExtHdrs = k.Has|HasExtHdrs, c.U16()
	case keyARP:
		if c.Has(sizeARP) {
			k.Has |= HasARP
			k.ARP = ARP{SrcIP: [4]byte(c.Val), DstIP: [4]byte(c.Val[4:]), Op: be.Uint16(c.Val[8:]), SrcMAC: MAC(c.Val[10:]), DstMAC: MAC(c.Val[16:])}
		}
	case keyTCP:
		k.ports(c, HasTCP)
	case keyUDP:
		k.ports(c, HasUDP)
	case keySCTP:
		k.ports(c, HasSCTP)
	case keyICMP:
		k.typeCode(c, HasICMP)
	case keyICMPv6:
		k.typeCode(c, HasICMPv6)
	case keyTCPFlags:
		k.Has, k.TCPFlags = k.Has|HasTCPFlags, c.BE16()
	case keyND:
		if c.Has(sizeND) {
			k.Has |= HasND
			k.ND = ND{Target: [16]byte(c.Val), SrcMAC: MAC(c.Val[16:]), DstMAC: MAC(c.Val[22:])}
		}
	default:
		return false
	}
	return true
}

// transport are the fields of which a packet has one.
const transport = HasTCP | HasUDP | HasSCTP | HasICMP | HasICMPv6

func (k *FlowKey) ports(c *cursor, f Fields) {
	if c.Has(4) {
		k.Has = k.Has&^transport | f
		k.TP = Transport{be.Uint16(c.Val), be.Uint16(c.Val[2:])}
	}
}

func (k *FlowKey) typeCode(c *cursor, f Fields) {
	if c.Has(2) {
		k.Has = k.Has&^transport | f
		k.TP = Transport{uint16(c.Val[0]), uint16(c.Val[1])}
	}
}

func parseTunnel(b []byte) (Tunnel, error) {
	var t Tunnel
	c := attributes(b)
	for c.Next() {
		switch c.Type {
		case tunID:
			t.HasID, t.ID = true, c.BE64()
		case tunIPv4Src:
			t.Src = c.ipv4()
		case tunIPv4Dst:
			t.Dst = c.ipv4()
		case tunIPv6Src:
			t.Src = c.ipv6()
		case tunIPv6Dst:
			t.Dst = c.ipv6()
		case tunTOS:
			t.HasTOS, t.TOS = true, c.U8()
		case tunTTL:
			t.HasTTL, t.TTL = true, c.U8()
		case tunDF:
			t.DF = true
		case tunCsum:
			t.Csum = true
		case tunOAM:
			t.OAM = true
		case tunTPSrc:
			t.SrcPort = c.BE16()
		case tunTPDst:
			t.DstPort = c.BE16()
		default:
			t.Options = c.appendWhole(t.Options)
		}
	}
	return t, c.Err
}

func (c *cursor) ipv4() netip.Addr {
	if !c.Has(4) {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(c.Val))
}

func (c *cursor) ipv6() netip.Addr {
	if !c.Has(16) {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(c.Val))
}
