package sim

import (
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// A dump is sent in datagrams of at most this many octets: the kernel's
// largest, less the room of struct skb_shared_info.
const maxDatagram = 32768 - skbTail - 48

// dump collects the answer to a dump request.
type dump struct {
	seq   uint32
	out   [][]byte
	cur   []byte
	count int
}

func (d *dump) add(encode func(b []byte) []byte) {
	start := len(d.cur)
	d.cur = encode(d.cur)
	if len(d.cur) > maxDatagram && start > 0 {
		msg := append(make([]byte, 0, maxDatagram), d.cur[start:]...)
		d.out = append(d.out, d.cur[:start:start])
		d.cur = msg
	}
	d.count++
}

func (d *dump) finish() [][]byte {
	if len(d.cur) > 0 {
		d.out = append(d.out, d.cur)
	}
	return append(d.out, rtnl.AppendDone(nil, d.seq, 0))
}

// Dump answers a dump request (RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE,
// RTM_GETNEIGH, RTM_GETRULE or RTM_GETNETCONF with NLM_F_DUMP) with datagrams as the kernel
// would send them, in its order, the last with NLMSG_DONE or NLMSG_ERROR.
func (k *Kernel) Dump(req []byte) (datagrams [][]byte) {
	h, body, _, err := rtnl.NextMessage(req)
	if err != nil || len(body) == 0 {
		return [][]byte{rtnl.AppendError(nil, h.Seq, int(unix.EINVAL), h, "")}
	}
	if e := k.faults.take(h, body); e != nil {
		return [][]byte{rtnl.AppendError(nil, h.Seq, int(e.Errno), h, e.Message)}
	}
	d := &dump{seq: h.Seq}
	family := body[0]
	switch h.Type {
	case unix.RTM_GETLINK:
		k.dumpLinks(d, family, body)
	case unix.RTM_GETADDR:
		k.dumpAddrs(d, family, body)
	case unix.RTM_GETROUTE:
		if errno := k.dumpRoutes(d, family, body); errno != 0 {
			return [][]byte{rtnl.AppendDone(nil, h.Seq, int(errno))}
		}
	case unix.RTM_GETNEIGH:
		k.dumpNeighs(d, family, body)
	case unix.RTM_GETRULE:
		k.dumpRules(d, family)
	case unix.RTM_GETNETCONF:
		k.dumpNetconf(d, family)
	case unix.RTM_GETNEXTHOP: // there are none
	default:
		return [][]byte{rtnl.AppendError(nil, h.Seq, int(unix.EOPNOTSUPP), h, "")}
	}
	return k.spoil(d.finish())
}

// spoil applies the faults that were ordered for a dump.
func (k *Kernel) spoil(out [][]byte) [][]byte {
	if k.faults.interrupt {
		k.faults.interrupt = false
		for _, b := range out[len(out)/2:] {
			markInterrupted(b)
		}
	}
	if k.faults.truncate {
		k.faults.truncate = false
		out = out[:len(out)-1]
		if len(out) > 0 {
			out[len(out)-1] = halve(out[len(out)-1])
		}
	}
	return out
}

func markInterrupted(b []byte) {
	for len(b) >= unix.SizeofNlMsghdr {
		h, _, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return
		}
		flags := h.Flags | unix.NLM_F_DUMP_INTR
		native.PutUint16(b[6:], flags)
		b = rest
	}
}

// halve keeps the first half of a datagram's messages.
func halve(b []byte) []byte {
	n := 0
	for rest := b; len(rest) > 0; n++ {
		_, _, r, err := rtnl.NextMessage(rest)
		if err != nil {
			break
		}
		rest = r
	}
	at := b
	for range n / 2 {
		_, _, at, _ = rtnl.NextMessage(at)
	}
	return b[:len(b)-len(at)]
}

func (k *Kernel) dumpLinks(d *dump, family uint8, body []byte) {
	var f rtnl.Link
	_ = rtnl.DecodeLink(body, &f) // only for its master
	for _, l := range k.order {
		if f.Master != 0 && (l.master == nil || l.master.Index != f.Master) {
			continue
		}
		i := k.info(l)
		if family == unix.AF_BRIDGE {
			if l.master == nil {
				continue
			}
			i = k.portInfo(l)
		}
		d.add(func(b []byte) []byte { return rtnl.AppendLinkInfo(b, unix.RTM_NEWLINK, unix.NLM_F_MULTI, d.seq, i) })
	}
}

