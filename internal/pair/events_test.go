package pair_test

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/pair"
	"netbraid/rtnl"
)

// squatter marks links that others have made with the name of a companion.
const squatter = 77

type event struct {
	name string
	do   func(*world)
}

func names(events []event) (out []string) {
	for _, e := range events {
		out = append(out, e.name)
	}
	return out
}

func (w *world) random() {
	pick := func(events []event) {
		e := events[w.rng.IntN(len(events))]
		w.counts[e.name]++
		w.note("* %s", e.name)
		e.do(w)
	}
	switch p := w.rng.IntN(100); {
	case p < 60:
		for range 1 + w.rng.IntN(4) {
			w.drive(w.rng.IntN)
		}
	case p < 68:
		w.advance(time.Duration(w.rng.IntN(400)) * time.Millisecond)
	case p < 88:
		pick(linuxEvents)
	case p < 98:
		pick(dataplaneEvents)
	default:
		pick(processEvents)
	}
}

func (w *world) space() *space { return w.spaces[w.rng.IntN(2)] }

// someLink is a companion or a VLAN link on one.
func (w *world) someLink() (*space, *rtnl.Link) {
	s := w.space()
	var ls []rtnl.Link
	for _, l := range s.links() {
		if l.Name != "lo" && l.Kind != "vrf" && l.TxQLen != squatter {
			ls = append(ls, l)
		}
	}
	if len(ls) == 0 || s.gone {
		return s, nil
	}
	return s, &ls[w.rng.IntN(len(ls))]
}

func onLink(f func(w *world, s *space, l *rtnl.Link)) func(*world) {
	return func(w *world) {
		if s, l := w.someLink(); l != nil {
			f(w, s, l)
		}
	}
}

func (w *world) prefix() netip.Prefix {
	if w.rng.IntN(2) == 0 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(w.rng.IntN(3)), byte(w.rng.IntN(2)), byte(1 + w.rng.IntN(3))}), []int{16, 24, 32}[w.rng.IntN(3)])
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(w.rng.IntN(3)), 15: byte(1 + w.rng.IntN(3))}), []int{64, 128}[w.rng.IntN(2)])
}

// route is a random route through a link; those of a namespace are its own.
func (w *world) route(s *space, oif uint32) *rtnl.Route {
	n := byte(w.rng.IntN(4))
	r := &rtnl.Route{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST, Oif: oif,
		Flags: unix.RTNH_F_ONLINK, Gateway: netip.AddrFrom4([4]byte{192, 0, 2, n}), Priority: uint32(w.rng.IntN(2)),
		Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200 + byte(s.ns), n, 0}), 24)}
	if w.rng.IntN(2) == 0 {
		r.Family, r.Gateway = unix.AF_INET6, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb9, 15: n})
		r.Dst = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xba, byte(s.ns), n}), 48)
		r.Priority += 100
	}
	return r
}

func (w *world) mtu() uint32 { return []uint32{1280, 1400, 1500, 4000, 9000, 9300}[w.rng.IntN(6)] }

func (w *world) mac() rtnl.HWAddr { return rtnl.MAC([6]byte{2, 0, 0, 0, 1, byte(w.rng.IntN(4))}) }

// set switches something in a namespace on or off, which it may not have.
func (w *world) set(s *space, file string) {
	value := fmt.Sprint(w.rng.IntN(2))
	w.note("%s = %s: %v", file, value, s.kern.WriteSysctl("/proc/sys/net/"+file, value))
}

func upFlag(on bool) rtnl.Link {
	if on {
		return rtnl.Link{Flags: unix.IFF_UP}
	}
	return rtnl.Link{}
}

