package proto

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/rtnl"
)

// Tunnel is a link that a handler asks for instead of making it.
type Tunnel struct {
	Kind string // IFLA_INFO_KIND
	MTU  uint32 // 0: as the kernel chooses
	MAC  rtnl.HWAddr
	// Link is the interface, or the device, that the packets of the tunnel leave
	// through; empty: as routes say.
	Link string
	// data is IFLA_INFO_DATA without the link below; linkAttr is its attribute.
	data     string
	linkAttr uint16
}

// Data is IFLA_INFO_DATA for a tunnel on the link of that ifindex; 0 for none.
func (t *Tunnel) Data(link uint32) string {
	if link == 0 {
		return t.data
	}
	return string(appendNumber(nil, t.linkAttr, 4, uint64(link), false)) + t.data
}

// Equal tells whether two tunnels are the same, nil included.
func (t *Tunnel) Equal(o *Tunnel) bool {
	return t == nil && o == nil || t != nil && o != nil && *t == *o
}

// The attributes of tunnels (linux/if_tunnel.h), which package unix lacks.
const (
	iptunLink, iptunLocal, iptunRemote, iptunTTL, iptunTOS    = 1, 2, 3, 4, 5
	iptunEncapLimit, iptunFlowInfo, iptunFlags, iptunProto    = 6, 7, 8, 9
	iptunPMTUDisc, iptun6RDPrefix, iptun6RDRelay              = 10, 11, 12
	iptun6RDPrefixLen, iptun6RDRelayLen                       = 13, 14
	greLink, greIFlags, greOFlags, greIKey, greOKey, greLocal = 1, 2, 3, 4, 5, 6
	greRemote, greTTL, greTOS, grePMTUDisc, greEncapLimit     = 7, 8, 9, 10, 11
	greFlowInfo, greFlags                                     = 12, 13
	vtiLink, vtiIKey, vtiOKey, vtiLocal, vtiRemote            = 1, 2, 3, 4, 5
	greCsum, greKey, greSeq                                   = 0x8000, 0x2000, 0x1000
	ignoreEncapLimit                                          = 1 // IP6_TNL_F_IGN_ENCAP_LIMIT
	useOrigTClass                                             = 2 // IP6_TNL_F_USE_ORIG_TCLASS
)

// maker writes the attributes of one tunnel.
type maker struct {
	t   []Field
	sub []Field // the table data
	b   []byte
	err error
}

func (m *maker) fail(name, format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf(name+": "+format, args...)
	}
}

func appendNumber(b []byte, attr uint16, size int, v uint64, big bool) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+size))
	b = binary.NativeEndian.AppendUint16(b, attr)
	switch {
	case size == 1:
		b = append(b, byte(v), 0, 0, 0)
	case size == 2 && big:
		b = append(binary.BigEndian.AppendUint16(b, uint16(v)), 0, 0)
	case size == 2:
		b = append(binary.NativeEndian.AppendUint16(b, uint16(v)), 0, 0)
	case big:
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	default:
		b = binary.NativeEndian.AppendUint32(b, uint32(v))
	}
	return b
}

func (m *maker) u8(attr uint16, v uint64)   { m.b = appendNumber(m.b, attr, 1, v, false) }
func (m *maker) be16(attr uint16, v uint64) { m.b = appendNumber(m.b, attr, 2, v, true) }
func (m *maker) u32(attr uint16, v uint64)  { m.b = appendNumber(m.b, attr, 4, v, false) }
func (m *maker) be32(attr uint16, v uint64) { m.b = appendNumber(m.b, attr, 4, v, true) }

func (m *maker) bytes(attr uint16, v []byte) {
	m.b = binary.NativeEndian.AppendUint16(m.b, uint16(4+len(v)))
	m.b = binary.NativeEndian.AppendUint16(m.b, attr)
	m.b = append(m.b, v...)
	for len(m.b)%4 != 0 {
		m.b = append(m.b, 0)
	}
}

