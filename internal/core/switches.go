package core

import (
	"cmp"
	"errors"
	"slices"

	"netbraid/internal/config"
	"netbraid/internal/model"
)

type (
	// Switches: these bridges of Open vSwitch are wanted, and no others of ours;
	// sorted by name. It comes with the first configuration and with every
	// change.
	Switches struct{ Want []model.Switch }
	// SwitchChanged: a bridge is now so. One that is no longer wanted is not
	// told of any more.
	SwitchChanged struct{ State model.SwitchState }
)

func (Switches) isAction()     {}
func (SwitchChanged) isEvent() {}

// switches is what is known of the bridges of Open vSwitch.
type switches struct {
	told  bool // Switches has been said
	over  bool // nothing is wanted any more (VerbTeardown)
	want  []model.Switch
	state map[string]model.SwitchState // as told by who runs them
}

// Switch is a bridge of Open vSwitch: how it is wanted and how it is.
type Switch struct {
	Want  model.Switch
	State model.SwitchState
	// Known: State has been told.
	Known bool
}

// Switches lists the bridges of Open vSwitch that are wanted, sorted by name.
func (c *Core) Switches() []Switch {
	out := make([]Switch, 0, len(c.sw.want))
	for _, w := range c.sw.want {
		st, known := c.sw.state[w.Name]
		out = append(out, Switch{Want: w, State: st, Known: known})
	}
	return out
}

// tellSwitches says which bridges are wanted, when that has changed.
func (c *Core) tellSwitches() {
	if !c.live || c.cfg == nil || c.sw.told && !c.graph.Switched() {
		return
	}
	var want []model.Switch
	if !c.sw.over {
		want = c.graph.Switches()
	}
	if c.sw.told && slices.EqualFunc(want, c.sw.want, func(a, b model.Switch) bool { return a.Equal(&b) }) {
		return
	}
	c.sw.told, c.sw.want = true, want
	for name := range c.sw.state {
		if c.wantedSwitch(name) == nil {
			delete(c.sw.state, name)
		}
	}
	c.touch()
	c.act(Switches{Want: want})
}

func (c *Core) wantedSwitch(name string) *model.Switch {
	i, ok := slices.BinarySearchFunc(c.sw.want, name, func(s model.Switch, n string) int { return cmp.Compare(s.Name, n) })
	if !ok {
		return nil
	}
	return &c.sw.want[i]
}

// switchChanged takes over how a bridge is, and says what is new about it.
func (c *Core) switchChanged(st model.SwitchState) {
	if c.wantedSwitch(st.Name) == nil {
		return
	}
	old := c.sw.state[st.Name]
	if c.sw.state == nil {
		c.sw.state = map[string]model.SwitchState{}
	}
	c.sw.state[st.Name] = st
	switch {
	case st.Err != "" && st.Err != old.Err:
		c.log(levelWarn, "Open vSwitch bridge is not as wanted", "bridge", st.Name, "error", st.Err)
	case st.Err == "" && st.There && (old.Err != "" || !old.There):
		c.log(levelInfo, "Open vSwitch bridge is there", "bridge", st.Name, "ports", len(st.Ports))
	}
	before := map[string]string{}
	for _, p := range old.Ports {
		before[p.Name] = portError(&p)
	}
	var broken, mended []string
	why := ""
	for _, p := range st.Ports {
		switch now := portError(&p); {
		case now == before[p.Name] || !wantsPort(c.wantedSwitch(st.Name), p.Name):
		case now == "":
			if st.There { // else nothing is known of it
				mended = append(mended, p.Name)
			}
		default:
			if broken = append(broken, p.Name); why == "" {
				why = now
			}
		}
	}
	if len(broken) > 0 {
		c.log(levelWarn, "port of Open vSwitch is not as wanted", "bridge", st.Name, "port", broken[0], "error", why, "more", len(broken)-1)
	}
	if len(mended) > 0 {
		c.log(levelInfo, "port of Open vSwitch is as wanted again", "bridge", st.Name, "port", mended[0], "more", len(mended)-1)
	}
}

// maxSwitchPorts bounds the ports that are added to bridges at run time.
const maxSwitchPorts = 4096

// AddSwitchPort adds a port to a bridge of Open vSwitch. It stays when the
// configuration is read again and in the next process; one of a device that
// exists goes with its link. Said again it changes the port.
type AddSwitchPort struct {
	Bridge string
	Port   model.SwitchPort
}

