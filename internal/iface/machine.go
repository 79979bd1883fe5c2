package iface

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/proto"
)

// State is where an interface stands (netifd's IFS_*).
type State uint8

// The states.
const (
	Down State = iota
	SettingUp
	Up
	TearingDown
)

func (s State) String() string { return [...]string{"DOWN", "SETUP", "UP", "TEARDOWN"}[s] }

// Notice is what an interface makes known.
type Notice uint8

// The notices.
const (
	IfUp Notice = iota
	IfDown
	IfUpdate
	IfUpFailed // a setup has failed; the interface was not up
)

// Devices is what a machine does with the device graph. The name is resolved:
// an alias never shows here.
type Devices interface {
	Claim(device, user string) bool
	Release(device, user string)
	State(device string) (present, up, link bool, ifindex uint32)
}

// Error is an entry of errors[].
type Error struct {
	Subsystem string
	Code      string
	Data      []string
	Message   string
}

// The delays after a failed setup.
const (
	backoffFirst = time.Second
	backoffMax   = 60 * time.Second
)

// Machine is one interface.
type Machine struct {
	Config   *config.Interface
	next     *config.Interface // takes effect when the interface is down
	nextSpec proto.Spec
	spec     proto.Spec
	handler  proto.Handler
	devs     Devices
	rng      *rand.Rand

	state     State
	Autostart bool
	Dynamic   bool // added at run time: removed as soon as it is torn down
	removing  bool
	Gone      bool // removed and down: to be dropped
	device    string
	claimed   bool
	settling  bool // offered; its addresses are being set
	offer     *proto.Offer
	updated   Updated
	upSince   time.Time
	errors    []Error
	attempts  int
	retryAt   time.Time // no setup before
	wakeAt    time.Time // the handler's timer
	lossAt    time.Time // carrier lost: taken down then

	waiting bool // an interface that it depends on is not up

	external // what only a handler outside brings

	notices []Notice
	dirty   bool // Objects may have changed
}

// Updated says which parts of an offer the last update changed.
type Updated struct{ Addresses, Routes, Prefixes, Data bool }

// New makes an interface that is down.
func New(c *config.Interface, spec proto.Spec, devs Devices, rng *rand.Rand) *Machine {
	return &Machine{Config: c, spec: spec, handler: spec.New(), devs: devs, rng: rng, Autostart: c.Auto}
}

// User is the name under which the interface uses devices and owns objects.
func (m *Machine) User() string { return "interface " + m.Config.Name }

// State of the interface.
func (m *Machine) State() State { return m.state }

// Device is the main device; empty while there is none.
func (m *Machine) Device() string { return m.device }

// Offer is what the handler offers now, nil for nothing.
func (m *Machine) Offer() *proto.Offer { return m.offer }

// Flags of the protocol.
func (m *Machine) Flags() proto.Flags { return m.spec.Flags }

// L3Device is what traffic goes through; empty unless something is offered.
func (m *Machine) L3Device() string {
	if m.offer == nil {
		return ""
	}
	if m.offer.L3Device != "" {
		return m.offer.L3Device
	}
	return m.device
}

// Uptime of an interface that is up.
func (m *Machine) Uptime(now time.Time) time.Duration { return now.Sub(m.upSince) }

// Updated tells what the last update changed.
func (m *Machine) Updated() Updated { return m.updated }

// Available tells whether the interface could be brought up.
func (m *Machine) Available() bool {
	if m.withheld() {
		return false
	}
	if m.spec.Flags.NoDevice && m.device == "" {
		return m.availableAlone()
	}
	if m.device == "" {
		return false
	}
	present, _, _, _ := m.devs.State(m.device)
	return present
}

// Notices returns and clears what is to be made known.
func (m *Machine) Notices() []Notice {
	out := m.notices
	m.notices = nil
	return out
}

// TakeDirty tells (once) whether the objects have to be computed again.
func (m *Machine) TakeDirty() bool {
	d := m.dirty
	m.dirty = false
	return d
}

// Dirty marks the objects as to be computed again.
func (m *Machine) MarkDirty() { m.dirty = true }

// Settling tells that the machine waits for what it wants to be in place.
func (m *Machine) Settling() bool { return m.state == SettingUp && m.settling }

// event is an input of the transition table.
type event uint8

const (
	evRun      event = iota // everything that the interface needs is there
	evStop                  // something is missing, or somebody said down
	evOffered               // the handler offers a configuration
	evSettled               // the configuration is in place
	evFailed                // the handler has failed
	evLost                  // the handler has lost what it offered
	evFinished              // the handler has torn down
	events
)

