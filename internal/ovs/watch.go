package ovs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
	"netbraid/rtnl"
)

const (
	// notificationSize is the longest notification: a flow with all its actions.
	notificationSize = 64 << 10
	// What is waited before the tables are read again: nothing twice, then this,
	// doubling.
	firstDelay, lastDelay = 10 * time.Millisecond, 2 * time.Second
	// noModuleDelay is what is waited when the module is gone: asking for it starts
	// modprobe.
	noModuleDelay = 30 * time.Second
	// quiet is how long nothing must be lost for the delays to begin anew.
	quiet = 5 * time.Second
)

// WatchOptions say what to watch.
type WatchOptions struct {
	Tables Table // default: TableDatapaths | TablePorts
	Buffer int   // receive buffer in octets; default 4 MiB
}

// Watcher tells what changes in a namespace, and tells all of it again, as
// differences, when notifications were lost.
//
// The kernel says nothing when a port's device gets another name, when an
// internal device is moved to another namespace, and when all flows are deleted
// at once; who must know calls Refresh. What others do to a datapath is told:
// ovs-dpctl, even when it only shows, sets the features of every datapath to its
// own liking (UNALIGNED and PER_CPU, without sockets for the CPUs), after which
// upcalls are lost until somebody sets them back.
type Watcher struct {
	c     *Client
	o     WatchOptions
	fn    func(Event)
	t     *tracker
	mu    sync.Mutex
	wake  context.CancelFunc // ends what Run waits for
	asked bool               // by Refresh
}

// NewWatcher makes a watcher; Run calls fn, one event at a time.
func (c *Client) NewWatcher(o WatchOptions, fn func(Event)) *Watcher {
	if o.Tables == 0 {
		o.Tables = TableDatapaths | TablePorts
	}
	if o.Buffer == 0 {
		o.Buffer = 4 << 20
	}
	return &Watcher{c: c, o: o, fn: fn, t: newTracker(o.Tables, fn)}
}

// Refresh has Run read the tables again, as after a loss.
func (w *Watcher) Refresh() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = true
	if w.wake != nil {
		w.wake()
	}
}

// until derives the context of a wait that Refresh ends.
func (w *Watcher) until(ctx context.Context) (context.Context, context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx, w.wake = context.WithCancel(ctx)
	if w.asked {
		w.wake()
	}
	return ctx, w.wake
}

func (w *Watcher) takeAsked() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = false
	return asked
}

// errReloaded says that the module went away, and the groups with it.
var errReloaded = errors.New("the openvswitch module has been unloaded")

// Run watches until ctx ends, which is the error then. Others are those that
// trying again does not mend: a closed client, no module from the beginning.
// When the module is unloaded later everything is gone, and Run looks every 30 s
// whether it is back.
func (w *Watcher) Run(ctx context.Context) error {
	ran := false
	for attempt := 0; ; attempt++ {
		if err := pause(ctx, delay(attempt)); err != nil {
			return err
		}
		began := time.Now()
		w.takeAsked()
		err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, rtnl.ErrOverrun):
			w.fn(Event{Kind: Lost})
		case errors.Is(err, ErrNoModule) && ran:
			w.t.clear()
			if err := pause(ctx, noModuleDelay); err != nil {
				return err
			}
		case errors.Is(err, context.Canceled): // Refresh
			attempt = -1
			continue
		case !errors.Is(err, errReloaded) && !transient(err):
			return fmt.Errorf("ovs: watch: %w", err)
		}
		ran = true
		if time.Since(began) > quiet {
			attempt = -1
		}
	}
}

