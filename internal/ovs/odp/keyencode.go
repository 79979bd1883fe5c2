package odp

import "netbraid/rtnl/nlattr"

import "net/netip"

// Numbers of the attributes of a flow key (enum ovs_key_attr).
const (
	keyEncap      = 1
	keyPriority   = 2
	keyInPort     = 3
	keyEthernet   = 4
	keyVLAN       = 5
	keyEtherType  = 6
	keyIPv4       = 7
	keyIPv6       = 8
	keyTCP        = 9
	keyUDP        = 10
	keyICMP       = 11
	keyICMPv6     = 12
	keyARP        = 13
	keyND         = 14
	keySkbMark    = 15
	keyTunnel     = 16
	keySCTP       = 17
	keyTCPFlags   = 18
	keyDPHash     = 19
	keyRecircID   = 20
	keyCTState    = 22
	keyCTZone     = 23
	keyCTMark     = 24
	keyCTLabels   = 25
	keyIPv6ExtHdr = 32
)

// Numbers of the attributes of a tunnel (enum ovs_tunnel_key_attr).
const (
	tunID      = 0
	tunIPv4Src = 1
	tunIPv4Dst = 2
	tunTOS     = 3
	tunTTL     = 4
	tunDF      = 5
	tunCsum    = 6
	tunOAM     = 7
	tunTPSrc   = 9
	tunTPDst   = 10
	tunIPv6Src = 12
	tunIPv6Dst = 13
)

// Sizes of the structures of a key.
const (
	sizeEthernet = 12
	sizeIPv4     = 12
	sizeIPv6     = 40
	sizeARP      = 24
	sizeND       = 28
	sizeLabels   = 16
)

// AppendKey appends the attributes of a key or mask, in the kernel's order: the
// payload of OVS_FLOW_ATTR_KEY, OVS_FLOW_ATTR_MASK or OVS_PACKET_ATTR_KEY.
func AppendKey(b []byte, k *FlowKey) []byte {
	b = appendMetadata(b, k)
	var open [2]int
	levels := 0
	if k.Has&HasVLANType != 0 {
		b = nlattr.AppendBE16(b, keyEtherType, k.VLAN.Type)
	}
	if k.Has&HasVLAN != 0 {
		b = nlattr.AppendBE16(b, keyVLAN, k.VLAN.TCI)
	}
	if k.Has&HasEncap != 0 {
		open[levels] = len(b)
		levels++
		b = nlattr.Open(b, keyEncap)
		if k.Has&HasCVLANType != 0 {
			b = nlattr.AppendBE16(b, keyEtherType, k.CVLAN.Type)
		}
		if k.Has&HasCVLAN != 0 {
			b = nlattr.AppendBE16(b, keyVLAN, k.CVLAN.TCI)
		}
		if k.Has&HasCEncap != 0 {
			open[levels] = len(b)
			levels++
			b = nlattr.Open(b, keyEncap)
		}
	}
	b = appendLayers(b, k)
	b = append(b, k.Inner...)
	for ; levels > 0; levels-- {
		b = nlattr.Close(b, open[levels-1])
	}
	return append(b, k.Meta...)
}

// appendMetadata appends what is not inside a VLAN tag.
func appendMetadata(b []byte, k *FlowKey) []byte {
	if k.Has&HasRecircID != 0 {
		b = nlattr.AppendU32(b, keyRecircID, k.RecircID)
	}
	if k.Has&HasDPHash != 0 {
		b = nlattr.AppendU32(b, keyDPHash, k.DPHash)
	}
	if k.Has&HasPriority != 0 {
		b = nlattr.AppendU32(b, keyPriority, k.Priority)
	}
	if k.Has&HasTunnel != 0 {
		start := len(b)
		b = nlattr.Close(appendTunnel(nlattr.Open(b, keyTunnel), &k.Tunnel), start)
	}
	if k.Has&HasInPort != 0 {
		b = nlattr.AppendU32(b, keyInPort, k.InPort)
	}
	if k.Has&HasSkbMark != 0 {
		b = nlattr.AppendU32(b, keySkbMark, k.SkbMark)
	}
	if k.Has&HasCTState != 0 {
		b = nlattr.AppendU32(b, keyCTState, k.CTState)
	}
	if k.Has&HasCTZone != 0 {
		b = nlattr.AppendU16(b, keyCTZone, k.CTZone)
	}
	if k.Has&HasCTMark != 0 {
		b = nlattr.AppendU32(b, keyCTMark, k.CTMark)
	}
	if k.Has&HasCTLabels != 0 {
		b = nlattr.AppendRaw(b, keyCTLabels, k.CTLabels[:])
	}
	if k.Has&HasEthernet != 0 {
		b = ne.AppendUint16(ne.AppendUint16(b, 4+sizeEthernet), keyEthernet)
		b = append(append(b, k.EthSrc[:]...), k.EthDst[:]...)
	}
	return b
}