// number reads a number that may be written as a text.
func (m *maker) number(t []Field, name string, most uint64) (n uint64, there bool) {
	v, there := lookup(t, name)
	if !there {
		return 0, false
	}
	var err error
	switch v := v.(type) {
	case int64:
		n = uint64(v)
		if v < 0 && v >= -1<<31 && most == 1<<32-1 { // a key above 2^31 in a signed message
			n = uint64(uint32(v))
		}
	case string:
		n, err = strconv.ParseUint(v, 0, 64)
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || n > most {
		m.fail(name, "%v is not a number of 0..%d", v, most)
		return 0, false
	}
	return n, true
}

func (m *maker) flag(t []Field, name string, def bool) bool {
	v, there := lookup(t, name)
	if !there {
		return def
	}
	on, ok := boolOf(v)
	if s, text := v.(string); text {
		on, ok = s == "1", s == "0" || s == "1"
	}
	if !ok {
		m.fail(name, "%v is no bool", v)
	}
	return on
}

func (m *maker) text(t []Field, name string) string {
	v, there := lookup(t, name)
	s, ok := v.(string)
	if there && !ok {
		m.fail(name, "%v is not a string", v)
	}
	return s
}

// address writes an end of the tunnel; one that is not said is left open.
func (m *maker) address(name string, attr uint16, v6 bool) (a netip.Addr) {
	s := m.text(m.t, name)
	if s == "" {
		return a
	}
	a, ok := config.ParseAddr(s, v6)
	if !ok {
		m.fail(name, "%q is not an %s address", s, familyName(v6))
		return a
	}
	m.bytes(attr, a.AsSlice())
	return a
}

// tos reads option tos: "inherit", or two hex digits.
func (m *maker) tos() (n uint64, inherit bool) {
	switch s := m.text(m.t, "tos"); s {
	case "":
	case "inherit":
		return 1, true
	default:
		var err error
		if n, err = strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 8); err != nil {
			m.fail("tos", "%q is neither inherit nor a hex number below 0x100", s)
		}
	}
	return n, false
}

// ParseTunnel reads the table `tunnel` of an update: mode names the kind, in
// netifd's words.
func ParseTunnel(t []Field) (*Tunnel, error) {
	m := &maker{t: t}
	m.sub, _ = get[[]Field](t, "data")
	out := &Tunnel{linkAttr: 1, Link: m.text(t, "link")}
	switch mode := m.text(t, "mode"); mode {
	case "ipip", "sit":
		out.Kind = mode
		m.ip4(mode)
	case "ipip6":
		out.Kind = "ip6tnl"
		m.u8(iptunProto, unix.IPPROTO_IPIP)
		m.ip6(iptunLocal, iptunRemote, iptunTTL, iptunEncapLimit, iptunFlowInfo, iptunFlags)
	case "greip", "gretapip", "greip6", "gretapip6":
		out.Kind = map[string]string{"greip": "gre", "gretapip": "gretap", "greip6": "ip6gre", "gretapip6": "ip6gretap"}[mode]
		m.gre(strings.HasSuffix(mode, "6"))
	case "vtiip", "vtiip6":
		out.Kind = map[string]string{"vtiip": "vti", "vtiip6": "vti6"}[mode]
		m.vti(mode == "vtiip6")
	case "xfrm":
		out.Kind = "xfrm"
		if id, ok := m.number(m.sub, "ifid", 1<<32-1); ok {
			m.u32(unix.IFLA_XFRM_IF_ID, id)
		}
	case "vxlan", "vxlan6":
		out.Kind, out.linkAttr = "vxlan", unix.IFLA_VXLAN_LINK
		m.vxlan(mode == "vxlan6")
		m.mac(out)
	default:
		m.fail("mode", "%q is none of ipip, sit, ipip6, greip, gretapip, greip6, gretapip6, vtiip, vtiip6, xfrm, vxlan, vxlan6", mode)
	}
	if n, ok := m.number(t, "mtu", 65535); ok {
		out.MTU = uint32(n)
	}
	if strings.HasPrefix(out.Kind, "gretap") || out.Kind == "ip6gretap" {
		m.mac(out)
	}
	out.data = string(m.b)
	return out, m.err
}

