package rtnl

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKernelTraps holds what AppendLink's comment says of the kernel: which
// attributes it ignores in which request, and which it refuses.
func TestKernelTraps(t *testing.T) {
	w := newWorld(t)
	w.do(
		newLink(LinkRequest{Link: Link{Index: 10, Name: "br0", Kind: kindBridge}, Set: LinkName}),
		newLink(LinkRequest{Link: Link{Index: 11, Name: "a", Kind: kindVeth}, Set: LinkName, Peer: &VethPeer{Name: "b"}}),
	)
	set := func(r LinkRequest) []byte { return AppendLink(nil, unix.RTM_SETLINK, 0, 0, &r) }
	create := func(r LinkRequest) []byte {
		r.Index, r.Name, r.Kind, r.Peer = 12, "c", kindVeth, &VethPeer{Name: "d"}
		r.Set |= LinkName
		return newLink(r)
	}
	const defaultCost, defaultAgeing = 2, 30000
	for _, step := range []struct {
		name   string
		msg    []byte
		err    error
		master uint32 // of a, afterwards
		cost   uint32
	}{
		{"port attributes with the master", setLink(LinkRequest{Link: Link{Index: 11, Master: 10, Port: Port{Cost: 99}}, Set: LinkMaster | PortCost}), unix.EOPNOTSUPP, 0, 0},
		{"the master", setLink(LinkRequest{Link: Link{Index: 11, Master: 10}, Set: LinkMaster}), nil, 10, defaultCost},
		{"port attributes by RTM_SETLINK", set(LinkRequest{Link: Link{Index: 11, Port: Port{Cost: 98}}, Set: PortCost}), nil, 10, defaultCost},
		{"and of family AF_BRIDGE", set(LinkRequest{Link: Link{Index: 11, Family: unix.AF_BRIDGE, Port: Port{Cost: 97}}, Set: PortCost}), nil, 10, 97},
		{"and by RTM_NEWLINK", setLink(LinkRequest{Link: Link{Index: 11, Port: Port{Cost: 96}}, Set: PortCost}), nil, 10, 96},
		{"bridge attributes by RTM_SETLINK", set(LinkRequest{Link: Link{Index: 10, Bridge: Bridge{AgeingTime: 5000}}, Set: BridgeAgeingTime}), nil, 10, 96},
		{"address generation at creation", create(LinkRequest{Link: Link{AddrGenMode: 1}, Set: LinkAddrGenMode}), unix.EAFNOSUPPORT, 10, 96},
		{"master, up and port attributes at creation", create(LinkRequest{Link: Link{Flags: unix.IFF_UP, Master: 10, Port: Port{Cost: 95}}, Set: LinkUp | LinkMaster | PortCost}), nil, 10, 96},
	} {
		err := w.try(step.msg)[0]
		a := w.links()["a"]
		if !errors.Is(err, step.err) || a.Master != step.master || a.Port.Cost != step.cost {
			t.Errorf("%s: %v, master %d, cost %d; want %v, %d, %d", step.name, err, a.Master, a.Port.Cost, step.err, step.master, step.cost)
		}
	}
	if got := w.links()["br0"].Bridge.AgeingTime; got != defaultAgeing {
		t.Errorf("RTM_SETLINK set the ageing time to %d", got)
	}
	if c := w.links()["c"]; c.Index != 12 || c.Flags&unix.IFF_UP == 0 || c.Master != 10 || c.Port.Cost != defaultCost {
		t.Errorf("the new port: %s", FormatLink(&c, nil))
	}
}

// TestReceiveGivesUp: a request whose answer does not come ends with its
// context, not later.
func TestReceiveGivesUp(t *testing.T) {
	w := newWorld(t)
	for name, ctx := range map[string]func() (context.Context, context.CancelFunc){
		"deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 20*time.Millisecond)
		},
		"cancel": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		ctx, cancel := ctx()
		stop := w.conn.watch(ctx)
		begin := time.Now()
		_, err := w.conn.receive(ctx)
		stop()
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		}
	}
	// The socket is good for the next request.
	w.loopbackUp()
}