func (r *AddSwitchPort) do(c *Core) Status {
	ports, _, _ := c.graph.Hotplugged()
	switch {
	case c.wantedSwitch(r.Bridge) == nil:
		return NotFound
	case len(ports) >= maxSwitchPorts:
		c.log(levelWarn, "a port is not added: there are too many", "bridge", r.Bridge, "port", r.Port.Name, "most", maxSwitchPorts)
		return UnknownError
	case !c.graph.AddSwitchPort(r.Bridge, r.Port):
		return InvalidArgument
	}
	return OK
}

// DelSwitchPort takes a port off a bridge of Open vSwitch that was added at run
// time.
type DelSwitchPort struct{ Bridge, Port string }

func (r *DelSwitchPort) do(c *Core) Status {
	if !c.graph.RemoveSwitchPort(r.Bridge, r.Port) {
		return NotFound
	}
	return OK
}

// wantsPort tells whether a port is wanted; a bridge may have others besides.
func wantsPort(w *model.Switch, port string) bool {
	if w == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(w.Ports, port, func(p model.SwitchPort, n string) int { return cmp.Compare(p.Name, n) })
	return ok
}

// portError says why a port is not as wanted; empty when it is.
func portError(p *model.SwitchPortState) string {
	if p.Err == "" && p.Foreign {
		return "somebody else has a port of this name; it is left alone"
	}
	return p.Err
}

// SwitchError is something that a bridge of Open vSwitch or a port lacks.
type SwitchError struct {
	Code    string // SWITCH_FAILED, PORT_FAILED, KEY_TAKEN
	Object  string // of what: the bridge, or the port
	Message string
}

// SwitchErrors says what is wrong with the bridge of Open vSwitch that a device
// is, with all its ports; or with the port that a device is and its bridge.
func (c *Core) SwitchErrors(device string) []SwitchError {
	cfg := c.graph.State(device).Config
	if cfg == nil || cfg.Type != config.OpenVSwitch && cfg.Type != config.VPort {
		return nil
	}
	name := device
	if cfg.Type == config.VPort {
		name = cfg.Bridge
	}
	st := c.sw.state[name]
	var out []SwitchError
	if st.Err != "" {
		out = append(out, SwitchError{"SWITCH_FAILED", name, st.Err})
	}
	for i := range st.Ports {
		p := &st.Ports[i]
		text := portError(p)
		if text == "" || name != device && p.Name != device || !wantsPort(c.wantedSwitch(name), p.Name) {
			continue
		}
		code := "PORT_FAILED"
		if p.Foreign {
			code = "KEY_TAKEN"
		}
		out = append(out, SwitchError{code, p.Name, text})
	}
	return out
}

// SwitchOf gives the bridge of Open vSwitch that a device is, or that it is
// configured to be a port of; nil when there is none.
func (c *Core) SwitchOf(device string) *Switch {
	if cfg := c.graph.State(device).Config; cfg != nil && cfg.Type == config.VPort {
		device = cfg.Bridge
	}
	w := c.wantedSwitch(device)
	if w == nil {
		return nil
	}
	st, known := c.sw.state[device]
	return &Switch{Want: *w, State: st, Known: known}
}

// whyNoSwitch says why a link is not there that Open vSwitch would make.
func (c *Core) whyNoSwitch(cfg *config.Device) string {
	bridge, what := cfg.Name, "bridge "+cfg.Name
	if cfg.Type == config.VPort {
		bridge, what = cfg.Bridge, "port "+cfg.Name+" of bridge "+cfg.Bridge
	}
	for _, e := range c.SwitchErrors(cfg.Name) {
		if e.Object == cfg.Name || e.Object == bridge {
			return what + " of Open vSwitch is not there: " + e.Message
		}
	}
	if l := c.mirror.LinkByName(cfg.Name); l != nil {
		return "there is a link " + cfg.Name + " that Open vSwitch has not made: remove it, or rename the device"
	}
	return what + " of Open vSwitch is being made"
}

// checkSwitches tells whether what was said last is what is wanted.
func (c *Core) checkSwitches() error {
	if !c.sw.told || c.sw.over {
		return nil
	}
	if !slices.EqualFunc(c.graph.Switches(), c.sw.want, func(a, b model.Switch) bool { return a.Equal(&b) }) {
		return errors.New("the bridges of Open vSwitch that are wanted have changed, and nobody was told")
	}
	return nil
}
