package rtnl

import "netbraid/rtnl/nlattr"

import "golang.org/x/sys/unix"

// appendIfInfo appends struct ifinfomsg.
func appendIfInfo(b []byte, family uint8, typ uint16, index, flags, change uint32) []byte {
	b = append(b, family, 0)
	b = ne.AppendUint16(b, typ)
	b = ne.AppendUint32(b, index)
	b = ne.AppendUint32(b, flags)
	return ne.AppendUint32(b, change)
}

// AppendLink appends a whole request of type RTM_NEWLINK, RTM_SETLINK or
// RTM_DELLINK with the attributes that r.Set names.
//
// What the kernel makes of it (6.18; TestKernelTraps):
//   - Attributes of a kind (Bridge, VLAN, MACVLAN, VRFTable) and of a bridge
//     port work in RTM_NEWLINK. RTM_SETLINK acknowledges them and does nothing
//     (but port attributes of Family AF_BRIDGE, which then travel in
//     IFLA_PROTINFO, work).
//   - Port attributes need a port: together with the LinkMaster that makes the
//     link one they are refused (EOPNOTSUPP), at creation silently ignored.
//   - LinkAddrGenMode at creation is refused (EAFNOSUPPORT). Name, ifindex,
//     MTU, address, master, flags at creation are fine, except that the MTU of
//     a new bridge gives way to that of its first port; set it again.
//   - Priority mappings of a VLAN are added to those that there are; a mapping
//     to 0 removes one.
//
// Attributes of a kind need the kind: if r.Kind is empty it follows from r.Set
// (macvlan, not macvtap). Data and Peer are sent only with NLM_F_CREATE. An
// RTM_DELLINK carries the ifindex, the name or the group, nothing else.
func AppendLink(b []byte, typ, flags uint16, seq uint32, r *LinkRequest) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	set := r.Set
	if typ == unix.RTM_DELLINK {
		set &= LinkName | LinkGroup
	}
	change := set.flags()
	b = appendIfInfo(b, r.Family, 0, r.Index, r.Flags&change, change)
	if set&LinkName != 0 || r.Index == 0 && r.Name != "" {
		b = nlattr.AppendString(b, unix.IFLA_IFNAME, r.Name)
	}
	if typ == unix.RTM_DELLINK {
		if set&LinkGroup != 0 {
			b = nlattr.AppendU32(b, unix.IFLA_GROUP, r.Group)
		}
		return closeMessage(b, start)
	}
	if set&LinkAddr != 0 {
		b = nlattr.AppendRaw(b, unix.IFLA_ADDRESS, r.Addr.B[:min(int(r.Addr.Len), len(r.Addr.B))])
	}
	b = appendNumbers(b, inLink, &r.Link, set, false)
	b = appendAFSpec(b, &r.Link, set)
	if r.HasNSFD {
		b = nlattr.AppendU32(b, unix.IFLA_NET_NS_FD, uint32(int32(r.NSFD)))
	}
	b = appendRequestInfo(b, r, set, flags&unix.NLM_F_CREATE != 0)
	return closeMessage(b, start)
}

// appendRequestInfo appends IFLA_LINKINFO, if any of it is asked for.
func appendRequestInfo(b []byte, r *LinkRequest, set LinkField, create bool) []byte {
	kind, port := r.Kind, r.PortKind
	if kind == "" {
		kind = impliedKind(set)
	}
	if port == "" && set&PortFields != 0 {
		port = kindBridge
	}
	if r.Family == unix.AF_BRIDGE {
		if port == kindBridge {
			b = appendPort(b, unix.IFLA_PROTINFO|nlaFNested, &r.Link, set, false)
		}
		port = ""
	}
	if kind == "" && port == "" {
		return b
	}
	start := len(b)
	b = nlattr.Open(b, unix.IFLA_LINKINFO|nlaFNested)
	if kind != "" {
		b = nlattr.AppendString(b, unix.IFLA_INFO_KIND, kind)
		b = appendRequestData(b, kind, r, set, create)
	}
	if port != "" {
		b = nlattr.AppendString(b, unix.IFLA_INFO_SLAVE_KIND, port)
		if port == kindBridge && set&PortFields != 0 {
			b = appendPort(b, unix.IFLA_INFO_SLAVE_DATA|nlaFNested, &r.Link, set, false)
		}
	}
	return nlattr.Close(b, start)
}

