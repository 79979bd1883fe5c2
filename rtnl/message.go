package rtnl

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// Header is a netlink message header (struct nlmsghdr, linux/netlink.h).
type Header struct {
	Len   uint32 // octets, with the header
	Type  uint16 // RTM_* or NLMSG_*
	Flags uint16 // NLM_F_*
	Seq   uint32
	PID   uint32 // netlink port, 0 for the kernel
}

// NextMessage takes the first message off a datagram, or off several that were
// joined. The body is without header and padding; rest begins at the next
// header. An error that wraps io.ErrUnexpectedEOF says that b is shorter than
// a header or than the message claims to be.
func NextMessage(b []byte) (h Header, body, rest []byte, err error) {
	if len(b) < unix.SizeofNlMsghdr {
		return h, nil, nil, fmt.Errorf("rtnl: %d octets are left where a header should be: %w", len(b), io.ErrUnexpectedEOF)
	}
	h = Header{
		Len:   ne.Uint32(b),
		Type:  ne.Uint16(b[4:]),
		Flags: ne.Uint16(b[6:]),
		Seq:   ne.Uint32(b[8:]),
		PID:   ne.Uint32(b[12:]),
	}
	if h.Len < unix.SizeofNlMsghdr || uint64(h.Len) > uint64(len(b)) {
		return h, nil, nil, fmt.Errorf("rtnl: message of type %d claims %d octets of %d: %w", h.Type, h.Len, len(b), io.ErrUnexpectedEOF)
	}
	n := int(h.Len)
	return h, b[unix.SizeofNlMsghdr:n], b[min(nlattr.Align(n), len(b)):], nil
}

// openMessage begins a message; closeMessage writes its length.
func openMessage(b []byte, typ, flags uint16, seq uint32) []byte {
	return appendHeader(b, Header{Type: typ, Flags: flags, Seq: seq})
}

func appendHeader(b []byte, h Header) []byte {
	b = ne.AppendUint32(b, h.Len)
	b = ne.AppendUint16(b, h.Type)
	b = ne.AppendUint16(b, h.Flags)
	b = ne.AppendUint32(b, h.Seq)
	return ne.AppendUint32(b, h.PID)
}

func closeMessage(b []byte, start int) []byte {
	ne.PutUint32(b[start:], uint32(len(b)-start))
	return nlattr.Pad(b, start)
}

// AppendDone appends the NLMSG_DONE that ends a dump. Errno is a positive
// errno or 0.
func AppendDone(b []byte, seq uint32, errno int) []byte {
	start := len(b)
	b = openMessage(b, unix.NLMSG_DONE, unix.NLM_F_MULTI, seq)
	b = ne.AppendUint32(b, uint32(int32(-errno)))
	return closeMessage(b, start)
}

// AppendError appends an NLMSG_ERROR as a kernel does that was asked for
// NETLINK_CAP_ACK and NETLINK_EXT_ACK: the errno (positive; 0 acknowledges),
// the header of the request, and the text of the extended acknowledgement if
// there is one.
func AppendError(b []byte, seq uint32, errno int, req Header, extack string) []byte {
	start := len(b)
	flags := uint16(unix.NLM_F_CAPPED)
	if extack != "" {
		flags |= unix.NLM_F_ACK_TLVS
	}
	b = openMessage(b, unix.NLMSG_ERROR, flags, seq)
	b = ne.AppendUint32(b, uint32(int32(-errno)))
	b = appendHeader(b, req)
	if extack != "" {
		b = nlattr.AppendString(b, unix.NLMSGERR_ATTR_MSG, extack)
	}
	return closeMessage(b, start)
}

// ParseError reads the body of an NLMSG_ERROR from a socket with
// NETLINK_CAP_ACK: the errno as a positive number, 0 for an acknowledgement,
// and the text of the extended acknowledgement, which an acknowledgement can
// carry too, as a warning.
func ParseError(body []byte) (errno int, extack string, err error) {
	if len(body) < 4+unix.SizeofNlMsghdr {
		return 0, "", fmt.Errorf("rtnl: NLMSG_ERROR of %d octets: %w", len(body), io.ErrUnexpectedEOF)
	}
	return parseAck(body, 4+unix.SizeofNlMsghdr)
}

// parseDone reads the body of an NLMSG_DONE. Before Linux 2.6.33 or so it
// could be empty; the kernel's own tools take that for success.
func parseDone(body []byte) (errno int, extack string, err error) {
	if len(body) < 4 {
		return 0, "", nil
	}
	return parseAck(body, 4)
}

func parseAck(body []byte, attrs int) (errno int, extack string, err error) {
	if e := int32(ne.Uint32(body)); e < 0 && e > -4096 {
		errno = int(-e)
	} else if e != 0 {
		return 0, "", fmt.Errorf("rtnl: acknowledgement with the impossible code %d", e)
	}
	c := attributes(body[attrs:])
	for c.Next() {
		if c.Type == unix.NLMSGERR_ATTR_MSG {
			extack = c.Str()
		}
	}
	return errno, extack, nil
}

// Kind is a kind of object that rtnetlink keeps a table of.
type Kind uint8

