package kswitch

import (
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

// portTypes are the types of ports that the switch can send to.
var portTypes = map[string]odp.PortType{"": odp.TypeNetdev, "system": odp.TypeNetdev, "internal": odp.TypeInternal}

// checkPort says what this backend cannot do.
func checkPort(w *model.SwitchPort) (odp.PortType, l2.VLAN, error) {
	vlan, err := l2.ParseVLAN(w)
	if err != nil {
		return 0, vlan, err
	}
	if err := odp.CheckName(w.Name); err != nil {
		return 0, vlan, err
	}
	typ, ok := portTypes[w.Type]
	switch {
	case w.Type == "gre" || w.Type == "vxlan" || w.Type == "geneve":
		err = fmt.Errorf("type '%s' needs the backend 'ovsdb'; here make a device of that type (config device) and list it as a plain port", w.Type)
	case !ok:
		err = fmt.Errorf("type '%s': the backend 'kernel' has devices and internal ports", w.Type)
	case len(w.Members) > 0:
		err = errors.New("bonds of Open vSwitch need the backend 'ovsdb'; here make a bonding device and list it as a plain port")
	case w.Number > odp.MaxPort:
		err = fmt.Errorf("port number %d: they are 1 to %d", w.Number, odp.MaxPort)
	}
	return typ, vlan, err
}

// ports is the work on the ports of one bridge.
type ports struct {
	m       *Manager
	b       *bridge
	made    *madeDatapath
	now     time.Duration
	byName  map[string]*odp.Port
	members []l2.Port
	vlans   map[string]l2.VLAN
	types   map[string]odp.PortType
}

// portsAtOnce is how many ports are made before the switch is told of them.
const portsAtOnce = 64

// havePorts brings the ports to what is wanted: first those go that are not
// wanted or wanted otherwise, with their flows before them, because their
// numbers may be given away again.
func (m *Manager) havePorts(now time.Duration, b *bridge, w *model.Switch) ([]odp.Port, error) {
	shown, err := m.client.Ports(m.ctx, b.plane.dp)
	if err != nil {
		return nil, err
	}
	s := &ports{m: m, b: b, made: m.made.Datapaths[b.name], now: now, byName: map[string]*odp.Port{}, vlans: map[string]l2.VLAN{}, types: map[string]odp.PortType{}}
	wanted := map[string]*model.SwitchPort{}
	for i := range w.Ports {
		p := &w.Ports[i]
		wanted[p.Name] = p
		if b.ports[p.Name] == nil {
			b.ports[p.Name] = &portState{}
		}
		st := b.ports[p.Name]
		typ, vlan, err := checkPort(p)
		s.types[p.Name], s.vlans[p.Name] = typ, vlan
		if err != nil {
			*st = portState{err: err}
			delete(s.types, p.Name)
		}
	}
	remove := s.sort(shown, wanted)
	b.plane.setPorts(s.members)
	if err := s.adopt(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	if m.planes[b.name] == nil {
		m.planes[b.name] = b.plane
		b.plane.start()
	}
	m.mu.Unlock()
	if err := s.remove(remove); err != nil {
		return nil, err
	}
	if err := s.make(w); err != nil {
		return nil, err
	}
	return m.client.Ports(m.ctx, b.plane.dp)
}

// sort finds the ports that stay, which become members, and those that go.
func (s *ports) sort(shown []odp.Port, wanted map[string]*model.SwitchPort) (remove []odp.Port) {
	there := map[uint32]bool{}
	for i := range shown {
		p := &shown[i]
		there[p.Number] = true
		w := wanted[p.Name]
		if p.Number == odp.LocalPort {
			s.byName[p.Name] = p
			s.members = append(s.members, l2.Port{Number: p.Number, VLAN: s.vlans[s.b.name]})
			if w != nil {
				*s.b.ports[p.Name] = portState{}
			}
			continue
		}
		ours := s.made.ownsPort(p.Name, p.Number)
		_, usable := s.types[p.Name]
		fits := w != nil && usable && s.types[p.Name] == p.Type && (w.Number == 0 || w.Number == p.Number)
		switch {
		case fits:
			s.byName[p.Name] = p
			s.members = append(s.members, l2.Port{Number: p.Number, VLAN: s.vlans[p.Name]})
			*s.b.ports[p.Name] = portState{number: p.Number, foreign: !ours}
			if ours {
				s.made.Ports[p.Name] = p.Number
			}
		case ours:
			remove = append(remove, *p)
		case w != nil && usable:
			s.byName[p.Name] = p
			st := s.b.ports[p.Name]
			*st = portState{number: p.Number, foreign: true, err: fmt.Errorf(
				"somebody else has made this port with another type or number: remove it (ovs-dpctl del-if %s %s)", s.b.name, p.Name)}
		}
	}
	for name, n := range s.made.Ports {
		if n != 0 && !there[n] {
			delete(s.made.Ports, name) // its device is gone, and the port with it
		}
	}
	return remove
}

// adopt has the misses of all members come to us.
func (s *ports) adopt() error {
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		p := s.byName[name]
		if s.b.plane.isOurs(p.PIDs) {
			continue
		}
		_, err := s.m.client.SetPort(s.m.ctx, odp.PortRequest{
			Datapath: p.Datapath, Number: p.Number, PIDs: []uint32{s.b.plane.socketNumber()}, Set: odp.SetNumber | odp.SetPIDs})
		if err != nil && !errors.Is(err, ovs.ErrNoPort) {
			return err
		}
	}
	return nil
}

func (s *ports) remove(list []odp.Port) error {
	for chunk := range slices.Chunk(list, portsAtOnce) {
		var numbers []uint32
		for i := range chunk {
			numbers = append(numbers, chunk[i].Number)
		}
		for i, err := range s.m.client.DeletePorts(s.m.ctx, s.b.plane.dp, numbers) {
			p := &chunk[i]
			if err != nil && !errors.Is(err, ovs.ErrNoPort) {
				return err
			}
			delete(s.made.Ports, p.Name)
			if name := s.made.nameOf(p.Number); name != "" {
				delete(s.made.Ports, name)
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	s.m.log.Info("ports removed", "bridge", s.b.name, "count", len(list), "first", list[0].Name)
	return s.m.made.save(s.m.o.StateFile)
}

// make makes the ports that are missing. All are written down first, at once.
func (s *ports) make(w *model.Switch) error {
	var missing []*model.SwitchPort
	for i := range w.Ports {
		p := &w.Ports[i]
		_, usable := s.types[p.Name]
		if s.byName[p.Name] != nil || !usable || p.Name == s.b.name {
			continue
		}
		if s.b.ports[p.Name].retry.due(s.now) {
			missing = append(missing, p)
			s.made.Ports[p.Name] = 0
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := s.m.made.save(s.m.o.StateFile); err != nil {
		for _, p := range missing {
			delete(s.made.Ports, p.Name)
		}
		return err
	}
	done := 0
	for chunk := range slices.Chunk(missing, portsAtOnce) {
		if s.m.ctx.Err() != nil {
			break
		}
		done += s.makeSome(chunk)
		s.b.plane.setPorts(s.members)
	}
	if done > 0 {
		s.m.log.Info("ports made", "bridge", s.b.name, "count", done, "first", missing[0].Name)
	}
	return s.m.made.save(s.m.o.StateFile)
}

// makeSome makes ports; the error of one stays with it. It gives how many it
// made.
func (s *ports) makeSome(list []*model.SwitchPort) (done int) {
	var rs []odp.PortRequest
	for _, p := range list {
		rs = append(rs, odp.PortRequest{
			Datapath: s.b.plane.dp, Name: p.Name, Type: s.types[p.Name], Number: p.Number,
			PIDs: []uint32{s.b.plane.socketNumber()}, Set: odp.SetType | odp.SetNumber | odp.SetPIDs,
		})
	}
	got, errs := s.m.client.AddPorts(s.m.ctx, rs)
	for i, p := range list {
		st := s.b.ports[p.Name]
		if errs[i] != nil {
			s.failed(p.Name, st, errs[i])
			continue
		}
		done++
		s.made.Ports[p.Name] = got[i].Number
		*st = portState{number: got[i].Number}
		s.members = append(s.members, l2.Port{Number: got[i].Number, VLAN: s.vlans[p.Name]})
	}
	return done
}

func (s *ports) failed(name string, st *portState, err error) {
	delete(s.made.Ports, name)
	first := st.err == nil || st.err.Error() != err.Error()
	st.err, st.number = err, 0
	st.retry.failed(s.now)
	if first {
		s.m.log.Warn("port cannot be made", "bridge", s.b.name, "port", name, "err", err)
	}
}
