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

// reading is one pass over the flows of the datapath.
type reading struct {
	full    bool
	tunnels *tunnels
	known   map[l2.Key]struct{} // flows of others, as seen before
	foreign map[l2.Key]struct{} // as seen now, when full
	batch   []l2.Found
}

// readBatch is how many flows are handed on at once: who answers upcalls has to
// wait meanwhile, and to hand them on one by one has to wait for him each time.
const readBatch = 512

// errChanged ends a pass whose flows would be taken for those of other tunnels.
var errChanged = errors.New("tunnels have changed while the flows were read")

// take takes a flow of a dump.
func (r *reading) take(f *odp.Flow) {
	s, mine := r.tunnels.toFound(f, r.full)
	if !mine {
		if r.full && len(r.foreign) < maxForeign {
			r.foreign[s.Key] = struct{}{}
		}
		return
	}
	if _, foreign := r.known[s.Key]; r.full || !foreign {
		r.batch = append(r.batch, s)
	}
}

// hand hands on what was taken.
func (p *plane) hand(r *reading) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tunnels != r.tunnels && !p.tunnels.equal(r.tunnels) {
		return errChanged
	}
	for i := range r.batch {
		p.bridge.Flow(r.batch[i])
	}
	r.batch = r.batch[:0]
	return nil
}

// poll reads the flows and the counters once. more: they are to be read with
// what they do.
func (p *plane) poll(full bool) (more bool, err error) {
	began := ovs.Monotonic()
	p.mu.Lock()
	p.bridge.BeginPoll()
	r := &reading{full: full, tunnels: p.tunnels, known: p.foreign, foreign: map[l2.Key]struct{}{}}
	p.mu.Unlock()

	var omit odp.UFIDFlags
	if !full {
		omit = odp.OmitMask | odp.OmitActions
	}
	err = p.reader.EachFlow(p.ctx, p.dp, omit, func(f *odp.Flow) error {
		if r.take(f); len(r.batch) < readBatch {
			return nil
		}
		return p.hand(r)
	})
	if err == nil {
		err = p.hand(r)
	}
	p.mu.Lock()
	more = p.bridge.EndPoll(ovs.Monotonic(), err == nil)
	p.tell()
	p.counts.lastPoll = ovs.Monotonic() - began
	if full && err == nil {
		p.adopted = true
		if p.foreign = r.foreign; len(r.foreign) > len(r.known) {
			p.note(burstForeign, uint64(len(r.foreign)))
		}
	}
	p.mu.Unlock()
	if errors.Is(err, errChanged) {
		more, err = true, nil
	}
	return more, errors.Join(err, p.readStats())
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
