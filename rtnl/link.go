package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Kinds of links whose attributes have fields in Link.
const (
	kindBridge  = "bridge"
	kindVLAN    = "vlan"
	kindVeth    = "veth"
	kindMACVLAN = "macvlan"
	kindMACVTAP = "macvtap"
	kindVRF     = "vrf"
)

// kinds holds the common kinds, so that a message does not allocate them.
var kinds = func() map[string]string {
	m := make(map[string]string)
	for _, k := range []string{
		kindBridge, kindVLAN, kindVeth, kindMACVLAN, kindMACVTAP, kindVRF,
		"bond", "dummy", "ifb", "tun", "vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "ipip",
		"sit", "ip6tnl", "vti", "vti6", "xfrm", "wireguard", "ipvlan", "macsec", "team", "openvswitch", "netkit", "ppp",
	} {
		m[k] = k
	}
	return m
}()

func (c *cursor) kind() string {
	b := c.CStr()
	if k, ok := kinds[string(b)]; ok {
		return k
	}
	return string(b)
}

// kindPlace says where the attributes of a kind go, 0 for a kind that Link has
// no fields for.
func kindPlace(kind string) place {
	switch kind {
	case kindBridge:
		return inBridge
	case kindVLAN:
		return inVLAN
	case kindMACVLAN, kindMACVTAP:
		return inMACVLAN
	case kindVRF:
		return inVRF
	}
	return 0
}

// linkDecoder reads a link message into a Link, or into a LinkRequest when req
// is set; then it notes which attributes were there.
type linkDecoder struct {
	l   *Link
	req *LinkRequest
	// IFLA_LINKINFO, read when all of it has been seen: the kind may come
	// after the attributes that depend on it.
	data, slaveData       []byte
	hasData, hasSlaveData bool
}

// DecodeLink reads the body of RTM_NEWLINK or RTM_DELLINK (struct ifinfomsg,
// linux/if_link.h) into l, which it resets first. A message of family
// AF_BRIDGE describes a bridge port: its IFLA_PROTINFO is read into Port.
func DecodeLink(body []byte, l *Link) error {
	*l = Link{ParentNSID: -1}
	d := linkDecoder{l: l}
	if err := d.decode(body); err != nil {
		return fmt.Errorf("rtnl: decode link: %w", err)
	}
	return nil
}

// DecodeLinkRequest reads the body of a request (RTM_NEWLINK, RTM_SETLINK,
// RTM_DELLINK) as the kernel would: Set names the attributes that it carries,
// Flags holds only the bits that ifi_change names (all that we know when it is
// zero and ifi_flags is not). Attributes that Link has no field for are
// ignored.
func DecodeLinkRequest(body []byte, r *LinkRequest) error {
	*r = LinkRequest{}
	r.ParentNSID = -1
	d := linkDecoder{l: &r.Link, req: r}
	if err := d.decode(body); err != nil {
		return fmt.Errorf("rtnl: decode link request: %w", err)
	}
	return nil
}

func (d *linkDecoder) decode(body []byte) error {
	if len(body) < unix.SizeofIfInfomsg {
		return errShort
	}
	l := d.l
	l.Family = body[0]
	l.Index = ne.Uint32(body[4:])
	flags, change := ne.Uint32(body[8:]), ne.Uint32(body[12:])
	if d.req == nil {
		l.Type, l.Flags = ne.Uint16(body[2:]), flags
	} else {
		d.requestFlags(flags, change)
	}
	c := attributes(body[unix.SizeofIfInfomsg:])
	for c.Next() {
		d.attribute(&c)
	}
	if c.Err != nil {
		return c.Err
	}
	return d.linkInfo()
}

func (d *linkDecoder) requestFlags(flags, change uint32) {
	if change == 0 && flags != 0 {
		change = ^uint32(0)
	}
	LinkFlagFields.each(func(f *field) {
		if change&uint32(f.get(nil)) != 0 {
			d.req.Set |= f.bit
		}
	})
	d.l.Flags = flags & d.req.Set.flags()
}

// seen notes an attribute of a request.
func (d *linkDecoder) seen(f LinkField) {
	if d.req != nil {
		d.req.Set |= f
	}
}

func (d *linkDecoder) attribute(c *cursor) {
	l := d.l
	switch c.Type {
	case unix.IFLA_IFNAME:
		l.Name = c.Str()
		d.seen(LinkName)
	case unix.IFLA_ADDRESS:
		l.Addr = c.hw()
		d.seen(LinkAddr)
	case unix.IFLA_AF_SPEC:
		d.afSpec(c)
	case unix.IFLA_LINKINFO:
		d.collectInfo(c)
	case unix.IFLA_PROTINFO:
		d.protInfo(c)
	case unix.IFLA_NET_NS_FD:
		if d.req != nil {
			d.req.NSFD, d.req.HasNSFD = int(int32(c.U32())), true
		}
	case unix.IFLA_BROADCAST, unix.IFLA_PERM_ADDRESS, unix.IFLA_LINK_NETNSID:
		if d.req == nil {
			d.observed(c)
		}
	default:
		d.number(c, inLink)
	}
}

// observed reads what only the kernel says.
func (d *linkDecoder) observed(c *cursor) {
	switch c.Type {
	case unix.IFLA_BROADCAST:
		d.l.Broadcast = c.hw()
	case unix.IFLA_PERM_ADDRESS:
		d.l.PermAddr = c.hw()
	case unix.IFLA_LINK_NETNSID:
		d.l.ParentNSID = int32(c.U32())
	}
}

