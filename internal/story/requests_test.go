package story

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// eachMessage calls f with every object of a table.
func eachMessage(w world, kind rtnl.Kind, f func(h rtnl.Header, body []byte)) error {
	datagrams, err := w.dump(kind)
	if err != nil {
		return err
	}
	for _, b := range datagrams {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				return err
			}
			b = rest
			if h.Type != unix.NLMSG_DONE {
				f(h, body)
			}
		}
	}
	return nil
}

// read decodes a table.
func read[T any](w world, kind rtnl.Kind, decode func([]byte, *T) error) (out []T, err error) {
	derr := eachMessage(w, kind, func(_ rtnl.Header, body []byte) {
		var v T
		if e := decode(body, &v); e != nil {
			err = e
		}
		out = append(out, v)
	})
	if derr != nil {
		return nil, derr
	}
	return out, err
}

// links reads the links, and gives their names by ifindex.
func links(w world) ([]rtnl.Link, func(uint32) string, error) {
	all, err := read(w, rtnl.KindLink, rtnl.DecodeLink)
	names := map[uint32]string{}
	for i := range all {
		names[all[i].Index] = all[i].Name
	}
	return all, func(i uint32) string { return names[i] }, err
}

// link finds a link by name; nil when there is none.
func link(w world, name string) (*rtnl.Link, error) {
	all, _, err := links(w)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, nil
}

func ifindex(w world, name string) (uint32, error) {
	l, err := link(w, name)
	switch {
	case err != nil:
		return 0, err
	case l == nil:
		return 0, fmt.Errorf("there is no link %s", name)
	}
	return l.Index, nil
}

const create = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_EXCL

// addLink makes a link of a kind; a veth needs the name of its peer.
func addLink(w world, kind, name, peer string, mac, peerMAC rtnl.HWAddr) error {
	r := rtnl.LinkRequest{Link: rtnl.Link{Name: name, Kind: kind, Addr: mac}, Set: rtnl.LinkName | rtnl.LinkAddr}
	if peer != "" {
		r.Peer = &rtnl.VethPeer{Name: peer, Addr: peerMAC}
	}
	return w.request(rtnl.AppendLink(nil, unix.RTM_NEWLINK, create, 0, &r))
}

func delLink(w world, name string) error {
	index, err := ifindex(w, name)
	if err != nil {
		return err
	}
	return w.request(rtnl.AppendLink(nil, unix.RTM_DELLINK, unix.NLM_F_REQUEST, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: index}}))
}

// setLink changes a link: "up", "down", "nomaster", or a word and its value.
func setLink(w world, name string, words []string) error {
	index, err := ifindex(w, name)
	if err != nil {
		return err
	}
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: index}}
	for len(words) > 0 {
		word, value := words[0], ""
		words = words[1:]
		switch word {
		case "up", "down":
			r.Set |= rtnl.LinkUp
			if word == "up" {
				r.Flags |= unix.IFF_UP
			}
			continue
		case "nomaster":
			r.Set |= rtnl.LinkMaster
			continue
		}
		if len(words) == 0 {
			return fmt.Errorf("link-set: %q needs a value, or is no word of link-set", word)
		}
		value, words = words[0], words[1:]
		n, _ := strconv.ParseUint(value, 10, 32)
		switch word {
		case "mtu":
			r.Set, r.MTU = r.Set|rtnl.LinkMTU, uint32(n)
		case "txqueuelen":
			r.Set, r.TxQLen = r.Set|rtnl.LinkTxQLen, uint32(n)
		case "name":
			r.Set, r.Name = r.Set|rtnl.LinkName, value
		case "address":
			r.Set |= rtnl.LinkAddr
			if r.Addr, err = rtnl.ParseHWAddr(value); err != nil {
				return err
			}
		case "master":
			r.Set |= rtnl.LinkMaster
			if r.Master, err = ifindex(w, value); err != nil {
				return err
			}
		default:
			return fmt.Errorf("link-set: no word %q", word)
		}
	}
	return w.request(rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST, 0, &r))
}

