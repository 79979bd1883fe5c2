package netns

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/conformance"
	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a forwarding namespace fwd with a file of its own, the namespace of
// the companions, and one where the wires end.
type world struct {
	t               testing.TB
	fwd, ctl, wires *nstest.NS
	file, ctlFile   string
	made            int // of wires, for their names
	phys            []string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, fwd: nstest.New(t), ctl: nstest.New(t), wires: nstest.New(t)}
	w.file, w.ctlFile = filepath.Join(t.TempDir(), "fwd"), filepath.Join(t.TempDir(), "ctl")
	mountNS(t, w.fwd, w.file)
	mountNS(t, w.ctl, w.ctlFile)
	t.Cleanup(func() { unmountNS(w.file); unmountNS(w.ctlFile) })
	return w
}

// mountNS gives a namespace a file, as ip-netns(8) does.
func mountNS(t testing.TB, ns *nstest.NS, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.FD()), file, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s: %v", file, err)
	}
}

func unmountNS(file string) {
	_ = unix.Unmount(file, unix.MNT_DETACH)
	_ = os.Remove(file)
}

func (w *world) addPhy(name string) {
	w.made++
	wire := fmt.Sprintf("wire%d-%s", w.made, name)
	w.fwd.IP(fmt.Sprintf("link add %s type veth peer name %s netns /proc/%d/fd/%d", name, wire, os.Getpid(), w.wires.FD()))
	w.wires.IP("link set " + wire + " up")
	w.phys = append(w.phys, name)
}

func (w *world) setCarrier(name string, on bool) {
	for _, l := range w.wires.JSON("link show") {
		if n, _ := l["ifname"].(string); strings.HasSuffix(n, "-"+name) {
			w.wires.IP("link set " + n + map[bool]string{true: " up", false: " down"}[on])
		}
	}
}

func (w *world) host(name string) (h conformance.Host, ok bool) {
	for _, l := range w.ctl.JSON("-d link show") {
		if l["ifname"] != name {
			continue
		}
		mac, err := rtnl.ParseHWAddr(l["address"].(string))
		if err != nil {
			w.t.Fatal(err)
		}
		flags := fmt.Sprint(l["flags"])
		h = conformance.Host{Index: uint32(l["ifindex"].(float64)), MTU: uint32(l["mtu"].(float64)), MAC: mac,
			Up: strings.Contains(flags, "UP"), Carrier: !strings.Contains(flags, "NO-CARRIER")}
		if info, _ := l["linkinfo"].(map[string]any); info["info_kind"] == "vlan" {
			h.VLAN = uint16(info["info_data"].(map[string]any)["id"].(float64))
		}
		return h, true
	}
	return h, false
}

// name is that of an interface of the forwarding namespace.
func (w *world) name(index uint32) string {
	for _, l := range w.fwd.JSON("link show") {
		if uint32(l["ifindex"].(float64)) == index {
			return l["ifname"].(string)
		}
	}
	return "none"
}

func (w *world) outside(op *dataplane.Op) error {
	dev := w.name(op.Index)
	switch op.Kind {
	case dataplane.SetUp:
		w.fwd.IP("link set " + dev + map[bool]string{true: " up", false: " down"}[op.On])
	case dataplane.SetMTU:
		w.fwd.IP(fmt.Sprintf("link set %s mtu %d", dev, op.Value))
	case dataplane.SetMAC:
		w.fwd.IP(fmt.Sprintf("link set %s address %v", dev, op.MAC))
	case dataplane.AddrAdd:
		w.fwd.IP(fmt.Sprintf("addr add %v dev %s", op.Prefix, dev))
	case dataplane.AddrDel:
		w.fwd.IP(fmt.Sprintf("addr del %v dev %s", op.Prefix, dev))
	case dataplane.RouteSet:
		p := op.Paths.Paths[0]
		w.fwd.IP(fmt.Sprintf("route add %v via %v dev %s proto static", op.Route.Prefix, p.Via, w.name(p.Index)))
	case dataplane.RouteDel:
		w.fwd.IP(fmt.Sprintf("route del %v proto %d metric %d", op.Route.Prefix, Protocol, Metric))
	default:
		return errors.New("nothing of that kind can be done from outside")
	}
	return nil
}

// restart takes the namespace's file away, and gives it back: for the same
// namespace, or for a new one with the same phys.
func (w *world) restart(keep bool) {
	unmountNS(w.file)
	if keep {
		time.Sleep(watchEvery * 3 / 2)
		mountNS(w.t, w.fwd, w.file)
		return
	}
	w.fwd.Close()
	w.fwd = nstest.New(w.t)
	phys := w.phys
	w.phys = nil
	for _, name := range phys {
		w.addPhy(name)
	}
	mountNS(w.t, w.fwd, w.file)
}

func (w *world) options(deliver func(dataplane.Event)) Options {
	return Options{NetNS: w.file, Deliver: deliver, Log: slog.New(slog.NewTextHandler(testWriter{w.t}, nil))}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (w *world) conformance() *conformance.World {
	return &conformance.World{
		New:        func(deliver func(dataplane.Event)) dataplane.Dataplane { return New(w.options(deliver)) },
		AddPhy:     w.addPhy,
		DelPhy:     func(name string) { w.fwd.IP("link del " + name) },
		SetCarrier: w.setCarrier,
		NetNS:      w.ctlFile,
		Host:       w.host,
		HostUp: func(name string, up bool) {
			w.ctl.IP("link set " + name + map[bool]string{true: " up", false: " down"}[up])
		},
		TakeName: func(name string) { w.ctl.IP("link add " + name + " type ifb") },
		Outside:  w.outside,
		Restart:  w.restart,
	}
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) *conformance.World { return newWorld(t).conformance() })
}