var linuxEvents = []event{
	{"labels are let in on a link, or not", onLink(func(w *world, s *space, l *rtnl.Link) { w.set(s, "mpls/conf/"+l.Name+"/input") })},
	{"routes without carrier are passed over, or not", onLink(func(w *world, s *space, l *rtnl.Link) {
		if n, host := strings.CutPrefix(l.Name, "host"); host && w.rng.IntN(2) == 0 { // there is one
			s.request(routeMsg(unix.RTM_NEWROUTE, w.route(s, l.Index)))
			w.dp.SetCarrier("phy"+n, false)
		}
		at := []string{l.Name, l.Name, "all", "default"}[w.rng.IntN(4)]
		w.set(s, []string{"ipv4", "ipv6"}[w.rng.IntN(2)]+"/conf/"+at+"/ignore_routes_with_linkdown")
	})},
	{"a link goes up or down", onLink(func(w *world, s *space, l *rtnl.Link) {
		s.request(linkSet(l.Index, rtnl.LinkUp, upFlag(w.rng.IntN(5) > 0)))
	})},
	{"a link bounces", onLink(func(w *world, s *space, l *rtnl.Link) {
		up := l.Flags&unix.IFF_UP != 0
		s.request(linkSet(l.Index, rtnl.LinkUp, upFlag(!up)))
		s.request(linkSet(l.Index, rtnl.LinkUp, upFlag(up)))
	})},
	{"a link gets an MTU", onLink(func(w *world, s *space, l *rtnl.Link) {
		s.request(linkSet(l.Index, rtnl.LinkMTU, rtnl.Link{MTU: w.mtu()}))
	})},
	{"a link gets a MAC", onLink(func(w *world, s *space, l *rtnl.Link) {
		s.request(linkSet(l.Index, rtnl.LinkAddr, rtnl.Link{Addr: w.mac()}))
	})},
	{"a link gets an address", onLink(func(w *world, s *space, l *rtnl.Link) {
		peer := netip.Addr{}
		if p := w.prefix(); p.Addr().Is4() && w.rng.IntN(5) == 0 {
			peer = netip.AddrFrom4([4]byte{10, 99, 0, 1})
			s.request(addrMsg(unix.RTM_NEWADDR, l.Index, netip.PrefixFrom(p.Addr(), 32), peer))
		} else {
			s.request(addrMsg(unix.RTM_NEWADDR, l.Index, p, peer))
		}
	})},
	{"a link gets an address", onLink(func(w *world, s *space, l *rtnl.Link) {
		s.request(addrMsg(unix.RTM_NEWADDR, l.Index, w.prefix(), netip.Addr{}))
	})},
	{"a link loses an address", onLink(func(w *world, s *space, l *rtnl.Link) {
		for _, a := range s.addrs() {
			if a.Index == l.Index && w.rng.IntN(2) == 0 {
				s.request(rtnl.AppendAddr(nil, unix.RTM_DELADDR, unix.NLM_F_REQUEST, 0, &a))
				return
			}
		}
	})},
	{"a VLAN link comes", onLink(func(w *world, s *space, l *rtnl.Link) {
		name := fmt.Sprintf("v%d", w.rng.IntN(6))
		flags := uint32(0)
		if w.rng.IntN(6) == 0 {
			flags = 1 | 4 // loose binding
		}
		s.request(addVLAN(l.Index, name, uint16(1+w.rng.IntN(3)), w.rng.IntN(3) == 0, flags))
	})},
	{"a VLAN link goes", onLink(func(w *world, s *space, l *rtnl.Link) {
		if l.Kind == "vlan" {
			s.remove(l.Index)
		}
	})},
	{"a companion is deleted", onLink(func(w *world, s *space, l *rtnl.Link) {
		if l.Kind != "vlan" && w.rng.IntN(3) == 0 {
			s.remove(l.Index)
		}
	})},
	{"a neighbour changes", onLink(func(w *world, s *space, l *rtnl.Link) {
		state := []uint16{unix.NUD_PERMANENT, unix.NUD_PERMANENT, unix.NUD_REACHABLE, unix.NUD_STALE, unix.NUD_FAILED}[w.rng.IntN(5)]
		typ := uint16(unix.RTM_NEWNEIGH)
		if w.rng.IntN(4) == 0 {
			typ = unix.RTM_DELNEIGH
		}
		mac := w.mac()
		if state == unix.NUD_FAILED {
			mac = rtnl.HWAddr{}
		}
		s.request(neighMsg(typ, l.Index, w.prefix().Addr(), mac, state))
	})},
	{"a route comes", onLink(func(w *world, s *space, l *rtnl.Link) {
		s.request(routeMsg(unix.RTM_NEWROUTE, w.route(s, l.Index)))
	})},
	{"a route goes", onLink(func(w *world, s *space, l *rtnl.Link) {
		s.request(routeMsg(unix.RTM_DELROUTE, w.route(s, l.Index)))
	})},
	{"loopback gets or loses an address", func(w *world) {
		s, p := w.space(), w.prefix()
		if s.request(addrMsg(unix.RTM_NEWADDR, 1, p, netip.Addr{})) != nil {
			s.request(addrMsg(unix.RTM_DELADDR, 1, p, netip.Addr{}))
		}
	}},
	{"a VRF takes or gives back a link", func(w *world) { w.vrf() }},
	{"notifications are lost", func(w *world) { w.space().kern.Overflow() }},
	{"somebody takes a name", func(w *world) {
		s := w.space()
		if index, err := s.kern.AddHardware(fmt.Sprintf("host%d", w.rng.IntN(3))); err == nil {
			s.request(linkSet(index, rtnl.LinkTxQLen, rtnl.Link{TxQLen: squatter}))
		}
	}},
	{"a namespace ends or comes back", func(w *world) {
		s := w.spaces[1]
		if w.rng.IntN(2) == 0 {
			return
		}
		if s.gone {
			w.returns(s)
			return
		}
		w.ends(s)
	}},
}

