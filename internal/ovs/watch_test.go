package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
)

// watched is a consumer of a Watcher.
type watched struct {
	mu     sync.Mutex
	h      hearer
	ports  map[portKey]odp.Port
	names  map[uint32]string
	losses int
	syncs  int
	block  chan struct{} // while it is open, events wait
}

func (w *world) watch(o WatchOptions) (*watched, *Watcher) {
	w.t.Helper()
	v := &watched{ports: map[portKey]odp.Port{}, names: map[uint32]string{}, block: make(chan struct{})}
	v.h = hearer{t: w.t, know: map[string]string{}}
	close(v.block)
	watcher := w.c.NewWatcher(o, v.hear)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- watcher.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			w.t.Errorf("end of watching: %v", err)
		}
	})
	return v, watcher
}

func (v *watched) hear(e Event) {
	v.mu.Lock()
	block := v.block
	v.mu.Unlock()
	<-block
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Kind == Lost {
		v.losses++
		return
	}
	v.h.hear(e)
	switch {
	case e.Kind == SyncEnd:
		v.syncs++
	case e.Port != nil && e.Deleted:
		delete(v.ports, portKey{e.Port.Datapath, e.Port.Number})
	case e.Port != nil:
		v.ports[portKey{e.Port.Datapath, e.Port.Number}] = *e.Port
	case e.Datapath != nil && e.Deleted:
		delete(v.names, e.Datapath.Index)
	case e.Datapath != nil:
		v.names[e.Datapath.Index] = e.Datapath.Name
	}
}

// told lists what the consumer knows, as world.ours lists what there is.
func (v *watched) told() (lines []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, k := range slices.SortedFunc(maps.Keys(v.ports), cmpPorts) {
		p := v.ports[k]
		lines = append(lines, v.names[k.datapath]+" "+dpctlPort(&p))
	}
	for _, name := range v.names {
		lines = append(lines, name)
	}
	slices.Sort(lines)
	return lines
}

// follows waits until the consumer knows what there is.
func (v *watched) follows(w *world) {
	w.t.Helper()
	nstest.Eventually(w.t, 60*time.Second, func() string {
		if told, ours := v.told(), w.ours(); !slices.Equal(told, ours) {
			return fmt.Sprintf("told of %d things, there are %d:\n%s\n%s", len(told), len(ours), strings.Join(told, "\n"), strings.Join(ours, "\n"))
		}
		return ""
	})
}

// TestKernelWatch follows what others do, and what becomes of ports whose
// devices are renamed, moved and deleted.
func TestKernelWatch(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	w.datapath("sw0")
	v, watcher := w.watch(WatchOptions{})
	v.follows(w)
	w.Run("ovs-dpctl add-dp sw1")
	w.IP("link add d0 type dummy")
	w.IP("link add d1 type dummy")
	w.IP("link add d2 type dummy")
	for _, cmd := range []string{"add-if sw1 d0", "add-if sw1 d1", "add-if sw1 int0,type=internal", "add-if sw1 d2", "del-if sw1 d1"} {
		w.Run("ovs-dpctl " + cmd)
	}
	v.follows(w)
	if told := v.told(); !slices.Contains(told, "sw1 3: int0 (internal)") || !slices.Contains(told, "sw1 0: sw1 (internal)") {
		t.Errorf("told of %v", told)
	}
	w.IP("link del d0")
	v.follows(w)
	w.outside(v, watcher)
	w.Run("ovs-dpctl del-dp sw1")
	v.follows(w)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.losses != 0 || len(v.names) != 1 {
		t.Errorf("%d losses, %v", v.losses, v.names)
	}
}