// appendLayers appends what is inside all VLAN tags.
func appendLayers(b []byte, k *FlowKey) []byte {
	if k.Has&HasEtherType != 0 {
		b = nlattr.AppendBE16(b, keyEtherType, k.EtherType)
	}
	if k.Has&HasIPv4 != 0 {
		b = ne.AppendUint16(ne.AppendUint16(b, 4+sizeIPv4), keyIPv4)
		b = appendIPv4(appendIPv4(b, k.IP.Src), k.IP.Dst)
		b = append(b, k.IP.Proto, k.IP.TOS, k.IP.TTL, k.IP.Frag)
	}
	if k.Has&HasIPv6 != 0 {
		b = ne.AppendUint16(ne.AppendUint16(b, 4+sizeIPv6), keyIPv6)
		b = be.AppendUint32(appendIPv6(appendIPv6(b, k.IP.Src), k.IP.Dst), k.IP.Label)
		b = append(b, k.IP.Proto, k.IP.TOS, k.IP.TTL, k.IP.Frag)
	}
	if k.Has&HasExtHdrs != 0 {
		b = nlattr.AppendU16(b, keyIPv6ExtHdr, k.ExtHdrs)
	}
	if k.Has&HasARP != 0 {
		start := len(b)
		b = append(nlattr.Open(b, keyARP), k.ARP.SrcIP[:]...)
		b = be.AppendUint16(append(b, k.ARP.DstIP[:]...), k.ARP.Op)
		b = append(append(append(b, k.ARP.SrcMAC[:]...), k.ARP.DstMAC[:]...), 0, 0)
		b = nlattr.Close(b, start)
	}
	b = appendPorts(b, k, HasTCP, keyTCP)
	if k.Has&HasTCPFlags != 0 {
		b = nlattr.AppendBE16(b, keyTCPFlags, k.TCPFlags)
	}
	b = appendPorts(b, k, HasUDP, keyUDP)
	b = appendPorts(b, k, HasSCTP, keySCTP)
	b = appendTypeCode(b, k, HasICMP, keyICMP)
	b = appendTypeCode(b, k, HasICMPv6, keyICMPv6)
	if k.Has&HasND != 0 {
		start := len(b)
		b = append(nlattr.Open(b, keyND), k.ND.Target[:]...)
		b = append(append(b, k.ND.SrcMAC[:]...), k.ND.DstMAC[:]...)
		b = nlattr.Close(b, start)
	}
	return b
}

func appendPorts(b []byte, k *FlowKey, f Fields, typ uint16) []byte {
	if k.Has&f == 0 {
		return b
	}
	start := len(b)
	return nlattr.Close(be.AppendUint16(be.AppendUint16(nlattr.Open(b, typ), k.TP.Src), k.TP.Dst), start)
}

func appendTypeCode(b []byte, k *FlowKey, f Fields, typ uint16) []byte {
	if k.Has&f == 0 {
		return b
	}
	start := len(b)
	return nlattr.Close(append(nlattr.Open(b, typ), uint8(k.TP.Src), uint8(k.TP.Dst)), start)
}

func appendIPv4(b []byte, a netip.Addr) []byte {
	var x [4]byte
	if a.Is4() {
		x = a.As4()
	}
	return append(b, x[:]...)
}

func appendIPv6(b []byte, a netip.Addr) []byte {
	var x [16]byte
	if a.IsValid() && !a.Is4() {
		x = a.As16()
	}
	return append(b, x[:]...)
}

// appendTunnel appends the attributes of a tunnel in the kernel's order.
func appendTunnel(b []byte, t *Tunnel) []byte {
	if t.HasID {
		b = nlattr.AppendBE64(b, tunID, t.ID)
	}
	b = appendTunnelAddr(b, tunIPv4Src, tunIPv6Src, t.Src)
	b = appendTunnelAddr(b, tunIPv4Dst, tunIPv6Dst, t.Dst)
	if t.HasTOS {
		b = nlattr.AppendU8(b, tunTOS, t.TOS)
	}
	if t.HasTTL {
		b = nlattr.AppendU8(b, tunTTL, t.TTL)
	}
	if t.DF {
		b = nlattr.AppendRaw(b, tunDF, "")
	}
	if t.Csum {
		b = nlattr.AppendRaw(b, tunCsum, "")
	}
	if t.SrcPort != 0 {
		b = nlattr.AppendBE16(b, tunTPSrc, t.SrcPort)
	}
	if t.DstPort != 0 {
		b = nlattr.AppendBE16(b, tunTPDst, t.DstPort)
	}
	if t.OAM {
		b = nlattr.AppendRaw(b, tunOAM, "")
	}
	return append(b, t.Options...)
}

func appendTunnelAddr(b []byte, v4, v6 uint16, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return b
	case a.Is4():
		x := a.As4()
		return nlattr.AppendRaw(b, v4, x[:])
	}
	x := a.As16()
	return nlattr.AppendRaw(b, v6, x[:])
}