type move func(m *Machine, now time.Time, out *proto.Output)

// table has every legal move. What is not in it does nothing.
var table [4][events]move

// init fills the table (a literal would be an initialization cycle: a move
// calls the handler, whose answer is fed to the table).
func init() {
	table = [4][events]move{
		Down: {
			evRun: (*Machine).begin,
		},
		SettingUp: {
			evStop:     (*Machine).tearDown,
			evOffered:  (*Machine).apply,
			evSettled:  (*Machine).becomeUp,
			evFailed:   (*Machine).fail,
			evLost:     (*Machine).lose,
			evFinished: (*Machine).finish,
		},
		Up: {
			evStop:     (*Machine).tearDown,
			evOffered:  (*Machine).apply,
			evFailed:   (*Machine).fail,
			evLost:     (*Machine).lose,
			evFinished: (*Machine).finish,
		},
		TearingDown: {
			evFinished: (*Machine).finish,
		},
	}
}

func (m *Machine) feed(now time.Time, ev event, out *proto.Output) {
	if f := table[m.state][ev]; f != nil {
		f(m, now, out)
	}
}

// Check looks at everything that the interface depends on and moves it.
func (m *Machine) Check(now time.Time) {
	m.checkClaim()
	m.checkL3(now)
	if m.ready(now) {
		m.feed(now, evRun, nil)
	} else {
		m.feed(now, evStop, nil)
	}
	m.checkClaim()
}

// checkClaim holds a claim on the main device exactly while the interface is
// to be up and can be, or is not down yet.
func (m *Machine) checkClaim() {
	if m.device == "" {
		m.claimed = false
		return
	}
	want := m.Autostart && !m.removing && m.Available() || m.state != Down
	if want {
		m.claimed = m.devs.Claim(m.device, m.User())
	} else if m.claimed {
		m.claimed = false
		m.devs.Release(m.device, m.User())
	}
}

// ready tells whether the interface can and should be configured now.
func (m *Machine) ready(now time.Time) bool {
	if !m.wanted() || m.removing || m.next != nil || !m.Available() {
		return false
	}
	if m.state == Down && now.Before(m.retryAt) {
		return false
	}
	if m.device == "" {
		return true
	}
	_, up, link, _ := m.devs.State(m.device)
	if !up {
		return false
	}
	return m.linkGood(now, link)
}

// linkGood tells whether the carrier is good enough: it is there, or is not
// asked for, or has been lost for less than carrier_loss_delay.
func (m *Machine) linkGood(now time.Time, link bool) bool {
	if link || m.Config.ForceLink {
		m.lossAt = time.Time{}
		return true
	}
	if m.Config.CarrierLossDelay == 0 || m.state != Up {
		return false
	}
	if m.lossAt.IsZero() {
		m.lossAt = now.Add(m.Config.CarrierLossDelay)
	}
	return now.Before(m.lossAt)
}

func (m *Machine) begin(now time.Time, _ *proto.Output) {
	if own, _ := m.ConfigErrors(); len(own) > 0 {
		// The section is wrong: nothing will change before it does.
		known := len(m.errors)
		for _, e := range own {
			m.addError(e)
		}
		if len(m.errors) > known {
			m.notices = append(m.notices, IfUpFailed)
		}
		return
	}
	m.state = SettingUp
	m.settling = false
	m.tell(now, proto.Input{Kind: proto.Setup})
}

// ConfigErrors lists what is wrong with the section of the interface, which
// keeps it down, and what is wrong with other sections that are about it (its
// routes, its device), which is only shown.
func (m *Machine) ConfigErrors() (own, others []Error) {
	for _, p := range m.Config.Errors {
		e := Error{"proto", p.Code, p.Data, p.String()}
		if strings.HasPrefix(p.Section, "route") || strings.HasPrefix(p.Section, "neighbor") || strings.HasPrefix(p.Section, "device") {
			e.Subsystem = "config"
			others = append(others, e)
		} else {
			own = append(own, e)
		}
	}
	return own, others
}

// tell calls the handler and takes its outputs.
func (m *Machine) tell(now time.Time, in proto.Input) {
	in.Now, in.Config, in.Device = now, m.Config, m.device
	if m.device != "" {
		_, _, _, in.Ifindex = m.devs.State(m.device)
	}
	for _, out := range m.handler.Handle(in) {
		m.output(now, &out)
	}
}