func (m *maker) mac(out *Tunnel) {
	s := m.text(m.sub, "macaddr")
	if s == "" {
		return
	}
	var err error
	if out.MAC, err = rtnl.ParseHWAddr(s); err != nil || out.MAC.Len != 6 {
		m.fail("macaddr", "%q is not the address of an Ethernet link", s)
	}
}

// ttlAndDF writes time to live and path MTU discovery.
func (m *maker) ttlAndDF(ttlAttr, dfAttr uint16) {
	ttl, _ := m.number(m.t, "ttl", 255)
	df := m.flag(m.t, "df", true)
	if ttl != 0 && !df {
		m.fail("df", "a tunnel with a fixed ttl needs df")
	}
	m.u8(ttlAttr, ttl)
	m.u8(dfAttr, map[bool]uint64{true: 1}[df])
}

func (m *maker) ip4(mode string) {
	m.address("local", iptunLocal, false)
	m.address("remote", iptunRemote, false)
	m.ttlAndDF(iptunTTL, iptunPMTUDisc)
	if n, _ := m.tos(); n != 0 {
		m.u8(iptunTOS, n)
	}
	if mode == "ipip" {
		return
	}
	m.u8(iptunProto, unix.IPPROTO_IPV6)
	prefix, relay := m.text(m.sub, "prefix"), m.text(m.sub, "relay-prefix")
	if prefix == "" {
		return
	}
	p, ok := config.ParsePrefix(prefix, true, 128)
	if !ok {
		m.fail("prefix", "%q is not an IPv6 prefix", prefix)
		return
	}
	a := p.Masked().Addr().As16()
	m.bytes(iptun6RDPrefix, a[:])
	m.bytes(iptun6RDPrefixLen, binary.NativeEndian.AppendUint16(nil, uint16(p.Bits())))
	if relay == "" {
		return
	}
	r, ok := config.ParsePrefix(relay, false, 32)
	if !ok {
		m.fail("relay-prefix", "%q is not an IPv4 prefix", relay)
		return
	}
	m.bytes(iptun6RDRelay, r.Masked().Addr().AsSlice())
	m.bytes(iptun6RDRelayLen, binary.NativeEndian.AppendUint16(nil, uint16(r.Bits())))
}

// ip6 writes what tunnels over IPv6 have in common.
func (m *maker) ip6(local, remote, ttlAttr, limitAttr, flowAttr, flagsAttr uint16) {
	m.address("local", local, true)
	m.address("remote", remote, true)
	ttl, said := m.number(m.t, "ttl", 255)
	if !said || ttl == 0 {
		ttl = 64
	}
	m.u8(ttlAttr, ttl)
	flags := uint64(0)
	if limit := m.text(m.sub, "encaplimit"); limit == "" || limit == "ignore" {
		flags |= ignoreEncapLimit
	} else if n, err := strconv.ParseUint(limit, 0, 8); err == nil {
		m.u8(limitAttr, n)
	} else {
		m.fail("encaplimit", "%q is neither ignore nor 0..255", limit)
	}
	if n, inherit := m.tos(); inherit {
		flags |= useOrigTClass
	} else if n != 0 {
		m.be32(flowAttr, n<<20)
	}
	m.u32(flagsAttr, flags)
}

func (m *maker) gre(v6 bool) {
	if v6 {
		m.ip6(greLocal, greRemote, greTTL, greEncapLimit, greFlowInfo, greFlags)
	} else {
		m.address("local", greLocal, false)
		m.address("remote", greRemote, false)
		m.ttlAndDF(greTTL, grePMTUDisc)
		if n, _ := m.tos(); n != 0 {
			m.u8(greTOS, n)
		}
	}
	for _, d := range []struct {
		key, csum, seq string
		flags, keyAttr uint16
	}{{"ikey", "icsum", "iseqno", greIFlags, greIKey}, {"okey", "ocsum", "oseqno", greOFlags, greOKey}} {
		flags := uint64(0)
		if m.flag(m.sub, d.csum, false) {
			flags |= greCsum
		}
		if m.flag(m.sub, d.seq, false) {
			flags |= greSeq
		}
		if k, ok := m.number(m.sub, d.key, 1<<32-1); ok && k != 0 {
			flags |= greKey
			m.be32(d.keyAttr, k)
		}
		if flags != 0 {
			m.be16(d.flags, flags)
		}
	}
}