// impliedKind is the kind whose attributes are in set.
func impliedKind(set LinkField) string {
	switch {
	case set&BridgeFields != 0:
		return kindBridge
	case set&VLANFields != 0:
		return kindVLAN
	case set&MACVLANMode != 0:
		return kindMACVLAN
	case set&VRFTable != 0:
		return kindVRF
	}
	return ""
}

func appendRequestData(b []byte, kind string, r *LinkRequest, set LinkField, create bool) []byte {
	start := len(b)
	b = nlattr.Open(b, unix.IFLA_INFO_DATA|nlaFNested)
	body := len(b)
	switch where := kindPlace(kind); {
	case where == inVLAN:
		b = appendVLAN(b, &r.Link, set, vlanFlagsKnown)
	case where != 0:
		b = appendNumbers(b, where, &r.Link, set, false)
	case kind == kindVeth:
		if create && r.Peer != nil {
			b = appendPeer(b, r.Peer)
		}
	case create:
		b = append(b, r.Data...)
	}
	if len(b) == body {
		return b[:start]
	}
	return nlattr.Close(b, start)
}

func appendPeer(b []byte, p *VethPeer) []byte {
	start := len(b)
	b = nlattr.Open(b, vethInfoPeer|nlaFNested)
	b = appendIfInfo(b, unix.AF_UNSPEC, 0, p.Index, 0, 0)
	if p.Name != "" {
		b = nlattr.AppendString(b, unix.IFLA_IFNAME, p.Name)
	}
	b = appendHW(b, unix.IFLA_ADDRESS, p.Addr)
	b = appendU32If(b, unix.IFLA_MTU, p.MTU)
	if p.HasNSFD {
		b = nlattr.AppendU32(b, unix.IFLA_NET_NS_FD, uint32(int32(p.NSFD)))
	}
	return nlattr.Close(b, start)
}

// appendNumbers appends the numbers of one nest: those of set, and with
// observed also those that are never asked for.
func appendNumbers(b []byte, where place, l *Link, set LinkField, observed bool) []byte {
	for _, f := range &fieldAt[where] {
		if f == nil || f.bit == 0 && !observed || f.bit != 0 && f.bit&set == 0 {
			continue
		}
		v := f.get(l)
		switch f.form {
		case formU8:
			b = nlattr.AppendU8(b, f.attr, uint8(v))
		case formU16:
			b = nlattr.AppendU16(b, f.attr, uint16(v))
		case formBE16:
			b = nlattr.AppendBE16(b, f.attr, uint16(v))
		case formU32:
			b = nlattr.AppendU32(b, f.attr, uint32(v))
		case formU64:
			b = nlattr.AppendU64(b, f.attr, v)
		}
	}
	return b
}

func appendAFSpec(b []byte, l *Link, set LinkField) []byte {
	if set&LinkAddrGenMode == 0 || l.Family == unix.AF_BRIDGE {
		return b
	}
	start := len(b)
	b = nlattr.Open(b, unix.IFLA_AF_SPEC|nlaFNested)
	inet6 := len(b)
	b = nlattr.Open(b, unix.AF_INET6|nlaFNested)
	b = appendNumbers(b, inAFSpec, l, set, false)
	b = nlattr.Close(b, inet6)
	return nlattr.Close(b, start)
}

func appendPort(b []byte, attr uint16, l *Link, set LinkField, observed bool) []byte {
	start := len(b)
	b = nlattr.Open(b, attr)
	b = appendNumbers(b, inPort, l, set, observed)
	return nlattr.Close(b, start)
}

