package mirror_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/birdtest"
	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// bird is a BIRD that feeds the kernel from a file of routes.
type bird struct {
	*birdtest.Bird
	t *testing.T
}

// birdRoutes is the size of the table: that of the Internet when it was young.
// The short tests take a quarter.
var birdRoutes = 200_000

func startBird(t *testing.T, ns *nstest.NS) *bird {
	t.Helper()
	b := &bird{birdtest.New(t, ns), t}
	b.Config(fmt.Sprintf(`log %q all;
router id 10.0.0.1;
protocol device { scan time 3600; }
protocol kernel { scan time 3600; ipv4 { import none; export all; }; }
protocol static feed {
	ipv4;
include %q;
}
`, filepath.Join(b.Dir, "log"), b.routesFile()))
	b.routes(func(int) int { return 0 })
	b.Start()
	return b
}

func (b *bird) routesFile() string { return filepath.Join(b.Dir, "routes.conf") }

// routes writes the table: route i goes through 10.0.0.via(i), or is not there
// when that is 0.
func (b *bird) routes(via func(i int) int) {
	b.t.Helper()
	f, err := os.Create(b.routesFile())
	if err != nil {
		b.t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range birdRoutes {
		if gw := via(i); gw != 0 {
			fmt.Fprintf(w, "route %d.%d.%d.0/24 via 10.0.0.%d;\n", 20+i>>16, i>>8&255, i&255, gw)
		}
	}
	if err := w.Flush(); err != nil {
		b.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// configure makes BIRD take over what has been written.
func (b *bird) configure() {
	b.t.Helper()
	if out, err := b.Try("configure"); err != nil || !strings.Contains(out, "Reconfig") {
		b.t.Fatalf("birdc configure: %v: %s", err, out)
	}
}

// gateways counts BIRD's routes in the kernel, by the last octet of the gateway.
func gateways(t *testing.T, conn *rtnl.Conn) map[int]int {
	t.Helper()
	count := map[int]int{}
	req := rtnl.AppendDumpRequest(nil, rtnl.KindRoute, 0, rtnl.Filter{Family: unix.AF_INET, Protocol: unix.RTPROT_BIRD})
	var r rtnl.Route
	_, err := conn.Dump(context.Background(), req, func(b []byte) error {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				return err
			}
			if h.Type == unix.RTM_NEWROUTE {
				if err := rtnl.DecodeRoute(body, &r); err != nil {
					return err
				}
				count[lastOctet(r.Gateway)]++
			}
			b = rest
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func lastOctet(a netip.Addr) int {
	if !a.Is4() {
		return 0
	}
	return int(a.As4()[3])
}

// TestBird follows BIRD, which writes, replaces and withdraws a full table.
func TestBird(t *testing.T) {
	ns := nstest.New(t)
	for _, op := range []string{"link set lo up", "link add va type veth peer name vb", "link set va up", "link set vb up", "addr add 10.0.0.1/24 dev va"} {
		ns.IP(op)
	}
	if testing.Short() {
		birdRoutes = 50_000
	}
	b := startBird(t, ns)
	r := newRig(t, ns, 1, 128<<20)
	r.settle()
	for _, phase := range []struct {
		name   string
		via    func(i int) int
		buffer int  // a new socket of this size, and a while in which nobody reads it
		loses  bool // then
	}{
		{name: "write all", via: func(int) int { return 9 }},
		{name: "replace half", via: func(i int) int { return 9 - i%2 }},
		{name: "withdraw two thirds", via: func(i int) int { return (9 - i%2) * b2i(i%3 == 0) }},
		{name: "write all with an overflow in the middle", via: func(i int) int { return 7 + i%3 }, buffer: 1 << 20, loses: true},
		{name: "withdraw all", via: func(int) int { return 0 }, buffer: 128 << 20},
	} {
		if phase.buffer != 0 {
			r.rcvbuf = phase.buffer
			r.e.Lost(r.now(), r.epoch)
			r.settle()
		}
		lost := r.e.Stats().Losses
		began := time.Now()
		b.routes(phase.via)
		b.configure()
		r.follow(t, phase.via, phase.loses)
		if d := r.difference(); len(d) > 0 {
			t.Fatalf("%s: %s", phase.name, differ(d))
		}
		if losses := r.e.Stats().Losses - lost; losses == 0 && phase.loses {
			t.Errorf("%s: nothing was lost, this proves nothing", phase.name)
		}
		t.Logf("%s: %d routes, equal after %v, %d losses", phase.name, r.e.Count(rtnl.KindRoute), time.Since(began).Round(time.Millisecond), r.e.Stats().Losses-lost)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// follow lets the rig work until BIRD has made what was asked for; with naps it
// sleeps on the way until something is lost.
func (r *rig) follow(t *testing.T, via func(int) int, naps bool) {
	t.Helper()
	want := map[int]int{}
	for i := range birdRoutes {
		if gw := via(i); gw != 0 {
			want[gw]++
		}
	}
	lost := r.e.Stats().Losses
	for end := time.Now().Add(60 * time.Second); ; {
		r.run(300*time.Millisecond, func() bool { return false })
		if naps && r.e.Stats().Losses == lost {
			time.Sleep(50 * time.Millisecond)
		}
		have := gateways(t, r.conn)
		if fmt.Sprint(have) == fmt.Sprint(want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("BIRD has made %v, wanted %v", have, want)
		}
	}
}
