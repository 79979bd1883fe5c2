package rtnl

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// DecodeRule reads the body of RTM_NEWRULE or RTM_DELRULE (struct
// fib_rule_hdr, linux/fib_rules.h) into r, which it resets first.
func DecodeRule(body []byte, r *Rule) error {
	*r = Rule{SuppressPL: -1, SuppressIG: -1}
	if len(body) < sizeofFibRuleHdr {
		return fmt.Errorf("rtnl: decode rule: %w", errShort)
	}
	r.Family, r.TOS = body[0], body[3]
	dstLen, srcLen := body[1], body[2]
	r.Table, r.Action = uint32(body[4]), body[7]
	r.Flags = ne.Uint32(body[8:])
	c := attributes(body[sizeofFibRuleHdr:])
	for c.Next() {
		switch c.Type {
		case unix.FRA_DST:
			r.Dst = c.selector(r.Family, dstLen)
		case unix.FRA_SRC:
			r.Src = c.selector(r.Family, srcLen)
		case unix.FRA_IIFNAME:
			r.IifName = c.Str()
		case unix.FRA_OIFNAME:
			r.OifName = c.Str()
		case unix.FRA_GOTO:
			r.Goto = c.U32()
		case unix.FRA_PRIORITY:
			r.Priority = c.U32()
		case unix.FRA_FWMARK:
			r.Mark = c.U32()
		case unix.FRA_FWMASK:
			r.Mask = c.U32()
		case unix.FRA_TABLE:
			r.Table = c.U32()
		default:
			r.decodeMore(&c)
		}
	}
	if c.Err != nil {
		return fmt.Errorf("rtnl: decode rule: %w", c.Err)
	}
	// The kernel shows the masks of whole values too: the same rule has one form.
	r.DSCPMask = unlessAll(r.DSCPMask, dscpAll, r.HasDSCP)
	r.FlowLabelMask = unlessAll(r.FlowLabelMask, flowLabelAll, r.HasFlowLabel)
	r.SportMask = unlessAll(r.SportMask, portAll, true)
	r.DportMask = unlessAll(r.DportMask, portAll, true)
	return nil
}

// unlessAll is a mask of a selector that is there; 0 stands for all of its bits.
func unlessAll[T uint8 | uint16 | uint32](mask, all T, there bool) T {
	if mask == all || !there {
		return 0
	}
	return mask
}

// decodeMore reads the selectors that few rules have.
func (r *Rule) decodeMore(c *cursor) {
	switch c.Type {
	case unix.FRA_TUN_ID:
		r.TunID = c.BE64()
	case unix.FRA_SUPPRESS_IFGROUP:
		r.SuppressIG = int32(c.U32())
	case unix.FRA_SUPPRESS_PREFIXLEN:
		r.SuppressPL = int32(c.U32())
	case unix.FRA_L3MDEV:
		r.L3MDev = c.U8()
	case unix.FRA_PROTOCOL:
		r.Protocol = c.U8()
	case unix.FRA_IP_PROTO:
		r.IPProto = c.U8()
	case unix.FRA_UID_RANGE:
		if c.Has(8) {
			r.UIDStart, r.UIDEnd, r.HasUID = ne.Uint32(c.Val), ne.Uint32(c.Val[4:]), true
		}
	case unix.FRA_SPORT_RANGE:
		if c.Has(4) {
			r.SportStart, r.SportEnd = ne.Uint16(c.Val), ne.Uint16(c.Val[2:])
		}
	case unix.FRA_DPORT_RANGE:
		if c.Has(4) {
			r.DportStart, r.DportEnd = ne.Uint16(c.Val), ne.Uint16(c.Val[2:])
		}
	default:
		r.decodeNew(c)
	}
}

// decodeNew reads what kernels since 6.11 have, and realms.
func (r *Rule) decodeNew(c *cursor) {
	switch c.Type {
	case unix.FRA_FLOW:
		r.Realm = c.U32()
	case fraDSCP:
		r.DSCP, r.HasDSCP = c.U8(), true
	case fraDSCPMask:
		r.DSCPMask = c.U8()
	case fraFlowLabel:
		r.FlowLabel, r.HasFlowLabel = c.BE32(), true
	case fraFlowLabelMask:
		r.FlowLabelMask = c.BE32()
	case fraSportMask:
		r.SportMask = c.U16()
	case fraDportMask:
		r.DportMask = c.U16()
	}
}

