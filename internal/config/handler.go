package config

import (
	"encoding/json"
	"net/netip"
	"strings"
)

// What protocol handlers say has the forms of the configuration; these read
// them.

// ParseAddr reads an address of one family, without zone.
func ParseAddr(s string, v6 bool) (netip.Addr, bool) { return parseAddr(s, v6) }

// ParseMask reads a netmask: a number of bits, or for IPv4 a dotted mask.
func ParseMask(s string, v6 bool) (bits int, ok bool) { return parseMask(s, v6) }

// ParsePrefix reads an address with an optional mask; bits is the length
// without one. The host bits stay.
func ParsePrefix(s string, v6 bool, bits int) (netip.Prefix, bool) {
	p, _, ok := parsePrefix(s, v6, bits)
	return p, ok
}

// ParsePrefix6 reads a delegated prefix in the form of option ip6prefix.
func ParsePrefix6(s string) (Prefix6, bool) { return parsePrefix6(s) }

// ParseTable reads the number of a routing table, or one of the kernel's own
// names.
func ParseTable(s string) (uint32, bool) { return (&Options{}).table(s) }

// Usable tells whether an address can be put on a link.
func Usable(a netip.Addr) bool { return usable(a) }

// Broadcast is the highest address of an IPv4 prefix; invalid where there is
// none.
func Broadcast(p netip.Prefix) netip.Addr { return broadcast(p) }

// ValidName tells whether the kernel takes s as the name of a link.
func ValidName(s string) bool { return validName(s) }

// protoConfig writes a section as JSON for a handler from outside: what netifd
// knows of the options of every interface and what the protocol calls its own,
// each with its type. Other options are left out.
func (p *parser) protoConfig(s *section, proto Proto) string {
	var b strings.Builder
	b.WriteByte('{')
	seen := map[string]bool{}
	for i := range s.opts {
		o := &s.opts[i]
		v := p.protoValue(o, proto)
		if v == nil || seen[o.Name] {
			continue
		}
		seen[o.Name] = true
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(jsonText(o.Name) + ":" + jsonText(v))
	}
	return b.String() + "}"
}

func jsonText(v any) string {
	t, err := json.Marshal(v)
	if err != nil { // strings, numbers, bools and lists of strings always can
		return "null"
	}
	return string(t)
}

// protoValue is an option as the handler sees it; nil for one that it does not
// see.
func (p *parser) protoValue(o *option, proto Proto) any {
	typ, own := proto.Options[o.Name]
	if !own {
		sp := interfaceOptions.index[o.Name]
		if sp == nil {
			return nil
		}
		typ = map[kind]Type{yesno: TypeBool, number: TypeInt, list: TypeArray}[sp.kind]
	}
	switch typ {
	case TypeArray:
		return append([]string{}, fields(o)...)
	case TypeInt:
		if n, ok := parseInt(o.Values[0]); ok {
			return int32(n) // as blobmsg's INT32 shows it
		}
		return nil
	case TypeBool:
		if v, ok := parseBool(o.Values[0]); ok {
			return v
		}
		return nil
	}
	return strings.Join(o.Values, " ")
}