// ends lets a namespace die with everything in it.
func (w *world) ends(s *space) {
	for _, l := range s.links() {
		if l.Index != 1 && l.Kind != "vlan" {
			s.remove(l.Index)
		}
	}
	for _, l := range s.links() {
		for _, a := range s.addrs() {
			if a.Index == l.Index {
				s.request(rtnl.AppendAddr(nil, unix.RTM_DELADDR, unix.NLM_F_REQUEST, 0, &a))
			}
		}
	}
	w.listen(s, 1<<30)
	s.kern.Subscribe() // nobody hears anything any more
	clear(s.vrf)
	clear(s.master)
	s.gone = true
	epoch := s.epoch
	s.inbox = append(s.inbox, func() { s.mirror.Lost(w.now, epoch) })
}

func (w *world) returns(s *space) {
	s.gone = false
	w.note("ns%d is back", s.ns)
}

// vrf puts a link into a VRF or takes it out.
func (w *world) vrf() {
	for _, s := range w.spaces {
		w.listen(s, 1<<30)
	}
	s, l := w.someLink()
	if l == nil {
		return
	}
	n := uint32(10 + w.rng.IntN(2))
	name := fmt.Sprintf("vrf%d", n)
	index, there := s.kern.Index(name)
	if !there {
		var err error
		if index, err = s.kern.AddHardware(name); err != nil {
			return
		}
		s.vrf[index] = n
		w.announce(s, index)
	}
	if s.master[l.Index] != 0 && w.rng.IntN(2) == 0 {
		delete(s.master, l.Index)
	} else {
		s.master[l.Index] = index
	}
	w.announce(s, l.Index)
}