// The kinds, in the order in which one should be dumped before another refers
// to it.
const (
	KindLink Kind = iota + 1
	KindAddr
	KindNeigh
	KindRoute
	KindRule
	KindNexthop
	KindNetconf
)

// String gives the name that `ip monitor` uses, near enough.
func (k Kind) String() string {
	switch k {
	case KindLink:
		return "link"
	case KindAddr:
		return "addr"
	case KindNeigh:
		return "neigh"
	case KindRoute:
		return "route"
	case KindRule:
		return "rule"
	case KindNexthop:
		return "nexthop"
	case KindNetconf:
		return "netconf"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// KindOf tells what kind of object a message of type typ (RTM_NEW*, RTM_DEL*,
// RTM_GET* or RTM_SETLINK) is about, and whether it announces its removal.
// The kind is 0 for other types.
func KindOf(typ uint16) (k Kind, deleted bool) {
	switch typ {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_GETLINK, unix.RTM_SETLINK:
		return KindLink, typ == unix.RTM_DELLINK
	case unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_GETADDR:
		return KindAddr, typ == unix.RTM_DELADDR
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH, unix.RTM_GETNEIGH:
		return KindNeigh, typ == unix.RTM_DELNEIGH
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE, unix.RTM_GETROUTE:
		return KindRoute, typ == unix.RTM_DELROUTE
	case unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_GETRULE:
		return KindRule, typ == unix.RTM_DELRULE
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP, unix.RTM_GETNEXTHOP:
		return KindNexthop, typ == unix.RTM_DELNEXTHOP
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF, unix.RTM_GETNETCONF:
		return KindNetconf, typ == unix.RTM_DELNETCONF
	}
	return 0, false
}

// Filter narrows a dump in the kernel (NETLINK_GET_STRICT_CHK). Zero fields
// do not filter.
type Filter struct {
	Family   uint8  // AF_*
	Table    uint32 // routes
	Protocol uint8  // routes: RTPROT_*
	// Index is the ifindex of addresses, the output link of routes and
	// next-hop objects, the link of neighbours, and the master of links.
	// Rules and settings (KindNetconf) know no such filter.
	Index uint32
	// Master is the ifindex of a bridge or VRF whose ports' neighbours or
	// forwarding entries are wanted.
	Master uint32
	// Proxy asks for the addresses that are answered for others (NTF_PROXY),
	// which a dump of neighbours does not show.
	Proxy bool
}

// AppendDumpRequest appends the request that dumps a table of kind. Without a
// family, rules and routes of multicast routing (families 128 and 129) come
// too; entries of bridges are neighbours of family AF_BRIDGE and come only when
// asked for. Asked for the routes, addresses or settings of a family that it does not
// have (AF_MPLS without the module) the kernel shows those of every family
// instead of refusing. A table that does not exist is an error, ENOENT. Links
// come without statistics. An unknown kind panics.
func AppendDumpRequest(b []byte, kind Kind, seq uint32, f Filter) []byte {
	const flags = unix.NLM_F_REQUEST | unix.NLM_F_DUMP
	start := len(b)
	switch kind {
	case KindLink:
		b = openMessage(b, unix.RTM_GETLINK, flags, seq)
		b = appendIfInfo(b, f.Family, 0, 0, 0, 0)
		b = nlattr.AppendU32(b, unix.IFLA_EXT_MASK, rtextFilterSkipStats)
		b = appendU32If(b, unix.IFLA_MASTER, f.Index)
	case KindAddr:
		b = openMessage(b, unix.RTM_GETADDR, flags, seq)
		b = append(b, f.Family, 0, 0, 0)
		b = ne.AppendUint32(b, f.Index)
	case KindNeigh:
		b = openMessage(b, unix.RTM_GETNEIGH, flags, seq)
		b = append(b, f.Family, 0, 0, 0, 0, 0, 0, 0, 0, 0, neighFlags(f), 0)
		b = appendU32If(b, unix.NDA_IFINDEX, f.Index)
		b = appendU32If(b, unix.NDA_MASTER, f.Master)
	case KindRoute:
		b = openMessage(b, unix.RTM_GETROUTE, flags, seq)
		b = append(b, f.Family, 0, 0, 0, 0, f.Protocol, 0, 0, 0, 0, 0, 0)
		b = appendU32If(b, unix.RTA_TABLE, f.Table)
		b = appendU32If(b, unix.RTA_OIF, f.Index)
	case KindRule:
		b = openMessage(b, unix.RTM_GETRULE, flags, seq)
		b = append(b, f.Family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	case KindNexthop:
		b = openMessage(b, unix.RTM_GETNEXTHOP, flags, seq)
		b = append(b, f.Family, 0, 0, 0, 0, 0, 0, 0)
		b = appendU32If(b, unix.NHA_OIF, f.Index)
	case KindNetconf:
		b = openMessage(b, unix.RTM_GETNETCONF, flags, seq)
		b = append(b, f.Family, 0, 0, 0)
	default:
		panic("rtnl: dump of " + kind.String())
	}
	return closeMessage(b, start)
}

func neighFlags(f Filter) uint8 {
	if f.Proxy {
		return unix.NTF_PROXY
	}
	return 0
}
