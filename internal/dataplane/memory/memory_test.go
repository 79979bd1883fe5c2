package memory_test

import (
	"fmt"
	"testing"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/conformance"
	"netbraid/internal/dataplane/memory"
	"netbraid/rtnl"
)

// links is a Linux that only counts what it is told.
type links struct {
	all  map[uint32]*conformance.Host
	name map[string]uint32
	next uint32
}

func (l *links) AddLink(_, name string, mtu uint32, mac rtnl.HWAddr, _ bool) (uint32, error) {
	return l.add(name, conformance.Host{MTU: mtu, MAC: mac})
}

func (l *links) AddVLAN(_ string, parent uint32, name string, id uint16, _ bool) (uint32, error) {
	if i, ok := l.name[name]; ok && l.all[i].VLAN == id {
		return i, nil
	}
	return l.add(name, conformance.Host{VLAN: id})
}

func (l *links) add(name string, h conformance.Host) (uint32, error) {
	if l.name[name] != 0 {
		return 0, fmt.Errorf("link %s: %w", name, dataplane.ErrTaken)
	}
	l.next++
	h.Index, h.Up = l.next, true
	l.all[l.next], l.name[name] = &h, l.next
	return l.next, nil
}

func (l *links) DelLink(_ string, index uint32) {
	for name, i := range l.name {
		if i == index {
			delete(l.name, name)
		}
	}
	delete(l.all, index)
}

func (l *links) SetCarrier(_ string, index uint32, on bool) {
	if h := l.all[index]; h != nil {
		h.Carrier = on
	}
}

func (l *links) host(name string) (conformance.Host, bool) {
	if i := l.name[name]; i != 0 {
		return *l.all[i], true
	}
	return conformance.Host{}, false
}

func worldOf(o memory.Options) func(*testing.T) *conformance.World {
	return func(t *testing.T) *conformance.World {
		l := &links{all: map[uint32]*conformance.Host{}, name: map[string]uint32{}}
		o.Linux = l
		s := memory.Share(memory.New(o))
		return &conformance.World{
			New:        s.Start,
			AddPhy:     func(name string) { s.With(func(w *memory.World) { w.AddPhy(name, dataplane.Ethernet) }) },
			DelPhy:     func(name string) { s.With(func(w *memory.World) { w.DelPhy(name) }) },
			SetCarrier: func(name string, on bool) { s.With(func(w *memory.World) { w.SetCarrier(name, on) }) },
			NetNS:      "/run/netns/c",
			Host: func(name string) (h conformance.Host, ok bool) {
				s.With(func(*memory.World) { h, ok = l.host(name) })
				return h, ok
			},
			TakeName: func(name string) { s.With(func(*memory.World) { l.add(name, conformance.Host{}) }) },
			Outside: func(op *dataplane.Op) (err error) {
				s.With(func(w *memory.World) { err = w.Outside(op) })
				return err
			},
			Restart: func(keep bool) { s.With(func(w *memory.World) { w.Restart(keep) }) },
		}
	}
}

// TestConformance holds the dataplane in memory to the contract: as much as VPP
// can, as much as a namespace can, and as little as there may be.
func TestConformance(t *testing.T) {
	for name, o := range map[string]memory.Options{
		"like VPP": {Caps: dataplane.Caps{Resolves: true, Carrier: true, Multicast: true, MPLS: true, TUN: true, SubInterfaces: true, MaxPaths: 64},
			RefuseOverlap: true, Chunk: 7, Slow: true},
		"like a namespace": {Caps: dataplane.Caps{Local: true, Resolves: true, SubInterfaces: true, Clamps: true, MaxPaths: 256}},
		"bare":             {Chunk: 1000},
	} {
		t.Run(name, func(t *testing.T) { conformance.Run(t, worldOf(o)) })
	}
}
