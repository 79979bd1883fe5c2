package kswitch

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/ovs"
	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// bridge is a bridge that is wanted, or was.
type bridge struct {
	name        string
	plane       *plane
	retry       backoff // of the datapath
	madeAt      time.Duration
	fought      backoff                // of making it anew
	err         error                  // why it is not as it should be
	ports       map[string]*portState  // of the switch
	vports      map[string]*vportState // of the datapath, that are wanted
	tunnelNames []string               // the ports of the switch that are tunnels, by number; "": free
	told        *model.SwitchState     // what was last reported
	shown       []odp.Port             // as last seen
}

// portState is a port of the switch.
type portState struct {
	err   error  // why it cannot be, whatever there is
	vport string // the datapath's port
}

// vportState is a port that the datapath is to have.
type vportState struct {
	retry   backoff
	err     error
	number  uint32
	foreign bool
}

func newBridge(name string) *bridge {
	return &bridge{name: name, ports: map[string]*portState{}, vports: map[string]*vportState{}}
}

// backoff says when to try again.
type backoff struct {
	at, delay time.Duration // on CLOCK_MONOTONIC; delay 0: not failed
}

// Trying again: after a second, then after twice as long each time.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

func (b *backoff) failed(now time.Duration) {
	b.delay = min(max(firstRetry, 2*b.delay), lastRetry)
	b.at = now + b.delay
}

func (b *backoff) due(now time.Duration) bool { return b.delay == 0 || now >= b.at }

// work looks at the bridges that there is a cause for, and at those whose time
// has come.
func (m *Manager) work(c causes) {
	m.mu.Lock()
	want, started := maps.Clone(m.want), m.started
	m.mu.Unlock()
	if !started {
		return
	}
	now := ovs.Monotonic()
	for name := range want {
		if m.bridges[name] == nil {
			m.bridges[name] = newBridge(name)
			c.bridges[name] = true
		}
	}
	m.removeOthers(now, want)
	for _, name := range slices.Sorted(maps.Keys(m.bridges)) {
		b := m.bridges[name]
		for dev := range c.arrived {
			if p := b.vports[dev]; p != nil && p.err != nil {
				p.retry = backoff{}
				c.bridges[name] = true
			}
		}
		if w := want[name]; w != nil && (c.all || c.bridges[name] || b.next() <= now) {
			m.lookAt(now, b, w)
		}
		if m.ctx.Err() != nil {
			return
		}
	}
	m.noteDevices()
	m.noteClean(want)
}

// noteClean says whether nothing is left of ours that is not wanted.
func (m *Manager) noteClean(want map[string]*model.Switch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clean = maps.Equal(want, m.want)
	for name := range m.made.Datapaths {
		m.clean = m.clean && want[name] != nil
	}
}

// next is when something of the bridge is to be tried again.
func (b *bridge) next() time.Duration {
	at := time.Duration(1<<63 - 1)
	if b.retry.delay != 0 {
		at = b.retry.at
	}
	for _, p := range b.vports {
		if p.err != nil && p.retry.delay != 0 {
			at = min(at, p.retry.at)
		}
	}
	return at
}

// wait is how long nothing has to be done.
func (m *Manager) wait() time.Duration {
	d := auditEvery
	now := ovs.Monotonic()
	for _, b := range m.bridges {
		d = min(d, max(b.next()-now, 10*time.Millisecond))
	}
	return d
}

// noteDevices says which devices are waited for, and which are ports.
func (m *Manager) noteDevices() {
	missing, devices := map[string]bool{}, map[uint32]string{}
	for _, b := range m.bridges {
		for name, p := range b.vports {
			if p.err != nil {
				missing[name] = true
			}
		}
		for i := range b.shown {
			if p := &b.shown[i]; p.Type == odp.TypeNetdev {
				devices[p.Ifindex] = p.Name
			}
		}
	}
	m.mu.Lock()
	m.missing, m.devices = missing, devices
	m.mu.Unlock()
}

// removeOthers removes what we made and is not wanted any more.
func (m *Manager) removeOthers(now time.Duration, want map[string]*model.Switch) {
	for _, name := range slices.Sorted(maps.Keys(m.made.Datapaths)) {
		if want[name] != nil {
			continue
		}
		b := m.bridges[name]
		if b == nil {
			b = newBridge(name)
			m.bridges[name] = b
		}
		if !b.retry.due(now) {
			continue
		}
		if err := m.removeBridge(b); err != nil {
			b.retry.failed(now)
			b.err = err
			m.log.Error("remove bridge", "bridge", name, "err", err, "again_in", b.retry.delay)
		}
	}
	for name, b := range m.bridges {
		if want[name] == nil && m.made.Datapaths[name] == nil {
			b.closePlane(m)
			delete(m.bridges, name)
		}
	}
}