// outside renames and moves the devices of ports of sw1.
func (w *world) outside(v *watched, watcher *Watcher) {
	t := w.t
	t.Helper()
	d, err := w.c.Datapath(w.ctx, "sw1")
	if err != nil {
		t.Fatal(err)
	}
	d2, err := w.c.PortByName(w.ctx, d.Index, "d2")
	if err != nil {
		t.Fatal(err)
	}
	// A renamed device is found by number only, and nobody is told.
	w.IP("link set d2 name other")
	for _, name := range []string{"d2", "other"} {
		mustBe(t, "renamed", second(w.c.PortByName(w.ctx, d.Index, name)), ErrNoPort, "renamed")
	}
	if p, err := w.c.Port(w.ctx, d.Index, d2.Number); err != nil || p.Name != "other" {
		t.Errorf("%+v, %v", p, err)
	}
	watcher.Refresh()
	v.follows(w)
	// An internal device that is moved stays a port; a device that is moved does
	// not.
	there := nstest.New(t)
	fd := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), there.FD())
	w.IP("link set int0 netns " + fd)
	watcher.Refresh()
	nstest.Eventually(t, 20*time.Second, func() string {
		v.mu.Lock()
		defer v.mu.Unlock()
		if p := v.ports[portKey{d.Index, 3}]; !p.Moved || p.Name != "int0" {
			return fmt.Sprintf("%+v", p)
		}
		return ""
	})
	w.IP("link set other netns " + fd)
	v.follows(w)
	if out, err := w.Try("ip", "link", "del", "sw1"); err == nil {
		t.Errorf("the local device can be deleted: %s", out)
	}
	// The flows of a port outlive it, and are those of the next with its number.
	r := l2(d.Index, d2.Number, 0, macA, macB)
	if err := w.c.PutFlow(w.ctx, r); err != nil {
		t.Fatal(err)
	}
	if _, err := w.c.Port(w.ctx, d.Index, d2.Number); !errors.Is(err, ErrNoPort) {
		t.Errorf("a moved device: %v", err)
	}
	if _, err := w.c.Flow(w.ctx, r); err != nil {
		t.Errorf("the flow of a port that is gone: %v", err)
	}
}

// TestKernelWatchLoss floods a watcher that does not listen, and holds that it
// says so and then tells of all.
func TestKernelWatchLoss(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	v, _ := w.watch(WatchOptions{Buffer: 32 << 10})
	v.follows(w)
	block := make(chan struct{})
	v.mu.Lock()
	v.block = block
	v.mu.Unlock()
	var rs []odp.PortRequest
	for i := range 300 {
		rs = append(rs, odp.PortRequest{Datapath: d.Index, Name: fmt.Sprint("i", i), Set: odp.SetType, Type: odp.TypeInternal})
	}
	ports, errs := w.c.AddPorts(w.ctx, rs)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, p := range ports[:100] {
		if err := w.c.DeletePort(w.ctx, d.Index, p.Number); err != nil {
			t.Fatal(err)
		}
	}
	w.Run("ovs-dpctl add-dp sw1")
	close(block)
	v.follows(w)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.losses == 0 || v.syncs < 4 || len(v.ports) != 202 {
		t.Errorf("%d losses, %d tables read, %d ports", v.losses, v.syncs, len(v.ports))
	}
}

// TestKernelWatchFlows follows flows, and a flush, which is silent.
func TestKernelWatchFlows(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	for i := range uint32(20) {
		if err := w.c.PutFlow(w.ctx, l2(d.Index, i, 1, macA, macB)); err != nil {
			t.Fatal(err)
		}
	}
	v, watcher := w.watch(WatchOptions{Tables: TableFlows})
	flows := func(want int) {
		t.Helper()
		nstest.Eventually(t, 20*time.Second, func() string {
			v.mu.Lock()
			defer v.mu.Unlock()
			if len(v.h.know) != want {
				return fmt.Sprintf("told of %d flows, there are %d", len(v.h.know), want)
			}
			return ""
		})
	}
	flows(20)
	if err := w.c.PutFlow(w.ctx, l2(d.Index, 50, 1, macA, macB)); err != nil {
		t.Fatal(err)
	}
	flows(21)
	if _, err := w.c.DeleteFlow(w.ctx, l2(d.Index, 3, 1, macA, macB)); err != nil {
		t.Fatal(err)
	}
	flows(20)
	if err := w.c.FlushFlows(w.ctx, d.Index); err != nil {
		t.Fatal(err)
	}
	watcher.Refresh()
	flows(0)
}

