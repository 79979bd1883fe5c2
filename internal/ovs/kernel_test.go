package ovs

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
)

// world is a namespace of a test with a client in it.
type world struct {
	*nstest.NS
	t   *testing.T
	ctx context.Context
	c   *Client
}

// newWorld needs the openvswitch module, which few kernels that tests run on
// have: its callers ask for the test kernel.
func newWorld(t *testing.T) *world {
	t.Helper()
	ns := nstest.New(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	c, err := Open(ctx, ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ns, t, ctx, c}
	t.Cleanup(func() {
		// Datapaths go with the namespace; deleting them here shows what fails.
		dps, err := c.Datapaths(context.Background())
		for _, d := range dps {
			err = errors.Join(err, c.DeleteDatapath(context.Background(), d.Index))
		}
		if err = errors.Join(err, c.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// datapath makes a datapath.
func (w *world) datapath(name string) odp.Datapath {
	w.t.Helper()
	d, err := w.c.CreateDatapath(w.ctx, odp.DatapathRequest{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// port adds a port.
func (w *world) port(d odp.Datapath, typ odp.PortType, name string) odp.Port {
	w.t.Helper()
	p, err := w.c.AddPort(w.ctx, odp.PortRequest{Datapath: d.Index, Name: name, Set: odp.SetType, Type: typ})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// shown is what ovs-dpctl shows, a line for each datapath and port, without
// counters.
func (w *world) shown() []string {
	w.t.Helper()
	out, err := w.Try("ovs-dpctl", "show")
	if err != nil {
		w.t.Fatalf("%v (package openvswitch-switch, see scripts/deps)", err)
	}
	var lines []string
	dp := ""
	for _, l := range strings.Split(out, "\n") {
		l = strings.TrimSpace(l)
		if name, ok := strings.CutPrefix(l, "system@"); ok {
			dp = strings.TrimSuffix(name, ":")
			lines = append(lines, dp)
		}
		if rest, ok := strings.CutPrefix(l, "port "); ok {
			lines = append(lines, dp+" "+rest)
		}
	}
	slices.Sort(lines)
	return lines
}

// ours is the same from the client.
func (w *world) ours() []string {
	w.t.Helper()
	dps, err := w.c.Datapaths(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for _, d := range dps {
		lines = append(lines, d.Name)
		ports, err := w.c.Ports(w.ctx, d.Index)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range ports {
			lines = append(lines, d.Name+" "+dpctlPort(&p))
		}
	}
	slices.Sort(lines)
	return lines
}

// dpctlPort prints a port as ovs-dpctl does.
func dpctlPort(p *odp.Port) string {
	s := fmt.Sprintf("%d: %s", p.Number, p.Name)
	switch p.Type {
	case odp.TypeNetdev:
		return s
	case odp.TypeVXLAN, odp.TypeGeneve:
		if p.Options.DstPort != p.Type.DefaultDstPort() {
			return fmt.Sprintf("%s (%s: dst_port=%d, packet_type=ptap)", s, p.Type, p.Options.DstPort)
		}
	case odp.TypeGRE:
	default:
		return fmt.Sprintf("%s (%s)", s, p.Type)
	}
	return fmt.Sprintf("%s (%s: packet_type=ptap)", s, p.Type)
}

// same holds that both show the same.
func (w *world) same() {
	w.t.Helper()
	if got, want := w.ours(), w.shown(); !slices.Equal(got, want) {
		w.t.Errorf("we show\n%s\novs-dpctl shows\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestKernelDatapaths(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	if d.Index == 0 || d.Name != "sw0" || d.Features != odp.FeatureUnaligned|odp.FeatureVportPIDs {
		t.Errorf("made %+v", d)
	}
	at, err := w.c.CreateDatapath(w.ctx, odp.DatapathRequest{Name: "sw1", Set: odp.SetIfindex, Ifindex: 4321})
	if err != nil || at.Index != 4321 {
		t.Errorf("%+v, %v", at, err)
	}
	for _, get := range []func() (odp.Datapath, error){
		func() (odp.Datapath, error) { return w.c.Datapath(w.ctx, "sw0") },
		func() (odp.Datapath, error) { return w.c.DatapathAt(w.ctx, d.Index) },
	} {
		if got, err := get(); err != nil || got.Index != d.Index || got.Name != d.Name || got.Features != d.Features {
			t.Errorf("%+v, %v", got, err)
		}
	}
	// The kernel would take away the features that a change does not name.
	got, err := w.c.SetDatapath(w.ctx, odp.DatapathRequest{Name: "sw0", Set: odp.SetMasksCache, MasksCache: 512})
	if err != nil || got.MasksCache != 512 || got.Features != d.Features {
		t.Errorf("%+v, %v", got, err)
	}
	pids := []uint32{4, 5}
	got, err = w.c.SetDatapath(w.ctx, odp.DatapathRequest{Index: d.Index, Set: odp.SetFeatures | odp.SetPerCPU,
		Features: odp.FeatureVportPIDs | odp.FeaturePerCPU, PerCPU: pids})
	if err != nil || got.Features != odp.FeatureVportPIDs|odp.FeaturePerCPU || !slices.Equal(got.PerCPU, pids) && len(got.PerCPU) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	// Another's NEW with our version must not change what is there.
	if _, err := w.c.CreateDatapath(w.ctx, odp.DatapathRequest{Name: "sw0"}); !errors.Is(err, ErrDuplicate) {
		t.Error(err)
	}
	if again, err := w.c.Datapath(w.ctx, "sw0"); err != nil || again.Features != got.Features {
		t.Errorf("%+v, %v", again, err)
	}
	// ovs-dpctl only shows, but gives every datapath features of its liking.
	w.same()
	if again, err := w.c.Datapath(w.ctx, "sw1"); err != nil || again.Features == d.Features {
		t.Errorf("%+v, %v: ovs-dpctl show leaves datapaths alone now; say so where Watcher is described", again, err)
	}
	if err := w.c.DeleteDatapath(w.ctx, d.Index); err != nil {
		t.Error(err)
	}
	w.same()
	if _, err := w.c.Datapath(w.ctx, "sw0"); !errors.Is(err, ErrNoDatapath) {
		t.Error(err)
	}
}

func TestKernelPorts(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	w.IP("link add v0 type veth peer name v0p")
	w.IP("link add d0 type dummy")
	w.IP("link add d1 type dummy")
	w.IP("tuntap add t0 mode tap")
	w.port(d, odp.TypeNetdev, "v0")
	w.port(d, odp.TypeNetdev, "t0")
	w.port(d, odp.TypeInternal, "int0")
	w.port(d, odp.TypeGRE, "gre0s")
	vx := w.port(d, odp.TypeVXLAN, "vx0")
	w.port(d, odp.TypeGeneve, "gen0")
	other, err := w.c.AddPort(w.ctx, odp.PortRequest{Datapath: d.Index, Name: "vx1", Set: odp.SetType | odp.SetOptions | odp.SetNumber,
		Type: odp.TypeVXLAN, Number: 100, Options: odp.TunnelOptions{DstPort: 4790, GBP: true}})
	if err != nil || other.Number != 100 || other.Options != (odp.TunnelOptions{DstPort: 4790, GBP: true}) {
		t.Errorf("%+v, %v", other, err)
	}
	if vx.Options.DstPort != 4789 || vx.Type != odp.TypeVXLAN || vx.Ifindex == 0 {
		t.Errorf("%+v", vx)
	}
	last, err := w.c.AddPort(w.ctx, odp.PortRequest{Datapath: d.Index, Name: "d0", Set: odp.SetNumber, Number: odp.MaxPort, PIDs: []uint32{77}})
	if err != nil || last.Number != odp.MaxPort || last.Type != odp.TypeNetdev {
		t.Errorf("%+v, %v", last, err)
	}
	ports, err := w.c.Ports(w.ctx, d.Index)
	if err != nil || len(ports) != 9 {
		t.Errorf("%d ports, %v", len(ports), err)
	}
	got, want := w.ours(), w.shown()
	// ovs-dpctl words the options of tunnels in its own way; the rest is equal.
	plain := regexp.MustCompile(` \((vxlan|geneve|gre)\b.*\)`)
	for _, l := range [][]string{got, want} {
		for i := range l {
			l[i] = plain.ReplaceAllString(l[i], " ($1)")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("we show\n%s\novs-dpctl shows\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	set, err := w.c.SetPort(w.ctx, odp.PortRequest{Datapath: d.Index, Set: odp.SetNumber | odp.SetPIDs, Number: vx.Number, PIDs: []uint32{88}})
	if err != nil || !slices.Equal(set.PIDs, []uint32{88}) {
		t.Errorf("%+v, %v", set, err)
	}
	if p, err := w.c.Port(w.ctx, d.Index, vx.Number); err != nil || p.Name != "vx0" || !slices.Equal(p.PIDs, []uint32{88}) {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := w.c.PortByName(w.ctx, 0, "int0"); err != nil || p.Datapath != d.Index || p.Type != odp.TypeInternal {
		t.Errorf("%+v, %v", p, err)
	}
	for _, name := range []string{"v0", "int0", "vx0"} {
		p, err := w.c.PortByName(w.ctx, d.Index, name)
		if err == nil {
			err = w.c.DeletePort(w.ctx, d.Index, p.Number)
		}
		if err != nil {
			t.Error(err)
		}
		if _, err := w.c.PortByName(w.ctx, d.Index, name); !errors.Is(err, ErrNoPort) {
			t.Error(err)
		}
	}
	if _, ok := w.c.link(w.ctx, "v0", 0); !ok {
		t.Error("the device of a port went with it")
	}
	if _, ok := w.c.link(w.ctx, "int0", 0); ok {
		t.Error("an internal device outlived its port")
	}
	w.stats(d)
}

// stats holds that counters are those of the device.
func (w *world) stats(d odp.Datapath) {
	w.t.Helper()
	w.IP("link set t0 up")
	w.IP("link add s0 type veth peer name s1")
	w.IP("link set s0 up")
	w.IP("link set s1 up")
	p := w.port(d, odp.TypeNetdev, "s0")
	w.inject("s1", 5, frame(macA, macB, 0x88b5, 100))
	nstest.Eventually(w.t, 20*time.Second, func() string {
		got, err := w.c.Port(w.ctx, d.Index, p.Number)
		if err != nil || got.Stats.RxPackets < 5 || got.Stats.RxBytes < 500 || got.UpcallsLost != 0 || got.Upcalls > got.Stats.RxPackets {
			return fmt.Sprintf("%+v, %v", got, err)
		}
		return ""
	})
	// Linux 6.12 takes no statistics to begin with.
	again, err := w.c.AddPort(w.ctx, odp.PortRequest{Datapath: d.Index, Name: "st0", Set: odp.SetType | odp.SetStats, Type: odp.TypeInternal,
		Stats: odp.PortStats{RxPackets: 1000, TxBytes: 7}})
	if err != nil || again.Stats != (odp.PortStats{}) {
		w.t.Errorf("%+v, %v", again.Stats, err)
	}
}

// inject sends a frame out of a device, count times.
func (w *world) inject(dev string, count int, frame []byte) {
	w.t.Helper()
	err := w.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		l, ok := w.c.link(w.ctx, dev, 0)
		if !ok {
			return fmt.Errorf("no device %s", dev)
		}
		for range count {
			if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: int(l.Index)}); err != nil {
				return fmt.Errorf("send out of %s: %w", dev, err)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestKernelThousandPorts adds and deletes a thousand ports at once.
func TestKernelThousandPorts(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	const n = 1000
	var batch strings.Builder
	var rs []odp.PortRequest
	for i := range n {
		fmt.Fprintf(&batch, "link add p%d type dummy\n", i)
		rs = append(rs, odp.PortRequest{Datapath: d.Index, Name: "p" + strconv.Itoa(i)})
	}
	w.batch(batch.String())
	began := time.Now()
	ports, errs := w.c.AddPorts(w.ctx, rs)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d ports added in %v", n, time.Since(began))
	for i, p := range ports {
		if p.Name != rs[i].Name || p.Number != uint32(i+1) {
			t.Fatalf("port %d: %+v", i, p)
		}
	}
	w.same()
	// Again: each of them is refused, each with its reason.
	began = time.Now()
	_, errs = w.c.AddPorts(w.ctx, rs[:20])
	for i, err := range errs {
		if want := fmt.Sprintf("is port %d of it", i+1); !errors.Is(err, ErrDuplicate) || !strings.Contains(err.Error(), want) {
			t.Fatal(err)
		}
	}
	t.Logf("20 refusals explained in %v", time.Since(began))
	var numbers []uint32
	for _, p := range ports {
		numbers = append(numbers, p.Number)
	}
	began = time.Now()
	if err := errors.Join(w.c.DeletePorts(w.ctx, d.Index, numbers)...); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d ports deleted in %v", n, time.Since(began))
	if left := w.ours(); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
	args := []string{"add-if", "sw0"}
	for _, r := range rs {
		args = append(args, r.Name)
	}
	began = time.Now()
	if out, err := w.Try("ovs-dpctl", args...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%d ports added in %v by one call of ovs-dpctl", n, time.Since(began))
	w.same()
}

// batch runs ip commands.
func (w *world) batch(lines string) {
	w.t.Helper()
	if out, err := w.Try("sh", "-c", "ip -batch - <<'E'\n"+lines+"E\n"); err != nil {
		w.t.Fatalf("%v %s", err, out)
	}
}

// mustBe holds that an error has its reason, its errno and its words.
func mustBe(t *testing.T, name string, err error, reason error, words string) {
	t.Helper()
	var e *Error
	switch {
	case err == nil:
		t.Errorf("%s: no error", name)
	case !errors.Is(err, reason) || !errors.As(err, &e):
		t.Errorf("%s: %v; want %v", name, err, reason)
	case !strings.Contains(err.Error(), words):
		t.Errorf("%s: %q does not say %q", name, err, words)
	case testing.Verbose():
		t.Log(err)
	}
}