// changeAddr adds or deletes an address: "192.0.2.1/24 DEV [brd A] [peer A]".
func changeAddr(w world, add bool, words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("an address needs ADDR/LENGTH and DEVICE")
	}
	p, err := netip.ParsePrefix(words[0])
	if err != nil {
		return err
	}
	a := rtnl.Addr{Family: familyOf(p.Addr()), PrefixLen: uint8(p.Bits()), Local: p.Addr(),
		Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
	if a.Index, err = ifindex(w, words[1]); err != nil {
		return err
	}
	for words = words[2:]; len(words) > 1; words = words[2:] {
		x, err := netip.ParseAddr(words[1])
		switch {
		case err != nil:
			return err
		case words[0] == "brd":
			a.Broadcast = x
		case words[0] == "peer":
			a.Peer = x
		default:
			return fmt.Errorf("address: no word %q", words[0])
		}
	}
	typ, flags := uint16(unix.RTM_NEWADDR), uint16(create)
	if !add {
		typ, flags = unix.RTM_DELADDR, unix.NLM_F_REQUEST
	}
	return w.request(rtnl.AppendAddr(nil, typ, flags, 0, &a))
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// pairs takes words two by two.
func pairs(words []string, f func(word, value string) error) error {
	for ; len(words) > 1; words = words[2:] {
		if err := f(words[0], words[1]); err != nil {
			return err
		}
	}
	if len(words) == 1 {
		return fmt.Errorf("%q has no value", words[0])
	}
	return nil
}

func tableNumber(s string) uint32 {
	switch s {
	case "main":
		return unix.RT_TABLE_MAIN
	case "local":
		return unix.RT_TABLE_LOCAL
	}
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

var protocols = map[string]uint8{"boot": unix.RTPROT_BOOT, "static": unix.RTPROT_STATIC, "kernel": unix.RTPROT_KERNEL, "bgp": unix.RTPROT_BGP}

// changeRoute adds or deletes a route, in the words of `ip route`.
func changeRoute(w world, add bool, words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("a route needs a destination")
	}
	r := rtnl.Route{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	if words[0] != "default" {
		p, err := netip.ParsePrefix(words[0])
		if err != nil {
			return err
		}
		r.Dst, r.Family = p, familyOf(p.Addr())
	}
	err := pairs(words[1:], func(word, value string) (err error) {
		switch n, _ := strconv.ParseUint(value, 10, 32); word {
		case "via":
			r.Gateway, err = netip.ParseAddr(value)
		case "src":
			r.PrefSrc, err = netip.ParseAddr(value)
		case "dev":
			r.Oif, err = ifindex(w, value)
		case "metric":
			r.Priority = uint32(n)
		case "table":
			r.Table = tableNumber(value)
		case "proto":
			r.Protocol = protocols[value]
		default:
			err = fmt.Errorf("route: no word %q", word)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !add {
		if r.Family == unix.AF_INET {
			r.Scope = unix.RT_SCOPE_NOWHERE
		}
		return w.request(rtnl.AppendRoute(nil, unix.RTM_DELROUTE, unix.NLM_F_REQUEST, 0, &r))
	}
	r.Type = unix.RTN_UNICAST
	if r.Protocol == 0 {
		r.Protocol = unix.RTPROT_BOOT
	}
	if !r.Gateway.IsValid() && r.Family == unix.AF_INET {
		r.Scope = unix.RT_SCOPE_LINK
	}
	return w.request(rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, create, 0, &r))
}

// changeRule adds or deletes an IPv4 rule: "prio 50 from 10.0.0.0/8 lookup main".
func changeRule(w world, add bool, words []string) error {
	r := rtnl.Rule{Family: unix.AF_INET, Action: unix.FR_ACT_TO_TBL, SuppressPL: -1, SuppressIG: -1}
	err := pairs(words, func(word, value string) (err error) {
		switch word {
		case "prio":
			n, _ := strconv.ParseUint(value, 10, 32)
			r.Priority = uint32(n)
		case "from":
			r.Src, err = netip.ParsePrefix(value)
		case "to":
			r.Dst, err = netip.ParsePrefix(value)
		case "lookup":
			r.Table = tableNumber(value)
		default:
			err = fmt.Errorf("rule: no word %q", word)
		}
		return err
	})
	if err != nil {
		return err
	}
	typ, flags := uint16(unix.RTM_NEWRULE), uint16(create)
	if !add {
		typ, flags = unix.RTM_DELRULE, unix.NLM_F_REQUEST
	}
	return w.request(rtnl.AppendRule(nil, typ, flags, 0, &r))
}

// changeNeigh adds or removes a permanent neighbour: "DEV ADDR [MAC]".
func changeNeigh(w world, add bool, words []string) error {
	index, err := ifindex(w, words[0])
	if err != nil {
		return err
	}
	n := rtnl.Neigh{Index: index, Family: unix.AF_INET, State: unix.NUD_PERMANENT}
	if n.Dst, err = netip.ParseAddr(words[1]); err != nil {
		return err
	}
	if n.Dst.Is6() {
		n.Family = unix.AF_INET6
	}
	typ, flags := uint16(unix.RTM_DELNEIGH), uint16(unix.NLM_F_REQUEST)
	if add {
		typ, flags = unix.RTM_NEWNEIGH, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE
		if n.LLAddr, err = rtnl.ParseHWAddr(words[2]); err != nil {
			return err
		}
	}
	return w.request(rtnl.AppendNeigh(nil, typ, flags, 0, &n))
}

// shortAddr prints an address as stories have it: "192.0.2.1/24".
func shortAddr(a *rtnl.Addr) string {
	s := a.Local.String() + "/" + strconv.Itoa(int(a.PrefixLen))
	if a.Peer.IsValid() {
		s = a.Local.String() + ">" + a.Peer.String() + "/" + strconv.Itoa(int(a.PrefixLen))
	}
	return s
}

// split takes a line apart at blanks; single quotes keep words together.
func split(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " \t") {
		if line[0] == '\'' {
			word, rest, ok := strings.Cut(line[1:], "'")
			if !ok {
				return nil, fmt.Errorf("a quote is open: %s", line)
			}
			words, line = append(words, word), rest
			continue
		}
		end := strings.IndexAny(line, " \t")
		if end < 0 {
			end = len(line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
	return words, nil
}