func (k *Kernel) dumpAddrs(d *dump, family uint8, body []byte) {
	var f rtnl.Addr
	_ = rtnl.DecodeAddr(body, &f) // only for its link
	put := func(a rtnl.Addr) {
		d.add(func(b []byte) []byte { return rtnl.AppendAddr(b, unix.RTM_NEWADDR, unix.NLM_F_MULTI, d.seq, &a) })
	}
	for _, l := range k.order {
		if l.in4 == nil || family == unix.AF_INET6 || f.Index != 0 && f.Index != l.Index {
			continue
		}
		for _, a := range l.in4.addrs {
			put(k.addrInfo4(a))
		}
	}
	for _, l := range k.order {
		if l.in6 == nil || family == unix.AF_INET || f.Index != 0 && f.Index != l.Index {
			continue
		}
		for _, a := range l.in6.addrs {
			put(k.addrInfo6(a))
		}
	}
}

func (k *Kernel) dumpRoutes(d *dump, family uint8, body []byte) unix.Errno {
	var f rtnl.Route
	_ = rtnl.DecodeRoute(body, &f) // a filter is a sparse route
	missing := f.Table != 0
	put := func(r rtnl.Route) {
		if f.Protocol != 0 && r.Protocol != f.Protocol || f.Type != 0 && r.Type != f.Type || f.Oif != 0 && !goesOut(&r, f.Oif) {
			return
		}
		d.add(func(b []byte) []byte { return rtnl.AppendRoute(b, unix.RTM_NEWROUTE, unix.NLM_F_MULTI, d.seq, &r) })
	}
	if family != unix.AF_INET6 {
		for _, id := range k.fib4.ids {
			if f.Table != 0 && f.Table != id {
				continue
			}
			missing = false
			t := k.fib4.tables[id]
			for _, p := range t.sorted() {
				for _, a := range t.nodes[p] {
					put(k.info4(t, p, a))
				}
			}
		}
	}
	if family != unix.AF_INET {
		for _, id := range k.fib6.ids {
			if f.Table != 0 && f.Table != id {
				continue
			}
			missing = false
			k.dumpTable6(k.fib6.tables[id], put)
		}
	}
	if missing && family != unix.AF_UNSPEC {
		return unix.ENOENT
	}
	return 0
}

// dumpTable6 shows a multipath route once, at its first next hop.
func (k *Kernel) dumpTable6(t *table6, put func(rtnl.Route)) {
	for _, at := range t.sorted() {
		rs := t.nodes[at]
		for i, r := range rs {
			if !r.ecmp() {
				put(k.info6(r, nil))
				continue
			}
			first := true
			for _, o := range rs[:i] {
				first = first && !(o.ecmp() && o.metric == r.metric)
			}
			if first {
				put(k.info6(r, r.siblings()))
			}
		}
	}
}

func goesOut(r *rtnl.Route, oif uint32) bool {
	if r.Oif == oif {
		return true
	}
	hops, err := rtnl.Hops(r.Multipath)
	if err != nil {
		return false
	}
	for _, h := range hops {
		if h.Oif == oif {
			return true
		}
	}
	return false
}

func (k *Kernel) dumpNeighs(d *dump, family uint8, body []byte) {
	var f rtnl.Neigh
	_ = rtnl.DecodeNeigh(body, &f) // only for its link
	for _, key := range k.neighs.sorted() {
		n := k.neighs.m[key]
		if family != unix.AF_UNSPEC && n.Family != family || f.Index != 0 && n.Index != f.Index || key.proxy {
			continue
		}
		d.add(func(b []byte) []byte { return rtnl.AppendNeigh(b, unix.RTM_NEWNEIGH, unix.NLM_F_MULTI, d.seq, n) })
	}
}

func (k *Kernel) dumpRules(d *dump, family uint8) {
	for _, f := range []int{v4, ipmr, ip6mr, v6} {
		if family != unix.AF_UNSPEC && (familyIndex(family) != f || f > v6) {
			continue
		}
		for i := range k.rules[f].rules {
			r := &k.rules[f].rules[i].Rule
			d.add(func(b []byte) []byte { return rtnl.AppendRule(b, unix.RTM_NEWRULE, unix.NLM_F_MULTI, d.seq, r) })
		}
	}
}
