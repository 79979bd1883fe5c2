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

// ports is the work on the ports of one bridge.
type ports struct {
	m      *Manager
	b      *bridge
	made   *madeDatapath
	now    time.Duration
	wanted map[string]wantedPort  // of the switch, those that can be
	vports map[string]wantedVport // of the datapath
	there  map[string]*odp.Port   // of these, those that are as wanted, and the local port
}

// portsAtOnce is how many ports are made before the switch is told of them.
const portsAtOnce = 64

// havePorts brings the ports to what is wanted: first those go that are not
// wanted or wanted otherwise, with their flows before them, because their
// numbers may be given away again.
func (m *Manager) havePorts(now time.Duration, b *bridge, w *model.Switch) ([]odp.Port, error) {
	s := &ports{m: m, b: b, made: m.made.Datapaths[b.name], now: now, wanted: map[string]wantedPort{}, vports: map[string]wantedVport{}, there: map[string]*odp.Port{}}
	s.read(w)
	shown, err := s.list()
	if err != nil {
		return nil, err
	}
	remove := s.sort(shown)
	s.tell()
	if err := s.adopt(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	isNew := m.planes[b.name] == nil
	m.planes[b.name] = b.plane
	m.mu.Unlock()
	if isNew {
		b.plane.start()
	}
	if err := s.remove(remove); err != nil {
		return nil, err
	}
	if err := s.make(); err != nil {
		return nil, err
	}
	return m.client.Ports(m.ctx, b.plane.dp)
}

// read finds out what is wanted of the datapath.
func (s *ports) read(w *model.Switch) {
	count := 0
	for i := range w.Ports {
		p := &w.Ports[i]
		want, vport, err := checkPort(p)
		if err == nil && want.tunnel != nil {
			if count++; count > maxTunnels {
				err = fmt.Errorf("more than %d tunnels in one bridge", maxTunnels)
			}
		}
		st := &portState{err: err, vport: want.vport}
		s.b.ports[p.Name] = st
		if err == nil {
			s.wanted[p.Name] = want
			s.vports[want.vport] = vport
		}
	}
	delete(s.vports, s.b.name) // the local port comes with the datapath
	for name := range s.b.vports {
		if _, ok := s.vports[name]; !ok {
			delete(s.b.vports, name)
		}
	}
	for name := range s.vports {
		if s.b.vports[name] == nil {
			s.b.vports[name] = &vportState{}
		}
	}
	for i, name := range s.b.tunnelNames {
		if s.wanted[name].tunnel == nil {
			s.b.tunnelNames[i] = ""
		}
	}
}

// list reads the ports of the datapath. While some come and go the kernel may
// leave out one that stays, or show it twice: what is ours and seems to be gone
// is asked for by its number.
func (s *ports) list() ([]odp.Port, error) {
	list, err := s.m.client.Ports(s.m.ctx, s.b.plane.dp)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(x, y odp.Port) int { return cmp.Compare(x.Number, y.Number) })
	list = slices.CompactFunc(list, func(x, y odp.Port) bool { return x.Number == y.Number })
	numbers := map[uint32]bool{}
	for i := range list {
		numbers[list[i].Number] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s.made.Ports)) {
		n := s.made.Ports[name]
		if n == 0 || numbers[n] {
			continue
		}
		p, err := s.m.client.Port(s.m.ctx, s.b.plane.dp, n)
		switch {
		case err == nil:
			list = append(list, p)
		case errors.Is(err, ovs.ErrNoPort):
			delete(s.made.Ports, name) // its device is gone, and the port with it
		default:
			return nil, err
		}
	}
	return list, nil
}

