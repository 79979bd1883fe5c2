package dryrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/internal/proto"
	"netbraid/internal/store"
	"netbraid/rtnl"
)

// Options say what to compare with what.
type Options struct {
	Config *config.Config // what should be
	RunDir string         // where the daemon keeps what is its own; "" for nowhere
	NSFD   int            // the namespace; < 0: that of the caller
	Protos proto.Registry
	// Restore is what callers have asked the running daemon for; nil for nothing.
	Restore *core.Restore
}

// maxSteps bounds a run; a core that does not come to rest within it is a
// defect that is reported.
const maxSteps = 100000

// Plan gives the operations that a daemon with this configuration would do,
// in order.
func Plan(ctx context.Context, o Options) ([]*plan.Op, error) {
	var ops []*plan.Op
	err := rtnl.WithNS(o.NSFD, func() error {
		conn, err := rtnl.Dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		r := &run{ctx: ctx, conn: conn, now: time.Now()}
		ops, err = r.plan(o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return ops, nil
}

type run struct {
	ctx     context.Context
	conn    *rtnl.Conn
	now     time.Time
	core    *core.Core
	echo    echo
	queue   []core.Event
	ops     []*plan.Op
	settled bool
}

func (r *run) plan(o Options) ([]*plan.Op, error) {
	owned, down := plan.NewOwned(), []string(nil)
	var subnets core.SubnetMemory
	if o.RunDir != "" {
		owned, down = store.Read(o.RunDir)
		_, _ = store.ReadSubnets(&subnets, o.RunDir) // a damaged file counts as none, as for the daemon
	}
	r.core = core.New(core.Options{Protos: o.Protos, Owned: owned, Down: down, Subnets: &subnets, Seed: 1})
	r.echo = echo{state: r.core.Mirror(), sysctl: map[model.SysctlKey]string{}}
	r.queue = []core.Event{core.Tick{}, core.Configured{Config: o.Config}}
	if o.Restore != nil {
		r.queue = append(r.queue, core.Command{Do: o.Restore})
	}
	for range maxSteps {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		var ev core.Event
		switch {
		case len(r.queue) > 0:
			ev, r.queue = r.queue[0], r.queue[1:]
		case r.settled && r.core.Planner().Idle():
			return r.ops, nil
		default:
			at := r.core.Deadline()
			if at.IsZero() {
				return r.ops, nil
			}
			r.now = at
			ev = core.Tick{}
		}
		for _, a := range r.core.Step(r.now, ev) {
			if err := r.do(a); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("the configuration does not come to rest: please report this")
}

func (r *run) do(a core.Action) error {
	switch a := a.(type) {
	case core.Subscribe:
		if a.NS != 0 {
			break // other namespaces are not configured, only mirrored
		}
		r.echo.epoch = a.Epoch
		r.queue = append(r.queue, core.Subscribed{Epoch: a.Epoch})
	case core.Dump:
		if a.NS == 0 {
			return r.dump(a)
		}
	case core.Write:
		res := make([]plan.Result, 0, len(a.Ops))
		r.ops = append(r.ops, a.Ops...)
		for _, op := range a.Ops {
			// Each is seen before the next is done, as the kernel does it.
			n, result := r.echo.do(op)
			r.core.Mirror().Notified(r.now, n.Epoch, n.Data)
			res = append(res, result)
		}
		r.queue = append(r.queue, core.Wrote{Results: res})
	case core.ReadSysctl:
		for i, k := range a.Keys {
			ev := core.SysctlValue{Key: k}
			if v, ok := r.echo.sysctl[k]; ok {
				ev.Value = v
			} else {
				b, err := os.ReadFile(filepath.Join("/proc/sys/net", k.Path(a.Devices[i])))
				ev.Value, ev.Err = strings.TrimSpace(string(b)), err
			}
			r.queue = append(r.queue, ev)
		}
	case core.Switches:
		if data := r.echo.switches(a.Want); data != nil {
			r.queue = append(r.queue, core.Notified{Epoch: r.echo.epoch, Data: data})
		}
	case core.Settled:
		r.settled = true
	}
	return nil
}

// dump reads a table of the kernel; one that was interrupted is read again.
func (r *run) dump(a core.Dump) error {
	req := rtnl.AppendDumpRequest(nil, a.Kind, 0, rtnl.Filter{Family: a.Family})
	for range 10 {
		var got []core.Event
		res, err := r.conn.Dump(r.ctx, req, func(b []byte) error {
			got = append(got, core.Dumped{Epoch: a.Epoch, Data: append([]byte(nil), b...)})
			return nil
		})
		if err != nil {
			return err
		}
		if (res.Complete || res.Unsupported) && !res.Interrupted {
			r.queue = append(append(r.queue, got...), core.DumpDone{Epoch: a.Epoch, Kind: a.Kind, Complete: true})
			return nil
		}
	}
	return fmt.Errorf("the table of %ss changes faster than it can be read", a.Kind)
}
