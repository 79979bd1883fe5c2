package odp

import (
	"fmt"
	"net/netip"
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
	c := cursor{rest: b}
	for c.next() {
		if !k.metadata(&c) && !tag.take(&c) && !k.layer(&c) {
			k.Meta = c.appendWhole(k.Meta)
		}
	}
	if c.err != nil {
		return c.err
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
	c := cursor{rest: b}
	for c.next() {
		isTag := level == 1 && tag.take(&c) || level == 2 && c.typ != keyEncap && tag.take(&c)
		if !isTag && !k.layer(&c) {
			k.Inner = c.appendWhole(k.Inner)
		}
	}
	if c.err != nil {
		return fmt.Errorf("attribute %d: %w", keyEncap, c.err)
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
		k.Inner = string(appendBE16([]byte(k.Inner), keyVLAN, tag.TCI))
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
	switch c.typ {
	case keyEtherType:
		t.hasType, t.Type = true, c.be16()
	case keyVLAN:
		t.hasTCI, t.TCI = true, c.be16()
	case keyEncap:
		t.hasEncap, t.encap = true, c.val
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
	switch c.typ {
	case keyRecircID:
		k.Has, k.RecircID = k.Has|HasRecircID, c.u32()
	case keyDPHash:
		k.Has, k.DPHash = k.Has|HasDPHash, c.u32()
	case keyPriority:
		k.Has, k.Priority = k.Has|HasPriority, c.u32()
	case keyTunnel:
		k.Has |= HasTunnel
		var err error
		k.Tunnel, err = parseTunnel(c.val)
		c.within(err)
	case keyInPort:
		k.Has, k.InPort = k.Has|HasInPort, c.u32()
	case keySkbMark:
		k.Has, k.SkbMark = k.Has|HasSkbMark, c.u32()
	case keyCTState:
		k.Has, k.CTState = k.Has|HasCTState, c.u32()
	case keyCTZone:
		k.Has, k.CTZone = k.Has|HasCTZone, c.u16()
	case keyCTMark:
		k.Has, k.CTMark = k.Has|HasCTMark, c.u32()
	case keyCTLabels:
		if c.has(sizeLabels) {
			k.Has, k.CTLabels = k.Has|HasCTLabels, [sizeLabels]byte(c.val)
		}
	case keyEthernet:
		if c.has(sizeEthernet) {
			k.Has, k.EthSrc, k.EthDst = k.Has|HasEthernet, MAC(c.val), MAC(c.val[6:])
		}
	default:
		return false
	}
	return true
}

// layer takes an attribute of layer 3 or 4.
func (k *FlowKey) layer(c *cursor) bool {
	switch c.typ {
	case keyIPv4:
		if c.has(sizeIPv4) {
			k.Has |= HasIPv4
			k.IP = IP{Src: netip.AddrFrom4([4]byte(c.val)), Dst: netip.AddrFrom4([4]byte(c.val[4:]))}
			k.IP.Proto, k.IP.TOS, k.IP.TTL, k.IP.Frag = c.val[8], c.val[9], c.val[10], c.val[11]
			k.Has &^= HasIPv6 // a packet has one of them
		}
	case keyIPv6:
		if c.has(sizeIPv6) {
			k.Has |= HasIPv6
			k.IP = IP{Src: netip.AddrFrom16([16]byte(c.val)), Dst: netip.AddrFrom16([16]byte(c.val[16:])), Label: be.Uint32(c.val[32:])}
			k.IP.Proto, k.IP.TOS, k.IP.TTL, k.IP.Frag = c.val[36], c.val[37], c.val[38], c.val[39]
			k.Has &^= HasIPv4
		}
	case keyIPv6ExtHdr:
		k.Has, k.ExtHdrs = k.Has|HasExtHdrs, c.u16()
	case keyARP:
		if c.has(sizeARP) {
			k.Has |= HasARP
			k.ARP = ARP{SrcIP: [4]byte(c.val), DstIP: [4]byte(c.val[4:]), Op: be.Uint16(c.val[8:]), SrcMAC: MAC(c.val[10:]), DstMAC: MAC(c.val[16:])}
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
		k.Has, k.TCPFlags = k.Has|HasTCPFlags, c.be16()
	case keyND:
		if c.has(sizeND) {
			k.Has |= HasND
			k.ND = ND{Target: [16]byte(c.val), SrcMAC: MAC(c.val[16:]), DstMAC: MAC(c.val[22:])}
		}
	default:
		return false
	}
	return true
}

// transport are the fields of which a packet has one.
const transport = HasTCP | HasUDP | HasSCTP | HasICMP | HasICMPv6

func (k *FlowKey) ports(c *cursor, f Fields) {
	if c.has(4) {
		k.Has = k.Has&^transport | f
		k.TP = Transport{be.Uint16(c.val), be.Uint16(c.val[2:])}
	}
}

func (k *FlowKey) typeCode(c *cursor, f Fields) {
	if c.has(2) {
		k.Has = k.Has&^transport | f
		k.TP = Transport{uint16(c.val[0]), uint16(c.val[1])}
	}
}

func parseTunnel(b []byte) (Tunnel, error) {
	var t Tunnel
	c := cursor{rest: b}
	for c.next() {
		switch c.typ {
		case tunID:
			t.HasID, t.ID = true, c.be64()
		case tunIPv4Src:
			t.Src = c.ipv4()
		case tunIPv4Dst:
			t.Dst = c.ipv4()
		case tunIPv6Src:
			t.Src = c.ipv6()
		case tunIPv6Dst:
			t.Dst = c.ipv6()
		case tunTOS:
			t.HasTOS, t.TOS = true, c.u8()
		case tunTTL:
			t.HasTTL, t.TTL = true, c.u8()
		case tunDF:
			t.DF = true
		case tunCsum:
			t.Csum = true
		case tunOAM:
			t.OAM = true
		case tunTPSrc:
			t.SrcPort = c.be16()
		case tunTPDst:
			t.DstPort = c.be16()
		default:
			t.Options = c.appendWhole(t.Options)
		}
	}
	return t, c.err
}

func (c *cursor) ipv4() netip.Addr {
	if !c.has(4) {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(c.val))
}

func (c *cursor) ipv6() netip.Addr {
	if !c.has(16) {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(c.val))
}
