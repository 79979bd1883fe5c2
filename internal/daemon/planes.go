package daemon

import (
	"fmt"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/netns"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/pair"
	"netbraid/internal/plan"
	"netbraid/internal/store"
)

// openPlane makes the client of a dataplane; the core has it connect.
func (d *Daemon) openPlane(a core.OpenPlane) {
	deliver := func(ev dataplane.Event) { d.deliver(core.PlaneEvent{ID: a.ID, Event: ev}) }
	log := d.log.With("dataplane", a.Config.Name)
	switch a.Config.Type {
	case config.NetNS:
		d.planes[a.ID] = netns.New(netns.Options{NetNS: a.Config.NetNS, Leaving: a.Leaving, Log: log, Deliver: deliver})
	case config.VPP:
		d.planes[a.ID] = vpp.New(vpp.Options{Socket: a.Config.Socket, Window: a.Config.Window, Punt: a.Config.Punt, Log: log, Deliver: deliver})
	}
}

// planeDo hands on what an engine wants of its dataplane.
func (d *Daemon) planeDo(a core.PlaneDo) {
	p := d.planes[a.ID]
	if p == nil {
		return // closed meanwhile
	}
	switch do := a.Action.(type) {
	case pair.Connect:
		d.connectPlane(a.ID, p, do.Epoch)
	case pair.Dump:
		p.Dump(do.Epoch, do.Kind)
	case pair.Write:
		p.Write(do.Epoch, do.Batch)
	default:
		panic(fmt.Sprintf("daemon: dataplanes cannot do %T", do)) // the core and we are out of step
	}
}

// connectPlane connects when the dataplanes that were closed before have ended:
// one of them may be the same, with operations in flight.
func (d *Daemon) connectPlane(id core.PlaneID, p dataplane.Dataplane, epoch uint32) {
	closing := d.closing
	if closing == nil {
		p.Connect(epoch)
		return
	}
	go func() {
		<-closing
		select {
		case d.calls <- func() {
			if d.planes[id] == p {
				p.Connect(epoch)
			}
		}:
		case <-d.done:
		}
	}()
}

// closePlane closes a client, after those before it.
func (d *Daemon) closePlane(a core.ClosePlane) {
	p := d.planes[a.ID]
	if p == nil {
		return
	}
	delete(d.planes, a.ID)
	before, done := d.closing, make(chan struct{})
	d.closing = done
	go func() { // its last events may wait for the loop
		if fwd, ok := p.(*netns.Dataplane); ok && a.Left {
			fwd.Leave()
		}
		p.Close()
		if before != nil {
			<-before
		}
		close(done)
	}()
}

// closePlanes ends the use of every dataplane; what was written stays.
func (d *Daemon) closePlanes() {
	for _, p := range d.planes {
		p.Close()
	}
}

// writeNS does what an engine wants of Linux.
func (d *Daemon) writeNS(a core.WriteNS) {
	tell := func(r []plan.Result) core.Event { return core.WroteNS{ID: a.ID, NS: a.NS, Results: r} }
	if a.NS == 0 {
		d.kern.Write(a.Ops, tell)
		return
	}
	d.spaces.Write(a.NS, a.Ops, tell)
}

// readMade gives what earlier processes have made on dataplanes.
func (d *Daemon) readMade() map[string][]pair.Made {
	if _, err := store.ReadMade(d.o.RunDir, &d.made); err != nil {
		d.log.Warn("what was made on dataplanes is not known any more; it stays there when it is not wanted", "error", err)
	}
	if d.made == nil {
		d.made = map[string][]pair.Made{}
	}
	return d.made
}

// saveMade writes down what has been made on a dataplane.
func (d *Daemon) saveMade(a core.SaveMade) {
	if d.made[a.Name] = a.Made; len(a.Made) == 0 {
		delete(d.made, a.Name)
	}
	if err := store.SaveMade(d.o.RunDir, d.made); err != nil {
		d.log.Warn("a crash now would leave behind what was made on a dataplane", "dataplane", a.Name, "error", err)
	}
}
