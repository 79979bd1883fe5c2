package rtnl

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// Numbers of linux/lwtunnel.h and linux/mpls_iptunnel.h.
const (
	encapMPLS = 1 // LWTUNNEL_ENCAP_MPLS
	encapIP   = 2 // LWTUNNEL_ENCAP_IP
	encapIP6  = 4 // LWTUNNEL_ENCAP_IP6

	mplsTunnelDst = 1 // MPLS_IPTUNNEL_DST
	mplsTunnelTTL = 2 // MPLS_IPTUNNEL_TTL

	ipTunnelID  = 1 // LWTUNNEL_IP_ID, LWTUNNEL_IP6_ID
	ipTunnelDst = 2 // LWTUNNEL_IP_DST
	ipTunnelSrc = 3 // LWTUNNEL_IP_SRC
	ipTunnelTTL = 4 // LWTUNNEL_IP_TTL, LWTUNNEL_IP6_HOPLIMIT
	ipTunnelTOS = 5 // LWTUNNEL_IP_TOS, LWTUNNEL_IP6_TC

	mplsLabelAll = 0xfffff
)

// LabelStack is an MPLS label stack (RFC 3032) as the Encap of a route of
// family AF_MPLS has it: the labels that the incoming one is swapped for, the
// outermost first. Labels have 20 bits; no label pops.
func LabelStack(labels ...uint32) string {
	var b []byte
	for i, l := range labels {
		entry := l & mplsLabelAll << mplsLabelShift
		if i == len(labels)-1 {
			entry |= mplsBottom
		}
		b = be.AppendUint32(b, entry)
	}
	return string(b)
}

// MPLSEncap is the Encap of an IP route or of a hop that pushes labels, the
// outermost first.
func MPLSEncap(labels ...uint32) string {
	b := ne.AppendUint16(nil, encapMPLS)
	return string(append(b, nlattr.AppendRaw(nil, mplsTunnelDst, LabelStack(labels...))...))
}

// Labels are the labels of a stack, or of the Encap of an IP route that pushes
// some (family is the route's); nil for any other encapsulation.
func Labels(family uint8, encap string) []uint32 {
	stack := []byte(encap)
	if family != unix.AF_MPLS {
		if len(encap) < 2 || ne.Uint16(stack) != encapMPLS {
			return nil
		}
		c := attributes(stack[2:])
		for stack = nil; c.Next(); {
			if c.Type == mplsTunnelDst {
				stack = c.Val
			}
		}
	}
	var labels []uint32
	for ; len(stack) >= 4; stack = stack[4:] {
		labels = append(labels, be.Uint32(stack)>>mplsLabelShift)
	}
	return labels
}

// label is the attribute as the first entry of an MPLS label stack.
func (c *cursor) label() uint32 {
	if !c.Has(4) {
		return 0
	}
	return be.Uint32(c.Val) >> mplsLabelShift
}

// encap collects the two attributes of an encapsulation without allocating
// while there is none.
type encap struct {
	typ    uint16
	has    bool // the type was there: data without one means nothing
	labels bool // data is the label stack of an MPLS route
	data   []byte
}

func (e *encap) setType(c *cursor) {
	e.typ = c.U16()
	e.has = true
}

func (e *encap) setData(c *cursor) {
	if c.bounded() {
		e.data = c.Val
	}
}

// decode reads an attribute of a route or of a next hop. MPLS routes swap
// labels (RTA_NEWDST), the others encapsulate.
func (e *encap) decode(c *cursor, family uint8) {
	mpls := family == unix.AF_MPLS
	switch {
	case c.Type == unix.RTA_NEWDST && mpls:
		e.setData(c)
		e.labels = true
	case c.Type == unix.RTA_ENCAP && !mpls:
		e.setData(c)
	case c.Type == unix.RTA_ENCAP_TYPE && !mpls:
		e.setType(c)
	}
}

// String is the form that Route, Hop and Nexthop keep: the type in two octets
// and the attributes; for an MPLS route the label stack alone.
func (e *encap) String() string {
	switch {
	case e.labels:
		return string(e.data)
	case e.has:
		return string(append(ne.AppendUint16(nil, e.typ), e.data...))
	}
	return ""
}

func appendRouteEncap(b []byte, family uint8, s string) []byte {
	if family != unix.AF_MPLS {
		return appendEncap(b, unix.RTA_ENCAP_TYPE, unix.RTA_ENCAP, s)
	}
	if s == "" {
		return b
	}
	return nlattr.AppendRaw(b, unix.RTA_NEWDST, s)
}

// appendEncap appends a type and its attributes.
func appendEncap(b []byte, typeAttr, dataAttr uint16, s string) []byte {
	if len(s) < 2 {
		return b
	}
	b = nlattr.AppendRaw(b, typeAttr, s[:2])
	if len(s) > 2 {
		b = nlattr.AppendRaw(b, dataAttr|nlaFNested, s[2:])
	}
	return b
}

// encap appends an encapsulation as `ip route` prints it; one that is kept as
// it is (seg6, bpf, …) in hexadecimal.
func (l *line) encap(family uint8, e string) {
	switch {
	case e == "":
		return
	case family == unix.AF_MPLS:
		l.add("as", labelText(family, e))
		return
	case len(e) < 2:
		return
	}
	typ := ne.Uint16([]byte(e))
	l.add("encap", encapTypes.of(typ))
	c := attributes([]byte(e[2:]))
	switch typ {
	case encapMPLS:
		l.add(labelText(family, e))
		for c.Next() {
			if c.Type == mplsTunnelTTL {
				l.num("ttl", uint64(c.U8()))
			}
		}
	case encapIP, encapIP6:
		for c.Next() {
			l.ipTunnel(&c)
		}
	default:
		l.add(hex.EncodeToString([]byte(e[2:])))
	}
}

func (l *line) ipTunnel(c *cursor) {
	switch c.Type {
	case ipTunnelID:
		l.num("id", c.BE64())
	case ipTunnelDst, ipTunnelSrc:
		if a, ok := addrFrom(c.Val); ok && a != netip.IPv4Unspecified() && a != netip.IPv6Unspecified() {
			l.add(map[bool]string{true: "dst", false: "src"}[c.Type == ipTunnelDst], a.String())
		}
	case ipTunnelTTL:
		l.num("ttl", uint64(c.U8()))
	case ipTunnelTOS:
		l.num("tos", uint64(c.U8()))
	}
}

// labelText prints an MPLS label stack: "100/200".
func labelText(family uint8, encap string) string {
	var out []string
	for _, v := range Labels(family, encap) {
		out = append(out, strconv.FormatUint(uint64(v), 10))
	}
	return strings.Join(out, "/")
}