// removeBridge removes a datapath of ours with its ports, and forgets it.
func (m *Manager) removeBridge(b *bridge) error {
	d, err := m.client.Datapath(m.ctx, b.name)
	if errors.Is(err, ovs.ErrNoDatapath) || err == nil && !m.made.owns(b.name, d.Index) {
		b.closePlane(m)
		return m.forget(b.name)
	}
	if err != nil {
		return err
	}
	ports, err := m.client.Ports(m.ctx, d.Index)
	if err != nil {
		return err
	}
	made := m.made.Datapaths[b.name]
	var others []string
	for _, p := range ports {
		if p.Number != odp.LocalPort && !made.ownsPort(p.Name, p.Number) {
			others = append(others, p.Name)
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("datapath %s has ports of others (%s): remove them first (ovs-dpctl del-if %s %s)", b.name, others[0], b.name, others[0])
	}
	b.closePlane(m)
	if err := m.client.DeleteDatapath(m.ctx, d.Index); err != nil && !errors.Is(err, ovs.ErrNoDatapath) {
		return err
	}
	m.log.Info("datapath removed", "bridge", b.name)
	return m.forget(b.name)
}

func (m *Manager) forget(name string) error {
	delete(m.made.Datapaths, name)
	return m.made.save(m.o.StateFile)
}

// lookAt brings a bridge to what is wanted, as far as it goes.
func (m *Manager) lookAt(now time.Duration, b *bridge, w *model.Switch) {
	for name := range b.ports {
		if !slices.ContainsFunc(w.Ports, func(p model.SwitchPort) bool { return p.Name == name }) {
			delete(b.ports, name)
		}
	}
	var shown []odp.Port
	b.err = m.checkSwitch(w)
	if b.err == nil && b.retry.due(now) {
		shown, b.err = m.haveBridge(now, b, w)
		if b.err != nil {
			b.retry.failed(now)
		} else {
			b.retry = backoff{}
		}
	} else if b.err == nil {
		b.err = errors.New(cmp.Or(b.toldErr(), "waits before it is tried again"))
	}
	b.shown = shown
	if m.ctx.Err() == nil {
		m.report(b, w, shown)
	}
}

func (b *bridge) toldErr() string {
	if b.told == nil {
		return ""
	}
	return b.told.Err
}

// checkSwitch says what this backend cannot do.
func (m *Manager) checkSwitch(w *model.Switch) error {
	if err := odp.CheckName(w.Name); err != nil {
		return err
	}
	var not string
	switch {
	case w.STP || w.RSTP:
		not = "stp and rstp"
	case len(w.Controllers) > 0:
		not = "controllers"
	case w.FailMode == "secure":
		not = "fail_mode secure"
	case w.DatapathType == "netdev":
		not = "datapath_type netdev"
	default:
		return nil
	}
	return fmt.Errorf("the backend 'kernel' has no %s: choose the backend 'ovsdb'", not)
}

// haveBridge makes the datapath if need be, takes it over if it is ours, and
// goes on with its ports. It gives the ports that there are in the end.
func (m *Manager) haveBridge(now time.Duration, b *bridge, w *model.Switch) ([]odp.Port, error) {
	d, err := m.client.Datapath(m.ctx, b.name)
	switch {
	case errors.Is(err, ovs.ErrNoDatapath):
		if err := m.removed(now, b); err != nil {
			return nil, err
		}
		if d, err = m.makeDatapath(b); err != nil {
			return nil, err
		}
		b.madeAt = now
	case err != nil:
		return nil, err
	case !m.made.owns(b.name, d.Index):
		b.closePlane(m)
		return nil, fmt.Errorf("datapath %s was made by somebody else: give the bridge another name, or remove it (ovs-dpctl del-dp %s)", b.name, b.name)
	}
	if err := m.keepFeatures(b, &d); err != nil {
		return nil, err
	}
	if b.plane != nil && b.plane.dp != d.Index {
		b.closePlane(m)
	}
	if b.plane == nil {
		if err := m.openPlane(b, w, &d); err != nil {
			return nil, err
		}
	} else {
		b.plane.setOptions(options(w))
	}
	return m.havePorts(now, b, w)
}

// fightTime is how long a datapath has to last for it to be made anew at once
// when somebody removes it.
const fightTime = 10 * time.Second

// removed notes that a datapath that was there is not; the error says that it is
// not to be made anew yet.
func (m *Manager) removed(now time.Duration, b *bridge) error {
	if b.plane != nil {
		m.log.Warn("the datapath was removed by somebody else: it is made anew", "bridge", b.name)
		b.closePlane(m)
		if now-b.madeAt > fightTime {
			b.fought = backoff{}
		} else {
			b.fought.failed(now)
		}
	}
	if !b.fought.due(now) {
		return fmt.Errorf("somebody else removes the datapath again and again (does ovs-vswitchd start?): it is made anew in %s", b.fought.delay)
	}
	return nil
}

func options(w *model.Switch) l2.Options {
	return l2.Options{Ageing: time.Duration(w.Ageing) * time.Second}
}

// features are how our datapaths work. Others change them: ovs-dpctl sets those
// that ovs-vswitchd uses in every datapath that it looks at, and without
// ovs-vswitchd no miss is heard of then.
const features = odp.FeatureUnaligned | odp.FeatureVportPIDs

// keepFeatures puts back what others have changed.
func (m *Manager) keepFeatures(b *bridge, d *odp.Datapath) error {
	if d.Features == features {
		return nil
	}
	m.log.Warn("somebody else has changed how the datapath works: it is set back", "bridge", b.name, "features", fmt.Sprintf("%#x", uint32(d.Features)))
	_, err := m.client.SetDatapath(m.ctx, odp.DatapathRequest{Index: d.Index, Set: odp.SetFeatures, Features: features})
	return err
}

// makeDatapath writes down that a datapath is ours and makes it.
func (m *Manager) makeDatapath(b *bridge) (odp.Datapath, error) {
	m.made.Datapaths[b.name] = &madeDatapath{Ports: map[string]uint32{}}
	if err := m.made.save(m.o.StateFile); err != nil {
		delete(m.made.Datapaths, b.name)
		return odp.Datapath{}, err
	}
	// Misses are dropped until the local port is told our number.
	d, err := m.client.CreateDatapath(m.ctx, odp.DatapathRequest{Name: b.name, Set: odp.SetFeatures, Features: features})
	if err == nil {
		m.made.Datapaths[b.name].Index = d.Index
		return d, m.made.save(m.o.StateFile)
	}
	return d, errors.Join(err, m.forget(b.name))
}

// openPlane begins to work on a datapath. Its goroutines start when its ports
// are known (havePorts).
func (m *Manager) openPlane(b *bridge, w *model.Switch, d *odp.Datapath) error {
	p, err := newPlane(m.ctx, m.nsfd, d.Index, options(w), m.log.With("bridge", b.name))
	if err != nil {
		return err
	}
	p.lost, p.lostOld = d.Lost, d.Lost
	if d.Flows > 0 || d.Lost > 0 {
		m.log.Info("datapath taken over", "bridge", b.name, "flows", d.Flows, "lost_before", d.Lost)
	}
	b.plane = p
	return nil
}

func (b *bridge) closePlane(m *Manager) {
	if b.plane == nil {
		return
	}
	m.mu.Lock()
	delete(m.planes, b.name)
	m.mu.Unlock()
	b.plane.close()
	b.plane = nil
}

// report tells the state of a bridge if it has changed.
func (m *Manager) report(b *bridge, w *model.Switch, shown []odp.Port) {
	s := model.SwitchState{Name: b.name, There: b.err == nil}
	if b.err != nil {
		s.Err = b.err.Error()
	}
	for i := range w.Ports {
		st := model.SwitchPortState{Name: w.Ports[i].Name}
		var err error
		if p := b.ports[st.Name]; p != nil {
			err = p.err
			if v := b.vports[p.vport]; v != nil {
				st.Number, st.Foreign = v.number, v.foreign
				err = cmp.Or(err, v.err)
			}
		}
		if err != nil {
			st.Err = err.Error()
		}
		s.Ports = append(s.Ports, st)
	}
	for _, p := range shown {
		if _, wanted := b.vports[p.Name]; !wanted && p.Number != odp.LocalPort {
			s.Ports = append(s.Ports, model.SwitchPortState{Name: p.Name, Number: p.Number, Foreign: true})
		}
	}
	slices.SortFunc(s.Ports, func(x, y model.SwitchPortState) int { return cmp.Compare(x.Name, y.Name) })
	if b.told != nil && b.told.There == s.There && b.told.Err == s.Err && slices.Equal(b.told.Ports, s.Ports) {
		return
	}
	b.told = &s
	if m.o.Report != nil {
		m.o.Report(s)
	}
}
