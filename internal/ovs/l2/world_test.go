package l2

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// frame is an Ethernet frame as far as a switch looks at it: addresses, and
// tags, the outer first.
type frame struct {
	src, dst MAC
	tags     []Tag
}

// delivery is a frame as it leaves a port.
type delivery struct {
	port uint32
	tags string
}

func sorted(d []delivery) []delivery {
	slices.SortFunc(d, func(a, b delivery) int { return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.tags, b.tags)) })
	return d
}

// plain is a learning switch written down as the standard and
// ovs-vswitchd.conf.db(5) have it, without flows or limits.
type plain struct {
	ports  map[uint32]VLAN
	table  map[station]plainEntry
	ageing time.Duration
	sentAt map[sender]bool
}

// sender is an address that has sent into a port, in whatever VLAN.
type sender struct {
	mac  MAC
	port uint32
}

// plausible tells whether a frame went to nowhere but a port where its
// destination has been.
func (s *plain) plausible(in uint32, f frame, got, flood []delivery) bool {
	if len(got) == 0 {
		return s.sentAt[sender{f.dst, in}]
	}
	return len(got) == 1 && slices.Contains(flood, got[0]) && s.sentAt[sender{f.dst, got[0].port}]
}

type plainEntry struct {
	port uint32
	seen time.Duration
}

func newPlain(ageing time.Duration) *plain {
	return &plain{map[uint32]VLAN{}, map[station]plainEntry{}, ageing, map[sender]bool{}}
}

func (s *plain) member(p uint32, vlan uint16) bool {
	v, ok := s.ports[p]
	if !ok {
		return false
	}
	inTrunks := len(v.Trunks) == 0 || slices.Contains(v.Trunks, vlan)
	switch v.Mode {
	case Access:
		return v.Tag == vlan
	case Trunk:
		return inTrunks
	default:
		return inTrunks || v.Tag == vlan
	}
}

// classify is the VLAN of a frame at its entrance, its priority and its tag
// protocol, and what is below the tag.
func (s *plain) classify(in uint32, tags []Tag) (vlan, pcp, tpid uint16, below []Tag, ok bool) {
	v, there := s.ports[in]
	if !there {
		return 0, 0, 0, nil, false
	}
	tpid = 0x8100
	below = tags
	hasVID := false
	if len(tags) > 0 {
		vlan, pcp, tpid, below = tags[0].TCI&0xfff, tags[0].TCI>>13, tags[0].TPID, tags[1:]
		hasVID = vlan != 0
	}
	if hasVID && v.Mode == Access {
		return 0, 0, 0, nil, false
	}
	if !hasVID && v.Mode != Trunk {
		vlan = v.Tag
	}
	return vlan, pcp, tpid, below, s.member(in, vlan)
}

func (s *plain) forward(now time.Duration, in uint32, f frame) (out, flooded []delivery) {
	s.sentAt[sender{f.src, in}] = true
	vlan, pcp, tpid, below, ok := s.classify(in, f.tags)
	if !ok || f.src[0]&1 == 1 || f.src == (MAC{}) {
		return nil, nil
	}
	if f.dst[0] == 1 && f.dst[1] == 0x80 && f.dst[2] == 0xc2 && f.dst[3] == 0 && f.dst[4] == 0 && f.dst[5] < 16 {
		return nil, nil
	}
	s.table[station{vlan, f.src}] = plainEntry{in, now}
	to, isKnown := s.table[station{vlan, f.dst}]
	for p := range s.ports {
		if p == in || !s.member(p, vlan) {
			continue
		}
		tags := slices.Clone(below)
		if v := s.ports[p]; vlan != 0 && (v.Mode == Trunk || v.Mode == NativeTagged || v.Mode == NativeUntagged && v.Tag != vlan) {
			tags = append([]Tag{{tpid, pcp<<13 | 0x1000 | vlan}}, tags...)
		}
		d := delivery{p, fmt.Sprint(tags)}
		flooded = append(flooded, d)
		if f.dst[0]&1 == 1 || !isKnown || to.port == p {
			out = append(out, d)
		}
	}
	return sorted(out), sorted(flooded)
}

func (s *plain) age(now time.Duration) {
	for k, e := range s.table {
		if now-e.seen > s.ageing {
			delete(s.table, k)
		}
	}
}

func (s *plain) setPorts(ports map[uint32]VLAN) {
	s.ports = ports
	for k, e := range s.table {
		if !s.member(e.port, k.vlan) {
			delete(s.table, k)
		}
	}
}

// datapath is the kernel's: a table of flows that match exactly.
type datapath struct {
	flows map[Key]*dpFlow
}

type dpFlow struct {
	actions []Action
	used    time.Duration
	hasUsed bool
}

func (d *datapath) apply(changes []Change) {
	for _, c := range changes {
		switch f := d.flows[c.Key]; {
		case c.Delete:
			delete(d.flows, c.Key)
		case f != nil:
			f.actions = slices.Clone(c.Actions)
		default:
			d.flows[c.Key] = &dpFlow{actions: slices.Clone(c.Actions)}
		}
	}
}

