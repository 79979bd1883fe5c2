package ovs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
)

// askFlows sends requests about flows. An answer is nil unless it was asked for.
func (c *Client) askFlows(ctx context.Context, cmd uint8, flags uint16, rs []odp.FlowRequest) ([]odp.Flow, []error) {
	flows := make([]odp.Flow, len(rs))
	errs := c.ask(ctx, func(f *families) (msgs [][]byte) {
		for i := range rs {
			msgs = append(msgs, odp.AppendFlow(nil, f.flow.ID, cmd, flags, &rs[i]))
		}
		return msgs
	}, func(i int, body []byte) error { return flows[i].Parse(body) })
	return flows, errs
}

// PutFlow makes a flow, or gives the one that has the same key and mask other
// actions. Flows that overlap may not be made: which one wins is undefined, and
// the kernel does not look.
func (c *Client) PutFlow(ctx context.Context, r odp.FlowRequest) error {
	return c.PutFlows(ctx, []odp.FlowRequest{r})[0]
}

// PutFlows makes many flows, with an error for each.
func (c *Client) PutFlows(ctx context.Context, rs []odp.FlowRequest) []error {
	return c.putFlows(ctx, unix.NLM_F_ACK, rs)
}

// CreateFlow makes a flow; it is ErrDuplicate when one with the same key and
// mask is there.
func (c *Client) CreateFlow(ctx context.Context, r odp.FlowRequest) error {
	return c.putFlows(ctx, unix.NLM_F_ACK|unix.NLM_F_EXCL, []odp.FlowRequest{r})[0]
}

func (c *Client) putFlows(ctx context.Context, flags uint16, rs []odp.FlowRequest) []error {
	_, errs := c.askFlows(ctx, odp.CmdNew, flags, rs)
	for i, err := range errs {
		if err != nil {
			errs[i] = c.whyNotFlow(ctx, "make flow", &rs[i], err)
		}
	}
	return errs
}

// SetFlow changes the actions of a flow, or with KeepActions and Clear its
// counters; the key is needed also when the flow has a UFID.
func (c *Client) SetFlow(ctx context.Context, r odp.FlowRequest) (odp.Flow, error) {
	return c.oneFlow(ctx, "change flow", odp.CmdSet, echo, &r)
}

// DeleteFlow deletes a flow, found by key and mask, or by UFID if it was made
// with one, and returns it with its last counters.
func (c *Client) DeleteFlow(ctx context.Context, r odp.FlowRequest) (odp.Flow, error) {
	return c.oneFlow(ctx, "delete flow", odp.CmdDel, echo, &r)
}

// Flow finds a flow, as DeleteFlow does.
func (c *Client) Flow(ctx context.Context, r odp.FlowRequest) (odp.Flow, error) {
	return c.oneFlow(ctx, "show flow", odp.CmdGet, unix.NLM_F_ACK, &r)
}

func (c *Client) oneFlow(ctx context.Context, op string, cmd uint8, flags uint16, r *odp.FlowRequest) (odp.Flow, error) {
	if r.RawKey == nil && r.UFID == "" && r.Match.Key == (odp.FlowKey{}) {
		return odp.Flow{}, &Error{Op: op, Object: c.flowObject(ctx, r), Reason: ErrBadFlow, Detail: "neither a key nor a UFID says which"}
	}
	flows, errs := c.askFlows(ctx, cmd, flags, []odp.FlowRequest{*r})
	if errs[0] == nil && flows[0].Datapath == 0 {
		errs[0] = errors.New("ovs: the kernel does not say what has become of it")
	}
	if errs[0] != nil {
		return odp.Flow{}, c.whyNotFlow(ctx, op, r, errs[0])
	}
	return flows[0], nil
}

