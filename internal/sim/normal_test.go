package sim

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// shown is one message, made comparable: which object it is about, and what it
// says of it.
// Neighbours in a dump with the same non-empty unordered have no order.
type shown struct{ object, text, unordered string }

// normal is the ONE place where the two worlds are made alike:
//   - a tap stands for hardware: its kind, its data and its permanent address
//     are its own;
//   - lifetimes that end count down between two readings;
//   - links that come up at once do so in an order that the kernel's work
//     queue decides: it shows in NLM_F_EXCL and in the order of the IPv6
//     routes that the kernel makes for the same prefix on each of them;
//   - the number of a message and its sender say who asked, not what is.
func normal(h rtnl.Header, body []byte) (s shown, err error) {
	kind, deleted := rtnl.KindOf(h.Type)
	sign := "+ "
	if deleted {
		sign = "- "
	}
	switch kind {
	case rtnl.KindLink:
		var l rtnl.Link
		err = rtnl.DecodeLink(body, &l)
		if l.Kind == "tun" {
			l.Kind, l.Data = "", ""
		}
		l.PermAddr = rtnl.HWAddr{}
		s.object = fmt.Sprintf("link %d family %d", l.Index, l.Family)
		s.text = fmt.Sprintf("%s\n      %+v", rtnl.FormatLink(&l, nil), l)
	case rtnl.KindAddr:
		var a rtnl.Addr
		err = rtnl.DecodeAddr(body, &a)
		for _, life := range []*uint32{&a.Valid, &a.Preferred} {
			if *life != rtnl.LifetimeForever && *life != 0 {
				*life = 1
			}
		}
		s.object = fmt.Sprintf("addr %d %v/%d", a.Index, a.Local, a.PrefixLen)
		s.text = fmt.Sprintf("%s\n      %+v", rtnl.FormatAddr(&a, nil), a)
	case rtnl.KindRoute:
		var r rtnl.Route
		err = rtnl.DecodeRoute(body, &r)
		if r.Expires > 0 {
			r.Expires = 1
		}
		s.object = fmt.Sprintf("route table %d %v src %v tos %d metric %d", r.Table, r.Dst, r.Src, r.TOS, r.Priority)
		if r.Family == unix.AF_INET6 && r.Protocol == unix.RTPROT_KERNEL {
			s.object += fmt.Sprintf(" oif %d", r.Oif)
		}
		said := h.Flags & (unix.NLM_F_REPLACE | unix.NLM_F_EXCL | unix.NLM_F_CREATE | unix.NLM_F_APPEND)
		if r.Family == unix.AF_INET6 && r.Protocol == unix.RTPROT_KERNEL {
			said &^= unix.NLM_F_EXCL
			s.unordered = fmt.Sprintf("%d %v %d", r.Table, r.Dst, r.Priority)
		}
		s.text = fmt.Sprintf("%s flags %#x\n      %+v", rtnl.FormatRoute(&r, nil), said, r)
	case rtnl.KindRule:
		var r rtnl.Rule
		err = rtnl.DecodeRule(body, &r)
		s.object = fmt.Sprintf("rule %d %d", r.Family, r.Priority)
		s.text = fmt.Sprintf("%s\n      %+v", rtnl.FormatRule(&r, nil), r)
	case rtnl.KindNeigh:
		var n rtnl.Neigh
		err = rtnl.DecodeNeigh(body, &n)
		s.object = fmt.Sprintf("neigh %d %v", n.Index, n.Dst)
		s.text = fmt.Sprintf("%s\n      %+v", rtnl.FormatNeigh(&n, nil), n)
	case rtnl.KindNetconf:
		var n rtnl.Netconf
		err = rtnl.DecodeNetconf(body, &n)
		s.object = fmt.Sprintf("netconf %d %d", n.Family, n.Index)
		s.text = rtnl.FormatNetconf(&n, nil)
	default:
		err = fmt.Errorf("message of type %d", h.Type)
	}
	s.text = sign + s.text
	return s, err
}

// history is what was announced, per object. A link that is announced twice
// with nothing changed counts once: the kernel repeats itself when features,
// queues or counters change, which rtnl.Link does not have. For the same reason
// only the last state of a bridge counts of those that one operation announces:
// a port that joins or leaves can change its features in between.
type history struct {
	objects map[string][]string
	order   []string
	count   int
	before  map[string]int // messages of an object before this operation
}

// fold ends an operation.
func (hi *history) fold() {
	if hi.before == nil {
		hi.before = map[string]int{}
	}
	for object, all := range hi.objects {
		start := hi.before[object]
		if len(all) > start && strings.HasSuffix(object, "family 0") && strings.Contains(all[start], " kind bridge") {
			hi.objects[object] = foldBridge(all, start)
		}
		hi.before[object] = len(hi.objects[object])
	}
}

func foldBridge(all []string, start int) []string {
	kept := slices.Clone(all[:start])
	for i, s := range all[start:] {
		if next := start + i + 1; next < len(all) && strings.HasPrefix(s, "+") && strings.HasPrefix(all[next], "+") {
			continue
		}
		if len(kept) == 0 || kept[len(kept)-1] != s {
			kept = append(kept, s)
		}
	}
	return kept
}

func (hi *history) add(datagram []byte) error {
	if hi.objects == nil {
		hi.objects = map[string][]string{}
	}
	for len(datagram) > 0 {
		h, body, rest, err := rtnl.NextMessage(datagram)
		if err != nil {
			return err
		}
		datagram = rest
		s, err := normal(h, body)
		if err != nil {
			return err
		}
		old, known := hi.objects[s.object]
		if !known {
			hi.order = append(hi.order, s.object)
		}
		if kind, _ := rtnl.KindOf(h.Type); kind == rtnl.KindLink && known && old[len(old)-1] == s.text {
			continue
		}
		hi.objects[s.object] = append(old, s.text)
		hi.count++
	}
	return nil
}

// texts are the messages of a dump.
func texts(datagrams [][]byte) (all []string, err error) {
	run, start := "", 0
	for _, b := range datagrams {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				return nil, err
			}
			b = rest
			if h.Type == unix.NLMSG_DONE {
				continue
			}
			s, err := normal(h, body)
			if err != nil {
				return nil, err
			}
			all = append(all, s.text)
			if s.unordered == "" || s.unordered != run {
				run, start = s.unordered, len(all)-1
			}
			slices.Sort(all[start:])
		}
	}
	return all, nil
}
