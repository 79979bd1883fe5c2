package dryrun

import (
	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// echo says what the kernel would announce when it does an operation: the
// object as asked for. It is an optimist: everything succeeds, and a link that
// comes up has carrier.
type echo struct {
	state  *mirror.Engine
	sysctl map[model.SysctlKey]string
	epoch  uint32
	made   uint32 // links of Open vSwitch
}

// do returns the notifications of an operation and its result.
func (e *echo) do(op *plan.Op) (core.Notified, plan.Result) {
	n := core.Notified{Epoch: e.epoch}
	res := plan.Result{ID: op.ID}
	switch op.Kind {
	case plan.LinkCreate:
		n.Data = e.create(op)
	case plan.LinkSet:
		n.Data = e.set(op.Link)
	case plan.LinkDelete:
		n.Data = e.remove(op.Link.Index)
	case plan.AddrAdd:
		n.Data = rtnl.AppendAddr(nil, unix.RTM_NEWADDR, 0, 0, op.Addr)
	case plan.AddrDel:
		n.Data = rtnl.AppendAddr(nil, unix.RTM_DELADDR, 0, 0, op.Addr)
	case plan.RouteAdd:
		n.Data = rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, unix.NLM_F_REPLACE, 0, op.Route)
	case plan.RouteDel:
		n.Data = rtnl.AppendRoute(nil, unix.RTM_DELROUTE, 0, 0, op.Route)
	case plan.RuleAdd:
		n.Data = rtnl.AppendRule(nil, unix.RTM_NEWRULE, 0, 0, op.Rule)
	case plan.RuleDel:
		n.Data = rtnl.AppendRule(nil, unix.RTM_DELRULE, 0, 0, op.Rule)
	case plan.NeighAdd:
		n.Data = rtnl.AppendNeigh(nil, unix.RTM_NEWNEIGH, 0, 0, op.Neigh)
	case plan.NeighDel:
		n.Data = rtnl.AppendNeigh(nil, unix.RTM_DELNEIGH, 0, 0, op.Neigh)
	case plan.SysctlSet:
		e.sysctl[op.Sysctl] = op.Value
		res.Value = op.Value
	}
	return n, res
}

func (e *echo) create(op *plan.Op) []byte {
	l := rtnl.Link{Index: op.Link.Index, Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST,
		Name: op.Device, MTU: 1500, TxQLen: 1000, Kind: op.Link.Kind, ParentNSID: -1}
	rest := op.Link.Set
	rest.Copy(&l, &op.Link.Link)
	e.carrier(&l)
	var out []byte
	if p := op.Link.Peer; p != nil {
		peer := rtnl.Link{Index: p.Index, Type: l.Type, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, Name: p.Name,
			MTU: l.MTU, TxQLen: l.TxQLen, Kind: l.Kind, Addr: p.Addr, Parent: l.Index, ParentNSID: -1}
		l.Parent = p.Index
		out = rtnl.AppendLinkInfo(out, unix.RTM_NEWLINK, 0, 0, &peer)
	}
	return rtnl.AppendLinkInfo(out, unix.RTM_NEWLINK, 0, 0, &l)
}

// firstSwitchLink is the first number of a link that Open vSwitch would make:
// the kernel counts from below.
const firstSwitchLink = 1 << 30

// switches gives the links that Open vSwitch would make for bridges, those that
// are not there.
func (e *echo) switches(want []model.Switch) (out []byte) {
	link := func(name string) {
		if e.state.LinkByName(name) != nil {
			return
		}
		l := rtnl.Link{Index: firstSwitchLink + e.made, Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, Name: name, MTU: 1500, TxQLen: 1000, Kind: "openvswitch", ParentNSID: -1}
		out = rtnl.AppendLinkInfo(out, unix.RTM_NEWLINK, 0, 0, &l)
		e.made++
	}
	for _, s := range want {
		link(s.Name)
		for _, p := range s.Ports {
			if p.Type == "internal" {
				link(p.Name)
			}
		}
	}
	return out
}

func (e *echo) carrier(l *rtnl.Link) {
	l.Carrier = l.Flags&unix.IFF_UP != 0
	l.Flags &^= unix.IFF_RUNNING | unix.IFF_LOWER_UP
	if l.Carrier {
		l.Flags |= unix.IFF_RUNNING | unix.IFF_LOWER_UP
	}
}

func (e *echo) set(r *rtnl.LinkRequest) []byte {
	have := e.state.Link(r.Index)
	if have == nil {
		return nil
	}
	l := *have
	r.Set.Copy(&l, &r.Link)
	if r.Set&rtnl.LinkUp != 0 {
		e.carrier(&l)
	}
	if r.Set&rtnl.LinkMaster != 0 {
		l.PortKind = ""
		if m := e.state.Link(l.Master); m != nil {
			l.PortKind = m.Kind
		}
	}
	return rtnl.AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, &l)
}

// remove takes a link away with what goes with it: the other end of a veth
// pair, what is built on it; its ports are free.
func (e *echo) remove(index uint32) (out []byte) {
	gone := e.state.Link(index)
	if gone == nil {
		return nil
	}
	e.state.Each(func(l *rtnl.Link) {
		switch {
		case l.Master == index:
			free := *l
			free.Master, free.PortKind = 0, ""
			out = rtnl.AppendLinkInfo(out, unix.RTM_NEWLINK, 0, 0, &free)
		case l.Parent == index && l.Index != index && l.ParentNSID < 0:
			out = rtnl.AppendLinkInfo(out, unix.RTM_DELLINK, 0, 0, l)
		}
	}, nil, nil, nil)
	return rtnl.AppendLinkInfo(out, unix.RTM_DELLINK, 0, 0, gone)
}