func (m *Machine) output(now time.Time, out *proto.Output) {
	switch out.Kind {
	case proto.Offered:
		m.feed(now, evOffered, out)
	case proto.Failed:
		m.feed(now, evFailed, out)
	case proto.Lost:
		m.feed(now, evLost, out)
	case proto.Finished:
		m.feed(now, evFinished, out)
	case proto.WakeAt:
		m.wakeAt = out.At
	default:
		m.outside(out)
	}
}

func (m *Machine) apply(now time.Time, out *proto.Output) {
	old := m.offer
	if old == nil {
		old = &proto.Offer{}
	}
	n, ends := out.Offer.Expire(now)
	if old.L3Device != n.L3Device {
		m.l3Seen, m.l3Link, m.l3By = false, false, time.Time{}
	}
	m.offer, m.offerEnds = n, ends
	was := m.updated
	m.updated = Updated{}
	m.updated.Addresses, m.updated.Routes, m.updated.Prefixes, m.updated.Data = old.Difference(n)
	m.dirty = true
	switch m.state {
	case SettingUp:
		m.settling = true
	case Up:
		if m.updated == (Updated{}) && old.L3Device == n.L3Device {
			m.updated = was // the same again: there is nothing to make known
			return
		}
		m.notices = append(m.notices, IfUpdate)
	}
}

// Settled tells the machine that what it wants is in place.
func (m *Machine) Settled(now time.Time) { m.feed(now, evSettled, nil) }

func (m *Machine) becomeUp(now time.Time, _ *proto.Output) {
	if !m.settling {
		return
	}
	m.state = Up
	m.settling = false
	m.upSince = now
	if !m.spec.Flags.External {
		m.attempts = 0 // a program has to stay up for it: see settledDown
	}
	m.errors = nil
	m.notices = append(m.notices, IfUp)
}

// leave is the end of being up, or of the way there.
func (m *Machine) leave() {
	if m.state == Up {
		m.notices = append(m.notices, IfDown)
	}
	m.settling = false
	m.lossAt, m.l3By = time.Time{}, time.Time{}
	m.dirty = true
}

// drop takes everything off that was offered.
func (m *Machine) drop() {
	m.leave()
	m.offer, m.offerEnds = nil, time.Time{}
}

func (m *Machine) lose(_ time.Time, _ *proto.Output) {
	m.drop()
	m.state = SettingUp
}

func (m *Machine) fail(now time.Time, out *proto.Output) {
	m.addError(Error{"proto", out.Code, out.Data, out.Message})
	m.attempts++
	m.retryAt = now.Add(m.backoff())
	m.setupFailed()
	m.tearDown(now, nil)
}

// setupFailed makes known that a setup has failed, unless the interface is up:
// then it is an ifdown.
func (m *Machine) setupFailed() {
	if m.state == SettingUp {
		m.notices = append(m.notices, IfUpFailed)
	}
}

// backoff is the delay before the next setup: 1 s doubling to 60 s, ± 25 %.
func (m *Machine) backoff() time.Duration {
	d := min(backoffFirst<<min(m.attempts-1, 10), backoffMax)
	return time.Duration(float64(d) * (0.75 + 0.5*m.rng.Float64()))
}

// tearDown has the handler take down what it has made. Programs of a handler
// outside may need their addresses for that (a DHCP client gives its lease back
// from its address): those stay until it has finished.
func (m *Machine) tearDown(now time.Time, _ *proto.Output) {
	m.leave()
	m.removing = m.removing || m.Dynamic && m.next == nil
	m.state = TearingDown
	if !m.spec.Flags.External {
		m.drop()
	}
	m.tell(now, proto.Input{Kind: proto.Teardown})
}

func (m *Machine) finish(now time.Time, _ *proto.Output) {
	if m.state != TearingDown {
		// The handler ended by itself: that is a loss, then a new start.
		m.setupFailed()
		m.drop()
		m.removing = m.removing || m.Dynamic
		m.settledDown(now)
		m.attempts++
		m.retryAt = now.Add(m.backoff())
	}
	m.state = Down
	m.drop()
	m.ended()
	m.wakeAt = time.Time{}
	m.adoptNext()
	if m.removing {
		m.Gone = true
	}
}

func (m *Machine) addError(e Error) {
	for _, x := range m.errors {
		if x.Code == e.Code && x.Subsystem == e.Subsystem && slices.Equal(x.Data, e.Data) {
			return
		}
	}
	m.errors = append(m.errors, e)
}

// Errors lists what is wrong, oldest first.
func (m *Machine) Errors() []Error { return m.errors }

// RetryAt is when the next setup is tried, zero when none waits.
func (m *Machine) RetryAt() time.Time { return m.retryAt }
