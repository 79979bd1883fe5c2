package core

import (
	"netbraid/internal/device"
	"netbraid/internal/iface"
	"netbraid/internal/proto"
	"netbraid/rtnl"
)

// run brings everything to what the last event has made of the world: devices,
// then interfaces, then what is wanted, then the operations.
func (c *Core) run() {
	c.tickMirrors()
	if !c.live && c.mirror.Live(rtnl.KindLink) {
		c.live = true
		c.mirror.Each(func(l *rtnl.Link) { c.graph.LinkChanged(nil, l) }, nil, nil, nil)
		for n := range c.ifaces {
			c.check[n] = true
		}
	}
	if c.live && c.cfg != nil {
		for round := 0; round < 64; round++ {
			c.machines()
			c.assignPrefixes()
			c.wants()
			c.operations()
			if !c.settle() && !c.planner.Again() {
				break
			}
		}
	}
	c.tellSwitches()
	c.tellResolver()
	c.tickPlanes()
	c.mirrorRequests()
}

// machines moves devices and interfaces until nothing moves any more.
func (c *Core) machines() {
	for _, n := range sortedKeys(c.due) {
		if !c.now.Before(c.due[n]) {
			delete(c.due, n)
			c.ifaces[n].Tick(c.now)
			c.check[n] = true
		}
	}
	for range 1000 {
		evs := c.graph.Events()
		for _, ev := range evs {
			c.deviceEvent(ev)
		}
		c.needsChanged()
		if len(evs) == 0 && len(c.check) == 0 {
			return
		}
		c.touch()
		names := sortedKeys(c.check)
		clear(c.check)
		for _, n := range names {
			c.checkInterface(n)
		}
	}
	c.log(levelWarn, "devices and interfaces do not come to rest; going on")
}

func (c *Core) deviceEvent(ev device.Event) {
	c.act(DeviceEvent{ev.Device, ev.Kind.String()})
	for n := range c.onDevice[ev.Device] {
		c.check[n] = true
		if c.settling[n] {
			c.newSettling = append(c.newSettling, n) // it may have waited for this
		}
		if ev.Kind == device.Remove && c.asked.hotDevice[n] == ev.Device {
			delete(c.asked.hotDevice, n) // it goes with its link
			c.asked.changes++
		}
		if ev.Kind == device.UpdateIfindex || ev.Kind == device.Up {
			c.ifaces[n].MarkDirty()
		}
	}
}

func (c *Core) checkInterface(n string) {
	m := c.ifaces[n]
	if m == nil {
		return
	}
	if dev, alias := c.resolve(m); dev != m.Device() && !(alias && c.waitsFor(m, dev)) {
		c.setDevice(m, dev, alias)
	}
	m.SetWaiting(c.missing(m) != "")
	m.Check(c.now)
	c.checkDependents(n)
	c.claimL3(m)
	c.notices(m)
	c.noteState(m)
	for a := range c.aliases[n] {
		am := c.ifaces[a]
		if am == nil {
			continue
		}
		if dev, _ := c.resolve(am); dev != am.Device() {
			c.check[a] = true
		}
	}
	if m.Gone {
		c.dropInterface(n)
	}
}

// noteState notes what an interface that has been looked at needs next, so
// that nothing has to walk over all of them.
func (c *Core) noteState(m *iface.Machine) {
	n := m.Config.Name
	setIf(c.dns.of, n, m.HasDNS())
	setIf(c.prefixes.of, n, m.HasPrefixes())
	if m.TakeDirty() {
		c.dirty[n] = true
		c.dns.dirty, c.prefixes.dirty = true, true
	}
	if on := m.Settling(); on != c.settling[n] {
		setIf(c.settling, n, on)
		if on {
			c.newSettling = append(c.newSettling, n)
		}
	}
	if d := m.Deadline(c.now); d.IsZero() {
		delete(c.due, n)
	} else {
		c.due[n] = d
	}
}

func setIf(set map[string]bool, n string, on bool) {
	if on {
		set[n] = true
	} else {
		delete(set, n)
	}
}

