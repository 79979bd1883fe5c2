package netns

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// refused gives an answer of the kernel the name that callers know.
func refused(err error) error {
	var kind error
	switch {
	case err == nil || errors.Is(err, dataplane.ErrUnsupported) || errors.Is(err, dataplane.ErrNoInterface):
		return err
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENXIO):
		kind = dataplane.ErrNoInterface
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT):
		kind = dataplane.ErrUnsupported
	case errors.Is(err, unix.EEXIST):
		kind = dataplane.ErrTaken
	default:
		kind = dataplane.ErrRefused
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// batch is a Write being worked off.
type batch struct {
	*session
	done   dataplane.Done
	failed map[int]error
	// Routes are sent many at once: the messages that wait, in one piece of
	// memory, and the operations that they are of.
	buf    []byte
	ends   []int
	ofs    []int
	routes bool
}

// write does the operations of a batch in their order, but for local addresses:
// those that are added come first of all, those that are removed last, so that
// an address is never on a phy without being in the sets.
func (s *session) write(b dataplane.Batch) {
	w := &batch{session: s, done: dataplane.Done{Epoch: s.epoch, ID: b.ID, Ops: b.Ops}, failed: map[int]error{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	add, del, where := w.localOps(b.Ops)
	w.locals(add, where)
	for i := range b.Ops {
		op := &b.Ops[i]
		switch op.Kind {
		case dataplane.LocalAdd, dataplane.LocalDel:
		case dataplane.RouteSet, dataplane.RouteDel:
			w.routes = true
			if err := w.route(i, op); err != nil {
				w.failed[i] = fmt.Errorf("%v: %w", op.Kind, err)
			}
		default:
			w.flushRoutes()
			if err := w.one(i, op); err != nil {
				w.failed[i] = fmt.Errorf("%v: %w", op.Kind, err)
			}
		}
	}
	w.flushRoutes()
	w.locals(del, where)
	w.finish()
}

// finish answers, after everything that the batch has caused.
func (w *batch) finish() {
	if w.routes {
		w.settle()
	}
	w.drain()
	w.drain() // what was written again in answer to the first
	w.react()
	w.judge(true)
	for i := range w.done.Ops {
		if err := w.failed[i]; err != nil {
			w.done.Failed = append(w.done.Failed, dataplane.Failed{Op: i, Err: err})
		}
	}
	w.send(w.done)
	w.flush()
}

// localOps sorts the operations on local addresses: the last one on an address
// counts.
func (w *batch) localOps(ops []dataplane.Op) (add, del map[netip.Addr]bool, where map[netip.Addr][]int) {
	for i := range ops {
		op := &ops[i]
		if op.Kind != dataplane.LocalAdd && op.Kind != dataplane.LocalDel {
			continue
		}
		if !op.Addr.IsValid() || op.Addr.Zone() != "" || op.Addr.Is4In6() {
			w.failed[i] = fmt.Errorf("%v of %v: %w", op.Kind, op.Addr, dataplane.ErrRefused)
			continue
		}
		if where == nil {
			add, del, where = map[netip.Addr]bool{}, map[netip.Addr]bool{}, map[netip.Addr][]int{}
		}
		delete(add, op.Addr)
		delete(del, op.Addr)
		if op.Kind == dataplane.LocalAdd {
			add[op.Addr] = true
		} else {
			del[op.Addr] = false
		}
		where[op.Addr] = append(where[op.Addr], i)
	}
	return add, del, where
}

func (w *batch) locals(state map[netip.Addr]bool, where map[netip.Addr][]int) {
	for a, err := range w.setLocals(state) {
		for _, i := range where[a] {
			w.failed[i] = err
		}
	}
}

// one does an operation that is no route.
func (w *batch) one(i int, op *dataplane.Op) error {
	switch op.Kind {
	case dataplane.PairAdd:
		p, err := w.addPair(op.Pair)
		if err == nil {
			w.done.Made = append(w.done.Made, dataplane.Made{Op: i, Pair: p.value()})
		}
		return err
	case dataplane.PairDel:
		return w.delPair(op.Pair)
	case dataplane.SubAdd:
		index, err := w.addSub(op)
		if err == nil {
			w.done.Made = append(w.done.Made, dataplane.Made{Op: i, Index: index})
		}
		return err
	case dataplane.SubDel:
		return w.delSub(op.Index)
	case dataplane.SetUp, dataplane.SetMTU, dataplane.SetMAC:
		return w.setLink(op)
	case dataplane.SetTable:
		return w.bind(op.Index, op.Value)
	case dataplane.SetMPLS:
		return w.setMPLS(op.Index, op.On)
	case dataplane.SetCarrier:
		return fmt.Errorf("companions follow the carrier by themselves: %w", dataplane.ErrUnsupported)
	case dataplane.SetMulticast:
		return fmt.Errorf("companions hear multicast by themselves: %w", dataplane.ErrUnsupported)
	case dataplane.TableAdd:
		return w.addTable(op.Value, op.Family)
	case dataplane.TableDel:
		return w.delTable(op.Value, op.Family)
	case dataplane.AddrAdd:
		return w.addAddr(dataplane.Addr{Index: op.Index, Prefix: op.Prefix})
	case dataplane.AddrDel:
		return w.delAddr(dataplane.Addr{Index: op.Index, Prefix: op.Prefix})
	case dataplane.NeighSet:
		return w.setNeigh(neighKey{op.Index, op.Addr}, op.MAC)
	case dataplane.NeighDel:
		return w.delNeigh(neighKey{op.Index, op.Addr})
	}
	return fmt.Errorf("operation %d: %w", op.Kind, dataplane.ErrUnsupported)
}

// setLink sets what an interface itself has.
func (w *batch) setLink(op *dataplane.Op) error {
	l, err := w.phyLink(op.Index)
	if err != nil {
		return err
	}
	p := w.pairs[op.Index]
	switch op.Kind {
	case dataplane.SetUp:
		if p != nil { // its routes are the caller's to write: no need to hold it
			p.ours = true
			defer func() { p.ours = false }()
		}
		if err = w.exec(setFlag(op.Index, rtnl.LinkUp, op.On)); errors.Is(err, unix.ENETDOWN) {
			err = fmt.Errorf("what it is on is down, that goes up first: %w", err)
		}
		w.drain()
	case dataplane.SetMTU:
		if err = w.exec(setMTU(op.Index, op.Value)); err == nil && p != nil && p.port != 0 {
			err = w.exec(setMTU(p.port, op.Value))
		}
		w.drain()
	case dataplane.SetMAC:
		if op.MAC.Len != l.Addr.Len {
			return fmt.Errorf("%s: address %v: %w", l.Name, op.MAC, dataplane.ErrRefused)
		}
		err = w.exec(rtnl.AppendLink(nil, unix.RTM_NEWLINK, 0, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: op.Index, Addr: op.MAC}, Set: rtnl.LinkAddr}))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	return nil
}

// route queues the message of a route.
func (w *batch) route(i int, op *dataplane.Op) error {
	family := keyFamily(op.Route)
	var r rtnl.Route
	typ, flags := uint16(unix.RTM_DELROUTE), uint16(0)
	if op.Kind == dataplane.RouteSet {
		t := w.paths.template(op.Paths, family, w.popTo)
		if t.err != nil {
			return t.err
		}
		r = t.route
		typ, flags = unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE
	} else {
		r = rtnl.Route{Family: family, Protocol: Protocol, Scope: unix.RT_SCOPE_NOWHERE}
		delete(w.odd, op.Route)
	}
	if err := routeKey(&r, op.Route); err != nil {
		return err
	}
	if family == unix.AF_MPLS {
		if err := w.needLabels(); err != nil {
			return err
		}
		if !w.useLabel(op) {
			return nil
		}
		r.Scope, r.Type = unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST
	}
	if op.Kind == dataplane.RouteSet {
		w.noteOdd(op, &r, family)
	}
	w.buf = rtnl.AppendRoute(w.buf, typ, unix.NLM_F_REQUEST|flags, 0, &r)
	w.ends = append(w.ends, len(w.buf))
	w.ofs = append(w.ofs, i)
	return nil
}

// useLabel notes which keys of a label have a route, and tells whether there is
// anything to be written.
func (w *batch) useLabel(op *dataplane.Op) bool {
	use := w.uses[op.Route.Label]
	if op.Kind == dataplane.RouteSet {
		w.uses[op.Route.Label] = use | useOf(op.Route)
		return true
	}
	if use &^= useOf(op.Route); use != 0 {
		w.uses[op.Route.Label] = use
		return false
	}
	delete(w.uses, op.Route.Label)
	return true
}

func (w *batch) noteOdd(op *dataplane.Op, r *rtnl.Route, family uint8) {
	if len(w.odd) > 0 {
		delete(w.odd, op.Route)
	}
	if !isOdd(op.Paths, family) {
		return
	}
	if made, err := pathsOf(r, w.tableOf); err == nil {
		w.odd[op.Route] = &oddRoute{written: op.Paths, made: made}
	}
}

// flushRoutes sends the routes that wait.
func (w *batch) flushRoutes() {
	if len(w.ends) == 0 {
		return
	}
	msgs := make([][]byte, len(w.ends))
	start := 0
	for i, end := range w.ends {
		msgs[i] = w.buf[start:end:end]
		start = end
	}
	relabel := false
	for i, err := range w.conn.Execute(w.ctx, msgs) {
		if err == nil {
			continue
		}
		op := &w.done.Ops[w.ofs[i]]
		if op.Kind == dataplane.RouteDel && (errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT)) {
			continue // gone already
		}
		if op.Kind == dataplane.RouteDel && errors.Is(err, unix.EINVAL) && w.tableLink(op.Route.Table) == nil && op.Route.Table != dataplane.MainTable {
			continue
		}
		if op.Route.MPLS() && op.Kind == dataplane.RouteSet {
			relabel = true // there may be a route that it should have replaced, or none
		}
		w.failed[w.ofs[i]] = fmt.Errorf("%v %s: %w", op.Kind, routeName(op.Route), refused(err))
	}
	if relabel {
		if err := w.readLabels(); err != nil {
			w.o.Log.Warn("cannot read the label table", "error", err)
		}
	}
	w.buf, w.ends, w.ofs = w.buf[:0], w.ends[:0], w.ofs[:0]
}

