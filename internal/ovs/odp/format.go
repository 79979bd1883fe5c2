package odp

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// FlowView is a flow as text, for JSON.
type FlowView struct {
	Match   []FieldView `json:"match"`
	Packets uint64      `json:"packets"`
	Bytes   uint64      `json:"bytes"`
	// IdleMS is how long ago the last packet came, in milliseconds; absent: none
	// has.
	IdleMS  *int64   `json:"idle_ms,omitempty"`
	Actions []string `json:"actions"` // none: the packet is dropped
	UFID    string   `json:"ufid,omitempty"`
}

// FieldView is a field that a flow matches. Mask is there unless all of the
// field is to match.
type FieldView struct {
	Name  string `json:"field"`
	Value string `json:"value"`
	Mask  string `json:"mask,omitempty"`
}

// PortNames tells the name of a port, empty if it does not know.
type PortNames func(number uint32) string

func (names PortNames) of(number uint32) string {
	if names != nil {
		if s := names(number); s != "" {
			return s
		}
	}
	return strconv.FormatUint(uint64(number), 10)
}

// ViewFlow makes text of a flow; now is the time on CLOCK_MONOTONIC, names may
// be nil.
func ViewFlow(f *Flow, names PortNames, now time.Duration) FlowView {
	v := FlowView{Match: viewMatch(&f.Match, names), Packets: f.Packets, Bytes: f.Bytes, Actions: []string{}, UFID: hex.EncodeToString([]byte(f.UFID))}
	if f.Used > 0 {
		ms := max(now-f.Used, 0).Milliseconds()
		v.IdleMS = &ms
	}
	for i := range f.Actions {
		v.Actions = append(v.Actions, formatAction(&f.Actions[i], names))
	}
	return v
}

// FormatFlow prints a flow on one line:
//
//	in_port=eth0 eth_src=… eth_dst=…: packets=12 bytes=1176 idle=0.4s actions=output(eth1)
//
// now is the time on CLOCK_MONOTONIC, names may be nil.
func FormatFlow(f *Flow, names PortNames, now time.Duration) string {
	var b strings.Builder
	v := ViewFlow(f, names, now)
	for i, field := range v.Match {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(field.Name + "=" + field.Value)
		if field.Mask != "" {
			b.WriteString("/" + field.Mask)
		}
	}
	fmt.Fprintf(&b, ": packets=%d bytes=%d idle=", v.Packets, v.Bytes)
	if v.IdleMS == nil {
		b.WriteString("never-used")
	} else {
		fmt.Fprintf(&b, "%.1fs", float64(*v.IdleMS)/1000)
	}
	b.WriteString(" actions=" + joinActions(v.Actions))
	return b.String()
}

// FormatActions prints actions, "drop" for none; names may be nil.
func FormatActions(actions []Action, names PortNames) string {
	var list []string
	for i := range actions {
		list = append(list, formatAction(&actions[i], names))
	}
	return joinActions(list)
}

func joinActions(list []string) string {
	if len(list) == 0 {
		return "drop"
	}
	return strings.Join(list, ",")
}

func formatAction(a *Action, names PortNames) string {
	switch a.Type {
	case ActionOutput:
		return "output(" + names.of(a.Value) + ")"
	case ActionUserspace:
		return fmt.Sprintf("userspace(pid=%d)", a.Value)
	case ActionPushVLAN:
		return fmt.Sprintf("push_vlan(vid=%d,pcp=%d,type=%#04x)", a.VLAN.VID(), a.VLAN.TCI>>13, a.VLAN.Type)
	case ActionPopVLAN:
		return "pop_vlan"
	case ActionRecirc:
		return fmt.Sprintf("recirc(%d)", a.Value)
	case ActionTrunc:
		return fmt.Sprintf("trunc(%d)", a.Value)
	case ActionMeter:
		return fmt.Sprintf("meter(%d)", a.Value)
	case ActionDrop:
		return fmt.Sprintf("drop(reason=%d)", a.Value)
	case ActionCTClear:
		return "ct_clear"
	case ActionSet:
		if k, err := ParseKey([]byte(a.Raw)); err == nil {
			return "set(" + formatFields(viewMatch(&Match{Key: k, Exact: true}, names)) + ")"
		}
	}
	return fmt.Sprintf("action%d(%x)", a.Type, a.Raw)
}

func formatFields(list []FieldView) string {
	var words []string
	for _, f := range list {
		words = append(words, f.Name+"="+f.Value)
	}
	return strings.Join(words, ",")
}

// viewer collects the fields that a match looks at.
type viewer struct {
	*Match
	list []FieldView
}

// matched tells whether the flow looks at a field at all. A VLAN tag is matched
// also when the mask does not have it.
func (v *viewer) matched(f Fields) bool {
	return v.Key.Has&f != 0 && (v.Exact || v.Mask.Has&f != 0 || f&(HasVLAN|HasCVLAN) != 0)
}

