package vpp

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"netbraid/internal/dataplane"
)

// batch is a Batch under way.
type batch struct {
	dataplane.Batch
	sent    bool // every operation has been tried
	left    int  // routes that are not answered
	failed  []dataplane.Failed
	made    []dataplane.Made
	touched map[uint32]bool // interfaces to be looked at again
}

func (b *batch) fail(op int, err error) {
	b.failed = append(b.failed, dataplane.Failed{Op: op, Err: err})
}

func (b *batch) touch(index uint32) {
	if b.touched == nil {
		b.touched = map[uint32]bool{}
	}
	b.touched[index] = true
}

// work does what is asked, and hears what happens, until the connection ends.
func (s *session) work() error {
	for {
		s.answerBatches()
		if len(s.world.dirty) > 0 || s.world.all {
			if err := s.refreshDirty(); err != nil {
				return err
			}
			continue
		}
		cmd, ok, err := s.q.take()
		if err != nil {
			return err
		}
		if ok {
			err = s.do(cmd)
		} else {
			err = s.idle()
		}
		if err != nil {
			return err
		}
	}
}

// do does one command.
func (s *session) do(cmd command) error {
	s.now = time.Now()
	if cmd.batch == nil {
		if err := s.drain(); err != nil {
			return err
		}
		return s.dumpKind(cmd.dump)
	}
	b := &batch{Batch: *cmd.batch}
	s.batches = append(s.batches, b)
	for i := range b.Ops {
		op := &b.Ops[i]
		var refused, err error
		switch op.Kind {
		case dataplane.RouteSet, dataplane.RouteDel:
			refused, err = s.route(b, i, op)
		default:
			refused, err = s.operate(b, i, op)
		}
		if err != nil {
			return err
		}
		if refused != nil {
			b.fail(i, fmt.Errorf("%s %s: %w", op.Kind, object(op), refused))
		}
	}
	b.sent = true
	return s.refresh(b.touched)
}

// drain waits for the answers to all batches, so that those to what was asked
// later come later.
func (s *session) drain() error {
	if err := s.flush(); err != nil {
		return err
	}
	for s.answerBatches(); len(s.batches) > 0; s.answerBatches() {
		if err := s.pump(); err != nil {
			return err
		}
	}
	return nil
}

// route sends a route; its answer is looked at when it comes.
func (s *session) route(b *batch, i int, op *dataplane.Op) (refused, err error) {
	if err := checkRoute(op.Route); err != nil {
		return err, nil
	}
	m := routeAddDel
	if op.Route.MPLS() {
		if m = mplsRouteAddDel; s.ids.number[m] == 0 {
			return s.ids.missing(mplsMessages...), nil
		}
	} else if s.source == 0 {
		return s.ids.missing(routeMessages...), nil
	}
	var bl *block
	if op.Kind == dataplane.RouteSet {
		if op.Paths == nil {
			return fmt.Errorf("%w: no paths", dataplane.ErrRefused), nil
		}
		if bl = s.c.paths.block(op.Paths, protoOf(op.Route)); bl.err != nil {
			return bl.err, nil
		}
	}
	start, _, err := s.begin(m, b, i)
	if err != nil {
		return nil, err
	}
	b.left++
	if m == routeAddDel {
		s.out = encodeRoute(s.out, op.Route, s.source, bl)
	} else {
		s.out = encodeMPLSRoute(s.out, op.Route, bl)
	}
	endFrame(s.out, start)
	if len(s.out) >= writeBuffer {
		return nil, s.flush()
	}
	return nil, nil
}

// routeFailed notes what VPP says about a route. A route of a table that is
// not there is gone already.
func (s *session) routeFailed(b *batch, i int, rv retval) {
	op := &b.Ops[i]
	if op.Kind == dataplane.RouteDel && rv == noSuchFIB {
		return
	}
	b.fail(i, fmt.Errorf("%s %s: %w", op.Kind, object(op), rv))
}

// answerBatches hands out the batches that are complete, in order.
func (s *session) answerBatches() {
	for len(s.batches) > 0 {
		b := s.batches[0]
		if !b.sent || b.left > 0 {
			return
		}
		s.batches[0] = nil
		s.batches = s.batches[1:]
		slices.SortFunc(b.failed, func(x, y dataplane.Failed) int { return cmp.Compare(x.Op, y.Op) })
		s.deliver(dataplane.Done{Epoch: s.q.epoch, ID: b.ID, Ops: b.Ops, Failed: b.failed, Made: b.made})
	}
}

// idle waits for something to happen.
func (s *session) idle() error {
	if err := s.flush(); err != nil {
		return err
	}
	s.timer.Reset(min(s.opt.Keepalive, s.opt.Timeout/4))
	select {
	case c, ok := <-s.chunks:
		return s.handle(c, ok)
	case <-s.q.more:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-s.timer.C:
	}
	s.now = time.Now()
	if s.waiting == 0 && s.now.Sub(s.heard) >= s.opt.Keepalive {
		return s.ping()
	}
	return s.expire()
}

// object names what an operation is about.
func object(op *dataplane.Op) string {
	switch op.Kind {
	case dataplane.RouteSet, dataplane.RouteDel:
		if op.Route.MPLS() {
			return fmt.Sprintf("label %d eos %t table %d", op.Route.Label, op.Route.EOS, op.Route.Table)
		}
		return fmt.Sprintf("%s table %d", op.Route.Prefix, op.Route.Table)
	case dataplane.PairAdd, dataplane.PairDel:
		if op.Pair == nil {
			return "?"
		}
		return fmt.Sprintf("%q of interface %d", op.Pair.HostName, op.Pair.Phy)
	case dataplane.SubAdd:
		return fmt.Sprintf("%d.%d of interface %d", op.Sub.Outer, op.Sub.Inner, op.Index)
	case dataplane.TableAdd, dataplane.TableDel:
		return fmt.Sprintf("%d family %d", op.Value, op.Family)
	case dataplane.AddrAdd, dataplane.AddrDel:
		return fmt.Sprintf("%s on interface %d", op.Prefix, op.Index)
	case dataplane.NeighSet, dataplane.NeighDel:
		return fmt.Sprintf("%s on interface %d", op.Addr, op.Index)
	}
	return fmt.Sprintf("interface %d", op.Index)
}