func appendVLAN(b []byte, l *Link, set LinkField, mask uint32) []byte {
	b = appendNumbers(b, inVLAN, l, set, false)
	if set&VLANFlags != 0 {
		start := len(b)
		b = ne.AppendUint32(nlattr.Open(b, unix.IFLA_VLAN_FLAGS), l.VLAN.Flags)
		b = nlattr.Close(ne.AppendUint32(b, mask), start)
	}
	if set&VLANIngress != 0 {
		b = appendMappings(b, unix.IFLA_VLAN_INGRESS_QOS, l.VLAN.Ingress)
	}
	if set&VLANEgress != 0 {
		b = appendMappings(b, unix.IFLA_VLAN_EGRESS_QOS, l.VLAN.Egress)
	}
	return b
}

func appendMappings(b []byte, attr uint16, m string) []byte {
	start := len(b)
	b = nlattr.Open(b, attr|nlaFNested)
	for ; len(m) >= sizeofQoSMapping; m = m[sizeofQoSMapping:] {
		b = nlattr.AppendRaw(b, unix.IFLA_VLAN_QOS_MAPPING, m[:sizeofQoSMapping])
	}
	return nlattr.Close(b, start)
}

// AppendLinkInfo appends a message about l as the kernel would announce or
// dump it (RTM_NEWLINK, RTM_DELLINK). With family AF_BRIDGE the port
// attributes travel in IFLA_PROTINFO.
func AppendLinkInfo(b []byte, typ, flags uint16, seq uint32, l *Link) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	b = appendIfInfo(b, l.Family, l.Type, l.Index, l.Flags, 0)
	b = nlattr.AppendString(b, unix.IFLA_IFNAME, l.Name)
	set := AllLinkFields &^ (LinkMaster | LinkParent)
	if l.Master != 0 {
		set |= LinkMaster
	}
	if l.Parent != 0 {
		set |= LinkParent
	}
	b = appendNumbers(b, inLink, l, set, true)
	b = appendHW(b, unix.IFLA_ADDRESS, l.Addr)
	b = appendHW(b, unix.IFLA_BROADCAST, l.Broadcast)
	b = appendHW(b, unix.IFLA_PERM_ADDRESS, l.PermAddr)
	if l.ParentNSID != -1 {
		b = nlattr.AppendU32(b, unix.IFLA_LINK_NETNSID, uint32(l.ParentNSID))
	}
	b = appendAFSpec(b, l, set)
	bridge := l.Family == unix.AF_BRIDGE
	if bridge && l.PortKind == kindBridge {
		b = appendPort(b, unix.IFLA_PROTINFO|nlaFNested, l, set, true)
	}
	if l.Kind == "" && (bridge || l.PortKind == "") {
		return closeMessage(b, start)
	}
	info := len(b)
	b = nlattr.Open(b, unix.IFLA_LINKINFO)
	if l.Kind != "" {
		b = nlattr.AppendString(b, unix.IFLA_INFO_KIND, l.Kind)
		b = appendInfoData(b, l, set)
	}
	if !bridge && l.PortKind != "" {
		b = nlattr.AppendString(b, unix.IFLA_INFO_SLAVE_KIND, l.PortKind)
		if l.PortKind == kindBridge {
			b = appendPort(b, unix.IFLA_INFO_SLAVE_DATA, l, set, true)
		}
	}
	b = nlattr.Close(b, info)
	return closeMessage(b, start)
}

func appendInfoData(b []byte, l *Link, set LinkField) []byte {
	where := kindPlace(l.Kind)
	if where == 0 && l.Data == "" {
		return b
	}
	start := len(b)
	b = nlattr.Open(b, unix.IFLA_INFO_DATA)
	switch where {
	case 0:
		b = append(b, l.Data...)
	case inVLAN:
		b = appendVLAN(b, l, set, ^uint32(0))
	default:
		b = appendNumbers(b, where, l, set, true)
	}
	return nlattr.Close(b, start)
}