// implied tells a field that is matched as a whole without being in the mask.
func (v *viewer) implied(f Fields) bool { return v.Exact || v.Mask.Has&f == 0 }

func (v *viewer) add(name, value, mask string) {
	v.list = append(v.list, FieldView{name, value, mask})
}

// number adds a field of bits bits, as base says.
func (v *viewer) number(f Fields, name string, value, mask uint64, bits, base int) {
	all := uint64(1)<<bits - 1
	if bits == 64 {
		all = 1<<64 - 1
	}
	if v.implied(f) {
		mask = all
	}
	if !v.matched(f) || mask == 0 {
		return
	}
	text, maskText := strconv.FormatUint(value, base), ""
	if base == 16 {
		text = "0x" + text
	}
	if mask != all {
		maskText = "0x" + strconv.FormatUint(mask, 16)
	}
	v.add(name, text, maskText)
}

func (v *viewer) mac(f Fields, name string, value, mask MAC) {
	switch {
	case !v.matched(f):
	case v.implied(f) || mask == Broadcast:
		v.add(name, value.String(), "")
	case mask != MAC{}:
		v.add(name, value.String(), mask.String())
	}
}

func (v *viewer) addr(f Fields, name string, value, mask netip.Addr) {
	if !v.matched(f) || !v.implied(f) && (!mask.IsValid() || mask.IsUnspecified()) {
		return
	}
	text := ""
	if !v.implied(f) && strings.Trim(hex.EncodeToString(mask.AsSlice()), "f") != "" {
		text = mask.String()
	}
	v.add(name, value.String(), text)
}

// viewMatch lists what a flow looks at, in the order of a packet.
func viewMatch(m *Match, names PortNames) []FieldView {
	v := viewer{Match: m, list: []FieldView{}}
	k, mask := &m.Key, &m.Mask
	if k.RecircID != 0 || mask.RecircID != 0xffffffff {
		v.number(HasRecircID, "recirc_id", uint64(k.RecircID), uint64(mask.RecircID), 32, 10)
	}
	if v.matched(HasInPort) && (v.implied(HasInPort) || mask.InPort == 0xffffffff) {
		v.add("in_port", names.of(k.InPort), "")
	} else {
		v.number(HasInPort, "in_port", uint64(k.InPort), uint64(mask.InPort), 32, 10)
	}
	v.number(HasPriority, "skb_priority", uint64(k.Priority), uint64(mask.Priority), 32, 16)
	v.number(HasSkbMark, "skb_mark", uint64(k.SkbMark), uint64(mask.SkbMark), 32, 16)
	v.number(HasDPHash, "dp_hash", uint64(k.DPHash), uint64(mask.DPHash), 32, 16)
	v.number(HasCTState, "ct_state", uint64(k.CTState), uint64(mask.CTState), 32, 16)
	v.number(HasCTZone, "ct_zone", uint64(k.CTZone), uint64(mask.CTZone), 16, 10)
	v.number(HasCTMark, "ct_mark", uint64(k.CTMark), uint64(mask.CTMark), 32, 16)
	if v.matched(HasCTLabels) && (v.implied(HasCTLabels) || mask.CTLabels != [16]byte{}) {
		v.add("ct_labels", "0x"+hex.EncodeToString(k.CTLabels[:]), hex.EncodeToString(mask.CTLabels[:]))
	}
	v.tunnel()
	v.mac(HasEthernet, "eth_src", k.EthSrc, mask.EthSrc)
	v.mac(HasEthernet, "eth_dst", k.EthDst, mask.EthDst)
	v.vlan(HasVLAN, "vlan", k.VLAN, mask.VLAN)
	v.vlan(HasCVLAN, "cvlan", k.CVLAN, mask.CVLAN)
	v.number(HasEtherType, "eth_type", uint64(k.EtherType), uint64(mask.EtherType), 16, 16)
	v.ip(HasIPv4)
	v.ip(HasIPv6)
	v.transport()
	v.neighbours()
	if rest := k.Meta + k.Inner; rest != "" {
		v.add("other", hex.EncodeToString([]byte(rest)), hex.EncodeToString([]byte(mask.Meta+mask.Inner)))
	}
	return v.list
}

func (v *viewer) vlan(f Fields, name string, tag, mask VLANTag) {
	if v.implied(f) {
		mask.TCI = 0xffff
	}
	if !v.matched(f) || mask.TCI == 0 {
		return
	}
	switch mask.TCI {
	case 0xffff:
		v.add(name, fmt.Sprintf("%d,pcp=%d", tag.VID(), tag.TCI>>13), "")
	case 0x1fff:
		v.add(name, strconv.Itoa(int(tag.VID())), "")
	default:
		v.add(name, fmt.Sprintf("%#04x", tag.TCI), fmt.Sprintf("%#04x", mask.TCI))
	}
}

