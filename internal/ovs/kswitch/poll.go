package kswitch

import (
	"errors"
	"time"

	"netbraid/internal/ovs"
	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// Reading the flows: at least pollEvery apart, and not more than a tenth of the
// time; every fullPoll-th time with what they do.
const (
	pollEvery = time.Second
	pollShare = 10
	fullPoll  = 30
)

// maxForeign bounds what is kept of flows that others have made.
const maxForeign = 65536

// pollFlows reads the flows until the plane is closed; full: first with what
// they do.
func (p *plane) pollFlows(full bool) {
	defer p.done.Done()
	took := time.Duration(0)
	for n := 1; p.pause(max(pollEvery, pollShare*took)); n++ {
		began := ovs.Monotonic()
		more, err := p.poll(full)
		took = ovs.Monotonic() - began
		if err != nil && !p.stopped() {
			p.log.Warn("read flows", "err", err)
		}
		full = more || err != nil && full || n%fullPoll == 0
	}
}

// pause waits, and reads the counters once meanwhile if frames were lost. It is
// false when the plane is closed.
func (p *plane) pause(d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-p.ctx.Done():
		return false
	case <-wait.C:
		return true
	case <-p.wake:
	}
	if err := p.readStats(); err != nil && !p.stopped() {
		p.log.Warn("read counters", "err", err)
	}
	select {
	case <-p.ctx.Done():
		return false
	case <-wait.C:
		return true
	}
}

// poll reads the flows and the counters once. more: they are to be read with
// what they do.
func (p *plane) poll(full bool) (more bool, err error) {
	began := ovs.Monotonic()
	p.mu.Lock()
	p.bridge.BeginPoll()
	known := p.foreign
	if full {
		p.foreign = map[l2.Key]struct{}{}
	}
	p.mu.Unlock()

	var omit odp.UFIDFlags
	if !full {
		omit = odp.OmitMask | odp.OmitActions
	}
	err = p.reader.EachFlow(p.ctx, p.dp, omit, func(f *odp.Flow) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.flow(f, full, known)
		return nil
	})
	p.mu.Lock()
	now := ovs.Monotonic()
	more = p.bridge.EndPoll(now, err == nil)
	p.tell()
	p.counts.lastPoll = ovs.Monotonic() - began
	p.adopted = p.adopted || full && err == nil
	if full && len(p.foreign) > len(known) {
		p.note(burstForeign, uint64(len(p.foreign)))
	}
	p.mu.Unlock()
	return more, errors.Join(err, p.readStats())
}

// flow takes a flow of a dump; p.mu is held.
func (p *plane) flow(f *odp.Flow, full bool, known map[l2.Key]struct{}) {
	s, mine := p.tunnels.toFound(f, full)
	if full && !mine {
		if len(p.foreign) < maxForeign {
			p.foreign[s.Key] = struct{}{}
		}
		return
	}
	if _, foreign := known[s.Key]; mine && (full || !foreign) {
		p.bridge.Flow(s)
	}
}

// readStats reads the counters of the datapath: how many misses it could not
// hand to us.
func (p *plane) readStats() error {
	d, err := p.reader.DatapathAt(p.ctx, p.dp)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeStats(&d)
	return nil
}

// takeStats compares with the counters seen before; p.mu is held.
func (p *plane) takeStats(d *odp.Datapath) {
	if d.Lost > p.lost {
		p.note(burstLost, d.Lost-p.lost)
	}
	p.lost = d.Lost
	p.reportAll(ovs.Monotonic())
}