// resolve gives the device that an interface sits on now.
func (c *Core) resolve(m *iface.Machine) (device string, alias bool) {
	if f := m.Flags(); f.External && f.NoDevice {
		return "", false // an option device is the handler's own
	}
	parent := m.Config.AliasOf
	if parent == "" && len(m.Config.Device) > 0 && m.Config.Device[0] == '@' {
		parent = m.Config.Device[1:]
	}
	if parent == "" && m.Config.Device == "" {
		return c.asked.hotDevice[m.Config.Name], false
	}
	if parent == "" {
		return m.Config.Device, false
	}
	if dev := c.asked.alias[parent]; dev != "" {
		return dev, false // nobody else brings it up: it moves down and up
	}
	p := c.ifaces[parent]
	if p == nil || p == m {
		return "", true
	}
	if l3 := p.L3Device(); l3 != "" && p.Autostart {
		return l3, true
	}
	// The parent's own protocol waits, or has failed: the alias does not have
	// to, as long as the parent is to be up on its main device and that has
	// link.
	if !p.Autostart || p.Flags().MovesL3 || p.Device() == "" || len(p.Config.Errors) > 0 && p.Config.Static == nil {
		return "", true
	}
	s := c.graph.State(p.Device())
	if c.passes(p.Device()) && (s.Link || p.Config.ForceLink) {
		return p.Device(), true
	}
	return "", true
}

// waitsFor tells whether an alias stays on its old device, which is up, until
// the new one is up as well: it follows without a gap.
func (c *Core) waitsFor(m *iface.Machine, dev string) bool {
	if dev == "" || m.Device() == "" || !c.graph.State(m.Device()).Up || c.graph.State(dev).Up {
		return false
	}
	c.link(dev, m.Config.Name, true) // its Up wakes us
	return true
}

// claimL3 holds a claim on the layer 3 device of an interface while that is
// another than its main device.
func (c *Core) claimL3(m *iface.Machine) {
	n, user := m.Config.Name, m.User()+" (layer 3)"
	l3 := m.L3Device()
	if l3 == m.Device() {
		l3 = ""
	}
	if old := c.l3[n]; old != l3 {
		if old != "" {
			c.ownL3(old)
			c.graph.Unuse(old, user)
		}
		delete(c.l3, n)
		if l3 != "" {
			c.l3[n] = l3
			c.graph.Use(l3, user)
			c.link(l3, n, true)
		}
	}
	if l3 != "" {
		if m.Offer().AddressExternal {
			c.leaveL3(l3)
		}
		c.makeTunnel(m, l3)
		if !c.graph.Claim(l3, user) {
			m.L3Absent()
		}
	}
}

// leaveL3 leaves a layer 3 device to the program that has made it and gives it its
// addresses (pppd): that takes it up and down.
func (c *Core) leaveL3(dev string) {
	if !c.l3Left[dev] && !c.graph.State(dev).External {
		c.l3Left[dev] = true
		c.graph.SetExternal(dev, true)
	}
}

// ownL3 ends what leaveL3 has begun.
func (c *Core) ownL3(dev string) {
	if c.l3Left[dev] {
		delete(c.l3Left, dev)
		c.graph.SetExternal(dev, false)
	}
}

// setDevice moves an interface to another device; an alias that is up follows
// without going down.
func (c *Core) setDevice(m *iface.Machine, dev string, follow bool) {
	old := m.Device()
	n := m.Config.Name
	if dev != "" {
		c.graph.Use(dev, m.User())
		c.link(dev, n, true)
	}
	m.SetDevice(c.now, dev, follow)
	c.overlay(m)
	if old != "" {
		c.graph.Unuse(old, m.User())
		c.link(old, n, false)
	}
	c.check[n] = true
}

func (c *Core) link(dev, name string, on bool) {
	set := c.onDevice[dev]
	if !on {
		delete(set, name)
		if len(set) == 0 {
			delete(c.onDevice, dev)
		}
		return
	}
	if set == nil {
		set = map[string]bool{}
		c.onDevice[dev] = set
	}
	set[name] = true
}