func (m *maker) vti(v6 bool) {
	m.address("local", vtiLocal, v6)
	m.address("remote", vtiRemote, v6)
	for _, d := range []struct {
		name string
		attr uint16
	}{{"ikey", vtiIKey}, {"okey", vtiOKey}} {
		if k, ok := m.number(m.sub, d.name, 1<<32-1); ok && k != 0 {
			m.be32(d.attr, k)
		}
	}
}

func (m *maker) vxlan(v6 bool) {
	id, ok := m.number(m.sub, "id", 1<<24-1)
	if !ok {
		id, ok = m.number(m.t, "id", 1<<24-1)
	}
	if !ok {
		m.fail("id", "a VXLAN needs one of 0..16777215")
	}
	m.u32(unix.IFLA_VXLAN_ID, id)
	local, remote := uint16(unix.IFLA_VXLAN_LOCAL), uint16(unix.IFLA_VXLAN_GROUP)
	if v6 {
		local, remote = unix.IFLA_VXLAN_LOCAL6, unix.IFLA_VXLAN_GROUP6
	}
	m.address("local", local, v6)
	m.address("remote", remote, v6)
	port, ok := m.number(m.sub, "port", 65535)
	if !ok {
		if port, ok = m.number(m.t, "port", 65535); !ok {
			port = 4789
		}
	}
	m.be16(unix.IFLA_VXLAN_PORT, port)
	if ttl, ok := m.number(m.t, "ttl", 255); ok {
		m.u8(unix.IFLA_VXLAN_TTL, ttl)
	}
	if n, _ := m.tos(); n != 0 {
		m.u8(unix.IFLA_VXLAN_TOS, n)
	}
	m.vxlanSwitches()
}

// vxlanSwitches writes the switches and numbers in the table data.
func (m *maker) vxlanSwitches() {
	for _, f := range []struct {
		name string
		attr uint16
		not  bool
	}{{"learning", unix.IFLA_VXLAN_LEARNING, false}, {"proxy", unix.IFLA_VXLAN_PROXY, false}, {"rsc", unix.IFLA_VXLAN_RSC, false},
		{"l2miss", unix.IFLA_VXLAN_L2MISS, false}, {"l3miss", unix.IFLA_VXLAN_L3MISS, false},
		{"txcsum", unix.IFLA_VXLAN_UDP_CSUM, false}, {"rxcsum", unix.IFLA_VXLAN_UDP_ZERO_CSUM6_RX, true}} {
		if _, there := lookup(m.sub, f.name); there {
			on := m.flag(m.sub, f.name, false) != f.not
			m.u8(f.attr, map[bool]uint64{true: 1}[on])
		}
	}
	if m.flag(m.sub, "gbp", false) {
		m.bytes(unix.IFLA_VXLAN_GBP, nil)
	}
	if n, ok := m.number(m.sub, "ageing", 1<<31-1); ok {
		m.u32(unix.IFLA_VXLAN_AGEING, n)
	}
	if n, ok := m.number(m.sub, "maxaddress", 1<<31-1); ok {
		m.u32(unix.IFLA_VXLAN_LIMIT, n)
	}
	low, ok1 := m.number(m.sub, "srcportmin", 65535)
	high, ok2 := m.number(m.sub, "srcportmax", 65535)
	if ok1 && ok2 {
		if low > high {
			m.fail("srcportmin", "%d is above srcportmax, %d", low, high)
		}
		m.bytes(unix.IFLA_VXLAN_PORT_RANGE, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(low)), uint16(high)))
	}
}