// FlushFlows deletes every flow of a datapath. Nobody is told.
func (c *Client) FlushFlows(ctx context.Context, dp uint32) error {
	err := c.one(ctx, func(f *families) []byte { return odp.AppendFlush(nil, f.flow.ID, unix.NLM_F_ACK, dp) }, func([]byte) error { return nil })
	if err != nil {
		return noDatapath("delete the flows of", c.datapathName(ctx, dp), err)
	}
	return nil
}

// EachFlow calls fn with each flow of a datapath, in memory that is used again
// for the next. An error of fn ends it and is returned. Flows that come and go
// meanwhile may be missed. omit leaves parts out: without OmitKey flows with a
// UFID show their keys too.
func (c *Client) EachFlow(ctx context.Context, dp uint32, omit odp.UFIDFlags, fn func(*odp.Flow) error) error {
	var flow odp.Flow
	var own error
	err := c.dump(ctx, func(f *families) []byte { return odp.AppendFlowDump(nil, f.flow.ID, dp, omit) },
		func(body []byte) error {
			if err := flow.Parse(body); err != nil {
				return err
			}
			own = fn(&flow)
			return own
		})
	switch {
	case own != nil:
		return own
	case err != nil:
		return noDatapath("list the flows of", c.datapathName(ctx, dp), err)
	}
	return nil
}

// Flows lists the flows of a datapath.
func (c *Client) Flows(ctx context.Context, dp uint32) (list []odp.Flow, err error) {
	err = c.EachFlow(ctx, dp, 0, func(f *odp.Flow) error {
		one := *f
		one.Actions = append([]odp.Action{}, f.Actions...)
		list = append(list, one)
		return nil
	})
	return list, err
}

// Monotonic is the time on CLOCK_MONOTONIC, which Flow.Used counts on.
func Monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Execute has the kernel do actions on a packet, past the flow table. Output to
// a port that is not there, or a frame longer than the port's MTU, is dropped
// without an error.
func (c *Client) Execute(ctx context.Context, r odp.ExecuteRequest) error {
	err := c.one(ctx, func(f *families) []byte { return odp.AppendExecute(nil, f.packet.ID, unix.NLM_F_ACK, &r) }, func([]byte) error { return nil })
	if err == nil {
		return nil
	}
	e, rest := failure("execute actions on a packet in", c.datapathName(ctx, r.Datapath), err)
	if !rest {
		return e
	}
	switch {
	case e.Errno == unix.ENODEV:
		return e.because(ErrNoDatapath, "there is no datapath with ifindex %d here", r.Datapath)
	case len(r.Packet) < 14:
		return e.because(ErrBadPacket, "a frame has 14 octets or more, this has %d", len(r.Packet))
	}
	if why := odp.CheckActions(r.Actions); why != nil {
		return e.because(ErrBadPacket, "%v", why)
	}
	return e.because(ErrBadPacket, "the kernel's log (dmesg) may say more")
}

func (c *Client) flowObject(ctx context.Context, r *odp.FlowRequest) string {
	if r.UFID != "" {
		return fmt.Sprintf("%x of %s", r.UFID, c.datapathName(ctx, r.Datapath))
	}
	return "of " + c.datapathName(ctx, r.Datapath)
}

// whyNotFlow says why the kernel has refused a request about a flow.
func (c *Client) whyNotFlow(ctx context.Context, op string, r *odp.FlowRequest, err error) error {
	e, rest := failure(op, c.flowObject(ctx, r), err)
	if !rest {
		return e
	}
	switch e.Errno {
	case unix.ENODEV:
		return e.because(ErrNoDatapath, "there is no datapath with ifindex %d here", r.Datapath)
	case unix.ENOENT:
		return e.because(ErrNoFlow, "key, mask and UFID have to be those that it was made with")
	case unix.EEXIST:
		return e.because(ErrDuplicate, "a flow with that key and mask; change it instead")
	}
	if why := odp.CheckFlow(r); why != nil {
		return e.because(ErrBadFlow, "%v", why)
	}
	return e.because(ErrBadFlow, "the kernel's log (dmesg) may say more")
}