// execute does actions with a frame.
func execute(f frame, actions []Action) (out []delivery) {
	tags := slices.Clone(f.tags)
	for _, a := range actions {
		switch a.Kind {
		case Output:
			out = append(out, delivery{a.Port, fmt.Sprint(tags)})
		case PopVLAN:
			tags = tags[1:]
		case PushVLAN:
			tags = append([]Tag{a.Tag}, tags...)
		}
	}
	return sorted(out)
}

func keyOf(in uint32, f frame) Key {
	k := Key{Port: in, Src: f.src, Dst: f.dst}
	if len(f.tags) > 0 {
		k.Tag = f.tags[0]
	}
	if len(f.tags) > 1 {
		k.Inner = f.tags[1]
	}
	return k
}

// world is a bridge with its datapath.
type world struct {
	b   *Bridge
	dp  datapath
	now time.Duration
}

func newWorld(o Options) *world {
	return &world{b: New(o), dp: datapath{map[Key]*dpFlow{}}, now: time.Second}
}

// arrive lets a frame come in, and gives where it went; hit: a flow did it.
func (w *world) arrive(in uint32, f frame) (out []delivery, hit bool) {
	k := keyOf(in, f)
	if fl := w.dp.flows[k]; fl != nil {
		fl.used, fl.hasUsed = w.now, true
		return execute(f, fl.actions), true
	}
	v := w.b.Packet(w.now, k)
	w.dp.apply(w.b.Changes())
	if v.Install {
		w.dp.apply([]Change{{Key: k, Actions: v.Actions()}})
	}
	for _, list := range v.Out {
		out = append(out, execute(f, list)...)
	}
	return sorted(out), false
}

// pollFlows reads the flows of the datapath.
func (w *world) pollFlows(full bool) (more bool) {
	w.b.BeginPoll()
	for k, f := range w.dp.flows {
		s := Found{Key: k, Used: f.used, HasUsed: f.hasUsed, Full: full}
		if full {
			s.Actions = slices.Clone(f.actions)
		}
		w.b.Flow(s)
	}
	more = w.b.EndPoll(w.now, true)
	w.dp.apply(w.b.Changes())
	return more
}

func (w *world) setPorts(ports map[uint32]VLAN) {
	var list []Port
	for n, v := range ports {
		list = append(list, Port{n, v})
	}
	w.b.SetPorts(list)
	w.dp.apply(w.b.Changes())
}

// check holds what is true between calls; agree: the datapath has been left
// alone by others.
func (w *world) check(agree bool) error {
	b := w.b
	n, actions := 0, 0
	for f := b.all; f != nil; f = f.links[inAll].next {
		n, actions = n+1, actions+len(f.actions)
		if b.flows[f.key] != f {
			return fmt.Errorf("flow %s is in the list only", f.key)
		}
		r := b.where(f.key)
		if !r.install || !slices.Equal(r.list(), f.actions) {
			return fmt.Errorf("flow %s has actions %v, would have %v (install %v)", f.key, f.actions, r.out, r.install)
		}
		for end, e := range f.ends {
			if e != nil && b.stations[e.station] != e {
				return fmt.Errorf("flow %s depends on a station (%d) that is not there", f.key, end)
			}
		}
		if src := f.ends[asSource]; src != nil && src.port != r.in && src.heldUntil == 0 {
			return fmt.Errorf("flow %s comes from where its source is not", f.key)
		}
	}
	if n != len(b.flows) || actions != b.actions {
		return fmt.Errorf("%d flows with %d actions in the list, %d with %d counted", n, actions, len(b.flows), b.actions)
	}
	stations := 0
	for _, p := range b.ports {
		m := 0
		for e := p.first; e != nil; e = e.next {
			m++
			if e.port != p || b.stations[e.station] != e || !p.VLAN.carries(e.vlan) {
				return fmt.Errorf("station %s of VLAN %d is wrong behind port %d", e.mac, e.vlan, p.Number)
			}
		}
		if m != p.entries {
			return fmt.Errorf("port %d counts %d stations and has %d", p.Number, p.entries, m)
		}
		stations += m
	}
	switch {
	case stations != len(b.stations):
		return fmt.Errorf("%d stations in lists, %d in the table", stations, len(b.stations))
	case stations > b.o.MaxStations || n > b.o.MaxFlows || actions > b.o.MaxActions:
		return fmt.Errorf("%d stations, %d flows, %d actions: over a limit", stations, n, actions)
	case !agree:
		return nil
	case len(w.dp.flows) != n:
		return fmt.Errorf("%d flows in the datapath, %d known", len(w.dp.flows), n)
	}
	for k, f := range w.dp.flows {
		if mine := b.flows[k]; mine == nil || !slices.Equal(mine.actions, f.actions) {
			return fmt.Errorf("flow %s of the datapath is not as it should be", k)
		}
	}
	return nil
}