// sort finds the ports of the datapath that stay and those that go.
func (s *ports) sort(shown []odp.Port) (remove []odp.Port) {
	for i := range shown {
		p := &shown[i]
		if p.Number == odp.LocalPort {
			s.there[s.b.name] = p
			continue
		}
		w, wanted := s.vports[p.Name]
		ours := s.made.ownsPort(p.Name, p.Number)
		switch {
		case wanted && w.typ == p.Type && (w.number == 0 || w.number == p.Number):
			s.there[p.Name] = p
			*s.b.vports[p.Name] = vportState{number: p.Number, foreign: !ours}
			if ours {
				s.made.Ports[p.Name] = p.Number
			}
		case ours:
			remove = append(remove, *p)
		case wanted:
			st := s.b.vports[p.Name]
			*st = vportState{number: p.Number, foreign: true, err: fmt.Errorf(
				"somebody else has made this port with another type or number: remove it (ovs-dpctl del-if %s %s)", s.b.name, p.Name)}
			st.retry.failed(s.now)
		}
	}
	return remove
}

// tell tells the switch which of its ports there are.
func (s *ports) tell() {
	local := l2.Port{Number: odp.LocalPort, VLAN: s.wanted[s.b.name].vlan}
	members, t := []l2.Port{local}, newTunnels()
	for _, name := range slices.Sorted(maps.Keys(s.wanted)) {
		w := s.wanted[name]
		p := s.there[w.vport]
		if p == nil || p.Number == odp.LocalPort {
			continue
		}
		number := p.Number
		if w.tunnel != nil {
			number = s.b.tunnelNumber(name)
			if !t.add(number, p.Number, w.tunnel) {
				s.b.ports[name].err = fmt.Errorf("another tunnel of the bridge has the same key and remote_ip %s", w.tunnel.out.Dst)
				continue
			}
		}
		members = append(members, l2.Port{Number: number, VLAN: w.vlan})
	}
	s.b.plane.setPorts(members, t)
}

// adopt has the misses of all members come to us.
func (s *ports) adopt() error {
	for _, name := range slices.Sorted(maps.Keys(s.there)) {
		p := s.there[name]
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
func (s *ports) make() error {
	var missing []wantedVport
	for _, name := range slices.Sorted(maps.Keys(s.vports)) {
		if s.there[name] == nil && s.b.vports[name].retry.due(s.now) {
			missing = append(missing, s.vports[name])
			s.made.Ports[name] = 0
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := s.m.made.save(s.m.o.StateFile); err != nil {
		for _, v := range missing {
			delete(s.made.Ports, v.name)
		}
		return err
	}
	done := 0
	for chunk := range slices.Chunk(missing, portsAtOnce) {
		if s.m.ctx.Err() != nil {
			break
		}
		done += s.makeSome(chunk)
		s.tell()
	}
	if done > 0 {
		s.m.log.Info("ports made", "bridge", s.b.name, "count", done)
	}
	return s.m.made.save(s.m.o.StateFile)
}

// makeSome makes ports; the error of one stays with it. It gives how many it
// made.
func (s *ports) makeSome(list []wantedVport) (done int) {
	var rs []odp.PortRequest
	for _, v := range list {
		rs = append(rs, odp.PortRequest{
			Datapath: s.b.plane.dp, Name: v.name, Type: v.typ, Number: v.number, Options: v.options,
			PIDs: []uint32{s.b.plane.socketNumber()}, Set: odp.SetType | odp.SetNumber | odp.SetPIDs,
		})
	}
	got, errs := s.m.client.AddPorts(s.m.ctx, rs)
	for i := range list {
		name, st := list[i].name, s.b.vports[list[i].name]
		if errs[i] != nil {
			s.failed(name, st, errs[i])
			continue
		}
		done++
		s.made.Ports[name] = got[i].Number
		*st = vportState{number: got[i].Number}
		s.there[name] = &got[i]
	}
	return done
}

func (s *ports) failed(name string, st *vportState, err error) {
	delete(s.made.Ports, name)
	first := st.err == nil || st.err.Error() != err.Error()
	st.err, st.number = err, 0
	st.retry.failed(s.now)
	if first {
		s.m.log.Debug("port cannot be made", "bridge", s.b.name, "port", name, "err", err) // who hears Report says it
	}
}
