package plan

import (
	"errors"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// Message encodes the operation as one rtnetlink request; nil for a sysctl.
func (o *Op) Message() []byte {
	const add = unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE
	// Where nothing is there, what somebody else sets meanwhile must not be
	// replaced.
	how := uint16(unix.NLM_F_EXCL)
	if o.Replace {
		how = unix.NLM_F_REPLACE
	}
	const del = unix.NLM_F_REQUEST | unix.NLM_F_ACK
	switch o.Kind {
	case LinkCreate:
		return rtnl.AppendLink(nil, unix.RTM_NEWLINK, add|unix.NLM_F_EXCL, 0, o.Link)
	case LinkSet:
		return rtnl.AppendLink(nil, unix.RTM_NEWLINK, del, 0, o.Link)
	case LinkDelete:
		return rtnl.AppendLink(nil, unix.RTM_DELLINK, del, 0, o.Link)
	case AddrAdd:
		return rtnl.AppendAddr(nil, unix.RTM_NEWADDR, add|how, 0, o.Addr)
	case AddrDel:
		return rtnl.AppendAddr(nil, unix.RTM_DELADDR, del, 0, o.Addr)
	case RouteAdd:
		return rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, add|how, 0, o.Route)
	case RouteDel:
		return rtnl.AppendRoute(nil, unix.RTM_DELROUTE, del, 0, o.Route)
	case RuleAdd:
		return rtnl.AppendRule(nil, unix.RTM_NEWRULE, add|unix.NLM_F_EXCL, 0, o.Rule)
	case RuleDel:
		return rtnl.AppendRule(nil, unix.RTM_DELRULE, del, 0, o.Rule)
	case NeighAdd: // what the kernel has learned is replaced
		return rtnl.AppendNeigh(nil, unix.RTM_NEWNEIGH, add|unix.NLM_F_REPLACE, 0, o.Neigh)
	case NeighDel:
		return rtnl.AppendNeigh(nil, unix.RTM_DELNEIGH, del, 0, o.Neigh)
	}
	return nil
}

// ErrPredecessor is the result of an operation that was not tried because one
// that it builds on has failed.
var ErrPredecessor = errors.New("not tried: an operation that this one builds on has failed")

// Stages cuts a batch where the operations that follow must know how those
// before ended: an old address goes only when its successor is there.
func Stages(ops []*Op) [][]*Op {
	for i, o := range ops {
		if o.rank >= rankRuleDel && i > 0 {
			return [][]*Op{ops[:i], ops[i:]}
		}
	}
	return [][]*Op{ops}
}

// Blocked tells whether op must not be tried, given what failed before it.
func Blocked(op *Op, failed []*Op) bool {
	if op.Kind != AddrDel {
		return false
	}
	for _, f := range failed {
		if f.Kind == AddrAdd && f.Device == op.Device {
			return true
		}
	}
	return false
}

// Gone tells whether an error says that what was to be removed is not there:
// then the operation has its effect.
func Gone(op *Op, err error) bool {
	switch op.Kind {
	case LinkDelete:
		return errors.Is(err, unix.ENODEV)
	case AddrDel:
		return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV)
	case RouteDel:
		return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV)
	case RuleDel:
		return errors.Is(err, unix.ENOENT)
	case NeighDel:
		return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
	case RuleAdd:
		return errors.Is(err, unix.EEXIST)
	}
	return false
}
