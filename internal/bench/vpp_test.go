package bench

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/dataplane/vpptest"
	"netbraid/internal/nstest"
)

func init() {
	roles["vpp"] = func() int { return serve((&vppServer{}).do) }
	roles["vppclient"] = func() int { return serve((&vppClient{}).do) }
}

// vppServer is the test server, in a process of its own.
type vppServer struct{ s *vpptest.Server }

func (v *vppServer) do(verb string, args []string) (r reply, err error) {
	switch verb {
	case "listen":
		v.s, err = vpptest.Listen(args[0], vpptest.Options{Fail: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, format+"\n", args...)
		}})
		if err == nil {
			r.N = int64(v.s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500))
		}
	case "companions": // companions SOCKET NETNS: one that makes real taps
		v.s, err = vpptest.Listen(args[0], vpptest.Options{Companions: true, NetNS: args[1], Fail: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, format+"\n", args...)
		}})
		if err == nil {
			r.N = int64(v.s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500))
		}
	case "cut": // lose all connections
		v.s.Cut()
	case "messages": // messages NAME: how many there were
		r.N = int64(v.s.Count(args[0]))
	case "count":
		r.N = int64(v.s.RouteCount(0, 0, vpp.DefaultSource) + v.s.RouteCount(0, 1, vpp.DefaultSource))
	default:
		err = errors.New("unknown verb")
	}
	return r, err
}

// vppClient is our side: what the daemon does for its routes.
type vppClient struct {
	dp     *vpp.Client
	events chan dataplane.Event
	ops    [][]dataplane.Op // for batches, used again and again
	sets   [2][]*dataplane.PathSet
}

// vppFlying is how many batches are under way at a time.
const vppFlying = 4

func (v *vppClient) do(verb string, args []string) (reply, error) {
	var n, six int
	switch verb {
	case "connect":
		return v.connect(args[0])
	case "set", "del":
		if _, err := fmt.Sscan(args[0]+" "+args[1], &n, &six); err != nil {
			return reply{}, err
		}
		quiesce()
		return measure(func() error { return v.write(verb == "set", n, six == 1) })
	case "dump":
		var r reply
		quiesce()
		m, err := measure(func() (err error) { r.N, err = v.dump(); return err })
		m.N = r.N
		return m, err
	}
	return reply{}, errors.New("unknown verb")
}

func (v *vppClient) connect(socket string) (reply, error) {
	v.events = make(chan dataplane.Event, 64)
	v.dp = vpp.New(vpp.Options{Socket: socket, Deliver: func(e dataplane.Event) { v.events <- e }, Log: slog.New(slog.DiscardHandler)})
	v.dp.Connect(1)
	if e, ok := (<-v.events).(dataplane.Up); !ok {
		return reply{}, fmt.Errorf("no connection: %+v", e)
	}
	for range vppFlying {
		v.ops = append(v.ops, make([]dataplane.Op, 0, dataplane.MaxBatch))
	}
	for i := range byte(16) {
		via := dataplane.Path{Index: 1, Via: netip.AddrFrom4([4]byte{192, 0, 2, 2 + i}), Weight: 1}
		via6 := dataplane.Path{Index: 1, Via: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: 2 + i}), Weight: 1}
		v.sets[0] = append(v.sets[0], &dataplane.PathSet{Paths: []dataplane.Path{via}})
		v.sets[1] = append(v.sets[1], &dataplane.PathSet{Paths: []dataplane.Path{via6}})
	}
	return reply{}, nil
}

// write sets or removes n routes and waits for the last answer.
func (v *vppClient) write(set bool, n int, six bool) error {
	flying := 0
	land := func() error {
		for {
			switch e := (<-v.events).(type) {
			case dataplane.Done:
				v.ops = append(v.ops, e.Ops[:0])
				flying--
				if len(e.Failed) > 0 {
					return e.Failed[0].Err
				}
				return nil
			case dataplane.Down:
				return e.Err
			}
		}
	}
	for i := 0; i < n; {
		if flying == vppFlying {
			if err := land(); err != nil {
				return err
			}
		}
		ops := v.ops[len(v.ops)-1]
		v.ops = v.ops[:len(v.ops)-1]
		for ; i < n && len(ops) < dataplane.MaxBatch; i++ {
			ops = append(ops, v.op(set, i, six))
		}
		v.dp.Write(1, dataplane.Batch{ID: uint64(i), Ops: ops})
		flying++
	}
	for flying > 0 {
		if err := land(); err != nil {
			return err
		}
	}
	return nil
}