// number reads an attribute that the field table knows.
func (d *linkDecoder) number(c *cursor, where place) {
	if c.Type >= wideAttr {
		return
	}
	f := fieldAt[where][c.Type]
	if f == nil || f.bit == 0 && d.req != nil {
		return
	}
	var v uint64
	switch f.form {
	case formU8:
		v = uint64(c.U8())
	case formU16:
		v = uint64(c.U16())
	case formBE16:
		v = uint64(c.BE16())
	case formU32:
		v = uint64(c.U32())
	case formU64:
		v = c.U64()
	}
	f.set(d.l, v)
	d.seen(f.bit)
}

func (d *linkDecoder) numbers(b []byte, where place) error {
	c := attributes(b)
	for c.Next() {
		d.number(&c, where)
	}
	return c.Err
}

// afSpec reads IFLA_AF_SPEC, whose attributes are address families. In a
// message of family AF_BRIDGE it holds VLANs instead.
func (d *linkDecoder) afSpec(c *cursor) {
	if d.l.Family == unix.AF_BRIDGE {
		return
	}
	sub := attributes(c.Val)
	for sub.Next() {
		if sub.Type == unix.AF_INET6 {
			sub.Err = d.numbers(sub.Val, inAFSpec)
		}
	}
	c.nested("af_spec", sub.Err)
}

// nested makes the error of a nest that of the message.
func (c *cursor) nested(name string, err error) {
	if err != nil && c.Err == nil {
		c.Err = fmt.Errorf("%s: %w", name, err)
	}
}

// protInfo reads the port attributes of an AF_BRIDGE message.
func (d *linkDecoder) protInfo(c *cursor) {
	if d.l.Family != unix.AF_BRIDGE {
		return
	}
	d.l.PortKind = kindBridge
	c.nested("protinfo", d.numbers(c.Val, inPort))
}

func (d *linkDecoder) collectInfo(c *cursor) {
	sub := attributes(c.Val)
	for sub.Next() {
		switch sub.Type {
		case unix.IFLA_INFO_KIND:
			d.l.Kind = sub.kind()
		case unix.IFLA_INFO_DATA:
			d.data, d.hasData = sub.Val, true
		case unix.IFLA_INFO_SLAVE_KIND:
			if d.l.Family != unix.AF_BRIDGE {
				d.l.PortKind = sub.kind()
			}
		case unix.IFLA_INFO_SLAVE_DATA:
			d.slaveData, d.hasSlaveData = sub.Val, true
		}
	}
	c.nested("linkinfo", sub.Err)
}

func (d *linkDecoder) linkInfo() error {
	if d.hasSlaveData && d.l.PortKind == kindBridge && d.l.Family != unix.AF_BRIDGE {
		if err := d.numbers(d.slaveData, inPort); err != nil {
			return fmt.Errorf("port of a bridge: %w", err)
		}
	}
	if !d.hasData || d.l.Kind == "" {
		return nil
	}
	var err error
	switch where := kindPlace(d.l.Kind); {
	case where == inVLAN:
		err = d.vlan()
	case where != 0:
		err = d.numbers(d.data, where)
	case d.l.Kind == kindVeth && d.req != nil:
		err = d.vethPeer()
	case len(d.data) > maxNest:
		err = fmt.Errorf("%d octets of attributes", len(d.data))
	default:
		d.l.Data = string(d.data)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.l.Kind, err)
	}
	return nil
}

func (d *linkDecoder) vlan() error {
	v := &d.l.VLAN
	c := attributes(d.data)
	for c.Next() {
		switch c.Type {
		case unix.IFLA_VLAN_FLAGS: // struct ifla_vlan_flags: flags and mask
			v.Flags = c.U32()
			d.seen(VLANFlags)
		case unix.IFLA_VLAN_INGRESS_QOS:
			v.Ingress = c.mappings()
			d.seen(VLANIngress)
		case unix.IFLA_VLAN_EGRESS_QOS:
			v.Egress = c.mappings()
			d.seen(VLANEgress)
		default:
			d.number(&c, inVLAN)
		}
	}
	return c.Err
}

// mappings joins the attributes of IFLA_VLAN_*GRESS_QOS.
func (c *cursor) mappings() string {
	if !c.bounded() {
		return ""
	}
	var m []byte
	sub := attributes(c.Val)
	for sub.Next() {
		if sub.Type == unix.IFLA_VLAN_QOS_MAPPING && sub.Has(sizeofQoSMapping) {
			m = append(m, sub.Val[:sizeofQoSMapping]...)
		}
	}
	c.nested("priority mapping", sub.Err)
	return string(m)
}

// vethPeer reads VETH_INFO_PEER: a link message without a netlink header.
func (d *linkDecoder) vethPeer() error {
	c := attributes(d.data)
	for c.Next() {
		if c.Type != vethInfoPeer || !c.Has(unix.SizeofIfInfomsg) {
			continue
		}
		p := &VethPeer{Index: ne.Uint32(c.Val[4:])}
		sub := attributes(c.Val[unix.SizeofIfInfomsg:])
		for sub.Next() {
			switch sub.Type {
			case unix.IFLA_IFNAME:
				p.Name = sub.Str()
			case unix.IFLA_ADDRESS:
				p.Addr = sub.hw()
			case unix.IFLA_MTU:
				p.MTU = sub.U32()
			case unix.IFLA_NET_NS_FD:
				p.NSFD, p.HasNSFD = int(int32(sub.U32())), true
			}
		}
		c.nested("peer", sub.Err)
		d.req.Peer = p
	}
	return c.Err
}
