package memory

import (
	"errors"
	"fmt"
	"slices"

	"netbraid/internal/dataplane"
)

// Plane is a client's connection to a World. Its methods queue work; Work does a
// piece of it, Take gives what there is to deliver.
type Plane struct {
	w      *World
	epoch  uint32
	up     bool
	closed bool
	jobs   []func()
	events []dataplane.Event
}

// Plane makes a client that is not connected.
func (w *World) Plane() *Plane {
	p := &Plane{w: w}
	w.planes = append(w.planes, p)
	return p
}

// Connect is dataplane.Dataplane's.
func (p *Plane) Connect(epoch uint32) {
	p.up, p.epoch, p.jobs, p.events = false, epoch, nil, nil
	p.jobs = append(p.jobs, func() {
		if err := p.w.Unreachable; err != nil {
			p.events = append(p.events, dataplane.Down{Epoch: epoch, Err: err})
			return
		}
		p.up = true
		p.events = append(p.events, dataplane.Up{Epoch: epoch, Caps: p.w.o.Caps})
	})
}

// Dump is dataplane.Dataplane's.
func (p *Plane) Dump(epoch uint32, k dataplane.Kind) {
	if p.up && epoch == p.epoch {
		p.jobs = append(p.jobs, func() { p.dump(k, dataplane.Dumped{}, 0) })
	}
}

// Write is dataplane.Dataplane's.
func (p *Plane) Write(epoch uint32, b dataplane.Batch) {
	if p.up && epoch == p.epoch {
		p.jobs = append(p.jobs, func() { p.write(b) })
	}
}

// Close is dataplane.Dataplane's.
func (p *Plane) Close() {
	p.up, p.closed, p.jobs, p.events = false, true, nil, nil
	p.w.planes = slices.DeleteFunc(p.w.planes, func(o *Plane) bool { return o == p })
}

// Work does a piece of what is queued, and tells whether there was one.
func (p *Plane) Work() bool {
	if len(p.jobs) == 0 {
		return false
	}
	j := p.jobs[0]
	p.jobs = p.jobs[1:]
	j()
	return true
}

// Take gives the next event to deliver.
func (p *Plane) Take() (dataplane.Event, bool) {
	if len(p.events) == 0 {
		return nil, false
	}
	ev := p.events[0]
	p.events = p.events[1:]
	return ev, true
}

// Idle tells that nothing is queued or to be delivered.
func (p *Plane) Idle() bool { return len(p.jobs) == 0 && len(p.events) == 0 }

// Lose ends the connection: what is queued is not done.
func (p *Plane) Lose() { p.lose(errors.New("connection lost")) }

func (p *Plane) lose(why error) {
	if p.up {
		p.up, p.jobs = false, nil
		p.events = append(p.events, dataplane.Down{Epoch: p.epoch, Err: why})
	}
}

// dump shows a part of a table and leaves the rest for later, when it may have
// changed: rows are shown at most once, in their order.
func (p *Plane) dump(k dataplane.Kind, last dataplane.Dumped, parts int) {
	if f := p.w.SpoilDump; f != nil && parts > 0 {
		if err := f(k); err != nil {
			p.events = append(p.events, dataplane.DumpDone{Epoch: p.epoch, Kind: k, Err: err})
			return
		}
	}
	d, more := after(p.w.Has(), k, last, p.w.o.Chunk)
	if !d.empty() {
		d.Epoch, d.Kind = p.epoch, k
		p.events = append(p.events, d.Dumped)
	}
	if more {
		p.jobs = slices.Insert(p.jobs, 0, func() { p.dump(k, d.Dumped, parts+1) })
		return
	}
	p.events = append(p.events, dataplane.DumpDone{Epoch: p.epoch, Kind: k})
}

type part struct{ dataplane.Dumped }

func (d part) empty() bool {
	return len(d.Interfaces)+len(d.Pairs)+len(d.Tables)+len(d.Addrs)+len(d.Neighs)+len(d.Locals)+len(d.Routes) == 0
}

// after cuts the next n rows of a kind after those that were shown last.
func after(all dataplane.Dumped, k dataplane.Kind, last dataplane.Dumped, n int) (d part, more bool) {
	switch k {
	case dataplane.KindInterface:
		d.Interfaces, more = cut(all.Interfaces, last.Interfaces, n, func(a, b dataplane.Interface) bool { return a.Index <= b.Index })
	case dataplane.KindPair:
		d.Pairs, more = cut(all.Pairs, last.Pairs, n, func(a, b dataplane.Pair) bool { return a.Phy <= b.Phy })
	case dataplane.KindTable:
		d.Tables, more = cut(all.Tables, last.Tables, n, func(a, b dataplane.Table) bool {
			return a.ID < b.ID || a.ID == b.ID && a.Family <= b.Family
		})
	case dataplane.KindAddr:
		d.Addrs, more = cut(all.Addrs, last.Addrs, n, func(a, b dataplane.Addr) bool { return compareAddrs(a, b) <= 0 })
	case dataplane.KindNeigh:
		d.Neighs, more = cut(all.Neighs, last.Neighs, n, func(a, b dataplane.Neigh) bool {
			return a.Index < b.Index || a.Index == b.Index && a.Addr.Compare(b.Addr) <= 0
		})
	case dataplane.KindLocal:
		for i, a := range all.Locals {
			if len(last.Locals) == 0 || last.Locals[len(last.Locals)-1].Compare(a) < 0 {
				all.Locals = all.Locals[i:]
				d.Locals, more = all.Locals[:min(n, len(all.Locals))], len(all.Locals) > n
				break
			}
		}
	case dataplane.KindRoute:
		d.Routes, more = cut(all.Routes, last.Routes, n, func(a, b dataplane.Route) bool { return a.Key.Compare(b.Key) <= 0 })
	}
	return d, more
}

// cut gives the next n rows that are beyond those shown last.
func cut[T any](all, last []T, n int, upTo func(a, b T) bool) ([]T, bool) {
	if len(last) > 0 {
		end := last[len(last)-1]
		i := slices.IndexFunc(all, func(x T) bool { return !upTo(x, end) })
		if i < 0 {
			return nil, false
		}
		all = all[i:]
	}
	return all[:min(n, len(all))], len(all) > n
}

// write does a batch: all of it, or an operation and the rest later.
func (p *Plane) write(b dataplane.Batch) {
	p.rest(&dataplane.Done{Epoch: p.epoch, ID: b.ID, Ops: b.Ops}, 0)
}

func (p *Plane) rest(done *dataplane.Done, from int) {
	for i := from; i < len(done.Ops); i++ {
		if !p.one(done, i) {
			return
		}
		if p.w.o.Slow && i+1 < len(done.Ops) {
			p.jobs = slices.Insert(p.jobs, 0, func() { p.rest(done, i+1) })
			return
		}
	}
	p.events = append(p.events, *done)
}

// one does an operation; false when the connection ended.
func (p *Plane) one(done *dataplane.Done, i int) bool {
	op := &done.Ops[i]
	before, after := false, false
	if p.w.Lose != nil {
		before, after = p.w.Lose(op)
	}
	if before {
		p.lose(fmt.Errorf("connection lost before %s", op.Kind))
		return false
	}
	m, err := p.w.Do(op)
	switch {
	case err != nil:
		done.Failed = append(done.Failed, dataplane.Failed{Op: i, Err: err})
	case m != nil:
		m.Op = i
		done.Made = append(done.Made, *m)
	}
	if after {
		p.lose(fmt.Errorf("connection lost after %s", op.Kind))
	}
	return !after
}
