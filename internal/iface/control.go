package iface

import (
	"time"

	"netbraid/internal/config"
	"netbraid/internal/proto"
)

// CommandUp is `ifup`: the interface is to be up from now on; old errors and
// delays are forgotten. On an interface that is up it does nothing.
func (m *Machine) CommandUp(now time.Time) {
	m.Autostart, m.blocked = true, false
	if m.state == Down {
		if !m.spec.Flags.LastError {
			m.errors = nil
		}
		m.attempts, m.retryAt = 0, time.Time{}
	}
	m.Check(now)
}

// CommandDown is `ifdown`: the interface stays down until somebody says up.
func (m *Machine) CommandDown(now time.Time) {
	m.Autostart, m.blocked = false, false
	if !m.spec.Flags.External { // what a program has said stays to be read
		m.errors = nil
	}
	m.Check(now)
}

// Restart configures a running interface anew: its handler does it where it
// can, else it goes down and up again. It returns false when there is nothing
// to restart.
func (m *Machine) Restart(now time.Time) bool {
	if m.state != Up && m.state != SettingUp {
		return false
	}
	if m.spec.Flags.Restart {
		m.tell(now, proto.Input{Kind: proto.Restart})
		return true
	}
	return m.Bounce(now)
}

// Bounce takes a running interface down and up again, whatever its handler can
// do. It returns false when there is nothing to restart.
func (m *Machine) Bounce(now time.Time) bool {
	if m.state != Up && m.state != SettingUp {
		return false
	}
	m.feed(now, evStop, nil)
	m.attempts, m.retryAt = 0, time.Time{}
	m.Check(now)
	return true
}

// Renew asks the handler to renew; false when it has nothing to renew.
func (m *Machine) Renew(now time.Time) bool {
	if !m.spec.Flags.Renew || m.state != Up && !(m.spec.Flags.External && m.state == SettingUp) {
		return false
	}
	m.tell(now, proto.Input{Kind: proto.Renew})
	return true
}

// Remove takes the interface down for good; Gone tells when it is.
func (m *Machine) Remove(now time.Time) {
	m.removing = true
	if m.state == Down {
		m.Gone = true
	}
	m.Check(now)
}

// Reconfigure takes a new configuration. live: it needs no restart.
func (m *Machine) Reconfigure(now time.Time, c *config.Interface, spec proto.Spec, live bool) {
	autoChanged := c.Auto != m.Config.Auto
	m.removing, m.Gone = false, false
	if live {
		m.errors = nil
		m.dirty = true
		if m.next != nil {
			m.next = c // still going down
		} else {
			m.Config = c
		}
		if m.offer != nil && m.state != TearingDown {
			m.tell(now, proto.Input{Kind: proto.Reconfigure})
		}
	} else {
		m.next, m.nextSpec = c, spec
		m.feed(now, evStop, nil)
		m.attempts, m.retryAt = 0, time.Time{}
		m.errors = nil
		if m.state == Down {
			m.adoptNext()
		}
	}
	if autoChanged {
		m.Autostart = c.Auto
	}
}

// adoptNext puts the waiting configuration in force: the old handler has
// finished.
func (m *Machine) adoptNext() {
	if m.next == nil {
		return
	}
	m.Config, m.spec, m.next = m.next, m.nextSpec, nil
	m.handler = m.spec.New()
	m.external = external{effects: m.effects}
	m.dirty = true
}

// SetDevice tells which device the interface sits on now; empty for none.
// With follow a running interface moves from the old to the new without being
// taken down: the new one is claimed before the old one is released.
func (m *Machine) SetDevice(now time.Time, device string, follow bool) {
	if device == m.device {
		return
	}
	old, wasClaimed := m.device, m.claimed
	moving := follow && device != "" && old != "" && (m.state == Up || m.state == SettingUp)
	if !moving {
		m.device = ""
		m.claimed = false
		m.Check(now)
	}
	m.device = device
	m.claimed = false
	m.checkClaim()
	if old != "" && wasClaimed {
		m.devs.Release(old, m.User())
	}
	m.dirty = true
	m.Check(now)
	if moving && m.state == Up {
		m.notices = append(m.notices, IfUpdate)
	}
}

// SetWaiting tells whether an interface that this one depends on is not up:
// then it is not available, which a Check acts on. Failures from before it was
// up count no more.
func (m *Machine) SetWaiting(waiting bool) {
	if m.waiting && !waiting {
		m.attempts, m.retryAt = 0, time.Time{}
	}
	m.waiting = waiting
}

// Waiting tells what SetWaiting was told.
func (m *Machine) Waiting() bool { return m.waiting }

// Deliver hands a message from outside to the handler.
func (m *Machine) Deliver(now time.Time, payload any) {
	if m.state == Down {
		return
	}
	m.tell(now, proto.Input{Kind: proto.Message, Payload: payload})
	m.Check(now)
}

// Deadline is when Tick is wanted; zero for never.
func (m *Machine) Deadline(now time.Time) time.Time {
	var t time.Time
	add := func(x time.Time) {
		if !x.IsZero() && (t.IsZero() || x.Before(t)) {
			t = x
		}
	}
	if m.state == Down && m.Autostart && m.retryAt.After(now) {
		add(m.retryAt)
	}
	add(m.wakeAt)
	add(m.lossAt)
	add(m.l3By)
	add(m.offerEnds)
	return t
}

// Tick moves whatever has become due.
func (m *Machine) Tick(now time.Time) {
	if !m.wakeAt.IsZero() && !now.Before(m.wakeAt) {
		m.wakeAt = time.Time{}
		m.tell(now, proto.Input{Kind: proto.Timer})
	}
	m.expire(now)
	m.Check(now)
}
