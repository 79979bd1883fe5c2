package kswitch

import (
	"fmt"
	"time"

	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// Status is what there is to tell of a bridge.
type Status struct {
	Datapath odp.Datapath // the kernel's counters
	Ports    []odp.Port   // with the kernel's counters, in its order
	Switch   l2.Stats
	// Upcalls were answered; Unusable were not, because a switch cannot use them.
	Upcalls, Unusable uint64
	// Lost frames came faster than they could be answered, or while nobody did:
	// since we work on this datapath, and before.
	Lost, LostBefore uint64
	// Overruns is how often our socket had no room. Refused requests were not
	// done by the kernel; LastRefusal is the last one's error, nil if there was none.
	Overruns, Refused uint64
	LastRefusal       error
	ForeignFlows      int           // made by others, left alone
	LastPoll          time.Duration // how long it last took to read the flows
	Adopted           bool          // the flows that were there have been read and taken over
}

// Status asks for the state of a bridge. The error says that the bridge does not
// work, or that the kernel does not answer.
func (m *Manager) Status(bridge string) (Status, error) {
	p, err := m.plane(bridge)
	if err != nil {
		return Status{}, err
	}
	var s Status
	if s.Datapath, err = m.client.DatapathAt(m.ctx, p.dp); err != nil {
		return s, fmt.Errorf("kernel switch: %w", err)
	}
	if s.Ports, err = m.client.Ports(m.ctx, p.dp); err != nil {
		return s, fmt.Errorf("kernel switch: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeStats(&s.Datapath)
	s.Switch = p.bridge.Stats()
	s.Upcalls, s.Unusable, s.Overruns = p.counts.upcalls, p.counts.unusable, p.counts.overruns
	s.Lost, s.LostBefore = s.Datapath.Lost-p.lostOld, p.lostOld
	s.Refused, s.LastRefusal = p.w.refused, p.w.lastRefusal
	s.LastPoll = p.counts.lastPoll
	s.ForeignFlows, s.Adopted = len(p.foreign), p.adopted
	return s, nil
}

// Stations is the MAC table of a bridge by port, the least recently seen first;
// times are of CLOCK_MONOTONIC.
func (m *Manager) Stations(bridge string) ([]l2.Station, error) {
	p, err := m.plane(bridge)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bridge.Stations(), nil
}

func (m *Manager) plane(bridge string) (*plane, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.planes[bridge]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("bridge %s does not work (yet), or is not of the backend 'kernel'", bridge)
}