// someIface is a phy or a sub-interface.
func (w *world) someIface() *dataplane.Interface {
	var out []dataplane.Interface
	for _, i := range w.dp.Has().Interfaces {
		if !i.Companion {
			out = append(out, i)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &out[w.rng.IntN(len(out))]
}

func onIface(f func(w *world, i *dataplane.Interface)) func(*world) {
	return func(w *world) {
		if i := w.someIface(); i != nil {
			f(w, i)
		}
	}
}

func outside(f func(w *world, i *dataplane.Interface) dataplane.Op) func(*world) {
	return onIface(func(w *world, i *dataplane.Interface) {
		op := f(w, i)
		op.Index = i.Index
		w.note("outside %s: %v", opString(&op), w.dp.Outside(&op))
	})
}

var dataplaneEvents = []event{
	{"labels are let in on an interface, or not", outside(func(w *world, i *dataplane.Interface) dataplane.Op {
		return dataplane.Op{Kind: dataplane.SetMPLS, On: w.rng.IntN(2) == 0}
	})},
	{"a phy comes or goes", func(w *world) {
		name := fmt.Sprintf("phy%d", w.rng.IntN(3))
		if w.dp.Named(name) == nil {
			w.dp.AddPhy(name, dataplane.Ethernet)
		} else if w.rng.IntN(3) == 0 {
			w.dp.DelPhy(name)
		}
	}},
	{"a wire is plugged", func(w *world) { w.dp.SetCarrier(fmt.Sprintf("phy%d", w.rng.IntN(3)), w.rng.IntN(3) > 0) }},
	{"somebody sets the admin state there", outside(func(w *world, i *dataplane.Interface) dataplane.Op {
		return dataplane.Op{Kind: dataplane.SetUp, On: w.rng.IntN(3) > 0}
	})},
	{"somebody sets an MTU there", outside(func(w *world, i *dataplane.Interface) dataplane.Op {
		return dataplane.Op{Kind: dataplane.SetMTU, Value: w.mtu()}
	})},
	{"somebody sets a MAC there", outside(func(w *world, i *dataplane.Interface) dataplane.Op {
		return dataplane.Op{Kind: dataplane.SetMAC, MAC: w.mac()}
	})},
	{"somebody adds an address there", outside(func(w *world, i *dataplane.Interface) dataplane.Op {
		return dataplane.Op{Kind: dataplane.AddrAdd, Prefix: w.prefix()}
	})},
	{"somebody removes an address there", outside(func(w *world, i *dataplane.Interface) dataplane.Op {
		op := dataplane.Op{Kind: dataplane.AddrDel, Prefix: w.prefix()}
		if ps := w.dp.Addrs(i.Index); len(ps) > 0 {
			op.Prefix = ps[w.rng.IntN(len(ps))]
		}
		return op
	})},
	{"a sub-interface comes there", onIface(func(w *world, i *dataplane.Interface) {
		sub := dataplane.Sub{Outer: uint16(1 + w.rng.IntN(3)), OuterAD: w.rng.IntN(3) == 0, Exact: true}
		if w.rng.IntN(3) == 0 {
			sub.Inner, sub.InnerAD = uint16(1+w.rng.IntN(3)), w.rng.IntN(3) == 0
		}
		op := dataplane.Op{Kind: dataplane.SubAdd, Index: i.Index, Sub: sub}
		w.note("outside %s: %v", opString(&op), w.dp.Outside(&op))
	})},
	{"a sub-interface goes there", onIface(func(w *world, i *dataplane.Interface) {
		if i.Parent != dataplane.NoIndex {
			w.dp.Outside(&dataplane.Op{Kind: dataplane.SubDel, Index: i.Index})
		}
	})},
	{"somebody takes a pair apart there", onIface(func(w *world, i *dataplane.Interface) {
		if w.rng.IntN(4) == 0 {
			w.dp.Outside(&dataplane.Op{Kind: dataplane.PairDel, Index: i.Index, Pair: &dataplane.Pair{Phy: i.Index}})
		}
	})},
	{"the connection is lost", func(w *world) {
		if w.rng.IntN(2) == 0 {
			w.plane.Lose()
		}
	}},
	{"the dataplane restarts with what it has", func(w *world) {
		if w.rng.IntN(3) == 0 {
			w.dp.Restart(true)
		}
	}},
	{"the dataplane restarts with nothing", func(w *world) {
		if w.rng.IntN(3) == 0 {
			w.dp.Restart(false)
		}
	}},
	{"the dataplane cannot be reached", func(w *world) {
		w.dp.Unreachable = fmt.Errorf("no such socket")
		if w.rng.IntN(2) == 0 {
			w.dp.Unreachable = nil
		}
	}},
}

var processEvents = []event{
	{"other pairs are configured", func(w *world) { w.configure(w.someSpecs()...) }},
	{"the process is killed and starts again", func(w *world) {
		if w.rng.IntN(3) == 0 {
			w.start()
		}
	}},
}

// someSpecs is a random configuration.
func (w *world) someSpecs() (out []pair.Spec) {
	for i := range 3 {
		if w.rng.IntN(6) == 0 {
			continue
		}
		s := spec(i, i%2)
		s.Sync = w.rng.IntN(4) > 0
		s.AutoSubif = w.rng.IntN(4) > 0
		s.MPLS = []pair.MPLS{pair.MPLSFollows, pair.MPLSFollows, pair.MPLSOn, pair.MPLSOff}[w.rng.IntN(4)]
		out = append(out, s)
	}
	return out
}
