package iface

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/internal/proto"
	"netbraid/rtnl"
)

// l3Wait is how long a handler's layer 3 device may take to be there.
const l3Wait = 5 * time.Second

// external is what only a handler outside brings to an interface.
type external struct {
	blocked     bool // not to be started again by itself; what runs may go on
	unavailable bool // the handler says that it cannot run
	available   bool // the handler says that it can, without a device
	lost        bool // the way to a host that it needs is not there
	l3Seen      bool // the layer 3 device has been there
	l3Link      bool // and had a carrier
	l3By        time.Time
	offerEnds   time.Time // when something of the offer is over
	effects     []proto.Output
	answer      proto.Status
}

// wanted tells whether somebody wants the interface up: one that is blocked
// goes on as long as it is not down.
func (m *Machine) wanted() bool { return m.Autostart || m.blocked && m.state != Down }

// withheld tells whether handler, host dependency or an interface that it
// depends on keep the interface down.
func (m *Machine) withheld() bool { return m.unavailable || m.lost || m.waiting }

// availableAlone tells whether an interface that needs no device can be
// brought up.
func (m *Machine) availableAlone() bool {
	return !m.spec.Flags.External || m.spec.Flags.InitAvailable || m.available
}

// SetHostLost tells whether the way to a host that the interface needs is
// missing: then it is not available.
func (m *Machine) SetHostLost(lost bool) { m.lost = lost }

// HostLost tells what SetHostLost was told.
func (m *Machine) HostLost() bool { return m.lost }

// outside takes the outputs that only a handler outside has.
func (m *Machine) outside(out *proto.Output) {
	switch out.Kind {
	case proto.Report:
		m.addError(Error{m.Config.Proto, out.Code, out.Data, out.Message})
	case proto.BlockRestart:
		m.Autostart, m.blocked = false, true
	case proto.SetAvailable:
		m.unavailable, m.available = !out.Available, out.Available
	case proto.Answer:
		m.answer = out.Status
	default:
		m.effects = append(m.effects, *out)
	}
}

// Effects returns and clears what the handler wants done outside: programs to
// be started and stopped, the way to a host, lines for the log.
func (m *Machine) Effects() []proto.Output {
	out := m.effects
	m.effects = nil
	return out
}

// Notify hands a message of the handler's programs to it, and gives the answer
// to who sent it.
func (m *Machine) Notify(now time.Time, n *proto.Notify) proto.Status {
	m.answer = proto.StatusOK
	m.tell(now, proto.Input{Kind: proto.Message, Payload: n})
	return m.answer
}

// Exited tells that a program of the handler has ended.
func (m *Machine) Exited(now time.Time, e proto.Exit) {
	m.tell(now, proto.Input{Kind: proto.Ended, Exit: e})
	m.Check(now)
}

// settledDown forgets old failures when the interface had been up for long
// enough: a program that comes up and dies again and again backs off too.
func (m *Machine) settledDown(now time.Time) {
	if !m.upSince.IsZero() && now.Sub(m.upSince) > backoffMax {
		m.attempts = 0
	}
}

// ended is the end of a handler's run.
func (m *Machine) ended() {
	m.blocked = false
	m.upSince = time.Time{}
	if m.spec.Flags.External {
		m.effects = append(m.effects, proto.Output{Kind: proto.Sweep})
	}
}

// checkL3 tells the handler when its layer 3 device has gone, has lost the
// carrier that it needs, or does not come.
func (m *Machine) checkL3(now time.Time) {
	l3 := m.L3Device()
	if l3 == "" || l3 == m.device || m.state != Up && m.state != SettingUp {
		m.l3Seen, m.l3Link, m.l3By = false, false, time.Time{}
		return
	}
	present, _, link, _ := m.devs.State(l3)
	gone := m.l3Seen && !present || m.l3Link && !link && m.spec.Flags.TeardownOnL3LinkDown
	m.l3Seen, m.l3Link = m.l3Seen || present, link
	switch {
	case present:
		m.l3By = time.Time{}
	case m.l3By.IsZero():
		m.l3By = now.Add(l3Wait)
	case !now.Before(m.l3By):
		gone = true
	}
	if gone {
		m.l3Seen, m.l3Link, m.l3By = false, false, time.Time{}
		m.tell(now, proto.Input{Kind: proto.L3Gone})
	}
}

// L3Absent tells that the layer 3 device, which an update has just named, is not
// there yet: the interface is up again when it is.
func (m *Machine) L3Absent() {
	if m.state == Up {
		m.state, m.settling = SettingUp, true
		m.notices = append(m.notices, IfDown)
	}
}

// expire takes off what is over.
func (m *Machine) expire(now time.Time) {
	if m.offer == nil || m.offerEnds.IsZero() || now.Before(m.offerEnds) {
		return
	}
	left, next := m.offer.Expire(now)
	m.offerEnds = next
	if left == m.offer {
		return
	}
	m.updated = Updated{}
	m.updated.Addresses, m.updated.Routes, m.updated.Prefixes, m.updated.Data = m.offer.Difference(left)
	m.offer, m.dirty = left, true
	if m.state == Up {
		m.notices = append(m.notices, IfUpdate)
	}
}

// lifetime says when an address ends, for those that do.
func lifetime(o *plan.Objects, ka *rtnl.Addr, a *config.StaticAddr) {
	if a.ValidUntil.IsZero() && a.PreferredUntil.IsZero() {
		return
	}
	if o.Lifetimes == nil {
		o.Lifetimes = map[model.AddrKey]plan.Lifetime{}
	}
	o.Lifetimes[model.KeyOfAddr(0, ka)] = plan.Lifetime{Preferred: a.PreferredUntil, Valid: a.ValidUntil}
	if !a.PreferredUntil.IsZero() {
		ka.Preferred = plan.Lasting
	}
	if !a.ValidUntil.IsZero() {
		ka.Valid = plan.Lasting
	}
}

// unreachableMetric is the metric of what is to be reached only by longer
// prefixes (netifd's).
const unreachableMetric = 2147483647

// unreachable keeps what is in a prefix that is not on the link from taking the
// default route.
func unreachable(p netip.Prefix) rtnl.Route {
	return rtnl.Route{Family: unix.AF_INET6, Dst: p.Masked(), Priority: unreachableMetric, Table: unix.RT_TABLE_MAIN,
		Type: unix.RTN_UNREACHABLE, Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_UNIVERSE}
}

// IdleRoutes lists the default routes of the protocol that option defaultroute
// keeps out.
func (m *Machine) IdleRoutes() (out []config.Route) {
	if m.offer == nil || m.Config.DefaultRoute {
		return nil
	}
	for _, gw := range []netip.Addr{m.offer.Gateway6, m.offer.Gateway4} {
		if gw.IsValid() {
			out = append(out, config.Route{Interface: m.Config.Name, Family: family(gw), Target: anyPrefix(gw), Gateway: gw})
		}
	}
	for _, r := range m.offer.Routes {
		if r.Target.Bits() == 0 {
			out = append(out, r)
		}
	}
	return out
}