func (c *Core) notices(m *iface.Machine) {
	c.effects(m)
	for _, n := range m.Notices() {
		c.helpers.recheck = true
		c.dns.dirty, c.prefixes.dirty = true, true
		c.act(Publish{Interface: m.Config.Name, Notice: n, Device: m.L3Device(), Updated: m.Updated()})
		switch n {
		case iface.IfUp:
			c.log(levelInfo, "interface is up", "interface", m.Config.Name, "l3_device", m.L3Device())
		case iface.IfDown:
			c.wentDown(m.Config.Name)
			c.log(levelInfo, "interface is down", "interface", m.Config.Name)
		}
	}
}

// wants hands what devices and interfaces want to the planner.
func (c *Core) wants() {
	for _, name := range c.graph.Changed() {
		c.planner.SetLink(name, c.graph.Want(name))
	}
	for _, n := range sortedKeys(c.dirty) {
		if m := c.ifaces[n]; m != nil {
			c.planner.SetObjects(m.User(), c.addPrefixes(m, c.addNeighbors(m, c.addHostRoutes(m, m.Objects(c.ifindex(m.L3Device()), c.routes[n])))))
		}
	}
	clear(c.dirty)
}

func (c *Core) ifindex(device string) uint32 {
	if l := c.mirror.LinkByName(device); l != nil {
		return l.Index
	}
	return 0
}

func (c *Core) operations() {
	if c.planner.HasSysctls() && !c.now.Before(c.sweepAt) {
		c.sweepAt = c.now.Add(sweepEvery)
		c.planner.Sweep(c.sweepPart, sweepParts)
		c.sweepPart = (c.sweepPart + 1) % sweepParts
	}
	ops := c.planner.Plan(c.now)
	if c.planner.Doubt() {
		c.mirror.Refresh(rtnl.KindRoute)
	}
	if recs := c.planner.Records(); len(recs) > 0 {
		c.act(Record{recs})
	}
	if len(ops) > 0 {
		c.act(Write{ops})
	}
	if keys := c.planner.Reads(); len(keys) > 0 {
		rd := ReadSysctl{}
		for _, k := range keys {
			if l := c.mirror.Link(k.Index); l != nil {
				rd.Keys = append(rd.Keys, k)
				rd.Devices = append(rd.Devices, l.Name)
			} else {
				c.planner.SysctlRead(k, "", errGone)
			}
		}
		c.act(rd)
	}
}

type goneError struct{}

func (goneError) Error() string { return "the link has gone" }

var errGone = goneError{}

// settle moves interfaces whose configuration has come to be in place, and
// ends the time in which nothing is removed. It tells whether anything moved.
func (c *Core) settle() bool {
	moved := false
	names := c.newSettling
	if v := c.planner.Progress(); v != c.progress {
		c.progress = v
		names = sortedKeys(c.settling)
	}
	c.newSettling = nil
	for _, n := range names {
		m := c.ifaces[n]
		if m == nil || !m.Settling() || !c.l3Ready(m) || !c.planner.Settled(m.User()) {
			continue
		}
		delete(c.settling, n)
		c.touch()
		m.Settled(c.now)
		c.check[n] = true
		for a := range c.aliases[n] {
			c.check[a] = true
		}
		moved = true
	}
	if moved || c.settled || !c.tablesLive() {
		return moved
	}
	late := !c.now.Before(c.configuredAt.Add(settleMax))
	if late || len(c.settling) == 0 && c.planner.Idle() && !(c.inherited && c.waiting()) {
		c.settled = true
		c.planner.Release()
		c.act(Settled{})
		return true
	}
	return false
}

// waiting tells whether some interface is still being set up.
func (c *Core) waiting() bool {
	for _, m := range c.ifaces {
		if m.State() == iface.SettingUp {
			return true
		}
	}
	return false
}

func (c *Core) tablesLive() bool {
	for _, k := range []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRoute, rtnl.KindRule} {
		if !c.mirror.Live(k) {
			return false
		}
	}
	return true
}

func (c *Core) spec(name string) proto.Spec {
	if s, ok := c.protos[name]; ok {
		return s
	}
	s := c.protos["none"]
	s.Name = name
	return s
}
