package ovs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
)

// patch makes a datapath with the ports 1 to n, veth pairs whose other ends are
// e1 to en, all up, without IPv6 so that nothing is sent but what the test
// sends, and misses to pid.
func (w *world) patch(n int, pid uint32) odp.Datapath {
	w.t.Helper()
	w.Run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
	d := w.datapath("sw0")
	for i := 1; i <= n; i++ {
		a, b := fmt.Sprintf("s%d", i), fmt.Sprintf("e%d", i)
		w.IP(fmt.Sprintf("link add %s type veth peer name %s", a, b))
		w.IP("link set " + a + " up")
		w.IP("link set " + b + " up")
		p, err := w.c.AddPort(w.ctx, odp.PortRequest{Datapath: d.Index, Name: a, Set: odp.SetPIDs, PIDs: []uint32{pid}})
		if err != nil || p.Number != uint32(i) {
			w.t.Fatalf("%+v, %v", p, err)
		}
	}
	return d
}

// seen collects upcalls.
type seen struct {
	mu      sync.Mutex
	packets [][]byte
	keys    []odp.FlowKey
	lost    int
	refused map[uint32]unix.Errno
	bad     []error
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.packets)
}

// listen runs the socket until the test ends; what more says is called for each
// packet.
func (s *seen) listen(t *testing.T, u *Upcalls, more func(*odp.Upcall)) {
	s.refused = map[uint32]unix.Errno{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	lock := func(f func()) { s.mu.Lock(); defer s.mu.Unlock(); f() }
	go func() {
		done <- u.Run(ctx, UpcallHandler{
			Upcall: func(up *odp.Upcall) {
				lock(func() { s.packets = append(s.packets, bytes.Clone(up.Packet)); s.keys = append(s.keys, up.Key) })
				if more != nil {
					more(up)
				}
			},
			Lost:    func() { lock(func() { s.lost++ }) },
			Refused: func(seq uint32, errno unix.Errno) { lock(func() { s.refused[seq] = errno }) },
			Bad:     func(err error) { lock(func() { s.bad = append(s.bad, err) }) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, os.ErrClosed) {
			t.Errorf("end of upcalls: %v", err)
		}
		if len(s.bad) > 0 {
			t.Error(s.bad)
		}
	})
}

// TestKernelUpcalls answers a miss with actions and a flow in one go, then finds
// that the flow takes the packets.
func TestKernelUpcalls(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	u, err := w.c.OpenUpcalls(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	d := w.patch(2, u.PID())
	if size, err := u.Buffer(); err != nil || size < 8<<20 {
		t.Errorf("receive buffer of %d octets, %v", size, err)
	}
	var s seen
	var badSeq uint32
	s.listen(t, u, func(up *odp.Upcall) {
		r := l2(d.Index, up.Key.InPort, 2, up.Key.EthSrc, up.Key.EthDst)
		r.RawKey = up.RawKey
		_, err1 := u.PutFlow(&r)
		_, err2 := u.Execute(&odp.ExecuteRequest{Datapath: up.Datapath, Packet: up.Packet, RawKey: up.RawKey, Actions: r.Actions, Hash: up.Hash})
		seq, err3 := u.PutFlow(&odp.FlowRequest{Datapath: d.Index, Probe: true}) // without a key: refused
		badSeq = seq
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Error(err)
		}
	})
	f := frame(macA, macB, 0x88b5, 100)
	tx := func() uint64 {
		p, err := w.c.Port(w.ctx, d.Index, 2)
		if err != nil {
			t.Fatal(err)
		}
		return p.Stats.TxPackets
	}
	w.inject("e1", 1, f)
	nstest.Eventually(t, 10*time.Second, func() string {
		if n := tx(); n != 1 || u.Refused() != 1 {
			return fmt.Sprintf("%d packets came out, %d requests were refused", n, u.Refused())
		}
		return ""
	})
	w.inject("e1", 10, f)
	nstest.Eventually(t, 10*time.Second, func() string {
		if n := tx(); n != 11 {
			return fmt.Sprintf("%d packets came out", n)
		}
		return ""
	})
	s.mu.Lock()
	if len(s.packets) != 1 || !bytes.Equal(s.packets[0], f) || s.keys[0].InPort != 1 || s.keys[0].EtherType != 0x88b5 || s.lost != 0 || s.refused[badSeq] != unix.EINVAL {
		t.Errorf("%d upcalls, %d lost, refused %v", len(s.packets), s.lost, s.refused)
	}
	s.mu.Unlock()
	flows, err := w.c.Flows(w.ctx, d.Index)
	if err != nil || len(flows) != 1 || flows[0].Packets != 10 || flows[0].Bytes != 1000 {
		t.Fatalf("%+v, %v", flows, err)
	}
	if idle := Monotonic() - flows[0].Used; idle < -10*time.Millisecond || idle > 20*time.Second {
		t.Errorf("idle for %v", idle)
	}
	t.Log(odp.FormatFlow(&flows[0], nil, Monotonic()))
	now, err := w.c.DatapathAt(w.ctx, d.Index)
	if err != nil || now.Missed != 1 || now.Hit != 10 || now.Lost != 0 || now.Flows != 1 || now.Masks != 1 {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := u.DeleteFlow(&odp.FlowRequest{Datapath: d.Index}); !errors.Is(err, ErrBadFlow) {
		t.Errorf("a deletion of every flow: %v", err)
	}
}

// TestKernelUserAction sends a packet to user space by an action, with data, and
// executes actions with VLANs, cutting and flooding.
func TestKernelUserAction(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	u, err := w.c.OpenUpcalls(0)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	d := w.patch(3, u.PID())
	var s seen
	type got struct {
		cmd  uint8
		user string
		len  uint32
		n    int
	}
	var last got
	s.listen(t, u, func(up *odp.Upcall) {
		s.mu.Lock()
		last = got{up.Cmd, string(up.UserData), up.Len, len(up.Packet)}
		s.mu.Unlock()
	})
	f := frame(macA, macB, 0x88b5, 100)
	exec := func(actions ...odp.Action) {
		t.Helper()
		if err := w.c.Execute(w.ctx, odp.ExecuteRequest{Datapath: d.Index, Packet: f, Actions: actions}); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct {
		actions []odp.Action
		want    got
	}{
		{[]odp.Action{odp.Userspace(u.PID(), "8 octets")}, got{odp.CmdAction, "8 octets", 0, 100}},
		{[]odp.Action{odp.Trunc(20), odp.Userspace(u.PID(), "")}, got{odp.CmdAction, "", 100, 20}},
		{[]odp.Action{odp.PushVLAN(0x8100, 5), odp.Userspace(u.PID(), "")}, got{odp.CmdAction, "", 0, 104}},
	} {
		exec(c.actions...)
		nstest.Eventually(t, 10*time.Second, func() string {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.packets) != i+1 || last != c.want {
				return fmt.Sprintf("%d packets, %+v, want %+v", len(s.packets), last, c.want)
			}
			return ""
		})
	}
	s.mu.Lock()
	if k := s.keys[2]; !k.IsTagged() || k.VLAN.VID() != 5 || k.VLAN.Type != 0x8100 || k.EtherType != 0x88b5 {
		t.Errorf("key %+v", k)
	}
	s.mu.Unlock()
	exec(odp.Output(2), odp.Output(3))
	exec(odp.Output(77)) // dropped
	for number, want := range map[uint32]uint64{2: 1, 3: 1} {
		if p, err := w.c.Port(w.ctx, d.Index, number); err != nil || p.Stats.TxPackets != want {
			t.Errorf("port %d: %+v, %v", number, p.Stats, err)
		}
	}
}

// TestKernelUpcallLoss holds that packets that find the buffer full are told
// of, that the kernel's counts account for all, and that it goes on after.
func TestKernelUpcallLoss(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	u, err := w.c.OpenUpcalls(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	d := w.patch(2, u.PID())
	const n = 400
	w.inject("e1", n, frame(macA, macB, 0x88b5, 1000))
	nstest.Eventually(t, 20*time.Second, func() string {
		if now, err := w.c.DatapathAt(w.ctx, d.Index); err != nil || now.Missed != n {
			return fmt.Sprintf("%+v, %v", now, err)
		}
		return ""
	})
	now, err := w.c.DatapathAt(w.ctx, d.Index)
	if err != nil || now.Lost == 0 || now.Lost >= n {
		t.Fatalf("%+v, %v", now, err)
	}
	p, err := w.c.Port(w.ctx, d.Index, 1)
	if err != nil || p.UpcallsLost != now.Lost || p.Upcalls != n-now.Lost {
		t.Errorf("port %+v, datapath %+v, %v", p, now, err)
	}
	var s seen
	s.listen(t, u, nil)
	nstest.Eventually(t, 10*time.Second, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.packets) != n-int(now.Lost) || s.lost != 1 || u.Overruns() != 1 {
			return fmt.Sprintf("%d packets, %d losses, %d overruns; the kernel has lost %d", len(s.packets), s.lost, u.Overruns(), now.Lost)
		}
		return ""
	})
	t.Logf("%d of %d packets lost, and told so", now.Lost, n)
	before := s.count()
	w.inject("e1", 3, frame(macB, macA, 0x88b5, 60))
	nstest.Eventually(t, 10*time.Second, func() string {
		if got := s.count() - before; got != 3 {
			return fmt.Sprintf("%d packets after the loss", got)
		}
		return ""
	})
}

// TestKernelPerCPU has upcalls go to a socket by CPU, and to sockets of a port
// by hash.
func TestKernelPerCPU(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	var us [2]*Upcalls
	var ss [2]seen
	for i := range us {
		var err error
		if us[i], err = w.c.OpenUpcalls(0); err != nil {
			t.Fatal(err)
		}
		defer us[i].Close()
		ss[i].listen(t, us[i], nil)
	}
	pids := []uint32{us[0].PID(), us[1].PID()}
	d := w.patch(1, 0)
	if _, err := w.c.SetPort(w.ctx, odp.PortRequest{Datapath: d.Index, Set: odp.SetNumber | odp.SetPIDs, Number: 1, PIDs: pids}); err != nil {
		t.Fatal(err)
	}
	total := 0
	arrive := func(what string) {
		t.Helper()
		total += 8
		w.inject("e1", 8, frame(macA, macB, 0x88b5, 60))
		nstest.Eventually(t, 10*time.Second, func() string {
			if got := ss[0].count() + ss[1].count(); got != total {
				return fmt.Sprintf("%s: %d packets of %d", what, got, total)
			}
			return ""
		})
	}
	arrive("by hash")
	_, err := w.c.SetDatapath(w.ctx, odp.DatapathRequest{Index: d.Index, Set: odp.SetFeatures | odp.SetPerCPU, Features: odp.FeaturePerCPU | odp.FeatureVportPIDs, PerCPU: pids})
	if err != nil {
		t.Fatal(err)
	}
	arrive("by CPU")
}