func (v *vppClient) op(set bool, i int, six bool) dataplane.Op {
	op := dataplane.Op{Kind: dataplane.RouteDel, Family: unix.AF_INET}
	if set {
		op.Kind = dataplane.RouteSet
	}
	if six {
		op.Family = unix.AF_INET6
		op.Route.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}), 64)
		op.Paths = v.sets[1][i/64%16]
	} else {
		op.Route.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(i>>20), byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28)
		op.Paths = v.sets[0][i/64%16]
	}
	return op
}

// dump reads all routes.
func (v *vppClient) dump() (n int64, err error) {
	v.dp.Dump(1, dataplane.KindRoute)
	for {
		switch e := (<-v.events).(type) {
		case dataplane.Dumped:
			n += int64(len(e.Routes))
		case dataplane.DumpDone:
			return n, e.Err
		case dataplane.Down:
			return n, e.Err
		}
	}
}

// BenchmarkVPP measures the client of VPP's binary API against the test server,
// each in a process of its own: what our side costs, not what VPP does.
func BenchmarkVPP(b *testing.B) {
	ns := nstest.New(b)
	n := routesWanted()
	dir, err := os.MkdirTemp("", "vpp")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "api.sock")
	server, client := startRole(b, ns, "vpp"), startRole(b, ns, "vppclient")
	server.ask("listen %s", socket)
	client.ask("connect %s", socket)
	const rounds = 3
	s := map[string][]float64{}
	run := func(verb string, six int) {
		r := client.ask("%s %d %d", verb, n, six)
		key := fmt.Sprintf("%s%d", verb, six)
		s[key+"cpu"] = append(s[key+"cpu"], float64(r.CPU)/float64(n)/1000)
		s[key+"rate"] = append(s[key+"rate"], float64(n)/time.Duration(r.Wall).Seconds()/1000)
	}
	for range rounds {
		for six := range 2 {
			run("set", six)
			if got := server.ask("count").N; got != int64(n) {
				b.Fatalf("the server has %d routes, should have %d", got, n)
			}
			if six == 0 {
				r := client.ask("dump")
				if r.N != int64(n) {
					b.Fatalf("the dump shows %d routes, should show %d", r.N, n)
				}
				s["dump"] = append(s["dump"], float64(r.CPU)/float64(n)/1000)
			}
			run("del", six)
			if got := server.ask("count").N; got != 0 {
				b.Fatalf("the server has %d routes, should have none", got)
			}
		}
	}
	detail := fmt.Sprintf("median of %d rounds of %d routes, one path each, 16 next hops, batches of %d, %d in flight", rounds, n, dataplane.MaxBatch, vppFlying)
	atMost(b, "VPP: our CPU for a route, IPv4", median(s["set0cpu"]), " µs", 1, "encode, write, read the answer; %s; removal %.3g µs; IPv6 %.3g and %.3g µs", detail, median(s["del0cpu"]), median(s["set1cpu"]), median(s["del1cpu"]))
	atLeast(b, "VPP: routes a second, IPv4", median(s["set0rate"]), " k", 400, "both sides on this machine; removal %.3g k; IPv6 %.3g k and %.3g k", median(s["del0rate"]), median(s["set1rate"]), median(s["del1rate"]))
	atMost(b, "VPP: our CPU for a dumped route", median(s["dump"]), " µs", 1, "read, decode, hand on in slices of Route")
	b.ReportMetric(median(s["set0cpu"]), "µs/route")
	b.ReportMetric(median(s["set0rate"]), "kroutes/s")
	b.ReportMetric(0, "ns/op")
}