func (v *viewer) tunnel() {
	if !v.matched(HasTunnel) {
		return
	}
	t, m := &v.Key.Tunnel, &v.Mask.Tunnel
	if t.HasID {
		v.number(HasTunnel, "tun_id", t.ID, m.ID, 64, 10)
	}
	if t.Src.IsValid() {
		v.addr(HasTunnel, "tun_src", t.Src, m.Src)
	}
	if t.Dst.IsValid() {
		v.addr(HasTunnel, "tun_dst", t.Dst, m.Dst)
	}
	if t.HasTOS {
		v.number(HasTunnel, "tun_tos", uint64(t.TOS), uint64(m.TOS), 8, 16)
	}
	if t.HasTTL {
		v.number(HasTunnel, "tun_ttl", uint64(t.TTL), uint64(m.TTL), 8, 10)
	}
	if t.SrcPort != 0 || m.SrcPort != 0 {
		v.number(HasTunnel, "tun_sport", uint64(t.SrcPort), uint64(m.SrcPort), 16, 10)
	}
	if t.DstPort != 0 || m.DstPort != 0 {
		v.number(HasTunnel, "tun_dport", uint64(t.DstPort), uint64(m.DstPort), 16, 10)
	}
	for _, flag := range []struct {
		name    string
		is, see bool
	}{{"tun_df", t.DF, m.DF}, {"tun_csum", t.Csum, m.Csum}, {"tun_oam", t.OAM, m.OAM}} {
		if flag.is && (v.Exact || flag.see) {
			v.add(flag.name, "1", "")
		}
	}
	if t.Options != "" {
		v.add("tun_options", hex.EncodeToString([]byte(t.Options)), "")
	}
}

func (v *viewer) ip(f Fields) {
	if !v.matched(f) {
		return
	}
	k, m := &v.Key.IP, &v.Mask.IP
	v.addr(f, "ip_src", k.Src, m.Src)
	v.addr(f, "ip_dst", k.Dst, m.Dst)
	v.number(f, "ip_proto", uint64(k.Proto), uint64(m.Proto), 8, 10)
	v.number(f, "ip_tos", uint64(k.TOS), uint64(m.TOS), 8, 16)
	v.number(f, "ip_ttl", uint64(k.TTL), uint64(m.TTL), 8, 10)
	v.number(f, "ip_frag", uint64(k.Frag), uint64(m.Frag), 8, 10)
	if f == HasIPv6 {
		v.number(f, "ipv6_label", uint64(k.Label), uint64(m.Label), 20, 16)
		v.number(HasExtHdrs, "ipv6_exthdrs", uint64(v.Key.ExtHdrs), uint64(v.Mask.ExtHdrs), 16, 16)
	}
}

func (v *viewer) transport() {
	k, m := &v.Key.TP, &v.Mask.TP
	for _, p := range []struct {
		f    Fields
		name string
	}{{HasTCP, "tcp"}, {HasUDP, "udp"}, {HasSCTP, "sctp"}} {
		v.number(p.f, p.name+"_src", uint64(k.Src), uint64(m.Src), 16, 10)
		v.number(p.f, p.name+"_dst", uint64(k.Dst), uint64(m.Dst), 16, 10)
	}
	v.number(HasTCPFlags, "tcp_flags", uint64(v.Key.TCPFlags), uint64(v.Mask.TCPFlags), 12, 16)
	for _, p := range []struct {
		f    Fields
		name string
	}{{HasICMP, "icmp"}, {HasICMPv6, "icmpv6"}} {
		v.number(p.f, p.name+"_type", uint64(k.Src), uint64(m.Src), 8, 10)
		v.number(p.f, p.name+"_code", uint64(k.Dst), uint64(m.Dst), 8, 10)
	}
}

func (v *viewer) neighbours() {
	a, m := &v.Key.ARP, &v.Mask.ARP
	v.addr(HasARP, "arp_src", netip.AddrFrom4(a.SrcIP), netip.AddrFrom4(m.SrcIP))
	v.addr(HasARP, "arp_dst", netip.AddrFrom4(a.DstIP), netip.AddrFrom4(m.DstIP))
	v.number(HasARP, "arp_op", uint64(a.Op), uint64(m.Op), 16, 10)
	v.mac(HasARP, "arp_src_mac", a.SrcMAC, m.SrcMAC)
	v.mac(HasARP, "arp_dst_mac", a.DstMAC, m.DstMAC)
	n, nm := &v.Key.ND, &v.Mask.ND
	v.addr(HasND, "nd_target", netip.AddrFrom16(n.Target), netip.AddrFrom16(nm.Target))
	v.mac(HasND, "nd_src_mac", n.SrcMAC, nm.SrcMAC)
	v.mac(HasND, "nd_dst_mac", n.DstMAC, nm.DstMAC)
}