func routeName(k dataplane.RouteKey) string {
	if k.MPLS() {
		return fmt.Sprintf("label %d", k.Label)
	}
	if k.Table != dataplane.MainTable {
		return fmt.Sprintf("%v in table %d", k.Prefix, k.Table)
	}
	return k.Prefix.String()
}

// popTo is the device that leads to a lookup in a table.
func (s *session) popTo(table uint32) (uint32, error) {
	if table == dataplane.MainTable {
		return loIndex, s.loopbackUp()
	}
	if l := s.tableLink(table); l != nil {
		return l.Index, nil
	}
	return 0, fmt.Errorf("lookup in table %d: add it first: %w", table, dataplane.ErrRefused)
}

// loopbackUp takes the loopback up: packets that are looked up again after a
// label was popped pass through it.
func (s *session) loopbackUp() error {
	if l := s.links[loIndex]; l != nil && l.up() {
		return nil
	}
	return s.exec(setFlag(loIndex, rtnl.LinkUp, true))
}

// tableOf is the table behind a device, the reverse of popTo.
func (s *session) tableOf(ifindex uint32) (uint32, bool) {
	if ifindex == loIndex {
		return dataplane.MainTable, true
	}
	if l := s.links[ifindex]; l != nil && l.Kind == "vrf" {
		return l.VRFTable, true
	}
	return 0, false
}