// transient tells whether reading again may help.
func transient(err error) bool {
	for _, errno := range []unix.Errno{unix.ENOBUFS, unix.ENOMEM, unix.EBUSY, unix.EAGAIN, unix.EINTR, unix.ETIMEDOUT, unix.ENODEV, unix.ENOENT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// delay is what is waited before an attempt.
func delay(attempt int) time.Duration {
	if attempt < 2 {
		return 0
	}
	return min(firstDelay<<min(attempt-2, 20), lastDelay)
}

func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// once joins the groups, reads the tables and listens until something is lost
// or Refresh is called. A loss is met by a new socket: what is queued in the old
// one is older than the loss.
func (w *Watcher) once(ctx context.Context) error {
	if _, err := w.c.resolve(ctx); err != nil {
		return err
	}
	f := w.c.fams()
	// Ports are told of with their datapath, and datapaths imply what is silent.
	groups := []uint32{odp.ControlGroup, f.datapath.Group}
	if w.o.Tables&TablePorts != 0 {
		groups = append(groups, f.vport.Group)
	}
	if w.o.Tables&TableFlows != 0 {
		groups = append(groups, f.flow.Group)
	}
	n, err := rtnl.SubscribeGeneric(w.c.nsfd(), groups, w.o.Buffer, notificationSize)
	if err != nil {
		return err
	}
	defer n.Close()
	if err := w.sync(ctx); err != nil {
		return err
	}
	ctx, stop := w.until(ctx)
	defer stop()
	var failed error
	err = n.Listen(ctx, func(datagrams [][]byte) bool {
		for _, b := range datagrams {
			if failed = w.datagram(ctx, f, b); failed != nil {
				return false
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return err
}

// datagram takes notifications.
func (w *Watcher) datagram(ctx context.Context, f *families, b []byte) error {
	tables := map[uint16]Table{f.datapath.ID: TableDatapaths, f.vport.ID: TablePorts, f.flow.ID: TableFlows}
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return err
		}
		b = rest
		if h.Type == odp.ControlID && odp.IsRemoval(body, f.datapath.ID) {
			return errReloaded
		}
		table, ok := tables[h.Type]
		if !ok {
			continue
		}
		made, err := w.t.notified(table, body)
		if err != nil {
			return err
		}
		if made != 0 && w.o.Tables&TablePorts != 0 {
			if err := w.localPort(ctx, made); err != nil {
				return err
			}
		}
	}
	return nil
}

// localPort reads what the kernel does not tell of a new datapath.
func (w *Watcher) localPort(ctx context.Context, dp uint32) error {
	p, err := w.c.getPort(ctx, &odp.PortRequest{Datapath: dp, Set: odp.SetNumber, Number: odp.LocalPort})
	if errors.Is(err, unix.ENODEV) { // gone again, which is told too
		return nil
	}
	if err == nil {
		w.t.putPort(p)
	}
	return err
}

// sync reads the tables.
func (w *Watcher) sync(ctx context.Context) error {
	steps := []struct {
		table Table
		read  func(context.Context) error
	}{{TableDatapaths, w.readDatapaths}, {TablePorts, w.readPorts}, {TableFlows, w.readFlows}}
	for _, s := range steps {
		if s.table != TableDatapaths && w.o.Tables&s.table == 0 {
			continue
		}
		w.t.begin(s.table)
		err := s.read(ctx)
		w.t.end(s.table, err == nil)
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Watcher) readDatapaths(ctx context.Context) error {
	list, err := w.c.Datapaths(ctx)
	for _, d := range list {
		w.t.putDatapath(d)
	}
	return err
}

// readPorts reads the ports of each datapath. The dump may pass over one while
// others come and go, so what it does not show is asked for by number.
func (w *Watcher) readPorts(ctx context.Context) error {
	for _, dp := range w.t.indexes() {
		list, err := w.c.Ports(ctx, dp)
		if err != nil && !errors.Is(err, ErrNoDatapath) {
			return err
		}
		for _, p := range list {
			w.t.putPort(p)
		}
	}
	var rs []odp.PortRequest
	for _, k := range w.t.unseenPorts() {
		rs = append(rs, odp.PortRequest{Datapath: k.datapath, Set: odp.SetNumber, Number: k.number})
	}
	ports, errs := w.c.askPorts(ctx, odp.CmdGet, unix.NLM_F_ACK, rs)
	for i, err := range errs {
		switch {
		case err == nil:
			w.t.putPort(ports[i])
		case !errors.Is(err, unix.ENODEV):
			return err
		}
	}
	return nil
}

// readFlows reads the flows of each datapath, with the same care.
func (w *Watcher) readFlows(ctx context.Context) error {
	for _, dp := range w.t.indexes() {
		err := w.c.EachFlow(ctx, dp, 0, func(f *odp.Flow) error { w.t.putFlow(f); return nil })
		if err != nil && !errors.Is(err, ErrNoDatapath) {
			return err
		}
	}
	var rs []odp.FlowRequest
	for _, k := range w.t.unseenFlows() {
		f := k.flow()
		rs = append(rs, odp.FlowRequest{Datapath: k.datapath, Match: f.Match, UFID: f.UFID})
	}
	flows, errs := w.c.askFlows(ctx, odp.CmdGet, unix.NLM_F_ACK, rs)
	for i, err := range errs {
		switch {
		case err == nil:
			w.t.putFlow(&flows[i])
		case !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOENT):
			return err
		}
	}
	return nil
}