// TestKernelUnprivileged holds what somebody without privilege may do, and what
// they are told about the rest.
func TestKernelUnprivileged(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	w.port(d, odp.TypeInternal, "int0")
	errs := make(chan error, 20)
	// The thread that gives its privilege away ends with its goroutine.
	go func() {
		defer close(errs)
		runtime.LockOSThread()
		err := unix.Setns(w.FD(), unix.CLONE_NEWNET)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			err = errors.Join(err, errno)
		}
		c, err2 := Open(w.ctx, -1)
		if err = errors.Join(err, err2); err != nil {
			errs <- err
			return
		}
		defer c.Close()
		if dps, err := c.Datapaths(w.ctx); err != nil || len(dps) != 1 {
			errs <- fmt.Errorf("%d datapaths: %w", len(dps), err)
		}
		if ports, err := c.Ports(w.ctx, d.Index); err != nil || len(ports) != 2 {
			errs <- fmt.Errorf("%d ports: %w", len(ports), err)
		}
		refused := []error{
			second(c.CreateDatapath(w.ctx, odp.DatapathRequest{Name: "sw1"})),
			second(c.SetDatapath(w.ctx, odp.DatapathRequest{Name: "sw0", Set: odp.SetMasksCache, MasksCache: 512})),
			c.DeleteDatapath(w.ctx, d.Index),
			second(c.AddPort(w.ctx, odp.PortRequest{Datapath: d.Index, Name: "lo"})),
			c.DeletePort(w.ctx, d.Index, 1),
			c.PutFlow(w.ctx, l2(d.Index, 1, 2, macA, macB)),
			c.FlushFlows(w.ctx, d.Index),
			c.Execute(w.ctx, odp.ExecuteRequest{Datapath: d.Index, Packet: frame(macA, macB, 1, 60)}),
		}
		for i, err := range refused {
			if !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
				errs <- fmt.Errorf("request %d: %w", i, err)
			}
		}
	}()
	for err := range errs {
		t.Error(err)
	}
}

// TestKernelModuleReloaded takes the module away and brings it back under a
// client and a watcher that go on. (A datapath would keep it.)
func TestKernelModuleReloaded(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	before := *w.c.fams()
	v, _ := w.watch(WatchOptions{})
	nstest.Eventually(t, 10*time.Second, func() string {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.syncs != 2 {
			return fmt.Sprintf("%d tables read", v.syncs)
		}
		return ""
	})
	for _, m := range []string{"vport_gre", "vport_vxlan", "vport_geneve", "openvswitch"} {
		out, err := exec.Command("rmmod", m).CombinedOutput()
		if err != nil && m == "openvswitch" {
			t.Fatalf("rmmod: %v: %s", err, out)
		}
	}
	// Somebody else takes a number meanwhile.
	_ = exec.Command("modprobe", "team").Run()
	_ = exec.Command("modprobe", "wireguard").Run()
	d := w.datapath("sw0")
	w.port(d, odp.TypeInternal, "int0")
	w.same()
	v.follows(w)
	if after := *w.c.fams(); after == before {
		t.Log("the families have the numbers that they had before")
	}
}

// TestKernelClose holds that nothing goes on after the end.
func TestKernelClose(t *testing.T) {
	vmtest.Require(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ns := nstest.New(t)
	c, err := Open(t.Context(), ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	u, err := c.OpenUpcalls(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- u.Run(context.Background(), UpcallHandler{Upcall: func(*odp.Upcall) {}}) }()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- c.NewWatcher(WatchOptions{}, func(Event) {}).Run(ctx) }()
	time.Sleep(50 * time.Millisecond)
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	for range 2 {
		if err := <-done; !errors.Is(err, os.ErrClosed) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Datapaths(context.Background()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	dead, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(dead, ns.FD()); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}