// AppendRule appends a whole message of type typ (RTM_NEWRULE, RTM_DELRULE)
// about r. The priority is always sent; a Mark without a Mask gets the
// kernel's default, all bits.
func AppendRule(b []byte, typ, flags uint16, seq uint32, r *Rule) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, seq)
	table := uint8(rtTableCompat)
	if r.Table < 256 {
		table = uint8(r.Table)
	}
	b = append(b, r.Family, prefixBits(r.Dst), prefixBits(r.Src), r.TOS, table, 0, 0, r.Action)
	b = ne.AppendUint32(b, r.Flags)
	b = appendPrefix(b, unix.FRA_DST, r.Dst)
	b = appendPrefix(b, unix.FRA_SRC, r.Src)
	if r.IifName != "" {
		b = nlattr.AppendString(b, unix.FRA_IIFNAME, r.IifName)
	}
	if r.OifName != "" {
		b = nlattr.AppendString(b, unix.FRA_OIFNAME, r.OifName)
	}
	b = appendU32If(b, unix.FRA_GOTO, r.Goto)
	b = nlattr.AppendU32(b, unix.FRA_PRIORITY, r.Priority)
	b = appendU32If(b, unix.FRA_FWMARK, r.Mark)
	b = appendU32If(b, unix.FRA_FWMASK, r.Mask)
	b = nlattr.AppendU32(b, unix.FRA_TABLE, r.Table)
	if r.TunID != 0 {
		b = nlattr.AppendBE64(b, unix.FRA_TUN_ID, r.TunID)
	}
	if r.SuppressIG != -1 {
		b = nlattr.AppendU32(b, unix.FRA_SUPPRESS_IFGROUP, uint32(r.SuppressIG))
	}
	if r.SuppressPL != -1 {
		b = nlattr.AppendU32(b, unix.FRA_SUPPRESS_PREFIXLEN, uint32(r.SuppressPL))
	}
	b = appendU8If(b, unix.FRA_L3MDEV, r.L3MDev)
	b = appendU8If(b, unix.FRA_PROTOCOL, r.Protocol)
	b = appendU8If(b, unix.FRA_IP_PROTO, r.IPProto)
	if r.HasUID {
		at := len(b)
		b = ne.AppendUint32(nlattr.Open(b, unix.FRA_UID_RANGE), r.UIDStart)
		b = nlattr.Close(ne.AppendUint32(b, r.UIDEnd), at)
	}
	b = appendPorts(b, unix.FRA_SPORT_RANGE, r.SportStart, r.SportEnd)
	b = appendPorts(b, unix.FRA_DPORT_RANGE, r.DportStart, r.DportEnd)
	b = r.appendNew(b)
	return closeMessage(b, start)
}

// appendNew appends what kernels since 6.11 have, and realms.
func (r *Rule) appendNew(b []byte) []byte {
	b = appendU32If(b, unix.FRA_FLOW, r.Realm)
	if r.HasDSCP {
		b = nlattr.AppendU8(b, fraDSCP, r.DSCP)
		b = appendU8If(b, fraDSCPMask, r.DSCPMask)
	}
	if r.HasFlowLabel {
		b = nlattr.AppendBE32(b, fraFlowLabel, r.FlowLabel)
		// The kernel wants both or none.
		mask := r.FlowLabelMask
		if mask == 0 {
			mask = flowLabelAll
		}
		b = nlattr.AppendBE32(b, fraFlowLabelMask, mask)
	}
	if r.SportMask != 0 {
		b = nlattr.AppendU16(b, fraSportMask, r.SportMask)
	}
	if r.DportMask != 0 {
		b = nlattr.AppendU16(b, fraDportMask, r.DportMask)
	}
	return b
}

func appendPorts(b []byte, typ uint16, first, last uint16) []byte {
	if first == 0 && last == 0 {
		return b
	}
	at := len(b)
	b = ne.AppendUint16(nlattr.Open(b, typ), first)
	return nlattr.Close(ne.AppendUint16(b, last), at)
}

// appendPrefix appends the address of p, nothing for a prefix that matches
// every address: the kernel refuses one of length 0.
func appendPrefix(b []byte, typ uint16, p netip.Prefix) []byte {
	if p.Bits() <= 0 {
		return b
	}
	return appendAddr(b, typ, p.Addr())
}
