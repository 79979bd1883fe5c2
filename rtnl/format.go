package rtnl

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// line builds one readable line of words.
type line struct {
	strings.Builder
	names func(ifindex uint32) string
}

func newLine(first string, names func(uint32) string) *line {
	l := &line{names: names}
	l.WriteString(first)
	return l
}

// add appends words, each after a blank.
func (l *line) add(words ...string) {
	for _, w := range words {
		l.WriteByte(' ')
		l.WriteString(w)
	}
}

// num appends a word and a number unless the number is zero.
func (l *line) num(word string, v uint64) {
	if v != 0 {
		l.add(word, strconv.FormatUint(v, 10))
	}
}

// str appends a word and its argument unless that is empty.
func (l *line) str(word, arg string) {
	if arg != "" {
		l.add(word, arg)
	}
}

// addr appends a word and an address unless that is the zero Addr.
func (l *line) addr(word string, a netip.Addr) {
	if a.IsValid() {
		l.add(word, a.String())
	}
}

// when appends a word if the condition holds.
func (l *line) when(cond bool, word string) {
	if cond {
		l.add(word)
	}
}

// flags appends the names of the bits that are set.
func (l *line) flags(v uint32, names []flagName) {
	for _, f := range names {
		l.when(v&f.bit == f.bit, f.name)
	}
}

// dev appends a word and the name of a link unless the ifindex is 0.
func (l *line) dev(word string, index uint32) {
	if index != 0 {
		l.add(word, l.name(index))
	}
}

// name is the name of a link, "if7" for one that has none.
func (l *line) name(index uint32) string {
	if l.names != nil {
		if s := l.names(index); s != "" {
			return s
		}
	}
	return "if" + strconv.FormatUint(uint64(index), 10)
}

func hexNumber(v uint64) string { return "0x" + strconv.FormatUint(v, 16) }

// FormatLink prints a link in one line, close to what `ip -d link` says. Names
// gives the name of an ifindex; where it is nil or answers "" the line has
// "if7".
func FormatLink(k *Link, names func(ifindex uint32) string) string {
	l := newLine("link "+strconv.FormatUint(uint64(k.Index), 10)+":", names)
	name := k.Name
	if name == "" {
		name = l.name(k.Index)
	}
	if k.Parent != 0 && k.ParentNSID < 0 {
		name += "@" + l.name(k.Parent)
	} else if k.Parent != 0 {
		name += "@if" + strconv.FormatUint(uint64(k.Parent), 10)
	}
	l.add(name)
	if k.Flags&unix.IFF_UP != 0 {
		l.add("up")
	} else {
		l.add("down")
	}
	l.when(k.Carrier, "carrier")
	l.flags(k.Flags, linkFlagNames)
	l.num("mtu", uint64(k.MTU))
	l.str("state", operStates.of(k.OperState))
	l.dev("master", k.Master)
	l.str("address", k.Addr.String())
	l.num("group", uint64(k.Group))
	if k.ParentNSID >= 0 {
		l.add("link-netnsid", strconv.Itoa(int(k.ParentNSID)))
	}
	l.str("kind", k.Kind)
	switch kindPlace(k.Kind) {
	case inBridge:
		l.numbers(inBridge, k)
	case inVLAN:
		l.add("id", strconv.Itoa(int(k.VLAN.ID)), "protocol", vlanProtocols.of(k.VLAN.Protocol))
	case inMACVLAN:
		l.add("mode", macvlanModes.of(k.MACVLAN.Mode))
	case inVRF:
		l.num("table", uint64(k.VRFTable))
	}
	if k.PortKind != "" {
		l.add("port", k.PortKind)
	}
	if k.PortKind == kindBridge {
		l.add("state", portStates.of(k.Port.State))
		l.numbers(inPort, k)
	}
	return l.String()
}

// numbers appends those attributes of a nest that are not zero.
func (l *line) numbers(where place, k *Link) {
	for i := range fields {
		if f := &fields[i]; f.place == where && f.bit != 0 {
			l.num(strings.TrimPrefix(f.name, "port_"), f.get(k))
		}
	}
}

