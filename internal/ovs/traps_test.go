package ovs

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
	"netbraid/rtnl"
)

// raw sends a message as it is, and returns the errno; 0 for none.
func (w *world) raw(msg []byte) unix.Errno {
	w.t.Helper()
	err := w.c.one(w.ctx, func(*families) []byte { return msg }, func([]byte) error { return nil })
	var refused *rtnl.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &refused):
		return refused.Errno
	}
	w.t.Fatal(err)
	return 0
}

// TestKernelTraps holds what the client works around: what it never sends, and
// what the kernel does with it.
func TestKernelTraps(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	f := w.c.fams()
	d, other := w.datapath("sw0"), w.datapath("sw1")
	port := func(cmd uint8, r odp.PortRequest) []byte {
		if r.Datapath == 0 {
			r.Datapath = d.Index
		}
		return odp.AppendPort(nil, f.vport.ID, cmd, unix.NLM_F_ACK, &r)
	}
	const (
		typ     = odp.SetType
		pids    = odp.SetPIDs
		options = odp.SetOptions
	)
	one := []uint32{0}
	for _, c := range []struct {
		name string
		msg  []byte
		want unix.Errno
	}{
		{"port without a name", port(odp.CmdNew, odp.PortRequest{Set: typ | pids, Type: odp.TypeInternal, PIDs: one}), unix.EINVAL},
		{"port without a type", port(odp.CmdNew, odp.PortRequest{Set: pids, Name: "i0", PIDs: one}), unix.EINVAL},
		{"port without sockets", port(odp.CmdNew, odp.PortRequest{Set: typ, Name: "i0", Type: odp.TypeInternal}), unix.EINVAL},
		{"port of type 0", port(odp.CmdNew, odp.PortRequest{Set: typ | pids, Name: "i0", PIDs: one}), unix.EAFNOSUPPORT},
		{"vxlan without options", port(odp.CmdNew, odp.PortRequest{Set: typ | pids, Name: "v0", Type: odp.TypeVXLAN, PIDs: one}), unix.EINVAL},
		{"vxlan with empty options", port(odp.CmdNew, odp.PortRequest{Set: typ | pids | options, Name: "v0", Type: odp.TypeVXLAN, PIDs: one}), unix.EINVAL},
		{"geneve without options", port(odp.CmdNew, odp.PortRequest{Set: typ | pids, Name: "g0", Type: odp.TypeGeneve, PIDs: one}), unix.EINVAL},
		{"delete nothing", port(odp.CmdDel, odp.PortRequest{}), unix.EINVAL},
		{"a percent sign", port(odp.CmdNew, odp.PortRequest{Set: typ | pids, Name: "x%d", Type: odp.TypeInternal, PIDs: one}), 0},
		{"number 0", port(odp.CmdNew, odp.PortRequest{Set: typ | pids | odp.SetNumber, Name: "i9", Type: odp.TypeInternal, PIDs: one}), 0},
		{"another name", port(odp.CmdSet, odp.PortRequest{Name: "i10"}), unix.ENODEV},
		{"a socket and a half", append(port(odp.CmdSet, odp.PortRequest{Name: "i9"}), 10, 0, 5, 0, 1, 0, 0, 0, 2, 0, 0, 0), unix.EINVAL},
		{"datapath without a socket", odp.AppendDatapath(nil, f.datapath.ID, odp.CmdNew, unix.NLM_F_ACK, &odp.DatapathRequest{Name: "sw2"}), unix.EINVAL},
		{"execute without a key", odp.AppendExecute(nil, f.packet.ID, unix.NLM_F_ACK, &odp.ExecuteRequest{Datapath: d.Index, Packet: frame(macA, macB, 1, 60)})[:24+4+60], unix.EINVAL},
	} {
		setLength(c.msg)
		if got := w.raw(c.msg); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if p, err := w.c.PortByName(w.ctx, d.Index, "x0"); err != nil || p.Number != 1 {
		t.Errorf("a percent sign made %+v, %v", p, err)
	}
	mustBe(t, "of another datapath", second(w.c.PortByName(w.ctx, other.Index, "x0")), ErrNoPort, "")
	if p, err := w.c.AddPort(w.ctx, odp.PortRequest{Datapath: d.Index, Name: "i11", Set: odp.SetNumber | typ, Type: odp.TypeInternal}); err != nil || p.Number != 3 {
		t.Errorf("number 0: %+v, %v", p, err)
	}
	w.datapathTraps(d)
	w.flowTraps(d)
}

// setLength corrects the length of a message that was cut or extended.
func setLength(msg []byte) { binary.NativeEndian.PutUint32(msg, uint32(len(msg))) }

// datapathTraps holds that version 1 and a change without features take the
// features away.
func (w *world) datapathTraps(d odp.Datapath) {
	t, f := w.t, w.c.fams()
	t.Helper()
	features := func() odp.Features {
		now, err := w.c.DatapathAt(w.ctx, d.Index)
		if err != nil {
			t.Fatal(err)
		}
		return now.Features
	}
	msg := odp.AppendDatapath(nil, f.datapath.ID, odp.CmdNew, unix.NLM_F_ACK, &odp.DatapathRequest{Name: d.Name, Set: odp.SetUpcallPID | odp.SetFeatures, Features: 2})
	if got := w.raw(msg); got != unix.EEXIST || features() != d.Features {
		t.Errorf("version 2: %v, features %#x", got, features())
	}
	msg[unix.SizeofNlMsghdr+1] = 1
	if got := w.raw(msg); got != unix.EEXIST || features() != 0 {
		t.Errorf("version 1: %v, features %#x", got, features())
	}
	if _, err := w.c.SetDatapath(w.ctx, odp.DatapathRequest{Index: d.Index, Set: odp.SetFeatures, Features: d.Features}); err != nil || features() != d.Features {
		t.Errorf("features %#x, %v", features(), err)
	}
	msg = odp.AppendDatapath(nil, f.datapath.ID, odp.CmdSet, unix.NLM_F_ACK, &odp.DatapathRequest{Index: d.Index, Set: odp.SetMasksCache, MasksCache: 128})
	if got := w.raw(msg); got != 0 || features() != 0 {
		t.Errorf("a change without features: %v, features %#x", got, features())
	}
}

// flowTraps holds what UFIDs are good for, and that a deletion of nothing in
// particular is one of everything.
func (w *world) flowTraps(d odp.Datapath) {
	t, f := w.t, w.c.fams()
	t.Helper()
	r := l2(d.Index, 1, 2, macA, macB)
	r.UFID = "\x01\x02\x03"
	if err := errors.Join(w.c.PutFlow(w.ctx, r), w.c.PutFlow(w.ctx, l2(d.Index, 2, 1, macB, macA))); err != nil {
		t.Fatal(err)
	}
	other := r
	other.UFID = "\x04"
	mustBe(t, "the key with another UFID", second(w.c.Flow(w.ctx, other)), ErrNoFlow, "UFID")
	mustBe(t, "change by UFID alone", second(w.c.SetFlow(w.ctx, odp.FlowRequest{Datapath: d.Index, UFID: r.UFID, Probe: true})), ErrBadFlow, "no key")
	msg := odp.AppendFlush(nil, f.flow.ID, unix.NLM_F_ACK, d.Index)
	if got := w.raw(msg); got != 0 {
		t.Error(got)
	}
	if flows, err := w.c.Flows(w.ctx, d.Index); err != nil || len(flows) != 0 {
		t.Errorf("%d flows are left, %v", len(flows), err)
	}
}