// FormatAddr prints an address in one line:
// "addr 192.0.2.1/24 dev eth0 scope global valid forever".
func FormatAddr(a *Addr, names func(ifindex uint32) string) string {
	l := newLine("addr", names)
	if a.Peer.IsValid() {
		l.add(a.Local.String(), "peer", a.Peer.String()+"/"+strconv.Itoa(int(a.PrefixLen)))
	} else {
		l.add(a.Local.String() + "/" + strconv.Itoa(int(a.PrefixLen)))
	}
	l.addr("brd", a.Broadcast)
	l.dev("dev", a.Index)
	l.add("scope", scopes.of(a.Scope))
	l.str("label", a.Label)
	if a.Protocol != 0 {
		l.add("proto", addrProtocols.of(a.Protocol))
	}
	l.num("metric", uint64(a.Priority))
	l.flags(a.Flags, addrFlagNames)
	if a.Valid != LifetimeForever || a.Preferred != LifetimeForever {
		l.add("valid", lifetime(a.Valid), "preferred", lifetime(a.Preferred))
	}
	return l.String()
}

func lifetime(seconds uint32) string {
	if seconds == LifetimeForever {
		return "forever"
	}
	return strconv.FormatUint(uint64(seconds), 10) + "s"
}

// FormatNeigh prints a neighbour, or with family AF_BRIDGE an entry of a
// forwarding database, in one line: "neigh 192.0.2.1 dev eth0 lladdr … reachable".
func FormatNeigh(n *Neigh, names func(ifindex uint32) string) string {
	l := newLine("neigh", names)
	if n.Family == unix.AF_BRIDGE {
		l = newLine("fdb", names)
		if n.LLAddr.Len > 0 {
			l.add(n.LLAddr.String())
		}
		l.addr("dst", n.Dst)
		l.num("nhid", uint64(n.NHID))
		l.dev("dev", n.Index)
	} else {
		l.when(n.Flags&unix.NTF_PROXY != 0, "proxy")
		if n.Dst.IsValid() {
			l.add(n.Dst.String())
		} else {
			l.add("family", families.of(n.Family))
		}
		l.dev("dev", n.Index)
		l.str("lladdr", n.LLAddr.String())
	}
	l.num("vlan", uint64(n.VLAN))
	l.num("port", uint64(n.Port))
	l.num("vni", uint64(n.VNI))
	l.num("src_vni", uint64(n.SrcVNI))
	l.dev("via", n.Via)
	l.dev("master", n.Master)
	l.flags(uint32(n.Flags), neighFlagNames)
	l.flags(n.ExtFlags, neighExtFlagNames)
	l.flags(uint32(n.State), neighStateNames)
	if n.Protocol != 0 {
		l.add("proto", routeProtocols.of(n.Protocol))
	}
	return l.String()
}

// FormatMessage prints a message for a monitor: "+ addr …" for what is there
// now, "- route …" for what went, and its type for a message that is about
// nothing of ours or cannot be read.
func FormatMessage(h Header, body []byte, names func(ifindex uint32) string) string {
	kind, deleted := KindOf(h.Type)
	var text string
	var err error
	switch kind {
	case KindLink:
		text, err = formatBody(body, names, DecodeLink, FormatLink)
	case KindAddr:
		text, err = formatBody(body, names, DecodeAddr, FormatAddr)
	case KindNeigh:
		text, err = formatBody(body, names, DecodeNeigh, FormatNeigh)
	case KindRoute:
		text, err = formatBody(body, names, DecodeRoute, FormatRoute)
	case KindRule:
		text, err = formatBody(body, names, DecodeRule, FormatRule)
	case KindNexthop:
		text, err = formatBody(body, names, DecodeNexthop, FormatNexthop)
	case KindNetconf:
		text, err = formatBody(body, names, DecodeNetconf, FormatNetconf)
	default:
		return fmt.Sprintf("? %s of %d octets", typeName(h.Type), h.Len)
	}
	switch {
	case err != nil:
		return fmt.Sprintf("? %s: %v", typeName(h.Type), err)
	case deleted:
		return "- " + text
	}
	return "+ " + text
}

func formatBody[T any](body []byte, names func(uint32) string, decode func([]byte, *T) error, format func(*T, func(uint32) string) string) (string, error) {
	var v T
	if err := decode(body, &v); err != nil {
		return "", err
	}
	return format(&v, names), nil
}
